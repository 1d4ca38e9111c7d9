"""Tasks beside products on the PE-level engine: trains, reductions, broadcasts, the 1D array, and every way to be impossible."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from sim.systolic.program import (
    NORTH,
    OPERATORS,
    WEST,
    ZERO,
    ArrayTask,
    ArrayTile,
    Issue,
    OperatorSlots,
    Stream,
    SystolicArray,
    WordPlace,
    Words,
)
from sim.systolic.runner import ArrayRun, run_program
from sim.systolic.tasks import (
    also_to_register,
    broadcast_down,
    drain,
    giving_up,
    into,
    issue_below,
    load,
    reduce_down,
    take_below,
    to_memory,
    to_register,
    using_up,
)


def values(rows: int, cols: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(rows, cols))


def kinds(run: ArrayRun) -> list[str]:
    return [hazard.kind for hazard in run.hazards]


@pytest.mark.parametrize(("operator", "start"), [("max", -np.inf), ("add", 0.0)])
@pytest.mark.parametrize(("rows", "cols"), [(1, 1), (2, 5), (5, 2), (4, 4)])
def test_reduction_down_a_column(rows: int, cols: int, operator: str, start: float) -> None:
    array = SystolicArray(rows, cols)
    for r, c in itertools.product(range(1, rows + 1), range(1, cols + 1)):
        words, tile, data = Words(), ArrayTile(r, c), values(r, c)
        out = words.reserve(1, c)
        reduction = reduce_down(tile, Issue("reduce", r), operator, 0, words.hold(np.float64(start)))
        tasks = [load(tile, Issue("load", 0), words.hold(data), 0), to_memory(reduction, out)]
        run = run_program(array, tasks, words.memory()).checked()
        total = np.full(c, start)
        for row in data:
            total = np.maximum(total, row) if operator == "max" else total + row
        np.testing.assert_array_equal(run.read(out, 1, c)[0], total)
        # The partial result enters after r cycles of loading and goes down every row, also below the tile.
        span = run.span("reduce")
        assert (span.first_fired, span.first_left, span.last_left) == (r, r + rows - 1, r + rows + c - 2)
        assert run.cycles == r + rows + c - 1
        assert (run.count(operator)[:r, :c] == 1).all() and run.count(operator).sum() == r * c


@pytest.mark.parametrize("exp_slots", [1, 6])
@pytest.mark.parametrize(("r", "c"), [(1, 1), (3, 2), (4, 5)])
def test_broadcast_takes_the_operator_for_its_slots(r: int, c: int, exp_slots: int) -> None:
    array = SystolicArray(4, 5, slots=OperatorSlots(exp=exp_slots))
    data, subtrahend, tile = values(r, c), values(1, c, seed=1), ArrayTile(r, c)
    taken = 1 + exp_slots

    def run(wait: int) -> tuple[ArrayRun, np.ndarray]:
        words = Words()
        out = words.reserve(1, c)
        exponential = broadcast_down(tile, Issue("exp", r), "subtract-exp", words.hold(subtrahend), (0, 1))
        total = to_memory(reduce_down(tile, Issue("sum", r + wait), "add", 1), out)
        tasks = [load(tile, Issue("load", 0), words.hold(data), 0), giving_up(exponential, "a"), total]
        done = run_program(array, tasks, words.memory())
        return done, done.read(out, 1, c)[0]

    done, sums = run(taken)
    assert done.hazards == ()
    np.testing.assert_allclose(sums, np.exp(data - subtrahend).sum(axis=0), rtol=1e-14)
    assert (done.busy_cycles[:r, :c] == taken + 1).all()
    assert done.span("exp").last_done == r + (r - 1) + (c - 1) + taken - 1
    early, _ = run(taken - 1)
    assert kinds(early)[-1] == "a register is read before its value is there"
    assert kinds(early)[0] == "an operation starts while the PE's operator is taken"


def test_load_and_drain_move_whole_tiles() -> None:
    array = SystolicArray(5, 4)
    for r, c in itertools.product(range(1, 6), range(1, 5)):
        words, data = Words(), values(r, c)
        out = words.reserve(r, c)
        tile = ArrayTile(r, c)
        tasks = [load(tile, Issue("load", 0), words.hold(data), 0), drain(tile, Issue("drain", r), 0, out)]
        run = run_program(array, tasks, words.memory()).checked()
        np.testing.assert_array_equal(run.read(out, r, c), data)
        assert run.cycles == r + (5 - 1) + r + c - 1  # one train of r words behind another, and the way out
        assert run.busy_cycles.sum() == 0 and run.utilization == (0.0, 0.0)
        assert run.span("drain").first_left == r + 5 - 1


@pytest.mark.parametrize("operator", OPERATORS[1:])
def test_operators_mean_what_numpy_means(operator: str) -> None:
    words, array = Words(), SystolicArray(1, 3, registers=2)
    a, b = np.array([[0.5, -2.0, 3.0]]), np.array([[1.5, -0.25, -4.0]])
    tile = ArrayTile(1, 3)
    result = to_register(issue_below(tile, Issue("f", 1), operator, (0, WEST), words.hold(b)), 1)
    result = replace(result, c=0) if operator == "macc" else result
    out = words.reserve(1, 3)
    tasks = [
        to_register(issue_below(tile, Issue("a", 0), "move", (WEST, WEST), words.hold(a)), 0),
        result,
        to_memory(issue_below(tile, Issue("out", 20), "move", (1, 1)), out),
    ]
    run = run_program(array, tasks, words.memory()).checked()
    meaning = {
        "macc": a + a * b,
        "multiply": a * b,
        "add": a + b,
        "subtract": a - b,
        "max": np.maximum(a, b),
        "divide": a / b,
        "exp": np.exp(a),
        "subtract-exp": np.exp(a - b),
    }[operator]
    np.testing.assert_allclose(run.read(out, 1, 3), meaning, rtol=1e-15)
    assert run.count(operator)[-1].tolist() == [1, 1, 1]
    slots = {"exp": 6, "subtract-exp": 7}.get(operator, 1)
    assert run.busy_cycles[-1].tolist() == [slots] * 3


def below(start: int, turnaround: int = 0) -> ArrayRun:
    """Column maxima go down into the 1D array, which adds one and writes them out; they enter again at the top at `start`."""
    words = Words()
    data, out = values(3, 2), words.reserve(1, 2)
    tile, lane = ArrayTile(3, 2), ArrayTile(1, 2)
    one = to_register(issue_below(lane, Issue("one", 0), "move", (WEST, WEST), words.hold(np.float64(1.0))), 0)
    plus = to_memory(take_below("plus", lane, "add", 0), out)
    tasks = [
        load(tile, Issue("load", 0), words.hold(data), 0),
        one,
        into(reduce_down(tile, Issue("maximum", 3), "max", 0, words.hold(np.float64(-np.inf))), plus),
        giving_up(plus, "b"),
        giving_up(broadcast_down(tile, Issue("difference", start), "subtract", out, (0, 1)), "a"),
        drain(tile, Issue("drain", start + 1), 1, words.reserve(3, 2)),
    ]
    run = run_program(SystolicArray(3, 2, turnaround_cycles=turnaround), tasks, words.memory())
    difference = run.memory[-6:].reshape(3, 2)
    if not run.hazards:
        np.testing.assert_array_equal(difference, data - (data.max(axis=0) + 1.0))
    return run


@pytest.mark.parametrize("turnaround", [0, 5])
def test_word_may_enter_when_it_has_left_and_not_before(turnaround: int) -> None:
    # Enters at 3, three rows, one cycle in the 1D array: it has left at the end of cycle 6.
    assert below(7 + turnaround, turnaround).hazards == ()
    early = below(6 + turnaround, turnaround)
    assert kinds(early) == ["a word enters before it was written"]
    assert str(early.hazards[0]) == (
        f"a word enters before it was written: 2 times, first in cycle {6 + turnaround} at row 0, column 0 (difference)"
    )


def test_token_meets_its_partner_in_the_1d_array() -> None:
    # Partial sums leaving the columns are added to what enters the 1D array at their side in the same cycle.
    words, data, old = Words(), values(3, 4), values(1, 4, seed=2)
    out, tile = words.reserve(1, 4), ArrayTile(3, 4)
    reached = 3 + 3  # entered at 3, three rows
    add = ArrayTask(
        Issue("add", reached), ArrayTile(1, 4), "add", NORTH, WEST, south="result", streams=(Stream("below", words.hold(old)),), out=out
    )  # fmt: skip
    tasks = [
        load(tile, Issue("load", 0), words.hold(data), 0),
        into(reduce_down(tile, Issue("sum", 3), "add", 0), add),
        add,
    ]
    memory = words.memory()
    run = run_program(SystolicArray(3, 4), tasks, memory).checked()
    np.testing.assert_allclose(run.read(out, 1, 4), data.sum(axis=0) + old, rtol=1e-14)
    late = [*tasks[:2], replace(add, issue=Issue("add", reached + 1))]
    assert kinds(run_program(SystolicArray(3, 4), late, memory)) == ["an operand arrives without its partner"]


def test_two_results_cannot_leave_a_lane_at_once() -> None:
    words = Words()
    lane = ArrayTile(1, 1)
    tasks = [
        to_memory(issue_below(lane, Issue("one", 0), "move", (WEST, WEST)), words.reserve(1, 1)),
        to_memory(issue_below(lane, Issue("two", 0), "move", (WEST, WEST)), words.reserve(1, 1)),
    ]
    run = run_program(SystolicArray(1, 1), tasks, words.memory())
    assert kinds(run) == ["two values want one link"]


def test_arrays_have_ways_out_of_their_own() -> None:
    # A sum leaves the 2D array past the 1D array in the very cycle in which a lane's own result leaves.
    words = Words()
    whole, lane = words.reserve(1, 1), words.reserve(1, 1)
    five, six = words.hold(np.array([[5.0]])), words.hold(np.array([[6.0]]))
    tasks = [
        to_memory(issue_below(ArrayTile(1, 1), Issue("lane", 2), "move", (WEST, WEST), six), lane),
        load(ArrayTile(1, 1), Issue("load", 0), five, 0),
        to_memory(reduce_down(ArrayTile(1, 1), Issue("sum", 1), "add", 0), whole),
    ]
    run = run_program(SystolicArray(2, 1), tasks, words.memory()).checked()
    assert run.span("lane").first_left == run.span("sum").first_left == 2
    assert (run.read(whole, 1, 1), run.read(lane, 1, 1)) == (5.0, 6.0)


def test_order_of_tasks_means_nothing() -> None:
    words, data = Words(), values(2, 3)
    out, tile = words.reserve(1, 3), ArrayTile(2, 3)
    take = to_memory(take_below("take", ArrayTile(1, 3), "move"), out)
    tasks = [
        load(tile, Issue("load", 0), words.hold(data), 0),
        into(reduce_down(tile, Issue("sum", 2), "add", 0), take),
        take,
    ]
    runs = [
        run_program(SystolicArray(2, 3), order, words.memory()).checked() for order in itertools.permutations(tasks)
    ]
    for run in runs:
        np.testing.assert_array_equal(run.memory, runs[0].memory)
        assert set(run.spans) == set(runs[0].spans) and run.cycles == 2 + 2 + 1 + 3 - 1
        np.testing.assert_array_equal(run.read(out, 1, 3)[0], data.sum(axis=0))


def test_register_use_counts_live_values() -> None:
    words, data = Words(), values(2, 2)
    tile = ArrayTile(2, 2)
    place = words.hold(data)
    tasks = [load(tile, Issue(f"load {n}", 2 * n), place, n) for n in range(3)]
    tasks += [drain(tile, Issue(f"drain {n}", 6 + 2 * n), n, words.reserve(2, 2)) for n in range(3)]
    tasks += [load(tile, Issue("again", 12), place, 0)]
    run = run_program(SystolicArray(2, 2, registers=3), tasks, words.memory()).checked()
    assert run.peak_registers.tolist() == [[3, 3], [3, 3], [0, 0]]
    lost = run_program(SystolicArray(2, 2, registers=3), [*tasks[:1], tasks[-1]], words.memory())
    assert kinds(lost) == ["a register is overwritten while its value is needed"]
    assert lost.hazards[0].count == 4
    empty = run_program(SystolicArray(2, 2), tasks[3:4], words.memory())
    assert kinds(empty) == ["a register is read before its value is there"]


def test_nothing_runs_in_an_empty_program() -> None:
    run = run_program(SystolicArray(2, 2), [], np.zeros(1))
    assert (run.first_cycle, run.last_cycle, run.cycles, run.hazards) == (0, -1, 0, ())


def test_long_silence_is_skipped() -> None:
    words, far = Words(), 10**12
    out = words.reserve(1, 1)
    tasks = [
        to_memory(issue_below(ArrayTile(1, 1), Issue("first", 5), "move", (WEST, WEST)), words.reserve(1, 1)),
        to_memory(issue_below(ArrayTile(1, 1), Issue("later", far), "move", (WEST, WEST)), out),
    ]
    run = run_program(SystolicArray(2, 1), tasks, words.memory()).checked()
    assert (run.first_cycle, run.last_cycle) == (5, far)


def test_modifiers_change_one_thing() -> None:
    task = take_below("t", ArrayTile(1, 1), "add", 0)
    assert (task.south, to_register(task, 1).to, to_register(task, 1).south) == ("result", 1, "nothing")
    assert (also_to_register(task, 1).to, also_to_register(task, 1).south) == (1, "result")
    assert (giving_up(task, "b").frees, using_up(task, "b").uses_up) == ("b", "b")
    assert to_memory(task, ZERO).out == ZERO and into(task, take_below("u", ArrayTile(1, 1), "add")).then == "u"


GOOD = take_below("good", ArrayTile(1, 2), "add", 0)
REFUSED = [
    (replace(GOOD, operator="mac"), "operator: no 'mac' (did you mean 'macc'?)"),
    (replace(GOOD, south="results"), "south: no 'results' (did you mean 'result'?)"),
    (replace(GOOD, at="steps"), "at: no 'steps' (did you mean 'step'?)"),
    (replace(GOOD, then="god"), "then: no 'god' (did you mean 'good'?)"),
    (replace(GOOD, b=2), "registers: expected numbers below 2, got 2"),
    (replace(GOOD, b=WEST), "operands: expected a stream at the left or below for WEST, got none"),
    (
        replace(GOOD, b=WEST, streams=(Stream("left", ZERO),)),
        "operands: expected a stream at the top for NORTH, got none",
    ),
    (replace(GOOD, frees="bd"), "registers given up: expected operands of 'abc', got 'bd'"),
    (replace(GOOD, out=WordPlace(3, 1, 1)), "words: expected 0 to 3, got 3 to 4"),
    (
        replace(GOOD, operator="exp"),
        "a result that is sent on: expected an operator of one slot, its register may be drained instead",
    ),
    (
        replace(GOOD, issue=Issue("good", 0, 0)),
        "issue: expected start >= 0, stride >= 1 and a link below 1, got (0, 0, 0)",
    ),
]


@pytest.mark.parametrize(("task", "message"), REFUSED, ids=[message.partition(":")[0] for _, message in REFUSED])
def test_refused_tasks(task: ArrayTask, message: str) -> None:
    with pytest.raises(ValueError) as refusal:
        run_program(SystolicArray(2, 2), [task], np.zeros(4))
    assert str(refusal.value) == f"task 'good' (1x2, 1 steps): {message}"


def test_other_refusals() -> None:
    with pytest.raises(ValueError, match=r"^names of tasks: expected each once, got good, good$"):
        run_program(SystolicArray(2, 2), [GOOD, GOOD], np.zeros(4))
    with pytest.raises(ValueError, match=r"^slots of exp: expected at least 1 cycle, got 0$"):
        SystolicArray(1, 1, slots=OperatorSlots(exp=0))
    run = run_program(SystolicArray(2, 2), [GOOD], np.zeros(4))
    with pytest.raises(ValueError, match=r"^no task 'goo' \(did you mean 'good'\?\)$"):
        run.span("goo")
    with pytest.raises(ValueError, match=r"^no operator 'mac' \(did you mean 'macc'\?\)$"):
        run.count("mac")
    assert (run.cycles, run.utilization) == (0, (0.0, 0.0))
