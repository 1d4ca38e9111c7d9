"""Progress of a sweep on a terminal: a bar with rate, time left and the best point so far; otherwise nothing."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from sim.explore.watch import Silent, Watcher


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:,.0f} points/s")


class _Bar:
    def __init__(self, progress: Progress, name: str, total: int, done: int) -> None:
        self.progress = progress
        self.task = progress.add_task(name, total=total, completed=done, best="")

    def advance(self, points: int, best: str) -> None:
        self.progress.update(self.task, advance=points, best=best)


@contextmanager
def watched(name: str, total: int, done: int) -> Iterator[Watcher]:
    """A bar on stderr, if that is a terminal."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield Silent()
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[best]}"),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        yield _Bar(progress, name, total, done)
