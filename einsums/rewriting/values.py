"""Values after the sums: what is computed from reduced values alone takes one form, over however many Einsums.

Every such value is written in terms of reductions and inputs and brought into canonical form (`canonical`); what
occurs twice becomes an Einsum again afterwards.
"""

from einsums.nodes import Access, Einsum, Expr, Load, variables_of
from einsums.rewriting.algebra import index, replaced
from einsums.rewriting.canonical import canonical
from einsums.rewriting.draft import Draft, Flow, with_expr
from einsums.rewriting.exactness import exact_tensors
from einsums.rewriting.signs import Signs


def settle(draft: Draft, rank: str) -> None:
    """Bring every late value that is free of the rank into canonical form, in terms of reductions and inputs."""
    flow = Flow(draft, rank)
    values = values_of(draft, flow) - exact_tensors(draft)
    signs = Signs(draft)
    for name in flow.order:
        found = draft.einsums[name]
        if name not in values or name not in flow.late:
            continue
        opened = inlined(draft, found.expr, values)
        new = canonical(opened, lambda part: signs.of(part).negative)
        if new != found.expr and set(variables_of(new)) == set(found.output.variables):
            draft.put(with_expr(found, new))


def values_of(draft: Draft, flow: Flow) -> set[str]:
    """The pointwise values without the rank."""
    return {name for name in flow.order if is_value(draft, flow, draft.einsums[name])}


def is_value(draft: Draft, flow: Flow, found: Einsum) -> bool:
    """True for a pointwise value without the rank, written at plain indices."""
    plain = all(place == index(str(place.plain_variable)) for place in found.output.indices)
    return plain and found.reduction is None and found.name not in draft.initial and not flow.walks(found.expr)


def inlined(draft: Draft, expr: Expr, values: set[str]) -> Expr:
    """The expression with values in place of their names."""

    def opened(read: Access) -> Expr:
        found = draft.definition(read) if read.tensor in values else None
        return Load(access=read) if found is None else inlined(draft, found.expr, values)

    return replaced(expr, opened)
