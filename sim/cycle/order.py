"""The order of a nest's ops within a step, their dependencies, and how many tiles each works behind the newest."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import prod

from einsums.types import Access, Cascade
from mappings.tree import PlacedLeaf, ResolvedTree
from sim.cycle.amounts import Amount
from sim.cycle.lags import Edge, LagRule, TimedOp, comes_before, least_lags
from sim.cycle.nest import Nest, Slot
from sim.lower.chains import Chains


@dataclass(frozen=True, slots=True)
class Need:
    """Slot `reader` needs the result of slot `producer`, from this record, this repetition, or the previous one in
    `loop`.
    """

    producer: int
    reader: int
    loop: int = -1  # position in the nest; -1: of the same record
    inside: bool = False
    in_place: bool = False  # read where it was made, slot by slot: no need to wait until it has left the array


def needs_of(chains: Chains, nest: Nest) -> list[Need]:
    """Every dependency between the slots of a nest, once."""
    cascade, tree = chains.cascade, chains.tree
    index = {slot.leaf.einsum: n for n, slot in enumerate(nest.slots)}
    found: dict[Need, None] = {}
    for n, slot in enumerate(nest.slots):
        for load in cascade.einsum(slot.leaf.einsum).loads:
            if load.tensor not in index:
                continue
            producer = index[load.tensor]
            in_place = is_in_place(chains, nest.slots[producer].leaf, slot.leaf)
            loop = _carrying_loop(cascade, tree, nest, load)
            if loop is None or (loop < 0 and nest.slots[producer].leaf.index < slot.leaf.index):
                inside = nest.slots[producer].group == slot.group and bool(slot.group_loops)
                found[Need(producer, n, inside=inside, in_place=in_place)] = None
            elif loop >= 0:
                found[Need(producer, n, loop, in_place=in_place)] = None
            elif producer != n:
                raise ValueError(
                    f"Einsum '{slot.leaf.einsum}' reads the old '{load.tensor}' inside loops that its schedule "
                    "runs through at once"
                )
    return list(found)


def with_equal_repetitions(chains: Chains, nest: Nest, is_even: Callable[[Slot], bool]) -> Nest:
    """The nest without groups whose repetitions differ in size or that wait for others within a repetition."""
    loose = {slot.group for slot in nest.slots if slot.group_loops and not is_even(slot)} | _entangled(
        needs_of(chains, nest), nest
    )
    most = max(slot.group for slot in nest.slots) + 1
    slots = [
        replace(slot, group=most + n, group_loops=(), loops=slot.group_loops + slot.loops)
        if slot.group in loose
        else slot
        for n, slot in enumerate(nest.slots)
    ]
    return replace(nest, slots=tuple(slots))


def _entangled(needs: list[Need], nest: Nest) -> set[int]:
    """Groups with a member that needs, through an op outside, what another member makes in the same record."""
    group = [slot.group for slot in nest.slots]
    reached = {n: {n} for n in range(len(group))}
    for _ in group:
        for need in needs:
            if need.loop < 0:
                reached[need.reader] |= reached[need.producer]
    return {
        group[need.reader]
        for need in needs
        if need.loop < 0 and group[need.producer] != group[need.reader]
        for n in reached[need.producer]
        if group[n] == group[need.reader]
    }


def is_in_place(chains: Chains, producer: PlacedLeaf, reader: PlacedLeaf) -> bool:
    """Whether an Einsum finds a result in the PEs or lanes that made it: same array, and no side was reduced."""
    reduced = set(chains.cascade.einsum(producer.einsum).reduced_variables)
    if producer.array != reader.array or any(side.variable in reduced for side in producer.spatial):
        return False
    places = chains.chain(producer, producer.einsum)
    found = [place for place in places if place.keep is None or place.keep.covers(reader.index)]
    return found[-1].memory != chains.machine.root


def _carrying_loop(cascade: Cascade, tree: ResolvedTree, nest: Nest, load: Access) -> int | None:
    """Position of the loop that carries an old value; None: a value of the same record; -1: not carried by the nest."""
    rank = next((rank for tensor, rank in cascade.iterative if tensor == load.tensor), None)
    if rank is None:
        return None
    position = load.indices[cascade.tensor(load.tensor).ranks.index(rank)]
    if position.last_of is not None or position.offset == 1:
        return None
    variable = rank.lower()
    loops = [n for n, i in enumerate(nest.loops) if tree.loops[i].variable == variable and tree.loops[i].tile == "1"]
    return loops[0] if loops else -1


@dataclass(frozen=True, slots=True)
class Order:
    """Lags of a nest's slots, and the cycles of a step if nothing stalls."""

    lags: tuple[int, ...]
    inner_lags: tuple[int, ...]
    interval: int
    timed: tuple[TimedOp, ...]
    shared: frozenset[int] = frozenset()  # slots whose chain goes in the first slot of their next repetition

    def before(self, one: int, other: int) -> bool:
        """Whether a slot is finished when another one of the same step starts."""
        return comes_before(self.timed[one], self.timed[other])


@dataclass(frozen=True)
class LagPlan:
    """The inputs of the lag computation; the amounts are those of full tiles."""

    nest: Nest
    needs: list[Need]
    amounts: list[Amount]
    latencies: list[int]
    trips: list[int]  # least iterations of every loop of the nest
    shareable: frozenset[int] = frozenset()  # slots whose chain could go in the first slot of their next repetition

    def order(self, hides: int, concurrent: bool) -> Order:
        """Smallest lags; ValueError if there are none. Chains are shared if their results are not needed earlier.

        hides: the most steps of lag that cover one latency.
        """
        slots = self.nest.slots
        shared = self.shareable if self.nest.hides else frozenset()
        if not hides and not self.nest.stages:
            shared = frozenset(n for n in shared if slots[n].group_loops)
        while True:
            found = self._order(LagRule(0, hides if self.nest.hides else 0, concurrent), shared)
            early = {n for n in shared if not self._is_in_time(found, n)}
            if not early:
                return found
            shared -= early

    def _is_in_time(self, order: Order, n: int) -> bool:
        """Whether a slot's result is not needed before its next repetition has begun."""
        grouped = bool(self.nest.slots[n].group_loops)
        for need in (need for need in self.needs if need.producer == n and need.inside == grouped):
            lags = order.inner_lags if grouped else order.lags
            apart = lags[need.reader] - lags[n] + self._distance(need)
            before = n < need.reader if grouped else order.before(n, need.reader)
            if apart < (1 if before else 2):
                return False
        return True

    def _order(self, rule: LagRule, shared: frozenset[int]) -> Order:
        timed, interval = self.timed(shared)
        for n in shared:
            if not self.nest.slots[n].group_loops:
                start, end = timed[n].start, timed[n].end
                timed[n] = replace(timed[n], latency=start + interval + 1 + self.latencies[n] - end)
        if self.nest.stages:
            stage = dict(self.nest.stages)
            lags = [stage.get(slot.leaf.einsum, 0) for slot in self.nest.slots]
            last = max(lags)
            lags = [lag if s.leaf.einsum in stage else last for lag, s in zip(lags, self.nest.slots, strict=True)]
        else:
            edges = [self._edge(need) for need in self.needs if not need.inside]
            inside = [(need.producer, need.reader) for need in self.needs if need.inside]
            edges += [Edge(*pair, 0, beside=True) for a, b in inside for pair in ((a, b), (b, a))]
            lags = least_lags(timed, edges, replace(rule, interval=interval))
        inner = self._inner_lags(self.nest.hides, shared)
        return Order(tuple(lags), tuple(inner), interval, tuple(timed), shared)

    def timed(self, shared: frozenset[int]) -> tuple[list[TimedOp], int]:
        """Every slot with its start and end in a step without stalls, and the length of that step."""
        slots, found = self.nest.slots, []
        drained = dict(self.nest.drains)
        begin, phases = 0, 1 + max([s.phase for s in slots] + list(drained))
        place: dict[int, tuple[int, int]] = {}
        for phase in range(phases):
            ends: dict[str, int] = {}
            for n, slot in enumerate(slots):
                if slot.phase != phase:
                    continue
                start = ends.get(slot.leaf.array, begin)
                length = 0 if slot.guard else self._cycles(n, n in shared)
                place[n] = (start, start + length)
                ends[slot.leaf.array] = start + length
            if phase in drained:
                n = next(i for i, s in enumerate(slots) if s.leaf.einsum == drained[phase])
                ends["drain"] = max(begin, place[n][1] + self.latencies[n] if n in place else begin)
            begin = max([begin, *ends.values()])
        for n, slot in enumerate(slots):
            name, array, index = slot.leaf.einsum, slot.leaf.array, slot.leaf.index
            found.append(TimedOp(name, slot.phase, array, index, n, *place[n], self.latencies[n]))
        return found, max(begin, 1)

    def _cycles(self, n: int, shares: bool) -> int:
        a = self.amounts[n]
        return a.repeats * a.folds * (a.link_in + a.points * a.cycles + a.link_out) + a.chain * (not shares)

    def _distance(self, need: Need) -> int:
        """Records between the one that is made and the one that is read."""
        return prod(self.trips[need.loop + 1 :]) if need.loop >= 0 else 0

    def _edge(self, need: Need) -> Edge:
        distance = self._distance(need)
        producer, reader = self.nest.slots[need.producer], self.nest.slots[need.reader]
        drained = any(name == producer.leaf.einsum and phase < reader.phase for phase, name in self.nest.drains)
        return Edge(need.producer, need.reader, distance, drained or need.in_place)

    def _inner_lags(self, hides: bool, shared: frozenset[int]) -> list[int]:
        """The same inside groups: how many repetitions an op works behind, so that its inputs have left the array."""
        slots, lags = self.nest.slots, [0] * len(self.nest.slots)
        for _ in slots:
            for need in (n for n in self.needs if n.inside):
                members = [i for i, s in enumerate(slots) if s.group == slots[need.reader].group]
                one = [self.amounts[i].folds * self.amounts[i].points * self.amounts[i].cycles for i in members]
                end = sum(one[: members.index(need.producer) + 1])
                if need.producer in shared:  # it leaves with the first slot of the next repetition
                    end = sum(one) + sum(one[: members.index(need.producer)]) + 1
                start = sum(one[: members.index(need.reader)])
                latency = 0 if need.in_place else self.latencies[need.producer]
                late = -(-(end + latency - start) // sum(one)) if hides else 0
                lags[need.reader] = max(lags[need.reader], lags[need.producer] + max(late, 0))
        return lags
