"""Gated linear attention by chunks (Yang et al., arXiv 2312.06635): forward, with a gate per key channel or per head.

The first launch traverses the chunks and writes the state before each. In the second, each program computes the outputs
of one sub-chunk: tokens before the chunk through its state, earlier sub-chunks of the chunk by products, the sub-chunk
itself pair by pair. Log gates are at most 0 and every exponent is the difference of a later and an earlier token, so no
exponential exceeds one: queries decay from the start of their sub-chunk, keys to it. Nothing overflows, however strong
the gate.
"""

# Kernel parameters are device tensors and scalars, which have no Python type.
# mypy: allow-untyped-defs

from typing import Any, NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from kernels.arguments import check_gate, check_linear, in_autocast
from kernels.launching import Launch, contiguous_copy, dtype_name, run, runs_triton, target_of
from kernels.numerics import LOG2_E, load_rows, operand, stored, wide
from kernels.plans.planning import plan as plan_of
from kernels.plans.problems import LinearAttentionProblem, require
from kernels.plans.types import LaunchPlan, next_power_of_two
from kernels.records import QKV, Rows
from kernels.reference.linear import gated_linear_attention as reference_forward


class StateTensors(NamedTuple):
    """Contiguous: k, v; gates, fp32; states [heads, chunks + 1, keys, values] and the initial state, fp32."""

    k: Any
    v: Any
    gate: Any
    states: Any
    initial: Any


class OutputTensors(NamedTuple):
    """Contiguous: q, k, v; gates and states as the first launch has them; out."""

    q: Any
    k: Any
    v: Any
    gate: Any
    states: Any
    out: Any


@triton.jit
def _load_decay(
    base, start, length, KEYS: tl.constexpr, ROWS: tl.constexpr, WIDTH: tl.constexpr, IS_WIDE: tl.constexpr
):
    """Cumulative log gates of rows, base 2: [ROWS, WIDTH], or [ROWS, 1] with one gate per head."""
    rows = tl.arange(0, ROWS)
    if IS_WIDE:
        columns = tl.arange(0, WIDTH)
        at = base + wide(start) * KEYS + rows[:, None] * KEYS + columns[None, :]
        mask = (rows < length - start)[:, None] & (columns < KEYS)[None, :]
        gates = tl.load(at, mask=mask, other=0.0)
    else:
        gates = tl.load(base + start + rows, mask=rows < length - start, other=0.0)[:, None]
    return tl.cumsum(gates * LOG2_E, 0)


@triton.jit
def states_kernel(
    tensors, length,
    KEYS: tl.constexpr, VALUES: tl.constexpr, CHUNK: tl.constexpr, BLOCK_D: tl.constexpr, BLOCK_V: tl.constexpr,
    IS_WIDE: tl.constexpr, PRECISION: tl.constexpr, HAS_INITIAL: tl.constexpr,
):  # fmt: skip
    """The state before each chunk and after the last, of one head and a block of value channels."""
    column, head = tl.program_id(0) * BLOCK_V, wide(tl.program_id(1))
    k_rows = Rows(tensors.k + head * length * KEYS, KEYS, 1)
    v_base = tensors.v + head * length * VALUES + column
    gate_base = tensors.gate + head * length * (KEYS if IS_WIDE else 1)
    chunks = tl.cdiv(length, CHUNK)
    state_base = tensors.states + head * (chunks + 1) * KEYS * VALUES
    inner = tl.arange(0, BLOCK_D)[:, None] * VALUES + column + tl.arange(0, BLOCK_V)[None, :]
    mask = (tl.arange(0, BLOCK_D) < KEYS)[:, None] & (column + tl.arange(0, BLOCK_V) < VALUES)[None, :]
    state = tl.zeros([BLOCK_D, BLOCK_V], tl.float32)
    if HAS_INITIAL:
        state = tl.load(tensors.initial + head * KEYS * VALUES + inner, mask=mask, other=0.0)
    for chunk in tl.range(0, chunks):
        tl.store(state_base + wide(chunk) * KEYS * VALUES + inner, state, mask=mask)
        start = chunk * CHUNK
        k = load_rows(k_rows, start, length, KEYS, CHUNK, BLOCK_D, True, False)
        rows, columns = tl.arange(0, CHUNK), tl.arange(0, BLOCK_V)
        v_mask = (rows < length - start)[:, None] & (column + columns < VALUES)[None, :]
        v_at = v_base + wide(start) * VALUES + rows[:, None] * VALUES + columns[None, :]
        v = operand(tl.load(v_at, mask=v_mask, other=0.0))
        decay = _load_decay(gate_base, start, length, KEYS, CHUNK, BLOCK_D, IS_WIDE)
        total = tl.min(decay, 0)  # the last of a decreasing sequence; rows beyond the end add no decay
        kept = k.to(tl.float32) * tl.exp2(total[None, :] - decay)
        # States accumulate over the whole sequence, so they are summed in fp32.
        state = state * tl.exp2(total)[:, None]  # [keys, 1], or [1, 1] with one gate per head
        state = tl.dot(tl.trans(kept), v.to(tl.float32), state, input_precision=PRECISION)
    tl.store(state_base + wide(chunks) * KEYS * VALUES + inner, state, mask=mask)


@triton.jit
def outputs_kernel(
    tensors, length,
    KEYS: tl.constexpr, VALUES: tl.constexpr, CHUNK: tl.constexpr, PART: tl.constexpr, BLOCK_D: tl.constexpr,
    BLOCK_V: tl.constexpr, IS_WIDE: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """The outputs of one sub-chunk of PART tokens, for a block of value channels."""
    start, column, head = tl.program_id(0) * PART, tl.program_id(1) * BLOCK_V, wide(tl.program_id(2))
    q_rows = Rows(tensors.q + head * length * KEYS, KEYS, 1)
    k_base = tensors.k + head * length * KEYS
    k_rows = Rows(k_base, KEYS, 1)
    v_base = tensors.v + head * length * VALUES + column
    out_base = tensors.out + head * length * VALUES + column
    gate_base = tensors.gate + head * length * (KEYS if IS_WIDE else 1)
    chunk = start // CHUNK
    chunk_start = chunk * CHUNK
    state_base = tensors.states + (head * (tl.cdiv(length, CHUNK) + 1) + chunk) * KEYS * VALUES
    rows, columns, inner = tl.arange(0, PART), tl.arange(0, BLOCK_V), tl.arange(0, BLOCK_D)
    q = load_rows(q_rows, start, length, KEYS, PART, BLOCK_D, True, False).to(tl.float32)
    decay = _load_decay(gate_base, start, length, KEYS, PART, BLOCK_D, IS_WIDE)
    decayed_q = q * tl.exp2(decay)  # from the start of the sub-chunk
    out = tl.zeros([PART, BLOCK_V], tl.float32)
    value_mask = (column + columns < VALUES)[None, :]
    # Earlier sub-chunks, the nearest first; `since` is the decay from their end to the start of this one.
    since = tl.zeros_like(tl.min(decay, 0))[None, :]
    for before in tl.range(0, (start - chunk_start) // PART):
        at = start - (before + 1) * PART
        k = load_rows(k_rows, at, length, KEYS, PART, BLOCK_D, True, False).to(tl.float32)
        v_at = v_base + wide(at) * VALUES + rows[:, None] * VALUES + columns[None, :]
        v = operand(tl.load(v_at, mask=value_mask, other=0.0))
        earlier = _load_decay(gate_base, at, length, KEYS, PART, BLOCK_D, IS_WIDE)
        total = tl.min(earlier, 0)[None, :]
        scores = tl.dot(decayed_q, tl.trans(k * tl.exp2(total - earlier + since)), input_precision=PRECISION)
        out = tl.dot(scores, v.to(tl.float32), out, input_precision=PRECISION)
        since = since + total
    state_mask = (inner < KEYS)[:, None] & value_mask
    state = tl.load(state_base + inner[:, None] * VALUES + column + columns[None, :], mask=state_mask, other=0.0)
    out = tl.dot(decayed_q * tl.exp2(since), state, out, input_precision=PRECISION)
    # The sub-chunk itself, one key at a time: row r sees keys up to r.
    for key in tl.range(0, tl.minimum(PART, length - start)):
        k_row = tl.load(k_base + wide(start + key) * KEYS + inner, mask=inner < KEYS, other=0.0).to(tl.float32)
        v_row = tl.load(v_base + wide(start + key) * VALUES + columns, mask=column + columns < VALUES, other=0.0)
        at_key = tl.sum(tl.where(rows[:, None] == key, decay, 0.0), 0)
        exponent = tl.where(rows[:, None] >= key, decay - at_key[None, :], float("-inf"))
        scores = tl.sum(q * k_row[None, :] * tl.exp2(exponent), 1)
        out += scores[:, None] * v_row.to(tl.float32)[None, :]
    target = out_base + wide(start) * VALUES + rows[:, None] * VALUES + columns[None, :]
    tl.store(target, stored(out, out_base.dtype.element_ty), mask=(rows < length - start)[:, None] & value_mask)


def linear_launches(
    qkv: QKV,
    gate: Tensor,
    state: Tensor | None,
    plans: tuple[LaunchPlan, ...] = (),
    out_dtype: torch.dtype | None = None,
) -> tuple[tuple[Launch, Launch], Tensor, Tensor]:
    """The two launches, the output (by default in the inputs' dtype), and the states [B, H, chunks + 1, D, Dv]; all
    tensors are contiguous."""
    q, k, v = qkv
    problem = LinearAttentionProblem(
        q.shape[0], q.shape[1], q.shape[2], q.shape[3], v.shape[3], dtype_name(q), gate.dim() == 4
    )
    first, second = plans or plan_of(problem, target_of(q))
    cut = first.configuration
    chunks = -(-problem.length // cut.block_m)
    states = torch.empty(*q.shape[:2], chunks + 1, q.shape[3], v.shape[3], dtype=torch.float32, device=q.device)
    out = torch.empty_like(v, dtype=out_dtype or v.dtype)
    constants = {
        "KEYS": problem.key_size,
        "VALUES": problem.value_size,
        "CHUNK": cut.block_m,
        "BLOCK_D": next_power_of_two(problem.key_size, 16),
        "BLOCK_V": cut.block_n,
        "IS_WIDE": problem.is_gate_per_channel,
        # Three tf32 products come close to fp32 and run on tensor cores; the interpreter computes fp32 either way.
        "PRECISION": "ieee" if problem.dtype == "fp32" else "tf32x3",
    }
    return (
        (
            Launch(
                states_kernel,
                first,
                {
                    "tensors": StateTensors(k, v, gate, states, states if state is None else state),
                    "length": problem.length,
                },
                {**constants, "HAS_INITIAL": state is not None},
            ),
            Launch(
                outputs_kernel,
                second,
                {"tensors": OutputTensors(q, k, v, gate, states, out), "length": problem.length},
                {**constants, "PART": cut.block_k},
            ),
        ),
        out,
        states,
    )


@torch.library.custom_op("einfuse::gated_linear_attention", mutates_args=())
def linear_operator(qkv: list[Tensor], gate: Tensor, state: Tensor | None, keeps_fp32: bool) -> tuple[Tensor, Tensor]:
    """keeps_fp32: do not round the output to the inputs' precision."""
    q, k, v = qkv
    if not runs_triton(q):
        wide = [x.float() if keeps_fp32 and x.element_size() == 2 else x for x in (q, k, v)]
        out, final = reference_forward(wide[0], wide[1], wide[2], gate, state)
        return contiguous_copy(out), contiguous_copy(final)
    whole = QKV(q.contiguous(), k.contiguous(), v.contiguous())
    initial = None if state is None else state.float().contiguous()
    out_dtype = torch.float32 if keeps_fp32 else q.dtype
    launches, out, states = linear_launches(whole, gate.float().contiguous(), initial, out_dtype=out_dtype)
    run(*launches)
    return out, states[:, :, -1].clone(memory_format=torch.contiguous_format)


@linear_operator.register_fake
def _(qkv: list[Tensor], gate: Tensor, state: Tensor | None, keeps_fp32: bool) -> tuple[Tensor, Tensor]:
    q, _, v = qkv
    dtype = torch.float64 if q.dtype == torch.float64 else torch.float32
    out = torch.empty(v.shape, dtype=dtype if keeps_fp32 else q.dtype, device=q.device)
    return out, q.new_empty(*q.shape[:2], q.shape[3], v.shape[3], dtype=dtype)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    qkv, gate, state, _ = inputs
    ctx.has_state = state is not None
    ctx.save_for_backward(*qkv, gate, output[1], *([state] if ctx.has_state else []))


def _differentiate(ctx: Any, grad_out: Tensor, grad_final: Tensor) -> tuple[list[Tensor], Tensor, Tensor | None, None]:
    """With S the state after a token, a its decay, and dS = q^T dO + a dS of the token after, all three gradients are
    gated linear attention again: dQ = dO S^T walks forward; dV = k dS and dK = v dS^T walk backward, where the decay of
    a token is that of the one after it. The gate's follows: dg = q dQ - k dK + dg of the token after."""
    q, k, v, gate, final, *more = ctx.saved_tensors
    require(
        gate.dim() == 3,
        "gradients of gated linear attention need one gate per head; with a gate per key channel it has none",
    )
    state = more[0] if ctx.has_state else None
    out_gradient = grad_out.to(q.dtype)
    later = torch.cat([torch.zeros_like(gate[:, :, :1]), gate.flip(2)[:, :, :-1]], 2)
    q_back, k_back, v_back, grad_back = (x.flip(2) for x in (q, k, v, out_gradient))
    transposed = None if state is None else state.mT.contiguous()
    grad_q, _ = linear_operator([out_gradient, v, k], gate, transposed, True)
    grad_v, first = linear_operator([k_back, q_back, grad_back], later, grad_final.contiguous(), True)
    grad_k, _ = linear_operator([v_back, grad_back, q_back], later, grad_final.mT.contiguous(), True)
    grad_v, grad_k = grad_v.flip(2), grad_k.flip(2)
    of_token = (q * grad_q - k * grad_k).sum(-1)  # [B, H, T]
    beyond = (grad_final * final).sum((-2, -1))[..., None]
    grad_gate = of_token.flip(2).cumsum(2).flip(2) + beyond
    grad_state = None
    if state is not None:
        grad_state = (torch.exp(gate[:, :, 0])[..., None, None] * first).to(state.dtype)
    return [grad_q.to(q.dtype), grad_k.to(k.dtype), grad_v.to(v.dtype)], grad_gate.to(gate.dtype), grad_state, None


linear_operator.register_autograd(_differentiate, setup_context=_keep)


def gated_linear_attention(
    q: Tensor, k: Tensor, v: Tensor, gate: Tensor, state: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Output [B, H, T, Dv] and final state [B, H, D, Dv] (fp32) of q, k [B, H, T, D], v [B, H, T, Dv].

    gate: logarithms, at most 0, [B, H, T] or per key channel [B, H, T, D]; the scale is folded into q; differentiable
    with one gate per head.
    """
    q, k, v = in_autocast(q, k, v)
    check_linear(QKV(q, k, v), state)
    check_gate(q, gate)
    return linear_operator([q, k, v], gate, state, False)
