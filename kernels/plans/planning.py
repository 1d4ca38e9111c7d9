"""The entry point to all plans: the launches that an operator makes for a shape on a machine."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from kernels.plans import problems
from kernels.plans.attention import plan_backward, plan_forward
from kernels.plans.decode import plan_decode
from kernels.plans.delta import plan_delta_rule
from kernels.plans.linear import plan_block_sparse, plan_linear, plan_recurrent
from kernels.plans.products import plan_gemm, plan_unfused
from kernels.plans.streams import plan_rational, plan_row_operator, plan_stream
from kernels.plans.types import LaunchPlan, Target

Planner = Callable[[Any, Target], LaunchPlan | tuple[LaunchPlan, ...]]

PLANNERS: dict[type, Planner] = {
    problems.AttentionProblem: plan_forward,
    problems.UnfusedAttentionProblem: plan_unfused,
    problems.DecodeProblem: plan_decode,
    problems.GemmProblem: plan_gemm,
    problems.StreamProblem: plan_stream,
    problems.RowProblem: plan_row_operator,
    problems.RationalProblem: plan_rational,
    problems.BlockSparseProblem: plan_block_sparse,
    problems.LinearAttentionProblem: plan_linear,
    problems.RecurrentAttentionProblem: plan_recurrent,
    problems.DeltaRuleProblem: plan_delta_rule,
}


@lru_cache(maxsize=512)
def plan(problem: problems.Problem, target: Target, is_backward: bool = False) -> tuple[LaunchPlan, ...]:
    """The launches in order. Plans are cached: a repeated shape costs a look-up."""
    if is_backward:
        if not isinstance(problem, problems.AttentionProblem):
            raise ValueError(f"only attention has a backward to plan this way, got {type(problem).__name__}")
        return plan_backward(problem, target)
    made = PLANNERS[type(problem)](problem, target)
    return made if isinstance(made, tuple) else (made,)
