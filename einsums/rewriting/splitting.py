"""Splitting a rank into parts: M becomes M1 tiles of M0, without changing what is computed.

Values made inside get both parts as ranks; inputs and outputs keep the whole rank and are read or written at m1*M0+m0.
A last tile may be ragged: points beyond the rank do not exist.
"""

from collections.abc import Iterator

from einsums.nodes import Access, Einsum, Index, Load, Reduction
from einsums.nouns import Partition
from einsums.projection import moved, substituted
from einsums.rewriting.algebra import index, replaced
from einsums.rewriting.draft import Draft
from einsums.scope import recomposition


class UnsplittableRankError(Exception):
    """The rank cannot be split; the message says why."""


def split(draft: Draft, rank: str) -> Partition:
    """Partition a rank into two parts, if it has none yet; UnsplittableRankError where an index forbids it."""
    found = draft.partition(rank)
    if found is not None:
        return found
    partition = Partition(rank=rank, parts=(f"{rank}1", f"{rank}0"))
    _check(draft, partition)
    draft.partitions.append(partition)
    whole_tensors = {tensor.name for tensor in draft.source.inputs} | set(draft.source.outputs)
    whole_tensors |= {load.tensor for found in draft.einsums.values() for load in _under_other_names(draft, found)}
    for name, old in list(draft.einsums.items()):
        draft.einsums[name] = _split_einsum(old, partition, whole_tensors)
    return partition


def _under_other_names(draft: Draft, found: Einsum) -> Iterator[Access]:
    """Accesses that run over another name of a tensor's rank; such tensors keep their whole ranks."""
    scope = draft.scope
    for access in found.reads:
        if any(axis.over not in (None, axis.rank) for axis in scope.axes_of(access)):
            yield access


def _check(draft: Draft, partition: Partition) -> None:
    taken = set(draft.source.scope.roots) | {part for p in draft.partitions for part in p.parts}
    clash = next((part for part in partition.parts if part in taken), None)
    if clash:
        raise UnsplittableRankError(
            f"rank {partition.rank} cannot be split: its part would be called {clash}, which is taken"
        )
    variable = partition.rank.lower()
    for found in draft.einsums.values():
        for access in (found.output, *found.reads):
            for place in access.indices:
                mixed = variable in place.variables and place != index(variable)
                if mixed or place.last_of == partition.rank:
                    message = f"rank {partition.rank} cannot be split: {found.name} uses {access}, index '{place}'"
                    raise UnsplittableRankError(message)


def _split_einsum(old: Einsum, partition: Partition, whole_tensors: set[str]) -> Einsum:
    parts = tuple(part.lower() for part in partition.parts)

    def split_access(access: Access) -> Access:
        indices: list[Index] = []
        for place in access.indices:
            if place.plain_variable != partition.rank.lower():
                indices.append(place)
            elif access.tensor in whole_tensors:
                indices.append(recomposition(partition))
            else:
                indices += [index(part) for part in parts]
        return Access(tensor=access.tensor, indices=tuple(indices))

    reduction = old.reduction
    if reduction is not None:
        names = [n for v in reduction.variables for n in (parts if v == partition.rank.lower() else (v,))]
        reduction = Reduction(operator=reduction.operator, variables=tuple(names))
    whole = {partition.rank.lower(): recomposition(partition)}
    expr = replaced(old.expr, lambda access: Load(access=split_access(access)))
    expr = moved(expr, lambda form: substituted(form, whole))
    condition = old.condition
    if condition is not None:
        condition = moved(condition, lambda form: substituted(form, whole))
    return Einsum(output=split_access(old.output), expr=expr, reduction=reduction, condition=condition)
