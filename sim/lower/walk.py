"""The loops of one design as arithmetic on whole numbers: extents of tiles, and what a nest of loops makes of them.

Extents are in elements of root ranks. How a loop cuts one is in `sim.engine.extents`, what is fetched inside a nest in
`sim.engine.counting`: this puts a design's own loops and sizes to them.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from math import prod
from typing import Self

import numpy as np

from sim.engine.counting import ADVANCES, FIELDS, RANK, RELEVANT, STAYS, TILE, fetched_words, passes_several
from sim.engine.extents import coordinates, cut, tile_extent, trips
from sim.engine.tables import Tables
from sim.lower.elements import Spread
from sim.lower.lowering import Lowered
from sim.lower.ranks import RankSpace

Extents = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class LoopTile:
    """A loop as arithmetic: the variable it walks with its part and root rank, and the elements of a tile and of one
    coordinate.
    """

    variable: str
    part: int
    root: int
    tile: int
    unit: int

    @property
    def step(self) -> int:
        """Coordinates of the variable in a full tile."""
        return self.tile // self.unit


@dataclass(frozen=True, eq=False)
class Walk:
    """Loops of one design and its rank space; sizes: elements by column of the rank space."""

    space: RankSpace
    loops: tuple[LoopTile, ...]
    sizes: tuple[int, ...]
    whole: Extents  # outside all loops
    side_counts: Mapping[str, int] = field(default_factory=dict)  # stated of ranks on sides, by its text
    _run_lists: dict[frozenset[int], list[tuple[int, int, int]]] = field(default_factory=dict, init=False, repr=False)
    _run_tables: dict[frozenset[int], np.ndarray] = field(default_factory=dict, init=False, repr=False)
    _trails: dict[tuple[tuple[int, ...], frozenset[int]], np.ndarray] = field(
        default_factory=dict, init=False, repr=False
    )

    @classmethod
    def of(cls, lowered: Lowered, tables: Tables, design: int = 0) -> Self:
        """The loops of one design of a batch."""
        space, sizes = lowered.space, tuple(tables.sizes[design].tolist())
        loops = []
        for loop, tile in zip(lowered.structure.tree.loops, tables.loop_tiles[design].tolist(), strict=True):
            number = space.part_of_variable(loop.variable)
            part = space.parts[number]
            loops.append(LoopTile(loop.variable, number, part.root, tile, sizes[part.unit]))
        counts = dict(zip(lowered.side_counts, tables.side_counts[design].tolist(), strict=True))
        return cls(space, tuple(loops), sizes, tuple(tables.extents[design].tolist()), counts)

    def part_size(self, rank: str) -> int:
        """Coordinates of an inner part of a partitioned rank, where no last tile cuts it."""
        part = self.space.parts[self.space.part(rank)]
        return self.sizes[part.span] // self.sizes[part.unit]

    def held_words(
        self, extents: Extents, spread: Spread | None, inside: tuple[int, ...], parts: frozenset[int]
    ) -> int:
        """Words over `parts` of a tile that one memory holds; where it lies beside an array, that the one with most of
        them does. `inside`: the leaf's loops within the tile.
        """
        if spread is None:
            return self.words(extents, parts)
        dealt = spread.parts(self.space) & parts
        passes, reached = 1, extents
        for loop in inside:
            if self.loops[loop].part in dealt:
                times = self.trips(reached, loop)
                passes *= times
                reached = self.inside(reached, loop, times == 1)
        return self.words(extents, parts - dealt) * passes

    # One loop

    def trips(self, extents: Extents, loop: int) -> int:
        """Iterations of a loop over a tile of these extents."""
        return trips(extents[self.loops[loop].root], self.loops[loop].tile)

    def inside(self, extents: Extents, loop: int, is_last: bool) -> Extents:
        """Extents of the tiles that a loop makes: of all but the last, or of the last."""
        root, tile = self.loops[loop].root, self.loops[loop].tile
        left = tile_extent(extents[root], tile, trips(extents[root], tile) - 1 if is_last else 0)
        return (*extents[:root], left, *extents[root + 1 :])

    def cases(self, extents: Extents, loop: int) -> Iterator[tuple[int, Extents]]:
        """(how many, extents) of the tiles that a loop makes, equal ones together."""
        root, tile = self.loops[loop].root, self.loops[loop].tile
        full, ragged = cut(extents[root], tile)
        if full:
            yield full, (*extents[:root], tile, *extents[root + 1 :])
        if ragged:
            yield 1, (*extents[:root], ragged, *extents[root + 1 :])

    # Nests of loops

    def full_tile(self, extents: Extents, loops: tuple[int, ...]) -> Extents:
        """Extents of the first, and largest, tile inside all of these loops."""
        for loop in loops:
            extents = self.inside(extents, loop, False)
        return extents

    def full_chain(self, extents: Extents, loops: tuple[int, ...]) -> list[Extents]:
        """Extents of the first tile at every depth, from outside all loops on."""
        chain = [extents]
        for loop in loops:
            chain.append(self.inside(chain[-1], loop, False))
        return chain

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

    def iterations(self, extents: Extents, loops: tuple[int, ...]) -> int:
        """Iterations of a nest of loops."""
        return sum(self.variants_below(extents, loops).values())

    def is_even(self, extents: Extents, loops: tuple[int, ...]) -> bool:
        """Whether loops cut a tile into equal ones."""
        for loop in loops:
            cases = list(self.cases(extents, loop))
            if len(cases) > 1:
                return False
            extents = cases[0][1]
        return True

    # Tensors

    def words(self, extents: Extents, parts: frozenset[int]) -> int:
        """Words of a tensor over these parts in a tile."""
        sizes, runs = self.sizes, self._runs(parts)
        return prod(coordinates(extents[root], sizes[span], sizes[unit]) for root, span, unit in runs)

    def several(self, extents: Extents, loops: tuple[int, ...], parts: frozenset[int]) -> bool:
        """Whether these loops visit more than one tile of a tensor."""
        extent = np.array(extents, np.int64)
        return bool(passes_several(self._trail(loops, parts), 0, len(loops), extent, np.empty_like(extent)))

    def fetched(
        self, extents: Extents, loops: tuple[int, ...], parts: frozenset[int], dims: frozenset[int]
    ) -> tuple[int, int]:
        """(fetches, words fetched) of a tensor inside these loops; exact up to 2^53."""
        trail, extent = self._trail(loops, parts), np.array(extents, np.int64)
        scratch, weight, found = np.empty_like(extent), np.zeros((2, len(loops) + 1)), np.zeros(2)
        weight[0, 0] = 1.0
        fetched_words(trail, len(loops), self._run_table(dims), self._columns, extent, scratch, weight, found)
        return int(found[0]), int(found[1])

    def first_visited(
        self, extents: Extents, loops: tuple[int, ...], parts: frozenset[int], dims: frozenset[int]
    ) -> int:
        """Words over `dims` inside these loops, of which those over other parts count in their first iteration only."""
        if all(self.loops[loop].part in dims or self.loops[loop].part not in parts for loop in loops):
            return self.words(extents, dims)
        return self.fetched(extents, tuple(loop for loop in loops if self.loops[loop].part in parts), parts, dims)[1]

    # The same questions as the compiled loops take them, each made once

    @cached_property
    def _columns(self) -> np.ndarray:
        return np.array(self.sizes, np.int64)

    def _runs(self, parts: frozenset[int]) -> list[tuple[int, int, int]]:
        if parts not in self._run_lists:
            self._run_lists[parts] = self.space.runs(parts)
        return self._run_lists[parts]

    def _run_table(self, parts: frozenset[int]) -> np.ndarray:
        """i8[item, run, (rank, span, unit)], -1 ends: of a scalar, whose words are fetches, and over these parts."""
        if parts not in self._run_tables:
            runs = self._runs(parts)
            table = np.full((2, len(runs) + 1, 3), -1, np.int64)
            for place, run in enumerate(runs):
                table[1, place] = run
            self._run_tables[parts] = table
        return self._run_tables[parts]

    def _trail(self, loops: tuple[int, ...], parts: frozenset[int]) -> np.ndarray:
        """i8[field, position] of loops that bring another tile of a tensor over these parts, or leave it in place."""
        if (loops, parts) not in self._trails:
            trail = np.zeros((FIELDS, len(loops) + 1), np.int64)
            for position, loop in enumerate(self.loops[number] for number in loops):
                trail[RANK, position], trail[TILE, position] = loop.root, loop.tile
                trail[RELEVANT, position] = ADVANCES if loop.part in parts else STAYS
            self._trails[loops, parts] = trail
        return self._trails[loops, parts]
