"""What verification is run on: drawn sets by domain, masks of -inf, arrays of one's own; and what shows nothing."""

import numpy as np

from einsums.types import Cascade
from einsums.workload import Workload
from sim import load_cascade, load_experiment, verify
from sim.functional.inputs import input_sets
from sim.functional.verification import VerifyOptions
from tests.small_design import run

ADDED = {
    "name": "added", "ranks": dict.fromkeys("EFMP", ""), "inputs": {"Q": ["E", "P"], "K": ["E", "M"], "V": ["F", "M"], "B": ["M"]},
    "outputs": ["AV"],
    "einsums": """
        QK[m,p] = Q[e,p] * K[e,m]
        S[m,p] = QK[m,p] + B[m]
        GM[p] = S[m,p] :: max(m)
        SN[m,p] = exp(S[m,p] - GM[p])
        SD[p] = SN[m,p]
        SNV[f,p] = SN[m,p] * V[f,m]
        AV[f,p] = SNV[f,p] / SD[p]
    """,
}  # fmt: skip
# The same in one pass, from -inf: a first tile of which every score is -inf gives exp(-inf - -inf), which is NaN.
FRAGILE = ADDED | {
    "name": "fragile", "partition": {"M": ["M1", "M0"]}, "init": {"RM": "-inf", "RD": 0, "RNV": 0},
    "einsums": """
        BQK[m1,m0,p] = Q[e,p] * K[e,m1*M0+m0]
        S[m1,m0,p] = BQK[m1,m0,p] + B[m1*M0+m0]
        LM[m1,p] = S[m1,m0,p] :: max(m0)
        RM[m1+1,p] = max(RM[m1,p], LM[m1,p])
        SLN[m1,m0,p] = exp(S[m1,m0,p] - RM[m1+1,p])
        SLD[m1,p] = SLN[m1,m0,p]
        SLNV[f,m1,p] = SLN[m1,m0,p] * V[f,m1*M0+m0]
        PRM[m1,p] = exp(RM[m1,p] - RM[m1+1,p])
        SPD[m1,p] = RD[m1,p] * PRM[m1,p]
        RD[m1+1,p] = SLD[m1,p] + SPD[m1,p]
        SPNV[f,m1,p] = RNV[f,m1,p] * PRM[m1,p]
        RNV[f,m1+1,p] = SLNV[f,m1,p] + SPNV[f,m1,p]
        AV[f,p] = RNV[f,M1,p] / RD[M1,p]
    """,
}  # fmt: skip


def write(path, data) -> str:
    import yaml

    path.write_text(yaml.safe_dump(data, sort_keys=False))
    return str(path)


def test_a_mask_over_whole_tiles_shows_a_fragile_start(tmp_path) -> None:
    stated = write(tmp_path / "added.yaml", ADDED)
    fragile = verify(Cascade.model_validate(FRAGILE), VerifyOptions(precisions=("fp64",), against=stated))
    failed = {(row.subject.inputs, row.subject.against) for row in fragile.failures}
    assert failed == {("masked", "added")}
    safe = FRAGILE | {"init": {"RM": -1e300, "RD": 0, "RNV": 0}}
    assert verify(Cascade.model_validate(safe), VerifyOptions(precisions=("fp32", "bf16"), against=stated)).passes


def test_an_input_that_is_finite_is_not_masked() -> None:
    for domain, names in (({}, True), ({"B": "finite"}, False)):
        cascade = Cascade.model_validate(ADDED | {"domain": domain})
        workload = Workload.model_validate({"cascade": cascade, "bits": 64, "sizes": {"E": 2, "F": 2, "M": 30, "P": 3}})
        sets = {given.name: given.arrays for given in input_sets(workload, 0)}
        assert ("masked" in sets) == names
        assert not names or (np.isinf(sets["masked"]["B"][:15]).all() and np.isfinite(sets["masked"]["B"][-1]))


CHOSEN = {
    "name": "chosen", "ranks": {"N": "", "M": ""}, "inputs": {"X": ["N", "M"], "LEN": ["N"], "AT": ["N"], "ON": ["N", "M"]},
    "domain": {"LEN": "length(M)", "AT": "index(M)", "ON": "mask"}, "outputs": ["Y"],
    "einsums": "L[n,m] = X[n,m] where m < LEN[n] or m <= AT[n]\nZ[n,m] = L[n,m] * ON[n,m]\nY[n] = Z[n,m]",
}  # fmt: skip


def test_whole_numbers_are_drawn_as_such() -> None:
    cascade = Cascade.model_validate(CHOSEN)
    workload = Workload.model_validate({"cascade": cascade, "bits": 64, "sizes": {"N": 400, "M": 7}})
    sets = {given.name: given.arrays for given in input_sets(workload, 3)}
    drawn = sets["ordinary"]
    assert [sorted(np.unique(drawn[name])) for name in ("LEN", "AT", "ON")] == [list(range(8)), list(range(7)), [0, 1]]
    assert set(np.unique(sets["equal"]["LEN"])) == {7} and set(np.unique(sets["one huge"]["AT"])) == {0, 6}
    assert (np.diff(sets["rising"]["LEN"]) >= 0).all() and np.abs(sets["large"]["X"]).max() > 50
    assert verify(cascade, VerifyOptions(sizes=(("N", 30), ("M", 7)))).passes


def test_what_is_zero_throughout_shows_nothing(tmp_path) -> None:
    path = write(tmp_path / "nothing.yaml", {
        "name": "nothing", "ranks": {"N": ""}, "inputs": {"X": ["N"]}, "outputs": ["Y"], "einsums": "Y[n] = X[n] * 0",
    })  # fmt: skip
    status, out, _ = run(["verify", path])
    assert status == 1
    assert out.rstrip().endswith("FAIL: Y is 0 or does not exist on all inputs, which shows nothing")


def test_arrays_of_ones_own(tmp_path) -> None:
    rng = np.random.default_rng(5)
    arrays = {
        "Q": rng.normal(size=(5, 11)),
        "K": rng.normal(size=(5, 40)),
        "V": rng.normal(size=(3, 40)),
        "B": np.zeros(40),
    }
    arrays["B"][:20] = -np.inf
    cascade = write(tmp_path / "added.yaml", ADDED)
    np.savez(tmp_path / "own.npz", **arrays)
    status, out, error = run(["verify", cascade, "--inputs", str(tmp_path / "own.npz")])
    assert (status, error) == (0, "") and "E 5, F 3, M 40, P 11" in out and "  inputs       given\n" in out
    point = load_experiment("fusemax-binding", {"ranks.M": 300, "ranks.P": 40, "batch": 1, "model.heads": 1})
    heads = {
        "Q": rng.normal(size=(1, 1, 64, 9)),
        "K": rng.normal(size=(1, 1, 64, 33)),
        "V": rng.normal(size=(1, 1, 64, 33)),
    }
    found = verify(point, VerifyOptions(precisions=("fp32",), inputs=heads))
    assert found.passes and (found.design.sizes["M"], found.design.sizes["P"]) == (33, 9)


def test_a_function_of_ones_own() -> None:
    asked = []

    def made(sizes, rng):
        asked.append(dict(sizes))
        return {"X": rng.normal(size=(sizes["N"], sizes["K"])), "W": rng.normal(size=(sizes["K"], sizes["N"]))}

    cascade = Cascade.model_validate({
        "name": "own", "ranks": {"N": "", "K": ""}, "inputs": {"X": ["N", "K"], "W": ["K", "N"]}, "outputs": ["Y"],
        "einsums": "Y[n] = X[n,k] * W[k,n]",
    })  # fmt: skip
    assert verify(cascade, VerifyOptions(inputs=made, sizes=(("N", 6), ("K", 4)))).passes
    assert asked[0] == {"N": 6, "K": 4}


def test_shipped_cascades_have_no_mask_of_their_own() -> None:
    names = {row.subject.inputs for _, rows in verify(load_cascade("softmax")).comparisons for row in rows}
    assert names == {"ordinary", "large", "equal", "one huge", "rising"}
