"""What another engine says of points of a sweep's fronts, typed."""

import json
from dataclasses import dataclass
from typing import Any

REFUSED = "refused"  # key of an answer that is a reason


@dataclass(frozen=True, slots=True)
class Second:
    """What the other engine says of a point; `refused` says why it cannot run there."""

    point: int
    engine: str
    values: tuple[tuple[str, float], ...] = ()  # latency_s, cycles, energy_pj
    refused: str = ""

    def value(self, name: str) -> float:
        return dict(self.values)[name]


def seconds_of(found: dict[int, tuple[str, str]]) -> tuple[Second, ...]:
    """Typed answers from engine and JSON by point."""
    return tuple(_second(point, engine, json.loads(text)) for point, (engine, text) in sorted(found.items()))


def _second(point: int, engine: str, told: dict[str, Any]) -> Second:
    if REFUSED in told:
        return Second(point, engine, refused=told[REFUSED])
    return Second(point, engine, tuple((name, float(told[name])) for name in ("latency_s", "cycles", "energy_pj")))
