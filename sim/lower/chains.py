"""Where the words of each tensor lie between its home and the arrays, and what crosses from one place to the next.

Each tensor has a chain of places on the way to each Einsum that touches it: its home (the root memory, or the
outermost kept tile that all its Einsums share), further kept tiles, and the registers of the array. Worked out once for
a structure; what counts words, times transfers or follows values asks here.

What crosses is one table, `Chains.demands`: a row for everything that an Einsum has a memory serve. The analytical
engine counts its rows over a whole run (`flows`, `links`), `bind` over an iteration and the cycle engine tile by tile
(`demands`); what the words ask of ports and links, once counted, says `engine/ports.py`.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from einsums.conditions import Region
from einsums.types import Access, Cascade
from mappings.lifetime import home_of
from mappings.tree import PlacedKeep, PlacedLeaf, ResolvedTree
from sim.lower.machine import MachineShape
from sim.lower.ranks import RankSpace
from sim.lower.regions import bands_of, union_of

Parts = frozenset[int]
Version = Literal["plain", "old", "new", "last"]
VERSIONS: tuple[Version, ...] = ("plain", "old", "new", "last")


@dataclass(frozen=True, slots=True)
class ChainPlace:
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

    @property
    def streams(self) -> bool:
        """Whether the value is taken as it is made, without lying anywhere."""
        return not self.writes and self.access.tensor in self.leaf.forwarded


@dataclass(frozen=True, slots=True)
class Demand:
    """Tiles that an Einsum has a memory serve: for the registers of its array, or to fill or drain a kept tile.

    The registers hold one word of every operand and result in each element, and a word stays until a loop over one of
    its tensor's ranks brings another; a mapping may name such a tile, or a larger one, as a keep. `loops` are those
    that may bring another tile, outermost first. Of `parts`, those whose coordinates make words, a tile that lasts
    several `steps` of a recurrence is given one value from before it.
    """

    touch: Touch
    place: ChainPlace  # the memory that serves them, and what is behind it
    inside: str  # the memory on this side
    loops: tuple[int, ...]
    parts: Parts
    moving: Parts  # parts whose loops bring another tile
    beginning: Parts  # of what leaves: parts whose loops begin other sums
    steps: Parts = frozenset()
    keep: PlacedKeep | None = None  # where the mapping names the tile
    is_shared: bool = False  # other Einsums use the same named tile, or a recurrence carries it


@dataclass(frozen=True, eq=False)
class Chains:
    """The chains of all tensors of a mapped cascade. `spilling`: memories whose policy lets tiles go further out;
    `dealt`: loops whose iterations go to the cores of the machine.
    """

    cascade: Cascade
    tree: ResolvedTree
    machine: MachineShape
    space: RankSpace
    spilling: frozenset[str]
    dealt: tuple[int, ...]

    @cached_property
    def _touches(self) -> dict[str, tuple[Touch, ...]]:
        found: dict[str, list[Touch]] = {tensor.name: [] for tensor in self.cascade.tensors}
        for leaf in self.tree.leaves:
            einsum = self.cascade.einsum(leaf.einsum)
            for load in einsum.reads:
                found[load.tensor].append(Touch(leaf, load, _version(self.cascade, load), False))
            written = einsum.output
            found[written.tensor].append(Touch(leaf, written, _version(self.cascade, written), True))
        return {tensor: tuple(touches) for tensor, touches in found.items()}

    @cached_property
    def _homes(self) -> dict[str, PlacedKeep | None]:
        return {tensor.name: home_of(self.cascade, self.tree, tensor.name) for tensor in self.cascade.tensors}

    @cached_property
    def _chains(self) -> dict[tuple[int, str], tuple[ChainPlace, ...]]:
        return {}

    def touches_of(self, tensor: str) -> tuple[Touch, ...]:
        """Everything that reads or writes a tensor, Einsums in the order of the tree."""
        return self._touches[tensor]

    def home_of(self, tensor: str) -> PlacedKeep | None:
        return self._homes[tensor]

    def chain(self, leaf: PlacedLeaf, tensor: str) -> tuple[ChainPlace, ...]:
        """Places from the tensor's home inward to the leaf, registers left out unless they keep a tile."""
        key = leaf.index, tensor
        if key not in self._chains:
            self._chains[key] = self._chain(leaf, tensor)
        return self._chains[key]

    def _chain(self, leaf: PlacedLeaf, tensor: str) -> tuple[ChainPlace, ...]:
        places = [] if self.home_of(tensor) else [ChainPlace(self.machine.root, (), None, None)]
        for keep in self.tree.keeps_above(leaf, tensor):
            behind = places[-1].memory if places else self.machine.parent_of(keep.memory)
            places.append(ChainPlace(keep.memory, keep.loops, keep, behind))
        return tuple(places)

    def parts_of(self, touch: Touch) -> frozenset[int]:
        return self.space.parts_of_access(touch.access)

    def region_of(self, einsums: Iterable[str]) -> Region:
        """Where a point of any of these Einsums exists; tiles without one are skipped."""
        points = self.cascade.existence.points
        return union_of(bands_of(points[einsum]) for einsum in dict.fromkeys(einsums))

    @cached_property
    def demands(self) -> tuple[Demand, ...]:
        """Everything that Einsums have memories serve: of every tensor what fills and drains its kept tiles, then what
        its Einsums take from a memory, or hand to one, word by word.
        """
        return tuple(demand_rows(self))

    @cached_property
    def _demands_of_keeps(self) -> dict[int, tuple[Demand, ...]]:
        found: dict[int, tuple[Demand, ...]] = dict.fromkeys(range(len(self.tree.keeps)), ())
        for row in self.demands:
            if row.keep is not None:
                found[row.keep.index] += (row,)
        return found

    @cached_property
    def _demands_of_registers(self) -> dict[tuple[int, str], tuple[Demand, ...]]:
        of_touch: dict[int, tuple[Demand, ...]] = {}
        for row in self.demands:
            if row.inside == self.machine.registers_of(row.touch.leaf.array):
                of_touch[id(row.touch)] = (*of_touch.get(id(row.touch), ()), row)  # touches stand once
        found: dict[tuple[int, str], tuple[Demand, ...]] = {}
        for tensor, touches in self._touches.items():
            for touch in touches:
                key = touch.leaf.index, tensor
                found[key] = found.get(key, ()) + of_touch.get(id(touch), ())
        return found

    def demands_of_keep(self, keep: PlacedKeep) -> tuple[Demand, ...]:
        """What fills and drains a kept tile, fills first; nothing for a home."""
        return self._demands_of_keeps[keep.index]

    def demands_of_registers(self, leaf: PlacedLeaf, tensor: str) -> tuple[Demand, ...]:
        """What crosses between the registers of a leaf's array and a memory, whether a keep names it or not."""
        return self._demands_of_registers.get((leaf.index, tensor), ())

    def local_touches(self, keep: PlacedKeep) -> tuple[Touch, ...]:
        """What touches a tile that lies beside the elements of an array, on that array; nothing for a shared memory.

        All of them lay it out over the elements alike (checked).
        """
        array = self.machine.array_of(keep.memory)
        found = (t for t in self.touches_of(keep.tensor) if t.leaf.array == array and keep.covers(t.leaf.index))
        return tuple(touch for touch in found if not touch.streams)

    def reloading_parts(self, keep: PlacedKeep) -> frozenset[int]:
        """Parts whose loops bring a tile again that a mapping reloads; nothing where it stays."""
        if not keep.reload:
            return frozenset()
        return frozenset(self.space.part_of_variable(self.tree.loops[loop].variable) for loop in keep.loops)

    def must_fill(self, keep: PlacedKeep, version: Version, writer: Touch | None) -> bool:
        """A value made under the same tile is there already, unless it was made in an earlier step than the tile
        lasts.
        """
        if writer is None:
            return True
        return version == "old" and self.is_inside_recurrence(keep)

    def must_drain(self, keep: PlacedKeep) -> bool:
        touches = self.touches_of(keep.tensor)
        if keep.tensor in self.cascade.outputs or any(not keep.covers(touch.leaf.index) for touch in touches):
            return True
        return any(touch.version == "old" for touch in touches) and self.is_inside_recurrence(keep)

    def is_inside_recurrence(self, keep: PlacedKeep) -> bool:
        steps = self.iterative_parts(keep.tensor)
        return any(self.space.part_of_variable(self.tree.loops[loop].variable) in steps for loop in keep.loops)

    def iterative_parts(self, tensor: str) -> frozenset[int]:
        return frozenset(self.space.part(rank) for name, rank in self.cascade.iterative if name == tensor)


def demand_rows(chains: Chains) -> Iterator[Demand]:
    """The table of demands, row by row."""
    for tensor in chains.cascade.tensors:
        for keep in (keep for keep in chains.tree.keeps if keep.tensor == tensor.name):
            yield from _of_keep(chains, keep)
        for touch in chains.touches_of(tensor.name):
            registers, place = chains.machine.registers_of(touch.leaf.array), chains.chain(touch.leaf, tensor.name)[-1]
            if place.memory == registers or touch.streams:
                continue  # the registers keep it, or take it as it is made
            parts, again = chains.parts_of(touch), recomputed_parts(chains.space, chains.tree, touch.leaf)
            moving = parts | again if touch.writes else parts
            if tensor.name in touch.leaf.bypass:  # it passes by the registers, in every step anew
                moving = frozenset(range(len(chains.space.parts)))
            yield Demand(touch, place, registers, touch.leaf.loops, parts, moving, parts | again)


def _of_keep(chains: Chains, keep: PlacedKeep) -> Iterator[Demand]:
    """What fills and drains a kept tile, fills first; nothing for a home."""
    inside = [touch for touch in chains.touches_of(keep.tensor) if keep.covers(touch.leaf.index)]
    chain = chains.chain(inside[0].leaf, keep.tensor) if inside else ()
    position = next((i for i, place in enumerate(chain) if place.keep == keep), 0)
    if position == 0:
        return
    writer = next((touch for touch in inside if touch.writes), None)
    steps = chains.iterative_parts(keep.tensor)
    is_shared = len({touch.leaf.index for touch in inside}) > 1 or keep.share_group >= 0 or bool(steps)
    crossing = []
    for version in VERSIONS:
        reader = next((t for t in inside if not t.writes and t.version == version and not t.streams), None)
        if reader is not None and chains.must_fill(keep, version, writer):
            crossing.append(reader)
    if writer is not None and chains.must_drain(keep):
        crossing.append(writer)
    for touch in crossing:
        parts, again = chains.parts_of(touch), recomputed_parts(chains.space, chains.tree, touch.leaf)
        moving = parts | (again if touch.writes else chains.reloading_parts(keep))
        # Of the steps that a tile lasts only the first needs a value from before it.
        made = steps if writer is not None and not touch.writes else frozenset[int]()
        place = chain[position - 1]
        yield Demand(touch, place, keep.memory, keep.loops, parts, moving, parts | again, made, keep, is_shared)


def all_wait_for_root(chains: Chains) -> bool:
    """Whether no Einsum has a slot before the root memory has answered: each reads a tile that is filled from there
    before it begins, or what an Einsum makes that does.

    Operands that come word by word are left out, as their slots may be counted while they come; so are tiles inside
    loops of single Einsums. A running value may be given before anything has come.
    """
    made, running = {leaf.einsum for leaf in chains.tree.leaves}, {tensor for tensor, _ in chains.cascade.iterative}
    around = min(leaf.shared for leaf in chains.tree.leaves)
    filled = {
        row.keep.index
        for row in chains.demands
        if row.keep is not None and row.place.memory == chains.machine.root and not row.touch.writes
        if chains.machine.array_of(row.keep.memory) is None
        if all(row.keep.loops == leaf.loops[: len(row.keep.loops)] for leaf in chains.tree.leaves)
        if len(row.keep.loops) <= around
    }
    late = set[str]()
    for leaf in chains.tree.leaves:  # what makes a tensor stands before what reads it
        for tensor in (load.tensor for load in chains.cascade.einsum(leaf.einsum).reads):
            keeps = (place.keep for place in chains.chain(leaf, tensor))
            is_filled = tensor not in made and any(keep is not None and keep.index in filled for keep in keeps)
            if is_filled or tensor in late - running:
                late.add(leaf.einsum)
    return late == made


def recomputed_parts(space: RankSpace, tree: ResolvedTree, leaf: PlacedLeaf) -> Parts:
    """Parts that loops around a leaf run over although its Einsum lacks them: each iteration computes it again."""
    around = frozenset(space.part_of_variable(tree.loops[loop].variable) for loop in leaf.loops)
    return around - space.parts_of_einsum(leaf.einsum) if leaf.recompute else frozenset()


def _version(cascade: Cascade, access: Access) -> Version:
    """Which of an iterative tensor's values an access means; other tensors have one."""
    rank = next((rank for tensor, rank in cascade.iterative if tensor == access.tensor), None)
    if rank is None:
        return "plain"
    index = access.indices[cascade.tensor(access.tensor).ranks.index(rank)]
    if index.last_of is not None:
        return "last"
    return "new" if index.offset == 1 else "old"
