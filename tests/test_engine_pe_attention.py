"""One-pass attention on the PE-level engine: a schedule that waits for every tile's drain, and one that interleaves tiles.

Both are programs of the same tasks: M0 on rows, P0 on columns, one tile of keys after another. The first runs one tile at a
time. In the second, the two products of two tiles take alternate cycles of the same PEs and links, and what the first waits
for (the maximum leaving the array) happens beside the products of other tiles (Nayak et al., MICRO 2024, section V).
"""

from dataclasses import dataclass

import numpy as np
import pytest

from einsums import interpret
from sim.load.nouns import load_cascade
from sim.systolic.program import NOTHING, WEST, ZERO, ArrayTask, ArrayTile, Issue, SystolicArray, WordPlace, Words
from sim.systolic.runner import ArrayRun, run_program
from sim.systolic.tasks import (
    also_to_register,
    broadcast_down,
    giving_up,
    into,
    issue_below,
    product_in_place,
    product_through,
    reduce_down,
    take_below,
    to_memory,
    to_register,
    using_up,
)

EXP = 7  # slots of a difference under an exponential


@dataclass(frozen=True)
class Sizes:
    rows: int  # M0
    cols: int  # P0
    depth: int  # E = F
    tiles: int  # M1


@dataclass(frozen=True)
class Clock:
    """When each task of a tile starts, in cycles of the tile's own column 0; 1D tasks when they run in lane 0."""

    interval: int
    stride: int  # cycles between steps of the first product
    LM: int
    SLN: int
    SLD: int
    SLNV: int
    PRM: int
    SPD: int
    SPNV: int
    AV: int
    scores: int  # registers that hold QK
    corrections: int  # registers that hold PRM


def waiting(sizes: Sizes) -> Clock:
    """One tile at a time: fill, drain of the maximum, exponentials, second product."""
    leaves = sizes.depth + sizes.rows  # the maximum is in the 1D array
    sums = leaves + EXP + 3
    return Clock(
        interval=sums + 2 * sizes.depth - 1,
        stride=1,
        LM=sizes.depth,
        SLN=leaves + 1,
        SLD=leaves + 1 + EXP,
        SLNV=sums,
        PRM=leaves + 1,
        SPD=leaves + 1 + EXP,
        SPNV=sums + sizes.rows - 1,
        AV=sums + sizes.rows + 2 * sizes.depth - 1,
        scores=1,
        corrections=1,
    )


def interleaved(sizes: Sizes, interval_less: int = 0, turnaround: int = 0) -> Clock:
    """One tile after every 2 E + 10 cycles, what the 1D array needs; `interval_less` asks for less.

    turnaround: cycles from a word's leaving to its entering again, beyond the next.
    """
    window = 2 * sizes.depth
    interval = window + EXP + 3 - interval_less
    later = -(-(sizes.rows + turnaround) // interval)  # epochs until a tile's maximum is back at the top
    middle, last = later * interval, (later + 1) * interval
    return Clock(
        interval=interval,
        stride=2,
        LM=window,
        SLN=middle + window + 1,
        SLD=middle + window + 2 + EXP,
        SLNV=last + 1,
        PRM=window + sizes.rows + 1,
        SPD=middle + window + sizes.rows + 1 + EXP,
        SPNV=last + sizes.rows,
        AV=last + sizes.rows + window + turnaround,
        scores=later + 1,
        corrections=later + 2,
    )


@dataclass(frozen=True)
class Places:
    """Where tensors lie: Q, K and V [step, lane]; running values by tile, the initial one first."""

    Q: WordPlace
    K: tuple[WordPlace, ...]
    V: tuple[WordPlace, ...]
    RM: tuple[WordPlace, ...]
    RNV: tuple[WordPlace, ...]
    minus_infinity: WordPlace
    AV: WordPlace


def lay_out(sizes: Sizes, tensors: dict[str, np.ndarray]) -> tuple[Words, Places]:
    words = Words()
    parts = range(0, sizes.rows * sizes.tiles, sizes.rows)
    return words, Places(
        words.hold(tensors["Q"]),
        tuple(words.hold(tensors["K"][:, first : first + sizes.rows]) for first in parts),
        tuple(words.hold(tensors["V"][:, first : first + sizes.rows]) for first in parts),
        tuple(words.reserve(1, sizes.cols) for _ in parts),
        (ZERO, *(words.reserve(sizes.depth, sizes.cols) for _ in parts)),
        words.hold(np.float64(-np.inf)),
        words.reserve(sizes.depth, sizes.cols),
    )


def tile_tasks(sizes: Sizes, clock: Clock, places: Places, n: int) -> list[ArrayTask]:
    """All tasks of key tile n but the last division."""
    start = n * clock.interval
    whole, row = ArrayTile(sizes.rows, sizes.cols, sizes.depth), ArrayTile(1, sizes.cols, sizes.depth)
    one, lane = ArrayTile(sizes.rows, sizes.cols), ArrayTile(1, sizes.cols)
    score, numerator = 1 + n % clock.scores, 0
    # Registers of the 1D array: two for RM in turn, RD, SPD, SPNV, then PRM.
    old, new, RD, SPD, SPNV = n % 2, 1 - n % 2, 2, 3, 4
    PRM = 5 + n % clock.corrections

    def at(name: str, cycle: int, stride: int = 1) -> Issue:
        return Issue(f"{name} {n}", start + cycle, stride)

    # RM goes to a register, for PRM, and to memory, for the columns' tops.
    RM = also_to_register(to_memory(take_below(f"RM {n}", lane, "max", old), places.RM[n]), new)
    add_old = take_below(f"RD {n}", lane, "add", SPD, RD)
    add_sums = using_up(to_memory(take_below(f"RNV {n}", row, "add", SPNV), places.RNV[n + 1]), "b")
    SLNV = product_through(whole, at("SLNV", clock.SLNV, 2), places.V[n], numerator)
    exponential = broadcast_down(one, at("SLN", clock.SLN), "subtract-exp", places.RM[n], (score, numerator))
    correct = issue_below(lane, at("PRM", clock.PRM), "subtract-exp", (old, new))
    correct_sum = issue_below(row, at("SPNV", clock.SPNV, 2), "multiply", (WEST, PRM), places.RNV[n])
    return [
        product_in_place(whole, at("QK", 0, clock.stride), places.K[n], places.Q, score),
        into(reduce_down(one, at("LM", clock.LM), "max", score, places.minus_infinity), RM),
        RM,
        giving_up(exponential, "a"),
        into(reduce_down(one, at("SLD", clock.SLD), "add", numerator), add_old),
        giving_up(to_register(correct, PRM), "a"),
        giving_up(to_register(issue_below(lane, at("SPD", clock.SPD), "multiply", (RD, PRM)), SPD), "a"),
        giving_up(add_old, "b"),
        giving_up(into(SLNV, add_sums), "b"),
        giving_up(to_register(correct_sum, SPNV), "b"),
        add_sums,
    ]


def run_attention(
    sizes: Sizes, clock: Clock, tensors: dict[str, np.ndarray], turnaround: int = 0
) -> tuple[ArrayRun, np.ndarray]:
    """A whole row of tiles, and the attention it gives."""
    words, places = lay_out(sizes, tensors)
    lane = ArrayTile(1, sizes.cols)
    first = to_register(issue_below(lane, Issue("RM init", 0), "move", (WEST, NOTHING), places.minus_infinity), 0)
    zero = to_register(issue_below(lane, Issue("RD init", 1), "move", (WEST, NOTHING)), 2)
    tasks = [first, zero]
    for n in range(sizes.tiles):
        tasks += tile_tasks(sizes, clock, places, n)
    start = (sizes.tiles - 1) * clock.interval + clock.AV
    whole = ArrayTile(1, sizes.cols, sizes.depth)
    divide = issue_below(whole, Issue("AV", start), "divide", (WEST, 2), places.RNV[-1])
    tasks.append(to_memory(divide, places.AV))
    array = SystolicArray(sizes.rows, sizes.cols, registers=8 + clock.corrections, turnaround_cycles=turnaround)
    run = run_program(array, tasks, words.memory())
    return run, run.read(places.AV, sizes.depth, sizes.cols)


def attention_inputs(sizes: Sizes) -> dict[str, np.ndarray]:
    random = np.random.default_rng(11)
    keys = sizes.rows * sizes.tiles
    return {
        "Q": random.normal(size=(sizes.depth, sizes.cols)),
        "K": random.normal(size=(sizes.depth, keys)),
        "V": random.normal(size=(sizes.depth, keys)),
    }


SMALL = [
    Sizes(rows=4, cols=4, depth=8, tiles=3),
    Sizes(rows=5, cols=3, depth=7, tiles=4),
    Sizes(rows=16, cols=16, depth=4, tiles=6),  # an array much deeper than the product: two epochs of drain
    Sizes(rows=40, cols=2, depth=5, tiles=5),
    Sizes(rows=1, cols=1, depth=1, tiles=2),
]


@pytest.mark.parametrize("schedule", [waiting, interleaved])
@pytest.mark.parametrize("sizes", SMALL, ids=str)
def test_values_are_the_interpreters_and_time_is_closed_form(sizes: Sizes, schedule) -> None:  # type: ignore[no-untyped-def]
    tensors, clock = attention_inputs(sizes), schedule(sizes)
    run, result = run_attention(sizes, clock, tensors)
    assert run.hazards == ()
    expected = interpret(load_cascade("attention-1pass"), tensors, {"M0": sizes.rows})["AV"]
    np.testing.assert_allclose(result, expected, rtol=1e-12, atol=1e-12)
    last = (sizes.tiles - 1) * clock.interval + clock.AV + sizes.depth - 1 + sizes.cols - 1
    assert (run.first_cycle, run.last_cycle) == (0, last)
    points = sizes.depth * sizes.tiles
    assert (run.count("macc")[:-1] == 2 * points).all()
    assert (run.count("subtract-exp") == sizes.tiles).all()  # SLN in every PE, PRM in every lane
    assert (run.count("max") == sizes.tiles).all() and (run.count("divide")[-1] == sizes.depth).all()
    assert (run.busy_cycles[:-1] == sizes.tiles * (2 * sizes.depth + EXP + 2)).all()
    assert (run.busy_cycles[-1] == sizes.tiles * (2 * sizes.depth + EXP + 3) + sizes.depth).all()
    assert (run.peak_registers[:-1] <= clock.scores + 1).all()


@pytest.mark.parametrize("sizes", SMALL[:4], ids=str)
def test_one_cycle_less_between_tiles_is_impossible(sizes: Sizes) -> None:
    assert run_attention(sizes, interleaved(sizes), attention_inputs(sizes))[0].hazards == ()
    run, _ = run_attention(sizes, interleaved(sizes, interval_less=1), attention_inputs(sizes))
    taken = [hazard for hazard in run.hazards if hazard.kind == "an operation starts while the PE's operator is taken"]
    assert taken and taken[0].row == sizes.rows  # the 1D array, whose operators are busy in every cycle


def test_published_sizes_show_the_stall_and_hide_it() -> None:
    # E = F = 64 on a square array of 64: what the drain costs, and the steady state of the interleaved schedule.
    sizes = Sizes(rows=64, cols=64, depth=64, tiles=4)
    tensors = attention_inputs(sizes)
    expected = interpret(load_cascade("attention-1pass"), tensors, {"M0": 64})["AV"]
    slow, slow_result = run_attention(sizes, waiting(sizes), tensors)
    fast, fast_result = run_attention(sizes, interleaved(sizes), tensors)
    for run, result in ((slow, slow_result), (fast, fast_result)):
        assert run.hazards == ()
        np.testing.assert_allclose(result, expected, rtol=1e-11, atol=1e-12)
    interval = tuple(run.span("QK 3").first_fired - run.span("QK 2").first_fired for run in (slow, fast))
    # Phases of the published model: {QK, LM} E + 1, drain 64, {RM} 1, {SLN, SLD} 8, {SLNV} 2 F with its 1D work = 266;
    # the drain's first cycle is the one in which the maximum's first row is made, so the array needs one less.
    assert interval == (265, 138)
    # The published steady state is the longest of 2 E + 9 on the 2D array and 2 E + 10 on the 1D array.
    assert interval[1] == max(2 * 64 + 9, 2 * 64 + 10)


def test_both_products_share_links_on_alternate_cycles() -> None:
    sizes = Sizes(rows=4, cols=4, depth=6, tiles=4)
    run, _ = run_attention(sizes, interleaved(sizes), attention_inputs(sizes))
    newer, older = run.span("QK 2"), run.span("SLNV 0")
    assert newer.first_fired + 1 == older.first_fired  # the same epoch, one cycle apart
    assert newer.last_done + 1 == older.last_done


def test_slow_way_back_to_the_top_costs_registers_and_no_time() -> None:
    # A new maximum goes through memory to the top of the columns. E = 6: an interval of 22 cycles hides 18 of them on 4 rows.
    sizes = Sizes(rows=4, cols=4, depth=6, tiles=6)
    tensors = attention_inputs(sizes)
    expected = interpret(load_cascade("attention-1pass"), tensors, {"M0": 4})["AV"]
    for turnaround, scores in ((0, 2), (18, 2), (19, 3), (20, 3)):
        clock = interleaved(sizes, turnaround=turnaround)
        assert (clock.interval, clock.scores) == (22, scores)
        run, result = run_attention(sizes, clock, tensors, turnaround)
        assert run.hazards == ()
        np.testing.assert_allclose(result, expected, rtol=1e-12, atol=1e-12)
    # One cycle more than planned for, and one more than the running numerator's own way through memory allows.
    for planned, turnaround, task in ((18, 19, "SLN"), (21, 21, "SPNV")):
        late, _ = run_attention(sizes, interleaved(sizes, turnaround=planned), tensors, turnaround)
        assert [hazard.kind for hazard in late.hazards] == ["a word enters before it was written"]
        assert late.hazards[0].task.startswith(task)
