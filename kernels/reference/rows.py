"""Operators along the last rank: softmax and the two norms."""

import torch
from torch import Tensor

from kernels.reference.scaled import widen


def softmax(x: Tensor) -> Tensor:
    """Over the last rank, by the maximum, the sum, and the division: three passes."""
    wide = widen(x)
    shifted = torch.exp(wide - wide.amax(-1, keepdim=True))
    return (shifted / shifted.sum(-1, keepdim=True)).to(x.dtype)


def layernorm(x: Tensor, weight: Tensor, bias: Tensor, *, epsilon: float = 1e-5) -> Tensor:
    """(x - mean) / sqrt(variance + epsilon) * weight + bias, the variance without Bessel's correction."""
    wide = widen(x)
    centred = wide - wide.mean(-1, keepdim=True)
    scaled = centred * torch.rsqrt((centred * centred).mean(-1, keepdim=True) + epsilon)
    return (scaled * widen(weight) + widen(bias)).to(x.dtype)


def rmsnorm(x: Tensor, weight: Tensor, *, epsilon: float = 1e-5) -> Tensor:
    """x / sqrt(mean(x^2) + epsilon) * weight."""
    wide = widen(x)
    return (wide * torch.rsqrt((wide * wide).mean(-1, keepdim=True) + epsilon) * widen(weight)).to(x.dtype)
