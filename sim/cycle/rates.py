"""What the properties of a machine make of words: cycles of transfers, rows, ports, pieces."""

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from math import ceil, isfinite

import numpy as np

from arch.types import Architecture, Memory
from sim.cycle.dram import seconds_per_byte, seconds_to_first_word
from sim.engine.ports import row_accesses
from sim.engine.tables import MachineColumns

LINK_UNITS = 1 << 20  # parts of a cycle that a link has, so that slots can share it


@dataclass(frozen=True)
class MachineRates:
    """The properties of the machine that amounts depend on."""

    architecture: Architecture
    columns: MachineColumns  # of this one machine
    ported: tuple[str, ...]  # memories whose ports count: bounded, shared ones; then links (`limited_links`)
    spilled: dict[str, Fraction]
    cycles_per_point: dict[str, int]  # by Einsum

    @cached_property
    def _places(self) -> dict[str, int]:
        return {memory.name: n for n, memory in enumerate(self.architecture.memories)}

    def _of(self, memory: str, column: np.ndarray) -> float:
        return float(column[0, self._places[memory]])

    @cached_property
    def word_bytes(self) -> float:
        return float(self.columns.word_bytes[0])

    @cached_property
    def clock_hz(self) -> float:
        return float(self.columns.clock_hz[0])

    def bytes_per_s(self, memory: str) -> float:
        """Of both directions together; inf if it is not a limit."""
        return self._of(memory, self.columns.bandwidth_bytes_per_s)

    def bytes_per_s_of(self, memory: str, writes: bool) -> float:
        """Of one direction; inf if it is not a limit."""
        return self._of(memory, self.columns.write_bytes_per_s if writes else self.columns.read_bytes_per_s)

    def transfer_cycles(self, memory: str, words: Fraction, writes: bool) -> int:
        """Whole cycles in which a memory moves that many words; 0 if nothing limits it."""
        timing, moved_bytes = self.architecture.memory(memory).timing, words * Fraction(self.word_bytes)
        if timing is not None:
            time_s = moved_bytes * seconds_per_byte(timing, writes)
        else:
            bytes_per_s = min(self.bytes_per_s(memory), self.bytes_per_s_of(memory, writes))
            if not isfinite(bytes_per_s):
                return 0
            time_s = moved_bytes / Fraction(bytes_per_s)
        return ceil(time_s * Fraction(self.clock_hz))

    def first_word_cycles(self, memory: str, writes: bool) -> int:
        """Cycles to the first word of a transfer before which nothing was moved: in its DRAM and, of a read, until the
        memory answers.
        """
        timing = self.architecture.memory(memory).timing
        in_dram = 0 if timing is None else ceil(seconds_to_first_word(timing, writes) * Fraction(self.clock_hz))
        return in_dram + (0 if writes else self.latency_cycles(memory))

    def latency_cycles(self, memory: str) -> int:
        """Cycles from the request of a read to its first word, as the machine file states them."""
        return int(self._of(memory, self.columns.first_word_cycles))

    def row_bytes(self, memory: str) -> float:
        """Bytes of words that one row access moves."""
        return self._of(memory, self.columns.row_bytes)

    def row_words(self, memory: str) -> Fraction:
        """Words of one row access: whole ones, or the part of a word that takes several rows."""
        words, rows = (self._of(memory, column) for column in (self.columns.row_words, self.columns.word_rows))
        return Fraction(words) / Fraction(rows)

    def asked_of(self, memory: str, fetches: int, read: Fraction, written: Fraction) -> dict[str, Fraction]:
        """What words in so many tiles ask of a memory, by name in `ported`: rows of its ports, parts of the cycles of
        each of its links.
        """
        links = self.link_cycles(memory, read, written)
        found = {name: spent * LINK_UNITS for name, spent in links.items()}
        if memory in self.ported:
            found[memory] = Fraction(self.rows_of(memory, fetches, read + written))
        return found

    def rows_of(self, memory: str, fetches: int, words: Fraction) -> int:
        """Rows of a memory that words take which come in so many tiles."""
        return int(row_accesses(fetches, words, self.row_words(memory)))

    def piece(self, memory: str) -> int:
        """Coordinates of a tile in it that may be read before the others have arrived; 0: whole tiles only."""
        return self.architecture.memory(memory).piece or 0

    def ports(self, memory: str) -> int:
        """Concurrent row accesses; of a link, the parts of a cycle."""
        return LINK_UNITS if is_link(memory) else int(self._of(memory, self.columns.row_accesses))

    def link_cycles(self, memory: str, read: Fraction, written: Fraction) -> dict[str, Fraction]:
        """Cycles that words of a stream take on each link of a memory with a bandwidth, by its name in `ported`."""
        links = {
            "both": (self.bytes_per_s(memory), read + written),
            "reads": (self.bytes_per_s_of(memory, False), read),
            "writes": (self.bytes_per_s_of(memory, True), written),
        }
        cycles = {
            f"{memory} {link}": words * Fraction(self.word_bytes) * Fraction(self.clock_hz) / Fraction(rate)
            for link, (rate, words) in links.items()
            if words and isfinite(rate)
        }
        return {name: spent for name, spent in cycles.items() if name in self.ported}


def is_link(ported: str) -> bool:
    """Whether an entry of `ported` is a link of a memory, not its ports."""
    return " " in ported


def has_bandwidth(memory: Memory) -> bool:
    """Whether its file says how many words it moves."""
    rates = (memory.bandwidth_bits_per_s, memory.read_bandwidth_bits_per_s, memory.write_bandwidth_bits_per_s)
    return any(rate is not None for rate in rates)


def limited_links(architecture: Architecture) -> tuple[str, ...]:
    """Links of memories on chip, beside no element, that have a bandwidth: what arrays stream shares it."""
    found = []
    for memory in architecture.memories:
        rates = {
            "both": memory.bandwidth_bits_per_s,
            "reads": memory.read_bandwidth_bits_per_s,
            "writes": memory.write_bandwidth_bits_per_s,
        }
        if memory.parent is not None and memory.per_pe_of is None:
            found += [f"{memory.name} {link}" for link, rate in rates.items() if rate is not None]
    return tuple(found)


def ported_memories(architecture: Architecture) -> tuple[str, ...]:
    """Memories in which row accesses can conflict: bounded, not the root, not registers. Of one with a bandwidth and
    no ports in its file, the bandwidth is all that limits it.
    """
    registers = {array.registers for array in architecture.arrays}
    return tuple(
        m.name
        for m in architecture.memories
        if m.parent is not None and m.size_bits is not None and m.name not in registers and m.per_pe_of is None
        if m.has_ports or not has_bandwidth(m)
    )
