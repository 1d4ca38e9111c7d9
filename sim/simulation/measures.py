"""The reported measures of designs, as columns over a batch: a result takes a row of them, a sweep takes columns.

Every sum runs from first to last, in the order of the names. Energy of a component is that of its traffic and
computation, plus its leakage over the latency; energy by Einsum excludes leakage, which no Einsum causes.
"""

from typing import Generic, NamedTuple, Self, TypeVar

import numpy as np

from arch.types import CHIP
from einsums.types import Cascade
from mappings.tree import ResolvedTree
from sim.engine.analytical import Evaluation, latencies_s, memory_cycles_by_leaf, sum_by
from sim.engine.columns import FlowColumn, LeafColumn
from sim.engine.tables import Tables
from sim.lower.machine import MachineShape

Column = TypeVar("Column")


class Measures(NamedTuple, Generic[Column]):
    """f8[design, ...], with the last axis as indicated by the name or `Labels`; or one design's row of each."""

    latency_cycles: Column  # [design]
    latency_s: Column  # [design]
    energy_pj: Column  # [design, memory, then array, then the rest of the machine]
    leakage_pj: Column  # the same; a part of the energy
    einsum_pj: Column  # [design, leaf]
    area_um2: Column  # [design, memory, then array]
    read_bytes: Column  # [design, memory]
    write_bytes: Column
    footprint_bytes: Column
    spilled: Column  # [design, memory], fraction
    utilization: Column  # [design, leaf]
    array_utilization: Column  # [design, array]
    busy_cycles: Column  # [design, leaf]
    resource_cycles: Column  # [design, array, then memory, its reads, its writes, its ports, then drains]


class Labels(NamedTuple):
    """The names of the columns of a batch."""

    memories: tuple[str, ...]
    arrays: tuple[str, ...]
    components: tuple[str, ...]  # in file order
    charged: tuple[str, ...]  # the entries energy is charged to: memories, arrays, and other leakage
    einsums: tuple[str, ...]  # by leaf
    array_of_leaf: tuple[str, ...]
    moved: tuple[tuple[str, str, str], ...]  # tensor, memory, direction, by first flow
    einsum_moved: tuple[tuple[str, str, str], ...]  # Einsum, memory, direction, by first flow
    timed: tuple[tuple[str, str], ...]  # memory, and an Einsum that moves words there, both in order

    @classmethod
    def of(cls, machine: MachineShape, cascade: Cascade, tree: ResolvedTree, flows: np.ndarray) -> Self:
        tensors, einsums = [t.name for t in cascade.tensors], tuple(leaf.einsum for leaf in tree.leaves)
        moved, einsum_moved = (
            tuple(
                (names[owner], machine.memories[memory], "write" if writes else "read")
                for owner, memory, writes in dict.fromkeys(_moves(flows, column))
            )
            for names, column in ((tensors, FlowColumn.TENSOR), (einsums, FlowColumn.EINSUM))
        )
        return cls(
            machine.memories,
            machine.arrays,
            machine.components,
            charged_names(machine),
            einsums,
            tuple(leaf.array for leaf in tree.leaves),
            moved,
            einsum_moved,
            tuple((machine.memories[memory], einsums[leaf]) for memory, leaf in _timed(flows)),
        )

    @property
    def resources(self) -> tuple[str, ...]:
        """The resources that may set the latency, in the order of an evaluation."""
        apart = [f"{memory} {direction}" for direction in ("reads", "writes", "ports") for memory in self.memories]
        return (*self.arrays, *self.memories, *apart, "drain")


def charged_names(machine: MachineShape) -> tuple[str, ...]:
    """The entries energy is charged to, in the order of `Measures`; the last only if the machine file has a leakage."""
    return (*machine.memories, *machine.arrays, *([CHIP] if machine.leaks else []))


def _moves(flows: np.ndarray, column: FlowColumn) -> list[tuple[int, int, int]]:
    """Of each flow whose it is (the tensor or the Einsum), the memory, and whether it writes."""
    return [(flow[0], flow[1], flow[2]) for flow in flows[:, [column, FlowColumn.MEMORY, FlowColumn.WRITE]].tolist()]


def _timed(flows: np.ndarray) -> list[tuple[int, int]]:
    """Each memory and the Einsums that move words there."""
    return sorted({(memory, einsum) for einsum, memory, _ in _moves(flows, FlowColumn.EINSUM)})


def measures_of(tables: Tables, found: Evaluation) -> Measures[np.ndarray]:
    """All columns of a batch."""
    flows, leaves = tables.shape.flows, tables.shape.leaves
    arrays = tables.machine.rows.shape[1]
    array_of_leaf = leaves[:, LeafColumn.ARRAY]
    compute_pj = sum_by(found.compute_pj, array_of_leaf, arrays)
    beside = np.zeros((compute_pj.shape[0], 1))
    utilization = utilizations(tables, found)
    return Measures(
        latency_cycles=found.latency_cycles,
        latency_s=latencies_s(tables, found.latency_cycles),
        energy_pj=np.concatenate([found.memory_pj, compute_pj, beside], axis=1) + found.leakage_pj,
        leakage_pj=found.leakage_pj,
        einsum_pj=sum_by(found.flow_pj, flows[:, FlowColumn.EINSUM], leaves.shape[0], found.compute_pj),
        area_um2=tables.machine.area_um2,
        read_bytes=found.read_bytes,
        write_bytes=found.write_bytes,
        footprint_bytes=found.footprint_bytes,
        spilled=found.spilled,
        utilization=utilization,
        array_utilization=sum_by(utilization, array_of_leaf, arrays),
        busy_cycles=found.busy_cycles,
        resource_cycles=found.resource_cycles,
    )


class MovedParts(NamedTuple, Generic[Column]):
    """Traffic and its time taken apart, and points: what sweeps do not ask for."""

    tensor_bytes: Column  # [design, moved], as `Labels.moved`
    einsum_bytes: Column  # [design, moved], as `Labels.einsum_moved`
    memory_cycles: Column  # [design, timed], as `Labels.timed`
    points: Column  # [design, leaf], executed


def moved_parts(tables: Tables, found: Evaluation) -> MovedParts[np.ndarray]:
    """All columns of a batch."""
    by_tensor, by_einsum = (_moved_bytes(tables, found, c) for c in (FlowColumn.TENSOR, FlowColumn.EINSUM))
    memories, leaves = np.array(_timed(tables.shape.flows), np.int64).T
    return MovedParts(by_tensor, by_einsum, memory_cycles_by_leaf(tables, found)[:, leaves, memories], found.points)


def _moved_bytes(tables: Tables, found: Evaluation, column: FlowColumn) -> np.ndarray:
    kinds = _moves(tables.shape.flows, column)
    place = {kind: n for n, kind in enumerate(dict.fromkeys(kinds))}
    return sum_by(found.flow_bytes, np.array([place[kind] for kind in kinds]), len(place))


def utilizations(tables: Tables, found: Evaluation) -> np.ndarray:
    """f8[design, leaf]: share of its array's element-cycles that an Einsum's points take; an array's is their sum."""
    elements = tables.machine.elements[:, tables.shape.leaves[:, LeafColumn.ARRAY]]
    all_cycles = elements * found.latency_cycles[:, None]
    shares = np.zeros_like(found.active_pe_cycles)  # of a run in which no point exists
    return np.divide(found.active_pe_cycles, all_cycles, out=shares, where=all_cycles > 0)
