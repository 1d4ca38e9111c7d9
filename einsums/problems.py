"""What is wrong with a cascade a user wrote: errors that carry a place, and the nearest known name."""

import difflib
from collections.abc import Iterable
from typing import NamedTuple

_FEW = 10  # names that a sentence can still list


class EinsumSyntaxError(ValueError):
    """Text that is no Einsum; `line` and `column` count from 1 inside the text that was parsed."""

    def __init__(self, message: str, line: int, column: int) -> None:
        super().__init__(message)
        self.line = line
        self.column = column


class Problem(NamedTuple):
    """One sentence about one mistake, and the line of the Einsum text it is on (0: no particular line)."""

    message: str
    line: int = 0


class CascadeError(ValueError):
    """All independent mistakes of a cascade, a sentence a line; `line` is that of the first that has one."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("\n".join(problem.message for problem in problems))
        self.problems = problems
        lines = [problem.line for problem in problems if problem.line]
        if lines:  # readers test for the attribute, so it exists only where there is a place to show
            self.line = lines[0]
            self.column = 1


def raise_problems(problems: Iterable[Problem]) -> None:
    """Raise a CascadeError if there is any problem."""
    found = tuple(problems)
    if found:
        raise CascadeError(found)


def nearest(name: str, candidates: Iterable[str]) -> str:
    """The hint " (did you mean 'x'?)" for the candidate most like `name`, ignoring case.

    Where nothing is alike it lists the known names if they are few, " (known: E, P)", and else is empty.
    """
    known = list(dict.fromkeys(candidates))
    lowered = {candidate.lower(): candidate for candidate in reversed(known)}
    close = difflib.get_close_matches(name.lower(), list(lowered), n=1, cutoff=0.5)
    if close:
        return f" (did you mean '{lowered[close[0]]}'?)"
    return f" (known: {', '.join(known)})" if 0 < len(known) <= _FEW else ""


def listed(names: Iterable[str]) -> str:
    """Names as a reader wants them in a sentence: 'E, P', or 'none'."""
    return ", ".join(names) or "none"
