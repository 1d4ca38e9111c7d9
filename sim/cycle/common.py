"""Tiles that the cores of a machine have in common, in a memory that they share.

Such a tile stays in place for at least a whole iteration of the dealt loops, so that several cores may use it at once,
as K of a head for all tiles of its queries. A tile that changes within an iteration, or that brings back what the
iteration itself has made, belongs to one core.
"""

from typing import NamedTuple

from mappings.tree import PlacedKeep
from sim.cycle.keeps import traffic_of
from sim.lower.chains import Chains
from sim.lower.walk import Walk


def crossed_parts(chains: Chains, keep: PlacedKeep) -> frozenset[int]:
    """Parts whose loops bring another tile of a keep."""
    moving = [traffic.moving for traffic in traffic_of(chains, keep)]
    return chains.space.parts_of_tensor(keep.tensor).union(*moving)


def is_common(chains: Chains, walk: Walk, keep: PlacedKeep) -> bool:
    """Whether cores that share a memory have the tiles of a keep in common."""
    if not chains.dealt or chains.machine.is_in_core(keep.memory):
        return False
    made = {leaf.einsum for leaf in chains.tree.leaves if not keep.covers(leaf.index)}
    if keep.tensor in made and any(not traffic.writes for traffic in traffic_of(chains, keep)):
        return False
    inside, further = walk.full_tile(walk.whole, chains.dealt), keep.loops[len(chains.dealt) :]
    return not walk.several(inside, further, crossed_parts(chains, keep))


class CoreRoom(NamedTuple):
    """Of a memory that cores share: what each has for its own tiles, what of it these leave free, and what is left for
    more places of common tiles.
    """

    own_bytes: float
    free_bytes: float
    common_bytes: float


def room_of_cores(
    chains: Chains, walk: Walk, kept_bytes: tuple[float, ...], memory: str, room: tuple[float, float, int]
) -> CoreRoom:
    """The room of a memory shared by some cores: room has its bytes for tiles, those that the footprint takes of them,
    and the number of cores.
    """
    all_bytes, taken_bytes, cores = room
    here = [keep for keep in chains.tree.keeps if keep.memory == memory]
    common = sum(kept_bytes[keep.index] for keep in here if is_common(chains, walk, keep))
    apart = sum(kept_bytes[keep.index] for keep in here) - common
    own = max(0.0, all_bytes - common) / cores
    return CoreRoom(own, max(0.0, own - max(0.0, taken_bytes - common)), max(0.0, all_bytes - common - cores * apart))
