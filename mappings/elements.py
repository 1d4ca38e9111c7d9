"""Is it known which element holds what? The part of legality about memories beside the elements of an array.

Every element has such a memory for itself. A tensor's rank on a side of the array decides which element has which
coordinates; all Einsums of the array that touch the kept tile must agree on that, or words would have to pass from
element to element, over a network that no machine file describes. Ranks that the tensor lacks decide how many elements
need a copy: one Einsum needs it wherever the others do.
"""

from collections.abc import Iterator
from itertools import combinations, pairwise
from typing import NamedTuple

from arch.types import Architecture
from einsums.names import nearest
from einsums.types import Cascade
from mappings.tree import PlacedKeep, PlacedLeaf, ResolvedTree


class ElementFinding(NamedTuple):
    """Where in the mapping elements are unclear, and a sentence about it."""

    path: str
    message: str


class Sides(NamedTuple):
    """What an Einsum puts on the sides of its array: (side, rank variable, tiles of its loops inside the kept tile)."""

    leaf: PlacedLeaf
    of_tensor: frozenset[tuple[str, str, tuple[str, ...]]]  # ranks of the tensor: which element has which words
    others: frozenset[tuple[str, str, tuple[str, ...]]]  # ranks that it lacks: elements that need the same words


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
        sides = [_sides(cascade, tree, keep, leaf) for leaf in local]
        yield from _disagreements(keep, sides)
        readers = [one for one in sides if _reads(cascade, one.leaf, keep.tensor)]
        yield from _uncomparable(keep, readers)


def iter_bypass_findings(
    cascade: Cascade, tree: ResolvedTree, architecture: Architecture | None
) -> Iterator[ElementFinding]:
    """Operands that are said to bypass the registers, but are none of the Einsum's, or are kept there."""
    for leaf in tree.leaves:
        einsum = cascade.einsum(leaf.einsum)
        touched = {access.tensor for access in (*einsum.loads, einsum.output)}
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


def _sides(cascade: Cascade, tree: ResolvedTree, keep: PlacedKeep, leaf: PlacedLeaf) -> Sides:
    tiles = tree.tiles_by_variable(leaf.loops[len(keep.loops) :])
    own = tensor_variables(cascade, keep.tensor)
    found = [(loop.side, loop.variable, tuple(tiles.get(loop.variable, ()))) for loop in leaf.spatial]
    of_tensor = frozenset(one for one in found if one[1] in own)
    return Sides(leaf, of_tensor, frozenset(found) - of_tensor)


def tensor_variables(cascade: Cascade, tensor: str) -> set[str]:
    """Rank variables that run over a tensor, those of all parts of a partitioned rank."""
    variables: set[str] = set()
    for rank in cascade.ranks_of(tensor):
        partition = cascade.partition_of(rank)
        variables |= {part.lower() for part in (partition.parts if partition else (rank,))}
    return variables


def _laid_out(sides: Sides) -> str:
    """Its ranks and their sides, in words."""
    if not sides.of_tensor:
        return "all of it in each element"
    ordered = sorted(sides.of_tensor, reverse=True)
    return " and ".join(
        f"'{variable}' on the {side}" + (f" in tiles of {', '.join(tiles)}" if tiles else "")
        for side, variable, tiles in ordered
    )


def _touches(cascade: Cascade, leaf: PlacedLeaf, tensor: str) -> bool:
    return leaf.einsum == tensor or _reads(cascade, leaf, tensor)


def _reads(cascade: Cascade, leaf: PlacedLeaf, tensor: str) -> bool:
    """With accesses of its own, not from another Einsum's stream."""
    return tensor not in leaf.forwarded and any(load.tensor == tensor for load in cascade.einsum(leaf.einsum).loads)
