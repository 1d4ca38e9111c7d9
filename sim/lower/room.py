"""What each memory keeps at once: the size of every tile, when it is there, and how many of its kind are in flight.

Where Einsums run one after the other, a tile lives from the first that touches it to the last: it is filled before the
one and leaves after the other. What lies between is found leaf by leaf, but loops run again: where one of several
leaves inside a loop touches the tile, it is there for all of them once the loop has several iterations. The same goes
for loops outside the tile of which it outlasts an iteration: they run over ranks that it lacks, or step while its value
is carried on. A tile of several copies lives for its whole node, since the next one comes while the first is used.

Where phases overlap in time, every tile is there all the time. A pipelined schedule needs several of those that
Einsums of different stages touch.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from mappings.tree import PlacedKeep, PlacedLeaf
from mappings.types import Schedule
from sim.engine.columns import SpanColumn
from sim.engine.counting import ADVANCES
from sim.lower.chains import Chains, Touch
from sim.lower.elements import Spread, room_row
from sim.lower.rows import NOTHING, RowTable

ALWAYS = -1


class KeepRows(NamedTuple):
    """The tables about kept tiles, each as in `Shape`."""

    keeps: np.ndarray
    spans: np.ndarray
    stays: np.ndarray


class Reach(NamedTuple):
    """How far apart, in steps of a pipeline, the users of a tile work (1: on the same), and whether those of two steps
    take its place from each other piece by piece.
    """

    steps: int
    in_pieces: bool


@dataclass(frozen=True)
class RoomBuilder:
    """Asks for the room of every kept tile. `tiles`: the rows that it asks with; `phase_of`: by leaf."""

    chains: Chains
    schedule: Schedule
    tiles: RowTable
    phase_of: list[int]

    def build(self) -> KeepRows:
        tree = self.chains.tree
        keeps = [self.keep_row(keep) for keep in tree.keeps]
        spans = [span for keep in tree.keeps for span in self.spans_of(keep)]
        longest = max((len(self.step_loops), *(len(keep.loops) for keep in tree.keeps)), default=0)
        stays = np.full((len(keeps), longest + 1, 2), -1, np.int64)
        for keep in tree.keeps:
            for position, loop in enumerate(self.step_loops if self.is_outside_step(keep) else ()):
                changes = loop in keep.loops and self.tiles.part(loop) in self.parts(keep)
                stays[keep.index, position] = loop, changes
        return KeepRows(np.array(keeps, np.int64).reshape(-1, 7), np.array(spans, np.int64).reshape(-1, 5), stays)

    def parts(self, keep: PlacedKeep) -> frozenset[int]:
        inside = self.inside(keep)
        if not inside:
            return self.chains.space.parts_of_tensor(keep.tensor)
        return self.chains.space.parts_named(inside[0].access)

    def inside(self, keep: PlacedKeep) -> list[Touch]:
        return [touch for touch in self.chains.touches_of(keep.tensor) if keep.covers(touch.leaf.index)]

    # Sizes

    def keep_row(self, keep: PlacedKeep) -> tuple[int, ...]:
        reach = self.reach_of(keep)
        memory, size = self.chains.machine.memory(keep.memory), self.size_row(keep, keep.loops)
        step = self.size_row(keep, self.step_loops) if self.is_inside_step(keep) and reach.steps > 1 else size
        return (size, memory, keep.copies, keep.share_group, reach.steps, step, reach.in_pieces)

    def size_row(self, keep: PlacedKeep, loops: tuple[int, ...]) -> int:
        """The row of the words of a tile inside some loops; beside elements of the one that has most of them."""
        dims = self.parts(keep) - self.running_parts(keep)
        holder = next(iter(self.chains.local_touches(keep)), None)
        if holder is None:
            return self.tiles.first_visits(loops, NOTHING, dims)
        return room_row(self.tiles, Spread(holder.leaf, self.chains.machine.sides_of(keep.memory)), loops, dims)

    def running_parts(self, keep: PlacedKeep) -> frozenset[int]:
        """Iterative ranks along which only the running value lives: all Einsums that walk them share the loop, step by
        step.
        """
        cascade, touches = self.chains.cascade, self.chains.touches_of(keep.tensor)
        ranks = {rank for tensor, rank in cascade.iterative if tensor == keep.tensor}
        walking = {
            rank: [t.leaf for t in touches if rank.lower() in cascade.einsum(t.leaf.einsum).variables] for rank in ranks
        }
        return frozenset(
            self.chains.space.part(rank) for rank in ranks if self.shares_steps(walking[rank], rank.lower())
        )

    def shares_steps(self, leaves: list[PlacedLeaf], variable: str) -> bool:
        """Whether these leaves advance a variable together, one coordinate at a time."""
        loops = self.chains.tree.loops
        shared = {
            tuple(i for i in leaf.loops if loops[i].variable == variable and loops[i].tile == "1") for leaf in leaves
        }
        return len(shared) == 1 and shared != {()}

    # When a tile is there

    def spans_of(self, keep: PlacedKeep) -> list[tuple[int, ...]]:
        """Rows of `Shape.spans`."""
        leaves = [leaf.index for leaf in self.chains.tree.leaves if keep.covers(leaf.index)]
        phases = [self.phase_of[index] for index in leaves]
        if self.schedule.kind != "sequential":
            apart = self.schedule.transfers == "per-phase"
            last = max(self.phase_of) + len(self.schedule.phases)
            return [(keep.index, ALWAYS, ALWAYS, *((min(phases), max(phases)) if apart else (0, last)))]
        touching = [t.leaf.index for t in self.inside(keep) if not t.streams]
        if not touching:
            return []
        if keep.copies > 1:
            return [(keep.index, ALWAYS, ALWAYS, leaves[0], leaves[-1])]
        found = [(keep.index, ALWAYS, ALWAYS, min(touching), max(touching))]
        for loop in keep.loops:
            if self.tiles.part(loop) not in self.bringing_parts(keep):
                found.append((keep.index, *self.staying_rows(keep, loop), *self.around(loop)))
        every = frozenset(range(len(self.chains.space.parts)))
        for path in dict.fromkeys(path for index in touching for path in self.paths_below(keep, index)):
            more, than = (self.tiles.row(loops, every, NOTHING) for loops in (path, path[:-1]))
            found.append((keep.index, more, than, *self.around(path[-1])))
        return [span for span in found if span[SpanColumn.FIRST] < span[SpanColumn.LAST] or span in found[:1]]

    def around(self, loop: int) -> tuple[int, int]:
        """The first and the last leaf inside a loop."""
        inside = [leaf.index for leaf in self.chains.tree.leaves if loop in leaf.loops]
        return inside[0], inside[-1]

    def staying_rows(self, keep: PlacedKeep, loop: int) -> tuple[int, int]:
        """Rows of which the first counts more where a tile stays from one iteration of a loop to the next: how often
        it would come if that loop brought another one, and how often it does.
        """
        path = self.tiles.path(keep.loops, self.bringing_parts(keep))
        brought = tuple((i, ADVANCES if i == loop else mode) for i, mode in path)
        return self.tiles.along(brought, NOTHING), self.tiles.along(path, NOTHING)

    def paths_below(self, keep: PlacedKeep, leaf: int) -> list[tuple[int, ...]]:
        """The loops from the root to each shared loop between a kept tile and a leaf."""
        placed = self.chains.tree.leaves[leaf]
        return [placed.loops[: depth + 1] for depth in range(len(keep.loops), placed.shared)]

    def bringing_parts(self, keep: PlacedKeep) -> frozenset[int]:
        """Parts whose loops bring another tile: not the steps of a running value that lives there from one to the
        next.
        """
        reads_old = any(touch.version == "old" for touch in self.inside(keep))
        if reads_old and self.is_home(keep):
            return self.parts(keep) - self.chains.iterative_parts(keep.tensor)
        return self.parts(keep)

    def is_home(self, keep: PlacedKeep) -> bool:
        return self.chains.home_of(keep.tensor) == keep

    # Tiles in flight

    @property
    def step_loops(self) -> tuple[int, ...]:
        return self.chains.tree.step_loops(frozenset(self.stages))

    @property
    def stages(self) -> dict[str, int]:
        return {stage.einsum: stage.stage for stage in self.schedule.stages}

    def is_outside_step(self, keep: PlacedKeep) -> bool:
        return keep.loops == self.step_loops[: len(keep.loops)]

    def is_inside_step(self, keep: PlacedKeep) -> bool:
        return len(keep.loops) > len(self.step_loops) == len(self.common(keep.loops, self.step_loops))

    @staticmethod
    def common(one: tuple[int, ...], other: tuple[int, ...]) -> tuple[int, ...]:
        pairs = zip(one, other, strict=False)
        return one[: next((n for n, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))]

    def reach_of(self, keep: PlacedKeep) -> Reach:
        """The users of a tile, and of those that take turns with it, in a pipelined schedule."""
        if not self.stages or not (self.is_outside_step(keep) or self.is_inside_step(keep)):
            return Reach(1, False)
        turns = [k for k in self.chains.tree.keeps if k is keep or k.share_group == keep.share_group >= 0]
        users = [touch.leaf for k in turns for touch in self.inside(k)]
        first = [leaf for k in turns for leaf in self.first_users(k)]
        steps = max(
            self.stage_of(user) - self.stage_of(one) + (not self.comes_before(user, one))
            for user in users
            for one in first
        )
        return Reach(max(1, steps), steps > 1 and self.passes_pieces(keep))

    def first_users(self, keep: PlacedKeep) -> list[PlacedLeaf]:
        """Einsums that may be the first to need a place for a tile: its maker, or whoever reads what is filled.

        What is read before the first value is written is an initial value, which takes no place.
        """
        inside = self.inside(keep)
        writer = next((touch.leaf for touch in inside if touch.writes), None)
        is_filled = any(not row.touch.writes for row in self.chains.demands_of_keep(keep))
        return [touch.leaf for touch in inside] if is_filled or writer is None else [writer]

    def stage_of(self, leaf: PlacedLeaf) -> int:
        """Einsums without a stage follow the last one."""
        return self.stages.get(leaf.einsum, max(self.stages.values()))

    def comes_before(self, one: PlacedLeaf, other: PlacedLeaf) -> bool:
        """Whether an Einsum is through with its step when another one begins: arrays keep the order of the tree."""
        if self.phase_of[one.index] != self.phase_of[other.index]:
            return self.phase_of[one.index] < self.phase_of[other.index]
        return one.array == other.array and one.index < other.index

    def passes_pieces(self, keep: PlacedKeep) -> bool:
        """Whether the tile of a step is read, the last time, in the order in which that of a later step is made.

        Both are passes over it in loops of the same kind, none of which comes back to a piece, so that the passes can
        go side by side and pieces take each other's place (as `bind` proves of passes that it joins).
        """
        inside = self.inside(keep)
        writer = next((touch.leaf for touch in inside if touch.writes), None)
        if writer is None or keep.loops != self.step_loops or keep.share_group >= 0 or not self.is_home(keep):
            return False
        latest = max(self.stage_of(touch.leaf) for touch in inside)
        passes = [self.pass_of(keep, writer)]
        passes += [self.pass_of(keep, touch.leaf) for touch in inside if self.stage_of(touch.leaf) == latest]
        kinds = [[(self.chains.tree.loops[i].variable, self.chains.tree.loops[i].tile) for i in one] for one in passes]
        is_one_pass = all(one == passes[1] for one in passes[1:])
        own = self.parts(keep) - self.running_parts(keep)
        return is_one_pass and kinds[0] == kinds[1] != [] and all(self.tiles.part(loop) in own for loop in passes[0])

    def pass_of(self, keep: PlacedKeep, leaf: PlacedLeaf) -> tuple[int, ...]:
        """The loops inside a kept tile that a leaf shares with all that run in the outermost of them."""
        depth = len(keep.loops)
        if leaf.shared == depth:
            return ()
        found = leaf.loops[: leaf.shared]
        for other in self.chains.tree.leaves:
            if leaf.loops[depth] in other.loops:
                found = self.common(found, other.loops[: other.shared])
        return found[depth:]
