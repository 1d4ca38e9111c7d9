"""A cascade as a graph: one layer for each step of the data flow, Einsums coloured by pass, barriers marked.

Layers run from left to right: inputs, then the Einsums by pass, and inside a pass by the longest path from the inputs.
Within a layer, nodes are ordered by the mean place of their sources, so that few edges cross, and an edge that crosses
a layer has its own place in it (Sugiyama et al., 1981). A barrier, a value that a later pass waits for, has a double
outline; an edge that carries it is drawn heavy; one that closes an iteration is dotted.
"""

import io
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from matplotlib.path import Path as Line

from einsums import Cascade, PassAnalysis, analyse_passes, edges_of, topological_order

# Okabe and Ito (2008): distinguishable with any colour vision. Light enough for black text, in this order.
PASS_COLOURS = ("#56B4E9", "#E69F00", "#009E73", "#CC79A7", "#F0E442", "#D55E00", "#0072B2")
INPUT_COLOUR, EDGE_COLOUR, BARRIER_COLOUR = "#ffffff", "#777777", "#000000"
STYLE: Any = {"font.family": ["DejaVu Sans"], "font.size": 7, "svg.fonttype": "path"}
STEP_X, STEP_Y, STEP_THROUGH, HEIGHT, HALF = 1.05, 0.5, 0.26, 0.3, 0.37  # inches
OUTLINE = 0.045  # from a node to the second outline of a barrier
_WAY = " > "  # in the name of a point where an edge crosses a layer
PNG_DPI = 300


class NodePlace(NamedTuple):
    """The position of a node: its layer from the left and its height, 0 in the middle."""

    layer: int
    y: float


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
    places = place_nodes(cascade, analysis)
    layers = 1 + max(place.layer for place in places.values())
    middle = (max(place.y for place in places.values()) + min(place.y for place in places.values())) / 2
    places = {name: NodePlace(place.layer, place.y - middle) for name, place in places.items()}
    top = max(abs(place.y) for place in places.values()) + 0.9 * HEIGHT
    width, height = layers * STEP_X + 0.1, 2 * top + 0.67
    canvas = Canvas(figsize=(width, height))
    axes = canvas.add_axes((0, 0, 1, 1))
    axes.set_xlim(-0.55 * STEP_X, (layers - 0.45) * STEP_X)
    axes.set_ylim(-top - 0.34, top + 0.33)
    axes.set_axis_off()
    _draw_bands(axes, analysis, places, top)
    _draw_edges(axes, cascade, analysis, places)
    for name, place in ((name, place) for name, place in places.items() if _WAY not in name):
        _draw_node(axes, cascade, analysis, (name, place))
    _draw_legend(axes, cascade, analysis)
    return canvas


# --- node positions -----------------------------------------------------------------------------------------
def place_nodes(cascade: Cascade, analysis: PassAnalysis) -> dict[str, NodePlace]:
    """Layers by pass and depth, heights by each node's sources. Long edges have a place in every layer they cross."""
    layer = _layers(cascade, analysis)
    before: dict[str, list[str]] = {}
    for way in _ways(cascade, layer):
        for one, other in pairwise(way):
            layer.setdefault(other, layer[one] + 1)
            before.setdefault(other, []).append(one)
    by_layer: dict[int, list[str]] = {}
    for name in layer:
        by_layer.setdefault(layer[name], []).append(name)
    heights: dict[str, float] = {}
    for number in sorted(by_layer):
        names = by_layer[number]
        wanted = {name: _mean([heights[s] for s in before.get(name, ()) if s in heights]) for name in names}
        heights |= _stacked(sorted(names, key=lambda name: -wanted[name]), wanted)
    return {name: NodePlace(layer[name], heights[name]) for name in heights}


def _stacked(names: list[str], wanted: Mapping[str, float]) -> dict[str, float]:
    """Heights of one layer from the top down, spaced apart, with the same mean as their sources."""
    heights = {names[0]: 0.0}
    for above, name in pairwise(names):
        room = (STEP_Y if _WAY not in above else STEP_THROUGH) + (STEP_Y if _WAY not in name else STEP_THROUGH)
        heights[name] = heights[above] - room / 2
    shift = _mean(list(heights.values())) - 0.7 * _mean(list(wanted.values()))
    return {name: height - shift for name, height in heights.items()}


def _ways(cascade: Cascade, layer: Mapping[str, int]) -> list[tuple[str, ...]]:
    """Every forward edge as the nodes it goes through: its ends, and a point in each layer between."""
    ways = []
    for reader, sources in _sources(cascade).items():
        for source in sources:
            between = range(layer[source] + 1, layer[reader])
            if layer[source] < layer[reader]:
                ways.append((source, *(f"{source}{_WAY}{reader}{_WAY}{number}" for number in between), reader))
    return ways


def _layers(cascade: Cascade, analysis: PassAnalysis) -> dict[str, int]:
    """Inputs are placed just before their first reader; each pass begins to the right of the previous one."""
    now = [edge for edge in edges_of(cascade) if not edge.is_carried]
    layer: dict[str, int] = {}
    start = 1
    for number in range(1, max(1, analysis.passes) + 1):
        for name in topological_order(cascade):
            if analysis.pass_of(name) == number:
                before = [layer[edge.source] for edge in now if edge.reader == name and edge.source in layer]
                layer[name] = max([start, *(1 + place for place in before)])
        start = 1 + max(layer.values(), default=0)
    for tensor in cascade.inputs:
        readers = [e.name for e in cascade.einsums if any(a.tensor == tensor.name for a in e.loads)]
        layer[tensor.name] = min(layer[name] for name in readers) - 1
    return layer


def _sources(cascade: Cascade) -> dict[str, list[str]]:
    return {e.name: list(dict.fromkeys(access.tensor for access in e.loads)) for e in cascade.einsums}


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else 0.0


# --- drawing ------------------------------------------------------------------------------------------------
def _draw_bands(axes: Axes, analysis: PassAnalysis, places: Mapping[str, NodePlace], top: float) -> None:
    """A light background behind the layers of each pass, with its number above."""
    for number in range(1, analysis.passes + 1):
        layers = [places[item.einsum].layer for item in analysis.pass_of_einsum if item.number == number]
        left, right = (min(layers) - 0.47) * STEP_X, (max(layers) + 0.47) * STEP_X
        axes.axvspan(left, right, ymin=0.0, ymax=1.0, color=_colour(number), alpha=0.1, linewidth=0)
        axes.text((left + right) / 2, top + 0.17, f"pass {number}", ha="center", va="center", fontsize=7.5)


def _draw_edges(axes: Axes, cascade: Cascade, analysis: PassAnalysis, places: Mapping[str, NodePlace]) -> None:
    carried = {(edge.source, edge.reader) for edge in edges_of(cascade) if edge.is_carried}
    barriers = _barriers(analysis)
    for reader, sources in _sources(cascade).items():
        for source in sources:
            a, b = places[source], places[reader]
            between = [places[f"{source}{_WAY}{reader}{_WAY}{n}"] for n in range(a.layer + 1, b.layer)]
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


def _draw_node(axes: Axes, cascade: Cascade, analysis: PassAnalysis, node: tuple[str, NodePlace]) -> None:
    name, (layer, y) = node
    is_input = any(tensor.name == name for tensor in cascade.inputs)
    item = next((item for item in analysis.pass_of_einsum if item.einsum == name), None)
    face = INPUT_COLOUR if item is None else _colour(item.number)
    is_quiet = item is not None and not item.visits
    text = f"{name}[{','.join(cascade.tensor(name).ranks)}]"
    if name in _barriers(analysis):
        outer = (HALF + OUTLINE, HEIGHT / 2 + OUTLINE)
        _box(axes, (layer * STEP_X, y), outer, {"facecolor": "white", "linewidth": 1.2})
    _box(axes, (layer * STEP_X, y), (HALF, HEIGHT / 2), {"facecolor": "white", "linewidth": 0})
    style = {"facecolor": face, "alpha": 0.35 if is_quiet else 0.95, "linewidth": 0.0}
    _box(axes, (layer * STEP_X, y), (HALF, HEIGHT / 2), style)
    outline = {"facecolor": "none", "linewidth": 0.8, "linestyle": "--" if is_input else "-"}
    _box(axes, (layer * STEP_X, y), (HALF, HEIGHT / 2), outline)
    size = 7 if len(text) <= 11 else 7 * 11 / len(text)
    axes.text(layer * STEP_X, y, text, ha="center", va="center", fontsize=size, zorder=5)


def _box(axes: Axes, centre: tuple[float, float], half: tuple[float, float], style: dict[str, Any]) -> None:
    corner = (centre[0] - half[0], centre[1] - half[1])
    shape: Any = {"boxstyle": "round,pad=0,rounding_size=0.06", "edgecolor": "black", "zorder": 4}
    axes.add_patch(FancyBboxPatch(corner, 2 * half[0], 2 * half[1], **(shape | style)))


def _draw_legend(axes: Axes, cascade: Cascade, analysis: PassAnalysis) -> None:
    marks: list[Artist] = [_square("input", INPUT_COLOUR, 1.0, "--")]
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
