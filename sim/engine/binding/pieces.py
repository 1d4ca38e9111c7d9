"""How many pieces of a value one reader keeps in flight, for placed tasks and as a lower bound."""

from sim.engine.binding.grid import fits, hold, share
from sim.engine.binding.records import NO_PATH
from sim.engine.binding.time import closest, first_freed, in_flight
from sim.engine.jit import compiled


@compiled
def pieces_beside(reading, tasks, maker_stride, reader_stride, apart, interval):
    """Pieces in flight of a value whose reader starts `apart` after its maker.

    reading: ReadingRecord; tasks: TaskRecord[task]; strides, apart and interval in cycles.
    """
    step = tasks[reading.reader].slots // reading.pieces * reader_stride
    freed = first_freed(reading, tasks, reader_stride, apart, interval)
    return in_flight(reading, tasks, maker_stride, freed, step, interval)


@compiled
def floor_pieces(reading, graph, board):
    """The fewest pieces in flight of a value over all strides, with starts as close as the dependencies and the two
    tasks' own resources allow. board: empty, before and after.
    """
    tasks, uses, edges, capacity = graph.tasks, graph.uses, graph.edges, graph.capacity
    interval, places, taken, i, j = board.interval, board.places, board.taken, reading.maker, reading.reader
    maker, reader, place, tied = tasks[i], tasks[j], places[i], i != j and share(uses, i, j)
    least = 1 << 40
    for a in range(maker.fastest, maker.slowest + 1):
        place.offset, place.stride = 0, a * maker.cycles
        if tied:
            hold(tasks, uses, places, taken, i, 1)
        for b in range(reader.fastest, reader.slowest + 1):
            stride = b * reader.cycles
            apart = max(board.far[i, j], closest(tasks, edges, i, j, place.stride, stride, interval))
            if apart == NO_PATH:
                continue
            end = apart + interval
            while tied and apart < end and not fits(tasks, uses, capacity, taken, j, apart % interval, stride):
                apart += 1
            if apart < end:
                least = min(least, pieces_beside(reading, tasks, place.stride, stride, apart, interval))
        if tied:
            hold(tasks, uses, places, taken, i, -1)
        place.stride = 0
    return least
