"""Designs with names among the points of a sweep: the experiment that it starts from, and those that ship."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from arch.expression import evaluate, parse_expression
from sim.explore.sweep import WORKLOAD
from sim.report.sweep.data import Study
from sim.simulation.result import SimulationResult

Values = Mapping[str, float]
START = "start"


def start_settings(study: Study) -> dict[str, Any]:
    """What is set of the experiment that the sweep starts from, at the workload that charts hold: values by path."""
    return dict(study.meta["fixed"]) | {path: axis.middle for axis in study.workload_axes for path in axis.paths}


def workload_settings(study: Study) -> dict[str, Any]:
    """Those of them that say the workload, which other designs may run too."""
    return {path: value for path, value in start_settings(study).items() if path.partition(".")[0] in WORKLOAD}


def named_designs(
    study: Study, start: SimulationResult | None, shipped: Mapping[str, SimulationResult]
) -> dict[str, Values]:
    """Values by metric of the experiment that the sweep starts from and of shipped ones that are comparable, by name.

    Designs of equal values share one entry; the start has no name of its own where the sweep fixes more than the
    workload.
    """
    if start is None:
        return {}
    is_itself = start_settings(study) == workload_settings(study)
    results = {Path(study.meta["experiment"]).stem if is_itself else START: start, **shipped}
    merged: dict[tuple[tuple[str, float], ...], list[str]] = {}
    for name, result in results.items():
        merged.setdefault(tuple(sorted(_values(study, result).items())), []).append(name)
    return {", ".join(sorted(names, key=START.__eq__)): dict(values) for values, names in merged.items()}


def _values(study: Study, result: SimulationResult) -> Values:
    """Metrics of a result, and the objectives that are formulas over them."""
    values = dict(values_of(result))
    known = {**dict(result.experiment.sizes), **dict(result.experiment.architecture.symbols()), **values}
    for objective in study.meta["objectives"]:
        formula = parse_expression(objective.get("formula", objective["label"]))
        if set(formula.names) <= known.keys():
            values[objective["label"]] = float(evaluate(formula, known.__getitem__))
    return values


def values_of(result: SimulationResult) -> Values:
    """The metrics that sweeps know by name."""
    values = {
        "latency_s": result.latency_s,
        "cycles": float(result.cycles),
        "energy_pj": result.energy_pj,
        "area_um2": result.area_um2,
    }
    values |= {f"energy_pj.{name}": value for name, value in result.energy_by_component_pj.items()}
    values |= {f"area_um2.{name}": value for name, value in result.area_by_component_um2.items()}
    values |= {f"traffic_bytes.{name}": float(sum(both.values())) for name, both in result.traffic_bytes.items()}
    values |= {f"{way}_bytes.{name}": float(both[way]) for name, both in result.traffic_bytes.items() for way in both}
    values |= {f"utilization.{name}": value for name, value in result.utilization.items()}
    return values
