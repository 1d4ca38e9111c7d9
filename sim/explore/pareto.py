"""The Pareto front of points and the volume that it dominates.

Hypervolume (Zitzler and Thiele 1998): the measure of the region dominated by the front, up to a reference point. With
two objectives it is a sum of rectangles; with more, slices along the last objective, each as thick as the step to the
next point.
"""

import numpy as np

from sim.engine.dominance import area_below, keep_undominated


def front_of(values: np.ndarray) -> np.ndarray:
    """Positions of rows of `values: f8[point, objective]` that no row dominates, ascending; all minimized."""
    values = np.ascontiguousarray(values, float)
    assert not np.isnan(values).any(), "points without a value have no place among others"
    order = np.lexsort(values.T[::-1])
    kept = np.empty(len(values), bool)
    keep_undominated(values[order], np.empty(len(values), np.int64), kept)
    return np.sort(order[kept])


def fronts_of(values: np.ndarray, kinds: np.ndarray) -> list[np.ndarray]:
    """The front among the rows of each kind (`kinds: i8[point]`), kinds ascending."""
    order = np.argsort(kinds, kind="stable")
    starts = np.flatnonzero(np.diff(kinds[order])) + 1
    members = [own for own in np.split(order, starts) if own.size]
    return [own[front_of(values[own])] for own in members]


def hypervolume(values: np.ndarray, reference: np.ndarray) -> float:
    """Volume between the points and `reference: f8[objective]`; points beyond it add nothing."""
    values = np.asarray(values, float)
    values = values[(values < reference).all(axis=1)]
    if not len(values):
        return 0.0
    if values.shape[1] == 1:
        return float(reference[0] - values.min())
    values = values[front_of(values)]
    if values.shape[1] == 2:
        return float(area_below(np.ascontiguousarray(values[np.lexsort(values.T[::-1])]), np.asarray(reference, float)))
    values = values[np.argsort(values[:, -1], kind="stable")]
    ends = np.append(values[1:, -1], reference[-1])
    slices = (
        hypervolume(values[: i + 1, :-1], reference[:-1]) * (end - values[i, -1])
        for i, end in enumerate(ends)
        if end > values[i, -1]
    )
    return float(sum(slices))
