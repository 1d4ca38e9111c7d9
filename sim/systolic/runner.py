"""Runs a program on a rectangular array of PEs with a 1D array below it, cycle by cycle, and reports what happened.

Conventions (docs/cycle-pe.md): cycles are counted from the one in which the first word enters to the one in
which the last result has left or the last operation has finished, both included.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from einsums.names import near_or_all
from sim.engine.record import table
from sim.engine.systolic import columns as col
from sim.engine.systolic import records as rec
from sim.engine.systolic.array import run_array
from sim.systolic.program import (
    ALONG,
    NORTH,
    OPERATORS,
    ROWS_OF_TASK,
    SENT_SOUTH,
    SIDES,
    WEST,
    ArrayTask,
    SystolicArray,
    WordPlace,
    words_of,
)

HAZARDS = (
    "two values want one link",
    "an operation starts while the PE's operator is taken",
    "an operand arrives without its partner",
    "a register is read before its value is there",
    "a register is overwritten while its value is needed",
    "a word enters before it was written",
)


@dataclass(frozen=True, slots=True)
class Hazard:
    """One kind of error in the schedule: how often it occurs, and where first."""

    kind: str
    count: int
    cycle: int
    row: int
    col: int
    task: str

    def __str__(self) -> str:
        place = f"row {self.row}, column {self.col} ({self.task})"
        return f"{self.kind}: {self.count} times, first in cycle {self.cycle} at {place}"


class TaskSpan(NamedTuple):
    """Cycles of one task; -1 for events that never happened."""

    firings: int
    first_fired: int
    last_done: int
    first_left: int
    last_left: int


@dataclass(frozen=True, slots=True)
class ArrayRun:
    """The outcome of a run. Row `rows` of the per-PE arrays is the 1D array."""

    array: SystolicArray
    memory: np.ndarray  # f8[word]
    first_cycle: int
    last_cycle: int
    hazards: tuple[Hazard, ...]
    spans: tuple[tuple[str, TaskSpan], ...]
    counts: np.ndarray  # i8[row, col, operator], firings
    peak_registers: np.ndarray  # i8[row, col]

    @property
    def cycles(self) -> int:
        return self.last_cycle - self.first_cycle + 1

    @property
    def busy_cycles(self) -> np.ndarray:
        """i8[row, col], cycles for which the PE's operator was occupied."""
        slots = np.array([self.array.slots.of(operator) for operator in OPERATORS])
        return self.counts @ slots

    @property
    def utilization(self) -> tuple[float, float]:
        """Busy share of the PEs' cycles: the 2D array, the 1D array."""
        busy = self.busy_cycles / max(self.cycles, 1)
        return float(busy[:-1].mean()), float(busy[-1].mean())

    def count(self, operator: str) -> np.ndarray:
        """i8[row, col], firings of one operator."""
        if operator not in OPERATORS:
            raise ValueError(f"no operator '{operator}'{near_or_all(operator, OPERATORS)}")
        return self.counts[:, :, OPERATORS.index(operator)]

    def span(self, name: str) -> TaskSpan:
        """Cycles of the task of that name."""
        by_name = dict(self.spans)
        if name not in by_name:
            raise ValueError(f"no task '{name}'{near_or_all(name, by_name)}")
        return by_name[name]

    def read(self, place: WordPlace, steps: int, lanes: int) -> np.ndarray:
        """f8[step, lane], the words at a place."""
        return self.memory[words_of(place, steps, lanes)]

    def checked(self) -> "ArrayRun":
        """This run, if its schedule had no hazards."""
        if self.hazards:
            raise ValueError("; ".join(str(hazard) for hazard in self.hazards))
        return self


def run_program(array: SystolicArray, tasks: Sequence[ArrayTask], memory: np.ndarray) -> ArrayRun:
    """Run a program over `memory: f8[word]`, which is not modified; its NaNs count as words not yet written."""
    words = np.array(memory, dtype=np.float64)
    index = {task.issue.name: number for number, task in enumerate(tasks)}
    if len(index) < len(tasks):
        raise ValueError("names of tasks: expected each once, got " + ", ".join(task.issue.name for task in tasks))
    for task in tasks:
        check_task(task, array, words.size, tuple(index))
    stamps = np.where(np.isnan(words), col.NEVER, -col.NEVER).astype(np.int64)
    stamps = np.append(stamps, array.turnaround_cycles)
    pes = np.zeros((col.PE_COLUMNS, array.rows + 1, array.cols), np.int64)
    log = np.full((col.HAZARDS + len(tasks), col.LOG_COLUMNS), -1, np.int64)
    log[:, 0] = 0
    streams = stream_table(tasks)
    table_of_tasks = task_table(tasks, array, index)
    run_array(array.links, array.registers, table_of_tasks, streams, words, stamps, pes, log)
    spans = tuple((task.issue.name, TaskSpan(*log[col.HAZARDS + n].tolist())) for n, task in enumerate(tasks))
    return ArrayRun(
        array,
        words,
        int(streams[0].start) if len(streams) else 0,
        max((max(span.last_done, span.last_left) for _, span in spans), default=-1),
        hazards_of(log, tasks),
        spans,
        np.ascontiguousarray(np.moveaxis(pes[col.COUNTS :], 0, -1)),
        pes[col.PEAK].copy(),
    )


def hazards_of(log: np.ndarray, tasks: Sequence[ArrayTask]) -> tuple[Hazard, ...]:
    """The hazards that occurred."""
    rows = zip(HAZARDS, log[: col.HAZARDS].tolist(), strict=True)
    return tuple(
        Hazard(kind, count, cycle, row, column, tasks[task].issue.name)
        for kind, (count, cycle, row, column, task) in rows
        if count
    )


def needs_of(task: ArrayTask) -> int:
    """Which operands must have arrived: those that enter, and in the 1D array those from above."""
    sides = {stream.side for stream in task.streams}
    north = col.NEEDS_NORTH if "top" in sides or not sides or NORTH in (task.a, task.b, task.c) else 0
    along = col.NEEDS_ALONG if "sideways" in sides else 0
    return north | along | (col.NEEDS_WEST if sides & {"left", "below"} else 0)


def task_table(tasks: Sequence[ArrayTask], array: SystolicArray, index: dict[str, int]) -> np.ndarray:
    """Task[task] of the engine."""
    return table(rec.ElementTask, (task_row(task, array, index) for task in tasks))


def task_row(task: ArrayTask, array: SystolicArray, index: dict[str, int]) -> rec.ElementTask:
    """One task as numbers; index: the number of a task by its name."""
    out = task.out or WordPlace(-1, 0, 0)
    return rec.ElementTask(
        operator=OPERATORS.index(task.operator),
        a=task.a,
        b=task.b,
        c=task.c,
        to=-1 if task.to is None else task.to,
        south=SENT_SOUTH.index(task.south),
        east=int(task.east),
        needs=needs_of(task),
        at=ROWS_OF_TASK.index(task.at),
        rows=task.tile.rows,
        cols=task.tile.cols,
        steps=task.tile.steps,
        slots=array.slots.of(task.operator),
        frees=bits(task.frees),
        uses_up=bits(task.uses_up),
        fresh=int(task.is_fresh),
        then=-1 if task.then is None else index[task.then],
        out_base=out.base,
        out_step=out.step_words,
        out_lane=out.lane_words,
        passes=SENT_SOUTH.index(task.passes),
    )


def bits(operands: str) -> int:
    """One bit for each operand of "abc"."""
    return sum(1 << "abc".index(operand) for operand in set(operands))


def stream_table(tasks: Sequence[ArrayTask]) -> np.ndarray:
    """Stream[stream] of the engine, by start."""
    rows = table(
        rec.StreamRecord,
        (
            rec.StreamRecord(
                task=number,
                side=SIDES.index(stream.side),
                link=task.issue.link,
                start=task.issue.start,
                stride=task.issue.stride,
                skew=stream.skew,
                steps=task.tile.steps,
                lanes={"left": task.tile.rows, "sideways": 1}.get(stream.side, task.tile.cols),
                first_word=stream.words.base,
                step_words=stream.words.step_words,
                lane_words=stream.words.lane_words,
            )
            for number, task in enumerate(tasks)
            for stream in task.streams
        ),
    )
    return rows[np.argsort(rows["start"], kind="stable")]


def check_task(task: ArrayTask, array: SystolicArray, words: int, names: tuple[str, ...]) -> None:
    """Refuse a task that the array cannot hold, whatever the schedule."""
    issue, tile = task.issue, task.tile
    wrong = None
    for what, found, known in (
        ("operator", task.operator, OPERATORS),
        ("south", task.south, SENT_SOUTH),
        ("passes", task.passes, SENT_SOUTH),
        ("at", task.at, ROWS_OF_TASK),
        ("then", task.then, (*names, None)),
    ):
        if found not in known:
            wrong = f"{what}: no '{found}'{near_or_all(str(found), (name for name in known if name))}"
    if wrong is None:
        wrong = wrong_shape(task, array) or wrong_words(task, words)
    if wrong is None and "result" in (task.south, task.passes) and array.slots.of(task.operator) > 1:
        wrong = "a result that is sent on: expected an operator of one slot, its register may be drained instead"
    if wrong is None and (issue.start < 0 or issue.stride < 1 or not 0 <= issue.link < array.links):
        wrong = f"issue: expected start >= 0, stride >= 1 and a link below {array.links}, got {tuple(issue[1:])}"
    if wrong is not None:
        raise ValueError(f"task '{issue.name}' ({tile.rows}x{tile.cols}, {tile.steps} steps): {wrong}")


def wrong_shape(task: ArrayTask, array: SystolicArray) -> str | None:
    """What is wrong with the task's tile and registers, if anything."""
    rows, cols, steps = task.tile
    if not (0 < rows <= array.rows and 0 < cols <= array.cols and steps > 0):
        return f"tile: expected 1 to {array.rows} rows, 1 to {array.cols} columns and at least one step"
    registers = [operand for operand in (task.a, task.b, task.c, task.to) if operand is not None and operand >= 0]
    if any(register >= array.registers for register in registers):
        return f"registers: expected numbers below {array.registers}, got {max(registers)}"
    sides, operands = {stream.side for stream in task.streams}, (task.a, task.b, task.c)
    if WEST in operands and not sides & {"left", "below"}:
        return "operands: expected a stream at the left or below for WEST, got none"
    if (ALONG in operands or task.passes != "nothing") and "sideways" not in sides:
        return "operands: expected a stream sideways for ALONG, got none"
    if "sideways" in sides and sides & {"top", "left"}:
        return f"streams: expected none at the {min(sides & {'top', 'left'})} of a task of the 1D array"
    if NORTH in operands and "left" in sides and "top" not in sides:
        return "operands: expected a stream at the top for NORTH, got none"
    if not set(task.frees + task.uses_up) <= set("abc"):
        return f"registers given up: expected operands of 'abc', got '{task.frees + task.uses_up}'"
    return None


def wrong_words(task: ArrayTask, words: int) -> str | None:
    """What is wrong with the words that the task reads and writes, if anything."""
    lanes_of = {"left": task.tile.rows, "sideways": 1}
    places = [(stream.words, lanes_of.get(stream.side, task.tile.cols)) for stream in task.streams]
    if task.out is not None:
        places.append((task.out, 1 if task.passes == "result" else task.tile.cols))
    for place, lanes in places:
        used = words_of(place, task.tile.steps, lanes)
        if used.min() < 0 or used.max() >= words:
            return f"words: expected 0 to {words - 1}, got {used.min()} to {used.max()}"
    return None
