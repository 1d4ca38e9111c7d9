"""When a reader must come after an earlier Einsum has traversed a rank: along axes, or by points if the rank has names.

Both orders answer the same questions of a link, an Einsum that visits the rank and one that reads: what the reader
needs of it, whether anything of the same fiber, and whether all of it at each point.
"""

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple, Protocol

from einsums.covering import Fiber, VisitedElements, is_covered
from einsums.dependence import Dependence, leaves_of
from einsums.nodes import Access, Einsum
from einsums.reaches import Kind, Reach
from einsums.relations import Relations
from einsums.walk import RankWalk
from einsums.zones import COLUMN, Distance, Zone, size_bound


class Link(NamedTuple):
    """An Einsum that visits the rank, in the pass before, and one that needs it, in this pass."""

    visit: str
    reader: str


class PassOrder(Protocol):
    """What readers need of Einsums that visit a rank, and the pass of each Einsum; asked in topological order."""

    def at_point(self, einsum: Einsum) -> Mapping[str, Collection[Any]]:
        """What a point of the Einsum needs, by the Einsum needed."""

    def through(self, access: Access, einsum: Einsum) -> Mapping[str, Collection[Any]]:
        """What a point of the Einsum needs through one of its accesses."""

    def of_output(self, name: str) -> Mapping[str, Collection[Any]]:
        """What an element that an Einsum makes needs."""

    def number_of(self, einsum: Einsum) -> int:
        """The pass of an Einsum, once those of what it needs are known."""

    def is_later(self, needs: Collection[Any], link: Link, number: int = 1) -> bool:
        """Whether the reader visits the rank and needs, at each point, all that the visit has of the fiber, in pass
        `number` or later."""


class AxisOrder:
    """By reaches along axes: the parts of the rank, and the ranks of other iterations."""

    def __init__(self, walk: RankWalk, dependence: Dependence) -> None:
        self.walk, self.dependence = walk, dependence
        self.number: dict[str, int] = {}

    def at_point(self, einsum: Einsum) -> Mapping[str, Collection[Reach]]:
        return self.dependence.at_point(einsum)

    def through(self, access: Access, einsum: Einsum) -> Mapping[str, Collection[Reach]]:
        return self.dependence.through(access)

    def of_output(self, name: str) -> Mapping[str, Collection[Reach]]:
        return self.dependence.of_output[name]

    def number_of(self, einsum: Einsum) -> int:
        number = 1
        for name, reaches in self.at_point(einsum).items():
            if name in self.walk.visiting and name in self.number and any(map(self._is_same_fiber, reaches)):
                number = max(number, self.number[name] + self.is_later(reaches, Link(name, einsum.name)))
        self.number[einsum.name] = number
        return number

    def is_later(self, needs: Collection[Reach], link: Link, number: int = 1) -> bool:
        if link.reader not in self.walk.visiting or self.number[link.visit] < number:
            return False
        leaves = len(self.walk.leaves)
        every = (reach for reach in needs if all(extent.kind is Kind.ALL for extent in reach[:leaves]))
        return any(map(self._is_same_fiber, every))

    def _is_same_fiber(self, reach: Reach) -> bool:
        """The needed points do not all belong to earlier steps of another iteration."""
        return all(extent.kind is not Kind.EARLIER for extent in reach[len(self.walk.leaves) :])


class NamedOrder:
    """By points: which element of the rank each visits under which name, and which ones conditions let it need."""

    def __init__(self, walk: RankWalk) -> None:
        self.walk, self.cascade = walk, walk.cascade
        self.relations = Relations(walk.cascade)
        self.counted = frozenset(own for name in walk.names for own in self._own(name))
        self.number: dict[str, dict[str, int]] = {}  # by Einsum and name: it may visit under one before the other
        self.tiles = Distance(0)
        for partition in self.cascade.partitions:  # a tile more or less, at each end, makes no pass
            self.tiles = self.tiles.plus(size_bound(partition.parts[1:])).plus(size_bound(partition.parts[1:]))

    def at_point(self, einsum: Einsum) -> Mapping[str, Collection[Zone]]:
        return self.relations.at_point(einsum)

    def through(self, access: Access, einsum: Einsum) -> Mapping[str, Collection[Zone]]:
        return self.relations.through(access, einsum)

    def of_output(self, name: str) -> Mapping[str, Collection[Zone]]:
        return self.relations.of_output[name]

    def number_of(self, einsum: Einsum) -> int:
        needs = {name: zones for name, zones in self.at_point(einsum).items() if name in self.number}
        names = self.walk.names_of(einsum.name)
        if names:
            self.number[einsum.name] = {name: self._number_under(einsum, name, needs) for name in names}
            return max(self.number[einsum.name].values())
        return max((max(self.number[name].values()) for name in needs), default=1)

    def _number_under(self, einsum: Einsum, name: str, needs: Mapping[str, Collection[Zone]]) -> int:
        """The pass in which the Einsum visits the rank under one of its names."""
        fiber, number = self._fiber(einsum.name, name), 1
        for visit, zones in () if fiber.is_short else needs.items():
            for other, before in self.number[visit].items():
                if before >= number and is_covered(fiber, zones, self._visit(Link(visit, einsum.name), other)):
                    number = before + 1
        return number

    def is_later(self, needs: Collection[Zone], link: Link, number: int = 1) -> bool:
        fibers = [self._fiber(link.reader, name) for name in self.walk.names_of(link.reader)]
        visits = [self._visit(link, name) for name, own in self.number.get(link.visit, {}).items() if own >= number]
        return any(is_covered(fiber, needs, visit) for fiber in fibers if not fiber.is_short for visit in visits)

    def _visit(self, link: Link, name: str) -> VisitedElements:
        return VisitedElements(name.lower(), self._fixed(link))

    def _own(self, name: str) -> frozenset[str]:
        return frozenset((name.lower(), *(leaf.lower() for leaf in leaves_of(self.cascade, name))))

    def _fiber(self, einsum: str, name: str) -> Fiber:
        return Fiber(self._own(name), name.lower(), self.relations.regions[einsum], self.tiles)

    def _fixed(self, link: Link) -> frozenset[str]:
        """Coordinates of other ranks, or of names that do not count: they say which fiber it is."""
        both = [set(self.cascade.einsum(name).variables) for name in link]
        shared = set(self.relations.coordinates(sorted(both[0] & both[1])))
        return frozenset(name for name in shared - self.counted if not name.endswith(COLUMN))
