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
def expecting(name: str, *kinds: str) -> Iterator[None]:
    """Loading of a document by name or path: if it fails because the document is of another kind, the error says so."""
    try:
        yield
    except InputError:
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
        raise refused(option, f"cannot write '{path}': {error.strerror}") from None
