"""Does `einfuse verify` decide rightly, and say why? Designs that pass, designs that must not, and every message."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from sim import IllegalMapping, VerifyOptions, load_cascade, load_experiment, verify
from sim.functional.compare import Subject, compare
from sim.functional.inputs import divided_inputs, input_sets, long_rank, weighed_inputs
from sim.functional.program import workload_of
from sim.functional.references import computations, equals_of, operator_names
from sim.functional.sizes import reduced_experiment, sizes_of_cascade, tile_of_rank
from tests.small_design import run, write_design
from tests.test_functional_engine import SHIPPED, TINY, tiny

CATALOG = Path(__file__).parents[1] / "einsums" / "catalog"
SMALL = [f"--set={key}={value}" for key, value in {**TINY, "seq_len": 14}.items()]
SMALL_CASCADE = [f"--set={rank}={size}" for rank, size in {"B": 1, "H": 2, "E": 8, "F": 8, "M": 21, "P": 9}.items()]


def broken_cascade(folder: Path, *changes: tuple[str, str], name: str = "attention-1pass") -> Path:
    """A copy of a shipped cascade with lines replaced."""
    text = (CATALOG / f"{name}.yaml").read_text()
    for old, new in changes:
        text, count = re.subn(re.escape(old).replace(r"\ ", r"\s+"), new, text)
        assert count == 1, old
    (folder / "broken.yaml").write_text(text)
    return folder / "broken.yaml"


# --- designs that pass --------------------------------------------------------------------------------------
@pytest.mark.parametrize("length", [4, 9, 14])
@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_design_passes(name: str, length: int) -> None:
    """At one, several and ragged tiles, with words of every kind, under its machine's exponential."""
    precisions = ("fp64", "fp32", "fp16", "bf16", "bf16-running")
    found = verify(tiny(name, length), VerifyOptions(precisions, seed=length, whole=True))
    assert found.passes, found.failures[0]
    assert [precision for precision, _ in found.comparisons] == list(precisions)
    outputs = {row.subject.against for _, rows in found.comparisons for row in rows if row.subject.is_output}
    assert outputs == (
        {"the interpreter"}
        if "linear" in name or name in ("unfused", "flat", "attention-3pass-fused")
        else {"the interpreter", "attention-3pass"}
    )


@pytest.mark.parametrize("name", ["attention-3pass", "pedagogical-2"])
def test_stated_equals_are_equal(name: str) -> None:
    """The catalog says which cascades compute the same: in fp64, on every set of inputs, they do."""
    found = verify(load_cascade(name), VerifyOptions(("fp64",)))
    assert found.passes, found.failures[0]
    against = {row.subject.against for _, rows in found.comparisons for row in rows}
    assert against == {"the interpreter", *equals_of(name)}


@pytest.mark.parametrize("name", ["encoder-layer", "layernorm", "cross-entropy-sharded", "variance", "logsumexp"])
def test_bare_cascades_pass(name: str) -> None:
    sizes = (("H", 2), ("E", 8), ("F", 6), ("S", 20), ("P", 9)) if name == "encoder-layer" else ()
    found = verify(load_cascade(name), VerifyOptions(("fp64", "fp32", "bf16"), sizes=sizes))
    assert found.passes, found.failures[0]


def test_the_catalog_of_equals_names_what_ships() -> None:
    names = {path.stem for path in CATALOG.glob("*.yaml")}
    for computation in computations():
        assert {computation.definition, *computation.cascades} <= names
        assert computation.definition not in computation.cascades


def test_operators_name_cascades_and_their_tensors() -> None:
    from kernels.cascades import OPERATORS

    for operator in OPERATORS:
        for name in {operator.computes, operator.steps}:
            cascade = load_cascade(name)
            for operand in (*operator.operands, operator.result):
                assert sorted(cascade.ranks_of(operand.tensor)) == sorted(operand.ranks), operator.name
    assert operator_names("attention-3pass") == ("attention", "attention_unfused", "scores", "probabilities")
    assert operator_names("causal-attention-3pass") == ("attention", "attention_unfused")
    assert operator_names("variance") == ()


# --- designs that must not pass -----------------------------------------------------------------------------
CORRECTIONS = {
    "SPD": ("SPD[m1,p] = RD[m1,p] * PRM[m1,p]", "SPD[m1,p] = RD[m1,p]"),
    "SPNV": ("SPNV[f,m1,p] = RNV[f,m1,p] * PRM[m1,p]", "SPNV[f,m1,p] = RNV[f,m1,p]"),
    "PRM": ("PRM[m1,p] = exp(RM[m1,p] - RM[m1+1,p])", "PRM[m1,p] = exp(RM[m1+1,p] - RM[m1+1,p])"),
}


@pytest.mark.parametrize("dropped", CORRECTIONS)
def test_a_dropped_correction_fails(dropped: str, tmp_path: Path) -> None:
    path = broken_cascade(tmp_path, CORRECTIONS[dropped])
    status, out, err = run(["verify", "fusemax-binding", *SMALL, "--set", f"cascade={path}", "--precision", "fp32"])
    assert (status, err) == (1, "")
    assert "FAIL: " in out
    sentence = re.search(
        r"fp32: the engine on rising inputs: AV\[b=0, h=[01], f=\d, p=\d+\] is \S+, attention-3pass has \S+: "
        r"(\S+) off, beyond the bound of (\S+)\n",
        out,
    )
    assert sentence and float(sentence[1]) > 100 * float(sentence[2])


def test_a_dropped_correction_fails_in_bf16_too(tmp_path: Path) -> None:
    path = broken_cascade(tmp_path, CORRECTIONS["SPNV"])
    arguments = ["verify", "fusemax-binding", "--set", f"cascade={path}", "--precision", "bf16"]
    status, out, _ = run([*arguments, "--set", "ranks.P=40", "--set", "model.head_size=16"])
    assert status == 1 and "beyond the bound" in out


@pytest.mark.parametrize("name", ["unfused", "flat", "attention-3pass-fused"])
def test_a_changed_definition_is_compared_with_the_shipped_one(name: str, tmp_path: Path) -> None:
    inverse = ("A[m,p] = SN[m,p] / SD[p]", "A[m,p] = SN[m,p] * (1 / SD[p])")
    path = broken_cascade(tmp_path, inverse, name="attention-3pass")
    status, out, _ = run(["verify", name, *SMALL, "--set", f"cascade={path}", "--precision", "fp32"])
    assert status == 0 and "fp32: the engine against the shipped attention-3pass" in out
    wrong = (inverse[0], "A[m,p] = SN[m,p] / (SD[p] + 1)")
    path = broken_cascade(tmp_path, wrong, name="attention-3pass")
    status, out, _ = run(["verify", name, *SMALL, "--set", f"cascade={path}", "--precision", "fp32"])
    assert status == 1 and ", the shipped attention-3pass has " in out


def test_a_name_with_another_interface_is_compared_with_itself_only(tmp_path: Path) -> None:
    changes = (
        ("inputs: {X: [M, P]}", "inputs: {X: [M, P], W: [M]}"),
        ("A[m,p] = SN[m,p] / SD[p]", "A[m,p] = W[m] * SN[m,p] / SD[p]"),
    )
    path = broken_cascade(tmp_path, *changes, name="softmax")
    status, out, _ = run(["verify", str(path), "--set", "B=1", "--backend", "torch", "--precision", "fp32"])
    assert (
        status == 0 and "shipped" not in out and "  operators    no operator of the kernels computes 'softmax'\n" in out
    )


def test_a_wrong_sum_fails_against_a_named_cascade(tmp_path: Path) -> None:
    """A cascade under another name is compared with what --against says it computes."""
    changes = (("name: attention-3pass", "name: mine"), ("SD[p] = SN[m,p]", "SD[p] = SN[m,p] * SN[m,p]"))
    path = broken_cascade(tmp_path, *changes, name="attention-3pass")
    alone, _, _ = run(["verify", str(path), *SMALL_CASCADE])
    status, out, _ = run(["verify", str(path), *SMALL_CASCADE, "--against", "attention-3pass"])
    assert (alone, status) == (0, 1)
    assert "fp64: the engine on rising inputs: AV[" in out


def test_comparison_names_the_worst_element() -> None:
    subject = Subject("AV", ("F", "P"), True, "ordinary", "the engine", "the interpreter")
    expected = np.array([[1.0, 2.0], [3.0, np.nan]])
    found = expected + np.array([[1e-3, 0.0], [2e-3, 5.0]])
    row = compare(subject, found, expected, np.array([[1e-4, 1.0], [1e-2, 1.0]]))
    assert not row.passes and (row.elements, row.undefined, row.unbounded) == (3, 1, 0)
    assert str(row) == (
        "the engine on ordinary inputs: AV[f=0, p=0] is 1.001, the interpreter has 1: 0.001 off, beyond the bound of 0.0001"
    )
    assert row.largest_error == pytest.approx(2e-3) and row.share_of_bound == pytest.approx(10)
    assert compare(subject, found, expected, np.full((2, 2), 1e-2)).passes
    lost = compare(subject, np.array([[np.nan, 2.0], [3.0, 0.0]]), expected, np.full((2, 2), 1e-2))
    assert not lost.passes and lost.worst == (0, 0)
    unbounded = compare(subject, np.array([[np.inf, 2.0], [3.0, 0.0]]), expected, np.array([[np.inf, 1.0], [1.0, 1.0]]))
    assert unbounded.passes and unbounded.unbounded == 1
    infinite = np.array([[-np.inf, 1.0]])
    assert compare(subject, infinite, infinite, np.zeros((1, 2))).passes
    assert not compare(subject, -infinite, infinite, np.zeros((1, 2))).passes


# --- legality, options, messages ----------------------------------------------------------------------------
def test_an_illegal_mapping_is_refused_with_its_reasons(tmp_path: Path) -> None:
    write_design(tmp_path, {"mapping.yaml": [("loops: [b, {p: P1}]", "loops: [b, {m: 1}, {p: P1}]")]})
    status, out, err = run(["verify", str(tmp_path / "experiment.yaml")])
    assert (status, out) == (1, "")
    assert "the value is not complete there" in err


def test_a_tile_that_does_not_fit_is_refused() -> None:
    experiment = load_experiment("fusemax-binding", {"architecture.components.GLB.size": "64 KiB"})
    with pytest.raises(IllegalMapping, match="'GLB' holds 64 KiB but the tiles it keeps need"):
        verify(experiment)


MESSAGES = {
    ("fusemax-bindin",): "einfuse: no experiment or cascade called 'fusemax-bindin' (did you mean 'fusemax-binding'?); shipped: ",
    ("flat", "--exp", "polynomial"): (
        "einfuse: array 'PE1D' of 'flat-cloud' does not say how many multiply-adds its exponential is made of: expected an "
        "operation such as 'exp: {made_of: {macc: 6}}', or --exp exact"
    ),
    ("flat", "--exp", "taylor"): "einfuse: no exponential is called 'taylor'; there are: exact, polynomial",
    ("flat", "--backend", "numpi"): "einfuse: no backend is called 'numpi' (did you mean 'numpy'?); there are: numpy, torch, triton",
    ("flat", "--precision", "fp33"): (
        "einfuse: no precision is called 'fp33' (did you mean 'fp32'?); there are: fp64, fp32, fp16, bf16, fp16-running, "
        "bf16-running"
    ),
    ("flat", "--precision", "fp64", "--backend", "triton"): "einfuse: the triton kernels take fp32, fp16 and bf16, got fp64",
    ("softmax", "--exp", "polynomial"): "einfuse: 'softmax' is a cascade without a machine, whose exponential is exact",
    ("softmax", "--set", "N=4"): "--set: $.N: 'softmax' has no rank 'N' to set (known: B, H, M, P)",
    ("softmax", "--set", "M=0"): "--set: $.M: expected a whole number from 1 to 1048576, got '0'",
    ("softmax", "--set", "M=x"): "--set: $.M: expected a whole number from 1 to 1048576, got 'x'",
    ("softmax", "--against", "logsumexp"): (
        "einfuse: 'softmax' cannot be compared with 'logsumexp': their outputs differ (A[M,P] and LSE[P])"
    ),
    ("softmax", "--against", "softmaxx"): "einfuse: no cascade called 'softmaxx' (did you mean 'softmax'?); shipped: ",
    ("linear-layers", "--set", "T=1000000", "--set", "D=1000000"): (
        "einfuse: 'linear-layers' has 144,000,000,000,000 points at these sizes, at most 2,000,000,000 are run on numbers: "
        "make ranks shorter"
    ),
}  # fmt: skip


@pytest.mark.parametrize("arguments", MESSAGES, ids=" ".join)
def test_bad_input_is_one_sentence(arguments: tuple[str, ...]) -> None:
    status, out, err = run(["verify", *arguments])
    assert (status, out) == (2, "")
    expected = MESSAGES[arguments]
    if expected.endswith("shipped: "):
        assert err.startswith(expected) and err.count("\n") == 1
    else:
        assert err == expected + "\n"


def test_json_is_one_document() -> None:
    status, out, err = run(["verify", "fusemax-binding", *SMALL, "--json", "--seed", "3"])
    document = json.loads(out)
    assert (status, err) == (0, "")
    assert list(document) == [
        "schema", "design", "cascade", "sizes", "given_sizes", "seed", "exponential", "backend", "passes", "comparisons",
    ]  # fmt: skip
    assert document["schema"] == "einfuse-verify-1" and document["passes"] and document["seed"] == 3
    assert document["exponential"] == {"PE2D": 6, "PE1D": 6}
    assert {row["precision"] for row in document["comparisons"]} == {"fp32", "bf16"}
    row = document["comparisons"][0]
    assert list(row["worst"]) == ["b", "h", "m1", "m0", "p"] and row["passes"]


def test_same_seed_same_answer() -> None:
    options = VerifyOptions(("fp32",), seed=5, whole=True)
    first, second = (verify(tiny("flat", 9), options).to_json() for _ in range(2))
    assert first == second
    other = verify(tiny("flat", 9), VerifyOptions(("fp32",), seed=6, whole=True)).to_json()
    assert other["comparisons"] != first["comparisons"]


def test_exact_and_polynomial_differ_where_the_machine_has_one() -> None:
    found = {
        how: verify(tiny("fusemax-binding", 9), VerifyOptions(("fp32",), exponential=how, whole=True)).to_json()
        for how in (None, "polynomial", "exact")
    }
    assert found[None] == found["polynomial"]
    assert found["exact"]["exponential"] == {"PE2D": "exact", "PE1D": "exact"}
    assert found["exact"]["comparisons"] != found["polynomial"]["comparisons"]


# --- sizes and inputs ---------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", SHIPPED)
def test_reduced_sizes_have_several_and_ragged_tiles(name: str) -> None:
    experiment = load_experiment(name)
    reduced = dict(reduced_experiment(experiment).sizes)
    tiles = tile_of_rank(experiment)
    long = long_rank(experiment.cascade, weighed_inputs(experiment.cascade))
    for rank, tile in tiles.items():
        assert tile == 256
        assert dict(experiment.sizes)[rank] <= tile or (reduced[rank] > tile and reduced[rank] % tile), rank
    if "linear" not in name:
        assert reduced[long] == 2 * 256 + 86 and reduced["B"] == 1
    assert all(size <= dict(experiment.sizes)[rank] for rank, size in reduced.items())


def test_sizes_that_are_set_are_kept() -> None:
    experiment = load_experiment("fusemax-binding", {"ranks.P": 700})
    assert dict(reduced_experiment(experiment, {"P"}).sizes)["P"] == 700
    status, out, _ = run(["verify", "fusemax-binding", *SMALL, "--set", "ranks.P=11", "--precision", "fp32"])
    assert status == 0 and "P 11," in out


def test_roles_of_inputs() -> None:
    attention = load_cascade("attention-1pass")
    assert weighed_inputs(attention) == ("Q", "K")
    assert divided_inputs(attention) == {"Q": ("E",)}
    assert long_rank(attention, ("Q", "K")) == "M"
    linear = load_cascade("linear-layers")
    assert divided_inputs(linear) == {
        "WQ": ("D",), "WK": ("D",), "WV": ("D",), "WZ": ("A",), "W1": ("D",), "W2": ("S",)
    }  # fmt: skip
    softmax = load_cascade("softmax")
    assert weighed_inputs(softmax) == ("X",) and long_rank(softmax, ("X",)) == "M"


def test_inputs_are_what_their_names_say() -> None:
    cascade = load_cascade("attention-3pass")
    sizes = {"B": 1, "H": 1, "E": 32, "F": 4, "M": 400, "P": 50}
    workload = workload_of(cascade, sizes)
    scores = {one.name: np.einsum("bhep,bhem->mp", one.arrays["Q"], one.arrays["K"]) for one in input_sets(workload, 0)}
    assert abs(scores["ordinary"].std() - 1) < 0.1
    assert abs(scores["large"].std() - 30) < 3
    assert np.ptp(scores["equal"]) < 1e-9
    assert np.abs(scores["one huge"]).max(axis=1).argmax() == 350
    rising = scores["rising"]
    tile_maxima = rising.reshape(8, 50, 50).max(axis=1)
    assert (np.diff(tile_maxima, axis=0) > 0).mean() > 0.95
    assert sizes_of_cascade(cascade, {"M": 400})["M"] == 400


# --- torch and triton ---------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("name", "precision", "made_by"),
    [
        ("attention-1pass", "fp32", "triton's interpreter: attention"),
        ("attention-3pass", "bf16", "triton's interpreter: attention_unfused"),
        ("causal-attention-1pass", "fp32", "triton's interpreter: attention"),  # the kernels' own option
        ("causal-attention-3pass", "fp32", "triton's interpreter: attention_unfused"),
        ("sliding-attention", "fp32", "triton's interpreter: attention"),  # and so are windows
        ("grouped-attention", "fp32", "triton's interpreter: attention"),
        ("decode-attention", "fp32", "triton's interpreter: decode"),
    ],
)
def test_kernels_agree(name: str, precision: str, made_by: str) -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("triton")
    if torch.cuda.is_available():
        made_by = made_by.replace("triton's interpreter", "triton on a GPU")
    window = ["--set=W=7"] if name == "sliding-attention" else []  # hides keys of 21, and of one tile some
    small = [size for size in SMALL_CASCADE if not (name == "decode-attention" and "P=" in size)]  # it has one query
    sizes = [*small, *window]
    status, out, err = run(["verify", name, *sizes, "--backend", "triton", "--precision", precision, "--json"])
    document = json.loads(out)
    assert (status, err) == (0, "")
    pairs = {(row["made_by"], row["against"]) for row in document["comparisons"] if row["is_output"]}
    assert {
        ("the engine", "torch in fp64"),
        (f"torch in {precision}", "the interpreter"),
        (made_by, "the interpreter"),
    } <= pairs


@pytest.mark.parametrize("name", ["sliding-meta-attention", "ragged-attention", "packed-attention"])
def test_masks_are_tensors_for_torch(name: str) -> None:
    """Cascades with conditions that no kernel computes are run in torch Einsum by Einsum."""
    pytest.importorskip("torch")
    status, out, err = run(["verify", name, "--backend", "torch", "--precision", "fp64", "--json"])
    assert (status, err) == (0, "")
    rows = [row for row in json.loads(out)["comparisons"] if row["made_by"].endswith("in fp64, by itself")]
    assert {row["tensor"] for row in rows} == {einsum.name for einsum in load_cascade(name).einsums}


def test_what_no_operator_computes_is_said() -> None:
    pytest.importorskip("torch")
    status, out, _ = run(["verify", "variance", "--backend", "torch", "--precision", "fp64"])
    assert status == 0
    assert "  operators    no operator of the kernels computes 'variance'\n" in out


def test_a_failure_of_the_operators_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    monkeypatch.setattr("sim.functional.references.sys.executable", "/bin/false")
    status, out, err = run(["verify", "softmax", "--backend", "torch", "--precision", "fp64"])
    assert (status, out, err) == (2, "", "einfuse: the operators could not be run: it said nothing\n")


def test_torch_has_the_tensors_between() -> None:
    """Scores and probabilities of attention in three passes; one pass has neither as torch has them."""
    pytest.importorskip("torch")
    compared = {}
    for name in ("flat", "fusemax-binding"):
        found = verify(tiny(name, 14), VerifyOptions(("fp32",), backend="torch", whole=True))
        assert found.passes, found.failures[0]
        rows = [row.subject for _, rows in found.comparisons for row in rows]
        compared[name] = {row.tensor for row in rows if row.against == "torch in fp64"}
    assert compared == {"flat": {"QK", "A", "AV"}, "fusemax-binding": {"AV"}}


@pytest.mark.parametrize("name", ["linear-layers", "layernorm", "rmsnorm-linear", "softmax"])
def test_torch_agrees(name: str) -> None:
    pytest.importorskip("torch")
    found = verify(load_cascade(name), VerifyOptions(("fp64",), backend="torch"))
    assert found.passes, found.failures[0]
    assert any(row.subject.against == "torch in fp64" for _, rows in found.comparisons for row in rows)
