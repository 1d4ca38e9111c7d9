"""The answer for a design that may have none: for whoever goes on without it."""

from collections.abc import Mapping
from typing import Any

from sim.design.assemble import load_experiment
from sim.load.problems import InputError
from sim.simulation.flow import IllegalMapping, simulate
from sim.simulation.result import SimulationResult


def result_or_none(name: str, changes: Mapping[str, Any]) -> SimulationResult | None:
    """An experiment by name or path with changes; None where its file is not at hand or it cannot run so."""
    try:
        return simulate(load_experiment(name, dict(changes)))
    except (InputError, IllegalMapping):
        return None
