"""The data of a figure: the numbers behind every bar, stack and curve, for the plots and the tables next to them."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from sim.report.parts.workloads import Workload
from sim.reproduction.parts import Bars, Curve, Stacks
from sim.reproduction.points import ReproductionRun


@dataclass(frozen=True, slots=True)
class BarData:
    """Values of every design at every workload, and their arithmetic means over workloads."""

    designs: tuple[str, ...]
    workloads: tuple[Workload, ...]
    values: tuple[tuple[float, ...], ...]  # [workload][design]
    means: tuple[float, ...]
    published: tuple[tuple[float | None, ...], ...]  # as `values`, None if nothing was published


@dataclass(frozen=True, slots=True)
class StackData:
    """As `BarData`, each value the sum of parts."""

    designs: tuple[str, ...]
    workloads: tuple[Workload, ...]
    parts: tuple[str, ...]  # Einsums, in the order in which they are stacked
    values: tuple[tuple[tuple[float, ...], ...], ...]  # [workload][design][part]
    means: tuple[tuple[float, ...], ...]  # [design][part]


@dataclass(frozen=True, slots=True)
class CurveData:
    """One metric over another along an axis."""

    label: str  # the design that the axis varies
    axis_label: str
    points: tuple[str, ...]  # the axis values as they are shown
    x: tuple[float, ...]
    y: tuple[float, ...]
    published: tuple[tuple[float, float], ...]


def bar_data(run: ReproductionRun, figure: Bars, accounting: str) -> BarData:
    """Values as drawn: divided by, or dividing, those of the design that the figure compares with."""
    designs = tuple(design.name for design in run.reproduction.designs)
    found = {
        (p.model, p.seq_len, p.design): p.value
        for p in run.published
        if (p.kernel, p.sweep, p.metric, p.einsum) == (figure.kernel, "", figure.metric, "")
    }
    rows, published = [], []
    for workload in run.workloads:
        points = [run.point(accounting, figure.kernel, name, workload) for name in designs]
        rows.append(_compared(figure, designs, [point.value(figure.metric) for point in points]))
        published.append(_compared(figure, designs, [found.get((*workload, name)) for name in designs]))
    values = tuple(tuple(value for value in row if value is not None) for row in rows)
    means = tuple(fmean(row[d] for row in values) for d in range(len(designs)))
    return BarData(designs, run.workloads, values, means, tuple(published))


def _compared(figure: Bars, designs: tuple[str, ...], values: Sequence[float | None]) -> tuple[float | None, ...]:
    if figure.relative_to is None:
        return tuple(values)
    base = values[designs.index(figure.relative_to.design)]
    if base is None:
        return tuple(None for _ in values)
    is_speedup = figure.relative_to.shown == "speedup"
    return tuple(None if value is None else base / value if is_speedup else value / base for value in values)


def stack_data(run: ReproductionRun, figure: Stacks, accounting: str) -> StackData:
    """Shares of every Einsum; those of designs that lack one are zero."""
    found = {
        (workload, design): run.point(accounting, figure.kernel, design, workload).values_by_einsum(figure.metric)
        for workload in run.workloads
        for design in figure.designs
    }
    parts = tuple(dict.fromkeys(einsum for shares in found.values() for einsum in shares))
    rows = tuple(
        tuple(tuple(found[w, design].get(part, 0.0) for part in parts) for design in figure.designs)
        for w in run.workloads
    )
    means = tuple(
        tuple(fmean(row[d][p] for row in rows) for p in range(len(parts))) for d in range(len(figure.designs))
    )
    return StackData(figure.designs, run.workloads, parts, rows, means)


def curve_data(run: ReproductionRun, figure: Curve, accounting: str) -> CurveData:
    """Both metrics along the axis."""
    points = run.sweep_points(accounting, figure.sweep)
    sweep = run.reproduction.sweep(figure.sweep)
    x, y = (tuple(point.value(metric) for point in points) for metric in (figure.over, figure.metric))
    found = {(p.axis_value, p.metric): p.value for p in run.published if p.sweep == figure.sweep}
    both = [(found.get((value, figure.over)), found.get((value, figure.metric))) for value in sweep.axis.values]
    published = tuple((a, b) for a, b in both if a is not None and b is not None)
    shown = tuple(sweep.axis.shown.replace("{}", str(value)) for value in sweep.axis.values)
    return CurveData(run.reproduction.design(sweep.design).label, sweep.axis.label, shown, x, y, published)
