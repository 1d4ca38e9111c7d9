"""Random mappings under conditions, held to an execution that skips what does not exist."""

from collections.abc import Callable
from functools import cache

from sim import Experiment, IllegalMapping, simulate
from tests.oracle import Run
from tests.oracle_skipping import SkippingRun
from tests.test_sim_oracle import described, differences


@cache
def legal_experiment(make: Callable[[int], Experiment], seed: int) -> Experiment | None:
    """The random experiment of a seed, None if its cascade or its mapping is refused."""
    try:
        experiment = make(seed)
        simulate(experiment)
    except (IllegalMapping, ValueError):
        return None
    return experiment


def check_against_oracle(make: Callable[[int], Experiment], seed: int) -> None:
    """Words and points of the experiment of a seed, if it is legal, are those of its execution."""
    experiment = legal_experiment(make, seed)
    if experiment is not None:
        kind = Run if experiment.cascade.existence.is_plain else SkippingRun
        assert not differences(experiment, simulate(experiment), kind), f"seed {seed}\n{described(experiment)}"
