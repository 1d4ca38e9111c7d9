"""Exact fast-forward: a repeating stretch is counted, not simulated.

The engine is deterministic, so two moments with equal states have equal futures as long as the loops look alike.
Whenever array 0 begins an iteration of a loop, the state is recorded relative to that iteration (how far every counter
is ahead, what is in progress and for how long) and compared with those of earlier iterations of the same loop; likewise
whenever an array begins another repetition of a group, a round of them (an iteration of a loop that has another one
inside), or another fold of an op. If one from q iterations ago is equal,
multiples of q iterations are skipped, as many as stay clear of the loop's first and last iteration (which may be
shorter, and around which other things happen): every counter grows by a multiple of its growth in these q iterations,
and everything in progress moves along. What takes longer than q iterations, as a transfer of a tile further out may, is
further on than it was, and ends the skipping when it ends (`periods`). Nested loops skip inside one another, so that
the work is of the order of (iterations until the state repeats)^loops, whatever the sizes.
"""

from sim.engine.cycle.columns import (
    ANOTHER_FOLD,
    ANOTHER_ROUND,
    ARRAY_STATE,
    ARRAYS,
    AVAILABLE,
    BOUNDARY,
    DEPTH,
    EVENTS,
    FRONT,
    HISTORY,
    HISTORY_SLOTS,
    KEEPS,
    KEPT,
    LONG_QUIET,
    MARKS,
    MAX_LAG,
    NEXT,
    OP,
    OPS,
    ORDINAL,
    PER_KEEP,
    PER_OP,
    PLACE,
    POSITION,
    QUIET,
    RECORD_INDEX,
    RECORD_ORDINAL,
    RECORD_VARIANT,
    RECORDS,
    REMEMBERED,
    SEEN,
    STARTED,
    STEPS,
    TIME,
    TURNED,
    TURNS,
    WINDOW,
)
from sim.engine.cycle.move import skip
from sim.engine.cycle.periods import periods_to_skip
from sim.engine.cycle.records import has_items, record_of
from sim.engine.cycle.remember import describe, first_described, mark_of
from sim.engine.cycle.tables import at, at1, row, row3
from sim.engine.jit import compiled

MOST_LOOKS = 256  # at moments of one quiet stretch


@compiled
def fast_forward(m):
    """Where something repeats: remember the state, or skip if it occurred before."""
    if m[BOUNDARY] == 1:
        m[BOUNDARY] = 0
        level = loop_begun(m)
        if level >= 0:
            look_back(m, level)
    if m[TURNS] == 1:
        m[TURNS] = 0
        for array in range(m[ARRAYS]):
            if m[at(m, ARRAY_STATE, array, TURNED)] != 0:
                look_back(m, turn_begun(m, array))
                m[at(m, ARRAY_STATE, array, TURNED)] = 0
    elif m[QUIET] >= LONG_QUIET:
        look_in_quiet(m)


@compiled
def look_in_quiet(m):
    """Where ports change hands from cycle to cycle while ops are under way, moments are compared; not for long, if
    there is nothing to be found.
    """
    level = m[DEPTH] + 2 * m[ARRAYS]
    kept = row(m, REMEMBERED, level)
    if kept[PLACE] != m[EVENTS]:
        kept[:] = 0
        kept[PLACE] = m[EVENTS]
    if kept[SEEN] < MOST_LOOKS:
        look_back(m, level)


@compiled
def loop_begun(m):
    """The level of the loop of which array 0 has begun an iteration; -1 if states there cannot repeat."""
    front = m[FRONT]
    if front >= m[RECORDS]:
        return -1
    slot = front % m[WINDOW]
    for keep in range(m[KEEPS]):
        m[at(m, PER_KEEP, keep, ORDINAL)] = m[at(m, RECORD_ORDINAL, slot, keep)]
    level = m[DEPTH] - 1
    while level >= 0 and m[at(m, RECORD_INDEX, slot, level)] == 0:
        level -= 1
    for inner in range(level + 1, m[DEPTH]):
        row(m, REMEMBERED, inner)[:] = 0
    if level < 0 or has_items(m, m[at(m, RECORD_VARIANT, slot, level)], level) or not lies_inside(m, level):
        return -1
    return level


@compiled
def turn_begun(m, array):
    """The level of an array's repetitions, rounds of them, or folds, of which it has begun another; those of one group,
    or of one repetition of an op, are compared.
    """
    a = row(m, ARRAY_STATE, array)
    level, place, time = m[DEPTH] + array, a[POSITION], m[at1(m, STEPS, array)]
    if a[TURNED] == ANOTHER_FOLD:
        level, place, time = level + m[ARRAYS], a[OP], m[at(m, PER_OP, a[OP], STARTED)]
    if a[TURNED] == ANOTHER_ROUND:
        level += 2 * m[ARRAYS] + 1
    kept = row(m, REMEMBERED, level)
    if kept[PLACE] != place or kept[TIME] != time:
        kept[:] = 0
        kept[PLACE], kept[TIME] = place, time
    return level


@compiled
def lies_inside(m, level):
    """Whether all records in use belong to one run of loop `level`, past its first iteration."""
    window, front = m[WINDOW], m[FRONT]
    oldest, newest = front, front
    for array in range(m[ARRAYS]):
        oldest, newest = min(oldest, m[at1(m, STEPS, array)]), max(newest, m[at1(m, STEPS, array)])
    oldest -= m[MAX_LAG]
    if oldest < 0 or newest >= m[RECORDS]:
        return False
    for loop in range(level):
        here = m[at(m, RECORD_INDEX, front % window, loop)]
        if (
            m[at(m, RECORD_INDEX, oldest % window, loop)] != here
            or m[at(m, RECORD_INDEX, newest % window, loop)] != here
        ):
            return False
    first = record_of(m, row(m, RECORD_INDEX, front % window), row(m, RECORD_VARIANT, front % window), level)
    for op in range(m[OPS]):
        if m[at(m, PER_OP, op, AVAILABLE)] <= first:
            return False
    return m[at(m, RECORD_INDEX, oldest % window, level)] >= 1


@compiled
def look_back(m, level):
    """Skip if the state has been there before; else remember it.

    Of the slots of a history the last one has a state of some time ago, renewed ever more seldom, so that long periods
    are found too; the others have the newest.
    """
    kept, ring = row(m, REMEMBERED, level), m[HISTORY_SLOTS] - 1
    state = row3(m, HISTORY, level, kept[NEXT])
    last = describe(m, level, state)
    if last < 0:
        return
    first = first_described(m)
    mark = mark_of(state, first, last)
    for age in range(1, min(kept[KEPT], ring - 1) + 1):
        if skips_from(m, level, (kept[NEXT] - age) % ring, mark, (first, last)):
            return
    if kept[SEEN] > ring and skips_from(m, level, ring, mark, (first, last)):
        return
    m[at(m, MARKS, level, kept[NEXT])] = mark
    if kept[SEEN] >= ring and kept[SEEN] & (kept[SEEN] - 1) == 0:
        row3(m, HISTORY, level, ring)[:] = state
        m[at(m, MARKS, level, ring)] = mark
    kept[NEXT] = (kept[NEXT] + 1) % ring
    kept[KEPT] = min(kept[KEPT] + 1, ring)
    kept[SEEN] += 1


@compiled
def skips_from(m, level, slot, mark, described):
    """Skip as often as the stretch since the state of a slot repeats; whether it does. described: where the description
    of the state in the next slot begins and ends, `mark` its mark.
    """
    if m[at(m, MARKS, level, slot)] != mark:
        return False
    kept = row(m, REMEMBERED, level)
    state, then = row3(m, HISTORY, level, kept[NEXT]), row3(m, HISTORY, level, slot)
    if not equal(state, then, described[0], described[1]):
        return False
    periods = periods_to_skip(m, level, then, state)
    if periods == 0:
        return False
    skip(m, level, then, state, periods)
    kept[KEPT], kept[NEXT], kept[SEEN] = 0, 0, 0
    return True


@compiled
def equal(state, then, first, last):
    i = first
    while i < last and state[i] == then[i]:
        i += 1
    return i == last
