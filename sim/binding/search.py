"""The binding search: the shortest interval at which the tasks of one tile can repeat, with a proof or a gap.

Lower bounds come from every resource (what one tile takes of it, over its capacity) and from every cycle of
dependencies (its latency over its distance). From the largest of them upward, each interval is searched
(`sim.engine.binding.search`) until one has a schedule; the next search among its schedules looks for the fewest words
in flight, then the fewest stages. An interval below the answer is excluded when its search ended within its budget; if
not, it is the gap.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import reduce
from itertools import product
from math import ceil, gcd, prod

import numpy as np

from sim.binding.types import Bound, ModuloSchedule, Placement, TaskGraph
from sim.engine.binding import records as rec
from sim.engine.binding.cost import count_pieces, sum_words
from sim.engine.binding.grid import empty_board
from sim.engine.binding.pieces import floor_pieces
from sim.engine.binding.search import search
from sim.engine.binding.time import cycle_interval, longest_paths
from sim.engine.record import table

LONGEST_INTERVAL = 1 << 16  # offsets are tried cycle by cycle
MOST_INTERLEAVE = 16  # one attempt to place a task tries offsets in proportion
MOST_STRIDE_CHOICES = 256
TIMES_OVER = 8
STEP_PART = 16  # intervals up to this far above the bound are all searched


@dataclass(frozen=True, slots=True)
class SearchOptions:
    """`interleave`: a task may issue every 1 to so many times its slot's cycles, so that others fill the gaps.

    `effort`: offsets tried at most for each interval, and ten times as many for the fewest words at the last one; some
    ten million a second.
    """

    interleave: int = 2
    effort: int = 5_000_000

    def __post_init__(self) -> None:
        for name in ("interleave", "effort"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} of a binding search: expected at least 1, got {getattr(self, name)}")
        if self.interleave > MOST_INTERLEAVE:
            raise ValueError(
                f"interleave of a binding search: expected at most {MOST_INTERLEAVE}, got {self.interleave}"
            )


@dataclass(frozen=True)
class _Tables:
    """The graph as the engine takes it; words in units of `unit`."""

    graph: rec.Graph
    unit: int
    memories: tuple[str, ...]


def find_schedule(graph: TaskGraph, options: SearchOptions | None = None) -> ModuloSchedule:
    """The schedule with the shortest interval that the search finds; ValueError when there is none."""
    options = options or SearchOptions()
    bounds = bounds_of(graph)
    lowest, highest = bounds[0].cycles, longest_interval(graph, bounds[0].cycles)
    if lowest > LONGEST_INTERVAL:
        raise ValueError(
            f"an iteration over {', '.join(graph.loops)} takes at least {lowest} cycles ({bounds[0].reason}): expected "
            f"tiles of at most {LONGEST_INTERVAL} cycles to place cycle by cycle"
        )
    tables = tables_of(graph, options)
    undecided: list[int] = []
    nodes, last = 0, lowest - 1
    for interval in intervals(lowest, min(highest, LONGEST_INTERVAL)):
        undecided += range(last + 1, interval)  # passed over
        found, places, is_decided, visited = find_any(tables, interval, options)
        nodes, last = nodes + visited, interval
        if found:
            return _best(graph, tables, (interval, places), (bounds, undecided, nodes), options)
        if not is_decided:
            undecided.append(interval)
    reason = full_memory(tables, dict(graph.room_words), highest)
    reason = reason or "no choice of offsets and strides that was tried meets dependencies, resources and memories"
    raise ValueError(f"no schedule found at any interval from {lowest} to {highest} cycles: {reason}")


def intervals(lowest: int, highest: int) -> Iterator[int]:
    """The intervals to search: one after the other near the bound, then in growing steps, the longest last."""
    interval = lowest
    while interval < highest:
        yield interval
        interval += max(1, (interval - lowest) // STEP_PART)
    yield highest


def bounds_of(graph: TaskGraph) -> tuple[Bound, ...]:
    """Lower bounds on the interval, the strongest first; resources that nothing uses are left out."""
    found = [
        Bound(max(1, ceil(total / resource.capacity - 1e-9)), resource.name)
        for resource, total in zip(graph.resources, graph.total_uses, strict=True)
        if total > 0
    ]
    tables = tables_of(graph, SearchOptions(interleave=1))
    cycles = cycle_interval(tables.graph.tasks, tables.graph.edges, 1, LONGEST_INTERVAL)
    if cycles > LONGEST_INTERVAL:
        raise ValueError("the dependencies contradict each other: at no interval is every value made before it is read")
    found.append(Bound(int(cycles), "dependencies"))
    return tuple(sorted(found, key=lambda bound: -bound.cycles))


def longest_interval(graph: TaskGraph, lowest: int) -> int:
    """An interval in which everything can run one after the other, if it can run at all."""
    latencies = sum(d.latency for d in graph.dependencies)
    return max(lowest, sum(t.busy_cycles + t.latency for t in graph.tasks) + latencies)


def tables_of(graph: TaskGraph, options: SearchOptions) -> _Tables:
    """Tasks, uses, dependencies, values and limits as integers."""
    placed = [i for i, resource in enumerate(graph.resources) if resource.is_placed]
    room, unit = dict(graph.room_words), reduce(gcd, (value.words for value in graph.values), 0) or 1
    memories = tuple(dict.fromkeys(value.memory for value in graph.values))
    rows = rec.Graph(
        tasks=table(
            rec.TaskRecord,
            (rec.TaskRecord(t.slots, t.cycles, 1, options.interleave if t.slots > 1 else 1) for t in graph.tasks),
        ),
        uses=table(
            rec.UseRecord,
            (
                rec.UseRecord(i, placed.index(use.resource), use.amount, use.cycles)
                for i, task in enumerate(graph.tasks)
                for use in task.uses
            ),
        ),
        edges=table(
            rec.EdgeRecord,
            (
                rec.EdgeRecord(d.producer, d.consumer, d.distance, d.latency, d.elements, d.shift)
                for d in graph.dependencies
            ),
        ),
        readings=table(rec.ReadingRecord, readings_of(graph, memories, unit)),
        capacity=np.array([graph.resources[i].capacity for i in placed], np.int64),
        room=np.array([room.get(memory, rec.UNLIMITED) // unit for memory in memories], np.int64),
    )
    return _Tables(rows, unit, memories)


def readings_of(graph: TaskGraph, memories: tuple[str, ...], unit: int) -> Iterator[rec.ReadingRecord]:
    """Every value with each of its readers, words in units of `unit`."""
    for number, value in enumerate(graph.values):
        for reader in value.readers:
            yield rec.ReadingRecord(
                value=number,
                maker=value.producer,
                reader=reader.task,
                distance=reader.distance,
                pieces=value.elements,
                from_start=int(value.from_start),
                latency=value.latency,
                words=value.words // unit,
                memory=memories.index(value.memory),
            )


def task_orders(tables: _Tables) -> list[np.ndarray]:
    """Orders in which the search places tasks: streams or the bulkiest first; by dependencies; the other way round."""
    tasks, edges, readings = tables.graph.tasks, tables.graph.edges, tables.graph.readings
    busy = tasks["slots"] * tasks["cycles"]
    bulky = np.argsort(-busy, kind="stable")
    depth = np.zeros(len(tasks), np.int64)
    for _ in range(len(tasks)):
        for edge in edges[edges["distance"] <= 0]:
            deeper = depth[edge.producer] + (edge.producer != edge.consumer)
            depth[edge.consumer] = max(depth[edge.consumer], deeper)
    downward = np.argsort(depth, kind="stable")
    # Tasks of a few slots find a gap where bulky ones left one; what is not cut into slots goes before.
    solid = np.lexsort((-busy, tasks["slots"] == 1, -tasks["cycles"] * (tasks["cycles"] > 1)))
    # Ends of streams tie each other, and most of what they hold, to a few places.
    streams = np.zeros(len(tasks), bool)
    for reading in readings[readings["pieces"] > 1]:
        streams[[reading.maker, reading.reader]] = True
    tied = np.lexsort((-busy, ~streams))
    orders = [tied, bulky, solid, downward, downward[::-1].copy()]
    return [np.ascontiguousarray(order, np.int64) for order in orders]


def find_any(tables: _Tables, interval: int, options: SearchOptions) -> tuple[bool, np.ndarray, bool, int]:
    """Search one interval: (found, places, decided, nodes)."""
    budget = nodes_of(tables, interval, options.effort)
    tight = fastest(tables)
    is_fixed = bool((tight.graph.tasks == tables.graph.tasks).all())
    orders = task_orders(tables)
    # Whole blocks side by side first: where nothing else binds, they fit; only the other attempts prove anything.
    attempts = [(tight, order, True) for order in orders] + [(tables, order, False) for order in orders]
    nodes = 0
    for which, order, compact in attempts:
        share = max(TIMES_OVER * len(tables.graph.tasks), budget // len(attempts))
        answer, places = _ask(which, order, rec.Question(interval, share, first_only=True, compact=compact))
        nodes += answer.nodes
        if answer.found:
            return True, places, True, nodes
        if answer.exhausted and answer.open_words == rec.UNLIMITED and (not compact or is_fixed):
            return False, places, True, nodes
    return False, places, False, nodes


def nodes_of(tables: _Tables, interval: int, effort: int) -> int:
    """Nodes whose offsets make up an effort; enough in any case to place every task some times over."""
    tasks = tables.graph.tasks
    return max(TIMES_OVER * len(tasks), effort // (interval * int(tasks["slowest"].max())))


def fastest(tables: _Tables) -> _Tables:
    """Every task at its shortest stride."""
    tasks = tables.graph.tasks.copy()
    tasks["slowest"] = tasks["fastest"]
    return replace(tables, graph=tables.graph._replace(tasks=tasks))


def _ask(
    tables: _Tables, order: np.ndarray, question: rec.Question, best: tuple[int, int] | None = None
) -> tuple[rec.Answer, np.ndarray]:
    """The engine's answer and the places. best: words and stages to fall below."""
    answer, places = np.zeros(1, rec.ANSWER)[0], np.zeros(len(tables.graph.tasks), rec.PLACE)
    answer.open_words = rec.UNLIMITED
    if best is not None:
        answer.found, (answer.best_words, answer.best_stages) = 1, best
    search(tables.graph, order, question, answer, places)
    return rec.Answer(*answer.tolist()), places


def _best(
    graph: TaskGraph,
    tables: _Tables,
    first: tuple[int, np.ndarray],
    history: tuple[tuple[Bound, ...], list[int], int],
    options: SearchOptions,
) -> ModuloSchedule:
    """The schedule of an interval that holds the fewest words, then has the fewest stages, of all orders of search."""
    interval, places = first
    bounds, undecided, nodes = history
    best, open_words = _cost(tables, interval, places), []
    left = nodes_of(tables, interval, 10 * options.effort)
    asked = sorted((least_words(fixed, interval), n, fixed) for n, fixed in enumerate(fixed_strides(tables)))
    for least, _, fixed in asked:
        decided = False
        for order in task_orders(fixed):
            if least > best[0] or decided or left <= 0:
                decided = decided or least > best[0]
                break
            share = max(1, min(left, nodes_of(fixed, interval, options.effort)))
            question = rec.Question(interval, share, first_only=False, compact=False)
            answer, better = _ask(fixed, order, question, best)
            nodes, left = nodes + answer.nodes, left - answer.nodes
            found = answer.best_words, answer.best_stages
            if found < best:
                best, places = found, better
            decided = bool(answer.exhausted)
            open_words.append(answer.open_words)
        if not decided:
            open_words.append(least)
    least = min([best[0], *open_words])
    return _named(graph, tables, (interval, places), (bounds, undecided, nodes), least)


def fixed_strides(tables: _Tables) -> list[_Tables]:
    """The tables once for every choice of strides, or as they are where there are too many choices."""
    spans = [range(int(task.fastest), int(task.slowest) + 1) for task in tables.graph.tasks]
    if prod(len(span) for span in spans) > MOST_STRIDE_CHOICES:
        return [tables]
    found = []
    for choice in product(*spans):
        tasks = tables.graph.tasks.copy()
        tasks["fastest"] = tasks["slowest"] = choice
        found.append(replace(tables, graph=tables.graph._replace(tasks=tasks)))
    return found


def least_words(tables: _Tables, interval: int) -> int:
    """Words that any schedule of an interval holds at least, in units; more than anything where none exists."""
    question = rec.Question(interval, 0, first_only=True, compact=False)
    answer, _ = _ask(tables, np.arange(len(tables.graph.tasks)), question)
    return rec.UNLIMITED if answer.exhausted else answer.least_words


def _cost(tables: _Tables, interval: int, places: np.ndarray) -> tuple[int, int]:
    stages = places["stage"]
    words = int(sum_words(tables.graph.readings, pieces_in_flight(tables, interval, places)))
    return words, int(stages.max() - stages.min()) + 1


def _named(
    graph: TaskGraph,
    tables: _Tables,
    found: tuple[int, np.ndarray],
    history: tuple[tuple[Bound, ...], list[int], int],
    least: int,
) -> ModuloSchedule:
    interval, places = found
    bounds, undecided, nodes = history
    pieces = pieces_in_flight(tables, interval, places)
    rows = {int(reading.value): int(count) for reading, count in zip(tables.graph.readings, pieces, strict=True)}
    copies = tuple((value.memory, value.tensor, rows[v]) for v, value in enumerate(graph.values))
    words: dict[str, int] = dict.fromkeys(tables.memories, 0)
    for v, value in enumerate(graph.values):
        words[value.memory] += rows[v] * value.words
    return ModuloSchedule(
        graph,
        interval,
        tuple(Placement(int(place.stage * interval + place.offset), int(place.stride)) for place in places),
        bounds,
        is_shortest=not undecided,
        proof=proof_of(interval, bounds[0], undecided),
        words_by_memory=tuple(words.items()),
        copies=copies,
        least_words=least * tables.unit,
        nodes=nodes,
    )


def proof_of(interval: int, bound: Bound, undecided: list[int]) -> str:
    """Why no interval is shorter, or how far the answer is from being proved."""
    if interval == bound.cycles:
        return f"equals the bound of {bound.reason}"
    if not undecided:
        return f"every interval from {bound.cycles} (the bound of {bound.reason}) to {interval - 1} searched to the end"
    below = f"from {bound.cycles} (the bound of {bound.reason}) to {interval - 1}"
    gap = f"a gap of at most {interval - undecided[0]} cycles"
    return f"{len(undecided)} of the intervals {below} not decided: {gap}"


def pieces_in_flight(tables: _Tables, interval: int, places: np.ndarray) -> np.ndarray:
    """i8[reading], pieces of every value that a schedule, Place[task], holds at once."""
    pieces = np.zeros(len(tables.graph.readings), np.int64)
    count_pieces(tables.graph.tasks, tables.graph.readings, places, interval, pieces)
    return pieces


def full_memory(tables: _Tables, room: dict[str, int], interval: int) -> str | None:
    """Which memory is too small for what any two tasks by themselves must have in flight, if one is."""
    graph = tables.graph
    board = empty_board(len(graph.tasks), len(graph.capacity), interval)
    longest_paths(graph.tasks, graph.edges, interval, board.far)
    words = dict.fromkeys(tables.memories, 0)
    pieces: dict[int, int] = {}
    for reading in graph.readings:
        least = floor_pieces(reading, graph, board)
        pieces[int(reading.value)] = max(pieces.get(int(reading.value), 0), int(least))
    for value, count in pieces.items():
        reading = graph.readings[graph.readings["value"] == value][0]
        words[tables.memories[reading.memory]] += count * int(reading.words) * tables.unit
    for memory, least in words.items():
        if least > room.get(memory, least):
            return f"'{memory}' has room for {room[memory]:,} words of tiles in flight, which need at least {least:,}"
    return None
