"""From rows of the engine's log to spans, with names and coordinates restored.

The log has one row for each op from its first to its last cycle on an array, one for each stall, and one for each
transfer. An op's spans are its row minus its stalls.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np

from sim.cycle.choice import CycleDesign
from sim.cycle.rates import is_link
from sim.cycle.state import Window, lay_out
from sim.engine.cycle import columns as col
from sim.engine.cycle.records import amounts_row
from sim.timeline.cores import CoreNumbers
from sim.timeline.runs import Piece
from sim.timeline.types import Coordinate, Kind, Span

TRANSFERS: tuple[Kind, ...] = ("fill", "drain", "read", "write")


class LogRow(NamedTuple):
    """A row of the log."""

    kind: int
    track: int
    what: int
    record: int
    start: int
    end: int


@dataclass(frozen=True)
class LogReading:
    """The context for reading a piece's log; `first` and `last` bound the rows, in cycles of the piece.

    core: whose log it is, -1 where nothing or all cores share it.
    """

    design: CycleDesign
    piece: Piece
    first: int
    last: int
    core: int = -1
    numbers: CoreNumbers | None = None

    def spans(self, log: list[list[int]]) -> Iterator[Span]:
        """All spans of a log, unordered, in cycles of the whole run."""
        rows = [self._numbered(LogRow(*row)) for row in log]
        ops = [row for row in rows if row.kind == col.OP_ROW]
        stalls = [row for row in rows if row.kind == col.STALL_ROW]
        repeats = self._repetitions(ops)
        for n in range(self.sizes[col.ARRAYS]):
            own = [(row, at) for row, at in zip(ops, repeats, strict=True) if row.track == n]
            lost = [row for row in stalls if row.track == n]
            yield from self._array(own, lost)
        yield from (self._transfer(row) for row in rows if row.kind >= col.TRANSFER_ROW)

    def _numbered(self, row: LogRow) -> LogRow:
        """A row of a core with the number of its tile among those of all."""
        if self.core < 0 or self.numbers is None or row.record >= self.numbers.records(self.core):
            return row
        return row._replace(record=self.numbers.of_all(self.core, row.record))

    def _named(self, component: str) -> str:
        """What a component is called in the core that the log is of."""
        names = self.design.machine.architecture.names_in_cores(component)
        return component if len(names) == 1 else names[max(self.core, 0)]

    @property
    def sizes(self) -> dict[int, int]:
        return self.piece.run.named.program.sizes

    def _array(self, ops: list[tuple[LogRow, int | None]], stalls: list[LogRow]) -> Iterator[Span]:
        at = 0
        for row, repeat in ops:
            while at < len(stalls) and stalls[at].end <= row.start:
                at += 1
            until = at
            while until < len(stalls) and stalls[until].start < row.end:
                until += 1
            yield from self._op(row, repeat, stalls[at:until])
        following = iter(ops)
        current = next(following, None)
        for stall in stalls:
            while current is not None and current[0].end <= stall.start:
                current = next(following, None)
            yield self._stall(stall, current[0] if current else None)

    def _op(self, row: LogRow, repeat: int | None, stalls: list[LogRow]) -> Iterator[Span]:
        """Cycles in which points are issued, and the result on its way out."""
        named = self.piece.run.named
        name, tables = named.ops[row.what], named.program.tables
        amount = tables["AMOUNTS"][self._amounts_row(row, repeat), row.what].tolist()
        span = self._span(row, "points", name, self._op_place(row, repeat))
        span = replace(span, age=int(tables["OP_TABLE"][row.what, col.LAG]))
        issued = amount[col.FOLDS] * amount[col.POINTS] * amount[col.CYCLES]
        for start, end in _gaps(max(row.start, self.first), min(row.end, self.last), stalls):
            yield replace(
                span,
                start=start + self.piece.before.cycles,
                end=end + self.piece.before.cycles,
                port_cycles=(end - start) * amount[col.STRETCH] // issued,
                rows=self._rows(row, repeat),
                is_cut=(row.start < self.first == start) or (row.end > self.last == end),
            )
        latency = int(tables["OP_TABLE"][row.what, col.LATENCY]) - amount[col.EARLY]
        if latency and self.first <= row.end < self.last:
            leaving = row._replace(start=row.end, end=row.end + latency)
            yield replace(self._span(leaving, "result", name, span.place), age=span.age)

    def _stall(self, row: LogRow, op: LogRow | None) -> Span:
        """A stall with the op that it holds up, if the window shows it."""
        span = self._span(row, "stall", col.CAUSES[row.what], ())
        if op is None:
            return span
        named = self.piece.run.named
        age = int(named.program.tables["OP_TABLE"][op.what, col.LAG])
        span = replace(span, beyond=named.ops[op.what], place=self._op_place(op, None), age=age)
        return replace(span, tile=self._tile(op))

    def _transfer(self, row: LogRow) -> Span:
        named, kind = self.piece.run.named, TRANSFERS[row.kind - col.TRANSFER_ROW]
        if kind in ("fill", "drain"):
            tile = named.tiles[row.what]
            keep = tile.keep.keep
            parts = self.design.chains.space.parts_of_tensor(keep.tensor)
            place = self._place(row, tile.loops, parts)
            return replace(self._span(row, kind, keep.tensor, place), beyond=keep.memory)
        name = named.ops[row.what]
        return replace(self._span(row, kind, name, self._op_place(row, None)), beyond=name)

    def _span(self, row: LogRow, kind: Kind, name: str, place: tuple[Coordinate, ...]) -> Span:
        named, offset = self.piece.run.named, self.piece.before.cycles
        arrays = list(dict.fromkeys(slot.leaf.array for slot in named.nest.slots))
        track = self._named(self.piece.run.servers[row.track] if kind in TRANSFERS else arrays[row.track])
        start, end = max(row.start, self.first), min(row.end, self.last)
        is_cut = row.start < self.first or row.end > self.last
        return Span(track, kind, name, start + offset, end + offset, self._tile(row), place, is_cut=is_cut)

    def _tile(self, row: LogRow) -> int:
        return self.piece.before.tiles + row.record

    # the position of a row in the loops

    def _iterations(self, record: int) -> tuple[list[int], list[int]]:
        """Iteration of every level of the program, and the variant of the tile at every depth."""
        tables = self.piece.run.named.program.tables
        below, trips, child, before = (tables[name] for name in ("RECORDS_BELOW", "TRIPS", "CHILD", "BEFORE"))
        found, variants = [], [0]
        for level in range(self.sizes[col.DEPTH]):
            variant = variants[-1]
            last = int(trips[variant, level]) - 1
            if before[variant, level, 0] >= 0:
                item = int(np.searchsorted(before[variant, level, : last + 1], record, "right")) - 1
                found.append(item)
                record -= int(before[variant, level, item])
                variants.append(int(child[variant, level, item]))
                continue
            each = int(below[child[variant, level, 0], level + 1])
            found.append(min(record // each, last))
            record -= found[-1] * each
            variants.append(int(child[variant, level, int(found[-1] == last)]))
        return found, variants

    def _variant(self, row: LogRow) -> int:
        depth = int(self.piece.run.named.program.tables["OP_TABLE"][row.what, col.DEPTH_OF])
        return self._iterations(row.record)[1][depth]

    def _amounts_row(self, row: LogRow, repeat: int | None) -> int:
        """The row of AMOUNTS of an op: that of its tile's extents, and of the words that stay where they are."""
        index, variants = self._iterations(row.record)
        index += [0] * col.INDEX_MORE
        if self.core >= 0 and self.numbers is not None:
            index[self.sizes[col.DEPTH] + col.TURN] = self.numbers.turn_of_all(self.core, row.record)
        place = np.array(index, np.int64), np.array(variants, np.int64)
        return int(amounts_row(self._laid_out, row.what, *place, repeat or 0))

    @cached_property
    def _laid_out(self) -> np.ndarray:
        """The program as the engine has it."""
        if self.core >= 0 and self.numbers is not None:
            return self.numbers.laid_out[self.core]
        return lay_out(self.piece.run.named.program, Window())[0]

    def _op_place(self, row: LogRow, repeat: int | None) -> tuple[Coordinate, ...]:
        named = self.piece.run.named
        name = named.ops[row.what]
        n, slot = next((n, slot) for n, slot in enumerate(named.nest.slots) if slot.leaf.einsum == name)
        loops = named.joint.loops_of(n)
        place = self._place(row, loops, None)
        if repeat is None or len(slot.group_loops) != 1:
            return place
        return (*place, *self._coordinates(((slot.group_loops[0], repeat),), None))

    def _place(
        self, row: LogRow, loops: tuple[tuple[int, int], ...], parts: frozenset[int] | None
    ) -> tuple[Coordinate, ...]:
        """Coordinates along these loops (with their levels) and those around the program, for these parts only."""
        numbers = self._iterations(row.record)[0]
        return self._coordinates((*self.piece.outer, *((loop, numbers[level]) for level, loop in loops)), parts)

    def _coordinates(
        self, iterations: tuple[tuple[int, int], ...], parts: frozenset[int] | None
    ) -> tuple[Coordinate, ...]:
        """First element along every variable: loops over one variable add up."""
        positions: dict[str, int] = {}
        for number, iteration in iterations:
            loop = self.design.walk.loops[number]
            if parts is None or loop.part in parts:
                positions[loop.variable] = positions.get(loop.variable, 0) + iteration * loop.step
        return tuple(Coordinate(*item) for item in positions.items())

    def _repetitions(self, ops: list[LogRow]) -> list[int | None]:
        """Which repetition of its record every op row is; None if the window shows neither the first nor the last."""
        seen: dict[tuple[int, int], list[int]] = {}
        for n, row in enumerate(ops):
            seen.setdefault((row.what, row.record), []).append(n)
        # Of the (op, record) pairs, the first and the last record of every op.
        oldest = {op: record for op, record in reversed(tuple(seen))}  # noqa: C416 (dict() of pairs reads as a copy)
        newest = {op: record for op, record in seen}  # noqa: C416 (the same)
        found: list[int | None] = [None] * len(ops)
        for (op, record), places in seen.items():
            table = self.piece.run.named.program.tables["AMOUNTS"]
            repeats = int(table[self._variant(ops[places[0]]), op, col.REPEATS])
            if self.first == 0 or record != oldest[op]:
                first = 0
            elif record != newest[op] or self.last >= self.piece.run.run.cycles:
                first = repeats - len(places)
            else:
                continue
            for n, place in enumerate(places):
                found[place] = first + n
        return found

    def _rows(self, row: LogRow, repeat: int | None) -> tuple[tuple[str, int, int], ...]:
        """Row accesses at the start of each slot of its points: (memory, accesses, cycles of a slot)."""
        tables, place = self.piece.run.named.program.tables, self._amounts_row(row, repeat)
        counts = tables["ROW_ACCESSES"][place, row.what, col.POINT_STAGE].tolist()
        cycles = int(tables["AMOUNTS"][place, row.what, col.CYCLES])
        pairs = zip(self.design.machine.ported, counts, strict=True)
        return tuple((m, n, cycles) for m, n in pairs if n and not is_link(m))


def _gaps(start: int, end: int, stalls: list[LogRow]) -> Iterator[tuple[int, int]]:
    """The parts of a stretch that remain after removing stalls, which are in order."""
    for stall in stalls:
        if stall.start > start:
            yield start, stall.start
        start = max(start, stall.end)
    if end > start:
        yield start, end
