"""Mappings on machines of several cores: what is dealt, what is shared, and what is refused."""

import numpy as np
import pytest

from sim.design.assemble import load_experiment
from sim.explore.bulk import evaluate_points, value_names
from sim.simulation.flow import IllegalMapping, simulate
from tests.small_design import write_design
from tests.small_sweep import plan_of

H100_CORES = 132
TILES = 16 * 16384 // 128  # heads x tiles of queries of attention-h100


def run(name="attention-h100", **changes):
    return simulate(load_experiment(name, {key.replace("__", "."): value for key, value in changes.items()}))


def with_cores(count, **changes):
    return run(**{"architecture__cores__count": count, **changes})


def test_the_busiest_core_sets_the_time():
    result = run()
    busy = sum(result.busy_cycles_by_einsum.values())  # of all tiles, one after the other
    assert result.cycles == busy * -(-TILES // H100_CORES) / TILES
    # Products at 2048 multiply-adds a cycle: S and AV are 2 x 16384^2 x 128 of them a head.
    assert result.busy_cycles_by_einsum["QK"] == 16 * 16384**2 * 128 / 2048
    assert result.utilization["TENSOR"] == pytest.approx(
        (2 * 16 * 16384**2 * 128) / (2048 * H100_CORES * result.cycles)
    )


def test_what_cores_share_moves_as_on_one():
    one, many = with_cores(1), run()
    assert one.traffic_bytes == many.traffic_bytes
    assert one.energy_pj == many.energy_pj
    assert one.footprint_bytes == many.footprint_bytes
    # Q, K, V in and AV out, each once: K and V stay in L2 while the tiles of their head need them.
    assert sum(many.traffic_bytes["HBM"].values()) == 4 * 16384 * 2048 * 2
    assert many.traffic_by_tensor_bytes["K"]["L2"]["read"] == TILES * 16384 * 128 * 2
    assert one.cycles == sum(one.busy_cycles_by_einsum.values())


@pytest.mark.parametrize("name", ["attention-h100", "decode-h100", "product-h100"])
def test_more_cores_never_slow(name):
    cycles = [run(name, architecture__cores__count=count).cycles for count in (1, 2, 3, 66, 131, 132, 133, 264)]
    assert cycles == sorted(cycles, reverse=True)
    assert cycles[0] < 2 * cycles[1] * (1 + 1e-12)


def test_shared_bandwidth_bounds_all_cores_together():
    result = run("decode-h100")
    assert result.bound_by == "HBM"
    assert result.latency_s == pytest.approx(sum(result.traffic_bytes["HBM"].values()) / 3352e9)
    h200 = run("decode-h100", architecture="h200-sxm")
    assert result.latency_s / h200.latency_s == pytest.approx(4800 / 3352)


def test_a_core_s_memory_must_hold_its_own_tiles():
    with pytest.raises(IllegalMapping) as refused:
        run(parameters__queries=512, parameters__keys=512)
    assert [problem.message for problem in refused.value.problems] == [
        "'SMEM' holds 228 KiB but the tiles it keeps need 640 KiB: "
        "2 tiles of K 256 KiB, 2 tiles of V 256 KiB, Q 128 KiB",
        # While exponentials are made of scores, what stays from step to step is there too.
        "'RF' holds 256 KiB but the tiles it keeps need 1.12695 MiB: "
        "QK 512 KiB, SLN 512 KiB, RNV 128 KiB, RM 1 KiB, RD 1 KiB",
    ]


@pytest.mark.parametrize("machine", ["h100-sxm", "h200-sxm", "h100-pcie", "a100-sxm", "h20"])
def test_every_gpu_runs_the_shipped_mappings(machine):
    for name in ("attention-h100", "decode-h100", "product-h100"):
        result = run(name, architecture=machine)
        # The roofline of the data sheet.
        assert result.utilization["TENSOR"] <= 1
        bandwidth = result.experiment.architecture.memory("HBM").bandwidth_bits_per_s / 8
        assert result.latency_s >= sum(result.traffic_bytes["HBM"].values()) / bandwidth * (1 - 1e-12)


REFUSALS = [
    ("attention-h100", [], "'h100-sxm' has 132 cores: say which of the outermost loops are dealt to them, such as cores: [b, h], or one_core: true to leave all others idle"),
    ("attention-h100", ["b", "p"], "expected the first of the loops around every Einsum, [b, h, p], got [b, p]"),
    (
        "attention-h100",
        ["b", "h", "p", "m1"],
        "expected the first of the loops around every Einsum, [b, h, p], got [b, h, p, m1]",
    ),
    (
        "product-h100",
        ["m", "n", "m", "k"],
        "the iterations of 'k' depend on each other: Einsum 'Y' reduces over it",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("name", "cores", "message"), REFUSALS)
def test_what_cannot_be_dealt_is_refused(name, cores, message):
    with pytest.raises(IllegalMapping) as refused:
        run(name, mapping__cores=cores)
    assert [problem.message for problem in refused.value.problems] == [message]


def test_a_machine_without_cores_takes_a_dealt_mapping_as_it_is():
    plain, dealt = run("fusemax-binding"), run("fusemax-binding", mapping__cores=["b", "h"])
    assert plain.cycles == dealt.cycles
    assert plain.energy_pj == dealt.energy_pj


def test_the_area_of_several_cores_is_the_same_in_a_sweep(tmp_path):
    """By hand: 4 cores of 8 x 8 MACCs of 9 um2 with 5 um2 of registers, 8 lanes of 2 + 7 um2 with 5, and a buffer of 100."""
    pipes = "pipes: {tensor: SQUARE, special: ROW, vector: ROW}"
    cores = f"cores: {{count: 4, memory: GLB, generation: sm80, {pipes}, group_memory: 1 KiB, source: a test}}\n"
    machine = [
        ("node: 45 nm\n", f"node: 45 nm\n{cores}"),
        ("    row: 128 bit\n", "    row: 128 bit\n    area: 100 um2\n"),
    ]
    write_design(tmp_path, {"machine.yaml": machine, "mapping.yaml": [("tree:\n", "cores: [b]\ntree:\n")]})
    a_core = {"GLB": 100, "SQUARE": 64 * 9, "RFS": 64 * 5, "ROW": 8 * 9, "RFR": 8 * 5}
    result = simulate(load_experiment(str(tmp_path / "experiment.yaml")))
    assert result.area_by_component_um2 == {"DRAM": 0} | {name: 4 * area for name, area in a_core.items()}
    rows = {"path": "architecture.components.SQUARE.rows", "values": [8]}
    plan = plan_of(tmp_path, experiment="experiment.yaml", axes={"rows": rows}, derive=None, constraints=None)
    found = dict(zip(value_names(plan), evaluate_points(plan, np.arange(1)).values[0], strict=True))
    assert found["area_um2"] == result.area_um2 == 4 * 1108


def test_area_that_is_held_counts_every_core(tmp_path):
    """4 x (rows x 8 x 14 + 212) um2: 4 x 996 holds 7 rows, and one um2 less holds 6."""
    pipes = "pipes: {tensor: SQUARE, special: ROW, vector: ROW}"
    cores = f"cores: {{count: 4, memory: GLB, generation: sm80, {pipes}, group_memory: 1 KiB, source: a test}}\n"
    machine = [
        ("node: 45 nm\n", f"node: 45 nm\n{cores}"),
        ("    row: 128 bit\n", "    row: 128 bit\n    area: 100 um2\n"),
    ]
    write_design(tmp_path, {"machine.yaml": machine, "mapping.yaml": [("tree:\n", "cores: [b]\ntree:\n")]})
    area = {"values": ["3984 um2", "3983 um2"], "absorb": "architecture.components.SQUARE.rows"}
    plan = plan_of(tmp_path, experiment="experiment.yaml", axes={"area": area}, derive=None, constraints=None)
    assert evaluate_points(plan, np.arange(2)).settled.tolist() == [[7], [6]]
