"""Modulo scheduling by branch and bound: every task gets a stride and an offset in the interval, then a stage.

Tasks are placed one after the other in a given order; for each, every stride and offset is checked against the free
units of each resource in every cycle of the interval, against the dependencies with placed tasks (through longest
paths, and so including those through tasks in between), and against the least number of words that values in flight
need. A branch that cannot beat the best schedule is cut, so that a search that ends within its budget has covered every
choice of offsets and strides. Offsets repeat with the interval, so the first task can be placed at offset 0.

The stages for given offsets are the least ones that the dependencies allow, then later ones where that holds fewer
words. They are provably optimal if they hold no more than the sum of what each pair of tasks needs by itself; otherwise
that need is recorded as open.
"""

import numpy as np

from sim.engine.binding.cost import settle, sum_words, too_full
from sim.engine.binding.grid import empty_board, fits, hold, touches
from sim.engine.binding.pieces import floor_pieces, pieces_beside
from sim.engine.binding.records import NO_PATH, Levels
from sim.engine.binding.time import closest, edge_weight, longest_paths
from sim.engine.jit import compiled

NO_CANDIDATE = 1 << 62


@compiled
def search(graph, order, question, answer, best):
    """Find a schedule for the question's interval, or the best one; fill `best: PlaceRecord[task]`.

    graph: Graph; order: i8[level], the tasks as they are placed; question: Question; answer: Answer, updated.
    """
    tasks, uses, readings, interval = graph.tasks, graph.uses, graph.readings, question.interval
    n = tasks.shape[0]
    board = empty_board(n, graph.capacity.shape[0], interval)
    levels = first_levels(graph, board, order, answer)
    places, taken, keys, at, width = board.places, board.taken, levels.keys, levels.at, levels.keys.shape[1]
    level, is_new = 0 if width else -1, True
    answer.exhausted = 1
    while level >= 0:
        if answer.nodes >= question.budget:
            answer.exhausted = 0
            return
        if is_new:
            at[level], is_new = 0, False
            find_candidates(graph, board, levels, level, question.compact, answer)
        task = order[level]
        place = places[task]
        if place.stride:
            hold(tasks, uses, places, taken, task, -1)
            place.stride = 0
        key = keys[level, at[level]] if at[level] < width else NO_CANDIDATE
        at[level] += 1
        if key == NO_CANDIDATE:
            level -= 1
            continue
        answer.nodes += 1
        pick = key % width
        place.offset = pick % interval
        place.stride = (1 + pick // interval) * tasks[task].cycles
        note_pieces(graph, board, levels, level)
        if beaten(answer, sum_words(readings, levels.pieces[level + 1]), levels.span[level + 1]):
            place.stride = 0
            continue
        hold(tasks, uses, places, taken, task, 1)
        if level < n - 1:
            level, is_new = level + 1, True
            continue
        least = sum_words(readings, levels.pieces[n])
        if settle(graph, board, answer, best) > least:
            answer.open_words = min(answer.open_words, least)
        if answer.found and (question.first_only or is_least(answer)):
            return


@compiled
def first_levels(graph, board, order, answer):
    """The levels of a search, level 0 filled with bounds for every schedule; no candidates if there is no schedule.

    Fills board.far, and the answer's least words and stages.
    """
    n = graph.tasks.shape[0]
    pieces, slowest = np.empty((n + 1, graph.readings.shape[0]), np.int64), 0
    if longest_paths(graph.tasks, graph.edges, board.interval, board.far):
        longest = 0
        for i in range(n):
            for j in range(n):
                longest = max(longest, board.far[i, j])
        for v in range(graph.readings.shape[0]):
            pieces[0, v] = floor_pieces(graph.readings[v], graph, board)
        answer.least_words = sum_words(graph.readings, pieces[0])
        answer.least_stages = 1 + longest // board.interval
        if not too_full(graph.readings, graph.room, pieces[0]):
            slowest = slowest_stride(graph.tasks)
    keys = np.empty((n, board.interval * slowest), np.int64)
    return Levels(order, keys, np.zeros(n, np.int64), pieces, np.zeros(n + 1, np.int64))


@compiled
def slowest_stride(tasks):
    """The largest stride of any of `tasks: TaskRecord[task]`, as a multiple of its cycles."""
    slowest = 1
    for i in range(tasks.shape[0]):
        slowest = max(slowest, tasks[i].slowest)
    return slowest


@compiled
def beaten(answer, words, stages):
    """Whether a schedule of at least these words and stages is no better than the best one."""
    if not answer.found:
        return False
    if words != answer.best_words:
        return words > answer.best_words
    return stages >= answer.best_stages


@compiled
def is_least(answer):
    """Whether no schedule can hold less, or have fewer stages."""
    return answer.best_words == answer.least_words and answer.best_stages <= answer.least_stages


@compiled
def find_candidates(graph, board, levels, level, compact, answer):
    """Fill a level of `levels.keys` with the places of its task that may work, best first.

    A key orders by words, then by the cycles for which values are held, then by place; compact: by adjacency to others
    instead of words.
    """
    tasks, uses, readings, capacity, taken = graph.tasks, graph.uses, graph.readings, graph.capacity, board.taken
    number, interval, width, found = levels.order[level], board.interval, levels.keys.shape[1], 0
    task, place, best, pieces = tasks[number], board.places[number], levels.keys[level], levels.pieces[level + 1]
    best[:] = NO_CANDIDATE
    for option in range(task.fastest - 1, task.slowest):
        stride = (option + 1) * task.cycles
        if not dependencies_alone(tasks, graph.edges, number, stride, interval):
            continue
        for offset in range(interval if level else 1):
            if not fits(tasks, uses, capacity, taken, number, offset, stride):
                continue
            place.offset, place.stride = offset, stride
            apart = distance_sum(graph, board, levels.order, level)
            if apart >= 0:
                note_pieces(graph, board, levels, level)
                words = sum_words(readings, pieces)
                if not too_full(readings, graph.room, pieces) and not beaten(answer, words, levels.span[level + 1]):
                    if compact:
                        words = 0 if level == 0 or touches(tasks, uses, taken, number, offset, stride) else 1
                    rank = min(words, 1 << 26) * (1 << 16) + min(apart, (1 << 16) - 1)
                    best[found] = rank * width + option * interval + offset
                    found += 1
            place.stride = 0
    sort_first(best, found)


@compiled
def sort_first(keys, count):
    """Sort the first `count` of `keys: i8[place]` (Shell sort: quick to compile, and there are few)."""
    gap = 1
    while gap < count // 3:
        gap = 3 * gap + 1
    while gap > 0:
        for end in range(gap, count):
            key, at = keys[end], end
            while at >= gap and keys[at - gap] > key:
                keys[at] = keys[at - gap]
                at -= gap
            keys[at] = key
        gap //= 3


@compiled
def dependencies_alone(tasks, edges, task, stride, interval):
    """Whether a task's dependencies on its own earlier iterations are met in time."""
    for e in range(edges.shape[0]):
        edge = edges[e]
        is_own = edge.producer == task and edge.consumer == task
        if is_own and edge_weight(edge, tasks, stride, stride) > edge.distance * interval:
            return False
    return True


@compiled
def least_apart(tasks, edges, far, places, i, j, interval):
    """Least start of task j after task i that their offsets allow, cycles.

    tasks: TaskRecord[task]; edges: EdgeRecord[edge]; far: i8[task, task], cycles; places: PlaceRecord[task].
    """
    first, second = places[i], places[j]
    least = max(far[i, j], closest(tasks, edges, i, j, first.stride, second.stride, interval))
    return least + (second.offset - first.offset - least) % interval


@compiled
def distance_sum(graph, board, order, level):
    """Cycles between the task of a level and placed ones tied to it by dependencies; -1 if they contradict it."""
    tasks, edges, far, places, interval = graph.tasks, graph.edges, board.far, board.places, board.interval
    task, total = order[level], 0
    for before in range(level):
        other = order[before]
        there, back = far[other, task] > NO_PATH, far[task, other] > NO_PATH
        ahead = least_apart(tasks, edges, far, places, other, task, interval) if there else 0
        behind = least_apart(tasks, edges, far, places, task, other, interval) if back else 0
        if there and back and ahead + behind > 0:
            return -1
        total += max(ahead, 0) + max(behind, 0)
    return total


@compiled
def note_pieces(graph, board, levels, level):
    """Fill the next level of `pieces` and `span` with lower bounds once a level's task is placed."""
    tasks, edges, readings = graph.tasks, graph.edges, graph.readings
    interval, far, places = board.interval, board.far, board.places
    task, before, pieces, span = levels.order[level], levels.pieces[level], levels.pieces[level + 1], levels.span[level]
    for v in range(readings.shape[0]):
        reading = readings[v]
        pieces[v] = before[v]
        maker, reader = places[reading.maker], places[reading.reader]
        both = maker.stride > 0 and reader.stride > 0
        if both and (reading.maker == task or reading.reader == task):
            apart = least_apart(tasks, edges, far, places, reading.maker, reading.reader, interval)
            needed = pieces_beside(reading, tasks, maker.stride, reader.stride, apart, interval)
            pieces[v] = max(pieces[v], needed)
            span = max(span, 1 + (apart + maker.offset - reader.offset) // interval)
    levels.span[level + 1] = span
