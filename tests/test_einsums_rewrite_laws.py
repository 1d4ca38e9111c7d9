"""What holds for every rewriting: the passes that are claimed, the same numbers, nothing left to do a second time."""

from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from einsums import Cascade, count_passes, interpret, rewrite
from einsums.parser import parse_einsum
from einsums.rewriting import RewriteOptions, Rewriting
from einsums.rewriting.algebra import expression, sum_of_products

CATALOG = Path(__file__).parent.parent / "einsums" / "catalog"
FORMS = ("running", "stepwise", "partition")
# Each summand of a late sum, what the value it waits for is, and the ranks of its inputs.
SUMMANDS = {
    "exp(X[d,p] - G[p]) * V[f,d]": "max",
    "exp(G[p] - X[d,p])": "max",
    "exp(2 * X[d,p] - 2 * G[p]) / W[d]": "max",
    "V[f,d] / exp(G[p] - X[d,p])": "max",
    "exp(X[d,p] - G[p]) * (X[d,p] - G[p])": "max",
    "(X[d,p] - G[p]) * V[f,d]": "mean",
    "(X[d,p] - G[p]) * (X[d,p] - G[p])": "mean",
    "(X[d,p] - G[p]) * (X[d,p] - G[p]) * W[d]": "mean",
    "(X[d,p] - G[p]) * (X[d,p] - G[p]) * (X[d,p] - G[p])": "min",
    "X[d,p] * G[p] * V[f,d]": "sum",
    "X[d,p] / G[p] + V[f,d]": "max",
}


def cascade_of(summand: str, last: str) -> Cascade:
    reads = {"X": ["D", "P"], "V": ["F", "D"], "W": ["D"]}
    inputs = {name: ranks for name, ranks in reads.items() if f"{name}[" in summand or name == "X"}
    out = "f,p" if "V[" in summand else "p"
    reducer = SUMMANDS[summand]
    ranks = sorted({rank for tensor in inputs.values() for rank in tensor})
    text = f"""
    G[p]      = X[d,p] :: {reducer}(d)
    T[d,{out}] = {summand}
    S[{out}]   = T[d,{out}]
    Y[{out}]   = {last.replace("S[.]", f"S[{out}]")}
    """
    return Cascade.model_validate(
        {
            "name": "law",
            "ranks": dict.fromkeys(ranks, ""),
            "inputs": inputs,
            "outputs": ["Y"],
            "einsums": text,
        }
    )


@pytest.fixture(scope="module")
def derived() -> dict[tuple[str, str], Rewriting]:
    """Every summand in every form, derived once."""
    return {
        (summand, form): rewrite(cascade_of(summand, "S[.] * G[p]"), 1, "D", RewriteOptions(form=form))
        for summand in SUMMANDS
        for form in FORMS
    }


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("summand", SUMMANDS)
def test_claimed_passes_are_the_passes(derived: dict[tuple[str, str], Rewriting], summand: str, form: str) -> None:
    found = derived[summand, form]
    assert found.passes_before == count_passes(found.original, "D") == 2
    assert found.passes == count_passes(found.cascade, "D") == 1, found.refusals


@settings(derandomize=True, deadline=None, max_examples=120)
@given(
    summand=st.sampled_from(sorted(SUMMANDS)),
    form=st.sampled_from(FORMS),
    size=st.integers(1, 17),
    tile=st.integers(1, 20),
    seed=st.integers(0, 10**6),
)
def test_derived_and_original_agree_at_any_size(
    derived: dict[tuple[str, str], Rewriting], summand: str, form: str, size: int, tile: int, seed: int
) -> None:
    found = derived[summand, form]
    rng = np.random.default_rng(seed)
    sizes = {"D": size, "P": 2, "F": 3}
    scale = 10.0 ** rng.integers(-3, 2)
    inputs = {
        tensor.name: scale * rng.normal(size=tuple(sizes[rank] for rank in tensor.ranks))
        for tensor in found.original.inputs
    }
    expected = interpret(found.original, inputs)["Y"]
    result = interpret(found.cascade, inputs, {"D0": tile} if found.cascade.partitions else {})["Y"]
    # an element may be a difference of the others' size
    np.testing.assert_allclose(
        result,
        expected,
        rtol=1e-9,
        atol=1e-11 * max(1e-30, float(np.abs(expected).max())) + 1e-13 * size * scale**4,
    )


CHEAPER = ("linear-attention-causal", "selective-scan")


@pytest.mark.parametrize("name", sorted(path.stem for path in CATALOG.glob("*.yaml")))
def test_rewriting_what_is_reached_changes_nothing(name: str) -> None:
    cascade = Cascade.model_validate(yaml.safe_load((CATALOG / f"{name}.yaml").read_text()))
    rank = next((item.name for item in cascade.ranks if count_passes(cascade, item.name) == 1), None)
    if rank is None:
        rank = cascade.ranks[0].name
    found = rewrite(cascade, count_passes(cascade, rank), rank)
    assert found.is_reached
    if name in CHEAPER:  # as many passes with fewer operations
        assert sum(row.after for row in found.operations) < sum(row.before for row in found.operations)
        return
    assert found.cascade is cascade and found.steps == ()


@pytest.mark.parametrize("form", FORMS)
def test_rewriting_a_derived_cascade_changes_nothing(derived: dict[tuple[str, str], Rewriting], form: str) -> None:
    for summand in SUMMANDS:
        once = derived[summand, form].cascade
        assert rewrite(once, 1, "D").cascade is once


@pytest.mark.parametrize("form", FORMS)
def test_names_do_not_matter(form: str) -> None:
    """The rewriter knows no cascade: attention under other names, with other ranks and lines shuffled, goes the same way."""
    text = """
    Res[g,w] = Pr[n,w] * Uv[g,n]
    Pr[n,w]  = Wx[n,w] / Nor[w]
    Nor[w]   = Wx[n,w]
    Wx[n,w]  = exp(Sco[n,w] - Top[w])
    Top[w]   = Sco[n,w] :: max(n)
    Sco[n,w] = Uq[c,w] * Uk[c,n]
    """
    inputs = {"Uq": ["C", "W"], "Uk": ["C", "N"], "Uv": ["G", "N"]}
    renamed = Cascade.model_validate(
        {
            "name": "r",
            "ranks": dict.fromkeys("CGNW", ""),
            "inputs": inputs,
            "outputs": ["Res"],
            "einsums": text,
        }
    )
    attention = Cascade.model_validate(yaml.safe_load((CATALOG / "attention-3pass.yaml").read_text()))
    ours, theirs = (rewrite(c, 1, options=RewriteOptions(form=form)) for c in (renamed, attention))
    assert [s.identity.split("(")[0] for s in ours.steps] == [s.identity.split("(")[0] for s in theirs.steps]
    assert ours.rank == "N" and ours.passes == theirs.passes == 1
    assert len(ours.cascade.einsums) == len(theirs.cascade.einsums)
    assert sorted(row.after for row in ours.operations) == sorted(row.after for row in theirs.operations)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("masked", [(0, 1, 2, 3, 4), (12,), tuple(range(12)), (3, 4, 5, 6, 7)], ids=str)
def test_derived_attention_is_softmax_attention_under_any_mask(form: str, masked: tuple[int, ...]) -> None:
    """Against plain numpy, with whole tiles of -inf scores at the start, in the middle, and all but one."""
    attention = Cascade.model_validate(yaml.safe_load((CATALOG / "attention-3pass.yaml").read_text()))
    derived = rewrite(attention, 1, "M", RewriteOptions(form=form)).cascade
    rng = np.random.default_rng(len(masked))
    q, k, v = np.abs(rng.normal(size=(4, 3))), 8 * rng.normal(size=(4, 13)), rng.normal(size=(5, 13))
    k[:, list(masked)] = -np.inf
    scores = k.T @ q
    weights = np.exp(scores - scores.max(axis=0))
    expected = v @ (weights / weights.sum(axis=0))
    for tile in (1, 4, 5, 13, 20):
        found = interpret(derived, {"Q": q, "K": k, "V": v}, {"M0": tile} if derived.partitions else {})["AV"]
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("(A[k] + B[k]) * C[k]", "A[k] * C[k] + B[k] * C[k]"),
        ("(A[k] - B[k])^2", "A[k] * A[k] - 2 * A[k] * B[k] + B[k] * B[k]"),
        ("-(A[k] - B[k]) / C[k]", "B[k] / C[k] - A[k] / C[k]"),
        ("A[k] / (B[k] / C[k])", "A[k] * C[k] / B[k]"),
        ("A[k] - A[k]", "0"),
        ("3 * A[k] * 2", "6 * A[k]"),
    ],
)
def test_sums_of_products(text: str, expected: str) -> None:
    opened = sum_of_products(parse_einsum(f"Y[k] = {text}").expr, lambda expr: expr)
    known = {"A[k]": 3.0, "B[k]": 5.0, "C[k]": 7.0}
    result = str(expression(opened))
    for name, value in known.items():
        result, expected, text = (t.replace(name, str(value)) for t in (result, expected, text))
    values = [_value(t) for t in (result, expected, text)]
    assert values[0] == pytest.approx(values[1], rel=1e-15) == pytest.approx(values[2], rel=1e-15)


def _value(text: str) -> float:
    """The number that a text without tensors means, by the interpreter."""
    einsum = f"Y[k] = {text} + 0 * U[k]"
    cascade = Cascade.model_validate(
        {"name": "n", "ranks": {"K": ""}, "inputs": {"U": ["K"]}, "outputs": ["Y"], "einsums": einsum}
    )
    return float(interpret(cascade, {"U": np.zeros(1)})["Y"][0])
