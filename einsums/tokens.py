"""The tokeniser of both expression languages: Einsums and the formulas of `arch`.

A language defines its symbols and whether it has dotted names, quoted texts and comments; numbers and blanks are the
same in all. `^` and `**` both mean a power and associate to the right. Standard library only, so that any package may
import it.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import NamedTuple, TypeVar

POWER = ("^", "**")  # two spellings of one operator

_NUMBER = r"(?P<number>(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?)"
_WORD = r"[A-Za-z_][A-Za-z0-9_]*"

Parsed = TypeVar("Parsed")


class Token(NamedTuple):
    """A word, number or symbol and its position. `kind`: number, name, text (quoted), symbol or end."""

    kind: str
    text: str
    column: int  # from 1


class UnknownCharacterError(ValueError):
    """A character that cannot start a token; `column` counts from 1."""

    def __init__(self, character: str, column: int) -> None:
        super().__init__(f"unexpected character '{character}'")
        self.character = character
        self.column = column


class Tokenizer:
    """Tokeniser of one language. `symbols` may be in any order; the longest match wins."""

    def __init__(
        self, symbols: Iterable[str], *, dotted_names: bool = False, quoted_texts: bool = False, comments: bool = False
    ) -> None:
        signs = sorted({*symbols, *POWER}, key=lambda sign: (-len(sign), sign))
        patterns = [
            r"(?P<blank>\s+)",
            _NUMBER,
            rf"(?P<name>{_WORD}(?:\.{_WORD})*)" if dotted_names else f"(?P<name>{_WORD})",
            *([r"(?P<text>'[^']*'|\"[^\"]*\")"] if quoted_texts else []),
            *([r"(?P<comment>#.*)"] if comments else []),
            f"(?P<symbol>{'|'.join(map(re.escape, signs))})",
        ]
        self._pattern = re.compile("|".join(patterns))

    def tokens(self, text: str) -> list[Token]:
        """All tokens, without blanks and comments; UnknownCharacterError for a character that starts none."""
        found: list[Token] = []
        position = 0
        while position < len(text):
            match = self._pattern.match(text, position)
            if match is None:
                raise UnknownCharacterError(text[position], position + 1)
            if match.lastgroup not in ("blank", "comment"):
                found.append(Token(str(match.lastgroup), match.group(), position + 1))
            position = match.end()
        return found


class Cursor(ABC):
    """A position in a list of tokens, with the operations that the parsers of both languages share.

    `end` is the token after the last one; its text is how messages name the end of the input.
    """

    deepest_nesting: int

    def __init__(self, tokens: list[Token], end: Token) -> None:
        self.tokens = [*tokens, end]
        self.position = 0
        self.nesting = 0

    @property
    def token(self) -> Token:
        """The next token."""
        return self.tokens[self.position]

    @property
    def found(self) -> str:
        """The next token as an error message names it."""
        return self.token.text if self.token.kind == "end" else f"'{self.token.text}'"

    def advance(self) -> Token:
        """Step over the next token."""
        token = self.token
        self.position += 1
        return token

    def take(self, *texts: str) -> str:
        """Step over a word or symbol if it is one of these; returns its text, or an empty text."""
        if self.token.kind in ("symbol", "name") and self.token.text in texts:
            return self.advance().text
        return ""

    @abstractmethod
    def error(self, problem: str, token: Token | None = None) -> ValueError:
        """An error for the problem at a token, by default the next one."""

    def nested(self, parse_inner: Callable[[], Parsed]) -> Parsed:
        """One more level of recursion, within a bound that Python's stack can hold."""
        self.nesting += 1
        if self.nesting > self.deepest_nesting:
            raise self.error(f"more than {self.deepest_nesting} levels of nesting")
        parsed = parse_inner()
        self.nesting -= 1
        return parsed
