"""Ours against published, point by point: the difference, and the reason if it exceeds the metric's tolerance."""

from dataclasses import dataclass
from typing import Literal

from sim.reproduction.parts import Explanation
from sim.reproduction.points import ReproductionRun
from sim.reproduction.published import PublishedValue

Verdict = Literal["equal", "explained", "unexplained"]


@dataclass(frozen=True, slots=True)
class ComparedPoint:
    """A published value and ours."""

    published: PublishedValue
    ours: float
    unit: str
    verdict: Verdict
    reason: str

    @property
    def difference(self) -> float:
        """Relative to the published value."""
        return self.ours / self.published.value - 1 if self.published.value else self.ours


def compare(run: ReproductionRun) -> tuple[ComparedPoint, ...]:
    """Every published value with ours under the first accounting, in the order of the published tables."""
    return tuple(_compared(run, value) for value in run.published)


def _compared(run: ReproductionRun, published: PublishedValue) -> ComparedPoint:
    metric = run.reproduction.metric(published.metric)
    ours = _ours(run, published)
    bare = ComparedPoint(published, ours, metric.unit, "equal", "")
    if abs(bare.difference) <= metric.tolerance:
        return bare
    for explanation in run.reproduction.explanations:
        if _explains(explanation, published):
            return ComparedPoint(published, ours, metric.unit, "explained", explanation.reason)
    return ComparedPoint(published, ours, metric.unit, "unexplained", "")


def _ours(run: ReproductionRun, published: PublishedValue) -> float:
    accounting = run.reproduction.accountings[0].name
    if published.sweep:
        points = run.sweep_points(accounting, published.sweep)
        point = next((p for p in points if p.axis_value == published.axis_value), None)
    else:
        workload = (published.model, published.seq_len)
        known = workload in run.workloads
        point = run.point(accounting, published.kernel, published.design, workload) if known else None
    if point is None:
        return float("nan")
    if published.einsum:
        return point.values_by_einsum(published.metric).get(published.einsum, 0.0)
    return point.value(published.metric)


def _explains(explanation: Explanation, published: PublishedValue) -> bool:
    return (
        not published.sweep
        and explanation.kernel == published.kernel
        and explanation.metric == published.metric
        and published.design in explanation.designs
        and published.seq_len in explanation.lengths
    )
