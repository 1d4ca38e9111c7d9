"""Reaches: which coordinates along an axis are needed, relative to a point, and how such needs compose.

    LOCAL    those at the point's own coordinate, or a few beside it in an index such as h+r
    WINDOW   those at most a bounded distance away, which a condition chooses
    EARLIER  those before it
    UPTO     those before it and its own
    FROM     its own and those after it
    FIXED    those at a constant coordinate
    ALL      every one

All but FIXED and ALL hold relative to the ranks that an extent is *tied* to. A tie `~T` is to the coordinate counted
from the end, as of a tensor that is read backward, at T-1-t.
"""

from collections.abc import Iterable
from enum import IntEnum
from itertools import combinations
from typing import NamedTuple

BACKWARD = "~"


class Kind(IntEnum):
    """How far a reach extends along one axis."""

    FIXED = 0
    LOCAL = 1
    WINDOW = 2
    EARLIER = 3
    UPTO = 4
    FROM = 5
    ALL = 6


class Extent(NamedTuple):
    """Reach along one axis, relative to the ranks `ties` of the point or tensor that it belongs to."""

    kind: Kind
    ties: frozenset[str] = frozenset()


Reach = tuple[Extent, ...]

EVERY = Extent(Kind.ALL)
CONSTANT = Extent(Kind.FIXED)
_GROWING = (Kind.LOCAL, Kind.EARLIER, Kind.UPTO)
# What lies inside what; a window counts as no further than the coordinates on its side.
_PARTS = {
    Kind.WINDOW: (Kind.LOCAL,),
    Kind.UPTO: (*_GROWING, Kind.WINDOW),
    Kind.FROM: (Kind.LOCAL, Kind.WINDOW),
}

# What the kind of a need becomes where the coordinate that it is relative to runs itself over a kind of coordinates.
_LOCAL, _WINDOW, _EARLIER, _UPTO, _FROM, _ALL = Kind.LOCAL, Kind.WINDOW, Kind.EARLIER, Kind.UPTO, Kind.FROM, Kind.ALL
_COMPOSED = {
    _LOCAL: {_LOCAL: _LOCAL, _WINDOW: _WINDOW, _EARLIER: _EARLIER, _UPTO: _UPTO, _FROM: _FROM},
    _WINDOW: {_LOCAL: _WINDOW, _WINDOW: _WINDOW, _EARLIER: _UPTO, _UPTO: _UPTO, _FROM: _FROM},
    _EARLIER: {_LOCAL: _EARLIER, _WINDOW: _UPTO, _EARLIER: _EARLIER, _UPTO: _UPTO, _FROM: _ALL},
    _UPTO: {_LOCAL: _UPTO, _WINDOW: _UPTO, _EARLIER: _EARLIER, _UPTO: _UPTO, _FROM: _ALL},
    _FROM: {_LOCAL: _FROM, _WINDOW: _FROM, _EARLIER: _ALL, _UPTO: _ALL, _FROM: _FROM},
}


def composed(need: Kind, over: Extent) -> Extent:
    """A need relative to a coordinate that runs over `over`."""
    if over.kind in (Kind.ALL, Kind.FIXED) or need in (Kind.ALL, Kind.FIXED):
        is_fixed = over.kind is Kind.FIXED and need is not Kind.FROM and need is not Kind.ALL
        return CONSTANT if is_fixed or need is Kind.FIXED else EVERY
    kind = _COMPOSED[need][over.kind]
    return EVERY if kind is Kind.ALL else Extent(kind, over.ties)


def before(extent: Extent) -> Extent:
    """The need of all steps before one that needs `extent`."""
    if any(tie.startswith(BACKWARD) for tie in extent.ties):  # earlier steps reach coordinates nearer to the end
        return Extent(Kind.FROM, extent.ties) if extent.kind in (Kind.LOCAL, Kind.WINDOW, Kind.FROM) else EVERY
    return EVERY if extent.kind is Kind.FROM else Extent(Kind.EARLIER, extent.ties)


def backward(tie: str) -> str:
    """A tie seen from the other end."""
    return tie.removeprefix(BACKWARD) if tie.startswith(BACKWARD) else BACKWARD + tie


def simplified(reaches: Iterable[Reach]) -> frozenset[Reach]:
    """Merged where the union of two is one reach (this step and earlier ones); a reach inside another is dropped."""
    found = set(reaches)
    joined = len(found) > 1  # most have a single one
    while joined:
        joined = False
        for one, other in combinations(sorted(found, key=_place), 2):
            union = _union(one, other)
            if union is not None:
                found = found - {one, other} | {union}
                joined = True
                break
    if len(found) == 1:
        return frozenset(found)
    return frozenset(r for r in found if not any(r != other and _inside(r, other) for other in found))


def _place(reach: Reach) -> tuple[tuple[int, tuple[str, ...]], ...]:
    return tuple((extent.kind, tuple(sorted(extent.ties))) for extent in reach)


def _union(one: Reach, other: Reach) -> Reach | None:
    """Two reaches as one, if they differ on one axis only and both are tied to the same ranks there.

    Steps up to a point and this step are *up to here*; with those from the point on, they are all.
    """
    differ = [axis for axis, (a, b) in enumerate(zip(one, other, strict=True)) if a != b]
    if len(differ) != 1:
        return None
    a, b = one[differ[0]], other[differ[0]]
    kinds = {a.kind, b.kind}
    if a.ties != b.ties or not a.ties:
        return None
    if kinds <= set(_GROWING):
        merged = Extent(Kind.UPTO, a.ties)
    elif Kind.FROM in kinds and kinds & {Kind.EARLIER, Kind.UPTO}:
        merged = EVERY
    else:
        return None
    return (*one[: differ[0]], merged, *one[differ[0] + 1 :])


def _inside(one: Reach, other: Reach) -> bool:
    return all(a == b or b.kind is Kind.ALL or _is_part(a, b) for a, b in zip(one, other, strict=True))


def _is_part(a: Extent, b: Extent) -> bool:
    if a.ties != b.ties:
        return False
    return a.kind in _PARTS.get(b.kind, ())
