"""Softmax attention with every option, its backward, and decode over a cache: three passes, nothing fused.

out = softmax(mask(softcap(scale Q K^T))) V over rows [queries], with a sink as one more column without a value. A row
that sees no key gives 0, and log-sum-exp -inf (the sink's logit, where there is one). This is the 3-pass cascade of
Nayak et al., MICRO 2024.
"""

import torch
from torch import Tensor

from kernels.options import PLAIN, AttentionOptions, check_attention


def widen(x: Tensor) -> Tensor:
    """16-bit inputs are computed in fp32, others in their own dtype."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def visible_pairs(queries: int, keys: int, bounds: tuple[int, int], device: torch.device | None = None) -> Tensor:
    """Which keys each query sees: [queries, keys], boolean."""
    left, right = bounds
    row = torch.arange(queries, device=device)[:, None] + keys - queries  # position of the query among the keys
    column = torch.arange(keys, device=device)[None, :]
    visible = torch.ones(queries, keys, dtype=torch.bool, device=device)
    if left >= 0:
        visible &= column >= row - left
    if right >= 0:
        visible &= column <= row + right
    return visible


def repeat_heads(x: Tensor, heads: int) -> Tensor:
    """Each key-value head once per query head of its group: [B, Hkv, N, D] -> [B, H, N, D]."""
    return x.repeat_interleave(heads // x.shape[1], dim=1)


def attend(q: Tensor, k: Tensor, v: Tensor, options: AttentionOptions = PLAIN) -> tuple[Tensor, Tensor]:
    """Output [B, H, Nq, Dv] and natural log-sum-exp [B, H, Nq] of q [B, H, Nq, D], k [B, Hkv, Nk, D], v [B, Hkv, Nk,
    Dv]."""
    check_attention(q, k, v, options)
    if options.lengths:
        return attend_packed(q, k, v, options)
    out, lse, _, _ = attend_dense(q, k, v, options)
    return out.to(q.dtype), lse


def attend_packed(q: Tensor, k: Tensor, v: Tensor, options: AttentionOptions) -> tuple[Tensor, Tensor]:
    """Sequence after sequence of a packed batch."""
    alone = options.without_lengths()
    queries, keys = (list(column) for column in zip(*options.lengths, strict=True))
    parts = [
        attend(*triple, alone) for triple in zip(q.split(queries, 2), k.split(keys, 2), v.split(keys, 2), strict=True)
    ]
    return torch.cat([out for out, _ in parts], 2), torch.cat([lse for _, lse in parts], 2)


def attend_dense(q: Tensor, k: Tensor, v: Tensor, options: AttentionOptions) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """As `attend`, with the probabilities [B, H, Nq, Nk] and the slope of the softcap; all in the wide dtype."""
    heads, queries, keys = q.shape[1], q.shape[2], k.shape[2]
    wide_q, wide_k, wide_v = widen(q), repeat_heads(widen(k), heads), repeat_heads(widen(v), heads)
    logits = wide_q @ wide_k.mT * options.scale_for(q.shape[3])  # [B, H, Nq, Nk]
    slope = torch.ones_like(logits)
    if options.softcap:
        capped = torch.tanh(logits / options.softcap)
        logits, slope = options.softcap * capped, 1 - capped * capped
    visible = visible_pairs(queries, keys, options.bounds, q.device)
    logits = logits.masked_fill(~visible, float("-inf"))
    if options.sinks is not None:
        sink = options.sinks.to(logits.dtype)[None, :, None, None].expand(q.shape[0], -1, queries, 1)
        logits = torch.cat([logits, sink], -1)  # [B, H, Nq, Nk + 1]
    lse = torch.logsumexp(logits, -1) if logits.shape[-1] else logits.new_full(logits.shape[:-1], float("-inf"))
    finite = lse.masked_fill(lse == float("-inf"), 0.0)  # a row without keys: exp(-inf - 0) = 0
    probabilities = torch.exp(logits - finite[..., None])[..., :keys]
    return probabilities @ wide_v, lse, probabilities, slope


def attend_backward(
    q: Tensor, k: Tensor, v: Tensor, gradients: tuple[Tensor, Tensor | None], options: AttentionOptions = PLAIN
) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """dQ, dK, dV, dSinks from gradients = (of the output, of the log-sum-exp or None), by the closed formulas."""
    check_attention(q, k, v, options)
    if options.lengths:
        return attend_backward_packed(q, k, v, gradients, options)
    grad_out, grad_lse = gradients
    group = q.shape[1] // k.shape[1]
    out, lse, probabilities, slope = attend_dense(q, k, v, options)
    wide = widen(grad_out)
    delta = (wide * out).sum(-1)  # [B, H, Nq]
    if grad_lse is not None:
        delta = delta - grad_lse.to(delta.dtype)
    grad_p = wide @ repeat_heads(widen(v), q.shape[1]).mT  # [B, H, Nq, Nk]
    grad_s = probabilities * (grad_p - delta[..., None]) * slope * options.scale_for(q.shape[3])
    grad_q = grad_s @ repeat_heads(widen(k), q.shape[1])
    grad_k = (grad_s.mT @ widen(q)).unflatten(1, (-1, group)).sum(2)  # summed over a group
    grad_v = (probabilities.mT @ wide).unflatten(1, (-1, group)).sum(2)
    grad_sinks = None
    if options.sinks is not None:
        weight = torch.exp(options.sinks.to(lse.dtype)[None, :, None] - lse)
        grad_sinks = -(weight * delta).sum((0, 2)).to(options.sinks.dtype)
    return grad_q.to(q.dtype), grad_k.to(k.dtype), grad_v.to(v.dtype), grad_sinks


def attend_backward_packed(
    q: Tensor, k: Tensor, v: Tensor, gradients: tuple[Tensor, Tensor | None], options: AttentionOptions
) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    alone = options.without_lengths()
    parts, row, column = [], 0, 0
    for queries, keys in options.lengths:
        rows, columns = slice(row, row + queries), slice(column, column + keys)
        grad_lse = None if gradients[1] is None else gradients[1][:, :, rows]
        part = (gradients[0][:, :, rows], grad_lse)
        parts.append(attend_backward(q[:, :, rows], k[:, :, columns], v[:, :, columns], part, alone))
        row, column = row + queries, column + keys
    grad_q, grad_k, grad_v = (torch.cat([part[i] for part in parts], 2) for i in range(3))
    sinks = [part[3] for part in parts if part[3] is not None]
    return grad_q, grad_k, grad_v, torch.stack(sinks).sum(0) if sinks else None


def attend_decode(
    q: Tensor, k: Tensor, v: Tensor, lengths: tuple[int, ...], options: AttentionOptions = PLAIN
) -> tuple[Tensor, Tensor]:
    """Attention of q [B, H, Nq, D] over the first `lengths[b]` keys of each cache k, v [B, Hkv, N, D]."""
    parts = [
        attend(q[b : b + 1], k[b : b + 1, :, :length], v[b : b + 1, :, :length], options)
        for b, length in enumerate(lengths)
    ]
    if not parts:
        return q.new_empty(*q.shape[:3], v.shape[3]), widen(q).new_empty(q.shape[:3])
    return torch.cat([out for out, _ in parts]), torch.cat([lse for _, lse in parts])


def gather_pages(cache: Tensor, table: Tensor) -> Tensor:
    """A paged cache [pages, page size, Hkv, D] as [B, Hkv, N, D], by the page table [B, pages of a sequence]; an entry
    without an existing page gives page 0, which is allowed only where no key counts."""
    if not cache.shape[0]:
        return cache.new_zeros(table.shape[0], cache.shape[2], table.shape[1] * cache.shape[1], cache.shape[3])
    is_there = (table >= 0) & (table < cache.shape[0])
    pages = cache[torch.where(is_there, table.long(), 0)]  # [B, pages, page size, Hkv, D]
    return pages.flatten(1, 2).transpose(1, 2)
