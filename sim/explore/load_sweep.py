"""From a sweep file to a plan; every name and path is checked before anything runs.

An axis is numeric if all its paths are numbers of the machine, the workload or a parameter. Stored choices of a mapping
are looked up by model and length, so there these form groups even if they are numbers.
"""

import itertools
from collections import ChainMap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from arch.quantity import parse_quantity
from einsums.model import Model
from einsums.names import near_or_all
from sim.design.assemble import Workpoint, assemble, changed, lay_out
from sim.design.settings import Setting
from sim.explore.check_plan import iter_problems
from sim.explore.metrics import metric_names
from sim.explore.plan import AxisColumn, Derived, Group, Held, Plan, bare, digest_of
from sim.explore.sweep import BASE, Axis, Sweep, Value
from sim.explore.varied import VariedNumber, number_at
from sim.load.document import Document, DocumentPlace, plain_document
from sim.load.nouns import CATALOGS, build, load_technology, read, read_document_once
from sim.load.problems import InputError, InputProblem

MOST_GROUPS = 20_000
LEAKAGE = "architecture.leakage"


def load_sweep(name_or_path: str) -> tuple[Document, Sweep]:
    """A sweep by catalog name or path, with its document for messages; InputError for anything wrong with it."""
    document = read("sweep", name_or_path)
    return document, build(document, Sweep)


def load_plan(name_or_path: str) -> Plan:
    """As `load_sweep`, with every name resolved and every group's experiment assembled."""
    return make_plan(*load_sweep(name_or_path))


def make_plan(document: Document, sweep: Sweep) -> Plan:
    """The plan of a sweep; InputError reports problems at their location in the document."""
    return _SweepPlanner(document, sweep).plan()


@dataclass(slots=True)
class _SweepPlanner:
    document: Document
    sweep: Sweep

    def plan(self) -> Plan:
        base = self._base()
        columns = self._columns(base, frozenset())
        groups = self._groups(base, columns)
        keyed = frozenset(
            key
            for group in groups.values()
            if group.experiment.mapping.table is not None
            for key in group.experiment.mapping.table.key
        )
        if any(number.key in keyed for column in columns for number, _ in column.numbers):
            columns = self._columns(base, keyed)
            groups = self._groups(base, columns)
        derived = tuple(self._derived(base, columns, setting, keyed) for setting in self.sweep.derive)
        held = self._held(base, columns)
        columns = tuple(self._with_areas(column, groups) for column in columns)
        metrics = self._metrics(groups)
        fixed = tuple(self.sweep.fixed.items())
        hashes = self._rules_hash(), self._inputs_hash(groups)
        plan = Plan(self.sweep, self._experiment(), columns, derived, held, groups, fixed, metrics, *hashes)
        problems = list(iter_problems(plan, self.document))
        if problems:
            raise InputError(problems)
        return plan

    def _path(self) -> Path:
        """The experiment's file."""
        try:
            return CATALOGS["experiment"].find(self.sweep.experiment, Path(self.document.file).parent)
        except ValueError as error:
            raise InputError([self.document.problem(("experiment",), str(error))]) from None

    def _experiment(self) -> str:
        is_shipped = self.sweep.experiment in CATALOGS["experiment"].names()
        return self.sweep.experiment if is_shipped else str(self._path().resolve())

    def _base(self) -> Document:
        """The expanded experiment, with the values that are fixed for all points."""
        base = lay_out(read_document_once(self._path()))
        fixed = self.document.place(("fixed",))
        return changed(base, Document(dict(self.sweep.fixed), self.document.file, fixed))

    # --- axes -----------------------------------------------------------------------------------------------
    def _columns(self, base: Document, keyed: frozenset[str]) -> tuple[AxisColumn, ...]:
        structural = [axis for axis in self.sweep.axes if axis.path and not self._numbers(axis, base, keyed)]
        first = self._changed(base, [(axis, axis.points()[0]) for axis in structural])
        return tuple(
            AxisColumn(axis, axis.points(), _as_read(axis.points()))
            if axis in structural
            else self._numeric(axis, self._numbers(axis, first, keyed))
            for axis in self.sweep.axes
        )

    def _numbers(self, axis: Axis, base: Document, keyed: frozenset[str]) -> tuple[VariedNumber, ...]:
        """The numbers that an axis sets; none if it makes groups."""
        found = [number_at(path, base.data, _categorical(base)) for path in axis.path]
        numbers = tuple(number for number in found if number is not None and number.key not in keyed)
        if len(numbers) < len(found):
            return ()
        is_text = any(n.owner == "parameter" for n in numbers) and _as_read(axis.points()) is None
        return () if is_text else numbers

    def _numeric(self, axis: Axis, numbers: tuple[VariedNumber, ...]) -> AxisColumn:
        """An axis whose values are numbers, in the unit of each of its paths."""
        points = axis.points()
        if axis.absorb is not None:
            return AxisColumn(axis, points, None)
        stored = [(number, np.array([self._read(axis, number, i) for i in range(len(points))])) for number in numbers]
        read = _as_read(points)
        if read is None and not numbers:
            text = next(point for point in points if not isinstance(point, (int, float)))
            message = f"'{text}' goes nowhere: give the axis a path, or numbers for formulas to read"
            raise InputError([self.document.problem(("axes", axis.name), message)])
        if read is None:
            size = 8 if numbers[0].dimension == "size" else 1  # sizes are read in bytes, as in formulas
            read = stored[0][1] / size
        return AxisColumn(axis, points, read, tuple(stored))

    def _read(self, axis: Axis, number: VariedNumber, i: int) -> float:
        key = next(key for key in ("values", "range", "log_range") if getattr(axis, key) is not None)
        path: tuple[str | int, ...] = ("axes", axis.name, key, i) if key == "values" else ("axes", axis.name, key)
        try:
            return number.read(axis.points()[i], axis.unit)
        except ValueError as error:
            raise InputError([self.document.problem(path, f"axis '{axis.name}': {error}")]) from None

    def _with_areas(self, column: AxisColumn, groups: dict[tuple[int, ...], Group]) -> AxisColumn:
        """An axis of areas in um^2; 'base' is nan here and each group's own."""
        axis = column.axis
        if axis.absorb is None:
            return column
        areas = []
        for i, point in enumerate(column.written):
            is_number = isinstance(point, (int, float)) and axis.unit is not None
            try:
                text = f"{point} {axis.unit}" if is_number else point
                areas.append(np.nan if point == BASE else parse_quantity(text, "area"))
            except ValueError as error:
                message = f"axis '{axis.name}': {error}, or '{BASE}' for that of the experiment"
                raise InputError([self.document.problem(("axes", axis.name, "values", i), message)]) from None
        return AxisColumn(axis, column.written, np.array(areas))

    def _held(self, base: Document, columns: tuple[AxisColumn, ...]) -> Held | None:
        axis = next((axis for axis in self.sweep.axes if axis.absorb is not None), None)
        if axis is None:
            return None
        assert axis.absorb is not None
        path = ("axes", axis.name, "absorb")
        number = self._number(axis.absorb, self._first(base, columns), path, frozenset())
        if number.owner != "component" or number.key not in ("size", "depth", "rows", "columns"):
            message = (
                f"'{axis.absorb}' cannot absorb area: expected the size or depth of a memory, or a side of an array"
            )
            raise InputError([self.document.problem(path, message)])
        if number.path in [n.path for column in columns for n, _ in column.numbers]:
            raise InputError([self.document.problem(path, f"an axis sets '{number.path}' already")])
        try:
            step = number.read(axis.step, None) if axis.step is not None else 8.0 if number.dimension else 1.0
        except ValueError as error:
            message = f"axis '{axis.name}': {error}"
            raise InputError([self.document.problem(("axes", axis.name, "step"), message)]) from None
        if step <= 0:
            message = f"axis '{axis.name}': expected a step above 0"
            raise InputError([self.document.problem(("axes", axis.name, "step"), message)])
        return Held(axis.name, number, step)

    def _derived(
        self, base: Document, columns: tuple[AxisColumn, ...], setting: Setting, keyed: frozenset[str]
    ) -> Derived:
        path = ("derive", setting.path)
        number = self._number(setting.path, self._first(base, columns), path, keyed)
        if (number.dimension is None) != (setting.unit is None):
            wanted = (
                "no unit" if number.dimension is None else f"a unit, as in {{expression: ..., unit: {_unit(number)}}}"
            )
            raise InputError([self.document.problem(path, f"'{setting.path}': expected {wanted}")])
        if number.dimension is None:
            return Derived(number, 1.0)
        try:
            return Derived(number, parse_quantity(f"1 {setting.unit}", number.dimension))
        except ValueError as error:
            raise InputError([self.document.problem(path, f"'{setting.path}': {error}")]) from None

    def _number(self, path: str, document: Document, place: tuple[str, ...], keyed: frozenset[str]) -> VariedNumber:
        """The number at a path that a formula sets."""
        number = number_at(path, document.data, _categorical(document))
        if number is not None and number.key not in keyed:
            return number
        if number is None:
            self._changed_at(document, path, 1, place)  # reports a path that leads nowhere
        message = f"'{path}' is no number that a formula can set: vary it by an axis"
        raise InputError([self.document.problem(place, message)])

    def _first(self, base: Document, columns: tuple[AxisColumn, ...]) -> Document:
        return self._changed(base, [(column.axis, column.written[0]) for column in columns if column.is_structural])

    # --- groups ---------------------------------------------------------------------------------------------
    def _groups(self, base: Document, columns: tuple[AxisColumn, ...]) -> dict[tuple[int, ...], Group]:
        structural = [column for column in columns if column.is_structural]
        keys = self._combinations(structural)
        if len(keys) > MOST_GROUPS:
            names = ", ".join(column.name for column in structural)
            message = f"{len(keys)} combinations of {names} are each an experiment of its own, at most {MOST_GROUPS}"
            raise InputError([self.document.problem(("axes",), message)])
        groups = {}
        for key in keys:
            chosen = [(column.axis, column.written[i]) for column, i in zip(structural, key, strict=True)]
            groups[key] = self._group(self._changed(base, chosen), chosen)
        return groups

    def _combinations(self, structural: list[AxisColumn]) -> list[tuple[int, ...]]:
        """Indices of values that occur together; pairs advance as one."""
        names = [column.name for column in structural]
        choices = []
        for group in self.sweep.dimensions():
            own = [axis.name for axis in group if axis.name in names]
            if own:
                choices.append([dict.fromkeys(own, i) for i in range(len(group[0].points()))])
        merged = [dict(ChainMap(*combination)) for combination in itertools.product(*choices)]
        return [tuple(one[name] for name in names) for one in merged]

    def _group(self, document: Document, chosen: list[tuple[Axis, Value]]) -> Group:
        document = self._with_leakage(document)
        try:
            experiment = bare(assemble(document))
        except InputError as error:
            raise InputError([self._at_axis(problem, chosen) for problem in error.problems]) from None
        model = build(_inner(document, "model"), Model)
        own = {key: value for key, value in document.data.items() if key in Workpoint.model_fields}
        point = Workpoint.model_validate(own)
        components = document.data["architecture"]["components"]
        bodies = components if isinstance(components, dict) else {body["name"]: body for body in components}
        wanted = sorted({body["technology"] for body in bodies.values() if body.get("technology")})
        technologies = tuple(load_technology(name) for name in wanted)
        dumped = [technology.model_dump(mode="json") for technology in technologies]
        digest = bytes.fromhex(digest_of([experiment.hash, model.model_dump(), bodies, dumped]))
        changes = tuple((path, value) for axis, value in chosen for path in axis.path)
        return Group(experiment, model, point, dict(bodies), technologies, digest, changes)

    def _with_leakage(self, document: Document) -> Document:
        """A machine whose own leakage is varied gets one, so that all of its points are charged for it."""
        paths = {path for axis in self.sweep.axes for path in axis.path} | {s.path for s in self.sweep.derive}
        if LEAKAGE not in {path.removeprefix("$.") for path in paths} or "leakage" in document.data["architecture"]:
            return document
        return changed(document, plain_document({LEAKAGE: "0 W"}, self.document.file))

    def _changed(self, base: Document, chosen: list[tuple[Axis, Value]]) -> Document:
        """The experiment with values of axes; problems are reported at the axis."""
        changes = {path: value for axis, value in chosen for path in axis.path}
        if not changes:
            return base
        children: dict[str | int, DocumentPlace] = {}
        for axis, value in chosen:
            index = axis.points().index(value)
            place = self.document.place(("axes", axis.name, "values", index))
            children |= dict.fromkeys(axis.path, place)
        written = Document(changes, self.document.file, DocumentPlace(self.document.file, None, None, children))
        try:
            return changed(base, written)
        except InputError as error:
            raise InputError([self._at_axis(problem, chosen) for problem in error.problems]) from None

    def _at_axis(self, problem: InputProblem, chosen: list[tuple[Axis, Value]]) -> InputProblem:
        """A problem about a path, perhaps within its part of the experiment, reported for the axis that sets it."""
        if problem.file != self.document.file:
            return problem
        within = problem.path.removeprefix("$.")
        for axis, _ in chosen:
            if any(path == within or path.endswith(f".{within}") for path in axis.path):
                return InputProblem(problem.file, problem.line, f"$.axes.{axis.name}", problem.message)
        return problem

    def _changed_at(self, base: Document, path: str, value: Any, place: tuple[str, ...]) -> None:
        try:
            changed(base, plain_document({path: value}, self.document.file))
        except InputError as error:
            raise InputError([self.document.problem(place, p.message) for p in error.problems]) from None

    # --- checks ---------------------------------------------------------------------------------------------
    def _metrics(self, groups: dict[tuple[int, ...], Group]) -> tuple[str, ...]:
        """The recorded metrics: as requested, or time, energy, area, root traffic and every array's utilization."""
        common = set.intersection(*(set(metric_names(g.experiment)) for g in groups.values()))
        some = next(iter(groups.values())).experiment
        first = some.architecture
        known = [name for name in metric_names(some) if name in common]
        asked = self.sweep.record or (
            *("latency_s", "energy_pj", "area_um2", f"traffic_bytes.{first.root.name}"),
            *(f"utilization.{array.name}" for array in first.arrays),
        )
        if "all" in asked:
            return tuple(known)
        problems = [
            self.document.problem(("record", i), f"unknown metric '{name}'{near_or_all(name, known)}")
            for i, name in enumerate(self.sweep.record)
            if name not in known
        ]
        if problems:
            raise InputError(problems)
        return tuple(name for name in dict.fromkeys(asked) if name in common)

    def _rules_hash(self) -> str:
        """The rules by which the numbers of a point follow from the values of its axes."""
        told = self.sweep.model_dump(mode="json", include={"fixed", "where", "derive"})
        axes = sorted((axis.name, axis.path, axis.absorb, axis.step) for axis in self.sweep.axes)
        return digest_of([told, axes])

    def _inputs_hash(self, groups: dict[tuple[int, ...], Group]) -> str:
        told = self.sweep.model_dump(mode="json", exclude={"title", "description", "source"})
        return digest_of([told, [group.digest.hex() for group in groups.values()]])


def _inner(document: Document, part: str) -> Document:
    place = document.places.children.get(part, DocumentPlace(document.file))
    return Document(document.data[part], place.file, place)


def _categorical(document: Document) -> frozenset[str]:
    """Parameters of the mapping with one of several words as their value."""
    mapping = document.data.get("mapping")
    parameters = mapping.get("parameters") if isinstance(mapping, dict) else None
    if not isinstance(parameters, dict):
        return frozenset()
    return frozenset(name for name, body in parameters.items() if isinstance(body, dict) and "values" in body)


def _as_read(points: tuple[Value, ...]) -> np.ndarray | None:
    """f8[value] if all are numbers."""
    if any(isinstance(point, (str, bool)) for point in points):
        return None
    return np.array(points, float)


def _unit(number: VariedNumber) -> str:
    return {"size": "B", "bandwidth": "GiB/s", "frequency": "MHz", "energy": "pJ", "area": "um2"}[str(number.dimension)]
