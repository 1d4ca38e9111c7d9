"""How far a correct run may deviate from the interpreter: a bound per element, from precision and length alone.

Forward error analysis (Higham, Accuracy and Stability of Numerical Algorithms, chapters 2 to 4) along the cascade, on
the interpreter's values. With u the unit roundoff of accumulators, w that of words:

- an operator: the rule of its arguments (`error_rules`), and u of the result for its rounding, or the smallest number;
- a sum of terms x with errors e, each passing through at most n additions: sum(e) + n u / (1 - n u) * sum(|x| + e),
  n as the mapping adds them: along the side of an array and then from step to step;
- a product of terms likewise; each of its n multiplications may also fall below the smallest number, and what follows
  multiplies that by the terms above 1 at most: n * smallest * prod(max(1, |x| + e)). An exact 0 among them absorbs all;
- a maximum: what lies between the maxima of the least and of the greatest terms;
- a finished element that becomes a word: w of itself, and half the smallest word; infinite where it may overflow. What
  only chooses among words (a maximum) is one already.

In fp64 the interpreter rounds as much as what is compared with it: there every reduction counts in full length, and the
bound twice. Nothing is fitted: a correct run cannot exceed the bound.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from einsums.graph import Step
from einsums.nodes import Access, Call, Const, Expr, Load, Position
from einsums.operators import OPERATOR_BY_NAME, REDUCER_BY_NAME, ErrorRule, Reducer, Rounding
from mappings.tree import PlacedLeaf
from sim.functional.boxes import Box, whole_box
from sim.functional.error_rules import RULE_BY_OPERATOR, Approximate, between, product
from sim.functional.exponential import EXACT, Exponential
from sim.functional.machine import MOST_POINTS_AT_ONCE, previous_access, stored_tensors
from sim.functional.points import BoxPoints, reduced_order
from sim.functional.precision import Precision
from sim.functional.program import Program

Values = NDArray[np.float64]
SLACK = 1.01  # allowance for rounding in the interpreter and in this analysis, in fp64
FUNCTION_UNITS = 8  # error bound of numpy's fp64 functions and compositions of them


def error_bounds(
    program: Program,
    values: Mapping[str, np.ndarray],
    precision: Precision,
    exponentials: Mapping[str, Exponential] | None = None,
    doubt: float = 0.0,
) -> dict[str, Values]:
    """For every tensor that the program writes a bound on |computed - interpreted|, element by element.

    `values`: the inputs, as words, and the interpreter's results for them. `doubt`: relative uncertainty of the inputs.
    """
    with np.errstate(all="ignore"):
        analysis = _Analysis(program, values, precision, exponentials or {}, doubt)
        for step in program.cascade.nest:
            analysis.run(step, analysis.whole)
    factor = 2 * SLACK if analysis.is_twice else SLACK
    return {einsum.name: factor * analysis.errors[einsum.name] for einsum in program.cascade.einsums}


class _Analysis:
    def __init__(
        self,
        program: Program,
        values: Mapping[str, np.ndarray],
        precision: Precision,
        exponentials: Mapping[str, Exponential],
        doubt: float,
    ) -> None:
        self.program, self.cascade, self.precision = program, program.cascade, precision
        self.values = {name: np.asarray(array, dtype=np.float64) for name, array in values.items()}
        self.errors = {name: np.zeros_like(array) for name, array in self.values.items()}
        for tensor in self.cascade.inputs:
            self.errors[tensor.name] += product(np.full((), doubt), np.abs(self.values[tensor.name]))
        self.exponentials = exponentials
        self.stored = stored_tensors(program, precision)
        self.rounded = frozenset(name for name in self.stored if not self.is_word_already(name))
        self.is_twice = precision.wide is np.float64
        self.whole = whole_box(program.workload)
        self.leaves = {leaf.einsum: leaf for leaf in program.leaves}

    def is_word_already(self, name: str) -> bool:
        """Whether an Einsum only chooses among words, so that its result needs no rounding."""
        einsum = self.cascade.einsum(name)
        words = self.stored | {tensor.name for tensor in self.cascade.inputs}
        reduction = einsum.reduction.operator if einsum.reduction else "max"
        chooses = all(OPERATOR_BY_NAME[name].rounding is Rounding.CHOOSES for name in einsum.map_operators)
        return (
            chooses
            and reduction in ("max", "min")
            and all(access.tensor in words for access in einsum.loads)
            and not _has_constant(einsum.expr)
        )

    def run(self, step: Step, box: Box) -> None:
        """The errors of an Einsum, or of an iteration step by step, with the steps around it in `box`."""
        if isinstance(step, str):
            self.add_errors(self.leaves[step], box)
            return
        scope = self.cascade.scope
        for name in step.einsums:
            source = scope.start_by_tensor.get(name)
            if source is not None and scope.iterative_rank[name] == step.rank:
                axis = self.cascade.ranks_of(name).index(step.rank)
                np.moveaxis(self.errors[name], axis, 0)[0] = self.errors[source]
        for at in range(self.program.size(step.rank.lower())):
            for inner in step.body:
                self.run(inner, {**box, step.rank.lower(): (at, at + 1)})

    def add_errors(self, leaf: PlacedLeaf, box: Box) -> None:
        """Errors of one Einsum over a box."""
        einsum = self.cascade.einsum(leaf.einsum)
        points = BoxPoints(
            self.program.workload, leaf.einsum, box, reduced_order(self.program, leaf, box, 0), self.values
        ).existing()
        value = np.broadcast_to(points.gather(self.values[einsum.name], einsum.output), (1, *points.shape))[0]
        error = self.reduced(leaf, points, value)
        if einsum.name in self.rounded and self.precision.is_narrow:
            error = error + self.precision.unit * (np.abs(value) + error) + self.precision.smallest / 2
        is_known = np.isinf(value) & (error == 0)  # the identity where there is no point
        error = np.where((np.abs(value) + error > self.precision.largest) & ~is_known, np.inf, error)
        error = np.where(np.isinf(value) & np.isfinite(error), 0.0, np.where(np.isnan(error), np.inf, error))
        exists, errors = points.target_exists(), self.errors[einsum.name]
        if exists is not None:  # where no point exists, a running value is passed on
            passed: Any = 0.0
            if self.cascade.is_iterative(einsum.name):
                passed = points.gather(errors, previous_access(self.cascade, einsum))[0]
            error = np.where(exists, error, passed)
        points.scatter(errors, einsum.output, np.broadcast_to(error, points.shape))

    def reduced(self, leaf: PlacedLeaf, points: BoxPoints, value: Values) -> Values:
        """Error of the reduction of all points, or of the expression if nothing is reduced."""
        einsum = self.cascade.einsum(leaf.einsum)
        if einsum.reduction is None:
            return self.approximate(leaf, points, 0, 1).error[0]
        reducer = REDUCER_BY_NAME[einsum.reduction.operator]
        match reducer.error:
            case ErrorRule.SUM:
                terms, errors = self.sums(leaf, points)
                return self.sum_error(points, terms, errors, reducer.name == "mean", value)
            case ErrorRule.PRODUCT:
                return self.product_error(leaf, points)
            case ErrorRule.INCREASING:  # max, min, any: no rounding
                return self.extreme_error(leaf, points, reducer, value)
            case _:
                raise AssertionError(f"no bound of a reduction follows {reducer.error}")

    def sum_error(self, points: BoxPoints, terms: Values, errors: Values, is_mean: bool, value: Values) -> Values:
        unit = self.precision.wide_unit
        order = points.order
        additions = len(order.coordinates) if self.is_twice else order.longest_path
        error = errors + additions * unit / (1 - additions * unit) * (terms + errors)
        error = np.where(terms + errors > np.finfo(self.precision.wide).max, np.inf, error)
        if is_mean:
            error = error / np.maximum(points.counts(), 1)
            error = error + unit * (np.abs(value) + error) + self.precision.wide_smallest
        return error

    def sums(self, leaf: PlacedLeaf, points: BoxPoints) -> tuple[Values, Values]:
        """Sums of the magnitudes of all terms, and of their errors: [output ...]."""
        found = self.contracted(leaf, points)
        if found is not None:
            return found
        terms, errors = np.zeros(points.shape), np.zeros(points.shape)
        for part in self.iter_parts(leaf, points):
            terms += np.abs(part.value).sum(axis=0)
            errors += part.error.sum(axis=0)
        return terms, errors

    def contracted(self, leaf: PlacedLeaf, points: BoxPoints) -> tuple[Values, Values] | None:
        """`sums` of a product of two operands by matrix products, if everything is finite; None if not possible."""
        einsum = self.cascade.einsum(leaf.einsum)
        match einsum.expr:
            case Call(operator="mul", arguments=(Load(access=left), Load(access=right))):
                a, b = self.operand(points, left), self.operand(points, right)
            case _:
                return None
        exists = points.exists
        if exists is not None:  # a factor is 0 where there is no point
            masked = [np.broadcast_shapes(x.value.shape, exists.shape) == x.value.shape for x in (a, b)]
            if not any(masked):
                return None
            a, b = (
                Approximate(*(np.where(exists, array, 0.0) for array in pair)) if covers else pair
                for pair, covers in zip((a, b), masked, strict=True)
            )
        if not all(np.isfinite(array).all() for pair in (a, b) for array in pair):
            return None
        terms = _contract(np.abs(a.value), np.abs(b.value))
        errors = _contract(np.abs(a.value), b.error) + _contract(a.error, np.abs(b.value) + b.error)
        count = len(points.order.coordinates)
        errors = errors + self.precision.wide_unit * (terms + errors) + count * self.precision.wide_smallest
        return np.broadcast_to(terms, points.shape), np.broadcast_to(errors, points.shape)

    def product_error(self, leaf: PlacedLeaf, points: BoxPoints) -> Values:
        least, most, growth = (np.ones(points.shape) for _ in range(3))
        absorbed = np.zeros(points.shape, dtype=bool)
        for part in self.iter_parts(leaf, points, absent=1.0):
            furthest = np.abs(part.value) + part.error
            least, most = least * np.abs(part.value).prod(axis=0), most * furthest.prod(axis=0)
            growth = growth * np.maximum(furthest, 1.0).prod(axis=0)
            absorbed |= ((part.value == 0) & (part.error == 0)).any(axis=0)
        count = len(points.order.coordinates)
        units = count * self.precision.wide_unit
        error = most - least + units / (1 - units) * most + count * self.precision.wide_smallest * growth
        return np.where(absorbed, 0.0, error)

    def extreme_error(self, leaf: PlacedLeaf, points: BoxPoints, reducer: Reducer, value: Values) -> Values:
        """A maximum lies between those of the least and of the greatest terms; so does a minimum."""
        fold, identity = reducer.fold, reducer.identity
        low, high = np.full(points.shape, identity), np.full(points.shape, identity)
        for part in self.iter_parts(leaf, points, absent=identity):
            terms = (part.value != 0).astype(np.float64) if reducer.name == "or" else part.value
            low = fold(low, fold.reduce(terms - part.error, axis=0))
            high = fold(high, fold.reduce(terms + part.error, axis=0))
        return between(value, low, high)

    def iter_parts(self, leaf: PlacedLeaf, points: BoxPoints, absent: float = 0.0) -> Any:
        """The expression at parts of the reduced points: [point, output ...], `absent` where there is none."""
        results = max(1, math.prod(points.shape))
        at_once = max(1, MOST_POINTS_AT_ONCE // results)
        count = len(points.order.coordinates)
        for start in range(0, count, at_once):
            stop = min(count, start + at_once)
            shape = (stop - start, *points.shape)
            found = self.approximate(leaf, points, start, stop)
            value, error = np.broadcast_to(found.value, shape), np.broadcast_to(found.error, shape)
            if points.exists is not None:
                exists = points.exists[start:stop] if len(points.exists) > 1 else points.exists
                value, error = np.where(exists, value, absent), np.where(exists, error, 0.0)
            yield Approximate(value, error)

    # --- expressions ----------------------------------------------------------------------------------------
    def operand(self, points: BoxPoints, access: Access) -> Approximate:
        value = points.operand(self.values[access.tensor], access)
        error = points.gather(self.errors[access.tensor], access)
        if access.tensor in self.cascade.scope.edge_by_tensor:
            error = np.where(points.is_within(access, self.errors[access.tensor]), error, 0.0)
        return Approximate(np.asarray(value, np.float64), np.asarray(error, np.float64))

    def approximate(self, leaf: PlacedLeaf, points: BoxPoints, start: int, stop: int) -> Approximate:
        """The expression with its error at reduced points `start` to `stop`."""
        einsum = self.cascade.einsum(leaf.einsum)
        operands = {access: self.operand(points, access) for access in einsum.loads}

        def evaluate(expr: Expr) -> Approximate:
            match expr:
                case Const():
                    return self.rounded_once(np.full((1,) * (1 + len(points.shape)), expr.value))
                case Load():
                    found = operands[expr.access]
                    if len(found.value) == 1:
                        return found
                    return Approximate(found.value[start:stop], found.error[start:stop])
                case Position():
                    place = points.position(expr).astype(np.float64)
                    return self.rounded_once(place[start:stop] if len(place) > 1 else place)
                case Call():
                    return self.call(leaf, expr, [evaluate(argument) for argument in expr.arguments])

        return evaluate(einsum.expr)

    def rounded_once(self, value: Values) -> Approximate:
        """A number that is known exactly, as an accumulator holds it."""
        rounded = value.astype(self.precision.wide).astype(np.float64)
        return Approximate(value, np.abs(rounded - value))

    def call(self, leaf: PlacedLeaf, expr: Call, arguments: list[Approximate]) -> Approximate:
        """One operator: the propagated errors of its arguments, and its own rounding."""
        value, error = RULE_BY_OPERATOR[expr.operator](*arguments)
        magnitude = np.abs(value) + error
        rounding = OPERATOR_BY_NAME[expr.operator].rounding
        if expr.operator == "exp":
            exponential = self.exponentials.get(leaf.array, EXACT)
            furthest = np.abs(arguments[0].value) + arguments[0].error
            relative = np.asarray(exponential.relative_error(furthest, self.precision), dtype=np.float64)
            error = error + product(relative, magnitude)
            error = error + self.precision.wide_smallest_normal
        elif rounding is Rounding.ONCE:
            error = error + self.precision.wide_unit * magnitude + self.precision.wide_smallest
        elif rounding is Rounding.IN_FP64:
            units = FUNCTION_UNITS if self.is_twice else 1
            error = error + units * self.precision.wide_unit * magnitude + self.precision.wide_smallest_normal
        error = np.where(magnitude > np.finfo(self.precision.wide).max, np.inf, error)  # it may overflow on the way
        # An infinite result of known arguments is exact.
        doubt = np.zeros(())
        for argument in arguments:
            doubt = doubt + argument.error
        return Approximate(value, np.where(np.isinf(value) & np.isfinite(doubt), 0.0, error))


def _has_constant(expr: Expr) -> bool:
    match expr:
        case Call():
            return any(map(_has_constant, expr.arguments))
        case _:
            return isinstance(expr, Const)


def _contract(a: Values, b: Values) -> Values:
    """Sum over the first axis of the product of two operands that broadcast: [output ...]."""
    axes = list(range(a.ndim))
    left = [axis for axis in axes if a.shape[axis] > 1 or axis == 0]
    right = [axis for axis in axes if b.shape[axis] > 1 or axis == 0]
    out = sorted(({*left, *right}) - {0})
    count = max(a.shape[0], b.shape[0])
    a = np.broadcast_to(a, (count, *a.shape[1:])).squeeze(tuple(x for x in axes if x not in left))
    b = np.broadcast_to(b, (count, *b.shape[1:])).squeeze(tuple(x for x in axes if x not in right))
    operands: tuple[Any, ...] = (a, left, b, right, out)
    total = np.einsum(*operands, optimize=True)
    return total.reshape([max(x, y) for x, y in zip(_sizes(a, left, axes), _sizes(b, right, axes), strict=True)][1:])


def _sizes(array: Values, kept: list[int], axes: list[int]) -> list[int]:
    sizes = dict(zip(kept, array.shape, strict=True))
    return [sizes.get(axis, 1) for axis in axes]
