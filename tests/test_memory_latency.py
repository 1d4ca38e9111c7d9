"""The latency of a memory: a read after a pause waits for its first word, in the tile-level engine."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from arch.types import Architecture
from sim.cycle.answer import DesignTiming, design_of, time_design
from sim.design.experiment import stack
from sim.engine.analytical import evaluate
from sim.load.nouns import load_dram
from sim.lower.lowering import lower
from sim.simulation.flow import simulate
from tests.by_hand import PRODUCT, experiment_of, small_machine
from tests.cycle_laws import run as law_run
from tests.law_designs import law_experiment
from tests.small_design import run, write_design

TILES = 6  # of A
SPARE = "1 KiB"  # room for two tiles of A beside B and Z


def machine(**of: dict[str, Any]) -> Architecture:
    """The machine of hand counts with more keys of its components."""
    data = small_machine().model_dump(mode="json", by_alias=True)
    for component in data["components"]:
        component |= of.get(component["name"], {})
    return Architecture.model_validate(data)


def timed(copies: int = 1, **of: dict[str, Any]) -> DesignTiming:
    """Z[m,n] = A[k,m] B[k,n] over tiles of 8 m, on 2 x 2 elements; B and Z stay in the buffer."""
    leaf = {"einsum": "Z", "array": "PE", "loops": [{"m": "2"}, "k"], "spatial": {"rows": "m", "columns": "n"}}
    kept = {"tensor": "A", "copies": copies}
    inner = {"loops": [{"m": "8"}], "keep": {"GLB": [kept]}, "body": [leaf]}
    tree = {"keep": {"GLB": ["B", "Z"]}, "body": [inner]}
    design = experiment_of(PRODUCT, tree, {"K": 16, "M": 8 * TILES, "N": 2}, machine(**of))
    assert not design.problems, design.problems
    tables = lower(design.structure, stack([design]))
    return time_design(design_of(design, tables, evaluate(tables)))


@pytest.mark.parametrize(
    "latency", [{"latency": "30 ns"}, {"latency_cycles": 30}, {"latency": "29.2 ns", "latency_cycles": 7}]
)
def test_tiles_filled_one_at_a_time_wait_each(latency: dict[str, Any]) -> None:
    """With room for one tile of A, memory pauses while it is used: each waits. 29.2 cycles are 30."""
    room = {"GLB": {"size": "640 B"}}  # A 256 B, B 64 B, Z 192 B
    plain, late = timed(**room), timed(DRAM=latency, **room)
    assert late.cycles - plain.cycles == 30 * TILES  # the first one hides that of B, right before it
    assert late.stalls["PE"] == plain.stalls["PE"] | {"dram": plain.stalls["PE"]["dram"] + 30 * TILES}


@pytest.mark.parametrize(
    "of",
    [
        {"GLB": {"size": SPARE}},  # filled ahead: all but the first words come while the array works
        {"DRAM": {"bandwidth": "2 GB/s"}},  # never a pause: a word a cycle
        {},  # everything at once
    ],
)
def test_a_latency_hides_behind_the_transfer_before_or_the_work(of: dict[str, dict[str, Any]]) -> None:
    late = {**of, "DRAM": of.get("DRAM", {}) | {"latency_cycles": 30}}
    assert timed(**late).cycles - timed(**of).cycles == 30


def test_a_tile_that_leaves_waits_for_its_first_word() -> None:
    assert timed(GLB={"latency_cycles": 7}).cycles - timed().cycles == 7  # Z; nothing else is read from the buffer
    assert timed(DRAM={"latency_cycles": 30}, GLB={"latency_cycles": 7}).cycles - timed().cycles == 37


def test_a_latency_comes_on_top_of_that_of_a_dram() -> None:
    dram = {"timing": load_dram("hbm2-2000").model_dump(mode="json", by_alias=True)}
    room = {"GLB": {"size": "640 B"}}  # one tile of A at a time
    plain, late = timed(DRAM=dram, **room), timed(DRAM=dram | {"latency": "50 ns"}, **room)
    assert late.cycles - plain.cycles == 50 * TILES


def test_less_latency_is_never_slower() -> None:
    found = [
        timed(DRAM={"latency_cycles": n}, GLB={"size": "640 B", "latency_cycles": n}).cycles for n in (1, 5, 40, 200)
    ]
    assert found == sorted(found)


def test_the_analytical_engine_waits_for_the_first_word_once() -> None:
    """Before it no array has anything to do; it is a wait for memory, whatever else sets the time."""
    leaf = {"einsum": "Z", "array": "PE", "loops": ["m", "k"], "spatial": {"columns": "n"}}
    tree = {"keep": {"GLB": ["A"]}, "body": [leaf]}
    plain, late, later = (
        simulate(experiment_of(PRODUCT, tree, {"K": 4, "M": 8, "N": 2}, machine(DRAM=dram)))
        for dram in ({}, {"latency": "11.2 ns"}, {"latency": "11.2 ns", "latency_cycles": 1000})
    )
    assert (late.cycles, later.cycles) == (plain.cycles + 12, plain.cycles + 1000)
    assert (plain.bound_by, late.bound_by, later.bound_by) == ("PE", "PE", "DRAM")
    assert later.cycles_by_resource == plain.cycles_by_resource | {"DRAM": 1000.0}
    assert later.leakage_by_component_pj == plain.leakage_by_component_pj


@pytest.mark.parametrize(
    ("einsums", "kept", "waits"),
    [
        ("Z[n] = A[n] * A[n]", ["A"], True),
        ("Z[n] = A[n] * A[n]", [], False),  # word by word: slots of the cycle engine go on while words come
        ("Y[n] = A[n] * A[n]\nZ[n] = Y[n] * Y[n]", ["A"], True),  # what is made of it is late as well
        ("Z[n+1] = Z[n] * A[n]", ["A"], True),
        ("Z[n+1] = Z[n] + Z[n]", [], False),  # begins with a value that comes from nowhere
    ],
)
def test_who_waits_for_a_first_word(einsums: str, kept: list[str], waits: bool) -> None:
    running = "Z[n+1]" in einsums
    cascade = {"name": "c", "ranks": {"N": ""}, "inputs": {"A": ["N"]} if "A[" in einsums else {}, "einsums": einsums,
               "outputs": ["Z"], "init": {"Z": 1} if running else {}}  # fmt: skip
    names = ["Y", "Z"] if "Y[" in einsums else ["Z"]
    tree = {"loops": ["n"], "keep": {"GLB": kept}, "body": [{"einsum": name, "array": "PE"} for name in names]}
    plain, late = (
        simulate(experiment_of(cascade, tree, {"N": 6}, machine(DRAM=dram))) for dram in ({}, {"latency_cycles": 50})
    )
    assert late.cycles - plain.cycles == 50 * waits


@pytest.mark.parametrize("first", range(0, 60, 20))
def test_nothing_runs_before_the_first_word(first: int) -> None:
    """On random designs: every array of the cycle engine is without work for as long; the analytical engine, which adds
    just that, stays below where it was.
    """
    waiting = 0
    for seed in range(first, first + 20):
        experiment = law_experiment(seed)
        plain = law_run(experiment) if experiment is not None else None
        for cycles in (1, 37, 1000) if plain is not None else ():
            data = plain.experiment.architecture.model_dump(mode="json", by_alias=True)
            root = next(c for c in data["components"] if c["name"] == plain.experiment.architecture.root.name)
            root["latency_cycles"] = cycles
            late = law_run(replace(plain.experiment, architecture=Architecture.model_validate(data)))
            assert late is not None
            counted, before = (float(ran.counted.evaluation.latency_cycles[0]) for ran in (late, plain))
            waits = late.counted.tables.shape.first_word >= 0 and not late.counted.evaluation.spilled.any()
            waiting += waits
            assert counted == pytest.approx(before + cycles * waits), f"seed {seed}"
            if waits:
                for array, lost in late.timing.stalls.items():
                    assert sum(lost.values()) >= cycles, f"seed {seed}: '{array}'"
            assert counted <= late.timing.cycles or before > plain.timing.cycles, f"seed {seed}"
    assert waiting > 5


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("latency: 30", "$.components.DRAM.latency: expected a time such as '10 ns', got 30, which has no unit"),
        ("latency_cycles: 0", "$.components.DRAM.latency_cycles: expected a whole number of at least 1, got 0"),
        ("latancy: 30 ns", "$.components.DRAM.latancy: unknown key 'latancy' (did you mean 'latency'?)"),
    ],
)
def test_a_wrong_latency_is_refused(text: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_design(tmp_path, {"machine.yaml": [("bandwidth: 16 GiB/s", f"bandwidth: 16 GiB/s, {text}")]})
    assert run(["check", "machine.yaml"]) == (1, f"machine.yaml:7: {message}\n", "")
