"""Commands about kernels on GPUs: bench, compare."""

import json
from pathlib import Path
from typing import Annotated

import typer

from sim.commands.answering import answers, draw, tell


@answers
def bench_command(
    options: Annotated[list[str] | None, typer.Argument(help="--help lists them.", metavar="[OPTIONS]")] = None,
) -> int:
    """Measure the kernels on the GPU of this machine, beside everything else that computes the same."""
    from kernels.bench.__main__ import main as measure

    return measure(options or [])


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
    from sim.commands import compare as body

    if fit is not None:
        tell(body.write_fit(machine or body.DEFAULT_MACHINE, fit))
        return
    comparison = body.compare_source(source, machine)
    if plot is not None:
        tell(body.write_plot(comparison, plot))
    if as_json:
        print(json.dumps(body.comparison_json(comparison), indent=2, allow_nan=False))
        return
    draw(body.heading(comparison), body.comparison_tables(comparison))
