"""Executes a program on values: loops in mapped order, tiles one after another, reductions as the array adds them.

The rules of rounding:

- An Einsum's expression is evaluated in accumulators, each operator rounded once.
- A reduction runs in accumulators: down the sides of the array as a chain, then from one temporal step to the next
  in the order of the loops. Partial sums stay accumulators, wherever they wait.
- A finished element is rounded to a word of the machine, except a running value: tensors on a dependence cycle (a
  running denominator and its corrected old value) stay accumulators, unless the precision rounds them too.

Independent iterations of a loop (every Einsum inside has the loop's variable on its left, and none makes a running
value along it) run side by side: the same operations in the same order for every element, in fewer numpy calls.
`side_by_side=False` runs every tile separately, and forgets data that no kept tile holds any longer (`places.py`).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from einsums.graph import iteration_groups
from einsums.interpreter import real_numbers
from einsums.nodes import Access, Call, Const, Einsum, Expr, Load, Position
from einsums.operators import OPERATOR_BY_NAME, REDUCER_BY_NAME, Rounding
from einsums.types import Cascade
from mappings.tree import PlacedLeaf
from sim.functional.boxes import Box, iter_tiles, whole_box
from sim.functional.places import Places
from sim.functional.points import BoxPoints, ReducedOrder, reduced_order
from sim.functional.precision import Precision
from sim.functional.program import Program

Array = NDArray[np.floating]
Function = Callable[[Array], Array]

MOST_POINTS_AT_ONCE = 1 << 18  # of an expression; more are evaluated in parts
MOST_POINTS_SIDE_BY_SIDE = 1 << 20
FEW_RESULTS = 128  # below, one call that keeps every partial sum beats a call for each point


@dataclass(frozen=True)
class Arithmetic:
    """Number formats, and the exponential of each array (by name; rounded from fp64 for arrays not listed)."""

    precision: Precision
    exponentials: Mapping[str, Function] = field(default_factory=dict)


def execute(
    program: Program, inputs: Mapping[str, np.ndarray], arithmetic: Arithmetic, side_by_side: bool = True
) -> dict[str, Array]:
    """Every tensor the program writes, batch axes first, shaped as `einsums.interpret` gives them.

    `inputs`: arrays over the batch ranks and whole ranks in declared order; they are rounded to words first, as initial
    values are. ValueError for an input that holds anything but real numbers.
    """
    machine = _Executor(program, inputs, arithmetic, side_by_side)
    with np.errstate(all="ignore"):
        machine.walk(list(program.leaves), 0, machine.whole, ())
    return {einsum.name: machine.tensors[einsum.name] for einsum in program.cascade.einsums}


def stored_tensors(program: Program, precision: Precision) -> frozenset[str]:
    """Tensors whose finished elements become words: all except those on a dependence cycle, which are running values
    and the intermediate results between one and the next."""
    cascade = program.cascade
    every = frozenset(einsum.name for einsum in cascade.einsums)
    if precision.rounds_running:
        return every
    groups = [group for group in iteration_groups(cascade) if any(map(cascade.is_iterative, group))]
    return every - {name for group in groups for name in group}


def previous_access(cascade: Cascade, einsum: Einsum) -> Access:
    """The access to the running value before the one that an Einsum writes."""
    rank = cascade.scope.iterative_rank[einsum.name]
    ranks = cascade.tensor(einsum.name).ranks
    moved = (
        index.model_copy(update={"offset": index.offset - 1}) if of == rank else index
        for of, index in zip(ranks, einsum.output.indices, strict=True)
    )
    return Access(tensor=einsum.name, indices=tuple(moved))


class _Executor:
    def __init__(
        self, program: Program, inputs: Mapping[str, np.ndarray], arithmetic: Arithmetic, side_by_side: bool
    ) -> None:
        self.program, self.arithmetic, self.side_by_side = program, arithmetic, side_by_side
        self.cascade, self.precision = program.cascade, arithmetic.precision
        self.whole = whole_box(program.workload)
        wide = self.precision.wide
        self.tensors: dict[str, Array] = {
            tensor.name: self.precision.word(real_numbers(tensor.name, inputs[tensor.name]).astype(wide))
            for tensor in self.cascade.inputs
        }
        for einsum in self.cascade.einsums:
            self.tensors[einsum.name] = self.empty(einsum.name)
        for tensor in self.cascade.inputs:
            self.start_from(tensor.name, self.tensors)
        self.places = None if side_by_side else Places(self.cascade, program.homes, self.tensors)
        self.held = self.places.held if self.places else self.tensors
        self.stored = stored_tensors(program, self.precision)
        self.walked = {leaf.einsum: self.walked_loops(leaf) for leaf in program.leaves}
        self.reset = {leaf.einsum: self.reset_depth(leaf) for leaf in program.leaves}
        self.orders: dict[tuple[Any, ...], ReducedOrder] = {}

    def empty(self, name: str) -> Array:
        """A tensor with only its initial value; NaN elsewhere."""
        ranks = self.cascade.ranks_of(name)
        iterative = self.cascade.scope.iterative_rank.get(name)
        workload = self.program.workload
        shape = tuple(workload.size(rank) + (rank == iterative) for rank in ranks)
        array = np.full(shape, np.nan, dtype=self.precision.wide)
        if iterative is not None and name not in self.cascade.scope.start_by_tensor:
            np.moveaxis(array, ranks.index(iterative), 0)[0] = self.precision.start(self.cascade.initial_value(name))
        return array

    def start_from(self, source: str, tensors: dict[str, Array]) -> None:
        """Give running tensors that start from this one their first value."""
        for name, of in self.cascade.scope.start_by_tensor.items():
            if of == source:
                ranks = self.cascade.ranks_of(name)
                steps = np.moveaxis(tensors[name], ranks.index(self.cascade.scope.iterative_rank[name]), 0)
                steps[0] = tensors[source]

    # --- loops ----------------------------------------------------------------------------------------------
    def walked_loops(self, leaf: PlacedLeaf) -> int:
        """How many loops run one iteration at a time: shared ones, and those in which values depend on the previous."""
        rank = self.cascade.scope.iterative_rank.get(leaf.einsum)
        if rank is None or all(load.tensor != leaf.einsum for load in self.cascade.einsum(leaf.einsum).loads):
            return leaf.shared
        steps = [n for n, i in enumerate(leaf.loops, 1) if self.program.loops[i].variable == rank.lower()]
        return max([leaf.shared, *steps])

    def reset_depth(self, leaf: PlacedLeaf) -> int | None:
        """The outermost sequential loop over which the leaf reduces: results begin before it and end after it."""
        reduced = self.cascade.einsum(leaf.einsum).reduced_variables
        walked = leaf.loops[: self.walked[leaf.einsum]]
        return next((n for n, i in enumerate(walked) if self.program.loops[i].variable in reduced), None)

    def walk(self, leaves: list[PlacedLeaf], depth: int, box: Box, firsts: tuple[bool, ...]) -> None:
        """Run leaves inside `depth` loops; `firsts`: which of these are in their first iteration."""
        if self.places:
            self.places.enter(leaves[0].loops[:depth], box)
        while leaves:
            first = leaves[0]
            if self.walked[first.einsum] == depth:
                self.compute(first, box, firsts)
                leaves = leaves[1:]
                continue
            number = first.loops[depth]
            together = 0
            while together < len(leaves) and leaves[together].loops[depth : depth + 1] == (number,):
                together += 1
            self.loop(number, leaves[:together], box, firsts)
            leaves = leaves[together:]

    def loop(self, number: int, leaves: list[PlacedLeaf], box: Box, firsts: tuple[bool, ...]) -> None:
        depth, loop = len(firsts), self.program.loops[number]
        if self.side_by_side and self.is_free(loop.variable, leaves, box):
            self.walk(leaves, depth + 1, box, (*firsts, True))
            return
        reducing = [leaf for leaf in leaves if self.reset[leaf.einsum] == depth]
        for leaf in reducing:
            self.begin(leaf, box)
        for iteration, inside in enumerate(iter_tiles(box, loop)):
            self.walk(leaves, depth + 1, inside, (*firsts, iteration == 0))
        for leaf in reducing:
            self.end(leaf, box)

    def is_free(self, variable: str, leaves: list[PlacedLeaf], box: Box) -> bool:
        """Whether iterations over a variable are independent, and few enough to run side by side."""
        for leaf in leaves:
            output = self.cascade.variables_of(leaf.einsum)
            reduced = self.cascade.einsum(leaf.einsum).reduced_variables
            steps = self.cascade.scope.iterative_rank.get(leaf.einsum, "").lower()
            results = 1
            for name in output:
                results *= 1 if name in reduced else box[name][1] - box[name][0]
            if variable not in output or variable in reduced or variable == steps or results > MOST_POINTS_SIDE_BY_SIDE:
                return False
        return True

    # --- one leaf -------------------------------------------------------------------------------------------
    def points(self, leaf: PlacedLeaf, box: Box) -> BoxPoints:
        variables = self.cascade.einsum(leaf.einsum).reduced_variables
        key = (leaf.einsum, *(box[v] for v in variables))
        if key not in self.orders:
            self.orders[key] = reduced_order(self.program, leaf, box, self.walked[leaf.einsum])
        return BoxPoints(self.program.workload, leaf.einsum, box, self.orders[key], self.held).existing()

    def begin(self, leaf: PlacedLeaf, box: Box) -> None:
        """Results start from the identity of their reduction."""
        einsum = self.cascade.einsum(leaf.einsum)
        points = self.points(leaf, box)
        identity = np.full(points.shape, _identity(einsum), dtype=self.precision.wide)
        self.write(points, einsum, identity)

    def end(self, leaf: PlacedLeaf, box: Box) -> None:
        """Results are complete: divided if they are means, rounded if they become words."""
        einsum = self.cascade.einsum(leaf.einsum)
        points = self.points(leaf, box)
        total = points.gather(self.held[einsum.name], einsum.output)
        total = np.broadcast_to(total, (total.shape[0], *points.shape))[0]
        self.put(points, einsum, self.finished(points, einsum, total))

    def compute(self, leaf: PlacedLeaf, box: Box, firsts: tuple[bool, ...]) -> None:
        einsum = self.cascade.einsum(leaf.einsum)
        reset = self.reset[leaf.einsum]
        if reset is not None and self.is_again(leaf, reset, firsts):
            return
        points = self.points(leaf, box)
        if einsum.reduction is None:
            value = np.broadcast_to(self.values(leaf, points)(0, 1)[0], points.shape)
            self.put(points, einsum, self.finished(points, einsum, value))
            return
        if reset is None:
            total = np.full(points.shape, _identity(einsum), dtype=self.precision.wide)
        else:
            total = np.array(
                np.broadcast_to(points.gather(self.held[einsum.name], einsum.output), (1, *points.shape))[0]
            )
        self.reduce(leaf, points, total)
        if reset is None:
            self.put(points, einsum, self.finished(points, einsum, total))
        else:
            self.write(points, einsum, total)

    def is_again(self, leaf: PlacedLeaf, reset: int, firsts: tuple[bool, ...]) -> bool:
        """Whether a partial sum is already included: made in an earlier iteration of a loop that the Einsum lacks."""
        own = self.cascade.variables_of(leaf.einsum)
        loops = [self.program.loops[i].variable for i in leaf.loops]
        return any(not firsts[n] for n in range(reset + 1, len(firsts)) if loops[n] not in own)

    def finished(self, points: BoxPoints, einsum: Einsum, total: Array) -> Array:
        if einsum.reduction is not None and einsum.reduction.operator == "mean":
            count = points.counts().astype(self.precision.wide)
            total = np.where(count == 0, total, total / count).astype(self.precision.wide)
        return self.precision.word(total) if einsum.name in self.stored else total

    def put(self, points: BoxPoints, einsum: Einsum, values: Array) -> None:
        """Store results; where no point exists, a running value is passed on and others stay absent."""
        array, exists = self.held[einsum.name], points.target_exists()
        if exists is not None:
            absent: Any = np.nan
            if self.cascade.is_iterative(einsum.name):
                absent = points.gather(array, previous_access(self.cascade, einsum))[0]
            values = np.where(exists, values, absent).astype(self.precision.wide)
        self.write(points, einsum, values)

    def write(self, points: BoxPoints, einsum: Einsum, values: Array) -> None:
        points.scatter(self.tensors[einsum.name], einsum.output, values)
        self.start_from(einsum.name, self.tensors)
        if self.places:
            points.scatter(self.held[einsum.name], einsum.output, values)
            self.start_from(einsum.name, self.held)
            self.places.written(einsum.name)

    # --- values ---------------------------------------------------------------------------------------------
    def reduce(self, leaf: PlacedLeaf, points: BoxPoints, total: Array) -> None:
        """Fold all reduced points of a step into `total`, group by group."""
        einsum = self.cascade.einsum(leaf.einsum)
        assert einsum.reduction is not None
        operator = einsum.reduction.operator
        fold, identity = REDUCER_BY_NAME[operator].fold, _identity(einsum)
        rows = self.values(leaf, points)
        exists = points.exists
        at_once = max(1, MOST_POINTS_AT_ONCE // max(1, total.size))
        first = 0
        groups = points.order.groups
        for group in [sum(groups)] if max(groups) == 1 else groups:
            target = total if max(groups) == 1 else np.full(total.shape, identity, dtype=total.dtype)
            for start in range(first, first + group, at_once):
                stop = min(first + group, start + at_once)
                part = rows(start, stop)
                if operator == "or":
                    part = (part != 0).astype(total.dtype)
                if exists is not None:
                    part = np.where(exists[start:stop] if len(exists) > 1 else exists, part, identity)
                part = np.broadcast_to(part, (stop - start, *total.shape))
                if operator == "mul":
                    multiply_in_order(part, target)
                else:
                    fold_in_order(fold, part, target)
            if target is not total and operator == "mul":
                multiply_in_order(target[None], total)
            elif target is not total:
                fold(total, target, out=total)
            first += group

    def values(self, leaf: PlacedLeaf, points: BoxPoints) -> Callable[[int, int], Array]:
        """The expression of a leaf at reduced points `start` to `stop`: an array [point or 1, output ...]."""
        einsum = self.cascade.einsum(leaf.einsum)
        operands = {access: points.operand(self.held[access.tensor], access) for access in einsum.loads}
        exponential = self.arithmetic.exponentials.get(leaf.array)
        is_plain = _is_product(einsum.expr) and all(np.isfinite(operand).all() for operand in operands.values())

        def evaluate(expr: Expr, start: int, stop: int) -> Array:
            match expr:
                case Const():
                    return np.asarray(expr.value, dtype=self.precision.wide).reshape((1,) * (1 + len(points.shape)))
                case Load():
                    operand = operands[expr.access]
                    return operand[start:stop] if len(operand) > 1 else operand
                case Position():
                    place = points.position(expr).astype(self.precision.wide)
                    return place[start:stop] if len(place) > 1 else place
                case Call():
                    arguments = [evaluate(argument, start, stop) for argument in expr.arguments]
                    if is_plain:
                        return np.multiply(*arguments)
                    if expr.operator == "exp" and exponential is not None:
                        return exponential(arguments[0])
                    return self.apply(expr.operator, arguments)

        return lambda start, stop: evaluate(einsum.expr, start, stop)

    def apply(self, operator: str, arguments: list[Array]) -> Array:
        """One operator, rounded once."""
        row = OPERATOR_BY_NAME[operator]
        if row.rounding is Rounding.IN_FP64:
            arguments = [argument.astype(np.float64) for argument in arguments]
        return np.asarray(row.meaning(*arguments), dtype=self.precision.wide)


def fold_in_order(fold: np.ufunc, rows: Array, total: Array) -> None:
    """total[...] = fold(... fold(fold(total, rows[0]), rows[1]) ..., rows[-1]), each step rounded."""
    if total.size < FEW_RESULTS and len(rows) > 2:
        total[...] = fold.accumulate(np.concatenate([total[None], rows]), axis=0)[-1]
        return
    for row in rows:
        fold(total, row, out=total)


def multiply_in_order(rows: Array, total: Array) -> None:
    """The same for products, with the rule 0 * inf = 0."""
    for row in rows:
        total[...] = OPERATOR_BY_NAME["mul"].meaning(total, row)


def _identity(einsum: Einsum) -> float:
    assert einsum.reduction is not None
    return REDUCER_BY_NAME[einsum.reduction.operator].identity


def _is_product(expr: Expr) -> bool:
    """Whether an expression multiplies two operands, so that 0 * inf cannot occur if they are finite."""
    match expr:
        case Call(operator="mul", arguments=(Load(), Load())):
            return True
    return False
