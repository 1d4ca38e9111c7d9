"""What a precision makes of initial values, products and operands that its range or their ranks make difficult."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from einsums import Cascade, rewrite
from sim import VerifyOptions, load_cascade, verify
from sim.commands.rewrite import write_cascade
from sim.functional.bounds import error_bounds
from sim.functional.comparisons import started
from sim.functional.machine import Arithmetic, execute
from sim.functional.precision import PRECISIONS
from sim.functional.program import program_of_cascade


def written(inputs: dict[str, list[str]], text: str, **more: Any) -> Cascade:
    ranks = dict.fromkeys(dict.fromkeys(rank for tensor in inputs.values() for rank in tensor), "")
    data = {"name": "written", "ranks": ranks, "inputs": inputs, "outputs": ["Y"], "einsums": text}
    return Cascade.model_validate(data | more)


# --- initial values -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("precision", "value", "held"),
    [
        ("fp64", -1e300, -1e300),
        ("fp32", -1e300, -(2 - 2**-23) * 2.0**127),
        ("bf16", -1e300, -(2 - 2**-23) * 2.0**127),  # running values are accumulators
        ("bf16-running", -1e300, -(2 - 2**-7) * 2.0**127),
        ("fp16-running", 1e300, 65504.0),
        ("fp16-running", -np.inf, -np.inf),
        ("fp32", 0.1, float(np.float32(0.1))),
        ("fp16-running", 0.1, float(np.float16(0.1))),
    ],
)
def test_initial_value_is_a_number_of_the_precision(precision: str, value: float, held: float) -> None:
    assert PRECISIONS[precision].start(value) == held
    cascade = written({"A": ["K"]}, "R[k+1] = R[k] + A[k]; Y[] = R[K]", init={"R": value})
    program = program_of_cascade(cascade, {"K": 3})
    found = execute(program, {"A": np.zeros(3)}, Arithmetic(PRECISIONS[precision]))
    assert found["R"][0] == held == started(cascade, PRECISIONS[precision]).initial_value("R")


@pytest.mark.parametrize("precisions", [("fp64", "fp32"), ("bf16", "fp16-running")], ids=str)
def test_derived_attention_is_verified_against_what_it_was_derived_from(tmp_path: Path, precisions: Any) -> None:
    path = tmp_path / "derived.yaml"
    write_cascade(rewrite(load_cascade("attention-3pass"), 1).cascade, path)
    found = verify(load_cascade(str(path)), VerifyOptions(precisions, against="attention-3pass"))
    assert not found.failures, found.failures[0]
    assert any(row.subject.against == "attention-3pass" for _, rows in found.comparisons for row in rows)


@pytest.mark.parametrize("precision", ["fp64", "fp32", "bf16", "fp16", "fp16-running", "bf16-running"])
@pytest.mark.parametrize("masked", [3, 8, 13])
def test_masked_first_tiles_are_no_nan_in_any_precision(precision: str, masked: int) -> None:
    """Tiles of 4 of which the first are -inf in whole: the weight of what is masked is 0, and the rest as ever."""
    derived = rewrite(load_cascade("attention-3pass"), 1).cascade
    sizes = {"B": 1, "H": 1, "E": 2, "F": 3, "M": 14, "P": 2, "M0": 4}
    rng = np.random.default_rng(masked)
    q, k, v = np.abs(rng.normal(size=(1, 1, 2, 2))), rng.normal(size=(1, 1, 2, 14)), rng.normal(size=(1, 1, 3, 14))
    k[..., :masked] = -np.inf
    found = execute(program_of_cascade(derived, sizes), {"Q": q, "K": k, "V": v}, Arithmetic(PRECISIONS[precision]))
    scores = np.einsum("ep,em->mp", q[0, 0], k[0, 0])
    weights = np.exp(scores - scores.max(axis=0))
    expected = v[0, 0] @ (weights / weights.sum(axis=0))
    np.testing.assert_allclose(found["AV"][0, 0], expected, atol=64 * PRECISIONS[precision].unit)


# --- products and means below the smallest number ---------------------------------------------------------------------
@pytest.mark.parametrize("scale", ["50", "0.2", "1e9"])
@pytest.mark.parametrize("reducer", ["prod", "mean"])
def test_products_and_means_that_leave_the_range_are_within_their_bound(reducer: str, scale: str) -> None:
    small = "1e44" if reducer == "mean" else scale
    cascade = written({"A": ["M", "P"]}, f"Y[p] = A[m,p] / {small} :: {reducer}(m)")
    found = verify(cascade, VerifyOptions(("fp64", "fp32", "bf16")))
    assert not found.failures, found.failures[0]


def test_bound_of_a_product_by_hand() -> None:
    """1e-30 * 1e-30 is 0 in fp32, and stays 0 times 1e40: off by 1e-20, which a relative bound would not allow."""
    cascade = written({"A": ["M"], "B": []}, "Y[] = A[m] * B[] :: prod(m)")
    words = {"A": np.array([1e-30, 1e-30, 1e20, 1e20], dtype=np.float32).astype(np.float64), "B": np.array(1.0)}
    program = program_of_cascade(cascade, {"M": 4})
    computed = execute(program, words, Arithmetic(PRECISIONS["fp32"]))["Y"]
    assert computed == 0
    exact = float(np.prod(words["A"]))
    assert exact == pytest.approx(1e-20, rel=1e-6)
    bound = float(error_bounds(program, {**words, "Y": np.array(exact)}, PRECISIONS["fp32"])["Y"])
    smallest = 2.0**-149
    # of four products each may lose the smallest number, and what follows makes 1e40 of it
    assert exact <= 4 * smallest * 1e40 <= bound <= 1.02 * 4 * smallest * 1e40 + 1e-6 * exact


def test_exact_zero_absorbs_what_is_unbounded() -> None:
    cascade = written({"A": ["M"]}, "Y[] = A[m] :: prod(m)")
    program = program_of_cascade(cascade, {"M": 3})
    words = {"A": np.array([1e30, 1e30, 0.0])}  # overflows in fp32 on the way
    assert execute(program, words, Arithmetic(PRECISIONS["fp32"]))["Y"] == 0
    assert error_bounds(program, {**words, "Y": np.array(0.0)}, PRECISIONS["fp32"])["Y"] == 0


# --- operands of different ranks ----------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "expression",
    [
        "A[m] and B[n]",
        "A[m] or not B[n]",
        "A[m] < B[n]",
        "select(A[m], B[n], 2)",
        "clamp(B[n], -1, A[m])",
        "2 ^ A[m] * B[n]",
    ],
)
def test_operands_of_different_ranks_are_verified(expression: str) -> None:
    found = verify(written({"A": ["M"], "B": ["N"]}, f"Y[m,n] = {expression}"), VerifyOptions(("fp64", "fp32")))
    assert not found.failures, found.failures[0]
