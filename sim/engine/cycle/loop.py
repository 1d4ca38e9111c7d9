"""The tile-level engine: discrete events at cycle resolution over the whole mapped cascade.

Arrays issue their ops in a static order and wait if something is missing (`ready`); memories serve transfers one after
the other (`server`); the ports of a memory are shared cycle by cycle, arrays first, in the order of the tables. Nothing
changes between two events, so time advances in one step; without competition for ports, whole ops are one step. A run
ends when every array is finished, every transfer is over and every result has left.
"""

from sim.engine.cycle.array import begin, locate, proceed, skip_wait
from sim.engine.cycle.columns import (
    AMOUNTS,
    ARRAY_STATE,
    ARRAYS,
    ASKED,
    ASKED_SLOTS,
    BOUNDARY,
    BUSY,
    CAUSE,
    CYCLES,
    DEADLOCK,
    DEMAND,
    EVENTS,
    FAILURE,
    FINISHED,
    GRANTED,
    IDLE,
    JOB,
    JOB_RECORD,
    KEEP_TABLE,
    KEEPS,
    KIND,
    LEFT,
    LINK,
    LONG_QUIET,
    MOVING,
    NEVER,
    NO_FAILURE,
    NO_JOB,
    NO_OP,
    NOW,
    OFF_CHIP,
    OP,
    OP_TABLE,
    OPS,
    OVER,
    PARTIAL_SUMS,
    PENDING,
    PER_KEEP,
    PER_OP,
    POINT_STAGE,
    PORT,
    PORT_A,
    PORTED,
    PORTS,
    QUEUE,
    QUIET,
    ROW_ACCESSES,
    RUNNING,
    SERVED,
    SERVER_STATE,
    SERVERS,
    SERVES,
    STAGE,
    STALLS,
    STATE,
    STREAM_STAGE,
    SUMS,
    TAIL,
    TIME_LEFT,
    TURNS,
    VARIANT,
    WAIT,
    WAITING,
    WHICH,
)
from sim.engine.cycle.fills import begin_sums, first_fill
from sim.engine.cycle.log import note_stall
from sim.engine.cycle.ready import cause_of, obstacle
from sim.engine.cycle.results import deliver_due
from sim.engine.cycle.server import end_transfer, first_read, held_cycles, take_up
from sim.engine.cycle.skip import fast_forward
from sim.engine.cycle.tables import at, at1, at3, at4, row
from sim.engine.jit import borrowed, compiled

NOBODY = -1


@compiled
def run_slice(m, fast, moments):
    """Go on with a program for so many moments at most at which something happens, or to its end, where `m[OVER]` is 1;
    with `fast`, repeating stretches are skipped exactly.

    m: i8[number], as made by `sim.cycle.state` and begun by `prepare`; the outcome: its counters and `m[FAILURE]`.
    """
    m = borrowed(m)
    for _ in range(moments):
        before = m[EVENTS]
        settle(m)
        m[QUIET] = m[QUIET] + 1 if m[EVENTS] == before else 0
        if fast and (m[BOUNDARY] == 1 or m[TURNS] == 1 or m[QUIET] >= LONG_QUIET):
            fast_forward(m)
        duration = until_next_event(m)
        if duration == NEVER and not is_over(m) and m[FAILURE] == NO_FAILURE:
            m[FAILURE] = DEADLOCK
        if duration == NEVER or m[FAILURE] != NO_FAILURE:
            m[OVER] = 1
            return
        pass_time(m, duration)


@compiled
def prepare(m):
    """Everything at its first iteration."""
    for keep in range(m[KEEPS]):
        first_fill(m, keep)
    for op in range(m[OPS]):
        first_read(m, op)
    for array in range(m[ARRAYS]):
        locate(m, array)


@compiled
def is_over(m):
    """Whether every array is finished; a server with nothing to do is finished."""
    left = 0
    for array in range(m[ARRAYS]):
        left += m[at(m, ARRAY_STATE, array, STATE)] != FINISHED
    return left == 0


@compiled
def settle(m):
    """Process everything that happens at this moment, until nothing more does."""
    changed = True
    while changed and m[FAILURE] == NO_FAILURE:
        changed = deliver_all(m)
        for server in range(m[SERVERS]):
            changed = serve(m, server) or changed
        changed = let_arrays_on(m) or changed


@compiled
def deliver_all(m):
    """Release all results that are due; whether there were any."""
    changed = False
    for op in range(m[OPS]):
        if m[at(m, QUEUE, op, 1)] > 0 and deliver_due(m, op):
            changed = True
    return changed


@compiled
def serve(m, server):
    """Let a server end its transfer and take up others; whether one ended."""
    changed = False
    while m[at(m, SERVER_STATE, server, SERVES)] == 1:
        if m[at(m, SERVER_STATE, server, JOB)] != NO_JOB and m[at(m, SERVER_STATE, server, TIME_LEFT)] == 0:
            end_transfer(m, server)
            changed = True
        elif not take_up(m, server):
            break
    return changed


@compiled
def let_arrays_on(m):
    """Sums that begin have their places, and arrays proceed; whether anything did."""
    changed = False
    for keep in range(m[KEEPS] if m[SUMS] > 0 else 0):
        if m[at(m, KEEP_TABLE, keep, PARTIAL_SUMS)] == 1:
            changed = begin_sums(m, keep) or changed
    for array in range(m[ARRAYS]):
        changed = turn(m, array) or changed
    return changed


@compiled
def turn(m, array):
    """Let an array proceed at this moment; whether it did."""
    a = row(m, ARRAY_STATE, array)
    changed = False
    while m[FAILURE] == NO_FAILURE:
        if a[STATE] == RUNNING and a[LEFT] == 0:
            m[EVENTS] += 1
            if not proceed(m, array):
                return changed
            changed = True
        elif a[STATE] == WAITING:
            a[CAUSE] = obstacle(m, array)
            if a[CAUSE] != -1:
                return changed
            changed = True
            if a[OP] == NO_OP:
                locate(m, array)
            elif m[at(m, OP_TABLE, a[OP], KIND)] == WAIT:
                skip_wait(m, array)
            else:
                begin(m, array)
        else:
            return changed
    return changed


@compiled
def clear(m):
    """No port is taken."""
    for memory in range(m[PORTED]):
        m[at1(m, DEMAND, memory)] = 0


@compiled
def demands(m, array, memory):
    """Row accesses that an array makes at the start of each slot of its stage."""
    a = row(m, ARRAY_STATE, array)
    return m[at4(m, ROW_ACCESSES, a[VARIANT], a[OP], a[STAGE], memory)]


@compiled
def slot_cycles(m, array):
    a = row(m, ARRAY_STATE, array)
    return m[at3(m, AMOUNTS, a[VARIANT], a[OP], CYCLES)] if a[STAGE] == POINT_STAGE else 1


@compiled
def server_port(m, server, side):
    """Ported memory on one side of the current transfer, -1: none. Streams bypass the memories in between."""
    if m[at(m, SERVER_STATE, server, JOB)] > 2:
        return -1
    return m[at(m, KEEP_TABLE, m[at(m, SERVER_STATE, server, WHICH)], PORT_A + side)]


@compiled
def is_issuing(m, array):
    return m[at(m, ARRAY_STATE, array, STATE)] == RUNNING and m[at(m, ARRAY_STATE, array, LEFT)] > 0


@compiled
def ask_for_all(m):
    """Note what all running work together takes of each ported memory."""
    clear(m)
    for array in range(m[ARRAYS]):
        if is_issuing(m, array):
            for memory in range(m[PORTED]):
                m[at1(m, DEMAND, memory)] += demands(m, array, memory)
    for server in range(m[SERVERS]):
        if m[at(m, SERVER_STATE, server, JOB)] == NO_JOB:
            continue
        for side in range(2):
            port = server_port(m, server, side)
            if port >= 0:
                m[at1(m, DEMAND, port)] += 1


@compiled
def nobody_competes(m):
    """Whether all running work fits the ports together in any cycle."""
    ask_for_all(m)
    excess = 0
    for memory in range(m[PORTED]):
        excess += max(0, m[at1(m, DEMAND, memory)] - m[at1(m, PORTS, memory)])
    return excess == 0


@compiled
def grant(m, array):
    """Give an array all its ports for this cycle, or none; cycles until its demand may change, NEVER if refused."""
    a = row(m, ARRAY_STATE, array)
    cycles = slot_cycles(m, array)
    a[GRANTED] = 1
    if a[LEFT] % cycles != 0:
        return a[LEFT] % cycles
    wants = False
    for memory in range(m[PORTED]):
        rows = demands(m, array, memory)
        wants = wants or rows > 0
        if m[at1(m, DEMAND, memory)] + rows > m[at1(m, PORTS, memory)]:
            a[GRANTED] = 0
            return NEVER
    for memory in range(m[PORTED]):
        m[at1(m, DEMAND, memory)] += demands(m, array, memory)
    return 1 if wants and cycles > 1 else a[LEFT]


@compiled
def grant_server(m, server):
    """The same for a transfer, which takes one port on either side."""
    job = row(m, SERVER_STATE, server)
    job[MOVING] = 1
    for side in range(2):
        port = server_port(m, server, side)
        if port >= 0 and m[at1(m, DEMAND, port)] >= m[at1(m, PORTS, port)]:
            job[MOVING] = 0
            return NEVER
    for side in range(2):
        port = server_port(m, server, side)
        if port >= 0:
            m[at1(m, DEMAND, port)] += 1
    return until_served(m, server)


@compiled
def until_served(m, server):
    """Cycles until a transfer is over, or leaves a memory that cores share to others."""
    return held_cycles(m[at(m, SERVER_STATE, server, TIME_LEFT)], m[at(m, SERVER_STATE, server, TAIL)])


@compiled
def until_something_is_due(m):
    """Cycles until a result or a finished tile of a row may leave."""
    duration = NEVER
    for op in range(m[OPS]):
        if m[at(m, QUEUE, op, 1)] > 0:
            duration = min(duration, m[at3(m, PENDING, op, m[at(m, QUEUE, op, 0)], 0)] - m[NOW])
    for keep in range(m[KEEPS]):
        duration = min(duration, until_drain(m, keep))
    return duration


@compiled
def until_next_event(m):
    """Allocate the ports; cycles until something may change, NEVER if nothing will."""
    duration = until_something_is_due(m)
    free = nobody_competes(m)
    if not free:
        clear(m)
    for array in range(m[ARRAYS]):
        a = row(m, ARRAY_STATE, array)
        if a[STATE] != RUNNING or a[LEFT] == 0:
            continue
        a[GRANTED] = 1
        duration = min(duration, a[LEFT] if free else grant(m, array))
    for server in range(m[SERVERS]):
        if m[at(m, SERVER_STATE, server, JOB)] != NO_JOB:
            m[at(m, SERVER_STATE, server, MOVING)] = 1 if free else -1
            if free:
                duration = min(duration, until_served(m, server))
    server = NOBODY if free else oldest_waiting(m)
    while server != NOBODY:
        duration = min(duration, grant_server(m, server))
        server = oldest_waiting(m)
    return duration


@compiled
def oldest_waiting(m):
    """The server with the oldest record of those that have neither ports nor a refusal yet, NOBODY if there is none."""
    found, record = NOBODY, NEVER
    for server in range(m[SERVERS]):
        job = row(m, SERVER_STATE, server)
        if job[JOB] != NO_JOB and job[MOVING] == -1 and job[JOB_RECORD] < record:
            found, record = server, job[JOB_RECORD]
    return found


@compiled
def until_drain(m, keep):
    """Cycles until a finished tile may leave; NEVER if one already may or there is none."""
    begun = m[at(m, PER_KEEP, keep, 5)]
    if begun >= m[at(m, PER_KEEP, keep, 4)]:
        return NEVER
    due = m[at3(m, ASKED, keep, begun % ASKED_SLOTS, 2)] - m[NOW]
    return due if due > 0 else NEVER


@compiled
def pass_time(m, duration):
    """Advance time; every array computes, or stalls for a cause."""
    for array in range(m[ARRAYS]):
        a = row(m, ARRAY_STATE, array)
        cause = stall_cause(m, array)
        if cause >= 0:
            m[at(m, STALLS, array, cause)] += duration
            note_stall(m, array, cause, duration)
        else:
            m[at(m, PER_OP, a[OP], BUSY)] += duration
        if a[STATE] == RUNNING and a[LEFT] > 0 and a[GRANTED] == 1:
            a[LEFT] -= duration
    for server in range(m[SERVERS]):
        job = row(m, SERVER_STATE, server)
        if job[JOB] != NO_JOB and job[MOVING] == 1:
            job[TIME_LEFT] -= duration
            m[at(m, SERVED, server, job[JOB] - 1)] += duration
    m[NOW] += duration


@compiled
def stall_cause(m, array):
    """Why an array does not compute in these cycles; -1: it does."""
    a = row(m, ARRAY_STATE, array)
    if a[STATE] == FINISHED:
        return IDLE
    if a[STATE] == WAITING:
        return cause_of(m, array)
    if a[STAGE] == STREAM_STAGE:
        return OFF_CHIP
    if a[LEFT] == 0:
        return a[CAUSE]  # the next piece of a tile is missing
    if a[GRANTED] == 0:
        return PORT
    return -1 if a[STAGE] == POINT_STAGE else LINK
