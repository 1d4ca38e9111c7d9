"""Figures and tables of cascades with thirty Einsums stay readable: rows, legends, lines that wrap, narrow tables."""

from contextlib import nullcontext
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from rich.console import Console

from einsums import Cascade, analyse_passes, edges_of
from sim.design.assemble import load_experiment
from sim.explore.run import SweepOptions, sweep
from sim.load.nouns import load_cascade
from sim.report.design.cascade_places import MOST_LAYERS, WAY, rows_of, sources_of
from sim.report.design.plots_cascade import draw_cascade
from sim.report.design.plots_waterfall import LEFT, WIDTH, draw_waterfall
from sim.report.design.simulation_table import stall_table
from sim.report.design.waterfall import MOST_LANES, Waterfall, WaterfallRow, waterfall_of
from sim.report.parts.collecting import MOST_PARTS, OTHERS, collected
from sim.report.sweep.charts import charts_of
from sim.report.sweep.closely import Closely
from sim.report.sweep.data import Study, heat_data
from sim.report.sweep.plots import draw_heat
from sim.report.sweep.plots_bars import _stack
from sim.simulation.flow import simulate
from sim.timeline.recorder import record_timeline
from sim.timeline.types import Stretch
from tests.small_design import run
from tests.small_sweep import write_sweep

# ----------------------------------------------------------------------------------------------------- graphs


def chain(folder: Path, length: int) -> Cascade:
    """An input, then each Einsum from the one before."""
    lines = ["  T0[m] = exp(A[m])", *(f"  T{i}[m] = exp(T{i - 1}[m])" for i in range(1, length))]
    head = "name: chain\nranks: {M: length}\ninputs: {A: [M]}\n"
    path = folder / f"chain-{length}.yaml"
    path.write_text(head + f"outputs: [T{length - 1}]\neinsums: |\n" + "\n".join(lines) + "\n")
    return load_cascade(str(path))


@pytest.mark.parametrize(("name", "rank"), [("encoder-layer", "D"), ("encoder-layer", "M"), ("attention-1pass", "M")])
def test_rows_hold_every_einsum_once_and_all_that_it_reads(name: str, rank: str) -> None:
    cascade = load_cascade(name)
    rows = rows_of(cascade, analyse_passes(cascade, rank))
    assert sorted(one for row in rows for one in row.einsums) == sorted(e.name for e in cascade.einsums)
    carried = {(edge.source, edge.reader) for edge in edges_of(cascade) if edge.is_carried}
    for row in rows:
        layers = [place.layer for place in row.places.values()]
        assert min(layers) == 0 and max(layers) < MOST_LAYERS
        for reader in row.einsums:
            for source in sources_of(cascade)[reader]:
                is_forward = row.places[source].layer < row.places[reader].layer
                assert is_forward or (source, reader) in carried
        for layer in set(layers):
            heights = sorted(place.y for place in row.places.values() if place.layer == layer)
            assert all(above - below > 0.25 for below, above in pairwise(heights))


def test_passes_stay_whole_where_they_fit() -> None:
    """Of seven passes over D, those of 8 and 3 layers, then 3, 3 and 3, then 3 and 1."""
    cascade = load_cascade("encoder-layer")
    analysis = analyse_passes(cascade, "D")
    rows = rows_of(cascade, analysis)
    assert [sorted({analysis.pass_of(name) for name in row.einsums}) for row in rows] == [[1, 2], [3, 4, 5], [6, 7]]


def test_a_long_pass_goes_on_in_the_next_row(tmp_path: Path) -> None:
    """Thirty steps of one pass: eleven a row, since one place holds what comes from the row before."""
    cascade = chain(tmp_path, 30)
    rows = rows_of(cascade, analyse_passes(cascade, "M"))
    assert [len(row.einsums) for row in rows] == [11, 11, 8]
    others = [[name for name in row.places if WAY not in name and name not in row.einsums] for row in rows]
    assert others == [["A"], ["T10"], ["T21"]]
    drawn = draw_cascade(cascade, "M")
    texts = [text.get_text() for text in drawn.axes[0].texts if text.get_text().startswith("pass")]
    assert texts == ["pass 1", "pass 1, continued", "pass 1, continued"]
    legend = [text.get_text() for text in drawn.axes[0].get_legend().get_texts()]
    assert legend == ["input", "from another row"]
    assert drawn.get_size_inches()[0] < 13


@pytest.mark.parametrize(("length", "rows"), [(MOST_LAYERS - 1, 1), (MOST_LAYERS, 2)])
def test_a_short_graph_has_one_row(tmp_path: Path, length: int, rows: int) -> None:
    """The input takes a layer too."""
    cascade = chain(tmp_path, length)
    assert len(rows_of(cascade, analyse_passes(cascade, "M"))) == rows


# ---------------------------------------------------------------------------------------------------- legends


def test_the_smallest_of_many_parts_are_together() -> None:
    rows = [{f"E{i}": float(i) for i in range(1, 31)}, {"E1": 1000.0, "E30": 1.0}]
    found = collected(rows, 4)
    # In sum: E1 1001, E30 31, E29 29; the others of the first row are E2 to E28.
    assert found == [
        {"E1": 1.0, "E29": 29.0, "E30": 30.0, OTHERS: float(sum(range(2, 29)))},
        {"E1": 1000.0, "E30": 1.0},
    ]
    assert [sum(row.values()) for row in found] == [sum(row.values()) for row in rows]


def test_few_parts_keep_their_names() -> None:
    rows = [{f"E{i}": 1.0 for i in range(MOST_PARTS)}]
    assert collected(rows) == rows


def test_a_legend_of_thirty_einsums_names_the_largest() -> None:
    axes = Figure().subplots()
    _stack(axes, ["one"], [{f"E{i}": float(i + 1) for i in range(30)}])
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert labels == [*(f"E{i}" for i in range(30 - MOST_PARTS + 1, 30)), OTHERS]
    looks = {(patch.get_facecolor(), patch.get_hatch()) for patch in axes.get_legend().get_patches()}
    assert len(looks) == MOST_PARTS
    assert sum(bar.get_width() for bar in axes.patches) == sum(range(1, 31))


# ------------------------------------------------------------------------------------------- workloads in charts


@pytest.mark.parametrize(
    ("fixed", "expected"),
    [
        ({"model": "XLM", "seq_len": 4096}, "XLM at length 4K, batch 64"),
        (None, "BERT at length 1K, batch 64"),  # those of the experiment
    ],
)
def test_charts_of_one_workload_name_it(tmp_path: Path, fixed: Any, expected: str) -> None:
    axes = {
        "rows": {"path": "architecture.components.PE2D.rows", "values": [64, 128, 256]},
        "columns": {"path": "architecture.components.PE2D.columns", "values": [64, 128, 256]},
    }
    path = write_sweep(tmp_path, axes=axes, fixed=fixed, constraints=None)
    study = Study(sweep(str(path), tmp_path / "out", SweepOptions(workers=1)).points())
    charts = {chart.name: chart for chart in charts_of(study, Closely())}
    assert {"pareto", "heat-map"} <= set(charts)
    assert all(f" Workload: {expected}." in chart.seen for chart in charts.values())


def test_a_map_is_in_the_unit_of_what_it_shows(tmp_path: Path) -> None:
    axes = {
        "rows": {"path": "architecture.components.PE2D.rows", "values": [64, 128, 256]},
        "columns": {"path": "architecture.components.PE2D.columns", "values": [64, 128, 256]},
    }
    path = write_sweep(tmp_path, axes=axes, fixed={"model": "BERT", "seq_len": 1024}, constraints=None)
    study = Study(sweep(str(path), tmp_path / "out", SweepOptions(workers=1)).points())
    data = heat_data(study)
    assert data is not None
    found, bar = draw_heat(data).axes
    assert bar.get_ylabel() == "Time (ms)"
    expected = [
        [point.value("latency_s") * 1e3 for point in study.points if point.axis(data.up.name) == value]
        for value in data.up.values
    ]
    np.testing.assert_allclose(found.images[0].get_array(), expected)


def test_charts_of_several_workloads_hold_one(tmp_path: Path) -> None:
    axes = {
        "length": {"path": "seq_len", "values": [1024, 2048]},
        "rows": {"path": "architecture.components.PE2D.rows", "values": [64, 128, 256]},
    }
    path = write_sweep(tmp_path, axes=axes, derive=None, constraints=None, fixed={"model": "T5"})
    study = Study(sweep(str(path), tmp_path / "out", SweepOptions(workers=1)).points())
    (pareto,) = charts_of(study, Closely())
    assert pareto.seen.endswith(" Workload: T5, batch 64. Held: Length: 2K.")


# -------------------------------------------------------------------------------------------------- waterfalls


@pytest.mark.parametrize("count", [0, 30])
def test_a_note_wraps_and_pushes_nothing_aside(count: int) -> None:
    note = "cycles 0 to 100 of 100" + "".join(f", EINSUM{i}" for i in range(count))
    waterfall = Waterfall("a title " * (1 + count), note, 0, 100, (), (WaterfallRow("PE", "A", ()),))
    canvas = draw_waterfall(waterfall)
    canvas.draw_without_rendering()
    width, _ = canvas.get_size_inches() * canvas.dpi
    boxes = [text.get_window_extent() for text in canvas.texts]
    assert max(box.x1 for box in boxes) <= width
    joined = " ".join(text.get_text() for text in canvas.texts)
    assert note in joined and waterfall.title.strip() in joined
    titles = [box for text, box in zip(canvas.texts, boxes, strict=True) if text.get_text() != "newest tile"]
    assert all(above.y0 >= below.y1 - 3 for above, below in pairwise(titles))
    assert min(box.y0 for box in boxes) >= canvas.axes[0].get_window_extent().y1
    assert min(box.x0 for box in titles) == pytest.approx(LEFT / WIDTH * width, abs=2)


def test_results_too_many_to_be_told_apart_are_one_bar_for_each_tile() -> None:
    """A result leaves every few cycles and takes 255: some eighteen are on their way at any time."""
    timeline = record_timeline(load_experiment("flat"), Stretch(), 4000)
    waterfall = waterfall_of(timeline, "x")
    for row in waterfall.rows:
        results = [bar for bar in row.bars if bar.look == "result"]
        assert all(bar.lanes <= MOST_LANES for bar in results)
    (maxima,) = (row for row in waterfall.rows if row.label == "GM")
    spans = [span for span in timeline.on("PE1D", "result") if span.name == "GM" and span.tile == 0]
    bars = [bar for bar in maxima.bars if bar.look == "result" and bar.text == "0"]
    assert len(spans) > 100 and len(bars) < 4
    assert (bars[0].start, bars[-1].end) == (spans[0].start, min(max(s.end for s in spans), waterfall.last))


@pytest.mark.parametrize("is_terminal", [True, False])
def test_what_takes_long_says_what_it_does_on_a_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_terminal: bool
) -> None:
    told: list[str] = []

    def status(console: Console, text: str) -> Any:
        told.append(text)
        return nullcontext()

    axes = {"rows": {"path": "architecture.components.PE2D.rows", "values": [64, 128]}}
    path = write_sweep(tmp_path, axes=axes, derive=None, constraints=None)
    sweep(str(path), tmp_path / "out", SweepOptions(workers=1))
    monkeypatch.setattr(Console, "is_terminal", is_terminal)
    monkeypatch.setattr(Console, "status", status)
    trace = ["trace", "unfused", "-o", str(tmp_path / "a.json"), "--plot", str(tmp_path / "a.svg")]
    trace += ["--max-events", "300"]
    assert run(trace)[::2] == (0, "")
    assert run(["plot", str(tmp_path / "out")])[0] == 0
    expected = ["running the cycle engine", "drawing 300 events", "simulating 2 of 2 points in full"]
    assert told == (expected if is_terminal else [])


# ------------------------------------------------------------------------------------------------------ tables


def test_the_table_of_stalls_fits_eighty_columns() -> None:
    result = simulate(load_experiment("flat", {"seq_len": 1024}), "cycle")
    table = stall_table(result)
    assert table.header == ("array", "activity", "cycles", "share")
    widths = [max(len(row[i]) for row in (table.header, *table.rows)) for i in range(4)]
    assert sum(widths) + 4 * 4 < 80
    for array, lost in result.stall_cycles.items():
        own = {activity: cycles for name, activity, cycles, _ in table.rows if name == array}
        issued = result.cycles - sum(lost.values())
        expected = {"issues": issued} | lost
        assert own == {name: f"{cycles:,.0f}" for name, cycles in expected.items() if cycles}
