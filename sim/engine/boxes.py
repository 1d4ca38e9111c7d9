"""Edges whose tiles form a regular grid over the ranks of a region, counted in closed form.

Where every loop over a rank divides the tiles of the one outside it, boxes stand in a grid: of full tiles, and of the
ragged one at the end of each rank. Those in which something exists are the points between lines over their numbers
(`lattice`). Each brings its tile, if no loop leaves a tile in place that the loops inside may end with.
"""

import numpy as np

from sim.engine.bands import FIRST, GENERAL, KIND, SECOND, leave_a_value
from sim.engine.counting import ADVANCES, FIRST_ONLY, PIECES, RANK, RELEVANT, ROUNDS, STAYS, TILE, fetched_words
from sim.engine.extents import cut, is_cut
from sim.engine.jit import compiled
from sim.engine.lattice import lattice_points


@compiled
def side_of(region, rank):
    """FIRST or SECOND for a rank that a region speaks of, -1 for any other."""
    if rank == region.roots[FIRST]:
        return FIRST
    return SECOND if rank == region.roots[SECOND] else -1


@compiled
def brings_anew(nest, region, level, cutoff):
    """Whether a loop over another rank, inside `level`, has each of its iterations bring another tile."""
    for k in range(level + 1, cutoff):
        rank = nest.trail[RANK, k]
        if nest.trail[RELEVANT, k] != ADVANCES or side_of(region, rank) >= 0:
            continue
        if is_cut(nest.extent[rank], nest.trail[TILE, k]) and (nest.trail[RANK, :cutoff] == rank).sum() == 1:
            return True
    return False


@compiled
def grid_of(nest, region, cutoff, tiles):
    """Whether the loops outside `cutoff` make a regular grid, and never leave a tile in place; fills `tiles: i8[2]`."""
    for side in range(2):
        tiles[side] = nest.extent[region.roots[side]] if region.roots[side] >= 0 else 1
    for k in range(cutoff):
        rank, tile, mode = nest.trail[RANK, k], nest.trail[TILE, k], nest.trail[RELEVANT, k]
        side = side_of(region, rank)
        if mode in (PIECES, ROUNDS) or (side >= 0 and mode == FIRST_ONLY):
            return False
        if side >= 0 and tile < tiles[side]:
            if tiles[side] < nest.extent[rank] and tiles[side] % tile != 0:
                return False
            tiles[side] = tile
        if mode == STAYS and is_cut(nest.extent[rank], tile) and not brings_anew(nest, region, k, cutoff):
            return False
    return True


@compiled
def corners_decide(region, tiles):
    """Whether the best corner of a box decides for all lines of a region, in every box of a grid."""
    if region.pieces.shape[0] > 1 or region.pieces[0, KIND] == GENERAL:
        return False
    for line in range(region.lines.shape[0]):
        for side in range(2):
            if region.lines[line, side] == 0:
                continue
            if tiles[side] % region.units[line, side] != 0:
                return False
            for other in range(region.lines.shape[0]):
                is_alone, crosses = region.lines[line, 1 - side] == 0, region.lines[other, 1 - side] != 0
                if is_alone and crosses and region.lines[line, side] * region.lines[other, side] < 0:
                    return False
    return True


@compiled
def boxes_between(region, tiles, sizes, kinds):
    """Boxes of a grid in which something exists, of full tiles (kinds: i8[2], 0) or of ragged ones (1) on each side.

    tiles, sizes: i8[2], elements of a full tile and of the whole rank.
    """
    rows, counts = np.empty((region.lines.shape[0], 3), np.int64), np.empty(2, np.int64)
    for side in range(2):
        full, ragged = cut(sizes[side], tiles[side])
        counts[side] = full if kinds[side] == 0 else (1 if ragged > 0 else 0)
    if counts[0] == 0 or counts[1] == 0:
        return 0
    for line in range(region.lines.shape[0]):
        rows[line, 2] = region.lines[line, 2]
        for side in range(2):
            factor, unit = region.lines[line, side], region.units[line, side]
            step = tiles[side] // unit
            rows[line, side] = factor * step if kinds[side] == 0 else 0
            if kinds[side] == 0:
                at = step - 1 if factor > 0 else 0
            else:
                at = (sizes[side] - 1) // unit if factor > 0 else sizes[side] // tiles[side] * step
            rows[line, 2] += factor * at
    return lattice_points(rows, counts[0], counts[1])


@compiled
def other_loops(nest, region, depth, cutoff):
    """(the loops inside boxes or over other ranks, how many); each of the outer ones brings another tile."""
    others, count = np.zeros_like(nest.trail), 0
    for k in range(depth):
        if k >= cutoff or side_of(region, nest.trail[RANK, k]) < 0:
            others[:, count] = nest.trail[:, k]
            if k < cutoff and nest.trail[RELEVANT, k] == STAYS:
                others[RELEVANT, count] = ADVANCES
            count += 1
    return others, count


@compiled
def set_extents(nest, region, extents, reads):
    """Set the extents of a region's ranks to `extents: i8[2]`, or (`reads`) fill that with them."""
    for side in range(2):
        root = region.roots[side]
        if root >= 0 and reads:
            extents[side] = nest.extent[root]
        elif root >= 0:
            nest.extent[root] = extents[side]


@compiled
def words_of_grid(nest, region, depth, cutoff, words):
    """Add to `words: f8[item]` those that an edge inside `depth` loops is fetched, if it is regular; whether it is.

    cutoff: one past the last loop that brings tiles.
    """
    tiles, sizes, kinds = np.ones(2, np.int64), np.ones(2, np.int64), np.zeros(2, np.int64)
    if not grid_of(nest, region, cutoff, tiles) or not corners_decide(region, tiles):
        return False
    if not leave_a_value(region, 0):
        return True
    others, count = other_loops(nest, region, depth, cutoff)
    set_extents(nest, region, sizes, True)
    of_one = np.zeros(words.size)
    for case in range(4):
        kinds[0], kinds[1] = case & 1, case >> 1
        boxes = boxes_between(region, tiles, sizes, kinds)
        if boxes > 0:
            set_extents(nest, region, np.where(kinds == 0, tiles, sizes % tiles), False)
            of_one[:] = 0.0
            nest.weight[0, 0] = 1.0
            fetched_words(others, count, nest.runs, nest.sizes, nest.extent, nest.scratch, nest.weight, of_one)
            words += boxes * of_one
    set_extents(nest, region, sizes, False)
    return True
