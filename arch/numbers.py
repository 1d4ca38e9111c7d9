"""The numbers of a machine: a table per kind of component and a row per number, declared at the number's field.

A `MachineNumber` in the annotation of a field of `Memory`, `Array`, `Operation` or `Architecture` makes it a row; its
key, dimension and default are the field's own. All code that needs the numbers of a component (columns of a batch, axes
of a sweep, names in formulas, documents) reads the table, so that a new number is one row and the formula that uses it.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, ClassVar, Literal, get_args

from arch.quantity import Dimension, Quantity
from einsums.quiet import QuietDefaults

# What a number becomes for a whole machine. "one": it stays; "copies": times all instances, one beside each element of
# each core's array; "charged": times the share of the instances whose energy is charged.
Times = Literal["one", "copies", "charged"]


def whole(value: float) -> float:
    """The value as an integer if it is one, so that tile arithmetic stays exact."""
    return int(value) if float(value).is_integer() else value


@dataclass(frozen=True, slots=True)
class MachineNumber:
    """A row: where the value is found, how it scales to the machine, and who may read or vary it."""

    of: str = ""  # the attribute with the value in stored units, if not the field itself
    absent: float = math.nan  # the value used if there is none
    times: Times = "one"
    symbols: tuple[tuple[str, float], ...] = ()  # names in formulas, each with its unit in stored units
    is_varied: bool = True  # whether an axis of a sweep may vary it
    is_quiet: bool = False  # left out of dumps at its default, so that designs without it keep their hash
    enters: str = ""
    dimension: Dimension | None = None
    key: str = ""  # in a file; for a derived number, its name in columns
    field: str = ""
    default: Any = None
    quantity: Quantity | None = None  # None: a plain number, or a formula

    def value_of(self, component: Any) -> float:
        """The number of one component, in stored units."""
        found = getattr(component, self.of)
        return self.absent if found is None else float(found)

    def iter_symbols(self, value: Any) -> Iterator[tuple[str, Any]]:
        """The names under which formulas read a value, or a column of values."""
        return ((name, value / unit) for name, unit in self.symbols)


class Numbered(QuietDefaults):
    """A noun with a table of numbers."""

    derived_numbers: ClassVar[tuple[MachineNumber, ...]] = ()  # properties that follow from the fields


@lru_cache(maxsize=16)
def numbers_of(noun: type[Numbered]) -> tuple[MachineNumber, ...]:
    """The table of a kind of noun: its fields in order, then the numbers derived from them."""
    rows = []
    for name, field in noun.model_fields.items():
        marks = [mark for mark in field.metadata if isinstance(mark, MachineNumber)]
        for mark in marks:
            quantity = _quantity_of(field)
            dimension = mark.dimension if quantity is None else quantity.dimension
            default = None if field.is_required() else field.default
            made = replace(mark, of=mark.of or name, key=field.alias or name, field=name, default=default)
            rows.append(replace(made, quantity=quantity, dimension=dimension))
    return (*rows, *(replace(row, of=row.of or row.key, is_varied=False) for row in noun.derived_numbers))


def number_values(component: Numbered) -> dict[str, float]:
    """Every number of one component by its key, in stored units."""
    return {number.key: number.value_of(component) for number in numbers_of(type(component))}


def symbols_of(component: Numbered) -> tuple[tuple[str, float], ...]:
    """The values that formulas may read of one component; unbounded or missing ones are absent."""
    found = [(number, getattr(component, number.of)) for number in numbers_of(type(component)) if number.symbols]
    given = (number.iter_symbols(value) for number, value in found if value is not None)
    return tuple((name, whole(value)) for pairs in given for name, value in pairs)


def _quantity_of(field: Any) -> Quantity | None:
    """The quantity in a field's annotation."""
    marks = [*field.metadata, *(mark for part in get_args(field.annotation) for mark in get_args(part))]
    return next((mark for mark in marks if isinstance(mark, Quantity)), None)
