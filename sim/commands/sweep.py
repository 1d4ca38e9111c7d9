"""The body of `einfuse sweep`: runs it, says what came of it, and ends cleanly when it is interrupted."""

from collections.abc import Callable
from pathlib import Path

from sim.explore.run import Options, SweepResult, sweep
from sim.explore.store import FILE, count_finished

DONE, NOTHING_LEFT, INTERRUPTED = 0, 1, 130
Tell = Callable[[str], None]


def run_command(name: str, folder: Path, options: Options, tell: Tell) -> tuple[int, str]:
    """Exit status and the summary for stdout; progress and reasons go to `tell`."""
    try:
        result = sweep(name, folder, options)
    except KeyboardInterrupt:
        tell(f"einfuse: interrupted; {count_finished(folder / FILE)} finished points are kept, go on with --resume")
        return INTERRUPTED, ""
    if not result.legal:
        tell(nothing_left(result))
        return NOTHING_LEFT, repr(result)
    tell(f"written: {folder / FILE}, {folder / 'points.csv'}, {folder / 'front.csv'}")
    return DONE, repr(result)


def nothing_left(result: SweepResult) -> str:
    """Why no point is left: what refuses how many."""
    found = ", ".join(f"'{kind}' refuses {count}" for kind, count in result.counts if kind != "legal")
    name = result.plan.sweep.name
    return f"einfuse: none of the {result.total} points of '{name}' is left: {found or 'there were none'}"
