"""Gradients of layernorm and rmsnorm, deterministic and without atomics: two launches.

The first computes dX of one row per program and stores the row's mean and inverse deviation; the second adds up dY x^
and dY over blocks of rows, and the partial sums are added afterwards, as in the group rational. A row that does not fit
is read three times in blocks.
"""

# Kernel parameters are device tensors and scalars, which have no Python type.
# mypy: allow-untyped-defs

from functools import partial
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
from kernels.plans.problems import RowProblem, require
from kernels.plans.types import LaunchPlan
from kernels.records import line_of
from kernels.reference.rows import norm_backward as reference_backward


class NormGradient(NamedTuple):
    """x and gradient [rows, columns], weight [columns]."""

    x: Tensor
    weight: Tensor
    gradient: Tensor


class GradientTensors(NamedTuple):
    """source, gradient, target: lines; weight [columns]; means and inverse deviations [rows], fp32."""

    source: Any
    weight: Any
    gradient: Any
    target: Any
    means: Any
    inverses: Any


class WeightTensors(NamedTuple):
    """source, gradient: lines; means and inverses as the first launch left them; partial [blocks of rows, 2,
    columns], fp32."""

    source: Any
    gradient: Any
    means: Any
    inverses: Any
    partial: Any


class Statistics(NamedTuple):
    """Statistics of a row; the mean is zero without centring."""

    mean: Any
    inverse: Any


@triton.jit
def _load(base, start, columns, BLOCK: tl.constexpr):
    at = start + tl.arange(0, BLOCK)
    return operand(tl.load(base + at, mask=at < columns, other=0.0)).to(tl.float32)


@triton.jit
def _statistics(source, columns, epsilon, BLOCK: tl.constexpr, IS_CENTRED: tl.constexpr):
    """Blocks are merged as in the forward."""
    mean = tl.zeros([], tl.float32)
    square = tl.zeros([], tl.float32)
    count = tl.zeros([], tl.float32)
    for start in range(0, columns, BLOCK):
        x = _load(source, start, columns, BLOCK)
        size = tl.minimum(columns - start, BLOCK).to(tl.float32)
        part_mean = tl.zeros([], tl.float32)
        if IS_CENTRED:
            part_mean = tl.sum(x, 0) / size
        centred = tl.where(tl.arange(0, BLOCK) < columns - start, x - part_mean, 0.0)
        difference = part_mean - mean
        square += tl.sum(centred * centred, 0) + difference * difference * (count * size / (count + size))
        mean += difference * (size / (count + size))
        count += size
    return Statistics(mean, 1 / tl.sqrt(square / columns + epsilon))


@triton.jit
def norm_gradient_kernel(
    tensors, columns, epsilon,
    BLOCK: tl.constexpr, IS_CENTRED: tl.constexpr,
):  # fmt: skip
    """dX of one row, and its statistics."""
    weight = tensors.weight
    row = tl.program_id(0)
    source = tensors.source.base + wide(row) * tensors.source.stride
    gradient = tensors.gradient.base + wide(row) * tensors.gradient.stride
    target = tensors.target.base + wide(row) * tensors.target.stride
    statistics = _statistics(source, columns, epsilon, BLOCK, IS_CENTRED)
    mean = statistics.mean
    inverse = statistics.inverse
    tl.store(tensors.means + row, mean)
    tl.store(tensors.inverses + row, inverse)
    first = tl.zeros([], tl.float32)  # sum of h
    second = tl.zeros([], tl.float32)  # sum of h x^
    for start in range(0, columns, BLOCK):
        h = _load(gradient, start, columns, BLOCK) * _load(weight, start, columns, BLOCK)
        first += tl.sum(h, 0)
        second += tl.sum(h * (_load(source, start, columns, BLOCK) - mean) * inverse, 0)
    for start in range(0, columns, BLOCK):
        h = _load(gradient, start, columns, BLOCK) * _load(weight, start, columns, BLOCK)
        scaled = (_load(source, start, columns, BLOCK) - mean) * inverse
        result = h - scaled * (second / columns)
        if IS_CENTRED:
            result -= first / columns
        at = start + tl.arange(0, BLOCK)
        tl.store(target + at, stored(result * inverse, target.dtype.element_ty), mask=at < columns)


@triton.jit
def norm_weights_kernel(
    tensors, rows, columns,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr,
):  # fmt: skip
    """Sums over a block of rows of dY x^ and of dY."""
    row = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)
    column = tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)
    mask = (row < rows)[:, None] & (column < columns)[None, :]
    wide_row = row.to(tl.int64)[:, None]
    source = tensors.source.base + wide_row * tensors.source.stride + column[None, :]
    gradient = tensors.gradient.base + wide_row * tensors.gradient.stride + column[None, :]
    x = operand(tl.load(source, mask=mask, other=0.0)).to(tl.float32)
    grad = operand(tl.load(gradient, mask=mask, other=0.0)).to(tl.float32)
    mean = tl.load(tensors.means + row, mask=row < rows, other=0.0)[:, None]
    inverse = tl.load(tensors.inverses + row, mask=row < rows, other=0.0)[:, None]
    slot = tensors.partial + wide(tl.program_id(0)) * 2 * columns
    tl.store(slot + column, tl.sum(grad * (x - mean) * inverse, 0), mask=column < columns)
    tl.store(slot + columns + column, tl.sum(grad, 0), mask=column < columns)


def norm_backward_launches(
    tensors: NormGradient, epsilon: float, is_centred: bool, plans: tuple[LaunchPlan, ...] = ()
) -> tuple[tuple[Launch, Launch], Tensor, Tensor]:
    """The launches, dX, and the partial sums [blocks of rows, 2, columns] of dWeight and dBias, in fp32."""
    x, weight, gradient = tensors
    operator = "layernorm_bwd" if is_centred else "rmsnorm_bwd"
    first, second = plans or plan_of(RowProblem(operator, x.shape[0], x.shape[1], dtype_name(x)), target_of(x))
    target = torch.empty_like(x)
    means, inverses = (torch.empty(x.shape[0], dtype=torch.float32, device=x.device) for _ in range(2))
    partial = torch.empty(second.grid[0], 2, x.shape[1], dtype=torch.float32, device=x.device)
    of_rows = Launch(
        norm_gradient_kernel,
        first,
        {
            "tensors": GradientTensors(line_of(x), weight, line_of(gradient), line_of(target), means, inverses),
            "columns": x.shape[1],
            "epsilon": epsilon,
        },
        {"BLOCK": first.configuration.block_n, "IS_CENTRED": is_centred},
    )
    of_weights = Launch(
        norm_weights_kernel,
        second,
        {
            "tensors": WeightTensors(line_of(x), line_of(gradient), means, inverses, partial),
            "rows": x.shape[0],
            "columns": x.shape[1],
        },
        {"BLOCK_M": second.configuration.block_m, "BLOCK_N": second.configuration.block_n},
    )
    return (of_rows, of_weights), target, partial


@torch.library.custom_op("einfuse::norm_backward", mutates_args=())
def norm_backward(
    x: Tensor, weight: Tensor, gradient: Tensor, epsilon: float, is_centred: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """dX, dWeight and dBias of layernorm (centred) or rmsnorm, for which dBias has no meaning."""
    bind_ranks("x[...,N] weight[N] gradient[...,N]", x, weight, gradient)
    require(gradient.shape == x.shape, f"expected a gradient of shape {tuple(x.shape)}, got {tuple(gradient.shape)}")
    if not x.numel():
        return torch.empty_like(x), torch.zeros_like(weight), torch.zeros_like(weight)
    if not runs_triton(x):
        return reference_backward(x, weight, gradient, is_centred=is_centred, epsilon=epsilon)
    rows = x.contiguous().reshape(-1, x.shape[-1])
    grad_rows = gradient.contiguous().reshape(-1, x.shape[-1])
    launches, target, partial = norm_backward_launches(
        NormGradient(rows, weight.contiguous(), grad_rows), epsilon, is_centred
    )
    run(*launches)
    total = partial.sum(0)
    return target.reshape(x.shape), total[0].to(weight.dtype, copy=True), total[1].to(weight.dtype, copy=True)


@norm_backward.register_fake
def _(x: Tensor, weight: Tensor, gradient: Tensor, epsilon: float, is_centred: bool) -> tuple[Tensor, Tensor, Tensor]:
    return torch.empty(x.shape, dtype=x.dtype, device=x.device), torch.empty_like(weight), torch.empty_like(weight)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    x, weight, gradient, ctx.epsilon, ctx.is_centred = inputs
    ctx.save_for_backward(x, weight, gradient)


def _differentiate(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
    again = partial(reference_backward, is_centred=ctx.is_centred, epsilon=ctx.epsilon)
    return *gradients_of(again, ctx.saved_tensors, gradients), None, None


norm_backward.register_autograd(_differentiate, setup_context=_keep)
