"""Decode attention: few queries over a long cache, the cache cut into spans and partial results merged.

The query heads that share a key-value head are packed into the rows of one tile, so each key is read once. One program
walks the spans that the plan gives it (one span under split-KV; under stream-K an equal number of key tiles of whatever
heads) and writes a partial output and log-sum-exp per span; a second launch merges the spans of a head. Merging is
associative: any cut gives the same result up to rounding.
"""

# Parameters of kernels are tensors and numbers of the device, which have no Python type.
# mypy: allow-untyped-defs

from dataclasses import dataclass
from itertools import groupby

import torch
import triton
import triton.language as tl
from torch import Tensor

from kernels.launching import LOG2_E as LOG2E
from kernels.launching import Launch, dtype_name, run, runs_triton, strides_of, target_of
from kernels.numerics import LN_2, narrow, operand, stored, tanh, wide
from kernels.options import PLAIN, AttentionOptions
from kernels.plans.planning import plan as plan_of
from kernels.plans.problems import DecodeProblem, require
from kernels.plans.types import LaunchPlan, next_power_of_two
from kernels.reference.scaled import attend_decode, gather_pages


@dataclass(frozen=True, eq=False)
class Cache:
    """Where the keys and values of each sequence lie.

    lengths: keys of each sequence. table: of a paged cache, the page numbers int32 [B, pages of a sequence]; keys and
    values are then [pages, page size, Hkv, D], otherwise [B, Hkv, N, D]. splits: spans per (sequence, head), or
    programs under stream-K; 0 lets the plan choose.
    """

    lengths: tuple[int, ...]
    table: Tensor | None = None
    splits: int = 0
    is_stream_k: bool = False


@triton.jit
def decode_split_kernel(
    tensors, strides, shape, factors, tables,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, HEAD_SIZE: tl.constexpr, VALUE_SIZE: tl.constexpr,
    BLOCK_D: tl.constexpr, BLOCK_V: tl.constexpr, HAS_LEFT: tl.constexpr, HAS_RIGHT: tl.constexpr,
    HAS_SOFTCAP: tl.constexpr, PAGE_SIZE: tl.constexpr,
):  # fmt: skip
    """tensors = (q, k, v, partial outputs [spans, rows, Dv], partial log2-sum-exps [spans, rows]); strides of q, k, v
    with k and v as [batch or page, head, position, column]; shape = (rows, queries, left, right); tables = (spans,
    first span of each program, lengths, pages, pages of a sequence)."""
    q_base, k_base, v_base, out_base, lse_base = tensors
    rows_count, queries, left, right = shape
    factor, inner = factors
    spans, first_span, lengths, pages, pages_of_sequence = tables
    rows, keys_in = tl.arange(0, BLOCK_M), tl.arange(0, BLOCK_N)
    head_columns, value_columns = tl.arange(0, BLOCK_D), tl.arange(0, BLOCK_V)
    for span in range(tl.load(first_span + tl.program_id(0)), tl.load(first_span + tl.program_id(0) + 1)):
        sequence = tl.load(spans + 5 * span + 1)
        kv_head = wide(tl.load(spans + 5 * span + 2))
        first_key, last_key = tl.load(spans + 5 * span + 3), tl.load(spans + 5 * span + 4)
        length = tl.load(lengths + sequence)
        # Row r is query r % queries of head r // queries of the group.
        row_heads = kv_head * (rows_count // queries) + rows // queries
        row_queries = rows % queries
        q_at = (
            q_base + wide(sequence) * strides[0] + row_heads[:, None] * strides[1] + row_queries[:, None] * strides[2]
        )
        q_mask = (rows < rows_count)[:, None] & (head_columns < HEAD_SIZE)[None, :]
        q = operand(tl.load(q_at + head_columns[None, :] * strides[3], mask=q_mask, other=0.0))
        positions = row_queries + length - queries  # of each row among the keys
        k_head, v_head = k_base + kv_head * strides[5], v_base + kv_head * strides[9]
        if PAGE_SIZE == 0:
            k_head += wide(sequence) * strides[4]
            v_head += wide(sequence) * strides[8]
        numerator = tl.zeros([BLOCK_M, BLOCK_V], tl.float32)
        denominator = tl.zeros([BLOCK_M], tl.float32)
        peak = tl.full([BLOCK_M], float("-inf"), tl.float32)
        for start in tl.range(first_key, last_key, BLOCK_N):
            at = start + keys_in
            if PAGE_SIZE == 0:
                k_rows = k_head + at.to(tl.int64) * strides[6]
                v_rows = v_head + at.to(tl.int64) * strides[10]
            else:
                entries = pages + wide(sequence) * pages_of_sequence + at // PAGE_SIZE
                page = tl.load(entries, mask=at < last_key, other=0).to(tl.int64)
                k_rows = k_head + page * strides[4] + (at % PAGE_SIZE) * strides[6]
                v_rows = v_head + page * strides[8] + (at % PAGE_SIZE) * strides[10]
            k_mask = (at < last_key)[:, None] & (head_columns < HEAD_SIZE)[None, :]
            v_mask = (at < last_key)[:, None] & (value_columns < VALUE_SIZE)[None, :]
            k = operand(tl.load(k_rows[:, None] + head_columns[None, :] * strides[7], mask=k_mask, other=0.0))
            v = operand(tl.load(v_rows[:, None] + value_columns[None, :] * strides[11], mask=v_mask, other=0.0))
            scores = tl.dot(q, tl.trans(k), input_precision="ieee")
            if HAS_SOFTCAP:
                scores = tanh(scores * inner)
            visible = (at < last_key)[None, :]
            if HAS_LEFT:
                visible = visible & (at[None, :] >= positions[:, None] - left)
            if HAS_RIGHT:
                visible = visible & (at[None, :] <= positions[:, None] + right)
            scores = tl.where(visible, scores, float("-inf"))
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
        at_row = wide(span) * rows_count + rows
        out_at = out_base + at_row[:, None] * VALUE_SIZE + value_columns[None, :]
        out_mask = (rows < rows_count)[:, None] & (value_columns < VALUE_SIZE)[None, :]
        tl.store(out_at, numerator / safe[:, None], mask=out_mask)
        lse = tl.where(is_empty, float("-inf"), peak + tl.log2(safe))
        tl.store(lse_base + at_row, lse, mask=rows < rows_count)


@triton.jit
def decode_merge_kernel(
    tensors, strides, shape, first_span_of_head,
    VALUE_SIZE: tl.constexpr, BLOCK_V: tl.constexpr, BLOCK_SPANS: tl.constexpr, HAS_SINKS: tl.constexpr,
):  # fmt: skip
    """tensors = (partial outputs, partial log2-sum-exps, sinks, out, lse); strides of out; shape = (rows, queries,
    key-value heads). One program per row of one (sequence, key-value head)."""
    partial_out, partial_lse, sinks, out_base, lse_base = tensors
    rows_count, queries, kv_heads = shape
    row, pair = tl.program_id(0), tl.program_id(1)
    first, last = tl.load(first_span_of_head + pair), tl.load(first_span_of_head + pair + 1)
    group = rows_count // queries
    head = pair % kv_heads * group + row // queries
    columns = tl.arange(0, BLOCK_V)
    peak = tl.full([], float("-inf"), tl.float32)
    denominator = tl.zeros([], tl.float32)
    numerator = tl.zeros([BLOCK_V], tl.float32)
    for start in range(first, last, BLOCK_SPANS):
        spans = start + tl.arange(0, BLOCK_SPANS)
        at = spans.to(tl.int64) * rows_count + row
        lse = tl.load(partial_lse + at, mask=spans < last, other=float("-inf"))
        mask = (spans < last)[:, None] & (columns < VALUE_SIZE)[None, :]
        out = tl.load(partial_out + at[:, None] * VALUE_SIZE + columns[None, :], mask=mask, other=0.0)
        new_peak = tl.maximum(peak, tl.max(lse, 0))
        shift = tl.where(new_peak == float("-inf"), 0.0, new_peak)
        weights = tl.exp2(lse - shift)
        correction = tl.exp2(peak - shift)
        numerator = numerator * correction + tl.sum(weights[:, None] * out, 0)
        denominator = denominator * correction + tl.sum(weights, 0)
        peak = new_peak
    if HAS_SINKS:
        sink = tl.load(sinks + head).to(tl.float32) / LN_2
        new_peak = tl.maximum(peak, sink)
        correction = tl.exp2(peak - new_peak)
        numerator = numerator * correction
        denominator = denominator * correction + tl.exp2(sink - new_peak)
        peak = new_peak
    is_empty = denominator == 0
    safe = tl.where(is_empty, 1.0, denominator)
    out_at = out_base + wide(pair // kv_heads) * strides[0] + wide(head) * strides[1] + (row % queries) * strides[2]
    tl.store(
        out_at + columns * strides[3], stored(numerator / safe, out_base.dtype.element_ty), mask=columns < VALUE_SIZE
    )
    lse = tl.where(is_empty, float("-inf"), (peak + tl.log2(safe)) * LN_2)
    tl.store(lse_base + wide(pair // kv_heads * kv_heads * group + head) * queries + row % queries, lse)


def decode_launches(
    q: Tensor, kv: tuple[Tensor, Tensor], cache: Cache, options: AttentionOptions, plans: tuple[LaunchPlan, ...] = ()
) -> tuple[tuple[Launch, Launch], Tensor, Tensor]:
    """The split and the merge launch, the output and the log-sum-exp; k and v as [batch or page, head, position,
    size]."""
    k, v = kv
    left, right = options.bounds
    problem = DecodeProblem(
        cache.lengths, q.shape[1], k.shape[1], q.shape[2], q.shape[3], v.shape[3], dtype_name(q), left, right,
        cache.splits, cache.is_stream_k, 0 if cache.table is None else k.shape[2], options.softcap > 0,
    )  # fmt: skip
    split, merge = plans or plan_of(problem, target_of(q))
    cut, spans = split.configuration, split.table
    partial_out = torch.empty(len(spans), problem.rows, problem.value_size, dtype=torch.float32, device=q.device)
    partial_lse = torch.empty(len(spans), problem.rows, dtype=torch.float32, device=q.device)
    out = q.new_empty(*q.shape[:3], v.shape[3])
    lse = torch.empty(q.shape[:3], dtype=torch.float32, device=q.device)
    scale = options.scale_for(q.shape[3])
    factors = (options.softcap * LOG2E, scale / options.softcap) if options.softcap else (scale * LOG2E, 1.0)
    integers = {"dtype": torch.int32, "device": q.device}
    pages = cache.table if cache.table is not None else torch.zeros(1, 1, **integers)
    tables = (
        torch.tensor(spans, **integers),
        torch.tensor(starts_by(spans, slice(0, 1)), **integers),
        torch.tensor(cache.lengths, **integers),
        pages.to(torch.int32).contiguous(),
        pages.shape[1],
    )
    sizes = {"VALUE_SIZE": problem.value_size, "BLOCK_V": next_power_of_two(problem.value_size, 16)}
    first = Launch(
        decode_split_kernel,
        split,
        {
            "tensors": (q, k, v, partial_out, partial_lse),
            "strides": strides_of(q, k, v),
            "shape": (problem.rows, problem.queries, left, right),
            "factors": factors,
            "tables": tables,
        },
        {
            "BLOCK_M": cut.block_m,
            "BLOCK_N": cut.block_n,
            "HEAD_SIZE": problem.head_size,
            "BLOCK_D": next_power_of_two(problem.head_size, 16),
            **sizes,
            "HAS_LEFT": left >= 0,
            "HAS_RIGHT": right >= 0,
            "HAS_SOFTCAP": options.softcap > 0,
            "PAGE_SIZE": problem.page_size,
        },
    )
    second = Launch(
        decode_merge_kernel,
        merge,
        {
            "tensors": (
                partial_out,
                partial_lse,
                lse if options.sinks is None else options.sinks.contiguous(),
                out,
                lse,
            ),
            "strides": strides_of(out),
            "shape": (problem.rows, problem.queries, problem.kv_heads),
            "first_span_of_head": torch.tensor(starts_by(spans, slice(1, 3)), **integers),
        },
        {**sizes, "BLOCK_SPANS": merge.configuration.block_n, "HAS_SINKS": options.sinks is not None},
    )
    return (first, second), out, lse


def starts_by(spans: tuple[tuple[int, ...], ...], columns: slice) -> list[int]:
    """Where each run of spans with equal columns starts, and the end."""
    starts = [0]
    for _, run_of_spans in groupby(spans, key=lambda span: span[columns]):
        starts.append(starts[-1] + len(tuple(run_of_spans)))
    return starts


@torch.library.custom_op("einfuse::attention_decode", mutates_args=())
def decode_operator(
    tensors: list[Tensor], sinks: Tensor | None, table: Tensor | None, numbers: list[float], cut: list[int]
) -> tuple[Tensor, Tensor]:
    """tensors = [q, k, v]; cut = [splits, whether stream-K, lengths...]."""
    q, k, v = tensors
    options = AttentionOptions.unpack(numbers, sinks)
    cache = Cache(tuple(cut[2:]), table, cut[0], bool(cut[1]))
    if runs_triton(q):
        paged = (k.transpose(1, 2), v.transpose(1, 2)) if table is not None else (k, v)
        launches, out, lse = decode_launches(q, paged, cache, options)
        run(*launches)
        return out, lse
    if table is not None:
        k, v = gather_pages(k, table), gather_pages(v, table)
    out, lse = attend_decode(q, k, v, cache.lengths, options)
    return out.contiguous(), lse


@decode_operator.register_fake
def _(
    tensors: list[Tensor], sinks: Tensor | None, table: Tensor | None, numbers: list[float], cut: list[int]
) -> tuple[Tensor, Tensor]:
    q, _, v = tensors
    lse_dtype = torch.float64 if q.dtype == torch.float64 else torch.float32
    return q.new_empty(*q.shape[:3], v.shape[3]), q.new_empty(q.shape[:3], dtype=lse_dtype)


def attention_decode(
    q: Tensor, k: Tensor, v: Tensor, cache: Cache, options: AttentionOptions = PLAIN
) -> tuple[Tensor, Tensor]:
    """Output [B, H, Nq, Dv] and natural log-sum-exp [B, H, Nq] of q [B, H, Nq, D] over the cache; not
    differentiable."""
    require(not options.lengths, "decode takes the lengths of its cache, not those of a packed batch")
    require(
        len(cache.lengths) == q.shape[0],
        f"the cache has {len(cache.lengths)} lengths for a batch of {q.shape[0]} queries",
    )
    room = k.shape[2] if cache.table is None else cache.table.shape[1] * k.shape[1]
    require(
        max(cache.lengths, default=0) <= room and min(cache.lengths, default=0) >= 0,
        f"lengths must be from 0 to the {room} keys that the cache holds, got {cache.lengths}",
    )
    kv_heads = k.shape[1] if cache.table is None else k.shape[2]
    require(
        k.dtype == v.dtype == q.dtype
        and k.shape[:3] == v.shape[:3]
        and k.shape[3] == q.shape[3]
        and q.shape[1] % kv_heads == 0,
        f"shapes or dtypes of q, k and v do not fit together: {tuple(q.shape)}, {tuple(k.shape)}, {tuple(v.shape)}",
    )
    cut = [cache.splits, int(cache.is_stream_k), *cache.lengths]
    return decode_operator([q, k, v], options.sinks, cache.table, options.pack(q.shape[3]), cut)
