"""Sums in one form: what does not change leaves them, and sums that are only ever added to each other become one.

    sum_m c * x[m] * g   = c * g * sum_m x[m]           c a constant, g without m
    sum_m u + c sum_m v  = sum_m (u + c v)              where nothing else reads either sum
    max_m x[m] * c       = c * max_m x[m]               c >= 0, min_m for c < 0; also x + c, e^x, log x

The last line lets a difference be scaled once: e^(c x - max c x) is e^(c (x - max x)), which neither overflows nor
loses digits where c x does.
"""

import math

from pydantic import ValidationError

from einsums.nodes import Call, Einsum, Expr, Load, variables_of
from einsums.rewriting.algebra import Factor, Product, access, einsum, expression, index, sum_of_products
from einsums.rewriting.canonical import factored
from einsums.rewriting.draft import Draft, Flow, with_expr
from einsums.rewriting.signs import Sign, Signs

_SUMS = ("add", "mean")
_OTHER = {"max": "min", "min": "max"}


def free_sums(draft: Draft, rank: str) -> None:
    """Move constants, and early factors without the reduced variables, out of every sum over the rank."""
    for target in Flow(draft, rank).reductions():
        if target.reduction is not None and target.reduction.operator in _SUMS and _is_plain(target):
            _free_sum(draft, Flow(draft, rank), target)


def _is_plain(target: Einsum) -> bool:
    return target.condition is None and all(
        place == index(str(place.plain_variable)) for place in target.output.indices
    )


def _free_sum(draft: Draft, flow: Flow, target: Einsum) -> None:
    assert target.reduction is not None
    reduced = set(target.reduced_variables)

    def opened(expr: Expr) -> Expr | None:
        """The definition of an early value from which something can leave the sum."""
        found = draft.definition(expr.access) if isinstance(expr, Load) and not flow.is_late(expr) else None
        terms = sum_of_products(found.expr, lambda _: None) if found is not None else ()
        if found is None or len(terms) != 1 or found.expr == expr:
            return None
        leaves = any(not reduced & set(variables_of(factor.expr)) for factor in terms[0].factors)
        return found.expr if leaves or abs(terms[0].coefficient) != 1 else None

    products = sum_of_products(target.expr, opened)
    if len(products) != 1:
        return
    (whole,) = products
    out = [f for f in whole.factors if not flow.is_late(f.expr) and not reduced & set(variables_of(f.expr))]
    kept = [factor for factor in whole.factors if factor not in out]
    if (not out and whole.coefficient == 1) or not kept:
        return
    expr = expression([Product(1.0, tuple(kept))])
    ranks = [name for name in target.output.variables if name in variables_of(expr)]
    output = access(draft.fresh(f"S{target.name}"), ranks)
    inner = einsum(output, expr, target.reduction.operator)
    if set(inner.reduced_variables) != reduced:
        return
    load = Load(access=access(draft.reuse(inner, target.name), ranks))
    outside = expression([Product(whole.coefficient, (Factor(load), *out))])
    if set(variables_of(outside)) == set(target.output.variables):
        draft.put(Einsum(output=target.output, expr=outside))


# --- sums that are read together ------------------------------------------------------------------------------------
def join_sums(draft: Draft, rank: str) -> None:
    """Sums that only one value reads, as terms of one sum with constant coefficients, become one sum."""
    flow = Flow(draft, rank)
    for name in flow.order:
        found = draft.einsums.get(name)
        if found is None or found.reduction is not None or name not in flow.late or flow.walks(found.expr):
            continue
        new = _joined(draft, flow, found, found.expr)
        if new != found.expr:
            draft.put(with_expr(found, new))
    draft.prune()


def _joined(draft: Draft, flow: Flow, reader: Einsum, expr: Expr) -> Expr:
    if not isinstance(expr, Call):
        return expr
    if expr.operator not in ("add", "sub", "neg"):
        return Call(operator=expr.operator, arguments=tuple(_joined(draft, flow, reader, a) for a in expr.arguments))
    terms = sum_of_products(expr, lambda _: None)
    sums = [term for term in terms if _sum_read_once(draft, flow, reader, term) is not None]
    for first in sums:
        group = [term for term in sums if _is_alike(draft, first, term)]
        late = [term for term in group if flow.is_late(_definition(draft, term).expr)]
        if len(group) > 1 and late:
            whole = _one_sum(draft, reader, group)
            if whole is not None:
                rest = [term for term in terms if term not in group]
                return expression([*rest, whole])
    return expr


def _sum_read_once(draft: Draft, flow: Flow, reader: Einsum, term: Product) -> Einsum | None:
    """The sum that is a term by itself, up to a constant, if the reader alone reads it."""
    match term.factors:
        case (Factor(expr=Load(access=read), divides=False),):
            found = draft.einsums.get(read.tensor)
            others = [e for e in draft.einsums.values() if any(load.tensor == read.tensor for load in e.loads)]
            if (
                found is not None
                and found.reduction is not None
                and found.reduction.operator in _SUMS
                and found.output == read
                and flow.outer in found.reduced_variables
                and others == [reader]
                and read.tensor not in draft.source.outputs
            ):
                return found
    return None


def _definition(draft: Draft, term: Product) -> Einsum:
    (factor,) = term.factors
    assert isinstance(factor.expr, Load)
    return draft.einsums[factor.expr.access.tensor]


def _is_alike(draft: Draft, first: Product, other: Product) -> bool:
    one, two = _definition(draft, first), _definition(draft, other)
    return (
        one.reduction is not None
        and two.reduction is not None
        and one.reduction.operator == two.reduction.operator
        and set(one.reduced_variables) == set(two.reduced_variables)
        and set(one.output.variables) == set(two.output.variables)
        and one.condition is None
        and two.condition is None
    )


def _one_sum(draft: Draft, reader: Einsum, group: list[Product]) -> Product | None:
    """The sums of a group as one, with what their constants share outside; None if it cannot be written."""
    first = _definition(draft, group[0])
    assert first.reduction is not None
    sizes = {abs(term.coefficient) for term in group}
    scale = math.copysign(sizes.pop() if len(sizes) == 1 else 1.0, group[0].coefficient)
    terms = [
        part.scaled(term.coefficient / scale)
        for term in group
        for part in sum_of_products(_definition(draft, term).expr, lambda _: None)
    ]
    output = access(draft.fresh(f"S{reader.name}"), first.output.variables)
    try:
        new = einsum(output, factored(terms), first.reduction.operator)
    except ValidationError:
        return None
    if set(new.reduced_variables) != set(first.reduced_variables):
        return None
    load = Load(access=access(draft.reuse(new, reader.name), output.variables))
    return Product(scale, (Factor(load),))


# --- extrema of what is scaled --------------------------------------------------------------------------------------
def free_extrema(draft: Draft, rank: str) -> None:
    """Move factors of known sign without the reduced variables, and exponentials, out of every early extremum."""
    for target in Flow(draft, rank).reductions():
        if target.reduction is None or target.reduction.operator not in _OTHER or not _is_plain(target):
            continue
        flow = Flow(draft, rank)
        if flow.is_late(target.expr):
            continue
        moved = _outside(draft, Signs(draft), target, (target.expr, target.reduction.operator))
        if moved is not None and set(variables_of(moved)) == set(target.output.variables):
            draft.put(Einsum(output=target.output, expr=moved))


def _outside(draft: Draft, signs: Signs, target: Einsum, inside: tuple[Expr, str]) -> Expr | None:
    """The extremum with what can leave it outside; None if nothing can."""
    expr, reducer = inside
    reduced = set(target.reduced_variables)
    match expr:
        case Load():
            found = draft.definition(expr.access)
            return None if found is None else _outside(draft, signs, target, (found.expr, reducer))
        case Call(operator="exp" | "log" as function, arguments=(inner,)):
            return Call(operator=function, arguments=(_extremum(draft, signs, target, (inner, reducer)),))
        case Call(operator="add" | "sub"):
            terms = sum_of_products(expr, lambda _: None)
            left = [term for term in terms if not reduced & set(variables_of(expression([term])))]
            rest = expression([term for term in terms if term not in left])
            if not left or not reduced <= set(variables_of(rest)):
                return None
            within = _extremum(draft, signs, target, (rest, reducer))
            return expression([Product(1.0, (Factor(within),)), *left])
        case Call(operator="mul" | "div" | "neg"):
            products = sum_of_products(expr, lambda _: None)
            if len(products) != 1:
                return None
            (whole,) = products
            out = [factor for factor in whole.factors if not reduced & set(variables_of(factor.expr))]
            kept = [factor for factor in whole.factors if factor not in out]
            sign = Sign(whole.coefficient < 0, whole.coefficient > 0)
            for factor in out:
                sign = sign.times(signs.of(factor.expr))
            if not sign.is_known or not kept or (not out and whole.coefficient == 1):
                return None
            rest = expression([Product(1.0, tuple(kept))])
            if not reduced <= set(variables_of(rest)):
                return None
            within = _extremum(draft, signs, target, (rest, _OTHER[reducer] if sign.negative else reducer))
            return expression([Product(whole.coefficient, (Factor(within), *out))])
    return None


def _extremum(draft: Draft, signs: Signs, target: Einsum, inside: tuple[Expr, str]) -> Expr:
    """The extremum of an expression, with what can leave it outside."""
    moved = _outside(draft, signs, target, inside)
    if moved is not None:
        return moved
    expr, reducer = inside
    ranks = [name for name in target.output.variables if name in variables_of(expr)]
    prefix = "X" if reducer == "max" else "N"
    inner = einsum(access(draft.fresh(f"{prefix}{target.name}"), ranks), expr, reducer)
    return Load(access=access(draft.reuse(inner, target.name), ranks))
