"""The work of an array: it finds its next op in the static order of its lane, issues its folds, and passes results on.

The order is: steps; within a step the groups of the lane; within a group its repetitions; within a repetition its ops.
At step n an op works on record n - lag, so that Einsums of different lags work on tiles of different ages.
"""

from sim.engine.cycle.columns import (
    ALONE,
    AMOUNTS,
    ANOTHER_FOLD,
    ANOTHER_REPEAT,
    ANOTHER_ROUND,
    ARRAY_STATE,
    AVAILABLE,
    BOUNDARY,
    BUSY,
    CAUSE,
    CHAIN,
    CORE_TURNS,
    CYCLES,
    DEALT,
    DEPTH,
    DEPTH_OF,
    EARLY,
    ENDED,
    FINISHED,
    FOLD,
    FOLDS,
    FRONT,
    GROUP_LOOPS,
    GROUPS,
    GUARD,
    IN_RECORD,
    IN_STAGE,
    INNER,
    INNER_LAG,
    ISSUED,
    KEEPS,
    KIND,
    LAG,
    LANES,
    LATENCY,
    LEFT,
    LINK_IN,
    LINK_OUT,
    MANY,
    MAX_LAG,
    MEMBER,
    NEXT_RECORD,
    NO_OP,
    NOW,
    OP,
    OP_ROW,
    OP_TABLE,
    OUT_STAGE,
    PER_OP,
    POINT_STAGE,
    POINTS,
    PORT,
    POSITION,
    READ_SERVER,
    READS_DONE,
    RECORD,
    RECORD_INDEX,
    RECORD_VARIANT,
    RECORDS,
    REPEAT,
    REPEATS,
    RUNNING,
    SHARES,
    SINCE,
    STAGE,
    STALLS,
    STARTED,
    STATE,
    STAY_FIRST,
    STAY_LAST,
    STAYING,
    STEPS,
    STREAM_STAGE,
    STRETCH,
    TRIPS,
    TURN,
    TURNED,
    TURNS,
    VARIANT,
    WAIT,
    WAITING,
    WINDOW,
    WRITE_CYCLES,
    WRITE_SERVER,
    WRITE_SLOTS,
    WRITE_WORDS,
    WRITES,
)
from sim.engine.cycle.log import note
from sim.engine.cycle.ready import missing_piece, slowest
from sim.engine.cycle.records import amounts_row, generate, home_at, is_home
from sim.engine.cycle.results import confirm_writes, hand_on, pass_record, release_tiles
from sim.engine.cycle.tables import at, at1, at3, at4, row, row3
from sim.engine.cycle.words import count_words
from sim.engine.jit import compiled


@compiled
def is_guarded_at(m, op, index, variant):
    """Whether an op skips this record: another item's, or none of the last iterations in which alone it runs."""
    if not is_home(m, m[KEEPS] + op, index):
        return True
    for loop in range(m[DEPTH]):
        if m[at(m, GUARD, op, loop)] == 1 and index[loop] != m[at(m, TRIPS, variant[loop], loop)] - 1:
            return True
    return False


@compiled
def has_turn(m, array, op, record):
    """Whether an op has work at the array's place in the order."""
    slot = record % m[WINDOW]
    if is_guarded_at(m, op, row(m, RECORD_INDEX, slot), row(m, RECORD_VARIANT, slot)):
        if m[at(m, ARRAY_STATE, array, REPEAT)] == 0:
            pass_record(m, op, record)
        return False
    repeat = m[at(m, ARRAY_STATE, array, REPEAT)] - m[at(m, OP_TABLE, op, INNER_LAG)]
    variant = m[at(m, RECORD_VARIANT, slot, m[at(m, OP_TABLE, op, DEPTH_OF)])]
    return 0 <= repeat < m[at3(m, AMOUNTS, variant, op, REPEATS)]


@compiled
def group_repeats(m, group, step):
    """Repetitions of a group in a step, until its last op is finished."""
    most = 0
    for op in range(m[at(m, GROUPS, group, 0)], m[at(m, GROUPS, group, 1)]):
        record = step - m[at(m, OP_TABLE, op, LAG)]
        if 0 <= record < m[RECORDS]:
            slot = record % m[WINDOW]
            variant = m[at(m, RECORD_VARIANT, slot, m[at(m, OP_TABLE, op, DEPTH_OF)])]
            most = max(most, m[at3(m, AMOUNTS, variant, op, REPEATS)] + m[at(m, OP_TABLE, op, INNER_LAG)])
    return most


@compiled
def repeats_of_round(m, group, step, repeats):
    """Repetitions of a group in which the innermost of its loops is gone through, if what they move tells rounds apart;
    else `repeats`, all of them.
    """
    for op in range(m[at(m, GROUPS, group, 0)], m[at(m, GROUPS, group, 1)]):
        record, tile = step - m[at(m, OP_TABLE, op, LAG)], m[at(m, OP_TABLE, op, STAY_FIRST)]
        if 0 <= record < m[RECORDS] and tile < m[at(m, OP_TABLE, op, STAY_LAST)]:
            variant = m[at(m, RECORD_VARIANT, record % m[WINDOW], m[at(m, OP_TABLE, op, DEPTH_OF)])]
            loops = m[at(m, STAYING, tile, GROUP_LOOPS)]
            if loops > 1:
                return max(1, m[at4(m, INNER, variant, tile, loops - 1, 1)])
    return repeats


@compiled
def note_turn(m, a, what, times):
    """Remember what an array has begun, if there are many of it. a: its state."""
    if times >= MANY:
        m[TURNS], a[TURNED] = 1, what


@compiled
def locate(m, array):
    """Move an array to its next op with work to do, or to its end."""
    a = row(m, ARRAY_STATE, array)
    a[STATE] = WAITING
    while True:
        step = m[at1(m, STEPS, array)]
        if step >= m[RECORDS] + m[MAX_LAG]:
            a[STATE] = FINISHED
            return
        generate(m, step)
        if a[POSITION] == 0 and slowest(m, array) >= 0:
            a[OP] = NO_OP
            return
        group = m[at(m, LANES, array, a[POSITION])]
        if group < 0:
            m[at1(m, STEPS, array)] += 1
            a[POSITION], a[REPEAT], a[MEMBER] = 0, 0, 0
            if array == 0:
                m[BOUNDARY] = 1
                m[FRONT] += 1
            continue
        op = m[at(m, GROUPS, group, 0)] + a[MEMBER]
        if op >= m[at(m, GROUPS, group, 1)]:
            a[MEMBER] = 0
            a[REPEAT] += 1
            repeats = group_repeats(m, group, step)
            if a[REPEAT] >= repeats:
                a[POSITION] += 1
                a[REPEAT] = 0
            else:
                is_round = a[REPEAT] % repeats_of_round(m, group, step, repeats) == 0
                note_turn(m, a, ANOTHER_ROUND if is_round else ANOTHER_REPEAT, repeats)
            continue
        record = step - m[at(m, OP_TABLE, op, LAG)]
        if 0 <= record < m[RECORDS] and has_turn(m, array, op, record):
            a[OP], a[RECORD] = op, record
            slot = record % m[WINDOW]
            repeat = a[REPEAT] - m[at(m, OP_TABLE, op, INNER_LAG)]
            a[VARIANT] = amounts_row(m, op, row(m, RECORD_INDEX, slot), row(m, RECORD_VARIANT, slot), repeat)
            return
        a[MEMBER] += 1


@compiled
def begin(m, array):
    """Start the op at an array's position."""
    a = row(m, ARRAY_STATE, array)
    op = a[OP]
    a[STATE], a[STAGE], a[FOLD], a[LEFT], a[SINCE] = RUNNING, IN_STAGE - 1, 0, 0, m[NOW]
    if m[at(m, OP_TABLE, op, WRITE_SERVER)] >= 0:
        entry = row3(m, WRITES, op, m[at(m, PER_OP, op, STARTED)] % WRITE_SLOTS)
        entry[0] = m[at3(m, AMOUNTS, a[VARIANT], op, WRITE_CYCLES)]
        entry[1] = a[RECORD]
        entry[2] = 1 if is_last_repeat(m, a) else 0
        entry[3] = m[at3(m, AMOUNTS, a[VARIANT], op, EARLY)]
        entry[4] = m[at3(m, AMOUNTS, a[VARIANT], op, WRITE_WORDS)]
    m[at(m, PER_OP, op, STARTED)] += 1
    count_words(m, op, a[VARIANT])
    shares, is_first = m[at(m, OP_TABLE, op, SHARES)], a[REPEAT] == m[at(m, OP_TABLE, op, INNER_LAG)]
    if (shares == IN_RECORD and not is_first) or (shares == NEXT_RECORD and not is_edge(m, op, a[RECORD], False)):
        # A fold's first word is only moved to its register, so the operator is free for the previous chain.
        hand_on(m, op, m[NOW] + 1 + m[at(m, OP_TABLE, op, LATENCY)], 1 if is_first else 0)


@compiled
def passes_chain_on(m, a):
    """Whether another repetition begins with the chain of this one."""
    shares = m[at(m, OP_TABLE, a[OP], SHARES)]
    if shares == ALONE:
        return False
    return not (is_last_repeat(m, a) and (shares == IN_RECORD or is_edge(m, a[OP], a[RECORD], True)))


@compiled
def is_edge(m, op, record, last):
    """Whether a record is the first, or the last, of an op's item until that comes again."""
    slot = record % m[WINDOW]
    for level in range(m[DEPTH] - 1, m[DEALT] - 1, -1):
        if home_at(m, m[KEEPS] + op, level) >= 0:
            return True
        trips = m[at(m, TRIPS, m[at(m, RECORD_VARIANT, slot, level)], level)]
        if m[at(m, RECORD_INDEX, slot, level)] != (trips - 1 if last else 0):
            return False
    turn = m[at(m, RECORD_INDEX, slot, m[DEPTH] + TURN)]
    return m[DEALT] == 0 or turn == (m[CORE_TURNS] - 1 if last else 0)


@compiled
def is_last_repeat(m, a):
    return a[REPEAT] - m[at(m, OP_TABLE, a[OP], INNER_LAG)] == m[at3(m, AMOUNTS, a[VARIANT], a[OP], REPEATS)] - 1


@compiled
def proceed(m, array):
    """Go on to the next stage that takes time; whether the array's op, or its stage, changed."""
    a = row(m, ARRAY_STATE, array)
    op = a[OP]
    amount = row3(m, AMOUNTS, a[VARIANT], op)
    if a[STAGE] == STREAM_STAGE:
        if m[at(m, PER_OP, op, READS_DONE)] < m[at(m, PER_OP, op, STARTED)]:
            return False
        finish(m, array)
        return True
    while a[LEFT] == 0:
        if a[STAGE] == IN_STAGE - 1 and a[FOLD] > 0:
            a[CAUSE] = missing_piece(m, array)
            if a[CAUSE] >= 0:
                return False
        a[STAGE] += 1
        if a[STAGE] == IN_STAGE:
            a[LEFT] = amount[LINK_IN]
        elif a[STAGE] == POINT_STAGE:
            a[LEFT] = amount[POINTS] * amount[CYCLES]
        elif a[STAGE] == OUT_STAGE:
            a[LEFT] = amount[LINK_OUT]
            if amount[CHAIN] == 1 and a[FOLD] + 1 == amount[FOLDS] and not passes_chain_on(m, a):
                a[LEFT] += 1
        elif a[FOLD] + 1 < amount[FOLDS]:
            a[FOLD] += 1
            a[STAGE] = IN_STAGE - 1
            note_turn(m, a, ANOTHER_FOLD, amount[FOLDS])
        elif (
            m[at(m, OP_TABLE, op, READ_SERVER)] >= 0
            and m[at(m, PER_OP, op, READS_DONE)] < m[at(m, PER_OP, op, STARTED)]
        ):
            return True  # waits in STREAM_STAGE
        else:
            finish(m, array)
            return True
    return True


@compiled
def finish(m, array):
    """The issue of an op is over: pass its result on, free what it used, find what comes next."""
    a = row(m, ARRAY_STATE, array)
    op, record = a[OP], a[RECORD]
    is_last = 1 if is_last_repeat(m, a) else 0
    note(m, OP_ROW, array, op, record, a[SINCE])
    m[at(m, PER_OP, op, ENDED)] += 1
    stretch, early = m[at3(m, AMOUNTS, a[VARIANT], op, STRETCH)], m[at3(m, AMOUNTS, a[VARIANT], op, EARLY)]
    m[at(m, PER_OP, op, BUSY)] -= stretch
    m[at(m, STALLS, array, PORT)] += stretch
    if is_last == 1:
        m[at(m, PER_OP, op, ISSUED)] = record + 1
        release_tiles(m, op, record, early)
    if m[at(m, OP_TABLE, op, WRITE_SERVER)] >= 0:
        confirm_writes(m, op)
    elif not passes_chain_on(m, a):
        hand_on(m, op, m[NOW] + m[at(m, OP_TABLE, op, LATENCY)] - early, is_last)
    a[MEMBER] += 1
    locate(m, array)


@compiled
def skip_wait(m, array):
    """A wait is over: on to the op after it."""
    assert m[at(m, OP_TABLE, m[at(m, ARRAY_STATE, array, OP)], KIND)] == WAIT
    m[at(m, PER_OP, m[at(m, ARRAY_STATE, array, OP)], ISSUED)] = m[at(m, ARRAY_STATE, array, RECORD)] + 1
    m[at(m, PER_OP, m[at(m, ARRAY_STATE, array, OP)], AVAILABLE)] = m[at(m, ARRAY_STATE, array, RECORD)] + 1
    m[at(m, ARRAY_STATE, array, MEMBER)] += 1
    locate(m, array)
