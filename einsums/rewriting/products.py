"""Products at as few points as possible.

    W[s,d] * X[d,p] * G[d]         = W[s,d] * U[d,p]             factors that lack a variable are multiplied first
    B[d] * E[d,p] * V[f,d]         = S[d,p] * V[f,d]             where B[d] * E[d,p] is needed elsewhere too
    (X[d,p] - GM[p]) / T[]         = (X[d,p] - GM[p]) * IT[]     IT[] = 1 / T[], for an early T without the rank

A late divisor stays one: it leaves the sum (`deferral`), and divides once for each result.
"""

from collections.abc import Iterator
from itertools import combinations

from einsums.nodes import Call, Const, Einsum, Expr, Load, iter_loads, variables_of
from einsums.rewriting.algebra import Factor, Product, access, expression, inverse, sum_of_products
from einsums.rewriting.canonical import DISCONTINUOUS
from einsums.rewriting.draft import Draft, Flow, with_expr
from einsums.rewriting.exactness import exact_tensors

_Group = tuple[Factor, ...]


def gather(draft: Draft, rank: str) -> None:
    """Multiply factors that lack a variable of their Einsum first, the smallest products before larger ones."""
    flow = Flow(draft, rank)
    exact = exact_tensors(draft)
    for name in flow.order:
        if name in exact:
            continue
        found = draft.einsums[name]
        new = _gathered(draft, flow, found, found.expr)
        if new != found.expr:
            draft.put(with_expr(found, new))


def _gathered(draft: Draft, flow: Flow, near: Einsum, expr: Expr) -> Expr:
    if not isinstance(expr, Call) or expr.operator in DISCONTINUOUS:
        return expr
    if expr.operator not in ("mul", "div", "neg"):
        return Call(operator=expr.operator, arguments=tuple(_gathered(draft, flow, near, a) for a in expr.arguments))
    (whole,) = sum_of_products(expr, lambda _: None)
    sign = -1.0 if whole.coefficient < 0 else 1.0
    scale = () if abs(whole.coefficient) == 1 else (Factor(Const(value=abs(whole.coefficient))),)
    factors = [Factor(_gathered(draft, flow, near, f.expr), f.divides) for f in (*scale, *whole.factors)]
    groups = _grouped(flow, near, factors)
    if len(groups) == len(factors) and factors == [*scale, *whole.factors]:
        return expr
    return expression([Product(sign, tuple(_as_factor(draft, near, group) for group in groups))])


def _grouped(flow: Flow, near: Einsum, factors: list[Factor]) -> list[_Group]:
    """The factors in groups, each of which lacks a variable of the Einsum or is a single factor."""
    groups: list[_Group] = [(factor,) for factor in factors]
    reduced = [set(found.output.variables) for found in flow.reductions()]
    loops = set.intersection(*reduced) if reduced else set[str]()

    def size(pair: tuple[_Group, _Group]) -> tuple[int, int, list[str]]:
        """Points, variables of all reduced values that are missing, which are outer loops otherwise, and names."""
        names = _variables((*pair[0], *pair[1]))
        points = 1
        for name in names:
            points *= _ALONG_THE_RANK if name in flow.variables else _ALONG_ANOTHER
        return points, len(loops - names), sorted(str(factor.expr) for group in pair for factor in group)

    def is_smaller(pair: tuple[_Group, _Group]) -> bool:
        names = _variables((*pair[0], *pair[1]))
        fixed = all(_is_fixed(factor.expr) for group in pair for factor in group)
        # a late factor is going to leave a sum of early ones
        times = {flow.is_late(factor.expr) for group in pair for factor in group if variables_of(factor.expr)}
        return fixed and len(times) == 1 and names < set(near.variables)

    while True:
        pairs = [pair for pair in combinations(groups, 2) if is_smaller(pair)]
        if not pairs:
            return groups
        one, other = min(pairs, key=size)
        place = groups.index(one)
        groups = [group for group in groups if group not in (one, other)]
        groups.insert(place, (*one, *other))


_ALONG_THE_RANK, _ALONG_ANOTHER = 4096, 64


def _variables(group: _Group) -> set[str]:
    return {name for factor in group for name in variables_of(factor.expr)}


def _is_fixed(expr: Expr) -> bool:
    """True for an expression that reads no step of an iteration."""
    return not any(place.offset or place.last_of for load in iter_loads(expr) for place in load.indices)


def _as_factor(draft: Draft, near: Einsum, group: _Group) -> Factor:
    """A group as a factor: a tensor of its own if it has several parts."""
    if len(group) == 1:
        return group[0]
    divides = all(factor.divides for factor in group)
    whole = Product(1.0, group)
    once = expression([inverse(whole) if divides else whole])
    ranks = variables_of(once)
    new = Einsum(output=access(draft.fresh(f"U{near.name}"), ranks), expr=once)
    return Factor(Load(access=access(draft.reuse(new, near.name), ranks)), divides)


def share_products(draft: Draft) -> None:
    """Two factors that several products have in common become a tensor of their own."""
    while True:
        where: dict[_Group, list[str]] = {}
        exact = exact_tensors(draft)
        for name, found in draft.einsums.items():
            if name in exact:
                continue
            for factors in _iter_products(found.expr):
                for pair in {tuple(sorted(two, key=str)) for two in combinations(dict.fromkeys(factors), 2)}:
                    where.setdefault(pair, []).append(name)
        repeated = [pair for pair, names in where.items() if len(set(names)) > 1 and all(map(_is_shared, pair))]
        if not repeated:
            return
        pair = max(repeated, key=lambda two: len(where[two]))
        near = draft.einsums[where[pair][0]]
        factor = _as_factor(draft, near, pair)
        assert isinstance(factor.expr, Load)
        for name in dict.fromkeys(where[pair]):
            old = draft.einsums[name]
            if name != factor.expr.access.tensor:
                draft.put(with_expr(old, _with(old.expr, pair, factor)))


def _is_shared(factor: Factor) -> bool:
    return bool(variables_of(factor.expr)) and _is_fixed(factor.expr)


def _iter_products(expr: Expr) -> Iterator[_Group]:
    """The factors of every product in an expression."""
    if isinstance(expr, Call) and expr.operator in ("mul", "div", "neg"):
        (whole,) = sum_of_products(expr, lambda _: None)
        yield whole.factors
        for factor in whole.factors:
            yield from _iter_products(factor.expr)
    elif isinstance(expr, Call) and expr.operator not in DISCONTINUOUS:
        for argument in expr.arguments:
            yield from _iter_products(argument)


def _with(expr: Expr, pair: _Group, whole: Factor) -> Expr:
    """The expression with one factor in place of two."""
    if not isinstance(expr, Call) or expr.operator in DISCONTINUOUS:
        return expr
    if expr.operator not in ("mul", "div", "neg"):
        return Call(operator=expr.operator, arguments=tuple(_with(a, pair, whole) for a in expr.arguments))
    (product,) = sum_of_products(expr, lambda _: None)
    factors = list(product.factors)
    if all(factor in factors for factor in pair):
        place = min(factors.index(factor) for factor in pair)
        for factor in pair:
            factors.remove(factor)
        factors.insert(place, whole)
    factors = [Factor(_with(factor.expr, pair, whole), factor.divides) for factor in factors]
    return expression([Product(product.coefficient, tuple(factors))])


def multiply_by_inverses(draft: Draft, rank: str) -> None:
    """At every element of the rank, a division by an early value without the rank is a product with its inverse."""
    exact = exact_tensors(draft)
    for name in Flow(draft, rank).order:
        flow = Flow(draft, rank)
        found = draft.einsums[name]
        if name not in exact and name in flow.late and flow.walks(found.expr):
            new = _inverted(draft, flow, found, found.expr)
            if new != found.expr:
                draft.put(with_expr(found, new))


def _inverted(draft: Draft, flow: Flow, near: Einsum, expr: Expr) -> Expr:
    if not isinstance(expr, Call) or expr.operator in DISCONTINUOUS:
        return expr
    arguments = tuple(_inverted(draft, flow, near, argument) for argument in expr.arguments)
    match expr.operator, arguments:
        case "div", (above, below) if not flow.is_late(below) and not flow.walks(below) and any(iter_loads(below)):
            inverse_of = Call(operator="div", arguments=(Const(value=1.0), below))
            new = Einsum(output=access(draft.fresh(f"I{near.name}"), variables_of(below)), expr=inverse_of)
            load = Load(access=access(draft.reuse(new, near.name), new.output.variables))
            return Call(operator="mul", arguments=(above, load))
    return Call(operator=expr.operator, arguments=arguments)
