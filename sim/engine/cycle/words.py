"""The words of a run, by what moves them: kept tiles, and the ways between the array of an op and memories.

Words count whole, as they are; what part of them a memory serves, where tiles spill, is known outside.
"""

from sim.engine.cycle.columns import (
    BACK_BIT,
    KEEPS,
    MOVED,
    OP_TABLE,
    OUTWARD,
    STAY_BIT,
    VARIANTS,
    WAY_FIRST,
    WAY_LAST,
    WAY_WORDS,
    WAYS,
)
from sim.engine.cycle.tables import at, at3, row
from sim.engine.jit import compiled


@compiled
def count_words(m, op, amounts):
    """Count what a repetition moves between its array and memories. amounts: its row of AMOUNTS."""
    variant, bits = amounts % m[VARIANTS], amounts // m[VARIANTS]
    for way in range(m[at(m, OP_TABLE, op, WAY_FIRST)], m[at(m, OP_TABLE, op, WAY_LAST)]):
        kind, place = row(m, WAYS, way), m[KEEPS] + way
        words = m[at3(m, WAY_WORDS, variant, way, 0)]
        if kind[STAY_BIT] < 0 or bits >> kind[STAY_BIT] & 1 == 0:
            m[at(m, MOVED, place, kind[OUTWARD])] += words
        if kind[OUTWARD] == 1:
            comes_back = kind[BACK_BIT] >= 0 and bits >> kind[BACK_BIT] & 1 == 1
            m[at(m, MOVED, place, 0)] += words if comes_back else words - m[at3(m, WAY_WORDS, variant, way, 1)]
