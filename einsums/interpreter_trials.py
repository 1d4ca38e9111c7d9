"""Two cascades tried against each other on numbers that break weak arithmetic.

A derived cascade is right if it gives what the original gives wherever that is finite. The inputs are large, tiny,
equal, far from zero, zero, ordered, with one huge element, with -inf, at an odd size, with tiles that divide it, do
not, are one element or more than all, inside the domains that inputs declare. The difference allowed at each element is

    2^-52 * 8 * (n + 8) * (|y| + sensitivity),    sensitivity = max |y' - y| / d   over random signs of d = 2^-40,

n being the size of the rank and y' the original evaluated with every element of its inputs, and of every tensor on the
way, scaled by 1 + d or 1 - d (Monte Carlo arithmetic, Parker 1997): what rounding may do to the original itself in n
steps. A derivation that loses more digits than the original fails; an ill-conditioned problem does not fail a good one.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from einsums.domains import allows_infinity, allows_zero, moved_inside
from einsums.interpreter import interpret
from einsums.nodes import Access, Call, Einsum, Index, Load, Noun, Tensor
from einsums.scope import recomposition
from einsums.types import Cascade

Arrays = dict[str, NDArray[np.float64]]

RANK_SIZE = 13
TILES = (1, 4, 5, 13, 16)
_OTHER_SIZES = (3, 2, 4, 2)
_STEP = 2.0**-40
_DRAWS = 3
_EPSILON = 2.0**-52


class Counterexample(Noun):
    """An input on which two cascades differ by more than arithmetic explains."""

    case: str
    tile: str
    output: str
    index: tuple[int, ...]
    original: float
    derived: float
    allowed: float

    def __str__(self) -> str:
        place = ",".join(map(str, self.index))
        return (
            f"on {self.case} inputs ({self.tile}) {self.output}[{place}] is {self.derived!r}, not {self.original!r} "
            f"(allowed difference {self.allowed:.2g})"
        )


class Comparison(Noun):
    """How two cascades compare: runs, values compared, the largest difference as a fraction of what is allowed.

    `outside` counts runs left out because a divisor that must not be zero was.
    """

    runs: int
    values: int
    largest: float
    outside: int = 0
    counterexample: Counterexample | None = None

    @property
    def is_equal(self) -> bool:
        """True if the cascades agree and something was compared."""
        return self.counterexample is None and self.values > 0


class Trial(NamedTuple):
    """Inputs of a name."""

    name: str
    inputs: Arrays


def compare(original: Cascade, derived: Cascade, rank: str, divisors: tuple[str, ...] = ()) -> Comparison:
    """Run both on every trial and tile; the first difference ends it. Runs where a divisor is zero do not count."""
    sizes = _sizes(original, rank)
    runs = values = outside = 0
    largest = 0.0
    for trial in iter_trials(original, rank):
        moves: Arrays = {}
        for tile in _tiles(original, derived, rank):
            given = sizes | {k: v for k, v in tile.items() if k in _parts(original)}
            moves = moves or _sensitivity(original, trial.inputs, given)
            found = interpret(derived, trial.inputs, sizes | {k: v for k, v in tile.items() if k in _parts(derived)})
            runs += 1
            if any(_has_zero(derived, name, found[name]) for name in divisors):
                outside += 1
                continue
            where = (
                trial.name,
                ", ".join(f"{name} = {size}" for name, size in sorted(tile.items())) or "no tiles",
            )
            expected = (_outputs(original, trial.inputs, given), moves)
            count, worst, differs = _difference(expected, found, where)
            values, largest = values + count, max(largest, worst)
            if differs is not None:
                return Comparison(runs=runs, values=values, largest=worst, outside=outside, counterexample=differs)
    return Comparison(runs=runs, values=values, largest=largest, outside=outside)


def _parts(cascade: Cascade) -> set[str]:
    return {part for partition in cascade.partitions for part in partition.inner}


def _tiles(original: Cascade, derived: Cascade, rank: str) -> Iterator[dict[str, int]]:
    """Sizes of inner parts: the rank's take every tile size, others 2."""
    both = (original, derived)
    of_rank = {p for c in both for part in c.partitions if part.rank == rank for p in part.inner}
    others = dict.fromkeys(sorted((_parts(original) | _parts(derived)) - of_rank), 2)
    if not of_rank:
        yield others
        return
    for tile in TILES:
        yield (
            others
            | {part: tile if part == max(of_rank) else 2 for part in sorted(of_rank)}
            | (dict.fromkeys(of_rank, tile) if len(of_rank) == 1 else {})
        )


def _sizes(cascade: Cascade, rank: str) -> dict[str, int]:
    """Small sizes of every whole rank; batch ranks 1."""
    rest = [item.name for item in cascade.ranks if item.name != rank and item.name not in cascade.batch]
    sizes = {name: _OTHER_SIZES[place % len(_OTHER_SIZES)] for place, name in enumerate(rest)}
    return sizes | {rank: RANK_SIZE} | dict.fromkeys(cascade.batch, 1)


def _outputs(cascade: Cascade, inputs: Arrays, sizes: dict[str, int]) -> Arrays:
    found = interpret(cascade, inputs, sizes)
    return {name: found[name] for name in cascade.outputs}


def _sensitivity(original: Cascade, inputs: Arrays, sizes: dict[str, int]) -> Arrays:
    """Change of each output element for a relative change of everything; infinite if it ceases to exist."""
    loose, scales = _with_scales(original)
    values = _outputs(original, inputs, sizes)
    largest = {name: np.zeros_like(value) for name, value in values.items()}
    rng = np.random.default_rng(5)
    with np.errstate(all="ignore"):
        for _ in range(_DRAWS):
            moved = {name: value * _scale(rng, value.shape) for name, value in inputs.items()}
            factors = {n: _scale(rng, tuple(sizes[rank] for rank in ranks)) for n, ranks in scales.items()}
            again = _outputs(loose, moved | factors, sizes)
            for name, value in values.items():
                change = np.abs(again[name] - value) / _STEP
                largest[name] = np.maximum(largest[name], np.where(np.isfinite(change), change, np.inf))
    return largest


def _scale(rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float64]:
    return np.asarray(1 + _STEP * rng.choice((-1.0, 1.0), size=shape))


def _with_scales(cascade: Cascade) -> tuple[Cascade, dict[str, tuple[str, ...]]]:
    """The cascade with a further input that scales each element of each Einsum, and the ranks of those inputs.

    Iterative tensors and products are left out: a factor on each step would be a growing one.
    """
    scales: dict[str, tuple[str, ...]] = {}
    einsums: list[Einsum] = []
    for number, old in enumerate(cascade.einsums):
        if cascade.is_iterative(old.name) or (old.reduction and old.reduction.operator in ("mul", "or")):
            einsums.append(old)
            continue
        index_by_rank = _whole_indices(cascade, old)
        name = f"SCALE{number}OF{old.name}"
        scales[name] = tuple(index_by_rank)
        factor = Load(access=Access(tensor=name, indices=tuple(index_by_rank.values())))
        expr = Call(operator="mul", arguments=(old.expr, factor))
        einsums.append(Einsum(output=old.output, expr=expr, reduction=old.reduction))
    data = {field: getattr(cascade, field) for field in Cascade.model_fields} | {
        "inputs": (*cascade.inputs, *(Tensor(name=name, ranks=ranks) for name, ranks in scales.items())),
        "unbatched": (*cascade.unbatched, *scales),
        "einsums": tuple(einsums),
    }
    return Cascade(**data), scales


def _whole_indices(cascade: Cascade, einsum: Einsum) -> dict[str, Index]:
    """Index of each whole rank that the output runs along; a rank of which it has some parts only is left out."""
    ranks = cascade.tensor(einsum.name).ranks
    found = {}
    for rank, place in zip(ranks, einsum.output.indices, strict=True):
        partition = cascade.partition_of(cascade.root_of(rank))
        if partition is None or rank == partition.rank:
            found[rank] = place
        elif set(partition.parts) <= set(ranks):
            found[partition.rank] = recomposition(partition)
    return found


def _difference(
    expected: tuple[Arrays, Arrays], found: Arrays, where: tuple[str, str]
) -> tuple[int, float, Counterexample | None]:
    """Values compared, the largest difference over what is allowed, and the worst place if that is more than 1."""
    count, largest, worst = 0, 0.0, None
    for name, value in expected[0].items():
        finite = np.isfinite(value) & np.isfinite(expected[1][name])
        count += int(finite.sum())
        with np.errstate(all="ignore"):
            allowed = _EPSILON * 8 * (RANK_SIZE + 8) * (np.abs(value) + expected[1][name]) + 1e-300
            excess = np.abs(found[name] - value) / allowed
        excess = np.where(finite, np.where(np.isnan(excess), np.inf, excess), 0.0)
        if not excess.size or excess.max() <= largest:
            continue
        largest = float(excess.max())
        place = tuple(int(i) for i in np.unravel_index(int(excess.argmax()), excess.shape))
        worst = Counterexample(
            case=where[0],
            tile=where[1],
            output=name,
            index=place,
            original=float(value[place]),
            derived=float(found[name][place]),
            allowed=float(allowed[place]),
        )
    return count, largest, worst if largest > 1 else None


def _has_zero(cascade: Cascade, name: str, value: NDArray[np.float64]) -> bool:
    """True if a tensor is zero anywhere but at the start of its iteration."""
    rank = cascade.scope.iterative_rank.get(name)
    if rank is not None:
        ranks = cascade.tensor(name).ranks
        value = np.moveaxis(value, value.ndim - len(ranks) + ranks.index(rank), 0)[1:]
    return bool((value == 0).any())


# --- inputs -------------------------------------------------------------------------------------------------
def iter_trials(cascade: Cascade, rank: str) -> Iterator[Trial]:
    """Adversarial inputs of a cascade, one axis for each rank and no batch axes; always the same."""
    for number, (name, make) in enumerate(_RECIPES.items()):
        yield Trial(name, _made(cascade, rank, number, make))
    for tensor in cascade.inputs:
        if rank in tensor.ranks:
            domain = cascade.domain_of(tensor.name)
            inputs = {n: np.abs(v) for n, v in _made(cascade, rank, len(_RECIPES), _normal).items()}
            if allows_infinity(domain):
                yield Trial(f"-inf in {tensor.name}", inputs | _masked(cascade, rank, inputs, (tensor.name, -np.inf)))
                yield Trial(f"masked by {tensor.name}", _mask_by(cascade, rank, inputs, tensor.name))
            inputs = _made(cascade, rank, len(_RECIPES) + 1, _normal)
            if allows_zero(domain):
                yield Trial(f"0 in {tensor.name}", inputs | _masked(cascade, rank, inputs, (tensor.name, 0.0)))
            yield Trial(f"{tensor.name} far from zero", inputs | {tensor.name: inputs[tensor.name] + 1e8})


def _masked(cascade: Cascade, rank: str, inputs: Arrays, fill: tuple[str, float]) -> Arrays:
    """One input with a value in whole tiles at the start of the rank, and in a part of the last tile."""
    name, value = fill
    array = inputs[name].copy()
    along = np.moveaxis(array, cascade.tensor(name).ranks.index(rank), 0)
    along[:5] = along[-2] = value
    return {name: array}


def _mask_by(cascade: Cascade, rank: str, inputs: Arrays, name: str) -> Arrays:
    """-inf in one input, and 0 at the same places in the others, as a mask or a one-hot target has it."""
    made = dict(inputs)
    for tensor in cascade.inputs:
        if rank in tensor.ranks and (tensor.name == name or allows_zero(cascade.domain_of(tensor.name))):
            value = -np.inf if tensor.name == name else 0.0
            made |= _masked(cascade, rank, inputs, (tensor.name, value))
    return made


Recipe = Callable[[NDArray[np.float64], int], NDArray[np.float64]]


def _made(cascade: Cascade, rank: str, seed: int, make: Recipe) -> Arrays:
    sizes = _sizes(cascade, rank)
    rng = np.random.default_rng(seed)
    inputs: Arrays = {}
    for tensor in cascade.inputs:
        drawn = rng.normal(size=tuple(sizes[name] for name in tensor.ranks))
        axis = tensor.ranks.index(rank) if rank in tensor.ranks else -1
        value = make(drawn, axis)
        if not tensor.ranks:  # a number alone is a constant such as the epsilon of a norm: positive, often small
            value = np.abs(drawn) * (1.0 if seed % 2 else 1e-6)
        inputs[tensor.name] = np.asarray(moved_inside(value, cascade.domain_of(tensor.name)), dtype=np.float64)
    return inputs


def _along(value: NDArray[np.float64], axis: int, factors: NDArray[np.float64]) -> NDArray[np.float64]:
    """The array with each slice along the rank replaced in size; arrays without the rank stay."""
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
