"""The nearest valid name, which every error message suggests.

A misspelt name costs the reader least if the error message also says what was probably meant. The measure is difflib's
ratio of matching blocks. Standard library only, because every room uses it.
"""

from collections.abc import Iterable
from difflib import get_close_matches

_MOST_LISTED = 12  # the most names that a message lists


def nearest_name(name: str, candidates: Iterable[str]) -> str | None:
    """The candidate most like `name`, letter case aside where none is like it as written; None where none is near."""
    by_folded: dict[str, str] = {}
    for candidate in candidates:
        by_folded.setdefault(candidate.casefold(), candidate)
    as_written = get_close_matches(name, by_folded.values(), n=1)
    folded = get_close_matches(name.casefold(), by_folded, n=1)
    return next(iter(as_written), None) or next((by_folded[match] for match in folded), None)


def nearest(name: str, candidates: Iterable[str]) -> str:
    """The end of an error message: " (did you mean 'x'?)", or "" where no candidate is near."""
    found = nearest_name(name, candidates)
    return f" (did you mean '{found}'?)" if found is not None else ""


def near_or_all(name: str, candidates: Iterable[str]) -> str:
    """As `nearest`; if no candidate is near and there are only a few, all of them: " (known: x, y)"."""
    known = list(dict.fromkeys(candidates))
    listed = f" (known: {', '.join(known)})" if 0 < len(known) <= _MOST_LISTED else ""
    return nearest(name, known) or listed
