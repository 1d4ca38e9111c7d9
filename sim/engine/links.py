"""The time of Einsums on arrays whose links are stated: every fold of the loop nest, for many designs at once.

A fold is what the array does with the tiles that pass over its links by themselves (trains). The loops down to the last
that brings another such tile count the folds; those inside give the slots of one. Ragged tiles are cases of their own,
at most 2^k for k loops that have any, so that the sum over folds is exact. What one fold takes says `engine/folds.py`.
"""

import numpy as np

from sim.engine.columns import LeafColumn
from sim.engine.counting import MAX_DEPTH, tile_words
from sim.engine.extents import cut, is_cut, tile_extent, trips
from sim.engine.folds import fold_cycles, has_free_link, slot_cycles, tail_cycles
from sim.engine.jit import compiled
from sim.engine.latency import Latency, Passing
from sim.engine.tables import Tables

RANK, TILE = 0, 1  # rows of a trail of loops
SLOT, ROWS, COLUMNS, BESIDE, OVERLAP, PASSED, LANES, WIRING = (
    0,
    1,
    2,
    3,
    4,
    5,
    6,
    7,
)  # of an array, as an Einsum sees it
LOOP, OF_RANK = 0, 1  # of a path
BRINGS, PASSES = 0, 1  # of a mark
OF_EINSUM, LEAVES, RETURNS = 0, 1, 2  # of a train


@compiled
def case_of(trail, first, last, case, extent):
    """Go down the loops [first, last) into full tiles, or ragged ones where a bit of `case` is set: how many there are.

    extent: i8[rank], elements, becomes that of the tile; 0: there is none of that case.
    """
    times = 1.0
    for k in range(first, last):
        full, ragged = cut(extent[trail[RANK, k]], trail[TILE, k])
        if case >> (k - first) & 1:
            times *= ragged > 0
            extent[trail[RANK, k]] = ragged
        else:
            times *= full
            extent[trail[RANK, k]] = trail[TILE, k]
        if times == 0.0:
            break
    return times


@compiled
def ragged_loops(trail, first, last, extent):
    """The loops [first, last) that may hold a ragged tile, as bits: cases are their subsets."""
    found = 0
    for k in range(first, last):
        left, may = extent[trail[RANK, k]], False
        for outer in range(first, k + 1):
            if trail[RANK, outer] == trail[RANK, k]:
                full, ragged = cut(left, trail[TILE, outer])
                may = may or ragged > 0
                left = trail[TILE, outer] if full > 0 else ragged
        found |= int(may) << (k - first)
    return found


@compiled
def iterations(trail, first, last, extent, scratch):
    """Iterations of the loops [first, last) over a tile of this extent."""
    total, ragged = 0.0, ragged_loops(trail, first, last, extent)
    case = ragged
    while case >= 0:
        scratch[:] = extent
        total += case_of(trail, first, last, case, scratch)
        case = (case - 1) & ragged if case > 0 else -1
    return total


@compiled
def last_bringing(trail, depth, mark, extent, scratch):
    """Loops down to the last that brings another tile."""
    scratch[:] = extent
    last = 0
    for k in range(depth):
        if mark[k, BRINGS] and is_cut(scratch[trail[RANK, k]], trail[TILE, k]):
            last = k + 1
        scratch[trail[RANK, k]] = tile_extent(scratch[trail[RANK, k]], trail[TILE, k], 0)
    return last


@compiled
def train_cycles(trail, first, depth, mark, words, extent, sizes):
    """Cycles to shift a tile of this extent: its words in one column, as often as the loops inside pass the columns."""
    passes = 1.0
    for k in range(first, depth):
        if mark[k, PASSES]:
            passes *= trips(extent[trail[RANK, k]], trail[TILE, k])
    return tile_words(words, sizes, extent) * passes


@compiled
def first_visits(trail, ends, root, einsum, links, case):
    """The part of the folds of a case in which no sums come back that have left before."""
    part, extent = 1.0, root.copy()
    for t in range(links.trains.shape[0]):
        if links.trains[t, OF_EINSUM] != einsum or links.trains[t, RETURNS] == 0 or ends[2 + t] != ends[0]:
            continue
        for k in range(ends[0]):
            full, ragged = cut(extent[trail[RANK, k]], trail[TILE, k])
            is_ragged = case >> k & 1
            if not links.marks[t, k, BRINGS]:
                part *= (0.0 if full > 0 else 1.0) if is_ragged else 1.0 / max(full, 1)
            extent[trail[RANK, k]] = ragged if is_ragged else trail[TILE, k]
    return part


@compiled
def comes_back(trail, ends, root, einsum, links):
    """Whether the last fold goes on with sums that have left before."""
    extent = root.copy()
    for k in range(ends[0]):
        several = is_cut(extent[trail[RANK, k]], trail[TILE, k])
        for t in range(links.trains.shape[0]):
            own = links.trains[t, OF_EINSUM] == einsum and links.trains[t, RETURNS] == 1
            if own and several and ends[2 + t] == ends[0] and not links.marks[t, k, BRINGS]:
                return True
        extent[trail[RANK, k]] = tile_extent(extent[trail[RANK, k]], trail[TILE, k], 0)
    return False


@compiled
def fold_at(trail, ends, extent, einsum, links, sizes, array, out):
    """What one fold of this extent takes: `out` becomes (slots, words coming in, words leaving, columns), in cycles.

    ends: (loops outside a fold, all loops, then of every train the loops that bring its tiles).
    """
    scratch = extent.copy()
    out[0] = iterations(trail, ends[0], ends[1], extent, scratch) * array[SLOT]
    out[1], out[2] = 0.0, 0.0
    for t in range(links.trains.shape[0]):
        if links.trains[t, OF_EINSUM] == einsum and ends[2 + t] == ends[0]:
            words = train_cycles(trail, ends[0], ends[1], links.marks[t], links.words[t], extent, sizes)
            out[1 + links.trains[t, LEAVES]] += words
    scratch[:] = extent
    for k in range(ends[0], ends[1]):
        scratch[trail[RANK, k]] = tile_extent(scratch[trail[RANK, k]], trail[TILE, k], 0)
    out[3] = array[COLUMNS]
    if links.columns[einsum, 0, 0] >= 0:
        out[3] = min(out[3], tile_words(links.columns[einsum], sizes, scratch))


@compiled
def period(fold, array):
    """Cycles from a fold to the next."""
    train = fold[1] + fold[2]
    if train == 0.0:
        return fold[0]
    return fold_cycles(fold[0], train, array[ROWS] + fold[3] - 2, array[BESIDE] == 1, array[OVERLAP] == 1)


@compiled
def hidden(fold, train, array):
    """Cycles of a train that run beside the slots of a fold."""
    return tail_cycles(fold[0], train, array[ROWS] + fold[3] - 2, array[BESIDE] == 1, array[OVERLAP] == 1) - (
        array[ROWS] + fold[3] - 2
    ) * (array[OVERLAP] == 1)


@compiled
def way_out(fold, array):
    """Cycles from the last slot of a fold until its result has left the array."""
    cycles = array[PASSED] + array[LANES] * (fold[3] - 1)
    if array[OVERLAP] == 0 and fold[1] + fold[2] > 0:
        cycles = max(0.0, cycles - (array[ROWS] + fold[3] - 2))
    return cycles + hidden(fold, fold[2], array)


@compiled
def last_folds(trail, ends, extent, before):
    """`extent` becomes that of the last fold, `before` that of the one before it; whether there is one."""
    inner = -1
    for k in range(ends[0]):
        if trips(extent[trail[RANK, k]], trail[TILE, k]) > 1:
            inner = k
        last = trips(extent[trail[RANK, k]], trail[TILE, k]) - 1
        extent[trail[RANK, k]] = tile_extent(extent[trail[RANK, k]], trail[TILE, k], last)
    for k in range(ends[0]):
        last = trips(before[trail[RANK, k]], trail[TILE, k]) - (2 if k == inner else 1)
        before[trail[RANK, k]] = tile_extent(before[trail[RANK, k]], trail[TILE, k], last)
    return inner >= 0


@compiled
def total_cycles(trail, ends, root, einsum, links, sizes, array, fold):
    """Cycles of all folds of one Einsum, and of trains that bring a tile for several folds."""
    total, extent, ragged = 0.0, root.copy(), ragged_loops(trail, 0, ends[0], root)
    case = ragged
    while case >= 0:
        extent[:] = root
        times = case_of(trail, 0, ends[0], case, extent)
        if times > 0.0:
            fold_at(trail, ends, extent, einsum, links, sizes, array, fold)
            first = times * first_visits(trail, ends, root, einsum, links, case)
            total += first * period(fold, array)
            fold[1] += fold[2]  # sums that left before come back to be completed
            total += (times - first) * period(fold, array)
        case = (case - 1) & ragged if case > 0 else -1
    for t in range(links.trains.shape[0]):
        if links.trains[t, OF_EINSUM] != einsum or ends[2 + t] == ends[0]:
            continue
        case = ragged = ragged_loops(trail, 0, ends[2 + t], root)
        while case >= 0:
            extent[:] = root
            times = case_of(trail, 0, ends[2 + t], case, extent)
            mark, words = links.marks[t], links.words[t]
            if times > 0.0:
                total += times * train_cycles(trail, ends[2 + t], ends[1], mark, words, extent, sizes)
            case = (case - 1) & ragged if case > 0 else -1
    return total


@compiled
def count_folds(extents, tiles, sizes, links, arrays, out):
    """Fill `out: f8[design, einsum, (cycles of all folds, cycles until the last result has left)]`.

    extents: i8[design, rank]; tiles: i8[design, loop]; sizes: i8[design, column]; arrays: f8[design, einsum, WIRING].
    """
    trail = np.zeros((2, MAX_DEPTH + 1), np.int64)
    ends = np.zeros(2 + links.trains.shape[0], np.int64)
    fold, first = np.zeros(4), np.zeros(4)
    scratch, extent = np.empty(extents.shape[1], np.int64), np.empty(extents.shape[1], np.int64)
    for d in range(extents.shape[0]):
        for n in range(links.paths.shape[0]):
            depth, array = 0, arrays[d, n]
            while links.paths[n, depth, LOOP] >= 0:
                trail[RANK, depth] = links.paths[n, depth, OF_RANK]
                trail[TILE, depth] = tiles[d, links.paths[n, depth, LOOP]]
                depth += 1
            ends[0], ends[1] = 0, depth
            extent[:] = extents[d]
            for t in range(links.trains.shape[0]):
                if links.trains[t, OF_EINSUM] == n:
                    ends[2 + t] = last_bringing(trail, depth, links.marks[t], extent, scratch)
                    ends[0] = max(ends[0], ends[2 + t])
            out[d, n, 0] = total_cycles(trail, ends, extents[d], n, links, sizes[d], array, fold)
            for k in range(ends[0]):
                extent[trail[RANK, k]] = tile_extent(extent[trail[RANK, k]], trail[TILE, k], 0)
            fold_at(trail, ends, extent, n, links, sizes[d], array, first)
            coming = hidden(first, first[1] + first[2], array) - hidden(first, first[2], array)
            extent[:] = extents[d]
            scratch[:] = extents[d]
            has_before = last_folds(trail, ends, extent, scratch)
            fold_at(trail, ends, extent, n, links, sizes[d], array, fold)
            own = way_out(fold, array)
            if comes_back(trail, ends, extents[d], n, links):
                fold[1] += fold[2]
            last = period(fold, array)
            out[d, n, 1] = own + coming
            if has_before:
                fold_at(trail, ends, scratch, n, links, sizes[d], array, fold)
                out[d, n, 1] = max(own, way_out(fold, array) - last) + coming


_slots = np.vectorize(slot_cycles, otypes=[float])


def fold_times(tables: Tables, own_cycles: np.ndarray) -> np.ndarray:
    """f8[design, einsum on an array with links, (cycles of all folds, cycles until the last result has left)].

    own_cycles: f8[design, leaf], what a slot takes without its links.
    """
    links, machine = tables.shape.links, tables.machine
    assert links is not None, "asked for by machines with links"
    array = tables.shape.leaves[links.leaves, LeafColumn.ARRAY]
    cycles, down, along = own_cycles[:, links.leaves], machine.links_down[:, array], machine.links_along
    rides, arrays = links.rides, np.empty((*cycles.shape, WIRING))
    arrays[:, :, SLOT] = np.maximum(_slots(cycles, rides[:, 0], down), _slots(cycles, rides[:, 1], along[:, array]))
    arrays[:, :, ROWS], arrays[:, :, COLUMNS] = machine.rows[:, array], machine.columns[:, array]
    arrays[:, :, BESIDE] = np.vectorize(has_free_link)(down, rides[:, 0], machine.has_shadow[:, array] == 1)
    arrays[:, :, OVERLAP] = machine.folds_overlap[:, array]
    sides = (machine.rows, np.ones_like(machine.rows), machine.along_rows, machine.along_columns)
    # Columns that a fold uses pass as its lanes, so that here they count as one.
    arrays[:, :, PASSED] = Latency(*links.ways_out.T).cycles(Passing(*(side[:, array] for side in sides)))
    arrays[:, :, LANES] = Latency(*links.ways_out.T).skew_of_columns
    out = np.empty((*cycles.shape, 2))
    count_folds(tables.extents, tables.loop_tiles, tables.sizes, links, arrays, out)
    return out
