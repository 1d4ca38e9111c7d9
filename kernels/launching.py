"""From a plan to a launch: a kernel, its arguments, and the layout of its tensors.

A `Launch` is data. `run` executes it; the compile tests take the same record, derive the signature from its arguments,
and compile it for machines that need not be present.
"""

from functools import lru_cache
from typing import Any, NamedTuple

import torch
import triton
from torch import Tensor

from kernels.options import AttentionOptions
from kernels.plans.types import TARGETS, Dtype, LaunchPlan, Target
from kernels.records import ScoreFactors

DTYPE_NAMES: dict[torch.dtype, Dtype] = {torch.float32: "fp32", torch.float16: "fp16", torch.bfloat16: "bf16"}
LOG2_E = 1.4426950408889634
MOST_APART = 1 << 23  # elements between neighbours: offsets within a tile of 256 have 32 bits
MOST_ACROSS = 65_535  # programs along the second and third side of a grid (CUDA C++ programming guide)


class Launch(NamedTuple):
    """One kernel launch: `arguments` at run time (tensors, numbers, tuples of these), `constants` at compile time."""

    kernel: Any
    plan: LaunchPlan
    arguments: dict[str, Any]
    constants: dict[str, Any]


def run(*launches: Launch) -> None:
    """Launches in order, on the current stream; a launch without programs is left out."""
    for launch in launches:
        across = max(launch.plan.grid[1:])
        if across > MOST_ACROSS:
            raise ValueError(
                f"{launch.plan.operator} needs {across} programs along one side of its grid (heads, or heads of all "
                f"sequences), a GPU takes {MOST_ACROSS}: split the batch"
            )
    for launch in launches:
        if all(launch.plan.grid):
            start(launch)


def start(launch: Launch) -> None:
    cut = launch.plan.configuration
    if cut.uses_tma and not is_interpreted():
        triton.set_allocator(allocate_scratch)  # descriptors made on the device live in global scratch
    launch.kernel[launch.plan.grid](**launch.arguments, **launch.constants, num_warps=cut.warps, num_stages=cut.stages)


def allocate_scratch(size: int, alignment: int, stream: int | None) -> Tensor:
    del alignment, stream  # the caching allocator aligns to 512 bytes and follows the current stream
    return torch.empty(size, dtype=torch.int8, device="cuda")


def is_interpreted() -> bool:
    return bool(triton.knobs.runtime.interpret)


def runs_triton(x: Tensor) -> bool:
    """Whether a Triton kernel can take this tensor here; otherwise the reference is used."""
    return x.dtype in DTYPE_NAMES and (x.is_cuda or (x.device.type == "cpu" and is_interpreted()))


def target_of(x: Tensor) -> Target:
    return target_of_device(x.device.index or 0) if x.is_cuda else TARGETS["interpreter"]


@lru_cache(maxsize=16)
def target_of_device(index: int) -> Target:
    properties = torch.cuda.get_device_properties(index)
    if properties.major < 8:
        raise ValueError(f"compute capability 8.0 or later is needed, {properties.name} has {properties.major}.x")
    return Target(
        name=properties.name,
        architecture="sm90" if properties.major >= 9 else "sm80",
        sm_count=properties.multi_processor_count,
        shared_bytes_per_cta=properties.shared_memory_per_block_optin,
        shared_bytes_per_sm=properties.shared_memory_per_multiprocessor,
        l2_bytes=properties.L2_cache_size,
    )


def dtype_name(x: Tensor) -> Dtype:
    if x.dtype not in DTYPE_NAMES:
        raise ValueError(f"expected a tensor of float32, float16 or bfloat16, got {x.dtype}")
    return DTYPE_NAMES[x.dtype]


def factors_of(options: AttentionOptions, head_size: int) -> ScoreFactors:
    scale = options.scale_for(head_size)
    if options.softcap:
        return ScoreFactors(options.softcap * LOG2_E, scale / options.softcap)
    return ScoreFactors(scale * LOG2_E, 1.0)


def has_tma_layout(x: Tensor) -> bool:
    """Last stride one, the others multiples of 16 bytes and not zero, the start aligned to 16 bytes; not empty."""
    item = x.element_size()
    outer = (s for s, n in zip(x.stride()[:-1], x.shape[:-1], strict=True) if n > 1)
    is_aligned = x.is_meta or x.data_ptr() % 16 == 0
    return x.numel() > 0 and x.stride(-1) == 1 and is_aligned and all(s > 0 and s * item % 16 == 0 for s in outer)


def require_reach(**tensors: Tensor) -> None:
    """ValueError if neighbours of the last two ranks are so far apart that a tile of 256 spans 2^31 elements."""
    for name, x in tensors.items():
        apart = max((s for s, n in zip(x.stride()[-2:], x.shape[-2:], strict=True) if n > 1), default=0)
        if apart >= MOST_APART:
            raise ValueError(
                f"neighbours of {name} lie {apart} elements apart, a kernel takes less than {MOST_APART}: pass "
                f"{name}.contiguous()"
            )


def empty_output(q: Tensor, v: Tensor) -> Tensor:
    """[B, H, Nq, Dv], laid out like q if the sizes agree, so that [B, H, N, D] and [B, N, H, D] are both preserved."""
    return torch.empty_like(q) if q.shape[-1] == v.shape[-1] else q.new_empty(*q.shape[:-1], v.shape[-1])


def contiguous_copy(x: Tensor) -> Tensor:
    """A copy of a reference's result, which over no tokens is an input itself: outputs must not alias inputs."""
    return x.clone(memory_format=torch.contiguous_format)


def starts_of(lengths: tuple[tuple[int, int], ...], device: torch.device) -> Tensor:
    """Where each sequence of a packed batch starts: int32 [2, sequences + 1], queries then keys."""
    counts = torch.tensor(lengths, dtype=torch.int32).reshape(-1, 2).T
    starts = torch.zeros(2, counts.shape[1] + 1, dtype=torch.int32)
    starts[:, 1:] = counts.cumsum(1)
    return starts.to(device)


def table_tensor(plan: LaunchPlan, device: torch.device) -> Tensor:
    """The plan's table as int32 [rows, columns]; a single zero if it has none."""
    rows = plan.table or ((0,),)
    return torch.tensor(rows, dtype=torch.int32, device="cpu").to(device)
