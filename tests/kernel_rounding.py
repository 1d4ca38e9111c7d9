"""A kernel that applies the rounding helper to a vector; in a file of its own, because triton reads its source."""

import triton
import triton.language as tl

from kernels.numerics import round_to_bf16


@triton.jit
def round_kernel(source, target, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(target + at, round_to_bf16(tl.load(source + at)))
