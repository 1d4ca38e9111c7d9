"""Memories whose reads and writes have bandwidths of their own, in every engine."""

from dataclasses import replace
from pathlib import Path

import pytest

from sim import load_experiment, simulate
from sim.binding.answer import bind
from sim.binding.search import SearchOptions
from sim.explore.run import SweepOptions, sweep
from sim.simulation.roofline import roof_of
from tests.cycle_designs import small_design
from tests.small_design import CASCADE, run, write_design
from tests.small_sweep import write_sweep

DRAM = "architecture.components.DRAM"
# X and Y: 8 x 64 words, both read for each of 8 x 8 tiles of 8 x 8 scores; Z: 64 x 64, written once; B = 2, 2 bytes.
READ_BYTES, WRITTEN_BYTES = 2 * 2 * 64 * (8 * 8 + 8 * 8), 2 * 2 * 64 * 64
GHZ = 1e9


@pytest.fixture
def design(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_design(tmp_path)
    return tmp_path


def links(both: float | None = None, read: float | None = None, write: float | None = None) -> dict[str, str | None]:
    """Bandwidths in MB/s; None: not a limit."""
    rates = {"bandwidth": both, "read_bandwidth": read, "write_bandwidth": write}
    return {f"{DRAM}.{key}": None if rate is None else f"{rate} MB/s" for key, rate in rates.items()}


def result(changes: dict[str, str | None], engine: str = "analytical"):
    return simulate(load_experiment("./experiment.yaml", changes), engine)


def test_the_slower_direction_sets_the_time(design: Path) -> None:
    """32,768 bytes are read and 16,384 written: whatever takes longer at its own rate."""
    found = result(links(read=100, write=40))
    assert found.traffic_bytes["DRAM"] == {"read": READ_BYTES, "write": WRITTEN_BYTES}
    assert found.cycles == WRITTEN_BYTES / 40e6 * GHZ
    assert found.bound_by == "DRAM writes"
    assert result(links(read=10, write=50)).cycles == READ_BYTES / 10e6 * GHZ
    assert result(links(read=10, write=50)).bound_by == "DRAM reads"
    assert result(links(read=10)).cycles == READ_BYTES / 10e6 * GHZ  # nothing limits writes
    assert result(links(write=10)).cycles == WRITTEN_BYTES / 10e6 * GHZ
    assert result(links(both=10)).cycles == (READ_BYTES + WRITTEN_BYTES) / 10e6 * GHZ
    assert result(links(both=10)).bound_by == "DRAM"


def test_results_list_the_directions_that_a_file_has(design: Path) -> None:
    assert [name for name in result(links(both=10)).cycles_by_resource if "DRAM" in name] == ["DRAM"]
    assert [name for name in result(links(read=10)).cycles_by_resource if "DRAM" in name] == ["DRAM", "DRAM reads"]


def test_time_by_einsum_is_that_of_the_slower_direction(design: Path) -> None:
    """S reads all that is read, Z writes all that is written."""
    found = result(links(read=100, write=40)).memory_cycles_by_einsum["DRAM"]
    assert found == {"S": READ_BYTES / 100e6 * GHZ, "Z": WRITTEN_BYTES / 40e6 * GHZ}


@pytest.mark.parametrize("engine", ["analytical", "cycle"])
def test_each_direction_is_a_lower_bound(engine: str, design: Path) -> None:
    for read, write in ((7, 90), (90, 7), (20, 20)):
        cycles = result(links(read=read, write=write), engine).cycles
        assert cycles >= max(READ_BYTES / (read * 1e6), WRITTEN_BYTES / (write * 1e6)) * GHZ * (1 - 1e-12)


@pytest.mark.parametrize("engine", ["analytical", "cycle"])
@pytest.mark.parametrize("seed", range(0, 24, 2))
def test_laws(engine: str, seed: int) -> None:
    """Twice as fast in one direction is never slower; both apart are never slower than one link of the same rate."""
    experiment = small_design(seed)

    def cycles(**rates: float) -> float:
        memories = []
        for memory in experiment.architecture.components:
            if memory.name == "DRAM":
                keys = {f"{k}_bits_per_s": None for k in ("declared_bandwidth", "read_bandwidth", "write_bandwidth")}
                keys |= {f"{k}_bits_per_s": 8e9 * rate for k, rate in rates.items()}
                memory = memory.model_copy(update=keys)
            memories.append(memory)
        machine = experiment.architecture.model_copy(update={"components": tuple(memories)})
        return simulate(replace(experiment, architecture=machine), engine).cycles

    one = cycles(declared_bandwidth=1)
    apart = cycles(read_bandwidth=1, write_bandwidth=1)
    assert apart <= one * (1 + 1e-12)
    for faster in (cycles(read_bandwidth=2, write_bandwidth=1), cycles(read_bandwidth=1, write_bandwidth=2)):
        assert faster <= apart * (1 + 1e-12)


def test_one_direction_alone_is_as_slow_as_one_link(design: Path) -> None:
    """A maximum of 64 x 64 scores kept on chip reads and writes there; DRAM only gives X and Y."""
    quiet = {"mapping.tree.keep.GLB": ["S", "Z"], "mapping.tree.share": {}}
    both = result(quiet | links(both=10))
    assert both.traffic_bytes["DRAM"]["write"] > 0  # Z leaves in the end
    read_only = result(quiet | links(read=10))
    assert read_only.cycles == both.traffic_bytes["DRAM"]["read"] / 10e6 * GHZ


def test_bind_knows_the_directions() -> None:
    """FuseMax at 1K: a tile of 256 x 256 needs 54 cycles of 400 GiB/s, almost all of which are reads."""
    small = {"model": "BERT", f"{DRAM}.bandwidth": None}
    slow = load_experiment("fusemax-binding", small | {f"{DRAM}.read_bandwidth": "100 GiB/s"})
    part = bind(slow, SearchOptions(effort=100_000)).main
    bounds = {bound.reason: bound.cycles for bound in part.bounds}
    assert "DRAM read bandwidth" in bounds
    assert "DRAM write bandwidth" not in bounds
    flows = simulate(slow).traffic_by_einsum_bytes
    inside = [task.einsum for task in part.graph.tasks]
    read = sum(flows[name].get("DRAM", {"read": 0.0})["read"] for name in dict.fromkeys(inside))
    assert bounds["DRAM read bandwidth"] == -(-read / part.graph.iterations * 940e6 // (100 * 2**30))


def test_roofs_name_the_slower_direction(design: Path) -> None:
    found = roof_of("small", result(links(read=1000, write=10)))
    assert found is not None
    assert (found.label, found.bandwidth_bytes_per_s) == ("small (writes)", 10e6)
    assert found.reached <= min(found.peak, found.intensity * found.bandwidth_bytes_per_s) * (1 + 1e-9)
    both = roof_of("small", result(links(both=10)))
    assert both is not None
    assert both.label == "small"


BUFFER = "architecture.components.GLB"


@pytest.mark.parametrize(
    "rates",
    [
        {"bandwidth": 100},
        {"bandwidth": 3000},
        {"read_bandwidth": 70, "write_bandwidth": 200},
        {"read_bandwidth": 900},
        {"write_bandwidth": 20},
    ],
)
@pytest.mark.parametrize("name", ["fusemax-binding", "fusemax-cascade", "flat", "unfused"])
def test_a_buffer_limits_what_arrays_stream(name: str, rates: dict[str, int]) -> None:
    """BERT at 1K: no run is shorter than the bytes of the buffer / its bandwidth, and twice as fast is never slower."""
    small = {"batch": 2}
    slow, fast = (
        simulate(load_experiment(name, small | {f"{BUFFER}.{k}": f"{f * v} GB/s" for k, v in rates.items()}), "cycle")
        for f in (1, 2)
    )
    moved = slow.traffic_bytes["GLB"]
    by_link = {
        "bandwidth": moved["read"] + moved["write"],
        "read_bandwidth": moved["read"],
        "write_bandwidth": moved["write"],
    }
    assert slow.cycles >= max(by_link[link] / (rate * 1e9) * 940e6 for link, rate in rates.items()) * (1 - 1e-12)
    assert simulate(load_experiment(name, small), "cycle").cycles <= fast.cycles <= slow.cycles
    for lost in slow.stall_cycles.values():
        assert sum(lost.values()) <= slow.cycles


def test_a_product_runs_at_the_rate_of_its_buffer(design: Path) -> None:
    """S alone on 8 x 8: a slot reads 8 words of X and 8 of Y, 32 bytes; at 4 bytes a cycle it takes 8 cycles, not one."""
    machine = (
        (design / "machine.yaml").read_text().replace("row: 128 bit", "row: 128 bit\n    banks: 64\n    ports: 64")
    )
    (design / "machine.yaml").write_text(machine.replace(", bandwidth: 16 GiB/s", ""))
    (design / "cascade.yaml").write_text(CASCADE.split("  T[p]")[0].replace("[Z]", "[S]"))
    (design / "mapping.yaml").write_text(
        "name: product\ncascade: cascade.yaml\ntree:\n  loops: [b]\n  keep: {GLB: [X, Y]}\n  body:\n"
        "    - {einsum: S, array: SQUARE, loops: [{p: 8}, {m: 8}, k], spatial: {rows: m, columns: p}}\n"
        "schedule: {kind: sequential}\n"
    )
    free, slow = (result({f"{BUFFER}.read_bandwidth": rate}, "cycle") for rate in (None, "4 GB/s"))
    slots = 2 * 8 * 8 * 8
    assert slow.cycles - free.cycles == slots * (8 - 1)
    assert sum(slow.stall_cycles["SQUARE"].values()) - sum(free.stall_cycles["SQUARE"].values()) == slots * 7
    assert slow.bound_by == "port"


def test_a_fill_that_the_buffer_limits_is_not_bound_by_dram() -> None:
    """The buffer takes 10 GB/s of what DRAM gives at 430 GB/s: K and V, for each tile of queries."""
    limited = load_experiment("fusemax-binding", {f"{BUFFER}.write_bandwidth": "10 GB/s"})
    lost = simulate(limited, "cycle").stall_cycles
    assert all(causes["dram"] < 0.01 * (causes["operand"] + causes["port"]) for causes in lost.values())


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "bandwidth: 16 GiB/s, write_bandwidth: 1 GB/s",
            "has both a bandwidth and a write_bandwidth: expected one for both directions together, or one for each",
        ),
        (
            "timing: hbm2-2000, read_bandwidth: 1 GB/s",
            "has a DRAM timing, whose data bus serves both directions, and a read_bandwidth: expected one",
        ),
    ],
)
def test_one_kind_of_bandwidth(line: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_design(tmp_path, {"machine.yaml": [("bandwidth: 16 GiB/s", line)]})
    assert run(["check", "machine.yaml"]) == (1, f"machine.yaml:7: $.components.DRAM: memory 'DRAM' {message}\n", "")


def test_a_sweep_varies_a_direction(design: Path) -> None:
    machine = design / "machine.yaml"
    machine.write_text(machine.read_text().replace("bandwidth: 16", "read_bandwidth: 16"))
    path = write_sweep(
        design,
        experiment="./experiment.yaml",
        axes={"read": {"path": f"{DRAM}.read_bandwidth", "values": [0.01, 0.02], "unit": "GB/s"}},
        derive=None,
        constraints=None,
        objectives=[{"minimize": "latency_s"}],
    )
    (fastest,) = sweep(str(path), design / "out", SweepOptions(workers=1)).front
    assert fastest.value("latency_s") == pytest.approx(READ_BYTES / 20e6, rel=1e-12)
    assert fastest.bound_by == "DRAM reads"
