"""Which points exist, spelled out: the rule of `docs/formats.md` put to every single point. The oracle's alone.

A point exists where its condition holds and all its operands exist; an element of a map where its point does, of a
reduction over a part of a rank where any point of its tile does, of any other reduction always. Running values exist at
every step, and what reads one before and after a step has points where the step has.
"""

from functools import cached_property
from itertools import product

from einsums.nodes import Access, Call, Const, Einsum, Expr, Index, Position, variables_of
from einsums.operators import OPERATOR_BY_NAME
from einsums.types import Cascade
from tests.oracle_space import Space

Point = dict[str, int]  # by rank variable
Key = tuple[tuple[str, int], ...]
Gone = frozenset[str]
NONE: Gone = frozenset()


class ExistingPoints:
    """Points of a cascade at some sizes, batch ranks left out: no condition speaks of them."""

    def __init__(self, cascade: Cascade, sizes: dict[str, int]) -> None:
        self.cascade, self.space = cascade, Space(cascade, sizes)
        self.known: dict[tuple[str, Key], bool] = {}

    @cached_property
    def is_plain(self) -> bool:
        return all(einsum.condition is None for einsum in self.cascade.einsums)

    def size(self, rank: str) -> int:
        """Coordinates of a rank or a part."""
        root = self.cascade.root_of(rank)
        if rank == root:
            return self.space.sizes[root]
        return len(self.space.coordinates(root, (rank,), self.space.whole()))

    def form(self, index: Index, point: Point) -> int:
        if index.last_of is not None:
            return self.size(index.last_of)
        total = index.offset
        for term in (*index.terms, *index.sizes):
            value = term.scale * (point[term.variable] if term.variable else 1)
            for rank in term.scale_ranks:
                value *= self.size(rank)
            total += value
        return total

    def value(self, expr: Expr, point: Point, gone: Gone) -> float:
        """A condition at a point; comparisons with a coordinate that is gone hold."""
        match expr:
            case Const():
                return expr.value
            case Position():
                whole = self.form(expr.form, point)
                if expr.divisor is None:
                    return whole
                by = self.form(expr.divisor, point)
                return whole // by if expr.operator == "//" else whole % by
            case Call():
                if gone & set(variables_of(expr)) and expr.operator not in ("and", "or"):
                    return 1.0
                values = [self.value(argument, point, gone) for argument in expr.arguments]
                return float(OPERATOR_BY_NAME[expr.operator].meaning(*values))
        raise AssertionError("no condition of these tests is over data")

    def exists(self, einsum: Einsum, point: Point, gone: Gone = NONE) -> bool:
        """Whether a point inside all ranks exists; `gone`: variables that a reduction removes further on."""
        key = (einsum.name, tuple((name, point[name]) for name in einsum.variables if name not in gone))
        if key not in self.known:
            holds = einsum.condition is None or bool(self.value(einsum.condition, point, gone))
            self.known[key] = holds and all(self.is_there(access, point, gone) for access in einsum.loads)
            if self.known[key]:
                self.known[key] = all(self.exists(self.cascade.einsum(t), point, gone) for t in self.corrected(einsum))
        return self.known[key]

    def corrected(self, einsum: Einsum) -> list[str]:
        """Running values that an Einsum reads both before and after a step."""
        found = []
        for tensor, rank in self.cascade.iterative:
            place = self.cascade.tensor(tensor).ranks.index(rank)
            loads = [a for a in einsum.loads if a.tensor == tensor and a.indices[place].last_of is None]
            if {access.indices[place].offset for access in loads} == {0, 1}:
                found.append(tensor)
        return found

    def is_there(self, access: Access, point: Point, gone: Gone) -> bool:
        """Whether the element that an access reads exists."""
        maker = next((einsum for einsum in self.cascade.einsums if einsum.name == access.tensor), None)
        if maker is None or self.cascade.is_iterative(access.tensor):
            return True
        at: Point = {}
        lost = set[str]()
        for index, read in zip(maker.output.indices, access.indices, strict=True):
            lost |= set(index.variables) if gone & set(read.variables) else set()
            if index.plain_variable is not None and not gone & set(read.variables):
                at[index.plain_variable] = self.form(read, point)
            elif index.plain_variable is None:  # m1*M0+m0, read as it is written
                assert str(index) == str(read)
                at |= {name: point[name] for name in index.variables if name not in gone}
        parts = [name for name in maker.reduced_variables if self.is_part_of_kept(maker, name)]
        lost |= set(maker.reduced_variables) - set(parts)
        spaces = [range(self.size(name.upper())) for name in parts]
        points = (at | dict(zip(parts, place, strict=True)) for place in product(*spaces))
        return any(self.is_inside(one) and self.exists(maker, one, frozenset(lost)) for one in points)

    def is_part_of_kept(self, maker: Einsum, name: str) -> bool:
        root = self.cascade.root_of(name.upper())
        return any(self.cascade.root_of(other.upper()) == root for other in maker.output.variables)

    def is_inside(self, point: Point) -> bool:
        """Whether parts do not leave their rank."""
        for partition in self.cascade.partitions:
            parts = tuple(part for part in partition.parts if part.lower() in point)
            here = tuple(point[part.lower()] for part in parts)
            if parts and here not in self.space.coordinates(partition.rank, parts, self.space.whole()):
                return False
        return True

    def of_box(self, einsum: Einsum, extents: dict[str, tuple[int, int]]) -> int:
        """Existing points of an Einsum inside extents of root ranks, without the batch."""
        ranks = tuple(name.upper() for name in einsum.variables)
        groups = self.space.by_root(ranks)
        lists = [self.space.coordinates(root, parts, extents) for root, parts in groups]
        names = [part.lower() for _, parts in groups for part in parts]
        points = (dict(zip(names, sum(place, ()), strict=True)) for place in product(*lists))
        return sum(self.exists(einsum, point) for point in points)
