"""Which function draws which kind of figure of a reproduction."""

import matplotlib
from matplotlib.figure import Figure as Canvas

from sim.report.parts.plots_style import STYLE, Picture, render_canvas
from sim.report.reproduction.figure_data import bar_data, curve_data, stack_data
from sim.report.reproduction.plots_bars import draw_bars, draw_stacks
from sim.report.reproduction.plots_curve import draw_curve
from sim.reproduction.parts import Bars, Curve, Figure, Stacks
from sim.reproduction.points import ReproductionRun


def draw(run: ReproductionRun, figure: Figure, accounting: str) -> Canvas:
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


def render(run: ReproductionRun, figure: Figure, accounting: str) -> Picture:
    """A figure as an SVG document and a PNG of 300 dots per inch."""
    return render_canvas(figure.name, figure.title, lambda: draw(run, figure, accounting))
