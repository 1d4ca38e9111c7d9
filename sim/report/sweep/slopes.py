"""Buffer size against traffic, and the least traffic that the passes of a cascade leave possible.

A tile of p queries shares each traversal of a rank: what runs along the rank but not along the queries (K, V) is read
u = P/p times. What a pass revisits, f bytes for each query, must wait for the end of the pass before: what does not fit
in the B bytes on chip is written and read again. With s bytes of state for each query, u is at least P s / B, and

    traffic >= rest + u (K + V) + sum over forced passes of 2 max(0, P f - u B),

linear between its breakpoints, so that its least value stands at one of them. Queries are the outer loop; nothing is
computed twice.
"""

from dataclasses import dataclass
from math import prod

import numpy as np

from einsums import Cascade, PassAnalysis, analyse_passes
from sim.design.assemble import load_experiment
from sim.design.experiment import Experiment
from sim.explore.points import Point
from sim.load.problems import InputError
from sim.report.sweep.data import Held, Slope, SlopeData, Study, buffer_axis, panel_values


@dataclass(frozen=True, slots=True)
class Demands:
    """Bytes of one element of the batch: what a cascade moves at least, by why it moves."""

    batch: int
    rest: float  # once, whatever the buffer
    streamed: float  # once for each tile of queries
    state: float  # all queries together
    revisited: tuple[float, ...]  # for each forced pass, all queries together


def least_traffic(experiment: Experiment, on_chip_bytes: np.ndarray) -> np.ndarray:
    """f8[size]: bytes to and from the outermost memory that no schedule of the cascade avoids."""
    found = [_least(_demands(experiment, analysis), on_chip_bytes) for analysis in _analyses(experiment.cascade)]
    return np.max(found, axis=0)


def _analyses(cascade: Cascade) -> list[PassAnalysis]:
    kept = {rank for name in cascade.outputs for rank in cascade.ranks_of(name)}
    ranks = [rank.name for rank in cascade.ranks if rank.name not in cascade.batch and rank.name not in kept]
    return [analyse_passes(cascade, rank) for rank in ranks] or [analyse_passes(cascade, cascade.ranks[0].name)]


def _least(needed: Demands, on_chip_bytes: np.ndarray) -> np.ndarray:
    room = np.maximum(on_chip_bytes, 1.0)
    lowest = np.maximum(1.0, needed.state / room)
    candidates = [lowest, *(np.maximum(lowest, fiber / room) for fiber in needed.revisited)]
    totals = [
        u * needed.streamed + sum(2 * np.maximum(0.0, fiber - u * room) for fiber in needed.revisited)
        for u in candidates
    ]
    return needed.batch * (needed.rest + np.min(totals, axis=0))


def _demands(experiment: Experiment, analysis: PassAnalysis) -> Demands:
    cascade, sizes = experiment.cascade, dict(experiment.sizes)
    word = experiment.architecture.word_bits / 8
    batch = [rank for rank in cascade.batch if rank in sizes]

    def roots(tensor: str) -> set[str]:
        return {cascade.root_of(rank) for rank in cascade.ranks_of(tensor)} - set(batch)

    def size(ranks: set[str]) -> float:
        return word * prod(sizes[rank] for rank in ranks)

    outside = [*(tensor.name for tensor in cascade.inputs), *cascade.outputs]
    queries = set.intersection(*(roots(name) for name in cascade.outputs)) - {analysis.rank}
    queries &= {rank for tensor in cascade.inputs for rank in roots(tensor.name)}
    queries -= {r for t in cascade.inputs if analysis.rank in roots(t.name) for r in roots(t.name)}
    along = [name for name in outside if analysis.rank in roots(name) and not roots(name) & queries]
    resident = [name for name in outside if roots(name) & queries and analysis.rank not in roots(name)]
    intermediate = {einsum.output.tensor for einsum in cascade.einsums}
    revisited = [[n for n in forced.revisits if n in intermediate] for forced in analysis.forced_by]
    return Demands(
        prod(sizes[rank] for rank in batch),
        sum(size(roots(name)) for name in outside if name not in along),
        sum(size(roots(name)) for name in along),
        max((size(roots(name)) for name in resident), default=0.0),
        tuple(sum(size(roots(name)) for name in names) for names in revisited),
    )


def slope_data(study: Study) -> SlopeData | None:
    """Least traffic at each size, a panel for each of some lengths; None where no axis varies a memory's size."""
    found = buffer_axis(study)
    traffic = next((name for name in study.points.contents.values if name.startswith("traffic_bytes.")), None)
    if found is None or traffic is None or not study.points.is_legal.any():
        return None
    axis, memory = found
    lengths = next((a for a in reversed(study.workload_axes)), None)
    held: Held = tuple((a.name, a.middle) for a in (*study.workload_axes, *study.per_axes) if a not in (lengths, axis))
    if study.series is not None:
        held = tuple(pair for pair in held if pair[0] != study.series.name)
    panels = []
    for value in panel_values(lengths.values) if lengths else (None,):
        own: Held = (*held, (lengths.name, value)) if lengths else held
        slopes = tuple(slope for slope in _iter_slopes(study, own, traffic) if slope is not None)
        panels.append((f"{lengths.label}: {lengths.shown(value)}" if lengths else "", slopes))
    if not any(slopes for _, slopes in panels):
        return None
    return SlopeData(memory, traffic.partition(".")[2], tuple(panels), held)


def _iter_slopes(study: Study, held: Held, traffic: str) -> list[Slope | None]:
    chosen = study.where(held) & study.points.is_legal
    if study.series is None:
        return [_slope(study, "designs", chosen, traffic)]
    index = study.index(study.series.name)
    return [
        _slope(study, study.series.shown(value), chosen & (index == i), traffic)
        for i, value in enumerate(study.series.values)
    ]


def _slope(study: Study, label: str, rows: np.ndarray, traffic: str) -> Slope | None:
    """The least traffic of the chosen points at each size, and the bound of their cascade."""
    found = buffer_axis(study)
    assert found is not None, "a slope is drawn over the sizes of a memory"
    axis, memory = found
    if not rows.any():
        return None
    index, values = study.index(axis.name), study.points.column(traffic)
    sizes: list[float] = []
    least: list[float] = []
    bound: list[float] = []
    for i in range(len(axis.values)):
        own = np.flatnonzero(rows & (index == i))
        if not own.size:
            continue
        best = own[np.argmin(values[own])]
        experiment = experiment_at(study.points.at(int(best)))
        if experiment is None:
            return None
        size = experiment.architecture.memory(memory).size_bits
        sizes.append((size or np.nan) / 8)
        least.append(float(values[best]))
        bound.append(float(least_traffic(experiment, np.array([on_chip_bytes(experiment)]))[0]))
    return Slope(label, np.array(sizes), np.array(least), np.array(bound))


def on_chip_bytes(experiment: Experiment) -> float:
    """All memory but the outermost; what is declared without a size passes data on and holds none."""
    machine = experiment.architecture
    inner = [memory for memory in machine.memories if memory.name != machine.root.name]
    return sum((memory.size_bits or 0.0) / 8 * machine.instances(memory) for memory in inner)


def experiment_at(point: Point) -> Experiment | None:
    """The design point; None where the file that it starts from is not at hand."""
    try:
        return load_experiment(point.experiment, dict(point.settings))
    except InputError:
        return None
