"""Is the stated bound one? Never exceeded by a correct run, exceeded by a wrong one; and the exponential's own."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from einsums.interpreter import interpret
from einsums.operators import OPERATORS, Operator, Rounding
from einsums.types import Cascade
from sim import load_architecture, load_experiment
from sim.functional.bounds import error_bounds
from sim.functional.boxes import BoxLoop
from sim.functional.error_rules import RULE_BY_OPERATOR, Approximate
from sim.functional.exponential import (
    EXACT,
    Exponential,
    chebyshev_coefficients,
    exponentials_of,
    horner_units,
    polynomial_error,
)
from sim.functional.machine import Arithmetic, execute
from sim.functional.precision import PRECISIONS
from sim.functional.program import Program, program_of_cascade, program_of_experiment
from tests.test_functional_engine import inputs_of, interpreted, product_program, tiny
from tests.test_sim_oracle import described, legal_experiment

CATALOG = Path(__file__).parents[1] / "einsums" / "catalog"
SEEDS = range(2, 330, 6)
POSITIVE = ("log", "log2", "sqrt", "rsqrt")  # operators whose argument is tried above 0 only


# --- the exponential ----------------------------------------------------------------------------------------
@pytest.mark.parametrize("degree", range(1, 12))
def test_polynomial_is_within_its_stated_error(degree: int) -> None:
    r = np.linspace(-0.5, 0.5, 100_001).astype(np.longdouble)
    coefficients = chebyshev_coefficients(degree).astype(np.longdouble)
    value = np.zeros_like(r)
    for coefficient in coefficients[::-1]:
        value = value * r + coefficient
    worst = float(np.abs(value / np.exp2(r) - 1).max())
    assert worst <= polynomial_error(degree) + 3e-16  # coefficients are fp64
    assert worst >= 0.4 * polynomial_error(degree) or worst < 1e-15  # the statement is not a loose one


def test_polynomial_is_nearly_the_best() -> None:
    """De la Vallee Poussin: no polynomial of degree d errs less than the smallest of d+2 alternating extremes."""
    for degree in range(1, 8):
        r = np.linspace(-0.5, 0.5, 400_001)
        error = np.polynomial.polynomial.polyval(r, chebyshev_coefficients(degree)) / np.exp2(r) - 1
        error = error[error != 0]
        pieces = np.split(error, np.flatnonzero(np.diff(np.sign(error))) + 1)
        extremes = [np.abs(piece).max() for piece in pieces]
        assert len(extremes) == degree + 2
        assert max(extremes) <= 2 * min(extremes)


@pytest.mark.parametrize("precision", ["fp32", "fp64"])
@pytest.mark.parametrize("multiply_adds", [0, 2, 4, 6, 8, 14])
def test_exponential_is_within_its_bound(multiply_adds: int, precision: str) -> None:
    chosen, exponential = PRECISIONS[precision], Exponential(multiply_adds)
    x = np.random.default_rng(multiply_adds).uniform(-85, 85, 200_000).astype(chosen.wide)
    found = exponential.function(chosen)(x)
    assert found.dtype == chosen.wide
    exact = np.exp(x.astype(np.longdouble))
    error = np.abs(found.astype(np.longdouble) / exact - 1).astype(np.float64)
    assert (error <= exponential.relative_error(x, chosen)).all()


def test_six_multiply_adds_are_enough_for_fp32() -> None:
    x = np.linspace(-1, 0, 100_001, dtype=np.float32)
    exact = np.exp(x.astype(np.float64))
    error = [np.abs(Exponential(n).function(PRECISIONS["fp32"])(x) / exact - 1).max() for n in (5, 6, 7)]
    assert error[0] > 3e-6 and error[1] < 3e-7 and error[2] > 0.4 * error[1]
    assert horner_units(5) == pytest.approx(5.3917, abs=1e-3)


def test_ends_of_the_exponential() -> None:
    for exponential in (EXACT, Exponential(6)):
        for precision in ("fp32", "fp64"):
            wide = PRECISIONS[precision].wide
            x = np.array([-np.inf, np.inf, np.nan, -1e30, 1e30, 0.0, -1000.0], dtype=wide)
            with np.errstate(over="ignore"):
                found = exponential.function(PRECISIONS[precision])(x)
            np.testing.assert_allclose(found, [0, np.inf, np.nan, 0, np.inf, 1, 0], rtol=2e-7)


def test_order_follows_what_the_machine_says() -> None:
    six = {"PE2D": Exponential(6), "PE1D": Exponential(6)}
    assert exponentials_of(load_architecture("fusemax-cloud")) == six
    assert exponentials_of(load_architecture("flat-cloud")) == {}  # a unit of its own, of one cycle
    changed = load_experiment("fusemax-binding", {"architecture.components.PE2D.operations.exp.made_of.macc": 4})
    assert exponentials_of(changed.architecture) == six | {"PE2D": Exponential(4)}


# --- rules of operators -------------------------------------------------------------------------------------
@pytest.mark.parametrize("operator", OPERATORS, ids=lambda operator: operator.name)
def test_rule_holds_for_arguments_within_their_errors(operator) -> None:
    rng = np.random.default_rng(11)
    scale = 10.0 ** rng.integers(-6, 3, 20_000)
    values = [rng.normal(size=20_000) * rng.choice([1e-3, 1.0, 30.0], 20_000) for _ in range(operator.arity)]
    if operator.name in POSITIVE:
        values[0] = np.abs(values[0]) + 1e-9
    errors = [np.where(rng.random(20_000) < 0.2, 0.0, np.abs(v) * scale) for v in values]
    with np.errstate(all="ignore"):
        exact, bound = RULE_BY_OPERATOR[operator.name](
            *(Approximate(v, e) for v, e in zip(values, errors, strict=True))
        )
        for share in (-1.0, -0.3, 0.0, 0.7, 1.0):
            signs = [np.where(rng.random(20_000) < 0.5, -share, share) for _ in values]
            moved = [v + s * e for v, s, e in zip(values, signs, errors, strict=True)]
            found = np.asarray(operator.meaning(*moved), dtype=float)
            difference = np.abs(found - exact)
            allowed = np.where(np.isnan(bound), np.inf, bound) * (1 + 1e-9) + 1e-14 * np.abs(exact)
            assert (np.isnan(difference) | (difference <= allowed)).all()
    assert (bound[np.all([e == 0 for e in errors], axis=0)] == 0).all()


@pytest.mark.parametrize("operator", OPERATORS, ids=lambda operator: operator.name)
def test_rounding_is_as_the_table_has_it(operator: Operator) -> None:
    """In fp32 against fp64: exact, or the rounded true value, or not to be relied on."""
    rng = np.random.default_rng(5)
    words = [rng.normal(size=20_000).astype(np.float32) for _ in range(operator.arity)]
    if operator.name in (*POSITIVE, "pow"):
        words[0] = np.abs(words[0])
    found = np.asarray(operator.meaning(*words))
    exact = np.asarray(operator.meaning(*(word.astype(np.float64) for word in words)), dtype=np.float64)
    match operator.rounding:
        case Rounding.CHOOSES:
            magnitudes = np.abs([*words, np.zeros_like(words[0])]).astype(np.float64)
            assert (found == exact).all() and (magnitudes == np.abs(exact)).any(axis=0).all()
        case Rounding.EXACT:
            assert (found == exact).all()
        case Rounding.ONCE:  # fp64 has more than twice the digits of fp32, so that rounding it again changes nothing
            assert found.dtype == np.float32 and (found == exact.astype(np.float32)).all()
            assert (found != exact).any()
        case Rounding.IN_FP64:
            assert (exact.astype(np.float32) != exact).any()


# --- bounds -------------------------------------------------------------------------------------------------
def shares(program: Program, inputs: dict[str, np.ndarray], precision: str, multiply_adds: int) -> dict[str, float]:
    """The largest share of its bound that each tensor uses."""
    chosen = PRECISIONS[precision]
    words = {name: chosen.word(value.astype(chosen.wide)) for name, value in inputs.items()}
    with np.errstate(all="ignore"):
        expected = interpreted(program, words)
        arrays = {leaf.array: Exponential(multiply_adds) for leaf in program.leaves}
        found = execute(program, words, Arithmetic(chosen, {a: e.function(chosen) for a, e in arrays.items()}))
        bounds = error_bounds(program, {**words, **expected}, chosen, arrays)
        used = {}
        for name, value in expected.items():
            error = np.where(found[name] == value, 0.0, np.abs(found[name] - value))
            share = np.where((error == 0) | np.isinf(bounds[name]) | np.isnan(value), 0.0, error / bounds[name])
            used[name] = float(np.where(np.isnan(share), np.inf, share).max(initial=0.0))
    return used


@pytest.mark.parametrize("precision", ["fp64", "fp32", "fp16", "bf16", "bf16-running"])
@pytest.mark.parametrize("seed", SEEDS)
def test_no_correct_run_exceeds_its_bound(seed: int, precision: str) -> None:
    experiment = legal_experiment(seed)
    if experiment is None:
        return
    program = program_of_experiment(experiment)
    for scale, multiply_adds in ((1.0, 0), (8.0, 6)):
        used = shares(program, inputs_of(program, seed, scale), precision, multiply_adds)
        assert max(used.values()) <= 1, f"{used}\n{described(experiment)}"


@pytest.mark.parametrize("name", ["encoder-layer", "layernorm-linear", "cross-entropy-sharded", "variance"])
@pytest.mark.parametrize("precision", ["fp64", "fp32", "bf16"])
def test_no_bare_cascade_exceeds_its_bound(name: str, precision: str) -> None:
    cascade = Cascade.model_validate(yaml.safe_load((CATALOG / f"{name}.yaml").read_text()))
    sizes = {rank: 7 + n for n, rank in enumerate(dict.fromkeys(map(cascade.root_of, cascade.leaf_ranks())))}
    program = program_of_cascade(cascade, sizes | {part: 4 for p in cascade.partitions for part in p.inner})
    inputs = inputs_of(program, 4)
    inputs |= {n: np.abs(v) * 1e-3 for n, v in inputs.items() if n == "EPS"}
    assert max(shares(program, inputs, precision, 0).values()) <= 1


def test_bound_is_what_it_says_for_one_product() -> None:
    """|computed - exact| <= (n + 1) u sum |a b| for n additions: an inequality of one line, by hand."""
    program = program_of_experiment(tiny("linear-flat", 4))
    words = {n: PRECISIONS["fp32"].word(v.astype(np.float32)) for n, v in inputs_of(program, 3).items()}
    bound = error_bounds(program, {**words, **interpreted(program, words)}, PRECISIONS["fp32"])["QP"]
    terms = np.abs(words["WQ"].astype(float)) @ np.abs(words["XQ"].astype(float))
    depth = program.size("d")
    assert depth == 10
    np.testing.assert_allclose(bound, 1.01 * (depth + 1) * 2.0**-24 * terms, rtol=1e-5)


def test_bound_counts_additions_as_the_mapping_makes_them() -> None:
    """A chain down a side of 4, then 4 steps: 7 additions on the longest path, where 16 steps make 16."""
    loops = [BoxLoop("m", 1), BoxLoop("n", 1), BoxLoop("k", 4)]
    on_side = product_program(loops, ("k",), {"M": 3, "N": 2, "K": 16})
    in_time = replace(on_side, loops=(*on_side.loops[:2], BoxLoop("k", 1)))
    words = {n: v.astype(np.float32) for n, v in inputs_of(on_side, 3).items()}
    values = {**words, **interpreted(on_side, words)}
    short, long = (error_bounds(program, values, PRECISIONS["fp32"])["Z"] for program in (on_side, in_time))
    np.testing.assert_allclose(long / short, (16 + 1) / (7 + 1), rtol=1e-5)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("dropped", ["SPD", "SPNV", "both"])
def test_a_dropped_correction_exceeds_the_bound(dropped: str, precision: str) -> None:
    """The engine runs a cascade that forgets exp(old maximum - new maximum); the interpreter runs the right one."""
    program = program_of_experiment(tiny("fusemax-binding", 14))
    cascade = program.cascade
    names = ("SPD", "SPNV") if dropped == "both" else (dropped,)
    einsums = tuple(
        einsum.model_copy(update={"expr": einsum.expr.arguments[0]}) if einsum.name in names else einsum
        for einsum in cascade.einsums
    )
    broken = cascade.with_fields(einsums=einsums)
    workload = program.workload.model_copy(update={"cascade": broken})
    rising = np.linspace(-4, 4, 14)
    inputs = inputs_of(program, 6)
    inputs["Q"], inputs["K"] = np.abs(inputs["Q"]) + 0.5, np.broadcast_to(rising, inputs["K"].shape).copy()
    inputs["V"] = inputs["V"] + rising
    chosen = PRECISIONS[precision]
    words = {name: chosen.word(value.astype(np.float32)) for name, value in inputs.items()}
    expected = interpret(cascade, words, {item.rank: item.size for item in program.workload.sizes})
    bounds = error_bounds(program, {**words, **expected}, chosen)
    right = execute(program, words, Arithmetic(chosen))["AV"]
    wrong = execute(replace(program, workload=workload), words, Arithmetic(chosen))["AV"]
    assert (np.abs(right - expected["AV"]) <= bounds["AV"]).all()
    assert (np.abs(wrong - expected["AV"]) > bounds["AV"]).mean() > (0.9 if precision == "fp32" else 0.01)
