"""Differences between accountings: which metrics change, by how much, for which design."""

from dataclasses import dataclass
from statistics import fmean

from sim.reproduction.points import ReproductionRun

ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Growth:
    """A metric of a design under an accounting over that under the first one, over all workloads."""

    accounting: str
    kernel: str
    metric: str
    design: str
    mean: float
    least: float
    largest: float

    @property
    def changes(self) -> bool:
        return abs(self.least - 1) > ROUNDING or abs(self.largest - 1) > ROUNDING


def growths(run: ReproductionRun) -> tuple[Growth, ...]:
    """For every metric except those of single operations, in every kernel, for every accounting after the first."""
    reproduction = run.reproduction
    first = reproduction.accountings[0].name
    found = []
    for accounting in reproduction.accountings[1:]:
        for kernel in reproduction.kernels:
            for metric in reproduction.metrics_of(kernel.name):
                if metric.operation is None:
                    names = (accounting.name, kernel.name, metric.name)
                    found += [_growth(run, first, names, design.name) for design in reproduction.designs]
    return tuple(found)


def _growth(run: ReproductionRun, first: str, names: tuple[str, str, str], design: str) -> Growth:
    accounting, kernel, metric = names
    ratios = []
    for workload in run.workloads:
        before = run.point(first, kernel, design, workload).value(metric)
        after = run.point(accounting, kernel, design, workload).value(metric)
        ratios.append(after / before if before else 1.0)
    return Growth(accounting, kernel, metric, design, fmean(ratios), min(ratios), max(ratios))
