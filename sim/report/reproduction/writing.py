"""Writes a reproduction: `results.csv`, the meaning of its names, figures as SVG and PNG, and one page with it all.

Everything is made in memory first; each file is then written under a temporary name and moved into place, so that an
interrupted run leaves whole files or none.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sim.report.parts.files import write_file
from sim.report.reproduction.names import NAMES, names_of
from sim.report.reproduction.page import reproduction_page
from sim.report.reproduction.plots import render
from sim.report.reproduction.results import results_csv
from sim.report.reproduction.tables import headline_table
from sim.reproduction.points import ReproductionRun


@dataclass(frozen=True, slots=True)
class WrittenReproduction:
    """The path of the page, the headline table as text, and every file written."""

    index: Path
    headline: str
    files: tuple[Path, ...]


def write_reproduction(run: ReproductionRun, out: Path, tell: Callable[[str], None]) -> WrittenReproduction:
    """Write the results of a reproduction into a folder; InputError for a folder that cannot be written."""
    files = _files(run, tell)
    written = tuple(write_file(out / path, content) for path, content in files.items())
    return WrittenReproduction(out / "index.html", headline_table(run), written)


def _files(run: ReproductionRun, tell: Callable[[str], None]) -> dict[str, bytes]:
    """Every file's content by its path in the folder; the page comes last, after everything it refers to."""
    files = {"results.csv": results_csv(run).encode(), NAMES: json.dumps(names_of(run.reproduction), indent=1).encode()}
    svg_by_figure = {}
    for figure in run.reproduction.figures:
        tell(f"figure {figure.name}")
        picture = render(run, figure, run.reproduction.accountings[0].name)
        svg_by_figure[figure.name] = picture.svg
        files[f"figures/figure-{figure.name}.svg"] = picture.svg.encode()
        files[f"figures/figure-{figure.name}.png"] = picture.png
    tell("page")
    files["index.html"] = reproduction_page(run, svg_by_figure).encode()
    return files
