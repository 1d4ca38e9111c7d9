"""Leakage: power times time, of memories, arrays and machines; values by hand on the small design."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from arch.quantity import format_quantity, parse_quantity
from arch.types import Architecture
from sim import load_experiment, simulate
from sim.explore.bulk import evaluate_points, value_names
from sim.report.design.simulation_table import simulation_tables
from sim.simulation.result import SimulationResult
from tests.small_design import run, write_design
from tests.small_sweep import plan_of

COMPONENTS = "architecture.components"
# 8 x 8 elements and 1 x 8, each with a register file.
LEAKS = {
    f"{COMPONENTS}.GLB.leakage": "250 mW",
    f"{COMPONENTS}.RFS.leakage": "2 uW",
    f"{COMPONENTS}.RFR.leakage": "5 nW",
    f"{COMPONENTS}.SQUARE.leakage": "1.5 W",
    "architecture.leakage": "3 W",
}
WATTS = {"GLB": 0.25, "RFS": 64 * 2e-6, "RFR": 8 * 5e-9, "SQUARE": 1.5, "chip": 3.0}


def small(folder: Path, engine: str = "analytical", **changes: Any) -> SimulationResult:
    if not (folder / "experiment.yaml").exists():
        write_design(folder)
    return simulate(load_experiment(str(folder / "experiment.yaml"), changes), engine)


@pytest.mark.parametrize("engine", ["analytical", "cycle"])
def test_energy_is_power_times_the_engine_s_own_time(tmp_path: Path, engine: str) -> None:
    tight, leaking = small(tmp_path, engine), small(tmp_path, engine, **LEAKS)
    assert leaking.cycles == tight.cycles and leaking.latency_s == leaking.cycles / 1e9
    assert list(leaking.energy_by_component_pj) == [*tight.energy_by_component_pj, "chip"]
    for name, energy_pj in leaking.energy_by_component_pj.items():
        leaked_pj = WATTS.get(name, 0.0) * leaking.latency_s * 1e12
        assert energy_pj == pytest.approx(tight.energy_by_component_pj.get(name, 0.0) + leaked_pj, rel=1e-14)
    assert leaking.leakage_by_component_pj == pytest.approx(
        {name: watts * leaking.latency_s * 1e12 for name, watts in WATTS.items()}, rel=1e-14
    )


@pytest.mark.parametrize("engine", ["analytical", "cycle"])
def test_energy_by_einsum_adds_up_with_leakage_as_its_own_entry(tmp_path: Path, engine: str) -> None:
    tight, leaking = small(tmp_path, engine), small(tmp_path, engine, **LEAKS)
    by_einsum = dict(leaking.energy_by_einsum_pj)
    assert by_einsum.pop("leakage") == pytest.approx(sum(WATTS.values()) * leaking.latency_s * 1e12, rel=1e-14)
    assert by_einsum == tight.energy_by_einsum_pj
    assert sum(leaking.energy_by_einsum_pj.values()) == pytest.approx(leaking.energy_pj, rel=1e-14)


def test_engines_differ_by_their_times(tmp_path: Path) -> None:
    counted, timed = small(tmp_path, **LEAKS), small(tmp_path, "cycle", **LEAKS)
    assert timed.cycles != counted.cycles
    assert timed.leakage_by_component_pj["chip"] / counted.leakage_by_component_pj["chip"] == pytest.approx(
        timed.cycles / counted.cycles, rel=1e-14
    )


def test_every_core_leaks() -> None:
    leaks = {f"{COMPONENTS}.RF.leakage": "1 mW", f"{COMPONENTS}.L2.leakage": "7 W", f"{COMPONENTS}.MUFU.leakage": "2 W"}
    result = simulate(load_experiment("attention-h100", leaks | {"architecture.leakage": "9 W"}))
    machine = result.experiment.architecture
    watts = {name: pj * 1e-12 / result.latency_s for name, pj in result.leakage_by_component_pj.items()}
    instances = machine.instances(machine.memory("RF"))
    assert watts == pytest.approx({"L2": 7, "RF": 132 * instances * 1e-3, "MUFU": 132 * 2, "chip": 9}, rel=1e-14)


def test_without_leakage_nothing_is_written_of_it(tmp_path: Path) -> None:
    tight = small(tmp_path)
    silent = small(tmp_path, **dict.fromkeys([name for name in LEAKS if name.startswith(COMPONENTS)], "0 W"))
    assert silent.to_json() == tight.to_json()
    assert silent.experiment.hash == tight.experiment.hash
    assert "leakage" not in json.dumps(tight.to_json())
    leaking = small(tmp_path, **LEAKS)
    assert leaking.experiment.hash != tight.experiment.hash
    told = leaking.to_json()["experiment"]["architecture"]
    assert told["leakage"] == "3 W"
    # Dumps of results count a port where the file gives none, so ports are not compared.
    read, written = (
        [component.model_dump(exclude={"ports"}) for component in machine.components]
        for machine in (Architecture.model_validate(told), leaking.experiment.architecture)
    )
    assert read == written and any("leakage" in component for component in read)


def test_a_machine_that_leaks_nothing_of_its_own_may_say_so(tmp_path: Path) -> None:
    result = small(tmp_path, **{"architecture.leakage": "0 W"})
    assert result.energy_by_component_pj["chip"] == 0
    assert "leakage" not in result.energy_by_einsum_pj


def test_sweeps_vary_it(tmp_path: Path) -> None:
    write_design(tmp_path)
    axes = {
        "buffer": {"path": f"{COMPONENTS}.GLB.leakage", "values": ["0 W", "250 mW"]},
        "chip": {"path": "architecture.leakage", "values": [0, 3], "unit": "W"},
    }
    derive = {f"{COMPONENTS}.SQUARE.leakage": {"expression": "ROW.pes*8e-3", "unit": "W"}}
    plan = plan_of(tmp_path, experiment="experiment.yaml", axes=axes, derive=derive, constraints=None, record=["all"])
    values = dict(zip(value_names(plan), evaluate_points(plan, np.arange(4)).values.T.tolist(), strict=True))
    seconds = np.array(values["latency_s"]) * 1e12
    assert values["leakage_pj.GLB"] == pytest.approx(np.array([0, 0, 0.25, 0.25]) * seconds)
    assert values["leakage_pj.chip"] == values["energy_pj.chip"] == pytest.approx(np.array([0, 3, 0, 3]) * seconds)
    assert values["leakage_pj.SQUARE"] == pytest.approx(0.064 * seconds)
    assert values["leakage_pj"] == pytest.approx(np.array([0.064, 3.064, 0.314, 3.314]) * seconds)


def test_a_sweep_refuses_what_a_file_would(tmp_path: Path) -> None:
    write_design(tmp_path)
    axes = {"power": {"values": [-1, 1]}}
    derive = {"architecture.leakage": {"expression": "power", "unit": "W"}}
    plan = plan_of(tmp_path, experiment="experiment.yaml", axes=axes, derive=derive, constraints=None)
    chunk = evaluate_points(plan, np.arange(2))
    assert [chunk.reasons[i - 1].text if i else "" for i in chunk.reason] == [
        "$.architecture.leakage: expected a power such as '5 W', got '-1 W', which is negative",
        "",
    ]


def test_tables_show_it(tmp_path: Path) -> None:
    leaking = small(tmp_path, **LEAKS)
    tables = {table.title: table for table in simulation_tables(leaking)}
    energy = {name: format_quantity(pj, "energy") for name, pj in leaking.leakage_by_component_pj.items()}
    assert tables["Leakage"].rows == (
        ("GLB", "250 mW", energy["GLB"]), ("RFS", "128 uW", energy["RFS"]), ("RFR", "40 nW", energy["RFR"]),
        ("SQUARE", "1.5 W", energy["SQUARE"]), ("chip", "3 W", energy["chip"]),
    )  # fmt: skip
    whole = format_quantity(leaking.energy_by_einsum_pj["leakage"], "energy")
    assert tables["Einsums"].rows[-1] == ("leakage", "", "", "", whole)
    assert "Leakage" not in {table.title for table in simulation_tables(small(tmp_path))}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ([("node: 45 nm", "node: 45 nm\nleakage: 5")],
         "machine.yaml:5: $.leakage: expected a power such as '5 W', got 5, which has no unit"),
        ([("node: 45 nm", "node: 45 nm\nleakage: 5 pJ")],
         "machine.yaml:5: $.leakage: expected a power such as '5 W', got '5 pJ', which is an energy"),
        ([("    size: 64 KiB", "    size: 64 KiB\n    leakage: -5 W")],
         "machine.yaml:12: $.components.GLB.leakage: expected a power such as '5 W', got '-5 W', which is negative"),
        ([("    size: 64 KiB", "    size: 64 KiB\n    leekage: 5 W")],
         "machine.yaml:12: $.components.GLB.leekage: unknown key 'leekage' (did you mean 'leakage'?)"),
        ([("node: 45 nm", "node: 45 nm\nleakage: 5 W"), ("  ROW:\n", "  chip:\n"), ("per_pe_of: ROW", "per_pe_of: chip")],
         "machine.yaml:5: $.leakage: a component is called 'chip', as results call what leaks beside the components"),
    ],
)  # fmt: skip
def test_mistakes(tmp_path: Path, changes: list[tuple[str, str]], message: str) -> None:
    write_design(tmp_path, {"machine.yaml": changes})
    status, _, err = run(["simulate", str(tmp_path / "experiment.yaml")])
    assert (status, err.replace(f"{tmp_path}/", "").strip()) == (2, message)


@pytest.mark.parametrize(
    ("text", "watts"), [("5 W", 5), ("30 mW", 0.03), ("7 uW", 7e-6), ("7 µW", 7e-6), ("2 nW", 2e-9), ("1.5 kW", 1500)]
)
def test_units_of_power(text: str, watts: float) -> None:
    assert parse_quantity(text, "power") == watts
    assert format_quantity(watts, "power") == text.replace("µ", "u")
