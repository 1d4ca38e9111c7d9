"""The result of a simulation, with names restored.

A result holds plain numbers of one design. Its JSON keys are stable: keys are added, never renamed. Its `repr` is a
readable table.
"""

import operator
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import Any

from sim.design.experiment import Experiment
from sim.engine.analytical import Evaluation
from sim.engine.tables import Tables
from sim.simulation.measures import Labels, Measures, MovedParts, measures_of, moved_parts
from sim.simulation.points import EinsumPoints, points_by_einsum

SCHEMA = "einfuse-result-1"
LEAKAGE = "leakage"  # an entry next to the Einsums: energy that no Einsum causes
Traffic = dict[str, dict[str, float]]


@dataclass(frozen=True)
class SimulationResult:
    """Time, energy, traffic and area of one design point; totals equal the sums of their parts."""

    engine: str
    experiment: Experiment
    cycles: float
    latency_s: float
    energy_by_component_pj: dict[str, float]
    energy_by_einsum_pj: dict[str, float]  # with an entry `leakage` if the machine leaks
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
    stall_cycles: dict[str, dict[str, int]] = field(default_factory=dict)  # array in a core -> cause; cycle engine only
    leakage_by_component_pj: dict[str, float] = field(default_factory=dict)  # part of the energy; those that leak
    points: dict[str, EinsumPoints] = field(default_factory=dict)  # where the cascade has conditions
    share_done: float = 1.0  # less where an interrupt ended the run: times are until then, counts those of the whole

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
        leakage = self.leakage_by_component_pj
        return {
            "schema": SCHEMA,
            "engine": self.engine,
            **({"partial": {"share_done": self.share_done}} if self.share_done < 1 else {}),
            "experiment": {**self.experiment.resolved, "hash": self.experiment.hash},
            "latency_s": self.latency_s,
            "cycles": self.cycles,
            "energy_pj": self.energy_pj,
            "energy_by_component_pj": self.energy_by_component_pj,
            "energy_by_einsum_pj": self.energy_by_einsum_pj,
            **({"leakage_by_component_pj": leakage} if leakage else {}),
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
            **({"points": {name: one.to_json() for name, one in self.points.items()}} if self.points else {}),
            "warnings": list(self.warnings),
        }

    def __repr__(self) -> str:
        lines = [
            f"{self.experiment.name}: {self.latency_s:.6g} s, {self.energy_pj * 1e-12:.6g} J, bound by {self.bound_by}"
        ]
        lines.append(f"  {self.cycles:.6g} cycles, {self.area_um2 * 1e-8:.4g} cm^2")
        if self.share_done < 1:
            lines.append(f"  partial: interrupted after {self.share_done:.2%} of the run")
        for array, fraction in self.utilization.items():
            lines.append(f"  {array:8s} {fraction:7.2%} busy, {_pj(self.energy_by_component_pj[array])}")
        for memory, moved in self.traffic_bytes.items():
            size = f"{self.footprint_bytes[memory]:.4g} B held"
            words = f"{moved['read']:.4g} B read, {moved['write']:.4g} B written"
            lines.append(f"  {memory:8s} {words}, {size}, {_pj(self.energy_by_component_pj[memory])}")
        if self.leakage_by_component_pj:
            lines.append(f"  {LEAKAGE:8s} {_pj(added(self.leakage_by_component_pj.values()))}")
        return "\n".join([*lines, *(f"  warning: {warning}" for warning in self.warnings)])


def _pj(energy_pj: float) -> str:
    return f"{energy_pj * 1e-12:.4g} J"


def make_results(experiments: Sequence[Experiment], tables: Tables, evaluation: Evaluation) -> list[SimulationResult]:
    """One result for each row of an evaluation, with the names of its experiment; all of one structure."""
    structure = experiments[0].structure
    labels = Labels.of(structure.machine, structure.cascade, structure.tree, tables.shape.flows)
    rows = zip(*(column.tolist() for column in measures_of(tables, evaluation)), strict=True)
    moved = zip(*(column.tolist() for column in moved_parts(tables, evaluation)), strict=True)
    return [
        _make_result(experiment, labels, Measures(*row), MovedParts(*own))
        for experiment, row, own in zip(experiments, rows, moved, strict=True)
    ]


def added(parts: Iterable[float]) -> float:
    """The sum from first to last. The built-in one compensates from Python 3.12 on, so its last digit varies."""
    return reduce(operator.add, parts, 0.0)


def _make_result(
    experiment: Experiment, labels: Labels, row: Measures[Any], parts: MovedParts[Any]
) -> SimulationResult:
    tensors = [tensor.name for tensor in experiment.cascade.tensors]
    moved = zip(labels.memories, row.read_bytes, row.write_bytes, strict=True)
    area = dict(zip((*labels.memories, *labels.arrays), row.area_um2, strict=True))
    leakage = {name: value for name, value in zip(labels.charged, row.leakage_pj, strict=False) if value > 0}
    by_einsum = dict(zip(labels.einsums, row.einsum_pj, strict=True))
    return SimulationResult(
        engine="analytical",
        experiment=experiment,
        cycles=row.latency_cycles,
        latency_s=row.latency_s,
        energy_by_component_pj=dict(zip(labels.charged, row.energy_pj, strict=False)),
        energy_by_einsum_pj=by_einsum | ({LEAKAGE: added(leakage.values())} if leakage else {}),
        area_by_component_um2={name: area[name] for name in labels.components},
        traffic_bytes={name: {"read": read, "write": write} for name, read, write in moved},
        traffic_by_tensor_bytes=_traffic(tensors, labels.moved, parts.tensor_bytes),
        traffic_by_einsum_bytes=_traffic(labels.einsums, labels.einsum_moved, parts.einsum_bytes),
        utilization=dict(zip(labels.arrays, row.array_utilization, strict=True)),
        utilization_by_einsum=_by_array(labels, row.utilization),
        busy_cycles_by_einsum=dict(zip(labels.einsums, row.busy_cycles, strict=True)),
        memory_cycles_by_einsum=_memory_cycles(labels, parts.memory_cycles),
        cycles_by_resource=_by_resource(experiment, labels, row.resource_cycles),
        footprint_bytes=dict(zip(labels.memories, row.footprint_bytes, strict=True)),
        warnings=tuple(_iter_warnings(experiment, labels, row.spilled)),
        leakage_by_component_pj=leakage,
        points=points_by_einsum(experiment, parts.points),
    )


def _by_resource(experiment: Experiment, labels: Labels, cycles: list[float]) -> dict[str, float]:
    """Directions of a memory are there where its file has them apart, its ports where they set the time."""
    one = {f"{m.name} reads" for m in experiment.architecture.memories if m.read_bandwidth_bits_per_s is None}
    one |= {f"{m.name} writes" for m in experiment.architecture.memories if m.write_bandwidth_bits_per_s is None}
    one |= {name for name, value in zip(labels.resources, cycles, strict=True) if name.endswith(" ports") and not value}
    return {name: value for name, value in zip(labels.resources, cycles, strict=True) if name not in one}


def _by_array(labels: Labels, values: list[float]) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {array: {} for array in labels.arrays}
    for einsum, array, value in zip(labels.einsums, labels.array_of_leaf, values, strict=True):
        found[array][einsum] = value
    return found


def _traffic(
    owners: Sequence[str], moved: Sequence[tuple[str, str, str]], moved_bytes: list[float]
) -> dict[str, Traffic]:
    """By tensor, or by Einsum."""
    traffic: dict[str, Traffic] = {owner: {} for owner in owners}
    for (owner, memory, direction), value in zip(moved, moved_bytes, strict=True):
        traffic[owner].setdefault(memory, {"read": 0.0, "write": 0.0})[direction] = value
    return traffic


def _memory_cycles(labels: Labels, cycles: list[float]) -> dict[str, dict[str, float]]:
    """Of every memory the Einsums that move words there."""
    found: dict[str, dict[str, float]] = {memory: {} for memory in labels.memories}
    for (memory, einsum), spent in zip(labels.timed, cycles, strict=True):
        found[memory][einsum] = spent
    return found


def _iter_warnings(experiment: Experiment, labels: Labels, spilled: list[float]) -> Iterator[str]:
    for memory in experiment.architecture.memories:
        if memory.extrapolated:
            yield f"energy or area of '{memory.name}' is extrapolated beyond its technology table"
        elif memory.interpolated:
            yield f"energy or area of '{memory.name}' is interpolated in its technology table"
    for name, fraction in zip(labels.memories, spilled, strict=True):
        if fraction > 0:
            yield f"'{name}' is overbooked: {fraction:.2%} of its tiles do not fit and go further out"
    yield from layouts_left_out(experiment)


def layouts_left_out(experiment: Experiment) -> Iterator[str]:
    """What the analytical engine has to say of tensors with addresses; the cycle engine times their rows and banks."""
    root = experiment.architecture.root
    if root.timing is not None and any(layout.memory == root.name for layout in experiment.mapping.layout):
        their = "rows and banks are in that of the cycle engine"
        yield f"the layout of tensors in '{root.name}' is not in this time: {their}"
