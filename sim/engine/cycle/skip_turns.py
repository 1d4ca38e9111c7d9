"""Exact fast-forward over dealt iterations: rounds of all cores that repeat are counted, not simulated.

Iteration i goes to core i modulo the number of cores. So all cores have the same work again, further on in one dealt
level, after as many turns as make whole iterations of that level. Where core 0 begins a turn, the state of all cores
and of what they share is compared with those of so many turns ago, or of multiples of them (`turn_state`). If it is
equal, whole multiples of the stretch are skipped, as many as stay clear of the level's first and last iteration and of
any core's last turns. All cores have to advance by equally many records, since the differences of their records decide
who is served first.
"""

from sim.engine.cycle.board import AT_RUN, KEPT_STATES, LOOKED, LOOKS_EVERY, NEXT_STATE, TURNS_ALIKE
from sim.engine.cycle.columns import (
    ARRAY_STATE,
    ARRAYS,
    COMMON,
    CORE_TURNS,
    COUNTED,
    DEALT,
    DEPTH,
    DRAINS,
    DRAINS_ASKED,
    FRONT,
    IN_LEFT,
    IN_RECORD,
    JOB,
    JOB_RECORD,
    KEEP_TABLE,
    KEEPS,
    LOG_FROM,
    LOG_TO,
    NEVER,
    NO_JOB,
    NOW,
    OPS,
    OUT_LEFT,
    OUT_RECORD,
    PARTIAL,
    PER_KEEP,
    PLACING,
    RECORD,
    RECORDS,
    SERVER_STATE,
    SERVERS,
    SITE_INDEX,
    SKIPPED_PERIODS,
    STEPS,
    TURN,
    TURN_FIRST,
)
from sim.engine.cycle.hub import age_of
from sim.engine.cycle.loop import pass_time
from sim.engine.cycle.move import grow, move_entries, move_results, move_window
from sim.engine.cycle.periods import grown
from sim.engine.cycle.remember import has_site, site_counter
from sim.engine.cycle.tables import at, at1, row
from sim.engine.cycle.turn_state import (
    AT_DIGIT,
    AT_TURN,
    DIGITS,
    LOWEST,
    NEAR,
    describe_turns,
    equal_turns,
    front_row,
    has_common,
    is_near,
    last_turn,
    newest_turn,
    place_of,
    records_inside,
    run_around,
)
from sim.engine.jit import compiled, inlined


@inlined
def fast_forward_turns(every, board, now):
    """Where core 0 has begun another turn: remember the state of all, or skip ahead if it occurred before. Returns the
    cycle from which to go on.
    """
    leader = every[0]
    if board.looks[LOOKED] == NEVER or leader[FRONT] >= leader[RECORDS]:
        return now
    turn = front_row(leader)[leader[DEPTH] + TURN]
    if turn == board.looks[LOOKED]:
        return now
    board.looks[LOOKED] = turn
    for level in range(leader[DEALT]):
        every_turns = board.dealing[level, LOOKS_EVERY]
        if every_turns > 0 and turn % every_turns == 0:
            later = look_back_at_turns(every, board, level, now)
            if later > now:
                board.looks[LOOKED] = front_row(leader)[leader[DEPTH] + TURN]
                return later
    return now


@compiled
def look_back_at_turns(every, board, level, now):
    """Skip if the state of all was there before, after whole turns alike; else remember it."""
    leader, kept = every[0], board.remembered[level]
    run = run_around(leader, level)
    if kept[AT_RUN] != run[LOWEST]:
        kept[:] = 0
        kept[AT_RUN] = run[LOWEST]
    for core in range(every.shape[0] - 1):
        if every[core, FRONT] >= every[core, RECORDS] or newest_turn(every[core], run) < 0:
            return now
    for place in range(every.shape[0]):
        if every[place, NOW] < now:
            pass_time(every[place], now - every[place, NOW])
    slots = board.history.shape[1]
    state = board.history[level, kept[NEXT_STATE]]
    if not describe_turns(every, board, level, state):
        return now
    for age in range(1, kept[KEPT_STATES] + 1):
        then = board.history[level, (kept[NEXT_STATE] - age) % slots]
        turns = state[0, AT_TURN] - then[0, AT_TURN]
        if turns % board.dealing[level, TURNS_ALIKE] == 0 and equal_turns(state, then, leader[COUNTED]):
            shift = (turns, state[0, AT_DIGIT] - then[0, AT_DIGIT], run)
            periods = periods_of_turns(every, board, level, then, shift)
            if periods > 0:
                skip_turns(every, board, level, then, (periods, *shift))
                kept[KEPT_STATES], kept[NEXT_STATE] = 0, 0
                board.remembered[leader[DEALT] :, :] = 0
                return every[0, NOW]
    kept[NEXT_STATE] = (kept[NEXT_STATE] + 1) % slots
    kept[KEPT_STATES] = min(kept[KEPT_STATES] + 1, slots - 1)
    return now


@compiled
def periods_of_turns(every, board, level, then, shift):
    """How often the stretch since `then` repeats. shift: (its turns, its iterations of the level, the run)."""
    turns, digits, run = shift
    leader, hub = every[0], every[every.shape[0] - 1]
    front, records = front_row(leader), grown(leader, FRONT, then[0])
    if digits <= 0 or not keeps_order(every, board, then, digits * records_inside(hub, front, level)):
        return 0
    now, most = leader[NOW], NEVER
    if leader[LOG_TO] > now:
        most = max(0, leader[LOG_FROM] - now) // grown(leader, NOW, then[0])
    for core in range(every.shape[0] - 1):
        most = min(most, (last_turn(every[core], run) - newest_turn(every[core], run)) // turns)
    for keep in range(hub[KEEPS]):
        if has_common(hub, keep) and is_near(row(hub, SITE_INDEX, keep), front, level, run):
            most = min(most, (run[DIGITS] - 3 - row(hub, SITE_INDEX, keep)[level]) // digits)
        if leaves(hub, keep) and is_near(board.leaving[keep], front, level, run):
            most = min(most, (run[DIGITS] - 3 - board.leaving[keep, level]) // digits)
    newest, waiting = newest_and_waiting(every, front, level, run)
    return max(0, min(most, (waiting - 1 - newest) // records))


@compiled
def leaves(hub, keep):
    """Whether common tiles of a keep leave."""
    return hub[at(hub, PLACING, keep, 0)] == COMMON and hub[at(hub, KEEP_TABLE, keep, DRAINS)] == 1


@compiled
def keeps_order(every, board, then, hub_records):
    """Whether who is served first is decided as before: all cores and the hub advance alike, and cores whose sums
    leave as one ask for it equally often. hub_records: records of all cores in the stretch.
    """
    cores, hub = every.shape[0] - 1, every[every.shape[0] - 1]
    records = grown(every[0], FRONT, then[0])
    if hub_records != records * cores or records % hub[CORE_TURNS] != 0:
        return False
    for keep in range(board.groups.size):
        for core in range(1, cores if board.groups[keep] > 1 else 0):
            asked = at(every[core], PER_KEEP, keep, DRAINS_ASKED)
            if grown(every[core], asked, then[core]) != grown(every[0], asked, then[0]):
                return False
    return True


@compiled
def newest_and_waiting(every, front, level, run):
    """The last record in use in the middle of the run, and the first one beyond of a tile that waits; NEVER: none."""
    newest, waiting, hub = 0, NEVER, every.shape[0] - 1
    for place in range(hub + 1):
        m = every[place]
        newest = max(newest, m[FRONT])
        for array in range(m[ARRAYS]):
            newest = max(newest, m[at1(m, STEPS, array)])
        for site in range(m[KEEPS] + m[OPS]):
            if not (has_common(m, site) if place == hub and site < m[KEEPS] else has_site(m, site)):
                continue
            record = age_of(every, place, m[site_counter(m, site)])
            near = is_near(row(m, SITE_INDEX, site), front, level, run)
            if place < hub:
                near = place_of(m, site, run) == NEAR
            if near:
                newest = max(newest, record)
            elif record > m[FRONT]:
                waiting = min(waiting, record)
    return newest, waiting


@compiled
def skip_turns(every, board, level, then, shift):
    """Repeat the stretch since `then`. shift: (how often, its turns, its iterations of the level, the run)."""
    periods, turns, digits, run = shift
    cores, hub = every.shape[0] - 1, every[every.shape[0] - 1]
    front = front_row(every[0]).copy()
    hub_records = periods * digits * records_inside(hub, front, level)
    for core in range(cores):
        m = every[core]
        records, time = periods * grown(m, FRONT, then[core]), periods * grown(m, NOW, then[core])
        for site in range(m[KEEPS] + m[OPS]):
            if place_of(m, site, run) == NEAR:
                index = row(m, SITE_INDEX, site)
                index[level] += periods * digits
                index[m[DEPTH] + TURN] += periods * turns
                index[m[DEPTH] + TURN_FIRST] += records
        move_under_way(m, records)
        move_results(m, then[core], then[core], time)
        before = grow(m, then[core], periods)
        for array in range(m[ARRAYS]):
            m[at(m, ARRAY_STATE, array, RECORD)] += records
        move_entries(m, then[core], before, records, time)
        move_window(m, level, before, (records, periods * digits, periods * turns))
        m[SKIPPED_PERIODS] += periods
    for keep in range(hub[KEEPS]):
        if has_common(hub, keep) and is_near(row(hub, SITE_INDEX, keep), front, level, run):
            row(hub, SITE_INDEX, keep)[level] += periods * digits
        if leaves(hub, keep) and is_near(board.leaving[keep], front, level, run):
            board.leaving[keep, level] += periods * digits
    move_under_way(hub, hub_records)
    time = periods * grown(hub, NOW, then[cores])
    before = grow(hub, then[cores], periods)
    move_entries(hub, then[cores], before, hub_records, time)


@compiled
def move_under_way(m, records):
    """Transfers that are under way, or had to make way, are of later records."""
    for server in range(m[SERVERS]):
        if m[at(m, SERVER_STATE, server, JOB)] != NO_JOB:
            m[at(m, SERVER_STATE, server, JOB_RECORD)] += records
    for site in range(m[KEEPS] + m[OPS]):
        if m[at(m, PARTIAL, site, IN_LEFT)] > 0:
            m[at(m, PARTIAL, site, IN_RECORD)] += records
        if m[at(m, PARTIAL, site, OUT_LEFT)] > 0:
            m[at(m, PARTIAL, site, OUT_RECORD)] += records
