"""What bands say inside the ranks of their variables: always, never, or something, whatever the sizes are."""

from itertools import combinations

from einsums.affine import added
from einsums.conditions import Atom, HalfSpace, Piece, Region, simplified
from einsums.nodes import Index, Term
from einsums.projection import substituted
from einsums.scope import Scope


def within(region: Region, scope: Scope) -> Region:
    """A region without the bands that hold everywhere inside the ranks, and without the pieces that hold nowhere."""
    kept = []
    for piece in region:
        if not _is_empty(piece, scope):
            kept.append(tuple(atom for atom in piece if not _always(atom, scope)))
    return simplified(tuple(kept))


def _is_empty(piece: Piece, scope: Scope) -> bool:
    bands = [atom for atom in piece if isinstance(atom, HalfSpace) and not atom.lengths]
    sums = (added(one.form, other.form) for one, other in combinations(bands, 2))
    return any(_is_negative(_extreme(form, True, scope)) for form in (*(one.form for one in bands), *sums))


def _always(atom: Atom, scope: Scope) -> bool:
    if not isinstance(atom, HalfSpace) or atom.lengths:
        return False
    least = _extreme(atom.form, False, scope)
    return not least.terms and all(term.scale >= 0 for term in least.sizes) and _of_ones(least) >= 0


def _is_negative(most: Index) -> bool:
    return not most.terms and all(term.scale <= 0 for term in most.sizes) and _of_ones(most) < 0


def _of_ones(form: Index) -> int:
    """The value where every rank has one coordinate."""
    return form.offset + sum(term.scale for term in form.sizes)


def _extreme(form: Index, largest: bool, scope: Scope) -> Index:
    """The largest or smallest value of a form inside the ranks, as a form of sizes."""
    ends = {}
    variables = form.variables
    for term in form.terms:
        if variables.count(term.variable) > 1:  # its terms may pull in both directions: left as it is
            continue
        rank = term.variable.upper()
        size = Term(variable="", scale_ranks=(scope.first_name.get(rank, rank),))
        ends[term.variable] = (
            Index(terms=(), offset=-1, sizes=(size,)) if (term.scale > 0) == largest else Index(terms=())
        )
    return substituted(form, ends)
