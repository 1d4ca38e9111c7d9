"""A close look at the best designs of a sweep: speedup and energy at equal area, breakdowns of energy and time.

Series that differ in what runs (mappings, cascades) are compared on one machine, with all axes that change it held.
Data that a sweep does not record comes from results of `simulate` on the same points, by their rows.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from sim.explore.points import Point
from sim.report.parts.workloads import Workload
from sim.report.sweep.data import Held, Study, StudyAxis
from sim.simulation.result import SimulationResult

MOST_DESIGNS, MOST_WORKLOADS = 12, 16


@dataclass(frozen=True, slots=True)
class CompareData:
    """Best designs of each series at each workload, relative to those of the first series."""

    series: tuple[str, ...]
    workloads: tuple[Workload, ...]
    speedup: np.ndarray  # f8[workload, series]; nan: no legal design
    energy: np.ndarray
    area_ratios: tuple[float, float]  # least and largest, relative to the first series; nan: area unknown
    held: Held


@dataclass(frozen=True, slots=True)
class ShownDesign:
    """One design that is looked at closely."""

    label: str
    point: Point
    result: SimulationResult


def machine_axes(study: Study) -> tuple[StudyAxis, ...]:
    """Axes with more than one value that are neither workload nor series."""
    return tuple(a for a in study.axes if not a.is_workload and a != study.series and len(a.values) > 1)


def is_of_one_machine(study: Study) -> bool:
    """Whether series differ in what runs (mapping, cascade) instead of in the machine."""
    paths = study.series.paths if study.series else ()
    return bool(paths) and not any(path.startswith("architecture") for path in paths)


def compare_data(study: Study) -> CompareData | None:
    """None unless axes set mappings or cascades (the series) and workloads, and time and energy are known."""
    series, values = study.series, study.points.contents.values
    if series is None or not is_of_one_machine(study) or not study.workload_axes:
        return None
    if not {"latency_s", "energy_pj"} <= set(values):
        return None
    held: Held = tuple((axis.name, axis.middle) for axis in machine_axes(study))
    rows = np.flatnonzero(study.where(held) & study.points.is_legal)
    workloads = workloads_of(study)
    time, energy, area = (np.full((len(workloads), len(series.values)), np.nan) for _ in range(3))
    for row in rows:
        point = study.points.at(int(row))
        place = workloads.get(workload_of(study, point))
        if place is None:
            continue
        s = series.values.index(point.axis(series.name))
        if not point.value("latency_s") >= time[place, s]:
            time[place, s], energy[place, s] = point.value("latency_s"), point.value("energy_pj")
            area[place, s] = dict(point.values).get("area_um2", np.nan)
    known = ~np.isnan(time).any(axis=1)
    if not known.any():
        return None
    kept = tuple(workload for workload, place in workloads.items() if known[place])
    speedup, relative = (time[:, :1] / time)[known], (energy / energy[:, :1])[known]
    labels = tuple(series.shown(value) for value in series.values)
    return CompareData(labels, kept, speedup, relative, ratios_of(area[known]), held)


def ratios_of(area: np.ndarray) -> tuple[float, float]:
    """The least and the largest ratio of `area: f8[workload, series]` to the first series."""
    ratios = area / area[:, :1]
    return float(ratios.min()), float(ratios.max())


def workload_of(study: Study, point: Point) -> Workload:
    """Model and length; a batch that varies is part of the model's name."""
    settings = study.labels | dict(point.settings)
    varies = [axis for axis in study.workload_axes if axis.paths == ("batch",)]
    model = str(settings.get("model", "")) + "".join(f", batch {point.axis(axis.name)}" for axis in varies)
    return model, int(settings.get("seq_len", 0))


def workloads_of(study: Study) -> dict[Workload, int]:
    """Every workload's index, by model and then by length; an even selection if there are many."""
    kind = np.zeros(len(study.points), np.int64)
    for axis in study.workload_axes:
        kind = kind * len(axis.values) + study.index(axis.name)
    firsts = np.sort(np.unique(kind, return_index=True)[1])
    found = dict.fromkeys(workload_of(study, study.points.at(i)) for i in firsts.tolist())
    models = list(dict.fromkeys(model for model, _ in found))
    ordered = sorted(found, key=lambda workload: (models.index(workload[0]), workload[1]))
    places = np.unique(np.linspace(0, len(ordered) - 1, min(len(ordered), MOST_WORKLOADS)).round().astype(int))
    return {ordered[place]: i for i, place in enumerate(places)}


def best_rows(study: Study) -> tuple[tuple[tuple[str, int], ...], Held]:
    """For each series the row of the design with the best first objective, ties by the next; and the held axes.

    Series that run on one machine are compared on it; otherwise axes are free, except those whose values are not
    compared.
    """
    axes = machine_axes(study) if is_of_one_machine(study) else [a for a in study.per_axes if a != study.series]
    held: Held = tuple((axis.name, axis.middle) for axis in (*study.workload_axes, *axes))
    worth = study.points.objectives
    chosen = study.where(held) & study.points.is_legal & ~np.isnan(worth).any(axis=1)
    axis = study.series
    groups = [("best", chosen)]
    if axis is not None:
        index = study.index(axis.name)
        groups = [(axis.shown(value), chosen & (index == i)) for i, value in enumerate(axis.values)]
    found = []
    for label, own in groups[:MOST_DESIGNS]:
        rows = np.flatnonzero(own)
        if rows.size:
            found.append((label, int(rows[np.lexsort(worth[rows].T[::-1])[0]])))
    return tuple(found), held


def best_designs(study: Study, results: Mapping[int, SimulationResult]) -> tuple[tuple[ShownDesign, ...], Held]:
    """The designs of `best_rows` whose results are known."""
    rows, held = best_rows(study)
    return tuple(ShownDesign(label, study.points.at(row), results[row]) for label, row in rows if row in results), held


def details_of(result: SimulationResult) -> dict[str, float]:
    """The energy of each component and the busy time of each Einsum on its array, by label; zeros are left out."""
    energy = [(f"{name} energy (J)", value * 1e-12) for name, value in result.energy_by_component_pj.items()]
    traffic = [(f"{name} traffic (GB)", sum(both.values()) * 1e-9) for name, both in result.traffic_bytes.items()]
    area = [(f"{name} area (mm²)", value * 1e-6) for name, value in result.area_by_component_um2.items()]
    busy = [
        (f"{array} busy with {einsum} (share)", share)
        for array, by_einsum in result.utilization_by_einsum.items()
        for einsum, share in by_einsum.items()
    ]
    return {label: value for label, value in (*energy, *traffic, *busy, *area) if value}
