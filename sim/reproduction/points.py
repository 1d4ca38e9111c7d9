"""The results of a reproduction: a point for every design, kernel, workload and accounting, and their collection."""

from dataclasses import dataclass
from typing import Any

from sim.reproduction.evaluation import Reproduction
from sim.reproduction.published import PublishedValue


@dataclass(frozen=True, slots=True)
class EvaluatedPoint:
    """One design of one kernel at one workload under one accounting; `axis_value` if it is part of a sweep."""

    accounting: str
    kernel: str
    design: str
    model: str
    seq_len: int
    sweep: str = ""
    axis_value: int | None = None
    experiment: str = ""  # empty for a sum of kernels
    hash: str = ""
    values: tuple[tuple[str, float], ...] = ()
    by_einsum: tuple[tuple[str, tuple[tuple[str, float], ...]], ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def key(self) -> tuple[Any, ...]:
        return (self.accounting, self.kernel, self.design, self.model, self.seq_len, self.sweep, self.axis_value)

    def value(self, metric: str) -> float:
        return dict(self.values)[metric]

    def values_by_einsum(self, metric: str) -> dict[str, float]:
        return dict(dict(self.by_einsum)[metric])


class ReproductionRun:
    """All points of a reproduction, and what was published."""

    def __init__(
        self, reproduction: Reproduction, points: tuple[EvaluatedPoint, ...], published: tuple[PublishedValue, ...]
    ) -> None:
        self.reproduction, self.points, self.published = reproduction, points, published
        self._by_key = {point.key: point for point in points}

    def point(self, accounting: str, kernel: str, design: str, workload: tuple[str, int]) -> EvaluatedPoint:
        """The point at a (model, sequence length)."""
        return self._by_key[(accounting, kernel, design, *workload, "", None)]

    def sweep_points(self, accounting: str, sweep: str) -> tuple[EvaluatedPoint, ...]:
        """The points of a sweep, in the order of its axis."""
        return tuple(p for p in self.points if p.sweep == sweep and p.accounting == accounting)

    @property
    def workloads(self) -> tuple[tuple[str, int], ...]:
        """Every (model, sequence length), model by model."""
        return tuple((model, length) for model in self.reproduction.models for length in self.reproduction.lengths)
