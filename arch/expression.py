"""Arithmetic written as text, parsed by hand and never passed to Python's own evaluator.

One small language serves area formulas, tile sizes, workload sizes and sweeps:

    or, and, not, == != < <= > >= (not chained), + -, * / // %, unary -, ** or ^ (right to left), calls, ( )

with Python's precedence; `^` is another spelling of `**`, as in Einsums. `GLB.size_bytes` is one name; `16 MiB`
is a literal in bytes; 'onchip' is a text for comparisons; `1e6` is a whole number. Arithmetic uses Python's operators;
everything else (comparisons and logic included) goes through a table of functions, so that the same tree evaluates
numpy arrays when the caller passes vectorised functions. Both sides of `and`, `or` and `choose` are always evaluated,
because arrays cannot be evaluated lazily.
"""

import math
import operator
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from arch.functions import ARITIES, SCALAR_FUNCTIONS
from arch.quantity import clipped, dimension_of_unit, quoted, size_units_bytes
from einsums.names import nearest
from einsums.tokens import POWER, Cursor, Token, Tokenizer, UnknownCharacterError

__all__ = [
    "SCALAR_FUNCTIONS",
    "Expression",
    "FormulaCall",
    "FormulaNumber",
    "Name",
    "Text",
    "check_names",
    "evaluate",
    "parse_expression",
]

# Bounds on formulas, far above any realistic one, that keep the recursion and the integers small.
_LONGEST_TEXT = 1000
_MOST_TOKENS = 250
_LONGEST_NUMBER = 60
_LARGEST_BITS = 1000  # of a whole number; every value is a finite float too

_COMPARISONS = {"==": "eq", "!=": "ne", "<": "lt", "<=": "le", ">": "gt", ">=": "ge"}
_KEYWORDS = ("and", "or", "not")
_TOKENIZER = Tokenizer((*_COMPARISONS, *POWER, "//", *"+-*/%(),"), dotted_names=True, quoted_texts=True)


@dataclass(frozen=True)
class FormulaNumber:
    """A literal; sizes are already in bytes."""

    value: int | float


@dataclass(frozen=True)
class Text:
    """A quoted word, for comparisons."""

    value: str


@dataclass(frozen=True)
class Name:
    """A dotted name, looked up when evaluated."""

    name: str


@dataclass(frozen=True)
class FormulaCall:
    """An operator or a function applied to arguments."""

    function: str
    arguments: tuple["Node", ...]


Node = FormulaNumber | Text | Name | FormulaCall


@dataclass(frozen=True)
class Expression:
    """A parsed expression and the text it came from."""

    text: str
    root: Node

    @property
    def names(self) -> tuple[str, ...]:
        """The distinct names read, in order of first appearance."""
        return tuple(dict.fromkeys(_iter_names(self.root)))

    def __str__(self) -> str:
        return self.text


def _iter_names(node: Node) -> Iterator[str]:
    match node:
        case Name(name):
            yield name
        case FormulaCall(_, arguments):
            for argument in arguments:
                yield from _iter_names(argument)


def _iter_constants(node: Node) -> Iterator[FormulaCall]:
    """The largest parts of a formula that read no name, and so have one value wherever the formula is used."""
    if isinstance(node, FormulaCall):
        if next(_iter_names(node), None) is None:
            yield node
            return
        for argument in node.arguments:
            yield from _iter_constants(argument)


def _tokens(text: str) -> list[Token]:
    try:
        tokens = _TOKENIZER.tokens(text)
    except UnknownCharacterError as error:
        found = "a text that is not closed" if error.character in "'\"" else f"'{error.character}'"
        raise ValueError(f"unexpected {found} at column {error.column} of '{clipped(text)}'") from None
    if len(tokens) > _MOST_TOKENS:
        raise ValueError(f"expected an expression of at most {_MOST_TOKENS} words, got {len(tokens)}")
    return tokens


def _whole(value: Fraction) -> int | float:
    return int(value) if value.denominator == 1 else float(value)


class _Parser(Cursor):
    """Recursive descent over the tokens of one text; each method parses one level of precedence."""

    deepest_nesting = 40

    def __init__(self, text: str) -> None:
        super().__init__(_tokens(text), Token("end", "the end", len(text) + 1))
        self.text = text

    def error(self, problem: str, token: Token | None = None) -> ValueError:
        return ValueError(f"{problem} at column {(token or self.token).column} of '{clipped(self.text)}'")

    def unexpected(self, expected: str) -> ValueError:
        return self.error(f"expected {expected}, got {self.found}")

    def parse(self) -> Node:
        node = self.disjunction()
        if self.token.kind != "end":
            raise self.unexpected("an operator or the end")
        return node

    def left_to_right(self, symbols: Mapping[str, str], operand: Callable[[], Node]) -> Node:
        node = operand()
        while symbol := self.take(*symbols):
            node = FormulaCall(symbols[symbol], (node, operand()))
        return node

    def disjunction(self) -> Node:
        return self.left_to_right({"or": "or"}, self.conjunction)

    def conjunction(self) -> Node:
        return self.left_to_right({"and": "and"}, self.negation)

    def negation(self) -> Node:
        if self.take("not"):
            return FormulaCall("not", (self.nested(self.negation),))
        return self.comparison()

    def comparison(self) -> Node:
        left = self.sum()
        symbol = self.take(*_COMPARISONS)
        if not symbol:
            return left
        node = FormulaCall(_COMPARISONS[symbol], (left, self.sum()))
        if self.token.text in _COMPARISONS:
            raise self.error("comparisons cannot be chained (use 'and')", self.token)
        return node

    def sum(self) -> Node:
        return self.left_to_right({"+": "+", "-": "-"}, self.product)

    def product(self) -> Node:
        return self.left_to_right({"*": "*", "/": "/", "//": "//", "%": "%"}, self.signed)

    def signed(self) -> Node:
        if self.take("-"):
            return FormulaCall("neg", (self.nested(self.signed),))
        if self.take("+"):
            return self.nested(self.signed)
        return self.power()

    def power(self) -> Node:
        base = self.primary()
        if self.take(*POWER):
            return FormulaCall("**", (base, self.nested(self.signed)))  # binds tighter only than a minus on its left
        return base

    def primary(self) -> Node:
        token = self.token
        if token.kind == "number":
            return self.number()
        if token.kind == "text":
            return Text(self.advance().text[1:-1])
        if token.kind == "name" and token.text not in _KEYWORDS:
            return self.name_or_call()
        if self.take("("):
            node = self.nested(self.disjunction)
            self.close(token)
            return node
        raise self.unexpected("a number, a name or '('")

    def close(self, opening: Token) -> None:
        if not self.take(")"):
            raise self.unexpected(f"')' for the '(' at column {opening.column}")

    def number(self) -> Node:
        token = self.advance()
        mantissa, _, exponent = token.text.lower().partition("e")
        if len(exponent) > 4:
            raise self.error(f"number {quoted(token.text)} is too large", token)
        if len(mantissa) > _LONGEST_NUMBER:
            raise self.error(
                f"number {quoted(token.text)} has {len(mantissa)} digits, at most {_LONGEST_NUMBER} are read", token
            )
        exact = Fraction(token.text)
        if exact.numerator.bit_length() > _LARGEST_BITS and exact > 1:
            raise self.error(f"number {quoted(token.text)} is too large", token)
        if self.token.kind == "name" and self.token.text not in _KEYWORDS:
            return FormulaNumber(_whole(exact * self.size_unit_bytes()))
        is_whole = exact.denominator == 1 and "." not in mantissa and len(str(exact.numerator)) <= 18
        if is_whole or (exponent and exact.denominator == 1 and exact < 10**18):
            return FormulaNumber(int(exact))
        try:
            return FormulaNumber(float(exact))
        except OverflowError as error:
            raise self.error(f"number {quoted(token.text)} is too large", token) from error

    def size_unit_bytes(self) -> Fraction:
        token = self.advance()
        units = size_units_bytes()
        if token.text in units:
            return units[token.text]
        dimension = dimension_of_unit(token.text)
        reason = f", which is the unit of {dimension}" if dimension else nearest(token.text, units)
        raise self.error(f"expected an operator or a size unit, got '{token.text}'{reason}", token)

    def name_or_call(self) -> Node:
        token = self.advance()
        opening = self.token
        if not self.take("("):
            return Name(token.text)
        if token.text not in ARITIES:
            raise self.error(f"unknown function '{token.text}'{nearest(token.text, ARITIES)}", token)
        arguments: list[Node] = []
        if self.token.text != ")":
            arguments.append(self.nested(self.disjunction))
            while self.take(","):
                arguments.append(self.nested(self.disjunction))
        self.close(opening)
        self.check_arity(token, len(arguments))
        return FormulaCall(token.text, tuple(arguments))

    def check_arity(self, token: Token, count: int) -> None:
        least, most = ARITIES[token.text]
        if least <= count and (most is None or count <= most):
            return
        wanted = f"at least {least}" if most is None else str(least)
        raise self.error(f"'{token.text}' takes {wanted} argument{'s' * (least != 1)}, got {count},", token)


def parse_expression(source: Any) -> Expression:
    """Text or a number to an Expression (an Expression is returned unchanged); ValueError names the column."""
    if isinstance(source, Expression):
        return source
    if isinstance(source, (int, float)) and not isinstance(source, bool):
        if source != source or source in (float("inf"), float("-inf")):
            raise ValueError(f"expected an expression or a finite number, got {source}")
        if isinstance(source, int) and source.bit_length() > _LARGEST_BITS:
            raise ValueError(f"expected an expression or a finite number, got {quoted(source)}")
        return Expression(repr(source), FormulaNumber(source))
    if not isinstance(source, str):
        raise ValueError(f"expected an expression or a number, got {quoted(source)}")
    if not source.strip():
        raise ValueError("expected an expression or a number, got an empty text")
    if len(source) > _LONGEST_TEXT:
        raise ValueError(f"expected an expression of at most {_LONGEST_TEXT} characters, got {len(source)}")
    expression = Expression(source, _Parser(source).parse())
    for node in _iter_constants(expression.root):
        evaluate(Expression(source, node), dict[str, Any]().__getitem__)
    return expression


def check_names(expression: Expression, known: Iterable[str]) -> None:
    """ValueError for the first unknown name that the expression reads, with the nearest known one."""
    candidates = tuple(known)
    for name in expression.names:
        if name not in candidates:
            raise ValueError(f"unknown name '{name}'{nearest(name, candidates)}")


def _raise_to(base: Any, exponent: Any) -> Any:
    if isinstance(base, int) and isinstance(exponent, int) and base.bit_length() * exponent > _LARGEST_BITS:
        raise OverflowError
    power = base**exponent
    if isinstance(power, complex):
        raise ValueError("a negative number has no fractional power")
    return power


_ARITHMETIC: dict[str, Callable[..., Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "//": operator.floordiv,
    "%": operator.mod,
    "**": _raise_to,
    "neg": operator.neg,
}


def _calculate(function: str, values: list[Any]) -> Any:
    """Arithmetic, with Python's exceptions turned into sentences."""
    if any(isinstance(value, str) for value in values):
        symbol = "-" if function == "neg" else function
        raise ValueError(f"'{symbol}' needs numbers, got {' and '.join(repr(value) for value in values)}")
    found = _ARITHMETIC[function](*values)
    # Arrays are judged by what comes of them; plain numbers here.
    if type(found) is float and not math.isfinite(found):
        raise OverflowError
    if isinstance(found, int) and found.bit_length() > _LARGEST_BITS:
        raise OverflowError
    return found


def _as_number(value: Any) -> Any:
    """An array of truth values as ones and zeros, which is what a truth value of Python counts as."""
    return value * 1.0 if str(getattr(value, "dtype", "")) == "bool" else value


def _evaluate(node: Node, lookup: Callable[[str], Any], functions: Mapping[str, Callable[..., Any]]) -> Any:
    match node:
        case FormulaNumber(value) | Text(value):
            return value
        case Name(name):
            return lookup(name)
        case FormulaCall(function, arguments):
            values = [_as_number(_evaluate(argument, lookup, functions)) for argument in arguments]
            if function in _ARITHMETIC:
                return _calculate(function, values)
            return functions[function](*values)


def evaluate(
    expression: Expression,
    lookup: Callable[[str], Any],
    functions: Mapping[str, Callable[..., Any]] = SCALAR_FUNCTIONS,
) -> Any:
    """The value, with names resolved by `lookup`; ValueError for a division by zero or a text used as a number."""
    try:
        return _evaluate(expression.root, lookup, functions)
    except ZeroDivisionError as error:
        raise ValueError(f"division by zero in '{clipped(expression.text)}'") from error
    except OverflowError as error:
        raise ValueError(f"a number too large in '{clipped(expression.text)}'") from error
