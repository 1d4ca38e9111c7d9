"""Bars in panels that share their workloads: one quantity per panel, one cluster per workload, the mean at the end."""

from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import PercentFormatter

from sim.report.parts.plots_bars import Layout, lay_out
from sim.report.parts.plots_style import BLACK, DESIGN_COLOURS, GREY, WIDTH_INCHES
from sim.report.parts.workloads import Workload, length_label

SPACE_FOR_MEANS = 1.12


@dataclass(frozen=True, slots=True)
class Panel:
    """One quantity: f8[workload, series]. Ratios have a line at 1 and a geometric mean, shares an arithmetic one."""

    label: str
    values: np.ndarray
    is_share: bool = False

    @property
    def rows(self) -> np.ndarray:
        """The values, with their mean as the last row if there is more than one."""
        if len(self.values) == 1:
            return self.values
        if self.is_share:
            return np.vstack([self.values, self.values.mean(axis=0)])
        # Ratios have a geometric mean, which does not depend on which series is the base.
        return np.vstack([self.values, np.exp(np.log(self.values).mean(axis=0))])


def draw_panels(series: tuple[str, ...], workloads: tuple[Workload, ...], panels: tuple[Panel, ...]) -> Canvas:
    """A cluster for each workload, a bar for each series; lengths and models below the last panel."""
    is_single = len(workloads) == 1
    width = WIDTH_INCHES / 2 if is_single else WIDTH_INCHES
    canvas = Canvas(figsize=(width, 0.6 + 1.5 * len(panels)), layout="constrained")
    drawn = canvas.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
    layout = lay_out(workloads)
    for axes, panel in zip(drawn, panels, strict=True):
        _draw(axes, layout, series, panel)
    bottom = drawn[-1]
    bottom.set_xlim(-0.25, (1.0 if is_single else layout.right) + 0.25)
    bottom.set_xticks(layout.centres[: len(workloads)], [length_label(length) for _, length in workloads], fontsize=6)
    bottom.tick_params(axis="x", pad=2)
    is_geometric = not all(panel.is_share for panel in panels)
    for model, left, right in layout.models[: 1 if is_single else None]:
        name = model if model != "Mean" else "Geometric mean" if is_geometric else "Mean"
        bottom.annotate(
            name, ((left + right) / 2, 0), (0, -12.5), xycoords=("data", "axes fraction"),
            textcoords="offset points", ha="center", va="top", fontweight="bold",
        )  # fmt: skip
    handles, labels = drawn[0].get_legend_handles_labels()
    canvas.legend(handles, labels, loc="outside upper center", ncols=len(labels), handlelength=1.0)
    return canvas


def _draw(axes: Axes, layout: Layout, series: tuple[str, ...], panel: Panel) -> None:
    rows = panel.rows
    for s, name in enumerate(series):
        bars = [layout.bar(c, len(series), s) for c in range(len(rows))]
        lefts, widths = zip(*bars, strict=True)
        colour = DESIGN_COLOURS[s % len(DESIGN_COLOURS)]
        axes.bar(lefts, rows[:, s], widths, align="edge", color=colour, label=name, linewidth=0)
        mean = rows[-1, s]
        upright = len(series) <= 3
        axes.annotate(
            f"{100 * mean:.0f}%" if panel.is_share else f"{mean:.2f}", (lefts[-1] + widths[-1] / 2, mean), (0, 2),
            textcoords="offset points", ha="center", va="bottom", fontsize=6 if upright else 5.5,
            rotation=0 if upright else 90, annotation_clip=False, zorder=5,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.4},
        )  # fmt: skip
    axes.tick_params(axis="x", length=0)
    if panel.is_share:
        axes.set_ylim(0, max(1.0, rows.max()))
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    else:
        axes.axhline(1.0, color=BLACK, linewidth=0.6, linestyle=(0, (4, 2)), zorder=1.5)
        axes.set_ylim(0, rows.max() * SPACE_FOR_MEANS)
    axes.set_ylabel(panel.label)
    for _, _, right in layout.models[:-1] if len(rows) > 1 else ():
        axes.axvline(right + 0.25, color=GREY, linewidth=0.5, zorder=0)
