"""The points of a sweep on disk: one SQLite file, one row per point, written chunk by chunk in whole transactions.

Columns of `points`: number, hash of the inputs, version of the code, reason (0: legal), the resource that sets the
time, extrapolated memories, then the values of the axes, the values that follow from them, metrics and objectives. A
killed process loses only the chunk that it was writing. The file records what it was made from, and is never continued
with other inputs or other code.
"""

import json
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import numpy as np

from sim.explore.bulk import LEGAL, Chunk, Reason, value_names
from sim.explore.database import FILE, closed_on_error, connect, no_file, remove_unused, said
from sim.explore.plan import Plan, digest_of
from sim.explore.soundness import CHECKSUM, checksum_of, iter_faults, meta_fault, sign_chunk, sign_meta
from sim.explore.table import numbers_of, quoted
from sim.explore.versions import code_version
from sim.load.problems import InputError, InputProblem

SCHEMA = "einfuse-sweep-2"
OWN = ("point", "hash", "version", "reason", "bound_by", "extrapolated")
TABLES = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE versions (id INTEGER PRIMARY KEY, text TEXT NOT NULL);
CREATE TABLE reasons (id INTEGER PRIMARY KEY, kind TEXT NOT NULL, text TEXT NOT NULL);
CREATE TABLE second_stage (point INTEGER PRIMARY KEY, engine TEXT NOT NULL, result TEXT NOT NULL, checksum TEXT);
CREATE TABLE chunks (id INTEGER PRIMARY KEY, points TEXT NOT NULL, checksum TEXT NOT NULL);
"""


class Contents(NamedTuple):
    """The description that a file of points holds."""

    meta: dict[str, Any]

    @property
    def axes(self) -> tuple[str, ...]:
        return tuple(axis["name"] for axis in self.meta["axes"])

    @property
    def settled(self) -> tuple[str, ...]:
        return tuple(one["path"] for one in self.meta["settled"])

    @property
    def values(self) -> tuple[str, ...]:
        return tuple(self.meta["values"])

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the table of points."""
        return (*OWN, *self.axes, *self.settled, *self.values)


def contents_of(plan: Plan) -> Contents:
    """The description of a plan's points."""
    axes = [
        {
            "name": column.name,
            "label": column.axis.label,
            "unit": column.axis.unit,
            "values": list(column.written),
            "numbers": numbers_of(column, plan),
            "holds_area": column.axis.absorb is not None,
            "settings": {path: list(column.written) for path in column.axis.path}
            if column.is_structural
            else {n.path: [n.written(value) for value in values.tolist()] for n, values in column.numbers},
        }
        for column in plan.columns
    ]
    dimension_of = {number.path: number.dimension for number in plan.numbers}
    sweep = plan.sweep
    objectives = [
        {"label": one.label, "formula": str(one.formula), "sign": one.sign, "reference": one.reference}
        for one in sweep.objectives
    ]
    told = sweep.model_dump(mode="json", by_alias=True, exclude={"title", "description", "source"})
    return Contents(
        {
            "schema": SCHEMA,
            "sweep": sweep.name,
            "title": sweep.title,
            "experiment": plan.experiment,
            "size": sweep.size,
            "fixed": dict(plan.fixed),
            "axes": axes,
            "settled": [{"path": path, "dimension": dimension_of[path]} for path in plan.settled],
            "values": list(value_names(plan)),
            "objectives": objectives,
            "labels": dict(next(iter(plan.groups.values())).experiment.labels),
            "per": list(sweep.front_axes),
            "sweep_hash": digest_of(told),
            "inputs_hash": plan.inputs_hash,
            "code": code_version(),
        }
    )


class Store:
    """Points being written. Only one process at a time holds the file."""

    def __init__(self, connection: sqlite3.Connection, path: Path, contents: Contents) -> None:
        self.connection, self.path, self.contents = connection, path, contents
        with said(path):
            rows = connection.execute("SELECT id, kind, text FROM reasons").fetchall()
            self.version = _row_id(connection, contents.meta["code"])
        self.reasons = {Reason(kind, text): number for number, kind, text in rows}

    @classmethod
    def create(cls, folder: Path, plan: Plan) -> Self:
        """A new file in the folder, replacing any existing one."""
        path = folder / FILE
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if path.exists():
                remove_unused(path)
        except OSError as error:
            message = f"cannot be written ({error.strerror or error})"
            raise InputError([InputProblem(str(folder), None, "", message)]) from None
        contents = contents_of(plan)
        with said(path), closed_on_error(connect(path)) as connection, connection:
            connection.execute("BEGIN IMMEDIATE")
            for statement in statements_of(contents):
                connection.execute(statement)
            told = [(key, json.dumps(value)) for key, value in contents.meta.items()]
            connection.executemany("INSERT INTO meta VALUES (?, ?)", told)
            sign_meta(connection)
        return cls(connection, path, contents)

    @classmethod
    def resume(cls, folder: Path, plan: Plan) -> Self:
        """The file in the folder, if it was made from the same inputs by the same code; InputError otherwise."""
        path = folder / FILE
        expected = contents_of(plan)
        with said(path), closed_on_error(connect(path)) as connection:
            reason = difference(read_meta(connection, path), expected.meta)
            if reason:
                message = f"{reason}: start over with --fresh, or use another --out"
                raise InputError([InputProblem(str(path), None, "", message)])
            check_sound(connection, path, expected)
            # The same file may have moved.
            told = json.dumps(expected.meta["experiment"])
            with connection:
                connection.execute("BEGIN IMMEDIATE")
                connection.execute("UPDATE meta SET value = ? WHERE key = 'experiment'", (told,))
                sign_meta(connection)
            return cls(connection, path, expected)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close(is_complete=kind is None)

    def close(self, is_complete: bool = True) -> None:
        """Leave a single file behind, unless something went wrong."""
        try:
            if is_complete:
                with said(self.path):
                    self.connection.execute("PRAGMA locking_mode=NORMAL")
                    self.connection.execute("PRAGMA journal_mode=DELETE")
        finally:
            self.connection.close()

    def add(self, plan: Plan, chunk: Chunk) -> None:
        """Write finished points, all or none."""
        with said(self.path), self.connection:
            self.connection.execute("BEGIN IMMEDIATE")
            reasons = self._reason_ids(chunk.reasons)
            marks = ", ".join("?" * len(self.contents.columns))
            self.connection.executemany(f"INSERT INTO points VALUES ({marks})", self._iter_rows(plan, chunk, reasons))
            sign_chunk(self.connection, sorted(chunk.points.tolist()))

    def _reason_ids(self, reasons: Sequence[Reason]) -> np.ndarray:
        """The number of each reason in the file, LEGAL first."""
        new = [reason for reason in reasons if reason not in self.reasons]
        for reason in new:
            self.reasons[reason] = len(self.reasons) + 1
        rows = [(self.reasons[reason], *reason) for reason in new]
        self.connection.executemany("INSERT OR REPLACE INTO reasons VALUES (?, ?, ?)", rows)
        return np.array([LEGAL, *(self.reasons[reason] for reason in reasons)], np.int64)

    def _iter_rows(self, plan: Plan, chunk: Chunk, reasons: np.ndarray) -> Iterator[tuple[Any, ...]]:
        indices = plan.axis_indices(chunk.points)
        axes = [[column.written[i] for i in indices[column.name].tolist()] for column in plan.columns]
        numbers = [_column(values) for values in (*chunk.settled.T, *chunk.values.T)]
        return zip(
            chunk.points.tolist(),
            chunk.hashes,
            [self.version] * chunk.points.size,
            reasons[chunk.reason].tolist(),
            chunk.bound_by,
            chunk.extrapolated,
            *axes,
            *numbers,
            strict=True,
        )

    def finished(self) -> np.ndarray:
        """The stored points: i8[point], ascending."""
        with said(self.path):
            rows = self.connection.execute("SELECT point FROM points ORDER BY point")
            return np.fromiter((row[0] for row in rows), np.int64)

    def objectives(self) -> tuple[np.ndarray, np.ndarray]:
        """Legal points, ascending: i8[point] and f8[point, objective] to be minimized, without nan."""
        told = self.contents.meta["objectives"]
        names = [quoted(objective["label"]) for objective in told]
        there = " AND ".join(f"{name} IS NOT NULL" for name in names)
        query = f"SELECT point, {', '.join(names)} FROM points WHERE reason = 0 AND {there} ORDER BY point"
        kind = np.dtype([("point", np.int64), ("values", np.float64, (len(told),))])
        with said(self.path):
            rows = self.connection.execute(query)
            found = np.fromiter(((row[0], row[1:]) for row in rows), kind)
        return found["point"], found["values"] * [float(objective["sign"]) for objective in told]

    def counts(self) -> dict[str, int]:
        """The number of points per kind of reason; 'legal' first, then the most frequent."""
        query = (
            "SELECT coalesce(kind, 'legal'), count(*) AS n FROM points LEFT JOIN reasons ON reason = reasons.id"
            " GROUP BY kind ORDER BY kind IS NOT NULL, n DESC, kind"
        )
        with said(self.path):
            return {"legal": 0} | dict(self.connection.execute(query).fetchall())

    def example_of(self, kind: str) -> str:
        """The most frequent sentence of a kind."""
        query = (
            "SELECT text FROM points JOIN reasons ON reason = reasons.id WHERE kind = ?"
            " GROUP BY text ORDER BY count(*) DESC, text LIMIT 1"
        )
        with said(self.path):
            return str(self.connection.execute(query, (kind,)).fetchone()[0])

    def keep_second_stage(self, engine: str, points: Sequence[int]) -> None:
        """Discard results of other engines, and results for other points."""
        with said(self.path), self.connection:
            self.connection.execute("BEGIN IMMEDIATE")
            self.connection.execute("DELETE FROM second_stage WHERE engine != ?", (engine,))
            gone = sorted(set(self.second_stage()) - set(points))
            self.connection.executemany("DELETE FROM second_stage WHERE point = ?", [(point,) for point in gone])

    def add_second_stage(self, point: int, engine: str, result: str) -> None:
        """Store another engine's result for a point, as JSON."""
        with said(self.path), self.connection:
            row = (point, engine, result)
            self.connection.execute("INSERT INTO second_stage VALUES (?, ?, ?, ?)", (*row, checksum_of(row)))

    def second_stage(self) -> dict[int, tuple[str, str]]:
        """Engine and JSON by point."""
        with said(self.path):
            return second_stage_of(self.connection)


def second_stage_of(connection: sqlite3.Connection) -> dict[int, tuple[str, str]]:
    """Engine and JSON by point."""
    rows = connection.execute("SELECT point, engine, result FROM second_stage ORDER BY point")
    return {point: (engine, result) for point, engine, result in rows}


def read_only(path: Path) -> tuple[sqlite3.Connection, Contents]:
    """A read-only connection, and the file's description."""
    connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", timeout=0.5, uri=True)
    with closed_on_error(connection):
        return connection, Contents(read_meta(connection, path))


def read_meta(connection: sqlite3.Connection, path: Path) -> dict[str, Any]:
    """The file's description; InputError if it is not a sweep's file, or was written in another form."""
    try:
        rows = connection.execute("SELECT key, value FROM meta").fetchall()
    except sqlite3.OperationalError as error:
        if "locked" in str(error):
            raise
        raise InputError([InputProblem(str(path), None, "", no_file(str(error)))]) from None
    fault = meta_fault(rows)
    if fault and (earlier := earlier_form(dict(rows))):
        return {"schema": earlier}
    if fault:
        raise InputError([InputProblem(str(path), None, "", no_file(fault))])
    return {key: json.loads(value) for key, value in rows if key != CHECKSUM}


def earlier_form(rows: dict[Any, Any]) -> str:
    """The form of a file of another version of this program; empty for one of this form, or for none."""
    found = str(rows.get("schema")).strip('"')
    return found if found.startswith("einfuse-sweep-") and found != SCHEMA else ""


def check_sound(connection: sqlite3.Connection, path: Path, contents: Contents) -> None:
    """InputError unless all that was written is there, unchanged."""
    for fault in iter_faults(connection, statements_of(contents)):
        raise InputError([InputProblem(str(path), None, "", no_file(fault))])


def statements_of(contents: Contents) -> tuple[str, ...]:
    """The statements that make the tables of a file."""
    return (*TABLES.strip().replace(";", "").split("\n"), f"CREATE TABLE points ({', '.join(_declared(contents))})")


def difference(found: dict[str, Any], expected: dict[str, Any]) -> str:
    """Why a file cannot be continued; empty if it can."""
    if found.get("schema") != SCHEMA:
        return f"was written in the form '{found.get('schema')}', this version writes '{SCHEMA}'"
    if found["sweep_hash"] != expected["sweep_hash"]:
        same = found["sweep"] == expected["sweep"]
        what = f"sweep '{found['sweep']}' has changed since" if same else f"holds the sweep '{found['sweep']}'"
        return what if same else f"{what}, not '{expected['sweep']}'"
    if found["inputs_hash"] != expected["inputs_hash"]:
        return f"what sweep '{found['sweep']}' names (experiment, machine, mapping, ...) has changed since"
    if found["code"] != expected["code"]:
        return f"was made by einfuse {found['code']}, this is {expected['code']}"
    return ""


def _declared(contents: Contents) -> list[str]:
    own = ["point INTEGER PRIMARY KEY", "hash TEXT", "version INTEGER", "reason INTEGER", "bound_by TEXT"]
    own.append("extrapolated TEXT")
    # Values of axes are kept as they are written: an affinity would turn the text '1' into a number.
    axes = [f"{quoted(name)} BLOB" for name in contents.axes]
    return own + axes + [f"{quoted(name)} REAL" for name in (*contents.settled, *contents.values)]


def _column(values: np.ndarray) -> list[float | None]:
    """Plain numbers; what is not finite is missing."""
    found: list[float | None] = values.tolist()
    missing = np.flatnonzero(~np.isfinite(values))
    for i in missing.tolist():
        found[i] = None
    return found


def _row_id(connection: sqlite3.Connection, version: str) -> int:
    row = connection.execute("SELECT id FROM versions WHERE text = ?", (version,)).fetchone()
    if row is None:
        cursor = connection.execute("INSERT INTO versions (text) VALUES (?)", (version,))
        return int(cursor.lastrowid or 0)
    return int(row[0])
