"""Energy and area of memories that a machine file does not price itself, from tables of known memories.

A technology is a table of memories of one node. A size in the table is returned unchanged; any other is interpolated
linearly on logarithmic axes between the two nearest sizes, in energy per bit of a row and in area. Beyond the ends of
the table the last segment is continued and the result is marked `extrapolated`.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple, Self

from pydantic import BaseModel, Field, model_validator

from arch.fields import Count
from arch.operation import FROZEN
from arch.quantity import AreaUm2, EnergyPj, LengthNm, SizeBits, exact_quantity
from arch.types import Architecture, Memory
from einsums.names import nearest


class TechnologyRow(BaseModel):
    """One characterised memory; values missing from its source are absent."""

    model_config = FROZEN

    size_bits: SizeBits = Field(alias="size")
    row_bits: SizeBits = Field(alias="row")
    banks: Count = 1
    read_pj: EnergyPj | None = Field(None, alias="read_energy")
    write_pj: EnergyPj | None = Field(None, alias="write_energy")
    area_um2: AreaUm2 | None = Field(None, alias="area")
    source: str

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        values = (self.read_pj, self.write_pj, self.area_um2)
        if all(value is None for value in values):
            raise ValueError("a row gives neither energy nor area")
        if any(value == 0 for value in values):
            raise ValueError("a row gives a zero, which has no logarithm: leave out what is not known")
        return self


class Technology(BaseModel):
    """A named table of memories at one node."""

    model_config = FROZEN

    name: str
    description: str = ""
    node_nm: LengthNm = Field(alias="node")
    rows: tuple[TechnologyRow, ...]
    source: str

    @model_validator(mode="after")
    def _has_energies(self) -> Self:
        for value, key in (("read_pj", "read_energy"), ("write_pj", "write_energy")):
            if all(getattr(row, value) is None for row in self.rows):
                raise ValueError(f"technology '{self.name}' has no row with {key}")
        sizes = [(row.size_bits, row.row_bits) for row in self.rows]
        if len(set(sizes)) < len(sizes):
            raise ValueError(f"technology '{self.name}' has two rows of the same size and row")
        return self


class AccessCost(NamedTuple):
    """One row access and the area of a memory; area is None if the table has none."""

    read_pj: float
    write_pj: float
    area_um2: float | None
    interpolated: bool
    extrapolated: bool


class _Estimate(NamedTuple):
    value: float
    interpolated: bool
    extrapolated: bool


_Column = Callable[[TechnologyRow], float | None]


def _points(rows: Iterable[TechnologyRow], row_bits: float, value: _Column) -> list[tuple[float, float]]:
    """(log size, log value) by size; among rows of one size, the one whose row is nearest in width."""
    known = [row for row in rows if value(row) is not None]
    by_width = sorted(known, key=lambda row: (-abs(math.log(row.row_bits / row_bits)), -row.row_bits))
    # The nearest width comes last and overwrites the others of its size.
    logs = {row.size_bits: math.log(value(row) or math.nan) for row in by_width}
    return [(math.log(size), logs[size]) for size in sorted(logs)]


def _on_line(points: list[tuple[float, float]], log_size: float) -> _Estimate:
    """Piecewise linear through the points; the first and last segments continue beyond the ends."""
    if len(points) == 1:
        return _Estimate(math.exp(points[0][1]), True, log_size != points[0][0])
    segment = next((i for i, (x, _) in enumerate(points[1:]) if log_size <= x), len(points) - 2)
    (x0, y0), (x1, y1) = points[segment], points[segment + 1]
    outside = not points[0][0] <= log_size <= points[-1][0]
    return _Estimate(math.exp(y0 + (y1 - y0) * (log_size - x0) / (x1 - x0)), not outside, outside)


def _estimate(technology: Technology, size_bits: float, row_bits: float, field: str) -> _Estimate | None:
    """One quantity of the memory: from the table, otherwise interpolated; None if no row gives it."""

    def value(row: TechnologyRow) -> float | None:
        found: float | None = getattr(row, field)
        return found

    def per_bit(row: TechnologyRow) -> float | None:
        found = value(row)
        return None if found is None else found / row.row_bits

    for row in technology.rows:
        exact = value(row)
        if exact is not None and (row.size_bits, row.row_bits) == (size_bits, row_bits):
            return _Estimate(exact, False, False)
    is_energy = field != "area_um2"
    points = _points(technology.rows, row_bits, per_bit if is_energy else value)
    if not points:
        return None
    estimate = _on_line(points, math.log(size_bits))
    return estimate._replace(value=estimate.value * row_bits) if is_energy else estimate


def area_curve(technology: Technology, row_bits: float) -> tuple[tuple[float, float], ...]:
    """(log bits, log um^2) of the table's memories by size; between them and beyond, area follows straight lines."""
    return tuple(_points(technology.rows, row_bits, lambda row: row.area_um2))


def lookup(technology: Technology, size_bits: float, row_bits: float) -> AccessCost:
    """Energy of one row access (pJ) and area (um^2) of such a memory, and how they were found."""
    read = _estimate(technology, size_bits, row_bits, "read_pj")
    write = _estimate(technology, size_bits, row_bits, "write_pj")
    area = _estimate(technology, size_bits, row_bits, "area_um2")
    assert read is not None and write is not None, "a technology has energies"
    estimates = [estimate for estimate in (read, write, area) if estimate is not None]
    return AccessCost(
        read.value,
        write.value,
        None if area is None else area.value,
        any(estimate.interpolated for estimate in estimates),
        any(estimate.extrapolated for estimate in estimates),
    )


def price_memory(memory: Memory, technologies: Mapping[str, Technology], node_nm: float) -> Memory:
    """The memory priced by its technology; values from the machine file are kept. ValueError as below."""
    if memory.technology is None:
        return memory
    if memory.technology not in technologies:
        reason = nearest(memory.technology, technologies)
        raise ValueError(f"memory '{memory.name}': unknown technology '{memory.technology}'{reason}")
    technology = technologies[memory.technology]
    if technology.node_nm != node_nm:
        raise ValueError(
            f"memory '{memory.name}': technology '{technology.name}' is at {technology.node_nm:g} nm,"
            f" the machine at {node_nm:g} nm"
        )
    assert memory.size_bits is not None, "validated"
    cost = lookup(technology, memory.size_bits, memory.row_bits)
    found = {
        "read_energy": exact_quantity(cost.read_pj, "energy"),
        "write_energy": exact_quantity(cost.write_pj, "energy"),
    }
    if cost.area_um2 is not None:
        found["area"] = exact_quantity(cost.area_um2, "area")
    given = memory.model_dump(exclude_none=True)
    flags = {"interpolated": cost.interpolated, "extrapolated": cost.extrapolated}
    return Memory.model_validate(found | given | flags)


def resolve_technology(architecture: Architecture, technologies: Iterable[Technology]) -> Architecture:
    """The same machine with every memory priced; ValueError for an unknown technology or one of another node.

    A memory that already has prices keeps them.
    """
    by_name = {technology.name: technology for technology in technologies}
    components = [
        price_memory(component, by_name, architecture.node_nm) if isinstance(component, Memory) else component
        for component in architecture.components
    ]
    dumped = [component.model_dump(exclude_none=True) for component in components]
    return Architecture.model_validate(architecture.model_dump() | {"components": dumped})
