"""What deep mutations have found (`tests/deep_mutations.py`), each kind by its small input, and some thousands of them."""

import contextlib
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from arch.expression import evaluate, parse_expression
from kernels.plans import Configuration, problems
from kernels.plans.attention import Band, count_visible
from kernels.plans.planning import PLANNERS
from sim.gpu.bounds import check_size
from sim.load.problems import InputProblem, format_path
from sim.lower.functions import VECTOR_FUNCTIONS
from tests.deep_mutations import DEEP_KINDS, warm_up_commands
from tests.mutations import try_mutation
from tests.small_design import run, write_design
from tests.small_sweep import write_sweep


# ------------------------------------------------------------------------------------------------------ formulas
@pytest.mark.parametrize(
    "text",
    [
        "-(n > 4)",
        "(n > 4) + (n > 6) + 1",
        "(n > 4) - (n > 6)",
        "sqrt(n > 4) * 1e6",
        "(n > 4) * 2 ** 40 * 2 ** 22",
        "round(n > 4) * 70000 + abs(n != 3)",
        "n == 'on' or n != 'on'",
    ],
)
def test_truth_values_of_arrays_are_numbers(text: str) -> None:
    expression = parse_expression(text)
    numbers = np.arange(1.0, 9.0)
    found = evaluate(expression, {"n": numbers}.__getitem__, VECTOR_FUNCTIONS)
    one_by_one = [evaluate(expression, {"n": float(one)}.__getitem__) for one in numbers]
    assert np.broadcast_to(found, numbers.shape).tolist() == one_by_one


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"objectives": [{"minimize": "model"}]}, "$.objectives[0]: expected a number, got 'model', whose value is a word"),
        ({"objectives": [{"maximize": "choose(rows > 3, model, 1)"}]},
         "$.objectives[0]: expected a number, got 'choose(rows > 3, model, 1)', whose value is a word"),
        ({"constraints": {"one": "model"}}, "$.constraints.one: expected a number, got 'model', whose value is a word"),
    ],
)  # fmt: skip
def test_a_word_is_no_objective(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    status, out, err = run(["check", str(write_sweep(tmp_path, **changes))])
    assert (status, out.partition(" ")[2], err) == (1, message + "\n", "")


# ------------------------------------------------------------------------------------------------------ messages
def test_an_overlong_key_is_shown_in_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    key = "not " * 3000
    write_design(tmp_path, {"model.yaml": [("hidden: 16", f"hidden: 16\n? {key}\n: 1")]})
    status, out, err = run(["check", "model.yaml"])
    assert (status, err) == (1, "")
    assert out.startswith(f"model.yaml:3: $['{key[:60]}...']: unknown key '{key[:100]}")
    assert len(out) < 2200


def test_a_sentence_has_an_end() -> None:
    assert str(InputProblem("a.yaml", 1, "$", "so " * 3000)) == f"a.yaml:1: {('$: ' + 'so ' * 3000)[:2000]}..."
    assert format_path(("a", "b" * 61, 3)) == f"$.a['{'b' * 60}...'][3]"


def test_interleaving_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_design(tmp_path)
    said = "einfuse: interleave of a binding search: expected at most 16, got 22\n"
    assert run(["bind", "experiment.yaml", "--interleave", "22"]) == (2, "", said)


# --------------------------------------------------------------------------------------------------------- plans
MASKED = partial(problems.AttentionProblem, 1, 1, 1, head_size=64, value_size=64, dtype="bf16", right=0)
PLAIN = partial(problems.AttentionProblem, head_size=64, value_size=64, dtype="bf16")
BOUNDS: list[tuple[problems.Problem, bool, str]] = [
    (PLAIN(2**10, 2**10, 1, 64, 64), False, "about 1,048,576 tiles, at most 262,144 can be planned"),
    (MASKED(2**23, 2**23), False, "about 131,072 blocks of a sequence, at most 65,536 can be planned"),
    (PLAIN(1, 1, 1, 64, 2**30), True, "about 16,777,216 blocks of a sequence, at most 65,536 can be planned"),
    (problems.UnfusedAttentionProblem(PLAIN(2**20, 1, 1, 64, 64)), False, "about 67,108,864 tiles, at most 16,777,216 can be planned"),
    (problems.UnfusedAttentionProblem(PLAIN(2**41, 1, 1, 64, 64)), False, "'batch' is larger than 1099511627776"),
    (problems.BlockSparseProblem(1, 2**19, 1, 64, 64, 64, "bf16", 64, False, (1,) * 2**19), False,
     "about 524,288 tiles, at most 262,144 can be planned"),
    (problems.DecodeProblem((64,) * 64, 64, 64, 1, 64, 64, "bf16", splits=128), False, "about 524,288 tiles, at most 262,144 can be planned"),
    (problems.GemmProblem(2**30, 2**10, 64, "bf16"), False, "about 268,435,456 tiles, at most 262,144 can be planned"),
    (problems.StreamProblem("stream_copy", 2**40, "bf16"), False, "about 1,073,741,824 tiles, at most 16,777,216 can be planned"),
    (problems.RowProblem("layernorm_bwd", 2**20, 2**20, "bf16"), False, "about 268,435,456 tiles, at most 16,777,216 can be planned"),
    (problems.RationalProblem(64, 2**30, 2**30, "bf16"), False, "about 1,073,741,824 tiles, at most 16,777,216 can be planned"),
    (problems.LinearAttentionProblem(1, 1, 2**30, 64, 64, "bf16", True), False, "about 67,108,864 tiles, at most 262,144 can be planned"),
    (problems.LinearAttentionProblem(1, 1, 16, 64, 2**30, "bf16", True), False, "about 16,777,216 tiles, at most 262,144 can be planned"),
    (problems.RecurrentAttentionProblem(2**20, 1, 1, 64, 64, "bf16", True), False, "about 1,048,576 tiles, at most 262,144 can be planned"),
    (problems.DeltaRuleProblem(1, 1, 2**30, 64, 64, "bf16"), False, "about 16,777,216 tiles, at most 262,144 can be planned"),
]  # fmt: skip


@pytest.mark.parametrize(("problem", "is_backward", "message"), BOUNDS)
def test_plans_are_bounded(problem: problems.Problem, is_backward: bool, message: str) -> None:
    with pytest.raises(ValueError) as refused:
        check_size(problem, is_backward)
    assert str(refused.value) == message


@pytest.mark.parametrize(
    ("problem", "message"),
    [
        (MASKED(2**21, 2**21), "about 131,072 blocks of a sequence, at most 65,536 can be planned"),
        (PLAIN(2**9, 2**9, 1, 64, 64), "about 1,048,576 tiles, at most 262,144 can be planned"),
        (problems.GemmProblem(2**14, 2**15, 64, "bf16"), "about 1,048,576 tiles, at most 262,144 can be planned"),
    ],
)  # fmt: skip
def test_smaller_blocks_are_more_tiles(problem: problems.Problem, message: str) -> None:
    """A measurement states the blocks that were timed."""
    check_size(problem)
    with pytest.raises(ValueError) as refused:
        check_size(problem, cut=Configuration(16, 32))
    assert str(refused.value) == message


def test_every_problem_has_a_bound() -> None:
    assert {type(problem) for problem, _, _ in BOUNDS} == set(PLANNERS)


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ((1, 1, 1), "4 blocks of queries of all heads need as many counts, got 3"),
        ((1, 1, 1, 3), "a block of queries visits 0 to 2 blocks of keys, got a count beyond that"),
    ],
)
def test_counts_of_blocks(counts: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError) as refused:
        problems.BlockSparseProblem(1, 2, 2, 128, 128, 64, "bf16", 64, False, counts)
    assert str(refused.value) == message


@pytest.mark.parametrize(
    ("problem", "message"),
    [
        (partial(problems.RowProblem, "sofmax", 4, 4, "bf16"),
         "unknown operator 'sofmax' (known: softmax, masked_softmax, layernorm, rmsnorm, layernorm_bwd, rmsnorm_bwd)"),
        (partial(problems.StreamProblem, "stream_cpoy", 4, "bf16"), "unknown operator 'stream_cpoy' (known: stream_copy, exp2_throughput)"),
    ],
)  # fmt: skip
def test_operators_of_problems(problem: partial[problems.Problem], message: str) -> None:
    with pytest.raises(ValueError) as refused:
        problem()
    assert str(refused.value) == message


@pytest.mark.parametrize("seed", range(20))
def test_visible_pairs_are_those_of_the_rows(seed: int) -> None:
    """The closed form against its definition, row by row."""
    random = np.random.default_rng(seed)
    for _ in range(200):
        offset, first, count, limit = (int(n) for n in random.integers([-30, 0, 0, 0], [31, 50, 40, 41]))
        left, right = (int(random.choice([-1, 0, 1, 5, 20, 60])) for _ in range(2))
        rows = np.arange(first, first + count) + offset
        low = np.zeros(count) if left < 0 else np.maximum(0, rows - left)
        high = np.full(count, limit) if right < 0 else np.minimum(limit, rows + right + 1)
        expected = int(np.maximum(0, high - low).sum())
        assert count_visible(first, first + count - 1, Band(offset, left, right, limit)) == expected


# ----------------------------------------------------------------------------------------------------- mutations
BATCHES, OF_EACH = 3, 250


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What commands call takes longer to compile than any mutation may."""
    with contextlib.chdir(tmp_path_factory.mktemp("compiled")):
        warm_up_commands(Path())


@pytest.mark.usefixtures("compiled")
@pytest.mark.parametrize("batch", range(BATCHES))
def test_deeply_mutated_inputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch: int) -> None:
    monkeypatch.chdir(tmp_path)
    kinds: dict[str, int] = {}
    for number in range(batch * OF_EACH, (batch + 1) * OF_EACH):
        name, outcome = try_mutation(number, tmp_path, DEEP_KINDS)
        assert outcome.kind in ("accepted", "refused"), (number, name, outcome)
        kinds[outcome.kind] = kinds.get(outcome.kind, 0) + 1
    assert min(kinds["accepted"], kinds["refused"]) > OF_EACH // 20
