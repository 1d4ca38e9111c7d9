"""The demands of Einsums on the links of their arrays, as the tables of the bulk engine have them.

Only arrays whose machine file states links have any. What passes over them is in `register_tiles`.
"""

from collections.abc import Collection, Sequence

import numpy as np

from einsums.nodes import Load
from mappings.tree import PlacedLeaf
from mappings.types import Schedule
from sim.engine.tables import LinkTables
from sim.lower.chains import Chains, Demand
from sim.lower.latency import LINKED, latency_of, leaves_array
from sim.lower.register_tiles import SidedParts, register_tiles, rides_of
from sim.lower.rows import NOTHING, RowTable

Parts = frozenset[int]


def folded_inside(variables: Sequence[str], leaf: PlacedLeaf, reduced: Collection[str]) -> int:
    """How many of a leaf's innermost loops (over these variables) have every element fold words of its own before a
    side of the array is reduced; 0 where no side is.
    """
    if not leaf.along(LINKED) & set(reduced):
        return 0
    return next((n for n, variable in enumerate(reversed(variables)) if variable not in reduced), len(variables))


def chain_rows(chains: Chains, rows: RowTable, leaf: PlacedLeaf) -> tuple[int, int]:
    """The rows of LeafColumn.CHAINS and REDUCED.

    The reduction over the elements takes a slot more, once for each run of slots in which every element folds its own
    words. Folding plain words begins with a move, which needs no operator: the slot then is the next run's first.
    """
    einsum = chains.cascade.einsum(leaf.einsum)
    own = [chains.tree.loops[loop].variable for loop in leaf.loops[leaf.shared :]]
    inner = folded_inside(own, leaf, einsum.reduced_variables)
    if not inner or isinstance(einsum.expr, Load):
        return -1, -1
    everything = frozenset(range(len(chains.space.parts)))
    sides = leaf.along(LINKED) & set(einsum.reduced_variables)
    on_sides = frozenset(map(chains.space.part_of_variable, sides))
    around = leaf.loops[: len(leaf.loops) - inner]
    return rows.row(around, everything, NOTHING), rows.row(leaf.loops, everything, on_sides)


def link_tables(chains: Chains, rows: RowTable, schedule: Schedule) -> LinkTables | None:
    """The demands of all Einsums on arrays with links; None without such arrays."""
    machine = chains.machine
    leaves = [leaf for leaf in chains.tree.leaves if machine.linked and machine.linked[machine.array(leaf.array)]]
    if not leaves:
        return None
    depth = max(len(leaf.loops) for leaf in leaves) + 1
    paths = np.full((len(leaves), depth, 2), -1, np.int64)
    trains: list[tuple[int, int, int]] = []
    marks: list[np.ndarray] = []
    words: list[Parts] = []
    rides, ways_out = [], []
    for n, leaf in enumerate(leaves):
        sides, tiles = SidedParts.of(chains.space, leaf), register_tiles(chains, leaf)
        for position, loop in enumerate(leaf.loops):
            paths[n, position] = loop, chains.space.parts[rows.part(loop)].root
        for tile in (t for t in tiles if sides.differ_everywhere(t.parts)):
            leaves_it = int(tile.touch.writes)
            trains.append((n, leaves_it, leaves_it * bool(chains.cascade.einsum(leaf.einsum).reduced_variables)))
            marks.append(_marks(rows, leaf, tile, sides, depth))
            words.append(tile.parts - sides.columns)
        along = [(t.parts, t.touch.writes) for t in tiles if _rides(rows, leaf, t, sides)]
        reduced = frozenset(map(chains.space.part_of_variable, chains.cascade.einsum(leaf.einsum).reduced_variables))
        ride = rides_of(along, sides, reduced)
        rides.append((ride.down, ride.along))
        ways_out.append(latency_of(chains, leaf, leaves_array(chains, leaf, leaf.loops)))
    return LinkTables(
        leaves=np.array([leaf.index for leaf in leaves], np.int64),
        paths=paths,
        rides=np.array(rides, np.int64),
        columns=_runs(chains, [SidedParts.of(chains.space, leaf).columns for leaf in leaves]),
        ways_out=np.array(ways_out, np.int64),
        trains=np.array(trains, np.int64).reshape(-1, 3),
        marks=np.array(marks, np.int64).reshape(-1, depth, 2),
        words=_runs(chains, words),
        starts=np.array([_starts(chains, rows, leaf, schedule) for leaf in leaves], np.int64),
    )


def _marks(rows: RowTable, leaf: PlacedLeaf, tile: Demand, sides: SidedParts, depth: int) -> np.ndarray:
    """i8[position, (the loop brings another tile, it passes the columns inside of one)]."""
    marks = np.zeros((depth, 2), np.int64)
    for position, loop in enumerate(leaf.loops):
        part = rows.part(loop)
        marks[position] = (loop in tile.loops and part in tile.parts, loop not in tile.loops and part in sides.columns)
    return marks


def _rides(rows: RowTable, leaf: PlacedLeaf, tile: Demand, sides: SidedParts) -> bool:
    """Whether the words of a tile come or leave with the slots: one in each element, the same along one side."""
    inside = (loop for loop in leaf.loops if loop not in tile.loops)
    is_plain = tile.keep is None or not (tile.is_shared or any(rows.part(loop) in tile.parts for loop in inside))
    return is_plain and not sides.differ_everywhere(tile.parts)


def _runs(chains: Chains, parts: list[Parts]) -> np.ndarray:
    """i8[item, run, (rank, span, unit)], -1 ends."""
    widest = max((len(chains.space.runs(dims)) for dims in parts), default=0)
    runs = np.full((len(parts), widest + 1, 3), -1, np.int64)
    for item, dims in enumerate(parts):
        for place, run in enumerate(chains.space.runs(dims)):
            runs[item, place] = run
    return runs


def _starts(chains: Chains, rows: RowTable, leaf: PlacedLeaf, schedule: Schedule) -> int:
    """The row of iterations in which another Einsum waits for this one's result: those of the loops they share, where
    Einsums run one after the other.
    """
    readers = [touch.leaf for touch in chains.touches_of(leaf.einsum) if not touch.writes and touch.leaf != leaf]
    shared = max((len(chains.tree.shared_loops(leaf, reader)) for reader in readers), default=0)
    if schedule.kind != "sequential" or not shared:
        return -1
    return rows.row(leaf.loops[:shared], frozenset(range(len(chains.space.parts))), NOTHING)
