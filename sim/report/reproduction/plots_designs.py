"""The figure of a few designs by time and energy, each with its name."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import FuncFormatter

from sim.report.parts.plots_labels import place_labels
from sim.report.parts.plots_style import BLACK, MARKS, WIDTH_INCHES, colour_of
from sim.report.parts.units import fitted


def draw_designs(labels: Sequence[str], time_s: np.ndarray, energy_j: np.ndarray, front: np.ndarray) -> Canvas:
    """A mark for each design; a line along the front (`front`: positions of its designs)."""
    canvas = Canvas(figsize=(WIDTH_INCHES * 0.6, 2.8), layout="constrained")
    axes = canvas.subplots()
    (x_label, x_factor), (y_label, y_factor) = (
        fitted("Time (s)", float(time_s.max())),
        fitted("Energy (J)", float(energy_j.max())),
    )
    x, y = time_s * x_factor, energy_j * y_factor
    order = front[np.argsort(x[front], kind="stable")]
    axes.plot(
        x[order], y[order], color=BLACK, linewidth=0.9, marker="o", markersize=9, markerfacecolor="none",
        label="Pareto front",
    )  # fmt: skip
    for i in range(len(x)):
        axes.plot([x[i]], [y[i]], linestyle="none", marker=MARKS[i % len(MARKS)], markersize=5, color=colour_of(i))
    axes.margins(0.12)
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    axes.grid(visible=True, axis="both")
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.9g}"))
    axes.legend(loc="lower right")
    canvas.draw_without_rendering()
    names: dict[tuple[float, float], list[str]] = {}
    for label, place in zip(labels, zip(x.tolist(), y.tolist(), strict=True), strict=True):
        names.setdefault(place, []).append(label)
    place_labels(axes, [(", ".join(own), *place) for place, own in names.items()], weight="normal")
    return canvas
