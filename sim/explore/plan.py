"""The resolved form of a sweep: which designs share tables, which numbers vary, and how points are identified.

Axes over numbers of the machine, the workload or numeric parameters become columns. All other axes (models, mappings,
...) make groups: each combination of their values is one experiment, assembled like any other. A plan holds no files,
so that it can be sent to other machines.
"""

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from arch.energy import Technology
from einsums.model import Model
from sim.design.assemble import Workpoint
from sim.design.experiment import Experiment
from sim.explore.parts import Blueprint
from sim.explore.sweep import Axis, Sweep, Value
from sim.explore.varied import VariedNumber
from sim.lower.machine import Machines
from sim.lower.parts import ComponentPart, part_of


@dataclass(frozen=True, slots=True)
class AxisColumn:
    """An axis with its values resolved."""

    axis: Axis
    written: tuple[Value, ...]  # as results name them
    values: np.ndarray | None  # f8[value]: as formulas read them; None: text
    numbers: tuple[tuple[VariedNumber, np.ndarray], ...] = ()  # what it sets, in stored units

    @property
    def name(self) -> str:
        return self.axis.name

    @property
    def is_structural(self) -> bool:
        """Whether each value makes a group of its own."""
        return bool(self.axis.path) and not self.numbers


@dataclass(frozen=True, slots=True)
class Derived:
    """A number that a formula gives; `factor` turns the formula's value into stored units."""

    number: VariedNumber
    factor: float


@dataclass(frozen=True, slots=True)
class Held:
    """An axis of total areas: the number that absorbs the difference, and the steps it comes in, stored units."""

    axis: str
    number: VariedNumber
    step: float


@dataclass(slots=True)
class Group:
    """Designs that differ only in numbers: their experiment, and the data its components are made from."""

    experiment: Experiment
    model: Model
    point: Workpoint
    bodies: dict[str, Any]  # components as in their file
    technologies: tuple[Technology, ...]
    digest: bytes  # hash of everything that the group's designs share
    changes: tuple[tuple[str, Value], ...]  # the structural settings

    @property
    def area_um2(self) -> float:
        """Area of the machine of the experiment."""
        return float(Machines.of([self.experiment.architecture]).total_area_um2[0])


@dataclass(eq=False)
class Plan:
    """A sweep that is ready to run."""

    sweep: Sweep
    experiment: str  # a shipped name or an absolute path: the start of all points, wherever they are read
    columns: tuple[AxisColumn, ...]  # in the order of `sweep.axes`
    derived: tuple[Derived, ...]
    held: Held | None
    groups: dict[tuple[int, ...], Group]  # by the value indices of the structural axes
    fixed: tuple[tuple[str, Any], ...]
    metrics: tuple[str, ...]  # recorded, the objectives' names last
    rules_hash: str  # of everything fixed, derived and held: with a group and axis values it identifies a point
    inputs_hash: str  # of everything that results depend on, except code

    def __post_init__(self) -> None:
        self._blueprints: dict[tuple[int, str], Blueprint] = {}
        self._parts: dict[tuple[int, str], ComponentPart] = {}

    def __getstate__(self) -> dict[str, Any]:
        """The state without what can be recomputed."""
        return {key: value for key, value in self.__dict__.items() if not key.startswith("_")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.__post_init__()

    @property
    def numbers(self) -> tuple[VariedNumber, ...]:
        """Every number that designs of a group differ in."""
        own = [number for column in self.columns for number, _ in column.numbers]
        own += [derived.number for derived in self.derived]
        return (*own, *([self.held.number] if self.held else []))

    @property
    def settled(self) -> tuple[str, ...]:
        """Paths with dependent values: derived ones, and the one that absorbs area."""
        own = tuple(derived.number.path for derived in self.derived)
        return own + ((self.held.number.path,) if self.held else ())

    def column(self, name: str) -> AxisColumn:
        return next(column for column in self.columns if column.name == name)

    def axis_indices(self, points: np.ndarray) -> dict[str, np.ndarray]:
        """Which value of every axis a point has: i8[point] by axis name."""
        found: dict[str, np.ndarray] = {}
        rest = points.astype(np.int64)
        for group, length in reversed(list(zip(self.sweep.dimensions(), self.sweep.shape, strict=True))):
            rest, index = np.divmod(rest, length)
            found |= {axis.name: index for axis in group}
        return found

    def workload_of(self, points: np.ndarray) -> np.ndarray:
        """i8[point]: equal for comparable points (`per`), ascending in the positions of their values."""
        indices = self.axis_indices(points)
        kind = np.zeros(points.size, np.int64)
        for name in self.sweep.front_axes:
            kind = kind * len(self.column(name).written) + indices[name]
        return kind

    def split(self, points: np.ndarray) -> list[tuple[Group, np.ndarray]]:
        """The points of each group that has any: positions in `points`, in order."""
        indices = self.axis_indices(points)
        structural = [column.name for column in self.columns if column.is_structural]
        if not structural:
            return [(self.groups[()], np.arange(points.size))]
        keys = np.stack([indices[name] for name in structural], axis=1)
        found, which = np.unique(keys, axis=0, return_inverse=True)
        which = which.reshape(-1)
        return [(self.groups[tuple(key.tolist())], np.flatnonzero(which == i)) for i, key in enumerate(found)]

    def settings_of(self, point: int, settled: Sequence[float]) -> dict[str, Any]:
        """The settings that turn the sweep's experiment into this point: every path with its value as in a file."""
        index = {name: int(found[0]) for name, found in self.axis_indices(np.array([point])).items()}
        settings = dict(self.fixed)
        for column in self.columns:
            value = column.written[index[column.name]]
            if column.is_structural:
                settings |= dict.fromkeys(column.axis.path, value)
            settings |= {number.path: number.written(values[index[column.name]]) for number, values in column.numbers}
        by_path = {number.path: number for number in self.numbers}
        for path, stored in zip(self.settled, settled, strict=True):
            if stored is not None and math.isfinite(stored):
                settings[path] = by_path[path].written(stored)
        return settings

    def blueprint(self, group: Group, component: str) -> Blueprint:
        """How to make that component of the group with other numbers."""
        key = (id(group), component)
        if key not in self._blueprints:
            varied = tuple(number for number in self.numbers if number.component == component)
            by_name = {technology.name: technology for technology in group.technologies}
            node_nm = group.experiment.architecture.node_nm
            self._blueprints[key] = Blueprint(component, group.bodies[component], varied, by_name, node_nm)
        return self._blueprints[key]

    def base_part(self, group: Group, component: str) -> ComponentPart:
        """The component of the experiment."""
        key = (id(group), component)
        if key not in self._parts:
            self._parts[key] = part_of(group.experiment.architecture.component(component))
        return self._parts[key]


def bare(experiment: Experiment) -> Experiment:
    """The experiment without the documents it came from."""
    return replace(experiment, origin=None)


def digest_of(data: Any) -> str:
    """Hash of plain data, the same for equal data."""
    text = json.dumps(data, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()
