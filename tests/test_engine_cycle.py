"""The tile-level engine: fast-forward against every cycle gone through, laws, bounds, and what the published designs show."""

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from sim.cycle.answer import DesignTiming, design_of, time_design
from sim.cycle.dram import seconds_per_byte
from sim.cycle.lags import Edge, LagRule, TimedOp, least_lags
from sim.design.assemble import load_experiment
from sim.design.experiment import Experiment, stack
from sim.engine.analytical import Evaluation, evaluate
from sim.engine.tables import Tables
from sim.load.nouns import load_dram
from sim.lower.lowering import lower
from sim.simulation.flow import IllegalMapping, simulate, simulate_all, simulate_cycles
from tests.cycle_designs import ONE_PASS_STAGES, small_design, timed_experiment

DESIGNS = ("unfused", "flat", "fusemax-cascade", "fusemax-architecture", "fusemax-binding")
LENGTHS = (1024, 4096, 16384, 65536, 262144, 1048576)


def parts(experiment: Experiment) -> tuple[Tables, Evaluation]:
    tables = lower(experiment.structure, stack([experiment]))
    return tables, evaluate(tables)


def both_ways(experiment: Experiment) -> tuple[DesignTiming, DesignTiming]:
    design = design_of(experiment, *parts(experiment))
    return time_design(design, True), time_design(design, False)


def outcome(timing: DesignTiming) -> tuple[object, ...]:
    moved = [(item.run.moved.tolist(), item.run.runs.tolist()) for item in timing.runs]
    return timing.cycles, timing.stalls, timing.busy, timing.served, moved


def check_against_bounds(experiment: Experiment, timing: DesignTiming) -> None:
    """Busy cycles are the analytical engine's, every cycle of an array has one reason, no bandwidth is exceeded."""
    tables, evaluation = parts(experiment)
    clock = tables.machine.clock_hz[0]
    leaves = experiment.tree.leaves
    assert timing.busy == {leaf.einsum: evaluation.busy_cycles[0, leaf.index] for leaf in leaves}
    for array, stalls in timing.stalls.items():
        busy = sum(timing.busy[leaf.einsum] for leaf in leaves if leaf.array == array)
        assert busy + sum(stalls.values()) == timing.cycles
        assert min(stalls.values()) >= 0
    moved = evaluation.read_bytes[0] + evaluation.write_bytes[0]
    root = experiment.structure.machine.memories.index(experiment.structure.machine.root)
    assert timing.cycles >= moved[root] / tables.machine.bandwidth_bytes_per_s[0, root] * clock - 1e-6


# ------------------------------------------------------------------------------------------- fast-forward


@pytest.mark.parametrize("first", range(0, 360, 90))
def test_skipping_changes_nothing_in_random_mappings(first: int) -> None:
    ran = 0
    for seed in range(first, first + 90):
        experiment = timed_experiment(seed)
        if experiment is None:
            continue
        try:
            simulate_all([experiment])
            fast, slow = both_ways(experiment)
        except (IllegalMapping, ValueError):
            continue  # too large, or a schedule that asks for a value before it exists
        assert outcome(fast) == outcome(slow), f"seed {seed}"
        check_against_bounds(experiment, fast)
        ran += 1
    assert ran >= 40


@pytest.mark.parametrize("first", range(0, 160, 40))
def test_skipping_changes_nothing_in_shipped_designs(first: int) -> None:
    skipped = 0
    for seed in range(first, first + 40):
        experiment = small_design(seed)
        fast, slow = both_ways(experiment)
        assert outcome(fast) == outcome(slow), f"seed {seed}"
        check_against_bounds(experiment, fast)
        skipped += any(item.run.skipped for item in fast.runs)
        assert not any(item.run.skipped for item in slow.runs)
    assert skipped >= 20


@pytest.mark.parametrize("name", ["unfused", "fusemax-binding", "fusemax-architecture", "fusemax-cascade"])
def test_skipping_changes_nothing_at_full_size(name: str) -> None:
    fast, slow = both_ways(load_experiment(name, {"seq_len": 1024, "batch": 4}))
    assert outcome(fast) == outcome(slow)
    events = [sum(item.run.events for item in timing.runs) for timing in (fast, slow)]
    assert events[0] <= events[1]


# ----------------------------------------------------------------------------------------------------- laws


def cycles(experiment: Experiment) -> int:
    return time_design(design_of(experiment, *parts(experiment))).cycles


@pytest.mark.parametrize("name", DESIGNS)
@pytest.mark.parametrize("length", [1024, 16384])
def test_more_bandwidth_and_more_ports_are_never_slower(name: str, length: int) -> None:
    base: dict[str, object] = {"seq_len": length}
    slow, as_is, fast = (
        cycles(load_experiment(name, base | {"architecture.components.DRAM.bandwidth": f"{n} GiB/s"}))
        for n in (50, 400, 800)
    )
    assert slow >= as_is >= fast
    one, four = (cycles(load_experiment(name, base | {"architecture.components.GLB.ports": n})) for n in (1, 4))
    assert one >= four


@pytest.mark.parametrize("name", DESIGNS)
@pytest.mark.parametrize("length", LENGTHS)
def test_never_faster_than_the_analytical_engine(name: str, length: int) -> None:
    experiment = load_experiment(name, {"seq_len": length})
    assert simulate(experiment, "cycle").cycles >= simulate(experiment).cycles * (1 - 1e-12)


def test_slow_memory_sets_the_time() -> None:
    # 1/400 of the bandwidth: the arrays wait for nearly all of the time that the words take.
    experiment = load_experiment("fusemax-binding", {"architecture.components.DRAM.bandwidth": "1 GiB/s"})
    result, counted = simulate(experiment, "cycle"), simulate(experiment)
    assert result.bound_by == counted.bound_by == "DRAM"
    assert counted.cycles <= result.cycles <= 1.05 * counted.cycles


@pytest.mark.parametrize("length", [1024, 1280])
def test_a_final_division_may_have_a_stage(length: int) -> None:
    # It stands after the loops of the tiles, and works with their last iterations: steps stay tiles.
    small = {"seq_len": length, "batch": 1, "model": "T5"}
    apart = load_experiment(
        "fusemax-binding", small | {"mapping.schedule": {"kind": "pipelined", "stages": ONE_PASS_STAGES}}
    )
    inside = load_experiment(
        "fusemax-binding", small | {"mapping.schedule": {"kind": "pipelined", "stages": ONE_PASS_STAGES | {"AV": 5}}}
    )
    counted, timed = simulate(inside), simulate(inside, "cycle")
    steps = 8 * (length // 256) ** 2
    divisions = 8 * (length // 256) * 64
    # By hand, cycles of a tile by stage: the 2D array 65, 0, 72; the 1D array 0, 0, 8, 0, 2, 128 + d. In the prologue
    # the 2D array binds (65, 65, 137, 137, 137), from the first full step on the 1D array; it also ends alone.
    d = divisions / steps
    epilogue = (128 + d) + 2 * (130 + d) + 2 * (138 + d)
    assert counted.cycles == pytest.approx((steps - 5) * (138 + d) + 541 + epilogue, rel=1e-12)
    assert timed.cycles == simulate(apart, "cycle").cycles == simulate_cycles(inside, fast=False).cycles
    # At most five steps of prologue and five of epilogue, in which one of the arrays has less to do.
    steady = 138 * steps + divisions
    assert steady < timed.cycles < steady * (1 + 10 / steps)


def test_dram_timing_takes_the_place_of_the_bandwidth() -> None:
    # A machine bound by DRAM on one HBM2 stack: as slow as a bandwidth of what the timing model says of a long stream.
    timing = load_dram("hbm2-2000")
    bandwidth = 1 / seconds_per_byte(timing, False)
    assert 0.8 * timing.peak_bytes_per_s < bandwidth < timing.peak_bytes_per_s  # refresh and activations take the rest
    slow = {"architecture.components.PE1D.operations.macc.cycles": 1, "seq_len": 16384, "architecture.clock": "94 GHz"}
    stack = "architecture.components.DRAM.timing"
    named = load_experiment("fusemax-binding", slow | {stack: "hbm2-2000"})
    timed = simulate(named, "cycle")
    rate = {"architecture.components.DRAM.bandwidth": f"{float(bandwidth):.0f} B/s"}
    same = simulate(load_experiment("fusemax-binding", slow | rate), "cycle")
    assert timed.bound_by == "DRAM"
    assert timed.cycles == pytest.approx(same.cycles, rel=0.02)  # writing has a rate of its own
    # Counting cycles from loops alone, the same file has the peak of its pins.
    counted = simulate(named)
    peak_cycles = counted.traffic_bytes["DRAM"]["read"] + counted.traffic_bytes["DRAM"]["write"]
    assert counted.cycles == pytest.approx(peak_cycles / timing.peak_bytes_per_s * 94e9, rel=1e-12)
    assert timed.cycles > counted.cycles
    # Without refresh, by a value inside the named timing, it is faster.
    fresh = simulate(
        load_experiment("fusemax-binding", slow | {stack: "hbm2-2000", f"{stack}.timings.tREFI.time": "1 ms"}), "cycle"
    )
    assert fresh.cycles < timed.cycles


# ---------------------------------------------------------------------------------------- published designs


@cache
def at_1k(name: str) -> DesignTiming:
    experiment = load_experiment(name, {"seq_len": 1024})
    return time_design(design_of(experiment, *parts(experiment)))


def test_plain_binding_shows_the_drain_stall_and_pipelining_hides_it() -> None:
    tiles = 64 * 12 * 4 * 4
    plain, pipelined = at_1k("fusemax-architecture"), at_1k("fusemax-binding")
    assert plain.stalls["PE2D"]["drain"] == 256 * tiles  # every tile's maxima pass 256 rows
    assert pipelined.stalls["PE2D"]["drain"] < 256  # the first tile's only
    lags = [
        dict(zip((s.leaf.einsum for s in x.named.nest.slots), x.named.order.lags, strict=True)) for x in pipelined.runs
    ]
    assert lags[0]["RM"] == 2 and lags[0]["RNV"] == 5  # 256 cycles are two intervals of 138, the sums need three more
    assert pipelined.runs[0].named.order.interval == 138
    assert at_1k("fusemax-architecture").cycles / at_1k("fusemax-binding").cycles == pytest.approx(2.973, abs=1e-3)


@pytest.mark.parametrize(
    ("name", "most"), [("fusemax-binding", 1e-5), ("fusemax-architecture", 1e-5), ("fusemax-cascade", 1e-6)]
)
def test_a_million_tokens_take_the_analytical_time(name: str, most: float) -> None:
    experiment = load_experiment(name, {"seq_len": 1048576})
    result, counted = simulate(experiment, "cycle"), simulate(experiment)
    assert result.cycles > 1e12
    assert 1 <= result.cycles / counted.cycles < 1 + most
    assert result.energy_pj == counted.energy_pj and result.traffic_bytes == counted.traffic_bytes


def test_buffer_without_room_for_three_tiles_costs_the_overlap() -> None:
    # At 1K a head's scores take 2 MiB, and three of them fit; at 4K one fills the buffer of 32 MiB.
    small, large = (simulate(load_experiment("flat", {"seq_len": n}), "cycle") for n in (1024, 4096))
    assert not any("no room" in warning for warning in small.warnings)
    assert any("'GLB' has no room for the 3 tiles of 'QK'" in warning for warning in large.warnings)
    assert small.cycles < 1.04 * simulate(small.experiment).cycles
    assert large.cycles > 1.5 * simulate(large.experiment).cycles


ONE_PHASE = [
    {"PE2D": ["QK", "LM", "SLN", "SLD", "SLNV"], "PE1D": ["RM", "PRM", "SPD", "RD", "SPNV", "RNV", "AV"]},
]


def test_published_phases_need_registers_that_one_phase_does_not() -> None:
    # SPNV in the last phase and RNV in the first: F values of every lane wait in between, for several tiles.
    base = {"seq_len": 4096}
    phases = simulate(load_experiment("fusemax-binding", base), "cycle")
    together = simulate(load_experiment("fusemax-binding", base | {"mapping.schedule.phases": ONE_PHASE}), "cycle")
    assert phases.warnings == (
        "'RF1D' has room for 54 B more, but the schedule keeps 512 B of 'SPNV' there: the Einsums that make and "
        "read it do not take turns",
    )
    assert together.warnings == ()
    assert abs(together.cycles - phases.cycles) < 300  # of the run


def test_registers_and_ports_that_hiding_the_drain_takes() -> None:
    def cycles_with(key: str, value: int) -> float:
        return simulate(
            load_experiment("fusemax-binding", {"seq_len": 4096, f"architecture.components.{key}": value}), "cycle"
        ).cycles

    # Scores of three tiles and the exponentials of one: 4 words in every PE.
    assert cycles_with("RF2D.depth", 12) == cycles_with("RF2D.depth", 4) < 0.4 * cycles_with("RF2D.depth", 3)
    # Two rows a slot for the scores and one for the running numerator: 3 ports.
    assert cycles_with("GLB.ports", 4) == cycles_with("GLB.ports", 3) < 0.7 * cycles_with("GLB.ports", 2)


def test_result_says_where_the_cycles_went() -> None:
    result = simulate(load_experiment("fusemax-architecture"), "cycle")
    text = json.loads(json.dumps(result.to_json()))
    assert text["engine"] == "cycle" and set(text["stall_cycles"]) == {"PE2D", "PE1D"}
    assert sum(text["cycles_by_resource"].values()) == text["cycles"]
    assert text["stall_cycles"]["PE1D"]["drain"] > 0.5 * text["cycles"]
    assert all(0 < share <= 1 for share in text["utilization"].values())
    assert simulate(load_experiment("fusemax-architecture")).to_json()["stall_cycles"] == {}


def two_ops(other: str) -> list[TimedOp]:
    """SPD on one array, RD on another or the same, in one phase; RD's result drains for 30 cycles of a step of 20."""
    return [TimedOp("SPD", 0, "A", 0, 0, 0, 10, 0), TimedOp("RD", 0, other, 1, 1, 10, 20, 30)]


def test_lags_are_the_least_that_dependencies_allow() -> None:
    forward, back = Edge(0, 1, 0), Edge(1, 0, 4)
    overlapped, patient = LagRule(20, hides=100, concurrent=True), LagRule(20, hides=0, concurrent=True)
    assert least_lags(two_ops("A"), [forward, back], patient) == [0, 0]  # in order: the same tile
    assert least_lags(two_ops("B"), [forward, back], patient) == [0, 1]  # at once: one tile behind
    assert least_lags(two_ops("B"), [forward, back], overlapped) == [0, 1]
    # RD's result is there 20 + 30 cycles after its step began: three steps later.
    assert least_lags(two_ops("B"), [Edge(1, 0, 0)], overlapped) == [3, 0]
    assert least_lags(two_ops("B"), [Edge(1, 0, 0, drained=True)], overlapped) == [1, 0]
    assert least_lags(two_ops("B"), [forward], LagRule(20, hides=0, concurrent=False)) == [0, 0]


def test_schedule_against_its_dependencies_is_refused() -> None:
    message = "Einsum 'RD' reads what Einsum 'SPD' makes later in the schedule, and no number of tiles between them resolves it"
    with pytest.raises(ValueError, match=f"^{message}$"):
        least_lags(two_ops("B"), [Edge(0, 1, 0), Edge(1, 0, 1)], LagRule(20, hides=0, concurrent=True))


def test_an_old_value_that_another_nest_has_made_is_there() -> None:
    # Einsum Y reads R[i1] and R[i1+1] in loops of its own, when R is complete: its tiles wait for nobody to change them.
    experiment = timed_experiment(30077)
    assert experiment is not None
    fast, slow = both_ways(experiment)
    assert outcome(fast) == outcome(slow)
    check_against_bounds(experiment, fast)


def test_same_without_compiling() -> None:
    program = (
        "from tests.cycle_designs import small_design\n"
        "from tests.test_engine_cycle import both_ways, outcome\n"
        "for seed in (0, 3): print(outcome(both_ways(small_design(seed))[0]))\n"
    )
    root = Path(__file__).parents[1]
    environment = {**os.environ, "PYTHONPATH": str(root), "NUMBA_DISABLE_JIT": "1"}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=root, env=environment, capture_output=True, text=True, check=True
    )
    expected = "".join(f"{outcome(both_ways(small_design(seed))[0])}\n" for seed in (0, 3))
    assert done.stdout == expected
