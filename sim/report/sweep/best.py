"""The best designs of a sweep against the one that it starts from, by model and length.

For sweeps over machines only, which have no mappings or cascades to compare. If the sweep holds the area, these are the
best designs of the start's area; otherwise the largest ratio of areas is stated.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from sim.explore.sweep import BASE
from sim.report.parts.workloads import Workload
from sim.report.sweep.breakdown import CompareData, is_of_one_machine, ratios_of, workload_of, workloads_of
from sim.report.sweep.data import Held, Measure, Study
from sim.simulation.result import SimulationResult

MOST_OBJECTIVES = 2


def start_workloads(study: Study) -> dict[Workload, dict[str, Any]]:
    """The workloads at which `best_data` needs the start, each as values by path."""
    return {workload: settings for workload, settings, _ in _iter_workloads(study)} if _applies(study) else {}


def best_data(study: Study, starts: Mapping[Workload, SimulationResult]) -> CompareData | None:
    """None if series differ in what runs, if time, energy or the start are unknown, or if no design is legal."""
    if not _applies(study):
        return None
    places = workloads_of(study)
    objectives = study.objectives[:MOST_OBJECTIVES]
    numbers = np.full((3, len(places), 1 + len(objectives)), np.nan)  # time, energy, area
    for workload, _, own in _iter_workloads(study):
        if workload not in starts:
            continue
        start, place = starts[workload], places[workload]
        numbers[:, place, 0] = start.latency_s, start.energy_pj, start.area_um2
        for i in range(len(objectives)):
            worth = np.roll(study.points.objectives[own], -i, axis=1)  # this objective first, ties by the others
            best = study.points.at(int(own[np.lexsort(worth.T[::-1])[0]]))
            numbers[:, place, 1 + i] = [dict(best.values).get(name, np.nan) for name in _METRICS]
    time, energy, area = numbers
    known = ~np.isnan(time).any(axis=1)
    if not known.any():
        return None
    kept = tuple(workload for workload, place in places.items() if known[place])
    labels = ("start", *(_label(study, one) for one in objectives))
    return CompareData(
        labels, kept, (time[:, :1] / time)[known], (energy / energy[:, :1])[known], ratios_of(area[known]), _held(study)
    )


_METRICS = ("latency_s", "energy_pj", "area_um2")


def _label(study: Study, objective: Measure) -> str:
    words = objective.label.partition(" (")[0]
    return f"{'least' if study.sign(objective.name) > 0 else 'most'} {words[:1].lower()}{words[1:]}"


def _applies(study: Study) -> bool:
    return not is_of_one_machine(study) and {"latency_s", "energy_pj"} <= set(study.points.contents.values)


def _held(study: Study) -> Held:
    return tuple((axis.name, BASE) for axis in study.axes if axis.holds_area and BASE in axis.values)


def _iter_workloads(study: Study) -> Iterator[tuple[Workload, dict[str, Any], np.ndarray]]:
    """Shown workloads with legal designs, each with its settings and the rows of those designs."""
    places = workloads_of(study)
    rows = np.flatnonzero(study.where(_held(study)) & study.points.is_legal)
    kind = np.zeros(rows.size, np.int64)
    for axis in study.workload_axes:
        kind = kind * len(axis.values) + study.index(axis.name)[rows]
    for value in dict.fromkeys(kind.tolist()):
        own = rows[kind == value]
        point = study.points.at(int(own[0]))
        workload = workload_of(study, point)
        if workload in places:
            settings = {path: point.axis(axis.name) for axis in study.workload_axes for path in axis.paths}
            yield workload, settings, own
