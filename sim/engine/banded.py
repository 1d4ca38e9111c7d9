"""How many words cross an edge of a nest in which tiles without existing points are skipped.

An edge is as in `counting`: a tile that its loops bring. An iteration in which no point exists that needs it does not
happen, and the next one finds the tile of the last that did. A tile comes as a whole, whatever part of it is needed.
Loops over the ranks of a region are gone through tile by tile, where neither none nor all of what is inside exists;
all others, and whatever lies inside tiles of which every point exists, are added up as in `counting`.
"""

from typing import NamedTuple

import numpy as np

from sim.engine.bands import ALL, FIRST, NONE, SECOND, Region, meets
from sim.engine.counting import (
    ADVANCES,
    CORES,
    DEALT_ADVANCES,
    DIGIT,
    FIELDS,
    FIRST_ONLY,
    MAX_DEPTH,
    RANK,
    RELEVANT,
    ROUNDS,
    TILE,
    TRIPS,
    WALKS,
    carried_on,
    deal,
    fetched_words,
    held_in_turn,
    is_dealt,
    is_regular,
)
from sim.engine.extents import cut, tile_extent, trips
from sim.engine.jit import compiled

LAST = DIGIT  # of a loop that brings tiles: the iteration of the last one that came


class Nest(NamedTuple):
    """The loops outside an edge, and what they have come to."""

    trail: np.ndarray  # i8[field, position], as in `counting`
    runs: np.ndarray  # i8[item, run, 3]
    sizes: np.ndarray  # i8[column]
    extent: np.ndarray  # i8[rank], of the tile
    box: np.ndarray  # i8[2, (first, last)], elements of the region's ranks that the loops have reached
    scratch: np.ndarray  # i8[rank]
    weight: np.ndarray  # f8[2, position]
    inside: np.ndarray  # i8[2, 2], worked in


@compiled
def finds_first(nest, level, depth):
    """Whether the tile that came last is the one with which the loops from `level` inward begin."""
    for k in range(level, depth):
        if nest.trail[RELEVANT, k] == ADVANCES and nest.trail[LAST, k] != 0:
            return False
    return True


@compiled
def note_last(nest, level, depth):
    """Note the tile with which the loops from `level` inward end."""
    nest.scratch[:] = nest.extent
    for k in range(level, depth):
        rank, tile = nest.trail[RANK, k], nest.trail[TILE, k]
        last = trips(nest.scratch[rank], tile) - 1
        if nest.trail[RELEVANT, k] == ADVANCES:
            nest.trail[LAST, k] = last
        nest.scratch[rank] = tile_extent(nest.scratch[rank], tile, last)


@compiled
def add_whole(nest, level, depth, weight, words):
    """Add what the loops from `level` inward bring, all of it existing, `weight` times."""
    nest.weight[0, 0] = weight
    inner = nest.trail[:, level:]
    fetched_words(inner, depth - level, nest.runs, nest.sizes, nest.extent, nest.scratch, nest.weight, words)


@compiled
def take_first(nest, level, depth, weight, words):
    """As `add_whole` of the first tile alone, taken away."""
    modes = nest.trail[RELEVANT, level:depth].copy()
    for k in range(level, depth):
        if nest.trail[RELEVANT, k] != WALKS:
            nest.trail[RELEVANT, k] = FIRST_ONLY
    add_whole(nest, level, depth, -weight, words)
    nest.trail[RELEVANT, level:depth] = modes


@compiled
def walk(nest, region, level, weight, fresh, words):
    """Add to `words: f8[item]` those that come inside the loops outside `level`, of which something exists.

    level: [position, depth, one past the last loop that brings tiles]; fresh: whether the tile that came last is
    another one by a loop further out. All of this happens `weight` times, always after the same tile.
    """
    at, depth, cutoff = level
    if at >= cutoff or meets(region, nest.box, nest.inside) == ALL:
        add_whole(nest, at, depth, weight, words)
        if not fresh and finds_first(nest, at, depth):
            take_first(nest, at, depth, weight, words)
        note_last(nest, at, depth)
        return
    rank, tile, mode = nest.trail[RANK, at], nest.trail[TILE, at], nest.trail[RELEVANT, at]
    inner = (at + 1, depth, cutoff)
    whole = nest.extent[rank]
    full, ragged = cut(whole, tile)
    if mode == FIRST_ONLY:
        nest.extent[rank] = min(whole, tile)
        walk(nest, region, inner, weight, fresh, words)
        nest.extent[rank] = whole
        return
    if rank == region.roots[FIRST] or rank == region.roots[SECOND]:
        side = FIRST if rank == region.roots[FIRST] else SECOND
        low, high = nest.box[side, 0], nest.box[side, 1]
        for n in range(full + (ragged > 0)):
            nest.extent[rank] = tile_extent(whole, tile, n)
            nest.box[side, 0] = low + n * tile
            nest.box[side, 1] = nest.box[side, 0] + nest.extent[rank] - 1
            if meets(region, nest.box, nest.inside) != NONE:
                is_other = mode == ADVANCES and nest.trail[LAST, at] != n
                if mode == ADVANCES:
                    nest.trail[LAST, at] = n
                walk(nest, region, inner, weight, fresh or is_other, words)
                fresh = False
        nest.box[side, 0], nest.box[side, 1] = low, high
        nest.extent[rank] = whole
        return
    if mode == ROUNDS:
        full, ragged = trips(whole, tile * nest.sizes[CORES]), 0
    brings = mode == ADVANCES
    if full > 0:
        nest.extent[rank] = min(tile, whole)
        starts_new = fresh or (brings and nest.trail[LAST, at] != 0)
        if starts_new and brings:
            walk(nest, region, inner, weight * full, True, words)
        else:
            walk(nest, region, inner, weight, starts_new, words)
            if full > 1:
                walk(nest, region, inner, weight * (full - 1), brings, words)
        fresh = False
        if brings:
            nest.trail[LAST, at] = full - 1
    if ragged > 0:
        nest.extent[rank] = ragged
        starts_new = fresh or (brings and nest.trail[LAST, at] != full)
        if brings:
            nest.trail[LAST, at] = full
        walk(nest, region, inner, weight, starts_new, words)
    nest.extent[rank] = whole


@compiled
def begin(nest, region, extents):
    """Set the box of a region to whole ranks."""
    for side in range(2):
        root = region.roots[side]
        nest.box[side, 0], nest.box[side, 1] = 0, extents[root] - 1 if root >= 0 else 0


@compiled
def walk_of_cores(nest, region, depth, cutoff, words):
    """As `walk` from outside all loops, into an edge that every core has: the outermost loops are dealt to cores, and
    run over no rank of the region.
    """
    dealt, first_only = deal(nest.trail, depth, nest.sizes[CORES], nest.extent, nest.scratch)
    regular = is_regular(nest.trail, dealt, nest.extent, nest.scratch)
    held = np.zeros(1) if regular else held_in_turn(nest.trail, dealt, nest.sizes[CORES], nest.extent)
    whole = nest.extent.copy()
    inner = Nest(
        nest.trail[:, dealt:], nest.runs, nest.sizes, nest.extent, nest.box, nest.scratch, nest.weight, nest.inside
    )
    level = (0, depth - dealt, max(0, cutoff - dealt))
    for case in range(1 << dealt):
        times, there = 1.0, (1.0, 0.0)
        for loop in range(dealt):
            rank, last = nest.trail[RANK, loop], nest.trail[TRIPS, loop]
            full, ragged = cut(nest.extent[rank], nest.trail[TILE, loop])
            is_ragged = case >> loop & 1
            first, end = (last - (ragged > 0), last) if is_ragged else (0, full)
            nest.extent[rank] = ragged if is_ragged else nest.trail[TILE, loop]
            times *= end - first
            there = carried_on(nest.trail, loop, first, end, there)
        if times > 0.0:
            again = there[0] if regular else held[case]
            walk(inner, region, level, times - again, True, words)
            if again > 0.0 and not first_only:
                walk(inner, region, level, again, False, words)
        nest.extent[:] = whole


@compiled
def fetched_in_region(nest, region, depth, words):
    """Add to `words: f8[item]` those that an edge inside `depth` loops is fetched over the whole run."""
    begin(nest, region, nest.extent)
    if meets(region, nest.box, nest.inside) == NONE:
        return
    cutoff = 0
    for k in range(depth):
        if nest.trail[RELEVANT, k] == ADVANCES or nest.trail[RELEVANT, k] == DEALT_ADVANCES:
            cutoff = k + 1
    if depth > 0 and is_dealt(nest.trail[RELEVANT, 0]):
        walk_of_cores(nest, region, depth, cutoff, words)
    else:
        walk(nest, region, (0, depth, cutoff), 1.0, True, words)


@compiled
def one_region(bands, number, lines, sizes):
    """A region of the tables with the lines of one design; `bands`: `BandTables`."""
    pieces = bands.pieces[bands.regions[number, 2] : bands.regions[number, 3]]
    units = np.ones((lines.shape[0], 2), np.int64)
    for line in range(lines.shape[0]):
        for side in range(2):
            units[line, side] = sizes[bands.units[line, side]]
    return Region(bands.regions[number, :2], pieces, units, lines)


@compiled
def count_banded(extents, tiles, sizes, lines, bands, rows, out):
    """As `counting.count_words`, of rows that each have a region.

    lines: i8[design, line, 3]; bands: `BandTables`; rows: `RowTables`; out: f8[design, row].
    """
    weight = np.zeros((2, MAX_DEPTH + 1))
    inside, box = np.zeros((2, 2), np.int64), np.zeros((2, 2), np.int64)
    scratch = np.empty(extents.shape[1], np.int64)
    for d in range(extents.shape[0]):
        for row in range(rows.paths.shape[0]):
            trail = np.zeros((FIELDS, MAX_DEPTH + 1), np.int64)
            depth = 0
            while depth < rows.paths.shape[1] and rows.paths[row, depth] >= 0:
                loop = rows.paths[row, depth]
                trail[RANK, depth] = rows.loop_rank[loop]
                trail[TILE, depth] = tiles[d, loop]
                trail[RELEVANT, depth] = rows.relevant[row, depth]
                depth += 1
            region = one_region(bands, rows.region[row], lines[d], sizes[d])
            nest = Nest(trail, rows.runs[row : row + 1], sizes[d], extents[d].copy(), box, scratch, weight, inside)
            words = np.zeros(1)
            fetched_in_region(nest, region, depth, words)
            out[d, row] = words[0]
