"""Commands about one design, or one file: simulate, reproduce, check, trace, bind, verify, list."""

import json
from pathlib import Path
from typing import Annotated

import typer

from sim.commands.answering import BAD_INPUT, DONE, NO, answers, draw, parse_changes, said, tell
from sim.design.assemble import load_experiment
from sim.load.nouns import load_architecture
from sim.load.problems import InputError, InputProblem
from sim.simulation.flow import check_engine, simulate


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
    from sim.report.design.simulation_table import heading, simulation_tables

    draw(heading(result), simulation_tables(result))
    for warning in result.warnings:
        tell(f"warning: {warning}")


@answers
def reproduce_command(
    name: Annotated[str, typer.Argument(help="A shipped reproduction, or the path of one.")],
    out: Annotated[Path | None, typer.Option(help="Folder of the results; out/NAME by default.")] = None,
) -> None:
    """Reproduce a published evaluation: results.csv, figures and index.html, and the headline table."""
    from sim.report.reproduction.writing import write_reproduction

    written = write_reproduction(name, out or Path("out") / Path(name).stem, tell)
    print(written.headline)
    tell(f"written: {written.index}")


@answers
def check_command(
    files: Annotated[list[Path], typer.Argument(help="YAML files of any kind.")],
    architecture: Annotated[
        str | None, typer.Option(help="The machine that mappings are tried on; a shipped one that fits by default.")
    ] = None,
) -> int:
    """Check files of any kind; all problems of all files at once."""
    from sim.commands.checking import check_file

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
    from sim.commands.trace import Wishes, write_trace

    read_experiment = load_experiment(experiment, parse_changes(changes or []))
    print(write_trace(read_experiment, Wishes(output, window, max_events, plot)))


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
    from sim.commands.bind import find_binding, show_binding, write_mapping

    design = load_experiment(experiment, parse_changes(changes or []))
    try:
        binding = find_binding(design, interleave, effort, join)
    except InputError:
        raise
    except ValueError as error:
        return said(f"{design.name}: {error}", NO)
    if output is not None:
        write_mapping(binding, output)
    if as_json:
        print(json.dumps(binding.to_json(), indent=2, allow_nan=False))
        return DONE
    for title, tables in show_binding(binding):
        draw(title, tables)
    return DONE


@answers
def verify_command(
    name: Annotated[str, typer.Argument(metavar="EXPERIMENT|CASCADE", help="A shipped one, or the path of one.")],
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Replace a value, such as ranks.M=300; may be repeated."),
    ] = None,
    backend: Annotated[str, typer.Option(help="What it is also compared with: numpy, torch or triton.")] = "numpy",
    precision: Annotated[list[str] | None, typer.Option(help="Of words, such as fp32; may be repeated.")] = None,
    exponential: Annotated[str | None, typer.Option("--exp", help="exact or polynomial; else as the machine.")] = None,
    seed: Annotated[int, typer.Option(help="Of the random inputs.", min=0)] = 0,
    against: Annotated[str | None, typer.Option(help="A cascade that defines the same outputs.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document instead of tables.")] = False,
) -> int:
    """Run a design on numbers, in mapped order and precision, and compare with what its cascade means."""
    from sim.commands.verify import Wishes, run_verification, show_verification

    wishes = Wishes(tuple(precision or ()), exponential, backend, seed, against)
    found = run_verification(name, parse_changes(changes or []), wishes)
    if as_json:
        print(json.dumps(found.to_json(), indent=2, allow_nan=False))
    for title, tables in () if as_json else show_verification(found):
        draw(title, tables)
    return DONE if found.passes else NO


@answers
def list_command(
    kind: Annotated[str | None, typer.Argument(help="cascades, architectures, ...; all kinds by default.")] = None,
) -> None:
    """List what ships: experiments, sweeps, cascades, architectures, mappings, models, reproductions, ..."""
    from sim.commands.listing import listing

    print(listing(kind))
