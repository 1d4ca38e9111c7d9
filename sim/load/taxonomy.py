"""YAML to taxonomies: which published system runs which cascade."""

from pathlib import Path

from einsums.names import near_or_all
from einsums.taxonomy import Taxonomy
from sim.load.document import Document
from sim.load.nouns import CATALOGS, build, load_cascade, read
from sim.load.problems import InputError, InputProblem


def load_taxonomy(name_or_path: str) -> Taxonomy:
    """A taxonomy by catalog name or path; InputError for anything wrong with it."""
    return build_taxonomy(read("taxonomy", name_or_path))


def build_taxonomy(document: Document) -> Taxonomy:
    """The taxonomy of a document, its cascades found and its rank one of theirs."""
    taxonomy = build(document, Taxonomy)
    problems: list[InputProblem] = []
    for i, system in enumerate(taxonomy.systems):
        place = ("systems", i, "cascade")
        beside = Path(document.place(place).file).parent
        try:
            CATALOGS["cascade"].find(system.cascade, beside)
        except ValueError as error:
            problems.append(document.problem(place, str(error)))
            continue
        cascade = load_cascade(system.cascade, beside)
        ranks = tuple(dict.fromkeys(map(cascade.root_of, cascade.leaf_ranks())))
        if taxonomy.rank not in ranks:
            message = f"'{cascade.name}' has no rank '{taxonomy.rank}'{near_or_all(taxonomy.rank, ranks)}"
            problems.append(document.problem(place, message))
    if problems:
        raise InputError(problems)
    return taxonomy
