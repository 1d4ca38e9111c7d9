"""`einfuse bench`: the benchmark of the kernels, which reads its own options, so that it also runs without typer."""

from typing import Annotated

import typer

from sim.commands.answering import answers

SETTINGS = {"add_help_option": False, "context_settings": {"ignore_unknown_options": True}}


@answers
def bench_command(
    options: Annotated[list[str] | None, typer.Argument(help="--help lists them.", metavar="[OPTIONS]")] = None,
) -> int:
    """Measure the kernels on the GPU of this machine, beside everything else that computes the same."""
    from kernels.bench.__main__ import main as measure

    return measure(options or [])
