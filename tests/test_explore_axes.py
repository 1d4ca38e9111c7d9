"""Every kind of axis, by numbers that are known without the simulator: sizes, ratios, closed forms."""

from collections.abc import Mapping
from math import log2
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest
import yaml

from sim import SweepResult, load_experiment, simulate, sweep
from tests.small_sweep import MACHINE

GIB, KIB = 2**30, 2**10
# BERT: 64 sequences of 12 heads, 64 wide, in words of 2 bytes; Q, K, V and the result once each.
LENGTH, HEADS, WIDTH, WORD_BYTES = 16384, 64 * 12, 64, 2
ONCE_BYTES = 4 * HEADS * LENGTH * WIDTH * WORD_BYTES
TRAFFIC = "traffic_bytes.DRAM"


class Kind(NamedTuple):
    """An axis of two values, and the second value over the first of some metrics."""

    axis: dict[str, Any]
    ratios: dict[str, float]
    values: Mapping[str, float] = MappingProxyType({})  # of the first point
    fixed: Mapping[str, Any] = MappingProxyType({})


def registers_um2(depth: int) -> float:
    """Of one register file of more than 64 entries (arch/catalog/fusemax-cloud.yaml)."""
    return (5.98 * 32 + 71) * depth + 11.63484 * log2(depth)


def busy(metric: str) -> str:
    return f"utilization.{metric}"


KINDS: dict[str, Kind] = {
    # The same work on twice the elements: what one element does is halved. Each PE brings its registers.
    "array rows": Kind(
        {"path": f"{MACHINE}.PE2D.rows", "values": [128, 256]}, {"pe_seconds": 1.0, "area_um2.RF2D": 2.0}
    ),
    "array columns, of both arrays": Kind(
        {"path": [f"{MACHINE}.PE2D.columns", f"{MACHINE}.PE1D.columns"], "values": [128, 256]},
        {"pe_seconds": 1.0, "latency_s": 0.5, "area_um2.PE1D": 2.0},
    ),
    # 16 MiB hold the queries' tiles that share one reading of K and V; with 4 MiB these are read twice.
    "buffer size": Kind(
        {"path": f"{MACHINE}.GLB.size", "values": ["4 MiB", "16 MiB"]}, {TRAFFIC: 2 / 3}, {TRAFFIC: 1.5 * ONCE_BYTES}
    ),
    "bandwidth, slow enough to bound": Kind(
        {"path": f"{MACHINE}.DRAM.bandwidth", "values": [1, 2], "unit": "GiB/s"}, {"latency_s": 0.5}, {"latency_s": ONCE_BYTES / GIB}
    ),
    "1D:2D ratio": Kind({"path": f"{MACHINE}.PE1D.rows", "values": [1, 2]}, {busy("PE1D"): 0.5, "area_um2.PE1D": 2.0}),
    "register files": Kind({"path": f"{MACHINE}.RF2D.depth", "values": [128, 256]},
        {"latency_s": 1.0, "area_um2.RF2D": registers_um2(256) / registers_um2(128)}),
    "word bits": Kind({"path": "architecture.word", "values": ["8 bit", "16 bit"]}, {TRAFFIC: 2.0}, {TRAFFIC: ONCE_BYTES / 2}),
    "clock": Kind({"path": "architecture.clock", "values": [470, 940], "unit": "MHz"}, {"latency_s": 0.5, "cycles": 1.0}),
    # Of 137 cycles of an element, 134 are MACCs: 64 each for QK and SLNV, 6 for the exponential.
    "operator cycles": Kind(
        {"path": f"{MACHINE}.PE2D.operations.macc.cycles", "values": [1, 2]}, {"pe_seconds": (2 * 134 + 3) / 137}
    ),
    "operator energy": Kind({"path": f"{MACHINE}.DRAM.read_energy", "values": ["10 pJ", "20 pJ"]}, {"dram_reads_pj": 2.0}),
    # XLM has 16 heads, 128 wide.
    "model": Kind({"path": "model", "values": ["BERT", "XLM"]}, {TRAFFIC: 16 * 128 / (12 * 64)}, {TRAFFIC: ONCE_BYTES}, {"seq_len": LENGTH}),
    "length": Kind({"path": "seq_len", "values": [LENGTH, 2 * LENGTH]}, {TRAFFIC: 2.0}, {TRAFFIC: ONCE_BYTES}, {"model": "BERT"}),
    "batch": Kind({"path": "batch", "values": [1, 64]}, {"latency_s": 64.0, "energy_pj": 64.0, TRAFFIC: 64.0}),
    "rank size": Kind({"path": "ranks.H", "values": [3, 12]}, {"latency_s": 4.0, TRAFFIC: 4.0}),
    "a machine": Kind({"path": "architecture", "values": ["fusemax-cloud", "fusemax-cloud-complete"]}, {"latency_s": 1.0, TRAFFIC: 1.0}),
}  # fmt: skip


def swept(folder: Path, axes: dict[str, Any], **keys: Any) -> SweepResult:
    data = {"name": "kinds", "experiment": "fusemax-binding", "axes": axes, "record": ["all"]}
    data |= {"objectives": [{"minimize": "latency_s"}], "fixed": {"model": "BERT", "seq_len": LENGTH}} | keys
    path = folder / "sweep.yaml"
    path.write_text(yaml.safe_dump(data, sort_keys=False), encoding="utf-8")
    return sweep(str(path), folder / "out")


def measured(result: SweepResult) -> list[dict[str, float]]:
    """Metrics of the points, with some that follow from them."""
    found = []
    for point in result.points():
        values = dict(point.values)
        machine = load_experiment(point.experiment, dict(point.settings)).architecture
        array = machine.array("PE2D")
        values["pe_seconds"] = values["utilization.PE2D"] * values["latency_s"] * array.rows * array.columns
        values["dram_reads_pj"] = values["read_bytes.DRAM"] * machine.memory("DRAM").read_pj
        found.append(values)
    return found


@pytest.mark.parametrize("name", KINDS)
def test_axis_of_each_kind(tmp_path: Path, name: str) -> None:
    kind = KINDS[name]
    fixed = kind.fixed or {"model": "BERT", "seq_len": LENGTH}
    result = swept(tmp_path, {"x": kind.axis}, fixed=fixed)
    first, second = measured(result)
    for metric, value in kind.values.items():
        assert first[metric] == pytest.approx(value, rel=1e-12)
    for metric, ratio in kind.ratios.items():
        assert second[metric] / first[metric] == pytest.approx(ratio, rel=1e-9), metric
    paths = [kind.axis["path"]] if isinstance(kind.axis["path"], str) else kind.axis["path"]
    for point, value in zip(result.points(), kind.axis["values"], strict=True):
        written = f"{value} {kind.axis['unit']}" if "unit" in kind.axis else value
        alone = simulate(load_experiment("fusemax-binding", fixed | dict.fromkeys(paths, written)))
        assert (point.value("latency_s"), point.value("energy_pj")) == (alone.latency_s, alone.energy_pj)


def test_mapping_and_cascade(tmp_path: Path) -> None:
    """Paired, since a mapping schedules the Einsums of its cascade; alone, the other cascade is refused."""
    axes = {
        "mapping": {"path": "mapping", "values": ["fusemax-binding", "attention-2pass-fused"]},
        "cascade": {"path": "cascade", "values": ["attention-1pass", "attention-2pass-deferred"]},
    }
    one, two = swept(tmp_path, axes, pairs=[["mapping", "cascade"]]).points()
    shipped = simulate(load_experiment("attention-2pass-fused", model="BERT", seq_len=LENGTH))
    assert one.value(TRAFFIC) == ONCE_BYTES
    assert two.value("latency_s") == shipped.latency_s
    assert two.value(TRAFFIC) == sum(shipped.traffic_bytes["DRAM"].values())


def test_kinds_of_values(tmp_path: Path) -> None:
    axes = {
        "list": {"path": f"{MACHINE}.PE2D.rows", "values": [96, 64]},
        "range": {"path": "batch", "range": {"from": 1, "to": 6, "step": 2}},
        "log": {"path": "seq_len", "log_range": {"from": 1000, "to": 8000, "points": 4, "whole": True}},
        "paired": {"path": f"{MACHINE}.GLB.size", "values": [2, 4], "unit": "MiB"},
        "free": {"values": [3, 5]},
    }
    derive = {
        f"{MACHINE}.PE1D.rows": "free - 2 + rank/64",
        f"{MACHINE}.DRAM.bandwidth": {"expression": "paired*50", "unit": "GiB/s"},
    }
    where = {"rank": "E"}
    keys = {"pairs": [["list", "paired"]], "where": where, "derive": derive, "fixed": {"model": "BERT"}}
    result = swept(tmp_path, axes, constraints={"few": "batch*seq_len <= 20000"}, **keys)
    assert result.total == 2 * 3 * 4 * 2
    seen = set()
    for point in result.points():
        settings = dict(point.settings)
        batch, length, rows, free = (point.axis(name) for name in ("range", "log", "list", "free"))
        seen.add((rows, batch, length, free))
        assert point.axis("paired") == {96: 2, 64: 4}[rows]
        assert (point.reason_kind == "constraint few") == (batch * length > 20000)
        assert settings[f"{MACHINE}.PE1D.rows"] == free - 1
        assert settings[f"{MACHINE}.DRAM.bandwidth"] == f"{point.axis('paired') * 50 * GIB * 8} bit/s"
    wanted = {(r, b, n, f) for r in (96, 64) for b in (1, 3, 5) for n in (1000, 2000, 4000, 8000) for f in (3, 5)}
    assert seen == wanted


def test_objectives_of_both_directions_and_formulas(tmp_path: Path) -> None:
    objectives = [{"name": "busy", "maximize": "utilization.PE1D"}, {"name": "edp", "minimize": "energy_pj*latency_s"}]
    axes = {"rows": KINDS["1D:2D ratio"].axis, "clock": KINDS["clock"].axis}
    result = swept(tmp_path, axes, objectives=objectives)
    points = list(result.points())
    for point in points:
        assert point.value("edp") == point.value("energy_pj") * point.value("latency_s")
    worth = {p.point: (-p.value("busy"), p.value("edp")) for p in points}
    beaten = {
        number
        for number, own in worth.items()
        if any(other != own and other[0] <= own[0] and other[1] <= own[1] for other in worth.values())
    }
    assert {point.point for point in result.front} == set(worth) - beaten


@pytest.mark.parametrize(("absorb", "step"), [(f"{MACHINE}.GLB.size", 64 * KIB * 8), (f"{MACHINE}.PE2D.rows", 1)])
def test_area_is_held_by_buffer_or_elements(tmp_path: Path, absorb: str, step: int) -> None:
    """At the area of the start, the start itself is found; at half of it, never more than half."""
    area = {"values": ["base", "6.6 cm2"], "absorb": absorb} | ({"step": "64 KiB"} if step > 1 else {})
    side = {"path": f"{MACHINE}.PE2D.columns", "values": [256, 128]}
    result = swept(tmp_path, {"area": area, "columns": side}, derive={f"{MACHINE}.PE1D.columns": "columns"})
    start = load_experiment("fusemax-binding", model="BERT", seq_len=LENGTH)
    at_start = next(p for p in result.points() if (p.axis("area"), p.axis("columns")) == ("base", 256))
    assert at_start.value("area_um2") == simulate(start).area_um2
    size = start.architecture.memory("GLB").size_bits if step > 1 else start.architecture.array("PE2D").rows
    assert dict(at_start.settled)[absorb] == size
    for point in result.points():
        assert (
            not point.is_legal
            or point.value("area_um2") <= {"base": simulate(start).area_um2, "6.6 cm2": 6.6e8}[point.axis("area")]
        )
        assert dict(point.settled).get(absorb, 0) % step == 0


def test_seeds_fix_what_a_search_looks_at(tmp_path: Path) -> None:
    axes = {"rows": {"path": f"{MACHINE}.PE2D.rows", "range": {"from": 1, "to": 256, "step": 1}}}
    numbers = []
    for i, seed in enumerate((1, 1, 2)):
        folder = tmp_path / str(i)
        folder.mkdir()
        result = swept(folder, axes, search={"method": "random", "trials": 9, "seed": seed})
        numbers.append([point.point for point in result.points()])
    assert numbers[0] == numbers[1] != numbers[2]
    assert len(set(numbers[0])) == 9
