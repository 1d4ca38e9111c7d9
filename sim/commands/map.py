"""`einfuse map`: the mapping of a cascade on a machine, derived and written out as a file to edit."""

import json
import os
from pathlib import Path
from typing import Annotated, Any

import typer

from arch.types import Architecture
from einsums.types import Cascade
from mappings.default import default_mapping
from sim.commands.answering import answers
from sim.commands.kinds import is_cascade
from sim.commands.options import Changes, JsonForTables, expecting, parse_changes, refused, write_output
from sim.design.assemble import load_experiment
from sim.load.nouns import CATALOGS, DEFAULT, load_architecture, load_cascade
from sim.load.text import mapping_text

SCHEMA = "einfuse-map-1"


def mapping_of(name: str, machine: str | None, changes: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The default mapping of a cascade or of an experiment's, as a file in `folder` would say it. InputError for
    anything wrong.
    """
    if is_cascade(name):
        if machine is None:
            raise refused("--on", f"'{name}' is a cascade: say on which machine, as in --on h100-sxm")
        if changes:
            raise refused("--set", f"'{name}' is a cascade, which has no values to set: name an experiment")
        return _derived(load_cascade(name), load_architecture(machine), _seen_from(name, folder), {})
    chosen = {"mapping": DEFAULT} | ({"architecture": machine} if machine is not None else {})
    design = load_experiment(name, {**chosen, **changes})
    return _derived(design.cascade, design.architecture, design.cascade.name, dict(design.sizes))


def _derived(cascade: Cascade, machine: Architecture, named: str, sizes: dict[str, int]) -> dict[str, Any]:
    try:
        return default_mapping(cascade, machine, named, sizes)
    except ValueError as error:
        raise refused("einfuse", str(error)) from None


def _seen_from(name: str, folder: Path) -> str:
    """A cascade's name, or its path from the folder of the mapping."""
    return name if name in CATALOGS["cascade"].names() else Path(os.path.relpath(name, folder)).as_posix()


@answers
def map_command(
    name: Annotated[str, typer.Argument(help="A cascade or an experiment, shipped or by path.")],
    on: Annotated[str | None, typer.Option("--on", help="The machine; that of the experiment by default.")] = None,
    default: Annotated[
        bool, typer.Option("--default", help="Einsum by Einsum, with the largest tiles that fit.")
    ] = False,
    changes: Changes = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Write the mapping here.")] = None,
    as_json: JsonForTables = False,
) -> None:
    """Derive the mapping of a cascade on a machine, and write it out."""
    if not default:
        raise refused("einfuse", "expected --default: the mapping in which every Einsum runs by itself")
    folder = Path() if output is None else output.parent
    with expecting(name, "cascade", "experiment"), expecting(on, "architecture"):
        mapping = mapping_of(name, on, parse_changes(changes), folder)
    if output is not None:
        write_output("--output", output, mapping_text(mapping).encode())
    if as_json:
        print(json.dumps({"schema": SCHEMA, "mapping": mapping}, indent=2, allow_nan=False))
    elif output is None:
        print(mapping_text(mapping), end="")
