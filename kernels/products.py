"""Persistent matrix product: one program per SM loops over output tiles in groups that share operands in L2.

C = activation(A B + bias) with A and B of one dtype and fp32 sums. Where the layout allows, operands come through
tensor descriptors made on the device.
"""

# Kernel parameters are device tensors and scalars, which have no Python type.
# mypy: allow-untyped-defs

from typing import Any, NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from kernels.arguments import bind_ranks, in_autocast, require_one_dtype
from kernels.launching import Launch, dtype_name, has_tma_layout, run, runs_triton, target_of
from kernels.numerics import operand, pointers_of, rows_of, sigmoid, stored, tanh, wide
from kernels.plans.planning import plan as plan_of
from kernels.plans.problems import GemmProblem, require
from kernels.plans.products import GROUP_M
from kernels.plans.types import LaunchPlan
from kernels.records import Rows, view_of
from kernels.reference.products import gemm as reference_gemm

ACTIVATIONS = ("none", "relu", "silu", "gelu")


class GemmTensors(NamedTuple):
    """a, b, c: views; bias [columns]."""

    a: Any
    b: Any
    c: Any
    bias: Any


class GemmShape(NamedTuple):
    """group: heads of a per head of b."""

    batch: int
    heads: int
    group: int
    rows: int
    columns: int
    depth: int


@triton.jit
def gemm_kernel(
    tensors, shape, alpha,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr, GROUP: tl.constexpr,
    HAS_BIAS: tl.constexpr, ACTIVATION: tl.constexpr, USES_TMA: tl.constexpr,
):  # fmt: skip
    """c = activation(alpha a b + bias)."""
    a_view, b_view, c_view = tensors.a, tensors.b, tensors.c
    rows = shape.rows
    columns = shape.columns
    depth = shape.depth
    row_tiles, column_tiles = tl.cdiv(rows, BLOCK_M), tl.cdiv(columns, BLOCK_N)
    tiles = row_tiles * column_tiles
    for index in tl.range(tl.program_id(0), shape.batch * shape.heads * tiles, tl.num_programs(0)):
        matrix, tile = index // tiles, index % tiles
        batch, head = wide(matrix // shape.heads), wide(matrix % shape.heads)
        # Tiles are visited down `GROUP` rows of tiles before the next column of tiles.
        first_row_tile = tile // (GROUP * column_tiles) * GROUP
        height = tl.minimum(row_tiles - first_row_tile, GROUP)
        row = (first_row_tile + tile % (GROUP * column_tiles) % height) * BLOCK_M
        column = tile % (GROUP * column_tiles) // height * BLOCK_N
        a = rows_of(a_view, batch, head, 0)
        b = rows_of(b_view, batch, matrix % shape.heads // shape.group, 0)
        total = tl.zeros([BLOCK_M, BLOCK_N], tl.float32)
        if USES_TMA:
            a_tiles = tl.make_tensor_descriptor(a.source, [rows, depth], [a.row, 1], [BLOCK_M, BLOCK_K])
            b_tiles = tl.make_tensor_descriptor(b.source, [depth, columns], [b.row, 1], [BLOCK_K, BLOCK_N])
            for k in tl.range(0, depth, BLOCK_K):
                total = tl.dot(a_tiles.load([row, k]), b_tiles.load([k, column]), total, input_precision="ieee")
        else:
            for k in tl.range(0, depth, BLOCK_K):
                a_tile = _load_part(a, row, k, rows, depth, BLOCK_M, BLOCK_K)
                b_tile = _load_part(b, k, column, depth, columns, BLOCK_K, BLOCK_N)
                total = tl.dot(a_tile, b_tile, total, input_precision="ieee")
        total = total * alpha
        at = column + tl.arange(0, BLOCK_N)
        if HAS_BIAS:
            total += tl.load(tensors.bias + at, mask=at < columns, other=0.0).to(tl.float32)[None, :]
        total = _activate(total, ACTIVATION)
        c = rows_of(c_view, batch, head, 0)
        from_column = Rows(c.source + wide(column) * c.column, c.row, c.column)
        mask = _is_inside(row, column, rows, columns, BLOCK_M, BLOCK_N)
        tl.store(
            pointers_of(from_column, row, BLOCK_M, BLOCK_N, tl.int64),
            stored(total, c.source.dtype.element_ty),
            mask=mask,
        )


@triton.jit
def _is_inside(row, column, rows, columns, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    return (tl.arange(0, ROWS) < rows - row)[:, None] & (tl.arange(0, COLUMNS) < columns - column)[None, :]


@triton.jit
def _load_part(matrix, row, column, rows, columns, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """[ROWS, COLUMNS] from a position, zero beyond the limits."""
    from_column = Rows(matrix.source + wide(column) * matrix.column, matrix.row, matrix.column)
    mask = _is_inside(row, column, rows, columns, ROWS, COLUMNS)
    return operand(tl.load(pointers_of(from_column, row, ROWS, COLUMNS, tl.int64), mask=mask, other=0.0))


@triton.jit
def _activate(x, NAME: tl.constexpr):
    if NAME == "relu":
        x = tl.maximum(x, 0.0)
    elif NAME == "silu":
        x = x * sigmoid(x)
    elif NAME == "gelu":
        x = 0.5 * x * (1 + tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)))
    return x


def gemm_launch(
    operands: tuple[Tensor, Tensor, Tensor], bias: Tensor | None = None, activation: str = "none",
    alpha: float = 1.0, plan: LaunchPlan | None = None,
) -> Launch:  # fmt: skip
    """operands = (a, b, c) as [batch, heads, rows, columns]; b may have fewer heads, each for a group of a's."""
    a, b, c = operands
    problem = GemmProblem(
        a.shape[2], b.shape[3], a.shape[3], dtype_name(a), a.shape[0] * a.shape[1], dtype_name(c),
        has_tma_layout(a) and has_tma_layout(b),
    )  # fmt: skip
    plan = plan or plan_of(problem, target_of(a))[0]
    cut = plan.configuration
    return Launch(
        gemm_kernel,
        plan,
        {
            "tensors": GemmTensors(view_of(a), view_of(b), view_of(c), c if bias is None else bias),
            "shape": GemmShape(a.shape[0], a.shape[1], a.shape[1] // b.shape[1], a.shape[2], b.shape[3], a.shape[3]),
            "alpha": alpha,
        },
        {
            "BLOCK_M": cut.block_m,
            "BLOCK_N": cut.block_n,
            "BLOCK_K": cut.block_k,
            "GROUP": GROUP_M,
            "HAS_BIAS": bias is not None,
            "ACTIVATION": activation,
            "USES_TMA": cut.uses_tma,
        },
    )


@torch.library.custom_op("einfuse::gemm", mutates_args=())
def gemm_operator(a: Tensor, b: Tensor, bias: Tensor | None, activation: str) -> Tensor:
    if not runs_triton(a) or a.shape[1] == 0:  # an empty reduction has no operand to make a descriptor of
        return reference_gemm(a, b, bias, activation)
    c = a.new_empty(a.shape[0], b.shape[1])
    run(
        gemm_launch(
            (a[None, None], b[None, None], c[None, None]), None if bias is None else bias.contiguous(), activation
        )
    )
    return c


@gemm_operator.register_fake
def _(a: Tensor, b: Tensor, bias: Tensor | None, activation: str) -> Tensor:
    return a.new_empty(a.shape[0], b.shape[1])


def gemm(a: Tensor, b: Tensor, bias: Tensor | None = None, activation: str = "none") -> Tensor:
    """activation(a b + bias) of a [M, K], b [K, N], bias [N], any strides; not differentiable.

    The bias may have another dtype: sums are in fp32, or in fp64.
    """
    a, b = in_autocast(a, b)
    bind_ranks("a[M,K] b[K,N] bias[N]", a, b, bias)
    require_one_dtype("a b", a, b)
    require(activation in ACTIVATIONS, f"unknown activation '{activation}', expected one of {', '.join(ACTIVATIONS)}")
    return gemm_operator(a, b, bias, activation)
