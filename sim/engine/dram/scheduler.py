"""One DRAM channel, request by request: open rows, first-ready first-come-first-served, refresh, from event to event.

At every step the command that is legal soonest is issued; within a cycle a refresh goes first, then reads and writes
that the data bus has kept waiting, then activates and precharges, then other reads and writes, each oldest first
(after Rixner et al., ISCA 2000, who let reads and writes go first). A bank with requests to its open row proposes the
oldest of them, any other bank an activate or a precharge for its oldest request. The last read or write to a row
closes it by itself (auto-precharge) if a request waits for another row of the bank, as gem5's page policy
`open_adaptive` does. A due refresh takes precedence: a refresh of all banks blocks every other command until it is
issued, a refresh of some banks blocks activates that would delay it.

The distances between successive commands add up to the whole run, and each is charged to what the later command waited
for. All mutable state is in two tables, because every array passed to a compiled function costs two reference counts.
"""

import numpy as np

from sim.engine.dram.columns import (
    ACT,
    ARRIVAL,
    ARRIVES,
    AT,
    BANKS,
    BECAUSE,
    BEFORE_CLOSING,
    BEFORE_REFRESH,
    BUS_OF,
    BUS_ROW,
    CHANNEL_ROW,
    COMMANDS_ISSUED,
    CONFLICT,
    CONFLICTS,
    DUE,
    FLOORS,
    FOR_REQUEST,
    GROUP_PLACE,
    HITS,
    IN_BANK,
    IN_ROW,
    KIND,
    LAST,
    LAST_COMMAND,
    LIST,
    LISTED_BANKS,
    MISSES,
    NEVER,
    NEXT,
    NO_REFRESH,
    NOW,
    OPEN_ROW,
    OPENED_AS,
    PENDING,
    PRE,
    PRE_ALL,
    READ,
    READ_CLOSING,
    READ_DONE,
    READY,
    REF_ALL,
    REF_SAME,
    REFRESH,
    REFRESH_CYCLES,
    REFRESH_DUE,
    REFRESHED,
    REFRESHES,
    REQUEST,
    ROW,
    SERVED,
    SHARES,
    SLOT_COLUMNS,
    STATE_ROW,
    WANTS,
    WANTS_FOR,
    WINDOW,
    WRITE,
    WRITE_DONE,
    WRITE_HIT,
    YIELDS,
)
from sim.engine.dram.queue import admit_arrived, close_row, open_row, remove_hit
from sim.engine.dram.timing import (
    cause_of,
    first_legal_cycle,
    idle_places,
    last_to_allow,
    push,
    push_closing,
    push_twins,
)
from sim.engine.jit import compiled

# Added to a request's number: whose command goes first within a cycle.
ROW_COMMAND = 1 << 59  # after reads and writes that the data bus has kept waiting
DATA_BUS_IDLE = 1 << 60  # and the other reads and writes last


@compiled
def schedule(requests, constraints, spans, settings, finish, counts, waits, trace):
    """Serve the requests of one channel.

    requests: i8[request, (arrival cycle, bank, row, is write)], arrivals never decrease; constraints: i8[constraint,
    column], spans: i8[kind + 1] and settings: i8[...] are those of `columns`. Fills finish: i8[request], cycle after
    the last beat; counts: i8[place]; waits: i8[kind, cause], cycles; trace: i8[command, column], while it has rows.
    """
    places = idle_places(settings)
    state = places.shape[0] - STATE_ROW
    slots = np.full((settings[WINDOW], SLOT_COLUMNS), -1, np.int64)
    for slot in range(settings[WINDOW] - 1):
        slots[slot, NEXT] = slot + 1
    places[state, DUE] = next_due(settings, 0)
    admit_arrived(requests, places, slots)
    while places[state, SERVED] < requests.shape[0]:
        if places[state, PENDING] == 1:
            cycle, kind, bank, slot = choose_refreshing(places, slots, settings)
        else:
            cycle, kind, bank, slot = choose(places, slots, settings, -1, NEVER)
        if min(places[state, ARRIVES], places[state, DUE]) <= cycle:
            move_on(places)
            admit_arrived(requests, places, slots)
            continue
        cause = cause_of(places, settings, kind, bank, cycle, REFRESH_DUE if slot < 0 else ARRIVAL)
        waits[kind, cause] += cycle - places[state, LAST]
        places[state, LAST] = cycle
        places[state, NOW] = cycle
        if counts[COMMANDS_ISSUED] < trace.shape[0]:
            write_down(places, slots, trace, counts[COMMANDS_ISSUED], (cycle, kind, bank, slot, cause))
        counts[COMMANDS_ISSUED] += 1
        push(places, constraints, spans, settings, kind, bank, cycle)
        if kind in (READ, WRITE):
            finish[slots[slot, REQUEST]] = cycle + (settings[READ_DONE] if kind == READ else settings[WRITE_DONE])
            counts[places[bank, OPENED_AS]] += 1
            places[bank, OPENED_AS] = HITS
            places[state, SERVED] += 1
            remove_hit(places, slots, bank, slot)
            if places[bank, WANTS] == PRE and places[bank, WANTS_FOR] >= 0:
                push_closing(places, constraints, spans, bank)
                close_row(places, bank)
                places[bank, CONFLICT] = 1
                if counts[COMMANDS_ISSUED] <= trace.shape[0]:
                    trace[counts[COMMANDS_ISSUED] - 1, KIND] += READ_CLOSING - READ
            admit_arrived(requests, places, slots)
        elif kind == ACT:
            places[bank, OPENED_AS] = CONFLICTS if places[bank, CONFLICT] == 1 else MISSES
            open_row(places, slots, bank, slots[slot, ROW])
        elif kind == PRE:
            close_row(places, bank)
            places[bank, CONFLICT] = 1 if slot >= 0 else 0
        elif kind == PRE_ALL:
            close_all(places, settings)
        else:
            counts[REFRESHED] += 1
            finish_refresh(places, constraints, spans, settings, kind, bank, cycle)
    counts[LAST_COMMAND] = places[state, LAST]


@compiled
def next_due(settings, refreshes):
    """Cycle of the next refresh; those of parts of the banks share the interval evenly."""
    if settings[REFRESH] == NO_REFRESH:
        return NEVER
    return (refreshes + 1) * settings[REFRESH_CYCLES] // settings[SHARES]


@compiled
def finish_refresh(places, constraints, spans, settings, kind, bank, cycle):
    """A refresh was issued at `cycle`: the next one is due on schedule, however late this one was."""
    if kind == REF_SAME:
        push_twins(places, constraints, spans, settings, bank, cycle)
    state = places.shape[0] - STATE_ROW
    places[state, PENDING] = 0
    places[state, REFRESHES] += 1
    places[state, DUE] = next_due(settings, places[state, REFRESHES])


@compiled
def close_all(places, settings):
    """After a precharge of all banks, which a refresh required, so no request is charged for a conflict."""
    for bank in range(settings[BANKS]):
        close_row(places, bank)
        places[bank, CONFLICT] = 0


@compiled
def move_on(places):
    """Advance to the next arrival or due refresh, whichever comes first; a pending refresh has no next one."""
    state = places.shape[0] - STATE_ROW
    event = places[state, ARRIVES]
    if places[state, DUE] <= event:
        event = places[state, DUE]
        places[state, PENDING] = 1
        places[state, DUE] = NEVER
    places[state, NOW] = max(places[state, NOW], event)


@compiled
def choose_refreshing(places, slots, settings):
    """As `choose`, while a refresh is pending: it goes first and blocks commands that would delay it."""
    now = places[places.shape[0] - STATE_ROW, NOW]
    kind, shares = settings[REFRESH], settings[SHARES]
    first = places[places.shape[0] - STATE_ROW, REFRESHES] % shares
    cycle, bank = NEVER, first
    for other in range(first, settings[BANKS], shares):
        if places[other, OPEN_ROW] >= 0:
            kind = PRE_ALL if settings[REFRESH] == REF_ALL else PRE
            closes = max(now, first_legal_cycle(places, settings, kind, other))
            if closes < cycle:
                cycle, bank = closes, other
    if kind == settings[REFRESH]:
        bank = last_to_allow(places, settings, kind, first, shares)
        cycle = max(now, first_legal_cycle(places, settings, kind, bank))
    if settings[REFRESH] == REF_ALL:
        return cycle, kind, bank, -1
    # An activate of another bank must not keep the refresh waiting.
    until = cycle - (settings[BEFORE_REFRESH] if kind == settings[REFRESH] else settings[BEFORE_CLOSING])
    other_cycle, other_kind, other_bank, slot = choose(places, slots, settings, first, until)
    if other_cycle < cycle:
        return other_cycle, other_kind, other_bank, slot
    return cycle, kind, bank, -1


@compiled
def choose(places, slots, settings, refreshing, until):
    """The next command, as (cycle, command, bank, slot); cycle NEVER if nothing waits.

    refreshing: the first of the banks to leave alone, -1 if there is none; until: the last cycle for an activate. A
    read or write that the data bus has not kept waiting goes behind row commands, also those that become legal while it
    would hold the pins: the data bus is idle anyway. A bank's next command is stored (`queue.ask`), because branches
    that determine it here would be mispredicted at every step.
    """
    state, channel, bus = places.shape[0] - STATE_ROW, places.shape[0] - CHANNEL_ROW, places.shape[0] - BUS_ROW
    for kind in range(PRE_ALL):
        floor = max(places[state, NOW], places[bus + settings[BUS_OF + kind], READY])
        places[state, FLOORS + kind] = max(floor, places[channel, READY + kind])
    best_cycle, best_kind, best_bank, best_slot, best_rank, best_turn = NEVER, ACT, 0, -1, NEVER, NEVER
    for i in range(places[state, LISTED_BANKS]):
        bank = places[i, LIST]
        group, kind, slot = places[bank, GROUP_PLACE], places[bank, WANTS], places[bank, WANTS_FOR]
        cycle = max(places[state, FLOORS + kind], max(places[bank, READY + kind], places[group, READY + kind]))
        write = places[bank, WRITE_HIT]
        if kind == READ and write >= 0:
            other = max(places[bank, READY + WRITE], places[group, READY + WRITE])
            other = max(other, places[state, FLOORS + WRITE])
            if other < cycle or (other == cycle and slots[write, REQUEST] < slots[slot, REQUEST]):
                cycle, kind, slot = other, WRITE, write
        turn, rank = cycle, slots[slot, REQUEST]
        if kind not in (READ, WRITE):
            rank += ROW_COMMAND
        elif places[bank, READY + kind] >= max(places[channel, READY + kind], places[group, READY + kind]):
            turn, rank = cycle + settings[YIELDS + kind], rank + DATA_BUS_IDLE
        if turn > best_turn or (turn == best_turn and rank > best_rank) or (kind == ACT and cycle > until):
            continue
        if refreshing >= 0 and (bank - refreshing) % settings[SHARES] == 0:
            continue
        best_cycle, best_kind, best_bank, best_slot, best_rank, best_turn = cycle, kind, bank, slot, rank, turn
    return best_cycle, best_kind, best_bank, best_slot


@compiled
def write_down(places, slots, trace, row, command):
    """The command as a row of the trace; -1 for a missing bank, row or request."""
    cycle, kind, bank, slot, cause = command
    trace[row, AT], trace[row, KIND], trace[row, BECAUSE] = cycle, kind, cause
    trace[row, IN_BANK] = -1 if kind in (PRE_ALL, REF_ALL) else bank
    trace[row, FOR_REQUEST] = slots[slot, REQUEST] if slot >= 0 else -1
    trace[row, IN_ROW] = -1
    if kind == PRE:
        trace[row, IN_ROW] = places[bank, OPEN_ROW]
    elif slot >= 0:
        trace[row, IN_ROW] = slots[slot, ROW]
