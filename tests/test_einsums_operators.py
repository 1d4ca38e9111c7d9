"""Is the table of operators true? Against torch, against Triton, against the documents; and what a bad row is told."""

import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from einsums import Workload, interpret, operation_counts, parse_einsum
from einsums.operators import (
    OPERATOR_BY_NAME,
    OPERATORS,
    REDUCERS,
    ErrorRule,
    Operator,
    Reducer,
    Rounding,
    _iter_contradictions,
)
from einsums.types import Cascade
from sim import VerifyOptions, load_cascade, verify
from sim.functional.bounds import error_bounds
from sim.functional.one_by_one import run_one_by_one
from sim.functional.precision import PRECISIONS
from sim.functional.program import program_of_cascade
from tests.small_design import run
from tests.test_functional_engine import inputs_of

ROOT = Path(__file__).resolve().parents[1]
POSITIVE = ("log", "log2", "sqrt", "rsqrt", "pow")  # operators whose first argument is tried above 0 only


def arguments_of(operator: Operator, dtype: type) -> list[np.ndarray]:
    rng = np.random.default_rng(3)
    arguments = [3 * rng.normal(size=4096).astype(dtype) for _ in range(operator.arity)]
    if operator.name in POSITIVE:
        arguments[0] = np.abs(arguments[0])
    if operator.name == "clamp":  # bounds that cross are another matter: torch and numpy both give the upper one
        arguments[1:] = sorted(arguments[1:], key=lambda bound: bound[0])
    return arguments


# --- other libraries ----------------------------------------------------------------------------------------
@pytest.mark.parametrize("operator", OPERATORS, ids=lambda operator: operator.name)
def test_torch_computes_the_same(operator: Operator) -> None:
    torch = pytest.importorskip("torch")
    from kernels.elementwise import imported

    arguments = arguments_of(operator, np.float64)
    found = imported(operator.torch)(*map(torch.from_numpy, arguments)).double().numpy()
    np.testing.assert_allclose(found, operator.meaning(*arguments).astype(float), rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("name", ["mul", "div"])
def test_torch_completes_arithmetic_as_cascades_do(name: str) -> None:
    torch = pytest.importorskip("torch")
    from kernels.elementwise import imported

    ends = np.array([0.0, -0.0, 1.0, -2.0, np.inf, -np.inf, np.nan])
    a, b = (x.ravel() for x in np.meshgrid(ends, ends))
    with np.errstate(all="ignore"):
        expected = OPERATOR_BY_NAME[name].meaning(a, b)
        zero, infinity = (np.array([x]) for x in (0.0, np.inf))
        assert OPERATOR_BY_NAME["mul"].meaning(zero, infinity) == 0 and OPERATOR_BY_NAME["div"].meaning(zero, zero) == 0
    found = imported(OPERATOR_BY_NAME[name].torch)(torch.from_numpy(a), torch.from_numpy(b)).numpy()
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("reducer", REDUCERS, ids=lambda reducer: reducer.keyword)
def test_torch_reduces_the_same(reducer: Reducer) -> None:
    torch = pytest.importorskip("torch")
    from kernels.elementwise import imported

    values = np.random.default_rng(4).integers(0, 2, (5, 40)) + 0.5 * (reducer.name != "or")
    found = imported(reducer.torch)(torch.from_numpy(values), 0).numpy()
    np.testing.assert_allclose(found, reducer.fold.reduce(values, axis=0))
    np.testing.assert_array_equal(reducer.fold(values[0], reducer.identity), values[0])
    if reducer.joins is not None:
        halves = reducer.fold.reduce(values[:2], axis=0), reducer.fold.reduce(values[2:], axis=0)
        np.testing.assert_allclose(OPERATOR_BY_NAME[reducer.joins].meaning(*halves), found)


TRITON_PROGRAM = """
import sys
import numpy as np
import torch
import triton
import triton.language as tl

@triton.jit
def {name}({pointers}, result):
    place = tl.arange(0, 4096)
    tl.store(result + place, tl.{function}({loads}))

"""


def test_triton_computes_the_same(tmp_path: Path) -> None:
    """A kernel for each operator that has a name in Triton, in its interpreter, in fp32."""
    pytest.importorskip("triton")
    rows = [operator for operator in OPERATORS if operator.triton is not None]
    lines, given = [], {}
    for row in rows:
        names = "xyz"[: row.arity]
        loads = [f"tl.load({x} + place)" + (" != 0" if (row.name, x) == ("select", "x") else "") for x in names]
        lines.append(
            TRITON_PROGRAM.format(
                name=f"compute_{row.name}", pointers=", ".join(names), function=row.triton, loads=", ".join(loads)
            )
        )
        given |= {f"{row.name}/{n}": x for n, x in enumerate(arguments_of(row, np.float32))}
    lines.append("given, found = dict(np.load(sys.argv[1])), {}\n")
    for row in rows:
        lines.append(f"found['{row.name}'] = torch.empty(4096)\n")
        tensors = ", ".join(f"torch.from_numpy(given['{row.name}/{n}'])" for n in range(row.arity))
        lines.append(f"compute_{row.name}[(1,)]({tensors}, found['{row.name}'])\n")
    lines.append("np.savez(sys.argv[2], **{name: tensor.numpy() for name, tensor in found.items()})\n")
    (tmp_path / "program.py").write_text("".join(lines))
    np.savez(tmp_path / "given.npz", **given)
    command = [sys.executable, "program.py", "given.npz", "found.npz"]
    environment = {**os.environ, "TRITON_INTERPRET": "1"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    with np.load(tmp_path / "found.npz") as found:
        for row in rows:
            exact = row.meaning(*(x.astype(np.float64) for x in arguments_of(row, np.float32)))
            np.testing.assert_allclose(found[row.name], exact, rtol=2e-6, atol=2e-7, err_msg=row.name)


def test_kernels_activations_are_operators() -> None:
    """What a kernel may apply to a product is an operator of the table, with its meaning (a gelu with its tanh)."""
    torch = pytest.importorskip("torch")
    pytest.importorskip("triton")
    from kernels import reference
    from kernels.products import ACTIVATIONS

    x = torch.linspace(-6, 6, 300, dtype=torch.float64)[:, None]
    for name in set(ACTIVATIONS) - {"none"}:
        found = reference.gemm(x, torch.ones(1, 1, dtype=torch.float64), None, name)
        tolerance = 5e-4 if name == "gelu" else 1e-12
        np.testing.assert_allclose(found.numpy(), OPERATOR_BY_NAME[name].meaning(x.numpy()), atol=tolerance)


# --- one operator, everywhere -------------------------------------------------------------------------------
ERF = """\
name: smooth-steps
ranks: {N: position}
inputs: {X: [N]}
outputs: [Z]
einsums: |
  Y[n] = erf(X[n] / 2)
  Z[] = Y[n] * Y[n]
"""


def erf_cascade() -> Cascade:
    einsums = (parse_einsum("Y[n] = erf(X[n] / 2)"), parse_einsum("Z[] = Y[n] * Y[n]"))
    return Cascade(
        name="smooth-steps",
        ranks=({"name": "N"},),
        inputs=({"name": "X", "ranks": ("N",)},),
        outputs=("Z",),
        einsums=einsums,
    )


def test_erf_is_parsed_counted_and_interpreted() -> None:
    cascade = erf_cascade()
    assert str(cascade.einsum("Y")) == "Y[n] = erf(X[n] / 2)"
    workload = Workload.model_validate({"cascade": cascade, "bits": 64, "sizes": {"N": 5}})
    assert [(c.einsum, c.operator, c.count) for c in operation_counts(workload)] == [
        ("Y", "div", 5), ("Y", "erf", 5), ("Z", "mul", 5), ("Z", "add", 5),
    ]  # fmt: skip
    x = np.array([0.0, 1.0, -2.0, np.inf, -np.inf])
    assert interpret(cascade, {"X": x})["Y"].tolist() == [0.0, math.erf(0.5), -math.erf(1.0), 1.0, -1.0]


def test_gelu_is_made_of_erf() -> None:
    x = np.linspace(-5, 5, 101)
    erf = OPERATOR_BY_NAME["erf"].meaning(x / math.sqrt(2))
    np.testing.assert_array_equal(OPERATOR_BY_NAME["gelu"].meaning(x), 0.5 * x * (1 + erf))


def test_bound_of_erf_is_what_its_arguments_errors_make_of_it() -> None:
    """One division and one erf of it: each rounded once in fp32, the division's error scaled by erf' <= 2/sqrt(pi)."""
    program = program_of_cascade(erf_cascade(), {"N": 1})
    x = np.array([0.4])
    values = {"X": x, **interpret(erf_cascade(), {"X": x})}
    bound = float(error_bounds(program, values, PRECISIONS["fp32"])["Y"][0])
    u = 2.0**-24
    slope = 2 / math.sqrt(math.pi) * math.exp(-(0.2**2))
    assert bound == pytest.approx(1.01 * (slope * 0.2 * u + math.erf(0.2) * u), rel=1e-3)


def test_erf_is_verified_with_numpy_and_torch(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    (tmp_path / "steps.yaml").write_text(ERF)
    for backend, heading in (("numpy", ""), ("torch", "  Einsums      each by itself by torch on ")):
        status, out, err = run(["verify", str(tmp_path / "steps.yaml"), "--backend", backend])
        assert (status, err) == (0, "") and heading in out and "pass: " in out
    wrong = OPERATOR_BY_NAME["erf"]._replace(torch="torch.tanh")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(OPERATOR_BY_NAME, "erf", wrong)
        found = verify(load_cascade(str(tmp_path / "steps.yaml")), VerifyOptions(("fp64",), backend="torch"))
    assert {row.subject.tensor for row in found.failures} == {"Y"}  # Z is given the interpreter's Y


@pytest.mark.parametrize("function", ["gelu", "silu", "sigmoid", "softplus", "tanh", "sin"])
def test_functions_that_lose_digits_are_not_blamed(function: str, tmp_path: Path) -> None:
    """At -100 a gelu is what rounding leaves of 1 + erf, in every library another thing."""
    pytest.importorskip("torch")
    (tmp_path / "steps.yaml").write_text(ERF.replace("erf(X[n] / 2)", f"{function}(X[n] * 30)"))
    found = verify(load_cascade(str(tmp_path / "steps.yaml")), VerifyOptions(("fp64",), backend="torch"))
    assert found.passes, found.failures[0]
    assert str(found.backend).startswith("torch on ")


@pytest.mark.parametrize(
    "name", ["attention-1pass", "attention-3pass", "variance", "cross-entropy-sharded", "encoder-layer"]
)
def test_einsums_by_themselves_give_what_the_interpreter_gives(name: str) -> None:
    """Ragged partitions, running values and their first steps, means and maxima."""
    pytest.importorskip("torch")
    cascade = load_cascade(name)
    sizes = {rank: 5 + n for n, rank in enumerate(dict.fromkeys(map(cascade.root_of, cascade.leaf_ranks())))}
    sizes |= {part: 4 for p in cascade.partitions for part in p.inner}
    program = program_of_cascade(cascade, sizes)
    inputs = {n: np.abs(v) if n == "EPS" else v for n, v in inputs_of(program, 3).items()}
    values = {**inputs, **interpret(cascade, inputs, sizes)}
    _, found = run_one_by_one(program, {"given": values})
    assert list(found["given"]) == [leaf.einsum for leaf in program.leaves]
    for tensor, array in found["given"].items():
        np.testing.assert_allclose(array, values[tensor], rtol=1e-11, atol=1e-12, err_msg=tensor)


# --- rows that are refused ----------------------------------------------------------------------------------
EXP = OPERATOR_BY_NAME["exp"]
ADD = OPERATOR_BY_NAME["add"]


@pytest.mark.parametrize("table", [Operator, Reducer])
def test_no_column_can_be_forgotten(table: Callable[..., Any]) -> None:
    row = (OPERATORS if table is Operator else REDUCERS)[0]
    assert table(*row) == row
    for count in range(len(row)):
        with pytest.raises(TypeError, match="missing"):
            table(*row[:count])


@pytest.mark.parametrize(
    ("rows", "complaint"),
    [
        ((EXP, EXP), "two operators are called 'exp'"),
        ((EXP._replace(rounding="once"),), "operator 'exp': rounding is 'once'"),
        ((EXP._replace(error="monotone"),), "operator 'exp': error is 'monotone'"),
        ((EXP._replace(meaning=None),), "operator 'exp': meaning is None"),
        ((EXP._replace(torch=None),), "operator 'exp': torch is None"),
        ((ADD._replace(error=2.0),), "operator 'add': a slope is for functions of one argument, this takes 2"),
        (
            (EXP._replace(arity=3, meaning=np.where, notation=ADD.notation),),
            "operator 'exp': a symbol takes 1 or 2 arguments, this one takes 3",
        ),
        (
            (ADD._replace(notation=ADD.notation._replace(precedence=9)),),
            "operator 'add': expected a precedence from 1 to 8",
        ),
        (
            (EXP._replace(name="plus", arity=2, meaning=np.add, notation=ADD.notation), ADD),
            "the symbol '+' has two meanings",
        ),
    ],
)
def test_a_row_that_contradicts_itself_is_refused(rows: tuple[Operator, ...], complaint: str) -> None:
    assert list(_iter_contradictions(rows, ())) == [complaint]


def test_a_meaning_of_another_arity_is_refused() -> None:
    (complaint,) = _iter_contradictions((EXP._replace(meaning=lambda a, b: a),), ())
    assert complaint.startswith("operator 'exp': its meaning does not take 1 arrays: ")


def test_a_reducer_of_no_operator_is_refused() -> None:
    assert list(_iter_contradictions((EXP,), (REDUCERS[0],))) == ["reducer 'add' joins by 'add', which is no operator"]


# --- documents ----------------------------------------------------------------------------------------------
def written(operator: Operator) -> str:
    names = "abc"[: operator.arity]
    if operator.notation is None:
        return f"{operator.name}({', '.join(names)})"
    if operator.arity == 1:
        return f"{operator.symbol}{' ' * operator.symbol.isalpha()}a"
    return f"a {operator.symbol} b"


def test_documents_list_every_operator() -> None:
    text = (ROOT / "docs" / "formats.md").read_text("utf-8")
    for cost_class in dict.fromkeys(operator.cost_class for operator in OPERATORS):
        members = [f"`{written(operator)}`" for operator in OPERATORS if operator.cost_class == cost_class]
        assert f"\n| {cost_class} | {', '.join(members)} |\n" in text
    keywords = [reducer.keyword for reducer in REDUCERS]
    assert all(f"`{keyword}`" in text or f":: {keyword}(" in text for keyword in keywords)


def test_documents_say_how_tightly_symbols_bind() -> None:
    text = (ROOT / "docs" / "formats.md").read_text("utf-8")
    sentence = text[text.index("From the loosest symbol") : text.index("Operators of a class")]
    parts = sentence.split(":", 1)[1].split(";")
    levels = sorted({operator.notation.precedence for operator in OPERATORS if operator.notation})
    assert len(parts) == len(levels)
    for part, level in zip(parts, levels, strict=True):
        for operator in OPERATORS:
            if operator.notation and operator.notation.precedence == level:
                assert f"`{operator.symbol}`" in part


def test_documents_give_the_rule_of_every_operator() -> None:
    text = (ROOT / "docs" / "verify.md").read_text("utf-8")
    members: dict[str, list[str]] = {}
    for operator in OPERATORS:
        rule = operator.error.name.lower() if isinstance(operator.error, ErrorRule) else "slope"
        members.setdefault(rule, []).append(f"`{operator.name}`")
    for rule, names in members.items():
        assert f"\n| {rule} | {' '.join(names)} | " in text, f"{rule} | {' '.join(names)}"
    for rounding in (Rounding.ONCE, Rounding.IN_FP64):
        names = [f"`{operator.name}`" for operator in OPERATORS if operator.rounding is rounding]
        assert " ".join(names) in " ".join(text.split())
