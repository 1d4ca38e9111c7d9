"""Is the modulo scheduler right? Against every schedule of small random task graphs, tried one by one."""

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from sim.binding.search import SearchOptions, bounds_of, find_schedule
from sim.binding.types import COMPUTE, Dependency, Placement, Reader, Resource, Task, TaskGraph, Use, Value
from sim.engine.binding import records as rec
from sim.engine.binding.time import in_flight
from sim.engine.record import table
from tests.binding_checker import broken, conflicts, every_schedule, held, overfull, words

ROOT = Path(__file__).resolve().parent.parent
STAGES = 4
SEEDS = 150


def graph_of(tasks, dependencies=(), values=(), resources=None, room=()):
    return TaskGraph(
        "test",
        ("i",),
        100,
        tuple(tasks),
        tuple(dependencies),
        tuple(values),
        tuple(resources or (Resource("ONE", 1), Resource("TWO", 1), Resource("ports", 2))),
        tuple(room),
        chunk_of=(0,) * len(tasks),
    )


def task(name, array, slots=1, cycles=1, latency=0, rows=0):
    uses = (Use(array, 1, cycles), *((Use(2, rows, 1),) if rows else ()))
    return Task(name, name, "ONE" if array == 0 else "TWO", COMPUTE, slots, cycles, latency, uses)


def random_graph(seed):
    """Three tasks on two arrays that share ports; a chain or a fork, a recurrence, streams, values, sometimes little room."""
    rng = random.Random(seed)
    slots = rng.choice((1, 2, 3))
    tasks = []
    for i in range(3):
        mine = slots if rng.random() < 0.6 else 1
        tasks.append(task("ABC"[i], rng.randrange(2), mine, rng.choice((1, 1, 2)), 0, rng.randrange(3)))
    dependencies, values = [], []
    for i in range(3):
        for j in range(i + 1, 3):
            if rng.random() < 0.7:
                pieces = tasks[i].slots if tasks[i].slots == tasks[j].slots and rng.random() < 0.5 else 1
                latency = rng.randrange(3)
                dependencies.append(Dependency(i, j, "x", 0, latency, pieces))
                if rng.random() < 0.7:
                    from_start = rng.random() < 0.5
                    values.append(Value("x", "M", i, (Reader(j, 0),), rng.choice((1, 2)), pieces, from_start, latency))
    if rng.random() < 0.5:
        dependencies.append(Dependency(2, rng.randrange(3), "y", rng.choice((1, 1, 2)), rng.randrange(2)))
    room = [("M", rng.choice((3, 4, 6)))] if values and rng.random() < 0.5 else []
    return graph_of(tasks, dependencies, values, room=room)


def best_of_all(graph, interleave, longest=9):
    """The shortest interval of any schedule, and the fewest words at it, by trying everything."""
    for interval in range(1, longest + 1):
        fewest = None
        for places in every_schedule(graph, interval, interleave, STAGES):
            pieces = held(graph, interval, places)
            if not overfull(graph, pieces):
                fewest = min(words(graph, pieces), fewest if fewest is not None else 1 << 60)
        if fewest is not None:
            return interval, fewest
    return None


def assert_works(schedule):
    graph, interval, places = schedule.graph, schedule.interval, schedule.placements
    assert conflicts(graph, interval, places) == []
    assert broken(graph, interval, places) == []
    pieces = held(graph, interval, places)
    assert overfull(graph, pieces) == []
    # A value of several readers that is freed piece by piece may be counted a little too high, never too low.
    claimed = [count for _, _, count in schedule.copies]
    assert all(count <= said for count, said in zip(pieces, claimed, strict=True)), (pieces, claimed)
    simple = [len(value.readers) == 1 or value.elements == 1 for value in graph.values]
    assert all(c == s for c, s, exact in zip(pieces, claimed, simple, strict=True) if exact)


@pytest.mark.parametrize("interleave", [1, 2])
@pytest.mark.parametrize("seed", range(SEEDS))
def test_search_finds_the_best_of_all_schedules(seed, interleave):
    graph = random_graph(seed)
    options = SearchOptions(interleave=interleave, effort=200_000)
    best = best_of_all(graph, interleave)
    if best is None:  # no interval up to 9 works
        found = find_or_none(graph, interleave)
        assert found is None or found.interval > 9
        return
    schedule = find_schedule(graph, options)
    assert_works(schedule)
    assert (schedule.interval, schedule.is_shortest) == (best[0], True)
    assert schedule.least_words <= best[1] <= schedule.words
    assert bounds_of(graph)[0].cycles <= schedule.interval


def test_seeds_cover_what_they_should():
    graphs = [random_graph(seed) for seed in range(SEEDS)]
    found = [find_or_none(graph, 2) for graph in graphs]
    alone = [find_or_none(graph, 1) for graph in graphs]
    both = [(f, a) for f, a in zip(found, alone, strict=True) if f is not None and a is not None]
    assert sum(f.interval > f.bounds[0].cycles for f, _ in both) >= 10  # searched beyond the bound
    assert sum(f.interval < a.interval for f, a in both) >= 2  # turns shorten the interval
    assert sum(f.is_least for f, _ in both) >= 100
    assert sum(f.stages > 1 for f, _ in both) >= 50
    assert found.count(None) >= 3


def find_or_none(graph, interleave):
    try:
        return find_schedule(graph, SearchOptions(interleave=interleave, effort=200_000))
    except ValueError:
        return None


def test_least_words_are_reached_mostly():
    reached = 0
    for seed in range(40):
        best, found = best_of_all(random_graph(seed), 1), find_or_none(random_graph(seed), 1)
        reached += best is not None and found is not None and found.words == best[1]
    assert reached >= 30


def test_bounds_by_hand():
    # 3 x 2 + 2 cycles on one array; a cycle of 2 + 2 + 3 + 0 cycles over 2 iterations; 3 slots of 2 rows on 2 ports.
    tasks = [task("A", 0, slots=3, cycles=2, rows=2), task("B", 0, cycles=2)]
    edges = [Dependency(0, 1, "x", 0, 3), Dependency(1, 0, "y", 2, 0)]
    bounds = {bound.reason: bound.cycles for bound in bounds_of(graph_of(tasks, edges))}
    assert bounds == {"ONE": 8, "ports": 3, "dependencies": 6}  # (6 + 3 + 2) / 2, rounded up


def test_background_counts_in_the_bound():
    resources = (Resource("ONE", 1), Resource("TWO", 1), Resource("ports", 2, background=9.2))
    bounds = bounds_of(graph_of([task("A", 0, rows=2)], resources=resources))
    assert (bounds[0].reason, bounds[0].cycles) == ("ports", 6)  # (9.2 + 2) / 2


def test_two_streams_take_turns_only_if_they_may():
    tasks = [task("A", 0, slots=8), task("B", 0, slots=8)]
    edge, value = Dependency(0, 1, "x", 0, 0, 8), Value("x", "M", 0, (Reader(1, 0),), 1, 8, False, 0)
    together = find_schedule(graph_of(tasks, [edge], [value], room=[("M", 2)]))
    assert together.interval == 16
    assert [place.stride for place in together.placements] == [2, 2]
    assert together.words == 1
    with pytest.raises(ValueError, match="no schedule found at any interval from 16 to 16 cycles"):
        find_schedule(graph_of(tasks, [edge], [value], room=[("M", 2)]), SearchOptions(interleave=1))
    apart = find_schedule(graph_of(tasks, [edge], [value], room=[("M", 8)]), SearchOptions(interleave=1))
    assert apart.words == 8


def test_a_long_latency_costs_stages_not_cycles():
    schedule = find_schedule(graph_of([task("A", 0, slots=4), task("B", 1, slots=4)], [Dependency(0, 1, "x", 0, 100)]))
    assert schedule.interval == 4
    assert schedule.stages == 27  # 104 cycles from start to start


def test_contradicting_dependencies_are_refused():
    edges = [Dependency(0, 1, "x"), Dependency(1, 0, "y")]
    with pytest.raises(
        ValueError,
        match=r"^the dependencies contradict each other: at no interval is every value made before it is read$",
    ):
        find_schedule(graph_of([task("A", 0), task("B", 1)], edges))


def test_memory_too_small_is_named():
    value = Value("x", "M", 0, (Reader(1, 0),), 5, 1, True, 0)
    graph = graph_of([task("A", 0), task("B", 1)], [Dependency(0, 1, "x")], [value], room=[("M", 4)])
    with pytest.raises(ValueError, match=r"'M' has room for 4 words of tiles in flight, which need at least 5$"):
        find_schedule(graph)


def test_too_long_an_iteration_is_refused():
    with pytest.raises(ValueError, match=r"takes at least 70000 cycles .ONE.: expected tiles of at most 65536 cycles"):
        find_schedule(graph_of([task("A", 0, slots=70000)]))


@pytest.mark.parametrize("option", ["interleave", "effort"])
def test_options_are_positive(option):
    with pytest.raises(ValueError, match=f"^{option} of a binding search: expected at least 1, got 0$"):
        SearchOptions(**{option: 0})


@pytest.mark.parametrize("seed", range(10))
def test_search_is_deterministic(seed):
    first, second = (find_or_none(random_graph(seed), 2) for _ in range(2))
    assert first == second


def test_pieces_in_flight_by_counting():
    rng = random.Random(5)
    for _ in range(200):
        slots, interval = rng.choice((2, 4, 6)), rng.randrange(3, 20)
        pieces = rng.choice([n for n in (1, 2, slots) if slots % n == 0])
        tasks = [task("A", 0, slots, rng.choice((1, 2))), task("B", 1, slots, 1)]
        value = Value("x", "M", 0, (Reader(1, 0),), 1, pieces, rng.random() < 0.5, rng.randrange(5))
        graph = graph_of(tasks, [], [value])
        strides = [t.cycles * rng.choice((1, 2)) for t in tasks]
        apart = slots * strides[0] + 5 + rng.randrange(40)
        reading = rec.ReadingRecord(0, 0, 1, 0, pieces, int(value.from_start), value.latency, 1, 0)
        readings = table(rec.ReadingRecord, [reading])
        rows = table(rec.TaskRecord, (rec.TaskRecord(t.slots, t.cycles, 1, 2) for t in tasks))
        freed = apart + (slots // pieces - 1) * strides[1] + 1
        found = in_flight(readings[0], rows, strides[0], freed, slots // pieces * strides[1], interval)
        assert [found] == held(graph, interval, (Placement(0, strides[0]), Placement(apart, strides[1])))


@pytest.mark.parametrize("seed", [0, 3])
def test_interpreted_equals_compiled(seed):
    code = (
        "from tests.test_engine_modulo import random_graph, find_or_none; "
        f"s = find_or_none(random_graph({seed}), 2); print(s and (s.interval, s.placements, s.words, s.nodes))"
    )
    told = [
        subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, env=os.environ | env, capture_output=True, text=True, check=True
        ).stdout
        for env in ({"NUMBA_DISABLE_JIT": "1", "PYTHONPATH": str(ROOT)}, {"PYTHONPATH": str(ROOT)})
    ]
    assert told[0] == told[1] != "None\n"
