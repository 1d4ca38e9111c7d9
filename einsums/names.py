"""The nearest valid name, which every error message suggests.

A misspelt name costs the reader least if the error message also says what was probably meant. The measure is difflib's
ratio of matching blocks. Standard library only, because every room uses it.
"""

from collections.abc import Iterable
from difflib import SequenceMatcher, get_close_matches

_TIES = 8  # similar names among which the beginning decides
_MOST_LISTED = 12  # the most names that a message lists


# Words that others use for the same thing.
_OTHER_WORDS = {
    "swish": "silu", "logistic": "sigmoid", "ln": "log", "square_root": "sqrt", "maximum": "max", "minimum": "min",
    "reciprocal_sqrt": "rsqrt", "where": "select", "clip": "clamp", "power": "pow", "multiply": "mul", "divide": "div",
    "subtract": "sub", "add": "sum", "mac": "macc", "fma": "macc",
    "machine": "architecture", "hardware": "architecture", "accelerator": "architecture", "network": "model",
    "workload": "cascade", "kernel": "cascade", "dataflow": "mapping", "design": "experiment", "paper": "reproduction",
    "dram": "timing", "exploration": "sweep",
}  # fmt: skip


def nearest_name(name: str, candidates: Iterable[str]) -> str | None:
    """The candidate that `name` is another word for, or most like it, letter case aside where none is like it as
    written; None where none is near."""
    candidates = tuple(candidates)
    for ending in ("", "s"):
        other = _OTHER_WORDS.get(name.casefold().removesuffix(ending), "")
        if other and other + ending in candidates:
            return other + ending
    by_folded: dict[str, str] = {}
    for candidate in candidates:
        by_folded.setdefault(candidate.casefold(), candidate)
    as_written = _closest(name, by_folded.values())
    folded = _closest(name.casefold(), by_folded)
    return as_written or (None if folded is None else by_folded[folded])


def _closest(name: str, candidates: Iterable[str]) -> str | None:
    """The most similar candidate; of equally similar ones, that which begins like the name."""
    found = get_close_matches(name, candidates, n=_TIES)
    if not found:
        return None
    ratios = {match: SequenceMatcher(None, match, name).ratio() for match in found}
    best = [match for match in found if ratios[match] == ratios[found[0]]]
    return max(best, key=lambda match: _beginning(match, name))


def _beginning(one: str, other: str) -> int:
    """How many characters two names begin with alike."""
    return next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def nearest(name: str, candidates: Iterable[str]) -> str:
    """The end of an error message: " (did you mean 'x'?)", or "" where no candidate is near."""
    found = nearest_name(name, candidates)
    return f" (did you mean '{found}'?)" if found is not None else ""


def near_or_all(name: str, candidates: Iterable[str]) -> str:
    """As `nearest`; if no candidate is near and there are only a few, all of them: " (known: x, y)"."""
    known = list(dict.fromkeys(candidates))
    listed = f" (known: {', '.join(known)})" if 0 < len(known) <= _MOST_LISTED else ""
    return nearest(name, known) or listed
