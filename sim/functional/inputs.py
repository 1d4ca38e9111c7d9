"""Numbers to run a cascade on: ordinary ones, and some that break fragile arithmetic. All from one seed.

The *weighed* inputs are those that an exponential depends on (if there are none, all inputs). A factor of a product
that is summed over n terms is divided by sqrt(n), so that sums have about the size of their terms: the scores of
attention are standard normal. The *long* rank is the one that weighed inputs share with a later reduction: the keys.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from einsums.interpreter_inputs import moved_inside
from einsums.nodes import Call, Einsum, Load
from einsums.types import Cascade
from einsums.workload import Workload

Array = NDArray[np.float64]
LARGE = 30.0  # standard deviation of large scores: without a maximum taken out, e^x overflows
HUGE = 40.0
SMALL_CONSTANT = 1e-3  # of an input without ranks, such as the epsilon of a norm


class InputSet(NamedTuple):
    """Inputs under a name that describes them."""

    name: str
    arrays: dict[str, Array]


def input_sets(workload: Workload, seed: int) -> tuple[InputSet, ...]:
    """All sets for one workload: arrays over the batch ranks and whole ranks of each input, inside its domain."""
    drawn = _DrawnInputs(workload, seed)
    domain_of = workload.cascade.domain_of
    return tuple(
        InputSet(name, {tensor: moved_inside(values, domain_of(tensor)) for tensor, values in make(drawn).items()})
        for name, make in RECIPES.items()
    )


class _DrawnInputs:
    """The ordinary inputs of a workload, and the roles that its inputs play."""

    def __init__(self, workload: Workload, seed: int) -> None:
        self.cascade = cascade = workload.cascade
        rng = np.random.default_rng(seed)
        self.weighed = weighed_inputs(cascade)
        self.divided = divided_inputs(cascade)
        self.ordinary: dict[str, Array] = {}
        for tensor in cascade.inputs:
            shape = tuple(workload.size(rank) for rank in cascade.ranks_of(tensor.name))
            values = rng.normal(size=shape)
            ranks = self.divided.get(tensor.name, ())
            values /= np.sqrt(np.prod([workload.size(rank) for rank in ranks])) if ranks else 1.0
            self.ordinary[tensor.name] = values if tensor.ranks else SMALL_CONSTANT * np.abs(values)

    def along(self, name: str, rank: str, factors: Callable[[int], Array]) -> Array:
        """Factors of each coordinate of a rank, in the shape of a tensor; ones for a tensor without it."""
        ranks = self.cascade.ranks_of(name)
        if rank not in ranks:
            return np.ones(())
        shape = [1] * len(ranks)
        axis = ranks.index(rank)
        shape[axis] = -1
        return factors(self.ordinary[name].shape[axis]).reshape(shape)

    @property
    def long_rank(self) -> str:
        return long_rank(self.cascade, self.weighed)


def weighed_inputs(cascade: Cascade) -> tuple[str, ...]:
    """Inputs with ranks that an exponential depends on; all inputs with ranks if there are none."""
    makers = {einsum.name: einsum for einsum in cascade.einsums}
    waiting = [einsum for einsum in cascade.einsums if "exp" in einsum.map_operators]
    seen: set[str] = set()
    while waiting:
        for access in waiting.pop().loads:
            if access.tensor not in seen:
                seen.add(access.tensor)
                waiting += [makers[access.tensor]] if access.tensor in makers else []
    names = [tensor.name for tensor in cascade.inputs if tensor.ranks]
    return tuple(name for name in names if name in seen) or tuple(names)


def divided_inputs(cascade: Cascade) -> dict[str, tuple[str, ...]]:
    """The first factor of every summed product of two tensors, where it is an input, with the ranks summed over."""
    inputs = {tensor.name: tensor for tensor in cascade.inputs}
    found: dict[str, tuple[str, ...]] = {}
    for einsum in cascade.einsums:
        first = _first_factor(einsum)
        if first in inputs and first not in found:
            roots = {cascade.root_of(cascade.rank_of_variable(v)) for v in einsum.reduced_variables}
            found[first] = tuple(rank for rank in inputs[first].ranks if rank in roots)
    return found


def _first_factor(einsum: Einsum) -> str:
    match einsum.expr:
        case Call(operator="mul", arguments=(Load(access=access), Load())) if einsum.reduction is not None:
            return access.tensor
    return ""


def long_rank(cascade: Cascade, weighed: tuple[str, ...]) -> str:
    """The last rank of a weighed input that no product with it sums over, but some Einsum reduces; else its last."""
    reduced = {rank for einsum in cascade.einsums for rank in _reduced_roots(cascade, einsum)}
    for name in reversed(weighed):
        products = [
            einsum
            for einsum in cascade.einsums
            if len(einsum.loads) > 1 and any(access.tensor == name for access in einsum.loads)
        ]
        contracted = {rank for einsum in products for rank in _reduced_roots(cascade, einsum)}
        for rank in reversed(cascade.tensor(name).ranks):
            if rank in reduced - contracted:
                return rank
    return cascade.tensor(weighed[-1]).ranks[-1] if weighed else ""


def _reduced_roots(cascade: Cascade, einsum: Einsum) -> set[str]:
    return {cascade.root_of(cascade.rank_of_variable(v)) for v in einsum.reduced_variables}


def _ordinary(drawn: _DrawnInputs) -> dict[str, Array]:
    return dict(drawn.ordinary)


def _large(drawn: _DrawnInputs) -> dict[str, Array]:
    """Weighed inputs scaled to make scores large: the divided factors, or all if there are none."""
    factors = [name for name in drawn.weighed if name in drawn.divided] or drawn.weighed
    return drawn.ordinary | {name: LARGE * drawn.ordinary[name] for name in factors}


def _equal(drawn: _DrawnInputs) -> dict[str, Array]:
    """All weighed inputs the same number everywhere: all scores are equal."""
    equal = {name: np.full_like(drawn.ordinary[name], np.std(drawn.ordinary[name]) or 1.0) for name in drawn.weighed}
    return drawn.ordinary | equal


def _one_huge(drawn: _DrawnInputs) -> dict[str, Array]:
    """One coordinate of the long rank, late in it, far larger than the rest."""

    def factors(length: int) -> Array:
        values = np.ones(length)
        values[min(length - 1, length * 7 // 8)] = HUGE
        return values

    rank = drawn.long_rank
    return drawn.ordinary | {name: drawn.ordinary[name] * drawn.along(name, rank, factors) for name in drawn.weighed}


def _rising(drawn: _DrawnInputs) -> dict[str, Array]:
    """Scores that rise along the long rank, so that every tile has a new maximum; the values they weight rise too."""
    rank = drawn.long_rank
    made: dict[str, Array] = {}
    for name, values in drawn.ordinary.items():
        ramp = drawn.along(name, rank, lambda length: np.linspace(-1.0, 1.0, length))
        if name not in drawn.weighed:
            made[name] = values + ramp if ramp.ndim else values
        else:
            made[name] = np.abs(values) * ramp
    return made


RECIPES: dict[str, Callable[[_DrawnInputs], dict[str, Array]]] = {
    "ordinary": _ordinary,
    "large": _large,
    "equal": _equal,
    "one huge": _one_huge,
    "rising": _rising,
}
