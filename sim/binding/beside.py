"""How much longer a run takes for a part that runs less often than the longest one, such as a final division.

Its results do not matter to the longest part, so that it can go in the slots that a later tile of that one leaves free,
one of its iterations to an interval, where the tiles that it reads have a second place or room for it. What it takes
more of a resource than is free makes that interval longer. The last iteration comes when the longest part is over.
"""

from collections.abc import Iterable
from math import ceil

from sim.binding.types import ModuloSchedule


def total_cycles(main: ModuloSchedule, others: Iterable[ModuloSchedule]) -> int:
    """Cycles of all parts of a run, of which `main` takes the longest time."""
    free, total = main.free_units(), main.total_cycles
    for part in others:
        total += added_cycles(main, part, free) if goes_beside(main, part) else part.total_cycles
    return total


def goes_beside(main: ModuloSchedule, part: ModuloSchedule) -> bool:
    """Whether a part runs in the loops of the longest one, no more often, on tiles that stay while others are made."""
    is_inside = part.graph.around == main.graph.around and part.graph.iterations <= main.graph.iterations
    return is_inside and part.graph.has_places


def added_cycles(main: ModuloSchedule, part: ModuloSchedule, free: dict[str, float]) -> int:
    """Cycles that a part adds. free: units x cycles that intervals have left of each resource; less what this takes."""
    longest = 0.0
    for resource, used in zip(part.graph.resources, part.graph.total_uses, strict=True):
        # Memory bandwidths are resources only of parts that move something.
        left = free.setdefault(resource.name, float(resource.capacity * main.interval))
        longest = max(longest, (used - max(left, 0.0)) / resource.capacity)
        free[resource.name] = left - used
    return min(part.total_cycles, part.graph.iterations * ceil(longest) + part.span_cycles)
