"""Boxes of iteration points: a range of coordinates for every rank variable, cut by one loop after another.

A box knows each part of a partitioned rank by its own range, so that parts may be walked in any order that a mapping
allows; which of its points exist is asked of the points (`points.py`).
"""

from collections.abc import Iterator
from dataclasses import dataclass

from einsums.workload import Workload
from sim.engine.extents import tile_extent, trips

Box = dict[str, tuple[int, int]]  # rank variable -> coordinates from, to


@dataclass(frozen=True, slots=True)
class BoxLoop:
    """A temporal loop over a rank variable in steps of `tile` of its coordinates."""

    variable: str
    tile: int


def whole_box(workload: Workload) -> Box:
    """All coordinates of every rank variable."""
    return {rank.lower(): (0, workload.size(rank)) for rank in workload.cascade.leaf_ranks()}


def iter_tiles(box: Box, loop: BoxLoop) -> Iterator[Box]:
    """The boxes of a loop's iterations, in order."""
    low, high = box[loop.variable]
    for iteration in range(trips(high - low, loop.tile)):
        first = low + iteration * loop.tile
        yield {**box, loop.variable: (first, first + tile_extent(high - low, loop.tile, iteration))}
