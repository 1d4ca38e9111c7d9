"""The metrics of a point, as columns: the numbers of a `SimulationResult`, added up in the same order.

A name is a quantity, or a quantity of one component or Einsum: `energy_pj`, `energy_pj.GLB`, `einsum_energy_pj.AV`.
"""

from collections.abc import Callable

import numpy as np

from sim.design.experiment import Experiment, shape_of
from sim.explore.names import Names
from sim.lower.same import Same
from sim.simulation.measures import Labels, Measures, charged_names

# Quantities that only an engine provides; the others follow from the machine.
OF_RUN = ("latency_s", "cycles", "energy_pj", "traffic_bytes", "read_bytes", "write_bytes")
ENGINE = (*OF_RUN, "leakage_pj", "einsum_energy_pj", "utilization", "footprint_bytes", "spilled")
OF_MEMORIES = ("traffic_bytes", "read_bytes", "write_bytes", "footprint_bytes", "spilled")


def metric_names(experiment: Experiment) -> tuple[str, ...]:
    """Every metric of the points of an experiment."""
    machine = shape_of(Same(experiment.architecture))
    return (
        *("latency_s", "cycles", "energy_pj", "leakage_pj", "area_um2"),
        *(f"{quantity}.{name}" for quantity in ("energy_pj", "leakage_pj") for name in charged_names(machine)),
        *(f"einsum_energy_pj.{einsum.name}" for einsum in experiment.cascade.einsums),
        *(f"area_um2.{name}" for name in machine.components),
        *(f"{quantity}.{name}" for quantity in OF_MEMORIES for name in machine.memories),
        *(f"utilization.{name}" for name in machine.arrays),
    )


def define_metrics(names: Names, labels: Labels, found: Measures[np.ndarray]) -> None:
    """Lets formulas read the results of an engine: f8[design] each."""
    names.define("cycles", lambda: found.latency_cycles)
    names.define("latency_s", lambda: found.latency_s)
    for quantity, columns in (("energy_pj", found.energy_pj), ("leakage_pj", found.leakage_pj)):
        names.define(quantity, _sum(columns))
        _define(names, quantity, labels.charged, columns)
    _define(names, "einsum_energy_pj", labels.einsums, found.einsum_pj)
    _define(names, "traffic_bytes", labels.memories, found.read_bytes + found.write_bytes)
    _define(names, "read_bytes", labels.memories, found.read_bytes)
    _define(names, "write_bytes", labels.memories, found.write_bytes)
    _define(names, "footprint_bytes", labels.memories, found.footprint_bytes)
    _define(names, "spilled", labels.memories, found.spilled)
    _define(names, "utilization", labels.arrays, found.array_utilization)


def _define(names: Names, quantity: str, parts: tuple[str, ...], columns: np.ndarray) -> None:
    for i, part in enumerate(parts):
        names.define(f"{quantity}.{part}", _column(columns, i))


def _column(columns: np.ndarray, index: int) -> Callable[[], np.ndarray]:
    return lambda: columns[:, index]


def _sum(columns: np.ndarray) -> Callable[[], np.ndarray]:
    return lambda: added(list(columns.T))


def added(columns: list[np.ndarray]) -> np.ndarray:
    """The sum from first to last, as a result adds its parts."""
    total = np.zeros(columns[0].shape)
    for column in columns:
        total = total + column
    return total
