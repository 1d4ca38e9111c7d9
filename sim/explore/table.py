"""The columns of the tables that other programs read: their headers with units, their kinds, and where they come from.

A number stands in one unit, named in the header, however the sweep wrote it: an axis of `8 MiB` and `1 GiB` is the
column `buffer (MiB)` with 8 and 1024. Metrics have their units in their names. What is a count is a whole number where
it is one and below 2^53; above, floats no longer tell neighbours apart, so it stays a float, which its form shows.
"""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from arch.quantity import TABLE_UNITS, Dimension, parse_quantity, split_quantity
from sim.explore.plan import AxisColumn, Plan

Kind = Literal["text", "boolean", "count", "number"]
COUNTS = ("cycles", "traffic_bytes", "read_bytes", "write_bytes", "footprint_bytes")  # the metrics that count
LARGEST_EXACT = 2**53


class TableColumn(NamedTuple):
    """A column: what it is called, what it holds, and the SQL over `points` that gives it; NULL where it is missing."""

    header: str
    kind: Kind
    sql: str


class AxisNumbers(NamedTuple):
    """The values of an axis as numbers in one unit."""

    unit: str
    values: tuple[float, ...]


def numbers_of(column: AxisColumn, plan: Plan) -> dict[str, Any] | None:
    """The values of an axis as numbers in one unit; None for words, and for an area that its groups do not share."""
    if column.axis.absorb is not None and column.values is not None:
        starts = {group.area_um2 for group in plan.groups.values()}
        own: list[float] = column.values.tolist()
        areas = [area if area == area else min(starts) for area in own]  # nan: that of the start
        return in_table_unit(areas, "area")._asdict() if areas == own or len(starts) == 1 else None
    found = plain_numbers(column.written, column.axis.unit)
    if found is None and column.numbers:
        number, stored = column.numbers[0]
        assert number.dimension is not None, "numbers without a dimension are written plainly"
        found = quantities(column.written, stored.tolist(), number.dimension)
    return found._asdict() if found else None


def plain_numbers(written: Sequence[Any], unit: str | None) -> AxisNumbers | None:
    """Values of an axis that are plain numbers, in the unit of the axis; None if any is a text."""
    is_plain = all(isinstance(value, (int, float)) for value in written)
    return AxisNumbers(unit or "", tuple(written)) if is_plain else None


def quantities(written: Sequence[Any], stored: Sequence[float], dimension: Dimension) -> AxisNumbers:
    """Values with units in the one that all are written in, else in that of their dimension."""
    parts = [split_quantity(value) if isinstance(value, str) else ("", "") for value in written]
    units = {unit for _, unit in parts}
    if len(units) == 1:
        return AxisNumbers(units.pop(), tuple(_plain(float(number)) for number, _ in parts))
    return in_table_unit(stored, dimension)


def in_table_unit(stored: Sequence[float], dimension: Dimension) -> AxisNumbers:
    """Stored values in the unit that tables use."""
    unit = TABLE_UNITS[dimension]
    factor = parse_quantity(f"1 {unit}", dimension)
    return AxisNumbers(unit, tuple(_plain(value / factor) for value in stored))


def _plain(value: float) -> float:
    return int(value) if value.is_integer() and abs(value) < LARGEST_EXACT else value


def with_unit(name: str, unit: str) -> str:
    """The header of a column."""
    return f"{name} ({unit})" if unit else name


def quoted(name: str) -> str:
    """A column's name in SQL."""
    return '"' + name.replace('"', '""') + '"'


def axis_column(axis: dict[str, Any]) -> TableColumn:
    """An axis, by its description in the store."""
    column = f"points.{quoted(axis['name'])}"
    written = axis["values"]
    if all(isinstance(value, bool) for value in written):
        return TableColumn(axis["name"], "boolean", column)
    numbers = axis["numbers"]
    if numbers is None:
        return TableColumn(axis["name"], "text", column)
    if any(isinstance(value, str) for value in written):
        pairs = zip(written, numbers["values"], strict=True)
        cases = " ".join(f"WHEN {literal(value)} THEN {number!r}" for value, number in pairs)
        column = f"CASE {column} {cases} END"
    is_whole = all(isinstance(value, int) for value in numbers["values"])
    return TableColumn(with_unit(axis["name"], numbers["unit"]), "count" if is_whole else "number", column)


def shown_value(axis: dict[str, Any], value: Any) -> Any:
    """A value of an axis as its column has it."""
    numbers = axis["numbers"]
    return value if numbers is None else numbers["values"][axis["values"].index(value)]


def settled_column(path: str, dimension: Dimension | None) -> TableColumn:
    """A number that follows from the axes; one without a unit may be a count."""
    column = f"points.{quoted(path)}"
    if dimension is None:
        return TableColumn(path, "count", whole_where_it_is(column))
    unit = TABLE_UNITS[dimension]
    return TableColumn(with_unit(path, unit), "number", f"{column} / {parse_quantity(f'1 {unit}', dimension)!r}")


def metric_column(name: str) -> TableColumn:
    """A metric or objective."""
    column = f"points.{quoted(name)}"
    if name.partition(".")[0] in COUNTS:
        return TableColumn(name, "count", whole_where_it_is(column))
    return TableColumn(name, "number", column)


def whole_where_it_is(column: str) -> str:
    """SQL that turns floats that are whole and exact into whole numbers."""
    is_whole = f"abs({column}) < {LARGEST_EXACT} AND {column} = CAST({column} AS INTEGER)"
    return f"CASE WHEN {is_whole} THEN CAST({column} AS INTEGER) ELSE {column} END"


def whole_if_it_is(value: float) -> float:
    """The same of one number."""
    return _plain(float(value))


def literal(value: str | float) -> str:
    """A value in SQL."""
    return "'" + value.replace("'", "''") + "'" if isinstance(value, str) else repr(value)
