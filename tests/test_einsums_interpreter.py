"""The interpreter against formulas written out and against point-by-point evaluation."""

import itertools
import math
from typing import Any

import numpy as np
import pytest

from einsums import Cascade, interpret


def cascade_of(einsums: str, **keys: Any) -> Cascade:
    base: dict[str, Any] = {"name": "small", "outputs": ["Y"], "einsums": einsums}
    return Cascade.model_validate(base | keys)


def pointwise(expression: str, *arrays: np.ndarray) -> np.ndarray:
    """Y[k] of an expression in A[k], B[k], C[k]."""
    names = "ABC"[: len(arrays)]
    cascade = cascade_of(f"Y[k] = {expression}", ranks={"K": ""}, inputs={name: ["K"] for name in names})
    return interpret(cascade, dict(zip(names, arrays, strict=True)))["Y"]


X = np.array([-2.5, -1.0, -0.5, 0.0, 0.5, 1.5, 3.0])
Z = np.array([2.0, -1.0, 0.25, 1.0, 4.0, 1.5, -3.0])


@pytest.mark.parametrize(
    ("expression", "meaning"),
    [
        ("A[k] + B[k]", lambda a, b: a + b),
        ("A[k] - B[k]", lambda a, b: a - b),
        ("A[k] * B[k]", lambda a, b: a * b),
        ("A[k] / B[k]", lambda a, b: a / b),
        ("abs(B[k]) ^ A[k]", lambda a, b: abs(b) ** a),
        ("-A[k] + 0 * B[k]", lambda a, b: -a),
        ("max(A[k], B[k])", max),
        ("min(A[k], B[k])", min),
        ("clamp(A[k], -1, B[k])", lambda a, b: min(max(a, -1.0), b)),
        ("select(A[k] >= 0.5, A[k], B[k])", lambda a, b: a if a >= 0.5 else b),
        ("A[k] < B[k]", lambda a, b: float(a < b)),
        ("A[k] <= B[k]", lambda a, b: float(a <= b)),
        ("A[k] > B[k]", lambda a, b: float(a > b)),
        ("A[k] == B[k]", lambda a, b: float(a == b)),
        ("A[k] != B[k]", lambda a, b: float(a != b)),
        ("A[k] and B[k]", lambda a, b: float(a != 0 and b != 0)),
        ("A[k] > 0 or B[k] > 0", lambda a, b: float(a > 0 or b > 0)),
        ("not A[k] * B[k]", lambda a, b: float(a * b == 0)),
        ("exp(A[k]) + 0 * B[k]", lambda a, b: math.exp(a)),
        ("log(abs(B[k])) + 0 * A[k]", lambda a, b: math.log(abs(b))),
        ("log2(abs(B[k])) + 0 * A[k]", lambda a, b: math.log2(abs(b))),
        ("sqrt(abs(A[k])) + 0 * B[k]", lambda a, b: math.sqrt(abs(a))),
        ("rsqrt(abs(B[k])) + 0 * A[k]", lambda a, b: 1 / math.sqrt(abs(b))),
        ("sign(A[k]) + 0 * B[k]", lambda a, b: math.copysign(1.0, a) if a else 0.0),
        ("relu(A[k]) + 0 * B[k]", lambda a, b: max(a, 0.0)),
        ("gelu(A[k]) + 0 * B[k]", lambda a, b: a * 0.5 * math.erfc(-a / math.sqrt(2))),
        ("silu(A[k]) + 0 * B[k]", lambda a, b: a / (1 + math.exp(-a))),
        ("sigmoid(A[k]) + 0 * B[k]", lambda a, b: 1 / (1 + math.exp(-a))),
        ("softplus(A[k]) + 0 * B[k]", lambda a, b: math.log1p(math.exp(a))),
        ("tanh(A[k]) + 0 * B[k]", lambda a, b: math.tanh(a)),
        ("cos(A[k]) * sin(B[k])", lambda a, b: math.cos(a) * math.sin(b)),
        ("round(A[k]) + 0 * B[k]", lambda a, b: float(round(a))),
        ("floor(A[k]) - ceil(B[k])", lambda a, b: math.floor(a) - math.ceil(b)),
    ],
)
def test_operators_mean_what_they_say(expression: str, meaning: Any) -> None:
    expected = [meaning(a, b) for a, b in zip(X, Z, strict=True)]
    np.testing.assert_allclose(pointwise(expression, X, Z), expected, rtol=1e-14, atol=1e-15)


@pytest.mark.parametrize(
    ("keyword", "meaning"),
    [
        ("sum", lambda values: sum(values)),
        ("mean", lambda values: sum(values) / len(values)),
        ("prod", math.prod),
        ("max", max),
        ("min", min),
        ("any", lambda values: float(any(value != 0 for value in values))),
    ],
)
@pytest.mark.parametrize("tile", [1, 2, 3, 5, 8])
def test_reducers_over_whole_and_ragged_ranks(keyword: str, meaning: Any, tile: int) -> None:
    """Values are positive, then negative, so that a wrong identity beyond the end would show in max or min."""
    rng = np.random.default_rng(tile)
    for shift in (-5.0, 0.0, 5.0):
        a = rng.uniform(0.5, 2.0, size=(2, 5)) + shift
        cascade = cascade_of(
            f"Y[p] = A[p, m1*M0+m0] :: {keyword}(m1,m0)",
            ranks={"P": "", "M": ""},
            partition={"M": ["M1", "M0"]},
            inputs={"A": ["P", "M"]},
        )
        result = interpret(cascade, {"A": a}, {"M0": tile})["Y"]
        np.testing.assert_allclose(result, [meaning(list(row)) for row in a], rtol=1e-13)


def test_reduction_of_one_part_sees_only_what_exists() -> None:
    cascade = cascade_of(
        "S[m1] = A[m1*M0+m0] :: mean(m0); T[m1,m0] = A[m1*M0+m0] - S[m1]; Y[] = T[m1,m0] * T[m1,m0]",
        ranks={"M": ""},
        partition={"M": ["M1", "M0"]},
        inputs={"A": ["M"]},
    )
    a = np.array([1.0, 3.0, 10.0, 20.0, 7.0])
    result = interpret(cascade, {"A": a}, {"M0": 2})
    np.testing.assert_allclose(result["S"], [2.0, 15.0, 7.0])
    np.testing.assert_array_equal(np.isnan(result["T"]), [[False, False], [False, False], [False, True]])
    assert result["Y"] == pytest.approx(1 + 1 + 25 + 25)


def test_three_levels_with_an_iteration_inside_a_ragged_tile() -> None:
    """A running sum over m1 within each m2; the last m2 has fewer steps, and passes its value on."""
    cascade = cascade_of(
        "S[m2,m1] = A[m2*M1*M0+m1*M0+m0]; R[m2,m1+1] = R[m2,m1] + S[m2,m1]; Y[] = R[m2,M1]",
        ranks={"M": ""},
        partition={"M": ["M2", "M1", "M0"]},
        inputs={"A": ["M"]},
        init={"R": 0},
    )
    a = np.arange(1.0, 15.0)
    result = interpret(cascade, {"A": a}, {"M1": 3, "M0": 2})
    assert result["R"].shape == (3, 4)
    np.testing.assert_allclose(result["R"][2], [0, 13 + 14, 27, 27])
    assert result["Y"] == a.sum()


@pytest.mark.parametrize("seed", range(4))
def test_strided_convolution_with_constant_index(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, f, bias = rng.normal(size=(3, 9)), rng.normal(size=(2, 3, 3)), rng.normal(size=(4, 2))
    cascade = cascade_of(
        "Z[o,h] = X[c, 2*h+r] * F[o,c,r]; Y[o,h] = Z[o,h] + G[3,o]",
        ranks={"W": "", "H": "", "R": "", "C": "", "O": "", "N": ""},
        inputs={"X": ["C", "W"], "F": ["O", "C", "R"], "G": ["N", "O"]},
    )
    result = interpret(cascade, {"X": x, "F": f, "G": bias}, {"H": 4})["Y"]
    expected = np.zeros((2, 4))
    for o, h, c, r in itertools.product(range(2), range(4), range(3), range(3)):
        expected[o, h] += x[c, 2 * h + r] * f[o, c, r]
    np.testing.assert_allclose(result, expected + bias[3][:, None], rtol=1e-12)


def test_recomposed_output_is_the_whole_rank() -> None:
    cascade = cascade_of(
        "X[m1*M0+m0] = A[m1*M0+m0] * 2; Y[] = X[m1*M0+m0] :: max(m1,m0)",
        ranks={"M": ""},
        partition={"M": ["M1", "M0"]},
        inputs={"A": ["M"]},
    )
    result = interpret(cascade, {"A": np.arange(7.0)}, {"M0": 3})
    np.testing.assert_array_equal(result["X"], 2 * np.arange(7.0))
    assert result["Y"] == 12


def test_coupled_recurrence_steps_together() -> None:
    """F and G feed each other through a tensor that is not iterative: Fibonacci numbers, scaled."""
    cascade = cascade_of(
        "T[k] = F[k] + G[k]; F[k+1] = G[k] * A[k]; G[k+1] = T[k] * A[k]; Y[] = G[K]",
        ranks={"K": ""},
        inputs={"A": ["K"]},
        init={"F": 0, "G": 1},
    )
    result = interpret(cascade, {"A": np.ones(10)})
    np.testing.assert_array_equal(result["G"], [1, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89])


def test_conventions_for_zero() -> None:
    zero, infinity, nan = np.array([0.0]), np.array([np.inf]), np.array([np.nan])
    assert pointwise("A[k] * B[k]", zero, infinity)[0] == 0
    assert pointwise("A[k] / B[k]", zero, zero)[0] == 0
    assert pointwise("A[k] / B[k]", np.array([-1.0]), zero)[0] == -np.inf
    assert np.isnan(pointwise("A[k] * B[k]", zero, nan)[0])
    assert np.isnan(pointwise("A[k] / B[k]", infinity, infinity)[0])


def test_the_contraction_keeps_the_conventions() -> None:
    """A sum of products goes through numpy's contraction, unless a factor is infinite."""
    cascade = cascade_of("Y[] = A[k] * B[k]", ranks={"K": ""}, inputs={"A": ["K"], "B": ["K"]})
    tensors = {"A": np.array([0.0, 2.0]), "B": np.array([np.inf, 3.0])}
    assert interpret(cascade, tensors)["Y"] == 6


@pytest.mark.parametrize("size", [1, 7, 8, 9])
def test_the_contraction_leaves_out_what_does_not_exist(size: int) -> None:
    """Sums of products over parts of a ragged rank, kept apart or together, with operands that are absent (NaN) there."""
    cascade = cascade_of(
        "S[k1,k0,n] = A[k1*K0+k0,n] * 2\n"
        "T[k1,m,n] = S[k1,k0,n] * B[m,k1*K0+k0]\n"
        "U[m,n] = S[k1,k0,n] * B[m,k1*K0+k0]\n"
        "V[k0,m,n] = S[k1,k0,n] * B[m,k1*K0+k0]\n"
        "Y[m,n] = T[k1,m,n] * D[n]",
        ranks={"K": "", "M": "", "N": ""},
        partition={"K": ["K1", "K0"]},
        inputs={"A": ["K", "N"], "B": ["M", "K"], "D": ["N"]},
        outputs=["Y", "U", "V"],
    )
    rng = np.random.default_rng(size)
    tiles = -(-size // 4)
    a, b, d = rng.normal(size=(size, 3)), rng.normal(size=(2, size)), rng.normal(size=3)
    found = interpret(cascade, {"A": a, "B": b, "D": d}, {"K0": 4})
    padded_a, padded_b = np.zeros((4 * tiles, 3)), np.zeros((2, 4 * tiles))
    padded_a[:size], padded_b[:, :size] = 2 * a, b
    by_tile = np.einsum("kcn,mkc->kmn", padded_a.reshape(tiles, 4, 3), padded_b.reshape(2, tiles, 4))
    np.testing.assert_allclose(found["T"], by_tile)
    np.testing.assert_allclose(found["U"], b @ (2 * a))
    np.testing.assert_allclose(found["Y"], by_tile.sum(axis=0) * d)
    within = np.einsum("kcn,mkc->cmn", padded_a.reshape(tiles, 4, 3), padded_b.reshape(2, tiles, 4))
    exists = np.arange(4) < size
    np.testing.assert_allclose(found["V"][exists], within[exists])
    assert np.isnan(found["V"][~exists]).all()


def test_unbatched_inputs_meet_batched_ones() -> None:
    cascade = cascade_of(
        "V[k] = W[k] * 2; Y[k] = A[k] * V[k]",
        ranks={"K": ""},
        batch=["B"],
        inputs={"A": ["K"], "W": ["K"]},
        unbatched=["W"],
    )
    a, w = np.arange(6.0).reshape(2, 3), np.array([1.0, 10.0, 100.0])
    result = interpret(cascade, {"A": a, "W": w})
    assert result["V"].shape == (3,)
    np.testing.assert_array_equal(result["Y"], 2 * a * w)


# --- refusals ---------------------------------------------------------------------------------------------------------
def product() -> Cascade:
    return cascade_of(
        "Y[p] = A[p, m1*M0+m0] * C[m1*M0+m0]",
        ranks={"P": "", "M": ""},
        partition={"M": ["M1", "M0"]},
        batch=["B"],
        inputs={"A": ["P", "M"], "C": ["M"]},
        unbatched=["C"],
    )


@pytest.mark.parametrize(
    ("changes", "sizes", "message"),
    [
        ({"D": (4,)}, {"M0": 2}, "small has no input 'D' (known: A, C)"),
        ({"A": None}, {"M0": 2}, "small needs the input A"),
        ({"A": (4,)}, {"M0": 2}, "input A needs batch axes and 2 axes (P, M), found 1"),
        ({"C": (1, 4)}, {"M0": 2}, "input C needs 1 axes (M), found 2"),
        ({"C": (5,)}, {"M0": 2}, "rank M is 4 in A but 5 in C"),
        ({}, {}, "small needs the size of M0"),
        ({}, {"M0": 2, "M": 8}, "rank M is 4 in A but 8 in the given sizes"),
        ({}, {"M0": 2, "B": 3}, "rank B is 2 in the batch axes but 3 in the given sizes"),
        ({}, {"M0": 0}, "the size of M0 must be an integer of at least 1, found 0"),
        ({"A": (2, 3, 0), "C": (0,)}, {"M0": 2}, "the size of M must be an integer of at least 1, found 0"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(changes: dict[str, Any], sizes: dict[str, int], message: str) -> None:
    shapes = {"A": (2, 3, 4), "C": (4,)} | changes
    tensors = {name: np.ones(shape) for name, shape in shapes.items() if shape is not None}
    with pytest.raises(ValueError) as caught:
        interpret(product(), tensors, sizes)
    assert str(caught.value) == message


def test_batch_axes_must_agree() -> None:
    cascade = cascade_of("Y[k] = A[k] * B[k]", ranks={"K": ""}, inputs={"A": ["K"], "B": ["K"]})
    with pytest.raises(ValueError) as caught:
        interpret(cascade, {"A": np.ones((2, 3)), "B": np.ones((4, 3))})
    assert str(caught.value) == "the batch axes of B are (4,), but those of A are (2,)"


# --- one meaning on every path ----------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("text", "tensors", "expected"),
    [
        # numpy adds B first, which overflows; each product by itself is 0, and the other row is infinite indeed
        ("Y[i] = A[i] * B[k]", {"A": [0.0, 1.0], "B": [1e308, 1e308]}, [0, np.inf]),
        ("Y[i] = A[i] * B[k]", {"A": [1e-10, 2.0], "B": [1e308, 5e307]}, [1.5e298, np.inf]),
        # left to right: inf * 0 is 0, and what has fallen below the smallest number stays 0
        ("Y[] = A[i] * B[i] * C[i]", {"A": [1e200], "B": [1e200], "C": [0.0]}, 0),
        ("Y[] = A[i] * B[i] * C[i]", {"A": [0.0], "B": [1e200], "C": [1e200]}, 0),
        ("Y[] = A[i] * B[i] * C[i]", {"A": [1e-200], "B": [1e-200], "C": [1e300]}, 0),
        ("Y[] = A[i] * (B[i] * C[i])", {"A": [1e-200], "B": [1e-200], "C": [1e300]}, 1e-100),
        ("Y[] = A[i] :: prod(i)", {"A": [0.0, np.inf]}, 0),
        ("Y[] = A[i] :: prod(i)", {"A": [1e200, 1e200, 0.0]}, 0),
        ("Y[] = A[i] :: prod(i)", {"A": [2.0, 3.0, -4.0]}, -24),
    ],
)
def test_arithmetic_keeps_its_rules_whatever_numpy_does(text: str, tensors: dict[str, Any], expected: Any) -> None:
    ranks = {rank: "" for rank in "IK" if f"[{rank.lower()}]" in text}
    inputs = {name: ["K" if f"{name}[k]" in text else "I"] for name in tensors}
    found = interpret(cascade_of(text, ranks=ranks, inputs=inputs), {name: np.array(v) for name, v in tensors.items()})
    np.testing.assert_allclose(found["Y"], expected, rtol=1e-14)


@pytest.mark.parametrize("values", ["A[i] * B[i] * C[i]", "(A[i] * B[i]) * C[i]"])
def test_product_and_sum_are_what_they_are_in_two_einsums(values: str) -> None:
    """Magnitudes from end to end of the range, zeros and infinities among them."""
    rng = np.random.default_rng(1)
    names = {"A": ["I"], "B": ["I"], "C": ["I"]}
    together = cascade_of(f"Y[] = {values}", ranks={"I": ""}, inputs=names)
    apart = cascade_of(f"P[i] = {values}; Y[] = P[i]", ranks={"I": ""}, inputs=names)
    for _ in range(50):
        tensors = {name: 10.0 ** rng.uniform(-300, 300, 6) * rng.choice([0.0, 1.0], 6, p=[0.2, 0.8]) for name in names}
        np.testing.assert_allclose(interpret(together, tensors)["Y"], interpret(apart, tensors)["Y"], rtol=1e-13)


@pytest.mark.parametrize(("value", "found"), [(1j, "complex128"), ("x", "str32"), (None, "object")])
def test_what_is_no_real_number_is_refused(value: Any, found: str) -> None:
    cascade = cascade_of("Y[k] = A[k]", ranks={"K": ""}, inputs={"A": ["K"]})
    with pytest.raises(ValueError) as caught:
        interpret(cascade, {"A": np.array([value, value])})
    assert str(caught.value) == f"input A must hold real numbers, found {found}"
    assert interpret(cascade, {"A": np.array([True, False])})["Y"].tolist() == [1, 0]
