"""How a sum that was computed with an old reduced value is carried over to a new one.

A late sum is S(g) = sum_m w[m] * f(x[m], g). It can be computed in the same pass as g itself if S(g') follows from S(g)
and the two values alone:

    f = exp(x + g)      S(g') = S(g) * exp(g' - g), and b^(x + g) for a base b that is available at once
    f = (x + g)^n       S_n(g') = sum_k binomial(n, k) * S_k(g) * (g' - g)^(n - k), and products of several such powers
    f = g or 1/g        S(g') = S(g) * g'/g, where g is not zero

A choice select(c, f, 0) between f and nothing is carried over as f. The second line with n = 2 and g the negative mean
is the merging formula of Chan, Golub and LeVeque (1979), since then S_1 vanishes; with tiles of one element it is
Welford's (1962). Anything else is refused with the dependence named.
"""

from itertools import product
from math import comb, prod
from typing import NamedTuple

from einsums.nodes import Access, Call, Const, Einsum, Expr, Load, iter_loads, variables_of
from einsums.rewriting.algebra import Factor, Product, expression, index, sum_of_products
from einsums.rewriting.deferral import count_of, is_count
from einsums.rewriting.draft import Draft, Flow


class UnknownIdentityError(Exception):
    """No known identity carries a sum over; the message names the dependence."""


class Exponent(NamedTuple):
    """A late summand g of an exponent, and the base of the power if it is not e."""

    term: Product
    base: Expr | None = None


class Shift(NamedTuple):
    """What a late sum needs to be carried from one reference value to another."""

    target: Einsum
    exponents: tuple[Exponent, ...] = ()
    ratios: tuple[Factor, ...] = ()
    centres: tuple[Expr, ...] = ()  # each g of a factor (x + g)
    powers: tuple[int, ...] = ()  # the exponent of each
    lower: tuple[tuple[tuple[int, ...], Access], ...] = ()  # the sums of lower powers that do not vanish
    coefficient: float = 1.0  # of the summand; the lower sums do not include it

    @property
    def identity(self) -> str:
        """The identity, written as algebra."""
        if self.powers == (2,) and self.lower_powers == {(0,)}:
            return "sum (x - g')^2 = sum (x - g)^2 + n (g - g')^2 for g the mean"
        if self.powers:
            names = [
                f"({x} - {g}')" + (f"^{n}" if n > 1 else "") for x, g, n in zip("xyz", "ghk", self.powers, strict=False)
            ]
            return f"sum w {' '.join(names)} by binomial expansion about the old references"
        if self.ratios:
            return "sum x*g' = (sum x*g) * g'/g"
        return "sum exp(x - g') = (sum exp(x - g)) * exp(g - g')"

    @property
    def lower_powers(self) -> frozenset[tuple[int, ...]]:
        """Powers of the lower sums."""
        return frozenset(powers for powers, _ in self.lower)

    @property
    def caveat(self) -> str:
        """The loss of accuracy that the identity may cause."""
        if self.ratios:
            return "holds only where the running divisor is not zero; a zero forgets what was summed"
        if self.powers:
            return "rounding grows with |mean| / deviation, as in the original, not with its square"
        return "corrections round once for each step, so an error of about steps * 2^-53 of the sum is added"


def shift_of(draft: Draft, flow: Flow, target: Einsum, conditional: bool) -> Shift:
    """How the late sum of `target` is carried over; UnknownIdentityError if no identity fits."""
    assert target.reduction is not None
    if target.reduction.operator != "add":
        raise UnknownIdentityError(_blocked(flow, target, target.expr, f"a {target.reduction.operator} of it"))
    return dependence_of(draft, flow, target, conditional)


def dependence_of(draft: Draft, flow: Flow, target: Einsum, conditional: bool) -> Shift:
    """How an expression changes with the reduced values in it; UnknownIdentityError if no identity fits."""
    products = sum_of_products(target.expr, lambda expr: _look_into(draft, flow, expr))
    if len(products) != 1:
        whole = expression(products)
        if not isinstance(whole, Call) or any(_is_mixed(flow, term) for term in products):
            raise UnknownIdentityError(
                _blocked(flow, target, target.expr, "a sum of several terms that was not taken apart")
            )
        products = (Product(1.0, (Factor(whole),)),)
    parts = _Parts([], [], [], [])
    for factor in products[0].factors:
        _classify(_Scene(draft, flow, target), factor, parts)
    if parts.ratios and not conditional:
        raise UnknownIdentityError(
            f"{target.name} sums a multiple of {expression([Product(1.0, (parts.ratios[0],))])}, which could be "
            f"carried over by a ratio only where it is not zero (allowed by `conditional`)"
        )
    shift = Shift(target, tuple(parts.exponents), tuple(parts.ratios), coefficient=products[0].coefficient)
    return shift if not parts.centred else _polynomial(draft, flow, parts, shift)


def _is_mixed(flow: Flow, term: Product) -> bool:
    """True for a product that waits for the rank and changes along it."""
    expr = expression([term])
    return flow.is_late(expr) and flow.walks(expr)


def _look_into(draft: Draft, flow: Flow, expr: Expr) -> Expr | None:
    if not isinstance(expr, Load) or not (flow.is_late(expr) and flow.walks(expr)):
        return None
    found = draft.definition(expr.access)
    return found.expr if found is not None else None


class _Scene(NamedTuple):
    """The sum being examined."""

    draft: Draft
    flow: Flow
    target: Einsum


class _Parts(NamedTuple):
    """The factors of a summand by kind; `others` weight the powers of `centred`."""

    exponents: list[Exponent]
    ratios: list[Factor]
    centred: list[Expr]
    others: list[Factor]


def _classify(scene: _Scene, factor: Factor, parts: _Parts) -> None:
    """Classify a factor; UnknownIdentityError if it fits no class."""
    flow = scene.flow
    match factor.expr:
        case expr if not flow.is_late(expr):
            pass
        case expr if not flow.walks(expr):
            parts.ratios.append(factor)
        case Call(operator="exp", arguments=(argument,)):
            _add_exponents(scene, parts, argument, factor.divides)
        case Call(operator="pow", arguments=(base, argument)) if not (flow.is_late(base) or flow.walks(base)):
            _add_exponents(scene, parts, argument, factor.divides, base)
        case Call(operator="select", arguments=(chosen, *branches)) if not factor.divides and not flow.is_late(chosen):
            _classify_choice(scene, factor, branches, parts)
            return
        case Call(operator="add" | "sub") if not factor.divides:
            parts.centred.append(factor.expr)
            return
        case _:
            raise UnknownIdentityError(
                _blocked(flow, scene.target, factor.expr, "a function that is neither exp nor a power")
            )
    parts.others.append(factor)


def _classify_choice(scene: _Scene, factor: Factor, branches: list[Expr], parts: _Parts) -> None:
    """select(c, f, 0) changes as f does; powers of differences in f are weighted by select(c, 1, 0)."""
    chosen = [branch for branch in branches if branch != Const(value=0.0)]
    terms = sum_of_products(chosen[0], lambda expr: _look_into(scene.draft, scene.flow, expr)) if chosen else ()
    if len(chosen) != 1 or len(terms) != 1:
        how = "a choice of which neither side is 0"
        raise UnknownIdentityError(_blocked(scene.flow, scene.target, factor.expr, how))
    inside = _Parts(parts.exponents, parts.ratios, [], [])
    for part in terms[0].factors:
        _classify(scene, part, inside)
    if not inside.centred:
        parts.others.append(factor)
        return
    assert isinstance(factor.expr, Call)
    mask = tuple(Const(value=1.0) if branch in chosen else branch for branch in branches)
    weight = Call(operator="select", arguments=(factor.expr.arguments[0], *mask))
    parts.centred.extend(inside.centred)
    parts.others.extend([Factor(weight), *inside.others])


def _add_exponents(scene: _Scene, parts: _Parts, argument: Expr, divides: bool, base: Expr | None = None) -> None:
    for term in _late_terms(scene.draft, scene.flow, scene.target, argument):
        parts.exponents.append(Exponent(term.scaled(-1.0 if divides else 1.0), base))


def _late_terms(draft: Draft, flow: Flow, target: Einsum, argument: Expr) -> list[Product]:
    """The terms of an exponent that wait for the rank; none of them may also change along it."""
    terms = sum_of_products(argument, lambda expr: _look_into(draft, flow, expr) or _opened_sum(expr))
    late = [term for term in terms if any(flow.is_late(factor.expr) for factor in term.factors)]
    for term in late:
        if any(flow.walks(factor.expr) for factor in term.factors):
            raise UnknownIdentityError(_blocked(flow, target, expression([term]), "an exponent that multiplies both"))
    return late


def _opened_sum(expr: Expr) -> Expr | None:
    return None if isinstance(expr, Load) else expr


def _blocked(flow: Flow, target: Einsum, expr: Expr, how: str) -> str:
    barriers = _barriers(flow, expr)
    waits = ", ".join(barriers) or "a reduced value"
    return (
        f"{target.name} reduces {expr} over {flow.rank}, which depends on {waits} (known only after all of "
        f"{flow.rank}) through {how}: no known identity carries it over to a new value"
    )


def _barriers(flow: Flow, expr: Expr) -> list[str]:
    found: dict[str, None] = {}
    for load in iter_loads(flow.inline(expr)):
        if flow.is_barrier(load.tensor):
            found[load.tensor] = None
    return list(found)


# --- powers of differences -----------------------------------------------------------------------------------
_MOST_CENTRES = 3


def _polynomial(draft: Draft, flow: Flow, parts: _Parts, base: Shift) -> Shift:
    """Centres, their powers, and the lower sums, which are added to the draft if missing."""
    target, centred, weight = base.target, parts.centred, tuple(parts.others)
    differences = tuple(dict.fromkeys(centred))
    if len(differences) > _MOST_CENTRES:
        raise UnknownIdentityError(
            _blocked(flow, target, target.expr, f"more than {_MOST_CENTRES} different differences")
        )
    powers = tuple(centred.count(expr) for expr in differences)
    centres, vanishing = list[Expr](), set[tuple[int, ...]]()
    for place, expr in enumerate(differences):
        early, late = _early_and_late(draft, flow, target, expr)
        centres.append(expression(late))
        if _is_mean(draft, early, late, weight):
            vanishing.add(tuple(int(other == place) for other in range(len(powers))))
    lower = []
    for chosen in product(*(range(power + 1) for power in powers)):
        if chosen != powers and chosen not in vanishing:
            factors = [expr for expr, n in zip(differences, chosen, strict=True) for _ in range(n)]
            lower.append((chosen, _lower_sum(draft, target, weight, factors)))
    return base._replace(centres=tuple(centres), powers=powers, lower=tuple(lower))


def _early_and_late(draft: Draft, flow: Flow, target: Einsum, difference: Expr) -> tuple[list[Product], list[Product]]:
    """The terms of a difference that are available at once, and those that wait for the rank."""
    terms = sum_of_products(difference, lambda expr: _look_into(draft, flow, expr) or _opened_sum(expr))
    late = [term for term in terms if any(flow.is_late(factor.expr) for factor in term.factors)]
    if any(flow.walks(factor.expr) for term in late for factor in term.factors):
        raise UnknownIdentityError(_blocked(flow, target, difference, f"a term that has {flow.rank} itself"))
    return [term for term in terms if term not in late], late


def _lower_sum(draft: Draft, target: Einsum, weight: tuple[Factor, ...], differences: list[Expr]) -> Access:
    """The weights times some of the differences, summed over the variables that `target` reduces."""
    factors = [Factor(_as_tensor(draft, f.expr), f.divides) for f in (*weight, *map(Factor, differences))]
    # a difference is computed once, and a sum must not have terms that lack its variable
    elements = {
        expr: _element(draft, target, expr) for expr in dict.fromkeys(f.expr for f in factors) if expr in differences
    }
    factors = [Factor(elements.get(f.expr, f.expr), f.divides) for f in factors]
    expr = expression([Product(1.0, tuple(factors))])
    if not factors:
        number = count_of(draft, target.reduced_variables, target)
        if number is None:
            raise UnknownIdentityError(
                f"{target.name} needs the number of elements it reduces, and no tensor has all their ranks"
            )
        return number.access
    present = {name for load in iter_loads(expr) for name in load.variables}
    if not set(target.reduced_variables) <= present:
        raise UnknownIdentityError(f"{target.name}: the weights of its summand lack a reduced variable")
    indices = tuple(place for place in target.output.indices if set(place.variables) <= present)
    output = Access(tensor=draft.fresh(f"S{len(differences)}{target.name}"), indices=indices)
    new = Einsum.model_validate({"output": output, "expr": expr, "reduction": target.reduction})
    return Access(tensor=draft.reuse(new, target.name), indices=indices)


def _element(draft: Draft, target: Einsum, expr: Expr) -> Load:
    """A difference as a separate tensor."""
    known = _as_tensor(draft, expr)
    if isinstance(known, Load):
        return known
    present = variables_of(expr)
    indices = [place for place in target.output.indices if set(place.variables) <= set(present)]
    reduced = [index(name) for name in target.reduced_variables if name in present]
    output = Access(tensor=draft.fresh(f"C{target.name}"), indices=(*reduced, *indices))
    draft.put(Einsum(output=output, expr=expr), target.name)
    return Load(access=output)


def _as_tensor(draft: Draft, expr: Expr) -> Expr:
    """The load of an Einsum that computes the expression, if there is one: sums of it may exist too."""
    for found in draft.einsums.values():
        if found.reduction is None and found.expr == expr and not any(i.offset for i in found.output.indices):
            return Load(access=found.output)
    return expr


def _is_mean(draft: Draft, early: list[Product], late: list[Product], weight: tuple[Factor, ...]) -> bool:
    """True if the centre is minus the weighted mean of the other operand, so that the first sum vanishes."""
    if len(late) != 1 or late[0].coefficient != -1.0 or len(late[0].factors) != 1 or late[0].factors[0].divides:
        return False
    value = late[0].factors[0].expr
    found = draft.definition(value.access) if isinstance(value, Load) else None
    match found.expr if found is not None else None:
        case Call(operator="div", arguments=(Load() as total, Load() as number)):
            return _sums(draft, total, early, weight) and _sums(draft, number, [Product(1.0, ())], weight)
    return False


def _sums(draft: Draft, load: Load, terms: list[Product], weight: tuple[Factor, ...]) -> bool:
    """True if the tensor is the sum of the terms times the weight."""
    found = draft.einsums.get(load.access.tensor)
    if found is None or found.reduction is None or found.reduction.operator != "add":
        return False
    wanted = [Product(term.coefficient, term.factors + weight) for term in terms]
    if wanted == [Product(1.0, ())]:
        return is_count(found)
    ours = sum_of_products(found.expr, lambda expr: None if isinstance(expr, Load) else expr)
    return _keys(ours) == _keys(wanted)


def _keys(products: list[Product] | tuple[Product, ...]) -> list[tuple[float, tuple[str, ...]]]:
    return sorted((p.coefficient, tuple(sorted(f"{f.divides}{f.expr}" for f in p.factors))) for p in products)


def binomial_terms(shift: Shift, old: dict[tuple[int, ...], Expr], changes: list[Expr]) -> list[Product]:
    """The products of S(g') from the old sums by their powers, `changes` being g' - g of each centre."""
    terms = []
    for powers, value in sorted(old.items(), reverse=True):
        missing = [full - power for full, power in zip(shift.powers, powers, strict=True)]
        ways = prod(comb(full, power) for full, power in zip(shift.powers, powers, strict=True))
        factors = [Factor(change) for change, n in zip(changes, missing, strict=True) for _ in range(n)]
        scale = 1.0 if powers == shift.powers else shift.coefficient
        terms.append(Product(ways * scale, (Factor(value), *factors)))
    return terms
