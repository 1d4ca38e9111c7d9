"""`einfuse sweep`: runs a sweep, reports its outcome, and ends cleanly when interrupted."""

from pathlib import Path
from traceback import clear_frames
from typing import Annotated

import typer

from sim.commands.answering import DONE, INTERRUPTED, NO, answers, tell
from sim.commands.options import expecting
from sim.ending import Ended
from sim.explore.database import FILE, count_finished
from sim.explore.run import SweepOptions, SweepResult, sweep


def run_sweep(name: str, folder: Path, options: SweepOptions) -> tuple[int, str]:
    """Exit status and the summary for stdout; progress and reasons go to stderr."""
    try:
        result = sweep(name, folder, options)
    except KeyboardInterrupt as error:
        words, status = (
            (str(error), error.status) if isinstance(error, Ended) else ("einfuse: interrupted", INTERRUPTED)
        )
        clear_frames(error.__traceback__)  # a query that it broke off would keep the file locked
        tell(f"{words}; {count_finished(folder / FILE)} finished points are kept, go on with --resume")
        return status, ""
    if not result.legal:
        tell(nothing_left(result))
        return NO, repr(result)
    tell(f"written: {folder / FILE}, {folder / 'points.csv'}, {folder / 'front.csv'}")
    return DONE, repr(result)


def nothing_left(result: SweepResult) -> str:
    """Why no legal point is left: how many points each reason refuses."""
    found = ", ".join(f"'{kind}' refuses {count}" for kind, count in result.counts if kind != "legal")
    name = result.plan.sweep.name
    return f"einfuse: none of the {result.total} points of '{name}' is left: {found or 'there were none'}"


@answers
def sweep_command(
    name: Annotated[str, typer.Argument(metavar="SWEEP", help="A shipped sweep, or the path of one.")],
    out: Annotated[Path, typer.Option(help="Folder of the store and its exports.")],
    resume: Annotated[bool, typer.Option("--resume", help="Go on; what is there is not computed again.")] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Start over, whatever the folder holds.")] = False,
    executor: Annotated[str, typer.Option(help="local (processes of this machine) or dask.")] = "local",
    scheduler: Annotated[str | None, typer.Option(help="Address of a dask scheduler; else one is started.")] = None,
    workers: Annotated[int | None, typer.Option(help="Processes; one for each core by default.")] = None,
    parquet: Annotated[bool, typer.Option("--parquet", help="Write points.parquet too (extra parquet).")] = False,
) -> int:
    """Explore designs: every point of a sweep, or those its search asks for; what is finished is never lost.

    A sweep is a file: an experiment, axes over anything in it, constraints, objectives (docs/explore.md). Written into
    the folder: sweep.sqlite with every point, also those that cannot run, with the reason; the same as points.csv;
    the Pareto fronts as front.csv, their hypervolumes as fronts.csv. Then `einfuse plot DIR` draws them.
    Shipped sweeps: `einfuse list sweeps`.
    """
    options = SweepOptions(executor, scheduler, workers, resume, fresh, parquet)
    with expecting(name, "sweep"):
        status, summary = run_sweep(name, out, options)
    if summary:
        print(summary)
    return status
