"""The kept tiles that a nest works with: who touches them, what fills and drains them, how many places they
have.

Only tiles at or above the level of the nest's loops change from record to record and are transfers of their
own; tiles further in belong to one repetition of an op and are streamed with it.
"""

from dataclasses import dataclass, replace
from fractions import Fraction

from mappings.tree import PlacedKeep
from sim.cycle.amounts import Machine, Way
from sim.cycle.nest import Nest, Slot
from sim.lower.flows import FlowBuilder, Touch


@dataclass(frozen=True, slots=True)
class Traffic:
    """Words into or out of a kept tile: tensor parts, and whether only a revisit brings them (a partial sum's
    return).
    """

    touch: Touch
    memory: str  # the other side
    parts: frozenset[int]
    writes: bool
    only_again: bool = False


@dataclass(frozen=True, slots=True)
class NestKeep:
    """A kept tile of a nest. `depth` counts the nest's loops outside it; copies may grow where there is room."""

    keep: PlacedKeep
    depth: int
    users: tuple[int, ...]  # slots
    writer: int | None
    traffic: tuple[Traffic, ...]
    copies: int

    @property
    def fills(self) -> bool:
        return any(not t.writes for t in self.traffic)

    @property
    def drains(self) -> bool:
        return any(t.writes for t in self.traffic)

    @property
    def other_side(self) -> str | None:
        return self.traffic[0].memory if self.traffic else None


def traffic_of(builder: FlowBuilder, keep: PlacedKeep) -> tuple[Traffic, ...]:
    """What crosses the border of a kept tile, as `sim.lower.flows` counts it."""
    touches = builder.touches_of(keep.tensor)
    inside = [t for t in touches if keep.covers(t.leaf.index)]
    if not inside:
        return ()
    chain = builder.chain(inside[0].leaf, keep.tensor, touches)
    position = next(i for i, place in enumerate(chain) if place.keep == keep)
    if position == 0:
        return ()
    outer, found = chain[position - 1].memory, []
    writer = next((t for t in inside if t.writes), None)
    for version in ("plain", "old", "new", "last"):
        reading = (
            t for t in inside if not t.writes and t.version == version and t.access.tensor not in t.leaf.forwarded
        )
        reader = next(reading, None)
        if reader is not None and builder.must_fill(keep, version, writer):
            found.append(Traffic(reader, outer, builder.parts_of(reader), False))
    if writer is not None and builder.must_drain(keep, touches):
        parts = builder.parts_of(writer)
        found.append(Traffic(writer, outer, parts, True))
        # Only what is reduced comes back incomplete; that loops pass it again may also be a matter of their sizes.
        is_reduced = bool(builder.cascade.einsum(writer.leaf.einsum).reduced_variables)
        if is_reduced and builder.rows.row(keep.loops, parts, parts) != builder.rows.total(parts):
            found.append(Traffic(writer, outer, parts, False, only_again=True))
    return tuple(found)


def keeps_of(builder: FlowBuilder, nest: Nest) -> tuple[list[NestKeep], list[PlacedKeep]]:
    """(tiles that change with the nest's records, tiles that stay for a whole run of the nest)."""
    around = nest.outer + nest.loops
    index = {slot.leaf.index: n for n, slot in enumerate(nest.slots)}
    found, outer = [], []
    for keep in builder.tree.keeps:
        touching = [t for t in builder.touches_of(keep.tensor) if keep.covers(t.leaf.index)]
        users = tuple(dict.fromkeys(index[t.leaf.index] for t in touching if t.leaf.index in index))
        if not users or keep.loops != around[: len(keep.loops)]:
            continue
        depth = len(keep.loops) - len(nest.outer)
        if nest.outer and depth <= 0:
            outer.append(keep)
            continue
        writer = next((index[t.leaf.index] for t in touching if t.writes and t.leaf.index in index), None)
        found.append(NestKeep(keep, depth, users, writer, traffic_of(builder, keep), keep.copies))
    return found, outer


def inner_ways(
    builder: FlowBuilder, nest: Nest, slot: Slot, spilled: dict[str, Fraction]
) -> list[tuple[Way, tuple[int, ...]]]:
    """Words that cross the borders of tiles inside a repetition of an op, with the loops around those tiles."""
    around = nest.outer + nest.loops
    found = []
    for keep in builder.tree.keeps:
        if not keep.covers(slot.leaf.index) or keep.loops == around[: len(keep.loops)]:
            continue
        for traffic in traffic_of(builder, keep):
            if traffic.touch.leaf == slot.leaf and not traffic.only_again:
                touch = replace(traffic.touch, writes=traffic.writes)
                way = Way(touch, traffic.memory, traffic.parts, spilled.get(traffic.memory, Fraction(0)))
                found.append((way, tuple(loop for loop in keep.loops if loop in slot.loops)))
    return found


def with_copies(
    keeps: list[NestKeep], needed: list[int], room_bytes: dict[str, float], tile_bytes: list[float]
) -> tuple[list[NestKeep], list[int]]:
    """As many copies as the schedule needs, then one tile ahead for what is filled, as far as there is room; who
    lacks how many.

    room_bytes: by memory, what its own tiles leave free; tile_bytes: of each keep.
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


__all__ = ["Machine", "NestKeep", "Traffic", "inner_ways", "keeps_of", "traffic_of", "with_copies"]
