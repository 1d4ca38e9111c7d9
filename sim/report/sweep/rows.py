"""Which points of a sweep the page shows, and which of those in detail."""

import numpy as np

from sim.explore.points import Points

MOST_POINTS, MOST_DETAILED = 100_000, 1000


def shown_rows(points: Points) -> np.ndarray:
    """Rows that the page holds, ascending: all, or the fronts and an even choice of the others."""
    if len(points) <= MOST_POINTS:
        return np.arange(len(points))
    spread = np.linspace(0, len(points) - 1, MOST_POINTS).astype(np.int64)
    return np.union1d(spread, points.front)


def detailed_rows(points: Points, rows: np.ndarray) -> np.ndarray:
    """Which of these rows are shown in detail: fronts first, then other legal points, evenly selected if many."""
    front = np.intersect1d(points.front, rows)
    others = np.setdiff1d(rows[points.is_legal[rows]], front)
    front = _evenly(front, MOST_DETAILED)
    return np.sort(np.concatenate([front, _evenly(others, MOST_DETAILED - front.size)]))


def _evenly(rows: np.ndarray, most: int) -> np.ndarray:
    return rows[np.unique(np.linspace(0, rows.size - 1, min(rows.size, most)).round().astype(int))]
