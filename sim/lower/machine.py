"""Machines as the engines see them: a shape that a batch of designs shares, and columns of numbers that differ.

Every number of a machine is worked out here, over a batch; one design is a batch of one. What a number of a component
becomes for the whole machine (one, all of them, those whose energy is charged) says its row in the table of
`arch.numbers`:

    capacity = bytes of one instance                     area    = instances x cores x area of one
    pJ/byte  = charged share x pJ of a row / its words   leakage = instances x cores x power of one
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache, partial
from math import ceil
from typing import NamedTuple, Self

import numpy as np

from arch.components import Side
from arch.numbers import number_values, numbers_of, whole
from arch.types import Architecture, Array, Memory
from einsums.counts import operators_per_point
from einsums.types import Cascade
from mappings.tree import ResolvedTree
from sim.engine.tables import MachineColumns
from sim.lower.parts import ComponentPart, Parts, part_of
from sim.lower.same import Same

OF_MEMORY = {number.key: number for number in numbers_of(Memory)}
OF_ARRAY = {number.key: number for number in numbers_of(Array)}
OF_MACHINE = {number.key: number for number in numbers_of(Architecture)}
CORES = "cores"  # how many, beside the numbers of the table
Leaves = tuple[tuple[str, tuple[str, ...]], ...]  # of each leaf of a tree, the array and the operators of a point


@dataclass(frozen=True, slots=True)
class MachineShape:
    """Memories with parents and arrays with registers, by name; equal for machines that differ only in numbers."""

    memories: tuple[str, ...]
    parents: tuple[str | None, ...]
    arrays: tuple[str, ...]
    registers: tuple[str, ...]
    in_core: tuple[bool, ...]  # of each memory: whether every core has one of its own
    arrays_in_core: tuple[bool, ...]
    owners: tuple[str | None, ...]  # of each memory: the array that has one beside each of its elements
    own_sides: tuple[tuple[Side, ...], ...]  # of each memory: along which of that array's sides
    components: tuple[str, ...]  # in file order
    leaks: bool  # whether the machine has a leakage beside that of its components
    linked: tuple[bool, ...] = ()  # of each array: whether the file states its links
    fed_directly: tuple[bool, ...] = ()  # of each array: whether no word passes from element to element

    @classmethod
    def of(cls, architecture: Architecture) -> Self:
        return cls(
            tuple(m.name for m in architecture.memories),
            tuple(m.parent for m in architecture.memories),
            tuple(a.name for a in architecture.arrays),
            tuple(a.registers for a in architecture.arrays),
            tuple(architecture.is_in_core(m.name) for m in architecture.memories),
            tuple(architecture.is_in_core(a.name) for a in architecture.arrays),
            tuple(m.per_pe_of for m in architecture.memories),
            tuple(m.own_sides for m in architecture.memories),
            tuple(c.name for c in architecture.components),
            architecture.leakage_w is not None,
            tuple(a.links is not None for a in architecture.arrays),
            tuple(not a.is_linked for a in architecture.arrays),
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
        return self.owners[self.memory(memory)]

    def is_shared(self, memory: str) -> bool:
        """Whether a memory below the root serves whole arrays: one whose ports and links slots and transfers share."""
        beside = self.array_of(memory) is not None or memory in self.registers
        return self.parent_of(memory) is not None and not beside

    def sides_of(self, memory: str) -> tuple[Side, ...]:
        """The sides of its array along which every element has such a memory of its own."""
        return self.own_sides[self.memory(memory)]

    def registers_of(self, array: str) -> str:
        return self.registers[self.array(array)]

    def owner_of(self, component: str) -> str | None:
        return self.owners[self.memory(component)] if component in self.memories else None

    def is_in_core(self, component: str) -> bool:
        if component in self.arrays:
            return self.arrays_in_core[self.array(component)]
        return self.in_core[self.memory(component)]


class Machines:
    """The machines of a batch. What it is asked for is worked out then: all columns are f8[design].

    `parts`: a component by its name; `own`: a number of the machine itself by its key, or how many `CORES` it has.
    """

    def __init__(self, shape: MachineShape, parts: Callable[[str], Parts], own: Callable[[str], np.ndarray]) -> None:
        self.shape, self.parts, self.own = shape, parts, own
        self._known: dict[str, np.ndarray] = {}

    @classmethod
    def of(cls, architectures: Sequence[Architecture]) -> Self:
        """Machines of one shape."""
        known = {id(architecture): architecture for architecture in architectures}
        number = {identity: n for n, identity in enumerate(known)}
        which = np.array([number[id(architecture)] for architecture in architectures])
        found = [_numbers_once(Same(architecture)) for architecture in known.values()]
        parts = {name: Parts([one.parts[name] for one in found], which) for name in found[0].parts}
        return cls(
            MachineShape.of(architectures[0]),
            parts.__getitem__,
            lambda key: np.array([one.own[key] for one in found], float)[which],
        )

    # --- how many of a component there are --------------------------------------------------------------------
    def instances(self, component: str) -> np.ndarray:
        """How many of it a core has: one for each element of its array that does not share it, or one."""
        owner = self.shape.owner_of(component)
        found = self._once("one")
        if owner is not None:
            for side in self.shape.sides_of(component):
                found = found * self.parts(owner).number(side)
        return found

    def cores_of(self, component: str) -> np.ndarray:
        """How many cores have it: all of them, or 1 for what they share."""
        return self._once(CORES) if self.shape.is_in_core(component) else self._once("one")

    def _once(self, what: str) -> np.ndarray:
        """How many cores there are, or one for each design: asked for by every component."""
        if what not in self._known:
            cores = self.own(CORES)
            self._known |= {CORES: cores, "one": np.ones(cores.size)}
        return self._known[what]

    def copies(self, component: str) -> np.ndarray:
        """How many of it the machine has."""
        return self.instances(component) * self.cores_of(component)

    def charged_share(self, memory: str) -> np.ndarray:
        """The part of its instances whose energy is charged."""
        instances = self.instances(memory)
        return np.minimum(self.parts(memory).number("energy_instances"), instances) / instances

    # --- its numbers ------------------------------------------------------------------------------------------
    def number(self, component: str, key: str) -> np.ndarray:
        """A number of a component for the whole machine, as its table says, stored units."""
        table = OF_MEMORY if component in self.shape.memories else OF_ARRAY
        own = self.parts(component).number(key)
        match table[key].times:
            case "copies":
                return self.copies(component) * own
            case "charged":
                return self.charged_share(component) * own
        return own

    def capacity_bytes(self, memory: str) -> np.ndarray:
        """Of one instance; inf where unbounded."""
        return self.number(memory, "size") / 8

    def bandwidth_bytes_per_s(self, memory: str, direction: str = "") -> np.ndarray:
        """Of both directions together, or of `read` or `write`; inf where it is not a limit."""
        return self.number(memory, f"{direction}_bandwidth" if direction else "bandwidth") / 8

    def area_um2(self, component: str) -> np.ndarray:
        """Of all of it."""
        return self.number(component, "area")

    @property
    def total_area_um2(self) -> np.ndarray:
        """Of all components, added in file order."""
        total = np.zeros(self.own(CORES).size)
        for component in self.shape.components:
            total = total + self.area_um2(component)
        return total

    def symbol(self, name: str) -> np.ndarray:
        """What formulas read under a name: `GLB.size_bytes`, `PE2D.rows`, `word_bytes`, and so on."""
        component, _, key = name.rpartition(".")
        if not component:
            number = next(one for one in OF_MACHINE.values() if key in dict(one.symbols))
            return np.asarray(dict(number.iter_symbols(self.own(number.key)))[key], float)
        if key == "size_words":
            return np.floor_divide(self.parts(component).symbol("size_bits"), self.own("word"))
        return self.parts(component).symbol(key)

    # --- all that engines read --------------------------------------------------------------------------------
    def columns(self, leaves: Leaves) -> MachineColumns:
        """The machines as tables have them, with what a point of each leaf takes."""
        word_bytes = self.symbol("word_bytes")
        row_words, word_rows = rows_and_words(self._of_memories("row") / 8, word_bytes[:, None])
        row_bytes = row_words * word_bytes[:, None] / word_rows
        row_accesses = np.minimum(self._of_memories("ports"), self._of_memories("banks"))
        read_pj_per_byte = self._of_memories("read_energy") / row_bytes
        costs = [self.parts(array).gather(partial(ComponentPart.cost_of, operators=names)) for array, names in leaves]
        parts = (*self.shape.memories, *self.shape.arrays)
        leakage_w = [*(self.number(name, "leakage") for name in parts), self.own("leakage")]
        return MachineColumns(
            capacity_bytes=np.stack([self.capacity_bytes(name) for name in self.shape.memories], axis=1),
            bandwidth_bytes_per_s=self._of_memories("bandwidth") / 8,
            read_bytes_per_s=self._of_memories("read_bandwidth") / 8,
            write_bytes_per_s=self._of_memories("write_bandwidth") / 8,
            read_pj_per_byte=read_pj_per_byte,
            write_pj_per_byte=self._of_memories("write_energy") / row_bytes,
            drain_pj_per_byte=read_pj_per_byte * self._of_memories("drains_charged"),
            row_bytes=row_bytes,
            row_words=row_words,
            word_rows=word_rows,
            row_accesses=row_accesses,
            stated_accesses=np.where(self._of_memories("has_ports") == 1, row_accesses, np.inf),
            first_word_cycles=self._first_word_cycles(),
            rows=self._of_arrays("rows"),
            columns=self._of_arrays("columns"),
            lanes=self._of_arrays("lanes"),
            elements=self._of_arrays("pes"),
            along_rows=self._of_arrays("along_rows"),
            along_columns=self._of_arrays("along_columns"),
            **{key: self._of_links(key) for key in ("links_down", "links_along", "has_shadow", "folds_overlap")},
            cycles_per_point=np.stack([cost[:, 0] for cost in costs], axis=1),
            pj_per_point=np.stack([cost[:, 1] for cost in costs], axis=1),
            area_um2=np.stack([self.area_um2(name) for name in parts], axis=1),
            leakage_w=np.stack(leakage_w, axis=1),
            clock_hz=np.ascontiguousarray(self.own("clock"), float),
            word_bytes=np.ascontiguousarray(word_bytes, float),
            cores=self.own(CORES),
        )

    def _first_word_cycles(self) -> np.ndarray:
        """The longer of a latency in cycles and of one in time, which is rounded up."""
        found, times, clock_hz = self._of_memories("latency_cycles"), self._of_memories("latency"), self.own("clock")
        for design, memory in np.argwhere(times > 0.0).tolist():
            cycles = whole_cycles(float(times[design, memory]), float(clock_hz[design]))
            found[design, memory] = max(found[design, memory], cycles)
        return found

    def _of_memories(self, key: str) -> np.ndarray:
        return np.stack([self.number(memory, key) for memory in self.shape.memories], axis=1)

    def _of_arrays(self, key: str) -> np.ndarray:
        return np.stack([self.number(array, key) for array in self.shape.arrays], axis=1)

    def _of_links(self, key: str) -> np.ndarray:
        return self._of_arrays(key) if any(self.shape.linked) else np.empty((self.own(CORES).size, 0))


class _Numbers(NamedTuple):
    """All that is known of one machine."""

    parts: dict[str, ComponentPart]
    own: dict[str, float]


def rows_and_words(row_bytes: np.ndarray, word_bytes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(whole words in a row, at least 1; rows that a word takes, at least 1): a row of 64 bit holds two words of 24."""
    return np.maximum(1.0, row_bytes // word_bytes), np.maximum(1.0, -(-word_bytes // row_bytes))


@lru_cache(maxsize=4096)
def whole_cycles(time_s: float, clock_hz: float) -> int:
    """A time in cycles, rounded up in exact decimal arithmetic."""
    return ceil(Fraction(repr(time_s)) * Fraction(repr(clock_hz)))


@lru_cache(maxsize=4096)
def _numbers_once(architecture: Same[Architecture]) -> _Numbers:
    machine = architecture.noun
    cores = 1.0 if machine.cores is None else float(machine.cores.count)
    parts = {component.name: part_of(component) for component in machine.components}
    return _Numbers(parts, number_values(machine) | {CORES: cores})


def symbol_names(architecture: Architecture) -> tuple[str, ...]:
    """Every name that formulas may read of a machine, its own first."""
    names = [name for name, _ in architecture.symbols]
    for component in architecture.components:
        own = [name for name, _ in component.symbols]
        own += ["size_words"] if "size_bits" in own else []
        names += [f"{component.name}.{name}" for name in own]
    return tuple(names)


@lru_cache(maxsize=4096)
def machine_symbols(architecture: Same[Architecture]) -> tuple[tuple[str, float], ...]:
    """The values of `symbol_names` on one machine."""
    machines = Machines.of([architecture.noun])
    return tuple((name, whole(float(machines.symbol(name)[0]))) for name in symbol_names(architecture.noun))


def area_by_component_um2(architecture: Architecture) -> dict[str, float]:
    """The area of every component of one machine, in file order; a memory without a known area counts 0."""
    machines = Machines.of([architecture])
    return {name: float(machines.area_um2(name)[0]) for name in machines.shape.components}


def point_operators(cascade: Cascade, einsum: str) -> tuple[str, ...]:
    """The operators of one iteration point: those of the expression, then the reduction's."""
    return operators_per_point(cascade.einsum(einsum))


def leaves_of(cascade: Cascade, tree: ResolvedTree) -> Leaves:
    """What the leaves of a tree ask of their arrays."""
    return tuple((leaf.array, point_operators(cascade, leaf.einsum)) for leaf in tree.leaves)
