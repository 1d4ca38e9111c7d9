"""Points as files for other programs: always CSV, and Parquet if its library is installed.

Rows are in the order of the points' numbers and contain none of the store's internal numbers, so that equal results
give equal bytes.
"""

import csv
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from sim.explore.database import said
from sim.explore.seconds import Second
from sim.explore.store import Contents, read_only
from sim.explore.table import Kind, TableColumn, axis_column, metric_column, settled_column, whole_if_it_is
from sim.load.cells import plain_cells
from sim.load.problems import InputError, InputProblem

OWN_COLUMNS = (
    TableColumn("point", "count", "points.point"),
    TableColumn("hash", "text", "points.hash"),
    TableColumn("version", "text", "versions.text"),
    TableColumn("legal", "boolean", "points.reason = 0"),
    TableColumn("front", "boolean", "fronts.point IS NOT NULL"),
    TableColumn("reason_kind", "text", "reasons.kind"),
    TableColumn("reason", "text", "reasons.text"),
    TableColumn("bound_by", "text", "nullif(points.bound_by, '')"),
    TableColumn("extrapolated", "text", "nullif(points.extrapolated, '')"),
)
AS_WORDS = "CASE {} WHEN 1 THEN 'true' WHEN 0 THEN 'false' END"


class PointRows(NamedTuple):
    """Rows of the points being read from a sweep's file."""

    connection: sqlite3.Connection
    columns: tuple[TableColumn, ...]
    rows: sqlite3.Cursor

    def close(self) -> None:
        # A statement under way would keep the file locked after its connection has closed.
        self.rows.close()
        self.connection.close()


@contextmanager
def _whole(target: Path) -> Iterator[Path]:
    """A path to write a file to that then appears in its place as a whole; InputError if it cannot be written."""
    part = target.with_suffix(".part")
    try:
        yield part
        part.replace(target)
    except OSError as error:
        message = f"cannot be written ({error.strerror or error}): points are kept, go on with --resume"
        raise InputError([InputProblem(str(target), None, "", message)]) from None
    finally:
        part.unlink(missing_ok=True)


def export_csv(store: Path, target: Path, front: Sequence[int], is_front_only: bool = False) -> None:
    """The points of a sweep's file as CSV, or those alone that are on a front; missing values are empty."""
    with _whole(target) as part, said(store), part.open("w", newline="", encoding="utf-8") as file:
        selected = _select(store, front, is_front_only=is_front_only, has_words=True)
        try:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(plain_cells([column.header for column in selected.columns]))
            writer.writerows(map(plain_cells, selected.rows))
        finally:
            selected.close()


def export_fronts(target: Path, names: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """A row per front: the values its points share, the number of points, the volume they dominate."""
    with _whole(target) as part, part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(plain_cells(names))
        writer.writerows(map(plain_cells, rows))


def export_second_stage(seconds: Sequence[Second], target: Path) -> None:
    """Another engine's results for points, as CSV."""
    names = ("latency_s", "cycles", "energy_pj")
    with _whole(target) as part, part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("point", "engine", "refused", *names))
        for one in seconds:
            values = dict(one.values)
            told = [values.get(name) for name in names]
            if not one.refused:
                told[1] = whole_if_it_is(values["cycles"])
            writer.writerow(plain_cells((one.point, one.engine, one.refused or None, *told)))


def check_parquet() -> None:
    """InputError if pyarrow is not installed."""
    try:
        import pyarrow  # noqa: F401
    except ImportError:
        message = "pyarrow is not installed: in the checkout, pip install -e '.[parquet]'"
        raise InputError([InputProblem("--parquet", None, "", message)]) from None


def export_parquet(store: Path, target: Path, front: Sequence[int]) -> None:
    """As `export_csv`, in Parquet; pyarrow must be installed (`check_parquet`)."""
    import pyarrow
    from pyarrow import parquet

    with said(store):
        selected = _select(store, front)
        try:
            found = list(zip(*selected.rows, strict=True)) or [()] * len(selected.columns)
        finally:
            selected.close()
    types = {"text": pyarrow.string(), "boolean": pyarrow.bool_(), "number": pyarrow.float64()}
    arrays = []
    for column, values in zip(selected.columns, found, strict=True):
        is_whole = column.kind == "count" and not any(isinstance(value, float) for value in values)
        kind = pyarrow.int64() if is_whole else types.get(column.kind, pyarrow.float64())
        arrays.append(pyarrow.array([None if value is None else CASTS[column.kind](value) for value in values], kind))
    with _whole(target) as part:
        parquet.write_table(pyarrow.table(arrays, names=[column.header for column in selected.columns]), part)


def _as_it_is(value: Any) -> Any:
    return value


CASTS: dict[Kind, Callable[[Any], Any]] = {"text": str, "boolean": bool, "count": _as_it_is, "number": float}


def table_columns(contents: Contents) -> tuple[TableColumn, ...]:
    """The columns of a sweep's tables."""
    meta = contents.meta
    return (
        *OWN_COLUMNS,
        *(axis_column(axis) for axis in meta["axes"]),
        *(settled_column(one["path"], one["dimension"]) for one in meta["settled"]),
        *(metric_column(name) for name in contents.values),
    )


def _select(store: Path, front: Sequence[int], *, is_front_only: bool = False, has_words: bool = False) -> PointRows:
    """Rows in the order of points; SQLite has numbers for booleans, `has_words` makes them true and false."""
    connection, contents = read_only(store)
    columns = table_columns(contents)
    told = [AS_WORDS.format(c.sql) if has_words and c.kind == "boolean" else c.sql for c in columns]
    connection.execute("CREATE TEMP TABLE fronts (point INTEGER PRIMARY KEY)")
    connection.executemany("INSERT INTO fronts VALUES (?)", [(point,) for point in front])
    join = "JOIN" if is_front_only else "LEFT JOIN"
    query = (
        f"SELECT {', '.join(told)} FROM points JOIN versions ON version = versions.id"
        f" LEFT JOIN reasons ON reason = reasons.id {join} fronts ON fronts.point = points.point ORDER BY points.point"
    )
    return PointRows(connection, columns, connection.execute(query))
