"""How published kernels are tiled and scheduled, as rows of a table: tiles, stages, schedule class, occupancy.

Measurements of another library's kernel are predicted from the same kind of plan as our own. Tile sizes of the open
libraries are those of their sources, from memory and unconfirmed; for a closed library, or if a publication does not
state them, the row is marked `assumed`. Rows are read in order; the first that fits is taken.
"""

from functools import lru_cache
from typing import NamedTuple

from kernels.plans.attention import plan_forward
from kernels.plans.decode import plan_decode
from kernels.plans.joint_backward import plan_joint_backward
from kernels.plans.planning import plan
from kernels.plans.problems import AttentionProblem, DecodeProblem, GemmProblem, Problem, StreamProblem
from kernels.plans.products import plan_gemm
from kernels.plans.types import Architecture, Configuration, LaunchPlan, Target

ANY_MACHINE: tuple[Architecture, ...] = ("sm80", "sm90")
HOPPER: tuple[Architecture, ...] = ("sm90",)
AMPERE: tuple[Architecture, ...] = ("sm80",)


class Library(NamedTuple):
    """One way in which a library runs an operator; `head_size` is the largest it applies to."""

    implementations: tuple[str, ...]
    operator: str
    architectures: tuple[Architecture, ...]
    head_size: int
    is_masked: bool | None  # None: either
    configuration: Configuration
    source: str


def _ping_pong(rows: int, keys: int, prefetches_tiles: bool = False) -> Configuration:
    return Configuration(rows, keys, 0, 4, 2, True, True, 168, schedule="ping-pong", prefetches_tiles=prefetches_tiles)


def _cooperative(rows: int, keys: int) -> Configuration:
    return Configuration(rows, keys, 0, 4, 2, True, True, 168)


def _looped(rows: int, keys: int, warps: int, stages: int, registers: int) -> Configuration:
    return Configuration(rows, keys, 0, warps, stages, registers=registers, has_masked_loop=True)


def _warp_level(rows: int, keys: int, warps: int) -> Configuration:
    """One place per operand, refilled as soon as it is free."""
    return Configuration(rows, keys, 0, warps, 1, registers=255, schedule="pipelined", is_synchronous=True)


FA2 = "tile sizes of flash-attention's source, version 2, from memory"
FA3 = "tile sizes of flash-attention's source, version 3 (hopper), from memory"
TUTORIAL = "Triton's fused-attention tutorial of 2024, from memory: 128 queries, at most 64 keys"
TUTORIAL_2025 = "assumed: the tutorial of 2025 and its copies in benchmarks take up to 128 keys"
CLOSED = "assumed: closed source; the schedule at head size 64 is the one that explains the published points"
TLX = "pull requests that state the schedule; tiles assumed as in the tutorial"

TRITONS = ("triton-2024", "triton-tutorial", "triton-2025", "flex-attention")

TABLE: tuple[Library, ...] = (
    Library(("fa2", "sdpa-fa2"), "attention_fwd", ANY_MACHINE, 64, None, _warp_level(128, 128, 4), FA2),
    Library(("fa2", "sdpa-fa2"), "attention_fwd", ANY_MACHINE, 128, None, _warp_level(128, 64, 4), FA2),
    Library(("fa2", "sdpa-fa2"), "attention_fwd", HOPPER, 256, None, _warp_level(64, 64, 4), FA2),
    Library(("fa2", "sdpa-fa2"), "attention_fwd", ANY_MACHINE, 256, None, _warp_level(128, 64, 8), FA2),
    Library(("fa3",), "attention_fwd", HOPPER, 64, None, _ping_pong(192, 128), FA3),
    Library(("fa3",), "attention_fwd", HOPPER, 128, False, _ping_pong(128, 176), FA3),
    Library(("fa3",), "attention_fwd", HOPPER, 128, True, _ping_pong(128, 128), FA3),
    Library(("fa3",), "attention_fwd", HOPPER, 256, None, _ping_pong(128, 80), FA3),
    Library(("fa3-2026",), "attention_fwd", HOPPER, 128, False, _ping_pong(128, 176, True), FA3),
    Library(("fa3-2026",), "attention_fwd", HOPPER, 128, True, _ping_pong(128, 128, True), FA3),
    Library(("cudnn",), "attention_fwd", AMPERE, 64, None, _warp_level(128, 128, 4), CLOSED),
    Library(("cudnn",), "attention_fwd", AMPERE, 128, None, _warp_level(128, 64, 4), CLOSED),
    Library(TRITONS, "attention_fwd", AMPERE, 128, None, _looped(128, 64, 4, 2, 255), TUTORIAL),
    Library(TRITONS, "attention_fwd", AMPERE, 256, None, _looped(128, 32, 8, 2, 255), TUTORIAL),
    Library(("cudnn",), "attention_fwd", HOPPER, 64, None, _cooperative(128, 128), CLOSED),
    Library(("cudnn",), "attention_fwd", HOPPER, 128, None, _ping_pong(128, 128), CLOSED),
    Library(("cudnn",), "attention_fwd", HOPPER, 256, None, _ping_pong(128, 64), CLOSED),
    Library(("triton-2024",), "attention_fwd", HOPPER, 64, None, _looped(128, 64, 4, 3, 255), TUTORIAL),
    Library(("triton-2024",), "attention_fwd", HOPPER, 128, None, _looped(128, 64, 8, 3, 255), TUTORIAL),
    Library(("triton-2024",), "attention_fwd", HOPPER, 256, None, _looped(128, 32, 8, 3, 255), TUTORIAL),
    Library(
        ("triton-tutorial", "triton-2025", "flex-attention"),
        "attention_fwd",
        HOPPER,
        128,
        None,
        _looped(128, 128, 8, 2, 255),
        TUTORIAL_2025,
    ),
    Library(TRITONS[1:], "attention_fwd", HOPPER, 256, None, _looped(128, 64, 8, 2, 255), TUTORIAL_2025),
    Library(("tlx-cooperative",), "attention_fwd", HOPPER, 128, None, _cooperative(128, 128), TLX),
    Library(("tlx-pipelined", "tlx-ping-pong"), "attention_fwd", HOPPER, 128, None, _ping_pong(128, 128), TLX),
    Library(
        ("tlx-ping-pong-persistent", "tlx-2026"), "attention_fwd", HOPPER, 128, None, _ping_pong(128, 128, True), TLX
    ),
    Library(("fa2",), "attention_bwd", ANY_MACHINE, 64, None, _warp_level(128, 128, 8), FA2),
    Library(("fa2",), "attention_bwd", ANY_MACHINE, 128, None, _warp_level(128, 64, 8), FA2),
    Library(("fa2",), "attention_bwd", ANY_MACHINE, 256, None, _warp_level(64, 64, 8), FA2),
    Library(("fa3",), "attention_bwd", HOPPER, 64, None, _cooperative(128, 128), FA3),
    Library(("fa3",), "attention_bwd", HOPPER, 128, None, _cooperative(128, 64), FA3),
    Library(("fa3",), "attention_bwd", HOPPER, 256, None, _cooperative(64, 64), FA3),
    Library(("cudnn", "tlx-2026"), "attention_bwd", HOPPER, 128, None, _cooperative(128, 64), "assumed"),
    Library(("cudnn", "tlx-2026"), "attention_bwd", HOPPER, 256, None, _cooperative(64, 64), "assumed"),
    Library(
        ("fa3",),
        "attention_decode",
        HOPPER,
        256,
        None,
        Configuration(64, 128, 0, 4, 2, True, True, 168),
        f"{FA3}; split-KV",
    ),
    Library(
        ("library",),
        "gemm",
        HOPPER,
        1,
        None,
        Configuration(128, 256, 64, 4, 4, True, True, 168, cluster=2),
        "assumed: the largest tile of CUTLASS, pairs of CTAs",
    ),
    Library(("library",), "gemm", ANY_MACHINE, 1, None, Configuration(128, 256, 32, 8, 3), "assumed: as CUTLASS"),
)

STREAMS_AS_OURS = ("library",)  # a copy is a copy
OWN = "own"  # our kernels, from their own table


@lru_cache(maxsize=512)
def plan_as(
    problem: Problem, target: Target, implementation: str = "own", is_backward: bool = False
) -> tuple[LaunchPlan, ...]:
    """The launches of an implementation for a shape on a machine; ValueError if the table has no such row."""
    if implementation == OWN:
        return plan(problem, target, is_backward)
    match problem:
        case GemmProblem():
            return (plan_gemm(problem, target, published_configuration(implementation, "gemm", target)),)
        case StreamProblem() if implementation in STREAMS_AS_OURS:
            return plan(problem, target)
        case AttentionProblem():
            is_masked = problem.left >= 0 or problem.right >= 0
            size = max(problem.head_size, problem.value_size)
            operator = "attention_bwd" if is_backward else "attention_fwd"
            cut = published_configuration(implementation, operator, target, size, is_masked)
            return plan_joint_backward(problem, target, cut) if is_backward else (plan_forward(problem, target, cut),)
        case DecodeProblem():
            cut = published_configuration(implementation, "attention_decode", target, problem.head_size)
            return plan_decode(problem, target, cut)
    raise ValueError(f"the table has no implementation '{implementation}' of a {type(problem).__name__}")


def published_configuration(
    implementation: str, operator: str, target: Target, head_size: int = 1, is_masked: bool = False
) -> Configuration:
    """The first row that fits."""
    for row in TABLE:
        if (
            implementation in row.implementations
            and row.operator == operator
            and target.architecture in row.architectures
            and head_size <= row.head_size
            and row.is_masked in (None, is_masked)
        ):
            return row.configuration
    known = sorted({name for row in TABLE if row.operator == operator for name in row.implementations})
    raise ValueError(
        f"no row of {operator} for implementation '{implementation}' on {target.architecture} at head size "
        f"{head_size}; the table has {', '.join(known)}"
    )
