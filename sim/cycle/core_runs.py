"""One run of a program on several cores, and the results left in their rows."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sim.cycle.choice import CycleDesign
from sim.cycle.cores import CorePrograms, deal, places_of_common
from sim.cycle.program import NamedProgram
from sim.cycle.state import (
    BETWEEN_LOOKS_S,
    FIRST_MOMENTS,
    HISTORY_SLOTS,
    NestTiming,
    Window,
    check_outcome,
    lay_out,
    outcome_of,
    view_of,
)
from sim.ending import CutShort
from sim.engine.cycle import columns as col
from sim.engine.cycle.board import IS_OVER, MARKS, NOBODY, NOTHING_KNOWN, CoreBoard
from sim.engine.cycle.together import begin_together, run_together
from sim.engine.cycle.turns import count_records, turns_alike
from sim.lower.walk import Extents

HISTORY_NUMBERS = 1 << 25  # of all remembered states together


@dataclass(frozen=True, slots=True)
class CoresTiming:
    """The outcome of a run on several cores: of each core, and of what they have in common."""

    start: Extents  # outside its loops
    cores: tuple[NestTiming, ...]
    hub: NestTiming

    @property
    def together(self) -> NestTiming:
        """What all of them did: stalls, busy cycles, transfers and words of all cores, in the time of the last one."""
        every = (*self.cores, self.hub)
        return NestTiming(
            cycles=self.hub.cycles,
            stalls=_sum([one.stalls for one in self.cores]),
            busy=_sum([one.busy for one in self.cores]),
            served=_sum([one.served for one in every]),
            words=_sum([one.words for one in every]),
            moved=_sum([one.moved for one in self.cores]),
            runs=_sum([one.runs for one in self.cores]),
            events=sum(one.events for one in every),
            skipped=sum(one.skipped for one in every),
            log=self.hub.log,
        )


def _sum(tables: list[np.ndarray]) -> np.ndarray:
    return np.asarray(np.sum(tables, axis=0, dtype=np.int64))


@dataclass(frozen=True, slots=True)
class RunWishes:
    """How to run: `fast` changes only the running time, never the outcome; `tell` hears now and then of the cycles in
    which arrays have computed.
    """

    fast: bool = True
    window: Window | None = None
    tell: Callable[[int], None] = lambda busy_cycles: None


def run_cores(design: CycleDesign, named: NamedProgram, start: Extents, wishes: RunWishes | None = None) -> CoresTiming:
    """Run a program on all cores of its machine. ValueError if its schedule deadlocks, or cores cannot share a tile;
    CutShort, with the outcome so far, at an interrupt.
    """
    dealt, wishes = deal(design, named, start), wishes or RunWishes()
    laid = [lay_out(program, wishes.window or Window(), history=0) for program in dealt.programs]
    every, shapes = np.stack([m for m, _ in laid]), laid[0][1]
    for m in every[:-1]:
        m[col.RECORDS] = count_records(m)
        served = m[m[col.SERVER_STATE] :][: len(dealt.shared_servers) * col.SERVER_COLUMNS]
        served.reshape(-1, col.SERVER_COLUMNS)[dealt.shared_servers, col.SERVES] = 0
    hub = every[-1]
    hub[col.ARRAYS] = 0
    for keep, places in places_of_common(design, named.tiles, every[0]).items():
        hub[hub[col.KEEP_TABLE] + keep * col.KEEP_COLUMNS + col.COPIES] = places
    board = _board(every, shapes, dealt)

    def outcome() -> CoresTiming:
        found = [outcome_of(m, shapes) for m in every]
        return CoresTiming(start, tuple(found[:-1]), found[-1])

    try:
        begin_together(every, board)
        moments, last = FIRST_MOMENTS, time.monotonic()
        while board.marks[IS_OVER] == 0:
            run_together(every, board, wishes.fast, moments)
            took, last = time.monotonic() - last, time.monotonic()
            moments = 2 * moments if took < BETWEEN_LOOKS_S else max(1, moments // 2)
            wishes.tell(sum(int(view_of(m, shapes, "PER_OP")[:, col.BUSY].sum()) for m in every[:-1]))
    except KeyboardInterrupt as interrupt:
        raise CutShort(outcome(), interrupt) from interrupt
    check_outcome(every[0])
    return outcome()


def _board(every: np.ndarray, shapes: dict[str, tuple[int, ...]], dealt: CorePrograms) -> CoreBoard:
    rows, servers, keeps = len(every), len(dealt.shared_servers), len(dealt.groups)
    _, _, numbers = shapes["HISTORY"]
    (users,) = shapes["RELEASED"]
    depth = shapes["RECORD_INDEX"][1] - col.INDEX_MORE
    slots = max(2, min(HISTORY_SLOTS, HISTORY_NUMBERS // (max(depth, 1) * rows * numbers)))
    dealing = _dealing(every[0], slots)
    return CoreBoard(
        due=np.full(rows, NOTHING_KNOWN, np.int64),
        stale=np.zeros(rows, np.int64),
        active=np.zeros(rows, np.int64),
        settled=np.zeros(rows, np.int64),
        owner=np.full(servers, NOBODY, np.int64),
        free_since=np.full(servers, -1, np.int64),
        is_shared=dealt.shared_servers.astype(np.int64),
        offers=np.zeros((rows, servers, 3), np.int64),
        ages=np.full((servers, rows), col.NEVER, np.int64),
        demand=np.zeros((rows, len(dealt.ports)), np.int64),
        asked=np.zeros(len(dealt.ports), np.int64),
        taken=np.zeros(len(dealt.ports), np.int64),
        ports=dealt.ports,
        released=np.zeros((users, rows - 1), np.int64),
        groups=dealt.groups,
        leaving=np.zeros((keeps, depth + col.INDEX_MORE), np.int64),
        leaving_variant=np.zeros((keeps, depth + 1), np.int64),
        marks=np.zeros(MARKS, np.int64),
        history=np.zeros((depth, slots, rows, numbers), np.int64),
        remembered=np.zeros((depth, 3), np.int64),
        dealing=dealing,
        looks=np.array([-1 if dealing.any() else col.NEVER]),
        scratch=np.zeros(numbers, np.int64),
    )


def _dealing(m: np.ndarray, slots: int) -> np.ndarray:
    """Of every dealt level after how many turns cores have the same work again, and how often to look whether they
    are in the same state; 0 where there is no room for it. m: core 0; slots: states that are remembered.
    """
    found = np.zeros((int(m[col.DEALT]), 2), np.int64)
    for level in range(len(found)):
        turns, digits, room = turns_alike(m, level)
        if room >= 2 * digits + 2:
            looks = next(n for n in range(min(slots - 1, turns), 0, -1) if turns % n == 0)
            found[level] = turns, turns // looks
    return found
