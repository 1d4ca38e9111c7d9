"""Equal area: the largest value of one component that keeps a machine within a total, for many designs at once.

An array's area is linear in each side. A memory's area follows its technology table (straight lines on logarithmic
axes) or its own formula, and is searched by bisection over whole steps. The result is checked against the exact area
afterwards, which takes back at most one step.
"""

from collections.abc import Callable, Mapping

import numpy as np

from arch.components import Memory
from arch.energy import Technology, area_curve
from arch.expression import Expression, evaluate
from sim.lower.functions import VECTOR_FUNCTIONS
from sim.lower.machine import OF_MEMORY

LARGEST = 2.0**50  # bits, entries or elements: no component is larger
SIZE, DEPTH = OF_MEMORY["size"], OF_MEMORY["depth"]
AreaAt = Callable[[np.ndarray], np.ndarray]


def fitting_side(room_um2: np.ndarray, um2_each: np.ndarray, step: float) -> np.ndarray:
    """f8[design]: the largest multiple of `step` at `um2_each` that fits; nan if none does."""
    with np.errstate(all="ignore"):
        steps = np.floor(room_um2 / (um2_each * step))
    return np.where(np.isfinite(steps) & (steps >= 1), np.minimum(steps * step, LARGEST), np.nan)


def fitting_size(room_um2: np.ndarray, area_at: AreaAt, least: np.ndarray, step: float) -> np.ndarray:
    """f8[design]: the largest multiple of `step`, at least `least`, whose area fits; nan if none does."""
    low = np.maximum(np.ceil(least / step), 1.0)
    fits = area_at(low * step) <= room_um2
    high = np.full(room_um2.shape, np.floor(LARGEST / step))
    while (high - low > 1).any():
        middle = np.floor((low + high) / 2)
        is_low = area_at(middle * step) <= room_um2
        low, high = np.where(is_low, middle, low), np.where(is_low, high, middle)
    return np.where(fits, low * step, np.nan)


def curve_area(technology: Technology, row_bits: np.ndarray) -> AreaAt:
    """The area of one memory of that many bits, by its table, accurate to about the last digit."""
    widths, which = np.unique(row_bits, return_inverse=True)
    curves = [np.array(area_curve(technology, width)) for width in widths]

    def area_at(size_bits: np.ndarray) -> np.ndarray:
        found = np.empty(size_bits.shape)
        for i, curve in enumerate(curves):
            own = which == i
            found[own] = np.exp(_on_lines(curve, np.log(size_bits[own])))
        return found

    return area_at


def _on_lines(curve: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Piecewise linear through `curve: f8[point, 2]`; the first and last segments continue beyond the ends."""
    if len(curve) == 1:
        return np.full(at.shape, curve[0, 1])
    segment = np.clip(np.searchsorted(curve[:, 0], at) - 1, 0, len(curve) - 2)
    (x0, y0), (x1, y1) = curve[segment].T, curve[segment + 1].T
    return y0 + (y1 - y0) * (at - x0) / (x1 - x0)


def formula_area(formula: Expression, symbols: Mapping[str, np.ndarray], key: str, entry_bits: np.ndarray) -> AreaAt:
    """The area of one memory by its own formula; `key` is what varies, `entry_bits` the width of an entry."""

    def area_at(value: np.ndarray) -> np.ndarray:
        size_bits = value * entry_bits if key == "depth" else value
        depth = value if key == "depth" else value / entry_bits
        own = dict((*SIZE.iter_symbols(size_bits), *DEPTH.iter_symbols(depth)))
        with np.errstate(all="ignore"):
            area = evaluate(formula, {**symbols, **own}.__getitem__, VECTOR_FUNCTIONS)
        return np.broadcast_to(np.asarray(area, float), value.shape)

    return area_at


def depends_on_size(memory: Memory, technologies: Mapping[str, Technology], has_own_area: bool) -> bool:
    """Whether a larger one of this memory has another area; `has_own_area`: its file gives the area."""
    if isinstance(memory.area, Expression):
        return bool({name for name, _ in (*SIZE.symbols, *DEPTH.symbols)} & set(memory.area.names))
    table = technologies.get(memory.technology or "")
    return not has_own_area and table is not None and len(area_curve(table, memory.row_bits)) > 1
