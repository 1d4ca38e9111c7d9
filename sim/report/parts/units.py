"""Units that fit what is shown: 450 kJ rather than 450,000 J."""

import re

STEPS = {
    "s": (("ns", 1e9), ("µs", 1e6), ("ms", 1e3), ("s", 1.0)),
    "J": (("nJ", 1e9), ("µJ", 1e6), ("mJ", 1e3), ("J", 1.0), ("kJ", 1e-3), ("MJ", 1e-6), ("GJ", 1e-9)),
    "GB": (("B", 1e9), ("kB", 1e6), ("MB", 1e3), ("GB", 1.0), ("TB", 1e-3), ("PB", 1e-6), ("EB", 1e-9)),
}
LONGEST = 1e4  # a larger number is shown in the next unit


def fitted(label: str, largest: float) -> tuple[str, float]:
    """A label such as 'Energy (J)' in the unit that keeps `largest` between 1 and 10,000, and the factor to it."""
    found = re.fullmatch(r"(.*) \((\w+)\)", label)
    steps = STEPS.get(found.group(2)) if found else None
    if found is None or steps is None or not 0 < largest < float("inf"):
        return label, 1.0
    at = next(i for i, (_, factor) in enumerate(steps) if factor == 1.0)
    while largest * steps[at][1] >= LONGEST and at + 1 < len(steps):
        at += 1
    while largest * steps[at][1] < 1 and at > 0:
        at -= 1
    unit, factor = steps[at]
    return f"{found.group(1)} ({unit})", factor
