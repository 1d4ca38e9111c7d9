"""Laws that hold whatever the numbers: more is never worse, parts add up, two spellings of one design agree."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from arch.types import Architecture
from einsums.counts import compulsory_traffic_words, points
from einsums.types import Cascade
from einsums.workload import Workload
from mappings.types import Mapping
from sim import Experiment, IllegalMapping, SimulationResult, load_experiment, simulate, simulate_all
from tests.by_hand import PRODUCT, experiment_of, small_machine
from tests.random_mappings import random_experiment

ROOT = Path(__file__).parents[1]
ATTENTION = ("unfused", "flat", "fusemax-cascade", "fusemax-architecture", "fusemax-binding")
LINEAR = ("linear-flat", "linear-fusemax")
SEEDS = range(0, 120, 2)
fixed = settings(derandomize=True, deadline=None, max_examples=60)


@cache
def sample() -> tuple[Experiment, ...]:
    """Shipped designs at their own size, and random ones."""
    random = [e for e in map(random_experiment, SEEDS) if not e.problems]
    legal = [e for e in random if is_legal(e)]
    assert len(legal) >= 40
    return (*(load_experiment(name) for name in (*ATTENTION, *LINEAR)), *legal)


def is_legal(experiment: Experiment) -> bool:
    try:
        simulate(experiment)
    except IllegalMapping:
        return False
    return True


def with_bandwidth(experiment: Experiment, bandwidth: str) -> Experiment:
    data = experiment.architecture.model_dump(exclude_none=True)
    components = [
        {**c, "bandwidth": bandwidth} if c["kind"] == "memory" and "parent" not in c else c for c in data["components"]
    ]
    return replace(experiment, architecture=Architecture.model_validate({**data, "components": components}))


def comparable(result: SimulationResult) -> str:
    document = {key: value for key, value in result.to_json().items() if key != "experiment"}
    return json.dumps(document)


# --- more is never worse ------------------------------------------------------------------------------------
def test_doubling_the_bandwidth_never_slows() -> None:
    slower = 0
    for experiment in sample():
        designs = simulate_all([with_bandwidth(experiment, f"{2**n} MB/s") for n in range(4, 30, 5)])
        cycles = [point.cycles for point in designs]
        assert cycles == sorted(cycles, reverse=True), experiment.name
        slower += cycles[0] > cycles[-1]
    assert slower >= 40  # the slowest memory is indeed a limit


@pytest.mark.parametrize("name", ["fusemax-binding", "fusemax-architecture", "linear-flat", "linear-fusemax"])
def test_a_larger_buffer_never_moves_more(name: str) -> None:
    """Mappings that fit themselves to the buffer, in tiles that divide each other."""
    traffic = []
    for exponent in range(2, 9):
        size = f"{2**exponent} MiB"
        result = simulate(load_experiment(name, {"seq_len": 16384, "architecture.components.GLB.size": size}))
        traffic.append(sum(result.traffic_bytes["DRAM"].values()))
    assert traffic == sorted(traffic, reverse=True)
    assert traffic[0] > traffic[-1]


def test_more_elements_never_slow() -> None:
    for experiment in sample()[len(ATTENTION) + len(LINEAR) :]:
        data = experiment.architecture.model_dump(exclude_none=True)
        grown = [
            {**c, "rows": 2 * c["rows"], "columns": 2 * c["columns"]} if c["kind"] == "array" else c
            for c in data["components"]
        ]
        larger = replace(experiment, architecture=Architecture.model_validate({**data, "components": grown}))
        assert simulate(larger).cycles <= simulate(experiment).cycles


# --- parts add up -------------------------------------------------------------------------------------------
def test_energy_is_the_sum_over_components_and_over_einsums() -> None:
    for experiment in sample():
        result = simulate(experiment)
        assert sum(result.energy_by_component_pj.values()) == result.energy_pj
        assert sum(result.energy_by_einsum_pj.values()) == pytest.approx(result.energy_pj, rel=1e-12)


def test_traffic_is_the_sum_over_tensors() -> None:
    for experiment in sample():
        result = simulate(experiment)
        for memory, moved in result.traffic_bytes.items():
            for direction, total in moved.items():
                parts = [by[memory][direction] for by in result.traffic_by_tensor_bytes.values() if memory in by]
                assert sum(parts) == pytest.approx(total, rel=1e-12), (experiment.name, memory, direction)


def test_busy_arrays_and_resources_add_up() -> None:
    for experiment in sample():
        result = simulate(experiment)
        assert sum(result.cycles_by_resource.values()) == pytest.approx(result.cycles, rel=1e-12)
        for array, share in result.utilization.items():
            assert sum(result.utilization_by_einsum[array].values()) == pytest.approx(share, rel=1e-12)
            assert share <= 1 + 1e-12


# --- bounds -------------------------------------------------------------------------------------------------
def workload(experiment: Experiment) -> Workload:
    inner = {p: int(experiment.symbols[p]) for partition in experiment.cascade.partitions for p in partition.inner}
    word_bits = int(experiment.architecture.word_bits)
    data = {"cascade": experiment.cascade, "bits": word_bits, "sizes": dict(experiment.sizes) | inner}
    return Workload.model_validate(data)


def test_at_least_the_compulsory_traffic() -> None:
    met = 0
    for experiment in sample():
        moved = sum(simulate(experiment).traffic_bytes[experiment.architecture.root.name].values())
        least = compulsory_traffic_words(workload(experiment)) * experiment.architecture.word_bits / 8
        assert moved >= least * (1 - 1e-12), experiment.name
        met += moved <= least * (1 + 1e-12)
    assert met >= 3  # the bound is reached: three and more designs move nothing twice


def test_no_faster_than_the_roofline() -> None:
    for experiment in sample():
        result, sizes = simulate(experiment), workload(experiment)
        for array in experiment.architecture.arrays:
            work = 0.0
            for leaf in experiment.tree.leaves:
                einsum = experiment.cascade.einsum(leaf.einsum)
                names = (*einsum.map_operators, *((einsum.reduction.operator,) if einsum.reduction else ()))
                if leaf.array == array.name:
                    work += points(sizes, leaf.einsum) * array.cycles_per_point(names)
            assert result.cycles >= work / array.pes * (1 - 1e-12), (experiment.name, array.name)
        for memory in experiment.architecture.memories:
            if memory.bandwidth_bits_per_s is not None:
                seconds = sum(result.traffic_bytes[memory.name].values()) * 8 / memory.bandwidth_bits_per_s
                assert result.latency_s >= seconds * (1 - 1e-12), (experiment.name, memory.name)


def product(
    loops: Sequence[dict[str, str] | str], sizes: dict[str, int], machine: Architecture | None = None
) -> Experiment:
    leaf = {"einsum": "Z", "array": "PE", "loops": list(loops), "spatial": {"rows": "m", "columns": "n"}}
    return experiment_of(PRODUCT, {"keep": {"GLB": ["A"]}, "body": [leaf]}, sizes, machine)


def test_a_buffer_fits_at_capacity_and_not_one_word_below() -> None:
    sizes = {"K": 5, "M": 3, "N": 4}
    loops: list[dict[str, str] | str] = [{"m": "2"}, {"n": "2"}, "k"]
    for words, fits in ((15, True), (14, False)):
        experiment = product(loops, sizes, small_machine(size=f"{words * 16} bit"))
        if fits:
            assert simulate(experiment).footprint_bytes["GLB"] == 30
            continue
        with pytest.raises(IllegalMapping) as caught:
            simulate(experiment)
        messages = [problem.message for problem in caught.value.problems]
        assert messages == ["'GLB' holds 28 B but the tiles it keeps need 30 B: A 30 B"]


def test_a_side_carries_what_it_has_and_not_one_more() -> None:
    sizes = {"K": 5, "M": 3, "N": 4}
    simulate(product([{"m": "2"}, {"n": "2"}, "k"], sizes))
    with pytest.raises(IllegalMapping) as caught:
        simulate(product([{"m": "3"}, {"n": "2"}, "k"], sizes))
    messages = [problem.message for problem in caught.value.problems]
    assert messages == ["Einsum 'Z' does not fit: 3 coordinates of 'm' on 2 rows of 'PE'"]


# --- two spellings of one design ----------------------------------------------------------------------------
@fixed
@given(st.integers(1, 40), st.integers(1, 9), st.integers(1, 9), st.integers(2, 5), st.integers(1, 4))
def test_splitting_a_loop_leaves_the_steps(m: int, n: int, k: int, inner: int, factor: int) -> None:
    """One loop over k in steps of t2, or one in steps of t1 = factor * t2 around it."""
    once: list[dict[str, str] | str] = [{"m": "2"}, {"n": "2"}, {"k": str(inner)}, "k"]
    twice = [*once[:2], {"k": str(inner * factor)}, *once[2:]]
    results = [simulate(product(loops, {"K": k, "M": m, "N": n})) for loops in (once, twice)]
    assert results[0].busy_cycles_by_einsum == results[1].busy_cycles_by_einsum
    assert results[0].traffic_by_tensor_bytes == results[1].traffic_by_tensor_bytes
    assert results[0].busy_cycles_by_einsum["Z"] == -(-m // 2) * -(-n // 2) * k


@pytest.mark.parametrize("name", ATTENTION)
def test_everything_is_linear_in_the_batch(name: str) -> None:
    one, many = (simulate(load_experiment(name, {"batch": batch, "seq_len": 2048})) for batch in (1, 7))
    assert many.cycles == pytest.approx(7 * one.cycles, rel=1e-12)
    assert many.energy_pj == pytest.approx(7 * one.energy_pj, rel=1e-12)
    assert many.footprint_bytes == one.footprint_bytes
    for memory, moved in one.traffic_bytes.items():
        for direction, moved_bytes in moved.items():
            assert many.traffic_bytes[memory][direction] == pytest.approx(7 * moved_bytes, rel=1e-12)


NEW_NAMES = {
    "Q": "QUERY", "K": "KEY", "V": "VALUE", "QK": "SCORE", "LM": "TOP", "RM": "BEST", "SLN": "WEIGHT", "SLD": "MASS",
    "SLNV": "PART", "PRM": "FIX", "SPD": "OLDMASS", "RD": "SUM", "SPNV": "OLDPART", "RNV": "TOTAL", "AV": "RESULT",
    "M": "Y", "M1": "Y1", "M0": "Y0", "m1": "y1", "m0": "y0", "E": "D", "e": "d", "F": "G", "f": "g", "B": "A", "b": "a",
}  # fmt: skip


def renamed(text: str) -> str:
    return re.sub(r"\b[A-Za-z]\w*\b", lambda word: NEW_NAMES.get(word[0], word[0]), text)


def test_names_mean_nothing() -> None:
    """Every tensor, rank and rank variable of the 1-pass cascade and its mapping called something else."""
    experiment = load_experiment("fusemax-binding", {"seq_len": 4000})
    texts = [
        (ROOT / path).read_text()
        for path in ("einsums/catalog/attention-1pass.yaml", "mappings/catalog/fusemax-binding.yaml")
    ]
    cascade, mapping = (yaml.safe_load(re.sub(r"#.*", "", renamed(text))) for text in texts)
    changed = replace(
        experiment,
        cascade=Cascade.model_validate(cascade),
        mapping=Mapping.model_validate(mapping),
        sizes=tuple((NEW_NAMES.get(rank, rank), size) for rank, size in experiment.sizes),
    )
    assert {e.name for e in changed.cascade.einsums}.isdisjoint(e.name for e in experiment.cascade.einsums)
    assert comparable(simulate(changed)) == renamed_keys(comparable(simulate(experiment)))


def renamed_keys(text: str) -> str:
    def walk(value: Any) -> Any:
        return {NEW_NAMES.get(k, k): walk(v) for k, v in value.items()} if isinstance(value, dict) else value

    return json.dumps(walk(json.loads(text)))


def test_a_batch_gives_what_each_design_gives_alone() -> None:
    lengths = (512, 1000, 5000, 65536)
    mixed = [load_experiment(name, {"seq_len": length}) for length in lengths for name in (*ATTENTION, *LINEAR)]
    mixed += sample()[len(ATTENTION) + len(LINEAR) :]
    together = [comparable(result) for result in simulate_all(mixed)]
    assert together == [comparable(simulate(experiment)) for experiment in mixed]
    assert [comparable(result) for result in simulate_all(mixed[::-1])] == together[::-1]


@pytest.mark.parametrize("name", ["fusemax-binding", "fusemax-architecture"])
def test_odd_sizes_are_exact(name: str) -> None:
    """5000 tokens, 24 heads of 80, on 96 x 160 elements: nothing divides, every multiplication is counted."""
    odd = {
        "seq_len": 5000, "batch": 3, "model.heads": 24, "model.head_size": 80, "model.hidden": 1920,
        "architecture.components.PE2D.rows": 96, "architecture.components.PE2D.columns": 160,
        "architecture.components.PE1D.columns": 160,
    }  # fmt: skip
    experiment = load_experiment(name, odd)
    result, sizes = simulate(experiment), workload(experiment)
    products = 3 * 24 * 5000 * 5000 * 80
    assert result.traffic_by_tensor_bytes["Q"]["RF2D"]["read"] == 2 * products
    assert result.traffic_by_tensor_bytes["V"]["RF2D"]["read"] == 2 * products
    assert result.busy_cycles_by_einsum["QK"] == 3 * 24 * 80 * -(-5000 // 96) * -(-5000 // 160)
    for leaf in experiment.tree.leaves:
        array = experiment.architecture.array(leaf.array)
        einsum = experiment.cascade.einsum(leaf.einsum)
        names = (*einsum.map_operators, *((einsum.reduction.operator,) if einsum.reduction else ()))
        counted = result.utilization_by_einsum[leaf.array][leaf.einsum] * array.pes * result.cycles
        assert counted == pytest.approx(points(sizes, leaf.einsum) * array.cycles_per_point(names), rel=1e-12)


PROGRAM = """
import json
from sim import load_experiment, simulate
results = [simulate(load_experiment(name, {"seq_len": 700})) for name in %r]
print(json.dumps([{k: v for k, v in r.to_json().items() if k != "experiment"} for r in results]))
"""


def test_the_same_without_compilation() -> None:
    variables = {**os.environ, "NUMBA_DISABLE_JIT": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", PROGRAM % (ATTENTION,)]
    done = subprocess.run(command, env=variables, cwd=ROOT, capture_output=True, text=True, check=True)
    compiled = [comparable(simulate(load_experiment(name, {"seq_len": 700}))) for name in ATTENTION]
    assert [json.dumps(document) for document in json.loads(done.stdout)] == compiled
