"""The closed table of operators an Einsum may use.

A map operator computes at one iteration point from its arguments; a reducer folds points that share an output
coordinate, starting from its identity. The class of an operator groups operators of similar hardware cost, so
that a machine can give one row of cost to each class: a square root is of class `rsqrt`, a subtraction of
class `add`. What an operator computes is in `interpreter.py`.
"""

from typing import NamedTuple


class Operator(NamedTuple):
    """A map operator: how it is written, how many arguments it takes, what class of hardware runs it."""

    name: str
    arity: int
    operator_class: str
    symbol: str = ""


class Reducer(NamedTuple):
    """An associative reduction: `name` is what nodes hold, `keyword` what is written after `::`."""

    name: str
    keyword: str
    identity: float
    operator_class: str


OPERATORS: tuple[Operator, ...] = (
    Operator("add", 2, "add", "+"),
    Operator("sub", 2, "add", "-"),
    Operator("mul", 2, "mul", "*"),
    Operator("div", 2, "div", "/"),
    Operator("pow", 2, "exp", "^"),
    Operator("neg", 1, "add", "-"),
    Operator("lt", 2, "cmp", "<"),
    Operator("le", 2, "cmp", "<="),
    Operator("gt", 2, "cmp", ">"),
    Operator("ge", 2, "cmp", ">="),
    Operator("eq", 2, "cmp", "=="),
    Operator("ne", 2, "cmp", "!="),
    Operator("and", 2, "cmp", "and"),
    Operator("or", 2, "cmp", "or"),
    Operator("not", 1, "cmp", "not"),
    Operator("max", 2, "max"),
    Operator("min", 2, "max"),
    Operator("clamp", 3, "max"),
    Operator("relu", 1, "max"),
    Operator("abs", 1, "max"),
    Operator("sign", 1, "cmp"),
    Operator("select", 3, "select"),
    Operator("exp", 1, "exp"),
    Operator("log", 1, "log"),
    Operator("log2", 1, "log"),
    Operator("softplus", 1, "log"),
    Operator("sqrt", 1, "rsqrt"),
    Operator("rsqrt", 1, "rsqrt"),
    Operator("gelu", 1, "erf"),
    Operator("silu", 1, "sigmoid"),
    Operator("sigmoid", 1, "sigmoid"),
    Operator("tanh", 1, "sigmoid"),
    Operator("cos", 1, "trig"),
    Operator("sin", 1, "trig"),
    Operator("round", 1, "round"),
    Operator("floor", 1, "round"),
    Operator("ceil", 1, "round"),
)

REDUCERS: tuple[Reducer, ...] = (
    Reducer("add", "sum", 0.0, "add"),
    Reducer("mean", "mean", 0.0, "add"),
    Reducer("mul", "prod", 1.0, "mul"),
    Reducer("max", "max", float("-inf"), "max"),
    Reducer("min", "min", float("inf"), "max"),
    Reducer("or", "any", 0.0, "cmp"),
)

# Reducers of the wider grammar whose meaning needs index or tuple outputs: recognised, so that refusing them
# can say why.
UNSUPPORTED_REDUCERS = ("argmax", "argmin", "argsort", "topk", "scan", "atomic_sum", "osm")

OPERATOR_BY_NAME = {operator.name: operator for operator in OPERATORS}
REDUCER_BY_NAME = {reducer.name: reducer for reducer in REDUCERS}
REDUCER_BY_KEYWORD = {reducer.keyword: reducer for reducer in REDUCERS}
# What may be called as `name(...)`: every operator that is not written with a symbol.
FUNCTION_BY_NAME = {operator.name: operator for operator in OPERATORS if not operator.symbol}

# How tightly an operator binds when written; a call and a literal bind tighter than all.
PRECEDENCE = {"or": 1, "and": 2, "not": 3, "add": 5, "sub": 5, "mul": 6, "div": 6, "neg": 7, "pow": 8}
PRECEDENCE |= dict.fromkeys(("lt", "le", "gt", "ge", "eq", "ne"), 4)
CALL_PRECEDENCE = 9


def operator_class(name: str) -> str:
    """Class of a map operator or reducer by name: 'sub' gives 'add', 'exp' gives 'exp'."""
    if name in OPERATOR_BY_NAME:
        return OPERATOR_BY_NAME[name].operator_class
    return REDUCER_BY_NAME[name].operator_class
