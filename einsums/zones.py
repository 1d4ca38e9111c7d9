"""Zones: sets of coordinates given by bounds on differences, `left - right <= bound`, with sizes of ranks as symbols.

The bounds that follow from others are made when a coordinate is eliminated, which is exact for such sets. Sizes are
taken to be large: W - 1 and W bound alike, W and 2*W do not. A set that is empty is None.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

from einsums.nodes import Term

START, END = "0", "$"  # the first and the last coordinate of every rank
FAR = "^"  # marks the coordinates of an earlier Einsum
COLUMN = "%"  # m0%: any one of the coordinates that lie at m0 in their tile; two of these need not be near each other

Sizes = tuple[tuple[tuple[str, ...], int], ...]


class Distance(NamedTuple):
    """A number and multiples of products of rank sizes."""

    offset: int
    sizes: Sizes = ()

    @property
    def is_negative(self) -> bool:
        """Below 0, whatever the sizes."""
        return self.offset + sum(times for _, times in self.sizes) < 0 and all(times <= 0 for _, times in self.sizes)

    def plus(self, other: "Distance") -> "Distance":
        """The sum."""
        if not self.sizes or not other.sizes:
            return Distance(self.offset + other.offset, self.sizes or other.sizes)
        found = dict(self.sizes)
        for ranks, times in other.sizes:
            found[ranks] = found.get(ranks, 0) + times
        return Distance(self.offset + other.offset, tuple(sorted(item for item in found.items() if item[1])))

    def times(self, number: int) -> "Distance":
        """A multiple."""
        return Distance(number * self.offset, tuple((ranks, number * times) for ranks, times in self.sizes if number))

    def is_within(self, other: "Distance", slack: int = 0) -> bool:
        """At most the other, whatever the sizes; where these are the same, up to a slack."""
        if self.sizes == other.sizes:
            return self.offset <= other.offset + slack
        more = dict(other.sizes)
        return all(times <= more.get(ranks, 0) for ranks, times in self.sizes) and all(
            times >= 0 for ranks, times in other.sizes if ranks not in dict(self.sizes)
        )


NOTHING = Distance(0)


class Difference(NamedTuple):
    """left - right <= bound."""

    left: str
    right: str
    bound: Distance


Zone = frozenset[Difference]


def size_bound(ranks: Iterable[str], offset: int = 0) -> Distance:
    """A product of rank sizes and a number."""
    return Distance(offset, ((tuple(sorted(ranks)), 1),))


def bound_of(offset: int, sizes: Iterable[Term]) -> Distance:
    """The constant part of an index."""
    found = Distance(offset)
    for term in sizes:
        found = found.plus(Distance(0, ((tuple(sorted(term.scale_ranks)), term.scale),)))
    return found


def equal(left: str, right: str, more: Distance = NOTHING) -> tuple[Difference, Difference]:
    """left = right + more."""
    return Difference(left, right, more), Difference(right, left, more.times(-1))


def zone_of(lines: Iterable[Difference]) -> Zone | None:
    """The tightest of the lines between each two coordinates; None if one of them cannot hold."""
    found: dict[tuple[str, str], list[Distance]] = {}
    for left, right, bound in lines:
        if left == right:
            if not left.endswith(COLUMN) and bound.is_negative:
                return None
            continue
        if left.endswith(COLUMN) or right.endswith(COLUMN):
            if bound.offset:
                continue
            bound = NOTHING  # a tile further is the same column
        here = found.get((left, right))
        if here is None:
            found[left, right] = [bound]
        elif bound not in here and not any(other.is_within(bound) for other in here):
            here[:] = [*(other for other in here if not bound.is_within(other)), bound]
    return frozenset(Difference(left, right, bound) for (left, right), bounds in found.items() for bound in bounds)


def renamed(zone: Zone, names: Mapping[str, str]) -> Zone:
    """Under other names of coordinates."""
    if not names:
        return zone
    return frozenset(Difference(names.get(a, a), names.get(b, b), bound) for a, b, bound in zone)


def without(lines: Zone | None, gone: Iterable[str]) -> Zone | None:
    """What the lines say of the other coordinates if those in `gone` may lie anywhere."""
    for name in gone:
        if lines is None:
            return None
        below = [line for line in lines if line.right == name]
        above = [line for line in lines if line.left == name]
        if name.endswith(COLUMN):
            lines = frozenset(line for line in lines if name not in line[:2])
        elif below or above:
            rest = [line for line in lines if name not in line[:2]]
            through = [Difference(a, b, one.plus(other)) for a, _, one in below for _, b, other in above]
            lines = zone_of((*rest, *through))
    return lines


def names_in(zone: Zone) -> set[str]:
    """All coordinates that lines speak of."""
    return {name for line in zone for name in line[:2]}


def closed(zone: Zone) -> Zone | None:
    """With every line that follows from others."""
    found: Zone | None = zone
    for name in sorted(name for name in names_in(zone) if not name.endswith(COLUMN)):
        if found is None:
            return None
        below = [line for line in found if line.right == name]
        above = [line for line in found if line.left == name]
        found = zone_of((*found, *(Difference(a, b, one.plus(other)) for a, _, one in below for _, b, other in above)))
    return found


def implies(zone: Collection[Difference], line: Difference, slack: int = 0) -> bool:
    """Whether a closed zone says what the line says, with a slack of some coordinates."""
    if line.left == line.right:
        return NOTHING.is_within(line.bound, slack)
    return any(a == line.left and b == line.right and bound.is_within(line.bound, slack) for a, b, bound in zone)


def is_inside(one: Zone, other: Zone) -> bool:
    """Whether all that the other zone says is said by one."""
    return other <= one or all(implies(one, line) for line in other)


def simplified(zones: Iterable[Zone]) -> frozenset[Zone]:
    """Zones inside others left out."""
    kept: list[Zone] = []
    for zone in sorted(set(zones), key=sorted):
        if not any(is_inside(zone, other) for other in kept):
            kept = [*(other for other in kept if not is_inside(other, zone)), zone]
    return frozenset(kept)
