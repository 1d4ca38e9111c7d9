"""Text to Einsums, by recursive descent written by hand.

    statement  := access '=' expr [ '::' reducer '(' variable {',' variable} ')' ]        separated by ';' or
    a new line access     := TENSOR '[' [ index {',' index} ] ']' index      := RANK | item {('+' | '-') item}
    item := factor {'*' factor}, factor := integer | variable | RANK expr       := usual precedence: or, and,
    not, comparison, + -, * /, unary -, ^; calls f(a, b); numbers; accesses

`#` starts a comment. A variable absent on the left is summed unless `::` names another reducer; a named
reducer must name exactly the absent variables. (It may not name some and leave others to the sum: a maximum
of sums is not a sum of maxima, so the order would matter.)
"""

import re
from typing import NamedTuple, NoReturn

from pydantic import ValidationError

from einsums.nodes import Access, Call, Const, Einsum, Expr, Index, Load, Reduction, Term, iter_loads
from einsums.operators import (
    FUNCTION_BY_NAME,
    OPERATOR_BY_NAME,
    REDUCER_BY_KEYWORD,
    UNSUPPORTED_REDUCERS,
)
from einsums.problems import EinsumSyntaxError, nearest

_TOKEN = re.compile(
    r"(?P<space>[ \t]+)|(?P<comment>\#.*)"
    r"|(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)|(?P<name>[A-Za-z_][A-Za-z0-9_]*)"
    r"|(?P<symbol>::|//|<=|>=|==|!=|[\[\]()=,;+\-*/^<>%])"
)
_BINARY = {
    operator.symbol: operator.name for operator in OPERATOR_BY_NAME.values() if operator.symbol and operator.arity == 2
}
_LEVELS: tuple[tuple[str, ...], ...] = (("+", "-"), ("*", "/"))
# Bounds the depth of an expression, so that no walk over it can exhaust Python's stack.
_MOST_TOKENS = 600
_COMPARISONS = ("<", "<=", ">", ">=", "==", "!=")


class _Token(NamedTuple):
    kind: str
    text: str
    column: int


def parse(text: str) -> tuple[Einsum, ...]:
    """Einsums of a text, in file order; raises EinsumSyntaxError with line and column."""
    einsums: list[Einsum] = []
    for line, source in enumerate(text.splitlines(), start=1):
        tokens = _tokenize(source, line)
        while tokens:
            size = next((i for i, token in enumerate(tokens) if token.text == ";"), len(tokens))
            if size:
                einsums.append(_Statement(tokens[:size], source, line).einsum())
            tokens = tokens[size + 1 :]
    return tuple(einsums)


def parse_einsum(text: str) -> Einsum:
    """The one Einsum of a text."""
    einsums = parse(text)
    if len(einsums) != 1:
        raise EinsumSyntaxError(f"expected one Einsum, found {len(einsums)}", 1, 1)
    return einsums[0]


def _tokenize(source: str, line: int) -> list[_Token]:
    tokens: list[_Token] = []
    position = 0
    while position < len(source):
        found = _TOKEN.match(source, position)
        if found is None:
            message = f"column {position + 1}: unexpected character '{source[position]}'"
            raise EinsumSyntaxError(message, line, position + 1)
        if found.lastgroup not in ("space", "comment"):
            tokens.append(_Token(str(found.lastgroup), found.group(), position + 1))
        position = found.end()
    return tokens


class _Statement:
    """The tokens of one Einsum and a position among them."""

    def __init__(self, tokens: list[_Token], source: str, line: int) -> None:
        last = tokens[-1]
        end = last.column + len(last.text)
        self.text = source[tokens[0].column - 1 : end - 1]
        self.line = line
        self.start = tokens[0].column
        self.tokens = [*tokens, _Token("end", "", end)]
        self.position = 0

    # --- tokens ---------------------------------------------------------------------------------------------
    @property
    def token(self) -> _Token:
        return self.tokens[self.position]

    def advance(self) -> _Token:
        token = self.token
        self.position += 1
        return token

    def take(self, text: str) -> bool:
        """Step over the symbol if it is next."""
        if self.token.kind != "end" and self.token.text == text:
            self.position += 1
            return True
        return False

    def fail(self, message: str, token: _Token | None = None) -> NoReturn:
        column = (token or self.token).column
        raise EinsumSyntaxError(f"column {column}: {message}", self.line, column)

    def expected(self, what: str) -> NoReturn:
        found = f"'{self.token.text}'" if self.token.kind != "end" else "the end of the Einsum"
        self.fail(f"expected {what}, found {found}")

    def need(self, text: str, where: str) -> None:
        if not self.take(text):
            self.expected(f"'{text}' {where}")

    # --- statement ------------------------------------------------------------------------------------------
    def einsum(self) -> Einsum:
        if len(self.tokens) > _MOST_TOKENS:
            self.fail(f"an Einsum of more than {_MOST_TOKENS} words and signs; split it into several")
        try:
            return self.whole()
        except RecursionError:
            self.fail("parentheses are nested too deeply", self.tokens[0])

    def whole(self) -> Einsum:
        if self.token.text == "(":
            self.fail("several outputs, written (A[i], B[i]) = .., are not supported")
        output = self.access("the tensor that the Einsum writes, such as QK[m,p]")
        self.need("=", f"after {output}")
        expr = self.expr()
        reduction = self.reduction(output, expr)
        if self.token.text == "where":
            self.fail("a mask, written with 'where', is not supported")
        if self.token.kind != "end":
            self.expected("an operator, '::' or the end of the Einsum")
        try:
            return Einsum(output=output, expr=expr, reduction=reduction, text=self.text, line=self.line)
        except ValidationError as error:
            message = str(error.errors()[0]["ctx"]["error"])
            raise EinsumSyntaxError(message, self.line, self.start) from None

    def reduction(self, output: Access, expr: Expr) -> Reduction | None:
        right = tuple(dict.fromkeys(name for access in iter_loads(expr) for name in access.variables))
        absent = tuple(name for name in right if name not in output.variables)
        if not self.take("::"):
            return Reduction(operator="add", variables=absent) if absent else None
        keyword = self.token
        if keyword.text in UNSUPPORTED_REDUCERS:
            self.fail(f"the reducer '{keyword.text}' is not supported: it gives positions or tuples, not one value")
        if keyword.text not in REDUCER_BY_KEYWORD:
            hint = nearest(keyword.text, REDUCER_BY_KEYWORD)
            self.fail(f"unknown reducer '{keyword.text}'{hint}")
        self.advance()
        self.need("(", f"after {keyword.text}")
        named = [self.variable()]
        while self.take(","):
            named.append(self.variable())
        self.need(")", "after the reduced variables")
        # canonical order, so that equal Einsums are equal nodes; names that do not fit are left for Einsum to
        # refuse
        ordered = absent if sorted(named) == sorted(absent) else tuple(named)
        return Reduction(operator=REDUCER_BY_KEYWORD[keyword.text].name, variables=ordered)

    def variable(self) -> str:
        if self.token.kind != "name" or not self.token.text.islower():
            self.expected("a rank variable (lower case)")
        return self.advance().text

    # --- accesses -------------------------------------------------------------------------------------------
    def access(self, what: str) -> Access:
        name = self.token
        if name.kind != "name":
            self.expected(what)
        if name.text.islower():
            self.fail(f"tensor names have an upper-case letter, found '{name.text}'")
        self.advance()
        self.need("[", f"after {name.text} (a tensor without ranks is written {name.text}[])")
        indices: list[Index] = []
        while not self.take("]"):
            if indices:
                self.need(",", f"or ']' after an index of {name.text}")
            indices.append(self.index())
        return Access(tensor=name.text, indices=tuple(indices))

    def index(self) -> Index:
        first, offset, terms = self.token, 0, list[Term]()
        sign = -1 if self.take("-") else 1
        while True:
            term, number = self.index_item(sign)
            offset += number
            if term is not None:
                terms = _merged(terms, term)
            if self.token.text not in ("+", "-"):
                break
            sign = 1 if self.advance().text == "+" else -1
        if self.token.text in ("//", "%", "/"):
            self.fail(f"'{self.token.text}' in an index is not supported; an index sums rank variables and integers")
        terms = [term for term in terms if term.scale]  # p - p
        ends = [term for term in terms if not term.variable]
        if not ends:
            return Index(terms=tuple(terms), offset=offset)
        if len(terms) > 1 or offset or ends[0].scale != 1 or len(ends[0].scale_ranks) != 1:
            self.fail("a rank used as an index is the last coordinate and stands alone, as in RD[M1,p]", first)
        return Index(terms=(), last_of=ends[0].scale_ranks[0])

    def index_item(self, sign: int) -> tuple[Term | None, int]:
        """A product of integers, ranks and at most one variable: a term, or a number added to the offset.

        A rank without variable comes back as a term without variable, for `index` to read as a last
        coordinate.
        """
        scale, variable, ranks = sign, "", list[str]()
        while True:
            token = self.token
            if token.kind == "number" and token.text.isdigit():
                scale *= int(token.text)
            elif token.kind == "name" and token.text.islower() and not variable:
                variable = token.text
            elif token.kind == "name" and token.text.isupper():
                ranks.append(token.text)
            else:
                self.expected("a rank variable (lower case), a rank (upper case) or an integer")
            self.advance()
            if self.token.text == "[":
                self.fail(f"a tensor as an index, {token.text}[..], is not supported")
            if not self.take("*"):
                break
        if not variable and not ranks:
            return None, scale
        return Term(variable=variable, scale=scale, scale_ranks=tuple(ranks)), 0

    # --- expressions ----------------------------------------------------------------------------------------
    def expr(self) -> Expr:
        left = self.conjunction()
        while self.take("or"):
            left = Call(operator="or", arguments=(left, self.conjunction()))
        return left

    def conjunction(self) -> Expr:
        left = self.negation()
        while self.take("and"):
            left = Call(operator="and", arguments=(left, self.negation()))
        return left

    def negation(self) -> Expr:
        if self.take("not"):
            return Call(operator="not", arguments=(self.negation(),))
        return self.comparison()

    def comparison(self) -> Expr:
        left = self.binary(0)
        if self.token.text not in _COMPARISONS:
            return left
        operator = _BINARY[self.advance().text]
        right = self.binary(0)
        if self.token.text in _COMPARISONS:
            self.fail("comparisons do not chain; use 'and' or parentheses")
        return Call(operator=operator, arguments=(left, right))

    def binary(self, level: int) -> Expr:
        if level == len(_LEVELS):
            return self.unary()
        left = self.binary(level + 1)
        while self.token.text in _LEVELS[level]:
            operator = _BINARY[self.advance().text]
            left = Call(operator=operator, arguments=(left, self.binary(level + 1)))
        return left

    def unary(self) -> Expr:
        if not self.take("-"):
            return self.power()
        operand = self.unary()
        if isinstance(operand, Const):  # a negative number is a number, not an operation
            return Const(value=-operand.value)
        return Call(operator="neg", arguments=(operand,))

    def power(self) -> Expr:
        base = self.primary()
        if self.take("^"):
            return Call(operator="pow", arguments=(base, self.unary()))
        return base

    def primary(self) -> Expr:
        token = self.token
        if self.take("("):
            inner = self.expr()
            self.need(")", "to close the parenthesis")
            return inner
        if token.kind == "number" or token.text == "inf":
            return Const(value=float(self.advance().text))
        if token.kind == "name" and self.tokens[self.position + 1].text == "(":
            return self.call()
        if token.kind == "name" and token.text.islower():
            self.fail(f"'{token.text}' is no value: a rank variable stands inside the brackets of a tensor")
        return Load(access=self.access("a tensor, a number, a function or '('"))

    def call(self) -> Expr:
        name = self.advance()
        if name.text not in FUNCTION_BY_NAME:
            self.fail(f"unknown operator '{name.text}'{nearest(name.text, FUNCTION_BY_NAME)}", name)
        self.need("(", f"after {name.text}")
        arguments = [self.expr()]
        while self.take(","):
            arguments.append(self.expr())
        self.need(")", f"after the arguments of {name.text}")
        arity = FUNCTION_BY_NAME[name.text].arity
        if len(arguments) != arity:
            self.fail(f"{name.text} takes {arity} argument{'s' * (arity > 1)}, got {len(arguments)}", name)
        return Call(operator=name.text, arguments=tuple(arguments))


def _merged(terms: list[Term], new: Term) -> list[Term]:
    """Terms with `new` added: p + p is 2*p."""
    for position, old in enumerate(terms):
        if (old.variable, old.scale_ranks) == (new.variable, new.scale_ranks):
            merged = Term(variable=old.variable, scale=old.scale + new.scale, scale_ranks=old.scale_ranks)
            return [*terms[:position], merged, *terms[position + 1 :]]
    return [*terms, new]
