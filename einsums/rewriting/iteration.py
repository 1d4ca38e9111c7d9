"""Iteration: reductions over a rank that wait for each other become running values that are corrected at every step.

`running` keeps, for every step over the outermost part of the rank, the reduced value so far (the maximum, say) and
each late sum computed with that value; a new tile first updates the value, then corrects the old sum for the change
(`homomorphism`) and adds its own contribution. `stepwise` is the same with the rank itself as the iterative one.
`partition` computes every part with its own reduced value, independently of the others, and scales each when all are
known. This module decides what is carried over; `corrections` builds it.
"""

from typing import NamedTuple

from einsums.nodes import Access, Call, Einsum, Load
from einsums.operators import REDUCER_BY_NAME
from einsums.rewriting.algebra import (
    einsum,
)
from einsums.rewriting.corrections import Builder, closure_of
from einsums.rewriting.deferral import count_of
from einsums.rewriting.draft import Draft, Flow
from einsums.rewriting.homomorphism import (
    Shift,
    UnknownIdentityError,
    shift_of,
)
from einsums.rewriting.nouns import Form


class Iterated(NamedTuple):
    """The sums that are carried over and how, those that cannot be and why, and tensors that must not be zero."""

    shifts: tuple[Shift, ...]
    unknown: tuple[str, ...]
    divisors: tuple[str, ...]


def iterate(draft: Draft, rank: str, form: Form, conditional: bool = False, guard: bool = False) -> Iterated:
    """Carry over every late reduction of the rank for which an identity is known.

    `guard` excludes parts whose values are all infinite from the local extremum of the partition form.
    """
    tried = draft.copy()
    totals = _means_as_quotients(tried, rank)
    known, unknown = _shifts(tried, rank, conditional)
    needed = closure_of(Flow(tried, rank), [shift.target.name for shift in known])
    _means_as_quotients(draft, rank, frozenset(mean for mean, total in totals.items() if total not in needed))
    shifts, _ = _shifts(draft, rank, conditional)
    builder = Builder(draft, rank, form, guard)
    if shifts:
        builder.build(shifts)
    return Iterated(tuple(shifts), tuple(unknown), tuple(builder.divisors))


def _means_as_quotients(draft: Draft, rank: str, kept: frozenset[str] = frozenset()) -> dict[str, str]:
    """Replace mean x by sum x / n where a late reduction is or needs a mean; returns the sum for each mean."""
    totals: dict[str, str] = {}
    flow = Flow(draft, rank)
    needed = closure_of(flow, [found.name for found in flow.late_reductions()])
    for found in flow.reductions():
        if (
            found.name in kept
            or found.name not in needed
            or found.reduction is None
            or found.reduction.operator != "mean"
        ):
            continue
        number = count_of(draft, found.reduced_variables, found)
        if number is None:
            continue
        output = Access(tensor=draft.fresh(f"T{found.name}"), indices=found.output.indices)
        total = draft.reuse(einsum(output, found.expr), found.name)
        quotient = (Load(access=Access(tensor=total, indices=found.output.indices)), number)
        draft.put(Einsum(output=found.output, expr=Call(operator="div", arguments=quotient)))
        totals[found.name] = total
    return totals


def _shifts(draft: Draft, rank: str, conditional: bool) -> tuple[list[Shift], list[str]]:
    """The late sums that can be carried over, and why the others cannot, one sentence each.

    A sum may add lower sums to the draft, after which all are examined again. A sum that depends on one that cannot be
    carried over cannot be carried over either.
    """
    while True:
        known, unknown = list[Shift](), dict[str, str]()
        before = len(draft.einsums)
        flow = Flow(draft, rank)
        for found in flow.late_reductions():
            blocked = sorted(closure_of(flow, [found.name]) & set(unknown))
            try:
                if blocked:
                    raise UnknownIdentityError(f"{found.name} needs {blocked[0]}, which cannot be carried over")
                _check_sources(flow, found)
                known.append(shift_of(draft, flow, found, conditional))
            except UnknownIdentityError as reason:
                unknown[found.name] = str(reason)
        if len(draft.einsums) == before:
            return known, list(unknown.values())


def _check_sources(flow: Flow, target: Einsum) -> None:
    for name in closure_of(flow, [target.name]):
        found = flow.einsums[name]
        reduces = flow.outer in found.reduced_variables and not flow.has_rank(name)
        if reduces and found.reduction is not None and REDUCER_BY_NAME[found.reduction.operator].joins is None:
            raise UnknownIdentityError(
                f"{target.name} needs {name}, and a {found.reduction.operator} has no running form here"
            )
        if any(place.last_of in flow.leaves for load in found.loads for place in load.indices):
            raise UnknownIdentityError(
                f"{target.name} needs {name}, which needs the last step of an iteration over {flow.rank}"
            )
        if any(place.offset for place in found.output.indices):
            raise UnknownIdentityError(f"{target.name} needs {name}, which is iterative already")
