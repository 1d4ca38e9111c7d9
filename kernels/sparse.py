"""Block-sparse attention by index list: each block of queries loops over the key blocks in its list.

Selection schemes (top-k of compressed scores, sliding blocks, sinks) differ in how they build the list; this kernel is
the attention that follows. Time is proportional to the listed blocks.
"""

# Kernel parameters are device tensors and scalars, which have no Python type.
# mypy: allow-untyped-defs

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from kernels.arguments import (
    Check,
    bind_ranks,
    check_numbers,
    in_autocast,
    is_read,
    require_check,
    require_groups,
    require_one_dtype,
    to_int32,
)
from kernels.launching import LOG2_E, Launch, dtype_name, require_reach, run, runs_triton, target_of
from kernels.numerics import LN_2, load_rows, rows_of, store_rows, wide
from kernels.online import attended, nothing_seen, see
from kernels.options import require_head_sizes
from kernels.plans.planning import plan as plan_of
from kernels.plans.problems import BlockSparseProblem, require
from kernels.plans.types import LaunchPlan, ceil_div, next_power_of_two
from kernels.records import QKV, view_of
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
    """group: query heads per key-value head; most: entries of a list."""

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
    scores if a count is out of range."""
    out_view = tensors.out
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
    store_rows(rows_of(out_view, batch, head, 0), first_row, queries, out, SIZE, BLOCK, WIDTH)
    lse = tl.where(is_counted, result.lse * LN_2, float("nan"))
    tl.store(tensors.lse + (batch * shape.heads + head) * queries + rows, lse, mask=rows < queries)


@dataclass(frozen=True, eq=False)
class KeyBlocks:
    """Which blocks of keys each block of queries sees.

    indices [B, H, blocks of queries, most], int32 or int64: of each list the first `counts` [B, H, blocks of queries]
    count, and are distinct. size: rows of a block, of queries and of keys: 16, 32, 64 or 128. check: of these numbers,
    see `kernels.arguments`; where one is out of range and was not checked, nothing is read and the rows become NaN.
    """

    indices: Tensor
    counts: Tensor
    size: int = 64
    check: Check = "host"

    def __post_init__(self) -> None:
        require(self.size in (16, 32, 64, 128), f"blocks of 16, 32, 64 or 128 are supported, got {self.size}")
        require_check(self.check)


def block_sparse_launch(
    qkv: QKV, blocks: KeyBlocks, is_causal: bool, plan: LaunchPlan | None = None
) -> tuple[Launch, Tensor, Tensor]:
    """The default plan assumes full lists, because counting would wait for the device."""
    q, k, v = qkv
    require_reach(q=q, k=k, v=v)
    most = blocks.indices.shape[-1]
    problem = BlockSparseProblem(
        q.shape[0],
        q.shape[1],
        k.shape[1],
        q.shape[2],
        k.shape[2],
        q.shape[3],
        dtype_name(q),
        blocks.size,
        is_causal,
        (most,) * blocks.counts.numel(),
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
                to_int32(blocks.indices, q.device),
                to_int32(blocks.counts, q.device),
            ),
            "shape": SparseShape(q.shape[1], q.shape[1] // k.shape[1], q.shape[2], k.shape[2], most),
            "factor": LOG2_E * q.shape[3] ** -0.5,
        },
        {
            "BLOCK": blocks.size,
            "SIZE": q.shape[3],
            "WIDTH": next_power_of_two(q.shape[3], 16),
            "IS_CAUSAL": is_causal,
        },
    )
    return launch, out, lse


@torch.library.custom_op("einfuse::block_sparse_attention", mutates_args=())
def block_sparse_operator(
    qkv: list[Tensor], lists: list[Tensor], block_size: int, is_causal: bool, is_read_back: bool
) -> tuple[Tensor, Tensor]:
    """lists = [indices, counts]; is_read_back: they are checked on the device too."""
    q, k, v = qkv
    blocks = KeyBlocks(lists[0], lists[1], block_size, "device" if is_read_back else "host")
    if is_read(blocks.counts, blocks.check) or not runs_triton(q):
        check_lists(blocks, k.shape[2])
    if runs_triton(q):
        launch, out, lse = block_sparse_launch(QKV(q, k, v), blocks, is_causal)
        run(launch)
        return out, lse
    mask = mask_of_blocks(blocks.indices, blocks.counts, (q.shape[2], k.shape[2]), block_size)
    out, lse = attend_blocks(q, k, v, mask, is_causal)
    return torch.empty_like(q).copy_(out), lse


def check_lists(blocks: KeyBlocks, keys: int) -> None:
    """Check that counts are within their lists, and that valid entries exist and are distinct."""
    indices, counts = blocks.indices, blocks.counts
    most = indices.shape[-1]
    everything = torch.ones_like(counts, dtype=torch.bool)
    check_numbers("counts", counts, most + 1, everything, "a count of")
    counted = torch.arange(most, device=indices.device) < counts[..., None]
    check_numbers("indices", indices, ceil_div(keys, blocks.size), counted, "block")
    # Invalid entries become distinct numbers below all blocks.
    beside = -1 - torch.arange(most, device=indices.device)
    ordered = torch.where(counted, indices.long(), beside).sort(-1).values
    repeated = (ordered[..., 1:] == ordered[..., :-1]).nonzero()
    if repeated.numel():
        *place, entry = repeated[0].tolist()
        raise ValueError(f"indices{place} lists block {int(ordered[(*place, entry)])} more than once")


@block_sparse_operator.register_fake
def _(
    qkv: list[Tensor], lists: list[Tensor], block_size: int, is_causal: bool, is_read_back: bool
) -> tuple[Tensor, Tensor]:
    q = qkv[0]
    lse_dtype = torch.float64 if q.dtype == torch.float64 else torch.float32
    return torch.empty_like(q), q.new_empty(q.shape[:3], dtype=lse_dtype)


def block_sparse_attention(
    q: Tensor, k: Tensor, v: Tensor, blocks: KeyBlocks, *, is_causal: bool = False
) -> tuple[Tensor, Tensor]:
    """Output and natural log-sum-exp of q [B, H, Nq, D], k and v [B, Hkv, Nk, D], over the listed blocks; the scale is
    1/sqrt(D); not differentiable."""
    q, k, v = in_autocast(q, k, v)
    sizes = bind_ranks("q[B,H,Nq,D] k[B,Hkv,Nk,D] v[B,Hkv,Nk,D]", q, k, v)
    require_one_dtype("q k v", q, k, v)
    require_groups(sizes["H"], sizes["Hkv"])
    require_head_sizes(sizes["D"], sizes["D"])
    bind_ranks("q[B,H,Nq,D] counts[B,H,blocks]:int indices[B,H,blocks,most]:int", q, blocks.counts, blocks.indices)
    count = ceil_div(sizes["Nq"], blocks.size)
    require(
        blocks.counts.shape[2] == count,
        f"expected lists for {count} blocks of {blocks.size} queries, got counts of shape {tuple(blocks.counts.shape)}",
    )
    lists = [blocks.indices, blocks.counts]
    return block_sparse_operator([q, k, v], lists, blocks.size, is_causal, blocks.check == "device")
