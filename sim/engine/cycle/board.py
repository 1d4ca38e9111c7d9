"""What is known of several cores at a moment of their run, one row for each, the hub last (see `together`)."""

from typing import NamedTuple

import numpy as np

NOBODY, NOTHING_KNOWN = -1, -1
OFFER_JOB, OFFER_WHICH, OFFER_RECORD = range(3)
# Of the marks: the cycle that is next, whether nothing more happens, and how many rows are being settled.
CONTENDED, MOMENT, IS_OVER, SETTLED = range(4)
MARKS = 4
KEPT_STATES, NEXT_STATE, AT_RUN = range(3)
TURNS_ALIKE, LOOKS_EVERY = range(2)
LOOKED = 0


class CoreBoard(NamedTuple):
    """The rows of a run, and what they share."""

    due: np.ndarray  # i8[row], cycle of its next event, NOTHING_KNOWN
    stale: np.ndarray  # i8[row], 1: something has happened to it in this cycle
    active: np.ndarray  # i8[row], 1: it is being settled
    settled: np.ndarray  # i8[row], those rows, in their order
    owner: np.ndarray  # i8[server], the row whose transfer a shared memory serves, NOBODY
    free_since: np.ndarray  # i8[server]
    is_shared: np.ndarray  # i8[server], 1: cores share its memory
    offers: np.ndarray  # i8[row, server, (job, keep or op, record)], what would be moved next
    ages: np.ndarray  # i8[server, row], the ages of these; NEVER: there is none
    demand: np.ndarray  # i8[row, ported memory], row accesses in a cycle of all that is under way
    asked: np.ndarray  # i8[ported memory], the same of all rows together
    taken: np.ndarray  # i8[ported memory], scratch
    ports: np.ndarray  # i8[ported memory], of one that cores share, what it grants in a cycle; -1: each has its own
    released: np.ndarray  # i8[user, core], common tiles that a user is done with
    groups: np.ndarray  # i8[keep], cores of which the sums in a tile leave as one; 1: each has its own
    leaving: np.ndarray  # i8[keep, as an index row], where the next common tile that leaves belongs
    leaving_variant: np.ndarray  # i8[keep, depth]
    marks: np.ndarray  # i8[mark]
    history: np.ndarray  # i8[level, slot, row, number], earlier states
    remembered: np.ndarray  # i8[level, (states kept, next slot, run of a dealt level)]
    dealing: np.ndarray  # i8[dealt level, (turns after which it is dealt alike, turns from look to look)]; 0: no look
    looks: np.ndarray  # i8[1]: the turn of core 0 that was looked at; NEVER: none are
    scratch: np.ndarray  # i8[number], the state of one row
