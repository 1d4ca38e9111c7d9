"""Do plans say what kernels do? Tiles against masks counted by brute force, spans against the cache, bytes against totals."""

import os
import random
import subprocess
import sys
from dataclasses import replace
from itertools import groupby, pairwise
from pathlib import Path

import pytest

from kernels.plans import (
    TARGETS,
    Configuration,
    configuration_of,
    plan,
    problems,
)
from kernels.plans.attention import Band, count_steps, count_visible, plan_forward, ranges_of
from kernels.plans.decode import split_spans, stream_k_spans

H100, A100 = TARGETS["h100"], TARGETS["a100"]
ROOT = Path(__file__).resolve().parents[1]


def attention(queries=4096, keys=4096, right=-1, size=128, **more) -> problems.AttentionProblem:
    fields = {"batch": 2, "heads": 16, "kv_heads": 4, "dtype": "bf16", "right": right, **more}
    return problems.AttentionProblem(queries=queries, keys=keys, head_size=size, value_size=size, **fields)


def sees(row: int, column: int, band: Band) -> bool:
    offset, left, right, limit = band
    place = row + offset
    return 0 <= column < limit and (left < 0 or column >= place - left) and (right < 0 or column <= place + right)


@pytest.mark.parametrize("seed", range(200))
def test_ranges_against_the_mask(seed):
    """Every visible pair is visited, the interior needs no mask, and no visited block is hidden from all rows."""
    choose = random.Random(seed)
    queries, keys, block = choose.randint(1, 60), choose.randint(0, 60), choose.choice([4, 8, 16])
    band = Band(keys - queries, choose.choice([-1, 0, 3, 20]), choose.choice([-1, 0, 3, 20]), keys)
    first_row = choose.randrange(queries)
    last_row = choose.randint(first_row, queries - 1)
    ranges = ranges_of(first_row, last_row, band, block)
    rows = range(first_row, last_row + 1)
    assert ranges.first <= ranges.inner_first <= ranges.inner_last
    visible = {(i, j) for i in rows for j in range(keys) if sees(i, j, band)}
    assert all(ranges.first <= j < ranges.last for _, j in visible)
    if ranges.last > ranges.first:
        assert all(sees(i, j, band) for i in rows for j in range(ranges.inner_first, ranges.inner_last))
    assert count_visible(first_row, last_row, band) == len(visible)
    total, masked = count_steps(ranges, block)
    assert 0 <= masked <= total
    touched = {j // block for _, j in visible}
    assert len(touched) <= total <= len(touched) + 1 or not visible


@pytest.mark.parametrize("size", [64, 128, 256])
def test_full_attention_in_closed_form(size):
    (launch,) = plan(attention(size=size), H100)
    cut = launch.configuration
    assert launch.useful_flops == 4 * 2 * 16 * 4096**2 * size == launch.work.tensor_flops
    assert launch.grid == (4096 // cut.block_m, 16, 2)
    assert launch.work.private_read_bytes == 2 * 16 * 4096 * size * 2
    assert launch.work.shared_read_bytes == 2 * 16 * (4096 // cut.block_m) * 4096 * 2 * size * 2
    assert launch.work.write_bytes == 2 * 16 * 4096 * (size * 2 + 4)
    assert {tile.masked_steps for tile in launch.tiles} == {0}


def test_causal_attention_in_closed_form():
    (launch,) = plan(attention(right=0), H100)
    assert launch.useful_flops == 4 * 2 * 16 * (4096 * 4097 // 2) * 128
    steps = [tile.steps for tile in launch.tiles for _ in range(tile.count)]
    assert steps[:32] == list(range(32, 0, -1)), "the longest tile starts first"
    assert all(tile.masked_steps == 1 for tile in launch.tiles)


@pytest.mark.parametrize(("queries", "keys"), [(113, 203), (203, 113), (1, 1), (128, 257)])
@pytest.mark.parametrize("right", [-1, 0])
def test_executed_work_covers_useful_work(queries, keys, right):
    (launch,) = plan(attention(queries, keys, right), A100)
    assert launch.work.tensor_flops >= launch.useful_flops
    discarded = sum(t.count * t.masked_fraction * t.work.tensor_flops for t in launch.tiles)
    assert launch.work.tensor_flops - discarded == pytest.approx(launch.useful_flops)


def test_ragged_batch_lists_every_tile_longest_first():
    lengths = ((300, 300), (0, 0), (1, 500), (129, 64))
    problem = attention(430, 864, right=0, batch=1, lengths=lengths)
    (launch,) = plan(problem, H100)
    block = launch.configuration.block_m
    expected = {(i, b) for i, (queries, _) in enumerate(lengths) for b in range(-(-queries // block))}
    assert set(launch.table) == expected and len(launch.table) == len(expected) == launch.grid[0]
    steps = [t.steps for t in launch.tiles for _ in range(t.count)][: launch.grid[0]]
    assert steps == sorted(steps, reverse=True)


def test_heads_of_a_group_share_keys():
    (launch,) = plan(attention(), H100)
    keys = [key for key, _ in groupby(tile.reuse_key for tile in launch.tiles)]
    assert keys == list(range(2 * 4))


@pytest.mark.parametrize("cutter", [split_spans, stream_k_spans])
@pytest.mark.parametrize("seed", range(60))
def test_spans_partition_the_cache(cutter, seed):
    choose = random.Random(seed)
    lengths = tuple(choose.choice([0, 1, choose.randint(0, 900)]) for _ in range(choose.randint(1, 5)))
    kv_heads, splits = choose.choice([1, 2, 3]), choose.choice([0, 1, 2, 7])
    left = choose.choice([-1, 0, 100])
    problem = problems.DecodeProblem(lengths, kv_heads * 2, kv_heads, 2, 64, 64, "bf16", left, 0, splits)
    spans = cutter(problem, H100, 32)
    programs = [span[0] for span in spans]
    assert programs == sorted(programs) and set(programs) == set(range(programs[-1] + 1))
    by_head = {key: list(group) for key, group in groupby(spans, key=lambda span: span[1:3])}
    assert set(by_head) == {(b, h) for b in range(len(lengths)) for h in range(kv_heads)}
    for (sequence, _), parts in by_head.items():
        length = lengths[sequence]
        first = 0 if left < 0 else max(0, length - 2 - left)
        assert parts[0][3] <= first and parts[0][3] % 32 == 0
        assert parts[-1][4] == length or length == 0
        assert all(a[4] == b[3] for a, b in pairwise(parts))


@pytest.mark.parametrize("lengths", [(100_000, 3000, 17), (4096,) * 3])
def test_stream_k_is_even(lengths):
    spans = stream_k_spans(problems.DecodeProblem(lengths, 8, 2, 1, 128, 128, "bf16"), H100, 128)
    tiles = [sum(-(-(s[4] - s[3]) // 128) for s in group) for _, group in groupby(spans, key=lambda span: span[0])]
    assert max(tiles) - min(tiles) <= 1
    assert len(tiles) == min(2 * 132, sum(tiles))


def test_decode_reads_the_cache_once():
    problem = problems.DecodeProblem((32768,) * 8, 64, 8, 1, 128, 128, "bf16")
    split, merge = plan(problem, H100)
    cache_bytes = 2 * 8 * 8 * 32768 * 128 * 2
    assert cache_bytes <= split.work.private_read_bytes <= cache_bytes * 1.01
    assert split.grid[0] >= 132
    assert merge.work.private_read_bytes == split.work.write_bytes


def test_backward_costs_two_and_a_half_forwards():
    problem = attention()
    forward = plan(problem, H100)[0].useful_flops
    delta, keys, queries = plan(problem, H100, True)
    # S and dP are made twice: useful are dV, dP, S, dK (4 products) and dQ (1).
    assert keys.useful_flops + queries.useful_flops == 2.5 * forward
    assert keys.work.tensor_flops + queries.work.tensor_flops == 3.5 * forward
    assert delta.work.tensor_flops == 0


def test_product_in_closed_form():
    (launch,) = plan(problems.GemmProblem(4096, 4096, 4096, "bf16"), H100)
    assert launch.useful_flops == launch.work.tensor_flops == 2 * 4096**3
    assert launch.grid == (132, 1, 1) and launch.tile_count == (4096 // 128) * (4096 // 256)
    assert launch.unique_bytes == 3 * 4096 * 4096 * 2


def test_unfused_moves_the_scores():
    problem = attention(batch=1)
    scores, rows, values = plan(problems.UnfusedAttentionProblem(problem), H100)
    points = 16 * 4096**2
    assert scores.work.write_bytes == points * 4 == rows.work.private_read_bytes
    assert rows.work.write_bytes == points * 2
    moved = sum(launch.unique_bytes for launch in (scores, rows, values))
    assert moved > 30 * plan(problem, H100)[0].unique_bytes


def test_streams_move_each_byte_once():
    (copy,) = plan(problems.StreamProblem("stream_copy", 1_000_003, "fp32"), H100)
    assert copy.work.private_read_bytes == copy.work.write_bytes == 4_000_012
    (chain,) = plan(problems.StreamProblem("exp2_throughput", 1 << 20, "fp32", 64), H100)
    assert chain.work.exp_count == 64 << 20
    (held,) = plan(problems.RowProblem("softmax", 100, 4096, "fp16"), H100)
    (long,) = plan(problems.RowProblem("softmax", 100, 100_000, "fp16"), H100)
    assert held.work.private_read_bytes == 100 * 4096 * 2
    assert long.work.private_read_bytes == 2 * 100 * 100_000 * 2


def test_rational_is_memory_bound_in_two_and_three_passes():
    shape = (8 * 197, 768, 8, "fp16")
    (forward,), (backward,) = (
        plan(problems.RationalProblem(*shape), H100),
        plan(problems.RationalProblem(*shape, True), H100),
    )
    elements = 8 * 197 * 768 * 2
    assert forward.unique_bytes == 2 * elements
    assert 3 * elements <= backward.unique_bytes < 3.05 * elements


def test_sparse_work_follows_the_lists():
    one = problems.BlockSparseProblem(1, 4, 2, 1024, 1024, 64, "bf16", 64, False, (2,) * 64)
    two = replace(one, counts=(4,) * 64)
    assert plan(two, H100)[0].work.tensor_flops == 2 * plan(one, H100)[0].work.tensor_flops == 8 * 64 * 2 * 64 * 64 * 64


def test_linear_work_is_linear():
    short, long = (plan(problems.LinearAttentionProblem(1, 4, t, 64, 64, "bf16", True), H100) for t in (4096, 8192))
    for a, b in zip(short, long, strict=True):
        assert b.work.tensor_flops == 2 * a.work.tensor_flops


@pytest.mark.parametrize("target", [H100, A100], ids=lambda t: t.name)
@pytest.mark.parametrize("size", [64, 128, 256])
@pytest.mark.parametrize("right", [-1, 0])
def test_every_configuration_fits(target, size, right):
    for problem, is_backward in ((attention(right=right, size=size), False), (attention(right=right, size=size), True)):
        for launch in plan(problem, target, is_backward):
            assert launch.shared_bytes <= target.shared_bytes_per_cta
            assert launch.ctas_per_sm >= 1
            assert launch.configuration.registers * launch.configuration.threads <= 65_536 or launch.ctas_per_sm == 1


def test_too_much_shared_memory_is_refused():
    with pytest.raises(ValueError) as caught:
        plan_forward(attention(), A100, Configuration(128, 128, stages=4))
    assert str(caught.value) == (
        "attention_fwd needs 262144 bytes of shared memory per CTA, a100 has 166912: take smaller blocks or fewer stages"
    )


MISTAKES = [
    (lambda: attention(heads=5), "query heads must be a multiple of key-value heads, got 5 and 4"),
    (lambda: attention(size=300), "head sizes from 1 to 256 are supported, got 300 and 300"),
    (
        lambda: attention(lengths=((1, 2),)),
        "lengths add up to 1 queries and 2 keys, the tensors hold 4096 and 4096",
    ),
    (
        lambda: problems.DecodeProblem((1,), 64, 1, 4, 64, 64, "bf16"),
        "decode packs queries x heads per key-value head into one tile of at most 128 rows, got 256",
    ),
    (lambda: problems.RationalProblem(4, 10, 3, "fp32"), "columns must be a multiple of groups, got 10 and 3"),
    (
        lambda: configuration_of("sm90", "gemm", "fp8"),
        "no configuration of gemm for sm90, fp8 and head size 1; the table has gemm for ['interpreter', 'sm80', 'sm90']",
    ),
    (
        lambda: plan(problems.GemmProblem(1, 1, 1, "fp32"), H100, True),
        "only attention has a backward to plan this way, got GemmProblem",
    ),
]


@pytest.mark.parametrize(("make", "message"), MISTAKES, ids=[message[:30] for _, message in MISTAKES])
def test_mistakes_are_refused(make, message):
    with pytest.raises(ValueError) as caught:
        make()
    assert str(caught.value) == message


def test_plans_need_the_standard_library_only():
    program = "import sys, kernels.plans; print(sorted({'torch', 'triton', 'numpy', 'pydantic'} & set(sys.modules)))"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    for path in (ROOT / "kernels" / "plans").glob("*.py"):
        imported = {
            line.split()[1].split(".")[0]
            for line in path.read_text("utf-8").splitlines()
            if line.startswith(("import ", "from "))
        }
        assert imported <= {"kernels", *sys.stdlib_module_names}, path.name


@pytest.mark.parametrize("columns", [4096, 40_000])
@pytest.mark.parametrize("operator", ["layernorm_bwd", "rmsnorm_bwd"])
def test_norm_backward_in_closed_form(operator, columns):
    """X and dY in, dX out; a row that is not held is read for its statistics, its sums and its result."""
    first, second = plan(problems.RowProblem(operator, 1000, columns, "bf16"), H100)
    elements = 1000 * columns
    assert first.grid == (1000, 1, 1) and second.grid == (-(-1000 // 64), -(-columns // 128), 1)
    assert first.work.private_read_bytes == elements * 2 * (2 if columns == 4096 else 5)
    assert first.work.write_bytes == elements * 2 + 1000 * 8
    assert second.unique_bytes == 2 * elements * 2 + 1000 * 8 + 16 * 2 * columns * 4


@pytest.mark.parametrize("length", [1, 64, 100])
def test_delta_rule_in_closed_form(length):
    """Chunks of 64 and blocks of 16 value channels: products of whole tiles, bytes of what exists."""
    solve, scan = plan(problems.DeltaRuleProblem(2, 3, length, 128, 128, "bf16"), H100)
    chunks = -(-length // 64)
    assert (solve.grid, scan.grid) == ((chunks, 6, 1), (8, 6, 1))
    assert solve.work.tensor_flops == 6 * chunks * 2 * 64 * 64 * 128
    per_chunk = 2 * (3 * 64 * 128 * 128) + 8 * 2 * 64 * 64 * 128 + 2 * 2 * 64 * 64 * 128
    assert scan.work.tensor_flops == 6 * chunks * per_chunk
    assert scan.work.write_bytes == 6 * (length * 128 * 2 + 128 * 128 * 4)
    assert scan.unique_bytes == 6 * (length * (4 * 128 * 2 + 8) + chunks * 64 * 64 * 4 + 2 * 128 * 128 * 4)


def test_recurrent_step_moves_states():
    """One token of many sequences: nearly all bytes are states, read and written once, whatever the delta rule."""
    for has_delta in (False, True):
        (launch,) = plan(problems.RecurrentAttentionProblem(64, 16, 1, 128, 128, "bf16", False, has_delta), H100)
        states = 2 * 64 * 16 * 128 * 128 * 4
        assert launch.grid == (4, 1024, 1)
        assert states < launch.unique_bytes < 1.02 * states
        moved = launch.work.private_read_bytes + launch.work.write_bytes
        assert moved == states + 2 * 64 * 16 * 128 * 2
