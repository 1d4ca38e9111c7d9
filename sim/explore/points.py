"""Finished points, typed, for display; reads nothing but a sweep's file.

`read_points(folder)` gives columns over all points; a `Point` is one row with everything needed to reproduce it.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from arch.quantity import Dimension, exact_quantity
from sim.explore.database import FILE, said
from sim.explore.pareto import fronts_of
from sim.explore.store import OWN, SCHEMA, Contents, check_sound, read_only, second_stage_of
from sim.load.files import is_file
from sim.load.problems import InputError, InputProblem


@dataclass(frozen=True, slots=True)
class Point:
    """One finished point; `reason` is empty if it is legal."""

    point: int
    hash: str
    version: str
    reason_kind: str
    reason: str
    bound_by: str
    extrapolated: tuple[str, ...]  # memories whose energy or area lies outside its table
    axes: tuple[tuple[str, Any], ...]  # as written in the sweep, in the axis' unit
    settled: tuple[tuple[str, float], ...]  # paths that follow from the axes, stored units
    values: tuple[tuple[str, float], ...]  # metrics and objectives; empty where it is not legal
    settings: tuple[tuple[str, Any], ...]  # paths of the experiment with their values, as in a file
    experiment: str

    @property
    def is_legal(self) -> bool:
        return not self.reason_kind

    def axis(self, name: str) -> Any:
        return dict(self.axes)[name]

    def value(self, name: str) -> float:
        return dict(self.values)[name]

    def to_yaml(self) -> str:
        """The experiment file that is this point."""
        lines = [f"base: {json.dumps(self.experiment)}", "set:"]
        return "\n".join([*lines, *(f"  {path}: {_scalar(value)}" for path, value in self.settings)]) + "\n"


def _scalar(value: Any) -> str:
    """A value in a form that YAML 1.1 reads back: text in quotes, small numbers with a point and a signed exponent."""
    if isinstance(value, float) and "e" in repr(value):
        mantissa, exponent = repr(value).split("e")
        point = "" if "." in mantissa else ".0"
        return f"{mantissa}{point}e{int(exponent):+03d}"
    return json.dumps(value)


@dataclass(frozen=True)
class Points:
    """All finished points of a sweep, in order of their numbers."""

    path: Path
    contents: Contents
    rows: tuple[tuple[Any, ...], ...]  # one for each point, columns as in `columns`
    columns: tuple[str, ...]
    reasons: dict[int, tuple[str, str]]
    versions: dict[int, str]
    second_stage: dict[int, tuple[str, str]] = field(default_factory=dict)  # by point: another engine, and its JSON

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Point]:
        return (self.at(i) for i in range(len(self.rows)))

    def at(self, index: int) -> Point:
        """The point in that row."""
        row = dict(zip(self.columns, self.rows[index], strict=True))
        kind, text = self.reasons.get(row["reason"], ("", ""))
        settled = tuple((path, row[path]) for path in self.contents.settled if row[path] is not None)
        return Point(
            row["point"],
            row["hash"],
            self.versions[row["version"]],
            kind,
            text,
            row["bound_by"],
            tuple(row["extrapolated"].split()),
            tuple((name, row[name]) for name in self.contents.axes),
            settled,
            () if kind else tuple((name, _number(row[name])) for name in self.contents.values),
            tuple(self._settings(row).items()),
            self.contents.meta["experiment"],
        )

    def column(self, name: str) -> np.ndarray:
        """f8[point] of a metric, an objective, a settled path or a numeric axis (nan: none); texts unchanged."""
        if name not in self._found:
            index = self.columns.index(name)
            values = [row[index] for row in self.rows]
            is_text = any(isinstance(value, str) for value in values)
            self._found[name] = np.array(values, object if is_text else float)  # no value is nan
            self._found[name].flags.writeable = False
        return self._found[name]

    @cached_property
    def _found(self) -> dict[str, np.ndarray]:
        return {}

    @cached_property
    def is_legal(self) -> np.ndarray:
        """bool[point]"""
        return self.column("reason") == 0

    @cached_property
    def objectives(self) -> np.ndarray:
        """f8[point, objective], those to be maximized negated; nan for points that are not legal."""
        told = self.contents.meta["objectives"]
        return np.stack([self.column(one["label"]) * one["sign"] for one in told], axis=1)

    @cached_property
    def front(self) -> np.ndarray:
        """Rows of the legal points that no other point of the same workload (`per`) dominates, ascending."""
        legal = np.flatnonzero(self.is_legal & ~np.isnan(self.objectives).any(axis=1))
        if not legal.size:
            return legal
        fronts = fronts_of(self.objectives[legal], self.kinds[legal])
        return np.sort(legal[np.concatenate(fronts)])

    @cached_property
    def kinds(self) -> np.ndarray:
        """i8[point]: equal for comparable points."""
        kind = np.zeros(len(self), np.int64)
        for name in self.contents.meta["per"]:
            values = next(axis["values"] for axis in self.contents.meta["axes"] if axis["name"] == name)
            place = {value: i for i, value in enumerate(values)}
            index = self.columns.index(name)
            kind = kind * len(values) + np.array([place[row[index]] for row in self.rows], np.int64)
        return kind

    def _settings(self, row: dict[str, Any]) -> dict[str, Any]:
        meta = self.contents.meta
        settings: dict[str, Any] = dict(meta["fixed"])
        for axis in meta["axes"]:
            index = axis["values"].index(row[axis["name"]])
            settings |= {path: values[index] for path, values in axis["settings"].items()}
        for one in meta["settled"]:
            if row[one["path"]] is not None:
                settings[one["path"]] = written(row[one["path"]], one["dimension"])
        return settings


def written(value: float, dimension: Dimension | None) -> Any:
    """A stored value as in a file, exact."""
    if dimension is not None:
        return exact_quantity(value, dimension)
    return int(value) if float(value).is_integer() else value


def _number(value: float | None) -> float:
    return float("nan") if value is None else value


def read_points(folder: Path, only: str = "") -> Points:
    """The points of the sweep in a folder; `only`: a condition of SQL on their columns, such as 'reason = 0'."""
    path = folder / FILE
    if not is_file(path):
        raise InputError(
            [InputProblem(str(folder), None, "", f"expected the folder of a sweep, found no '{FILE}' in it")]
        )
    with said(path):
        connection, contents = read_only(path)
        try:
            if contents.meta.get("schema") != SCHEMA:
                message = f"was written in the form '{contents.meta.get('schema')}', this version reads '{SCHEMA}'"
                raise InputError([InputProblem(str(path), None, "", message)])
            if not only:
                check_sound(connection, path, contents)
            where = f" WHERE {only}" if only else ""
            rows = tuple(connection.execute(f"SELECT * FROM points{where} ORDER BY point").fetchall())
            reasons = {number: (kind, text) for number, kind, text in connection.execute("SELECT * FROM reasons")}
            versions = dict(connection.execute("SELECT id, text FROM versions").fetchall())
            seconds = second_stage_of(connection)
        finally:
            connection.close()
    assert contents.columns[: len(OWN)] == OWN
    return Points(path, contents, rows, contents.columns, reasons, versions, seconds)
