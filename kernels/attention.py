"""Softmax attention in one pass over the keys (the 1-pass cascade; FlashAttention-2), forward and its operator.

Each program holds a tile of queries and loops over tiles of keys with a running maximum, denominator and numerator, all
in the base-2 domain: scale * log2(e) is folded into one multiply-add. Keys fall into a masked left edge, an interior
without a mask, and a masked right edge. Log-sum-exp leaves in natural logarithm.
"""

# Kernel parameters are device tensors and scalars, which have no Python type.
# mypy: allow-untyped-defs

from typing import Any, NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula

from kernels.arguments import in_autocast
from kernels.attention_gradients import attention_backward
from kernels.launching import (
    Launch,
    dtype_name,
    empty_output,
    factors_of,
    has_tma_layout,
    require_reach,
    run,
    runs_triton,
    starts_of,
    table_tensor,
    target_of,
)
from kernels.numerics import LN_2, described, is_visible, load_rows, ranges_of, rows_of, store_rows, tanh, wide
from kernels.online import attended, nothing_seen, see, see_sink
from kernels.options import PLAIN, AttentionOptions, check_attention
from kernels.plans.attention import Band, count_visible
from kernels.plans.planning import plan as plan_of
from kernels.plans.problems import AttentionProblem
from kernels.plans.types import LaunchPlan, next_power_of_two
from kernels.records import BlockRange, view_of
from kernels.reference.scaled import attend


class AttentionTensors(NamedTuple):
    """q, k, v, out: views; lse [B, H, Nq]; sinks [H]."""

    q: Any
    k: Any
    v: Any
    out: Any
    lse: Any
    sinks: Any


class AttentionShape(NamedTuple):
    """group: query heads per key-value head; left and right: bounds of the band."""

    heads: int
    group: int
    queries: int
    keys: int
    left: int
    right: int


class Packing(NamedTuple):
    """For a packed batch: (sequence, block) of each program, and where each sequence's queries and keys start."""

    tiles: Any
    query_starts: Any
    key_starts: Any


@triton.jit
def _walk_keys(
    running, q, k_rows, v_rows, rows, stretch, band, factors,
    MASKED: tl.constexpr, HAS_LEFT: tl.constexpr, HAS_RIGHT: tl.constexpr, HAS_SOFTCAP: tl.constexpr,
    HEAD_SIZE: tl.constexpr, VALUE_SIZE: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_D: tl.constexpr,
    BLOCK_V: tl.constexpr, USES_TMA: tl.constexpr, IS_SPECIALISED: tl.constexpr, DTYPE: tl.constexpr,
):  # fmt: skip
    """A range of keys in steps of BLOCK_N; running: the state so far; DTYPE: of the operands."""
    for start in tl.range(stretch.first, stretch.last, BLOCK_N, warp_specialize=IS_SPECIALISED):
        k = load_rows(k_rows, start, band.limit, HEAD_SIZE, BLOCK_N, BLOCK_D, MASKED, USES_TMA)
        scores = tl.dot(q, tl.trans(k), input_precision="ieee")
        if HAS_SOFTCAP:
            scores = tanh(scores * factors.inner)
        if MASKED:
            columns = start + tl.arange(0, BLOCK_N)
            scores = tl.where(is_visible(rows, columns, band, HAS_LEFT, HAS_RIGHT), scores, float("-inf"))
        v = load_rows(v_rows, start, band.limit, VALUE_SIZE, BLOCK_N, BLOCK_V, MASKED, USES_TMA)
        running = see(running, scores, v, factors.outer, MASKED, DTYPE)
    return running


@triton.jit
def attention_forward_kernel(
    tensors, shape, factors, packing,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, HEAD_SIZE: tl.constexpr, VALUE_SIZE: tl.constexpr,
    BLOCK_D: tl.constexpr, BLOCK_V: tl.constexpr, HAS_LEFT: tl.constexpr, HAS_RIGHT: tl.constexpr,
    HAS_TAIL: tl.constexpr, IS_RAGGED: tl.constexpr, HAS_SINKS: tl.constexpr, HAS_SOFTCAP: tl.constexpr,
    USES_TMA: tl.constexpr, IS_SPECIALISED: tl.constexpr,
):  # fmt: skip
    """One tile of queries of one head; takes the records above."""
    queries = shape.queries
    keys = shape.keys
    head = tl.program_id(1)
    batch = tl.program_id(2)
    query_start = 0
    key_start = 0
    if IS_RAGGED:
        sequence = tl.load(packing.tiles + 2 * tl.program_id(0))
        block = tl.load(packing.tiles + 2 * tl.program_id(0) + 1)
        query_start = tl.load(packing.query_starts + sequence)
        queries = tl.load(packing.query_starts + sequence + 1) - query_start
        key_start = tl.load(packing.key_starts + sequence)
        keys = tl.load(packing.key_starts + sequence + 1) - key_start
    elif HAS_RIGHT:  # later tiles see more keys, so they start first
        block = tl.num_programs(0) - 1 - tl.program_id(0)
    else:
        block = tl.program_id(0)
    q_rows = rows_of(tensors.q, batch, head, query_start)
    k_rows = rows_of(tensors.k, batch, head // shape.group, key_start)
    v_rows = rows_of(tensors.v, batch, head // shape.group, key_start)
    if USES_TMA:  # the specialising pass requires a descriptor for every operand, queries included
        q_rows = described(q_rows, queries, HEAD_SIZE, BLOCK_M, BLOCK_D)
        k_rows = described(k_rows, keys, HEAD_SIZE, BLOCK_N, BLOCK_D)
        v_rows = described(v_rows, keys, VALUE_SIZE, BLOCK_N, BLOCK_V)

    first_row = block * BLOCK_M
    rows = first_row + tl.arange(0, BLOCK_M)
    q = load_rows(q_rows, first_row, queries, HEAD_SIZE, BLOCK_M, BLOCK_D, True, USES_TMA)
    band = Band(keys - queries, shape.left, shape.right, keys)
    last_row = tl.minimum(first_row + BLOCK_M, queries) - 1
    ranges = ranges_of(first_row, last_row, band, HAS_LEFT, HAS_RIGHT, BLOCK_N)
    left_edge = BlockRange(ranges.first, ranges.inner_first)
    interior = BlockRange(ranges.inner_first, ranges.inner_last)
    right_edge = BlockRange(ranges.inner_last, ranges.last)
    dtype = tensors.v.base.dtype.element_ty
    running = nothing_seen(BLOCK_M, BLOCK_V)
    if HAS_LEFT:
        running = _walk_keys(running, q, k_rows, v_rows, rows, left_edge, band, factors, True,
                             HAS_LEFT, HAS_RIGHT, HAS_SOFTCAP, HEAD_SIZE, VALUE_SIZE, BLOCK_N, BLOCK_D, BLOCK_V,
                             USES_TMA, False, dtype)  # fmt: skip
    running = _walk_keys(running, q, k_rows, v_rows, rows, interior, band, factors, False,
                         False, False, HAS_SOFTCAP, HEAD_SIZE, VALUE_SIZE, BLOCK_N, BLOCK_D, BLOCK_V,
                         USES_TMA, IS_SPECIALISED, dtype)  # fmt: skip
    if HAS_RIGHT or HAS_TAIL:
        running = _walk_keys(running, q, k_rows, v_rows, rows, right_edge, band, factors, True,
                             HAS_LEFT, HAS_RIGHT, HAS_SOFTCAP, HEAD_SIZE, VALUE_SIZE, BLOCK_N, BLOCK_D, BLOCK_V,
                             USES_TMA, False, dtype)  # fmt: skip
    if HAS_SINKS:
        running = see_sink(running, tl.load(tensors.sinks + head).to(tl.float32) / LN_2)
    result = attended(running)
    store_rows(
        rows_of(tensors.out, batch, head, query_start), first_row, queries, result.out, VALUE_SIZE, BLOCK_M, BLOCK_V
    )
    lse_base = tensors.lse + wide(batch * shape.heads + head) * shape.queries + query_start
    tl.store(lse_base + rows, result.lse * LN_2, mask=rows < queries)


def problem_of(q: Tensor, k: Tensor, v: Tensor, options: AttentionOptions) -> AttentionProblem:
    """The shape to plan for, from tensors [batch, heads, length, size]."""
    left, right = options.bounds
    return AttentionProblem(
        batch=q.shape[0],
        heads=q.shape[1],
        kv_heads=k.shape[1],
        queries=q.shape[2],
        keys=k.shape[2],
        head_size=q.shape[3],
        value_size=v.shape[3],
        dtype=dtype_name(q),
        left=left,
        right=right,
        lengths=options.lengths,
        has_softcap=options.softcap > 0,
        has_tma_layout=all(has_tma_layout(x) for x in (q, k, v)),
    )


def forward_launch(
    q: Tensor, k: Tensor, v: Tensor, options: AttentionOptions, plan: LaunchPlan | None = None
) -> tuple[Launch, Tensor, Tensor]:
    """The launch, and the output and log-sum-exp that it fills; by default with the plan for the tensors' device."""
    require_reach(q=q, k=k, v=v)
    problem = problem_of(q, k, v, options)
    plan = plan or plan_of(problem, target_of(q))[0]
    cut = plan.configuration
    out = empty_output(q, v)
    lse = torch.empty(q.shape[:3], dtype=torch.float32, device=q.device)
    starts = starts_of(options.lengths, q.device) if options.lengths else (lse, lse)
    table = table_tensor(plan, q.device) if options.lengths else lse
    sinks = lse if options.sinks is None else options.sinks.contiguous()
    arguments = {
        "tensors": AttentionTensors(view_of(q), view_of(k), view_of(v), view_of(out), lse, sinks),
        "shape": AttentionShape(
            q.shape[1], q.shape[1] // k.shape[1], q.shape[2], k.shape[2], problem.left, problem.right
        ),
        "factors": factors_of(options, q.shape[3]),
        "packing": Packing(table, starts[0], starts[1]),
    }
    constants = {
        "BLOCK_M": cut.block_m,
        "BLOCK_N": cut.block_n,
        "HEAD_SIZE": problem.head_size,
        "VALUE_SIZE": problem.value_size,
        "BLOCK_D": next_power_of_two(problem.head_size, 16),
        "BLOCK_V": next_power_of_two(problem.value_size, 16),
        "HAS_LEFT": problem.left >= 0,
        "HAS_RIGHT": problem.right >= 0,
        "HAS_TAIL": bool(options.lengths) or problem.keys % cut.block_n != 0,
        "IS_RAGGED": bool(options.lengths),
        "HAS_SINKS": options.sinks is not None,
        "HAS_SOFTCAP": options.softcap > 0,
        "USES_TMA": cut.uses_tma,
        "IS_SPECIALISED": cut.is_specialised,
    }
    return Launch(attention_forward_kernel, plan, arguments, constants), out, lse


@torch.library.custom_op("einfuse::attention", mutates_args=())
def attention_operator(
    q: Tensor, k: Tensor, v: Tensor, sinks: Tensor | None, numbers: list[float]
) -> tuple[Tensor, Tensor]:
    options = AttentionOptions.unpack(numbers, sinks)
    if not runs_triton(q):
        out, lse = attend(q, k, v, options)
        return empty_output(q, v).copy_(out), lse
    launch, out, lse = forward_launch(q, k, v, options)
    run(launch)
    return out, lse


@attention_operator.register_fake
def _(q: Tensor, k: Tensor, v: Tensor, sinks: Tensor | None, numbers: list[float]) -> tuple[Tensor, Tensor]:
    lse_dtype = torch.float64 if q.dtype == torch.float64 else torch.float32
    return empty_output(q, v), q.new_empty(q.shape[:3], dtype=lse_dtype)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    q, k, v, sinks, ctx.numbers = inputs
    ctx.save_for_backward(q, k, v, *output, *([] if sinks is None else [sinks]))


def _differentiate(ctx: Any, grad_out: Tensor, grad_lse: Tensor) -> tuple[Tensor | None, ...]:
    *kept, out_or_lse = ctx.saved_tensors
    has_sinks = len(kept) == 5
    saved = kept if has_sinks else [*kept, out_or_lse]
    sinks = out_or_lse if has_sinks else None
    grad_q, grad_k, grad_v, grad_sinks = attention_backward(saved, [grad_out, grad_lse], sinks, ctx.numbers)
    return grad_q, grad_k, grad_v, grad_sinks if has_sinks else None, None


attention_operator.register_autograd(_differentiate, setup_context=_keep)


@register_flop_formula(torch.ops.einfuse.attention)
def count_flops(*arguments: Any, **_: Any) -> int:
    """2 (D + Dv) per visible pair, as FlashAttention's benchmarks count; takes shapes, not tensors."""
    q, k, v, _sinks, numbers = arguments
    options = AttentionOptions.unpack(numbers)
    left, right = options.bounds
    problem = AttentionProblem(q[0], q[1], k[1], q[2], k[2], q[3], v[3], "fp16", left, right, options.lengths)
    return problem_flops(problem)


def problem_flops(problem: AttentionProblem) -> int:
    pairs = sum(
        count_visible(0, queries - 1, Band(keys - queries, problem.left, problem.right, keys))
        for queries, keys in problem.segments
    )
    return 2 * problem.heads * pairs * (problem.head_size + problem.value_size)


def attention_with_lse(q: Tensor, k: Tensor, v: Tensor, options: AttentionOptions = PLAIN) -> tuple[Tensor, Tensor]:
    """Output [B, H, Nq, Dv] and natural log-sum-exp [B, H, Nq]; both are differentiable."""
    q, k, v = in_autocast(q, k, v)
    check_attention(q, k, v, options)
    return attention_operator(q, k, v, options.sinks, options.pack(q.shape[3]))


def attention(q: Tensor, k: Tensor, v: Tensor, options: AttentionOptions = PLAIN) -> Tensor:
    """softmax(mask(scale Q K^T)) V of q [B, H, Nq, D], k [B, Hkv, Nk, D], v [B, Hkv, Nk, Dv], any strides."""
    return attention_with_lse(q, k, v, options)[0]
