"""The result of a design that may have none, for callers that continue without it."""

from collections.abc import Mapping
from typing import Any

from sim.design.assemble import load_experiment
from sim.load.problems import InputError
from sim.simulation.flow import IllegalMapping, simulate
from sim.simulation.result import SimulationResult


def result_or_none(name: str, changes: Mapping[str, Any]) -> SimulationResult | None:
    """An experiment by name or path with changes; None if its file is not available or it cannot run that way."""
    try:
        return simulate(load_experiment(name, dict(changes)))
    except (InputError, IllegalMapping):
        return None
