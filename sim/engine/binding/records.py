"""What the binding search reads and writes: rows of its tables, and the tables that belong together.

Fields of a row are i8 (see `sim.engine.record`); cycles unless their comment says otherwise. A named tuple of arrays
costs a compiled call two reference counts for every field: outer loops take one and hand single tables to inner loops.
"""

from typing import NamedTuple

import numpy as np

from sim.engine.record import record

NO_PATH = -(1 << 40)
UNLIMITED = 1 << 60


class TaskRecord(NamedTuple):
    """It may issue its slots every `fastest` to `slowest` times `cycles`."""

    slots: int  # number
    cycles: int  # of one slot
    fastest: int  # factor
    slowest: int


class UseRecord(NamedTuple):
    """Units of a resource that a task holds in the first `cycles` of each of its slots."""

    task: int  # number
    resource: int  # number
    amount: int  # units
    cycles: int


class EdgeRecord(NamedTuple):
    """A dependency: piece k + shift of the consumer waits for piece k of the producer `distance` iterations before."""

    producer: int  # number of a task
    consumer: int
    distance: int  # iterations
    latency: int
    pieces: int  # number
    shift: int  # pieces


class ReadingRecord(NamedTuple):
    """A value and one of its readers; the rows of one value are neighbours, and differ in `reader` and `distance`."""

    value: int  # number
    maker: int  # number of a task
    reader: int
    distance: int  # iterations
    pieces: int  # number
    from_start: int  # 1: its place is taken from its maker's start on
    latency: int
    words: int  # of one piece
    memory: int  # number


class PlaceRecord(NamedTuple):
    """Where a task stands: it starts at stage * interval + offset."""

    offset: int
    stride: int  # from slot to slot; 0: not placed yet
    stage: int  # number; chosen when all tasks have an offset


class Answer(NamedTuple):
    """What a search has found so far."""

    nodes: int  # places tried
    found: int  # 1: there is a schedule
    exhausted: int  # 1: every choice was tried, or excluded
    best_words: int
    best_stages: int
    least_words: int  # of any schedule of the interval
    least_stages: int
    open_words: int  # what a choice of offsets might hold whose stages were not proved to be the best


PLACE, ANSWER = record(PlaceRecord), record(Answer)


class Graph(NamedTuple):
    """The tasks of one tile and all that ties them."""

    tasks: np.ndarray  # TaskRecord[task]
    uses: np.ndarray  # UseRecord[use]
    edges: np.ndarray  # EdgeRecord[edge]
    readings: np.ndarray  # ReadingRecord[reading]
    capacity: np.ndarray  # i8[resource], units
    room: np.ndarray  # i8[memory], words


class Question(NamedTuple):
    """What a search is asked."""

    interval: int  # cycles
    budget: int  # nodes
    first_only: bool  # whether the first schedule will do
    compact: bool  # whether places beside others are tried first


class Board(NamedTuple):
    """An interval and the tasks that are placed in it."""

    interval: int  # cycles
    far: np.ndarray  # i8[task, task], least difference of starts, cycles; NO_PATH: nothing binds the pair
    places: np.ndarray  # PlaceRecord[task]
    taken: np.ndarray  # i8[resource, cycle], units


class Levels(NamedTuple):
    """What a search keeps for every level; at level n, n tasks are placed."""

    order: np.ndarray  # i8[level], the task that it places
    keys: np.ndarray  # i8[level, candidate], places to try, best first
    at: np.ndarray  # i8[level], the candidate that is next
    pieces: np.ndarray  # i8[level, reading], least pieces in flight
    span: np.ndarray  # i8[level], least number of stages
