"""Among which repetitions of a group an op does the same again and again.

What a repetition moves follows from the iterations of its group's loops (`records.amounts_row`): of each that leaves a
tile in place, or comes back to it, whether it is the first, the last, or another one. So repetitions that are in the
same iterations of all such loops but one are alike between the first and the last iteration of that one.
"""

from sim.engine.cycle.columns import (
    AMOUNTS,
    ARRAY_STATE,
    BRINGS,
    DEPTH_OF,
    GROUP_LOOPS,
    GROUPS,
    INNER,
    INNER_LAG,
    LAG,
    LANES,
    NEVER,
    OP_TABLE,
    POSITION,
    RECORD_VARIANT,
    RECORDS,
    REPEATS,
    STAY_FIRST,
    STAY_LAST,
    STAYING,
    STEPS,
    WINDOW,
)
from sim.engine.cycle.tables import at, at1, at3, at4, row
from sim.engine.jit import compiled


@compiled
def like_repeats(m, array, repeat, turns):
    """The first and the last repetition of an array's group, about `repeat`, in which all its ops do what they do so
    many `turns` later, as in the middle.
    """
    a = row(m, ARRAY_STATE, array)
    group = m[at(m, LANES, array, a[POSITION])]
    first, last = 1, NEVER
    for op in range(m[at(m, GROUPS, group, 0)], m[at(m, GROUPS, group, 1)]):
        record = m[at1(m, STEPS, array)] - m[at(m, OP_TABLE, op, LAG)]
        if 0 <= record < m[RECORDS]:
            variant = m[at(m, RECORD_VARIANT, record % m[WINDOW], m[at(m, OP_TABLE, op, DEPTH_OF)])]
            lag = m[at(m, OP_TABLE, op, INNER_LAG)]
            own_first, own_last = like_moves(m, op, variant, max(0, repeat - lag), turns)
            own_last = min(own_last, m[at3(m, AMOUNTS, variant, op, REPEATS)] - 2)
            first, last = max(first, lag + 1, lag + own_first), min(last, lag + own_last)
    return first, last


@compiled
def like_moves(m, op, variant, repeat, turns):
    """The first and the last repetition of an op, about `repeat`, that move what those so many `turns` later do.
    variant: of its tile.
    """
    tile, size = m[at(m, OP_TABLE, op, STAY_FIRST)], 1
    if tile == m[at(m, OP_TABLE, op, STAY_LAST)]:
        return 0, NEVER
    for loop in range(m[at(m, STAYING, tile, GROUP_LOOPS)] - 1, -1, -1):
        around = size * m[at4(m, INNER, variant, tile, loop, 1)]
        if matters(m, op, variant, loop) and turns % around != 0:
            begin = repeat // around * around
            return begin + size, begin + around - size - 1
        size = around
    return 0, NEVER


@compiled
def matters(m, op, variant, loop):
    """Whether a loop of an op's group leaves any tile in place, or comes back to it."""
    for tile in range(m[at(m, OP_TABLE, op, STAY_FIRST)], m[at(m, OP_TABLE, op, STAY_LAST)]):
        if m[at4(m, INNER, variant, tile, loop, 0)] != BRINGS and m[at4(m, INNER, variant, tile, loop, 1)] > 1:
            return True
    return False
