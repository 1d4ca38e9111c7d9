"""Arithmetic of a modulo schedule: how far apart tasks must start, and how many pieces of a value are in flight.

A task issues slot k at start + k * stride. A dependency asks that piece k + shift of the consumer starts after piece k
of the producer has ended: a difference constraint on the starts, S_consumer - S_producer >= weight - distance *
interval, whose weight is the larger of those of the first and the last piece (both sides are linear in k). Longest
paths over all constraints bound every pair of starts (Rau, MICRO 1994; Huff, PLDI 1993: the MinDist relation).
"""

import numpy as np

from sim.engine.binding.columns import (
    CONSUMER,
    CYCLES,
    DISTANCE,
    FASTEST,
    FROM_START,
    LATENCY,
    MAKER,
    NO_PATH,
    PIECES,
    PRODUCER,
    READ_DISTANCE,
    READER,
    SHIFT,
    SLOTS,
    SLOWEST,
    VALUE_LATENCY,
    VALUE_PIECES,
)
from sim.engine.jit import compiled


@compiled
def edge_weight(edge, tasks, producer_stride, consumer_stride):
    """Least start of the consumer after that of the producer, the distance left out; cycles.

    edge: i8[column]; tasks: i8[task, column]; strides in cycles.
    """
    i, j, pieces, shift = edge[PRODUCER], edge[CONSUMER], edge[PIECES], edge[SHIFT]
    mine, yours = tasks[i, SLOTS] // pieces, tasks[j, SLOTS] // pieces
    worst = NO_PATH
    last = pieces - 1 - shift
    for k in (0, last):
        if last >= 0:
            ends = ((k + 1) * mine - 1) * producer_stride + tasks[i, CYCLES] + edge[LATENCY]
            worst = max(worst, ends - (k + shift) * yours * consumer_stride)
    return worst


@compiled
def least_weight(edge, tasks):
    """The least weight of an edge over all strides that its tasks may have."""
    i, j = edge[PRODUCER], edge[CONSUMER]
    least = -NO_PATH
    for a in range(tasks[i, FASTEST], tasks[i, SLOWEST] + 1):
        for b in range(tasks[j, FASTEST], tasks[j, SLOWEST] + 1):
            if i != j or a == b:
                least = min(least, edge_weight(edge, tasks, a * tasks[i, CYCLES], b * tasks[j, CYCLES]))
    return least


@compiled
def longest_paths(tasks, edges, interval, far):
    """Fill `far: i8[task, task], cycles` with the least difference of starts, NO_PATH where nothing binds a pair.

    Returns whether the dependencies can be met: no cycle of them has a positive length.
    """
    n = tasks.shape[0]
    far[:] = NO_PATH
    for i in range(n):
        far[i, i] = 0
    for e in range(edges.shape[0]):
        i, j = edges[e, PRODUCER], edges[e, CONSUMER]
        weight = least_weight(edges[e], tasks)
        if weight > NO_PATH:
            far[i, j] = max(far[i, j], weight - edges[e, DISTANCE] * interval)
    for k in range(n):
        for i in range(n):
            if far[i, k] > NO_PATH:
                for j in range(n):
                    if far[k, j] > NO_PATH and far[i, k] + far[k, j] > far[i, j]:
                        far[i, j] = far[i, k] + far[k, j]
    for i in range(n):  # noqa: SIM110 (compiled)
        if far[i, i] > 0:
            return False
    return True


@compiled
def first_held(row, tasks, stride):
    """When the first piece of a value begins to be held, after its maker's start; cycles."""
    if row[FROM_START]:
        return 0
    mine = tasks[row[MAKER], SLOTS] // row[VALUE_PIECES]
    return (mine - 1) * stride + tasks[row[MAKER], CYCLES] + row[VALUE_LATENCY]


@compiled
def first_freed(row, tasks, stride, apart, interval):
    """When a reader that starts `apart` after the maker no longer needs the first piece of a value; cycles."""
    yours = tasks[row[READER], SLOTS] // row[VALUE_PIECES]
    return apart + row[READ_DISTANCE] * interval + (yours - 1) * stride + tasks[row[READER], CYCLES]


@compiled
def in_flight(row, tasks, maker_stride, reader, interval):
    """Most pieces of a value that are held at once, over all iterations.

    Piece k is held from held + k * a until freed + k * b, and again every `interval` cycles; the number held is
    largest when a piece arrives, and over all tiles in flight it is a sum of intervals of k.
    reader: i8[(freed, b)], cycles. A value of one piece needs ceil((freed - held) / interval) places.
    """
    pieces, held, freed, b = row[VALUE_PIECES], first_held(row, tasks, maker_stride), reader[0], reader[1]
    if pieces == 1:
        return max(1, -((held - freed) // interval))
    a = tasks[row[MAKER], SLOTS] // pieces * maker_stride
    most = 1
    for k in range(pieces):
        now = held + k * a
        count = 0
        for r in range(-(k * a // interval), (freed + (pieces - 1) * b - now) // interval + 1):
            time = now + r * interval
            last = min(pieces - 1, (time - held) // a)
            first = 0 if time < freed else (time - freed) // b + 1
            count += max(0, last - first + 1)
        most = max(most, count)
    return most


@compiled
def settle_stages(edges, tasks, places, interval, stages):
    """Fill `stages: i8[task]` with the least ones for given offsets and strides, `places: i8[task, (offset, stride)]`.

    Returns False when the dependencies contradict each other.
    """
    n = tasks.shape[0]
    stages[:] = 0
    for _ in range(n + 1):
        changed = False
        for e in range(edges.shape[0]):
            i, j = edges[e, PRODUCER], edges[e, CONSUMER]
            least = stages[i] + stage_step(edges[e], tasks, places, interval)
            if least > stages[j]:
                stages[j] = least
                changed = True
        if not changed:
            return True
    return False


@compiled
def stage_step(edge, tasks, places, interval):
    """Least stage of the consumer after that of the producer."""
    i, j = edge[PRODUCER], edge[CONSUMER]
    weight = edge_weight(edge, tasks, places[i, 1], places[j, 1])
    if weight == NO_PATH:
        return NO_PATH
    return -((places[j, 0] - places[i, 0] - weight) // interval) - edge[DISTANCE]


@compiled
def cycle_interval(tasks, edges, low, high):
    """The least interval from `low` to `high` at which no cycle of dependencies is too long; else high + 1."""
    far = np.empty((tasks.shape[0], tasks.shape[0]), np.int64)
    # A cycle of negative total distance asks for a short interval, so that the answers need not be monotone: try each.
    for interval in range(low, high + 1):
        if longest_paths(tasks, edges, interval, far):
            return interval
    return high + 1
