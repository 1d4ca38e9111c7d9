"""What ops have made: results on their way to those that read them, and tiles that are used up or complete."""

from sim.engine.cycle.columns import (
    ASKED,
    ASKED_SLOTS,
    AVAILABLE,
    DEALT,
    DRAIN_CYCLES,
    DRAIN_TAIL,
    DRAIN_WORDS,
    DRAINS,
    DRAINS_ASKED,
    ENDED,
    ENDED_AVAILABLE,
    FAILURE,
    ISSUED,
    KEEP,
    KEEP_DEPTH,
    KEEP_TABLE,
    LATENCY,
    MOVES,
    NOW,
    OP_TABLE,
    OVERFLOW,
    PENDING,
    PENDING_SLOTS,
    PER_KEEP,
    PER_OP,
    QUEUE,
    RECORD_INDEX,
    RECORD_VARIANT,
    RELEASED,
    RELEASES,
    STARTED,
    USE_FIRST,
    USE_LAST,
    USES,
    WINDOW,
    WRITE_SERVER,
    WRITE_SLOTS,
    WRITER,
    WRITES,
    WRITES_DONE,
    WRITES_SENT,
    WRITTEN,
)
from sim.engine.cycle.records import ends_tile, is_home
from sim.engine.cycle.tables import at, at1, at3, row, row3
from sim.engine.cycle.turns import tiles_until_next
from sim.engine.jit import compiled


@compiled
def deliver(m, op, records):
    """A repetition's result can be used from now on, and with it that of so many records."""
    m[at(m, PER_OP, op, ENDED_AVAILABLE)] += 1
    m[at(m, PER_OP, op, AVAILABLE)] += records


@compiled
def hand_on(m, op, time, records):
    """A repetition's result can be used from `time` on; in the order in which they were made. records: of how many it
    is the last one.
    """
    head, count = m[at(m, QUEUE, op, 0)], m[at(m, QUEUE, op, 1)]
    slots = m[PENDING_SLOTS]
    if count == 0 and time <= m[NOW]:
        deliver(m, op, records)
        return
    if count == slots:
        m[FAILURE] = OVERFLOW
        return
    if count > 0:
        time = max(time, m[at3(m, PENDING, op, (head + count - 1) % slots, 0)])
    m[at3(m, PENDING, op, (head + count) % slots, 0)] = time
    m[at3(m, PENDING, op, (head + count) % slots, 1)] = records
    m[at(m, QUEUE, op, 1)] += 1


@compiled
def deliver_due(m, op):
    """Release results that are due; whether there were any."""
    any_due = False
    while m[at(m, QUEUE, op, 1)] > 0 and m[at3(m, PENDING, op, m[at(m, QUEUE, op, 0)], 0)] <= m[NOW]:
        deliver(m, op, m[at3(m, PENDING, op, m[at(m, QUEUE, op, 0)], 1)])
        m[at(m, QUEUE, op, 0)] = (m[at(m, QUEUE, op, 0)] + 1) % m[PENDING_SLOTS]
        m[at(m, QUEUE, op, 1)] -= 1
        any_due = True
    return any_due


@compiled
def release_tiles(m, op, record, early):
    """An op has used up the tiles of a record: the last user of a tile frees it, its writer requests its drain. early:
    cycles by which its result is there earlier than LATENCY says.
    """
    slot = record % m[WINDOW]
    index, variant = row(m, RECORD_INDEX, slot), row(m, RECORD_VARIANT, slot)
    for n in range(m[at(m, OP_TABLE, op, USE_FIRST)], m[at(m, OP_TABLE, op, USE_LAST)]):
        keep = m[at(m, USES, n, KEEP)]
        if not is_home(m, keep, index) or not ends_tile(m, keep, keep, index, variant):
            continue
        m[at1(m, RELEASED, m[at(m, USES, n, RELEASES)])] += 1 if m[DEALT] == 0 else tiles_until_next(m, keep, index)
        if m[at(m, KEEP_TABLE, keep, DRAINS)] == 1 and m[at(m, KEEP_TABLE, keep, WRITER)] == op:
            entry = row3(m, ASKED, keep, m[at(m, PER_KEEP, keep, DRAINS_ASKED)] % ASKED_SLOTS)
            move = row3(m, MOVES, variant[m[at(m, KEEP_TABLE, keep, KEEP_DEPTH)]], keep)
            entry[0], entry[1] = move[DRAIN_CYCLES], record
            entry[2] = m[NOW] + m[at(m, OP_TABLE, op, LATENCY)] - early
            entry[3], entry[4] = move[DRAIN_WORDS], move[DRAIN_TAIL]
            m[at(m, PER_KEEP, keep, DRAINS_ASKED)] += 1


@compiled
def pass_record(m, op, record):
    """An op is done with a record in which it has nothing to do."""
    m[at(m, PER_OP, op, ISSUED)] = record + 1
    head, count = m[at(m, QUEUE, op, 0)], m[at(m, QUEUE, op, 1)]
    started = m[at(m, PER_OP, op, STARTED)]
    # It is passed on with the last result before it.
    if m[at(m, OP_TABLE, op, WRITE_SERVER)] >= 0 and m[at(m, PER_OP, op, WRITES_DONE)] < started:
        m[at3(m, WRITES, op, (started - 1) % WRITE_SLOTS, 2)] += 1
    else:
        m[at(m, PER_OP, op, WRITTEN)] += 1
        if count > 0:
            m[at3(m, PENDING, op, (head + count - 1) % m[PENDING_SLOTS], 1)] += 1
        else:
            m[at(m, PER_OP, op, AVAILABLE)] += 1
    release_tiles(m, op, record, 0)


@compiled
def confirm_writes(m, op):
    """Make streamed results that have been made and sent available to others."""
    while m[at(m, PER_OP, op, WRITES_DONE)] < min(m[at(m, PER_OP, op, WRITES_SENT)], m[at(m, PER_OP, op, ENDED)]):
        entry = row3(m, WRITES, op, m[at(m, PER_OP, op, WRITES_DONE)] % WRITE_SLOTS)
        m[at(m, PER_OP, op, WRITES_DONE)] += 1
        m[at(m, PER_OP, op, WRITTEN)] += entry[2]
        hand_on(m, op, m[NOW] + m[at(m, OP_TABLE, op, LATENCY)] - entry[3], entry[2])
