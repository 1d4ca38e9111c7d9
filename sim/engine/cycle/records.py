"""The position of a run in its loops: records of iterations, and the points at which kept tiles change.

A *record* is one iteration of all loops of a program together. The extents of a tile depend only on which of the loops
outside it are in their last iteration, so extents are numbered once, as *variants*, and the loops are traversed through
tables. A kept tile changes at a record whose *fixed* loops are all at their first iteration: loops inside the tile, and
loops that neither change the tile nor have a loop inside that does (the counting convention of `counting`).
"""

from sim.engine.cycle.columns import (
    CHILD,
    DEPTH,
    DEPTH_OF,
    FIXED,
    GENERATED,
    KEEPS,
    LEAVES,
    NEVER,
    OP_TABLE,
    RECORD_INDEX,
    RECORD_ORDINAL,
    RECORD_VARIANT,
    RECORDS,
    RECORDS_BELOW,
    RETURNS,
    STAY_FIRST,
    STAY_LAST,
    STAYING,
    TRIPS,
    VARIANTS,
    WINDOW,
)
from sim.engine.cycle.tables import at, at3, row
from sim.engine.jit import compiled


@compiled
def descend(m, index, variant, first):
    """Variants of the tiles inside loop `first` and further in, from the iterations in `index: i8[loop]`."""
    for loop in range(first, m[DEPTH]):
        outer = variant[loop]
        last = 1 if index[loop] == m[at(m, TRIPS, outer, loop)] - 1 else 0
        variant[loop + 1] = m[at3(m, CHILD, outer, loop, last)]


@compiled
def next_record(m, index, variant):
    """Advance to the next iteration; the loop that advanced, or -1 past the last one."""
    loop = m[DEPTH] - 1
    while loop >= 0 and index[loop] == m[at(m, TRIPS, variant[loop], loop)] - 1:
        loop -= 1
    if loop >= 0:
        index[loop] += 1
        for inner in range(loop + 1, m[DEPTH]):
            index[inner] = 0
        descend(m, index, variant, loop)
    return loop


@compiled
def begins_tile(m, keep, index, variant):
    """Whether a kept tile changes at this record."""
    begins = True
    for loop in range(m[DEPTH]):
        begins = begins and (index[loop] == 0 or m[at3(m, FIXED, variant[loop], keep, loop)] == 0)
    return begins


@compiled
def ends_tile(m, keep, index, variant):
    """Whether a kept tile changes at the record after this one, or there is none."""
    loop = m[DEPTH] - 1
    while loop >= 0 and index[loop] == m[at(m, TRIPS, variant[loop], loop)] - 1:
        loop -= 1
    if loop < 0:
        return True
    if m[at3(m, FIXED, variant[loop], keep, loop)] == 1:
        return False
    ends = True
    for outer in range(loop):
        ends = ends and (index[outer] == 0 or m[at3(m, FIXED, variant[outer], keep, outer)] == 0)
    return ends


@compiled
def amounts_row(m, op, index, variant):
    """The row of AMOUNTS of an op at a record: that of its tile's extents, and of the words that stay."""
    found = variant[m[at(m, OP_TABLE, op, DEPTH_OF)]]
    bit = m[VARIANTS]
    for tile in range(m[at(m, OP_TABLE, op, STAY_FIRST)], m[at(m, OP_TABLE, op, STAY_LAST)]):
        how, place = m[at(m, STAYING, tile, 0)], m[KEEPS] + tile
        moves = ends_tile(m, place, index, variant) if how == LEAVES else begins_tile(m, place, index, variant)
        if moves == (how == RETURNS):
            found += bit
        bit *= 2
    return found


@compiled
def generate(m, record):
    """Make the records up to `record` known (the window holds the newest ones)."""
    window, depth = m[WINDOW], m[DEPTH]
    while m[GENERATED] <= record and m[GENERATED] < m[RECORDS]:
        slot, before = m[GENERATED] % window, (m[GENERATED] - 1) % window
        index, variant = row(m, RECORD_INDEX, slot), row(m, RECORD_VARIANT, slot)
        if m[GENERATED] == 0:
            index[:] = 0
            variant[0] = 0
            descend(m, index, variant, 0)
            row(m, RECORD_ORDINAL, slot)[:] = 0
        else:
            for loop in range(depth):
                index[loop] = m[at(m, RECORD_INDEX, before, loop)]
            for place in range(depth + 1):
                variant[place] = m[at(m, RECORD_VARIANT, before, place)]
            next_record(m, index, variant)
            for keep in range(m[KEEPS]):
                changed = 1 if begins_tile(m, keep, index, variant) else 0
                m[at(m, RECORD_ORDINAL, slot, keep)] = m[at(m, RECORD_ORDINAL, before, keep)] + changed
        m[GENERATED] += 1


@compiled
def site_record(m, index, variant):
    """The number of the record at a position: all iterations before it are of full tiles."""
    record = 0
    for loop in range(m[DEPTH]):
        record += index[loop] * m[at(m, RECORDS_BELOW, m[at3(m, CHILD, variant[loop], loop, 0)], loop + 1)]
    return record


@compiled
def next_site(m, keep, index, variant):
    """Advance to the next record at which a kept tile changes; its number, NEVER past the last one."""
    loop = m[DEPTH] - 1
    while loop >= 0:
        room = index[loop] < m[at(m, TRIPS, variant[loop], loop)] - 1
        if room and m[at3(m, FIXED, variant[loop], keep, loop)] == 0:
            break
        loop -= 1
    if loop < 0:
        return NEVER
    index[loop] += 1
    for inner in range(loop + 1, m[DEPTH]):
        index[inner] = 0
    descend(m, index, variant, loop)
    return site_record(m, index, variant)
