"""The cost of one repetition of an op: folds, issue slots, cycles on the array's links, row accesses, streamed words.

A *fold* is one pass of the array's issue slots over its spatial tile: its innermost loop gives the slots, its other
loops the folds. In coordinates that follow the skew of the array (PE (i, j) executes in cycle t + i + j what is issued
in cycle t) folds follow each other without a gap, unless words must be shifted through the columns:

- An operand that differs in every PE takes `rows` cycles to shift in, and a result that stays in the PEs takes as many
  to shift out, on the same links down the columns as moving operands and partial sums (the closed forms of
  docs/cycle-pe.md: 2*rows + columns + slots - 2 for one output-stationary fold, of which rows + columns - 2 are skew).
- An operand or result of one side only rides along, one word per link and slot, as does a reduction down the columns.

If every PE folds its own words over several slots before a side is reduced, that reduction takes one more slot: a
*chain* from PE to PE. A fold of plain words (a maximum, a sum) begins with a move, which needs no operator, so the
chain of one repetition goes in the first slot of the next (docs/cycle-pe.md).
"""

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from math import ceil, isfinite, prod

import numpy as np

from arch.types import Architecture, Array
from einsums.types import Access, Cascade
from mappings.tree import PlacedLeaf
from sim.cycle.dram import seconds_per_byte
from sim.cycle.nest import Slot
from sim.engine.latency import Passing
from sim.engine.tables import MachineColumns
from sim.lower.chains import Chains, Touch
from sim.lower.latency import LINKED, latency_of
from sim.lower.ranks import RankSpace
from sim.lower.walk import Extents, Walk

LINK_UNITS = 1 << 20  # parts of a cycle that a link has, so that slots can share it


@dataclass(frozen=True, slots=True)
class Amount:
    """One repetition of an op. `rows` are accesses at the start of every slot, by (stage, ported memory)."""

    repeats: int
    folds: int
    points: int  # slots of a fold
    cycles: int  # of a slot
    link_in: int  # cycles of a fold
    link_out: int
    read_words: Fraction  # streamed from `Ways.read_from`
    write_words: Fraction
    rows: tuple[tuple[int, ...], ...]  # [in, points, out][ported memory]
    stretch: int  # cycles of the repetition lost to its own accesses
    chain: int = 0  # 1: a reduction over the PEs takes one more slot, which the next repetition shares


@dataclass(frozen=True, slots=True)
class Way:
    """One path of words between a memory and the registers of an array, for one Einsum."""

    touch: Touch
    memory: str
    parts: frozenset[int]
    spilled: Fraction  # fraction that goes to the memory's parent instead
    passing: frozenset[int] = frozenset()  # of words that bypass the registers: all parts, since every step moves them

    @property
    def brought_by(self) -> frozenset[int]:
        """Parts whose loops bring other words."""
        return self.passing or self.parts


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

    def row_bytes(self, memory: str) -> float:
        """Bytes of words that one row access moves."""
        return self._of(memory, self.columns.row_bytes)

    def row_words(self, memory: str) -> Fraction:
        """Words of one row access: whole ones, or the part of a word that takes several rows."""
        words, rows = (self._of(memory, column) for column in (self.columns.row_words, self.columns.word_rows))
        return Fraction(words) / Fraction(rows)

    def ports(self, memory: str) -> int:
        """Concurrent row accesses; of a link, the parts of a cycle."""
        return LINK_UNITS if is_link(memory) else int(self._of(memory, self.columns.row_accesses))

    def link_cycles(self, memory: str, words: Fraction, writes: bool) -> dict[str, Fraction]:
        """Cycles that words of a stream take on each link of a memory with a bandwidth, by its name in `ported`."""
        links = {f"{memory} both": self.bytes_per_s(memory)}
        links[f"{memory} {'writes' if writes else 'reads'}"] = self.bytes_per_s_of(memory, writes)
        cycle_bytes = {name: Fraction(rate) / Fraction(self.clock_hz) for name, rate in links.items() if isfinite(rate)}
        moved_bytes = words * Fraction(self.word_bytes)
        return {name: moved_bytes / rate for name, rate in cycle_bytes.items() if name in self.ported}


def is_link(ported: str) -> bool:
    """Whether an entry of `ported` is a link of a memory, not its ports."""
    return " " in ported


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
    """Memories in which row accesses can conflict: bounded, not the root, not registers."""
    registers = {array.registers for array in architecture.arrays}
    return tuple(
        m.name
        for m in architecture.memories
        if m.parent is not None and m.size_bits is not None and m.name not in registers and m.per_pe_of is None
    )


def ways_of(chains: Chains, leaf: PlacedLeaf, spilled: dict[str, Fraction]) -> list[Way]:
    """How the operands of an Einsum arrive and its result leaves, other than through registers that keep them."""
    found = []
    for name in tensors_of(chains.cascade, leaf):
        for touch in (t for t in chains.touches_of(name) if t.leaf == leaf):
            place = chains.place_beyond_registers(touch)
            if place is not None:
                share = spilled.get(place.memory, Fraction(0))
                every = frozenset(range(len(chains.space.parts))) if name in leaf.bypass else frozenset[int]()
                found.append(Way(touch, place.memory, chains.parts_of(touch), share, every))
    return found


def tensors_of(cascade: Cascade, leaf: PlacedLeaf) -> tuple[str, ...]:
    """Tensors that an Einsum reads or writes, each once."""
    einsum = cascade.einsum(leaf.einsum)
    accesses: tuple[Access, ...] = (*einsum.loads, einsum.output)
    return tuple(dict.fromkeys(access.tensor for access in accesses))


def differs_everywhere(space: RankSpace, leaf: PlacedLeaf, parts: frozenset[int], array: Array) -> bool:
    """Whether elements along both the rows and the columns of an array have different words over these parts."""
    return all(
        array.length(side) > 1 and any(space.part_of_variable(v) in parts for v in leaf.along([side]))
        for side in LINKED
    )


@dataclass(frozen=True)
class Sizer:
    """Computes amounts for one slot of a nest."""

    walk: Walk
    machine: MachineRates
    slot: Slot
    ways: list[tuple[Way, tuple[int, ...]]]  # with the loops of the slot outside the tile that moves
    root: str
    around: tuple[tuple[int, int], ...] = ()  # (part, iterations) of the nest's loops around it
    reduced: frozenset[str] = frozenset()  # rank variables that the Einsum reduces
    moves_first: bool = False  # a fold begins with an unchanged word: nothing to compute

    @property
    def array(self) -> Array:
        return self.machine.architecture.array(self.slot.leaf.array)

    def amount(self, extents: Extents) -> Amount:
        """The cost of one repetition on a tile of these extents (below the nest's loops)."""
        repeats = self.walk.iterations(extents, self.slot.group_loops)
        extents = self.walk.full_tile(extents, self.slot.group_loops)
        folds, points = self._folds(extents)
        cycles = self.machine.cycles_per_point[self.slot.leaf.einsum]
        ports = len(self.machine.ported)
        rows = [[0] * ports for _ in range(3)]
        link_in = link_out = 0
        returns = False
        streams = {False: Fraction(0), True: Fraction(0)}
        for way, loops in self.ways:
            fetches, words = self.walk.fetched(extents, loops, way.brought_by, way.parts)
            again = self._again(way, extents, words) if way.touch.writes else Fraction(0)
            passing = Fraction(1) if way.memory == self.root else way.spilled
            streams[way.touch.writes] += words * passing
            streams[False] += again * passing
            returns = returns or again > 0
            shift = ceil(Fraction(fetches * self._shift_rows(way, extents), folds)) if loops == self.slot.loops else 0
            on_links = self.machine.link_cycles(way.memory, words + again, way.touch.writes)
            if shift and on_links:
                shift = max(shift, ceil(max(on_links.values()) / folds))
            if way.touch.writes:
                link_out += shift
            else:
                link_in += shift
            if way.memory in self.machine.ported:
                stage = 1 if not shift else (2 if way.touch.writes else 0)
                slots = folds * (shift or points)
                accesses = self._accesses(way, fetches, words + again)
                rows[stage][self.machine.ported.index(way.memory)] += ceil(Fraction(accesses, slots))
            for link, spent in on_links.items():
                stage, slots = (1, folds * points) if not shift else (2 if way.touch.writes else 0, folds * shift)
                rows[stage][self.machine.ported.index(link)] += ceil(spent * LINK_UNITS / slots)
        if link_in and returns and folds == 1:
            # The previous tile's partial sums have to pass all rows before they re-enter at the top, however few rows
            # this tile loads.
            link_in = max(link_in, self.array.rows - points * cycles)
        chains, chain = self._chains(extents), 0
        if link_in or link_out:
            link_out += ceil(Fraction(chains, folds))
        else:
            folds, points = 1, folds * points
            chain = int(chains > 0 and self.moves_first and not streams[True])
            link_out = chains * (1 - chain)
        cycles, stretch = self._stretched(cycles, rows, folds * points)
        return Amount(
            repeats,
            folds,
            points,
            cycles,
            link_in,
            link_out,
            streams[False],
            streams[True],
            tuple(map(tuple, rows)),
            stretch,
            chain,
        )

    def _chains(self, extents: Extents) -> int:
        """Slots for reductions over the PEs: one per run of slots in which every PE folds its own words."""
        part, tile = self.walk.space.part_of_variable, self.walk.full_tile(extents, self.slot.loops)
        sides = self.slot.leaf.along(LINKED) & self.reduced
        if not any(self.walk.words(tile, frozenset([part(side)])) > 1 for side in sides):
            return 0
        reduced, inner = {part(variable) for variable in self.reduced}, len(self.slot.loops)
        while inner and self.walk.loops[self.slot.loops[inner - 1]].part in reduced:
            inner -= 1
        around = self.walk.iterations(extents, self.slot.loops[:inner])
        return around if self.walk.iterations(extents, self.slot.loops) > around else 0

    def _folds(self, extents: Extents) -> tuple[int, int]:
        """(folds, slots of each): the innermost loop gives the slots; a ragged one counts as slots altogether."""
        total = self.walk.iterations(extents, self.slot.loops)
        if not self.slot.loops:
            return 1, 1
        extents = self.walk.full_tile(extents, self.slot.loops[:-1])
        points = self.walk.trips(extents, self.slot.loops[-1])
        return (total // points, points) if total % points == 0 else (1, total)

    def _shift_rows(self, way: Way, extents: Extents) -> int:
        """Cycles for one tile of an operand or result to pass the columns' ends, beyond riding along with the slots."""
        if not differs_everywhere(self.walk.space, self.slot.leaf, way.parts, self.array):
            return 0
        return self.walk.places_along(self.walk.full_tile(extents, self.slot.loops), self.slot.leaf, "rows", way.parts)

    def _again(self, way: Way, extents: Extents, words: int) -> Fraction:
        """Words of partial sums that return to be completed: all but the first visit, averaged over all visits."""
        once = self.walk.words(extents, way.parts)
        visits = prod(trips for part, trips in self.around if part not in way.parts)
        return words - once + once * Fraction(visits - 1, visits)

    def _accesses(self, way: Way, fetches: int, words: Fraction) -> int:
        """Row accesses of one repetition: whole rows, at least one per fetched tile."""
        return max(fetches, ceil(Fraction(words, self.machine.row_words(way.memory))))

    def _stretched(self, cycles: int, rows: list[list[int]], slots: int) -> tuple[int, int]:
        """Slots whose own accesses outnumber the ports take as many cycles as the ports need."""
        longest = cycles
        for number, memory in enumerate(self.machine.ported):
            ports = self.machine.ports(memory)
            longest = max(longest, -(-rows[1][number] // ports))
            for stage in range(3):
                rows[stage][number] = min(rows[stage][number], ports)
        return longest, (longest - cycles) * slots


def latency_of_ways(chains: Chains, sizer: Sizer) -> int:
    """Cycles after an op's last issue slot until others may use its result."""
    array = sizer.array
    leaves = any(way.touch.writes for way, _ in sizer.ways)
    passing = Passing(array.rows, array.columns, int(array.along_rows), int(array.along_columns))
    return int(latency_of(chains, sizer.slot.leaf, leaves).cycles(passing))
