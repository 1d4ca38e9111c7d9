"""Coordinates, spelled out: which elements of a tensor an access touches while the loops stand somewhere.

An element is a tuple of coordinates, for each root rank of its tensor those of the rank's parts. Extents say which elements of
every root rank the loops have reached. The oracle's alone: nothing here is shared with the engines.
"""

from collections.abc import Iterator
from functools import cached_property
from itertools import product

from einsums.types import Access, Cascade

Element = tuple[tuple[int, ...], ...]
Extents = dict[str, tuple[int, int]]  # root rank -> elements from, to


class Space:
    """Coordinates of rank variables over elements of root ranks."""

    def __init__(self, cascade: Cascade, sizes: dict[str, int]) -> None:
        self.cascade = cascade
        self.unit: dict[str, int] = {}
        self.span: dict[str, int | None] = {}
        self.sizes = sizes
        self.known: dict[tuple[str, tuple[str, ...], int, int], tuple[tuple[int, ...], ...]] = {}
        for rank in cascade.leaf_ranks():
            partition = cascade.partition_of(cascade.root_of(rank))
            parts = partition.parts if partition else (rank,)
            self.unit[rank] = 1
            for inner in parts[parts.index(rank) + 1 :]:
                self.unit[rank] *= sizes[inner]
            self.span[rank] = None if rank == parts[0] else sizes[rank]

    def whole(self) -> Extents:
        return {root: (0, self.sizes[root]) for root in map(self.cascade.root_of, self.cascade.leaf_ranks())}

    def coordinate(self, rank: str, element: int) -> int:
        span = self.span[rank]
        return element // self.unit[rank] if span is None else element // self.unit[rank] % span

    def coordinates(self, root: str, ranks: tuple[str, ...], extents: Extents) -> tuple[tuple[int, ...], ...]:
        """Distinct coordinates of some parts of a root over an extent of it."""
        low, high = extents[root]
        key = (root, ranks, low, high)
        if key not in self.known:
            found = (tuple(self.coordinate(rank, x) for rank in ranks) for x in range(low, high))
            self.known[key] = tuple(dict.fromkeys(found))
        return self.known[key]

    def by_root(self, ranks: tuple[str, ...]) -> tuple[tuple[str, tuple[str, ...]], ...]:
        """Ranks in groups of one root; a partitioned rank stands for all its parts."""
        groups: dict[str, list[str]] = {}
        for rank in ranks:
            partition = self.cascade.partition_of(rank)
            parts = partition.parts if partition else (rank,)
            groups.setdefault(self.cascade.root_of(rank), []).extend(parts)
        return tuple((root, tuple(sorted(set(parts), key=lambda r: -self.unit[r]))) for root, parts in groups.items())

    def count(self, ranks: tuple[str, ...], extents: Extents) -> int:
        """Distinct coordinates over several roots."""
        number = 1
        for root, parts in self.by_root(ranks):
            number *= len(self.coordinates(root, parts, extents))
        return number

    def split(self, rank: str, tile: int, extents: Extents) -> Iterator[Extents]:
        """The iterations of a loop, the last one ragged."""
        root = self.cascade.root_of(rank)
        low, high = extents[root]
        span = self.span[rank]
        if span is not None:
            outer = self.unit[rank] * span
            assert low // outer == (high - 1) // outer, f"a loop over {rank} around the steps of its outer part"
        for start in range(low, high, tile * self.unit[rank]):
            yield {**extents, root: (start, min(high, start + tile * self.unit[rank]))}


class View:
    """Which elements of a tensor an access touches."""

    def __init__(self, space: Space, access: Access, shifted: bool = True) -> None:
        cascade = space.cascade
        self.space, self.access = space, access
        self.known: dict[tuple[tuple[int, int], ...], frozenset[Element]] = {}
        own = tuple(axis.over or axis.rank for axis in cascade.axes_of(access))  # by the names that the access uses
        self.groups = space.by_root((*(() if cascade.is_unbatched(access.tensor) else cascade.batch), *own))
        self.iterative = dict(cascade.iterative).get(access.tensor)
        self.offset, self.is_last = 0, False
        for rank, index in zip(cascade.tensor(access.tensor).ranks, access.indices, strict=True):
            if rank == self.iterative and shifted:
                self.offset, self.is_last = index.offset, index.last_of is not None
        steps = space.whole()
        self.last = (
            len(space.coordinates(cascade.root_of(self.iterative), (self.iterative,), steps)) if self.iterative else 0
        )

    @cached_property
    def version(self) -> str:
        if self.iterative is None:
            return "plain"
        return "last" if self.is_last else ("new" if self.offset else "old")

    def elements(self, extents: Extents) -> frozenset[Element]:
        key = tuple(extents[root] for root, _ in self.groups)
        if key not in self.known:
            self.known[key] = frozenset(product(*(self._of_root(root, ranks, extents) for root, ranks in self.groups)))
        return self.known[key]

    def _of_root(self, root: str, ranks: tuple[str, ...], extents: Extents) -> list[tuple[int, ...]]:
        found = self.space.coordinates(root, ranks, extents)
        if self.iterative not in ranks or not (self.offset or self.is_last):
            return list(found)
        at = ranks.index(self.iterative)
        moved = ((*c[:at], self.last if self.is_last else c[at] + self.offset, *c[at + 1 :]) for c in found)
        return list(dict.fromkeys(moved))

    def matches(self, element: Element, fixed: dict[str, int]) -> bool:
        """Whether an element has these coordinates, of the ranks that the tensor has and that are not read elsewhere."""
        for (_, ranks), coordinates in zip(self.groups, element, strict=True):
            for rank, coordinate in zip(ranks, coordinates, strict=True):
                if rank not in fixed:
                    continue
                moved = self.last if self.is_last else fixed[rank] + self.offset
                if coordinate != (moved if rank == self.iterative else fixed[rank]):
                    return False
        return True

    def step_of(self, element: Element) -> int:
        """The coordinate along the iterative rank."""
        assert self.iterative is not None
        for (_, ranks), coordinates in zip(self.groups, element, strict=True):
            if self.iterative in ranks:
                return coordinates[ranks.index(self.iterative)]
        raise AssertionError("an iterative tensor has its rank")

    def without_step(self, element: Element) -> Element:
        return tuple(
            tuple(c for rank, c in zip(ranks, coordinates, strict=True) if rank != self.iterative)
            for (_, ranks), coordinates in zip(self.groups, element, strict=True)
        )
