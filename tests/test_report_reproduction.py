"""Do the files of a reproduction hold every number, once, readably and always the same?"""

import csv
import io
import itertools
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.container import BarContainer

from sim.load.nouns import CATALOGS
from sim.load.problems import InputError
from sim.report.parts.files import make_folder, write_file
from sim.report.parts.html import inline_svg, number, percent, table
from sim.report.parts.plots_bars import lay_out
from sim.report.parts.plots_style import DESIGN_COLOURS, PART_COLOURS
from sim.report.parts.workloads import length_label
from sim.report.reproduction.accountings import growths
from sim.report.reproduction.figure_data import bar_data, curve_data, stack_data
from sim.report.reproduction.headline import headline_rows, shown, shown_difference, shown_published
from sim.report.reproduction.page import reproduction_page
from sim.report.reproduction.plots import draw, render
from sim.report.reproduction.results import results_csv
from sim.report.reproduction.tables import headline_table
from sim.report.reproduction.writing import write_reproduction
from sim.reproduction.parts import Bars, Curve, Stacks
from sim.reproduction.points import ReproductionRun
from sim.reproduction.run import run_reproduction
from tests.small_design import run as command

DESIGNS = ("unfused", "flat", "cascade", "architecture", "binding")
MODELS = ("BERT", "TrXL", "T5", "XLM")
LENGTHS = (1024, 4096, 16384, 65536, 262144, 1048576)


@pytest.fixture(scope="module")
def run() -> ReproductionRun:
    return run_reproduction("fusemax")


@pytest.fixture(scope="module")
def rows(run: ReproductionRun) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(results_csv(run))))


# ------------------------------------------------------------------------------------------- results.csv


def test_results_have_the_agreed_columns_and_order(rows: list[dict[str, str]]) -> None:
    assert list(rows[0]) == [
        "figure", "model", "seq_len", "design", "kernel", "metric", "value", "unit", "einsum", "accounting",
    ]  # fmt: skip
    accountings = [row["accounting"] for row in rows]
    assert accountings == sorted(accountings, key=["published", "complete"].index)
    figures = list(dict.fromkeys(row["figure"] for row in rows))
    assert figures == ["6a", "6b", "7", "8", "9", "10", "11", "12"]


def test_results_hold_every_point_once(rows: list[dict[str, str]]) -> None:
    keys = Counter(tuple(row[k] for k in row if k not in ("value", "unit")) for row in rows)
    assert max(keys.values()) == 1
    points = {(m, str(length), d) for m in MODELS for length in LENGTHS for d in DESIGNS}
    wanted = {
        ("6a", "attention", "util_1d"), ("6b", "attention", "util_2d"), ("7", "attention", "latency_s"),
        ("7", "attention", "area_um2"), ("8", "attention", "energy_pj"), ("8", "attention", "traffic_bytes"),
        ("10", "end-to-end", "latency_s"), ("10", "linear", "latency_s"), ("11", "end-to-end", "energy_pj"),
        ("11", "linear", "energy_pj"), ("11", "end-to-end", "traffic_bytes"), ("11", "linear", "traffic_bytes"),
    }  # fmt: skip
    for accounting in ("published", "complete"):
        own = [row for row in rows if row["accounting"] == accounting]
        for figure, kernel, metric in wanted:
            place = {"figure": figure, "kernel": kernel, "metric": metric}
            series = [row for row in own if place.items() <= row.items()]
            assert {(row["model"], row["seq_len"], row["design"]) for row in series} == points
            assert len(series) == 120
        others = {(r["figure"], r["kernel"], r["metric"]) for r in own if r["figure"] not in ("9", "12")}
        assert others == wanted
        sweep = [(row["design"], row["metric"]) for row in own if row["figure"] == "12"]
        sides = (16, 32, 64, 128, 256, 512)
        metrics = ("latency_s", "area_um2", "traffic_bytes")
        assert sweep == [(f"binding-{side}", metric) for metric in metrics for side in sides]


def test_results_are_exact(run: ReproductionRun, rows: list[dict[str, str]]) -> None:
    units = {"latency_s": "s", "energy_pj": "pJ", "traffic_bytes": "bytes", "area_um2": "um2"}
    for row in rows:
        assert row["unit"] == units.get(row["metric"], "fraction")
        if row["figure"] in ("9", "12"):
            continue
        workload = (row["model"], int(row["seq_len"]))
        point = run.point(row["accounting"], row["kernel"], row["design"], workload)
        assert float(row["value"]) == point.value(row["metric"])


def test_shares_of_einsums_add_up_to_the_utilization(rows: list[dict[str, str]]) -> None:
    sums: dict[tuple[str, ...], float] = {}
    for row in (r for r in rows if r["figure"] == "9"):
        key = (row["accounting"], row["design"], row["model"], row["seq_len"])
        sums[key] = sums.get(key, 0.0) + float(row["value"])
    assert len(sums) == 2 * 2 * 24
    whole = {
        (r["accounting"], r["design"], r["model"], r["seq_len"]): float(r["value"]) for r in rows if r["figure"] == "6b"
    }
    assert all(value == pytest.approx(whole[key], rel=1e-12) for key, value in sums.items())


# ------------------------------------------------------------------------------------------------ figures


def test_every_figure_draws_every_value(run: ReproductionRun) -> None:
    for figure in run.reproduction.figures:
        canvas = draw(run, figure, "published")
        match figure:
            case Bars():
                data = bar_data(run, figure, "published")
                (axes,) = canvas.axes
                bars = [c for c in axes.containers if isinstance(c, BarContainer)]
                drawn = [[bar.get_height() for bar in container] for container in bars]
                rows = (*data.values, data.means)
                assert drawn == [[row[d] for row in rows] for d in range(5)]
                assert sum(map(len, drawn)) == 5 * 25
                colours = [to_hex(container[0].get_facecolor()).upper() for container in bars]
                assert colours == list(DESIGN_COLOURS[:5])
            case Stacks():
                stacks = stack_data(run, figure, "published")
                assert len(canvas.axes) == len(figure.designs)
                for d, axes in enumerate(canvas.axes):
                    for p, container in enumerate(axes.containers):
                        rows_of_part = [row[d][p] for row in (*stacks.values, stacks.means)]
                        assert [bar.get_height() for bar in container] == pytest.approx(rows_of_part)
                    tops = [bar.get_y() + bar.get_height() for bar in axes.containers[-1]]
                    assert tops == pytest.approx([sum(row[d]) for row in (*stacks.values, stacks.means)])
            case Curve():
                curve = curve_data(run, figure, "published")
                ours, published = canvas.axes[0].lines
                assert list(ours.get_ydata()) == list(curve.y)
                assert list(ours.get_xdata()) == [x / 1e8 for x in curve.x]
                assert len(published.get_ydata()) == 6


def test_a_speedup_divides_the_other_way_than_a_ratio(run: ReproductionRun) -> None:
    by_name = {figure.name: figure for figure in run.reproduction.figures}
    speedup, energy = by_name["7"], by_name["8"]
    assert isinstance(speedup, Bars)
    assert isinstance(energy, Bars)
    last = ("XLM", 1048576)
    point = {d: run.point("published", "attention", d, last) for d in DESIGNS}
    assert bar_data(run, speedup, "published").values[-1][4] == (
        point["unfused"].value("latency_s") / point["binding"].value("latency_s")
    )
    assert bar_data(run, energy, "published").values[-1][4] == (
        point["binding"].value("energy_pj") / point["unfused"].value("energy_pj")
    )
    assert bar_data(run, speedup, "published").published[-1] == (None,) * 5
    assert None not in bar_data(run, speedup, "published").published[0]


def test_clusters_do_not_overlap() -> None:
    layout = lay_out([(model, length) for model in ("a", "b") for length in (1, 2, 4)])
    edges = [layout.bar(c, 3, b) for c in range(7) for b in range(3)]
    assert all(left + width <= nxt + 1e-9 for (left, width), (nxt, _) in itertools.pairwise(edges))
    assert [name for name, *_ in layout.models] == ["a", "b", "Mean"]
    assert layout.models[0][2] < layout.models[1][1]


def test_figures_are_whole_images_and_always_the_same(run: ReproductionRun) -> None:
    figure = run.reproduction.figures[0]
    first, second = (render(run, figure, "published") for _ in range(2))
    assert first == second
    assert first.png.startswith(b"\x89PNG")
    root = ElementTree.fromstring(first.svg)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert "dc:date" not in first.svg


def test_texts_of_a_figure_do_not_overlap(run: ReproductionRun) -> None:
    for figure in run.reproduction.figures:
        canvas = draw(run, figure, "published")
        renderer = FigureCanvasAgg(canvas).get_renderer()
        canvas.draw_without_rendering()
        for axes in canvas.axes:
            texts = [t for t in (*axes.texts, *axes.get_xticklabels()) if t.get_text() and t.get_visible()]
            boxes = [text.get_window_extent(renderer).shrunk(0.98, 0.8) for text in texts]
            clashes = [
                (a.get_text(), b.get_text())
                for i, a in enumerate(texts)
                for j, b in enumerate(texts[:i])
                if boxes[i].overlaps(boxes[j])
            ]
            assert clashes == [], figure.name


def test_colours_are_distinct() -> None:
    assert len(set(DESIGN_COLOURS)) == len(DESIGN_COLOURS)
    assert len(set(PART_COLOURS)) == len(PART_COLOURS)


@pytest.mark.parametrize(
    ("length", "label"), [(1024, "1K"), (2**20, "1M"), (262144, "256K"), (1000, "1000"), (1536, "1536")]
)
def test_length_label(length: int, label: str) -> None:
    assert length_label(length) == label


# --------------------------------------------------------------------------------------------------- page


class Links(HTMLParser):
    """Tags that never close, ids, and everything a browser would fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.targets: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("meta", "br"):
            self.open.append(tag)
        self._look(attrs)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._look(attrs)

    def _look(self, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id":
                self.ids.append(str(value))
            if name in ("href", "src", "xlink:href"):
                self.targets.append(str(value))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_page_is_one_closed_file(run: ReproductionRun) -> None:
    figures = run.reproduction.figures
    page = reproduction_page(run, {f.name: render(run, f, "published").svg for f in figures})
    links = Links()
    links.feed(page)
    assert links.open == []
    assert all(target.startswith("#") for target in links.targets)
    assert [i for i, count in Counter(links.ids).items() if count > 1] == []
    assert {target[1:] for target in links.targets} <= set(links.ids)
    assert page.count("<svg") == len(figures) == 8
    for row in headline_rows(run):
        assert row.headline.label in page
    for point in run.points:
        assert point.hash[:16] in page
    assert "270 published values: 261 equal" in page
    assert "FLAT</td><td>BERT</td><td>64K</td>" in page
    assert run.reproduction.explanations[0].reason in page
    assert "<p>Attention: energy is multiplied on average by 1.48 for Unfused and by 1.62 for +" in page
    assert "<p>Attention energy relative to FLAT: 79.4% becomes <b>85.2%</b>.</p>" in page


def test_page_escapes_what_the_file_says(run: ReproductionRun) -> None:
    evil = run.reproduction.model_copy(update={"title": "<script>alert(1)</script> & more"})
    svg = '<?xml version="1.0"?><svg width="1" height="1"></svg>'
    page = reproduction_page(ReproductionRun(evil, run.points, run.published), {f.name: svg for f in evil.figures})
    assert "<script>" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; more" in page


def test_table_marks_numbers_and_words() -> None:
    found = table(["Name", "Value", "Why"], [["a<b", 1234567.0, "x"]], 1, ["differs"])
    assert '<tr class="differs"><td>a&lt;b</td><td class="number">1.23457e6</td><td class="why">x</td></tr>' in found


def test_inline_svg_keeps_names_apart() -> None:
    svg = (
        '<?xml version="1.0"?>\n<svg width="5pt" height="6pt" viewBox="0 0 5 6"><metadata>when</metadata>'
        '<defs><path id="a"/></defs><use xlink:href="#a" clip-path="url(#a)"/></svg>'
    )
    assert inline_svg(svg, "6a", 'the "first"') == (
        '<svg viewBox="0 0 5 6" role="img" aria-label="the &quot;first&quot;"><defs><path id="fig-6a-a"/></defs>'
        '<use xlink:href="#fig-6a-a" clip-path="url(#fig-6a-a)"/></svg>'
    )


def test_numbers_are_short_and_differences_signed() -> None:
    assert [number(x) for x in (0.5, 123456.0, 1.5e-7, 6.8e15, 0.0)] == ["0.5", "123456", "1.5e-7", "6.8e15", "0"]
    assert [percent(x) for x in (0.0, 1e-12, 0.0123, -0.5)] == ["0", "0", "+1.23%", "-50%"]


# ------------------------------------------------------------------------------------------ headline, growth


def test_headline_numbers_are_shown_as_published(run: ReproductionRun) -> None:
    row = headline_rows(run)[0]
    assert (shown_published(row.headline), shown(row.headline, 6.7226, 1), shown_difference(row)) == (
        "6.7x",
        "6.72x",
        "+0.3%",
    )
    bound = headline_rows(run)[-1]
    assert shown_published(bound.headline) == "≥ 95%"
    assert shown(bound.headline, 0.61, 1) == "61.0%"


def test_headline_table_names_every_number_and_both_accountings(run: ReproductionRun) -> None:
    lines = headline_table(run).splitlines()
    assert lines[1].split() == ["published", "ours", "difference", "complete"]
    assert len(lines) == 2 + 12 + 1
    assert re.split(r"\s{2,}", lines[3]) == ["Attention energy relative to FLAT", "79%", "79.4%", "+0.6%", "85.2%"]
    assert lines[5].startswith("End-to-end energy relative to FLAT *")
    assert lines[-1] == "* does not round to the published number; the page says why"


def test_growth_is_of_energy_alone(run: ReproductionRun) -> None:
    found = growths(run)
    assert {growth.metric for growth in found if growth.changes} == {"energy_pj"}
    assert len(found) == (7 + 7 + 3) * 5
    mean = next(g for g in found if (g.kernel, g.metric, g.design) == ("attention", "energy_pj", "binding"))
    factors = [
        run.point("complete", "attention", "binding", w).value("energy_pj")
        / run.point("published", "attention", "binding", w).value("energy_pj")
        for w in run.workloads
    ]
    assert (mean.least, mean.largest) == (min(factors), max(factors))
    assert mean.mean == pytest.approx(sum(factors) / 24)


# -------------------------------------------------------------------------------------------------- files


def content_of(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def with_one_figure_of_each_kind(tmp_path: Path) -> Path:
    folder = CATALOGS["reproduction"].folder
    shutil.copytree(folder / "fusemax", tmp_path / "fusemax")
    data = yaml.safe_load((folder / "fusemax.yaml").read_text("utf-8"))
    data["figures"] = [figure for figure in data["figures"] if figure["name"] in ("8", "9", "12")]
    path = tmp_path / "paper.yaml"
    path.write_text(yaml.safe_dump(data, sort_keys=False), "utf-8")
    return path


def test_two_runs_write_the_same_bytes(tmp_path: Path) -> None:
    said: list[str] = []
    paper = str(with_one_figure_of_each_kind(tmp_path))
    written = write_reproduction(run_reproduction(paper, said.append), tmp_path / "here", said.append)
    # Another process, another hash seed.
    program = (
        "import sys; from pathlib import Path; from sim.report.reproduction.writing import write_reproduction as write\n"
        "from sim.reproduction.run import run_reproduction as run; write(run(sys.argv[1]), Path(sys.argv[2]), str)"
    )
    root = Path(__file__).resolve().parents[1]
    environment = {**os.environ, "PYTHONPATH": str(root), "PYTHONHASHSEED": "7"}
    subprocess.run(
        [sys.executable, "-c", program, paper, str(tmp_path / "there")], env=environment, cwd=root, check=True
    )
    here, there = content_of(tmp_path / "here"), content_of(tmp_path / "there")
    assert sorted(here) == sorted(there)
    assert [name for name in here if here[name] != there[name]] == []
    pictures = {f"figures/figure-{name}.{suffix}" for name in ("8", "9", "12") for suffix in ("svg", "png")}
    assert set(here) == {"results.csv", "reproduction.json", "index.html"} | pictures
    assert written.index == tmp_path / "here" / "index.html"
    assert {str(path.relative_to(tmp_path / "here")) for path in written.files} == set(here)
    assert "Attention speedup over FLAT" in written.headline
    assert said[0] == "As published: 246 points"
    assert "figure 12" in said


SMALL = """
name: small
title: Two machines
source: none
models: [T5]
lengths: [1024, 1500]
designs: {edge: {label: Edge}, cloud: {label: Cloud}}
metrics: {latency_s: {label: Latency, unit: s, quantity: latency}}
kernels: {layers: {label: Layers, experiments: {edge: linear-flat, cloud: linear-fusemax}}}
accountings: {only: {label: Only}}
figures:
  - {name: a, title: Time, kind: bars, kernel: layers, metric: latency_s, axis_label: Latency (s)}
"""


def test_another_description_without_headline_sweeps_or_published_values(tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(SMALL, "utf-8")
    written = write_reproduction(run_reproduction(str(tmp_path / "small.yaml")), tmp_path / "out", str)
    with (tmp_path / "out" / "results.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["seq_len"], row["design"], row["accounting"]) for row in rows] == [
        (length, design, "only") for length in ("1024", "1500") for design in ("edge", "cloud")
    ]
    page = written.index.read_text("utf-8")
    titles = re.findall(r"<h2[^>]*>([^<]*)</h2>", page)
    assert titles == ["Figures", "What was run"]


def test_an_interrupted_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "results.csv"
    write_file(path, b"old")

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_file(path, b"new")
    assert content_of(tmp_path) == {"results.csv": b"old"}


def test_a_folder_that_cannot_be_written_is_said_before_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "out").write_text("a file")
    with pytest.raises(InputError) as caught:
        make_folder(tmp_path / "out" / "deeper")
    assert str(caught.value) == f"{tmp_path / 'out' / 'deeper'}: cannot be written (Not a directory)"
    monkeypatch.setattr("sim.commands.reproduce.run_reproduction", lambda *_: pytest.fail("the run began"))
    refused = (2, "", f"{tmp_path / 'out'}: cannot be written (File exists)\n")
    assert command(["reproduce", "fusemax", "--out", str(tmp_path / "out")]) == refused


def test_the_reproduction_can_be_loaded_without_matplotlib() -> None:
    program = "import sys, sim.reproduction.run, sim.report; print('matplotlib' in sys.modules)"
    root = Path(__file__).resolve().parents[1]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, cwd=root, check=True, capture_output=True, text=True
    )
    assert done.stdout.strip() == "False"
