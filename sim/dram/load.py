"""From names and paths to DRAM timings: the presets of the machine's catalog, or a user's own file."""

from pathlib import Path

from arch.dram import DramTiming
from sim.catalogs import Catalog
from sim.document import Document
from sim.load import build, read_document_once
from sim.overrides import resolve_base
from sim.problems import InputError, InputProblem

DRAM_CATALOG = Catalog(Path(__file__).resolve().parents[2] / "arch" / "catalog" / "dram", "DRAM")


def load_dram(name_or_path: str, beside: Path | None = None) -> DramTiming:
    """A DRAM system by catalog name or path; InputError for anything wrong with it."""
    try:
        path = DRAM_CATALOG.find(name_or_path, beside)
    except ValueError as error:
        raise InputError([InputProblem("einfuse", None, "", str(error))]) from None
    document = read_document_once(path)

    def find(name: str) -> Document:
        return read_document_once(DRAM_CATALOG.find(name, path.parent))

    return build(resolve_base(document, find), DramTiming)
