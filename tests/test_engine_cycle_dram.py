"""The tile-level engine's DRAM against DRAM command by command: every transfer of a run, in its order, burst for burst."""

from functools import cache
from typing import NamedTuple

import numpy as np
import pytest

from arch.dram import DramTiming
from sim.cycle.answer import design_of
from sim.cycle.program import NamedProgram, lower_nest
from sim.cycle.state import Window, run
from sim.design.assemble import load_experiment
from sim.design.experiment import stack
from sim.dram.requests import simulate_requests
from sim.engine.analytical import evaluate
from sim.engine.cycle import columns as col
from sim.lower.lowering import lower


class Transfer(NamedTuple):
    is_write: bool
    bursts: int
    start_s: float


def tile_bytes(named: NamedProgram, job: int, which: int, word_bytes: float) -> float:
    """Bytes of a full tile of a keep, or of the stream of an op for one."""
    tables = named.program.tables
    is_tile = job in (col.FILL_JOB, col.DRAIN_JOB)
    variant = 0
    for level in range(named.tiles[which].level if is_tile else tables["OP_TABLE"][which, col.DEPTH_OF]):
        variant = tables["CHILD"][variant, level, 0]
    columns = {
        col.FILL_JOB: col.FILL_WORDS,
        col.DRAIN_JOB: col.DRAIN_WORDS,
        col.READ_JOB: col.READ_WORDS,
        col.WRITE_JOB: col.WRITE_WORDS,
    }
    return float(tables["MOVES" if is_tile else "AMOUNTS"][variant, which, columns[job]]) * word_bytes


@cache
def transfers_of_a_run(dram: str, clock: str) -> tuple[DramTiming, float, tuple[Transfer, ...]]:
    """A run bound by DRAM: its timing, seconds, and transfers in the order in which they began."""
    settings = {
        "seq_len": 1024, "batch": 2, "architecture.clock": clock,
        "architecture.components.DRAM.timing": dram,
        "architecture.components.GLB.size": "1 MiB",
    }  # fmt: skip
    experiment = load_experiment("fusemax-binding", settings)
    tables = lower(experiment.structure, stack([experiment]))
    design = design_of(experiment, tables, evaluate(tables))
    (nest,) = design.nests
    named = lower_nest(design, nest, design.walk.whole)
    done = run(named.program, True, Window(0, 1 << 60, 1 << 16))
    architecture = experiment.architecture
    timing, root = architecture.root.timing, design.chains.machine.memories.index(architecture.root.name)
    assert timing is not None
    rows = [row for row in done.log.tolist() if row[col.LOG_KIND] >= col.TRANSFER_ROW and row[col.TRACK] == root]
    # All of them; nothing else takes as long.
    assert len(rows) < 1 << 16 and done.served[root].sum() > 0.9 * done.cycles
    word_bytes = float(tables.machine.word_bytes[0])
    spent: dict[tuple[int, ...], int] = {}
    for kind, _, what, record, start, end in rows:
        spent[kind, what, record] = spent.get((kind, what, record), 0) + end - start
    found, done_cycles = [], dict.fromkeys(spent, 0)
    for kind, _, what, record, start, end in sorted(rows, key=lambda row: row[col.START]):
        job, key = kind - col.TRANSFER_ROW + 1, (kind, what, record)
        # What made way for an older transfer comes in several parts, each with its share of the tile's bursts.
        bursts = tile_bytes(named, job, what, word_bytes) / timing.burst_bytes
        first, last = (
            round(bursts * cycles / spent[key]) for cycles in (done_cycles[key], done_cycles[key] + end - start)
        )
        done_cycles[key] += end - start
        is_write = job in (col.DRAIN_JOB, col.WRITE_JOB)
        found.append(Transfer(is_write, last - first, start / architecture.clock_hz))
    return timing, done.cycles / architecture.clock_hz, tuple(found)


def replayed_s(timing: DramTiming, transfers: tuple[Transfer, ...], addresses: list[np.ndarray]) -> float:
    """Seconds of the transfers burst by burst, each asked for when the run began it."""
    writes = np.concatenate([np.full(one.bursts, one.is_write) for one in transfers])
    arrivals = np.concatenate([np.full(one.bursts, int(one.start_s * timing.clock_hz)) for one in transfers])
    result = simulate_requests(timing, np.concatenate(addresses), writes, arrivals)
    return float(result.finish_cycles.max()) / timing.clock_hz


@pytest.mark.parametrize(
    ("dram", "clock"),
    [("hbm2-2000", "10 GHz"), ("lpddr4-3200", "940 MHz")],
)
def test_a_run_bound_by_dram_takes_as_long_as_its_bursts(dram: str, clock: str) -> None:
    # Each transfer is one run of bursts in a region of its own; reads and writes mix.
    timing, tiles_s, transfers = transfers_of_a_run(dram, clock)
    addresses, region = [], 0
    for one in transfers:
        addresses.append(region + np.arange(one.bursts) * timing.burst_bytes)
        region += -(-one.bursts // timing.columns) * timing.columns * timing.burst_bytes
    assert replayed_s(timing, transfers, addresses) == pytest.approx(tiles_s, rel=0.005)  # -0.01% and 0.16%
