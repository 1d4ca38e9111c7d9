"""The tile-level engine's answer for one design: what the analytical engine counts, with the time in which it
really happens.
"""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from sim.cycle.amounts import Machine, ported_memories
from sim.cycle.extents import Extents, LoopTile, Walk
from sim.cycle.keeps import keeps_of, traffic_of
from sim.cycle.nest import Nest, nests_of
from sim.cycle.program import Design, Lowered, lower_nest
from sim.cycle.state import Run, run
from sim.design.experiment import Experiment
from sim.engine.analytical import Evaluation
from sim.engine.cycle.columns import CAUSES, OFF_CHIP
from sim.engine.tables import Tables
from sim.lower.flows import FlowBuilder
from sim.lower.lowering import Structure
from sim.lower.ranks import rank_space
from sim.lower.rows import RowTable


@dataclass(frozen=True)
class NestRun:
    """One nest on tiles of one size: how often it runs, its tables, and what a run took."""

    times: int
    lowered: Lowered
    run: Run


@dataclass(frozen=True)
class Timing:
    """Where the cycles of a design went."""

    cycles: int
    stalls: dict[str, dict[str, int]]  # array -> cause
    busy: dict[str, int]  # Einsum
    served: dict[str, int]  # memory -> cycles of transfers that it serves
    runs: tuple[NestRun, ...]
    warnings: tuple[str, ...]


def design_of(experiment: Experiment, tables: Tables, evaluation: Evaluation) -> Design:
    """The parts of one experiment (the first of its batch) that programs are made of."""
    structure = experiment.structure
    if tables.machine.cores[0] > 1:
        raise ValueError(f"the cycle engine runs one core, '{experiment.architecture.name}' has several")
    space = rank_space(structure.cascade)
    tree = structure.tree
    loops = {
        loop.index: LoopTile(
            space.parts[space.part_of_variable(loop.variable)].root,
            int(tables.loop_tiles[0, loop.index]),
            space.part_of_variable(loop.variable),
        )
        for loop in tree.loops
    }
    walk = Walk(space, loops, tuple(int(n) for n in tables.sizes[0]))
    spilled = {
        memory: Fraction(float(part)).limit_denominator(2**32)
        for memory, part in zip(structure.machine.memories, evaluation.spilled[0], strict=True)
    }
    machine = Machine(
        experiment.architecture,
        ported_memories(experiment.architecture),
        spilled,
        {leaf.einsum: _whole(tables, leaf.index) for leaf in tree.leaves},
    )
    room = np.maximum(tables.machine.capacity_bytes[0] - evaluation.footprint_bytes[0], 0.0)
    room_bytes = dict(zip(structure.machine.memories, room.tolist(), strict=True))
    whole = tuple(int(n) for n in tables.extents[0])
    return Design(_builder(structure), walk, machine, room_bytes, whole)


def _whole(tables: Tables, leaf: int) -> int:
    cycles = float(tables.machine.cycles_per_point[0, leaf])
    if cycles != int(cycles):
        raise ValueError(f"an iteration point takes {cycles:g} cycles; the cycle engine needs a whole number")
    return int(cycles)


def _builder(structure: Structure) -> FlowBuilder:
    space = rank_space(structure.cascade)
    machine, mapping = structure.machine, structure.mapping
    spilling = frozenset(m for m in machine.memories if mapping.policy_of(m) == "spill")
    rows = RowTable(space, structure.tree)
    return FlowBuilder(structure.cascade, structure.tree, machine, space, rows, spilling)


def time_design(experiment: Experiment, tables: Tables, evaluation: Evaluation, fast: bool = True) -> Timing:
    """Run a design, nest by nest. ValueError where its schedule cannot run."""
    design = design_of(experiment, tables, evaluation)
    start = design.whole
    runs: list[NestRun] = []
    between = 0
    for nest in nests_of(experiment.mapping, experiment.tree, experiment.cascade):
        between += _resident_cycles(design, nest, start)
        for extents, times in design.walk.variants_below(start, nest.outer).items():
            lowered = lower_nest(design, nest, extents)
            runs.append(NestRun(times, lowered, run(lowered.program, fast)))
    return _summed(experiment, runs, between)


def _resident_cycles(design: Design, nest: Nest, start: Extents) -> int:
    """Cycles in which tiles that stay for whole runs of nests come and go, between these runs."""
    _, outer = keeps_of(design.builder, nest)
    root = design.machine.architecture.root.name
    cycles = 0
    for keep in outer:
        first = min(leaf.index for leaf in design.builder.tree.leaves if keep.covers(leaf.index))
        if first not in {slot.leaf.index for slot in nest.slots}:
            continue
        for traffic in traffic_of(design.builder, keep):
            words = design.walk.fetched(start, keep.loops, traffic.parts, traffic.parts)[1]
            cycles += design.machine.transfer_cycles(root, Fraction(words), traffic.writes)
    return cycles


def _summed(experiment: Experiment, runs: list[NestRun], between: int) -> Timing:
    arrays = [array.name for array in experiment.architecture.arrays]
    memories = experiment.structure.machine.memories
    stalls = {array: dict.fromkeys(CAUSES, 0) for array in arrays}
    busy = {leaf.einsum: 0 for leaf in experiment.tree.leaves}
    served = dict.fromkeys(memories, 0)
    cycles, warnings = between, {}
    for item in runs:
        lowered, took = item.lowered, item.run
        cycles += item.times * took.cycles
        here = list(dict.fromkeys(slot.leaf.array for slot in lowered.nest.slots))
        for array in arrays:
            if array in here:
                for cause, lost in zip(CAUSES, took.stalls[here.index(array)].tolist(), strict=True):
                    stalls[array][cause] += item.times * lost
            else:
                stalls[array]["idle"] += item.times * took.cycles
        for name, spent in zip(lowered.ops, took.busy.tolist(), strict=True):
            if name in busy:
                busy[name] += item.times * spent
        for memory, spent in zip(memories, took.served.sum(axis=1).tolist(), strict=True):
            served[memory] += item.times * spent
        warnings.update(dict.fromkeys(lowered.warnings))
    for array in arrays:
        stalls[array][CAUSES[OFF_CHIP]] += between
    return Timing(cycles, stalls, busy, served, tuple(runs), tuple(warnings))
