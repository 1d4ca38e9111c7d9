"""Law: one design is a batch of one. What `simulate` says of a point is what a sweep finds for it, bit for bit."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from sim.load.nouns import CATALOGS
from tests.random_machines import random_plan
from tests.small_sweep import plan_of
from tests.test_explore_bulk import ALL, compare

SEEDS = 500
SHARDS = 10


@pytest.mark.parametrize("name", CATALOGS["experiment"].names())
def test_shipped_experiments(tmp_path: Path, name: str) -> None:
    axes = {
        "clock": {"path": "architecture.clock", "values": [0.7, 1.25], "unit": "GHz"},
        "leakage": {"path": "architecture.leakage", "values": ["0 W", "2.3 W"]},
    }
    plan = plan_of(tmp_path, experiment=name, axes=axes, derive=None, constraints=None, **ALL)
    assert compare(plan, np.arange(4)) == {"legal": 4}


@pytest.mark.parametrize("shard", range(SHARDS))
def test_random_machines(tmp_path: Path, shard: int) -> None:
    """Cores, deep trees, spilled memories, registers of each element, areas that are held, leakage."""
    kinds: Counter[str] = Counter()
    for seed in range(shard * SEEDS // SHARDS, (shard + 1) * SEEDS // SHARDS):
        plan = random_plan(tmp_path / str(seed), seed)
        kinds.update(compare(plan, np.arange(plan.sweep.size)))
    assert kinds["legal"] >= SEEDS // SHARDS
