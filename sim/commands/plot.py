"""`einfuse plot`: determines what a folder holds, re-simulates the designs that charts show in full, and draws it."""

from pathlib import Path
from typing import Annotated

import typer

from sim.commands.answering import answers, at_work, tell
from sim.explore.closely import results_of, start_of
from sim.explore.comparable import comparable_designs
from sim.explore.database import FILE
from sim.load.files import is_file, is_folder, stamp_of
from sim.load.problems import InputError, InputProblem
from sim.report.reproduction import charts as reproduction_charts
from sim.report.reproduction.results_read import RESULTS, Results, read_results
from sim.report.sweep import charts as sweep_charts
from sim.report.sweep.closely import Closely, wanted_of
from sim.report.sweep.data import Study
from sim.simulation.result import SimulationResult
from sim.simulation.trying import result_or_none

MOST_NAMED = 3


def plot_folder(folder: Path) -> Path:
    """Charts of a sweep or of a reproduction, in their folder; the path of the page. InputError for another folder."""
    if is_file(folder / FILE):
        study = sweep_charts.read_study(folder)
        return sweep_charts.write_charts(folder, study, look_closely(study), tell)
    if is_file(folder / RESULTS):
        results = read_results(folder)
        return reproduction_charts.write_reproduction_charts(folder, results, simulated_of(results), tell)
    raise InputError([InputProblem(str(folder), None, "", _why_not(folder))])


def look_closely(study: Study) -> Closely:
    """The results of the designs that the charts of a sweep show in full."""
    wanted = wanted_of(study)
    with at_work(f"simulating {len(wanted.rows):,} of {len(study.points):,} points in full"):
        starts = {workload: start_of(study.points, settings) for workload, settings in wanted.starts.items()}
        start = start_of(study.points, wanted.start)
        return Closely(
            results_of(study.points, wanted.rows),
            {workload: result for workload, result in starts.items() if result is not None},
            start,
            {} if start is None else comparable_designs(start.experiment, wanted.workload),
        )


def simulated_of(results: Results) -> dict[reproduction_charts.DesignAt, SimulationResult]:
    """The results of the designs that the charts of a reproduction show in full."""
    with at_work("simulating the designs that charts show in full"):
        found = {
            place: result_or_none(place.experiment, {"model": place.workload[0], "seq_len": place.workload[1]})
            for place in reproduction_charts.wanted_of(results)
        }
    return {place: result for place, result in found.items() if result is not None}


def _why_not(folder: Path) -> str:
    if stamp_of(folder) is None:
        return "no such folder"
    wanted = f"expected the folder of a sweep (with '{FILE}') or of a reproduction (with '{RESULTS}')"
    if not is_folder(folder):
        return f"{wanted}, got a file"
    inside = sorted(path.parent for name in (FILE, RESULTS) for path in folder.glob(f"*/{name}"))
    names = " or ".join(f"'{path}'" for path in inside[:MOST_NAMED])
    near = f" (did you mean {names}?)" if inside else ""
    return f"{wanted}, found neither{near}"


@answers
def plot_command(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder of a sweep or of a reproduction.")],
) -> None:
    """Draw what a sweep or a reproduction found, in its folder: charts as SVG and PNG, and one page.

    Of a sweep: speedup and energy by workload, Pareto front, heat map, buffer size against traffic, breakdowns,
    roofline; the page (index.html) holds its points too. Of a reproduction: speedup and energy, utilization,
    Pareto front, roofline (charts.html).
    """
    tell(f"written: {plot_folder(folder)}")
