"""How many pieces of a value one reader keeps in flight, for placed tasks and at the least."""

from sim.engine.binding.columns import (
    CONSUMER,
    CYCLES,
    DISTANCE,
    FASTEST,
    MAKER,
    NO_PATH,
    PRODUCER,
    READER,
    SLOTS,
    SLOWEST,
    VALUE_PIECES,
)
from sim.engine.binding.grid import OFFSET, PLACED_STRIDE, fits, hold, share
from sim.engine.binding.time import edge_weight, first_freed, in_flight
from sim.engine.jit import compiled


@compiled
def pieces_beside(row, tasks, strides, apart, interval):
    """Pieces in flight of a value, i8[column], whose reader starts `apart` cycles after its maker.

    strides: (maker's, reader's), cycles.
    """
    step = tasks[row[READER], SLOTS] // row[VALUE_PIECES] * strides[1]
    freed = first_freed(row, tasks, strides[1], apart, interval)
    return in_flight(row, tasks, strides[0], (freed, step), interval)


@compiled
def floor_pieces(row, tasks, uses, limits, edges, where):
    """The least pieces in flight over all strides: starts as close as the dependencies, and the two tasks' own
    resources, allow. where: (far, places, taken), the last two empty, used and left empty.
    """
    far, places, taken = where
    maker, reader, interval = row[MAKER], row[READER], taken.shape[1]
    tied = maker != reader and share(uses, maker, reader)
    least = 1 << 40
    for a in range(tasks[maker, FASTEST], tasks[maker, SLOWEST] + 1):
        places[maker, OFFSET], places[maker, PLACED_STRIDE] = 0, a * tasks[maker, CYCLES]
        if tied:
            hold(tasks, uses, places, taken, (maker, 1))
        for b in range(tasks[reader, FASTEST], tasks[reader, SLOWEST] + 1):
            strides = (a * tasks[maker, CYCLES], b * tasks[reader, CYCLES])
            apart = far[maker, reader]
            for e in range(edges.shape[0]):
                if edges[e, PRODUCER] == maker and edges[e, CONSUMER] == reader:
                    weight = edge_weight(edges[e], tasks, strides[0], strides[1])
                    apart = max(apart, weight - edges[e, DISTANCE] * interval)
            if apart == NO_PATH:
                continue
            end = apart + interval
            while tied and apart < end and not fits(tasks, uses, limits, taken, (reader, apart % interval, strides[1])):
                apart += 1
            if apart < end:
                least = min(least, pieces_beside(row, tasks, strides, apart, interval))
        if tied:
            hold(tasks, uses, places, taken, (maker, -1))
        places[maker, PLACED_STRIDE] = 0
    return least
