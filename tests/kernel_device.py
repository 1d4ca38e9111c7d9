"""Where kernel tests run: on a GPU where there is one, otherwise in Triton's interpreter. Import before any kernel.

The interpreter is chosen when a kernel is defined, so the variable is set before triton is first imported.
"""

import os
import random
import sys
from typing import Any

import torch
from torch import Tensor

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
if DEVICE == "cpu":
    is_late = "triton" in sys.modules and os.environ.get("TRITON_INTERPRET") != "1"
    assert not is_late, "triton was imported before the interpreter could be chosen"
    os.environ["TRITON_INTERPRET"] = "1"

DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
# Relative error (Frobenius norm) against fp64 of the same rounded inputs.
LIMITS = {torch.float32: 1e-6, torch.float16: 1e-3, torch.bfloat16: 8e-3}


def tensor(*shape: int, dtype: torch.dtype = torch.float32, seed: int = 0, scale: float = 1.0) -> Tensor:
    generator = torch.Generator().manual_seed(seed * 1009 + sum(shape))
    return (torch.randn(*shape, generator=generator) * scale).to(dtype).to(DEVICE)


def relative_error(found: Tensor, expected: Tensor) -> float:
    """Frobenius norm of the difference over that of the expected; infinities must stand in the same places."""
    found, expected = found.detach().double(), expected.detach().double()
    finite = torch.isfinite(expected)
    assert torch.equal(finite, torch.isfinite(found)), "finite elements differ"
    assert torch.equal(found[~finite], expected[~finite]), "infinities differ"
    norm = expected[finite].norm()
    error = (found[finite] - expected[finite]).norm()
    return float(error / norm) if norm else float(error)


def assert_close(found: Tensor, expected: Tensor, dtype: torch.dtype, factor: float = 1.0) -> None:
    assert found.shape == expected.shape
    error = relative_error(found, expected)
    assert error <= LIMITS[dtype] * factor, f"relative error {error:.3g}, at most {LIMITS[dtype] * factor:.3g}"


def doubled(*tensors: Any) -> list[Any]:
    return [t.double() if isinstance(t, Tensor) else t for t in tensors]


def odd_layout(x: Tensor, layout: str) -> Tensor:
    """The same values with other strides: `bnhd` (length before heads), `offset` (unaligned rows), `last` (a column stride)."""
    match layout:
        case "bhnd":
            return x.contiguous()
        case "bnhd":
            return x.transpose(1, 2).contiguous().transpose(1, 2)
        case "offset":
            room = torch.full((*x.shape[:-1], x.shape[-1] + 3), float("nan"), dtype=x.dtype, device=x.device)
            room[..., 1:-2] = x
            return room[..., 1:-2]
        case "last":
            return x.mT.contiguous().mT
    raise AssertionError(layout)


def chooser(seed: int) -> random.Random:
    return random.Random(f"kernels-{seed}")
