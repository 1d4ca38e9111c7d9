"""The minimum operations and bytes of a problem, whatever the kernel; and a small version of the problem.

Operations follow FlashAttention's benchmarks: 2 (D + Dv) per visible pair forward, and 2.5 times that backward. Bytes
count each element that exists once, read or written. Both are the same for every implementation of a case.
"""

from dataclasses import replace

from kernels.plans import problems
from kernels.plans.attention import Band, attention_unique_bytes, count_visible
from kernels.plans.planning import plan
from kernels.plans.problems import Problem
from kernels.plans.types import ITEM_BYTES, TARGETS, ceil_div

LINEAR_CHUNK = 64  # the chunk for which published counts of gated linear attention are made
SMALL_LENGTH = 256
SMALL_HEADS = 2


def count_flops(problem: Problem, is_backward: bool = False) -> int:
    """Operations of the mathematics, a multiply-add counted as two."""
    match problem:
        case problems.AttentionProblem():
            return attention_flops(problem) * (5 if is_backward else 2) // 2
        case problems.UnfusedAttentionProblem():
            return attention_flops(problem.attention)
        case problems.DecodeProblem():
            # All queries see all keys except a few of the last; the band matters only with windows.
            pairs = problem.rows * sum(problem.lengths) * problem.kv_heads
            return 2 * pairs * (problem.head_size + problem.value_size)
        case problems.LinearAttentionProblem():
            within = LINEAR_CHUNK * (problem.key_size + problem.value_size)
            through = 4 * problem.key_size * problem.value_size
            return problem.batch * problem.heads * problem.length * (within + through)
    return sum(launch.useful_flops for launch in plan(problem, TARGETS["h100"]))


def attention_flops(problem: problems.AttentionProblem) -> int:
    pairs = sum(
        count_visible(0, queries - 1, Band(keys - queries, problem.left, problem.right, keys))
        for queries, keys in problem.segments
    )
    return 2 * problem.heads * pairs * (problem.head_size + problem.value_size)


def count_bytes(problem: Problem, is_backward: bool = False) -> int:
    """Bytes of distinct elements read and written."""
    match problem:
        case problems.AttentionProblem():
            # Backward: Q, K, V, O, dO and log-sum-exp in, dQ, dK, dV out.
            return attention_unique_bytes(problem) * (2 if is_backward else 1)
        case problems.UnfusedAttentionProblem():
            return attention_unique_bytes(problem.attention)
        case problems.DecodeProblem():
            sizes = (problem.head_size + problem.value_size) * ITEM_BYTES[problem.dtype]
            return (sum(problem.lengths) + len(problem.lengths) * problem.rows) * problem.kv_heads * sizes
        case problems.DeltaRuleProblem():
            sizes = 2 * (problem.key_size + problem.value_size) * ITEM_BYTES[problem.dtype]
            return problem.batch * problem.heads * problem.length * (sizes + 8)
        case problems.LinearAttentionProblem():
            sizes = 2 * (problem.key_size + problem.value_size) * ITEM_BYTES[problem.dtype]
            gate = 4 * (problem.key_size if problem.is_gate_per_channel else 1)
            return problem.batch * problem.heads * problem.length * (sizes + gate)
    return sum(launch.unique_bytes for launch in plan(problem, TARGETS["h100"]))


def reduce_problem(problem: Problem) -> Problem:
    """A version with the same options, groups and divisibility, small enough for fp64 and for the interpreter."""
    match problem:
        case problems.AttentionProblem():
            heads, kv_heads = few_heads(problem)
            lengths = tuple((scaled_length(queries), scaled_length(keys)) for queries, keys in problem.lengths)
            queries = sum(q for q, _ in lengths) or min(problem.queries, SMALL_LENGTH)
            keys = sum(k for _, k in lengths) or min(problem.keys, SMALL_LENGTH)
            return replace(
                problem, batch=1, heads=heads, kv_heads=kv_heads, queries=queries, keys=keys, lengths=lengths
            )
        case problems.UnfusedAttentionProblem():
            small = reduce_problem(problem.attention)
            assert isinstance(small, problems.AttentionProblem)
            return replace(problem, attention=small)
        case problems.DecodeProblem():
            heads, kv_heads = few_heads(problem)
            few = (SMALL_LENGTH, SMALL_LENGTH - 55)[: len(problem.lengths)]
            return replace(problem, heads=heads, kv_heads=kv_heads, lengths=few)
        case problems.GemmProblem():
            rows, columns, depth = (min(size, 192) for size in (problem.rows, problem.columns, problem.depth))
            return replace(problem, rows=rows, columns=columns, depth=depth, batch=1)
        case problems.StreamProblem():
            return replace(problem, size=min(problem.size, 5000), repeats=min(problem.repeats, 8))
        case problems.RowProblem():
            return replace(problem, rows=min(problem.rows, 6))
        case problems.RationalProblem():
            return replace(problem, rows=min(problem.rows, 130))
        case problems.BlockSparseProblem():
            blocks = SMALL_LENGTH // problem.block_size
            share = problem.counts[0] * problem.block_size / problem.keys
            heads, kv_heads = few_heads(problem)
            counts = (max(1, round(share * blocks)),) * (heads * blocks)
            return problems.BlockSparseProblem(
                1, heads, kv_heads, SMALL_LENGTH, SMALL_LENGTH, problem.head_size, problem.dtype, problem.block_size,
                problem.is_causal, counts,
            )  # fmt: skip
        case problems.RecurrentAttentionProblem():
            return replace(problem, batch=1, heads=SMALL_HEADS, length=min(problem.length, SMALL_LENGTH // 8))
        case problems.LinearAttentionProblem() | problems.DeltaRuleProblem():
            return replace(problem, batch=1, heads=SMALL_HEADS, length=min(problem.length, SMALL_LENGTH // 2))


def scaled_length(length: int) -> int:
    """Reduced length of a sequence of a packed batch; odd and short lengths are preserved."""
    return ceil_div(length * 24, 1024)


def few_heads(
    problem: problems.AttentionProblem | problems.DecodeProblem | problems.BlockSparseProblem,
) -> tuple[int, int]:
    """One key-value head and its group, or two heads where each has its own: (heads, key-value heads)."""
    group = problem.heads // problem.kv_heads
    return (SMALL_HEADS, SMALL_HEADS) if group == 1 else (group, 1)
