"""Numbers to run a cascade on: ordinary ones, and some that break fragile arithmetic. All from one seed.

Lengths, indices and masks are drawn as such, whatever the set: full ones, empty ones, rising ones.

The *weighed* inputs are those that an exponential depends on (if there are none, all inputs). A factor of a product
that is summed over n terms is divided by sqrt(n), so that sums have about the size of their terms: the scores of
attention are standard normal. The *long* rank is the one that weighed inputs share with a later reduction: the keys.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from einsums.domains import allows_infinity, is_of_numbers, whole_numbers
from einsums.interpreter_inputs import moved_inside
from einsums.nodes import Call, Einsum, Expr, Load
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
    found = []
    for name, make in RECIPES.items():
        arrays = make(drawn)
        if arrays is not None:
            numbers = {tensor: values for tensor, values in arrays.items() if tensor not in drawn.chosen}
            inside = {tensor: moved_inside(values, domain_of(tensor)) for tensor, values in numbers.items()}
            found.append(InputSet(name, inside | drawn.whole_numbers(name)))
    return tuple(found)


class _DrawnInputs:
    """The ordinary inputs of a workload, and the roles that its inputs play."""

    def __init__(self, workload: Workload, seed: int) -> None:
        self.cascade = cascade = workload.cascade
        rng = np.random.default_rng(seed)
        self.workload, self.rng = workload, np.random.default_rng(seed + 1)
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
    def chosen(self) -> tuple[str, ...]:
        """Inputs that are lengths, indices or masks."""
        stated = ((tensor.name, self.cascade.domain_of(tensor.name)) for tensor in self.cascade.inputs)
        return tuple(name for name, domain in stated if domain is not None and not is_of_numbers(domain))

    @property
    def long_rank(self) -> str:
        return long_rank(self.cascade, self.weighed)

    def whole_numbers(self, name: str) -> dict[str, Array]:
        """Those, in the set of that name."""
        found = {}
        for tensor in self.chosen:
            whole = whole_numbers(self.cascade.domain_of(tensor))
            largest = 1 if whole is None else whole.largest(self.workload.size(whole.rank))
            found[tensor] = self._whole(name, largest, self.ordinary[tensor].shape)
        return found

    def _whole(self, name: str, largest: int, shape: tuple[int, ...]) -> Array:
        count = int(np.prod(shape))
        match name:
            case "equal":  # the largest throughout
                values = np.full(count, largest)
            case "one huge":  # nothing in the first half, all in the rest
                values = np.where(np.arange(count) < count // 2, 0, largest)
            case "rising":
                values = np.linspace(0, largest, count).astype(np.int64)
            case _:
                values = self.rng.integers(0, largest + 1, count)
        return values.reshape(shape).astype(np.float64)


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


def _masked(drawn: _DrawnInputs) -> dict[str, Array] | None:
    """-inf in what is added to scores: throughout the first half of the long rank, so that whole tiles are masked, and
    at every third coordinate of the rest. None where nothing is added.
    """
    rank = drawn.long_rank
    names = [name for name in added_inputs(drawn.cascade) if rank in drawn.cascade.ranks_of(name)]
    if not names:
        return None

    def hidden(length: int) -> Array:
        place = np.arange(length)
        is_hidden = (place < length // 2) | (place % 3 == 0)
        return np.where(is_hidden & (place < length - 1), -np.inf, 0.0)

    return drawn.ordinary | {name: drawn.ordinary[name] + drawn.along(name, rank, hidden) for name in names}


def added_inputs(cascade: Cascade) -> tuple[str, ...]:
    """Inputs that may be infinite and are added to what an exponential depends on."""
    names = {
        tensor.name for tensor in cascade.inputs if tensor.ranks and allows_infinity(cascade.domain_of(tensor.name))
    }
    weighed = set(weighed_inputs(cascade)) if any("exp" in e.map_operators for e in cascade.einsums) else set()
    found = (name for einsum in cascade.einsums for name in _summands(einsum.expr))
    return tuple(name for name in dict.fromkeys(found) if name in names & weighed)


def _summands(expr: Expr) -> tuple[str, ...]:
    """Tensors that an expression adds as they are."""
    match expr:
        case Call(operator="add", arguments=arguments):
            own = tuple(one.access.tensor for one in arguments if isinstance(one, Load))
            return own + tuple(name for one in arguments for name in _summands(one))
        case Call(arguments=arguments):
            return tuple(name for one in arguments for name in _summands(one))
    return ()


RECIPES: dict[str, Callable[[_DrawnInputs], dict[str, Array] | None]] = {
    "ordinary": _ordinary,
    "large": _large,
    "equal": _equal,
    "one huge": _one_huge,
    "rising": _rising,
    "masked": _masked,
}
