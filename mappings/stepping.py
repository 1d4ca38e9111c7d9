"""When an Einsum works on a tile: the step, and its turn within it, that a schedule gives it.

A step is one iteration of the loops that a schedule overlaps. `phases` name the order within a step; of Einsums that do
not follow each other in it, a reader works on an older tile than its maker, so that both can run at once. `pipelined`
schedules give the number of steps as stages, and run each array in the order of the tree.
"""

from collections.abc import Iterator
from collections.abc import Mapping as Names
from typing import NamedTuple

from einsums.graph import edges_of, topological_order
from einsums.types import Cascade
from mappings.tree import ResolvedTree
from mappings.types import Schedule

Pair = tuple[str, str]


class StepPlace(NamedTuple):
    """Einsums of one phase run at once, except for those of one array, which run by position."""

    phase: int
    array: str
    position: int
    lag: int = 0  # steps behind the newest tile

    def precedes(self, other: "StepPlace") -> bool:
        """Whether this Einsum is through when the other one begins, in every step."""
        if self.phase != other.phase:
            return self.phase < other.phase
        return self.array == other.array and self.position < other.position


def places_of(schedule: Schedule, tree: ResolvedTree, cascade: Cascade) -> dict[str, StepPlace]:
    """Where a schedule puts each Einsum; those that it does not mention twice or on another array are right."""
    if schedule.kind == "pipelined":
        return _by_stages(schedule, tree)
    found = {
        einsum: StepPlace(number, lane.array, position)
        for number, phase in enumerate(schedule.phases)
        for lane in phase.lanes
        for position, einsum in enumerate(lane.einsums)
    }
    return _with_lags(found, cascade)


def _by_stages(schedule: Schedule, tree: ResolvedTree) -> dict[str, StepPlace]:
    """Einsums without a stage follow the last one, one after the other."""
    stages = {stage.einsum: stage.stage for stage in schedule.stages}
    last = max(stages.values())
    found, phase = {}, 0
    for leaf in tree.leaves:
        phase += leaf.einsum not in stages
        place = 0 if leaf.einsum in stages else phase
        found[leaf.einsum] = StepPlace(place, leaf.array, leaf.index, stages.get(leaf.einsum, last))
    return found


def _with_lags(places: dict[str, StepPlace], cascade: Cascade) -> dict[str, StepPlace]:
    """The least lags with which every Einsum finds what it reads of its own tile."""
    found = dict(places)
    makers: dict[str, list[str]] = {}
    for source, reader in same_tile_edges(cascade, places):
        makers.setdefault(reader, []).append(source)
    for name in (name for name in topological_order(cascade) if name in places):
        lags = [found[maker].lag + (not found[maker].precedes(found[name])) for maker in makers.get(name, ())]
        found[name] = found[name]._replace(lag=max(lags, default=0))
    return found


def same_tile_edges(cascade: Cascade, places: Names[str, StepPlace]) -> Iterator[Pair]:
    """(maker, reader) of everything but old values of recurrences, which an earlier tile left."""
    for edge in edges_of(cascade):
        if not edge.is_carried and edge.source in places and edge.reader in places:
            yield edge.source, edge.reader


def reached_from(start: str, edges: list[Pair]) -> set[str]:
    """All that comes after an Einsum along edges."""
    found, waiting = set[str](), [start]
    while waiting:
        name = waiting.pop()
        new = {reader for source, reader in edges if source == name} - found
        found |= new
        waiting += new
    return found
