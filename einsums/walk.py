"""Which Einsums of a cascade visit a rank: they read or write a tensor that has all of it, along it."""

from einsums.dependence import leaves_of
from einsums.nodes import Access, Einsum
from einsums.scope import AccessAxis
from einsums.types import Cascade


class RankWalk:
    """Which Einsums visit a rank, and under which of the names that count."""

    def __init__(self, cascade: Cascade, rank: str) -> None:
        self.cascade, self.rank = cascade, rank
        names = cascade.scope.names_of(rank)
        self.is_joint = len(names) > 1 and cascade.root_of(rank) == rank
        self.names = {name: leaves_of(cascade, name) for name in (names if rank == names[0] else (rank,))}
        self.every_name = names
        self.leaves = names[:1] if self.is_joint else leaves_of(cascade, rank)
        self.visiting = frozenset(einsum.name for einsum in cascade.einsums if self.tensors_of(einsum))

    def tensors_of(self, einsum: Einsum) -> tuple[str, ...]:
        """Tensors with all of the rank that an Einsum reads or writes along it."""
        accesses = (*self.cascade.reads_of(einsum), einsum.output)
        return tuple(dict.fromkeys(access.tensor for access in accesses if self._names_along(access)))

    def names_of(self, name: str) -> tuple[str, ...]:
        """The names of the rank under which an Einsum visits it."""
        einsum = self.cascade.einsum(name)
        accesses = (*self.cascade.reads_of(einsum), einsum.output)
        return tuple(dict.fromkeys(name for access in accesses for name in self._names_along(access)))

    def _names_along(self, access: Access) -> tuple[str, ...]:
        """The names of the rank along which an access runs over all of it."""
        if self.rank in self.cascade.batch:
            return () if self.cascade.is_unbatched(access.tensor) else (self.rank,)
        moving = {leaf for axis in self.cascade.axes_of(access) if axis.at.terms for leaf in self._leaves_along(axis)}
        return tuple(name for name, leaves in self.names.items() if moving >= set(leaves))

    def _leaves_along(self, axis: AccessAxis) -> tuple[str, ...]:
        return leaves_of(self.cascade, axis.over or axis.rank)
