"""Ranks, chains and tables are made in lowering, once for a structure, whatever asks for them."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from sim import Experiment, VerifyOptions, load_experiment, simulate, simulate_all, verify
from sim.binding.answer import bind
from sim.binding.search import SearchOptions
from sim.design.experiment import structure_of
from sim.lower import lowering
from sim.lower.chains import Chains
from sim.lower.flows import FlowBuilder
from sim.lower.ranks import RankSpace
from sim.lower.rows import RowTable
from sim.timeline.recorder import record_timeline

ONE_STRUCTURE = {"lower_structure": 1, "RankSpace": 1, "Chains": 1, "FlowBuilder": 1, "RowTable": 3}
SMALL = {
    "architecture.components.PE2D.rows": 8, "architecture.components.PE2D.columns": 8,
    "architecture.components.PE1D.columns": 8, "ranks.E": 8, "ranks.F": 8, "seq_len": 40, "batch": 1,
}  # fmt: skip


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each was made since the fixture, and no structure known from before."""
    structure_of.cache_clear()
    counter: Counter[str] = Counter()

    def counting(name: str, work: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **named: Any) -> Any:
            counter[name] += 1
            return work(*arguments, **named)

        return counted

    for noun in (RankSpace, Chains, FlowBuilder, RowTable):
        monkeypatch.setattr(noun, "__init__", counting(noun.__name__, noun.__init__))
    monkeypatch.setattr(lowering, "lower_structure", counting("lower_structure", lowering.lower_structure))
    return counter


def small() -> Experiment:
    return load_experiment("fusemax-binding", SMALL)


def test_simulation_under_the_cycle_engine_lowers_once(made: Counter[str]) -> None:
    simulate(small(), "cycle")
    assert made == ONE_STRUCTURE


def test_designs_of_one_structure_share_what_was_made(made: Counter[str]) -> None:
    lengths = [load_experiment("fusemax-binding", {**SMALL, "seq_len": length}) for length in (40, 72)]
    simulate_all(lengths)
    for experiment in lengths:
        simulate(experiment, "cycle")
    assert made == ONE_STRUCTURE


def test_binding_lowers_once(made: Counter[str]) -> None:
    bind(small(), SearchOptions(effort=1000))
    assert made == ONE_STRUCTURE


def test_verification_lowers_once(made: Counter[str]) -> None:
    """The design as given, the design cut to sizes that take seconds, and the program are one structure."""
    assert verify(small(), VerifyOptions(precisions=("fp32",))).passes
    assert made == ONE_STRUCTURE


def test_timeline_lowers_once(made: Counter[str]) -> None:
    record_timeline(small())
    assert made == ONE_STRUCTURE


def test_another_structure_is_lowered_too(made: Counter[str]) -> None:
    for name in ("fusemax-binding", "unfused"):
        simulate(load_experiment(name, SMALL))
    assert made == {name: 2 * times for name, times in ONE_STRUCTURE.items()}
