"""What every repetition of an op moves: nothing moves in one that finds its operands in place, or leaves its result
there, and sums come back in all visits but their first.

The engine picks an op's amounts by the record and the repetition: every combination of tiles that may stay, and of sums
that may come back, has amounts of its own. What comes in stays where its tile does not begin, what goes out where it
does not end; sums come back where their tile begins and has been there before.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from sim.cycle.amounts import Sizer
from sim.cycle.nest import Nest
from sim.cycle.variants import Variants
from sim.engine.cycle import columns as col
from sim.lower.demands import Way
from sim.lower.walk import Extents, Walk

Levels = tuple[tuple[int, int], ...]  # (level, loop), outermost first


class StayingTile(NamedTuple):
    """A way of a slot whose tile may stay, or whose sums may come back (~way).

    fixed: i8[variant, level], what each level does to it (HOLDS, REVISITS); inner: i8[variant, group loop, (effect,
    iterations)].
    """

    way: int
    how: int  # COMES, LEAVES or COMES_BACK
    fixed: np.ndarray
    inner: np.ndarray


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


def staying_tiles(walk: Walk, around: Levels, sizer: Sizer, variants: Variants) -> tuple[StayingTile, ...]:
    """The tiles of one slot that may stay, then sums that may come back; around: the loops around its records."""
    levels = tuple(_own_levels(walk, around, sizer))
    found, back = list[StayingTile](), list[StayingTile]()
    for number, (way, _) in enumerate(sizer.ways):
        if way.by_itself and not sizer.is_train(way):
            continue
        fixed = way_levels(walk, levels, way, variants)
        inner = _group_loops(walk, sizer, way, variants)
        effects = set(fixed[variants.trips > 1].tolist()) | set(inner[inner[..., 1] > 1, 0].tolist())
        if col.HOLDS in effects:
            found.append(StayingTile(number, col.LEAVES if way.writes else col.COMES, fixed, inner))
        if col.REVISITS in effects:
            back.append(StayingTile(~number, col.COMES_BACK, fixed, inner))
    return (*found, *back)


def _own_levels(walk: Walk, around: Levels, sizer: Sizer) -> Iterator[tuple[int, int, int]]:
    """(level, the program's loop, the leaf's) around the records of a slot. A leaf outside the nest's loops may have
    loops of its own that visit the same tiles.
    """
    leaf, guarded = sizer.slot.leaf, sizer.guarded
    own = [loop for loop in leaf.loops[: leaf.shared] if loop not in dict(around).values()]
    for level, loop in around:
        if loop in guarded:
            continue
        if loop in leaf.loops:
            yield level, loop, loop
            continue
        same = next(other for other in own if walk.loops[other].variable == walk.loops[loop].variable)
        own.remove(same)
        yield level, loop, same


def way_levels(walk: Walk, levels: tuple[tuple[int, int, int], ...], way: Way, variants: Variants) -> np.ndarray:
    """i8[variant, level]: what each level does to the tile of a way: brings another one, HOLDS or REVISITS it."""
    found = np.zeros((len(variants.points), variants.trips.shape[1]), np.int64)
    for level, loop, own in levels:
        for v, (frame, first, outside) in enumerate(variants.points):
            if 0 <= level - first < len(frame.loops) and frame.loops[level - first] == loop:
                found[v, level] = effect_of(walk, outside, own, way)
    return found


def effect_of(walk: Walk, outside: Extents, loop: int, way: Way) -> int:
    """What a loop over tiles of these extents does to the tile of a way.

    A loop without the tile's ranks brings it again if a loop inside it has several tiles.
    """
    if loop not in way.loops:
        return col.HOLDS
    further = way.loops[way.loops.index(loop) + 1 :]
    if walk.loops[loop].part in way.moving or not walk.several(walk.inside(outside, loop, False), further, way.moving):
        return own_effect_of(walk, loop, way)
    return again_effect_of(way)


def own_effect_of(walk: Walk, loop: int, way: Way) -> int:
    """What a loop does to the tile of a way where none inside it has several tiles."""
    part = walk.loops[loop].part
    if loop not in way.loops or part not in way.moving:
        return col.HOLDS
    return col.BRINGS if part in way.beginning else again_effect_of(way)


def again_effect_of(way: Way) -> int:
    """What it is to bring the same tile again: of sums a further visit."""
    return col.REVISITS if way.writes else col.BRINGS


def _group_loops(walk: Walk, sizer: Sizer, way: Way, variants: Variants) -> np.ndarray:
    """i8[variant, group loop, (what the loop does to the tile of a way, its iterations)]."""
    loops = sizer.slot.group_loops
    found = np.zeros((len(variants.points), len(loops), 2), np.int64)
    for v, (_, _, outside) in enumerate(variants.points if loops else ()):
        for n, (loop, extents) in enumerate(zip(loops, walk.full_chain(outside, loops), strict=False)):
            found[v, n] = effect_of(walk, extents, loop, way), walk.trips(extents, loop)
    return found


def fixed_levels(walk: Walk, loops: Levels, parts: frozenset[int], variants: Variants) -> np.ndarray:
    """i8[variant, level]: HOLDS where a level leaves a tile in place that these loops may change.

    A loop without the tile's ranks does not if a loop inside it has several tiles.
    """
    fixed = np.full((len(variants.points), variants.trips.shape[1]), col.HOLDS, np.int64)
    for v, (frame, first, outside) in enumerate(variants.points):
        for n, (level, loop) in enumerate(loops):
            if not 0 <= level - first < len(frame.loops) or frame.loops[level - first] != loop:
                continue
            changes = walk.loops[loop].part in parts
            inside = walk.inside(outside, loop, False)
            further = tuple(loop for _, loop in loops[n + 1 :])
            if changes or walk.several(inside, further, parts):
                fixed[v, level] = col.BRINGS
    return fixed


def combinations_of(tiles: tuple[StayingTile, ...]) -> list[frozenset[int]]:
    """Every set of ways that may stay together, or come back, numbered by the bits of its tiles."""
    return [
        frozenset(tile.way for bit, tile in enumerate(tiles) if number >> bit & 1) for number in range(1 << len(tiles))
    ]


def staying_tables(
    sizers: list[Sizer], staying: list[tuple[StayingTile, ...]], variants: Variants
) -> dict[str, np.ndarray]:
    """The engine's tables of all tiles that may stay, slot by slot."""
    loops = max([1, *(len(sizer.slot.group_loops) for sizer in sizers)])
    tiles = [(tile, sizer) for sizer, of in zip(sizers, staying, strict=True) for tile in of]
    rows = np.array([(tile.how, len(sizer.slot.group_loops)) for tile, sizer in tiles], np.int64).reshape(-1, 2)
    inner = np.zeros((len(variants.points), len(tiles), loops, 2), np.int64)
    for number, (tile, sizer) in enumerate(tiles):
        inner[:, number, : len(sizer.slot.group_loops)] = tile.inner
    return {"STAYING": rows, "INNER": inner}
