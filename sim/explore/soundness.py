"""Whether a file of points still holds what was written: its tables, its description, and a checksum of every chunk.

A flipped bit in a database often leaves a valid database with other numbers. Every chunk is therefore written with a
checksum over its rows as they read back, texts of reasons and versions included; so are the description and the results
of a second engine. A file that fails any of it is refused as a whole.
"""

import hashlib
import json
import marshal
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

CHECKSUM = "checksum"  # key of the description that holds the checksum of all others
MANY = 8192  # rows read at a time
# What a description holds; without it nothing is known about the points.
KEYS = frozenset((
    "schema", "sweep", "title", "experiment", "size", "fixed", "axes", "settled", "values", "objectives", "per",
    "sweep_hash", "inputs_hash", "code",
))  # fmt: skip
_ROWS = (
    "SELECT points.*, versions.text, reasons.kind, reasons.text FROM points"
    " LEFT JOIN versions ON version = versions.id LEFT JOIN reasons ON reason = reasons.id"
)


def checksum_of(values: Any) -> str:
    """Of plain values: texts, numbers, None, and tuples or lists of them."""
    # Version 2 of the format depends on nothing but the values.
    return hashlib.blake2b(marshal.dumps(values, 2), digest_size=16).hexdigest()


def sign_chunk(connection: sqlite3.Connection, points: Sequence[int]) -> None:
    """Record the checksum of points that have just been written, ascending."""
    which = json.dumps(_runs(points))
    rows = connection.execute(
        f"{_ROWS} WHERE point IN (SELECT value FROM json_each(?)) ORDER BY point", (json.dumps(points),)
    ).fetchall()
    connection.execute("INSERT INTO chunks (points, checksum) VALUES (?, ?)", (which, checksum_of(rows)))


def sign_meta(connection: sqlite3.Connection) -> None:
    """Record the checksum of the description."""
    connection.execute("DELETE FROM meta WHERE key = ?", (CHECKSUM,))
    found = connection.execute("SELECT key, value FROM meta ORDER BY key").fetchall()
    connection.execute("INSERT INTO meta VALUES (?, ?)", (CHECKSUM, json.dumps(checksum_of(found))))


def meta_fault(rows: list[tuple[Any, Any]]) -> str:
    """What is wrong with a description, as keys and JSON texts; empty if nothing is."""
    try:
        found = {str(key): json.loads(value) for key, value in rows}
    except (TypeError, ValueError, RecursionError):
        return "its description cannot be read"
    missing = sorted(KEYS - found.keys())
    if missing:
        return f"its description has no '{missing[0]}'"
    if found.get(CHECKSUM) != checksum_of(sorted((key, value) for key, value in rows if key != CHECKSUM)):
        return "its description is not the one that was written"
    return ""


def iter_faults(connection: sqlite3.Connection, statements: Iterable[str]) -> Iterator[str]:
    """What is wrong with a file whose description is sound. `statements` are those that made its tables."""
    tables = connection.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name").fetchall()
    if sorted(str(sql) for (sql,) in tables) != sorted(statements):
        yield "its tables are not those of a sweep"
        return
    found = connection.execute("PRAGMA quick_check(1)").fetchone()
    if found != ("ok",):
        yield "its pages do not fit together"
        return
    yield from _iter_chunk_faults(connection)
    for point, engine, result, checksum in connection.execute("SELECT * FROM second_stage ORDER BY point"):
        if checksum_of((point, engine, result)) != checksum:
            yield f"the second result of point {point} is not the one that was written"
            return


def _iter_chunk_faults(connection: sqlite3.Connection) -> Iterator[str]:
    chunks = connection.execute("SELECT points, checksum FROM chunks ORDER BY id").fetchall()
    try:
        owner = {point: i for i, (which, _) in enumerate(chunks) for point in _points_of(json.loads(which))}
    except (TypeError, ValueError, RecursionError):
        yield "its list of chunks cannot be read"
        return
    rows: list[list[Any]] = [[] for _ in chunks]
    count = 0
    cursor = connection.execute(f"{_ROWS} ORDER BY point")
    while many := cursor.fetchmany(MANY):
        for row in many:
            if row[0] not in owner:
                yield f"point {row[0]} belongs to no chunk"
                return
            rows[owner[row[0]]].append(row)
        count += len(many)
    damaged = sum(checksum_of(found) != checksum for found, (_, checksum) in zip(rows, chunks, strict=True))
    if damaged or count != len(owner):
        yield f"{max(1, damaged)} of its {len(chunks)} chunks of points are not what was written"


def _runs(points: Sequence[int]) -> list[list[int]]:
    """Ascending numbers as first and last of each run without gaps."""
    runs: list[list[int]] = []
    for point in points:
        if runs and runs[-1][1] == point - 1:
            runs[-1][1] = point
        else:
            runs.append([point, point])
    return runs


def _points_of(runs: Any) -> Iterator[int]:
    for first, last in runs:
        if not 0 <= last - first < 2**24:  # no chunk is as large: a damaged number must not fill the memory
            raise ValueError("a run of points without end")
        yield from range(first, last + 1)
