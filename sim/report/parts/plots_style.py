"""The shared style of figures, their colours and marks, and their conversion to SVG and PNG.

Colours are those of Okabe and Ito (2008), distinguishable with any colour vision. The same numbers give the same bytes:
names inside an SVG derive from the figure's name, and no date is written.
"""

import io
from collections.abc import Callable
from typing import Any, NamedTuple

import matplotlib
from matplotlib.figure import Figure as Canvas

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
WIDTH_INCHES = 7.16  # across both columns of a page
GREY, BLACK = "#999999", "#000000"
ORANGE, SKY, GREEN, YELLOW, BLUE, VERMILION, PURPLE = (
    "#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7",
)  # fmt: skip
DESIGN_COLOURS = (GREY, ORANGE, SKY, GREEN, BLUE, PURPLE, VERMILION, YELLOW)
PART_COLOURS = (BLUE, SKY, VERMILION, ORANGE, PURPLE, GREEN, YELLOW, GREY)
SERIES_COLOURS = (BLUE, VERMILION, GREEN, ORANGE, PURPLE, SKY, GREY, BLACK)
MARKS = ("o", "s", "^", "D", "v", "P", "X", "*")
Make = Callable[[], Canvas]


class Picture(NamedTuple):
    """One drawn figure."""

    svg: str
    png: bytes


def render_canvas(name: str, title: str, make: Make) -> Picture:
    """A figure as an SVG document and a PNG of 300 dots per inch; the same numbers give the same bytes."""
    with matplotlib.rc_context(STYLE | {"svg.hashsalt": name}):
        canvas = make()
        svg = io.StringIO()
        canvas.savefig(svg, format="svg", metadata={"Date": None, "Title": title})
        canvas.set_layout_engine("none")  # laid out once, above
        png = io.BytesIO()
        canvas.savefig(png, format="png", dpi=PNG_DPI, metadata={"Title": title})
    return Picture(svg.getvalue(), png.getvalue())


def colour_of(index: int) -> str:
    return SERIES_COLOURS[index % len(SERIES_COLOURS)]
