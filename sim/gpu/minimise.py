"""Derivative-free minimization of a function of a few numbers: Nelder and Mead's simplex (1965)."""

from collections.abc import Callable, Sequence

MOST_STEPS = 150  # of one descent: a function with small steps would keep improving indefinitely
REFLECTION, EXPANSION, CONTRACTION, SHRINKAGE = 1.0, 2.0, 0.5, 0.5

Function = Callable[[tuple[float, ...]], float]
Vertex = tuple[float, tuple[float, ...]]  # value, place


def minimise(function: Function, start: Sequence[float], step: float, tolerance: float) -> tuple[float, ...]:
    """A local minimum near `start`; ends when the values of all vertices agree within `tolerance`.

    The simplex is restarted at the result until that brings no improvement, because a flat simplex may stall.
    """
    best = _descend(function, tuple(start), step, tolerance)
    while True:
        again = _descend(function, best[1], step, tolerance)
        if again[0] > best[0] - tolerance:
            return min(best, again)[1]
        best = again


def _descend(function: Function, start: tuple[float, ...], step: float, tolerance: float) -> Vertex:
    places = [start] + [tuple(x + step * (i == j) for j, x in enumerate(start)) for i in range(len(start))]
    simplex = sorted((function(place), place) for place in places)
    for _ in range(MOST_STEPS):
        if simplex[-1][0] - simplex[0][0] <= tolerance:
            break
        simplex = sorted(_step(function, simplex))
    return simplex[0]


def _step(function: Function, simplex: list[Vertex]) -> list[Vertex]:
    """Replace the worst vertex, or shrink all towards the best."""
    worst = simplex[-1]
    others = [place for _, place in simplex[:-1]]
    centre = tuple(sum(values) / len(others) for values in zip(*others, strict=True))

    def along(factor: float) -> Vertex:
        place = tuple(c + factor * (c - w) for c, w in zip(centre, worst[1], strict=True))
        return function(place), place

    reflected = along(REFLECTION)
    if reflected < simplex[0]:
        return [*simplex[:-1], min(reflected, along(EXPANSION))]
    if reflected < simplex[-2]:
        return [*simplex[:-1], reflected]
    contracted = along(CONTRACTION if reflected < worst else -CONTRACTION)
    if contracted < min(reflected, worst):
        return [*simplex[:-1], contracted]
    best = simplex[0][1]
    drawn = [tuple(b + SHRINKAGE * (x - b) for b, x in zip(best, place, strict=True)) for _, place in simplex[1:]]
    return [simplex[0], *((function(place), place) for place in drawn)]
