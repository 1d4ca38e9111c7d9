"""Pass analysis: published counts, brute force over random cascades, what may not change a count, footprints, errors."""

import random
import re
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from einsums import Cascade, analyse_passes, count_passes
from einsums.extensions import beyond
from tests.cascade_generator import random_cascade
from tests.pass_oracle import brute_force_passes, rule_by_level

CATALOG = Path(__file__).parents[1] / "einsums" / "catalog"
RANDOM_CASCADES = 300


def shipped(name: str) -> Cascade:
    return Cascade.model_validate(yaml.safe_load((CATALOG / f"{name}.yaml").read_text()))


def cascade(text: str, inputs: dict[str, list[str]], **more: object) -> Cascade:
    """A cascade whose outputs are what nobody reads."""
    lines = [line.strip() for line in text.strip().splitlines()]
    written = [line.split("[")[0] for line in lines]
    read = {name for line in lines for name in re.findall(r"([A-Z]\w*)\[", line.split("=", 1)[1])}
    ranks = {rank: "" for names in inputs.values() for rank in names}
    document = {"name": "test", "ranks": ranks, "inputs": inputs, "einsums": "\n".join(lines)}
    return Cascade.model_validate(document | {"outputs": [n for n in written if n not in read]} | more)


# --- published counts ---------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("name", "rank", "passes"),
    [
        ("pedagogical-1", "K", 2),
        ("pedagogical-2", "K", 1),
        ("pedagogical-3", "K", 1),
        ("attention-naive", "M", 2),
        ("attention-naive-deferred", "M", 1),
        ("attention-3pass", "M", 3),
        ("attention-3pass-deferred", "M", 2),
        ("attention-2pass", "M", 2),
        ("attention-2pass-deferred", "M", 2),
        ("attention-1pass", "M", 1),
        ("encoder-layer", "M", 2),
        ("encoder-layer", "D", 7),
        ("encoder-layer", "S", 1),
        ("linear-layers", "D", 1),
    ],
)
def test_published_counts(name: str, rank: str, passes: int) -> None:
    assert count_passes(shipped(name), rank) == passes


# Those with names and conditions are counted in test_language_catalog, and random ones by an oracle that knows these.
PLAIN = [path for path in sorted(CATALOG.glob("*.yaml")) if not beyond(shipped(path.stem), ("parts", "whole numbers"))]


@pytest.mark.parametrize("path", PLAIN, ids=lambda path: path.stem)
def test_catalog_agrees_with_brute_force(path: Path) -> None:
    found = shipped(path.stem)
    small = [rank.name for rank in found.ranks if path.stem != "encoder-layer" or rank.name in "MPS"]
    for rank in small:
        assert count_passes(found, rank) == brute_force_passes(found, rank), rank


NORM = """MU[n] = X[d,n] :: mean(d)
XC[d,n] = X[d,n] - MU[n]
VA[n] = XC[d,n] * XC[d,n] :: mean(d)
Y[d,n] = XC[d,n] * rsqrt(VA[n])"""
MOMENTS = """MU[n] = X[d,n] :: mean(d)
SQ[n] = X[d,n] * X[d,n] :: mean(d)
Y[d,n] = (X[d,n] - MU[n]) * rsqrt(SQ[n] - MU[n] * MU[n])"""
DEFERRED = """SQ[n] = X[d,n] * X[d,n] :: mean(d)
P[o,n] = W[o,d] * X[d,n]
Y[o,n] = P[o,n] * rsqrt(SQ[n])"""
LINEAR = """KV[e,f] = PK[e,t] * V[f,t]
KS[e] = PK[e,t]
N[f,t] = PQ[e,t] * KV[e,f]
Z[t] = PQ[e,t] * KS[e]
O[f,t] = N[f,t] / Z[t]"""
SPLIT = """S[m1,m0,p] = Q[e,p] * K[e,m1*M0+m0]
LM[m1,p] = S[m1,m0,p] :: max(m0)
SL[m1,m0,p] = exp(S[m1,m0,p] - LM[m1,p])
LD[m1,p] = SL[m1,m0,p]
LN[f,m1,p] = SL[m1,m0,p] * V[f,m1*M0+m0]
GM[p] = LM[m1,p] :: max(m1)
PM[m1,p] = exp(LM[m1,p] - GM[p])
DN[p] = LD[m1,p] * PM[m1,p]
NV[f,p] = LN[f,m1,p] * PM[m1,p]
AV[f,p] = NV[f,p] / DN[p]"""
BACKWARD = """D[p] = DO[f,p] * O[f,p]
S[m,p] = Q[e,p] * K[e,m]
PP[m,p] = exp(S[m,p] - L[p])
DV[f,m] = PP[m,p] * DO[f,p]
DP[m,p] = DO[f,p] * V[f,m]
DS[m,p] = PP[m,p] * (DP[m,p] - D[p])
DQ[e,p] = DS[m,p] * K[e,m]
DK[e,m] = DS[m,p] * Q[e,p]"""
TOKENS = """S[p,n] = X[p,d] * KP[n,d]
SQ[p] = S[p,n] * S[p,n]
G[p,n] = gelu(S[p,n] * rsqrt(SQ[p]))
Y[p,o] = G[p,n] * VP[n,o]"""
PARTS = {"partition": {"M": ["M1", "M0"]}}


@pytest.mark.parametrize(
    ("text", "inputs", "rank", "passes", "more"),
    [
        pytest.param(NORM, {"X": ["D", "N"]}, "D", 3, {}, id="layer norm, centred"),
        pytest.param(MOMENTS, {"X": ["D", "N"]}, "D", 2, {}, id="layer norm by moments"),
        pytest.param(DEFERRED, {"X": ["D", "N"], "W": ["O", "D"]}, "D", 1, {}, id="RMS norm, scale deferred"),
        pytest.param(LINEAR, {"PK": ["E", "T"], "PQ": ["E", "T"], "V": ["F", "T"]}, "T", 2, {}, id="linear attention"),
        pytest.param(SPLIT, {"Q": ["E", "P"], "K": ["E", "M"], "V": ["F", "M"]}, "M", 1, PARTS, id="split-K attention"),
        pytest.param(
            BACKWARD,
            {"DO": ["F", "P"], "O": ["F", "P"], "Q": ["E", "P"], "K": ["E", "M"], "V": ["F", "M"], "L": ["P"]},
            "M",
            1,
            {},
            id="attention backward",
        ),
        pytest.param(
            TOKENS, {"X": ["P", "D"], "KP": ["N", "D"], "VP": ["N", "O"]}, "N", 2, {}, id="normalise, then gelu"
        ),
    ],
)
def test_counts_of_other_operators(text: str, inputs: dict, rank: str, passes: int, more: dict) -> None:
    found = cascade(text, inputs, **more)
    assert count_passes(found, rank) == passes == brute_force_passes(found, rank)


# --- brute force --------------------------------------------------------------------------------------------
@pytest.mark.parametrize("block", range(10))
def test_random_cascades_agree_with_brute_force(block: int) -> None:
    for seed in range(block * RANDOM_CASCADES // 10, (block + 1) * RANDOM_CASCADES // 10):
        found = random_cascade(seed)
        for rank in found.ranks:
            expected = brute_force_passes(found, rank.name)
            assert count_passes(found, rank.name) == expected, f"seed {seed}, rank {rank.name}:\n{found}"


def test_random_cascades_are_worth_testing() -> None:
    counts = [count_passes(c, r.name) for c in map(random_cascade, range(RANDOM_CASCADES)) for r in c.ranks]
    assert len(counts) > 500
    assert sum(count == 2 for count in counts) > 80
    assert sum(count >= 3 for count in counts) > 10


COLUMNS_THEN_ROWS = """G[m0] = X[m1*M0+m0] :: max(m1)
H[m1,m0] = X[m1*M0+m0] - G[m0]
L[m1] = H[m1,m0]
Y[m1,m0] = X[m1*M0+m0] * L[m1]"""
SUMMARY_IN_A_TILE = """G[] = X[m1*M0+m0]
N[m1,m0] = X[m1*M0+m0] - G[]
T[m1] = N[m1,m0] * N[m1,m0]
P[m1] = T[m1] * G[]
Y[m1,m0] = N[m1,m0] * P[m1]"""
STEP_BEFORE = """G[t] = X[m,t]
S[t+1] = S[t] + G[t]
Y[m,t] = X[m,t] * S[t]"""


@pytest.mark.parametrize(
    ("text", "inputs", "passes", "by_level", "more"),
    [
        pytest.param(COLUMNS_THEN_ROWS, {"X": ["M"]}, 2, 1, PARTS, id="a reduction of columns, then one of rows"),
        pytest.param(SUMMARY_IN_A_TILE, {"X": ["M"]}, 2, 3, PARTS, id="a tile's sum times a global summary"),
        pytest.param(STEP_BEFORE, {"X": ["M", "T"]}, 1, 2, {"init": {"S": 0}}, id="a value of another fiber"),
    ],
)
def test_where_a_rule_by_level_is_wrong(text: str, inputs: dict, passes: int, by_level: int, more: dict) -> None:
    found = cascade(text, inputs, **more)
    assert brute_force_passes(found, "M") == passes
    assert count_passes(found, "M") == passes
    assert rule_by_level(found, "M") == by_level


# --- what may not change a count ----------------------------------------------------------------------------
def document(found: Cascade) -> dict:
    return {
        "name": found.name,
        "ranks": {rank.name: "" for rank in found.ranks},
        "partition": {p.rank: list(p.parts) for p in found.partitions},
        "batch": list(found.batch),
        "inputs": {tensor.name: list(tensor.ranks) for tensor in found.inputs},
        "init": {item.tensor: item.value for item in found.initial},
        "outputs": list(found.outputs),
        "einsums": [str(einsum) for einsum in found.einsums],
    }


def counts(found: Cascade, names: dict[str, str] | None = None) -> dict[str, int]:
    return {
        rank: count_passes(found, (names or {}).get(rank, rank))
        for rank in ("M", "P", "L")
        if rank in roots(found, names)
    }


def roots(found: Cascade, names: dict[str, str] | None) -> set[str]:
    back = {new: old for old, new in (names or {}).items()}
    return {back.get(rank.name, rank.name) for rank in found.ranks}


@pytest.mark.parametrize("seed", range(60))
def test_reordering_lines_changes_nothing(seed: int) -> None:
    found = random_cascade(seed)
    changed = document(found)
    random.Random(seed).shuffle(changed["einsums"])
    assert counts(Cascade.model_validate(changed)) == counts(found)


@pytest.mark.parametrize("seed", range(60))
def test_renaming_changes_nothing(seed: int) -> None:
    found = random_cascade(seed)
    names = {"M": "XM", "P": "AP", "L": "ZL", "M2": "XM2", "M1": "XM1", "M0": "XM0"}
    both = names | {old.lower(): new.lower() for old, new in names.items()}
    tensors = {tensor.name: f"Q{number}Z" for number, tensor in enumerate(reversed(found.tensors))}
    text = yaml.safe_dump(document(found) | {"name": "renamed"})
    for old, new in {**both, **tensors}.items():
        text = re.sub(rf"\b{old}\b", f"<{new}>", text)
    renamed = Cascade.model_validate(yaml.safe_load(re.sub(r"<(\w+)>", r"\1", text)))
    assert counts(renamed, names) == counts(found)


@pytest.mark.parametrize("seed", range(60))
def test_adding_batch_ranks_changes_nothing(seed: int) -> None:
    found = random_cascade(seed)
    batched = Cascade.model_validate(document(found) | {"batch": ["B", "H"]})
    assert counts(batched) == counts(found)
    assert {count_passes(batched, "B"), count_passes(batched, "H")} == {1}


def unsplit_seeds(amount: int) -> list[int]:
    """Random cascades that do not yet have parts and do not iterate over M."""
    fitting = []
    seed = 0
    while len(fitting) < amount:
        found = random_cascade(seed)
        iterates = any(rank == "M" for _, rank in found.iterative)
        if not found.partitions and not iterates and any(rank.name == "M" for rank in found.ranks):
            fitting.append(seed)
        seed += 1
    return fitting


@pytest.mark.parametrize("seed", unsplit_seeds(40))
@pytest.mark.parametrize("levels", [2, 3])
def test_splitting_a_rank_changes_nothing(seed: int, levels: int) -> None:
    found = random_cascade(seed)
    parts = [f"M{level}" for level in reversed(range(levels))]
    whole = "+".join("*".join([part.lower(), *parts[place + 1 :]]) for place, part in enumerate(parts))
    split = document(found) | {"partition": {"M": parts}}
    inputs = "|".join(split["inputs"])
    lines = []
    for line in split["einsums"]:
        line = re.sub(rf"\b({inputs})\[[^\]]*\]", lambda access: re.sub(r"\bm\b", whole, access[0]), line)
        lines.append(re.sub(r"\bm\b", ",".join(part.lower() for part in parts), line))
    assert counts(Cascade.model_validate(split | {"einsums": lines})) == counts(found)


# --- what an analysis says ----------------------------------------------------------------------------------
def test_what_forces_the_passes_of_stable_softmax() -> None:
    found = analyse_passes(shipped("attention-3pass"), "M")
    assert {item.einsum: item.number for item in found.pass_of_einsum} == {
        "QK": 1, "GM": 1, "SN": 2, "SD": 2, "A": 3, "AV": 3,
    }  # fmt: skip
    assert [(f.number, f.chain, f.barrier, f.revisits) for f in found.forced_by] == [
        (2, ("QK", "GM", "SN"), "GM", ("QK",)),
        (3, ("SN", "SD", "A"), "SD", ("SN",)),
    ]
    assert found.revisited == ("QK", "SN")
    assert found.forced_by[0].reason == (
        "GM reduces over m and is complete only after all of M has been visited; "
        "SN needs it at every element when it traverses QK, SN"
    )


def test_summaries_start_no_pass() -> None:
    found = analyse_passes(shipped("attention-2pass"), "M")
    assert [f.chain for f in found.forced_by] == [("QK", "LM", "GM", "PLM", "SN")]
    assert [item.einsum for item in found.pass_of_einsum if item.number == 2] == ["SN", "A", "AV"]
    assert [item.einsum for item in found.pass_of_einsum if not item.visits] == ["GM", "PLM", "SD"]


def test_last_step_of_an_iteration_is_a_barrier_for_those_that_traverse() -> None:
    text = """R[m+1] = max(R[m], X[m])
    Y[m] = X[m] - R[M]"""
    found = analyse_passes(cascade(text, {"X": ["M"]}, init={"R": 0}), "M")
    assert found.passes == 2
    assert found.forced_by[0].chain == ("R", "Y")
    assert found.forced_by[0].reason.startswith("the last step of R exists only after the iteration")


@pytest.mark.parametrize(
    ("name", "rank", "words"),
    [
        ("attention-3pass", "M", {"Q": "E", "K": "E", "V": "F", "QK": "M", "GM": "1", "SN": "M", "A": "1", "AV": "F"}),
        ("attention-2pass", "M", {"QK": "M0", "SLN": "M", "LM": "M1", "SLD": "M1", "PLM": "1", "SN": "1", "AV": "F"}),
        ("attention-1pass", "M", {"QK": "M0", "SLN": "1", "LM": "1", "RM": "1", "RNV": "F", "SPNV": "F", "RD": "1"}),
        ("pedagogical-1", "K", {"A": "K", "B": "1", "Y": "1"}),
        ("pedagogical-3", "K", {"A": "1", "B": "1", "RZ": "1"}),
        ("encoder-layer", "D", {"X": "D", "RA": "D", "NA": "D", "FP": "S", "FO": "1"}),
    ],
)
def test_live_footprints(name: str, rank: str, words: dict[str, str]) -> None:
    found = analyse_passes(shipped(name), rank)
    assert {tensor: found.footprint_of(tensor) for tensor in words} == words


def test_a_revisited_tensor_with_two_reduced_ranks_is_live_in_both() -> None:
    text = """Y[] = A[e,m] * B[e,m]
    Z[] = Y[] * A[e,m]"""
    found = analyse_passes(cascade(text, {"A": ["E", "M"], "B": ["E", "M"]}), "M")
    assert (found.passes, found.footprint_of("A"), found.footprint_of("B")) == (2, "E*M", "E")


@pytest.mark.parametrize("seed", range(0, 200, 2))
def test_what_an_analysis_says_is_consistent(seed: int) -> None:
    """A chain follows the data from one pass to the next; what is traversed twice is live as a whole fiber."""
    found = random_cascade(seed)
    for rank in found.ranks:
        analysis = analyse_passes(found, rank.name)
        assert len(analysis.forced_by) == max(analysis.passes - 1, 0)
        for forced in analysis.forced_by:
            for source, reader in pairwise(forced.chain):
                assert source in {access.tensor for access in found.einsum(reader).loads}
            ends = analysis.pass_of(forced.chain[0]), analysis.pass_of(forced.chain[-1])
            assert ends == (forced.number - 1, forced.number)
            assert forced.barrier in forced.chain
        for tensor in set(analysis.revisited) - {name for name, _ in found.iterative}:
            assert rank.name in analysis.footprint_of(tensor).split("*")


def test_fiber_of_one_part() -> None:
    found = shipped("attention-1pass")
    assert count_passes(found, "M0") == 2  # each tile of scores is walked for its maximum, then again
    assert count_passes(found, "M1") == 1


def test_rank_that_no_tensor_has() -> None:
    found = cascade("Y[h] = X[h+r] * W[k]", {"X": ["I"], "W": ["K"]}, ranks=dict.fromkeys("IKHR", ""))
    assert {rank: count_passes(found, rank) for rank in "IKHR"} == {"I": 1, "K": 1, "H": 1, "R": 0}


def test_unknown_rank() -> None:
    with pytest.raises(ValueError, match=re.escape("no rank in attention-3pass is called 'm' (did you mean 'M'?)")):
        count_passes(shipped("attention-3pass"), "m")
