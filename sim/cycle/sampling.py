"""Transfers of a program in the order of its records, without running it: from any position of its loops on.

A server takes the transfer of the oldest record first, tiles before streams, each in the order of the tables
(`sim.engine.cycle.server`), so this is the order in which a busy memory moves them. Positions are those of the engine:
where a tile begins, and where an op runs.
"""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np

from sim.cycle.joint import Joint
from sim.cycle.state import EngineProgram, Window, lay_out
from sim.engine.cycle import columns as col
from sim.engine.cycle.fills import sums_return
from sim.engine.cycle.records import amounts_row, descend, next_run, next_site, site_record, variant_inside

FIRST, MIDDLE, LAST, NEAR_LAST = range(4)  # iterations of a loop
NEAR = 8  # iterations from the end


@dataclass(frozen=True, slots=True)
class Mover:
    """What moves words: a keep that is filled or drained, or an op whose operands or results are streamed."""

    job: int
    which: int

    @property
    def is_tile(self) -> bool:
        return self.job in (col.FILL_JOB, col.DRAIN_JOB)

    @property
    def writes(self) -> bool:
        return self.job in (col.DRAIN_JOB, col.WRITE_JOB)


Kind = tuple[Mover, int]  # what moves, and its row of amounts or of moves


@dataclass(frozen=True, slots=True)
class Visit:
    """One transfer. index: i8[level], its iterations; variant: of its tile; row: of its amounts, or of its moves."""

    mover: Mover
    record: int
    index: np.ndarray
    variant: int
    row: int
    words: int
    repeat: int = 0


class Visits:
    """The transfers of a program with one memory: those over the given servers (reads, writes)."""

    def __init__(self, program: EngineProgram, joint: Joint, servers: tuple[int, int]) -> None:
        self.m, shapes = lay_out(program, Window())
        self.program, self.joint, self.tables = program, joint, program.tables
        self.index, self.variant = self._view("SITE_INDEX", shapes), self._view("SITE_VARIANT", shapes)
        columns = {col.FILL_JOB: col.FILL_SERVER, col.DRAIN_JOB: col.DRAIN_SERVER}
        streams = {col.READ_JOB: col.READ_SERVER, col.WRITE_JOB: col.WRITE_SERVER}
        self.movers = [
            Mover(job, which)
            for table, jobs in (("KEEP_TABLE", columns), ("OP_TABLE", streams))
            for which in range(len(self.tables[table]))
            for job, column in jobs.items()
            if self.tables[table][which, column] == servers[job in (col.DRAIN_JOB, col.WRITE_JOB)]
        ]

    def _view(self, name: str, shapes: dict[str, tuple[int, ...]]) -> np.ndarray:
        first = int(self.m[getattr(col, name)])
        found: np.ndarray = self.m[first : first + int(np.prod(shapes[name]))].reshape(shapes[name])
        return found

    def beginnings(self) -> Iterator[tuple[tuple[tuple[int, int], ...], np.ndarray]]:
        """Positions that have all kinds of tiles behind them, nest by nest: (items that lead there, i8[level]).

        The first, the middle, and from each loop its last iteration, alone and with all others, and some before it.
        """
        for place in self.joint.places.values():
            levels, seen = [level for level, _ in place.loops], set[tuple[int, ...]]()
            wanted = [[how] * len(levels) for how in (FIRST, MIDDLE, LAST, NEAR_LAST)]
            wanted += [
                [how if other == n else FIRST for other in range(len(levels))]
                for n in reversed(range(len(levels)))
                for how in (NEAR_LAST, LAST)
            ]
            for one in wanted:
                found = self._position(place.home, dict(zip(levels, one, strict=True)))
                if tuple(found) not in seen:
                    seen.add(tuple(found))
                    yield place.home, found

    def _position(self, home: tuple[tuple[int, int], ...], wanted: dict[int, int]) -> np.ndarray:
        depth = self.program.sizes[col.DEPTH]
        index, variant = _wider(np.zeros(depth, np.int64)), np.zeros(depth + 1, np.int64)
        items = dict(home)
        for level in range(depth):
            trips = int(self.tables["TRIPS"][variant[level], level])
            places = {FIRST: 0, MIDDLE: trips // 2, LAST: trips - 1, NEAR_LAST: max(0, trips - NEAR)}
            index[level] = items.get(level, places[wanted.get(level, FIRST)])
            variant[level + 1] = variant_inside(self.m, index, variant, level)
        return index[:depth]

    def following(self, home: tuple[tuple[int, int], ...], begin: np.ndarray) -> Iterator[Visit]:
        """The transfers of the nest at `home` from a position on, in order; index and variant of each are its own."""
        variant = np.zeros(begin.size + 1, np.int64)
        position = _wider(begin)
        descend(self.m, position, variant, 0)
        first = int(site_record(self.m, position, variant))
        runs = [self._visits(mover, begin) for mover in self.movers if self._is_at_home(mover, home)]
        since = (_from(visits, first) for visits in runs)
        return heapq.merge(*since, key=lambda visit: (visit.record, not visit.mover.is_tile))

    def _is_at_home(self, mover: Mover, home: tuple[tuple[int, int], ...]) -> bool:
        own, items = self.tables["HOME"][self._owner(mover)], dict(home)
        return all(item < 0 or items.get(level) == item for level, item in enumerate(own.tolist()))

    def _owner(self, mover: Mover) -> int:
        return mover.which if mover.is_tile else self.program.sizes[col.KEEPS] + mover.which

    def _visits(self, mover: Mover, begin: np.ndarray) -> Iterator[Visit]:
        """All transfers of one mover, from the tile at a position on, or from the one in use there."""
        m = self.m
        index, variant = _wider(np.zeros_like(begin)), np.zeros(begin.size + 1, np.int64)
        for level in range(begin.size):
            index[level] = self._first_at(mover, level, int(variant[level]), int(begin[level]))
            variant[level + 1] = variant_inside(m, index, variant, level)
        record = int(site_record(m, index, variant))
        while record != col.NEVER:
            here, inside = index.copy(), variant.copy()
            found = self._tile(mover, here, inside) if mover.is_tile else self._streams(mover, here, inside)
            advance = next_site if mover.is_tile else next_run
            after = int(advance(m, mover.which, index, variant))
            at = record
            if mover.job == col.DRAIN_JOB:  # it leaves in the last record that has it
                at = (after if after != col.NEVER else self.program.sizes[col.RECORDS]) - 1
            yield from (replace(visit, record=at) for visit in found)
            record = after

    def _first_at(self, mover: Mover, level: int, variant: int, wanted: int) -> int:
        home = int(self.tables["HOME"][self._owner(mover), level])
        if home >= 0:
            return home
        trips = int(self.tables["TRIPS"][variant, level])
        if not mover.is_tile and self.tables["GUARD"][mover.which, level]:
            return trips - 1
        is_fixed = mover.is_tile and self.tables["FIXED"][variant, mover.which, level]
        return 0 if is_fixed else min(wanted, trips - 1)

    def _tile(self, mover: Mover, index: np.ndarray, variant: np.ndarray) -> Iterator[Visit]:
        keep = mover.which
        row = int(variant[self.tables["KEEP_TABLE"][keep, col.KEEP_DEPTH]])
        move = self.tables["MOVES"][row, keep]
        words = int(move[col.DRAIN_WORDS if mover.writes else col.FILL_WORDS])
        if not mover.writes:
            self.index[keep] = index
            words += int(move[col.AGAIN_WORDS]) if sums_return(self.m, keep) else 0
        yield Visit(mover, 0, index[: -col.INDEX_MORE], row, row, words)

    def _streams(self, mover: Mover, index: np.ndarray, variant: np.ndarray) -> Iterator[Visit]:
        op = mover.which
        tile, place = int(variant[self.tables["OP_TABLE"][op, col.DEPTH_OF]]), index[: -col.INDEX_MORE]
        for n in range(int(self.tables["AMOUNTS"][tile, op, col.REPEATS])):
            row = int(amounts_row(self.m, op, index, variant, n))
            words = int(self.tables["AMOUNTS"][row, op, col.WRITE_WORDS if mover.writes else col.READ_WORDS])
            yield Visit(mover, 0, place, tile, row, words, n)


def _wider(index: np.ndarray) -> np.ndarray:
    """A position as the engine holds it, with the turn of its core: the first."""
    return np.concatenate([index, np.zeros(col.INDEX_MORE, np.int64)])


def _from(visits: Iterator[Visit], record: int) -> Iterator[Visit]:
    """Without those that were over before; of one that began before, those that come after it."""
    return (visit for visit in visits if visit.record >= record)


def some(visits: Iterator[Visit], words: int, most: int) -> list[Visit]:
    """The first transfers of those that move any words: so many together, or as many as there are among `most`."""
    found, left = list[Visit](), words
    for visit in (visit for visit in islice(visits, most) if visit.words):
        found.append(visit)
        left -= visit.words
        if left <= 0:
            break
    return found
