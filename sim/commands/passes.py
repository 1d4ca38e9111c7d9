"""`einfuse passes`: the passes of a cascade, as sentences, JSON or a drawing."""

import json
from pathlib import Path
from typing import Annotated

import typer

from sim.commands.answering import answers, tell
from sim.commands.options import expecting
from sim.load.nouns import load_cascade
from sim.report.design.passes_text import passes_document, passes_text, plot_passes


@answers
def passes_command(
    cascade: Annotated[str, typer.Argument(help="A shipped cascade, or the path of one.")],
    rank: Annotated[str | None, typer.Option(help="The rank that is traversed; all of them by default.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document instead of sentences.")] = False,
    plot: Annotated[Path | None, typer.Option(help="Draw the cascade's graph by pass into an .svg or .png.")] = None,
) -> None:
    """How often a cascade must traverse a rank, whatever the mapping, and why."""
    with expecting(cascade, "cascade"):
        read_cascade = load_cascade(cascade)
    document = passes_document(read_cascade, rank)
    if plot is not None:
        tell(f"drawn: passes over {plot_passes(read_cascade, rank, plot)} in {plot}")
    print(json.dumps(document, indent=2) if as_json else passes_text(read_cascade, rank))
