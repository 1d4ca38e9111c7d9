"""`einfuse bind`: search for a schedule, show it, and write the mapping with it."""

import json
from pathlib import Path
from typing import Annotated

import typer

from sim.binding.answer import Binding, bind
from sim.binding.search import SearchOptions
from sim.binding.types import ModuloSchedule
from sim.commands.answering import DONE, NO, answers, draw, said
from sim.commands.options import (
    Changes,
    ExperimentName,
    JsonForTables,
    expect_writable,
    expecting,
    parse_changes,
    refused,
    write_output,
)
from sim.design.assemble import load_experiment
from sim.design.experiment import Experiment
from sim.load.problems import InputError
from sim.report.design.binding_table import binding_heading, chart, part_tables
from sim.report.design.simulation_table import TextTable


def find_binding(experiment: Experiment, interleave: int, effort: int, join: bool) -> Binding:
    """The binding of an experiment; InputError for invalid options, ValueError if there is no schedule."""
    try:
        options = SearchOptions(interleave, effort)
    except ValueError as error:
        raise refused("einfuse", str(error)) from None
    return bind(experiment, options, join)


def write_mapping(binding: Binding, output: Path) -> None:
    """The mapping with the schedule, as YAML; InputError if it cannot be written."""
    write_output("--output", output, binding.mapping_text().encode())


def show_binding(binding: Binding) -> list[tuple[str, tuple[TextTable, ...]]]:
    """Titled tables of each part in turn; a chart serves as the title of the table that follows it."""
    shown: list[tuple[str, tuple[TextTable, ...]]] = [(binding_heading(binding), ())]
    for part in binding.parts:
        shown += [("", part_tables(part)), (_charted(part), ())]
    if len(binding.parts) > 1:
        total = f"All parts: {binding.total_cycles:,} cycles"
        shown.append((f"\n{total}; the schedule is that of the longest part", ()))
    return shown


def _charted(part: ModuloSchedule) -> str:
    return f"One interval of the steady state (letters as above; small: two tasks alternate)\n\n{chart(part)}"


@answers
def bind_command(
    experiment: ExperimentName,
    changes: Changes = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Write the scheduled mapping here.")] = None,
    interleave: Annotated[int, typer.Option(help="Tasks that may take turns on an array, slot by slot.")] = 2,
    effort: Annotated[int, typer.Option(help="Offsets to try for each interval.")] = 5_000_000,
    join: Annotated[bool, typer.Option("--join/--apart", help="Passes side by side, or one after the other.")] = True,
    as_json: JsonForTables = False,
) -> int:
    """Find when each Einsum runs: the shortest interval at which tiles can follow each other, with its proof."""
    expect_writable(output=output)
    with expecting(experiment, "experiment"):
        design = load_experiment(experiment, parse_changes(changes))
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
