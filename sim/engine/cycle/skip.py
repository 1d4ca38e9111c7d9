"""Exact fast-forward: a repeating stretch is counted, not simulated.

The engine is deterministic, so two moments with equal states have equal futures as long as the loops look alike.
Whenever array 0 begins an iteration of a loop, the state is recorded relative to that iteration (how far every counter
is ahead, what is in progress and for how long) and compared with those of earlier iterations of the same loop. If one
from q iterations ago is equal, multiples of q iterations are skipped, as many as stay clear of the loop's first and
last iteration (which may be shorter, and around which other things happen): every counter grows by a multiple of its
growth in these q iterations, and everything in progress moves along. Nested loops skip inside one another, so that the
work is of the order of (iterations until the state repeats)^loops, whatever the sizes.
"""

import numpy as np

from sim.engine.cycle.columns import (
    ARRAY_STATE,
    ARRAYS,
    ASKED,
    ASKED_SLOTS,
    BASE,
    CAUSE,
    COUNTED,
    COUNTERS,
    DEPTH,
    DESCRIPTION,
    DRAIN_JOB,
    DRAINS_ASKED,
    DRAINS_BEGUN,
    EVENTS,
    FILL_SITE,
    FILLS,
    FILLS_BEGUN,
    FIXED,
    FOLD,
    FRONT,
    GENERATED,
    GUARD,
    HEADER,
    HISTORY,
    HISTORY_SLOTS,
    HOME,
    IN_LEFT,
    IN_RECORD,
    INDEX_MORE,
    JOB,
    JOB_RECORD,
    KEEP_TABLE,
    KEEPS,
    LEFT,
    LOG_FROM,
    LOG_TO,
    MAX_LAG,
    MEMBER,
    NEVER,
    NO_JOB,
    NOW,
    OP,
    OP_TABLE,
    OPS,
    ORDINAL,
    OUT_LEFT,
    OUT_RECORD,
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
    READ_SERVER,
    READ_SITE,
    READS_BEGUN,
    RECORD,
    RECORD_INDEX,
    RECORD_ORDINAL,
    RECORD_VARIANT,
    RECORDS,
    RECORDS_BELOW,
    REMEMBERED,
    REPEAT,
    SERVER_STATE,
    SERVERS,
    SITE_INDEX,
    SITE_REPEAT,
    SITE_VARIANT,
    SKIPPED_PERIODS,
    STAGE,
    STARTED,
    STATE,
    STEPS,
    TIME_LEFT,
    TRIPS,
    VARIANT,
    WHICH,
    WINDOW,
    WRITE_JOB,
    WRITE_SERVER,
    WRITE_SLOTS,
    WRITES,
    WRITES_DONE,
)
from sim.engine.cycle.records import has_items
from sim.engine.cycle.server import older_transfers
from sim.engine.cycle.tables import at, at1, at3, block, row, row3, table
from sim.engine.jit import compiled


@compiled
def fast_forward(m):
    """At the beginning of a step of array 0: remember the state, or skip ahead if it occurred before."""
    front = m[FRONT]
    if front >= m[RECORDS]:
        return
    slot = front % m[WINDOW]
    for keep in range(m[KEEPS]):
        m[at(m, PER_KEEP, keep, ORDINAL)] = m[at(m, RECORD_ORDINAL, slot, keep)]
    level = m[DEPTH] - 1
    while level >= 0 and m[at(m, RECORD_INDEX, slot, level)] == 0:
        level -= 1
    for inner in range(level + 1, m[DEPTH]):
        row(m, REMEMBERED, inner)[:] = 0
    if level < 0 or has_items(m, m[at(m, RECORD_VARIANT, slot, level)], level) or not lies_inside(m, level):
        return
    state = np.zeros(m[DESCRIPTION], np.int64)
    numbers = describe(m, level, state)
    if numbers < 0:
        return
    slots = m[HISTORY_SLOTS]
    counters = m[COUNTED]
    for age in range(1, m[at(m, REMEMBERED, level, 0)] + 1):
        then = row3(m, HISTORY, level, (m[at(m, REMEMBERED, level, 1)] - age) % slots)
        if equal(state, then, counters, numbers):
            skip(m, level, then, periods_to_skip(m, level, then))
            row(m, REMEMBERED, level)[:] = 0
            return
    row3(m, HISTORY, level, m[at(m, REMEMBERED, level, 1)])[:] = state
    m[at(m, REMEMBERED, level, 1)] = (m[at(m, REMEMBERED, level, 1)] + 1) % slots
    m[at(m, REMEMBERED, level, 0)] = min(m[at(m, REMEMBERED, level, 0)] + 1, slots)


@compiled
def lies_inside(m, level):
    """Whether all records in use belong to one run of loop `level`, past its first iteration."""
    window, front = m[WINDOW], m[FRONT]
    oldest, newest = front, front
    for array in range(m[ARRAYS]):
        oldest, newest = min(oldest, m[at1(m, STEPS, array)]), max(newest, m[at1(m, STEPS, array)])
    oldest -= m[MAX_LAG]
    if oldest < 0 or newest >= m[RECORDS]:
        return False
    for loop in range(level):
        here = m[at(m, RECORD_INDEX, front % window, loop)]
        if (
            m[at(m, RECORD_INDEX, oldest % window, loop)] != here
            or m[at(m, RECORD_INDEX, newest % window, loop)] != here
        ):
            return False
    return m[at(m, RECORD_INDEX, oldest % window, level)] >= 1


@compiled
def equal(state, then, first, last):
    i = first
    while i < last and state[i] == then[i]:
        i += 1
    return i == last


@compiled
def describe(m, level, state):
    """Write the state into `state: i8[number]`: all counters, then everything that determines the future; returns how
    many numbers were written, or -1.
    """
    counters = m[COUNTED]
    n = counters
    room = state.size - 8
    for i in range(counters):
        state[i] = m[at1(m, COUNTERS, i)]
        if m[at1(m, BASE, i)] >= 0:
            state[n] = (
                NEVER
                if m[at1(m, COUNTERS, i)] == NEVER
                else m[at1(m, COUNTERS, i)] - m[at1(m, COUNTERS, m[at1(m, BASE, i)])]
            )
            n += 1
    for array in range(m[ARRAYS]):
        a = row(m, ARRAY_STATE, array)
        for column in (POSITION, REPEAT, MEMBER, OP, STATE, STAGE, FOLD, LEFT, CAUSE, VARIANT):
            state[n] = a[column]
            n += 1
    for server in range(m[SERVERS]):
        job = row(m, SERVER_STATE, server)
        state[n] = job[JOB]
        state[n + 1] = job[WHICH] if job[JOB] != NO_JOB else 0
        state[n + 2] = job[TIME_LEFT] if job[JOB] != NO_JOB else 0
        state[n + 3] = older_transfers(m, server)
        n += 4
    for partial in range(m[KEEPS] + m[OPS]):
        state[n], state[n + 1] = m[at(m, PARTIAL, partial, IN_LEFT)], m[at(m, PARTIAL, partial, OUT_LEFT)]
        n += 2
    for keep in range(m[KEEPS]):
        state[n], state[n + 1] = m[at(m, PIECES, keep, PIECES_BEGUN)], m[at(m, PIECES, keep, PIECES_ARRIVED)]
        n += 2
    n = describe_results(m, state, n)
    if n < 0 or n + m[KEEPS] * (4 * ASKED_SLOTS + 1) > room:
        return -1
    n = describe_drains(m, state, n)
    return describe_sites(m, level, state, n)


@compiled
def describe_results(m, state, n):
    """Results and streams on their way."""
    now, slots = m[NOW], m[PENDING_SLOTS]
    for op in range(m[OPS]):
        head, count = m[at(m, QUEUE, op, 0)], m[at(m, QUEUE, op, 1)]
        if n + 2 * count + 5 * WRITE_SLOTS + 8 > state.size:
            return -1
        state[n] = count
        n += 1
        for i in range(count):
            state[n] = m[at3(m, PENDING, op, (head + i) % slots, 0)] - now
            state[n + 1] = m[at3(m, PENDING, op, (head + i) % slots, 1)]
            n += 2
        if m[at(m, OP_TABLE, op, WRITE_SERVER)] < 0:
            continue
        for i in range(m[at(m, PER_OP, op, WRITES_DONE)], m[at(m, PER_OP, op, STARTED)]):
            entry = row3(m, WRITES, op, i % WRITE_SLOTS)
            state[n], state[n + 1], state[n + 2] = entry[0], entry[1] - m[FRONT], entry[2]
            state[n + 3], state[n + 4] = entry[3], entry[4]
            n += 5
    return n


@compiled
def describe_drains(m, state, n):
    """Finished tiles that wait to leave."""
    now = m[NOW]
    for keep in range(m[KEEPS]):
        for i in range(m[at(m, PER_KEEP, keep, DRAINS_BEGUN)], m[at(m, PER_KEEP, keep, DRAINS_ASKED)]):
            entry = row3(m, ASKED, keep, i % ASKED_SLOTS)
            state[n], state[n + 1] = entry[0], entry[1] - m[FRONT]
            state[n + 2], state[n + 3] = max(entry[2] - now, 0), entry[3]
            n += 4
    return n


@compiled
def describe_sites(m, level, state, n):
    """Where the next tiles and streamed operands belong, seen from the front."""
    front = row(m, RECORD_INDEX, m[FRONT] % m[WINDOW])
    for site in range(m[KEEPS] + m[OPS]):
        if not has_site(m, site):
            continue
        if n + m[DEPTH] + 1 > state.size:
            return -1
        for loop in range(m[DEPTH]):
            if not stays(m, site, loop):
                state[n] = m[at(m, SITE_INDEX, site, loop)] - (front[loop] if loop <= level else 0)
                n += 1
        state[n] = m[at1(m, SITE_REPEAT, site)]
        n += 1
    return n


@compiled
def stays(m, site, loop):
    """Whether a site does not move while this loop advances."""
    if m[at(m, HOME, site, loop)] >= 0:
        return True
    if site < m[KEEPS]:
        return m[at3(m, FIXED, m[at(m, SITE_VARIANT, site, loop)], site, loop)] == 1
    return m[at(m, GUARD, site - m[KEEPS], loop)] == 1


@compiled
def has_site(m, site):
    """Whether this row of sites is in use and has not reached its end."""
    if site < m[KEEPS]:
        return m[at(m, KEEP_TABLE, site, FILLS)] == 1 and m[at(m, PER_KEEP, site, FILL_SITE)] != NEVER
    op = site - m[KEEPS]
    return m[at(m, OP_TABLE, op, READ_SERVER)] >= 0 and m[at(m, PER_OP, op, READ_SITE)] != NEVER


@compiled
def moved(m, site, then):
    """How many tiles or streams a site has advanced since `then` (a remembered state)."""
    if site < m[KEEPS]:
        return m[at(m, PER_KEEP, site, FILLS_BEGUN)] - then[at(m, PER_KEEP, site, FILLS_BEGUN) - HEADER]
    op = site - m[KEEPS]
    return m[at(m, PER_OP, op, READS_BEGUN)] - then[at(m, PER_OP, op, READS_BEGUN) - HEADER]


@compiled
def periods_to_skip(m, level, then):
    """How often the stretch since `then` repeats before anything reaches the loop's last iteration."""
    window = m[WINDOW]
    front = row(m, RECORD_INDEX, m[FRONT] % window)
    newest = m[FRONT]
    for array in range(m[ARRAYS]):
        newest = max(newest, m[at1(m, STEPS, array)])
    most = m[at(m, RECORD_INDEX, newest % window, level)]
    for site in range(m[KEEPS] + m[OPS]):
        if not has_site(m, site) or moved(m, site, then) == 0:
            continue
        for loop in range(level):
            if m[at(m, SITE_INDEX, site, loop)] != front[loop]:
                return 0
        most = max(most, m[at(m, SITE_INDEX, site, level)])
    records = m[FRONT] - then[FRONT - HEADER]
    inside = m[at(m, RECORDS_BELOW, m[at(m, RECORD_VARIANT, m[FRONT] % window, level + 1)], level + 1)]
    trips = m[at(m, TRIPS, m[at(m, RECORD_VARIANT, m[FRONT] % window, level)], level)]
    periods = max(0, (trips - 2 - most) // (records // inside))
    now, duration = m[NOW], m[NOW] - then[NOW - HEADER]
    if m[LOG_TO] > now and duration > 0:
        periods = min(periods, max(0, m[LOG_FROM] - now) // duration)
    return periods


@compiled
def skip(m, level, then, periods):
    """Skip that many repetitions of the stretch since `then`."""
    if periods == 0:
        return
    front = m[FRONT]
    inside = m[at(m, RECORDS_BELOW, m[at(m, RECORD_VARIANT, front % m[WINDOW], level + 1)], level + 1)]
    records, time = periods * (front - then[FRONT - HEADER]), periods * (m[NOW] - then[NOW - HEADER])
    move_sites(m, level, then, records, records // inside)
    events = m[EVENTS]
    before = m[HEADER : HEADER + m[COUNTED]].copy()
    for i in range(m[COUNTED]):
        if m[at1(m, COUNTERS, i)] != NEVER:
            m[at1(m, COUNTERS, i)] += periods * (m[at1(m, COUNTERS, i)] - then[i])
    m[EVENTS] = events
    for array in range(m[ARRAYS]):
        m[at(m, ARRAY_STATE, array, RECORD)] += records
    for op in range(m[OPS]):
        for i in range(m[PENDING_SLOTS]):
            m[at3(m, PENDING, op, i, 0)] += time
    move_entries(m, before, records, time)
    move_window(m, level, before, records, records // inside)
    m[SKIPPED_PERIODS] += periods


@compiled
def move_sites(m, level, then, records, iterations):
    """Advance the sites of the next tiles and streams, unless they stood still, and the transfers that belong there."""
    for site in range(m[KEEPS] + m[OPS]):
        m[at(m, PARTIAL, site, OUT_RECORD)] += records
        if moved(m, site, then) != 0:
            m[at(m, PARTIAL, site, IN_RECORD)] += records
            if has_site(m, site):
                m[at(m, SITE_INDEX, site, level)] += iterations
    for server in range(m[SERVERS]):
        job = row(m, SERVER_STATE, server)
        site = job[WHICH] + (0 if job[JOB] <= DRAIN_JOB else m[KEEPS])
        outward = job[JOB] == DRAIN_JOB or job[JOB] == WRITE_JOB
        if outward or (job[JOB] != NO_JOB and moved(m, site, then) != 0):
            job[JOB_RECORD] += records


@compiled
def move_entries(m, before, records, time):
    """Drains and streams in progress keep their order under new numbers. before: i8[counter], the old counters."""
    for keep in range(m[KEEPS]):
        old = block(m, ASKED, keep).copy()
        first, new_first = before[at(m, PER_KEEP, keep, DRAINS_BEGUN) - HEADER], m[at(m, PER_KEEP, keep, DRAINS_BEGUN)]
        for i in range(ASKED_SLOTS):
            entry, place = row3(m, ASKED, keep, (new_first + i) % ASKED_SLOTS), 4 * ((first + i) % ASKED_SLOTS)
            entry[0] = old[place]
            entry[1] = old[place + 1] + records
            entry[2] = old[place + 2] + time
            entry[3] = old[place + 3]
    for op in range(m[OPS]):
        old = block(m, WRITES, op).copy()
        first, new_first = before[at(m, PER_OP, op, WRITES_DONE) - HEADER], m[at(m, PER_OP, op, WRITES_DONE)]
        for i in range(WRITE_SLOTS):
            entry, place = row3(m, WRITES, op, (new_first + i) % WRITE_SLOTS), 5 * ((first + i) % WRITE_SLOTS)
            entry[:] = old[place : place + 5]
            entry[1] += records


@compiled
def move_window(m, level, before, records, iterations):
    """Move the records in the window ahead by that many iterations of the loop."""
    window, depth, width, keeps = m[WINDOW], m[DEPTH], m[DEPTH] + INDEX_MORE, m[KEEPS]
    index, variant = table(m, RECORD_INDEX, window).copy(), table(m, RECORD_VARIANT, window).copy()
    ordinal = table(m, RECORD_ORDINAL, window).copy()
    for record in range(max(0, m[GENERATED] - window), m[GENERATED]):
        old, new = record % window, (record + records) % window
        row(m, RECORD_INDEX, new)[:] = index[old * width : (old + 1) * width]
        m[at(m, RECORD_INDEX, new, level)] += iterations
        row(m, RECORD_VARIANT, new)[:] = variant[old * (depth + 1) : (old + 1) * (depth + 1)]
        for keep in range(keeps):
            gained = m[at(m, PER_KEEP, keep, ORDINAL)] - before[at(m, PER_KEEP, keep, ORDINAL) - HEADER]
            m[at(m, RECORD_ORDINAL, new, keep)] = ordinal[old * keeps + keep] + gained
    m[GENERATED] += records
