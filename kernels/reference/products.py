"""Matrix product with a bias and an activation."""

import torch
from torch import Tensor

from kernels.reference.scaled import widen


def apply_activation(x: Tensor, name: str) -> Tensor:
    """`none`, `relu`, `silu`, or `gelu` in its tanh form."""
    match name:
        case "none":
            return x
        case "relu":
            return torch.relu(x)
        case "silu":
            return x * torch.sigmoid(x)
        case "gelu":
            return 0.5 * x * (1 + torch.tanh(0.7978845608028654 * (x + 0.044715 * x**3)))
    raise ValueError(f"unknown activation '{name}', expected none, relu, silu or gelu")


def gemm(a: Tensor, b: Tensor, bias: Tensor | None = None, activation: str = "none") -> Tensor:
    """activation(a b + bias) of a [..., M, K], b [..., K, N], bias [N]."""
    product = widen(a) @ widen(b)
    if bias is not None:
        product = product + bias.to(product.dtype)
    return apply_activation(product, activation).to(a.dtype)
