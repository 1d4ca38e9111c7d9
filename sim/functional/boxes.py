"""Boxes of iteration points: a range of coordinates per rank variable, divided by one loop after another.

A box has a separate range for each part of a partitioned rank, so that parts may be traversed in any order that a
mapping allows; `points.py` determines which of its points exist.
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
