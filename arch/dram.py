"""A DRAM device family as data: its organization, its timings with their sources, and the controller in front of it.

A timing is given as in JEDEC tables: in clock cycles, in time, or as the larger of both; `DramTiming.cycles_of` is the
whole number of cycles that the controller has to wait. Nothing here depends on the order of commands: which commands a
timing separates is defined only where the tables of the engine are made.
"""

import math
from collections.abc import Iterator
from fractions import Fraction
from typing import Annotated, Literal, Self

from pydantic import BaseModel, BeforeValidator, Field, PlainValidator, TypeAdapter, model_validator

from arch.fields import Count, Identifier, LocatedProblem, refuse_at, validated_by_name
from arch.operation import FROZEN
from arch.quantity import FrequencyHz, SizeBits, TimeS
from einsums.names import nearest

# Name: what it separates. Times are minimum distances between the first cycles of two commands, unless noted otherwise.
REQUIRED_TIMINGS = {
    "CL": "read to the first beat of its data",
    "CWL": "write to the first beat of its data",
    "tRCDRD": "activate to read of that bank; tRCD gives both",
    "tRCDWR": "activate to write of that bank; tRCD gives both",
    "tRP": "precharge to activate of that bank",
    "tRAS": "activate to precharge of that bank",
    "tRRD_S": "activate to activate of another bank",
    "tCCD_S": "read to read, write to write",
    "tFAW": "activate to the fourth activate after it",
    "tWR": "last beat of written data to precharge of that bank",
    "tRTP": "read to precharge of that bank",
    "tWTR_S": "last beat of written data to read",
    "tREFI": "mean distance of refreshes of a bank",
    "tRFC": "refresh of all banks to the next activate",
}
GROUP_TIMINGS = {
    "tRRD_L": "activate to activate within a bank group",
    "tCCD_L": "read to read, write to write within a bank group",
    "tWTR_L": "last beat of written data to read within a bank group",
}
OPTIONAL_TIMINGS = {
    "tRCD": "activate to read or write of that bank, in place of tRCDRD, tRCDWR or both",
    "tRC": "activate to activate of that bank; tRAS + tRP where it is not given",
    "tRP_ab": "precharge of all banks to activate or refresh; tRP where it is not given",
    "tPPD": "precharge to precharge; no limit where it is not given",
    "tRTW": "read to write; the data bus then idles two cycles where it is not given (JESD79-4: RL + BL/2 + 2 - WL)",
    "tCCD_S_WR": "write to write; tCCD_S where it is not given",
    "tCCD_L_WR": "write to write within a bank group; tCCD_L where it is not given",
    "tRFC_pb": "refresh of one bank to its next activate; without it there is no refresh of single banks",
    "tRFC_sb": "refresh of the same bank of every group to its next activate; without it there is no such refresh",
    "tRREFD": "refresh of some banks to activate of another; the longest tRRD where it is not given",
    "tPBR2PBR": "refresh of some banks to refresh of others; tRREFD where it is not given",
    "tDQSCK": "delay of read data beyond CL; none where it is not given",
    "tDQSS": "delay of written data beyond CWL; none where it is not given",
}
TIMINGS = REQUIRED_TIMINGS | GROUP_TIMINGS | OPTIONAL_TIMINGS
OF_GROUPS = {*GROUP_TIMINGS, "tCCD_L_WR"}  # meaningless with only one group
# The timings that a refresh of some banks requires, by policy.
REFRESH_TIMINGS = {"per-bank": "tRFC_pb", "same-bank": "tRFC_sb"}
RefreshPolicy = Literal["all-bank", "per-bank", "same-bank", "none"]
IDLE_BUS_CYCLES = 2  # between read and written data, if tRTW is not given
_BY_DIRECTION = ("tRCDRD", "tRCDWR")  # what tRCD stands for


def _whole_cycles(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    raise ValueError(f"expected a whole number of cycles, got {value!r}")


class Timing(BaseModel):
    """One timing: cycles, a time, or the larger of both."""

    model_config = FROZEN

    name: Identifier
    time_s: TimeS | None = Field(None, alias="time")
    cycles: Annotated[int, PlainValidator(_whole_cycles)] | None = None
    source: str

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.time_s is None and self.cycles is None:
            raise ValueError(f"timing '{self.name}' has neither time nor cycles")
        return self

    def at(self, clock_hz: float) -> int:
        """Whole cycles at that clock, rounded up in exact decimal arithmetic (15 ns at 1 GHz are 15 cycles)."""
        waited = Fraction(repr(self.time_s or 0.0)) * Fraction(repr(clock_hz))
        return max(math.ceil(waited), self.cycles or 0)


class CommandCycles(BaseModel):
    """Cycles for which a command occupies its command bus."""

    model_config = FROZEN

    activate: Count = 1
    precharge: Count = 1
    read: Count = 1
    write: Count = 1
    refresh: Count = 1


class DramController(BaseModel):
    """How a channel's controller orders requests: open rows, first-ready first-come-first-served over a window.

    mapping: fields of a burst's number, most significant first; `column=4` is a part of four columns, and one part of a
    field may omit its size: it takes what the others leave. refresh: overrides the device's own policy.
    """

    model_config = FROZEN

    window: Count = 32
    mapping: str = "row:bank:column:group:channel"
    refresh: RefreshPolicy | None = None
    keep_trace: bool = False


class DramTiming(BaseModel):
    """A DRAM system of identical channels: organization, clock and timings.

    A pseudo channel has its own banks and data bus and is simulated as a channel. refresh: all banks at once, one bank
    at a time, the same bank of every group at once, or none.
    """

    model_config = FROZEN

    name: str
    description: str = ""
    standard: str
    clock_hz: FrequencyHz = Field(alias="clock")
    channels: Count
    pseudo_channels: Count = 1  # of each channel
    bank_groups: Count = 1
    banks_per_group: Count
    rows: Count  # of each bank
    row_bits: SizeBits = Field(alias="row")
    burst_bits: SizeBits = Field(alias="burst")
    burst_cycles: Count
    command_bus: Literal["shared", "split"] = "shared"  # split: separate buses for row commands and column commands
    command_cycles: CommandCycles = CommandCycles()
    refresh: RefreshPolicy = "all-bank"
    timings: Annotated[tuple[Timing, ...], BeforeValidator(validated_by_name(TypeAdapter(dict[str, Timing]), "timing"))]
    source: str

    @model_validator(mode="after")
    def _is_a_device(self) -> Self:
        refuse_at(type(self).__name__, [*self._iter_name_problems(), *self._iter_size_problems()])
        refuse_at(type(self).__name__, list(self._iter_order_problems()))
        return self

    def _iter_name_problems(self) -> Iterator[LocatedProblem]:
        given = {timing.name for timing in self.timings}
        unknown = sorted(given - TIMINGS.keys())
        for name in unknown:
            yield ("timings", name), f"unknown timing '{name}'{nearest(name, TIMINGS)}"
        wanted = REQUIRED_TIMINGS | (GROUP_TIMINGS if self.bank_groups > 1 else {})
        if "tRCD" in given:
            wanted = {name: meaning for name, meaning in wanted.items() if name not in _BY_DIRECTION}
        if given >= {"tRCD", *_BY_DIRECTION}:
            yield ("timings", "tRCD"), "tRCD is for reads and writes, and both tRCDRD and tRCDWR are given"
        # A missing field may be present under a wrong name: that is one mistake.
        for name in sorted(wanted.keys() - given) if not unknown else ():
            yield ("timings",), f"missing timing '{name}' ({wanted[name]})"
        if self.bank_groups == 1:
            for name in sorted(OF_GROUPS & given):
                yield ("timings", name), f"timing '{name}' is of bank groups, and there is one group only"
        if given >= {*REFRESH_TIMINGS.values()}:
            yield (
                ("timings", "tRFC_sb"),
                "a device refreshes single banks (tRFC_pb) or one of every group (tRFC_sb), not both",
            )
        needed = REFRESH_TIMINGS.get(self.refresh)
        if needed is not None and needed not in given:
            yield ("refresh",), f"refresh {self.refresh} needs the timing '{needed}', which is not given"

    def _iter_size_problems(self) -> Iterator[LocatedProblem]:
        if self.burst_bits % 8:
            yield ("burst",), f"expected a burst of whole bytes, got {self.burst_bits:g} bit"
        elif self.row_bits % self.burst_bits:
            yield ("row",), f"a row of {self.row_bits:g} bit is no whole number of bursts of {self.burst_bits:g} bit"

    def _iter_order_problems(self) -> Iterator[LocatedProblem]:
        for name in ("tCCD_S", "tCCD_S_WR"):
            short = self.cycles_of(name)
            if short < self.burst_cycles and self.given(name):
                message = f"{name} is {short} cycles, but a burst holds the data bus for {self.burst_cycles}"
                yield ("timings", name), message
        pairs = [("tRAS", name) for name in ("tRCD", *_BY_DIRECTION) if self.given(name)] + [("tREFI", "tRFC")]
        if self.bank_groups > 1:
            pairs += [("tRRD_L", "tRRD_S"), ("tCCD_L", "tCCD_S"), ("tWTR_L", "tWTR_S")]
            if self.given("tCCD_L_WR") or self.given("tCCD_S_WR"):
                pairs.append(("tCCD_L_WR", "tCCD_S_WR"))
        for longer, shorter in pairs:
            long, short = self.cycles_of(longer), self.cycles_of(shorter)
            if long < short:
                yield ("timings", longer), f"{longer} is {long} cycles, less than {shorter}, which is {short}"
        collision = self.read_latency_cycles + self.burst_cycles - self.write_latency_cycles
        if self.cycles_of("tRTW") < collision:
            message = f"tRTW is {self.cycles_of('tRTW')} cycles, but data collide below {collision}"
            yield ("timings", "tRTW"), message

    def given(self, name: str) -> Timing | None:
        """The timing as given in the file, None if absent."""
        return next((timing for timing in self.timings if timing.name == name), None)

    def cycles_of(self, name: str) -> int:
        """A timing in whole clock cycles; the default if the file gives none."""
        timing = self.given(name)
        if timing is not None:
            return timing.at(self.clock_hz)
        match name:
            case "tRCDRD" | "tRCDWR":
                return self.cycles_of("tRCD")
            case "tCCD_S_WR" | "tCCD_L_WR":
                return self.cycles_of(name.removesuffix("_WR"))
            case "tPBR2PBR":
                return self.cycles_of("tRREFD")
            case "tRC":
                return self.cycles_of("tRAS") + self.cycles_of("tRP")
            case "tRP_ab":
                return self.cycles_of("tRP")
            case "tRTW":
                collision = self.read_latency_cycles + self.burst_cycles - self.write_latency_cycles
                return max(1, collision + IDLE_BUS_CYCLES)
            case "tRREFD":
                return self.cycles_of("tRRD_L" if self.bank_groups > 1 else "tRRD_S")
            case "tPPD" | "tDQSCK" | "tDQSS":
                return 0
        raise ValueError(f"'{self.name}' has no timing '{name}'{nearest(name, [t.name for t in self.timings])}")

    @property
    def read_latency_cycles(self) -> int:
        """Read command to the first beat of its data."""
        return self.cycles_of("CL") + self.cycles_of("tDQSCK")

    @property
    def write_latency_cycles(self) -> int:
        """Write command to the first beat of its data."""
        return self.cycles_of("CWL") + self.cycles_of("tDQSS")

    @property
    def interfaces(self) -> int:
        """Data buses: channels, or pseudo channels if there are any."""
        return self.channels * self.pseudo_channels

    @property
    def banks(self) -> int:
        """Banks behind one data bus."""
        return self.bank_groups * self.banks_per_group

    @property
    def burst_bytes(self) -> int:
        """Bytes that one read or write moves."""
        return int(self.burst_bits) // 8

    @property
    def columns(self) -> int:
        """Bursts of a row."""
        return int(self.row_bits // self.burst_bits)

    @property
    def capacity_bytes(self) -> int:
        """Total capacity in bytes."""
        return self.interfaces * self.banks * self.rows * self.columns * self.burst_bytes

    @property
    def peak_bytes_per_s(self) -> float:
        """One burst every tCCD_S on every data bus."""
        return self.interfaces * self.burst_bytes * self.clock_hz / self.cycles_of("tCCD_S")
