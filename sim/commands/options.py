"""Options shared by several commands, and their parsing."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from sim.load.document import parse_set
from sim.load.problems import InputError, InputProblem

ExperimentName = Annotated[str, typer.Argument(help="A shipped experiment, or the path of one.")]
Changes = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Replace a value, such as seq_len=65536; may be repeated."),
]
JsonForTables = Annotated[bool, typer.Option("--json", help="One JSON document instead of tables.")]


def parse_changes(texts: list[str] | None) -> dict[str, Any]:
    """`key=value` texts as paths and values; InputError lists all malformed ones. The last of equal keys wins."""
    changes: dict[str, Any] = {}
    problems: list[InputProblem] = []
    for text in texts or ():
        try:
            path, value = parse_set(text)
            changes[path] = value
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(problems)
    return changes


@contextmanager
def expecting(name: str | None, *kinds: str) -> Iterator[None]:
    """Loading of a document by name or path, if one is given: if it fails because the document is of another kind, the
    error says so.
    """
    try:
        yield
    except InputError:
        if name is None:
            raise
        from sim.commands.kinds import expect_kind  # late: it loads all kinds

        expect_kind(name, *kinds)
        raise


def refused(option: str, sentence: str) -> InputError:
    """An error about an option."""
    return InputError([InputProblem(option, None, "", sentence)])


def write_output(option: str, path: Path, content: bytes) -> None:
    """The file that an option names; InputError if it cannot be written."""
    try:
        path.write_bytes(content)
    except OSError as error:
        raise _unwritable(option, path, error) from None


def expect_writable(**paths: Path | None) -> None:
    """InputError, before anything is run, if the file that an option names (output=..., plot=...) cannot be written.
    What is there stays as it is, and no file is left behind.
    """
    for option, path in paths.items():
        if path is None:
            continue
        try:
            is_new = not path.exists()
            if not (is_new or path.is_file() or path.is_dir()):
                continue  # a pipe would wait for its reader
            path.open("ab").close()
            if is_new:
                path.unlink()
        except OSError as error:
            raise _unwritable(f"--{option}", path, error) from None


def _unwritable(option: str, path: Path, error: OSError) -> InputError:
    return refused(option, f"cannot write '{path}' ({error.strerror or error})")
