"""The page of a sweep: its charts, and a table of all points that sorts, filters, and shows how to reproduce a point.

One self-contained file. Points are stored as columns of JSON, each text once; a script (`assets/points.js`) fills the
table, so that a page of many thousands of points opens at once. `#point=17` in the address opens that point. A filter
is words separated by blanks: `rows=256`, `buffer>=16`, or text that some column contains.
"""

import json
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

from sim.explore.points import Point, Points
from sim.explore.seconds import seconds_of
from sim.report.parts.chart_files import ChartOf, chart_figures
from sim.report.parts.html import Banner, asset, folded, page
from sim.report.sweep.breakdown import details_of
from sim.report.sweep.data import Study, measure, settled_measure
from sim.report.sweep.rows import MOST_DETAILED, detailed_rows, shown_rows
from sim.simulation.result import SimulationResult


def sweep_page(
    study: Study,
    charts: Sequence[ChartOf],
    svg_by_chart: Mapping[str, str],
    results: Mapping[int, SimulationResult],
) -> str:
    """The whole page as text; `results` by row, for the points simulated in detail."""
    meta, points = study.meta, study.points
    legal, front = int(points.is_legal.sum()), len(points.front)
    kept = shown_rows(points)
    style, title = asset(__file__, "points.css").template, meta["title"] or meta["sweep"]
    below = (
        f'<p class="quiet">{escape(meta["sweep"])}: {len(points):,} points, {legal:,} legal, {front:,} on fronts. '
        f"Starts from {escape(meta['experiment'])}; code {escape(meta['code'])}, "
        f"inputs {escape(meta['inputs_hash'][:16])}.</p>"
    )
    links = [*([("charts", "Charts")] if charts else []), ("points", "Points")]
    parts = ['<h2 id="charts">Charts</h2>'] if charts else []
    parts += chart_figures(charts, svg_by_chart)
    parts.append('<h2 id="points">Points</h2>')
    if len(kept) < len(points):
        told = f"The {len(kept):,} points shown are the fronts and others evenly spread; all are in the store."
        parts.append(f"<p>{told}</p>")
    data = json.dumps(page_data(study, kept, results), separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    table = asset(__file__, "points.html").substitute(
        most_detailed=MOST_DETAILED, data=data, script=asset(__file__, "points.js").template
    )
    parts += [_refusals(points), table]
    return page(title, Banner(title, below, links), "\n".join(parts), style)


def _refusals(points: Points) -> str:
    """How many points each kind of reason refuses."""
    counts: dict[str, int] = {}
    for reason in points.column("reason")[~points.is_legal].astype(int).tolist():
        kind = points.reasons[reason][0]
        counts[kind] = counts.get(kind, 0) + 1
    if not counts:
        return ""
    listed = "".join(f"<li>{escape(kind)}: {count:,} points</li>" for kind, count in sorted(counts.items()))
    return folded("Why points are not legal", f"<ul>{listed}</ul>")


def page_data(study: Study, rows: np.ndarray, results: Mapping[int, SimulationResult]) -> dict[str, Any]:
    """The script's input: columns of the points, and their settings, each distinct text once."""
    points = study.points
    chosen = [points.at(int(row)) for row in rows]
    front = set(points.front.tolist())
    values = points.contents.values
    columns: list[dict[str, Any]] = [{"name": "point", "label": "Point", "values": [p.point for p in chosen]}]
    for axis in study.axes:
        label = f"{axis.label} ({axis.unit})" if axis.unit else axis.label
        columns.append({"name": axis.name, "label": label, "values": [p.axis(axis.name) for p in chosen]})
    for name in values:
        one = measure(name)
        columns.append({"name": name, "label": one.label, "scale": one.scale, "values": _column(points, name, rows)})
    columns += _second_stage(points, chosen)
    for settled in points.contents.meta["settled"]:
        one = settled_measure(settled["path"], settled["dimension"])
        stored = _column(points, one.name, rows)
        columns.append({"name": one.name, "label": one.label, "scale": one.scale, "hidden": True, "values": stored})
    for name, (label, of) in _TEXTS.items():
        columns.append({"name": name, "label": label, "hidden": name != "bound_by", **coded([of(p) for p in chosen])})
    return {
        "columns": columns,
        "front": [int(int(row) in front) for row in rows],
        "details": _components(study, rows, results),
        "yaml": _settings(chosen),
    }


_TEXTS = {
    "bound_by": ("Bound by", lambda point: point.bound_by or ""),
    "reason": ("Not legal", lambda point: point.reason),
    "extrapolated": ("Beyond its table", lambda point: " ".join(point.extrapolated)),
    "hash": ("Hash of the inputs", lambda point: point.hash),
}


def _second_stage(points: Points, chosen: Sequence[Point]) -> list[dict[str, Any]]:
    """Another engine's times, for the points that it evaluated."""
    found = {one.point: one for one in seconds_of(points.second_stage) if not one.refused}
    if not found:
        return []
    engine = next(iter(found.values())).engine
    times = [found[p.point].value("latency_s") if p.point in found else None for p in chosen]
    return [{"name": f"{engine}.latency_s", "label": f"Time, {engine} engine (s)", "scale": 1.0, "values": times}]


def _components(study: Study, rows: np.ndarray, results: Mapping[int, SimulationResult]) -> dict[str, Any]:
    """The energy of each component, for the points simulated in detail: names once, values by row of the page."""
    detailed = detailed_rows(study.points, rows).tolist()
    found = {row: details_of(results[row]) for row in detailed if row in results}
    labels = sorted(dict.fromkeys(label for own in found.values() for label in own), key=_kind_of)
    values = {int(np.searchsorted(rows, row)): [own.get(label) for label in labels] for row, own in found.items()}
    return {"labels": labels, "values": values}


def _kind_of(label: str) -> int:
    """Energy before traffic before time before area; components stay in their order."""
    return next((i for i, word in enumerate((" energy", " traffic", " busy", " area")) if word in label), 0)


def _column(points: Points, name: str, rows: np.ndarray) -> list[float | None]:
    return [None if np.isnan(v) or np.isinf(v) else v for v in points.column(name)[rows].tolist()]


def coded(texts: Sequence[str]) -> dict[str, Any]:
    """Each distinct text once, and which of them each point has."""
    place = {text: i for i, text in enumerate(dict.fromkeys(texts))}
    return {"texts": list(place), "values": [place[text] for text in texts]}


def _settings(points: Sequence[Point]) -> dict[str, Any]:
    """Lines of the points' YAML in the order in which each has them."""
    lines = [tuple(point.to_yaml().splitlines()) for point in points]
    place = {line: i for i, line in enumerate(dict.fromkeys(line for own in lines for line in own))}
    return {"lines": list(place), "values": [[place[line] for line in own] for own in lines]}
