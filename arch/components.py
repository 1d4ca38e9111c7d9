"""The components of a machine: memories, and the arrays of processing elements that they feed (`arrays.py`).

YAML keys are short (`size`, `clock`) and carry units in their values; Python names contain the stored unit
(`size_bits`, `clock_hz`). Quantities are dumped as exact text with a unit, so that any value in a file survives
`model_validate(model.model_dump())` to the last bit.
"""

import math
from typing import Annotated, Any, Literal, Self

from pydantic import Field, SerializationInfo, field_serializer, model_validator

from arch.arrays import SIDES, Array, Drain, Links, Side
from arch.dram import DramTiming
from arch.fields import AreaOrFormula, Count, Identifier, names_checked
from arch.holding import Holdings
from arch.numbers import MachineNumber, Numbered, symbols_of, whole
from arch.operation import FROZEN
from arch.quantity import BandwidthBitsPerS, EnergyPj, PowerW, SizeBits, TimeS
from einsums.quiet import Quiet

__all__ = ["RESOLVED", "SIDES", "Array", "Drain", "Links", "Memory", "Side"]

RESOLVED = {"resolved": True}  # context of dumps that say what a result depends on


class Memory(Numbered):
    """A memory that reads and writes whole rows; with `per_pe_of`, one instance per element of an array, or for all
    elements along the sides that share it.

    A file gives the size, or depth and width (entries x bits), or neither, in which case the memory is unbounded.
    """

    model_config = FROZEN
    derived_numbers = (MachineNumber(key="has_ports"),)

    kind: Literal["memory"] = "memory"
    name: Identifier
    parent: Identifier | None = None
    declared_size_bits: Annotated[
        SizeBits | None,
        MachineNumber(
            "size_bits", math.inf, "one", (("size_bytes", 8), ("size_bits", 1)), enters="capacity, technology"
        ),
    ] = Field(None, alias="size")
    declared_depth: Annotated[
        Count | None, MachineNumber("depth", symbols=(("depth", 1),), enters="capacity, with the width")
    ] = Field(None, alias="depth")
    width_bits: Annotated[SizeBits | None, MachineNumber(enters="capacity, with the depth; row")] = Field(
        None, alias="width"
    )
    declared_row_bits: Annotated[
        SizeBits | None, MachineNumber("row_bits", symbols=(("row_bits", 1),), enters="energy of a byte, row accesses")
    ] = Field(None, alias="row")
    banks: Annotated[Count, MachineNumber(symbols=(("banks", 1),), enters="row accesses at once")] = 1
    ports: Annotated[
        Count | None, MachineNumber("port_count", symbols=(("ports", 1),), enters="row accesses at once")
    ] = None
    declared_bandwidth_bits_per_s: Annotated[
        BandwidthBitsPerS | None,
        MachineNumber("bandwidth_bits_per_s", math.inf, symbols=(("bandwidth_bits_per_s", 1),), enters="time"),
    ] = Field(None, alias="bandwidth")
    read_bandwidth_bits_per_s: Annotated[
        BandwidthBitsPerS | None,
        MachineNumber(
            absent=math.inf,
            symbols=(("read_bandwidth_bits_per_s", 1),),
            is_quiet=True,
            enters="time, of what is read, in place of the bandwidth",
        ),
    ] = Field(None, alias="read_bandwidth")
    write_bandwidth_bits_per_s: Annotated[
        BandwidthBitsPerS | None,
        MachineNumber(
            absent=math.inf,
            symbols=(("write_bandwidth_bits_per_s", 1),),
            is_quiet=True,
            enters="time, of what is written, in place of the bandwidth",
        ),
    ] = Field(None, alias="write_bandwidth")
    timing: DramTiming | None = None  # of a DRAM; its peak replaces the bandwidth
    # From the request of a read to its first word, as a time or in cycles of the machine: the longer of both.
    latency_s: Annotated[
        TimeS,
        MachineNumber(
            is_varied=False,
            is_quiet=True,
            enters="time: of the first read, in the cycle engine of each after a pause",
        ),
    ] = Field(0.0, alias="latency")
    latency_cycles: Annotated[
        Count | None, MachineNumber(absent=0.0, is_varied=False, is_quiet=True, enters="time, as the latency")
    ] = None
    # Coordinates of a tile, along the rank that its reader walks first, that may be read before the others are here.
    piece: Annotated[Count | None, MachineNumber(is_varied=False, is_quiet=True, enters="time of the cycle engine")] = (
        None
    )
    read_pj: Annotated[EnergyPj | None, MachineNumber(times="charged", enters="energy, for each row read")] = Field(
        None, alias="read_energy"
    )
    write_pj: Annotated[EnergyPj | None, MachineNumber(times="charged", enters="energy, for each row written")] = Field(
        None, alias="write_energy"
    )
    leakage_w: Annotated[
        PowerW, MachineNumber(times="copies", is_quiet=True, enters="energy, all the time, of each instance")
    ] = Field(0.0, alias="leakage")
    technology: str | None = None
    area: Annotated[
        AreaOrFormula | None,
        MachineNumber("area_um2", 0.0, "copies", enters="area, of each instance", dimension="area"),
    ] = None
    per_pe_of: Identifier | None = None
    shared_along: Annotated[tuple[Side, ...], Quiet()] = ()  # sides of that array along which one serves all elements
    holds: Annotated[Holdings, Quiet()] = ()  # without a phrase: anything
    energy_instances: Annotated[
        Literal["all"] | Count, MachineNumber("charged_instances", math.inf, is_varied=False, enters="energy of rows")
    ] = "all"
    # Whether reading a finished tile on its way out costs energy.
    drains_charged: Annotated[bool, MachineNumber(is_varied=False, enters="energy of rows read by drains")] = True
    interpolated: bool = False  # set when energies or area lie between two rows of a technology table
    # Set when they lie outside it.
    extrapolated: Annotated[bool, MachineNumber(is_varied=False)] = False
    source: str

    @model_validator(mode="after")
    def _size_is_given_once(self) -> Self:
        if (self.declared_depth is None) != (self.width_bits is None):
            missing = "depth" if self.declared_depth is None else "width"
            raise ValueError(f"memory '{self.name}' has no {missing}: depth and width go together")
        if self.declared_depth is not None and self.declared_size_bits is not None:
            raise ValueError(f"memory '{self.name}' has both a size and a depth: expected one of them")
        if self.declared_row_bits is None and self.width_bits is None:
            raise ValueError(f"memory '{self.name}' has no row: expected its width, such as '64 bit'")
        if self.size_bits is not None and self.size_bits < self.row_bits:
            raise ValueError(f"memory '{self.name}' is smaller than one of its rows")
        return self

    @model_validator(mode="after")
    def _is_shared_beside_an_array(self) -> Self:
        if self.shared_along and self.per_pe_of is None:
            raise ValueError(f"memory '{self.name}' is shared along sides of an array: per_pe_of must name it")
        return self

    @property
    def own_sides(self) -> tuple[Side, ...]:
        """Sides of its array along which every element has one of its own."""
        return tuple(side for side in SIDES if side not in self.shared_along) if self.per_pe_of else ()

    @model_validator(mode="after")
    def _moves_words_in_one_way(self) -> Self:
        apart = [key for key in ("read", "write") if getattr(self, f"{key}_bandwidth_bits_per_s") is not None]
        if apart and self.timing is not None:
            bus = "whose data bus serves both directions"
            raise ValueError(f"memory '{self.name}' has a DRAM timing, {bus}, and a {apart[0]}_bandwidth: expected one")
        if apart and self.declared_bandwidth_bits_per_s is not None:
            expected = "expected one for both directions together, or one for each"
            raise ValueError(f"memory '{self.name}' has both a bandwidth and a {apart[0]}_bandwidth: {expected}")
        return self

    @model_validator(mode="after")
    def _is_where_a_dram_is(self) -> Self:
        if self.timing is not None and (self.parent is not None or self.per_pe_of is not None):
            raise ValueError(f"memory '{self.name}' has a DRAM timing, which only a memory without a parent can have")
        return self

    @model_validator(mode="after")
    def _costs_are_known(self) -> Self:
        given = self.read_pj is not None and self.write_pj is not None
        if not given and self.technology is None:
            missing = "read_energy" if self.read_pj is None else "write_energy"
            raise ValueError(f"memory '{self.name}' has no {missing}: give it, or a technology")
        if self.technology is not None and self.size_bits is None:
            raise ValueError(f"memory '{self.name}' has a technology but no size to look up")
        if self.area is not None and not isinstance(self.area, float):
            names_checked(self.area, self.symbols)
        return self

    @field_serializer("ports")
    def _as_counted(self, ports: int | None, info: SerializationInfo) -> Any:
        """In results and their hashes 1 where no file gives any, as where they were a number with that default; a given
        1 differs from it.
        """
        if info.context != RESOLVED:
            return ports
        return {None: 1, 1: 1.0}.get(ports, ports)

    @property
    def port_count(self) -> int:
        """Ports, one where the file gives none."""
        return self.ports or 1

    @property
    def has_ports(self) -> bool:
        """Whether the file says how many ports it has."""
        return self.ports is not None

    @property
    def bandwidth_bits_per_s(self) -> float | None:
        """Peak of its DRAM timing, or as declared; None if unlimited."""
        return self.declared_bandwidth_bits_per_s if self.timing is None else 8 * self.timing.peak_bytes_per_s

    @property
    def is_limited(self) -> bool:
        """Whether a bandwidth limits how fast words move, in one direction at least."""
        links = (self.bandwidth_bits_per_s, self.read_bandwidth_bits_per_s, self.write_bandwidth_bits_per_s)
        return any(link is not None for link in links)

    @property
    def size_bits(self) -> float | None:
        """Capacity of one instance, or None when unbounded."""
        if self.declared_depth is not None and self.width_bits is not None:
            return self.declared_depth * self.width_bits
        return self.declared_size_bits

    @property
    def row_bits(self) -> float:
        """Width of one access."""
        row_bits = self.declared_row_bits or self.width_bits
        assert row_bits is not None, "validated"
        return row_bits

    @property
    def depth(self) -> float | None:
        """Entries of one instance: as declared, or rows in its size."""
        if self.declared_depth is not None or self.size_bits is None:
            return self.declared_depth
        return whole(self.size_bits / self.row_bits)

    @property
    def symbols(self) -> tuple[tuple[str, float], ...]:
        """The values that a formula of this memory may read; unbounded or missing ones are absent."""
        return symbols_of(self)

    @property
    def charged_instances(self) -> int | None:
        """The number of instances charged for energy; None for all of them."""
        return None if self.energy_instances == "all" else self.energy_instances

    @property
    def area_um2(self) -> float | None:
        """Area of one instance, None if unknown."""
        if self.area is None or isinstance(self.area, float):
            return self.area
        return names_checked(self.area, self.symbols)
