"""How the sides of an array lay a tensor out over its elements: who needs a word, and how many words one element holds.

An element has the coordinates of the ranks on the sides that fall on it. Of a tensor with such a rank it holds only
those; of one that lacks it every element along that side needs a copy. A side's temporal loops pass over the same
elements again, so that an element along a side of 4 which 8 coordinates pass holds 2 of them, and no more than 4
elements need a copy.
"""

from mappings.tree import PlacedLeaf
from sim.engine.counting import FIRST_ONLY, WALKS
from sim.lower.rows import Path, RowTable

Parts = frozenset[int]


def sided_parts(rows: RowTable, leaf: PlacedLeaf) -> Parts:
    """The parts that the sides of the array carry."""
    return frozenset(rows.space.part_of_variable(loop.variable) for loop in leaf.spatial)


def copies_row(rows: RowTable, leaf: PlacedLeaf, path: Path, dims: Parts) -> int:
    """The row that counts every word over `dims` once for each element of the leaf's array that needs it.

    `path`: the loops that bring tiles, outermost loops of the leaf.
    """
    spread = sided_parts(rows, leaf) - dims
    return rows.along(path + _inner(rows, leaf, path, dims, dict.fromkeys(spread, FIRST_ONLY)), dims | spread)


def room_row(rows: RowTable, leaf: PlacedLeaf, loops: tuple[int, ...], dims: Parts) -> int:
    """The row that holds the words of a tile inside `loops` which the element with the most of them has."""
    path = rows.path(loops, frozenset(), FIRST_ONLY)
    dealt = sided_parts(rows, leaf) & dims
    return rows.along(path + _inner(rows, leaf, path, dims - dealt, dict.fromkeys(dealt, WALKS)), dims - dealt)


def _inner(rows: RowTable, leaf: PlacedLeaf, path: Path, dims: Parts, sided: dict[int, int]) -> Path:
    """The leaf's further loops over parts on its sides, each with what it does to the tile; and those that must have
    come down before, over other parts of the same roots.
    """
    outside = {loop for loop, _ in path}
    roots = {rows.space.parts[part].root for part in sided}
    found: list[tuple[int, int]] = []
    for loop in leaf.loops:
        part = rows.part(loop)
        if loop in outside or rows.space.parts[part].root not in roots:
            continue
        if part in sided or part in dims:
            found.append((loop, sided.get(part, WALKS)))
    return tuple(found)
