"""Headline numbers: a statistic of a ratio over all points, compared with the published one."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean

from sim.reproduction.parts import Headline
from sim.reproduction.points import ReproductionRun

Key = tuple[str, str, str, str, int]  # kernel, metric, design, model, length


@dataclass(frozen=True, slots=True)
class HeadlineRow:
    """One published number and ours under every accounting, in the order of the accountings."""

    headline: Headline
    values: tuple[float, ...]

    @property
    def agrees(self) -> bool:
        """Whether ours, under the first accounting, rounds to the published number (or reaches a published bound)."""
        ours = round(self.values[0], self.headline.digits)
        return ours >= self.headline.published if self.headline.is_bound else ours == self.headline.published

    @property
    def difference(self) -> float:
        """Relative to the published number."""
        return self.values[0] / self.headline.published - 1


def headline_rows(run: ReproductionRun) -> tuple[HeadlineRow, ...]:
    """Every headline number of a reproduction."""
    accountings = [accounting.name for accounting in run.reproduction.accountings]
    return tuple(
        HeadlineRow(row, tuple(headline_value(run, row, accounting) for accounting in accountings))
        for row in run.reproduction.headline
    )


def headline_value(run: ReproductionRun, row: Headline, accounting: str) -> float:
    """The statistic over the points of one accounting."""
    chosen = [workload for workload in run.workloads if not row.lengths or workload[1] in row.lengths]
    return _statistic(row, [_ratio(run, row, accounting, workload) for workload in chosen])


def _ratio(run: ReproductionRun, row: Headline, accounting: str, workload: tuple[str, int]) -> float:
    of = run.point(accounting, row.of.kernel, row.of.design, workload)
    over = run.point(accounting, row.of.kernel, row.over.design or row.of.design, workload)
    return of.value(row.of.metric) / over.value(row.over.metric or row.of.metric)


def _statistic(row: Headline, ratios: Sequence[float]) -> float:
    value = fmean(ratios) if row.statistic == "mean" else min(ratios)
    return 1 - value if row.is_saving else value


@dataclass(frozen=True, slots=True)
class Subset:
    """A headline number over only those points for which both values were published: theirs and ours."""

    headline: Headline
    count: int
    published: float
    ours: float


def iter_subsets(run: ReproductionRun) -> Iterator[Subset]:
    """The headline numbers that can be computed from published points, if these are not all points."""
    found = {
        (p.kernel, p.metric, p.design, p.model, p.seq_len): p.value
        for p in run.published
        if not p.sweep and not p.einsum
    }
    for row in run.reproduction.headline:
        published, ours = [], []
        for model, length in run.workloads:
            if row.lengths and length not in row.lengths:
                continue
            over = (row.over.metric or row.of.metric, row.over.design or row.of.design)
            both = [
                _published(run, found, (row.of.kernel, metric, design, model, length))
                for metric, design in ((row.of.metric, row.of.design), over)
            ]
            if both[0] is not None and both[1] is not None:
                published.append(both[0] / both[1])
                ours.append(_ratio(run, row, run.reproduction.accountings[0].name, (model, length)))
        if published:
            yield Subset(row, len(published), _statistic(row, published), _statistic(row, ours))


def _published(run: ReproductionRun, found: dict[Key, float], key: Key) -> float | None:
    """A published value, added up for a sum of kernels; designs that run the same experiment share values."""
    kernel, metric, design, model, length = key
    parts = run.reproduction.kernel(kernel).sum_of
    if not parts:
        same = run.reproduction.same_experiment(kernel, design)
        return next((found[k] for d in same if (k := (kernel, metric, d, model, length)) in found), None)
    values = [_published(run, found, (part, metric, design, model, length)) for part in parts]
    return None if None in values else sum(value for value in values if value is not None)


def shown(row: Headline, value: float, more_digits: int = 0) -> str:
    """A headline number as printed: `6.7x`, `79%`; the caller adds the sign of a published bound."""
    digits = row.digits + more_digits
    if row.shown == "times":
        return f"{value:.{digits}f}x"
    return f"{100 * value:.{max(0, digits - 2)}f}%"


def shown_published(row: Headline) -> str:
    """The published number, with the sign of a bound."""
    return ("≥ " if row.is_bound else "") + shown(row, row.published)


def shown_difference(row: HeadlineRow) -> str:
    """Ours against the published number, in percent of it; a bound that holds has none."""
    if row.headline.is_bound and row.difference >= 0:
        return "holds"
    return f"{100 * row.difference:+.1f}%"
