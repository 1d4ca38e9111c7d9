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

import math
from collections.abc import Callable
from typing import NamedTuple

from einsums.nodes import Call, Const, Expr, Load, iter_operators
from einsums.rewriting.algebra import (
    Factor,
    Product,
    Splits,
    expression,
    folded,
    inverse,

    is_whole_power,
    iter_parts,
    merged,
    simplified,
    sum_of_products,
)
from einsums.rewriting.canonical import DISCONTINUOUS
from einsums.rewriting.draft import Draft, Flow
from einsums.rewriting.signs import Signs
from einsums.rewriting.translation import Movements

_LOGARITHM = {"log": 1.0, "log2": math.log2(math.e)}  # of e
_HOMOGENEOUS = ("abs", "sign", "sqrt", "rsqrt", "relu", "pow")


Joined = Callable[..., Call]


class _Parted(NamedTuple):
    """A product split in three: the exponents of its exponentials, late factors free of the rank, and the rest."""

    exponents: tuple[Product, ...]
    late: tuple[Factor, ...]
    rest: Product

    @property
    def inside(self) -> Product:
        """The product without its late factors."""
        if not self.exponents:
            return self.rest
        exponential = Call(operator="exp", arguments=(expression(self.exponents),))
        return _one(exponential).times(self.rest)


class Identities:
    """The identities applied to a draft in its current state, for tensors late with respect to a rank."""

    def __init__(self, draft: Draft, flow: Flow) -> None:
        self.draft, self.flow = draft, flow
        self.signs = Signs(draft)
        self.movements = Movements(draft)

    def applied(self, expr: Expr) -> Expr:
        """The expression after applying every identity that removes a late part, innermost first."""
        if not isinstance(expr, Call) or expr.operator in DISCONTINUOUS:
            return expr
        new = Call(operator=expr.operator, arguments=tuple(map(self.applied, expr.arguments)))
        if not self.flow.is_late(new):
            return new
        return self.of_call(new)

    def of_call(self, expr: Call) -> Expr:
        """Simplify one operator whose arguments are already simplified."""
        match expr.operator:
            case "log" | "log2":
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

    # --- looking inside ------------------------------------------------------------------------------------------
    def opened(self, expr: Expr) -> Expr | None:
        """The definition of a late pointwise value; sums stay whole."""
        if not isinstance(expr, Load) or not self.flow.is_late(expr):
            return None
        found = self.draft.definition(expr.access)
        return found.expr if found is not None else None

    def opened_element(self, expr: Expr) -> Expr | None:
        """The same, but only for values along the rank."""
        return self.opened(expr) if self.flow.walks(expr) else None

    def is_free(self, expr: Expr) -> bool:
        """True for an expression that is late and does not change along the rank."""
        return self.flow.is_late(expr) and not self.flow.walks(expr)

    def parted(self, expr: Expr) -> _Parted | None:
        """An expression as a single product; None for a sum."""
        products = sum_of_products(expr, self.opened_element)
        if len(products) != 1:
            return None
        exponents, late, rest = list[Product](), list[Factor](), list[Factor]()
        whole = simplified(products[0])
        for factor in whole.factors:
            match factor.expr:
                case Call(operator="exp", arguments=(argument,)) if self.flow.is_late(argument):
                    exponents += _terms(argument, -1.0 if factor.divides else 1.0)
                case _ if self.is_free(factor.expr):
                    late.append(factor)
                case _:
                    rest.append(factor)
        return _Parted(tuple(exponents), tuple(late), Product(whole.coefficient, tuple(rest)))

    # --- logarithm, exponential ----------------------------------------------------------------------------------
    def logarithm(self, expr: Call) -> Expr:
        """log(exp(u) * w * s / t) = u + log w + log s - log t."""
        parts = self.parted(expr.arguments[0])
        if parts is None or parts.rest.coefficient <= 0 or not (parts.exponents or parts.late):
            return expr
        has_rest = bool(parts.rest.factors) or parts.rest.coefficient != 1
        if not parts.exponents and not has_rest:
            return expr
        scale = _LOGARITHM[expr.operator]
        terms = list(parts.exponents)
        if terms and scale != 1:
            terms = [Product(scale, (Factor(expression(terms)),))]
        if has_rest:
            below = bool(parts.rest.factors) and all(factor.divides for factor in parts.rest.factors)
            rest = expression([inverse(parts.rest) if below else parts.rest])
            terms.append(_one(Call(operator=expr.operator, arguments=(rest,))).scaled(-1.0 if below else 1.0))
        for divides, sign in ((False, 1.0), (True, -1.0)):
            same = [Factor(factor.expr) for factor in parts.late if factor.divides == divides]
            if same:
                whole = expression([Product(1.0, tuple(same))])
                terms.append(_one(Call(operator=expr.operator, arguments=(whole,))).scaled(sign))
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

    def opened_sum(self, expr: Expr) -> Expr | None:
        """A value whose definition is a logarithm, or a late one that is a sum."""
        early = self.draft.definition(expr.access) if isinstance(expr, Load) else None
        if early is not None and isinstance(early.expr, Call) and early.expr.operator == "log":
            return early.expr
        found = self.opened(expr)
        if isinstance(found, Call) and found.operator in ("add", "sub", "neg", "log"):
            return found
        if isinstance(found, Load):
            return self.opened_sum(found)
        return None if isinstance(expr, Load) else expr

    def one_exponential(self, expr: Call) -> Expr:
        """exp(u) * exp(v) = exp(u + v), unless what it saves is computed anyway."""
        products = sum_of_products(expr, self.opened_exponential)
        if len(products) != 1:
            return expr
        (whole,) = products
        expr = _without_exact_divisor(expr)
        found = [factor for factor in whole.factors if _is_exponential(factor.expr)]
        saved = [factor for factor in found if self.occurrences(factor.expr) == 1]
        if len(found) < 2 or not saved or not any(self.flow.is_late(factor.expr) for factor in found):
            return expr
        terms = list[Product]()
        for factor in found:
            assert isinstance(factor.expr, Call)
            terms += _terms(factor.expr.arguments[0], -1.0 if factor.divides else 1.0)
        joined = self.exponential(Call(operator="exp", arguments=(self.together(terms),)))
        rest = tuple(factor for factor in whole.factors if factor not in found)
        return expression([Product(whole.coefficient, (Factor(joined), *rest))])

    def opened_exponential(self, expr: Expr) -> Expr | None:
        """The definition of a value that is an exponential, or a product that may hold one."""
        found = self.draft.definition(expr.access) if isinstance(expr, Load) else None
        if found is None or not isinstance(found.expr, Call):
            return None
        holds = any(_is_exponential(part) for part in iter_parts(found.expr))
        return found.expr if holds and found.expr.operator in ("exp", "mul", "div", "neg") else None

    def occurrences(self, exponential: Expr) -> int:
        """How often an exponential is used."""
        written = {name: list(iter_parts(found.expr)) for name, found in self.draft.einsums.items()}
        inline = sum(parts.count(exponential) for parts in written.values())
        names = [name for name, found in self.draft.einsums.items() if found.expr == exponential]
        read = sum(
            isinstance(part, Load) and part.access.tensor in names for parts in written.values() for part in parts
        )
        return inline - len(names) + read

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
            expression([part.inside.times(Product(1.0, tuple(f for f in part.late if f not in shared)))]) for part in found
        )
        inner = joined(*(branch if _is_zero(branch) else next(remaining) for branch in branches))
        return expression([Product(1.0, (Factor(inner), *shared))])

    # --- sums ----------------------------------------------------------------------------------------------------
    def scaled(self, expr: Expr) -> Expr:
        """x * c - g * c = (x - g) * c, whatever the terms are called, and x - g together where they move alike."""
        plain, opened = flat_terms(expr, lambda _: None), flat_terms(expr, self.opened_product)
        whole = self.together(opened)
        is_sum = isinstance(whole, Call) and whole.operator in ("add", "sub")
        is_longer = len(list(iter_operators(whole))) > len(list(iter_operators(expr)))
        return self.together(plain) if is_sum and is_longer else whole

    def together(self, terms: list[Product]) -> Expr:
        """A sum with its terms factored, and those that move alike next to each other: (x - g) + (y - h)."""
        groups = self.components(merged(terms))
        mixed = [group for group in groups if len(group) > 1]
        scales = {abs(term.coefficient) for group in groups for term in group}
        if len(groups) < 2 or len(mixed) < 2 or len(scales) > 1:
            return factored(expression(terms))
        scale = scales.pop() if scales else 1.0
        return expression(
            [Product(scale, (Factor(folded("add", [_unit(group, scale) for group in groups], Const(value=0.0))),))]
        )

    def opened_product(self, expr: Expr) -> Expr | None:
        """The definition of a value that is a product or a sum."""
        found = self.draft.definition(expr.access) if isinstance(expr, Load) else None
        plain = ("mul", "div", "neg", "add", "sub")
        is_plain = found is not None and isinstance(found.expr, Call) and found.expr.operator in plain
        return found.expr if found is not None and is_plain else None

    def still_and_moving(self, expr: Expr) -> tuple[list[Product], list[Product]]:
        """The terms of a sum: late ones free of the rank that do not move with an input, and the others."""
        terms = flat_terms(expr, self.opened_terms)
        still = [term for term in terms if self.is_still(term)]
        return still, [term for term in terms if term not in still]

    def opened_terms(self, expr: Expr) -> Expr | None:
        """A late value whose definition is a sum."""
        found = self.opened(expr)
        return found if isinstance(found, Call) and found.operator in ("add", "sub", "neg") else None

    def is_still(self, term: Product) -> bool:
        """True for a late term that is free of the rank and does not move."""
        is_free = all(not self.flow.walks(factor.expr) for factor in term.factors)
        is_late = any(self.flow.is_late(factor.expr) for factor in term.factors)
        return is_free and is_late and self.movements.of_term(term) == {}

    def is_product_of_the_rank(self, term: Product) -> bool:
        """True for a late product along the rank, such as exp(x - g) / s, which is not one side of a difference."""
        (first, *others) = term.factors or (Factor(Const(value=0.0)),)
        if others or first.divides or not (self.flow.is_late(first.expr) and self.flow.walks(first.expr)):
            return bool(others) and self.flow.is_late(expression([term])) and self.flow.walks(expression([term]))
        inside = self.parted(first.expr)
        return inside is not None and bool(inside.exponents or inside.late)

    def components(self, terms: list[Product]) -> list[list[Product]]:
        """Terms grouped by the origins they move with; those that do not move stay separate."""
        groups: list[tuple[set[str], list[Product]]] = []
        for term in terms:
            origins = set(self.movements.of_term(term))
            joined = [group for group in groups if group[0] & origins]
            groups = [group for group in groups if group not in joined]
            groups.append((origins.union(*(g[0] for g in joined)), [*(t for g in joined for t in g[1]), term]))
        return [group for _, group in groups]


def _unit(group: list[Product], scale: float) -> Expr:
    return expression([term.scaled(1.0 / scale) for term in group])


def flat_terms(expr: Expr, look_into: Splits) -> list[Product]:
    """The terms of a sum, with names opened where `look_into` gives a definition, but sums in products whole."""
    match expr:
        case Call(operator="add" | "sub", arguments=(left, right)):
            sign = -1.0 if expr.operator == "sub" else 1.0
            return [
                *flat_terms(left, look_into),
                *(term.scaled(sign) for term in flat_terms(right, look_into)),
            ]
        case Call(operator="neg", arguments=(inner,)):
            return [term.scaled(-1.0) for term in flat_terms(inner, look_into)]
        case Load():
            found = look_into(expr)
            return [_one(expr)] if found is None or found == expr else flat_terms(found, look_into)
    products = sum_of_products(expr, lambda _: None)
    match products:
        case (Product(factors=(Factor(expr=inside, divides=False),)),) if inside != expr:
            return [term.scaled(products[0].coefficient) for term in flat_terms(inside, look_into)]
    return list(products)


def factored(expr: Expr) -> Expr:
    """A sum whose terms share a factor, or a constant other than 1, as that factor times a sum."""
    terms = [simplified(term) for term in sum_of_products(expr, lambda part: None)]
    if len(terms) < 2:
        return expr
    shared = list(terms[0].factors)
    for term in terms[1:]:
        shared = [factor for factor in dict.fromkeys(shared) if factor in term.factors]
    scales = {abs(term.coefficient) for term in terms}
    scale = scales.pop() if len(scales) == 1 else 1.0
    if not shared and scale == 1:
        return expr
    rest = expression([Product(term.coefficient / scale, _without(term.factors, shared)) for term in terms])
    return expression([Product(scale, (Factor(rest), *shared))])


def _without(factors: tuple[Factor, ...], gone: list[Factor]) -> tuple[Factor, ...]:
    kept = list(factors)
    for factor in gone:
        kept.remove(factor)
    return tuple(kept)


def _terms(expr: Expr, sign: float) -> list[Product]:
    """The terms of a sum, with nothing opened."""
    return [term.scaled(sign) for term in sum_of_products(expr, lambda part: None)]


def _without_exact_divisor(expr: Call) -> Call:
    """u / 8 as 0.125 u: a constant divides only where its inverse would round."""
    match expr:
        case Call(operator="div", arguments=(above, Const(value=value))) if abs(math.frexp(value)[0]) == 0.5:
            return Call(operator="mul", arguments=(Const(value=1.0 / value), above))
    return expr


def _is_exponential(expr: Expr) -> bool:
    return isinstance(expr, Call) and expr.operator == "exp"


def _one(expr: Expr) -> Product:
    return Product(1.0, (Factor(expr),))


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
