"""Bad sweep files: each mistake is one sentence with its place, pinned whole."""

from pathlib import Path
from typing import Any

import pytest

from sim import InputError, SweepOptions, sweep
from sim.explore.load_sweep import load_plan, load_sweep
from sim.explore.sweep import LogRange, Range
from sim.load.nouns import CATALOGS
from tests.small_sweep import MACHINE, SWEEP, plan_of, write_sweep

AXES = SWEEP["axes"]
ROWS = f"{MACHINE}.PE2D.rows"


def with_axis(**axis: Any) -> dict[str, Any]:
    return {"axes": {"x": axis}, "derive": None, "constraints": None}


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "an experiment that does not ship": (
        {"experiment": "fusemax-bindings"},
        "$.experiment: no experiment called 'fusemax-bindings' (did you mean 'fusemax-binding'?); shipped: "
        + ", ".join(CATALOGS["experiment"].names()),
    ),
    "an unknown key": ({"recrod": []}, "$.recrod: unknown key 'recrod' (did you mean 'record'?)"),
    "no objective": ({"objectives": []}, "$.objectives: expected at least one"),
    "an axis that names nothing": (
        with_axis(path=f"{MACHINE}.GLBB.size", values=["1 MiB"]),
        "$.axes.x: unknown key 'GLBB' (did you mean 'GLB'?)",
    ),
    "an axis that names no number": (
        with_axis(path=f"{MACHINE}.PE2D.rowz", values=[1]),
        "unknown key 'rowz' (did you mean 'rows'?)",
    ),
    "an axis over a rank that is none": (
        with_axis(path="ranks.ZZ", values=[1, 2]),
        "$.axes.x.path: 'attention-1pass' has no rank 'ZZ' (known: B, H, E, F, M, P)",
    ),
    "an axis over a parameter that is none": (
        with_axis(path="parameters.P1", values=[1, 2]),
        "$.axes.x.path: mapping 'fusemax-binding' has no parameter 'P1'",
    ),
    "a parameter that one of the mappings has not": (
        {
            "experiment": "flat",
            "axes": {
                "tile": {"path": "parameters.P1", "values": [128, 256]},
                "mapping": {"path": "mapping", "values": ["flat", "attention-3pass-fused"]},
            },
            "derive": None,
            "constraints": None,
        },
        "$.axes.tile.path: mapping 'attention-3pass-fused' has no parameter 'P1'",
    ),
    "a key that a component has not": (
        with_axis(path=f"{MACHINE}.PE2D.drain_cycles", values=[1]),
        "$.axes.x: unknown key 'drain_cycles'",
    ),
    "a model that does not ship": (
        with_axis(path="model", values=["BERT", "BURT"]),
        "no model called 'BURT' (did you mean 'BERT'?)",
    ),
    "an empty axis": (with_axis(path=ROWS, values=[]), "$.axes.x: axis 'x' is empty: expected at least one value"),
    "an empty range": (
        with_axis(path=ROWS, range={"from": 9, "to": 1, "step": 1}),
        "$.axes.x: axis 'x' is empty: expected at least one value",
    ),
    "no values": (
        with_axis(path=ROWS),
        "$.axes.x: axis 'x': expected one of 'values', 'range' and 'log_range', got none",
    ),
    "values twice": (
        with_axis(path=ROWS, values=[1], range={"from": 1, "to": 2, "step": 1}),
        "$.axes.x: axis 'x': expected one of 'values', 'range' and 'log_range', got 'values' and 'range'",
    ),
    "a value twice": (with_axis(path=ROWS, values=[1, 2, 1]), "$.axes.x: axis 'x' has the value 1 twice"),
    "a size without a unit": (
        with_axis(path=f"{MACHINE}.GLB.size", values=[1, 2]),
        "$.axes.x.values[0]: axis 'x': expected a size such as '16 MiB', got 1, which has no unit",
    ),
    "another unit": (
        with_axis(path=f"{MACHINE}.GLB.size", values=["1 MiB", "2 GHz"]),
        "$.axes.x.values[1]: axis 'x': expected a size such as '16 MiB', got '2 GHz', which is a frequency",
    ),
    "a number with a unit that it has not": (
        with_axis(path=ROWS, values=[1, 2], unit="MiB"),
        "$.axes.x.values[0]: axis 'x': expected a plain number, got '1 MiB'",
    ),
    "words for formulas": (
        with_axis(values=["a", "b"]),
        "$.axes.x: 'a' goes nowhere: give the axis a path, or numbers for formulas to read",
    ),
    "the same path on two axes": (
        {"axes": {"x": {"path": ROWS, "values": [1]}, "y": {"path": ROWS, "values": [1]}}},
        f"$.axes.y: axis 'x' sets '{ROWS}' already",
    ),
    "a derived path that an axis sets": ({"derive": {ROWS: "1"}}, f"axis 'rows' sets '{ROWS}' already"),
    "a pair of unknown axes": (
        {"pairs": [["rows", "colums"]]},
        "$.pairs[0]: unknown axis 'colums' (did you mean 'columns'?)",
    ),
    "a pair of unequal axes": (
        {"pairs": [["rows", "columns"]]},
        "$.pairs[0]: paired axes have values one for one: 'rows' 3 and 'columns' 4",
    ),
    "a formula with an unknown name": (
        {"derive": {f"{MACHINE}.PE1D.columns": "colums"}},
        f"$.derive['{MACHINE}.PE1D.columns']: unknown name 'colums' (did you mean 'columns'?)",
    ),
    "a formula that reads what it decides": (
        {"derive": {f"{MACHINE}.PE1D.columns": "latency_s"}},
        f"$.derive['{MACHINE}.PE1D.columns']: unknown name 'latency_s'",
    ),
    "a derived size without a unit": (
        {"derive": {f"{MACHINE}.GLB.row": "columns*16"}},
        f"$.derive['{MACHINE}.GLB.row']: '{MACHINE}.GLB.row': expected a unit, as in {{expression: ..., unit: B}}",
    ),
    "a derived word": (
        {"derive": {"mapping": "1"}},
        "$.derive.mapping: 'mapping' is no number that a formula can set: vary it by an axis",
    ),
    "an unknown metric": (
        {"record": ["latency"]},
        "$.record[0]: unknown metric 'latency' (did you mean 'latency_s'?)",
    ),
    "an unknown name in a constraint": (
        {"constraints": {"power": "energy_pj/latency < 1"}},
        "$.constraints.power: unknown name 'latency' (did you mean 'latency_s'?)",
    ),
    "an unknown name in an objective": (
        {"objectives": [{"minimize": "latency_s*energy"}]},
        "$.objectives[0]: unknown name 'energy' (did you mean 'energy_pj'?)",
    ),
    "both ways": (
        {"objectives": [{"minimize": "latency_s", "maximize": "energy_pj"}]},
        "$.objectives[0]: expected either 'minimize' or 'maximize'",
    ),
    "an unknown axis of fronts": ({"per": ["modle"]}, "$.per[0]: unknown axis 'modle' (did you mean 'model'?)"),
    "a search without trials": (
        {"search": {"method": "nsga2"}},
        "$.search: the search 'nsga2' chooses points: expected 'trials'",
    ),
    "trials of all": (
        {"search": {"trials": 4}},
        "$.search: the search 'exhaustive' takes every point: expected no 'trials'",
    ),
    "too many points": (
        {"axes": {f"x{i}": {"values": list(range(1000))} for i in range(7)}, "derive": None, "constraints": None},
        f"$.axes: the axes have {1000**7} points, at most {2**62} can be numbered",
    ),
    "area without a unit": (
        with_axis(values=[1], absorb=f"{MACHINE}.GLB.size"),
        "$.axes.x.values[0]: axis 'x': expected an area such as '1 um2', got 1, which has no unit, or 'base' for that of the experiment",
    ),
    "area held by what has none": (
        with_axis(values=["1 cm2"], absorb=f"{MACHINE}.DRAM.bandwidth"),
        f"$.axes.x.absorb: '{MACHINE}.DRAM.bandwidth' cannot absorb area: expected the size or depth of a memory, or a side of an array",
    ),
    "area held by a memory of constant area": (
        with_axis(values=["1 cm2"], absorb=f"{MACHINE}.DRAM.size"),
        f"$.axes.x.absorb: '{MACHINE}.DRAM.size' cannot absorb area: the area of 'DRAM' does not depend on it",
    ),
    "a step of another kind": (
        with_axis(values=["1 cm2"], absorb=f"{MACHINE}.GLB.size", step=4),
        "$.axes.x.step: axis 'x': expected a size such as '16 MiB', got 4, which has no unit",
    ),
    "an axis called like a metric": (
        {"axes": AXES | {"latency_s": {"values": [1]}}},
        "$.axes.latency_s: 'latency_s' is the name of a metric already",
    ),
    "an axis called like a rank": (
        {"axes": AXES | {"E": {"values": [1]}}},
        "$.axes.E: 'E' is the name of a rank already",
    ),
    "axes that differ in case": (
        {"axes": AXES | {"Rows": {"values": [1]}}},
        "$.axes.Rows: 'Rows' differs from 'rows' in letter case only",
    ),
    "a name that follows from itself": (
        {"where": {"a": "b + 1", "b": "a"}},
        "$.where.a: 'a' depends on itself (a -> b -> a)",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_sweep_is_refused_with_a_sentence(tmp_path: Path, case: str) -> None:
    changes, said = BAD[case]
    path = write_sweep(tmp_path, **changes)
    with pytest.raises(InputError) as refused:
        load_plan(str(path))
    lines = str(refused.value).splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith(f"{path}"), lines
    assert said in lines[0]
    if said.startswith("$"):
        assert lines[0].split(": ", 1)[1] == said


def test_an_engine_that_does_not_exist(tmp_path: Path) -> None:
    path = write_sweep(tmp_path, search={"second_stage": "cycles"})
    with pytest.raises(InputError) as refused:
        sweep(str(path), tmp_path / "out")
    assert "$.search.second_stage: no engine is called 'cycles'" in str(refused.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (SweepOptions(executor="cluster"), "--executor: expected local or dask, got 'cluster'"),
        (SweepOptions(scheduler="tcp://x:1"), "--scheduler: belongs to '--executor dask'"),
        (SweepOptions(workers=0), "--workers: expected at least 1, got 0"),
    ],
)
def test_bad_options(tmp_path: Path, options: SweepOptions, said: str) -> None:
    with pytest.raises(InputError) as refused:
        sweep(str(write_sweep(tmp_path)), tmp_path / "out", options)
    assert str(refused.value) == said


def test_an_unknown_sweep() -> None:
    with pytest.raises(InputError) as refused:
        load_plan("fusemax-aera")
    shipped = ", ".join(CATALOGS["sweep"].names())
    assert (
        str(refused.value)
        == f"einfuse: no sweep called 'fusemax-aera' (did you mean 'fusemax-area'?); shipped: {shipped}"
    )


@pytest.mark.parametrize("name", CATALOGS["sweep"].names())
def test_shipped_sweeps_are_fine(name: str) -> None:
    _, found = load_sweep(name)
    assert found.name == name
    assert found.description
    assert found.source
    assert load_plan(name).sweep.size == found.size


# ------------------------------------------------------------------------------------------------------ values


def test_ranges() -> None:
    assert Range.model_validate({"from": 32, "to": 100, "step": 32}).values() == (32, 64, 96)
    assert Range.model_validate({"from": 0.1, "to": 0.3, "step": 0.1}).values() == (0.1, 0.2, pytest.approx(0.3))
    assert LogRange.model_validate({"from": 1, "to": 1024, "points": 11}).values() == tuple(2**i for i in range(11))
    assert LogRange.model_validate({"from": 1, "to": 10, "points": 1}).values() == (1,)
    assert LogRange.model_validate({"from": 1, "to": 8, "points": 20, "whole": True}).values() == tuple(range(1, 9))


def test_pairs_advance_together(tmp_path: Path) -> None:
    axes = AXES | {"columns": {"path": f"{MACHINE}.PE2D.columns", "values": [64, 128, 256]}}
    plan = plan_of(tmp_path, axes=axes, pairs=[["rows", "columns"]])
    assert plan.sweep.size == 2 * 2 * 3 * 3 * 2
    seen = {
        (s[ROWS], s[f"{MACHINE}.PE2D.columns"])
        for s in (plan.settings_of(i, [float("nan")]) for i in range(plan.sweep.size))
    }
    assert seen == {(32, 64), (100, 128), (256, 256)}


def test_names_follow_from_axes_ranks_and_the_machine(tmp_path: Path) -> None:
    from sim.explore.bulk import evaluate_points

    where = {"half": "columns/2", "words": "half*E + seq_len + GLB.row_bits/16"}
    derive = {f"{MACHINE}.PE1D.columns": "2*half", f"{MACHINE}.GLB.row": {"expression": "words*8", "unit": "bit"}}
    plan = plan_of(
        tmp_path,
        where=where,
        derive={f"{MACHINE}.PE1D.columns": "2*half", f"{MACHINE}.RF1D.depth": "words"},
        constraints=None,
    )
    points = __import__("numpy").arange(plan.sweep.size)
    settled = evaluate_points(plan, points).settled
    width_of = {"BERT": 64, "XLM": 128}
    for i in points.tolist():
        settings = plan.settings_of(i, settled[i])
        columns = settings[f"{MACHINE}.PE2D.columns"]
        assert settings[f"{MACHINE}.PE1D.columns"] == columns
        assert (
            settings[f"{MACHINE}.RF1D.depth"] == columns // 2 * width_of[settings["model"]] + settings["seq_len"] + 256
        )
    # A value that reads the very number that it gives.
    with pytest.raises(InputError) as refused:
        plan_of(tmp_path, where=where, derive=derive, constraints=None)
    assert "depends on itself" in str(refused.value)
