"""Near names for error messages: what the user may have meant."""

from collections.abc import Iterable
from difflib import get_close_matches


def nearest_name(name: str, candidates: Iterable[str]) -> str | None:
    """The candidate most like `name`, letter case aside, or None where none is near."""
    by_folded: dict[str, str] = {}
    for candidate in candidates:
        by_folded.setdefault(candidate.casefold(), candidate)
    matches = get_close_matches(name.casefold(), by_folded, n=1)
    return by_folded[matches[0]] if matches else None


def nearest(name: str, candidates: Iterable[str]) -> str:
    """The end of an error message: " (did you mean 'x'?)", or "" where no candidate is near."""
    found = nearest_name(name, candidates)
    return f" (did you mean '{found}'?)" if found is not None else ""


def near_or_all(name: str, candidates: Iterable[str]) -> str:
    """The end of an error message: the near candidate, or where none is near, all of them."""
    known = list(candidates)
    return nearest(name, known) or f"; known: {', '.join(known) or 'none'}"
