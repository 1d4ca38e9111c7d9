"""The values an input may take, where a cascade declares them: `domain: {A: finite, SCALE: positive, LEN: length(M)}`.

A rewrite need not preserve results outside the domain, and inputs drawn to try a cascade stay inside it.
"""

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

# The properties of each word; an input without a word may be any number, including an infinity.
MEANING_BY_DOMAIN = {
    "finite": "neither infinite nor NaN",
    "positive": "finite and above 0",
    "non-negative": "finite and at least 0",
    "mask": "0 or 1",
}
# Words that take a rank, as in length(M): whole numbers from 0, up to and including its size or not.
MEANING_BY_RANKED_DOMAIN = {
    "length": "a whole number from 0 to the size of the rank",
    "index": "a whole number from 0 to one below the size of the rank",
}
_RANKED = re.compile(r"(length|index)\(([A-Z][A-Z0-9_]*)\)")


class WholeNumbers(NamedTuple):
    """A domain of coordinates: `length` or `index` of a rank."""

    word: str
    rank: str

    def largest(self, size: int) -> int:
        """The largest value where the rank has this size."""
        return size - (self.word == "index")


def whole_numbers(domain: str | None) -> WholeNumbers | None:
    """The domain as coordinates of a rank; None for any other."""
    found = _RANKED.fullmatch(domain or "")
    return WholeNumbers(found.group(1), found.group(2)) if found else None


def is_of_numbers(domain: str) -> bool:
    """Whether a domain is one of real numbers; others are drawn in their own way."""
    return domain in MEANING_BY_DOMAIN and domain != "mask"


def allows_zero(domain: str | None) -> bool:
    """Whether an input of this domain may be 0."""
    return domain != "positive"


def allows_infinity(domain: str | None) -> bool:
    """Whether an input of this domain may be infinite."""
    return domain is None


def range_problem(domain: str, values: Iterable[float], size_by_rank: Mapping[str, int]) -> str:
    """What is wrong with the distinct values of an input whose domain is whole numbers; empty if nothing is."""
    whole = whole_numbers(domain)
    if whole is None and domain != "mask":
        return ""
    largest = 1 if whole is None else whole.largest(size_by_rank[whole.rank])
    for value in values:
        if not float(value).is_integer() or value < 0:
            return f"holds {value:g}; its domain {domain} is of whole numbers from 0 to {largest}"
        if value > largest and whole is not None:
            kind = "a length longer than" if whole.word == "length" else "an index outside"
            return f"holds {value:g}, {kind} rank {whole.rank}, which has {size_by_rank[whole.rank]} coordinates"
        if value > largest:
            return f"holds {value:g}; its domain mask is of 0 and 1"
    return ""
