"""Moving a run ahead by many equal stretches at once: what grows, what moves along, and what has less time left."""

from sim.engine.cycle.columns import (
    ARRAY_STATE,
    ARRAYS,
    ASKED,
    ASKED_COLUMNS,
    ASKED_SLOTS,
    COMING,
    COUNTED,
    COUNTERS,
    DEPTH,
    DRAINS_BEGUN,
    EVENTS,
    FOLD,
    FOLD_THEN,
    FRONT,
    GENERATED,
    GOING,
    HEADER,
    IN_LEFT,
    IN_RECORD,
    INDEX_MORE,
    JOB,
    JOB_RECORD,
    KEEPS,
    LEFT,
    LEFT_THEN,
    NEVER,
    NO_JOB,
    NOW,
    OPS,
    ORDINAL,
    OUT_LEFT,
    OUT_RECORD,
    PARTIAL,
    PENDING,
    PENDING_SLOTS,
    PER_KEEP,
    PER_OP,
    READ_REPEAT,
    RECORD,
    RECORD_INDEX,
    RECORD_ORDINAL,
    RECORD_VARIANT,
    RECORDS_BELOW,
    REPEAT,
    REPEAT_THEN,
    RESULT_TIME,
    SERVER_STATE,
    SERVERS,
    SITE_INDEX,
    SITE_REPEAT,
    SKIPPED_PERIODS,
    TIME_LEFT,
    TURN,
    TURN_FIRST,
    WINDOW,
    WRITE_SLOTS,
    WRITES,
    WRITES_DONE,
)
from sim.engine.cycle.periods import grown, moved, sent
from sim.engine.cycle.remember import array_place, has_site, is_outward, site_of, site_place
from sim.engine.cycle.tables import at, at1, at3, block, row, row3, table
from sim.engine.jit import compiled


@compiled
def skip(m, level, then, state, periods):
    """Repeat the stretch between `then` and `state`, this moment, that many times more."""
    records, time = periods * grown(m, FRONT, then), periods * grown(m, NOW, then)
    move_remains(m, then, state, periods)
    move_results(m, then, state, time)
    iterations = 0
    if level < m[DEPTH]:
        iterations = (
            records // m[at(m, RECORDS_BELOW, m[at(m, RECORD_VARIANT, m[FRONT] % m[WINDOW], level + 1)], level + 1)]
        )
        move_sites(m, level, then, records, iterations)
    before = grow(m, then, periods)
    for array in range(m[ARRAYS]):
        m[at(m, ARRAY_STATE, array, RECORD)] += records
    move_entries(m, then, before, records, time)
    if level < m[DEPTH]:
        move_window(m, level, before, (records, iterations, 0))
    m[SKIPPED_PERIODS] += periods


@compiled
def grow(m, then, periods):
    """Every counter grows by so many times its growth since `then`; returns the counters before. i8[counter]"""
    events = m[EVENTS]
    before = m[HEADER : HEADER + m[COUNTED]].copy()
    for i in range(m[COUNTED]):
        if m[at1(m, COUNTERS, i)] != NEVER:
            m[at1(m, COUNTERS, i)] += periods * (m[at1(m, COUNTERS, i)] - then[i])
    m[EVENTS] = events
    return before


@compiled
def move_remains(m, then, state, periods):
    """What is under way for longer than the stretch has less time left, and repetitions and folds are further on."""
    for array in range(m[ARRAYS]):
        a, place = row(m, ARRAY_STATE, array), array_place(m, array, 0)
        a[LEFT] += periods * (state[place + LEFT_THEN] - then[place + LEFT_THEN])
        a[REPEAT] += periods * (state[place + REPEAT_THEN] - then[place + REPEAT_THEN])
        a[FOLD] += periods * (state[place + FOLD_THEN] - then[place + FOLD_THEN])
    for site in range(m[KEEPS] + m[OPS]):
        place = site_place(m, site, 0)
        m[at1(m, SITE_REPEAT, site)] += periods * (state[place + READ_REPEAT] - then[place + READ_REPEAT])
        if m[at(m, PARTIAL, site, IN_LEFT)] > 0:
            m[at(m, PARTIAL, site, IN_LEFT)] += periods * (state[place + COMING] - then[place + COMING])
        if m[at(m, PARTIAL, site, OUT_LEFT)] > 0:
            m[at(m, PARTIAL, site, OUT_LEFT)] += periods * (state[place + GOING] - then[place + GOING])
    for server in range(m[SERVERS]):
        job = row(m, SERVER_STATE, server)
        if job[JOB] != NO_JOB:
            place = site_place(m, site_of(m, job), GOING if is_outward(job) else COMING)
            job[TIME_LEFT] += periods * (state[place] - then[place])


@compiled
def move_results(m, then, state, time):
    """Results on their way, except those that have been on it through the whole stretch."""
    for op in range(m[OPS]):
        place = site_place(m, m[KEEPS] + op, RESULT_TIME)
        for i in range(m[PENDING_SLOTS] if state[place] == then[place] else 0):
            m[at3(m, PENDING, op, i, 0)] += time


@compiled
def move_sites(m, level, then, records, iterations):
    """Advance the sites of the next tiles and streams, and the transfers that belong there, unless they stood still."""
    for site in range(m[KEEPS] + m[OPS]):
        if sent(m, site, then) > 0:
            m[at(m, PARTIAL, site, OUT_RECORD)] += records
        if moved(m, site, then) > 0:
            m[at(m, PARTIAL, site, IN_RECORD)] += records
            if has_site(m, site):
                m[at(m, SITE_INDEX, site, level)] += iterations
    for server in range(m[SERVERS]):
        job = row(m, SERVER_STATE, server)
        if job[JOB] != NO_JOB:
            site = site_of(m, job)
            if (sent(m, site, then) if is_outward(job) else moved(m, site, then)) > 0:
                job[JOB_RECORD] += records


@compiled
def move_entries(m, then, before, records, time):
    """Drains and streams in progress keep their order under new numbers. before: i8[counter], the old counters."""
    for keep in range(m[KEEPS]):
        first, new_first = before[at(m, PER_KEEP, keep, DRAINS_BEGUN) - HEADER], m[at(m, PER_KEEP, keep, DRAINS_BEGUN)]
        if sent(m, keep, then) == 0:
            continue
        old = block(m, ASKED, keep).copy()
        for i in range(ASKED_SLOTS):
            place = ASKED_COLUMNS * ((first + i) % ASKED_SLOTS)
            entry = row3(m, ASKED, keep, (new_first + i) % ASKED_SLOTS)
            entry[:] = old[place : place + ASKED_COLUMNS]
            entry[1] += records
            entry[2] += time
    for op in range(m[OPS]):
        first, new_first = before[at(m, PER_OP, op, WRITES_DONE) - HEADER], m[at(m, PER_OP, op, WRITES_DONE)]
        if sent(m, m[KEEPS] + op, then) == 0:
            continue
        old = block(m, WRITES, op).copy()
        for i in range(WRITE_SLOTS):
            entry, place = row3(m, WRITES, op, (new_first + i) % WRITE_SLOTS), 5 * ((first + i) % WRITE_SLOTS)
            entry[:] = old[place : place + 5]
            entry[1] += records


@compiled
def move_window(m, level, before, shift):
    """Move the records in the window ahead. shift: by so many records, iterations of the loop, and turns."""
    records, iterations, turns = shift
    window, depth, width, keeps = m[WINDOW], m[DEPTH], m[DEPTH] + INDEX_MORE, m[KEEPS]
    index, variant = table(m, RECORD_INDEX, window).copy(), table(m, RECORD_VARIANT, window).copy()
    ordinal = table(m, RECORD_ORDINAL, window).copy()
    for record in range(max(0, m[GENERATED] - window), m[GENERATED]):
        old, new = record % window, (record + records) % window
        row(m, RECORD_INDEX, new)[:] = index[old * width : (old + 1) * width]
        m[at(m, RECORD_INDEX, new, level)] += iterations
        m[at(m, RECORD_INDEX, new, depth + TURN)] += turns
        m[at(m, RECORD_INDEX, new, depth + TURN_FIRST)] += records if turns > 0 else 0
        row(m, RECORD_VARIANT, new)[:] = variant[old * (depth + 1) : (old + 1) * (depth + 1)]
        for keep in range(keeps):
            gained = m[at(m, PER_KEEP, keep, ORDINAL)] - before[at(m, PER_KEEP, keep, ORDINAL) - HEADER]
            m[at(m, RECORD_ORDINAL, new, keep)] = ordinal[old * keeps + keep] + gained
    m[GENERATED] += records
