"""What each resource has taken in every cycle of the interval: the reservation table of a modulo schedule."""

from sim.engine.binding.columns import AMOUNT, CAPACITY, CYCLES, RESOURCE, SLOTS, USE_CYCLES, USE_TASK
from sim.engine.jit import compiled

OFFSET, PLACED_STRIDE = 0, 1  # columns of `places: i8[task, column]`; a stride of 0: not placed yet


@compiled
def hold(tasks, uses, places, taken, what):
    """Add (sign 1) or take away (-1) what a placed task holds in `taken: i8[resource, cycle]`; what: (task, sign)."""
    task, sign = what
    interval = taken.shape[1]
    for u in range(uses.shape[0]):
        if uses[u, USE_TASK] == task:
            for k in range(tasks[task, SLOTS]):
                for c in range(uses[u, USE_CYCLES]):
                    cycle = (places[task, OFFSET] + k * places[task, PLACED_STRIDE] + c) % interval
                    taken[uses[u, RESOURCE], cycle] += sign * uses[u, AMOUNT]


@compiled
def fits(tasks, uses, limits, taken, what):
    """Whether a task at an offset and stride finds every resource free; what: (task, offset, stride).

    A task may get into its own way: then the cycles that it takes twice count twice.
    """
    task, offset, stride = what
    interval, slots = taken.shape[1], tasks[task, SLOTS]
    longest = (slots - 1) * stride + tasks[task, CYCLES]
    for u in range(uses.shape[0]):
        if uses[u, USE_TASK] != task:
            continue
        resource, amount = uses[u, RESOURCE], uses[u, AMOUNT]
        room = limits[CAPACITY, resource]
        for k in range(slots):
            for c in range(uses[u, USE_CYCLES]):
                cycle = (offset + k * stride + c) % interval
                need = amount
                if longest > interval:
                    need = amount * own_turns(tasks, uses[u], stride, interval, k * stride + c)
                if taken[resource, cycle] + need > room:
                    return False
    return True


@compiled
def touches(tasks, uses, taken, what):
    """Whether a task would stand next to others on all that both hold; what: (task, offset, stride)."""
    task, offset, stride = what
    interval, near = taken.shape[1], False
    for u in range(uses.shape[0]):
        row = taken[uses[u, RESOURCE]]
        if uses[u, USE_TASK] == task and is_used(row):
            end = offset + (tasks[task, SLOTS] - 1) * stride + uses[u, USE_CYCLES]
            if row[(offset - 1) % interval] == 0 and row[end % interval] == 0:
                return False
            near = True
    return near


@compiled
def own_turns(tasks, use, stride, interval, when):
    """How often a task longer than the interval holds a resource in the cycle `when` after its start, any tile."""
    turns = 0
    for k in range(tasks[use[USE_TASK], SLOTS]):
        for c in range(use[USE_CYCLES]):
            if (k * stride + c - when) % interval == 0:
                turns += 1
    return turns


@compiled
def share(uses, one, other):
    """Whether two tasks hold a resource in common."""
    for u in range(uses.shape[0]):
        if uses[u, USE_TASK] == one:
            for v in range(uses.shape[0]):
                if uses[v, USE_TASK] == other and uses[v, RESOURCE] == uses[u, RESOURCE]:
                    return True
    return False


@compiled
def is_used(row):
    """Whether a resource is taken in any cycle of `row: i8[cycle]`."""
    for cycle in range(row.size):  # noqa: SIM110 (compiled)
        if row[cycle]:
            return True
    return False
