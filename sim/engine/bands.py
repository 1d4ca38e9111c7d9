"""Does a box of coordinates hold a point that exists? Regions as numbers, and their meeting with boxes.

A region is a union of pieces, a piece an intersection of half-planes between the elements i and j of two root ranks:
a * (i // u) + b * (j // v) + c >= 0, with the units u and v of the parts that it speaks of. Lines with one of both
alone cut the box. Of what is left the best corner of the box decides, where one corner is the best for all lines; of
parallel lines between i and j or their sum, whether they leave a value between them; anything else is counted.
"""

from typing import NamedTuple

import numpy as np

from sim.engine.jit import compiled
from sim.engine.lattice import lattice_points

NONE, SOME, ALL = 0, 1, 2  # of the points of a box exist
CORNER, PARALLEL, GENERAL = 0, 1, 2  # how the half-planes of a piece are decided together
FIRST, SECOND = 0, 1  # the two ranks of a region
START, END, KIND = 0, 1, 2  # of a piece: its lines from START to END


class Region(NamedTuple):
    """One region of one design."""

    roots: np.ndarray  # i8[2], root ranks; -1: there is no second one
    pieces: np.ndarray  # i8[piece, (START, END, KIND)]
    units: np.ndarray  # i8[line, 2], elements of a coordinate
    lines: np.ndarray  # i8[line, (a, b, c)]


@compiled
def extreme(region, line, box, largest):
    """The largest or the smallest value of a line in `box: i8[2, (first, last)]`."""
    value = region.lines[line, 2]
    for side in range(2):
        factor = region.lines[line, side]
        if factor != 0:
            end = box[side, 1] if (factor > 0) == largest else box[side, 0]
            value += factor * (end // region.units[line, side])
    return value


@compiled
def cut_box(region, piece, box):
    """Cut `box` down to what the lines of one rank leave; whether it stayed as it was."""
    stayed = True
    for line in range(region.pieces[piece, START], region.pieces[piece, END]):
        for side in range(2):
            factor, unit = region.lines[line, side], region.units[line, side]
            if factor == 0 or region.lines[line, 1 - side] != 0:
                continue
            if factor > 0:
                least = -(region.lines[line, 2] // factor) * unit
                stayed = stayed and least <= box[side, 0]
                box[side, 0] = max(box[side, 0], least)
            else:
                most = (region.lines[line, 2] // -factor) * unit + unit - 1
                stayed = stayed and most >= box[side, 1]
                box[side, 1] = min(box[side, 1], most)
    return stayed


@compiled
def leave_a_value(region, piece):
    """Whether parallel lines of opposite directions leave a value between them."""
    for line in range(region.pieces[piece, START], region.pieces[piece, END]):
        for other in range(region.pieces[piece, START], line):
            added = region.lines[line] + region.lines[other]
            if added[0] == 0 and added[1] == 0 and added[2] < 0:
                return False
    return True


@compiled
def is_wide(region, piece):
    """Whether all lines of a piece over both ranks are parallel, and leave a strip that no step from a coordinate to
    the next one goes across. A box with corners on both sides of it then has a point in it.
    """
    for line in range(region.pieces[piece, START], region.pieces[piece, END]):
        first, second, start = region.lines[line]
        if first == 0 or second == 0:
            continue
        for other in range(region.pieces[piece, START], line):
            one, two, more = region.lines[other]
            if one == 0 or two == 0 or (one == first and two == second):
                continue
            if one != -first or two != -second or start + more + 1 < max(abs(first), abs(second)):
                return False
            if region.units[line, 0] != region.units[other, 0] or region.units[line, 1] != region.units[other, 1]:
                return False
    return True


@compiled
def counted_points(region, piece, box):
    """Points of a piece in a box, coordinates of units counted once."""
    start, end = region.pieces[piece, START], region.pieces[piece, END]
    rows = np.empty((end - start, 3), np.int64)
    low, size = np.zeros(2, np.int64), np.ones(2, np.int64)
    for side in range(2):
        unit = 1
        for line in range(start, end):
            if region.lines[line, side] != 0:
                unit = region.units[line, side]
        low[side] = box[side, 0] // unit
        size[side] = box[side, 1] // unit - low[side] + 1
    for line in range(start, end):
        rows[line - start, 0], rows[line - start, 1] = region.lines[line, 0], region.lines[line, 1]
        moved = region.lines[line, 0] * low[0] + region.lines[line, 1] * low[1]
        rows[line - start, 2] = region.lines[line, 2] + moved
    return lattice_points(rows, size[0], size[1])


@compiled
def meets_piece(region, piece, whole, box):
    """NONE, SOME or ALL of the points of `whole: i8[2, (first, last)]` are in a piece; `box` is worked in."""
    box[:] = whole
    stayed = cut_box(region, piece, box)
    if box[0, 0] > box[0, 1] or box[1, 0] > box[1, 1]:
        return NONE
    covers = stayed
    for line in range(region.pieces[piece, START], region.pieces[piece, END]):
        if region.lines[line, 0] != 0 and region.lines[line, 1] != 0:
            if extreme(region, line, box, True) < 0:
                return NONE
            covers = covers and extreme(region, line, box, False) >= 0
        elif region.lines[line, 0] == 0 and region.lines[line, 1] == 0 and region.lines[line, 2] < 0:
            return NONE
    if covers:
        return ALL
    if region.pieces[piece, KIND] == PARALLEL and not leave_a_value(region, piece):
        return NONE
    if region.pieces[piece, KIND] == GENERAL and counted_points(region, piece, box) == 0:
        return NONE
    return SOME


@compiled
def meets(region, whole, box):
    """NONE or SOME of the points of a box exist, or ALL of them; `box: i8[2, 2]` is worked in."""
    found = NONE
    for piece in range(region.pieces.shape[0]):
        here = meets_piece(region, piece, whole, box)
        if here == ALL:
            return ALL
        found = max(found, here)
    return found


@compiled
def ranges(region, side, tile, box, whole, inside):
    """Of the tiles into which a loop over one rank of a region divides `box: i8[2, (first, last)]`: the first and the
    last that may have a point, and the first and the last full one of which every point exists, -1 the last if none.

    whole: elements that the loop divides; inside: i8[2, 2], worked in. All tiles where a region is no single piece
    that corners decide.
    """
    count, full = (whole + tile - 1) // tile, whole // tile
    if region.pieces.shape[0] > 1 or region.pieces[0, KIND] == GENERAL:
        return 0, count - 1, 0, -1
    first, last, first_whole, last_whole = 0, count - 1, 0, full - 1
    low = box[side, 0]
    inside[:] = box
    cut_box(region, 0, inside)
    if inside[1 - side, 0] > box[1 - side, 0] or inside[1 - side, 1] < box[1 - side, 1]:
        last_whole = -1
    for line in range(region.pieces[0, START], region.pieces[0, END]):
        factor, unit = region.lines[line, side], region.units[line, side]
        other, apart = region.lines[line, 1 - side], region.units[line, 1 - side]
        if factor == 0:
            continue
        best = other * ((inside[1 - side, 1] if other > 0 else inside[1 - side, 0]) // apart) + region.lines[line, 2]
        worst = other * ((box[1 - side, 0] if other > 0 else box[1 - side, 1]) // apart) + region.lines[line, 2]
        if factor > 0:  # elements from some one on
            first = max(first, -((low - 1 - unit * -(best // factor)) // tile) - 1)
            first_whole = max(first_whole, -((low - unit * -(worst // factor)) // tile))
        else:  # elements up to some one
            last = min(last, (unit * (best // -factor) + unit - 1 - low) // tile)
            last_whole = min(last_whole, (unit * (worst // -factor) + unit - low) // tile - 1)
    return first, last, first_whole, last_whole
