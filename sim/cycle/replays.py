"""How much longer transfers take where their bursts lie apart: stretches of them, replayed in the DRAM model.

A stretch is replayed twice (`sim.dram.requests`): at the addresses that a layout gives, and with every tile in one piece
behind the one before. How much longer the first takes is shared among the transfers that lie apart, in proportion to
the time between their last beats; so many times the time of a stream is what one of that kind costs. Rows that are open
from one transfer to the next, banks that tensors share and turns of the bus are in both replays as they come. Refresh
lengthens scattered transfers as it does streams (docs/dram.md), so both are replayed without it.
"""

from collections.abc import Hashable
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np

from arch.dram import DramController, DramTiming
from sim.dram.requests import simulate_requests

NOTICED = 1.02  # up to so many times the time of a stream, a tile lies as well as in one piece
STEPS = 1000  # in which a cost is told


@dataclass(frozen=True, slots=True)
class Transfer:
    """One transfer of a stretch. lying, whole: i8[burst], numbers of its bursts as they lie, and in one piece."""

    kind: Hashable
    writes: bool
    has_addresses: bool  # else it lies in one piece, whatever the layout
    lying: np.ndarray
    whole: np.ndarray


@dataclass
class Cost:
    """Cycles of all transfers of one kind, as they lie and in one piece."""

    lying: float = 0.0
    whole: float = 0.0

    @property
    def times(self) -> Fraction:
        """How often the time of a stream; 1 where that is not noticed."""
        found = self.lying / self.whole if self.whole else 1.0
        return Fraction(round(found * STEPS), STEPS) if found > NOTICED else Fraction(1)


@dataclass
class Replays:
    """The costs of all kinds of transfers that have been measured."""

    timing: DramTiming
    costs: dict[Hashable, Cost] = field(default_factory=dict)

    @property
    def in_flight(self) -> int:
        """Bursts that the controllers of all channels see at a time."""
        return self.timing.interfaces * DramController().window

    def measure(self, stretch: list[Transfer]) -> None:
        """Replay a stretch and add its transfers to the costs of their kinds."""
        if not any(transfer.has_addresses for transfer in stretch):
            return
        inside = self._inside(stretch)
        whole, lying = (self._durations(stretch, which) for which in ("whole", "lying"))
        found: dict[Hashable, Cost] = {}
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

    def _durations(self, stretch: list[Transfer], which: str) -> np.ndarray:
        """Cycles from the last beat of everything before a transfer to its own last beat: i8[transfer]."""
        bursts = [getattr(transfer, which) for transfer in stretch]
        numbers = np.concatenate(bursts) % (self.timing.capacity_bytes // self.timing.burst_bytes)
        writes = np.concatenate([np.full(b.size, t.writes) for b, t in zip(bursts, stretch, strict=True)])
        controller = DramController(refresh="none")
        done = simulate_requests(self.timing, numbers * self.timing.burst_bytes, writes, 0, controller)
        firsts = np.cumsum([0, *(b.size for b in bursts[:-1])])
        ends = np.maximum.accumulate(np.maximum.reduceat(done.finish_cycles, firsts))
        return np.diff(ends, prepend=0)
