"""Runs with a layout against DRAM command by command: every transfer of a run at the addresses of its words."""

from typing import Any, NamedTuple

import numpy as np
import pytest

from arch.dram import DramTiming
from sim.cycle.answer import design_of
from sim.cycle.program import NamedProgram, lower_nest
from sim.cycle.state import NestTiming, Window, run
from sim.design.assemble import load_experiment
from sim.design.experiment import Experiment, stack
from sim.dram.requests import simulate_requests
from sim.engine.analytical import evaluate
from sim.engine.cycle import columns as col
from sim.lower.lowering import lower

WORD = 2  # bytes
RANKS = {"Q": "bhep", "K": "bhem", "V": "bhfm", "AV": "bhfp"}
BY_ROWS = {"K": "em", "V": "fm"}  # all keys of one e, then of the next: a tile is in 64 pieces
BY_KEYS = {"K": "me", "V": "mf"}  # all of one key: a tile is one piece
Position = dict[str, tuple[int, int]]  # rank: first coordinate, coordinates


class Run(NamedTuple):
    """A run bound by DRAM: names, outcome, sizes of ranks, and what the loops around its records walk, in tiles."""

    experiment: Experiment
    named: NamedProgram
    done: NestTiming
    sizes: dict[str, int]
    loops: list[tuple[str, int]]
    root: int


def run_of(dram: str, clock: str, settings: dict[str, Any], layout: dict[str, str]) -> Run:
    machine = {
        "architecture.clock": clock, "architecture.components.DRAM.timing": dram, "architecture.components.GLB.size": "1 MiB",
        "batch": 2,
    }  # fmt: skip
    stored = {"mapping.layout": {"DRAM": {tensor: list(order) for tensor, order in layout.items()}}}
    experiment = load_experiment("fusemax-binding", machine | settings | stored)
    tables = lower(experiment.structure, stack([experiment]))
    design = design_of(experiment, tables, evaluate(tables))
    (nest,) = design.nests
    named = lower_nest(design, nest, design.walk.whole)
    done = run(named.program, True, Window(0, 1 << 60, 1 << 17))
    assert len(done.log) < 1 << 17
    root = design.chains.machine.memories.index(experiment.architecture.root.name)
    assert done.served[root].sum() > 0.99 * done.cycles
    sizes = {name.lower(): size for name, size in zip(design.walk.space.roots, design.walk.whole, strict=True)}
    loops = [(design.walk.loops[i].variable[0], design.walk.loops[i].tile) for i in named.joint.frame.loops]
    return Run(experiment, named, done, sizes, loops, root)


def position(found: Run, record: int, depth: int) -> Position:
    """The tile of the ranks that the outermost loops have left in a record."""
    left, trips = dict(found.sizes), []
    for rank, tile in found.loops:
        trips.append(-(-left[rank] // tile))
        left[rank] = min(left[rank], tile)
    place = {rank: (0, size) for rank, size in found.sizes.items()}
    iterations = np.unravel_index(record, trips)
    for (rank, tile), iteration in list(zip(found.loops, iterations, strict=True))[:depth]:
        first, size = place[rank]
        place[rank] = first + int(iteration) * tile, min(tile, size - int(iteration) * tile)
    return place


def addresses(order: str, sizes: dict[str, int], place: Position) -> np.ndarray:
    """Bytes of every word of a tile, the order's innermost rank fastest."""
    ranks = [np.arange(place[rank][0], sum(place[rank])) for rank in order]
    found, stride = np.zeros((1,) * len(order), np.int64), WORD
    for n in reversed(range(len(order))):
        found = found + (ranks[n] * stride).reshape([-1 if axis == n else 1 for axis in range(len(order))])
        stride *= sizes[order[n]]
    return found.ravel()


def bursts_of_transfers(
    found: Run, timing: DramTiming, layout: dict[str, str]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(addresses, is_write, arrival cycles) of all bursts, in the order in which the run began its transfers.

    What the layout does not have lies in one piece; a transfer that made way for another has its share of the bursts in
    each part.
    """
    rows = [r for r in found.done.log.tolist() if r[col.LOG_KIND] >= col.TRANSFER_ROW and r[col.TRACK] == found.root]
    spent: dict[tuple[int, ...], int] = {}
    for kind, _, what, record, start, end in rows:
        spent[kind, what, record] = spent.get((kind, what, record), 0) + end - start
    bases, free = {}, 0
    for tensor in layout:
        bases[tensor] = free
        free += WORD * int(np.prod([found.sizes[rank] for rank in RANKS[tensor]]))
        free = -(-free // (timing.columns * timing.burst_bytes)) * timing.columns * timing.burst_bytes
    bursts: dict[tuple[int, ...], np.ndarray] = {}
    moved: dict[tuple[int, ...], int] = dict.fromkeys(spent, 0)
    parts = []
    for kind, _, what, record, start, end in sorted(rows, key=lambda row: row[col.START]):
        key, is_tile = (kind, what, record), kind - col.TRANSFER_ROW + 1 in (col.FILL_JOB, col.DRAIN_JOB)
        if key not in bursts:
            tensor = found.named.tiles[what].keep.keep.tensor if is_tile else "AV"
            depth = found.named.tiles[what].level if is_tile else len(found.loops)
            place = position(found, record, depth)
            words = int(np.prod([place[rank][1] for rank in RANKS[tensor]]))
            if tensor in layout:
                order = "".join(rank for rank in "bh" if rank not in layout[tensor]) + layout[tensor]
                numbers = (bases[tensor] + addresses(order, found.sizes, place)) // timing.burst_bytes
                bursts[key] = numbers[np.insert(numbers[1:] != numbers[:-1], 0, True)]
            else:
                bursts[key] = free // timing.burst_bytes + np.arange(-(-words * WORD // timing.burst_bytes))
                free += bursts[key].size * timing.burst_bytes
        size, before = bursts[key].size, moved[key]
        moved[key] += end - start
        first, last = (round(size * cycles / spent[key]) for cycles in (before, moved[key]))
        is_write = kind - col.TRANSFER_ROW + 1 in (col.DRAIN_JOB, col.WRITE_JOB)
        asked = int(start / found.experiment.architecture.clock_hz * timing.clock_hz)
        parts.append((bursts[key][first:last], is_write, asked))
    sizes = [numbers.size for numbers, _, _ in parts]
    capacity = timing.capacity_bytes // timing.burst_bytes
    return (
        np.concatenate([numbers % capacity * timing.burst_bytes for numbers, _, _ in parts]),
        np.repeat([is_write for _, is_write, _ in parts], sizes),
        np.repeat([asked for _, _, asked in parts], sizes),
    )


SHORT = {"ranks.P": 512, "ranks.H": 1}  # few queries and one head: K and V are nearly all there is


@pytest.mark.parametrize(
    ("dram", "clock", "settings", "layout", "times"),
    [
        ("hbm2-2000", "10 GHz", {"seq_len": 1024}, BY_ROWS, 1.35),
        ("hbm2-2000", "10 GHz", {"seq_len": 1024}, BY_KEYS, 1.08),
        ("hbm2-2000", "10 GHz", {"seq_len": 1000}, BY_ROWS, 1.02),
        ("hbm2-2000", "10 GHz", {"seq_len": 16384} | SHORT, BY_ROWS, 2.34),
        ("hbm2-2000", "10 GHz", {"seq_len": 65536} | SHORT, BY_ROWS, 9.13),
        ("hbm2-2000", "10 GHz", {"seq_len": 50001} | SHORT, BY_ROWS, 2.11),
        ("hbm2-2000", "10 GHz", {"seq_len": 2048, "ranks.H": 2}, BY_ROWS | {"Q": "ep", "AV": "fp"}, 1.39),
        ("hbm2-2000", "10 GHz", {"seq_len": 5000, "ranks.H": 1}, {"Q": "pe", "AV": "pf"}, 1.0),
        ("lpddr4-3200", "940 MHz", {"seq_len": 1024}, BY_ROWS, 1.00),
        ("lpddr4-3200", "940 MHz", {"seq_len": 3001, "ranks.H": 2}, BY_ROWS, 1.03),
        ("lpddr4-3200", "940 MHz", {"seq_len": 16384} | SHORT, BY_ROWS, 1.93),
        ("ddr4-3200", "940 MHz", {"seq_len": 1024}, BY_ROWS, 1.00),
        ("ddr4-3200", "940 MHz", {"seq_len": 4096, "ranks.H": 2}, BY_KEYS, 1.01),
        ("ddr4-3200", "940 MHz", {"seq_len": 65536} | SHORT, BY_ROWS, 2.30),
        ("gddr6-14000", "2 GHz", {"seq_len": 65536} | SHORT, BY_ROWS, 4.96),
    ],
)
def test_a_run_takes_as_long_as_its_bursts_where_they_lie(
    dram: str, clock: str, settings: dict[str, Any], layout: dict[str, str], times: float
) -> None:
    """Reads and writes mixed, each transfer asked for when the run began it. times: as long as without a layout."""
    found = run_of(dram, clock, settings, layout)
    timing = found.experiment.architecture.root.timing
    assert timing is not None
    result = simulate_requests(timing, *bursts_of_transfers(found, timing, layout))
    run_s = found.done.cycles / found.experiment.architecture.clock_hz
    assert result.finish_cycles.max() / timing.clock_hz == pytest.approx(run_s, rel=0.015)
    plain = run_of(dram, clock, settings, {})
    assert found.done.cycles / plain.done.cycles == pytest.approx(times, abs=0.02)
