"""Figures as SVG and PNG: the style they share, and which function draws which kind.

Colours are those of Okabe and Ito (2008), told apart by readers with any colour vision. The same numbers give the same
bytes: names inside an SVG come from the figure's own, and no date is written.
"""

import io
from typing import Any, NamedTuple

import matplotlib
from matplotlib.figure import Figure as Canvas

from sim.report.parts.plots_bars import draw_bars, draw_stacks
from sim.report.reproduction.figure_data import bar_data, curve_data, stack_data
from sim.report.reproduction.plots_curve import draw_curve
from sim.reproduction.parts import Bars, Curve, Figure, Stacks
from sim.reproduction.run import Run

PNG_DPI = 300
STYLE: Any = {
    "font.family": ["DejaVu Sans"],  # ships with matplotlib: the same letters everywhere
    "font.size": 7,
    "axes.linewidth": 0.6,
    "axes.titlesize": 7,
    "axes.labelsize": 7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "grid.color": "#d9d9d9",
    "grid.linewidth": 0.5,
    "xtick.labelsize": 6.5,
    "ytick.labelsize": 6.5,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "svg.fonttype": "path",
}


class Picture(NamedTuple):
    """One drawn figure."""

    name: str
    svg: str
    png: bytes


def draw(run: Run, figure: Figure, accounting: str) -> Canvas:
    """A figure of a reproduction, under one accounting."""
    labels = {design.name: design.label for design in run.reproduction.designs}
    with matplotlib.rc_context(STYLE):
        match figure:
            case Bars():
                return draw_bars(figure, bar_data(run, figure, accounting), labels)
            case Stacks():
                return draw_stacks(figure, stack_data(run, figure, accounting), labels)
            case Curve():
                return draw_curve(figure, curve_data(run, figure, accounting))


def render(run: Run, figure: Figure, accounting: str) -> Picture:
    """A figure as an SVG document and a PNG of 300 dots an inch."""
    canvas = draw(run, figure, accounting)
    with matplotlib.rc_context(STYLE | {"svg.hashsalt": figure.name}):
        svg = io.StringIO()
        canvas.savefig(svg, format="svg", metadata={"Date": None, "Title": figure.title})
        canvas.set_layout_engine("none")  # laid out once, above
        png = io.BytesIO()
        canvas.savefig(png, format="png", dpi=PNG_DPI, metadata={"Title": figure.title})
    return Picture(figure.name, svg.getvalue(), png.getvalue())
