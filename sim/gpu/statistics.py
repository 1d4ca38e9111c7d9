"""How well predicted times follow measured ones."""

import math
from collections.abc import Sequence
from typing import NamedTuple


class Agreement(NamedTuple):
    """Errors are of time, |predicted - measured| / measured. Correlations are None for fewer than two cases, or if one
    side is constant."""

    cases: int
    mean_error: float
    max_error: float
    pearson: float | None  # of the logarithms of times
    kendall: float | None  # tau-b


def agreement(measured: Sequence[float], predicted: Sequence[float]) -> Agreement:
    errors = [abs(p - m) / m for m, p in zip(measured, predicted, strict=True)]
    logs = [math.log(m) for m in measured], [math.log(p) for p in predicted]
    return Agreement(len(errors), sum(errors) / len(errors), max(errors), pearson(*logs), kendall(measured, predicted))


def pearson(x: Sequence[float], y: Sequence[float]) -> float | None:
    if len(x) < 2:
        return None
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    spread_x = sum((a - mean_x) ** 2 for a in x)
    spread_y = sum((b - mean_y) ** 2 for b in y)
    if not spread_x or not spread_y:
        return None
    together = sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True))
    return together / math.sqrt(spread_x * spread_y)


def kendall(x: Sequence[float], y: Sequence[float]) -> float | None:
    """tau-b: concordant minus discordant pairs, over the possible pairs corrected for ties."""
    agreeing = tied_x = tied_y = 0
    pairs = len(x) * (len(x) - 1) // 2
    for i in range(len(x)):
        for j in range(i):
            dx, dy = x[i] - x[j], y[i] - y[j]
            tied_x += dx == 0
            tied_y += dy == 0
            agreeing += (dx * dy > 0) - (dx * dy < 0)
    possible = math.sqrt((pairs - tied_x) * (pairs - tied_y))
    return agreeing / possible if possible else None
