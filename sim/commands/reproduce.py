"""`einfuse reproduce`: a published evaluation, run, written into a folder and compared."""

from pathlib import Path
from typing import Annotated

import typer

from sim.commands.answering import answers, tell


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
