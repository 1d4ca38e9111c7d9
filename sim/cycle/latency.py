"""When others may use a result: after it has left its array, in the lanes in which they take it."""

from sim.cycle.amounts import Amount, Sizer
from sim.engine.folds import tail_cycles
from sim.engine.latency import Passing
from sim.lower.chains import Chains
from sim.lower.latency import latency_of as way_out


def latency_of_ways(chains: Chains, sizer: Sizer, columns: int) -> int:
    """Cycles after an op's last issue slot until others may use its result, which takes this many columns."""
    array = sizer.array
    leaves = any(way.touch.writes and not way.is_shared for way, _ in sizer.ways)
    passing = Passing(array.rows, columns, int(array.along_rows), int(array.along_columns))
    return int(way_out(chains, sizer.slot.leaf, leaves).cycles(passing))


def latency_of(chains: Chains, sizer: Sizer, amount: Amount, columns: int, full: Amount) -> int:
    """The same for one repetition of this amount; `full`: the amount of a full tile that changes all words.

    Where trains run beside the slots, the result is late by what they hide: words that leave by those of this tile,
    words that come by those of the first. Folds that do not overlap have waited for their skew.
    """
    latency, wiring = latency_of_ways(chains, sizer, columns), sizer.array.wiring
    if sizer.array.links is None:
        return latency
    slots, skew = max(full.points, sizer.fold_slots) * full.cycles, sizer.array.rows + columns - 2

    def hidden(train: int) -> int:
        return tail_cycles(slots, train, skew, sizer.runs_trains_beside, wiring.overlap) - skew * wiring.overlap

    coming = hidden(sum(full.train)) - hidden(full.train[1])
    waited = 0 if wiring.overlap or not any(full.train) else skew
    return max(0, latency - waited) + hidden(amount.train[1]) + coming
