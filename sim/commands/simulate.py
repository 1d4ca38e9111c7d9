"""`einfuse simulate`: one design point, as tables or JSON."""

import json
from typing import Annotated

import typer

from sim.commands.answering import answers, draw, share_shown, tell
from sim.commands.options import Changes, ExperimentName, JsonForTables, expecting, parse_changes, refused
from sim.design.assemble import load_experiment
from sim.ending import CutShort
from sim.report.design.simulation_table import heading, simulation_tables
from sim.simulation.flow import check_engine, simulate
from sim.simulation.result import SimulationResult


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
    try:
        with share_shown(design.name) as shown:
            result = simulate(design, engine, shown)
    except CutShort as cut:
        if isinstance(cut.known, SimulationResult):
            _show(cut.known, as_json)
        raise cut.interrupt from None
    _show(result, as_json)


def _show(result: SimulationResult, as_json: bool) -> None:
    if as_json:
        print(json.dumps(result.to_json(), indent=2, allow_nan=False))
        return
    draw(heading(result), simulation_tables(result))
    for warning in result.warnings:
        tell(f"warning: {warning}")
