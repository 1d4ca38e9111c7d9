"""The functions of the expression language on arrays: one evaluation serves every design of a batch.

Same names and meaning as the scalar table of `arch.functions`; a division by zero gives inf or nan here and is reported
as the tile size that came of it.
"""

from collections.abc import Callable, Mapping
from functools import reduce
from types import MappingProxyType
from typing import Any

import numpy as np

from sim.engine.counting import largest_divisors


def _largest_divisor(number: Any, limit: Any) -> Any:
    numbers, limits = np.broadcast_arrays(np.asarray(number, float), np.asarray(limit, float))
    whole = np.where(np.isfinite(numbers), np.maximum(np.floor(numbers), 1), 1).astype(np.int64)
    bound = np.clip(np.nan_to_num(np.floor(limits), posinf=2.0**62), 1, 2.0**62).astype(np.int64)
    divisor = np.empty(whole.shape, np.int64)
    largest_divisors(whole.ravel(), bound.ravel(), divisor.ravel())
    return divisor.astype(float)


VECTOR_FUNCTIONS: Mapping[str, Callable[..., Any]] = MappingProxyType(
    {
        "min": lambda *values: reduce(np.minimum, values),
        "max": lambda *values: reduce(np.maximum, values),
        "ceil": np.ceil,
        "floor": np.floor,
        "ceil_div": lambda dividend, divisor: -np.floor_divide(-np.asarray(dividend, float), divisor),
        "log2": np.log2,
        "sqrt": np.sqrt,
        "round": np.round,
        "abs": np.abs,
        "largest_divisor": _largest_divisor,
        "choose": np.where,
        "and": np.logical_and,
        "or": np.logical_or,
        "not": np.logical_not,
        "eq": lambda left, right: np.equal(left, right),
        "ne": lambda left, right: np.not_equal(left, right),
        "lt": np.less,
        "le": np.less_equal,
        "gt": np.greater,
        "ge": np.greater_equal,
    }
)
