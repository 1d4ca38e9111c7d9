"""Readiness: the conditions under which an array may issue an op and a tile may be replaced.

Each returns the cause of the wait, so that stalls are attributed where they are decided.
"""

from sim.engine.cycle.columns import (
    ACROSS,
    ARRAY_STATE,
    ARRAYS,
    AVAILABLE,
    BARRIER,
    BUFFER,
    CARRIED,
    CAUSE,
    COPIES,
    DEP_FIRST,
    DEP_KIND,
    DEP_LAST,
    DEPENDENCY,
    DEPS,
    DRAIN,
    DRAINED,
    DRAINS,
    ENDED,
    ENDED_AVAILABLE,
    FILL_CAUSE,
    FILLED,
    FINISHED,
    FIRST_USER,
    FOLD,
    GROUP,
    IN_PLACE,
    INSIDE,
    ISSUED,
    KEEP,
    KEEP_TABLE,
    KEEPS,
    KIND,
    LAST_USER,
    LOOP,
    MAX_LAG,
    NEEDS_FILL,
    NEEDS_ROOM,
    NO_OP,
    OFF_CHIP,
    OP,
    OP_TABLE,
    PER_KEEP,
    PER_OP,
    PER_PHASE,
    PHASE,
    PIECE_STEP,
    PIECES,
    PIECES_ARRIVED,
    PRODUCER,
    RECORD,
    RECORD_INDEX,
    RECORD_ORDINAL,
    RECORD_VARIANT,
    RECORDS_BELOW,
    RELEASED,
    RUNNING,
    SKEW,
    STAGE_FOLDS,
    STAGE_STEP,
    STAGES,
    STARTED,
    STATE,
    STEPS,
    USE_FIRST,
    USE_LAST,
    USES,
    VARIANT,
    WAIT,
    WINDOW,
    WRITE_SERVER,
    WRITES_DONE,
)
from sim.engine.cycle.phases import others_have_left
from sim.engine.cycle.tables import at, at1, row, row3
from sim.engine.jit import compiled


@compiled
def has_room(m, keep, ordinal, spared):
    """Whether the tiles that tile `ordinal` replaces have been used up and, if necessary, drained; `spared` places stay
    free.
    """
    before = ordinal + 1 - max(1, m[at(m, KEEP_TABLE, keep, COPIES)] - spared)
    if before <= 0:
        return True
    group = m[at(m, KEEP_TABLE, keep, GROUP)]
    for other in range(m[KEEPS]):
        if other != keep and (group < 0 or m[at(m, KEEP_TABLE, other, GROUP)] != group):
            continue
        for user in range(m[at(m, KEEP_TABLE, other, FIRST_USER)], m[at(m, KEEP_TABLE, other, LAST_USER)]):
            if m[at1(m, RELEASED, user)] < before:
                return False
        if m[at(m, KEEP_TABLE, other, DRAINS)] == 1 and m[at(m, PER_KEEP, other, DRAINED)] < before:
            return False
    return True


@compiled
def slowest(m, array):
    """Array behind which another one is as many steps as may be: records further back are forgotten; -1: none."""
    for other in range(m[ARRAYS]):
        if m[at(m, ARRAY_STATE, other, STATE)] != FINISHED and (
            m[at1(m, STEPS, array)] - m[at1(m, STEPS, other)] > m[SKEW] + m[MAX_LAG]
        ):
            return other
    return -1


@compiled
def held_back(m, array):
    """Array that another one must wait for: at a barrier, or because it is too far behind; -1: none."""
    step, phase = m[at1(m, STEPS, array)], m[at(m, OP_TABLE, m[at(m, ARRAY_STATE, array, OP)], PHASE)]
    for other in range(m[ARRAYS]):
        if other == array or m[at(m, ARRAY_STATE, other, STATE)] == FINISHED:
            continue
        if m[BARRIER] == 1:
            its_op = max(0, m[at(m, ARRAY_STATE, other, OP)])
            its_step, its_phase = m[at1(m, STEPS, other)], m[at(m, OP_TABLE, its_op, PHASE)]
            if its_step < step or (its_step == step and its_phase < phase):
                return other
        elif step - m[at1(m, STEPS, other)] > m[SKEW]:
            return other
    return -1


@compiled
def missing_result(m, op, record, slot):
    """Cause of the wait for the results that an op reads, -1: they are available."""
    for n in range(m[at(m, OP_TABLE, op, DEP_FIRST)], m[at(m, OP_TABLE, op, DEP_LAST)]):
        producer, kind, loop = m[at(m, DEPS, n, PRODUCER)], m[at(m, DEPS, n, DEP_KIND)], m[at(m, DEPS, n, LOOP)]
        if kind == ACROSS:
            # Its item is over, since arrays go from item to item together; all that may be missing is on its way.
            if m[at(m, PER_OP, producer, AVAILABLE)] < m[at(m, PER_OP, producer, ISSUED)]:
                return DRAIN
            continue
        if kind == INSIDE:
            wanted, there, made = (
                m[at(m, PER_OP, op, STARTED)],
                m[at(m, PER_OP, producer, ENDED_AVAILABLE)],
                m[at(m, PER_OP, producer, ENDED)],
            )
        else:
            distance = 0
            if kind == CARRIED:
                if m[at(m, RECORD_INDEX, slot, loop)] == 0:
                    continue
                distance = m[at(m, RECORDS_BELOW, m[at(m, RECORD_VARIANT, slot, loop + 1)], loop + 1)]
            wanted, there, made = (
                record - distance,
                m[at(m, PER_OP, producer, AVAILABLE)],
                m[at(m, PER_OP, producer, ISSUED)],
            )
        if m[at(m, DEPS, n, IN_PLACE)] == 1:
            there = made
        if there <= wanted:
            return DRAIN if made > wanted else DEPENDENCY
    return -1


@compiled
def missing_tile(m, op, slot, amounts):
    """Cause of the wait for the kept tiles that an op touches, -1: they are available. amounts: its row of AMOUNTS."""
    for n in range(m[at(m, OP_TABLE, op, USE_FIRST)], m[at(m, OP_TABLE, op, USE_LAST)]):
        keep = m[at(m, USES, n, KEEP)]
        ordinal = m[at(m, RECORD_ORDINAL, slot, keep)]
        lacks = m[at(m, USES, n, NEEDS_FILL)] == 1 and m[at(m, PER_KEEP, keep, FILLED)] <= ordinal
        if lacks and (m[at(m, PER_KEEP, keep, FILLED)] < ordinal or not has_pieces(m, n, amounts, 0)):
            return m[at(m, KEEP_TABLE, keep, FILL_CAUSE)]
        if m[at(m, USES, n, NEEDS_ROOM)] == 1 and not has_room(m, keep, ordinal, 0):
            return BUFFER
    return -1


@compiled
def has_pieces(m, use, amounts, fold):
    """Whether as much of the tile that is being filled has arrived as a fold of an op needs."""
    stage, keep = row3(m, STAGES, amounts, use), m[at(m, USES, use, KEEP)]
    if stage[STAGE_FOLDS] == 0:
        return False
    needed = -(-(fold // stage[STAGE_FOLDS] + 1) * stage[STAGE_STEP] // stage[PIECE_STEP])
    return m[at(m, PIECES, keep, PIECES_ARRIVED)] >= needed


@compiled
def missing_piece(m, array):
    """Cause of the wait for pieces that the next fold of a running op needs, -1: they have arrived."""
    op, slot = m[at(m, ARRAY_STATE, array, OP)], m[at(m, ARRAY_STATE, array, RECORD)] % m[WINDOW]
    amounts, fold = m[at(m, ARRAY_STATE, array, VARIANT)], m[at(m, ARRAY_STATE, array, FOLD)]
    for n in range(m[at(m, OP_TABLE, op, USE_FIRST)], m[at(m, OP_TABLE, op, USE_LAST)]):
        keep = m[at(m, USES, n, KEEP)]
        if (
            m[at(m, USES, n, NEEDS_FILL)] == 0
            or m[at(m, PER_KEEP, keep, FILLED)] > m[at(m, RECORD_ORDINAL, slot, keep)]
        ):
            continue
        if not has_pieces(m, n, amounts, fold):
            return m[at(m, KEEP_TABLE, keep, FILL_CAUSE)]
    return -1


@compiled
def obstacle(m, array):
    """Cause of an array's wait before its next op; -1: it may issue; -2 - other: it waits for another array."""
    op, record = m[at(m, ARRAY_STATE, array, OP)], m[at(m, ARRAY_STATE, array, RECORD)]
    other = slowest(m, array) if op == NO_OP else held_back(m, array)
    if other >= 0:
        return -2 - other
    if op == NO_OP:
        return -1
    slot = record % m[WINDOW]
    if m[PER_PHASE] == 1 and not others_have_left(m, row(m, RECORD_INDEX, slot)):
        return OFF_CHIP
    cause = missing_result(m, op, record, slot)
    if cause >= 0:
        return DRAIN if m[at(m, OP_TABLE, op, KIND)] == WAIT else cause
    cause = missing_tile(m, op, slot, m[at(m, ARRAY_STATE, array, VARIANT)])
    if cause >= 0:
        return cause
    if (
        m[at(m, OP_TABLE, op, WRITE_SERVER)] >= 0
        and m[at(m, PER_OP, op, STARTED)] - m[at(m, PER_OP, op, WRITES_DONE)] >= 2
    ):
        return OFF_CHIP
    return -1


@compiled
def cause_of(m, array):
    """The cause of a waiting array's stall: its own, or that of the array it waits for."""
    cause = m[at(m, ARRAY_STATE, array, CAUSE)]
    while cause <= -2:
        other = -2 - cause
        if m[at(m, ARRAY_STATE, other, STATE)] == RUNNING:
            return DEPENDENCY
        cause = m[at(m, ARRAY_STATE, other, CAUSE)]
    return cause
