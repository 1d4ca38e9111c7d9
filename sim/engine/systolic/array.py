"""The PE-level engine: a rectangular array, cycle by cycle, with values in the PEs and on the links.

A link holds one token: a value and the tag of the task and step it belongs to. Tokens enter from the sides as the
streams specify, and move one link per cycle, south or east, without ever waiting. A task fires in a PE when its
operands have arrived. Tokens leaving the bottom row enter the 1D array below it (row `rows` of every table) in the next
cycle, or leave. A link along the 1D array carries operands or partial results from its first PE to its last.

Because nothing waits, a PE may write its outgoing links in place as long as the PEs at their ends have already been
processed: rows are processed from the bottom up, columns from right to left.

A token's cycle is the one in which it is used: an operand entering in cycle t is used by the first PE in cycle t and by
its neighbour in t + 1, and a result that the bottom PE makes in cycle t has left at the end of cycle t.
"""

import numpy as np

from sim.engine.jit import compiled
from sim.engine.systolic.cell import fire, note
from sim.engine.systolic.columns import (
    BELOW,
    EMPTY,
    FIRST_LEFT,
    HAZARDS,
    LAST_LEFT,
    LEFT,
    LINK_TAKEN,
    NEEDS_ALONG,
    NEEDS_NORTH,
    NEEDS_WEST,
    NEVER,
    OPERAND_MISSING,
    ROW_OF_STEP,
    SEND_OPERAND,
    SEND_RESULT,
    SIDEWAYS,
    STEP_BITS,
    STEP_MASK,
    WORD_EARLY,
)
from sim.engine.systolic.records import NOW
from sim.engine.systolic.row import flow_row


@compiled
def put(values, tags, row, col, link, value, tag):
    """Put a token on the link that leads into a PE; whether another one already wants it in this cycle.

    values: f8[link, row, col] and tags: i8[link, row, col], the link that leads into the PE; the last link but one is
    the one from the west, the last the one along the 1D array. tags[0, row, -1] counts the tokens in a row.
    """
    taken = tags[link, row, col] != EMPTY
    if not taken:
        tags[0, row, -1] += 1
    values[link, row, col] = value
    tags[link, row, col] = tag
    return taken


@compiled
def inject(stream, now, tags, values, memory, stamps, log):
    """Let one stream's words of this cycle enter; False once it has ended.

    stream: StreamRecord; now: Now; memory: f8[word]; stamps: i8[word], cycle from which a word may enter, NEVER:
    nothing wrote it.
    """
    since = now.cycle - stream.start
    for lane in range(stream.lanes):
        age = since - lane * stream.skew
        if age < 0 or age % stream.stride != 0 or age // stream.stride >= stream.steps:
            continue
        step = age // stream.stride
        word = stream.first_word + step * stream.step_words + lane * stream.lane_words
        row, col, link = 0, lane, stream.link
        if stream.side == LEFT:
            row, col, link = lane, 0, tags.shape[0] - 2
        elif stream.side == BELOW:
            row, link = tags.shape[1] - 2, tags.shape[0] - 2
        elif stream.side == SIDEWAYS:
            row, link = tags.shape[1] - 2, tags.shape[0] - 1
        tag = stream.task << STEP_BITS | step
        now.row, now.col, now.token = row, col, tag
        if stamps[word] > now.cycle:
            note(log, WORD_EARLY, now)
        if put(values, tags, row, col, link, memory[word], tag):
            note(log, LINK_TAKEN, now)
    return since < (stream.lanes - 1) * stream.skew + (stream.steps - 1) * stream.stride


@compiled
def fires_here(tasks, tag, row, col, rows):
    """Whether a token's task fires in this PE at its step; in the 1D array it always does."""
    task = tag >> STEP_BITS
    if row == rows:
        return True
    if row >= tasks[task].rows or col >= tasks[task].cols:
        return False
    if tasks[task].at == 0:
        return True
    step = tag & STEP_MASK
    return row == (step if tasks[task].at == ROW_OF_STEP else tasks[task].rows - 1 - step)


@compiled
def send_south(tasks, now, link, value, tags, values, log):
    """Put a token on the link below: to the next row, from the bottom row to the 1D array, from there out."""
    tag, row, col, rows = now.token, now.row, now.col, tags.shape[1] - 2
    below = row + 1
    if row == rows - 1:
        then = tasks[tag >> STEP_BITS].then
        if then >= 0:
            tag = then << STEP_BITS | (tag & STEP_MASK)
        else:
            below = rows + 1
    elif row == rows:
        link = tags.shape[0] - 2  # the way out of the 1D array is its own
    if put(values, tags, below, col, link, value, tag):
        note(log, LINK_TAKEN, now)


@compiled
def act(tasks, now, link, tags, values, file, pes, log):
    """Handle the token that came into the PE of `now` by a link (see `put`); arrays as in `fire`."""
    tag, row, col, west = now.token, now.row, now.col, tags.shape[0] - 2
    task = tag >> STEP_BITS
    if not fires_here(tasks, tag, row, col, tags.shape[1] - 2):
        if link < west:  # not this PE's: it passes through
            send_south(tasks, now, link, values[link, row, col], tags, values, log)
        return
    result = fire(tasks, now, link, values, file, pes, log)
    south = tasks[task].south
    if south == SEND_RESULT:
        send_south(tasks, now, link if link < west else 0, result, tags, values, log)
    elif south == SEND_OPERAND and row + 1 < tasks[task].rows:
        send_south(tasks, now, link, values[link, row, col], tags, values, log)
    if tasks[task].passes == SEND_RESULT:
        send_along(tasks, now, result, tags, values, log)


@compiled
def send_along(tasks, now, value, tags, values, log):
    """Put a token on the link to the next PE of the 1D array; from the last one of its tile a result leaves."""
    tag, row, col, link = now.token, now.row, now.col, tags.shape[0] - 1
    task, leaves = tag >> STEP_BITS, col + 1 >= tasks[tag >> STEP_BITS].cols
    if leaves and tasks[task].passes != SEND_RESULT:
        return
    if put(values, tags, row + 1 if leaves else row, col if leaves else col + 1, link, value, tag):
        note(log, LINK_TAKEN, now)


@compiled
def take_along(tasks, now, tags, values, file, pes, log):
    """Handle the token on the link along the 1D array; its tag where it waits for a partner from elsewhere, or
    EMPTY. Arrays as in `fire`.
    """
    row, col, link = now.row, now.col, tags.shape[0] - 1
    tag = tags[link, row, col]
    tags[link, row, col] = EMPTY
    tags[0, row, -1] -= 1
    task = tag >> STEP_BITS
    now.token = tag
    if tasks[task].passes == SEND_OPERAND:
        send_along(tasks, now, values[link, row, col], tags, values, log)
    if tasks[task].needs != NEEDS_ALONG:
        return tag
    act(tasks, now, link, tags, values, file, pes, log)
    return EMPTY


@compiled
def visit(tasks, now, tags, values, file, pes, log):
    """Everything that happens in one PE in one cycle; arrays as in `fire`."""
    row, col, last = now.row, now.col, tags.shape[0] - 2
    along = EMPTY
    if row == tags.shape[1] - 2 and tags[last + 1, row, col] != EMPTY:
        along = take_along(tasks, now, tags, values, file, pes, log)
    west = tags[last, row, col]
    waits = west != EMPTY
    if waits:
        tags[last, row, col] = EMPTY
        tags[0, row, -1] -= 1
        task = west >> STEP_BITS
        if tasks[task].east == 1 and col + 1 < tasks[task].cols:
            put(values, tags, row, col + 1, last, values[last, row, col], west)
        waits = row == tags.shape[1] - 2 or row < tasks[task].rows
    for link in range(last):
        tag = tags[link, row, col]
        if tag == EMPTY:
            continue
        tags[link, row, col] = EMPTY
        tags[0, row, -1] -= 1
        now.token = tag
        needs = tasks[tag >> STEP_BITS].needs
        if needs & NEEDS_WEST and fires_here(tasks, tag, row, col, tags.shape[1] - 2):
            if tag == west:
                waits = False
            else:
                note(log, OPERAND_MISSING, now)
        act(tasks, now, link, tags, values, file, pes, log)
    if waits:
        now.token = west
        needs = tasks[west >> STEP_BITS].needs
        if needs & NEEDS_NORTH or (needs & NEEDS_ALONG and along != west):
            note(log, OPERAND_MISSING, now)
        else:
            along = EMPTY if along == west else along
            act(tasks, now, last, tags, values, file, pes, log)
    if along != EMPTY:
        now.token = along
        note(log, OPERAND_MISSING, now)


@compiled
def visit_row(tasks, now, row, tags, values, file, pes, log):
    """Everything that happens in one row in one cycle, from right to left; arrays as in `fire`."""
    now.row = row
    is_common = tags.shape[0] == 3 and row < tags.shape[1] - 3
    col = tags.shape[2] - 2
    while col >= 0:
        if is_common:
            col = flow_row(tasks, now, col, tags, values, file, pes, log)
        if col >= 0:
            now.col = col
            visit(tasks, now, tags, values, file, pes, log)
            col -= 1


@compiled
def collect(tasks, now, tags, values, memory, stamps, log):
    """Write tokens leaving in this cycle to memory; stamps hold the latency until re-entry (see `run_array`)."""
    row = tags.shape[1] - 1
    for col in range(tags.shape[2] - 1):
        for link in range(tags.shape[0]):
            tag = tags[link, row, col]
            if tag == EMPTY:
                continue
            tags[link, row, col] = EMPTY
            task = tag >> STEP_BITS
            if tasks[task].out_base >= 0:
                lane = 0 if link == tags.shape[0] - 1 else col  # what went along has one word for all lanes
                word = tasks[task].out_base + (tag & STEP_MASK) * tasks[task].out_step + lane * tasks[task].out_lane
                memory[word] = values[link, row, col]
                stamps[word] = now.cycle + 1 + stamps[-1]
            if log[HAZARDS + task, FIRST_LEFT] < 0:
                log[HAZARDS + task, FIRST_LEFT] = now.cycle
            log[HAZARDS + task, LAST_LEFT] = now.cycle
    tags[0, row, -1] = 0


@compiled
def run_array(links, registers, tasks, streams, memory, stamps, pes, log):
    """Run all streams to the end of the last token.

    links: down a column; registers: of a PE; tasks: ElementTask[task]; streams: StreamRecord[stream], by start; memory:
    f8[word], read and written; stamps: i8[word + 1], cycle from which a word may enter, its last entry the cycles from
    a word's leaving to its entering again; pes: i8[column, row, col], filled, the last row is the 1D array; log:
    i8[hazard + task, 5], filled.
    """
    rows, cols = pes.shape[1] - 1, pes.shape[2]
    tags = np.full((links + 2, rows + 2, cols + 1), EMPTY)
    tags[0, :, cols] = 0
    values = np.zeros((links + 2, rows + 2, cols))
    file = np.zeros((2, registers, rows + 1, cols))
    file[1] = NEVER
    alive = np.empty(streams.shape[0], np.int64)
    living, begun = 0, 0
    now = np.zeros(1, NOW)[0]
    in_flight = 0
    while begun < streams.shape[0] or living > 0 or in_flight > 0:
        if living == 0 and in_flight == 0:
            now.cycle = streams[begun].start
        while begun < streams.shape[0] and streams[begun].start <= now.cycle:
            alive[living] = begun
            living += 1
            begun += 1
        kept = 0
        for j in range(living):
            if inject(streams[alive[j]], now, tags, values, memory, stamps, log):
                alive[kept] = alive[j]
                kept += 1
        living = kept
        for row in range(rows, -1, -1):
            if tags[0, row, cols] > 0:
                visit_row(tasks, now, row, tags, values, file, pes, log)
        if tags[0, rows + 1, cols] > 0:
            collect(tasks, now, tags, values, memory, stamps, log)
        in_flight = 0
        for row in range(rows + 1):
            in_flight += tags[0, row, cols]
        now.cycle += 1
