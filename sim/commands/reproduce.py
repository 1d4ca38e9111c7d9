"""`einfuse reproduce`: runs a published evaluation, writes it into a folder and compares it."""

from pathlib import Path
from typing import Annotated

import typer

from sim.commands.answering import answers, tell
from sim.commands.options import expecting
from sim.report.parts.files import make_folder
from sim.report.reproduction.writing import write_reproduction
from sim.reproduction.run import run_reproduction


@answers
def reproduce_command(
    name: Annotated[str, typer.Argument(help="A shipped reproduction, or the path of one.")],
    out: Annotated[Path | None, typer.Option(help="Folder of the results; out/NAME by default.")] = None,
) -> None:
    """Reproduce a published evaluation: results.csv, figures and index.html, and the headline table."""
    folder = out or Path("out") / Path(name).stem
    make_folder(folder)  # an unwritable folder is reported before the run, not after
    with expecting(name, "reproduction"):
        run = run_reproduction(name, tell)
    written = write_reproduction(run, folder, tell)
    print(written.headline)
    tell(f"written: {written.index}")
