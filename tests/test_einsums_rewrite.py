"""Does the rewriter derive what is published, by itself, and only what is right?"""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import yaml

from einsums import Cascade, Workload, cascade_data, count_passes, interpret, operation_counts, rewrite
from einsums.interpreter_trials import compare, iter_trials
from einsums.rewriting import RewriteOptions, Rewriting

CATALOG = Path(__file__).parent.parent / "einsums" / "catalog"


def shipped(name: str) -> Cascade:
    return Cascade.model_validate(yaml.safe_load((CATALOG / f"{name}.yaml").read_text()))


def written(inputs: dict[str, list[str]], outputs: list[str], text: str, **more: object) -> Cascade:
    ranks = dict.fromkeys(dict.fromkeys(rank for tensor in inputs.values() for rank in tensor), "")
    return Cascade.model_validate(
        {"name": "written", "ranks": ranks, "inputs": inputs, "outputs": outputs, "einsums": text, **more}
    )


def operations(cascade: Cascade, sizes: dict[str, int]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for row in operation_counts(Workload.model_validate({"cascade": cascade, "bits": 16, "sizes": sizes})):
        counts[row.operator] += row.count
    return counts


# --- attention ----------------------------------------------------------------------------------------------
ATTENTION_SIZES = ({"M": 4096, "M0": 256}, {"M": 13, "M0": 4}, {"M": 7, "M0": 16}, {"M": 5, "M0": 1})


@pytest.fixture(scope="module")
def attention() -> Rewriting:
    return rewrite(shipped("attention-3pass"), 1)


def test_attention_goes_from_three_passes_to_two_to_one(attention: Rewriting) -> None:
    assert attention.rank == "M"
    assert [(step.passes_before, step.passes_after) for step in attention.steps] == [(3, 2), (2, 1)]
    assert [step.identity.split(":")[0] for step in attention.steps] == [
        "deferral",
        "iteration (running over M1 x M0)",
    ]
    assert count_passes(attention.cascade, "M") == attention.passes == 1
    assert attention.reason == "1 is the floor: every element of M has to be visited once"


@pytest.mark.parametrize("sizes", ATTENTION_SIZES, ids=str)
def test_derived_attention_costs_what_the_published_one_costs(attention: Rewriting, sizes: dict[str, int]) -> None:
    every = {"B": 2, "H": 3, "E": 5, "F": 7, "P": 11, **sizes}
    assert operations(attention.cascade, every) == operations(shipped("attention-1pass"), every)


def test_derived_attention_is_the_published_one_but_for_where_the_maximum_starts(
    attention: Rewriting,
) -> None:
    published = shipped("attention-1pass")
    assert set(attention.cascade.einsums) == set(published.einsums)
    assert attention.cascade.partitions == published.partitions
    assert attention.cascade.initial_value("RM") == -1e300
    assert published.initial_value("RM") == -np.inf


def test_two_passes_are_the_deferred_division() -> None:
    derived = rewrite(shipped("attention-3pass"), 2)
    assert set(derived.cascade.einsums) == set(shipped("attention-3pass-deferred").einsums)
    assert derived.reason == ""
    (step,) = derived.steps
    assert [(row.operator, row.before, row.after) for row in step.operations if row.before != row.after] == [
        ("div", 4096 * 64, 64 * 64)
    ]


def test_local_maxima_give_the_published_two_passes_without_deferral() -> None:
    """The masking of tiles that are all -inf is what the derived cascade has in addition: 2 operations for each tile."""
    options = RewriteOptions(identities=("iteration",), form="partition")
    derived = rewrite(shipped("attention-3pass"), 2, "M", options)
    sizes = {"B": 1, "H": 1, "E": 5, "F": 7, "P": 11, "M": 13, "M0": 4}
    assert derived.passes == 2
    masking = Counter({"eq": 4 * 11, "select": 4 * 11})
    assert operations(derived.cascade, sizes) == operations(shipped("attention-2pass"), sizes) + masking
    assert any("-inf in K" in refusal.reason for refusal in derived.refusals)


@pytest.mark.parametrize("name", ["attention-2pass", "attention-2pass-deferred"])
def test_two_pass_attention_becomes_a_static_split_by_deferral_alone(name: str) -> None:
    derived = rewrite(shipped(name), 1)
    assert derived.passes == 1
    assert [step.identity.split(":")[0] for step in derived.steps] == ["deferral"]
    assert str(derived.cascade.einsum("SLNV")) == "SLNV[f,m1,p] = SLN[m1,m0,p] * V[f,m1*M0+m0]"
    assert str(derived.cascade.einsum("SNV")) == "SNV[f,p] = SLNV[f,m1,p] * PLM[m1,p]"


def test_naive_attention_needs_the_deferral_only() -> None:
    derived = rewrite(shipped("attention-naive"), 1)
    assert set(derived.cascade.einsums) == set(shipped("attention-naive-deferred").einsums)


# --- the teaching cascades ----------------------------------------------------------------------------------
def test_first_teaching_cascade_becomes_the_second() -> None:
    derived = rewrite(shipped("pedagogical-1"), 1)
    sizes = {"K": 100}
    assert derived.passes == 1
    assert operations(derived.cascade, sizes) == operations(shipped("pedagogical-2"), sizes)


def test_first_teaching_cascade_becomes_the_third_where_its_divisor_is_not_zero() -> None:
    options = RewriteOptions(identities=("iteration",), form="stepwise", conditional=True)
    derived = rewrite(shipped("pedagogical-1"), 1, "K", options)
    sizes = {"K": 100}
    assert derived.passes == 1
    assert operations(derived.cascade, sizes) == operations(shipped("pedagogical-3"), sizes)
    assert derived.comparison is not None and derived.comparison.outside > 0
    assert "not zero" in derived.steps[0].caveat


def test_third_teaching_cascade_is_not_derived_without_its_condition() -> None:
    options = RewriteOptions(identities=("iteration",), form="stepwise")
    derived = rewrite(shipped("pedagogical-1"), 1, "K", options)
    assert derived.cascade == shipped("pedagogical-1") and derived.steps == ()
    assert [refusal.reason for refusal in derived.refusals] == [
        "Z sums a multiple of Y[], which could be carried over by a ratio only where it is not zero (allowed by `conditional`)"
    ]


def test_third_teaching_cascade_fails_where_its_divisor_is_zero() -> None:
    """Why it is conditional: the published cascade itself forgets what it summed while Y was zero."""
    found = compare(shipped("pedagogical-1"), shipped("pedagogical-3"), "K")
    assert found.counterexample is not None and found.counterexample.case == "0 in B"


# --- beyond attention ---------------------------------------------------------------------------------------
def test_variance_refuses_moments_and_takes_the_merging_formula() -> None:
    derived = rewrite(shipped("variance"), 1)
    assert derived.passes == 1
    assert [refusal.identity.split(":")[0] for refusal in derived.refusals] == ["expansion"]
    assert "g the mean" in derived.steps[0].identity


@pytest.mark.parametrize("form", ["running", "stepwise", "partition"])
def test_one_pass_variance_keeps_digits_far_from_zero(form: str) -> None:
    derived = rewrite(shipped("variance"), 1, "D", RewriteOptions(form=form)).cascade  # type: ignore[arg-type]
    x = np.random.default_rng(3).normal(size=(29, 4)) + 1e7
    sizes = {} if form == "stepwise" else {"D0": 6}
    exact = np.var(x - 1e7, axis=0)  # the shift is exact and takes the conditioning away
    np.testing.assert_allclose(interpret(derived, {"X": x}, sizes)["VAR"], exact, rtol=1e-7)


def test_layer_norm_keeps_two_passes_because_every_output_waits() -> None:
    derived = rewrite(shipped("layernorm"), 1)
    assert (derived.passes_before, derived.passes, derived.is_reached) == (3, 2, False)
    assert derived.reason.endswith("Y is an output with an element for each of D, and each needs it")


def test_softmax_keeps_two_passes() -> None:
    derived = rewrite(shipped("softmax"), 1)
    assert (derived.passes_before, derived.passes) == (3, 2)
    assert derived.reason.startswith("2 passes over M remain: ")


def test_layer_norm_before_a_linear_layer_takes_one_pass() -> None:
    derived = rewrite(shipped("layernorm-linear"), 1)
    assert derived.passes == 1
    rng = np.random.default_rng(0)
    shapes = {"X": (19, 3), "GA": (19,), "BE": (19,), "W": (5, 19)}
    tensors = {name: rng.normal(size=shape) for name, shape in shapes.items()}
    x = tensors["X"]
    norm = (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + 1e-5)
    expected = tensors["W"] @ (norm * tensors["GA"][:, None] + tensors["BE"][:, None])
    found = interpret(derived.cascade, {**tensors, "EPS": np.array(1e-5)}, {"D0": 5})["O"]
    np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-12)


def test_rms_norm_before_a_linear_layer_takes_one_pass_by_deferral() -> None:
    derived = rewrite(shipped("rmsnorm-linear"), 1)
    assert derived.passes == 1 and [s.identity.split(":")[0] for s in derived.steps] == ["deferral"]


def test_sharded_cross_entropy_needs_one_barrier() -> None:
    derived = rewrite(shipped("cross-entropy-sharded"), 1, "V", RewriteOptions(form="partition"))
    assert derived.passes == 1
    assert any(refusal.reason.startswith("on masked by") for refusal in derived.refusals)
    rng = np.random.default_rng(2)
    x, w, target = rng.normal(size=(4, 6)), 9 * rng.normal(size=(23, 6)), rng.integers(23, size=4)
    logits = w @ x.T
    shifted = logits - logits.max(axis=0)
    expected = np.log(np.exp(shifted).sum(axis=0)) - shifted[target, np.arange(4)]
    inputs = {"X": x, "W": w, "T": np.eye(23)[target].T}
    for shard in (1, 5, 6, 23, 40):
        found = interpret(derived.cascade, inputs, {"V0": shard})["LOSS"]
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


COVARIANCE = written(
    {"X": ["D"], "Y": ["D"]},
    ["C"],
    "MX[] = X[d] :: mean(d); MY[] = Y[d] :: mean(d); C[] = (X[d] - MX[]) * (Y[d] - MY[]) :: mean(d)",
)
ENTROPY = written(
    {"X": ["D", "P"]},
    ["H"],
    "GM[p] = X[d,p] :: max(d); XC[d,p] = X[d,p] - GM[p]; SN[d,p] = exp(XC[d,p]); SD[p] = SN[d,p]\n"
    "A[d,p] = SN[d,p] / SD[p]; E[p] = A[d,p] * XC[d,p]; H[p] = log(SD[p]) - E[p]",
)
SKEWNESS = written(
    {"X": ["D", "P"]},
    ["S"],
    "MU[p] = X[d,p] :: mean(d); C[d,p] = X[d,p] - MU[p]; VAR[p] = C[d,p] * C[d,p] :: mean(d)\n"
    "I[p] = rsqrt(VAR[p]); S[p] = C[d,p] * C[d,p] * C[d,p] * I[p] * I[p] * I[p] :: mean(d)",
)
RANGE = written({"X": ["D"]}, ["R"], "LO[] = X[d] :: min(d); C[d] = X[d] - LO[]; R[] = C[d] :: max(d)")


@pytest.mark.parametrize("form", ["running", "stepwise", "partition"])
@pytest.mark.parametrize("cascade", [COVARIANCE, ENTROPY, SKEWNESS, RANGE], ids=["cov", "entropy", "skew", "range"])
def test_cascades_that_nobody_listed_take_one_pass(cascade: Cascade, form: str) -> None:
    derived = rewrite(cascade, 1, "D", RewriteOptions(form=form))  # type: ignore[arg-type]
    assert derived.passes == count_passes(derived.cascade, "D") == 1
    assert derived.comparison is not None and derived.comparison.is_equal


def test_dependence_without_identity_is_named() -> None:
    cascade = written({"X": ["D"]}, ["S"], "MU[] = X[d] :: mean(d); C[d] = tanh(X[d] - MU[]); S[] = C[d]")
    derived = rewrite(cascade, 1, "D", RewriteOptions(form="stepwise"))
    assert derived.cascade == cascade and not derived.is_reached
    assert [refusal.reason for refusal in derived.refusals] == [
        "S reduces tanh(X[d] - MU[]) over D, which depends on MU (known only after all of D) through a function that "
        "is neither exp nor a power: no known identity carries it over to a new value"
    ]
    assert derived.reason.startswith("2 passes over D remain: MU reduces over d and is complete only after all of D")


def test_output_maximum_stays_exact_where_all_is_infinite() -> None:
    """A running maximum that starts at a finite number is not handed out: the local maxima are."""
    cascade = written({"X": ["D"]}, ["GM", "SD"], "GM[] = X[d] :: max(d); SN[d] = exp(X[d] - GM[]); SD[] = SN[d]")
    derived = rewrite(cascade, 1).cascade
    assert interpret(derived, {"X": np.full(5, -np.inf)}, {"D0": 2})["GM"] == -np.inf
    assert count_passes(derived, "D") == 1


def test_rank_that_cannot_be_split_is_said() -> None:
    text = "GM[] = X[d] :: max(d); SN[d] = exp(X[d] - GM[]); SD[] = SN[d] * W[d+p]"
    cascade = written({"X": ["D"], "W": ["R"], "Z": ["P"]}, ["SD", "ZP"], text + "; ZP[] = Z[p]")
    derived = rewrite(cascade, 1, "D")
    assert [refusal.reason for refusal in derived.refusals] == ["rank D cannot be split: SD uses W[d+p], index 'd+p'"]


def test_later_passes_are_reduced_though_they_wait_for_earlier_ones() -> None:
    """Two LayerNorms in a row, the second of which reads every element of the first through a matrix."""
    cascade = written(
        {"X": ["D"], "W": ["S", "D"]},
        ["VB"],
        "MA[] = X[d] :: mean(d); CA[d] = X[d] - MA[]; VA[] = CA[d] * CA[d] :: mean(d); Y[d] = tanh(CA[d] / VA[])\n"
        "Z[s] = W[s,d] * Y[d]; U[d] = W[s,d] * Z[s]; MB[] = U[d] :: mean(d); CB[d] = U[d] - MB[]\n"
        "VB[] = CB[d] * CB[d] :: mean(d)",
    )
    derived = rewrite(cascade, 1, "D", RewriteOptions(identities=("iteration",)))
    assert (derived.passes_before, derived.passes) == (5, 3)
    assert [(step.passes_before, step.passes_after) for step in derived.steps] == [(5, 4), (4, 3)]
    assert any("tanh" in refusal.reason or "waits" in refusal.reason for refusal in derived.refusals)


# --- the check ----------------------------------------------------------------------------------------------
BREAKAGES = {
    "no correction of the denominator": ("RD[m1,p] * PRM[m1,p]", "RD[m1,p]"),
    "no correction of the numerator": ("RNV[f,m1,p] * PRM[m1,p]", "RNV[f,m1,p]"),
    "correction upside down": ("exp(RM[m1,p] - RM[m1+1,p])", "exp(RM[m1+1,p] - RM[m1,p])"),
    "old maximum": ("QK[m1,m0,p] - RM[m1+1,p]", "QK[m1,m0,p] - RM[m1,p]"),
    "local maximum": ("QK[m1,m0,p] - RM[m1+1,p]", "QK[m1,m0,p] - LM[m1,p]"),
    "minimum": (":: max(m0)", ":: min(m0)"),
}


@pytest.mark.parametrize("name", BREAKAGES)
def test_check_refuses_a_broken_derivation(attention: Rewriting, name: str) -> None:
    old, new = BREAKAGES[name]
    data = cascade_data(attention.cascade)
    assert old in data["einsums"]
    broken = Cascade.model_validate(data | {"einsums": data["einsums"].replace(old, new)})
    found = compare(shipped("attention-3pass"), broken, "M")
    assert not found.is_equal and found.counterexample is not None


def test_check_refuses_the_published_start_of_the_maximum() -> None:
    """A tile that is all -inf makes exp(-inf + inf) in the published cascade, which has no masks."""
    found = compare(shipped("attention-3pass"), shipped("attention-1pass"), "M")
    assert str(found.counterexample).startswith("on -inf in K inputs (M0 = 1) AV[0,0] is nan, not ")


def test_check_refuses_lost_digits() -> None:
    moments = Cascade.model_validate(
        cascade_data(shipped("variance"))
        | {"einsums": "MU[n] = X[d,n] :: mean(d); S[n] = X[d,n]^2 :: mean(d); VAR[n] = S[n] - MU[n]*MU[n]"}
    )
    assert not compare(shipped("variance"), moments, "D").is_equal


@pytest.mark.parametrize("name", ["attention-3pass", "layernorm-linear", "cross-entropy-sharded", "pedagogical-1"])
def test_check_accepts_a_cascade_against_itself(name: str) -> None:
    cascade = shipped(name)
    found = compare(cascade, cascade, cascade.ranks[-1].name)
    assert found.is_equal and found.largest == 0


def test_trials_hold_what_they_are_called() -> None:
    trials = {trial.name: trial.inputs for trial in iter_trials(shipped("attention-3pass"), "M")}
    assert {
        "large",
        "tiny",
        "equal",
        "one huge",
        "-inf in K",
        "zero",
        "K far from zero",
        "masked by K",
    } <= set(trials)
    assert np.all(trials["-inf in K"]["K"][:, :5] == -np.inf) and np.all(trials["masked by K"]["V"][:, :5] == 0)
    assert len({float(v) for v in trials["equal"]["K"].flat}) == 1
    assert np.all(np.isfinite(trials["one huge"]["K"]))


# --- arguments ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("passes", [0, -1, True, 1.5])
def test_fewer_than_one_pass_is_refused(passes: int) -> None:
    with pytest.raises(ValueError) as caught:
        rewrite(shipped("attention-3pass"), passes)
    assert (
        str(caught.value)
        == f"passes must be an integer of at least 1 (every element is visited once), found {passes!r}"
    )


def test_unknown_rank_is_refused() -> None:
    with pytest.raises(ValueError) as caught:
        rewrite(shipped("pedagogical-1"), 1, "M")
    assert str(caught.value) == "no rank in pedagogical-1 is called 'M' (known: K)"


@pytest.mark.parametrize("name", sorted(path.stem for path in CATALOG.glob("*.yaml")))
def test_cascade_survives_its_plain_data(name: str) -> None:
    cascade = shipped(name)
    again = Cascade.model_validate(yaml.safe_load(yaml.safe_dump(cascade_data(cascade), sort_keys=False)))
    assert again == cascade and again.initial == cascade.initial
