"""Does the functional engine execute the mapped order, in the declared precision? Against the interpreter, a scalar twin, torch."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from einsums.interpreter import interpret
from mappings.tree import PlacedLeaf
from mappings.types import SpatialLoop, TileRule
from sim import Experiment, load_experiment
from sim.functional.boxes import BoxLoop
from sim.functional.machine import MOST_POINTS_AT_ONCE, Arithmetic, execute, fold_in_order
from sim.functional.points import reduced_order
from sim.functional.precision import PRECISIONS, round_to_bf16
from sim.functional.program import Program, program_of_cascade, program_of_experiment, workload_of
from tests.by_hand import PRODUCT, experiment_of
from tests.functional_oracle import ScalarRun
from tests.random_mappings import shipped_cascade
from tests.test_sim_oracle import case_of, described, legal_experiment

SEEDS = range(0, 330, 3)
TWIN_SEEDS = range(1, 330, 9)
TINY = {
    "batch": 2, "model.heads": 2, "model.head_size": 5, "model.hidden": 10, "model.ffn_size": 9,
    "architecture.components.PE2D.rows": 4, "architecture.components.PE2D.columns": 4,
    "architecture.components.PE1D.columns": 4, "architecture.components.GLB.size": "2 KiB",
}  # fmt: skip
SHIPPED = (
    "unfused", "flat", "fusemax-cascade", "fusemax-architecture", "fusemax-binding", "attention-2pass-fused",
    "attention-3pass-fused", "linear-flat", "linear-fusemax",
)  # fmt: skip


def inputs_of(program: Program, seed: int, scale: float = 1.0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    cascade, size = program.cascade, program.workload.size
    return {t.name: scale * rng.normal(size=[size(r) for r in cascade.ranks_of(t.name)]) for t in cascade.inputs}


def interpreted(program: Program, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return interpret(program.cascade, inputs, {item.rank: item.size for item in program.workload.sizes})


def assert_equal(found: dict[str, np.ndarray], expected: dict[str, np.ndarray], about: str) -> None:
    for name, value in expected.items():
        assert found[name].shape == value.shape
        np.testing.assert_allclose(found[name], value, rtol=1e-11, atol=1e-12, err_msg=f"{name}\n{about}")


# --- fp64: the interpreter's values -------------------------------------------------------------------------
@pytest.mark.parametrize("seed", SEEDS)
def test_random_mappings_give_what_the_cascade_means(seed: int) -> None:
    experiment = legal_experiment(seed)
    if experiment is None:
        return
    program = program_of_experiment(experiment)
    inputs = inputs_of(program, seed)
    together = execute(program, inputs, Arithmetic(PRECISIONS["fp64"]))
    assert_equal(together, interpreted(program, inputs), described(experiment))
    one_by_one = execute(program, inputs, Arithmetic(PRECISIONS["fp64"]), side_by_side=False)
    for name, value in together.items():
        np.testing.assert_array_equal(one_by_one[name], value, err_msg=f"{name}\n{described(experiment)}")


@cache
def tiny(name: str, length: int) -> Experiment:
    return load_experiment(name, {**TINY, "seq_len": length})


@pytest.mark.parametrize("length", [4, 9, 14])
@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_mappings_give_what_the_cascade_means(name: str, length: int) -> None:
    program = program_of_experiment(tiny(name, length))
    inputs = inputs_of(program, length)
    found = execute(program, inputs, Arithmetic(PRECISIONS["fp64"]), side_by_side=False)
    assert_equal(found, interpreted(program, inputs), name)


@pytest.mark.parametrize(
    "name", ["encoder-layer", "cross-entropy-sharded", "layernorm-linear", "rmsnorm-linear", "logsumexp", "variance"]
)
def test_bare_cascades_give_what_they_mean(name: str) -> None:
    cascade = shipped_cascade(name)
    sizes = {rank: 3 + n for n, rank in enumerate(dict.fromkeys(map(cascade.root_of, cascade.leaf_ranks())))}
    program = program_of_cascade(cascade, sizes | {part: 2 for p in cascade.partitions for part in p.inner})
    inputs = inputs_of(program, 1)
    inputs |= {name: np.abs(value) for name, value in inputs.items() if name == "EPS"}
    found = execute(program, inputs, Arithmetic(PRECISIONS["fp64"]))
    assert_equal(found, interpreted(program, inputs), name)


def test_several_tiles_of_the_whole_array() -> None:
    """4 x 4 tiles of 256 x 256, as published: fp64 to rounding, fp32 within 1e-6, bf16 within 8e-3."""
    experiment = load_experiment("fusemax-binding")
    cut = replace(experiment, sizes=tuple((r, 1 if r in "BH" else n) for r, n in experiment.sizes))
    program = program_of_experiment(cut)
    assert [program.size(v) for v in ("m1", "m0", "p", "e")] == [4, 256, 1024, 64]
    inputs = inputs_of(program, 5)
    inputs["Q"] /= 8
    for name, limit in (("fp64", 2e-15), ("fp32", 1e-6), ("bf16", 8e-3)):
        words = {n: PRECISIONS[name].word(v.astype(PRECISIONS[name].wide)) for n, v in inputs.items()}
        expected = interpreted(program, words)["AV"]
        found = execute(program, words, Arithmetic(PRECISIONS[name]))["AV"]
        assert np.linalg.norm(found - expected) <= limit * np.linalg.norm(expected), name


# --- order --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("seed", TWIN_SEEDS)
def test_every_rounding_is_that_of_the_loops(seed: int, precision: str) -> None:
    """Bit by bit what a scalar execution of all loops gives: the mapped order decides the last digit."""
    experiment = legal_experiment(seed)
    if experiment is None:
        return
    chosen, program = PRECISIONS[precision], program_of_experiment(experiment)
    inputs = {name: chosen.word(v.astype(np.float32)) for name, v in inputs_of(program, seed).items()}
    case = case_of(experiment)
    twin = ScalarRun(
        experiment.cascade, experiment.tree, dict(program.workload.size_by_rank), case.tiles, case.side_counts, np.float32,
        lambda value: chosen.word(np.array([value], np.float32))[0],
    )  # fmt: skip
    with np.errstate(all="ignore"):
        twin.run(inputs)
    for name, found in execute(program, inputs, Arithmetic(chosen)).items():
        expected = twin.array(name, found.shape)
        made = ~np.isnan(expected)
        assert made.any()
        np.testing.assert_array_equal(found[made], expected[made], err_msg=f"{name}\n{described(experiment)}")


def leaf_of(einsum: str, loops: tuple[int, ...], sides: tuple[str, ...] = ()) -> PlacedLeaf:
    """A leaf with loops of its own; `sides` are the variables on the rows and columns of its array."""
    spatial = tuple(SpatialLoop(side=s, variable=v) for s, v in zip(("rows", "columns"), sides, strict=False))
    return PlacedLeaf(0, einsum, "PE", loops, 0, spatial, (), "")


def product_program(loops: list[BoxLoop], sides: tuple[str, ...], sizes: dict[str, int]) -> Program:
    cascade = experiment_of(
        PRODUCT, {"body": [{"einsum": "Z", "array": "PE", "loops": ["m", "n", "k"]}]}, sizes
    ).cascade
    leaf = leaf_of("Z", tuple(range(len(loops))), sides)
    return Program(workload_of(cascade, sizes), tuple(loops), (leaf,))


def test_order_of_a_sum_by_hand() -> None:
    """k = 5 in tiles of 2, the tile down a side: (((0 + (x0 + x1)) + (x2 + x3)) + x4)."""
    program = product_program([BoxLoop("m", 1), BoxLoop("n", 1), BoxLoop("k", 2)], ("k",), {"M": 1, "N": 1, "K": 5})
    order = reduced_order(program, program.leaves[0], {"k": (0, 5)}, 0)
    assert order.coordinates.ravel().tolist() == [0, 1, 2, 3, 4]
    assert order.groups == (2, 2, 1)
    assert order.longest_path == 4  # one addition in its chain, then three steps
    x = np.array([1.0, 2.0**-24, 2.0**-24, 2.0**-24, 2.0**-25], np.float32)
    inputs = {"A": np.ones((5, 1)), "B": x.reshape(5, 1)}
    found = execute(program, inputs, Arithmetic(PRECISIONS["fp32"]))["Z"].item()
    by_hand = np.float32(np.float32(np.float32(x[0] + x[1]) + np.float32(x[2] + x[3])) + x[4])
    assert found == by_hand == np.float32(1 + 2.0**-23)
    in_time = product_program([BoxLoop("m", 1), BoxLoop("n", 1), BoxLoop("k", 1)], (), {"M": 1, "N": 1, "K": 5})
    assert execute(in_time, inputs, Arithmetic(PRECISIONS["fp32"]))["Z"].item() == 1.0  # each term alone is lost


def test_two_reduced_ranks_follow_the_loops() -> None:
    cascade = shipped_cascade("attention-2pass-deferred")
    workload = workload_of(cascade, dict.fromkeys("BHEFP", 1) | {"M": 4, "M0": 2})
    program = Program(workload, (BoxLoop("m1", 1), BoxLoop("m0", 1)), (leaf_of("SNV", (0, 1)),))
    box = {"m1": (0, 2), "m0": (0, 2)}
    order = reduced_order(program, program.leaves[0], box, 0)
    assert order.coordinates.tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]
    on_sides = replace(program, loops=(), leaves=(leaf_of("SNV", (), ("m1", "m0")),))
    order = reduced_order(on_sides, on_sides.leaves[0], box, 0)
    assert order.coordinates.tolist() == [[0, 0], [1, 0], [0, 1], [1, 1]]  # rows (m1) down, then the next column
    assert order.groups == (4,)


@pytest.mark.parametrize("shape", [(1000, 3), (50, 700)])
def test_sums_are_in_order_however_they_are_computed(shape: tuple[int, int]) -> None:
    rows = np.random.default_rng(3).normal(size=shape).astype(np.float32)
    total = np.zeros(shape[1], np.float32)
    fold_in_order(np.add, rows, total)
    expected = np.zeros(shape[1], np.float32)
    for row in rows:
        expected = expected + row
    np.testing.assert_array_equal(total, expected)
    assert total.dtype == np.float32 and shape[1] < MOST_POINTS_AT_ONCE


# --- precision ----------------------------------------------------------------------------------------------
def odd_numbers() -> np.ndarray:
    rng = np.random.default_rng(9)
    bits = rng.integers(0, 2**32, 200_000, dtype=np.uint32)
    ties = (rng.integers(0, 2**16, 50_000, dtype=np.uint32) << 16) | np.uint32(0x8000)
    edges = np.array([0, 1, 0x7F7FFFFF, 0x7F7F8000, 0x7F800000, 0x7FC00001, 0x80000000, 0xFF800000], np.uint32)
    return np.concatenate([bits, ties, edges]).view(np.float32)


def test_words_are_rounded_as_torch_does() -> None:
    torch = pytest.importorskip("torch")
    values = odd_numbers()
    for name, dtype in (("bf16", torch.bfloat16), ("fp16", torch.float16)):
        expected = torch.from_numpy(values).to(dtype).float().numpy()
        np.testing.assert_array_equal(PRECISIONS[name].word(values), expected)
    signs = np.signbit(round_to_bf16(np.array([-0.0, 0.0], np.float32)))
    assert signs.tolist() == [True, False]


@pytest.mark.parametrize(("name", "digits"), [("fp64", 53), ("fp32", 24), ("fp16", 11), ("bf16", 8)])
def test_units_are_those_of_the_format(name: str, digits: int) -> None:
    """1 + u rounds to 1, anything more to the next number; the largest and smallest words are words."""
    precision = PRECISIONS[name]
    wide = precision.wide
    assert precision.unit == 2.0**-digits
    above = precision.unit * (1 + 2.0**-5) if precision.is_narrow else 2 * precision.unit
    one, more = precision.word(np.array([1 + precision.unit, 1 + above], dtype=wide))
    assert one == 1.0 and more == 1 + 2 * precision.unit
    for edge in (precision.largest, precision.smallest):
        assert float(precision.word(np.array([edge], dtype=wide))[0]) == edge
    if precision.is_narrow:
        assert float(precision.word(np.array([precision.smallest / 2], dtype=wide))[0]) == 0.0
        assert np.isinf(
            precision.word(np.array([min(precision.largest * 1.01, float(np.finfo(np.float32).max))], np.float32))
        )[0]


def test_running_values_stay_accumulators_unless_asked() -> None:
    program = program_of_experiment(tiny("fusemax-binding", 14))
    inputs = inputs_of(program, 2)
    kept = execute(program, inputs, Arithmetic(PRECISIONS["bf16"]))
    rounded = execute(program, inputs, Arithmetic(PRECISIONS["bf16-running"]))
    for name in ("RD", "SPD", "RNV", "SPNV"):
        finite = np.isfinite(kept[name])
        assert (round_to_bf16(kept[name])[finite] != kept[name][finite]).any()
        np.testing.assert_array_equal(round_to_bf16(rounded[name]), rounded[name])
    for name in ("QK", "SLN", "SLD", "SLNV", "PRM", "AV"):
        np.testing.assert_array_equal(round_to_bf16(kept[name]), kept[name])


def test_running_sums_in_words_stagnate() -> None:
    """Equal scores: a running denominator in bf16 stops at 256 tiles' worth, one in fp32 counts on."""
    cascade = shipped_cascade("attention-1pass")
    program = program_of_cascade(cascade, dict.fromkeys("BHEFP", 1) | {"M": 600, "M0": 1})
    inputs = {name: np.ones(1 if n == 2 else 600).reshape(1, 1, 1, -1) for name, n in (("Q", 2), ("K", 0), ("V", 0))}
    counted = execute(program, inputs, Arithmetic(PRECISIONS["bf16"]))["RD"][0, 0, -1, 0]
    stuck = execute(program, inputs, Arithmetic(PRECISIONS["bf16-running"]))["RD"][0, 0, -1, 0]
    assert (counted, stuck) == (600.0, 256.0)


# --- kept tiles ---------------------------------------------------------------------------------------------
def refused(changes: dict[str, object]) -> tuple[Experiment, dict[str, np.ndarray]]:
    """A mapping that the checks refuse, and what running it all the same gives."""
    experiment = load_experiment("fusemax-binding", {**TINY, "seq_len": 14, **changes})
    program = program_of_experiment(experiment)
    return experiment, execute(program, inputs_of(program, 1), Arithmetic(PRECISIONS["fp64"]), side_by_side=False)


def test_a_value_is_gone_when_its_tile_moves_on() -> None:
    """Without a place outside the loop over tiles of keys, the running maximum of the step before is lost."""
    experiment, found = refused({"mapping.tree.keep.GLB": ["Q", "RD", "RNV"]})
    assert any("only for a tile of 'p' inside the loop over 'm1'" in problem.message for problem in experiment.problems)
    assert np.isnan(found["AV"]).all() and not np.isnan(found["QK"][..., :3, :, :]).any()


def test_a_value_is_gone_when_another_takes_its_place() -> None:
    experiment, found = refused({"mapping.tree.body[0].body[0].share": {"RF1D": [["PRM", "SPD"]]}})
    assert any("takes the place of 'PRM'" in problem.message for problem in experiment.problems)
    assert np.isnan(found["SPNV"]).all() and not np.isnan(found["SPD"]).any()


def test_legal_mappings_have_kept_tiles_to_lose() -> None:
    programs = [
        program_of_experiment(experiment) for experiment in map(legal_experiment, SEEDS) if experiment is not None
    ]
    assert sum(bool(program.homes) for program in programs) >= 40
    assert sum(any(home.loops for home in program.homes) for program in programs) >= 40


# --- recomputation ------------------------------------------------------------------------------------------
TWICE = {
    "name": "twice", "ranks": dict.fromkeys("IJK", ""), "inputs": {"A": ["I", "K"], "C": ["I", "J"]}, "outputs": ["Z"],
    "einsums": "Y[i] = A[i,k] * A[i,k]\nZ[i,j] = Y[i] * C[i,j]",
}  # fmt: skip


@pytest.mark.parametrize("side_by_side", [True, False])
@pytest.mark.parametrize("inside", [["k"], [{"k": 2}, "k"]])
def test_what_is_recomputed_is_not_summed_twice(inside: list, side_by_side: bool) -> None:
    """Y again in every iteration over j: each time from nothing."""
    body = [
        {"einsum": "Y", "array": "PE", "loops": inside, "recompute": True},
        {"einsum": "Z", "array": "PE"},
    ]
    tree = {"loops": ["i", "j"], "keep": {"RF": ["Y"]}, "body": body}
    experiment = experiment_of(TWICE, tree, {"I": 3, "J": 4, "K": 5})
    assert not experiment.problems
    program = program_of_experiment(experiment)
    inputs = inputs_of(program, 8)
    found = execute(program, inputs, Arithmetic(PRECISIONS["fp64"]), side_by_side)
    assert_equal(found, interpreted(program, inputs), "twice")


@pytest.mark.parametrize("side_by_side", [True, False])
def test_a_partial_sum_that_is_computed_again_counts_once(side_by_side: bool) -> None:
    """The loop over j, which Y lacks, stands inside the loop over k, which Y sums: each part of k is added once."""
    body = [
        {"loops": [{"k": 2}, "j"], "body": [{"einsum": "Y", "array": "PE", "loops": ["i", "k"], "recompute": True}]},
        {"einsum": "Z", "array": "PE", "loops": ["i", "j"]},
    ]
    experiment = experiment_of(TWICE, {"body": body}, {"I": 3, "J": 4, "K": 5})
    assert not experiment.problems
    program = program_of_experiment(experiment)
    inputs = inputs_of(program, 8)
    found = execute(program, inputs, Arithmetic(PRECISIONS["fp64"]), side_by_side)
    assert_equal(found, interpreted(program, inputs), "twice")


def test_a_running_value_passes_on_where_a_step_does_not_exist() -> None:
    """A running maximum for every place within a tile: of the last, ragged tile only some places have a value."""
    cascade = {
        "name": "places", "ranks": {"I": ""}, "partition": {"I": ["I1", "I0"]}, "inputs": {"A": ["I"]}, "init": {"R": "-inf"},
        "outputs": ["Z"], "einsums": "R[i1+1,i0] = max(R[i1,i0], A[i1*I0+i0])\nZ[i0] = R[I1,i0] * 2",
    }  # fmt: skip
    tree = {
        "body": [
            {"einsum": "R", "array": "PE", "loops": ["i1", {"i0": 3}, "i0"]},
            {"einsum": "Z", "array": "PE", "loops": ["i0"]},
        ]
    }
    experiment = experiment_of(cascade, tree, {"I": 10})
    experiment = replace(
        experiment, mapping=experiment.mapping.model_copy(update={"tiles": (TileRule(symbol="I0", expression="4"),)})
    )
    assert not experiment.problems
    program = program_of_experiment(experiment)
    inputs = {"A": np.arange(10.0) * np.array([1, -1] * 5)}
    for side_by_side in (True, False):
        found = execute(program, inputs, Arithmetic(PRECISIONS["fp64"]), side_by_side)
        assert_equal(found, interpreted(program, inputs), "places")
        assert found["Z"].tolist() == [16.0, -2.0, 12.0, -6.0]
