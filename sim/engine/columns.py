"""Names of the columns of the tables that lowering writes and the engines read."""

from enum import IntEnum


class FlowColumn(IntEnum):
    """Columns of `flows: i8[flow, column]`; a row is one kind of movement of words (see sim/lower/flows.py)."""

    ROW = 0
    LESS = 1
    MEMORY = 2
    WRITE = 3
    TENSOR = 4
    EINSUM = 5
    RESIDENT = 6
    SPILLED = 7
    DRAINS = 8  # 1: the reading of a finished tile on its way out


class KeepColumn(IntEnum):
    """Columns of `keeps: i8[keep, column]`; a row is a tile that a memory holds."""

    ROW = 0  # of the footprint rows
    MEMORY = 1
    COPIES = 2
    GROUP = 3  # tiles of one group take turns in one place; -1: none
    FIRST_PHASE = 4  # phases in which the tile must be present
    LAST_PHASE = 5


class LeafColumn(IntEnum):
    """Columns of `leaves: i8[leaf, column]`; a row is an Einsum on an array."""

    POINTS = 0  # row that counts iteration points
    STEPS = 1  # row that counts temporal steps
    ARRAY = 2
    PHASE = 3
