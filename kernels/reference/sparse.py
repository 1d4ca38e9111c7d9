"""Block-sparse attention by index list, as dense attention under the mask that the list describes."""

import torch
from torch import Tensor

from kernels.reference.scaled import repeat_heads, widen


def mask_of_blocks(indices: Tensor, counts: Tensor, shape: tuple[int, int], block: int) -> Tensor:
    """[B, H, queries, keys], true if a query's block lists the key's block.

    indices: [B, H, query blocks, most blocks]; the first counts[b, h, i] of each row are valid, in any order.
    """
    queries, keys = shape
    key_blocks = -(-keys // block)
    listed = torch.arange(indices.shape[-1], device=indices.device) < counts[..., None]
    # Invalid entries go to an extra column, which is dropped.
    target = torch.where(listed, indices.long(), key_blocks)
    chosen = torch.zeros(*indices.shape[:3], key_blocks + 1, dtype=torch.bool, device=indices.device)
    chosen.scatter_(3, target, True)
    mask = chosen[..., :key_blocks].repeat_interleave(block, 2).repeat_interleave(block, 3)
    return mask[:, :, :queries, :keys]


def attend_blocks(q: Tensor, k: Tensor, v: Tensor, mask: Tensor, is_causal: bool = False) -> tuple[Tensor, Tensor]:
    """Output and natural log-sum-exp of softmax attention under a mask [B, H, Nq, Nk], scale 1/sqrt(D)."""
    heads, queries, keys = q.shape[1], q.shape[2], k.shape[2]
    logits = widen(q) @ repeat_heads(widen(k), heads).mT * q.shape[3] ** -0.5
    if is_causal:
        row = torch.arange(queries, device=q.device)[:, None] + keys - queries
        mask = mask & (torch.arange(keys, device=q.device) <= row)
    logits = logits.masked_fill(~mask, float("-inf"))
    lse = torch.logsumexp(logits, -1) if keys else logits.new_full(logits.shape[:-1], float("-inf"))
    finite = lse.masked_fill(lse == float("-inf"), 0.0)
    out = torch.exp(logits - finite[..., None]) @ repeat_heads(widen(v), heads)
    return out.to(q.dtype), lse
