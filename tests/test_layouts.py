"""Where tensors lie in memory: costs of tiles counted by hand on a small DRAM, laws, and orders that are refused."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from arch.types import Architecture
from mappings.types import Mapping
from sim.cycle.addresses import Runs, StoredRank, StoredTensor, bursts_of
from sim.cycle.answer import DesignTiming, design_of, time_design
from sim.cycle.choice import CycleDesign
from sim.cycle.program import NamedProgram
from sim.design.experiment import Experiment, stack
from sim.engine.analytical import evaluate
from sim.engine.cycle import columns as col
from sim.lower.lowering import lower
from tests.by_hand import PRODUCT, experiment_of, small_machine

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
K = 16


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
    assert done.served["DRAM"] == 120 * 8 * 24 + 4 * 4 + 240 * 4 + first
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
