"""Two cascades compared on numbers that break fragile arithmetic.

A derived cascade is right if it matches the original wherever the original is finite. The inputs lie inside their
declared domains and are large, tiny, equal, far from zero, zero, ordered, with one huge element, or with -inf. The size
is odd, and tiles divide it, do not divide it, hold one element, or exceed it. The difference allowed at each element is

    2^-52 * 8 * (n + 8) * (|y| + sensitivity),    sensitivity = max |y' - y| / d   over random draws, d = 2^-40,

where n is the size of the rank and y' the original with every element of its inputs and of every intermediate operator
scaled by 1 + e, d/2 <= |e| <= d (Monte Carlo arithmetic, Parker 1997): what rounding may do to the original itself in
n steps.
A derivation that loses more digits than the original fails; a good one does not fail on an ill-conditioned problem.

All trials are one batch: a cascade runs once for each tile, with an axis over the trials before the ranks of an input.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from einsums.interpreter import interpret
from einsums.interpreter_inputs import RANK_SIZE, Arrays, iter_trials, trial_sizes
from einsums.interpreter_sensitivity import Sensitivity
from einsums.nouns import Noun
from einsums.types import Cascade

TILES = (1, 4, 5, 13, 16)
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


class TrialComparison(Noun):
    """How two cascades compare: runs, values compared, the largest difference as a fraction of what is allowed.

    `outside` counts runs left out because a divisor that must not be zero was zero.
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


def compare(original: Cascade, derived: Cascade, rank: str, divisors: tuple[str, ...] = ()) -> TrialComparison:
    """Run both on every trial and tile; the first difference ends it. Runs where a divisor is zero do not count."""
    return Trials(original, rank).compare(derived, divisors)


class _Expected(NamedTuple):
    """The outputs of the original on a trial, and how they respond to relative changes."""

    outputs: Arrays
    sensitivity: Arrays


class Trials:
    """A cascade run on every trial, computed once for all cascades that are compared with it."""

    def __init__(self, original: Cascade, rank: str, spelled: "Trials | None" = None) -> None:
        """`spelled`: the same function in another spelling, which a derived cascade must match as well."""
        self.original, self.rank, self.spelled = original, rank, spelled
        sizes = trial_sizes(original, rank)
        self.sizes = {name: size for name, size in sizes.items() if name not in original.batch}
        trials = tuple(iter_trials(original, rank))
        self.names = tuple(trial.name for trial in trials)
        self.inputs = {name: np.stack([trial.inputs[name] for trial in trials]) for name in trials[0].inputs}
        self.batched = batched(original)
        self.sensitivity = Sensitivity(self.batched)
        self.moves: Arrays = {}
        self.known: dict[tuple[tuple[str, int], ...], Arrays] = {}

    def run(self, cascade: Cascade, tile: dict[str, int]) -> Arrays:
        """Every tensor of a batched cascade, with an axis over the trials, and parts of the tile's sizes."""
        own = {part: size for part, size in tile.items() if part in _parts(cascade)}
        found = interpret(cascade, self.inputs, self.sizes | own)
        lead = (len(self.names),)
        return {
            name: np.broadcast_to(value, lead + value.shape) if cascade.is_unbatched(name) else value
            for name, value in found.items()
        }

    def expected(self, trial: int, tile: dict[str, int]) -> _Expected:
        """Results of the original with its parts at some sizes; sensitivity is that at the first sizes requested."""
        own = {part: size for part, size in tile.items() if part in _parts(self.original)}
        key = tuple(sorted(own.items()))
        if key not in self.known:
            found = self.run(self.batched, own)
            self.known[key] = {name: found[name] for name in self.original.outputs}
            self.moves = self.moves or self.sensitivity.of(self.inputs, self.sizes | own, self.known[key])
        return _Expected(_of_trial(self.known[key], trial), _of_trial(self.moves, trial))

    def compare(self, derived: Cascade, divisors: tuple[str, ...] = ()) -> TrialComparison:
        """Run a derived cascade on every trial and tile; the first difference ends it."""
        runs = values = outside = 0
        largest = 0.0
        tiles = list(_tiles(self.original, derived, self.rank))
        cascade = batched(derived)
        of_tiles = [self.run(cascade, tile) for tile in tiles]
        for trial in range(len(self.names)):
            for tile, of_tile in zip(tiles, of_tiles, strict=True):
                found = _of_trial(of_tile, trial)
                runs += 1
                if any(_has_zero(derived, name, found[name]) for name in divisors):
                    outside += 1
                    continue
                sizes = ", ".join(f"{name} = {size}" for name, size in sorted(tile.items())) or "no tiles"
                count, worst, differs = self.difference(found, (trial, tile), sizes)
                values, largest = values + count, max(largest, worst)
                if differs is not None:
                    return TrialComparison(
                        runs=runs, values=values, largest=worst, outside=outside, counterexample=differs
                    )
        return TrialComparison(runs=runs, values=values, largest=largest, outside=outside)

    def difference(
        self, found: Arrays, run: tuple[int, dict[str, int]], sizes: str
    ) -> tuple[int, float, Counterexample | None]:
        """Values compared, the largest ratio of difference to allowance, and where it exceeds 1 in any spelling."""
        trial, _ = run
        ours = _difference(self.expected(*run), found, (self.names[trial], sizes))
        if self.spelled is None or ours[2] is not None:
            return ours
        theirs = self.spelled.difference(found, run, sizes)
        return theirs if theirs[2] is not None else ours


def batched(cascade: Cascade) -> Cascade:
    """The cascade with batch axes in every input."""
    return cascade.with_fields(unbatched=()) if cascade.unbatched else cascade


def _of_trial(arrays: Arrays, trial: int) -> Arrays:
    return {name: value[trial] for name, value in arrays.items()}


def _parts(cascade: Cascade) -> set[str]:
    return {part for partition in cascade.partitions for part in partition.inner}


def _tiles(original: Cascade, derived: Cascade, rank: str) -> Iterator[dict[str, int]]:
    """Sizes of inner parts: those of the rank take every tile size, others are 2."""
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


def _difference(expected: _Expected, found: Arrays, where: tuple[str, str]) -> tuple[int, float, Counterexample | None]:
    """Values compared, the largest ratio of difference to allowance, and the worst place if that ratio exceeds 1."""
    count, largest, worst = 0, 0.0, None
    for name, value in expected.outputs.items():
        finite = np.isfinite(value) & np.isfinite(expected.sensitivity[name])
        count += int(finite.sum())
        with np.errstate(all="ignore"):
            allowed = _EPSILON * 8 * (RANK_SIZE + 8) * (np.abs(value) + expected.sensitivity[name]) + 1e-300
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
