"""Element-wise operators: the group rational of GR-KAN with its backward, and repeated exp2.

Group rational (Kolmogorov-Arnold transformers; Yang and Wang, arXiv 2409.10594): every group of columns has
P(x) = a0 + a1 x + ... + a5 x^5 and Q(x) = 1 + |c1| |x| + ... + |c4| |x|^4, y = P / Q, the safe form whose denominator
cannot vanish.
"""

import torch
from torch import Tensor

from kernels.reference.scaled import widen


def powers(x: Tensor, count: int) -> Tensor:
    """x^0 ... x^(count-1) along a new last rank."""
    parts = [torch.ones_like(x)]
    for _ in range(count - 1):
        parts.append(parts[-1] * x)
    return torch.stack(parts, -1)


def group_rational(x: Tensor, numerator: Tensor, denominator: Tensor) -> Tensor:
    """y of x [rows, columns], numerator [groups, 6], denominator [groups, 4]."""
    grouped = widen(x).unflatten(-1, (numerator.shape[0], -1))  # [rows, groups, width]
    above = torch.einsum("rgwi,gi->rgw", powers(grouped, 6), numerator.to(grouped.dtype))
    below = 1 + torch.einsum("rgwi,gi->rgw", powers(grouped.abs(), 5)[..., 1:], denominator.to(grouped.dtype).abs())
    return (above / below).flatten(-2).to(x.dtype)


def group_rational_backward(
    x: Tensor, numerator: Tensor, denominator: Tensor, gradient: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """dX, dNumerator, dDenominator, by the closed formulas."""
    groups = numerator.shape[0]
    grouped, wide_grad = widen(x).unflatten(-1, (groups, -1)), gradient.to(widen(x).dtype).unflatten(-1, (groups, -1))
    a, c = numerator.to(grouped.dtype), denominator.to(grouped.dtype)
    x_powers, abs_powers = powers(grouped, 6), powers(grouped.abs(), 5)
    above = torch.einsum("rgwi,gi->rgw", x_powers, a)
    below = 1 + torch.einsum("rgwi,gi->rgw", abs_powers[..., 1:], c.abs())
    order = torch.arange(1, 6, device=x.device, dtype=grouped.dtype)
    above_slope = torch.einsum("rgwi,gi->rgw", x_powers[..., :5], a[:, 1:] * order)
    below_slope = grouped.sign() * torch.einsum("rgwi,gi->rgw", abs_powers[..., :4], c.abs() * order[:4])
    grad_x = wide_grad * (above_slope / below - above * below_slope / below**2)
    grad_a = torch.einsum("rgw,rgwi->gi", wide_grad / below, x_powers)
    grad_c = -c.sign() * torch.einsum("rgw,rgwi->gi", wide_grad * above / below**2, abs_powers[..., 1:])
    return grad_x.flatten(-2).to(x.dtype), grad_a.to(numerator.dtype), grad_c.to(denominator.dtype)


def repeat_exp2(x: Tensor, repeats: int) -> Tensor:
    """x := 2^(-x), `repeats` times: a chain of exponentials that stays bounded."""
    wide = widen(x)
    for _ in range(repeats):
        wide = torch.exp2(-wide)
    return wide.to(x.dtype)
