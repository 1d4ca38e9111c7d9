"""What the names of a cascade refer to: which rank a variable runs over, which ranks a tensor has.

A rank variable is the lower case of a rank. If a rank is partitioned, variables run over its parts (its leaves) and the
rank itself is written `m1*M0+m0`. An intermediate tensor has the ranks of its left-side indices.
"""

from functools import cached_property
from typing import NamedTuple

from einsums.nodes import Einsum, Index, InitialValue, Partition, Rank, Tensor, Term


def recomposition(partition: Partition) -> Index:
    """The index that denotes a partitioned rank: m2*M1*M0 + m1*M0 + m0."""
    terms = tuple(
        Term(variable=part.lower(), scale_ranks=partition.parts[place + 1 :])
        for place, part in enumerate(partition.parts)
    )
    return Index(terms=terms)


class Declarations(NamedTuple):
    """What a cascade declares before its Einsums."""

    ranks: tuple[Rank, ...]
    partitions: tuple[Partition, ...]
    batch: tuple[str, ...]
    unbatched: tuple[str, ...]
    inputs: tuple[Tensor, ...]
    outputs: tuple[str, ...]
    initial: tuple[InitialValue, ...]


class Scope:
    """Look-ups over declarations and Einsums; built once per cascade, never changed."""

    def __init__(self, declared: Declarations, einsums: tuple[Einsum, ...]) -> None:
        self.declared = declared
        self.einsums = einsums

    @cached_property
    def root_by_part(self) -> dict[str, str]:
        """M1 and M0 -> M."""
        return {part: partition.rank for partition in self.declared.partitions for part in partition.parts}

    @cached_property
    def partition_by_rank(self) -> dict[str, Partition]:
        """M -> its partition."""
        return {partition.rank: partition for partition in self.declared.partitions}

    @cached_property
    def roots(self) -> tuple[str, ...]:
        """Declared ranks and batch ranks, no parts."""
        return tuple(dict.fromkeys((*self.declared.batch, *(rank.name for rank in self.declared.ranks))))

    @cached_property
    def leaf_ranks(self) -> tuple[str, ...]:
        """Every rank a variable may run over, batch ranks first, parts in place of partitioned ranks."""
        leaves: list[str] = []
        for rank in self.roots:
            leaves.extend(self.partition_by_rank[rank].parts if rank in self.partition_by_rank else (rank,))
        return tuple(leaves)

    @cached_property
    def rank_by_variable(self) -> dict[str, str]:
        """m1 -> M1, for every variable an Einsum may write."""
        return {rank.lower(): rank for rank in self.leaf_ranks if rank not in self.declared.batch}

    def rank_of_index(self, index: Index) -> str | None:
        """The rank of an index's variable or of the partition it denotes; None for other affine indices."""
        if index.plain_variable is not None:
            return self.rank_by_variable.get(index.plain_variable)
        for partition in self.declared.partitions:
            whole = recomposition(partition)
            if not index.offset and _spelling(index) == _spelling(whole):
                return partition.rank
        return None

    @cached_property
    def iterative(self) -> tuple[tuple[str, str], ...]:
        """(tensor, rank) of each tensor written at i+1."""
        found = []
        for einsum in self.einsums:
            for index in einsum.output.indices:
                rank = self.rank_of_index(index)
                if index.offset and rank:
                    found.append((einsum.name, rank))
        return tuple(dict.fromkeys(found))

    @cached_property
    def iterative_rank(self) -> dict[str, str]:
        """RM -> M1."""
        return dict(self.iterative)

    @cached_property
    def tensor_by_name(self) -> dict[str, Tensor]:
        """Inputs, then what the Einsums write, in file order; only tensors whose left side makes sense."""
        tensors = {tensor.name: tensor for tensor in self.declared.inputs}
        for einsum in self.einsums:
            ranks = tuple(self.rank_of_index(index) or "" for index in einsum.output.indices)
            tensors.setdefault(einsum.name, Tensor(name=einsum.name, ranks=ranks))
        return tensors

    @cached_property
    def unbatched(self) -> frozenset[str]:
        """Declared unbatched inputs, and tensors computed from nothing else."""
        plain = set(self.tensor_by_name) - {tensor.name for tensor in self.declared.inputs}
        plain |= set(self.declared.unbatched)
        changed = True
        while changed:
            batched = {e.name for e in self.einsums if any(access.tensor not in plain for access in e.loads)}
            changed = bool(plain & batched)
            plain -= batched
        return frozenset(plain)


def _spelling(index: Index) -> set[tuple[str, int, tuple[str, ...]]]:
    return {(term.variable, term.scale, tuple(sorted(term.scale_ranks))) for term in index.terms}
