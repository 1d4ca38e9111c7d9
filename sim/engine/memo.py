"""What has been counted already, by whole numbers: an open table inside compiled loops."""

from typing import NamedTuple

import numpy as np

from sim.engine.jit import compiled

SLOTS, WIDTH = 4096, 8  # a power of two; the numbers of a key
AGE, FILLED = 0, 1  # of the state: what is older is not there; how many are
MIXER = 0x9E3779B97F4A7C1 | 1  # odd, so that no key's number is lost


class Memo(NamedTuple):
    """Whole numbers by keys of WIDTH whole numbers."""

    key: np.ndarray  # i8[WIDTH], the one that is asked for
    keys: np.ndarray  # i8[slot, WIDTH]
    values: np.ndarray  # i8[slot]
    ages: np.ndarray  # i8[slot]
    state: np.ndarray  # i8[(AGE, FILLED)]


@compiled
def new_memo():
    """An empty table."""
    ages, state = np.zeros(SLOTS, np.int64), np.zeros(2, np.int64)
    state[AGE] = 1
    return Memo(np.zeros(WIDTH, np.int64), np.empty((SLOTS, WIDTH), np.int64), np.empty(SLOTS, np.int64), ages, state)


@compiled
def forget(memo):
    """Empty a table."""
    memo.state[AGE] += 1
    memo.state[FILLED] = 0


@compiled
def slot_of(memo):
    """The slot of `memo.key`, and whether its value is there; an empty slot has its key set."""
    if memo.state[FILLED] > SLOTS // 2:
        forget(memo)
    mixed = np.int64(0)
    for n in range(WIDTH):
        mixed = (mixed ^ memo.key[n]) * MIXER
        mixed ^= mixed >> 29
    slot = mixed & (SLOTS - 1)
    while memo.ages[slot] == memo.state[AGE]:
        same = True
        for n in range(WIDTH):
            same = same and memo.keys[slot, n] == memo.key[n]
        if same:
            return slot, True
        slot = (slot + 1) & (SLOTS - 1)
    memo.keys[slot] = memo.key
    return slot, False


@compiled
def keep_value(memo, slot, value):
    """Put a value where `slot_of` has set its key."""
    memo.values[slot] = value
    memo.ages[slot] = memo.state[AGE]
    memo.state[FILLED] += 1
