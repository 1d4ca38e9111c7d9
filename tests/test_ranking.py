"""Three engines rank designs alike, or the cycle engine says what makes the difference (docs/cycle-validation.md)."""

from dataclasses import replace
from pathlib import Path

import pytest

from sim.binding.answer import bind
from sim.design.assemble import load_experiment
from sim.design.experiment import Experiment
from sim.simulation.flow import simulate
from tests.attention_mappings import FUSEMAX, PLAIN, Parts
from tests.ranking import OWN_STALLS, WAITS, Times, measured, ordered, pairs_apart
from tests.two_key_tiles import with_key_tiles

DOCS = Path(__file__).parents[1] / "docs"
COUNT = 12


@pytest.fixture(scope="module", params=[FUSEMAX, PLAIN], ids=["fusemax", "plain"])
def times(request: pytest.FixtureRequest) -> list[Times]:
    parts: Parts = request.param
    return measured(parts, COUNT)


def test_orders_are_alike_or_the_cause_is_named(times: list[Times]) -> None:
    for engine in ("analytical", "bind"):
        assert all(pair.is_explained for pair in pairs_apart(times, engine)), engine


def test_most_pairs_are_ordered_alike_whatever_the_cause(times: list[Times]) -> None:
    alike = [is_alike for _, _, is_alike in ordered(times, "analytical")]
    assert len(alike) > 50
    assert sum(alike) >= 0.85 * len(alike)


def test_a_pair_without_losses_is_not_explained() -> None:
    """The excuse is a measured loss: without one, or with one that is too small, an order that differs stays."""
    nothing = dict.fromkeys((*OWN_STALLS, *WAITS, "idle"), 0)
    fast = Times(110.0, 100.0, None, {"A": nothing}, False)
    for lost, is_explained in (
        ({"link": 0}, False),
        ({"link": 10}, False),
        ({"link": 25}, True),
        ({"port": 10, "dependency": 10}, True),
        ({"idle": 25}, False),
    ):
        slow = Times(100.0, 120.0, None, {"A": nothing | lost}, False)
        (pair,) = pairs_apart([fast, slow], "analytical")
        assert pair.slow is slow
        assert pair.is_explained == is_explained
        # Transfers that come earlier explain a run that is shorter than the analytical time, no other.
        early, late = replace(fast, shares_transfers=True), replace(fast, analytical=100.5, shares_transfers=True)
        assert [one.is_explained for one in pairs_apart([early, slow], "analytical")] == [True]
        for one in pairs_apart([replace(late, cycle=101.0), slow], "analytical"):
            assert one.is_explained == one._replace(fast=replace(one.fast, shares_transfers=False)).is_explained


def test_causes_are_those_of_the_documents() -> None:
    text = (DOCS / "cycle.md").read_text("utf-8")
    assert all(f"\n| `{cause}` |" in text for cause in (*OWN_STALLS, *WAITS))


def test_fusemax_with_two_key_tiles_at_once() -> None:
    """One tile takes 138 cycles of the 1D array, and 64 more for the division of the last; two take the 2D array 338."""

    def ratios(design: Experiment) -> tuple[float, float, float]:
        return simulate(design).cycles, float(bind(design).total_cycles), simulate(design, "cycle").cycles

    base = load_experiment("fusemax-binding")
    one, two = ratios(base), ratios(with_key_tiles(base, 2))
    analytical, found, cycle = (b / a for a, b in zip(one, two, strict=True))
    assert analytical == pytest.approx(339 / 308)
    assert found == pytest.approx(338 / 308, rel=1e-3)
    assert cycle == pytest.approx(analytical, rel=1e-3)


def test_what_has_no_stage_goes_beside_a_pipeline_in_every_engine() -> None:
    base = with_key_tiles(load_experiment("fusemax-binding"), 2)
    schedule = bind(base).schedule()
    piped = replace(base, mapping=base.mapping.model_copy(update={"schedule": schedule}))
    assert simulate(piped).cycles == pytest.approx(simulate(piped, "cycle").cycles, rel=0.01)
