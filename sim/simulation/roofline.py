"""A design under the roofs of its machine: the rate that its arrays reach against the outermost memory's traffic."""

from dataclasses import dataclass

import numpy as np

from sim.lower.machine import Machines
from sim.simulation.result import SimulationResult


@dataclass(frozen=True, slots=True)
class Roof:
    """One design under the roofs of its machine."""

    label: str
    intensity: float  # element-cycles of the arrays for each byte of the outermost memory
    reached: float  # element-cycles per second
    peak: float
    bandwidth_bytes_per_s: float


def roof_of(label: str, result: SimulationResult) -> Roof | None:
    """The largest array's work against the outermost memory's traffic; None if either has no limit or no work."""
    machine = result.experiment.architecture
    root = machine.root
    array = max(machine.arrays, key=lambda one: one.pes)
    numbers = Machines.of([machine])
    peak = float(numbers.number(array.name, "pes")[0]) * machine.clock_hz
    bytes_per_s = float(numbers.bandwidth_bytes_per_s(root.name)[0])
    moved = sum(result.traffic_bytes[root.name].values())
    reached = result.utilization[array.name] * peak
    if not np.isfinite(bytes_per_s) or not moved or not reached:
        return None
    return Roof(label, reached * result.latency_s / moved, reached, peak, bytes_per_s)
