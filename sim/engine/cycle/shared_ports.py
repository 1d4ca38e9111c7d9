"""Ports and links of memories that cores share, cycle by cycle where not all that is under way fits them.

Arrays come first, in the order of the cores and of the machine file, then transfers, the oldest first.
"""

from sim.engine.cycle.board import NOBODY
from sim.engine.cycle.columns import (
    ARRAYS,
    DEMAND,
    JOB,
    JOB_RECORD,
    MOVING,
    NEVER,
    NO_JOB,
    PORTED,
    SERVER_STATE,
    SERVERS,
)
from sim.engine.cycle.hub import age_of
from sim.engine.cycle.loop import ask_for_all, clear, grant, grant_server, is_issuing, until_something_is_due
from sim.engine.cycle.tables import at, at1
from sim.engine.jit import compiled, inlined


@inlined
def note_demands(m, board, place):
    """What all that is under way in a row takes of each ported memory."""
    ask_for_all(m)
    for memory in range(m[PORTED]):
        board.asked[memory] += m[at1(m, DEMAND, memory)] - board.demand[place, memory]
        board.demand[place, memory] = m[at1(m, DEMAND, memory)]


@inlined
def fit_together(board):
    """Whether all that is under way in all rows fits the memories that cores share."""
    for memory in range(board.ports.size):
        if board.ports[memory] >= 0 and board.asked[memory] > board.ports[memory]:
            return False
    return True


@compiled
def grant_together(every, board):
    """Allocate all ports for this cycle; cycles until something may change, NEVER if nothing will."""
    board.taken[:] = 0
    duration = NEVER
    for place in range(every.shape[0]):
        m = every[place]
        clear(m)
        duration = min(duration, until_something_is_due(m))
        for array in range(m[ARRAYS]):
            if is_issuing(m, array):
                show_taken(m, board)
                duration = min(duration, grant(m, array))
                note_taken(m, board)
        for server in range(m[SERVERS]):
            if m[at(m, SERVER_STATE, server, JOB)] != NO_JOB:
                m[at(m, SERVER_STATE, server, MOVING)] = -1
    place, server = oldest_of_all(every)
    while place != NOBODY:
        show_taken(every[place], board)
        duration = min(duration, grant_server(every[place], server))
        note_taken(every[place], board)
        place, server = oldest_of_all(every)
    return duration


@inlined
def show_taken(m, board):
    """A row sees what all rows have taken of the memories that they share."""
    for memory in range(board.ports.size):
        if board.ports[memory] >= 0:
            m[at1(m, DEMAND, memory)] = board.taken[memory]


@inlined
def note_taken(m, board):
    for memory in range(board.ports.size):
        if board.ports[memory] >= 0:
            board.taken[memory] = m[at1(m, DEMAND, memory)]


@compiled
def oldest_of_all(every):
    """(row, server) of the oldest transfer that has neither ports nor a refusal yet; NOBODY if there is none."""
    found, chosen, oldest_age = NOBODY, NOBODY, NEVER
    for server in range(every[0, SERVERS]):
        for place in range(every.shape[0]):
            m = every[place]
            if m[at(m, SERVER_STATE, server, JOB)] == NO_JOB or m[at(m, SERVER_STATE, server, MOVING)] != -1:
                continue
            age = age_of(every, place, m[at(m, SERVER_STATE, server, JOB_RECORD)])
            if age < oldest_age:
                found, chosen, oldest_age = place, server, age
    return found, chosen
