"""What is left of atoms when coordinates change: read at other indices, seen without a part of their rank.

A whole partitioned rank is one variable here: m1*M0+m0 is `m`. Without m0, a half-space over m becomes one over m1 by
Fourier-Motzkin elimination, which is exact for integers because the coefficients of m0 are 1 and -1. Where they are
others, what is left says that there is *some* m0.
"""

from collections.abc import Callable, Mapping

from einsums.affine import ZERO, added, constant, multiplied
from einsums.conditions import (
    BOUND,
    Atom,
    Block,
    Comparison,
    HalfSpace,
    Length,
    Piece,
    Residue,
    Some,
    half_space,
    variables_in,
)
from einsums.nodes import Access, Call, Expr, Index, Load, Position, Term
from einsums.nouns import Partition
from einsums.scope import Scope, recomposition


def substituted(form: Index, by: Mapping[str, Index]) -> Index:
    """The form with variables replaced by forms; variables without a replacement stay."""
    total = Index(terms=(), offset=form.offset, sizes=form.sizes)
    for term in form.terms:
        own = by.get(term.variable, Index(terms=(Term(variable=term.variable),)))
        if own.last_of:
            own = Index(terms=(), sizes=(Term(variable="", scale_ranks=(own.last_of,)),))
        factor = Index(terms=(), sizes=(Term(variable="", scale=term.scale, scale_ranks=term.scale_ranks),))
        if not term.scale_ranks:
            factor = constant(term.scale)
        product = multiplied(own, factor)
        assert product is not None  # the factor has no variable
        total = added(total, product)
    return total


def changed(atom: Atom, change: Callable[[Index], Index]) -> Atom:
    """The atom with every affine form in it replaced, those inside indices of tensors included."""
    match atom:
        case HalfSpace():
            lengths = tuple(Length(access=_moved(one.access, change), scale=one.scale) for one in atom.lengths)
            return half_space(change(atom.form), lengths)
        case Residue():
            return Residue(form=change(atom.form), modulus=change(atom.modulus))
        case Block():
            left, right, by = change(atom.left), change(atom.right), change(atom.divisor)
            return Block(left=left, right=right, divisor=by, equal=atom.equal)
        case Comparison():
            return Comparison(expr=moved(atom.expr, change), holds=atom.holds)
        case Some():
            return Some(variables=atom.variables, atoms=tuple(changed(inner, change) for inner in atom.atoms))


def _moved(access: Access, change: Callable[[Index], Index]) -> Access:
    indices = tuple(index if index.last_of else change(index) for index in access.indices)
    return Access(tensor=access.tensor, indices=indices)


def moved(expr: Expr, change: Callable[[Index], Index]) -> Expr:
    """The expression with every affine form in it replaced."""
    match expr:
        case Load():
            return Load(access=_moved(expr.access, change))
        case Position():
            by = None if expr.divisor is None else change(expr.divisor)
            return Position(form=change(expr.form), operator=expr.operator, divisor=by)
        case Call():
            return Call(operator=expr.operator, arguments=tuple(moved(one, change) for one in expr.arguments))
    return expr


# --- whole ranks ---------------------------------------------------------------------------------------------
def collapsed(form: Index, scope: Scope) -> Index:
    """The form with m1*M0+m0 written as m, and sizes of ranks under their first names."""
    for partition in scope.declared.partitions:
        last = partition.parts[-1].lower()
        for term in form.terms:
            if term.variable == last and not term.scale_ranks:
                whole = _times(recomposition(partition), term.scale)
                rest = added(form, whole, -1)
                if not set(rest.variables) & {part.lower() for part in partition.parts}:
                    form = added(rest, Index(terms=(Term(variable=partition.rank.lower(), scale=term.scale),)))
                break
    sizes = tuple(
        Term(variable="", scale=t.scale, scale_ranks=tuple(scope.first_name.get(r, r) for r in t.scale_ranks))
        for t in form.sizes
    )
    return added(ZERO, Index(terms=form.terms, offset=form.offset, sizes=sizes))


def _times(form: Index, factor: int) -> Index:
    return added(ZERO, form, factor)


def expanded(form: Index, partition: Partition) -> Index:
    """The form with m written as m1*M0+m0."""
    return substituted(form, {partition.rank.lower(): recomposition(partition)})


# --- without a part ------------------------------------------------------------------------------------------
def without(piece: Piece, part: str, scope: Scope) -> Piece:
    """What holds of the other coordinates where there is a coordinate of `part` that exists and for which all hold."""
    partition = scope.partition_by_rank[scope.root_by_part[part]]
    name = part.lower()
    own = {name, partition.rank.lower()}
    rest = tuple(atom for atom in piece if not own & set(variables_in(atom)))
    touching = tuple(changed(atom, lambda form: expanded(form, partition)) for atom in piece if atom not in rest)
    if not touching:
        return rest
    if not all(isinstance(atom, HalfSpace) and abs(_coefficient(atom, name)) <= 1 for atom in touching):
        return (*rest, _some(touching, partition, name))
    bands = [atom for atom in touching if isinstance(atom, HalfSpace)]
    made = [one for one in bands if not _coefficient(one, name)]
    starts = [one for one in bands if _coefficient(one, name) > 0]
    ends = [one for one in bands if _coefficient(one, name) < 0]
    first, *last = _limits(partition, name)
    made += [_sum(start, end) for start in starts for end in (*ends, *last)]
    made += [_sum(first, end) for end in ends]
    return (*rest, *(changed(one, lambda form: collapsed(form, scope)) for one in made))


def _some(atoms: Piece, partition: Partition, name: str) -> Some:
    """That some coordinate of a part, inside its rank, fits."""
    bound = name + BOUND
    while any(bound in inner.variables for inner in atoms if isinstance(inner, Some)):
        bound += BOUND
    by = {name: Index(terms=(Term(variable=bound),))}
    inside = (*atoms, _limits(partition, name)[-1])
    return Some(variables=(bound,), atoms=tuple(changed(one, lambda form: substituted(form, by)) for one in inside))


def _limits(partition: Partition, name: str) -> tuple[HalfSpace, ...]:
    """That a part is not below 0, not beyond its own size, and not beyond the end of the rank."""
    own = Index(terms=(Term(variable=name),))
    size = Index(terms=(), offset=-1, sizes=(Term(variable="", scale_ranks=(name.upper(),)),))
    whole = Index(terms=(), offset=-1, sizes=(Term(variable="", scale_ranks=(partition.rank,)),))
    ragged = half_space(added(whole, recomposition(partition), -1))
    inner = () if name.upper() == partition.parts[0] else (half_space(added(size, own, -1)),)
    return (half_space(own), *inner, ragged)


def _sum(one: HalfSpace, other: HalfSpace) -> HalfSpace:
    return half_space(added(one.form, other.form), (*one.lengths, *other.lengths))


def _coefficient(atom: Atom, name: str) -> int:
    """That of a variable in a half-space; 2 stands for any that is not -1, 0 or 1."""
    if not isinstance(atom, HalfSpace) or any(name in length.access.variables for length in atom.lengths):
        return 2
    found = [term for term in atom.form.terms if term.variable == name]
    if any(term.scale_ranks or abs(term.scale) > 1 for term in found):
        return 2
    return sum(term.scale for term in found)
