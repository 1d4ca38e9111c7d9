"""Passes where ranks have several names and conditions choose points: the rule against brute force, element by element."""

from collections import Counter

import pytest

from einsums import Cascade, count_passes
from tests.cascade_generator import random_named_cascade
from tests.pass_oracle_names import brute_force_named_passes

SEEDS = 320


def counts(seed: int) -> dict[tuple[int, str], tuple[int, int]]:
    """By seed and rank: passes by the rule and by brute force."""
    found = random_named_cascade(seed)
    ranks = [rank.name for rank in found.ranks if rank.name in "PM"]
    return {(seed, rank): (count_passes(found, rank), brute_force_named_passes(found, rank)) for rank in ranks}


@pytest.mark.parametrize("block", range(8))
def test_random_cascades_agree_with_brute_force(block: int) -> None:
    for seed in range(block, SEEDS, 8):
        assert {place: pair for place, pair in counts(seed).items() if pair[0] != pair[1]} == {}


WINDOW = "where p - W < m and m <= p"
# docs/passes.md says why of each: (rule and brute force over P, over M).
WORKED = {
    f"T[p] = A[m] {WINDOW}; Y[p] = T[m] {WINDOW}": (1, 1),
    "T[m,p] = A[m] where m <= p; R[m,p+1] = R[m,p] + T[m,p]": (1, 1),
    f"T[p] = A[m] {WINDOW}; R[p+1] = R[p] + T[p]; Y[m,p] = T[m] * R[p+1] {WINDOW}": (2, 2),
    "R[p+1] = R[p] + A[p]; T[] = A[m] * R[p+1]; Y[p] = T[] * A[p]": (2, 1),
    "T[p] = A[p] * A[m]; Y[p] = T[m] * A[p]; R[p+1] = R[p] + Y[p]": (3, 1),
    # an unrelated iteration changes nothing
    "T[p] = A[m] where m <= p; Y[m,p] = T[p] * A[m] where m <= p; R[p+1] = R[p] + A[p]": (2, 2),
    # columns of tiles
    "T[m0] = A[m1*M0+m0]; Y[m1,m0] = T[m0] * A[m1*M0+m0]; Z[p] = A[p] * Y[m1,m0]": (1, 1),
    "T[m0] = A[m1*M0+m0]; Y[m1,m0] = T[m0] * A[m1*M0+m0]; U[m1] = Y[m1,m0]; Z[m1,m0] = U[m1] * Y[m1,m0] * A[p]": (2, 2),
    # one pass under a name, two under the other: T's keys come again, its queries do not
    f"R[p+1] = R[p] + A[p]; T[m,p] = R[p] {WINDOW}; S[m,p+1] = S[m,p] + T[m,p]; Y[m,p] = S[m,P] {WINDOW}": (2, 1),
}


@pytest.mark.parametrize("text", WORKED)
def test_worked_examples_agree_with_brute_force(text: str) -> None:
    ranks = {"P": "", "M": {"same": "P"}} | ({"W": ""} if "W" in text else {})
    lines = text.split("; ")
    document = {"name": "worked", "ranks": ranks, "inputs": {"A": ["P"]}, "einsums": lines}
    outputs = [
        line[0] for line in lines if line[0] not in "".join(one.split("=", 1)[1] for one in lines if one != line)
    ]
    document |= {"outputs": outputs, "init": {name: 0 for name in "RS" if f"{name}[" in text}}
    document |= {"partition": {"M": ["M1", "M0"]}} if "m0" in text else {}
    found = Cascade.model_validate(document)
    assert tuple(count_passes(found, rank) for rank in "PM") == WORKED[text]
    assert tuple(brute_force_named_passes(found, rank) for rank in "PM") == WORKED[text]


def test_random_cascades_are_worth_testing() -> None:
    drawn = [random_named_cascade(seed) for seed in range(SEEDS)]
    conditions = Counter(any(einsum.condition is not None for einsum in found.einsums) for found in drawn)
    assert conditions[True] > SEEDS / 4
    assert sum(bool(found.partitions) for found in drawn) > SEEDS / 5
    assert sum(bool(found.iterative) for found in drawn) > SEEDS / 5
    assert {count_passes(found, "P") for found in drawn} >= {1, 2, 3}


KEYS = {"Q": ["E", "P"], "K": ["E", "P"], "V": ["F", "P"]}
THREE = """
S[m,p] = Q[e,p] * K[e,m]{condition}
G[p] = S[m,p] :: max(m)
N[m,p] = exp(S[m,p] - G[p])
D[p] = N[m,p]
A[m,p] = N[m,p] / D[p]
Y[f,p] = A[m,p] * V[f,m]
"""


@pytest.mark.parametrize("condition", ["", "m <= p", "m < p", "p <= m", "p - W < m and m <= p", "m // W == p // W"])
def test_masked_forms_make_the_passes_of_the_unmasked_form(condition: str) -> None:
    """Over the keys of a query, and over tokens, of which queries and keys are two names."""
    ranks = {"E": "", "F": "", "P": "", "M": {"same": "P"}} | ({"W": ""} if "W" in condition else {})
    where = f" where {condition}" if condition else ""
    text = THREE.format(condition=where).strip()
    found = Cascade.model_validate(
        {"name": "masked", "ranks": ranks, "inputs": KEYS, "outputs": ["Y"], "einsums": text}
    )
    assert (count_passes(found, "M"), count_passes(found, "P")) == (3, 3)


@pytest.mark.parametrize(
    ("condition", "passes"), [("m <= p", 1), ("m < p", 1), ("p - 3 < m and m <= p", 1), ("p <= m", 1), ("m != p", 2)]
)
def test_a_sum_up_to_here_starts_no_pass(condition: str, passes: int) -> None:
    text = f"S[p] = X[m] where {condition}\nY[p] = X[p] * S[p]"
    ranks = {"P": "", "M": {"same": "P"}}
    document = {"name": "sum", "ranks": ranks, "inputs": {"X": ["P"]}, "outputs": ["Y"], "einsums": text}
    assert count_passes(Cascade.model_validate(document), "P") == passes


def test_a_sum_from_here_over_a_sum_up_to_here_needs_all() -> None:
    text = "S[p] = X[m] where m <= p\nR[p] = S[m] where p <= m\nY[p] = R[p] * X[p]"
    ranks = {"P": "", "M": {"same": "P"}}
    document = {"name": "sum", "ranks": ranks, "inputs": {"X": ["P"]}, "outputs": ["Y"], "einsums": text}
    assert count_passes(Cascade.model_validate(document), "P") == 2


def test_a_gram_matrix_is_one_pass_with_everything_live() -> None:
    ranks = {"N": "", "D": "", "M": {"same": "N"}}
    document = {
        "name": "gram",
        "ranks": ranks,
        "inputs": {"X": ["N", "D"]},
        "outputs": ["G"],
        "einsums": "G[n,m] = X[n,d] * X[m,d]",
    }
    found = Cascade.model_validate(document)
    assert (count_passes(found, "N"), count_passes(found, "M")) == (1, 1)
