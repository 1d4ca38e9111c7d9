"""Launches to compile, by name: each makes the launcher's records for an architecture from tensors without memory."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from kernels.attention import forward_launch, problem_of
from kernels.attention_backward import backward_launches
from kernels.ceilings import copy_launch, exp2_launch
from kernels.decode import Cache, decode_launches
from kernels.delta import delta_launches
from kernels.launching import Launch
from kernels.linear import linear_launches
from kernels.norm_backward import NormGradient, norm_backward_launches
from kernels.options import AttentionOptions
from kernels.plans import (
    TARGETS,
    plan,
    problems,
)
from kernels.products import gemm_launch
from kernels.rational import RationalGradientTensors, RationalTensors, rational_launch
from kernels.records import QKV, Gates
from kernels.recurrent import recurrent_launch
from kernels.rows import NormTensors, norm_launch, softmax_launch
from kernels.sparse import KeyBlocks, block_sparse_launch

TARGET_BY_ARCHITECTURE = {"sm90": TARGETS["h100"], "sm80": TARGETS["a100"]}
BF16 = torch.bfloat16


def meta(*shape: int, dtype: torch.dtype = BF16) -> Tensor:
    return torch.empty(*shape, dtype=dtype, device="meta")


def attention_forward(
    architecture: str, size: int, options: AttentionOptions, dtype: torch.dtype = BF16
) -> list[Launch]:
    q, k, v = (meta(4, heads, 4096, size, dtype=dtype) for heads in (16, 4, 4))
    planned = plan(problem_of(q, k, v, options), TARGET_BY_ARCHITECTURE[architecture])[0]
    return [forward_launch(q, k, v, options, planned)[0]]


def attention_backward(
    architecture: str, size: int, options: AttentionOptions, dtype: torch.dtype = BF16
) -> list[Launch]:
    q, k, v, out = (meta(4, heads, 4096, size, dtype=dtype) for heads in (16, 4, 4, 16))
    lse = meta(4, 16, 4096, dtype=torch.float32)
    plans = plan(problem_of(q, k, v, options), TARGET_BY_ARCHITECTURE[architecture], True)
    return list(backward_launches([q, k, v, out, lse], [out, lse], options, plans)[0])


def decode(architecture: str, size: int) -> list[Launch]:
    q, k, v = (torch.empty(4, heads, length, size, dtype=BF16) for heads, length in ((16, 1), (2, 4096), (2, 4096)))
    problem = problems.DecodeProblem((4096,) * 4, 16, 2, 1, size, size, "bf16")
    plans = plan(problem, TARGET_BY_ARCHITECTURE[architecture])
    return list(decode_launches(QKV(q, k, v), Cache((4096,) * 4), FULL, plans)[0])


def product(architecture: str) -> list[Launch]:
    a, b, c = (meta(1, 1, 4096, 4096) for _ in range(3))
    planned = plan(problems.GemmProblem(4096, 4096, 4096, "bf16"), TARGET_BY_ARCHITECTURE[architecture])[0]
    return [gemm_launch((a, b, c), plan=planned)]


def blocks(architecture: str, size: int) -> list[Launch]:
    q, k, v = (meta(1, heads, 1024, size) for heads in (8, 2, 2))
    indices, counts = (meta(*shape, dtype=torch.int32) for shape in ((1, 8, 16, 4), (1, 8, 16)))
    problem = problems.BlockSparseProblem(1, 8, 2, 1024, 1024, size, "bf16", 64, True, (4,) * 128)
    planned = plan(problem, TARGET_BY_ARCHITECTURE[architecture])[0]
    return [block_sparse_launch(QKV(q, k, v), KeyBlocks(indices, counts, 64), True, planned)[0]]


def gated_linear(architecture: str, size: int) -> list[Launch]:
    q, k, v = (meta(2, 4, 1024, size) for _ in range(3))
    gate = meta(2, 4, 1024, size, dtype=torch.float32)
    problem = problems.LinearAttentionProblem(2, 4, 1024, size, size, "bf16", True)
    return list(linear_launches(QKV(q, k, v), gate, None, plan(problem, TARGET_BY_ARCHITECTURE[architecture]))[0])


FULL, CAUSAL = AttentionOptions(), AttentionOptions(causal=True)
WINDOW = AttentionOptions(causal=True, window=(1024, 0), softcap=30.0)
RAGGED = AttentionOptions(causal=True, lengths=((1000, 3000), (3096, 1096)))


def ragged(architecture: str) -> list[Launch]:
    q, k, v = (meta(1, heads, 4096, 128) for heads in (16, 4, 4))
    planned = plan(problem_of(q, k, v, RAGGED), TARGET_BY_ARCHITECTURE[architecture])[0]
    launch = forward_launch(*(torch.empty_like(x, device="cpu") for x in (q, k, v)), RAGGED, planned)[0]
    return [launch]


def along_rows(architecture: str, columns: int) -> list[Launch]:
    """Softmax, layernorm and both launches of its gradients."""
    x, weight = meta(4096, columns), meta(columns)
    target = TARGET_BY_ARCHITECTURE[architecture]
    softmax, norm, backward = (
        plan(problems.RowProblem(name, 4096, columns, "bf16"), target)
        for name in ("softmax", "layernorm", "layernorm_bwd")
    )
    return [
        softmax_launch(x, torch.empty_like(x), plan=softmax[0]),
        norm_launch(NormTensors(x, weight, weight, torch.empty_like(x)), 1e-5, True, norm[0]),
        *norm_backward_launches(NormGradient(x, weight, x), 1e-5, True, backward)[0],
    ]


def rationals(architecture: str) -> list[Launch]:
    x, above, below = meta(4096, 768), meta(8, 6, dtype=torch.float32), meta(8, 4, dtype=torch.float32)
    forward, backward = (
        plan(problems.RationalProblem(4096, 768, 8, "bf16", is_backward), TARGET_BY_ARCHITECTURE[architecture])[0]
        for is_backward in (False, True)
    )
    partial = meta(backward.grid[0] * backward.grid[1], 8, 10, dtype=torch.float32)
    return [
        rational_launch(forward, RationalTensors(x, above, below, x)),
        rational_launch(backward, RationalGradientTensors(x, above, below, x, x, partial)),
    ]


def streams(architecture: str) -> list[Launch]:
    x, target = meta(1 << 20), TARGET_BY_ARCHITECTURE[architecture]
    return [
        copy_launch(x, x, plan(problems.StreamProblem("stream_copy", 1 << 20, "bf16"), target)[0]),
        exp2_launch(x, x, 64, plan(problems.StreamProblem("exp2_throughput", 1 << 20, "bf16", 64), target)[0]),
    ]


def token_by_token(architecture: str, size: int) -> list[Launch]:
    q, k, v = (meta(2, 4, 8, size) for _ in range(3))
    gate, beta = meta(2, 4, 8, dtype=torch.float32), meta(2, 4, 8, dtype=torch.float32)
    problem = problems.RecurrentAttentionProblem(2, 4, 8, size, size, "bf16", False, True)
    return [
        recurrent_launch(QKV(q, k, v), Gates(gate, beta), None, plan(problem, TARGET_BY_ARCHITECTURE[architecture])[0])[
            0
        ]
    ]


def delta_rule(architecture: str, size: int) -> list[Launch]:
    q, k, v = (meta(2, 4, 1024, size) for _ in range(3))
    gates = Gates(meta(2, 4, 1024, dtype=torch.float32), meta(2, 4, 1024, dtype=torch.float32))
    planned = plan(problems.DeltaRuleProblem(2, 4, 1024, size, size, "bf16"), TARGET_BY_ARCHITECTURE[architecture])
    return list(delta_launches(QKV(q, k, v), gates, None, planned)[0])


LAUNCHES: dict[str, Callable[[str], list[Launch]]] = {
    **{f"attention-full-d{d}": partial(attention_forward, size=d, options=FULL) for d in (64, 128, 256)},
    **{f"attention-causal-d{d}": partial(attention_forward, size=d, options=CAUSAL) for d in (64, 128, 256)},
    "attention-window-softcap-d128": partial(attention_forward, size=128, options=WINDOW),
    "attention-ragged-d128": ragged,
    **{f"attention-backward-d{d}": partial(attention_backward, size=d, options=CAUSAL) for d in (64, 128, 256)},
    **{f"decode-d{d}": partial(decode, size=d) for d in (64, 128, 256)},
    **{f"block-sparse-d{d}": partial(blocks, size=d) for d in (64, 128)},
    **{f"gla-d{d}": partial(gated_linear, size=d) for d in (64, 128)},
    "gemm": product,
    "rows-held": partial(along_rows, columns=4096),
    "rows-long": partial(along_rows, columns=32_768),
    "rational": rationals,
    "streams": streams,
    **{f"delta-d{d}": partial(delta_rule, size=d) for d in (64, 128)},
    **{f"recurrent-d{d}": partial(token_by_token, size=d) for d in (128, 256)},
}
