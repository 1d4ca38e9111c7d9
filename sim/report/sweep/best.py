"""The best designs of a sweep against the one that it starts from, by model and length.

For sweeps over machines alone, which have no mappings or cascades to compare. Where the sweep holds the area, these are
the best of the start's area; else the largest ratio of areas is known and said.
"""

import numpy as np

from sim.explore.points import Point
from sim.explore.sweep import BASE
from sim.report.sweep.breakdown import CompareData, is_of_one_machine, ratios_of, workload_of, workloads_of
from sim.report.sweep.data import Held, Measure, Study
from sim.report.sweep.named import result_of

MOST_OBJECTIVES = 2


def best_data(study: Study) -> CompareData | None:
    """None where series differ in what runs, where time, energy or the start are not known, and where none is legal."""
    if is_of_one_machine(study) or not {"latency_s", "energy_pj"} <= set(study.points.contents.values):
        return None
    held: Held = tuple((axis.name, BASE) for axis in study.axes if axis.holds_area and BASE in axis.values)
    places = workloads_of(study)
    objectives = study.objectives[:MOST_OBJECTIVES]
    numbers = np.full((3, len(places), 1 + len(objectives)), np.nan)  # time, energy, area
    rows = np.flatnonzero(study.where(held) & study.points.is_legal)
    for own in _by_workload(study, rows):
        first = study.points.at(int(own[0]))
        place = places.get(workload_of(study, first))
        start = _start(study, first)
        if place is None or start is None:
            continue
        numbers[:, place, 0] = start
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
        labels, kept, (time[:, :1] / time)[known], (energy / energy[:, :1])[known], ratios_of(area[known]), held
    )


_METRICS = ("latency_s", "energy_pj", "area_um2")


def _label(study: Study, objective: Measure) -> str:
    words = objective.label.partition(" (")[0]
    return f"{'least' if study.sign(objective.name) > 0 else 'most'} {words[:1].lower()}{words[1:]}"


def _by_workload(study: Study, rows: np.ndarray) -> list[np.ndarray]:
    """Rows of each workload, in order of first appearance."""
    kind = np.zeros(rows.size, np.int64)
    for axis in study.workload_axes:
        kind = kind * len(axis.values) + study.index(axis.name)[rows]
    return [rows[kind == value] for value in dict.fromkeys(kind.tolist())]


def _start(study: Study, point: Point) -> tuple[float, float, float] | None:
    """Time, energy and area of the start at the workload of a point."""
    changes = dict(study.meta["fixed"])
    for axis in study.workload_axes:
        changes |= dict.fromkeys(axis.paths, point.axis(axis.name))
    result = result_of(study.meta["experiment"], changes)
    return None if result is None else (result.latency_s, result.energy_pj, result.area_um2)
