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
    FETCHES = 9  # row that counts the tiles in which the words come; -1: rows of this memory are not counted
    WITH_SLOTS = 10  # 1: an array asks for them with its issue slots; 0: a transfer, at any time


class KeepColumn(IntEnum):
    """Columns of `keeps: i8[keep, column]`; a row is a tile that a memory holds."""

    ROW = 0  # of the footprint rows
    MEMORY = 1
    COPIES = 2
    GROUP = 3  # tiles of one group take turns in one place; -1: none
    REACH = 4  # steps of a pipeline from a tile's first user to its last, counted; 1: they work on the same one
    STEP_ROW = 5  # of the footprint rows: what one step more keeps
    IN_PIECES = 6  # 1: tiles of two steps take each other's place piece by piece


class SpanColumn(IntEnum):
    """Columns of `spans: i8[span, column]`; a row is a run of phases in which a tile must be there.

    It holds where the count of row MORE is above that of row THAN (of the footprint rows); MORE -1: always.
    """

    KEEP = 0
    MORE = 1
    THAN = 2
    FIRST = 3
    LAST = 4


class LeafColumn(IntEnum):
    """Columns of `leaves: i8[leaf, column]`; a row is an Einsum on an array."""

    POINTS = 0  # row that counts iteration points
    STEPS = 1  # row that counts temporal steps
    ARRAY = 2
    PHASE = 3
    CHAINS = 4  # row that counts reductions over the elements after each of them has folded words of its own; -1: none
    REDUCED = 5  # row that counts what the reduced sides carry, step by step
    STAGE = 6  # of a pipeline; -1: none
    RUNS = 7  # row that counts how often it runs: iterations of the loops that it shares


class DrainColumn(IntEnum):
    """Columns of `drains: i8[phase, column]`; from LATENCY on the marks of `Latency`."""

    ARRAY = 0  # -1: the phase runs Einsums
    RUNS = 1  # row that counts how often the array is waited for
    LATENCY = 2
