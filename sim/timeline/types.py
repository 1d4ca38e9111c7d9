"""The events in a stretch of a run, as plain values: who did what, for which tile, from which cycle to which.

A *tile* is one iteration of all loops that a nest's schedule pipelines together, numbered from 0 through the whole run;
a span from cycle a to cycle b takes b - a cycles, so that neighbours share a number.
"""

from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

Kind = Literal["points", "stall", "fill", "drain", "read", "write", "result"]


class Coordinate(NamedTuple):
    """Where a tile begins along a rank variable."""

    variable: str
    position: int


@dataclass(frozen=True, slots=True)
class Span:
    """One thing that an array or a memory did or waited for.

    points: an array issues points of an Einsum; stall: it does not, and `name` is the cause; result: an Einsum's result
    is on its way out of the array (skew of the array, drain of a reduction); otherwise a memory moves a tensor's tile
    or stream.
    """

    track: str  # array, or the memory that serves the transfer
    kind: Kind
    name: str  # Einsum, cause of a stall, tensor
    start: int
    end: int
    tile: int
    place: tuple[Coordinate, ...] = ()
    age: int = 0  # tiles behind the newest one of its schedule
    beyond: str = ""  # a transfer: the memory, or the Einsum, on its other side; a stall: the Einsum that waits
    port_cycles: int = 0  # of these cycles, those in which slots wait because their row accesses outnumber the ports
    rows: tuple[tuple[str, int, int], ...] = ()  # (memory, row accesses at the start of a slot, cycles of a slot)
    is_cut: bool = False  # continues outside the window

    @property
    def cycles(self) -> int:
        return self.end - self.start

    def within(self, first: int, last: int) -> "Span":
        """The part between two cycles, with port waits scaled in proportion."""
        if first <= self.start and self.end <= last:
            return self
        start, end = max(first, self.start), min(last, self.end)
        lost = self.port_cycles * (end - start) // self.cycles
        return replace(self, start=start, end=end, port_cycles=lost, is_cut=True)


@dataclass(frozen=True, slots=True)
class Stretch:
    """The requested part of a run: its start (a percentage of the run's cycles if `is_share`) and its length."""

    start: float = 0
    length: int | None = None  # None: to the end
    unit: Literal["cycles", "tiles"] = "cycles"
    is_share: bool = False


@dataclass(frozen=True, slots=True)
class TimelineLane:
    """An Einsum in its schedule: the array that issues it, and how many tiles behind the newest it works."""

    einsum: str
    array: str
    age: int


@dataclass(frozen=True, slots=True)
class Timeline:
    """Spans of a window of a run, by track and start; `last` is before `wanted_last` if there was too much to show."""

    cycles: int  # of the whole run
    tiles: int
    first: int
    last: int
    wanted_last: int
    spans: tuple[Span, ...]
    arrays: tuple[str, ...]
    memories: tuple[str, ...]  # outermost first
    ports: tuple[tuple[str, int], ...]  # memories whose ports count
    lanes: tuple[TimelineLane, ...]  # in the order of the mapping
    unplaced_cycles: int  # of transfers between runs of nests, which the engine counts but does not place

    @property
    def is_complete(self) -> bool:
        return self.last == self.wanted_last

    def on(self, track: str, *kinds: Kind) -> tuple[Span, ...]:
        """What a track did, of these kinds."""
        return tuple(span for span in self.spans if span.track == track and span.kind in kinds)
