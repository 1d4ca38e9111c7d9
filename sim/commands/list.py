"""`einfuse list`: every shipped document with a one-line description."""

from typing import Annotated

import typer

from einsums.names import near_or_all
from sim.commands.answering import answers
from sim.commands.options import refused
from sim.load.nouns import CATALOGS, read


def listing(kind: str | None) -> str:
    """The documents of a kind such as `cascades`, or of all kinds under headings. InputError for an unknown kind."""
    kinds = {f"{name}s" if not name.endswith("y") else f"{name[:-1]}ies": name for name in CATALOGS}
    if kind is not None and kind not in kinds:
        message = f"nothing that ships is called '{kind}'{near_or_all(kind, kinds)}"
        raise refused("einfuse", message)
    lines = []
    for heading in kinds if kind is None else (kind,):
        lines += [f"{heading}:"] if kind is None else []
        names = CATALOGS[kinds[heading]].names()
        width = max(map(len, names), default=0)
        lines += [f"{'  ' * (kind is None)}{name:{width}}  {describe(kinds[heading], name)}" for name in names]
    return "\n".join(lines)


def describe(kind: str, name: str) -> str:
    """A one-line description of a shipped document, taken from the document."""
    data = read(kind, name).data
    text = data.get("description") or data.get("title") or data.get("source") or ""
    return " ".join(str(text).split())


@answers
def list_command(
    kind: Annotated[str | None, typer.Argument(help="cascades, architectures, ...; all kinds by default.")] = None,
) -> None:
    """List what ships: experiments, sweeps, cascades, architectures, mappings, models, reproductions, ..."""
    print(listing(kind))
