"""Ranks under several names: which ranks a tensor has where it is accessed, and what a mapping may not do with it.

A tensor over P may be read at `m`, where M is another name of P. A tile of m then holds other elements than a tile of
p: a kept tile is cut by one of the names, or by none. A reader under another name needs the whole of what another
Einsum makes, so that no loop that makes it may be around both.
"""

from collections.abc import Iterator

from arch.types import Architecture
from einsums.types import Access, Cascade
from mappings.tree import PlacedKeep, PlacedLeaf, ResolvedTree


def ranks_accessed(cascade: Cascade, access: Access) -> tuple[str, ...]:
    """The ranks of a tensor by the names under which an access runs over them, batch ranks first."""
    own = tuple(axis.over or axis.rank for axis in cascade.axes_of(access))
    return own if cascade.is_unbatched(access.tensor) else (*cascade.batch, *own)


def accesses_of(cascade: Cascade, leaf: PlacedLeaf, tensor: str) -> tuple[Access, ...]:
    """How a leaf's Einsum reads or writes a tensor."""
    einsum = cascade.einsum(leaf.einsum)
    return tuple(access for access in (*einsum.reads, einsum.output) if access.tensor == tensor)


def variables_accessed(cascade: Cascade, accesses: tuple[Access, ...]) -> set[str]:
    """Rank variables that run over a tensor where it is accessed, those of all parts of a partitioned rank."""
    variables: set[str] = set()
    for rank in (rank for access in accesses for rank in ranks_accessed(cascade, access)):
        partition = cascade.partition_of(rank)
        variables |= {part.lower() for part in (partition.parts if partition else (rank,))}
    return variables


def tensor_variables(cascade: Cascade, tensor: str) -> set[str]:
    """Rank variables that run over a tensor by its own names, those of all parts of a partitioned rank."""
    variables: set[str] = set()
    for rank in cascade.ranks_of(tensor):
        partition = cascade.partition_of(rank)
        variables |= {part.lower() for part in (partition.parts if partition else (rank,))}
    return variables


def accesses_inside(cascade: Cascade, tree: ResolvedTree, keep: PlacedKeep) -> tuple[Access, ...]:
    """Every access to a kept tile."""
    inside = (leaf for leaf in tree.leaves if keep.covers(leaf.index))
    return tuple(access for leaf in inside for access in accesses_of(cascade, leaf, keep.tensor))


def iter_naming_findings(
    tree: ResolvedTree, cascade: Cascade, architecture: Architecture | None
) -> Iterator[tuple[str, str]]:
    """(path, sentence) for every tile and every value that is under two names at once."""
    if not cascade.scope.first_name:
        return
    for keep in tree.keeps:
        yield from _tile_findings(tree, cascade, architecture, keep)
    for reader in tree.leaves:
        for access in cascade.einsum(reader.einsum).reads:
            yield from _value_findings(tree, cascade, reader, access)


def _tile_findings(
    tree: ResolvedTree, cascade: Cascade, architecture: Architecture | None, keep: PlacedKeep
) -> Iterator[tuple[str, str]]:
    found = accesses_inside(cascade, tree, keep)
    namings = [variables_accessed(cascade, (access,)) for access in found]
    differing = set().union(*namings) - set(namings[0]).intersection(*namings) if namings else set()
    if not differing:
        return
    names = " and ".join(f"'{name}'" for name in sorted(differing))
    what = f"'{keep.memory}' keeps '{keep.tensor}', which Einsums inside read under several names ({names})"
    for loop in (tree.loops[index] for index in keep.loops):
        if loop.variable in differing:
            yield keep.path, f"{what}, inside the loop over '{loop.variable}': a tile of one is none of the other"
            return
    if architecture is not None and architecture.memory(keep.memory).per_pe_of is not None:
        yield keep.path, f"{what}, beside the elements of an array, which hold the words of one name"
    elif keep.share_group >= 0:
        yield keep.path, f"{what}, in a place that it shares: a shared place is given up element by element"


def _value_findings(
    tree: ResolvedTree, cascade: Cascade, reader: PlacedLeaf, access: Access
) -> Iterator[tuple[str, str]]:
    maker = tree.leaf_of(access.tensor)
    if maker is None:
        return
    other = [axis.rank for axis in cascade.axes_of(access) if axis.over is not None and axis.over != axis.rank]
    for rank in other:
        partition = cascade.partition_of(rank)
        making = {part.lower() for part in (partition.parts if partition else (rank,))}
        for loop in tree.shared_loops(maker, reader):
            if loop.variable in making:
                yield (
                    loop.path,
                    f"Einsum '{reader.einsum}' reads '{access}' under another name of rank {rank} inside the loop over "
                    f"'{loop.variable}', in which Einsum '{maker.einsum}' still makes it: it needs the whole of it",
                )
