"""Names of ranks, starts, nested iterations and backward reads; what is refused, with whole messages; round trips."""

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from einsums import Cascade, Workload, analyse_passes, cascade_data, count_passes, interpret
from einsums.conditions import EVERYWHERE, HalfSpace, region_of
from einsums.extensions import KINDS, beyond, iter_extensions
from einsums.graph import Iteration
from einsums.parser import parse_einsum
from mappings.check import check_mapping
from mappings.tree import resolve_tree
from mappings.types import Mapping
from sim.functional.verification import verify


def document(text: str, inputs: dict[str, list[str]], **more: Any) -> dict[str, Any]:
    lines = [line.strip() for line in text.strip().splitlines()]
    ranks = {rank: "" for own in inputs.values() for rank in own}
    written = [line.split("[")[0] for line in lines]
    base = {"name": "test", "ranks": ranks, "inputs": inputs, "outputs": written[-1:], "einsums": "\n".join(lines)}
    return base | more


def cascade(text: str, inputs: dict[str, list[str]], **more: Any) -> Cascade:
    return Cascade.model_validate(document(text, inputs, **more))


def refusals(text: str, inputs: dict[str, list[str]], **more: Any) -> list[str]:
    with pytest.raises(ValidationError) as caught:
        cascade(text, inputs, **more)
    return [str(item["ctx"]["error"]) for item in caught.value.errors()]


NAMED = {"P": "position", "M": {"same": "P", "description": "key"}, "E": ""}
SELF = {"X": ["E", "P"]}


# --- names --------------------------------------------------------------------------------------------------
def test_a_tensor_is_read_under_another_name() -> None:
    gram = cascade("G[p,m] = X[e,p] * X[e,m]", SELF, ranks=NAMED)
    x = np.random.default_rng(0).normal(size=(3, 5))
    np.testing.assert_allclose(interpret(gram, {"X": x})["G"], x.T @ x)
    axes = gram.axes_of(gram.einsums[0].loads[1])
    assert [(axis.rank, axis.over) for axis in axes] == [("E", "E"), ("P", "M")]


def test_two_names_are_partitioned_apart() -> None:
    tiles = {"M": ["M1", "M0"], "P": ["P1", "P0"]}
    text = "K[e,p1*P0+p0] = X[e,p1*P0+p0] * 2\nG[p1,p0,m1,m0] = X[e,p1*P0+p0] * K[e,m1*M0+m0]\nY[] = G[p1,p0,m1,m0]"
    found = cascade(text, SELF, ranks=NAMED, partition=tiles)
    x = np.random.default_rng(1).normal(size=(3, 7))
    assert interpret(found, {"X": x}, {"M0": 2, "P0": 3})["Y"] == pytest.approx(2 * (x.T @ x).sum())


def test_names_share_a_size() -> None:
    found = cascade("G[p,m] = X[e,p] * X[e,m]", SELF, ranks=NAMED)
    for sizes in ({"P": 5}, {"M": 5}, {"P": 5, "M": 5}):
        assert Workload.model_validate({"cascade": found, "bits": 8, "sizes": {"E": 2} | sizes}).size("M") == 5
    with pytest.raises(ValidationError, match="M is another name of P, but their sizes are 4 and 5"):
        Workload.model_validate({"cascade": found, "bits": 8, "sizes": {"E": 2, "P": 5, "M": 4}})


def test_parts_as_ranks_of_inputs() -> None:
    found = cascade(
        "S[g,j,p] = Q[g,j,p] * K[g,p]\nY[p] = S[g,j,p]",
        {"Q": ["G", "J", "P"], "K": ["G", "P"]},
        ranks={"H": "", "P": ""},
        partition={"H": ["G", "J"]},
    )
    q, k = np.arange(12.0).reshape(2, 3, 2), np.array([[1.0, 2.0], [10.0, 20.0]])
    assert interpret(found, {"Q": q, "K": k}, {"J": 3})["Y"].tolist() == (q * k[:, None]).sum((0, 1)).tolist()


def test_a_start_is_a_tensor_of_the_other_ranks() -> None:
    text = "S0[e] = X[e,p]\nST[t+1,e] = ST[t,e] + U[t,e]\nY[t,e] = ST[t+1,e]"
    inputs = {"X": ["E", "P"], "U": ["T", "E"]}
    found = cascade(text, inputs, init={"ST": "S0"})
    x, u = np.ones((2, 3)), np.arange(8.0).reshape(4, 2)
    assert interpret(found, {"X": x, "U": u})["Y"].tolist() == (3 + u.cumsum(0)).tolist()


def test_iterations_nest() -> None:
    """Two layers of causal attention without scaling, each in tiles of keys with running values."""
    text = """
    QK[l,m1,m0,p] = X[l,e,p] * X[l,e,m1*M0+m0] where m1*M0 + m0 <= p
    LM[l,m1,p]    = QK[l,m1,m0,p] :: max(m0)
    RM[l,m1+1,p]  = max(RM[l,m1,p], LM[l,m1,p])
    SN[l,m1,m0,p] = exp(QK[l,m1,m0,p] - RM[l,m1+1,p])
    LD[l,m1,p]    = SN[l,m1,m0,p]
    LN[l,e,m1,p]  = SN[l,m1,m0,p] * X[l,e,m1*M0+m0]
    PR[l,m1,p]    = exp(RM[l,m1,p] - RM[l,m1+1,p])
    RD[l,m1+1,p]  = RD[l,m1,p] * PR[l,m1,p] + LD[l,m1,p]
    RN[l,e,m1+1,p] = RN[l,e,m1,p] * PR[l,m1,p] + LN[l,e,m1,p]
    AV[l,e,p]     = RN[l,e,M1,p] / RD[l,M1,p] * W[l]
    X[l+1,e,p]    = X[l,e,p] + AV[l,e,p]
    Y[e,p]        = X[L,e,p]"""
    found = cascade(
        text,
        {"X0": ["E", "P"], "W": ["L"]},
        ranks=NAMED | {"L": "layer"},
        partition={"M": ["M1", "M0"]},
        init={"X": "X0", "RM": "-inf", "RD": 0, "RN": 0},
    )
    outer = next(step for step in found.nest if isinstance(step, Iteration))
    assert outer.rank == "L" and {inner.rank for inner in outer.body if isinstance(inner, Iteration)} == {"M1"}
    x = np.random.default_rng(2).normal(size=(3, 7))
    expected = x
    for weight in (0.5, -1.0):
        scores = np.where(np.tri(7, dtype=bool), expected.T @ expected, -np.inf)
        weights = np.exp(scores - scores.max(1, keepdims=True))
        expected = expected + weight * expected @ (weights / weights.sum(1, keepdims=True)).T
    for tile in (1, 3, 7):
        done = interpret(found, {"X0": x, "W": np.array([0.5, -1.0])}, {"M0": tile})
        np.testing.assert_allclose(done["Y"], expected, rtol=1e-12, atol=1e-12)


def test_backward() -> None:
    found = cascade("R[t+1] = R[t] * 0.5 + X[T-1-t]\nY[t] = R[t+1]", {"X": ["T"]}, init={"R": 0})
    x = np.array([1.0, 2.0, 4.0])
    assert interpret(found, {"X": x})["Y"].tolist() == [4.0, 4.0, 3.0]
    assert count_passes(found, "T") == 1


def test_what_is_live_under_two_names_is_whole_or_a_window() -> None:
    ranks = NAMED | {"W": "window"}
    text = "K[e,p] = X[e,p] * 2\nS[m,p] = X[e,p] * K[e,m] where {}\nY[p] = S[m,p]"
    whole = cascade(text.format("m <= p"), SELF, ranks=NAMED)
    window = cascade(text.format("m <= p and p - W < m"), SELF, ranks=ranks)
    assert analyse_passes(whole, "P").footprint_of("K") == "E*P"
    assert analyse_passes(window, "P").footprint_of("K") == "E*W"


# --- conditions as data -------------------------------------------------------------------------------------
def halves(condition: str) -> list[list[str]]:
    region = region_of(parse_einsum(f"S[m,p,b] = A[m,p,b] where {condition}").condition)
    assert all(isinstance(atom, HalfSpace) for piece in region for atom in piece)
    return [[str(atom.form) for atom in piece] for piece in region]


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("m <= p", [["-m+p"]]),
        ("m < p", [["-m+p-1"]]),
        ("not (m < p)", [["m-p"]]),
        ("m <= p + M - P", [["M-P-m+p"]]),
        ("p - W < m and m <= p", [["m-p+W-1", "-m+p"]]),
        ("m <= p or m < 4", [["-m+p"], ["-m+3"]]),
        ("m == p", [["-m+p", "m-p"]]),
        ("m != p", [["-m+p-1"], ["m-p-1"]]),
        ("abs(m - p) <= 2", [["-m+p+2", "m-p+2"]]),
        ("m // 4 <= p", [["-m+4*p+3"]]),
        ("p >= m // W", [["W-m+p*W-1"]]),
        ("(m < p or m < 2) and m < 1", [["-m+p-1", "-m"], ["-m+1", "-m"]]),
    ],
)
def test_conditions_become_half_spaces(condition: str, expected: list[list[str]]) -> None:
    assert sorted(map(sorted, halves(condition))) == sorted(map(sorted, expected))


def test_equal_conditions_are_equal_nodes() -> None:
    one, two = (parse_einsum(f"S[m,p] = A[m,p] where {text}") for text in ("m <= p+M - P", "m<= p + (M-P)"))
    assert one == two and str(one) == "S[m,p] = A[m,p] where m <= p+M-P"


# --- round trips --------------------------------------------------------------------------------------------
def everything() -> Cascade:
    text = """
    S[m,p] = X[e,p] * X[e,m] * pos(m) where (m <= p and p - W < m) or m % W == 1
    U[t,p] = Z[t+r-1] * X[e,P-1-p] where t < LEN[p] and r < 2
    T[t+1,p] = T[t,p] + U[t,p]
    Y[p] = S[m,p] * T[T,p]"""
    return cascade(
        text,
        {"X": ["E", "P"], "Z": ["T"], "LEN": ["P"], "Z0": ["P"]},
        ranks=NAMED | {"T": "", "W": "", "R": ""},
        init={"T": "Z0"},
        boundary={"Z": "skip"},
        domain={"LEN": "length(T)"},
        density={"S": 0.5},
    )


def test_written_and_dumped_cascades_read_back() -> None:
    found = everything()
    assert Cascade.model_validate(cascade_data(found)) == found
    assert Cascade.model_validate(found.model_dump()) == found
    assert cascade_data(found)["ranks"]["M"] == {"same": "P", "description": "key"}


def test_a_cascade_without_extensions_dumps_as_it_did() -> None:
    plain = cascade("Y[p] = X[e,p]", SELF)
    keys = {
        "name",
        "description",
        "ranks",
        "partitions",
        "batch",
        "inputs",
        "unbatched",
        "initial",
        "outputs",
        "sizes",
        "source",
    }
    assert set(plain.model_dump()) == keys | {"einsums"}
    assert set(plain.model_dump()["einsums"][0]) == {"output", "expr", "reduction", "text", "line"}
    assert plain.existence.points["Y"] == EVERYWHERE and beyond(plain) == ""


# --- who follows what ---------------------------------------------------------------------------------------
def test_extensions_are_named_and_others_refuse_them() -> None:
    found = everything()
    assert {one.kind for one in iter_extensions(found)} >= {
        "names",
        "conditions",
        "positions",
        "backward",
        "boundary",
        "start",
    }
    assert {one.kind for one in iter_extensions(found)} <= set(KINDS)
    assert beyond(found) == "rank M is another name of P"
    assert beyond(found, ("names",)).startswith("Z may be read outside")
    assert verify(found).passes
    tree_data = {"loops": [], "body": [{"einsum": "S", "array": "A"}]}
    mapping = Mapping.model_validate(
        {"name": "m", "cascade": "test", "tree": tree_data, "schedule": {"kind": "sequential"}}
    )
    tree = resolve_tree(mapping, lambda name: name, lambda condition: True)
    problems = check_mapping(mapping, tree, found, None)
    assert [one.message for one in problems] == [
        "'test' cannot be mapped: Z may be read outside, which no mapping follows"
    ]


# --- refusals -----------------------------------------------------------------------------------------------
SCORES = {"Q": ["P"], "K": ["M"]}


@pytest.mark.parametrize(
    ("text", "more", "message"),
    [
        ("S[m,p] = Q[p] * K[m] where m < p and p < m", {}, "S: the condition m < p and p < m is never true"),
        ("S[m,p] = Q[p] * K[m] where m >= M", {}, "S: the condition m >= M is never true"),
        ("S[m,p] = Q[p] * K[m] where m <= Z", {}, "S: 'Z' is the size of no rank (known: P, M)"),
        (
            "S[m,p] = Q[p] * K[m] where m < L[p]",
            {},
            "S: unknown tensor 'L' (known: Q, K, S); it is neither an input nor written",
        ),
        (
            "S[p] = Q[p] * K[p]",
            {},
            "S: K[p]: index 'p' runs over P, but K has rank M there, expected 'm'",
        ),
        ("S[m,p] = Q[p] * K[m]", {"ranks": {"P": "", "M": {"same": "Q"}}}, "rank M is another name of unknown rank 'Q' (known: P, M)"),
        ("S[m,p] = Q[p] * K[m]", {"ranks": {"P": "", "M": {"same": "M"}}}, "rank M is declared as another name of itself"),
        (
            "S[m,p] = Q[p] * K[m]",
            {"ranks": {"P": "", "M": {"same": "P"}, "N": {"same": "M"}}},
            "rank N is another name of M, itself one of P; write {same: P}",
        ),
        (
            "S[m,p] = Q[p] * K[m]",
            {"ranks": {"P": "", "M": {"same": "P"}}, "batch": ["P"]},
            "batch rank P has two names; batch ranks are carried unwritten, under one",
        ),
        (
            "R[p+1,m] = R[p,m] + Q[p] * K[m]",
            {"init": {"R": "R0"}},
            "R starts from unknown tensor 'R0' (did you mean 'R'?)",
        ),
        (
            "R[p+1,m] = R[p,m] + Q[p] * K[m]",
            {"init": {"R": "Q"}},
            "R starts from Q, which must have its other ranks, M; Q has P",
        ),
        (
            "S[m,p] = Q[p] * K[m] where n <= p",
            {},
            "S: the condition is over 'n', but the Einsum has m, p; it chooses among points of its own",
        ),
        (
            "R[p+1] = R[p] + T[p]\nT[p] = R[m] * Q[p] * K[m] where m <= p",
            {"ranks": {"P": "", "M": {"same": "P"}}, "init": {"R": 0}},
            "the Einsums depend on each other in a cycle: R -> T -> R; T reads R[m] inside the iteration over P that still makes R",
        ),
        (
            "R[p+1] = R[p] + T[p]\nT[p] = G[m] * K[m] where m < p\nG[p] = R[p] * Q[p]",
            {"ranks": {"P": "", "M": {"same": "P"}}, "init": {"R": 0}},
            "T is part of the iteration of R, T, G over P and reads G[m], which may be of a later step",
        ),
        ("S[m,p] = Q[p] * K[m]", {"boundary": {"KK": 0}}, "boundary lists 'KK', which is neither an input nor written (did you mean 'K'?)"),
        ("S[m,p] = Q[p] * K[m]", {"density": {"S": 2}}, "the density of S is a share from 0 to 1, found 2"),
        ("S[m,p] = Q[p] * K[m]", {"domain": {"K": "length(N)"}}, "the domain of K is over unknown rank 'N' (known: P, M)"),
    ],
)  # fmt: skip
def test_refused_with_one_sentence(text: str, more: dict[str, Any], message: str) -> None:
    assert refusals(text, SCORES, **more) == [message]
