"""The events in a window of a run: the cycle engine's log, with the names of the design.

The window may be anywhere: repeating stretches before it are skipped (`sim.engine.cycle.skip`), so that the middle of a
run of 10^12 cycles is reached as quickly as its beginning.
"""

from typing import NamedTuple

from arch.types import Architecture
from mappings.check import Problem
from mappings.existence import unfollowed
from sim.cycle.answer import DesignTiming, design_of, time_design
from sim.cycle.choice import CycleDesign
from sim.cycle.joint import joined
from sim.cycle.rates import is_link
from sim.design.experiment import Experiment
from sim.engine.cycle.columns import ARRAYS, CAUSES, IDLE, LATENCY, OFF_CHIP, SERVERS
from sim.simulation.flow import IllegalMapping, count
from sim.timeline.cores import CoreNumbers
from sim.timeline.log import log_of, recorded, start_of_tile
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
    reason = unfollowed(experiment.cascade, "the cycle engine")
    if reason:
        raise IllegalMapping(experiment, [Problem("", reason)])
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
    return Timeline(
        cycles=timing.cycles,
        tiles=sequence.total.tiles,
        first=first,
        last=last,
        wanted_last=wanted_last,
        spans=spans,
        arrays=_arrays(experiment.architecture),
        memories=_memories(experiment.architecture),
        ports=tuple((memory, design.machine.ports(memory)) for memory in design.machine.ported if not is_link(memory)),
        lanes=_lanes(experiment, timing),
        unplaced_cycles=timing.cycles - sequence.total.cycles,
    )


def _lanes(experiment: Experiment, timing: DesignTiming) -> tuple[TimelineLane, ...]:
    age: dict[str, int] = {}
    for nest in timing.runs:
        for slot, lag in zip(nest.named.nest.slots, nest.named.order.lags, strict=True):
            age.setdefault(slot.leaf.einsum, lag)
    names = experiment.architecture.names_in_cores
    return tuple(
        TimelineLane(leaf.einsum, name, age[leaf.einsum])
        for leaf in experiment.tree.leaves
        for name in names(leaf.array)
    )


def _arrays(architecture: Architecture) -> tuple[str, ...]:
    """Every array in every core, core by core."""
    return _in_cores(architecture, [array.name for array in architecture.arrays])


def _memories(architecture: Architecture) -> tuple[str, ...]:
    """Every memory, outermost first, then those of each core."""
    return _in_cores(architecture, [memory.name for memory in architecture.memories])


def _in_cores(architecture: Architecture, components: list[str]) -> tuple[str, ...]:
    names = [architecture.names_in_cores(component) for component in components]
    shared = [own[0] for own in names if len(own) == 1]
    return (*shared, *(name for core in zip(*(own for own in names if len(own) > 1), strict=True) for name in core))


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
        repeat, here = recorded(run.design, piece.run), tile - piece.before.tiles
        numbers = _numbers_of(run, piece)
        core, own = (0, here) if numbers is None else numbers.of_core(here)
        tiles = piece.tiles if numbers is None else numbers.records(core)
        start = start_of_tile(repeat, piece.run.named, piece.run.run.cycles, (core, own, tiles))
        return piece.before.cycles + start
    return run.timing.cycles


def _numbers_of(run: _TimedRun, piece: Piece) -> CoreNumbers | None:
    """The records of the cores of a piece; None where there is one core."""
    of_cores = piece.run.cores
    return None if of_cores is None else CoreNumbers(run.design, piece.run.named, of_cores.start)


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
        rows = most - len(spans) + _most_rows(piece, here[0] - since)
        logs, complete = log_of(recorded(run.design, piece.run), piece.run.named, since, here[1], rows)
        numbers = _numbers_of(run, piece)
        for core, log in enumerate(logs):
            own = core if core < len(logs) - 1 else -1
            found = LogReading(run.design, piece, since, complete, own, numbers).spans(log.tolist())
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
    idle, tile = CAUSES[IDLE], piece.before.tiles
    architecture = run.design.machine.architecture
    resting: list[str] = []
    for array in architecture.arrays:
        names = architecture.names_in_cores(array.name)
        at_work = len(names) if piece.run.cores is not None else 1
        resting += names[at_work:] if array.name in working else names
    return [Span(name, "stall", idle, start, end, tile) for name in resting if end > start]


def _unplaced(run: _TimedRun, first: int, last: int) -> list[Span]:
    """Transfers of tiles that stay for whole runs of nests: counted between runs, all shown after the last one."""
    placed = run.sequence.total.cycles
    if last <= placed:
        return []
    start, root = max(first, placed), run.design.machine.architecture.root.name
    arrays = _arrays(run.design.machine.architecture)
    tiles = run.sequence.total.tiles
    stalls = [Span(array, "stall", CAUSES[OFF_CHIP], start, last, tiles) for array in arrays]
    return [*stalls, Span(root, "fill", "tiles that stay for whole nests", start, last, tiles)]


def _cut(spans: list[Span], design: CycleDesign, last: int, most: int) -> tuple[tuple[Span, ...], int]:
    """The first spans by start, with everything up to where they end; sorted by track and start."""
    spans.sort(key=lambda span: span.start)
    if len(spans) > most:
        last = min(last, spans[most].start)
    kept = [span.within(0, last) for span in spans if span.start < last]
    order = [*_arrays(design.machine.architecture), *_memories(design.machine.architecture)]
    return tuple(sorted(kept, key=lambda span: (order.index(span.track), span.start, span.kind))), last
