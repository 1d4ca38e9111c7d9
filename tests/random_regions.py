"""Random small cascades with conditions: products and softmaxes in which some points do not exist."""

from random import Random
from typing import Any

import yaml

from einsums.types import Cascade
from sim import Experiment
from tests.random_mappings import CATALOG, machine, mapped

SOFTMAX = (
    "S[m,p] = Q[e,p] * K[e,m] where {condition}\nG[p] = S[m,p] :: max(m)\nN[m,p] = exp(S[m,p] - G[p])\n"
    "D[p] = N[m,p]\nA[m,p] = N[m,p] / D[p]\nZ[f,p] = A[m,p] * V[f,m]"
)
PRODUCT = "S[m,p] = Q[e,p] * K[e,m] where {condition}\nZ[f,p] = S[m,p] * V[f,m]"
PARTS = "S[m1,m0,p] = Q[e,p] * K[e,m1*M0+m0] where {condition}\nL[m1,p] = S[m1,m0,p] :: max(m0)\nX[m1,m0,p] = S[m1,m0,p] - L[m1,p]"


TWO = (
    "S[m,p] = Q[e,p] * K[e,m] where {one}\nT[m,p] = Q[e,p] * K[e,m] where {other}\n"
    "Z[f,p] = S[m,p] * V[f,m]\nY[f,p] = T[m,p] * V[f,m]"
)


def condition_of(random: Random, m: str) -> str:
    """A band between m and p, one with an end of its own, or a union of two."""
    start, width = random.randint(-3, 4), random.randint(1, 5)
    bands = (
        f"{m} <= p + M - P", f"{m} <= p + {start}", f"{m} >= p - {width}", f"{m} <= p and {m} > p - {width}",
        f"{m} + p <= {width + 3}", f"{m} <= {width}", f"p >= {width - 1} and {m} <= p", f"2*{m} <= p + {width}",
        f"{m} <= p + {start} and {m} >= p - {width}", f"2*{m} >= p and {m} <= p",
    )  # fmt: skip
    found = random.choice(bands)
    if random.random() < 0.25:
        found = f"({found}) or {m} < {random.randint(1, 2)} and {m} <= p"
    return found.replace("+ -", "- ")


NAMED = (
    "H[d,p] = X[c,p] * W[c,d]\nS[m,p] = H[d,p] * H[d,m]{where}\nG[p] = S[m,p] :: max(m)\nN[m,p] = exp(S[m,p] - G[p])\n"
    "D[p] = N[m,p]\nA[m,p] = N[m,p] / D[p]\nZ[d,p] = A[m,p] * H[d,m]"
)
NAMED_INPUT = "S[m,p] = X[c,p] * X[c,m]{where}\nZ[c,p] = S[m,p] * X[c,m]"


def named_cascade(random: Random) -> Cascade:
    """Self-attention from one tensor: M is another name of P."""
    text = random.choice((NAMED, NAMED_INPUT, NAMED_INPUT))
    where = f" where {condition_of(random, 'm')}" if random.random() < 0.4 else ""
    inputs = {"X": ["C", "P"]} | ({"W": ["C", "D"]} if text is NAMED else {})
    ranks: dict[str, object] = dict.fromkeys("CDP" if text is NAMED else "CP", "") | {"M": {"same": "P"}}
    return Cascade.model_validate(
        {"name": "named", "ranks": ranks, "inputs": inputs, "outputs": ["Z"], "einsums": text.format(where=where),
         "batch": ["B"] if random.random() < 0.3 else []}
    )  # fmt: skip


def region_cascade(random: Random) -> Cascade:
    """One of some cascades with a condition in it."""
    if random.random() < 0.3:
        return named_cascade(random)
    text = random.choice((SOFTMAX, SOFTMAX, PRODUCT, PARTS))
    is_parted = text is PARTS
    einsums = text.format(condition=condition_of(random, "(m1*M0+m0)" if is_parted else "m"))
    inputs = {"Q": ["E", "P"], "K": ["E", "M"]} | ({} if is_parted else {"V": ["F", "M"]})
    return Cascade.model_validate(
        {
            "name": "region", "ranks": dict.fromkeys("EMP" if is_parted else "EFMP", ""),
            "partition": {"M": ["M1", "M0"]} if is_parted else {}, "batch": ["B"] if random.random() < 0.3 else [],
            "inputs": inputs, "outputs": ["X" if is_parted else "Z"], "einsums": einsums,
        }
    )  # fmt: skip


def random_region_experiment(seed: int) -> Experiment:
    """The combination of a seed; its structure may still have problems."""
    random = Random(seed)
    return mapped(region_cascade(random), machine(random), random, seed)


def random_running_experiment(seed: int) -> Experiment:
    """As `random_region_experiment`, of attention in one pass with some other condition. Factors are left out: behind
    them what is said of a tile of keys is that there is *some* key, which skips no tile.
    """
    random, condition = Random(seed), "2*"
    while "2*" in condition:
        condition = condition_of(random, "(m1*M0+m0)")
    data: dict[str, Any] = yaml.safe_load((CATALOG / "causal-attention-1pass.yaml").read_text("utf-8"))
    data["einsums"] = data["einsums"].replace("m1*M0 + m0 <= p + M - P", condition)
    data |= {"name": "running", "batch": ["B"] if random.random() < 0.3 else [], "sizes": {}}
    return mapped(Cascade.model_validate(data), machine(random), random, seed)


def random_experiment_of_two(seed: int) -> Experiment:
    """As `random_region_experiment`, with a condition of its own for each of two products."""
    random = Random(seed)
    cascade = Cascade.model_validate(
        {
            "name": "two", "ranks": dict.fromkeys("EFMP", ""), "batch": ["B"] if random.random() < 0.3 else [],
            "inputs": {"Q": ["E", "P"], "K": ["E", "M"], "V": ["F", "M"]}, "outputs": ["Z", "Y"],
            "einsums": TWO.format(one=condition_of(random, "m"), other=condition_of(random, "m")),
        }
    )  # fmt: skip
    return mapped(cascade, machine(random), random, seed)
