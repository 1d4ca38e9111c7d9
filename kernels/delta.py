"""The gated delta rule by chunks (Yang et al., arXiv 2412.06464): forward, with one gate per head.

Within a chunk with state S before it and cumulative log gates b, the value written under key i is u_i = beta_i (v_i -
e^b_i k_i S - sum_{j<i} e^(b_i - b_j) (k_i k_j) u_j), a triangular system (I + A) U = R. A first launch inverts I + A of
every chunk by forward substitution (powers of A would cancel for similar keys); a second traverses the chunks of a head
with its state, for a block of value channels. No exponent exceeds zero. The state is accumulated in fp32 and rounded to
the inputs' precision where it is multiplied.
"""

# Kernel parameters are device tensors and scalars, which have no Python type.
# mypy: allow-untyped-defs

from typing import Any, NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from kernels.arguments import bind_ranks, check_linear, in_autocast
from kernels.launching import Launch, contiguous_copy, dtype_name, run, runs_triton, target_of
from kernels.numerics import LOG2_E, load_rows, narrow, operand, stored, wide
from kernels.plans.planning import plan as plan_of
from kernels.plans.problems import DeltaRuleProblem
from kernels.plans.types import LaunchPlan, next_power_of_two
from kernels.records import QKV, Gates, Rows
from kernels.reference.linear import gated_delta_rule as reference_forward


class SolveTensors(NamedTuple):
    """Contiguous: k; gates and betas, fp32; inverses [heads, chunks, CHUNK, CHUNK], fp32."""

    k: Any
    gate: Any
    beta: Any
    inverses: Any


class ScanTensors(NamedTuple):
    """Contiguous: q, k, v; gates, betas and inverses as the first launch has them; initial and final state, fp32."""

    q: Any
    k: Any
    v: Any
    gate: Any
    beta: Any
    inverses: Any
    initial: Any
    out: Any
    final: Any


@triton.jit
def _load_head_values(base, start, length, ROWS: tl.constexpr):
    """One number per token, zero beyond the end."""
    rows = tl.arange(0, ROWS)
    return tl.load(base + start + rows, mask=rows < length - start, other=0.0)


@triton.jit
def delta_solve_kernel(
    tensors, length,
    KEYS: tl.constexpr, CHUNK: tl.constexpr, BLOCK_D: tl.constexpr,
):  # fmt: skip
    """(I + A)^-1 of one chunk of one head."""
    chunk, head = tl.program_id(0), wide(tl.program_id(1))
    start = chunk * CHUNK
    k_rows = Rows(tensors.k + head * length * KEYS, KEYS, 1)
    k = load_rows(k_rows, start, length, KEYS, CHUNK, BLOCK_D, True, False)
    decay = tl.cumsum(_load_head_values(tensors.gate + head * length, start, length, CHUNK) * LOG2_E, 0)
    beta = _load_head_values(tensors.beta + head * length, start, length, CHUNK)
    rows, columns = tl.arange(0, CHUNK)[:, None], tl.arange(0, CHUNK)[None, :]
    exponent = tl.where(rows > columns, decay[:, None] - decay[None, :], float("-inf"))
    system = tl.dot(k, tl.trans(k), input_precision="ieee") * tl.exp2(exponent) * beta[:, None]
    inverse = tl.where(rows == columns, 1.0, 0.0)
    for row in tl.range(1, CHUNK):  # row of the inverse = row of I - (row of A) times the rows above
        line = tl.sum(tl.where(rows == row, system, 0.0), 0)  # [CHUNK], zero from the diagonal on
        solved = -tl.sum(line[:, None] * inverse, 0)
        inverse = tl.where(rows == row, tl.where(columns == row, 1.0, solved[None, :]), inverse)
    at = tensors.inverses + (head * tl.num_programs(0) + chunk) * CHUNK * CHUNK
    tl.store(at + rows * CHUNK + columns, inverse)


@triton.jit
def delta_scan_kernel(
    tensors, length,
    KEYS: tl.constexpr, VALUES: tl.constexpr, CHUNK: tl.constexpr, BLOCK_D: tl.constexpr, BLOCK_V: tl.constexpr,
    PRECISION: tl.constexpr, HAS_INITIAL: tl.constexpr,
):  # fmt: skip
    """All chunks of one head, for a block of value channels."""
    column, head = tl.program_id(0) * BLOCK_V, wide(tl.program_id(1))
    q_rows = Rows(tensors.q + head * length * KEYS, KEYS, 1)
    k_rows = Rows(tensors.k + head * length * KEYS, KEYS, 1)
    v_base = tensors.v + head * length * VALUES + column
    out_base = tensors.out + head * length * VALUES + column
    gate_base = tensors.gate + head * length
    beta_base = tensors.beta + head * length
    dtype = tensors.k.dtype.element_ty
    chunks = tl.cdiv(length, CHUNK)
    inner, columns, rows = tl.arange(0, BLOCK_D), tl.arange(0, BLOCK_V), tl.arange(0, CHUNK)
    at_state = head * KEYS * VALUES + inner[:, None] * VALUES + column + columns[None, :]
    state_mask = (inner < KEYS)[:, None] & (column + columns < VALUES)[None, :]
    state = tl.zeros([BLOCK_D, BLOCK_V], tl.float32)
    if HAS_INITIAL:
        state = tl.load(tensors.initial + at_state, mask=state_mask, other=0.0)
    pair = rows[:, None] * CHUNK + rows[None, :]
    for chunk in tl.range(0, chunks):
        start = chunk * CHUNK
        decay = tl.cumsum(_load_head_values(gate_base, start, length, CHUNK) * LOG2_E, 0)
        total = tl.min(decay, 0)  # the last of a decreasing sequence; rows beyond the end add no decay
        beta = _load_head_values(beta_base, start, length, CHUNK)
        k = load_rows(k_rows, start, length, KEYS, CHUNK, BLOCK_D, True, False)
        token_mask = (rows < length - start)[:, None] & (column + columns < VALUES)[None, :]
        at = wide(start) * VALUES + rows[:, None] * VALUES + columns[None, :]
        v = operand(tl.load(v_base + at, mask=token_mask, other=0.0)).to(tl.float32)
        # Decay scales rows of the products, not the operands, which stay as loaded.
        fading = tl.exp2(decay)[:, None]
        held = narrow(state, dtype)
        found = tl.dot(k, held, input_precision="ieee") * fading
        inverse = tl.load(tensors.inverses + (head * chunks + chunk) * CHUNK * CHUNK + pair)
        written = tl.dot(inverse, (v - found) * beta[:, None], input_precision=PRECISION)
        q = load_rows(q_rows, start, length, KEYS, CHUNK, BLOCK_D, True, False)
        exponent = tl.where(rows[:, None] >= rows[None, :], decay[:, None] - decay[None, :], float("-inf"))
        scores = tl.dot(q, tl.trans(k), input_precision="ieee") * tl.exp2(exponent)
        out = tl.dot(q, held, input_precision="ieee") * fading
        out = tl.dot(narrow(scores, dtype), narrow(written, dtype), out, input_precision="ieee")
        tl.store(out_base + at, stored(out, out_base.dtype.element_ty), mask=token_mask)
        kept = narrow(written * tl.exp2(total - decay)[:, None], dtype)
        state = tl.dot(tl.trans(k), kept, state * tl.exp2(total), input_precision="ieee")
    tl.store(tensors.final + at_state, state, mask=state_mask)


def delta_launches(
    qkv: QKV, gates: Gates, state: Tensor | None,
    plans: tuple[LaunchPlan, ...] = (),
) -> tuple[tuple[Launch, Launch], Tensor, Tensor]:  # fmt: skip
    """The two launches, the output and the final state; all tensors contiguous."""
    q, k, v = qkv
    gate, beta = gates
    problem = DeltaRuleProblem(q.shape[0], q.shape[1], q.shape[2], q.shape[3], v.shape[3], dtype_name(q))
    first, second = plans or plan_of(problem, target_of(q))
    cut = second.configuration
    chunks = -(-problem.length // cut.block_m)
    numbers = {"dtype": torch.float32, "device": q.device}
    inverses = torch.empty(*q.shape[:2], chunks, cut.block_m, cut.block_m, **numbers)
    out = torch.empty_like(v)
    final = torch.empty(*q.shape[:2], q.shape[3], v.shape[3], **numbers)
    constants = {
        "KEYS": problem.key_size,
        "CHUNK": cut.block_m,
        "BLOCK_D": next_power_of_two(problem.key_size, 16),
    }
    initial = final if state is None else state
    scan = {
        "VALUES": problem.value_size,
        "BLOCK_V": cut.block_n,
        # For the product of the inverse and the values to write, both fp32; the interpreter computes fp32 either way.
        "PRECISION": "ieee" if problem.dtype == "fp32" else "tf32",
        "HAS_INITIAL": state is not None,
    }
    return (
        (
            Launch(
                delta_solve_kernel,
                first,
                {"tensors": SolveTensors(k, gate, beta, inverses), "length": problem.length},
                constants,
            ),
            Launch(
                delta_scan_kernel,
                second,
                {
                    "tensors": ScanTensors(q, k, v, gate, beta, inverses, initial, out, final),
                    "length": problem.length,
                },
                {**constants, **scan},
            ),
        ),
        out,
        final,
    )


@torch.library.custom_op("einfuse::gated_delta_rule", mutates_args=())
def delta_operator(qkv: list[Tensor], gate: Tensor, beta: Tensor, state: Tensor | None) -> tuple[Tensor, Tensor]:
    q, k, v = qkv
    if not runs_triton(q):
        out, final = reference_forward(q, k, v, (gate, beta), state)
        return contiguous_copy(out), contiguous_copy(final)
    initial = None if state is None else state.float().contiguous()
    gates = Gates(gate.float().contiguous(), beta.float().contiguous())
    launches, out, final = delta_launches(QKV(q.contiguous(), k.contiguous(), v.contiguous()), gates, initial)
    run(*launches)
    return out, final


@delta_operator.register_fake
def _(qkv: list[Tensor], gate: Tensor, beta: Tensor, state: Tensor | None) -> tuple[Tensor, Tensor]:
    q, _, v = qkv
    dtype = torch.float64 if q.dtype == torch.float64 else torch.float32
    out = torch.empty(v.shape, dtype=q.dtype, device=q.device)
    return out, q.new_empty(*q.shape[:2], q.shape[3], v.shape[3], dtype=dtype)


def gated_delta_rule(
    qkv: tuple[Tensor, Tensor, Tensor], gate: Tensor, beta: Tensor, state: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Output [B, H, T, Dv] and final state [B, H, D, Dv] (fp32) of qkv = (q, k [B, H, T, D], v [B, H, T, Dv]).

    gate [B, H, T]: logarithms, at most 0; beta [B, H, T]: write strengths; keys should have norm at most one, or the
    state may grow; the scale is folded into q; not differentiable.
    """
    q, k, v = in_autocast(*qkv)
    check_linear(QKV(q, k, v), state)
    bind_ranks("q[B,H,T,D] gate[B,H,T] beta[B,H,T]", q, gate, beta)
    return delta_operator([q, k, v], gate, beta, state)
