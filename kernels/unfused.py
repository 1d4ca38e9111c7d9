"""Attention as three launches with the scores in memory: the unfused baseline of fusion studies.

Scores Q K^T in fp32, softmax of their rows under the mask, rounded to the input's precision, times V: the 3-pass
cascade with every intermediate in HBM. Same result as the fused kernel up to rounding.
"""

import torch
from torch import Tensor

from kernels.arguments import in_autocast
from kernels.launching import Launch, empty_output, run, runs_triton
from kernels.options import PLAIN, AttentionOptions, check_attention
from kernels.plans.problems import require
from kernels.products import gemm_launch
from kernels.reference.scaled import attend
from kernels.rows import softmax_launch


def unfused_launches(q: Tensor, k: Tensor, v: Tensor, options: AttentionOptions) -> tuple[tuple[Launch, ...], Tensor]:
    """The three launches and the output."""
    heads, queries, keys = q.shape[0] * q.shape[1], q.shape[2], k.shape[2]
    scores = torch.empty(*q.shape[:3], keys, dtype=torch.float32, device=q.device)
    weights = torch.empty(*q.shape[:3], keys, dtype=q.dtype, device=q.device)
    out = empty_output(q, v)
    rows = softmax_launch(
        scores.view(heads * queries, keys),
        weights.view(heads * queries, keys),
        (queries, *options.bounds),
        options.scale_for(q.shape[3]),
    )
    return (gemm_launch((q, k.mT, scores)), rows, gemm_launch((weights, v, out))), out


@torch.library.custom_op("einfuse::attention_unfused", mutates_args=())
def unfused_operator(q: Tensor, k: Tensor, v: Tensor, numbers: list[float]) -> Tensor:
    options = AttentionOptions.unpack(numbers)
    if not runs_triton(q):
        return empty_output(q, v).copy_(attend(q, k, v, options)[0])
    launches, out = unfused_launches(q, k, v, options)
    run(*launches)
    return out


@unfused_operator.register_fake
def _(q: Tensor, k: Tensor, v: Tensor, numbers: list[float]) -> Tensor:
    return empty_output(q, v)


def attention_unfused(q: Tensor, k: Tensor, v: Tensor, options: AttentionOptions = PLAIN) -> Tensor:
    """softmax(mask(scale Q K^T)) V with causal masks and windows; not differentiable."""
    q, k, v = in_autocast(q, k, v)
    check_attention(q, k, v, options)
    require(
        not options.lengths and not options.softcap and options.sinks is None,
        "unfused attention takes causal masks, windows and scale, not softcap, sinks or a packed batch",
    )
    return unfused_operator(q, k, v, options.pack(q.shape[3]))
