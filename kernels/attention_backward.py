"""Gradients of softmax attention, deterministic and without atomics: three launches.

P is recomputed from the saved log-sum-exp. The first launch computes delta = rowsum(dO O) - dLSE. The second keeps a
tile of keys and loops over the queries that see it, over all query heads of its group, for dK and dV; the third keeps a
tile of queries and loops over its keys for dQ (FlashAttention-2). dS = P (dP - delta), times the slope of the softcap.
"""

# Kernel parameters are device tensors and scalars, which have no Python type.
# mypy: allow-untyped-defs

from typing import Any, NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from kernels.launching import (
    Launch,
    dtype_name,
    factors_of,
    has_tma_layout,
    require_reach,
    table_tensor,
    target_of,
)
from kernels.numerics import (
    LOG2_E,
    described,
    is_visible,
    load_rows,
    narrow,
    ranges_of,
    rows_of,
    store_rows,
    tanh,
    wide,
)
from kernels.options import AttentionOptions
from kernels.plans.attention import Band
from kernels.plans.planning import plan as plan_of
from kernels.plans.problems import AttentionProblem
from kernels.plans.types import LaunchPlan, next_power_of_two
from kernels.records import BlockRange, view_of
from kernels.segments import place_of, segment_tables


class DeltaTensors(NamedTuple):
    """out and grad_out: views; grad_lse and delta [B, H, Nq], fp32."""

    out: Any
    grad_out: Any
    grad_lse: Any
    delta: Any


class KeyGradientTensors(NamedTuple):
    """q, k, v, grad_out, grad_k, grad_v: views; lse and delta [B, H, Nq], fp32."""

    q: Any
    k: Any
    v: Any
    grad_out: Any
    lse: Any
    delta: Any
    grad_k: Any
    grad_v: Any


class QueryGradientTensors(NamedTuple):
    """q, k, v, grad_out, grad_q: views; lse and delta [B, H, Nq], fp32."""

    q: Any
    k: Any
    v: Any
    grad_out: Any
    lse: Any
    delta: Any
    grad_q: Any


class GradientShape(NamedTuple):
    """group: query heads per key-value head; queries: of all sequences; left and right: bounds of the band."""

    heads: int
    group: int
    queries: int
    left: int
    right: int


class Fixed(NamedTuple):
    """The operands of S and dP from the tile that stays or the one that streams: rows of q and dO, or of k and v."""

    score: Any
    value: Any


class PairGradients(NamedTuple):
    """P and dS without the scale, fp32."""

    weights: Any
    scores: Any


class RowValues(NamedTuple):
    """For rows of queries: log-sum-exp in base 2, and delta."""

    lse: Any
    delta: Any


class KeyGradients(NamedTuple):
    """Sums over queries, fp32."""

    k: Any
    v: Any


@triton.jit
def delta_kernel(tensors, heads, queries, BLOCK_M: tl.constexpr, VALUE_SIZE: tl.constexpr, BLOCK_V: tl.constexpr):
    first_row, head, batch = tl.program_id(0) * BLOCK_M, wide(tl.program_id(1)), wide(tl.program_id(2))
    out, grad_out = rows_of(tensors.out, batch, head, 0), rows_of(tensors.grad_out, batch, head, 0)
    x = load_rows(out, first_row, queries, VALUE_SIZE, BLOCK_M, BLOCK_V, True, False)
    y = load_rows(grad_out, first_row, queries, VALUE_SIZE, BLOCK_M, BLOCK_V, True, False)
    rows = first_row + tl.arange(0, BLOCK_M)
    at = (batch * heads + head) * queries + rows
    grad_lse = tl.load(tensors.grad_lse + at, mask=rows < queries, other=0.0)
    total = tl.sum(x.to(tl.float32) * y.to(tl.float32), 1) - grad_lse
    tl.store(tensors.delta + at, total, mask=rows < queries)


@triton.jit
def _pair_gradients(left, right, of_rows, visible, factors, MASKED: tl.constexpr, HAS_SOFTCAP: tl.constexpr):
    """[queries, keys] from left = (q, dO), right = (k, v), or transposed with the two exchanged; of_rows is a column or
    a row accordingly."""
    scores = tl.dot(left.score, tl.trans(right.score), input_precision="ieee")
    if HAS_SOFTCAP:
        scores = tanh(scores * factors.inner)
    weights = tl.exp2(scores * factors.outer - of_rows.lse)
    if MASKED:
        weights = tl.where(visible, weights, 0.0)
    grad_weights = tl.dot(left.value, tl.trans(right.value), input_precision="ieee")
    grad_scores = weights * (grad_weights - of_rows.delta)
    if HAS_SOFTCAP:
        grad_scores = grad_scores * (1 - scores * scores)
    return PairGradients(weights, grad_scores)


@triton.jit
def _load_row_values(lse_base, delta_base, start, queries, BLOCK: tl.constexpr):
    """Log-sum-exp and delta; +inf as the log-sum-exp of missing rows and of rows that saw no key, so that P is 0."""
    rows = start + tl.arange(0, BLOCK)
    lse = tl.load(lse_base + rows, mask=rows < queries, other=float("inf")) * LOG2_E
    lse = tl.where(lse == float("-inf"), float("inf"), lse)
    return RowValues(lse, tl.load(delta_base + rows, mask=rows < queries, other=0.0))


@triton.jit
def _walk_queries(
    grads, kept, q_rows, grad_rows, of_rows, keys_at, stretch, band, factors,
    MASKED: tl.constexpr, HAS_LEFT: tl.constexpr, HAS_RIGHT: tl.constexpr, HAS_SOFTCAP: tl.constexpr,
    HEAD_SIZE: tl.constexpr, VALUE_SIZE: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_D: tl.constexpr,
    BLOCK_V: tl.constexpr, USES_TMA: tl.constexpr, DTYPE: tl.constexpr,
):  # fmt: skip
    """A range of queries against one tile of keys, which stays; grads: KeyGradients so far; of_rows: pointers; band: of
    keys over queries."""
    for start in tl.range(stretch.first, stretch.last, BLOCK_N):
        q = load_rows(q_rows, start, band.limit, HEAD_SIZE, BLOCK_N, BLOCK_D, MASKED, USES_TMA)
        grad_out = load_rows(grad_rows, start, band.limit, VALUE_SIZE, BLOCK_N, BLOCK_V, MASKED, USES_TMA)
        values = _load_row_values(of_rows.lse, of_rows.delta, start, band.limit, BLOCK_N)
        visible = is_visible(keys_at, start + tl.arange(0, BLOCK_N), band, HAS_LEFT, HAS_RIGHT)
        in_row = RowValues(values.lse[None, :], values.delta[None, :])
        pair = _pair_gradients(kept, Fixed(q, grad_out), in_row, visible, factors, MASKED, HAS_SOFTCAP)
        grad_v = tl.dot(narrow(pair.weights, DTYPE), grad_out, grads.v, input_precision="ieee")
        grad_k = tl.dot(narrow(pair.scores, DTYPE), q, grads.k, input_precision="ieee")
        grads = KeyGradients(grad_k, grad_v)
    return grads


@triton.jit
def key_gradients_kernel(
    tensors, shape, factors, scale, segments,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, HEAD_SIZE: tl.constexpr, VALUE_SIZE: tl.constexpr,
    BLOCK_D: tl.constexpr, BLOCK_V: tl.constexpr, HAS_LEFT: tl.constexpr, HAS_RIGHT: tl.constexpr,
    HAS_TAIL: tl.constexpr, HAS_SOFTCAP: tl.constexpr, USES_TMA: tl.constexpr,
):  # fmt: skip
    """dK and dV of one tile of keys; scale: of dS."""
    q_view, grad_view = tensors.q, tensors.grad_out  # views are taken out before loops, see `kernels.records`
    grad_k_view, grad_v_view = tensors.grad_k, tensors.grad_v
    dtype = tensors.q.base.dtype.element_ty
    place = place_of(segments)
    queries = place.queries
    keys = place.keys
    first_key = place.block * BLOCK_M
    kv_head = wide(tl.program_id(1))
    k_rows = rows_of(tensors.k, place.batch, kv_head, place.key_start)
    v_rows = rows_of(tensors.v, place.batch, kv_head, place.key_start)
    kept = Fixed(
        load_rows(k_rows, first_key, keys, HEAD_SIZE, BLOCK_M, BLOCK_D, True, False),
        load_rows(v_rows, first_key, keys, VALUE_SIZE, BLOCK_M, BLOCK_V, True, False),
    )
    keys_at = first_key + tl.arange(0, BLOCK_M)
    # Key j is seen by queries j - offset - right ... j - offset + left: the band the other way round.
    band = Band(queries - keys, shape.right, shape.left, queries)
    last_key = tl.minimum(first_key + BLOCK_M, keys) - 1
    ranges = ranges_of(first_key, last_key, band, HAS_RIGHT, HAS_LEFT, BLOCK_N)
    left_edge = BlockRange(ranges.first, ranges.inner_first)
    interior = BlockRange(ranges.inner_first, ranges.inner_last)
    right_edge = BlockRange(ranges.inner_last, ranges.last)
    grads = KeyGradients(tl.zeros([BLOCK_M, BLOCK_D], tl.float32), tl.zeros([BLOCK_M, BLOCK_V], tl.float32))
    for member in range(shape.group):
        head = kv_head * shape.group + member
        at = (place.batch * shape.heads + head) * shape.queries + place.query_start
        q_rows = rows_of(q_view, place.batch, head, place.query_start)
        grad_rows = rows_of(grad_view, place.batch, head, place.query_start)
        if USES_TMA:  # descriptors save the registers that pointers to a whole tile would occupy
            q_rows = described(q_rows, queries, HEAD_SIZE, BLOCK_N, BLOCK_D)
            grad_rows = described(grad_rows, queries, VALUE_SIZE, BLOCK_N, BLOCK_V)
        of_rows = RowValues(tensors.lse + at, tensors.delta + at)
        if HAS_RIGHT:
            grads = _walk_queries(grads, kept, q_rows, grad_rows, of_rows, keys_at, left_edge,
                                  band, factors, True, HAS_RIGHT, HAS_LEFT, HAS_SOFTCAP, HEAD_SIZE, VALUE_SIZE,
                                  BLOCK_N, BLOCK_D, BLOCK_V, USES_TMA, dtype)  # fmt: skip
        grads = _walk_queries(grads, kept, q_rows, grad_rows, of_rows, keys_at, interior,
                              band, factors, False, False, False, HAS_SOFTCAP, HEAD_SIZE, VALUE_SIZE,
                              BLOCK_N, BLOCK_D, BLOCK_V, USES_TMA, dtype)  # fmt: skip
        if HAS_LEFT or HAS_TAIL:
            grads = _walk_queries(grads, kept, q_rows, grad_rows, of_rows, keys_at, right_edge,
                                  band, factors, True, HAS_RIGHT, HAS_LEFT, HAS_SOFTCAP, HEAD_SIZE, VALUE_SIZE,
                                  BLOCK_N, BLOCK_D, BLOCK_V, USES_TMA, dtype)  # fmt: skip
    grad_k = rows_of(grad_k_view, place.batch, kv_head, place.key_start)
    grad_v = rows_of(grad_v_view, place.batch, kv_head, place.key_start)
    store_rows(grad_k, first_key, keys, grads.k * scale, HEAD_SIZE, BLOCK_M, BLOCK_D)
    store_rows(grad_v, first_key, keys, grads.v, VALUE_SIZE, BLOCK_M, BLOCK_V)


@triton.jit
def _walk_keys(
    grad_q, kept, of_rows, k_rows, v_rows, rows, stretch, band, factors,
    MASKED: tl.constexpr, HAS_LEFT: tl.constexpr, HAS_RIGHT: tl.constexpr, HAS_SOFTCAP: tl.constexpr,
    HEAD_SIZE: tl.constexpr, VALUE_SIZE: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_D: tl.constexpr,
    BLOCK_V: tl.constexpr, DTYPE: tl.constexpr,
):  # fmt: skip
    """A range of keys against one tile of queries, which stays; of_rows: values, as columns."""
    for start in tl.range(stretch.first, stretch.last, BLOCK_N):
        k = load_rows(k_rows, start, band.limit, HEAD_SIZE, BLOCK_N, BLOCK_D, MASKED, False)
        v = load_rows(v_rows, start, band.limit, VALUE_SIZE, BLOCK_N, BLOCK_V, MASKED, False)
        visible = is_visible(rows, start + tl.arange(0, BLOCK_N), band, HAS_LEFT, HAS_RIGHT)
        pair = _pair_gradients(kept, Fixed(k, v), of_rows, visible, factors, MASKED, HAS_SOFTCAP)
        grad_q = tl.dot(narrow(pair.scores, DTYPE), k, grad_q, input_precision="ieee")
    return grad_q


@triton.jit
def query_gradients_kernel(
    tensors, shape, factors, scale, segments,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, HEAD_SIZE: tl.constexpr, VALUE_SIZE: tl.constexpr,
    BLOCK_D: tl.constexpr, BLOCK_V: tl.constexpr, HAS_LEFT: tl.constexpr, HAS_RIGHT: tl.constexpr,
    HAS_TAIL: tl.constexpr, HAS_SOFTCAP: tl.constexpr,
):  # fmt: skip
    """dQ of one tile of queries; scale: of dS."""
    dtype = tensors.q.base.dtype.element_ty
    place = place_of(segments)
    queries = place.queries
    keys = place.keys
    first_row = place.block * BLOCK_M
    head = wide(tl.program_id(1))
    kv_head = head // shape.group
    q_rows = rows_of(tensors.q, place.batch, head, place.query_start)
    grad_rows = rows_of(tensors.grad_out, place.batch, head, place.query_start)
    k_rows = rows_of(tensors.k, place.batch, kv_head, place.key_start)
    v_rows = rows_of(tensors.v, place.batch, kv_head, place.key_start)
    rows = first_row + tl.arange(0, BLOCK_M)
    kept = Fixed(
        load_rows(q_rows, first_row, queries, HEAD_SIZE, BLOCK_M, BLOCK_D, True, False),
        load_rows(grad_rows, first_row, queries, VALUE_SIZE, BLOCK_M, BLOCK_V, True, False),
    )
    at = (place.batch * shape.heads + head) * shape.queries + place.query_start
    values = _load_row_values(tensors.lse + at, tensors.delta + at, first_row, queries, BLOCK_M)
    of_rows = RowValues(values.lse[:, None], values.delta[:, None])
    band = Band(keys - queries, shape.left, shape.right, keys)
    last_row = tl.minimum(first_row + BLOCK_M, queries) - 1
    ranges = ranges_of(first_row, last_row, band, HAS_LEFT, HAS_RIGHT, BLOCK_N)
    left_edge = BlockRange(ranges.first, ranges.inner_first)
    interior = BlockRange(ranges.inner_first, ranges.inner_last)
    right_edge = BlockRange(ranges.inner_last, ranges.last)
    grad_q = tl.zeros([BLOCK_M, BLOCK_D], tl.float32)
    if HAS_LEFT:
        grad_q = _walk_keys(grad_q, kept, of_rows, k_rows, v_rows, rows, left_edge, band,
                            factors, True, HAS_LEFT, HAS_RIGHT, HAS_SOFTCAP, HEAD_SIZE, VALUE_SIZE, BLOCK_N, BLOCK_D,
                            BLOCK_V, dtype)  # fmt: skip
    grad_q = _walk_keys(grad_q, kept, of_rows, k_rows, v_rows, rows, interior, band,
                        factors, False, False, False, HAS_SOFTCAP, HEAD_SIZE, VALUE_SIZE, BLOCK_N, BLOCK_D,
                        BLOCK_V, dtype)  # fmt: skip
    if HAS_RIGHT or HAS_TAIL:
        grad_q = _walk_keys(grad_q, kept, of_rows, k_rows, v_rows, rows, right_edge, band,
                            factors, True, HAS_LEFT, HAS_RIGHT, HAS_SOFTCAP, HEAD_SIZE, VALUE_SIZE, BLOCK_N, BLOCK_D,
                            BLOCK_V, dtype)  # fmt: skip
    target = rows_of(tensors.grad_q, place.batch, head, place.query_start)
    store_rows(target, first_row, queries, grad_q * scale, HEAD_SIZE, BLOCK_M, BLOCK_D)


def backward_launches(
    saved: list[Tensor],
    gradients: list[Tensor],
    options: AttentionOptions,
    plans: tuple[LaunchPlan, ...] = (),
) -> tuple[tuple[Launch, ...], list[Tensor], Tensor]:
    """The three launches, [dQ, dK, dV] and delta; saved = [q, k, v, out, lse], gradients = [of out, of lse]."""
    q, k, v, out, lse = saved
    grad_out, grad_lse = gradients
    require_reach(q=q, k=k, v=v, out=out, grad_out=grad_out)
    left, right = options.bounds
    problem = AttentionProblem(
        q.shape[0], q.shape[1], k.shape[1], q.shape[2], k.shape[2], q.shape[3], v.shape[3], dtype_name(q), left, right,
        options.lengths, options.softcap > 0, has_tma_layout(q) and has_tma_layout(grad_out),
    )  # fmt: skip
    plans = plans or plan_of(problem, target_of(q), True)
    delta = torch.empty_like(lse)
    results = [torch.empty_like(x) for x in (q, k, v)]
    sizes = {
        "HEAD_SIZE": problem.head_size,
        "VALUE_SIZE": problem.value_size,
        "BLOCK_D": next_power_of_two(problem.head_size, 16),
        "BLOCK_V": next_power_of_two(problem.value_size, 16),
    }
    flags = {
        "HAS_LEFT": left >= 0,
        "HAS_RIGHT": right >= 0,
        "HAS_SOFTCAP": options.softcap > 0,
    }
    shared = {
        "shape": GradientShape(q.shape[1], q.shape[1] // k.shape[1], q.shape[2], left, right),
        "factors": factors_of(options, q.shape[3]),
        "scale": options.scale_for(q.shape[3]),
    }
    delta_launch = Launch(
        delta_kernel,
        plans[0],
        {
            "tensors": DeltaTensors(view_of(out), view_of(grad_out), grad_lse, delta),
            "heads": q.shape[1],
            "queries": q.shape[2],
        },
        {"BLOCK_M": plans[0].configuration.block_m, "VALUE_SIZE": sizes["VALUE_SIZE"], "BLOCK_V": sizes["BLOCK_V"]},
    )
    of_q, of_k, of_v, of_grad, grad_q, grad_k, grad_v = (view_of(x) for x in (q, k, v, grad_out, *results))
    places = segment_tables(problem, q.device)
    keys_launch = Launch(
        key_gradients_kernel,
        plans[1],
        {
            "tensors": KeyGradientTensors(of_q, of_k, of_v, of_grad, lse, delta, grad_k, grad_v),
            **shared,
            "segments": places._replace(tiles=table_tensor(plans[1], q.device)),
        },
        {**sizes, **flags, **blocks_of(plans[1], problem), "USES_TMA": plans[1].configuration.uses_tma},
    )
    queries_launch = Launch(
        query_gradients_kernel,
        plans[2],
        {
            "tensors": QueryGradientTensors(of_q, of_k, of_v, of_grad, lse, delta, grad_q),
            **shared,
            "segments": places._replace(tiles=table_tensor(plans[2], q.device)),
        },
        {**sizes, **flags, **blocks_of(plans[2], problem)},
    )
    return (delta_launch, keys_launch, queries_launch), results, delta


def blocks_of(plan: LaunchPlan, problem: AttentionProblem) -> dict[str, int]:
    """Block sizes, and whether a loop may end inside a block."""
    cut = plan.configuration
    streamed = problem.queries if plan.operator == "attention_bwd_dkv" else problem.keys
    has_tail = bool(problem.lengths) or streamed % cut.block_n != 0
    return {"BLOCK_M": cut.block_m, "BLOCK_N": cut.block_n, "HAS_TAIL": has_tail}
