"""Every way words move in a mapped cascade, as rows of counts with a memory, a direction, a tensor and an Einsum.

Each tensor has a chain of places on the way to each Einsum that touches it: its home (the root memory, or the
outermost kept tile that all its Einsums share), further kept tiles, and the registers of the array. Words go down the
chain when a tile is filled, up when it is drained, and come back when a partial sum is replaced before its reduction
is complete; the first read of each element of an output is elided. What an array reads and writes in its own
registers is counted once for each operand of each iteration point. The part of a spilled memory's
tiles that does not fit is accessed in the next place outward, or, of a tensor that lives there, in its parent.
"""

from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from einsums.types import Access, Cascade
from mappings.tree import PlacedKeep, PlacedLeaf, ResolvedTree
from sim.lower.machine import MachineShape
from sim.lower.ranks import RankSpace
from sim.lower.rows import NOTHING, RowTable

Version = Literal["plain", "old", "new", "last"]


class Flow(NamedTuple):
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


class Words(NamedTuple):
    """count[row] - count[less] words; `resident` as in Flow."""

    row: int
    less: int = -1
    resident: int = -1


@dataclass(frozen=True, slots=True)
class Place:
    """A level of a tensor's chain: a memory, and the loops outside the tile it keeps. `keep` is None for the root.

    `behind`: the memory that has what does not fit here, the next place outward, or the parent of a home.
    """

    memory: str
    loops: tuple[int, ...]
    keep: PlacedKeep | None
    behind: str | None


@dataclass(frozen=True, slots=True)
class Touch:
    """One Einsum reading or writing one version of a tensor."""

    leaf: PlacedLeaf
    access: Access
    version: Version
    writes: bool


@dataclass
class FlowBuilder:
    """Walks each tensor's chain once and collects its flows."""

    cascade: Cascade
    tree: ResolvedTree
    machine: MachineShape
    space: RankSpace
    rows: RowTable
    spilling: frozenset[str]
    flows: list[Flow] = field(default_factory=list)

    def build(self) -> tuple[Flow, ...]:
        for tensor in self.cascade.tensors:
            touches = self.touches_of(tensor.name)
            for keep in (k for k in self.tree.keeps if k.tensor == tensor.name):
                self.add_kept_tile(keep, touches)
            for touch in touches:
                self.add_register_traffic(touch, touches)
        for leaf in self.tree.leaves:
            self.add_operand_accesses(leaf)
        return tuple(self.flows)

    # What touches a tensor, and where it lives

    def touches_of(self, tensor: str) -> list[Touch]:
        found = []
        for leaf in self.tree.leaves:
            einsum = self.cascade.einsum(leaf.einsum)
            found += [
                Touch(leaf, load, _version(self.cascade, load), False) for load in einsum.loads if load.tensor == tensor
            ]
            if einsum.output.tensor == tensor:
                found.append(Touch(leaf, einsum.output, _version(self.cascade, einsum.output), True))
        return found

    def chain(self, leaf: PlacedLeaf, tensor: str, touches: list[Touch]) -> list[Place]:
        """Places from the tensor's home inward to the leaf, registers left out."""
        keeps = self.tree.keeps_above(leaf, tensor)
        is_external = any(t.name == tensor for t in self.cascade.inputs) or tensor in self.cascade.outputs
        has_home = any(all(keep.covers(touch.leaf.index) for touch in touches) for keep in keeps)
        places = [] if has_home and not is_external else [Place(self.machine.root, (), None, None)]
        for keep in keeps:
            behind = places[-1].memory if places else self.machine.parent_of(keep.memory)
            places.append(Place(keep.memory, keep.loops, keep, behind))
        return places

    def parts_of(self, touch: Touch) -> frozenset[int]:
        return self.space.parts_of_access(touch.access)

    # Kept tiles: filled from and drained to the next place outward

    def add_kept_tile(self, keep: PlacedKeep, touches: list[Touch]) -> None:
        inside = [touch for touch in touches if keep.covers(touch.leaf.index)]
        if not inside:
            return
        chain = self.chain(inside[0].leaf, keep.tensor, touches)
        position = next(i for i, place in enumerate(chain) if place.keep == keep)
        if position == 0:
            return
        outer = chain[position - 1]
        writer = next((touch for touch in inside if touch.writes), None)
        for version in ("plain", "old", "new", "last"):
            reader = next((t for t in inside if not t.writes and t.version == version and not _streams(t)), None)
            if reader is not None and self.must_fill(keep, version, writer):
                parts = self.parts_of(reader)
                # Of the steps that a tile lasts only the first needs a value from before it.
                made = self.iterative_parts(keep.tensor) if writer is not None else NOTHING
                row = self.rows.row(keep.loops, parts, parts - made)
                self.add_fill(outer, keep, row, reader)
        if writer is not None and self.must_drain(keep, touches):
            parts = self.parts_of(writer)
            row = self.rows.row(keep.loops, parts | self.again(writer.leaf), parts)
            self.add_drain(outer, keep, row, writer)

    def must_fill(self, keep: PlacedKeep, version: Version, writer: Touch | None) -> bool:
        """A value made under the same tile is there already, unless it was made in an earlier step than the tile
        lasts.
        """
        if writer is None:
            return True
        return version == "old" and self.is_inside_recurrence(keep)

    def must_drain(self, keep: PlacedKeep, touches: list[Touch]) -> bool:
        if keep.tensor in self.cascade.outputs or any(not keep.covers(touch.leaf.index) for touch in touches):
            return True
        return any(touch.version == "old" for touch in touches) and self.is_inside_recurrence(keep)

    def is_inside_recurrence(self, keep: PlacedKeep) -> bool:
        steps = self.iterative_parts(keep.tensor)
        return any(self.space.part_of_variable(self.tree.loops[loop].variable) in steps for loop in keep.loops)

    def iterative_parts(self, tensor: str) -> frozenset[int]:
        return frozenset(self.space.part(rank) for name, rank in self.cascade.iterative if name == tensor)

    def add_fill(self, outer: Place, keep: PlacedKeep, row: int, reader: Touch) -> None:
        self.add_inward(Words(row, resident=self.resident(keep)), outer, 0, reader)
        self.add(Words(row), keep.memory, 1, reader)

    def add_drain(self, outer: Place, keep: PlacedKeep, row: int, writer: Touch) -> None:
        resident = self.resident(keep)
        total = self.made_words(writer.leaf, keep.loops, self.parts_of(writer))
        self.add(Words(row), keep.memory, 0, writer)
        self.flows[-1] = self.flows[-1]._replace(drains=1)
        self.add_inward(Words(row, resident=resident), outer, 1, writer)
        if row != total:
            self.add_inward(Words(row, total, resident), outer, 0, writer)
            self.add(Words(row, total), keep.memory, 1, writer)

    def resident(self, keep: PlacedKeep) -> int:
        return self.machine.memory(keep.memory) if keep.memory in self.spilling else -1

    # Registers of the array that runs an Einsum

    def add_register_traffic(self, touch: Touch, touches: list[Touch]) -> None:
        place = self.chain(touch.leaf, touch.access.tensor, touches)[-1]
        registers = self.machine.registers_of(touch.leaf.array)
        if place.memory == registers or _streams(touch):
            return
        parts = self.parts_of(touch)
        again = self.again(touch.leaf) if touch.writes else NOTHING
        row = self.rows.row(touch.leaf.loops, parts | again, parts)
        if touch.writes:
            total = self.made_words(touch.leaf, touch.leaf.loops, parts)
            self.add_inward(Words(row), place, 1, touch)
            if row != total:
                self.add_inward(Words(row, total), place, 0, touch)
            return
        self.add_inward(Words(row), place, 0, touch)
        copies = self.rows.row(touch.leaf.loops, parts, parts | self.spatial_parts(touch.leaf))
        self.add(Words(copies), registers, 1, touch)

    def add_operand_accesses(self, leaf: PlacedLeaf) -> None:
        """Each iteration point reads its operands and writes its result in registers; a reduction also reads it back.

        Not so where a result begins: when its tile comes to the array, or, kept in these registers, for the first time.
        """
        einsum = self.cascade.einsum(leaf.einsum)
        registers = self.machine.registers_of(leaf.array)
        points = points_row(self.rows, leaf)
        for load in einsum.loads:
            self.add(Words(points), registers, 0, Touch(leaf, load, "plain", False))
        written = Touch(leaf, einsum.output, "plain", True)
        self.add(Words(points), registers, 1, written)
        if einsum.reduction is not None:
            parts = self.parts_of(written)
            stays = self.chain(leaf, leaf.einsum, self.touches_of(leaf.einsum))[-1].memory == registers
            row = self.rows.first_visits if stays else self.rows.row
            starts = row(leaf.loops, parts | self.again(leaf), parts | self.spatial_parts(leaf))
            self.add(Words(points, starts), registers, 0, written)

    def again(self, leaf: PlacedLeaf) -> frozenset[int]:
        return recomputed_parts(self.space, self.tree, leaf)

    def made_words(self, leaf: PlacedLeaf, loops: tuple[int, ...], parts: frozenset[int]) -> int:
        """The row of words that begin: each once, or once in every iteration that computes them again."""
        again = self.again(leaf)
        return self.rows.first_visits(loops, parts | again, parts) if again else self.rows.total(parts)

    def spatial_parts(self, leaf: PlacedLeaf) -> frozenset[int]:
        return frozenset(self.space.part_of_variable(loop.variable) for loop in leaf.spatial)

    def add(self, words: Words, memory: str, write: int, touch: Touch) -> None:
        index, tensor = self.machine.memory(memory), self.tensor_index(touch.access.tensor)
        self.flows.append(Flow(words.row, words.less, index, write, tensor, touch.leaf.index, words.resident))

    def add_inward(self, words: Words, place: Place, write: int, touch: Touch) -> None:
        """As `add`, for accesses from further in: what did not fit is not there, its part goes through outward."""
        self.add(words, place.memory, write, touch)
        if place.memory in self.spilling and place.behind is not None:
            index, spilled = self.machine.memory(place.behind), self.machine.memory(place.memory)
            tensor = self.tensor_index(touch.access.tensor)
            self.flows.append(Flow(words.row, words.less, index, write, tensor, touch.leaf.index, -1, spilled))

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


def _streams(touch: Touch) -> bool:
    return not touch.writes and touch.access.tensor in touch.leaf.forwarded


def _version(cascade: Cascade, access: Access) -> Version:
    """Which of an iterative tensor's values an access means; other tensors have one."""
    rank = next((rank for tensor, rank in cascade.iterative if tensor == access.tensor), None)
    if rank is None:
        return "plain"
    index = access.indices[cascade.tensor(access.tensor).ranks.index(rank)]
    if index.last_of is not None:
        return "last"
    return "new" if index.offset == 1 else "old"
