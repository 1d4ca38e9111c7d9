"""Which points to evaluate: all of them, a random selection, or those that a sampler requests.

A strategy is a callable that receives the objectives of earlier points and requests more. Samplers work in batches with
a fixed seed and see each batch as a whole, so that an interrupted search requests the same points again and finds the
finished ones in the store.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from sim.explore.sweep import Search, Sweep
from sim.load.problems import InputError, InputProblem

# From points (i8[point], any order) to f8[point, objective], minimized; inf for an illegal point.
Evaluate = Callable[[np.ndarray], np.ndarray]
Strategy = Callable[[Sweep, Evaluate], None]
CHUNKS_AT_ONCE = 2**20  # points that an exhaustive search requests at a time


def search(sweep: Sweep, evaluate: Evaluate) -> None:
    """Evaluates points until the sweep's search is done."""
    STRATEGIES[sweep.search.method](sweep, evaluate)


def visit_all(sweep: Sweep, evaluate: Evaluate) -> None:
    """Every point, in order."""
    for start in range(0, sweep.size, CHUNKS_AT_ONCE):
        evaluate(np.arange(start, min(start + CHUNKS_AT_ONCE, sweep.size)))


def sample(sweep: Sweep, evaluate: Evaluate) -> None:
    """`trials` distinct points, drawn uniformly."""
    evaluate(random_points(sweep.size, sweep.search.trials or 0, sweep.search.seed))


def random_points(size: int, count: int, seed: int) -> np.ndarray:
    """i8[count] distinct numbers below `size`, ascending; all of them if there are no more."""
    if count >= size:
        return np.arange(size)
    generator = np.random.default_rng(seed)
    found = np.unique(generator.integers(0, size, count))
    while found.size < count:
        found = np.unique(np.concatenate([found, generator.integers(0, size, count - found.size)]))
    return found


def check_sampler(sweep: Sweep) -> None:
    """InputError if the search needs optuna and it is not installed."""
    if STRATEGIES[sweep.search.method] is not ask_sampler:
        return
    try:
        import optuna  # noqa: F401
    except ImportError:
        message = f"the search '{sweep.search.method}' needs optuna: in the checkout, pip install -e '.[dse]'"
        raise InputError([InputProblem("einfuse", None, "", message)]) from None


def ask_sampler(sweep: Sweep, evaluate: Evaluate) -> None:
    """`trials` points requested by an optuna sampler, `batch` at a time; it must be installed (`check_sampler`)."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(
        directions=["minimize"] * len(sweep.objectives), sampler=_sampler(optuna.samplers, sweep.search)
    )
    left = sweep.search.trials or 0
    while left:
        trials = [study.ask() for _ in range(min(left, sweep.search.batch))]
        points = np.array([_point(sweep, trial) for trial in trials], np.int64)
        for trial, values in zip(trials, evaluate(points).tolist(), strict=True):
            study.tell(trial, values)
        left -= len(trials)


def _sampler(samplers: Any, settings: Search) -> Any:
    if settings.method == "nsga2":
        return samplers.NSGAIISampler(population_size=settings.batch, seed=settings.seed)
    return samplers.TPESampler(
        seed=settings.seed, multivariate=True, constant_liar=True, n_startup_trials=settings.batch
    )


def _point(sweep: Sweep, trial: Any) -> int:
    """The number of the point with these values of the dimensions."""
    point = 0
    for group, length in zip(sweep.dimensions(), sweep.shape, strict=True):
        name = "+".join(axis.name for axis in group)
        point = point * length + (trial.suggest_int(name, 0, length - 1) if length > 1 else 0)
    return point


STRATEGIES: dict[str, Strategy] = {
    "exhaustive": visit_all,
    "random": sample,
    "nsga2": ask_sampler,
    "tpe": ask_sampler,
}
