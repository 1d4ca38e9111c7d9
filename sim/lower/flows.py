"""Every way words move in a mapped cascade, as rows of counts with a memory, a direction, a tensor and an Einsum.

Words go down a tensor's chain (`chains.py`) when a tile is filled, up when it is drained, and come back when a partial
sum is replaced before its reduction is complete; the first read of each element of an output is elided. What an array
reads and writes in its own registers is counted once for each operand of each iteration point. The part of a spilled
memory's tiles that does not fit is accessed in the next place outward, or, of a tensor that lives there, in its parent.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

from einsums.types import Cascade
from mappings.tree import PlacedKeep, PlacedLeaf, ResolvedTree
from sim.lower.chains import ChainPlace, Chains, Touch
from sim.lower.machine import MachineShape
from sim.lower.ranks import RankSpace
from sim.lower.rows import NOTHING, RowTable


class WordFlow(NamedTuple):
    """count[row] - count[less] words read from or written to a memory (all fields are indices).

    `resident`: scaled by the part of that memory's tiles that fits; `spilled`: by the part that does not; -1: not
    scaled. `drains` marks the reading of a finished tile, which not every machine file charges for.
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


class CountedWords(NamedTuple):
    """count[row] - count[less] words; `resident` as in WordFlow."""

    row: int
    less: int = -1
    resident: int = -1


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

    def build(self) -> tuple[WordFlow, ...]:
        for tensor in self.cascade.tensors:
            for keep in (k for k in self.chains.tree.keeps if k.tensor == tensor.name):
                self.add_kept_tile(keep)
            for touch in self.chains.touches_of(tensor.name):
                self.add_register_traffic(touch)
        for leaf in self.chains.tree.leaves:
            self.add_operand_accesses(leaf)
        return tuple(self.flows)

    def parts_of(self, touch: Touch) -> frozenset[int]:
        return self.chains.parts_of(touch)

    # Kept tiles: filled from and drained to the next place outward

    def add_kept_tile(self, keep: PlacedKeep) -> None:
        crossings = self.chains.crossings_of(keep)
        touches = self.chains.touches_of(keep.tensor)
        is_made_inside = any(touch.writes and keep.covers(touch.leaf.index) for touch in touches)
        # Of the steps that a tile lasts only the first needs a value from before it.
        made = self.chains.iterative_parts(keep.tensor) if is_made_inside else NOTHING
        for touch, outer in crossings:
            parts = self.parts_of(touch)
            if touch.writes:
                row = self.rows.row(keep.loops, parts | self.again(touch.leaf), parts)
                self.add_drain(outer, keep, row, touch)
            else:
                row = self.rows.row(keep.loops, parts, parts - made)
                self.add_fill(outer, keep, row, touch)

    def add_fill(self, outer: ChainPlace, keep: PlacedKeep, row: int, reader: Touch) -> None:
        self.add_inward(CountedWords(row, resident=self.resident(keep)), outer, 0, reader)
        self.add(CountedWords(row), keep.memory, 1, reader)

    def add_drain(self, outer: ChainPlace, keep: PlacedKeep, row: int, writer: Touch) -> None:
        resident = self.resident(keep)
        total = self.made_words(writer.leaf, keep.loops, self.parts_of(writer))
        self.add(CountedWords(row), keep.memory, 0, writer)
        self.flows[-1] = self.flows[-1]._replace(drains=1)
        self.add_inward(CountedWords(row, resident=resident), outer, 1, writer)
        if row != total:
            self.add_inward(CountedWords(row, total, resident), outer, 0, writer)
            self.add(CountedWords(row, total), keep.memory, 1, writer)

    def resident(self, keep: PlacedKeep) -> int:
        return self.machine.memory(keep.memory) if keep.memory in self.chains.spilling else -1

    # Registers of the array that runs an Einsum

    def add_register_traffic(self, touch: Touch) -> None:
        place = self.chains.place_beyond_registers(touch)
        if place is None:
            return
        registers = self.machine.registers_of(touch.leaf.array)
        parts = self.parts_of(touch)
        again = self.again(touch.leaf) if touch.writes else NOTHING
        row = self.rows.row(touch.leaf.loops, parts | again, parts)
        if touch.writes:
            total = self.made_words(touch.leaf, touch.leaf.loops, parts)
            self.add_inward(CountedWords(row), place, 1, touch)
            if row != total:
                self.add_inward(CountedWords(row, total), place, 0, touch)
            return
        self.add_inward(CountedWords(row), place, 0, touch)
        copies = self.rows.row(touch.leaf.loops, parts, parts | self.spatial_parts(touch.leaf))
        self.add(CountedWords(copies), registers, 1, touch)

    def add_operand_accesses(self, leaf: PlacedLeaf) -> None:
        """Each iteration point reads its operands and writes its result in registers; a reduction also reads it back.

        Not so where a result begins: when its tile comes to the array, or, kept in these registers, for the first time.
        """
        einsum = self.cascade.einsum(leaf.einsum)
        registers = self.machine.registers_of(leaf.array)
        points = points_row(self.rows, leaf)
        for load in einsum.loads:
            self.add(CountedWords(points), registers, 0, Touch(leaf, load, "plain", False))
        written = Touch(leaf, einsum.output, "plain", True)
        self.add(CountedWords(points), registers, 1, written)
        if einsum.reduction is not None:
            parts = self.parts_of(written)
            stays = self.chains.chain(leaf, leaf.einsum)[-1].memory == registers
            row = self.rows.first_visits if stays else self.rows.row
            starts = row(leaf.loops, parts | self.again(leaf), parts | self.spatial_parts(leaf))
            self.add(CountedWords(points, starts), registers, 0, written)

    def again(self, leaf: PlacedLeaf) -> frozenset[int]:
        return recomputed_parts(self.chains.space, self.chains.tree, leaf)

    def made_words(self, leaf: PlacedLeaf, loops: tuple[int, ...], parts: frozenset[int]) -> int:
        """The row of words that begin: each once, or once in every iteration that computes them again."""
        again = self.again(leaf)
        return self.rows.first_visits(loops, parts | again, parts) if again else self.rows.total(parts)

    def spatial_parts(self, leaf: PlacedLeaf) -> frozenset[int]:
        return frozenset(self.chains.space.part_of_variable(loop.variable) for loop in leaf.spatial)

    def add(self, words: CountedWords, memory: str, write: int, touch: Touch) -> None:
        index, tensor = self.machine.memory(memory), self.tensor_index(touch.access.tensor)
        self.flows.append(WordFlow(words.row, words.less, index, write, tensor, touch.leaf.index, words.resident))

    def add_inward(self, words: CountedWords, place: ChainPlace, write: int, touch: Touch) -> None:
        """As `add`, for accesses from further in: what did not fit is not there, its part goes through outward."""
        self.add(words, place.memory, write, touch)
        if place.memory in self.chains.spilling and place.behind is not None:
            index, spilled = self.machine.memory(place.behind), self.machine.memory(place.memory)
            tensor = self.tensor_index(touch.access.tensor)
            self.flows.append(WordFlow(words.row, words.less, index, write, tensor, touch.leaf.index, -1, spilled))

    def tensor_index(self, name: str) -> int:
        return next(i for i, tensor in enumerate(self.cascade.tensors) if tensor.name == name)


def recomputed_parts(space: RankSpace, tree: ResolvedTree, leaf: PlacedLeaf) -> frozenset[int]:
    """Parts that loops around a leaf run over although its Einsum lacks them: each iteration computes it again."""
    around = frozenset(space.part_of_variable(tree.loops[loop].variable) for loop in leaf.loops)
    return around - space.parts_of_einsum(leaf.einsum) if leaf.recompute else NOTHING


def points_row(rows: RowTable, leaf: PlacedLeaf) -> int:
    """The row that counts iteration points: every point once, and again where the leaf is computed again."""
    own = rows.space.parts_of_einsum(leaf.einsum)
    again = recomputed_parts(rows.space, rows.tree, leaf)
    return rows.row(leaf.loops, own | again, own) if again else rows.total(own)
