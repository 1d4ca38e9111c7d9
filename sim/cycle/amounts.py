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
from math import ceil, prod

from arch.components import SIDES
from arch.types import Array
from sim.cycle.nest import Slot
from sim.cycle.rates import MachineRates
from sim.engine.folds import fold_cycles, slot_cycles
from sim.engine.ports import of_a_slot, served_cycles
from sim.lower.demands import LinkDemands, Way, chain_slots
from sim.lower.elements import Spread
from sim.lower.register_tiles import Rides, SidedParts
from sim.lower.walk import Extents, Walk


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
    train: tuple[int, int] = (0, 0)  # cycles of a fold in which words come in, or leave, that do not ride along


@dataclass(frozen=True)
class Sizer:
    """Computes amounts for one slot of a nest."""

    walk: Walk
    machine: MachineRates
    slot: Slot
    ways: list[tuple[Way, tuple[int, ...]]]  # with the loops of the slot outside the tile that moves
    root: str
    guarded: frozenset[int] = frozenset()  # loops of the nest in whose last iteration alone it runs
    reduced: frozenset[str] = frozenset()  # rank variables that the Einsum reduces
    moves_first: bool = False  # a fold begins with an unchanged word: nothing to compute
    stages: tuple[frozenset[int], ...] = ()  # parts of tiles that come in pieces
    fold_slots: int = 0  # of a full fold, where several repetitions make one
    elsewhere: frozenset[int] = frozenset()  # ways of sums that leave with those of another core, and come back there

    @property
    def array(self) -> Array:
        return self.machine.architecture.array(self.slot.leaf.array)

    def amount(self, extents: Extents, staying: frozenset[int] = frozenset()) -> Amount:
        """The cost of one repetition on a tile of these extents (below the nest's loops), where the tiles of some ways
        are in place already, or stay there; ~way: its sums have been here before and come back.
        """
        repeats, whole = self.walk.iterations(extents, self.slot.group_loops), extents
        extents = self.walk.full_tile(extents, self.slot.group_loops)
        folds, points = self._folds(extents)
        cycles = self.machine.cycles_per_point[self.slot.leaf.einsum]
        ports = len(self.machine.ported)
        rows = [[0] * ports for _ in range(3)]
        link_in = link_out = 0
        returns = False
        streams = {False: Fraction(0), True: Fraction(0)}
        for number, (way, _) in enumerate(self.ways):
            stays, comes_back = number in staying, ~number in staying
            if stays and not comes_back and not way.passes:
                continue
            fetches, words, first = self.words(number, whole)
            # Sums that another core brings and takes do not pass here.
            own = number not in self.elsewhere
            again = (words if comes_back else words - first) if way.writes and own else 0
            moved, shift = 0 if stays else words, self._shift(number, fetches, extents, folds)
            # Sums over a side leave through the links, and enter again, also where their tile stays.
            sums = again + (words if stays and way.passes else 0)
            link_in += ceil(Fraction(shift * sums, words)) if way.writes else shift
            link_out += shift if way.writes and (moved or way.passes) else 0
            returns = returns or self._returns(way, again)
            if way.by_itself or not moved + again:
                continue
            for memory, part in way.served:
                if memory == self.root:
                    streams[way.writes] += moved * part * own
                    streams[False] += again * part
                    continue
                read, written = (again, moved) if way.writes else (moved, Fraction(0))
                on_links = self.machine.link_cycles(memory, read * part, written * part)
                if shift and on_links:
                    wider = max(0, ceil(max(on_links.values()) / folds) - shift)
                    link_in, link_out = (link_in, link_out + wider) if way.writes else (link_in + wider, link_out)
                    shift += wider
                by_itself = shift and not self.runs_trains_beside
                stage = 1 if not by_itself else (2 if way.writes and moved else 0)
                slots = folds * (shift if by_itself else points)
                for name, asked in self.machine.asked_of(memory, fetches, read * part, written * part).items():
                    rows[stage][self.machine.ported.index(name)] += of_a_slot(asked, slots)
        if link_in and returns and folds == 1 and self.array.links is None:
            # The previous tile's partial sums have to pass all rows before they re-enter at the top, however few rows
            # this tile loads.
            link_in = max(link_in, self.array.rows - points * cycles)
        chains = chain_slots(self.walk, self.slot.leaf, self.reduced, self.slot.loops, extents)
        chain, train = 0, (link_in, link_out)
        if link_in or link_out:
            link_out += ceil(Fraction(chains, folds))
        else:
            folds, points = self._apart(extents, folds * points)
            chain = int(chains > 0 and self.moves_first and not streams[True])
            link_out = chains * (1 - chain)
        if self.array.links is not None:
            link_in, link_out = self._on_stated_links(points, link_out - train[1], train, extents)
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
            train,
        )

    @cached_property
    def links(self) -> LinkDemands:
        return LinkDemands.of(self.walk.space, self.slot.leaf, self.array, self.reduced)

    @property
    def sides(self) -> SidedParts:
        return self.links.sides

    @cached_property
    def rides(self) -> Rides:
        """Words that ride along with every slot."""
        return self.links.rides(way for way, _ in self.ways)

    @cached_property
    def runs_trains_beside(self) -> bool:
        """Whether words that differ in every element are shifted beside the slots, not between them."""
        return self.links.run_beside(way for way, _ in self.ways)

    def columns_used(self, extents: Extents) -> int:
        """Columns of the array that a tile takes; all of them where no side is given."""
        if not self.sides.columns:
            return self.array.columns
        tile = self.walk.full_tile(extents, self.slot.group_loops + self.slot.loops)
        return min(self.array.columns, self.walk.words(tile, self.sides.columns))

    def skew(self, extents: Extents) -> int:
        """Cycles after the first element's until the last one has a slot done, and its word has left."""
        return self.array.rows + self.columns_used(extents) - 2

    def _on_stated_links(self, points: int, chains: int, train: tuple[int, int], extents: Extents) -> tuple[int, int]:
        """Cycles of a fold on the links before and after its slots, with links as the machine file states them."""
        wiring, cycles = self.array.wiring, self.machine.cycles_per_point[self.slot.leaf.einsum]
        slot = max(
            slot_cycles(cycles, self.rides.down, wiring.down), slot_cycles(cycles, self.rides.along, wiring.along)
        )
        slots, busy = points * slot + chains, points * cycles
        if not any(train):
            return 0, slots - busy
        skew, whole = self.skew(extents), max(slots, self.fold_slots * slot)
        taken = fold_cycles(whole, sum(train), skew, self.runs_trains_beside, wiring.overlap) - whole + slots - busy
        before = 0 if self.runs_trains_beside else train[0]
        return before, taken - before

    def _folds(self, extents: Extents) -> tuple[int, int]:
        """(folds, slots of each); folds of different slots count as one of all of them.

        The loops outside a tile that passes over the links by itself give the folds, without one all but the innermost.
        """
        total = self.walk.iterations(extents, self.slot.loops)
        folds = self.walk.iterations(extents, self.loops_of_folds(extents))
        return (folds, total // folds) if total % folds == 0 else (1, total)

    def stage(self, extents: Extents, parts: frozenset[int]) -> tuple[int, int, int]:
        """(stages in which a repetition goes through a tile over these parts, times it does so, coordinates that a
        stage adds); one stage where it takes all of the tile at once.
        """
        times = 1
        for loop in self.slot.loops:
            trips = self.walk.trips(extents, loop)
            if trips > 1 and self.walk.loops[loop].part in parts:
                return trips, times, self.walk.loops[loop].step
            times *= trips
            extents = self.walk.inside(extents, loop, False)
        return 1, 1, 0

    def _apart(self, extents: Extents, slots: int) -> tuple[int, int]:
        """(folds, slots of each) where no link parts them, but pieces of tiles may."""
        if self.slot.group_loops:
            return 1, slots
        stages = max((prod(self.stage(extents, parts)[:2]) for parts in self.stages), default=1)
        return (stages, slots // stages) if slots % stages == 0 else (1, slots)

    def loops_of_folds(self, extents: Extents) -> tuple[int, ...]:
        """The slot's outer loops, down to the last that brings another tile which takes the links for itself."""
        last = 0
        for way, loops in self.ways:
            if not self.is_train(way):
                continue
            chain = self.walk.full_chain(extents, loops)
            bring = [n + 1 for n, loop in enumerate(loops) if self.brings(way, chain[n], loop)]
            last = max([last, *bring])
        return self.slot.loops[:last]

    def brings(self, way: Way, extents: Extents, loop: int) -> bool:
        return self.walk.loops[loop].part in way.parts and self.walk.trips(extents, loop) > 1

    def is_train(self, way: Way) -> bool:
        """Whether its words differ in every element, so that they do not ride along with the slots."""
        return self.links.is_train(way)

    def _train_cycles(self, way: Way, loops: tuple[int, ...], extents: Extents) -> int:
        """Cycles for one tile of an operand or result to pass the columns' ends: a word for each row of elements, as
        often as an element holds words.
        """
        if not self.is_train(way):
            return 0
        rows = self.walk.words(self.walk.full_tile(extents, self.slot.loops), self.sides.rows & way.parts)
        inside = tuple(loop for loop in self.slot.loops if loop not in loops)
        tile, spread = self.walk.full_tile(extents, loops), Spread(self.slot.leaf, SIDES)
        held = self.walk.held_words(tile, spread, inside, way.parts)
        return rows * held

    def words(self, number: int, extents: Extents) -> tuple[int, int, int]:
        """(tiles of a way that one repetition on a tile of these extents moves, their words, of which first visits).

        Sums come back but for the first visit: all of them to a tile that has been here before, else those that loops
        of the repetition revisit.
        """
        way, loops = self.ways[number]
        around = self.slot.group_loops if way.by_itself else tuple(i for i in self.slot.group_loops if i in way.loops)
        extents = self.walk.full_tile(extents, around)
        fetches, words = self.walk.fetched(extents, loops, way.moving, way.parts)
        if not way.writes:
            return fetches, words, words
        return fetches, words, self.walk.first_visited(extents, loops, way.beginning, way.parts)

    def _returns(self, way: Way, again: int) -> bool:
        """Whether sums enter the array again: those that come back, or all over a side of it, also where they stay."""
        loops = tuple(i for i in self.slot.leaf.loops if self.walk.loops[i].part not in way.parts)
        return not way.by_itself and (again > 0 or (way.passes and self.walk.iterations(self.walk.whole, loops) > 1))

    def _shift(self, number: int, fetches: int, extents: Extents, folds: int) -> int:
        """Cycles of a fold in which the tiles of a way pass the columns' ends."""
        way, loops = self.ways[number]
        return ceil(Fraction(fetches * self._train_cycles(way, loops, extents), folds))

    def _stretched(self, cycles: int, rows: list[list[int]], slots: int) -> tuple[int, int]:
        """Slots whose own accesses outnumber the ports take as many cycles as the ports need."""
        longest = cycles
        for number, memory in enumerate(self.machine.ported):
            ports = self.machine.ports(memory)
            longest = served_cycles(longest, Fraction(rows[1][number]), ports)
            for stage in range(3):
                rows[stage][number] = min(rows[stage][number], ports)
        return longest, (longest - cycles) * slots
