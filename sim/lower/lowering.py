"""From nouns to tables: names end here.

What depends on structure alone (cascade, fusion tree, shape of the machine, schedule) is lowered once and kept; numbers
are columns over a batch of designs, evaluated for all of them at once.
"""

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import NamedTuple

import numpy as np

from arch.expression import Expression, evaluate, parse_expression
from einsums.extensions import beyond
from einsums.types import Cascade
from mappings.cores import combined_loop, dealt_loops
from mappings.existence import FOLLOWED
from mappings.tree import PlacedLeaf, ResolvedTree
from mappings.types import Mapping, TileRule
from sim.engine.counting import CORES
from sim.engine.tables import MachineColumns, Shape, Tables
from sim.lower.chains import Chains, all_wait_for_root, recomputed_parts
from sim.lower.flows import FlowBuilder, points_row
from sim.lower.functions import VECTOR_FUNCTIONS
from sim.lower.latency import latency_of, leaves_array
from sim.lower.links import chain_rows, link_tables
from sim.lower.machine import MachineShape
from sim.lower.ranks import RankSpace, rank_space
from sim.lower.regions import Regions
from sim.lower.room import RoomBuilder
from sim.lower.rows import NOTHING, RowTable


@dataclass(frozen=True, eq=False)
class Structure:
    """Everything that a batch of designs has in common. One object stands for all designs of a structure."""

    cascade: Cascade
    mapping: Mapping
    tree: ResolvedTree
    machine: MachineShape

    @cached_property
    def lowered(self) -> "Lowered":
        """What all engines work on, made at the first asking."""
        return lower_structure(self)


class LeftOver(NamedTuple):
    """How many coordinates of a variable the loops of a leaf leave, as a row of `Shape.left`."""

    leaf: PlacedLeaf
    variable: str
    row: int


@dataclass(frozen=True, eq=False)
class Lowered:
    """A structure as numbers, made once: ranks and their parts, chains of places, tables of integers."""

    structure: Structure
    space: RankSpace
    chains: Chains
    shape: Shape
    left: tuple[LeftOver, ...]
    side_counts: tuple[str, ...]  # what the mapping states of ranks on sides of arrays
    combined: int | None  # the loop over cores whose results are added up
    regions: Regions  # outside which tiles are skipped


def lower_structure(structure: Structure) -> Lowered:
    """Tables of integers for one structure. ValueError for a cascade that says what no table holds."""
    extension = beyond(structure.cascade, FOLLOWED)
    if extension:
        raise ValueError(f"'{structure.cascade.name}' cannot be lowered: {extension}, which no engine follows")
    cascade, mapping, tree, machine = structure.cascade, structure.mapping, structure.tree, structure.machine
    space = rank_space(cascade)
    spilling = frozenset(m for m in machine.memories if mapping.policy_of(m) == "spill")
    chains = Chains(cascade, tree, machine, space, spilling, dealt_loops(mapping, tree))
    regions = Regions(space)
    rows = RowTable(space, tree, regions)
    flows = FlowBuilder(chains, rows).build()
    phase_of, drained = number_phases(mapping, tree)
    stage_of = {stage.einsum: stage.stage for stage in mapping.schedule.stages}
    drains = np.array([drain_row(chains, rows, mapping, name) for name in drained], np.int64)
    leaves = [
        (
            points_row(own, leaf),
            own.row(leaf.loops, space.parts_of_einsum(leaf.einsum) | recomputed_parts(space, tree, leaf), NOTHING),
            machine.array(leaf.array),
            phase_of[leaf.index],
            *chain_rows(chains, own, leaf),
            stage_of.get(leaf.einsum, -1),
            own.row(leaf.loops[: leaf.shared], frozenset(range(len(space.parts))), NOTHING),
        )
        for leaf, own in ((leaf, rows.where(chains.region_of([leaf.einsum]))) for leaf in tree.leaves)
    ]
    dealt_row = rows.row(dealt_loops(mapping, tree), frozenset(range(len(space.parts))), NOTHING)
    links = link_tables(chains, rows, mapping.schedule)
    staged = rows.where(chains.region_of(stage_of or [leaf.einsum for leaf in tree.leaves]))
    trips_row = staged.row(staged_loops(mapping, tree), frozenset(range(len(space.parts))), NOTHING)
    tiles = RowTable(space, tree, regions)
    room = RoomBuilder(chains, mapping.schedule, tiles, phase_of).build()
    parents = [-1 if parent is None else machine.memory(parent) for parent in machine.parents]
    left = RowTable(space, tree, regions)
    left_over = tuple(
        LeftOver(leaf, name, left.row(leaf.loops, NOTHING, frozenset({space.part_of_variable(name)})))
        for leaf in tree.leaves
        for name in cascade.variables_of(leaf.einsum)
    )
    shape = Shape(
        rows=rows.tables(),
        tiles=tiles.tables(),
        left=left.tables(),
        flows=np.array(flows, np.int64).reshape(-1, len(flows[0])),
        keeps=room.keeps,
        spans=room.spans,
        stays=room.stays,
        leaves=np.array(leaves, np.int64),
        drains=drains,
        parents=np.array(parents, np.int64),
        spills=np.array([m in spilling for m in machine.memories]),
        per_phase=mapping.schedule.transfers == "per-phase",
        stages=1 + max((s.stage for s in mapping.schedule.stages), default=-1),
        trips_row=trips_row,
        dealt_row=dealt_row,
        in_core=np.array(machine.in_core),
        links=links,
        bands=regions.tables(),
        first_word=machine.memory(machine.root) if all_wait_for_root(chains) else -1,
    )
    counts = tuple(dict.fromkeys(side.text for side in tree.counted_sides))
    combined = combined_loop(mapping, tree, cascade)
    return Lowered(structure, space, chains, shape, left_over, counts, combined, regions)


def drain_row(chains: Chains, rows: RowTable, mapping: Mapping, einsum: str | None) -> tuple[int, ...]:
    """The `DrainColumn`s of a phase in which the result of an Einsum leaves, if any, after each run."""
    if einsum is None:
        return (-1, -1, 0, 0, 0, 0)
    leaf = chains.tree.leaf_of(einsum)
    assert leaf is not None, "checked"
    around = chains.tree.phase_loops([lane.einsums for phase in mapping.schedule.phases for lane in phase.lanes])
    own = rows.where(chains.region_of([einsum]))
    runs = own.row(chains.tree.run_loops(leaf, around), frozenset(range(len(chains.space.parts))), NOTHING)
    return (
        chains.machine.array(leaf.array),
        runs,
        *latency_of(chains, leaf, leaves_array(chains, leaf, around)),
    )


def number_phases(mapping: Mapping, tree: ResolvedTree) -> tuple[list[int], list[str | None]]:
    """The phase of every leaf, and for every phase the Einsum that drains in it."""
    schedule = mapping.schedule
    if schedule.kind == "sequential":
        return [leaf.index for leaf in tree.leaves], [None] * len(tree.leaves)
    if schedule.kind == "pipelined":
        staged = {stage.einsum for stage in schedule.stages}
        others = [leaf.einsum for leaf in tree.leaves if leaf.einsum not in staged]
        phases = [0 if leaf.einsum in staged else 1 + others.index(leaf.einsum) for leaf in tree.leaves]
        return phases, [None] * (1 + len(others))
    phase_of_einsum = {
        einsum: number
        for number, phase in enumerate(schedule.phases)
        for lane in phase.lanes
        for einsum in lane.einsums
    }
    return [phase_of_einsum[leaf.einsum] for leaf in tree.leaves], [phase.drain for phase in schedule.phases]


def staged_loops(mapping: Mapping, tree: ResolvedTree) -> tuple[int, ...]:
    """The loops of which one trip is a step of the pipeline; none where nothing has a stage."""
    return tree.step_loops(frozenset(stage.einsum for stage in mapping.schedule.stages))


class Columns(NamedTuple):
    """The numbers of a batch: `symbols` holds f8[design] (or one number for all) under every name expressions may
    read.
    """

    symbols: dict[str, np.ndarray]
    machine: MachineColumns


def lower(structure: Structure, columns: Columns) -> Tables:
    """Tables for a batch of designs of one structure. ValueError when a tile is no whole number of at least 1."""
    lowered = structure.lowered
    designs = columns.machine.clock_hz.size
    symbols = dict(columns.symbols)
    for rule in tiles_in_order(structure):
        symbols[rule.symbol] = column(rule.expression, symbols, designs)
    space = lowered.space
    extents = np.stack([whole(root, symbols[root], designs) for root in space.roots], axis=1)
    sizes = space.size_columns({name: whole(name, symbols[name], designs) for name in inner_parts(space)}, designs)
    sizes[:, CORES] = columns.machine.cores
    loops = structure.tree.loops
    loop_tiles = np.empty((designs, len(loops)), np.int64)
    for loop in loops:
        unit = sizes[:, space.parts[space.part_of_variable(loop.variable)].unit]
        loop_tiles[:, loop.index] = whole(loop.tile, column(loop.tile, symbols, designs), designs) * unit
    reserved = np.zeros((designs, len(structure.machine.memories)))
    for reservation in structure.tree.reservations:
        words = column(reservation.words, symbols, designs)
        reserved[:, structure.machine.memory(reservation.memory)] += words * columns.machine.word_bytes
    side_counts = np.ones((designs, len(lowered.side_counts)), np.int64)
    for n, count in enumerate(lowered.side_counts):
        side_counts[:, n] = whole(count, column(count, symbols, designs), designs)
    lines = lowered.regions.lines(lambda rank: part_sizes(space, rank, symbols), designs)
    return Tables(lowered.shape, extents, loop_tiles, sizes, side_counts, reserved, columns.machine, lines)


def part_sizes(space: RankSpace, rank: str, symbols: dict[str, np.ndarray]) -> np.ndarray:
    """Coordinates of a rank or a part: i8[design]; of the outermost part as many as there are, the last one ragged."""
    partition = space.cascade.partition_of(space.cascade.root_of(rank))
    if partition is None or rank != partition.parts[0]:
        return np.asarray(symbols[rank]).astype(np.int64)
    tile = np.prod([part_sizes(space, part, symbols) for part in partition.inner], axis=0)
    return -(-part_sizes(space, partition.rank, symbols) // tile)


def tiles_in_order(structure: Structure) -> list[TileRule]:
    """The tile rules, each after those it reads."""
    rules = list(structure.mapping.tiles)
    pending = {rule.symbol for rule in rules}
    ordered: list[TileRule] = []
    while rules:
        ready = [rule for rule in rules if not pending & set(parsed(rule.expression).names)]
        assert ready, "checked"
        ordered += ready
        pending -= {rule.symbol for rule in ready}
        rules = [rule for rule in rules if rule not in ready]
    return ordered


def inner_parts(space: RankSpace) -> tuple[str, ...]:
    return tuple(dict.fromkeys(rank for ranks in space.products for rank in ranks))


@lru_cache(maxsize=4096)
def parsed(text: str) -> Expression:
    return parse_expression(text)


def column(text: str, symbols: dict[str, np.ndarray], designs: int) -> np.ndarray:
    """An expression's value for every design: f8[design]."""
    with np.errstate(all="ignore"):
        value = evaluate(parsed(text), symbols.__getitem__, VECTOR_FUNCTIONS)
    return np.broadcast_to(np.asarray(value, float), (designs,))


def whole(text: str, values: np.ndarray, designs: int) -> np.ndarray:
    """i8[design] from f8; ValueError for the first value that is no whole number of at least 1."""
    values = np.broadcast_to(np.asarray(values, float), (designs,))
    wrong = ~(np.isfinite(values) & (values >= 1) & (values == np.floor(values)) & (values < 2.0**62))
    if wrong.any():
        raise ValueError(f"'{text}' is {values[wrong][0]:g} where a whole number of at least 1 is needed")
    return values.astype(np.int64)
