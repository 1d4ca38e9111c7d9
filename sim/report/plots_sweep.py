"""Figures of a sweep: designs between two objectives, a map over two axes, traffic against the size of a buffer.

Colours, line styles and marks each tell series apart alone; the map's colours are those of viridis, ordered by
lightness for readers with any colour vision.
"""

import io
from collections.abc import Callable

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from sim.report.plots import PNG_DPI, STYLE, Picture
from sim.report.plots_bars import BLACK, BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, VERMILION, WIDTH_INCHES
from sim.report.sweep_data import Cloud, HeatData, ParetoData, SlopeData, Study, joint_front

SERIES_COLOURS = (BLUE, VERMILION, GREEN, ORANGE, PURPLE, SKY, GREY, BLACK)
MARKS = ("o", "s", "^", "D", "v", "P", "X", "*")
RATIO_FOR_LOG = 10.0
Make = Callable[[], Canvas]


def render_canvas(name: str, title: str, make: Make) -> Picture:
    """A figure as an SVG document and a PNG of 300 dots an inch; the same numbers give the same bytes."""
    with matplotlib.rc_context(STYLE | {"svg.hashsalt": name}):
        canvas = make()
        svg = io.StringIO()
        canvas.savefig(svg, format="svg", metadata={"Date": None, "Title": title})
        canvas.set_layout_engine("none")  # laid out once, above
        png = io.BytesIO()
        canvas.savefig(png, format="png", dpi=PNG_DPI, metadata={"Title": title})
    return Picture(name, svg.getvalue(), png.getvalue())


def colour_of(index: int) -> str:
    return SERIES_COLOURS[index % len(SERIES_COLOURS)]


def draw_pareto(data: ParetoData, study: Study) -> Canvas:
    """Every legal design, the front of each series or of all, and designs with names."""
    canvas = Canvas(figsize=(WIDTH_INCHES, 3.4), layout="constrained")
    axes = canvas.subplots()
    for i, cloud in enumerate(data.clouds):
        axes.plot(
            cloud.x, cloud.y, linestyle="none", marker=MARKS[i % len(MARKS)], markersize=3, color=colour_of(i),
            alpha=0.45, markeredgewidth=0, label=cloud.label,
        )  # fmt: skip
        if not data.is_joint:
            _draw_front(axes, cloud, i)
    if data.is_joint:
        x, y = joint_front(data, study)
        label = "Pareto front"
        axes.plot(x, y, color=BLACK, linewidth=0.9, marker="o", markersize=5.5, markerfacecolor="none", label=label)
    for name, x_of, y_of in data.named:
        axes.plot(
            [x_of], [y_of], linestyle="none", marker="*", markersize=10, color="#F0E442", markeredgecolor=BLACK,
            markeredgewidth=0.6, zorder=5,
        )  # fmt: skip
        axes.annotate(
            name, (x_of, y_of), (7, 6), textcoords="offset points", fontsize=6.5, zorder=6,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6, "alpha": 0.8},
        )  # fmt: skip
    _scale(axes, np.concatenate([c.x for c in data.clouds]), np.concatenate([c.y for c in data.clouds]))
    axes.grid(visible=True, axis="both", which="major")
    axes.set_xlabel(data.across.label)
    axes.set_ylabel(data.up.label)
    canvas.legend(loc="outside upper center", ncols=4, handlelength=1.4, columnspacing=1.6)
    return canvas


def _draw_front(axes: Axes, cloud: Cloud, index: int) -> None:
    axes.plot(
        cloud.x[cloud.front], cloud.y[cloud.front], color=colour_of(index), linewidth=1.1, marker=MARKS[index % 8],
        markersize=5.5, markerfacecolor="none", markeredgewidth=1.0, label=f"front, {cloud.label}",
    )  # fmt: skip


def _scale(axes: Axes, x: np.ndarray, y: np.ndarray) -> None:
    """Logarithmic where values are positive and span more than a decade."""
    for values, set_scale, axis in ((x, axes.set_xscale, axes.xaxis), (y, axes.set_yscale, axes.yaxis)):
        if values.min() > 0 and values.max() / values.min() > RATIO_FOR_LOG:
            set_scale("log")
            axis.set_major_locator(LogLocator(10, subs=(1.0, 2.0, 5.0)))
            axis.set_minor_formatter(NullFormatter())
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.9g}"))


def draw_heat(data: HeatData) -> Canvas:
    """A cell for each pair of values; hatched where no legal point is."""
    count = len(data.panels)
    canvas = Canvas(figsize=(WIDTH_INCHES if count > 1 else 3.6, 2.6), layout="constrained")
    panels = canvas.subplots(1, count, sharex=True, sharey=True, squeeze=False)[0]
    values = np.concatenate([grid.ravel() for _, grid in data.panels])
    least, most = float(np.nanmin(values)), float(np.nanmax(values))
    is_log = least > 0 and most > least * 2
    limits = {"norm": LogNorm(least, most)} if is_log else {"vmin": least, "vmax": most}
    for (title, grid), axes in zip(data.panels, panels, strict=True):
        axes.set_facecolor("#e6e6e6")
        axes.grid(visible=False)
        drawn = axes.imshow(grid, origin="lower", aspect="auto", cmap="viridis_r", interpolation="nearest", **limits)
        for row, column in np.argwhere(np.isnan(grid)):
            axes.text(column, row, "×", ha="center", va="center", fontsize=5, color="#8a8a8a")
        _tick(axes, data)
        axes.set_title(title, loc="left", fontweight="bold", pad=3)
    canvas.supxlabel(_with_unit(data.across.label, data.across.unit), fontsize=7)
    panels[0].set_ylabel(_with_unit(data.up.label, data.up.unit))
    bar = canvas.colorbar(drawn, ax=list(panels), label=data.shown.label, pad=0.01)
    if is_log:
        subs = (1.0,) if most / least > 100 else (1.0, 2.0, 5.0)
        bar.ax.yaxis.set_major_locator(LogLocator(10, subs=subs))
        bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}"))
        bar.ax.yaxis.set_minor_formatter(NullFormatter())
    return canvas


def _with_unit(label: str, unit: str) -> str:
    return f"{label} ({unit})" if unit else label


def _tick(axes: Axes, data: HeatData) -> None:
    for axis, set_ticks in ((data.across, axes.set_xticks), (data.up, axes.set_yticks)):
        step = -(-len(axis.values) // 8)
        places = list(range(0, len(axis.values), step))
        set_ticks(places, [f"{axis.values[place]:.6g}" for place in places])
    axes.tick_params(length=2)


def draw_slopes(data: SlopeData) -> Canvas:
    """Both axes logarithmic: measured traffic with marks, what no schedule avoids dashed in the same colour."""
    count = len(data.panels)
    canvas = Canvas(figsize=(WIDTH_INCHES if count > 1 else 3.6, 2.7), layout="constrained")
    panels = canvas.subplots(1, count, sharex=True, squeeze=False)[0]
    labels = list(dict.fromkeys(slope.label for _, slopes in data.panels for slope in slopes))
    for (title, slopes), axes in zip(data.panels, panels, strict=True):
        for slope in slopes:
            i = labels.index(slope.label)
            size = slope.sizes_bytes / 2**20
            axes.plot(
                size, slope.traffic_bytes * 1e-9, color=colour_of(i), marker=MARKS[i % len(MARKS)], markersize=3.5,
                linewidth=1.1, label=slope.label,
            )  # fmt: skip
            axes.plot(size, slope.bound_bytes * 1e-9, color=colour_of(i), linewidth=0.9, linestyle=(3 * i, (3, 4)))
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.6g}"))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.9g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.grid(visible=True, axis="both", which="major")
        axes.set_title(title, loc="left", fontweight="bold", pad=3)
    canvas.supxlabel(f"{data.memory} size (MiB)", fontsize=7)
    panels[0].set_ylabel(f"{data.outside} traffic (GB)")
    entries = dict(zip(*reversed(panels[0].get_legend_handles_labels()), strict=True))
    bound = panels[0].plot([], [], color=BLACK, linewidth=0.9, linestyle=(0, (3, 2)))[0]
    entries["least that the passes allow"] = bound
    canvas.legend(entries.values(), entries.keys(), loc="outside upper center", ncols=len(entries), handlelength=2.0)
    return canvas
