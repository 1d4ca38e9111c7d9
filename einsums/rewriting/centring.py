"""A weighted sum less its reference: a sum of differences, which do not cancel.

    sum_m w[m] x[m] - g sum_m w[m]      = sum_m w[m] (x[m] - g)
    sum_m w[m] x[m] / sum_m w[m] - g    = sum_m w[m] (x[m] - g) / sum_m w[m]

for g that moves with x as its maximum and mean do (`translation`), and a sum of the weights that is there already. So
log s + g - sum a x, the entropy of a softmax a, becomes log s - sum a (x - g), which loses no digit far from 0.
"""

from collections import Counter
from typing import NamedTuple

from einsums.nodes import Call, Einsum, Expr, Load
from einsums.rewriting.algebra import (
    Factor,
    Product,
    access,
    einsum,
    expression,
    inverse,
    simplified,
    sum_of_products,
)
from einsums.rewriting.draft import Draft, Flow, with_expr
from einsums.rewriting.translation import Movements


def centre(draft: Draft, rank: str) -> None:
    """Centre weighted sums in every late value that is free of the rank."""
    flow = Flow(draft, rank)
    for name in flow.order:
        found = draft.einsums[name]
        if name not in flow.late or flow.walks(found.expr) or found.reduction is not None or name in draft.initial:
            continue
        new = _centred(draft, Flow(draft, rank), found, found.expr)
        if new != found.expr:
            draft.put(with_expr(found, new))


class _Weighted(NamedTuple):
    """A weighted sum: what is weighed, and the weights."""

    target: Einsum
    value: Expr
    weight: Product


def _centred(draft: Draft, flow: Flow, reader: Einsum, expr: Expr) -> Expr:
    if not isinstance(expr, Call):
        return expr
    if expr.operator not in ("add", "sub", "neg"):
        return Call(operator=expr.operator, arguments=tuple(_centred(draft, flow, reader, a) for a in expr.arguments))
    terms = list(sum_of_products(expr, lambda _: None))
    for term in terms:
        for weighted in _weighted_sums(draft, flow, reader, term):
            for other in terms:
                centred = _pair(draft, flow, weighted, (term, other))
                if centred is not None:
                    return expression([centred if one is term else one for one in terms if one is not other])
    return expr


def _weighted_sums(draft: Draft, flow: Flow, reader: Einsum, term: Product) -> list[_Weighted]:
    """The sums among the factors of a term that only its Einsum reads, for every choice of what is weighed."""
    result = []
    for factor, count in Counter(term.factors).items():
        found = draft.einsums.get(factor.expr.access.tensor) if isinstance(factor.expr, Load) else None
        if (
            found is None
            or factor.divides
            or count > 1
            or found.reduction is None
            or found.condition is not None
            or factor.expr != Load(access=found.output)
        ):
            continue
        readers = [one for one in draft.einsums.values() if any(load.tensor == found.name for load in one.loads)]
        products = sum_of_products(found.expr, lambda _: None)
        is_sum = found.reduction.operator in ("add", "mean") and flow.outer in found.reduced_variables
        waits = flow.is_late(found.expr)  # an early sum would wait for the reference, in a pass of its own
        if not (is_sum and waits) or readers != [reader] or found.name in draft.source.outputs or len(products) != 1:
            continue
        (whole,) = products
        for place, part in enumerate(whole.factors):
            if not part.divides and len(whole.factors) > 1:
                weight = Product(whole.coefficient, (*whole.factors[:place], *whole.factors[place + 1 :]))
                result.append(_Weighted(found, part.expr, weight))
    return result


def _pair(draft: Draft, flow: Flow, weighted: _Weighted, pair: tuple[Product, Product]) -> Product | None:
    """The two terms as one, if the second is the first with a reference in place of what is weighed."""
    term, other = pair
    total = _sum_of_weights(draft, weighted)
    if term is other or total is None:
        return None
    target = Factor(Load(access=weighted.target.output))
    rest = Product(1.0, tuple(factor for factor in term.factors if factor != target))
    reference = simplified(other.times(inverse(rest.times(Product(1.0, (Factor(total),))))))
    match reference.factors:
        case (Factor(expr=Load() as centre, divides=False),) if reference.coefficient == -term.coefficient:
            movements = Movements(draft)
            moves = movements.of(weighted.value)
            alike = moves is not None and moves == movements.of(centre)
            if not moves or not alike or not flow.is_late(centre) or flow.walks(centre):
                return None
        case _:
            return None
    difference = Call(operator="sub", arguments=(weighted.value, centre))
    expr = expression([weighted.weight.times(Product(1.0, (Factor(difference),)))])
    reduction = weighted.target.reduction
    assert reduction is not None
    output = access(draft.fresh(f"C{weighted.target.name}"), weighted.target.output.variables)
    new = einsum(output, expr, reduction.operator)
    load = Load(access=access(draft.reuse(new, weighted.target.name), output.variables))
    return Product(term.coefficient, (Factor(load), *rest.factors))


def _sum_of_weights(draft: Draft, weighted: _Weighted) -> Load | None:
    """A tensor that sums the weights alone."""
    wanted = expression([weighted.weight])
    for found in draft.einsums.values():
        if found.reduction == weighted.target.reduction and found.expr == wanted:
            return Load(access=found.output)
    return None
