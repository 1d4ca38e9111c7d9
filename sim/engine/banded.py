"""How many words cross an edge of a nest in which tiles without existing points are skipped.

An edge is as in `counting`: a tile that its loops bring. An iteration in which no point exists that needs it does not
happen, and the next one finds the tile of the last that did. A tile comes as a whole, whatever part of it is needed.
Loops over the ranks of a region are gone through tile by tile, where neither none nor all of what is inside exists;
all others, and whatever lies inside tiles of which every point exists, are added up as in `counting`.
"""

from typing import NamedTuple

import numpy as np

from sim.engine.bands import ALL, GENERAL, KIND, NONE, meets, ranges
from sim.engine.boxes import has_rank, side_of, words_of_grid
from sim.engine.counting import (
    ADVANCES,
    CORES,
    DEALT_ADVANCES,
    DIGIT,
    FIRST_ONLY,
    PIECES,
    RANK,
    RELEVANT,
    ROUNDS,
    STAYS,
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
# Of a loop being gone through: its next iteration (or kind of iterations), what it divides, where that lies in the
# box, whether the tile that came last is another one by a loop further out; its last iteration in which something
# exists, and the first and the last in which everything does.
NEXT, WHOLE, LOW, HIGH, FRESH, STOP, FIRST_WHOLE, LAST_WHOLE, FRAME = 0, 1, 2, 3, 4, 5, 6, 7, 8


class WalkedNest(NamedTuple):
    """The loops outside an edge, and what they have come to."""

    trail: np.ndarray  # i8[field, position], as in `counting`
    runs: np.ndarray  # i8[item, run, 3]
    sizes: np.ndarray  # i8[column]
    extent: np.ndarray  # i8[rank], of the tile
    box: np.ndarray  # i8[2, (first, last)], elements of the region's ranks that the loops have reached
    scratch: np.ndarray  # i8[rank]
    weight: np.ndarray  # f8[2, position]
    inside: np.ndarray  # i8[2, 2], worked in
    frames: np.ndarray  # i8[FRAME, position]
    times: np.ndarray  # f8[position], how often what is inside happens


@compiled
def finds_first(nest, level, depth):
    """Whether the tile that came last is the one with which the loops from `level` inward begin."""
    others = 0
    for k in range(level, depth):
        others += nest.trail[RELEVANT, k] == ADVANCES and nest.trail[LAST, k] != 0
    return others == 0


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
    inner = nest.trail[:, level:].copy()
    fetched_words(inner, depth - level, nest.runs, nest.sizes, nest.extent, nest.scratch, nest.weight, words)


@compiled
def take_first(nest, level, depth, weight, words):
    """As `add_whole` of the first tile alone, taken away."""
    modes = nest.trail[RELEVANT, level:depth].copy()
    for k in range(level, depth):
        if nest.trail[RELEVANT, k] != WALKS and nest.trail[RELEVANT, k] != PIECES:
            nest.trail[RELEVANT, k] = FIRST_ONLY
    add_whole(nest, level, depth, -weight, words)
    nest.trail[RELEVANT, level:depth] = modes


@compiled
def enter_tiles(nest, region, level, is_innermost):
    """Find the iterations of a loop over a rank of the region in which something, or everything, exists.

    is_innermost: no loop further in makes a difference between what exists in part and as a whole.
    """
    rank, tile = nest.trail[RANK, level], nest.trail[TILE, level]
    side, frame = side_of(region, rank), nest.frames[:, level]
    frame[LOW], frame[HIGH] = nest.box[side, 0], nest.box[side, 1]
    found = ranges(region, side, tile, nest.box, frame[WHOLE], nest.inside)
    frame[NEXT], frame[STOP], frame[FIRST_WHOLE], frame[LAST_WHOLE] = found
    if is_innermost and region.pieces.shape[0] == 1 and region.pieces[0, KIND] != GENERAL:
        for step in (1, -1):  # what lies between two tiles in which something exists has something as well
            while frame[NEXT] <= frame[STOP]:
                n = frame[NEXT] if step > 0 else frame[STOP]
                nest.box[side, 0] = frame[LOW] + n * tile
                nest.box[side, 1] = nest.box[side, 0] + tile_extent(frame[WHOLE], tile, n) - 1
                if meets(region, nest.box, nest.inside) != NONE:
                    break
                frame[NEXT if step > 0 else STOP] += step
        frame[FIRST_WHOLE], frame[LAST_WHOLE] = frame[NEXT], min(frame[STOP], frame[WHOLE] // tile - 1)


@compiled
def next_tile(nest, region, level):
    """Go on to the next iteration of a loop over a rank of the region in which something exists; whether there is one.

    Of those of which everything exists the first is gone to by itself, all others at once.
    """
    rank, tile, mode = nest.trail[RANK, level], nest.trail[TILE, level], nest.trail[RELEVANT, level]
    side, frame, brings = side_of(region, rank), nest.frames[:, level], mode == ADVANCES
    while frame[NEXT] <= frame[STOP]:
        n, last = frame[NEXT], frame[NEXT]
        if frame[FIRST_WHOLE] < n <= frame[LAST_WHOLE]:
            last = frame[LAST_WHOLE]
        frame[NEXT] = last + 1
        nest.extent[rank] = tile_extent(frame[WHOLE], tile, n)
        nest.box[side, 0] = frame[LOW] + n * tile
        nest.box[side, 1] = nest.box[side, 0] + nest.extent[rank] - 1
        if meets(region, nest.box, nest.inside) != NONE:
            is_other = brings and nest.trail[LAST, level] != n
            nest.frames[FRESH, level + 1] = frame[FRESH] | is_other
            nest.times[level + 1] = nest.times[level] * (last - n + 1)
            if mode != PIECES:
                frame[FRESH] = 0
            if brings:
                nest.trail[LAST, level] = last
            return True
    nest.box[side, 0], nest.box[side, 1] = frame[LOW], frame[HIGH]
    return False


@compiled
def next_alike(nest, level):
    """Go on to the next iterations of a loop over any other rank: the first, all other full ones, the ragged one.

    They are alike but for the tile that came before them. Whether there are any.
    """
    rank, tile, mode = nest.trail[RANK, level], nest.trail[TILE, level], nest.trail[RELEVANT, level]
    whole, brings = nest.frames[WHOLE, level], mode == ADVANCES
    full, ragged = cut(whole, tile)
    if mode == ROUNDS and nest.sizes[CORES] > 1:
        full, ragged = trips(whole, tile * nest.sizes[CORES]), 0
    elif mode == FIRST_ONLY:
        full, ragged = 1, 0
    while nest.frames[NEXT, level] < 3:
        kind = nest.frames[NEXT, level]
        nest.frames[NEXT, level] = kind + 1
        often = 1 if kind == 0 and full > 0 else full - 1 if kind == 1 else ragged > 0 if kind == 2 else 0
        if often <= 0:
            continue
        n = full if kind == 2 else min(kind, full - 1)
        is_other = brings and (nest.trail[LAST, level] != n or kind == 1)
        fresh = nest.frames[FRESH, level] | is_other
        if kind == 0 and (mode == PIECES or (fresh and brings)):  # all full ones begin alike
            often, nest.frames[NEXT, level] = full, 2
        nest.extent[rank] = ragged if kind == 2 else min(whole, tile)
        nest.frames[FRESH, level + 1] = fresh
        if mode != PIECES:
            nest.frames[FRESH, level] = 0
        nest.times[level + 1] = nest.times[level] * often
        if brings:
            nest.trail[LAST, level] = full if kind == 2 else full - 1
        return True
    return False


@compiled
def walk(nest, region, depth, cutoff, words):
    """Add to `words: f8[item]` those that `depth` loops bring, of which something exists.

    cutoff: one past the last loop that brings tiles. All of this happens `times[0]` times, always after the same tile;
    FRESH of level 0: that tile is another one by a loop further out.
    """
    level, entering, innermost = 0, True, -1
    for k in range(cutoff):
        if nest.trail[RELEVANT, k] != FIRST_ONLY and side_of(region, nest.trail[RANK, k]) >= 0:
            innermost = k
    while level >= 0:
        if entering and (level >= cutoff or meets(region, nest.box, nest.inside) == ALL):
            add_whole(nest, level, depth, nest.times[level], words)
            if nest.frames[FRESH, level] == 0 and finds_first(nest, level, depth):
                take_first(nest, level, depth, nest.times[level], words)
            note_last(nest, level, depth)
            level, entering = level - 1, False
            continue
        rank = nest.trail[RANK, level]
        side = -1 if nest.trail[RELEVANT, level] == FIRST_ONLY else side_of(region, rank)
        if entering:
            nest.frames[NEXT, level], nest.frames[WHOLE, level] = 0, nest.extent[rank]
            if side >= 0:
                enter_tiles(nest, region, level, level == innermost)
        entering = next_tile(nest, region, level) if side >= 0 else next_alike(nest, level)
        if entering:
            level += 1
        else:
            nest.extent[rank] = nest.frames[WHOLE, level]
            level -= 1


@compiled
def begin(nest, region, extents):
    """Set the box of a region to whole ranks."""
    for side in range(2):
        root = region.roots[side]
        nest.box[side, 0], nest.box[side, 1] = 0, extents[root] - 1 if root >= 0 else 0


@compiled
def inside_of(nest, outer):
    """The same nest without its outer loops."""
    trail, frames = nest.trail[:, outer:].copy(), nest.frames.copy()
    return WalkedNest(
        trail,
        nest.runs,
        nest.sizes,
        nest.extent,
        nest.box,
        nest.scratch,
        nest.weight,
        nest.inside,
        frames,
        nest.times.copy(),
    )


@compiled
def dealt_iterations(nest, loop, case):
    """The first iteration of a loop dealt to cores, and one past the last, in a case; sets the extent inside.

    Bit `loop` of a case: those of ragged tiles.
    """
    rank, last = nest.trail[RANK, loop], nest.trail[TRIPS, loop]
    full, ragged = cut(nest.extent[rank], nest.trail[TILE, loop])
    is_ragged = case >> loop & 1
    nest.extent[rank] = ragged if is_ragged else nest.trail[TILE, loop]
    return (last - (ragged > 0), last) if is_ragged else (0, full)


@compiled
def walk_of_cores(nest, grid, closed, depth, cutoff, words):
    """As `walk` from outside all loops, into an edge that every core has: the outermost loops are dealt to cores, and
    run over no rank of the region.
    """
    dealt, first_only = deal(nest.trail, depth, nest.sizes[CORES], nest.extent, nest.scratch)
    regular = is_regular(nest.trail, dealt, nest.extent, nest.scratch)
    held = np.zeros(1) if regular else held_in_turn(nest.trail, dealt, nest.sizes[CORES], nest.extent)
    whole = nest.extent.copy()
    inner = inside_of(nest, dealt)
    often = np.zeros((1 << dealt, 2))  # by case: with another tile before, with the one that ends it all
    for case in range(1 << dealt):
        times, there = 1.0, (1.0, 0.0)
        for loop in range(dealt):
            first, end = dealt_iterations(nest, loop, case)
            times *= end - first
            there = carried_on(nest.trail, loop, first, end, there)
        nest.extent[:] = whole
        again = 0.0 if times == 0.0 else there[0] if regular else held[case]
        often[case, 0], often[case, 1] = times - again, 0.0 if first_only else again
    for case in range(1 << dealt):
        for loop in range(dealt):
            dealt_iterations(nest, loop, case)
        for again in range(2):
            inner.times[0], inner.frames[FRESH, 0] = often[case, again], 1 - again
            if often[case, again] > 0.0 and often[:, 1].any():
                walk(inner, grid.region, depth - dealt, max(0, cutoff - dealt), words)
            elif often[case, again] > 0.0:
                add_edge(inner, grid, closed, depth - dealt, max(0, cutoff - dealt), words)
        nest.extent[:] = whole


@compiled
def sizes_tile(nest, region, level):
    """Whether the words of a tile depend on which iteration of a loop, over a rank of the region, is the first."""
    rank = nest.trail[RANK, level]
    return side_of(region, rank) >= 0 and has_rank(nest.runs, rank)


@compiled
def add_edge(nest, grid, closed, depth, cutoff, words):
    """Add to `words: f8[item]` what `depth` loops bring, as `walk` after another tile; in closed form where there is
    one.
    """
    found = closed.words[: words.size]
    found[:] = 0.0
    if words_of_grid(nest, grid, closed, depth, cutoff, found):
        for item in range(words.size):
            words[item] += nest.times[0] * found[item]
        return
    begin(nest, grid.region, nest.extent)
    if meets(grid.region, nest.box, nest.inside) != NONE:
        walk(nest, grid.region, depth, cutoff, words)


@compiled
def fetched_in_region(nest, grid, closed, depth, words):
    """Add to `words: f8[item]` those that an edge inside `depth` loops is fetched over the whole run."""
    cutoff = 0
    for k in range(depth):
        mode = nest.trail[RELEVANT, k]
        if mode in (ADVANCES, DEALT_ADVANCES, PIECES) or (mode == STAYS and sizes_tile(nest, grid.region, k)):
            cutoff = k + 1
    if depth > 0 and is_dealt(nest.trail[RELEVANT, 0]):
        begin(nest, grid.region, nest.extent)
        if meets(grid.region, nest.box, nest.inside) != NONE:
            walk_of_cores(nest, grid, closed, depth, cutoff, words)
    else:
        nest.times[0], nest.frames[FRESH, 0] = 1.0, 1
        add_edge(nest, grid, closed, depth, cutoff, words)
