"""The extremum of a monotone function: the function of the extremum.

    max_m f(x[m])        = f(max_m x[m])           f rising: exp, log, sqrt, sigmoid, tanh, relu, rounding and others
    max_m f(x[m])        = f(min_m x[m])           f falling: -x, rsqrt
    max_m (x[m] + g)     = max_m x[m] + g
    max_m (x[m] * g)     = max_m x[m] * g          g nowhere negative; min_m for g nowhere positive
    max_m max(x, y)      = max(max_m x, max_m y)
    max_m |x[m]|         = max(max_m x[m], -min_m x[m])

and, except for the last, the same with max and min exchanged. Rounding is monotone, so these hold to the last digit.
"""

from typing import NamedTuple

from einsums.nodes import Call, Einsum, Expr, Load, variables_of
from einsums.operators import OPERATORS, REDUCER_BY_NAME, ErrorRule
from einsums.rewriting.algebra import Factor, Product, access, einsum, expression, sum_of_products
from einsums.rewriting.draft import Draft, Flow
from einsums.rewriting.signs import Sign, Signs

RISING = frozenset(
    row.name for row in OPERATORS if row.error in (ErrorRule.INCREASING, ErrorRule.EXPONENTIAL) and row.arity == 1
)
FALLING = frozenset(row.name for row in OPERATORS if row.error is ErrorRule.DECREASING and row.arity == 1) | {"neg"}
_OTHER = {"max": "min", "min": "max"}


class NotMonotoneError(Exception):
    """The extremum cannot move inside; the message names the obstacle."""


class _Extremum(NamedTuple):
    """The reduction whose expression is examined, and the known signs."""

    draft: Draft
    flow: Flow
    target: Einsum
    signs: Signs


def move_extremum_inside(draft: Draft, flow: Flow, target: Einsum) -> bool:
    """Move a maximum or minimum inside, past what waits for the rank; False if that is not known to be equivalent."""
    assert target.reduction is not None
    tried = draft.copy()
    try:
        expr = _of(_Extremum(tried, flow, target, Signs(draft)), target.expr, target.reduction.operator)
    except NotMonotoneError:
        return False
    if set(variables_of(expr)) != set(target.output.variables):
        return False
    tried.put(Einsum(output=target.output, expr=expr))
    draft.take_over(tried)
    return True


def _of(what: _Extremum, expr: Expr, reducer: str) -> Expr:
    """The extremum of an expression over all reduced variables."""
    reduced = set(what.target.reduced_variables)
    if not reduced & set(variables_of(expr)):
        return expr
    if not what.flow.is_late(expr):
        return _reduced(what, expr, reducer)
    match expr:
        case Load():
            found = what.draft.definition(expr.access)
            if found is not None:
                return _of(what, found.expr, reducer)
        case Call(operator="add" | "sub"):
            return _of_sum(what, expr, reducer)
        case Call(operator="mul" | "div"):
            return _of_product(what, expr, reducer)
        case Call(operator="abs", arguments=(inner,)):
            return _of_magnitude(what, inner, reducer)
        case Call(arguments=(inner,)) if expr.operator in RISING | FALLING:
            inside = reducer if expr.operator in RISING else _OTHER[reducer]
            return Call(operator=expr.operator, arguments=(_of(what, inner, inside),))
        case Call(operator="max" | "min" | "clamp", arguments=arguments):
            walking = [argument for argument in arguments if reduced & set(variables_of(argument))]
            if (
                expr.operator == reducer
                or walking == [arguments[0]]
                or (expr.operator != "clamp" and len(walking) == 1)
            ):
                return Call(operator=expr.operator, arguments=tuple(_of(what, a, reducer) for a in arguments))
    raise NotMonotoneError(str(expr))


def _reduced(what: _Extremum, expr: Expr, reducer: str) -> Expr:
    """The extremum of an expression that is available at once, as an Einsum; an existing one is reused."""
    target = what.target
    ranks = [name for name in target.output.variables if name in variables_of(expr)]
    absent = set(target.reduced_variables) - set(variables_of(expr))
    if absent and absent & set(what.flow.variables) and not set(what.flow.variables) & set(variables_of(expr)):
        raise NotMonotoneError(str(expr))
    prefix = "X" if REDUCER_BY_NAME[reducer].keyword == "max" else "N"
    inner = einsum(access(what.draft.fresh(f"{prefix}{target.name}"), ranks), expr, reducer)
    return Load(access=access(what.draft.reuse(inner, target.name), ranks))


def _of_sum(what: _Extremum, expr: Expr, reducer: str) -> Expr:
    """Terms that do not change along the reduced variables move out; at most one late term may remain."""
    reduced = set(what.target.reduced_variables)
    terms = sum_of_products(what.flow.inline(expr), lambda _: None)
    out = [term for term in terms if not reduced & set(variables_of(expression([term])))]
    kept = [term for term in terms if term not in out]
    left = expression(kept)
    if what.flow.is_late(left) and len(kept) > 1:
        raise NotMonotoneError(str(left))
    inner = _of(what, left, reducer)
    return _unsimplified_sum(inner, out) if out else inner


def _unsimplified_sum(first: Expr, terms: list[Product]) -> Expr:
    """A sum whose terms do not cancel: max x - max x is NaN where the maximum is infinite."""
    for term in terms:
        operator = "sub" if term.coefficient < 0 else "add"
        first = Call(
            operator=operator, arguments=(first, expression([term.scaled(-1.0 if operator == "sub" else 1.0)]))
        )
    return first


def _of_product(what: _Extremum, expr: Expr, reducer: str) -> Expr:
    """Factors of one sign that do not change along the reduced variables move out."""
    reduced = set(what.target.reduced_variables)
    products = sum_of_products(expr, lambda part: _opened(what, part))
    if len(products) != 1:
        raise NotMonotoneError(str(expr))
    (whole,) = products
    out = [factor for factor in whole.factors if not reduced & set(variables_of(factor.expr))]
    kept = [factor for factor in whole.factors if factor not in out]
    sign = Sign(whole.coefficient < 0, whole.coefficient > 0)
    for factor in out:
        sign = sign.times(what.signs.of(factor.expr))
    if not sign.is_known:
        raise NotMonotoneError(str(expr))
    inside = _OTHER[reducer] if sign.negative else reducer
    return expression([Product(whole.coefficient, (*_of_factors(what, kept, inside), *out))])


def _of_factors(what: _Extremum, kept: list[Factor], reducer: str) -> tuple[Factor, ...]:
    """The extremum of a product of factors along the rank: all early, one late, or a power of a late one."""
    inside = expression([Product(1.0, tuple(kept))])
    if not what.flow.is_late(inside):
        return (Factor(_of(what, inside, reducer)),)
    (first, *others) = kept
    if any(other != first for other in others):
        raise NotMonotoneError(str(inside))
    base, is_even = first.expr, len(kept) % 2 == 0
    sign = what.signs.of(base)
    if is_even and sign.negative:
        base = Call(operator="abs", arguments=(base,))
    if first.divides and sign.negative and not is_even:
        raise NotMonotoneError(str(inside))
    extremum = _of(what, base, _OTHER[reducer] if first.divides else reducer)
    return (Factor(extremum, first.divides),) * len(kept)


def _opened(what: _Extremum, expr: Expr) -> Expr | None:
    """Late elements that are products themselves."""
    if not isinstance(expr, Load) or not (what.flow.is_late(expr) and what.flow.walks(expr)):
        return None
    found = what.draft.definition(expr.access)
    is_product = (
        found is not None
        and isinstance(found.expr, Call | Load)
        and (isinstance(found.expr, Load) or found.expr.operator in ("mul", "div", "neg", "pow"))
    )
    return found.expr if found is not None and is_product else None


def _of_magnitude(what: _Extremum, inner: Expr, reducer: str) -> Expr:
    sign = what.signs.of(inner)
    if not sign.negative:
        return _of(what, inner, reducer)
    if not sign.positive:
        return Call(operator="neg", arguments=(_of(what, inner, _OTHER[reducer]),))
    if reducer == "min":
        raise NotMonotoneError(str(inner))
    most, least = _of(what, inner, "max"), _of(what, inner, "min")
    return Call(operator="max", arguments=(most, Call(operator="neg", arguments=(least,))))
