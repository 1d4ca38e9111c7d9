"""The terms and factors of an expression as a draft defines them: what opens, moves alike or is shared."""

from typing import NamedTuple

from einsums.nodes import Call, Const, Expr, Load, iter_operators
from einsums.rewriting.algebra import (
    Factor,
    Product,
    Splits,
    expression,
    folded,
    iter_parts,
    merged,
    simplified,
    sum_of_products,
)
from einsums.rewriting.draft import Draft, Flow
from einsums.rewriting.signs import Signs
from einsums.rewriting.translation import Movements


class Parted(NamedTuple):
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
        return one(exponential).times(self.rest)


class Terms:
    """Expressions of a draft in its current state, with tensors late with respect to a rank."""

    def __init__(self, draft: Draft, flow: Flow) -> None:
        self.draft, self.flow = draft, flow
        self.signs = Signs(draft)
        self.movements = Movements(draft)

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

    def parted(self, expr: Expr) -> Parted | None:
        """An expression as a single product; None for a sum."""
        products = sum_of_products(expr, self.opened_element)
        if len(products) != 1:
            return None
        exponents, late, rest = list[Product](), list[Factor](), list[Factor]()
        whole = simplified(products[0])
        for factor in whole.factors:
            match factor.expr:
                case Call(operator="exp", arguments=(argument,)) if self.flow.is_late(argument):
                    exponents += terms_of(argument, -1.0 if factor.divides else 1.0)
                case _ if self.is_free(factor.expr):
                    late.append(factor)
                case _:
                    rest.append(factor)
        return Parted(tuple(exponents), tuple(late), Product(whole.coefficient, tuple(rest)))

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

    def opened_exponential(self, expr: Expr) -> Expr | None:
        """The definition of a value that is an exponential, or a product that may hold one."""
        found = self.draft.definition(expr.access) if isinstance(expr, Load) else None
        if found is None or not isinstance(found.expr, Call):
            return None
        holds = any(is_exponential(part) for part in iter_parts(found.expr))
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
            return with_common_factor(expression(terms))
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
            return [one(expr)] if found is None or found == expr else flat_terms(found, look_into)
    products = sum_of_products(expr, lambda _: None)
    match products:
        case (Product(factors=(Factor(expr=inside, divides=False),)),) if inside != expr:
            return [term.scaled(products[0].coefficient) for term in flat_terms(inside, look_into)]
    return list(products)


def with_common_factor(expr: Expr) -> Expr:
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


def terms_of(expr: Expr, sign: float) -> list[Product]:
    """The terms of a sum, with nothing opened."""
    return [term.scaled(sign) for term in sum_of_products(expr, lambda part: None)]


def one(expr: Expr) -> Product:
    return Product(1.0, (Factor(expr),))


def is_exponential(expr: Expr) -> bool:
    return isinstance(expr, Call) and expr.operator == "exp"
