"""What passes between the registers of an array and a memory, for one Einsum: the demands that all engines charge to
the array's links.

A mapping may name a tile that the registers hold anyway, or a larger one: that decides how long it stays, not how it
gets there. So a named residency costs on the links exactly what the same residency costs unnamed.

A tile that differs in every element, both along the rows and along the columns, reaches the elements as a *train*: a
word for each row of elements, one after the other down each column. Every other word rides along with the issue slots,
one for each link and slot, as operands along a side and partial sums and reductions down the columns do.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from mappings.tree import PlacedLeaf
from sim.lower.chains import Chains, Demand, Parts
from sim.lower.ranks import RankSpace


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


def register_tiles(chains: Chains, leaf: PlacedLeaf) -> tuple[Demand, ...]:
    """Every tile that crosses between the registers of a leaf's array and a memory, operands first."""
    einsum = chains.cascade.einsum(leaf.einsum)
    tensors = dict.fromkeys(access.tensor for access in (*einsum.reads, einsum.output))
    return tuple(row for tensor in tensors for row in chains.demands_of_registers(leaf, tensor))


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
