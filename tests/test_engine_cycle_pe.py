"""The tile-level engine against the PE level: its schedules are played by PEs, word by word, and must come out to the cycle.

Nothing waits on the PE level: a word that is not yet there, a link, an operator or a register that is taken is a hazard. None may
occur, the result must be the interpreter's, and the last cycle must be the same.
"""

import itertools
from dataclasses import dataclass
from random import Random
from typing import Any

import numpy as np
import pytest

from einsums import interpret
from sim.cycle.answer import design_of
from sim.cycle.program import lower_nest
from sim.cycle.state import Window, run
from sim.design.assemble import load_experiment
from sim.design.experiment import Experiment, stack
from sim.engine.analytical import evaluate
from sim.engine.cycle import columns as col
from sim.lower.lowering import lower
from sim.systolic.product import ProductShape, product_cycles
from sim.systolic.program import SystolicArray
from sim.systolic.runner import ArrayRun
from tests.cycle_designs import ONE_PASS_STAGES
from tests.pe_layout import Layout
from tests.pe_player import Player

# A software pipeline, the final division in its last stage.
PIPELINED = {"kind": "pipelined", "stages": ONE_PASS_STAGES | {"AV": 5}}


@dataclass(frozen=True)
class Sizes:
    rows: int
    cols: int
    depth: int  # E = F
    keys: int
    queries: int


def one_head(design: str, sizes: Sizes) -> Experiment:
    """One head on an array of that size; memories fast enough not to matter."""
    model = {
        "name": "one", "hidden": sizes.depth, "heads": 1, "head_size": sizes.depth, "ffn_size": 1, "source": "made up",
    }  # fmt: skip
    ranks = {"B": 1, "H": 1, "E": sizes.depth, "F": sizes.depth, "M": sizes.keys, "P": sizes.queries}
    changes: dict[str, Any] = {
        "model": model,
        "batch": 1,
        "ranks": ranks,
        "architecture.components.PE2D.rows": sizes.rows,
        "architecture.components.PE2D.columns": sizes.cols,
        "architecture.components.PE1D.columns": sizes.cols,
        "architecture.components.DRAM.bandwidth": "1000000 GB/s",
        "architecture.components.GLB.ports": 16,
        "architecture.components.GLB.banks": 16,
    }
    if design.startswith("fusemax") and design != "fusemax-cascade":
        changes["architecture.components.PE2D.drain.cycles"] = "rows - 1"
    if design == "flat":
        changes["parameters.P1"] = sizes.rows * 2
    if design == "pipelined":
        changes |= {"mapping.schedule": PIPELINED, "architecture.components.PE2D.drain.cycles": "rows - 1"}
    return load_experiment("fusemax-binding" if design == "pipelined" else design, changes)


def play(experiment: Experiment, early: str = "") -> tuple[list[tuple[ArrayRun, int]], np.ndarray, np.ndarray]:
    """(run on PEs, last cycle of the tile-level engine) of every nest; the outputs, and the interpreter's.

    early: an Einsum whose result is handed on a cycle too early.
    """
    tables = lower(experiment.structure, stack([experiment]))
    made = design_of(experiment, tables, evaluate(tables))
    cascade, ranks, inner = experiment.cascade, dict(experiment.sizes), {}
    for part in made.walk.space.parts:
        span = min(made.walk.sizes[part.span], ranks[made.walk.space.roots[part.root]])
        size = -(-span // made.walk.sizes[part.unit])
        if part.rank not in ranks and part.level == 0:
            inner[part.rank] = size
        ranks.setdefault(part.rank, size)
    layout = Layout(cascade, ranks)
    random = np.random.default_rng(7)
    inputs = {t.name: random.normal(size=layout.shape[t.name]) for t in cascade.inputs}
    memory, played = layout.memory(inputs), []
    for nest in made.nests:
        start = made.walk.full_chain(made.walk.whole, nest.outer)[-1]
        named = lower_nest(made, nest, start)
        if early in named.ops:
            named.program.tables["OP_TABLE"][named.ops.index(early), col.LATENCY] -= 1
        done = run(named.program, True, Window(0, 1 << 40, 1 << 16))
        player = Player(made, nest, layout)
        result = player.play(named, done, memory)
        played.append((result, player.last_cycle(named, done)))
        memory = result.memory[: layout.words]
    expected = interpret(cascade, inputs, inner)[cascade.outputs[0]]
    return played, layout.view(memory, cascade.outputs[0]), expected


# Lengths and head sizes that the array divides, and some that it does not.
EVEN = [
    Sizes(4, 4, 8, 16, 8),
    Sizes(8, 8, 8, 24, 16),
    Sizes(16, 16, 16, 16, 16),
    Sizes(16, 16, 32, 64, 32),
    Sizes(64, 64, 64, 128, 64),
]
RAGGED = [
    Sizes(4, 4, 6, 14, 10),
    Sizes(8, 8, 3, 29, 13),
    Sizes(16, 16, 5, 40, 23),
    Sizes(64, 64, 24, 100, 70),
    # The last tile of keys loads two rows, while partial sums still come down all of them.
    Sizes(6, 6, 1, 20, 3),
    Sizes(10, 6, 6, 22, 4),
]
DESIGNS = ["unfused", "flat", "fusemax-cascade", "fusemax-architecture", "fusemax-binding", "pipelined"]


@pytest.mark.parametrize("design", DESIGNS)
@pytest.mark.parametrize("sizes", EVEN, ids=str)
def test_schedule_runs_on_pes_to_the_cycle(design: str, sizes: Sizes) -> None:
    played, found, expected = play(one_head(design, sizes))
    for result, last_cycle in played:
        assert [str(hazard) for hazard in result.hazards] == []
        assert result.last_cycle == last_cycle
    np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("design", DESIGNS)
@pytest.mark.parametrize("sizes", RAGGED, ids=str)
def test_ragged_tiles_end_before_the_full_ones_that_the_latency_is_of(design: str, sizes: Sizes) -> None:
    # The latency of an op is that of the whole array; the last tile of a ragged rank has fewer columns to leave.
    played, found, expected = play(one_head(design, sizes))
    for result, last_cycle in played:
        assert [str(hazard) for hazard in result.hazards] == []
        assert 0 <= last_cycle - result.last_cycle < sizes.rows + sizes.cols
    np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("seed", range(12))
def test_schedules_of_any_size_run_on_pes(seed: int) -> None:
    random = Random(seed)
    rows = random.randint(2, 12)
    columns = random.choice([rows, random.randint(2, 12)])
    sizes = Sizes(rows, columns, random.randint(1, 14), random.randint(1, 40), random.randint(1, 30))
    for design in DESIGNS:
        experiment = one_head(design, sizes)
        if experiment.problems:
            continue
        played, found, expected = play(experiment)
        for result, last_cycle in played:
            assert [str(hazard) for hazard in result.hazards] == [], (design, sizes)
            assert 0 <= last_cycle - result.last_cycle < rows + columns, (design, sizes)
        np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-11, err_msg=f"{design} {sizes}")


@pytest.mark.parametrize(
    ("design", "early", "reader"),
    [
        ("fusemax-architecture", "LM", "RM"),
        ("fusemax-binding", "LM", "RM"),
        ("flat", "GM", "SN"),
        ("flat", "SD", "A"),
        ("unfused", "GM", "SN"),
        ("unfused", "SD", "A"),
    ],
)
def test_latencies_are_exact(design: str, early: str, reader: str) -> None:
    # Handed on one cycle earlier, a result is read before it was written. With one row of queries nothing hides the wait.
    queries = 8 if design.startswith("fusemax") else 1
    played, _, _ = play(one_head(design, Sizes(8, 8, 4, 32, queries)), early)
    hazards = [hazard for result, _ in played for hazard in result.hazards]
    assert "a word enters before it was written" in [hazard.kind for hazard in hazards]
    assert any(hazard.task.startswith(reader) for hazard in hazards)


@pytest.mark.parametrize("depth", [64, 128])
def test_steady_state_of_published_sizes(depth: int) -> None:
    # One tile after another: {QK, LM} E + 1, drain, {RM} 1, {SLN, SLD} 8, {SLNV // SPNV, RNV} 2 F; interleaved: 2 E + 10.
    for design, interval in (("fusemax-architecture", 3 * depth + 10 + 63), ("fusemax-binding", 2 * depth + 10)):
        experiment = one_head(design, Sizes(64, 64, depth, 64 * 8, 64))
        tables = lower(experiment.structure, stack([experiment]))
        made = design_of(experiment, tables, evaluate(tables))
        (nest,) = made.nests
        named = lower_nest(made, nest, made.walk.whole)
        log = run(named.program, True, Window(0, 1 << 40, 1 << 16)).log.tolist()
        starts = [row[col.START] for row in log if row[col.LOG_KIND] == col.OP_ROW and named.ops[row[col.WHAT]] == "QK"]
        assert starts[7] - starts[6] == interval


@pytest.mark.parametrize(
    ("rows", "cols", "tokens", "hidden"), [(4, 4, 8, 12), (3, 5, 20, 9), (8, 2, 6, 16), (16, 16, 48, 32)]
)
def test_products_take_the_time_of_their_folds(rows: int, cols: int, tokens: int, hidden: int) -> None:
    # Output-stationary folds one after another, operands and drained results on one link down a column.
    model = {"name": "one", "hidden": hidden, "heads": 1, "head_size": hidden, "ffn_size": hidden, "source": "made up"}
    changes = {
        "architecture.components.PE2D.rows": rows,
        "architecture.components.PE2D.columns": cols,
        "architecture.components.PE1D.columns": cols,
        "architecture.components.GLB.ports": 16,
        "architecture.components.DRAM.bandwidth": "1000000 GB/s",
    }
    experiment = load_experiment("linear-fusemax", {"model": model, "batch": 1, "seq_len": tokens, **changes})
    tables = lower(experiment.structure, stack([experiment]))
    design = design_of(experiment, tables, evaluate(tables))
    expected = product_cycles(SystolicArray(rows, cols), ProductShape(hidden, hidden, tokens), "output", True)
    for nest in design.nests:
        named = lower_nest(design, nest, design.walk.whole)
        done = run(named.program, True, Window(0, 1 << 40, 1 << 12))
        ops = [row for row in done.log.tolist() if row[col.LOG_KIND] == col.OP_ROW]
        waits = sum(b[col.START] - a[col.END] for a, b in itertools.pairwise(ops))
        # Without the waits for operands that are not there yet: the time of the folds and of the array's skew.
        assert done.cycles - ops[0][col.START] - waits == expected
