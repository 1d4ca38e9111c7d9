"""The laws of the tile-level engine on random designs: what holds whatever is simulated."""

import pytest

from tests.cycle_existence import Existence
from tests.cycle_laws import run, says_so, skipping_changes, times_with_more, too_fast, words_differ
from tests.law_designs import law_experiment

SEEDS = 60
# What a machine may have twice as much of without any of these designs losing; with a larger buffer that tiles spill from,
# or a faster one, a design may lose, and its result says so (docs/cycle-validation.md says why, and how much).
NEVER_SLOWER = ("ports", "bandwidth of the root", "links of arrays")


@pytest.mark.parametrize("first", range(0, SEEDS, 20))
def test_random_designs_obey_the_laws(first: int) -> None:
    ran = 0
    for seed in range(first, first + 20):
        experiment = law_experiment(seed)
        found = run(experiment) if experiment is not None else None
        if found is None:
            continue
        ran += 1
        assert list(words_differ(found)) == [], f"seed {seed}"
        assert list(too_fast(found)) == [], f"seed {seed}"
        assert list(skipping_changes(found)) == [], f"seed {seed}"
        assert list(Existence(found).early()) == [], f"seed {seed}"
        for what, cycles in times_with_more(found):
            if cycles > found.timing.cycles:
                assert what not in NEVER_SLOWER and says_so(found), f"seed {seed}: {what}"
    assert ran >= 10
