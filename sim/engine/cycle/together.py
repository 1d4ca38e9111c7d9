"""Several cores at once: each runs its turns of one program, and waits for what all of them share.

Every core has a row of its own, with its arrays, its memories and their servers, and advances by itself from event to
event, as a program on one core does. What cores share is decided here: a shared memory serves the transfer of the
oldest record of any core, of equals that of the lowest core; its ports and links go to the arrays, in the order of the
cores, where not all that is under way fits (`shared_ports`). What several cores have in common is in a last row, the
*hub* (`hub`).
"""

from sim.engine.cycle.board import (
    CONTENDED,
    NOBODY,
    NOTHING_KNOWN,
    OFFER_AGE,
    OFFER_JOB,
    OFFER_RECORD,
    OFFER_WHICH,
)
from sim.engine.cycle.columns import (
    DEADLOCK,
    DRAIN_JOB,
    FAILURE,
    JOB,
    JOB_RECORD,
    NEVER,
    NO_FAILURE,
    NO_JOB,
    NOW,
    SERVER_STATE,
    SERVERS,
    TIME_LEFT,
    WHICH,
)
from sim.engine.cycle.hub import age_of, begin_hub, gather_sums, hand_out, hold, pass_sums, settle_hub
from sim.engine.cycle.loop import is_over, pass_time, prepare, settle, until_next_event
from sim.engine.cycle.server import end_transfer, oldest, start_transfer, suspend
from sim.engine.cycle.shared_ports import fit_together, grant_together, note_demands
from sim.engine.cycle.tables import at
from sim.engine.jit import compiled


@compiled
def run_together(every, board):
    """Run all cores from the beginning to the end. every: i8[row, number], each as `run_program` takes it, the hub
    last; the outcome is in their counters, and in the failure of the first row.
    """
    cores = every.shape[0] - 1
    for core in range(cores):
        prepare(every[core])
    begin_hub(every, board)
    board.stale[:] = 1
    now = 0
    while failure_of(every) == NO_FAILURE:
        settle_together(every, board, now)
        following = next_moment(every, board, now)
        if following >= NEVER:
            for core in range(cores):
                if not is_over(every[core]):
                    every[0, FAILURE] = DEADLOCK
            break
        now = following
    every[0, FAILURE] = failure_of(every)
    for place in range(cores + 1):
        advance(every[place], now)


@compiled
def failure_of(every):
    """The failure of any row."""
    found = NO_FAILURE
    for place in range(every.shape[0]):
        found = max(found, every[place, FAILURE])
    return found


@compiled
def advance(m, now):
    """Let a row come to this cycle; nothing happens to it before."""
    if m[NOW] < now:
        pass_time(m, now - m[NOW])


@compiled
def settle_together(every, board, now):
    """All that happens in this cycle."""
    hub = every.shape[0] - 1
    changed = True
    while changed:
        changed = False
        for core in range(hub):
            if board.stale[core] == 1 or board.due[core] == now:
                advance(every[core], now)
                settle(every[core])
                gather_sums(every, board, core)
                look_again(every, board, core)
                board.stale[hub] = 1
        if board.stale[hub] == 1 or board.due[hub] == now:
            advance(every[hub], now)
            if settle_hub(every, board):
                hand_out(every, board)
                changed = True
            look_again(every, board, hub)
        for server in range(every[0, SERVERS]):
            if board.is_shared[server] == 1:
                changed = serve(every, board, server, now) or changed
        for core in range(hub):
            changed = changed or board.stale[core] == 1


@compiled
def look_again(every, board, place):
    """What a row offers to the shared memories after something has happened to it."""
    board.stale[place], board.due[place] = 0, NOTHING_KNOWN
    m = every[place]
    for server in range(m[SERVERS]):
        if board.is_shared[server] == 1:
            offer = board.offers[place, server]
            offer[OFFER_JOB], offer[OFFER_WHICH], offer[OFFER_RECORD] = oldest(m, server)
            offer[OFFER_AGE] = age_of(every, place, offer[OFFER_RECORD])


@compiled
def serve(every, board, server, now):
    """Let a shared memory end its transfer and take up others; whether it did either."""
    changed = False
    while True:
        owner = board.owner[server]
        if owner != NOBODY and every[owner, at(every[owner], SERVER_STATE, server, TIME_LEFT)] == 0:
            end_shared(every, board, server, now)
        elif not take_up_shared(every, board, server, now):
            return changed
        changed = True


@compiled
def end_shared(every, board, server, now):
    """A transfer of a shared memory is over."""
    owner, hub = board.owner[server], every.shape[0] - 1
    m = every[owner]
    advance(m, now)
    job, which = m[at(m, SERVER_STATE, server, JOB)], m[at(m, SERVER_STATE, server, WHICH)]
    end_transfer(m, server)
    board.owner[server], board.free_since[server] = NOBODY, now
    if owner == hub:
        hand_out(every, board)
    elif job == DRAIN_JOB:
        pass_sums(every, board, owner, which)
    look_again(every, board, owner)
    board.stale[owner] = 1


@compiled
def take_up_shared(every, board, server, now):
    """Begin the transfer of the oldest record of all rows; one of a younger record yields. Whether one began."""
    owner, rows = board.owner[server], every.shape[0]
    oldest_age = NEVER
    if owner != NOBODY:
        oldest_age = age_of(every, owner, every[owner, at(every[owner], SERVER_STATE, server, JOB_RECORD)])
    chosen = NOBODY
    for turn in range(rows):
        place = (turn + rows - 1) % rows  # the hub brings what cores wait for
        offer = board.offers[place, server]
        if offer[OFFER_JOB] != NO_JOB and offer[OFFER_AGE] < oldest_age:
            chosen, oldest_age = place, offer[OFFER_AGE]
    if chosen == NOBODY:
        return False
    offer = board.offers[chosen, server].copy()
    was_idle = owner == NOBODY and board.free_since[server] < now
    if owner != NOBODY:
        advance(every[owner], now)
        suspend(every[owner], server)
        every[owner, at(every[owner], SERVER_STATE, server, JOB)] = NO_JOB
        look_again(every, board, owner)
        board.stale[owner] = 1
    m = every[chosen]
    advance(m, now)
    start_transfer(m, server, offer[OFFER_JOB], offer[OFFER_WHICH], offer[OFFER_RECORD], was_idle)
    board.owner[server] = chosen
    look_again(every, board, chosen)
    board.stale[chosen] = 1
    return True


@compiled
def next_moment(every, board, now):
    """The next cycle in which something may happen, NEVER if nothing will."""
    rows = every.shape[0]
    for place in range(rows):
        if board.due[place] == NOTHING_KNOWN:
            note_demands(every[place], board, place)
    if fit_together(board):
        for place in range(rows):
            if board.marks[CONTENDED] == 1:
                advance(every[place], now)
            if board.due[place] == NOTHING_KNOWN or board.marks[CONTENDED] == 1:
                board.due[place] = min(NEVER, now + until_next_event(every[place]))
        board.marks[CONTENDED] = 0
    else:
        for place in range(rows):
            advance(every[place], now)
        board.due[:] = min(NEVER, now + grant_together(every, board))
        board.marks[CONTENDED] = 1
    following = board.due.min()
    return NEVER if following >= hold() else following
