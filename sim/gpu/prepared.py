"""Launches prepared for timing: their distinct tiles, the order of these, and the bytes that the launch moves.

None of it depends on a machine's rates or constants, so it is kept while these are varied.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from kernels.plans import AttentionProblem, Configuration, GemmProblem, LaunchPlan, Target, Tile
from kernels.plans.attention import plan_forward
from kernels.plans.implementations import plan_as
from kernels.plans.problems import Problem
from kernels.plans.products import plan_gemm
from sim.gpu.traffic import Traffic, traffic_of


class PreparedCase(NamedTuple):
    """order: i8[tile], which of `kinds` each tile of the launch is; counts: how many there are of each kind."""

    plan: LaunchPlan
    kinds: tuple[Tile, ...]
    counts: tuple[int, ...]
    order: np.ndarray
    traffic: Traffic


@lru_cache(maxsize=1024)
def prepare(
    problem: Problem,
    target: Target,
    implementation: str = "own",
    is_backward: bool = False,
    cut: Configuration | None = None,
) -> tuple[PreparedCase, ...]:
    """Every launch of an operator, with another tiling if `cut` is given; ValueError if no table has it."""
    match problem:
        case AttentionProblem() if cut is not None and not is_backward:
            plans: tuple[LaunchPlan, ...] = (plan_forward(problem, target, cut),)
        case GemmProblem() if cut is not None:
            plans = (plan_gemm(problem, target, cut),)
        case _:
            plans = plan_as(problem, target, implementation, is_backward)
    return tuple(_prepare(plan) for plan in plans)


def _prepare(plan: LaunchPlan) -> PreparedCase:
    numbers: dict[tuple[object, ...], int] = {}
    kinds: list[Tile] = []
    counts: list[int] = []
    runs: list[int] = []
    for tile in plan.tiles:
        key = (tile.work, tile.steps, tile.masked_steps)
        if key not in numbers:
            numbers[key] = len(kinds)
            kinds.append(tile)
            counts.append(0)
        runs.append(numbers[key])
        counts[numbers[key]] += tile.count
    lengths = np.array([tile.count for tile in plan.tiles], np.int64)
    order = np.repeat(np.array(runs, np.int64), lengths)
    return PreparedCase(plan, tuple(kinds), tuple(counts), order, traffic_of(plan))
