"""Rank variables as numbers: which root rank a variable walks, in steps of how many of its elements.

A partition M = M1 x M0 makes no rank of its own: m1 walks M in steps of M0 elements, m0 walks the elements inside one
step. So the last, ragged M0 tile is simply shorter, and a tensor over M1 alone has one word for each step, full or not.
"""

from dataclasses import dataclass

import numpy as np

from einsums.types import Access, Cascade
from mappings.naming import ranks_accessed
from sim.engine.counting import CORES

ONE, UNBOUNDED = 0, 1  # the first columns of the sizes table, before that of `CORES`
FIRST_PRODUCT = CORES + 1
_NO_END = 2**62


@dataclass(frozen=True, slots=True)
class RankPart:
    """One rank that a variable runs over: steps of `unit` elements of root rank `root`, inside `span` elements."""

    rank: str
    root: int
    level: int  # 0 is the innermost part of its root
    unit: int  # column of the sizes table
    span: int


@dataclass(frozen=True, slots=True)
class RankSpace:
    """All root ranks and parts of a cascade. `products` names the ranks whose product each further column holds."""

    roots: tuple[str, ...]
    parts: tuple[RankPart, ...]
    products: tuple[tuple[str, ...], ...]
    cascade: Cascade

    def part(self, rank: str) -> int:
        return next(i for i, part in enumerate(self.parts) if part.rank == rank)

    def parts_of_rank(self, rank: str) -> tuple[int, ...]:
        """The parts that make up a rank: itself, or every part of a partitioned root."""
        partition = self.cascade.partition_of(rank)
        return tuple(self.part(name) for name in (partition.parts if partition else (rank,)))

    def part_of_variable(self, variable: str) -> int:
        return self.part(self.cascade.rank_of_variable(variable))

    def parts_of_tensor(self, tensor: str) -> frozenset[int]:
        return frozenset(p for rank in self.cascade.ranks_of(tensor) for p in self.parts_of_rank(rank))

    def parts_of_access(self, access: Access) -> frozenset[int]:
        """Parts that an access moves over: a rank read at its last or at a constant coordinate does not count."""
        axes = (axis for axis in self.cascade.axes_of(access) if axis.at.terms)
        batch = () if self.cascade.is_unbatched(access.tensor) else self.cascade.batch
        ranks = (*batch, *(axis.over or axis.rank for axis in axes))
        return frozenset(part for rank in ranks for part in self.parts_of_rank(rank))

    def parts_named(self, access: Access) -> frozenset[int]:
        """Parts of a whole tensor by the names under which an access runs over them."""
        return frozenset(p for rank in ranks_accessed(self.cascade, access) for p in self.parts_of_rank(rank))

    def parts_of_einsum(self, einsum: str) -> frozenset[int]:
        return frozenset(self.part_of_variable(v) for v in self.cascade.variables_of(einsum))

    def runs(self, parts: frozenset[int]) -> list[tuple[int, int, int]]:
        """Neighbouring parts of one root walk it together: (root, span of the outermost, unit of the innermost)."""
        ordered = sorted(parts, key=lambda i: (self.parts[i].root, -self.parts[i].level))
        runs: list[tuple[int, int, int]] = []
        last: RankPart | None = None
        for part in (self.parts[i] for i in ordered):
            if last is not None and last.root == part.root and last.level == part.level + 1:
                runs[-1] = (part.root, runs[-1][1], part.unit)
            else:
                runs.append((part.root, part.span, part.unit))
            last = part
        return runs

    def size_columns(self, sizes: dict[str, np.ndarray], designs: int) -> np.ndarray:
        """sizes: i8[design, column], elements."""
        columns = np.ones((designs, FIRST_PRODUCT + len(self.products)), np.int64)
        columns[:, UNBOUNDED] = _NO_END
        for i, ranks in enumerate(self.products):
            for rank in ranks:
                columns[:, FIRST_PRODUCT + i] *= sizes[rank].astype(np.int64)
        return columns


def rank_space(cascade: Cascade) -> RankSpace:
    """Number the root ranks and parts of a cascade."""
    roots: list[str] = []
    parts: list[RankPart] = []
    products: list[tuple[str, ...]] = []
    for rank in cascade.leaf_ranks():
        root = cascade.root_of(rank)
        if root in roots:
            continue
        roots.append(root)
        partition = cascade.partition_of(root)
        names = partition.parts if partition else (root,)
        unit = ONE
        for level, name in enumerate(reversed(names)):
            outermost = level == len(names) - 1
            span = UNBOUNDED if outermost else FIRST_PRODUCT + len(products)
            if not outermost:
                products.append(tuple(names[len(names) - 1 - level :]))
            parts.append(RankPart(name, len(roots) - 1, level, unit, span))
            unit = span
    return RankSpace(tuple(roots), tuple(parts), tuple(products), cascade)
