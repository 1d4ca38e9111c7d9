"""The page of a sweep: its charts, and every point in a table that sorts, filters, and shows how to make a point again.

One file without links to others. Points travel as columns of JSON, texts once each; the script beside them
(`sweep_page_script`) fills the table, so that a page of many thousand points opens at once.
"""

import json
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

from sim.explore.points import Point, Points
from sim.explore.second_stage import seconds_of
from sim.report.parts.chart_files import ChartOf, chart_figures
from sim.report.parts.html import folded, page
from sim.report.sweep.breakdown import MOST_DETAILED, detailed_rows, details_of
from sim.report.sweep.data import Study, measure, settled_measure
from sim.report.sweep.page_script import SCRIPT, STYLE

MOST_POINTS = 100_000


def sweep_page(study: Study, charts: Sequence[ChartOf], svg_by_chart: Mapping[str, str]) -> str:
    """The whole page as text."""
    meta, points = study.meta, study.points
    legal, front = int(points.is_legal.sum()), len(points.front)
    kept = kept_rows(points)
    parts = [f"<style>{STYLE}</style>", f"<h1>{escape(meta['title'] or meta['sweep'])}</h1>"]
    parts.append(
        f'<p class="quiet">{escape(meta["sweep"])}: {len(points):,} points, {legal:,} legal, {front:,} on fronts. '
        f"Starts from {escape(meta['experiment'])}; code {escape(meta['code'])}, "
        f"inputs {escape(meta['inputs_hash'][:16])}.</p>"
    )
    parts.append('<nav><a href="#charts">Charts</a><a href="#points">Points</a></nav>')
    if charts:
        parts.append('<h2 id="charts">Charts</h2>')
    parts += chart_figures(charts, svg_by_chart)
    parts.append('<h2 id="points">Points</h2>')
    if len(kept) < len(points):
        told = f"The {len(kept):,} points shown are the fronts and others evenly spread; all are in the store."
        parts.append(f"<p>{told}</p>")
    parts += [_refusals(points), _CONTROLS]
    data = json.dumps(page_data(study, kept), separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    parts.append(f'<script type="application/json" id="data">{data}</script>\n<script>\n{SCRIPT}\n</script>')
    return page(meta["title"] or meta["sweep"], "\n".join(parts))


_CONTROLS = f"""<p>Hover over a row to see all of a point (★: on a front), with what each component takes (of up to
{MOST_DETAILED} legal points, fronts first); click it to keep that open, with the YAML that makes it again.</p>
<div id="controls"><input id="filter" type="search" placeholder="filter, such as rows=256 buffer>=16"
 aria-label="Filter"> <label><input type="checkbox" id="only-front"> fronts only</label>
<label><input type="checkbox" id="only-legal"> legal only</label> <span id="count" class="quiet"></span></div>
<div id="kept" hidden></div>
<div class="wide"><table id="table"><thead></thead><tbody></tbody></table></div>
<div id="pages"><button id="back">Back</button> <span id="where" class="quiet"></span>
<button id="next">Next</button></div>
<div id="hover" hidden></div>"""


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


def kept_rows(points: Points) -> np.ndarray:
    """Rows that the page holds, ascending: all, or the fronts and an even choice of the others."""
    if len(points) <= MOST_POINTS:
        return np.arange(len(points))
    spread = np.linspace(0, len(points) - 1, MOST_POINTS).astype(np.int64)
    return np.union1d(spread, points.front)


def page_data(study: Study, rows: np.ndarray) -> dict[str, Any]:
    """What the script reads: columns of the points, and their settings, each different text once."""
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
        "details": _components(study, rows),
        "yaml": _settings(chosen),
    }


_TEXTS = {
    "bound_by": ("Bound by", lambda point: point.bound_by or ""),
    "reason": ("Not legal", lambda point: point.reason),
    "extrapolated": ("Beyond its table", lambda point: " ".join(point.extrapolated)),
    "hash": ("Hash of the inputs", lambda point: point.hash),
}


def _second_stage(points: Points, chosen: Sequence[Point]) -> list[dict[str, Any]]:
    """The time that another engine finds, of the points that it looked at."""
    found = {one.point: one for one in seconds_of(points.second_stage) if not one.refused}
    if not found:
        return []
    engine = next(iter(found.values())).engine
    times = [found[p.point].value("latency_s") if p.point in found else None for p in chosen]
    return [{"name": f"{engine}.latency_s", "label": f"Time, {engine} engine (s)", "scale": 1.0, "values": times}]


def _components(study: Study, rows: np.ndarray) -> dict[str, Any]:
    """What each component takes, of the points that are looked at closely: names once, values by row of the page."""
    found = details_of(study, detailed_rows(study, rows))
    labels = sorted(dict.fromkeys(label for own in found.values() for label in own), key=_kind_of)
    values = {int(np.searchsorted(rows, row)): [own.get(label) for label in labels] for row, own in found.items()}
    return {"labels": labels, "values": values}


def _kind_of(label: str) -> int:
    """Energy before traffic before time before area; components stay in their order."""
    return next((i for i, word in enumerate((" energy", " traffic", " busy", " area")) if word in label), 0)


def _column(points: Points, name: str, rows: np.ndarray) -> list[float | None]:
    return [None if np.isnan(v) or np.isinf(v) else v for v in points.column(name)[rows].tolist()]


def coded(texts: Sequence[str]) -> dict[str, Any]:
    """Each different text once, and which of them each point has."""
    place = {text: i for i, text in enumerate(dict.fromkeys(texts))}
    return {"texts": list(place), "values": [place[text] for text in texts]}


def _settings(points: Sequence[Point]) -> dict[str, Any]:
    """Lines of the points' YAML in the order in which each has them."""
    lines = [tuple(point.to_yaml().splitlines()) for point in points]
    place = {line: i for i, line in enumerate(dict.fromkeys(line for own in lines for line in own))}
    return {"lines": list(place), "values": [[place[line] for line in own] for own in lines]}
