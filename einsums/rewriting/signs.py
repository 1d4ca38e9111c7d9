"""Which tensors are nowhere negative or nowhere positive, derived from their definitions and declared domains.

Multiplying by a negative factor turns a maximum into a minimum, so an extremum may move past a factor only if the
factor's sign is known. Signs are the least solution of the rules below over all Einsums, iterations included. Zero is
always possible, and so is NaN, which has no sign.
"""

from typing import NamedTuple

from einsums.nodes import Call, Const, Einsum, Expr, Load, Position
from einsums.rewriting.draft import Draft


class Sign(NamedTuple):
    """The signs that a value may have; 0 is always possible."""

    negative: bool = False
    positive: bool = False

    @property
    def is_known(self) -> bool:
        """True for a value that does not change sign."""
        return not (self.negative and self.positive)

    def or_(self, other: "Sign") -> "Sign":
        """The signs that either value may have."""
        return Sign(self.negative or other.negative, self.positive or other.positive)

    def times(self, other: "Sign") -> "Sign":
        """The signs of the product."""
        same = (self.negative and other.negative) or (self.positive and other.positive)
        different = (self.negative and other.positive) or (self.positive and other.negative)
        return Sign(different, same)

    def reversed(self) -> "Sign":
        """The signs of the negated value."""
        return Sign(self.positive, self.negative)


ANY, UP, DOWN, NONE = Sign(True, True), Sign(False, True), Sign(True, False), Sign()
_NEVER_NEGATIVE = frozenset(("exp", "abs", "sqrt", "rsqrt", "sigmoid", "softplus", "relu", "and", "or", "not"))
_NEVER_NEGATIVE |= frozenset(("lt", "le", "gt", "ge", "eq", "ne"))
_ODD = frozenset(("erf", "tanh", "sign", "round"))  # have the sign of their argument


class Signs:
    """The sign of every tensor of a draft in its current state, and of expressions over them."""

    def __init__(self, draft: Draft) -> None:
        self.einsums = dict(draft.einsums)
        domains = {item.tensor: item.values for item in draft.source.domains}
        self.known = {
            tensor.name: UP if domains.get(tensor.name) in ("positive", "non-negative") else ANY
            for tensor in draft.source.inputs
        }
        changed = True
        while changed:
            changed = False
            for einsum in self.einsums.values():
                found = self._of_einsum(einsum, draft.initial.get(einsum.name, 0.0))
                changed |= found != self.known.get(einsum.name, NONE)
                self.known[einsum.name] = found

    def _of_einsum(self, einsum: Einsum, initial: float) -> Sign:
        value = self.of(einsum.expr).or_(Sign(initial < 0, initial > 0))
        if einsum.reduction is not None and einsum.reduction.operator == "or":
            return UP
        if einsum.reduction is not None and einsum.reduction.operator == "mul":
            return ANY if value.negative else UP  # of none it is 1
        return value

    def of(self, expr: Expr) -> Sign:
        """The sign of an expression; a tensor about which nothing is known yet has none."""
        match expr:
            case Const(value=value):
                return Sign(value < 0, value > 0)
            case Load():
                return self.known.get(expr.access.tensor, NONE)
            case Position():
                return ANY
        assert isinstance(expr, Call)
        if expr.operator == "sub":
            order = self.order(*expr.arguments)
            if order:
                return UP if order > 0 else DOWN
        return _of_call(expr, [self.of(argument) for argument in expr.arguments])

    def order(self, left: Expr, right: Expr) -> int:
        """1 if the left is known to be at least the right, -1 if at most, 0 if neither is known.

        Known if one is an extremum and the other an element or a mean of the same values.
        """
        (one, place), (other, place_of_other) = self._of_what(left), self._of_what(right)
        for of, where, value, of_value, sign in ((one, place, right, other, 1), (other, place_of_other, left, one, -1)):
            if of is not None and of in (value, of_value):
                return where * sign
        return 0

    def _of_what(self, expr: Expr) -> tuple[Expr | None, int]:
        """The expression that a tensor reduces, and its rank in the order: 1 a maximum, -1 a minimum, 0 a mean."""
        found = self.einsums.get(expr.access.tensor) if isinstance(expr, Load) else None
        if found is None or found.reduction is None or expr != Load(access=found.output):
            return None, 0
        places = {"max": 1, "min": -1, "mean": 0}
        return (found.expr if found.reduction.operator in places else None), places.get(found.reduction.operator, 0)


def _of_call(expr: Call, signs: list[Sign]) -> Sign:
    match expr.operator:
        case "add" | "max" | "min" | "floor" | "ceil" | "clamp":
            return _of_bounded(expr.operator, signs)
        case "sub":
            return signs[0].or_(signs[1].reversed())
        case "neg":
            return signs[0].reversed()
        case "mul" if expr.arguments[0] == expr.arguments[1]:
            return UP
        case "mul" | "div":
            return signs[0].times(signs[1])
        case "select":
            return signs[1].or_(signs[2])
        case "pow":
            is_even = isinstance(expr.arguments[1], Const) and expr.arguments[1].value % 2 == 0
            return UP if is_even or not signs[0].negative else ANY
        case operator if operator in _NEVER_NEGATIVE:
            return UP
        case operator if operator in _ODD:
            return signs[0]
    return ANY


def _of_bounded(operator: str, signs: list[Sign]) -> Sign:
    first = signs[0]
    match operator:
        case "add":
            return first.or_(signs[1])
        case "max":
            return Sign(first.negative and signs[1].negative, first.positive or signs[1].positive)
        case "min":
            return Sign(first.negative or signs[1].negative, first.positive and signs[1].positive)
        case "clamp":  # lies between its second and third arguments
            return Sign(signs[1].negative, signs[2].positive)
        case "floor":
            return first
        case "ceil":
            return first
    return ANY
