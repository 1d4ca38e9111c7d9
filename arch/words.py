"""Quoted words in formulas: each must be compared with a name that can have it as its value.

A comparison with a word that its name never has is always false, so a misspelt one would decide silently.
"""

from collections.abc import Collection, Iterator, Mapping

from arch.expression import Expression, FormulaCall, Name, Node, Text
from einsums.names import near_or_all

_EQUALITIES = ("eq", "ne")


def iter_word_problems(expression: Expression, words: Mapping[str, Collection[str]]) -> Iterator[str]:
    """What is wrong with the quoted words of a formula, one sentence each.

    words: the possible values of each name that has words for values; none for a name known to be a number. Names that
    are absent are not judged.
    """
    yield from _iter_problems(expression.root, words)


def _iter_problems(node: Node, words: Mapping[str, Collection[str]]) -> Iterator[str]:
    match node:
        case Text(word):
            yield f"'{word}' is compared with nothing: expected a name that has words for values, then == or !="
        case FormulaCall(function, (Name(name), Text(word)) | (Text(word), Name(name))) if function in _EQUALITIES:
            if name in words and not words[name]:
                yield f"'{name}' is a number, and is never '{word}'"
            elif name in words and word not in words[name]:
                yield f"'{name}' is never '{word}'{near_or_all(word, words[name])}"
        case FormulaCall(_, arguments):
            for argument in arguments:
                yield from _iter_problems(argument, words)


def is_word(expression: Expression, words: Mapping[str, Collection[str]]) -> bool:
    """Whether a formula's value is a word: a quoted one, a name that has words for values, or a choice of these."""
    return _is_word(expression.root, words)


def _is_word(node: Node, words: Mapping[str, Collection[str]]) -> bool:
    match node:
        case Text():
            return True
        case Name(name):
            return bool(words.get(name))
        case FormulaCall("choose", (_, *chosen)):
            return any(_is_word(one, words) for one in chosen)
    return False
