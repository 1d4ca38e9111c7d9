"""Passes where ranks have several names and conditions choose points: the rule against brute force, element by element."""

from collections import Counter

import pytest

from einsums import Cascade, count_passes
from tests.cascade_generator import random_named_cascade
from tests.pass_oracle_names import brute_force_named_passes

SEEDS = 240
# Where the rule is known to differ, as docs/passes.md says: (rule, brute force). Conditions meet running values of the
# same rank here, of which the rule does not follow which earlier steps exist.
DIFFERENT = {
    (19, "M"): (1, 2),
    (128, "P"): (2, 3),
    (135, "P"): (3, 2),
    (139, "P"): (2, 1),
    (191, "P"): (2, 3),
    (205, "P"): (3, 2),
}


def counts(seed: int) -> dict[tuple[int, str], tuple[int, int]]:
    """By seed and rank: passes by the rule and by brute force."""
    found = random_named_cascade(seed)
    ranks = [rank.name for rank in found.ranks if rank.name in "PM"]
    return {(seed, rank): (count_passes(found, rank), brute_force_named_passes(found, rank)) for rank in ranks}


@pytest.mark.parametrize("block", range(8))
def test_random_cascades_agree_with_brute_force(block: int) -> None:
    for seed in range(block, SEEDS, 8):
        different = {place: pair for place, pair in counts(seed).items() if pair[0] != pair[1]}
        assert different == {place: pair for place, pair in DIFFERENT.items() if place[0] == seed}


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
