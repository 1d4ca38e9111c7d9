"""Which loops are dealt to the cores of a machine, and why a loop cannot be.

The iterations of the outermost loops are independent pieces of work if they run over ranks without a reduction or a
recurrence; `cores: [b, h, p]` deals them to the cores in turn. Each core runs the part of the mapping inside them.
Where the machine adds up what its cores make, the last of these loops may run over a rank that is reduced.
"""

from collections.abc import Iterator
from itertools import takewhile

from arch.types import Architecture
from einsums.types import Cascade
from mappings.tree import ResolvedTree
from mappings.types import Mapping

Finding = tuple[str, str]  # path, message


def dealt_loops(mapping: Mapping, tree: ResolvedTree) -> tuple[int, ...]:
    """The loops that are dealt, by index, outermost first; the names are checked to be the outermost loops."""
    return tree.leaves[0].loops[: len(mapping.cores)] if tree.leaves else ()


def combined_loop(mapping: Mapping, tree: ResolvedTree, cascade: Cascade) -> int | None:
    """The dealt loop, the last one, over a rank that is reduced; None if there is none."""
    dealt = dealt_loops(mapping, tree)
    if not dealt:
        return None
    variable = tree.loops[dealt[-1]].variable
    return dealt[-1] if any(variable in einsum.reduced_variables for einsum in cascade.einsums) else None


def _iter_unsummable(tree: ResolvedTree, cascade: Cascade, variable: str) -> Iterator[Finding]:
    """Why sums over a variable cannot be completed on their way out of the cores."""
    rank = cascade.rank_of_variable(variable)
    if cascade.partition_of(cascade.root_of(rank)) is not None:
        yield "cores", f"'{variable}' is a part of rank '{cascade.root_of(rank)}': cores add up over whole ranks only"
    for leaf in tree.leaves:
        if variable in cascade.einsum(leaf.einsum).reduced_variables and leaf.einsum in leaf.bypass:
            message = (
                f"Einsum '{leaf.einsum}' is added up over the cores that share '{variable}': nothing bypasses that"
            )
            yield f"{leaf.path}.bypass", message


def iter_core_findings(
    mapping: Mapping, tree: ResolvedTree, cascade: Cascade, architecture: Architecture | None
) -> Iterator[Finding]:
    cores = 1 if architecture is None or architecture.cores is None else architecture.cores.count
    if cores > 1 and not mapping.cores and not mapping.one_core and architecture is not None:
        yield (
            "",
            f"'{architecture.name}' has {cores} cores: say which of the outermost loops are dealt to them, such as "
            "cores: [b, h], or one_core: true to leave all others idle",
        )
    if mapping.cores and mapping.one_core:
        dealt = ", ".join(mapping.cores)
        yield "one_core", f"one core cannot do everything where [{dealt}] is dealt to the cores: leave out one of both"
    around = tuple(tree.loops[index].variable for index in _loops_around_all(tree))
    if mapping.cores != around[: len(mapping.cores)]:
        found, expected = ", ".join(mapping.cores), ", ".join(around)
        yield "cores", f"expected the first of the loops around every Einsum, [{expected}], got [{found}]"
        return
    combined = combined_loop(mapping, tree, cascade)
    adds_up = combined is not None and (
        architecture is None or architecture.cores is None or architecture.cores.reduces
    )
    for variable in mapping.cores:
        if adds_up and combined is not None and tree.loops[combined].variable == variable:
            yield from _iter_unsummable(tree, cascade, variable)
            continue
        reason = next(_iter_dependences(cascade, variable), None)
        if reason is not None:
            yield "cores", f"the iterations of '{variable}' depend on each other: {reason}"


def _loops_around_all(tree: ResolvedTree) -> tuple[int, ...]:
    """The loops that all leaves share, outermost first."""
    paths = [leaf.loops[: leaf.shared] for leaf in tree.leaves]
    columns = zip(*paths, strict=False)
    return tuple(column[0] for column in takewhile(lambda column: len(set(column)) == 1, columns))


def _iter_dependences(cascade: Cascade, variable: str) -> Iterator[str]:
    """Why iterations over a variable cannot run independently."""
    for tensor, rank in cascade.iterative:
        if rank.lower() == variable:
            yield f"'{tensor}' is carried from one to the next"
    for einsum in cascade.einsums:
        if variable in einsum.reduced_variables:
            yield f"Einsum '{einsum.name}' reduces over it"
