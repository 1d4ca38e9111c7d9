"""The Einsums of a cascade, computed one after another: their points, values, reductions and steps."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from einsums.graph import Iteration, Step, names_in
from einsums.interpreter_existence import RegionEvaluator
from einsums.interpreter_space import (
    Array,
    Coordinates,
    Mask,
    PointAxes,
    Space,
    form_value,
    gather,
    is_inside,
    space_of,
)
from einsums.nodes import Access, Call, Const, Einsum, Expr, Load, Position
from einsums.operators import OPERATOR_BY_NAME, REDUCER_BY_NAME
from einsums.workload import Workload


class Evaluator:
    """The tensors computed so far, and the sizes to compute the next with.

    `points` counts the points of each Einsum that existed, all batch elements together, if `counts`.
    """

    def __init__(
        self, workload: Workload, inputs: Mapping[str, Array], batch: tuple[int, ...], counts: bool = False
    ) -> None:
        self.workload = workload
        self.cascade = workload.cascade
        self.batch = batch
        self.tensors: dict[str, Array] = dict(inputs)
        self.points = dict.fromkeys((einsum.name for einsum in self.cascade.einsums), 0)
        self.counts = counts
        self.existing = RegionEvaluator(self.load, self.value)

    def run(self, step: Step, fixed: Mapping[str, int]) -> None:
        """Compute an Einsum or an iteration with the variables of the iterations around it fixed."""
        if not fixed:
            for name in names_in(step):
                self.tensors[name] = self.empty(name)
        if isinstance(step, str):
            self.compute(self.cascade.einsum(step), fixed)
            return
        self.start(step, fixed)
        for place in range(self.workload.size(step.rank)):
            for inner in step.body:
                if isinstance(inner, str) and self.cascade.scope.iterative_rank.get(inner) == step.rank:
                    self.pass_on(inner, step.rank, place)
                self.run(inner, {**fixed, step.rank.lower(): place})

    def empty(self, name: str) -> Array:
        """A tensor whose elements do not exist yet, except for an initial value."""
        ranks = self.cascade.tensor(name).ranks
        iterative = self.cascade.scope.iterative_rank.get(name)
        shape = tuple(self.workload.size(rank) + (rank == iterative) for rank in ranks)
        array = np.full((() if self.cascade.is_unbatched(name) else self.batch) + shape, np.nan)
        if iterative is not None and name not in self.cascade.scope.start_by_tensor:
            _along(array, ranks, iterative)[0] = self.cascade.initial_value(name)
        return array

    def start(self, iteration: Iteration, fixed: Mapping[str, int]) -> None:
        """Give tensors that start from a tensor their first value; those of an inner iteration in each outer step."""
        scope = self.cascade.scope
        for name in iteration.einsums:
            source = scope.start_by_tensor.get(name)
            if source is not None and scope.iterative_rank[name] == iteration.rank:
                ranks = self.cascade.tensor(name).ranks
                _along(self.tensors[name], ranks, iteration.rank)[0] = self.tensors[source]

    def pass_on(self, name: str, rank: str, step: int) -> None:
        """Keep the old value where the step does not exist."""
        view = _along(self.tensors[name], self.cascade.tensor(name).ranks, rank)
        view[step + 1] = view[step]

    def compute(self, einsum: Einsum, fixed: Mapping[str, int]) -> None:
        """Evaluate an Einsum at all points with some variables fixed, and place the result."""
        space = space_of(self.workload, einsum.variables, {name: np.array([at]) for name, at in fixed.items()})
        target = space.over(einsum.output.variables)
        exists = self.exists(einsum, space)
        value = self.contraction(einsum, space) if exists is None else None
        if value is None:
            value = self.reduced(einsum, space, exists)
        self.place(einsum, target, value, self.kept(einsum, target, space, exists))

    def exists(self, einsum: Einsum, space: Space) -> Mask | None:
        """Which points inside the ranks exist, batch axes first; None if all do."""
        found = self.existing.of(self.cascade.existence.points[einsum.name], space)
        if found is not None:
            lead = found.shape[: found.ndim - len(space.variables)]
            found = np.broadcast_to(found & space.inside, lead + space.shape)
        self.check_inside(einsum, space, found)
        if self.counts:
            self.count(einsum, space, space.inside if found is None else found)
        return found

    def count(self, einsum: Einsum, space: Space, here: Mask) -> None:
        """Add points to those of an Einsum."""
        batch = () if self.cascade.is_unbatched(einsum.name) else self.batch
        times = int(np.prod(batch)) if here.ndim == len(space.variables) else 1
        self.points[einsum.name] += times * int(here.sum())

    def check_inside(self, einsum: Einsum, space: Space, exists: Mask | None) -> None:
        """Existing points must not read outside a tensor that has no boundary."""
        if einsum.condition is None:
            return
        for access in einsum.loads:
            if access.tensor in self.cascade.scope.edge_by_tensor:
                continue
            outside = ~is_inside(self.tensors[access.tensor], access, space)
            if (outside if exists is None else outside & exists).any():
                message = f"{access} reads outside {access.tensor} at points where the condition holds"
                raise ValueError(f"{einsum.name}: {message}; restrict the condition or declare its boundary")

    def kept(self, einsum: Einsum, target: Space, space: Space, exists: Mask | None) -> Mask:
        """Which elements of the result exist. Of a running value: which the step changes."""
        region = self.cascade.existence.elements[einsum.name]
        if exists is not None and self.cascade.is_iterative(einsum.name):
            return np.asarray(exists.any(axis=self.reduced_axes(einsum, space)))
        found = self.existing.of(region, target)
        return target.inside if found is None else found & target.inside

    def place(self, einsum: Einsum, target: Space, value: Array, kept: Mask) -> None:
        """Write the elements that exist."""
        axes: list[Any] = [form_value(target, index) for index in einsum.output.indices]
        count = len(target.shape)
        value = np.broadcast_to(value, value.shape[: value.ndim - count] + target.shape)
        is_whole = kept is target.inside and bool(target.inside.all())
        if axes and is_whole and np.broadcast_shapes(*(axis.shape for axis in axes)) == target.shape:
            self.tensors[einsum.name][(..., *axes)] = value
            return
        places: list[Any] = [np.broadcast_to(axis, target.shape)[target.inside] for axis in axes]
        if not places:
            new = value if kept.all() else np.where(kept, value, np.nan)
            self.tensors[einsum.name][...] = new
            return
        array = self.tensors[einsum.name]
        if kept is target.inside:
            array[(..., *places)] = value[..., target.inside]
            return
        kept = np.broadcast_to(kept, kept.shape[: kept.ndim - count] + target.shape)
        new = np.where(kept[..., target.inside], value[..., target.inside], array[(..., *places)])
        array[(..., *places)] = new

    # --- values ----------------------------------------------------------------------------------------------
    def reduced_axes(self, einsum: Einsum, space: Space) -> tuple[int, ...]:
        """Axes that the reduction removes, counted from the last."""
        removed = einsum.reduced_variables
        return tuple(place - len(space.variables) for place, name in enumerate(space.variables) if name in removed)

    def reduced(self, einsum: Einsum, space: Space, exists: Mask | None) -> Array:
        """The expression at every point, reduced over the variables absent on the left."""
        value = np.asarray(self.value(einsum.expr, space), dtype=np.float64)
        if einsum.reduction is None:
            return value
        reducer = REDUCER_BY_NAME[einsum.reduction.operator]
        if reducer.name == "or":
            value = (value != 0).astype(np.float64)
        here = space.inside if exists is None else exists
        lead = np.broadcast_shapes(value.shape, here.shape)[: max(value.ndim, here.ndim) - len(space.variables)]
        value = np.where(here, np.broadcast_to(value, lead + space.shape), reducer.identity)
        axes = self.reduced_axes(einsum, space)
        if reducer.name == "mul":
            return _product(value, axes)
        total = np.asarray(reducer.fold.reduce(value, axis=axes), dtype=np.float64)
        if reducer.name == "mean":
            count = here.sum(axis=axes)
            total = total / count if exists is None else np.where(count == 0, reducer.identity, total / count)
        return total

    def contraction(self, einsum: Einsum, space: Space) -> Array | None:
        """A sum of products by numpy's own contraction; None where its arithmetic would differ from the definition.

        It differs if points are missing or a factor is infinite or NaN (numpy has 0 * inf = NaN), and since numpy
        chooses the order of operations: an overflow on the way shows as a result that is not finite, but an underflow
        in a product of three or more factors does not show.
        """
        factors = _factors(einsum.expr)
        if factors is None or einsum.reduction is None or einsum.reduction.operator != "add" or not space.inside.all():
            return None
        present = {name for access in factors for name in access.variables}
        if any(access.tensor in self.cascade.scope.edge_by_tensor for access in factors) or present < {
            *space.variables
        }:
            return None
        number = {name: place for place, name in enumerate(space.variables)}
        operands: list[Any] = []
        for access in factors:
            value = self.load(access, space)
            if not np.isfinite(value).all():
                return None
            lead = value.shape[: value.ndim - len(space.variables)]
            kept = tuple(name for name in space.variables if name in access.variables)
            sizes = tuple(space.shape[number[name]] for name in kept)
            operands += [value.reshape(lead + sizes), [..., *(number[name] for name in kept)]]
        out: list[Any] = [
            ...,
            *(number[name] for name in space.variables if name not in einsum.reduced_variables),
        ]
        if len(factors) > 2 and _may_leave_range(operands[::2], space.inside.size):
            return None
        total = np.asarray(np.einsum(*operands, out, optimize=True))
        return total if np.isfinite(total).all() else None

    def value(self, expr: Expr, space: PointAxes) -> Array:
        """The expression at every point; axes it does not depend on have length 1."""
        match expr:
            case Const():
                return np.float64(expr.value).reshape((1,) * len(space.variables))
            case Load():
                return self.load(expr.access, space)
            case Position():
                return position(expr, space).astype(np.float64)
            case Call():
                arguments = [self.value(argument, space) for argument in expr.arguments]
                return np.asarray(OPERATOR_BY_NAME[expr.operator].meaning(*arguments), dtype=np.float64)

    def load(self, access: Access, space: PointAxes) -> Array:
        """A tensor gathered over the space: batch axes, then one axis for each variable."""
        array = self.tensors[access.tensor]
        value = gather(array, access, space)
        edge = self.cascade.scope.edge_by_tensor.get(access.tensor)
        return value if edge is None else np.where(is_inside(array, access, space), value, edge)


def position(expr: Position, space: PointAxes) -> Coordinates:
    """An integer of coordinates at every point."""
    form = form_value(space, expr.form)
    if expr.divisor is None:
        return form
    by = form_value(space, expr.divisor)
    return form // by if expr.operator == "//" else form % by


def _along(array: Array, ranks: tuple[str, ...], rank: str) -> Array:
    """A view with the axis of `rank` moved to the front."""
    return np.moveaxis(array, array.ndim - len(ranks) + ranks.index(rank), 0)


def _product(values: Array, axis: tuple[int, ...]) -> Array:
    """Product of the values along some axes, taken one by one with the rule 0 * inf = 0."""
    first = np.moveaxis(values, axis, range(len(axis)))
    factors = first.reshape((-1, *first.shape[len(axis) :]))
    total = np.ones(factors.shape[1:])
    for factor in factors:
        total = OPERATOR_BY_NAME["mul"].meaning(total, factor)
    return total


def _may_leave_range(factors: list[Array], points: int) -> bool:
    """Whether a product of some of the factors, or a sum of such, may overflow or fall below the normal numbers."""
    most, least = float(np.log2(points)), 0.0
    for factor in factors:
        exponents = np.log2(np.abs(factor[factor != 0]))
        most += float(exponents.max(initial=0.0))
        least += float(exponents.min(initial=0.0))
    return most > 1023 or least < -1022


def _factors(expr: Expr) -> tuple[Access, ...] | None:
    """The accesses of a pure product of tensors, None for anything else."""
    match expr:
        case Load():
            return (expr.access,)
        case Call(operator="mul"):
            sides = [_factors(argument) for argument in expr.arguments]
            return None if None in sides else tuple(access for side in sides if side for access in side)
    return None
