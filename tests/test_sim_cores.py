"""Mappings on machines of several cores: what is dealt, what is shared, and what is refused."""

import pytest

from sim.design.assemble import load_experiment
from sim.simulation.flow import IllegalMapping, simulate

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
    ("attention-h100", [], "'h100-sxm' has 132 cores: say which of the outermost loops are dealt to them, such as cores: [b, h]"),
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


@pytest.mark.parametrize("engine", ["cycle"])
def test_engines_of_one_core_refuse(engine):
    with pytest.raises(IllegalMapping) as refused:
        simulate(load_experiment("attention-h100"), engine)
    assert [problem.message for problem in refused.value.problems] == [
        "the cycle engine runs one core, 'h100-sxm' has several"
    ]
