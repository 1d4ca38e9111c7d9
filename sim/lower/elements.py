"""How the sides of an array lay a tensor out over its elements: who needs a word, and how many words one element holds.

An element has the coordinates of the ranks on the sides that fall on it. Of a tensor with such a rank it holds only
those; of one that lacks it every element along that side needs a copy. A side's temporal loops pass over the same
elements again, so that an element along a side of 4 which 8 coordinates pass holds 2 of them, and no more than 4
elements need a copy. A memory that elements along a side share holds what all of them need, once.
"""

from collections.abc import Collection
from typing import NamedTuple

from arch.components import Side
from mappings.tree import PlacedLeaf
from sim.engine.counting import FIRST_ONLY, WALKS
from sim.lower.ranks import RankSpace
from sim.lower.rows import Path, RowTable

Parts = frozenset[int]


class Spread(NamedTuple):
    """A leaf, and the sides of its array along which every element has a memory of its own."""

    leaf: PlacedLeaf
    sides: Collection[Side]

    def parts(self, space: RankSpace) -> Parts:
        """The parts that those sides carry."""
        return frozenset(space.part_of_variable(variable) for variable in self.leaf.along(self.sides))


def copies_row(rows: RowTable, spread_over: Spread, path: Path, dims: Parts) -> int:
    """The row that counts every word over `dims` once for each memory beside the leaf's array whose elements need it.

    `path`: the loops that bring tiles, outermost loops of the leaf.
    """
    leaf, spread = spread_over.leaf, spread_over.parts(rows.space) - dims
    return rows.along(_with_inner(rows, leaf, path, dims, dict.fromkeys(spread, FIRST_ONLY)), dims | spread)


def room_row(rows: RowTable, spread_over: Spread, loops: tuple[int, ...], dims: Parts) -> int:
    """The row that holds the words of a tile inside `loops` which the memory with the most of them has."""
    leaf, dealt = spread_over.leaf, spread_over.parts(rows.space) & dims
    path = rows.path(loops, frozenset(), FIRST_ONLY)
    return rows.along(_with_inner(rows, leaf, path, dims - dealt, dict.fromkeys(dealt, WALKS)), dims - dealt)


def _with_inner(rows: RowTable, leaf: PlacedLeaf, path: Path, dims: Parts, sided: dict[int, int]) -> Path:
    """A path with the leaf's further loops over the ranks that have parts on its sides, and what each does to the tile.

    One over another part of such a rank must have come down first: its first step stands for all.
    """
    outside = dict(path)
    roots = {rows.space.parts[part].root for part in sided}
    found: list[tuple[int, int]] = []
    for loop in leaf.loops:
        part = rows.part(loop)
        if loop in outside:
            found.append((loop, outside[loop]))
        elif rows.space.parts[part].root in roots:
            found.append((loop, sided.get(part, WALKS if part in dims else FIRST_ONLY)))
    return tuple(found)
