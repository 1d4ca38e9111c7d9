"""The case set: what is measured, in order of importance, as data.

The attention sweep is that of the FlashAttention papers: batch x length = 16384 tokens, heads x head size = 2048,
lengths 512 to 16384. The other cases and the reasons for them: docs/bench.md.
"""

from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property
from typing import get_args

from kernels.bench.schema import Family
from kernels.bench.work import count_bytes, count_flops, reduce_problem
from kernels.plans import problems
from kernels.plans.problems import Problem
from kernels.plans.types import Dtype

TOKENS = 16_384  # of a batch, in the attention sweep
WIDTH = 2048  # heads x head size
LENGTHS = (512, 1024, 2048, 4096, 8192, 16_384)
BACKWARD_LENGTHS = (1024, 4096, 16_384)
DTYPE: Dtype = "bf16"
MASKS = {"full": -1, "causal": 0}
# A decode cache above this leaves no room for a second copy of it on an 80 GB card.
MOST_CACHE_BYTES = 24 << 30


@dataclass(frozen=True)
class CaseSpec:
    """A case before it is measured; a small version of it goes through the correctness gate in fp64."""

    id: str
    family: Family
    problem: Problem
    is_backward: bool = False
    is_warm: bool = False

    @cached_property
    def flops(self) -> int:
        return count_flops(self.problem, self.is_backward)

    @cached_property
    def bytes(self) -> int:
        return count_bytes(self.problem, self.is_backward)

    @property
    def reduced(self) -> Problem:
        return reduce_problem(self.problem)


def attention_problem(head_size: int, mask: str, length: int, group: int = 1) -> problems.AttentionProblem:
    heads = WIDTH // head_size
    return problems.AttentionProblem(
        TOKENS // length, heads, heads // group, length, length, head_size, head_size, DTYPE, right=MASKS[mask]
    )


def forward_cases(head_size: int) -> list[CaseSpec]:
    return [
        CaseSpec(
            f"attention_fwd-d{head_size}-{mask}-n{n}", "attention_fwd", attention_problem(head_size, mask, n)
        )
        for n in reversed(LENGTHS)
        for mask in MASKS
    ]  # fmt: skip


def backward_cases(head_size: int) -> list[CaseSpec]:
    return [
        CaseSpec(
            f"attention_bwd-d{head_size}-{mask}-n{n}", "attention_bwd", attention_problem(head_size, mask, n), True
        )
        for n in reversed(BACKWARD_LENGTHS)
        for mask in MASKS
    ]


def grouped_cases() -> list[CaseSpec]:
    """Eight query heads per key-value head, and a ragged batch: 16384 tokens in sequences of 128 to 4096."""
    grouped = [
        CaseSpec(f"attention_fwd-d128-causal-gqa8-n{n}", "attention_fwd", attention_problem(128, "causal", n, 8))
        for n in (8192, 4096)
    ]
    lengths = (4096, 3072, 2048, 2048, 1536, 1024, 1024, 512, 512, 256, 128, 128)
    ragged = problems.AttentionProblem(
        1, 16, 16, TOKENS, TOKENS, 128, 128, DTYPE, right=0, lengths=tuple((n, n) for n in lengths)
    )
    return [*grouped, CaseSpec("attention_fwd-d128-causal-ragged", "attention_fwd", ragged)]


def decode_cases() -> list[CaseSpec]:
    """One query over caches of 16 query heads of 128, for the batch x context x grouping combinations that fit."""
    cases = []
    for group in (1, 8):
        for context in (131_072, 32_768, 4096):
            for batch in (64, 8, 1):
                problem = problems.DecodeProblem((context,) * batch, 16, 16 // group, 1, 128, 128, DTYPE)
                if count_bytes(problem) <= MOST_CACHE_BYTES:
                    cases.append(CaseSpec(f"decode-b{batch}-gqa{group}-n{context}", "decode", problem))
    return cases


def gemm_cases() -> list[CaseSpec]:
    """Squares, the two products of a gated MLP of width 8192, and one for a batch of 64 tokens."""
    shapes = (
        (4096, 4096, 4096), (2048, 2048, 2048), (16_384, 4096, 4096), (4096, 28_672, 8192), (4096, 8192, 28_672),
        (64, 8192, 8192),
    )  # fmt: skip
    return [CaseSpec(f"gemm-{m}x{n}x{k}", "gemm", problems.GemmProblem(m, n, k, DTYPE)) for m, n, k in shapes]


def ceiling_cases() -> list[CaseSpec]:
    """The largest product comes first: it also warms the clocks, and is repeated last to bound the drift."""
    return [
        CaseSpec("ceilings-gemm", "ceilings", problems.GemmProblem(8192, 8192, 8192, DTYPE)),
        CaseSpec("ceilings-copy", "ceilings", problems.StreamProblem("stream_copy", 1 << 28, DTYPE)),
        CaseSpec("ceilings-copy-l2", "ceilings", problems.StreamProblem("stream_copy", 1 << 22, DTYPE), is_warm=True),
        CaseSpec("ceilings-exp2", "ceilings", problems.StreamProblem("exp2_throughput", 1 << 24, "fp32", 256)),
        CaseSpec("ceilings-launch", "ceilings", problems.StreamProblem("stream_copy", 128, DTYPE), is_warm=True),
    ]


def linear_cases() -> list[CaseSpec]:
    """Gated linear attention of 16 heads of 128, a gate per channel or (simple) per head, and the gated delta rule; and
    one token for each of 64 sequences, with and without that rule, where only the states move."""
    steps = [
        CaseSpec(
            f"linear-step-{name}-b64",
            "linear",
            problems.RecurrentAttentionProblem(64, 16, 1, 128, 128, DTYPE, not has_delta, has_delta),
        )
        for name, has_delta in (("gla", False), ("delta", True))
    ]
    return [
        *steps,
        *(
            CaseSpec(
                f"linear-{name}-n{n}",
                "linear",
                problems.LinearAttentionProblem(TOKENS * 2 // n, 16, n, 128, 128, DTYPE, is_wide),
            )
            for n in (32_768, 8192, 2048)
            for name, is_wide in (("gla", True), ("simple", False))
        ),
        *(
            CaseSpec(f"linear-delta-n{n}", "linear", problems.DeltaRuleProblem(TOKENS * 2 // n, 16, n, 128, 128, DTYPE))
            for n in (32_768, 8192, 2048)
        ),
    ]


def sparse_cases() -> list[CaseSpec]:
    """Blocks of 64 out of 8192 keys, a fraction of them listed for each block of queries."""
    length, heads, block = 8192, 16, 64
    blocks = length // block
    return [
        CaseSpec(
            f"sparse-d128-n{length}-1of{part}",
            "sparse",
            problems.BlockSparseProblem(
                1, heads, heads, length, length, 128, DTYPE, block, False, (blocks // part,) * (heads * blocks)
            ),
        )
        for part in (16, 8, 4, 2, 1)
    ]


def pointwise_cases() -> list[CaseSpec]:
    rows = (
        ("softmax", 16_384, 4096), ("softmax", 4096, 32_768), ("layernorm", 16_384, 4096), ("rmsnorm", 16_384, 8192),
    )  # fmt: skip
    return [
        *(CaseSpec(f"rows-{name}-{m}x{n}", "rows", problems.RowProblem(name, m, n, DTYPE)) for name, m, n in rows),
        CaseSpec("rational-65536x768", "rational", problems.RationalProblem(65_536, 768, 8, DTYPE)),
        CaseSpec(
            "rational-backward-65536x768", "rational", problems.RationalProblem(65_536, 768, 8, DTYPE, True), True
        ),
    ]


def unfused_cases() -> list[CaseSpec]:
    return [
        CaseSpec(
            f"unfused-d128-full-n{n}", "unfused", problems.UnfusedAttentionProblem(attention_problem(128, "full", n))
        )
        for n in (4096, 2048, 1024)
    ]


CASES: tuple[CaseSpec, ...] = (
    *ceiling_cases(),
    *forward_cases(128),
    *decode_cases(),
    *gemm_cases(),
    *backward_cases(128),
    *grouped_cases(),
    *unfused_cases(),
    *pointwise_cases(),
    *sparse_cases(),
    *linear_cases(),
    *forward_cases(64),
    *backward_cases(64),
    *forward_cases(256),
)


def select_cases(patterns: tuple[str, ...]) -> tuple[CaseSpec, ...]:
    """Cases whose id or family matches one of the patterns; all cases if there are no patterns.

    ValueError names a pattern without a match.
    """
    for pattern in patterns:
        if pattern not in get_args(Family) and not any(fnmatchcase(case.id, pattern) for case in CASES):
            raise ValueError(
                f"no case is called '{pattern}': expected a family ({', '.join(get_args(Family))}) or a pattern over "
                "the names that --list shows"
            )
    return tuple(
        case
        for case in CASES
        if not patterns or any(case.family == pattern or fnmatchcase(case.id, pattern) for pattern in patterns)
    )
