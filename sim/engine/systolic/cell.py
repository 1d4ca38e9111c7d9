"""One PE in one cycle: read operands, compute, keep the result, and record errors of the schedule.

A PE has one operator, occupied for as many cycles as the operation has slots, and a register file whose entries carry
the cycle from which they may be read. Nothing waits: an impossible schedule is recorded as a hazard, and the run
continues.
"""

import numpy as np

from sim.engine.jit import compiled
from sim.engine.systolic.columns import (
    ADD,
    ALONG,
    BUSY_UNTIL,
    COUNTS,
    DIVIDE,
    EXPONENTIAL,
    FIRINGS,
    FIRST_FIRED,
    HAZARDS,
    LAST_DONE,
    LIVE,
    MACC,
    MAXIMUM,
    MULTIPLY,
    NEVER,
    NORTH,
    NOTHING,
    OPERATOR_TAKEN,
    PEAK,
    REGISTER_EARLY,
    REGISTER_LOST,
    STEP_BITS,
    STEP_MASK,
    SUBTRACT,
    SUBTRACT_EXPONENTIAL,
    WEST,
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
    """Count a hazard in `log: i8[row, 5]`; the location of the first one is kept. now: Now."""
    if log[hazard, 0] == 0:
        log[hazard, 1] = now.cycle
        log[hazard, 2] = now.row
        log[hazard, 3] = now.col
        log[hazard, 4] = now.token >> STEP_BITS
    log[hazard, 0] += 1


@compiled
def operand(source, link, now, values, file, log):
    """Value of an operand: of the token that came down `link`, from the west or along, or of a register.

    values: f8[link, row, col], the last link but one is from the west, the last along the 1D array; file:
    f8[(value, cycle from which it may be read, NEVER: empty), register, row, col].
    """
    if source == NORTH:
        return values[link, now.row, now.col]
    if source == WEST:
        return values[-2, now.row, now.col]
    if source == ALONG:
        return values[-1, now.row, now.col]
    if source == NOTHING:
        return 0.0
    if file[1, source, now.row, now.col] > now.cycle:
        note(log, REGISTER_EARLY, now)
    return file[0, source, now.row, now.col]


@compiled
def release(tasks, task, given_up, now, file, pes):
    """Give up the registers of the operands in `given_up` (bits); see `operand` and `fire` for the arrays."""
    row, col = now.row, now.col
    for j, source in enumerate((tasks[task].a, tasks[task].b, tasks[task].c)):
        if given_up >> j & 1 and source >= 0 and file[1, source, row, col] != NEVER:
            file[1, source, row, col] = NEVER
            pes[LIVE, row, col] -= 1


@compiled
def keep(tasks, now, result, file, pes, log):
    """Write a result to its register; overwriting a value that had not been given up is recorded as a hazard."""
    token = now.token
    task, row, col = token >> STEP_BITS, now.row, now.col
    to = tasks[task].to
    is_fresh = tasks[task].fresh == 1 and (token & STEP_MASK) == 0
    if file[1, to, row, col] == NEVER:
        pes[LIVE, row, col] += 1
        pes[PEAK, row, col] = max(pes[PEAK, row, col], pes[LIVE, row, col])
    elif to != tasks[task].a and to != tasks[task].b and (to != tasks[task].c or is_fresh):
        note(log, REGISTER_LOST, now)
    file[0, to, row, col] = result
    file[1, to, row, col] = now.cycle + max(tasks[task].slots, 1)


@compiled
def fire(tasks, now, link, values, file, pes, log):
    """Run one step of a task in one PE and give its result.

    tasks: ElementTask[task]; now: Now; pes: i8[column, row, col]; log: i8[row, 5], hazards, then tasks; values and file
    as in `operand`.
    """
    token = now.token
    task, step = token >> STEP_BITS, token & STEP_MASK
    cycle, row, col = now.cycle, now.row, now.col
    a = operand(tasks[task].a, link, now, values, file, log)
    b = operand(tasks[task].b, link, now, values, file, log)
    c = 0.0
    if tasks[task].fresh == 0 or step > 0:
        c = operand(tasks[task].c, link, now, values, file, log)
    result = compute(tasks[task].operator, a, b, c)
    slots = tasks[task].slots
    if slots > 0:
        if pes[BUSY_UNTIL, row, col] > cycle:
            note(log, OPERATOR_TAKEN, now)
        pes[BUSY_UNTIL, row, col] = max(pes[BUSY_UNTIL, row, col], cycle) + slots
    pes[COUNTS + tasks[task].operator, row, col] += 1
    given_up = tasks[task].uses_up
    if step == tasks[task].steps - 1:
        given_up |= tasks[task].frees
    if given_up != 0:
        release(tasks, task, given_up, now, file, pes)
    if tasks[task].to >= 0:
        keep(tasks, now, result, file, pes, log)
    span = HAZARDS + task
    if log[span, FIRINGS] == 0:
        log[span, FIRST_FIRED] = cycle
    log[span, FIRINGS] += 1
    log[span, LAST_DONE] = max(log[span, LAST_DONE], cycle + max(slots, 1) - 1)
    return result
