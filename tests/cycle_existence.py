"""Nothing is read before it exists: the log of a run of the cycle engine, looked through element by element.

Coordinates are spelled out as in the counting oracle; nothing is taken from the engine but its log, its loops and which
result is read where it was made. A result exists once all that the order of the tree has write it before its reader is
issued, has left the array and, where it is fetched from further out, has arrived there.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from einsums.types import Access
from mappings.tree import PlacedLeaf
from sim.cycle.frames import Frame
from sim.cycle.joint import PlacedTile
from sim.cycle.order import is_in_place
from sim.cycle.state import Window, run
from sim.engine.cycle import columns as col
from tests.cycle_laws import Ran
from tests.oracle_space import Element, Extents, Space, View

FILL, DRAIN, READ, WRITE = range(col.TRANSFER_ROW, col.TRANSFER_ROW + 4)
ROWS = 400_000


class Event(NamedTuple):
    """An op's repetition, or a transfer, with the iterations of the loops around it."""

    what: int
    at: dict[int, int]
    start: int
    end: int


@dataclass
class Existence:
    """The log of one run, by what happened."""

    ran: Ran
    found: dict[int, dict[tuple[int, int], list[tuple[int, int]]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        named = self.ran.timing.runs[0].named
        timing = run(named.program, False, Window(0, self.ran.timing.cycles + 1, ROWS))
        assert len(timing.log) < ROWS, "the log is too short"
        for kind, _, what, record, start, end in timing.log.tolist():
            self.found.setdefault(kind, defaultdict(list))[what, record].append((start, end))
        self.named, self.joint = named, named.joint

    @cached_property
    def space(self) -> Space:
        experiment, sizes = self.ran.experiment, dict(self.ran.experiment.sizes)
        walk = self.ran.design.walk
        for partition in experiment.cascade.partitions:
            sizes |= {part: walk.part_size(part) for part in partition.inner}
        return Space(experiment.cascade, sizes)

    @cached_property
    def records(self) -> list[dict[int, int]]:
        """The iteration of every loop at each record."""
        return list(self._records(self.joint.frame, self.ran.design.walk.whole, {}))

    def _records(self, frame: Frame, extents: tuple[int, ...], at: dict[int, int]) -> Iterator[dict[int, int]]:
        walk = self.ran.design.walk

        def inside(depth: int, extents: tuple[int, ...], at: dict[int, int]) -> Iterator[dict[int, int]]:
            if depth < len(frame.loops):
                loop = frame.loops[depth]
                trips = walk.trips(extents, loop)
                for n in range(trips):
                    yield from inside(depth + 1, walk.inside(extents, loop, n == trips - 1), at | {loop: n})
            elif frame.items:
                for item in frame.items:
                    yield from self._records(item, extents, at)
            else:
                yield from [at] * max(1, frame.pause)

        return inside(0, extents, at)

    def reach(self, loops: Iterable[int], at: dict[int, int]) -> Extents:
        """Elements of every root that these loops stand at."""
        found, walk = self.space.whole(), self.ran.design.walk
        cascade = self.ran.experiment.cascade
        for loop in loops:
            tile = walk.loops[loop]
            rank = cascade.rank_of_variable(tile.variable)
            root = cascade.root_of(rank)
            low, high = found[root]
            start = low + at[loop] * tile.tile
            found[root] = start, min(high, start + tile.tile)
        return found

    def elements(self, access: Access, loops: Iterable[int], at: dict[int, int]) -> frozenset[Element]:
        return View(self.space, access).elements(self.reach(loops, at))

    # what happened

    def ops(self, n: int) -> list[Event]:
        """The repetitions of a slot's op."""
        slot, op = self.joint.nest.slots[n], self.named.ops.index(self.joint.nest.slots[n].leaf.einsum)
        around = [loop for _, loop in self.joint.loops_of(n)]
        found = []
        for (what, record), times in self.found.get(col.OP_ROW, {}).items():
            if what != op:
                continue
            at = {loop: self.records[record][loop] for loop in around}
            inner = list(self._repetitions(slot.group_loops, at))
            found += [Event(n, its, *time) for its, time in zip(inner, times, strict=True)]
        return found

    def _repetitions(self, loops: tuple[int, ...], at: dict[int, int]) -> Iterator[dict[int, int]]:
        if not loops:
            yield at
            return
        walk = self.ran.design.walk
        extents = self.reach(at, at)
        tile = walk.loops[loops[0]]
        low, high = extents[self.space.cascade.root_of(self.space.cascade.rank_of_variable(tile.variable))]
        for n in range(-(-(high - low) // tile.tile)):
            yield from self._repetitions(loops[1:], at | {loops[0]: n})

    def transfers(self, kind: int, k: int) -> list[Event]:
        """The transfers of a tile, each from the beginning of its first part to the end of its last."""
        around = [loop for _, loop in self.named.tiles[k].loops]
        return [
            Event(k, {i: self.records[record][i] for i in around}, times[0][0], times[-1][1])
            for (what, record), times in self.found.get(kind, {}).items()
            if what == k
        ]

    # the order of the tree

    def comes_before(self, one: tuple[PlacedLeaf, dict[int, int]], other: tuple[PlacedLeaf, dict[int, int]]) -> bool:
        """Whether the tree has something that a leaf does in these iterations before what another one does."""
        pairs = zip(one[0].loops[: one[0].shared], other[0].loops[: other[0].shared], strict=False)
        for loop, its in pairs:
            if loop != its or loop not in one[1] or loop not in other[1]:
                break
            if one[1][loop] != other[1][loop]:
                return one[1][loop] < other[1][loop]
        return one[0].index < other[0].index

    @cached_property
    def made(self) -> dict[str, dict[Element, list[tuple[Event, PlacedLeaf]]]]:
        """Of every result the events that write each element."""
        found: dict[str, dict[Element, list[tuple[Event, PlacedLeaf]]]] = {}
        for n, slot in enumerate(self.joint.nest.slots):
            output, by_element = self.ran.experiment.cascade.einsum(slot.leaf.einsum).output, defaultdict(list)
            for event in self.ops(n):
                for element in self.elements(output, event.at, event.at):
                    by_element[element].append((event, slot.leaf))
            found[slot.leaf.einsum] = by_element
        return found

    @cached_property
    def arrived(self) -> dict[int, dict[Element, list[Event]]]:
        """Of every tile that is drained the transfers that bring each element outward."""
        found: dict[int, dict[Element, list[Event]]] = {}
        for k, tile in enumerate(self.named.tiles):
            output = next((t.touch.access for t in tile.keep.traffic if t.writes), None)
            if output is None:
                continue
            found[k] = defaultdict(list)
            for event in self.transfers(DRAIN, k):
                for element in self.elements(output, event.at, event.at):
                    found[k][element].append(event)
        return found

    def latency(self, leaf: PlacedLeaf) -> int:
        """Cycles, at the least, until a result has left its array."""
        op, tables = self.named.ops.index(leaf.einsum), self.named.program.tables
        return int(tables["OP_TABLE"][op, col.LATENCY] - tables["AMOUNTS"][:, op, col.EARLY].max())

    # what is read early

    def early(self) -> Iterator[str]:
        """Everything that is read before it exists."""
        for n, slot in enumerate(self.joint.nest.slots):
            events = self.ops(n)
            for load in self.ran.experiment.cascade.einsum(slot.leaf.einsum).loads:
                maker = self.ran.experiment.tree.leaf_of(load.tensor)
                if load.tensor in self.made and maker is not None and maker != slot.leaf:
                    wait = 0 if is_in_place(self.ran.design.chains, maker, slot.leaf) else self.latency(maker)
                    for event in events:
                        yield from self._too_soon(load, event, slot.leaf, wait)
        for k, tile in enumerate(self.named.tiles):
            yield from self._early_fills(k, tile)
            yield from self._early_drains(k, tile)

    def _too_soon(self, access: Access, event: Event, reader: PlacedLeaf, wait: int) -> Iterator[str]:
        for element in self.elements(access, event.at, event.at):
            for made, maker in self.made[access.tensor].get(element, ()):
                if self.comes_before((maker, made.at), (reader, event.at)) and made.end + wait > event.start:
                    yield (
                        f"{reader.einsum} reads {access.tensor}{element} in cycle {event.start}, "
                        f"which {maker.einsum} makes until {made.end} + {wait}"
                    )
                    return

    def _early_fills(self, k: int, tile: PlacedTile) -> Iterator[str]:
        keep, iterative = tile.keep.keep, dict(self.ran.experiment.cascade.iterative)
        reads = [t for t in tile.keep.traffic if not t.writes and not t.only_again]
        maker = self.ran.experiment.tree.leaf_of(keep.tensor)
        if not reads or maker is None or keep.tensor in iterative or keep.covers(maker.index):
            return
        inner = [
            other
            for other in self.arrived
            if self.named.tiles[other].keep.keep.tensor == keep.tensor
            and not self.named.tiles[other].keep.keep.covers(keep.first_leaf)
        ]
        reader, access = reads[0].touch.leaf, reads[0].touch.access
        for event in self.transfers(FILL, k):
            yield from self._too_soon(access, event, reader, self.latency(maker))
            for element in self.elements(access, event.at, event.at):
                drains = [drain for other in inner for drain in self.arrived[other].get(element, ())]
                late = [d for d in drains if self.comes_before((maker, d.at), (reader, event.at))]
                if any(drain.end > event.start for drain in late):
                    yield f"{keep.tensor}{element} is fetched in cycle {event.start}, before it has arrived"
                    break

    def _early_drains(self, k: int, tile: PlacedTile) -> Iterator[str]:
        """A finished tile leaves when its elements have left the array."""
        maker = self.ran.experiment.tree.leaf_of(tile.keep.keep.tensor)
        output = next((t.touch.access for t in tile.keep.traffic if t.writes), None)
        if output is None or maker is None:
            return
        for event in self.transfers(DRAIN, k):
            for element in self.elements(output, event.at, event.at):
                writes = [w for w, _ in self.made[maker.einsum][element] if self._is_inside(event, w)]
                if any(w.end + self.latency(maker) > event.start for w in writes):
                    yield f"{maker.einsum}{element} leaves in cycle {event.start}, before it is made"
                    break

    def _is_inside(self, drain: Event, made: Event) -> bool:
        """Whether something was made under the tile that leaves."""
        return all(made.at.get(loop, n) == n for loop, n in drain.at.items())
