"""Softmax, layernorm and rmsnorm of rows: one program per row, read once if it fits, otherwise twice in blocks.

Reading twice is the 2-pass cascade: running maximum and sum (or sums of powers), then the result.
"""

# Kernel parameters are device tensors and scalars, which have no Python type.
# mypy: allow-untyped-defs

from typing import Any, NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from kernels.arguments import bind_ranks, out_of_autocast
from kernels.launching import Launch, dtype_name, run, runs_triton, target_of
from kernels.norm_backward import norm_backward
from kernels.numerics import LOG2_E, operand, stored, wide
from kernels.plans.planning import plan as plan_of
from kernels.plans.problems import RowProblem, require
from kernels.plans.types import LaunchPlan
from kernels.records import line_of
from kernels.reference import rows as reference
from kernels.reference.scaled import widen


class SoftmaxTensors(NamedTuple):
    """Lines."""

    source: Any
    target: Any


class SoftmaxShape(NamedTuple):
    """Under a band, row i is query i % queries, with the columns as keys."""

    columns: int
    queries: int
    left: int
    right: int


class NormTensors(NamedTuple):
    """Lines, and weight and bias [columns]."""

    source: Any
    weight: Any
    bias: Any
    target: Any


@triton.jit
def _load_block(base, start, first, last, other, BLOCK: tl.constexpr):
    """Columns start..start + BLOCK, `other` outside first..last."""
    at = start + tl.arange(0, BLOCK)
    mask = (at >= first) & (at < last)
    return operand(tl.load(base + at, mask=mask, other=other)).to(tl.float32)


@triton.jit
def softmax_kernel(
    tensors, shape, scale,
    BLOCK: tl.constexpr, IS_HELD: tl.constexpr, IS_BAND: tl.constexpr,
):  # fmt: skip
    """Hidden columns and rows that see none become 0."""
    columns = shape.columns
    row = tl.program_id(0)
    source = tensors.source.base + wide(row) * tensors.source.stride
    target = tensors.target.base + wide(row) * tensors.target.stride
    first, last = 0, columns
    if IS_BAND:
        position = row % shape.queries + columns - shape.queries
        if shape.left >= 0:
            first = tl.maximum(position - shape.left, 0)
        if shape.right >= 0:
            last = tl.minimum(columns, position + shape.right + 1)
    if IS_HELD:
        x = _load_block(source, 0, first, last, float("-inf"), BLOCK) * (scale * LOG2_E)
        peak = tl.max(x, 0)
        weights = tl.exp2(x - tl.where(peak == float("-inf"), 0.0, peak))
        total = tl.sum(weights, 0)
        at = tl.arange(0, BLOCK)
        result = weights / tl.where(total == 0, 1.0, total)
        tl.store(target + at, stored(result, target.dtype.element_ty), mask=at < columns)
    else:
        peak = tl.full([], float("-inf"), tl.float32)
        total = tl.zeros([], tl.float32)
        for start in range(0, columns, BLOCK):
            x = _load_block(source, start, first, last, float("-inf"), BLOCK) * (scale * LOG2_E)
            new_peak = tl.maximum(peak, tl.max(x, 0))
            shift = tl.where(new_peak == float("-inf"), 0.0, new_peak)
            total = total * tl.exp2(peak - shift) + tl.sum(tl.exp2(x - shift), 0)
            peak = new_peak
        shift = tl.where(peak == float("-inf"), 0.0, peak)
        for start in range(0, columns, BLOCK):
            x = _load_block(source, start, first, last, float("-inf"), BLOCK) * (scale * LOG2_E)
            at = start + tl.arange(0, BLOCK)
            result = tl.exp2(x - shift) / tl.where(total == 0, 1.0, total)
            tl.store(target + at, stored(result, target.dtype.element_ty), mask=at < columns)


@triton.jit
def norm_kernel(
    tensors, columns, epsilon,
    BLOCK: tl.constexpr, IS_HELD: tl.constexpr, IS_CENTRED: tl.constexpr,
):  # fmt: skip
    """Centred: layernorm, otherwise rmsnorm."""
    row = tl.program_id(0)
    source = tensors.source.base + wide(row) * tensors.source.stride
    target = tensors.target.base + wide(row) * tensors.target.stride
    mean = tl.zeros([], tl.float32)
    square = tl.zeros([], tl.float32)
    if IS_HELD:
        x = _load_block(source, 0, 0, columns, 0.0, BLOCK)
        if IS_CENTRED:
            mean = tl.sum(x, 0) / columns
        centred = tl.where(tl.arange(0, BLOCK) < columns, x - mean, 0.0)
        square = tl.sum(centred * centred, 0)
    else:
        # Blocks are merged by their mean and centred square (Chan et al.): no cancellation, one read of the row.
        count = tl.zeros([], tl.float32)
        for start in range(0, columns, BLOCK):
            x = _load_block(source, start, 0, columns, 0.0, BLOCK)
            size = tl.minimum(columns - start, BLOCK).to(tl.float32)
            part_mean = tl.zeros([], tl.float32)
            if IS_CENTRED:
                part_mean = tl.sum(x, 0) / size
            centred = tl.where(tl.arange(0, BLOCK) < columns - start, x - part_mean, 0.0)
            difference = part_mean - mean
            square += tl.sum(centred * centred, 0) + difference * difference * (count * size / (count + size))
            mean += difference * (size / (count + size))
            count += size
    scale = 1 / tl.sqrt(square / columns + epsilon)
    for start in range(0, columns, BLOCK):
        at = start + tl.arange(0, BLOCK)
        x = _load_block(source, start, 0, columns, 0.0, BLOCK)
        w = _load_block(tensors.weight, start, 0, columns, 0.0, BLOCK)
        result = (x - mean) * scale * w
        if IS_CENTRED:
            result += _load_block(tensors.bias, start, 0, columns, 0.0, BLOCK)
        tl.store(target + at, stored(result, target.dtype.element_ty), mask=at < columns)


def row_plan(operator: str, x: Tensor, target: Tensor) -> LaunchPlan:
    return plan_of(RowProblem(operator, x.shape[0], x.shape[1], dtype_name(target)), target_of(x))[0]


def softmax_launch(
    source: Tensor,
    target: Tensor,
    band: tuple[int, int, int] | None = None,
    scale: float = 1.0,
    plan: LaunchPlan | None = None,
) -> Launch:
    """Of rows [rows, columns]; band = (queries, left, right) for attention's scores."""
    plan = plan or row_plan("softmax" if band is None else "masked_softmax", source, target)
    block = plan.configuration.block_n
    return Launch(
        softmax_kernel,
        plan,
        {
            "tensors": SoftmaxTensors(line_of(source), line_of(target)),
            "shape": SoftmaxShape(source.shape[1], *(band or (1, -1, -1))),
            "scale": scale,
        },
        {"BLOCK": block, "IS_HELD": block >= source.shape[1], "IS_BAND": band is not None},
    )


def norm_launch(tensors: NormTensors, epsilon: float, is_centred: bool, plan: LaunchPlan | None = None) -> Launch:
    """Of tensors whose source and target are [rows, columns]."""
    source, target = tensors.source, tensors.target
    plan = plan or row_plan("layernorm" if is_centred else "rmsnorm", source, target)
    block = plan.configuration.block_n
    return Launch(
        norm_kernel,
        plan,
        {
            "tensors": NormTensors(line_of(source), tensors.weight, tensors.bias, line_of(target)),
            "columns": source.shape[1],
            "epsilon": epsilon,
        },
        {"BLOCK": block, "IS_HELD": block >= source.shape[1], "IS_CENTRED": is_centred},
    )


def as_rows(x: Tensor) -> Tensor:
    """[rows, columns] with contiguous columns."""
    return x.contiguous().reshape(-1, x.shape[-1])


@torch.library.custom_op("einfuse::softmax", mutates_args=())
def softmax_operator(x: Tensor) -> Tensor:
    if not x.numel():
        return torch.empty(x.shape, dtype=x.dtype, device=x.device)
    if not runs_triton(x):
        return reference.softmax(x)
    source = as_rows(x)
    target = torch.empty_like(source)
    run(softmax_launch(source, target))
    return target.reshape(x.shape)


@softmax_operator.register_fake
def _(x: Tensor) -> Tensor:
    return torch.empty(x.shape, dtype=x.dtype, device=x.device)


def _differentiate_softmax(ctx: torch.autograd.function.FunctionCtx, gradient: Tensor) -> Tensor:
    (y,) = ctx.saved_tensors
    wide_y, wide_gradient = widen(y), widen(gradient)
    return (wide_y * (wide_gradient - (wide_y * wide_gradient).sum(-1, keepdim=True))).to(y.dtype)


softmax_operator.register_autograd(
    _differentiate_softmax, setup_context=lambda ctx, inputs, output: ctx.save_for_backward(output)
)


def softmax(x: Tensor) -> Tensor:
    """Over the last rank; differentiable, twice too."""
    bind_ranks("x[...,N]", x)
    return softmax_operator(out_of_autocast(x))


@torch.library.custom_op("einfuse::norm", mutates_args=())
def norm_operator(x: Tensor, weight: Tensor, bias: Tensor | None, epsilon: float) -> Tensor:
    """Layernorm with a bias, rmsnorm without."""
    if not x.numel():
        return torch.empty(x.shape, dtype=x.dtype, device=x.device)
    if not runs_triton(x):
        if bias is None:
            return reference.rmsnorm(x, weight, epsilon=epsilon)
        return reference.layernorm(x, weight, bias, epsilon=epsilon)
    source = as_rows(x)
    target = torch.empty_like(source)
    flat = weight.contiguous()
    tensors = NormTensors(source, flat, flat if bias is None else bias.contiguous(), target)
    run(norm_launch(tensors, epsilon, bias is not None))
    return target.reshape(x.shape)


@norm_operator.register_fake
def _(x: Tensor, weight: Tensor, bias: Tensor | None, epsilon: float) -> Tensor:
    return torch.empty(x.shape, dtype=x.dtype, device=x.device)


def _keep_norm(
    ctx: torch.autograd.function.FunctionCtx, inputs: tuple[Tensor, Tensor, Tensor | None, float], output: Tensor
) -> None:
    x, weight, bias, epsilon = inputs
    ctx.save_for_backward(x, weight)
    ctx.epsilon, ctx.is_centred = epsilon, bias is not None


def _differentiate_norm(ctx: torch.autograd.function.FunctionCtx, gradient: Tensor) -> tuple[Tensor | None, ...]:
    x, weight = ctx.saved_tensors
    grad_x, grad_weight, grad_bias = norm_backward(x, weight, gradient, ctx.epsilon, ctx.is_centred)
    return grad_x, grad_weight, grad_bias if ctx.is_centred else None, None


norm_operator.register_autograd(_differentiate_norm, setup_context=_keep_norm)


def layernorm(x: Tensor, weight: Tensor, bias: Tensor, *, epsilon: float = 1e-5) -> Tensor:
    """(x - mean) / sqrt(variance + epsilon) * weight + bias over the last rank; differentiable, twice too.

    Weight and bias may have another dtype than x: everything is computed in fp32, or in fp64 if x is fp64.
    """
    bind_ranks("x[...,N] weight[N] bias[N]", x, weight, bias)
    require_epsilon(epsilon)
    return norm_operator(out_of_autocast(x), weight, bias, epsilon)


def rmsnorm(x: Tensor, weight: Tensor, *, epsilon: float = 1e-5) -> Tensor:
    """x / sqrt(mean(x^2) + epsilon) * weight over the last rank; as layernorm."""
    bind_ranks("x[...,N] weight[N]", x, weight)
    require_epsilon(epsilon)
    return norm_operator(out_of_autocast(x), weight, None, epsilon)


def require_epsilon(epsilon: float) -> None:
    require(epsilon >= 0, f"epsilon must be at least 0, got {epsilon}")
