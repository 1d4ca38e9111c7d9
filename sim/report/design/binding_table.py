"""A binding as tables of text, and one interval of its steady state as a chart.

The chart has a lane for each array (its issue slots) and one for the trains on its links. A column is one or several
cycles; its letter is the task that holds most of them, in lower case if two tasks alternate, or a dot if there is none.
"""

from collections import Counter
from collections.abc import Iterator

from sim.binding.answer import Binding
from sim.binding.types import COMPUTE, WAIT, ModuloSchedule, Placement, Task
from sim.report.design.simulation_table import TextTable

CHART_COLUMNS = 138
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def binding_heading(binding: Binding) -> str:
    """What was bound, in one line."""
    experiment = binding.experiment
    labels = ", ".join(f"{name} {value}" for name, value in experiment.labels)
    where = f"on {experiment.architecture.name}, tiles of {experiment.mapping.name}"
    return f"{experiment.name}: {experiment.cascade.name} ({labels}) {where}"


def part_tables(part: ModuloSchedule) -> tuple[TextTable, ...]:
    """The answer, the bounds, the starts and the tiles held, for one pipelined part."""
    return (answer_table(part), bound_table(part), start_table(part), *held_tables(part))


def answer_table(part: ModuloSchedule) -> TextTable:
    """Interval, proof, stages and the whole run."""
    least = "the least possible" if part.is_least else f"at least {part.least_words:,}"
    rows = (
        ("interval", f"{part.interval:,} cycles", part.proof),
        ("stages", f"{part.stages:,}", f"{part.span_cycles:,} cycles from a tile's first slot to its last result"),
        ("in flight", f"{part.words:,} words", least),
        ("run", f"{part.total_cycles:,} cycles", f"{part.graph.iterations:,} tiles over {', '.join(part.graph.loops)}"),
    )
    return TextTable(f"Part {part.graph.name}", ("", "", ""), rows)


def bound_table(part: ModuloSchedule) -> TextTable:
    """All bounds on the interval, strongest first, with their slack."""
    used = {resource.name: part.utilization(i) for i, resource in enumerate(part.graph.resources)}
    rows = tuple(
        (bound.reason, f"{bound.cycles:,}", f"{used[bound.reason]:.1%}" if bound.reason in used else "")
        for bound in part.bounds
    )
    return TextTable("Lower bounds", ("bound", "cycles", "in use"), rows)


def start_table(part: ModuloSchedule) -> TextTable:
    """When every task issues its slots."""
    rows = tuple(
        (
            f"{letter} {task.name}",
            task.array if task.kind in (COMPUTE, WAIT) else f"{task.array} links",
            f"{placement.stage(part.interval):,}",
            f"{placement.offset(part.interval):,}",
            f"{task.slots:,} x {task.cycles}",
            f"{placement.stride:,}",
            f"{task.latency:,}",
        )
        for letter, task, placement in _lettered(part)
    )
    header = ("task", "on", "stage", "offset", "slots", "every", "drain")
    return TextTable("Tasks, in cycles", header, rows)


def held_tables(part: ModuloSchedule) -> tuple[TextTable, ...]:
    """Tiles in flight by memory, if there are any."""
    rooms, words = dict(part.graph.room_words), dict(part.words_by_memory)
    rows = []
    for memory, total in words.items():
        held = ", ".join(f"{pieces} {tensor}" for where, tensor, pieces in part.copies if where == memory)
        room = f"{rooms[memory]:,}" if memory in rooms else "not bounded"
        rows.append((memory, held, f"{total:,}", room))
    return (TextTable("In flight", ("memory", "pieces", "words", "room"), tuple(rows)),) if rows else ()


def chart(part: ModuloSchedule) -> str:
    """One interval of the steady state, a line for each array or its links."""
    columns = min(CHART_COLUMNS, part.interval)
    lines = []
    for lane in dict.fromkeys(_lane(task) for task in part.graph.tasks):
        held: list[Counter[str]] = [Counter() for _ in range(columns)]
        for letter, task, placement in _lettered(part):
            if _lane(task) == lane:
                for cycle in _cycles(task, placement, part.interval):
                    held[cycle * columns // part.interval][letter] += 1
        lines.append(f"  {lane:<12}|{''.join(map(_mark, held))}|")
    scale = f"0{part.interval - 1:>{columns - 1},}"
    return "\n".join([f"  {'cycle':<12} {scale}", *lines])


def _lettered(part: ModuloSchedule) -> Iterator[tuple[str, Task, Placement]]:
    for i, (task, placement) in enumerate(zip(part.graph.tasks, part.placements, strict=True)):
        yield LETTERS[i] if i < len(LETTERS) else "*", task, placement


def _lane(task: Task) -> str:
    return task.array if task.kind in (COMPUTE, WAIT) else f"{task.array} links"


def _cycles(task: Task, placement: Placement, interval: int) -> Iterator[int]:
    for slot in range(task.slots):
        for cycle in range(task.cycles):
            yield (placement.start + slot * placement.stride + cycle) % interval


def _mark(held: Counter[str]) -> str:
    if not held:
        return "."
    (letter, most), *others = held.most_common(2)
    alternates = bool(others) and 2 * others[0][1] >= most
    return letter.lower() if alternates else letter
