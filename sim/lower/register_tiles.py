"""What passes between the registers of an array and a memory, for one Einsum: the rows that all engines charge to the
array's links.

The registers hold one word of every operand and result in each element, and a word stays until a loop over one of its
tensor's ranks brings another. A mapping may name such a tile, or a larger one, as kept in the registers: that decides
how long it stays, not how it gets there. So a named residency costs on the links exactly what the same residency costs
unnamed.

A tile that differs in every element, both along the rows and along the columns, reaches the elements as a *train*: a
word for each row of elements, one after the other down each column. Every other word rides along with the issue slots,
one for each link and slot, as operands along a side and partial sums and reductions down the columns do.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from mappings.tree import PlacedKeep, PlacedLeaf
from sim.lower.chains import ChainPlace, Chains, Touch
from sim.lower.ranks import RankSpace

Parts = frozenset[int]


@dataclass(frozen=True, slots=True)
class RegisterTile:
    """A tile that an Einsum's array takes from a memory, or hands to it. `loops`: those that may bring another one."""

    touch: Touch
    place: ChainPlace  # on the other side
    parts: Parts
    loops: tuple[int, ...]
    keep: PlacedKeep | None  # where the mapping names it
    is_shared: bool  # other Einsums use the same named tile, or a recurrence carries it

    @property
    def bypasses(self) -> bool:
        """Whether its words pass by the registers, in every step anew."""
        return self.touch.access.tensor in self.touch.leaf.bypass


@dataclass(frozen=True, slots=True)
class SidedParts:
    """The parts that the sides of an array carry for an Einsum."""

    rows: Parts
    columns: Parts

    @classmethod
    def of(cls, space: RankSpace, leaf: PlacedLeaf) -> "SidedParts":
        on = {
            side: frozenset(space.part_of_variable(loop.variable) for loop in leaf.spatial if loop.side == side)
            for side in ("rows", "columns")
        }
        return cls(on["rows"], on["columns"])

    def differ_everywhere(self, parts: Parts) -> bool:
        """Whether a tile over these parts differs both along the rows and along the columns."""
        return bool(self.rows & parts and self.columns & parts)


def register_tiles(chains: Chains, leaf: PlacedLeaf) -> tuple[RegisterTile, ...]:
    """Every tile that crosses between the registers of a leaf's array and a memory, operands first."""
    einsum = chains.cascade.einsum(leaf.einsum)
    tensors = tuple(dict.fromkeys(access.tensor for access in (*einsum.reads, einsum.output)))
    found = []
    for tensor in tensors:
        for touch in (t for t in chains.touches_of(tensor) if t.leaf == leaf and not t.streams):
            parts, keep = chains.parts_of(touch), chains.chain(leaf, tensor)[-1].keep
            place = chains.place_beyond_registers(touch)
            if place is not None:
                found.append(RegisterTile(touch, place, parts, leaf.loops, None, False))
                continue
            assert keep is not None, "registers that hold a tensor do so by a keep"
            outer = _crossed(chains, keep, touch)
            if outer is not None:
                found.append(RegisterTile(touch, outer, parts, keep.loops, keep, _is_shared(chains, keep)))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Rides:
    """Words that ride along with every issue slot: down each column, along each row."""

    down: int
    along: int


def rides_of(tiles: Iterable[tuple[Parts, bool]], sides: SidedParts, reduced: Parts) -> Rides:
    """What rides along, of the tiles (their parts, whether they leave) that do so, and of sums over a side.

    What one side alone carries comes along its own links, as does what no side does; sums take them as they pass.
    """
    down, along = int(bool(sides.rows & reduced)), int(bool(sides.columns & reduced))
    passes = bool(down or along)
    for parts, leaves in tiles:
        if not (leaves and passes):
            down, along = (down + 1, along) if sides.columns & parts else (down, along + 1)
    return Rides(down, along)


def _crossed(chains: Chains, keep: PlacedKeep, touch: Touch) -> ChainPlace | None:
    """The place that a touch makes a kept tile exchange words with; None if it finds or leaves them there."""
    return next((crossing.outer for crossing in chains.crossings_of(keep) if crossing.touch == touch), None)


def _is_shared(chains: Chains, keep: PlacedKeep) -> bool:
    touching = {touch.leaf.index for touch in chains.touches_of(keep.tensor) if keep.covers(touch.leaf.index)}
    return len(touching) > 1 or keep.share_group >= 0 or bool(chains.iterative_parts(keep.tensor))
