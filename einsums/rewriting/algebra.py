"""Expressions as sums of products, so that a rewrite can see what depends on what.

A `Product` is a coefficient times factors, some of them divisors: a/b*(x - g) has the factors a, (x - g) and the
divisor b. `sum_of_products` multiplies sums out only where the caller allows it: (x - g) may stay one factor, because
squaring a difference loses fewer digits than subtracting squares. A whole power is a repeated factor. When a product
is written back, equal factors in numerator and denominator cancel, 1/sqrt becomes rsqrt, and a constant stays a divisor
if its inverse is not a finite number.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

from einsums.nodes import Access, Call, Const, Einsum, Expr, Index, Load, variables_of


class Factor(NamedTuple):
    """An expression that a product multiplies by, or divides by."""

    expr: Expr
    divides: bool = False


class Product(NamedTuple):
    """A coefficient times factors."""

    coefficient: float
    factors: tuple[Factor, ...]

    def times(self, other: "Product") -> "Product":
        """The product of the two."""
        return Product(self.coefficient * other.coefficient, self.factors + other.factors)

    def scaled(self, coefficient: float) -> "Product":
        """The product with more factors."""
        return Product(self.coefficient * coefficient, self.factors)


Splits = Callable[[Expr], Expr | None]
ONE = Product(1.0, ())


def sum_of_products(expr: Expr, look_into: Splits) -> tuple[Product, ...]:
    """The expression as a sum of products.

    `look_into` is called for every load and every sum inside a product. It returns the expression to put in its place
    (the definition of a load; a sum itself), or None to leave it whole.
    """
    match expr:
        case Call(operator="add" | "sub", arguments=(left, right)):
            sign = -1.0 if expr.operator == "sub" else 1.0
            rest = tuple(product.scaled(sign) for product in sum_of_products(right, look_into))
            return sum_of_products(left, look_into) + rest
        case Call(operator="neg", arguments=(inner,)):
            return tuple(product.scaled(-1.0) for product in sum_of_products(inner, look_into))
        case Call(operator="mul", arguments=(left, right)):
            ours, theirs = _operand(left, look_into), _operand(right, look_into)
            return tuple(a.times(b) for a in ours for b in theirs)
        case Call(operator="div", arguments=(left, right)):
            divisors = _divisors(right, look_into)
            return tuple(a.times(divisors) for a in _operand(left, look_into))
        case Call(operator="pow", arguments=(base, Const(value=exponent))) if is_whole_power(exponent):
            powers: tuple[Product, ...] = (ONE,)
            operand = _operand(base, look_into)
            for _ in range(int(abs(exponent))):
                powers = tuple(a.times(b) for a in powers for b in operand)
            if exponent > 0:
                return powers
            if len(powers) == 1:
                return (inverse(powers[0]),)
        case Const():
            return (Product(expr.value, ()),)
        case Load():
            return _operand(expr, look_into)
    return (Product(1.0, (Factor(expr),)),)


def _operand(expr: Expr, look_into: Splits) -> tuple[Product, ...]:
    """A factor, opened as far as `look_into` allows."""
    is_sum = isinstance(expr, Call) and expr.operator in ("add", "sub")
    if is_sum or isinstance(expr, Load):
        inner = look_into(expr)
        if inner is None or (inner == expr and isinstance(expr, Load)):
            return (Product(1.0, (Factor(expr),)),)
        if inner != expr:
            return _operand(inner, look_into)
    return sum_of_products(expr, look_into)


def _divisors(expr: Expr, look_into: Splits) -> Product:
    """1 / expr as a product; a sum stays one divisor."""
    products = _operand(expr, look_into)
    if len(products) != 1:
        return Product(1.0, (Factor(expr, True),))
    return inverse(products[0])


def inverse(product: Product) -> Product:
    """1 / product."""
    factors = tuple(Factor(f.expr, not f.divides) for f in product.factors)
    if _divides_exactly(1.0, product.coefficient):
        return Product(1.0 / product.coefficient, factors)
    return Product(1.0, (Factor(Const(value=product.coefficient), True), *factors))


def is_whole_power(exponent: float) -> bool:
    """True for an exponent by which a factor repeats: a whole number other than 0."""
    return exponent != 0 and exponent.is_integer()


def _divides_exactly(value: float, by: float) -> bool:
    return by != 0 and (value % by == 0 or math.frexp(by)[0] in (0.5, -0.5))


def simplified(product: Product) -> Product:
    """Constants merged, equal factors cancelled, square roots moved into the numerator as far as possible."""
    above, below = product.coefficient, 1.0
    kept: list[Factor] = []
    for factor in map(_root_above, product.factors):
        opposite = Factor(factor.expr, not factor.divides)
        match factor.expr:
            case Const(value=value) if factor.divides:
                below *= value
            case Const(value=value):
                above *= value
            case _ if opposite in kept:
                kept.remove(opposite)
            case _:
                kept.append(factor)
    if _divides_exactly(above, below):
        return Product(above / below, tuple(kept))
    return Product(above, (*kept, Factor(Const(value=below), True)))


def _root_above(factor: Factor) -> Factor:
    """1/sqrt(v) as rsqrt(v), and 1/rsqrt(v) as sqrt(v)."""
    match factor:
        case Factor(expr=Call(operator="sqrt" | "rsqrt" as root, arguments=arguments), divides=True):
            return Factor(Call(operator="rsqrt" if root == "sqrt" else "sqrt", arguments=arguments))
    return factor


def expression(products: Iterable[Product]) -> Expr:
    """The sum of products as an expression, positive terms first."""
    terms = sorted(merged(products), key=lambda product: product.coefficient < 0)
    if not terms:
        return Const(value=0.0)
    result = _term(terms[0])
    for product in terms[1:]:
        operator = "sub" if product.coefficient < 0 else "add"
        result = Call(operator=operator, arguments=(result, _term(product.scaled(-1.0 if operator == "sub" else 1.0))))
    return result


def merged(products: Iterable[Product]) -> list[Product]:
    """Products with equal factors added up; those that cancel are dropped."""
    by_factors: dict[tuple[str, ...], Product] = {}
    for product in map(simplified, products):
        key = tuple(sorted(f"{factor.divides} {factor.expr}" for factor in product.factors))
        known = by_factors.get(key)
        by_factors[key] = Product(known.coefficient + product.coefficient, known.factors) if known else product
    return [product for product in by_factors.values() if product.coefficient]


def _term(product: Product) -> Expr:
    above = [factor.expr for factor in product.factors if not factor.divides]
    below = [factor.expr for factor in product.factors if factor.divides]
    if product.coefficient == -1.0 and not above:
        above.insert(0, Const(value=-1.0))
    elif abs(product.coefficient) != 1.0 or not above:
        above.insert(0, Const(value=product.coefficient))
    elif product.coefficient == -1.0:
        above[0] = Call(operator="neg", arguments=(above[0],))
    result = multiplied(above)
    return result if not below else Call(operator="div", arguments=(result, multiplied(below)))


LONGEST_PRODUCT = 8  # of equal factors; longer ones are written as a power


def multiplied(factors: Iterable[Expr]) -> Expr:
    """Factors multiplied from the left; 1 if there are none."""
    every = list(factors)
    counts = Counter(every)
    if any(count > LONGEST_PRODUCT for count in counts.values()):
        every = [
            factor
            for expr, count in counts.items()
            for factor in ([_power(expr, count)] if count > LONGEST_PRODUCT else [expr] * count)
        ]
    return folded("mul", every, Const(value=1.0))


def _power(base: Expr, exponent: int) -> Expr:
    return Call(operator="pow", arguments=(base, Const(value=float(exponent))))


def folded(operator: str, terms: Iterable[Expr], of_none: Expr) -> Expr:
    """Terms joined by a binary operator from the left."""
    result: Expr | None = None
    for term in terms:
        result = term if result is None else Call(operator=operator, arguments=(result, term))
    return of_none if result is None else result


def replaced(expr: Expr, change: Callable[[Access], Expr]) -> Expr:
    """The expression with every load replaced."""
    match expr:
        case Load():
            return change(expr.access)
        case Call():
            return Call(operator=expr.operator, arguments=tuple(replaced(a, change) for a in expr.arguments))
    return expr


def index(variable: str, offset: int = 0) -> Index:
    """The index `variable + offset`."""
    return Index.model_validate({"terms": ({"variable": variable},), "offset": offset})


def iter_parts(expr: Expr) -> Iterator[Expr]:
    """The expression and all its subexpressions, outermost first."""
    yield expr
    if isinstance(expr, Call):
        for argument in expr.arguments:
            yield from iter_parts(argument)


def substituted(expr: Expr, new_by_old: Mapping[Expr, Expr]) -> Expr:
    """The expression with every subexpression that is a key replaced, outermost first."""
    if expr in new_by_old:
        return new_by_old[expr]
    if isinstance(expr, Call):
        return Call(operator=expr.operator, arguments=tuple(substituted(a, new_by_old) for a in expr.arguments))
    return expr


def access(tensor: str, variables: Iterable[str]) -> Access:
    """A tensor at plain rank variables."""
    return Access(tensor=tensor, indices=tuple(index(name) for name in variables))


def einsum(output: Access, expr: Expr, reducer: str = "add") -> Einsum:
    """`output = expr`, reducing the variables absent on the left, in the order of the right side."""
    absent = tuple(name for name in variables_of(expr) if name not in output.variables)
    reduction = {"operator": reducer, "variables": absent} if absent else None
    return Einsum.model_validate({"output": output, "expr": expr, "reduction": reduction})
