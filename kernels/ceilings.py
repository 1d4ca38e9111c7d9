"""The ceilings of a machine: a copy for its memory, a chain of exp2 for its special-function units.

Both are measured with every benchmark and calibrate the simulated machine. For products, `kernels.products` is the
ceiling.
"""

# Kernel parameters are device tensors and scalars, which have no Python type.
# mypy: allow-untyped-defs

import torch
import triton
import triton.language as tl
from torch import Tensor

from kernels.arguments import bind_ranks
from kernels.launching import Launch, dtype_name, run, runs_triton, target_of
from kernels.numerics import operand, stored, wide
from kernels.plans.planning import plan as plan_of
from kernels.plans.problems import StreamProblem, require
from kernels.plans.types import LaunchPlan
from kernels.reference.pointwise import repeat_exp2


@triton.jit
def stream_copy_kernel(source, target, size, BLOCK: tl.constexpr):
    at = wide(tl.program_id(0)) * BLOCK + tl.arange(0, BLOCK)
    tl.store(target + at, tl.load(source + at, mask=at < size), mask=at < size)


@triton.jit
def exp2_chain_kernel(source, target, size, repeats, BLOCK: tl.constexpr):
    at = wide(tl.program_id(0)) * BLOCK + tl.arange(0, BLOCK)
    x = operand(tl.load(source + at, mask=at < size, other=0.0)).to(tl.float32)
    for _ in range(repeats):
        x = tl.exp2(-x)
    tl.store(target + at, stored(x, target.dtype.element_ty), mask=at < size)


def copy_launch(source: Tensor, target: Tensor, plan: LaunchPlan | None = None) -> Launch:
    plan = plan or plan_of(StreamProblem("stream_copy", source.numel(), dtype_name(source)), target_of(source))[0]
    arguments = {"source": source, "target": target, "size": source.numel()}
    return Launch(stream_copy_kernel, plan, arguments, {"BLOCK": plan.configuration.block_n})


def exp2_launch(source: Tensor, target: Tensor, repeats: int, plan: LaunchPlan | None = None) -> Launch:
    problem = StreamProblem("exp2_throughput", source.numel(), dtype_name(source), repeats)
    plan = plan or plan_of(problem, target_of(source))[0]
    arguments = {"source": source, "target": target, "size": source.numel(), "repeats": repeats}
    return Launch(exp2_chain_kernel, plan, arguments, {"BLOCK": plan.configuration.block_n})


@torch.library.custom_op("einfuse::stream_copy", mutates_args=())
def copy_operator(x: Tensor) -> Tensor:
    if not runs_triton(x):
        return x.clone(memory_format=torch.contiguous_format)
    source = x.contiguous()
    target = torch.empty_like(source)
    run(copy_launch(source, target))
    return target


@copy_operator.register_fake
def _(x: Tensor) -> Tensor:
    return torch.empty(x.shape, dtype=x.dtype, device=x.device)


def stream_copy(x: Tensor) -> Tensor:
    """A contiguous copy."""
    bind_ranks("x[...]", x)
    return copy_operator(x)


@torch.library.custom_op("einfuse::exp2_throughput", mutates_args=())
def exp2_operator(x: Tensor, repeats: int) -> Tensor:
    if not runs_triton(x):
        return repeat_exp2(x, repeats).clone(memory_format=torch.contiguous_format)
    source = x.contiguous()
    target = torch.empty_like(source)
    run(exp2_launch(source, target, repeats))
    return target


@exp2_operator.register_fake
def _(x: Tensor, repeats: int) -> Tensor:
    return torch.empty(x.shape, dtype=x.dtype, device=x.device)


def exp2_throughput(x: Tensor, repeats: int) -> Tensor:
    """x := 2^(-x), `repeats` times on every element, in fp32, or in fp64."""
    bind_ranks("x[...]", x)
    require(repeats >= 0, f"repeats must be at least 0, got {repeats}")
    return exp2_operator(x, repeats)
