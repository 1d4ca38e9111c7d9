"""Stages that a mapping can hold: whole Einsums, one after the other on each array, in the order of the tree.

A `pipelined` schedule says how many tiles behind stage 0 an Einsum works; what runs when inside a step follows from the
order of the tree and from what is there. So the stages that are written are not those of the slot-by-slot schedule, but
the least ones with which Einsums in that order, a value passed on to another array only when it is whole, still keep
the interval. Neighbours that share a loop inside the step take turns in it. The steps of two arrays need not begin
together: every difference is tried, and of the fewest stages those that hold the fewest words are taken.
"""

from collections.abc import Iterator
from dataclasses import replace
from itertools import product

import numpy as np

from einsums.types import Cascade
from mappings.stages import iter_stage_findings, stage_edges
from mappings.tree import ResolvedTree
from mappings.types import Schedule, Stage
from sim.binding.search import SearchOptions, tables_of
from sim.binding.types import COMPUTE, Dependency, ModuloSchedule, Task, TaskGraph
from sim.engine.binding.cost import count_pieces, shift_stages, sum_words, too_full
from sim.engine.binding.records import PLACE
from sim.engine.binding.time import settle_stages

MOST_TRIALS = 1 << 16


def stages_in_order(schedule: ModuloSchedule, tree: ResolvedTree, cascade: Cascade) -> dict[str, int]:
    """The stage of every Einsum of a part; those of the slot-by-slot schedule where no order keeps the interval."""
    return realizable(_least_stages(schedule, tree), schedule.graph, tree, cascade)


def realizable(stages: dict[str, int], graph: TaskGraph, tree: ResolvedTree, cascade: Cascade) -> dict[str, int]:
    """These stages or, where a mapping may not have them, later ones: the order of the tree can ask for a step more
    than the slots do.
    """
    einsums = [task.einsum for task in graph.tasks]
    distances = {(einsums[d.producer], einsums[d.consumer]): d.distance for d in graph.dependencies if d.distance > 0}
    edges = stage_edges(_schedule_of(stages), tree, cascade)
    between = {edge.inside: distances.get((edge.maker, edge.reader)) for edge in edges if edge.inside}
    found, most = dict(stages), len(stages) * (1 + max(stages.values()))
    while max(found.values()) <= most:
        findings = iter_stage_findings(_schedule_of(found), tree, cascade, lambda inside: between.get(inside, 1))
        problem = next(findings, None)
        if problem is None:
            return found
        found[problem.path.rpartition(".")[2]] += 1
    return stages


def _schedule_of(stages: dict[str, int]) -> Schedule:
    return Schedule(kind="pipelined", stages=tuple(Stage(einsum=e, stage=s) for e, s in stages.items()))


def _least_stages(schedule: ModuloSchedule, tree: ResolvedTree) -> dict[str, int]:
    graph, interval = schedule.graph, schedule.interval
    own = [placement.stage(interval) for placement in schedule.placements]
    if graph.chunks > 1:
        return _named(graph, list(graph.chunk_of))
    arrays = list(dict.fromkeys(task.array for task in graph.tasks))
    lengths = [
        sum(task.slots * task.cycles for task in graph.tasks if task.array == array and task.kind == COMPUTE)
        for array in arrays
    ]
    trains = any(task.kind != COMPUTE for task in graph.tasks)
    if trains or max(lengths) > interval or interval ** (len(arrays) - 1) > MOST_TRIALS:
        return _named(graph, own)
    found = min(_trials(graph, tree, arrays, interval), default=None)
    return _named(graph, own if found is None else list(found[2]))


def in_order(graph: TaskGraph, tree: ResolvedTree) -> np.ndarray:
    """Place[task], offsets from the beginning of the array's step."""
    places = np.zeros(len(graph.tasks), PLACE)
    free: dict[str, int] = {}
    for members in _turns(graph, tree):
        first = graph.tasks[members[0]]
        stride = sum(graph.tasks[i].cycles for i in members)
        begin = free.get(first.array, 0)
        for i in members:
            places[i].offset, places[i].stride = begin, stride
            begin += graph.tasks[i].cycles
        free[first.array] = free.get(first.array, 0) + stride * first.slots
    return places


def _turns(graph: TaskGraph, tree: ResolvedTree) -> Iterator[list[int]]:
    """Tasks by number: alone, or neighbours on one array that share a loop inside the step."""
    members: list[int] = []
    for i, task in enumerate(graph.tasks):
        if task.kind != COMPUTE:
            continue
        if members and not _beside(tree, graph, graph.tasks[members[-1]], task):
            yield members
            members = []
        members.append(i)
    if members:
        yield members


def _beside(tree: ResolvedTree, graph: TaskGraph, one: Task, other: Task) -> bool:
    first, second = tree.leaf_of(one.einsum), tree.leaf_of(other.einsum)
    assert first is not None and second is not None, "checked"
    shared = first.loops[: first.shared] == second.loops[: second.shared]
    return shared and first.shared > len(graph.loops) and one.array == other.array and one.slots == other.slots


def _trials(
    graph: TaskGraph, tree: ResolvedTree, arrays: list[str], interval: int
) -> Iterator[tuple[int, int, tuple[int, ...]]]:
    """(stages, words held, stage of each task) for every difference between the beginnings of the arrays' steps."""
    places = in_order(graph, tree)
    ties = [*_whole(graph), *_together(graph, tree, places)]
    rows = tables_of(replace(graph, dependencies=tuple(ties)), SearchOptions(interleave=1)).graph
    pieces = np.empty(len(rows.readings), np.int64)
    number = np.array([arrays.index(task.array) for task in graph.tasks])
    for late in product(range(1), *([range(interval)] * (len(arrays) - 1))):
        # A task that begins after the interval is over belongs to the step of its array all the same.
        moved = places.copy()
        moved["offset"] += np.array(late)[number]
        if not settle_stages(rows.tasks, rows.edges, moved, interval):
            continue
        shift_stages(rows.tasks, rows.edges, rows.readings, moved, interval, pieces)
        count_pieces(rows.tasks, rows.readings, moved, interval, pieces)
        if not too_full(rows.readings, rows.room, pieces):
            found = moved["stage"] - moved["stage"].min()
            yield int(found.max()) + 1, int(sum_words(rows.readings, pieces)), tuple(found.tolist())


def _whole(graph: TaskGraph) -> list[Dependency]:
    """Dependencies, those between arrays on whole values."""
    tasks = graph.tasks
    return [
        d if tasks[d.producer].array == tasks[d.consumer].array else replace(d, elements=1) for d in graph.dependencies
    ]


def _together(graph: TaskGraph, tree: ResolvedTree, places: np.ndarray) -> Iterator[Dependency]:
    """What keeps tasks that take turns in one step: each starts no later after the first than its turn."""
    for members in _turns(graph, tree):
        first = members[0]
        for other in members[1:]:
            turn = int(places[other].offset - places[first].offset)
            task = graph.tasks[other]
            yield Dependency(other, first, "", 0, -turn - task.cycles, task.slots)
            yield Dependency(first, other, "", 0, turn - graph.tasks[first].cycles, task.slots)


def _named(graph: TaskGraph, stages: list[int]) -> dict[str, int]:
    return {task.einsum: stage for task, stage in zip(graph.tasks, stages, strict=True) if task.kind == COMPUTE}
