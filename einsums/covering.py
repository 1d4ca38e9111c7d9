"""Whether a reader needs all that it visits in a fiber: needs as zones (`relations`) against the points of the reader.

A reader visits elements of a rank under a name, in a fiber at fixed other coordinates. It is in a further pass than an
earlier Einsum if nearly each of its elements needs nearly all of them among what the earlier one visited of the same
fiber. Of needs in several zones, some may be parts of a longer one: what lies up to here and what lies from here on
are all.
"""

from collections.abc import Collection, Iterator
from typing import NamedTuple

from einsums.zones import (
    COLUMN,
    END,
    FAR,
    START,
    Difference,
    Distance,
    Zone,
    closed,
    equal,
    implies,
    names_in,
    renamed,
    without,
    zone_of,
)

SLACK = 2  # steps of an iteration read one late, twice: they make no pass
_ELEMENT = "*"


class Fiber(NamedTuple):
    """What a reader visits under one name: `own` coordinates move, `whole` is the one that counts elements."""

    own: frozenset[str]
    whole: str
    regions: tuple[Zone, ...]
    tiles: Distance = Distance(0)

    def around(self) -> Iterator[Zone]:
        """Another element of the fiber and a point of the reader, for each alternative."""
        regions = [_plain(zone) for zone in self.regions]
        for one in regions:
            names = {name: name + _ELEMENT for name in self.own}
            there = (Difference(names.get(a, a), names.get(b, b), bound) for a, b, bound in one)
            for here in regions:
                both = zone_of((*there, *here))
                both = without(both, [name for name in names.values() if name != self.whole + _ELEMENT])
                full = None if both is None else closed(both)
                if full is not None:
                    yield full

    @property
    def is_short(self) -> bool:
        """Whether there is at most one element in it."""
        return all(_is_one(full, self.whole) for full in self.around())


def _is_one(full: Zone, whole: str) -> bool:
    element = whole + _ELEMENT
    ends = {line.right: line.bound for line in full if line.left == element and not line.bound.sizes}
    return any(implies(full, Difference(end, element, bound.times(-1))) for end, bound in ends.items())


class VisitedElements(NamedTuple):
    """Elements that an earlier Einsum visits, by its coordinate `whole`; and the coordinates `same` at which it must be
    where the reader is for their fiber to be one."""

    whole: str
    same: frozenset[str]


def is_covered(fiber: Fiber, needs: Collection[Zone], visit: VisitedElements) -> bool:
    """Whether each point needs all elements of its fiber among those visited."""
    spans = _joined([span for zone in needs if (span := _span(zone, visit)) is not None])
    around = tuple(fiber.around())
    return bool(around) and all(any(_is_all(full, span, fiber) for span in spans) for full in around)


def _span(zone: Zone, visit: VisitedElements) -> Zone | None:
    """What is needed of the elements, in the same fiber, as lines of `*` and the reader's coordinates."""
    element = FAR + visit.whole
    both = zone_of((*zone, *(line for name in sorted(visit.same) for line in equal(FAR + name, name))))
    if both is None:
        return None
    span = without(both, sorted(name for name in names_in(both) if name.startswith(FAR) and name != element))
    if span is None or _is_column(span, element):
        return None
    return renamed(_plain(span), {element: _ELEMENT})


def _plain(zone: Zone) -> Zone:
    """Without what it says of columns."""
    return frozenset(line for line in zone if not any(name.endswith(COLUMN) for name in line[:2]))


def _is_column(span: Zone, element: str) -> bool:
    """Whether only one element of each tile is needed."""
    names = {line.right for line in span if line.left == element and line.right.endswith(COLUMN)}
    return any(line.right == element and line.left in names for line in span)


def _is_all(full: Zone, span: Zone, fiber: Fiber) -> bool:
    element = fiber.whole + _ELEMENT
    tiles = fiber.tiles
    for left, right, bound in span:
        if (right == END or left == START) and Distance(-SLACK).is_within(bound):
            continue  # nothing lies beyond the ends
        line = Difference(element if left == _ELEMENT else left, element if right == _ELEMENT else right, bound)
        if not implies(full, line, SLACK) and not implies(full, line._replace(bound=bound.plus(tiles)), SLACK):
            return False
    return True


def _joined(spans: list[Zone]) -> list[Zone]:
    """Spans, and those that two of them make together where one goes on where the other ends."""
    found = list(dict.fromkeys(spans))
    for one in found:  # grows while it is walked
        for other in tuple(found):
            for first, second in ((one, other), (other, one)):
                union = _union(first, second)
                if union is not None and union not in found:
                    found.append(union)
    return found


def _union(first: Zone, second: Zone) -> Zone | None:
    """All up to the end of the second, if that begins no later than just behind the end of the first."""
    rest = [line for line in first if line.left != _ELEMENT] + [line for line in second if line.right != _ELEMENT]
    ends = [line for line in first if line.left == _ELEMENT]
    begins = [line for line in second if line.right == _ELEMENT]
    around = [line for line in rest if _ELEMENT not in line[:2]]
    for end in ends:
        for begin in begins:
            gap = end.bound.plus(begin.bound).plus(Distance(1))
            if not implies(around, Difference(begin.left, end.right, gap), SLACK):
                return None
    return zone_of(rest)
