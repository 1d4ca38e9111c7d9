"""Decode attention: few queries over a long cache, the cache cut into spans and partial results merged.

The query heads that share a key-value head are packed into the rows of one tile, so each key is read once. One program
processes the spans that the plan assigns to it (one span under split-KV; under stream-K an equal number of key tiles
from any heads) and writes a partial output and log-sum-exp per span; a second launch merges the spans of a head.
Merging is associative: any cut gives the same result up to rounding.
"""

# Kernel parameters are device tensors and scalars, which have no Python type.
# mypy: allow-untyped-defs

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
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
    whole_numbers,
)
from kernels.launching import Launch, dtype_name, factors_of, run, runs_triton, target_of
from kernels.numerics import LN_2, operand, stored, tanh, wide
from kernels.online import attended, nothing_seen, see
from kernels.options import PLAIN, AttentionOptions, require_head_sizes
from kernels.plans.decode import CacheSpan
from kernels.plans.planning import plan as plan_of
from kernels.plans.problems import DecodeProblem, require
from kernels.plans.types import LaunchPlan, ceil_div, next_power_of_two
from kernels.records import QKV, view_of
from kernels.reference.scaled import attend_decode, gather_pages


@dataclass(frozen=True, eq=False)
class Cache:
    """Where the keys and values of each sequence are stored.

    lengths: keys of each sequence. table: of a paged cache, the page numbers int32 [B, pages of a sequence]; keys and
    values are then [pages, page size, Hkv, D], otherwise [B, Hkv, N, D]. splits: spans per (sequence, head), or
    programs under stream-K; 0 lets the plan choose. check: of page numbers, see `kernels.arguments`; a page that is out
    of range and was not checked is not read, and the queries that see it become NaN.
    """

    lengths: tuple[int, ...]
    table: Tensor | None = None
    splits: int = 0
    is_stream_k: bool = False
    check: Check = "host"

    def __post_init__(self) -> None:
        object.__setattr__(self, "lengths", whole_numbers("lengths of a cache", self.lengths))
        require(self.splits >= 0, f"splits must be 0 (chosen by the plan) or positive, got {self.splits}")
        require_check(self.check)


class SplitTensors(NamedTuple):
    """q, k, v: views, where a paged cache has pages in place of the batch; partial_out [spans, rows, Dv] and
    partial_lse [spans, rows], base 2: fp32."""

    q: Any
    k: Any
    v: Any
    partial_out: Any
    partial_lse: Any


class SplitShape(NamedTuple):
    """rows: queries of all heads of a group; left and right: bounds of the band; pages: of the cache, and of a row of
    the page table."""

    rows: int
    queries: int
    left: int
    right: int
    pages: int
    pages_of_sequence: int


class SplitTables(NamedTuple):
    """int32: the plan's spans, the first of each program, the keys of each sequence, and its page numbers."""

    spans: Any
    first_spans: Any
    lengths: Any
    pages: Any


class MergeTensors(NamedTuple):
    """Results of the split, sinks [H], out: a view, and lse [B, H, Nq]; first_spans of each (sequence, head), int32."""

    partial_out: Any
    partial_lse: Any
    first_spans: Any
    sinks: Any
    out: Any
    lse: Any


class MergeShape(NamedTuple):
    """rows: queries of all heads of a group."""

    rows: int
    queries: int
    kv_heads: int


@triton.jit
def _load_span(spans, index):
    at = spans + 5 * index
    return CacheSpan(tl.load(at), tl.load(at + 1), wide(tl.load(at + 2)), tl.load(at + 3), tl.load(at + 4))


@triton.jit
def decode_split_kernel(
    tensors, shape, factors, tables,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, HEAD_SIZE: tl.constexpr, VALUE_SIZE: tl.constexpr,
    BLOCK_D: tl.constexpr, BLOCK_V: tl.constexpr, HAS_LEFT: tl.constexpr, HAS_RIGHT: tl.constexpr,
    HAS_SOFTCAP: tl.constexpr, PAGE_SIZE: tl.constexpr,
):  # fmt: skip
    """The spans of one program. A page that does not exist is not read: the keys in it are NaN."""
    q_view, k_view, v_view = tensors.q, tensors.k, tensors.v
    rows, keys_in = tl.arange(0, BLOCK_M), tl.arange(0, BLOCK_N)
    head_columns, value_columns = tl.arange(0, BLOCK_D).to(tl.int64), tl.arange(0, BLOCK_V).to(tl.int64)
    dtype = v_view.base.dtype.element_ty
    program = tl.program_id(0)
    for index in range(tl.load(tables.first_spans + program), tl.load(tables.first_spans + program + 1)):
        span = _load_span(tables.spans, index)
        length = tl.load(tables.lengths + span.sequence)
        # Row r is query r % queries of head r // queries of the group.
        row_heads = span.head * (shape.rows // shape.queries) + rows // shape.queries
        row_queries = rows % shape.queries
        q_rows = row_heads * q_view.head + row_queries.to(tl.int64) * q_view.row
        q_at = q_view.base + wide(span.sequence) * q_view.batch + q_rows[:, None]
        q_mask = (rows < shape.rows)[:, None] & (head_columns < HEAD_SIZE)[None, :]
        q = operand(tl.load(q_at + head_columns[None, :] * q_view.column, mask=q_mask, other=0.0))
        positions = row_queries + length - shape.queries  # position of each row among the keys
        k_head, v_head = k_view.base + span.head * k_view.head, v_view.base + span.head * v_view.head
        if PAGE_SIZE == 0:
            k_head += wide(span.sequence) * k_view.batch
            v_head += wide(span.sequence) * v_view.batch
        running = nothing_seen(BLOCK_M, BLOCK_V)
        for start in tl.range(span.first_key, span.last_key, BLOCK_N):
            at = start + keys_in
            is_there = at < span.last_key
            if PAGE_SIZE == 0:
                k_rows = k_head + at.to(tl.int64) * k_view.row
                v_rows = v_head + at.to(tl.int64) * v_view.row
            else:
                entries = tables.pages + wide(span.sequence) * shape.pages_of_sequence + at // PAGE_SIZE
                page = tl.load(entries, mask=is_there, other=0)
                is_there = is_there & (page >= 0) & (page < shape.pages)
                inside = (at % PAGE_SIZE).to(tl.int64)
                k_rows = k_head + page.to(tl.int64) * k_view.batch + inside * k_view.row
                v_rows = v_head + page.to(tl.int64) * v_view.batch + inside * v_view.row
            k_mask = is_there[:, None] & (head_columns < HEAD_SIZE)[None, :]
            v_mask = is_there[:, None] & (value_columns < VALUE_SIZE)[None, :]
            k = operand(tl.load(k_rows[:, None] + head_columns[None, :] * k_view.column, mask=k_mask, other=0.0))
            v = operand(tl.load(v_rows[:, None] + value_columns[None, :] * v_view.column, mask=v_mask, other=0.0))
            scores = tl.dot(q, tl.trans(k), input_precision="ieee")
            if HAS_SOFTCAP:
                scores = tanh(scores * factors.inner)
            if PAGE_SIZE != 0:
                scores = tl.where(is_there[None, :], scores, float("nan"))
            visible = (at < span.last_key)[None, :]
            if HAS_LEFT:
                visible = visible & (at[None, :] >= positions[:, None] - shape.left)
            if HAS_RIGHT:
                visible = visible & (at[None, :] <= positions[:, None] + shape.right)
            scores = tl.where(visible, scores, float("-inf"))
            running = see(running, scores, v, factors.outer, True, dtype)
        result = attended(running)
        at_row = wide(index) * shape.rows + rows
        out_at = tensors.partial_out + at_row[:, None] * VALUE_SIZE + value_columns[None, :]
        out_mask = (rows < shape.rows)[:, None] & (value_columns < VALUE_SIZE)[None, :]
        tl.store(out_at, result.out, mask=out_mask)
        tl.store(tensors.partial_lse + at_row, result.lse, mask=rows < shape.rows)


@triton.jit
def decode_merge_kernel(
    tensors, shape,
    VALUE_SIZE: tl.constexpr, BLOCK_V: tl.constexpr, BLOCK_SPANS: tl.constexpr, HAS_SINKS: tl.constexpr,
):  # fmt: skip
    """One program per row of one (sequence, key-value head)."""
    view = tensors.out
    row, pair = tl.program_id(0), tl.program_id(1)
    first, last = tl.load(tensors.first_spans + pair), tl.load(tensors.first_spans + pair + 1)
    group = shape.rows // shape.queries
    head = pair % shape.kv_heads * group + row // shape.queries
    columns = tl.arange(0, BLOCK_V)
    peak = tl.full([], float("-inf"), tl.float32)
    denominator = tl.zeros([], tl.float32)
    numerator = tl.zeros([BLOCK_V], tl.float32)
    for start in range(first, last, BLOCK_SPANS):
        spans = start + tl.arange(0, BLOCK_SPANS)
        at = spans.to(tl.int64) * shape.rows + row
        lse = tl.load(tensors.partial_lse + at, mask=spans < last, other=float("-inf"))
        mask = (spans < last)[:, None] & (columns < VALUE_SIZE)[None, :]
        out = tl.load(tensors.partial_out + at[:, None] * VALUE_SIZE + columns[None, :], mask=mask, other=0.0)
        new_peak = tl.maximum(peak, tl.max(lse, 0))
        shift = tl.where(new_peak == float("-inf"), 0.0, new_peak)
        weights = tl.exp2(lse - shift)
        correction = tl.exp2(peak - shift)
        numerator = numerator * correction + tl.sum(weights[:, None] * out, 0)
        denominator = denominator * correction + tl.sum(weights, 0)
        peak = new_peak
    if HAS_SINKS:
        sink = tl.load(tensors.sinks + head).to(tl.float32) / LN_2
        new_peak = tl.maximum(peak, sink)
        correction = tl.exp2(peak - new_peak)
        numerator = numerator * correction
        denominator = denominator * correction + tl.exp2(sink - new_peak)
        peak = new_peak
    is_empty = denominator == 0
    safe = tl.where(is_empty, 1.0, denominator)
    batch, query = wide(pair // shape.kv_heads), wide(row % shape.queries)
    out_at = view.base + batch * view.batch + wide(head) * view.head + query * view.row
    result = stored(numerator / safe, view.base.dtype.element_ty)
    tl.store(out_at + columns.to(tl.int64) * view.column, result, mask=columns < VALUE_SIZE)
    lse = tl.where(is_empty, float("-inf"), (peak + tl.log2(safe)) * LN_2)
    tl.store(tensors.lse + (batch * shape.kv_heads * group + head) * shape.queries + query, lse)


def decode_launches(
    qkv: QKV, cache: Cache, options: AttentionOptions, plans: tuple[LaunchPlan, ...] = ()
) -> tuple[tuple[Launch, Launch], Tensor, Tensor]:
    """The split and the merge launch, the output and the log-sum-exp; k, v: [batch or page, head, position, size]."""
    q, k, v = qkv
    left, right = options.bounds
    problem = DecodeProblem(
        cache.lengths, q.shape[1], k.shape[1], q.shape[2], q.shape[3], v.shape[3], dtype_name(q), left, right,
        cache.splits, cache.is_stream_k, 0 if cache.table is None else k.shape[2], options.softcap > 0,
    )  # fmt: skip
    split, merge = plans or plan_of(problem, target_of(q))
    spans = [CacheSpan(*row) for row in split.table]
    partial_out = torch.empty(len(spans), problem.rows, problem.value_size, dtype=torch.float32, device=q.device)
    partial_lse = torch.empty(len(spans), problem.rows, dtype=torch.float32, device=q.device)
    out = q.new_empty(*q.shape[:3], v.shape[3])
    lse = torch.empty(q.shape[:3], dtype=torch.float32, device=q.device)
    integers = {"dtype": torch.int32, "device": q.device}
    pages = cache.table if cache.table is not None else torch.zeros(1, 1, **integers)
    constants = {
        "BLOCK_M": split.configuration.block_m,
        "BLOCK_N": split.configuration.block_n,
        "HEAD_SIZE": problem.head_size,
        "VALUE_SIZE": problem.value_size,
        "BLOCK_D": next_power_of_two(problem.head_size, 16),
        "BLOCK_V": next_power_of_two(problem.value_size, 16),
        "HAS_LEFT": left >= 0,
        "HAS_RIGHT": right >= 0,
        "HAS_SOFTCAP": options.softcap > 0,
        "PAGE_SIZE": problem.page_size,
    }
    first = Launch(
        decode_split_kernel,
        split,
        {
            "tensors": SplitTensors(view_of(q), view_of(k), view_of(v), partial_out, partial_lse),
            "shape": SplitShape(problem.rows, problem.queries, left, right, k.shape[0], pages.shape[1]),
            "factors": factors_of(options, q.shape[3]),
            "tables": SplitTables(
                torch.tensor(spans, **integers),
                torch.tensor(starts_of_runs([span.program for span in spans]), **integers),
                torch.tensor(cache.lengths, **integers),
                to_int32(pages, q.device),
            ),
        },
        constants,
    )
    first_spans = torch.tensor(starts_of_runs([(span.sequence, span.head) for span in spans]), **integers)
    sinks = lse if options.sinks is None else options.sinks.contiguous()
    second = Launch(
        decode_merge_kernel,
        merge,
        {
            "tensors": MergeTensors(partial_out, partial_lse, first_spans, sinks, view_of(out), lse),
            "shape": MergeShape(problem.rows, problem.queries, problem.kv_heads),
        },
        {
            "VALUE_SIZE": constants["VALUE_SIZE"],
            "BLOCK_V": constants["BLOCK_V"],
            "BLOCK_SPANS": merge.configuration.block_n,
            "HAS_SINKS": options.sinks is not None,
        },
    )
    return (first, second), out, lse


def starts_of_runs(keys: Sequence[object]) -> list[int]:
    """Where each run of equal keys starts, and the end."""
    starts = [0]
    for _, equal in groupby(keys):
        starts.append(starts[-1] + len(tuple(equal)))
    return starts


@torch.library.custom_op("einfuse::attention_decode", mutates_args=())
def decode_operator(
    tensors: list[Tensor], sinks: Tensor | None, table: Tensor | None, numbers: list[float], cut: list[int]
) -> tuple[Tensor, Tensor]:
    """tensors = [q, k, v]; cut = [splits, whether stream-K, whether pages are checked on the device, lengths...]."""
    q, k, v = tensors
    options = AttentionOptions.unpack(numbers, sinks)
    splits, is_stream_k, is_read_back, *lengths = cut
    cache = Cache(tuple(lengths), table, splits, bool(is_stream_k), "device" if is_read_back else "host")
    if table is not None and (is_read(table, cache.check) or not runs_triton(q)):
        check_pages(table, cache.lengths, k)
    if runs_triton(q):
        if table is not None:
            k, v = k.transpose(1, 2), v.transpose(1, 2)
        launches, out, lse = decode_launches(QKV(q, k, v), cache, options)
        run(*launches)
        return out, lse
    if table is not None:
        k, v = gather_pages(k, table.to(k.device)), gather_pages(v, table.to(v.device))
    out, lse = attend_decode(q, k, v, cache.lengths, options)
    return out.contiguous(), lse


def check_pages(table: Tensor, lengths: tuple[int, ...], cache: Tensor) -> None:
    """Entries beyond a sequence's last key are ignored."""
    needed = torch.tensor([ceil_div(length, max(1, cache.shape[1])) for length in lengths], device=table.device)
    counted = torch.arange(table.shape[1], device=table.device) < needed[:, None]
    check_numbers("table", table, cache.shape[0], counted, "page")


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
    q, k, v = in_autocast(q, k, v)
    held = "k[B,Hkv,N,D] v[B,Hkv,N,Dv]" if cache.table is None else "k[pages,N,Hkv,D] v[pages,N,Hkv,Dv]"
    # The table may stay on the host, where its numbers are checked without waiting.
    sizes = bind_ranks(f"q[B,H,Nq,D] {held} sinks[H]", q, k, v, options.sinks)
    room = sizes["N"]
    if cache.table is not None:
        table = bind_ranks("table[B,P]:int", cache.table)
        require(
            table["B"] == sizes["B"],
            f"expected table[B, P] with B = {sizes['B']} as in q, got shape {tuple(cache.table.shape)}",
        )
        require(
            cache.table.device in (q.device, torch.device("cpu")),
            f"expected the table on {q.device} as q is, or on the CPU, got {cache.table.device}",
        )
        room = table["P"] * sizes["N"]
    require_one_dtype("q k v", q, k, v)
    require_groups(sizes["H"], sizes["Hkv"])
    require_head_sizes(sizes["D"], sizes["Dv"])
    require(
        len(cache.lengths) == sizes["B"],
        f"the cache has {len(cache.lengths)} lengths for a batch of {sizes['B']} queries",
    )
    require(
        max(cache.lengths, default=0) <= room,
        f"lengths must be from 0 to the {room} keys that the cache holds, got {cache.lengths}",
    )
    cut = [cache.splits, int(cache.is_stream_k), int(cache.check == "device"), *cache.lengths]
    return decode_operator([q, k, v], options.sinks, cache.table, options.pack(sizes["D"]), cut)
