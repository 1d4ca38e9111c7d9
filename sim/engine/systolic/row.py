"""The common case in one loop: PEs of a row that run one more step of a product without complications.

The cost of a call is dominated by passing its arrays, so the loop over columns is a single function. Anything but the
common case is left to the general path of `array.visit`; both give the same result, which a test checks.
"""

from sim.engine.jit import compiled
from sim.engine.systolic.columns import (
    BUSY_UNTIL,
    COUNTS,
    EMPTY,
    EVERY_ROW,
    FIRINGS,
    HAZARDS,
    LAST_DONE,
    MACC,
    NORTH,
    ROW_FROM_BOTTOM,
    ROW_OF_STEP,
    SEND_OPERAND,
    SEND_RESULT,
    STEP_BITS,
    STEP_MASK,
    WEST,
)


@compiled
def is_product(tasks, task):
    """Whether a task is c + west * b, of which one comes from the north and the other is a register that stays."""
    b, c, to, south = tasks[task].b, tasks[task].c, tasks[task].to, tasks[task].south
    if tasks[task].operator != MACC or tasks[task].a != WEST or tasks[task].east == 0:
        return False
    if tasks[task].at != EVERY_ROW or tasks[task].uses_up != 0:
        return False
    if b == NORTH:
        return c >= 0 and to == c and south == SEND_OPERAND
    return b >= 0 and c == NORTH and to < 0 and south == SEND_RESULT


@compiled
def passes(tasks, tag, row, col):
    """Whether a token from the north goes through a PE without its task firing there."""
    task, step = tag >> STEP_BITS, tag & STEP_MASK
    at, rows = tasks[task].at, tasks[task].rows
    if row >= rows or col >= tasks[task].cols:
        return True
    return (at == ROW_OF_STEP and row != step) or (at == ROW_FROM_BOTTOM and row != rows - 1 - step)


@compiled
def flow_row(tasks, now, first, tags, values, file, pes, log):
    """Run the PEs of a row from column `first` leftwards; the column that needs the general path, or -1 at the end.

    Arrays as in `cell.fire`; tags: i8[link, row, col], tags[0, row, -1] counts the row's tokens. The row is not the
    bottom one, and columns have one link.
    """
    cycle, row = now.cycle, now.row
    down, right, below = tags[0, row], tags[1, row], tags[0, row + 1]
    down_values, right_values, below_values = values[0, row], values[1, row], values[0, row + 1]
    busy_until, counts = pes[BUSY_UNTIL, row], pes[COUNTS + MACC, row]
    known, steps, cols, slots, register = -1, 0, 0, 0, 0
    fits, in_place = False, False
    passed, ended, stop = 0, 0, -1
    # The link below a PE is empty here: only the PE itself writes it, and the row below has been looked at.
    for col in range(first, -1, -1):
        tag, west = down[col], right[col]
        if tag == EMPTY and west == EMPTY:
            continue
        if west == EMPTY and passes(tasks, tag, row, col):
            down[col], below[col], below_values[col] = EMPTY, tag, down_values[col]
            passed += 1
            continue
        task, step = tag >> STEP_BITS, tag & STEP_MASK
        if tag == west and task != known:
            known, steps, cols, slots = task, tasks[task].steps, tasks[task].cols, tasks[task].slots
            in_place = tasks[task].b == NORTH
            register = max(tasks[task].c if in_place else tasks[task].b, 0)
            fits = is_product(tasks, task) and row + 1 < tasks[task].rows
        clear = tag == west and fits and 0 < step < steps - 1 and col < cols
        if not clear or busy_until[col] > cycle or file[1, register, row, col] > cycle:
            stop = col
            break
        north, moving = down_values[col], right_values[col]
        if in_place:
            file[0, register, row, col] += moving * north
            file[1, register, row, col] = cycle + slots
        else:
            north = north + moving * file[0, register, row, col]
        busy_until[col] = cycle + slots
        counts[col] += 1
        log[HAZARDS + task, FIRINGS] += 1
        log[HAZARDS + task, LAST_DONE] = cycle + slots - 1
        down[col], right[col] = EMPTY, EMPTY
        below[col], below_values[col] = tag, north
        passed += 1
        if col + 1 < cols:
            right[col + 1], right_values[col + 1] = tag, moving
        ended += 1 if col + 1 >= cols else 0
    # Every token from the north went to the row below; one from the west stays in the row, unless it came to its end.
    tags[0, row, -1] -= passed + ended
    tags[0, row + 1, -1] += passed
    return stop
