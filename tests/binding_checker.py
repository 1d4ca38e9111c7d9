"""Checks a modulo schedule by laying many iterations out in time, one cycle after the other; knows nothing of the search.

Times here are absolute: iteration n of a task issues slot k in cycle start + k * stride + n * interval.
"""

from collections import Counter, defaultdict
from itertools import product

from sim.binding.types import Placement, TaskGraph


def conflicts(graph: TaskGraph, interval: int, places: tuple[Placement, ...]) -> list[str]:
    """Resources that are asked for more than they have, in any cycle of the steady state."""
    taken: dict[int, Counter] = defaultdict(Counter)
    for task, place in zip(graph.tasks, places, strict=True):
        for use in task.uses:
            for slot in range(task.slots):
                for cycle in range(use.cycles):
                    taken[use.resource][(place.start + slot * place.stride + cycle) % interval] += use.amount
    return [
        f"{graph.resources[resource].name} in cycle {cycle}: {amount}"
        for resource, cycles in taken.items()
        for cycle, amount in cycles.items()
        if amount > graph.resources[resource].capacity
    ]


def broken(graph: TaskGraph, interval: int, places: tuple[Placement, ...]) -> list[str]:
    """Dependencies that some piece does not wait for."""
    found = []
    for d in graph.dependencies:
        maker, reader = graph.tasks[d.producer], graph.tasks[d.consumer]
        mine, yours = maker.slots // d.elements, reader.slots // d.elements
        for k in range(d.elements - d.shift):
            last_slot = places[d.producer].start + ((k + 1) * mine - 1) * places[d.producer].stride
            made = last_slot + maker.cycles + d.latency
            read = places[d.consumer].start + (k + d.shift) * yours * places[d.consumer].stride + d.distance * interval
            if read < made:
                found.append(f"{maker.name} -> {reader.name}, piece {k}: made at {made}, read at {read}")
    return found


def held(graph: TaskGraph, interval: int, places: tuple[Placement, ...]) -> list[int]:
    """For every value, the most pieces that exist at the same time, counted cycle by cycle."""
    most = []
    for value in graph.values:
        maker, place = graph.tasks[value.producer], places[value.producer]
        spans = []
        for k in range(value.elements):
            mine = maker.slots // value.elements
            begin = place.start + k * mine * place.stride
            if not value.from_start:
                begin += (mine - 1) * place.stride + maker.cycles + value.latency
            ends = []
            for reader in value.readers:
                task, at = graph.tasks[reader.task], places[reader.task]
                last = ((k + 1) * (task.slots // value.elements) - 1) * at.stride
                ends.append(at.start + last + task.cycles + reader.distance * interval)
            spans.append((begin, max(ends)))
        # Of every piece, the iterations that are under way in one cycle of the interval.
        counts = [
            sum((end - 1 - cycle) // interval - (begin - 1 - cycle) // interval for begin, end in spans)
            for cycle in range(interval)
        ]
        most.append(max(counts))
    return most


def words(graph: TaskGraph, pieces: list[int]) -> int:
    return sum(value.words * count for value, count in zip(graph.values, pieces, strict=True))


def overfull(graph: TaskGraph, pieces: list[int]) -> list[str]:
    """Memories that hold more than they have room for."""
    room, total = dict(graph.room_words), Counter()
    for value, count in zip(graph.values, pieces, strict=True):
        total[value.memory] += value.words * count
    return [memory for memory, amount in total.items() if amount > room.get(memory, amount)]


def every_schedule(graph: TaskGraph, interval: int, interleave: int, stages: int):
    """Every choice of offsets, strides and stages that works (the first task in stage 0 .. `stages`), by trying all."""
    options = [range(1, (interleave if task.slots > 1 else 1) + 1) for task in graph.tasks]
    offsets = [range(1 if i == 0 else interval) for i in range(len(graph.tasks))]
    for strides in product(*options):
        for chosen in product(*offsets):
            flat = tuple(Placement(o, s * t.cycles) for o, s, t in zip(chosen, strides, graph.tasks, strict=True))
            if conflicts(graph, interval, flat):
                continue
            for levels in product(range(stages), repeat=len(graph.tasks)):
                places = tuple(Placement(p.start + k * interval, p.stride) for p, k in zip(flat, levels, strict=True))
                if not broken(graph, interval, places):
                    yield places
