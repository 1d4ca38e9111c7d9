"""Expressions against Python's own evaluation, in arrays, and every refusal word for word."""

import ast
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arch.expression import Expression, check_names, evaluate, parse_expression
from arch.functions import SCALAR_FUNCTIONS, largest_divisor

NAMES = {"a": 7, "b": -3, "GLB.size_bytes": 4096, "x1": 2.5}


def value_of(text: Any, **names: Any) -> Any:
    return evaluate(parse_expression(text), (NAMES | names).__getitem__)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1 + 2 * 3", 7),
        ("-2 ** 2", -4),
        ("2 ** -1", 0.5),
        ("2 ** 3 ** 2", 512),
        ("2 ^ 3 ** 2", 512),
        ("2 ** 3 ^ 2 ^ 1", 512),
        ("-2 ^ 2", -4),
        ("2 ^ -1", 0.5),
        ("-7 // 2", -4),
        ("-7 % 3", 2),
        ("10 - 4 - 3", 3),
        ("16 MiB", 16 * 2**20),
        ("2 * 4 KiB", 8192),
        ("16 MB / 2", 8e6),
        ("4096 bit", 512),
        ("4 bit", 0.5),
        ("1e6", 1_000_000),
        ("1.5e3", 1500),
        ("2.5", 2.5),
        ("GLB.size_bytes // 2", 2048),
        ("ceil_div(a, 2)", 4),
        ("ceil(x1) + floor(x1) + round(3.5) + abs(b)", 3 + 2 + 4 + 3),
        ("min(a, b, 1) + max(a)", 4),
        ("log2(8) + sqrt(16)", 7.0),
        ("largest_divisor(12, 5)", 4),
        ("choose(a > 5, 10, 20)", 10),
        ("choose(not a > 5 or b < 0 and a == 8, 10, 20)", 20),
        ("a == 7 and b != 7", True),
        ("3 <= 3 and not 4 >= 5", True),
        (5, 5),
        (0.25, 0.25),
        ("+a", 7),
        ("2 and 3", True),
    ],
)
def test_value(text: Any, value: Any) -> None:
    found = value_of(text)
    assert found == value
    assert isinstance(found, type(value))


def test_texts_are_compared() -> None:
    assert value_of("choose(where == 'onchip', 1, 2)", where="onchip") == 1
    assert value_of('choose(where != "onchip", 1, 2)', where="offchip") == 1


def expressions() -> st.SearchStrategy[str]:
    """Texts with random parentheses and spacing, in the grammar that Python shares."""
    leaves = st.sampled_from(["1", "2", "3", "0.5", "17", "a", "b", "x1"])
    binary = st.sampled_from(["+", "-", "*", "/", "//", "%", " <", "==", " and ", " or ", "**"])

    def grow(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
        return st.one_of(
            st.builds("{}{}{}".format, inner, binary, inner),
            inner.map("({})".format),
            inner.map("-{}".format),
            inner.map("not {}".format),
            st.builds("min({}, {})".format, inner, inner),
            st.builds("abs({})".format, inner),
        )

    return st.recursive(leaves, grow, max_leaves=8)


class LogicGivesTruth(ast.NodeTransformer):
    """Python's `and` and `or` give an operand; here they give a truth value."""

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.AST:
        self.generic_visit(node)
        return ast.Call(ast.Name("bool", ast.Load()), [node], [])


def has_chained_comparison(tree: ast.AST) -> bool:
    """Our grammar refuses what Python reads as a chain."""
    return any(isinstance(node, ast.Compare) and len(node.ops) > 1 for node in ast.walk(tree))


def python_value(tree: ast.Expression) -> Any:
    logical = ast.fix_missing_locations(LogicGivesTruth().visit(tree))
    functions = {"min": min, "abs": abs, "bool": bool}
    return eval(compile(logical, "<expression>", "eval"), functions, dict(NAMES))  # noqa: S307


@given(text=expressions())
def test_python_agrees(text: str) -> None:
    try:
        tree = ast.parse(text, mode="eval")
    except SyntaxError:
        with pytest.raises(ValueError):
            parse_expression(text)
        return
    if has_chained_comparison(tree):
        with pytest.raises(ValueError, match="cannot be chained"):
            parse_expression(text)
        return
    try:
        found = value_of(text)
    except ValueError as error:
        assert any(reason in str(error) for reason in ("division by zero", "too large", "no fractional power"))
        return
    assert found == python_value(tree)


ARRAY_FUNCTIONS: Mapping[str, Callable[..., Any]] = dict(SCALAR_FUNCTIONS) | {
    "min": lambda *values: np.minimum.reduce(np.broadcast_arrays(*values)),
    "max": lambda *values: np.maximum.reduce(np.broadcast_arrays(*values)),
    "ceil": np.ceil,
    "floor": np.floor,
    "ceil_div": lambda a, b: -(-a // b),
    "log2": np.log2,
    "choose": np.where,
    "and": np.logical_and,
    "or": np.logical_or,
    "not": np.logical_not,
    "eq": np.equal,
    "ne": np.not_equal,
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
}


@pytest.mark.parametrize(
    "text",
    [
        "n * 2 + 1",
        "max(1, n // 4) ** 2",
        "choose(n > 4 and not n == 6, ceil_div(n, 4), -n)",
        "floor(n / 3) + ceil(log2(n)) % 3",
        "min(n, 5) <= 4 or n != 7",
    ],
)
def test_one_tree_serves_arrays(text: str) -> None:
    expression = parse_expression(text)
    n = np.arange(1, 40)
    whole = evaluate(expression, {"n": n}.__getitem__, ARRAY_FUNCTIONS)
    assert whole.tolist() == [evaluate(expression, {"n": int(one)}.__getitem__) for one in n]


@given(number=st.integers(1, 3000), limit=st.integers(-3, 3100))
def test_largest_divisor_is_what_trying_all_gives(number: int, limit: int) -> None:
    assert largest_divisor(number, limit) == max(
        [d for d in range(1, number + 1) if number % d == 0 and d <= limit], default=1
    )


def test_names_in_order_without_repeats() -> None:
    assert parse_expression("b + GLB.size_bytes * a - b + log2(c)").names == ("b", "GLB.size_bytes", "a", "c")


def test_an_expression_is_a_value() -> None:
    first, second = parse_expression("a + 1"), parse_expression("a + 1")
    assert first == second
    assert hash(first) == hash(second)
    assert str(first) == "a + 1"
    assert parse_expression(first) is first
    assert isinstance(first, Expression)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected an expression or a number, got an empty text"),
        ("  ", "expected an expression or a number, got an empty text"),
        (None, "expected an expression or a number, got None"),
        (True, "expected an expression or a number, got True"),
        (float("nan"), "expected an expression or a finite number, got nan"),
        ("1 +", "expected a number, a name or '(', got the end at column 4 of '1 +'"),
        ("a b", "expected an operator or the end, got 'b' at column 3 of 'a b'"),
        ("(a + 1))", "expected an operator or the end, got ')' at column 8 of '(a + 1))'"),
        ("(a + 1", "expected ')' for the '(' at column 1, got the end at column 7 of '(a + 1'"),
        ("max(1, 2", "expected ')' for the '(' at column 4, got the end at column 9 of 'max(1, 2'"),
        ("maxx(1)", "unknown function 'maxx' (did you mean 'max'?) at column 1 of 'maxx(1)'"),
        ("__import__('os')", "unknown function '__import__' at column 1 of '__import__('os')'"),
        ("ceil()", "'ceil' takes 1 argument, got 0, at column 1 of 'ceil()'"),
        ("ceil_div(1)", "'ceil_div' takes 2 arguments, got 1, at column 1 of 'ceil_div(1)'"),
        ("min()", "'min' takes at least 1 argument, got 0, at column 1 of 'min()'"),
        ("1 < a < 3", "comparisons cannot be chained (use 'and') at column 7 of '1 < a < 3'"),
        ("a ^ ^ b", "expected a number, a name or '(', got '^' at column 5 of 'a ^ ^ b'"),
        ("a ? b", "unexpected '?' at column 3 of 'a ? b'"),
        ("a == 'on", "unexpected a text that is not closed at column 6 of 'a == 'on'"),
        ("a and or b", "expected a number, a name or '(', got 'or' at column 7 of 'a and or b'"),
        ("a.", "unexpected '.' at column 2 of 'a.'"),
        (
            "16 MBy",
            "expected an operator or a size unit, got 'MBy' (did you mean 'MB'?) at column 4 of '16 MBy'",
        ),
        (
            "3 MHz",
            "expected an operator or a size unit, got 'MHz', which is the unit of a frequency at column 3 of '3 MHz'",
        ),
        ("1e999", "number '1e999' is too large at column 1 of '1e999'"),
        ("1e99999", "number '1e99999' is too large at column 1 of '1e99999'"),
        ("1" * 1001, "expected an expression of at most 1000 characters, got 1001"),
        ("1" + "+1" * 150, "expected an expression of at most 250 words, got 301"),
        (
            "(" * 41 + "1" + ")" * 41,
            f"more than 40 levels of nesting at column 42 of '{'(' * 41}1{')' * 41}'",
        ),
    ],
)
def test_what_is_no_expression_is_refused_with_its_column(text: Any, message: str) -> None:
    with pytest.raises(ValueError) as refusal:
        parse_expression(text)
    assert str(refusal.value) == message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 / (a - 7)", "division by zero in '1 / (a - 7)'"),
        ("1 % 0", "division by zero in '1 % 0'"),
        ("2 ** 10 ** 9", "a number too large in '2 ** 10 ** 9'"),
        ("10.0 ** 400", "a number too large in '10.0 ** 400'"),
        ("b ** 0.5", "a negative number has no fractional power"),
        ("'on' + 1", "'+' needs numbers, got 'on' and 1"),
        ("2 * 'on'", "'*' needs numbers, got 2 and 'on'"),
        ("-'on'", "'-' needs numbers, got 'on'"),
        ("max('on', 1)", "'max' needs numbers, got 'on'"),
        ("'on' < 1", "'<' needs numbers, got 'on'"),
        ("log2(0)", "'log2' needs a number above zero, got 0"),
        ("sqrt(b)", "'sqrt' needs a number of at least zero, got -3"),
        ("largest_divisor(2.5, 2)", "'largest_divisor' needs a whole number of at least 1, got 2.5"),
    ],
)
def test_what_has_no_value_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError) as refusal:
        value_of(text)
    assert str(refusal.value) == message


def test_unknown_names_are_refused_with_the_nearest() -> None:
    known = ("GLB.size_bytes", "PE2D.rows")
    check_names(parse_expression("GLB.size_bytes / PE2D.rows"), known)
    with pytest.raises(ValueError) as refusal:
        check_names(parse_expression("2 * GLB.sise"), known)
    assert str(refusal.value) == "unknown name 'GLB.sise' (did you mean 'GLB.size_bytes'?)"


def test_the_longest_admitted_chain_evaluates() -> None:
    assert value_of("1" + "+1" * 124) == 125
    assert value_of("(" * 40 + "1" + ")" * 40) == 1
