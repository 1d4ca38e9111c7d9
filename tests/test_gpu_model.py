"""The time model of launches: its parts against closed forms and plain loops, and laws that any machine obeys."""

import heapq
import random
from dataclasses import replace

import numpy as np
import pytest

from kernels.plans import TARGETS, AttentionProblem, DecodeProblem, GemmProblem, RowProblem, StreamProblem, plan
from kernels.plans.attention import Band, count_visible
from kernels.plans.implementations import TABLE, plan_as
from sim.engine.tile_schedule import list_schedule
from sim.gpu.cases import GpuCase
from sim.gpu.device import device_of
from sim.gpu.minimise import minimise
from sim.gpu.overlap import pass_cycles, step_cycles
from sim.gpu.predict import predict, total_s
from sim.gpu.prepared import prepare
from sim.gpu.statistics import agreement, kendall, pearson
from sim.gpu.traffic import traffic_of
from sim.load.nouns import load_architecture

H100 = device_of(load_architecture("h100-sxm"))


def attention(keys: int, right: int = -1, size: int = 128, batch: int | None = None) -> AttentionProblem:
    heads = 2048 // size
    return AttentionProblem(batch or 16384 // keys, heads, heads, keys, keys, size, size, "fp16", right=right)


def case(problem, implementation: str = "own", is_backward: bool = False) -> GpuCase:
    return GpuCase("", "", "held-out", "h100-sxm", implementation, problem, is_backward, 1.0, 1.0, 1.0, "")


def seconds(problem, device=H100, implementation: str = "own", is_backward: bool = False) -> float:
    return total_s(predict(case(problem, implementation, is_backward), device))


# ---------------------------------------------------------------------------------------------- overlap


def test_one_group_takes_the_sum_of_its_demands():
    assert pass_cycles((3.0, 5.0, 2.0), 7.0, 1) == pytest.approx(17.0)


@pytest.mark.parametrize("groups", [1, 2, 3, 8])
def test_equal_pipes_in_closed_form(groups):
    """K equal pipes, N groups: D (N + K - 1) / N a pass."""
    assert pass_cycles((4.0,) * 3, 0.0, groups) == pytest.approx(4.0 * (groups + 2) / groups)


@pytest.mark.parametrize("groups", [1, 2, 5])
@pytest.mark.parametrize("ratio", [0.2, 0.7])
def test_two_pipes_in_closed_form(groups, ratio):
    """The busiest of two is used (1 - r^N) / (1 - r^(N+1)) of the time."""
    expected = (1 - ratio ** (groups + 1)) / (1 - ratio**groups)
    assert pass_cycles((1.0, ratio), 0.0, groups) == pytest.approx(expected)


def test_many_groups_reach_the_busiest_pipe():
    assert pass_cycles((10.0, 6.0, 3.0), 50.0, 200) == pytest.approx(10.0, rel=1e-6)
    by_groups = [pass_cycles((10.0, 6.0, 3.0), 5.0, groups) for groups in range(1, 12)]
    assert by_groups == sorted(by_groups, reverse=True) and by_groups[-1] >= 10.0


def test_dividing_a_cta_overlaps_it_with_itself():
    demands = (8.0, 6.0)
    assert step_cycles(demands, 0.0, 2, 1) == pytest.approx(2 * pass_cycles((4.0, 3.0), 0.0, 2))
    assert max(demands) < step_cycles(demands, 0.0, 2, 1) < sum(demands)


# --------------------------------------------------------------------------------------------- schedule


def by_heap(lengths: list[float], places: int) -> float:
    """Tiles in order onto the place that is free first."""
    free = [0.0] * places
    for length in lengths:
        heapq.heappush(free, heapq.heappop(free) + length)
    return max(free)


@pytest.mark.parametrize("seed", range(20))
def test_one_place_a_core_is_a_list_schedule(seed):
    choose = random.Random(seed)
    kinds = [choose.randrange(4) for _ in range(choose.randint(1, 60))]
    fixed = np.array([[choose.uniform(0, 9), 0.0, choose.randint(0, 7)] for _ in range(4)])
    steps = np.array([[choose.uniform(1, 9)] for _ in range(4)])
    cores = choose.randint(1, 7)
    lengths = [fixed[kind, 0] + fixed[kind, 2] * steps[kind, 0] for kind in kinds]
    found = list_schedule(np.array(kinds), fixed, steps, cores, False)
    assert found == pytest.approx(by_heap(lengths, cores))
    dealt = [sum(lengths[first::cores]) for first in range(cores)]
    assert list_schedule(np.array(kinds), fixed, steps, cores, True) == pytest.approx(max(dealt))


@pytest.mark.parametrize("overlap", [1.0, 0.5])
def test_tiles_of_a_core_share_it(overlap):
    """Two tiles together: each advances at 1 / (2 S_2)."""
    fixed, steps = np.array([[3.0, 0.0, 10.0]]), np.array([[4.0, 4.0 * overlap]])
    assert list_schedule(np.zeros(2, np.int64), fixed, steps, 1, False) == pytest.approx(3 + 2 * 10 * 4 * overlap)
    # A third starts when both have ended: it passes its fixed time and runs alone.
    assert list_schedule(np.zeros(3, np.int64), fixed, steps, 1, False) == pytest.approx(
        3 + 2 * 10 * 4 * overlap + 3 + 10 * 4
    )


def test_first_tile_of_a_place_may_cost_more():
    fixed, steps = np.array([[1.0, 5.0, 2.0]]), np.array([[3.0]])
    assert list_schedule(np.zeros(4, np.int64), fixed, steps, 2, False) == pytest.approx(5 + 2 * (1 + 6))


# ---------------------------------------------------------------------------------------------- traffic


def test_keys_that_fit_the_cache_are_fetched_once():
    (launch,) = plan(attention(4096), TARGETS["h100"])
    assert traffic_of(launch).memory_bytes == launch.unique_bytes
    moved = launch.work.private_read_bytes + launch.work.shared_read_bytes + launch.work.write_bytes
    assert traffic_of(launch).cache_bytes == moved


def test_keys_beyond_the_cache_are_fetched_again():
    # 512k keys of one head: 256 MiB of K and V, five times the cache, walked by several waves of tiles.
    (launch,) = plan(attention(524_288, size=128, batch=1), TARGETS["h100"])
    again = traffic_of(launch).memory_bytes - launch.unique_bytes
    assert again > launch.unique_bytes
    large = replace(launch, target=replace(launch.target, l2_bytes=1 << 40))
    assert traffic_of(large).memory_bytes == launch.unique_bytes


# ------------------------------------------------------------------------------------------------- laws

PROBLEMS = (
    attention(1024),
    attention(4096, right=0),
    DecodeProblem((32768,) * 8, 64, 8, 1, 128, 128, "bf16"),
    GemmProblem(4096, 4096, 4096, "bf16"),
    StreamProblem("stream_copy", 1 << 26, "bf16"),
    RowProblem("softmax", 16384, 4096, "bf16"),
)
IDS = ("full", "causal", "decode", "gemm", "copy", "softmax")
FASTER = {
    "memory_bytes_per_s": 2.0,
    "cache_bytes_per_s": 2.0,
    "tensor_flops_per_cycle": 2.0,
    "special_per_cycle": 2.0,
    "vector_per_cycle": 2.0,
    "operand_bytes_per_cycle": 2.0,
    "clock_hz": 1.5,
}


@pytest.mark.parametrize("problem", PROBLEMS, ids=IDS)
@pytest.mark.parametrize("field", FASTER)
def test_a_faster_part_never_slows(problem, field):
    better = replace(H100, **{field: getattr(H100, field) * FASTER[field]})
    assert seconds(problem, better) <= seconds(problem) * (1 + 1e-12)


@pytest.mark.parametrize("problem", PROBLEMS, ids=IDS)
def test_no_time_beats_the_bounds(problem):
    """Useful operations at the peak, compulsory bytes at the data sheet's bandwidth, exponentials at the unit's rate."""
    launches = prepare(problem, H100.target)
    for launch, found in zip(launches, predict(case(problem), H100), strict=True):
        chip_hz = H100.cores * H100.clock_hz
        if launch.plan.work.tensor_flops:
            assert found.time_s >= launch.plan.useful_flops / H100.peak_flops_per_s
        assert found.time_s >= launch.plan.unique_bytes / H100.memory_bytes_per_s
        assert found.time_s >= launch.plan.work.exp_count / H100.special_per_cycle / chip_hz


def test_twice_the_cores_never_slow_and_nearly_halve_long_runs():
    target = replace(H100.target, sm_count=264)
    double = replace(H100, target=target, cores=264, cache_bytes_per_s=2 * H100.cache_bytes_per_s)
    problem = attention(16384, batch=4)
    assert 0.5 <= seconds(problem, double, "fa2") / seconds(problem, H100, "fa2") < 0.54


@pytest.mark.parametrize("implementation", ["fa2", "fa3", "cudnn", "triton-2024"])
def test_causal_is_faster_and_length_is_quadratic(implementation):
    times = {n: seconds(attention(n, batch=4), H100, implementation) for n in (2048, 4096, 8192)}
    assert 3.4 < times[4096] / times[2048] < 4.2 and 3.7 < times[8192] / times[4096] < 4.1
    for n, full in times.items():
        assert 0.5 < seconds(attention(n, right=0, batch=4), H100, implementation) / full < 0.75, n


def test_h200_is_never_slower_than_h100():
    h200 = device_of(load_architecture("h200-sxm"))
    assert h200.calibration == H100.calibration
    for problem in PROBLEMS:
        assert seconds(problem, h200) <= seconds(problem)
    decode = DecodeProblem((131_072,) * 16, 64, 8, 1, 128, 128, "bf16")
    # What streams from memory is faster by its bandwidth; only launches and starts are not.
    ratio = seconds(decode) / seconds(decode, h200)
    assert ratio == pytest.approx(4800 / 3352, rel=0.03)


def test_decode_of_a_large_cache_runs_at_the_memory_s_pace():
    decode = DecodeProblem((131_072,) * 16, 64, 8, 1, 128, 128, "bf16")
    moved = 2 * 16 * 8 * 131_072 * 128 * 2
    assert predict(case(decode), H100)[0].bound_by == "memory"
    assert moved / seconds(decode) == pytest.approx(0.9 * 3352e9, rel=0.02)


# ---------------------------------------------------------------------------- plans of implementations


@pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row.implementations[0]}-{row.operator}-{row.head_size}")
def test_every_row_fits_a_machine(row):
    target = TARGETS["h100" if "sm90" in row.architectures else "a100"]
    if row.operator not in ("attention_fwd", "attention_bwd"):
        return
    for right in (-1, 0) if row.is_masked is None else (0 if row.is_masked else -1,):
        problem = attention(1024, right, row.head_size, 2)
        launches = plan_as(problem, target, row.implementations[0], row.operator == "attention_bwd")
        for launch in launches:
            assert launch.shared_bytes <= target.shared_bytes_per_cta
            assert launch.ctas_per_sm >= 1
        main = launches[len(launches) // 2]
        discarded = sum(t.count * t.masked_fraction * t.work.tensor_flops for t in main.tiles)
        if 1024 % main.configuration.block_m == 0 and 1024 % main.configuration.block_n == 0:
            assert main.work.tensor_flops - discarded == pytest.approx(main.useful_flops)
        assert main.work.tensor_flops >= main.useful_flops
        visible = 2 * problem.heads * count_visible(0, 1023, Band(0, -1, right, 1024))
        assert main.useful_flops == visible * row.head_size * (10 if row.operator == "attention_bwd" else 4)


def test_unknown_implementations_are_named():
    with pytest.raises(ValueError) as refused:
        plan_as(attention(1024), TARGETS["a100"], "fa3")
    assert str(refused.value) == (
        "no row of attention_fwd for implementation 'fa3' on sm80 at head size 128; the table has cudnn, fa2, fa3, "
        "fa3-2026, flex-attention, sdpa-fa2, tlx-2026, tlx-cooperative, tlx-ping-pong, tlx-ping-pong-persistent, "
        "tlx-pipelined, triton-2024, triton-2025, triton-tutorial"
    )
    with pytest.raises(ValueError) as refused:
        plan_as(RowProblem("softmax", 1, 1, "fp16"), TARGETS["h100"], "fa3")
    assert str(refused.value) == "the table has no implementation 'fa3' of a RowProblem"


def test_no_fp8_before_hopper():
    a100 = device_of(load_architecture("a100-sxm"))
    with pytest.raises(ValueError) as refused:
        seconds(replace(attention(1024), dtype="fp8"), a100, "fa2")
    assert str(refused.value) == "a100-sxm has no products of fp8"
    assert seconds(replace(attention(1024), dtype="fp8"), H100, "fa3") < seconds(attention(1024), H100, "fa3")


# --------------------------------------------------------------------------------- minimum and statistics


def test_the_minimum_of_a_bent_valley():
    found = minimise(lambda x: (1 - x[0]) ** 2 + 100 * (x[1] - x[0] ** 2) ** 2, (-1.0, 1.5), 0.5, 1e-12)
    assert found == pytest.approx((1.0, 1.0), abs=1e-3)


def test_agreement_by_hand():
    found = agreement((1.0, 2.0, 4.0), (1.1, 1.8, 4.0))
    assert (found.cases, found.mean_error, found.max_error) == (3, pytest.approx(0.2 / 3), pytest.approx(0.1))
    assert found.kendall == 1.0
    assert kendall((1, 2, 3, 4), (1, 3, 2, 4)) == pytest.approx(4 / 6)
    assert kendall((1, 1, 2), (1, 2, 3)) == pytest.approx(2 / (2 * 3) ** 0.5)
    assert pearson((1, 2, 3), (6, 4, 2)) == pytest.approx(-1)
    assert pearson((1,), (2,)) is None and pearson((1, 1), (1, 2)) is None and kendall((1, 1), (1, 2)) is None
