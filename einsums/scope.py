"""What the names of a cascade refer to: which rank a variable runs over, which ranks a tensor has.

A rank variable is the lower case of a rank. If a rank is partitioned, variables run over its parts (its leaves) and the
rank itself is written `m1*M0+m0`. An intermediate tensor has the ranks of its left-side indices.

A rank may have several names, `ranks: {P: position, M: {same: P}}`. A tensor has one of them at each of its places; an
access may run over another one there. So ask the access what it runs over (`axes_of`), not the tensor.
"""

from functools import cached_property
from typing import NamedTuple

from einsums.nodes import Access, Einsum, Index, Term
from einsums.nouns import Boundary, InitialValue, Partition, Rank, Tensor


def recomposition(partition: Partition) -> Index:
    """The index that denotes a partitioned rank: m2*M1*M0 + m1*M0 + m0."""
    terms = tuple(
        Term(variable=part.lower(), scale_ranks=partition.parts[place + 1 :])
        for place, part in enumerate(partition.parts)
    )
    return Index(terms=terms)


class AccessAxis(NamedTuple):
    """One place of an access: the tensor's rank there, and the rank that the index runs over.

    They differ where the tensor is read under another name of its rank, as in K[e,m] of a tensor over E and P.
    `over` is None where the index is no rank variable and no whole partition: h+r, T-1-t, a number, the last step.
    """

    rank: str
    over: str | None
    at: Index


class Declarations(NamedTuple):
    """What a cascade declares before its Einsums."""

    ranks: tuple[Rank, ...]
    partitions: tuple[Partition, ...]
    batch: tuple[str, ...]
    unbatched: tuple[str, ...]
    inputs: tuple[Tensor, ...]
    outputs: tuple[str, ...]
    initial: tuple[InitialValue, ...]
    boundaries: tuple[Boundary, ...]


class Scope:
    """Look-ups over declarations and Einsums; built once per cascade, never changed."""

    def __init__(self, declared: Declarations, einsums: tuple[Einsum, ...]) -> None:
        self.declared = declared
        self.einsums = einsums

    @cached_property
    def einsum_by_name(self) -> dict[str, Einsum]:
        """The Einsum that writes each tensor."""
        return {einsum.name: einsum for einsum in self.einsums}

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
    def first_name(self) -> dict[str, str]:
        """M -> P for every rank that is another name of P."""
        return {rank.name: rank.same for rank in self.declared.ranks if rank.same}

    def is_same(self, one: str, other: str) -> bool:
        """Whether two names mean one rank."""
        return self.first_name.get(one, one) == self.first_name.get(other, other)

    def axes_of(self, access: Access) -> tuple[AccessAxis, ...]:
        """The places of an access, in order."""
        ranks = self.tensor_by_name[access.tensor].ranks
        pairs = zip(ranks, access.indices, strict=True)
        return tuple(
            AccessAxis(rank, None if index.last_of else self.rank_of_index(index), index) for rank, index in pairs
        )

    @cached_property
    def edge_by_tensor(self) -> dict[str, float | None]:
        """What lies outside a tensor that may be read there: a value, or None where nothing exists."""
        return {item.tensor: item.value for item in self.declared.boundaries}

    @cached_property
    def start_by_tensor(self) -> dict[str, str]:
        """H -> H0 for an iterative tensor that starts from a tensor."""
        return {item.tensor: item.source for item in self.declared.initial if item.source}

    def start_of(self, einsum: Einsum) -> Access | None:
        """What an iterative Einsum reads before its first step: its start at the other indices of its left side."""
        source = self.start_by_tensor.get(einsum.name)
        if source is None or einsum.name not in self.iterative_rank:
            return None
        return Access(tensor=source, indices=tuple(index for index in einsum.output.indices if not index.offset))

    def reads_of(self, einsum: Einsum) -> tuple[Access, ...]:
        """Everything an Einsum reads: right side, condition, and the start of its iteration."""
        start = self.start_of(einsum)
        return (*einsum.reads, *((start,) if start is not None and start not in einsum.reads else ()))

    def names_of(self, rank: str) -> tuple[str, ...]:
        """All names of a rank, the first one first."""
        first = self.first_name.get(rank, rank)
        return (first, *(name for name, other in self.first_name.items() if other == first))

    def parts_of(self, rank: str) -> tuple[str, ...]:
        """The parts of a partitioned rank; none of any other."""
        return self.partition_by_rank[rank].parts if rank in self.partition_by_rank else ()

    def mates_of(self, rank: str) -> frozenset[str]:
        """The other parts of the partition that a part belongs to; none for a rank that is no part."""
        root = self.root_by_part.get(rank)
        return frozenset(self.partition_by_rank[root].parts) - {rank} if root else frozenset()

    def step_of(self, access: Access) -> int | None:
        """The place of the iterative rank in an access of a running tensor; None for any other tensor."""
        rank = self.iterative_rank.get(access.tensor)
        return None if rank is None else self.tensor_by_name[access.tensor].ranks.index(rank)

    @cached_property
    def leaf_ranks(self) -> tuple[str, ...]:
        """Every rank a variable may run over, batch ranks first, parts in place of partitioned ranks."""
        leaves: list[str] = []
        for rank in self.roots:
            leaves.extend(self.partition_by_rank[rank].parts if rank in self.partition_by_rank else (rank,))
        return tuple(leaves)

    @cached_property
    def leaf_by_variable(self) -> dict[str, str]:
        """m1 -> M1, for every variable of an iteration space, those of the batch included."""
        return {rank.lower(): rank for rank in self.leaf_ranks}

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
            batched = {e.name for e in self.einsums if any(access.tensor not in plain for access in self.reads_of(e))}
            changed = bool(plain & batched)
            plain -= batched
        return frozenset(plain)


def _spelling(index: Index) -> set[tuple[str, int, tuple[str, ...]]]:
    return {(term.variable, term.scale, tuple(sorted(term.scale_ranks))) for term in index.terms}
