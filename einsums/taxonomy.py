"""Published systems named by the cascade they run: the data of a taxonomy, whose classes are computed pass counts."""

from einsums.nodes import Noun


class PublishedSystem(Noun):
    """A system and the shipped cascade that says what it computes."""

    name: str
    cascade: str
    source: str


class Taxonomy(Noun):
    """Systems to be classed by the passes of their cascades over one rank."""

    name: str
    description: str
    source: str
    rank: str
    systems: tuple[PublishedSystem, ...]
