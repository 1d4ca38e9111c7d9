"""The tile-level engine against the PE level: its schedules are played by PEs, word by word, and must come out to the cycle.

The log of a run says in which cycle every Einsum of every tile starts. These cycles become the starts of tasks of a systolic
program with real values. Nothing waits there: a word that is not yet there, a link, an operator or a register that is taken
would be a hazard. None may occur, the result must be the interpreter's, and the last cycle must be the same.
"""

import itertools
from dataclasses import dataclass, replace

import numpy as np
import pytest

from einsums import interpret
from sim.assemble import load_experiment
from sim.cycle.answer import design_of
from sim.cycle.nest import nests_of
from sim.cycle.program import Lowered, lower_nest
from sim.cycle.state import Run, Window, run
from sim.engine import cycle_columns as col
from sim.engine.analytical import evaluate
from sim.experiment import Experiment, stack
from sim.load import load_cascade
from sim.lower import lower
from sim.systolic.product import Shape, product_cycles
from sim.systolic.program import NOTHING, WEST, ZERO, Issue, Place, SystolicArray, Task, Tile, Words
from sim.systolic.runner import ArrayRun, run_program
from sim.systolic.tasks import (
    broadcast_down,
    issue_below,
    product_in_place,
    product_through,
    reduce_down,
    to_memory,
    to_register,
)

AGES = 8  # tiles in flight for which there are registers: what the mapping keeps in memory instead is kept there


@dataclass(frozen=True)
class Sizes:
    rows: int  # M0
    cols: int  # P0
    depth: int  # E = F
    tiles: int  # M1


def one_column_of_tiles(mapping: str, sizes: Sizes, drain: str) -> Experiment:
    """One head, one tile of queries, `tiles` tiles of keys, on an array of that size."""
    model = {
        "name": "one",
        "hidden": sizes.depth,
        "heads": 1,
        "head_size": sizes.depth,
        "ffn_size": 1,
        "source": "made up",
    }
    ranks = {"B": 1, "H": 1, "E": sizes.depth, "F": sizes.depth, "M": sizes.rows * sizes.tiles, "P": sizes.cols}
    return load_experiment(
        mapping,
        {
            "model": model,
            "batch": 1,
            "ranks": ranks,
            "architecture.components.PE2D.rows": sizes.rows,
            "architecture.components.PE2D.columns": sizes.cols,
            "architecture.components.PE1D.columns": sizes.cols,
            "architecture.components.PE2D.drain.cycles": drain,
        },
    )


def run_with_log(experiment: Experiment) -> tuple[Lowered, Run]:
    tables = lower(experiment.structure, stack([experiment]))
    design = design_of(experiment, tables, evaluate(tables))
    (nest,) = nests_of(experiment.mapping, experiment.tree, experiment.cascade)
    lowered = lower_nest(design, nest, design.whole)
    return lowered, run(lowered.program, True, Window(0, 1 << 40, 1 << 16))


def starts_of(lowered: Lowered, done: Run) -> dict[str, dict[int, list[int]]]:
    """Start cycles of every repetition, by Einsum and tile."""
    found: dict[str, dict[int, list[int]]] = {}
    for kind, _, what, record, start, _ in done.log.tolist():
        if kind == col.OP_ROW:
            found.setdefault(lowered.ops[what], {}).setdefault(record, []).append(start)
    return found


class Player:
    """Turns starts into tasks of a systolic program."""

    def __init__(self, sizes: Sizes, starts: dict[str, dict[int, list[int]]], tensors: dict[str, np.ndarray]) -> None:
        self.sizes, self.starts, self.words = sizes, starts, Words()
        parts = range(0, sizes.rows * sizes.tiles, sizes.rows)
        self.Q = self.words.hold(tensors["Q"])
        self.K = [self.words.hold(tensors["K"][:, n : n + sizes.rows]) for n in parts]
        self.V = [self.words.hold(tensors["V"][:, n : n + sizes.rows]) for n in parts]
        self.lowest = self.words.hold(np.float64(-np.inf))
        lane = {name: [self.words.reserve(1, sizes.cols) for _ in parts] for name in ("LM", "SLD", "RM")}
        self.LM, self.SLD, self.RM = lane["LM"], lane["SLD"], lane["RM"]
        self.SLNV = [self.words.reserve(sizes.depth, sizes.cols) for _ in parts]
        self.RNV = [ZERO, *(self.words.reserve(sizes.depth, sizes.cols) for _ in parts)]
        self.AV = self.words.reserve(sizes.depth, sizes.cols)

    def at(self, name: str, n: int, step: int = 0) -> Issue:
        """Where a repetition starts: ops of one repetition follow their steps, others have a start for each."""
        found = self.starts[name][n]
        start = found[step] if len(found) > 1 else found[0] + step
        return Issue(f"{name} {n}.{step}", start)

    def tile_tasks(self, n: int) -> list[Task]:
        sizes, age = self.sizes, n % AGES
        whole, one = Tile(sizes.rows, sizes.cols, sizes.depth), Tile(sizes.rows, sizes.cols)
        lane = Tile(1, sizes.cols)
        score, numerator = age, AGES + age
        # Registers of the 1D array: RM and PRM of several tiles, RD, SPD of several tiles, then SPNV by step and tile.
        RM, old_RM, PRM, RD, SPD = age, (n - 1) % AGES, AGES + age, 4 * AGES, 2 * AGES + age
        tasks = [
            product_in_place(whole, self.at("QK", n), self.K[n], self.Q, score),
            to_memory(reduce_down(one, self.at("LM", n), "max", score, self.lowest), self.LM[n]),
            to_register(issue_below(lane, self.at("RM", n), "max", (WEST, old_RM), self.LM[n]), RM),
            broadcast_down(one, self.at("SLN", n), "subtract-exp", self.RM[n], (score, numerator)),
            to_memory(reduce_down(one, self.at("SLD", n), "add", numerator), self.SLD[n]),
            to_register(issue_below(lane, self.at("PRM", n), "subtract-exp", (old_RM, RM)), PRM),
            to_register(issue_below(lane, self.at("SPD", n), "multiply", (RD, PRM)), SPD),
            to_register(issue_below(lane, self.at("RD", n), "add", (WEST, SPD), self.SLD[n]), RD),
            to_memory(product_through(whole, self.at("SLNV", n), self.V[n], numerator), self.SLNV[n]),
        ]
        # The new maximum goes to a register, for PRM, and to memory, for the tops of the columns.
        tasks[2] = to_memory(_both(tasks[2]), self.RM[n])
        for f in range(sizes.depth):
            register = 4 * AGES + 1 + age * sizes.depth + f
            word = [
                Place(p.base + f * p.step_words, 0, p.lane_words) for p in (self.RNV[n], self.SLNV[n], self.RNV[n + 1])
            ]
            corrected = issue_below(lane, self.at("SPNV", n, f), "multiply", (WEST, PRM), word[0])
            added = issue_below(lane, self.at("RNV", n, f), "add", (WEST, register), word[1])
            tasks += [to_register(corrected, register), to_memory(added, word[2])]
        return tasks

    def play(self) -> ArrayRun:
        sizes, lane = self.sizes, Tile(1, self.sizes.cols)
        first = issue_below(lane, Issue("RM init", 0), "move", (WEST, NOTHING), self.lowest)
        zero = issue_below(lane, Issue("RD init", 1), "move", (WEST, NOTHING))
        tasks = [to_register(first, AGES - 1), to_register(zero, 4 * AGES)]
        for n in range(sizes.tiles):
            tasks += self.tile_tasks(n)
        divide = issue_below(
            Tile(1, sizes.cols, sizes.depth), self.at("AV", sizes.tiles - 1), "divide", (WEST, 4 * AGES), self.RNV[-1]
        )
        tasks.append(to_memory(divide, self.AV))
        registers = 4 * AGES + 1 + AGES * sizes.depth
        return run_program(SystolicArray(sizes.rows, sizes.cols, registers=registers), tasks, self.words.memory())


def _both(task: Task) -> Task:
    """Its result sent on as well as kept."""
    return replace(task, south="result")


def inputs(sizes: Sizes) -> dict[str, np.ndarray]:
    random = np.random.default_rng(5)
    keys = sizes.rows * sizes.tiles
    shapes = {"Q": (sizes.depth, sizes.cols), "K": (sizes.depth, keys), "V": (sizes.depth, keys)}
    return {name: random.normal(size=shape) for name, shape in shapes.items()}


SIZES = [
    Sizes(4, 4, 8, 4),
    Sizes(5, 3, 7, 5),
    Sizes(16, 16, 4, 8),  # an array much deeper than the product: several tiles of drain
    Sizes(40, 2, 5, 6),
    Sizes(32, 32, 16, 6),
    Sizes(64, 64, 64, 4),
]


@pytest.mark.parametrize("mapping", ["fusemax-architecture", "fusemax-binding"])
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_schedule_runs_on_pes_to_the_cycle(sizes: Sizes, mapping: str) -> None:
    # A maximum leaves its column rows - 1 cycles after the cycle in which it was issued at the top.
    lowered, done = run_with_log(one_column_of_tiles(mapping, sizes, "rows - 1"))
    tensors = inputs(sizes)
    player = Player(sizes, starts_of(lowered, done), tensors)
    played = player.play()
    reuse = "a register is overwritten while its value is needed"  # registers in turn are never given up here
    assert [h for h in played.hazards if h.kind != reuse] == []
    expected = interpret(load_cascade("attention-1pass"), tensors, {"M0": sizes.rows})["AV"]
    np.testing.assert_allclose(played.read(player.AV, sizes.depth, sizes.cols), expected, rtol=1e-11, atol=1e-11)
    assert played.last_cycle + 1 == done.cycles


@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_drain_is_exact(sizes: Sizes) -> None:
    # One cycle less for the drain, and the first maximum is read before it was written.
    lowered, done = run_with_log(one_column_of_tiles("fusemax-architecture", sizes, "max(rows - 2, 0)"))
    played = Player(sizes, starts_of(lowered, done), inputs(sizes)).play()
    early = [h for h in played.hazards if h.kind == "a word enters before it was written"]
    assert early and early[0].task.startswith("RM")


@pytest.mark.parametrize("depth", [64, 128])
def test_steady_state_of_published_sizes(depth: int) -> None:
    # One tile after another: {QK, LM} E + 1, drain, {RM} 1, {SLN, SLD} 8, {SLNV // SPNV, RNV} 2 F; interleaved: 2 E + 10.
    sizes = Sizes(64, 64, depth, 8)
    for mapping, interval in (("fusemax-architecture", 3 * depth + 10 + 63), ("fusemax-binding", 2 * depth + 10)):
        starts = starts_of(*run_with_log(one_column_of_tiles(mapping, sizes, "rows - 1")))
        assert starts["QK"][7][0] - starts["QK"][6][0] == interval


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
    expected = product_cycles(SystolicArray(rows, cols), Shape(hidden, hidden, tokens), "output", True)
    for nest in nests_of(experiment.mapping, experiment.tree, experiment.cascade):
        lowered = lower_nest(design, nest, design.whole)
        done = run(lowered.program, True, Window(0, 1 << 40, 1 << 12))
        ops = [row for row in done.log.tolist() if row[col.LOG_KIND] == col.OP_ROW]
        waits = sum(b[col.START] - a[col.END] for a, b in itertools.pairwise(ops))
        # Without the waits for operands that are not there yet: the time of the folds and of the array's skew.
        assert done.cycles - ops[0][col.START] - waits == expected
