"""Transfers between memories: each memory serves its children one whole tile after the other.

Of all transfers that may begin, a server takes the one of the oldest record; tiles before streams, then in the order of
the tables. Kept tiles are filled as soon as there is room (their `copies`), and so ahead of their use. Streams bring
the operands of one repetition of an op, one repetition ahead, or take its results while they are made. A transfer
yields to one of an older record that becomes ready.
"""

from sim.engine.cycle.array import confirm_writes
from sim.engine.cycle.columns import (
    ACROSS,
    AGAIN_CYCLES,
    AGAIN_WORDS,
    AMOUNTS,
    ARRAYS,
    ASKED,
    ASKED_SLOTS,
    AVAILABLE,
    CARRIED,
    DEPS,
    DEPTH,
    DEPTH_OF,
    DEP_FIRST,
    DEP_KIND,
    DEP_LAST,
    DRAINED,
    DRAINS_ASKED,
    DRAINS_BEGUN,
    DRAIN_JOB,
    DRAIN_SERVER,
    FILLED,
    FILLS,
    FILLS_BEGUN,
    FILL_CYCLES,
    FILL_JOB,
    FILL_SERVER,
    FILL_SITE,
    FILL_WORDS,
    FIXED,
    HOME,
    IN_LEFT,
    IN_PLACE,
    IN_RECORD,
    JOB,
    JOB_RECORD,
    JOB_SINCE,
    KEEPS,
    KEEP_DEPTH,
    KEEP_TABLE,
    LOOP,
    MOVES,
    NEVER,
    NOW,
    NO_JOB,
    OLD_LOOP,
    OPS,
    OP_TABLE,
    OUT_LEFT,
    OUT_RECORD,
    PARTIAL,
    PER_KEEP,
    PER_OP,
    PRODUCER,
    READS_BEGUN,
    READS_DONE,
    READ_CYCLES,
    READ_JOB,
    READ_SERVER,
    READ_SITE,
    READ_WORDS,
    RECORDS_BELOW,
    REPEATS,
    RETURNS,
    SERVER_STATE,
    SITE_INDEX,
    SITE_REPEAT,
    SITE_VARIANT,
    SOURCE,
    SOURCE_FIRST,
    SOURCE_LEVEL,
    STARTED,
    STEPS,
    TIME_LEFT,
    TRANSFER_ROW,
    TRIPS,
    WAITS_AT,
    WHICH,
    WORDS,
    WRITER,
    WRITES,
    WRITES_BEGUN,
    WRITES_SENT,
    WRITE_JOB,
    WRITE_SERVER,
    WRITE_SLOTS,
)
from sim.engine.cycle.log import note
from sim.engine.cycle.ready import has_room
from sim.engine.cycle.records import descend, enter_run, is_home, next_run, next_site, record_of, site_record
from sim.engine.cycle.tables import at, at1, at3, row, row3
from sim.engine.jit import compiled


@compiled
def may_fill(m, keep):
    """Whether the next tile of a keep may be brought: it has a place, and its words exist.

    Words that an op of the nest makes exist once it has made them; old words, and words that return to their previous
    place, once they have been made and drained in the previous iteration; those of another item once that is over.
    """
    site = m[at(m, PER_KEEP, keep, FILL_SITE)]
    begun = m[at(m, PER_KEEP, keep, FILLS_BEGUN)]
    if not has_room(m, keep, begun) or not items_are_over(m, keep):
        return False
    source, loop = m[at(m, KEEP_TABLE, keep, SOURCE)], m[at(m, KEEP_TABLE, keep, OLD_LOOP)]
    if source >= 0 and m[at(m, KEEP_TABLE, keep, SOURCE_LEVEL)] >= 0:
        level = m[at(m, KEEP_TABLE, keep, SOURCE_LEVEL)]
        return has_made(m, source, keep, level, m[at(m, KEEP_TABLE, keep, SOURCE_FIRST)])
    if loop >= 0 and m[at(m, SITE_INDEX, keep, loop)] == 0:
        return True
    records, tiles = 0, 0
    if loop >= 0:
        records, tiles = m[at(m, RECORDS_BELOW, m[at(m, SITE_VARIANT, keep, loop + 1)], loop + 1)], 1
        for inner in range(loop + 1, m[DEPTH]):
            variant = m[at(m, SITE_VARIANT, keep, inner)]
            if m[at(m, HOME, keep, inner)] < 0 and m[at3(m, FIXED, variant, keep, inner)] == 0:
                tiles *= m[at(m, TRIPS, variant, inner)]
    if source >= 0:
        return m[at(m, PER_OP, source, AVAILABLE)] > site - records
    return loop < 0 or m[at(m, PER_KEEP, keep, DRAINED)] > begun - tiles


@compiled
def has_made(m, producer, site, level, comes_first):
    """Whether an op of another item has made, and its memories have passed on, what the next transfer of a site brings.

    level: the one that parts the two; comes_first: 1 where the op's item comes before that of the site.
    """
    index, variant = row(m, SITE_INDEX, site), row(m, SITE_VARIANT, site)
    if m[at(m, PER_OP, producer, AVAILABLE)] < record_of(m, index, variant, level + comes_first):
        return False
    for keep in range(m[KEEPS]):
        if keep != site and m[at(m, KEEP_TABLE, keep, WRITER)] == producer and is_draining(m, keep):
            return False
    return True


@compiled
def is_draining(m, keep):
    """Whether finished tiles of a keep have not arrived further out."""
    return m[at(m, PER_KEEP, keep, DRAINED)] < m[at(m, PER_KEEP, keep, DRAINS_ASKED)]


@compiled
def items_are_over(m, keep):
    """Whether a tile that is not filled ahead may come: all before its item is over, and what was there has left."""
    level = m[at(m, KEEP_TABLE, keep, WAITS_AT)]
    if level < 0:
        return True
    begin = record_of(m, row(m, SITE_INDEX, keep), row(m, SITE_VARIANT, keep), level + 1)
    for array in range(m[ARRAYS]):
        if m[at1(m, STEPS, array)] < begin:
            return False
    for other in range(m[KEEPS]):
        if not is_home(m, other, row(m, SITE_INDEX, keep)) and is_draining(m, other):
            return False
    return True


@compiled
def may_drain(m, keep):
    """Whether a finished tile may leave now."""
    begun = m[at(m, PER_KEEP, keep, DRAINS_BEGUN)]
    return m[at3(m, ASKED, keep, begun % ASKED_SLOTS, 2)] <= m[NOW]


@compiled
def may_read(m, op):
    """Whether the next repetition's streamed operands may come: at most one repetition ahead, once they exist."""
    site = m[at(m, PER_OP, op, READ_SITE)]
    if site == NEVER or m[at(m, PER_OP, op, READS_BEGUN)] > m[at(m, PER_OP, op, STARTED)]:
        return False
    for n in range(m[at(m, OP_TABLE, op, DEP_FIRST)], m[at(m, OP_TABLE, op, DEP_LAST)]):
        producer, kind = m[at(m, DEPS, n, PRODUCER)], m[at(m, DEPS, n, DEP_KIND)]
        if kind == ACROSS:
            if not has_made(m, producer, m[KEEPS] + op, m[at(m, DEPS, n, LOOP)], m[at(m, DEPS, n, IN_PLACE)]):
                return False
            continue
        # Results that another op streams out to this one's source must have arrived there.
        streams = m[at(m, OP_TABLE, producer, WRITE_SERVER)] >= 0
        if streams and kind < CARRIED and m[at(m, PER_OP, producer, AVAILABLE)] <= site:
            return False
    return True


@compiled
def first_fill(m, keep):
    """Go to the first tile of a keep."""
    index, variant = row(m, SITE_INDEX, keep), row(m, SITE_VARIANT, keep)
    for level in range(m[DEPTH]):
        index[level] = max(0, m[at(m, HOME, keep, level)])
    descend(m, index, variant, 0)
    m[at(m, PER_KEEP, keep, FILL_SITE)] = site_record(m, index, variant)


@compiled
def advance_fill(m, keep):
    """The next tile's place in the loops."""
    m[at(m, PER_KEEP, keep, FILLS_BEGUN)] += 1
    m[at(m, PER_KEEP, keep, FILL_SITE)] = next_site(m, keep, row(m, SITE_INDEX, keep), row(m, SITE_VARIANT, keep))


@compiled
def advance_read(m, op):
    """The next repetition with streamed operands: of the same record, or of the next one in which the op runs."""
    site = m[KEEPS] + op
    index, variant = row(m, SITE_INDEX, site), row(m, SITE_VARIANT, site)
    m[at(m, PER_OP, op, READS_BEGUN)] += 1
    m[at1(m, SITE_REPEAT, site)] += 1
    if m[at1(m, SITE_REPEAT, site)] < m[at3(m, AMOUNTS, variant[m[at(m, OP_TABLE, op, DEPTH_OF)]], op, REPEATS)]:
        return
    m[at1(m, SITE_REPEAT, site)] = 0
    m[at(m, PER_OP, op, READ_SITE)] = next_run(m, op, index, variant)


@compiled
def first_read(m, op):
    """Go to the first record in which an op with streamed operands runs."""
    index, variant = row(m, SITE_INDEX, m[KEEPS] + op), row(m, SITE_VARIANT, m[KEEPS] + op)
    if m[at(m, OP_TABLE, op, READ_SERVER)] >= 0:
        m[at(m, PER_OP, op, READ_SITE)] = enter_run(m, op, index, variant, -1)
    else:
        descend(m, index, variant, 0)


@compiled
def sums_return(m, keep):
    """Whether the next tile was there before and was left incomplete."""
    times = 0
    for loop in range(m[DEPTH]):
        times += m[at(m, RETURNS, keep, loop)] == 1 and m[at(m, SITE_INDEX, keep, loop)] > 0
    return times > 0


@compiled
def begin_sums(m, keep):
    """A tile whose sums begin is there as soon as it has a place, if nothing else comes into it. Whether it was so."""
    if m[at(m, PER_KEEP, keep, FILLS_BEGUN)] > m[at(m, PER_KEEP, keep, FILLED)]:
        return False
    if m[at(m, PER_KEEP, keep, FILL_SITE)] == NEVER or sums_return(m, keep) or not may_fill(m, keep):
        return False
    variant = m[at(m, SITE_VARIANT, keep, m[at(m, KEEP_TABLE, keep, KEEP_DEPTH)])]
    if m[at3(m, MOVES, variant, keep, FILL_WORDS)] > 0:
        return False
    advance_fill(m, keep)
    m[at(m, PER_KEEP, keep, FILLED)] += 1
    return True


@compiled
def oldest_tile(m, server):
    """The kept tile that moves first: (job, keep, record); NO_JOB if none may."""
    job, which, record = NO_JOB, -1, NEVER
    for keep in range(m[KEEPS]):
        if m[at(m, KEEP_TABLE, keep, FILL_SERVER)] == server:
            site = m[at(m, PER_KEEP, keep, FILL_SITE)]
            if m[at(m, PARTIAL, keep, IN_LEFT)] > 0:
                if m[at(m, PARTIAL, keep, IN_RECORD)] < record:
                    job, which, record = FILL_JOB, keep, m[at(m, PARTIAL, keep, IN_RECORD)]
            elif m[at(m, KEEP_TABLE, keep, FILLS)] == 1 and site < record and may_fill(m, keep):
                job, which, record = FILL_JOB, keep, site
        if m[at(m, KEEP_TABLE, keep, DRAIN_SERVER)] == server:
            begun = m[at(m, PER_KEEP, keep, DRAINS_BEGUN)]
            if m[at(m, PARTIAL, keep, OUT_LEFT)] > 0:
                if m[at(m, PARTIAL, keep, OUT_RECORD)] < record:
                    job, which, record = DRAIN_JOB, keep, m[at(m, PARTIAL, keep, OUT_RECORD)]
            elif begun < m[at(m, PER_KEEP, keep, DRAINS_ASKED)] and may_drain(m, keep):
                asked = m[at3(m, ASKED, keep, begun % ASKED_SLOTS, 1)]
                if asked < record:
                    job, which, record = DRAIN_JOB, keep, asked
    return job, which, record


@compiled
def oldest_stream(m, server):
    """The same for streams of ops."""
    job, which, record = NO_JOB, -1, NEVER
    for op in range(m[OPS]):
        partial = m[KEEPS] + op
        if m[at(m, PARTIAL, partial, IN_LEFT)] > 0 and m[at(m, OP_TABLE, op, READ_SERVER)] == server:
            if m[at(m, PARTIAL, partial, IN_RECORD)] < record:
                job, which, record = READ_JOB, op, m[at(m, PARTIAL, partial, IN_RECORD)]
        elif (
            m[at(m, OP_TABLE, op, READ_SERVER)] == server
            and m[at(m, PER_OP, op, READ_SITE)] < record
            and may_read(m, op)
        ):
            job, which, record = READ_JOB, op, m[at(m, PER_OP, op, READ_SITE)]
        if m[at(m, OP_TABLE, op, WRITE_SERVER)] != server:
            continue
        begun = m[at(m, PER_OP, op, WRITES_BEGUN)]
        if m[at(m, PARTIAL, partial, OUT_LEFT)] > 0:
            if m[at(m, PARTIAL, partial, OUT_RECORD)] < record:
                job, which, record = WRITE_JOB, op, m[at(m, PARTIAL, partial, OUT_RECORD)]
        elif begun < m[at(m, PER_OP, op, STARTED)]:
            made = m[at3(m, WRITES, op, begun % WRITE_SLOTS, 1)]
            if made < record:
                job, which, record = WRITE_JOB, op, made
    return job, which, record


@compiled
def take_up(m, server):
    """Begin the transfer of the oldest record; one of a younger record yields. Whether a transfer began."""
    transfer = row(m, SERVER_STATE, server)
    busy_with = transfer[JOB_RECORD] if transfer[JOB] != NO_JOB else NEVER
    job, which, record = oldest_tile(m, server)
    other_job, other, other_record = oldest_stream(m, server)
    if other_record < record:
        job, which, record = other_job, other, other_record
    if record >= busy_with:
        return False
    if transfer[JOB] != NO_JOB:
        suspend(m, server)
    transfer[JOB], transfer[WHICH], transfer[JOB_RECORD], transfer[JOB_SINCE] = job, which, record, m[NOW]
    partial = which if job <= DRAIN_JOB else m[KEEPS] + which
    column = IN_LEFT if job in (FILL_JOB, READ_JOB) else OUT_LEFT
    if m[at(m, PARTIAL, partial, column)] > 0:
        transfer[TIME_LEFT] = m[at(m, PARTIAL, partial, column)]
        m[at(m, PARTIAL, partial, column)] = 0
        return True
    transfer[TIME_LEFT], words = begin_transfer(m, job, which)
    m[at(m, WORDS, server, job - 1)] += words
    return True


@compiled
def begin_transfer(m, job, which):
    """Count a transfer as begun; returns its cycles and words."""
    if job == FILL_JOB:
        variant = m[at(m, SITE_VARIANT, which, m[at(m, KEEP_TABLE, which, KEEP_DEPTH)])]
        move = row3(m, MOVES, variant, which)
        again = sums_return(m, which)
        advance_fill(m, which)
        if again:
            return move[FILL_CYCLES] + move[AGAIN_CYCLES], move[FILL_WORDS] + move[AGAIN_WORDS]
        return move[FILL_CYCLES], move[FILL_WORDS]
    if job == DRAIN_JOB:
        entry = row3(m, ASKED, which, m[at(m, PER_KEEP, which, DRAINS_BEGUN)] % ASKED_SLOTS)
        m[at(m, PER_KEEP, which, DRAINS_BEGUN)] += 1
        return entry[0], entry[3]
    if job == READ_JOB:
        variant = m[at(m, SITE_VARIANT, m[KEEPS] + which, m[at(m, OP_TABLE, which, DEPTH_OF)])]
        advance_read(m, which)
        return m[at3(m, AMOUNTS, variant, which, READ_CYCLES)], m[at3(m, AMOUNTS, variant, which, READ_WORDS)]
    entry = row3(m, WRITES, which, m[at(m, PER_OP, which, WRITES_BEGUN)] % WRITE_SLOTS)
    m[at(m, PER_OP, which, WRITES_BEGUN)] += 1
    return entry[0], entry[3]


@compiled
def suspend(m, server):
    """Suspend the current transfer."""
    transfer = row(m, SERVER_STATE, server)
    note_transfer(m, server)
    job, which = transfer[JOB], transfer[WHICH]
    partial = which if job <= DRAIN_JOB else m[KEEPS] + which
    column = IN_LEFT if job in (FILL_JOB, READ_JOB) else OUT_LEFT
    m[at(m, PARTIAL, partial, column)] = transfer[TIME_LEFT]
    m[at(m, PARTIAL, partial, column + 1)] = transfer[JOB_RECORD]


@compiled
def note_transfer(m, server):
    """Log what a server did since it took up its transfer."""
    transfer = row(m, SERVER_STATE, server)
    if m[NOW] > transfer[JOB_SINCE]:
        note(m, TRANSFER_ROW + transfer[JOB] - 1, server, transfer[WHICH], transfer[JOB_RECORD], transfer[JOB_SINCE])


@compiled
def end_transfer(m, server):
    """A transfer is over."""
    transfer = row(m, SERVER_STATE, server)
    note_transfer(m, server)
    job, which = transfer[JOB], transfer[WHICH]
    transfer[JOB] = NO_JOB
    if job == FILL_JOB:
        m[at(m, PER_KEEP, which, FILLED)] += 1
    elif job == DRAIN_JOB:
        m[at(m, PER_KEEP, which, DRAINED)] += 1
    elif job == READ_JOB:
        m[at(m, PER_OP, which, READS_DONE)] += 1
    else:
        m[at(m, PER_OP, which, WRITES_SENT)] += 1
        confirm_writes(m, which)
