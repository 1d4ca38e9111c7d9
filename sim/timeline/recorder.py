"""The events in a window of a run: the cycle engine's log, with the names of the design.

The window may be anywhere: repeating stretches before it are skipped (`sim.engine.cycle.skip`), so that the middle of a
run of 10^12 cycles is reached as quickly as its beginning.
"""

from typing import NamedTuple

from mappings.check import Problem
from sim.cycle.answer import DesignTiming, design_of, time_design
from sim.cycle.choice import CycleDesign
from sim.cycle.joint import joined
from sim.cycle.rates import is_link
from sim.design.experiment import Experiment
from sim.engine.cycle.columns import ARRAYS, CAUSES, IDLE, LATENCY, OFF_CHIP, SERVERS
from sim.simulation.flow import IllegalMapping, count
from sim.timeline.log import log_of, start_of_tile
from sim.timeline.runs import Piece, Sequence
from sim.timeline.spans import LogReading
from sim.timeline.types import Span, Stretch, Timeline, TimelineLane

MOST_SPANS = 20_000


class TooFewSpans(ValueError):  # noqa: N818 (a number that is too small; the sentence says so)
    """The requested number of spans is too small to show anything."""


class _TimedRun(NamedTuple):
    """A design with its times."""

    design: CycleDesign
    timing: DesignTiming
    sequence: Sequence


def record_timeline(experiment: Experiment, wanted: Stretch | None = None, most_spans: int = MOST_SPANS) -> Timeline:
    """The events in a stretch of a run (by default all of it), up to a limit on the number of spans.

    IllegalMapping if the mapping cannot run; ValueError for a stretch outside the run; TooFewSpans.
    """
    if most_spans < 1:
        raise TooFewSpans(f"expected room for at least 1 event, got {most_spans}")
    counted = count(experiment)
    try:
        design = design_of(experiment, counted.tables, counted.evaluation)
        timing = time_design(design)
    except ValueError as error:
        raise IllegalMapping(experiment, [Problem("schedule", str(error))]) from None
    sequence = Sequence.of(design.walk, (joined(design.nests),), timing.runs)
    run = _TimedRun(design, timing, sequence)
    first, wanted_last = window_of(run, wanted or Stretch())
    spans, last = _spans_of(run, first, wanted_last, most_spans)
    if last <= first:
        raise TooFewSpans(f"expected room for all that happens in one cycle, got {most_spans}")
    machine = design.chains.machine
    return Timeline(
        cycles=timing.cycles,
        tiles=sequence.total.tiles,
        first=first,
        last=last,
        wanted_last=wanted_last,
        spans=spans,
        arrays=tuple(array.name for array in experiment.architecture.arrays),
        memories=machine.memories,
        ports=tuple((memory, design.machine.ports(memory)) for memory in design.machine.ported if not is_link(memory)),
        lanes=_lanes(experiment, timing),
        unplaced_cycles=timing.cycles - sequence.total.cycles,
    )


def _lanes(experiment: Experiment, timing: DesignTiming) -> tuple[TimelineLane, ...]:
    age: dict[str, int] = {}
    for nest in timing.runs:
        for slot, lag in zip(nest.named.nest.slots, nest.named.order.lags, strict=True):
            age.setdefault(slot.leaf.einsum, lag)
    return tuple(TimelineLane(leaf.einsum, leaf.array, age[leaf.einsum]) for leaf in experiment.tree.leaves)


def window_of(run: _TimedRun, wanted: Stretch) -> tuple[int, int]:
    """First and last cycle of a stretch; ValueError if it lies entirely outside the run."""
    total = run.sequence.total
    whole = run.timing.cycles if wanted.unit == "cycles" else total.tiles
    start = int(wanted.start * run.timing.cycles / 100) if wanted.is_share else int(wanted.start)
    if wanted.length is not None and wanted.length < 1:
        raise ValueError(f"expected a window of at least 1 of the {wanted.unit}, got {wanted.length}")
    if wanted.is_share and wanted.start >= 100:
        raise ValueError(f"expected a start before the end of the run, got {wanted.start:g}%")
    if wanted.is_share and wanted.unit == "tiles":
        start = _tile_at(run, start)
    if start >= whole:
        raise ValueError(f"expected a start before the end of the run, which has {whole} {wanted.unit}, got {start}")
    end = whole if wanted.length is None else min(whole, start + wanted.length)
    if wanted.unit == "cycles":
        return start, end
    return _cycle_of(run, start), _cycle_of(run, end)


def _cycle_of(run: _TimedRun, tile: int) -> int:
    """Cycle in which a tile is taken up; that of the end for the one past the last."""
    for piece in run.sequence.between("tiles", tile, tile + 1):
        return piece.before.cycles + start_of_tile(piece.run.named, piece.run.run.cycles, tile - piece.before.tiles)
    return run.timing.cycles


def _tile_at(run: _TimedRun, cycle: int) -> int:
    """The newest tile at a cycle, estimated in proportion to the tiles that its run has taken up."""
    for piece in run.sequence.between("cycles", cycle, cycle + 1):
        share = (cycle - piece.before.cycles) / piece.run.run.cycles
        return piece.before.tiles + min(piece.tiles - 1, int(share * piece.tiles))
    return run.sequence.total.tiles - 1


def _spans_of(run: _TimedRun, first: int, last: int, most: int) -> tuple[tuple[Span, ...], int]:
    """Everything from `first` up to the returned cycle, as far as the limit on spans allows."""
    spans: list[Span] = []
    for piece in run.sequence.between("cycles", first, last):
        here = max(first - piece.before.cycles, 0), min(last, piece.end) - piece.before.cycles
        since = max(0, here[0] - _longest_latency(piece))
        log, complete = log_of(piece.run.named, since, here[1], most - len(spans) + _most_rows(piece, here[0] - since))
        found = LogReading(run.design, piece, since, complete).spans(log.tolist())
        spans += [span.within(first, last) for span in found if span.start < last and span.end > first]
        spans += _idle_arrays(run, piece, piece.before.cycles + here[0], piece.before.cycles + complete)
        if complete < here[1] or len(spans) > most:
            last = piece.before.cycles + complete
            break
    else:
        spans += _unplaced(run, first, last)
    return _cut(spans, run.design, last, most)


def _longest_latency(piece: Piece) -> int:
    """Cycles before a window in which a result that is in transit inside the window may have left."""
    return int(piece.run.named.program.tables["OP_TABLE"][:, LATENCY].max())


def _most_rows(piece: Piece, cycles: int) -> int:
    """The most log rows that this many cycles can fill: no track ends more than one op and one stall per cycle."""
    sizes = piece.run.named.program.sizes
    return 2 * (sizes[ARRAYS] + sizes[SERVERS]) * (cycles + 1)


def _idle_arrays(run: _TimedRun, piece: Piece, start: int, end: int) -> list[Span]:
    """Arrays that have no part in a nest."""
    working = {slot.leaf.array for slot in piece.run.named.nest.slots}
    arrays = [array.name for array in run.design.machine.architecture.arrays]
    idle, tile = CAUSES[IDLE], piece.before.tiles
    return [Span(array, "stall", idle, start, end, tile) for array in arrays if array not in working and end > start]


def _unplaced(run: _TimedRun, first: int, last: int) -> list[Span]:
    """Transfers of tiles that stay for whole runs of nests: counted between runs, all shown after the last one."""
    placed = run.sequence.total.cycles
    if last <= placed:
        return []
    start, root = max(first, placed), run.design.machine.architecture.root.name
    arrays = [array.name for array in run.design.machine.architecture.arrays]
    tiles = run.sequence.total.tiles
    stalls = [Span(array, "stall", CAUSES[OFF_CHIP], start, last, tiles) for array in arrays]
    return [*stalls, Span(root, "fill", "tiles that stay for whole nests", start, last, tiles)]


def _cut(spans: list[Span], design: CycleDesign, last: int, most: int) -> tuple[tuple[Span, ...], int]:
    """The first spans by start, with everything up to where they end; sorted by track and start."""
    spans.sort(key=lambda span: span.start)
    if len(spans) > most:
        last = min(last, spans[most].start)
    kept = [span.within(0, last) for span in spans if span.start < last]
    order = [*(array.name for array in design.machine.architecture.arrays), *design.chains.machine.memories]
    return tuple(sorted(kept, key=lambda span: (order.index(span.track), span.start, span.kind))), last
