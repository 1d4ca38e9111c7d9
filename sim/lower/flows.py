"""Every way words move in a mapped cascade, as rows of counts with a memory, a direction, a tensor and an Einsum.

Words go down a tensor's chain (`chains.py`) when a tile is filled, up when it is drained, and come back when a partial
sum is replaced before its reduction is complete; the first read of each element of an output is elided. What an array
reads and writes in its own registers is counted once for each operand of each iteration point. The part of a spilled
memory's tiles that does not fit is accessed in the next place outward, or, of a tensor that lives there, in its parent.

A memory beside the elements of an array is as many stores as there are elements. A word that several of them need is
read once from a shared memory outside and written into each. Elements along a side that carries a reduced rank each add
up a sum of their own: all of them are read when the result leaves. Where the result stays beside the array and is read
there, the sums are combined first: one element's sum ends as the result, the others are read, and every further element
that needs the result is written. What bypasses the registers is moved in every step.
"""

from dataclasses import dataclass, field, replace
from typing import NamedTuple

from einsums.conditions import EVERYWHERE
from einsums.types import Cascade
from mappings.tree import PlacedKeep, PlacedLeaf
from sim.engine.counting import FIRST_ONLY
from sim.lower.chains import ChainPlace, Chains, Demand, Touch, recomputed_parts
from sim.lower.elements import Spread, copies_row
from sim.lower.machine import MachineShape
from sim.lower.paths import MovedTiles, Paths
from sim.lower.register_tiles import SidedParts
from sim.lower.rows import NOTHING, Path, RowTable


class WordFlow(NamedTuple):
    """count[row] - count[less] words read from or written to a memory (all fields are indices).

    `resident`: scaled by the part of that memory's tiles that fits; `spilled`: by the part that does not; -1: not
    scaled. `drains` marks the reading of a finished tile, which not every machine file charges for. `fetches`: the
    tiles in which the words come, where rows of the memory count; `with_slots`: an array asks for them slot by slot.
    """

    row: int
    less: int
    memory: int
    write: int
    tensor: int
    einsum: int
    resident: int = -1
    spilled: int = -1
    drains: int = 0
    fetches: int = -1
    with_slots: int = 0


class CountedWords(NamedTuple):
    """count[row] - count[less] words; `resident` as in WordFlow. `path`: the loops that bring them, tile by tile."""

    row: int
    less: int = -1
    resident: int = -1
    path: Path | None = None


@dataclass
class FlowBuilder:
    """Walks each tensor's chain once and collects its flows."""

    chains: Chains
    rows: RowTable
    flows: list[WordFlow] = field(default_factory=list)

    @property
    def cascade(self) -> Cascade:
        return self.chains.cascade

    @property
    def machine(self) -> MachineShape:
        return self.chains.machine

    @property
    def paths(self) -> Paths:
        return Paths(self.chains, self.rows)

    def build(self) -> tuple[WordFlow, ...]:
        for tensor in self.cascade.tensors:
            for keep in (k for k in self.chains.tree.keeps if k.tensor == tensor.name):
                self.add_kept_tile(keep)
            for touch in self.chains.touches_of(tensor.name):
                for row in self.chains.demands_of_registers(touch.leaf, tensor.name):
                    if row.touch is touch and row.keep is None:
                        self.of(touch.leaf).add_register_traffic(row)
        for leaf in self.chains.tree.leaves:
            self.of(leaf).add_operand_accesses(leaf)
        return tuple(self.flows)

    def of(self, *leaves: PlacedLeaf) -> "FlowBuilder":
        """The same, where tiles are skipped for which no point of these Einsums exists."""
        rows = self.rows.where(self.chains.region_of(leaf.einsum for leaf in leaves))
        return self if rows is self.rows else replace(self, rows=rows)

    def parts_of(self, touch: Touch) -> frozenset[int]:
        return self.chains.parts_of(touch)

    # Kept tiles: filled from and drained to the next place outward

    def add_kept_tile(self, keep: PlacedKeep) -> None:
        inside = [touch for touch in self.chains.touches_of(keep.tensor) if keep.covers(touch.leaf.index)]
        writer = next((touch for touch in inside if touch.writes), None)
        if writer is not None:
            self.add_combining(keep, writer)
        for row in self.chains.demands_of_keep(keep):
            if row.touch.writes:
                own = self.of(row.touch.leaf)
                path = own.paths.in_rounds(keep.memory, own.paths.inside(keep.memory, row.loops, row.moving))
                own.add_drain(row.place, keep, MovedTiles(path, row.parts), row.touch)
            else:
                readers = [t for t in inside if not t.writes and t.version == row.touch.version and not t.streams]
                own = self.of(*(t.leaf for t in readers))
                path = own.paths.inside(keep.memory, row.loops, row.moving)
                tiles = MovedTiles(path, row.parts - row.steps)
                own.add_fill(row.place, keep, tiles, self.widest(keep, readers))

    def widest(self, keep: PlacedKeep, touches: list[Touch]) -> Touch:
        """Of the Einsums on the array beside whose elements the tile lies, the one that spreads it over the most of
        them (checked: it needs it wherever the others do); the first one of a shared memory's.
        """
        local = [t for t in touches if t.leaf.array == self.machine.array_of(keep.memory)]
        return max(local, key=lambda touch: self.times_copied(keep, touch)) if local else touches[0]

    def times_copied(self, keep: PlacedKeep, touch: Touch) -> int:
        """Over how many ranks on sides of its array a tile is copied; none of another array's elements."""
        if touch.leaf.array != self.machine.array_of(keep.memory):
            return 0
        return len(self.spread(touch.leaf, keep.memory).parts(self.rows.space) - self.parts_of(touch))

    def spread(self, leaf: PlacedLeaf, memory: str) -> Spread:
        """A memory that lies beside elements of the leaf's array."""
        return Spread(leaf, self.machine.sides_of(memory))

    def add_combining(self, keep: PlacedKeep, writer: Touch) -> None:
        """Sums that elements of an array have each for themselves become the result that is read where it is, by as
        many elements as need it.
        """
        readers, array = self.readers_in_place(keep), self.machine.array_of(keep.memory)
        if array is None or not readers:
            return
        if writer.leaf.array == array:
            sums, once = self.of(writer.leaf).copied_once(keep, writer)
            if sums != once:
                self.add(CountedWords(sums, once), keep.memory, 0, writer)
        for reader, steps in self.spreading(keep, readers):
            copies, once = self.of(reader.leaf).copied_once(keep, reader, steps)
            if reader.leaf.array == array and copies != once:
                self.add(CountedWords(copies, once), keep.memory, 1, writer)

    def spreading(self, keep: PlacedKeep, readers: list[Touch]) -> list[tuple[Touch, frozenset[int]]]:
        """Readers that between them need every word wherever it is needed, each without the parts it reads one step of.

        Old and new values are the same but for one step: the initial value, or the last.
        """
        versions = ([t for t in readers if t.version == "old"], [t for t in readers if t.version != "old"])
        widest = [self.widest(keep, touches) for touches in versions if touches]
        widest.sort(key=lambda touch: self.times_copied(keep, touch), reverse=True)
        steps = self.chains.iterative_parts(keep.tensor)
        return [(touch, steps if n else NOTHING) for n, touch in enumerate(widest)]

    def copied_once(self, keep: PlacedKeep, touch: Touch, without: frozenset[int] = NOTHING) -> tuple[int, int]:
        """The row of all words that an Einsum touches, each wherever it lies beside its array, and of each once."""
        parts = self.parts_of(touch) - without
        loops = tuple(loop for loop in touch.leaf.loops if self.rows.part(loop) not in without)
        path = self.paths.inside(keep.memory, loops, parts | self.again(touch.leaf), FIRST_ONLY)
        return copies_row(self.rows, self.spread(touch.leaf, keep.memory), path, parts), self.rows.along(path, parts)

    def add_fill(self, outer: ChainPlace, keep: PlacedKeep, tiles: MovedTiles, reader: Touch) -> None:
        read = self.words_at(outer.memory, tiles, reader.leaf)
        self.add_inward(CountedWords(read, resident=self.resident(keep), path=tiles.path), outer, 0, reader)
        written = self.words_at(keep.memory, tiles, reader.leaf)
        self.add(CountedWords(written, path=tiles.path), keep.memory, 1, reader)

    def add_drain(self, outer: ChainPlace, keep: PlacedKeep, tiles: MovedTiles, writer: Touch) -> None:
        resident = self.resident(keep)
        once = self.rows.along(*tiles)
        leaving = once if self.is_combined(keep, writer) else self.words_at(keep.memory, tiles, writer.leaf)
        self.add(CountedWords(leaving, path=tiles.path), keep.memory, 0, writer)
        self.flows[-1] = self.flows[-1]._replace(drains=1)
        together = self.paths.together(outer.memory, tiles)
        outside = self.words_at(outer.memory, together, writer.leaf)
        self.add_inward(CountedWords(outside, resident=resident, path=together.path), outer, 1, writer)
        for back in self.returning(writer, outer, together, keep.loops):
            self.add_inward(back._replace(resident=resident), outer, 0, writer)
            self.add(back, keep.memory, 1, writer)

    def is_combined(self, keep: PlacedKeep, writer: Touch) -> bool:
        """Whether the sums of a tile's elements have become one before it leaves."""
        return bool(self.readers_in_place(keep)) and self.machine.array_of(keep.memory) == writer.leaf.array

    def readers_in_place(self, keep: PlacedKeep) -> list[Touch]:
        """What reads a result where it was made; the value of a step before comes from outside if the tile does."""
        inside = (t for t in self.chains.touches_of(keep.tensor) if not t.writes and keep.covers(t.leaf.index))
        is_stepping = self.chains.is_inside_recurrence(keep)
        return [t for t in inside if not t.streams and not (is_stepping and t.version == "old")]

    def returning(
        self,
        writer: Touch,
        place: ChainPlace,
        tiles: MovedTiles,
        loops: tuple[int, ...],
        pieces: tuple[int, ...] | None = None,
    ) -> tuple[CountedWords, ...]:
        """Unfinished sums that come back from a place: all that it is given but those that begin.

        Where elements or cores have a place each, their sums begin whenever a tile comes to it, but for those that come
        back to it themselves: one that lies outside for several of them goes on in one. `pieces`: the loops of what
        further in takes them, which of a tile that comes back as a whole takes what exists; `loops` if not given.
        """
        memory, parts, pieces = place.memory, self.parts_of(writer), loops if pieces is None else pieces
        moved = self.words_at(memory, tiles, writer.leaf)
        if self.machine.array_of(memory) != writer.leaf.array and not self.paths.is_dealt(memory):
            begun = self.made_words(writer.leaf, loops, parts, pieces)
            return () if moved == begun else (CountedWords(moved, begun, path=tiles.path),)
        whole = MovedTiles(self.paths.inside(memory, place.loops, parts | self.again(writer.leaf)), parts)
        arriving = whole._replace(path=self.paths.in_pieces(whole, pieces))
        begun = self.words_at(memory, arriving, writer.leaf)
        own = () if moved == begun else (CountedWords(moved, begun, path=tiles.path),)
        chain = self.chains.chain(writer.leaf, writer.access.tensor)
        depth = chain.index(place)
        if depth == 0:
            return own
        outer = chain[depth - 1]
        return own + self.returning(writer, outer, self.paths.together(outer.memory, arriving), place.loops, pieces)

    def words_at(self, memory: str, tiles: MovedTiles, leaf: PlacedLeaf) -> int:
        """The row of tiles' words as that memory handles them: beside the elements of the leaf's array a word counts
        for each element that needs it, elsewhere once.
        """
        if self.machine.array_of(memory) == leaf.array:
            return copies_row(self.rows, self.spread(leaf, memory), *tiles)
        return self.rows.along(*tiles)

    def resident(self, keep: PlacedKeep) -> int:
        return self.machine.memory(keep.memory) if keep.memory in self.chains.spilling else -1

    # Registers of the array that runs an Einsum

    def add_register_traffic(self, row: Demand) -> None:
        touch, place, registers = row.touch, row.place, row.inside
        if touch.access.tensor in touch.leaf.bypass:
            self.add_bypassing(row)
            return
        tiles = MovedTiles(self.paths.inside(registers, row.loops, row.moving), row.parts)
        copies = copies_row(self.rows, self.spread(touch.leaf, registers), *tiles)
        together = self.paths.together(place.memory, tiles) if touch.writes else tiles
        outside = self.words_at(place.memory, together, touch.leaf)
        if not touch.writes:
            self.add_with_slots(CountedWords(outside, path=tiles.path), place, 0, touch)
            self.add(CountedWords(copies), registers, 1, touch)
            return
        self.add(CountedWords(copies), registers, 0, touch)
        self.flows[-1] = self.flows[-1]._replace(drains=1)
        self.add_with_slots(CountedWords(outside, path=together.path), place, 1, touch)
        for back in self.returning(touch, place, together, touch.leaf.loops):
            self.add_with_slots(back, place, 0, touch)
            self.add(back, registers, 1, touch)

    def add_bypassing(self, row: Demand) -> None:
        """An operand straight from a memory to the operators, a result straight back: in every step anew."""
        touch, place = row.touch, row.place
        tiles = MovedTiles(self.rows.path(row.loops, row.moving), row.parts)
        words = CountedWords(self.words_at(place.memory, tiles, touch.leaf), path=tiles.path)
        self.add_with_slots(words, place, int(touch.writes), touch)
        if touch.writes:
            for back in self.returning(touch, place, tiles, touch.leaf.loops):
                self.add_with_slots(back, place, 0, touch)

    def add_operand_accesses(self, leaf: PlacedLeaf) -> None:
        """Each iteration point reads its operands and writes its result in registers; a reduction also reads it back,
        but not where an element begins a sum of its own.
        """
        einsum = self.cascade.einsum(leaf.einsum)
        registers = self.machine.registers_of(leaf.array)
        points = points_row(self.rows, leaf)
        for load in einsum.reads:
            if load.tensor not in leaf.bypass:
                self.add(CountedWords(points), registers, 0, Touch(leaf, load, "plain", False))
        if leaf.einsum in leaf.bypass:
            return
        written = Touch(leaf, einsum.output, "plain", True)
        self.add(CountedWords(points), registers, 1, written)
        if einsum.reduction is None:
            return
        parts, innermost = self.parts_of(written), self.chains.chain(leaf, leaf.einsum)[-1]
        if innermost.memory == registers and self.rows.region != EVERYWHERE:
            self.add(CountedWords(points), registers, 0, written)  # a tile is cleared: who begins is not known
            return
        loops = innermost.loops if innermost.memory == registers else leaf.loops
        path = self.paths.inside(registers, loops, parts | self.again(leaf))
        begun = copies_row(self.rows, self.spread(leaf, registers), path, parts)
        self.add(CountedWords(points, begun), registers, 0, written)
        chain = self.chains.chain(leaf, leaf.einsum)
        outer = next((place for place in reversed(chain) if place.memory != registers), chain[0])
        for back in self.returning(written, outer, self.paths.together(outer.memory, MovedTiles(path, parts)), loops):
            self.add(back, registers, 0, written)

    def again(self, leaf: PlacedLeaf) -> frozenset[int]:
        return recomputed_parts(self.chains.space, self.chains.tree, leaf)

    def made_words(
        self, leaf: PlacedLeaf, loops: tuple[int, ...], parts: frozenset[int], pieces: tuple[int, ...]
    ) -> int:
        """The row of words that begin: each once, or once in every iteration that computes them again; of tiles inside
        `loops` those pieces that exist.
        """
        again = self.again(leaf)
        if not again and self.rows.region == EVERYWHERE:
            return self.rows.total(parts)
        path = self.rows.path(loops, parts | again, FIRST_ONLY)
        return self.rows.along(self.paths.in_pieces(MovedTiles(path, parts), pieces), parts)

    def add(self, words: CountedWords, memory: str, write: int, touch: Touch) -> None:
        self.flows.append(self.flow(words, memory, write, touch)._replace(resident=words.resident))

    def flow(self, words: CountedWords, memory: str, write: int, touch: Touch) -> WordFlow:
        index, tensor = self.machine.memory(memory), self.tensor_index(touch.access.tensor)
        counts_rows = words.path is not None and self.machine.is_shared(memory)
        fetches = self.rows.along(words.path, NOTHING) if words.path is not None and counts_rows else -1
        return WordFlow(words.row, words.less, index, write, tensor, touch.leaf.index, fetches=fetches)

    def add_with_slots(self, words: CountedWords, place: ChainPlace, write: int, touch: Touch) -> None:
        """As `add_inward`, for what an array asks for with its issue slots."""
        first = len(self.flows)
        self.add_inward(words, place, write, touch)
        if not SidedParts.of(self.rows.space, touch.leaf).differ_everywhere(self.parts_of(touch)):
            self.flows[first:] = [flow._replace(with_slots=1) for flow in self.flows[first:]]

    def add_inward(self, words: CountedWords, place: ChainPlace, write: int, touch: Touch) -> None:
        """As `add`, for accesses from further in: what did not fit is not there, its part goes through outward."""
        self.add(words, place.memory, write, touch)
        if place.memory in self.chains.spilling and place.behind is not None:
            spilled = self.machine.memory(place.memory)
            self.flows.append(self.flow(words, place.behind, write, touch)._replace(spilled=spilled))

    def tensor_index(self, name: str) -> int:
        return next(i for i, tensor in enumerate(self.cascade.tensors) if tensor.name == name)


def points_row(rows: RowTable, leaf: PlacedLeaf) -> int:
    """The row that counts iteration points: every point once, and again where the leaf is computed again."""
    own = rows.space.parts_of_einsum(leaf.einsum)
    again = recomputed_parts(rows.space, rows.tree, leaf)
    return rows.row(leaf.loops, own | again, own) if again or rows.region != EVERYWHERE else rows.total(own)
