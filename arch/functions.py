"""The functions an expression may call, on plain Python numbers.

Comparisons and logic are entries of the same table (`eq`, `and`, ...), so that a caller with arrays can replace the
whole table without changing the expression's tree.
"""

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

# Callable names: minimum and maximum number of arguments (None = any number).
ARITIES: dict[str, tuple[int, int | None]] = {
    "min": (1, None),
    "max": (1, None),
    "ceil": (1, 1),
    "floor": (1, 1),
    "ceil_div": (2, 2),
    "log2": (1, 1),
    "sqrt": (1, 1),
    "round": (1, 1),
    "abs": (1, 1),
    "choose": (3, 3),
    "largest_divisor": (2, 2),
}


LARGEST_DIVIDED = 2**42  # a search for its divisors takes a fraction of a second


def _numbers(name: str, arguments: tuple[Any, ...]) -> None:
    for argument in arguments:
        if isinstance(argument, str):
            raise ValueError(f"'{name}' needs numbers, got {argument!r}")


def of_numbers(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """`function`, wrapped to refuse texts with a sentence that names it."""

    def checked(*arguments: Any) -> Any:
        _numbers(name, arguments)
        return function(*arguments)

    return checked


def _log2(value: float) -> float:
    if value <= 0:
        raise ValueError(f"'log2' needs a number above zero, got {value}")
    return math.log2(value)


def _sqrt(value: float) -> float:
    if value < 0:
        raise ValueError(f"'sqrt' needs a number of at least zero, got {value}")
    return math.sqrt(value)


def largest_divisor(number: float, limit: float) -> int:
    """The largest d <= limit with number % d == 0; 1 when the limit is below 1."""
    if number < 1 or number != int(number):
        raise ValueError(f"'largest_divisor' needs a whole number of at least 1, got {number}")
    whole = int(number)
    if limit >= whole:
        return whole
    if whole > LARGEST_DIVIDED:
        raise ValueError(f"'largest_divisor' searches numbers of at most {LARGEST_DIVIDED}, got {number}")
    best = 1
    for small in range(1, math.isqrt(whole) + 1):
        if whole % small == 0:
            best = max([best, *(d for d in (small, whole // small) if d <= limit)])
    return best


def _choose(condition: Any, when_true: Any, when_false: Any) -> Any:
    return when_true if condition else when_false


SCALAR_FUNCTIONS: Mapping[str, Callable[..., Any]] = MappingProxyType(
    {
        "min": of_numbers("min", lambda *values: min(values)),
        "max": of_numbers("max", lambda *values: max(values)),
        "ceil": of_numbers("ceil", math.ceil),
        "floor": of_numbers("floor", math.floor),
        "ceil_div": of_numbers("ceil_div", lambda dividend, divisor: -(-dividend // divisor)),
        "log2": of_numbers("log2", _log2),
        "sqrt": of_numbers("sqrt", _sqrt),
        "round": of_numbers("round", round),
        "abs": of_numbers("abs", abs),
        "largest_divisor": of_numbers("largest_divisor", largest_divisor),
        "choose": _choose,
        "and": lambda left, right: bool(left) and bool(right),
        "or": lambda left, right: bool(left) or bool(right),
        "not": lambda value: not value,
        "eq": lambda left, right: left == right,
        "ne": lambda left, right: left != right,
        "lt": of_numbers("<", lambda left, right: left < right),
        "le": of_numbers("<=", lambda left, right: left <= right),
        "gt": of_numbers(">", lambda left, right: left > right),
        "ge": of_numbers(">=", lambda left, right: left >= right),
    }
)
