"""What docs/explore.md concludes from the shipped sweeps is what they say."""

from pathlib import Path

import pytest

from sim import load_experiment, simulate, sweep
from sim.explore.points import Point

CASCADES = ("attention-3pass-fused", "attention-2pass-fused", "fusemax-binding")


@pytest.fixture(scope="module")
def areas(tmp_path_factory: pytest.TempPathFactory) -> list[Point]:
    return [p for p in sweep("fusemax-area", tmp_path_factory.mktemp("area")).points() if p.is_legal]


@pytest.fixture(scope="module")
def passes(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[int, int, int], dict[str, Point]]:
    """Legal points by length, rows and buffer, then by cascade."""
    found: dict[tuple[int, int, int], dict[str, Point]] = {}
    for point in sweep("passes-buffer", tmp_path_factory.mktemp("passes")).points():
        if point.is_legal:
            place = (point.axis("seq_len"), point.axis("rows"), point.axis("buffer"))
            found.setdefault(place, {})[point.axis("cascade")] = point
    return found


def best(points: list[Point], first: str, second: str) -> tuple[tuple[int, int, int], float, float]:
    """Rows, columns and 1D rows of the best point; its time in s and energy in kJ."""
    point = min(points, key=lambda p: (p.value(first), p.value(second)))
    shape = (point.axis("rows"), point.axis("columns"), point.axis("ratio"))
    return shape, round(point.value("latency_s"), 2), round(point.value("energy_pj") * 1e-15, 2)


def test_little_is_left_at_equal_area(areas: list[Point]) -> None:
    published = simulate(load_experiment("fusemax-binding", model="BERT", seq_len=262144))
    assert (round(published.latency_s, 2), round(published.energy_pj * 1e-15, 2)) == (118.28, 126.16)
    own = [p for p in areas if p.axis("area") == "base"]
    assert best(own, "latency_s", "energy_pj") == ((192, 352, 4), 114.74, 124.34)
    assert best(own, "energy_pj", "latency_s") == ((512, 128, 16), 118.23, 124.17)
    slow = [p for p in own if p.axis("bandwidth") == 12.5]
    assert best(slow, "latency_s", "energy_pj") == ((416, 160, 4), 116.61, 125.14)
    one_row = [p for p in own if p.axis("ratio") == 1]
    assert best(one_row, "latency_s", "energy_pj")[:2] == ((192, 352, 1), 114.78)
    half = [p for p in areas if p.axis("area") == "6.6 cm2"]
    assert best(half, "latency_s", "energy_pj")[:2] == ((96, 352, 2), 229.40)


def test_one_row_of_1d_elements_is_enough(areas: list[Point]) -> None:
    own = {
        (p.axis("rows"), p.axis("columns"), p.axis("ratio")): p
        for p in areas
        if (p.axis("area"), p.axis("bandwidth")) == ("base", 400)
    }
    gains = [
        own[r, c, 1].value("latency_s") / own[r, c, 2].value("latency_s") - 1
        for r, c, n in own
        if n == 2 and (r, c, 1) in own
    ]
    assert min(gains) >= 0 and 0.0009 < max(gains) < 0.001
    even = [p for (r, c, n), p in own.items() if n == 1 and 262144 % r == 0 and 262144 % c == 0]
    assert min(min(p.value("utilization.PE2D"), p.value("utilization.PE1D")) for p in even) > 0.99
    small = own[128, 128, 1]
    assert round(dict(small.settled)["architecture.components.GLB.size"] / 2**23) == 189
    assert round(small.value("latency_s") / 118.2793728, 1) == 4.0


def test_bandwidth_above_100_buys_nothing(areas: list[Point]) -> None:
    fastest = {
        bandwidth: min(
            p.value("latency_s") for p in areas if p.axis("area") == "base" and p.axis("bandwidth") == bandwidth
        )
        for bandwidth in (100, 200, 400)
    }
    assert len(set(fastest.values())) == 1


def test_points_beyond_the_technology_table_are_off_the_fronts(areas: list[Point], tmp_path: Path) -> None:
    assert (len(areas), sum(bool(p.extrapolated) for p in areas)) == (8154, 5994)
    assert not any(point.extrapolated for point in sweep("fusemax-area", tmp_path).front)


Places = dict[tuple[int, int, int], dict[str, Point]]


def relative(passes: Places, cascade: int, metric: str) -> dict[tuple[int, int, int], float]:
    """A metric of 3 (cascade 0) or 2 passes (1) over that of 1 pass, where all three run."""
    one, other = CASCADES[2], CASCADES[cascade]
    together = {place: own for place, own in passes.items() if len(own) == 3}
    return {place: own[other].value(metric) / own[one].value(metric) for place, own in together.items()}


def test_one_pass_is_never_behind_in_energy_and_traffic(passes: Places) -> None:
    assert (len(passes), len(relative(passes, 0, "latency_s"))) == (660, 564)
    assert all("fusemax-binding" in own for own in passes.values())
    for cascade in (0, 1):
        for metric in ("energy_pj", "traffic_bytes.DRAM"):
            assert min(relative(passes, cascade, metric).values()) >= 1 - 1e-12


def test_nothing_is_ahead_of_one_pass_in_time(passes: Places) -> None:
    for cascade in (0, 1):
        assert min(relative(passes, cascade, "latency_s").values()) > 1
    bound = {own[name].bound_by for own in passes.values() for name in CASCADES[:2] if name in own}
    assert bound == {"DRAM", "GLB ports", "PE1D", "PE2D"}


def test_times_of_three_passes_by_shape(passes: Places) -> None:
    fits: dict[int, list[float]] = {}
    for (length, rows, buffer), ratio in relative(passes, 0, "latency_s").items():
        if 4 * (65536 // rows) * length < buffer * 2**20:
            fits.setdefault(rows, []).append(round(ratio, 1))
    assert (min(fits[256]), max(fits[256]), min(fits[1024]), max(fits[1024])) == (3.1, 3.6, 5.0, 5.3)


def test_energies_of_the_others(passes: Places) -> None:
    ratios = [
        (place[2], ratio) for cascade in (0, 1) for place, ratio in relative(passes, cascade, "energy_pj").items()
    ]
    small = [ratio for buffer, ratio in ratios if buffer <= 16]
    assert (round(min(small), 2), round(max(small), 2)) == (1.02, 1.25)  # 1.015 and 1.252
    assert round(max(ratio for buffer, ratio in ratios if buffer == 512), 1) == 2.9


def test_shape_moves_the_boundary(passes: Places) -> None:
    slower = relative(passes, 1, "latency_s")
    fits = {
        rows: min(
            buffer for (length, own, buffer), ratio in slower.items() if (length, own) == (65536, rows) and ratio < 2
        )
        for rows in (64, 256, 1024)
    }
    assert fits == {256: 64, 1024: 32, 64: 256}
    assert (round(slower[65536, 1024, 32], 1), round(slower[65536, 256, 32], 1)) == (1.8, 4.2)


@pytest.mark.parametrize(
    ("length", "buffer", "three", "two"),
    [(1024, 1, 17, 2.5), (4096, 16, 4.5, 2.5), (65536, 64, 1025, 129), (1048576, 256, 10924, 5504)],
)
def test_traffic_relative_to_one_pass(passes: Places, length: int, buffer: int, three: float, two: float) -> None:
    own = passes[length, 256, buffer]
    moved = [own[name].value("traffic_bytes.DRAM") for name in CASCADES]
    assert (moved[0] / moved[2], moved[1] / moved[2]) == (pytest.approx(three, abs=0.5), pytest.approx(two, abs=0.5))


def test_two_passes_come_close_once_a_fiber_of_exponentials_fits(
    passes: Places,
) -> None:
    """2 bytes x columns x length: 8 MiB at 16,384 positions and 256 columns, so with a buffer of 16 MiB."""
    slowdown = {
        buffer: own["attention-2pass-fused"].value("latency_s") / own["fusemax-binding"].value("latency_s")
        for (length, rows, buffer), own in passes.items()
        if (length, rows) == (16384, 256) and len(own) == 3
    }
    assert round(slowdown[16], 2) == 1.74
    assert 4 <= slowdown[4] <= 6
