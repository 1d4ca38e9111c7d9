"""How a value moves when an input is shifted by a constant: a maximum and a mean move along, a softmax does not.

The terms of x - g - log s fall into those that move (x and its maximum g, whose difference does not) and those that do
not (the logarithm of a sum of exp(x - g)). Separating terms that move loses digits; a term that does not move may be
split off. A movement is a number for each *origin*: an input, or a tensor about which nothing is known.
"""

from einsums.nodes import Call, Const, Einsum, Expr, Load, Position
from einsums.rewriting.algebra import Product
from einsums.rewriting.draft import Draft

Movement = dict[str, float]  # by origin; empty: does not move


class Movements:
    """Movements of the tensors of a draft in its current state."""

    def __init__(self, draft: Draft) -> None:
        self.einsums = dict(draft.einsums)
        self.known: dict[str, Movement] = {}

    def of_tensor(self, name: str) -> Movement:
        """How a tensor moves; an unknown one moves by itself."""
        if name not in self.known:
            self.known[name] = {name: 1.0}  # a tensor that depends on itself counts as its own origin
            found = self.einsums.get(name)
            moved = self.of_einsum(found) if found is not None else None
            self.known[name] = {name: 1.0} if moved is None else moved
        return self.known[name]

    def of_einsum(self, einsum: Einsum) -> Movement | None:
        """None where it is unknown."""
        moved = self.of(einsum.expr)
        keeps = einsum.reduction is None or einsum.reduction.operator in ("max", "min", "mean")
        return moved if keeps or not moved else None

    def of(self, expr: Expr) -> Movement | None:
        """How an expression moves; None where that is unknown."""
        match expr:
            case Const():
                return {}
            case Position():
                return {}
            case Load():
                return self.of_tensor(expr.access.tensor)
            case Call(operator="add" | "sub", arguments=(left, right)):
                return _added(self.of(left), self.of(right), -1.0 if expr.operator == "sub" else 1.0)
            case Call(operator="neg", arguments=(inner,)):
                return _added({}, self.of(inner), -1.0)
            case Call(operator="mul", arguments=(Const(value=scale), other) | (other, Const(value=scale))):
                return _added({}, self.of(other), scale)
            case Call(operator="div", arguments=(other, Const(value=divisor))) if divisor:
                return _added({}, self.of(other), 1.0 / divisor)
            case Call(operator="max" | "min", arguments=(left, right)) if self.of(left) == self.of(right):
                return self.of(left)
            case Call():
                still = all(self.of(argument) == {} for argument in expr.arguments)
                return {} if still else None

    def of_term(self, product: Product) -> Movement:
        """How a term of a sum moves; an unknown one by itself."""
        moves = [self.of(factor.expr) for factor in product.factors]
        if all(moved == {} for moved in moves):
            return {}
        if len(moves) == 1 and moves[0] is not None and not product.factors[0].divides:
            return {origin: product.coefficient * n for origin, n in moves[0].items()}
        return {str(sorted(f"{f.divides}{f.expr}" for f in product.factors)): 1.0}


def _added(left: Movement | None, right: Movement | None, scale: float) -> Movement | None:
    if left is None or right is None:
        return None
    total = {key: left.get(key, 0.0) + scale * right.get(key, 0.0) for key in {**left, **right}}
    return {key: value for key, value in total.items() if value}
