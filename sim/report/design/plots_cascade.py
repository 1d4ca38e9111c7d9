"""A cascade as a graph: one layer for each step of the data flow, Einsums coloured by pass, barriers marked.

A barrier, a value that a later pass waits for, has a double
outline; an edge that carries it is drawn heavy; one that closes an iteration is dotted.
"""

import io
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle
from matplotlib.path import Path as Line

from einsums import Cascade, PassAnalysis, analyse_passes, edges_of
from sim.report.design.cascade_places import WAY, NodePlace, rows_of, sources_of

# Okabe and Ito (2008): distinguishable with any colour vision. Light enough for black text, in this order.
PASS_COLOURS = ("#56B4E9", "#E69F00", "#009E73", "#CC79A7", "#F0E442", "#D55E00", "#0072B2")
INPUT_COLOUR, EDGE_COLOUR, BARRIER_COLOUR = "#ffffff", "#777777", "#000000"
STYLE: Any = {"font.family": ["DejaVu Sans"], "font.size": 7, "svg.fonttype": "path"}
STEP_X, HEIGHT, HALF = 1.05, 0.3, 0.37  # inches
LABEL, LEGEND, ROW_GAP = 0.33, 0.34, 0.12  # room above a row, below the last, between two; inches
OUTLINE = 0.045  # from a node to the second outline of a barrier
PNG_DPI = 300


class DrawnRow(NamedTuple):
    """A row of the graph where it stands in the drawing: the height of its middle, and its reach from there."""

    einsums: tuple[str, ...]
    places: dict[str, NodePlace]
    middle: float
    reach: float
    continued: frozenset[int]  # passes that began in a row before


def write_plot(cascade: Cascade, rank: str, path: Path) -> None:
    """Draw the passes over a rank into an SVG or PNG file, by its suffix. ValueError for another suffix."""
    kind = path.suffix.lower().removeprefix(".")
    if kind not in ("svg", "png"):
        raise ValueError(f"a drawing is a .svg or .png file, found '{path.name}'")
    buffer = io.BytesIO()
    with matplotlib.rc_context(STYLE | {"svg.hashsalt": f"{cascade.name}-{rank}"}):
        metadata: Any = {"Date": None} if kind == "svg" else None
        draw_cascade(cascade, rank).savefig(buffer, format=kind, dpi=PNG_DPI, metadata=metadata)
    path.write_bytes(buffer.getvalue())


def draw_cascade(cascade: Cascade, rank: str) -> Canvas:
    """The drawing itself."""
    analysis = analyse_passes(cascade, rank)
    graphs = rows_of(cascade, analysis)
    rows: list[DrawnRow] = []
    above = 0.0
    for graph in graphs:
        heights = [place.y for place in graph.places.values()]
        reach = (max(heights) - min(heights)) / 2 + 0.9 * HEIGHT
        middle = -(above + LABEL + reach)
        shift = middle - (max(heights) + min(heights)) / 2
        places = {name: NodePlace(place.layer, place.y + shift) for name, place in graph.places.items()}
        seen = frozenset(analysis.pass_of(name) for row in rows for name in row.einsums)
        rows.append(DrawnRow(graph.einsums, places, middle, reach, seen))
        above += LABEL + 2 * reach + ROW_GAP
    above -= ROW_GAP
    layers = 1 + max(place.layer for row in rows for place in row.places.values())
    canvas = Canvas(figsize=(layers * STEP_X + 0.1, above + LEGEND))
    axes = canvas.add_axes((0, 0, 1, 1))
    axes.set_xlim(-0.55 * STEP_X, (layers - 0.45) * STEP_X)
    axes.set_ylim(-(above + LEGEND), 0)
    axes.set_axis_off()
    for row in rows:
        _draw_bands(axes, analysis, row, LEGEND if len(rows) == 1 else 0.0)
        _draw_edges(axes, cascade, analysis, row)
        for name in row.places:
            if WAY not in name:
                _draw_node(axes, cascade, analysis, (name, row))
    _draw_legend(axes, cascade, analysis, has_rows=len(rows) > 1)
    return canvas


# --- drawing ------------------------------------------------------------------------------------------------
def _draw_bands(axes: Axes, analysis: PassAnalysis, row: DrawnRow, below: float) -> None:
    """A light background behind the layers of each pass, with its number above."""
    for number in range(1, analysis.passes + 1):
        members = [item.einsum for item in analysis.pass_of_einsum if item.number == number]
        layers = [row.places[name].layer for name in members if name in row.einsums]
        if not layers:
            continue
        left, right = (min(layers) - 0.47) * STEP_X, (max(layers) + 0.47) * STEP_X
        bottom, top = row.middle - row.reach - below, row.middle + row.reach + LABEL
        band: Any = {"color": _colour(number), "alpha": 0.1, "linewidth": 0}
        axes.add_patch(Rectangle((left, bottom), right - left, top - bottom, **band))
        label = f"pass {number}, continued" if number in row.continued else f"pass {number}"
        axes.text((left + right) / 2, top - LABEL / 2, label, ha="center", va="center", fontsize=7.5)


def _draw_edges(axes: Axes, cascade: Cascade, analysis: PassAnalysis, row: DrawnRow) -> None:
    carried = {(edge.source, edge.reader) for edge in edges_of(cascade) if edge.is_carried}
    barriers = _barriers(analysis)
    sources, places = sources_of(cascade), row.places
    for reader in row.einsums:
        for source in sources[reader]:
            a, b = places[source], places[reader]
            between = [places[f"{source}{WAY}{reader}{WAY}{n}"] for n in range(a.layer + 1, b.layer)]
            gap = HALF + (OUTLINE if reader in barriers else 0.0)
            path = _forward([a, *between, b], gap) if a.layer < b.layer else _backward(a, b)
            _draw_edge(axes, path, source in barriers, (source, reader) in carried)


def _forward(stops: list[NodePlace], gap: float) -> Line:
    """From the right side of a node to `gap` before the centre of another, level at every point between."""
    points = [(stops[0].layer * STEP_X + HALF, stops[0].y)]
    codes = [Line.MOVETO]
    for stop in stops[1:]:
        end = (stop.layer * STEP_X - (gap if stop is stops[-1] else HALF), stop.y)
        middle = (points[-1][0] + end[0]) / 2
        points += [(middle, points[-1][1]), (middle, end[1]), end]
        codes += [Line.CURVE4] * 3
        if stop is not stops[-1]:  # level past the nodes of the layer
            points.append((stop.layer * STEP_X + HALF, stop.y))
            codes.append(Line.LINETO)
    return Line(points, codes)


def _backward(a: NodePlace, b: NodePlace) -> Line:
    """The edge that closes an iteration: a loop over a node, or from the left side back to the right of the other."""
    if a == b:
        x, y = a.layer * STEP_X, a.y + HEIGHT / 2
        return Line([(x + 0.2, y), (x + 0.2, y + 0.25), (x - 0.2, y + 0.25), (x - 0.2, y)], [1, 4, 4, 4])
    sign = 1 if a.y > b.y else -1
    if a.layer == b.layer:
        return Line([(a.layer * STEP_X, a.y - sign * HEIGHT / 2), (b.layer * STEP_X, b.y + sign * HEIGHT / 2)])
    start, end = (a.layer * STEP_X - HALF, a.y - sign * 0.09), (b.layer * STEP_X + HALF, b.y + sign * 0.09)
    middle = (start[0] + end[0]) / 2
    return Line([start, (middle, start[1]), (middle, end[1]), end], [1, 4, 4, 4])


def _draw_edge(axes: Axes, path: Line, is_barrier: bool, is_carried: bool) -> None:
    axes.add_patch(
        FancyArrowPatch(
            path=path,
            arrowstyle="-|>",
            mutation_scale=6,
            linewidth=1.4 if is_barrier else 0.7,
            linestyle=":" if is_carried else "-",
            color=BARRIER_COLOUR if is_barrier else EDGE_COLOUR,
            zorder=2,
        )
    )


def _draw_node(axes: Axes, cascade: Cascade, analysis: PassAnalysis, node: tuple[str, DrawnRow]) -> None:
    name, row = node
    layer, y = row.places[name]
    is_input = any(tensor.name == name for tensor in cascade.inputs)
    is_repeated = not is_input and name not in row.einsums
    item = next((item for item in analysis.pass_of_einsum if item.einsum == name), None)
    face = INPUT_COLOUR if item is None else _colour(item.number)
    is_quiet = is_repeated or (item is not None and not item.visits)
    text = f"{name}[{','.join(cascade.tensor(name).ranks)}]"
    if name in _barriers(analysis) and not is_repeated:
        outer = (HALF + OUTLINE, HEIGHT / 2 + OUTLINE)
        _box(axes, (layer * STEP_X, y), outer, {"facecolor": "white", "linewidth": 1.2})
    _box(axes, (layer * STEP_X, y), (HALF, HEIGHT / 2), {"facecolor": "white", "linewidth": 0})
    style = {"facecolor": face, "alpha": 0.35 if is_quiet else 0.95, "linewidth": 0.0}
    _box(axes, (layer * STEP_X, y), (HALF, HEIGHT / 2), style)
    outline = {"facecolor": "none", "linewidth": 0.8, "linestyle": "--" if is_input else ":" if is_repeated else "-"}
    _box(axes, (layer * STEP_X, y), (HALF, HEIGHT / 2), outline)
    size = 7 if len(text) <= 11 else 7 * 11 / len(text)
    axes.text(layer * STEP_X, y, text, ha="center", va="center", fontsize=size, zorder=5)


def _box(axes: Axes, centre: tuple[float, float], half: tuple[float, float], style: dict[str, Any]) -> None:
    corner = (centre[0] - half[0], centre[1] - half[1])
    shape: Any = {"boxstyle": "round,pad=0,rounding_size=0.06", "edgecolor": "black", "zorder": 4}
    axes.add_patch(FancyBboxPatch(corner, 2 * half[0], 2 * half[1], **(shape | style)))


def _draw_legend(axes: Axes, cascade: Cascade, analysis: PassAnalysis, has_rows: bool) -> None:
    marks: list[Artist] = [_square("input", INPUT_COLOUR, 1.0, "--")]
    if has_rows:
        marks.append(_square("from another row", PASS_COLOURS[0], 0.35, ":"))
    if any(not item.visits for item in analysis.pass_of_einsum):
        marks.append(_square(f"does not traverse {analysis.rank}", PASS_COLOURS[0], 0.35, "-"))
    if analysis.passes > 1:
        label = "complete only after a whole pass (barrier)"
        marks.append(Line2D([], [], color=BARRIER_COLOUR, linewidth=1.4, label=label))
    if any(edge.is_carried for edge in edges_of(cascade)):
        marks.append(Line2D([], [], color=EDGE_COLOUR, linestyle=":", linewidth=0.9, label="from the step before"))
    axes.legend(
        handles=marks,
        loc="lower center",
        ncols=len(marks),
        frameon=False,
        fontsize=6.5,
        handlelength=1.6,
        borderaxespad=0.3,
        columnspacing=1.4,
    )


def _square(label: str, colour: str, alpha: float, line: str) -> FancyBboxPatch:
    style: Any = {"facecolor": (colour, alpha), "edgecolor": "black", "linestyle": line, "linewidth": 0.6}
    return FancyBboxPatch((0, 0), 1, 1, label=label, **style)


def _barriers(analysis: PassAnalysis) -> frozenset[str]:
    return frozenset(forced.barrier for forced in analysis.forced_by)


def _colour(number: int) -> str:
    return PASS_COLOURS[(number - 1) % len(PASS_COLOURS)]
