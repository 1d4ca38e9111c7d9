"""Commands about many designs: sweep, plot."""

from pathlib import Path
from typing import Annotated

import typer

from sim.commands.answering import answers, tell


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
    from sim.commands.sweep import run_command
    from sim.explore.run import Options

    options = Options(executor, scheduler, workers, resume, fresh, parquet)
    status, summary = run_command(name, out, options, tell)
    if summary:
        print(summary)
    return status


@answers
def plot_command(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder of a sweep or of a reproduction.")],
) -> None:
    """Draw what a sweep or a reproduction found, in its folder: charts as SVG and PNG, and one page.

    Of a sweep: speedup and energy by workload, Pareto front, heat map, buffer size against traffic, breakdowns,
    roofline; the page (index.html) holds its points too. Of a reproduction: speedup and energy, utilization,
    Pareto front, roofline (charts.html).
    """
    from sim.commands.plot import plot_folder

    tell(f"written: {plot_folder(folder, tell)}")
