"""Bytes that a launch moves between the cores, the cache above them and the outermost memory.

Tiles with the same reuse key read the same bytes. Tiles that run at the same time read them in step, so that one fetch
serves all of them. Bytes that the next tiles need again are still cached if the bytes of all keys in use at the same
time fit the cache; otherwise the share that does not fit is fetched again.
"""

import math
from typing import NamedTuple

from kernels.plans import LaunchPlan, Tile


class Traffic(NamedTuple):
    """Bytes at the outermost memory and at the cache."""

    memory_bytes: float
    cache_bytes: float


def traffic_of(plan: LaunchPlan) -> Traffic:
    work = plan.work
    moved = work.private_read_bytes + work.shared_read_bytes + work.write_bytes
    places = plan.target.sm_count * plan.ctas_per_sm
    has_keys = any(tile.reuse_key >= 0 for tile in plan.tiles)
    fetched = keyed_bytes(plan, places, plan.target.l2_bytes) if has_keys else unkeyed_bytes(plan, places)
    own = work.private_read_bytes + min(work.write_bytes, plan.unique_bytes)
    return Traffic(max(float(plan.unique_bytes), own + fetched), float(moved))


def keyed_bytes(plan: LaunchPlan, places: int, cache_bytes: float) -> float:
    """Shared bytes fetched from memory, wave by wave of tiles that run together."""
    total = 0.0
    known: dict[int, float] = {}
    for wave in waves(plan, places):
        needed: dict[int, float] = {}
        for key, extent in wave:
            needed[key] = max(needed.get(key, 0.0), extent)
        footprint = sum(needed.values())
        missing = max(0.0, 1 - cache_bytes / footprint) if footprint else 0.0
        for key, extent in needed.items():
            held = min(extent, known.get(key, 0.0)) * (1 - missing)
            total += extent - held
        known = needed
    return total


def waves(plan: LaunchPlan, places: int) -> list[list[tuple[int, float]]]:
    """(reuse key, bytes) of the tiles that run together: a number of consecutive ones."""
    found: list[list[tuple[int, float]]] = [[]]
    room = places
    for tile in plan.tiles:
        left = tile.count
        while left:
            taken = min(left, room)
            if tile.reuse_key >= 0:
                found[-1].append((tile.reuse_key, extent_bytes(tile)))
            left, room = left - taken, room - taken
            if not room:
                found.append([])
                room = places
    return found


def extent_bytes(tile: Tile) -> float:
    return float(tile.work.shared_read_bytes)


def unkeyed_bytes(plan: LaunchPlan, places: int) -> float:
    """A product's operands: tiles that run together form a square, whose rows and columns share theirs."""
    return plan.work.shared_read_bytes / math.sqrt(max(1, min(places, plan.tile_count)))
