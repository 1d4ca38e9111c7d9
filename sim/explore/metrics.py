"""What a point is measured by, as columns: the numbers of a `SimulationResult`, added up in the same order.

A name is a quantity, or a quantity of one component: `energy_pj`, `energy_pj.GLB`.
"""

from collections.abc import Callable

import numpy as np

from arch.types import Architecture
from sim.engine.analytical import Evaluation, sum_by
from sim.engine.columns import LeafColumn
from sim.engine.tables import Tables
from sim.explore.names import Names
from sim.simulation.result import utilizations

# Quantities that only an engine gives; the others follow from the machine.
OF_RUN = ("latency_s", "cycles", "energy_pj", "traffic_bytes", "read_bytes", "write_bytes")
ENGINE = (*OF_RUN, "utilization", "footprint_bytes", "spilled")
OF_MEMORIES = ("traffic_bytes", "read_bytes", "write_bytes", "footprint_bytes", "spilled")


def metric_names(architecture: Architecture) -> tuple[str, ...]:
    """Every metric that points on a machine have."""
    memories = [memory.name for memory in architecture.memories]
    arrays = [array.name for array in architecture.arrays]
    components = [component.name for component in architecture.components]
    return (
        *("latency_s", "cycles", "energy_pj", "area_um2"),
        *(f"energy_pj.{name}" for name in (*memories, *arrays)),
        *(f"area_um2.{name}" for name in components),
        *(f"{quantity}.{name}" for quantity in OF_MEMORIES for name in memories),
        *(f"utilization.{name}" for name in arrays),
    )


def define_metrics(names: Names, architecture: Architecture, tables: Tables, found: Evaluation) -> None:
    """Lets formulas read what an engine found: f8[design] each."""
    memories = [memory.name for memory in architecture.memories]
    arrays = [array.name for array in architecture.arrays]
    array_of_leaf = tables.shape.leaves[:, LeafColumn.ARRAY]
    compute_pj = sum_by(found.compute_pj, array_of_leaf, len(arrays))
    shares = sum_by(utilizations(found, tables), array_of_leaf, len(arrays))
    names.define("cycles", lambda: found.latency_cycles)
    names.define("latency_s", lambda: found.latency_cycles / tables.machine.clock_hz)
    names.define("energy_pj", lambda: added([*found.memory_pj.T, *compute_pj.T]))
    by_memory = {
        "energy_pj": found.memory_pj,
        "read_bytes": found.read_bytes,
        "write_bytes": found.write_bytes,
        "traffic_bytes": found.read_bytes + found.write_bytes,
        "footprint_bytes": found.footprint_bytes,
        "spilled": found.spilled,
    }
    for quantity, columns in by_memory.items():
        for m, memory in enumerate(memories):
            names.define(f"{quantity}.{memory}", _column(columns, m))
    for a, array in enumerate(arrays):
        names.define(f"energy_pj.{array}", _column(compute_pj, a))
        names.define(f"utilization.{array}", _column(shares, a))


def _column(columns: np.ndarray, index: int) -> Callable[[], np.ndarray]:
    return lambda: columns[:, index]


def added(columns: list[np.ndarray]) -> np.ndarray:
    """The sum from first to last, as a result adds its parts."""
    total = np.zeros(columns[0].shape)
    for column in columns:
        total = total + column
    return total


def resources_of(architecture: Architecture) -> tuple[str, ...]:
    """What may set the latency, in the order of an evaluation."""
    return (*(a.name for a in architecture.arrays), *(m.name for m in architecture.memories), "drain")
