"""The result of the cycle engine: the counts of the analytical engine with the actual time."""

from dataclasses import replace

from sim.cycle.answer import DesignTiming
from sim.engine.cycle.columns import CAUSES, OFF_CHIP
from sim.simulation.result import SimulationResult, layouts_left_out


def timed_result(result: SimulationResult, retimed: SimulationResult, timing: DesignTiming) -> SimulationResult:
    """An analytical result restated for the latency of the cycle engine, with everything that follows from its time."""
    slower = result.cycles / timing.cycles if timing.cycles else 1.0
    left_out = tuple(layouts_left_out(result.experiment))
    shares = {
        array: {einsum: share * slower * _done(result, timing, einsum) for einsum, share in parts.items()}
        for array, parts in result.utilization_by_einsum.items()
    }
    return replace(
        retimed,
        engine="cycle",
        utilization={array: sum(parts.values()) for array, parts in shares.items()},
        utilization_by_einsum=shares,
        busy_cycles_by_einsum={name: float(spent) for name, spent in timing.busy.items()},
        cycles_by_resource=resources(result, timing),
        warnings=(*(warning for warning in result.warnings if warning not in left_out), *timing.warnings),
        stall_cycles=timing.stalls,
        share_done=timing.share_done,
    )


def _done(result: SimulationResult, timing: DesignTiming, einsum: str) -> float:
    """The part of an Einsum's work that is done: all of it, unless the run was interrupted."""
    whole = result.busy_cycles_by_einsum[einsum]
    return timing.busy[einsum] / whole if timing.share_done < 1 and whole else 1.0


def resources(result: SimulationResult, timing: DesignTiming) -> dict[str, float]:
    """The latency by what the busiest array did or waited for: its points, a memory, a drain, something else.

    On a machine of several cores that is the busiest array of any core.
    """
    architecture = result.experiment.architecture
    array_of = {name: array.name for array in architecture.arrays for name in architecture.names_in_cores(array.name)}
    computes = {name: timing.cycles - sum(lost.values()) for name, lost in timing.stalls.items()}
    busiest = max(computes, key=computes.__getitem__)
    found = dict.fromkeys(result.cycles_by_resource, 0.0)
    found[array_of[busiest]] = float(computes[busiest])
    for cause, lost in timing.stalls[busiest].items():
        name = architecture.root.name if cause == CAUSES[OFF_CHIP] else cause
        found[name] = found.get(name, 0.0) + lost
    return found
