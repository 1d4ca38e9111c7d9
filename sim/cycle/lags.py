"""How many tiles each op works behind the newest one: the smallest lags that the order of a step allows.

An op Y that reads what op X made d records ago needs it to be complete: lag_Y >= lag_X - d, and one more if X comes
later in a step or at the same time. If a schedule hides drains, Y also waits enough steps for X's result to have left
its array: lag_Y >= lag_X - d + ceil((end of X + latency of X - start of Y) / initiation interval), all within one step
(Lam, PLDI 1988, with the result's drain as the latency of X). The least solution is a longest path; a cycle of positive
weight means that no order of steps can work.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Edge:
    """Op `reader` needs what op `producer` made `distance` records ago; `drained`: latency does not matter."""

    producer: int
    reader: int
    distance: int
    drained: bool = False
    beside: bool = False  # both advance through their repetitions together: equal lags


@dataclass(frozen=True, slots=True)
class TimedOp:
    """An op within a step: its phase, its array, its start and end if nothing stalls, and the latency of its result."""

    name: str
    phase: int
    array: str
    index: int  # in the order of the tree
    position: int  # in the order of the schedule
    start: int
    end: int
    latency: int


@dataclass(frozen=True, slots=True)
class LagRule:
    """interval: cycles of a step; hides: steps of lag that may cover a latency, or 0; concurrent: ops of one phase work
    on different tiles.
    """

    interval: int
    hides: int
    concurrent: bool


def comes_before(one: TimedOp, other: TimedOp) -> bool:
    """Whether an op has been issued when another one of the same step starts."""
    if one.phase != other.phase:
        return one.phase < other.phase
    return one.array == other.array and one.position < other.position


def least_lags(ops: list[TimedOp], edges: list[Edge], rule: LagRule) -> list[int]:
    """The lag of every op; ValueError if the order of a step contradicts the dependencies."""
    lags = [0] * len(ops)
    for _ in range(len(ops) + 1):
        changed = False
        for edge in edges:
            least = lags[edge.producer] - edge.distance + _weight(ops[edge.producer], ops[edge.reader], edge, rule)
            if least > lags[edge.reader]:
                lags[edge.reader], changed = least, True
        if not changed:
            return lags
    stuck = next(
        e
        for e in edges
        if lags[e.producer] - e.distance + _weight(ops[e.producer], ops[e.reader], e, rule) > lags[e.reader]
    )
    raise ValueError(
        f"Einsum '{ops[stuck.reader].name}' reads what Einsum '{ops[stuck.producer].name}' makes later in the "
        "schedule, and no number of tiles between them resolves it"
    )


def _weight(producer: TimedOp, reader: TimedOp, edge: Edge, rule: LagRule) -> int:
    """The steps that must separate the two when both work on the same tile."""
    if edge.beside:
        return 0
    in_order = comes_before(producer, reader)
    if not in_order and not rule.concurrent and producer.phase == reader.phase and producer.index < reader.index:
        in_order = True
    order = 0 if in_order or (producer is reader and edge.distance > 0) else 1
    if not rule.hides or edge.drained or producer.latency == 0:
        return order
    return max(order, min(rule.hides, -(-(producer.end + producer.latency - reader.start) // rule.interval)))
