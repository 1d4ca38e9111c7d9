"""Deferral: factors and terms that do not depend on the reduced rank move out of the reduction.

    sum_m x[m] * g     = g * sum_m x[m]             also x / g, and for a mean
    sum_m (u[m] + v[m]) = sum_m u[m] + sum_m v[m]   where one of the terms waits for a reduced value
    max_m f(x[m], g)   = f(max_m x[m], g)           for a monotone f (`extremum`)
    sum_m1 sum_m0 x[m1,m0] * g[m1] = sum_m1 g[m1] * sum_m0 x[m1,m0]

Only factors g that wait for the whole rank are moved, so that the reduction no longer waits for them (Nayak et al.,
MICRO 2024, section on reassociation). With `expand`, sums inside products are multiplied out first, which turns
mean (x - g)^2 into mean x^2 - 2 g mean x + g^2.
"""

from typing import NamedTuple

from einsums.nodes import Access, Call, Const, Einsum, Expr, Index, Load, iter_loads, variables_of
from einsums.rewriting.algebra import (
    Factor,
    Product,
    access,
    einsum,
    expression,
    multiplied,
    sum_of_products,
)
from einsums.rewriting.draft import Draft, Flow
from einsums.rewriting.extremum import move_extremum_inside

_LONGEST_JOINED_NAME = 5


class _Moves(NamedTuple):
    """A reduction, and the variables that moved factors must not depend on."""

    flow: Flow
    target: Einsum
    free_of: frozenset[str]
    expand: bool

    def movable(self, expr: Expr) -> bool:
        """True for a factor that waits for the whole rank and does not change along the reduced variables."""
        return self.flow.is_late(expr) and not self.free_of & set(variables_of(expr))


def defer(draft: Draft, rank: str, expand: bool = False) -> bool:
    """Move factors out of every reduction over the rank that waits for them; False if there is none."""
    changed = False
    for target in Flow(draft, rank).late_reductions():
        flow = Flow(draft, rank)
        changed |= any(_apply(draft, _Moves(flow, target, free, expand)) for free in _choices(flow, target))
    return changed


def _choices(flow: Flow, target: Einsum) -> tuple[frozenset[str], ...]:
    """All reduced parts of the rank first, then the inner ones alone."""
    whole = frozenset(target.reduced_variables) & set(flow.variables)
    return tuple(choice for choice in (whole, whole - {flow.outer}) if choice)


def _apply(draft: Draft, moves: _Moves) -> bool:
    target = draft.einsums.get(moves.target.name)
    plain = target is not None and all(index.plain_variable and not index.offset for index in target.output.indices)
    if target is None or target.reduction is None or target != moves.target or not plain or target.condition:
        return False
    reducer = target.reduction.operator
    if reducer in ("max", "min"):
        whole = moves.free_of == set(target.reduced_variables) & set(moves.flow.variables)
        return whole and move_extremum_inside(draft, moves.flow, target)
    if reducer == "add":
        return _apply_to_sum(draft, moves, reducer)
    if reducer == "mean" and moves.free_of == set(target.reduced_variables):
        return _apply_to_sum(draft, moves, reducer)
    return False


# --- sums and means ------------------------------------------------------------------------------------------
def _apply_to_sum(draft: Draft, moves: _Moves, reducer: str) -> bool:
    products = sum_of_products(moves.target.expr, lambda expr: _look_into(draft, moves, expr))
    split = [_moved_and_kept(moves, product) for product in products]
    if not any(moved for moved, _ in split) and (len(products) == 1 or not _distributes(moves, products)):
        return False
    stays = {name for moved, _ in split for factor in moved for name in variables_of(factor.expr)}
    outer = tuple(name for name in moves.target.reduced_variables if name in stays)
    if outer and len(products) > 1:
        return False
    parts = []
    for product, (moved, kept) in zip(products, split, strict=True):
        local = _reduced(draft, moves, (kept, outer), reducer)
        if local is None:
            return False
        kept_factor = (Factor(local),) if local != _NOTHING else ()
        parts.append(Product(product.coefficient, (*kept_factor, *moved)))
    return _put_result(draft, moves.target, expression(parts))


def _put_result(draft: Draft, target: Einsum, expr: Expr) -> bool:
    """Store the new definition; a plain number is substituted into its readers, because an Einsum cannot be one."""
    if set(target.output.variables) <= set(variables_of(expr)) and not isinstance(expr, Const):
        draft.put(einsum(target.output, expr))
        return True
    if not isinstance(expr, Const) or target.name in draft.source.outputs:
        return False
    draft.redirect(lambda read: expr if read.tensor == target.name else Load(access=read), list(draft.einsums))
    draft.drop(target.name)
    return True


_NOTHING = Const(value=1.0)


def _distributes(moves: _Moves, products: tuple[Product, ...]) -> bool:
    """True for a sum to split: some of its terms both wait for the rank and run along it."""
    return any(_is_mixed(moves.flow, product) for product in products)


def _is_mixed(flow: Flow, product: Product) -> bool:
    late = any(flow.is_late(factor.expr) for factor in product.factors)
    return late and any(flow.walks(factor.expr) for factor in product.factors)


def _moved_and_kept(moves: _Moves, product: Product) -> tuple[list[Factor], list[Factor]]:
    moved = [factor for factor in product.factors if moves.movable(factor.expr)]
    return moved, [factor for factor in product.factors if factor not in moved]


def _look_into(draft: Draft, moves: _Moves, expr: Expr) -> Expr | None:
    """Open late values along the rank whose definition contains something to move, and sums that must be split."""
    if isinstance(expr, Load):
        if not (moves.flow.is_late(expr) and moves.flow.walks(expr)):
            return None
        found = draft.definition(expr.access)
        return found.expr if found is not None and _is_worth_opening(draft, moves, found.expr) else None
    if moves.expand:
        return expr if moves.flow.is_late(expr) else None
    products = sum_of_products(expr, lambda _: None)
    return expr if any(_holds_movable(moves, product) for product in products) else None


def _holds_movable(moves: _Moves, product: Product) -> bool:
    """Whether part of a term can move: a difference x - g has no such part and stays whole, c*g + b has one."""
    walks = any(moves.flow.walks(factor.expr) for factor in product.factors)
    return walks and any(moves.movable(factor.expr) for factor in product.factors)


def _is_worth_opening(draft: Draft, moves: _Moves, expr: Expr) -> bool:
    match expr:
        case Call(operator="mul" | "div" | "neg"):
            return any(moves.movable(side) or _is_worth_opening(draft, moves, side) for side in expr.arguments)
        case Call(operator="add" | "sub"):
            return _look_into(draft, moves, expr) is not None
        case Load():
            return _look_into(draft, moves, expr) is not None
    return False


def _reduced(draft: Draft, moves: _Moves, part: tuple[list[Factor], tuple[str, ...]], reducer: str) -> Expr | None:
    """The kept factors reduced in a separate Einsum, leaving `outer` variables for later; None if impossible."""
    kept, outer = part
    gone = [name for name in moves.target.reduced_variables if name not in outer]
    expr = expression([Product(1.0, tuple(kept))])
    present = variables_of(expr)
    absent = [name for name in gone if name not in present]
    if absent and reducer == "mean":
        gone = [name for name in gone if name in present]
        if not gone:
            return expr
    elif absent:
        number = count_of(draft, tuple(absent), moves.target)
        if number is None:
            return None
        if absent == gone:
            return multiplied([number, *([] if expr == _NOTHING else [expr])])
        return None
    ranks = [name for name in (*moves.target.output.variables, *outer) if name in present]
    output = access(_name(draft, moves.target, expr), _outer_before_last(tuple(ranks), outer))
    return Load(access=access(draft.reuse(einsum(output, expr, reducer), moves.target.name), output.variables))


def _outer_before_last(variables: tuple[str, ...], outer: tuple[str, ...]) -> tuple[str, ...]:
    rest = tuple(name for name in variables if name not in outer)
    return (*rest[:-1], *(name for name in outer if name in variables), *rest[-1:])


def _name(draft: Draft, target: Einsum, expr: Expr) -> str:
    """SNV for SN * V, SA for A alone: the names of the factors joined, as is usual in the literature."""
    tensors = tuple(dict.fromkeys(load.tensor for load in iter_loads(expr)))
    joined = "".join(tensors) if len(tensors) > 1 else f"S{''.join(tensors)}"
    return draft.fresh(joined if len(joined) <= _LONGEST_JOINED_NAME else f"S{target.name}")


def count_of(draft: Draft, variables: tuple[str, ...], near: Einsum) -> Load | None:
    """How many points the variables span, counted by an Einsum; None if no tensor has all their ranks.

    The language cannot express the size of a rank as a value. `select(x, 1, 1)` is 1 whatever x is; other ranks are
    fixed at 0.
    """
    for found in draft.einsums.values():
        if is_count(found) and set(found.reduced_variables) == set(variables) and not found.output.indices:
            return Load(access=found.output)
    loads = [load for found in (near, *draft.einsums.values()) for load in found.loads]
    inputs = {tensor.name for tensor in draft.source.inputs}
    fit = [load for load in loads if set(variables) <= set(load.variables) and load.tensor in inputs]
    fit += [load for load in loads if set(variables) <= set(load.variables) and load.tensor not in inputs]
    chosen = next((load for load in fit if _separable(load, variables)), None)
    if chosen is None:
        return None
    at_zero = tuple(
        index if set(index.variables) & set(variables) else Index(terms=(), offset=0) for index in chosen.indices
    )
    one = Load(access=Access(tensor=chosen.tensor, indices=at_zero))
    expr = Call(operator="select", arguments=(one, _NOTHING, _NOTHING))
    name = draft.fresh("N" + "".join(dict.fromkeys(draft.root_of(v.upper()) for v in variables)))
    return Load(access=access(draft.reuse(einsum(access(name, ()), expr), near.name), ()))


def is_count(found: Einsum) -> bool:
    """True for a sum of ones."""
    ones = (
        isinstance(found.expr, Call) and found.expr.operator == "select" and found.expr.arguments[1:] == (_NOTHING,) * 2
    )
    return ones and found.reduction is not None and found.reduction.operator == "add"


def _separable(load: Access, variables: tuple[str, ...]) -> bool:
    """No index mixes counted variables with others, and none reads an iteration."""
    wanted = set(variables)
    mixed = any(set(index.variables) & wanted and set(index.variables) - wanted for index in load.indices)
    return not mixed and not any(index.last_of for index in load.indices)
