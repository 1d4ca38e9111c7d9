"""Contenders of attention: forward, backward, unfused, decode, and over listed blocks.

Our variants: as planned by the table; not specialised where the table specialises; split-KV and stream-K. Others: each
backend of torch's scaled_dot_product_attention, forced (its default on Hopper is not the fastest), compiled
FlexAttention, and, where installed, flash-attn and torch's ragged attention.
"""

import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache, partial
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from kernels.attention import forward_launch
from kernels.attention_backward import backward_launches
from kernels.bench.contenders import FamilyOfCases, Inputs, Prepared, ProblemSample, own, random, require_meant
from kernels.decode import Cache, decode_launches
from kernels.launching import starts_of, target_of
from kernels.options import AttentionOptions
from kernels.plans.attention import plan_forward
from kernels.plans.configurations import configuration_of
from kernels.plans.planning import plan
from kernels.plans.problems import AttentionProblem, BlockSparseProblem, DecodeProblem, UnfusedAttentionProblem
from kernels.plans.types import next_power_of_two
from kernels.records import QKV
from kernels.reference import attend, attend_backward, attend_blocks, attend_decode, mask_of_blocks
from kernels.sparse import KeyBlocks, block_sparse_launch
from kernels.unfused import unfused_launches

MOST_MATH_LENGTH = 1024  # torch's unfused backend holds all scores
FLEX_LENGTHS = (4096, 8192, 16_384)  # recompiled for each shape, so only where it matters


def options_of(problem: AttentionProblem) -> AttentionOptions:
    return AttentionOptions(window=(problem.left, problem.right), lengths=problem.lengths)


def attention_inputs(problem: AttentionProblem, device: torch.device, seed: int) -> Inputs:
    """q, k, v [B, H, N, D]; a ragged batch has the length before the heads in memory, as packed batches do."""
    made = []
    for i, (heads, length, size) in enumerate(
        (
            (problem.heads, problem.queries, problem.head_size),
            (problem.kv_heads, problem.keys, problem.head_size),
            (problem.kv_heads, problem.keys, problem.value_size),
        )
    ):
        shape = (problem.batch, heads, length, size)
        packed = (problem.batch, length, heads, size)
        x = random(packed if problem.lengths else shape, problem.dtype, device, seed + i)
        made.append(x.transpose(1, 2) if problem.lengths else x)
    return tuple(made)


def last_group(problem: Any, inputs: Inputs) -> ProblemSample:
    """The last sequence's last key-value head and its query heads, where an overflowing offset would show."""
    group = problem.heads // problem.kv_heads

    def cut(x: Tensor) -> Tensor:
        return x[-1:, -group:] if x.shape[1] == problem.heads else x[-1:, -1:]

    return ProblemSample(problem, tuple(map(cut, inputs)), cut)


# ------------------------------------------------------------------------------------------------ forward


def own_forward(problem: AttentionProblem, inputs: Inputs) -> Prepared:
    q, k, v = inputs
    launch, out, _ = forward_launch(q, k, v, options_of(problem))
    return own((launch,), (out,))


def own_unspecialised(problem: AttentionProblem, inputs: Inputs) -> Prepared:
    """Where the table specialises warps, the same problem without specialisation."""
    target = target_of(inputs[0])
    (planned,) = plan(problem, target)
    require_meant(planned.configuration.is_specialised, "the planned kernel is not specialised")
    padded = next_power_of_two(max(problem.head_size, problem.value_size), 16)
    cut = configuration_of(target.architecture, "attention_fwd", problem.dtype, padded, True)
    q, k, v = inputs
    launch, out, _ = forward_launch(q, k, v, options_of(problem), plan_forward(problem, target, cut))
    return own((launch,), (out,))


def forward_reference(problem: AttentionProblem, inputs: Inputs) -> tuple[Tensor, ...]:
    q, k, v = inputs
    return (attend(q, k, v, options_of(problem))[0],)


def torch_attention(backend: str, problem: AttentionProblem, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    from torch.nn.attention import SDPBackend, sdpa_kernel

    with sdpa_kernel(getattr(SDPBackend, backend)):
        return scaled_dot_product_attention(
            q, k, v, is_causal=problem.right == 0, enable_gqa=problem.heads != problem.kv_heads
        )


def quietly(call: Callable[[], Any]) -> Any:
    """torch explains at length, in warnings, why a backend cannot take a problem; the error already does so."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return call()


def sdpa(backend: str, problem: AttentionProblem, inputs: Inputs) -> Prepared:
    require_meant(not problem.lengths, "no packed ragged batches")
    require_meant(backend != "MATH" or problem.keys <= MOST_MATH_LENGTH, "holds all scores")

    def call() -> tuple[Tensor, ...]:
        return (torch_attention(backend, problem, *inputs),)

    quietly(call)
    return Prepared(call)


@lru_cache(maxsize=1)
def compiled_flex() -> Any:
    from torch.nn.attention.flex_attention import flex_attention

    torch._dynamo.config.cache_size_limit = 64  # one entry per shape
    return torch.compile(flex_attention, dynamic=False)


def is_causal_pair(batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
    del batch, head
    return query >= key


def flex(problem: AttentionProblem, inputs: Inputs) -> Prepared:
    from torch.nn.attention.flex_attention import create_block_mask

    q = inputs[0]
    is_wanted = problem.head_size == 128 or problem.keys == FLEX_LENGTHS[-1]
    require_meant(q.is_cuda and problem.keys in FLEX_LENGTHS and is_wanted, "compiled for some shapes only")
    mask = None
    if problem.right == 0:
        mask = create_block_mask(is_causal_pair, None, None, problem.queries, problem.keys, device=q.device)
    attention = compiled_flex()
    has_groups = problem.heads != problem.kv_heads
    return Prepared(lambda: (attention(*inputs, block_mask=mask, enable_gqa=has_groups),))


def flash_attn(problem: AttentionProblem, inputs: Inputs) -> Prepared:
    from flash_attn import flash_attn_func, flash_attn_varlen_func

    q, k, v = (x.transpose(1, 2) for x in inputs)
    is_causal = problem.right == 0
    if not problem.lengths:
        return Prepared(lambda: (flash_attn_func(q, k, v, causal=is_causal).transpose(1, 2),))
    starts = starts_of(problem.lengths, q.device)
    most = [max(column) for column in zip(*problem.lengths, strict=True)]
    packed = [x[0] for x in (q, k, v)]

    def call() -> tuple[Tensor, ...]:
        out = flash_attn_varlen_func(*packed, starts[0], starts[1], *most, causal=is_causal)
        return (out[None].transpose(1, 2),)

    return Prepared(call)


def torch_ragged(problem: AttentionProblem, inputs: Inputs) -> Prepared:
    from torch.nn.attention.varlen import varlen_attn

    require_meant(bool(problem.lengths), "for packed ragged batches")
    starts = starts_of(problem.lengths, inputs[0].device)
    most = [max(column) for column in zip(*problem.lengths, strict=True)]
    packed = [x.transpose(1, 2)[0] for x in inputs]
    window = (problem.left, problem.right)

    def call() -> tuple[Tensor, ...]:
        out = varlen_attn(*packed, starts[0], starts[1], *most, window_size=window)
        return (out[None].transpose(1, 2),)

    return Prepared(call)


# ----------------------------------------------------------------------------------------------- backward


def backward_inputs(problem: AttentionProblem, device: torch.device, seed: int) -> Inputs:
    """q, k, v and the gradient of the output."""
    shape = (problem.batch, problem.heads, problem.queries, problem.value_size)
    return (*attention_inputs(problem, device, seed), random(shape, problem.dtype, device, seed + 3))


def own_backward(problem: AttentionProblem, inputs: Inputs) -> Prepared:
    q, k, v, grad_out = inputs
    first, out, lse = forward_launch(q, k, v, options_of(problem))
    own((first,), (out, lse)).call()
    no_gradient = torch.zeros_like(lse)
    launches, results, _ = backward_launches([q, k, v, out, lse], [grad_out, no_gradient], options_of(problem))
    return own(launches, tuple(results), (out, lse, no_gradient))


def backward_reference(problem: AttentionProblem, inputs: Inputs) -> tuple[Tensor, ...]:
    q, k, v, grad_out = inputs
    return attend_backward(q, k, v, (grad_out, None), options_of(problem))[:3]


def sdpa_backward(backend: str, problem: AttentionProblem, inputs: Inputs) -> Prepared:
    require_meant(backend != "MATH" or problem.keys <= MOST_MATH_LENGTH, "holds all scores")
    leaves = [x.detach().requires_grad_() for x in inputs[:3]]
    out = quietly(lambda: torch_attention(backend, problem, *leaves))

    def call() -> tuple[Tensor, ...]:
        return torch.autograd.grad(out, leaves, inputs[3], retain_graph=True)

    return Prepared(call)


# ------------------------------------------------------------------------------------------------- unfused


def own_unfused(problem: UnfusedAttentionProblem, inputs: Inputs) -> Prepared:
    q, k, v = inputs
    launches, out = unfused_launches(q, k, v, options_of(problem.attention))
    return own(launches, (out,))


# -------------------------------------------------------------------------------------------------- decode


def decode_inputs(problem: DecodeProblem, device: torch.device, seed: int) -> Inputs:
    """q [B, H, queries, D], and caches [B, Hkv, longest, D]."""
    batch, longest = len(problem.lengths), max(problem.lengths)
    return (
        random((batch, problem.heads, problem.queries, problem.head_size), problem.dtype, device, seed),
        random((batch, problem.kv_heads, longest, problem.head_size), problem.dtype, device, seed + 1),
        random((batch, problem.kv_heads, longest, problem.value_size), problem.dtype, device, seed + 2),
    )


def own_decode(is_stream_k: bool, problem: DecodeProblem, inputs: Inputs) -> Prepared:
    cache = Cache(problem.lengths, is_stream_k=is_stream_k)
    launches, out, _ = decode_launches(QKV(*inputs), cache, AttentionOptions())
    return own(launches, (out,))


def decode_reference(problem: DecodeProblem, inputs: Inputs) -> tuple[Tensor, ...]:
    q, k, v = inputs
    return (attend_decode(q, k, v, problem.lengths)[0],)


def last_sequence(problem: DecodeProblem, inputs: Inputs) -> ProblemSample:
    part = last_group(problem, inputs)
    return part._replace(problem=replace(problem, lengths=problem.lengths[-1:]))


def sdpa_decode(backend: str, problem: DecodeProblem, inputs: Inputs) -> Prepared:
    require_meant(len(set(problem.lengths)) == 1, "sequences of one length only")
    as_attention = AttentionProblem(
        len(problem.lengths), problem.heads, problem.kv_heads, problem.queries, problem.lengths[0],
        problem.head_size, problem.value_size, problem.dtype,
    )  # fmt: skip
    return sdpa(backend, as_attention, inputs)


def flash_attn_decode(problem: DecodeProblem, inputs: Inputs) -> Prepared:
    from flash_attn import flash_attn_with_kvcache

    q, k, v = (x.transpose(1, 2) for x in inputs)
    k, v = k.contiguous(), v.contiguous()
    lengths = torch.tensor(problem.lengths, dtype=torch.int32, device=q.device)
    return Prepared(lambda: (flash_attn_with_kvcache(q, k, v, cache_seqlens=lengths).transpose(1, 2),))


# ------------------------------------------------------------------------------------------ listed blocks


def sparse_inputs(problem: BlockSparseProblem, device: torch.device, seed: int) -> Inputs:
    """q, k, v, and the lists: distinct random blocks in rising order, as a selection produces them."""
    sizes = ((problem.heads, problem.queries), (problem.kv_heads, problem.keys), (problem.kv_heads, problem.keys))
    tensors = [
        random((problem.batch, heads, length, problem.head_size), problem.dtype, device, seed + i)
        for i, (heads, length) in enumerate(sizes)
    ]
    rows, blocks = problem.queries // problem.block_size, problem.keys // problem.block_size
    order = random((problem.batch, problem.heads, rows, blocks), "fp32", device, seed + 3)
    indices = order.topk(max(problem.counts), -1).indices.sort(-1).values.to(torch.int32)
    counts = torch.tensor(problem.counts, dtype=torch.int32).view(problem.batch, problem.heads, rows)
    return (*tensors, indices.contiguous(), counts.to(device))


def own_sparse(problem: BlockSparseProblem, inputs: Inputs) -> Prepared:
    q, k, v, indices, counts = inputs
    blocks = KeyBlocks(indices, counts, problem.block_size)
    launch, out, _ = block_sparse_launch(QKV(q, k, v), blocks, problem.is_causal)
    return own((launch,), (out,))


def sparse_reference(problem: BlockSparseProblem, inputs: Inputs) -> tuple[Tensor, ...]:
    q, k, v, indices, counts = inputs
    mask = mask_of_blocks(indices, counts, (problem.queries, problem.keys), problem.block_size)
    return (attend_blocks(q, k, v, mask, problem.is_causal)[0],)


def as_dense(problem: BlockSparseProblem) -> AttentionProblem:
    return AttentionProblem(
        problem.batch, problem.heads, problem.kv_heads, problem.queries, problem.keys, problem.head_size,
        problem.head_size, problem.dtype, right=0 if problem.is_causal else -1,
    )  # fmt: skip


def flex_sparse(problem: BlockSparseProblem, inputs: Inputs) -> Prepared:
    from torch.nn.attention.flex_attention import BlockMask

    q, k, v, indices, counts = inputs
    require_meant(q.is_cuda, "compiled on a GPU only")
    blocks = problem.keys // problem.block_size
    # Lists are as wide as the number of blocks; entries beyond the count are ignored.
    wide = torch.zeros(*indices.shape[:3], blocks, dtype=torch.int32, device=q.device)
    wide[..., : indices.shape[3]] = indices
    none = torch.zeros_like(counts)
    mask = BlockMask.from_kv_blocks(none, torch.zeros_like(wide), counts, wide, BLOCK_SIZE=problem.block_size)
    attention = compiled_flex()
    return Prepared(lambda: (attention(q, k, v, block_mask=mask),))


SDPA = {f"sdpa-{name.split('_')[0].lower()}": name for name in (
    "FLASH_ATTENTION", "CUDNN_ATTENTION", "EFFICIENT_ATTENTION", "MATH",
)}  # fmt: skip

FORWARD = FamilyOfCases(
    attention_inputs,
    forward_reference,
    {"einfuse": own_forward, "einfuse-unspecialised": own_unspecialised},
    {
        **{name: partial(sdpa, backend) for name, backend in SDPA.items()},
        "flex": flex,
        "flash-attn": flash_attn,
        "torch-ragged": torch_ragged,
    },
    last_group,
)
BACKWARD = FamilyOfCases(
    backward_inputs,
    backward_reference,
    {"einfuse": own_backward},
    {name: partial(sdpa_backward, backend) for name, backend in SDPA.items()},
    last_group,
)
UNFUSED = FamilyOfCases(
    lambda problem, device, seed: attention_inputs(problem.attention, device, seed),
    lambda problem, inputs: forward_reference(problem.attention, inputs),
    {"einfuse": own_unfused},
    {
        "einfuse-fused": lambda problem, inputs: own_forward(problem.attention, inputs),
        "sdpa-math": lambda problem, inputs: sdpa("MATH", problem.attention, inputs),
    },
    lambda problem, inputs: last_group(problem.attention, inputs)._replace(problem=problem),
)
DECODE = FamilyOfCases(
    decode_inputs,
    decode_reference,
    {"einfuse": partial(own_decode, False), "einfuse-stream-k": partial(own_decode, True)},
    {
        **{name: partial(sdpa_decode, backend) for name, backend in SDPA.items() if backend != "MATH"},
        "flash-attn": flash_attn_decode,
    },
    last_sequence,
)
SPARSE = FamilyOfCases(
    sparse_inputs,
    sparse_reference,
    {"einfuse": own_sparse},
    {
        "flex": flex_sparse,
    },
    last_group,
    {
        "einfuse-dense": lambda problem, inputs: own_forward(as_dense(problem), inputs[:3]),
        "sdpa-flash-dense": lambda problem, inputs: sdpa("FLASH_ATTENTION", as_dense(problem), inputs[:3]),
    },
)
