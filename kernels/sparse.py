"""Block-sparse attention by index list: each block of queries walks the key blocks that its list names.

Selection schemes (top-k of compressed scores, sliding blocks, sinks) differ in how they make the list; this kernel is
the attention that follows. Time is in proportion to the listed blocks.
"""

# Parameters of kernels are tensors and numbers of the device, which have no Python type.
# mypy: allow-untyped-defs

from typing import Any, NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from kernels.launching import LOG2_E, Launch, dtype_name, run, runs_triton, target_of
from kernels.numerics import LN_2, load_rows, rows_of, store_rows, wide
from kernels.online import attended, nothing_seen, see
from kernels.plans.planning import plan as plan_of
from kernels.plans.problems import BlockSparseProblem, require
from kernels.plans.types import LaunchPlan, next_power_of_two
from kernels.records import view_of
from kernels.reference.sparse import attend_blocks, mask_of_blocks


class SparseTensors(NamedTuple):
    """q, k, v, out: views; lse [B, H, Nq]; indices [B, H, blocks, most] and counts [B, H, blocks], int32."""

    q: Any
    k: Any
    v: Any
    out: Any
    lse: Any
    indices: Any
    counts: Any


class SparseShape(NamedTuple):
    """group: query heads of a key-value head; most: entries of a list."""

    heads: int
    group: int
    queries: int
    keys: int
    most: int


@triton.jit
def block_sparse_kernel(
    tensors, shape, factor,
    BLOCK: tl.constexpr, SIZE: tl.constexpr, WIDTH: tl.constexpr, IS_CAUSAL: tl.constexpr,
):  # fmt: skip
    """One block of queries of one head. A block of keys that does not exist is not read: its scores are NaN, as are all
    where a count is out of range."""
    queries = shape.queries
    keys = shape.keys
    block, head, batch = tl.program_id(0), tl.program_id(1), wide(tl.program_id(2))
    line = (batch * shape.heads + head) * tl.num_programs(0) + block
    k_rows = rows_of(tensors.k, batch, head // shape.group, 0)
    v_rows = rows_of(tensors.v, batch, head // shape.group, 0)
    first_row = block * BLOCK
    rows = first_row + tl.arange(0, BLOCK)
    q = load_rows(rows_of(tensors.q, batch, head, 0), first_row, queries, SIZE, BLOCK, WIDTH, True, False)
    count = tl.load(tensors.counts + line)
    listed = tl.minimum(count, shape.most)
    running = nothing_seen(BLOCK, WIDTH)
    for entry in tl.range(0, listed):
        index = tl.load(tensors.indices + line * shape.most + entry)
        is_there = (index >= 0) & (index < tl.cdiv(keys, BLOCK))
        start = tl.where(is_there, index, 0) * BLOCK
        limit = tl.where(is_there, keys, 0)
        k = load_rows(k_rows, start, limit, SIZE, BLOCK, WIDTH, True, False)
        v = load_rows(v_rows, start, limit, SIZE, BLOCK, WIDTH, True, False)
        columns = start + tl.arange(0, BLOCK)
        visible = (columns < keys)[None, :]
        if IS_CAUSAL:
            visible = visible & (columns[None, :] <= rows[:, None] + (keys - queries))
        scores = tl.where(visible, tl.dot(q, tl.trans(k), input_precision="ieee"), float("-inf"))
        scores = tl.where(is_there, scores, float("nan"))
        running = see(running, scores, v, factor, True, tensors.v.base.dtype.element_ty)
    result = attended(running)
    is_counted = (count >= 0) & (count <= shape.most)
    out = tl.where(is_counted, result.out, float("nan"))
    store_rows(rows_of(tensors.out, batch, head, 0), first_row, queries, out, SIZE, BLOCK, WIDTH)
    lse = tl.where(is_counted, result.lse * LN_2, float("nan"))
    tl.store(tensors.lse + (batch * shape.heads + head) * queries + rows, lse, mask=rows < queries)


def block_sparse_launch(
    qkv: tuple[Tensor, Tensor, Tensor], blocks: tuple[Tensor, Tensor], block_size: int, is_causal: bool,
    plan: LaunchPlan | None = None,
) -> tuple[Launch, Tensor, Tensor]:  # fmt: skip
    """blocks = (indices, counts). Without a plan, one whose tiles assume full lists: counting would wait for the
    device."""
    q, k, v = qkv
    indices, counts = blocks
    listed = (indices.shape[-1],) * counts.numel()
    problem = BlockSparseProblem(
        q.shape[0],
        q.shape[1],
        k.shape[1],
        q.shape[2],
        k.shape[2],
        q.shape[3],
        dtype_name(q),
        block_size,
        is_causal,
        listed,
    )
    plan = plan or plan_of(problem, target_of(q))[0]
    out = torch.empty_like(q)
    lse = torch.empty(q.shape[:3], dtype=torch.float32, device=q.device)
    launch = Launch(
        block_sparse_kernel,
        plan,
        {
            "tensors": SparseTensors(
                view_of(q),
                view_of(k),
                view_of(v),
                view_of(out),
                lse,
                indices.to(torch.int32).contiguous(),
                counts.to(torch.int32).contiguous(),
            ),
            "shape": SparseShape(q.shape[1], q.shape[1] // k.shape[1], q.shape[2], k.shape[2], indices.shape[-1]),
            "factor": LOG2_E * q.shape[3] ** -0.5,
        },
        {
            "BLOCK": block_size,
            "SIZE": q.shape[3],
            "WIDTH": next_power_of_two(q.shape[3], 16),
            "IS_CAUSAL": is_causal,
        },
    )
    return launch, out, lse


@torch.library.custom_op("einfuse::block_sparse_attention", mutates_args=())
def block_sparse_operator(
    qkv: list[Tensor], indices: Tensor, counts: Tensor, block_size: int, is_causal: bool
) -> tuple[Tensor, Tensor]:
    q, k, v = qkv
    if runs_triton(q):
        launch, out, lse = block_sparse_launch((q, k, v), (indices, counts), block_size, is_causal)
        run(launch)
        return out, lse
    mask = mask_of_blocks(indices, counts, (q.shape[2], k.shape[2]), block_size)
    out, lse = attend_blocks(q, k, v, mask, is_causal)
    return torch.empty_like(q).copy_(out), lse


@block_sparse_operator.register_fake
def _(qkv: list[Tensor], indices: Tensor, counts: Tensor, block_size: int, is_causal: bool) -> tuple[Tensor, Tensor]:
    q = qkv[0]
    lse_dtype = torch.float64 if q.dtype == torch.float64 else torch.float32
    return torch.empty_like(q), q.new_empty(q.shape[:3], dtype=lse_dtype)


def block_sparse_attention(
    qkv: tuple[Tensor, Tensor, Tensor],
    indices: Tensor,
    counts: Tensor,
    *,
    block_size: int = 64,
    is_causal: bool = False,
) -> tuple[Tensor, Tensor]:
    """Output and natural log-sum-exp of qkv = (q [B, H, Nq, D], k and v [B, Hkv, Nk, D]); not differentiable.

    indices [B, H, blocks of queries, most]: key blocks, the first counts [B, H, blocks of queries] of each list count.
    Entries must be distinct; the scale is 1/sqrt(D).
    """
    q, k, v = qkv
    blocks = -(-q.shape[2] // block_size)
    require(
        k.shape == v.shape and q.shape[3] == k.shape[3],
        "block-sparse attention takes k and v of one shape, q of their head size",
    )
    require(
        tuple(counts.shape) == (*q.shape[:2], blocks) and indices.shape[:3] == counts.shape,
        f"expected counts {(*q.shape[:2], blocks)} and indices of these ranks, "
        f"got {tuple(counts.shape)} and {tuple(indices.shape)}",
    )
    return block_sparse_operator(list(qkv), indices, counts, block_size, is_causal)
