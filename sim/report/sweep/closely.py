"""Designs for which charts and page show more than a sweep records: which ones, and their results."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sim.report.parts.workloads import Workload
from sim.report.sweep.best import start_workloads
from sim.report.sweep.breakdown import best_rows
from sim.report.sweep.data import Study
from sim.report.sweep.named import start_settings, workload_settings
from sim.report.sweep.rows import detailed_rows, shown_rows
from sim.report.sweep.slopes import slope_rows
from sim.simulation.result import SimulationResult

Settings = Mapping[str, Any]  # by path of the experiment


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to simulate for the charts and the page of a sweep."""

    rows: tuple[int, ...]  # of its points, ascending
    starts: Mapping[Workload, Settings]  # the experiment that it starts from, at workloads
    start: Settings  # the same at the workload that charts hold
    workload: Settings  # of shipped designs that are compared with it


@dataclass(frozen=True, slots=True)
class Closely:
    """The available results of the designs wanted."""

    results: Mapping[int, SimulationResult] = field(default_factory=dict)  # by row
    starts: Mapping[Workload, SimulationResult] = field(default_factory=dict)
    start: SimulationResult | None = None
    shipped: Mapping[str, SimulationResult] = field(default_factory=dict)  # comparable ones, by name


def wanted_of(study: Study) -> Wanted:
    """Every design that a chart or the page shows in detail."""
    detailed = detailed_rows(study.points, shown_rows(study.points)).tolist()
    rows = {*detailed, *slope_rows(study), *(row for _, row in best_rows(study)[0])}
    return Wanted(tuple(sorted(rows)), start_workloads(study), start_settings(study), workload_settings(study))
