"""The charts that apply to the contents of a folder: drawn, written as SVG and PNG, and embedded in a page."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from sim.report.parts.files import write_file
from sim.report.parts.html import inline_svg
from sim.report.parts.plots_style import Make, render_canvas

FIGURES = "figures"
NARROW_POINTS = 400.0  # narrower drawings keep their width on the page


@dataclass(frozen=True, slots=True)
class ChartOf:
    """An applicable chart: its title, its caption, and its drawing."""

    name: str
    title: str
    seen: str
    make: Make


def write_pictures(folder: Path, charts: Iterable[ChartOf], tell: Callable[[str], None]) -> dict[str, str]:
    """Every chart below the folder; its SVG by name. InputError for a folder that cannot be written."""
    svg_by_chart: dict[str, str] = {}
    for chart in charts:
        picture = render_canvas(chart.name, chart.title, chart.make)
        svg_by_chart[chart.name] = picture.svg
        write_file(folder / FIGURES / f"{chart.name}.svg", picture.svg.encode())
        write_file(folder / FIGURES / f"{chart.name}.png", picture.png)
        tell(f"drawn: {chart.title}")
    return svg_by_chart


def chart_figures(charts: Sequence[ChartOf], svg_by_chart: Mapping[str, str]) -> list[str]:
    """Each chart as a figure of a page."""
    return [_figure(chart, svg_by_chart[chart.name]) for chart in charts]


def _figure(chart: ChartOf, svg: str) -> str:
    drawing = f'<div class="drawing">{inline_svg(svg, chart.name, chart.title)}</div>'
    width = re.search(r'<svg[^>]*? width="([0-9.]+)pt"', svg)
    narrow = ' class="narrow"' if width and float(width.group(1)) < NARROW_POINTS else ""
    caption = f"<figcaption><b>{escape(chart.title)}.</b> {escape(chart.seen)}</figcaption>"
    return f'<figure id="{chart.name}"{narrow}>{drawing}{caption}</figure>'
