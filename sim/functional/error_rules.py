"""The error of a computed operator, given the errors of its arguments.

Which rule an operator follows is a column of the table of operators; the rules themselves are here.

A rule takes pairs (value, error): the exact value, and a bound on the distance of the computed one from it. It returns
the exact result and the error propagated from the arguments; the rounding of the operator is added by the caller.
Monotone functions are evaluated at both ends of their argument, others by their steepest slope.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from einsums.operators import OPERATORS, ErrorRule, Operator

Values = NDArray[np.float64]


class Approximate(NamedTuple):
    """Exact values, and bounds on the distance of the computed ones."""

    value: Values
    error: Values


Rule = Callable[..., Approximate]


def _meaning(operator: Operator, *arguments: Approximate) -> Values:
    return np.asarray(operator.meaning(*(argument.value for argument in arguments)), dtype=np.float64)


def product(a: Values, b: Values) -> Values:
    """a * b with 0 * inf = 0: an exact zero absorbs any uncertainty of the other factor."""
    return np.where((a == 0) | (b == 0), 0.0, a * b)


def between(value: Values, low: Values, high: Values) -> Values:
    """The error of a value known to lie between two others."""
    return np.maximum(np.where(high == value, 0.0, high - value), np.where(low == value, 0.0, value - low))


def _sum(operator: Operator) -> Rule:
    return lambda a, b: Approximate(_meaning(operator, a, b), a.error + b.error)


def _product(operator: Operator) -> Rule:
    def rule(a: Approximate, b: Approximate) -> Approximate:
        error = product(np.abs(a.value), b.error) + product(a.error, np.abs(b.value)) + product(a.error, b.error)
        return Approximate(_meaning(operator, a, b), error)

    return rule


def _quotient(operator: Operator) -> Rule:
    def rule(a: Approximate, b: Approximate) -> Approximate:
        value = _meaning(operator, a, b)
        nearest = np.maximum(np.abs(b.value) - b.error, 0.0)
        spread = a.error + product(np.abs(value), b.error)
        return Approximate(value, np.where(spread == 0, 0.0, spread / nearest))

    return rule


def _power(operator: Operator) -> Rule:
    def rule(a: Approximate, b: Approximate) -> Approximate:
        value = _meaning(operator, a, b)
        corners = [operator.meaning(a.value + s * a.error, b.value + t * b.error) for s in (-1, 1) for t in (-1, 1)]
        error = np.max([np.abs(corner - value) for corner in corners], axis=0)
        is_fixed = (a.error == 0) & (b.error == 0)
        # If the base spans 0 or the exponent may or may not be whole, the corners do not enclose the values in between.
        return Approximate(value, np.where(is_fixed, 0.0, np.where(a.value - a.error > 0, error, np.inf)))

    return rule


def _comparison(operator: Operator) -> Rule:
    def rule(a: Approximate, b: Approximate) -> Approximate:
        is_certain = np.abs(a.value - b.value) > a.error + b.error
        is_exact = (a.error == 0) & (b.error == 0)
        return Approximate(_meaning(operator, a, b), np.where(is_certain | is_exact, 0.0, 1.0))

    return rule


def _logic(operator: Operator) -> Rule:
    def rule(*arguments: Approximate) -> Approximate:
        certain = [(x.error == 0) | (np.abs(x.value) > x.error) for x in arguments]
        is_certain = np.all(np.broadcast_arrays(*certain), axis=0)
        return Approximate(_meaning(operator, *arguments), np.where(is_certain, 0.0, 1.0))

    return rule


def _choice(operator: Operator) -> Rule:
    def rule(chosen: Approximate, a: Approximate, b: Approximate) -> Approximate:
        value = _meaning(operator, chosen, a, b)
        is_certain = (chosen.error == 0) | (np.abs(chosen.value) > chosen.error)
        either = np.abs(a.value - b.value) + np.maximum(a.error, b.error)
        return Approximate(value, np.where(is_certain, np.where(chosen.value != 0, a.error, b.error), either))

    return rule


def _largest(operator: Operator) -> Rule:
    def rule(*arguments: Approximate) -> Approximate:
        errors = np.broadcast_arrays(*(argument.error for argument in arguments))
        return Approximate(_meaning(operator, *arguments), np.max(errors, axis=0))

    return rule


def _increasing(operator: Operator) -> Rule:
    def rule(*arguments: Approximate) -> Approximate:
        low, high = (operator.meaning(*(x.value + sign * x.error for x in arguments)) for sign in (-1, 1))
        value = _meaning(operator, *arguments)
        return Approximate(value, between(value, low, high))

    return rule


def _decreasing(operator: Operator) -> Rule:
    def rule(a: Approximate) -> Approximate:
        value = _meaning(operator, a)
        return Approximate(
            value, between(value, operator.meaning(a.value + a.error), operator.meaning(a.value - a.error))
        )

    return rule


def _exponential(operator: Operator) -> Rule:
    def rule(a: Approximate) -> Approximate:
        value = _meaning(operator, a)
        return Approximate(value, product(value, np.expm1(a.error)))

    return rule


def _steepest(operator: Operator, slope: float) -> Rule:
    return lambda a: Approximate(_meaning(operator, a), slope * a.error)


_RULES: dict[ErrorRule, Callable[[Operator], Rule]] = {
    ErrorRule.SUM: _sum,
    ErrorRule.PRODUCT: _product,
    ErrorRule.QUOTIENT: _quotient,
    ErrorRule.POWER: _power,
    ErrorRule.COMPARISON: _comparison,
    ErrorRule.LOGIC: _logic,
    ErrorRule.CHOICE: _choice,
    ErrorRule.LARGEST: _largest,
    ErrorRule.INCREASING: _increasing,
    ErrorRule.DECREASING: _decreasing,
    ErrorRule.EXPONENTIAL: _exponential,
}
_without_formula = [rule.name for rule in ErrorRule if rule not in _RULES]
if _without_formula:
    raise TypeError(f"rules of error without a formula: {', '.join(_without_formula)}")
_unused = [rule.name for rule in _RULES if rule not in {operator.error for operator in OPERATORS}]
if _unused:
    raise TypeError(f"rules of error that no operator follows: {', '.join(_unused)}")

RULE_BY_OPERATOR: dict[str, Rule] = {
    operator.name: _steepest(operator, operator.error)
    if isinstance(operator.error, float)
    else _RULES[operator.error](operator)
    for operator in OPERATORS
}
