"""Every number of a reproduction's figures as rows of `results.csv`.

A figure lists the points that it draws and those that its description adds (`also`). Values are those of the points
themselves, before any division by a baseline, in full precision, so that every ratio can be computed from the file.
"""

import csv
import io
from collections.abc import Iterator
from typing import NamedTuple

from sim.load.cells import plain_cells
from sim.reproduction.parts import Bars, Curve, Figure, Stacks
from sim.reproduction.points import EvaluatedPoint, ReproductionRun


class ResultRow(NamedTuple):
    """One value; `einsum` is empty for a whole kernel."""

    figure: str
    model: str
    seq_len: int
    design: str
    kernel: str
    metric: str
    value: float
    unit: str
    einsum: str
    accounting: str


def iter_rows(run: ReproductionRun) -> Iterator[ResultRow]:
    """The rows of all figures, one accounting after the other."""
    for accounting in run.reproduction.accountings:
        for figure in run.reproduction.figures:
            yield from _rows_of_figure(run, figure, accounting.name)


def _rows_of_figure(run: ReproductionRun, figure: Figure, accounting: str) -> Iterator[ResultRow]:
    match figure:
        case Bars():
            yield from _rows_of_series(run, figure.name, accounting, (figure.kernel, figure.metric))
        case Stacks():
            yield from _rows_by_einsum(run, figure, accounting)
        case Curve():
            for metric in dict.fromkeys((figure.metric, figure.over, *figure.beside)):
                for point in run.sweep_points(accounting, figure.sweep):
                    yield _row(run, figure.name, point, metric)
    for series in figure.also:
        yield from _rows_of_series(run, figure.name, accounting, (series.kernel, series.metric))


def _rows_of_series(run: ReproductionRun, figure: str, accounting: str, series: tuple[str, str]) -> Iterator[ResultRow]:
    kernel, metric = series
    for workload in run.workloads:
        for design in run.reproduction.designs:
            yield _row(run, figure, run.point(accounting, kernel, design.name, workload), metric)


def _rows_by_einsum(run: ReproductionRun, figure: Stacks, accounting: str) -> Iterator[ResultRow]:
    for workload in run.workloads:
        for design in figure.designs:
            point = run.point(accounting, figure.kernel, design, workload)
            whole = _row(run, figure.name, point, figure.metric)
            for einsum, value in point.values_by_einsum(figure.metric).items():
                yield whole._replace(value=value, einsum=einsum)


def _row(run: ReproductionRun, figure: str, point: EvaluatedPoint, metric: str) -> ResultRow:
    design = point.design if point.axis_value is None else f"{point.design}-{point.axis_value}"
    unit = run.reproduction.metric(metric).unit
    place = (figure, point.model, point.seq_len, design, point.kernel, metric)
    return ResultRow(*place, point.value(metric), unit, "", point.accounting)


def results_csv(run: ReproductionRun) -> str:
    """The text of `results.csv`: the shortest decimals that read back as the same numbers."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(ResultRow._fields)
    writer.writerows(plain_cells(row._replace(value=float(row.value))) for row in iter_rows(run))
    return text.getvalue()
