"""One component of a batch of machines: its different forms, each with the numbers of its table, and who has which."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from arch.numbers import number_values
from arch.types import Array, Component


@dataclass(slots=True)
class ComponentPart:
    """One form of a component; `refusal` says why there can be none such, which then has no numbers."""

    component: Component | None = None
    numbers: Mapping[str, float] = field(default_factory=dict)  # by key, of one instance, stored units
    symbols: Mapping[str, float] = field(default_factory=dict)
    refusal: str = ""
    costs: dict[tuple[str, ...], tuple[float, float]] = field(default_factory=dict)

    def cost_of(self, operators: tuple[str, ...]) -> tuple[float, float]:
        """Cycles and pJ of one point of these operators, on an array."""
        if operators not in self.costs:
            assert isinstance(self.component, Array)
            self.costs[operators] = (
                self.component.cycles_per_point(operators),
                self.component.energy_pj_per_point(operators),
            )
        return self.costs[operators]


def part_of(component: Component) -> ComponentPart:
    """The part of a component that exists, its technology resolved."""
    return ComponentPart(component, number_values(component), dict(component.symbols))


@dataclass(slots=True)
class Parts:
    """A component over a batch. LookupError for what a refused part would have to tell."""

    parts: list[ComponentPart]
    which: np.ndarray  # i8[design], the part of each
    _columns: dict[str, np.ndarray] = field(default_factory=dict)

    def gather(self, value: Callable[[ComponentPart], Any]) -> np.ndarray:
        """`value` of every design's part: f8[design] (or [design, n] for tuples)."""
        return np.array([value(part) for part in self.parts], float)[self.which]

    def number(self, key: str) -> np.ndarray:
        """A number of one instance: f8[design], stored units."""
        if key not in self._columns:
            self._columns[key] = self.gather(lambda part: part.numbers[key])
        return self._columns[key]

    def symbol(self, name: str) -> np.ndarray:
        """What formulas read under a name, without the component's: f8[design]."""
        return self.gather(lambda part: part.symbols[name])
