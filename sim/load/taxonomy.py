"""YAML to taxonomies: which published system runs which cascade."""

from pathlib import Path

import einsums
from einsums.taxonomy import Taxonomy
from sim.load.document import read_document
from sim.load.nouns import build

FOLDER = Path(einsums.__file__).parent / "catalog" / "taxonomy"


def load_taxonomy(name: str) -> Taxonomy:
    """A shipped taxonomy; InputError for anything wrong with it."""
    return build(read_document(FOLDER / f"{name}.yaml"), Taxonomy)
