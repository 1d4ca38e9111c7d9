"""What one processing element can do in one slot, and how operations cover the operators of a point.

An operation carries out a multiset of cascade operators as one action: a MACC covers (mul, add), a pipelined
exponential unit may cover (sub, exp). An operation may instead be composed of others of the same array (an exponential
of six MACCs), which determine its cycles and energy.
"""

from collections import Counter
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from arch.fields import Count, Cycles, Identifier
from arch.numbers import MachineNumber, Numbered
from arch.quantity import AreaUm2, EnergyPj

FROZEN = ConfigDict(frozen=True, extra="forbid", serialize_by_alias=True)


class Part(BaseModel):
    """A number of slots of another operation."""

    model_config = FROZEN

    operation: Identifier
    count: Count


def _parts(value: Any) -> Any:
    """YAML's `{macc: 6}` as a list of parts."""
    if not isinstance(value, dict):
        return value
    return [{"operation": name, "count": count} for name, count in value.items()]


class Operation(Numbered):
    """One action of a processing element: the operators it covers, its cycles, energy and area."""

    model_config = FROZEN

    name: Identifier
    operators: tuple[str, ...]
    also: tuple[tuple[str, ...], ...] = ()
    cycles: Annotated[Cycles | None, MachineNumber(enters="time")] = None
    energy_pj: Annotated[EnergyPj | None, MachineNumber(enters="energy")] = Field(None, alias="energy")
    area_um2: Annotated[AreaUm2, MachineNumber(enters="area, for each element")] = Field(0.0, alias="area")
    made_of: Annotated[tuple[Part, ...], BeforeValidator(_parts)] = ()
    source: str

    @model_validator(mode="before")
    @classmethod
    def _operators_default_to_the_name(cls, data: Any) -> Any:
        if isinstance(data, dict) and "operators" not in data and "name" in data:
            return data | {"operators": [data["name"]]}
        return data

    @model_validator(mode="after")
    def _cost_is_given_once(self) -> Self:
        if any(not covered for covered in (self.operators, *self.also)):
            raise ValueError(f"operation '{self.name}' covers no operator")
        given = self.cycles is not None or self.energy_pj is not None or self.area_um2 > 0
        if self.made_of and given:
            raise ValueError(
                f"operation '{self.name}' is made of others: expected no cycles, energy or area of its own"
            )
        if not self.made_of and (self.cycles is None or self.energy_pj is None):
            missing = "cycles" if self.cycles is None else "energy"
            raise ValueError(f"operation '{self.name}' has no {missing}: give it, or made_of")
        return self

    @property
    def coverages(self) -> tuple[tuple[str, ...], ...]:
        """Every multiset of operators that one such action carries out."""
        return (self.operators, *self.also)


Actions = tuple[tuple[Operation, int], ...]


def _coverages(operations: tuple[Operation, ...]) -> list[tuple[Operation, Counter[str]]]:
    """Coverages with more operators first; ties in file order."""
    pairs = [(operation, Counter(covered)) for operation in operations for covered in operation.coverages]
    return sorted(pairs, key=lambda pair: -pair[1].total())


def cover(operations: tuple[Operation, ...], operators: tuple[str, ...]) -> Actions | None:
    """The actions that carry out these operators, with their counts; None if some operator is left over.

    Greedy in the order of `_coverages`, backtracking from a choice that leaves an operator uncovered.
    """
    coverages = _coverages(operations)
    dead_ends: set[tuple[str, ...]] = set()

    def chosen(left: Counter[str]) -> list[Operation] | None:
        if not left:
            return []
        key = tuple(sorted(left.elements()))
        if key in dead_ends:
            return None
        for operation, covered in coverages:
            rest = chosen(left - covered) if covered <= left else None
            if rest is not None:
                return [operation, *rest]
        dead_ends.add(key)
        return None

    actions = chosen(Counter(operators))
    if actions is None:
        return None
    counts = Counter(operation.name for operation in actions)
    return tuple((operation, counts[operation.name]) for operation in dict.fromkeys(actions))
