"""The functional engine on cascades with names, conditions, edges, starts and nested iterations, against the interpreter:
equal in fp64 to rounding, and within its own bounds in narrow formats.
"""

from typing import Any

import numpy as np
import pytest

from einsums.extensions import beyond
from einsums.interpreter import interpret
from einsums.types import Cascade
from sim import load_cascade
from sim.functional.machine import Arithmetic, execute
from sim.functional.precision import PRECISIONS
from sim.functional.program import program_of_cascade
from sim.functional.sizes import sizes_of_cascade
from sim.functional.verification import VerifyOptions, verify
from sim.load.nouns import CATALOGS

FP64 = Arithmetic(PRECISIONS["fp64"])
THREE_PASSES = """
    S[m,p] = Q[e,p] * K[e,m] where CONDITION
    GM[p] = S[m,p] :: max(m)
    SN[m,p] = exp(S[m,p] - GM[p])
    SD[p] = SN[m,p]
    A[m,p] = SN[m,p] / SD[p]
    AV[f,p] = A[m,p] * V[f,m]
"""
ONE_PASS = """
    BQK[m1,m0,p] = Q[e,p] * K[e,m1*M0+m0] where CONDITION
    LM[m1,p] = BQK[m1,m0,p] :: max(m0)
    RM[m1+1,p] = max(RM[m1,p], LM[m1,p])
    SLN[m1,m0,p] = exp(BQK[m1,m0,p] - RM[m1+1,p])
    SLD[m1,p] = SLN[m1,m0,p]
    SLNV[f,m1,p] = SLN[m1,m0,p] * V[f,m1*M0+m0]
    PRM[m1,p] = exp(RM[m1,p] - RM[m1+1,p])
    SPD[m1,p] = RD[m1,p] * PRM[m1,p]
    RD[m1+1,p] = SLD[m1,p] + SPD[m1,p]
    SPNV[f,m1,p] = RNV[f,m1,p] * PRM[m1,p]
    RNV[f,m1+1,p] = SLNV[f,m1,p] + SPNV[f,m1,p]
    AV[f,p] = RNV[f,M1,p] / RD[M1,p]
"""


def attention(text: str, condition: str, **more: Any) -> Cascade:
    running = "RM" in text
    data = {
        "name": "masked", "ranks": dict.fromkeys("EFMP", ""), "batch": ["B"], "outputs": ["AV"],
        "inputs": {"Q": ["E", "P"], "K": ["E", "M"], "V": ["F", "M"], **more.pop("inputs", {})},
        "einsums": text.replace("CONDITION", condition.replace("m ", "(m1*M0+m0) ") if running else condition),
    }  # fmt: skip
    if running:
        data |= {"partition": {"M": ["M1", "M0"]}, "init": {"RM": "-inf", "RD": 0, "RNV": 0}}
    return Cascade.model_validate(data | more)


def softmax(q: np.ndarray, k: np.ndarray, v: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """numpy's own masked attention; rows without a point give 0. mask: [batch or 1, m, p]."""
    scores = np.where(mask, np.einsum("bep,bem->bmp", q, k), -np.inf)
    weights = np.where(mask, np.exp(scores - np.where(mask.any(1, keepdims=True), scores.max(1, keepdims=True), 0)), 0)
    total = weights.sum(1, keepdims=True)
    return np.einsum("bmp,bfm->bfp", np.divide(weights, total, out=np.zeros_like(weights), where=total > 0), v)


M, P = np.arange(37)[:, None], np.arange(23)[None]
MASKS = {
    "m <= p": M <= P,
    "m <= p + M - P": M <= P + 37 - 23,
    "m < p": M < P,  # the first row has no point
    "m <= p and m > p - 5": (M <= P) & (M > P - 5),
    "m < 3 or m <= p and m > p - 4": (M < 3) | (M <= P) & (M > P - 4),
    "m // 8 == p // 8": M // 8 == P // 8,
    "m % 3 == p % 3": M % 3 == P % 3,
    "m >= 20 and m <= p + 5": (M >= 20) & (M <= P + 5),  # no point in the first tiles
}
SIZES = {"B": 2, "E": 5, "F": 3, "M": 37, "P": 23}


def drawn(cascade: Cascade, seed: int = 1) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {t.name: rng.normal(size=(2, *(SIZES[r] for r in t.ranks))) for t in cascade.inputs if t.ranks}


@pytest.mark.parametrize("side_by_side", [True, False])
@pytest.mark.parametrize("text", [THREE_PASSES, ONE_PASS], ids=["three passes", "one pass"])
@pytest.mark.parametrize("condition", MASKS)
def test_masked_attention(text: str, condition: str, side_by_side: bool) -> None:
    cascade = attention(text, condition)
    inputs = drawn(cascade)
    program = program_of_cascade(cascade, SIZES | ({"M0": 8} if "RM" in text else {}))
    found = execute(program, inputs, FP64, side_by_side)
    expected = softmax(inputs["Q"], inputs["K"], inputs["V"], MASKS[condition][None])
    np.testing.assert_allclose(found["AV"], expected, rtol=1e-12, atol=1e-12)
    stated = interpret(cascade, inputs, {"M0": 8} if "RM" in text else {})
    for name, values in stated.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("text", [THREE_PASSES, ONE_PASS], ids=["three passes", "one pass"])
def test_ragged_rows(text: str) -> None:
    cascade = attention(text, "m < LEN[p]", inputs={"LEN": ["P"]}, domain={"LEN": "length(M)"})
    inputs = drawn(cascade)
    inputs["LEN"] = np.random.default_rng(3).integers(0, 38, (2, 23)).astype(float)
    found = execute(program_of_cascade(cascade, SIZES | ({"M0": 8} if "RM" in text else {})), inputs, FP64)
    mask = M[None] < inputs["LEN"][:, None]
    np.testing.assert_allclose(
        found["AV"], softmax(inputs["Q"], inputs["K"], inputs["V"], mask), rtol=1e-12, atol=1e-12
    )


@pytest.mark.parametrize("text", [THREE_PASSES, ONE_PASS], ids=["three passes", "one pass"])
@pytest.mark.parametrize("condition", ["m <= p", "m >= 20 and m <= p + 5"])
def test_narrow_formats_stay_within_their_bounds(text: str, condition: str) -> None:
    found = verify(attention(text, condition), VerifyOptions(precisions=("fp32", "bf16"), sizes=tuple(SIZES.items())))
    assert found.passes
    assert all(row.unbounded == 0 for precision, rows in found.comparisons if precision == "fp32" for row in rows)


SELF = {
    "name": "self", "ranks": {"D": "", "N": "", "M": {"same": "N"}, "E": ""}, "inputs": {"X": ["D", "N"], "W": ["D", "E"]},
    "unbatched": ["W"], "outputs": ["Y"],
    "einsums": "Q[e,n] = X[d,n] * W[d,e]\nS[m,n] = Q[e,n] * Q[e,m] where m <= n\nY[d,n] = S[m,n] * X[d,m]",
}  # fmt: skip
LAYERS = {
    "name": "layers", "ranks": {"D": "", "J": {"same": "D"}, "L": "", "T": ""}, "inputs": {"X": ["D"], "W": ["L", "T", "D", "J"]},
    "init": {"H": "X", "G": "H0"}, "outputs": ["Y"],
    "einsums": "H0[d] = X[d] + 1\nG[t+1,d] = G[t,j] * W0[t,d,j]\nH[l+1,d] = H[l,d] * 2\nY[d] = H[L,d] + G[T,d]",
}  # fmt: skip


def test_self_attention_from_one_tensor() -> None:
    cascade = Cascade.model_validate(SELF)
    rng = np.random.default_rng(2)
    inputs = {"X": rng.normal(size=(4, 9)), "W": rng.normal(size=(4, 3))}
    found = execute(program_of_cascade(cascade, {"D": 4, "N": 9, "E": 3}), inputs, FP64)
    q = inputs["W"].T @ inputs["X"]
    scores = np.where(np.arange(9)[:, None] <= np.arange(9), q.T @ q, 0)
    np.testing.assert_allclose(found["Y"], inputs["X"] @ scores, rtol=1e-12)
    assert verify(cascade, VerifyOptions(precisions=("fp32", "bf16"))).passes


def test_positions_and_edges() -> None:
    data = {
        "name": "edges", "ranks": {"N": "", "R": ""}, "inputs": {"X": ["N"], "W": ["R"]}, "outputs": ["Y", "Z"],
        "boundary": {"X": 0}, "einsums": "Y[n] = X[n+r-1] * W[r]\nZ[n] = Y[n] * pos(n) + pos(N)",
    }  # fmt: skip
    cascade = Cascade.model_validate(data)
    inputs = {"X": np.arange(1.0, 7), "W": np.array([1.0, 10, 100])}
    found = execute(program_of_cascade(cascade, {"N": 6, "R": 3}), inputs, FP64)
    padded = np.concatenate([[0], inputs["X"], [0]])
    expected = np.array([padded[n : n + 3] @ inputs["W"] for n in range(6)])
    np.testing.assert_array_equal(found["Y"], expected)
    np.testing.assert_array_equal(found["Z"], expected * np.arange(6) + 6)
    assert verify(cascade, VerifyOptions(precisions=("fp32",))).passes


@pytest.mark.parametrize("name", [name for name in CATALOGS["cascade"].names() if beyond(load_cascade(name))])
def test_shipped_cascades_verify(name: str) -> None:
    """On sizes that take a fraction of a second: long ranks odd, parts ragged."""
    cascade = load_cascade(name)
    small = {rank: min(size, 7) for rank, size in sizes_of_cascade(cascade, {}).items()}
    found = verify(cascade, VerifyOptions(precisions=("fp64", "fp32"), sizes=tuple(small.items())))
    assert found.passes, found.failures or found.empty_outputs
