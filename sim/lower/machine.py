"""A machine as the engines see it: its shape, shared by a batch of designs, and columns of numbers that differ."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from arch.rows import moved_bits
from arch.types import Architecture
from einsums.types import Cascade
from mappings.tree import ResolvedTree
from sim.engine.tables import MachineColumns


@dataclass(frozen=True, slots=True)
class MachineShape:
    """Memories with parents and arrays with registers, by name; equal for machines that differ only in numbers."""

    memories: tuple[str, ...]
    parents: tuple[str | None, ...]
    arrays: tuple[str, ...]
    registers: tuple[str, ...]
    in_core: tuple[bool, ...]  # of each memory: whether every core has one of its own
    beside: tuple[str | None, ...]  # of each memory: the array of which every element has one

    @classmethod
    def of(cls, architecture: Architecture) -> Self:
        return cls(
            tuple(m.name for m in architecture.memories),
            tuple(m.parent for m in architecture.memories),
            tuple(a.name for a in architecture.arrays),
            tuple(a.registers for a in architecture.arrays),
            tuple(architecture.is_in_core(m.name) for m in architecture.memories),
            tuple(m.per_pe_of for m in architecture.memories),
        )

    @property
    def root(self) -> str:
        return self.memories[self.parents.index(None)]

    def memory(self, name: str) -> int:
        return self.memories.index(name)

    def array(self, name: str) -> int:
        return self.arrays.index(name)

    def parent_of(self, memory: str) -> str | None:
        return self.parents[self.memory(memory)]

    def array_of(self, memory: str) -> str | None:
        """The array of which every element has such a memory; None for one that is shared."""
        return self.beside[self.memory(memory)]

    def registers_of(self, array: str) -> str:
        return self.registers[self.array(array)]


def machine_row(architecture: Architecture, cascade: Cascade, tree: ResolvedTree) -> tuple[tuple[float, ...], ...]:
    """One design's row of every column of `MachineColumns`."""
    memories, arrays = architecture.memories, architecture.arrays
    shares = [architecture.charged_instances(m) / architecture.instances(m) for m in memories]
    row_bytes = [moved_bits(m.row_bits, architecture.word_bits) / 8 for m in memories]
    rows = list(zip(memories, shares, row_bytes, strict=True))
    operators = [(architecture.array(leaf.array), point_operators(cascade, leaf.einsum)) for leaf in tree.leaves]
    return (
        tuple(np.inf if m.size_bits is None else m.size_bits / 8 for m in memories),
        tuple(np.inf if m.bandwidth_bits_per_s is None else m.bandwidth_bits_per_s / 8 for m in memories),
        tuple(share * _pj(m.read_pj) / size for m, share, size in rows),
        tuple(share * _pj(m.write_pj) / size for m, share, size in rows),
        tuple(share * _pj(m.read_pj) / size * m.drains_charged for m, share, size in rows),
        tuple(float(a.rows) for a in arrays),
        tuple(float(a.columns) for a in arrays),
        tuple(a.drain_cycles for a in arrays),
        tuple(array.cycles_per_point(names) for array, names in operators),
        tuple(array.energy_pj_per_point(names) for array, names in operators),
        (architecture.clock_hz,),
        (architecture.word_bits / 8,),
        (1 if architecture.cores is None else architecture.cores.count,),
    )


def stack_machines(rows: list[tuple[tuple[float, ...], ...]]) -> MachineColumns:
    """Columns over designs from one row of each."""
    columns = MachineColumns(*(np.array(values, float) for values in zip(*rows, strict=True)))
    single = {name: getattr(columns, name)[:, 0] for name in ("clock_hz", "word_bytes", "cores")}
    return columns._replace(**single)


def point_operators(cascade: Cascade, einsum: str) -> tuple[str, ...]:
    """The operators of one iteration point: those of the expression, then the reduction's."""
    found = cascade.einsum(einsum)
    return found.map_operators + ((found.reduction.operator,) if found.reduction else ())


def _pj(energy: float | None) -> float:
    assert energy is not None, "technologies are resolved when a machine is loaded"
    return energy
