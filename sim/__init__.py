"""Simulation: load what a user wrote, lower it to tables, let an engine count and time it, give the answer names.

`load_experiment` and its siblings are the only door to YAML; `simulate` answers for one design point, `simulate_all`
for many at once. Reports read results only.
"""

from sim import _own_rooms  # noqa: F401 (first: it refuses strangers)
from sim.design.assemble import load_experiment
from sim.design.experiment import Experiment
from sim.explore.run import Options as SweepOptions
from sim.explore.run import SweepResult, sweep
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
