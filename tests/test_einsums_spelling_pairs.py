"""Functions of machine learning and statistics, each in several spellings: equal passes, equal cost, equal numbers."""

from collections import Counter
from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import pytest

from einsums import Cascade, count_passes, interpret, rewrite
from einsums.operators import OPERATOR_BY_NAME
from einsums.rewriting import Rewriting

X = {"X": ["D", "P"]}
XV = {**X, "V": ["F", "D"]}
XW = {**X, "W": ["S", "D"]}
XY = {**X, "Y": ["D", "P"]}
EPS: dict[str, list[str]] = {"EPS": []}
T: dict[str, list[str]] = {"T": []}
FINITE, POSITIVE = {"X": "finite"}, {"X": "positive"}

TOP = "GM[p] = X[d,p] :: max(d); "
EXP = TOP + "SN[d,p] = exp(X[d,p] - GM[p]); SD[p] = SN[d,p]; "
EXP_Y = "GY[p] = Y[d,p] :: max(d); TN[d,p] = exp(Y[d,p] - GY[p]); TD[p] = TN[d,p]; "
A = EXP + "A[d,p] = SN[d,p] / SD[p]; "
B = EXP_Y + "B[d,p] = TN[d,p] / TD[p]; "
L = A + "L[d,p] = log(A[d,p]); "
MEAN = "MU[p] = X[d,p] :: mean(d); "
MEANS = MEAN + "MY[p] = Y[d,p] :: mean(d); C[d,p] = X[d,p] - MU[p]; E[d,p] = Y[d,p] - MY[p]; "
SPREAD = MEAN + "C[d,p] = X[d,p] - MU[p]; V[p] = C[d,p]^2 :: mean(d); "
MOST = "AM[p] = abs(X[d,p]) :: max(d); "
RANGE = "LO[p] = X[d,p] :: min(d); HI[p] = X[d,p] :: max(d); R[p] = HI[p] - LO[p]; "
SQUARES = "S[p] = X[d,p] * X[d,p]; "
SQUARE_MEAN = "MS[p] = X[d,p] * X[d,p] :: mean(d); "
LAST = "SD[p] = SN[d,p]; O[f,p] = SN[d,p] / SD[p] * V[f,d]"


class Function(NamedTuple):
    """Spellings of a function of inputs, and the passes that one has to make."""

    inputs: dict[str, list[str]]
    texts: tuple[str, ...]
    domain: Mapping[str, str] = MappingProxyType({})
    passes: int = 1


FUNCTIONS = {
    # softmax and what is made of it
    "attention": Function(XV, (
        A + "O[f,p] = A[d,p] * V[f,d]",
        EXP + "N[f,p] = SN[d,p] * V[f,d]; R[p] = 1 / SD[p]; O[f,p] = N[f,p] * R[p]",
        TOP + "SN[d,p] = exp(X[d,p]) / exp(GM[p]); " + LAST,
        A + "S2[p] = A[d,p]; B[d,p] = A[d,p] / S2[p]; O[f,p] = B[d,p] * V[f,d]",
        "Z[d,p] = X[d,p] + 5; GM[p] = Z[d,p] :: max(d); SN[d,p] = exp(Z[d,p] - GM[p]); " + LAST,
    )),
    "temperature": Function({**XV, **T}, (
        TOP + "SN[d,p] = exp((X[d,p] - GM[p]) / T[]); " + LAST,
        "Z[d,p] = X[d,p] / T[]; GM[p] = Z[d,p] :: max(d); SN[d,p] = exp(Z[d,p] - GM[p]); " + LAST,
        TOP + "IT[] = 1 / T[]; SN[d,p] = exp((X[d,p] - GM[p]) * IT[]); " + LAST,
    ), {"T": "positive"}),
    "scaled scores": Function(XV, (
        TOP + "SN[d,p] = exp(0.125 * X[d,p] - 0.125 * GM[p]); " + LAST,
        TOP + "SN[d,p] = exp((X[d,p] - GM[p]) / 8); " + LAST,
        "Z[d,p] = X[d,p] * 0.125; GM[p] = Z[d,p] :: max(d); SN[d,p] = exp(Z[d,p] - GM[p]); " + LAST,
    )),
    "softcap": Function(XV, (
        "Z[d,p] = 30 * tanh(X[d,p] / 30); GM[p] = Z[d,p] :: max(d); SN[d,p] = exp(Z[d,p] - GM[p]); " + LAST,
        "U[d,p] = tanh(X[d,p] / 30); GM[p] = U[d,p] :: max(d); SN[d,p] = exp(30 * (U[d,p] - GM[p])); " + LAST,
    )),
    "sink": Function({**XV, "K": ["P"]}, (
        "GX[p] = X[d,p] :: max(d); GM[p] = max(GX[p], K[p]); SN[d,p] = exp(X[d,p] - GM[p]); SD[p] = SN[d,p]\n"
        "H[p] = SD[p] + exp(K[p] - GM[p]); O[f,p] = SN[d,p] / H[p] * V[f,d]",
        "GX[p] = X[d,p] :: max(d); GM[p] = max(K[p], GX[p]); SN[d,p] = exp(X[d,p] - GM[p]); SD[p] = SN[d,p]\n"
        "E[p] = exp(K[p] - GM[p]); R[p] = 1 / (E[p] + SD[p]); N[f,p] = SN[d,p] * V[f,d]; O[f,p] = N[f,p] * R[p]",
    ), {"K": "finite"}),
    "masked": Function({**XV, "B": ["D"]}, (
        TOP + "SN[d,p] = select(B[d], exp(X[d,p] - GM[p]), 0); " + LAST,
        TOP + "E[d,p] = exp(X[d,p] - GM[p]); SN[d,p] = select(B[d], E[d,p], 0); SD[p] = SN[d,p]\n"
        "A[d,p] = select(B[d], E[d,p] / SD[p], 0); O[f,p] = A[d,p] * V[f,d]",
    )),
    "weighted softmax": Function({**XV, "B": ["D"]}, (
        TOP + "SN[d,p] = B[d] * exp(X[d,p] - GM[p]); " + LAST,
        TOP + "E[d,p] = exp(X[d,p] - GM[p]); SD[p] = B[d] * E[d,p]; N[f,p] = V[f,d] * B[d] * E[d,p]; O[f,p] = N[f,p] / SD[p]",
    ), {"B": "non-negative"}),
    "least first": Function(XV, (
        "LO[p] = X[d,p] :: min(d); SN[d,p] = exp(LO[p] - X[d,p]); " + LAST,
        "Z[d,p] = -X[d,p]; GM[p] = Z[d,p] :: max(d); SN[d,p] = exp(Z[d,p] - GM[p]); " + LAST,
    )),
    "biased gates": Function(XV, (
        A + "O[f,p] = (A[d,p] + 0.5) * V[f,d]",
        A + "N[f,p] = A[d,p] * V[f,d]; S[f] = V[f,d]; O[f,p] = N[f,p] + 0.5 * S[f]",
    )),
    "largest gate": Function(X, (
        A + "O[p] = A[d,p] :: max(d)",
        EXP + "R[p] = 1 / SD[p]; A[d,p] = SN[d,p] * R[p]; O[p] = A[d,p] :: max(d)",
    )),
    "largest logarithm": Function(X, (L + "O[p] = L[d,p] :: max(d)", EXP + "R[p] = 1 / SD[p]; O[p] = log(R[p])")),
    "normalised to the largest": Function(X, (
        "E[d,p] = exp(X[d,p]); M[p] = E[d,p] :: max(d); A[d,p] = E[d,p] / M[p]; O[p] = A[d,p]",
        TOP + "O[p] = exp(X[d,p] - GM[p])",
    )),
    "softmax of logarithms": Function(XV, (
        "L[d,p] = log(X[d,p]); GM[p] = L[d,p] :: max(d); SN[d,p] = exp(L[d,p] - GM[p]); " + LAST,
        TOP + "SN[d,p] = X[d,p] / GM[p]; " + LAST,
    ), POSITIVE),
    "collision": Function(X, (A + "O[p] = A[d,p]^2", EXP + "Q[p] = SN[d,p] * SN[d,p]; O[p] = Q[p] / (SD[p] * SD[p])")),
    "Renyi entropy": Function(X, (
        A + "Q[p] = A[d,p]^2; O[p] = -log(Q[p])",
        EXP + "Q[p] = SN[d,p]^2; S[p] = log(SD[p]); O[p] = 2 * S[p] - log(Q[p])",
    )),
    "gradient of a softmax": Function(XY, (
        A + "S[p] = A[d,p] * Y[d,p]; O[p] = A[d,p] * (Y[d,p] - S[p]) * X[d,p]",
        A + "S[p] = A[d,p] * Y[d,p]; U[p] = A[d,p] * Y[d,p] * X[d,p]; Z[p] = A[d,p] * X[d,p]; O[p] = U[p] - S[p] * Z[p]",
    )),
    "product of exponentials": Function(XY, (
        "GX[p] = X[d,p] :: max(d); GY[p] = Y[d,p] :: max(d); O[p] = exp(X[d,p] - GX[p]) * exp(Y[d,p] - GY[p])",
        "GX[p] = X[d,p] :: max(d); GY[p] = Y[d,p] :: max(d); O[p] = exp(X[d,p] + Y[d,p] - (GX[p] + GY[p]))",
    )),
    "affinity of two softmaxes": Function(XY, (A + B + "O[p] = sqrt(A[d,p]) * sqrt(B[d,p])", A + B + "O[p] = sqrt(A[d,p] * B[d,p])")),
    # losses
    "logsumexp": Function(X, (
        EXP + "O[p] = GM[p] + log(SD[p])",
        TOP + "SN[d,p] = exp(X[d,p]) * exp(-GM[p]); SD[p] = SN[d,p]; O[p] = log(SD[p]) + GM[p]",
    ), FINITE),
    "log of the mean exponential": Function(X, (
        EXP + "N[] = select(X[d,0], 1, 1); O[p] = GM[p] + log(SD[p] / N[])",
        EXP + "N[] = select(X[d,0], 1, 1); O[p] = GM[p] + log(SD[p]) - log(N[])",
    )),
    "free energy": Function({**X, **T}, (
        TOP + "SN[d,p] = exp((X[d,p] - GM[p]) / T[]); SD[p] = SN[d,p]; O[p] = GM[p] + T[] * log(SD[p])",
        "Z[d,p] = X[d,p] / T[]; GM[p] = Z[d,p] :: max(d); SN[d,p] = exp(Z[d,p] - GM[p]); SD[p] = SN[d,p]\n"
        "O[p] = T[] * (GM[p] + log(SD[p]))",
    ), {"T": "positive"}),
    "entropy": Function(X, (
        A + "O[p] = -A[d,p] * log(A[d,p])",
        EXP + "E[p] = SN[d,p] * X[d,p]; O[p] = log(SD[p]) + GM[p] - E[p] / SD[p]",
        A + "E[p] = A[d,p] * X[d,p]; S[p] = GM[p] + log(SD[p]); O[p] = S[p] - E[p]",
    )),
    "entropy in bits": Function(X, (A + "O[p] = -A[d,p] * log2(A[d,p])", A + "H[p] = A[d,p] * log(A[d,p]); O[p] = -H[p] / 0.6931471805599453")),
    "perplexity": Function(X, (
        A + "H[p] = -A[d,p] * log(A[d,p]); O[p] = exp(H[p])",
        EXP + "C[d,p] = X[d,p] - GM[p]; E[p] = SN[d,p] * C[d,p]; O[p] = SD[p] * exp(-E[p] / SD[p])",
    )),
    "divergence of two softmaxes": Function(XY, (
        A + B + "O[p] = A[d,p] * log(A[d,p] / B[d,p])",
        A + B + "H[p] = A[d,p] * log(A[d,p]); C[p] = A[d,p] * log(B[d,p]); O[p] = H[p] - C[p]",
    )),
    "cross-entropy of two softmaxes": Function(XY, (
        A + EXP_Y + "M[d,p] = Y[d,p] - GY[p] - log(TD[p]); O[p] = -A[d,p] * M[d,p]",
        EXP + EXP_Y + "E[p] = SN[d,p] * Y[d,p]; O[p] = log(TD[p]) + GY[p] - E[p] / SD[p]",
    )),
    "divergence from a target": Function(XY, (
        A + "O[p] = Y[d,p] * log(Y[d,p] / A[d,p])",
        A + "H[p] = Y[d,p] * log(Y[d,p]); C[p] = Y[d,p] * log(A[d,p]); O[p] = H[p] - C[p]",
    ), {"Y": "positive"}),
    "label smoothing": Function(XY, (
        A + "U[d,p] = 0.9 * Y[d,p] + 0.1; O[p] = -U[d,p] * log(A[d,p])",
        L + "N[p] = Y[d,p] * L[d,p]; S[p] = L[d,p]; O[p] = -0.9 * N[p] - 0.1 * S[p]",
    )),
    "z-loss": Function(XY, (
        EXP + "LS[p] = GM[p] + log(SD[p]); C[p] = Y[d,p] * (X[d,p] - LS[p]); O[p] = LS[p] * LS[p] * 0.0001 - C[p]",
        EXP + "LS[p] = log(SD[p]) + GM[p]; C[p] = Y[d,p] * (LS[p] - X[d,p]); O[p] = C[p] + 0.0001 * LS[p]^2",
    )),
    # norms
    "root mean square, gain": Function({**XW, **EPS, "G": ["D"]}, (
        SQUARE_MEAN + "R[p] = rsqrt(MS[p] + EPS[]); O[s,p] = W[s,d] * (X[d,p] * R[p] * G[d])",
        SQUARE_MEAN + "R[p] = sqrt(MS[p] + EPS[]); N[d,p] = X[d,p] / R[p]; Y[d,p] = N[d,p] * G[d]; O[s,p] = Y[d,p] * W[s,d]",
        SQUARE_MEAN + "R[p] = 1 / sqrt(MS[p] + EPS[]); N[d,p] = G[d] * X[d,p]; O[s,p] = W[s,d] * N[d,p] * R[p]",
    )),
    "layer norm, gain and bias": Function({**XW, **EPS, "G": ["D"], "BE": ["D"]}, (
        SPREAD + "Y[d,p] = C[d,p] * rsqrt(V[p] + EPS[]) * G[d] + BE[d]; O[s,p] = W[s,d] * Y[d,p]",
        SPREAD + "R[p] = rsqrt(V[p] + EPS[]); N[s,p] = W[s,d] * G[d] * C[d,p]; K[s] = W[s,d] * BE[d]; O[s,p] = R[p] * N[s,p] + K[s]",
    )),
    "layer norm, scaled apart": Function({**XW, **EPS}, (
        SPREAD + "O[s,p] = C[d,p] * rsqrt(V[p] + EPS[]) * W[s,d]",
        SPREAD + "SG[p] = 1 / sqrt(V[p] + EPS[]); N[d,p] = X[d,p] * SG[p] - MU[p] * SG[p]; O[s,p] = N[d,p] * W[s,d]",
    )),
    "range": Function(XW, (
        RANGE + "O[s,p] = (X[d,p] - LO[p]) / R[p] * W[s,d]",
        RANGE + "LR[p] = LO[p] / R[p]; Y[d,p] = X[d,p] / R[p] - LR[p]; O[s,p] = Y[d,p] * W[s,d]",
    ), FINITE),
    "cosine": Function(XY, (
        SQUARES + "Q[p] = Y[d,p] * Y[d,p]; O[p] = X[d,p] * rsqrt(S[p]) * Y[d,p] * rsqrt(Q[p])",
        SQUARES + "Q[p] = Y[d,p] * Y[d,p]; C[p] = X[d,p] * Y[d,p]; M[p] = sqrt(S[p]); N[p] = sqrt(Q[p]); O[p] = C[p] / (M[p] * N[p])",
    )),
    "correlation": Function(XY, (
        MEANS + "VX[p] = C[d,p]^2; VY[p] = E[d,p]^2; O[p] = C[d,p] * E[d,p] * rsqrt(VX[p]) * rsqrt(VY[p])",
        MEANS + "VX[p] = C[d,p]^2; VY[p] = E[d,p]^2; N[p] = C[d,p] * E[d,p]; O[p] = N[p] / sqrt(VX[p] * VY[p])",
    )),
    "skewness": Function(X, (
        SPREAD + "Q[p] = C[d,p]^3 :: mean(d); O[p] = Q[p] / V[p]^1.5",
        SPREAD + "S[p] = sqrt(V[p]); Z[d,p] = C[d,p] / S[p]; O[p] = Z[d,p]^3 :: mean(d)",
    )),
    "kurtosis": Function(X, (
        SPREAD + "Q[p] = C[d,p]^4 :: mean(d); O[p] = Q[p] / V[p]^2",
        SPREAD + "Z[d,p] = C[d,p] * C[d,p] / V[p]; O[p] = Z[d,p]^2 :: mean(d)",
    )),
    "magnitudes over a root": Function(XW, (
        "S[p] = abs(X[d,p])^3; N[p] = S[p]^0.3333333333333333; O[s,p] = X[d,p] / N[p] * W[s,d]",
        "M[d,p] = max(X[d,p], -X[d,p]); S[p] = M[d,p] * M[d,p] * M[d,p]; Z[s,p] = X[d,p] * W[s,d]\n"
        "N[p] = exp(0.3333333333333333 * log(S[p])); O[s,p] = Z[s,p] / N[p]",
    ), FINITE),
    "scale by the largest magnitude": Function(XW, (
        MOST + "Q[d,p] = X[d,p] * 127 / AM[p]; O[s,p] = Q[d,p] * W[s,d]",
        MOST + "Q[d,p] = X[d,p] / AM[p]; Z[s,p] = Q[d,p] * W[s,d]; O[s,p] = Z[s,p] * 127",
        MOST + "Z[s,p] = X[d,p] * W[s,d]; SC[p] = 127 / AM[p]; O[s,p] = SC[p] * Z[s,p]",
    ), FINITE),
    # means
    "weighted mean": Function(XY, (
        "S[p] = Y[d,p]; O[p] = X[d,p] * (Y[d,p] / S[p])",
        "S[p] = Y[d,p]; R[p] = 1 / S[p]; N[p] = X[d,p] * Y[d,p]; O[p] = R[p] * N[p]",
    ), {"Y": "positive"}),
    "variance under weights": Function(XY, (
        "S[p] = Y[d,p]; M[p] = X[d,p] * (Y[d,p] / S[p]); O[p] = Y[d,p] / S[p] * (X[d,p] - M[p])^2",
        "S[p] = Y[d,p]; N[p] = X[d,p] * Y[d,p]; M[p] = N[p] / S[p]; C[d,p] = M[p] - X[d,p]; Q[p] = Y[d,p] * C[d,p] * C[d,p]; O[p] = Q[p] / S[p]",
    ), {"Y": "positive"}),
    "geometric mean": Function(XY, (
        "M[p] = log(X[d,p]) :: mean(d); G[p] = exp(M[p]); O[p] = X[d,p] / G[p] * Y[d,p]",
        "M[p] = log(X[d,p]) :: mean(d); G[p] = exp(-M[p]); N[p] = X[d,p] * Y[d,p]; O[p] = N[p] * G[p]",
        "M[p] = log(X[d,p]) :: mean(d); O[p] = exp(log(X[d,p]) - M[p]) * Y[d,p]",
    ), POSITIVE),
    "harmonic mean": Function(XY, (
        "S[p] = 1 / X[d,p] :: mean(d); H[p] = 1 / S[p]; O[p] = Y[d,p] * H[p]",
        "S[p] = X[d,p]^-1 :: mean(d); U[p] = Y[d,p]; O[p] = U[p] / S[p]",
    ), POSITIVE),
    "logarithm of shares": Function(XY, (
        "S[p] = X[d,p]; O[p] = Y[d,p] * log(X[d,p] / S[p])",
        "S[p] = X[d,p]; M[p] = log(S[p]); N[p] = Y[d,p] * log(X[d,p]); U[p] = Y[d,p]; O[p] = N[p] - M[p] * U[p]",
    ), POSITIVE),
    "polynomial of a sum": Function(XW, (
        "S[p] = X[d,p]; O[s,p] = S[p] * (S[p] + 1) * X[d,p] * W[s,d]",
        "S[p] = X[d,p]; O[s,p] = S[p]^2 * X[d,p] * W[s,d] + S[p] * X[d,p] * W[s,d]",
    )),
    "gates over their sum": Function(XV, (
        "S[p] = sigmoid(X[d,p]); O[f,p] = sigmoid(X[d,p]) * V[f,d] / S[p]",
        "G[d,p] = sigmoid(X[d,p]); S[p] = G[d,p]; N[f,p] = G[d,p] * V[f,d]; R[p] = 1 / S[p]; O[f,p] = N[f,p] * R[p]",
    )),
    # what stays: a rounding inside a sum, a magnitude of a difference
    "rounded scores": Function(XW, (
        MOST + "Q[d,p] = round(X[d,p] / AM[p] * 127); O[s,p] = Q[d,p] * W[s,d]",
        MOST + "SC[p] = 127 / AM[p]; Q[d,p] = round(X[d,p] * SC[p]); O[s,p] = Q[d,p] * W[s,d]",
    ), FINITE, 2),
    "absolute deviation": Function(X, (MEAN + "O[p] = abs(X[d,p] - MU[p]) :: mean(d)", MEAN + "O[p] = abs(MU[p] - X[d,p]) :: mean(d)"), {}, 2),
}  # fmt: skip


def written(function: Function, text: str) -> Cascade:
    ranks = dict.fromkeys(dict.fromkeys(rank for tensor in function.inputs.values() for rank in tensor), "")
    data: dict[str, Any] = {"name": "written", "ranks": ranks, "inputs": function.inputs, "outputs": ["O"]}
    return Cascade.model_validate(data | {"einsums": text, "domain": dict(function.domain)})


@cache
def derived(what: str) -> tuple[Rewriting, ...]:
    """Every spelling, rewritten once."""
    return tuple(rewrite(written(FUNCTIONS[what], text), 1, "D") for text in FUNCTIONS[what].texts)


def cost(found: Rewriting) -> Counter[str]:
    """Operations by class at the reference sizes."""
    counts: Counter[str] = Counter()
    for row in found.operations:
        known = OPERATOR_BY_NAME.get(row.operator)
        counts[known.cost_class if known else "add"] += row.after  # a mean is a sum
    return +counts


@pytest.mark.parametrize("what", FUNCTIONS)
def test_spellings_take_equal_passes_at_equal_cost(what: str) -> None:
    found = derived(what)
    passes = FUNCTIONS[what].passes
    assert [one.passes for one in found] == [passes] * len(found), [one.refusals for one in found]
    assert all(count_passes(one.cascade, "D") == passes for one in found)
    assert all(step.comparison.is_equal for one in found for step in one.steps)
    if passes == 1:
        assert all(cost(one) == cost(found[0]) for one in found), [cost(one) for one in found]
    else:
        assert all(one.cascade is one.original for one in found)
        assert all("neither exp nor a power" in one.refusals[-1].reason for one in found)


@pytest.mark.parametrize("what", FUNCTIONS)
def test_derived_spellings_compute_what_the_first_one_says(what: str) -> None:
    """Outside the rewriter's own check: other sizes, ordinary and large numbers, and masked ones where admitted."""
    function = FUNCTIONS[what]
    original = written(function, function.texts[0])
    for seed, scale in ((1, 1.0), (2, 20.0)):
        inputs = drawn(function, seed, scale)
        expected = interpret(original, inputs)["O"]
        assert np.isfinite(expected).all()
        for found in derived(what):
            for tile in (3, 29) if found.cascade.partitions else (0,):
                sizes = {"D0": tile} if tile else {}
                result = interpret(found.cascade, inputs, sizes)["O"]
                np.testing.assert_allclose(result, expected, rtol=1e-8, atol=1e-9 * float(np.abs(expected).max()))


def test_what_is_rounded_keeps_its_last_digit() -> None:
    """AM / 127 is not AM * (1/127): where X / SC lies half-way between two integers, rounding would tell them apart."""
    text = MOST + "SC[p] = AM[p] / 127; Q[d,p] = round(X[d,p] / SC[p]); " + A + "O[f,p] = A[d,p] * V[f,d] * Q[d,p]"
    ranks = dict.fromkeys("DPF", "")
    data: dict[str, Any] = {"name": "written", "ranks": ranks, "inputs": XV, "outputs": ["O", "Q"], "einsums": text}
    original = Cascade.model_validate(data | {"domain": FINITE})
    found = rewrite(original, 1, "D")
    assert found.passes < found.passes_before
    rng = np.random.default_rng(7)
    most = np.abs(rng.normal(size=400)) + 1
    x = np.stack([most, most / 2, -most / 2, most * (0.5 / 127), most * (2.5 / 127)])  # 63.5, 0.5 and 2.5 steps
    inputs = {"X": x, "V": rng.normal(size=(2, 5))}
    sizes = {"D0": 2} if found.cascade.partitions else {}
    np.testing.assert_array_equal(interpret(found.cascade, inputs, sizes)["Q"], interpret(original, inputs)["Q"])


def test_what_is_reached_takes_fewer_operations_if_it_can() -> None:
    """The same passes: no pass is to be saved, but an inverse and a product are one division."""
    text = "S[p] = Y[d,p]; R[p] = 1 / S[p]; N[p] = X[d,p] * Y[d,p]; O[p] = R[p] * N[p]"
    found = rewrite(written(Function(XY, (text,), {"Y": "positive"}), text), 1, "D")
    assert (found.passes_before, found.passes) == (1, 1)
    assert str(found.cascade.einsum("O")) == "O[p] = N[p] / S[p]"
    assert rewrite(found.cascade, 1, "D").cascade is found.cascade


def test_underflow_of_the_original_is_not_held_against_a_derivation() -> None:
    """exp(x) / exp(g) is 0 / 0 = 0 for x = g = -1000, where the derived cascade gives 1; both are 1 for x = g = -10."""
    found = derived("normalised to the largest")[0]
    for x, expected in ((-10.0, 0.0), (-1000.0, 4.0)):
        inputs = {"X": np.full((4, 1), x)}
        first, last = (
            interpret(one, inputs, sizes)["O"] for one, sizes in ((found.original, {}), (found.cascade, {"D0": 2}))
        )
        assert last == 4.0 and abs(first - last) == expected


def drawn(function: Function, seed: int, scale: float) -> dict[str, np.ndarray]:
    """Inputs inside their domains; the first scores are -inf if they may be and their softmax is taken."""
    rng = np.random.default_rng(seed)
    sizes = {"D": 29, "P": 3, "F": 2, "S": 2}
    inputs = {}
    for name, ranks in function.inputs.items():
        value = np.asarray(rng.normal(size=tuple(sizes[rank] for rank in ranks)))
        if function.domain.get(name) in ("positive", "non-negative") or not ranks:
            value = np.abs(value) + 0.1
        inputs[name] = value * (scale if name == "X" and "X" not in function.domain else 1.0)
    if is_masked(function):
        inputs["X"][:4] = -np.inf
    return inputs


def is_masked(function: Function) -> bool:
    text = function.texts[0]
    is_softmax = text.startswith(EXP) and function.inputs == XV and "log" not in text
    return is_softmax and "X" not in function.domain
