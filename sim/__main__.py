"""The command line: `einfuse`, also `python -m sim`."""

import atexit
import gc
import io
import sys
from typing import Annotated

import typer

from sim._own_rooms import ROOT
from sim.commands.answering import DONE, own_fault
from sim.commands.late import HELP, PLAIN, LateCommand
from sim.ending import end_in_time, heed_signals, leave_if_heard

# In the order in which they are listed; each is a module of sim.commands.
COMMANDS = (
    "reproduce",
    "simulate",
    "verify",
    "passes",
    "rewrite",
    "bind",
    "map",
    "trace",
    "sweep",
    "plot",
    "bench",
    "compare",
    "check",
    "list",
)

# The number of new objects after which Python collects garbage; its default is 700.
NEW_OBJECTS = 200_000

app = typer.Typer(
    name="einfuse",
    help="Cycles, energy, traffic, area and numerical correctness of attention and transformer accelerators.",
    no_args_is_help=True,
    **HELP,
    **PLAIN,
)


def main() -> None:
    """The console script `einfuse`."""
    heed_signals()
    end_in_time()
    _spare_the_collector()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a name that the terminal cannot show is not an error
    try:
        app(prog_name="einfuse")
    except Exception as error:  # where no command has begun, such as while it is loaded
        sys.exit(own_fault(error))
    finally:
        leave_if_heard()


def _spare_the_collector() -> None:
    """Modules and compiled code live to the end, and scanning them for garbage takes a third of a short run."""
    gc.set_threshold(NEW_OBJECTS)
    atexit.register(gc.freeze)  # the rest is freed with the process


def _show_version(wanted: bool) -> None:
    if not wanted:
        return
    import tomllib
    from importlib import metadata

    try:
        version = metadata.version("einfuse")
    except metadata.PackageNotFoundError:  # run from a checkout that is not installed
        version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    print(f"einfuse {version}")
    raise typer.Exit(DONE)


@app.callback()
def einfuse(
    version: Annotated[
        bool,
        typer.Option("--version", help="Show the version and leave.", is_eager=True, callback=_show_version),
    ] = False,
) -> None:
    """Cycles, energy, traffic, area and numerical correctness of attention and transformer accelerators."""


def _stand_in() -> None:
    """The placeholder from which typer makes a late command: no options, never called."""


for _name in COMMANDS:
    app.command(_name, cls=LateCommand)(_stand_in)


if __name__ == "__main__":
    main()
