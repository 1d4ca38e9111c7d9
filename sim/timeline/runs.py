"""The runs of a design's nests laid end to end, so that any cycle or tile is found without traversing a long run.

Nests run one after the other inside the loops around them. Iterations of a loop on equal extents take equal time, so
the whole is a tree of (repetitions, item) in which a place is found by division.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby
from typing import NamedTuple

from sim.cycle.answer import NestRun
from sim.cycle.nest import Nest
from sim.engine.cycle import columns as col
from sim.lower.walk import Extents, Walk


class Elapsed(NamedTuple):
    """Cycles and tiles of an item, or before it."""

    cycles: int
    tiles: int


@dataclass(frozen=True, slots=True)
class Piece:
    """One run of one nest: the cycles and tiles before it, and the iterations (loop, number) of the loops around it."""

    run: NestRun
    before: Elapsed
    outer: tuple[tuple[int, int], ...]

    @property
    def tiles(self) -> int:
        return self.run.named.program.sizes[col.RECORDS]

    @property
    def end(self) -> int:
        return self.before.cycles + self.run.run.cycles


@dataclass
class Sequence:
    """All runs of all nests in order. `runs`: those of each nest by the extents of its tiles."""

    walk: Walk
    nests: tuple[Nest, ...]
    runs: list[dict[Extents, NestRun]]
    _amounts: dict[tuple[tuple[int, ...], int, Extents], Elapsed] = field(default_factory=dict)

    @classmethod
    def of(cls, walk: Walk, nests: tuple[Nest, ...], runs: tuple[NestRun, ...]) -> "Sequence":
        """`runs` as `sim.cycle.answer.Timing` has them: by nest, then by extents."""
        left = iter(runs)
        by_extents = [
            {extents: next(left) for extents in walk.variants_below(walk.whole, nest.outer)} for nest in nests
        ]
        assert next(left, None) is None, "more runs than extents"
        return cls(walk, nests, by_extents)

    @property
    def total(self) -> Elapsed:
        return self._amount(tuple(range(len(self.nests))), 0, self.walk.whole)

    def between(self, unit: str, first: int, last: int) -> Iterator[Piece]:
        """Runs with a cycle (tile) from `first` on and before `last`; at least the one in which `first` lies."""
        everything = tuple(range(len(self.nests)))
        yield from self._pieces(
            everything, self.walk.whole, Elapsed(0, 0), (), (Elapsed._fields.index(unit), first, last)
        )

    def _parts(self, members: tuple[int, ...], depth: int) -> Iterator[tuple[int | None, tuple[int, ...]]]:
        """Neighbours under a common loop at this depth, and nests that have none there."""
        for loop, group in groupby(members, lambda n: (*self.nests[n].outer, None)[depth]):
            if loop is not None:
                yield loop, tuple(group)
            else:
                yield from ((None, (n,)) for n in group)

    def _amount(self, members: tuple[int, ...], depth: int, extents: Extents) -> Elapsed:
        key = (members, depth, extents)
        if key not in self._amounts:
            cycles = tiles = 0
            for loop, group in self._parts(members, depth):
                if loop is None:
                    run = self.runs[group[0]][extents]
                    cycles += run.run.cycles
                    tiles += run.named.program.sizes[col.RECORDS]
                    continue
                for times, inside in self.walk.cases(extents, loop):
                    one = self._amount(group, depth + 1, inside)
                    cycles += times * one.cycles
                    tiles += times * one.tiles
            self._amounts[key] = Elapsed(cycles, tiles)
        return self._amounts[key]

    def _pieces(
        self,
        members: tuple[int, ...],
        extents: Extents,
        before: Elapsed,
        outer: tuple[tuple[int, int], ...],
        wanted: tuple[int, int, int],
    ) -> Iterator[Piece]:
        unit, first, last = wanted
        for loop, group in self._parts(members, len(outer)):
            if loop is None:
                piece = Piece(self.runs[group[0]][extents], before, outer)
                before = _after(before, self._amount(group, len(outer), extents), 1)
                if before[unit] > first and piece.before[unit] < last:
                    yield piece
                continue
            iteration = 0
            for times, inside in self.walk.cases(extents, loop):
                one = self._amount(group, len(outer) + 1, inside)
                skipped = min(times, max(0, first - before[unit]) // one[unit])
                here, iteration = _after(before, one, skipped), iteration + skipped
                for _ in range(times - skipped):
                    if here[unit] >= last:
                        return
                    yield from self._pieces(group, inside, here, (*outer, (loop, iteration)), wanted)
                    here, iteration = _after(here, one, 1), iteration + 1
                before = here


def _after(before: Elapsed, one: Elapsed, times: int) -> Elapsed:
    return Elapsed(before.cycles + times * one.cycles, before.tiles + times * one.tiles)
