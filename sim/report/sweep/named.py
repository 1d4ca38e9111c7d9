"""Named designs among the points of a sweep: the experiment that it starts from, and shipped ones."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sim.explore.result_metrics import Values, objective_values
from sim.explore.sweep import WORKLOAD
from sim.report.sweep.data import Study
from sim.simulation.result import SimulationResult

START = "start"


def start_settings(study: Study) -> dict[str, Any]:
    """Settings of the experiment that the sweep starts from, at the workload that charts hold: values by path."""
    return dict(study.meta["fixed"]) | {path: axis.middle for axis in study.workload_axes for path in axis.paths}


def workload_settings(study: Study) -> dict[str, Any]:
    """The settings that define the workload, which other designs may run too."""
    return {path: value for path, value in start_settings(study).items() if path.partition(".")[0] in WORKLOAD}


def named_designs(
    study: Study, start: SimulationResult | None, shipped: Mapping[str, SimulationResult]
) -> dict[str, Values]:
    """Values by metric of the experiment that the sweep starts from and of shipped ones that are comparable, by name.

    Designs with equal values share one entry; the start has no name of its own if the sweep fixes more than the
    workload.
    """
    if start is None:
        return {}
    is_itself = start_settings(study) == workload_settings(study)
    own_name = Path(study.meta["experiment"]).stem if is_itself else START
    results = {own_name: start} | {name: result for name, result in shipped.items() if name != own_name}
    merged: dict[tuple[tuple[str, float], ...], list[str]] = {}
    for name, result in results.items():
        merged.setdefault(tuple(sorted(objective_values(result, study.meta["objectives"]).items())), []).append(name)
    return {", ".join(sorted(names, key=START.__eq__)): dict(values) for values, names in merged.items()}
