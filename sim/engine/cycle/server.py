"""Transfers between memories: each memory serves its children one whole tile after the other.

Of all transfers that may begin, a server takes the one of the oldest record; tiles before streams, then in the order of
the tables. Kept tiles are filled as soon as there is room (their `copies`), and so ahead of their use. Streams bring
the operands of one repetition of an op, one repetition ahead, or take its results while they are made. A transfer
yields to one of an older record that becomes ready.
"""

from sim.engine.cycle.array import confirm_writes, is_guarded_at
from sim.engine.cycle.columns import (
    AMOUNTS,
    ASKED,
    ASKED_SLOTS,
    AVAILABLE,
    CARRIED,
    DEP_FIRST,
    DEP_KIND,
    DEP_LAST,
    DEPS,
    DEPTH,
    DEPTH_OF,
    DRAIN_JOB,
    DRAINED,
    DRAINS_ASKED,
    DRAINS_BEGUN,
    FILL_CYCLES,
    FILL_JOB,
    FILL_SITE,
    FILLED,
    FILLS,
    FILLS_BEGUN,
    FIXED,
    IN_LEFT,
    IN_RECORD,
    JOB,
    JOB_RECORD,
    JOB_SINCE,
    KEEP_DEPTH,
    KEEP_TABLE,
    KEEPS,
    MOVES,
    NEVER,
    NO_JOB,
    NOW,
    OLD_LOOP,
    OP_TABLE,
    OPS,
    OUT_LEFT,
    OUT_RECORD,
    PARTIAL,
    PER_KEEP,
    PER_OP,
    PRODUCER,
    READ_CYCLES,
    READ_JOB,
    READ_SERVER,
    READ_SITE,
    READS_BEGUN,
    READS_DONE,
    REPEATS,
    SERVER,
    SERVER_STATE,
    SITE_INDEX,
    SITE_REPEAT,
    SITE_VARIANT,
    SOURCE,
    STARTED,
    TIME_LEFT,
    TRANSFER_ROW,
    TRIPS,
    WHICH,
    WRITE_JOB,
    WRITE_SERVER,
    WRITE_SLOTS,
    WRITES,
    WRITES_BEGUN,
    WRITES_SENT,
)
from sim.engine.cycle.log import note
from sim.engine.cycle.ready import has_room
from sim.engine.cycle.records import amounts_row, next_record, next_site, site_record
from sim.engine.cycle.tables import at, at1, at3, row
from sim.engine.jit import compiled


@compiled
def may_fill(m, keep):
    """Whether the next tile of a keep may be brought: it has a place, and its words exist.

    Words that an op of the nest makes exist once it has made them; old words, and words that return to their previous
    place, once they have been made and drained in the previous iteration.
    """
    site = m[at(m, PER_KEEP, keep, FILL_SITE)]
    begun = m[at(m, PER_KEEP, keep, FILLS_BEGUN)]
    if not has_room(m, keep, begun):
        return False
    source, loop = m[at(m, KEEP_TABLE, keep, SOURCE)], m[at(m, KEEP_TABLE, keep, OLD_LOOP)]
    if loop >= 0 and m[at(m, SITE_INDEX, keep, loop)] == 0:
        return True
    records, tiles = 0, 0
    if loop >= 0:
        records, tiles = 1, 1
        for inner in range(loop + 1, m[DEPTH]):
            variant = m[at(m, SITE_VARIANT, keep, inner)]
            records *= m[at(m, TRIPS, variant, inner)]
            if m[at3(m, FIXED, variant, keep, inner)] == 0:
                tiles *= m[at(m, TRIPS, variant, inner)]
    if source >= 0:
        return m[at(m, PER_OP, source, AVAILABLE)] > site - records
    return loop < 0 or m[at(m, PER_KEEP, keep, DRAINED)] > begun - tiles


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
        producer = m[at(m, DEPS, n, PRODUCER)]
        # Results that another op streams out to this one's source must have arrived there.
        streams = m[at(m, OP_TABLE, producer, WRITE_SERVER)] == m[at(m, OP_TABLE, op, READ_SERVER)]
        if streams and m[at(m, DEPS, n, DEP_KIND)] < CARRIED and m[at(m, PER_OP, producer, AVAILABLE)] <= site:
            return False
    return True


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
    while next_record(m, index, variant) >= 0:
        if not is_guarded_at(m, op, index, variant):
            m[at(m, PER_OP, op, READ_SITE)] = site_record(m, index, variant)
            return
    m[at(m, PER_OP, op, READ_SITE)] = NEVER


@compiled
def first_read(m, op):
    """Go to the first record in which an op with streamed operands runs."""
    site = m[KEEPS] + op
    index, variant = row(m, SITE_INDEX, site), row(m, SITE_VARIANT, site)
    while is_guarded_at(m, op, index, variant):
        next_record(m, index, variant)
    m[at(m, PER_OP, op, READ_SITE)] = site_record(m, index, variant)


@compiled
def oldest_tile(m, server):
    """The kept tile that moves first: (job, keep, record); NO_JOB if none may."""
    job, which, record = NO_JOB, -1, NEVER
    for keep in range(m[KEEPS]):
        if m[at(m, KEEP_TABLE, keep, SERVER)] != server:
            continue
        site = m[at(m, PER_KEEP, keep, FILL_SITE)]
        if m[at(m, PARTIAL, keep, IN_LEFT)] > 0:
            if m[at(m, PARTIAL, keep, IN_RECORD)] < record:
                job, which, record = FILL_JOB, keep, m[at(m, PARTIAL, keep, IN_RECORD)]
        elif m[at(m, KEEP_TABLE, keep, FILLS)] == 1 and site < record and may_fill(m, keep):
            job, which, record = FILL_JOB, keep, site
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
    transfer[TIME_LEFT] = begin_transfer(m, job, which)
    return True


@compiled
def begin_transfer(m, job, which):
    """Count a transfer as begun; returns its cycles."""
    if job == FILL_JOB:
        variant = m[at(m, SITE_VARIANT, which, m[at(m, KEEP_TABLE, which, KEEP_DEPTH)])]
        advance_fill(m, which)
        return m[at3(m, MOVES, variant, which, FILL_CYCLES)]
    if job == DRAIN_JOB:
        m[at(m, PER_KEEP, which, DRAINS_BEGUN)] += 1
        return m[at3(m, ASKED, which, (m[at(m, PER_KEEP, which, DRAINS_BEGUN)] - 1) % ASKED_SLOTS, 0)]
    if job == READ_JOB:
        site = m[KEEPS] + which
        variant = amounts_row(m, which, row(m, SITE_INDEX, site), row(m, SITE_VARIANT, site))
        advance_read(m, which)
        return m[at3(m, AMOUNTS, variant, which, READ_CYCLES)]
    m[at(m, PER_OP, which, WRITES_BEGUN)] += 1
    return m[at3(m, WRITES, which, (m[at(m, PER_OP, which, WRITES_BEGUN)] - 1) % WRITE_SLOTS, 0)]


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
