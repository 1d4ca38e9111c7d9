"""The memory held by the values of a modulo schedule, and the stages that minimize it."""

import numpy as np

from sim.engine.binding.records import UNLIMITED
from sim.engine.binding.time import first_freed, in_flight, settle_stages, stage_step
from sim.engine.jit import compiled


@compiled
def ends_value(readings, v):
    """Whether row `v` of `readings: Reading[reading]` is the last one of its value."""
    return v == readings.shape[0] - 1 or readings[v + 1].value != readings[v].value


@compiled
def sum_words(readings, pieces):
    """Words of all values; a value counts once, for the reader that needs the most of it. pieces: i8[reading]."""
    total = 0
    most = 0
    for v in range(readings.shape[0]):
        most = max(most, pieces[v])
        if ends_value(readings, v):
            total += most * readings[v].words
            most = 0
    return total


@compiled
def too_full(readings, room, pieces):
    """Whether some memory cannot hold these pieces: i8[reading]; room: i8[memory], words."""
    for memory in range(room.shape[0]):
        held = 0
        most = 0
        for v in range(readings.shape[0]):
            most = max(most, pieces[v])
            if ends_value(readings, v):
                if readings[v].memory == memory:
                    held += most * readings[v].words
                most = 0
        if held > room[memory]:
            return True
    return False


@compiled
def count_pieces(tasks, readings, places, interval, pieces):
    """Fill `pieces: i8[reading]` for a schedule, `places: PlaceRecord[task]`; all rows of a value get what it needs.

    A value with several readers is freed piece by piece by the slowest: the latest first piece, the longest step.
    """
    v = 0
    while v < readings.shape[0]:
        maker = places[readings[v].maker]
        end = v
        freed, step = -(1 << 60), 0
        while end < readings.shape[0] and readings[end].value == readings[v].value:
            reading = readings[end]
            reader = places[reading.reader]
            apart = (reader.stage - maker.stage) * interval + reader.offset - maker.offset
            freed = max(freed, first_freed(reading, tasks, reader.stride, apart, interval))
            step = max(step, tasks[reading.reader].slots // reading.pieces * reader.stride)
            end += 1
        held = in_flight(readings[v], tasks, maker.stride, freed, step, interval)
        for row in range(v, end):
            pieces[row] = held
        v = end


@compiled
def settle(graph, board, answer, best):
    """Choose stages once all offsets and strides are chosen; the schedule replaces the best one if it is better.

    Returns the words that it holds, UNLIMITED if it does not fit; 0 if no stages exist.

    best: PlaceRecord[task], of the best schedule, its first stage 0.
    """
    tasks, edges, readings, places, interval = graph.tasks, graph.edges, graph.readings, board.places, board.interval
    pieces = np.empty(readings.shape[0], np.int64)
    if not settle_stages(tasks, edges, places, interval):
        return 0
    shift_stages(tasks, edges, readings, places, interval, pieces)
    count_pieces(tasks, readings, places, interval, pieces)
    if too_full(readings, graph.room, pieces):
        return UNLIMITED
    words, first, last = sum_words(readings, pieces), places[0].stage, places[0].stage
    for i in range(places.shape[0]):
        first, last = min(first, places[i].stage), max(last, places[i].stage)
    span = last - first + 1
    if answer.found and (words, span) >= (answer.best_words, answer.best_stages):
        return words
    answer.found, answer.best_words, answer.best_stages = 1, words, span
    for i in range(places.shape[0]):
        best[i] = places[i]
        best[i].stage -= first
    return words


@compiled
def shift_stages(tasks, edges, readings, places, interval, pieces):
    """Move tasks to later stages, without delaying their readers, and back, if that holds fewer words.

    Changes the stages of `places: PlaceRecord[task]`; pieces: i8[reading], scratch. Later stages are tried first and
    also taken at equal cost, so that a chain of tasks that waits for another chain moves up to it task by task.
    """
    count_pieces(tasks, readings, places, interval, pieces)
    words = sum_words(readings, pieces)
    for turn in range(4):
        later = turn % 2 == 0
        sign = 1 if later else -1
        order = by_start(places, interval)
        for position in range(places.shape[0]):
            i = order[places.shape[0] - 1 - position] if later else order[position]
            free = room_to_move(tasks, edges, places, interval, i, later)
            old = places[i].stage
            # The words held are convex in one task's stage: move all the way if not worse, else while it improves.
            places[i].stage = old + sign * free
            count_pieces(tasks, readings, places, interval, pieces)
            found = sum_words(readings, pieces)
            if found < words or (found == words and later):
                words = found
                continue
            places[i].stage = old
            for _ in range(free):
                places[i].stage += sign
                count_pieces(tasks, readings, places, interval, pieces)
                found = sum_words(readings, pieces)
                if found >= words:
                    places[i].stage -= sign
                    break
                words = found


@compiled
def by_start(places, interval):
    """Tasks by start, i8[position]; ties by number."""
    order = np.arange(places.shape[0])
    for end in range(1, places.shape[0]):
        task = order[end]
        start, at = places[task].stage * interval + places[task].offset, end
        while at > 0 and places[order[at - 1]].stage * interval + places[order[at - 1]].offset > start:
            order[at] = order[at - 1]
            at -= 1
        order[at] = task
    return order


@compiled
def room_to_move(tasks, edges, places, interval, task, later):
    """Stages by which a task may start later (or earlier) with all others in place; 0 if there is no limit."""
    room = 1 << 40
    for e in range(edges.shape[0]):
        edge = edges[e]
        i, j = edge.producer, edge.consumer
        if i == j or (i if later else j) != task:
            continue
        room = min(room, places[j].stage - places[i].stage - stage_step(edge, tasks, places, interval))
    return 0 if room == 1 << 40 else room
