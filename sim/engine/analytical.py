"""The analytical engine: exact counts from the mapped loop nest, then time and energy in closed form, for many designs.

words    = what `counting` says of every flow; in a spilled memory only the part s that does not fit goes outward,
           s = max(0, 1 - capacity / needed)
busy     = temporal steps x cycles of one iteration point, for each Einsum; a slot lasts until memories have served it
phase    = longest of its arrays' busy times, or the time in which a result leaves its array, once for each run of its
           Einsum
latency  = sum of phases, but never less than any memory's bytes / bandwidth (over the run, or phase by phase), of both
           directions together or of each, or its rows / ports; and before it all the first word of the root memory
pipeline = sum over its steps of the longest array, of the stages that have a tile in it (`pipelines`)
cores    = arrays and memories of a core do ceil(n / cores) of the n dealt iterations; what cores share does all
energy   = words x energy per byte + iteration points x energy of their operators + leakage x latency

Phases and their overlap follow Nayak et al., MICRO 2024, section 6 and artifact: totals over the run are compared, not
tile by tile. Every sum runs in a fixed order, so a design's result does not depend on what else is in its batch.
"""

from typing import NamedTuple

import numpy as np

from sim.engine.columns import DrainColumn, FlowColumn, LeafColumn
from sim.engine.counting import first_tile_words
from sim.engine.latency import Latency, Passing
from sim.engine.links import fold_times
from sim.engine.moving import add_by_group, longest_of_phases, move_bytes, price_bytes
from sim.engine.pipelines import added_cycles, pipeline_cycles
from sim.engine.room import count_rows, room_of
from sim.engine.served import port_cycles, serve
from sim.engine.tables import RowTables, Tables

PJ_PER_J = 1e12
LINKS = 3  # of a memory: for both directions together, for reads, for writes


class Evaluation(NamedTuple):
    """f8[design, ...]; the last axis counts what the name says. Traffic is in bytes, also of registers."""

    flow_bytes: np.ndarray  # [design, flow]
    flow_pj: np.ndarray  # [design, flow]
    memory_pj: np.ndarray  # [design, memory]
    compute_pj: np.ndarray  # [design, leaf], registers and memories not included
    leakage_pj: np.ndarray  # [design, memory, then array, then what is beside them], over the latency
    read_bytes: np.ndarray  # [design, memory]
    write_bytes: np.ndarray  # [design, memory]
    footprint_bytes: np.ndarray  # [design, memory]
    spilled: np.ndarray  # [design, memory], fraction
    points: np.ndarray  # [design, leaf]
    busy_cycles: np.ndarray  # [design, leaf]
    active_pe_cycles: np.ndarray  # [design, leaf]
    busiest_core: np.ndarray  # [design], the part of all dealt iterations that it has
    resource_cycles: np.ndarray  # [design, array + link + port + 1], cycles of latency that each sets; last: drains
    latency_cycles: np.ndarray  # [design]


def evaluate(tables: Tables) -> Evaluation:
    """Counts and times of every design of a batch."""
    counts = count_rows(tables, tables.shape.rows)
    footprint_bytes = room_of(tables).footprints(tables.reserved_bytes)
    spilled = spilled_fractions(tables, footprint_bytes)
    flow_bytes = np.empty((counts.shape[0], tables.shape.flows.shape[0]))
    move_bytes(counts, spilled, tables.machine.word_bytes, tables.shape.flows, flow_bytes)
    flows, memories = tables.shape.flows, tables.shape.parents.size
    is_write = flows[:, FlowColumn.WRITE] == 1
    read_bytes = sum_by(flow_bytes, np.where(is_write, -1, flows[:, FlowColumn.MEMORY]), memories)
    write_bytes = sum_by(flow_bytes, np.where(is_write, flows[:, FlowColumn.MEMORY], -1), memories)
    points = counts[:, tables.shape.leaves[:, LeafColumn.POINTS]]
    steps = counts[:, tables.shape.leaves[:, LeafColumn.STEPS]]
    busy_cycles = steps * tables.machine.cycles_per_point
    busiest = busiest_core(tables, counts)
    served = serve(tables, counts, flow_bytes)
    moving = (link_cycles_by_phase(tables, busiest, flow_bytes), port_cycles(tables, served, busiest))
    resource_cycles = times(tables, counts, busiest, served.slot_cycles, np.concatenate(moving, axis=2))
    if tables.shape.first_word >= 0:
        wait_for_first_word(tables, spilled, resource_cycles)
    latency_cycles = resource_cycles.sum(axis=1)
    flow_pj = flow_energies(tables, flow_bytes)
    return Evaluation(
        flow_bytes,
        flow_pj,
        sum_by(flow_pj, flows[:, FlowColumn.MEMORY], memories),
        points * tables.machine.pj_per_point,
        leakages(tables, latency_cycles),
        read_bytes,
        write_bytes,
        footprint_bytes,
        spilled,
        points,
        busy_cycles,
        points * tables.machine.cycles_per_point,
        busiest,
        resource_cycles,
        latency_cycles,
    )


def latencies_s(tables: Tables, latency_cycles: np.ndarray) -> np.ndarray:
    """f8[design], seconds."""
    return latency_cycles / tables.machine.clock_hz


def leakages(tables: Tables, latency_cycles: np.ndarray) -> np.ndarray:
    """Energy that leaks over a latency, f8[design, memory, then array, then what is beside them], pJ."""
    return tables.machine.leakage_w * latencies_s(tables, latency_cycles)[:, None] * PJ_PER_J


def lasting(tables: Tables, evaluation: Evaluation, latency_cycles: np.ndarray) -> Evaluation:
    """The same work done in another time, f8[design], as a finer engine finds it."""
    return evaluation._replace(latency_cycles=latency_cycles, leakage_pj=leakages(tables, latency_cycles))


def first_tiles(tables: Tables, rows: RowTables) -> np.ndarray:
    """Words of the first, and largest, tile at the place of every row: f8[design, row]."""
    words = np.empty((tables.extents.shape[0], rows.paths.shape[0]))
    first_tile_words(tables.extents, tables.loop_tiles, tables.sizes, rows.paths, rows.runs, rows.loop_rank, words)
    return words


def sum_by(values: np.ndarray, group: np.ndarray, groups: int, start: np.ndarray | None = None) -> np.ndarray:
    """Columns of `values: f8[design, n]` added up by `group: i8[n]` (-1: left out), in order, to `start`."""
    sums = np.zeros((values.shape[0], groups)) if start is None else start.copy()
    add_by_group(values, np.ascontiguousarray(group), sums)
    return sums


def spilled_fractions(tables: Tables, footprint_bytes: np.ndarray) -> np.ndarray:
    """The part of its tiles that a spilled memory cannot hold; 0 for the others."""
    needed = np.maximum(footprint_bytes, 1.0)
    missing = np.maximum(0.0, 1.0 - tables.machine.capacity_bytes / needed)
    return np.where(tables.shape.spills[None, :], missing, 0.0)


def flow_energies(tables: Tables, flow_bytes: np.ndarray) -> np.ndarray:
    """Energy of every flow's words: f8[design, flow], pJ."""
    machine, flow_pj = tables.machine, np.empty_like(flow_bytes)
    prices = (machine.read_pj_per_byte, machine.write_pj_per_byte, machine.drain_pj_per_byte)
    price_bytes(flow_bytes, tables.shape.flows, *prices, flow_pj)
    return flow_pj


def times(
    tables: Tables, counts: np.ndarray, busiest: np.ndarray, slot_cycles: np.ndarray, memory: np.ndarray
) -> np.ndarray:
    """Cycles of latency set by each resource: f8[design, arrays, then links and ports of memories, then drains]; they
    add up to the latency. slot_cycles: f8[design, leaf]; memory: f8[design, phase, link or port], cycles.
    """
    shape = tables.shape
    arrays, phases = tables.machine.rows.shape[1], shape.drains.shape[0]
    busy_cycles = counts[:, shape.leaves[:, LeafColumn.STEPS]] * slot_cycles
    compute = np.zeros((busy_cycles.shape[0], phases, arrays))
    links = shape.links
    folds = None if links is None else fold_times(tables, slot_cycles)
    if links is not None and folds is not None:  # an array takes what its links make of the slots
        busy_cycles[:, links.leaves] = folds[:, :, 0]
    staged = np.zeros((busy_cycles.shape[0], shape.stages, arrays))
    for leaf, row in enumerate(shape.leaves):
        cycles = busy_cycles[:, leaf] + (chain_cycles(counts, row) if row[LeafColumn.CHAINS] >= 0 else 0.0)
        compute[:, row[LeafColumn.PHASE], row[LeafColumn.ARRAY]] += cycles
        if row[LeafColumn.STAGE] >= 0:
            staged[:, row[LeafColumn.STAGE], row[LeafColumn.ARRAY]] += cycles
    if shape.stages:
        trips = counts[:, shape.trips_row]
        busiest_array = compute[:, 0, :].argmax(axis=1)
        staged /= trips[:, None, None]
        compute[np.arange(trips.size), 0, busiest_array] = pipeline_cycles(staged, trips)
        step = staged.sum(axis=1)
        for row in shape.leaves[shape.leaves[:, LeafColumn.STAGE] < 0].tolist():
            phase, array = row[LeafColumn.PHASE], row[LeafColumn.ARRAY]
            runs = np.minimum(counts[:, row[LeafColumn.RUNS]], trips)
            compute[:, phase, array] = added_cycles(step, array, compute[:, phase, array], runs)
    if links is not None and folds is not None:
        tails = np.zeros_like(compute)  # of Einsums of one phase on one array the longest is not hidden
        for n, leaf in enumerate(links.leaves.tolist()):
            row, begins = shape.leaves[leaf], counts[:, links.starts[n]] if links.starts[n] >= 0 else 1.0
            tail = tails[:, row[LeafColumn.PHASE], row[LeafColumn.ARRAY]]
            np.maximum(tail, folds[:, n, 1] * begins, out=tail)
        compute += tails
    drains = drain_times(tables, counts) * busiest[:, None]
    compute *= busiest[:, None, None]
    if shape.per_phase:
        return phase_times(np.concatenate([compute, memory, drains[:, :, None]], axis=2))
    no_memory = np.zeros_like(memory)
    on_chip = phase_times(np.concatenate([compute, no_memory, drains[:, :, None]], axis=2))
    off_chip = memory.sum(axis=1)
    slowest = off_chip.argmax(axis=1)
    limit = off_chip[np.arange(slowest.size), slowest]
    waits = limit > on_chip.sum(axis=1)
    on_chip[waits] = 0.0
    on_chip[waits, arrays + slowest[waits]] = limit[waits]
    return on_chip


def wait_for_first_word(tables: Tables, spilled: np.ndarray, resource_cycles: np.ndarray) -> None:
    """Add to the memory that all slots wait for what it takes to answer, once: before its first word no array has
    anything to do, and no memory anything to write, so all other time comes after it. What spills comes word by word.
    """
    machine, memory = tables.machine, tables.shape.first_word
    waits = np.where((spilled == 0.0).all(axis=1), machine.first_word_cycles[:, memory], 0.0)
    resource_cycles[:, machine.rows.shape[1] + memory] += waits


def chain_cycles(counts: np.ndarray, leaf: np.ndarray) -> np.ndarray:
    """f8[design]: slots for reductions over elements that have each folded several words of their own."""
    chains, steps, reduced = (counts[:, leaf[c]] for c in (LeafColumn.CHAINS, LeafColumn.STEPS, LeafColumn.REDUCED))
    return np.where((steps > chains) & (reduced > steps), chains, 0.0)


def drain_times(tables: Tables, counts: np.ndarray) -> np.ndarray:
    """f8[design, phase]: cycles in which results leave their arrays, after each run of their Einsums."""
    machine, drains = tables.machine, np.zeros((counts.shape[0], tables.shape.drains.shape[0]))
    for phase, row in enumerate(tables.shape.drains.tolist()):
        array = row[DrainColumn.ARRAY]
        if array >= 0:
            sides = (machine.rows, machine.columns, machine.along_rows, machine.along_columns)
            cycles = Latency(*row[DrainColumn.LATENCY :]).cycles(Passing(*(side[:, array] for side in sides)))
            drains[:, phase] = counts[:, row[DrainColumn.RUNS]] * cycles
    return drains


def busiest_core(tables: Tables, counts: np.ndarray) -> np.ndarray:
    """The part of all dealt iterations that the busiest core has: f8[design]; 1 on a machine of one core."""
    dealt = counts[:, tables.shape.dealt_row]
    return np.ceil(dealt / tables.machine.cores) / dealt


def link_cycles_by_phase(tables: Tables, busiest: np.ndarray, flow_bytes: np.ndarray) -> np.ndarray:
    """f8[design, phase, link]: time that each link needs for the words of the Einsums of each phase."""
    phase_of_leaf = tables.shape.leaves[:, LeafColumn.PHASE]
    return _link_cycles(tables, busiest, flow_bytes, phase_of_leaf, tables.shape.drains.shape[0])


def memory_cycles_by_leaf(tables: Tables, found: Evaluation) -> np.ndarray:
    """f8[design, leaf, memory]: time that the slowest link of each memory needs for the words of each Einsum."""
    leaves, memories = tables.shape.leaves.shape[0], tables.shape.parents.size
    cycles = _link_cycles(tables, found.busiest_core, found.flow_bytes, np.arange(leaves), leaves)
    return cycles.reshape(-1, leaves, LINKS, memories).max(axis=2)


def _link_cycles(
    tables: Tables, busiest: np.ndarray, flow_bytes: np.ndarray, part_of_leaf: np.ndarray, parts: int
) -> np.ndarray:
    """f8[design, part, link]: time that each link needs for the words of the Einsums of each part of the run.

    Links are those of all memories for both directions together, then for what is read, then for what is written.
    part_of_leaf: i8[leaf], below `parts`: its phase or the leaf itself. Of a memory in every core the time is that of
    the busiest one.
    """
    shape, machine = tables.shape, tables.machine
    memories = shape.parents.size
    group = part_of_leaf[shape.flows[:, FlowColumn.EINSUM]] * memories + shape.flows[:, FlowColumn.MEMORY]
    writes = shape.flows[:, FlowColumn.WRITE] == 1
    groups = (group, np.where(writes, -1, group), np.where(writes, group, -1))
    rates = (machine.bandwidth_bytes_per_s, machine.read_bytes_per_s, machine.write_bytes_per_s)
    cycles = np.zeros((flow_bytes.shape[0], parts, LINKS, memories))
    for link, (one, bytes_per_s) in enumerate(zip(groups, rates, strict=True)):
        if np.isfinite(bytes_per_s).any():
            moved = sum_by(flow_bytes, one, parts * memories).reshape(-1, parts, memories)
            cycles[:, :, link] = moved / bytes_per_s[:, None, :] * machine.clock_hz[:, None, None]
    cycles *= np.where(shape.in_core, busiest[:, None], 1.0)[:, None, None, :]
    return cycles.reshape(-1, parts, LINKS * memories)


def phase_times(candidates: np.ndarray) -> np.ndarray:
    """From f8[design, phase, resource] the longest of each phase, added up under the resource that set it."""
    resources = np.zeros((candidates.shape[0], candidates.shape[2]))
    longest_of_phases(candidates, resources)
    return resources
