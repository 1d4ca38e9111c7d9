"""Shipped designs that the points of a sweep may be compared with: they compute the same thing for the same workload.

Each runs on its own machine, as it ships; the sweep's own experiment is one of them, as the sweep starts from it.
"""

from collections.abc import Mapping
from pathlib import Path

from arch.expression import evaluate, parse_expression
from einsums import Cascade
from sim.design.assemble import load_experiment
from sim.design.experiment import Experiment
from sim.load.nouns import CATALOGS
from sim.load.problems import InputError
from sim.report.sweep.data import WORKLOAD, Study
from sim.simulation.flow import IllegalMapping, simulate
from sim.simulation.result import SimulationResult

Values = Mapping[str, float]
START = "start"


def named_designs(study: Study) -> dict[str, Values]:
    """Values by metric of the experiment that the sweep starts from and of those that ship and are comparable, by name.

    At the workload that charts hold. Designs of equal values share one entry; the start has no name of its own where
    the sweep fixes more than the workload.
    """
    fixed = dict(study.meta["fixed"])
    fixed |= {path: axis.middle for axis in study.workload_axes for path in axis.paths}
    workload = {path: value for path, value in fixed.items() if path.partition(".")[0] in (*WORKLOAD, "ranks")}
    start = result_of(study.meta["experiment"], fixed)
    if start is None:
        return {}
    results = {Path(study.meta["experiment"]).stem if workload == fixed else START: start}
    for name in CATALOGS["experiment"].names():
        result = result_of(name, workload)
        if result is not None and is_comparable(result.experiment, start.experiment):
            results.setdefault(name, result)
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


def is_comparable(one: Experiment, other: Experiment) -> bool:
    """Whether both compute the same outputs from the same inputs, of the same sizes, in words of the same width and in
    the same technology node: areas and energies of others say something else."""
    machines = one.architecture, other.architecture
    same_kind = len({(machine.word_bits, machine.node_nm) for machine in machines}) == 1
    return same_kind and _signature(one) == _signature(other)


def _signature(experiment: Experiment) -> tuple[object, ...]:
    cascade, sizes = experiment.cascade, dict(experiment.sizes)
    names = [tensor.name for tensor in cascade.inputs]
    return tuple((name, _shape(cascade, sizes, name)) for name in (*sorted(names), *sorted(cascade.outputs)))


def _shape(cascade: Cascade, sizes: Mapping[str, int], tensor: str) -> frozenset[tuple[str, int | None]]:
    ranks = {cascade.root_of(rank) for rank in cascade.ranks_of(tensor)} | set(cascade.batch)
    return frozenset((rank, sizes.get(rank)) for rank in ranks)


def result_of(name: str, changes: Mapping[str, object]) -> SimulationResult | None:
    """None where the design does not fit the workload, or its file is not at hand."""
    try:
        return simulate(load_experiment(name, dict(changes)))
    except (InputError, IllegalMapping):
        return None


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
