"""A region of existence at given sizes: its atoms as constraints with numbers (`integer_points`).

A partitioned rank of which all parts are here, none of them named alone, is one variable from 0 to its size. Otherwise
its parts are variables of their own, and a further line keeps them from leaving the rank.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from einsums.conditions import BOUND, Atom, Block, Comparison, HalfSpace, Piece, Region, Residue, Some
from einsums.conditions import variables_in as free_variables
from einsums.integer_points import (
    Constraint,
    Linear,
    Multiple,
    Opaque,
    Point,
    Quotients,
    count_points,
    fixed,
    line,
    number,
)
from einsums.nodes import Access, Call, Const, Expr, Index, Position
from einsums.operators import OPERATOR_BY_NAME
from einsums.projection import expanded
from einsums.workload import Workload

ByAccess = Mapping[Access, int]


class Constraints:
    """Constraints of a region over some rank variables; `sizes` of the variables that they are over, and the lines that
    hold in any case (`ragged`)."""

    def __init__(self, workload: Workload, variables: tuple[str, ...], region: Region) -> None:
        self.workload = workload
        self.cascade = workload.cascade
        self.apart = self._apart(variables, region)
        self.sizes: dict[str, int] = {}
        for name in variables:
            rank = self.cascade.rank_of_variable(name)
            root = self.cascade.root_of(rank)
            whole = root != rank and root not in self.apart
            self.sizes[root.lower() if whole else name] = workload.size(root if whole else rank)
        self.ragged = tuple(self._ends(root, variables) for root in self.apart)

    def _apart(self, variables: tuple[str, ...], region: Region) -> tuple[str, ...]:
        """Partitioned ranks whose parts stand for themselves: not all are here, or one is named alone."""
        named = {name for piece in region for atom in piece for name in free_variables(atom)}
        found = []
        for partition in self.cascade.partitions:
            parts = {part.lower() for part in partition.parts}
            if parts & set(variables) and (not parts <= set(variables) or parts & named):
                found.append(partition.rank)
        return tuple(found)

    def _ends(self, rank: str, variables: Iterable[str]) -> Linear:
        """That parts do not go beyond the end of their rank."""
        parts = [part for part in self.parts_of(rank) if part in variables]
        reached = {part: -self.workload.stride(part.upper()) for part in parts}
        return line(reached, self.workload.size(rank) - 1)

    def of(self, piece: Piece, lengths: ByAccess) -> tuple[Constraint, ...]:
        """Atoms with numbers."""
        return tuple(self.one(atom, lengths) for atom in piece)

    def one(self, atom: Atom, lengths: ByAccess) -> Constraint:
        """One atom with numbers."""
        match atom:
            case HalfSpace():
                total = self.line(atom.form)
                return total.plus(number(sum(one.scale * lengths[one.access] for one in atom.lengths)))
            case Residue():
                return Multiple(self.line(atom.form), self.line(atom.modulus).constant)
            case Block():
                left, right = self.line(atom.left), self.line(atom.right)
                return Quotients(left, right, self.line(atom.divisor).constant, atom.equal)
            case Comparison():
                expr = atom.expr
                variables = self.apart_variables(free_variables(atom))
                return Opaque(variables, lambda at: bool(self.value(expr, at)) == atom.holds, atom)
            case Some():
                return self.some(atom, lengths)

    def some(self, atom: Some, lengths: ByAccess) -> Opaque:
        """That some coordinates fit, decided by counting those that do."""
        inner = self.of(atom.atoms, lengths)
        ranks = {name: self.cascade.rank_of_variable(name.rstrip(BOUND)) for name in atom.variables}
        sizes = {name: self.workload.size(rank) for name, rank in ranks.items()}
        free = self.apart_variables(free_variables(atom))
        return Opaque(free, lambda at: count_points((fixed(one, at) for one in inner), sizes) > 0, (atom, inner))

    def apart_variables(self, names: Iterable[str]) -> tuple[str, ...]:
        """Variables, whole partitioned ranks that stand apart as their parts."""
        every = [part for name in names for part in (self.parts_of(name) if name.upper() in self.apart else (name,))]
        return tuple(dict.fromkeys(every))

    def parts_of(self, name: str) -> tuple[str, ...]:
        partition = self.cascade.partition_of(name.upper())
        assert partition is not None
        return tuple(part.lower() for part in partition.parts)

    def line(self, form: Index) -> Linear:
        """A form with numbers for sizes."""
        for rank in self.apart:
            if rank.lower() in form.variables:
                form = expanded(form, self.cascade.scope.partition_by_rank[rank])
        total = number(form.offset)
        for term in (*form.terms, *form.sizes):
            scale = term.scale * self.workload.times(term.scale_ranks)
            total = total.plus(line({term.variable: scale}, 0) if term.variable else number(scale))
        return total

    def value(self, expr: Expr, at: Point) -> Any:
        """An expression of positions at a point."""
        match expr:
            case Const():
                return expr.value
            case Position():
                form = self.line(expr.form).value(at)
                if expr.divisor is None:
                    return form
                by = self.line(expr.divisor).constant
                return form // by if expr.operator == "//" else form % by
            case Call():
                arguments = [self.value(argument, at) for argument in expr.arguments]
                return OPERATOR_BY_NAME[expr.operator].meaning(*arguments)
        raise AssertionError(f"{expr} depends on data")
