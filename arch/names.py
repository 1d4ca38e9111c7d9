"""The nearest valid name, as every error of this room offers it.

A misspelt name costs the reader least when the sentence that refuses it also says what was probably meant;
the measure is difflib's ratio of matching blocks.
"""

from collections.abc import Iterable
from difflib import get_close_matches


def nearest(name: str, candidates: Iterable[str]) -> str:
    """` (did you mean 'x'?)` for the closest candidate, or the empty string when none is close."""
    known = tuple(candidates)
    close = get_close_matches(name, known, n=1)
    if not close:
        folded = {candidate.lower(): candidate for candidate in known}
        close = [folded[match] for match in get_close_matches(name.lower(), folded, n=1)]
    return f" (did you mean '{close[0]}'?)" if close else ""
