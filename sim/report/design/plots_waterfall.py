"""Draws a waterfall: shades show the age of a tile, hatching the time in which an array fills, drains or waits.

Newer tiles are darker. A result on its way out of its array is hatched, below the bar of the Einsum that made it; a
wait is hatched in the colour of its cause. The same run gives the same bytes.
"""

import io
from itertools import pairwise
from textwrap import wrap
from typing import Any

import matplotlib
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure as Canvas
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import FuncFormatter, MaxNLocator

from sim.report.design.waterfall import Bar, Epoch, Waterfall, WaterfallRow

PNG_DPI = 300
STYLE: Any = {
    "font.family": ["DejaVu Sans"],  # ships with matplotlib: the same letters everywhere
    "font.size": 6.5,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "xtick.labelsize": 6.5,
    "hatch.linewidth": 0.5,
    "svg.fonttype": "path",
}
# Okabe and Ito (2008), except for harmless causes.
COLOUR_BY_CAUSE = {
    "drain": "#D55E00",
    "dependency": "#E69F00",
    "dram": "#CC79A7",
    "port": "#000000",
    "link": "#009E73",
    "operand": "#F0E442",
    "buffer": "#0072B2",
    "idle": "#bbbbbb",
}
TRANSFER_COLOUR, EPOCH_COLOUR, BAND_COLOUR = "#dddddd", "#999999", "#f4f4f4"
HATCH = {"result": "/////", "stall": "\\\\\\\\\\"}
WIDTH, ROW_HEIGHT, GAP = 7.1, 0.23, 0.45  # inches; gap between arrays, in rows
ISSUE, RESULTS = 0.46, 0.4  # heights of a bar of issue, and of all results below it, in rows
LETTER = 0.055  # width of a letter, inches
TITLE_LETTERS, NOTE_LETTERS = 80, 115  # that fit a line
TITLE_LINE, NOTE_LINE = 0.15, 0.1  # inches
LEFT, RIGHT, TOP, BOTTOM = 0.85, 0.22, 0.62, 0.68  # margins, inches


def render_waterfall(waterfall: Waterfall, kind: str) -> bytes:
    """The figure as an svg or png file."""
    assert kind in ("svg", "png")
    buffer = io.BytesIO()
    with matplotlib.rc_context(STYLE | {"svg.hashsalt": waterfall.title}):
        metadata: Any = {"Date": None} if kind == "svg" else None
        draw_waterfall(waterfall).savefig(buffer, format=kind, dpi=PNG_DPI, metadata=metadata)
    return buffer.getvalue()


def draw_waterfall(waterfall: Waterfall) -> Canvas:
    """The figure itself."""
    tops, height = _places(waterfall.rows)
    tall = height * ROW_HEIGHT
    title, note = _lines(waterfall.title, TITLE_LETTERS), _lines(waterfall.note, NOTE_LETTERS)
    whole = tall + TOP + BOTTOM + (len(title) - 1) * TITLE_LINE + (len(note) - 1) * NOTE_LINE
    canvas = Canvas(figsize=(WIDTH, whole))
    axes = canvas.add_axes((LEFT / WIDTH, BOTTOM / whole, (WIDTH - LEFT - RIGHT) / WIDTH, tall / whole))
    axes.set_xlim(waterfall.first, waterfall.last)
    axes.set_ylim(height, 0)
    shades = _shades(waterfall.ages)
    for n, (row, top) in enumerate(zip(waterfall.rows, tops, strict=True)):
        if n % 2 == 0:
            axes.axhspan(top, top + 1, color=BAND_COLOUR, zorder=0, linewidth=0)
        for bar in row.bars:
            _draw_bar(axes, bar, top, shades, (waterfall.last - waterfall.first) / (WIDTH - LEFT - RIGHT))
    _draw_axes(axes, waterfall, tops)
    _draw_groups(axes, waterfall.rows, tops)
    _draw_title(canvas, title, note)
    _draw_legend(canvas, waterfall, shades)
    return canvas


def _lines(text: str, letters: int) -> list[str]:
    return wrap(text, letters, break_on_hyphens=False)


def _draw_title(canvas: Canvas, title: list[str], note: list[str]) -> None:
    """Title and note above, in as many lines as they need."""
    inches = canvas.get_size_inches()[1]
    left, top = LEFT / WIDTH, 0.12
    style: Any = {"verticalalignment": "top"}
    for line in title:
        canvas.text(left, 1 - top / inches, line, fontweight="bold", fontsize=7.5, **style)
        top += TITLE_LINE
    for line in note:
        canvas.text(left, 1 - top / inches, line, color="#555555", fontsize=6, **style)
        top += NOTE_LINE
    above: Any = {"horizontalalignment": "right", "fontsize": 6}
    canvas.text(left - 0.04 / WIDTH, 1 - (top - NOTE_LINE + TOP - 0.33) / inches, "newest tile", **above)


def _places(rows: tuple[WaterfallRow, ...]) -> tuple[list[float], float]:
    """Top of every row, in rows; groups are spaced apart."""
    tops: list[float] = []
    at = 0.0
    for n, row in enumerate(rows):
        if n and row.group != rows[n - 1].group:
            at += GAP
        tops.append(at)
        at += 1
    return tops, at


def _shades(ages: tuple[int, ...]) -> dict[int, str]:
    """The newest tiles dark, the oldest light."""
    scale = colormaps["viridis"]
    return {age: to_hex(scale(0.12 + 0.8 * n / max(len(ages) - 1, 1))) for n, age in enumerate(ages)}


def _draw_bar(axes: Axes, bar: Bar, top: float, shades: dict[int, str], cycles_per_inch: float) -> None:
    """A bar, with its text if there is room for it."""
    low, tall, face, edge, hatch = top + 0.14, 0.72, TRANSFER_COLOUR, "#777777", None
    inches = (bar.end - bar.start) / cycles_per_inch
    match bar.look:
        case "points":
            low, tall, face = top + 0.08 + ISSUE * (1 - bar.share), ISSUE * bar.share, shades[bar.age]
            edge = "white" if inches > LETTER else face
        case "result":
            tall = RESULTS / bar.lanes
            low, face, edge, hatch = top + 0.1 + ISSUE + bar.lane * tall, "white", shades[bar.age], HATCH["result"]
        case "stall":
            face, edge, hatch = "white", COLOUR_BY_CAUSE.get(bar.text, "#777777"), HATCH["stall"]
    place: Any = {"facecolor": face, "edgecolor": edge, "hatch": hatch, "linewidth": 0.4}
    axes.add_patch(Rectangle((bar.start, low), bar.end - bar.start, tall, **place))
    if bar.look == "result" or inches < LETTER * (len(bar.text) + 1):
        return
    is_full = bar.share > 0.8
    is_on_hatching = bar.look == "stall" or not is_full
    box: Any = {"facecolor": "white", "edgecolor": "none", "pad": 0.6} if is_on_hatching else None
    colour = _on(face) if bar.look == "points" and is_full else "black"
    middle = low + tall / 2 if is_full else low + tall + RESULTS / 2
    text = axes.text((bar.start + bar.end) / 2, middle, bar.text, color=colour, fontsize=5.5, bbox=box)
    text.set(horizontalalignment="center", verticalalignment="center_baseline", clip_on=True)


def _on(face: str) -> str:
    """Black or white, whichever is legible on a colour."""
    red, green, blue = (int(face[n : n + 2], 16) / 255 for n in (1, 3, 5))
    return "white" if 0.299 * red + 0.587 * green + 0.114 * blue < 0.55 else "black"


def _draw_axes(axes: Axes, waterfall: Waterfall, tops: list[float]) -> None:
    """Rows by name, cycles below, epochs above."""
    axes.set_yticks([top + 0.5 for top in tops], [row.label for row in waterfall.rows])
    for label, row in zip(axes.get_yticklabels(), waterfall.rows, strict=True):
        label.set_fontstyle("italic" if row.is_wait else "normal")
    axes.tick_params(axis="y", length=0, pad=2)
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda cycle, _: f"{cycle:,.0f}"))
    axes.set_xlabel("cycle", labelpad=2)
    for side in ("left", "right", "top"):
        axes.spines[side].set_visible(False)
    for epoch in waterfall.epochs:
        axes.axvline(epoch.cycle, color=EPOCH_COLOUR, linewidth=0.5, linestyle=(0, (3, 2)), zorder=0.5)
    per_inch = (waterfall.last - waterfall.first) / (WIDTH - LEFT - RIGHT)
    for epoch, end in pairwise([*waterfall.epochs, Epoch(waterfall.last, -1)]):
        if (end.cycle - epoch.cycle) / per_inch > LETTER * (len(str(epoch.tile)) + 1):
            axes.text((epoch.cycle + end.cycle) / 2, -0.25, str(epoch.tile), horizontalalignment="center", fontsize=6)


def _draw_groups(axes: Axes, rows: tuple[WaterfallRow, ...], tops: list[float]) -> None:
    """Names of arrays next to their rows."""
    for name in dict.fromkeys(row.group for row in rows):
        own = [top for row, top in zip(rows, tops, strict=True) if row.group == name]
        middle = (own[0] + own[-1] + 1) / 2
        turned = len(own) > 1  # a rotated name along a single row would run into its neighbours, so it is horizontal
        place: Any = {"transform": axes.get_yaxis_transform(), "fontweight": "bold", "verticalalignment": "center"}
        if turned:
            place |= {"rotation": 90, "horizontalalignment": "center"}
        size = 7.5 if len(own) > 2 else 6
        axes.text(-0.115 if turned else -0.137, middle, name, fontsize=size, **place)


def _draw_legend(canvas: Canvas, waterfall: Waterfall, shades: dict[int, str]) -> None:
    """Ages, results and causes below."""
    handles = [Patch(facecolor=shades[age], label="newest tile" if age == 0 else f"{age} behind") for age in shades]
    handles.append(Patch(facecolor="white", edgecolor="#444444", hatch=HATCH["result"], label="result leaves array"))
    for cause in waterfall.causes:
        colour = COLOUR_BY_CAUSE.get(cause, "#777777")
        handles.append(Patch(facecolor="white", edgecolor=colour, hatch=HATCH["stall"], label=f"waits: {cause}"))
    legend: Any = {"loc": "lower center", "ncols": min(len(handles), 7), "frameon": False, "fontsize": 6}
    canvas.legend(handles=handles, handlelength=1.8, columnspacing=1.2, handletextpad=0.5, borderpad=0.1, **legend)
