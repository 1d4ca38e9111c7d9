"""How much of every rank a tile holds, numbered: all extents that occur inside the loops of a nest.

Extents are in elements of root ranks, as in the analytical engine. A loop over a rank cuts its extent into
tiles, of which the last may be shorter; so a tile inside d loops has one of at most 2^d extents, mostly far
fewer.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from sim.lower.ranks import RankSpace

Extents = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class LoopTile:
    """A loop as arithmetic: the root rank it cuts, into tiles of how many elements, and the part it walks."""

    root: int
    tile: int
    part: int


@dataclass(frozen=True)
class Walk:
    """Loops of one design and its rank space; sizes: elements by column of the rank space."""

    space: RankSpace
    loops: dict[int, LoopTile]
    sizes: tuple[int, ...]

    def trips(self, extents: Extents, loop: int) -> int:
        """Iterations of a loop over a tile of these extents."""
        return -(-extents[self.loops[loop].root] // self.loops[loop].tile)

    def inside(self, extents: Extents, loop: int, is_last: bool) -> Extents:
        """Extents of the tiles that a loop makes: of all but the last, or of the last."""
        root, tile = self.loops[loop].root, self.loops[loop].tile
        whole = extents[root]
        left = whole - tile * (self.trips(extents, loop) - 1) if is_last else min(tile, whole)
        return (*extents[:root], left, *extents[root + 1 :])

    def full_tile(self, extents: Extents, loops: tuple[int, ...]) -> Extents:
        """Extents of the full tiles inside all of these loops."""
        for loop in loops:
            extents = self.inside(extents, loop, self.trips(extents, loop) == 1)
        return extents

    def words(self, extents: Extents, parts: frozenset[int]) -> int:
        """Words of a tensor over these parts in a tile."""
        words = 1
        for root, span, unit in self.space.runs(parts):
            words *= -(-min(extents[root], self.sizes[span]) // self.sizes[unit])
        return words

    def cases(self, extents: Extents, loop: int) -> Iterator[tuple[int, Extents]]:
        """(how many, extents) of the tiles that a loop makes, equal ones together."""
        trips = self.trips(extents, loop)
        full, last = self.inside(extents, loop, False), self.inside(extents, loop, True)
        if trips > 1 and full == last:
            yield trips, full
            return
        if trips > 1:
            yield trips - 1, full
        yield 1, last

    def several(self, extents: Extents, loops: tuple[int, ...], parts: frozenset[int]) -> bool:
        """Whether these loops visit more than one tile of a tensor."""
        for loop in loops:
            if self.loops[loop].part in parts and self.trips(extents, loop) > 1:
                return True
            extents = self.inside(extents, loop, self.trips(extents, loop) == 1)
        return False

    def fetched(
        self, extents: Extents, loops: tuple[int, ...], parts: frozenset[int], dims: frozenset[int]
    ) -> tuple[int, int]:
        """(fetches, words fetched) of a tensor inside these loops, by the counting rule of `sim.engine.counting`."""
        if not loops:
            return 1, self.words(extents, dims)
        loop, inner = loops[0], loops[1:]
        cases = list(self.cases(extents, loop))
        if self.loops[loop].part not in parts and self.trips(extents, loop) > 1:
            full = cases[0][1]
            if not self.several(full, inner, parts):
                return self.fetched(full, inner, parts, dims)
        found = [(count, self.fetched(inside, inner, parts, dims)) for count, inside in cases]
        return sum(n * one[0] for n, one in found), sum(n * one[1] for n, one in found)

    def iterations(self, extents: Extents, loops: tuple[int, ...]) -> int:
        """Iterations of a nest of loops."""
        if not loops:
            return 1
        return sum(n * self.iterations(inside, loops[1:]) for n, inside in self.cases(extents, loops[0]))

    def variants_below(self, extents: Extents, loops: tuple[int, ...]) -> dict[Extents, int]:
        """Every tile inside these loops with how often it occurs."""
        found = {extents: 1}
        for loop in loops:
            inner: dict[Extents, int] = {}
            for outer, times in found.items():
                for n, inside in self.cases(outer, loop):
                    inner[inside] = inner.get(inside, 0) + times * n
            found = inner
        return found


@dataclass(frozen=True, slots=True)
class Variants:
    """Extents of a nest by number (0: outside all its loops), and the tables in which the engine walks."""

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
