"""The link along the 1D array: operands that every lane needs, and reductions over all lanes."""

from dataclasses import replace

import numpy as np
import pytest

from sim.systolic.program import (
    NOTHING,
    WEST,
    ArrayTask,
    ArrayTile,
    Issue,
    OperatorSlots,
    Stream,
    SystolicArray,
    WordPlace,
    Words,
)
from sim.systolic.runner import run_program
from sim.systolic.tasks import (
    issue_below,
    reduce_along,
    reduce_words_along,
    to_memory,
    to_register,
    with_broadcast,
)


def values(*shape: int) -> np.ndarray:
    return np.random.default_rng(3).normal(size=shape)


@pytest.mark.parametrize("lanes", [1, 2, 5])
@pytest.mark.parametrize("steps", [1, 3])
def test_an_operand_of_all_lanes_passes_along(lanes: int, steps: int) -> None:
    array, words, tile = SystolicArray(3, 6, slots=OperatorSlots(subtract_exp=1)), Words(), ArrayTile(1, lanes, steps)
    data, shared = values(steps, lanes), values(steps, 1)
    out = words.reserve(steps, lanes)
    task = issue_below(tile, Issue("exp", 2), "subtract-exp", (WEST, NOTHING), words.hold(data))
    run = run_program(array, [to_memory(with_broadcast(task, words.hold(shared)), out)], words.memory()).checked()
    np.testing.assert_allclose(run.read(out, steps, lanes), np.exp(data - shared), rtol=1e-15)
    assert run.span("exp").last_left == 2 + steps - 1 + lanes - 1


@pytest.mark.parametrize("lanes", [1, 2, 6])
def test_words_are_reduced_along(lanes: int) -> None:
    array, words, tile = SystolicArray(2, 6), Words(), ArrayTile(1, lanes, 4)
    data, start = values(4, lanes), values(4, 1)
    out = words.reserve(4, 1)
    task = reduce_words_along(tile, Issue("sum", 0), "add", words.hold(data), words.hold(start))
    run = run_program(array, [to_memory(task, out)], words.memory()).checked()
    np.testing.assert_allclose(run.read(out, 4, 1)[:, 0], start[:, 0] + data.sum(axis=1), rtol=1e-14)
    # The first leaves the last lane `lanes - 1` cycles after it met the first one.
    assert run.span("sum")[3:] == (lanes - 1, lanes - 1 + 3)


def folded(
    lanes: int, folds: int, chain: int, again: int
) -> tuple[list[ArrayTask], WordPlace, WordPlace, Words, np.ndarray]:
    """Two rows of `folds` words a lane: each is folded in a register, which a chain then reduces."""
    words, data = Words(), values(2, folds, lanes)
    out = [words.reserve(1, 1) for _ in range(2)]
    tasks = []
    for n, start in enumerate((0, again)):
        first = issue_below(
            ArrayTile(1, lanes), Issue(f"first {n}", start), "move", (WEST, NOTHING), words.hold(data[n, :1])
        )
        rest = issue_below(
            ArrayTile(1, lanes, folds - 1), Issue(f"rest {n}", start + 1), "max", (WEST, n), words.hold(data[n, 1:])
        )
        along = reduce_along(
            ArrayTile(1, lanes), Issue(f"chain {n}", start + chain), "max", n, words.hold(np.float64(-np.inf))
        )
        tasks += [to_register(first, n), to_register(rest, n), to_memory(along, out[n])]
    return tasks, *out, words, data


def test_a_chain_shares_the_slot_in_which_the_next_fold_begins() -> None:
    # The first word of a fold is only moved to its register, so the operator has a free cycle for the chain before.
    tasks, first, second, words, data = folded(lanes=4, folds=3, chain=3, again=3)
    run = run_program(SystolicArray(2, 4), tasks, words.memory()).checked()
    assert run.read(first, 1, 1) == data[0].max() and run.read(second, 1, 1) == data[1].max()
    assert run.cycles == 3 + 3 + 1 + 3  # two folds, the last chain's own slot, and its way through the other lanes


@pytest.mark.parametrize(
    ("chain", "hazard"),
    [
        (2, "an operation starts while the PE's operator is taken"),
        (4, "an operation starts while the PE's operator is taken"),
    ],
)
def test_in_other_slots_a_chain_finds_the_operator_taken(chain: int, hazard: str) -> None:
    tasks, _, _, words, _ = folded(lanes=4, folds=3, chain=chain, again=3)
    run = run_program(SystolicArray(2, 4), tasks, words.memory())
    assert hazard in [found.kind for found in run.hazards]


def test_a_missing_partner_is_a_hazard_on_either_side() -> None:
    words, tile = Words(), ArrayTile(1, 3)
    task = issue_below(tile, Issue("add", 5), "add", (WEST, NOTHING), words.hold(values(1, 3)))
    below, sideways = with_broadcast(task, words.hold(values(1, 1))).streams
    late = replace(with_broadcast(task, sideways.words), streams=(Stream("below", below.words, skew=2), sideways))
    (hazard,) = run_program(SystolicArray(1, 3), [late], words.memory()).hazards
    # In lanes 1 and 2 the word that passes along finds no partner, and so does the late one from below.
    assert (hazard.kind, hazard.count, hazard.cycle) == ("an operand arrives without its partner", 4, 6)


def test_two_words_at_once_on_the_link_along() -> None:
    words, tile = Words(), ArrayTile(1, 2)
    tasks = [to_memory(reduce_along(tile, Issue(name, 0), "add", 0), words.reserve(1, 1)) for name in ("one", "other")]
    load = to_register(issue_below(tile, Issue("load", 0), "move", (WEST, NOTHING), words.hold(values(1, 2))), 0)
    run = run_program(SystolicArray(1, 2), [load, *tasks], words.memory())
    assert "two values want one link" in [hazard.kind for hazard in run.hazards]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"passes": "sum"},
            "task 'add' (1x3, 1 steps): passes: no 'sum' (known: nothing, operand, result)",
        ),
        (
            {"streams": ()},
            "task 'add' (1x3, 1 steps): operands: expected a stream at the left or below for WEST, got none",
        ),
        (
            {"a": NOTHING, "streams": ()},
            "task 'add' (1x3, 1 steps): operands: expected a stream sideways for ALONG, got none",
        ),
    ],
)
def test_impossible_tasks_are_refused(changed: dict[str, object], message: str) -> None:
    words, tile = Words(), ArrayTile(1, 3)
    task = with_broadcast(
        issue_below(tile, Issue("add", 0), "add", (WEST, NOTHING), words.hold(values(1, 3))), words.hold(values(1, 1))
    )
    with pytest.raises(ValueError) as error:
        run_program(SystolicArray(1, 3), [replace(task, **changed)], words.memory())  # type: ignore[arg-type]
    assert str(error.value) == message
