"""Problems with an input and their location: the single form in which a user's mistakes are reported."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

LONGEST_WORD = 160  # characters without a space that a message shows
LONGEST_SENTENCE = 2000  # characters of a message: room for the names of a whole catalogue
LONGEST_KEY = 60  # characters of a key that a path shows
LONGEST_PATH = 4096  # the same for the path of a file: the longest that systems have

_PLAIN_KEY = re.compile(r"[A-Za-z_][\w-]*")


@dataclass(frozen=True, slots=True)
class InputProblem:
    """One mistake: file, line (from 1; None where there is no text), `$.path` and one sentence."""

    file: str
    line: int | None
    path: str
    message: str

    def __str__(self) -> str:
        file = one_line(self.file, LONGEST_PATH)
        place = file if self.line is None else f"{file}:{self.line}"
        said = f"{self.path}: {self.message}" if self.path else self.message
        sentence = one_line(said)
        return f"{place}: {sentence if len(sentence) <= LONGEST_SENTENCE else f'{sentence[:LONGEST_SENTENCE]}...'}"


class InputError(ValueError):
    """All problems of an input; its text has one line per problem."""

    def __init__(self, problems: Iterable[InputProblem]) -> None:
        self.problems = tuple(problems)
        assert self.problems, "an InputError without a problem"
        super().__init__(self.problems)

    def __str__(self) -> str:
        return "\n".join(str(problem) for problem in self.problems)


class Refused(Exception):  # noqa: N818 (the answer is no; nothing went wrong)
    """The request cannot be fulfilled; the text states why, one line per reason."""


def one_line(text: str, longest_word: int = LONGEST_WORD) -> str:
    """Text without line breaks and control characters, its overlong words cut: what was found may be anything."""
    shown = "".join(character if character.isprintable() else repr(character)[1:-1] for character in text)
    return re.sub(rf"\S{{{longest_word},}}", lambda found: f"{found[0][:longest_word]}...", shown)


def format_path(parts: Sequence[str | int]) -> str:
    """`('components', 0, 'size')` as `$.components[0].size`."""
    return "$" + "".join(_format_part(part) for part in parts)


def _format_part(part: str | int) -> str:
    if isinstance(part, str) and len(part) > LONGEST_KEY:
        part = f"{part[:LONGEST_KEY]}..."
    if isinstance(part, str) and _PLAIN_KEY.fullmatch(part):
        return f".{part}"
    return f"[{part!r}]"
