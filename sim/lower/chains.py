"""Where the words of each tensor lie between its home and the arrays, and what crosses from one place to the next.

Each tensor has a chain of places on the way to each Einsum that touches it: its home (the root memory, or the
outermost kept tile that all its Einsums share), further kept tiles, and the registers of the array. Worked out once for
a structure; what counts words, times transfers or follows values asks here.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

from einsums.conditions import Region
from einsums.types import Access, Cascade
from mappings.lifetime import home_of
from mappings.tree import PlacedKeep, PlacedLeaf, ResolvedTree
from sim.lower.machine import MachineShape
from sim.lower.ranks import RankSpace
from sim.lower.regions import bands_of, union_of

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


class Crossing(NamedTuple):
    """Words over the border of a kept tile: filled from `outer` for a reader, or drained there by the writer."""

    touch: Touch
    outer: ChainPlace


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

    def place_beyond_registers(self, touch: Touch) -> ChainPlace | None:
        """The place with which the registers of an array exchange the words of a touch; None where they keep them, or
        take them as they are made.
        """
        place = self.chain(touch.leaf, touch.access.tensor)[-1]
        stays = place.memory == self.machine.registers_of(touch.leaf.array)
        return None if stays or touch.streams else place

    def crossings_of(self, keep: PlacedKeep) -> tuple[Crossing, ...]:
        """What fills and drains a kept tile, fills first; nothing for a home."""
        inside = [touch for touch in self.touches_of(keep.tensor) if keep.covers(touch.leaf.index)]
        if not inside:
            return ()
        chain = self.chain(inside[0].leaf, keep.tensor)
        position = next(i for i, place in enumerate(chain) if place.keep == keep)
        if position == 0:
            return ()
        outer = chain[position - 1]
        writer = next((touch for touch in inside if touch.writes), None)
        found = []
        for version in VERSIONS:
            reader = next((t for t in inside if not t.writes and t.version == version and not t.streams), None)
            if reader is not None and self.must_fill(keep, version, writer):
                found.append(Crossing(reader, outer))
        if writer is not None and self.must_drain(keep):
            found.append(Crossing(writer, outer))
        return tuple(found)

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


def _version(cascade: Cascade, access: Access) -> Version:
    """Which of an iterative tensor's values an access means; other tensors have one."""
    rank = next((rank for tensor, rank in cascade.iterative if tensor == access.tensor), None)
    if rank is None:
        return "plain"
    index = access.indices[cascade.tensor(access.tensor).ranks.index(rank)]
    if index.last_of is not None:
        return "last"
    return "new" if index.offset == 1 else "old"
