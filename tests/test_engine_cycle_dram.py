"""The tile-level engine's DRAM against DRAM command by command: every transfer of a run, in its order, burst for burst."""

import numpy as np
import pytest

from sim.cycle.answer import design_of
from sim.cycle.dram import seconds_per_byte
from sim.cycle.nest import nests_of
from sim.cycle.program import lower_nest
from sim.cycle.state import Window, run
from sim.design.assemble import load_experiment
from sim.design.experiment import stack
from sim.dram.requests import simulate_requests
from sim.engine.analytical import evaluate
from sim.engine.cycle import columns as col
from sim.lower.lowering import lower


@pytest.mark.parametrize(
    ("dram", "clock"),
    [("hbm2-2000", "10 GHz"), ("lpddr4-3200", "940 MHz")],
)
def test_a_run_bound_by_dram_takes_as_long_as_its_bursts(dram: str, clock: str) -> None:
    # Each transfer is one run of bursts in a region of its own, asked for when the run began it; reads and writes mix.
    settings = {
        "seq_len": 1024, "batch": 2, "architecture.clock": clock,
        "architecture.components.DRAM.timing": dram,
        "architecture.components.GLB.size": "1 MiB",
    }  # fmt: skip
    experiment = load_experiment("fusemax-binding", settings)
    tables = lower(experiment.structure, stack([experiment]))
    design = design_of(experiment, tables, evaluate(tables))
    (nest,) = nests_of(experiment.mapping, experiment.tree, experiment.cascade)
    lowered = lower_nest(design, nest, design.whole)
    done = run(lowered.program, True, Window(0, 1 << 60, 1 << 16))
    architecture = experiment.architecture
    timing, root = architecture.root.timing, design.builder.machine.memories.index(architecture.root.name)
    assert timing is not None
    rows = [row for row in done.log.tolist() if row[col.LOG_KIND] >= col.TRANSFER_ROW and row[col.TRACK] == root]
    assert (
        len(rows) < 1 << 16 and done.served[root].sum() > 0.9 * done.cycles
    )  # all of them; nothing else takes as long
    addresses, writes, arrivals, region = [], [], [], 0
    for kind, _, _, _, start, end in sorted(rows, key=lambda row: row[col.START]):
        is_write = kind - col.TRANSFER_ROW + 1 in (col.DRAIN_JOB, col.WRITE_JOB)
        seconds = (end - start) / architecture.clock_hz
        bursts = round(seconds / float(seconds_per_byte(timing, is_write)) / timing.burst_bytes)
        addresses.append(region + np.arange(bursts) * timing.burst_bytes)
        writes.append(np.full(bursts, is_write))
        arrivals.append(np.full(bursts, int(start / architecture.clock_hz * timing.clock_hz)))
        region += -(-bursts // timing.columns) * timing.columns * timing.burst_bytes
    result = simulate_requests(timing, np.concatenate(addresses), np.concatenate(writes), np.concatenate(arrivals))
    detailed_s, tiles_s = float(result.finish_cycles.max()) / timing.clock_hz, done.cycles / architecture.clock_hz
    assert detailed_s == pytest.approx(tiles_s, rel=0.005)  # 0.10% and 0.22%
