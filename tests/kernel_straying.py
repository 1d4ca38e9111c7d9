"""Kernels that go astray by one element, so that guards are seen to notice; in a file of their own, because triton reads its source."""

import triton
import triton.language as tl


@triton.jit
def writes_behind_kernel(source, target, size, BLOCK: tl.constexpr):
    at = tl.arange(0, BLOCK)
    tl.store(target + at, tl.load(source + at, mask=at < size), mask=at <= size)


@triton.jit
def reads_before_kernel(source, target, size, BLOCK: tl.constexpr):
    at = tl.arange(0, BLOCK)
    tl.store(target + at, tl.load(source + at - 1, mask=at < size), mask=at < size)
