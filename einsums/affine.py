"""Arithmetic of affine forms such as `p + M - P`: sums of rank variables, sizes of ranks and integers."""

from einsums.nodes import Call, Const, Expr, Index, Position, Term, variables_of

ZERO = Index(terms=())


def constant(value: int) -> Index:
    """A number as a form."""
    return Index(terms=(), offset=value)


def is_fixed(form: Index) -> bool:
    """Whether a form has no variable: a number once sizes are known."""
    return not form.terms


def added(left: Index, right: Index, factor: int = 1) -> Index:
    """left + factor * right; terms that cancel are gone."""
    return Index(
        terms=_merged(left.terms, right.terms, factor),
        offset=left.offset + factor * right.offset,
        sizes=_merged(left.sizes, right.sizes, factor),
    )


def multiplied(left: Index, right: Index) -> Index | None:
    """The product; None if it is not affine in the variables."""
    if left.terms and right.terms:
        return None
    factors = [(term.scale, term.scale_ranks) for term in (right if not right.terms else left).sizes]
    fixed, other = (right, left) if not right.terms else (left, right)
    factors += [(fixed.offset, ())] if fixed.offset else []
    total = ZERO
    for scale, ranks in factors:
        scaled = Index(
            terms=tuple(_scaled(term, scale, ranks) for term in other.terms),
            offset=0 if ranks else scale * other.offset,
            sizes=tuple(_scaled(term, scale, ranks) for term in other.sizes)
            + ((Term(variable="", scale=scale * other.offset, scale_ranks=ranks),) if ranks and other.offset else ()),
        )
        total = added(total, scaled)
    return total


def affine(expr: Expr) -> Index | None:
    """An expression of positions and integers as a form; None for any other."""
    match expr:
        case Const(value=value) if float(value).is_integer():
            return constant(int(value))
        case Position(operator=""):
            return added(ZERO, expr.form)
        case Call(operator="neg", arguments=(inner,)):
            form = affine(inner)
            return None if form is None else added(ZERO, form, -1)
        case Call(operator="add" | "sub" | "mul", arguments=(left, right)):
            ours, theirs = affine(left), affine(right)
            if ours is None or theirs is None:
                return None
            if expr.operator == "mul":
                return multiplied(ours, theirs)
            return added(ours, theirs, -1 if expr.operator == "sub" else 1)
    return None


def folded(expr: Expr) -> Expr:
    """The expression with every affine part of positions as one position, so that equal conditions are equal nodes."""
    if not isinstance(expr, Call):
        return expr
    form = affine(expr)
    if form is not None and variables_of(expr):
        return Position(form=form)
    return Call(operator=expr.operator, arguments=tuple(map(folded, expr.arguments)))


def _scaled(term: Term, scale: int, ranks: tuple[str, ...]) -> Term:
    return Term(variable=term.variable, scale=term.scale * scale, scale_ranks=(*term.scale_ranks, *ranks))


def _merged(ours: tuple[Term, ...], theirs: tuple[Term, ...], factor: int) -> tuple[Term, ...]:
    """Terms added up, those of ours first."""
    total: dict[tuple[str, tuple[str, ...]], int] = {}
    for terms, sign in ((ours, 1), (theirs, factor)):
        for term in terms:
            key = (term.variable, tuple(sorted(term.scale_ranks)))
            total[key] = total.get(key, 0) + sign * term.scale
    return tuple(
        Term(variable=variable, scale=scale, scale_ranks=ranks) for (variable, ranks), scale in total.items() if scale
    )
