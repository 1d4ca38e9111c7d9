"""Linear and gated linear attention: kernelised scores without a softmax, so that a state replaces the keys.

H[t+1] = exp(g[t]) H[t] + k[t]^T v[t]; o[t] = scale q[t] H[t+1], with log gates g <= 0 per key channel or per head
(Yang et al., arXiv 2312.06635). Three spellings of one cascade: a recurrence, chunks, and all pairs.
"""

import torch
from torch import Tensor

from kernels.reference.scaled import widen


def linear_attention(q: Tensor, k: Tensor, v: Tensor, *, epsilon: float = 1e-6) -> Tensor:
    """Unmasked, normalised; q, k [B, H, N, D] with feature maps already applied. Multiplies keys and values first."""
    wide_q, wide_k, wide_v = widen(q), widen(k), widen(v)
    state = wide_k.mT @ wide_v  # [B, H, D, Dv]
    mass = wide_k.sum(2)  # [B, H, D]
    denominator = (wide_q * mass[:, :, None]).sum(-1, keepdim=True) + epsilon
    return (wide_q @ state / denominator).to(q.dtype)


def full_gate(gate: Tensor, q: Tensor) -> Tensor:
    """Log gates [B, H, T] (per head) or [B, H, T, D] (per key channel), as the latter, in the precision of q's sums."""
    wide = gate.to(widen(q).dtype)
    return wide[..., None].expand(*gate.shape, q.shape[-1]) if gate.dim() == 3 else wide


def gated_linear_attention(
    q: Tensor, k: Tensor, v: Tensor, gate: Tensor, state: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Output [B, H, T, Dv] and final state [B, H, D, Dv], token by token; the scale is folded into q."""
    wide_q, wide_k, wide_v, wide_g = widen(q), widen(k), widen(v), full_gate(gate, q)
    held = wide_q.new_zeros(*q.shape[:2], q.shape[3], v.shape[3]) if state is None else state.to(wide_q.dtype)
    outputs = []
    for t in range(q.shape[2]):
        held = torch.exp(wide_g[:, :, t])[..., None] * held + wide_k[:, :, t, :, None] * wide_v[:, :, t, None]
        outputs.append((wide_q[:, :, t, :, None] * held).sum(2))  # [B, H, Dv]
    out = torch.stack(outputs, 2) if outputs else wide_v
    return out.to(q.dtype), held


def gated_delta_rule(
    q: Tensor, k: Tensor, v: Tensor, gates: tuple[Tensor, Tensor], state: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Output [B, H, T, Dv] and final state [B, H, D, Dv] of the gated delta rule, token by token.

    gates = (log gates [B, H, T] or [B, H, T, D], write strengths beta [B, H, T]). The value that the decayed state
    holds under a key is replaced, not added to: H' = exp(g) H, H = H' + k^T beta (v - k H') (Yang et al., arXiv
    2412.06464).
    """
    wide_q, wide_k, wide_v, wide_g, beta = (
        widen(q),
        widen(k),
        widen(v),
        full_gate(gates[0], q),
        gates[1].to(widen(q).dtype),
    )
    held = wide_q.new_zeros(*q.shape[:2], q.shape[3], v.shape[3]) if state is None else state.to(wide_q.dtype)
    outputs = []
    for t in range(q.shape[2]):
        held = torch.exp(wide_g[:, :, t])[..., None] * held
        found = (wide_k[:, :, t, :, None] * held).sum(2)  # [B, H, Dv]
        written = beta[:, :, t, None] * (wide_v[:, :, t] - found)
        held = held + wide_k[:, :, t, :, None] * written[:, :, None]
        outputs.append((wide_q[:, :, t, :, None] * held).sum(2))
    out = torch.stack(outputs, 2) if outputs else wide_v
    return out.to(q.dtype), held


def quadratic_gated_linear_attention(q: Tensor, k: Tensor, v: Tensor, gate: Tensor) -> Tensor:
    """The same from all pairs, in O(T^2 D) memory: weights sum over d of q k exp(G_i - G_j), j <= i."""
    decay = full_gate(gate, q).cumsum(2)  # [B, H, T, D]
    length = q.shape[2]
    causal = torch.ones(length, length, dtype=torch.bool, device=q.device).tril()
    difference = decay[:, :, :, None] - decay[:, :, None]  # [B, H, T, T, D]
    weight = torch.exp(difference.masked_fill(~causal[..., None], float("-inf")))
    scores = torch.einsum("bhid,bhjd,bhijd->bhij", widen(q), widen(k), weight)
    return (scores @ widen(v)).to(q.dtype)


def chunked_gated_linear_attention(
    q: Tensor, k: Tensor, v: Tensor, gate: Tensor, chunk: int = 64
) -> tuple[Tensor, Tensor]:
    """The same by chunks: earlier tokens through the state, the chunk itself through its pairs."""
    outputs, state = [], widen(q).new_zeros(*q.shape[:2], q.shape[3], v.shape[3])
    wide_gate = full_gate(gate, q)
    for start in range(0, q.shape[2], chunk):
        part = slice(start, start + chunk)
        q_part, k_part, v_part = widen(q[:, :, part]), widen(k[:, :, part]), widen(v[:, :, part])
        decay = wide_gate[:, :, part].cumsum(2)  # [B, H, C, D], from the start of the chunk
        inter = (q_part * torch.exp(decay)) @ state
        intra = quadratic_gated_linear_attention(q_part, k_part, v_part, wide_gate[:, :, part])
        outputs.append(inter + intra)
        last = decay[:, :, -1:]
        state = torch.exp(last).mT * state + (k_part * torch.exp(last - decay)).mT @ v_part
    out = torch.cat(outputs, 2) if outputs else widen(v)
    return out.to(q.dtype), state
