"""Simulation: load the user's files, lower them to tables, run an engine that counts and times, and name the results.

`load_experiment` and its siblings are the only way to load YAML; `simulate` evaluates one design point, `simulate_all`
many at once. Reports read only results.

Names are imported on first use, so that using one does not load them all.
"""

from sim import ending  # noqa: F401, I001 (first: it refuses strangers, and heeds signals from then on)

from importlib import import_module
from typing import TYPE_CHECKING, Any


if TYPE_CHECKING:
    from sim.design.assemble import load_experiment
    from sim.design.experiment import Experiment
    from sim.explore.run import SweepOptions, SweepResult, sweep
    from sim.functional.verification import Verification, VerifyOptions, verify
    from sim.load.nouns import load_architecture, load_cascade, load_mapping, load_model
    from sim.load.problems import InputError
    from sim.simulation.flow import IllegalMapping, simulate, simulate_all
    from sim.simulation.result import SimulationResult

__all__ = [
    "Experiment",
    "IllegalMapping",
    "InputError",
    "SimulationResult",
    "SweepOptions",
    "SweepResult",
    "Verification",
    "VerifyOptions",
    "load_architecture",
    "load_cascade",
    "load_experiment",
    "load_mapping",
    "load_model",
    "simulate",
    "simulate_all",
    "sweep",
    "verify",
]

# For each public name its module, and its name there.
_PLACES = {
    "Experiment": ("sim.design.experiment", "Experiment"),
    "IllegalMapping": ("sim.simulation.flow", "IllegalMapping"),
    "InputError": ("sim.load.problems", "InputError"),
    "SimulationResult": ("sim.simulation.result", "SimulationResult"),
    "SweepOptions": ("sim.explore.run", "SweepOptions"),
    "SweepResult": ("sim.explore.run", "SweepResult"),
    "Verification": ("sim.functional.verification", "Verification"),
    "VerifyOptions": ("sim.functional.verification", "VerifyOptions"),
    "load_architecture": ("sim.load.nouns", "load_architecture"),
    "load_cascade": ("sim.load.nouns", "load_cascade"),
    "load_experiment": ("sim.design.assemble", "load_experiment"),
    "load_mapping": ("sim.load.nouns", "load_mapping"),
    "load_model": ("sim.load.nouns", "load_model"),
    "simulate": ("sim.simulation.flow", "simulate"),
    "simulate_all": ("sim.simulation.flow", "simulate_all"),
    "sweep": ("sim.explore.run", "sweep"),
    "verify": ("sim.functional.verification", "verify"),
}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'sim' has no attribute '{name}'")
    module, own_name = _PLACES[name]
    found = globals()[name] = getattr(import_module(module), own_name)
    return found


def __dir__() -> list[str]:
    """The public names, without the modules behind them."""
    return __all__
