"""When a reader must come after an earlier Einsum has traversed a rank: along axes, or by points where the rank has names.

Both orders answer the same questions of a link, an Einsum that visits the rank and one that reads: what the reader needs of
it, whether anything of the same fiber, and whether all of it at each point.
"""

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple, Protocol

from einsums.covering import Fiber, Visit, is_covered
from einsums.dependence import Dependence, leaves_of
from einsums.nodes import Access, Einsum
from einsums.reaches import Kind, Reach
from einsums.relations import Relations
from einsums.walk import Walk
from einsums.zones import COLUMN, Bound, Zone, size_bound


class Link(NamedTuple):
    """An Einsum that visits the rank, in the pass before, and one that needs it, in this pass."""

    visit: str
    reader: str


class Order(Protocol):
    """What readers need of Einsums that visit a rank."""

    def at_point(self, einsum: Einsum) -> Mapping[str, Collection[Any]]:
        """What a point of the Einsum needs, by the Einsum needed."""

    def through(self, access: Access, einsum: Einsum) -> Mapping[str, Collection[Any]]:
        """What a point of the Einsum needs through one of its accesses."""

    def of_output(self, name: str) -> Mapping[str, Collection[Any]]:
        """What an element that an Einsum makes needs."""

    def is_after(self, needs: Collection[Any], link: Link) -> bool:
        """Whether the reader is in no earlier pass than the visit."""

    def is_later(self, needs: Collection[Any], link: Link) -> bool:
        """Whether the reader visits the rank and needs, at each point, all that the visit has of the fiber."""


class AxisOrder:
    """By reaches along axes: the parts of the rank, and the ranks of other iterations."""

    def __init__(self, walk: Walk, dependence: Dependence) -> None:
        self.walk, self.dependence = walk, dependence

    def at_point(self, einsum: Einsum) -> Mapping[str, Collection[Reach]]:
        return self.dependence.at_point(einsum)

    def through(self, access: Access, einsum: Einsum) -> Mapping[str, Collection[Reach]]:
        return self.dependence.through(access)

    def of_output(self, name: str) -> Mapping[str, Collection[Reach]]:
        return self.dependence.of_output[name]

    def is_after(self, needs: Collection[Reach], link: Link) -> bool:
        return any(map(self._is_same_fiber, needs))

    def is_later(self, needs: Collection[Reach], link: Link) -> bool:
        return link.reader in self.walk.visiting and any(
            self._is_same_fiber(reach) and all(e.kind is Kind.ALL for e in reach[: len(self.walk.leaves)])
            for reach in needs
        )

    def _is_same_fiber(self, reach: Reach) -> bool:
        """The needed points do not all belong to earlier steps of another iteration."""
        return all(extent.kind is not Kind.EARLIER for extent in reach[len(self.walk.leaves) :])


class NamedOrder:
    """By points: which element of the rank each one visits under which name, and which ones its condition lets it need."""

    def __init__(self, walk: Walk) -> None:
        self.walk, self.cascade = walk, walk.cascade
        self.relations = Relations(walk.cascade)
        self.counted = frozenset(own for name in walk.names for own in self._own(name))
        self.tiles = Bound(0)
        for partition in self.cascade.partitions:  # a tile more or less, at each end, makes no pass
            self.tiles = self.tiles.plus(size_bound(partition.parts[1:])).plus(size_bound(partition.parts[1:]))

    def at_point(self, einsum: Einsum) -> Mapping[str, Collection[Zone]]:
        return self.relations.at_point(einsum)

    def through(self, access: Access, einsum: Einsum) -> Mapping[str, Collection[Zone]]:
        return self.relations.through(access, einsum)

    def of_output(self, name: str) -> Mapping[str, Collection[Zone]]:
        return self.relations.of_output[name]

    def is_after(self, needs: Collection[Zone], link: Link) -> bool:
        return link.reader not in self.walk.visiting

    def is_later(self, needs: Collection[Zone], link: Link) -> bool:
        if link.reader not in self.walk.visiting:
            return False
        fibers = [self._fiber(link.reader, name) for name in self.walk.names_of(link.reader)]
        visits = [Visit(name.lower(), self._fixed(link)) for name in self.walk.names_of(link.visit)]
        return any(is_covered(fiber, needs, visit) for fiber in fibers if not fiber.is_short for visit in visits)

    def _own(self, name: str) -> frozenset[str]:
        return frozenset((name.lower(), *(leaf.lower() for leaf in leaves_of(self.cascade, name))))

    def _fiber(self, einsum: str, name: str) -> Fiber:
        return Fiber(self._own(name), name.lower(), self.relations.regions[einsum], self.tiles)

    def _fixed(self, link: Link) -> frozenset[str]:
        """Coordinates of other ranks, or of names that do not count: they say which fiber it is."""
        both = [set(self.cascade.einsum(name).variables) for name in link]
        shared = set(self.relations.coordinates(sorted(both[0] & both[1])))
        return frozenset(name for name in shared - self.counted if not name.endswith(COLUMN))
