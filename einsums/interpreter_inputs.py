"""Adversarial inputs for any cascade: large, tiny, equal, ordered, masked, one value far from the rest.

They lie inside the domains that a cascade declares, are small in every rank, and are always the same.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from einsums.conditions import variables_in
from einsums.domains import allows_infinity, allows_zero, is_of_numbers, whole_numbers
from einsums.types import Cascade

Arrays = dict[str, NDArray[np.float64]]

RANK_SIZE = 13
COMPARED_SIZE = 17
_OTHER_SIZES = (3, 2, 4, 2)


class TrialInputs(NamedTuple):
    """Inputs of a name."""

    name: str
    inputs: Arrays


def trial_sizes(cascade: Cascade, rank: str) -> dict[str, int]:
    """Small sizes of every whole rank; batch ranks 1.

    A rank that conditions compare with the one that is tried is longer: a window then leaves tiles and rows empty.
    """
    names = cascade.scope.names_of(rank)
    rest = [item.name for item in cascade.ranks if item.name not in names and item.name not in cascade.batch]
    sizes = {name: _OTHER_SIZES[place % len(_OTHER_SIZES)] for place, name in enumerate(rest)}
    sizes |= dict.fromkeys(_compared_ranks(cascade, rank), COMPARED_SIZE)
    return sizes | dict.fromkeys(names, RANK_SIZE) | dict.fromkeys(cascade.batch, 1)


def _compared_ranks(cascade: Cascade, rank: str) -> set[str]:
    """Other ranks with a variable in an atom that is also over this one."""
    found: set[str] = set()
    for region in cascade.existence.points.values():
        for atoms in region:
            for atom in atoms:
                roots = {cascade.root_of(name.upper()) for name in variables_in(atom)}
                found |= roots if rank in roots else set()
    return found - set(cascade.scope.names_of(rank)) - set(cascade.batch)


def infinite_trials(tensor: str) -> tuple[str, str]:
    """Names of the trials in which an input is infinite."""
    return f"-inf in {tensor}", f"masked by {tensor}"


def iter_trials(cascade: Cascade, rank: str) -> Iterator[TrialInputs]:
    """Adversarial inputs of a cascade, one axis per rank and no batch axes; always the same."""
    for number, (name, make) in enumerate(_RECIPES.items()):
        yield TrialInputs(name, _made(cascade, rank, number, make))
    for tensor in cascade.inputs:
        if rank in tensor.ranks:
            domain = cascade.domain_of(tensor.name)
            if domain is not None and not is_of_numbers(domain):
                continue
            inputs = {n: np.abs(v) for n, v in _made(cascade, rank, len(_RECIPES), _normal).items()}
            if allows_infinity(domain):
                alone, with_zeros = infinite_trials(tensor.name)
                yield TrialInputs(alone, inputs | _masked(cascade, rank, inputs, (tensor.name, -np.inf)))
                yield TrialInputs(with_zeros, _mask_by(cascade, rank, inputs, tensor.name))
            inputs = _made(cascade, rank, len(_RECIPES) + 1, _normal)
            if allows_zero(domain):
                yield TrialInputs(f"0 in {tensor.name}", inputs | _masked(cascade, rank, inputs, (tensor.name, 0.0)))
            yield TrialInputs(f"{tensor.name} far from zero", inputs | {tensor.name: inputs[tensor.name] + 1e8})


def moved_inside(
    values: NDArray[np.float64], domain: str | None, sizes: Mapping[str, int] | None = None
) -> NDArray[np.float64]:
    """Finite numbers drawn for an input, moved into its domain: magnitudes, and 1 for a 0 that is outside it.

    Lengths and indices are their last digits, as it were: they need the sizes of ranks.
    """
    whole = whole_numbers(domain)
    if whole is not None:
        return np.floor(np.abs(values) * 7) % (whole.largest((sizes or {})[whole.rank]) + 1)
    if domain == "mask":
        return (values > 0).astype(np.float64)
    if domain not in ("positive", "non-negative"):
        return values
    magnitudes = np.abs(values)
    return magnitudes if allows_zero(domain) else np.where(magnitudes == 0, 1.0, magnitudes)


def _masked(cascade: Cascade, rank: str, inputs: Arrays, fill: tuple[str, float]) -> Arrays:
    """One input with a value in the whole tiles at the start of the rank and in part of the last tile."""
    name, value = fill
    array = inputs[name].copy()
    along = np.moveaxis(array, cascade.tensor(name).ranks.index(rank), 0)
    along[:5] = along[-2] = value
    return {name: array}


def _mask_by(cascade: Cascade, rank: str, inputs: Arrays, name: str) -> Arrays:
    """-inf in one input and 0 at the same places in the others, as with a mask or a one-hot target."""
    made = dict(inputs)
    for tensor in cascade.inputs:
        if rank in tensor.ranks and (tensor.name == name or allows_zero(cascade.domain_of(tensor.name))):
            value = -np.inf if tensor.name == name else 0.0
            made |= _masked(cascade, rank, inputs, (tensor.name, value))
    return made


Recipe = Callable[[NDArray[np.float64], int], NDArray[np.float64]]


def _made(cascade: Cascade, rank: str, seed: int, make: Recipe) -> Arrays:
    sizes = trial_sizes(cascade, rank)
    rng = np.random.default_rng(seed)
    inputs: Arrays = {}
    for tensor in cascade.inputs:
        drawn = rng.normal(size=tuple(sizes[name] for name in tensor.ranks))
        axis = tensor.ranks.index(rank) if rank in tensor.ranks else -1
        value = make(drawn, axis)
        if not tensor.ranks:  # a scalar is a constant such as the epsilon of a norm: positive, often small
            value = np.abs(drawn) * (1.0 if seed % 2 else 1e-6)
        domain = cascade.domain_of(tensor.name)
        inputs[tensor.name] = np.asarray(moved_inside(value, domain, sizes), dtype=np.float64)
    return inputs


def _along(value: NDArray[np.float64], axis: int, factors: NDArray[np.float64]) -> NDArray[np.float64]:
    """The array with each slice along the rank rescaled; arrays without the rank are left as they are."""
    if axis < 0:
        return value
    shape = [1] * value.ndim
    shape[axis] = -1
    return value * factors.reshape(shape)


def _spike(position: int) -> Recipe:
    def make(value: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
        factors = np.ones(RANK_SIZE)
        factors[position] = 1e4
        return _along(value, axis, factors)

    return make


def _normal(value: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    return value


def _ordered(first: float, last: float) -> Recipe:
    def make(value: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
        return _along(np.abs(value) if axis < 0 else np.ones_like(value), axis, np.linspace(first, last, RANK_SIZE))

    return make


def _leading_zeros(value: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    factors = np.ones(RANK_SIZE)
    factors[:5] = factors[9] = 0.0
    return _along(value, axis, factors)


def _equal(value: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    return np.full_like(value, value.flat[0])


_RECIPES: dict[str, Recipe] = {
    "ordinary": _normal,
    "large": lambda value, axis: 30 * value,
    "very large": lambda value, axis: 1e6 * value,
    "tiny": lambda value, axis: 1e-12 * value,
    "equal": _equal,
    "equal and large": lambda value, axis: 1e8 * _equal(value, axis),
    "far from zero": lambda value, axis: 1e8 + value,
    "one huge": _spike(7),
    "first huge": _spike(0),
    "last huge": _spike(-1),
    "rising": _ordered(-40.0, 40.0),
    "falling": _ordered(40.0, -40.0),
    "zero": lambda value, axis: 0.0 * value,
    "partly zero": _leading_zeros,
}
