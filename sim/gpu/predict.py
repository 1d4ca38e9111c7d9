"""The time of a launch on a machine of many cores.

    time = launch + max(longest core, bytes at the memory / its sustained bandwidth, bytes at the cache / its bandwidth)

The longest core comes from the list of tiles on the cores; the tiles' steps from the pipes' demands and their overlap.
"""

from dataclasses import dataclass

import numpy as np

from kernels.plans import UnfusedAttentionProblem
from kernels.plans.problems import Problem
from sim.engine.tile_schedule import list_schedule
from sim.gpu.cases import GpuCase
from sim.gpu.device import GpuDevice
from sim.gpu.pipes import PipeDemands, demands_of, tile_times
from sim.gpu.prepared import PreparedCase, prepare


@dataclass(frozen=True, slots=True)
class LaunchTime:
    """One launch: its seconds, their cause, and the time each pipe alone would need (spread evenly over all cores)."""

    operator: str
    time_s: float
    cores_s: float
    memory_s: float
    cache_s: float
    pipe_s: tuple[tuple[str, float], ...]

    @property
    def bound_by(self) -> str:
        if self.memory_s >= max(self.cores_s, self.cache_s):
            return "memory"
        if self.cache_s >= self.cores_s:
            return "cache"
        return max(self.pipe_s, key=lambda pair: pair[1])[0]


def predict_launch(launch: PreparedCase, device: GpuDevice, dtype: str) -> LaunchTime:
    """An empty launch takes its latency."""
    constants, plan = device.calibration, launch.plan
    demands = [demands_of(tile, plan, device, dtype) for tile in launch.kinds]
    times = [tile_times(tile, plan, device, one) for tile, one in zip(launch.kinds, demands, strict=True)]
    cycles = 0.0
    if times:
        fixed = np.array([(one.fixed_cycles, one.first_cycles, one.steps) for one in times], float)
        steps = np.array([one.step_cycles for one in times], float)
        cycles = float(list_schedule(launch.order, fixed, steps, device.cores, plan.is_persistent))
    cores_s = cycles / device.clock_hz
    start_s = constants.tile_latency_s if times else 0.0
    memory_s = start_s + launch.traffic.memory_bytes / device.sustained_memory_bytes_per_s
    cache_s = start_s + launch.traffic.cache_bytes / device.cache_bytes_per_s
    totals = [tile.steps * count for tile, count in zip(launch.kinds, launch.counts, strict=True)]
    pipes = [sum(n * one[i] for n, one in zip(totals, demands, strict=True)) for i in range(len(PipeDemands._fields))]
    return LaunchTime(
        plan.operator,
        constants.launch_latency_s + max(cores_s, memory_s, cache_s),
        cores_s,
        memory_s,
        cache_s,
        tuple((pipe, n / device.cores / device.clock_hz) for pipe, n in zip(PipeDemands._fields, pipes, strict=True)),
    )


def dtype_of(problem: Problem) -> str:
    return problem.attention.dtype if isinstance(problem, UnfusedAttentionProblem) else problem.dtype


def predict(case: GpuCase, device: GpuDevice) -> tuple[LaunchTime, ...]:
    """The launches of a case, one after the other; ValueError if the machine or the table lacks something."""
    launches = prepare(case.problem, device.target, case.implementation, case.is_backward, case.configuration)
    return tuple(predict_launch(launch, device, dtype_of(case.problem)) for launch in launches)


def total_s(launches: tuple[LaunchTime, ...]) -> float:
    return sum(launch.time_s for launch in launches)
