"""Can the stages of a pipelined schedule be? What runs when in a step follows from them and from the order of the tree.

With stage s an Einsum works on the tile of s steps ago. A reader of the same tile is in no earlier stage than its
maker; a reader of the old value of a recurrence, which is d tiles older, may be up to d stages earlier. In one step
the reader waits for the maker, which goes wrong in two ways:

- Einsums that wait for each other in a circle, closed by the order of an array, never run;
- an array whose next Einsum waits, through another array, for the one before it does nothing meanwhile. Stages exist
  to put that off to another step, so this is refused unless a recurrence ties the two together.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple

from einsums.graph import edges_of, iteration_groups
from einsums.types import Cascade
from mappings.stepping import StepPlace, places_of, reached_from
from mappings.tree import ResolvedTree
from mappings.types import Schedule


class StageFinding(NamedTuple):
    """Where in the mapping a stage is wrong, and a sentence about it."""

    path: str
    message: str


class StageEdge(NamedTuple):
    """`reader` needs what `maker` made. `inside`: of an old value, the loops of a step inside the one that carries it:
    their iterations are the tiles in between; None for a value of the same tile. `is_inside_step`: an old value that
    no loop of a step carries on, although its maker comes later.
    """

    maker: str
    reader: str
    inside: tuple[int, ...] | None
    is_inside_step: bool = False


Tiles = Callable[[tuple[int, ...]], int | None]


def one_tile(inside: tuple[int, ...]) -> int | None:
    """The tiles that loops of a step go through, as far as structure tells: one if there is no loop, else unknown."""
    return 1 if not inside else None


def iter_stage_findings(
    schedule: Schedule, tree: ResolvedTree, cascade: Cascade, tiles: Tiles = one_tile
) -> Iterator[StageFinding]:
    """Stages before what they read, circles, arrays that wait. `tiles` counts the least iterations of loops, None if
    unknown.
    """
    names = [stage.einsum for stage in schedule.stages]
    twice = [name for name in dict.fromkeys(names) if names.count(name) > 1]
    for name in twice:
        yield StageFinding(f"schedule.stages.{name}", f"Einsum '{name}' has two stages, expected one")
    if not twice:
        yield from _Stages(schedule, tree, cascade, tiles).findings()


@dataclass(frozen=True)
class _Stages:
    schedule: Schedule
    tree: ResolvedTree
    cascade: Cascade
    tiles: Tiles

    @cached_property
    def places(self) -> dict[str, StepPlace]:
        return places_of(self.schedule, self.tree, self.cascade)

    @cached_property
    def edges(self) -> list[StageEdge]:
        return list(stage_edges(self.schedule, self.tree, self.cascade))

    def findings(self) -> Iterator[StageFinding]:
        early = list(self.early())
        yield from early
        if not early:
            yield from self.circles()
            yield from self.waits()

    def apart(self, edge: StageEdge) -> int | None:
        """Steps between the making of a value and its reading; None if unknown."""
        between = 0 if edge.inside is None else self.tiles(edge.inside)
        if between is None:
            return None
        return self.places[edge.reader].lag - self.places[edge.maker].lag + between

    def early(self) -> Iterator[StageFinding]:
        staged = {stage.einsum for stage in self.schedule.stages}
        for edge in self.edges:
            stage, made_in = self.places[edge.reader].lag, self.places[edge.maker].lag
            path, apart = f"schedule.stages.{edge.reader}", self.apart(edge)
            reads = f"Einsum '{edge.reader}' in stage {stage} reads"
            if edge.is_inside_step:
                reads_old = f"Einsum '{edge.reader}' reads the old '{edge.maker}'"
                yield StageFinding(path, f"{reads_old} inside loops that its schedule runs through at once")
            elif edge.inside is None and edge.reader in staged and edge.maker not in staged:
                message = f"{reads} '{edge.maker}', which has no stage and so is made after the last one"
                yield StageFinding(path, message)
            elif edge.inside is None and made_in > stage:
                yield StageFinding(path, f"{reads} '{edge.maker}', which stage {made_in} makes later")
            elif edge.inside is not None and apart is not None and apart < 0:
                between = self.tiles(edge.inside)
                before = "the tile before" if between == 1 else f"{between} tiles before"
                yield StageFinding(path, f"{reads} '{edge.maker}' of {before}, which stage {made_in} makes later")

    def circles(self) -> Iterator[StageFinding]:
        """Einsums of which each waits for the next within a step."""
        waits = [(edge.maker, edge.reader) for edge in self.edges if self.apart(edge) == 0]
        waits = [(maker, reader) for maker, reader in waits if maker != reader]
        turns = waits + [pair for lane in self.lanes() for pair in pairwise(lane)]
        after = {name: reached_from(name, turns) for name in self.places}
        for maker, reader in waits:
            if maker in after[reader]:
                order = f"but '{self.places[reader].array}' runs '{reader}' first in every step"
                if self.places[maker].array != self.places[reader].array:
                    order = f"but '{maker}' waits for '{reader}' in the order of the arrays"
                reads = f"Einsum '{reader}' reads '{maker}' of the same step, {order}: neither ever runs"
                yield StageFinding(f"schedule.stages.{reader}", reads)
                return

    def lanes(self) -> list[list[str]]:
        """The Einsums of every array in their order within a step."""
        lanes: dict[str, list[str]] = {}
        for name in sorted(self.places, key=lambda name: (self.places[name].phase, self.places[name].position)):
            lanes.setdefault(self.places[name].array, []).append(name)
        return list(lanes.values())

    def waits(self) -> Iterator[StageFinding]:
        """Neighbours in the order of an array of which the second waits for the first through another array."""
        tied = {name: group for group in iteration_groups(self.cascade) for name in group}
        for first, second in waiting_neighbours(self.places, self.edges):
            if second not in tied[first]:
                array, stage = self.places[second].array, self.places[second].lag
                waits = f"Einsum '{second}' in stage {stage} waits, through another array, for '{first}' of that stage"
                idle = f"and '{array}' does nothing meanwhile: expected a later stage"
                yield StageFinding(f"schedule.stages.{second}", f"{waits}, {idle}")


def stage_edges(schedule: Schedule, tree: ResolvedTree, cascade: Cascade) -> Iterator[StageEdge]:
    """Every dependency between Einsums of a pipelined schedule, but on those that come before its steps."""
    staged = {stage.einsum for stage in schedule.stages}
    loops = tree.step_loops(frozenset(staged))
    order = {leaf.einsum: leaf.index for leaf in tree.leaves}
    stepped = {leaf.einsum for leaf in tree.leaves if leaf.einsum in staged or leaf.loops[: len(loops)] == loops}
    for edge in edges_of(cascade):
        if edge.source not in stepped or edge.reader not in order:
            continue
        if not edge.is_carried:
            yield StageEdge(edge.source, edge.reader, None)
            continue
        variable = cascade.scope.iterative_rank[edge.source].lower()
        steps = [n for n, i in enumerate(loops) if tree.loops[i].variable == variable and tree.loops[i].tile == "1"]
        if steps:
            yield StageEdge(edge.source, edge.reader, loops[steps[0] + 1 :])
        elif edge.source != edge.reader:
            yield StageEdge(edge.source, edge.reader, None, order[edge.source] > order[edge.reader])


def waiting_neighbours(places: dict[str, StepPlace], edges: list[StageEdge]) -> Iterator[tuple[str, str]]:
    """(first, second) that one array runs one after the other in one stage, the second waiting for the first through
    another array.
    """
    here = [(e.maker, e.reader) for e in edges if e.inside is None and places[e.maker].lag == places[e.reader].lag]
    for second, place in places.items():
        before = [name for name, other in places.items() if other.array == place.array and other.precedes(place)]
        first = max(before, key=lambda name: (places[name].phase, places[name].position), default=None)
        if first is None or places[first].lag != place.lag or places[first].phase != place.phase:
            continue
        others = [name for name in reached_from(first, here) if places[name].array != place.array]
        if any(second in reached_from(name, here) for name in others):
            yield first, second
