"""Tiles of registers that stay from one record of a nest to the next: nothing moves in a record that finds its operands
in place, or leaves its result there.

The engine picks an op's amounts by the record: every combination of tiles that may stay has amounts of its own. A tile
that comes in stays where it does not begin, one that goes out where it does not end.
"""

from typing import NamedTuple

import numpy as np

from sim.cycle.amounts import Sizer
from sim.cycle.nest import Nest, Slot
from sim.cycle.variants import Variants
from sim.cycle.ways import Way
from sim.engine.cycle import columns as col
from sim.lower.walk import Walk


class StayingTile(NamedTuple):
    """A way of a slot whose tile may stay; `fixed`: i8[variant, loop], 1 where a loop leaves it in place.

    Of sums that may come back (~way) the loops are fixed that come back to them.
    """

    way: int
    how: int  # COMES, LEAVES or RETURNS
    fixed: np.ndarray


def staying_ways(
    walk: Walk, nest: Nest, slot: Slot, ways: list[tuple[Way, tuple[int, ...]]], reduced: frozenset[str]
) -> frozenset[int]:
    """The ways of a slot into or out of registers, each repetition of which has one tile that others may have too.

    Sums over a side of the array leave at its end and come back to its beginning; they never stay.
    """
    if slot.group_loops or slot.guard:
        return frozenset()
    passes = any(side.variable in reduced for side in slot.leaf.spatial)
    before = nest.loops[: slot.depth]
    extents = walk.full_chain(walk.whole, nest.outer)[-1]
    tiles = walk.full_chain(extents, before + slot.loops)
    found = set()
    for number, (way, _) in enumerate(ways):
        bring = [
            place
            for place, loop in enumerate(before + slot.loops)
            if loop in way.loops and walk.loops[loop].part in way.parts and walk.trips(tiles[place], loop) > 1
        ]
        last = bring[-1] if bring else -1
        stay = any(walk.trips(tiles[place], before[place]) > 1 for place in range(last + 1, len(before)))
        if way.on_links and stay and not (way.touch.writes and passes):
            found.add(number)
    return frozenset(found)


def fold_slots(walk: Walk, nest: Nest, sizer: Sizer) -> int:
    """Issue slots, at the most, that go on with what a train has brought, or that make what one will take; 0 where they
    are those of one repetition.
    """
    slot, before = sizer.slot, nest.loops[: sizer.slot.depth]
    tiles = walk.full_chain(walk.full_chain(walk.whole, nest.outer)[-1], before)
    if slot.group_loops or sizer.loops_of_folds(tiles[-1]):
        return 0
    bring = [
        place
        for place, loop in enumerate(before)
        for way, _ in sizer.ways
        if sizer.is_train(way) and loop in way.loops and sizer.brings(way, tiles[place], loop)
    ]
    first = max(bring, default=-1) + 1
    records = walk.iterations(tiles[first], before[first:])
    return walk.iterations(tiles[first], before[first:] + slot.loops) if records > 1 else 0


def staying_tiles(walk: Walk, nest: Nest, sizer: Sizer, variants: Variants) -> tuple[StayingTile, ...]:
    """The tiles of one slot that may stay, in the order of its ways."""
    found = []
    for number in sorted(sizer.stay):
        way, _ = sizer.ways[number]
        depth = sum(loop in way.loops for loop in nest.loops)
        how = col.LEAVES if way.touch.writes else col.COMES
        found.append(StayingTile(number, how, fixed_loops(walk, nest.loops, depth, way.parts, variants)))
    for number in sorted(sizer.tracked):
        way, _ = sizer.ways[number]
        fixed = np.zeros((len(variants.extents), max(len(nest.loops), 1)), np.int64)
        around = _last_bringing(walk, nest, sizer, number)
        fixed[:, :around] = [walk.loops[loop].part not in way.parts for loop in nest.loops[:around]]
        found.append(StayingTile(~number, col.RETURNS, fixed))
    return tuple(found)


def tracked_ways(walk: Walk, nest: Nest, sizer: Sizer) -> frozenset[int]:
    """Ways of sums that leave by themselves, where links are stated: the record says whether they come back."""
    if sizer.array.links is None or len(nest.slots) > 1 or nest.outer:
        return frozenset()
    outs = [n for n, (way, _) in enumerate(sizer.ways) if way.touch.writes and sizer.is_train(way) and sizer.reduced]
    tiles = walk.full_chain(walk.whole, nest.loops)
    if sizer.loops_of_folds(tiles[-1]):
        return frozenset()

    def returns(number: int) -> bool:
        around = nest.loops[: _last_bringing(walk, nest, sizer, number)]
        parts = sizer.ways[number][0].parts
        return any(walk.trips(tiles[n], i) > 1 and walk.loops[i].part not in parts for n, i in enumerate(around))

    return frozenset(number for number in outs if returns(number))


def _last_bringing(walk: Walk, nest: Nest, sizer: Sizer, number: int) -> int:
    """Loops of a nest down to the last that brings another tile of a way."""
    way, _ = sizer.ways[number]
    tiles = walk.full_chain(walk.full_chain(walk.whole, nest.outer)[-1], nest.loops)
    bring = (n + 1 for n, i in enumerate(nest.loops) if i in way.loops and sizer.brings(way, tiles[n], i))
    return max(bring, default=0)


def fixed_loops(
    walk: Walk, loops: tuple[int, ...], depth: int, parts: frozenset[int], variants: Variants
) -> np.ndarray:
    """i8[variant, loop]: 1 where a loop leaves a tile in place that the first `depth` loops of a nest may change.

    A loop without the tile's ranks does not if a loop inside it has several tiles.
    """
    fixed = np.ones((len(variants.extents), max(len(loops), 1)), np.int64)
    for v, outside in enumerate(variants.extents):
        for n, loop in enumerate(loops[:depth]):
            changes = walk.loops[loop].part in parts
            inside = walk.inside(outside, loop, False)
            fixed[v, n] = not (changes or walk.several(inside, loops[n + 1 : depth], parts))
    return fixed


def combinations_of(tiles: tuple[StayingTile, ...]) -> list[frozenset[int]]:
    """Every set of ways that may stay together, numbered by the bits of its tiles."""
    return [
        frozenset(tile.way for bit, tile in enumerate(tiles) if number >> bit & 1) for number in range(1 << len(tiles))
    ]
