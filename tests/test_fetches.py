"""When tiles come and go in the tile-level engine: nothing lost, nothing early, ahead across nests, in pieces, and as RTL has it."""

import csv
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from arch.types import Architecture
from mappings.types import Mapping
from sim.cycle.answer import DesignTiming, design_of, time_design
from sim.cycle.dram import seconds_per_byte
from sim.design.assemble import load_experiment
from sim.design.experiment import Experiment, stack
from sim.dram.requests import simulate_requests, stream_addresses
from sim.engine.analytical import Evaluation, evaluate
from sim.engine.tables import Tables
from sim.load.nouns import load_dram
from sim.lower.lowering import lower
from sim.simulation.flow import simulate
from tests.by_hand import PRODUCT, experiment_of, small_machine
from tests.cycle_designs import timed_experiment
from tests.cycle_laws import run, too_fast, words_differ

RTL = Path(__file__).parent / "data" / "rtl"


def parts(experiment: Experiment) -> tuple[Tables, Evaluation]:
    tables = lower(experiment.structure, stack([experiment]))
    return tables, evaluate(tables)


def timed(experiment: Experiment, fast: bool = True) -> DesignTiming:
    assert not experiment.problems, experiment.problems
    return time_design(design_of(experiment, *parts(experiment)), fast)


def machine(dram: dict[str, Any], glb: dict[str, Any] | None = None, side: int = 1) -> Architecture:
    """The machine of hand counts with `side` x `side` elements; a GB/s is half a word a cycle."""
    data = small_machine(**(glb or {})).model_dump(mode="json", by_alias=True)
    for component in data["components"]:
        if component["name"] == "DRAM":
            component |= dram
        elif component["name"] == "PE":
            component |= {"rows": side, "columns": side}
    return Architecture.model_validate(data)


def scheduled(experiment: Experiment, **schedule: Any) -> Experiment:
    mapping = experiment.mapping.model_dump(mode="json", by_alias=True) | {"schedule": schedule}
    return Experiment(
        experiment.name,
        experiment.cascade,
        experiment.architecture,
        Mapping.model_validate(mapping),
        experiment.sizes,
        (),
    )


TWO_PRODUCTS = {
    "name": "two", "ranks": dict.fromkeys("MKLN", ""), "inputs": {"A": ["M", "K"], "B": ["K", "L"], "D": ["L", "N"]},
    "outputs": ["E"], "einsums": "C[m,l] = A[m,k] * B[k,l]\nE[m,n] = C[m,l] * D[l,n]",
}  # fmt: skip
SIZES = {"M": 8, "K": 4, "L": 4, "N": 4}


def two_products(kept: list[str], dram: dict[str, Any], glb: dict[str, Any] | None = None) -> Experiment:
    """Two products in one loop over tiles of m, each in two steps; the buffer keeps `kept` above both."""
    first, second = ([tensor for tensor in tensors if tensor not in kept] for tensors in ("AB", "D"))
    body: list[dict[str, Any]] = [
        {
            "loops": [{"k": "2"}],
            "keep": {"GLB": first},
            "body": [{"einsum": "C", "array": "PE", "loops": ["k", "m", "l"]}],
        },
        {
            "loops": [{"l": "2"}],
            "keep": {"GLB": second},
            "body": [{"einsum": "E", "array": "PE", "loops": ["l", "m", "n"]}],
        },
    ]
    tree = {"loops": [{"m": "2"}], "keep": {"GLB": kept}, "body": body}
    return experiment_of(TWO_PRODUCTS, tree, SIZES, machine(dram, glb))


# --- nothing lost -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kept", [["C", "E"], ["C", "E", "D"], ["C", "E", "D", "A"], ["C", "D", "E", "A", "B"]])
@pytest.mark.parametrize("transfers", ["overlapped", "per-phase"])
def test_tiles_above_several_nests_take_their_time(kept: list[str], transfers: str) -> None:
    # A word takes 40 cycles: A and E 32 words each, B and D 16, again for each of 4 tiles of m if they are not kept above.
    read = 32 + 16 * (1 if "B" in kept else 4) + 16 * (1 if "D" in kept else 4)
    experiment = scheduled(two_products(kept, {"bandwidth": "50 MB/s"}), kind="sequential", transfers=transfers)
    counted = simulate(experiment).traffic_bytes["DRAM"]
    assert counted == {"read": 2 * read, "write": 2 * 32}
    assert timed(experiment).cycles >= 40 * (read + 32)


@pytest.mark.parametrize("first", range(0, 320, 80))
def test_words_served_are_words_counted(first: int) -> None:
    ran = 0
    for seed in range(first, first + 80):
        experiment = timed_experiment(seed)
        found = run(experiment) if experiment is not None else None
        if found is None:
            continue
        assert list(words_differ(found)) == list(too_fast(found)) == [], f"seed {seed}"
        ran += 1
    assert ran >= 30


def test_sums_that_come_back_are_words_and_those_that_begin_are_none() -> None:
    # Z[m,n] of 2 x 3 words, k in two halves outside m: each row leaves twice and comes back once.
    leaf = {"einsum": "Z", "array": "PE", "loops": ["k", "n"]}
    tree = {"loops": [{"k": "2"}, "m"], "keep": {"GLB": ["A", "B", "Z"]}, "body": [leaf]}
    timing = timed(experiment_of(PRODUCT, tree, {"K": 4, "M": 2, "N": 3}, machine({"bandwidth": "2 GB/s"})))
    tiles = [tile.keep.keep.tensor for tile in timing.runs[0].named.tiles]
    moved = dict(zip(tiles, timing.runs[0].run.words.tolist(), strict=False))
    # Each half of B stays for both rows; Z leaves twice and comes back once.
    assert moved == {"A": [4 * 2, 0], "B": [4 * 3, 0], "Z": [6, 2 * 6]}


# --- nothing early ------------------------------------------------------------------------------------------


def test_a_finished_tile_is_not_fetched_before_it_exists() -> None:
    tree = {"keep": {"GLB": ["Z", "A", "B"]}, "body": [{"einsum": "Z", "array": "PE", "loops": ["k", "m", "n"]}]}
    timing = timed(experiment_of(PRODUCT, tree, {"K": 3, "M": 4, "N": 5}, machine({"bandwidth": "2 GB/s"})))
    moved = {
        tile.keep.keep.tensor: timing.runs[0].run.moved[n].tolist() for n, tile in enumerate(timing.runs[0].named.tiles)
    }
    assert moved == {"Z": [0, 1], "A": [1, 0], "B": [1, 0]}
    # A 12 words, B 15, then 60 points, then Z leaves in 20 cycles.
    assert timing.cycles == 12 + 15 + 60 + 20


# --- ahead, and in pieces -----------------------------------------------------------------------------------


def test_tiles_of_the_next_nest_come_while_the_array_works() -> None:
    # For each of 4 tiles of m: two steps with 4 words of A and 8 of B, 16 points; two with 8 of D, 16 points; 8 words of E.
    links = {"read_bandwidth": "2 GB/s", "write_bandwidth": "2 GB/s"}
    ahead = two_products(["C", "E"], links)
    apart = scheduled(ahead, kind="sequential", transfers="per-phase")
    # The array waits for the first A and B; then all that a step needs comes in the one before, and E leaves beside others.
    assert timed(ahead).cycles == timed(ahead, fast=False).cycles == 12 + 4 * 64 + 8
    # Without: each product waits for its first step's words, and E leaves before the next tile begins.
    assert timed(apart).cycles == timed(apart, fast=False).cycles == 4 * (12 + 32 + 8 + 32 + 8)


def test_without_room_the_next_nest_waits() -> None:
    # C and E take 8 words, two places of A, B and D 8 + 16 + 16: with one word less, D comes when C is complete.
    links = {"read_bandwidth": "2 GB/s", "write_bandwidth": "2 GB/s"}
    enough = timed(two_products(["C", "E"], links, glb={"size": "112 B"}))
    less = two_products(["C", "E"], links, glb={"size": "110 B"})
    assert not less.problems and timed(less).cycles == timed(less, fast=False).cycles > enough.cycles


@pytest.mark.parametrize(
    ("glb", "cycles"), [({}, 8 + 4 + 1), ({"piece": 1}, 4 + 1 + 4 + 1), ({"piece": 2}, 4 + 2 + 4 + 1)]
)
def test_pieces_are_used_as_they_arrive(glb: dict[str, Any], cycles: int) -> None:
    # Four words of A, then four of B, a word a cycle; a point for each pair, and Z leaves in one cycle.
    tree = {"keep": {"GLB": ["A", "B", "Z"]}, "body": [{"einsum": "Z", "array": "PE", "loops": ["k", "m", "n"]}]}
    experiment = experiment_of(PRODUCT, tree, {"K": 4, "M": 1, "N": 1}, machine({"bandwidth": "2 GB/s"}, glb))
    timing = timed(experiment)
    assert timing.cycles == timed(experiment, fast=False).cycles == cycles
    assert timing.busy == {"Z": 4} and sum(timing.stalls["PE"].values()) == cycles - 4


def test_a_reloaded_tile_comes_in_every_iteration() -> None:
    def read(reload: bool) -> tuple[int, int]:
        kept = {"GLB": [{"tensor": "A"}, {"tensor": "B", "reload": reload}, {"tensor": "Z"}]}
        tree = {"loops": ["m"], "keep": kept, "body": [{"einsum": "Z", "array": "PE", "loops": ["k", "n"]}]}
        experiment = experiment_of(PRODUCT, tree, {"K": 3, "M": 4, "N": 5}, machine({"bandwidth": "2 GB/s"}))
        served = timed(experiment).runs[0].run.words[:3, 0].sum()
        return int(simulate(experiment).traffic_bytes["DRAM"]["read"]) // 2, int(served)

    assert read(False) == (12 + 15, 12 + 15)
    assert read(True) == (12 + 4 * 15, 12 + 4 * 15)


def test_a_small_transfer_waits_for_its_first_word() -> None:
    # 16 words of A and of B in one burst each; alone a burst takes what the DRAM model says, in a stream its share of it.
    timing = load_dram("hbm2-2000")
    tree = {"keep": {"GLB": ["A", "B", "Z"]}, "body": [{"einsum": "Z", "array": "PE", "loops": ["k", "m", "n"]}]}
    experiment = experiment_of(
        PRODUCT, tree, {"K": 16, "M": 1, "N": 1}, machine({"timing": timing.model_dump(by_alias=True)})
    )
    burst = {writes: ceil(32 * seconds_per_byte(timing, writes) * 10**9) for writes in (False, True)}
    alone = simulate_requests(timing, stream_addresses(timing, 32), False).cycles / timing.clock_hz * 1e9
    found = timed(experiment)
    fill, drain, *_ = found.runs[0].run.served[0].tolist()
    assert timing.burst_bytes == 32 and alone > 20 and burst[False] < 3
    assert abs(fill - (alone + burst[False])) < 2  # B's burst comes behind A's
    assert found.cycles == fill + 16 + drain and drain > 10  # Z finds the DRAM idle again


# --- RTL ----------------------------------------------------------------------------------------------------


def ranks(values: list[float]) -> np.ndarray:
    """Places in order, those of equal values averaged."""
    array = np.array(values)
    return np.array([(array < value).sum() + ((array == value).sum() - 1) / 2 for value in array])


def rank_correlation(ours: list[float], theirs: list[float]) -> float:
    return float(np.corrcoef(ranks(ours), ranks(theirs))[0, 1])


def test_two_fused_products_take_the_time_of_their_rtl() -> None:
    errors: list[float] = []
    by_workload: dict[str, list[tuple[float, float]]] = {}
    by_height: dict[tuple[str, str], list[tuple[float, float]]] = {}
    with (RTL / "fused_products.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 50
    for row in rows:
        changes = {
            "ranks": {r: int(row[r]) for r in "MLKN"},
            "parameters": {t: int(row[t]) for t in ("mM", "mK", "mL2")},
        }
        found = simulate(load_experiment(str(RTL / "experiment.yaml"), changes), "cycle")
        assert found.traffic_bytes["MEM"]["read"] * 8 == int(row["mem_to_buf"])
        assert found.traffic_bytes["MEM"]["write"] * 8 == int(row["buf_to_mem"])
        pair = (found.cycles, float(row["cycles"]))
        errors.append(abs(pair[0] / pair[1] - 1))
        by_workload.setdefault(row["L"], []).append(pair)
        by_height.setdefault((row["L"], row["mM"]), []).append(pair)
    assert np.mean(errors) < 0.015 and max(errors) < 0.07  # 1.41% and 6.9%
    assert all(rank_correlation(*map(list, zip(*pairs, strict=True))) > 0.95 for pairs in by_workload.values())
    assert all(rank_correlation(*map(list, zip(*pairs, strict=True))) > 0.7 for pairs in by_height.values())
