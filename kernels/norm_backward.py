"""Gradients of layernorm and rmsnorm, deterministic and without atomics: two launches.

The first makes dX of one row per program and leaves the row's mean and inverse deviation; the second adds up dY x^ and
dY over blocks of rows, and the partial sums are added afterwards, as the group rational does. A row that does not fit
is read three times in blocks.
"""

# Parameters of kernels are tensors and numbers of the device, which have no Python type.
# mypy: allow-untyped-defs

import torch
import triton
import triton.language as tl
from torch import Tensor

from kernels.launching import Launch, dtype_name, run, runs_triton, target_of
from kernels.numerics import operand, stored, wide
from kernels.plans.planning import plan as plan_of
from kernels.plans.problems import RowProblem
from kernels.plans.types import LaunchPlan
from kernels.reference.rows import norm_backward as reference_backward


@triton.jit
def _load(base, start, columns, BLOCK: tl.constexpr):
    at = start + tl.arange(0, BLOCK)
    return operand(tl.load(base + at, mask=at < columns, other=0.0)).to(tl.float32)


@triton.jit
def _statistics(source, columns, epsilon, BLOCK: tl.constexpr, IS_CENTRED: tl.constexpr):
    """Mean (zero where it is not centred) and inverse deviation; blocks are merged as in the forward."""
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
    return mean, 1 / tl.sqrt(square / columns + epsilon)


@triton.jit
def norm_gradient_kernel(
    tensors, strides, columns, epsilon,
    BLOCK: tl.constexpr, IS_CENTRED: tl.constexpr,
):  # fmt: skip
    """tensors = (source, weight, gradient, target, means, inverse deviations); strides between rows of source,
    gradient and target."""
    source, weight, gradient, target, means, inverses = tensors
    row = tl.program_id(0)
    source += wide(row) * strides[0]
    gradient += wide(row) * strides[1]
    target += wide(row) * strides[2]
    mean, inverse = _statistics(source, columns, epsilon, BLOCK, IS_CENTRED)
    tl.store(means + row, mean)
    tl.store(inverses + row, inverse)
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
    tensors, strides, shape,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr,
):  # fmt: skip
    """tensors = (source, gradient, means, inverse deviations, partial [blocks of rows, 2, columns]): sums over a block
    of rows of dY x^ and of dY; strides between rows of source and gradient; shape = (rows, columns)."""
    source, gradient, means, inverses, partial = tensors
    rows, columns = shape
    row = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)
    column = tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)
    mask = (row < rows)[:, None] & (column < columns)[None, :]
    wide_row = row.to(tl.int64)[:, None]
    x = operand(tl.load(source + wide_row * strides[0] + column[None, :], mask=mask, other=0.0)).to(tl.float32)
    grad = operand(tl.load(gradient + wide_row * strides[1] + column[None, :], mask=mask, other=0.0)).to(tl.float32)
    mean = tl.load(means + row, mask=row < rows, other=0.0)[:, None]
    inverse = tl.load(inverses + row, mask=row < rows, other=0.0)[:, None]
    slot = partial + wide(tl.program_id(0)) * 2 * columns
    tl.store(slot + column, tl.sum(grad * (x - mean) * inverse, 0), mask=column < columns)
    tl.store(slot + columns + column, tl.sum(grad, 0), mask=column < columns)


def norm_backward_launches(
    tensors: tuple[Tensor, Tensor, Tensor], epsilon: float, is_centred: bool, plans: tuple[LaunchPlan, ...] = ()
) -> tuple[tuple[Launch, Launch], Tensor, Tensor]:
    """tensors = (x, weight, gradient), x and gradient [rows, columns]; the launches, dX, and the partial sums [blocks
    of rows, 2, columns] of dWeight and dBias, in fp32."""
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
            "tensors": (x, weight, gradient, target, means, inverses),
            "strides": (x.stride(0), gradient.stride(0), target.stride(0)),
            "columns": x.shape[1],
            "epsilon": epsilon,
        },
        {"BLOCK": first.configuration.block_n, "IS_CENTRED": is_centred},
    )
    of_weights = Launch(
        norm_weights_kernel,
        second,
        {
            "tensors": (x, gradient, means, inverses, partial),
            "strides": (x.stride(0), gradient.stride(0)),
            "shape": tuple(x.shape),
        },
        {"BLOCK_M": second.configuration.block_m, "BLOCK_N": second.configuration.block_n},
    )
    return (of_rows, of_weights), target, partial


@torch.library.custom_op("einfuse::norm_backward", mutates_args=())
def norm_backward(
    x: Tensor, weight: Tensor, gradient: Tensor, epsilon: float, is_centred: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """dX, dWeight and dBias of layernorm (centred) or rmsnorm, whose last has no meaning there."""
    if not runs_triton(x):
        return reference_backward(x, weight, gradient, is_centred=is_centred, epsilon=epsilon)
    rows = x.contiguous().reshape(-1, x.shape[-1])
    grad_rows = gradient.contiguous().reshape(-1, x.shape[-1])
    launches, target, partial = norm_backward_launches((rows, weight.contiguous(), grad_rows), epsilon, is_centred)
    run(*launches)
    total = partial.sum(0)
    return target.reshape(x.shape), total[0].to(weight.dtype, copy=True), total[1].to(weight.dtype, copy=True)


@norm_backward.register_fake
def _(x: Tensor, weight: Tensor, gradient: Tensor, epsilon: float, is_centred: bool) -> tuple[Tensor, Tensor, Tensor]:
    return torch.empty(x.shape, dtype=x.dtype, device=x.device), torch.empty_like(weight), torch.empty_like(weight)
