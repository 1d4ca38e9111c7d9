"""Charts and the page of a sweep: every mark is what the points say, and the page holds all of them."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import yaml
from matplotlib.colors import to_hex
from matplotlib.figure import Figure as Canvas

from sim import load_experiment, simulate
from sim.commands.plot import look_closely, plot_folder
from sim.explore.closely import experiment_of
from sim.explore.least_traffic import least_traffic, on_chip_bytes
from sim.explore.points import read_points
from sim.explore.run import sweep
from sim.load.nouns import CATALOGS
from sim.load.problems import InputError
from sim.report.parts.plots_labels import place_labels
from sim.report.parts.plots_roofline import draw_roofline
from sim.report.parts.plots_style import colour_of
from sim.report.parts.units import fitted
from sim.report.sweep.best import best_data
from sim.report.sweep.breakdown import best_designs, compare_data
from sim.report.sweep.charts import ChartOf, charts_of, read_study
from sim.report.sweep.closely import Closely
from sim.report.sweep.data import Study, heat_data, measure, pareto_data, settled_measure
from sim.report.sweep.named import named_designs
from sim.report.sweep.page import sweep_page
from sim.report.sweep.plots import draw_heat, draw_slopes
from sim.report.sweep.plots_bars import draw_breakdown, draw_compare
from sim.report.sweep.plots_pareto import draw_pareto
from sim.report.sweep.rows import detailed_rows
from sim.report.sweep.slopes import slope_data
from sim.simulation.roofline import roof_of
from tests.small_design import HANGS_S

MACHINE = "architecture.components"
SWEEP = {
    "name": "cascades",
    "title": "Buffer & <cascade>",
    "experiment": "fusemax-binding",
    "fixed": {"model": "BERT"},
    "axes": {
        "cascade": {"path": "mapping", "values": ["attention-3pass-fused", "attention-2pass-fused", "fusemax-binding"]},
        "seq_len": {"path": "seq_len", "values": [4096, 65536]},
        "rows": {"path": f"{MACHINE}.PE2D.rows", "values": [64, 128, 256]},
        "buffer": {"path": f"{MACHINE}.GLB.size", "values": [1, 4, 16, 64], "unit": "MiB"},
    },
    "objectives": [{"minimize": "latency_s"}, {"minimize": "energy_pj"}],
    "record": ["traffic_bytes.DRAM", "utilization.PE2D"],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished sweep with its charts."""
    folder = tmp_path_factory.mktemp("sweep")
    (folder / "s.yaml").write_text(yaml.safe_dump(SWEEP, sort_keys=False), encoding="utf-8")
    sweep(str(folder / "s.yaml"), folder / "out")
    plot_folder(folder / "out")
    return folder / "out"


@pytest.fixture(scope="module")
def study(folder: Path) -> Study:
    return Study(read_points(folder))


@pytest.fixture(scope="module")
def closely(study: Study) -> Closely:
    return look_closely(study)


def charts_in(folder: Path) -> tuple[ChartOf, ...]:
    study = read_study(folder)
    return charts_of(study, look_closely(study))


def data_of(page: str) -> dict:
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page).group(1))


def test_which_charts_apply_follows_from_axes_and_objectives(study: Study, closely: Closely) -> None:
    names = [chart.name for chart in charts_of(study, closely)]
    assert names == ["speedup-energy", "pareto", "heat-map", "buffer-traffic", "breakdown", "roofline"]


def test_a_sweep_of_one_objective_over_one_axis_has_fewer_charts(tmp_path: Path) -> None:
    rows = {"rows": {"path": f"{MACHINE}.PE2D.rows", "values": [64, 128]}}
    data = SWEEP | {
        "axes": rows,
        "objectives": [{"minimize": "latency_s"}],
        "fixed": {"model": "BERT", "seq_len": 4096},
    }
    (tmp_path / "s.yaml").write_text(yaml.safe_dump(data, sort_keys=False), encoding="utf-8")
    sweep(str(tmp_path / "s.yaml"), tmp_path / "out")
    names = [chart.name for chart in charts_in(tmp_path / "out")]
    assert names == ["breakdown", "roofline"]  # energy is not known


def test_bars_are_ratios_of_points_on_one_machine(study: Study) -> None:
    data = compare_data(study)
    held = dict(data.held)
    assert set(held) == {"rows", "buffer"} and data.workloads == (("BERT", 4096), ("BERT", 65536))
    found = {
        (point.axis("seq_len"), point.axis("cascade")): point
        for point in study.points
        if all(point.axis(name) == value for name, value in held.items())
    }
    times, energies = (panel.patches for panel in draw_compare(data).axes)
    cascades = SWEEP["axes"]["cascade"]["values"]
    for s, cascade in enumerate(cascades):
        for w, (_, length) in enumerate(data.workloads):
            own, base = found[length, cascade], found[length, cascades[0]]
            place = s * 3 + w  # a bar for each workload, then the mean
            assert times[place].get_height() == base.value("latency_s") / own.value("latency_s")
            assert energies[place].get_height() == own.value("energy_pj") / base.value("energy_pj")
        means = [times[s * 3 + w].get_height() for w in range(3)]
        assert means[2] == pytest.approx((means[0] * means[1]) ** 0.5)


def test_stacks_add_up_to_the_energy_and_utilization_of_the_points(study: Study, closely: Closely) -> None:
    designs, _ = best_designs(study, closely.results)
    left, right = draw_breakdown(designs).axes
    for axes, totals in (
        (left, [design.point.value("energy_pj") * 1e-12 for design in designs]),
        (right, [share for design in designs for share in design.result.utilization.values()]),
    ):
        ends = [0.0] * len(totals)
        for bar in axes.patches:
            row = len(totals) - 1 - round(bar.get_y() + bar.get_height() / 2)
            ends[row] = max(ends[row], bar.get_x() + bar.get_width())
        np.testing.assert_allclose(ends, totals, rtol=1e-9)
    assert designs[0].result.utilization["PE2D"] == designs[0].point.value("utilization.PE2D")


def test_no_design_is_above_its_roof(study: Study, closely: Closely) -> None:
    roofs = tuple(roof_of(design.label, design.result) for design in best_designs(study, closely.results)[0])
    assert len(roofs) == 3
    for roof in roofs:
        assert roof.reached <= min(roof.peak, roof.intensity * roof.bandwidth_bytes_per_s) * (1 + 1e-9)
    slowest = roofs[0]  # three passes at 65536 positions wait for memory: on the slope
    assert slowest.reached == pytest.approx(slowest.intensity * slowest.bandwidth_bytes_per_s, rel=1e-3)
    marks = [line for line in draw_roofline(roofs).axes[0].lines if len(line.get_xdata()) == 1]
    assert [line.get_ydata()[0] for line in marks] == [roof.reached * 1e-12 for roof in roofs]


def test_pareto_draws_every_legal_point_and_the_front_that_brute_force_finds(study: Study) -> None:
    data = pareto_data(study, {"start": {"latency_s": 2.0, "energy_pj": 3e12}})
    held = dict(data.held)
    wanted = {
        (point.value("latency_s"), point.value("energy_pj") * 1e-12)
        for point in study.points
        if point.is_legal and all(point.axis(name) == value for name, value in held.items())
    }
    drawn = {(x, y) for cloud in data.clouds for x, y in zip(cloud.x, cloud.y, strict=True)}
    assert drawn == wanted and held["seq_len"] == 65536
    whole, close = draw_pareto(data, study).axes
    assert (whole.get_xlabel(), whole.get_ylabel()) == ("Time (s)", "Energy (kJ)")
    beaten = {p for p in wanted for q in wanted if q != p and q[0] <= p[0] and q[1] <= p[1]}
    wanted_front = {(x, y * 1e-3) for x, y in wanted - beaten}
    for axes in (whole, close):
        lines = {line.get_label(): line for line in axes.lines}
        front = set(zip(*(side.tolist() for side in lines["Pareto front"].get_data()), strict=True))
        assert front == wanted_front
        assert ([2.0], [0.003]) in [tuple(map(list, line.get_data())) for line in axes.lines]
    left, right = close.get_xlim()
    bottom, top = close.get_ylim()
    assert all(left < x < right and bottom < y < top for x, y in wanted_front)
    assert [text.get_text() for text in whole.texts] == ["a"]  # the name of the star, explained below the figure


def test_named_designs_are_those_that_ship_and_compute_the_same(study: Study, closely: Closely) -> None:
    named = named_designs(study, closely.start, closely.shipped)
    # Linear layers compute something else; GPUs are of another technology node.
    others = ("linear", "attention-h100", "decode-h100", "product-h100")
    assert set(named) == {name for name in CATALOGS["experiment"].names() if not name.startswith(others)}
    for name in ("unfused", "fusemax-binding"):
        result = simulate(load_experiment(name, model="BERT", seq_len=65536))
        assert (named[name]["latency_s"], named[name]["energy_pj"]) == (result.latency_s, result.energy_pj)
        assert named[name]["traffic_bytes.DRAM"] == sum(result.traffic_bytes["DRAM"].values())


def test_a_start_with_other_fixed_values_is_no_shipped_design(tmp_path: Path) -> None:
    data = SWEEP | {
        "fixed": {"model": "BERT", "architecture.clock": "1 GHz"},
        "axes": {"seq_len": SWEEP["axes"]["seq_len"], "rows": SWEEP["axes"]["rows"]},
        "objectives": [{"minimize": "latency_s"}, {"name": "edp", "minimize": "energy_pj*latency_s/E"}],
    }
    (tmp_path / "s.yaml").write_text(yaml.safe_dump(data, sort_keys=False), encoding="utf-8")
    sweep(str(tmp_path / "s.yaml"), tmp_path / "out")
    study = read_study(tmp_path / "out")
    closely = look_closely(study)
    named = named_designs(study, closely.start, closely.shipped)
    slower, faster = named["fusemax-binding"], named["start"]
    assert slower["latency_s"] / faster["latency_s"] == pytest.approx(1000 / 940)
    assert faster["edp"] == faster["energy_pj"] * faster["latency_s"] / 64


@pytest.mark.parametrize(
    ("label", "largest", "wanted"),
    [
        ("Energy (J)", 449_000.0, ("Energy (kJ)", 1e-3)),
        ("Energy (J)", 9_999.0, ("Energy (J)", 1.0)),
        ("DRAM traffic (GB)", 1.7e6, ("DRAM traffic (TB)", 1e-3)),
        ("Time (s)", 0.02, ("Time (ms)", 1e3)),
        ("Time (s)", 1e6, ("Time (s)", 1.0)),
        ("Area (mm²)", 1e9, ("Area (mm²)", 1.0)),
        ("Edp", 1e9, ("Edp", 1.0)),
    ],
)
def test_units_fit_what_is_shown(label: str, largest: float, wanted: tuple[str, float]) -> None:
    assert fitted(label, largest) == wanted


def test_names_cover_neither_each_other_nor_named_marks() -> None:
    canvas = Canvas(figsize=(4, 3), layout="constrained")
    axes = canvas.subplots()
    generator = np.random.default_rng(2)
    places = [(name, *generator.random(2)) for name in "abcdefghijkl"]
    axes.set(xlim=(0, 1), ylim=(0, 1))
    canvas.draw_without_rendering()
    place_labels(axes, places)
    boxes = [text.get_window_extent() for text in axes.texts]
    assert len(boxes) == len(places)
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
    for text, (name, x, y) in zip(axes.texts, places, strict=True):
        assert text.get_text() == name and text.xy == (x, y)
    marks = axes.transData.transform([(x, y) for _, x, y in places])
    assert not any(box.contains(*mark) for box in boxes for mark in marks)


def test_heat_map_has_the_best_point_in_each_cell_and_marks_empty_ones(study: Study) -> None:
    data = heat_data(study)
    canvas = draw_heat(data)
    for (title, _), axes in zip(data.panels, canvas.axes, strict=False):
        grid = axes.images[0].get_array().filled(np.nan)
        for (row, column), value in np.ndenumerate(grid):
            cell = [
                point.value("latency_s")
                for point in study.points
                if point.is_legal and point.axis("cascade") == title and point.axis("seq_len") == 65536
                and point.axis("rows") == data.across.values[column] and point.axis("buffer") == data.up.values[row]
            ]  # fmt: skip
            assert value == min(cell) if cell else np.isnan(value)
        assert len(axes.texts) == int(np.isnan(grid).sum())


def test_slopes_draw_measured_traffic_and_a_bound_below_it(study: Study, closely: Closely) -> None:
    data = slope_data(study, closely.results)
    canvas = draw_slopes(data)
    factor = {"DRAM traffic (GB)": 1e-9, "DRAM traffic (TB)": 1e-12}[canvas.axes[0].get_ylabel()]
    assert [title for title, _ in data.panels] == ["Sequence length: 4K", "Sequence length: 64K"]
    for (_, slopes), axes in zip(data.panels, canvas.axes, strict=True):
        solid = {to_hex(line.get_color()): line for line in axes.lines if line.get_marker() != "None"}
        for i, slope in enumerate(slopes):
            np.testing.assert_allclose(solid[colour_of(i).lower()].get_ydata(), slope.traffic_bytes * factor)
            assert (slope.bound_bytes <= slope.traffic_bytes * (1 + 1e-12)).all()


def test_no_point_moves_less_than_its_passes_allow(study: Study) -> None:
    ratios = []
    for point in list(study.points)[::3]:
        if point.is_legal:
            experiment = experiment_of(point)
            bound = least_traffic(experiment, np.array([on_chip_bytes(experiment)]))[0]
            ratios.append(point.value("traffic_bytes.DRAM") / bound)
    assert min(ratios) >= 1 - 1e-12
    assert min(ratios) < 1.001  # it is reached: the bound says something


def test_bound_of_three_passes_by_hand(study: Study) -> None:
    """What does not fit is either written and read again in both later passes, or K and V are read more often."""
    point = next(p for p in study.points if p.axis("cascade") == "attention-3pass-fused" and p.axis("seq_len") == 65536)
    heads, length, head_size, word = 64 * 12, 65536, 64, 2
    ends = 4 * length * head_size * word
    scores = length * length * word
    state = length * head_size * word  # of all queries, which is also the size of K, and of V
    for room, is_spilled in ((state / 8, True), (float(state), False)):
        tiles = state / room
        spilled = tiles * 2 * state + 2 * 2 * (scores - tiles * room)
        read_again = scores / room * 2 * state
        bound = least_traffic(experiment_of(point), np.array([room]))[0]
        assert bound == heads * (2 * state + min(spilled, read_again))
        assert (spilled < read_again) == is_spilled
    everything = least_traffic(experiment_of(point), np.array([1e15]))[0]
    assert everything == heads * ends


def test_page_has_every_point_with_its_exact_yaml_and_values(folder: Path, study: Study, closely: Closely) -> None:
    page = (folder / "index.html").read_text("utf-8")
    data = data_of(page)
    columns = {column["name"]: column for column in data["columns"]}
    assert columns["point"]["values"] == [point.point for point in study.points]
    for i, point in enumerate(study.points):
        lines = [data["yaml"]["lines"][line] for line in data["yaml"]["values"][i]]
        assert "\n".join(lines) + "\n" == point.to_yaml()
        reason = columns["reason"]["texts"][columns["reason"]["values"][i]]
        assert (reason == "") == point.is_legal and reason == point.reason
        for name, value in point.values:
            assert columns[name]["values"][i] == value
    assert [i for i, on in enumerate(data["front"]) if on] == study.points.front.tolist()
    assert page.count("<svg") == len(charts_of(study, closely)) and "Buffer &amp; &lt;cascade&gt;" in page
    assert not re.search(r'(?:src|href)="(?!#|data:)', page) and "url(http" not in page  # needs nothing else


def test_page_has_the_breakdown_of_legal_designs(folder: Path, study: Study) -> None:
    details = data_of((folder / "index.html").read_text("utf-8"))["details"]
    assert [int(row) for row in details["values"]] == np.flatnonzero(study.points.is_legal).tolist()
    for row, numbers in details["values"].items():
        known = dict(zip(details["labels"], numbers, strict=True))
        energy = sum(value for label, value in known.items() if label.endswith("energy (J)") and value is not None)
        assert energy * 1e12 == pytest.approx(study.points.at(int(row)).value("energy_pj"), rel=1e-12)
        traffic = known["DRAM traffic (GB)"]
        assert traffic * 1e9 == pytest.approx(study.points.at(int(row)).value("traffic_bytes.DRAM"), rel=1e-12)


def test_a_page_of_too_many_points_holds_the_fronts_and_says_so(
    study: Study, closely: Closely, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sim.report.sweep.rows.MOST_POINTS", 20)
    page = sweep_page(study, [], {}, closely.results)
    data = data_of(page)
    numbers = data["columns"][0]["values"]
    front = [study.points.at(int(row)).point for row in study.points.front]
    assert set(front) <= set(numbers) and 20 <= len(numbers) <= 20 + len(front) < len(study.points)
    assert [n for n, on in zip(numbers, data["front"], strict=True) if on] == front
    assert f"The {len(numbers)} points shown are the fronts and others evenly spread; all are in the store." in page
    for row in data["details"]["values"]:
        assert study.points.at(numbers[int(row)]).is_legal  # rows of the page, not of the store


def test_fronts_are_looked_at_closely_first(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    rows, front = np.arange(len(study.points)), study.points.front
    for most in (2, front.size + 5):
        monkeypatch.setattr("sim.report.sweep.rows.MOST_DETAILED", most)
        found = detailed_rows(study.points, rows)
        assert found.size == most and study.points.is_legal[found].all()
        assert np.intersect1d(found, front).size == min(most, front.size)


def test_settled_numbers_have_units() -> None:
    size = settled_measure("architecture.components.GLB.size", "size")
    assert (size.label, size.scale * 16 * 2**23) == ("GLB size (MiB)", 16.0)
    assert settled_measure("architecture.components.PE1D.columns", None).label == "PE1D columns"
    clock = settled_measure("architecture.clock", "frequency")
    assert (clock.label, clock.scale * 940e6) == ("clock (MHz)", 940.0)


def test_best_designs_are_compared_with_the_start_at_its_area(tmp_path: Path) -> None:
    """Against brute force over the points; ties go to the other objective."""
    data = {
        "name": "areas",
        "experiment": "fusemax-binding",
        "axes": {
            "model": {"path": "model", "values": ["BERT", "XLM"]},
            "seq_len": {"path": "seq_len", "values": [4096, 16384]},
            "area": {"values": ["6.6 cm2", "base"], "absorb": f"{MACHINE}.GLB.size", "step": "64 KiB"},
            "bandwidth": {"path": f"{MACHINE}.DRAM.bandwidth", "values": [100, 400], "unit": "GiB/s"},
            "rows": {"path": f"{MACHINE}.PE2D.rows", "values": [128, 192, 256]},
        },
        "objectives": [{"minimize": "latency_s"}, {"minimize": "energy_pj"}],
    }
    (tmp_path / "s.yaml").write_text(yaml.safe_dump(data, sort_keys=False), encoding="utf-8")
    sweep(str(tmp_path / "s.yaml"), tmp_path / "out")
    study = read_study(tmp_path / "out")
    closely = look_closely(study)
    found = best_data(study, closely.starts)
    assert (found.series, found.held) == (("start", "least time", "least energy"), (("area", "base"),))
    assert found.workloads == (("BERT", 4096), ("BERT", 16384), ("XLM", 4096), ("XLM", 16384))
    assert 0.99 < found.area_ratios[0] <= found.area_ratios[1] <= 1
    for i, (model, length) in enumerate(found.workloads):
        start = simulate(load_experiment("fusemax-binding", model=model, seq_len=length))
        own = [
            (p.value("latency_s"), p.value("energy_pj"))
            for p in study.points
            if p.is_legal and (p.axis("model"), p.axis("seq_len"), p.axis("area")) == (model, length, "base")
        ]
        fastest, thriftiest = min(own), min(own, key=lambda pair: pair[::-1])
        wanted = [(1.0, 1.0), *((start.latency_s / t, e / start.energy_pj) for t, e in (fastest, thriftiest))]
        assert list(zip(found.speedup[i], found.energy[i], strict=True)) == wanted
    assert charts_of(study, closely)[0].title == "Best found against the start, at equal area"


def test_same_points_give_the_same_bytes(folder: Path) -> None:
    files = [folder / "index.html", *sorted((folder / "figures").iterdir())]
    before = [path.read_bytes() for path in files]
    plot_folder(folder)
    assert [path.read_bytes() for path in files] == before
    assert {path.suffix for path in files} == {".html", ".svg", ".png"}


def test_a_folder_without_a_sweep_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected the folder of a sweep"):
        read_study(tmp_path)


def test_measures_have_units() -> None:
    assert measure("energy_pj.GLB").label == "GLB energy (J)"
    assert measure("traffic_bytes.DRAM").label == "DRAM traffic (GB)"
    assert measure("latency_s").label == "Time (s)"


CHROMIUM = shutil.which("chromium")


@pytest.mark.skipif(CHROMIUM is None, reason="needs a browser: install chromium to see the page work")
def test_page_sorts_filters_and_opens_a_point_in_a_browser(folder: Path, study: Study, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    script = (
        "byId('filter').value='rows=128 buffer>=16';byId('only-legal').checked=true;byId('filter').oninput();"
        "byId('table').tHead.rows[0].cells[5].firstChild.click();"
        "byId('table').tBodies[0].rows[0].dispatchEvent(new Event('mouseenter'));"
    )
    text = (folder / "index.html").read_text("utf-8")
    page.write_text(text.replace("refresh();\nopen();", f"refresh();\nopen();\n{script}"), encoding="utf-8")
    flags = (
        "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
        f"--disable-component-update --disable-sync --user-data-dir={tmp_path / 'profile'} --dump-dom"
    )
    command = [str(CHROMIUM), *flags.split(), f"{page.as_uri()}#point=40"]
    dom = subprocess.run(command, capture_output=True, text=True, timeout=HANGS_S, check=True).stdout
    shown = [
        int(n) for n in re.findall(r'<tr class="[^"]*"><td class="number"><a href="#point=\d+">(\d+)</a></td>', dom)
    ]
    wanted = [p for p in study.points if p.is_legal and p.axis("rows") == 128 and p.axis("buffer") >= 16]
    wanted.sort(key=lambda p: (p.values[0][1], p.point))
    assert shown == [point.point for point in wanted]
    assert re.search(r'<pre id="yaml">(.*?)</pre>', dom, re.DOTALL).group(1) == study.points.at(40).to_yaml()
    hovered = re.search(r'<div id="hover">(.*?)</table></div></div>', dom, re.DOTALL).group(1)
    cells = re.findall(r'<th scope="row">(.*?)</th><td>([^<]*)', hovered)
    told = dict(cells)
    best = study.points.at(wanted[0].point)
    assert (told["Point"], told["Bound by"]) == (str(best.point), best.bound_by)
    energy = sum(float(value) for label, value in cells if label.endswith(" energy (J)"))
    assert energy == pytest.approx(best.value("energy_pj") * 1e-12, rel=1e-5)  # six digits are shown
