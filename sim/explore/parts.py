"""Components of machines that differ in some numbers: each different one is built once, by the room that knows it.

A chunk of designs has few different values of any one component, so the noun itself is made for each of them, checked
and priced as a machine file would be, and its numbers are gathered into columns. One source of arithmetic serves a
single design and a million.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from arch.energy import Technology, price_memory
from arch.types import Array, Component, Memory
from sim.explore.varied import Number
from sim.load.document import plain_document
from sim.load.overrides import set_path
from sim.load.problems import InputError
from sim.load.structure import structure

MOST_KEPT = 20_000  # parts of one component that are kept for the next chunk

# Columns of the numbers of a memory, in this order; then those of an array.
SIZE_BITS, BANDWIDTH, READ_PJ, WRITE_PJ, ROW_BITS, DRAINS, CHARGED, AREA_UM2, INTERPOLATED, EXTRAPOLATED = range(10)
ROWS, COLUMNS, DRAIN_CYCLES, PE_UM2, INTERCONNECT_UM2 = range(5)
ALL = -1.0  # of CHARGED: every instance


@dataclass(slots=True)
class Part:
    """One component with its numbers; `refusal` says why there can be none such."""

    numbers: tuple[float, ...] = ()
    symbols: tuple[tuple[str, float], ...] = ()
    refusal: str = ""
    array: Array | None = None
    technology: str | None = None
    costs: dict[tuple[str, ...], tuple[float, float]] = field(default_factory=dict)

    def cost_of(self, operators: tuple[str, ...]) -> tuple[float, float]:
        """Cycles and pJ of one point of these operators, on an array."""
        if operators not in self.costs:
            assert self.array is not None
            self.costs[operators] = (
                self.array.cycles_per_point(operators),
                self.array.energy_pj_per_point(operators),
            )
        return self.costs[operators]


class Parts(NamedTuple):
    """A component over a batch: its different parts, and which of them each design has."""

    parts: list[Part]
    which: np.ndarray  # i8[design]

    def gather(self, value: Callable[[Part], Any]) -> np.ndarray:
        """`value` of every design's part: f8[design] (or [design, n] for tuples)."""
        return np.array([value(part) for part in self.parts], float)[self.which]

    def number(self, index: int) -> np.ndarray:
        return self.gather(lambda part: part.numbers[index])


def part_of(component: Component) -> Part:
    """The part of a component that exists."""
    if isinstance(component, Array):
        per_pe = sum(operation.area_um2 for operation in component.operations)
        numbers: tuple[float, ...] = (
            component.rows,
            component.columns,
            component.drain_cycles,
            per_pe,
            component.interconnect_area_um2,
        )
        return Part(numbers, component.symbols, array=component)
    charged = ALL if component.energy_instances == "all" else float(component.energy_instances)
    assert component.read_pj is not None and component.write_pj is not None, "priced"
    numbers = (
        np.inf if component.size_bits is None else component.size_bits,
        np.inf if component.bandwidth_bits_per_s is None else component.bandwidth_bits_per_s,
        component.read_pj,
        component.write_pj,
        component.row_bits,
        component.drains_charged,
        charged,
        component.area_um2 or 0.0,
        component.interpolated,
        component.extrapolated,
    )
    return Part(numbers, component.symbols, technology=component.technology)


@dataclass(slots=True)
class Blueprint:
    """A component as its file has it, and the numbers in it that designs differ in."""

    name: str
    body: Mapping[str, Any]
    varied: tuple[Number, ...]
    technologies: Mapping[str, Technology]
    node_nm: float
    kept: dict[tuple[float, ...], Part] = field(default_factory=dict)

    def parts(self, values: np.ndarray) -> Parts:
        """The parts for `values: f8[design, varied number]`, stored units."""
        firsts, which = distinct_rows(values)
        if len(self.kept) > MOST_KEPT:
            self.kept.clear()
        return Parts([self.part(tuple(values[i].tolist())) for i in firsts], which)

    def part(self, values: tuple[float, ...]) -> Part:
        if values not in self.kept:
            self.kept[values] = self._make(values)
        return self.kept[values]

    def _make(self, values: tuple[float, ...]) -> Part:
        body: Any = dict(self.body) | {"name": self.name}
        for number, value in zip(self.varied, values, strict=True):
            body = set_path(body, number.key, number.written(value))
        document = plain_document(body, "")
        try:
            if body["kind"] == "memory":
                return part_of(price_memory(structure(document, Memory), self.technologies, self.node_nm))
            return part_of(structure(document, Array))
        except InputError as error:
            place = f"$.architecture.components.{self.name}"
            said = [f"{place}{problem.path.removeprefix('$')}: {problem.message}" for problem in error.problems]
            return Part(refusal="; ".join(said))
        except ValueError as error:
            return Part(refusal=f"$.architecture.components.{self.name}: {error}")


def distinct_rows(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where each different row of `values: f8[n, k]` stands first, and which of them every row is."""
    code = np.zeros(len(values), np.int64)
    for column in values.T:
        found, inverse = np.unique(column, return_inverse=True)
        code = code * len(found) + inverse
        code = np.unique(code, return_inverse=True)[1]  # small again, so that no product overflows
    _, firsts, which = np.unique(code, return_index=True, return_inverse=True)
    return firsts, which
