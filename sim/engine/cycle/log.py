"""The log of a run, as far as it has room: ops on arrays, stalls with their cause, and transfers, with their times.

Only events that end after the first and begin before the last cycle of the window are logged; nothing inside it is
skipped.
"""

from sim.engine.cycle.columns import (
    ARRAY_STATE,
    END,
    LAST_ROW,
    LOG,
    LOG_FROM,
    LOG_KIND,
    LOG_RECORD,
    LOG_ROWS,
    LOG_TO,
    LOGGED,
    NOW,
    RECORD,
    STALL_ROW,
    START,
    TRACK,
    WHAT,
)
from sim.engine.cycle.tables import at, row
from sim.engine.jit import compiled


@compiled
def note(m, kind, track, what, record, start):
    """Add a row that ends now; returns its number, or -1 if it is not logged."""
    if m[NOW] <= m[LOG_FROM] or start >= m[LOG_TO] or m[LOGGED] >= m[LOG_ROWS]:
        return -1
    entry = row(m, LOG, m[LOGGED])
    entry[LOG_KIND], entry[TRACK], entry[WHAT], entry[LOG_RECORD] = kind, track, what, record
    entry[START], entry[END] = start, m[NOW]
    m[LOGGED] += 1
    return m[LOGGED] - 1


@compiled
def note_stall(m, array, cause, duration):
    """Add a stall of that many cycles from now on, or extend the one that ends now."""
    last = m[at(m, ARRAY_STATE, array, LAST_ROW)] - 1
    if m[LOG_ROWS] == 0:
        return
    if last >= 0 and m[at(m, LOG, last, WHAT)] == cause and m[at(m, LOG, last, END)] == m[NOW]:
        m[at(m, LOG, last, END)] += duration
        return
    m[NOW] += duration
    last = note(m, STALL_ROW, array, cause, m[at(m, ARRAY_STATE, array, RECORD)], m[NOW] - duration)
    m[NOW] -= duration
    m[at(m, ARRAY_STATE, array, LAST_ROW)] = last + 1
