"""How a nest runs: which tile each op works on, and how many copies of every tile it takes, as far as there is
room.

Overlap is tried from the most to the least: hiding drains, then working on several tiles at once, then one
tile after the other. What the memories have no room for is said in warnings; an order that does not fit at
all runs as if it did.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import prod

from einsums.nodes import Load
from mappings.tree import PlacedKeep
from sim.cycle.amounts import Amount, Sizer
from sim.cycle.keeps import NestKeep, inner_ways, keeps_of, with_copies
from sim.cycle.latency import latency_of
from sim.cycle.nest import Nest, Slot, nests_of
from sim.cycle.order import LagPlan, Need, Order
from sim.cycle.rates import MachineRates
from sim.cycle.staying import fold_slots
from sim.design.experiment import Experiment
from sim.lower.chains import Chains
from sim.lower.demands import Way, held_anyway, ways_of
from sim.lower.elements import Spread
from sim.lower.walk import Extents, Walk

ALL = 2**40  # steps of lag that may cover a latency: as many as it takes
MOST_STEPS_HIDDEN = 2**20


@dataclass(frozen=True)
class CycleDesign:
    """One design as the cycle engine needs it.

    room_bytes: what every memory's own tiles leave free when it is fullest; own_bytes: what it has for tiles;
    kept_bytes, in_flight: bytes that each keep has in its memory, and tiles of a pipeline that are there at once;
    least_cycles: what the bandwidths of memories on chip allow; busy_cycles: of all arrays together; common_room_bytes:
    what memories that cores share have for more places of tiles in common; follows: this is one of the cores whose sums
    leave with those of another.
    """

    experiment: Experiment
    chains: Chains
    walk: Walk
    machine: MachineRates
    room_bytes: dict[str, float]
    own_bytes: dict[str, float]
    kept_bytes: tuple[float, ...]
    in_flight: tuple[int, ...]
    least_cycles: int = 0
    busy_cycles: float = 0.0
    common_room_bytes: dict[str, float] = field(default_factory=dict)
    follows: bool = False

    @cached_property
    def cores(self) -> int:
        """Cores that share out the dealt loops; 1 where a mapping leaves all others idle."""
        return int(self.machine.columns.cores[0]) if self.chains.dealt else 1

    @cached_property
    def combined(self) -> int | None:
        """The dealt loop over whose iterations cores add up."""
        return self.experiment.structure.lowered.combined

    def elsewhere(self, slot: Slot, ways: list[tuple[Way, tuple[int, ...]]]) -> frozenset[int]:
        """Ways of a slot's sums that leave this core with those of another one."""
        if self.combined is None or not self.follows:
            return frozenset()
        part, machine = self.walk.loops[self.combined].part, self.chains.machine
        return frozenset(
            number
            for number, (way, _) in enumerate(ways)
            if way.touch.writes and part not in way.parts and not machine.is_in_core(way.memory)
        )

    @cached_property
    def nests(self) -> tuple[Nest, ...]:
        """The nests in the order in which they run. ValueError for a schedule that no nest can follow."""
        return nests_of(self.experiment.mapping, self.experiment.tree, self.experiment.cascade)

    @property
    def per_phase(self) -> bool:
        """Whether no transfer of a nest overlaps with another one."""
        return self.experiment.mapping.schedule.transfers == "per-phase" and len(self.nests) > 1

    @cached_property
    def held_anyway(self) -> frozenset[int]:
        return held_anyway(self.chains, self.walk)


@dataclass(frozen=True)
class Chosen:
    order: Order
    keeps: list[NestKeep]
    warnings: tuple[str, ...]
    amounts: list[Amount]  # of full tiles that change all words
    latencies: list[int]


def sizer_of(design: CycleDesign, nest: Nest, n: int) -> Sizer:
    slot = nest.slots[n]
    found = ways_of(design.chains, design.walk, slot.leaf, design.machine.spilled)
    ways = [(way, tuple(loop for loop in way.loops if loop in slot.loops)) for way in found]
    ways += inner_ways(design.chains, nest, slot, design.machine.spilled, design.held_anyway)
    root = design.chains.machine.root
    guarded = frozenset(nest.loops[position] for position in slot.guard)
    einsum = design.chains.cascade.einsum(slot.leaf.einsum)
    tensors = {load.tensor for load in einsum.loads}
    reduced = frozenset(einsum.reduced_variables)
    first = isinstance(einsum.expr, Load)
    stages = tuple(
        design.chains.space.parts_of_tensor(keep.tensor)
        for keep in design.chains.tree.keeps
        if keep.covers(slot.leaf.index) and keep.tensor in tensors and design.machine.piece(keep.memory)
    )
    sizer = Sizer(design.walk, design.machine, slot, ways, root, guarded, reduced, first, stages)
    return replace(sizer, fold_slots=fold_slots(design.walk, nest, sizer), elsewhere=design.elsewhere(slot, ways))


def with_folds_apart(design: CycleDesign, nest: Nest, start: Extents) -> Nest:
    """A nest of one Einsum with a record for each of its folds, so that ragged ones cost what they take; as it is where
    the machine file states no links.
    """
    slot = nest.slots[0]
    if len(nest.slots) > 1 or slot.group_loops or slot.guard or sizer_of(design, nest, 0).array.links is None:
        return nest
    inside = design.walk.full_chain(start, nest.loops)[-1]
    around = sizer_of(design, nest, 0).loops_of_folds(inside)
    moved = replace(slot, depth=slot.depth + len(around), loops=slot.loops[len(around) :])
    return replace(nest, loops=nest.loops + around, slots=(moved,))


@dataclass(frozen=True, slots=True)
class NestSizes:
    """Extents at all levels of a nest's loops, the first ones outside them, and the least iterations of each."""

    extents: tuple[Extents, ...]
    least: list[int]


def choose(design: CycleDesign, nest: Nest, parts: tuple[NestSizes, list[Sizer], list[Need]]) -> Chosen:
    """Lags, and copies of tiles to go with them: as much overlap as the schedule asks for and the memories have room
    for.
    """
    sizes, sizers, needs = parts
    chain = design.walk.full_chain(sizes.extents[0], nest.loops)
    amounts = [s.amount(chain[slot.depth]) for s, slot in zip(sizers, nest.slots, strict=True)]
    latencies = [latency_of(design.chains, s, a, s.array.columns, a) for s, a in zip(sizers, amounts, strict=True)]
    least = sizes.least
    keeps, _ = keeps_of(design.chains, nest, design.held_anyway)
    plan = LagPlan(nest, needs, amounts, latencies, least, shareable(nest, sizers, sizes, keeps))
    keeps = [replace(k, tile_bytes=bytes_of_tile(design, k, chain[k.depth])) for k in keeps]
    tile_bytes = [k.tile_bytes for k in keeps]
    records = [records_of_tile(design, nest, k, least) for k in keeps]
    if nest.stages:
        # The footprint has them: room is asked for tiles that are filled ahead alone.
        in_flight = [design.in_flight[k.keep.index] for k in keeps]
        keeps = [replace(k, copies=max(k.copies, n)) for k, n in zip(keeps, in_flight, strict=True)]
        order = plan.order(ALL, True)
        granted, _ = with_copies(keeps, in_flight, design.room_bytes, tile_bytes)
        return Chosen(order, granted, tuple(inner_room(design, nest, order, chain[-1])), amounts, latencies)
    room_bytes, warnings = nest_room(design, nest)
    found: Chosen | None = None

    def tried(hides: int, concurrent: bool) -> tuple[Chosen, list[int]]:
        order = plan.order(hides, concurrent)
        needed = [copies_needed(keeps, k, order, n) for k, n in zip(keeps, records, strict=True)]
        granted, lacking = with_copies(keeps, needed, room_bytes, tile_bytes)
        said = (*warnings, *inner_room(design, nest, order, chain[-1]))
        return Chosen(order, granted, said, amounts, latencies), lacking

    for hides, concurrent in ((ALL, True), (0, True), (0, False)):
        found, lacking = tried(hides, concurrent)
        if not any(lacking):
            if warnings and not hides and concurrent:  # not all of a drain can be hidden, but perhaps a part of it
                return most_hidden(lambda most: tried(most, True), found)
            return found
        n = next(i for i, missing in enumerate(lacking) if missing)
        memory, tensor = keeps[n].keep.memory, keeps[n].keep.tensor
        what = "hiding drains" if hides else "working on several tiles at once" if concurrent else "the schedule"
        warnings.append(
            f"'{memory}' has no room for the {keeps[n].copies + lacking[n]} tiles of '{tensor}' that {what} takes"
        )
    assert found is not None
    # No order fits: the last one runs as if the tiles were there, and says so.
    needed = [copies_needed(keeps, k, found.order, n) for k, n in zip(keeps, records, strict=True)]
    keeps = [replace(k, copies=max(k.copies, n)) for k, n in zip(keeps, needed, strict=True)]
    return replace(found, keeps=keeps, warnings=(*found.warnings, warnings[-1]))


def most_hidden(tried: Callable[[int], tuple[Chosen, list[int]]], without: Chosen) -> Chosen:
    """The choice that hides drains behind the most steps for which there is room; `without` hides none."""
    best, fits, lacks = without, 0, 1
    while lacks <= MOST_STEPS_HIDDEN:
        found, lacking = tried(lacks)
        if any(lacking):
            break
        best, fits, lacks = found, lacks, 2 * lacks
    while lacks - fits > 1:
        found, lacking = tried((fits + lacks) // 2)
        if any(lacking):
            lacks = (fits + lacks) // 2
        else:
            best, fits = found, (fits + lacks) // 2
    return best


def nest_room(design: CycleDesign, nest: Nest) -> tuple[dict[str, float], list[str]]:
    """Bytes that a nest's tiles leave free in every memory. Here each has its place for the whole nest and is filled
    ahead, also where a sequential schedule needs it for a part of the time only: what then does not fit is a warning.
    """
    room, warnings = dict(design.room_bytes), list[str]()
    if design.experiment.mapping.schedule.kind != "sequential":
        return room, warnings
    leaves = [slot.leaf.index for slot in nest.slots]
    for memory, own in design.own_bytes.items():
        places: dict[tuple[int, int], float] = {}
        for keep in design.chains.tree.keeps:
            is_here = keep.memory == memory and any(keep.covers(leaf) for leaf in leaves)
            if is_here and keep.index not in design.held_anyway:
                place = (keep.index if keep.share_group < 0 else -1, keep.share_group)
                places[place] = max(places.get(place, 0.0), design.kept_bytes[keep.index])
        needed = sum(places.values())
        if needed > own and design.machine.spilled.get(memory, 0) == 0:
            warnings.append(
                f"'{memory}' has {own:g} B for tiles that are there one after the other; the cycle engine fills them "
                f"ahead, as if each had a place of its own: {needed:g} B"
            )
        room[memory] = min(room[memory], max(0.0, own - needed))
    return room, warnings


def shareable(nest: Nest, sizers: list[Sizer], sizes: NestSizes, keeps: list[NestKeep]) -> frozenset[int]:
    """Slots whose chain could go in the first slot of their next repetition: there always is one, whatever the tile."""
    drained = {name for _, name in nest.drains}
    written_back = {keep.writer for keep in keeps if keep.drains}
    return frozenset(
        n
        for n, slot in enumerate(nest.slots)
        if not slot.guard
        and slot.leaf.einsum not in drained
        and n not in written_back
        and all(sizers[n].amount(extents).chain for extents in sizes.extents)
    )


def inner_room(design: CycleDesign, nest: Nest, order: Order, extents: Extents) -> list[str]:
    """Tiles kept inside single repetitions whose users do not take turns: all repetitions must then be kept at
    once.
    """
    chains, found = design.chains, []
    index = {slot.leaf.index: n for n, slot in enumerate(nest.slots)}
    around = nest.outer + nest.loops
    word_bytes = design.machine.word_bytes
    for keep in chains.tree.keeps:
        touching = [t for t in chains.touches_of(keep.tensor) if keep.covers(t.leaf.index)]
        users = [index[t.leaf.index] for t in touching if t.leaf.index in index]
        groups = {nest.slots[n].group for n in users}
        if keep.loops == around[: len(keep.loops)] or len(groups) < 2:
            continue
        whole = held_words(design, keep, extents, chains.space.parts_of_tensor(keep.tensor))
        lags = [order.lags[n] for n in users]
        apart = max(lags) - min(lags)
        needed = whole * (apart + 1) * word_bytes
        counted = whole * apart * word_bytes if nest.stages else 0.0  # the footprint of a pipeline has it
        free = design.room_bytes[keep.memory]
        if needed - counted > free:
            found.append(
                f"'{keep.memory}' has room for {free:g} B more, but the schedule keeps {needed:g} B of "
                f"'{keep.tensor}' there: the Einsums that make and read it do not take turns"
            )
    return found


def bytes_of_tile(design: CycleDesign, keep: NestKeep, extents: Extents) -> float:
    """Bytes of one of its places, for a tile of these extents."""
    parts = design.chains.space.parts_of_tensor(keep.keep.tensor) - running(design, keep)
    return held_words(design, keep.keep, extents, parts) * design.machine.word_bytes


def held_words(design: CycleDesign, keep: PlacedKeep, extents: Extents, parts: frozenset[int]) -> int:
    """Words of a tile of these extents in its memory; beside the elements of an array, in one of them."""
    local = design.chains.local_touches(keep)
    if not local:
        return design.walk.held_words(extents, None, (), parts)
    leaf = local[0].leaf
    spread = Spread(leaf, design.chains.machine.sides_of(keep.memory))
    return design.walk.held_words(extents, spread, leaf.loops[len(keep.loops) :], parts)


def running(design: CycleDesign, keep: NestKeep) -> frozenset[int]:
    """Iterative ranks whose running value alone is kept: no more than one coordinate lives at a time."""
    space = design.chains.space
    ranks = {rank for tensor, rank in design.chains.cascade.iterative if tensor == keep.keep.tensor}
    return frozenset(space.part(rank) for rank in ranks)


def records_of_tile(design: CycleDesign, nest: Nest, keep: NestKeep, trips: list[int]) -> int:
    """Records for which a tile stays, at least."""
    parts = design.chains.space.parts_of_tensor(keep.keep.tensor)
    changing = [
        n for n, loop in enumerate(nest.loops[: keep.depth]) if design.walk.loops[loop].part in parts and trips[n] > 1
    ]
    return prod(trips[changing[-1] + 1 if changing else 0 :])


def copies_needed(keeps: list[NestKeep], keep: NestKeep, order: Order, records: int) -> int:
    """Places that a tile of `records` records, and those that take turns with it, need for users whose lags differ.

    The first user f of tile n + c must come after the last user u of tile n:
    (n + c) records + lag_f >= (n + 1) records - 1 + lag_u, plus one step if u does not come before f within a step.
    """
    turns = [k for k in keeps if k is keep or k.keep.share_group == keep.keep.share_group >= 0]
    users = [n for k in turns for n in k.users]
    # What is read before the first value is written is an initial value, which takes no place.
    first = [n for k in turns for n in k.users if k.fills or k.writer in (None, n)]
    apart = max(order.lags[u] - order.lags[f] + (not order.before(u, f)) for u in users for f in first)
    return max(1, -(-(records - 1 + apart) // records))
