"""Is it known which element holds what? The part of legality about memories beside the elements of an array.

Every element has such a memory for itself. A tensor's rank on a side of the array decides which element has which
coordinates; all Einsums of the array that touch the kept tile must agree on that, or words would have to pass from
element to element, over a network that no machine file describes. Ranks that the tensor lacks decide how many elements
need a copy: one Einsum needs it wherever the others do.
"""

from collections.abc import Iterator
from itertools import combinations, pairwise
from typing import NamedTuple

from arch.components import Side
from arch.types import Architecture
from einsums.names import nearest
from einsums.types import Cascade
from mappings.naming import accesses_of, variables_accessed
from mappings.tree import PlacedKeep, PlacedLeaf, ResolvedTree


class ElementFinding(NamedTuple):
    """Where in the mapping elements are unclear, and a sentence about it."""

    path: str
    message: str


class OnSide(NamedTuple):
    """A rank on a side. `tiles`: of its loops inside the kept tile; `pieces`: the stated count of its coordinates
    there; `within`: the ranks on that side inside it, likewise.
    """

    side: str
    variable: str
    tiles: tuple[str, ...]
    pieces: str | None
    within: tuple[tuple[str, tuple[str, ...], str | None], ...]


class Sides(NamedTuple):
    """What an Einsum puts on those sides of its array along which elements have a memory of their own."""

    leaf: PlacedLeaf
    of_tensor: frozenset[OnSide]  # ranks of the tensor: which element has which words
    others: frozenset[OnSide]  # ranks that it lacks: elements that need the same words


class BesideElements(NamedTuple):
    """A kept tile, and the sides of an array along which every element has a memory for it."""

    keep: PlacedKeep
    own_sides: tuple[Side, ...]


def iter_element_findings(
    cascade: Cascade, tree: ResolvedTree, architecture: Architecture | None
) -> Iterator[ElementFinding]:
    """Kept tiles beside the elements of an array of which nothing says in which elements their words are."""
    if architecture is None:
        return
    for keep in tree.keeps:
        array = architecture.memory(keep.memory).per_pe_of
        if array is None:
            continue
        inside = [leaf for leaf in tree.leaves if keep.covers(leaf.index) and _touches(cascade, leaf, keep.tensor)]
        local = [leaf for leaf in inside if leaf.array == array]
        if inside and not local:
            runs = " and ".join(f"'{leaf.einsum}' on '{leaf.array}'" for leaf in inside)
            message = f"'{keep.memory}' lies beside the elements of '{array}', but '{keep.tensor}' is touched by {runs}"
            yield ElementFinding(keep.path, message)
        beside = BesideElements(keep, architecture.memory(keep.memory).own_sides)
        yield from _split_ranks(beside, local)
        yield from _passed_on(architecture, tree, beside)
        sides = [_sides(cascade, tree, beside, leaf) for leaf in local]
        yield from _disagreements(keep, sides)
        readers = [one for one in sides if _reads(cascade, one.leaf, keep.tensor)]
        yield from _uncomparable(keep, readers)


def iter_bypass_findings(
    cascade: Cascade, tree: ResolvedTree, architecture: Architecture | None
) -> Iterator[ElementFinding]:
    """Operands that are said to bypass the registers, but are none of the Einsum's, or are kept there."""
    for leaf in tree.leaves:
        einsum = cascade.einsum(leaf.einsum)
        touched = {access.tensor for access in (*einsum.reads, einsum.output)}
        for tensor in leaf.bypass:
            path, keeps = f"{leaf.path}.bypass", tree.keeps_above(leaf, tensor)
            if tensor not in touched:
                message = f"Einsum '{leaf.einsum}' neither reads nor writes '{tensor}'{nearest(tensor, touched)}"
                yield ElementFinding(path, message)
            elif architecture is not None and keeps and keeps[-1].memory == architecture.array(leaf.array).registers:
                message = (
                    f"'{keeps[-1].memory}' keeps '{tensor}' around Einsum '{leaf.einsum}', so it does not bypass it"
                )
                yield ElementFinding(path, message)


def _passed_on(architecture: Architecture, tree: ResolvedTree, beside: BesideElements) -> Iterator[ElementFinding]:
    """Tiles that come from, and go to, memories beside other elements: of another array, or fewer to a memory."""
    keep, own = beside.keep, architecture.memory(beside.keep.memory)
    around = [k for k in tree.keeps[: keep.index] if k.tensor == keep.tensor and _encloses(k, keep)]
    outer = architecture.memory(around[-1].memory) if around else None
    if outer is None or outer.per_pe_of is None:
        return
    if outer.per_pe_of != own.per_pe_of:
        yield ElementFinding(
            keep.path,
            f"'{keep.memory}' beside the elements of '{own.per_pe_of}' keeps '{keep.tensor}' inside the tile that "
            f"'{outer.name}' keeps beside those of '{outer.per_pe_of}': words would have to pass from element to "
            "element; keep it in a shared memory between them",
        )
    elif not set(outer.own_sides) <= set(own.own_sides):
        alone = " and ".join(side for side in outer.own_sides if side not in own.own_sides)
        yield ElementFinding(
            keep.path,
            f"'{keep.memory}', which elements of '{own.per_pe_of}' share along the {alone}, keeps '{keep.tensor}' "
            f"inside the tile that each of them has in its own '{outer.name}'",
        )


def _encloses(outer: PlacedKeep, inner: PlacedKeep) -> bool:
    return outer.first_leaf <= inner.first_leaf <= inner.last_leaf <= outer.last_leaf


def _split_ranks(beside: BesideElements, local: list[PlacedLeaf]) -> Iterator[ElementFinding]:
    """Ranks that lie partly along a side that shares the memory: each memory has a piece whose size is nowhere."""
    for leaf in local:
        apart = leaf.along(beside.own_sides)
        for loop in leaf.spatial:
            if loop.side not in beside.own_sides and loop.variable in apart:
                yield ElementFinding(
                    beside.keep.path,
                    f"'{beside.keep.memory}' is shared along the {loop.side} of '{leaf.array}', and Einsum "
                    f"'{leaf.einsum}' has '{loop.variable}' on the {loop.side} and on another side: put it on one side "
                    f"to keep '{beside.keep.tensor}' there",
                )


def _disagreements(keep: PlacedKeep, sides: list[Sides]) -> Iterator[ElementFinding]:
    for one, other in pairwise(sides):
        if one.of_tensor != other.of_tensor:
            yield ElementFinding(
                keep.path,
                f"'{keep.memory}' keeps '{keep.tensor}' beside the elements of '{one.leaf.array}', where Einsum "
                f"'{one.leaf.einsum}' has {_laid_out(one)} and Einsum '{other.leaf.einsum}' {_laid_out(other)}: words "
                "would have to pass from element to element; keep it in a shared memory, or lay both out alike",
            )


def _uncomparable(keep: PlacedKeep, readers: list[Sides]) -> Iterator[ElementFinding]:
    for one, other in combinations(readers, 2):
        if not (one.others <= other.others or other.others <= one.others):
            yield ElementFinding(
                keep.path,
                f"'{keep.memory}' keeps '{keep.tensor}' beside the elements of '{one.leaf.array}', and neither Einsum "
                f"'{one.leaf.einsum}' nor Einsum '{other.leaf.einsum}' needs it in all elements in which the other "
                "does; keep it for each of them apart",
            )


def _sides(cascade: Cascade, tree: ResolvedTree, beside: BesideElements, leaf: PlacedLeaf) -> Sides:
    keep, own_sides = beside
    tiles = tree.tiles_by_variable(leaf.loops[len(keep.loops) :])
    own = variables_accessed(cascade, accesses_of(cascade, leaf, keep.tensor))
    found: list[OnSide] = []
    for loop in reversed([loop for loop in leaf.spatial if loop.side in own_sides]):
        within = tuple((one.variable, one.tiles, one.pieces) for one in found if one.side == loop.side)
        found.append(OnSide(loop.side, loop.variable, tuple(tiles.get(loop.variable, ())), loop.count, within))
    of_tensor = frozenset(one for one in found if one.variable in own)
    return Sides(leaf, of_tensor, frozenset(found) - of_tensor)


def _laid_out(sides: Sides) -> str:
    """Its ranks and their sides, in words."""
    if not sides.of_tensor:
        return "all of it in each element"
    ordered = sorted(sides.of_tensor, key=lambda one: (one.side, one.variable), reverse=True)
    return " and ".join(
        f"'{one.variable}' on the {one.side}"
        + (f" in tiles of {', '.join(one.tiles)}" if one.tiles else "")
        + (f" in pieces of {one.pieces}" if one.pieces else "")
        + (f" around {' and '.join(repr(name) for name, *_ in one.within)}" if one.within else "")
        for one in ordered
    )


def _touches(cascade: Cascade, leaf: PlacedLeaf, tensor: str) -> bool:
    return leaf.einsum == tensor or _reads(cascade, leaf, tensor)


def _reads(cascade: Cascade, leaf: PlacedLeaf, tensor: str) -> bool:
    """With accesses of its own, not from another Einsum's stream."""
    return tensor not in leaf.forwarded and any(load.tensor == tensor for load in cascade.einsum(leaf.einsum).reads)
