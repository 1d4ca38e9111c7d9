"""The closed table of operators an Einsum may use; one row holds everything about an operator.

A map operator computes at one iteration point from its arguments; a reducer folds points that share an output
coordinate, starting from its identity. The notation, meaning, rounding and error of an operator and its names in other
libraries are defined only here, so a new operator is one new row. A row that lacks a column or contradicts itself is
refused when this module is imported.

Two conventions complete float arithmetic. They follow from reading a zero as an absent value, so that products are
taken on the intersection of their operands (EDGE notation; Nayak et al., MICRO 2024): **0 * inf = 0** and **0 / 0
= 0**. They define the first step of a running quotient such as `RZ[k] * (RY[k+1] / RY[k])`, whose old value is 0
and whose old divisor is 0. Any other division by zero is an infinity and NaN stays NaN. `round` rounds halves to
even; comparisons and logic give 0 or 1 and read every non-zero value as true.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterator
from enum import Enum
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class Grouping(Enum):
    """How operators of the same precedence group without parentheses."""

    LEFT = "a - b - c is (a - b) - c"
    RIGHT = "a ^ b ^ c is a ^ (b ^ c)"
    NONE = "a < b < c is refused"


class Notation(NamedTuple):
    """A symbol before its argument or between its two arguments; a higher precedence binds more tightly."""

    symbol: str
    precedence: int
    grouping: Grouping


class Rounding(Enum):
    """The effect on the result of rounding in the type of the arguments."""

    CHOOSES = "the result is an argument, its negative, or 0: words give a word"
    EXACT = "the result is exact whatever the type of the arguments"
    ONCE = "numpy rounds the result once, in the type of the arguments"
    IN_FP64 = "computed in fp64, then rounded: a function, or a composition of several operations"


class ErrorRule(Enum):
    """How errors of the arguments carry over to the result; the formulas are in `sim.functional.error_rules`."""

    SUM = "a + b"
    PRODUCT = "a * b"
    QUOTIENT = "a / b"
    POWER = "a ^ b"
    COMPARISON = "certain where the arguments are further apart than their errors"
    LOGIC = "certain where no argument may be 0"
    CHOICE = "the error of what is chosen, if the choice is certain"
    LARGEST = "moves no further than the argument that moves most"
    INCREASING = "between the values at both ends of every argument"
    DECREASING = "between the values at both ends, the other way round"
    EXPONENTIAL = "e^a (e^e(a) - 1)"


class Operator(NamedTuple):
    """A map operator. No column has a default, so that none can be forgotten."""

    name: str
    arity: int
    notation: Notation | None  # None: written as a call of its name
    cost_class: str  # operators that cost hardware about the same
    meaning: Callable[..., Any]  # over numpy arrays
    rounding: Rounding
    error: ErrorRule | float  # a number: the steepest slope of a function of one argument
    torch: str  # import path of the function that computes it on tensors
    triton: str | None  # name below `triton.language`; None: only as a symbol or a composition

    @property
    def symbol(self) -> str:
        """The symbol it is written with; empty for an operator written as a call."""
        return self.notation.symbol if self.notation else ""


class Reducer(NamedTuple):
    """An associative reduction: `name` is what nodes hold, `keyword` what is written after `::`."""

    name: str
    keyword: str
    identity: float
    fold: np.ufunc  # over 0 and 1 for `or`; a mean is a sum, later divided by the number of points
    joins: str | None  # the operator that combines the reductions of two parts; None: there is none
    error: ErrorRule
    torch: str


def _multiply(a: Array, b: Array) -> Array:
    absent = ((a == 0) & np.isinf(b)) | (np.isinf(a) & (b == 0))
    return np.where(absent, 0.0, a * b)


def _divide(a: Array, b: Array) -> Array:
    return np.where((a == 0) & (b == 0), 0.0, a / b)


def _sigmoid(x: Array) -> Array:
    return np.exp(-np.logaddexp(0.0, -x))


_erf = np.vectorize(math.erf, otypes=[np.float64])


def _gelu(x: Array) -> Array:
    return 0.5 * x * (1.0 + _erf(x / math.sqrt(2.0)))


# The steepest slopes of x Phi(x) and x / (1 + e^-x), attained at sqrt(2) and at 2.3994.
_GELU_SLOPE = 0.5 * (1 + math.erf(1.0)) + math.exp(-1.0) / math.sqrt(math.pi)
_SILU_SLOPE = 1.0999

_L, _R, _N = Grouping.LEFT, Grouping.RIGHT, Grouping.NONE
_CALL = None
_CHOOSES, _EXACT, _ONCE, _FP64 = Rounding.CHOOSES, Rounding.EXACT, Rounding.ONCE, Rounding.IN_FP64
_E = ErrorRule

# A call and a literal bind more tightly than every symbol.
CALL_PRECEDENCE = 9

OPERATORS: tuple[Operator, ...] = (
    Operator("add", 2, Notation("+", 5, _L), "add", np.add, _ONCE, _E.SUM, "torch.add", "add"),
    Operator("sub", 2, Notation("-", 5, _L), "add", np.subtract, _ONCE, _E.SUM, "torch.sub", "sub"),
    Operator("mul", 2, Notation("*", 6, _L), "mul", _multiply,
             _ONCE, _E.PRODUCT, "kernels.elementwise.multiply", "mul"),
    Operator("div", 2, Notation("/", 6, _L), "div", _divide,
             _ONCE, _E.QUOTIENT, "kernels.elementwise.divide", None),
    Operator("pow", 2, Notation("^", 8, _R), "exp", np.power, _FP64, _E.POWER, "torch.pow", None),
    Operator("neg", 1, Notation("-", 7, _R), "add", np.negative, _CHOOSES, 1.0, "torch.neg", None),
    Operator("lt", 2, Notation("<", 4, _N), "cmp", np.less, _EXACT, _E.COMPARISON, "torch.lt", None),
    Operator("le", 2, Notation("<=", 4, _N), "cmp", np.less_equal, _EXACT, _E.COMPARISON, "torch.le", None),
    Operator("gt", 2, Notation(">", 4, _N), "cmp", np.greater, _EXACT, _E.COMPARISON, "torch.gt", None),
    Operator("ge", 2, Notation(">=", 4, _N), "cmp", np.greater_equal, _EXACT, _E.COMPARISON, "torch.ge", None),
    Operator("eq", 2, Notation("==", 4, _N), "cmp", np.equal, _EXACT, _E.COMPARISON, "torch.eq", None),
    Operator("ne", 2, Notation("!=", 4, _N), "cmp", np.not_equal, _EXACT, _E.COMPARISON, "torch.ne", None),
    Operator("and", 2, Notation("and", 2, _L), "cmp", np.logical_and, _EXACT, _E.LOGIC, "torch.logical_and", None),
    Operator("or", 2, Notation("or", 1, _L), "cmp", np.logical_or, _EXACT, _E.LOGIC, "torch.logical_or", None),
    Operator("not", 1, Notation("not", 3, _R), "cmp", np.logical_not, _EXACT, _E.LOGIC, "torch.logical_not", None),
    Operator("max", 2, _CALL, "max", np.maximum, _CHOOSES, _E.INCREASING, "torch.maximum", "maximum"),
    Operator("min", 2, _CALL, "max", np.minimum, _CHOOSES, _E.INCREASING, "torch.minimum", "minimum"),
    Operator("clamp", 3, _CALL, "max", lambda x, low, high: np.minimum(np.maximum(x, low), high),
             _CHOOSES, _E.LARGEST, "torch.clamp", "clamp"),
    Operator("relu", 1, _CALL, "max", lambda x: np.maximum(x, 0.0), _CHOOSES, _E.INCREASING, "torch.relu", None),
    Operator("abs", 1, _CALL, "max", np.abs, _CHOOSES, 1.0, "torch.abs", "abs"),
    Operator("sign", 1, _CALL, "cmp", np.sign, _EXACT, _E.INCREASING, "torch.sign", None),
    Operator("select", 3, _CALL, "select", lambda chosen, a, b: np.where(chosen != 0, a, b),
             _CHOOSES, _E.CHOICE, "kernels.elementwise.select", "where"),
    Operator("exp", 1, _CALL, "exp", np.exp, _FP64, _E.EXPONENTIAL, "torch.exp", "exp"),
    Operator("log", 1, _CALL, "log", np.log, _FP64, _E.INCREASING, "torch.log", "log"),
    Operator("log2", 1, _CALL, "log", np.log2, _FP64, _E.INCREASING, "torch.log2", "log2"),
    Operator("softplus", 1, _CALL, "log", lambda x: np.logaddexp(0.0, x),
             _FP64, _E.INCREASING, "kernels.elementwise.softplus", None),
    Operator("sqrt", 1, _CALL, "rsqrt", np.sqrt, _ONCE, _E.INCREASING, "torch.sqrt", "sqrt"),
    Operator("rsqrt", 1, _CALL, "rsqrt", lambda x: 1.0 / np.sqrt(x), _FP64, _E.DECREASING, "torch.rsqrt", "rsqrt"),
    Operator("erf", 1, _CALL, "erf", _erf, _FP64, _E.INCREASING, "torch.erf", "erf"),
    Operator("gelu", 1, _CALL, "erf", _gelu, _FP64, _GELU_SLOPE, "torch.nn.functional.gelu", None),
    Operator("silu", 1, _CALL, "sigmoid", lambda x: x * _sigmoid(x),
             _FP64, _SILU_SLOPE, "torch.nn.functional.silu", None),
    Operator("sigmoid", 1, _CALL, "sigmoid", _sigmoid, _FP64, _E.INCREASING, "torch.sigmoid", "sigmoid"),
    Operator("tanh", 1, _CALL, "sigmoid", np.tanh, _FP64, _E.INCREASING, "torch.tanh", None),
    Operator("cos", 1, _CALL, "trig", np.cos, _FP64, 1.0, "torch.cos", "cos"),
    Operator("sin", 1, _CALL, "trig", np.sin, _FP64, 1.0, "torch.sin", "sin"),
    Operator("round", 1, _CALL, "round", np.round, _EXACT, _E.INCREASING, "torch.round", None),
    Operator("floor", 1, _CALL, "round", np.floor, _EXACT, _E.INCREASING, "torch.floor", "floor"),
    Operator("ceil", 1, _CALL, "round", np.ceil, _EXACT, _E.INCREASING, "torch.ceil", "ceil"),
)  # fmt: skip

REDUCERS: tuple[Reducer, ...] = (
    Reducer("add", "sum", 0.0, np.add, "add", _E.SUM, "torch.sum"),
    Reducer("mean", "mean", 0.0, np.add, None, _E.SUM, "torch.sum"),
    Reducer("mul", "prod", 1.0, np.multiply, "mul", _E.PRODUCT, "torch.prod"),
    Reducer("max", "max", float("-inf"), np.maximum, "max", _E.INCREASING, "torch.amax"),
    Reducer("min", "min", float("inf"), np.minimum, "min", _E.INCREASING, "torch.amin"),
    Reducer("or", "any", 0.0, np.maximum, "or", _E.INCREASING, "torch.amax"),
)

# Reducers of the wider grammar whose meaning needs index or tuple outputs; recognised so that the error can say why
# they are refused.
UNSUPPORTED_REDUCERS = ("argmax", "argmin", "argsort", "topk", "scan", "atomic_sum", "osm")


_KINDS: dict[str, Any] = {
    "name": str,
    "arity": int,
    "notation": Notation | None,
    "cost_class": str,
    "meaning": Callable,
    "rounding": Rounding,
    "error": ErrorRule | float,
    "torch": str,
    "triton": str | None,
}


def _iter_contradictions(operators: tuple[Operator, ...], reducers: tuple[Reducer, ...]) -> Iterator[str]:
    """What is wrong with a table, one sentence per mistake."""
    names = [operator.name for operator in operators]
    for kind, found in (("operators", names), ("reducers", [reducer.keyword for reducer in reducers])):
        yield from (f"two {kind} are called '{name}'" for name, count in Counter(found).items() if count > 1)
    for operator in operators:
        misplaced = [column for column, kind in _KINDS.items() if not isinstance(getattr(operator, column), kind)]
        if misplaced:
            yield f"operator '{operator.name}': {misplaced[0]} is {getattr(operator, misplaced[0])!r}"
            continue
        if isinstance(operator.error, float) and operator.arity != 1:
            yield f"operator '{operator.name}': a slope is for functions of one argument, this takes {operator.arity}"
        if operator.notation is not None and operator.arity not in (1, 2):
            yield f"operator '{operator.name}': a symbol takes 1 or 2 arguments, this one takes {operator.arity}"
        if operator.notation is not None and not 0 < operator.notation.precedence < CALL_PRECEDENCE:
            yield f"operator '{operator.name}': expected a precedence from 1 to {CALL_PRECEDENCE - 1}"
        try:
            operator.meaning(*[np.ones(1)] * operator.arity)
        except TypeError as error:
            yield f"operator '{operator.name}': its meaning does not take {operator.arity} arrays: {error}"
    for reducer in reducers:
        if reducer.joins is not None and reducer.joins not in names:
            yield f"reducer '{reducer.name}' joins by '{reducer.joins}', which is no operator"
    symbols = Counter((operator.symbol, operator.arity) for operator in operators if operator.notation)
    yield from (f"the symbol '{symbol}' has two meanings" for (symbol, _), count in symbols.items() if count > 1)


for _contradiction in _iter_contradictions(OPERATORS, REDUCERS):
    raise TypeError(_contradiction)

OPERATOR_BY_NAME = {operator.name: operator for operator in OPERATORS}
REDUCER_BY_NAME = {reducer.name: reducer for reducer in REDUCERS}
REDUCER_BY_KEYWORD = {reducer.keyword: reducer for reducer in REDUCERS}
# Operators called as `name(...)`: those that are not written with a symbol.
FUNCTION_BY_NAME = {operator.name: operator for operator in OPERATORS if operator.notation is None}
