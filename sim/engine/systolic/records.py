"""Rows of the tables that drive the PE-level engine; fields are i8 (see `sim.engine.record`), codes in `columns`."""

from typing import NamedTuple

from sim.engine.record import record


class ElementTask(NamedTuple):
    """What a PE does once the operands of one step have arrived; an operand is a register number or NORTH, WEST,
    NOTHING or ALONG.
    """

    operator: int
    a: int
    b: int
    c: int
    to: int  # register of the result, -1: none
    south: int  # what a PE sends down the column: one of SEND_*
    east: int  # 1: the operand from the west moves on
    needs: int  # bits of NEEDS_*
    at: int  # rows in which it fires
    rows: int  # of its tile
    cols: int
    steps: int
    slots: int  # cycles of the PE's operator
    frees: int  # bits of operands whose registers are given up at the last step
    uses_up: int  # the same at every step
    fresh: int  # 1: operand c counts as zero at step 0
    then: int  # task of the 1D array that takes what leaves the bottom row, -1: none
    out_base: int  # first word of what leaves, -1: nothing is kept
    out_step: int  # words from step to step
    out_lane: int  # words from column to column
    passes: int  # what goes on along the 1D array: one of SEND_*


class StreamRecord(NamedTuple):
    """Words that enter at one side, lane after lane and step after step."""

    task: int
    side: int
    link: int  # of a column
    start: int  # cycle in which lane 0 gets step 0
    stride: int  # cycles from step to step
    skew: int  # cycles from lane to lane
    steps: int
    lanes: int
    first_word: int
    step_words: int
    lane_words: int


class Now(NamedTuple):
    """The PE and the cycle being processed, and the tag of the current token."""

    cycle: int
    row: int
    col: int
    token: int


NOW = record(Now)
