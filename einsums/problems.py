"""Errors in a cascade that a user wrote, with their location and the nearest known name."""

from collections.abc import Iterable
from typing import NamedTuple


class EinsumSyntaxError(ValueError):
    """Text that is not an Einsum; `line` and `column` count from 1 inside the text that was parsed."""

    def __init__(self, message: str, line: int, column: int) -> None:
        super().__init__(message)
        self.line = line
        self.column = column


class CascadeProblem(NamedTuple):
    """One sentence about one mistake, and its line in the Einsum text (0: no particular line)."""

    message: str
    line: int = 0


class CascadeError(ValueError):
    """All independent mistakes of a cascade, one sentence per line; `line` is that of the first that has one."""

    def __init__(self, problems: tuple[CascadeProblem, ...]) -> None:
        super().__init__("\n".join(problem.message for problem in problems))
        self.problems = problems
        lines = [problem.line for problem in problems if problem.line]
        if lines:  # readers test for the attribute, so it exists only if there is a location to show
            self.line = lines[0]
            self.column = 1


def raise_problems(problems: Iterable[CascadeProblem]) -> None:
    """Raise a CascadeError if there is any problem."""
    found = tuple(problems)
    if found:
        raise CascadeError(found)


def listed(names: Iterable[str]) -> str:
    """Names for use in a sentence: 'E, P', or 'none'."""
    return ", ".join(names) or "none"
