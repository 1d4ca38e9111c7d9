"""One door to all plans: the launches that an operator makes for a shape on a machine."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from kernels.plans.attention import plan_backward, plan_forward
from kernels.plans.decode import plan_decode
from kernels.plans.delta import plan_delta_rule
from kernels.plans.linear import plan_block_sparse, plan_linear, plan_recurrent
from kernels.plans.problems import (
    AttentionProblem,
    BlockSparseProblem,
    DecodeProblem,
    DeltaRuleProblem,
    GemmProblem,
    LinearAttentionProblem,
    RationalProblem,
    RecurrentAttentionProblem,
    RowProblem,
    StreamProblem,
    UnfusedAttentionProblem,
)
from kernels.plans.products import plan_gemm, plan_unfused
from kernels.plans.streams import plan_rational, plan_row_operator, plan_stream
from kernels.plans.types import LaunchPlan, Target

Problem = (
    AttentionProblem
    | UnfusedAttentionProblem
    | DecodeProblem
    | GemmProblem
    | StreamProblem
    | RowProblem
    | RationalProblem
    | BlockSparseProblem
    | LinearAttentionProblem
    | RecurrentAttentionProblem
    | DeltaRuleProblem
)


Planner = Callable[[Any, Target], LaunchPlan | tuple[LaunchPlan, ...]]

PLANNERS: dict[type, Planner] = {
    AttentionProblem: plan_forward,
    UnfusedAttentionProblem: plan_unfused,
    DecodeProblem: plan_decode,
    GemmProblem: plan_gemm,
    StreamProblem: plan_stream,
    RowProblem: plan_row_operator,
    RationalProblem: plan_rational,
    BlockSparseProblem: plan_block_sparse,
    LinearAttentionProblem: plan_linear,
    RecurrentAttentionProblem: plan_recurrent,
    DeltaRuleProblem: plan_delta_rule,
}


@lru_cache(maxsize=512)
def plan(problem: Problem, target: Target, is_backward: bool = False) -> tuple[LaunchPlan, ...]:
    """The launches in order. Plans are cached: a repeated shape costs a look-up."""
    if is_backward:
        if not isinstance(problem, AttentionProblem):
            raise ValueError(f"only attention has a backward to plan this way, got {type(problem).__name__}")
        return plan_backward(problem, target)
    made = PLANNERS[type(problem)](problem, target)
    return made if isinstance(made, tuple) else (made,)
