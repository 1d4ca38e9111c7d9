"""Gradients of softmax attention, deterministic and without atomics: three launches.

P is made again from the saved log-sum-exp. A first launch makes delta = rowsum(dO O) - dLSE. The second keeps a tile of
keys and walks the queries that see it, over all query heads of its group, for dK and dV; the third keeps a tile of
queries and walks its keys for dQ (FlashAttention-2). dS = P (dP - delta), times the slope of the softcap.
"""

# Parameters of kernels are tensors and numbers of the device, which have no Python type.
# mypy: allow-untyped-defs

import torch
import triton
import triton.language as tl
from torch import Tensor

from kernels.launching import LOG2_E as LOG2E
from kernels.launching import (
    Launch,
    dtype_name,
    has_tma_layout,
    run,
    runs_triton,
    starts_of,
    strides_of,
    table_tensor,
    target_of,
)
from kernels.numerics import LOG2_E, is_visible, load_rows, narrow, ranges_of, store_rows, tanh, wide
from kernels.options import AttentionOptions
from kernels.plans.planning import plan as plan_of
from kernels.plans.problems import AttentionProblem
from kernels.plans.types import LaunchPlan, next_power_of_two
from kernels.reference.scaled import attend_backward


@triton.jit
def delta_kernel(tensors, strides, shape, BLOCK_M: tl.constexpr, VALUE_SIZE: tl.constexpr, BLOCK_V: tl.constexpr):
    """tensors = (out, grad_out, grad_lse, delta); strides of out and grad_out; shape = (heads, queries)."""
    out, grad_out, grad_lse, delta = tensors
    heads, queries = shape
    first_row, head, batch = tl.program_id(0) * BLOCK_M, wide(tl.program_id(1)), wide(tl.program_id(2))
    out += batch * strides[0] + head * strides[1]
    grad_out += batch * strides[4] + head * strides[5]
    x = load_rows(out, first_row, (strides[2], strides[3]), queries, VALUE_SIZE, BLOCK_M, BLOCK_V, True, False)
    y = load_rows(grad_out, first_row, (strides[6], strides[7]), queries, VALUE_SIZE, BLOCK_M, BLOCK_V, True, False)
    rows = first_row + tl.arange(0, BLOCK_M)
    at = (batch * heads + head) * queries + rows
    total = tl.sum(x.to(tl.float32) * y.to(tl.float32), 1) - tl.load(grad_lse + at, mask=rows < queries, other=0.0)
    tl.store(delta + at, total, mask=rows < queries)


@triton.jit
def _pair_gradients(left, right, lse, delta, visible, factors, MASKED: tl.constexpr, HAS_SOFTCAP: tl.constexpr):
    """P and dS, in fp32 and dS without the scale: [queries, keys] of left = (q, dO), right = (k, v), or transposed
    with the two exchanged; lse and delta come as a column or a row accordingly."""
    factor, inner = factors
    scores = tl.dot(left[0], tl.trans(right[0]), input_precision="ieee")
    if HAS_SOFTCAP:
        scores = tanh(scores * inner)
    weights = tl.exp2(scores * factor - lse)
    if MASKED:
        weights = tl.where(visible, weights, 0.0)
    grad_weights = tl.dot(left[1], tl.trans(right[1]), input_precision="ieee")
    grad_scores = weights * (grad_weights - delta)
    if HAS_SOFTCAP:
        grad_scores = grad_scores * (1 - scores * scores)
    return weights, grad_scores


@triton.jit
def _load_row_values(lse_base, delta_base, start, queries, BLOCK: tl.constexpr):
    """Log-sum-exp in base 2 and delta of rows; +inf where there is no row or the row saw no key, so that P is 0."""
    rows = start + tl.arange(0, BLOCK)
    lse = tl.load(lse_base + rows, mask=rows < queries, other=float("inf")) * LOG2_E
    lse = tl.where(lse == float("-inf"), float("inf"), lse)
    return lse, tl.load(delta_base + rows, mask=rows < queries, other=0.0)


@triton.jit
def _walk_queries(
    carry, k, v, bases, strides, keys_at, span, band, factors,
    MASKED: tl.constexpr, HAS_LEFT: tl.constexpr, HAS_RIGHT: tl.constexpr, HAS_SOFTCAP: tl.constexpr,
    HEAD_SIZE: tl.constexpr, VALUE_SIZE: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_D: tl.constexpr,
    BLOCK_V: tl.constexpr, USES_TMA: tl.constexpr,
):  # fmt: skip
    """Queries span[0]..span[1] against one tile of keys; carry = (dK, dV). band: of keys over queries."""
    grad_k, grad_v = carry
    q_source, grad_source, lse_base, delta_base, q_base = bases
    dtype = q_base.dtype.element_ty
    for start in tl.range(span[0], span[1], BLOCK_N):
        q = load_rows(q_source, start, (strides[2], strides[3]), band[3], HEAD_SIZE, BLOCK_N, BLOCK_D, MASKED, USES_TMA)
        grad_out = load_rows(
            grad_source, start, (strides[14], strides[15]), band[3], VALUE_SIZE, BLOCK_N, BLOCK_V, MASKED, USES_TMA
        )
        lse, delta = _load_row_values(lse_base, delta_base, start, band[3], BLOCK_N)
        visible = is_visible(keys_at, start + tl.arange(0, BLOCK_N), band, HAS_LEFT, HAS_RIGHT)
        weights, grad_scores = _pair_gradients(
            (k, v), (q, grad_out), lse[None, :], delta[None, :], visible, factors, MASKED, HAS_SOFTCAP
        )
        grad_v = tl.dot(narrow(weights, dtype), grad_out, grad_v, input_precision="ieee")
        grad_k = tl.dot(narrow(grad_scores, dtype), q, grad_k, input_precision="ieee")
    return grad_k, grad_v


@triton.jit
def key_gradients_kernel(
    tensors, strides, shape, factors, tables,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, HEAD_SIZE: tl.constexpr, VALUE_SIZE: tl.constexpr,
    BLOCK_D: tl.constexpr, BLOCK_V: tl.constexpr, HAS_LEFT: tl.constexpr, HAS_RIGHT: tl.constexpr,
    HAS_TAIL: tl.constexpr, HAS_SOFTCAP: tl.constexpr, USES_TMA: tl.constexpr,
):  # fmt: skip
    """dK and dV of one tile of keys. tensors = (q, k, v, grad_out, lse, delta, grad_k, grad_v), strides of the first
    four and of the last two; shape = (heads, group, queries, left, right); factors end with the scale of dS."""
    q_base, k_base, v_base, grad_base, lse_base, delta_base, grad_k_base, grad_v_base = tensors
    heads, group, total_queries, left, right = shape
    sequence = tl.load(tables[0] + 2 * tl.program_id(0))
    first_key = tl.load(tables[0] + 2 * tl.program_id(0) + 1) * BLOCK_M
    batch = wide(tl.load(tables[3] + sequence))
    query_start, key_start = wide(tl.load(tables[1] + sequence)), wide(tl.load(tables[2] + sequence))
    queries = tl.load(tables[4] + 2 * sequence)
    keys = tl.load(tables[4] + 2 * sequence + 1)
    kv_head = wide(tl.program_id(1))
    k_base += batch * strides[4] + kv_head * strides[5] + key_start * strides[6]
    v_base += batch * strides[8] + kv_head * strides[9] + key_start * strides[10]
    grad_k_base += batch * strides[16] + kv_head * strides[17] + key_start * strides[18]
    grad_v_base += batch * strides[20] + kv_head * strides[21] + key_start * strides[22]
    k = load_rows(k_base, first_key, (strides[6], strides[7]), keys, HEAD_SIZE, BLOCK_M, BLOCK_D, True, False)
    v = load_rows(v_base, first_key, (strides[10], strides[11]), keys, VALUE_SIZE, BLOCK_M, BLOCK_V, True, False)
    keys_at = first_key + tl.arange(0, BLOCK_M)
    # Key j is seen by queries j - offset - right ... j - offset + left: the band the other way round.
    band = (queries - keys, right, left, queries)
    last_key = tl.minimum(first_key + BLOCK_M, keys) - 1
    first, inner_first, inner_last, last = ranges_of(first_key, last_key, band, HAS_RIGHT, HAS_LEFT, BLOCK_N)
    carry = (tl.zeros([BLOCK_M, BLOCK_D], tl.float32), tl.zeros([BLOCK_M, BLOCK_V], tl.float32))
    pair = (factors[0], factors[1])
    for member in range(group):
        head = kv_head * group + member
        at = (batch * heads + head) * total_queries + query_start
        q_source = q_base + batch * strides[0] + head * strides[1] + query_start * strides[2]
        grad_source = grad_base + batch * strides[12] + head * strides[13] + query_start * strides[14]
        if USES_TMA:  # descriptors spare the registers that pointers of a whole tile would hold
            q_source = tl.make_tensor_descriptor(q_source, [queries, HEAD_SIZE], [strides[2], 1], [BLOCK_N, BLOCK_D])
            grad_source = tl.make_tensor_descriptor(
                grad_source, [queries, VALUE_SIZE], [strides[14], 1], [BLOCK_N, BLOCK_V]
            )
        bases = (q_source, grad_source, lse_base + at, delta_base + at, q_base)
        if HAS_RIGHT:
            carry = _walk_queries(carry, k, v, bases, strides, keys_at, (first, inner_first), band, pair, True,
                                  HAS_RIGHT, HAS_LEFT, HAS_SOFTCAP, HEAD_SIZE, VALUE_SIZE, BLOCK_N, BLOCK_D,
                                  BLOCK_V, USES_TMA)  # fmt: skip
        carry = _walk_queries(carry, k, v, bases, strides, keys_at, (inner_first, inner_last), band, pair, False, False,
                              False, HAS_SOFTCAP, HEAD_SIZE, VALUE_SIZE, BLOCK_N, BLOCK_D,
                              BLOCK_V, USES_TMA)  # fmt: skip
        if HAS_LEFT or HAS_TAIL:
            carry = _walk_queries(carry, k, v, bases, strides, keys_at, (inner_last, last), band, pair, True, HAS_RIGHT,
                                  HAS_LEFT, HAS_SOFTCAP, HEAD_SIZE, VALUE_SIZE, BLOCK_N, BLOCK_D,
                                  BLOCK_V, USES_TMA)  # fmt: skip
    grad_k, grad_v = carry
    store_rows(
        grad_k_base, first_key, (strides[18], strides[19]), keys, grad_k * factors[2], HEAD_SIZE, BLOCK_M, BLOCK_D
    )
    store_rows(grad_v_base, first_key, (strides[22], strides[23]), keys, grad_v, VALUE_SIZE, BLOCK_M, BLOCK_V)


@triton.jit
def _walk_keys(
    grad_q, rows_of_q, bases, strides, rows, span, band, factors,
    MASKED: tl.constexpr, HAS_LEFT: tl.constexpr, HAS_RIGHT: tl.constexpr, HAS_SOFTCAP: tl.constexpr,
    HEAD_SIZE: tl.constexpr, VALUE_SIZE: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_D: tl.constexpr,
    BLOCK_V: tl.constexpr,
):  # fmt: skip
    """Keys span[0]..span[1] against one tile of queries."""
    q, grad_out, lse, delta = rows_of_q
    k_base, v_base = bases
    dtype = k_base.dtype.element_ty
    for start in tl.range(span[0], span[1], BLOCK_N):
        k = load_rows(k_base, start, (strides[6], strides[7]), band[3], HEAD_SIZE, BLOCK_N, BLOCK_D, MASKED, False)
        v = load_rows(v_base, start, (strides[10], strides[11]), band[3], VALUE_SIZE, BLOCK_N, BLOCK_V, MASKED, False)
        visible = is_visible(rows, start + tl.arange(0, BLOCK_N), band, HAS_LEFT, HAS_RIGHT)
        _, grad_scores = _pair_gradients(
            (q, grad_out), (k, v), lse[:, None], delta[:, None], visible, factors, MASKED, HAS_SOFTCAP
        )
        grad_q = tl.dot(narrow(grad_scores, dtype), k, grad_q, input_precision="ieee")
    return grad_q


@triton.jit
def query_gradients_kernel(
    tensors, strides, shape, factors, tables,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, HEAD_SIZE: tl.constexpr, VALUE_SIZE: tl.constexpr,
    BLOCK_D: tl.constexpr, BLOCK_V: tl.constexpr, HAS_LEFT: tl.constexpr, HAS_RIGHT: tl.constexpr,
    HAS_TAIL: tl.constexpr, HAS_SOFTCAP: tl.constexpr,
):  # fmt: skip
    """dQ of one tile of queries. tensors = (q, k, v, grad_out, lse, delta, grad_q), strides of the first four and of
    the last; shape, factors and tables as above."""
    q_base, k_base, v_base, grad_base, lse_base, delta_base, grad_q_base = tensors
    heads, group, total_queries, left, right = shape
    sequence = tl.load(tables[0] + 2 * tl.program_id(0))
    first_row = tl.load(tables[0] + 2 * tl.program_id(0) + 1) * BLOCK_M
    batch = wide(tl.load(tables[3] + sequence))
    query_start, key_start = wide(tl.load(tables[1] + sequence)), wide(tl.load(tables[2] + sequence))
    queries = tl.load(tables[4] + 2 * sequence)
    keys = tl.load(tables[4] + 2 * sequence + 1)
    head = wide(tl.program_id(1))
    kv_head = head // group
    q_base += batch * strides[0] + head * strides[1] + query_start * strides[2]
    grad_base += batch * strides[12] + head * strides[13] + query_start * strides[14]
    grad_q_base += batch * strides[16] + head * strides[17] + query_start * strides[18]
    at = (batch * heads + head) * total_queries + query_start
    bases = (
        k_base + batch * strides[4] + kv_head * strides[5] + key_start * strides[6],
        v_base + batch * strides[8] + kv_head * strides[9] + key_start * strides[10],
    )
    rows = first_row + tl.arange(0, BLOCK_M)
    q = load_rows(q_base, first_row, (strides[2], strides[3]), queries, HEAD_SIZE, BLOCK_M, BLOCK_D, True, False)
    grad_out = load_rows(
        grad_base, first_row, (strides[14], strides[15]), queries, VALUE_SIZE, BLOCK_M, BLOCK_V, True, False
    )
    lse, delta = _load_row_values(lse_base + at, delta_base + at, first_row, queries, BLOCK_M)
    rows_of_q = (q, grad_out, lse, delta)
    band = (keys - queries, left, right, keys)
    last_row = tl.minimum(first_row + BLOCK_M, queries) - 1
    first, inner_first, inner_last, last = ranges_of(first_row, last_row, band, HAS_LEFT, HAS_RIGHT, BLOCK_N)
    pair = (factors[0], factors[1])
    grad_q = tl.zeros([BLOCK_M, BLOCK_D], tl.float32)
    if HAS_LEFT:
        grad_q = _walk_keys(grad_q, rows_of_q, bases, strides, rows, (first, inner_first), band, pair, True, HAS_LEFT,
                            HAS_RIGHT, HAS_SOFTCAP, HEAD_SIZE, VALUE_SIZE, BLOCK_N, BLOCK_D, BLOCK_V)  # fmt: skip
    grad_q = _walk_keys(grad_q, rows_of_q, bases, strides, rows, (inner_first, inner_last), band, pair, False, False,
                        False, HAS_SOFTCAP, HEAD_SIZE, VALUE_SIZE, BLOCK_N, BLOCK_D, BLOCK_V)  # fmt: skip
    if HAS_RIGHT or HAS_TAIL:
        grad_q = _walk_keys(grad_q, rows_of_q, bases, strides, rows, (inner_last, last), band, pair, True, HAS_LEFT,
                            HAS_RIGHT, HAS_SOFTCAP, HEAD_SIZE, VALUE_SIZE, BLOCK_N, BLOCK_D, BLOCK_V)  # fmt: skip
    store_rows(
        grad_q_base, first_row, (strides[18], strides[19]), queries, grad_q * factors[2], HEAD_SIZE, BLOCK_M, BLOCK_D
    )


def backward_launches(
    saved: list[Tensor],
    gradients: list[Tensor],
    options: AttentionOptions,
    plans: tuple[LaunchPlan, ...] = (),
) -> tuple[tuple[Launch, ...], list[Tensor], Tensor]:
    """The three launches of saved = [q, k, v, out, lse], gradients = [of out, of lse]; [dQ, dK, dV] and delta."""
    q, k, v, out, lse = saved
    grad_out, grad_lse = gradients
    left, right = options.bounds
    problem = AttentionProblem(
        q.shape[0], q.shape[1], k.shape[1], q.shape[2], k.shape[2], q.shape[3], v.shape[3], dtype_name(q), left, right,
        options.lengths, options.softcap > 0, has_tma_layout(q) and has_tma_layout(grad_out),
    )  # fmt: skip
    plans = plans or plan_of(problem, target_of(q), True)
    delta = torch.empty_like(lse)
    results = [torch.empty_like(x) for x in (q, k, v)]
    scale = options.scale_for(q.shape[3])
    factors = (options.softcap * LOG2E, scale / options.softcap) if options.softcap else (scale * LOG2E, 1.0)
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
        "shape": (q.shape[1], q.shape[1] // k.shape[1], q.shape[2], left, right),
        "factors": (*factors, scale),
    }
    inputs = (q, k, v, grad_out)
    delta_launch = Launch(
        delta_kernel,
        plans[0],
        {
            "tensors": (out, grad_out, grad_lse, delta),
            "strides": strides_of(out, grad_out),
            "shape": (q.shape[1], q.shape[2]),
        },
        {"BLOCK_M": plans[0].configuration.block_m, "VALUE_SIZE": sizes["VALUE_SIZE"], "BLOCK_V": sizes["BLOCK_V"]},
    )
    places = segment_tables(problem, q.device)
    keys_launch = Launch(
        key_gradients_kernel,
        plans[1],
        {
            "tensors": (*inputs, lse, delta, results[1], results[2]),
            "strides": strides_of(*inputs, results[1], results[2]),
            **shared,
            "tables": (table_tensor(plans[1], q.device), *places),
        },
        {**sizes, **flags, **blocks_of(plans[1], problem), "USES_TMA": plans[1].configuration.uses_tma},
    )
    queries_launch = Launch(
        query_gradients_kernel,
        plans[2],
        {
            "tensors": (*inputs, lse, delta, results[0]),
            "strides": strides_of(*inputs, results[0]),
            **shared,
            "tables": (table_tensor(plans[2], q.device), *places),
        },
        {**sizes, **flags, **blocks_of(plans[2], problem)},
    )
    return (delta_launch, keys_launch, queries_launch), results, delta


def blocks_of(plan: LaunchPlan, problem: AttentionProblem) -> dict[str, int]:
    """Block sizes, and whether a walk may end inside a block."""
    cut = plan.configuration
    streamed = problem.queries if plan.operator == "attention_bwd_dkv" else problem.keys
    has_tail = bool(problem.lengths) or streamed % cut.block_n != 0
    return {"BLOCK_M": cut.block_m, "BLOCK_N": cut.block_n, "HAS_TAIL": has_tail}


def segment_tables(problem: AttentionProblem, device: torch.device) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Of each sequence: first query, first key, batch index, and (queries, keys); int32."""
    segments = torch.tensor(problem.segments, dtype=torch.int32).reshape(-1, 2)
    count = len(problem.segments)
    if problem.lengths:
        starts = starts_of(problem.lengths, device)
        return starts[0], starts[1], torch.zeros(count, dtype=torch.int32, device=device), segments.to(device)
    zeros = torch.zeros(count, dtype=torch.int32, device=device)
    return zeros, zeros, torch.arange(count, dtype=torch.int32, device=device), segments.to(device)


@torch.library.custom_op("einfuse::attention_backward", mutates_args=())
def attention_backward(
    saved: list[Tensor], gradients: list[Tensor], sinks: Tensor | None, numbers: list[float]
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """dQ, dK, dV, dSinks (empty without sinks) of saved = [q, k, v, out, lse] and gradients = [of out, of lse]."""
    options = AttentionOptions.unpack(numbers, sinks)
    q, k, v, _, lse = saved
    if not runs_triton(q):
        grad_q, grad_k, grad_v, grad_sinks = attend_backward(q, k, v, (gradients[0], gradients[1]), options)
        laid_out = [torch.empty_like(x).copy_(g) for x, g in ((q, grad_q), (k, grad_k), (v, grad_v))]
        return laid_out[0], laid_out[1], laid_out[2], lse.new_empty(0) if grad_sinks is None else grad_sinks
    contiguous_lse_gradient = gradients[1].float().contiguous()
    launches, results, delta = backward_launches(saved, [gradients[0], contiguous_lse_gradient], options)
    run(*launches)
    if sinks is None:
        return results[0], results[1], results[2], lse.new_empty(0)
    # The sink is one more column: dS = P (0 - delta).
    weight = torch.exp(sinks.float()[None, :, None] - lse)
    grad_sinks = -(weight * delta).sum((0, 2)).to(sinks.dtype)
    return results[0], results[1], results[2], grad_sinks


@attention_backward.register_fake
def _(
    saved: list[Tensor], gradients: list[Tensor], sinks: Tensor | None, numbers: list[float]
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    q, k, v, _, lse = saved
    grad_sinks = lse.new_empty(0) if sinks is None else torch.empty_like(sinks)
    return torch.empty_like(q), torch.empty_like(k), torch.empty_like(v), grad_sinks
