"""The parts of a cascade: ranks, tensors, accesses, expressions, Einsums.

The Einsum `LM[m1,p] = QK[m1,m0,p] :: max(m0)` means: evaluate the right side at every point of the iteration space
(m1, m0, p), then reduce the points that share an output coordinate (Nayak et al., MICRO 2024; EDGE notation). Nodes are
frozen, compare by value, and print as the text they are parsed from.
"""

from collections.abc import Iterator
from functools import cached_property
from typing import Any, Union

from pydantic import BaseModel, ConfigDict, model_validator

from einsums.operators import CALL_PRECEDENCE, OPERATOR_BY_NAME, REDUCER_BY_NAME, Grouping


class Noun(BaseModel):
    """Base of all types of this package: frozen, equal by value, no unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Rank(Noun):
    """A named dimension; its size is not here but in a Workload."""

    name: str
    description: str = ""


class Partition(Noun):
    """A rank split into parts, outermost first: M = M1 x M0 with m = m1*M0 + m0."""

    rank: str
    parts: tuple[str, ...]

    @property
    def inner(self) -> tuple[str, ...]:
        """The parts that need a size; the size of the outermost follows."""
        return self.parts[1:]


class Tensor(Noun):
    """A tensor and its ranks, batch ranks left out."""

    name: str
    ranks: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.name}[{', '.join(self.ranks)}]"


class Domain(Noun):
    """The values that an input may take, as one of the words of `domains`."""

    tensor: str
    values: str


class InitialValue(Noun):
    """The value of an iterative tensor at coordinate 0 of its iterative rank."""

    tensor: str
    value: float


class SizeRule(Noun):
    """The default size of a rank as an expression over the dimensions of a model, kept as text."""

    rank: str
    expression: str


class Term(Noun):
    """One summand of an index: `m1*M0` is variable m1 times the size of rank M0; `2*p` has scale 2."""

    variable: str
    scale: int = 1
    scale_ranks: tuple[str, ...] = ()

    @property
    def scale_rank(self) -> str | None:
        """The rank whose size multiplies the variable ('M0'), a product as 'M1*M0', or None."""
        return "*".join(self.scale_ranks) or None

    def __str__(self) -> str:
        factors = ([str(self.scale)] if self.scale != 1 else []) + [self.variable, *self.scale_ranks]
        return "*".join(factors)


class Index(Noun):
    """An affine index: terms plus offset; or, with `last_of`, the last coordinate of an iterative rank."""

    terms: tuple[Term, ...]
    offset: int = 0
    last_of: str | None = None

    @property
    def variables(self) -> tuple[str, ...]:
        """Rank variables of the index, in order."""
        return tuple(term.variable for term in self.terms)

    @property
    def plain_variable(self) -> str | None:
        """The variable v if the index is v or v plus a constant, else None."""
        if len(self.terms) == 1 and self.terms[0].scale == 1 and not self.terms[0].scale_ranks:
            return self.terms[0].variable
        return None

    def __str__(self) -> str:
        if self.last_of:
            return self.last_of
        parts = [str(term) for term in self.terms]
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
        notation = OPERATOR_BY_NAME[self.operator].notation
        if notation is None:
            return f"{self.operator}({', '.join(map(str, self.arguments))})"
        symbol, own, grouping = notation
        if len(self.arguments) == 1:
            gap = " " if symbol.isalpha() else ""
            return f"{symbol}{gap}{_grouped(self.arguments[0], own)}"
        left_floor = own + (grouping is not Grouping.LEFT)
        right_floor = own + (grouping is not Grouping.RIGHT)
        return f"{_grouped(self.arguments[0], left_floor)} {symbol} {_grouped(self.arguments[1], right_floor)}"


Expr = Union[Load, Const, Call]  # noqa: UP007 (a string annotation inside Call refers to this name)
Call.model_rebuild()


def _arguments(count: int) -> str:
    return "1 argument" if count == 1 else f"{count} arguments"


def _grouped(expr: Expr, floor: int) -> str:
    """Text of an operand, in parentheses if it binds less tightly than its place needs."""
    notation = None
    if isinstance(expr, Call):
        notation = OPERATOR_BY_NAME[expr.operator].notation
    elif isinstance(expr, Const) and expr.value < 0:
        notation = OPERATOR_BY_NAME["neg"].notation
    binding = notation.precedence if notation else CALL_PRECEDENCE
    return f"({expr})" if binding < floor else str(expr)


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


def iter_operators(expr: Expr) -> Iterator[str]:
    """Map operators of an expression, arguments before the call that uses them."""
    if isinstance(expr, Call):
        for argument in expr.arguments:
            yield from iter_operators(argument)
        yield expr.operator


def summands(expr: Expr) -> tuple[Expr, ...]:
    """The terms of the top-level sum of an expression; the expression itself if it is not a sum."""
    if isinstance(expr, Call) and expr.operator in ("add", "sub", "neg"):
        return tuple(term for argument in expr.arguments for term in summands(argument))
    return (expr,)


class Einsum(Noun):
    """`output = expr :: reduction`; equality ignores where and how it was written."""

    output: Access
    expr: Expr
    reduction: Reduction | None = None
    text: str = ""
    line: int = 0

    @model_validator(mode="after")
    def _closed(self) -> "Einsum":
        repeated = [name for name in self.output.variables if self._times_written(name) > 1]
        if repeated:
            raise ValueError(f"{self.name}: rank variable '{repeated[0]}' appears twice on the left")
        right = tuple(dict.fromkeys(name for access in self.loads for name in access.variables))
        for name in self.output.variables:
            if name not in right:
                raise ValueError(f"{self.name}: rank variable '{name}' is on the left but not on the right")
        absent = tuple(name for name in right if name not in self.output.variables)
        named = self.reduction.variables if self.reduction else ()
        if set(named) != set(absent) or len(set(named)) != len(named):
            given, expected = ", ".join(named) or "nothing", ", ".join(absent) or "nothing"
            message = f"the reduction names {given}, but the variables absent on the left are {expected}"
            raise ValueError(f"{self.name}: {message}")
        if self.reduction:
            self._check_reduction(self.reduction)
        return self

    def _times_written(self, variable: str) -> int:
        return sum(index.variables.count(variable) for index in self.output.indices)

    def _check_reduction(self, reduction: Reduction) -> None:
        if reduction.operator not in REDUCER_BY_NAME:
            raise ValueError(f"{self.name}: unknown reducer '{reduction.operator}'")
        if reduction.operator != "add":
            return
        for term in summands(self.expr):
            present = {name for access in iter_loads(term) for name in access.variables}
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
    def variables(self) -> tuple[str, ...]:
        """Rank variables of the iteration space in order of first appearance."""
        accesses = (self.output, *self.loads)
        return tuple(dict.fromkeys(name for access in accesses for name in access.variables))

    @property
    def reduced_variables(self) -> tuple[str, ...]:
        """Rank variables that the reduction removes."""
        return self.reduction.variables if self.reduction else ()

    @cached_property
    def map_operators(self) -> tuple[str, ...]:
        """Operators evaluated at one point, bottom-up: exp(a - b) gives ("sub", "exp")."""
        return tuple(iter_operators(self.expr))

    def __eq__(self, other: Any) -> bool:
        if not isinstance(other, Einsum):
            return NotImplemented
        return (self.output, self.expr, self.reduction) == (other.output, other.expr, other.reduction)

    def __hash__(self) -> int:
        return hash((self.output, self.expr, self.reduction))

    def __str__(self) -> str:
        body = f"{self.output} = {self.expr}"
        if self.reduction is None or self.reduction.operator == "add":
            return body
        keyword = REDUCER_BY_NAME[self.reduction.operator].keyword
        return f"{body} :: {keyword}({','.join(self.reduction.variables)})"
