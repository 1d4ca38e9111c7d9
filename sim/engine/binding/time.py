"""Arithmetic of a modulo schedule: how far apart tasks must start, and how many pieces of a value are in flight.

A task issues slot k at start + k * stride. A dependency requires that piece k + shift of the consumer starts after
piece k of the producer has ended: a difference constraint on the starts, S_consumer - S_producer >= weight - distance *
interval, whose weight is the larger of those of the first and the last piece (both sides are linear in k). Longest
paths over all constraints bound every pair of starts (Rau, MICRO 1994; Huff, PLDI 1993: the MinDist relation).
"""

import numpy as np

from sim.engine.binding.records import NO_PATH
from sim.engine.jit import compiled


@compiled
def edge_weight(edge, tasks, producer_stride, consumer_stride):
    """Least start of the consumer after that of the producer, without the distance; cycles.

    edge: EdgeRecord; tasks: TaskRecord[task]; strides in cycles.
    """
    producer, consumer = tasks[edge.producer], tasks[edge.consumer]
    mine, yours = producer.slots // edge.pieces, consumer.slots // edge.pieces
    worst = NO_PATH
    last = edge.pieces - 1 - edge.shift
    for k in (0, last):
        if last >= 0:
            ends = ((k + 1) * mine - 1) * producer_stride + producer.cycles + edge.latency
            worst = max(worst, ends - (k + edge.shift) * yours * consumer_stride)
    return worst


@compiled
def least_weight(edge, tasks):
    """The least weight of an edge over all strides that its tasks may have."""
    producer, consumer = tasks[edge.producer], tasks[edge.consumer]
    least = -NO_PATH
    for a in range(producer.fastest, producer.slowest + 1):
        for b in range(consumer.fastest, consumer.slowest + 1):
            if edge.producer != edge.consumer or a == b:
                least = min(least, edge_weight(edge, tasks, a * producer.cycles, b * consumer.cycles))
    return least


@compiled
def closest(tasks, edges, i, j, first_stride, second_stride, interval):
    """Least start of task j after task i, in cycles, by the edges between them at these strides; NO_PATH without any.

    tasks: TaskRecord[task]; edges: EdgeRecord[edge].
    """
    least = NO_PATH
    for e in range(edges.shape[0]):
        edge = edges[e]
        if edge.producer == i and edge.consumer == j:
            weight = edge_weight(edge, tasks, first_stride, second_stride)
            least = max(least, weight - edge.distance * interval)
    return least


@compiled
def longest_paths(tasks, edges, interval, far):
    """Fill `far: i8[task, task], cycles` with the least difference of starts, NO_PATH for unconstrained pairs.

    Returns whether the dependencies can be met: no cycle of them has a positive length.
    """
    n = tasks.shape[0]
    far[:] = NO_PATH
    for i in range(n):
        far[i, i] = 0
    for e in range(edges.shape[0]):
        edge = edges[e]
        weight = least_weight(edge, tasks)
        if weight > NO_PATH:
            i, j = edge.producer, edge.consumer
            far[i, j] = max(far[i, j], weight - edge.distance * interval)
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
def first_held(reading, tasks, stride):
    """When the first piece of a value begins to be held, after its maker's start; cycles.

    reading: ReadingRecord; tasks: TaskRecord[task]; stride: the maker's, cycles.
    """
    if reading.from_start:
        return 0
    maker = tasks[reading.maker]
    return (maker.slots // reading.pieces - 1) * stride + maker.cycles + reading.latency


@compiled
def first_freed(reading, tasks, stride, apart, interval):
    """When a reader that starts `apart` after the maker no longer needs the first piece of a value; cycles.

    stride: the reader's, cycles; otherwise as `first_held`.
    """
    reader = tasks[reading.reader]
    slots = reader.slots // reading.pieces
    return apart + reading.distance * interval + (slots - 1) * stride + reader.cycles


@compiled
def in_flight(reading, tasks, maker_stride, freed, step, interval):
    """Most pieces of a value that are held at once, over all iterations.

    Piece k is held from held + k * a until freed + k * step, and again every `interval` cycles; the number held is
    largest when a piece arrives, and over all tiles in flight it is a sum of intervals of k. All times in cycles. A
    value of one piece needs ceil((freed - held) / interval) places.
    """
    pieces, held = reading.pieces, first_held(reading, tasks, maker_stride)
    if pieces == 1:
        return max(1, -((held - freed) // interval))
    a = tasks[reading.maker].slots // pieces * maker_stride
    most = 1
    for k in range(pieces):
        now = held + k * a
        count = 0
        for r in range(-(k * a // interval), (freed + (pieces - 1) * step - now) // interval + 1):
            time = now + r * interval
            last = min(pieces - 1, (time - held) // a)
            first = 0 if time < freed else (time - freed) // step + 1
            count += max(0, last - first + 1)
        most = max(most, count)
    return most


@compiled
def settle_stages(tasks, edges, places, interval):
    """Set the stages of `places: PlaceRecord[task]` to the least ones for their offsets and strides.

    Returns False when the dependencies contradict each other.
    """
    n = tasks.shape[0]
    for i in range(n):
        places[i].stage = 0
    for _ in range(n + 1):
        changed = False
        for e in range(edges.shape[0]):
            edge = edges[e]
            least = places[edge.producer].stage + stage_step(edge, tasks, places, interval)
            if least > places[edge.consumer].stage:
                places[edge.consumer].stage = least
                changed = True
        if not changed:
            return True
    return False


@compiled
def stage_step(edge, tasks, places, interval):
    """Least stage of the consumer after that of the producer."""
    producer, consumer = places[edge.producer], places[edge.consumer]
    weight = edge_weight(edge, tasks, producer.stride, consumer.stride)
    if weight == NO_PATH:
        return NO_PATH
    return -((consumer.offset - producer.offset - weight) // interval) - edge.distance


@compiled
def cycle_interval(tasks, edges, low, high):
    """The least interval from `low` to `high` at which no cycle of dependencies is too long; else high + 1."""
    far = np.empty((tasks.shape[0], tasks.shape[0]), np.int64)
    # A cycle of negative total distance requires a short interval, so the answers need not be monotone: try each.
    for interval in range(low, high + 1):
        if longest_paths(tasks, edges, interval, far):
            return interval
    return high + 1
