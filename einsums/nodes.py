"""The parts of an Einsum: indices, accesses, expressions.

The Einsum `LM[m1,p] = QK[m1,m0,p] :: max(m0)` means: evaluate the right side at every point of the iteration space
(m1, m0, p), then reduce the points that share an output coordinate (Nayak et al., MICRO 2024; EDGE notation). With a
condition, `S[m,p] = Q[e,p] * K[e,m] where m <= p`, points where it does not hold do not exist. Nodes are frozen,
compare by value, and print as the text they are parsed from.
"""

from collections.abc import Iterator
from functools import cached_property
from typing import Annotated, Any, Literal, Union

from pydantic import model_validator

from einsums.nouns import Noun
from einsums.operators import CALL_PRECEDENCE, OPERATOR_BY_NAME, REDUCER_BY_NAME, Grouping
from einsums.quiet import Quiet, QuietDefaults


class Term(Noun):
    """One summand of an index: `m1*M0` is variable m1 times the size of rank M0; `2*p` has scale 2.

    Without a variable it is a size: `M` in `p + M - P`.
    """

    variable: str
    scale: int = 1
    scale_ranks: tuple[str, ...] = ()

    @property
    def scale_rank(self) -> str | None:
        """The rank whose size multiplies the variable ('M0'), a product as 'M1*M0', or None."""
        return "*".join(self.scale_ranks) or None

    def __str__(self) -> str:
        factors = ([self.variable] if self.variable else []) + list(self.scale_ranks)
        if abs(self.scale) != 1:
            return "*".join([str(self.scale), *factors])
        return ("-" if self.scale < 0 else "") + "*".join(factors)


class Index(QuietDefaults, Noun):
    """An affine form: terms, plus sizes of ranks, plus offset; or, with `last_of`, the last step of an iterative rank.

    `sizes` are terms without a variable: T in `T-1-t`.
    """

    terms: tuple[Term, ...]
    offset: int = 0
    last_of: str | None = None
    sizes: Annotated[tuple[Term, ...], Quiet()] = ()

    @property
    def variables(self) -> tuple[str, ...]:
        """Rank variables of the index, in order."""
        return tuple(term.variable for term in self.terms)

    @property
    def plain_variable(self) -> str | None:
        """The variable v if the index is v or v plus a constant, else None."""
        if len(self.terms) == 1 and self.terms[0].scale == 1 and not self.terms[0].scale_ranks and not self.sizes:
            return self.terms[0].variable
        return None

    def __str__(self) -> str:
        if self.last_of:
            return self.last_of
        starts_negative = bool(self.terms) and self.terms[0].scale < 0
        every = (*self.sizes, *self.terms) if starts_negative else (*self.terms, *self.sizes)
        parts = [str(term) for term in every]
        if self.offset or not parts:
            parts.append(str(self.offset))
        return "+".join(parts).replace("+-", "-")


class Access(Noun):
    """A tensor with one index per rank (batch ranks are not written)."""

    tensor: str
    indices: tuple[Index, ...]

    @property
    def variables(self) -> tuple[str, ...]:
        """Distinct rank variables in order of first appearance."""
        return tuple(dict.fromkeys(name for index in self.indices for name in index.variables))

    def __str__(self) -> str:
        return f"{self.tensor}[{','.join(map(str, self.indices))}]"


class Load(Noun):
    """The value of a tensor at the accessed coordinates."""

    access: Access

    def __str__(self) -> str:
        return str(self.access)


class Const(Noun):
    """A number."""

    value: float

    def __str__(self) -> str:
        return str(int(self.value)) if self.value.is_integer() else repr(self.value)


class Position(QuietDefaults, Noun):
    """An integer that coordinates give: an affine form of rank variables and sizes, or its quotient or remainder.

    `pos(m)` in an expression; a condition writes it plainly, `m // W == p // W`.
    """

    form: Index
    operator: Annotated[Literal["", "//", "%"], Quiet()] = ""
    divisor: Annotated[Index | None, Quiet()] = None

    @property
    def variables(self) -> tuple[str, ...]:
        """Rank variables of the value, in order."""
        return self.form.variables

    @property
    def bare(self) -> str:
        """As a condition writes it."""
        if self.divisor is None:
            return str(self.form)
        parts = (str(form) for form in (self.form, self.divisor))
        left, right = (part if part.isalnum() else f"({part})" for part in parts)
        return f"{left} {self.operator} {right}"

    def __str__(self) -> str:
        return f"pos({self.bare})"


class Call(Noun):
    """A map operator, by its name in the operator table, applied to arguments."""

    operator: str
    arguments: tuple["Expr", ...]

    @model_validator(mode="after")
    def _arity(self) -> "Call":
        if self.operator not in OPERATOR_BY_NAME:
            raise ValueError(f"unknown operator '{self.operator}'")
        arity = OPERATOR_BY_NAME[self.operator].arity
        if len(self.arguments) != arity:
            raise ValueError(f"{self.operator} takes {_arguments(arity)}, got {len(self.arguments)}")
        return self

    def __str__(self) -> str:
        return text_of(self)


Expr = Union[Load, Const, Position, Call]  # noqa: UP007 (a string annotation inside Call refers to this name)
Call.model_rebuild()


def _arguments(count: int) -> str:
    return "1 argument" if count == 1 else f"{count} arguments"


def text_of(expr: Expr, bare: bool = False) -> str:
    """An expression as it is written; `bare`: in a condition, where positions stand for themselves."""
    if isinstance(expr, Position) and bare:
        return expr.bare
    if not isinstance(expr, Call):
        return str(expr)
    notation = OPERATOR_BY_NAME[expr.operator].notation
    if notation is None:
        return f"{expr.operator}({', '.join(text_of(argument, bare) for argument in expr.arguments)})"
    symbol, own, grouping = notation
    if len(expr.arguments) == 1:
        gap = " " if symbol.isalpha() else ""
        return f"{symbol}{gap}{_grouped(expr.arguments[0], own, bare)}"
    left = _grouped(expr.arguments[0], own + (grouping is not Grouping.LEFT), bare)
    right = _grouped(expr.arguments[1], own + (grouping is not Grouping.RIGHT), bare)
    return f"{left} {symbol} {right}"


def _grouped(expr: Expr, floor: int, bare: bool) -> str:
    """Text of an operand, in parentheses if it binds less tightly than its place needs."""
    notation = None
    if isinstance(expr, Call):
        notation = OPERATOR_BY_NAME[expr.operator].notation
    elif isinstance(expr, Const) and expr.value < 0:
        notation = OPERATOR_BY_NAME["neg"].notation
    elif isinstance(expr, Position) and bare and not expr.bare.isalnum():
        notation = OPERATOR_BY_NAME["mul" if expr.operator else "add"].notation
    binding = notation.precedence if notation else CALL_PRECEDENCE
    text = text_of(expr, bare)
    return f"({text})" if binding < floor else text


class Reduction(Noun):
    """How points that share an output coordinate combine, and over which variables."""

    operator: str
    variables: tuple[str, ...]


def iter_loads(expr: Expr) -> Iterator[Access]:
    """Accesses of an expression, left to right, repetitions included."""
    match expr:
        case Load():
            yield expr.access
        case Call():
            for argument in expr.arguments:
                yield from iter_loads(argument)


def variables_of(expr: Expr) -> tuple[str, ...]:
    """Distinct rank variables of an expression, those of positions included, in order of first appearance."""
    found: dict[str, None] = {}
    for leaf in iter_leaves(expr):
        found |= dict.fromkeys(leaf.access.variables if isinstance(leaf, Load) else leaf.variables)
    return tuple(found)


def iter_leaves(expr: Expr) -> Iterator[Load | Position]:
    """Loads and positions of an expression, left to right, repetitions included."""
    match expr:
        case Load() | Position():
            yield expr
        case Call():
            for argument in expr.arguments:
                yield from iter_leaves(argument)


def iter_operators(expr: Expr) -> Iterator[str]:
    """Map operators of an expression, arguments before the call that uses them."""
    if isinstance(expr, Call):
        for argument in expr.arguments:
            yield from iter_operators(argument)
        yield expr.operator


def iter_point_operators(expr: Expr) -> Iterator[str]:
    """Map operators that each point takes: all but those of what is the same at every point."""
    if isinstance(expr, Call) and not is_constant(expr):
        for argument in expr.arguments:
            yield from iter_point_operators(argument)
        yield expr.operator


def is_constant(expr: Expr) -> bool:
    """Whether an expression has one value whatever the point: of numbers and sizes alone."""
    match expr:
        case Call():
            return all(map(is_constant, expr.arguments))
        case Position():
            return not expr.variables
        case Load():
            return False
    return True


def summands(expr: Expr) -> tuple[Expr, ...]:
    """The terms of the top-level sum of an expression; the expression itself if it is not a sum."""
    if isinstance(expr, Call) and expr.operator in ("add", "sub", "neg"):
        return tuple(term for argument in expr.arguments for term in summands(argument))
    return (expr,)


class Einsum(QuietDefaults, Noun):
    """`output = expr where condition :: reduction`; equality ignores where and how it was written."""

    output: Access
    expr: Expr
    reduction: Reduction | None = None
    condition: Annotated[Expr | None, Quiet()] = None  # without one, every point inside the ranks exists
    text: str = ""
    line: int = 0

    @model_validator(mode="after")
    def _closed(self) -> "Einsum":
        repeated = [name for name in self.output.variables if self._times_written(name) > 1]
        if repeated:
            raise ValueError(f"{self.name}: rank variable '{repeated[0]}' appears twice on the left")
        right = variables_of(self.expr)
        chosen = variables_of(self.condition) if self.condition is not None else ()
        for name in self.output.variables:
            if name not in right and name not in chosen:
                raise ValueError(f"{self.name}: rank variable '{name}' is on the left but not on the right")
        absent = tuple(name for name in right if name not in self.output.variables)
        named = self.reduction.variables if self.reduction else ()
        if set(named) != set(absent) or len(set(named)) != len(named):
            given, expected = ", ".join(named) or "nothing", ", ".join(absent) or "nothing"
            message = f"the reduction names {given}, but the variables absent on the left are {expected}"
            raise ValueError(f"{self.name}: {message}")
        if self.reduction:
            self._check_reduction(self.reduction)
        for name in chosen:
            if name not in self.variables:
                has = f"the Einsum has {', '.join(self.variables) or 'no variables'}"
                message = f"the condition is over '{name}', but {has}"
                raise ValueError(f"{self.name}: {message}; it chooses among points of its own")
        return self

    def _times_written(self, variable: str) -> int:
        return sum(index.variables.count(variable) for index in self.output.indices)

    def _check_reduction(self, reduction: Reduction) -> None:
        if reduction.operator not in REDUCER_BY_NAME:
            raise ValueError(f"{self.name}: unknown reducer '{reduction.operator}'")
        if reduction.operator != "add":
            return
        for term in summands(self.expr):
            present = set(variables_of(term))
            missing = [name for name in reduction.variables if name not in present]
            if missing:
                raise ValueError(
                    f"{self.name}: the term {term} lacks the summed variable '{missing[0]}' and would be "
                    f"added once for each of its coordinates; sum the other terms in an Einsum of their own"
                )

    @property
    def name(self) -> str:
        """An Einsum is named after the tensor it writes."""
        return self.output.tensor

    @cached_property
    def loads(self) -> tuple[Access, ...]:
        """Distinct accesses of the right side, in order."""
        return tuple(dict.fromkeys(iter_loads(self.expr)))

    @cached_property
    def tests(self) -> tuple[Access, ...]:
        """Distinct accesses of the condition, in order."""
        return () if self.condition is None else tuple(dict.fromkeys(iter_loads(self.condition)))

    @cached_property
    def reads(self) -> tuple[Access, ...]:
        """Distinct accesses of the right side and then of the condition."""
        return tuple(dict.fromkeys((*self.loads, *self.tests)))

    @cached_property
    def variables(self) -> tuple[str, ...]:
        """Rank variables of the iteration space in order of first appearance."""
        return tuple(dict.fromkeys((*self.output.variables, *variables_of(self.expr))))

    @property
    def reduced_variables(self) -> tuple[str, ...]:
        """Rank variables that the reduction removes."""
        return self.reduction.variables if self.reduction else ()

    @cached_property
    def map_operators(self) -> tuple[str, ...]:
        """Operators evaluated at one point, bottom-up: exp(a - b) gives ("sub", "exp").

        What is the same at all points, such as 1 / pos(D), is a constant of the workload and no operator.
        """
        return tuple(iter_point_operators(self.expr))

    def __eq__(self, other: Any) -> bool:
        if not isinstance(other, Einsum):
            return NotImplemented
        return self._meaning == other._meaning

    def __hash__(self) -> int:
        return hash(self._meaning)

    @property
    def _meaning(self) -> tuple[Any, ...]:
        return (self.output, self.expr, self.reduction, self.condition)

    def __str__(self) -> str:
        body = f"{self.output} = {self.expr}"
        if self.condition is not None:
            body += f" where {text_of(self.condition, bare=True)}"
        if self.reduction is None or self.reduction.operator == "add":
            return body
        keyword = REDUCER_BY_NAME[self.reduction.operator].keyword
        return f"{body} :: {keyword}({','.join(self.reduction.variables)})"
