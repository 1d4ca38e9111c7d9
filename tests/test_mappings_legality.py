"""Fusion that may not be: incomplete reductions, values lost before they are read; and recomputation, which is counted."""

from pathlib import Path
from typing import Any

import pytest

from arch.types import Architecture
from einsums.types import Cascade
from mappings.check import check_mapping
from mappings.tree import resolve_tree
from mappings.types import Mapping
from sim import Experiment, IllegalMapping, load_experiment, simulate
from sim.load.nouns import load_architecture, load_cascade
from tests.by_hand import experiment_of, small_machine

CATALOG = Path(__file__).parents[1] / "arch" / "catalog"
# Machines of several cores are refused for that alone.
MACHINES = sorted(path.stem for path in CATALOG.glob("*.yaml") if load_architecture(path.stem).cores is None)
SIZES = {"M": 3, "P": 6}
LATE = "the value is not complete there"


def cascade(text: str, inputs: dict[str, list[str]], outputs: list[str], **more: Any) -> dict[str, Any]:
    ranks = {rank: "" for names in inputs.values() for rank in names}
    return {"name": "fused", "ranks": ranks, "inputs": inputs, "outputs": outputs, "einsums": text} | more


ROW_SUM = cascade("X[m,p] = A[m,p] * A[m,p]\nG[m] = X[m,p]\nY[m,p] = X[m,p] * G[m]", {"A": ["M", "P"]}, ["Y"])


def leaf(einsum: str, *loops: Any, **more: Any) -> dict[str, Any]:
    return {"einsum": einsum, "array": "PE", "loops": list(loops)} | more


def messages(experiment: Experiment) -> list[str]:
    return [f"{problem.path}: {problem.message}" for problem in experiment.problems]


# --- a row that is needed whole -----------------------------------------------------------------------------
WHOLE_ROW = {"loops": ["m"], "keep": {"GLB": ["X", "G"]}, "body": [leaf("X", "p"), leaf("G", "p"), leaf("Y", "p")]}


def test_a_whole_row_is_legal() -> None:
    experiment = experiment_of(ROW_SUM, WHOLE_ROW, SIZES)
    assert messages(experiment) == []
    assert simulate(experiment).traffic_bytes["DRAM"] == {"read": 3 * 6 * 2, "write": 3 * 6 * 2}


def test_less_than_a_row_is_refused() -> None:
    body = [leaf("X", "p"), leaf("G", "p"), leaf("Y", "p")]
    tree = {"loops": ["m", {"p": 2}], "keep": {"GLB": ["X", "G"]}, "body": body}
    experiment = experiment_of(ROW_SUM, tree, SIZES)
    assert messages(experiment) == [
        "tree.loops[1]: Einsum 'Y' reads 'G' inside the loop over 'p' (rank P), over which Einsum 'G' still reduces "
        f"it: {LATE}"
    ]
    with pytest.raises(IllegalMapping):
        simulate(experiment)


@pytest.mark.parametrize(("words", "is_legal"), [(7, True), (6, False)])
def test_the_row_must_fit(words: int, is_legal: bool) -> None:
    """Six words of a row of X and one of G, 2 bytes each."""
    machine = small_machine(size=f"{2 * words} B")
    experiment = experiment_of(ROW_SUM, WHOLE_ROW, SIZES, machine)
    if is_legal:
        assert simulate(experiment).footprint_bytes["GLB"] == 2 * words
    else:
        with pytest.raises(IllegalMapping, match="'GLB' holds 12 B but the tiles it keeps need 14 B"):
            simulate(experiment)


def test_less_than_a_row_may_go_out_and_come_back() -> None:
    """Kept in tiles of 2 for making and summing, X leaves and is fetched again for Y: legal, and the words are counted."""
    first = {"loops": [{"p": 2}], "keep": {"GLB": ["X"]}, "body": [leaf("X", "p"), leaf("G", "p")]}
    second = {"loops": [{"p": 2}], "keep": {"GLB": ["X"]}, "body": [leaf("Y", "p")]}
    tree = {"loops": ["m"], "keep": {"GLB": ["G"]}, "body": [first, second]}
    experiment = experiment_of(ROW_SUM, tree, SIZES)
    assert messages(experiment) == []
    assert simulate(experiment).traffic_bytes["DRAM"] == {"read": 2 * 18 * 2, "write": 2 * 18 * 2}


# --- softmax fused over what it still reduces ---------------------------------------------------------------
def array_for(machine: Architecture, found: Cascade, einsum: str) -> str:
    """An array of the machine that has the operators of an Einsum."""
    einsum_noun = found.einsum(einsum)
    operators = einsum_noun.map_operators + ((einsum_noun.reduction.operator,) if einsum_noun.reduction else ())
    for array in machine.arrays:
        try:
            array.resolve(operators)
        except ValueError:
            continue
        return array.name
    raise AssertionError(f"{machine.name} has no array for {einsum}")


@pytest.mark.parametrize("name", MACHINES)
def test_stable_softmax_in_one_loop_over_m_is_refused_on_every_machine(name: str) -> None:
    machine, found = load_architecture(name), load_cascade("attention-3pass")
    own = {"QK": ["e"], "AV": ["f"]}
    body = [
        {"einsum": e.name, "array": array_for(machine, found, e.name), "loops": own.get(e.name, [])}
        for e in found.einsums
    ]
    tree = {"loops": ["b", "h", "p", "m"], "body": body}
    data = {"name": "fused", "cascade": found.name, "tree": tree, "schedule": {"kind": "sequential"}}
    mapping = Mapping.model_validate(data)
    tree_found = resolve_tree(mapping, str, lambda condition: True)
    assert [problem.message for problem in check_mapping(mapping, tree_found, found, machine)] == [
        f"Einsum 'SN' reads 'GM' inside the loop over 'm' (rank M), over which Einsum 'GM' still reduces it: {LATE}",
        f"Einsum 'A' reads 'SD' inside the loop over 'm' (rank M), over which Einsum 'SD' still reduces it: {LATE}",
    ]


SCALED = cascade("G[m] = A[m,p]\nD[m] = G[m] * B[m]\nY[m,p] = A[m,p] * D[m]", {"A": ["M", "P"], "B": ["M"]}, ["Y"])


def test_a_value_derived_from_an_incomplete_one_is_refused_too() -> None:
    body = [leaf("G", "p"), leaf("D", recompute=True), leaf("Y", "p")]
    experiment = experiment_of(SCALED, {"loops": ["m", {"p": 2}], "keep": {"GLB": ["G", "D"]}, "body": body}, SIZES)
    over = "inside the loop over 'p' (rank P), over which Einsum 'G' still reduces it"
    assert messages(experiment) == [
        f"tree.loops[1]: Einsum 'D' reads 'G' {over}: {LATE}",
        f"tree.loops[1]: Einsum 'Y' reads 'D', derived from 'G', {over}: {LATE}",
    ]


# --- recomputation ------------------------------------------------------------------------------------------
def recomputing(recompute: bool) -> Experiment:
    fused = {"loops": ["m", {"p": 2}], "body": [leaf("D", recompute=recompute), leaf("Y", "p")], "keep": {"RF": ["D"]}}
    tree = {"keep": {"GLB": ["G"]}, "body": [leaf("G", "m", "p"), fused]}
    return experiment_of(SCALED, tree, SIZES)


def test_a_loop_over_a_rank_that_an_einsum_lacks_must_be_asked_for() -> None:
    assert messages(recomputing(False)) == [
        "tree.body[1].loops[1]: the loop over 'p' is around Einsum 'D', which has no such rank: it would be computed "
        "again in every iteration"
    ]
    assert messages(recomputing(True)) == []


def once() -> Experiment:
    fused = {"loops": [{"p": 2}], "body": [leaf("Y", "p")]}
    tree = {
        "keep": {"GLB": ["G"]},
        "body": [leaf("G", "m", "p"), {"loops": ["m"], "keep": {"RF": ["D"]}, "body": [leaf("D"), fused]}],
    }
    return experiment_of(SCALED, tree, SIZES)


def test_recomputation_is_counted() -> None:
    """Three rows of D once, or three times over for three tiles of p: points, steps, energy and register words."""
    single, again = simulate(once()), simulate(recomputing(True))
    assert again.busy_cycles_by_einsum["D"] == 3 * single.busy_cycles_by_einsum["D"] > 0
    assert again.energy_by_einsum_pj["D"] > single.energy_by_einsum_pj["D"]
    assert again.busy_cycles_by_einsum["Y"] == single.busy_cycles_by_einsum["Y"]
    words = 2 * 2 * 3 * 3  # two operands, 2 bytes, nine executions
    more = again.traffic_bytes["RF"]["read"] - single.traffic_bytes["RF"]["read"]
    assert more == words - 2 * 2 * 3


REDUCED_AGAIN = cascade(
    "D[m] = B[k,m] * C[k]\nY[m,p] = A[m,p] * D[m]", {"A": ["M", "P"], "B": ["K", "M"], "C": ["K"]}, ["Y"]
)


@pytest.mark.parametrize("tile", [1, 2, 4, 6])
def test_a_reduction_computed_again_starts_afresh(tile: int) -> None:
    """No partial sum is carried from one recomputation to the next; ragged tiles count as one iteration."""
    fused = {
        "loops": ["m", {"p": tile}],
        "body": [leaf("D", "k", recompute=True), leaf("Y", *(["p"] if tile > 1 else []))],
    }
    experiment = experiment_of(REDUCED_AGAIN, fused | {"keep": {"GLB": ["D"]}}, SIZES | {"K": 5})
    assert messages(experiment) == []
    result = simulate(experiment)
    times = -(-6 // tile)
    assert result.busy_cycles_by_einsum["D"] == 3 * 5 * times
    # the result leaves the registers once for each recomputation and is read by Y; sums never come back from GLB
    written = result.traffic_by_tensor_bytes["D"]
    assert written["GLB"]["write"] == 2 * 3 * times


def test_recompute_without_anything_to_recompute() -> None:
    tree = {
        "loops": ["m"],
        "keep": {"GLB": ["G", "D"]},
        "body": [leaf("G", "p"), leaf("D", recompute=True), leaf("Y", "p")],
    }
    assert messages(experiment_of(SCALED, tree, SIZES)) == [
        "tree.body[1].recompute: every loop around Einsum 'D' is over one of its ranks: nothing is recomputed"
    ]


RUNNING = cascade(
    "R[i+1,j] = R[i,j] + A[i,j]\nZ[i,j] = R[i+1,j] * D[j]", {"A": ["I", "J"], "D": ["J"]}, ["Z"], init={"R": 0}
)


def test_a_running_value_cannot_be_recomputed() -> None:
    wider = RUNNING | {"einsums": RUNNING["einsums"] + "\nW[i,j,k] = Z[i,j] * E[k]", "outputs": ["W"]}
    wider |= {"inputs": RUNNING["inputs"] | {"E": ["K"]}, "ranks": dict.fromkeys("IJK", "")}
    body = [leaf("R", recompute=True), leaf("Z", recompute=True), leaf("W")]
    experiment = experiment_of(wider, {"loops": ["k", "i", "j"], "body": body}, {"I": 2, "J": 2, "K": 2})
    assert messages(experiment) == [
        "tree.body[0].recompute: Einsum 'R' makes a running value, which cannot be computed again"
    ]


# --- values that are gone when they are read ----------------------------------------------------------------
def test_a_running_value_must_outlive_the_step() -> None:
    inner = {"loops": ["i", {"j": 2}], "keep": {"RF": ["R"]}, "body": [leaf("R", "j"), leaf("Z", "j")]}
    lost = experiment_of(RUNNING, inner, {"I": 5, "J": 4})
    assert messages(lost) == [
        "tree.keep.RF[0]: 'RF' keeps 'R' only for a tile of 'j' inside the loop over 'i': when the next step reads the "
        "old 'R', the loop over 'j' has replaced it; keep it also outside the loop over 'i'"
    ]
    held = experiment_of(RUNNING, {"keep": {"GLB": ["R"]}, "body": [inner]}, {"I": 5, "J": 4})
    outside = experiment_of(RUNNING, inner | {"loops": [{"j": 2}, "i"]}, {"I": 5, "J": 4})
    assert messages(held) == messages(outside) == []


def test_shipped_mapping_that_no_longer_holds_its_running_values() -> None:
    kept = {"mapping.tree.keep.GLB": ["Q", "RD", "RNV"]}
    experiment = load_experiment("fusemax-binding", seq_len=1024, **kept)
    assert [problem.path for problem in experiment.problems] == ["tree.body[0].body[0].keep.RF1D[0]"]
    assert "keeps 'RM' only for a tile of 'p' inside the loop over 'm1'" in experiment.problems[0].message
    assert load_experiment("fusemax-binding", seq_len=1024).problems == ()


@pytest.mark.parametrize(
    ("tensors", "is_legal"),
    [(["X", "Y"], True), (["X", "W"], False), (["Y", "W"], True)],
)
def test_tensors_that_take_turns_in_one_place(tensors: list[str], is_legal: bool) -> None:
    """Y overwrites X element by element; W may not, because Y reads X after it."""
    text = "X[m,p] = A[m,p] * A[m,p]\nW[m,p] = X[m,p] * X[m,p]\nY[m,p] = X[m,p] * W[m,p]\nZ[m,p] = Y[m,p] * A[m,p]"
    found = cascade(text, {"A": ["M", "P"]}, ["Z"])
    body = [leaf(name, "p") for name in "XWYZ"]
    tree = {"loops": ["m"], "keep": {"GLB": ["X", "W", "Y"]}, "share": {"GLB": [tensors]}, "body": body}
    experiment = experiment_of(found, tree, SIZES)
    if is_legal:
        assert messages(experiment) == []
    else:
        assert messages(experiment) == [
            "tree.keep.GLB[1]: 'W' takes the place of 'X' in 'GLB' when Einsum 'W' runs, but Einsum 'Y' reads 'X' after that"
        ]


def test_a_result_that_needs_other_elements_may_not_overwrite_them() -> None:
    text = "X[m,p] = A[m,p] * A[m,p]\nT[q,p] = X[m,p] * W[m,q]\nZ[q,p] = T[q,p] * T[q,p]"
    found = cascade(text, {"A": ["M", "P"], "W": ["M", "Q"]}, ["Z"])
    body = [leaf("X", "m"), leaf("T", "q", "m"), leaf("Z", "q")]
    tree = {"loops": ["p"], "keep": {"GLB": ["X", "T"]}, "share": {"GLB": [["X", "T"]]}, "body": body}
    assert messages(experiment_of(found, tree, SIZES | {"Q": 3})) == [
        "tree.keep.GLB[1]: 'T' takes the place of 'X' in 'GLB' when Einsum 'T' runs, which still needs other elements of 'X'"
    ]


# --- tensors that are needed at once in one place -----------------------------------------------------------
def shared(
    text: dict[str, Any], loops: list[Any], body: list[Any], group: list[str], sizes: dict[str, int]
) -> list[str]:
    tree = {"loops": loops, "keep": {"GLB": group}, "share": {"GLB": [group]}, "body": body}
    return messages(experiment_of(text, tree, sizes))


def test_operands_of_one_product_may_not_share_a_place() -> None:
    product = cascade("Z[m,p] = A[m,p] * B[m,p]", {"A": ["M", "P"], "B": ["M", "P"]}, ["Z"])
    assert shared(product, ["m"], [leaf("Z", "p")], ["A", "B"], SIZES) == [
        "tree.keep.GLB[1]: 'A' and 'B' share a place in 'GLB', but Einsum 'Z' needs both at once"
    ]


TWO = cascade(
    "X[m,p] = A[m,p] * A[m,p]\nY[m,p] = B[m,p] * B[m,p]\nZ[m,p] = X[m,p] * Y[m,p]",
    {"A": ["M", "P"], "B": ["M", "P"]},
    ["Z"],
)


def test_an_input_comes_when_it_is_first_read() -> None:
    """B after A has been read for the last time; but X, read after B comes, cannot lie where B does. Z overwrites X."""
    body = [leaf("X", "p"), leaf("Y", "p"), leaf("Z", "p")]
    assert shared(TWO, ["m"], body, ["A", "B"], SIZES) == []
    assert shared(TWO, ["m"], body, ["A", "Y"], SIZES) == []
    assert shared(TWO, ["m"], body, ["X", "Z"], SIZES) == []
    assert shared(TWO, ["m"], body, ["B", "X"], SIZES) == [
        "tree.keep.GLB[0]: 'B' takes the place of 'X' in 'GLB' when Einsum 'Y' runs, but Einsum 'Z' reads 'X' after that"
    ]


@pytest.mark.parametrize(("inner", "is_legal"), [([{"p": 2}], True), ([{"k": 2}], False)])
def test_turns_inside_a_further_loop(inner: list[Any], is_legal: bool) -> None:
    """Pieces of a rank that both have lie apart; a loop over another rank needs both again in its next iteration."""
    text = cascade("S[p,k] = A[p] * C[k]\nT[p,k] = B[p] * S[p,k]", {"A": ["P"], "B": ["P"], "C": ["K"]}, ["T"])
    rest = ["p", "k"]
    body = [{"loops": inner, "body": [leaf("S", *rest), leaf("T", *rest)]}]
    refused = [
        "tree.keep.GLB[1]: 'B' takes the place of 'A' in 'GLB' when Einsum 'T' runs, but the next iteration of the loop "
        "over 'k' needs 'A' again"
    ]
    assert shared(text, [], body, ["A", "B"], {"P": 6, "K": 4}) == ([] if is_legal else refused)


def test_what_stays_for_the_next_iteration_shares_no_place() -> None:
    text = cascade("S[p,k] = A[p] * C[k]\nT[p,k] = B[p,k] * S[p,k]", {"A": ["P"], "B": ["P", "K"], "C": ["K"]}, ["T"])
    body = [leaf("S", "p"), leaf("T", "p")]
    assert shared(text, ["k"], body, ["A", "B"], {"P": 6, "K": 4}) == [
        "tree.keep.GLB[1]: 'B' cannot share the place of 'A' in 'GLB': 'A' stays there from one iteration of the loop over "
        "'k' to the next"
    ]


def test_a_running_value_shares_no_place_from_step_to_step() -> None:
    text = cascade(
        "R[i+1,j] = R[i,j] + A[i,j]\nZ[i,j] = R[i+1,j] * D[j]\nU[i,j] = A[i,j] * A[i,j]\nV[i,j] = U[i,j] * U[i,j]",
        {"A": ["I", "J"], "D": ["J"]},
        ["Z", "V"],
        init={"R": 0},
    )
    body = [leaf(name, "j") for name in "RZUV"]
    assert shared(text, ["i"], body, ["R", "U"], {"I": 3, "J": 4}) == [
        "tree.keep.GLB[1]: 'U' cannot share the place of 'R' in 'GLB': 'R' stays there from one iteration of the loop over "
        "'i' to the next"
    ]


def test_a_stream_needs_no_place() -> None:
    """Z takes X as it is made, so that X is done with before Y is there; read from its place it is not."""
    for forwarded, found in (["X"], []), ([], ["reads"]):
        text = cascade(
            "X[m,p] = A[m,p] * A[m,p]\nY[m,p] = A[m,p] * X[m,p]\nZ[m,p] = X[m,p] * Y[m,p]", {"A": ["M", "P"]}, ["Z"]
        )
        body = [leaf("X", "p"), leaf("Y", "p"), leaf("Z", "p", forwarded=forwarded)]
        said = shared(text, ["m"], body, ["X", "Y"], SIZES)
        assert [("reads" if "Einsum 'Z' reads 'X' after that" in message else message) for message in said] == found


# --- a tile of one coordinate, however it is written ---------------------------------------------------------
OLD = cascade(
    "L[i,j] = A[i,j] * A[i,j]\nD[i,j] = L[i,j] * R[i,j]\nR[i+1,j] = max(R[i,j], L[i,j])",
    {"A": ["I", "J"]},
    ["D"],
    init={"R": 0},
)
NOTHING_BUT_ONE = [(1, "1"), ("T", "1"), ("T-1", "2"), ("ceil(T/7)", "7")]


def stepping(tile: Any, value: str) -> Experiment:
    """D reads the old running value, which is made after it: both must advance step by step."""
    body = [leaf("L", "j"), leaf("D", "i", "j"), leaf("R", "i", "j")]
    tree = {"loops": [{"i": tile}], "keep": {"GLB": ["L", "R"]}, "body": [leaf("L", "i", "j"), *body[1:]]}
    data = {"name": "m", "cascade": "fused", "tree": tree, "schedule": {"kind": "sequential"}, "tiles": {"T": value}}
    nouns = Cascade.model_validate(OLD), small_machine(), Mapping.model_validate(data)
    return Experiment("m", *nouns, (("I", 6), ("J", 4)), ())


@pytest.mark.parametrize(("tile", "value"), NOTHING_BUT_ONE)
def test_every_spelling_of_one_is_accepted_alike(tile: Any, value: str) -> None:
    plain, spelled = stepping(1, "1"), stepping(tile, value)
    assert messages(plain) == messages(spelled) == []
    for quantity in ("traffic_by_tensor_bytes", "footprint_bytes", "cycles"):
        assert getattr(simulate(plain), quantity) == getattr(simulate(spelled), quantity)


@pytest.mark.parametrize(("tile", "value"), [(2, "1"), ("T", "2"), ("T+1", "1"), ("T/3", "6")])
def test_every_spelling_of_two_is_refused_alike(tile: Any, value: str) -> None:
    assert messages(stepping(tile, value)) == [
        "tree.body[1]: Einsum 'D' reads the old 'R', which Einsum 'R' makes later: both must share a loop over 'i' in "
        "steps of 1"
    ]


@pytest.mark.parametrize("tile", [1, "T"])
def test_a_loop_with_nothing_left_to_walk_runs_once(tile: Any) -> None:
    """After a loop in steps of 1, whether it says so or not, further loops and a side find one coordinate each."""
    text = cascade("Z[m,p] = A[m,p] * A[m,p]", {"A": ["M", "P"]}, ["Z"])

    def found(*loops: Any, **more: Any) -> Experiment:
        data = {
            "name": "m", "cascade": "fused", "tree": {"body": [leaf("Z", "m", *loops, **more)]}, "tiles": {"T": "1"},
            "schedule": {"kind": "sequential"},
        }  # fmt: skip
        return Experiment(
            "m", Cascade.model_validate(text), small_machine(), Mapping.model_validate(data), tuple(SIZES.items()), ()
        )

    once, again, side = found("p"), found({"p": tile}, {"p": 3}, "p"), found({"p": tile}, spatial={"columns": "p"})
    assert messages(once) == messages(again) == messages(side) == []
    for other in (again, side):
        assert simulate(other).cycles == simulate(once).cycles == 3 * 6
        assert simulate(other).traffic_by_tensor_bytes == simulate(once).traffic_by_tensor_bytes
