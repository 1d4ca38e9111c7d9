"""Dependence relations between Einsums: which executions of one must come before an execution of another.

For every Einsum and every Einsum it depends on, a set of *reaches*. A reach says, axis by axis, which coordinates of
the earlier Einsum are needed by one point of the later one:

    LOCAL    those at the point's own coordinate (or at a bounded window around it)
    EARLIER  those of earlier steps of an iteration
    UPTO     those of earlier steps and of this one
    FIXED    those at a constant coordinate
    ALL      every one

LOCAL, EARLIER and UPTO hold relative to the ranks the axis is *tied* to; when a reduction removes those ranks, or an
iterative tensor is read at its last coordinate, the reach becomes ALL. Reaches are composed along the data flow to a
fixed point, so that chains, tiles, iterations and broadcasts need no special rules.
"""

from collections.abc import Iterable, Iterator
from enum import IntEnum
from itertools import combinations
from typing import NamedTuple

from einsums.graph import topological_order
from einsums.nodes import Access, Einsum, Index
from einsums.types import Cascade


class Kind(IntEnum):
    """How far a reach extends along one axis."""

    FIXED = 0
    LOCAL = 1
    EARLIER = 2
    UPTO = 3
    ALL = 4


class Extent(NamedTuple):
    """Reach along one axis, relative to the ranks `ties` of the point or tensor that it belongs to."""

    kind: Kind
    ties: frozenset[str] = frozenset()


Reach = tuple[Extent, ...]
Reaches = dict[str, frozenset[Reach]]  # by name of the earlier Einsum

_ALL = Extent(Kind.ALL)
_FIXED = Extent(Kind.FIXED)
_GROWING = (Kind.LOCAL, Kind.EARLIER, Kind.UPTO)


class Dependence:
    """Reaches of every Einsum of a cascade along `axes` (leaf ranks), at its points and at its output."""

    def __init__(self, cascade: Cascade, axes: tuple[str, ...]) -> None:
        self.cascade = cascade
        self.axes = axes
        self.of_output: dict[str, Reaches] = {}
        order = [cascade.einsum(name) for name in topological_order(cascade)]
        changed = True
        while changed:  # takes more than one round only where Einsums iterate
            changed = False
            for einsum in order:
                found = self._output_reaches(einsum)
                changed = changed or found != self.of_output.get(einsum.name)
                self.of_output[einsum.name] = found

    def at_point(self, einsum: Einsum) -> Reaches:
        """What one point of the Einsum needs through its loads, excluding the Einsum itself."""
        found: dict[str, set[Reach]] = {}
        for access in einsum.loads:
            for name, reaches in self.through(access).items():
                found.setdefault(name, set()).update(reaches)
        return {name: _simplified(reaches) for name, reaches in found.items()}

    def through(self, access: Access) -> Reaches:
        """What reading one access needs, relative to the coordinates of the reading point."""
        reaches = self.of_output.get(access.tensor, {})
        if not reaches:
            return {}
        readers = _readings(self.cascade, access)
        return {
            name: _simplified(tuple(_read(extent, readers) for extent in reach) for reach in found)
            for name, found in reaches.items()
        }

    def own(self, einsum: Einsum) -> Reach:
        """The reach of a point to itself: along an axis that it lacks, all of its executions are the same one."""
        return tuple(self._own_extent(einsum, axis) for axis in self.axes)

    def _own_extent(self, einsum: Einsum, axis: str) -> Extent:
        if axis.lower() in self.cascade.variables_of(einsum.name):
            return Extent(Kind.LOCAL, frozenset((axis,)))
        ties = frozenset(_affine_ties(self.cascade, einsum, axis))
        return Extent(Kind.LOCAL, ties) if ties else _ALL

    def _output_reaches(self, einsum: Einsum) -> Reaches:
        reaches = {name: set(found) for name, found in self.at_point(einsum).items()}
        reaches.setdefault(einsum.name, set()).add(self.own(einsum))
        reduced = frozenset(self.cascade.rank_of_variable(name) for name in einsum.reduced_variables)
        return {
            name: _simplified(tuple(_without(extent, reduced) for extent in reach) for reach in found)
            for name, found in reaches.items()
        }


# --- one extent ---------------------------------------------------------------------------------------------
def _without(extent: Extent, reduced: frozenset[str]) -> Extent:
    """The extent once the reduced ranks are gone from the coordinates."""
    ties = extent.ties - reduced
    if ties == extent.ties:
        return extent
    return Extent(extent.kind, ties) if ties else _ALL


class _Reading(NamedTuple):
    """How one leaf rank of a tensor is read: at the ranks `ties`, at the step before, or at the last step."""

    ties: frozenset[str]
    is_old: bool = False
    is_last: bool = False


def _read(extent: Extent, readings: dict[str, _Reading]) -> Extent:
    """An extent over a tensor's coordinates, seen from the point that reads the tensor."""
    if not extent.ties:
        return extent
    found = [readings.get(rank, _Reading(frozenset((rank,)))) for rank in sorted(extent.ties)]
    ties = frozenset(tie for reading in found for tie in reading.ties)
    if ties:
        is_old = any(reading.is_old for reading in found)
        return Extent(Kind.EARLIER if is_old else extent.kind, ties)
    # all steps but the last count as ALL: one coordinate more or less does not make a pass
    at_last = any(reading.is_last for reading in found) and extent.kind in (Kind.EARLIER, Kind.UPTO)
    return _ALL if at_last else _FIXED


def _readings(cascade: Cascade, access: Access) -> dict[str, _Reading]:
    iterative = cascade.scope.iterative_rank.get(access.tensor)
    found = {}
    for index, rank in zip(access.indices, cascade.tensor(access.tensor).ranks, strict=True):
        found.update(_leaf_readings(cascade, index, rank, iterative == rank))
    return found


def _leaf_readings(cascade: Cascade, index: Index, rank: str, iterates: bool) -> dict[str, _Reading]:
    if index.last_of:
        return {rank: _Reading(frozenset(), is_last=True)}
    partition = cascade.partition_of(rank)
    if partition is not None and index.plain_variable is None and cascade.scope.rank_of_index(index) == rank:
        return {part: _Reading(frozenset((part,))) for part in partition.parts}
    ties = frozenset(cascade.rank_of_variable(name) for name in index.variables)
    is_old = iterates and bool(ties) and index.offset == 0
    return {leaf: _Reading(ties, is_old=is_old) for leaf in leaves_of(cascade, rank)}


def leaves_of(cascade: Cascade, rank: str) -> tuple[str, ...]:
    """The parts of a partitioned rank, or the rank itself."""
    partition = cascade.partition_of(rank)
    return partition.parts if partition else (rank,)


def _affine_ties(cascade: Cascade, einsum: Einsum, axis: str) -> Iterator[str]:
    """Ranks whose variables, in an index such as `h+r`, run over the axis of an accessed tensor."""
    for access in einsum.loads:
        for index, rank in zip(access.indices, cascade.tensor(access.tensor).ranks, strict=True):
            if axis in leaves_of(cascade, rank):
                yield from (cascade.rank_of_variable(name) for name in index.variables)


# --- sets of reaches ----------------------------------------------------------------------------------------
def _simplified(reaches: Iterable[Reach]) -> frozenset[Reach]:
    """Merged where the union of two is one reach (this step and earlier ones); a reach inside another is dropped."""
    found = set(reaches)
    joined = True
    while joined:
        joined = False
        for one, other in combinations(sorted(found, key=_place), 2):
            axis = _joinable(one, other)
            if axis is not None:
                found -= {one, other}
                found.add((*one[:axis], Extent(Kind.UPTO, one[axis].ties), *one[axis + 1 :]))
                joined = True
                break
    return frozenset(r for r in found if not any(r != other and _inside(r, other) for other in found))


def _place(reach: Reach) -> tuple[tuple[int, tuple[str, ...]], ...]:
    return tuple((extent.kind, tuple(sorted(extent.ties))) for extent in reach)


def _joinable(one: Reach, other: Reach) -> int | None:
    """The only axis on which two reaches differ, one LOCAL and one EARLIER, both tied to the same ranks."""
    differ = [axis for axis, (a, b) in enumerate(zip(one, other, strict=True)) if a != b]
    if len(differ) != 1:
        return None
    a, b = one[differ[0]], other[differ[0]]
    return differ[0] if a.ties == b.ties and a.ties and {a.kind, b.kind} <= set(_GROWING) else None


def _inside(one: Reach, other: Reach) -> bool:
    return all(
        a == b or b.kind is Kind.ALL or (a.ties == b.ties and b.kind is Kind.UPTO and a.kind in _GROWING)
        for a, b in zip(one, other, strict=True)
    )
