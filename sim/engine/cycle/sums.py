"""Partial sums that an op streams out and takes back: those of a slot may come once that slot has written them.

Slots make and take them in the same order, and the array's skew is the same on both ways. So what comes back with the
slots of a repetition may begin to come when the slots of the visit before are over and what they made has been written;
its last words then still pass the rows, while the first ones enter again (`amounts` has what is missing to all rows).
"""

from sim.engine.cycle.columns import (
    CHILD,
    COMES_BACK,
    DEALT,
    DEPTH,
    DEPTH_OF,
    FIXED,
    HOLDS,
    HOW,
    KEEPS,
    OP_TABLE,
    PER_OP,
    READS_BEGUN,
    RECORDS_BELOW,
    REVISITS,
    SITE_INDEX,
    SITE_REPEAT,
    SITE_VARIANT,
    STAY_FIRST,
    STAY_LAST,
    STAYING,
    TRIPS,
    TURN_FIRST,
    WRITES_DONE,
    WRITTEN,
)
from sim.engine.cycle.records import begins_inside, begins_tile, home_at, record_of, was_inside
from sim.engine.cycle.tables import at, at1, at3, row
from sim.engine.cycle.turns import came_earlier
from sim.engine.jit import compiled


@compiled
def sums_are_back(m, op, record):
    """Whether the sums that come back with the next streamed operands of an op have arrived where they come from."""
    site = m[KEEPS] + op
    index, variant, repeat = row(m, SITE_INDEX, site), row(m, SITE_VARIANT, site), m[at1(m, SITE_REPEAT, site)]
    inside = variant[m[at(m, OP_TABLE, op, DEPTH_OF)]]
    for tile in range(m[at(m, OP_TABLE, op, STAY_FIRST)], m[at(m, OP_TABLE, op, STAY_LAST)]):
        if m[at(m, STAYING, tile, HOW)] != COMES_BACK:
            continue
        place = m[KEEPS] + tile
        if not begins_tile(m, place, site, index, variant) or not begins_inside(m, tile, inside, repeat):
            continue
        if was_inside(m, tile, inside, repeat):
            if m[at(m, PER_OP, op, WRITES_DONE)] < m[at(m, PER_OP, op, READS_BEGUN)]:
                return False
        elif m[at(m, PER_OP, op, WRITTEN)] <= last_visit(m, place, site, record):
            return False
    return True


@compiled
def last_visit(m, place, site, record):
    """The last record, at the most, of the visit before to a tile of sums; -1 if there was none."""
    index, variant = row(m, SITE_INDEX, site), row(m, SITE_VARIANT, site)
    stays, level = 1, m[DEPTH] - 1
    while level >= m[DEALT]:
        if home_at(m, site, level) < 0:
            effect = m[at3(m, FIXED, variant[level], place, level)]
            if effect == REVISITS and index[level] > 0:
                full = m[at3(m, CHILD, variant[level], level, 0)]
                if variant[level + 1] == full:
                    return record - m[at(m, RECORDS_BELOW, full, level + 1)] + stays - 1
                return record_of(m, index, variant, level + 1) - 1
            if effect != HOLDS and stays == 1 and m[at(m, TRIPS, variant[level], level)] > 1:
                stays = m[at(m, RECORDS_BELOW, variant[level + 1], level + 1)]
        level -= 1
    return index[m[DEPTH] + TURN_FIRST] - 1 if m[DEALT] > 0 and came_earlier(m, place, index) else -1
