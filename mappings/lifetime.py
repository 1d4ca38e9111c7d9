"""Does a value outlive what it is needed for? The part of legality that follows values through kept tiles.

A value has to be where its reader looks for it. Between its making and its last reading it lies in its home, the
outermost kept tile that all its Einsums share (or the root memory, where it is never lost). Since all of them run
inside the loops around that tile, an ordinary value is made and read in one iteration of those loops, before the tile
gives way to another (what shares a place is followed in `turns.py`). Two things can still take it away, and are
refused here:

- a running value is read one step later than it is made: its home must not be inside a loop, itself inside the loop
  that steps, which moves the tile over the tensor (the tile of the step before would be gone);
- a value derived from a reduction that is not complete, where the derived value no longer has the reduced rank.
"""

from collections.abc import Iterator
from typing import NamedTuple

from einsums.types import Access, Cascade
from mappings.tree import PlacedKeep, PlacedLeaf, PlacedLoop, ResolvedTree


class Finding(NamedTuple):
    """Where in the mapping a value gets lost, and a sentence about it."""

    path: str
    message: str


def iter_lifetime_findings(cascade: Cascade, tree: ResolvedTree) -> Iterator[Finding]:
    """Every value that is gone, or not yet complete, when an Einsum reads it."""
    for keep in tree.keeps:
        yield from _lost_steps(cascade, tree, keep)
    for leaf in tree.leaves:
        yield from _incomplete_sources(cascade, tree, leaf)


def home_of(cascade: Cascade, tree: ResolvedTree, tensor: str) -> PlacedKeep | None:
    """The outermost kept tile that all Einsums share which touch a tensor; None for one that lives in the root memory,
    as inputs and outputs do.
    """
    if tensor in cascade.outputs or any(given.name == tensor for given in cascade.inputs):
        return None
    touching = [leaf for leaf in tree.leaves if _accesses(cascade, leaf, tensor)]
    kept = (keep for keep in tree.keeps if keep.tensor == tensor)
    return next((keep for keep in kept if all(keep.covers(leaf.index) for leaf in touching)), None)


# --- running values -----------------------------------------------------------------------------------------
def _lost_steps(cascade: Cascade, tree: ResolvedTree, keep: PlacedKeep) -> Iterator[Finding]:
    rank = cascade.scope.iterative_rank.get(keep.tensor)
    if rank is None or home_of(cascade, tree, keep.tensor) != keep:
        return
    variables = {loop: tree.loops[loop].variable for loop in keep.loops}
    stepping = [place for place, loop in enumerate(keep.loops) if variables[loop] == rank.lower()]
    own = {variable_rank.lower() for variable_rank in cascade.ranks_of(keep.tensor)} - {rank.lower()}
    inside = keep.loops[stepping[0] + 1 :] if stepping else ()
    for loop in inside:
        if variables[loop] in own:
            yield Finding(
                keep.path,
                f"'{keep.memory}' keeps '{keep.tensor}' only for a tile of '{variables[loop]}' inside the loop over "
                f"'{rank.lower()}': when the next step reads the old '{keep.tensor}', the loop over "
                f"'{variables[loop]}' has replaced it; keep it also outside the loop over '{rank.lower()}'",
            )


def _accesses(cascade: Cascade, leaf: PlacedLeaf, tensor: str) -> tuple[Access, ...]:
    einsum = cascade.einsum(leaf.einsum)
    return tuple(access for access in (*einsum.reads, einsum.output) if access.tensor == tensor)


# --- incomplete reductions ----------------------------------------------------------------------------------
def _incomplete_sources(cascade: Cascade, tree: ResolvedTree, reader: PlacedLeaf) -> Iterator[Finding]:
    """Values without the reduced rank that were derived from a reduction which the reader's loop still runs over."""
    for access in cascade.einsum(reader.einsum).reads:
        made = tree.leaf_of(access.tensor)
        if made is None or not made.recompute:
            continue  # inside the loop without its rank and without leave: refused for that already
        for source, loop in _open_reductions(cascade, tree, access.tensor, reader):
            if source.einsum != access.tensor:
                yield Finding(
                    loop.path,
                    f"Einsum '{reader.einsum}' reads '{access.tensor}', derived from '{source.einsum}', inside the "
                    f"loop over '{loop.variable}' (rank {_root(cascade, loop)}), over which Einsum '{source.einsum}' "
                    "still reduces it: the value is not complete there",
                )


def _open_reductions(
    cascade: Cascade, tree: ResolvedTree, tensor: str, reader: PlacedLeaf
) -> Iterator[tuple[PlacedLeaf, PlacedLoop]]:
    """Reductions behind a tensor that run over a loop shared with the reader, through tensors that lack its rank."""
    waiting, seen = [tensor], {tensor}
    while waiting:
        made = tree.leaf_of(waiting.pop())
        if made is None or cascade.is_iterative(made.einsum):
            continue
        einsum = cascade.einsum(made.einsum)
        for loop in tree.shared_loops(made, reader):
            if loop.variable in einsum.reduced_variables:
                yield made, loop
        sources = [access.tensor for access in einsum.reads]
        lacking = [name for name in sources if name not in seen and _lacks_shared(cascade, tree, name, reader)]
        seen.update(lacking)
        waiting += lacking


def _lacks_shared(cascade: Cascade, tree: ResolvedTree, tensor: str, reader: PlacedLeaf) -> bool:
    """Whether a tensor lacks the rank of a loop that its maker shares with the reader."""
    made = tree.leaf_of(tensor)
    ranks = {rank.lower() for rank in cascade.ranks_of(tensor)}
    return made is not None and any(loop.variable not in ranks for loop in tree.shared_loops(made, reader))


def _root(cascade: Cascade, loop: PlacedLoop) -> str:
    return cascade.root_of(loop.variable.upper())
