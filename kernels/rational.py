"""Group rational functions (GR-KAN), forward and backward without atomics.

The backward sums the gradients of the ten coefficients inside each program, writes one partial sum per program, and
adds the partial sums in a second stage: no atomic additions, and the result does not depend on their order (FlashKAT,
arXiv 2505.13813, where atomics per element were 123x slower).
"""

# Kernel parameters are device tensors and scalars, which have no Python type.
# mypy: allow-untyped-defs

from typing import Any, NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from kernels.arguments import bind_ranks
from kernels.derivatives import gradients_of
from kernels.launching import Launch, dtype_name, run, runs_triton, target_of
from kernels.numerics import operand, stored, wide
from kernels.plans.planning import plan as plan_of
from kernels.plans.problems import RationalProblem, require
from kernels.plans.streams import DENOMINATOR, NUMERATOR
from kernels.plans.types import LaunchPlan
from kernels.reference.pointwise import group_rational as reference_forward
from kernels.reference.pointwise import group_rational_backward as reference_backward


class RationalTensors(NamedTuple):
    """Contiguous: x and y [rows, columns], numerator [groups, 6], denominator [groups, 4]."""

    x: Any
    numerator: Any
    denominator: Any
    y: Any


class RationalGradientTensors(NamedTuple):
    """Contiguous; partial [programs of a group, groups, 10]: sums of the gradients of a0..a5 and of |c1|..|c4|."""

    x: Any
    numerator: Any
    denominator: Any
    grad_y: Any
    grad_x: Any
    partial: Any


class Coefficients(NamedTuple):
    """The coefficients of a group as fp32 scalars; c without signs."""

    a0: Any
    a1: Any
    a2: Any
    a3: Any
    a4: Any
    a5: Any
    c1: Any
    c2: Any
    c3: Any
    c4: Any


class TilePlaces(NamedTuple):
    """Offsets and mask of the tile of a program."""

    at: Any
    mask: Any


@triton.jit
def _coefficients(numerator, denominator, group):
    a = numerator + group * 6
    c = denominator + group * 4
    return Coefficients(
        operand(tl.load(a)).to(tl.float32),
        operand(tl.load(a + 1)).to(tl.float32),
        operand(tl.load(a + 2)).to(tl.float32),
        operand(tl.load(a + 3)).to(tl.float32),
        operand(tl.load(a + 4)).to(tl.float32),
        operand(tl.load(a + 5)).to(tl.float32),
        tl.abs(operand(tl.load(c)).to(tl.float32)),
        tl.abs(operand(tl.load(c + 1)).to(tl.float32)),
        tl.abs(operand(tl.load(c + 2)).to(tl.float32)),
        tl.abs(operand(tl.load(c + 3)).to(tl.float32)),
    )


@triton.jit
def _places(rows, width, stride, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr):
    """Rows x columns of one group."""
    row = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)
    inside = tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)
    column = tl.program_id(2) * width + inside
    return TilePlaces(
        row.to(tl.int64)[:, None] * stride + column[None, :], (row < rows)[:, None] & (inside < width)[None, :]
    )


@triton.jit
def rational_kernel(tensors, rows, width, stride, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr):
    """width: columns of a group; stride: of rows."""
    places = _places(rows, width, stride, BLOCK_M, BLOCK_N)
    c = _coefficients(tensors.numerator, tensors.denominator, tl.program_id(2))
    x = operand(tl.load(tensors.x + places.at, mask=places.mask, other=0.0)).to(tl.float32)
    size = tl.abs(x)
    above = ((((c.a5 * x + c.a4) * x + c.a3) * x + c.a2) * x + c.a1) * x + c.a0
    below = (((c.c4 * size + c.c3) * size + c.c2) * size + c.c1) * size + 1
    tl.store(tensors.y + places.at, stored(above / below, tensors.y.dtype.element_ty), mask=places.mask)


@triton.jit
def rational_backward_kernel(tensors, rows, width, stride, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr):
    """width: columns of a group; stride: of rows."""
    places = _places(rows, width, stride, BLOCK_M, BLOCK_N)
    group = tl.program_id(2)
    c = _coefficients(tensors.numerator, tensors.denominator, group)
    x = operand(tl.load(tensors.x + places.at, mask=places.mask, other=0.0)).to(tl.float32)
    grad = operand(tl.load(tensors.grad_y + places.at, mask=places.mask, other=0.0)).to(tl.float32)
    size = tl.abs(x)
    above = ((((c.a5 * x + c.a4) * x + c.a3) * x + c.a2) * x + c.a1) * x + c.a0
    below = (((c.c4 * size + c.c3) * size + c.c2) * size + c.c1) * size + 1
    above_slope = (((5 * c.a5 * x + 4 * c.a4) * x + 3 * c.a3) * x + 2 * c.a2) * x + c.a1
    below_slope = ((4 * c.c4 * size + 3 * c.c3) * size + 2 * c.c2) * size + c.c1
    below_slope = tl.where(x > 0, below_slope, tl.where(x < 0, -below_slope, 0.0))
    inverse = 1 / below
    grad_a = grad * inverse
    grad_c = -grad_a * above * inverse
    grad_x = grad_a * above_slope + grad_c * below_slope
    tl.store(tensors.grad_x + places.at, stored(grad_x, tensors.grad_x.dtype.element_ty), mask=places.mask)
    program = tl.program_id(0) * tl.num_programs(1) + tl.program_id(1)
    slot = tensors.partial + (wide(program) * tl.num_programs(2) + group) * 10
    for order in tl.static_range(6):
        tl.store(slot + order, tl.sum(tl.sum(grad_a, 1), 0))
        grad_a = grad_a * x
    for order in tl.static_range(4):
        grad_c = grad_c * size
        tl.store(slot + 6 + order, tl.sum(tl.sum(grad_c, 1), 0))


def rational_plan(x: Tensor, groups: int, is_backward: bool) -> LaunchPlan:
    return plan_of(RationalProblem(x.shape[0], x.shape[1], groups, dtype_name(x), is_backward), target_of(x))[0]


def rational_launch(plan: LaunchPlan, tensors: RationalTensors | RationalGradientTensors) -> Launch:
    """The forward or backward launch, depending on the tensors."""
    rows, columns = tensors.x.shape
    cut = plan.configuration
    return Launch(
        rational_kernel if isinstance(tensors, RationalTensors) else rational_backward_kernel,
        plan,
        {"tensors": tensors, "rows": rows, "width": columns // tensors.numerator.shape[0], "stride": columns},
        {"BLOCK_M": cut.block_m, "BLOCK_N": cut.block_n},
    )


@torch.library.custom_op("einfuse::group_rational", mutates_args=())
def rational_operator(x: Tensor, numerator: Tensor, denominator: Tensor) -> Tensor:
    if not x.numel():
        return torch.empty(x.shape, dtype=x.dtype, device=x.device)
    if not runs_triton(x):
        return reference_forward(x, numerator, denominator)
    source = x.contiguous()
    target = torch.empty_like(source)
    plan = rational_plan(source, numerator.shape[0], False)
    run(rational_launch(plan, RationalTensors(source, numerator.contiguous(), denominator.contiguous(), target)))
    return target


@rational_operator.register_fake
def _(x: Tensor, numerator: Tensor, denominator: Tensor) -> Tensor:
    return torch.empty(x.shape, dtype=x.dtype, device=x.device)


@torch.library.custom_op("einfuse::group_rational_backward", mutates_args=())
def rational_backward(
    x: Tensor, numerator: Tensor, denominator: Tensor, gradient: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """dX, dNumerator, dDenominator."""
    check_rational(x, numerator, denominator, gradient)
    if not x.numel():
        return torch.empty_like(x), torch.zeros_like(numerator), torch.zeros_like(denominator)
    if not runs_triton(x):
        return reference_backward(x, numerator, denominator, gradient)
    source, groups = x.contiguous(), numerator.shape[0]
    plan = rational_plan(source, groups, True)
    grad_x = torch.empty_like(source)
    programs = plan.grid[0] * plan.grid[1]
    partial = torch.empty(programs, groups, NUMERATOR + DENOMINATOR, dtype=torch.float32, device=x.device)
    tensors = RationalGradientTensors(
        source, numerator.contiguous(), denominator.contiguous(), gradient.contiguous(), grad_x, partial
    )
    run(rational_launch(plan, tensors))
    total = partial.sum(0)
    grad_c = total[:, NUMERATOR:] * denominator.sign()  # from |c| to c
    return grad_x, total[:, :NUMERATOR].to(numerator.dtype, copy=True), grad_c.to(denominator.dtype)


@rational_backward.register_fake
def _(x: Tensor, numerator: Tensor, denominator: Tensor, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    grad_x = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    return grad_x, torch.empty_like(numerator), torch.empty_like(denominator)


def _keep_backward(ctx: Any, inputs: tuple[Tensor, ...], output: tuple[Tensor, ...]) -> None:
    ctx.save_for_backward(*inputs)


def _differentiate_backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
    return gradients_of(reference_backward, ctx.saved_tensors, gradients)


rational_backward.register_autograd(_differentiate_backward, setup_context=_keep_backward)


def _keep(ctx: torch.autograd.function.FunctionCtx, inputs: tuple[Tensor, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _differentiate(ctx: torch.autograd.function.FunctionCtx, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    return rational_backward(*ctx.saved_tensors, gradient)


rational_operator.register_autograd(_differentiate, setup_context=_keep)


def group_rational(x: Tensor, numerator: Tensor, denominator: Tensor) -> Tensor:
    """P(x) / Q(x) of x [rows, columns], numerator [groups, 6], denominator [groups, 4]; differentiable, twice too.

    Coefficients may have another dtype than x: everything is computed in fp32, or in fp64 if x is fp64.
    """
    check_rational(x, numerator, denominator)
    return rational_operator(x, numerator, denominator)


def check_rational(x: Tensor, numerator: Tensor, denominator: Tensor, gradient: Tensor | None = None) -> None:
    sizes = bind_ranks(
        f"x[rows,columns] numerator[groups,{NUMERATOR}] denominator[groups,{DENOMINATOR}] gradient[rows,columns]",
        x, numerator, denominator, gradient,
    )  # fmt: skip
    require(
        sizes["groups"] > 0 and sizes["columns"] % sizes["groups"] == 0,
        f"columns must be a multiple of groups, got {sizes['columns']} and {sizes['groups']}",
    )
