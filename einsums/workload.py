"""A cascade with sizes.

Sizes are given for whole ranks and for the inner parts of partitions; the outermost part follows, M1 = ceil(M
/ M0). A ragged last tile is counted exactly: parts (m1, m0) exist only where m1*M0 + m0 < M, so an Einsum
over both has M points and not M1*M0. All counts are Python integers.
"""

from collections.abc import Iterable
from functools import cached_property
from typing import Any

from pydantic import ValidationInfo, field_validator

from einsums.names import near_or_all
from einsums.nodes import Index
from einsums.nouns import Noun
from einsums.problems import CascadeProblem, listed, raise_problems
from einsums.types import Cascade


class RankSize(Noun):
    """How many coordinates a rank has."""

    rank: str
    size: int

    @field_validator("size", mode="before")
    @classmethod
    def _positive(cls, value: Any, info: ValidationInfo) -> Any:
        rank = info.data.get("rank", "a rank")
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ValueError(f"the size of {rank} must be an integer of at least 1, found {value!r}")
        return value


class Workload(Noun):
    """A cascade at given rank sizes, every value `bits` wide."""

    cascade: Cascade
    bits: int
    sizes: tuple[RankSize, ...]  # last: its validator sees the cascade

    @field_validator("bits", mode="before")
    @classmethod
    def _positive_bits(cls, value: Any) -> Any:
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ValueError(f"bits must be an integer of at least 1, found {value!r}")
        return value

    @field_validator("sizes", mode="before")
    @classmethod
    def _sizes_of_mapping(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return tuple({"rank": rank, "size": size} for rank, size in value.items())

    @field_validator("sizes")
    @classmethod
    def _every_rank_sized(cls, value: tuple[RankSize, ...], info: ValidationInfo) -> tuple[RankSize, ...]:
        if "cascade" in info.data:
            cascade: Cascade = info.data["cascade"]
            raise_problems(_size_problems(cascade, value))
            raise_problems(_reach_problems(cascade, _size_by_rank(cascade, value)))
        return value

    @cached_property
    def size_by_rank(self) -> dict[str, int]:
        """Sizes of whole ranks and of all parts."""
        return _size_by_rank(self.cascade, self.sizes)

    def size(self, rank: str) -> int:
        """Coordinates of a rank or part; an outermost part counts its ragged last tile."""
        if rank not in self.size_by_rank:
            raise ValueError(f"no rank in {self.cascade.name} is called '{rank}'{near_or_all(rank, self.size_by_rank)}")
        return self.size_by_rank[rank]

    def times(self, ranks: Iterable[str]) -> int:
        """Coordinates of several ranks multiplied."""
        return _product(self.size(rank) for rank in ranks)

    def stride(self, rank: str) -> int:
        """Coordinates of the whole rank that a step of a part covers: M0 for M1, 1 for M0 and whole ranks."""
        partition = self.cascade.partition_of(self.cascade.root_of(rank))
        if partition is None or rank == partition.rank:
            return 1
        return _product(self.size(part) for part in partition.parts[partition.parts.index(rank) + 1 :])


def _product(factors: Any) -> int:
    result = 1
    for factor in factors:
        result *= factor
    return result


def _size_by_rank(cascade: Cascade, sizes: tuple[RankSize, ...]) -> dict[str, int]:
    by_rank = {item.rank: item.size for item in sizes}
    aliases = cascade.scope.first_name  # all names of a rank have one size
    by_rank = {aliases[rank]: size for rank, size in by_rank.items() if rank in aliases} | by_rank
    by_rank |= {name: by_rank[first] for name, first in aliases.items()}
    for partition in cascade.partitions:
        tile = _product(by_rank[part] for part in partition.inner)
        by_rank[partition.parts[0]] = -(-by_rank[partition.rank] // tile)
    return by_rank


def _size_problems(cascade: Cascade, sizes: tuple[RankSize, ...]) -> list[CascadeProblem]:
    inner = [part for partition in cascade.partitions for part in partition.inner]
    outermost = {partition.parts[0]: partition for partition in cascade.partitions}
    needed = [*cascade.scope.roots, *inner]
    given = {item.rank: item.size for item in sizes}
    problems = [
        CascadeProblem(f"the size of {name} is given twice")
        for name in given
        if [s.rank for s in sizes].count(name) > 1
    ]
    for rank in given:
        if rank not in needed and rank not in outermost:
            problems.append(CascadeProblem(f"size of unknown rank '{rank}'{near_or_all(rank, needed)}"))
    firsts = cascade.scope.first_name
    sized = {name for rank in given for name in (rank, firsts.get(rank, rank))}
    for name, first in firsts.items():
        for other in (first, *(alias for alias in firsts if firsts[alias] == first)):
            if name in given and given[name] != given.get(other, given[name]):
                message = f"{name} is another name of {other}, but their sizes are {given[name]} and {given[other]}"
                problems.append(CascadeProblem(message))
                break
    missing = [rank for rank in needed if firsts.get(rank, rank) not in sized]
    if missing:
        problems.append(CascadeProblem(f"{cascade.name} needs the size of {listed(missing)}"))
        return problems
    derived = _size_by_rank(cascade, sizes)
    for part, partition in outermost.items():
        if given.get(part, derived[part]) != derived[part]:
            tile = " * ".join(partition.inner)
            found = f"found {given[part]}"
            problems.append(
                CascadeProblem(f"{part} must be ceil({partition.rank} / ({tile})) = {derived[part]}, {found}")
            )
    return problems


def _reach_problems(cascade: Cascade, size_by_rank: dict[str, int]) -> list[CascadeProblem]:
    """Affine indices that leave the rank they index, unless a boundary or a condition says what happens there."""
    problems = []
    for einsum in cascade.einsums:
        for access in einsum.loads if einsum.condition is None else ():
            for rank, over, index in cascade.axes_of(access):
                has_edge = access.tensor in cascade.scope.edge_by_tensor
                if index.last_of or has_edge or (over is not None and cascade.scope.is_same(over, rank)):
                    continue
                size = size_by_rank[rank] + (cascade.scope.iterative_rank.get(access.tensor) == rank)
                low, high = _reach(cascade, index, size_by_rank)
                if low < 0 or high >= size:
                    message = f"{access} reads coordinates {low} to {high} of {rank}, which has 0 to {size - 1}"
                    problems.append(CascadeProblem(f"{einsum.name}: {message}", einsum.line))
    return problems


def _reach(cascade: Cascade, index: Index, size_by_rank: dict[str, int]) -> tuple[int, int]:
    low = high = index.offset + sum(
        term.scale * _product(size_by_rank[rank] for rank in term.scale_ranks) for term in index.sizes
    )
    for term in index.terms:
        step = term.scale * _product(size_by_rank[rank] for rank in term.scale_ranks)
        end = step * (size_by_rank[cascade.rank_of_variable(term.variable)] - 1)
        low, high = low + min(end, 0), high + max(end, 0)
    return low, high


# --- counts ------------------------------------------------------------------------------------------------
def count_coordinates(workload: Workload, ranks: tuple[str, ...]) -> int:
    """How many coordinate tuples over distinct `ranks` exist; parts count only up to the end of their rank."""
    cascade, count = workload.cascade, 1
    for partition in cascade.partitions:
        count *= _existing(workload, partition.parts, frozenset(ranks))
    parts = {part for partition in cascade.partitions for part in partition.parts}
    return count * _product(workload.size(rank) for rank in ranks if rank not in parts)


def _existing(workload: Workload, parts: tuple[str, ...], chosen: frozenset[str]) -> int:
    """Distinct values of the chosen digits among the mixed-radix numbers 0 .. M-1.

    A choice exists if the number with those digits and zeros elsewhere is at most M-1; so compare with the
    digits of M-1 from the outermost on: a smaller digit leaves all later ones free.
    """
    rest = workload.size(workload.cascade.root_of(parts[0])) - 1
    count = 0
    for place, part in enumerate(parts):
        digit, rest = divmod(rest, workload.stride(part))
        free = _product(workload.size(later) for later in parts[place + 1 :] if later in chosen)
        if part in chosen:
            count += digit * free
        elif digit:
            return count + free
    return count + 1
