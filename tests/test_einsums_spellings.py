"""One function in several spellings: does the rewriter reach the same passes at the same cost, and say why where it cannot?"""

from typing import Any

import numpy as np
import pytest

from einsums import Cascade, count_passes, interpret, rewrite
from einsums.rewriting import RewriteOptions, Rewriting

SOFTMAX = "GM[p] = X[d,p] :: max(d); SN[d,p] = exp(X[d,p] - GM[p]); SD[p] = SN[d,p]\n"
SECOND = "GY[p] = Y[d,p] :: max(d); TN[d,p] = exp(Y[d,p] - GY[p]); TD[p] = TN[d,p]\n"
GATES = SOFTMAX + "A[d,p] = SN[d,p] / SD[p]\n"
MEAN = "MU[p] = X[d,p] :: mean(d)\n"
X = {"X": ["D", "P"]}
XV = {"X": ["D", "P"], "V": ["F", "D"]}
XY = {"X": ["D", "P"], "Y": ["D", "P"]}
XW = {"X": ["D", "P"], "W": ["S", "D"]}
MOST = "AM[p] = abs(X[d,p]) :: max(d)\n"

# What is computed: its inputs, the number of passes that is left, and spellings of it.
SPELLINGS: dict[str, tuple[dict[str, list[str]], int, tuple[str, ...]]] = {
    "scale by the largest magnitude": (
        XW,
        1,
        (
            MOST + "Q[d,p] = X[d,p] * (448 / AM[p]); O[s,p] = Q[d,p] * W[s,d]",
            MOST + "SC[p] = AM[p] / 448; Q[d,p] = X[d,p] / SC[p]; O[s,p] = Q[d,p] * W[s,d]",
            MOST + "SC[p] = 448 / AM[p]; O[s,p] = X[d,p] * SC[p] * W[s,d]",
            MOST + "O[s,p] = X[d,p] * W[s,d] * 448 / AM[p]",
            MOST + "Q[d,p] = X[d,p] * 448 * AM[p]^-1; O[s,p] = W[s,d] * Q[d,p]",
            MOST + "IV[p] = 1 / AM[p]; Q[d,p] = X[d,p] * 448 * IV[p]; O[s,p] = Q[d,p] * W[s,d]",
        ),
    ),
    "third central moment": (
        X,
        1,
        (
            MEAN + "C[d,p] = X[d,p] - MU[p]; O[p] = C[d,p] * C[d,p] * C[d,p] :: mean(d)",
            MEAN + "C[d,p] = X[d,p] - MU[p]; O[p] = C[d,p]^3 :: mean(d)",
            MEAN + "O[p] = (X[d,p] - MU[p])^3 :: mean(d)",
            MEAN + "C[d,p] = X[d,p] - MU[p]; Q[d,p] = C[d,p]^2; T[d,p] = Q[d,p] * C[d,p]; O[p] = T[d,p] :: mean(d)",
            MEAN + "O[p] = -((MU[p] - X[d,p])^3) :: mean(d)",
        ),
    ),
    "fourth central moment": (
        X,
        1,
        (
            MEAN + "C[d,p] = X[d,p] - MU[p]; O[p] = C[d,p]^4 :: mean(d)",
            MEAN + "C[d,p] = X[d,p] - MU[p]; S[d,p] = C[d,p]^2; O[p] = S[d,p]^2 :: mean(d)",
            MEAN + "C[d,p] = MU[p] - X[d,p]; O[p] = C[d,p]^4 :: mean(d)",
            MEAN + "C[d,p] = abs(X[d,p] - MU[p]); O[p] = C[d,p]^4 :: mean(d)",
        ),
    ),
    "sum of cubes of what lies below the mean": (
        X,
        1,
        (
            MEAN + "C[d,p] = MU[p] - X[d,p]; O[p] = C[d,p]^3",
            MEAN + "C[d,p] = X[d,p] - MU[p]; O[p] = -(C[d,p]^3)",
            MEAN + "O[p] = (MU[p] - X[d,p]) * (X[d,p] - MU[p])^2",
        ),
    ),
    "variance": (
        X,
        1,
        (
            MEAN + "O[p] = (X[d,p] - MU[p])^2 :: mean(d)",
            MEAN + "C[d,p] = abs(X[d,p] - MU[p]); O[p] = C[d,p] * C[d,p] :: mean(d)",
            MEAN + "C[d,p] = abs(MU[p] - X[d,p]); O[p] = C[d,p]^2 :: mean(d)",
        ),
    ),
    "entropy of a softmax": (
        X,
        1,
        (
            GATES + "O[p] = -A[d,p] * (X[d,p] - GM[p] - log(SD[p]))",
            GATES + "L[d,p] = log(A[d,p]); E[p] = A[d,p] * L[d,p]; O[p] = -E[p]",
            SOFTMAX + "C[d,p] = X[d,p] - GM[p]; E[p] = SN[d,p] * C[d,p]; O[p] = log(SD[p]) - E[p] / SD[p]",
            GATES + "O[p] = A[d,p] * (log(SD[p]) + GM[p] - X[d,p])",
        ),
    ),
    "softmax through its logarithm": (
        XV,
        1,
        (
            GATES + "O[f,p] = A[d,p] * V[f,d]",
            SOFTMAX + "LS[p] = GM[p] + log(SD[p]); A[d,p] = exp(X[d,p] - LS[p]); O[f,p] = A[d,p] * V[f,d]",
            SOFTMAX + "RS[p] = 1 / SD[p]; A[d,p] = SN[d,p] * RS[p]; O[f,p] = A[d,p] * V[f,d]",
            GATES + "L[d,p] = log(A[d,p]); B[d,p] = exp(L[d,p]); O[f,p] = B[d,p] * V[f,d]",
        ),
    ),
    "sum of logarithms of a softmax": (
        XV,
        1,
        (
            GATES + "O[f,p] = log(A[d,p]) * V[f,d]",
            SOFTMAX + "O[f,p] = (X[d,p] - GM[p] - log(SD[p])) * V[f,d]",
        ),
    ),
    "largest gate": (
        X,
        1,
        (
            GATES + "O[p] = A[d,p] :: max(d)",
            SOFTMAX + "XM[p] = SN[d,p] :: max(d); O[p] = XM[p] / SD[p]",
            SOFTMAX + "O[p] = 1 / SD[p]",
            SOFTMAX + "A[d,p] = exp(X[d,p] - GM[p] - log(SD[p])); O[p] = A[d,p] :: max(d)",
            GATES + "L[d,p] = log(A[d,p]); ML[p] = L[d,p] :: max(d); O[p] = exp(ML[p])",
        ),
    ),
    "divergence of two softmaxes": (
        XY,
        1,
        (
            GATES + SECOND + "B[d,p] = TN[d,p] / TD[p]; O[p] = A[d,p] * (log(A[d,p]) - log(B[d,p]))",
            GATES + SECOND + "B[d,p] = TN[d,p] / TD[p]; O[p] = A[d,p] * log(A[d,p] / B[d,p])",
            GATES + SECOND + "O[p] = A[d,p] * (X[d,p] - GM[p] - log(SD[p]) - Y[d,p] + GY[p] + log(TD[p]))",
        ),
    ),
    "root mean square": (
        XW,
        1,
        (
            "MS[p] = X[d,p] * X[d,p] :: mean(d); O[s,p] = W[s,d] * X[d,p] * rsqrt(MS[p])",
            "MS[p] = X[d,p]^2 :: mean(d); R[p] = sqrt(MS[p]); O[s,p] = W[s,d] * X[d,p] / R[p]",
            "MS[p] = X[d,p]^2 :: mean(d); O[s,p] = W[s,d] * X[d,p] * MS[p]^-0.5",
        ),
    ),
    "temperature": (
        {**XV, "T": []},
        1,
        (
            "GM[p] = X[d,p] :: max(d); SN[d,p] = exp((X[d,p] - GM[p]) / T[]); SD[p] = SN[d,p]; O[f,p] = SN[d,p] / SD[p] * V[f,d]",
            "GM[p] = X[d,p] :: max(d); SN[d,p] = exp(X[d,p] / T[] - GM[p] / T[]); SD[p] = SN[d,p]\n"
            "N[f,p] = SN[d,p] * V[f,d]; O[f,p] = N[f,p] / SD[p]",
        ),
    ),
    "largest over the sum of exponentials": (
        X,
        1,
        (
            "G[p] = exp(X[d,p]); Y[d,p] = X[d,p] / G[p]; O[p] = Y[d,p] :: max(d)",
            "G[p] = exp(X[d,p]); M[p] = X[d,p] :: max(d); O[p] = M[p] / G[p]",
            "G[p] = exp(X[d,p]); R[p] = 1 / G[p]; Y[d,p] = X[d,p] * R[p]; O[p] = Y[d,p] :: max(d)",
        ),
    ),
    "magnitudes over their sum": (
        XW,
        1,
        (
            "S[p] = abs(X[d,p]); O[s,p] = abs(X[d,p] / S[p]) * W[s,d]",
            "S[p] = abs(X[d,p]); O[s,p] = abs(X[d,p]) * W[s,d] / S[p]",
        ),
    ),
    "rectified direction": (
        XW,
        1,
        (
            "S[p] = X[d,p] * X[d,p]; O[s,p] = relu(X[d,p] * rsqrt(S[p])) * W[s,d]",
            "S[p] = X[d,p] * X[d,p]; R[p] = sqrt(S[p]); Y[d,p] = X[d,p] / R[p]; O[s,p] = max(Y[d,p], 0) * W[s,d]",
        ),
    ),
    "rounded before the sum": (
        XW,
        2,
        (
            MOST + "Q[d,p] = round(X[d,p] * (448 / AM[p])); O[s,p] = Q[d,p] * W[s,d]",
            MOST + "SC[p] = AM[p] / 448; Q[d,p] = round(X[d,p] / SC[p]); O[s,p] = Q[d,p] * W[s,d]",
        ),
    ),
    "absolute deviation from the mean": (
        X,
        2,
        (MEAN + "O[p] = abs(X[d,p] - MU[p])", MEAN + "C[d,p] = X[d,p] - MU[p]; O[p] = abs(C[d,p])"),
    ),
    "third absolute moment": (
        X,
        2,
        (
            MEAN + "C[d,p] = abs(X[d,p] - MU[p]); O[p] = C[d,p]^3 :: mean(d)",
            MEAN + "C[d,p] = X[d,p] - MU[p]; O[p] = abs(C[d,p]) * C[d,p] * C[d,p] :: mean(d)",
        ),
    ),
}
FINITE = ("scale by the largest magnitude", "rounded before the sum")  # where the original keeps 0 * inf = 0


def written(inputs: dict[str, list[str]], text: str, **more: Any) -> Cascade:
    ranks = dict.fromkeys(dict.fromkeys(rank for tensor in inputs.values() for rank in tensor), "")
    data = {"name": "written", "ranks": ranks, "inputs": inputs, "outputs": ["O"], "einsums": text}
    return Cascade.model_validate(data | more)


def costs(found: Rewriting) -> dict[str, int]:
    return {row.operator: row.after for row in found.operations if row.after}


@pytest.mark.parametrize("what", SPELLINGS)
def test_spellings_of_one_function_take_equal_passes_at_equal_cost(what: str) -> None:
    inputs, passes, texts = SPELLINGS[what]
    domain = {"domain": {"X": "finite"}} if what in FINITE else {}
    found = [rewrite(written(inputs, text, **domain), 1, "D") for text in texts]
    assert [one.passes for one in found] == [passes] * len(texts), [one.refusals for one in found]
    assert all(count_passes(one.cascade, "D") == passes for one in found)
    assert all(step.comparison.is_equal for one in found for step in one.steps)
    if passes == 1:
        assert all(costs(one) == costs(found[0]) for one in found)
    else:
        assert all(one.cascade is one.original for one in found)


@pytest.mark.parametrize("form", ["running", "stepwise", "partition"])
def test_divergence_of_two_softmaxes_in_one_pass(form: str) -> None:
    """Against plain numpy, with scores far from zero and masked ones in the first tiles."""
    inputs, _, (text, *_) = SPELLINGS["divergence of two softmaxes"]
    derived = rewrite(written(inputs, text), 1, "D", RewriteOptions(form=form)).cascade  # type: ignore[arg-type]
    assert count_passes(derived, "D") == 1
    x, y = np.random.default_rng(4).normal(size=(2, 13, 3)) * 5 + 1e6
    x[:5] = -np.inf  # their probability is 0, and the divergence that of the others
    p, q = (np.exp(scores - scores.max(axis=0)) for scores in (x, y))
    p, q = p / p.sum(axis=0), q / q.sum(axis=0)
    expected = (p[5:] * np.log(p[5:] / q[5:])).sum(axis=0)
    for tile in (1, 4, 13):
        found = interpret(derived, {"X": x, "Y": y}, {"D0": tile} if derived.partitions else {})["O"]
        np.testing.assert_allclose(found, expected, rtol=1e-9)


@pytest.mark.parametrize("power", range(1, 8))
def test_every_whole_power_of_a_difference_is_carried_over(power: int) -> None:
    text = f"LO[p] = X[d,p] :: min(d); O[p] = 3 * W[d] * (X[d,p] - LO[p])^{power}"
    derived = rewrite(written({"X": ["D", "P"], "W": ["D"]}, text), 1, "D").cascade
    assert count_passes(derived, "D") == 1
    rng = np.random.default_rng(power)
    x, w = rng.normal(size=(11, 2)), rng.normal(size=11)
    expected = 3 * (w[:, None] * (x - x.min(axis=0)) ** power).sum(axis=0)
    found = interpret(derived, {"X": x, "W": w}, {"D0": 3} if derived.partitions else {})["O"]
    np.testing.assert_allclose(found, expected, rtol=1e-11)


def test_long_power_stays_a_power() -> None:
    derived = rewrite(written(X, "LO[p] = X[d,p] :: min(d); O[p] = (X[d,p] - LO[p])^9"), 1, "D")
    assert derived.passes == 1
    assert "^ 9" in str(derived.cascade)


# Cascades that take one pass by identities of each kind, none of which the rewriter knows by name.
ONE_PASS = {
    "powers of two": (XV, "GM[p] = X[d,p] :: max(d); SN[d,p] = 2^(X[d,p] - GM[p]); SD[p] = SN[d,p]; O[f,p] = SN[d,p] / SD[p] * V[f,d]"),
    "masked elements": (
        {**XV, "B": ["D"]},
        "GM[p] = X[d,p] :: max(d); SN[d,p] = select(B[d], exp(X[d,p] - GM[p]), 0); SD[p] = SN[d,p]\n"
        "O[f,p] = SN[d,p] / SD[p] * V[f,d]",
    ),
    "masked powers": ({**X, "B": ["D"]}, MEAN + "O[p] = select(B[d], (X[d,p] - MU[p])^2, 0)"),
    "power of a softmax": (X, GATES + "O[p] = A[d,p]^1.5"),
    "entropy in bits": (X, GATES + "O[p] = -A[d,p] * log2(A[d,p])"),
    "variance under a softmax": (X, GATES + "M[p] = A[d,p] * X[d,p]; O[p] = A[d,p] * (X[d,p] - M[p])^2"),
    "standardised fourth moment": (X, MEAN + "C[d,p] = X[d,p] - MU[p]; V[p] = C[d,p]^2 :: mean(d); O[p] = (C[d,p] * rsqrt(V[p]))^4 :: mean(d)"),
    "normalised to its range": (X, "LO[p] = X[d,p] :: min(d); HI[p] = X[d,p] :: max(d); O[p] = (X[d,p] - LO[p]) / (HI[p] - LO[p]) :: max(d)"),
    "furthest from the mean": (X, MEAN + "O[p] = abs(X[d,p] - MU[p]) :: max(d)"),
    "falling function": (X, MEAN + "O[p] = sigmoid(3 * (MU[p] - X[d,p])) :: max(d)"),
    "rounded extremum": (X, MOST + "O[p] = round(X[d,p] * (448 / AM[p])) :: min(d)"),
    "two softmaxes": (XY, GATES + SECOND + "B[d,p] = TN[d,p] / TD[p]; O[p] = A[d,p]^2 / B[d,p]"),
    "terms without the rank": (X, "S[p] = exp(X[d,p]); O[p] = log(exp(X[d,p]) / S[p])"),
}  # fmt: skip


@pytest.mark.parametrize("what", ONE_PASS)
def test_takes_one_pass(what: str) -> None:
    inputs, text = ONE_PASS[what]
    found = rewrite(written(inputs, text), 1, "D")
    assert found.passes_before > found.passes == count_passes(found.cascade, "D") == 1, found.refusals
    assert all(step.comparison.is_equal for step in found.steps)


# Functions for which no identity is known, and the word by which each is refused.
REFUSED = {
    "nonlinear": ("S[p] = X[d,p] * X[d,p]; O[s,p] = silu(X[d,p] * rsqrt(S[p])) * W[s,d]", "neither exp nor a power"),
    "comparison": ("GM[p] = X[d,p] :: max(d); O[s,p] = (X[d,p] == GM[p]) * W[s,d]", "neither exp nor a power"),
    "sign unknown": ("S[p] = X[d,p]; O[s,p] = X[d,p] * S[p] * W[s,d] :: max(d)", "a max of it"),
    "no monotone function": (MEAN + "O[s,p] = cos(X[d,p] - MU[p]) * W[s,d] :: max(d)", "a max of it"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_stays_where_no_identity_is_known(what: str) -> None:
    text, reason = REFUSED[what]
    found = rewrite(written(XW, text), 1, "D")
    assert found.passes == found.passes_before and found.cascade is found.original
    assert any(reason in refusal.reason for refusal in found.refusals)


def test_positive_domain_lets_a_factor_leave_a_maximum() -> None:
    """The sum of numbers of either sign may turn the maximum round; that of positive ones does not."""
    text = "S[p] = Y[d,p]; O[p] = X[d,p] * S[p] :: max(d)"
    assert rewrite(written(XY, text), 1, "D").passes == 2
    found = rewrite(written(XY, text, domain={"Y": "non-negative"}), 1, "D")
    assert found.passes == 1
    assert str(found.cascade.einsum("O")) == "O[p] = XO[p] * S[p]"


def test_what_only_an_infinite_input_tells_apart_says_so() -> None:
    """X / AM is 0 where AM is infinite, by the rule 0 * inf = 0; the sum of X, divided later, is NaN."""
    text = MOST + "Q[d,p] = X[d,p] * (448 / AM[p]); O[s,p] = Q[d,p] * (W[s,d] - 1)"
    found = rewrite(written(XW, text), 1, "D")
    assert (found.passes, found.refusals[0].reason) == (
        2,
        "on -inf in X inputs (no tiles) O[0,0] is nan, not 0.0 (allowed difference 1e-300); "
        "if X is never infinite, declare domain: {X: finite}",
    )
    assert rewrite(written(XW, text, domain={"X": "finite"}), 1, "D").passes == 1
