"""Dependence relations between Einsums: which executions of one must come before an execution of another.

For every Einsum and every Einsum it depends on, a set of *reaches* (`reaches`): axis by axis, which coordinates of the
earlier Einsum are needed by one point of the later one. They hold relative to the ranks the axis is *tied* to; when a
reduction removes those ranks, or an iterative tensor is read at its last coordinate, the reach becomes ALL, unless a
condition keeps the removed coordinate near one that stays (`narrowing`). Reaches are composed along the data flow to a
fixed point, so that chains, tiles, iterations and broadcasts need no special rules.

An axis is a leaf rank; or a *joint* one, the first name of a rank that has several. Along a joint axis the coordinates
under all names are one: what is read at m and at p is visited twice.
"""

from collections.abc import Iterable, Iterator, Mapping
from itertools import product
from typing import NamedTuple

from einsums.graph import settle, topological_order
from einsums.narrowing import narrowed
from einsums.nodes import Access, Einsum
from einsums.reaches import BACKWARD, CONSTANT, EVERY, Extent, Kind, Reach, backward, before, composed, simplified
from einsums.scope import AccessAxis
from einsums.types import Cascade

Reaches = dict[str, frozenset[Reach]]  # by name of the earlier Einsum


class Dependence:
    """Reaches of every Einsum of a cascade along `axes`, at its points and at its output."""

    def __init__(
        self, cascade: Cascade, axes: tuple[str, ...], joint: Mapping[str, tuple[str, ...]] | None = None
    ) -> None:
        """`joint`: for each joint axis, the names under which its elements are visited."""
        self.cascade = cascade
        self.axes = axes
        self.joint = joint or {}
        self.own_ties = tuple(self._ties_of(axis) for axis in axes)
        self.of_output: dict[str, Reaches] = {}
        order = [cascade.einsum(name) for name in topological_order(cascade)]
        settle(order, self._output_reaches, self.of_output)

    def _ties_of(self, axis: str) -> frozenset[str]:
        """Leaf ranks whose coordinates an axis is about."""
        names = self.cascade.scope.names_of(axis) if axis in self.joint else ()
        return frozenset(leaf for name in names for leaf in leaves_of(self.cascade, name)) or frozenset((axis,))

    def at_point(self, einsum: Einsum) -> Reaches:
        """What one point of the Einsum needs through what it reads, excluding the Einsum itself."""
        found: dict[str, set[Reach]] = {}
        for access in self.cascade.reads_of(einsum):
            for name, reaches in self.through(access).items():
                found.setdefault(name, set()).update(reaches)
        return {name: simplified(reaches) for name, reaches in found.items()}

    def through(self, access: Access) -> Reaches:
        """What reading one access needs, relative to the coordinates of the reading point."""
        reaches = self.of_output.get(access.tensor, {})
        if not reaches:
            return {}
        reader = _AccessReadings(self.cascade, access)
        return {
            name: simplified(
                every
                for reach in found
                for every in product(*(self._seen(axis, extent, reader) for axis, extent in enumerate(reach)))
            )
            for name, found in reaches.items()
        }

    def _seen(self, axis: int, extent: Extent, reader: "_AccessReadings") -> tuple[Extent, ...]:
        """An extent over a tensor's coordinates, seen from the point that reads it: one for each alternative."""
        if not extent.ties:
            return (extent,)
        ties, is_old = reader.ties(extent.ties)
        if ties:
            there = Extent(extent.kind, ties)
            return (before(there) if is_old else there,)
        # all steps but the last count as ALL: one coordinate more or less does not make a pass
        if not reader.is_last(extent.ties) or extent.kind not in (Kind.EARLIER, Kind.UPTO, Kind.FROM):
            return (CONSTANT,)
        found = []
        assert reader.written is not None  # an input has no last step
        for near in self._near(axis, reader.written, extent.ties):
            ties, _ = reader.ties(near.ties)
            found.append(Extent(near.kind, ties) if ties else EVERY if near.ties else near)
        return tuple(dict.fromkeys(found))

    def own(self, einsum: Einsum) -> tuple[Reach, ...]:
        """The reaches of a point to itself, one for each combination of names under which it has the axes."""
        return tuple(product(*(self._own_extents(einsum, axis) for axis in self.axes)))

    def _own_extents(self, einsum: Einsum, axis: str) -> tuple[Extent, ...]:
        """Along an axis that the Einsum lacks, all of its executions are the same one."""
        present = {self.cascade.rank_of_variable(name) for name in einsum.variables}
        if axis in self.joint:
            found = [frozenset(leaves_of(self.cascade, name)) & present for name in self.joint[axis]]
            extents = tuple(Extent(Kind.LOCAL, ties) for ties in found if ties)
            if extents:
                return extents
        elif axis.lower() in self.cascade.variables_of(einsum.name):
            return (Extent(Kind.LOCAL, frozenset((axis,))),)
        ties = frozenset(_affine_ties(self.cascade, einsum, axis))
        return (Extent(Kind.LOCAL, ties),) if ties else (EVERY,)

    def _output_reaches(self, einsum: Einsum) -> Reaches:
        reaches = {name: set(found) for name, found in self.at_point(einsum).items()}
        reaches.setdefault(einsum.name, set()).update(self.own(einsum))
        reduced = frozenset(self.cascade.rank_of_variable(name) for name in einsum.reduced_variables)
        return {
            name: simplified(
                every
                for reach in found
                for every in product(*(self._without(axis, e, einsum, reduced) for axis, e in enumerate(reach)))
            )
            for name, found in reaches.items()
        }

    def _without(self, axis: int, extent: Extent, einsum: Einsum, reduced: frozenset[str]) -> tuple[Extent, ...]:
        """The extent once the reduced ranks are gone from the coordinates: one for each alternative."""
        gone = frozenset(tie for tie in extent.ties if tie.removeprefix(BACKWARD) in reduced)
        if not gone:
            return (extent,)
        if extent.ties - gone:
            return (Extent(extent.kind, extent.ties - gone),)
        return tuple(dict.fromkeys(composed(extent.kind, near) for near in self._near(axis, einsum, gone)))

    def _near(self, axis: int, einsum: Einsum, gone: frozenset[str]) -> tuple[Extent, ...]:
        """Where the coordinates that leave lie, relative to those of the result, for each alternative.

        Only along a joint axis: otherwise all that exist of the rank are needed, in every fiber.
        """
        if self.axes[axis] not in self.joint or any(tie.startswith(BACKWARD) for tie in gone):
            return (EVERY,)
        left = {name for name in einsum.output.variables if name.upper() not in gone}
        kept, removed = with_wholes(self.cascade, left), with_wholes(self.cascade, (tie.lower() for tie in gone))
        region = self.cascade.existence.points[einsum.name]
        own = self.own_ties[axis]
        extents = narrowed(region, removed, kept, self.cascade.scope)
        return tuple(extent if extent.ties <= own else EVERY for extent in extents)


def with_wholes(cascade: Cascade, variables: Iterable[str]) -> frozenset[str]:
    """Variables, and the whole partitioned ranks of which they are parts, as regions write them."""
    own = frozenset(variables)
    return own | {cascade.root_of(name.upper()).lower() for name in own}


class _AccessReadings:
    """How the leaf ranks of a tensor are read by one access."""

    def __init__(self, cascade: Cascade, access: Access) -> None:
        iterative = cascade.scope.iterative_rank.get(access.tensor)
        self.written = next((einsum for einsum in cascade.einsums if einsum.name == access.tensor), None)
        self.readings: dict[str, _Reading] = {}
        for axis in cascade.axes_of(access):
            self.readings.update(_leaf_readings(cascade, axis, iterative == axis.rank))

    def ties(self, ties: Iterable[str]) -> tuple[frozenset[str], bool]:
        """The ranks of the reader that ties to the tensor's ranks become, and whether an earlier step is read."""
        found: set[str] = set()
        is_old = False
        for tie in ties:
            reading = self.readings.get(tie.removeprefix(BACKWARD), _Reading(frozenset((tie.removeprefix(BACKWARD),))))
            found |= {backward(own) for own in reading.ties} if tie.startswith(BACKWARD) else reading.ties
            is_old = is_old or reading.is_old
        return frozenset(found), is_old

    def is_last(self, ties: Iterable[str]) -> bool:
        """Whether one of the ranks is read at the last step."""
        return any(tie in self.readings and self.readings[tie].is_last for tie in ties)


class _Reading(NamedTuple):
    """How one leaf rank of a tensor is read: at the ranks `ties`, at the step before, or at the last step."""

    ties: frozenset[str]
    is_old: bool = False
    is_last: bool = False


def _leaf_readings(cascade: Cascade, axis: AccessAxis, iterates: bool) -> dict[str, _Reading]:
    rank, over, index = axis
    if index.last_of:
        return {rank: _Reading(frozenset(), is_last=True)}
    partition = cascade.partition_of(rank)
    if partition is not None and index.plain_variable is None and over == rank:
        return {part: _Reading(frozenset((part,))) for part in partition.parts}
    turned = {term.variable for term in index.terms if term.scale < 0 and index.sizes}
    ranks = ((name, cascade.rank_of_variable(name)) for name in index.variables)
    ties = frozenset(backward(own) if name in turned else own for name, own in ranks)
    is_old = iterates and bool(ties) and index.offset == 0
    return {leaf: _Reading(ties, is_old=is_old) for leaf in leaves_of(cascade, rank)}


def leaves_of(cascade: Cascade, rank: str) -> tuple[str, ...]:
    """The parts of a partitioned rank, or the rank itself."""
    partition = cascade.partition_of(rank)
    return partition.parts if partition else (rank,)


def _affine_ties(cascade: Cascade, einsum: Einsum, axis: str) -> Iterator[str]:
    """Ranks whose variables, in an index such as `h+r`, run over the axis of an accessed tensor."""
    for access in einsum.loads:
        for rank, _, index in cascade.axes_of(access):
            if axis in leaves_of(cascade, rank):
                yield from (cascade.rank_of_variable(name) for name in index.variables)
