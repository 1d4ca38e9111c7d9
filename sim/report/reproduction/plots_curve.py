"""One metric over another along an axis of designs, both logarithmic, with published points around ours."""

from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import FuncFormatter, NullFormatter

from sim.report.parts.plots_style import BLUE, VERMILION
from sim.report.reproduction.figure_data import CurveData
from sim.reproduction.parts import Curve

COLUMN_INCHES = 3.4  # one column of a page


def draw_curve(figure: Curve, data: CurveData) -> Canvas:
    """A point for every value of the axis, labelled with it."""
    canvas = Canvas(figsize=(COLUMN_INCHES, 2.3), layout="constrained")
    axes = canvas.subplots()
    x = [value / figure.over_scale for value in data.x]
    axes.plot(x, data.y, color=BLUE, linewidth=1.2, marker="o", markersize=3, label=data.label)
    if data.published:
        left, height = zip(*data.published, strict=True)
        axes.plot(
            [value / figure.over_scale for value in left], height, linestyle="none", marker="o", markersize=6.5,
            markerfacecolor="none", markeredgecolor=VERMILION, markeredgewidth=0.8, label="published",
        )  # fmt: skip
    for text, across, up in zip(data.points, x, data.y, strict=True):
        axes.annotate(text, (across, up), (5, 3), textcoords="offset points", ha="left", va="bottom", fontsize=6.5)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.margins(0.1)
    axes.set_xlim(right=max(x) * 8)
    axes.set_ylim(top=max(data.y) * 2.5)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.9g}"))
        axis.set_minor_formatter(NullFormatter())
    axes.grid(axis="both", which="major")
    axes.set_xlabel(figure.over_label)
    axes.set_ylabel(figure.axis_label)
    axes.legend(loc="upper right")
    return canvas
