"""The command line: arguments in, calls out.

Exit status: 0 done; 1 ran and the answer is no; 2 bad input; 130 interrupted; 141 the reader of the output has gone.
Results go to stdout, everything else to stderr. What only one command needs is imported inside it, so that the others
start quickly.
"""

import json
import os
import sys
import tomllib
from collections.abc import Callable
from functools import wraps
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer

from sim.assemble import load_experiment
from sim.document import parse_set
from sim.flow import IllegalMapping, check_engine, simulate
from sim.load import CATALOGS, load_architecture, read
from sim.problems import InputError, InputProblem
from sim.suggest import near_or_all

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("einsums", "arch", "mappings", "kernels")
DONE, NO, BAD_INPUT, INTERRUPTED, NO_READER = 0, 1, 2, 130, 141
# Results that are read by a program or kept in a file are not wrapped to a terminal's width.
WIDTH_OF_A_FILE = 160

app = typer.Typer(
    name="einfuse",
    help="Cycles, energy, traffic, area and numerical correctness of attention and transformer accelerators.",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def main() -> None:
    """The console script `einfuse`."""
    strangers = [f"'{room}' from {where}" for room in ROOMS if (where := _origin(room)).parent.parent != ROOT]
    sys.exit(f"einfuse: expected the packages of {ROOT}, got {', '.join(strangers)}") if strangers else app(
        prog_name="einfuse"
    )


def _origin(room: str) -> Path:
    spec = find_spec(room)
    return Path(spec.origin).resolve() if spec is not None and spec.origin else Path("/no/such package")


def answers(command: Callable[..., int | None]) -> Callable[..., None]:
    """A command that returns its exit status (None: 0), with every user's mistake said in sentences on stderr."""

    @wraps(command)
    def answered(*arguments: Any, **options: Any) -> None:
        try:
            status = command(*arguments, **options) or DONE
            sys.stdout.flush()
        except InputError as error:
            status = _said(str(error), BAD_INPUT)
        except IllegalMapping as error:
            status = _said(str(error), NO)
        except KeyboardInterrupt:
            status = _said("einfuse: interrupted", INTERRUPTED)
        except BrokenPipeError:
            # What is still buffered has nowhere to go and must not complain at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            status = NO_READER
        raise typer.Exit(status)

    return answered


def _said(sentences: str, status: int) -> int:
    print(sentences, file=sys.stderr)
    return status


def _tell(progress: str) -> None:
    print(progress, file=sys.stderr, flush=True)


def _show_version(wanted: bool) -> None:
    if not wanted:
        return
    try:
        version = metadata.version("einfuse")
    except metadata.PackageNotFoundError:  # run from a checkout that is not installed
        version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    print(f"einfuse {version}")
    raise typer.Exit(DONE)


@app.callback()
def einfuse(
    version: Annotated[
        bool,
        typer.Option("--version", help="Show the version and leave.", is_eager=True, callback=_show_version),
    ] = False,
) -> None:
    """Cycles, energy, traffic, area and numerical correctness of attention and transformer accelerators."""


@app.command("reproduce")
@answers
def reproduce_command(
    name: Annotated[str, typer.Argument(help="A shipped reproduction, or the path of one.")],
    out: Annotated[Path | None, typer.Option(help="Folder of the results; out/NAME by default.")] = None,
) -> None:
    """Reproduce a published evaluation: results.csv, figures and index.html, and the headline table."""
    from sim.report.reproduction import write_reproduction

    written = write_reproduction(name, out or Path("out") / Path(name).stem, _tell)
    print(written.headline)
    _tell(f"written: {written.index}")


@app.command("simulate")
@answers
def simulate_command(
    experiment: Annotated[str, typer.Argument(help="A shipped experiment, or the path of one.")],
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Replace a value, such as seq_len=65536; may be repeated."),
    ] = None,
    engine: Annotated[str, typer.Option(help="What computes the answer.")] = "analytical",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document instead of tables.")] = False,
) -> None:
    """Simulate one design point: time, energy, traffic, area."""
    try:
        check_engine(engine)
    except ValueError as error:
        raise InputError([InputProblem("--engine", None, "", str(error))]) from None
    result = simulate(load_experiment(experiment, parse_changes(changes or [])), engine)
    if as_json:
        print(json.dumps(result.to_json(), indent=2, allow_nan=False))
        return
    from sim.report.simulation_table import heading, simulation_tables

    _draw(heading(result), simulation_tables(result))
    for warning in result.warnings:
        _tell(f"warning: {warning}")


def parse_changes(texts: list[str]) -> dict[str, Any]:
    """`key=value` texts as paths and values; InputError with all that are malformed. The last of equal keys holds."""
    changes: dict[str, Any] = {}
    problems: list[InputProblem] = []
    for text in texts:
        try:
            path, value = parse_set(text)
            changes[path] = value
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(problems)
    return changes


def _draw(title: str, tables: Any) -> None:
    """Titled tables: first column to the left, numbers to the right."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    console = Console(
        width=None if sys.stdout.isatty() else WIDTH_OF_A_FILE, highlight=False, emoji=False, markup=False
    )
    console.print(title)
    for table in tables:
        has_header = any(table.header)
        drawn = Table(box=box.SIMPLE_HEAD, show_header=has_header, title=table.title, title_justify="left")
        for i, name in enumerate(table.header):
            drawn.add_column(name, justify="right" if i else "left")
        for row in table.rows:
            drawn.add_row(*row)
        console.print(drawn)


@app.command("check")
@answers
def check_command(
    files: Annotated[list[Path], typer.Argument(help="YAML files of any kind.")],
    architecture: Annotated[
        str | None, typer.Option(help="The machine that mappings are tried on; a shipped one that fits by default.")
    ] = None,
) -> int:
    """Check files of any kind; all problems of all files at once."""
    from sim.checking import check_file

    machine = load_architecture(architecture) if architecture else None
    checked = [check_file(path, machine) for path in files]
    for one in checked:
        fine = f"{one.file}: {one.kind} '{one.name}' is fine"
        print(*(one.problems or (fine,)), sep="\n")
    if not all(one.is_readable for one in checked):
        return BAD_INPUT
    return NO if any(one.problems for one in checked) else DONE


@app.command("list")
@answers
def list_command(
    kind: Annotated[str | None, typer.Argument(help="cascades, architectures, ...; all kinds by default.")] = None,
) -> None:
    """List what ships: experiments, cascades, architectures, mappings, models, technologies, reproductions."""
    kinds = {f"{name}s" if not name.endswith("y") else f"{name[:-1]}ies": name for name in CATALOGS}
    if kind is not None and kind not in kinds:
        message = f"nothing that ships is called '{kind}'{near_or_all(kind, kinds)}"
        raise InputError([InputProblem("einfuse", None, "", message)])
    for heading in kinds if kind is None else (kind,):
        names = CATALOGS[kinds[heading]].names()
        width = max(map(len, names), default=0)
        indent = "" if kind else "  "
        print(
            *([] if kind else [f"{heading}:"]),
            *(f"{indent}{n:{width}}  {describe(kinds[heading], n)}" for n in names),
            sep="\n",
        )


def describe(kind: str, name: str) -> str:
    """One line about a shipped document, by what it says of itself."""
    data = read(kind, name).data
    text = data.get("description") or data.get("title") or data.get("source") or ""
    return " ".join(str(text).split())


if __name__ == "__main__":
    main()
