"""Where tensors lie in memory: costs of tiles counted by hand on a small DRAM, laws, and orders that are refused."""

from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

from arch.types import Architecture
from einsums.types import Cascade
from mappings.types import Mapping
from sim import load_experiment, simulate
from sim.cycle.addresses import Runs, StoredRank, StoredTensor, bursts_of
from sim.cycle.answer import DesignTiming, NestRun, design_of, time_design
from sim.cycle.choice import CycleDesign
from sim.cycle.program import NamedProgram
from sim.cycle.sampling import Visits
from sim.cycle.tiles import server_of
from sim.design.experiment import Experiment, stack
from sim.engine.analytical import evaluate
from sim.engine.cycle import columns as col
from sim.lower.lowering import lower
from tests.by_hand import PRODUCT, experiment_of, small_machine
from tests.core_designs import design as design_of_cores
from tests.core_designs import machine as machine_of_cores
from tests.cycle_designs import timed_experiment
from tests.small_design import run

# Two banks with rows of four bursts of 16 B. Addresses go through a row, then the other bank, then the next row: 64 B, 128 B.
CYCLES = {
    "CL": 4, "CWL": 3, "tRCD": 4, "tRP": 4, "tRAS": 16, "tRC": 24, "tRRD_S": 4, "tCCD_S": 4, "tFAW": 16, "tWR": 4, "tRTP": 4,
    "tWTR_S": 4, "tREFI": 4000, "tRFC": 20,
}  # fmt: skip
TWO_BANKS: dict[str, Any] = {
    "name": "two-banks", "standard": "none", "clock": "1 GHz", "channels": 1, "banks_per_group": 2, "rows": 65536, "row": "64 B",
    "burst": "16 B", "burst_cycles": 4, "refresh": "none", "source": "made up",
    "timings": {name: {"cycles": cycles, "source": "made up"} for name, cycles in CYCLES.items()},
}  # fmt: skip
# Seeds of legal designs with one core.
LEGAL = (0, 5, 6, 7, 10, 12, 14, 17, 18, 19, 23, 24, 27, 30, 31, 33, 34, 37, 38, 39, 41, 42, 43)


def machine(dram: dict[str, Any]) -> Architecture:
    data = small_machine().model_dump(mode="json", by_alias=True)
    for component in data["components"]:
        if component["name"] == "DRAM":
            component |= {"timing": dram}
    return Architecture.model_validate(data)


def design_from(experiment: Experiment) -> CycleDesign:
    tables = lower(experiment.structure, stack([experiment]))
    return design_of(experiment, tables, evaluate(tables))


def laid(k: int, layout: dict[str, Any], m: int = 960, dram: dict[str, Any] = TWO_BANKS) -> Experiment:
    """Z[m,n] = A[k,m] B[k,n] over tiles of 8 m; B and Z stay in the buffer, so that memory brings one A after another."""
    leaf = {"einsum": "Z", "array": "PE", "loops": [{"m": "2"}, "k"], "spatial": {"rows": "m", "columns": "n"}}
    tree = {"keep": {"GLB": ["B", "Z"]}, "body": [{"loops": [{"m": "8"}], "keep": {"GLB": ["A"]}, "body": [leaf]}]}
    design = experiment_of(PRODUCT, tree, {"K": k, "M": m, "N": 2}, machine(dram))
    mapping = design.mapping.model_dump(mode="json", by_alias=True) | {"layout": {"DRAM": layout} if layout else {}}
    return replace(design, mapping=Mapping.model_validate(mapping))


def timed(design: Experiment) -> tuple[DesignTiming, NamedProgram]:
    assert not design.problems, design.problems
    done = time_design(design_from(design))
    return done, done.runs[0].named


def cycles_of_a_tile(design: Experiment) -> int:
    """Cycles of the first, full tile of A."""
    _, named = timed(design)
    (keep,) = (n for n, tile in enumerate(named.tiles) if tile.keep.keep.tensor == "A")
    variant = int(named.program.tables["CHILD"][0, 0, 0])
    return int(named.program.tables["MOVES"][variant, keep, col.FILL_CYCLES])


# A tile of A is 8 runs of k words, one for each m; 8 words are a burst.
@pytest.mark.parametrize(
    ("k", "pad", "base", "cycles_of_a_run"),
    [
        # A burst in every other row, all of one bank: tRC for each.
        (8, 112, 0, 24),
        # Two bursts in such a row: tRC again, which is more than tRCD + tCCD + tRTP + tRP = 16.
        (16, 96, 0, 24),
        # Four, all of the row: tRC, and tRCD + 3 tCCD + tRTP + tRP = 24 as well.
        (32, 64, 0, 24),
        # Rows one after the other, or every third one: the banks in turn, each activated every tRC.
        (8, 48, 0, 12),
        (16, 32, 0, 12),
        (16, 160, 0, 12),
        # From the last burst of a row on, the second one lies in the other bank: each bank has a row for each run.
        (16, 96, 48, 24),
        # Eight bursts are a row of each bank, which has 32 cycles between its activates: a stream, although in pieces.
        (64, 128, 0, 8 * 4),
        # In one piece.
        (16, 0, 0, 2 * 4),
        (8, 0, 0, 4),
    ],
)  # fmt: skip
def test_a_tile_costs_what_its_rows_and_banks_take(k: int, pad: int, base: int, cycles_of_a_run: int) -> None:
    layout = {"A": {"order": ["m", "k"], "pad": f"{pad} B", "base": f"{base} B"}}
    assert cycles_of_a_tile(laid(k, layout)) == pytest.approx(
        8 * cycles_of_a_run, rel=0.015
    )  # the first and the last tiles meet others


def test_a_run_waits_for_all_its_tiles() -> None:
    done, _ = timed(laid(16, {"A": {"order": ["m", "k"], "pad": "96 B"}}))
    # 120 tiles of A, 8 runs at tRC each; 4 bursts of B, 240 of Z; the way to the first word of either direction.
    first = (CYCLES["tRCD"] + CYCLES["CL"]) + (CYCLES["tRCD"] + CYCLES["CWL"])
    assert done.served["DRAM"] == pytest.approx(120 * 8 * 24 + 4 * 4 + 240 * 4 + first, rel=0.006)
    said = "'A', read from 'DRAM' in 8 pieces of 32 B a tile: rows and banks take 3 times a stream"
    assert done.warnings == (said,)


@pytest.mark.parametrize("m", [64, 100, 31])
def test_tiles_in_one_piece_are_as_without_a_layout(m: int) -> None:
    plain, contiguous = (timed(laid(16, layout, m))[0] for layout in ({}, {"A": ["m", "k"]}))
    assert (contiguous.cycles, contiguous.stalls, contiguous.served, contiguous.warnings) == (
        plain.cycles, plain.stalls, plain.served, ()
    )  # fmt: skip


@pytest.mark.parametrize("seed", range(12))
def test_pieces_are_never_faster_than_one_piece(seed: int) -> None:
    rng = np.random.default_rng(seed)
    dram = TWO_BANKS | {"banks_per_group": int(rng.integers(1, 5)), "channels": int(rng.integers(1, 4))}
    k, m, pad = int(rng.integers(1, 70)), int(rng.integers(9, 300)), f"{2 * int(rng.integers(0, 80))} B"
    one, pieces = (
        time_design(design_from(laid(k, {"A": layout}, m, dram))).cycles
        for layout in (["m", "k"], {"order": ["k", "m"], "pad": pad})
    )
    assert pieces >= one


def test_fast_forward_changes_nothing() -> None:
    design = design_from(laid(16, {"A": ["k", "m"]}, 700))
    fast, slow = time_design(design), time_design(design, fast=False)
    assert (fast.cycles, fast.stalls, fast.served) == (slow.cycles, slow.stalls, slow.served)


def random_layout(random: Random, cascade: Cascade) -> dict[str, Any]:
    """Most tensors, in some order of their ranks or parts of them, padded or not."""
    found = {}
    for tensor in cascade.tensors:
        ranks: list[str] = []
        for rank in cascade.ranks_of(tensor.name):
            partition = cascade.partition_of(rank)
            ranks += [part.lower() for part in (partition.parts if partition and random.random() < 0.5 else (rank,))]
        random.shuffle(ranks)
        if random.random() < 0.8:
            found[tensor.name] = {"order": ranks, "pad": f"{random.choice([0, 0, 2, 6, 48, 64, 100])} B"}
    return found


@pytest.mark.parametrize("seed", LEGAL)
def test_random_designs_run_with_any_layout(seed: int) -> None:
    """No transfer is shorter than a stream; where all lie in one piece nothing moves; fast-forward changes nothing."""
    design, random = timed_experiment(seed), Random(seed)
    assert design is not None
    data = design.architecture.model_dump(mode="json", by_alias=True)
    root = next(one for one in data["components"] if one["kind"] == "memory" and one.get("parent") is None)
    root["timing"] = TWO_BANKS | {"banks_per_group": random.choice([1, 2, 4]), "channels": random.choice([1, 2])}
    root.pop("bandwidth", None)
    plain = replace(design, architecture=Architecture.model_validate(data))
    layout = {"layout": {root["name"]: random_layout(random, design.cascade)}}
    mapping = design.mapping.model_dump(mode="json", by_alias=True) | layout
    stored = replace(plain, mapping=Mapping.model_validate(mapping))
    assert not stored.problems and not plain.problems
    one, apart, slow = (
        time_design(design_from(experiment), fast)
        for experiment, fast in ((plain, True), (stored, True), (stored, False))
    )
    assert (apart.cycles, apart.stalls, apart.served) == (slow.cycles, slow.stalls, slow.served)
    for without, found in zip(one.runs, apart.runs, strict=True):
        for table in ("MOVES", "AMOUNTS"):
            assert (found.named.program.tables[table] >= without.named.program.tables[table]).all()
    if not any("banks take" in warning for warning in apart.warnings):
        assert (apart.cycles, apart.stalls) == (one.cycles, one.stalls)


def test_where_the_words_of_a_tile_lie() -> None:
    """3 x 4 x 5 words of 2 B from address 100 on, rows padded by 6 B: a row takes 16 B, a plane 64 B."""
    ranks = tuple(
        StoredRank(n, 1 << 40, 1, False, size, 8 * stride) for n, size, stride in ((0, 3, 64), (1, 4, 16), (2, 5, 2))
    )
    tensor = StoredTensor(100, ranks, 16)
    assert tensor.end_bytes == 100 + 3 * 64
    found = tensor.runs((1, 2, 3), (2, 2, 2), 100)
    assert (found.run_bits, found.count) == (2 * 16, 4)
    assert (found.first_bits // 8).tolist() == [100 + x * 64 + y * 16 + 3 * 2 for x in (1, 2) for y in (2, 3)]
    assert tensor.runs((1, 2, 3), (2, 2, 2), 2).first_bits.size == 2


def test_bursts_that_pieces_share_come_once() -> None:
    # Runs of 6 B, 10 B apart from byte 4 on: bytes 4-9, 14-19, 24-29, in bursts of 8 B.
    numbers, bits = bursts_of(Runs(8 * np.array([4, 14, 24]), 48, 3), 8, 100)
    assert (numbers.tolist(), bits) == ([0, 1, 2, 3], 3 * 48)


def moved_and_sampled(
    name: str, settings: dict[str, Any]
) -> tuple[dict[tuple[int, int], int], dict[tuple[int, int], int]]:
    """Words of every mover by (job, which): as the run counts them, and of all visits from the first position on."""
    experiment = load_experiment(name, settings)
    design = design_from(experiment)
    (done,) = time_design(design).runs
    root = design.chains.machine.root
    servers = server_of(design, root, False), server_of(design, root, True)
    visits = Visits(done.named.program, done.named.joint, servers)
    found: dict[tuple[int, int], int] = {}
    for home, begin in visits.beginnings():
        if begin.any():
            continue
        records = -1
        for visit in visits.following(home, begin):
            assert visit.record >= records
            records = visit.record
            key = visit.mover.job, visit.mover.which
            found[key] = found.get(key, 0) + visit.words
    return words_moved(done, root), {key: words for key, words in found.items() if words}


def words_moved(done: NestRun, root: str) -> dict[tuple[int, int], int]:
    """Words of every mover by (job, which), as the engine counts them."""
    tiles, words, found = done.named.tiles, done.run.words.tolist(), dict[tuple[int, int], int]()
    for n, tile in enumerate(tiles):
        for job, moved in zip((col.FILL_JOB, col.DRAIN_JOB), words[n], strict=True):
            if tile.keep.other_side == root and moved:
                found[job, n] = moved
    table = done.named.program.tables["OP_TABLE"]
    for op, (first, last) in enumerate(table[:, [col.WAY_FIRST, col.WAY_LAST]].tolist()):
        for way, own in zip(done.named.ways[first:last], words[len(tiles) :][first:last], strict=True):
            for job, moved in zip((col.READ_JOB, col.WRITE_JOB), own, strict=True):
                if way.served == ((root, 1),) and moved:
                    found[job, op] = found.get((job, op), 0) + moved
    return found


@pytest.mark.parametrize("name", ["fusemax-binding", "fusemax-cascade", "flat"])
def test_all_transfers_of_a_program_are_found_in_order(name: str) -> None:
    """Every word that the run moves to and from memory, and no other; odd sizes make ragged tiles everywhere."""
    counted, sampled = moved_and_sampled(name, {"seq_len": 700, "batch": 1, "ranks.H": 2})
    assert sampled == counted and sum(counted.values()) > 0


@pytest.mark.parametrize(
    ("layout", "message"),
    [
        ("{DRAM: {K: [e, mm]}}", "$.layout.DRAM.K: 'K' has no rank 'mm' (did you mean 'm'?); it has b, h, e, m"),
        ("{DRAM: {K: [e, f, m]}}", "$.layout.DRAM.K: 'K' has no rank 'f'; it has b, h, e, m"),
        ("{DRAM: {K: [e]}}", "$.layout.DRAM.K: the layout of 'K' lacks rank 'm'"),
        ("{DRAM: {K: [m1, e]}}", "$.layout.DRAM.K: the layout of 'K' lacks rank 'm0'"),
        ("{DRAM: {K: [m, e, m0]}}", "$.layout.DRAM.K: the layout of 'K' has rank 'm0' twice"),
        ("{DRAM: {Q: [e, p, p]}}", "$.layout.DRAM.Q: the layout of 'Q' has rank 'p' twice"),
        ("{DRAM: {KK: [e, m]}}", "$.layout.DRAM.KK: unknown tensor 'KK' (did you mean 'K'?)"),
        ("{DRAN: {K: [e, m]}}", "$.layout.DRAN: unknown memory 'DRAN' (did you mean 'DRAM'?)"),
        (
            "{GLB: {K: [e, m]}}",
            "$.layout.GLB: 'GLB' is filled from outside, tile by tile: only the root memory 'DRAM' has a layout",
        ),
        ("{DRAM: [K]}", "$.layout: expected tensors with their ranks such as '{DRAM: {K: [e, m]}}', got ['K']"),
        ("{DRAM: {K: e}}", "$.layout.DRAM.K: expected a list, got 'e'"),
        ("{DRAM: {K: {order: [e, m], pad: 3 bit}}}", "$.layout.DRAM.K: expected a pad of whole bytes, got 3 bit"),
        ("{DRAM: {K: {order: [e, m], pad: 64}}}", "$.layout.DRAM.K.pad: expected a size such as '16 MiB', got 64, which has no unit"),
        ("{DRAM: {K: {ordre: [e, m]}}}", "$.layout.DRAM.K.ordre: unknown key 'ordre' (did you mean 'order'?)"),
        ("[K]", "$.layout[0]: expected keys and values, got 'K'"),
    ],
)  # fmt: skip
def test_a_wrong_layout_is_refused(layout: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = f"base: fusemax-binding\nset:\n  name: stored\n  layout: {layout}\n"
    (tmp_path / "mapping.yaml").write_text(text, "utf-8")
    status, out, err = run(["check", "mapping.yaml"])
    assert (status, out, err) == (1, f"mapping.yaml:4: {message}\n", "")


def test_a_layout_is_in_the_mapping_where_it_is_given() -> None:
    plain = load_experiment("fusemax-binding")
    stored = load_experiment("fusemax-binding", {"mapping.layout": {"DRAM": {"K": ["m1", "e", "m0"]}}})
    assert "layout" not in plain.mapping.model_dump() and plain.hash != stored.hash
    again = Mapping.model_validate(stored.mapping.model_dump(mode="json", by_alias=True))
    assert again == stored.mapping and again.layout[0].tensors[0].order == ("m1", "e", "m0")


def test_without_a_dram_timing_a_layout_changes_nothing_and_says_so() -> None:
    settings = {"seq_len": 1024, "batch": 1}
    plain = simulate(load_experiment("fusemax-binding", settings), "cycle")
    stored = simulate(
        load_experiment("fusemax-binding", settings | {"mapping.layout": {"DRAM": {"K": ["e", "m"]}}}), "cycle"
    )
    assert (stored.cycles, stored.stall_cycles) == (plain.cycles, plain.stall_cycles)
    said = "'DRAM' has no DRAM timing: the layout of its tensors changes nothing"
    assert stored.warnings == (*plain.warnings, said)


def test_the_result_says_which_tensors_rows_and_banks_make_slow() -> None:
    settings = {"seq_len": 65536, "batch": 1, "architecture.components.DRAM.timing": "hbm2-2000"}
    layout = {"mapping.layout": {"DRAM": {"K": ["e", "m"], "V": ["f", "m"]}}}
    counted, timed_run = (
        simulate(load_experiment("fusemax-binding", settings | layout), e) for e in ("analytical", "cycle")
    )
    left_out = "the layout of tensors in 'DRAM' is not in this time: rows and banks are in that of the cycle engine"
    assert counted.warnings[-1] == left_out and left_out not in timed_run.warnings
    assert [warning for warning in timed_run.warnings if "banks" in warning] == [
        "'K', read from 'DRAM' in 64 pieces of 512 B a tile: rows and banks take 6.17 times a stream",
        "'V', read from 'DRAM' in 64 pieces of 512 B a tile: rows and banks take 12 times a stream",
    ]
    plain = simulate(load_experiment("fusemax-binding", settings))
    assert (counted.cycles, counted.traffic_bytes, counted.warnings[:-1]) == (
        plain.cycles,
        plain.traffic_bytes,
        plain.warnings,
    )


@pytest.mark.parametrize(("base_kib", "times"), [(0, 1.105), (64, 1.031), (128, 1.0)])
def test_tiles_of_two_tensors_in_other_banks_are_as_without_a_layout(base_kib: int, times: float) -> None:
    """K and V by keys, read in turn: in one bank each closes the other's rows, two banks apart none does."""
    settings = {
        "seq_len": 4096, "batch": 2, "architecture.clock": "10 GHz", "architecture.components.GLB.size": "1 MiB",
        "architecture.components.DRAM.timing": "hbm2-2000",
    }  # fmt: skip
    behind_k = 2 * 12 * 64 * 4096 * 2 + base_kib * 1024
    layout = {"K": ["m", "e"], "V": {"order": ["m", "f"], "base": f"{behind_k} B"}}
    plain, stored = (
        simulate(load_experiment("fusemax-binding", settings | changes), "cycle")
        for changes in ({}, {"mapping.layout": {"DRAM": layout}})
    )
    assert stored.cycles / plain.cycles == pytest.approx(times, abs=0.001 if times > 1 else 0)


def test_several_cores_with_a_layout_say_what_is_left_out() -> None:
    memories: dict[str, dict[str, Any]] = {"DRAM": {"timing": TWO_BANKS}, "GLB": {}}
    tree = {
        "loops": [{"m": "4"}],
        "keep": {"GLB": ["A", "B", "Z"]},
        "body": [{"einsum": "Z", "array": "PE", "loops": ["m", "k", "n"]}],
    }
    for cores in (None, 2):
        on = machine_of_cores(cores, "GLB", memories, {"PE": (1, 1)})
        plain = design_of_cores(PRODUCT, tree, {"K": 64, "M": 32, "N": 3}, on, ["m"] if cores else [])
        layout = {"layout": {"DRAM": {"A": ["k", "m"]}}}
        mapping = Mapping.model_validate(plain.mapping.model_dump(by_alias=True) | layout)
        found = simulate(replace(plain, mapping=mapping), "cycle")
        assert found.cycles >= simulate(plain, "cycle").cycles
        said = "2 cores share 'DRAM': its layout is replayed as one of them would ask for the tiles"
        assert (said in found.warnings) == (cores == 2)
