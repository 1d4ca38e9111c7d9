"""The tile-level engine's result for one design: the counts of the analytical engine with the actual time."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from math import ceil

import numpy as np

from sim.cycle.choice import CycleDesign
from sim.cycle.common import room_of_cores
from sim.cycle.core_runs import CoresTiming, RunWishes, run_cores
from sim.cycle.program import NamedProgram, lower_nests
from sim.cycle.rates import MachineRates, limited_links, ported_memories
from sim.cycle.state import NestTiming, run
from sim.cycle.tiles import servers_of
from sim.design.experiment import Experiment
from sim.ending import CutShort
from sim.engine.analytical import Evaluation, link_cycles_by_phase
from sim.engine.cycle.columns import CAUSES, OPERAND
from sim.engine.room import room_of, tiles_in_flight
from sim.engine.tables import Tables
from sim.lower.walk import Walk

# Of every schedule that takes what is ready: with more ports something else may be ready first (Graham, SIAM J. Appl.
# Math. 17, 1969).
ORDER_MATTERS = (
    "arrays wait for ports or links of buffers: with more of them transfers become ready in another order, with which "
    "the run may take longer"
)
TRANSFERS_ARE_SHARED = (
    "'transfers: per-phase' keeps nests apart in the cycle engine: what the Einsums of one nest move comes while any "
    "of them runs, where the analytical engine lets each wait for its own"
)


@dataclass(frozen=True)
class NestRun:
    """The nests of a program: its tables, and the outcome of its run."""

    named: NamedProgram
    run: NestTiming  # of several cores: what all of them did, in the time of the last
    servers: tuple[str, ...]  # the memory of each
    cores: CoresTiming | None = None


@dataclass(frozen=True)
class DesignTiming:
    """Where the cycles of a design went."""

    cycles: int
    stalls: dict[str, dict[str, int]]  # array, in a core -> cause
    busy: dict[str, int]  # Einsum
    served: dict[str, int]  # memory -> cycles of transfers that it serves
    runs: tuple[NestRun, ...]
    warnings: tuple[str, ...]
    share_done: float = 1.0  # of the cycles in which arrays compute; less where an interrupt ended the run


def design_of(experiment: Experiment, tables: Tables, evaluation: Evaluation) -> CycleDesign:
    """The parts of one experiment (the first of its batch) that programs are made of."""
    structure = experiment.structure
    spilled = {
        memory: Fraction(float(part)).limit_denominator(2**32)
        for memory, part in zip(structure.machine.memories, evaluation.spilled[0], strict=True)
    }
    machine = MachineRates(
        experiment.architecture,
        tables.machine,
        ported_memories(experiment.architecture) + limited_links(experiment.architecture),
        spilled,
        {leaf.einsum: _whole(tables, leaf.index) for leaf in structure.tree.leaves},
    )
    memories, lowered = structure.machine.memories, structure.lowered
    capacity = tables.machine.capacity_bytes[0]
    free = np.maximum(capacity - evaluation.footprint_bytes[0], 0.0)
    design = CycleDesign(
        experiment,
        lowered.chains,
        Walk.of(lowered, tables),
        machine,
        room_bytes=dict(zip(memories, free.tolist(), strict=True)),
        own_bytes=dict(zip(memories, (capacity - tables.reserved_bytes[0]).tolist(), strict=True)),
        kept_bytes=tuple(room_of(tables).kept_bytes[0].tolist()),
        in_flight=tuple(tiles_in_flight(tables)[0].tolist()),
        least_cycles=_least_cycles(tables, evaluation),
        busy_cycles=float(evaluation.busy_cycles[0].sum()),
    )
    taken = (evaluation.footprint_bytes[0] - tables.reserved_bytes[0]).tolist()
    return design if design.cores == 1 else _of_cores(design, dict(zip(memories, taken, strict=True)))


def _of_cores(design: CycleDesign, taken_bytes: dict[str, float]) -> CycleDesign:
    """The same with the room of memories that cores share divided among them."""
    rooms = {
        memory: room_of_cores(
            design.chains, design.walk, design.kept_bytes, memory, (own, taken_bytes[memory], design.cores)
        )
        for memory, own in design.own_bytes.items()
        if not design.chains.machine.is_in_core(memory)
    }
    return replace(
        design,
        own_bytes=design.own_bytes | {memory: room.own_bytes for memory, room in rooms.items()},
        room_bytes=design.room_bytes | {memory: room.free_bytes for memory, room in rooms.items()},
        common_room_bytes={memory: room.common_bytes for memory, room in rooms.items()},
    )


def _least_cycles(tables: Tables, evaluation: Evaluation) -> int:
    """Time in which the busiest memory on chip moves its bytes at its bandwidth."""
    by_phase = link_cycles_by_phase(tables, evaluation.busiest_core, evaluation.flow_bytes)[0]
    by_memory = by_phase.sum(axis=0).reshape(-1, tables.shape.parents.size).max(axis=0)
    return ceil(by_memory[tables.shape.parents >= 0].max(initial=0.0))


def _whole(tables: Tables, leaf: int) -> int:
    cycles = float(tables.machine.cycles_per_point[0, leaf])
    if cycles != int(cycles):
        raise ValueError(f"an iteration point takes {cycles:g} cycles; the cycle engine needs a whole number")
    return int(cycles)


def time_design(
    design: CycleDesign, fast: bool = True, tell: Callable[[float], None] = lambda share_done: None
) -> DesignTiming:
    """Run a design; `tell` hears now and then of the share that is done. ValueError if its schedule cannot run;
    CutShort, with the timing so far, at an interrupt.
    """

    def hear(busy_cycles: int) -> None:
        tell(_share(design, busy_cycles))

    runs: tuple[NestRun, ...] = ()
    try:
        named, servers = lower_nests(design, design.nests, design.walk.whole), tuple(servers_of(design))
        if design.cores == 1:
            runs = (NestRun(named, run(named.program, fast, tell=hear), servers),)
        else:
            together = run_cores(design, named, design.walk.whole, RunWishes(fast, tell=hear))
            runs = (NestRun(named, together.together, servers, together),)
    except CutShort as cut:
        assert isinstance(cut.known, NestTiming | CoresTiming)
        of_cores = cut.known if isinstance(cut.known, CoresTiming) else None
        known = cut.known if isinstance(cut.known, NestTiming) else cut.known.together
        runs = (NestRun(named, known, servers, of_cores),)
        raise CutShort(_so_far(design, runs), cut.interrupt) from cut
    except KeyboardInterrupt as interrupt:
        raise CutShort(_so_far(design, runs), interrupt) from interrupt
    found = _summed(design.experiment, runs)
    if design.shares_transfers:
        found = replace(found, warnings=(*found.warnings, TRANSFERS_ARE_SHARED))
    late = design.least_cycles - found.cycles
    return found if late <= 0 else _waiting(found, late)


def _share(design: CycleDesign, busy_cycles: int) -> float:
    """The share that is done of a design whose arrays have computed for so many cycles."""
    return min(1.0, busy_cycles / max(1.0, design.busy_cycles))


def _so_far(design: CycleDesign, runs: tuple[NestRun, ...]) -> DesignTiming:
    """What is known of a design that has run in part, or not at all."""
    computed = sum(int(item.run.busy.sum()) for item in runs)
    return replace(_summed(design.experiment, runs), share_done=_share(design, computed))


def _waiting(timing: DesignTiming, cycles: int) -> DesignTiming:
    """The same with all arrays waiting for a buffer: streams, and the transfers beside them, do not fit its link."""
    cause = CAUSES[OPERAND]
    stalls = {array: lost | {cause: lost[cause] + cycles} for array, lost in timing.stalls.items()}
    return replace(timing, cycles=timing.cycles + cycles, stalls=stalls)


def _summed(experiment: Experiment, runs: tuple[NestRun, ...]) -> DesignTiming:
    busy = {leaf.einsum: 0 for leaf in experiment.tree.leaves}
    served = dict.fromkeys(experiment.structure.machine.memories, 0)
    cycles, warnings = 0, {}
    for item in runs:
        named, took = item.named, item.run
        cycles += took.cycles
        for name, spent in zip(named.ops, took.busy.tolist(), strict=True):
            if name in busy:
                busy[name] += spent
        for memory, spent in zip(item.servers, took.served.sum(axis=1).tolist(), strict=True):
            served[memory] += spent
        warnings.update(dict.fromkeys(named.warnings))
    stalls = _stalls(experiment, runs)
    if any(lost["port"] for lost in stalls.values()):
        warnings[ORDER_MATTERS] = None
    return DesignTiming(cycles, stalls, busy, served, runs, tuple(warnings))


def _stalls(experiment: Experiment, runs: tuple[NestRun, ...]) -> dict[str, dict[str, int]]:
    """Cycles in which every array, in each core that has it, did not compute, by cause."""
    found: dict[str, dict[str, int]] = {}
    for array in experiment.architecture.arrays:
        for core, name in enumerate(experiment.architecture.names_in_cores(array.name)):
            found[name] = dict.fromkeys(CAUSES, 0)
            for item in runs:
                here = list(dict.fromkeys(slot.leaf.array for slot in item.named.nest.slots))
                if array.name not in here or (item.cores is None and core > 0):
                    found[name]["idle"] += item.run.cycles
                    continue
                own = item.run if item.cores is None else item.cores.cores[core]
                for cause, lost in zip(CAUSES, own.stalls[here.index(array.name)].tolist(), strict=True):
                    found[name][cause] += lost
    return found
