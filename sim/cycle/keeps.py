"""The kept tiles of a nest: their users, what fills and drains them, and how many places they have.

Only tiles at or above the level of the nest's loops change from record to record and are separate transfers; tiles
further in belong to one repetition of an op and are streamed with it.
"""

from dataclasses import dataclass, replace
from fractions import Fraction

from mappings.tree import PlacedKeep
from sim.cycle.nest import Nest, Slot
from sim.lower.chains import Chains, Touch
from sim.lower.demands import Way, served_by
from sim.lower.walk import Extents, Walk


@dataclass(frozen=True, slots=True)
class TileTraffic:
    """Words into or out of a kept tile.

    parts: those of its ranks that make words; moving: those whose loops bring another tile; only_again: sums that come
    back incomplete, in all visits but those in the first iteration of loops over other parts than `moving`.
    """

    touch: Touch
    memory: str  # the other side
    behind: str | None  # the memory that has what does not fit there
    parts: frozenset[int]
    moving: frozenset[int]
    writes: bool
    only_again: bool = False


@dataclass(frozen=True, slots=True)
class NestKeep:
    """A kept tile of a nest. `depth` counts the nest's loops outside it; copies may grow where there is room."""

    keep: PlacedKeep
    depth: int
    users: tuple[int, ...]  # slots
    writer: int | None
    traffic: tuple[TileTraffic, ...]
    copies: int
    tile_bytes: float = 0.0  # of a full one

    @property
    def fills(self) -> bool:
        return any(not t.writes for t in self.traffic)

    @property
    def drains(self) -> bool:
        return any(t.writes for t in self.traffic)

    @property
    def moving(self) -> frozenset[int]:
        """Parts whose loops bring another tile, as far as it crosses the border of its memory."""
        return frozenset(part for traffic in self.traffic for part in traffic.moving)

    @property
    def other_side(self) -> str | None:
        return self.traffic[0].memory if self.traffic else None


def traffic_of(chains: Chains, keep: PlacedKeep) -> tuple[TileTraffic, ...]:
    """The words that cross the border of a kept tile, and the return of partial sums that left it incomplete."""
    found = []
    for row in chains.demands_of_keep(keep):
        touch, place, parts = row.touch, row.place, row.parts - row.steps
        found.append(TileTraffic(touch, place.memory, place.behind, parts, row.moving, touch.writes))
        # Only a reduced tensor comes back incomplete; whether loops revisit it may also depend on their sizes.
        if touch.writes and chains.cascade.einsum(touch.leaf.einsum).reduced_variables and keep.loops:
            found.append(TileTraffic(touch, place.memory, place.behind, parts, row.moving, False, only_again=True))
    return tuple(found)


def words_of(walk: Walk, start: Extents, keep: PlacedKeep, traffic: TileTraffic) -> int:
    """Words that cross the border of all tiles of a keep, from extents outside its loops."""
    words = walk.fetched(start, keep.loops, traffic.moving, traffic.parts)[1]
    return words - walk.words(start, traffic.parts) if traffic.only_again else words


def keeps_of(chains: Chains, nest: Nest, anyway: frozenset[int]) -> tuple[list[NestKeep], list[PlacedKeep]]:
    """(tiles that change with the nest's records, tiles that stay for a whole run of the nest), without those that
    registers hold `anyway`.
    """
    around = nest.outer + nest.loops
    index = {slot.leaf.index: n for n, slot in enumerate(nest.slots)}
    found, outer = [], []
    for keep in chains.tree.keeps:
        touching = [t for t in chains.touches_of(keep.tensor) if keep.covers(t.leaf.index)]
        users = tuple(dict.fromkeys(index[t.leaf.index] for t in touching if t.leaf.index in index))
        if not users or keep.loops != around[: len(keep.loops)] or keep.index in anyway:
            continue
        depth = len(keep.loops) - len(nest.outer)
        if nest.outer and depth <= 0:
            outer.append(keep)
            continue
        writer = next((index[t.leaf.index] for t in touching if t.writes and t.leaf.index in index), None)
        found.append(NestKeep(keep, depth, users, writer, traffic_of(chains, keep), keep.copies))
    return found, outer


def inner_ways(
    chains: Chains, nest: Nest, slot: Slot, spilled: dict[str, Fraction], anyway: frozenset[int]
) -> list[tuple[Way, tuple[int, ...]]]:
    """Words that cross the borders of tiles inside a repetition of an op, with the loops around those tiles."""
    around = nest.outer + nest.loops
    found = []
    for keep in chains.tree.keeps:
        is_outside = keep.loops == around[: len(keep.loops)]
        if is_outside or not keep.covers(slot.leaf.index) or keep.index in anyway:
            continue
        for traffic in traffic_of(chains, keep):
            if traffic.touch.leaf == slot.leaf and not traffic.only_again:
                touch = replace(traffic.touch, writes=traffic.writes)
                resident = 1 - spilled.get(keep.memory, Fraction(0))
                far = served_by(traffic.memory, traffic.behind, spilled)
                served = ((traffic.memory, resident), *far[1:])
                parts, moving = traffic.parts, traffic.moving
                way = Way(touch, served, parts, moving, moving, keep.loops, on_links=False, inner=keep.memory)
                found.append((way, tuple(loop for loop in keep.loops if loop in slot.loops)))
    return found


def with_copies(
    keeps: list[NestKeep], needed: list[int], room_bytes: dict[str, float], tile_bytes: list[float]
) -> tuple[list[NestKeep], list[int]]:
    """As many copies as the schedule needs, then one tile ahead for filled tiles if there is room; and the shortages.

    room_bytes: by memory, the space that its own tiles leave free; tile_bytes: of each keep.
    """
    left, found, lacking = dict(room_bytes), list(keeps), [0] * len(keeps)
    granted: dict[tuple[str, int], int] = {}
    for ahead in (False, True):
        for n, keep in enumerate(found):
            group = (keep.keep.memory, keep.keep.share_group)
            more = (
                (1 if keep.fills and keep.copies == max(needed[n], 1) else 0)
                if ahead
                else max(0, needed[n] - keep.copies)
            )
            if keep.keep.share_group >= 0 and not ahead and granted.get(group, 0) >= more > 0:
                found[n] = replace(keep, copies=keep.copies + more)
                continue
            if more and more * tile_bytes[n] <= left[keep.keep.memory]:
                left[keep.keep.memory] -= more * tile_bytes[n]
                found[n] = replace(keep, copies=keep.copies + more)
                granted[group] = more
            elif more and not ahead:
                lacking[n] = more
    return found, lacking
