"""`einfuse simulate`: one design point, as tables or JSON."""

import json
from typing import Annotated

import typer

from sim.commands.answering import answers, draw, tell
from sim.commands.options import Changes, ExperimentName, JsonForTables, expecting, parse_changes, refused
from sim.design.assemble import load_experiment
from sim.report.design.simulation_table import heading, simulation_tables
from sim.simulation.flow import check_engine, simulate


@answers
def simulate_command(
    experiment: ExperimentName,
    changes: Changes = None,
    engine: Annotated[str, typer.Option(help="What computes the answer.")] = "analytical",
    as_json: JsonForTables = False,
) -> None:
    """Simulate one design point: time, energy, traffic, area."""
    try:
        check_engine(engine)
    except ValueError as error:
        raise refused("--engine", str(error)) from None
    with expecting(experiment, "experiment"):
        design = load_experiment(experiment, parse_changes(changes))
    result = simulate(design, engine)
    if as_json:
        print(json.dumps(result.to_json(), indent=2, allow_nan=False))
        return
    draw(heading(result), simulation_tables(result))
    for warning in result.warnings:
        tell(f"warning: {warning}")
