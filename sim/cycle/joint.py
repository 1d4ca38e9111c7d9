"""The nests of one program together: slots and dependencies numbered throughout, and every kept tile with its level.

Nests keep their own order (`choice`). What one of them reads of another is there when that one's item is over, and has
come as far as the reader finds it. Tiles of a nest are filled while earlier nests run, if their memory has room for the
tiles of all nests together; else when the earlier ones are over. A tile above several nests stays for all of them.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

from mappings.tree import PlacedKeep
from sim.cycle.amounts import Amount, Sizer
from sim.cycle.choice import Chosen, CycleDesign, NestSizes, bytes_of_tile, choose, sizer_of, with_folds_apart
from sim.cycle.frames import Frame, NestPlace, frame_of, places_of
from sim.cycle.keeps import NestKeep, keeps_of, traffic_of
from sim.cycle.nest import Nest, Slot
from sim.cycle.order import Need, Order, needs_of, with_equal_repetitions
from sim.cycle.variants import number_variants
from sim.lower.walk import Extents

NOWHERE = -1


@dataclass(frozen=True, slots=True)
class PlacedTile:
    """A kept tile among the levels: `level` counts those outside it, `home` the items that lead to it, `loops` those
    around it with their levels; `waits_at`: the level of the items that must be over before it is filled, or NOWHERE.
    """

    keep: NestKeep
    level: int
    home: tuple[tuple[int, int], ...]
    loops: tuple[tuple[int, int], ...]
    waits_at: int = NOWHERE


@dataclass(frozen=True, slots=True)
class Across:
    """Slot `reader` needs what slot `producer` of another nest has made; `level` parts the two."""

    producer: int
    reader: int
    level: int
    comes_first: bool


@dataclass(frozen=True)
class Joint:
    """Nests of one program. `slots`, `needs`, `order` are numbered throughout; loops of needs are levels."""

    nests: tuple[Nest, ...]
    frame: Frame
    places: dict[int, NestPlace]
    sizers: list[Sizer]
    nest_of: tuple[int, ...]
    needs: list[Need]
    across: list[Across]
    order: Order
    tiles: tuple[PlacedTile, ...]
    warnings: tuple[str, ...]
    latencies: list[int]
    full_amounts: list[Amount]  # of a full tile that changes all words

    @cached_property
    def nest(self) -> Nest:
        """The nests as one; with loops of its own only where there is one."""
        return joined(self.nests)

    def level(self, n: int, loops: int) -> int:
        """The level inside the first `loops` of the own loops of a slot's nest."""
        place, nest = self.places[self.nest_of[n]], self.nests[self.nest_of[n]]
        return place.level(len(place.loops) - len(nest.loops) + loops)

    def loops_around(self, n: int) -> tuple[tuple[int, int], ...]:
        """(level, loop) around the records of a slot."""
        place, nest, slot = self.places[self.nest_of[n]], self.nests[self.nest_of[n]], self.nest.slots[n]
        return place.loops[: len(place.loops) - len(nest.loops) + slot.depth]

    def loops_of(self, n: int) -> tuple[tuple[int, int], ...]:
        """(level, loop) of those whose iterations tell the runs of a slot apart."""
        place, nest, slot = self.places[self.nest_of[n]], self.nests[self.nest_of[n]], self.nest.slots[n]
        outer = len(place.loops) - len(nest.loops)
        guarded = [outer + position for position in slot.guard]
        return tuple(pair for i, pair in enumerate(place.loops[: outer + slot.depth]) if i not in guarded)


def joined(nests: tuple[Nest, ...]) -> Nest:
    """Nests as one, with groups numbered throughout."""
    if len(nests) == 1:
        return nests[0]
    slots: list[Slot] = []
    for nest in nests:
        groups = 1 + max((slot.group for slot in slots), default=-1)
        slots += [replace(slot, group=groups + slot.group) for slot in nest.slots]
    drains = tuple(drain for nest in nests for drain in nest.drains)
    return Nest((), (), tuple(slots), drains, barrier=True)


def joint_of(design: CycleDesign, nests: tuple[Nest, ...], start: Extents) -> Joint:
    """Nests of one program whose loops begin at tiles of extents `start`. ValueError if their order cannot be."""
    one = len(nests) == 1
    members: list[Nest] = []
    chosen: list[Chosen] = []
    sizers: list[Sizer] = []
    for nest in nests:
        sizes = _sizes(design, nest, start, not one)
        nest = with_equal_repetitions(design.chains, nest, _evenness(design, sizes))
        if (apart := with_folds_apart(design, nest, sizes.extents[0])) is not nest:
            nest, sizes = apart, _sizes(design, apart, start, not one)
        own = [sizer_of(design, nest, n) for n in range(len(nest.slots))]
        chosen.append(choose(design, nest, (sizes, own, needs_of(design.chains, nest))))
        members.append(nest)
        sizers += own
    whole = tuple(members)
    frame = frame_of(whole, tuple(max(found.order.lags) for found in chosen))
    places = places_of(frame)
    nest_of = tuple(n for n, nest in enumerate(whole) for _ in nest.slots)
    tiles = _tiles(design, whole, places, chosen)
    return Joint(
        whole,
        frame,
        places,
        sizers,
        nest_of,
        _needs(design, whole, places),
        _across(design, whole, places, nest_of),
        _order([found.order for found in chosen]),
        tiles if one or design.per_phase else _filled_ahead(design, tiles),
        tuple(dict.fromkeys(warning for found in chosen for warning in found.warnings)),
        [latency for found in chosen for latency in found.latencies],
        [amount for found in chosen for amount in found.amounts],
    )


def _sizes(design: CycleDesign, nest: Nest, start: Extents, is_followed: bool) -> NestSizes:
    walk = design.walk
    loops = nest.outer + nest.loops if is_followed else nest.loops
    variants = number_variants(walk, start, Frame(loops))
    first = walk.full_tile(start, nest.outer) if is_followed else start
    trips = variants.trips[:, len(loops) - len(nest.loops) :]
    least = [min(int(t) for t in trips[:, n] if t) for n in range(len(nest.loops))]
    return NestSizes(tuple(dict.fromkeys((first, *variants.extents))), least)


def _evenness(design: CycleDesign, sizes: NestSizes) -> Callable[[Slot], bool]:
    """Whether the loops of a slot's group cut every tile of its nest into equal ones."""

    def even(slot: Slot) -> bool:
        return all(design.walk.is_even(extents, slot.group_loops) for extents in sizes.extents)

    return even


def _first_slots(nests: tuple[Nest, ...]) -> list[int]:
    firsts = [0]
    for nest in nests:
        firsts.append(firsts[-1] + len(nest.slots))
    return firsts


def _needs(design: CycleDesign, nests: tuple[Nest, ...], places: dict[int, NestPlace]) -> list[Need]:
    found = []
    for n, first in enumerate(_first_slots(nests)[:-1]):
        base = len(places[n].loops) - len(nests[n].loops)
        for need in needs_of(design.chains, nests[n]):
            level = places[n].loops[base + need.loop][0] if need.loop >= 0 else need.loop
            found.append(replace(need, producer=first + need.producer, reader=first + need.reader, loop=level))
    return found


def _parting(one: NestPlace, other: NestPlace) -> tuple[int, bool]:
    """The level at which two nests part, and whether the first comes before the second."""
    for (level, item), (_, its_item) in zip(one.home, other.home, strict=False):
        if item != its_item:
            return level, item < its_item
    raise AssertionError("nests of one program part somewhere")


def _across(
    design: CycleDesign, nests: tuple[Nest, ...], places: dict[int, NestPlace], nest_of: tuple[int, ...]
) -> list[Across]:
    slots = [slot for nest in nests for slot in nest.slots]
    maker = {slot.leaf.einsum: n for n, slot in enumerate(slots)}
    found: dict[Across, None] = {}
    for n, slot in enumerate(slots):
        for load in design.chains.cascade.einsum(slot.leaf.einsum).loads:
            producer = maker.get(load.tensor)
            if producer is not None and nest_of[producer] != nest_of[n]:
                found[Across(producer, n, *_parting(places[nest_of[producer]], places[nest_of[n]]))] = None
    return list(found)


def _order(orders: list[Order]) -> Order:
    """The orders of all nests as one."""
    shared, first = set[int](), 0
    for order in orders:
        shared |= {first + n for n in order.shared}
        first += len(order.lags)
    return Order(
        tuple(lag for order in orders for lag in order.lags),
        tuple(lag for order in orders for lag in order.inner_lags),
        max(order.interval for order in orders),
        tuple(op for order in orders for op in order.timed),
        frozenset(shared),
    )


def _tiles(
    design: CycleDesign, nests: tuple[Nest, ...], places: dict[int, NestPlace], chosen: list[Chosen]
) -> tuple[PlacedTile, ...]:
    firsts = _first_slots(nests)
    found: dict[int, PlacedTile] = {}
    for n, choice in enumerate(chosen):
        for keep in choice.keeps:
            writer = None if keep.writer is None else firsts[n] + keep.writer
            users = tuple(firsts[n] + user for user in keep.users)
            whole = replace(keep, users=users, writer=writer)
            found[keep.keep.index] = _placed(design, whole, (n,), places, len(nests[n].loops) - keep.depth)
    if len(nests) > 1:
        for index, members in _above_nests(design, nests).items():
            found[index] = _above(design, nests, places, (design.chains.tree.keeps[index], members))
    return tuple(found[index] for index in sorted(found))


def _above_nests(design: CycleDesign, nests: tuple[Nest, ...]) -> dict[int, tuple[int, ...]]:
    """Tiles that stay for whole nests, and which those are."""
    found: dict[int, list[int]] = {}
    for n, nest in enumerate(nests):
        for keep in keeps_of(design.chains, nest, design.held_anyway)[1]:
            found.setdefault(keep.index, []).append(n)
    return {index: tuple(members) for index, members in found.items()}


def _above(
    design: CycleDesign,
    nests: tuple[Nest, ...],
    places: dict[int, NestPlace],
    which: tuple[PlacedKeep, tuple[int, ...]],
) -> PlacedTile:
    keep, members = which
    firsts = _first_slots(nests)
    index = {slot.leaf.index: firsts[n] + i for n in members for i, slot in enumerate(nests[n].slots)}
    touching = [t for t in design.chains.touches_of(keep.tensor) if keep.covers(t.leaf.index)]
    users = tuple(dict.fromkeys(index[t.leaf.index] for t in touching if t.leaf.index in index))
    writer = next((index[t.leaf.index] for t in touching if t.writes and t.leaf.index in index), None)
    traffic = traffic_of(design.chains, keep)
    whole = NestKeep(keep, len(keep.loops), users, writer, traffic, keep.copies)
    full = design.walk.full_tile(design.walk.whole, keep.loops)
    whole = replace(whole, tile_bytes=bytes_of_tile(design, whole, full))
    covered = tuple(n for n, nest in enumerate(nests) if any(keep.covers(slot.leaf.index) for slot in nest.slots))
    inside = len(places[covered[0]].loops) - len(keep.loops)
    return _placed(design, whole, covered, places, inside)


def _placed(
    design: CycleDesign, keep: NestKeep, members: tuple[int, ...], places: dict[int, NestPlace], inside: int
) -> PlacedTile:
    """A tile with `inside` loops of its first nest within it."""
    homes = [places[n].home for n in members]
    home = tuple(same[0] for same in zip(*homes, strict=False) if len(set(same)) == 1)
    place = places[members[0]]
    loops = place.loops[: len(place.loops) - inside]
    level = max([0, *(level + 1 for level, _ in loops[-1:]), *(level + 1 for level, _ in home[-1:])])
    return PlacedTile(keep, level, home, loops)


def _filled_ahead(design: CycleDesign, tiles: tuple[PlacedTile, ...]) -> tuple[PlacedTile, ...]:
    """The tiles of nests that follow each other: filled while others run where all of them have room together."""
    found = list(tiles)
    for memory, own in design.own_bytes.items():
        here = [n for n, tile in enumerate(tiles) if tile.keep.keep.memory == memory]
        needed = sum(tiles[n].keep.copies * tiles[n].keep.tile_bytes for n in here)
        for n in here:
            tile = tiles[n]
            if needed > own and tile.home:
                found[n] = replace(tile, waits_at=tile.home[-1][0])
            elif tile.keep.fills and tile.keep.copies == 1 and needed + tile.keep.tile_bytes <= own:
                needed += tile.keep.tile_bytes
                found[n] = replace(tile, keep=replace(tile.keep, copies=2))
    return tuple(found)
