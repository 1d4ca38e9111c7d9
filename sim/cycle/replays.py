"""How much longer transfers take where their bursts lie apart: stretches of them, replayed in the DRAM model.

A stretch is replayed twice (`sim.dram.requests`): at the addresses that a layout gives, and with every tile in one
piece behind the one before. What the first takes more is shared among the transfers that have addresses, in proportion
to what each of them took more between last beats, and comes on top of the time of a stream. Rows that are open from one
transfer to the next, banks that tensors share and turns of the bus are in both replays as they come. Refresh lengthens
scattered transfers as it does streams (docs/dram.md), so both are replayed without it.

A transfer is asked for when there is a place for its tile: when the one that had the place is through. The controller
must not find rows in common between tiles of which there is only one at a time.
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
NOTICED = 0.02  # of the time of a stream
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


@dataclass(frozen=True, slots=True)
class Cost:
    """Cycles of all transfers of one kind: of a stream, and what they take more because they lie apart."""

    stream: float = 0.0
    more: float = 0.0

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(self.stream + other.stream, self.more + other.more)


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
        """How often the time of a stream; 1 where the sample tells no more than a row cycle, or than NOTICED."""
        if cost.more <= max(self.timing.cycles_of("tRC"), NOTICED * cost.stream):
            return Fraction(1)
        return 1 + Fraction(round(cost.more / cost.stream * STEPS), STEPS)

    def measure(self, stretch: list[Transfer]) -> None:
        """Replay a stretch and add its transfers to the costs of their kinds."""
        if not any(transfer.has_addresses for transfer in stretch):
            return
        more = self._took(stretch, "lying") - self._took(stretch, "whole")
        inside = self._inside(stretch)
        streams, own = dict[Kind, float](), dict[Kind, float]()
        for transfer, cycles in ((stretch[n], more[n]) for n in inside if stretch[n].has_addresses):
            kind = transfer.kind
            streams[kind] = streams.get(kind, 0.0) + transfer.whole.size * self._burst_cycles(transfer.writes)
            own[kind] = own.get(kind, 0.0) + cycles
        noticed = {kind: cycles for kind, cycles in own.items() if cycles > NOTICED * streams[kind]}
        all_more, theirs = max(0, int(more[inside].sum())), sum(noticed.values())
        for kind, stream in streams.items():
            shared = all_more * noticed[kind] / theirs if kind in noticed else 0.0
            self.costs[kind] = self.costs.get(kind, Cost()) + Cost(stream, shared)

    def _burst_cycles(self, writes: bool) -> float:
        """Cycles of a burst in a stream without refresh."""
        return self.timing.cycles_of("tCCD_S_WR" if writes else "tCCD_S") / self.timing.interfaces

    def _inside(self, stretch: list[Transfer]) -> range:
        """The transfers that have as much before and behind them as the controllers see, if there are any."""
        sizes = np.array([transfer.whole.size for transfer in stretch])
        before = np.cumsum(sizes) - sizes
        margin = min(self.in_flight, int(sizes.sum()) // 4)
        first = int(np.searchsorted(before, margin))
        last = int(np.searchsorted(before + sizes, sizes.sum() - margin, side="right"))
        return range(first, last) if first < last else range(len(stretch))

    def _took(self, stretch: list[Transfer], which: str) -> np.ndarray:
        """i8[transfer], cycles between last beats, the way to the first word after a pause left out."""
        before = _places_before(stretch)
        asked = np.zeros(len(stretch), np.int64)
        ends = self._ends(stretch, which, asked)
        for _ in range(ROUNDS):
            # Asked for in order: one behind another that has to wait for its place waits with it.
            freed = np.where(before >= 0, ends[before], 0)
            asked, was = np.maximum.accumulate(freed), ends
            ends = self._ends(stretch, which, asked)
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
