"""Which points of a cascade exist, and which elements of its tensors: the rule, as regions over rank variables.

A point exists where it is inside its ranks, its condition holds and all its operands exist. What follows:

    map         an element exists where its point does
    reduction   of a whole rank: a condition that involves the rank is none for the result, which is the identity where
                there is no point. Of a part of a rank: an element exists where its tile has a point
    iteration   every element exists; a step without a point passes the old value on. What reads a running value both
                before and after a step is a change over that step, and has no point where the step has none
    edge        outside a tensor with `boundary: skip` nothing exists

Regions leave out what holds inside all ranks. A whole partitioned rank is one variable: m for m1*M0+m0.
"""

from collections.abc import Iterator, Mapping
from functools import cached_property

from einsums.affine import added, constant
from einsums.conditions import (
    EVERYWHERE,
    Atom,
    Piece,
    Region,
    half_space,
    intersection,
    region_of,
    simplified,
    variables_in,
)
from einsums.graph import topological_order
from einsums.nodes import Access, Einsum, Index, Term, text_of
from einsums.problems import CascadeProblem
from einsums.projection import changed, collapsed, substituted, without
from einsums.ranges import within
from einsums.scope import Scope


class Existence:
    """Regions of a cascade: of the points of each Einsum, over its variables, and of the elements of each tensor.

    Elements are given over the variables of the left side that writes them; inputs have all of theirs.
    """

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.points: dict[str, Region] = {}
        self.elements: dict[str, Region] = {tensor.name: EVERYWHERE for tensor in scope.declared.inputs}
        self.problems: list[CascadeProblem] = []
        iterative = [name for name, _ in scope.iterative]
        self.elements |= dict.fromkeys(iterative, EVERYWHERE)
        for name in topological_order(self):
            einsum = self._by_name[name]
            self.points[name] = self._points(einsum)
            self.elements[name] = self._elements(einsum)

    @cached_property
    def _by_name(self) -> dict[str, Einsum]:
        return {einsum.name: einsum for einsum in self.scope.einsums}

    @property
    def is_plain(self) -> bool:
        """Whether every point inside the ranks exists."""
        return all(region == EVERYWHERE for region in self.points.values())

    def at(self, access: Access, region: Region) -> Region:
        """A region over the left-side variables of a tensor, where the tensor is read."""
        if region == EVERYWHERE or access.tensor not in self._by_name:
            return region
        by = self._replacements(access)
        lost = self._lost_parts(access)
        if any(lost & set(variables_in(atom)) for piece in region for atom in piece):
            message = f"{access} is read otherwise than in the parts by which its elements exist or not"
            self.problems.append(CascadeProblem(message, self._by_name[access.tensor].line))
        return tuple(
            tuple(changed(atom, lambda form: collapsed(substituted(form, by), self.scope)) for atom in piece)
            for piece in region
        )

    def _replacements(self, access: Access) -> Mapping[str, Index]:
        """The index at which each left-side variable is read, a whole partitioned rank under its own name."""
        found: dict[str, Index] = {}
        for written, read in zip(self._by_name[access.tensor].output.indices, access.indices, strict=True):
            if written.plain_variable is not None:
                found[written.plain_variable] = added(read, constant(-written.offset)) if not read.last_of else read
                continue
            found[str(self.scope.rank_of_index(written)).lower()] = read
        return found

    def _lost_parts(self, access: Access) -> set[str]:
        """Parts of left-side ranks that are read in other parts: quotients, which no affine form can say."""
        pairs = zip(self._by_name[access.tensor].output.indices, access.indices, strict=True)
        other = [written for written, read in pairs if written.plain_variable is None and str(read) != str(written)]
        return {name for written in other for name in written.variables}

    # --- points ----------------------------------------------------------------------------------------------
    def _points(self, einsum: Einsum) -> Region:
        found = within(self.own(einsum), self.scope)
        if not found:
            condition = text_of(einsum.condition, bare=True) if einsum.condition is not None else ""
            self.problems.append(CascadeProblem(f"{einsum.name}: the condition {condition} is never true", einsum.line))
        for access in einsum.reads:
            found = self._and(found, self.at(access, self.elements[access.tensor]))
            found = self._and(found, self._inside(access))
        for access in self.changes(einsum):
            found = self._and(found, self.at(access, self.points[access.tensor]))
        return within(found, self.scope)

    def _and(self, region: Region, other: Region) -> Region:
        """Where both hold; a piece that lies inside the other region stays as it is."""
        if region == EVERYWHERE or other == EVERYWHERE:
            return intersection(region, other)
        found: list[Piece] = []
        for piece in region:
            said = self._said(piece)
            inside = any(set(one) <= said for one in other)
            found += [piece] if inside else intersection((piece,), other)
        return simplified(tuple(found))

    def _said(self, piece: Piece) -> set[Atom]:
        """The atoms of a piece, and those of what it says about tiles of one part each."""
        names = {name for atom in piece for name in variables_in(atom)}
        said = set(piece)
        for part, rank in self.scope.root_by_part.items():
            if names & {part.lower(), rank.lower()}:
                for tiles in within((without(piece, part, self.scope),), self.scope):
                    said |= set(tiles)
        return said

    def own(self, einsum: Einsum) -> Region:
        """The condition of an Einsum itself."""
        return tuple(
            tuple(changed(atom, lambda form: collapsed(form, self.scope)) for atom in piece)
            for piece in region_of(einsum.condition)
        )

    def changes(self, einsum: Einsum) -> Iterator[Access]:
        """New values of running tensors that the Einsum also reads before the step."""
        for access in einsum.loads:
            place = self.scope.step_of(access)
            if place is None or access.indices[place].offset != 1:
                continue
            old = added(access.indices[place], constant(-1))
            if any(o.tensor == access.tensor and added(o.indices[place], constant(0)) == old for o in einsum.loads):
                yield access

    def _inside(self, access: Access) -> Region:
        """That the indices of a tensor with a skipped edge lie inside it."""
        if self.scope.edge_by_tensor.get(access.tensor, 0.0) is not None:
            return EVERYWHERE
        atoms: list[Atom] = []
        for axis in self.scope.axes_of(access):
            if axis.over is None or axis.at.offset or not self.scope.is_same(axis.over, axis.rank):
                end = Index(terms=(), offset=-1, sizes=(Term(variable="", scale_ranks=(axis.rank,)),))
                forms = (axis.at, added(end, axis.at, -1))
                atoms += [half_space(collapsed(form, self.scope)) for form in forms]
        return (tuple(atoms),)

    # --- elements --------------------------------------------------------------------------------------------
    def _elements(self, einsum: Einsum) -> Region:
        if einsum.name in self.scope.iterative_rank:
            start = self.scope.start_of(einsum)
            return EVERYWHERE if start is None else self.at(start, self.elements[start.tensor])
        if einsum.reduction is None:
            return self.points[einsum.name]
        return within(tuple(self._reduced(piece, einsum) for piece in self.points[einsum.name]), self.scope)

    def _reduced(self, piece: Piece, einsum: Einsum) -> Piece:
        removed = {name.upper() for name in einsum.reduced_variables}
        kept = {name.upper() for name in einsum.output.variables}
        parts = []
        gone = set()
        for rank in removed:
            mates = self.scope.mates_of(rank)
            if mates & kept:
                parts.append(rank)
            else:
                gone |= {name.lower() for name in (rank, self.scope.root_by_part.get(rank, rank))}
        found = tuple(atom for atom in piece if not gone & set(variables_in(atom)))
        for part in sorted(parts):
            found = without(found, part, self.scope)
        return found
