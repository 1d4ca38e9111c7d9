"""What a simulation says: names return here.

A result holds plain numbers of one design. Its JSON keys are stable: keys are added, never renamed. Its `repr` is the
table one would draw.
"""

import operator
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, reduce
from typing import Any, NamedTuple, Self

import numpy as np

from arch.area import area_um2
from arch.types import Architecture
from sim.design.experiment import Experiment
from sim.design.same import Same
from sim.engine.analytical import Evaluation
from sim.engine.columns import FlowColumn, LeafColumn
from sim.engine.tables import Tables

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
    traffic_by_einsum_bytes: dict[str, Traffic]  # Einsum -> memory -> read, write
    utilization: dict[str, float]
    utilization_by_einsum: dict[str, dict[str, float]]  # array -> Einsum
    busy_cycles_by_einsum: dict[str, float]
    memory_cycles_by_einsum: dict[str, dict[str, float]]  # memory -> Einsum, time for its words at peak bandwidth
    cycles_by_resource: dict[str, float]  # which resource sets how much of the latency
    footprint_bytes: dict[str, float]
    warnings: tuple[str, ...]
    stall_cycles: dict[str, dict[str, int]] = field(default_factory=dict)  # array -> cause; cycle engine only

    @property
    def energy_pj(self) -> float:
        return added(self.energy_by_component_pj.values())

    @property
    def area_um2(self) -> float:
        return added(self.area_by_component_um2.values())

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
            "traffic_by_einsum_bytes": self.traffic_by_einsum_bytes,
            "utilization": self.utilization,
            "utilization_by_einsum": self.utilization_by_einsum,
            "busy_cycles_by_einsum": self.busy_cycles_by_einsum,
            "memory_cycles_by_einsum": self.memory_cycles_by_einsum,
            "bound_by": self.bound_by,
            "cycles_by_resource": self.cycles_by_resource,
            "stall_cycles": self.stall_cycles,
            "footprint_bytes": self.footprint_bytes,
            "warnings": list(self.warnings),
        }

    def __repr__(self) -> str:
        lines = [
            f"{self.experiment.name}: {self.latency_s:.6g} s, {self.energy_pj * 1e-12:.6g} J, bound by {self.bound_by}"
        ]
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


def make_results(experiments: Sequence[Experiment], tables: Tables, evaluation: Evaluation) -> list[SimulationResult]:
    """One result for each row of an evaluation, with the names of its experiment; all of one structure."""
    named = _Names.of(experiments[0], tables)
    clock_hz = tables.machine.clock_hz.tolist()
    rows = zip(*(column.tolist() for column in (*evaluation, utilizations(evaluation, tables))), strict=True)
    return [
        _make_result(experiment, named, clock, _Row(*row))
        for experiment, clock, row in zip(experiments, clock_hz, rows, strict=True)
    ]


def added(parts: Iterable[float]) -> float:
    """The sum from first to last. The built-in one compensates from Python 3.12 on, so its last digit varies."""
    return reduce(operator.add, parts, 0.0)


def utilizations(evaluation: Evaluation, tables: Tables) -> np.ndarray:
    """f8[design, leaf]: share of all PE-cycles of its array that an Einsum's points take; an array's is their sum."""
    array = tables.shape.leaves[:, LeafColumn.ARRAY]
    pes = (tables.machine.rows * tables.machine.columns)[:, array] * tables.machine.cores[:, None]
    return evaluation.active_pe_cycles / (pes * evaluation.latency_cycles[:, None])


class _Names(NamedTuple):
    """What the columns of an evaluation are called."""

    memories: tuple[str, ...]
    arrays: tuple[str, ...]
    einsums: tuple[str, ...]  # by leaf
    array_of_leaf: tuple[str, ...]
    flows: tuple[tuple[str, str, str, int], ...]  # tensor, memory, direction, leaf

    @classmethod
    def of(cls, experiment: Experiment, tables: Tables) -> Self:
        machine, tensors = experiment.structure.machine, experiment.cascade.tensors
        flows = tuple(
            (
                tensors[flow[FlowColumn.TENSOR]].name,
                machine.memories[flow[FlowColumn.MEMORY]],
                "write" if flow[FlowColumn.WRITE] else "read",
                int(flow[FlowColumn.EINSUM]),
            )
            for flow in tables.shape.flows
        )
        leaves = experiment.tree.leaves
        return cls(
            machine.memories, machine.arrays, tuple(x.einsum for x in leaves), tuple(x.array for x in leaves), flows
        )


class _Row(NamedTuple):
    """One design's row of an Evaluation as plain numbers, then of its utilisations."""

    flow_bytes: list[float]
    flow_pj: list[float]
    memory_pj: list[float]
    compute_pj: list[float]
    read_bytes: list[float]
    write_bytes: list[float]
    footprint_bytes: list[float]
    spilled: list[float]
    points: list[float]
    busy_cycles: list[float]
    active_pe_cycles: list[float]
    leaf_memory_cycles: list[list[float]]
    resource_cycles: list[float]
    latency_cycles: float
    shares: list[float]


def _make_result(experiment: Experiment, named: _Names, clock_hz: float, row: _Row) -> SimulationResult:
    by_einsum = _by_array(named, row.shares)
    compute = {array: added(parts.values()) for array, parts in _by_array(named, row.compute_pj).items()}
    resources = (*named.arrays, *named.memories, "drain")
    moved = zip(named.memories, row.read_bytes, row.write_bytes, strict=True)
    return SimulationResult(
        engine="analytical",
        experiment=experiment,
        cycles=row.latency_cycles,
        latency_s=row.latency_cycles / clock_hz,
        energy_by_component_pj=dict(zip(named.memories, row.memory_pj, strict=True)) | compute,
        energy_by_einsum_pj=_energy_by_einsum(named, row),
        area_by_component_um2=dict(_areas(Same(experiment.architecture))),
        traffic_bytes={name: {"read": read, "write": write} for name, read, write in moved},
        traffic_by_tensor_bytes=_traffic_by_tensor(experiment, named, row),
        traffic_by_einsum_bytes=_traffic_by_einsum(named, row),
        utilization={array: added(parts.values()) for array, parts in by_einsum.items()},
        utilization_by_einsum=by_einsum,
        busy_cycles_by_einsum=dict(zip(named.einsums, row.busy_cycles, strict=True)),
        memory_cycles_by_einsum=_memory_cycles(named, row),
        cycles_by_resource=dict(zip(resources, row.resource_cycles, strict=True)),
        footprint_bytes=dict(zip(named.memories, row.footprint_bytes, strict=True)),
        warnings=tuple(_iter_warnings(experiment, named, row)),
    )


def _by_array(named: _Names, values: list[float]) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {array: {} for array in named.arrays}
    for einsum, array, value in zip(named.einsums, named.array_of_leaf, values, strict=True):
        found[array][einsum] = value
    return found


@lru_cache(maxsize=4096)
def _areas(architecture: Same[Architecture]) -> tuple[tuple[str, float], ...]:
    return area_um2(architecture.noun)


def _energy_by_einsum(named: _Names, row: _Row) -> dict[str, float]:
    energy = list(row.compute_pj)
    for (_, _, _, leaf), flow_pj in zip(named.flows, row.flow_pj, strict=True):
        energy[leaf] += flow_pj
    return dict(zip(named.einsums, energy, strict=True))


def _traffic_by_tensor(experiment: Experiment, named: _Names, row: _Row) -> dict[str, Traffic]:
    traffic: dict[str, Traffic] = {tensor.name: {} for tensor in experiment.cascade.tensors}
    for (tensor, memory, direction, _), moved_bytes in zip(named.flows, row.flow_bytes, strict=True):
        _add_traffic(traffic[tensor], memory, direction, moved_bytes)
    return traffic


def _traffic_by_einsum(named: _Names, row: _Row) -> dict[str, Traffic]:
    traffic: dict[str, Traffic] = {einsum: {} for einsum in named.einsums}
    for (_, memory, direction, leaf), moved_bytes in zip(named.flows, row.flow_bytes, strict=True):
        _add_traffic(traffic[named.einsums[leaf]], memory, direction, moved_bytes)
    return traffic


def _add_traffic(traffic: Traffic, memory: str, direction: str, moved_bytes: float) -> None:
    traffic.setdefault(memory, {"read": 0.0, "write": 0.0})[direction] += moved_bytes


def _memory_cycles(named: _Names, row: _Row) -> dict[str, dict[str, float]]:
    """Of every memory the Einsums that move words there."""
    cycles: dict[str, dict[str, float]] = {memory: {} for memory in named.memories}
    used = {(leaf, memory) for _, memory, _, leaf in named.flows}
    for leaf, (einsum, times) in enumerate(zip(named.einsums, row.leaf_memory_cycles, strict=True)):
        for memory, spent in zip(named.memories, times, strict=True):
            if (leaf, memory) in used:
                cycles[memory][einsum] = spent
    return cycles


def _iter_warnings(experiment: Experiment, named: _Names, row: _Row) -> Iterator[str]:
    for memory in experiment.architecture.memories:
        if memory.extrapolated:
            yield f"energy or area of '{memory.name}' is extrapolated beyond its technology table"
        elif memory.interpolated:
            yield f"energy or area of '{memory.name}' is interpolated in its technology table"
    for name, fraction in zip(named.memories, row.spilled, strict=True):
        if fraction > 0:
            yield f"'{name}' is overbooked: {fraction:.2%} of its tiles do not fit and go further out"
