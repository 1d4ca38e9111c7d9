"""Linear attention token by token, with gates and optionally the delta rule: for decoding, where chunks do not pay off.

One program holds the state of one head for a block of value channels in registers and loops over the tokens: H' =
exp(g) H; u = v, or with the delta rule beta (v - k H'); H = H' + k^T u; o = q H. Everything is in fp32.
"""

# Kernel parameters are device tensors and scalars, which have no Python type.
# mypy: allow-untyped-defs

from typing import Any, NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from kernels.arguments import bind_ranks, check_gate, check_linear, in_autocast
from kernels.launching import Launch, contiguous_copy, dtype_name, run, runs_triton, target_of
from kernels.numerics import LOG2_E, operand, stored, wide
from kernels.plans.planning import plan as plan_of
from kernels.plans.problems import RecurrentAttentionProblem
from kernels.plans.types import LaunchPlan, next_power_of_two
from kernels.records import QKV, Gates
from kernels.reference.linear import gated_delta_rule as reference_delta
from kernels.reference.linear import gated_linear_attention as reference_forward


class RecurrentTensors(NamedTuple):
    """Contiguous [heads, length, ...]: q, k, v, out; gates, betas and states in fp32."""

    q: Any
    k: Any
    v: Any
    gate: Any
    beta: Any
    initial: Any
    out: Any
    final: Any


@triton.jit
def recurrent_kernel(
    tensors, length,
    KEYS: tl.constexpr, VALUES: tl.constexpr, BLOCK_D: tl.constexpr, BLOCK_V: tl.constexpr,
    IS_WIDE: tl.constexpr, HAS_DELTA: tl.constexpr, HAS_INITIAL: tl.constexpr,
):  # fmt: skip
    """All tokens of one head, for a block of value channels."""
    column, head = tl.program_id(0) * BLOCK_V, wide(tl.program_id(1))
    keys, values = tl.arange(0, BLOCK_D), column + tl.arange(0, BLOCK_V)
    key_mask, value_mask = keys < KEYS, values < VALUES
    q_base = tensors.q + head * length * KEYS
    k_base = tensors.k + head * length * KEYS
    v_base = tensors.v + head * length * VALUES
    out_base = tensors.out + head * length * VALUES
    gate_base = tensors.gate + head * length * (KEYS if IS_WIDE else 1)
    beta_base = tensors.beta + head * length
    at_state = head * KEYS * VALUES + keys[:, None] * VALUES + values[None, :]
    state_mask = key_mask[:, None] & value_mask[None, :]
    state = tl.zeros([BLOCK_D, BLOCK_V], tl.float32)
    if HAS_INITIAL:
        state = tl.load(tensors.initial + at_state, mask=state_mask, other=0.0)
    for token in tl.range(0, length):
        k = operand(tl.load(k_base + wide(token) * KEYS + keys, mask=key_mask, other=0.0)).to(tl.float32)
        u = operand(tl.load(v_base + wide(token) * VALUES + values, mask=value_mask, other=0.0)).to(tl.float32)
        if IS_WIDE:
            gate = tl.load(gate_base + wide(token) * KEYS + keys, mask=key_mask, other=0.0)
            state *= tl.exp2(gate * LOG2_E)[:, None]
        else:
            state *= tl.exp2(tl.load(gate_base + token) * LOG2_E)
        if HAS_DELTA:
            u = tl.load(beta_base + token) * (u - tl.sum(k[:, None] * state, 0))
        state += k[:, None] * u[None, :]
        q = operand(tl.load(q_base + wide(token) * KEYS + keys, mask=key_mask, other=0.0)).to(tl.float32)
        out = tl.sum(q[:, None] * state, 0)
        tl.store(out_base + wide(token) * VALUES + values, stored(out, out_base.dtype.element_ty), mask=value_mask)
    tl.store(tensors.final + at_state, state, mask=state_mask)


def recurrent_launch(
    qkv: QKV, gates: Gates, state: Tensor | None,
    plan: LaunchPlan | None = None,
) -> tuple[Launch, Tensor, Tensor]:  # fmt: skip
    """The launch, the output and the final state."""
    q, k, v = qkv
    gate, beta = gates
    problem = RecurrentAttentionProblem(
        q.shape[0], q.shape[1], q.shape[2], q.shape[3], v.shape[3], dtype_name(q), gate.dim() == 4, beta is not None
    )
    plan = plan or plan_of(problem, target_of(q))[0]
    out = torch.empty_like(v)
    final = torch.empty(*q.shape[:2], q.shape[3], v.shape[3], dtype=torch.float32, device=q.device)
    betas, initial = gate if beta is None else beta, final if state is None else state
    tensors = RecurrentTensors(q, k, v, gate, betas, initial, out, final)
    constants = {
        "KEYS": problem.key_size,
        "VALUES": problem.value_size,
        "BLOCK_D": next_power_of_two(problem.key_size, 16),
        "BLOCK_V": plan.configuration.block_n,
        "IS_WIDE": problem.is_gate_per_channel,
        "HAS_DELTA": problem.has_delta,
        "HAS_INITIAL": state is not None,
    }
    return Launch(recurrent_kernel, plan, {"tensors": tensors, "length": problem.length}, constants), out, final


@torch.library.custom_op("einfuse::recurrent_linear_attention", mutates_args=())
def recurrent_operator(
    qkv: list[Tensor], gate: Tensor, beta: Tensor | None, state: Tensor | None
) -> tuple[Tensor, Tensor]:
    q, k, v = qkv
    if runs_triton(q):
        betas = None if beta is None else beta.float().contiguous()
        initial = None if state is None else state.float().contiguous()
        whole = QKV(q.contiguous(), k.contiguous(), v.contiguous())
        launch, out, final = recurrent_launch(whole, Gates(gate.float().contiguous(), betas), initial)
        run(launch)
        return out, final
    if beta is None:
        out, final = reference_forward(q, k, v, gate, state)
    else:
        out, final = reference_delta(q, k, v, (gate, beta), state)
    return contiguous_copy(out), contiguous_copy(final)


@recurrent_operator.register_fake
def _(qkv: list[Tensor], gate: Tensor, beta: Tensor | None, state: Tensor | None) -> tuple[Tensor, Tensor]:
    q, _, v = qkv
    dtype = torch.float64 if q.dtype == torch.float64 else torch.float32
    out = torch.empty(v.shape, dtype=q.dtype, device=q.device)
    return out, q.new_empty(*q.shape[:2], q.shape[3], v.shape[3], dtype=dtype)


def recurrent_linear_attention(
    qkv: tuple[Tensor, Tensor, Tensor], gate: Tensor, *, beta: Tensor | None = None, state: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Output [B, H, T, Dv] and final state [B, H, D, Dv] (fp32) of qkv = (q, k [B, H, T, D], v [B, H, T, Dv]).

    gate: logarithms, at most 0, [B, H, T] or per key channel [B, H, T, D]; beta [B, H, T] enables the delta rule (keys
    should have norm at most one, or the state may grow); the scale is folded into q; not differentiable.
    """
    q, k, v = in_autocast(*qkv)
    check_linear(QKV(q, k, v), state)
    check_gate(q, gate)
    bind_ranks("q[B,H,T,D] beta[B,H,T]", q, beta)
    return recurrent_operator([q, k, v], gate, beta, state)
