"""Figures of a sweep: designs between two objectives, a map over two axes, traffic against the size of a buffer.

Colours, line styles and marks each suffice to distinguish series; the map uses the colours of viridis, ordered by
lightness for readers with any colour vision.
"""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from sim.report.parts.plots_style import BLACK, MARKS, WIDTH_INCHES, colour_of
from sim.report.parts.units import fitted
from sim.report.sweep.data import HeatData, SlopeData


def draw_heat(data: HeatData) -> Canvas:
    """A cell for each pair of values; hatched if there is no legal point."""
    count = len(data.panels)
    canvas = Canvas(figsize=(WIDTH_INCHES if count > 1 else 3.6, 2.6), layout="constrained")
    panels = canvas.subplots(1, count, sharex=True, sharey=True, squeeze=False)[0]
    values = np.concatenate([grid.ravel() for _, grid in data.panels])
    label, factor = fitted(data.shown.label, float(np.nanmax(np.abs(values))))
    values = values * factor
    least, most = float(np.nanmin(values)), float(np.nanmax(values))
    is_log = least > 0 and most > least * 2
    limits = {"norm": LogNorm(least, most)} if is_log else {"vmin": least, "vmax": most}
    for (title, grid), axes in zip(data.panels, panels, strict=True):
        axes.set_facecolor("#e6e6e6")
        axes.grid(visible=False)
        drawn = axes.imshow(
            grid * factor, origin="lower", aspect="auto", cmap="viridis_r", interpolation="nearest", **limits
        )
        for row, column in np.argwhere(np.isnan(grid)):
            axes.text(column, row, "×", ha="center", va="center", fontsize=5, color="#8a8a8a")
        _tick(axes, data)
        axes.set_title(title, loc="left", fontweight="bold", pad=3)
    canvas.supxlabel(_with_unit(data.across.label, data.across.unit), fontsize=7)
    panels[0].set_ylabel(_with_unit(data.up.label, data.up.unit))
    bar = canvas.colorbar(drawn, ax=list(panels), label=label, pad=0.01)
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
    """Both axes logarithmic: found traffic with marks, the bound that no schedule beats dashed in the same colour."""
    count = len(data.panels)
    canvas = Canvas(figsize=(WIDTH_INCHES if count > 1 else 3.6, 2.7), layout="constrained")
    panels = canvas.subplots(1, count, sharex=True, squeeze=False)[0]
    most = max(float(np.nanmax(slope.traffic_bytes)) for _, slopes in data.panels for slope in slopes)
    label, factor = fitted(f"{data.outside} traffic (GB)", most * 1e-9)
    labels = list(dict.fromkeys(slope.label for _, slopes in data.panels for slope in slopes))
    for (title, slopes), axes in zip(data.panels, panels, strict=True):
        for slope in slopes:
            i = labels.index(slope.label)
            size = slope.sizes_bytes / 2**20
            traffic, bound = (own * 1e-9 * factor for own in (slope.traffic_bytes, slope.bound_bytes))
            axes.plot(
                size, traffic, color=colour_of(i), marker=MARKS[i % len(MARKS)], markersize=3.5,
                linewidth=1.1, label=slope.label,
            )  # fmt: skip
            axes.plot(
                size, slope.bound_bytes * 1e-9 * factor, color=colour_of(i), linewidth=0.9, linestyle=(3 * i, (3, 4))
            )
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.6g}"))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.9g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.grid(visible=True, axis="both", which="major")
        axes.set_title(title, loc="left", fontweight="bold", pad=3)
    canvas.supxlabel(f"{data.memory} size (MiB)", fontsize=7)
    panels[0].set_ylabel(label)
    entries = dict(zip(*reversed(panels[0].get_legend_handles_labels()), strict=True))
    bound = panels[0].plot([], [], color=BLACK, linewidth=0.9, linestyle=(0, (3, 2)))[0]
    entries["least that the passes allow"] = bound
    canvas.legend(entries.values(), entries.keys(), loc="outside upper center", ncols=len(entries), handlelength=2.0)
    return canvas
