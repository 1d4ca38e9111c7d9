"""A timeline as a waterfall: epochs across, arrays with their Einsums down; tiles sink from row to row as they age.

The figure of Nayak et al. (MICRO 2024, figures 4 and 5), drawn from a run instead of by hand. An *epoch* begins where
the schedule takes up a new tile. Bars show what a run issued; a row that alternates with another cycle by cycle, or
whose slots wait for ports, gets one bar whose `share` is the fraction of its cycles in which it issued.
"""

from itertools import groupby
from typing import Literal, NamedTuple

from sim.timeline.types import Span, Timeline

MOST_EPOCHS = 16
MOST_LANES = 6  # results that are drawn one above the other
# Bars of one tile are joined across gaps that are too small to see.
POINTS_ACROSS = 1000
WAITS, MEMORY = "waits for", "memory"

Look = Literal["points", "result", "stall", "transfer"]


class Bar(NamedTuple):
    """A rectangle: cycles across; `lane` of `lanes` if several are stacked."""

    start: int
    end: int
    look: Look
    text: str  # tile, cause or tensor
    age: int = 0
    share: float = 1.0
    lane: int = 0
    lanes: int = 1


class WaterfallRow(NamedTuple):
    """One line of the figure."""

    group: str  # array, or the kind of memory
    label: str
    bars: tuple[Bar, ...]

    @property
    def is_wait(self) -> bool:
        return self.label == WAITS


class Epoch(NamedTuple):
    """The cycle in which a new tile is taken up."""

    cycle: int
    tile: int


class Waterfall(NamedTuple):
    """Everything that is drawn, for cycles `first` to `last`."""

    title: str
    note: str
    first: int
    last: int
    epochs: tuple[Epoch, ...]
    rows: tuple[WaterfallRow, ...]

    @property
    def ages(self) -> tuple[int, ...]:
        looks = ("points", "result")
        return tuple(sorted({bar.age for row in self.rows for bar in row.bars if bar.look in looks}))

    @property
    def causes(self) -> tuple[str, ...]:
        found = {bar.text: None for row in self.rows for bar in row.bars if bar.look == "stall"}
        return tuple(found)

    @property
    def said(self) -> str:
        epochs = "1 epoch" if len(self.epochs) == 1 else f"{len(self.epochs)} epochs"
        return f"cycles {self.first:,} to {self.last:,}, {epochs}"


def waterfall_of(timeline: Timeline, title: str) -> Waterfall:
    """The waterfall of a window, or of its first epochs if it has too many to show."""
    epochs, last = epochs_of(timeline), timeline.last
    if len(epochs) > MOST_EPOCHS:
        epochs, last = epochs[:MOST_EPOCHS], epochs[MOST_EPOCHS].cycle
    spans = [span for span in timeline.spans if span.start < last]
    gap = max(2, (last - timeline.first) // POINTS_ACROSS)
    rows: list[WaterfallRow] = []
    for array in timeline.arrays:
        mine = [span for span in spans if span.track == array]
        waits = _bars([span for span in mine if span.kind == "stall"], last)
        rows.append(WaterfallRow(array, WAITS, waits))
        lanes = [lane.einsum for lane in timeline.lanes if lane.array == array]
        rows += [WaterfallRow(array, einsum, _einsum_bars(mine, einsum, last, gap)) for einsum in lanes]
    for memory in timeline.memories:
        moved = [s for s in spans if s.track == memory and s.kind not in ("points", "stall", "result")]
        if moved:
            rows.append(WaterfallRow(MEMORY, memory, _bars(moved, last)))
    note = f"cycles {timeline.first:,} to {last:,} of {timeline.cycles:,}"
    absent = [row.label for row in rows if not row.bars and row.label != WAITS]
    if absent:
        note += f"; not in this window: {', '.join(absent)}"
    shown = tuple(row for row in rows if row.bars or row.label == WAITS)
    return Waterfall(title, note, timeline.first, last, epochs, shown)


def epochs_of(timeline: Timeline) -> tuple[Epoch, ...]:
    """Where the newest Einsum takes up each tile: a tile whose beginning lies before the window has no epoch."""
    newest = {lane.einsum for lane in timeline.lanes if lane.age == 0}
    found: dict[int, int] = {}
    for span in sorted(timeline.spans, key=lambda s: s.start):
        if span.kind == "points" and span.name in newest and not (span.is_cut and span.start == timeline.first):
            found.setdefault(span.tile, span.start)
    tiles = sorted(found)
    return tuple(Epoch(found[tile], tile) for tile in tiles)


def _einsum_bars(spans: list[Span], einsum: str, last: int, gap: int) -> tuple[Bar, ...]:
    """Bars of issue, then those of results on their way out."""
    issued = [span for span in spans if span.kind == "points" and span.name == einsum]
    bars: list[Bar] = []
    for _, group in groupby(issued, key=lambda span: span.tile):
        bars += _joined(list(group), last, gap)
    leaving = [span for span in spans if span.kind == "result" and span.name == einsum]
    return (*bars, *_stacked(leaving, last, gap))


def _joined(spans: list[Span], last: int, gap: int) -> list[Bar]:
    """Spans of one tile as bars: neighbours closer than `gap` make one."""
    bars: list[Bar] = []
    start = end = 0
    busy = 0.0
    for span in [*spans, None]:
        if span is not None and busy and span.start - end <= gap:
            end, busy = min(span.end, last), busy + _issued(span, last)
            continue
        if busy:
            bars.append(Bar(start, end, "points", str(spans[0].tile), spans[0].age, busy / (end - start)))
        if span is not None:
            start, end, busy = span.start, min(span.end, last), _issued(span, last)
    return bars


def _issued(span: Span, last: int) -> float:
    """Cycles of a span up to `last` in which points are issued: not those in which slots wait for ports."""
    return (min(span.end, last) - span.start) * (1 - span.port_cycles / span.cycles)


def _stacked(spans: list[Span], last: int, gap: int) -> list[Bar]:
    """Results of several tiles may be in transit at once, one above the other. Of too many to be told apart, those
    of one tile that follow closely are one bar."""
    bars = [Bar(s.start, min(s.end, last), "result", str(s.tile), s.age) for s in spans]
    stacked = _in_lanes(bars)
    return stacked if not stacked or stacked[0].lanes <= MOST_LANES else _in_lanes(_merged(bars, gap))


def _merged(bars: list[Bar], gap: int) -> list[Bar]:
    found: list[Bar] = []
    latest: dict[str, int] = {}  # by tile
    for bar in bars:
        n = latest.get(bar.text)
        if n is not None and bar.start - found[n].end <= gap:
            found[n] = found[n]._replace(end=max(found[n].end, bar.end))
            continue
        latest[bar.text] = len(found)
        found.append(bar)
    return found


def _in_lanes(bars: list[Bar]) -> list[Bar]:
    free: list[int] = []  # cycle from which each lane is free
    lanes = []
    for bar in bars:
        lane = next((n for n, until in enumerate(free) if until <= bar.start), len(free))
        free[lane : lane + 1] = [bar.end]
        lanes.append(lane)
    return [bar._replace(lane=lane, lanes=len(free)) for bar, lane in zip(bars, lanes, strict=True)]


def _bars(spans: list[Span], last: int) -> tuple[Bar, ...]:
    """Stalls by cause, neighbours of one cause together; transfers by tensor."""
    bars: list[Bar] = []
    for span in spans:
        look: Look = "stall" if span.kind == "stall" else "transfer"
        bar = Bar(span.start, min(span.end, last), look, span.name)
        if look == "stall" and bars and bars[-1].text == bar.text and bars[-1].end == bar.start:
            bar = bars.pop()._replace(end=bar.end)
        bars.append(bar)
    return tuple(bars)
