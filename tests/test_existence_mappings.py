"""Mapped cascades with conditions: tiles without points are skipped, and the engine counts what an execution counts."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from mappings.types import Mapping
from sim import Experiment, IllegalMapping, SimulationResult, load_experiment, simulate
from sim.binding.answer import bind
from sim.timeline.recorder import record_timeline
from tests.by_hand import experiment_of
from tests.counted import words
from tests.oracle_regions import check_against_oracle, legal_experiment
from tests.oracle_skipping import SkippingRun
from tests.random_mappings import is_fused
from tests.random_regions import random_experiment_of_two, random_region_experiment
from tests.test_counting_sides import machine
from tests.test_sim_oracle import differences, is_ragged

SEEDS = range(110)


TWO_SEEDS = range(60)


@pytest.mark.parametrize("seed", SEEDS)
def test_words_and_points_of_random_mappings(seed: int) -> None:
    check_against_oracle(random_region_experiment, seed)


@pytest.mark.parametrize("seed", TWO_SEEDS)
def test_words_and_points_of_two_conditions(seed: int) -> None:
    check_against_oracle(random_experiment_of_two, seed)


def test_mappings_of_two_conditions_are_worth_testing() -> None:
    legal = [one for seed in TWO_SEEDS if (one := legal_experiment(random_experiment_of_two, seed)) is not None]
    points = [simulate(experiment).points for experiment in legal]
    assert len(legal) >= 20
    assert sum(one["S"].executed != one["T"].executed for one in points) >= 10


def test_random_mappings_are_worth_testing() -> None:
    legal = [one for seed in SEEDS if (one := legal_experiment(random_region_experiment, seed)) is not None]
    assert len(legal) >= 40
    assert sum(map(is_fused, legal)) >= 12 and sum(map(is_ragged, legal)) >= 12
    skipping = [simulate(experiment).points for experiment in legal]
    exist = [sum(one.existing or 0 for one in points.values()) for points in skipping]
    executed = [sum(one.executed for one in points.values()) for points in skipping]
    assert (
        sum(one < other for one, other in zip(exist, executed, strict=True)) >= 20
    )  # tiles with a part of their points


CAUSAL = {
    "name": "causal", "ranks": {"M": "", "P": ""}, "inputs": {"A": ["M"], "B": ["P"]}, "outputs": ["S"],
    "einsums": "S[m,p] = A[m] * B[p] where m <= p",
}  # fmt: skip


def causal(loops: list[object]) -> Experiment:
    """Eight by eight scores, in these loops around 2 x 2 elements."""
    leaf = {"einsum": "S", "array": "PE", "spatial": {"rows": "m", "columns": "p"}}
    return experiment_of(CAUSAL, {"loops": loops, "body": [leaf]}, {"M": 8, "P": 8})


@pytest.mark.parametrize(
    ("condition", "steps"), [("m >= p", 10), ("m >= p + 4", 3), ("m <= p", 10), ("p <= m + 1", 13)]
)
def test_two_conditions_in_one_cascade_by_hand(condition: str, steps: int) -> None:
    # 4 x 4 steps of 2 x 2 points: each Einsum takes those of its own condition, whatever the other one says.
    both = CAUSAL | {
        "outputs": ["S", "T"],
        "einsums": f"S[m,p] = A[m] * B[p] where m <= p\nT[m,p] = A[m] * B[p] where {condition}",
    }
    loops, sides = [{"m": "2"}, {"p": "2"}], {"rows": "m", "columns": "p"}
    body = [{"einsum": name, "array": "PE", "loops": loops, "spatial": sides} for name in "ST"]
    points = simulate(experiment_of(both, {"body": body}, {"M": 8, "P": 8})).points
    assert {name: one.executed for name, one in points.items()} == {"S": 10 * 4, "T": steps * 4}


def test_steps_on_and_below_the_diagonal_by_hand() -> None:
    """Of 4 x 4 steps of 2 x 2 points 10 have a point; the 4 on the diagonal are taken in full."""
    result = simulate(causal([{"p": 2}, {"m": 2}]))
    assert result.to_json()["points"] == {"S": {"existing": 36, "executed": 40.0}}
    assert result.cycles == 10
    reads = {
        tensor: moved["DRAM"]["read"] / 2 for tensor, moved in result.traffic_by_tensor_bytes.items() if tensor != "S"
    }
    assert reads == {"A": 2 * (10 - 1), "B": 8}  # the first row of tiles ends where the second begins
    assert result.traffic_by_tensor_bytes["S"]["DRAM"]["write"] / 2 == 40


def test_rows_of_tiles_of_a_window_hand_tiles_on() -> None:
    """With m > p - 2 every row of tiles ends with the tile with which the next begins: each comes once."""
    windowed = CAUSAL | {"einsums": "S[m,p] = A[m] * B[p] where m <= p and m > p - 2"}
    leaf = {"einsum": "S", "array": "PE", "spatial": {"rows": "m", "columns": "p"}}
    tree = {"loops": [{"p": 2}, {"m": 2}], "body": [leaf]}
    result = simulate(experiment_of(windowed, tree, {"M": 8, "P": 8}))
    assert result.traffic_by_tensor_bytes["A"]["DRAM"]["read"] / 2 == 8
    assert result.points["S"].executed == 4 * (4 + 3)


def executed(experiment: Experiment) -> SimulationResult:
    """The result, which an execution confirms."""
    result = simulate(experiment)
    assert not differences(experiment, result, SkippingRun)
    return result


def test_registers_are_cleared_whenever_a_tile_comes_by_hand() -> None:
    """Two rows add up a sum of p. Of its second tile one row goes on with what comes back, the other with zero: in 4 steps
    8 terms are added to what is there, and 2 parts leave after each; of the 4 words that come together 2 return.
    """
    cascade = {
        "name": "sums", "ranks": {"M": "", "P": ""}, "inputs": {"A": ["M"], "B": ["P"]}, "outputs": ["Z"],
        "einsums": "Z[p] = A[m] * B[p] where m <= p + 2",
    }  # fmt: skip
    leaf = {"einsum": "Z", "array": "PE", "spatial": {"rows": "m"}}
    tree = {"loops": [{"m": 2}, {"p": 1}], "keep": {"RF": ["Z"]}, "body": [leaf]}
    result = executed(experiment_of(cascade, tree, {"M": 4, "P": 2}))
    assert result.points["Z"].existing == 7 and result.points["Z"].executed == 8
    assert words(result, "Z", "RF") == (8 + 4 * 2, 8 + 2)
    assert words(result, "Z", "DRAM") == (2, 4)


def test_of_a_tile_that_comes_back_what_exists_goes_further_by_hand() -> None:
    """S of one p, 2 words, lies beside the element while m goes by: 2 tiles for each e. All 4 words come back for the
    second e; of them the registers take the 3 on and below the diagonal, and give away 3 for each e.
    """
    cascade = {
        "name": "scores", "ranks": dict.fromkeys("EMP", ""), "inputs": {"Q": ["E", "P"], "K": ["E", "M"]}, "outputs": ["S"],
        "einsums": "S[m,p] = Q[e,p] * K[e,m] where m <= p",
    }  # fmt: skip
    leaf = {"einsum": "S", "array": "PE", "loops": ["m"]}
    tree = {"loops": ["e", "p"], "keep": {"LB": ["S"]}, "body": [leaf]}
    on = machine({"rows": 1, "columns": 1}, {})
    result = executed(experiment_of(cascade, tree, {"E": 2, "M": 2, "P": 2}, on))
    assert words(result, "S", "DRAM") == (4, 8)
    assert words(result, "S", "LB") == (8 + 3, 4 + 6)
    assert words(result, "S", "RF") == (6 + 3, 6 + 3)


def test_a_sum_begins_in_the_first_step_that_is_taken_by_hand() -> None:
    """Two columns share the sum over 3 keys, of which the last alone exists: its step is the short one, of one column. That
    one gives its part away, nothing comes back; both parts beside the columns leave with the tile, as one word.
    """
    cascade = {
        "name": "parts", "ranks": {"M": "", "P": ""}, "partition": {"M": ["M1", "M0"]},
        "inputs": {"A": ["M"], "B": ["P"]}, "outputs": ["Z"],
        "einsums": "Z[m1,p] = A[m1*M0+m0] * B[p] where m1*M0 + m0 >= p + 2",
    }  # fmt: skip
    leaf = {"einsum": "Z", "array": "PE", "loops": [{"m0": 2}], "spatial": {"columns": "m0"}}
    tree = {"loops": ["p", "m1"], "keep": {"LB": ["Z"]}, "body": [leaf]}
    on = machine({"rows": 1, "columns": 2}, {})
    plain = experiment_of(cascade, tree, {"M": 3, "P": 1}, on)
    tiles = Mapping.model_validate(plain.mapping.model_dump() | {"tiles": {"M0": 3}})
    result = executed(Experiment("by-hand", plain.cascade, on, tiles, plain.sizes, ()))
    assert result.points["Z"].existing == result.points["Z"].executed == 1
    assert words(result, "Z", "RF") == (1, 1)
    assert words(result, "Z", "LB") == (2, 1)
    assert words(result, "Z", "DRAM") == (0, 1)


@pytest.mark.parametrize("ask", [lambda one: simulate(one, "cycle"), bind, record_timeline])
def test_who_does_not_follow_conditions_refuses_them(ask: Callable[[Experiment], object]) -> None:
    with pytest.raises((IllegalMapping, ValueError), match=r"S has a condition \(m <= p\), which .* does not follow"):
        ask(causal([{"p": 2}, {"m": 2}]))


def test_a_reader_under_another_name_needs_the_whole() -> None:
    cascade = {
        "name": "named", "ranks": {"C": "", "P": "", "M": {"same": "P"}}, "inputs": {"X": ["C", "P"]}, "outputs": ["S"],
        "einsums": "H[c,p] = X[c,p] * X[c,p]\nS[m,p] = H[c,p] * H[c,m]",
    }  # fmt: skip
    tree = {
        "loops": ["p"],
        "body": [{"einsum": "H", "array": "PE", "loops": ["c"]}, {"einsum": "S", "array": "PE", "loops": ["m", "c"]}],
    }
    found = experiment_of(cascade, tree, {"C": 2, "P": 3, "M": 3}).problems
    assert [problem.message for problem in found] == [
        "Einsum 'S' reads 'H[c,m]' under another name of rank P inside the loop over 'p', in which Einsum 'H' still makes "
        "it: it needs the whole of it"
    ]


@pytest.mark.parametrize(
    "cascade", ["causal-attention-3pass", "sliding-attention", "grouped-attention", "packed-attention"]
)
def test_default_mappings_of_cascades_with_conditions(cascade: str) -> None:
    """They run, and execute no fewer points than exist; with steps of 256 x 256, most of those above the diagonal not."""
    base = load_experiment("fusemax-binding", {"model": "BERT", "seq_len": 1024, "batch": 1, "cascade": cascade,
                                               "architecture": "fusemax-cloud-vector", "mapping": "default"})  # fmt: skip
    points = simulate(base).points["QK"]
    if cascade == "packed-attention":
        assert points.existing is None  # documents decide
    else:
        assert points.existing is not None and points.existing <= points.executed
    if cascade == "causal-attention-3pass":
        assert points.existing == 12 * 64 * 1024 * 1025 // 2
        assert points.executed == 12 * 64 * 256 * 256 * 10


DOCS = Path(__file__).parents[1] / "docs" / "models.md"
ROW = re.compile(r"^\| (\d+) \| (\S+) \| (\S+) \| (\S+) \| (\S+) \|$", re.MULTILINE)


def test_the_table_of_causal_attention_is_what_the_engine_says() -> None:
    rows = ROW.findall(DOCS.read_text("utf-8").partition("| length | full, s | causal, s |")[2].partition("\n\n")[0])
    assert [int(length) for length, *_ in rows] == [1024, 16384, 65536, 262144, 1048576]
    for length, *shown in rows:
        cascades = ("attention-1pass", "causal-attention-1pass")
        found = [simulate(load_experiment("fusemax-binding", seq_len=int(length), cascade=name)) for name in cascades]
        numbers = [*(one.latency_s for one in found), *(one.energy_pj * 1e-12 for one in found)]
        assert shown == [f"{number:.4g}" for number in numbers]
