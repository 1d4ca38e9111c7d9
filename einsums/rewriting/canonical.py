"""One expression for every spelling of a value: sums of products, factored, with roots and logarithms taken apart.

    a*x - a*y = a*(x - y)          a / (b/c)     = a*c / b          -(a - b)*c    = (b - a)*c
    e^u * e^v = e^(u + v)          1 / e^u       = e^-u             e^(n log s)   = s^n
    f(a*b)    = f(a)*f(b)          log(a/b)      = log a - log b    a, b nowhere negative, f a root or a power

A sum inside a product stays one factor, because squaring a difference loses fewer digits than subtracting squares;
a factor that several terms of a sum share is taken out. Where this leaves a choice, the spelling of fewest operations
is taken: a single divisor divides, and its inverse is not computed apart.
"""

from collections import Counter
from collections.abc import Callable

from einsums.nodes import Call, Const, Expr
from einsums.rewriting.algebra import (
    Factor,
    Product,
    expression,
    inverse,
    is_whole_power,
    merged,
    simplified,
    sum_of_products,
)

# Functions whose argument stays as it is spelled: what is rounded differently by a last digit may fall to another side.
DISCONTINUOUS = frozenset(("round", "floor", "ceil", "sign", "lt", "le", "gt", "ge", "eq", "ne", "and", "or", "not"))
_ROOTS = {"sqrt": 0.5, "rsqrt": -0.5}

IsNegative = Callable[[Expr], bool]  # whether a value may be below 0


def canonical(expr: Expr, may_be_negative: IsNegative) -> Expr:
    """The expression in canonical form; what it is made of is canonical first."""
    return _Form(may_be_negative).of(expr)


class _Form:
    def __init__(self, may_be_negative: IsNegative) -> None:
        self.may_be_negative = may_be_negative

    def of(self, expr: Expr) -> Expr:
        if not isinstance(expr, Call):
            return expr
        match expr.operator:
            case "add" | "sub" | "neg" | "mul" | "div":
                return factored(self.terms(expr))
            case "pow" if isinstance(expr.arguments[1], Const):
                return factored(self.terms(expr))
            case "exp" | "log" | "sqrt" | "rsqrt":
                return factored(self.terms(expr))
        if expr.operator in DISCONTINUOUS:
            return expr
        if expr.operator == "select":
            chosen, *branches = expr.arguments
            return Call(operator="select", arguments=(chosen, *map(self.of, branches)))
        return Call(operator=expr.operator, arguments=tuple(map(self.of, expr.arguments)))

    # --- sums and products ---------------------------------------------------------------------------------------
    def terms(self, expr: Expr) -> list[Product]:
        """The expression as a sum of products."""
        match expr:
            case Const():
                return [Product(expr.value, ())]
            case Call(operator="add" | "sub", arguments=(left, right)):
                sign = -1.0 if expr.operator == "sub" else 1.0
                return merged([*self.terms(left), *(term.scaled(sign) for term in self.terms(right))])
            case Call(operator="neg", arguments=(inner,)):
                return [term.scaled(-1.0) for term in self.terms(inner)]
            case Call(operator="mul", arguments=(left, right)):
                return self.multiplied(left, right)
            case Call(operator="div", arguments=(left, right)):
                below = _multiplying(inverse(self.product(right)))
                return self.scaled_terms(self.terms(left), below)
            case Call(operator="pow", arguments=(base, Const(value=power))):
                return [self.power(self.product(base), power)]
            case Call(operator="sqrt" | "rsqrt" as root, arguments=(inside,)):
                return [self.power(self.product(inside), _ROOTS[root])]
            case Call(operator="exp", arguments=(argument,)):
                return [self.joined(self.exponential(self.terms(argument)))]
            case Call(operator="log", arguments=(argument,)):
                return self.logarithm(argument)
        return [Product(1.0, (Factor(self.of(expr)),))]

    def multiplied(self, left: Expr, right: Expr) -> list[Product]:
        """A constant multiplies every term of a sum; other factors leave sums whole."""
        ours, theirs = self.terms(left), self.terms(right)
        if len(ours) > 1 and len(theirs) == 1:
            return self.scaled_terms(ours, theirs[0])
        if len(theirs) > 1 and len(ours) == 1:
            return self.scaled_terms(theirs, ours[0])
        return [self.joined(_as_product(ours).times(_as_product(theirs)))]

    def scaled_terms(self, terms: list[Product], by: Product) -> list[Product]:
        if not by.factors:
            return [term.scaled(by.coefficient) for term in terms]
        opposite = {Factor(factor.expr, not factor.divides) for factor in by.factors}
        if len(terms) > 1 and any(opposite & set(term.factors) for term in terms):
            return [self.joined(term.times(by)) for term in terms]
        return [self.joined(_as_product(terms).times(by))]

    def product(self, expr: Expr) -> Product:
        """The expression as a single product, sums as factors."""
        return _as_product(self.terms(expr))

    def joined(self, whole: Product) -> Product:
        """Equal factors cancelled, constants merged, exponentials as one."""
        whole = simplified(Product(whole.coefficient, _roots_joined(whole.factors)))
        exponents = list[Product]()
        rest = list[Factor]()
        for factor in whole.factors:
            match factor.expr:
                case Call(operator="exp", arguments=(argument,)):
                    sign = -1.0 if factor.divides else 1.0
                    exponents += [term.scaled(sign) for term in self.terms(argument)]
                case _:
                    rest.append(factor)
        if not exponents:
            return whole
        exponent = merged(exponents)
        if not exponent:
            return Product(whole.coefficient, tuple(rest))
        first = self.exponential(exponent)
        return simplified(Product(whole.coefficient, (*first.factors, *rest)))

    # --- functions -----------------------------------------------------------------------------------------------
    def exponential(self, terms: list[Product]) -> Product:
        """e^(u + n log s) = e^u s^n, and 1 / e^u where every term of the exponent is negative."""
        kept, factors = list[Product](), list[Factor]()
        for term in terms:
            match term:
                case Product(factors=(Factor(expr=Call(operator="log", arguments=(base,)), divides=False),)):
                    factors += self.power(Product(1.0, (Factor(base),)), term.coefficient).factors
                case _:
                    kept.append(term)
        if not kept:
            return Product(1.0, tuple(factors))
        divides = all(term.coefficient < 0 for term in kept)
        argument = factored([term.scaled(-1.0) for term in kept] if divides else kept)
        return Product(1.0, (Factor(Call(operator="exp", arguments=(argument,)), divides), *factors))

    def logarithm(self, argument: Expr) -> list[Product]:
        """log(a / b) = log a - log b where neither is ever negative, and log e^u = u."""
        whole = self.product(argument)
        parts = whole.factors if whole.coefficient == 1 else (Factor(Const(value=whole.coefficient)), *whole.factors)
        if any(self.may_be_negative(part.expr) for part in parts) and len(parts) > 1:
            return [Product(1.0, (Factor(Call(operator="log", arguments=(expression([whole]),))),))]
        terms = list[Product]()
        for part, count in Counter(parts).items():
            sign = -count if part.divides else count
            match part.expr:
                case Call(operator="exp", arguments=(exponent,)):
                    terms += [term.scaled(sign) for term in self.terms(exponent)]
                case _:
                    terms.append(Product(sign, (Factor(Call(operator="log", arguments=(part.expr,))),)))
        return merged(terms)

    def power(self, base: Product, power: float) -> Product:
        """(a b)^n; a root of a product is a product of roots where no factor is ever negative."""
        if is_whole_power(power) and abs(power) <= LONGEST:
            whole = base if power > 0 else inverse(base)
            return self.joined(Product(whole.coefficient ** int(abs(power)), whole.factors * int(abs(power))))
        single = len(base.factors) == 1 and base.coefficient == 1
        if (not single and any(self.may_be_negative(factor.expr) for factor in base.factors)) or base.coefficient < 0:
            return Product(1.0, (_power(expression([base]), power),))
        factors = [self.power_of(factor, power) for factor in base.factors]
        if base.coefficient != 1:
            factors.append(_power(Const(value=base.coefficient), power))
        return self.joined(Product(1.0, tuple(factors)))

    def power_of(self, factor: Factor, power: float) -> Factor:
        exponent = -power if factor.divides else power
        match factor.expr:
            case Call(operator="exp", arguments=(argument,)):
                scaled = [term.scaled(exponent) for term in self.terms(argument)]
                return Factor(Call(operator="exp", arguments=(factored(scaled),)))
        return _power(factor.expr, exponent)


LONGEST = 8


def _power(base: Expr, power: float) -> Factor:
    """A power as a factor, roots as roots."""
    for root, exponent in _ROOTS.items():
        if power == exponent:
            return Factor(Call(operator=root, arguments=(base,)))
    return Factor(Call(operator="pow", arguments=(base, Const(value=power))))


def _roots_joined(factors: tuple[Factor, ...]) -> tuple[Factor, ...]:
    """Powers of one base as one power, where one of them is a root: sqrt(s) * s^-1 = rsqrt(s)."""
    powers: dict[Expr, float] = {}
    rooted = {base for base, power in map(_base_and_power, factors) if not power.is_integer()}
    kept = list[Factor]()
    for factor in factors:
        base, power = _base_and_power(factor)
        if base not in rooted:
            kept.append(factor)
            continue
        if base not in powers:
            kept.append(Factor(base))  # its place
        powers[base] = powers.get(base, 0.0) + power
    return tuple(
        part for factor in kept for part in (_written(factor.expr, powers) if factor.expr in powers else (factor,))
    )


def _written(base: Expr, powers: dict[Expr, float]) -> tuple[Factor, ...]:
    """A power as whole powers and a root: s^-1.5 as rsqrt(s) / s."""
    power = powers[base]
    root = power % 1 if power > 0 else -(-power % 1)
    whole = (Factor(base, power < 0),) * int(abs(power))
    if abs(root) == 0.5 or not whole:
        return (*((_power(base, root),) if root else ()), *whole)
    return (_power(base, power),)


def _base_and_power(factor: Factor) -> tuple[Expr, float]:
    sign = -1.0 if factor.divides else 1.0
    match factor.expr:
        case Call(operator="sqrt" | "rsqrt" as root, arguments=(base,)):
            return base, sign * _ROOTS[root]
        case Call(operator="pow", arguments=(base, Const(value=power))):
            return base, sign * power
    return factor.expr, sign


def _multiplying(product: Product) -> Product:
    """Constant divisors as factors, if their inverse is an ordinary number."""
    whole = Product(product.coefficient, ())
    for factor in product.factors:
        match factor:
            case Factor(expr=Const(value=value), divides=True) if 1e-300 < abs(value) < 1e300:
                whole = whole.scaled(1.0 / value)
            case _:
                whole = whole.times(Product(1.0, (factor,)))
    return whole


def _as_product(terms: list[Product]) -> Product:
    """A sum of products as a single product: the sum as one factor, the constant and factors its terms share apart."""
    if len(terms) == 1:
        return terms[0]
    whole = sum_of_products(factored(terms), lambda _: None)
    return whole[0] if len(whole) == 1 else Product(1.0, (Factor(expression(whole)),))


def factored(terms: list[Product]) -> Expr:
    """A sum of products, in which a factor or a constant that several terms share is taken out."""
    left = merged(terms)
    while True:
        shared = _most_shared(left)
        if shared is None:
            return expression(map(_turned, left) if len(left) == 1 else left)
        inside = [term for term in left if shared in _parts(term)]
        place = left.index(inside[0])
        rest = _as_product([_without(term, shared) for term in inside])
        whole = simplified(rest.scaled(shared) if isinstance(shared, float) else rest.times(Product(1.0, (shared,))))
        if len(inside) == len(left):
            return expression([_turned(whole)])
        left = [whole if i == place else term for i, term in enumerate(left) if i == place or term not in inside]


def _parts(term: Product) -> tuple[Factor | float, ...]:
    """What may be shared with other terms: factors, then a constant other than 1."""
    scale = abs(term.coefficient)
    return (*dict.fromkeys(term.factors), *((scale,) if scale != 1 and term.factors else ()))


def _most_shared(terms: list[Product]) -> Factor | float | None:
    counts = Counter(part for term in terms for part in _parts(term))
    if not counts:
        return None
    part, count = max(counts.items(), key=lambda item: item[1])
    return part if count > 1 else None


def _without(term: Product, shared: Factor | float) -> Product:
    if isinstance(shared, float):
        return Product(term.coefficient / shared, term.factors)
    kept = list(term.factors)
    kept.remove(shared)
    return Product(term.coefficient, tuple(kept))


def _turned(whole: Product) -> Product:
    """-(a - b) c as (b - a) c, which needs no negation."""
    if whole.coefficient >= 0:
        return whole
    for factor, count in Counter(whole.factors).items():
        match factor.expr:
            case Call(operator="sub") if count % 2:
                terms = sum_of_products(factor.expr, lambda _: None)
                other = Factor(expression([term.scaled(-1.0) for term in terms]), factor.divides)
                return Product(-whole.coefficient, tuple(other if f == factor else f for f in whole.factors))
    return whole
