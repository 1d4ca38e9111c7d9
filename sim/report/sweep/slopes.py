"""Buffer size against traffic: the least that points of each size move, and the least that their cascades allow."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

from sim.explore.least_traffic import least_traffic, on_chip_bytes, size_bytes
from sim.report.sweep.data import Held, Slope, SlopeData, Study, buffer_axis, panel_values, series_of
from sim.simulation.result import SimulationResult


class _Series(NamedTuple):
    """The points of one line: for each size the row of the point that moves least."""

    label: str
    rows: tuple[int, ...]


class _Panel(NamedTuple):
    title: str
    series: tuple[_Series, ...]


class _Chosen(NamedTuple):
    """Everything that is drawn, as rows."""

    memory: str
    traffic: str
    panels: tuple[_Panel, ...]
    held: Held


def slope_rows(study: Study) -> tuple[int, ...]:
    """The rows whose designs `slope_data` needs."""
    chosen = _chosen(study)
    return () if chosen is None else tuple(row for panel in chosen.panels for one in panel.series for row in one.rows)


def slope_data(study: Study, results: Mapping[int, SimulationResult]) -> SlopeData | None:
    """Least traffic at each size, a panel for each of some lengths; None if no axis varies a memory's size.

    `results` by row; a series with a missing result is not drawn.
    """
    chosen = _chosen(study)
    if chosen is None:
        return None
    panels = tuple(
        (
            panel.title,
            tuple(_slope(study, chosen, one, results) for one in panel.series if results.keys() >= set(one.rows)),
        )
        for panel in chosen.panels
    )
    if not any(slopes for _, slopes in panels):
        return None
    return SlopeData(chosen.memory, chosen.traffic.partition(".")[2], panels, chosen.held)


def _chosen(study: Study) -> _Chosen | None:
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
        title = f"{lengths.label}: {lengths.shown(value)}" if lengths else ""
        panels.append(_Panel(title, tuple(_iter_series(study, own, traffic))))
    return _Chosen(memory, traffic, tuple(panels), held)


def _iter_series(study: Study, held: Held, traffic: str) -> Iterator[_Series]:
    found = buffer_axis(study)
    assert found is not None, "a slope is drawn over the sizes of a memory"
    size, values = study.index(found[0].name), study.points.column(traffic)
    for label, chosen in series_of(study, study.where(held) & study.points.is_legal):
        by_size = [np.flatnonzero(chosen & (size == i)) for i in range(len(found[0].values))]
        rows = tuple(int(own[np.argmin(values[own])]) for own in by_size if own.size)
        if rows:
            yield _Series(label, rows)


def _slope(study: Study, chosen: _Chosen, series: _Series, results: Mapping[int, SimulationResult]) -> Slope:
    """The least traffic of the chosen points at each size, and the bound of their cascade."""
    experiments = [results[row].experiment for row in series.rows]
    sizes_bytes = [size_bytes(experiment, chosen.memory) for experiment in experiments]
    bounds = [least_traffic(experiment, np.array([on_chip_bytes(experiment)]))[0] for experiment in experiments]
    moved = study.points.column(chosen.traffic)[list(series.rows)]
    return Slope(series.label, np.array(sizes_bytes), moved, np.array(bounds))
