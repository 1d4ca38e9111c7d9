"""Which designs of a batch have the same numbers, so that what is counted for one holds for the others."""

import numpy as np

from sim.engine.jit import compiled

MIXER = 0x9E3779B97F4A7C1 | 1  # odd, so that no bit of a number is lost


@compiled
def first_alike(numbers, firsts):
    """Fill `firsts: i8[design]` with the first design that has the same `numbers: i8[design, n]`."""
    slots = 4
    while slots < 2 * firsts.size:
        slots *= 2
    table = np.full(slots, -1, np.int64)
    for d in range(firsts.size):
        mixed = np.int64(0)
        for n in range(numbers.shape[1]):
            mixed = (mixed ^ numbers[d, n]) * MIXER
            mixed ^= mixed >> 29
        slot = mixed & (slots - 1)
        while table[slot] >= 0 and not same_row(numbers, table[slot], d):
            slot = (slot + 1) & (slots - 1)
        if table[slot] < 0:
            table[slot] = d
        firsts[d] = table[slot]


@compiled
def same_row(numbers, one, other):
    """Whether two rows of numbers are the same."""
    differing = 0
    for n in range(numbers.shape[1]):
        differing += numbers[one, n] != numbers[other, n]
    return differing == 0
