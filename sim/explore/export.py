"""Points as files for other programs: always CSV, and Parquet if its library is installed.

Rows are in the order of the points' numbers and contain none of the store's internal numbers, so that equal results
give equal bytes.
"""

import csv
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sim.explore.database import said
from sim.explore.seconds import Second
from sim.explore.store import OWN, quoted, read_only
from sim.load.cells import plain_cells
from sim.load.problems import InputError, InputProblem

FIRST = ("point", "hash", "version", "reason_kind", "reason", "bound_by", "extrapolated")


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


def export_csv(store: Path, target: Path, points: Sequence[int] | None = None) -> None:
    """The points of a sweep's file (all, or these), as CSV."""
    with _whole(target) as part, said(store), part.open("w", newline="", encoding="utf-8") as file:
        connection, header, rows = _select(store, points)
        try:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(plain_cells(header))
            writer.writerows(map(plain_cells, rows))
        finally:
            rows.close()  # a statement under way would keep the file locked after its connection has closed
            connection.close()


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
            row = (one.point, one.engine, one.refused, *(values.get(name) for name in names))
            writer.writerow(plain_cells(row))


def check_parquet() -> None:
    """InputError if pyarrow is not installed."""
    try:
        import pyarrow  # noqa: F401
    except ImportError:
        message = "pyarrow is not installed: in the checkout, pip install -e '.[parquet]'"
        raise InputError([InputProblem("--parquet", None, "", message)]) from None


def export_parquet(store: Path, target: Path) -> None:
    """As `export_csv`, in Parquet; pyarrow must be installed (`check_parquet`)."""
    import pyarrow
    from pyarrow import parquet

    with said(store):
        connection, header, rows = _select(store, None)
        try:
            columns = list(zip(*rows, strict=True)) or [()] * len(header)
        finally:
            rows.close()
            connection.close()
    arrays = [pyarrow.array(_of_one_kind(column)) for column in columns]
    with _whole(target) as part:
        parquet.write_table(pyarrow.table(arrays, names=list(header)), part)


def _of_one_kind(column: Sequence[Any]) -> list[Any]:
    """Numbers, or texts if any value is a text."""
    if any(isinstance(value, str) for value in column):
        return [None if value is None else str(value) for value in column]
    return list(column)


def _select(store: Path, points: Sequence[int] | None) -> tuple[sqlite3.Connection, tuple[str, ...], sqlite3.Cursor]:
    connection, contents = read_only(store)
    others = contents.columns[len(OWN) :]
    columns = ["point", "hash", "versions.text", "coalesce(kind, '')", "coalesce(reasons.text, '')"]
    columns += ["bound_by", "extrapolated", *(f"points.{quoted(name)}" for name in others)]
    only = "" if points is None else f" WHERE point IN ({', '.join(map(str, points))})"
    query = (
        f"SELECT {', '.join(columns)} FROM points JOIN versions ON version = versions.id"
        f" LEFT JOIN reasons ON reason = reasons.id{only} ORDER BY point"
    )
    return connection, (*FIRST, *others), connection.execute(query)
