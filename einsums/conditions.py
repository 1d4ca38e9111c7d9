"""Conditions as data: a region is a union of pieces, a piece an intersection of atoms.

Atoms over rank variables, sizes of ranks and lengths:

    HalfSpace   form + lengths >= 0, such as p - m + M - P for `m <= p + M - P`, or LEN[b] - m - 1 for `m < LEN[b]`;
                two of them are a band, such as `p - W < m and m <= p`
    Residue     form is a multiple of the modulus, such as m - p for `m % D == p % D`
    Block       both forms have one quotient, as in `m // W == p // W`
    Comparison  any other one, of tensors for instance
    Some        there are coordinates of some variables for which all of its atoms hold

Engines count bands in closed form; `region_of` puts a condition into this form, and what it means stays the same.
"""

from itertools import product
from typing import Union

from einsums.affine import ZERO, added, affine, constant, multiplied
from einsums.nodes import Access, Call, Const, Expr, Index, Load, Position, variables_of
from einsums.nouns import Noun


class Length(Noun):
    """A tensor as a summand of a half-space: `scale` times its value, an integer."""

    access: Access
    scale: int = 1


class HalfSpace(Noun):
    """form + sum of lengths >= 0. Lengths are whole numbers."""

    form: Index
    lengths: tuple[Length, ...] = ()


class Residue(Noun):
    """form is a multiple of `modulus`, a form without variables."""

    form: Index
    modulus: Index


class Block(Noun):
    """left // divisor == right // divisor, or not equal."""

    left: Index
    right: Index
    divisor: Index
    equal: bool = True


class Comparison(Noun):
    """Any other condition, kept as written; it holds or, if not `holds`, does not."""

    expr: Expr
    holds: bool = True


BOUND = "'"  # ends the name of a variable that Some binds, so that no other is meant


class Some(Noun):
    """There are coordinates of `variables` for which all atoms hold; m0' runs over rank M0."""

    variables: tuple[str, ...]
    atoms: tuple["Atom", ...]


Atom = Union[HalfSpace, Residue, Block, Comparison, Some]  # noqa: UP007 (a string annotation inside Some refers to this name)
Some.model_rebuild()
Piece = tuple[Atom, ...]
Region = tuple[Piece, ...]

EVERYWHERE: Region = ((),)
NOWHERE: Region = ()


def region_of(condition: Expr | None) -> Region:
    """A condition as a union of intersections; everywhere if there is none."""
    return EVERYWHERE if condition is None else _region(condition, True)


def intersection(one: Region, other: Region) -> Region:
    """Where both hold."""
    if other == EVERYWHERE or one == other:
        return one
    if one == EVERYWHERE:
        return other
    return simplified(tuple((*ours, *theirs) for ours, theirs in product(one, other)))


def simplified(region: Region) -> Region:
    """Repeated atoms, contradictions, and pieces inside others left out."""
    pieces = {frozenset(atom for atom in piece if not _is_always(atom)): piece for piece in region}
    kept = [piece for piece in pieces if not any(map(_is_never, piece)) and not any(other < piece for other in pieces)]
    return tuple(tuple(atom for atom in dict.fromkeys(pieces[piece]) if atom in piece) for piece in kept)


def variables_in(atom: Atom) -> tuple[str, ...]:
    """Distinct free rank variables of an atom."""
    match atom:
        case HalfSpace():
            names = [*atom.form.variables, *(name for length in atom.lengths for name in length.access.variables)]
        case Residue():
            names = list(atom.form.variables)
        case Block():
            names = [*atom.left.variables, *atom.right.variables]
        case Comparison():
            names = list(variables_of(atom.expr))
        case Some():
            names = [name for inner in atom.atoms for name in variables_in(inner) if name not in atom.variables]
    return tuple(dict.fromkeys(names))


def is_static(atom: Atom) -> bool:
    """Whether an atom depends on sizes and coordinates alone, on no tensor."""
    match atom:
        case HalfSpace():
            return not atom.lengths
        case Comparison():
            return not _has_loads(atom.expr)
        case Some():
            return all(map(is_static, atom.atoms))
    return True


def half_space(form: Index, lengths: tuple[Length, ...] = ()) -> HalfSpace:
    """A half-space in normal form: terms in the order of their names."""
    terms = tuple(sorted(form.terms, key=lambda term: (term.variable, term.scale_ranks)))
    sizes = tuple(sorted(form.sizes, key=lambda term: term.scale_ranks))
    return HalfSpace(form=Index(terms=terms, offset=form.offset, sizes=sizes), lengths=lengths)


# --- from expressions ----------------------------------------------------------------------------------------
_NEGATED = {"lt": "ge", "ge": "lt", "le": "gt", "gt": "le", "eq": "ne", "ne": "eq"}


def _region(condition: Expr, holds: bool) -> Region:
    match condition:
        case Const(value=value):
            return EVERYWHERE if (value != 0) == holds else NOWHERE
        case Call(operator="not", arguments=(inner,)):
            return _region(inner, not holds)
        case Call(operator="and" | "or", arguments=(left, right)):
            ours, theirs = _region(left, holds), _region(right, holds)
            if (condition.operator == "and") == holds:
                return intersection(ours, theirs)
            return simplified((*ours, *theirs))
        case Call(operator=operator, arguments=(left, right)) if operator in _NEGATED:
            found = _comparison(operator if holds else _NEGATED[operator], left, right)
            if found is not None:
                return simplified(found)
    return ((Comparison(expr=condition, holds=holds),),)


def _comparison(operator: str, left: Expr, right: Expr) -> Region | None:
    """A comparison as bands, residues and blocks; None if it is neither."""
    if operator in ("eq", "ne"):
        found = _by_quotients(operator == "eq", left, right)
        if found is not None:
            return found
        both = [_comparison(side, left, right) for side in (("le", "ge") if operator == "eq" else ("lt", "gt"))]
        if both[0] is None or both[1] is None:
            return None
        return intersection(both[0], both[1]) if operator == "eq" else (*both[0], *both[1])
    if operator in ("gt", "ge"):
        operator, left, right = {"gt": "lt", "ge": "le"}[operator], right, left
    return _at_most(left, right, strict=operator == "lt")


def _at_most(left: Expr, right: Expr, strict: bool) -> Region | None:
    """left <= right, or left < right."""
    match left, right:
        case Call(operator="abs" | "max"), _:  # |x| <= g where both x <= g and -x <= g
            return _of_all([_at_most(one, right, strict) for one in _alternatives(left)])
        case _, Call(operator="min"):
            return _of_all([_at_most(left, one, strict) for one in right.arguments])
        case _, Call(operator="abs" | "max"):
            return _of_any([_at_most(left, one, strict) for one in _alternatives(right)])
        case Call(operator="min"), _:
            return _of_any([_at_most(one, right, strict) for one in left.arguments])
        case Position(operator="//", form=form, divisor=Index() as by), _:  # f // d <= g where f <= g d + d - 1
            most = affine(right)
            scaled = None if most is None else multiplied(added(most, constant(0 if strict else 1)), by)
            return None if scaled is None else ((half_space(added(added(scaled, form, -1), constant(-1))),),)
        case _, Position(operator="//", form=form, divisor=Index() as by):  # g <= f // d where g d <= f
            least = affine(left)
            scaled = None if least is None else multiplied(added(least, constant(1 if strict else 0)), by)
            return None if scaled is None else ((half_space(added(form, scaled, -1)),),)
    ours, theirs = _summands(left), _summands(right)
    if ours is None or theirs is None:
        return None
    form = added(theirs[0], ours[0], -1)
    lengths = (*theirs[1], *(Length(access=one.access, scale=-one.scale) for one in ours[1]))
    if lengths and not _is_length_like(form, lengths):
        return None
    return ((half_space(added(form, constant(-1)) if strict else form, lengths),),)


def _alternatives(expr: Call) -> tuple[Expr, ...]:
    """The values of which an expression is the largest."""
    if expr.operator == "abs":
        return (*expr.arguments, Call(operator="neg", arguments=expr.arguments))
    return expr.arguments


def _of_all(found: list[Region | None]) -> Region | None:
    region = EVERYWHERE
    for one in found:
        if one is None:
            return None
        region = intersection(region, one)
    return region


def _of_any(found: list[Region | None]) -> Region | None:
    return None if None in found else tuple(piece for one in found if one is not None for piece in one)


def _is_length_like(form: Index, lengths: tuple[Length, ...]) -> bool:
    """A coordinate is compared with values that do not depend on it: a length, not a comparison of data."""
    inside = {name for length in lengths for name in length.access.variables}
    return bool(form.terms) and inside.isdisjoint(form.variables)


def _summands(expr: Expr) -> tuple[Index, tuple[Length, ...]] | None:
    """An expression as an affine form plus multiples of tensors; None for any other."""
    match expr:
        case Load():
            return ZERO, (Length(access=expr.access),)
        case Call(operator="add" | "sub", arguments=(left, right)):
            ours, theirs = _summands(left), _summands(right)
            if ours is None or theirs is None:
                return None
            sign = -1 if expr.operator == "sub" else 1
            more = tuple(Length(access=one.access, scale=sign * one.scale) for one in theirs[1])
            return added(ours[0], theirs[0], sign), (*ours[1], *more)
    form = affine(expr)
    return None if form is None else (form, ())


def _by_quotients(equal: bool, left: Expr, right: Expr) -> Region | None:
    """Equality of two quotients or remainders, or of a remainder and a number below its divisor."""
    match left, right:
        case Position(operator="//"), Position(operator="//") if left.divisor == right.divisor and left.divisor:
            return ((Block(left=left.form, right=right.form, divisor=left.divisor, equal=equal),),)
        case Position(operator="%"), Position(operator="%") if left.divisor == right.divisor and left.divisor and equal:
            return ((Residue(form=added(left.form, right.form, -1), modulus=left.divisor),),)
        case Position(operator="%", divisor=Index() as by), Const(value=value) if equal and value.is_integer():
            if value == 0 or (not by.sizes and 0 <= value < by.offset):
                return ((Residue(form=added(left.form, constant(int(value)), -1), modulus=by),),)
        case Const(), Position(operator="%"):
            return _by_quotients(equal, right, left)
    return None


# --- trivial atoms -------------------------------------------------------------------------------------------
def _is_always(atom: Atom) -> bool:
    return isinstance(atom, HalfSpace) and _is_number(atom) and atom.form.offset >= 0


def _is_never(atom: Atom) -> bool:
    return isinstance(atom, HalfSpace) and _is_number(atom) and atom.form.offset < 0


def _is_number(atom: HalfSpace) -> bool:
    return not atom.form.terms and not atom.form.sizes and not atom.lengths


def _has_loads(expr: Expr) -> bool:
    match expr:
        case Load():
            return True
        case Call():
            return any(map(_has_loads, expr.arguments))
    return False
