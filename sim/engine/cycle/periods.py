"""How often a stretch of a run repeats before something in it happens differently.

The two states at its ends have equal descriptions. What they may differ in only counts: a transfer, an op or a wait
that is longer than the stretch and is under way through the whole of it has fewer cycles left; among repetitions of a
group, or folds of an op, their numbers are higher. All decisions stay what they are until such a number comes to its
end.
"""

from sim.engine.cycle.columns import (
    AMOUNTS,
    ARRAY,
    ARRAY_STATE,
    ARRAYS,
    ASKED,
    ASKED_SLOTS,
    AVAILABLE,
    COMING,
    CYCLES,
    DEP_FIRST,
    DEP_KIND,
    DEP_LAST,
    DEPS,
    DEPTH,
    DEPTH_OF,
    DRAINED,
    DRAINS_ASKED,
    DRAINS_BEGUN,
    ENDED,
    ENDED_AVAILABLE,
    FILL_SITE,
    FILLED,
    FILLS_BEGUN,
    FOLD_THEN,
    FOLDS,
    FRONT,
    GOING,
    HEAD_RECORD,
    HEAD_TIME,
    HEADER,
    IN_LEFT,
    IN_PLACE,
    IN_RECORD,
    INSIDE,
    JOB,
    JOB_RECORD,
    KEEP,
    KEEPS,
    LEFT_THEN,
    LOG_FROM,
    LOG_TO,
    NEEDS_FILL,
    NEVER,
    NO_JOB,
    NO_OP,
    NOW,
    OP,
    OP_TABLE,
    OPS,
    OUT_LEFT,
    OUT_RECORD,
    PARTIAL,
    PER_KEEP,
    PER_OP,
    POINT_STAGE,
    PRODUCER,
    READ_REPEAT,
    READ_SITE,
    READS_BEGUN,
    READS_DONE,
    RECORD,
    RECORD_INDEX,
    RECORD_ORDINAL,
    RECORD_VARIANT,
    RECORDS_BELOW,
    REPEAT_THEN,
    REPEATS,
    RESULT_TIME,
    RUNNING,
    SERVER_STATE,
    SERVERS,
    SITE_INDEX,
    SITE_VARIANT,
    STAGE,
    STARTED,
    STATE,
    STEPS,
    TRIPS,
    USE_FIRST,
    USE_LAST,
    USES,
    VARIANT,
    WAITING,
    WINDOW,
    WRITE_SLOTS,
    WRITES,
    WRITES_BEGUN,
    WRITES_DONE,
    WRITES_SENT,
)
from sim.engine.cycle.records import record_of
from sim.engine.cycle.remember import array_place, has_site, is_outward, site_of, site_place
from sim.engine.cycle.repeats import like_moves, like_repeats
from sim.engine.cycle.tables import at, at1, at3, row
from sim.engine.jit import compiled


@compiled
def grown(m, place, then):
    """By how much a counter has grown since `then` (a remembered state)."""
    return m[place] - then[place - HEADER]


@compiled
def moved(m, site, then):
    """How many tiles or streamed operands a site has begun to bring since `then`."""
    if site < m[KEEPS]:
        return grown(m, at(m, PER_KEEP, site, FILLS_BEGUN), then)
    return grown(m, at(m, PER_OP, site - m[KEEPS], READS_BEGUN), then)


@compiled
def sent(m, site, then):
    """How many tiles or streamed results have been given to a site to take away since `then`."""
    if site < m[KEEPS]:
        return grown(m, at(m, PER_KEEP, site, DRAINS_ASKED), then)
    return grown(m, at(m, PER_OP, site - m[KEEPS], STARTED), then)


@compiled
def periods_to_skip(m, level, then, state):
    """How often the stretch between `then` and `state` (this moment) repeats; `level`: that of an iteration, or DEPTH
    and more inside a record.
    """
    most = loop_periods(m, level, then, state) if level < m[DEPTH] else turn_periods(m, then, state)
    if most > 0:
        most = min(most, array_periods(m, then, state), site_periods(m, then, state))
    now, duration = m[NOW], grown(m, NOW, then)
    if m[LOG_TO] > now and duration > 0:
        most = min(most, max(0, m[LOG_FROM] - now) // duration)
    return max(0, most)


@compiled
def countdown(before, left):
    """How often a number that has gone down since `before` may do so without an end; 0 if it has not gone down."""
    return (left - 1) // (before - left) if before > left > 0 else 0


@compiled
def array_periods(m, then, state):
    """How often, seen from ops under way: each is as far as it was, or was under way through the whole stretch."""
    most = NEVER
    for array in range(m[ARRAYS]):
        left, before = state[array_place(m, array, LEFT_THEN)], then[array_place(m, array, LEFT_THEN)]
        if left == before:
            continue
        a = row(m, ARRAY_STATE, array)
        slot = m[at3(m, AMOUNTS, a[VARIANT], a[OP], CYCLES)] if a[STAGE] == POINT_STAGE else 1
        if a[STATE] != RUNNING or (before - left) % slot != 0 or has_turned(m, array, then, state):
            return 0
        most = min(most, countdown(before, left))
    return most


@compiled
def has_turned(m, array, then, state):
    """Whether an array has begun another repetition or fold."""
    place, op = array_place(m, array, FOLD_THEN), m[at(m, ARRAY_STATE, array, OP)]
    return state[place] != then[place] or grown(m, at(m, PER_OP, op, STARTED), then) > 0


@compiled
def site_periods(m, then, state):
    """The same, seen from transfers, and from what waits to leave or to arrive."""
    most = NEVER
    for site in range(m[KEEPS] + m[OPS]):
        for column in (COMING, GOING, HEAD_TIME, RESULT_TIME):
            left, before = state[site_place(m, site, column)], then[site_place(m, site, column)]
            if left != before:
                if has_advanced(m, site, column, then):
                    return 0
                most = min(most, countdown(before, left))
    return most


@compiled
def has_advanced(m, site, column, then):
    """Whether what a column of the remains is about is not what it was about then."""
    if site < m[KEEPS]:
        counters = (FILLS_BEGUN, FILLED) if column == COMING else (DRAINS_BEGUN, DRAINED)
        if column == HEAD_TIME:
            counters = (DRAINS_BEGUN, DRAINS_ASKED)
        place = at(m, PER_KEEP, site, 0)
    else:
        counters = (READS_BEGUN, READS_DONE) if column == COMING else (WRITES_BEGUN, WRITES_SENT)
        if column == RESULT_TIME:
            counters = (AVAILABLE, ENDED_AVAILABLE)
        place = at(m, PER_OP, site - m[KEEPS], 0)
    return grown(m, place + counters[0], then) > 0 or grown(m, place + counters[1], then) > 0


@compiled
def loop_periods(m, level, then, state):
    """How often before anything reaches the loop's last iteration. What does not move with it belongs outside."""
    window = m[WINDOW]
    slot = m[FRONT] % window
    front, variant = row(m, RECORD_INDEX, slot), row(m, RECORD_VARIANT, slot)
    newest = m[FRONT]
    for array in range(m[ARRAYS]):
        newest = max(newest, m[at1(m, STEPS, array)])
        for column in (REPEAT_THEN, FOLD_THEN):
            if state[array_place(m, array, column)] != then[array_place(m, array, column)]:
                return 0
    most = m[at(m, RECORD_INDEX, newest % window, level)]
    inside = m[at(m, RECORDS_BELOW, variant[level + 1], level + 1)]
    trips = m[at(m, TRIPS, variant[level], level)]
    first = record_of(m, front, variant, level)
    last = first + (trips - 1) * inside
    for site in range(m[KEEPS] + m[OPS]):
        if stands_inside(m, site, then, first, last) or waits_inside(m, site, then, state, first):
            return 0
        if not has_site(m, site) or moved(m, site, then) == 0:
            continue
        for loop in range(level):
            if m[at(m, SITE_INDEX, site, loop)] != front[loop]:
                return 0
        most = max(most, m[at(m, SITE_INDEX, site, level)])
    for server in range(m[SERVERS]):
        job = row(m, SERVER_STATE, server)
        if job[JOB] != NO_JOB and first <= job[JOB_RECORD] < last:
            site = site_of(m, job)
            if (sent(m, site, then) if is_outward(job) else moved(m, site, then)) == 0:
                return 0
    return (trips - 2 - most) // (grown(m, FRONT, then) // inside)


@compiled
def stands_inside(m, site, then, first, last):
    """Whether a site that does not move with the loop is, or has a transfer that made way, among its records, so that
    others pass it.
    """
    if moved(m, site, then) == 0:
        is_keep = site < m[KEEPS]
        record = m[at(m, PER_KEEP, site, FILL_SITE)] if is_keep else m[at(m, PER_OP, site - m[KEEPS], READ_SITE)]
        if has_site(m, site) and first <= record < last:
            return True
        if m[at(m, PARTIAL, site, IN_LEFT)] > 0 and first <= m[at(m, PARTIAL, site, IN_RECORD)] < last:
            return True
    return (
        sent(m, site, then) == 0
        and m[at(m, PARTIAL, site, OUT_LEFT)] > 0
        and first <= m[at(m, PARTIAL, site, OUT_RECORD)] < last
    )


@compiled
def waits_inside(m, site, then, state, first):
    """Whether what waits to leave differs, unless it is from before the loop and has been waiting all the time."""
    place = site_place(m, site, HEAD_RECORD)
    if state[place] == then[place]:
        return False
    if sent(m, site, then) > 0:
        return True
    if site < m[KEEPS]:
        newest = m[at3(m, ASKED, site, (m[at(m, PER_KEEP, site, DRAINS_ASKED)] - 1) % ASKED_SLOTS, 1)]
    else:
        op = site - m[KEEPS]
        if grown(m, at(m, PER_OP, op, WRITES_DONE), then) > 0:
            return True
        newest = m[at3(m, WRITES, op, (m[at(m, PER_OP, op, STARTED)] - 1) % WRITE_SLOTS, 1)]
    return newest >= first


@compiled
def turn_periods(m, then, state):
    """How often before a group comes to its last repetition, an op to its last fold, or a stream to another record."""
    if grown(m, FRONT, then) > 0:
        return 0
    most = NEVER
    for array in range(m[ARRAYS]):
        place = array_place(m, array, 0)
        turns = state[place + REPEAT_THEN] - then[place + REPEAT_THEN]
        folds = state[place + FOLD_THEN] - then[place + FOLD_THEN]
        if turns != 0:
            first, last = like_repeats(m, array, then[place + REPEAT_THEN], turns)
            if folds != 0 or not first <= then[place + REPEAT_THEN] < state[place + REPEAT_THEN]:
                return 0
            most = min(most, (last - state[place + REPEAT_THEN]) // turns)
        elif folds != 0:
            op, variant = m[at(m, ARRAY_STATE, array, OP)], m[at(m, ARRAY_STATE, array, VARIANT)]
            is_same = op != NO_OP and grown(m, at(m, PER_OP, op, STARTED), then) == 0
            if not is_same or then[place + FOLD_THEN] < 1 or not has_whole_tiles(m, array):
                return 0
            most = min(most, (m[at3(m, AMOUNTS, variant, op, FOLDS)] - 2 - state[place + FOLD_THEN]) // folds)
    for op in range(m[OPS]):
        site = m[KEEPS] + op
        reads, place = moved(m, site, then), site_place(m, site, READ_REPEAT)
        if state[place] - then[place] != reads or grown(m, at(m, PER_OP, op, READ_SITE), then) != 0:
            return 0
        if reads > 0:
            variant = m[at(m, SITE_VARIANT, site, m[at(m, OP_TABLE, op, DEPTH_OF)])]
            first, last = like_moves(m, op, variant, then[place], reads)
            if not first <= then[place]:
                return 0
            last = min(last, m[at3(m, AMOUNTS, variant, op, REPEATS)] - 1)
            most = min(most, (last - state[place]) // reads)
        most = min(most, inside_periods(m, op, then))
    return most


@compiled
def has_whole_tiles(m, array):
    """Whether the tiles of an array's op have arrived, so that no fold waits for a piece."""
    a = row(m, ARRAY_STATE, array)
    for n in range(m[at(m, OP_TABLE, a[OP], USE_FIRST)], m[at(m, OP_TABLE, a[OP], USE_LAST)]):
        keep = m[at(m, USES, n, KEEP)]
        ordinal = m[at(m, RECORD_ORDINAL, a[RECORD] % m[WINDOW], keep)]
        if m[at(m, USES, n, NEEDS_FILL)] == 1 and m[at(m, PER_KEEP, keep, FILLED)] <= ordinal:
            return False
    return True


@compiled
def inside_periods(m, op, then):
    """How often an op may go on as it did beside those that make its operands in repetitions: they keep their distance,
    or it is so large that the op does not wait for them; or the op stands still, and not because it waits.
    """
    most = NEVER
    started = grown(m, at(m, PER_OP, op, STARTED), then)
    for n in range(m[at(m, OP_TABLE, op, DEP_FIRST)], m[at(m, OP_TABLE, op, DEP_LAST)]):
        producer = m[at(m, DEPS, n, PRODUCER)]
        made = grown(m, at(m, PER_OP, producer, STARTED), then)
        if m[at(m, DEPS, n, DEP_KIND)] != INSIDE or made == started:
            continue
        if started == 0:
            a = row(m, ARRAY_STATE, m[at(m, OP_TABLE, op, ARRAY)])
            if a[STATE] == WAITING and a[OP] == op:
                return 0
            continue
        there = m[at(m, PER_OP, producer, ENDED if m[at(m, DEPS, n, IN_PLACE)] == 1 else ENDED_AVAILABLE)]
        # Before each start in a stretch there are more results than at its beginning, less those that it takes itself.
        ahead = there - made - (m[at(m, PER_OP, op, STARTED)] - started) - started - 1
        if ahead < 0:
            return 0
        if made < started:
            most = min(most, ahead // (started - made))
    return most
