"""The values an input may take, where a cascade declares them: `domain: {A: finite, SCALE: positive}`.

A rewrite need not preserve results outside the domain, and inputs drawn to try a cascade stay inside it.
"""

# The properties of each word; an input without a word may be any number, including an infinity.
MEANING_BY_DOMAIN = {
    "finite": "neither infinite nor NaN",
    "positive": "finite and above 0",
    "non-negative": "finite and at least 0",
}


def allows_zero(domain: str | None) -> bool:
    """Whether an input of this domain may be 0."""
    return domain != "positive"


def allows_infinity(domain: str | None) -> bool:
    """Whether an input of this domain may be infinite."""
    return domain is None
