"""The parts of a program for a rectangular array of PEs: the array, tasks, streams, and places in memory.

A **program** is a tuple of tasks over one memory of words. A **task** defines what a PE does once the task's operands
have arrived; its **streams** define which words enter at which side in which cycle. Columns carry operands, partial
results and broadcasts from the top down; rows carry operands from the left; words leaving the bottom row enter the 1D
array or memory; a link along the 1D array carries operands and partial results from its first PE to its last. The
schedule is static: nothing waits for anything, and an impossible schedule results in `Hazard`s, not in stalls.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from sim.engine.systolic import columns as col

OPERATORS = ("move", "macc", "multiply", "add", "subtract", "max", "divide", "exp", "subtract-exp")
SIDES = ("top", "left", "below", "sideways")
SENT_SOUTH = ("nothing", "operand", "result")
ROWS_OF_TASK = ("every", "step", "step-from-bottom")
NORTH, WEST, NOTHING, ALONG = col.NORTH, col.WEST, col.NOTHING, col.ALONG


class OperatorSlots(NamedTuple):
    """Cycles for which an operation occupies its PE's operator. A difference under an exponential takes add + exp."""

    macc: int = 1
    add: int = 1
    max: int = 1
    divide: int = 1
    exp: int = 6
    subtract_exp: int | None = None  # if one pipelined unit does both

    def of(self, operator: str) -> int:
        """Slots of an operator by its name; moving a value takes none."""
        both = self.add + self.exp if self.subtract_exp is None else self.subtract_exp
        by_name = {"move": 0, "multiply": self.macc, "subtract": self.add, "subtract-exp": both}
        return by_name[operator] if operator in by_name else int(getattr(self, operator))


DEFAULT_SLOTS = OperatorSlots()


@dataclass(frozen=True, slots=True)
class SystolicArray:
    """A `rows` x `cols` array of PEs, with a 1D array of `cols` PEs below it."""

    rows: int
    cols: int
    registers: int = 2  # of each PE, in both arrays
    links: int = 1  # down each column; a row has one
    slots: OperatorSlots = DEFAULT_SLOTS
    turnaround_cycles: int = 0  # from a word's leaving until it may enter again, beyond the next cycle

    def __post_init__(self) -> None:
        for name, least in (("rows", 1), ("cols", 1), ("registers", 1), ("links", 1), ("turnaround_cycles", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} of an array: expected at least {least}, got {getattr(self, name)}")
        for name, slots in self.slots._asdict().items():
            if slots is not None and slots < 1:
                raise ValueError(f"slots of {name}: expected at least 1 cycle, got {slots}")


class WordPlace(NamedTuple):
    """Words of memory by step and lane (a row or column of the array): base + step*step_words + lane*lane_words."""

    base: int
    step_words: int
    lane_words: int


ZERO = WordPlace(0, 0, 0)  # word 0 of every memory holds 0.0


class ArrayTile(NamedTuple):
    """The rows and columns that a task uses, from the top left corner, and its steps."""

    rows: int
    cols: int
    steps: int = 1


class Issue(NamedTuple):
    """A task's name, the cycle of its first word, cycles from step to step, and its link down a column."""

    name: str
    start: int
    stride: int = 1
    link: int = 0


@dataclass(frozen=True, slots=True)
class Stream:
    """Words that enter at a side: lane l gets step s in cycle start + s*stride + l*skew."""

    side: Literal["top", "left", "below", "sideways"]
    words: WordPlace
    skew: int = 1


@dataclass(frozen=True, slots=True)
class ArrayTask:
    """What a PE does once the operands of one step have arrived: `to` = operator(a, b, c), then pass on.

    Operands are register numbers, NORTH, WEST, ALONG (the link along the 1D array) or NOTHING. A task without streams
    belongs to the 1D array and takes the words that the tasks above send into it.
    """

    issue: Issue
    tile: ArrayTile
    operator: str
    a: int
    b: int = NOTHING
    c: int = NOTHING
    to: int | None = None  # register of the result
    south: str = "nothing"  # what goes on down the column
    east: bool = False  # the operand from the left goes on to the right
    passes: str = "nothing"  # what goes on along the 1D array; a result leaves from the last PE of the tile
    at: str = "every"  # rows in which the task fires
    frees: str = ""  # operands (of "abc") whose registers are given up at the last step
    uses_up: str = ""  # the same, at every step
    is_fresh: bool = False  # c counts as zero at step 0
    streams: tuple[Stream, ...] = ()
    then: str | None = None  # name of the 1D array's task that takes what leaves the bottom row
    out: WordPlace | None = None  # destination of words that leave


class Words:
    """Places arrays in one memory, one after the other; word 0 holds 0.0."""

    def __init__(self) -> None:
        self._parts: list[np.ndarray] = [np.zeros(1)]
        self._size = 1

    def hold(self, values: np.ndarray) -> WordPlace:
        """Place of `values: f8[step, lane]`, or of a single number for every step and lane."""
        array = np.asarray(values, dtype=np.float64)
        place = WordPlace(self._size, array.shape[1], 1) if array.ndim == 2 else WordPlace(self._size, 0, 0)
        self._parts.append(array.ravel())
        self._size += array.size
        return place

    def reserve(self, steps: int, lanes: int) -> WordPlace:
        """Place for results; a word that enters the array before it was written is a hazard."""
        return self.hold(np.full((steps, lanes), np.nan))

    def memory(self) -> np.ndarray:
        """f8[word]; NaN where nothing was put."""
        return np.concatenate(self._parts)


def words_of(place: WordPlace, steps: int, lanes: int) -> np.ndarray:
    """i8[step, lane], the words of a place."""
    return place.base + np.arange(steps)[:, None] * place.step_words + np.arange(lanes) * place.lane_words
