"""What is remembered of all cores where core 0 begins a turn, so that a later moment can be compared with it.

Turns repeat where every core has the same iterations inside a dealt level again, further on in that level alone. So a
state is described relative to the turn of core 0: how far every core, and the next tile of everything, is ahead of it.
A tile of another *run* of the level (the iterations of that level inside one of those outside), or of its first or last
iteration, is described as it is: it has to stand still. What is under way has to be as far as it was.
"""

from sim.engine.cycle.columns import (
    ARRAYS,
    CHILD,
    COMMON,
    CORE,
    CORE_TURNS,
    CORES,
    DEALT,
    DEPTH,
    DRAINS,
    DRAINS_ASKED,
    DRAINS_BEGUN,
    FILL_SITE,
    FILLED,
    FILLS_BEGUN,
    FRONT,
    HEAD_RECORD,
    IN_LEFT,
    IN_RECORD,
    JOB,
    JOB_RECORD,
    KEEP_TABLE,
    KEEPS,
    MAX_LAG,
    NEVER,
    NO_JOB,
    OLD_LOOP,
    OPS,
    ORDINAL,
    OUT_LEFT,
    OUT_RECORD,
    PARTIAL,
    PER_KEEP,
    PLACING,
    RECORD_INDEX,
    RECORD_ORDINAL,
    RECORD_VARIANT,
    RECORDS,
    RECORDS_BELOW,
    RETURNS,
    SERVER_STATE,
    SERVERS,
    SITE_INDEX,
    STEPS,
    TRIPS,
    TURN,
    WINDOW,
)
from sim.engine.cycle.remember import describe, has_site, site_place
from sim.engine.cycle.tables import at, at1, at3, row
from sim.engine.cycle.turns import iteration_of, run_of
from sim.engine.jit import compiled

# The last numbers of a row: how many there are, and where core 0 was.
NUMBERS, AT_TURN, AT_DIGIT = -1, -2, -3
NEAR, FAR, NOWHERE = range(3)  # where the next tile of a site belongs: to the middle of the run, elsewhere, nowhere
LOWEST, END, DIGITS = range(3)  # of a run: its first iteration of the middle, that after the middle, those of the level


@compiled
def front_row(m):
    """Where array 0 of a core is: its indices."""
    return row(m, RECORD_INDEX, m[FRONT] % m[WINDOW])


@compiled
def run_around(m, level):
    """The run of a dealt level in which a core is: (first iteration of its middle, the one after, iterations of the
    level).
    """
    first, inside, digits = run_of(m, front_row(m)[m[DEPTH] + TURN], level)
    edge = 1
    for keep in range(m[KEEPS]):  # what is brought differs in the first iteration of any core
        if m[at(m, RETURNS, keep, level)] == 1 or m[at(m, KEEP_TABLE, keep, OLD_LOOP)] == level:
            edge = m[CORES]
    return first + edge * inside, first + (digits - 1) * inside, digits


@compiled
def last_turn(m, run):
    """The last turn of a core after which another one of the middle of a run comes, and another of the core."""
    return min((run[END] - 1 - m[CORE]) // m[CORES] - 1, m[CORE_TURNS] - 3)


@compiled
def newest_turn(m, run):
    """The last turn in use of a core in the middle of a run; -1 where not all are there, with a turn more at both
    ends.
    """
    oldest, newest = m[FRONT], m[FRONT]
    for array in range(m[ARRAYS]):
        oldest, newest = min(oldest, m[at1(m, STEPS, array)]), max(newest, m[at1(m, STEPS, array)])
    oldest -= m[MAX_LAG]
    if oldest < 0 or newest >= m[RECORDS]:
        return -1
    lowest = m[at(m, RECORD_INDEX, oldest % m[WINDOW], m[DEPTH] + TURN)]
    highest = m[at(m, RECORD_INDEX, newest % m[WINDOW], m[DEPTH] + TURN)]
    for site in range(m[KEEPS] + m[OPS]):
        if place_of(m, site, run) == NEAR:
            highest = max(highest, m[at(m, SITE_INDEX, site, m[DEPTH] + TURN)])
    if lowest < 2 or iteration_of(m, lowest - 1) < run[LOWEST] or highest > last_turn(m, run):
        return -1
    return highest


@compiled
def place_of(m, site, run):
    """Where the next tile or stream of a core's site belongs."""
    if not has_site(m, site):
        return NOWHERE
    iteration = iteration_of(m, m[at(m, SITE_INDEX, site, m[DEPTH] + TURN)])
    return NEAR if run[LOWEST] <= iteration < run[END] else FAR


@compiled
def is_near(index, front, level, run):
    """The same of a position of the hub. index, front: i8[level], the latter of core 0."""
    for outer in range(level):
        if index[outer] != front[outer]:
            return False
    return 1 <= index[level] < run[DIGITS] - 1


@compiled
def has_common(hub, keep):
    """Whether there is another common tile of a keep to come: brought, or there as soon as it has a place."""
    return hub[at(hub, PLACING, keep, 0)] == COMMON and hub[at(hub, PER_KEEP, keep, FILL_SITE)] != NEVER


@compiled
def describe_turns(every, board, level, state):
    """Write the states of all rows, relative to the turn of core 0: i8[row, number]; whether they had room. Each has
    its counters, its remains and the rest (`remember`); their number stands at the end.
    """
    leader, hub = every[0], every.shape[0] - 1
    run, front = run_around(leader, level), front_row(leader)
    for place in range(hub + 1):
        m, own = every[place], state[place]
        mark_ordinals(m, leader if place == hub else m, place == hub)
        n = describe(m, m[DEPTH], own)
        if n < 0 or n + (m[KEEPS] + m[OPS]) * (2 * m[DEPTH] + 9) + 3 * m[DEPTH] + 2 * m[SERVERS] + 8 > own.size:
            return False
        if place < hub:
            n = describe_place(m, own, n, (level, m[FRONT] - leader[FRONT], front))
            n = describe_next(m, own, n, run, front[m[DEPTH] + TURN])
            n = describe_under_way(m, own, n, m[FRONT])
        else:
            n = describe_hub(m, board, own, n, (level, run, front))
        own[NUMBERS], own[AT_TURN], own[AT_DIGIT] = n, front[m[DEPTH] + TURN], front[level]
    return True


@compiled
def mark_ordinals(m, at_front, is_hub):
    """The tiles with which counters of a row are compared: those at the front of a core; of the hub, at core 0's."""
    slot = at_front[FRONT] % at_front[WINDOW]
    for keep in range(m[KEEPS]):
        if not is_hub or m[at(m, PLACING, keep, 0)] == COMMON:
            m[at(m, PER_KEEP, keep, ORDINAL)] = at_front[at(at_front, RECORD_ORDINAL, slot, keep)]


@compiled
def describe_place(m, own, n, seen):
    """Where a core is. seen: (level, records that it is ahead of core 0, indices of that)."""
    level, ahead, front = seen
    index, slot = front_row(m), m[FRONT] % m[WINDOW]
    own[n], own[n + 1], own[n + 2] = ahead, index[m[DEPTH] + TURN] - front[m[DEPTH] + TURN], index[level] - front[level]
    n += 3
    for loop in range(m[DEPTH]):
        own[n] = index[loop] if loop != level else 0
        n += 1
    for loop in range(m[DEPTH] + 1):
        own[n] = m[at(m, RECORD_VARIANT, slot, loop)]
        n += 1
    return n


@compiled
def describe_next(m, own, n, run, turn):
    """Where the next tiles and streams of a core belong. turn: of core 0."""
    for site in range(m[KEEPS] + m[OPS]):
        place = place_of(m, site, run)
        own[n] = place
        n += 1
        if place == NOWHERE:
            continue
        own[n] = m[at(m, SITE_INDEX, site, m[DEPTH] + TURN)] - (turn if place == NEAR else 0)
        n += 1
        for loop in range(m[DEALT], m[DEPTH]):
            own[n] = m[at(m, SITE_INDEX, site, loop)]
            n += 1
    return n


@compiled
def describe_under_way(m, own, n, front):
    """The records of transfers that are under way, or had to make way, from record `front` on."""
    for server in range(m[SERVERS]):
        is_busy = m[at(m, SERVER_STATE, server, JOB)] != NO_JOB
        own[n] = m[at(m, SERVER_STATE, server, JOB_RECORD)] - front if is_busy else 0
        n += 1
    for site in range(m[KEEPS] + m[OPS]):
        own[n] = m[at(m, PARTIAL, site, IN_RECORD)] - front if m[at(m, PARTIAL, site, IN_LEFT)] > 0 else 0
        own[n + 1] = m[at(m, PARTIAL, site, OUT_RECORD)] - front if m[at(m, PARTIAL, site, OUT_LEFT)] > 0 else 0
        n += 2
    return n


@compiled
def describe_hub(hub, board, own, n, seen):
    """The place of what cores have in common, and who uses what they share. seen: (level, run, indices of core 0)."""
    level, _, front = seen
    base = front[level] * records_inside(hub, front, level)
    for keep in range(hub[KEEPS]):
        if hub[at(hub, PER_KEEP, keep, DRAINS_BEGUN)] < hub[at(hub, PER_KEEP, keep, DRAINS_ASKED)]:
            own[site_place(hub, keep, HEAD_RECORD)] -= base
        if hub[at(hub, PLACING, keep, 0)] != COMMON:
            continue
        for counter in (FILLS_BEGUN, FILLED):  # also of results, which are there without a transfer
            own[n] = hub[at(hub, PER_KEEP, keep, counter)] - hub[at(hub, PER_KEEP, keep, ORDINAL)]
            n += 1
        if has_common(hub, keep):
            n = describe_position(hub, own, n, row(hub, SITE_INDEX, keep), seen)
        if hub[at(hub, KEEP_TABLE, keep, DRAINS)] == 1:
            n = describe_position(hub, own, n, board.leaving[keep], seen)
    n = describe_under_way(hub, own, n, base)
    for server in range(hub[SERVERS]):
        own[n] = board.owner[server]
        n += 1
    return n


@compiled
def describe_position(hub, own, n, index, seen):
    """Where a tile of the hub belongs. index: i8[level]"""
    level, run, front = seen
    near = is_near(index, front, level, run)
    own[n] = 1 if near else 0
    n += 1
    for loop in range(hub[DEPTH]):
        own[n] = index[loop] - (front[loop] if near and loop == level else 0)
        n += 1
    return n


@compiled
def records_inside(hub, front, level):
    """Records of all cores inside an iteration of a dealt level; front: the indices of core 0, i8[level]."""
    variant = 0
    for outer in range(level):
        is_last = front[outer] == hub[at(hub, TRIPS, variant, outer)] - 1
        variant = hub[at3(hub, CHILD, variant, outer, 1 if is_last else 0)]
    return hub[at(hub, RECORDS_BELOW, hub[at3(hub, CHILD, variant, level, 0)], level + 1)]


@compiled
def equal_turns(state, then, counted):
    """Whether two states have the same future. counted: how many counters each row has."""
    for place in range(state.shape[0]):
        own, its = state[place], then[place]
        if own[NUMBERS] != its[NUMBERS]:
            return False
        for i in range(counted, own[NUMBERS]):
            if own[i] != its[i]:
                return False
    return True
