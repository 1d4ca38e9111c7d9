"""The SQLite file of a sweep as a file: who holds it, whether it is one, and how its errors read."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from sim.load.files import is_file
from sim.load.problems import InputError, InputProblem

FILE = "sweep.sqlite"


@contextmanager
def said(path: Path) -> Iterator[None]:
    """Turns a database error into one sentence about its file."""
    try:
        yield
    except sqlite3.Error as error:
        reason = str(error)
        if "locked" in reason:
            message = "is in use by another sweep"
        elif "full" in reason:
            message = f"cannot grow ({reason}): finished points are kept, make room and go on with --resume"
        elif "unable to open" in reason or "readonly" in reason or "disk I/O" in reason:
            message = f"cannot be used ({reason})"
        else:
            message = no_file("a text in it cannot be read" if "decode" in reason else reason)
        raise InputError([InputProblem(str(path), None, "", message)]) from None


@contextmanager
def said_if_locked(path: Path) -> Iterator[None]:
    """As `said`, for a file that may be no database at all: that it is in use is the only thing that matters."""
    try:
        yield
    except sqlite3.Error as error:
        if "locked" not in str(error):
            raise
        raise InputError([InputProblem(str(path), None, "", "is in use by another sweep")]) from None


def no_file(reason: str) -> str:
    """The sentence about a file that cannot be trusted."""
    return f"is no file of a sweep ({reason}): start over with --fresh"


def connect(path: Path) -> sqlite3.Connection:
    """A connection that owns the file, journalled so that a killed process leaves whole transactions."""
    with closed_on_error(sqlite3.connect(path, timeout=0.5, isolation_level=None)) as connection:
        connection.execute("PRAGMA locking_mode=EXCLUSIVE")
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute("BEGIN EXCLUSIVE")
        connection.execute("COMMIT")
    return connection


@contextmanager
def closed_on_error(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """A connection that releases its file if that turns out to be unusable."""
    try:
        yield connection
    except BaseException:
        connection.close()
        raise


def is_blank(path: Path) -> bool:
    """Whether a file is still empty because its writer ended before it had begun."""
    with said(path):
        connection = sqlite3.connect(path, timeout=0.5)
        try:
            return connection.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)
        finally:
            connection.close()


def remove_unused(path: Path) -> None:
    """Remove a file of points with its journals; InputError if another sweep is writing to it."""
    with suppress(sqlite3.DatabaseError), said_if_locked(path), closing(connect(path)):
        pass
    for ending in ("", "-wal", "-shm", "-journal"):
        path.with_name(path.name + ending).unlink(missing_ok=True)


def count_finished(path: Path) -> int:
    """The number of points in a file; 0 if there is no file."""
    if not is_file(path):
        return 0
    with said(path):
        connection = sqlite3.connect(path, timeout=0.5)
        try:
            return int(connection.execute("SELECT count(*) FROM points").fetchone()[0])
        finally:
            connection.close()
