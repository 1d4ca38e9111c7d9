"""Rows of counts whose tiles are skipped by a region, of many designs.

Rows that walk alike share a walk, and designs of the same numbers a count. What a region comes to in a design, and what
has been counted of it, is kept for the designs behind it, until one has other sizes or lines.
"""

import numpy as np

from sim.engine.alike import first_alike
from sim.engine.banded import FRAME, WalkedNest, fetched_in_region
from sim.engine.bands import END, GENERAL, KIND, PARALLEL, START, Region, is_wide
from sim.engine.boxes import new_closed
from sim.engine.counting import (
    ADVANCES,
    DIGIT,
    FIELDS,
    MAX_DEPTH,
    PIECES,
    RANK,
    RELEVANT,
    STAYS,
    TILE,
    alike,
    is_dealt,
)
from sim.engine.extents import is_cut
from sim.engine.grids import new_grid
from sim.engine.jit import compiled
from sim.engine.memo import forget
from sim.engine.tables import RowTables


@compiled
def one_region(bands, number, lines, sizes):
    """A region of the tables, with its own lines alone; `bands`: `BandTables`, lines: i8[line, 3] of one design."""
    pieces = bands.pieces[bands.regions[number, 2] : bands.regions[number, 3]].copy()
    first, end = pieces[0, START], pieces[-1, END]
    pieces[:, START] -= first
    pieces[:, END] -= first
    units = np.ones((end - first, 2), np.int64)
    for line in range(end - first):
        for side in range(2):
            units[line, side] = sizes[bands.units[first + line, side]]
    region = Region(bands.regions[number, :2], pieces, units, lines[first:end])
    for piece in range(pieces.shape[0]):
        if pieces[piece, KIND] == GENERAL and is_wide(region, piece):
            pieces[piece, KIND] = PARALLEL
    return region


@compiled
def set_trail(trail, rows, row, tiles, extent):
    """Fill a trail with the loops of a row that have several iterations, and those dealt to cores; how many there are.

    Two loops over one rank, one right inside the other, that do the same to tiles are the inner one, if it divides the
    tiles of the outer one.
    tiles: i8[loop] of one design; extent: i8[rank], worked in.
    """
    depth = 0
    for position in range(rows.paths.shape[1]):
        loop = rows.paths[row, position]
        if loop < 0:
            break
        rank, tile, mode = rows.loop_rank[loop], tiles[loop], rows.relevant[row, position]
        if is_cut(extent[rank], tile) or is_dealt(mode):
            if depth > 0 and mode in (STAYS, ADVANCES, PIECES):
                outer = trail[RANK, depth - 1], trail[RELEVANT, depth - 1]
                depth -= outer == (rank, mode) and trail[TILE, depth - 1] % tile == 0
            trail[RANK, depth], trail[TILE, depth], trail[RELEVANT, depth] = rank, tile, mode
            extent[rank] = min(extent[rank], tile)
            depth += 1
    return depth


@compiled
def is_same(one, other):
    """Whether two arrays hold the same numbers."""
    differing = 0
    for n in range(one.size):
        differing += one[n] != other[n]
    return differing == 0


@compiled
def roots_and_units(bands, number, extents, sizes, found):
    """Fill `found: i8` with all but the lines that make a region and the sizes of its ranks, for one design."""
    at = 2
    for side in range(2):
        root = bands.regions[number, side]
        found[side] = extents[root] if root >= 0 else 1
    for piece in range(bands.regions[number, 2], bands.regions[number, 3]):
        for line in range(bands.pieces[piece, START], bands.pieces[piece, END]):
            for side in range(2):
                found[at] = sizes[bands.units[line, side]]
                at += 1


@compiled
def count_region(extents, tiles, sizes, lines, bands, rows, closed_forms, out):
    """As `counting.count_words`, of rows of one region.

    lines: i8[design, line, 3]; bands: `BandTables`; rows: `RowTables`; closed_forms: whether edges are counted in
    closed form where there is one; out: f8[design, row].
    """
    number = rows.region[0]
    order, starts = alike(rows.paths, rows.relevant)
    runs_in_order, words = rows.runs[order], np.empty(order.size)
    weight, trail = np.zeros((2, MAX_DEPTH + 1)), np.zeros((FIELDS, MAX_DEPTH + 1), np.int64)
    inside, box = np.zeros((2, 2), np.int64), np.zeros((2, 2), np.int64)
    scratch, extent = np.empty(extents.shape[1], np.int64), np.empty(extents.shape[1], np.int64)
    frames, times = np.zeros((FRAME, MAX_DEPTH + 2), np.int64), np.zeros(MAX_DEPTH + 2)
    known, asked = np.zeros((2, 2 + 2 * bands.units.shape[0]), np.int64), 0
    region = one_region(bands, number, lines[0], sizes[0])
    grid, closed = new_grid(region, np.ones(2, np.int64)), new_closed(order.size, closed_forms)
    for d in range(extents.shape[0]):
        roots_and_units(bands, number, extents[d], sizes[d], known[d % 2])
        if d == 0 or not (is_same(known[0], known[1]) and is_same(lines[d].ravel(), lines[asked].ravel())):
            region, asked = one_region(bands, number, lines[d], sizes[d]), d
            grid = new_grid(region, known[d % 2, :2].copy())
            forget(closed.memo)
        words[:] = 0.0
        for group in range(starts.size - 1):
            first, end = starts[group], starts[group + 1]
            extent[:] = extents[d]
            depth = set_trail(trail, rows, order[first], tiles[d], extent)
            extent[:] = extents[d]
            trail[DIGIT] = 0
            items = runs_in_order[first:end]
            nest = WalkedNest(trail, items, sizes[d], extent, box, scratch, weight, inside, frames, times)
            fetched_in_region(nest, grid, closed, depth, words[first:end])
        for row in range(order.size):
            out[d, order[row]] = words[row]


def count_banded(tables, rows, out, closed_forms=True):
    """As `counting.count_words`, of rows that each have a region; tables: `Tables`, rows: `RowTables`.

    closed_forms: False to walk along every edge, which gives the same counts.
    Designs of which all numbers are the same, as they are where only a machine's rates differ, are counted once.
    """
    designs = out.shape[0]
    told = (tables.extents, tables.loop_tiles, tables.sizes, tables.lines.reshape(designs, -1))
    firsts = np.empty(designs, np.int64)
    first_alike(np.concatenate(told, axis=1), firsts)
    distinct, which = np.unique(firsts, return_inverse=True)
    extents, tiles, sizes, lines = (np.ascontiguousarray(table[distinct]) for table in (*told[:3], tables.lines))
    for number in np.unique(rows.region):
        own = np.flatnonzero(rows.region == number)
        some = RowTables(rows.paths[own], rows.relevant[own], rows.runs[own], rows.loop_rank, rows.region[own])
        found = np.empty((distinct.size, own.size))
        if designs:
            count_region(extents, tiles, sizes, lines, tables.shape.bands, some, closed_forms, found)
        out[:, own] = found[which.reshape(-1)]
