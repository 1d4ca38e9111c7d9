"""What the values of a modulo schedule hold, and the stages that hold least."""

import numpy as np

from sim.engine.binding.columns import (
    BEST_STAGES,
    BEST_WORDS,
    CONSUMER,
    FOUND,
    INTERVAL,
    MAKER,
    MEMORY,
    PRODUCER,
    READER,
    ROOM,
    SLOTS,
    START,
    STRIDE,
    UNLIMITED,
    VALUE,
    VALUE_PIECES,
    WORDS,
)
from sim.engine.binding.time import first_freed, in_flight, settle_stages, stage_step
from sim.engine.jit import compiled


@compiled
def sum_words(values, pieces):
    """Words of all values; a value counts once, for the reader that needs most of it. pieces: i8[row]."""
    total = 0
    most = 0
    for v in range(values.shape[0]):
        most = max(most, pieces[v])
        if v == values.shape[0] - 1 or values[v + 1, VALUE] != values[v, VALUE]:
            total += most * values[v, WORDS]
            most = 0
    return total


@compiled
def too_full(values, pieces, limits):
    """Whether some memory cannot hold so many pieces; limits: i8[(capacity, room), index]."""
    for memory in range(limits.shape[1]):
        held = 0
        most = 0
        for v in range(values.shape[0]):
            most = max(most, pieces[v])
            if v == values.shape[0] - 1 or values[v + 1, VALUE] != values[v, VALUE]:
                if values[v, MEMORY] == memory:
                    held += most * values[v, WORDS]
                most = 0
        if held > limits[ROOM, memory]:
            return True
    return False


@compiled
def count_pieces(tasks, values, places, stages, interval, pieces):
    """Fill `pieces: i8[row]` for a whole schedule; all rows of a value get what the value needs.

    A value with several readers is freed piece by piece by the slowest: the latest first piece, the longest step.
    """
    v = 0
    while v < values.shape[0]:
        end = v
        freed, step = -(1 << 60), 0
        while end < values.shape[0] and values[end, VALUE] == values[v, VALUE]:
            maker, reader = values[end, MAKER], values[end, READER]
            apart = (stages[reader] - stages[maker]) * interval + places[reader, 0] - places[maker, 0]
            freed = max(freed, first_freed(values[end], tasks, places[reader, 1], apart, interval))
            step = max(step, tasks[reader, SLOTS] // values[end, VALUE_PIECES] * places[reader, 1])
            end += 1
        held = in_flight(values[v], tasks, places[values[v, MAKER], 1], (freed, step), interval)
        for row in range(v, end):
            pieces[row] = held
        v = end


@compiled
def settle(tasks, edges, values, limits, places, control, out):
    """Stages for offsets and strides that are all chosen; the schedule becomes the best one if it is better.

    Returns the words that it holds, more than anything where it does not fit; 0 where no stages exist.

    places: i8[task, (offset, stride)]; out: i8[task, (start, stride)], cycles.
    """
    n, interval = tasks.shape[0], control[INTERVAL]
    stages, pieces = np.empty(n, np.int64), np.empty(values.shape[0], np.int64)
    if not settle_stages(edges, tasks, places, interval, stages):
        return 0
    shift_stages(tasks, edges, values, (places, stages, interval, pieces))
    count_pieces(tasks, values, places, stages, interval, pieces)
    if too_full(values, pieces, limits):
        return UNLIMITED
    words, first, last = sum_words(values, pieces), stages[0], stages[0]
    for i in range(n):
        first, last = min(first, stages[i]), max(last, stages[i])
    span = last - first + 1
    if control[FOUND] and (words, span) >= (control[BEST_WORDS], control[BEST_STAGES]):
        return words
    control[FOUND], control[BEST_WORDS], control[BEST_STAGES] = 1, words, span
    for i in range(n):
        out[i, START] = (stages[i] - first) * interval + places[i, 0]
        out[i, STRIDE] = places[i, 1]
    return words


@compiled
def shift_stages(tasks, edges, values, where):
    """Move tasks to later stages, without delaying their readers, and back, where fewer words are held.

    where: (places, stages, interval, pieces). Later first, also where it costs nothing: a chain of tasks that waits for
    another chain moves up to it task by task.
    """
    places, stages, interval, pieces = where
    count_pieces(tasks, values, places, stages, interval, pieces)
    words = sum_words(values, pieces)
    for turn in range(4):
        later = turn % 2 == 0
        sign = 1 if later else -1
        order = by_start(stages, places, interval)
        for position in range(stages.size):
            i = order[stages.size - 1 - position] if later else order[position]
            free = room_to_move(tasks, edges, (places, stages, interval, i, later))
            old = stages[i]
            # What is held is convex in the stage of one task: all the way if that is no loss, else while it gains.
            stages[i] = old + sign * free
            count_pieces(tasks, values, places, stages, interval, pieces)
            found = sum_words(values, pieces)
            if found < words or (found == words and later):
                words = found
                continue
            stages[i] = old
            for _ in range(free):
                stages[i] += sign
                count_pieces(tasks, values, places, stages, interval, pieces)
                found = sum_words(values, pieces)
                if found >= words:
                    stages[i] -= sign
                    break
                words = found


@compiled
def by_start(stages, places, interval):
    """Tasks by their start, i8[position]; equal ones by number."""
    order = np.arange(stages.size)
    for end in range(1, stages.size):
        task = order[end]
        start, at = stages[task] * interval + places[task, 0], end
        while at > 0 and stages[order[at - 1]] * interval + places[order[at - 1], 0] > start:
            order[at] = order[at - 1]
            at -= 1
        order[at] = task
    return order


@compiled
def room_to_move(tasks, edges, where):
    """Stages by which a task may start later (or earlier) with all others where they are; 0 without a limit.

    where: (places, stages, interval, task, later).
    """
    places, stages, interval, task, later = where
    room = 1 << 40
    for e in range(edges.shape[0]):
        i, j = edges[e, PRODUCER], edges[e, CONSUMER]
        if i == j or (i if later else j) != task:
            continue
        room = min(room, stages[j] - stages[i] - stage_step(edges[e], tasks, places, interval))
    return 0 if room == 1 << 40 else room
