"""Whose measurements are compared with whose predictions: the machine comes from the file, and another has no errors."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest
from matplotlib.figure import Figure
from typer.testing import CliRunner

from arch.cores import Calibration
from kernels.bench import schema
from kernels.plans.attention import Band, count_visible
from sim.__main__ import app
from sim.gpu.cards import Card, shipped_machine
from sim.gpu.cases import COLUMNS, load_table
from sim.gpu.comparison import compare_source, load_device
from sim.gpu.predict import predict, total_s
from sim.load.nouns import CATALOGS
from sim.report.design.plots_compare import panels_of
from tests.bench_samples import sample_measurement


def run(*arguments):
    return CliRunner().invoke(app, ["compare", *map(str, arguments)])


def row(name, **changes):
    standard = {
        "case": name, "source": "a colleague", "kind": "stated", "machine": "h100-sxm", "implementation": "fa2",
        "operator": "attention_fwd", "dtype": "fp16", "batch": 1, "heads": 16, "kv_heads": 16, "queries": 4096, "keys": 4096,
        "head_size": 128, "mask": "full", "metric": "tflops", "value": 300,
    }  # fmt: skip
    return standard | changes


def write_table(path, *rows):
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    return path


def write_measurement(path, measurement=None, **machine):
    measurement = measurement or sample_measurement("attention_fwd-d128-full")
    changed = replace(measurement, machine=replace(measurement.machine, **machine))
    path.write_text(schema.measurement_text(changed))
    return path


# --------------------------------------------------------------------------------------------- which machine

# Memory as the driver reports it.
CARDS = [
    (Card("NVIDIA H100 80GB HBM3", "sm90", 132, 85_520_809_984), "h100-sxm"),
    (Card("NVIDIA H100 PCIe", "sm90", 114, 85_031_714_816), "h100-pcie"),
    (Card("NVIDIA H200", "sm90", 132, 150_754_820_096), "h200-sxm"),
    (Card("NVIDIA H20", "sm90", 78, 102_625_181_696), "h20"),
    (Card("NVIDIA A100-SXM4-80GB", "sm80", 108, 85_097_971_712), "a100-sxm"),
    (Card("NVIDIA H100 NVL", "sm90", 132, 100_485_038_080), None),
    (Card("NVIDIA A100-SXM4-40GB", "sm80", 108, 42_297_786_368), None),
]


@pytest.mark.parametrize(("card", "expected"), CARDS, ids=[card.name for card, _ in CARDS])
def test_a_card_is_known_by_what_is_reported_of_it(card, expected):
    assert shipped_machine(card) == expected


def test_a_measurement_is_predicted_for_its_own_machine(tmp_path):
    path = write_measurement(tmp_path / "run.json", sm_count=114, name="NVIDIA H100 PCIe")
    document = json.loads(run(path, "--json").stdout)
    assert {(case["machine"], case["predicted_for"]) for case in document["cases"]} == {("h100-pcie", "h100-pcie")}
    assert [machine["name"] for machine in document["machines"]] == ["h100-pcie"]
    assert all(case["error"] is not None for case in document["cases"])


def test_another_machine_is_predicted_without_errors(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = write_measurement(Path("run.json"))
    own, other = (json.loads(run(path, *more, "--json").stdout) for more in ((), ("--machine", "h20")))
    assert own["families"] and other["families"] == []
    assert {(case["machine"], case["predicted_for"], case["error"]) for case in other["cases"]} == {
        ("h100-sxm", "h20", None)
    }
    assert all(a["predicted_s"] < b["predicted_s"] for a, b in zip(own["cases"], other["cases"], strict=True))
    lines = run(path, "--machine", "h20").stdout.splitlines()
    count = len(own["cases"])
    assert (
        lines[0] == f"{count} cases ({path}) predicted for h20; all of them measured on h100-sxm, so without an error"
    )
    assert lines[3].split() == ["case", "measured", "on", "measured", "us", "predicted", "us", "bound", "by"]


def test_of_a_mixed_table_only_the_machine_predicted_for_has_errors(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = write_table(Path("cases.csv"), row("one"), row("two", machine="h200-sxm"))
    document = json.loads(run(path, "--machine", "h200-sxm", "--json").stdout)
    assert [(case["machine"], case["error"] is None) for case in document["cases"]] == [
        ("h100-sxm", True),
        ("h200-sxm", False),
    ]
    assert [family["cases"] for family in document["families"]] == [1]
    result = run(path, "--machine", "h200-sxm")
    assert result.stdout.splitlines()[0] == (
        f"2 cases ({path}) predicted for h200-sxm; 1 of them measured on h100-sxm, so without an error"
    )


def test_other_constants_leave_a_machine_the_same_another_memory_does_not(tmp_path):
    table = write_table(tmp_path / "cases.csv", row("one"))
    fitted, wide = tmp_path / "fitted.yaml", tmp_path / "wide.yaml"
    fitted.write_text("name: fitted\nbase: h100-sxm\nset: {calibration.tensor_rate: 0.7}\n")
    wide.write_text("name: wide\nbase: h100-sxm\nset: {components.HBM.bandwidth: 9000 GB/s}\n")
    measurement = write_measurement(tmp_path / "run.json")
    for source in (table, measurement):
        assert all(one.is_measured_on for one in compare_source(str(source), str(fitted)).compared)
        assert not any(one.is_measured_on for one in compare_source(str(source), str(wide)).compared)


UNKNOWN = {"name": "NVIDIA H100 NVL", "memory_bytes": 100_485_038_080}


def test_an_unknown_card_needs_a_machine_of_the_users(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_measurement(Path("run.json"), **UNKNOWN)
    result = run("run.json")
    assert (result.exit_code, result.stderr) == (
        2,
        "run.json: $.machine: no shipped machine is 'NVIDIA H100 NVL' (sm90, 132 cores, 100 GB): --machine FILE describes "
        "it\n",
    )
    Path("nvl.yaml").write_text("name: nvl\nbase: h100-sxm\nset: {components.HBM.size: 94 GB}\n")
    assert all(one.is_measured_on for one in compare_source("run.json", "nvl.yaml").compared)
    assert {one.case.machine for one in compare_source("run.json", "h100-sxm").compared} == {"NVIDIA H100 NVL"}
    assert not any(one.is_measured_on for one in compare_source("run.json", "h100-sxm").compared)


def test_a_trial_on_a_cpu_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_measurement(Path("run.json"), kind="cpu interpreter", name="x86_64")
    for more in ((), ("--fit", "x.yaml"), ("--machine", "h100-sxm")):
        result = run("run.json", *more)
        assert (result.exit_code, result.stderr) == (
            2,
            "run.json: $.machine.kind: expected times of a GPU, got 'cpu interpreter': a trial, whose times say nothing of a "
            "GPU\n",
        )
    assert not Path("x.yaml").exists()


def test_a_machine_of_a_table_that_has_no_cores_is_named_as_of_the_table(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_table(Path("cases.csv"), row("one", machine="fusemax-cloud"))
    assert run("cases.csv").stderr == (
        "cases.csv: machine: architecture 'fusemax-cloud' has no cores: kernels are timed on machines with cores and calibration\n"
    )


def test_an_unknown_machine_of_a_table_is_named_with_its_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_table(Path("cases.csv"), row("one"), row("two", machine="h100-sxn"))
    shipped = ", ".join(CATALOGS["architecture"].names())
    result = run("cases.csv")
    assert (result.exit_code, result.stderr) == (
        2,
        f"cases.csv:3: no architecture called 'h100-sxn' (did you mean 'h100-sxm'?); shipped: {shipped}\n",
    )


# ------------------------------------------------------------------------------------------------------ fit


def slower_machine(factor):
    device = load_device("h100-sxm")
    rate = device.calibration.tensor_rate * factor
    return replace(device, calibration=device.calibration.model_copy(update={"tensor_rate": rate}))


def table_of(device, path, **changes):
    """Cases whose times are those of a device: lengths of three kernels."""
    rows = [
        row(f"{kernel}-{n}", implementation=kernel, queries=n, keys=n, metric="ms", value=1, **changes)
        for kernel in ("fa2", "fa3") for n in (1024, 4096, 16384)
    ]  # fmt: skip
    write_table(path, *rows)
    times = [total_s(predict(case, device)) * 1e3 for case in load_table(path)]
    return write_table(path, *({**one, "value": repr(time)} for one, time in zip(rows, times, strict=True)))


def test_constants_are_fitted_to_the_file_that_is_given(tmp_path, monkeypatch):
    """Times of a machine whose tensor arrays sustain 0.7 of the shipped rate: the fit finds it, and comes near nothing."""
    monkeypatch.chdir(tmp_path)
    slow = slower_machine(0.7)
    table_of(slow, Path("cases.csv"))
    result = run("cases.csv", "--fit", "slow.yaml")
    assert result.exit_code == 0, result.stderr
    assert result.stderr.startswith("written: slow.yaml, root mean square of log(predicted / measured) 0.00")
    assert result.stderr.endswith(" over 6 cases\n")
    found = load_device("slow.yaml")
    assert found.calibration.tensor_rate == pytest.approx(slow.calibration.tensor_rate, rel=0.02)
    assert "Constants fitted by `einfuse compare --fit` to cases.csv" in Path("slow.yaml").read_text()
    assert compare_source("cases.csv", "slow.yaml").families[0].ours.max_error < 0.01


def test_a_fit_starts_from_the_users_machine_wherever_it_lies(tmp_path, monkeypatch):
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in" / "mine.yaml").write_text("name: mine\nbase: h100-sxm\nset: {calibration.step_latency: 500}\n")
    table_of(load_device("h100-sxm"), Path("cases.csv"))
    monkeypatch.setattr("sim.commands.compare.fit", unchanged_fit)
    assert run("cases.csv", "--machine", "in/mine.yaml", "--fit", "out/fitted here.yaml").exit_code == 0
    found = load_device("out/fitted here.yaml").calibration
    assert isinstance(found, Calibration) and found.step_latency_cycles == 500


def unchanged_fit(cases, device):
    from sim.gpu.fit import Fit

    return Fit(device.calibration, 0.0)


def test_a_fit_to_several_machines_asks_which(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = [row(f"{machine}-{n}", machine=machine, keys=n) for machine in ("h100-sxm", "h20") for n in (1024, 2048)]
    write_table(Path("cases.csv"), *rows)
    assert run("cases.csv", "--fit", "x.yaml").stderr == (
        "cases.csv: holds cases of h100-sxm, h20: --machine says whose constants are fitted\n"
    )
    assert run("cases.csv", "--machine", "h20", "--fit", "x.yaml").stderr == (
        "--fit: 5 constants need as many cases on h20, there are 2\n"
    )
    assert run("cases.csv", "--machine", "a100-sxm", "--fit", "x.yaml").stderr == (
        "--fit: 5 constants need as many cases on a100-sxm, there are 0\n"
    )


# ---------------------------------------------------------------------------------------------- causal work


@pytest.mark.parametrize(
    ("queries", "keys", "share"), [(4096, 4096, 0.5), (1024, 16384, 1 - 1 / 32), (16384, 1024, 1 / 32), (1, 4096, 1.0)]
)
def test_work_of_a_causal_mask(tmp_path, queries, keys, share):
    """As a share of the whole rectangle: queries x keys - queries^2 / 2 for more keys than queries, keys^2 / 2 for fewer."""
    path = write_table(tmp_path / "cases.csv", row("one", queries=queries, keys=keys, mask="causal"))
    (case,) = load_table(path)
    whole = 4 * 16 * queries * keys * 128
    assert case.useful_flops == pytest.approx(share * whole, rel=2e-4)
    assert case.measured_s == pytest.approx(case.useful_flops / 300e12)
    # The diagonal, which the convention counts as half, is all that differs from the pairs that are visible.
    visible = count_visible(0, queries - 1, Band(keys - queries, -1, 0, keys))
    assert visible * 4 * 16 * 128 - case.useful_flops == 4 * 16 * 128 * min(queries, keys) / 2


# ------------------------------------------------------------------------------------------------- drawings


def drawn(monkeypatch, *arguments):
    """The titles of the panels that are drawn, and of each its labelled curves."""
    found = []
    save = Figure.savefig

    def saved(self, *more, **options):
        found.extend(
            (axes.get_title(), [line.get_label() for line in axes.lines if line.get_label()[0] != "_"])
            for axes in self.axes
        )
        return save(self, *more, **options)

    monkeypatch.setattr(Figure, "savefig", saved)
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    return found


def test_curves_of_a_measurement_join_its_cases(tmp_path, monkeypatch):
    path = write_measurement(tmp_path / "run.json", sample_measurement("attention_fwd-d"))
    panels = drawn(monkeypatch, path, "--plot", tmp_path / "x.png")
    assert panels == [
        ("", ["attention fwd"]),
        ("Attention forward, head size 128, full (line: predicted)", ["einfuse", "sdpa-flash"]),
        (
            "Attention forward, head size 128, causal (line: predicted)",
            ["einfuse", "sdpa-flash", "einfuse, 8:1 heads", "sdpa-flash, 8:1 heads"],
        ),
    ]
    panel = panels_of(compare_source(str(path), None).compared)[0]
    assert [one.case.problem.keys for one in panel.curves["einfuse"]] == [16384, 8192, 4096, 2048, 1024, 512]


@pytest.mark.parametrize(
    ("rows", "titles"),
    [
        ([row("product", operator="gemm", implementation="library")], [""]),
        ([row("alone")], [""]),
        (
            [row(f"b{n}", operator="attention_bwd", keys=n, queries=n) for n in (1024, 2048)],
            ["", "Attention backward, head size 128, full (line: predicted)"],
        ),
    ],
)
def test_no_panel_is_empty(tmp_path, monkeypatch, rows, titles):
    path = write_table(tmp_path / "cases.csv", *rows)
    panels = drawn(monkeypatch, path, "--plot", tmp_path / "x.svg")
    assert [title for title, _ in panels] == titles
    assert all(curves for _, curves in panels)


def test_what_was_measured_elsewhere_is_not_drawn(tmp_path):
    path = write_table(tmp_path / "cases.csv", row("one"))
    result = run(path, "--machine", "h20", "--plot", tmp_path / "x.svg")
    assert (result.exit_code, result.stderr) == (
        2,
        "--plot: nothing was measured on h20, so there is nothing to draw predictions against\n",
    )
