"""From names and paths to nouns: cascades, models, machines, mappings, technologies, tables that components name.

A document may have a `base` and change parts of it with `set`; positions survive, so that every error names the file,
line and path where the wrong value was written. Documents and nouns are cached while their files and text stay the
same.
"""

import csv
import io
import re
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel

from arch.dram import DramTiming
from arch.energy import Technology, resolve_technology
from arch.operator_table import OperatorTable
from arch.types import Architecture
from einsums.model import Model
from einsums.types import Cascade
from mappings.types import Mapping
from sim.load.catalogs import Catalog
from sim.load.closed import iter_unresolved
from sim.load.document import Document, read_document
from sim.load.files import LARGEST_TABLE, read_text, stamp_of
from sim.load.overrides import lay_in, resolve_base
from sim.load.problems import InputError, InputProblem
from sim.load.structure import structure

_ROOT = Path(__file__).resolve().parents[2]
DEFAULT = "default"  # in place of a mapping's name: one that is made for the cascade and the machine
CATALOGS = {
    "cascade": Catalog(_ROOT / "einsums" / "catalog", "cascade"),
    "taxonomy": Catalog(_ROOT / "einsums" / "catalog" / "taxonomy", "taxonomy"),
    "model": Catalog(_ROOT / "einsums" / "catalog" / "models", "model"),
    "architecture": Catalog(_ROOT / "arch" / "catalog", "architecture"),
    "technology": Catalog(_ROOT / "arch" / "catalog" / "technologies", "technology"),
    "timing": Catalog(_ROOT / "arch" / "catalog" / "dram", "DRAM timing"),
    "operator table": Catalog(_ROOT / "arch" / "catalog" / "operators", "operator table"),
    "mapping": Catalog(_ROOT / "mappings" / "catalog", "mapping", (DEFAULT,)),
    "experiment": Catalog(_ROOT / "sim" / "catalog" / "experiments", "experiment"),
    "reproduction": Catalog(_ROOT / "sim" / "catalog" / "reproductions", "reproduction"),
    "sweep": Catalog(_ROOT / "sim" / "catalog" / "sweeps", "sweep"),
}

# Keys of a component whose value may be the name of a document, and of which kind.
NAMED_BY_COMPONENTS = {"timing": "timing", "operators": "operator table"}
Noun = TypeVar("Noun", bound=BaseModel)
_OF_MEMORY = re.compile(r"memory '([^']*)': ")


def read(kind: str, name_or_path: str, beside: Path | None = None) -> Document:
    """The document of a shipped name or a path, its base resolved; InputError for anything wrong with its text."""
    try:
        path = CATALOGS[kind].find(name_or_path, beside)
    except ValueError as error:
        raise InputError([InputProblem("einfuse", None, "", str(error))]) from None
    return resolved(kind, read_document_once(path))


def with_tables(document: Document, inside: tuple[str, ...] = ()) -> Document:
    """A machine's document, found under the keys `inside`, with what its components name inlined: the timing of a DRAM,
    the operators of an array.
    """
    components = document.data
    for key in (*inside, "components"):
        components = components.get(key) if isinstance(components, dict) else None
    for name, component in components.items() if isinstance(components, dict) else ():
        for key, kind in NAMED_BY_COMPONENTS.items() if isinstance(component, dict) else ():
            if isinstance(component.get(key), str):
                document = _with_table(document, (*inside, "components", name, key), kind, component[key])
    return document


def _with_table(document: Document, steps: tuple[str, ...], kind: str, wanted: str) -> Document:
    try:
        path = CATALOGS[kind].find(wanted, Path(document.place(steps).file).parent)
    except ValueError as error:
        raise InputError([document.problem(steps, str(error))]) from None
    return lay_in(document, steps, resolved(kind, read_document_once(path)))


def resolved(kind: str, document: Document) -> Document:
    """The document with its base and changes applied; bases are looked up next to it and in the catalog."""

    def find(name: str) -> Document:
        return read_document_once(CATALOGS[kind].find(name, Path(document.file).parent))

    whole = resolve_base(document, find)
    return with_tables(whole) if kind == "architecture" else whole


def read_document_once(path: Path) -> Document:
    """As `read_document`, cached while the file stays the same."""
    stamp = stamp_of(path)
    return read_document(path) if stamp is None else _read_stamped(path, stamp)


@lru_cache(maxsize=256)
def _read_stamped(path: Path, _stamp: tuple[int, ...]) -> Document:
    return read_document(path)


def build(document: Document, noun: type[Noun]) -> Noun:
    """The noun of a document, every name in it resolved; InputError with all of its problems."""
    built = structure(document, noun)
    problems = [document.problem(path, message) for path, message in iter_unresolved(built)]
    if problems:
        raise InputError(problems)
    return built


def build_architecture(document: Document) -> Architecture:
    """A machine with every memory priced."""
    machine = build(document, Architecture)
    try:
        return resolve_technology(machine, _technologies(machine))
    except InputError:
        raise
    except ValueError as error:
        # The sentence begins with the memory, whose technology is at fault.
        named = _OF_MEMORY.match(str(error))
        path = ("components", named[1], "technology") if named else ()
        raise InputError([document.problem(path, str(error))]) from None


def _technologies(machine: Architecture) -> list[Technology]:
    shipped = CATALOGS["technology"].names()
    wanted = {memory.technology for memory in machine.memories if memory.technology is not None}
    return [load_technology(name) for name in sorted(wanted) if name in shipped] or [
        load_technology(name) for name in shipped
    ]


def load_technology(name_or_path: str) -> Technology:
    """A table of memory energies and areas."""
    try:
        stamp = stamp_of(CATALOGS["technology"].find(name_or_path))
    except ValueError:  # reported by whoever reads it
        stamp = None
    return _technology_once(name_or_path, stamp)


@lru_cache(maxsize=64)
def _technology_once(name_or_path: str, _stamp: tuple[int, ...] | None) -> Technology:
    return build(read("technology", name_or_path), Technology)


def technology_stamps() -> tuple[tuple[int, ...] | None, ...]:
    """What changes whenever one of the shipped tables does, so that machines priced by them are made again."""
    catalog = CATALOGS["technology"]
    return tuple(stamp_of(catalog.find(name)) for name in catalog.names())


def load_dram(name_or_path: str, beside: Path | None = None) -> DramTiming:
    """A DRAM system by catalog name or path; InputError for anything wrong with it."""
    return build(read("timing", name_or_path, beside), DramTiming)


def load_operators(name_or_path: str) -> OperatorTable:
    """A table of operations by catalog name or path; InputError for anything wrong with it."""
    return build(read("operator table", name_or_path), OperatorTable)


def load_cascade(name_or_path: str, beside: Path | None = None) -> Cascade:
    """A cascade by catalog name or path; InputError for anything wrong with it."""
    return build(read("cascade", name_or_path, beside), Cascade)


def load_model(name_or_path: str) -> Model:
    """The dimensions of a model by catalog name or path."""
    return build(read("model", name_or_path), Model)


def load_architecture(name_or_path: str) -> Architecture:
    """A machine by catalog name or path, its memories priced."""
    return build_architecture(read("architecture", name_or_path))


def load_mapping(name_or_path: str) -> Mapping:
    """A mapping by catalog name or path; whether it is legal shows when it meets a cascade and a machine."""
    return build(read("mapping", name_or_path), Mapping)


def read_table(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file; InputError when it cannot be read or a row is short."""
    text = read_text(path, "a table (CSV)", LARGEST_TABLE)
    rows: list[dict[str, str]] = []
    reader = csv.DictReader(io.StringIO(text, newline=""))
    try:
        for row in reader:
            if None in row or None in row.values():
                message = "the row has not as many values as the header"
                raise InputError([InputProblem(str(path), reader.line_num, "", message)])
            rows.append(row)
    except csv.Error as error:
        raise InputError([InputProblem(str(path), None, "", f"cannot be read as a table ({error})")]) from None
    columns = list(reader.fieldnames or ())
    if twice := [name for name in columns if columns.count(name) > 1]:
        raise InputError([InputProblem(str(path), 1, "", f"two columns are called '{twice[0]}'")])
    return rows
