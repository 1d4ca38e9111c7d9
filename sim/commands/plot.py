"""The body of `einfuse plot`: finds out what a folder holds, and draws it."""

from collections.abc import Callable
from pathlib import Path

from sim.explore.store import FILE
from sim.load.problems import InputError, InputProblem
from sim.report.reproduction.charts import write_reproduction_charts
from sim.report.reproduction.results_read import RESULTS
from sim.report.sweep.charts import write_charts

MOST_NAMED = 3


def plot_folder(folder: Path, tell: Callable[[str], None]) -> Path:
    """Charts of a sweep or of a reproduction, in their folder; the path of the page. InputError for another folder."""
    if (folder / FILE).is_file():
        return write_charts(folder, tell)
    if (folder / RESULTS).is_file():
        return write_reproduction_charts(folder, tell)
    raise InputError([InputProblem(str(folder), None, "", _why_not(folder))])


def _why_not(folder: Path) -> str:
    if not folder.exists():
        return "no such folder"
    wanted = f"expected the folder of a sweep (with '{FILE}') or of a reproduction (with '{RESULTS}')"
    if not folder.is_dir():
        return f"{wanted}, got a file"
    inside = sorted(path.parent for name in (FILE, RESULTS) for path in folder.glob(f"*/{name}"))
    names = " or ".join(f"'{path}'" for path in inside[:MOST_NAMED])
    near = f" (did you mean {names}?)" if inside else ""
    return f"{wanted}, found neither{near}"
