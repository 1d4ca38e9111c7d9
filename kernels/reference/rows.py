"""Operators along the last rank: softmax and the two norms."""

import torch
from torch import Tensor

from kernels.reference.scaled import widen


def softmax(x: Tensor) -> Tensor:
    """Over the last rank in three passes: maximum, sum, division."""
    wide = widen(x)
    shifted = torch.exp(wide - wide.amax(-1, keepdim=True))
    return (shifted / shifted.sum(-1, keepdim=True)).to(x.dtype)


def layernorm(x: Tensor, weight: Tensor, bias: Tensor, *, epsilon: float = 1e-5) -> Tensor:
    """(x - mean) / sqrt(variance + epsilon) * weight + bias, the variance without Bessel's correction."""
    wide = widen(x)
    centred = wide - wide.mean(-1, keepdim=True)
    scaled = centred * torch.rsqrt((centred * centred).mean(-1, keepdim=True) + epsilon)
    return (scaled * weight.to(wide.dtype) + bias.to(wide.dtype)).to(x.dtype)


def rmsnorm(x: Tensor, weight: Tensor, *, epsilon: float = 1e-5) -> Tensor:
    """x / sqrt(mean(x^2) + epsilon) * weight."""
    wide = widen(x)
    return (wide * torch.rsqrt((wide * wide).mean(-1, keepdim=True) + epsilon) * weight.to(wide.dtype)).to(x.dtype)


def norm_backward(
    x: Tensor, weight: Tensor, gradient: Tensor, *, is_centred: bool, epsilon: float = 1e-5
) -> tuple[Tensor, Tensor, Tensor]:
    """dX, dWeight, dBias of layernorm (centred) or rmsnorm, by the closed formulas; x [..., columns].

    With x^ = (x - mean) / deviation and h = dY weight: dX = (h - mean(h) - x^ mean(h x^)) / deviation, where mean(h) is
    dropped if not centred.
    """
    wide = widen(x)
    grad = gradient.to(wide.dtype)
    centred = wide - wide.mean(-1, keepdim=True) if is_centred else wide
    inverse = torch.rsqrt((centred * centred).mean(-1, keepdim=True) + epsilon)
    scaled = centred * inverse
    h = grad * weight.to(wide.dtype)
    inner = h - scaled * (h * scaled).mean(-1, keepdim=True)
    if is_centred:
        inner = inner - h.mean(-1, keepdim=True)
    over_rows = tuple(range(x.dim() - 1))
    return (
        (inner * inverse).to(x.dtype),
        (grad * scaled).sum(over_rows).to(weight.dtype),
        grad.sum(over_rows).to(weight.dtype),
    )
