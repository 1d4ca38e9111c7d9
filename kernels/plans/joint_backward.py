"""Attention backward as published libraries launch it: one kernel computes all gradients, five products per block.

Tiles of keys stay and queries stream: S = Q K^T, dP = dO V^T, dV += P^T dO, dK += dS^T Q, dQ = dS K. Each step adds its
part of dQ to an fp32 tensor in memory; a launch before it sums dO O over rows and clears dQ, and one after it rounds
dQ. `block_m` is the block of keys, `block_n` that of queries.
"""

import math
from dataclasses import replace

from kernels.plans.attention import (
    Band,
    Widths,
    attention_unique_bytes,
    backward_work,
    count_visible,
    merge_runs,
    plan_delta,
    widths_of,
)
from kernels.plans.problems import AttentionProblem
from kernels.plans.types import Configuration, LaunchPlan, Target, Tile, Work, ceil_div, operand_readers

ROUNDING_BLOCK = 128  # rows of dQ that one program rounds


def plan_joint_backward(
    problem: AttentionProblem, target: Target, cut: Configuration
) -> tuple[LaunchPlan, LaunchPlan, LaunchPlan]:
    """Row sums and zeros for dQ, gradients, rounding of dQ."""
    return (
        plan_row_sums(problem, target, cut),
        plan_gradients(problem, target, cut),
        plan_rounding(problem, target, cut),
    )


def plan_row_sums(problem: AttentionProblem, target: Target, cut: Configuration) -> LaunchPlan:
    """The launch that sums rows of dO O also writes the zeros that dQ starts from."""
    sums = plan_delta(problem, target, cut)
    (tile,) = sums.tiles
    rows = problem.batch * problem.heads * problem.queries
    zeros_bytes = 4 * cut.block_m * problem.head_size
    work = replace(tile.work, write_bytes=tile.work.write_bytes + zeros_bytes)
    return replace(
        sums, tiles=(replace(tile, work=work),), unique_bytes=sums.unique_bytes + 4 * rows * problem.head_size
    )


def step_operand_bytes(cut: Configuration, target: Target, widths: Widths) -> int:
    """Operands of the five products of one step: each group of rows reads the other side; P and dS go through once."""
    keys, queries = cut.block_m, cut.block_n
    of_queries = queries * (2 * widths.padded_head + 2 * widths.padded_value)  # Q and dO, each in two products
    of_keys = keys * (2 * widths.padded_head + widths.padded_value)  # K in two products, V in one
    scores = 2 * keys * queries  # P and dS
    readers = operand_readers(cut, target)
    if cut.is_synchronous or target.architecture != "sm90":
        readers = math.isqrt(readers - 1) + 1  # warps divide both sides
        return widths.item_bytes * (readers * (of_queries + of_keys + scores) + scores)
    return widths.item_bytes * (readers * of_queries + of_keys + 2 * scores)


def gradient_tile(
    rows: tuple[int, int], band: Band, problem: AttentionProblem, cut: Configuration, operand_bytes: int
) -> Tile:
    """The tile of keys rows[0]..rows[1] (inclusive), of all query heads of its group; operand bytes of a step."""
    widths = widths_of(problem)
    group = problem.heads // problem.kv_heads
    work, steps, masked = backward_work(rows, band, cut, widths)
    steps, masked = steps * group, masked * group
    points = steps * cut.block_m * cut.block_n
    count = rows[1] - rows[0] + 1
    added = steps * cut.block_n * widths.padded_head  # elements of dQ
    scaled = replace(
        work.times(group),
        private_read_bytes=work.private_read_bytes,
        write_bytes=count * (widths.head + widths.value) * widths.item_bytes + 4 * added,
        tensor_flops=points * (6 * widths.padded_head + 4 * widths.padded_value),
        fp32_count=work.fp32_count * group + added,
        operand_bytes=steps * operand_bytes,
    )
    visible = count_visible(*rows, band) * group
    return Tile(scaled, 1, steps, masked, 1 - visible / points if points else 0.0)


def plan_gradients(problem: AttentionProblem, target: Target, cut: Configuration) -> LaunchPlan:
    widths = widths_of(problem)
    operand_bytes = step_operand_bytes(cut, target, widths)
    tiles: list[Tile] = []
    visible = 0
    for sequence, (queries, keys) in enumerate(problem.segments):
        band = Band(queries - keys, problem.right, problem.left, queries)
        blocks = [
            gradient_tile(
                (block * cut.block_m, min(keys, (block + 1) * cut.block_m) - 1), band, problem, cut, operand_bytes
            )
            for block in range(ceil_div(keys, cut.block_m))
        ]
        visible += problem.heads * count_visible(0, keys - 1, band)
        for head in range(problem.kv_heads):
            tiles += [tile.with_key(sequence * problem.kv_heads + head) for tile in blocks]
    held = cut.block_m + cut.block_n * cut.stages
    scores = 2 * cut.block_m * cut.block_n
    return LaunchPlan(
        operator="attention_bwd_joint",
        grid=(len(tiles), 1, 1),
        configuration=cut,
        tiles=merge_runs(tiles),
        target=target,
        shared_bytes=(held * (widths.padded_head + widths.padded_value) + scores) * widths.item_bytes,
        useful_flops=visible * (6 * problem.head_size + 4 * problem.value_size),
        unique_bytes=2 * attention_unique_bytes(problem)
        + sum(q for q, _ in problem.segments) * problem.heads * problem.head_size * (4 - widths.item_bytes),
    )


def plan_rounding(problem: AttentionProblem, target: Target, cut: Configuration) -> LaunchPlan:
    rows = sum(queries for queries, _ in problem.segments) * problem.heads
    count = ceil_div(rows, ROUNDING_BLOCK)
    elements = ROUNDING_BLOCK * problem.head_size
    work = Work(private_read_bytes=4 * elements, write_bytes=problem.item_bytes * elements, fp32_count=elements)
    return LaunchPlan(
        operator="attention_bwd_rounding",
        grid=(count, 1, 1),
        configuration=cut._replace(stages=1, schedule=None, is_specialised=False, warps=4),
        tiles=(Tile(work, count),),
        target=target,
        useful_flops=rows * problem.head_size,
        unique_bytes=rows * problem.head_size * (4 + problem.item_bytes),
    )
