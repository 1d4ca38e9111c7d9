"""Cycles that the inner steps of a tile need at each pipe of a core, from the operations that its plan counts."""

from typing import NamedTuple

from kernels.plans import LaunchPlan, Tile
from sim.gpu.device import GpuDevice
from sim.gpu.overlap import groups_of, loop_wait_cycles, step_cycles


class PipeDemands(NamedTuple):
    """Cycles of one core for one inner step of one CTA, at each pipe alone.

    Operands are on their way to the tensor arrays while these work (by the instruction itself, or loaded for the next
    product during the current one): `tensor` is the longer of both. `load` is 0 where loads run ahead of the step that
    uses them.
    """

    tensor: float
    special: float
    vector: float
    load: float


class TileTimes(NamedTuple):
    """Times of one tile: fixed parts without work of its core, and steps with 1, 2, ... CTAs on the core."""

    fixed_cycles: float
    first_cycles: float  # more, for the first tile that a program takes
    steps: int
    step_cycles: tuple[float, ...]  # a core's time for one step of one of its CTAs, by number of CTAs


def demands_of(tile: Tile, plan: LaunchPlan, device: GpuDevice, dtype: str) -> PipeDemands:
    """A tile's totals spread evenly over its steps."""
    work, steps, constants = tile.work, max(1, tile.steps), device.calibration
    rate = device.tensor_flops_per_cycle * device.tensor_speed(dtype) * constants.tensor_rate
    if plan.is_synchronous:
        rate *= constants.synchronous_rate
    tensor = work.tensor_flops / rate / steps
    operands = work.operand_bytes / device.operand_bytes_per_cycle / steps
    load = work.shared_read_bytes / device.cache_bytes_per_cycle / steps if plan.schedule == "serial" else 0.0
    return PipeDemands(
        max(tensor, operands),
        work.exp_count / device.special_per_cycle / steps,
        work.fp32_count / device.vector_per_cycle / steps,
        load,
    )


def tile_times(tile: Tile, plan: LaunchPlan, device: GpuDevice, demands: PipeDemands) -> TileTimes:
    """Fixed: per loop its latency and first operands; once, the tile's own operands, and the part of the first step
    that nothing overlaps. Persistent programs fetch the operands of the next tile in time, but have no second place for
    its own operands.
    """
    groups, constants = groups_of(plan), device.calibration
    wait = loop_wait_cycles(plan, constants.step_latency_cycles)
    ahead = (tile.work.shared_read_bytes + streamed_bytes(tile, plan)) / device.cache_bytes_per_cycle
    least = ahead / max(1, tile.steps) if plan.schedule != "serial" else 0.0
    if plan.is_accumulating:
        by_ctas = (max(demands.tensor, demands.load, least),) * plan.ctas_per_sm
        fill = (demands.special + demands.vector) * tile.steps
    else:
        by_ctas = tuple(max(step_cycles(demands, wait, groups, ctas), least) for ctas in range(1, plan.ctas_per_sm + 1))
        fill = max(0.0, sum(demands) / groups + wait - by_ctas[0] / groups)
    is_split = plan.configuration.has_masked_loop and 0 < tile.masked_steps < tile.steps
    start = constants.tile_latency_s * device.clock_hz + ahead / max(1, tile.steps)
    moved = tile.work.private_read_bytes - streamed_bytes(tile, plan)  # writes are posted, so nothing waits for them
    around = fill + moved / device.cache_bytes_per_cycle
    if plan.configuration.prefetches_tiles:
        return TileTimes(around, start, tile.steps, by_ctas)
    return TileTimes(around + start * (1 + is_split), 0.0, tile.steps, by_ctas)


def streamed_bytes(tile: Tile, plan: LaunchPlan) -> int:
    """Private bytes that a tile of several steps reads step by step, like the shared ones."""
    return tile.work.private_read_bytes if plan.is_streaming else 0
