"""What must keep its last digit: values that a rounding, a comparison or a choice depends on.

Two spellings of x / (m / 127) differ by a last digit, which a rounding may turn into a whole step. What depends on
a sum is left out, because the order of a sum, and with it the last digit, is free.
"""

from collections.abc import Iterator

from einsums.nodes import Call, Expr, iter_loads
from einsums.rewriting.canonical import DISCONTINUOUS
from einsums.rewriting.draft import Draft

_ORDERED = ("max", "min", "or")  # reducers whose result does not depend on the order


def exact_tensors(draft: Draft) -> set[str]:
    """Tensors whose Einsums stay as they are spelled."""
    summed = _summed(draft)
    todo = [name for found in draft.einsums.values() for name in _decisive(found.expr)]
    todo += [name for name, found in draft.einsums.items() if found.reduction and found.reduction.operator == "or"]
    exact: set[str] = set()
    while todo:
        name = todo.pop()
        if name in exact or name in summed or name not in draft.einsums:
            continue
        exact.add(name)
        todo += [load.tensor for load in draft.einsums[name].loads]
    return exact


def _summed(draft: Draft) -> set[str]:
    """Tensors that depend on a sum, a mean or a product over a rank."""
    found = {n for n, one in draft.einsums.items() if one.reduction and one.reduction.operator not in _ORDERED}
    found |= set(draft.initial)
    while True:
        more = {n for n, one in draft.einsums.items() if any(load.tensor in found for load in one.loads)} - found
        if not more:
            return found
        found |= more


def _decisive(expr: Expr) -> Iterator[str]:
    """Tensors read inside a rounding, a comparison or the condition of a choice."""
    if not isinstance(expr, Call):
        return
    if expr.operator in DISCONTINUOUS:
        yield from (load.tensor for load in iter_loads(expr))
        return
    if expr.operator == "select":
        yield from (load.tensor for load in iter_loads(expr.arguments[0]))
    for argument in expr.arguments:
        yield from _decisive(argument)
