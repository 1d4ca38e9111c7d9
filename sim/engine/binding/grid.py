"""The reservation table of a modulo schedule: the use of each resource in every cycle of the interval."""

import numpy as np

from sim.engine.binding.records import PLACE, Board
from sim.engine.jit import compiled


@compiled
def empty_board(tasks, resources, interval):
    """An empty board for that many tasks and resources; `longest_paths` fills `far`."""
    far, taken = np.empty((tasks, tasks), np.int64), np.zeros((resources, interval), np.int64)
    return Board(interval, far, np.zeros(tasks, PLACE), taken)


@compiled
def hold(tasks, uses, places, taken, task, sign):
    """Add (sign 1) or remove (-1) what a placed task holds in `taken: i8[resource, cycle]`.

    tasks: TaskRecord[task]; uses: UseRecord[use]; places: PlaceRecord[task]; task: number.
    """
    place, slots, interval = places[task], tasks[task].slots, taken.shape[1]
    for u in range(uses.shape[0]):
        use = uses[u]
        if use.task == task:
            for k in range(slots):
                for c in range(use.cycles):
                    cycle = (place.offset + k * place.stride + c) % interval
                    taken[use.resource, cycle] += sign * use.amount


@compiled
def fits(tasks, uses, capacity, taken, task, offset, stride):
    """Whether a task at an offset and stride, in cycles, finds every resource free.

    A task may conflict with itself: cycles that it takes twice count twice. capacity: i8[resource], units; otherwise as
    `hold`.
    """
    interval, slots = taken.shape[1], tasks[task].slots
    longest = (slots - 1) * stride + tasks[task].cycles
    for u in range(uses.shape[0]):
        use = uses[u]
        if use.task != task:
            continue
        room = capacity[use.resource]
        for k in range(slots):
            for c in range(use.cycles):
                cycle = (offset + k * stride + c) % interval
                need = use.amount
                if longest > interval:
                    need = use.amount * own_turns(use, slots, stride, interval, k * stride + c)
                if taken[use.resource, cycle] + need > room:
                    return False
    return True


@compiled
def touches(tasks, uses, taken, task, offset, stride):
    """Whether a task at an offset and stride would be adjacent to others on all that both hold; tables as in `hold`."""
    interval, near = taken.shape[1], False
    for u in range(uses.shape[0]):
        use = uses[u]
        row = taken[use.resource]
        if use.task == task and is_used(row):
            end = offset + (tasks[task].slots - 1) * stride + use.cycles
            if row[(offset - 1) % interval] == 0 and row[end % interval] == 0:
                return False
            near = True
    return near


@compiled
def own_turns(use, slots, stride, interval, when):
    """How often a task longer than the interval holds a resource in the cycle `when` after its start, any tile."""
    turns = 0
    for k in range(slots):
        for c in range(use.cycles):
            if (k * stride + c - when) % interval == 0:
                turns += 1
    return turns


@compiled
def share(uses, one, other):
    """Whether two tasks hold a resource in common; uses: UseRecord[use]."""
    for u in range(uses.shape[0]):
        if uses[u].task == one:
            for v in range(uses.shape[0]):
                if uses[v].task == other and uses[v].resource == uses[u].resource:
                    return True
    return False


@compiled
def is_used(row):
    """Whether a resource is taken in any cycle of `row: i8[cycle]`."""
    for cycle in range(row.size):  # noqa: SIM110 (compiled)
        if row[cycle]:
            return True
    return False
