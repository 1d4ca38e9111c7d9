"""The normal form of a cascade: different spellings of a function become the same Einsums before a rewrite sees them.

Powers become products, late values leave functions (`identities`) and sums, and expressions that do not change along
the rank or occur twice are computed once. Sums are split only at terms that do not move with an input (`translation`):
a * (x - g - log s) = a * (x - g) - a * log s, where x and its maximum g stay together.
"""

import math
from collections import Counter
from itertools import product as every_choice

from pydantic import ValidationError

from einsums.nodes import Call, Const, Einsum, Expr, Load, iter_loads, iter_operators, variables_of
from einsums.rewriting.algebra import (
    LONGEST_PRODUCT,
    Factor,
    Product,
    access,
    einsum,
    expression,
    index,
    is_whole_power,
    iter_parts,
    multiplied,
    substituted,
    sum_of_products,
)
from einsums.rewriting.canonical import DISCONTINUOUS
from einsums.rewriting.centring import centre
from einsums.rewriting.deferral import count_of
from einsums.rewriting.draft import Draft, Flow, with_expr
from einsums.rewriting.exactness import exact_tensors
from einsums.rewriting.identities import Identities
from einsums.rewriting.products import gather, multiply_by_inverses, share_products
from einsums.rewriting.sums import free_extrema, free_sums, join_sums
from einsums.rewriting.values import inlined, settle, values_of


def normalise(draft: Draft, rank: str) -> None:
    """Bring a draft into normal form; it stays as it is where nothing waits for the rank."""
    if not Flow(draft, rank).late_reductions():
        return
    _plain(draft, rank)
    free_extrema(draft, rank)
    free_sums(draft, rank)
    settle(draft, rank)
    join_sums(draft, rank)
    flow = Flow(draft, rank)
    for name in flow.order:
        flow = Flow(draft, rank)
        if name in flow.late and flow.walks(draft.einsums[name].expr):
            opened = inlined(draft, draft.einsums[name].expr, values_of(draft, flow) & flow.late)
            _replace(draft, name, Identities(draft, flow).applied(opened))
            _replace(draft, name, plain_product(draft, flow, draft.einsums[name].expr))
    for target in Flow(draft, rank).late_reductions():
        _take_apart(draft, rank, target)
    _hoist(draft, rank)
    multiply_by_inverses(draft, rank)
    tidy(draft, rank)


def simplify(draft: Draft, rank: str) -> None:
    """The part of the normal form that concerns no pass: powers, and values after the sums."""
    _plain(draft, rank)
    tidy(draft, rank)


def _plain(draft: Draft, rank: str) -> None:
    for name in Flow(draft, rank).order:
        _replace(draft, name, plain_powers(draft.einsums[name].expr))


def tidy(draft: Draft, rank: str) -> None:
    """Drop Einsums that no output needs, duplicates, and values that their only reader computes in fewer operations."""
    draft.prune()
    free_sums(draft, rank)
    settle(draft, rank)
    draft.prune()
    centre(draft, rank)
    draft.prune()
    _hoist_functions(draft)
    share(draft)
    share_products(draft)
    gather(draft, rank)
    share(draft)
    draft.prune()


def _replace(draft: Draft, name: str, expr: Expr) -> None:
    """A new expression for an Einsum; a sum whose terms cannot be reduced directly becomes a tensor first."""
    old = draft.einsums[name]
    same_variables = set(variables_of(expr)) == set(variables_of(old.expr))
    if expr == old.expr or not same_variables or name in exact_tensors(draft):
        return
    try:
        draft.put(with_expr(old, expr))
    except ValidationError:
        load = _as_tensor(draft, expr, old, f"C{name}")
        draft.put(with_expr(old, load))


# --- powers ---------------------------------------------------------------------------------------------------------
def plain_powers(expr: Expr) -> Expr:
    """Whole powers as products, powers of 1/2 as roots; a long product of equal factors as a power.

    Likewise log2 as a multiple of log, max(u, -u) as |u|, and a constant divisor as a factor.
    """
    if not isinstance(expr, Call) or expr.operator in DISCONTINUOUS:
        return expr
    new = Call(operator=expr.operator, arguments=tuple(map(plain_powers, expr.arguments)))
    match new:
        case Call(operator="div", arguments=(above, Const(value=value))) if 1e-300 < abs(value) < 1e300:
            return Call(operator="mul", arguments=(above, Const(value=1.0 / value)))
        case Call(operator="log2", arguments=(argument,)):
            return Call(
                operator="mul", arguments=(Const(value=math.log2(math.e)), Call(operator="log", arguments=(argument,)))
            )
        case Call(operator="pow", arguments=(base, Const(value=1.0))):
            return base
        case Call(operator="pow", arguments=(base, Const(value=0.5))):
            return Call(operator="sqrt", arguments=(base,))
        case Call(operator="pow", arguments=(base, Const(value=-0.5))):
            return Call(operator="rsqrt", arguments=(base,))
        case Call(operator="pow", arguments=(base, Const(value=n))) if is_whole_power(n):
            above = multiplied([base] * int(abs(n))) if abs(n) <= LONGEST_PRODUCT else new
            return (
                above if n > 0 else Call(operator="div", arguments=(Const(value=1.0), above)) if above != new else new
            )
        case Call(operator="max", arguments=(one, Call(operator="neg", arguments=(other,)))) if one == other:
            return Call(operator="abs", arguments=(one,))
        case Call(operator="mul"):
            factors = _factors(new)
            return multiplied(factors) if max(Counter(factors).values()) > LONGEST_PRODUCT else new
    return new


def _factors(expr: Expr) -> list[Expr]:
    match expr:
        case Call(operator="mul", arguments=(left, right)):
            return [*_factors(left), *_factors(right)]
        case Call(operator="pow", arguments=(base, Const(value=n))) if is_whole_power(n) and n > 0:
            return [base] * int(n)
    return [expr]


def plain_product(draft: Draft, flow: Flow, expr: Expr) -> Expr:
    """A product in which a late value is subtracted from one along the rank, not the other way round, and of magnitudes
    that occur twice: (g - x)^3 = -(x - g)^3 and |u| |u| = u u. Any other expression stays as it is."""
    if not (isinstance(expr, Call) and expr.operator in ("mul", "div", "pow", "neg")):
        return expr
    changed: list[Expr] = []

    def turned(part: Expr) -> Expr | None:
        match part:
            case Call(operator="sub", arguments=(left, right)) if (
                flow.is_late(left) and not flow.walks(left) and flow.walks(right)
            ):
                changed.append(part)
                return Call(operator="sub", arguments=(right, left))
        return None

    def look_into(part: Expr) -> Expr | None:
        found = draft.definition(part.access) if isinstance(part, Load) and flow.is_late(part) else None
        defined = found.expr if found is not None else part
        if isinstance(defined, Call) and defined.operator == "abs":
            return defined
        other = turned(defined)
        # Not `neg`, whose sum would be split into terms.
        return None if other is None else Call(operator="mul", arguments=(Const(value=-1.0), other))

    products = sum_of_products(expr, look_into)
    if len(products) != 1:
        return expr
    factors = list(products[0].factors)
    for factor, count in Counter(factors).items():
        match factor.expr:
            case Call(operator="abs", arguments=(inside,)) if count > 1:
                inside = turned(inside) or inside
                changed.append(inside)
                for _ in range(count // 2 * 2):
                    factors[factors.index(factor)] = Factor(inside, factor.divides)
    if not changed:
        return expr
    whole = Product(products[0].coefficient, tuple(factors))
    # A sign in front of the whole product leaves parts of it that stand elsewhere too as they are.
    is_negative = whole.coefficient == -1.0
    positive = expression([whole.scaled(-1.0 if is_negative else 1.0)])
    return Call(operator="neg", arguments=(positive,)) if is_negative else positive


# --- sums inside products -------------------------------------------------------------------------------------------
def _take_apart(draft: Draft, rank: str, target: Einsum) -> None:
    """a * (u + t) = a * u + a * t in a sum, for late terms t that do not move, or are products along the rank."""
    if target.reduction is None or target.reduction.operator not in ("add", "mean"):
        return
    identities = Identities(draft, Flow(draft, rank))
    found = draft.einsums[target.name].expr
    still, moving = identities.still_and_moving(found)
    if still and moving and _split_off(draft, identities, target, (still, moving)):
        return
    result, changed = list[Product](), False
    for term in sum_of_products(found, identities.opened_element):
        choices = [_choices(draft, identities, term, factor, target) for factor in term.factors]
        changed |= any(len(choice) > 1 for choice in choices)
        for chosen in every_choice(*choices):
            combined = Product(term.coefficient, ())
            for part in chosen:
                combined = combined.times(part)
            result.append(combined)
    if changed:
        _replace(draft, target.name, expression(result))


def _choices(draft: Draft, identities: Identities, term: Product, factor: Factor, target: Einsum) -> list[Product]:
    """The parts into which one factor of a term is split."""
    still, moving = identities.still_and_moving(factor.expr)
    if factor.divides or len(term.factors) == 1 or not moving:
        return [Product(1.0, (factor,))]
    mixed = [part for part in moving if identities.is_product_of_the_rank(part)]
    moving = [part for part in moving if part not in mixed]
    if len(still) + len(mixed) + bool(moving) < 2:
        return [Product(1.0, (factor,))]
    rest = [Product(1.0, (Factor(expression(_grouped(draft, identities, moving, target))),))] if moving else []
    return [*rest, *still, *mixed]


def _split_off(
    draft: Draft, identities: Identities, target: Einsum, terms: tuple[list[Product], list[Product]]
) -> bool:
    """sum (u + t) = sum u + n t, for terms t that do not change along a summed variable; False if not applicable."""
    still, moving = terms
    if target.condition is not None:
        return False
    reduced = target.reduced_variables
    rest = expression(_grouped(draft, identities, moving, target))
    free = not set(reduced) & {name for term in still for factor in term.factors for name in variables_of(factor.expr)}
    number = (
        None if target.reduction is None or target.reduction.operator == "mean" else count_of(draft, reduced, target)
    )
    is_sum = target.reduction is not None and target.reduction.operator == "add"
    if not free or not set(reduced) <= set(variables_of(rest)) or (is_sum and number is None):
        return False
    ranks = [name for name in target.output.variables if name in variables_of(rest)]
    try:
        inner = einsum(access(draft.fresh(f"S{target.name}"), ranks), rest, "add" if is_sum else "mean")
    except ValidationError:
        load = _as_tensor(draft, rest, target, f"C{target.name}")
        inner = einsum(access(draft.fresh(f"S{target.name}"), ranks), load, "add" if is_sum else "mean")
    total = Product(1.0, (Factor(Load(access=access(draft.reuse(inner, target.name), ranks))),))
    count = () if number is None else (Factor(number),)
    whole = expression([total, *(term.times(Product(1.0, count)) for term in still)])
    if set(variables_of(whole)) != set(target.output.variables):
        return False
    draft.put(Einsum(output=target.output, expr=whole))
    return True


def _grouped(draft: Draft, identities: Identities, terms: list[Product], target: Einsum) -> list[Product]:
    """Terms that move together, such as x - g, as separate tensors; the others as they are."""
    result: list[Product] = []
    for group in identities.components(terms):
        is_late = any(identities.flow.is_late(factor.expr) for term in group for factor in term.factors)
        if len(group) == 1 or not is_late:
            result += group
            continue
        walking = [t for t in group if any(identities.flow.walks(f.expr) for f in t.factors)]
        sign = -1.0 if walking and walking[0].coefficient < 0 else 1.0
        expr = expression([term.scaled(sign) for term in group])
        result.append(Product(sign, (Factor(_as_tensor(draft, expr, target, f"C{target.name}")),)))
    return result


def _as_tensor(draft: Draft, expr: Expr, near: Einsum, name: str) -> Load:
    """The expression as a tensor: of an Einsum that already computes it, or of a new one before `near`."""
    known = _known(draft, expr)
    if known is not None:
        return known
    output = access(draft.fresh(name), variables_of(expr))
    draft.put(Einsum(output=output, expr=expr), near.name)
    return Load(access=output)


def _known(draft: Draft, expr: Expr) -> Load | None:
    for found in draft.einsums.values():
        if found.reduction is None and found.expr == expr and _is_plain_output(found):
            return Load(access=found.output)
    return None


def _is_plain_output(found: Einsum) -> bool:
    return all(place == index(str(place.plain_variable)) for place in found.output.indices)


# --- what is computed once ------------------------------------------------------------------------------------------
def _hoist(draft: Draft, rank: str) -> None:
    """Turn late parts of an element that do not change along the rank into separate Einsums."""
    flow = Flow(draft, rank)
    for name in flow.order:
        found = draft.einsums[name]
        if name not in flow.late or not flow.walks(found.expr):
            continue
        free = _outermost_free(flow, found.expr)
        new = {part: _as_tensor(draft, part, found, f"U{name}") for part in free}
        _replace(draft, name, substituted(found.expr, dict(new)))


def _outermost_free(flow: Flow, expr: Expr) -> list[Expr]:
    if not isinstance(expr, Call):
        return []
    if flow.is_late(expr) and not flow.walks(expr):
        return [expr]
    return list(dict.fromkeys(part for argument in expr.arguments for part in _outermost_free(flow, argument)))


def _hoist_functions(draft: Draft) -> None:
    """Turn functions and sums that lack a variable of their Einsum into separate Einsums."""
    for name, found in list(draft.einsums.items()):
        new = {
            part: _as_tensor(draft, part, found, f"U{name}")
            for part in _outermost_lacking(found.expr, set(found.variables))
            if _can_be_shared(draft, part)
        }
        _replace(draft, name, substituted(found.expr, dict(new)))


def _outermost_lacking(expr: Expr, variables: set[str]) -> list[Expr]:
    if not isinstance(expr, Call):
        return []
    if expr.operator not in ("mul", "div", "neg") and set(variables_of(expr)) < variables:
        return [expr]
    return list(dict.fromkeys(part for argument in expr.arguments for part in _outermost_lacking(argument, variables)))


def share(draft: Draft) -> None:
    """Turn an expression that occurs more than once, and is not a running value, into one Einsum."""
    while True:
        counts: Counter[Expr] = Counter()
        first: dict[Expr, Einsum] = {}
        for found in draft.einsums.values():
            for part in iter_parts(found.expr):
                if isinstance(part, Call) and _can_be_shared(draft, part):
                    counts[part] += 1 + _is_power_of(found.expr, part)
                    first.setdefault(part, found)
        repeated = [part for part, count in counts.items() if count > 1]
        done = max(repeated, key=_size, default=None)
        if done is None or not _share(draft, done, first[done]):
            return


def _share(draft: Draft, part: Expr, near: Einsum) -> bool:
    """Make every reader of an expression read the same tensor; False if they already do."""
    load = _as_tensor(draft, part, near, f"C{near.name}")
    changed = False
    for name, found in list(draft.einsums.items()):
        if name == load.access.tensor:
            continue
        new = substituted(found.expr, {part: load})
        if new != found.expr:
            draft.put(with_expr(found, new))
            changed = True
    return changed


def _is_power_of(expr: Expr, base: Expr) -> bool:
    """True if the expression contains a whole power of the base, that is, a product of the base with itself."""
    return any(
        isinstance(part, Call) and part.operator == "pow" and part.arguments[0] == base for part in iter_parts(expr)
    )


def _can_be_shared(draft: Draft, part: Expr) -> bool:
    places = [place for load in iter_loads(part) for place in load.indices]
    return bool(places) and not any(place.offset or place.last_of for place in places)


def _size(expr: Expr) -> int:
    return len(list(iter_operators(expr)))
