"""How many pieces of a value one reader keeps in flight, for placed tasks and at the least."""

from sim.engine.binding.grid import fits, hold, share
from sim.engine.binding.records import NO_PATH
from sim.engine.binding.time import edge_weight, first_freed, in_flight
from sim.engine.jit import compiled


@compiled
def pieces_beside(reading, tasks, maker_stride, reader_stride, apart, interval):
    """Pieces in flight of a value whose reader starts `apart` after its maker.

    reading: Reading; tasks: Task[task]; strides, apart and interval in cycles.
    """
    step = tasks[reading.reader].slots // reading.pieces * reader_stride
    freed = first_freed(reading, tasks, reader_stride, apart, interval)
    return in_flight(reading, tasks, maker_stride, freed, step, interval)


@compiled
def floor_pieces(reading, graph, board):
    """The least pieces in flight of a value over all strides: starts as close as the dependencies, and the two tasks'
    own resources, allow. board: nothing is placed, before and after.
    """
    maker, reader = graph.tasks[reading.maker], graph.tasks[reading.reader]
    place = board.places[reading.maker]
    tied = reading.maker != reading.reader and share(graph.uses, reading.maker, reading.reader)
    least = 1 << 40
    for a in range(maker.fastest, maker.slowest + 1):
        place.offset, place.stride = 0, a * maker.cycles
        if tied:
            hold(graph, board, reading.maker, 1)
        for b in range(reader.fastest, reader.slowest + 1):
            stride = b * reader.cycles
            apart = closest(reading, graph, board, place.stride, stride)
            if apart == NO_PATH:
                continue
            end = apart + board.interval
            while tied and apart < end and not fits(graph, board, reading.reader, apart % board.interval, stride):
                apart += 1
            if apart < end:
                least = min(least, pieces_beside(reading, graph.tasks, place.stride, stride, apart, board.interval))
        if tied:
            hold(graph, board, reading.maker, -1)
        place.stride = 0
    return least


@compiled
def closest(reading, graph, board, maker_stride, reader_stride):
    """Least start of a reader after the maker that dependencies allow at these strides, in cycles; NO_PATH: none."""
    apart = board.far[reading.maker, reading.reader]
    for e in range(graph.edges.shape[0]):
        edge = graph.edges[e]
        if edge.producer == reading.maker and edge.consumer == reading.reader:
            weight = edge_weight(edge, graph.tasks, maker_stride, reader_stride)
            apart = max(apart, weight - edge.distance * board.interval)
    return apart
