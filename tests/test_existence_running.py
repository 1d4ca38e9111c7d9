"""Running values under conditions: one-pass causal attention counted by hand, and in random mappings by an execution."""

import pytest

from mappings.types import Mapping
from sim import Experiment, SimulationResult, simulate
from tests.by_hand import small_machine
from tests.counted import words
from tests.oracle_regions import check_against_oracle, legal_experiment
from tests.oracle_skipping import SkippingRun
from tests.random_mappings import is_fused, shipped_cascade
from tests.random_regions import random_running_experiment
from tests.test_sim_oracle import differences, is_ragged

BOTH, COLUMNS = {"rows": "m0", "columns": "p"}, {"columns": "p"}


def leaf(einsum: str, spatial: dict[str, str], *loops: str) -> dict[str, object]:
    return {"einsum": einsum, "array": "PE", "loops": list(loops), "spatial": spatial}


def one_pass() -> SimulationResult:
    """4 queries and 4 keys in tiles of 2 x 2 on 2 x 2 elements, E = F = 1: key tiles inside a tile of queries. The buffer
    has what a tile of queries keeps, the keys, and what goes from Einsum to Einsum; scores stay in the registers.
    """
    cascade = shipped_cascade("causal-attention-1pass")
    keys = [
        leaf("QK", BOTH, "e"), leaf("LM", BOTH), leaf("RM", COLUMNS), leaf("SLN", BOTH), leaf("SLD", BOTH),
        leaf("PRM", COLUMNS), leaf("SPD", COLUMNS), leaf("RD", COLUMNS), leaf("SLNV", BOTH, "f"), leaf("SPNV", COLUMNS, "f"),
        leaf("RNV", COLUMNS, "f"),
    ]  # fmt: skip
    kept = {"GLB": ["K", "V", "LM", "SLD", "PRM", "SPD", "SLNV", "SPNV"], "RF": ["QK", "SLN"]}
    tree = {
        "loops": ["b", "h", {"p": 2}], "keep": {"GLB": ["Q", "RM", "RD", "RNV"]},
        "body": [{"loops": ["m1"], "keep": kept, "body": keys}, leaf("AV", COLUMNS, "f")],
    }  # fmt: skip
    data = {
        "name": "by-hand",
        "cascade": cascade.name,
        "tiles": {"M0": 2},
        "tree": tree,
        "schedule": {"kind": "sequential"},
    }
    sizes = {"B": 1, "H": 1, "E": 1, "F": 1, "M": 4, "P": 4}
    nouns = cascade, small_machine(), Mapping.model_validate(data)
    experiment = Experiment("by-hand", *nouns, tuple(sizes.items()), ())
    result = simulate(experiment)
    assert not differences(experiment, result, SkippingRun)
    return result


def test_points_of_one_causal_pass_by_hand() -> None:
    """Of 2 x 2 tiles that of the later keys for the earlier queries has no point: 3 steps, of 4 scores or 2 queries each."""
    points = {einsum: (one.existing, one.executed) for einsum, one in one_pass().points.items()}
    assert {points.pop(einsum) for einsum in ("QK", "LM", "SLN", "SLD", "SLNV")} == {(10, 12)}
    assert points.pop("AV") == (4, 4)
    assert set(points.values()) == {(6, 6)} and set(points) == {"RM", "PRM", "SPD", "RD", "SPNV", "RNV"}


# (tensor, memory): words read, written.
WORDS = {
    ("Q", "DRAM"): (4, 0), ("Q", "GLB"): (4, 4),  # 2 for each tile of queries, in place for its key tiles
    ("K", "DRAM"): (4, 0), ("K", "GLB"): (4, 4),  # the second tile of queries finds the first tile of keys
    ("V", "DRAM"): (4, 0), ("V", "GLB"): (4, 4),
    ("K", "RF"): (12, 8),  # each word of K to 2 columns; 12 points
    ("QK", "RF"): (36, 12),  # read by LM and SLN, and added to
    ("SLN", "RF"): (24, 12),  # read by SLD and SLNV
    ("LM", "GLB"): (6, 6), ("SLD", "GLB"): (6, 6), ("SLNV", "GLB"): (6, 6),  # 2 a step, one reader
    ("SPD", "GLB"): (6, 6), ("SPNV", "GLB"): (6, 6),
    ("PRM", "GLB"): (12, 6),  # read by SPD and SPNV
    ("RM", "GLB"): (4 * 6, 6),  # old by RM and PRM, new by SLN and PRM; the first old one is there
    ("RD", "GLB"): (6 + 4, 6), ("RNV", "GLB"): (6 + 4, 6),  # old by SPD or SPNV; the last, whoever made it, by AV
    ("AV", "DRAM"): (0, 4),
}  # fmt: skip


@pytest.mark.parametrize(("tensor", "memory"), WORDS)
def test_words_of_one_causal_pass_by_hand(tensor: str, memory: str) -> None:
    assert words(one_pass(), tensor, memory) == WORDS[tensor, memory]


def test_running_values_stay_where_they_are_made() -> None:
    """No step passes a value through the DRAM: what moves there is inputs and the result."""
    assert {name for name, moved in one_pass().traffic_by_tensor_bytes.items() if "DRAM" in moved} == set("QKV") | {
        "AV"
    }


# --- random mappings ------------------------------------------------------------------------------------------
SEEDS = range(1000, 1090)


@pytest.mark.parametrize("seed", SEEDS)
def test_words_and_points_of_random_mappings(seed: int) -> None:
    check_against_oracle(random_running_experiment, seed)


def test_random_mappings_are_worth_testing() -> None:
    legal = [one for seed in SEEDS if (one := legal_experiment(random_running_experiment, seed)) is not None]
    assert len(legal) >= 20
    assert sum(map(is_fused, legal)) >= 5 and sum(map(is_ragged, legal)) >= 5
    steps = [simulate(experiment).points["RM"] for experiment in legal]
    extents = [dict(experiment.sizes) for experiment in legal]
    skipping = [one.executed < by["P"] * by.get("B", 1) * -(-by["M"] // int(x.symbols["M0"]))
                for one, by, x in zip(steps, extents, legal, strict=True)]  # fmt: skip
    assert sum(skipping) >= 8  # steps that pass a value on
