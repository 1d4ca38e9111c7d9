"""A machine as a tree: memories below one root, and the arrays of processing elements that they feed.

The tree is checked once, when it is made: one root, known parents, registers that belong to their array. Everything
else is arithmetic on its own fields, in file order.
"""

from collections.abc import Iterator
from math import prod
from typing import Annotated, Self

from pydantic import BeforeValidator, Field, TypeAdapter, model_validator

from arch.components import Array, Drain, Links, Memory
from arch.cores import Calibration, Cores
from arch.fields import LocatedProblem, refuse_at, validated_by_name
from arch.numbers import MachineNumber, Numbered, symbols_of
from arch.operation import FROZEN
from arch.quantity import FrequencyHz, LengthNm, PowerW, SizeBits
from einsums.names import nearest

__all__ = ["Architecture", "Array", "Component", "Drain", "Links", "Memory"]

Component = Memory | Array
CHIP = "chip"  # the name of the machine's own leakage in results
_OfKind = Annotated[Component, Field(discriminator="kind")]
_ComponentsByName = BeforeValidator(validated_by_name(TypeAdapter(dict[str, _OfKind]), "component"))


class Architecture(Numbered):
    """A machine: clock, word size, technology node and the tree of its components, in file order."""

    model_config = FROZEN

    name: str
    description: str = ""
    clock_hz: Annotated[FrequencyHz, MachineNumber(symbols=(("clock_hz", 1),), enters="time")] = Field(alias="clock")
    word_bits: Annotated[
        SizeBits, MachineNumber(symbols=(("word_bytes", 8), ("word_bits", 1)), enters="bytes of every tile")
    ] = Field(alias="word")
    node_nm: LengthNm = Field(alias="node")
    leakage_w: Annotated[
        PowerW | None, MachineNumber(absent=0.0, is_quiet=True, enters="energy, all the time, beside the components'")
    ] = Field(None, alias="leakage")
    components: Annotated[tuple[Memory | Array, ...], _ComponentsByName]
    cores: Cores | None = None
    calibration: Calibration | None = None
    source: str

    @model_validator(mode="after")
    def _is_a_machine(self) -> Self:
        problems = [*self._iter_parent_problems(), *self._iter_register_problems()]
        refuse_at(type(self).__name__, problems)
        refuse_at(type(self).__name__, [*self._iter_tree_problems(), *self._iter_instance_problems()])
        refuse_at(type(self).__name__, list(self._iter_core_problems()))
        if self.leakage_w is not None and CHIP in {component.name for component in self.components}:
            reason = f"a component is called '{CHIP}', as results call what leaks beside the components"
            refuse_at(type(self).__name__, [(("leakage",), reason)])
        return self

    def _iter_parent_problems(self) -> Iterator[LocatedProblem]:
        for component in self.components:
            if component.parent is not None:
                yield from self._iter_memory_problems(component, "parent", component.parent)

    def _iter_register_problems(self) -> Iterator[LocatedProblem]:
        arrays = {array.name for array in self.arrays}
        for array in self.arrays:
            yield from self._iter_memory_problems(array, "registers", array.registers)
        for memory in self.memories:
            if memory.per_pe_of is not None and memory.per_pe_of not in arrays:
                reason = nearest(memory.per_pe_of, arrays)
                yield ("components", memory.name, "per_pe_of"), f"unknown array '{memory.per_pe_of}'{reason}"
            for holding in memory.holds:
                if holding.array is not None and holding.array not in arrays:
                    reason = nearest(holding.array, arrays)
                    yield ("components", memory.name, "holds"), f"unknown array '{holding.array}'{reason}"

    def _iter_memory_problems(self, component: Component, key: str, name: str) -> Iterator[LocatedProblem]:
        """Why `name` is not a memory, located at that key of the component."""
        memories = {memory.name for memory in self.memories}
        location = ("components", component.name, key)
        if name not in memories and any(array.name == name for array in self.arrays):
            yield location, f"expected a memory, got the array '{name}'"
        elif name not in memories:
            yield location, f"unknown memory '{name}'{nearest(name, memories)}"

    def _iter_tree_problems(self) -> Iterator[LocatedProblem]:
        roots = [memory.name for memory in self.memories if memory.parent is None]
        if len(roots) != 1:
            found = " and ".join(f"'{name}'" for name in roots) or "none"
            yield ("components",), f"expected exactly one memory without a parent, got {found}"
        reported: set[str] = set()
        for memory in self.memories:
            cycle = self._cycle_above(memory)
            if cycle and not reported & set(cycle):
                reported |= set(cycle)
                yield (
                    ("components", cycle[0], "parent"),
                    f"expected a tree, got the cycle {' -> '.join(cycle)}",
                )

    def _cycle_above(self, memory: Memory) -> list[str]:
        """The names along a cycle of parents that starts and ends at this memory; empty if there is none."""
        names = [memory.name]
        while memory.parent is not None and len(names) <= len(self.components):
            memory = self.memory(memory.parent)
            names.append(memory.name)
            if memory.name == names[0]:
                return names
        return []

    def _iter_instance_problems(self) -> Iterator[LocatedProblem]:
        for array in self.arrays:
            registers = self.memory(array.registers)
            if registers.per_pe_of != array.name:
                found = f"per_pe_of: {registers.per_pe_of}" if registers.per_pe_of else "no per_pe_of"
                expected = f"expected a memory with per_pe_of: {array.name}"
                location = ("components", array.name, "registers")
                yield location, f"{expected}, got '{registers.name}' with {found}"
            elif registers.shared_along:
                reason = f"the registers of '{array.name}', of which every element has its own"
                yield ("components", registers.name, "shared_along"), f"'{registers.name}' are {reason}"
        for memory in self.memories:
            charged, most = memory.energy_instances, self.instances(memory)
            if charged != "all" and charged > most:
                location = ("components", memory.name, "energy_instances")
                yield location, f"expected 'all' or at most {most}, got {charged}"

    def _iter_core_problems(self) -> Iterator[LocatedProblem]:
        if self.cores is None:
            return
        memories, arrays = ({one.name for one in group} for group in (self.memories, self.arrays))
        name = self.cores.memory
        if name not in memories:
            yield ("cores", "memory"), f"unknown memory '{name}'{nearest(name, memories)}"
            return
        if name == self.root.name:
            yield ("cores", "memory"), f"expected a memory below the root, got the root '{name}'"
        for pipe, array in self.cores.pipes or ():
            if array not in arrays:
                yield ("cores", "pipes", pipe), f"unknown array '{array}'{nearest(array, arrays)}"
            elif self.cores_of(array) == 1 != self.cores.count:
                yield ("cores", "pipes", pipe), f"expected an array below '{name}', got '{array}'"

    @property
    def memories(self) -> tuple[Memory, ...]:
        """The memories, in file order."""
        return tuple(component for component in self.components if isinstance(component, Memory))

    @property
    def arrays(self) -> tuple[Array, ...]:
        """The arrays, in file order."""
        return tuple(component for component in self.components if isinstance(component, Array))

    @property
    def root(self) -> Memory:
        """The memory without a parent."""
        return next(memory for memory in self.memories if memory.parent is None)

    def component(self, name: str) -> Component:
        """The component of that name; otherwise a ValueError suggests the nearest one."""
        for component in self.components:
            if component.name == name:
                return component
        names = tuple(component.name for component in self.components)
        raise ValueError(f"'{self.name}' has no component '{name}'{nearest(name, names)}")

    def memory(self, name: str) -> Memory:
        """The memory of that name; ValueError for an array or an unknown name."""
        component = self.component(name)
        if isinstance(component, Memory):
            return component
        raise ValueError(f"expected a memory of '{self.name}', got the array '{name}'")

    def array(self, name: str) -> Array:
        """The array of that name; ValueError for a memory or an unknown name."""
        component = self.component(name)
        if isinstance(component, Array):
            return component
        raise ValueError(f"expected an array of '{self.name}', got the memory '{name}'")

    def children(self, name: str) -> tuple[Component, ...]:
        """The components whose parent is that memory."""
        parent = self.memory(name).name
        return tuple(component for component in self.components if component.parent == parent)

    def path(self, name: str) -> tuple[Component, ...]:
        """From the root down to that component, both included."""
        component = self.component(name)
        return (component,) if component.parent is None else (*self.path(component.parent), component)

    def depth_of(self, name: str) -> int:
        """Depth of a component below the root, which has depth 0."""
        return len(self.path(name)) - 1

    def instances(self, memory: Memory) -> int:
        """The instances of that memory in a core: one per element of its array that does not share it, or one."""
        return 1 if memory.per_pe_of is None else prod(map(self.array(memory.per_pe_of).length, memory.own_sides))

    def cores_of(self, name: str) -> int:
        """The number of copies of that component: one per core, or 1 if the cores share it."""
        return self.cores.count if self.cores is not None and self.is_in_core(name) else 1

    def names_in_cores(self, name: str) -> tuple[str, ...]:
        """What that component is called in each core; by its own name if the cores share it or there is one."""
        cores = self.cores_of(name)
        return (name,) if cores == 1 else tuple(f"{name} core {core}" for core in range(cores))

    def is_in_core(self, name: str) -> bool:
        """Whether each core has its own copy of that component; a machine without cores shares everything."""
        return self.cores is not None and any(one.name == self.cores.memory for one in self.path(name))

    @property
    def symbols(self) -> tuple[tuple[str, float], ...]:
        """The values that formulas may read of the machine itself; components have their own."""
        return symbols_of(self)
