"""One run of the tile-level engine: its program and initial state in one array, and the results left there."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sim.ending import CutShort
from sim.engine.cycle import columns as col
from sim.engine.cycle.loop import prepare, run_slice

PENDING_SLOTS = 1024
HISTORY_SLOTS = 24
FIRST_MOMENTS = 1000  # simulated between two looks at what the user wants, then as many as take
BETWEEN_LOOKS_S = 0.1
DESCRIPTION = 4096  # numbers that a remembered state may have in addition to twice the counters
FIRST_COUNTERS, LAST_COUNTERS = "COUNTERS", "MOVED"
OF_CORES = {
    "ITERATIONS": 2,
    "DEPENDS": 2,
    "CHANGES": 2,
    "PLACING": 2,
    "COMMON_TILES": 3,
}  # axes of tables only cores have


@dataclass(frozen=True, slots=True)
class EngineProgram:
    """The input of a run: sizes by place, and the tables of `columns.TABLES` that come before COUNTERS, i8."""

    sizes: dict[int, int]
    tables: dict[str, np.ndarray]


@dataclass(frozen=True, slots=True)
class Window:
    """The cycles that a run logs, and the maximum number of rows."""

    first: int = 0
    last: int = -1
    rows: int = 0


@dataclass(frozen=True, slots=True)
class NestTiming:
    """The outcome of one run of a program."""

    cycles: int
    stalls: np.ndarray  # i8[array, cause]
    busy: np.ndarray  # i8[op]
    served: np.ndarray  # i8[server, job], cycles
    words: np.ndarray  # i8[keep, then way, (in, out)], those that do not fit their memory included
    moved: np.ndarray  # i8[keep, (filled, drained)], tiles
    runs: np.ndarray  # i8[op], repetitions
    events: int  # simulated one by one
    skipped: int  # periods that were counted, not simulated
    log: np.ndarray  # i8[row, column]


def run(
    program: EngineProgram,
    fast: bool = True,
    window: Window | None = None,
    tell: Callable[[int], None] = lambda busy_cycles: None,
) -> NestTiming:
    """Run a program. `fast` changes only the running time, never the outcome; `tell` hears now and then of the cycles
    in which arrays have computed. ValueError if its schedule deadlocks; CutShort, with the outcome so far, at an
    interrupt.
    """
    m, shapes = lay_out(program, window or Window())
    try:
        prepare(m)
        moments, last = FIRST_MOMENTS, time.monotonic()
        while m[col.OVER] == 0:
            run_slice(m, fast, moments)
            took, last = time.monotonic() - last, time.monotonic()
            moments = 2 * moments if took < BETWEEN_LOOKS_S else max(1, moments // 2)
            tell(int(view_of(m, shapes, "PER_OP")[:, col.BUSY].sum()))
    except KeyboardInterrupt as interrupt:
        raise CutShort(outcome_of(m, shapes), interrupt) from interrupt
    check_outcome(m)
    return outcome_of(m, shapes)


def check_outcome(m: np.ndarray) -> None:
    """ValueError for a run that could not go on."""
    failure = int(m[col.FAILURE])
    if failure == col.DEADLOCK:
        raise ValueError("the schedule cannot go on: every array waits for another")
    assert failure == col.NO_FAILURE, "a queue of the engine is too short"


def view_of(m: np.ndarray, shapes: dict[str, tuple[int, ...]], name: str) -> np.ndarray:
    """One table of a run."""
    first = int(m[getattr(col, name)])
    size = int(np.prod(shapes[name]))
    return m[first : first + size].reshape(shapes[name])


def outcome_of(m: np.ndarray, shapes: dict[str, tuple[int, ...]]) -> NestTiming:
    """What the counters of a run say at this moment."""

    def view(name: str) -> np.ndarray:
        return view_of(m, shapes, name)

    per_op, per_keep = view("PER_OP"), view("PER_KEEP")
    return NestTiming(
        cycles=int(m[col.NOW]),
        stalls=view("STALLS").copy(),
        busy=per_op[:, col.BUSY].copy(),
        served=view("SERVED").copy(),
        words=view("MOVED").copy(),
        moved=per_keep[:, (col.FILLED, col.DRAINED)].copy(),
        runs=per_op[:, col.ENDED].copy(),
        events=int(m[col.EVENTS]),
        skipped=int(m[col.SKIPPED_PERIODS]),
        log=view("LOG")[: int(m[col.LOGGED])].copy(),
    )


def lay_out(
    program: EngineProgram, window: Window, history: int = HISTORY_SLOTS
) -> tuple[np.ndarray, dict[str, tuple[int, ...]]]:
    """The array of a run, zero except for the program, and the shape of every table. history: states remembered."""
    shapes = shapes_of(program, window, history)
    places, at = {}, col.HEADER
    for name in (*_counter_names(), *(n for n in col.TABLES if n not in _counter_names())):
        places[name] = at
        at += col.SINGLE if name == FIRST_COUNTERS else int(np.prod(shapes[name]))
    m = np.zeros(at, np.int64)
    for name, shape in shapes.items():
        entry = getattr(col, name)
        m[entry] = places[name]
        for axis in range(len(shape) - 1):
            m[entry + 1 + axis] = int(np.prod(shape[axis + 1 :]))
        if name in program.tables:
            m[places[name] : places[name] + program.tables[name].size] = program.tables[name].ravel()
    for place, value in program.sizes.items():
        m[place] = value
    counted = shapes[FIRST_COUNTERS][0]
    marks = {
        col.COUNTED: counted,
        col.PENDING_SLOTS: PENDING_SLOTS,
        col.HISTORY_SLOTS: history,
        col.DESCRIPTION: shapes["HISTORY"][2],
        col.LOG_ROWS: window.rows,
        col.LOG_FROM: window.first,
        col.LOG_TO: window.last,
    }
    for place, value in marks.items():
        m[place] = value
    _serve(program, m, places["SERVER_STATE"])
    m[places["BASE"] : places["BASE"] + counted] = bases(program, shapes, places)
    return m, shapes


def _counter_names() -> tuple[str, ...]:
    first, last = col.TABLES.index(FIRST_COUNTERS), col.TABLES.index(LAST_COUNTERS)
    return col.TABLES[first : last + 1]


def shapes_of(program: EngineProgram, window: Window, history: int) -> dict[str, tuple[int, ...]]:
    """The shape of every table."""
    sizes = program.sizes
    arrays, ops, keeps, depth = sizes[col.ARRAYS], sizes[col.OPS], sizes[col.KEEPS], sizes[col.DEPTH]
    servers, ported, slots = sizes[col.SERVERS], sizes[col.PORTED], sizes[col.WINDOW]
    shapes: dict[str, tuple[int, ...]] = {name: (0,) * axes for name, axes in OF_CORES.items()}
    shapes |= {name: table.shape for name, table in program.tables.items()}
    levels = depth + 3 * arrays + 1
    remains = col.ARRAY_REMAINS * arrays + col.SITE_REMAINS * (keeps + ops)
    shapes |= {
        "STEPS": (arrays,),
        "PER_OP": (ops, col.OP_COUNTERS),
        "PER_KEEP": (keeps, col.KEEP_COUNTERS),
        "RELEASED": (sizes[col.USERS],),
        "STALLS": (arrays, len(col.CAUSES)),
        "SERVED": (servers, 4),
        "MOVED": (keeps + program.tables["WAYS"].shape[0], 2),
    }
    counted = col.SINGLE + sum(int(np.prod(shapes[name])) for name in _counter_names() if name != FIRST_COUNTERS)
    return shapes | {
        "COUNTERS": (counted,),
        "BASE": (counted,),
        "ARRAY_STATE": (arrays, col.ARRAY_COLUMNS),
        "SERVER_STATE": (servers, col.SERVER_COLUMNS),
        "RECORD_INDEX": (slots, depth + col.INDEX_MORE),
        "RECORD_VARIANT": (slots, depth + 1),
        "RECORD_ORDINAL": (slots, keeps),
        "SITE_INDEX": (keeps + ops, depth + col.INDEX_MORE),
        "SITE_VARIANT": (keeps + ops, depth + 1),
        "SITE_REPEAT": (keeps + ops,),
        "PENDING": (ops, PENDING_SLOTS, 2),
        "QUEUE": (ops, 2),
        "WRITES": (ops, col.WRITE_SLOTS, 5),
        "ASKED": (keeps, col.ASKED_SLOTS, col.ASKED_COLUMNS),
        "PARTIAL": (keeps + ops, col.PARTIAL_COLUMNS),
        "PIECES": (keeps, 3),
        "DEMAND": (ported,),
        "HISTORY": (levels, history, 2 * counted + remains + DESCRIPTION),
        "REMEMBERED": (levels, col.REMEMBERED_COLUMNS),
        "MARKS": (levels, history),
        "LOG": (window.rows, col.LOG_COLUMNS),
    }


def _serve(program: EngineProgram, m: np.ndarray, first: int) -> None:
    """Mark the servers that serve any transfer."""
    keeps, ops = program.tables["KEEP_TABLE"], program.tables["OP_TABLE"]
    columns = (keeps[:, [col.FILL_SERVER, col.DRAIN_SERVER]], ops[:, [col.READ_SERVER, col.WRITE_SERVER]])
    busy = {server for column in columns for server in column.ravel().tolist()}
    for server in busy - {-1}:
        m[first + server * col.SERVER_COLUMNS + col.SERVES] = 1
        m[first + server * col.SERVER_COLUMNS + col.FREE_SINCE] = -1


def bases(program: EngineProgram, shapes: dict[str, tuple[int, ...]], places: dict[str, int]) -> np.ndarray:
    """The counter that each one is compared with, so that equal distances make equal states: i8[counter]."""
    number = {
        name: (np.arange(int(np.prod(shapes[name]))) + places[name] - col.HEADER).reshape(shapes[name])
        for name in _counter_names()
        if name != FIRST_COUNTERS
    }
    base = np.full(shapes[FIRST_COUNTERS][0], col.NO_BASE, np.int64)
    front, per_op, per_keep = col.FRONT - col.HEADER, number["PER_OP"], number["PER_KEEP"]
    base[number["STEPS"]] = front
    ops, keeps = program.tables["OP_TABLE"], program.tables["KEEP_TABLE"]
    for op in range(per_op.shape[0]):
        base[per_op[op, [col.ISSUED, col.AVAILABLE]]] = front
        counted = [col.ENDED, col.ENDED_AVAILABLE]
        if ops[op, col.READ_SERVER] >= 0:
            # Compared only if it decides whether words exist; its order among other transfers cannot change in a loop.
            first, last = ops[op, [col.DEP_FIRST, col.DEP_LAST]]
            makers = [*program.tables["DEPS"][first:last, col.PRODUCER], *([op] if takes_back(program, op) else [])]
            decides = (ops[makers, col.WRITE_SERVER] >= 0).any()
            base[per_op[op, col.READ_SITE]] = col.WITH_SITE if decides else col.NO_BASE
            counted += [col.READS_BEGUN, col.READS_DONE]
        if ops[op, col.WRITE_SERVER] >= 0:
            counted += [col.WRITES_BEGUN, col.WRITES_SENT, col.WRITES_DONE]
            base[per_op[op, col.WRITTEN]] = front
        base[per_op[op, counted]] = per_op[op, col.STARTED]
    for keep in range(per_keep.shape[0]):
        counted = []
        if keeps[keep, col.FILLS]:
            counted += [col.FILLS_BEGUN, col.FILLED]
            base[per_keep[keep, col.FILL_SITE]] = col.WITH_SITE if keeps[keep, col.SOURCE] >= 0 else col.NO_BASE
        if keeps[keep, col.DRAINS]:
            counted += [col.DRAINS_ASKED, col.DRAINS_BEGUN, col.DRAINED]
        base[per_keep[keep, counted]] = per_keep[keep, col.ORDINAL]
        first, last = keeps[keep, [col.FIRST_USER, col.LAST_USER]]
        base[number["RELEASED"][first:last]] = per_keep[keep, col.ORDINAL]
    return base


def takes_back(program: EngineProgram, op: int) -> bool:
    """Whether sums of an op come back."""
    first, last = program.tables["OP_TABLE"][op, [col.STAY_FIRST, col.STAY_LAST]]
    return bool((program.tables["STAYING"][first:last, col.HOW] == col.COMES_BACK).any())
