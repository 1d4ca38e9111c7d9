"""Tiles of registers that stay from one record of a nest to the next: nothing moves in a record that finds its operands
in place, or leaves its result there.

The engine picks an op's amounts by the record: every combination of tiles that may stay has amounts of its own. A tile
that comes in stays where it does not begin, one that goes out where it does not end.
"""

from typing import NamedTuple

import numpy as np

from sim.cycle.amounts import Sizer, Way
from sim.cycle.nest import Nest, Slot
from sim.cycle.variants import Variants
from sim.lower.walk import Walk

Levels = tuple[tuple[int, int], ...]  # (level, loop), outermost first


class StayingTile(NamedTuple):
    """A way of a slot whose tile may stay; `fixed`: i8[variant, level], 1 where a level leaves it in place."""

    way: int
    writes: bool
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


def fold_records(walk: Walk, nest: Nest, sizer: Sizer) -> int:
    """Repetitions of a slot, at the most, that go on with what a train has brought, or that make what one will take."""
    slot, before = sizer.slot, nest.loops[: sizer.slot.depth]
    tiles = walk.full_chain(walk.full_chain(walk.whole, nest.outer)[-1], before)
    if slot.group_loops or sizer.loops_of_folds(tiles[-1]):
        return 1
    bring = [
        place
        for place, loop in enumerate(before)
        for way, _ in sizer.ways
        if sizer.is_train(way) and loop in way.loops and sizer.brings(way, tiles[place], loop)
    ]
    first = max(bring, default=-1) + 1
    return walk.iterations(tiles[first], before[first:])


def staying_tiles(walk: Walk, around: Levels, sizer: Sizer, variants: Variants) -> tuple[StayingTile, ...]:
    """The tiles of one slot that may stay, in the order of its ways; around: the loops around its records."""
    found = []
    for number in sorted(sizer.stay):
        way, _ = sizer.ways[number]
        loops = tuple((level, loop) for level, loop in around if loop in way.loops)
        found.append(StayingTile(number, way.touch.writes, fixed_levels(walk, loops, way.parts, variants)))
    return tuple(found)


def fixed_levels(walk: Walk, loops: Levels, parts: frozenset[int], variants: Variants) -> np.ndarray:
    """i8[variant, level]: 1 where a level leaves a tile in place that these loops may change.

    A loop without the tile's ranks does not if a loop inside it has several tiles.
    """
    fixed = np.ones((len(variants.points), variants.trips.shape[1]), np.int64)
    for v, (frame, first, outside) in enumerate(variants.points):
        for n, (level, loop) in enumerate(loops):
            if not 0 <= level - first < len(frame.loops) or frame.loops[level - first] != loop:
                continue
            changes = walk.loops[loop].part in parts
            inside = walk.inside(outside, loop, False)
            further = tuple(loop for _, loop in loops[n + 1 :])
            fixed[v, level] = not (changes or walk.several(inside, further, parts))
    return fixed


def combinations_of(tiles: tuple[StayingTile, ...]) -> list[frozenset[int]]:
    """Every set of ways that may stay together, numbered by the bits of its tiles."""
    return [
        frozenset(tile.way for bit, tile in enumerate(tiles) if number >> bit & 1) for number in range(1 << len(tiles))
    ]
