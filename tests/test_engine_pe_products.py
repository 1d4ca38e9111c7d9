"""Matrix products on the PE-level engine: cycles against closed forms, values against sums in the same order.

The closed forms are written out here once more, from the published model of an established systolic-array simulator (Samajdar et
al., ISPASS 2020: 2R + C + T - 2 a fold) and from the order in which trains and streams take a column's link.
"""

import itertools
import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sim.systolic.product import DATAFLOWS, Dataflow, ProductShape, multiply, plan_folds, product_cycles
from sim.systolic.program import ArrayTask, ArrayTile, Issue, OperatorSlots, SystolicArray, WordPlace, Words
from sim.systolic.runner import ArrayRun, run_program
from sim.systolic.tasks import broadcast_down, drain, giving_up, load, product_in_place, product_through, to_memory

ROOT = Path(__file__).resolve().parents[1]


def operands(shape: ProductShape, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    return random.normal(size=(shape.M, shape.K)), random.normal(size=(shape.K, shape.N))


def in_order(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """The product, every sum from the first term to the last, each product rounded before it is added."""
    total = np.zeros((left.shape[0], right.shape[1]))
    for k in range(left.shape[1]):
        total = total + left[:, k, None] * right[k]
    return total


def spatial(shape: ProductShape, dataflow: str) -> tuple[int, int, int]:
    """Extents on rows and on columns, and steps."""
    return {
        "output": (shape.M, shape.N, shape.K),
        "weight": (shape.K, shape.N, shape.M),
        "input": (shape.K, shape.M, shape.N),
    }[dataflow]


SMALL_ARRAYS = [(1, 1), (1, 4), (4, 1), (2, 3), (3, 2), (5, 4)]


@pytest.mark.parametrize("dataflow", DATAFLOWS)
@pytest.mark.parametrize(("rows", "cols"), SMALL_ARRAYS)
def test_one_fold_every_tile(rows: int, cols: int, dataflow: Dataflow) -> None:
    array = SystolicArray(rows, cols)
    for r, c, steps in itertools.product(range(1, rows + 1), range(1, cols + 1), (1, 2, 3, 7)):
        shape = {
            "output": ProductShape(r, steps, c),
            "weight": ProductShape(steps, r, c),
            "input": ProductShape(c, r, steps),
        }[dataflow]
        left, right = operands(shape)
        product = multiply(array, left, right, dataflow)
        assert (product.run.first_cycle, product.run.cycles) == (0, r + rows + c + steps - 2), (r, c, steps)
        np.testing.assert_array_equal(product.values, in_order(left, right))
        macc = product.run.count("macc")
        assert (macc[:r, :c] == steps).all()
        assert macc.sum() == r * c * steps
        assert (product.run.peak_registers[:r, :c] == 1).all()
        assert product.run.peak_registers.sum() == r * c


@pytest.mark.parametrize("dataflow", DATAFLOWS)
@pytest.mark.parametrize("sizes", [(6, 5, 7), (4, 9, 3), (1, 1, 1), (8, 8, 8)], ids=str)
def test_padded_folds_take_the_published_time(sizes: tuple[int, int, int], dataflow: Dataflow) -> None:
    # The published model charges every fold the whole array, so a ragged product is padded with zeros.
    array, shape = SystolicArray(4, 3), ProductShape(*sizes)
    on_rows, on_cols, steps = spatial(shape, dataflow)
    folds = math.ceil(on_rows / 4) * math.ceil(on_cols / 3)
    padded_rows, padded_cols = math.ceil(on_rows / 4) * 4, math.ceil(on_cols / 3) * 3
    padded = {
        "output": ProductShape(padded_rows, steps, padded_cols),
        "weight": ProductShape(steps, padded_rows, padded_cols),
        "input": ProductShape(padded_cols, padded_rows, steps),
    }[dataflow]
    left, right = operands(shape)
    wide_left, wide_right = np.zeros((padded.M, padded.K)), np.zeros((padded.K, padded.N))
    wide_left[: shape.M, : shape.K], wide_right[: shape.K, : shape.N] = left, right
    product = multiply(array, wide_left, wide_right, dataflow)
    assert product.run.cycles == folds * (2 * 4 + 3 + steps - 2)
    assert multiply(array, left, right, dataflow).run.cycles <= product.run.cycles
    np.testing.assert_allclose(product.values[: shape.M, : shape.N], left @ right, rtol=0, atol=1e-12)


RAGGED = [ProductShape(*sizes) for sizes in itertools.product((1, 3, 8), (2, 5, 7), (1, 4, 9))]


@pytest.mark.parametrize("overlap", [False, True], ids=["alone", "overlapped"])
@pytest.mark.parametrize("links", [1, 2], ids=["one-link", "two-links"])
@pytest.mark.parametrize("dataflow", DATAFLOWS)
def test_many_folds_of_any_size(dataflow: Dataflow, links: int, overlap: bool) -> None:
    for (rows, cols), shape in itertools.product(((2, 3), (3, 2)), RAGGED):
        array = SystolicArray(rows, cols, links=links)
        left, right = operands(shape)
        product = multiply(array, left, right, dataflow, overlap)  # refuses a run with hazards
        assert product.run.cycles == product_cycles(array, shape, dataflow, overlap), (rows, cols, shape)
        np.testing.assert_allclose(product.values, left @ right, rtol=0, atol=1e-12)
        assert product.run.count("macc").sum() == shape.M * shape.K * shape.N
        points = shape.M * shape.K * shape.N
        assert product.run.utilization[0] == pytest.approx(points / (rows * cols * product.run.cycles), rel=1e-12)


@pytest.mark.parametrize("steps", [1, 3, 4, 11])
@pytest.mark.parametrize("folds", [1, 2, 5])
@pytest.mark.parametrize("dataflow", DATAFLOWS)
def test_full_folds_start_as_often_as_links_allow(dataflow: Dataflow, folds: int, steps: int) -> None:
    rows, cols = 4, 3
    wide = folds * cols
    shape = {
        "output": ProductShape(rows, steps, wide),
        "weight": ProductShape(steps, rows, wide),
        "input": ProductShape(wide, rows, steps),
    }[dataflow]
    fold = 2 * rows + cols + steps - 2
    one, two = SystolicArray(rows, cols), SystolicArray(rows, cols, links=2)
    left, right = operands(shape)
    for array, overlap, interval in ((one, False, fold), (one, True, steps + rows), (two, True, max(steps, rows))):
        assert multiply(array, left, right, dataflow, overlap).run.cycles == (folds - 1) * interval + fold


def test_second_link_without_second_register_is_no_help() -> None:
    shape = ProductShape(4, 6, 9)
    narrow = SystolicArray(4, 3, registers=1, links=2)
    assert product_cycles(narrow, shape, "output", True) == product_cycles(SystolicArray(4, 3), shape, "output", True)
    left, right = operands(shape)
    np.testing.assert_allclose(multiply(narrow, left, right, "output", True).values, left @ right, rtol=0, atol=1e-12)


# ------------------------------------------------------------- possible at cycle t, impossible at t - 1


def in_place(second: int, drained: int, links: int = 1) -> ArrayRun:
    """Two output-stationary folds of 3x2, 4 steps: start of the second fold, and of the first one's drain."""
    words = Words()
    left, top = words.hold(np.ones((4, 3))), words.hold(np.ones((4, 2)))
    register, link = links - 1, links - 1
    tasks = [
        product_in_place(ArrayTile(3, 2, 4), Issue("first", 0), left, top, 0),
        drain(ArrayTile(3, 2), Issue("drain", drained, 1, link), 0, words.reserve(3, 2)),
        product_in_place(ArrayTile(3, 2, 4), Issue("second", second), left, top, register),
    ]
    return run_program(SystolicArray(3, 2, links=links), tasks, words.memory())


def through(loaded: int, second: int) -> ArrayRun:
    """A weight-stationary fold of 3x2, 4 steps, loaded at cycle 1; start of its sums 4, of the next load and sums as said."""
    words = Words()
    left, weights, out = words.hold(np.ones((4, 3))), words.hold(np.ones((3, 2))), words.reserve(4, 2)
    first = giving_up(product_through(ArrayTile(3, 2, 4), Issue("first", 4), left, 0), "b")
    tasks = [
        load(ArrayTile(3, 2), Issue("load", 1), weights, 0),
        to_memory(first, out),
        load(ArrayTile(3, 2), Issue("next load", loaded), weights, 0),
        to_memory(product_through(ArrayTile(3, 2, 4), Issue("second", second), left, 0), words.reserve(4, 2)),
    ]
    return run_program(SystolicArray(3, 2), tasks, words.memory())


def kinds(run: ArrayRun) -> list[str]:
    return [hazard.kind for hazard in run.hazards]


def test_drain_one_cycle_early_reads_an_unfinished_sum() -> None:
    assert kinds(in_place(7, 4)) == []
    early = in_place(7, 3)
    assert "two values want one link" in kinds(early)
    assert kinds(in_place(6, 3, links=2))[0] == "a register is read before its value is there"


def test_next_fold_one_cycle_early_wants_a_taken_link() -> None:
    early = in_place(6, 4)
    assert str(early.hazards[0]) == "two values want one link: 2 times, first in cycle 6 at row 0, column 0 (second)"
    with pytest.raises(ValueError, match="two values want one link: 2 times"):
        early.checked()


def test_second_link_needs_second_accumulator() -> None:
    assert kinds(in_place(4, 4, links=2)) == []
    words = Words()
    left, top = words.hold(np.ones((4, 3))), words.hold(np.ones((4, 2)))
    tasks = [
        product_in_place(ArrayTile(3, 2, 4), Issue("first", 0), left, top, 0),
        drain(ArrayTile(3, 2), Issue("drain", 4, 1, 1), 0, words.reserve(3, 2)),
        product_in_place(ArrayTile(3, 2, 4), Issue("second", 4), left, top, 0),
    ]
    run = run_program(SystolicArray(3, 2, links=2), tasks, words.memory())
    assert "a register is overwritten while its value is needed" in kinds(run)


def test_load_and_sums_one_cycle_early() -> None:
    assert kinds(through(8, 11)) == []
    assert "two values want one link" in kinds(through(7, 11))
    assert "two values want one link" in kinds(through(8, 10))


def test_operands_that_enter_without_skew_do_not_meet() -> None:
    words = Words()
    task = product_in_place(
        ArrayTile(3, 2, 4), Issue("product", 0), words.hold(np.ones((4, 3))), words.hold(np.ones((4, 2))), 0
    )
    left, top = task.streams
    straight = ArrayTask(
        **{name: getattr(task, name) for name in ArrayTask.__slots__}
        | {"streams": (type(left)("left", left.words, 0), top)}
    )
    assert "an operand arrives without its partner" in kinds(
        run_program(SystolicArray(3, 2), [straight], words.memory())
    )


# ------------------------------------------------------------------------------------- one answer, three ways


def test_each_operand_without_its_partner_counts() -> None:
    # Row 1 gets its operands from the left one cycle too early: one alone, two that do not belong together, one alone.
    words = Words()
    ones = words.hold(np.ones((2, 2)))
    task = product_in_place(ArrayTile(2, 1, 2), Issue("product", 0), ones, ones, 0)
    straight = replace(task, streams=(replace(task.streams[0], skew=0), task.streams[1]))
    run = run_program(SystolicArray(2, 1), [straight], words.memory())
    assert (run.hazards[0].kind, run.hazards[0].count) == ("an operand arrives without its partner", 4)


def test_slow_operators_need_a_wider_stride() -> None:
    words, tile = Words(), ArrayTile(4, 3, 6)
    left, top = words.hold(np.ones((6, 4))), words.hold(np.ones((6, 3)))
    array = SystolicArray(4, 3, slots=OperatorSlots(macc=2))
    run, dense = (
        run_program(array, [product_in_place(tile, Issue("product", 0, stride), left, top, 0)], words.memory())
        for stride in (2, 1)
    )
    assert run.hazards == ()
    assert [(hazard.kind, hazard.count) for hazard in dense.hazards] == [
        ("an operation starts while the PE's operator is taken", 12 * 5),
        ("a register is read before its value is there", 12 * 5),
    ]


def test_product_meets_an_exponential_in_progress() -> None:
    # On alternate cycles the link is free for a broadcast, but its operation of seven cycles is in the product's way.
    words, tile = Words(), ArrayTile(3, 2, 12)
    ones = words.hold(np.ones((12, 3)))
    product = to_memory(product_through(tile, Issue("product", 4, 2), ones, 0), words.reserve(12, 2))
    exponential = broadcast_down(ArrayTile(3, 2), Issue("exp", 11), "subtract-exp", words.hold(np.ones((1, 2))), (0, 1))
    tasks = [load(tile, Issue("load", 0), ones, 0), product, exponential]
    one, two = (run_program(SystolicArray(3, 2, links=links), tasks, words.memory()) for links in (1, 2))
    assert one.hazards == two.hazards
    assert [(hazard.kind, hazard.cycle) for hazard in one.hazards] == [
        ("an operation starts while the PE's operator is taken", 12)
    ]


def test_common_and_careful_ways_agree() -> None:
    # Columns with a second link that nothing uses are never taken through the loop over common cases.
    shape = ProductShape(9, 7, 8)
    left, right = operands(shape)
    for dataflow in DATAFLOWS:
        one = multiply(SystolicArray(5, 4, registers=1), left, right, dataflow, True)
        two = multiply(SystolicArray(5, 4, registers=1, links=2), left, right, dataflow, True)
        np.testing.assert_array_equal(one.values, two.values)
        np.testing.assert_array_equal(one.run.counts, two.run.counts)
        np.testing.assert_array_equal(one.run.peak_registers, two.run.peak_registers)
        assert (one.run.spans, one.run.hazards, one.run.cycles) == (two.run.spans, two.run.hazards, two.run.cycles)


@pytest.mark.parametrize(
    "change",
    [
        {"south": "result"},
        {"south": "nothing"},
        {"uses_up": "c"},
        {"east": False},
        {"at": "step"},
        {"frees": "c"},
        {"to": 1},
    ],
    ids=str,
)
@pytest.mark.parametrize("through", [False, True])
def test_unusual_products_are_no_common_case(through: bool, change: dict[str, object]) -> None:
    # Whatever the task asks for, a second link that nothing uses, hence the careful way, changes nothing.
    words, tile = Words(), ArrayTile(4, 3, 6)
    left, top = words.hold(operands(ProductShape(6, 4, 3))[0]), words.hold(operands(ProductShape(1, 6, 3))[1])
    start = Issue("product", 4)
    task = product_through(tile, start, left, 0, top) if through else product_in_place(tile, start, left, top, 0)
    odd = replace(task, **change, out=words.reserve(6, 3))  # type: ignore[arg-type]
    tasks = [load(tile, Issue("load", 0), top, 0), odd, drain(tile, Issue("drain", 12), 0, words.reserve(4, 3))]
    one, two = (run_program(SystolicArray(5, 4, links=links), tasks, words.memory()) for links in (1, 2))
    np.testing.assert_array_equal(one.memory, two.memory)
    np.testing.assert_array_equal(one.counts, two.counts)
    np.testing.assert_array_equal(one.peak_registers, two.peak_registers)
    assert (one.spans, one.hazards) == (two.spans, two.hazards)


def plain_output_stationary(left: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, int]:
    """A second simulator, of one thing only: two copies of every link, all PEs at once, shift registers as drain."""
    (rows, steps), cols = left.shape, right.shape[1]
    west, north = np.full((rows, cols + 1), np.nan), np.full((rows + 1, cols), np.nan)
    sums, done = np.zeros((rows, cols)), np.zeros((rows, cols), int)
    out, cycle = np.full((rows, cols), np.nan), 0
    while (done < steps).any():
        for i in range(rows):
            west[i, 0] = left[i, cycle - i] if 0 <= cycle - i < steps else np.nan
        for j in range(cols):
            north[0, j] = right[cycle - j, j] if 0 <= cycle - j < steps else np.nan
        meets = ~np.isnan(west[:, :-1] * north[:-1])
        sums[meets] += (west[:, :-1] * north[:-1])[meets]
        done += meets
        west[:, 1:], north[1:] = west[:, :-1].copy(), north[:-1].copy()
        cycle += 1
    for j in range(cols):  # column j is whole at rows + j + steps - 2; the shift down starts in the next cycle
        column = sums[:, j].copy()
        for shift in range(rows):
            out[rows - 1 - shift, j] = column[-1]
            column[1:] = column[:-1].copy()
            cycle = max(cycle, rows - 1 + j + steps + shift + 1)
    return out, cycle


@pytest.mark.parametrize(
    "shape", [ProductShape(1, 1, 1), ProductShape(3, 4, 2), ProductShape(6, 2, 5), ProductShape(2, 9, 7)], ids=str
)
def test_second_simulator_agrees(shape: ProductShape) -> None:
    left, right = operands(shape, seed=3)
    values, cycles = plain_output_stationary(left, right)
    product = multiply(SystolicArray(shape.M, shape.N), left, right, "output")
    assert product.run.cycles == cycles
    np.testing.assert_array_equal(product.values, values)


PROGRAM = """
import numpy as np
from sim.systolic.runner import SystolicArray
from sim.systolic.product import multiply
random = np.random.default_rng(5)
left, right = random.normal(size=(5, 4)), random.normal(size=(4, 7))
for dataflow in ("output", "weight", "input"):
    product = multiply(SystolicArray(3, 3), left, right, dataflow, True)
    print(product.run.cycles, product.values.tobytes().hex(), product.run.counts.tobytes().hex(), product.run.spans)
"""


def test_same_without_compiling() -> None:
    answers = [
        subprocess.run(
            [sys.executable, "-c", PROGRAM], env={**os.environ, "PYTHONPATH": str(ROOT), "NUMBA_DISABLE_JIT": value},
            cwd=ROOT, capture_output=True, text=True, check=True,
        ).stdout
        for value in ("0", "1")
    ]  # fmt: skip
    assert answers[0] == answers[1]
    assert len(answers[0].splitlines()) == 3


# -------------------------------------------------------------------------------------------- refusals


def test_memory_is_left_as_it_was() -> None:
    words = Words()
    place = words.hold(np.ones((2, 2)))
    out = words.reserve(2, 2)
    memory = words.memory()
    before = memory.copy()
    tasks = [load(ArrayTile(2, 2), Issue("load", 0), place, 0), drain(ArrayTile(2, 2), Issue("drain", 2), 0, out)]
    run = run_program(SystolicArray(2, 2), tasks, memory).checked()
    np.testing.assert_array_equal(memory, before)
    np.testing.assert_array_equal(run.read(out, 2, 2), np.ones((2, 2)))


def test_refusals() -> None:
    array = SystolicArray(2, 2)
    with pytest.raises(ValueError, match=r"^no dataflow 'wieght' \(did you mean 'weight'\?\)$"):
        plan_folds(array, ProductShape(1, 1, 1), "wieght")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"^a product: expected sizes of at least 1, got \(1, 0, 1\)$"):
        plan_folds(array, ProductShape(1, 0, 1), "weight")
    with pytest.raises(
        ValueError, match=r"^a product: expected left\[m, k\] and right\[k, n\], got \(2, 3\) and \(2, 3\)$"
    ):
        multiply(array, np.ones((2, 3)), np.ones((2, 3)), "weight")
    with pytest.raises(ValueError, match=r"^rows of an array: expected at least 1, got 0$"):
        SystolicArray(0, 2)
    wide = load(ArrayTile(3, 2), Issue("wide", 0), WordPlace(0, 0, 0), 0)
    with pytest.raises(
        ValueError,
        match=r"^task 'wide' \(3x2, 3 steps\): tile: expected 1 to 2 rows, 1 to 2 columns and at least one step$",
    ):
        run_program(array, [wide], np.zeros(1))
