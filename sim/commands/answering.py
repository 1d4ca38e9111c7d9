"""How a command ends: its exit status, a user's mistakes as sentences on stderr, tables drawn for a terminal.

Exit status: 0 done; 1 ran and the answer is no; 2 bad input; 3 a fault of einfuse itself;
130 interrupted; 141 the reader of the output has gone; 143 ended by SIGTERM.
"""

import os
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

import typer

from sim.ending import ClosingFirst, Ended, what_was_asked
from sim.load.problems import InputError, Refused, one_line

DONE, NO, BAD_INPUT, OWN_FAULT, INTERRUPTED, NO_READER = 0, 1, 2, 3, 130, 141
# Results that a program reads or a file keeps are not wrapped to a terminal's width.
WIDTH_OF_A_FILE = 160
BETWEEN_LINES_S = 5.0  # of progress, where stderr is no terminal


def answers(command: Callable[..., int | None]) -> Callable[..., None]:
    """A command that returns its exit status (None: 0), with a user's mistakes reported as sentences on stderr."""

    @wraps(command)
    def answered(*arguments: Any, **options: Any) -> None:
        try:
            with ClosingFirst():
                status = command(*arguments, **options) or DONE
                sys.stdout.flush()
        except InputError as error:
            status = said(str(error), BAD_INPUT)
        except Refused as error:
            status = said(str(error), NO)
        except Ended as error:
            status = said(str(error), error.status)
        except KeyboardInterrupt:
            status = said("einfuse: interrupted", INTERRUPTED)
        except OSError as error:
            # Buffered output has nowhere to go and must not raise an error at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            is_reader_gone = isinstance(error, BrokenPipeError)
            status = NO_READER if is_reader_gone else said(one_line(f"einfuse: cannot go on ({error})"), BAD_INPUT)
        except Exception as error:
            status = own_fault(error)
        raise typer.Exit(status)

    return answered


def own_fault(error: Exception) -> int:
    """The last door: one sentence about an error that nobody foresaw, and a file for those who mend it.

    A library that a signal interrupts may turn that into an error of its own: the program ends as it was asked to.
    """
    asked = what_was_asked()
    if asked is not None:
        return said(str(asked), asked.status)
    return said(f"einfuse: {_reported(error)}", OWN_FAULT)


def _reported(error: Exception) -> str:
    """One sentence about an error that nobody foresaw, with the file that holds the rest."""
    from arch.quantity import clipped  # late: most runs end well

    what = one_line(f"{type(error).__name__}: {clipped(str(error))}")
    text = f"einfuse {' '.join(sys.argv[1:])}\nPython {sys.version}\n\n{''.join(traceback.format_exception(error))}"
    try:
        handle, path = tempfile.mkstemp(prefix="einfuse-report-", suffix=".txt")
        with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
    except OSError:
        return f"a fault of its own ({what})"
    return f"a fault of its own ({what}); please report it with {path}"


def said(sentences: str, status: int) -> int:
    print(sentences, file=sys.stderr)
    return status


def tell(progress: str) -> None:
    print(progress, file=sys.stderr, flush=True)


@contextmanager
def at_work(on: str) -> Iterator[None]:
    """What a command is doing, on stderr while it lasts, if that is a terminal."""
    from rich.console import Console

    console = Console(stderr=True)
    if console.is_terminal:
        with console.status(on):
            yield
    else:
        yield


@contextmanager
def share_shown(name: str) -> Iterator[Callable[[float], None]]:
    """A function that hears of the share of a long run that is done. It shows it on stderr, with the time that is left:
    as a bar on a terminal, else as a line now and then.
    """
    if not sys.stderr.isatty():
        yield _ShareLines(name).hear
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(name, total=1.0)
        yield lambda share: progress.update(task, completed=share)


class _ShareLines:
    """Tells the share that is done every few seconds, and the time left at the pace since it first heard of one: what
    is compiled before does not count.
    """

    def __init__(self, name: str) -> None:
        self.name, self.start = name, time.monotonic()
        self.told = self.start
        self.first: tuple[float, float] | None = None  # when, and the share

    def hear(self, share: float) -> None:
        now = time.monotonic()
        since, before = self.first = self.first or (now, share)
        if now - self.told >= BETWEEN_LINES_S:
            self.told = now
            left = f", about {(1 - share) * (now - since) / (share - before):,.0f} s left" if share > before else ""
            tell(f"{self.name}: {share:.1%} of the run after {now - self.start:,.0f} s{left}")


def draw(title: str, tables: Any) -> None:
    """Titled tables: first column to the left, numbers to the right."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    console = Console(
        width=None if sys.stdout.isatty() else WIDTH_OF_A_FILE, highlight=False, emoji=False, markup=False
    )
    console.print(title)
    for table in tables:
        has_header = any(table.header)
        drawn = Table(box=box.SIMPLE_HEAD, show_header=has_header, title=table.title, title_justify="left")
        for i, name in enumerate(table.header):
            drawn.add_column(name, justify="right" if i else "left")
        for row in table.rows:
            drawn.add_row(*row)
        console.print(drawn)
