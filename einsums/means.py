"""A mean as a machine computes it: a sum over the points, then a multiplication by 1/size for each result.

`MU[n] = X[d,n] :: mean(d)` is carried out as `MUSUM[n] = X[d,n]` and `MU[n] = MUSUM[n] * (1 / pos(D))`. 1/size is a
constant of the workload, no operation. Mappings, engines, checks and oracles all meet the cascade in this form
(`lowered`), and know of no mean; its meaning, passes and rewrites are those of the cascade as written.
"""

from collections.abc import Iterable, Iterator
from functools import lru_cache, reduce
from itertools import count

from einsums.conditions import variables_in
from einsums.nodes import (
    Access,
    Call,
    Const,
    Einsum,
    Expr,
    Index,
    Load,
    Position,
    Reduction,
    Term,
    summands,
    variables_of,
)
from einsums.types import Cascade


def lowered(cascade: Cascade) -> Cascade:
    """The cascade with each mean as a sum and a scale; the cascade itself if it has none.

    A mean over a part of a partitioned rank, or over points of which a condition on the reduced ranks takes some away,
    stays: it divides by a number that differs from element to element.
    """
    means = any(einsum.reduction is not None and einsum.reduction.operator == "mean" for einsum in cascade.einsums)
    return _lowered_once(cascade) if means else cascade


@lru_cache(maxsize=512)
def _lowered_once(cascade: Cascade) -> Cascade:
    einsums = tuple(found for einsum in cascade.einsums for found in _lowered(cascade, einsum))
    fields = {field.alias or key: getattr(cascade, key) for key, field in Cascade.model_fields.items()}
    return Cascade.model_validate({**fields, "einsums": einsums})


def _lowered(cascade: Cascade, einsum: Einsum) -> Iterator[Einsum]:
    sizes = _sizes(cascade, einsum)
    if sizes is None:
        yield einsum
        return
    assert einsum.reduction is not None  # a mean
    removed, left = einsum.reduction.variables, einsum.output.variables
    total = Access(tensor=_free_name(cascade, f"{einsum.name}SUM"), indices=_plain(left))
    summed, condition = einsum.expr, einsum.condition
    if any(set(removed) - set(variables_of(term)) for term in summands(summed)):  # a sum counts each term once a point
        terms = Access(tensor=_free_name(cascade, f"{einsum.name}TERM"), indices=_plain((*removed, *left)))
        yield Einsum(output=terms, expr=summed, condition=condition, line=einsum.line)
        summed, condition = Load(access=terms), None
    by_sum = Reduction(operator="add", variables=removed)
    yield Einsum(output=total, expr=summed, reduction=by_sum, condition=condition, line=einsum.line)
    scale = Call(operator="div", arguments=(Const(value=1.0), sizes))
    scaled = Call(operator="mul", arguments=(Load(access=total), scale))
    yield Einsum(output=einsum.output, expr=scaled, line=einsum.line)


def _plain(variables: Iterable[str]) -> tuple[Index, ...]:
    return tuple(Index(terms=(Term(variable=name),)) for name in variables)


def _sizes(cascade: Cascade, einsum: Einsum) -> Expr | None:
    """The points that a mean is over, as a product of rank sizes; None for what is no such mean."""
    if einsum.reduction is None or einsum.reduction.operator != "mean":
        return None
    removed = set(einsum.reduction.variables)
    wholes: dict[str, None] = {}
    for variable in einsum.reduction.variables:
        rank = cascade.rank_of_variable(variable)
        root = cascade.root_of(rank)
        if not {part.lower() for part in cascade.scope.parts_of(root) or (rank,)} <= removed:
            return None
        wholes[root] = None
    chosen = {name for piece in cascade.existence.points[einsum.name] for atom in piece for name in variables_in(atom)}
    if chosen & {*removed, *(root.lower() for root in wholes)}:
        return None
    factors: list[Expr] = [Position(form=Index(terms=(), sizes=(Term(variable="", scale_ranks=(r,)),))) for r in wholes]
    return reduce(lambda one, other: Call(operator="mul", arguments=(one, other)), factors)


def _free_name(cascade: Cascade, name: str) -> str:
    taken = {tensor.name for tensor in cascade.tensors}
    return next(found for found in (name + "S" * more for more in count()) if found not in taken)
