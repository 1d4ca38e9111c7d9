"""How rounding may affect a cascade: how far its outputs move when everything it computes is scaled at random.

Every element of the inputs and of every intermediate operator is scaled by 1 + e, where |e| lies between d / 2 and d
(Monte Carlo arithmetic, Parker 1997); the largest change of an output, divided by d, is its sensitivity. What
underflows has lost its digits: an output that depends on them, such as the 0 / 0 of exp(x) / sum exp(x), is sensitive
without bound.
"""

import sys
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from einsums.domains import is_of_numbers
from einsums.interpreter import interpret
from einsums.nodes import Access, Call, Const, Einsum, Expr, Index, Load, Term, variables_of
from einsums.nouns import Tensor
from einsums.operators import OPERATOR_BY_NAME, Rounding
from einsums.scope import recomposition
from einsums.types import Cascade

Arrays = dict[str, NDArray[np.float64]]

_STEP = 2.0**-40
_SMALLEST, _LARGEST = Const(value=sys.float_info.min), Const(value=sys.float_info.max)
_NOTHING = 1e-290  # a change that does not matter, whatever the value
_DRAWS = 3


class Sensitivity:
    """How the outputs of a cascade respond to relative changes of everything it computes."""

    def __init__(self, cascade: Cascade) -> None:
        self.cascade = cascade
        self.loose, self.ranks = _with_scales(cascade)
        floored = _with_floors(cascade)
        self.floored = floored if floored != cascade else None

    def of(self, inputs: Arrays, sizes: Mapping[str, int], values: Mapping[str, NDArray[np.float64]]) -> Arrays:
        """Change of each output element per relative change of everything; infinite if the element ceases to exist.

        Inputs have one batch axis, along which all change alike. `values`: the outputs without any change.
        """
        largest = {name: np.zeros_like(values[name]) for name in self.cascade.outputs}
        rng = np.random.default_rng(5)
        with np.errstate(all="ignore"):
            for _ in range(_DRAWS):
                moved = {
                    name: value * _scale(rng, value.shape[1:]) if _is_number(self.cascade.domain_of(name)) else value
                    for name, value in inputs.items()
                }
                factors = {n: _scale(rng, tuple(sizes[rank] for rank in ranks)) for n, ranks in self.ranks.items()}
                again = interpret(self.loose, moved | factors, sizes)
                for name in largest:
                    change = np.abs(again[name] - values[name]) / _STEP
                    largest[name] = np.maximum(largest[name], np.where(np.isfinite(change), change, np.inf))
            if self.floored is not None:
                again = interpret(self.floored, inputs, sizes)
                for name in largest:
                    lost = ~(np.abs(again[name] - values[name]) <= _STEP * np.abs(values[name]) + _NOTHING)
                    largest[name] = np.where(lost, np.inf, largest[name])
        return largest


def _is_number(domain: str | None) -> bool:
    """Lengths, indices and masks do not change a little."""
    return domain is None or is_of_numbers(domain)


def _with_floors(cascade: Cascade) -> Cascade:
    """The cascade in which no product of numbers other than 0 and no exponential of a finite number underflows."""
    einsums = tuple(
        Einsum(output=old.output, expr=_floored(old.expr), reduction=old.reduction, condition=old.condition)
        for old in cascade.einsums
    )
    return cascade if einsums == cascade.einsums else cascade.with_fields(einsums=einsums)


def _floored(expr: Expr) -> Expr:
    if not isinstance(expr, Call):
        return expr
    new = Call(operator=expr.operator, arguments=tuple(map(_floored, expr.arguments)))
    match new:
        case Call(operator="exp", arguments=(exponent,)) | Call(operator="pow", arguments=(Const(), exponent)):
            return _at_least(new, Call(operator="ge", arguments=(exponent, Const(value=-sys.float_info.max))))
        case Call(operator="mul", arguments=(one, other)):
            return _at_least(new, Call(operator="mul", arguments=(_is_not_zero(one), _is_not_zero(other))))
        case Call(operator="div", arguments=(one, other)):
            bounded = Call(operator="le", arguments=(Call(operator="abs", arguments=(other,)), _LARGEST))
            return _at_least(new, Call(operator="mul", arguments=(_is_not_zero(one), bounded)))
    return new


def _is_not_zero(expr: Expr) -> Expr:
    return Call(operator="ne", arguments=(expr, Const(value=0.0)))


def _at_least(expr: Expr, where: Expr) -> Expr:
    """The smallest normal number in place of a smaller one, where it is not 0 by right."""
    small = Call(operator="lt", arguments=(Call(operator="abs", arguments=(expr,)), _SMALLEST))
    lost = Call(operator="mul", arguments=(small, where))
    return Call(operator="select", arguments=(lost, _SMALLEST, expr))


def _scale(rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Changes of either sign and of several sizes, so that two of them do not cancel in every draw."""
    return np.asarray(1 + _STEP * rng.choice((-1.0, 1.0), size=shape) * rng.uniform(0.5, 1.0, size=shape))


class _Scales:
    """Additional inputs that scale each element of the intermediate results, by name, with their ranks."""

    def __init__(self, cascade: Cascade) -> None:
        self.cascade = cascade
        self.ranks: dict[str, tuple[str, ...]] = {}

    def scaled(self, expr: Expr, einsum: Einsum, variables: tuple[str, ...]) -> Expr:
        """The expression times a new input, which runs along the whole ranks of the variables."""
        index_by_rank = _whole_indices(self.cascade, variables)
        name = f"SCALE{len(self.ranks)}OF{einsum.name}"
        self.ranks[name] = tuple(index_by_rank)
        factor = Load(access=Access(tensor=name, indices=tuple(index_by_rank.values())))
        return Call(operator="mul", arguments=(expr, factor))

    def inside(self, expr: Expr, einsum: Einsum) -> Expr:
        """Every rounded operator nested in another one scaled, except factors of a product, which already scale it."""
        if not isinstance(expr, Call):
            return expr
        arguments = tuple(self.inside(argument, einsum) for argument in expr.arguments)
        if expr.operator not in _PASSING:
            arguments = tuple(
                self.scaled(new, einsum, variables_of(old)) if _is_rounded(old) else new
                for old, new in zip(expr.arguments, arguments, strict=True)
            )
        return Call(operator=expr.operator, arguments=arguments)


_PASSING = frozenset(("mul", "div", "neg"))  # what scales an argument scales the result


def _is_rounded(expr: Expr) -> bool:
    exact = (Rounding.EXACT, Rounding.CHOOSES)
    return isinstance(expr, Call) and OPERATOR_BY_NAME[expr.operator].rounding not in exact


def _is_product_of_tensors(expr: Expr) -> bool:
    match expr:
        case Call(operator="mul" | "div" | "neg"):
            return all(map(_is_product_of_tensors, expr.arguments))
    return not isinstance(expr, Call)


def _with_scales(cascade: Cascade) -> tuple[Cascade, dict[str, tuple[str, ...]]]:
    """The cascade with additional inputs that scale each element of each Einsum and of each operator inside one.

    The result therefore does not depend on how many Einsums an expression is spread over. Iterative tensors and
    products are left out, because a factor applied at each step would compound.
    """
    scales = _Scales(cascade)
    einsums: list[Einsum] = []
    for old in cascade.einsums:
        if cascade.is_iterative(old.name) or (old.reduction and old.reduction.operator in ("mul", "or")):
            einsums.append(old)
            continue
        expr = scales.inside(old.expr, old)
        if old.reduction is not None and not _is_product_of_tensors(old.expr):
            expr = scales.scaled(expr, old, old.variables)
        expr = scales.scaled(expr, old, old.output.variables)
        einsums.append(Einsum(output=old.output, expr=expr, reduction=old.reduction, condition=old.condition))
    inputs = (*cascade.inputs, *(Tensor(name=name, ranks=ranks) for name, ranks in scales.ranks.items()))
    unbatched = (*cascade.unbatched, *scales.ranks)
    return cascade.with_fields(inputs=inputs, unbatched=unbatched, einsums=tuple(einsums)), scales.ranks


def _whole_indices(cascade: Cascade, variables: tuple[str, ...]) -> dict[str, Index]:
    """Index of each whole rank that the variables span; ranks that they span only in part are left out."""
    found: dict[str, Index] = {}
    for variable in variables:
        rank = cascade.rank_of_variable(variable)
        partition = cascade.partition_of(cascade.root_of(rank))
        if partition is None:
            found[rank] = Index(terms=(Term(variable=variable),))
        elif {part.lower() for part in partition.parts} <= set(variables):
            found[partition.rank] = recomposition(partition)
    return found
