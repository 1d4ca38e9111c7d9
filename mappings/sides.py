"""How the sides of an array carry ranks: which coordinates fall on which element, and how many elements that takes.

A side may carry several ranks, the last one changing from element to element, and a rank may lie on several sides, in
pieces of a stated count: `{rows: m, columns: {m: 4}}` has four neighbours of m in a row and goes on in the next one.
What is stated last in the file is innermost. A count for a rank of one side is the most that its loops may leave.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from arch.components import Array
from einsums.types import Cascade
from mappings.tree import PlacedLeaf
from mappings.types import SpatialLoop


class SideNeed(NamedTuple):
    """Places along a side that one of its ranks takes; `missing`: what no place is left for, 1 for nothing."""

    loop: SpatialLoop
    places: Any
    missing: Any


def iter_side_findings(leaf: PlacedLeaf) -> Iterator[tuple[str, str]]:
    """(path, sentence) for every rank of which nothing says where its coordinates lie."""
    path = f"{leaf.path}.spatial"
    for variable in dict.fromkeys(loop.variable for loop in leaf.spatial):
        entries = [loop for loop in leaf.spatial if loop.variable == variable]
        sides = [loop.side for loop in entries]
        if len(set(sides)) < len(sides):
            yield path, f"'{variable}' is twice on one side of the array"
        elif any(loop.count is None for loop in entries[1:]):
            example = f"{{{entries[-1].side}: {{{variable}: 4}}}}"
            yield (
                path,
                f"'{variable}' is on several sides: say how many of its coordinates lie along one, as in {example}",
            )


def iter_network_findings(cascade: Cascade, leaf: PlacedLeaf, array: Array) -> Iterator[tuple[str, str]]:
    """Reduced ranks on sides along which the array has no network that adds up, and ranks whose way over stated links
    is not known.
    """
    if array.links is not None:
        for variable in sorted(leaf.along(["rows"]) & leaf.along(["columns"])):
            where = f"is on the rows and the columns of '{array.name}', which states its links"
            yield (
                f"{leaf.path}.spatial",
                f"'{variable}' {where}: what passes over them is known for ranks on one of both",
            )
    reduced = cascade.einsum(leaf.einsum).reduced_variables
    for loop in leaf.spatial:
        if loop.variable in reduced and loop.side not in array.reduces:
            has = " and ".join(array.reduces) or "no side"
            where = f"on the {loop.side} of '{array.name}', which has a network for that along {has}"
            yield f"{leaf.path}.spatial", f"Einsum '{leaf.einsum}' reduces over '{loop.variable}' {where}"


def side_needs(
    leaf: PlacedLeaf,
    left: Callable[[str], Any],
    count: Callable[[str], Any],
    at_most: Callable[[Any, Any], Any] = min,
) -> tuple[SideNeed, ...]:
    """What every rank on a side takes, in the order of the file.

    `left`: coordinates that the loops leave of a variable; `count`: the value of an entry's count; numbers, or arrays
    of a batch with an `at_most` of theirs.
    """
    rest: dict[str, Any] = {}
    found = []
    for loop in reversed(leaf.spatial):
        here = rest.get(loop.variable, left(loop.variable))
        if loop.count is None:
            places, beyond = here, here * 0 + 1
        else:
            most = count(loop.count)
            places, beyond = at_most(here, most), -(-here // most)
        rest[loop.variable] = beyond
        found.append((loop, places))
    return tuple(SideNeed(loop, places, rest[loop.variable]) for loop, places in reversed(found))
