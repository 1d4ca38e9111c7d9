"""One PE in one cycle: read operands, compute, keep the result, and note what the schedule got wrong.

A PE has one operator, taken for as many cycles as the operation has slots, and a register file whose
entries carry the cycle from which they may be read. Nothing waits: a schedule that asks for the impossible
is noted, and the run goes on.
"""

import numpy as np

from sim.engine.jit import compiled
from sim.engine.systolic.columns import (
    ADD,
    ALONG,
    BUSY_UNTIL,
    COL,
    COUNTS,
    CYCLE,
    DIVIDE,
    EXPONENTIAL,
    FIRINGS,
    FIRST_FIRED,
    FREES,
    FRESH,
    HAZARDS,
    LAST_DONE,
    LIVE,
    MACC,
    MAXIMUM,
    MULTIPLY,
    NEVER,
    NORTH,
    NOTHING,
    OPERATOR,
    OPERATOR_TAKEN,
    PEAK,
    REGISTER_EARLY,
    REGISTER_LOST,
    ROW,
    SLOTS,
    STEP_BITS,
    STEP_MASK,
    STEPS,
    SUBTRACT,
    SUBTRACT_EXPONENTIAL,
    TO,
    TOKEN,
    USES_UP,
    WEST,
    A,
    B,
    C,
)


@compiled
def compute(operator, a, b, c):
    """The operator's value; macc is c + a*b, rounded after the product and after the sum."""
    if operator == MACC:
        return c + a * b
    if operator == MULTIPLY:
        return a * b
    if operator == ADD:
        return a + b
    if operator == SUBTRACT:
        return a - b
    if operator == MAXIMUM:
        return max(a, b)
    if operator == DIVIDE:
        return a / b
    if operator == EXPONENTIAL:
        return np.exp(a)
    if operator == SUBTRACT_EXPONENTIAL:
        return np.exp(a - b)
    return a


@compiled
def note(log, hazard, now):
    """Count a hazard in `log: i8[row, 5]`; the first one's place is kept. now: i8[(cycle, row, col, tag)]."""
    if log[hazard, 0] == 0:
        log[hazard, 1] = now[CYCLE]
        log[hazard, 2] = now[ROW]
        log[hazard, 3] = now[COL]
        log[hazard, 4] = now[TOKEN] >> STEP_BITS
    log[hazard, 0] += 1


@compiled
def operand(source, link, now, values, file, log):
    """Value of an operand: of the token that came down `link`, from the west or along, or of a register.

    values: f8[link, row, col], the last link but one is from the west, the last along the 1D array; file:
    f8[(value, cycle from which it may be read, NEVER: empty), register, row, col].
    """
    if source == NORTH:
        return values[link, now[ROW], now[COL]]
    if source == WEST:
        return values[-2, now[ROW], now[COL]]
    if source == ALONG:
        return values[-1, now[ROW], now[COL]]
    if source == NOTHING:
        return 0.0
    if file[1, source, now[ROW], now[COL]] > now[CYCLE]:
        note(log, REGISTER_EARLY, now)
    return file[0, source, now[ROW], now[COL]]


@compiled
def release(tasks, task, given_up, now, file, pes):
    """Give up the registers of the operands in `given_up` (bits); see `operand` and `fire` for the arrays."""
    row, col = now[ROW], now[COL]
    for j in range(3):
        source = tasks[task, A + j]
        if given_up >> j & 1 and source >= 0 and file[1, source, row, col] != NEVER:
            file[1, source, row, col] = NEVER
            pes[LIVE, row, col] -= 1


@compiled
def keep(tasks, now, result, file, pes, log):
    """Write a result to its register; a value that was there and had not been given up is lost, and noted."""
    token = now[TOKEN]
    task, row, col = token >> STEP_BITS, now[ROW], now[COL]
    to = tasks[task, TO]
    is_fresh = tasks[task, FRESH] == 1 and (token & STEP_MASK) == 0
    if file[1, to, row, col] == NEVER:
        pes[LIVE, row, col] += 1
        pes[PEAK, row, col] = max(pes[PEAK, row, col], pes[LIVE, row, col])
    elif to != tasks[task, A] and to != tasks[task, B] and (to != tasks[task, C] or is_fresh):
        note(log, REGISTER_LOST, now)
    file[0, to, row, col] = result
    file[1, to, row, col] = now[CYCLE] + max(tasks[task, SLOTS], 1)


@compiled
def fire(tasks, now, link, values, file, pes, log):
    """Run one step of a task in one PE and give its result.

    tasks: i8[task, column]; now: i8[(cycle, row, col, tag)]; pes: i8[column, row, col]; log: i8[row, 5],
    hazards, then tasks; values and file as in `operand`.
    """
    token = now[TOKEN]
    task, step = token >> STEP_BITS, token & STEP_MASK
    cycle, row, col = now[CYCLE], now[ROW], now[COL]
    a = operand(tasks[task, A], link, now, values, file, log)
    b = operand(tasks[task, B], link, now, values, file, log)
    c = 0.0
    if tasks[task, FRESH] == 0 or step > 0:
        c = operand(tasks[task, C], link, now, values, file, log)
    result = compute(tasks[task, OPERATOR], a, b, c)
    slots = tasks[task, SLOTS]
    if slots > 0:
        if pes[BUSY_UNTIL, row, col] > cycle:
            note(log, OPERATOR_TAKEN, now)
        pes[BUSY_UNTIL, row, col] = max(pes[BUSY_UNTIL, row, col], cycle) + slots
    pes[COUNTS + tasks[task, OPERATOR], row, col] += 1
    given_up = tasks[task, USES_UP]
    if step == tasks[task, STEPS] - 1:
        given_up |= tasks[task, FREES]
    if given_up != 0:
        release(tasks, task, given_up, now, file, pes)
    if tasks[task, TO] >= 0:
        keep(tasks, now, result, file, pes, log)
    span = HAZARDS + task
    if log[span, FIRINGS] == 0:
        log[span, FIRST_FIRED] = cycle
    log[span, FIRINGS] += 1
    log[span, LAST_DONE] = max(log[span, LAST_DONE], cycle + max(slots, 1) - 1)
    return result
