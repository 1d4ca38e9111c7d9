"""Another engine's results for points of a sweep's fronts, typed."""

import json
from dataclasses import dataclass
from typing import Any

REFUSED = "refused"  # key of a result that is a reason for refusal


@dataclass(frozen=True, slots=True)
class Second:
    """The other engine's result for a point; `refused` is the reason if it cannot run there."""

    point: int
    engine: str
    values: tuple[tuple[str, float], ...] = ()  # latency_s, cycles, energy_pj
    refused: str = ""

    def value(self, name: str) -> float:
        return dict(self.values)[name]


def seconds_of(found: dict[int, tuple[str, str]]) -> tuple[Second, ...]:
    """Typed results from engine and JSON by point."""
    return tuple(_second(point, engine, json.loads(text)) for point, (engine, text) in sorted(found.items()))


def _second(point: int, engine: str, told: dict[str, Any]) -> Second:
    if REFUSED in told:
        return Second(point, engine, refused=told[REFUSED])
    return Second(point, engine, tuple((name, float(told[name])) for name in ("latency_s", "cycles", "energy_pj")))
