"""What has been counted already, by whole numbers: an open table inside compiled loops.

A table is one array, since compiled loops count the references to every array that they hand on. Each row but the last
two is a slot: a key, its value, and the age of the table when it was put there.
"""

import numpy as np

from sim.engine.jit import compiled

SLOTS, WIDTH = 4096, 8  # a power of two; the numbers of a key
VALUE, AGE = WIDTH, WIDTH + 1  # columns behind the key; what is older than the table is not there
KEY, STATE = SLOTS, SLOTS + 1  # rows behind the slots: the key that is asked for, and how many slots (VALUE) are full
MIXER = 0x9E3779B97F4A7C1 | 1  # odd, so that no bit of a number is lost


@compiled
def new_memo():
    """An empty table: i8[slots and two rows, WIDTH and two columns]."""
    memo = np.zeros((SLOTS + 2, WIDTH + 2), np.int64)
    memo[STATE, AGE] = 1
    return memo


@compiled
def forget(memo):
    """Empty a table."""
    memo[STATE, AGE] += 1
    memo[STATE, VALUE] = 0


@compiled
def slot_of(memo):
    """The slot of the key in row KEY, and whether its value is there; an empty slot has the key put in."""
    if memo[STATE, VALUE] > SLOTS // 2:
        forget(memo)
    mixed = np.int64(0)
    for n in range(WIDTH):
        mixed = (mixed ^ memo[KEY, n]) * MIXER
        mixed ^= mixed >> 29
    slot = mixed & (SLOTS - 1)
    while memo[slot, AGE] == memo[STATE, AGE]:
        is_same = True
        for n in range(WIDTH):
            is_same = is_same and memo[slot, n] == memo[KEY, n]
        if is_same:
            return slot, True
        slot = (slot + 1) & (SLOTS - 1)
    for n in range(WIDTH):
        memo[slot, n] = memo[KEY, n]
    return slot, False


@compiled
def keep_value(memo, slot, value):
    """Put a value where `slot_of` has put its key."""
    memo[slot, VALUE], memo[slot, AGE] = value, memo[STATE, AGE]
    memo[STATE, VALUE] += 1
