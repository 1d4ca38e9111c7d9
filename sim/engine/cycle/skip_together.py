"""Exact fast-forward of several cores: a stretch that repeats in all of them is counted, not simulated.

As on one core (`skip`), with the states of all cores and of what they share as one. The first core that moves says when
an iteration of a loop begins; every other one that moves has to be inside the same kind of loop, past its first
iteration, and advances by as many records as the first one, since the difference of their records decides who is served
first. The others, and what all have in common, have to stand still: they are finished, or wait, with nothing of theirs
under way. A transfer that waits for its turn without moving on must not be passed by another core's records.
"""

from sim.engine.cycle.columns import (
    ARRAY_STATE,
    ARRAYS,
    BOUNDARY,
    CAUSE,
    COUNTED,
    DEALT,
    DEPTH,
    DRAINS_ASKED,
    DRAINS_BEGUN,
    FILL_SITE,
    FRONT,
    HEADER,
    JOB,
    KEEPS,
    MAX_LAG,
    NEVER,
    NO_JOB,
    NOW,
    OPS,
    ORDINAL,
    PER_KEEP,
    PER_OP,
    QUEUE,
    READ_SITE,
    RECORD_INDEX,
    RECORD_ORDINAL,
    RECORD_VARIANT,
    RECORDS,
    RUNNING,
    SERVED,
    SERVER_STATE,
    SERVERS,
    STALLS,
    STATE,
    STEPS,
    WINDOW,
)
from sim.engine.cycle.loop import pass_time
from sim.engine.cycle.move import skip
from sim.engine.cycle.periods import moved, periods_to_skip
from sim.engine.cycle.remember import describe, has_site
from sim.engine.cycle.skip import lies_inside
from sim.engine.cycle.tables import at, at1
from sim.engine.jit import compiled, inlined

NONE = -1
MOVES_ON, NUMBERS = -2, -1  # the last numbers of a row of a remembered state


@inlined
def fast_forward_together(every, board, now):
    """Where the first core that works begins an iteration: remember the state of all, or skip ahead if it occurred
    before. Returns the cycle from which to go on.
    """
    leader = first_that_moves(every)
    if leader == NONE or every[leader, BOUNDARY] == 0:
        return now
    every[leader, BOUNDARY] = 0
    level = loop_of(every[leader])
    if level < every[leader, DEALT]:
        board.remembered[every[leader, DEALT] :, :] = 0
        return now
    board.remembered[level + 1 :, :] = 0
    if not may_repeat(every, board, level):
        return now
    for place in range(every.shape[0]):
        if every[place, NOW] < now:
            pass_time(every[place], now - every[place, NOW])
    slots = board.history.shape[1]
    slot = board.remembered[level, 1]
    state = board.history[level, slot]
    if not describe_together(every, board, leader, level, state):
        return now
    for age in range(1, board.remembered[level, 0] + 1):
        then = board.history[level, (slot - age) % slots]
        if equal_together(every[leader], state, then):
            board.remembered[level, :] = 0
            return skip_together(every, level, then, state, now)
    board.remembered[level, 1] = (slot + 1) % slots
    board.remembered[level, 0] = min(board.remembered[level, 0] + 1, slots - 1)
    return now


@inlined
def first_that_moves(every):
    for core in range(every.shape[0] - 1):
        if not stands_still(every[core]):
            return core
    return NONE


@inlined
def stands_still(m):
    """Whether a core is finished or waits, and nothing of it is under way."""
    moving = 0
    for array in range(m[ARRAYS]):
        moving += m[at(m, ARRAY_STATE, array, STATE)] == RUNNING
    for op in range(m[OPS]):
        moving += m[at(m, QUEUE, op, 1)]
    for keep in range(m[KEEPS]):
        moving += m[at(m, PER_KEEP, keep, DRAINS_ASKED)] - m[at(m, PER_KEEP, keep, DRAINS_BEGUN)]
    for server in range(m[SERVERS]):
        moving += m[at(m, SERVER_STATE, server, JOB)] != NO_JOB
    return moving == 0


@compiled
def loop_of(m):
    """The level of which a core has begun an iteration; one before the levels that are not dealt for a turn."""
    if m[FRONT] >= m[RECORDS]:
        return NONE
    slot, level = m[FRONT] % m[WINDOW], m[DEPTH] - 1
    while level >= m[DEALT] and m[at(m, RECORD_INDEX, slot, level)] == 0:
        level -= 1
    return level


@compiled
def may_repeat(every, board, level):
    """Whether every core that moves is inside the loop, and nothing that all have in common is under way."""
    hub = every.shape[0] - 1
    for server in range(every[hub, SERVERS]):
        is_moving = every[hub, at(every[hub], SERVER_STATE, server, JOB)] != NO_JOB
        if board.is_shared[server] == 1 and (is_moving or board.offers[hub, server, 0] != NO_JOB):
            return False
    for core in range(hub):
        m = every[core]
        if not stands_still(m) and (m[FRONT] >= m[RECORDS] or not lies_inside(m, level)):
            return False
    return True


@compiled
def describe_together(every, board, leader, level, state):
    """Write the states of all rows, relative to the first core that moves: i8[row, number]; whether they had room.

    A row that moves has its state (`describe`) and its place, any other one its counters and what it waits for. At the
    end stand the number of numbers, and whether it moves.
    """
    counters, front = every[leader, COUNTED], every[leader, FRONT]
    room = state.shape[1]
    for core in range(every.shape[0]):
        m, own = every[core], state[core]
        if core == every.shape[0] - 1 or stands_still(m):
            own[:counters] = m[HEADER : HEADER + counters]
            own[NUMBERS], own[MOVES_ON] = counters + m[ARRAYS], 0
            for array in range(m[ARRAYS]):
                own[counters + array] = m[at(m, ARRAY_STATE, array, CAUSE)]
            continue
        slot = m[FRONT] % m[WINDOW]
        for keep in range(m[KEEPS]):
            m[at(m, PER_KEEP, keep, ORDINAL)] = m[at(m, RECORD_ORDINAL, slot, keep)]
        numbers = describe(m, level, board.scratch)
        if numbers < 0 or numbers + 2 * m[DEPTH] + m[SERVERS] + 8 > room:
            return False
        own[:numbers] = board.scratch[:numbers]
        own[numbers] = m[FRONT] - front
        n = numbers + 1
        for loop in range(level + 1, m[DEPTH]):
            own[n] = m[at(m, RECORD_INDEX, slot, loop)]
            n += 1
        for loop in range(m[DEPTH] + 1):
            own[n] = m[at(m, RECORD_VARIANT, slot, loop)]
            n += 1
        for server in range(m[SERVERS]):
            own[n] = board.owner[server] if board.is_shared[server] == 1 else 0
            n += 1
        own[NUMBERS], own[MOVES_ON] = n, 1
    return True


@compiled
def equal_together(m, state, then):
    """Whether two states have the same future: rows that move are as they were, the others have not moved."""
    counters = m[COUNTED]
    for core in range(state.shape[0]):
        own, its = state[core], then[core]
        if own[NUMBERS] != its[NUMBERS] or own[MOVES_ON] != its[MOVES_ON]:
            return False
        for i in range(counters, own[NUMBERS]):
            if own[i] != its[i]:
                return False
        if own[MOVES_ON] == 0 and not stood_still(m, own, its):
            return False
    return True


@compiled
def stood_still(m, own, its):
    """Whether nothing but time has passed between two states of a core."""
    first, last = m[STALLS] - HEADER, m[SERVED] - HEADER
    moved_on = 0
    for i in range(FRONT - HEADER, m[COUNTED]):
        moved_on += (i < first or i >= last) and own[i] != its[i]
    return moved_on == 0


@compiled
def skip_together(every, level, then, state, now):
    """Skip as many repetitions of the stretch since `then` as there is room for in every core; the cycle after them."""
    periods, hub = NEVER, every.shape[0] - 1
    for core in range(hub):
        if then[core, MOVES_ON] == 1:
            periods = min(periods, periods_to_skip(every[core], level, then[core], state[core]))
    if periods <= 0 or would_be_passed(every, then, periods):
        return now
    time = periods * (now - then[hub, NOW - HEADER])
    for place in range(hub + 1):
        m = every[place]
        if then[place, MOVES_ON] == 1:
            skip(m, level, then[place], state[place], periods)
        else:
            pass_time(m, time)
    return now + time


@compiled
def would_be_passed(every, then, periods):
    """Whether the records of a core would come to one for which a transfer of another core waits without moving on."""
    hub = every.shape[0] - 1
    for core in range(hub):
        if then[core, MOVES_ON] == 0:
            continue
        lowest, highest = records_in_use(every[core], then[core], periods)
        for other in range(hub):
            if other == core:
                continue
            m = every[other]
            for site in range(m[KEEPS] + m[OPS]):
                if has_site(m, site) and moved(m, site, then[other]) == 0 and lowest <= site_of(m, site) <= highest:
                    return True
    return False


@compiled
def records_in_use(m, then, periods):
    """The first and the last record that a core works on, or brings tiles for, from now on to the end of these
    periods.
    """
    lowest, highest = m[FRONT], m[FRONT]
    for array in range(m[ARRAYS]):
        lowest, highest = min(lowest, m[at1(m, STEPS, array)]), max(highest, m[at1(m, STEPS, array)])
    for site in range(m[KEEPS] + m[OPS]):
        if has_site(m, site) and moved(m, site, then) != 0:
            highest = max(highest, site_of(m, site))
    return lowest - m[MAX_LAG], highest + periods * (m[FRONT] - then[FRONT - HEADER])


@compiled
def site_of(m, site):
    """The record of the next tile or stream."""
    if site < m[KEEPS]:
        return m[at(m, PER_KEEP, site, FILL_SITE)]
    return m[at(m, PER_OP, site - m[KEEPS], READ_SITE)]
