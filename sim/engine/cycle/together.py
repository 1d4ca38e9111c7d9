"""Several cores at once: each runs its turns of one program, and waits for what all of them share.

Every core has a row of its own, with its arrays, its memories and their servers, and advances by itself from event to
event, as a program on one core does. What cores share is decided here: a shared memory serves the transfer of the
oldest record of any core, of equals that of the lowest core; its ports and links go to the arrays, in the order of the
cores, where not all that is under way fits (`shared_ports`). What several cores have in common is in a last row, the
*hub* (`hub`).
"""

from sim.engine.cycle.board import (
    CONTENDED,
    IS_OVER,
    MOMENT,
    NOBODY,
    NOTHING_KNOWN,
    OFFER_JOB,
    OFFER_RECORD,
    OFFER_WHICH,
    SETTLED,
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
    TAIL,
    TIME_LEFT,
    WHICH,
)
from sim.engine.cycle.hub import (
    age_of,
    begin_common,
    begin_hub,
    gather_sums,
    hand_out,
    hold,
    note_releases,
    pass_sums,
)
from sim.engine.cycle.loop import deliver_all, is_over, let_arrays_on, pass_time, prepare, serve, until_next_event
from sim.engine.cycle.server import end_transfer, oldest, start_transfer, suspend
from sim.engine.cycle.shared_ports import fit_together, grant_together, note_demands
from sim.engine.cycle.skip_together import fast_forward_together
from sim.engine.cycle.skip_turns import fast_forward_turns
from sim.engine.cycle.tables import at, row
from sim.engine.jit import borrowed, compiled, inlined


@compiled
def begin_together(every, board):
    """Everything at its first iteration. every: i8[row, number], each as `run_slice` takes it, the hub last."""
    for core in range(every.shape[0] - 1):
        prepare(every[core])
    begin_hub(every, board)
    board.stale[:] = 1


@compiled
def run_together(every, board, fast, moments):
    """Go on with all cores for so many moments at most at which something happens, or to their end, where IS_OVER is
    marked; with `fast`, repeating stretches are skipped exactly. The outcome is in their counters, and in the failure
    of the first row.
    """
    every, board = borrowed(every), borrowed(board)
    cores, now = every.shape[0] - 1, board.marks[MOMENT]
    for _ in range(moments):
        settle_together(every, board, now)
        skipped_to = fast_forward_turns(every, board, now) if fast else now
        if fast and skipped_to == now:
            skipped_to = fast_forward_together(every, board, now)
        if skipped_to > now:
            now = skipped_to
            board.stale[:] = 1  # all offers have other numbers
            settle_together(every, board, now)
        following = next_moment(every, board, now)
        for core in range(cores if following >= NEVER else 0):
            if not is_over(every[core]) and every[0, FAILURE] == NO_FAILURE:
                every[0, FAILURE] = DEADLOCK
        if following >= NEVER or every[0, FAILURE] != NO_FAILURE:
            board.marks[IS_OVER] = 1
            break
        now = following
    board.marks[MOMENT] = now
    if board.marks[IS_OVER] == 1:
        for place in range(cores + 1):
            advance(every[place], now)


@inlined
def note_failures(every, board):
    """The failure of a row that is being settled is that of all."""
    for n in range(board.marks[SETTLED]):
        every[0, FAILURE] = max(every[0, FAILURE], every[board.settled[n], FAILURE])


@inlined
def advance(m, now):
    """Let a row come to this cycle; nothing happens to it before."""
    if m[NOW] < now:
        pass_time(m, now - m[NOW])


@inlined
def settle_together(every, board, now):
    """All that happens in this cycle: as on one core, with memories that are shared served for all."""
    rows = every.shape[0]
    for place in range(rows):
        if board.due[place] == now:
            board.stale[place] = 1
    while take_stale(board):
        for n in range(board.marks[SETTLED]):
            advance(every[board.settled[n]], now)
        note_releases(every, board)
        for n in range(board.marks[SETTLED] - 1):
            if deliver_all(every[board.settled[n]]):
                board.stale[board.settled[n]] = 1
        for server in range(every[0, SERVERS]):
            serve_all(every, board, server, now)
        if begin_common(every):
            announce(every, board, now)
        for n in range(board.marks[SETTLED] - 1):
            core = board.settled[n]
            if let_arrays_on(every[core]):
                board.stale[core] = 1
                gather_sums(every, board, core)
        note_failures(every, board)


@inlined
def take_stale(board):
    """The rows to which something has happened are settled, and the hub, which sees what any core does; whether there
    are any.
    """
    stale, hub, count = board.stale, board.stale.size - 1, 0
    for n in range(board.marks[SETTLED]):
        board.active[board.settled[n]] = 0
    for place in range(hub):
        if stale[place] == 1:
            board.settled[count] = place
            count += 1
    if count == 0 and stale[hub] == 0:
        board.marks[SETTLED] = 0
        return False
    board.settled[count] = hub
    board.marks[SETTLED] = count + 1
    for n in range(count + 1):
        place = board.settled[n]
        stale[place], board.active[place], board.due[place] = 0, 1, NOTHING_KNOWN
    return True


@inlined
def activate(board, place):
    """Something has happened to a row: it is settled too, and again."""
    board.stale[place], board.due[place] = 1, NOTHING_KNOWN
    if board.active[place] == 1:
        return
    board.active[place] = 1
    n = board.marks[SETTLED]
    while n > 0 and board.settled[n - 1] > place:
        board.settled[n] = board.settled[n - 1]
        n -= 1
    board.settled[n] = place
    board.marks[SETTLED] += 1


@inlined
def announce(every, board, now):
    """Every core goes on with the common tiles that are there."""
    hand_out(every)
    for core in range(every.shape[0] - 1):
        advance(every[core], now)
        activate(board, core)


@inlined
def serve_all(every, board, server, now):
    """Let a server of every core, or the one that they share, end its transfer and take up others."""
    if board.is_shared[server] == 1:
        for n in range(board.marks[SETTLED]):
            offer_next(every, board, board.settled[n], server)
        serve_shared(every, board, server, now)
        return
    for n in range(board.marks[SETTLED] - 1):
        if serve(every[board.settled[n]], server):
            board.stale[board.settled[n]] = 1


@inlined
def offer_next(every, board, place, server):
    """What a row would have a shared memory move next."""
    offer = board.offers[place, server]
    offer[OFFER_JOB], offer[OFFER_RECORD] = NO_JOB, NEVER
    if board.owner[server] == place or every[place, at(every[place], SERVER_STATE, server, JOB)] == NO_JOB:
        offer[OFFER_JOB], offer[OFFER_WHICH], offer[OFFER_RECORD] = oldest(every[place], server)
    board.ages[server, place] = age_of(every, place, offer[OFFER_RECORD])


@inlined
def serve_shared(every, board, server, now):
    """Let a shared memory end its transfers and take up others."""
    while True:
        n = 0
        while n < board.marks[SETTLED]:
            place = board.settled[n]
            if is_moved(every[place], server):
                end_shared(every, board, place, server, now)
            n += 1
        owner = board.owner[server]
        if owner != NOBODY and is_passed_on(every[owner], server):
            board.owner[server], board.free_since[server] = NOBODY, now
            touch(every, board, owner, server)
        elif not take_up_shared(every, board, server, now):
            return


@inlined
def is_moved(m, server):
    """Whether a transfer is over."""
    transfer = row(m, SERVER_STATE, server)
    return transfer[JOB] != NO_JOB and transfer[TIME_LEFT] == 0


@inlined
def is_passed_on(m, server):
    """Whether a transfer has left its shared memory; a slower memory of its core may still be at it."""
    transfer = row(m, SERVER_STATE, server)
    return transfer[TIME_LEFT] <= transfer[TAIL]


@inlined
def end_shared(every, board, place, server, now):
    """A row's transfer with a shared memory is over."""
    m = every[place]
    advance(m, now)
    job, which = m[at(m, SERVER_STATE, server, JOB)], m[at(m, SERVER_STATE, server, WHICH)]
    end_transfer(m, server)
    if board.owner[server] == place:
        board.owner[server], board.free_since[server] = NOBODY, now
    if place == every.shape[0] - 1:
        announce(every, board, now)
    elif job == DRAIN_JOB:
        pass_sums(every, board, place, which)
    touch(every, board, place, server)


@inlined
def touch(every, board, place, server):
    """Something has happened to a row while a shared memory was served."""
    activate(board, place)
    offer_next(every, board, place, server)


@inlined
def take_up_shared(every, board, server, now):
    """Begin the transfer of the oldest record of all rows; one of a younger record yields. Whether one began."""
    owner, oldest_age = board.owner[server], NEVER
    if owner != NOBODY:
        oldest_age = age_of(every, owner, every[owner, at(every[owner], SERVER_STATE, server, JOB_RECORD)])
    chosen = oldest_offer(board, server, oldest_age)
    if chosen == NOBODY:
        return False
    offer = board.offers[chosen, server].copy()
    was_idle = owner == NOBODY and board.free_since[server] < now
    if owner != NOBODY:
        advance(every[owner], now)
        suspend(every[owner], server)
        every[owner, at(every[owner], SERVER_STATE, server, JOB)] = NO_JOB
        touch(every, board, owner, server)
    m = every[chosen]
    advance(m, now)
    start_transfer(m, server, offer[OFFER_JOB], offer[OFFER_WHICH], offer[OFFER_RECORD], was_idle)
    board.owner[server] = chosen
    touch(every, board, chosen, server)
    return True


@inlined
def oldest_offer(board, server, before):
    """The row with the oldest offer, if it is older than that: of equals the lowest core, and the hub where its tile
    comes first in the tables.
    """
    ages, hub, found = board.ages[server], board.ages.shape[1] - 1, before
    for core in range(hub):
        found = min(found, ages[core])
    chosen = NOBODY
    if found < before:
        chosen = 0
        while ages[chosen] != found:
            chosen += 1
    if ages[hub] > found or ages[hub] >= before:
        return chosen
    best, its = board.offers[chosen, server], board.offers[hub, server]
    comes_first = ages[hub] < found or best[OFFER_JOB] > DRAIN_JOB or its[OFFER_WHICH] < best[OFFER_WHICH]
    return hub if comes_first else chosen


@inlined
def next_moment(every, board, now):
    """The next cycle in which something may happen, NEVER if nothing will."""
    rows, following = every.shape[0], NEVER
    for place in range(rows):
        if board.due[place] == NOTHING_KNOWN:
            note_demands(every[place], board, place)
    if fit_together(board):
        for place in range(rows):
            if board.marks[CONTENDED] == 1:
                advance(every[place], now)
            if board.due[place] == NOTHING_KNOWN or board.marks[CONTENDED] == 1:
                board.due[place] = min(NEVER, now + until_next_event(every[place]))
            following = min(following, board.due[place])
        board.marks[CONTENDED] = 0
    else:
        for place in range(rows):
            advance(every[place], now)
        following = min(NEVER, now + grant_together(every, board))
        board.due[:] = following
        board.marks[CONTENDED] = 1
    return NEVER if following >= hold() else following
