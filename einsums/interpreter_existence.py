"""Regions evaluated at points: which of them exist."""

from collections.abc import Callable

import numpy as np

from einsums.conditions import EVERYWHERE, Atom, Block, Comparison, HalfSpace, Piece, Region, Residue, Some
from einsums.interpreter_space import Array, Mask, PointAxes, form_value
from einsums.nodes import Access, Expr

Load = Callable[[Access, PointAxes], Array]
Value = Callable[[Expr, PointAxes], Array]


class RegionEvaluator:
    """Evaluates regions; `load` gathers a tensor over a space, `value` an expression."""

    def __init__(self, load: Load, value: Value) -> None:
        self.load = load
        self.value = value

    def of(self, region: Region, space: PointAxes) -> Mask | None:
        """Whether each point of a space lies in a region, batch axes first; None if all do."""
        if region == EVERYWHERE:
            return None
        found: Mask = np.zeros((1,) * len(space.variables), dtype=bool)
        for piece in region:
            found = found | self._all(piece, space)
        return found

    def _all(self, piece: Piece, space: PointAxes) -> Mask:
        found: Mask = np.ones((1,) * len(space.variables), dtype=bool)
        for atom in piece:
            found = found & self._holds(atom, space)
        return found

    def _holds(self, atom: Atom, space: PointAxes) -> Mask:
        match atom:
            case HalfSpace():
                total = form_value(space, atom.form).astype(np.float64)
                for length in atom.lengths:
                    total = total + length.scale * self._whole(length.access, space)
                return np.asarray(total >= 0)
            case Residue():
                return np.asarray(form_value(space, atom.form) % form_value(space, atom.modulus) == 0)
            case Block():
                by = form_value(space, atom.divisor)
                return np.asarray(
                    (form_value(space, atom.left) // by == form_value(space, atom.right) // by) == atom.equal
                )
            case Comparison():
                return np.asarray((self.value(atom.expr, space) != 0) == atom.holds)
            case Some():
                more = space.with_more(atom.variables)
                axes = tuple(range(-len(atom.variables), 0))
                return np.asarray((self._all(atom.atoms, more) & more.inside).any(axis=axes))

    def _whole(self, access: Access, space: PointAxes) -> Array:
        """Values that are compared with coordinates."""
        values = self.load(access, space)
        wrong = values[(values != np.floor(values)) & ~np.isnan(values)]  # NaN: no element, so no point either
        if wrong.size:
            found = f"found {float(wrong.ravel()[0])!r}"
            raise ValueError(f"{access.tensor} is compared with a coordinate and must hold whole numbers, {found}")
        return values
