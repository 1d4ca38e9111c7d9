"""A schedule that the binding search found, run cycle by cycle on the PE-level engine: no hazards, and it computes attention.

The search is told the cascade, the machine and the tiles; its starts, strides and copies then drive real values through PEs,
links and registers. The PE-level array takes reduced columns as they arrive, so the readers of LM, SLD and SLNV are
tied to their arrival here. Its drain is one cycle shorter than the machine file says (see docs/cycle-pe.md).
"""

from dataclasses import replace

import numpy as np
import pytest

from einsums import interpret
from sim import load_experiment
from sim.binding.graph import task_graphs
from sim.binding.search import SearchOptions, find_schedule
from sim.binding.types import Dependency, ModuloSchedule, TaskGraph
from sim.load.nouns import load_cascade
from tests.test_engine_pe_attention import Clock, Sizes, attention_inputs, run_attention

OPTIONS = SearchOptions(effort=2_000_000)


def graph_of(sizes: Sizes) -> TaskGraph:
    changes = {
        "architecture.components.PE2D.rows": sizes.rows,
        "architecture.components.PE2D.columns": sizes.cols,
        "architecture.components.PE1D.columns": sizes.cols,
        "architecture.components.PE2D.drain.cycles": "rows - 1",
        "architecture.components.DRAM.bandwidth": "100000 GiB/s",  # the PE level knows no off-chip memory
        "ranks.E": sizes.depth,
        "ranks.F": sizes.depth,
        "ranks.M": sizes.rows * sizes.tiles,
        "ranks.P": sizes.cols,
    }
    graph = task_graphs(load_experiment("fusemax-binding", changes))[0]
    names = [task.name for task in graph.tasks]
    # The program gives the exponentials up with the last step of SLNV: SLD has read them before.
    before = Dependency(names.index("SLD"), names.index("SLNV"), "SLN")
    return replace(graph, dependencies=(*graph.dependencies, *as_they_arrive(graph), before))


def as_they_arrive(graph: TaskGraph) -> list[Dependency]:
    """What makes a reader of a drained row start when the row arrives, and no later."""
    ties = []
    for d in graph.dependencies:
        if d.latency and d.distance == 0:
            maker, reader = graph.tasks[d.producer], graph.tasks[d.consumer]
            back = -(maker.cycles + d.latency) - reader.cycles
            ties.append(Dependency(d.consumer, d.producer, d.tensor, 0, back, d.elements))
    return ties


def clock_of(schedule: ModuloSchedule, sizes: Sizes) -> Clock:
    """The starts of the search as those of the PE-level program."""
    places = dict(zip((task.name for task in schedule.graph.tasks), schedule.placements, strict=True))
    start = {name: place.start - places["QK"].start for name, place in places.items()}
    copies = {(memory, tensor): pieces for memory, tensor, pieces in schedule.copies}
    assert {places[name].stride for name in ("SLNV", "SPNV", "RNV")} == {2}
    assert all(pieces == 1 for (_, tensor), pieces in copies.items() if tensor not in ("QK", "PRM"))
    return Clock(
        interval=schedule.interval,
        stride=places["QK"].stride,
        **{name: start[name] for name in ("LM", "SLN", "SLD", "SLNV", "PRM", "SPD", "SPNV")},
        AV=max(start["RNV"] + 2 * sizes.depth, start["RD"] + 1),
        scores=copies["RF2D", "QK"],
        corrections=copies["RF1D", "PRM"],
    )


@pytest.mark.parametrize(
    "sizes",
    [
        Sizes(rows=4, cols=4, depth=8, tiles=4),
        Sizes(rows=5, cols=3, depth=7, tiles=4),
        Sizes(rows=16, cols=16, depth=8, tiles=5),
        Sizes(rows=64, cols=64, depth=64, tiles=5),
        Sizes(rows=256, cols=4, depth=64, tiles=6),  # the published rows and heads; a column is like any other
        Sizes(rows=256, cols=4, depth=128, tiles=6),
    ],
    ids=str,
)
def test_found_schedule_computes_attention_without_hazards(sizes: Sizes) -> None:
    schedule = find_schedule(graph_of(sizes), OPTIONS)
    assert schedule.interval == 2 * sizes.depth + 10  # of the 1D array
    clock, tensors = clock_of(schedule, sizes), attention_inputs(sizes)
    run, result = run_attention(sizes, clock, tensors)
    assert run.hazards == ()
    expected = interpret(load_cascade("attention-1pass"), tensors, {"M0": sizes.rows})["AV"]
    np.testing.assert_allclose(result, expected, rtol=1e-11, atol=1e-12)
    # A copy of the scores for each tile in flight, and the exponentials; no PE needs more.
    assert (run.peak_registers[:-1] <= clock.scores + 1).all()
    # Nothing of it can be had a cycle earlier.
    faster, _ = run_attention(sizes, replace(clock, interval=clock.interval - 1), tensors)
    assert faster.hazards
