"""How far a condition lets one rank variable be from another: up to it, from it on, in a window around it, anywhere.

`m <= p` with M another name of P: a reduction over m needs the rank up to p. `p - W < m <= p` needs a window, and a
condition of several alternatives what any of them needs.
"""

from collections.abc import Collection

from einsums.conditions import Block, HalfSpace, Piece, Region
from einsums.nodes import Index
from einsums.reaches import CONSTANT, EVERY, Extent, Kind
from einsums.scope import Scope


def narrowed(region: Region, removed: Collection[str], kept: Collection[str], scope: Scope) -> tuple[Extent, ...]:
    """For each alternative of a region, where the variables `removed` of one rank lie relative to variables `kept`.

    Ties are the ranks of kept variables; a partitioned rank is meant by its whole and by each of its parts.
    """
    extents = [_of_piece(piece, frozenset(removed), frozenset(kept), scope) for piece in region]
    return tuple(dict.fromkeys(extents)) if extents else (CONSTANT,)


def window_words(piece: Piece, removed: Collection[str], kept: Collection[str], scope: Scope) -> Index | None:
    """How many coordinates a window around a kept variable has: W of `p - W < m and m <= p`; None without a window."""
    halves = [_half(atom, frozenset(removed), frozenset(kept), scope) for atom in piece if isinstance(atom, HalfSpace)]
    for first in halves:
        for other in halves:
            if first is not None and other is not None and first.sign < 0 < other.sign and first.tie == other.tie:
                offset = first.rest.offset + other.rest.offset + 1
                return Index(terms=(), sizes=(*first.rest.sizes, *other.rest.sizes), offset=offset)
    return None


class _Half:
    """A half-space that bounds a removed variable by a kept one: below if sign is positive, above if negative."""

    def __init__(self, sign: int, tie: frozenset[str], rest: Index) -> None:
        self.sign, self.tie, self.rest = sign, tie, rest


def _of_piece(piece: Piece, removed: frozenset[str], kept: frozenset[str], scope: Scope) -> Extent:
    found: dict[frozenset[str], set[int]] = {}
    strict, fixed = set[frozenset[str]](), False
    for atom in piece:
        if isinstance(atom, Block) and atom.equal:
            sides = [set(side.variables) for side in (atom.left, atom.right)]
            ties = [_ties(side & kept, scope) for side in sides if side and side <= kept]
            if ties and any(side and side <= removed for side in sides):
                found.setdefault(ties[0], set()).update((-1, 1))
        if not isinstance(atom, HalfSpace) or atom.lengths:
            continue
        half = _half(atom, removed, kept, scope)
        if half is not None:
            found.setdefault(half.tie, set()).add(half.sign)
            if half.sign < 0 and half.rest.offset < 0 and not half.rest.sizes:
                strict.add(half.tie)
        fixed = fixed or _is_prefix(atom, removed, scope)
    for tie, signs in found.items():
        if signs == {-1, 1}:
            return Extent(Kind.WINDOW, tie)
    if fixed:
        return CONSTANT
    for tie, signs in found.items():
        if signs == {-1}:
            return Extent(Kind.EARLIER if tie in strict else Kind.UPTO, tie)
        return Extent(Kind.FROM, tie)
    return EVERY


def _half(atom: HalfSpace, removed: frozenset[str], kept: frozenset[str], scope: Scope) -> _Half | None:
    if atom.lengths:
        return None
    ours = [term for term in atom.form.terms if term.variable in removed]
    theirs = [term for term in atom.form.terms if term.variable in kept]
    if not ours or not theirs or len(ours) + len(theirs) != len(atom.form.terms):
        return None
    signs = {term.scale > 0 for term in ours}
    if len(signs) > 1 or any((term.scale > 0) in signs for term in theirs):
        return None
    tie = _ties({term.variable for term in theirs}, scope)
    rest = Index(terms=(), sizes=atom.form.sizes, offset=atom.form.offset)
    return _Half(1 if True in signs else -1, tie, rest)


def _ties(variables: Collection[str], scope: Scope) -> frozenset[str]:
    """Leaf ranks of variables, a whole partitioned rank by its parts."""
    partitions = scope.partition_by_rank
    return frozenset(
        leaf
        for name in variables
        for leaf in (partitions[name.upper()].parts if name.upper() in partitions else (name.upper(),))
    )


def _is_prefix(atom: HalfSpace, removed: frozenset[str], scope: Scope) -> bool:
    """removed < a size that is not that of its own rank, as in `m < META`."""
    terms = atom.form.terms
    if not terms or not {term.variable for term in terms} <= removed or any(term.scale > 0 for term in terms):
        return False
    own = {scope.root_by_part.get(name.upper(), name.upper()) for name in removed}
    own |= {scope.first_name.get(name, name) for name in own}
    sizes = {rank for term in atom.form.sizes for rank in term.scale_ranks}
    return not sizes & (own | {part for rank in own for part in scope.parts_of(rank)})
