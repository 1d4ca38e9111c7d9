"""Components of machines that differ in some numbers: each distinct one is built once, by the code of a single design.

A chunk of designs has few distinct values of any one component, so the noun itself is made for each of them, checked
and priced like a machine file, and its numbers are gathered into columns. The same arithmetic serves a single design
and a million.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from arch.energy import Technology, price_memory
from arch.types import Array, Memory
from sim.explore.varied import VariedNumber
from sim.load.document import plain_document
from sim.load.overrides import set_path
from sim.load.problems import InputError
from sim.load.structure import structure
from sim.lower.parts import ComponentPart, Parts, part_of

MOST_KEPT = 20_000  # parts of one component that are kept for the next chunk


@dataclass(slots=True)
class Blueprint:
    """A component as in its file, and those of its numbers in which designs differ."""

    name: str
    body: Mapping[str, Any]
    varied: tuple[VariedNumber, ...]
    technologies: Mapping[str, Technology]
    node_nm: float
    kept: dict[tuple[float, ...], ComponentPart] = field(default_factory=dict)

    def parts(self, values: np.ndarray) -> Parts:
        """The parts for `values: f8[design, varied number]`, stored units."""
        firsts, which = distinct_rows(values)
        if len(self.kept) > MOST_KEPT:
            self.kept.clear()
        return Parts([self.part(tuple(values[i].tolist())) for i in firsts], which)

    def part(self, values: tuple[float, ...]) -> ComponentPart:
        if values not in self.kept:
            self.kept[values] = self._make(values)
        return self.kept[values]

    def _make(self, values: tuple[float, ...]) -> ComponentPart:
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
            return ComponentPart(refusal="; ".join(said))
        except ValueError as error:
            return ComponentPart(refusal=f"$.architecture.components.{self.name}: {error}")


def distinct_rows(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The first occurrence of each distinct row of `values: f8[n, k]`, and which of them every row equals."""
    code = np.zeros(len(values), np.int64)
    for column in values.T:
        found, inverse = np.unique(column, return_inverse=True)
        code = code * len(found) + inverse
        code = np.unique(code, return_inverse=True)[1]  # small again, so that no product overflows
    _, firsts, which = np.unique(code, return_index=True, return_inverse=True)
    return firsts, which
