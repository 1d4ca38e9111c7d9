"""The data of a taxonomy: published systems and the cascades they run, classed by computed pass counts."""

from einsums.nouns import Noun


class PublishedSystem(Noun):
    """A system and the shipped cascade that it computes."""

    name: str
    cascade: str
    source: str


class Taxonomy(Noun):
    """Systems to be classed by how many passes their cascades make over one rank."""

    name: str
    description: str
    source: str
    rank: str
    systems: tuple[PublishedSystem, ...]
