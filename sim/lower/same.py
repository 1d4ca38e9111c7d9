"""Caches that know a noun by being the same object, where comparing its contents would cost more than what is kept.

Nouns are frozen and built once for equal data, so designs of a batch share them. A `Same` holds its noun, so the
identity it compares stays taken for as long as a cache remembers it.
"""

from dataclasses import dataclass
from typing import Generic, TypeVar

Noun = TypeVar("Noun")


@dataclass(frozen=True, slots=True, eq=False)
class Same(Generic[Noun]):
    """Equal only to a `Same` of the very same object."""

    noun: Noun

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and other.noun is self.noun

    def __hash__(self) -> int:
        return id(self.noun)
