"""The data of a sweep's charts: which charts apply to its axes and objectives, and the numbers behind every mark.

Axes of the workload and axes whose values are not compared (`per`) are held at the middle one of their values, unless
they make panels or series; every chart states what it holds. Free axes vary: a curve or a cell shows the best of them.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from sim.explore.pareto import front_of
from sim.explore.points import Points
from sim.explore.sweep import BASE
from sim.report.parts.workloads import length_label

WORKLOAD = ("model", "seq_len", "batch")
SIZE_PATH = re.compile(r"architecture\.components\.(\w+)\.(?:size|depth)")
MOST_SERIES, MOST_PANELS, FEWEST_POINTS = 8, 3, 30
QUANTITIES = {
    "latency_s": ("Time", "s", 1.0),
    "cycles": ("Time", "cycles", 1.0),
    "energy_pj": ("Energy", "J", 1e-12),
    "area_um2": ("Area", "mm²", 1e-6),
    "traffic_bytes": ("traffic", "GB", 1e-9),
    "read_bytes": ("reads", "GB", 1e-9),
    "write_bytes": ("writes", "GB", 1e-9),
    "footprint_bytes": ("footprint", "MiB", 2.0**-20),
    "utilization": ("utilization", "", 1.0),
}
# Stored units of settled numbers, by dimension, as charts show them.
STORED = {
    "size": ("MiB", 2.0**-23),
    "bandwidth": ("GiB/s", 2.0**-33),
    "frequency": ("MHz", 1e-6),
    "energy": ("pJ", 1.0),
    "area": ("um²", 1.0),
}
Held = tuple[tuple[str, Any], ...]


@dataclass(frozen=True, slots=True)
class Measure:
    """A value of points, as charts show it."""

    name: str
    label: str
    scale: float = 1.0


@dataclass(frozen=True, slots=True)
class StudyAxis:
    """An axis of the sweep: its values in order, and their labels."""

    name: str
    label: str
    values: tuple[Any, ...]
    paths: tuple[str, ...]
    unit: str
    holds_area: bool = False

    @property
    def is_text(self) -> bool:
        return any(isinstance(value, str) for value in self.values)

    @property
    def is_workload(self) -> bool:
        return bool(set(self.paths) & set(WORKLOAD))

    @property
    def middle(self) -> Any:
        return self.values[len(self.values) // 2]

    def shown(self, value: Any) -> str:
        if self.paths == ("seq_len",) and isinstance(value, int):
            return length_label(value)
        if self.holds_area:
            return _area_text(value, self.unit)
        text = value if isinstance(value, str) else f"{value:.6g}"
        return f"{text} {self.unit}" if self.unit else text


@dataclass(frozen=True)
class Study:
    """A sweep ready to be drawn."""

    points: Points

    @property
    def meta(self) -> dict[str, Any]:
        return self.points.contents.meta

    @cached_property
    def axes(self) -> tuple[StudyAxis, ...]:
        return tuple(
            StudyAxis(
                a["name"],
                a["label"] or _words(a["name"]),
                tuple(a["values"]),
                tuple(a["settings"]),
                a["unit"] or "",
                a.get("holds_area", False),
            )
            for a in self.meta["axes"]
        )

    @cached_property
    def workload_axes(self) -> tuple[StudyAxis, ...]:
        return tuple(axis for axis in self.axes if axis.is_workload and len(axis.values) > 1)

    @cached_property
    def labels(self) -> dict[str, Any]:
        """Model, length and batch of the experiment that all points start from, where no axis varies them."""
        labels = dict(self.meta.get("labels", {})) | dict(self.meta["fixed"])
        varied = {path for axis in self.workload_axes for path in axis.paths}
        return {name: labels[name] for name in WORKLOAD if name in labels and name not in varied}

    @cached_property
    def per_axes(self) -> tuple[StudyAxis, ...]:
        """Axes that are neither workload nor compared over."""
        return tuple(a for a in self.axes if a.name in self.meta["per"] and not a.is_workload and len(a.values) > 1)

    @cached_property
    def series(self) -> StudyAxis | None:
        """The axis shown by colours: one of words, or one whose values are not compared."""
        others = [a for a in self.axes if not a.is_workload and 1 < len(a.values) <= MOST_SERIES]
        texts = [axis for axis in others if axis.is_text and not axis.unit]
        return next(iter([*texts, *(axis for axis in others if axis.name in self.meta["per"])]), None)

    @cached_property
    def objectives(self) -> tuple[Measure, ...]:
        return tuple(measure(one["label"]) for one in self.meta["objectives"])

    def sign(self, name: str) -> int:
        """-1 if the objective of that name is maximized, otherwise 1."""
        return next((one["sign"] for one in self.meta["objectives"] if one["label"] == name), 1)

    def axis(self, name: str) -> StudyAxis:
        return next(axis for axis in self.axes if axis.name == name)

    def values(self, one: Measure) -> np.ndarray:
        """f8[point] in the units that charts show; nan for points that are not legal."""
        return np.where(self.points.is_legal, self.points.column(one.name), np.nan) * one.scale

    def index(self, name: str) -> np.ndarray:
        """i8[point]: which value of the axis a point has."""
        if name not in self._indices:
            place = {value: i for i, value in enumerate(self.axis(name).values)}
            column = self.points.columns.index(name)
            self._indices[name] = np.array([place[row[column]] for row in self.points.rows], np.int64)
        return self._indices[name]

    @cached_property
    def _indices(self) -> dict[str, np.ndarray]:
        return {}

    def where(self, held: Held) -> np.ndarray:
        """bool[point]"""
        chosen = np.ones(len(self.points), bool)
        for name, value in held:
            chosen &= self.index(name) == self.axis(name).values.index(value)
        return chosen

    @property
    def of_workload(self) -> str:
        """What all points compute, in words."""
        labels = self.labels
        length = f" at length {length_label(labels['seq_len'])}" if "seq_len" in labels else ""
        batch = f", batch {labels['batch']}" if "batch" in labels else ""
        return f"{labels['model']}{length}{batch}" if "model" in labels else f"{length}{batch}".strip(" ,")

    def said(self, held: Held) -> str:
        """The values that a chart holds fixed, in words."""
        return ", ".join(f"{self.axis(name).label}: {self.axis(name).shown(value)}" for name, value in held)


def measure(name: str) -> Measure:
    """A metric or objective with its label and unit: `traffic_bytes.DRAM` as 'DRAM traffic (GB)'."""
    quantity, _, component = name.partition(".")
    label, unit, scale = QUANTITIES.get(quantity, (_words(name), "", 1.0))
    words = f"{component} {label.lower()}" if component else label[:1].upper() + label[1:]
    return Measure(name, f"{words} ({unit})" if unit else words, scale)


def settled_measure(path: str, dimension: str | None) -> Measure:
    """A number that follows from the axes: 'architecture.components.GLB.size' as 'GLB size (MiB)'."""
    unit, scale = STORED.get(dimension or "", ("", 1.0))
    words = path.removeprefix("architecture.").removeprefix("components.").replace(".", " ")
    return Measure(path, f"{words} ({unit})" if unit else words, scale)


def _area_text(value: Any, unit: str) -> str:
    if value == BASE:
        return "area of the start"
    text = value if isinstance(value, str) else f"{value:.6g} {unit}"
    return re.sub(r"(?<=m)2$", "²", text)


def _words(name: str) -> str:
    text = "Sequence length" if name == "seq_len" else name.replace("_", " ")
    return text[:1].upper() + text[1:]


# ------------------------------------------------------------------------------------------------ Pareto


@dataclass(frozen=True, slots=True)
class Cloud:
    """Points of one series in the plane of two objectives, and their front in order of x."""

    label: str
    x: np.ndarray  # f8[point]
    y: np.ndarray
    front: np.ndarray  # i8[of front]: positions in x and y, ascending x


@dataclass(frozen=True, slots=True)
class ParetoData:
    """Two objectives against each other."""

    across: Measure
    up: Measure
    clouds: tuple[Cloud, ...]
    named: tuple[tuple[str, float, float], ...]
    is_joint: bool  # one front over all series
    held: Held


def pareto_data(study: Study, named: Mapping[str, Mapping[str, float]]) -> ParetoData | None:
    """The first two objectives; `named`: designs by name, their values by metric. None if there is one objective."""
    if len(study.objectives) < 2 or not study.points.is_legal.any():
        return None
    across, up = study.objectives[:2]
    held: Held = tuple((axis.name, axis.middle) for axis in study.workload_axes)
    for axis in study.per_axes:
        wider = (*held, (axis.name, axis.middle))
        if axis != study.series and (study.where(wider) & study.points.is_legal).sum() >= FEWEST_POINTS:
            held = wider
    chosen = study.where(held) & ~np.isnan(study.values(across)) & ~np.isnan(study.values(up))
    if not chosen.any():
        return None
    is_joint = study.series is None or study.series.name not in study.meta["per"]
    clouds = tuple(_cloud(study, label, rows, (across, up)) for label, rows in series_of(study, chosen) if rows.any())
    places = [
        (name, values[across.name] * across.scale, values[up.name] * up.scale)
        for name, values in named.items()
        if across.name in values and up.name in values
    ]
    return ParetoData(across, up, clouds, tuple(places), is_joint, held)


def series_of(study: Study, chosen: np.ndarray) -> list[tuple[str, np.ndarray]]:
    """Chosen points (bool[point]) by series, each with its label; all of them if no axis distinguishes series."""
    axis = study.series
    if axis is None:
        return [("designs", chosen)]
    index = study.index(axis.name)
    return [(axis.shown(value), chosen & (index == i)) for i, value in enumerate(axis.values)]


def _cloud(study: Study, label: str, rows: np.ndarray, plane: tuple[Measure, Measure]) -> Cloud:
    x, y = (study.values(one)[rows] for one in plane)
    front = front_of(np.stack([x * study.sign(plane[0].name), y * study.sign(plane[1].name)], axis=1))
    return Cloud(label, x, y, front[np.argsort(x[front], kind="stable")])


def joint_front(data: ParetoData, study: Study) -> tuple[np.ndarray, np.ndarray]:
    """x and y of the front over all clouds, ascending x."""
    x, y = (np.concatenate([getattr(cloud, side) for cloud in data.clouds]) for side in ("x", "y"))
    front = front_of(np.stack([x * study.sign(data.across.name), y * study.sign(data.up.name)], axis=1))
    front = front[np.argsort(x[front], kind="stable")]
    return x[front], y[front]


# ------------------------------------------------------------------------------------------------ heat map


@dataclass(frozen=True, slots=True)
class HeatData:
    """The best of a measure for each pair of values of two axes, a panel for each series."""

    across: StudyAxis
    up: StudyAxis
    shown: Measure
    panels: tuple[tuple[str, np.ndarray], ...]  # title, f8[up, across]; nan: no legal point
    held: Held


def heat_data(study: Study) -> HeatData | None:
    """Over the first two numeric axes of the machine with three values or more; None if there are none."""
    usual = [a for a in study.axes if not a.is_text and not a.is_workload and a.paths and len(a.values) > 2]
    if len(usual) > 2:
        usual = sorted(usual, key=lambda axis: axis != study.series and axis in study.per_axes)
    if len(usual) < 2 or not study.points.is_legal.any():
        return None
    across, up = usual[:2]
    others = [a for a in (*study.workload_axes, *study.per_axes) if a not in (across, up) and a != study.series]
    held = tuple((axis.name, axis.middle) for axis in others)
    shown = study.objectives[0]
    chosen = study.where(held) & study.points.is_legal
    is_split = study.series is not None and study.series not in (across, up)
    panels = series_of(study, chosen) if is_split else [("", chosen)]
    worth = study.values(shown) * study.sign(shown.name)
    places = study.index(up.name), study.index(across.name)
    grids = []
    for title, rows in panels:
        best = np.full((len(up.values), len(across.values)), np.inf)
        np.minimum.at(best, (places[0][rows], places[1][rows]), worth[rows])
        grids.append((title, np.where(np.isinf(best), np.nan, best * study.sign(shown.name))))
    return HeatData(across, up, shown, tuple(grids), held)


# ------------------------------------------------------------------------------------------------ ski slope


@dataclass(frozen=True, slots=True)
class Slope:
    """Least traffic at each size of a buffer, and the minimum that the passes of the cascade force."""

    label: str
    sizes_bytes: np.ndarray
    traffic_bytes: np.ndarray  # nan: nothing legal of that size
    bound_bytes: np.ndarray


@dataclass(frozen=True, slots=True)
class SlopeData:
    """Buffer size against traffic, a panel for each length."""

    memory: str
    outside: str
    panels: tuple[tuple[str, tuple[Slope, ...]], ...]
    held: Held


def buffer_axis(study: Study) -> tuple[StudyAxis, str] | None:
    """The axis of a memory's size, and the memory."""
    for axis in study.axes:
        for path in axis.paths:
            found = SIZE_PATH.fullmatch(path)
            if found and len(axis.values) > 2:
                return axis, found.group(1)
    return None


def panel_values(values: Sequence[Any]) -> tuple[Any, ...]:
    """Up to three of an axis' values, spread over it."""
    if len(values) <= MOST_PANELS:
        return tuple(values)
    return tuple(values[round(len(values) * part)] for part in (0.2, 0.5, 0.8))
