"""Which paths of an experiment are numbers in which a batch of designs may differ, and how they are written.

Everything else (a model, a mapping, a technology, ...) changes the tables themselves, so designs are grouped by it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from arch.components import Array, Memory
from arch.numbers import MachineNumber, Numbered, numbers_of
from arch.operation import Operation
from arch.quantity import Dimension, exact_quantity, parse_quantity
from arch.types import Architecture

Owner = Literal["workload", "machine", "component", "parameter"]


@dataclass(frozen=True, slots=True)
class VariedNumber:
    """A number at a path: what it belongs to, the rest of the path inside that, its dimension (None: a number)."""

    path: str
    owner: Owner
    component: str  # of the machine, else empty
    key: str  # inside its owner
    dimension: Dimension | None

    def written(self, value: float) -> Any:
        """The value as in a file, exact to the last bit."""
        value = float(value)  # numpy's floats have another repr
        if self.dimension is not None:
            return exact_quantity(value, self.dimension)
        return int(value) if value.is_integer() else value

    def read(self, value: Any, unit: str | None) -> float:
        """Stored units from a value in a file, or from a number in `unit`; ValueError for anything else."""
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if self.dimension is None:
            if not is_number or unit is not None:
                found = f"'{value}'" if unit is None else f"'{value} {unit}'"
                raise ValueError(f"expected a plain number, got {found}")
            return float(value)
        return parse_quantity(f"{value} {unit}" if is_number and unit is not None else value, self.dimension)


_WORKLOAD = ("seq_len", "batch")


def varied_numbers(noun: type[Numbered]) -> dict[str, MachineNumber]:
    """The numbers of a kind of component that an axis may vary, by their keys."""
    return {number.key: number for number in numbers_of(noun) if number.is_varied}


def number_at(path: str, experiment: Mapping[str, Any], categorical: frozenset[str]) -> VariedNumber | None:
    """The number at a path of an expanded experiment, None if the path holds none; `categorical`: parameters."""
    head, _, rest = path.removeprefix("$.").partition(".")
    if head in _WORKLOAD and not rest:
        return VariedNumber(path, "workload", "", head, None)
    if head == "ranks" and rest:
        return VariedNumber(path, "workload", "", path, None)
    if head == "parameters" and rest and rest not in categorical:
        return VariedNumber(path, "parameter", "", rest, None)
    return _machine_number(path, rest, experiment.get("architecture")) if head == "architecture" else None


def _machine_number(path: str, inside: str, architecture: Any) -> VariedNumber | None:
    own = varied_numbers(Architecture)
    if inside in own:
        return VariedNumber(path, "machine", "", inside, own[inside].dimension)
    steps = inside.split(".")
    bodies = architecture.get("components") if isinstance(architecture, dict) else None
    if len(steps) < 3 or steps[0] != "components" or not isinstance(bodies, dict):
        return None
    body = bodies.get(steps[1])
    if not isinstance(body, dict):
        return None
    keys = varied_numbers(Memory if body.get("kind") == "memory" else Array)
    if len(steps) == 3 and steps[2] in keys:
        return VariedNumber(path, "component", steps[1], steps[2], keys[steps[2]].dimension)
    operations: Any = body.get("operations")
    keys = varied_numbers(Operation)
    is_inside = len(steps) == 5 and steps[2] == "operations" and isinstance(operations, dict)
    if is_inside and steps[3] in operations and steps[4] in keys:
        return VariedNumber(path, "component", steps[1], ".".join(steps[2:]), keys[steps[4]].dimension)
    return None
