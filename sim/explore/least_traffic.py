"""The least traffic that the passes of a cascade allow, whatever the mapping.

A tile of p queries shares each traversal of a rank: tensors that run along the rank but not along the queries (K, V)
are read u = P/p times. Data that a pass revisits, f bytes per query, must wait for the end of the previous pass: the
part that does not fit in the B bytes on chip is written and read again. With s bytes of state per query, u is at least
P s / B, and

    traffic >= rest + u (K + V) + sum over forced passes of 2 max(0, P f - u B),

which is linear between its breakpoints, so that the minimum is at one of them. Queries are the outer loop; nothing is
computed twice.
"""

from dataclasses import dataclass
from functools import lru_cache
from math import prod

import numpy as np

from einsums.passes import PassAnalysis, analyse_passes
from einsums.types import Cascade
from sim.design.experiment import Experiment
from sim.lower.machine import Machines, machine_symbols
from sim.lower.same import Same


@dataclass(frozen=True, slots=True)
class TrafficDemands:
    """The least bytes that a cascade moves for one element of the batch, by reason."""

    batch: int
    rest: float  # once, whatever the buffer
    streamed: float  # once for each tile of queries
    state: float  # all queries together
    revisited: tuple[float, ...]  # for each forced pass, all queries together


def least_traffic(experiment: Experiment, on_chip_bytes: np.ndarray) -> np.ndarray:
    """f8[size]: bytes to and from the outermost memory that no schedule of the cascade can avoid."""
    analyses = _analyses(Same(experiment.cascade))
    found = [_least(_demands(experiment, analysis), on_chip_bytes) for analysis in analyses]
    return np.max(found, axis=0)


@lru_cache(maxsize=64)
def _analyses(same: Same[Cascade]) -> tuple[PassAnalysis, ...]:
    cascade = same.noun
    kept = {rank for name in cascade.outputs for rank in cascade.ranks_of(name)}
    ranks = [rank.name for rank in cascade.ranks if rank.name not in cascade.batch and rank.name not in kept]
    return tuple(analyse_passes(cascade, rank) for rank in ranks or [cascade.ranks[0].name])


def _least(needed: TrafficDemands, on_chip_bytes: np.ndarray) -> np.ndarray:
    room = np.maximum(on_chip_bytes, 1.0)
    lowest = np.maximum(1.0, needed.state / room)
    candidates = [lowest, *(np.maximum(lowest, fiber / room) for fiber in needed.revisited)]
    totals = [
        u * needed.streamed + sum(2 * np.maximum(0.0, fiber - u * room) for fiber in needed.revisited)
        for u in candidates
    ]
    return needed.batch * (needed.rest + np.min(totals, axis=0))


def _demands(experiment: Experiment, analysis: PassAnalysis) -> TrafficDemands:
    cascade, sizes = experiment.cascade, dict(experiment.sizes)
    word = dict(machine_symbols(Same(experiment.architecture)))["word_bytes"]
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
    return TrafficDemands(
        prod(sizes[rank] for rank in batch),
        sum(size(roots(name)) for name in outside if name not in along),
        sum(size(roots(name)) for name in along),
        max((size(roots(name)) for name in resident), default=0.0),
        tuple(sum(size(roots(name)) for name in names) for names in revisited),
    )


def size_bytes(experiment: Experiment, memory: str) -> float:
    """Size of one such memory; nan for an unbounded one."""
    return float(dict(machine_symbols(Same(experiment.architecture))).get(f"{memory}.size_bytes", np.nan))


def on_chip_bytes(experiment: Experiment) -> float:
    """All memory except the outermost, over all cores; a memory declared without a size holds no data."""
    machines = Machines.of([experiment.architecture])
    inner = [memory for memory in machines.shape.memories if memory != machines.shape.root]
    held = [float((machines.capacity_bytes(memory) * machines.copies(memory))[0]) for memory in inner]
    return sum(size for size in held if np.isfinite(size))
