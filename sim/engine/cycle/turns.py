"""The turns of a core: which iterations of the dealt levels it has, and which of its tiles they leave in place.

Iterations of the dealt levels together are numbered as one core would go through them, ragged ones included; iteration
i goes to core i modulo the number of cores. A row of indices has the number of the turn, and of its first record, after
its levels. Without dealt levels there is no turn.
"""

from math import gcd

from sim.engine.cycle.columns import (
    ANEW,
    BRINGS,
    CHANGES,
    CHILD,
    COMMON,
    COMMON_TILES,
    CORE,
    CORE_TURNS,
    CORES,
    DEALT,
    DEPENDS,
    DEPTH,
    FIXED,
    HOLDS,
    ITERATIONS,
    NEVER,
    PLACING,
    RECORDS_BELOW,
    TRIPS,
    TURN,
    TURN_FIRST,
)
from sim.engine.cycle.tables import at, at3
from sim.engine.jit import compiled


@compiled
def iteration_of(m, turn):
    """The number of a core's dealt iteration among those of all cores."""
    return m[CORE] + turn * m[CORES]


@compiled
def digit_of(m, variant, level, left):
    """(iteration of a dealt level, iterations of all dealt levels inside it, variant there) of the iteration `left`
    inside a tile.
    """
    full, last = m[at3(m, CHILD, variant, level, 0)], m[at(m, TRIPS, variant, level)] - 1
    each = m[at(m, ITERATIONS, full, level + 1)]
    digit = min(left // each, last)
    inside = m[at3(m, CHILD, variant, level, 1)] if digit == last else full
    return digit, left - digit * each, inside


@compiled
def enter_turn(m, turn, index, variant):
    """Indices and variants of the dealt levels at a turn."""
    left = iteration_of(m, turn)
    index[m[DEPTH] + TURN] = turn
    variant[0] = 0
    for level in range(m[DEALT]):
        index[level], left, variant[level + 1] = digit_of(m, variant[level], level, left)


@compiled
def next_turn(m, index, variant):
    """Go to the next turn, if there is one: whether there is."""
    turn = index[m[DEPTH] + TURN] + 1
    if m[DEALT] == 0 or turn >= m[CORE_TURNS]:
        return False
    index[m[DEPTH] + TURN_FIRST] += m[at(m, RECORDS_BELOW, variant[m[DEALT]], m[DEALT])]
    enter_turn(m, turn, index, variant)
    return True


@compiled
def comes_with_turn(m, tile, index, variant):
    """Whether the tile of a core at this turn is another one than at the turn before. tile: keep, or staying tile."""
    turn = index[m[DEPTH] + TURN]
    placing = m[at(m, PLACING, tile, 0)]
    if turn == 0 or placing == ANEW or m[at(m, CHANGES, variant[m[DEALT]], tile)] == 1:
        return True
    if placing == COMMON:
        now = iteration_of(m, turn)
        return common_tile(m, tile, now) != common_tile(m, tile, now - m[CORES])
    return is_another(m, tile, index, iteration_of(m, turn - 1))


@compiled
def ends_with_turn(m, tile, index, variant):
    """Whether the tile of a core is another one at the next turn, or there is none."""
    turn = index[m[DEPTH] + TURN]
    if turn + 1 >= m[CORE_TURNS]:
        return True
    placing, following = m[at(m, PLACING, tile, 0)], iteration_of(m, turn + 1)
    if placing == ANEW or m[at(m, CHANGES, inside_of(m, following), tile)] == 1:
        return True
    if placing == COMMON:
        return common_tile(m, tile, following) != common_tile(m, tile, following - m[CORES])
    return is_another(m, tile, index, following)


@compiled
def is_another(m, tile, index, iteration):
    """Whether a tile at these indices differs from that of another iteration."""
    variant, left = 0, iteration
    for level in range(m[DEALT]):
        digit, left, variant = digit_of(m, variant, level, left)
        if digit != index[level] and m[at(m, DEPENDS, tile, level)] != HOLDS:
            return True
    return False


@compiled
def came_earlier(m, tile, index):
    """Whether a core had a tile of sums, which it brings at this turn, at the turn before already."""
    turn = index[m[DEPTH] + TURN]
    if turn == 0:
        return False
    variant, left = 0, iteration_of(m, turn - 1)
    for level in range(m[DEALT]):
        digit, left, variant = digit_of(m, variant, level, left)
        if digit != index[level] and m[at(m, DEPENDS, tile, level)] == BRINGS:
            return False
    return True


@compiled
def inside_of(m, iteration):
    """The variant inside all dealt levels at an iteration."""
    variant, left = 0, iteration
    for level in range(m[DEALT]):
        _, left, variant = digit_of(m, variant, level, left)
    return variant


@compiled
def common_tile(m, keep, iteration):
    """The number, through all iterations, of a tile that they have in common."""
    variant, left, found = 0, iteration, 0
    for level in range(m[DEALT]):
        outer, full = variant, m[at3(m, CHILD, variant, level, 0)]
        digit, left, variant = digit_of(m, outer, level, left)
        inside = m[at3(m, COMMON_TILES, full, level + 1, keep)]
        if m[at3(m, FIXED, outer, keep, level)] == 0:
            found += digit * inside
        elif digit > 0:
            return found + inside - 1
    return found


@compiled
def tiles_until_next(m, keep, index):
    """From the tile of a core's turn to its next one; past the last one there is none that it needs."""
    turn = index[m[DEPTH] + TURN]
    if m[at(m, PLACING, keep, 0)] != COMMON:
        return 1
    if turn + 1 >= m[CORE_TURNS]:
        return NEVER
    now = iteration_of(m, turn)
    return common_tile(m, keep, now + m[CORES]) - common_tile(m, keep, now)


@compiled
def count_records(m):
    """Records of all turns of a core."""
    records = 0
    for turn in range(m[CORE_TURNS]):
        records += m[at(m, RECORDS_BELOW, inside_of(m, iteration_of(m, turn)), m[DEALT])]
    return records


@compiled
def most_together(m, keep, iterations):
    """The most common tiles that so many iterations in a row need."""
    everything, most = m[at(m, ITERATIONS, 0, 0)], 1
    for first in range(max(1, everything - iterations + 1)):
        last = min(first + iterations, everything) - 1
        most = max(most, common_tile(m, keep, last) - common_tile(m, keep, first) + 1)
    return most


@compiled
def first_records(m, own, alone):
    """Fill `own` and `alone: i8[turn]` with the number of each turn's first record in its core, and on one core."""
    record = 0
    for turn in range(m[CORE_TURNS]):
        variant, left, before = 0, iteration_of(m, turn), 0
        for level in range(m[DEALT]):
            full = m[at3(m, CHILD, variant, level, 0)]
            digit, left, variant = digit_of(m, variant, level, left)
            before += digit * m[at(m, RECORDS_BELOW, full, level + 1)]
        own[turn], alone[turn] = record, before
        record += m[at(m, RECORDS_BELOW, variant, m[DEALT])]


@compiled
def turns_alike(m, level):
    """(turns, iterations of a dealt level) after which every core has the same iterations inside that level again, if
    all tiles are full; and how many of the level there are.
    """
    variant = 0
    for outer in range(level):
        variant = m[at3(m, CHILD, variant, outer, 0)]
    inside = m[at(m, ITERATIONS, m[at3(m, CHILD, variant, level, 0)], level + 1)]
    common = gcd(inside, m[CORES])
    return inside // common, m[CORES] // common, m[at(m, TRIPS, variant, level)]


@compiled
def run_of(m, turn, level):
    """Of the run of a dealt level to which a turn belongs: its first iteration among those of all cores, iterations
    inside one of the level, and how many of the level there are.
    """
    variant, left = 0, iteration_of(m, turn)
    for outer in range(level):
        _, left, variant = digit_of(m, variant, outer, left)
    inside = m[at(m, ITERATIONS, m[at3(m, CHILD, variant, level, 0)], level + 1)]
    return iteration_of(m, turn) - left, inside, m[at(m, TRIPS, variant, level)]
