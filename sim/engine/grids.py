"""Boxes of a grid in which something exists, as points between lines over their numbers (`lattice`).

A loop over a rank divides it into boxes of one size; a ragged last one ends with the rank, and lines over one rank
alone cut further elements off. A line a*i + b*j + c >= 0 over both ranks is met in a box if it is met in its best
corner, at which either the box ends or what was cut off begins: the line holds for the smaller of two values, so for
both. Each is linear in the numbers of boxes. Lines of one slope that come from several boxes are one, the tightest.
"""

from typing import NamedTuple

import numpy as np

from sim.engine.bands import END, FIRST, GENERAL, KIND, SECOND, START, Region, cut_box, leave_a_value
from sim.engine.jit import compiled
from sim.engine.lattice import lattice_points

MOST_CONDITIONS = 4
PIECE, CLIPPED, FIELDS = 0, 1, 4  # of a condition; from 2 on, by side, how many boxes away it holds


# Of a grid by side: elements of its ranks, and of a box; the last element of a clipped condition; boxes from one that
# is counted to the next, and the first; the first number and the last for which all conditions are inside the ranks.
SIZE, BOX, CLIP, STEP, BEGIN, LOW, HIGH, ROWS = 0, 1, 2, 3, 4, 5, 6, 7


class Grid(NamedTuple):
    """A region over a grid, and where its boxes are counted. Few arrays, since compiled loops count references."""

    region: Region
    at: np.ndarray  # i8[ROWS, side]
    spans: np.ndarray  # i8[piece, side, (first, last)], elements that lines over one rank leave
    conditions: np.ndarray  # i8[MOST_CONDITIONS, FIELDS]
    rows: np.ndarray  # i8[row, 3], worked in


@compiled
def new_grid(region, sizes):
    """The grid of a region over ranks of `sizes: i8[side]`, its boxes still to be set."""
    pieces = region.pieces.shape[0]
    spans = np.zeros((pieces, 2, 2), np.int64)
    for piece in range(pieces):
        for side in range(2):
            spans[piece, side, 1] = sizes[side] - 1
        cut_box(region, piece, spans[piece])
        is_void = not leave_a_value(region, piece) and region.pieces[piece, KIND] != GENERAL
        for line in range(region.pieces[piece, START], region.pieces[piece, END]):
            factors = region.lines[line, FIRST], region.lines[line, SECOND]
            is_void = is_void or (factors == (0, 0) and region.lines[line, 2] < 0)
        if is_void:
            spans[piece, FIRST, 1] = spans[piece, FIRST, 0] - 1
    at = np.zeros((ROWS, 2), np.int64)
    at[SIZE] = sizes
    conditions = np.zeros((MOST_CONDITIONS, FIELDS), np.int64)
    rows = np.empty((4 * MOST_CONDITIONS * region.lines.shape[0], 3), np.int64)
    return Grid(region, at, spans, conditions, rows)


@compiled
def corners_decide(region, tiles, sizes):
    """Whether the best corner of a box decides for all lines of each piece of a region, in every box of a grid."""
    for piece in range(region.pieces.shape[0]):
        if region.pieces[piece, KIND] == GENERAL:
            return False
    for side in range(2):
        tile = tiles[side] if tiles[side] < sizes[side] else whole_box(region, side, sizes[side])
        for line in range(region.lines.shape[0]):
            crosses = region.lines[line, FIRST] != 0 and region.lines[line, SECOND] != 0
            if crosses and tile % region.units[line, side] != 0:
                return False
    return True


@compiled
def whole_box(region, side, size):
    """Elements of a box that a rank fits in, with whole coordinates of a part that lines over both ranks speak of."""
    unit = 1
    for line in range(region.lines.shape[0]):
        if region.lines[line, FIRST] != 0 and region.lines[line, SECOND] != 0:
            unit = max(unit, region.units[line, side])
    return -(-size // unit) * unit


@compiled
def common_divisor(one, other):
    """The greatest common divisor of two numbers, at least 1."""
    one, other = abs(one), abs(other)
    while other != 0:
        one, other = other, one % other
    return max(one, 1)


@compiled
def corner_value(grid, line, condition, side, is_cut_off):
    """(slope, start): what a line gets of one side of a box in its best corner, by the number that counts boxes; or
    where elements are cut off.
    """
    factor, unit, tile = grid.region.lines[line, side], grid.region.units[line, side], grid.at[BOX, side]
    first, last = grid.spans[grid.conditions[condition, PIECE], side, 0], last_element(grid, condition, side)
    if is_cut_off:
        return 0, factor * ((last if factor > 0 else first) // unit)
    step = tile // unit
    start = factor * (
        step * (grid.at[BEGIN, side] + grid.conditions[condition, 2 + side]) + (step - 1 if factor > 0 else 0)
    )
    return factor * step * grid.at[STEP, side], start


@compiled
def last_element(grid, condition, side):
    """The last element of a side in which a condition may hold."""
    last = grid.spans[grid.conditions[condition, PIECE], side, 1]
    return min(last, grid.at[CLIP, side]) if grid.conditions[condition, CLIPPED] else last


@compiled
def is_cut_inside(grid, line, condition, side):
    """Whether elements are cut off inside a box, on the side of its best corner."""
    if grid.region.lines[line, side] > 0:
        return (last_element(grid, condition, side) + 1) % grid.at[BOX, side] != 0
    return grid.spans[grid.conditions[condition, PIECE], side, 0] % grid.at[BOX, side] != 0


@compiled
def set_ranges(grid, count):
    """Set the numbers for which all boxes of `count` conditions lie inside what single ranks leave."""
    for side in range(2):
        apart, begin = grid.at[STEP, side], grid.at[BEGIN, side]
        for condition in range(count):
            away, tile = begin + grid.conditions[condition, 2 + side], grid.at[BOX, side]
            first, last = grid.spans[grid.conditions[condition, PIECE], side, 0], last_element(grid, condition, side)
            low, high = (-((away - first // tile) // apart), (last // tile - away) // apart)
            if first > last:
                high = low - 1
            if condition == 0 or low > grid.at[LOW, side]:
                grid.at[LOW, side] = low
            if condition == 0 or high < grid.at[HIGH, side]:
                grid.at[HIGH, side] = high
    return grid.at[LOW, 0] <= grid.at[HIGH, 0] and grid.at[LOW, 1] <= grid.at[HIGH, 1]


@compiled
def add_row(grid, filled, first, second, start):
    """Add first*x + second*y + start >= 0, x and y counted from the beginnings of their ranges; how many rows there
    are then, -1 if it never holds.
    """
    start += first * grid.at[LOW, 0] + second * grid.at[LOW, 1]
    wide, high = grid.at[HIGH, 0] - grid.at[LOW, 0], grid.at[HIGH, 1] - grid.at[LOW, 1]
    if start + max(first, 0) * wide + max(second, 0) * high < 0:
        return -1
    if start + min(first, 0) * wide + min(second, 0) * high >= 0:
        return filled
    divisor = common_divisor(first, second)
    first, second, start = first // divisor, second // divisor, start // divisor
    for row in range(filled):
        if grid.rows[row, 0] == first and grid.rows[row, 1] == second:
            grid.rows[row, 2] = min(grid.rows[row, 2], start)
            return filled
    grid.rows[filled, 0], grid.rows[filled, 1], grid.rows[filled, 2] = first, second, start
    return filled + 1


@compiled
def boxes_where(grid, count):
    """Pairs of numbers for which something exists in the boxes of each of the first `count` conditions."""
    if not set_ranges(grid, count):
        return 0
    filled = 0
    for condition in range(count):
        piece = grid.conditions[condition, PIECE]
        for line in range(grid.region.pieces[piece, START], grid.region.pieces[piece, END]):
            if grid.region.lines[line, FIRST] == 0 or grid.region.lines[line, SECOND] == 0:
                continue
            for case in range(4):
                cut_first, cut_second = bool(case & 1), bool(case >> 1)
                if cut_first and not is_cut_inside(grid, line, condition, FIRST):
                    continue
                if cut_second and not is_cut_inside(grid, line, condition, SECOND):
                    continue
                first = corner_value(grid, line, condition, FIRST, cut_first)
                second = corner_value(grid, line, condition, SECOND, cut_second)
                start = first[1] + second[1] + grid.region.lines[line, 2]
                filled = add_row(grid, filled, first[0], second[0], start)
                if filled < 0:
                    return 0
    wide, high = grid.at[HIGH, 0] - grid.at[LOW, 0] + 1, grid.at[HIGH, 1] - grid.at[LOW, 1] + 1
    return wide * high if filled == 0 else lattice_points(grid.rows[:filled], wide, high)


@compiled
def set_condition(grid, number, piece, clipped, first, second):
    """Something exists in a piece, that many boxes away on the first and on the second side."""
    grid.conditions[number, PIECE], grid.conditions[number, CLIPPED] = piece, clipped
    grid.conditions[number, 2 + FIRST], grid.conditions[number, 2 + SECOND] = first, second


@compiled
def boxes_of(grid):
    """Boxes in which something exists; of a union those of its pieces, less what several have, and so on."""
    grid.at[STEP], grid.at[BEGIN] = 1, 0
    pieces, total = grid.region.pieces.shape[0], 0
    for chosen in range(1, 1 << pieces):
        count = 0
        for piece in range(pieces):
            if chosen >> piece & 1:
                set_condition(grid, count, piece, 1, 0, 0)
                count += 1
        total += boxes_where(grid, count) if count % 2 == 1 else -boxes_where(grid, count)
    return total


@compiled
def old_and_new(grid, side, apart, above, below):
    """Pairs of a row of boxes and the one `apart` rows on, and a box of both that is the last of the first and the
    first of the second.

    Rows are numbered on one side. above: whether the old row goes on behind that box (1) or not (0); below: whether
    the new row begins before it (1) or not (0); -1: whether or not.
    """
    total = 0
    for case in range(4):
        goes_on, begins_before = case & 1, case >> 1
        if (above == 1 and not goes_on) or (above == -1 and goes_on):
            continue
        if (below == 1 and not begins_before) or (below == -1 and begins_before):
            continue
        places = ((0, 0, 0), (apart, 0, 1), (0, 1, 0), (apart, -1, 0))
        count = 0
        for n in range(4):
            row, along, clipped = places[n]
            if n < 2 or (n == 2 and goes_on) or (n == 3 and begins_before):
                first, second = (row, along) if side == FIRST else (along, row)
                set_condition(grid, count, 0, clipped, first, second)
                count += 1
        sign = (-1 if above == 0 and goes_on else 1) * (-1 if below == 0 and begins_before else 1)
        found = boxes_where(grid, count)
        total += sign * found
        if case == 0 and found == 0:
            return 0
    return total


@compiled
def staying_boxes(grid, side, apart, row_block, block):
    """How often a row of boxes, in one block of them, ends with the box with which the one `apart` rows on begins.

    Both rows are in the same block of `row_block` rows; block: boxes of a row that stand together; 0 of either: all do.
    """
    total = 0
    for strides in range(2 if row_block > 0 and apart > 0 else 1):  # all rows, less the last ones of blocks
        grid.at[STEP, side], grid.at[BEGIN, side] = (1, 0) if strides == 0 else (row_block, row_block - 1)
        grid.at[STEP, 1 - side], grid.at[BEGIN, 1 - side] = 1, 0
        if block == 1:
            found = old_and_new(grid, side, apart, -1, -1)
        else:
            found = old_and_new(grid, side, apart, 0, 0)
        if block > 1:
            grid.at[STEP, 1 - side] = block
            found += old_and_new(grid, side, apart, 0, 1)
            grid.at[BEGIN, 1 - side] = block - 1
            found += old_and_new(grid, side, apart, 1, 0)
        total += found if strides == 0 else -found
    return total
