"""Mapped cascades with conditions: tiles without points are skipped, and the engine counts what an execution counts."""

from functools import cache

import pytest

from sim import Experiment, IllegalMapping, simulate
from tests.oracle import Run
from tests.oracle_skipping import SkippingRun
from tests.random_mappings import is_fused
from tests.random_regions import random_region_experiment
from tests.test_sim_oracle import described, differences, is_ragged

SEEDS = range(100)
LARGE = {"seq_len": 4096, "batch": 2}


@cache
def legal_experiment(seed: int) -> Experiment | None:
    """The random experiment of a seed, None if its cascade or its mapping is refused."""
    try:
        experiment = random_region_experiment(seed)
        simulate(experiment)
    except (IllegalMapping, ValueError):
        return None
    return experiment


@pytest.mark.parametrize("seed", SEEDS)
def test_words_and_points_of_random_mappings(seed: int) -> None:
    experiment = legal_experiment(seed)
    if experiment is not None:
        kind = Run if experiment.cascade.existence.is_plain else SkippingRun
        found = differences(experiment, simulate(experiment), kind)
        assert not found, f"seed {seed}\n{described(experiment)}"


def test_random_mappings_are_worth_testing() -> None:
    legal = [experiment for experiment in map(legal_experiment, SEEDS) if experiment is not None]
    assert len(legal) >= 55
    assert sum(map(is_fused, legal)) >= 20 and sum(map(is_ragged, legal)) >= 20
    skipping = [simulate(experiment).points for experiment in legal]
    exist = [sum(one.existing or 0 for one in points.values()) for points in skipping]
    executed = [sum(one.executed for one in points.values()) for points in skipping]
    assert (
        sum(one < other for one, other in zip(exist, executed, strict=True)) >= 20
    )  # tiles with a part of their points
