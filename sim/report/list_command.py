"""What `einfuse list` says: the documents that ship, by kind, each with one line about itself."""

from collections.abc import Iterator

from sim.load import CATALOGS, read
from sim.problems import InputError, InputProblem
from sim.suggest import near_or_all


def iter_listing(kind: str | None) -> Iterator[str]:
    """Lines for one kind, or for all of them under headings; InputError for an unknown kind."""
    kinds = {f"{name}s" if not name.endswith("y") else f"{name[:-1]}ies": name for name in CATALOGS}
    if kind is not None and kind not in kinds:
        message = f"nothing that ships is called '{kind}'{near_or_all(kind, kinds)}"
        raise InputError([InputProblem("einfuse", None, "", message)])
    for heading in kinds if kind is None else (kind,):
        if kind is None:
            yield f"{heading}:"
        names = CATALOGS[kinds[heading]].names()
        width = max(map(len, names), default=0)
        for name in names:
            yield f"{'  ' * (kind is None)}{name:{width}}  {describe(kinds[heading], name)}"


def describe(kind: str, name: str) -> str:
    """One line about a shipped document, by what it says of itself."""
    data = read(kind, name).data
    text = data.get("description") or data.get("title") or data.get("source") or ""
    return " ".join(str(text).split())
