"""What is remembered of a moment of a run, so that a later one can be compared with it.

A remembered state has three parts: all counters as they are; the *remains*, in which two states may differ and still go
on alike (cycles that are left of a long transfer, the number of a repetition); and a description of the rest relative
to the moment, in which equal states are equal number by number.
"""

from sim.engine.cycle.columns import (
    ARRAY_REMAINS,
    ARRAY_STATE,
    ARRAYS,
    ASKED,
    ASKED_SLOTS,
    BASE,
    CAUSE,
    COMING,
    COUNTED,
    COUNTERS,
    DEPTH,
    DRAIN_JOB,
    DRAINS_ASKED,
    DRAINS_BEGUN,
    FILL_SITE,
    FILLS,
    FIXED,
    FOLD,
    FOLD_THEN,
    FRONT,
    GOING,
    GUARD,
    HEAD_RECORD,
    HEAD_TIME,
    HEADER,
    HOLDS,
    HOME,
    IN_LEFT,
    IN_TAIL,
    JOB,
    KEEP_TABLE,
    KEEPS,
    LEFT,
    LEFT_THEN,
    MEMBER,
    NEVER,
    NO_JOB,
    NOW,
    OP,
    OP_TABLE,
    OPS,
    OUT_LEFT,
    OUT_TAIL,
    PARTIAL,
    PENDING,
    PENDING_SLOTS,
    PER_KEEP,
    PER_OP,
    PIECES,
    PIECES_ARRIVED,
    PIECES_BEGUN,
    POSITION,
    QUEUE,
    READ_REPEAT,
    READ_SERVER,
    READ_SITE,
    RECORD_INDEX,
    REPEAT,
    REPEAT_THEN,
    RESULT_TIME,
    SERVER_STATE,
    SERVERS,
    SITE_INDEX,
    SITE_REMAINS,
    SITE_REPEAT,
    SITE_VARIANT,
    STAGE,
    STARTED,
    STATE,
    TAIL,
    TIME_LEFT,
    VARIANT,
    WHICH,
    WINDOW,
    WITH_SITE,
    WRITE_JOB,
    WRITE_SERVER,
    WRITE_SLOTS,
    WRITES,
    WRITES_DONE,
)
from sim.engine.cycle.records import home_at
from sim.engine.cycle.server import held_cycles, older_transfers
from sim.engine.cycle.tables import at, at1, at3, row, row3
from sim.engine.jit import compiled

LOW_BITS = (1 << 55) - 1


@compiled
def array_place(m, array, column):
    """Where a state has a column of an array's remains."""
    return m[COUNTED] + ARRAY_REMAINS * array + column


@compiled
def site_place(m, site, column):
    """Where a state has a column of the remains of a site (a keep, then an op)."""
    return m[COUNTED] + ARRAY_REMAINS * m[ARRAYS] + SITE_REMAINS * site + column


@compiled
def first_described(m):
    """Where the description begins."""
    return site_place(m, m[KEEPS] + m[OPS], 0)


@compiled
def describe(m, level, state):
    """Write the moment into `state: i8[number]`, seen from an iteration of a loop, or from inside a record;
    returns how many numbers were written, or -1.
    """
    n = first_described(m)
    if n + m[COUNTED] + 10 * m[ARRAYS] + 5 * m[SERVERS] + 5 * (m[KEEPS] + m[OPS]) > state.size:
        return -1
    n = describe_counters(m, state, n)
    for array in range(m[ARRAYS]):
        a = row(m, ARRAY_STATE, array)
        state[array_place(m, array, LEFT_THEN)] = a[LEFT]
        state[array_place(m, array, REPEAT_THEN)] = a[REPEAT]
        state[array_place(m, array, FOLD_THEN)] = a[FOLD]
        for column in (POSITION, MEMBER, OP, STATE, STAGE, CAUSE, VARIANT):
            state[n] = a[column]
            n += 1
    n = describe_transfers(m, state, n)
    n = describe_results(m, state, n)
    if n >= 0:
        n = describe_leaving(m, state, n)
    return describe_sites(m, level, state, n) if n >= 0 and level < m[DEPTH] else n


@compiled
def describe_counters(m, state, n):
    """All counters; and the distance of those that decide something from the one that they are compared with."""
    for i in range(m[COUNTED]):
        counter, base = m[at1(m, COUNTERS, i)], m[at1(m, BASE, i)]
        state[i] = counter
        if base >= 0:
            state[n] = NEVER if counter == NEVER else counter - m[at1(m, COUNTERS, base)]
            n += 1
    return n


@compiled
def describe_transfers(m, state, n):
    """What memories move, and what had to make way."""
    for site in range(m[KEEPS] + m[OPS]):
        partial = row(m, PARTIAL, site)
        state[site_place(m, site, COMING)] = held_cycles(partial[IN_LEFT], partial[IN_TAIL])
        state[site_place(m, site, GOING)] = held_cycles(partial[OUT_LEFT], partial[OUT_TAIL])
        state[site_place(m, site, READ_REPEAT)] = m[at1(m, SITE_REPEAT, site)]
        state[n] = 1 + partial[IN_TAIL] if partial[IN_LEFT] > 0 else 0
        state[n + 1] = 1 + partial[OUT_TAIL] if partial[OUT_LEFT] > 0 else 0
        n += 2
    for server in range(m[SERVERS]):
        job = row(m, SERVER_STATE, server)
        state[n], state[n + 1], state[n + 2], state[n + 3] = job[JOB], 0, older_transfers(m, server), 0
        if job[JOB] != NO_JOB:
            state[n + 1] = job[WHICH]
            state[n + 3] = job[TAIL] if job[TIME_LEFT] > job[TAIL] else -1
            left = held_cycles(job[TIME_LEFT], job[TAIL])
            state[site_place(m, site_of(m, job), GOING if is_outward(job) else COMING)] = left
        n += 4
    for keep in range(m[KEEPS]):
        state[n], state[n + 1] = m[at(m, PIECES, keep, PIECES_BEGUN)], m[at(m, PIECES, keep, PIECES_ARRIVED)]
        n += 2
    return n


@compiled
def site_of(m, job):
    """The site of a server's transfer. job: i8[column]"""
    return job[WHICH] + (0 if job[JOB] <= DRAIN_JOB else m[KEEPS])


@compiled
def is_outward(job):
    """Whether a transfer takes something away."""
    return job[JOB] == DRAIN_JOB or job[JOB] == WRITE_JOB


@compiled
def describe_results(m, state, n):
    """Results on their way: those of an op by their distance from the first."""
    slots = m[PENDING_SLOTS]
    for op in range(m[OPS]):
        head, count = m[at(m, QUEUE, op, 0)], m[at(m, QUEUE, op, 1)]
        if n + 2 * count + 1 > state.size:
            return -1
        first = m[at3(m, PENDING, op, head, 0)] if count > 0 else m[NOW]
        state[site_place(m, m[KEEPS] + op, RESULT_TIME)] = first - m[NOW]
        state[n] = count
        n += 1
        for i in range(count):
            state[n] = m[at3(m, PENDING, op, (head + i) % slots, 0)] - first
            state[n + 1] = m[at3(m, PENDING, op, (head + i) % slots, 1)]
            n += 2
    return n


@compiled
def describe_leaving(m, state, n):
    """Finished tiles and streamed results that wait to leave: those of a site by their distance from the first."""
    for keep in range(m[KEEPS]):
        begun, asked = m[at(m, PER_KEEP, keep, DRAINS_BEGUN)], m[at(m, PER_KEEP, keep, DRAINS_ASKED)]
        head = row3(m, ASKED, keep, begun % ASKED_SLOTS)
        record, time = head[1], max(head[2] - m[NOW], 0)
        state[site_place(m, keep, HEAD_RECORD)] = record - m[FRONT] if begun < asked else 0
        state[site_place(m, keep, HEAD_TIME)] = time if begun < asked else 0
        if n + 5 * (asked - begun) > state.size:
            return -1
        for i in range(begun, asked):
            entry = row3(m, ASKED, keep, i % ASKED_SLOTS)
            state[n], state[n + 1] = entry[0], entry[1] - record
            state[n + 2], state[n + 3], state[n + 4] = max(entry[2] - m[NOW], 0) - time, entry[3], entry[4]
            n += 5
    for op in range(m[OPS]):
        done, started = m[at(m, PER_OP, op, WRITES_DONE)], m[at(m, PER_OP, op, STARTED)]
        is_waiting = m[at(m, OP_TABLE, op, WRITE_SERVER)] >= 0 and done < started
        record = m[at3(m, WRITES, op, done % WRITE_SLOTS, 1)]
        place = site_place(m, m[KEEPS] + op, HEAD_RECORD)
        state[place], state[place + HEAD_TIME - HEAD_RECORD] = record - m[FRONT] if is_waiting else 0, 0
        if n + 5 * WRITE_SLOTS > state.size:
            return -1
        for i in range(done, started if is_waiting else done):
            entry = row3(m, WRITES, op, i % WRITE_SLOTS)
            state[n], state[n + 1], state[n + 2] = entry[0], entry[1] - record, entry[2]
            state[n + 3], state[n + 4] = entry[3], entry[4]
            n += 5
    return n


@compiled
def describe_sites(m, level, state, n):
    """Where the next tiles and streamed operands belong, seen from the front; as they are, if in another item."""
    front = row(m, RECORD_INDEX, m[FRONT] % m[WINDOW])
    for site in range(m[KEEPS] + m[OPS]):
        is_near = lies_near(m, site, level, front)
        record = site_counter(m, site)
        if m[at1(m, BASE, record - HEADER)] == WITH_SITE:
            state[n] = m[record] - (m[FRONT] if is_near and m[record] != NEVER else 0)
            n += 1
        if not has_site(m, site):
            continue
        if n + m[DEPTH] + 1 > state.size:
            return -1
        for loop in range(m[DEPTH]):
            if not stays(m, site, loop):
                state[n] = m[at(m, SITE_INDEX, site, loop)] - (front[loop] if is_near and loop <= level else 0)
                n += 1
    return n


@compiled
def site_counter(m, site):
    """Where the counter is that has the record of a site."""
    return at(m, PER_KEEP, site, FILL_SITE) if site < m[KEEPS] else at(m, PER_OP, site - m[KEEPS], READ_SITE)


@compiled
def lies_near(m, site, level, front):
    """Whether a site is in the item of the front, as far as items outside a loop go."""
    for outer in range(level):
        home = home_at(m, site, outer)
        if home >= 0 and home != front[outer]:
            return False
    return True


@compiled
def stays(m, site, loop):
    """Whether a site does not move while this loop advances."""
    if m[at(m, HOME, site, loop)] >= 0:
        return True
    if site < m[KEEPS]:
        return m[at3(m, FIXED, m[at(m, SITE_VARIANT, site, loop)], site, loop)] == HOLDS
    return m[at(m, GUARD, site - m[KEEPS], loop)] == 1


@compiled
def has_site(m, site):
    """Whether this row of sites is in use and has not reached its end."""
    if site < m[KEEPS]:
        return m[at(m, KEEP_TABLE, site, FILLS)] == 1 and m[at(m, PER_KEEP, site, FILL_SITE)] != NEVER
    op = site - m[KEEPS]
    return m[at(m, OP_TABLE, op, READ_SERVER)] >= 0 and m[at(m, PER_OP, op, READ_SITE)] != NEVER


@compiled
def mark_of(state, first, last):
    """A number that equal descriptions share, and different ones hardly ever."""
    mark = last
    for i in range(first, last):
        mark = ((mark & LOW_BITS) << 5) ^ (mark >> 55) ^ (state[i] & NEVER - 1)
    return mark
