"""How much longer transfers take where their bursts lie apart: stretches of them, replayed in the DRAM model.

A stretch is replayed twice (`sim.dram.requests`): at the addresses that a layout gives, and with every tile in one
piece behind the one before. How much longer the first takes is shared among the transfers that lie apart, in proportion
to the time between their last beats; so many times the time of a stream is what one of that kind costs. Rows that are
open from one transfer to the next, banks that tensors share and turns of the bus are in both replays as they come.
Refresh lengthens scattered transfers as it does streams (docs/dram.md), so both are replayed without it.

A transfer is asked for when there is a place for its tile: when that of the same kind so many before it is through.
What lies in one piece is a stream whether that is so or not, and so are others where tiles are large; but the
controller must not find rows in common between tiles of which there is only one at a time.
"""

from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np

from arch.dram import DramController, DramTiming
from sim.cycle.dram import seconds_to_first_word
from sim.cycle.sampling import Kind, Mover
from sim.dram.requests import simulate_requests

ROUNDS = 64  # in which the times at which transfers are asked for settle
SETTLED = 1e-4  # of the cycles of a stretch
NOTICED = 1.02  # times the time of a stream
STEPS = 1000  # in which a cost is told


@dataclass(frozen=True, slots=True)
class Transfer:
    """One transfer of a stretch. lying, whole: i8[burst], numbers of its bursts as they lie, and in one piece."""

    kind: Kind
    writes: bool
    has_addresses: bool  # else it lies in one piece, whatever the layout
    places: int  # tiles of what it moves that may be under way together
    lying: np.ndarray
    whole: np.ndarray


@dataclass
class Cost:
    """Cycles of all transfers of one kind, as they lie and in one piece."""

    lying: float = 0.0
    whole: float = 0.0

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(self.lying + other.lying, self.whole + other.whole)


@dataclass
class Replays:
    """The costs of all kinds of transfers that have been measured."""

    timing: DramTiming
    costs: dict[Kind, Cost] = field(default_factory=dict)

    @property
    def in_flight(self) -> int:
        """Bursts that the controllers of all channels see at a time."""
        return self.timing.interfaces * DramController().window

    def times(self, cost: Cost) -> Fraction:
        """How often the time of a stream; 1 where the sample does not tell, by a row cycle or by NOTICED."""
        more = cost.lying - cost.whole
        if more <= max(self.timing.cycles_of("tRC"), (NOTICED - 1) * cost.whole):
            return Fraction(1)
        return Fraction(round(cost.lying / cost.whole * STEPS), STEPS)

    def measure(self, stretch: list[Transfer]) -> None:
        """Replay a stretch and add its transfers to the costs of their kinds."""
        if not any(transfer.has_addresses for transfer in stretch):
            return
        inside = self._inside(stretch)
        nothing = np.zeros(len(stretch), np.int64)
        whole = np.diff(np.maximum.accumulate(self._ends(stretch, "whole", nothing)), prepend=0)
        lying = self._apart(stretch)
        found: dict[Kind, Cost] = {}
        for n in inside:
            cost = found.setdefault(stretch[n].kind, Cost())
            cost.whole += whole[n]
            cost.lying += lying[n]
        apart = {stretch[n].kind for n in inside if stretch[n].has_addresses}
        took = sum(cost.lying for cost in found.values())
        while True:
            # What is left of the time to those that lie apart, when the others have had that of a stream.
            left = took - sum(cost.whole for kind, cost in found.items() if kind not in apart)
            theirs = sum(found[kind].lying for kind in apart)
            as_streams = {kind for kind in apart if found[kind].lying * left <= NOTICED * found[kind].whole * theirs}
            if not as_streams:
                break
            apart -= as_streams
        for kind, cost in found.items():
            known = self.costs.setdefault(kind, Cost())
            known.whole += cost.whole
            known.lying += cost.lying * left / theirs if kind in apart else cost.whole

    def _inside(self, stretch: list[Transfer]) -> range:
        """The transfers that have as much before and behind them as the controllers see, if there are any."""
        sizes = np.array([transfer.whole.size for transfer in stretch])
        before = np.cumsum(sizes) - sizes
        margin = min(self.in_flight, int(sizes.sum()) // 4)
        first = int(np.searchsorted(before, margin))
        last = int(np.searchsorted(before + sizes, sizes.sum() - margin, side="right"))
        return range(first, last) if first < last else range(len(stretch))

    def _apart(self, stretch: list[Transfer]) -> np.ndarray:
        """i8[transfer], cycles as it lies, the way to the first word after a pause left out."""
        before = _places_before(stretch)
        asked = np.zeros(len(stretch), np.int64)
        ends = self._ends(stretch, "lying", asked)
        for _ in range(ROUNDS):
            # Asked for in order: one behind another that has to wait for its place waits with it.
            freed = np.where(before >= 0, ends[before], 0)
            asked, was = np.maximum.accumulate(freed), ends
            ends = self._ends(stretch, "lying", asked)
            if np.abs(ends - was).max() <= SETTLED * ends.max():
                break
        through = np.maximum.accumulate(ends)
        took = np.diff(through, prepend=0)
        paused = asked[1:] >= through[:-1]
        for writes in (False, True):
            first = seconds_to_first_word(self.timing, writes) * Fraction(self.timing.clock_hz)
            turned = paused & np.array([transfer.writes == writes for transfer in stretch[1:]], np.bool_)
            took[1:][turned] -= np.minimum(took[1:][turned], round(first))
        return took

    def _ends(self, stretch: list[Transfer], which: str, asked: np.ndarray) -> np.ndarray:
        """Cycle after the last beat of each transfer: i8[transfer]; asked: i8[transfer], when its bursts arrive."""
        bursts = [getattr(transfer, which) for transfer in stretch]
        sizes = [one.size for one in bursts]
        addresses = np.concatenate(bursts) * self.timing.burst_bytes % self.timing.capacity_bytes
        writes = np.repeat([transfer.writes for transfer in stretch], sizes)
        controller = DramController(refresh="none")
        done = simulate_requests(self.timing, addresses, writes, np.repeat(asked, sizes), controller)
        ends: np.ndarray = np.maximum.reduceat(done.finish_cycles, np.cumsum([0, *sizes[:-1]]))
        return ends


def _places_before(stretch: list[Transfer]) -> np.ndarray:
    """i8[transfer]: the one whose place each takes, -1: one from before the stretch."""
    seen: dict[Mover, list[int]] = {}
    found = []
    for n, transfer in enumerate(stretch):
        own = seen.setdefault(transfer.kind[0], [])
        found.append(own[-transfer.places] if len(own) >= transfer.places else -1)
        own.append(n)
    return np.array(found, np.int64)
