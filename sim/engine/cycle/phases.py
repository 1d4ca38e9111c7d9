"""Items whose transfers do not overlap: what one of them moves begins with it, and is over before the next begins."""

from sim.engine.cycle.columns import (
    ARRAYS,
    DEPTH,
    DRAINED,
    DRAINS,
    DRAINS_ASKED,
    KEEP_TABLE,
    KEEPS,
    OP_TABLE,
    OPS,
    PER_KEEP,
    PER_OP,
    QUEUE,
    STARTED,
    STEPS,
    WRITE_SERVER,
    WRITER,
    WRITES_SENT,
)
from sim.engine.cycle.records import has_items, is_home, record_of
from sim.engine.cycle.tables import at, at1, row
from sim.engine.jit import compiled


@compiled
def has_begun(m, index, variant):
    """Whether all arrays have come to the item of a position, and what others made has arrived further out."""
    levels = 0
    for level in range(m[DEPTH]):
        if has_items(m, variant[level], level):
            levels = level + 1
    begin = record_of(m, index, variant, levels)
    for array in range(m[ARRAYS]):
        if m[at1(m, STEPS, array)] < begin:
            return False
    return others_have_left(m, index)


@compiled
def others_have_left(m, index):
    """Whether all that ops of other items than that of a position made has arrived further out."""
    for keep in range(m[KEEPS]):
        counters, writer = row(m, PER_KEEP, keep), m[at(m, KEEP_TABLE, keep, WRITER)]
        leaves = m[at(m, KEEP_TABLE, keep, DRAINS)] == 1 and counters[DRAINED] < counters[DRAINS_ASKED]
        if leaves and not is_home(m, m[KEEPS] + writer, index):
            return False
    for op in range(m[OPS]):
        counters = row(m, PER_OP, op)
        leaves = m[at(m, OP_TABLE, op, WRITE_SERVER)] >= 0 and counters[WRITES_SENT] < counters[STARTED]
        if (leaves or m[at(m, QUEUE, op, 1)] > 0) and not is_home(m, m[KEEPS] + op, index):
            return False
    return True
