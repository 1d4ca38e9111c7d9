"""Where the nodes of a cascade's graph stand: layers by pass and depth, heights by sources, rows if there are many.

Layers run from left to right: inputs, then the Einsums by pass, and inside a pass by the longest path from the inputs.
Within a layer, nodes are ordered by the mean place of their sources, so that few edges cross, and an edge that crosses
a layer has its own place in it (Sugiyama et al., 1981). A graph of many layers continues in further rows: a row holds
whole passes, or a part of a long one, and what it reads from other rows stands in it again.
"""

from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from typing import NamedTuple

from einsums import Cascade, PassAnalysis, edges_of, topological_order

STEP_Y, STEP_THROUGH = 0.5, 0.26  # inches
WAY = " > "  # in the name of a point where an edge crosses a layer
MOST_LAYERS = 12  # side by side


class NodePlace(NamedTuple):
    """The position of a node: its layer from the left and its height, 0 in the middle."""

    layer: int
    y: float


class GraphRow(NamedTuple):
    """One row of the graph: its Einsums, and where they, their inputs and what they read of other rows stand."""

    einsums: tuple[str, ...]
    places: dict[str, NodePlace]


def rows_of(cascade: Cascade, analysis: PassAnalysis) -> tuple[GraphRow, ...]:
    """The whole graph, in as many rows as it needs."""
    layer = _layers(cascade, analysis)
    whole = tuple(einsum.name for einsum in cascade.einsums)
    if max(layer.values()) < MOST_LAYERS:
        return (GraphRow(whole, place_nodes(cascade, analysis)),)
    rows = []
    for first, last in _stretches(analysis, layer):
        own = tuple(name for name in whole if first <= layer[name] <= last)
        local = {name: layer[name] - first + 1 for name in own}
        around: dict[str, int] = {}
        for name in own:
            for source in sources_of(cascade)[name]:
                if source not in local:
                    around[source] = min(around.get(source, local[name]), local[name] - 1)
        rows.append(GraphRow(own, _placed(_edges(cascade, own), around | local)))
    return tuple(rows)


def _stretches(analysis: PassAnalysis, layer: Mapping[str, int]) -> Iterator[tuple[int, int]]:
    """First and last layer of each row: passes as long as they fit, one place left for what is read from elsewhere."""
    most = MOST_LAYERS - 1
    begun: tuple[int, int] | None = None
    for number in range(1, analysis.passes + 1):
        own = [layer[item.einsum] for item in analysis.pass_of_einsum if item.number == number]
        first, last = min(own), max(own)
        if begun is not None and last - begun[0] < most:
            begun = (begun[0], last)
            continue
        if begun is not None:
            yield begun
        while last - first >= most:
            yield first, first + most - 1
            first += most
        begun = (first, last)
    if begun is not None:
        yield begun


def place_nodes(cascade: Cascade, analysis: PassAnalysis) -> dict[str, NodePlace]:
    """All in one row. Long edges have a place in every layer they cross."""
    readers = [einsum.name for einsum in cascade.einsums]
    return _placed(_edges(cascade, readers), _layers(cascade, analysis))


def _edges(cascade: Cascade, readers: Iterable[str]) -> list[tuple[str, str]]:
    """Sources and readers."""
    sources = sources_of(cascade)
    return [(source, reader) for reader in readers for source in sources[reader]]


def _placed(edges: list[tuple[str, str]], layer: dict[str, int]) -> dict[str, NodePlace]:
    before: dict[str, list[str]] = {}
    for way in _ways(edges, layer):
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
        room = (STEP_Y if WAY not in above else STEP_THROUGH) + (STEP_Y if WAY not in name else STEP_THROUGH)
        heights[name] = heights[above] - room / 2
    shift = _mean(list(heights.values())) - 0.7 * _mean(list(wanted.values()))
    return {name: height - shift for name, height in heights.items()}


def _ways(edges: list[tuple[str, str]], layer: Mapping[str, int]) -> list[tuple[str, ...]]:
    """Every forward edge as the nodes it goes through: its ends, and a point in each layer between."""
    ways = []
    for source, reader in edges:
        between = range(layer[source] + 1, layer[reader])
        if layer[source] < layer[reader]:
            ways.append((source, *(f"{source}{WAY}{reader}{WAY}{number}" for number in between), reader))
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


def sources_of(cascade: Cascade) -> dict[str, list[str]]:
    return {e.name: list(dict.fromkeys(access.tensor for access in e.loads)) for e in cascade.einsums}


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else 0.0
