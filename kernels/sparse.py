"""Block-sparse attention by index list: each block of queries walks the key blocks that its list names.

Selection schemes (top-k of compressed scores, sliding blocks, sinks) differ in how they make the list; this kernel is
the attention that follows. Time is in proportion to the listed blocks.
"""

# Parameters of kernels are tensors and numbers of the device, which have no Python type.
# mypy: allow-untyped-defs

import torch
import triton
import triton.language as tl
from torch import Tensor

from kernels.launching import LOG2_E as LOG2E
from kernels.launching import Launch, dtype_name, run, runs_triton, strides_of, target_of
from kernels.numerics import LN_2, load_rows, narrow, store_rows, wide
from kernels.plans.planning import plan as plan_of
from kernels.plans.problems import BlockSparseProblem, require
from kernels.plans.types import LaunchPlan, next_power_of_two
from kernels.reference.sparse import attend_blocks, mask_of_blocks


@triton.jit
def block_sparse_kernel(
    tensors, strides, shape, factor,
    BLOCK: tl.constexpr, SIZE: tl.constexpr, WIDTH: tl.constexpr, IS_CAUSAL: tl.constexpr,
):  # fmt: skip
    """tensors = (q, k, v, out, lse, indices [B, H, blocks, most], counts [B, H, blocks]); strides of q, k, v, out;
    shape = (heads, group, queries, keys, most)."""
    q_base, k_base, v_base, out_base, lse_base, indices, counts = tensors
    heads, group, queries, keys, most = shape
    block, head, batch = tl.program_id(0), tl.program_id(1), wide(tl.program_id(2))
    line = (batch * heads + head) * tl.num_programs(0) + block
    kv_head = wide(head // group)
    k_base += batch * strides[4] + kv_head * strides[5]
    v_base += batch * strides[8] + kv_head * strides[9]
    first_row = block * BLOCK
    rows = first_row + tl.arange(0, BLOCK)
    q_base += batch * strides[0] + wide(head) * strides[1]
    q = load_rows(q_base, first_row, (strides[2], strides[3]), queries, SIZE, BLOCK, WIDTH, True, False)
    numerator = tl.zeros([BLOCK, WIDTH], tl.float32)
    denominator = tl.zeros([BLOCK], tl.float32)
    peak = tl.full([BLOCK], float("-inf"), tl.float32)
    for entry in tl.range(0, tl.load(counts + line)):
        start = tl.load(indices + line * most + entry) * BLOCK
        k = load_rows(k_base, start, (strides[6], strides[7]), keys, SIZE, BLOCK, WIDTH, True, False)
        v = load_rows(v_base, start, (strides[10], strides[11]), keys, SIZE, BLOCK, WIDTH, True, False)
        columns = start + tl.arange(0, BLOCK)
        visible = (columns < keys)[None, :]
        if IS_CAUSAL:
            visible = visible & (columns[None, :] <= rows[:, None] + (keys - queries))
        scores = tl.where(visible, tl.dot(q, tl.trans(k), input_precision="ieee"), float("-inf"))
        new_peak = tl.maximum(peak, tl.max(scores, 1) * factor)
        shift = tl.where(new_peak == float("-inf"), 0.0, new_peak)
        weights = tl.exp2(scores * factor - shift[:, None])
        correction = tl.exp2(peak - shift)
        denominator = denominator * correction + tl.sum(weights, 1)
        numerator = numerator * correction[:, None]
        numerator = tl.dot(narrow(weights, v_base.dtype.element_ty), v, numerator, input_precision="ieee")
        peak = new_peak
    is_empty = denominator == 0
    safe = tl.where(is_empty, 1.0, denominator)
    out_base += batch * strides[12] + wide(head) * strides[13]
    store_rows(out_base, first_row, (strides[14], strides[15]), queries, numerator / safe[:, None], SIZE, BLOCK, WIDTH)
    lse = tl.where(is_empty, float("-inf"), (peak + tl.log2(safe)) * LN_2)
    tl.store(lse_base + (batch * heads + head) * queries + rows, lse, mask=rows < queries)


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
            "tensors": (q, k, v, out, lse, indices.to(torch.int32).contiguous(), counts.to(torch.int32).contiguous()),
            "strides": strides_of(q, k, v, out),
            "shape": (q.shape[1], q.shape[1] // k.shape[1], q.shape[2], k.shape[2], indices.shape[-1]),
            "factor": LOG2E * q.shape[3] ** -0.5,
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
