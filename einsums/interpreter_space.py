"""The points at which the interpreter evaluates an Einsum, and the integers that indices are there."""

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from einsums.conditions import BOUND
from einsums.nodes import Access, Index
from einsums.workload import Workload

Array = NDArray[np.float64]
Coordinates = NDArray[np.int64]
Mask = NDArray[np.bool_]


class PointAxes(Protocol):
    """PointAxes with an axis for each of `variables`, on which operands and regions are evaluated."""

    @property
    def workload(self) -> Workload:
        """The sizes of all ranks."""

    @property
    def variables(self) -> tuple[str, ...]:
        """A name for each axis."""

    @property
    def inside(self) -> Mask:
        """Which points lie inside the ranks."""

    def coordinate(self, variable: str) -> Coordinates:
        """A variable at every point; that of a whole partitioned rank is put together from its parts."""

    def with_more(self, variables: tuple[str, ...]) -> "PointAxes":
        """The points with more variables, whose axes come last."""


class Space(NamedTuple):
    """The coordinates of each variable, one axis for each, and which combinations lie inside the ranks."""

    workload: Workload
    variables: tuple[str, ...]
    coordinates: tuple[Coordinates, ...]  # in the order of `variables`
    inside: Mask

    def over(self, variables: tuple[str, ...]) -> "Space":
        """The projection onto some of the variables, in the order of this space."""
        dropped = tuple(axis for axis, name in enumerate(self.variables) if name not in variables)
        kept = tuple(axis for axis, name in enumerate(self.variables) if name in variables)
        names = tuple(self.variables[axis] for axis in kept)
        return Space(
            self.workload,
            names,
            tuple(np.squeeze(self.coordinates[axis], dropped) for axis in kept),
            np.asarray(self.inside.any(axis=dropped), dtype=np.bool_),
        )

    def with_more(self, variables: tuple[str, ...]) -> "Space":
        """The space with more variables, whose axes come last."""
        own = {name: values.ravel() for name, values in zip(self.variables, self.coordinates, strict=True)}
        return space_of(self.workload, (*self.variables, *variables), own)

    @property
    def shape(self) -> tuple[int, ...]:
        """Coordinates along each axis."""
        return self.inside.shape

    def coordinate(self, variable: str) -> Coordinates:
        """A variable at every point; that of a whole partitioned rank is put together from its parts."""
        if variable in self.variables:
            return self.coordinates[self.variables.index(variable)]
        partition = self.workload.cascade.partition_of(variable.upper())
        assert partition is not None, variable
        total = np.zeros((1,) * len(self.variables), dtype=np.int64)
        for part in partition.parts:
            total = total + self.coordinates[self.variables.index(part.lower())] * self.workload.stride(part)
        return total


def form_value(points: PointAxes, form: Index, last: int = 0) -> Coordinates:
    """An affine form at every point; `last` is the value of an index that reads the last step."""
    start = last if form.last_of else form.offset
    if (variable := form.plain_variable) is not None:  # as nearly all are
        values = points.coordinate(variable)
        return values + start if start else values
    total = np.full((1,) * len(points.variables), start, dtype=np.int64)
    for term in (*form.terms, *form.sizes):
        values = points.coordinate(term.variable) if term.variable else np.ones_like(total)
        for rank in term.scale_ranks:
            values = values * points.workload.size(rank)
        total = total + term.scale * values
    return total


def space_of(workload: Workload, variables: tuple[str, ...], fixed: Mapping[str, NDArray[np.int64]]) -> Space:
    """All coordinates of the variables, or those that are given, and which of the points lie inside the ranks."""
    coordinates = []
    for axis, name in enumerate(variables):
        rank = workload.cascade.rank_of_variable(name.rstrip(BOUND))
        values = fixed[name] if name in fixed else np.arange(workload.size(rank))
        coordinates.append(values.reshape((1,) * axis + (-1,) + (1,) * (len(variables) - axis - 1)))
    inside = np.ones((1,) * len(variables), dtype=bool)
    for partition in workload.cascade.partitions:
        reached = np.zeros((1,) * len(variables), dtype=np.int64)
        for name, values in zip(variables, coordinates, strict=True):
            rank = "" if name.endswith(BOUND) else workload.cascade.rank_of_variable(name)
            if rank in partition.parts:
                reached = reached + values * workload.stride(rank)
        inside = inside & (reached < workload.size(partition.rank))
    for axis in range(len(variables)):  # a coordinate at which no point lies inside is left out
        if inside.shape[axis] > 1 and variables[axis] not in fixed:
            kept = np.flatnonzero(inside.any(axis=tuple(other for other in range(inside.ndim) if other != axis)))
            inside, coordinates[axis] = inside.take(kept, axis), coordinates[axis].take(kept, axis)
    shape = tuple(values.size for values in coordinates)
    return Space(workload, variables, tuple(coordinates), np.broadcast_to(inside, shape))


def gather(array: Array, access: Access, space: PointAxes) -> Array:
    """An accessed tensor over a space, batch axes first.

    Points that do not exist may index past an end; they are discarded, so any element will do.
    """
    lead = array.shape[: array.ndim - len(access.indices)]
    if not access.indices:
        return array.reshape(lead + (1,) * len(space.variables))
    places: list[Any] = []
    for axis, index in enumerate(access.indices):
        last = array.shape[len(lead) + axis] - 1
        place = np.minimum(form_value(space, index, last), last)
        places.append(place if index.plain_variable and index.offset >= 0 else np.maximum(place, 0))
    return array[(..., *places)]


def is_inside(array: Array, access: Access, space: PointAxes) -> Mask:
    """Whether the accessed place lies inside the tensor, at every point."""
    found: Mask = np.ones((1,) * len(space.variables), dtype=bool)
    sizes = array.shape[array.ndim - len(access.indices) :]
    for size, index in zip(sizes, access.indices, strict=True):
        place = form_value(space, index, size - 1)
        found = found & (place >= 0) & (place < size)
    return found
