"""The functions of the expression language on arrays: one evaluation serves every design of a batch.

Same names and meaning as the scalar table of `arch.functions`; a division by zero gives inf or nan here and is reported
as the tile size that came of it.
"""

from collections.abc import Callable, Mapping
from functools import reduce
from types import MappingProxyType
from typing import Any

import numpy as np

from arch.functions import LARGEST_DIVIDED, of_numbers
from sim.engine.counting import largest_divisors


def _largest_divisor(number: Any, limit: Any) -> Any:
    """As the scalar function; nan for what it refuses. Equal pairs, of which a batch has many, are searched once."""
    numbers, limits = np.broadcast_arrays(np.asarray(number, float), np.asarray(limit, float))
    pairs, which = np.unique(np.stack([numbers.ravel(), limits.ravel()]), axis=1, return_inverse=True)
    is_whole = np.isfinite(pairs[0]) & (pairs[0] >= 1)
    is_trivial = is_whole & (pairs[1] >= np.floor(pairs[0]))
    usable = is_whole & (is_trivial | (pairs[0] <= LARGEST_DIVIDED)) & (pairs[0] < 2.0**62)
    whole = np.where(usable & ~is_trivial, np.floor(pairs[0]), 1).astype(np.int64)
    bound = np.clip(np.nan_to_num(np.floor(pairs[1]), posinf=2.0**62), 1, 2.0**62).astype(np.int64)
    divisor = np.empty(whole.shape, np.int64)
    largest_divisors(whole, bound, divisor)
    found = np.where(is_trivial, np.floor(pairs[0]), divisor.astype(float))
    return np.where(usable, found, np.nan)[which.reshape(numbers.shape)]


def _equal(left: Any, right: Any) -> Any:
    """A number never equals a text."""
    one, other = np.asarray(left), np.asarray(right)
    if (one.dtype.kind == "U") != (other.dtype.kind == "U"):
        return np.zeros(np.broadcast_shapes(one.shape, other.shape), bool)
    return np.equal(one, other)


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
        "choose": of_numbers("choose", np.where),
        "and": of_numbers("and", np.logical_and),
        "or": of_numbers("or", np.logical_or),
        "not": of_numbers("not", np.logical_not),
        "eq": _equal,
        "ne": lambda left, right: np.logical_not(_equal(left, right)),
        "lt": np.less,
        "le": np.less_equal,
        "gt": np.greater,
        "ge": np.greater_equal,
    }
)
