"""`einfuse plot`: what a folder holds decides what is drawn; charts of a reproduction are what its results say."""

import csv
import io
import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from sim import InputError, load_experiment, simulate
from sim.commands.plot import plot_folder, simulated_of
from sim.report.parts.plots_panels import Panel, draw_panels
from sim.report.parts.plots_roofline import draw_roofline
from sim.report.reproduction.charts import write_reproduction_charts
from sim.report.reproduction.names import NAMES, names_of
from sim.report.reproduction.plots_designs import draw_designs
from sim.report.reproduction.results import ResultRow
from sim.report.reproduction.results_read import RESULTS, read_results
from sim.reproduction.run import load_reproduction
from sim.simulation.roofline import roof_of
from tests.small_design import run

DESIGNS, MODELS, LENGTHS = ("slow", "fast"), ("BERT", "XLM"), (1024, 4096)


def value_of(metric: str, model: str, length: int, design: str) -> float:
    """Any numbers, all different, easily found again."""
    base = 1.0 + MODELS.index(model) + LENGTHS.index(length) / 4
    half = 0.5 if design == "fast" else 1.0
    return {"latency_s": base * half, "energy_pj": 3e12 * base * half**2, "util_2d": half * 0.4, "area_um2": 1e9}[
        metric
    ]


UNITS = {"latency_s": "s", "energy_pj": "pJ", "util_2d": "fraction", "area_um2": "um2"}


def results_text(**changes: str) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, ResultRow._fields, lineterminator="\n")
    writer.writeheader()
    for accounting in ("first", "second"):
        for model in reversed(MODELS):
            for length in LENGTHS:
                for design in DESIGNS:
                    for metric, unit in UNITS.items():
                        value = value_of(metric, model, length, design) * (1 if accounting == "first" else 7)
                        place = {"figure": "1", "model": model, "seq_len": length, "design": design, "kernel": "both"}
                        row = {"metric": metric, "value": value, "unit": unit, "einsum": "", "accounting": accounting}
                        writer.writerow(place | row | changes)
    # Points of a sweep over one design are at one workload only, and no designs of their own.
    writer.writerow(
        {"figure": "2", "model": "BERT", "seq_len": 4096, "design": "fast-16", "kernel": "both", "metric": "latency_s",
         "value": 99.0, "unit": "s", "einsum": "", "accounting": "first"}
    )  # fmt: skip
    return text.getvalue()


def write(folder: Path, tell: Callable[[str], None]) -> Path:
    results = read_results(folder)
    return write_reproduction_charts(folder, results, simulated_of(results), tell)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / RESULTS).write_text(results_text(), encoding="utf-8")
    return tmp_path


def test_results_are_read_by_design_and_workload(folder: Path) -> None:
    results = read_results(folder)
    assert (results.kernels, results.designs) == (("both",), DESIGNS)
    workloads = results.workloads("both")
    assert workloads == (("XLM", 1024), ("XLM", 4096), ("BERT", 1024), ("BERT", 4096))
    for metric in UNITS:
        wanted = [[value_of(metric, *workload, design) for design in DESIGNS] for workload in workloads]
        assert np.array_equal(results.table("both", metric), wanted)


def test_bars_are_the_results_relative_to_the_first_design(folder: Path) -> None:
    results = read_results(folder)
    time = results.table("both", "latency_s")
    share = results.table("both", "util_2d")
    panels = (Panel("Speedup", time[:, :1] / time), Panel("Busy", share, is_share=True))
    above, below = draw_panels(DESIGNS, results.workloads("both"), panels).axes
    assert [bar.get_height() for bar in above.patches] == [1.0] * 5 + [2.0] * 5  # four workloads and the mean
    np.testing.assert_allclose([bar.get_height() for bar in below.patches], [0.4] * 5 + [0.2] * 5)
    assert [text.get_text() for text in below.texts][:2] == ["40%", "20%"]


def test_folder_without_names_has_charts_of_results_alone(folder: Path) -> None:
    told: list[str] = []
    page = write(folder, told.append)
    assert page == folder / "charts.html"
    assert told == ["drawn: both: speedup and energy", "drawn: both: utilization", "drawn: both: time against energy"]
    drawn = {path.name for path in (folder / "figures").iterdir()}
    names = ("speedup-energy-both", "utilization-both", "pareto-both")
    assert drawn == {f"{name}.{kind}" for name in names for kind in ("svg", "png")}
    text = page.read_text("utf-8")
    assert text.count("<svg") == 3 and "Chips of 10 to 10 cm²" in text
    assert not re.search(r'(?:src|href)="(?!#|data:)', text)
    before = {path: path.read_bytes() for path in (page, *(folder / "figures").iterdir())}
    write(folder, told.append)
    assert {path: path.read_bytes() for path in before} == before


def test_names_give_labels_and_the_roofline(folder: Path) -> None:
    names = {"title": "A & B", "designs": {"slow": "Slow", "fast": "Fast <one>"}, "kernels": {"both": "Both kernels"}}
    names["experiments"] = {"both": {"slow": "unfused", "fast": "fusemax-binding"}}
    (folder / NAMES).write_text(json.dumps(names), encoding="utf-8")
    told: list[str] = []
    text = write(folder, told.append).read_text("utf-8")
    assert told[-1] == "drawn: Both kernels: roofline"
    assert "At BERT, 4K, the middle workload." in text and "A &amp; B: charts" in text
    results = [simulate(load_experiment(name, model="BERT", seq_len=4096)) for name in ("unfused", "fusemax-binding")]
    roofs = tuple(roof for result in results if (roof := roof_of("x", result)))
    marks = [line for line in draw_roofline(roofs).axes[0].lines if len(line.get_xdata()) == 1]
    assert len(marks) == 2
    assert draw_roofline((roofs[0], roofs[0])).axes[0].get_legend().get_texts()[0].get_text() == "x, x"


def test_front_of_designs() -> None:
    axes = draw_designs(("a", "b", "c"), np.array([1.0, 2, 3]), np.array([3.0, 1, 2]), np.array([0, 1])).axes[0]
    assert list(zip(*axes.lines[0].get_data(), strict=True)) == [(1.0, 3.0), (2.0, 1.0)]
    assert sorted(text.get_text() for text in axes.texts) == ["a", "b", "c"]


def test_a_reproduction_says_what_its_names_are() -> None:
    names = names_of(load_reproduction("fusemax")[1])
    assert names["designs"]["flat"] == "FLAT"
    assert names["experiments"]["attention"]["binding"] == "fusemax-binding"
    assert json.loads(json.dumps(names)) == names


# ---------------------------------------------------------------------------------------------- what cannot be drawn

WANTED = "expected the folder of a sweep (with 'sweep.sqlite') or of a reproduction (with 'results.csv')"


def refusal(folder: Path) -> str:
    with pytest.raises(InputError) as refused:
        plot_folder(folder)
    return str(refused.value)


def test_a_folder_that_is_neither(tmp_path: Path) -> None:
    assert refusal(tmp_path) == f"{tmp_path}: {WANTED}, found neither"
    assert refusal(tmp_path / "none") == f"{tmp_path / 'none'}: no such folder"
    for name in ("b", "a"):
        (tmp_path / name).mkdir()
        (tmp_path / name / RESULTS).write_text("")
    near = f"'{tmp_path / 'a'}' or '{tmp_path / 'b'}'"
    assert refusal(tmp_path) == f"{tmp_path}: {WANTED}, found neither (did you mean {near}?)"
    assert refusal(tmp_path / "a" / RESULTS) == f"{tmp_path / 'a' / RESULTS}: {WANTED}, got a file"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", ":1: is no table of results: expected a column 'figure'"),
        ("figure,model\n", ":1: is no table of results: expected a column 'seq_len'"),
        (results_text().split("\n")[0], ": holds no results: nothing to draw"),
        (
            results_text(value="much"),
            ":2: expected numbers for 'seq_len' and 'value' (could not convert string to float: 'much')",
        ),
    ],
)
def test_a_table_that_is_none(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / RESULTS).write_text(text, encoding="utf-8")
    assert refusal(tmp_path) == f"{tmp_path / RESULTS}{said}"


def test_results_without_anything_to_draw(tmp_path: Path) -> None:
    (tmp_path / RESULTS).write_text(results_text(unit="apples"), encoding="utf-8")
    said = "holds no time, energy or utilization that every design has: nothing to draw"
    assert refusal(tmp_path) == f"{tmp_path}: {said}"


def test_the_command(folder: Path) -> None:
    status, out, err = run(["plot", str(folder)])
    assert (status, out) == (0, "")
    assert err.splitlines()[-1] == f"written: {folder / 'charts.html'}"
    status, out, err = run(["plot", str(folder / "figures")])
    assert (status, out, err) == (2, "", f"{folder / 'figures'}: {WANTED}, found neither\n")
