"""The points of one step of an Einsum, laid out for numpy: reduced points in the order in which the machine adds them.

A box gives every rank variable a range of coordinates. Over it, the axes of every operand are

    [reduced point, output variable, output variable, ...]

where the first axis runs through the reduced points in mapped order and an axis on which an operand does not depend
has length 1. A *group* of reduced points is added inside the array, as a chain down its sides; groups follow one
another in time.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from arch.components import SIDES
from einsums.conditions import BOUND
from einsums.interpreter_existence import RegionEvaluator
from einsums.interpreter_machine import position
from einsums.interpreter_space import PointAxes, form_value
from einsums.nodes import Call, Const, Expr, Load, Position
from einsums.operators import OPERATOR_BY_NAME
from einsums.types import Access, Cascade
from einsums.workload import Workload
from mappings.tree import PlacedLeaf
from sim.engine.extents import is_inside
from sim.functional.boxes import Box, iter_tiles
from sim.functional.program import Program

Array = NDArray[np.floating]


class ReducedOrder:
    """The reduced points of a leaf inside a box: coordinates i8[point, variable] and the lengths of groups."""

    def __init__(self, variables: tuple[str, ...], coordinates: NDArray[np.int64], groups: tuple[int, ...]) -> None:
        self.variables, self.coordinates, self.groups = variables, coordinates, groups

    @property
    def longest_path(self) -> int:
        """The most additions that a term passes through: those of its group's chain, and one per later group."""
        return max(self.groups) - 1 + len(self.groups)


def reduced_order(program: Program, leaf: PlacedLeaf, box: Box, walked: int) -> ReducedOrder:
    """Temporal loops of the leaf from the `walked`th on divide the box; the rest is a chain along the sides.

    The chain goes down the rows of a column before it goes on to the next column, then to the next lane.
    """
    variables = program.cascade.einsum(leaf.einsum).reduced_variables
    loops = [program.loops[i] for i in leaf.loops[walked:]]
    own = [loop for loop in loops if loop.variable in variables]
    points: list[NDArray[np.int64]] = []
    groups: list[int] = []

    def walk(depth: int, ranges: Box) -> None:
        if depth < len(own):
            for inside in iter_tiles(ranges, own[depth]):
                walk(depth + 1, inside)
            return
        axes = np.meshgrid(*(np.arange(*ranges[v]) for v in variables), indexing="ij")
        coordinates = dict(zip(variables, (axis.ravel() for axis in axes), strict=True))
        within: dict[str, NDArray[np.int64]] = {v: coordinates[v] - ranges[v][0] for v in variables}
        chain = np.lexsort(tuple(reversed(places_in_chain(leaf, within, program.side_counts))))
        points.append(np.stack([coordinates[v] for v in variables], axis=1)[chain])
        groups.append(len(chain))

    if not variables:
        return ReducedOrder((), np.zeros((1, 0), np.int64), (1,))
    walk(0, {v: box[v] for v in variables})
    return ReducedOrder(variables, np.concatenate(points), tuple(groups))


def places_in_chain(
    leaf: PlacedLeaf, inside: dict[str, NDArray[np.int64]], counts: Mapping[str, int]
) -> list[NDArray[np.int64]]:
    """Where points lie, i8[point] each, slowest first: in ranks on no side, then along lanes, columns and rows.

    `inside`: coordinates of the points from where the array's tile begins, by variable.
    """
    rest = dict(inside)
    along: dict[str, list[NDArray[np.int64]]] = {side: [] for side in SIDES}
    for loop in reversed(leaf.spatial):
        if loop.variable in rest:
            count = counts[loop.count] if loop.count else rest[loop.variable].max() + 1
            along[loop.side].insert(0, rest[loop.variable] % count)
            rest[loop.variable] = rest[loop.variable] // count
    return [*rest.values(), *(places for side in reversed(SIDES) for places in along[side])]


@dataclass(frozen=True)
class PlacedPoints:
    """PointAxes whose coordinates are given for each rank variable, all with the same axes."""

    workload: Workload
    variables: tuple[str, ...]  # a name for each axis
    coordinates: Mapping[str, NDArray[np.int64]]

    def coordinate(self, variable: str) -> NDArray[np.int64]:
        if variable in self.coordinates:
            return self.coordinates[variable]
        partition = self.workload.cascade.partition_of(variable.upper())
        assert partition is not None, variable
        total = np.zeros((1,) * len(self.variables), np.int64)
        for part in partition.parts:
            total = total + self.coordinates[part.lower()] * self.workload.stride(part)
        return total

    def with_more(self, variables: tuple[str, ...]) -> "PlacedPoints":
        more = len(variables)
        found = {name: place.reshape(place.shape + (1,) * more) for name, place in self.coordinates.items()}
        for axis, name in enumerate(variables):
            size = self.workload.size(self.workload.cascade.rank_of_variable(name.rstrip(BOUND)))
            shape = [1] * (len(self.variables) + more)
            shape[len(self.variables) + axis] = -1
            found[name] = np.arange(size).reshape(shape)
        return PlacedPoints(self.workload, (*self.variables, *variables), found)

    @property
    def inside(self) -> NDArray[np.bool_]:
        inside: NDArray[np.bool_] = np.ones((1,) * len(self.variables), bool)
        for partition in self.workload.cascade.partitions:
            reached: Any = 0
            for part in partition.parts:
                if part.lower() in self.coordinates:
                    reached = reached + self.coordinates[part.lower()] * self.workload.stride(part)
            inside = inside & is_inside(reached, self.workload.size(partition.rank))
        return inside


class BoxPoints:
    """The points of one Einsum over a box. `held`: the tensors, of which conditions read some."""

    def __init__(
        self, workload: Workload, einsum: str, box: Box, order: ReducedOrder, held: Mapping[str, Array]
    ) -> None:
        self.workload, self.einsum, self.order, self.held = workload, einsum, order, held
        cascade = workload.cascade
        self.variables = tuple(v for v in cascade.variables_of(einsum) if v not in order.variables)
        self.ranges = tuple(box[v] for v in self.variables)
        self.shape = tuple(high - low for low, high in self.ranges)
        self.regions = RegionEvaluator(self._tested, self._value)

    @property
    def cascade(self) -> Cascade:
        return self.workload.cascade

    def coordinate(self, variable: str) -> NDArray[np.int64]:
        """Coordinates of a variable on its axis."""
        axes = 1 + len(self.variables)
        if variable in self.order.variables:
            values, axis = self.order.coordinates[:, self.order.variables.index(variable)], 0
        else:
            axis = 1 + self.variables.index(variable)
            values = np.arange(*self.ranges[axis - 1])
        return values.reshape((1,) * axis + (-1,) + (1,) * (axes - axis - 1))

    @cached_property
    def placed(self) -> PlacedPoints:
        """All points, with the axes of operands."""
        names = (*self.order.variables, *self.variables)
        axes = ("", *self.variables)
        return PlacedPoints(self.workload, axes, {name: self.coordinate(name) for name in names})

    @cached_property
    def inside(self) -> NDArray[np.bool_] | None:
        """[reduced, output ...]: which points lie inside their partitioned ranks; None if all do."""
        inside = self.placed.inside
        return None if inside.all() else inside

    @cached_property
    def exists(self) -> NDArray[np.bool_] | None:
        """[reduced, output ...]: which points exist; None if all do."""
        found = self.regions.of(self.cascade.existence.points[self.einsum], self.placed)
        if found is None or found.all():
            return self.inside
        return found if self.inside is None else found & self.inside

    def existing(self) -> "BoxPoints":
        """The same without reduced points that exist for no result; unchanged if that leaves nothing."""
        exists = self.exists
        if exists is None or len(exists) == 1:
            return self
        kept = exists.any(axis=tuple(range(1, exists.ndim)))
        if kept.all() or not kept.any():
            return self
        ends = np.cumsum(self.order.groups)
        groups = np.add.reduceat(kept.astype(np.int64), np.concatenate([[0], ends[:-1]]))
        order = ReducedOrder(self.order.variables, self.order.coordinates[kept], tuple(int(n) for n in groups if n))
        box = dict(zip(self.variables, self.ranges, strict=True))
        return BoxPoints(self.workload, self.einsum, box, order, self.held)

    def target_exists(self) -> NDArray[np.bool_] | None:
        """[output ...]: which results there are, or of a running value: which this step changes; None if all."""
        if self.cascade.is_iterative(self.einsum):
            found = None if self.exists is None else self.exists.any(axis=0)
        else:
            found = None if self.inside is None else self.inside.any(axis=0)
            outputs = {name: self.coordinate(name) for name in self.variables}
            places = PlacedPoints(self.workload, self.placed.variables, outputs)
            region = self.regions.of(self.cascade.existence.elements[self.einsum], places)
            if region is not None:
                found = region[0] if found is None else region[0] & found
        return None if found is None or found.all() else np.broadcast_to(found, self.shape)

    def counts(self) -> NDArray[np.int64]:
        """[output ...]: existing points of each result."""
        whole = (len(self.order.coordinates), *self.shape)
        exists = np.ones((1,) * len(whole), bool) if self.exists is None else self.exists
        return np.broadcast_to(exists, whole).sum(axis=0)

    def _tested(self, access: Access, points: PointAxes) -> NDArray[np.float64]:
        """A tensor that a condition reads."""
        batch = () if self.cascade.is_unbatched(access.tensor) else self.cascade.batch
        array = self.held[access.tensor]
        places = [points.coordinate(rank.lower()) for rank in batch]
        for axis, index in enumerate(access.indices, start=len(batch)):
            places.append(np.clip(form_value(points, index, array.shape[axis] - 1), 0, array.shape[axis] - 1))
        return np.asarray(array[tuple(places)], np.float64)

    def _value(self, expr: Expr, points: PointAxes) -> NDArray[np.float64]:
        """An expression of a condition."""
        match expr:
            case Const():
                return np.full((1,) * len(points.variables), expr.value)
            case Load():
                return self._tested(expr.access, points)
            case Position():
                return position(expr, points).astype(np.float64)
            case Call():
                arguments = [self._value(argument, points) for argument in expr.arguments]
                return np.asarray(OPERATOR_BY_NAME[expr.operator].meaning(*arguments), dtype=np.float64)

    # --- operands -------------------------------------------------------------------------------------------
    def operand(self, array: Array, access: Access) -> Array:
        """A tensor that the expression reads; outside it the value of its edge, if that is a number."""
        edge = self.cascade.scope.edge_by_tensor.get(access.tensor)
        if edge is None:
            return self.gather(array, access)
        return np.where(self.is_within(access, array), self.gather(array, access), array.dtype.type(edge))

    def is_within(self, access: Access, array: Array) -> NDArray[np.bool_]:
        """At which points an access lies inside its tensor."""
        inside: NDArray[np.bool_] = np.ones((1,) * len(self.placed.variables), bool)
        for axis, index in enumerate(access.indices, start=array.ndim - len(access.indices)):
            place = form_value(self.placed, index, array.shape[axis] - 1)
            inside = inside & (place >= 0) & (place < array.shape[axis])
        return inside

    def position(self, expr: Position) -> NDArray[np.int64]:
        """An integer of coordinates at every point."""
        return position(expr, self.placed)

    def gather(self, array: Array, access: Access) -> Array:
        """An operand over the points, as a view of the tensor if possible."""
        places = list(self._iter_places(array, access))
        found = self._view(array, places)
        if found is not None:
            return found
        return np.asarray(array[tuple(place if isinstance(place, np.ndarray) else place[0] for place in places)])

    def scatter(self, array: Array, access: Access, values: Array) -> None:
        """Store results [output ...]."""
        places = list(self._iter_places(array, access))
        view = self._view(array, places)
        if view is not None:
            view[0] = values
            return
        flat = tuple(place if isinstance(place, np.ndarray) else place[0] for place in places)
        array[flat] = np.broadcast_to(values[None], np.broadcast_shapes(*(place.shape for place in flat)))

    def _iter_places(self, array: Array, access: Access) -> Iterator[Any]:
        """For every axis of a tensor its coordinates, with the axis of the points on which alone they run evenly."""
        batch = () if self.cascade.is_unbatched(access.tensor) else self.cascade.batch
        for rank in batch:
            yield self._placed(self.coordinate(rank.lower()))
        for axis, index in enumerate(access.indices, start=len(batch)):
            # A point that does not exist may index past the end; it is discarded, so any coordinate will do.
            last = array.shape[axis] - 1
            yield self._placed(np.clip(form_value(self.placed, index, last), 0, last))

    @staticmethod
    def _placed(place: NDArray[np.int64]) -> Any:
        """(coordinates, axis, first) where the coordinates count up by one along a single axis."""
        long = [axis for axis, length in enumerate(place.shape) if length > 1]
        if len(long) > 1:
            return place
        flat = place.ravel()
        if flat.size > 1 and not (np.diff(flat) == 1).all():
            return place
        return place, long[0] if long else -1, int(flat[0])

    def _view(self, array: Array, places: list[Any]) -> Array | None:
        """The tensor's own elements with axes in the order of the points, if slices can give them."""
        if any(isinstance(place, np.ndarray) for place in places):
            return None
        axes = [axis for _, axis, _ in places]
        used = [axis for axis in axes if axis >= 0]
        if len(set(used)) < len(used):
            return None
        slices = tuple(slice(first, first + place.size) if axis >= 0 else first for place, axis, first in places)
        view = array[(..., *slices)]  # the ellipsis makes it a view even if every axis is fixed
        view = view.transpose(sorted(range(len(used)), key=used.__getitem__))
        return view[tuple(slice(None) if axis in used else None for axis in range(1 + len(self.variables)))]
