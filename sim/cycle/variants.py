"""All extents that occur inside the loops of a nest, numbered, with links from each to those further in.

A tile inside d loops has one of at most 2^d extents, usually far fewer.
"""

from dataclasses import dataclass

import numpy as np

from sim.lower.walk import Extents, Walk


@dataclass(frozen=True, slots=True)
class Variants:
    """Extents of a nest by number (0: outside all its loops), and the tables that the engine traverses."""

    extents: tuple[Extents, ...]
    trips: np.ndarray  # i8[variant, loop]
    child: np.ndarray  # i8[variant, loop, (full, last)]
    inside: np.ndarray  # i8[variant, depth], records

    def number(self, extents: Extents) -> int:
        return self.extents.index(extents)


def number_variants(walk: Walk, start: Extents, loops: tuple[int, ...]) -> Variants:
    """Number all extents inside the loops of a nest."""
    numbers: dict[Extents, int] = {start: 0}
    layers = [{start}]
    for loop in loops:
        layers.append({walk.inside(e, loop, last) for e in layers[-1] for last in (False, True)})
        for extents in sorted(layers[-1]):
            numbers.setdefault(extents, len(numbers))
    shape = (len(numbers), max(len(loops), 1))
    trips, child = np.zeros(shape, np.int64), np.zeros((*shape, 2), np.int64)
    inside = np.ones((len(numbers), len(loops) + 1), np.int64)
    for depth in range(len(loops) - 1, -1, -1):
        for extents in layers[depth]:
            n, loop = numbers[extents], loops[depth]
            trips[n, depth] = walk.trips(extents, loop)
            last = numbers[walk.inside(extents, loop, True)]
            full = numbers[walk.inside(extents, loop, False)] if trips[n, depth] > 1 else last
            child[n, depth] = full, last
            inside[n, depth] = (trips[n, depth] - 1) * inside[full, depth + 1] + inside[last, depth + 1]
    return Variants(tuple(numbers), trips, child, inside)
