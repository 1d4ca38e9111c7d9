"""Online softmax: the state of a tile of queries after the keys it has seen so far, in base 2.

With a running maximum m, denominator d and numerator n, and the logits s of a next block of keys with values v:
m' = max(m, max s), c = 2^(m - m'), d' = c d + sum 2^(s - m'), n' = c n + 2^(s - m') v. A row that has seen no key has
m = -inf and gives 0.
"""

# Kernel parameters are device tensors and scalars, which have no Python type.
# mypy: allow-untyped-defs

from typing import Any, NamedTuple

import triton
import triton.language as tl

from kernels.numerics import narrow


class Running(NamedTuple):
    """numerator [rows, values], denominator [rows], peak [rows]: the maximum of the logits, base 2."""

    numerator: Any
    denominator: Any
    peak: Any


class Attended(NamedTuple):
    """Output [rows, values] and log-sum-exp [rows], base 2."""

    out: Any
    lse: Any


@triton.jit
def nothing_seen(ROWS: tl.constexpr, VALUES: tl.constexpr):
    return Running(
        tl.zeros([ROWS, VALUES], tl.float32),
        tl.zeros([ROWS], tl.float32),
        tl.full([ROWS], float("-inf"), tl.float32),
    )


@triton.jit
def see(running, scores, v, factor, IS_MASKED: tl.constexpr, DTYPE: tl.constexpr):
    """Add the next block: scores [rows, keys] before the factor, -inf where hidden; v [keys, values]; weights are
    rounded to DTYPE before they are multiplied by V."""
    peak = tl.maximum(running.peak, tl.max(scores, 1) * factor)
    shift = peak
    if IS_MASKED:  # for a row that has seen nothing yet, exp2(-inf - 0) = 0 but exp2(-inf + inf) would be NaN
        shift = tl.where(peak == float("-inf"), 0.0, peak)
    weights = tl.exp2(scores * factor - shift[:, None])
    correction = tl.exp2(running.peak - shift)
    denominator = running.denominator * correction + tl.sum(weights, 1)
    numerator = running.numerator * correction[:, None]
    return Running(
        tl.dot(narrow(weights, DTYPE), v, numerator, input_precision="ieee"),
        denominator,
        peak,
    )


@triton.jit
def see_sink(running, logit):
    """Add one more logit, base 2, without a value."""
    peak = tl.maximum(running.peak, logit)
    correction = tl.exp2(running.peak - peak)
    return Running(
        running.numerator * correction[:, None], running.denominator * correction + tl.exp2(logit - peak), peak
    )


@triton.jit
def attended(running):
    is_empty = running.denominator == 0
    safe = tl.where(is_empty, 1.0, running.denominator)
    return Attended(
        running.numerator / safe[:, None],
        tl.where(is_empty, float("-inf"), running.peak + tl.log2(safe)),
    )
