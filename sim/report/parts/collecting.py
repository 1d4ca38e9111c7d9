"""Stacks of many parts: the largest by name, all others as one."""

from collections.abc import Sequence

OTHERS = "others"
MOST_PARTS = 14  # names of a legend that colours and hatching tell apart


def collected(rows: Sequence[dict[str, float]], most: int = MOST_PARTS) -> list[dict[str, float]]:
    """Rows of the same parts, at most `most` of them: those that are largest in sum, in their order, and `others`."""
    sums: dict[str, float] = {}
    for row in rows:
        for part, value in row.items():
            sums[part] = sums.get(part, 0.0) + value
    kept = sums if len(sums) <= most else set(sorted(sums, key=lambda part: -sums[part])[: most - 1])
    if len(kept) == len(sums):
        return list(rows)
    found = []
    for row in rows:
        own = {part: value for part, value in row.items() if part in kept}
        rest = sum(value for part, value in row.items() if part not in kept)
        found.append(own | ({OTHERS: rest} if rest else {}))
    return found
