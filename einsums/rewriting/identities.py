"""Identities between map operators that isolate a reduced value, rewriting one form of a function as another.

    exp(u + n log s)  = exp(u) * s^n              log(exp(u) / s)   = u - log s
    sqrt(x * g)       = sqrt(x) * sqrt(g)         |x * g|           = |x| * |g|          (x * g)^c = x^c * g^c
    exp(u)^c          = exp(c * u)                likewise for roots and magnitudes
    sign(x * g)       = sign(x) * sign(g)         relu(x * g)       = relu(x) * g        g >= 0
    max(x * g, y * g) = max(x, y) * g   g >= 0    select(c, x*g, 0) = select(c, x, 0) * g
    x * c - g * c     = (x - g) * c

g, s and t wait for a reduction over the rank and do not change along it. Most identities hold for all real numbers,
some only where a logarithm or a root exists on both sides; the numerical check covers the ends of the range. An
identity is applied only if it removes a late part; everything else stays as written.
"""

from collections.abc import Callable

from einsums.nodes import Call, Const, Expr
from einsums.rewriting.algebra import (
    Factor,
    Product,
    expression,
    inverse,
    is_whole_power,
    sum_of_products,
)
from einsums.rewriting.canonical import DISCONTINUOUS
from einsums.rewriting.terms import Terms, is_exponential, one, terms_of

_HOMOGENEOUS = ("abs", "sign", "sqrt", "rsqrt", "relu", "pow")


Joined = Callable[..., Call]


class Identities(Terms):
    """The identities applied to a draft in its current state, for tensors late with respect to a rank."""

    def applied(self, expr: Expr) -> Expr:
        """The expression after applying every identity that removes a late part, innermost first."""
        if not isinstance(expr, Call) or expr.operator in DISCONTINUOUS:
            return expr
        kept = expr.arguments[: expr.operator == "select"]  # a condition stays as it is spelled
        arguments = (*kept, *map(self.applied, expr.arguments[len(kept) :]))
        new = Call(operator=expr.operator, arguments=arguments)
        if not self.flow.is_late(new):
            return new
        return self.of_call(new)

    def of_call(self, expr: Call) -> Expr:
        """Simplify one operator whose arguments are already simplified."""
        match expr.operator:
            case "log":
                return self.logarithm(expr)
            case "exp":
                return self.exponential(expr)
            case "select":
                return self.selection(expr)
            case "max" | "min":
                return self.extremum(expr)
            case "add" | "sub":
                return self.scaled(expr)
            case "mul" | "div":
                return self.one_exponential(expr)
            case operator if operator in _HOMOGENEOUS:
                return self.homogeneous(expr)
        return expr

    # --- logarithm, exponential ----------------------------------------------------------------------------------
    def logarithm(self, expr: Call) -> Expr:
        """log(exp(u) * w * s / t) = u + log w + log s - log t."""
        parts = self.parted(expr.arguments[0])
        if parts is None or parts.rest.coefficient <= 0 or not (parts.exponents or parts.late):
            return expr
        has_rest = bool(parts.rest.factors) or parts.rest.coefficient != 1
        if not parts.exponents and not has_rest:
            return expr
        terms = list(parts.exponents)
        if has_rest:
            below = bool(parts.rest.factors) and all(factor.divides for factor in parts.rest.factors)
            rest = expression([inverse(parts.rest) if below else parts.rest])
            terms.append(one(Call(operator=expr.operator, arguments=(rest,))).scaled(-1.0 if below else 1.0))
        for divides, sign in ((False, 1.0), (True, -1.0)):
            same = [Factor(factor.expr) for factor in parts.late if factor.divides == divides]
            if same:
                whole = expression([Product(1.0, tuple(same))])
                terms.append(one(Call(operator=expr.operator, arguments=(whole,))).scaled(sign))
        return expression(terms)

    def exponential(self, expr: Call) -> Expr:
        """exp(u + n log s) = exp(u) * s^n, for a number n."""
        terms = sum_of_products(expr.arguments[0], self.opened_sum)
        factors, kept = list[Factor](), list[Product]()
        for term in terms:
            power = _power_of_logarithm(term)
            if power is None:
                kept.append(term)
            else:
                factors += power
        if not factors:
            return expr
        first = [Factor(Call(operator="exp", arguments=(self.scaled(expression(kept)),)))] if kept else []
        return expression([Product(1.0, (*first, *factors))])

    def one_exponential(self, expr: Call) -> Expr:
        """exp(u) * exp(v) = exp(u + v), unless what it saves is computed anyway."""
        products = sum_of_products(expr, self.opened_exponential)
        if len(products) != 1:
            return expr
        (whole,) = products
        found = [factor for factor in whole.factors if is_exponential(factor.expr)]
        saved = [factor for factor in found if self.occurrences(factor.expr) == 1]
        if len(found) < 2 or not saved or not any(self.flow.is_late(factor.expr) for factor in found):
            return expr
        terms = list[Product]()
        for factor in found:
            assert isinstance(factor.expr, Call)
            terms += terms_of(factor.expr.arguments[0], -1.0 if factor.divides else 1.0)
        joined = self.exponential(Call(operator="exp", arguments=(self.together(terms),)))
        rest = tuple(factor for factor in whole.factors if factor not in found)
        return expression([Product(whole.coefficient, (Factor(joined), *rest))])

    # --- functions of a product ----------------------------------------------------------------------------------
    def homogeneous(self, expr: Call) -> Expr:
        """f(w * g) = f(w) * f(g)."""
        rest = expr.arguments[1:]
        if expr.operator == "pow" and not (isinstance(rest[0], Const) and not is_whole_power(rest[0].value)):
            return expr
        parts = self.parted(expr.arguments[0])
        power = _exponent_of(expr)
        if parts is None or (parts.exponents and power is None) or not (parts.exponents or parts.late):
            return expr
        has_rest = bool(parts.rest.factors) or parts.rest.coefficient != 1
        if not parts.exponents and not has_rest:
            return expr
        if expr.operator == "relu" and any(self.signs.of(f.expr).negative for f in parts.late):
            return expr

        def of(argument: Expr) -> Expr:
            return Call(operator=expr.operator, arguments=(argument, *rest))

        factors = [f if self.is_fixed(expr.operator, f.expr) else Factor(of(f.expr), f.divides) for f in parts.late]
        if has_rest:
            square = _root_of_square(expr.operator, parts.rest)
            factors.insert(0, Factor(of(expression([parts.rest])) if square is None else square))
        if parts.exponents and power is not None:
            exponent = self.together([term.scaled(power) for term in parts.exponents])
            factors.insert(0, Factor(Call(operator="exp", arguments=(exponent,))))
        return expression([Product(1.0, tuple(factors))])

    def is_fixed(self, operator: str, expr: Expr) -> bool:
        """True where the function leaves a value unchanged."""
        return operator in ("relu", "abs") and not self.signs.of(expr).negative

    def selection(self, expr: Call) -> Expr:
        """select(c, x * g, y * g) = select(c, x, y) * g; 0 is a multiple of everything."""
        chosen, *branches = expr.arguments
        return self.common_factors(expr, branches, lambda *rest: Call(operator="select", arguments=(chosen, *rest)))

    def extremum(self, expr: Call) -> Expr:
        """max(x * g, y * g) = max(x, y) * g for g nowhere negative; max(x, 0) is relu(x)."""
        other = [branch for branch in expr.arguments if not _is_zero(branch)]
        if expr.operator == "max" and len(other) == 1:
            return self.homogeneous(Call(operator="relu", arguments=tuple(other)))
        return self.common_factors(
            expr, list(expr.arguments), lambda *rest: Call(operator=expr.operator, arguments=rest), needs_sign=True
        )

    def common_factors(self, expr: Call, branches: list[Expr], joined: Joined, needs_sign: bool = False) -> Expr:
        """Factor out the late factors common to all branches."""
        parts = [self.parted(branch) for branch in branches if not _is_zero(branch)]
        found = [part for part in parts if part is not None]
        if len(found) < len(parts) or not found:
            return expr
        shared = [
            factor
            for factor in found[0].late
            if all(factor in part.late for part in found) and not (needs_sign and self.signs.of(factor.expr).negative)
        ]
        if not shared:
            return expr
        remaining = iter(
            expression([part.inside.times(Product(1.0, tuple(f for f in part.late if f not in shared)))])
            for part in found
        )
        inner = joined(*(branch if _is_zero(branch) else next(remaining) for branch in branches))
        return expression([Product(1.0, (Factor(inner), *shared))])


def _is_zero(expr: Expr) -> bool:
    return isinstance(expr, Const) and expr.value == 0


def _power_of_logarithm(term: Product) -> list[Factor] | None:
    """exp(n log s) as factors; None for any other term."""
    match term.factors:
        case (Factor(expr=Call(operator="log", arguments=(base,)), divides=False),):
            if not (2 * term.coefficient).is_integer():
                return [Factor(Call(operator="pow", arguments=(base, Const(value=term.coefficient))))]
            half = term.coefficient % 1 != 0
            whole = int(abs(term.coefficient))
            factors = [Factor(base, term.coefficient < 0)] * whole
            root = Factor(Call(operator="sqrt", arguments=(base,)), term.coefficient < 0)
            return [*factors, root] if half else factors
    return None


def _exponent_of(expr: Call) -> float | None:
    """The exponent that a function of a positive number amounts to: 1/2 for a root, 1 for its magnitude."""
    match expr:
        case Call(operator="pow", arguments=(_, Const(value=power))):
            return power
        case Call(operator="sqrt" | "rsqrt" | "abs" as name):
            return {"sqrt": 0.5, "rsqrt": -0.5, "abs": 1.0}[name]
    return None


def _root_of_square(operator: str, inside: Product) -> Expr | None:
    """|x| for sqrt(x * x)."""
    match inside.factors:
        case (first, second) if (
            operator == "sqrt" and first == second and not first.divides and inside.coefficient == 1
        ):
            return Call(operator="abs", arguments=(first.expr,))
    return None
