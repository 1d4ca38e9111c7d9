"""How a loop divides a rank: the number of tiles, and the elements in each of them.

Extents are counted in elements of a root rank. A loop with tiles of `tile` elements covers an extent in iterations of
which only the last may be shorter; a loop further in over the same rank divides the tile it is given. A part of a
partitioned rank steps through elements in units, inside a span: part k of M = M2 x M1 x M0 has the unit of all parts
further in and the span of those and itself (the outermost one is unbounded). Coordinates c of the parts denote the
element sum of c * unit, and exist if that element lies inside the extent of the root.

Compiled loops and Python both call these functions, which all counting, timing and execution of loop nests relies on.
"""

from typing import Any

from sim.engine.jit import shared


@shared
def cut(extent: int, tile: int) -> tuple[int, int]:
    """(iterations that hold a full tile, elements of the shorter one after them; 0: there is none)."""
    full = extent // tile
    return full, extent - full * tile


@shared
def is_cut(extent: int, tile: int) -> bool:
    """Whether a loop has more than one iteration."""
    return extent > tile


@shared
def trips(extent: int, tile: int) -> int:
    """Iterations of a loop."""
    return (extent + tile - 1) // tile


@shared
def tile_extent(extent: int, tile: int, iteration: int) -> int:
    """Elements that an iteration holds, iterations counted from 0."""
    return min(tile, extent - iteration * tile)


@shared
def coordinates(extent: int, span: int, unit: int) -> int:
    """Coordinates that the elements of an extent have in a part, or in neighbouring parts of one root together:
    `span` that of the outermost, `unit` that of the innermost.
    """
    reach = min(extent, span)
    return reach if unit == 1 else (reach + unit - 1) // unit


@shared
def is_inside(element: Any, extent: Any) -> Any:
    """Whether an element exists; also for arrays of elements."""
    return element < extent
