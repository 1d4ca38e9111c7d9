"""Transfers between memories: each memory serves its children one whole tile after the other.

Of all transfers that may begin, a server takes the one of the oldest record; tiles before streams, then in the order of
the tables. Kept tiles are filled as soon as there is room (their `copies`), and so ahead of their use. Streams bring
the operands of one repetition of an op, one repetition ahead, or take its results while they are made. A transfer
yields to one of an older record that becomes ready.
"""

from sim.engine.cycle.columns import (
    ACROSS,
    AMOUNTS,
    ASKED,
    ASKED_SLOTS,
    AVAILABLE,
    CARRIED,
    DEALT,
    DEP_FIRST,
    DEP_KIND,
    DEP_LAST,
    DEPS,
    DEPTH_OF,
    DRAIN_JOB,
    DRAIN_SERVER,
    DRAINED,
    DRAINS_ASKED,
    DRAINS_BEGUN,
    FILL_JOB,
    FILL_SERVER,
    FILL_SITE,
    FILLED,
    FILLS,
    FIRST_WORD,
    FREE_SINCE,
    IN_LEFT,
    IN_PLACE,
    IN_RECORD,
    IN_TAIL,
    JOB,
    JOB_RECORD,
    JOB_SINCE,
    KEEP_TABLE,
    KEEPS,
    LOOP,
    MOVED,
    NEVER,
    NO_JOB,
    NOW,
    OP_TABLE,
    OPS,
    OUT_LEFT,
    OUT_RECORD,
    PARTIAL,
    PER_KEEP,
    PER_OP,
    PER_PHASE,
    PIECES,
    PIECES_ARRIVED,
    PIECES_OF,
    PRODUCER,
    READ_CYCLES,
    READ_JOB,
    READ_SERVER,
    READ_SITE,
    READ_WORDS,
    READS_BEGUN,
    READS_DONE,
    RECORDS,
    REPEATS,
    SERVER_STATE,
    SERVERS,
    SITE_INDEX,
    SITE_REPEAT,
    SITE_VARIANT,
    STARTED,
    TAIL,
    TIME_LEFT,
    TRANSFER_ROW,
    WHICH,
    WRITE_JOB,
    WRITE_SERVER,
    WRITE_SLOTS,
    WRITES,
    WRITES_BEGUN,
    WRITES_SENT,
)
from sim.engine.cycle.fills import begin_fill, has_made, may_fill
from sim.engine.cycle.log import note
from sim.engine.cycle.phases import has_begun
from sim.engine.cycle.records import amounts_row, enter_run, next_run, start
from sim.engine.cycle.results import confirm_writes
from sim.engine.cycle.sums import sums_are_back
from sim.engine.cycle.tables import at, at1, at3, row, row3
from sim.engine.jit import compiled


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
    where = m[KEEPS] + op
    if m[PER_PHASE] == 1 and not has_begun(m, row(m, SITE_INDEX, where), row(m, SITE_VARIANT, where)):
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
    return m[at(m, OP_TABLE, op, WRITE_SERVER)] < 0 or sums_are_back(m, op, site)


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
    start(m, index, variant)
    if m[at(m, OP_TABLE, op, READ_SERVER)] >= 0:
        site = enter_run(m, op, index, variant, m[DEALT] - 1)
        m[at(m, PER_OP, op, READ_SITE)] = site if m[RECORDS] > 0 else NEVER


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
def oldest(m, server):
    """Of all transfers that may begin the one of the oldest record: (job, keep or op, record); NO_JOB if none may."""
    job, which, record = oldest_tile(m, server)
    other_job, other, other_record = oldest_stream(m, server)
    return (other_job, other, other_record) if other_record < record else (job, which, record)


@compiled
def take_up(m, server):
    """Begin the transfer of the oldest record; one of a younger record yields. Whether a transfer began."""
    transfer = row(m, SERVER_STATE, server)
    busy_with = transfer[JOB_RECORD] if transfer[JOB] != NO_JOB else NEVER
    job, which, record = oldest(m, server)
    if record >= busy_with:
        return False
    was_idle = transfer[JOB] == NO_JOB and transfer[FREE_SINCE] < m[NOW]
    if transfer[JOB] != NO_JOB:
        suspend(m, server)
    start_transfer(m, server, job, which, record, was_idle)
    return True


@compiled
def start_transfer(m, server, job, which, record, was_idle):
    """Begin a transfer, or go on with it."""
    transfer = row(m, SERVER_STATE, server)
    transfer[JOB], transfer[WHICH], transfer[JOB_RECORD], transfer[JOB_SINCE] = job, which, record, m[NOW]
    partial = which if job <= DRAIN_JOB else m[KEEPS] + which
    column = IN_LEFT if job in (FILL_JOB, READ_JOB) else OUT_LEFT
    if m[at(m, PARTIAL, partial, column)] > 0:
        transfer[TIME_LEFT] = m[at(m, PARTIAL, partial, column)]
        transfer[TAIL] = m[at(m, PARTIAL, partial, column + IN_TAIL - IN_LEFT)]
        m[at(m, PARTIAL, partial, column)] = 0
        return
    transfer[TIME_LEFT], words, transfer[TAIL] = begin_transfer(m, job, which)
    if was_idle and (words > 0 or transfer[TIME_LEFT] > 0):  # the first piece of a tile may have no whole word
        transfer[TIME_LEFT] += m[at(m, FIRST_WORD, partial, 0 if column == IN_LEFT else 1)]
    if job <= DRAIN_JOB:
        m[at(m, MOVED, which, job - 1)] += words


@compiled
def begin_transfer(m, job, which):
    """Count a transfer as begun; returns its cycles, words and tail."""
    if job == FILL_JOB:
        return begin_fill(m, which)
    if job == DRAIN_JOB:
        entry = row3(m, ASKED, which, m[at(m, PER_KEEP, which, DRAINS_BEGUN)] % ASKED_SLOTS)
        m[at(m, PER_KEEP, which, DRAINS_BEGUN)] += 1
        return entry[0], entry[3], entry[4]
    if job == READ_JOB:
        site = m[KEEPS] + which
        repeat = m[at1(m, SITE_REPEAT, site)]
        variant = amounts_row(m, which, row(m, SITE_INDEX, site), row(m, SITE_VARIANT, site), repeat)
        advance_read(m, which)
        return m[at3(m, AMOUNTS, variant, which, READ_CYCLES)], m[at3(m, AMOUNTS, variant, which, READ_WORDS)], 0
    entry = row3(m, WRITES, which, m[at(m, PER_OP, which, WRITES_BEGUN)] % WRITE_SLOTS)
    m[at(m, PER_OP, which, WRITES_BEGUN)] += 1
    return entry[0], entry[4], 0


@compiled
def held_cycles(left, tail):
    """Of a transfer's cycles left, those until it is over, or frees a memory that cores share."""
    return left - tail if left > tail else left


@compiled
def older_transfers(m, server):
    """How many servers move an older record, which take ports first."""
    older = 0
    for other in range(m[SERVERS]):
        busy = m[at(m, SERVER_STATE, other, JOB)] != NO_JOB and m[at(m, SERVER_STATE, server, JOB)] != NO_JOB
        older += busy and m[at(m, SERVER_STATE, other, JOB_RECORD)] < m[at(m, SERVER_STATE, server, JOB_RECORD)]
    return older


@compiled
def suspend(m, server):
    """Suspend the current transfer."""
    transfer = row(m, SERVER_STATE, server)
    note_transfer(m, server)
    job, which = transfer[JOB], transfer[WHICH]
    partial = which if job <= DRAIN_JOB else m[KEEPS] + which
    column = IN_LEFT if job in (FILL_JOB, READ_JOB) else OUT_LEFT
    m[at(m, PARTIAL, partial, column)] = transfer[TIME_LEFT]
    m[at(m, PARTIAL, partial, column + IN_RECORD - IN_LEFT)] = transfer[JOB_RECORD]
    m[at(m, PARTIAL, partial, column + IN_TAIL - IN_LEFT)] = transfer[TAIL]


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
    if m[NOW] > transfer[JOB_SINCE]:  # what took no time, of a tile without words, has asked the memory for nothing
        transfer[FREE_SINCE] = m[NOW]
    if job == FILL_JOB:
        piece = row(m, PIECES, which)
        piece[PIECES_ARRIVED] = (piece[PIECES_ARRIVED] + 1) % piece[PIECES_OF]
        if piece[PIECES_ARRIVED] == 0:
            m[at(m, PER_KEEP, which, FILLED)] += 1
    elif job == DRAIN_JOB:
        m[at(m, PER_KEEP, which, DRAINED)] += 1
    elif job == READ_JOB:
        m[at(m, PER_OP, which, READS_DONE)] += 1
    else:
        m[at(m, PER_OP, which, WRITES_SENT)] += 1
        confirm_writes(m, which)
