"""Checks that loops visit each rank in a valid order: partitions from the outside in, recurrences step by step.

A tile of m0 lies inside one step of m1: a loop over m0 before m1 is down to single steps would visit slices of every
step, which no tile describes. A running value is computed from the previous one, so its steps follow one another on one
element, and the reduction into a step is complete before the next step begins.
"""

from collections.abc import Iterator

from einsums.types import Cascade
from mappings.tree import PlacedLeaf, ResolvedTree


def iter_walk_findings(tree: ResolvedTree, cascade: Cascade) -> Iterator[tuple[str, str]]:
    """(path, sentence) for every rank that an Einsum visits in an impossible order."""
    for leaf in tree.leaves:
        for partition in cascade.partitions:
            yield from _partition_findings(tree, cascade, leaf, tuple(part.lower() for part in partition.parts))
    for tensor, rank in cascade.iterative:
        maker = tree.leaf_of(tensor)
        if maker is not None and any(load.tensor == tensor for load in cascade.einsum(tensor).reads):
            yield from _recurrence_findings(tree, cascade, maker, rank.lower())


def _partition_findings(
    tree: ResolvedTree, cascade: Cascade, leaf: PlacedLeaf, parts: tuple[str, ...]
) -> Iterator[tuple[str, str]]:
    own = [part for part in parts if part in cascade.variables_of(leaf.einsum)]
    on_sides = {side.variable for side in leaf.spatial}
    finished: set[str] = set()
    for loop in (tree.loops[index] for index in leaf.loops):
        for outer in own[: own.index(loop.variable)] if loop.variable in own else ():
            if outer not in finished:
                state = "is on a side of the array" if outer in on_sides else "has not come down to steps of 1"
                yield (
                    loop.path,
                    f"Einsum '{leaf.einsum}' loops over '{loop.variable}' where '{outer}', the outer part of the same "
                    f"rank, {state}",
                )
        if loop.tile == "1":
            finished.add(loop.variable)


def _recurrence_findings(
    tree: ResolvedTree, cascade: Cascade, leaf: PlacedLeaf, step: str
) -> Iterator[tuple[str, str]]:
    name = leaf.einsum
    if any(side.variable == step for side in leaf.spatial):
        yield (
            f"{leaf.path}.spatial",
            f"Einsum '{name}' makes each '{name}' from the one before, so '{step}' cannot be on a side of an array",
        )
    loops = [tree.loops[index] for index in leaf.loops]
    last_step = max((n for n, loop in enumerate(loops) if loop.variable == step), default=0)
    for loop in loops[:last_step]:
        if loop.variable in cascade.einsum(name).reduced_variables:
            yield (
                loop.path,
                f"Einsum '{name}' still reduces over '{loop.variable}' when it goes on to the next '{step}': that loop "
                f"belongs inside the one over '{step}'",
            )
