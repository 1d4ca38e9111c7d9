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
    bandwidth_bytes_per_s: float  # of the outermost memory, or of its slower direction


def roof_of(label: str, result: SimulationResult) -> Roof | None:
    """The largest array's work against the outermost memory's traffic; None if either has no limit or no work. Where
    directions have bandwidths of their own, the label names the one that takes longer.
    """
    machine = result.experiment.architecture
    root = machine.root
    array = max(machine.arrays, key=lambda one: one.pes)
    numbers = Machines.of([machine])
    peak = float(numbers.number(array.name, "pes")[0]) * machine.clock_hz
    traffic, reached = result.traffic_bytes[root.name], result.utilization[array.name] * peak
    links = {"": sum(traffic.values()), "read": traffic["read"], "write": traffic["write"]}
    rates = {link: float(numbers.bandwidth_bytes_per_s(root.name, link)[0]) for link in links}
    slowest = max(links, key=lambda link: links[link] / rates[link])
    if not np.isfinite(rates[slowest]) or not links[slowest] or not reached:
        return None
    named = f"{label} ({slowest}s)" if slowest else label
    return Roof(named, reached * result.latency_s / links[slowest], reached, peak, rates[slowest])
