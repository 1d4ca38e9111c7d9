"""Commands about cascades: passes, rewrite."""

import json
from pathlib import Path
from typing import Annotated

import typer

from sim.commands.answering import DONE, NO, answers, tell
from sim.load.nouns import load_cascade


@answers
def passes_command(
    cascade: Annotated[str, typer.Argument(help="A shipped cascade, or the path of one.")],
    rank: Annotated[str | None, typer.Option(help="The rank that is traversed; all of them by default.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document instead of sentences.")] = False,
    plot: Annotated[Path | None, typer.Option(help="Draw the cascade's graph by pass into an .svg or .png.")] = None,
) -> None:
    """How often a cascade must traverse a rank, whatever the mapping, and why."""
    from sim.report.design.passes_text import passes_document, passes_text, plot_passes

    read_cascade = load_cascade(cascade)
    document = passes_document(read_cascade, rank)
    if plot is not None:
        tell(f"drawn: passes over {plot_passes(read_cascade, rank, plot)} in {plot}")
    print(json.dumps(document, indent=2) if as_json else passes_text(read_cascade, rank))


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
    from sim.commands.rewrite import rewrite_cascade, rewriting_json, rewriting_text, write_cascade

    found = rewrite_cascade(cascade, passes, rank, {"form": form, "conditional": conditional})
    if output is not None:
        write_cascade(found.cascade, output)
    print(json.dumps(rewriting_json(found), indent=2, allow_nan=False) if as_json else rewriting_text(found))
    return DONE if found.is_reached else NO
