"""One door to all plans: the launches that an operator makes for a shape on a machine."""

from functools import lru_cache

from kernels.plans.attention import plan_backward, plan_forward
from kernels.plans.decode import plan_decode
from kernels.plans.linear import plan_block_sparse, plan_linear, plan_recurrent
from kernels.plans.problems import (
    AttentionProblem,
    BlockSparseProblem,
    DecodeProblem,
    GemmProblem,
    LinearAttentionProblem,
    RationalProblem,
    RecurrentAttentionProblem,
    RowProblem,
    StreamProblem,
    UnfusedAttentionProblem,
)
from kernels.plans.products import plan_gemm, plan_unfused
from kernels.plans.streams import plan_norm_backward, plan_rational, plan_rows, plan_stream
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
)


@lru_cache(maxsize=512)
def plan(problem: Problem, target: Target, is_backward: bool = False) -> tuple[LaunchPlan, ...]:
    """The launches in order. Plans are cached: a repeated shape costs a look-up."""
    if is_backward and not isinstance(problem, AttentionProblem):
        raise ValueError(f"only attention has a backward to plan this way, got {type(problem).__name__}")
    match problem:
        case AttentionProblem():
            return plan_backward(problem, target) if is_backward else (plan_forward(problem, target),)
        case UnfusedAttentionProblem():
            return plan_unfused(problem, target)
        case DecodeProblem():
            return plan_decode(problem, target)
        case GemmProblem():
            return (plan_gemm(problem, target),)
        case StreamProblem():
            return (plan_stream(problem, target),)
        case RowProblem():
            is_norm_backward = problem.operator in ("layernorm_bwd", "rmsnorm_bwd")
            return plan_norm_backward(problem, target) if is_norm_backward else (plan_rows(problem, target),)
        case RationalProblem():
            return (plan_rational(problem, target),)
        case BlockSparseProblem():
            return (plan_block_sparse(problem, target),)
        case LinearAttentionProblem():
            return plan_linear(problem, target)
        case RecurrentAttentionProblem():
            return (plan_recurrent(problem, target),)
