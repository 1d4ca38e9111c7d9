"""The metrics of one result under the names used by sweeps, and objectives that are formulas over them."""

from collections.abc import Mapping, Sequence
from typing import Any

from arch.expression import evaluate, parse_expression
from sim.lower.machine import machine_symbols
from sim.lower.same import Same
from sim.simulation.result import SimulationResult

Values = Mapping[str, float]


def objective_values(result: SimulationResult, objectives: Sequence[Mapping[str, Any]]) -> Values:
    """Metrics of a result, and every objective of a sweep (as stored in its file) whose names are known."""
    values = dict(values_of(result))
    known = {**dict(result.experiment.sizes), **dict(machine_symbols(Same(result.experiment.architecture))), **values}
    for objective in objectives:
        formula = parse_expression(objective.get("formula", objective["label"]))
        if set(formula.names) <= known.keys():
            values[objective["label"]] = float(evaluate(formula, known.__getitem__))
    return values


def values_of(result: SimulationResult) -> Values:
    """The metrics under the names used by sweeps."""
    values = {
        "latency_s": result.latency_s,
        "cycles": float(result.cycles),
        "energy_pj": result.energy_pj,
        "area_um2": result.area_um2,
    }
    values |= {f"energy_pj.{name}": value for name, value in result.energy_by_component_pj.items()}
    values |= {f"leakage_pj.{name}": value for name, value in result.leakage_by_component_pj.items()}
    values |= {f"area_um2.{name}": value for name, value in result.area_by_component_um2.items()}
    values |= {f"traffic_bytes.{name}": float(sum(both.values())) for name, both in result.traffic_bytes.items()}
    values |= {f"{way}_bytes.{name}": float(both[way]) for name, both in result.traffic_bytes.items() for way in both}
    values |= {f"utilization.{name}": value for name, value in result.utilization.items()}
    return values
