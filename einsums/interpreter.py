"""The meaning of a cascade, in numpy: slow, clear, float64. Every other engine is checked against this one.

For each Einsum, every tensor is gathered over the iteration space, the expression is evaluated at all points,
points that do not exist (beyond the end of a ragged partition) become the identity of the reduction, and the
rest is reduced and placed. Einsums that form an iteration advance together, one step at a time.

The table in `operators.py` defines what an operator computes, with two conventions: 0 * inf = 0 and 0 / 0 = 0.
Coordinates of a result that do not exist hold NaN; an iterative value passes a step that does not exist unchanged.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from einsums.names import near_or_all
from einsums.nodes import Access, Call, Const, Einsum, Expr, Index, Load
from einsums.operators import OPERATOR_BY_NAME, REDUCER_BY_NAME
from einsums.problems import listed
from einsums.types import Cascade
from einsums.workload import Workload

Array = NDArray[np.float64]
Coordinates = NDArray[np.int64]


def _product(values: Array, axis: tuple[int, ...]) -> Array:
    """Product of the values along some axes, taken one by one with the rule 0 * inf = 0."""
    first = np.moveaxis(values, axis, range(len(axis)))
    factors = first.reshape((-1, *first.shape[len(axis) :]))
    total = np.ones(factors.shape[1:])
    for factor in factors:
        total = OPERATOR_BY_NAME["mul"].meaning(total, factor)
    return total


class _Space(NamedTuple):
    """The points at which an Einsum is evaluated: the coordinates of each variable and which combinations exist."""

    variables: tuple[str, ...]
    coordinates: tuple[Coordinates, ...]  # one axis per variable, in the order of `variables`
    exists: NDArray[np.bool_]

    def over(self, variables: tuple[str, ...]) -> "_Space":
        """The projection onto some of the variables, in the order of this space."""
        dropped = tuple(axis for axis, name in enumerate(self.variables) if name not in variables)
        kept = tuple(axis for axis, name in enumerate(self.variables) if name in variables)
        names = tuple(self.variables[axis] for axis in kept)
        return _Space(
            names,
            tuple(np.squeeze(self.coordinates[axis], dropped) for axis in kept),
            np.asarray(self.exists.any(axis=dropped), dtype=np.bool_),
        )


def interpret(
    cascade: Cascade, inputs: Mapping[str, np.ndarray], sizes: Mapping[str, int] | None = None
) -> dict[str, np.ndarray]:
    """Every tensor the cascade writes, as float64 arrays with the batch axes first.

    Inputs carry any number of batch axes, the same for all (none for unbatched ones), then whole ranks in
    declared order. `sizes` gives the inner parts of partitions and ranks that no input has. An iterative
    tensor has one coordinate more than its rank.
    """
    tensors = _checked_inputs(cascade, inputs)
    workload = _workload(cascade, tensors, dict(sizes or {}))
    machine = _Machine(workload, tensors, _batch_shape(cascade, tensors))
    with np.errstate(all="ignore"):
        for group in cascade.groups:
            machine.run(group)
    return {einsum.name: machine.tensors[einsum.name] for einsum in cascade.einsums}


# --- inputs -------------------------------------------------------------------------------------------------
def _checked_inputs(cascade: Cascade, inputs: Mapping[str, np.ndarray]) -> dict[str, Array]:
    names = [tensor.name for tensor in cascade.inputs]
    for name in inputs:
        if name not in names:
            raise ValueError(f"{cascade.name} has no input '{name}'{near_or_all(name, names)}")
    missing = [name for name in names if name not in inputs]
    if missing:
        raise ValueError(f"{cascade.name} needs the input {listed(missing)}")
    arrays = {name: real_numbers(name, inputs[name]) for name in names}
    for tensor in cascade.inputs:
        axes, ranks = arrays[tensor.name].ndim, len(tensor.ranks)
        if axes < ranks or (axes > ranks and cascade.is_unbatched(tensor.name)):
            prefix = "" if cascade.is_unbatched(tensor.name) else "batch axes and "
            raise ValueError(f"input {tensor.name} needs {prefix}{ranks} axes ({listed(tensor.ranks)}), found {axes}")
    return arrays


def real_numbers(name: str, values: Any) -> Array:
    """An input as float64; ValueError if it holds anything but real numbers."""
    array = np.asarray(values)
    if array.dtype.kind not in "biuf":
        raise ValueError(f"input {name} must hold real numbers, found {array.dtype.name}")
    return array.astype(np.float64, copy=False)


def _batch_shape(cascade: Cascade, arrays: Mapping[str, Array]) -> tuple[int, ...]:
    first, shape = "", ()
    for tensor in cascade.inputs:
        if cascade.is_unbatched(tensor.name):
            continue
        found = arrays[tensor.name].shape[: arrays[tensor.name].ndim - len(tensor.ranks)]
        if first and found != shape:
            raise ValueError(f"the batch axes of {tensor.name} are {found}, but those of {first} are {shape}")
        first, shape = tensor.name, found
    return shape


def _workload(cascade: Cascade, arrays: Mapping[str, Array], sizes: dict[str, int]) -> Workload:
    """Sizes from the shapes of inputs, completed by `sizes`; batch ranks without axes count as one."""
    found: dict[str, tuple[str, int]] = {}
    for tensor in cascade.inputs:
        shape = arrays[tensor.name].shape[arrays[tensor.name].ndim - len(tensor.ranks) :]
        for rank, size in zip(tensor.ranks, shape, strict=True):
            owner, known = found.setdefault(rank, (tensor.name, size))
            if known != size:
                raise ValueError(f"rank {rank} is {known} in {owner} but {size} in {tensor.name}")
    batch = _batch_shape(cascade, arrays)
    if len(batch) == len(cascade.batch):
        found |= {rank: ("the batch axes", size) for rank, size in zip(cascade.batch, batch, strict=True)}
    for rank, size in sizes.items():
        if found.get(rank, ("", size))[1] != size:
            owner, known = found[rank]
            raise ValueError(f"rank {rank} is {known} in {owner} but {size} in the given sizes")
    known_sizes = {rank: size for rank, (_, size) in found.items()}
    every = dict.fromkeys(cascade.batch, 1) | known_sizes | sizes
    try:
        return Workload.model_validate({"cascade": cascade, "bits": 64, "sizes": every})
    except ValidationError as error:
        raise ValueError("\n".join(str(item["ctx"]["error"]) for item in error.errors())) from None


# --- evaluation ---------------------------------------------------------------------------------------------
class _Machine:
    """The tensors computed so far, and the sizes to compute the next with."""

    def __init__(self, workload: Workload, inputs: Mapping[str, Array], batch: tuple[int, ...]) -> None:
        self.workload = workload
        self.cascade = workload.cascade
        self.batch = batch
        self.tensors: dict[str, Array] = dict(inputs)

    def run(self, group: tuple[str, ...]) -> None:
        """Compute the Einsums of one iteration group, stepping its iterative rank if it has one."""
        for name in group:
            self.tensors[name] = self.empty(name)
        einsums = [self.cascade.einsum(name) for name in group]
        rank = next(
            (self.cascade.scope.iterative_rank[name] for name in group if self.cascade.is_iterative(name)),
            None,
        )
        if rank is None:
            for einsum in einsums:
                self.compute(einsum, {})
            return
        for step in range(self.workload.size(rank)):
            for einsum in einsums:
                if self.cascade.is_iterative(einsum.name):
                    self.pass_on(einsum.name, rank, step)
                self.compute(einsum, {rank.lower(): step})

    def empty(self, name: str) -> Array:
        """A tensor whose elements do not exist yet, except for an initial value."""
        ranks = self.cascade.tensor(name).ranks
        iterative = self.cascade.scope.iterative_rank.get(name)
        shape = tuple(self.workload.size(rank) + (rank == iterative) for rank in ranks)
        array = np.full((() if self.cascade.is_unbatched(name) else self.batch) + shape, np.nan)
        if iterative is not None:
            _along(array, ranks, iterative)[0] = self.cascade.initial_value(name)
        return array

    def pass_on(self, name: str, rank: str, step: int) -> None:
        """Keep the old value where the step does not exist."""
        view = _along(self.tensors[name], self.cascade.tensor(name).ranks, rank)
        view[step + 1] = view[step]

    def compute(self, einsum: Einsum, fixed: Mapping[str, int]) -> None:
        """Evaluate an Einsum at all points with some variables fixed, and place the result."""
        space = self.space(einsum.variables, fixed)
        target = space.over(einsum.output.variables)
        value = self.contraction(einsum, space)
        if value is None:
            value = self.reduced(einsum, space)
        axes = [self.indices(index, target) for index in einsum.output.indices]
        places: list[Any] = [np.broadcast_to(axis, target.exists.shape)[target.exists] for axis in axes]
        lead = value.shape[: value.ndim - target.exists.ndim]
        value = np.broadcast_to(value, lead + target.exists.shape)
        self.tensors[einsum.name][(..., *places)] = value[..., target.exists] if places else value

    def reduced(self, einsum: Einsum, space: _Space) -> Array:
        """The expression at every point, reduced over the variables absent on the left."""
        value = np.asarray(self.value(einsum.expr, space), dtype=np.float64)
        if einsum.reduction is None:
            return value
        lead = value.shape[: value.ndim - len(space.variables)]
        reducer = REDUCER_BY_NAME[einsum.reduction.operator]
        if reducer.name == "or":
            value = (value != 0).astype(np.float64)
        value = np.where(space.exists, np.broadcast_to(value, lead + space.exists.shape), reducer.identity)
        kept = len(space.variables)
        axes = tuple(place - kept for place, name in enumerate(space.variables) if name in einsum.reduced_variables)
        if reducer.name == "mul":
            return _product(value, axes)
        total = np.asarray(reducer.fold.reduce(value, axis=axes), dtype=np.float64)
        if reducer.name == "mean":
            total = total / space.exists.sum(axis=axes)
        return total

    def contraction(self, einsum: Einsum, space: _Space) -> Array | None:
        """A sum of products by numpy's own contraction; None where its arithmetic would differ from the definition.

        It differs if points are missing or a factor is infinite or NaN (numpy has 0 * inf = NaN), and since numpy
        chooses the order of operations: an overflow on the way shows as a result that is not finite, but an underflow
        in a product of three or more factors does not show.
        """
        factors = _factors(einsum.expr)
        if factors is None or einsum.reduction is None or einsum.reduction.operator != "add" or not space.exists.all():
            return None
        number = {name: place for place, name in enumerate(space.variables)}
        operands: list[Any] = []
        for access in factors:
            value = self.load(access, space)
            if not np.isfinite(value).all():
                return None
            lead = value.shape[: value.ndim - len(space.variables)]
            kept = tuple(name for name in space.variables if name in access.variables)
            sizes = tuple(space.exists.shape[number[name]] for name in kept)
            operands += [value.reshape(lead + sizes), [..., *(number[name] for name in kept)]]
        out: list[Any] = [
            ...,
            *(number[name] for name in space.variables if name not in einsum.reduced_variables),
        ]
        if len(factors) > 2 and _may_leave_range(operands[::2], space.exists.size):
            return None
        total = np.asarray(np.einsum(*operands, out, optimize=True))
        return total if np.isfinite(total).all() else None

    def space(self, variables: tuple[str, ...], fixed: Mapping[str, int]) -> _Space:
        """All coordinates of the variables, one axis each, and which of the points exist."""
        coordinates = []
        for axis, name in enumerate(variables):
            whole = np.arange(self.workload.size(self.cascade.rank_of_variable(name)))
            values = whole[fixed[name] : fixed[name] + 1] if name in fixed else whole
            coordinates.append(values.reshape((1,) * axis + (-1,) + (1,) * (len(variables) - axis - 1)))
        exists = np.ones((1,) * len(variables), dtype=bool)
        for partition in self.cascade.partitions:
            reached = np.zeros((1,) * len(variables), dtype=np.int64)
            for name, values in zip(variables, coordinates, strict=True):
                rank = self.cascade.rank_of_variable(name)
                if rank in partition.parts:
                    reached = reached + values * self.workload.stride(rank)
            exists = exists & (reached < self.workload.size(partition.rank))
        for axis in range(len(variables)):  # a coordinate at which no point exists is left out
            if exists.shape[axis] > 1:
                kept = np.flatnonzero(exists.any(axis=tuple(other for other in range(exists.ndim) if other != axis)))
                exists, coordinates[axis] = exists.take(kept, axis), coordinates[axis].take(kept, axis)
        shape = tuple(values.size for values in coordinates)
        return _Space(variables, tuple(coordinates), np.broadcast_to(exists, shape))

    def value(self, expr: Expr, space: _Space) -> Array:
        """The expression at every point; axes it does not depend on have length 1."""
        match expr:
            case Const():
                return np.float64(expr.value).reshape((1,) * len(space.variables))
            case Load():
                return self.load(expr.access, space)
            case Call():
                arguments = [self.value(argument, space) for argument in expr.arguments]
                return np.asarray(OPERATOR_BY_NAME[expr.operator].meaning(*arguments), dtype=np.float64)

    def load(self, access: Access, space: _Space) -> Array:
        """A tensor gathered over the space: batch axes, then one axis for each variable."""
        array = self.tensors[access.tensor]
        lead = array.shape[: array.ndim - len(access.indices)]
        if not access.indices:
            return array.reshape(lead + (1,) * len(space.variables))
        places: list[Any] = []
        for axis, index in enumerate(access.indices):
            place = self.indices(index, space, array.shape[len(lead) + axis] - 1)
            # points that do not exist may index past the end; they are discarded, so any coordinate will do
            places.append(np.minimum(place, array.shape[len(lead) + axis] - 1))
        return array[(..., *places)]

    def indices(self, index: Index, space: _Space, last: int = 0) -> Coordinates:
        """The coordinate an index takes at every point; `last` is that of an index that reads the last step."""
        place = np.full((1,) * len(space.variables), last if index.last_of else index.offset, dtype=np.int64)
        for term in index.terms:
            values = space.coordinates[space.variables.index(term.variable)]
            for rank in term.scale_ranks:
                values = values * self.workload.size(rank)
            place = place + term.scale * values
        return place


def _along(array: Array, ranks: tuple[str, ...], rank: str) -> Array:
    """A view with the axis of `rank` moved to the front."""
    return np.moveaxis(array, array.ndim - len(ranks) + ranks.index(rank), 0)


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
