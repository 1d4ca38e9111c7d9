"""How far a computed operator may be from the exact one, given how far its arguments may be: one rule an operator.

A rule takes pairs (value, error): the exact value, and a bound on the distance of the computed one from it. It gives
the exact result and what the arguments' errors make of it; the rounding of the operator is added by the caller.
Monotone functions are evaluated at both ends of their argument, others by a Lipschitz constant.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from einsums.interpreter import MEANING_BY_OPERATOR

Values = NDArray[np.float64]


class Approximate(NamedTuple):
    """Exact values, and bounds on the distance of the computed ones."""

    value: Values
    error: Values


Rule = Callable[..., Approximate]


def _meaning(operator: str, *arguments: Approximate) -> Values:
    return np.asarray(MEANING_BY_OPERATOR[operator](*(argument.value for argument in arguments)), dtype=np.float64)


def product(a: Values, b: Values) -> Values:
    """a * b with 0 * inf = 0: an exact zero absorbs whatever is unknown of the other factor."""
    return np.where((a == 0) | (b == 0), 0.0, a * b)


def _sum(operator: str) -> Rule:
    return lambda a, b: Approximate(_meaning(operator, a, b), a.error + b.error)


def _multiply(a: Approximate, b: Approximate) -> Approximate:
    error = product(np.abs(a.value), b.error) + product(a.error, np.abs(b.value)) + product(a.error, b.error)
    return Approximate(_meaning("mul", a, b), error)


def _divide(a: Approximate, b: Approximate) -> Approximate:
    value = _meaning("div", a, b)
    nearest = np.maximum(np.abs(b.value) - b.error, 0.0)
    spread = a.error + product(np.abs(value), b.error)
    return Approximate(value, np.where(spread == 0, 0.0, spread / nearest))


def _power(a: Approximate, b: Approximate) -> Approximate:
    value = _meaning("pow", a, b)
    corners = [np.power(a.value + s * a.error, b.value + t * b.error) for s in (-1, 1) for t in (-1, 1)]
    error = np.max([np.abs(corner - value) for corner in corners], axis=0)
    is_fixed = (a.error == 0) & (b.error == 0)
    # With a base on both sides of 0, or a power that may be whole or not, corners do not enclose the values between.
    return Approximate(value, np.where(is_fixed, 0.0, np.where(a.value - a.error > 0, error, np.inf)))


def _compare(operator: str) -> Rule:
    def rule(a: Approximate, b: Approximate) -> Approximate:
        is_certain = np.abs(a.value - b.value) > a.error + b.error
        is_exact = (a.error == 0) & (b.error == 0)
        return Approximate(_meaning(operator, a, b), np.where(is_certain | is_exact, 0.0, 1.0))

    return rule


def _logic(operator: str) -> Rule:
    def rule(*arguments: Approximate) -> Approximate:
        certain = [(x.error == 0) | (np.abs(x.value) > x.error) for x in arguments]
        is_certain = np.all(np.broadcast_arrays(*certain), axis=0)
        return Approximate(_meaning(operator, *arguments), np.where(is_certain, 0.0, 1.0))

    return rule


def _select(chosen: Approximate, a: Approximate, b: Approximate) -> Approximate:
    value = _meaning("select", chosen, a, b)
    is_certain = (chosen.error == 0) | (np.abs(chosen.value) > chosen.error)
    either = np.abs(a.value - b.value) + np.maximum(a.error, b.error)
    return Approximate(value, np.where(is_certain, np.where(chosen.value != 0, a.error, b.error), either))


def between(value: Values, low: Values, high: Values) -> Values:
    """The error of a value known to lie between two others."""
    return np.maximum(np.where(high == value, 0.0, high - value), np.where(low == value, 0.0, value - low))


def _increasing(operator: str) -> Rule:
    """max, min and others that grow with every argument lie between their values at the ends."""
    function = MEANING_BY_OPERATOR[operator]

    def rule(*arguments: Approximate) -> Approximate:
        low, high = (function(*(x.value + sign * x.error for x in arguments)) for sign in (-1, 1))
        value = _meaning(operator, *arguments)
        return Approximate(value, between(value, low, high))

    return rule


def _largest_error(operator: str) -> Rule:
    """clamp moves no further than the argument that moves most."""

    def rule(*arguments: Approximate) -> Approximate:
        errors = np.broadcast_arrays(*(argument.error for argument in arguments))
        return Approximate(_meaning(operator, *arguments), np.max(errors, axis=0))

    return rule


def _decreasing(operator: str) -> Rule:
    function = MEANING_BY_OPERATOR[operator]

    def rule(a: Approximate) -> Approximate:
        value = _meaning(operator, a)
        return Approximate(value, between(value, function(a.value + a.error), function(a.value - a.error)))

    return rule


def _lipschitz(operator: str, constant: float) -> Rule:
    return lambda a: Approximate(_meaning(operator, a), constant * a.error)


def _exponential(a: Approximate) -> Approximate:
    value = np.exp(a.value)
    return Approximate(value, product(value, np.expm1(a.error)))


RULES: dict[str, Rule] = {
    "add": _sum("add"),
    "sub": _sum("sub"),
    "mul": _multiply,
    "div": _divide,
    "pow": _power,
    "neg": _lipschitz("neg", 1.0),
    **{name: _compare(name) for name in ("lt", "le", "gt", "ge", "eq", "ne")},
    **{name: _logic(name) for name in ("and", "or", "not")},
    "clamp": _largest_error("clamp"),
    "abs": _lipschitz("abs", 1.0),
    "select": _select,
    "exp": _exponential,
    **{
        name: _increasing(name)
        for name in (
            "max", "min", "relu", "log", "log2", "sqrt", "softplus", "sigmoid", "tanh", "sign",
            "round", "floor", "ceil",
        )
    },
    "rsqrt": _decreasing("rsqrt"),
    # Largest slopes of x Phi(x) and x / (1 + e^-x), attained at sqrt(2) and at 2.3994.
    "gelu": _lipschitz("gelu", 0.5 * (1 + math.erf(1.0)) + math.exp(-1.0) / math.sqrt(math.pi)),
    "silu": _lipschitz("silu", 1.0999),
    "cos": _lipschitz("cos", 1.0),
    "sin": _lipschitz("sin", 1.0),
}  # fmt: skip
