"""The data of the binding search: rows of its tables, and groups of tables that belong together.

Fields of a row are i8 (see `sim.engine.record`), in cycles unless commented otherwise. A named tuple of arrays costs a
compiled call two reference counts per field, so outer loops take one and pass single tables to inner loops.
"""

from typing import NamedTuple

import numpy as np

from sim.engine.record import record

NO_PATH = -(1 << 40)
UNLIMITED = 1 << 60


class TaskRecord(NamedTuple):
    """A task; it may issue its slots every `fastest` to `slowest` times `cycles`."""

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
    from_start: int  # 1: its place is occupied from its maker's start
    latency: int
    words: int  # of one piece
    memory: int  # number


class PlaceRecord(NamedTuple):
    """The place of a task, which starts at stage * interval + offset."""

    offset: int
    stride: int  # from slot to slot; 0: not placed yet
    stage: int  # number; chosen when all tasks have an offset


class Answer(NamedTuple):
    """The findings of a search so far."""

    nodes: int  # places tried
    found: int  # 1: there is a schedule
    exhausted: int  # 1: every choice was tried, or excluded
    best_words: int
    best_stages: int
    least_words: int  # of any schedule of the interval
    least_stages: int
    open_words: int  # lower bound for a choice of offsets whose stages were not proved optimal


PLACE, ANSWER = record(PlaceRecord), record(Answer)


class Graph(NamedTuple):
    """The tasks of one tile and all constraints between them."""

    tasks: np.ndarray  # TaskRecord[task]
    uses: np.ndarray  # UseRecord[use]
    edges: np.ndarray  # EdgeRecord[edge]
    readings: np.ndarray  # ReadingRecord[reading]
    capacity: np.ndarray  # i8[resource], units
    room: np.ndarray  # i8[memory], words


class Question(NamedTuple):
    """The question that a search answers."""

    interval: int  # cycles
    budget: int  # nodes
    first_only: bool  # whether the first schedule found suffices
    compact: bool  # whether places adjacent to others are tried first


class Board(NamedTuple):
    """An interval and the tasks that are placed in it."""

    interval: int  # cycles
    far: np.ndarray  # i8[task, task], least difference of starts, cycles; NO_PATH: unconstrained
    places: np.ndarray  # PlaceRecord[task]
    taken: np.ndarray  # i8[resource, cycle], units


class Levels(NamedTuple):
    """The state of a search at every level; at level n, n tasks are placed."""

    order: np.ndarray  # i8[level], the task that it places
    keys: np.ndarray  # i8[level, candidate], places to try, best first
    at: np.ndarray  # i8[level], the candidate that is next
    pieces: np.ndarray  # i8[level, reading], least pieces in flight
    span: np.ndarray  # i8[level], least number of stages
