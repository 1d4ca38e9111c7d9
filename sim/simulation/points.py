"""How many points of each Einsum exist, and how many a mapping executes, where a cascade has conditions."""

from collections.abc import Iterable
from typing import Any, NamedTuple

from einsums.existing import existing_points
from einsums.workload import Workload
from sim.design.experiment import Experiment


class EinsumPoints(NamedTuple):
    """Points of one Einsum in a whole run. `existing` is None where data decide and no density is declared."""

    existing: int | None
    executed: float
    is_estimate: bool

    def to_json(self) -> dict[str, Any]:
        """Plain data; `estimate` where a density stands for data."""
        return {
            "existing": self.existing,
            "executed": self.executed,
            **({"estimate": True} if self.is_estimate else {}),
        }


def points_by_einsum(experiment: Experiment, executed: Iterable[float]) -> dict[str, EinsumPoints]:
    """By Einsum, in the order of the tree; nothing where every point exists."""
    cascade = experiment.cascade
    if cascade.existence.is_plain:
        return {}
    inner = {part: int(experiment.symbols[part]) for partition in cascade.partitions for part in partition.inner}
    sizes = dict(experiment.sizes) | inner
    workload = Workload.model_validate(
        {"cascade": cascade, "bits": int(experiment.architecture.word_bits), "sizes": sizes}
    )
    return {
        leaf.einsum: _points(workload, leaf.einsum, points)
        for leaf, points in zip(experiment.tree.leaves, executed, strict=True)
    }


def _points(workload: Workload, einsum: str, executed: float) -> EinsumPoints:
    try:
        found = existing_points(workload, einsum)
    except ValueError:  # data decide, and nothing says how
        return EinsumPoints(None, executed, False)
    return EinsumPoints(found.points, executed, found.is_estimate)
