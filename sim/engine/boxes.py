"""Edges whose tiles form a regular grid over the ranks of a region, counted in closed form.

Where every loop over a rank divides the tiles of the one outside it, boxes stand in a grid (`grids`). Each in which
something exists brings its tile, less those that find it in place: an iteration of a loop that leaves tiles in place
does if the one before ended with the tile with which it begins. That is never so where a loop over another rank goes
through several tiles inside, and otherwise for a box that is the last of one row and the first of the next.
"""

from typing import NamedTuple

import numpy as np

from sim.engine.bands import FIRST, SECOND
from sim.engine.counting import (
    ADVANCES,
    FIELDS,
    FIRST_ONLY,
    MAX_DEPTH,
    PIECES,
    RANK,
    RELEVANT,
    ROUNDS,
    STAYS,
    TILE,
    fetched_words,
)
from sim.engine.grids import BOX, CLIP, SIZE, boxes_of, corners_decide, staying_boxes, whole_box
from sim.engine.jit import compiled
from sim.engine.memo import KEY, VALUE, keep_value, new_memo, slot_of

MOST_PIECES = 3  # of a union, of which boxes are counted by turns
OTHER = -1  # of a loop: it goes through no rank of the region
NEVER, PERHAPS, UNKNOWN = 0, 1, 2  # an iteration finds its tile in place


class BoxesAsked(NamedTuple):
    """Which boxes of a grid: all (`apart` -1), or those that stay between rows, as `grids.staying_boxes` has it."""

    side: int
    apart: int
    row_block: int
    block: int
    first_tile: int  # elements of a box, by side
    second_tile: int


ALL_BOXES = -1


# Of a layout by side: elements of the boxes inside all loops, and inside all but the last, that leave tiles in place;
# of a last smaller one, 0 also where words do not depend on it; whether the first iteration of some loop over it stands
# for all; the extents of a tile; and boxes by whether they are full on the first side, and on the second.
FINEST, OUTSIDE, RAGGED, STANDS, EXTENT, BOXES, ROWS = 0, 1, 2, 3, 4, 5, 7
SIDE = 2  # of a layout by loop, behind the elements of the boxes outside it on each side: its own side, or OTHER


class GridLoops(NamedTuple):
    """The loops outside an edge as those of a grid. Few arrays, since compiled loops count references to each."""

    loops: np.ndarray  # i8[loop, (elements outside by side, SIDE)]
    at: np.ndarray  # i8[ROWS, side]
    others: np.ndarray  # i8[field, loop], the loops over other ranks


class Closed(NamedTuple):
    """What closed forms work in."""

    layout: GridLoops
    memo: np.ndarray
    words: np.ndarray  # f8[item]
    is_used: bool  # False: all edges are walked


@compiled
def new_closed(items, is_used):
    """Room for the closed forms of any nest that brings up to so many items."""
    loops = np.zeros((MAX_DEPTH + 1, 3), np.int64)
    layout = GridLoops(loops, np.zeros((ROWS, 2), np.int64), np.zeros((FIELDS, MAX_DEPTH + 1), np.int64))
    return Closed(layout, new_memo(), np.zeros(items), is_used)


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
def has_rank(runs, rank):
    """Whether the words of some item depend on a rank; `runs`: i8[item, run, 3]."""
    for item in range(runs.shape[0]):
        for run in range(runs.shape[1]):
            if runs[item, run, 0] == rank:
                return True
            if runs[item, run, 0] < 0:
                break
    return False


@compiled
def lay_out(nest, grid, cutoff, layout):
    """Whether the loops outside `cutoff`, each of several iterations, make a regular grid; fills `layout`.

    A loop of which the first iteration stands for all goes through no boxes.
    """
    sizes, region, last = grid.at[SIZE], grid.region, last_bringing(nest.trail, cutoff)
    for side in range(2):
        layout.at[STANDS, side] = 0
        layout.at[FINEST, side] = layout.at[OUTSIDE, side] = sizes[side]
    for k in range(cutoff):
        tile, mode, side = nest.trail[TILE, k], nest.trail[RELEVANT, k], side_of(region, nest.trail[RANK, k])
        layout.loops[k, SIDE] = OTHER if mode == FIRST_ONLY else side
        layout.loops[k, FIRST], layout.loops[k, SECOND] = layout.at[FINEST, FIRST], layout.at[FINEST, SECOND]
        if mode == ROUNDS:
            return False
        if side >= 0 and mode == FIRST_ONLY:
            layout.at[STANDS, side] = 1
        elif side >= 0:
            if layout.at[STANDS, side] or (
                layout.at[FINEST, side] < sizes[side] and layout.at[FINEST, side] % tile != 0
            ):
                return False
            layout.at[FINEST, side] = tile
            if k < last:
                layout.at[OUTSIDE, side] = tile
    finer = 0
    for side in range(2):
        layout.at[RAGGED, side] = sizes[side] % layout.at[FINEST, side]
        if layout.at[RAGGED, side] > 0 and not (region.roots[side] >= 0 and has_rank(nest.runs, region.roots[side])):
            layout.at[RAGGED, side] = 0
        finer += layout.at[RAGGED, side] > 0 and layout.at[FINEST, side] < layout.at[OUTSIDE, side]
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
        if mode != ADVANCES or layout.loops[k, SIDE] != OTHER:
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
def set_other_loops(nest, layout, depth, cutoff, level):
    """Fill `layout.others` with the loops over other ranks; how many there are.

    Each of those outside the last that brings tiles brings another one; of those inside `level`, unless that is -1,
    the first iteration is what counts.
    """
    count, last = 0, last_bringing(nest.trail, cutoff)
    for k in range(depth):
        if k < cutoff and layout.loops[k, SIDE] != OTHER:
            continue
        mode = nest.trail[RELEVANT, k]
        if 0 <= level < k:
            mode = FIRST_ONLY
        elif k < last and mode == STAYS:
            mode = ADVANCES
        layout.others[RANK, count], layout.others[TILE, count] = nest.trail[RANK, k], nest.trail[TILE, k]
        layout.others[RELEVANT, count] = mode
        count += 1
    return count


@compiled
def set_extents(nest, region, extents):
    """Set the extents of a region's ranks to `extents: i8[side]`."""
    for side in range(2):
        if region.roots[side] >= 0:
            nest.extent[region.roots[side]] = extents[side]


@compiled
def count_once(grid, memo, question):
    """Boxes of a grid by a question, with the clips of the grid; what has been asked before is known."""
    memo[KEY, 0], memo[KEY, 1] = grid.at[CLIP, FIRST], grid.at[CLIP, SECOND]
    for n in range(len(question)):
        memo[KEY, 2 + n] = question[n]
    slot, is_known = slot_of(memo)
    if not is_known:
        grid.at[BOX, FIRST], grid.at[BOX, SECOND] = question.first_tile, question.second_tile
        for side in range(2):
            if grid.at[BOX, side] >= grid.at[SIZE, side]:
                grid.at[BOX, side] = whole_box(grid.region, side, grid.at[SIZE, side])
        if question.apart == ALL_BOXES:
            found = boxes_of(grid)
        else:
            found = staying_boxes(grid, question.side, question.apart, question.row_block, question.block)
        keep_value(memo, slot, found)
    return memo[slot, VALUE]


@compiled
def add_boxes(nest, grid, closed, question, count, words):
    """Add to `words: f8[item]` those of the boxes of a question, full and ragged ones apart, each of which comes in
    all iterations of the first `count` of the layout's loops over other ranks.

    That a full tile is the first of a box is that some is there.
    """
    layout, sizes, found = closed.layout, grid.at[SIZE], closed.layout.at[BOXES:]
    kinds_first, kinds_second = 1 + (layout.at[RAGGED, FIRST] > 0), 1 + (layout.at[RAGGED, SECOND] > 0)
    for first in range(kinds_first):  # 1: of full tiles alone
        for second in range(kinds_second):
            grid.at[CLIP, FIRST] = sizes[FIRST] - 1 - first * layout.at[RAGGED, FIRST]
            grid.at[CLIP, SECOND] = sizes[SECOND] - 1 - second * layout.at[RAGGED, SECOND]
            found[first, second] = count_once(grid, closed.memo, question)
    for first in range(kinds_first):
        for second in range(kinds_second):
            boxes = found[first, second]
            if first + 1 < kinds_first:
                boxes -= found[1, second]
            if second + 1 < kinds_second:
                boxes -= found[first, 1]
                if first + 1 < kinds_first:
                    boxes += found[1, 1]
            if boxes == 0:
                continue
            layout.at[EXTENT, FIRST] = layout.at[RAGGED, FIRST] if kinds_first > 1 + first else layout.at[FINEST, FIRST]
            layout.at[EXTENT, SECOND] = (
                layout.at[RAGGED, SECOND] if kinds_second > 1 + second else layout.at[FINEST, SECOND]
            )
            set_extents(nest, grid.region, layout.at[EXTENT])
            nest.weight[0, 0] = boxes
            trail = layout.others
            fetched_words(trail, count, nest.runs, nest.sizes, nest.extent, nest.scratch, nest.weight, words)
    set_extents(nest, grid.region, sizes)


@compiled
def question_of_loop(nest, layout, level, last):
    """(whether it can be told, the boxes that an iteration of a loop finds in place)."""
    side, inner, outside = layout.loops[level, SIDE], OTHER, layout.loops[level]
    tiles = layout.at[EXTENT]
    tiles[FIRST], tiles[SECOND] = outside[FIRST], outside[SECOND]
    is_told = True
    for k in range(level + 1, last):
        if layout.loops[k, SIDE] != OTHER:
            is_told = is_told and nest.trail[RELEVANT, k] == ADVANCES and inner in (OTHER, layout.loops[k, SIDE])
            inner = layout.loops[k, SIDE]
            tiles[inner] = nest.trail[TILE, k]
    is_told = is_told and (side == OTHER or inner != side)
    block, row_block, apart, sizes = 1, 0, 0, layout.loops[0]
    if inner != OTHER:
        block = 0 if outside[inner] == sizes[inner] else outside[inner] // tiles[inner]
    if side != OTHER:
        tiles[side] = nest.trail[TILE, level]
        apart, row_block = 1, 0 if outside[side] == sizes[side] else outside[side] // tiles[side]
    rows = side if side != OTHER else (SECOND if inner == FIRST else FIRST)
    return is_told, BoxesAsked(rows, apart, row_block, block, tiles[FIRST], tiles[SECOND])


@compiled
def words_of_grid(nest, grid, closed, depth, cutoff, words):
    """Add to `words: f8[item]` those that an edge inside `depth` loops, each of several iterations, is fetched, if it
    is regular; whether it is. Otherwise `words` are of no use.

    cutoff: one past the last loop that brings tiles.
    """
    region, layout = grid.region, closed.layout
    if not closed.is_used or region.pieces.shape[0] > MOST_PIECES:
        return False
    if not lay_out(nest, grid, cutoff, layout):
        return False
    if not corners_decide(region, layout.at[OUTSIDE], grid.at[SIZE]):
        return False
    last = last_bringing(nest.trail, cutoff)
    for level in range(last):
        if nest.trail[RELEVANT, level] != STAYS:
            continue
        stays = finds_in_place(nest, layout, level, last)
        if stays == NEVER:
            continue
        is_told, question = question_of_loop(nest, layout, level, last)
        if stays == UNKNOWN or not is_told or region.pieces.shape[0] > 1:
            return False
        count = set_other_loops(nest, layout, depth, cutoff, level)
        if layout.loops[level, SIDE] == OTHER:  # its first iteration finds the tile of another one, or none
            at = 0
            for k in range(level):
                at += layout.loops[k, SIDE] == OTHER
            layout.others[RELEVANT, at] = FIRST_ONLY
            add_boxes(nest, grid, closed, question, count, words)
            layout.others[RELEVANT, at] = ADVANCES
        words *= -1.0
        add_boxes(nest, grid, closed, question, count, words)
        words *= -1.0
    count = set_other_loops(nest, layout, depth, cutoff, -1)
    question = BoxesAsked(0, ALL_BOXES, 0, 0, layout.at[OUTSIDE, FIRST], layout.at[OUTSIDE, SECOND])
    add_boxes(nest, grid, closed, question, count, words)
    return True
