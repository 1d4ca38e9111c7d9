"""The command line: `einfuse`, also `python -m sim`."""

import io
import sys
import tomllib
from collections.abc import Callable
from importlib import metadata
from typing import Annotated, Any

import typer

from sim._own_rooms import ROOT
from sim.commands import cascades, designs, exploring, gpu
from sim.commands.answering import DONE

app = typer.Typer(
    name="einfuse",
    help="Cycles, energy, traffic, area and numerical correctness of attention and transformer accelerators.",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def main() -> None:
    """The console script `einfuse`."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a name that the terminal cannot show is no failure
    app(prog_name="einfuse")


def _show_version(wanted: bool) -> None:
    if not wanted:
        return
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


COMMANDS: dict[str, Callable[..., None]] = {
    "reproduce": designs.reproduce_command,
    "simulate": designs.simulate_command,
    "verify": designs.verify_command,
    "passes": cascades.passes_command,
    "rewrite": cascades.rewrite_command,
    "bind": designs.bind_command,
    "trace": designs.trace_command,
    "sweep": exploring.sweep_command,
    "plot": exploring.plot_command,
    "bench": gpu.bench_command,
    "compare": gpu.compare_command,
    "check": designs.check_command,
    "list": designs.list_command,
}
# The benchmark reads its own options, so that it also runs where typer is not installed.
SETTINGS: dict[str, Any] = {
    "bench": {"add_help_option": False, "context_settings": {"ignore_unknown_options": True}},
}
for _name, _command in COMMANDS.items():
    app.command(_name, **SETTINGS.get(_name, {}))(_command)


if __name__ == "__main__":
    main()
