"""Modulo scheduling by branch and bound: every task gets a stride and an offset in the interval, stages follow.

Tasks are placed one after the other in a given order; for each, every stride and offset is tried against the table of
what each resource has left in every cycle of the interval, against the dependencies with tasks that are placed
(through longest paths, so also with those between them), and against the least number of words that values in flight
need. A branch that cannot beat the best schedule is cut, so that a search that ends within its budget has tried every
choice of offsets and strides. Offsets repeat with the interval, so the first task may stand at offset 0.

The stages for given offsets are the least ones that the dependencies allow, then later ones where that holds fewer
words. They are known to be the best where they hold no more than each pair of tasks needs by itself; elsewhere what
the pairs need is noted as open.
"""

import numpy as np

from sim.engine.binding.columns import (
    BEST_STAGES,
    BEST_WORDS,
    BUDGET,
    COMPACT,
    CONSUMER,
    CYCLES,
    DISTANCE,
    EXHAUSTED,
    FASTEST,
    FIRST_ONLY,
    FOUND,
    INTERVAL,
    LEAST_STAGES,
    LEAST_WORDS,
    MAKER,
    NO_PATH,
    NODES,
    OPEN_WORDS,
    PRODUCER,
    READER,
    SLOWEST,
)
from sim.engine.binding.cost import settle, sum_words, too_full
from sim.engine.binding.grid import OFFSET, PLACED_STRIDE, fits, hold, touches
from sim.engine.binding.rows import floor_pieces, pieces_beside
from sim.engine.binding.time import edge_weight, longest_paths
from sim.engine.jit import compiled

NO_CANDIDATE = 1 << 62


@compiled
def search(tasks, uses, limits, edges, values, order, control, out):
    """Find a schedule of the interval in `control`, or the best one; fill `out: i8[task, (start, stride)]`, cycles.

    Tables: i8[row, column] of `modulo_columns`; limits: i8[(capacity, room), index]; order: i8[task]; control:
    i8[column].
    """
    n, interval = tasks.shape[0], control[INTERVAL]
    far, places = np.empty((n, n), np.int64), np.zeros((n, 2), np.int64)
    taken = np.zeros((limits.shape[1], interval), np.int64)
    pieces, span = np.empty((n + 1, values.shape[0]), np.int64), np.zeros(n + 1, np.int64)
    control[EXHAUSTED] = 1
    width = interval * prepare(tasks, uses, limits, edges, values, (far, places, taken, pieces), control)
    keys, at = np.empty((n, width), np.int64), np.zeros(n, np.int64)
    level, is_new = 0 if width else -1, True
    while level >= 0:
        if control[NODES] >= control[BUDGET]:
            control[EXHAUSTED] = 0
            return
        if is_new:
            at[level], is_new = 0, False
            find_candidates(
                tasks, uses, limits, edges, values, (order, level, far, places, taken, pieces, span, control, keys)
            )
        task = order[level]
        if places[task, PLACED_STRIDE]:
            hold(tasks, uses, places, taken, (task, -1))
            places[task, PLACED_STRIDE] = 0
        key = keys[level, at[level]] if at[level] < width else NO_CANDIDATE
        at[level] += 1
        if key == NO_CANDIDATE:
            level -= 1
            continue
        control[NODES] += 1
        pick = key % width
        places[task, OFFSET] = pick % interval
        places[task, PLACED_STRIDE] = (1 + pick // interval) * tasks[task, CYCLES]
        note_pieces(tasks, edges, values, (task, level, far, places, pieces, span), interval)
        if beaten(control, sum_words(values, pieces[level + 1]), span[level + 1]):
            places[task, PLACED_STRIDE] = 0
            continue
        hold(tasks, uses, places, taken, (task, 1))
        if level < n - 1:
            level, is_new = level + 1, True
            continue
        least = sum_words(values, pieces[n])
        if settle(tasks, edges, values, limits, places, control, out) > least:
            control[OPEN_WORDS] = min(control[OPEN_WORDS], least)
        if control[FOUND] and (control[FIRST_ONLY] or is_least(control)):
            return


@compiled
def prepare(tasks, uses, limits, edges, values, where, control):
    """What holds for every schedule of an interval; the most strides of a task, or 0 where there is none.

    Fills far, the first row of pieces and the least words and stages; where: (far, places, taken, pieces), places and
    taken empty.
    """
    far, places, taken, pieces = where
    interval = control[INTERVAL]
    if not longest_paths(tasks, edges, interval, far):
        return 0
    slowest, longest = 1, 0
    for i in range(tasks.shape[0]):
        slowest = max(slowest, tasks[i, SLOWEST])
        for j in range(tasks.shape[0]):
            longest = max(longest, far[i, j])
    for v in range(values.shape[0]):
        pieces[0, v] = floor_pieces(values[v], tasks, uses, limits, edges, (far, places, taken))
    control[LEAST_WORDS] = sum_words(values, pieces[0])
    control[LEAST_STAGES] = 1 + longest // interval
    return 0 if too_full(values, pieces[0], limits) else slowest


@compiled
def beaten(control, words, stages):
    """Whether a schedule of at least so many words and stages is no better than the best one."""
    if not control[FOUND]:
        return False
    if words != control[BEST_WORDS]:
        return words > control[BEST_WORDS]
    return stages >= control[BEST_STAGES]


@compiled
def is_least(control):
    """Whether no schedule can hold less, or have fewer stages."""
    return control[BEST_WORDS] == control[LEAST_WORDS] and control[BEST_STAGES] <= control[LEAST_STAGES]


@compiled
def find_candidates(tasks, uses, limits, edges, values, where):
    """Fill a level of `keys` with the places of its task that may work, best first.

    A key orders by words, then by the cycles for which values are held, then by place.
    """
    order, level, far, places, taken, pieces, span, control, keys = where
    task, width, interval, found = order[level], keys.shape[1], taken.shape[1], 0
    best = keys[level]
    best[:] = NO_CANDIDATE
    for option in range(tasks[task, FASTEST] - 1, tasks[task, SLOWEST]):
        stride = (option + 1) * tasks[task, CYCLES]
        if not dependencies_alone(tasks, edges, task, stride, interval):
            continue
        for offset in range(interval if level else 1):
            if not fits(tasks, uses, limits, taken, (task, offset, stride)):
                continue
            places[task, OFFSET], places[task, PLACED_STRIDE] = offset, stride
            apart = distance_sum(tasks, edges, (order, level, interval, far, places))
            if apart >= 0:
                note_pieces(tasks, edges, values, (task, level, far, places, pieces, span), interval)
                words = sum_words(values, pieces[level + 1])
                if not too_full(values, pieces[level + 1], limits) and not beaten(control, words, span[level + 1]):
                    if control[COMPACT]:
                        words = 0 if level == 0 or touches(tasks, uses, taken, (task, offset, stride)) else 1
                    rank = min(words, 1 << 26) * (1 << 16) + min(apart, (1 << 16) - 1)
                    best[found] = rank * width + option * interval + offset
                    found += 1
            places[task, PLACED_STRIDE] = 0
    sort_first(best, found)


@compiled
def sort_first(keys, count):
    """Put the first `count` of `keys: i8[place]` in order (Shell's method: short to compile, and there are few)."""
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
    """Whether what a task needs of its own earlier iterations comes in time."""
    for e in range(edges.shape[0]):
        is_own = edges[e, PRODUCER] == task and edges[e, CONSUMER] == task
        if is_own and edge_weight(edges[e], tasks, stride, stride) > edges[e, DISTANCE] * interval:
            return False
    return True


@compiled
def least_apart(tasks, edges, where):
    """Least start of task j after task i that their offsets allow; where: (i, j, interval, far, places)."""
    i, j, interval, far, places = where
    least = far[i, j]
    for e in range(edges.shape[0]):
        if edges[e, PRODUCER] == i and edges[e, CONSUMER] == j:
            weight = edge_weight(edges[e], tasks, places[i, PLACED_STRIDE], places[j, PLACED_STRIDE])
            least = max(least, weight - edges[e, DISTANCE] * interval)
    return least + (places[j, OFFSET] - places[i, OFFSET] - least) % interval


@compiled
def distance_sum(tasks, edges, where):
    """Cycles between the task of a level and placed ones tied to it by dependencies; -1 if they contradict it."""
    order, level, interval, far, places = where
    task, total = order[level], 0
    for before in range(level):
        other = order[before]
        there, back = far[other, task] > NO_PATH, far[task, other] > NO_PATH
        ahead = least_apart(tasks, edges, (other, task, interval, far, places)) if there else 0
        behind = least_apart(tasks, edges, (task, other, interval, far, places)) if back else 0
        if there and back and ahead + behind > 0:
            return -1
        total += max(ahead, 0) + max(behind, 0)
    return total


@compiled
def note_pieces(tasks, edges, values, where, interval):
    """Fill the next row of `pieces` and `span` with what must be in flight once a task is placed."""
    task, level, far, places, pieces, span = where
    span[level + 1] = span[level]
    for v in range(values.shape[0]):
        pieces[level + 1, v] = pieces[level, v]
        maker, reader = values[v, MAKER], values[v, READER]
        both = places[maker, PLACED_STRIDE] > 0 and places[reader, PLACED_STRIDE] > 0
        if both and (maker == task or reader == task):
            apart = least_apart(tasks, edges, (maker, reader, interval, far, places))
            strides = (places[maker, PLACED_STRIDE], places[reader, PLACED_STRIDE])
            pieces[level + 1, v] = max(pieces[level, v], pieces_beside(values[v], tasks, strides, apart, interval))
            stages = 1 + (apart + places[maker, OFFSET] - places[reader, OFFSET]) // interval
            span[level + 1] = max(span[level + 1], stages)
