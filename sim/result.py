"""What a simulation says: names return here.

A result holds plain numbers of one design. Its JSON keys are stable: keys are added, never renamed. Its `repr` is the table
one would draw.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from sim.engine.analytical import Evaluation
from sim.engine.columns import FlowColumn
from sim.experiment import Experiment
from sim.tables import Tables

SCHEMA = "einfuse-result-1"
Traffic = dict[str, dict[str, float]]


@dataclass(frozen=True)
class SimulationResult:
    """Time, energy, traffic and area of one design point; totals equal the sums of their parts."""

    engine: str
    experiment: Experiment
    cycles: float
    latency_s: float
    energy_by_component_pj: dict[str, float]
    energy_by_einsum_pj: dict[str, float]
    area_by_component_um2: dict[str, float]
    traffic_bytes: Traffic  # memory -> read, write
    traffic_by_tensor_bytes: dict[str, Traffic]  # tensor -> memory -> read, write
    utilization: dict[str, float]
    utilization_by_einsum: dict[str, dict[str, float]]  # array -> Einsum
    busy_cycles_by_einsum: dict[str, float]
    cycles_by_resource: dict[str, float]  # which resource sets how much of the latency
    footprint_bytes: dict[str, float]
    warnings: tuple[str, ...]

    @property
    def energy_pj(self) -> float:
        return sum(self.energy_by_component_pj.values())

    @property
    def area_um2(self) -> float:
        return sum(self.area_by_component_um2.values())

    @property
    def bound_by(self) -> str:
        """The resource that sets most of the latency."""
        return max(self.cycles_by_resource, key=self.cycles_by_resource.__getitem__)

    def to_json(self) -> dict[str, Any]:
        """The document of `einfuse simulate --json`."""
        return {
            "schema": SCHEMA,
            "engine": self.engine,
            "experiment": {**self.experiment.resolved, "hash": self.experiment.hash},
            "latency_s": self.latency_s,
            "cycles": self.cycles,
            "energy_pj": self.energy_pj,
            "energy_by_component_pj": self.energy_by_component_pj,
            "energy_by_einsum_pj": self.energy_by_einsum_pj,
            "area_um2": self.area_um2,
            "area_by_component_um2": self.area_by_component_um2,
            "traffic_bytes": self.traffic_bytes,
            "traffic_by_tensor_bytes": self.traffic_by_tensor_bytes,
            "utilization": self.utilization,
            "utilization_by_einsum": self.utilization_by_einsum,
            "busy_cycles_by_einsum": self.busy_cycles_by_einsum,
            "bound_by": self.bound_by,
            "cycles_by_resource": self.cycles_by_resource,
            "footprint_bytes": self.footprint_bytes,
            "warnings": list(self.warnings),
        }

    def __repr__(self) -> str:
        lines = [f"{self.experiment.name}: {self.latency_s:.6g} s, {self.energy_pj * 1e-12:.6g} J, bound by {self.bound_by}"]
        lines.append(f"  {self.cycles:.6g} cycles, {self.area_um2 * 1e-8:.4g} cm^2")
        for array, fraction in self.utilization.items():
            lines.append(f"  {array:8s} {fraction:7.2%} busy, {_pj(self.energy_by_component_pj[array])}")
        for memory, moved in self.traffic_bytes.items():
            size = f"{self.footprint_bytes[memory]:.4g} B held"
            words = f"{moved['read']:.4g} B read, {moved['write']:.4g} B written"
            lines.append(f"  {memory:8s} {words}, {size}, {_pj(self.energy_by_component_pj[memory])}")
        return "\n".join([*lines, *(f"  warning: {warning}" for warning in self.warnings)])


def _pj(energy_pj: float) -> str:
    return f"{energy_pj * 1e-12:.4g} J"


def utilizations(evaluation: Evaluation, tables: Tables) -> np.ndarray:
    """f8[design, leaf]: share of all PE-cycles of its array that an Einsum's points take; an array's is their sum."""
    array = tables.shape.leaves[:, 2]
    pes = (tables.machine.rows * tables.machine.columns)[:, array]
    return evaluation.active_pe_cycles / (pes * evaluation.latency_cycles[:, None])


def make_result(experiment: Experiment, tables: Tables, evaluation: Evaluation, d: int, area: dict[str, float]) -> SimulationResult:
    """Row `d` of an evaluation with the names of its experiment."""
    machine = experiment.structure.machine
    einsums = [leaf.einsum for leaf in experiment.tree.leaves]
    shares = utilizations(evaluation, tables)[d]
    by_einsum = {
        array: {leaf.einsum: float(shares[leaf.index]) for leaf in experiment.tree.leaves if leaf.array == array}
        for array in machine.arrays
    }
    clock_hz = float(tables.machine.clock_hz[d])
    resources = [*machine.arrays, *machine.memories, "drain"]
    return SimulationResult(
        engine="analytical",
        experiment=experiment,
        cycles=float(evaluation.latency_cycles[d]),
        latency_s=float(evaluation.latency_cycles[d]) / clock_hz,
        energy_by_component_pj=_energy_by_component(experiment, tables, evaluation, d),
        energy_by_einsum_pj=_energy_by_einsum(experiment, tables, evaluation, d),
        area_by_component_um2=area,
        traffic_bytes={
            name: {"read": float(evaluation.read_bytes[d, m]), "write": float(evaluation.write_bytes[d, m])}
            for m, name in enumerate(machine.memories)
        },
        traffic_by_tensor_bytes=_traffic_by_tensor(experiment, tables, evaluation, d),
        utilization={array: sum(by_einsum[array].values()) for array in machine.arrays},
        utilization_by_einsum=by_einsum,
        busy_cycles_by_einsum=dict(zip(einsums, evaluation.busy_cycles[d].tolist(), strict=True)),
        cycles_by_resource=dict(zip(resources, evaluation.resource_cycles[d].tolist(), strict=True)),
        footprint_bytes=dict(zip(machine.memories, evaluation.footprint_bytes[d].tolist(), strict=True)),
        warnings=tuple(_iter_warnings(experiment, evaluation, d)),
    )


def _energy_by_component(experiment: Experiment, tables: Tables, evaluation: Evaluation, d: int) -> dict[str, float]:
    machine = experiment.structure.machine
    energy = dict(zip(machine.memories, evaluation.memory_pj[d].tolist(), strict=True))
    for array in machine.arrays:
        leaves = [leaf.index for leaf in experiment.tree.leaves if leaf.array == array]
        energy[array] = float(sum(evaluation.compute_pj[d, leaves]))
    return energy


def _energy_by_einsum(experiment: Experiment, tables: Tables, evaluation: Evaluation, d: int) -> dict[str, float]:
    energy = evaluation.compute_pj[d].copy()
    for f, flow in enumerate(tables.shape.flows):
        energy[flow[FlowColumn.EINSUM]] += evaluation.flow_pj[d, f]
    return {leaf.einsum: float(energy[leaf.index]) for leaf in experiment.tree.leaves}


def _traffic_by_tensor(experiment: Experiment, tables: Tables, evaluation: Evaluation, d: int) -> dict[str, Traffic]:
    machine, tensors = experiment.structure.machine, experiment.cascade.tensors
    traffic: dict[str, Traffic] = {tensor.name: {} for tensor in tensors}
    for f, flow in enumerate(tables.shape.flows):
        memory = machine.memories[flow[FlowColumn.MEMORY]]
        direction = "write" if flow[FlowColumn.WRITE] else "read"
        moved = traffic[tensors[flow[FlowColumn.TENSOR]].name].setdefault(memory, {"read": 0.0, "write": 0.0})
        moved[direction] += float(evaluation.flow_bytes[d, f])
    return traffic


def _iter_warnings(experiment: Experiment, evaluation: Evaluation, d: int) -> Any:
    for memory in experiment.architecture.memories:
        if memory.extrapolated:
            yield f"energy or area of '{memory.name}' is extrapolated beyond its technology table"
        elif memory.interpolated:
            yield f"energy or area of '{memory.name}' is interpolated in its technology table"
    for m, name in enumerate(experiment.structure.machine.memories):
        if evaluation.spilled[d, m] > 0:
            yield f"'{name}' is overbooked: {evaluation.spilled[d, m]:.2%} of its tiles do not fit and go to its parent"
