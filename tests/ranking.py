"""Do three engines order designs alike? Times of random mappings of attention by each, and why orders differ where they do.

`python tests/ranking.py 300` measures both machines (minutes) and prints the figures of docs/cycle-validation.md.
"""

import itertools
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from sim.cycle.answer import TRANSFERS_ARE_SHARED
from sim.design.experiment import Experiment
from sim.simulation.flow import IllegalMapping, simulate
from tests.attention_mappings import FUSEMAX, PLAIN, Parts, found_binding, iter_mappings

APART = 1.02  # times of two designs that differ by more have an order
SEED = 1
OWN_STALLS = ("operand", "port", "link", "dram", "drain")  # an array loses time to them whatever others do
WAITS = ("dependency", "buffer")  # on others: they lengthen a run only where the busiest array has them


@dataclass(frozen=True)
class Times:
    """Cycles of one design by each engine; bind: of a pipeline whose stages it can find. stalls: as in the result."""

    analytical: float
    cycle: float
    bind: float | None
    stalls: dict[str, dict[str, int]]
    shares_transfers: bool  # the cycle engine says that it lets phases of a nest share transfers

    def causes(self) -> dict[str, int]:
        """Cycles of the run by what the cycle engine names: on the busiest array, or on the one that loses most to it."""
        busiest = min(self.stalls.values(), key=lambda lost: sum(lost.values()))
        found = {cause: max(lost[cause] for lost in self.stalls.values()) for cause in OWN_STALLS}
        return found | {cause: busiest[cause] for cause in WAITS}

    def most_lost(self) -> int:
        """Cycles that one array loses to causes of its own, or the busiest one to its own and while it waits for others."""
        busiest = min(self.stalls.values(), key=lambda lost: sum(lost.values()))
        own = [sum(lost[cause] for cause in OWN_STALLS) for lost in self.stalls.values()]
        return max(*own, sum(busiest[cause] for cause in (*OWN_STALLS, *WAITS)))


class Pair(NamedTuple):
    """Two designs in opposite orders: `slow` takes longer by the cycle engine, or else by the first of the two named."""

    slow: Times
    fast: Times

    @property
    def cause(self) -> str:
        """What the cycle engine names as the largest loss of the slower one."""
        causes = self.slow.causes()
        return max(causes, key=causes.__getitem__)

    @property
    def is_explained(self) -> bool:
        """Whether the order is as expected without the cycles that the slower one loses, or the faster one is said to
        move words earlier than the other engine assumes.
        """
        is_early = self.fast.shares_transfers and self.fast.cycle < self.fast.analytical
        return is_early or self.slow.cycle - self.slow.most_lost() <= APART * self.fast.cycle


def times_of(experiment: Experiment) -> Times | None:
    """None for a schedule that the cycle engine refuses."""
    try:
        cycle = simulate(experiment, "cycle")
    except IllegalMapping:
        return None
    binding = found_binding(experiment) if experiment.mapping.schedule.kind == "pipelined" else None
    total = None if binding is None else float(binding.total_cycles)
    assert cycle.stall_cycles is not None
    shares = TRANSFERS_ARE_SHARED in cycle.warnings
    return Times(simulate(experiment).cycles, cycle.cycles, total, cycle.stall_cycles, shares)


def measured(parts: Parts, count: int) -> list[Times]:
    """Times of the first so many mappings of a machine."""
    found = (times_of(experiment) for experiment in iter_mappings(SEED, parts))
    return list(itertools.islice((times for times in found if times is not None), count))


def ordered(times: Iterable[Times], engine: str) -> Iterator[tuple[Times, Times, bool]]:
    """Pairs of designs of which an engine and the cycle engine have times, one of them an order; whether it is one."""
    known = [one for one in times if getattr(one, engine) is not None]
    for one, other in itertools.combinations(known, 2):
        ratios = getattr(one, engine) / getattr(other, engine), one.cycle / other.cycle
        if max(*ratios, *(1 / ratio for ratio in ratios)) > APART:
            slow, fast = (one, other) if ratios[1] > 1 else (other, one)
            yield slow, fast, (ratios[0] - 1) * (ratios[1] - 1) >= 0


def pairs_apart(times: Iterable[Times], engine: str) -> list[Pair]:
    """Pairs that an engine orders otherwise than the cycle engine."""
    return [Pair(slow, fast) for slow, fast, is_alike in ordered(times, engine) if not is_alike]


def main() -> None:
    for name, parts in (("FuseMax chip", FUSEMAX), ("plain machine", PLAIN)):
        times = measured(parts, int(sys.argv[1]))
        close = sum(one.cycle < APART * one.analytical for one in times)
        print(f"{name}: {len(times)} designs, {close} within 2% or shorter by the cycle engine")
        for engine in ("analytical", "bind"):
            pairs, apart = sum(1 for _ in ordered(times, engine)), pairs_apart(times, engine)
            causes = Counter(pair.cause for pair in apart)
            lacking = sum(not pair.is_explained for pair in apart)
            for pair in apart:
                if not pair.is_explained:
                    print(f"    {pair}")
            print(f"  {engine}: {pairs} pairs, {len(apart)} apart {dict(causes)}, {lacking} not explained", flush=True)


if __name__ == "__main__":
    main()
