"""When others may use a result: after it has left its array, in the lanes in which they take it."""

from sim.cycle.amounts import Amount, Sizer
from sim.engine.folds import tail_cycles
from sim.lower.chains import Chains


def latency_of_ways(chains: Chains, sizer: Sizer, columns: int) -> int:
    """Cycles after an op's last issue slot until others may use its result, which takes so many columns.

    A reduction along a side passes every PE of it: the array's drain where the machine file gives one, else rows - 1
    (columns - 1) further cycles; its lanes leave one after the other, so that only a reader that takes them in the same
    lanes can keep pace. A result that another array reads through memory is complete when the array's skew is over.
    """
    array, leaf = sizer.array, sizer.slot.leaf
    reduced = set(chains.cascade.einsum(leaf.einsum).reduced_variables)
    sides = [side.side for side in leaf.spatial if side.variable in reduced]
    latency = 0
    for side in sides:
        declared = array.drain is not None and array.drain.along == side
        latency += int(array.drain_cycles) if declared else (array.rows if side == "rows" else array.columns) - 1
    readers = [touch.leaf for touch in chains.touches_of(leaf.einsum) if not touch.writes]
    leaves = any(way.touch.writes and not way.is_shared for way, _ in sizer.ways)
    if not sides and leaves and (not readers or any(reader.array != leaf.array for reader in readers)):
        latency += array.rows + columns - 2
    lanes = {side.variable for side in leaf.spatial if side.side not in sides}
    if sides and leaves and not (readers and all(lanes <= {s.variable for s in r.spatial} for r in readers)):
        latency += (columns if sides[0] == "rows" else array.rows) - 1
    return latency


def latency_of(chains: Chains, sizer: Sizer, amount: Amount, columns: int, full: Amount) -> int:
    """The same for one repetition of this amount; `full`: the amount of a full tile that changes all words.

    Where trains run beside the slots, the result is late by what they hide: words that leave by those of this tile,
    words that come by those of the first. Folds that do not overlap have waited for their skew.
    """
    latency, wiring = latency_of_ways(chains, sizer, columns), sizer.array.wiring
    if sizer.array.links is None:
        return latency
    slots, skew = full.points * full.cycles * sizer.fold_records, sizer.array.rows + columns - 2

    def hidden(train: int) -> int:
        return tail_cycles(slots, train, skew, sizer.runs_trains_beside, wiring.overlap) - skew * wiring.overlap

    coming = hidden(sum(full.train)) - hidden(full.train[1])
    waited = 0 if wiring.overlap or not any(amount.train) else skew
    return max(0, latency - waited) + hidden(amount.train[1]) + coming
