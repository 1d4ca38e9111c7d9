"""Where a mapping cannot follow conditions: loops that are dealt to cores, conditions between many ranks.

Tiles are skipped by bands, half-spaces over rank variables and sizes. A loop over a rank of a band makes different work
in each of its iterations, so that no core has the work of another.
"""

from collections.abc import Iterator

from arch.types import Architecture
from einsums.conditions import HalfSpace, Region
from einsums.extensions import beyond
from einsums.types import Cascade
from mappings.tree import PlacedLeaf, ResolvedTree
from mappings.types import Mapping

# What mappings follow of all that a cascade may say beyond ranks and iterations (`einsums.extensions`).
FOLLOWED = ("names", "parts", "conditions", "positions", "whole numbers")
MOST_RANKS = 2  # that decide together whether a tile is skipped


def band_ranks(cascade: Cascade, region: Region) -> tuple[str, ...]:
    """The whole ranks between which the bands of a region are, in the order of the cascade."""
    names = {
        name.upper()
        for piece in region
        for atom in piece
        if isinstance(atom, HalfSpace) and not atom.lengths
        for name in atom.form.variables
    }
    roots = {cascade.root_of(name) for name in names}
    return tuple(rank for rank in cascade.scope.roots if rank in roots)


def unfollowed(cascade: Cascade, who: str) -> str:
    """A sentence where a cascade says more than ranks and iterations, for `who` follows no more; empty otherwise."""
    extension = beyond(cascade)
    return f"'{cascade.name}': {extension}, which {who} does not follow" if extension else ""


def iter_existence_findings(
    mapping: Mapping, tree: ResolvedTree, cascade: Cascade, architecture: Architecture | None
) -> Iterator[tuple[str, str]]:
    """(path, sentence) for every condition that the mapping cannot follow."""
    if cascade.existence.is_plain:
        return
    for leaf in tree.leaves:
        ranks = band_ranks(cascade, cascade.existence.points[leaf.einsum])
        if len(ranks) > MOST_RANKS:
            many = f"the points of Einsum '{leaf.einsum}' depend on {', '.join(ranks)} together"
            yield leaf.path, f"{many}: tiles are skipped by conditions between two ranks"
        array = None if architecture is None else architecture.array(leaf.array)
        if ranks and array is not None and array.links is not None:
            what = f"'{leaf.array}' has links, which carry the words of all tiles"
            yield leaf.path, f"{what}: tiles of Einsum '{leaf.einsum}' cannot be skipped there"
        if ranks and architecture is not None:
            yield from _sums_beside(tree, cascade, architecture, leaf)
        for variable in mapping.cores:
            if cascade.root_of(cascade.rank_of_variable(variable)) in ranks:
                differ = f"its iterations differ, by the condition on Einsum '{leaf.einsum}'"
                yield "cores", f"'{variable}' cannot be dealt to cores: {differ}"


def _sums_beside(
    tree: ResolvedTree, cascade: Cascade, architecture: Architecture, leaf: PlacedLeaf
) -> Iterator[tuple[str, str]]:
    """Sums that elements have each a part of, become one where they are read: of which of them is not followed."""
    reduced = set(cascade.einsum(leaf.einsum).reduced_variables)
    for keep in tree.keeps_above(leaf, leaf.einsum):
        memory = architecture.memory(keep.memory)
        inside = (other for other in tree.leaves if keep.covers(other.index))
        readers = [other for other in inside if _reads(cascade, other, leaf.einsum)]
        if memory.per_pe_of == leaf.array and readers and leaf.along(memory.own_sides) & reduced:
            what = (
                f"Einsum '{leaf.einsum}' has a condition, and '{keep.memory}' keeps its sums in parts, beside elements"
            )
            yield keep.path, f"{what}: Einsum '{readers[0].einsum}' cannot read them there"


def _reads(cascade: Cascade, leaf: PlacedLeaf, tensor: str) -> bool:
    return any(access.tensor == tensor for access in cascade.einsum(leaf.einsum).reads)
