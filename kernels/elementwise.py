"""Single Einsums in torch: any expression of operators at all points, then its reduction.

The caller chooses the function that computes an operator, by the name to import it from; functions that torch lacks are
defined here. They extend arithmetic as cascades do: 0 * inf = 0 and 0 / 0 = 0.
"""

import importlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

MOST_POINTS_AT_ONCE = 1 << 22


def multiply(a: Tensor, b: Tensor) -> Tensor:
    """a * b, but 0 if one factor is 0 and the other infinite."""
    absent = ((a == 0) & torch.isinf(b)) | (torch.isinf(a) & (b == 0))
    return torch.where(absent, 0.0, a * b)


def divide(a: Tensor, b: Tensor) -> Tensor:
    """a / b, but 0 if both are 0."""
    return torch.where((a == 0) & (b == 0), 0.0, a / b)


def select(chosen: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """a where `chosen` is not 0, else b."""
    return torch.where(chosen != 0, a, b)


def softplus(x: Tensor) -> Tensor:
    """log(1 + e^x) to full precision; torch's own returns x above a threshold."""
    return torch.logaddexp(x, torch.zeros_like(x))


def imported(name: str) -> Callable[..., Tensor]:
    """A function by its full name: `torch.nn.functional.gelu`."""
    module, _, function = name.rpartition(".")
    found: Callable[..., Tensor] = getattr(importlib.import_module(module), function)
    return found


def value_of(expression: Any, operands: list[Tensor]) -> Tensor:
    """An expression in fp64: a number, {"operand": position}, or {"function": name, "arguments": [expression, ...]}."""
    if not isinstance(expression, dict):
        return torch.tensor(expression, dtype=torch.float64)
    if "operand" in expression:
        return operands[expression["operand"]]
    arguments = [value_of(argument, operands) for argument in expression["arguments"]]
    return imported(expression["function"])(*arguments).to(torch.float64)  # comparisons give truth values


def reduced(einsum: Mapping[str, Any], operands: list[Tensor], exists: Tensor | None) -> Tensor:
    """One Einsum over its points: operands [reduced point or 1, output ...] to the result [output ...], in fp64.

    `einsum` holds `expression`, `shape` ([reduced points, output ...]), `reducer` (a function's name, or None),
    `identity` (the value of a point that does not exist) and `is_logical` (any value but 0 counts as 1).
    """
    count, *shape = einsum["shape"]
    at_once = max(1, MOST_POINTS_AT_ONCE // max(1, int(np.prod(shape))))
    parts = []
    for start in range(0, count, at_once):
        stop = min(count, start + at_once)
        value = value_of(einsum["expression"], [_rows(operand, start, stop) for operand in operands])
        value = torch.broadcast_to(value, (stop - start, *shape))
        if einsum["reducer"] is None:
            return value[0]
        value = (value != 0).to(torch.float64) if einsum["is_logical"] else value
        if exists is not None:
            value = torch.where(_rows(exists, start, stop), value, einsum["identity"])
        parts.append(imported(einsum["reducer"])(value, 0))
    return imported(einsum["reducer"])(torch.stack(parts), 0)


def _rows(values: Tensor, start: int, stop: int) -> Tensor:
    return values[start:stop] if len(values) > 1 else values


def run_einsums(arrays: Mapping[str, np.ndarray], einsums: list[dict[str, Any]]) -> dict[str, np.ndarray]:
    """The result of each Einsum by its `name`, and the `device` on which they ran.

    `arrays` holds the operands as `NAME/0`, `NAME/1`, ..., and `NAME/exists` where some points do not.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    results: dict[str, np.ndarray] = {"device": np.array(device)}
    with torch.device(device):
        for einsum in einsums:
            name = einsum["name"]
            operands = [torch.from_numpy(arrays[f"{name}/{n}"]).to(device) for n in range(einsum["operands"])]
            exists = torch.from_numpy(arrays[f"{name}/exists"]).to(device) if f"{name}/exists" in arrays else None
            results[name] = reduced(einsum, operands, exists).cpu().numpy()
    return results
