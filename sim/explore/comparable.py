"""Shipped designs that the points of a sweep may be compared with: they compute the same for the same workload."""

from collections.abc import Mapping
from typing import Any

from einsums.types import Cascade
from sim.design.experiment import Experiment
from sim.load.nouns import CATALOGS
from sim.simulation.result import SimulationResult
from sim.simulation.trying import result_or_none


def comparable_designs(start: Experiment, workload: Mapping[str, Any]) -> dict[str, SimulationResult]:
    """By name, every shipped experiment that computes what `start` does, on its own machine at a workload."""
    results = {name: result_or_none(name, workload) for name in CATALOGS["experiment"].names()}
    return {
        name: result
        for name, result in results.items()
        if result is not None and is_comparable(result.experiment, start)
    }


def is_comparable(one: Experiment, other: Experiment) -> bool:
    """Whether both compute the same outputs from the same inputs, of the same sizes, in words of the same width and in
    the same technology node; otherwise areas and energies are not comparable."""
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
