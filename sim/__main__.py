"""The command line: arguments in, calls out.

Exit status: 0 done; 1 ran and the answer is no; 2 bad input; 130 interrupted; 141 the reader of the output has gone.
Results go to stdout, everything else to stderr. What only one command needs is imported inside it, so that the others
start quickly.
"""

import io
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
from sim.load import load_architecture, load_cascade
from sim.problems import InputError, InputProblem

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
    if strangers:
        sys.exit(_said(f"einfuse: expected the packages of {ROOT}, got {', '.join(strangers)}", BAD_INPUT))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a name that the terminal cannot show is no failure
    app(prog_name="einfuse")


def _origin(room: str) -> Path:
    spec = find_spec(room)
    return Path(spec.origin).resolve() if spec is not None and spec.origin else Path("nowhere")


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
        except OSError as error:
            # What is still buffered has nowhere to go and must not complain at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            is_reader_gone = isinstance(error, BrokenPipeError)
            status = NO_READER if is_reader_gone else _said(f"einfuse: cannot go on ({error})", BAD_INPUT)
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


@app.command("sweep")
@answers
def sweep_command(
    name: Annotated[str, typer.Argument(metavar="SWEEP", help="A shipped sweep, or the path of one.")],
    out: Annotated[Path, typer.Option(help="Folder of the store and its exports.")],
    resume: Annotated[bool, typer.Option("--resume", help="Go on with what the folder holds.")] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Start over, whatever the folder holds.")] = False,
    executor: Annotated[str, typer.Option(help="local or dask.")] = "local",
    scheduler: Annotated[str | None, typer.Option(help="Address of a dask scheduler; else one is started.")] = None,
    workers: Annotated[int | None, typer.Option(help="Processes; one for each core by default.")] = None,
    parquet: Annotated[bool, typer.Option("--parquet", help="Write points.parquet too.")] = False,
) -> int:
    """Explore designs: every point of a sweep, or those its search asks for; what is finished is never lost."""
    from sim.explore.command import run_command
    from sim.explore.run import Options

    options = Options(executor, scheduler, workers, resume, fresh, parquet)
    status, summary = run_command(name, out, options, _tell)
    if summary:
        print(summary)
    return status


@app.command("plot")
@answers
def plot_command(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder of a sweep.")],
) -> None:
    """Draw what a sweep found: charts as SVG and PNG, and one page with all of its points."""
    from sim.report.sweep_charts import write_charts

    _tell(f"written: {write_charts(folder, _tell)}")


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


@app.command("passes")
@answers
def passes_command(
    cascade: Annotated[str, typer.Argument(help="A shipped cascade, or the path of one.")],
    rank: Annotated[str | None, typer.Option(help="The rank that is traversed; all of them by default.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document instead of sentences.")] = False,
    plot: Annotated[Path | None, typer.Option(help="Draw the cascade's graph by pass into an .svg or .png.")] = None,
) -> None:
    """How often a cascade must traverse a rank, whatever the mapping, and why."""
    from sim.report.passes_text import passes_document, passes_text, plot_passes

    read_cascade = load_cascade(cascade)
    document = passes_document(read_cascade, rank)
    if plot is not None:
        _tell(f"drawn: passes over {plot_passes(read_cascade, rank, plot)} in {plot}")
    print(json.dumps(document, indent=2) if as_json else passes_text(read_cascade, rank))


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
    said: set[InputProblem] = set()
    for one in checked:
        state = "has problems that are said above" if one.problems else "is fine"
        new = [problem for problem in one.problems if problem not in said]
        print("\n".join(map(str, new)) or f"{one.file}: {one.kind} '{one.name}' {state}")
        said.update(new)
    if not all(one.is_readable for one in checked):
        return BAD_INPUT
    return NO if any(one.problems for one in checked) else DONE


@app.command("rewrite")
@answers
def rewrite_command(
    cascade: Annotated[str, typer.Argument(help="A shipped cascade, or the path of one.")],
    passes: Annotated[int, typer.Option(help="How many passes the derived cascade may make.")],
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Write the derived cascade here.")] = None,
    rank: Annotated[str | None, typer.Option(help="The rank; the one with the most passes by default.")] = None,
    form: Annotated[str, typer.Option(help="What iteration gives: running, stepwise or partition.")] = "running",
    conditional: Annotated[
        bool, typer.Option("--conditional", help="Admit identities that fail where a divisor is zero.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document instead of text.")] = False,
) -> int:
    """Derive a cascade with fewer passes, with the identities used and a numerical check."""
    from sim.rewriting import rewrite_cascade, rewriting_json, rewriting_text, write_cascade

    found = rewrite_cascade(cascade, passes, rank, {"form": form, "conditional": conditional})
    if output is not None:
        write_cascade(found.cascade, output)
    print(json.dumps(rewriting_json(found), indent=2, allow_nan=False) if as_json else rewriting_text(found))
    return DONE if found.is_reached else NO


@app.command("trace")
@answers
def trace_command(
    experiment: Annotated[str, typer.Argument(help="A shipped experiment, or the path of one.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The trace, for Perfetto or chrome://tracing.")],
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Replace a value, such as seq_len=65536; may be repeated."),
    ] = None,
    window: Annotated[
        str | None,
        typer.Option(metavar="START:LENGTH", help="100000:3000 (cycles), '50%:12 tiles'; all by default."),
    ] = None,
    max_events: Annotated[int, typer.Option(help="Stop after so many.")] = 20_000,
    plot: Annotated[Path | None, typer.Option(help="Draw the waterfall of the window into an .svg or .png.")] = None,
) -> None:
    """Write what every array and memory does, cycle by cycle, as a timeline to look at."""
    from sim.report.trace_command import Wishes, write_trace

    read_experiment = load_experiment(experiment, parse_changes(changes or []))
    print(write_trace(read_experiment, Wishes(output, window, max_events, plot)))


@app.command("list")
@answers
def list_command(
    kind: Annotated[str | None, typer.Argument(help="cascades, architectures, ...; all kinds by default.")] = None,
) -> None:
    """List what ships: experiments, cascades, architectures, mappings, models, technologies, reproductions."""
    from sim.report.list_command import iter_listing

    for line in iter_listing(kind):
        print(line)


@app.command("bind")
@answers
def bind_command(
    experiment: Annotated[str, typer.Argument(help="A shipped experiment, or the path of one.")],
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Replace a value, such as seq_len=65536; may be repeated."),
    ] = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Write the scheduled mapping here.")] = None,
    interleave: Annotated[int, typer.Option(help="Tasks that may take turns on an array, slot by slot.")] = 2,
    effort: Annotated[int, typer.Option(help="Offsets to try for each interval.")] = 5_000_000,
    join: Annotated[bool, typer.Option("--join/--apart", help="Passes side by side, or one after the other.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document instead of tables.")] = False,
) -> int:
    """Find when each Einsum runs: the shortest interval at which tiles can follow each other, with its proof."""
    from sim.report.binding_command import find_binding, show_binding, write_mapping

    design = load_experiment(experiment, parse_changes(changes or []))
    try:
        binding = find_binding(design, interleave, effort, join)
    except InputError:
        raise
    except ValueError as error:
        return _said(f"{design.name}: {error}", NO)
    if output is not None:
        write_mapping(binding, output)
    if as_json:
        print(json.dumps(binding.to_json(), indent=2, allow_nan=False))
        return DONE
    for title, tables in show_binding(binding):
        _draw(title, tables)
    return DONE


@app.command("compare")
@answers
def compare_command(
    source: Annotated[
        str, typer.Argument(metavar="FILE", help="A measurement (.json), cases (.csv), or 'published'.")
    ] = "published",
    machine: Annotated[str | None, typer.Option(help="Predict for this machine in place of h100-sxm.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document instead of tables.")] = False,
    plot: Annotated[Path | None, typer.Option(help="Draw predicted against measured into an .svg or .png.")] = None,
    fit: Annotated[Path | None, typer.Option(help="Fit the machine's constants; write them as a machine here.")] = None,
) -> None:
    """Predicted against measured time of GPU kernels, beside simpler models."""
    from sim.report import compare_command as body

    if fit is not None:
        _tell(body.write_fit(machine or body.DEFAULT_MACHINE, fit))
        return
    comparison = body.compare_source(source, machine)
    if plot is not None:
        _tell(body.write_plot(comparison, plot))
    if as_json:
        print(json.dumps(body.comparison_json(comparison), indent=2, allow_nan=False))
        return
    _draw(body.heading(comparison), body.comparison_tables(comparison))


if __name__ == "__main__":
    main()
