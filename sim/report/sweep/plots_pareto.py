"""The figure of designs between two objectives: all of them, and a closer look at the front."""

from string import ascii_lowercase
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from sim.report.parts.plots_labels import place_labels
from sim.report.parts.plots_style import BLACK, MARKS, WIDTH_INCHES, colour_of
from sim.report.parts.units import fitted
from sim.report.sweep.data import Cloud, ParetoData, Study, joint_front

RATIO_FOR_LOG = 10.0
CLOSE_SHARE = 0.6  # of a side of the whole: a smaller front gets a close-up
MOST_LARGE = 10_000  # more marks are small
MOST_DRAWN_AS_SHAPES = 1000  # more marks are drawn as an embedded image
STAR: Any = {
    "linestyle": "none", "marker": "*", "markersize": 8, "color": "#F0E442", "markeredgecolor": BLACK,
    "markeredgewidth": 0.6,
}  # fmt: skip
Limits = tuple[float, float]


def draw_pareto(data: ParetoData, study: Study) -> Canvas:
    """Every legal design, the front of each series or of all, and designs with names; a closer look to the right."""
    scaled = _Scaled(data, study)
    close = scaled.close_limits()
    canvas = Canvas(figsize=(WIDTH_INCHES, 3.4), layout="constrained")
    widths = (3, 2) if close else (1,)
    panels = canvas.subplots(1, len(widths), width_ratios=widths, squeeze=False)[0]
    for axes in panels:
        scaled.draw(axes)
        axes.set_xlabel(scaled.labels[0])
        axes.grid(visible=True, axis="both", which="major")
    scaled.scale(panels[0])
    panels[0].set_ylabel(scaled.labels[1])
    if close:
        panels[0].set_title("All legal designs", loc="left", fontweight="bold", pad=3)
        panels[1].set_title("Near the front", loc="left", fontweight="bold", pad=3)
        panels[1].set_xlim(*close[0])
        panels[1].set_ylim(*close[1])
        for axis in (panels[1].xaxis, panels[1].yaxis):
            axis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
            axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.9g}"))
    count = 4 if data.is_joint else max(1, len(data.clouds))  # a series above its front
    handles, labels = panels[0].get_legend_handles_labels()
    canvas.legend(handles, labels, loc="outside upper center", ncols=count, handlelength=1.4, columnspacing=1.6)
    if scaled.named:
        stars = [Line2D([], [], **STAR) for _ in scaled.named]
        names = [f"{letter}  {name}" for letter, (name, _, _) in zip(ascii_lowercase, scaled.named, strict=False)]
        canvas.legend(stars, names, loc="outside lower center", ncols=4, handlelength=1.0, columnspacing=1.6)
    canvas.draw_without_rendering()
    for axes in panels:
        places = [(letter, x, y) for letter, (_, x, y) in zip(ascii_lowercase, scaled.named, strict=False)]
        place_labels(axes, [one for one in places if _is_within(axes, one[1], one[2])])
    return canvas


def _is_within(axes: Axes, x: float, y: float) -> bool:
    (left, right), (bottom, top) = sorted(axes.get_xlim()), sorted(axes.get_ylim())
    return left <= x <= right and bottom <= y <= top


class _Scaled:
    """The data in the units that are shown."""

    def __init__(self, data: ParetoData, study: Study) -> None:
        self.data = data
        fits = [
            fitted(one.label, max(float(getattr(cloud, side).max()) for cloud in data.clouds))
            for one, side in ((data.across, "x"), (data.up, "y"))
        ]
        self.labels = [label for label, _ in fits]
        self.factors = [factor for _, factor in fits]
        named = sorted(data.named, key=lambda one: one[1:])[: len(ascii_lowercase)]
        self.named = [(name, x * self.factors[0], y * self.factors[1]) for name, x, y in named]
        self.joint = self._in_units(*joint_front(data, study))
        self.x = np.concatenate([c.x for c in data.clouds]) * self.factors[0]
        self.y = np.concatenate([c.y for c in data.clouds]) * self.factors[1]

    def _in_units(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return x * self.factors[0], y * self.factors[1]

    def fronts(self) -> list[tuple[np.ndarray, np.ndarray]]:
        if self.data.is_joint:
            return [self.joint]
        return [self._in_units(cloud.x[cloud.front], cloud.y[cloud.front]) for cloud in self.data.clouds]

    def draw(self, axes: Axes) -> None:
        many = self.x.size > MOST_DRAWN_AS_SHAPES
        size, alpha = (1.6, 0.25) if self.x.size > MOST_LARGE else (2.8, 0.45)
        for i, cloud in enumerate(self.data.clouds):
            x, y = self._in_units(cloud.x, cloud.y)
            axes.plot(
                x, y, linestyle="none", marker=MARKS[i % len(MARKS)], markersize=size, color=colour_of(i), alpha=alpha,
                markeredgewidth=0, label=cloud.label, rasterized=many,
            )  # fmt: skip
            if not self.data.is_joint:
                self._draw_front(axes, cloud, i)
        if self.data.is_joint:
            axes.plot(
                *self.joint, color=BLACK, linewidth=0.9, marker="o", markersize=5.5, markerfacecolor="none",
                label="Pareto front",
            )  # fmt: skip
        for _, x_of, y_of in self.named:
            axes.plot([x_of], [y_of], zorder=5, **STAR)

    def _draw_front(self, axes: Axes, cloud: Cloud, index: int) -> None:
        axes.plot(
            *self._in_units(cloud.x[cloud.front], cloud.y[cloud.front]), color=colour_of(index), linewidth=1.1,
            marker=MARKS[index % len(MARKS)], markersize=5.5, markerfacecolor="none", markeredgewidth=1.0,
            label=f"front, {cloud.label}",
        )  # fmt: skip

    def scale(self, axes: Axes) -> None:
        """Logarithmic if values are positive and span more than a decade."""
        named = ([x for _, x, _ in self.named], [y for _, _, y in self.named])
        sides = ((self.x, named[0], axes.set_xscale, axes.xaxis), (self.y, named[1], axes.set_yscale, axes.yaxis))
        for cloud, others, set_scale, axis in sides:
            values = np.concatenate([cloud, others])
            if values.min() > 0 and values.max() / values.min() > RATIO_FOR_LOG:
                set_scale("log")
                subs = (1.0, 2.0, 5.0) if values.max() / values.min() < 2000 else (1.0,)
                axis.set_major_locator(LogLocator(10, subs=subs))
                axis.set_minor_formatter(NullFormatter())
            axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.9g}"))

    def close_limits(self) -> tuple[Limits, Limits] | None:
        """The extent of the fronts, with a margin; None if they take up most of the whole in both directions."""
        x, y = (np.concatenate([front[side] for front in self.fronts()]) for side in (0, 1))
        shares = [np.ptp(own) / np.ptp(whole) if np.ptp(whole) else 1.0 for own, whole in ((x, self.x), (y, self.y))]
        return (_around(x), _around(y)) if min(shares) < CLOSE_SHARE and self.x.size > 1 else None


def _around(values: np.ndarray) -> Limits:
    """The range of values and a quarter of it on either side, or one part in fifty of a single value."""
    margin = max(float(np.ptp(values)) * 0.25, abs(float(values.max())) * 0.02)
    return float(values.min()) - margin, float(values.max()) + margin
