"""Edges whose tiles form a regular grid over the ranks of a region, counted in closed form.

Where every loop over a rank divides the tiles of the one outside it, boxes stand in a grid (`grids`). Each in which
something exists brings its tile, less those that find it in place: an iteration of a loop that leaves tiles in place
does if the one before ended with the tile with which it begins. That is never so where a loop over another rank goes
through several tiles inside, and otherwise for a box that is the last of one row and the first of the next.
"""

from typing import NamedTuple

import numpy as np

from sim.engine.bands import FIRST, SECOND
from sim.engine.counting import ADVANCES, FIELDS, FIRST_ONLY, PIECES, RANK, RELEVANT, ROUNDS, STAYS, TILE, fetched_words
from sim.engine.grids import Grid, boxes_of, corners_decide, staying_boxes
from sim.engine.jit import compiled
from sim.engine.memo import Memo, keep_value, slot_of

MOST_PIECES = 3  # of a union, of which boxes are counted by turns
OTHER = -1  # of a loop: it goes through no rank of the region
NEVER, PERHAPS, UNKNOWN = 0, 1, 2  # an iteration finds its tile in place


class Question(NamedTuple):
    """Which boxes of a grid: all (`apart` -1), or those that stay between rows, as `grids.staying_boxes` has it."""

    side: int
    apart: int
    row_block: int
    block: int
    first_tile: int  # elements of a box, by side
    second_tile: int


ALL_BOXES = -1


class Layout(NamedTuple):
    """The loops outside an edge as those of a grid."""

    sides: np.ndarray  # i8[loop], FIRST, SECOND or OTHER
    before: np.ndarray  # i8[loop, side], elements of the boxes outside it
    finest: np.ndarray  # i8[side], elements of the boxes inside all loops
    tiles: np.ndarray  # i8[side], and of those inside all loops but the last, that leave tiles in place
    ragged: np.ndarray  # i8[side], elements of a last smaller one; 0 also where words do not depend on it


@compiled
def side_of(region, rank):
    """FIRST or SECOND for a rank that a region speaks of, OTHER for any other."""
    if rank == region.roots[FIRST]:
        return FIRST
    return SECOND if rank == region.roots[SECOND] else OTHER


@compiled
def last_bringing(trail, cutoff):
    """One past the last loop that brings tiles or pieces of them."""
    last = 0
    for k in range(cutoff):
        if trail[RELEVANT, k] == ADVANCES or trail[RELEVANT, k] == PIECES:
            last = k + 1
    return last


@compiled
def rank_sizes(nest, region):
    """i8[side], elements of a region's ranks; 1 where there is no second one."""
    sizes = np.ones(2, np.int64)
    for side in range(2):
        if region.roots[side] >= 0:
            sizes[side] = nest.extent[region.roots[side]]
    return sizes


@compiled
def lay_out(nest, region, cutoff, layout):
    """Whether the loops outside `cutoff`, each of several iterations, make a regular grid; fills `layout`.

    A loop of which the first iteration stands for all goes through no boxes.
    """
    sizes, last = rank_sizes(nest, region), last_bringing(nest.trail, cutoff)
    stands = np.zeros(2, np.bool_)
    layout.finest[:] = sizes
    layout.tiles[:] = sizes
    finer = 0
    for k in range(cutoff):
        tile, mode, side = nest.trail[TILE, k], nest.trail[RELEVANT, k], side_of(region, nest.trail[RANK, k])
        layout.sides[k] = OTHER if mode == FIRST_ONLY else side
        layout.before[k] = layout.finest
        if mode == ROUNDS:
            return False
        if side >= 0 and mode == FIRST_ONLY:
            stands[side] = True
        elif side >= 0:
            if stands[side] or (layout.finest[side] < sizes[side] and layout.finest[side] % tile != 0):
                return False
            layout.finest[side] = tile
            if k < last:
                layout.tiles[side] = tile
    for side in range(2):
        is_sized = (nest.runs[:, :, 0] == region.roots[side]).any() and region.roots[side] >= 0
        layout.ragged[side] = sizes[side] % layout.finest[side] if is_sized else 0
        finer += layout.ragged[side] > 0 and layout.finest[side] < layout.tiles[side]
    return finer < 2


@compiled
def finds_in_place(nest, layout, level, last):
    """Whether an iteration of a loop may find its tile in place, for all that loops over other ranks inside bring.

    NEVER: one of them goes through several tiles in each iteration; PERHAPS: none does; UNKNOWN: some of them may.
    """
    found = PERHAPS
    for k in range(level + 1, last):
        rank, tile, mode = nest.trail[RANK, k], nest.trail[TILE, k], nest.trail[RELEVANT, k]
        if mode == PIECES:
            found = UNKNOWN
        if mode != ADVANCES or layout.sides[k] != OTHER:
            continue
        outside, smallest = 0, nest.extent[rank]
        for outer in range(k):
            if nest.trail[RANK, outer] == rank:
                outside += 1
                ragged = smallest % nest.trail[TILE, outer]
                smallest = ragged if ragged > 0 else nest.trail[TILE, outer]
        if outside <= 1 and smallest > tile:
            return NEVER
        found = UNKNOWN
    return found


@compiled
def other_loops(nest, layout, depth, cutoff, level):
    """(the loops over other ranks, how many): each of those outside `last` brings another tile; of those inside
    `level`, unless that is -1, the first iteration is what counts.
    """
    others, count, last = np.zeros((FIELDS, depth + 1), np.int64), 0, last_bringing(nest.trail, cutoff)
    for k in range(depth):
        if k < cutoff and layout.sides[k] != OTHER:
            continue
        others[:, count] = nest.trail[:, k]
        mode = nest.trail[RELEVANT, k]
        if 0 <= level < k:
            others[RELEVANT, count] = FIRST_ONLY
        elif k < last and mode == STAYS:
            others[RELEVANT, count] = ADVANCES
        count += 1
    return others, count


@compiled
def set_extents(nest, region, extents):
    """Set the extents of a region's ranks to `extents: i8[side]`."""
    for side in range(2):
        if region.roots[side] >= 0:
            nest.extent[region.roots[side]] = extents[side]


@compiled
def count_once(grid, memo, question):
    """Boxes of a grid by a question, with the clips of the grid; what has been asked before is known."""
    memo.key[0], memo.key[1] = grid.clips[FIRST], grid.clips[SECOND]
    for n in range(len(question)):
        memo.key[2 + n] = question[n]
    slot, is_known = slot_of(memo)
    if not is_known:
        grid.tiles[FIRST], grid.tiles[SECOND] = question.first_tile, question.second_tile
        if question.apart == ALL_BOXES:
            found = boxes_of(grid)
        else:
            found = staying_boxes(grid, question.side, question.apart, question.row_block, question.block)
        keep_value(memo, slot, found)
    return memo.values[slot]


@compiled
def add_boxes(nest, layout, grid, memo, question, others, words):
    """Add to `words: f8[item]` those of the boxes of a question, full and ragged ones apart.

    others: loops over other ranks, and how many. That a full tile is first is that some is there.
    """
    region, sizes = grid.region, rank_sizes(nest, grid.region)
    of_one, extents = np.zeros(words.size), np.zeros(2, np.int64)
    found, kinds = np.zeros((2, 2)), 1 + (layout.ragged > 0)
    for first in range(kinds[FIRST]):  # 1: of full tiles alone
        for second in range(kinds[SECOND]):
            grid.clips[FIRST] = sizes[FIRST] - 1 - first * layout.ragged[FIRST]
            grid.clips[SECOND] = sizes[SECOND] - 1 - second * layout.ragged[SECOND]
            found[first, second] = count_once(grid, memo, question)
    if kinds[SECOND] == 2:
        found[:, 0] -= found[:, 1]
    if kinds[FIRST] == 2:
        found[0] -= found[1]
    for first in range(kinds[FIRST]):
        for second in range(kinds[SECOND]):
            if found[first, second] == 0:
                continue
            extents[FIRST] = layout.ragged[FIRST] if kinds[FIRST] > 1 + first else layout.finest[FIRST]
            extents[SECOND] = layout.ragged[SECOND] if kinds[SECOND] > 1 + second else layout.finest[SECOND]
            set_extents(nest, region, extents)
            of_one[:] = 0.0
            nest.weight[0, 0] = 1.0
            trail, count = others
            fetched_words(trail, count, nest.runs, nest.sizes, nest.extent, nest.scratch, nest.weight, of_one)
            words += found[first, second] * of_one
    set_extents(nest, region, sizes)


@compiled
def question_of_loop(nest, layout, level, last):
    """(whether it can be told, the boxes that an iteration of a loop finds in place)."""
    side, inner = layout.sides[level], OTHER
    tiles = layout.before[level].copy()
    for k in range(level + 1, last):
        if layout.sides[k] == OTHER:
            continue
        if nest.trail[RELEVANT, k] != ADVANCES or (inner != OTHER and layout.sides[k] != inner):
            return False, Question(0, 0, 0, 0, 0, 0)
        inner = layout.sides[k]
        tiles[inner] = nest.trail[TILE, k]
    if side != OTHER and inner == side:
        return False, Question(0, 0, 0, 0, 0, 0)
    outside, sizes = layout.before[level], layout.before[0]
    block, row_block, apart = 1, 0, 0
    if inner != OTHER:
        block = 0 if outside[inner] == sizes[inner] else outside[inner] // tiles[inner]
    if side != OTHER:
        tiles[side] = nest.trail[TILE, level]
        apart, row_block = 1, 0 if outside[side] == sizes[side] else outside[side] // tiles[side]
    rows = side if side != OTHER else (SECOND if inner == FIRST else FIRST)
    return True, Question(rows, apart, row_block, block, tiles[FIRST], tiles[SECOND])


@compiled
def words_of_grid(nest, grid, memo, depth, cutoff, words):
    """Add to `words: f8[item]` those that an edge inside `depth` loops, each of several iterations, is fetched, if it
    is regular; whether it is.

    cutoff: one past the last loop that brings tiles.
    """
    region = grid.region
    layout = Layout(
        np.zeros(depth + 1, np.int64),
        np.zeros((depth + 1, 2), np.int64),
        np.zeros(2, np.int64),
        np.zeros(2, np.int64),
        np.zeros(2, np.int64),
    )
    if not lay_out(nest, region, cutoff, layout) or region.pieces.shape[0] > MOST_PIECES:
        return False
    if not corners_decide(region, layout.tiles):
        return False
    last, found = last_bringing(nest.trail, cutoff), np.zeros(words.size)
    taken = np.zeros(words.size)
    for level in range(last):
        if nest.trail[RELEVANT, level] != STAYS:
            continue
        stays = finds_in_place(nest, layout, level, last)
        if stays == NEVER:
            continue
        is_told, question = question_of_loop(nest, layout, level, last)
        if stays == UNKNOWN or not is_told or region.pieces.shape[0] > 1:
            return False
        trail, count = other_loops(nest, layout, depth, cutoff, level)
        add_boxes(nest, layout, grid, memo, question, (trail, count), taken)
        if layout.sides[level] == OTHER:  # the first iteration finds another one's tile
            at = (layout.sides[:level] == OTHER).sum()
            trail[RELEVANT, at] = FIRST_ONLY
            found_first = np.zeros(words.size)
            add_boxes(nest, layout, grid, memo, question, (trail, count), found_first)
            taken -= found_first
    trail, count = other_loops(nest, layout, depth, cutoff, -1)
    question = Question(0, ALL_BOXES, 0, 0, layout.tiles[FIRST], layout.tiles[SECOND])
    add_boxes(nest, layout, grid, memo, question, (trail, count), found)
    words += found - taken
    return True


