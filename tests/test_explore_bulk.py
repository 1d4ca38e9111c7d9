"""Oracle: bulk evaluation equals `simulate` to the last bit, for random points, reasons included."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sim import IllegalMapping, InputError, load_experiment, simulate
from sim.explore.bulk import Chunk, evaluate_points, value_names
from sim.explore.load_sweep import load_plan
from sim.explore.plan import Plan
from sim.explore.search import random_points
from sim.lower.machine import area_by_component_um2
from sim.simulation.result import SimulationResult
from tests.small_design import write_design
from tests.small_sweep import MACHINE, SWEEP, plan_of


def reported(result: SimulationResult, name: str) -> float:
    """A metric as a result has it."""
    quantity, _, component = name.partition(".")
    match quantity:
        case "latency_s" | "cycles":
            return float(getattr(result, quantity))
        case "leakage_pj" | "einsum_energy_pj":
            found = result.leakage_by_component_pj if quantity == "leakage_pj" else result.energy_by_einsum_pj
            return found.get(component, 0.0) if component else float(sum(found.values()))
        case "energy_pj":
            return result.energy_by_component_pj[component] if component else result.energy_pj
        case "area_um2":
            return result.area_by_component_um2[component] if component else result.area_um2
        case "traffic_bytes":
            return sum(result.traffic_bytes[component].values())
        case "read_bytes" | "write_bytes":
            return result.traffic_bytes[component][quantity.removesuffix("_bytes")]
        case "utilization":
            return result.utilization[component]
    return result.footprint_bytes[component]


def compare(plan: Plan, points: np.ndarray) -> dict[str, int]:
    """Points of each kind, each found equal to what `simulate` says of it."""
    chunk = evaluate_points(plan, points)
    counts: dict[str, int] = {}
    for i, point in enumerate(points.tolist()):
        kind = compare_point(plan, chunk, i, plan.settings_of(point, chunk.settled[i]))
        counts[kind] = counts.get(kind, 0) + 1
    return counts


def compare_point(plan: Plan, chunk: Chunk, i: int, settings: dict[str, Any]) -> str:
    reason = chunk.reasons[chunk.reason[i] - 1] if chunk.reason[i] else None
    if reason is not None and (reason.kind == "area" or reason.kind.startswith("constraint")):
        assert np.isnan(chunk.values[i]).all()
        return reason.kind
    if reason is None:
        result = simulate(load_experiment(plan.experiment, settings))
        for name, value in zip(value_names(plan), chunk.values[i].tolist(), strict=True):
            if not name.startswith("spilled"):
                assert value == reported(result, name), (settings, name)
        assert chunk.bound_by[i] == result.bound_by
        beyond = [m.name for m in result.experiment.architecture.memories if m.extrapolated]
        assert chunk.extrapolated[i].split() == beyond
        return "legal"
    with pytest.raises((IllegalMapping, InputError)) as refused:
        simulate(load_experiment(plan.experiment, settings))
    problems = refused.value.located() if isinstance(refused.value, IllegalMapping) else refused.value.problems
    said = "; ".join(f"{problem.path}: {problem.message}" for problem in problems)
    # Of a value that comes from outside, a single design says the path from the experiment on.
    assert reason.text.replace("$.architecture.", "$.") == said.replace("$.architecture.", "$."), settings
    return reason.kind


ALL = {"record": ["all"]}


def test_small_sweep_equals_simulate(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, **ALL)
    assert compare(plan, random_points(plan.sweep.size, 120, 1)) == {"legal": 86, "capacity": 22, "constraint area": 12}


@pytest.mark.parametrize("experiment", ["flat", "unfused", "fusemax-cascade", "linear-fusemax"])
def test_other_mappings_equal_simulate(tmp_path: Path, experiment: str) -> None:
    """Stored choices by model and length, spilling, transfers by phase, other cascades."""
    axes = {
        "model": {"path": "model", "values": ["BERT", "T5"]},
        "seq_len": {"path": "seq_len", "values": [1024, 4096, 3000]},
        "batch": {"path": "batch", "values": [64, 1]},
        "rows": {"path": f"{MACHINE}.PE2D.rows", "values": [64, 256]},
        "columns": {"path": [f"{MACHINE}.PE2D.columns", f"{MACHINE}.PE1D.columns"], "values": [128, 256]},
        "buffer": {"path": f"{MACHINE}.GLB.size", "values": ["128 KiB", "3 MiB"]},
        "word": {"path": "architecture.word", "values": ["8 bit", "16 bit"]},
        "clock": {"path": "architecture.clock", "values": [0.5, 1], "unit": "GHz"},
    }
    plan = plan_of(tmp_path, experiment=experiment, axes=axes, derive=None, constraints=None, **ALL)
    assert compare(plan, random_points(plan.sweep.size, 40, 2))["legal"] > 15


def test_conditions_on_numbers_make_groups(tmp_path: Path) -> None:
    """A mapping may keep a tensor on chip only where it fits: the tree differs from point to point."""
    axes = {
        "mapping": {"path": "mapping", "values": ["attention-2pass-fused", "attention-3pass-fused", "fusemax-binding"]},
        "seq_len": {"path": "seq_len", "log_range": {"from": 1024, "to": 65536, "points": 4, "whole": True}},
        "buffer": {"path": f"{MACHINE}.GLB.size", "log_range": {"from": 1, "to": 256, "points": 9}, "unit": "MiB"},
    }
    plan = plan_of(tmp_path, axes=axes, derive=None, constraints=None, **ALL)
    assert compare(plan, np.arange(plan.sweep.size)).get("legal", 0) > 60


def test_operations_registers_and_energies(tmp_path: Path) -> None:
    axes = {
        "macc": {"path": f"{MACHINE}.PE1D.operations.macc.cycles", "values": [1, 2.5]},
        "energy": {"path": f"{MACHINE}.PE2D.operations.max.energy", "values": ["0.03 pJ", "1 pJ"]},
        "depth": {"path": f"{MACHINE}.RF2D.depth", "values": [4, 12, 100]},
        "read": {"path": f"{MACHINE}.DRAM.read_energy", "values": [100, 249.6], "unit": "pJ"},
        "row": {"path": f"{MACHINE}.GLB.row", "values": ["64 bit", "4096 bit"]},
        "E": {"path": "ranks.E", "values": [64, 80]},
    }
    plan = plan_of(tmp_path, axes=axes | {"free": {"values": [1, 2]}}, derive=None, constraints=None, **ALL)
    assert compare(plan, random_points(plan.sweep.size, 60, 3)) == {"legal": 60}


def test_parameters_that_no_engine_can_use(tmp_path: Path) -> None:
    axes = {
        "P1": {"path": "parameters.P1", "values": [256, 100.5, 1024]},
        "seq_len": {"path": "seq_len", "values": [1024, 16384]},
        "choice": {"path": "parameters.QK_loc", "values": ["onchip", "offchip"]},
    }
    plan = plan_of(tmp_path, experiment="flat", axes=axes, derive=None, constraints=None, **ALL)
    assert compare(plan, np.arange(plan.sweep.size)) == {"legal": 8, "numbers": 4}


def test_values_that_a_machine_refuses(tmp_path: Path) -> None:
    axes = {
        "columns": {"path": f"{MACHINE}.PE2D.columns", "values": [64, 100]},
        "buffer": {"path": f"{MACHINE}.GLB.size", "values": ["1 MiB", "100 bit"]},
    }
    derive = {f"{MACHINE}.PE1D.columns": "columns", f"{MACHINE}.RF2D.depth": "columns/32"}
    plan = plan_of(tmp_path, axes=axes, derive=derive, constraints=None)
    assert compare(plan, np.arange(4)) == {"legal": 1, "input": 3}


@pytest.mark.parametrize(
    ("absorb", "step"),
    [
        (f"{MACHINE}.GLB.size", "64 KiB"),
        (f"{MACHINE}.PE2D.rows", None),
        (f"{MACHINE}.PE1D.rows", None),
        (f"{MACHINE}.PE2D.columns", 8),
        (f"{MACHINE}.RF2D.depth", None),
    ],
)
def test_equal_area_is_kept_as_closely_as_steps_allow(tmp_path: Path, absorb: str, step: Any) -> None:
    area = {"values": ["3 cm2", 650, "base"], "unit": "mm2", "absorb": absorb} | ({"step": step} if step else {})
    sides = {
        "rows": {"path": f"{MACHINE}.PE2D.rows", "values": [48, 200]},
        "columns": {"path": f"{MACHINE}.PE2D.columns", "values": [64, 128]},
    }
    axes = {"area": area} | {name: axis for name, axis in sides.items() if axis["path"] != absorb}
    plan = plan_of(tmp_path, axes=axes, derive=None, constraints=None, **ALL)
    points = np.arange(plan.sweep.size)
    chunk = evaluate_points(plan, points)
    targets = {"3 cm2": 3e8, 650: 6.5e8, "base": plan.groups[()].area_um2}
    held = plan.held
    assert held is not None
    checked = 0
    for i in np.flatnonzero(chunk.reason == 0).tolist():
        settings = plan.settings_of(i, chunk.settled[i])
        target = targets[plan.column("area").written[plan.axis_indices(points)["area"][i]]]
        larger = settings | {absorb: held.number.written(chunk.settled[i, 0] + held.step)}
        now, next_one = (
            sum(area_by_component_um2(load_experiment("fusemax-binding", own).architecture).values())
            for own in (settings, larger)
        )
        assert now <= target < next_one
        checked += 1
    assert checked >= 3
    assert compare(plan, points)["legal"] == checked


def test_equal_area_finds_the_published_machine() -> None:
    """Sides of 256 leave 16 MiB at the area of the machine that has them."""
    plan = load_plan("fusemax-area")
    indices = plan.axis_indices(np.arange(plan.sweep.size))
    chosen = {"area": 2, "bandwidth": 5, "rows": 7, "columns": 7, "ratio": 0}
    point = int(np.flatnonzero(np.all([indices[name] == i for name, i in chosen.items()], axis=0))[0])
    chunk = evaluate_points(plan, np.array([point]))
    settings = plan.settings_of(point, chunk.settled[0])
    assert settings[f"{MACHINE}.GLB.size"] == f"{16 * 2**23} bit"
    published = simulate(load_experiment("fusemax-binding", seq_len=262144))
    values = dict(zip(value_names(plan), chunk.values[0].tolist(), strict=True))
    assert (values["latency_s"], values["energy_pj"]) == (published.latency_s, published.energy_pj)
    assert values["area_um2"] == published.area_um2


@pytest.mark.parametrize("name", ["fusemax-area", "passes-buffer"])
def test_shipped_sweeps_equal_simulate(name: str) -> None:
    plan = load_plan(name)
    assert compare(plan, random_points(plan.sweep.size, 40, 4))["legal"] > 5


def test_a_chunk_of_any_size_gives_the_same(tmp_path: Path) -> None:
    plan = plan_of(tmp_path)
    whole = evaluate_points(plan, np.arange(plan.sweep.size))
    for size in (1, 7, 100):
        for start in range(0, plan.sweep.size, 37 * size):
            points = np.arange(start, min(start + size, plan.sweep.size))
            part = evaluate_points(plan, points)
            assert np.array_equal(part.values, whole.values[points], equal_nan=True)
            assert part.hashes == [whole.hashes[i] for i in points]
            assert np.array_equal(part.reason > 0, whole.reason[points] > 0)


def test_hashes_differ_where_designs_do(tmp_path: Path) -> None:
    plan = plan_of(tmp_path)
    chunk = evaluate_points(plan, np.arange(plan.sweep.size))
    assert len(set(chunk.hashes)) == plan.sweep.size
    # The same designs in another order have the same hashes; on another machine, others.
    reversed_axes = dict(reversed(list(SWEEP["axes"].items())))
    other = plan_of(tmp_path, axes=reversed_axes)
    again = evaluate_points(other, np.arange(other.sweep.size))
    assert again.hashes != chunk.hashes
    assert set(again.hashes) == set(chunk.hashes)
    moved = plan_of(tmp_path, fixed={"architecture.clock": "1 GHz"})
    assert not set(evaluate_points(moved, np.arange(moved.sweep.size)).hashes) & set(chunk.hashes)


def test_words_that_do_not_fill_a_row(tmp_path: Path) -> None:
    """Rows of DRAM are 64 bit: four words of 16, two of 24, one of 48."""
    axes = {"word": {"path": "architecture.word", "values": [16, 24, 48, 100], "unit": "bit"}}
    plan = plan_of(tmp_path, axes=axes, derive=None, constraints=None, **ALL)
    assert compare(plan, np.arange(4))["legal"] >= 3


def test_a_tile_that_is_one_at_some_points(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """D reads the old value of what R makes later: points that step one by one are legal, others are not."""
    monkeypatch.chdir(tmp_path)
    old = "  D[m1,p]   = max(L[m1,p], R[m1,p])\n  Z[p]      = R[M1,p]"
    write_design(
        tmp_path,
        {
            "running.yaml": [("  Z[p]      = R[M1,p]", old), ("outputs: [Z]", "outputs: [Z, D]")],
            "running-mapping.yaml": [
                ("tiles: {M0: 8}", "parameters: {step: 1, half: 4}\ntiles: {M0: 8, T: step*half//4}"),
                ("    - loops: [m1]", "    - loops: [{m1: T}]"),
                (
                    "        - {einsum: R, array: ROW, spatial: {columns: p}}",
                    "        - {einsum: D, array: ROW, loops: [m1], spatial: {columns: p}}\n"
                    "        - {einsum: R, array: ROW, loops: [m1], spatial: {columns: p}}",
                ),
                ("loops: [p], spatial: {columns: m0}", "loops: [m1, p], spatial: {columns: m0}"),
            ],
            "experiment.yaml": [("mapping: mapping.yaml", "mapping: running-mapping.yaml")],
        },
    )
    axes = {
        "step": {"path": "parameters.step", "values": [1, 2, 4]},
        "half": {"path": "parameters.half", "values": [4, 2, 1]},
    }
    plan = plan_of(tmp_path, experiment="./experiment.yaml", axes=axes, derive=None, constraints=None, **ALL)
    found = compare(plan, np.arange(9))
    assert found == {"legal": 3, "mapping": 6}  # step * half is 4, more, or too little for a tile
