"""The body of `einfuse plot`: every chart that applies to a sweep, as SVG and PNG, and the page of all its points."""

from collections.abc import Callable, Mapping
from pathlib import Path

from sim.explore.points import read_points
from sim.load.problems import InputError, InputProblem
from sim.report.parts.chart_files import ChartOf, write_pictures
from sim.report.parts.files import write_file
from sim.report.sweep.best import best_data
from sim.report.sweep.breakdown import best_designs, compare_data, roof_of
from sim.report.sweep.data import Study, heat_data, pareto_data
from sim.report.sweep.named import named_designs
from sim.report.sweep.page import sweep_page
from sim.report.sweep.plots import draw_heat, draw_slopes
from sim.report.sweep.plots_bars import draw_breakdown, draw_compare, draw_roofline
from sim.report.sweep.plots_pareto import draw_pareto
from sim.report.sweep.slopes import slope_data

PAGE = "index.html"
SAME_AREA = 1.01  # largest ratio of areas that is called equal


def write_charts(folder: Path, tell: Callable[[str], None]) -> Path:
    """Charts and page beside the points of a sweep; the path of the page. InputError for a folder that is none."""
    points = read_points(folder)
    if not len(points):
        message = "holds a sweep without finished points: nothing to draw"
        raise InputError([InputProblem(str(folder), None, "", message)])
    study = Study(points)
    charts = charts_of(study)
    svg_by_chart = write_pictures(folder, charts, tell)
    return write_file(folder / PAGE, sweep_page(study, charts, svg_by_chart).encode())


def charts_of(study: Study) -> tuple[ChartOf, ...]:
    """The charts that the axes and the objectives of a sweep allow, in the order of the page."""
    found = (_compare(study), _pareto(study), _heat(study), _slopes(study))
    return (*(chart for chart in found if chart is not None), *_closely(study))


def _compare(study: Study) -> ChartOf | None:
    data, what = compare_data(study), "Speedup and energy"
    if data is None:
        data, what = best_data(study), "Best found against the start"
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


def _closely(study: Study) -> tuple[ChartOf, ...]:
    """What the best design of each series spends, and the roofs that it is under."""
    designs, held = best_designs(study)
    if not designs:
        return ()
    which = f"The design with the best {_inside(study.objectives[0].label.partition(' (')[0])} of each series, points "
    which += f"{', '.join(str(design.point.point) for design in designs)}.{_holding(study, held)}"
    charts = [ChartOf("breakdown", "Energy and utilization of the best", which, lambda: draw_breakdown(designs))]
    roofs = tuple(roof for one in designs if (roof := roof_of(one.label, one.result)) is not None)
    if roofs:
        seen = f"{which} Slope: bandwidth of the outermost memory; flat: every element of the largest array busy."
        charts.append(ChartOf("roofline", "Roofline", seen, lambda: draw_roofline(roofs)))
    return tuple(charts)


def _inside(label: str) -> str:
    """A label within a sentence."""
    return label[:1].lower() + label[1:]


def _holding(study: Study, held: tuple[tuple[str, object], ...]) -> str:
    return f" Held: {study.said(held)}." if held else ""


def _pareto(study: Study) -> ChartOf | None:
    named = named_designs(study)
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
    """Between which areas the machines of named designs lie."""
    areas = [values["area_um2"] * 1e-8 for values in named.values()]
    least, most = f"{min(areas):.3g}", f"{max(areas):.3g}"
    return f"area {least} cm²" if least == most else f"areas of {least} to {most} cm²"


def _heat(study: Study) -> ChartOf | None:
    data = heat_data(study)
    if data is None:
        return None
    title = f"{data.shown.label.partition(' (')[0]} over {_inside(data.across.label)} and {_inside(data.up.label)}"
    seen = f"The best of the other axes in each cell; crosses: no legal design.{_holding(study, data.held)}"
    return ChartOf("heat-map", title, seen, lambda: draw_heat(data))


def _slopes(study: Study) -> ChartOf | None:
    data = slope_data(study)
    if data is None:
        return None
    seen = (
        "Dashed: the least that the passes of each cascade allow, with queries as the outer loop and nothing computed "
        f"twice; all memory on chip counts for it.{_holding(study, data.held)}"
    )
    return ChartOf("buffer-traffic", f"{data.memory} size against traffic", seen, lambda: draw_slopes(data))
