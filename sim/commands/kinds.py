"""The kind of a document: a cascade, a machine, a mapping, ...

The kind follows from the keys: it is the noun that knows most of them, so that a misspelt key does not hide it.
"""

from pathlib import Path

from pydantic import BaseModel

from arch.dram import DramTiming
from arch.energy import Technology
from arch.operator_table import OperatorTable
from arch.types import Architecture
from einsums.model import Model
from einsums.names import nearest, nearest_name
from einsums.taxonomy import Taxonomy
from einsums.types import Cascade
from mappings.types import Mapping
from sim.commands.options import refused
from sim.design.assemble import PARTS, Workpoint
from sim.explore.sweep import Sweep
from sim.load.document import Document
from sim.load.files import LARGEST_DOCUMENT, is_file, read_text
from sim.load.foreign import foreign_kind
from sim.load.nouns import CATALOGS, read_document_once
from sim.load.problems import InputError, InputProblem
from sim.reproduction.evaluation import Reproduction

NOUNS: dict[str, type[BaseModel]] = {
    "cascade": Cascade,
    "architecture": Architecture,
    "mapping": Mapping,
    "model": Model,
    "technology": Technology,
    "timing": DramTiming,
    "operator table": OperatorTable,
    "taxonomy": Taxonomy,
    "experiment": Workpoint,
    "reproduction": Reproduction,
    "sweep": Sweep,
}
# Keys that every kind has do not distinguish kinds.
COMMON = frozenset(("name", "description", "source", "base", "set"))


def kind_of(document: Document) -> str:
    """The kind whose keys the document uses most, if any; with a base, among the kinds that its base may have."""
    data = document.data
    changes = data.get("set")
    heads = [str(key).partition(".")[0] for key in (*data, *(changes if isinstance(changes, dict) else ()))]
    own = set(heads) - COMMON
    scores = {kind: len(own & keys_of(kind)) for kind in NOUNS}
    of_base = _kinds_of_base(document) if "base" in data else ()
    # Ties go to the kind for which the other keys may be misspellings.
    near = {kind: sum(bool(nearest_name(key, keys_of(kind))) for key in own) for kind in of_base}
    best = max(of_base or NOUNS, key=lambda kind: (scores[kind], near.get(kind, 0)))
    return best if scores[best] or of_base else ""


def expect_kind(name: str, *wanted: str) -> None:
    """InputError if a name or path denotes a document of another kind than those wanted, which may be kinds of files
    that are no documents.

    Names that denote nothing, and files with problems of their own, are left to whoever loads them.
    """
    if any(name in CATALOGS[kind].names() for kind in wanted if kind in CATALOGS):
        return
    expected = " or ".join(map(_with_article, wanted))
    others = [kind for kind in NOUNS if name in CATALOGS[kind].names()]
    if others:
        found = " and ".join(map(_with_article, others))
        raise InputError([InputProblem("einfuse", None, "", f"'{name}' is {found}, expected {expected}")])
    if wanted[0] not in CATALOGS and (program := _foreign(Path(name))) and program not in map(_with_article, wanted):
        raise InputError([InputProblem(name, None, "", f"is {program}, expected {expected}")])
    try:
        path = CATALOGS[wanted[0]].find(name) if wanted[0] in CATALOGS else Path(name)
        kind = kind_of(read_document_once(path)) if is_file(path) else ""
    except ValueError:
        return
    if kind and kind not in wanted:
        message = f"is {_with_article(kind)}, expected {expected}"
        raise InputError([InputProblem(str(path), None, "", message)])


def _foreign(path: Path) -> str:
    """The program whose file it is; empty if it is none that is known, or cannot be read."""
    try:
        return foreign_kind(read_text(path, "text", LARGEST_DOCUMENT))
    except InputError:
        return ""


def _with_article(kind: str) -> str:
    return f"an {kind}" if kind[0] in "aeiou" else f"a {kind}"


def keys_of(kind: str) -> frozenset[str]:
    """The keys of a kind that are not common to all kinds."""
    fields = NOUNS[kind].model_fields.items()
    keys = {field.alias or name for name, field in fields}
    return frozenset(keys | set(PARTS if kind == "experiment" else ())) - COMMON


def _kinds_of_base(document: Document) -> tuple[str, ...]:
    """Kinds with a shipped document of that name; for a path, the kind of the document there."""
    name, found = str(document.data["base"]), []
    for kind, catalog in CATALOGS.items():
        try:
            path = catalog.find(name, Path(document.file).parent)
            base = read_document_once(path)
        except ValueError:
            continue
        if name in catalog.names():
            found.append(kind)
        elif "base" not in base.data:
            found.append(kind_of(base) or kind)
    return tuple(kind for kind in dict.fromkeys(found) if kind in NOUNS)


def is_cascade(name: str) -> bool:
    """Whether a name denotes a cascade: a shipped one that is not an experiment, or a file with a cascade's keys."""
    experiments, cascades = CATALOGS["experiment"].names(), CATALOGS["cascade"].names()
    try:
        path = CATALOGS["experiment"].find(name)
    except ValueError:
        if name in cascades:
            return True
        known = (*experiments, *cascades)
        message = f"no experiment or cascade called '{name}'{nearest(name, known)}"
        shipped = f"; shipped: {', '.join(experiments)}; and the cascades {', '.join(cascades)}"
        raise refused("einfuse", message + shipped) from None
    return name not in experiments and is_file(path) and kind_of(read_document_once(path)) == "cascade"
