"""Text to Einsums, by hand-written recursive descent.

    statement := access '=' expr [ 'where' condition ] [ '::' reducer '(' variable {',' variable} ')' ]
    access    := TENSOR '[' [ index {',' index} ] ']'
    index     := RANK | item {('+' | '-') item};  item := factor {'*' factor};  factor := integer | variable | RANK
    expr      := symbols by the precedence of their operators; calls f(a, b); numbers; accesses; pos(position); ( )
    condition := an expr in which rank variables and sizes of ranks are values, with two operators more, // and %
    position  := a condition without tensors that is affine, or such divided by // or %

Statements are separated by ';' or a new line.
`#` starts a comment. A variable absent on the left is summed unless `::` names another reducer; a named reducer must
list exactly the absent variables. (It may not list some and leave others to the sum: a maximum of sums is not a sum of
maxima, so the order would matter.)
"""

from collections.abc import Callable
from typing import Any, NoReturn

from pydantic import ValidationError

from einsums.affine import affine, folded, is_fixed
from einsums.names import near_or_all
from einsums.nodes import Access, Call, Const, Einsum, Expr, Index, Load, Position, Reduction, Term, variables_of
from einsums.operators import (
    FUNCTION_BY_NAME,
    OPERATOR_BY_NAME,
    OPERATORS,
    REDUCER_BY_KEYWORD,
    UNSUPPORTED_REDUCERS,
    Grouping,
    Notation,
)
from einsums.problems import EinsumSyntaxError
from einsums.tokens import POWER, Cursor, Token, Tokenizer, UnknownCharacterError

# By symbol: the operator's name and notation; prefix operators have one argument, infix operators two.
_PREFIX = {o.notation.symbol: (o.name, o.notation) for o in OPERATORS if o.notation and o.arity == 1}
_INFIX = {o.notation.symbol: (o.name, o.notation) for o in OPERATORS if o.notation and o.arity == 2}
_INFIX |= {spelling: _INFIX[power] for power in POWER if power in _INFIX for spelling in POWER}
_NOT_IN_AN_INDEX = ("//", "%", "/", *POWER)
_QUOTIENTS = {"//": "//", "%": "%"}  # by symbol: the operator of a position, as tight as a product
_PRODUCT = OPERATOR_BY_NAME["mul"].notation
_TOKENIZER = Tokenizer(
    {sign for sign in (*_PREFIX, *_INFIX, *_NOT_IN_AN_INDEX, *"[]()=,;", "::") if not sign.isalpha()}, comments=True
)
# Bounds the depth of an expression, so that no traversal can exhaust Python's stack.
_MOST_TOKENS = 600


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


def _tokenize(source: str, line: int) -> list[Token]:
    try:
        return _TOKENIZER.tokens(source)
    except UnknownCharacterError as error:
        raise EinsumSyntaxError(f"column {error.column}: {error}", line, error.column) from None


class _Statement(Cursor):
    """The tokens of one Einsum and a position among them."""

    deepest_nesting = 90

    def __init__(self, tokens: list[Token], source: str, line: int) -> None:
        last = tokens[-1]
        end = last.column + len(last.text)
        super().__init__(tokens, Token("end", "the end of the Einsum", end))
        self.text = source[tokens[0].column - 1 : end - 1]
        self.line = line
        self.start = tokens[0].column
        self.in_condition = False  # where rank variables and sizes of ranks are values

    def error(self, problem: str, token: Token | None = None) -> EinsumSyntaxError:
        column = (token or self.token).column
        return EinsumSyntaxError(f"column {column}: {problem}", self.line, column)

    def fail(self, problem: str, token: Token | None = None) -> NoReturn:
        raise self.error(problem, token)

    def expected(self, what: str) -> NoReturn:
        self.fail(f"expected {what}, found {self.found}")

    def need(self, text: str, where: str) -> None:
        if not self.take(text):
            self.expected(f"'{text}' {where}")

    # --- statement ------------------------------------------------------------------------------------------
    def einsum(self) -> Einsum:
        if len(self.tokens) > _MOST_TOKENS:
            self.fail(f"an Einsum of more than {_MOST_TOKENS} words and signs; split it into several")
        if self.token.text == "(":
            self.fail("several outputs, written (A[i], B[i]) = .., are not supported")
        output = self.access("the tensor that the Einsum writes, such as QK[m,p]")
        self.need("=", f"after {output}")
        expr = self.expr()
        condition = folded(self.positions(self.expr)) if self.take("where") else None
        reduction = self.reduction(output, expr)
        if self.token.text == "where":
            self.fail("a condition stands before '::', as in QK[m,p] where m <= p :: max(m)")
        if self.token.kind != "end":
            self.expected("an operator, 'where', '::' or the end of the Einsum")
        parts: dict[str, Any] = {"output": output, "expr": expr, "condition": condition, "reduction": reduction}
        try:
            return Einsum(**parts, text=self.text, line=self.line)
        except ValidationError as error:
            message = str(error.errors()[0]["ctx"]["error"])
            raise EinsumSyntaxError(message, self.line, self.start) from None

    def reduction(self, output: Access, expr: Expr) -> Reduction | None:
        absent = tuple(name for name in variables_of(expr) if name not in output.variables)
        if not self.take("::"):
            return Reduction(operator="add", variables=absent) if absent else None
        keyword = self.token
        if keyword.text in UNSUPPORTED_REDUCERS:
            self.fail(f"the reducer '{keyword.text}' is not supported: it gives positions or tuples, not one value")
        if keyword.text not in REDUCER_BY_KEYWORD:
            hint = near_or_all(keyword.text, REDUCER_BY_KEYWORD)
            self.fail(f"unknown reducer '{keyword.text}'{hint}")
        self.advance()
        self.need("(", f"after {keyword.text}")
        named = [self.variable()]
        while self.take(","):
            named.append(self.variable())
        self.need(")", "after the reduced variables")
        # canonical order, so that equal Einsums are equal nodes; names that do not fit are refused by Einsum
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
        if self.token.text in _NOT_IN_AN_INDEX:
            self.fail(f"'{self.token.text}' in an index is not supported; an index sums rank variables and integers")
        terms = [term for term in terms if term.scale]  # p - p
        ends = [term for term in terms if not term.variable]
        rest = tuple(term for term in terms if term.variable)
        if rest or not ends:
            return Index(terms=rest, offset=offset, sizes=tuple(ends))
        if len(terms) > 1 or offset or ends[0].scale != 1 or len(ends[0].scale_ranks) != 1:
            self.fail("a rank used as an index is the last coordinate and stands alone, as in RD[M1,p]", first)
        return Index(terms=(), last_of=ends[0].scale_ranks[0])

    def index_item(self, sign: int) -> tuple[Term | None, int]:
        """A product of integers, ranks and at most one variable: a term, or a number added to the offset.

        A rank without a variable comes back as a term without one, which `index` reads as a last coordinate.
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
    def expr(self, floor: int = 0) -> Expr:
        """Operands joined by symbols that bind at least as tightly as `floor`."""
        left = self.operand(floor)
        while True:
            if self.in_condition and self.token.text in _QUOTIENTS and _PRODUCT and _PRODUCT.precedence >= floor:
                left = self.quotient(left, _PRODUCT.precedence)
                continue
            found = _INFIX.get(self.token.text)
            if found is None or found[1].precedence < floor:
                return left
            operator, (_, own, grouping) = found
            self.advance()
            if grouping is Grouping.RIGHT:
                # one below its own precedence, so that an exponent may have a sign: 2 ^ -1
                right = self.nested(lambda: self.expr(own - 1))  # noqa: B023 (called at once)
            else:
                right = self.expr(own + 1)
            left = Call(operator=operator, arguments=(left, right))
            if grouping is Grouping.NONE and self.is_as_tight(found[1]):
                self.fail("comparisons do not chain; use 'and' or parentheses")

    def quotient(self, left: Expr, precedence: int) -> Position:
        """`left // d` or `left % d`, at the operator."""
        sign = self.advance()
        form, divisor = affine(left), affine(self.expr(precedence + 1))
        if form is None or divisor is None or not is_fixed(divisor) or (not divisor.sizes and divisor.offset < 1):
            message = "divides rank variables, sizes and integers by a size or an integer above 0, as in m // 64"
            self.fail(f"'{sign.text}' {message}", sign)
        return Position.model_validate({"form": form, "operator": sign.text, "divisor": divisor})

    def positions(self, parse_inside: Callable[[], Expr]) -> Expr:
        """An expression in which rank variables and sizes are values."""
        before, self.in_condition = self.in_condition, True
        parsed = parse_inside()
        self.in_condition = before
        return parsed

    def is_as_tight(self, notation: Notation) -> bool:
        """Whether the next symbol binds exactly as tightly."""
        found = _INFIX.get(self.token.text)
        return found is not None and found[1].precedence == notation.precedence

    def operand(self, floor: int) -> Expr:
        found = _PREFIX.get(self.token.text)
        if found is None or found[1].precedence < floor:
            return self.primary()
        operator, notation = found
        self.advance()
        argument = self.nested(lambda: self.expr(notation.precedence))
        if operator == "neg" and isinstance(argument, Const):  # a negative number is a number, not an operation
            return Const(value=-argument.value)
        return Call(operator=operator, arguments=(argument,))

    def primary(self) -> Expr:
        token = self.token
        if self.take("("):
            inner = self.nested(self.expr)
            self.need(")", "to close the parenthesis")
            return inner
        if token.kind == "number" or token.text == "inf":
            return Const(value=float(self.advance().text))
        if token.kind == "name" and self.tokens[self.position + 1].text == "(":
            return self.call()
        if self.in_condition and token.kind == "name" and self.tokens[self.position + 1].text != "[":
            return self.place()
        if token.kind == "name" and token.text.islower():
            message = "a rank variable stands inside the brackets of a tensor, or of pos( )"
            self.fail(f"'{token.text}' is no value: {message}")
        return Load(access=self.access("a tensor, a number, a function or '('"))

    def place(self) -> Position:
        """A rank variable or the size of a rank, as a value."""
        name = self.token.text
        if not name.islower() and not name.isupper():
            self.expected("a rank variable (lower case), a rank (upper case) or a tensor with its indices")
        self.advance()
        term = Term(variable=name) if name.islower() else Term(variable="", scale_ranks=(name,))
        index = Index(terms=(term,)) if name.islower() else Index(terms=(), sizes=(term,))
        return Position(form=index)

    def counted(self) -> Position:
        """The argument of `pos`, and its parenthesis."""
        first = self.token
        inner = self.positions(lambda: self.nested(self.expr))
        self.need(")", "after the argument of pos")
        form = inner if isinstance(inner, Position) else affine(inner)
        if form is None:
            self.fail("pos takes rank variables and sizes, such as pos(m) or pos(m // 64)", first)
        return form if isinstance(form, Position) else Position(form=form)

    def call(self) -> Expr:
        name = self.advance()
        if name.text == "pos":
            self.need("(", "after pos")
            return self.counted()
        if name.text not in FUNCTION_BY_NAME:
            self.fail(f"unknown operator '{name.text}'{near_or_all(name.text, FUNCTION_BY_NAME)}", name)
        self.need("(", f"after {name.text}")
        arguments = [self.nested(self.expr)]
        while self.take(","):
            arguments.append(self.nested(self.expr))
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
