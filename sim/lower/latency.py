"""What the result of an Einsum has to pass before others can use it."""

from arch.components import Side
from mappings.tree import PlacedLeaf
from sim.engine.latency import Latency
from sim.lower.chains import Chains
from sim.lower.register_tiles import register_tiles

LINKED: tuple[Side, ...] = ("rows", "columns")  # sides along which neighbours are linked; lanes stand in one place


def latency_of(chains: Chains, leaf: PlacedLeaf, leaves: bool) -> Latency:
    """The way of a result out of its array; `leaves`: whether it goes to a memory while the schedule is at it.

    Lanes of a reduction leave one after the other, so that only a reader that takes them in the same lanes can keep
    pace. A result that no side reduces, and that another array reads, is complete when the skew of the array is over.
    """
    reduced = set(chains.cascade.einsum(leaf.einsum).reduced_variables)
    sides = [side for side in LINKED if leaf.along([side]) & reduced]
    lanes = {side.variable for side in leaf.spatial if side.side not in sides}
    readers = [touch.leaf for touch in chains.touches_of(leaf.einsum) if not touch.writes]
    waits = not readers or any(reader.array != leaf.array for reader in readers)
    if sides:
        waits = not (readers and all(lanes <= {side.variable for side in reader.spatial} for reader in readers))
    is_skewed = not chains.machine.fed_directly[chains.machine.array(leaf.array)]
    skewed = {"rows", "columns"} - set(sides[:1]) if is_skewed and leaves and waits else set()
    return Latency("rows" in sides, "columns" in sides, "rows" in skewed, "columns" in skewed)


def leaves_array(chains: Chains, leaf: PlacedLeaf, around: tuple[int, ...]) -> bool:
    """Whether a result goes to a memory as it is made, or with a tile that lies inside the loops `around`."""
    if any(tile.touch.writes and not tile.is_shared for tile in register_tiles(chains, leaf)):
        return True
    inner = [keep for keep in chains.tree.keeps if keep.covers(leaf.index) and keep.loops != around[: len(keep.loops)]]
    touches = [row.touch for keep in inner for row in chains.demands_of_keep(keep)]
    return any(touch.writes and touch.leaf == leaf for touch in touches)
