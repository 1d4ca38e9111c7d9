"""Every chart that applies to a sweep, as SVG and PNG, and the page of all its points.

A chart is a function in `CHARTS` from the points, and designs simulated in detail, to a title and a drawing.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

from sim.explore.points import read_points
from sim.load.problems import InputError, InputProblem
from sim.report.parts.chart_files import ChartOf, write_pictures
from sim.report.parts.files import write_file
from sim.report.parts.plots_roofline import draw_roofline
from sim.report.sweep.best import best_data
from sim.report.sweep.breakdown import ShownDesign, best_designs, compare_data
from sim.report.sweep.closely import Closely
from sim.report.sweep.data import Held, Study, heat_data, pareto_data
from sim.report.sweep.named import named_designs
from sim.report.sweep.page import sweep_page
from sim.report.sweep.plots import draw_heat, draw_slopes
from sim.report.sweep.plots_bars import draw_breakdown, draw_compare
from sim.report.sweep.plots_pareto import draw_pareto
from sim.report.sweep.slopes import slope_data
from sim.simulation.roofline import roof_of

PAGE = "index.html"
SAME_AREA = 1.01  # largest ratio of areas that is called equal


def read_study(folder: Path) -> Study:
    """The points of a sweep in a folder; InputError if it holds none."""
    points = read_points(folder)
    if not len(points):
        message = "holds a sweep without finished points: nothing to draw"
        raise InputError([InputProblem(str(folder), None, "", message)])
    return Study(points)


def write_charts(folder: Path, study: Study, closely: Closely, tell: Callable[[str], None]) -> Path:
    """Write charts and page into the sweep's folder; returns the page's path. InputError if it is not writable."""
    charts = charts_of(study, closely)
    svg_by_chart = write_pictures(folder, charts, tell)
    return write_file(folder / PAGE, sweep_page(study, charts, svg_by_chart, closely.results).encode())


def charts_of(study: Study, closely: Closely) -> tuple[ChartOf, ...]:
    """The charts that the axes and the objectives of a sweep allow, in the order of the page."""
    found = (make(study, closely) for make in CHARTS)
    return tuple(chart for chart in found if chart is not None)


def _compare(study: Study, closely: Closely) -> ChartOf | None:
    data, what = compare_data(study), "Speedup and energy"
    if data is None:
        data, what = best_data(study, closely.starts), "Best found against the start"
    if data is None:
        return None
    least, most = data.area_ratios
    is_small = most < SAME_AREA
    where = ", at equal area" if is_small and least > 1 / SAME_AREA else ", at no larger area" if is_small else ""
    area = f" Areas up to {most:.3g} times as large." if most >= SAME_AREA else ""
    seen = (
        f"Relative to {data.series[0]}, at each workload that all can run; above 1 is faster, below 1 takes less "
        f"energy. Means are geometric.{area}{_holding(study, data.held)}"
    )
    return ChartOf("speedup-energy", f"{what}{where}", seen, lambda: draw_compare(data))


def _breakdown(study: Study, closely: Closely) -> ChartOf | None:
    designs, held = best_designs(study, closely.results)
    if not designs:
        return None
    seen = _which(study, designs, held)
    return ChartOf("breakdown", "Energy and utilization of the best", seen, lambda: draw_breakdown(designs))


def _roofline(study: Study, closely: Closely) -> ChartOf | None:
    designs, held = best_designs(study, closely.results)
    roofs = tuple(roof for one in designs if (roof := roof_of(one.label, one.result)) is not None)
    if not roofs:
        return None
    seen = f"{_which(study, designs, held)} Slope: bandwidth of the outermost memory; "
    seen += "flat: every element of the largest array busy."
    return ChartOf("roofline", "Roofline", seen, lambda: draw_roofline(roofs))


def _which(study: Study, designs: tuple[ShownDesign, ...], held: Held) -> str:
    """Which designs are simulated in detail."""
    best = _inside(study.objectives[0].label.partition(" (")[0])
    points = ", ".join(str(design.point.point) for design in designs)
    return f"The design with the best {best} of each series, points {points}.{_holding(study, held)}"


def _inside(label: str) -> str:
    """A label within a sentence."""
    return label[:1].lower() + label[1:]


def _holding(study: Study, held: Held) -> str:
    """The workload that no axis varies, and the axes that a chart holds."""
    of = f" Workload: {study.of_workload}." if study.of_workload else ""
    return of + (f" Held: {study.said(held)}." if held else "")


def _pareto(study: Study, closely: Closely) -> ChartOf | None:
    named = named_designs(study, closely.start, closely.shipped)
    data = pareto_data(study, named)
    if data is None:
        return None
    fronts = "one front over all" if data.is_joint else "a front for each"
    star = (
        f" Stars: where the sweep starts from, and shipped designs that do the same ({_areas(named)})."
        if data.named
        else ""
    )
    seen = f"Every legal design, {fronts}.{star}{_holding(study, data.held)}"
    title = f"{data.across.label.partition(' (')[0]} against {data.up.label.partition(' (')[0].lower()}"
    return ChartOf("pareto", title, seen, lambda: draw_pareto(data, study))


def _areas(named: Mapping[str, Mapping[str, float]]) -> str:
    """The range of areas of the machines of named designs."""
    areas = [values["area_um2"] * 1e-8 for values in named.values()]
    least, most = f"{min(areas):.3g}", f"{max(areas):.3g}"
    return f"area {least} cm²" if least == most else f"areas of {least} to {most} cm²"


def _heat(study: Study, closely: Closely) -> ChartOf | None:
    data = heat_data(study)
    if data is None:
        return None
    title = f"{data.shown.label.partition(' (')[0]} over {_inside(data.across.label)} and {_inside(data.up.label)}"
    seen = f"The best of the other axes in each cell; crosses: no legal design.{_holding(study, data.held)}"
    return ChartOf("heat-map", title, seen, lambda: draw_heat(data))


def _slopes(study: Study, closely: Closely) -> ChartOf | None:
    data = slope_data(study, closely.results)
    if data is None:
        return None
    seen = (
        "Dashed: the least that the passes of each cascade allow, with queries as the outer loop and nothing computed "
        f"twice; all memory on chip counts for it.{_holding(study, data.held)}"
    )
    return ChartOf("buffer-traffic", f"{data.memory} size against traffic", seen, lambda: draw_slopes(data))


# In the order of the page; each gives a chart if the axes and objectives of a sweep allow it.
CHARTS: tuple[Callable[[Study, Closely], ChartOf | None], ...] = (
    _compare,
    _pareto,
    _heat,
    _slopes,
    _breakdown,
    _roofline,
)
