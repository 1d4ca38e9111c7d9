"""Are ranks walked in an order that makes sense? Each way of getting it wrong is refused with one sentence."""

import pytest

from tests.by_hand import PRODUCT, experiment_of

LOCAL = {
    "name": "local", "ranks": {"M": "", "P": ""}, "partition": {"M": ["M1", "M0"]}, "inputs": {"S": ["M", "P"]},
    "outputs": ["L"], "einsums": "L[m1,p] = S[m1*M0+m0,p] :: max(m0)",
}  # fmt: skip
RUNNING = {
    "name": "running", "ranks": dict.fromkeys("EIJ", ""), "inputs": {"A": ["I", "E", "J"], "D": ["J"]}, "init": {"R": 0},
    "outputs": ["Z"], "einsums": "R[i+1,j] = max(R[i,j], A[i,e,j]) :: max(e)\nZ[j] = R[I,j] * D[j]",
}  # fmt: skip
LAST = {"einsum": "Z", "array": "PE", "loops": ["j"]}


def problems(cascade, *body, sizes):
    found = experiment_of(cascade, {"body": list(body)}, sizes).problems
    return [(problem.path, problem.message) for problem in found if "no size for rank" not in problem.message]


@pytest.mark.parametrize(
    ("loops", "spatial", "path", "message"),
    [
        (["m0", "m1", "p"], {}, "tree.body[0].loops[0]",
         "Einsum 'L' loops over 'm0' where 'm1', the outer part of the same rank, has not come down to steps of 1"),
        ([{"m1": 2}, "m0", "p"], {}, "tree.body[0].loops[1]",
         "Einsum 'L' loops over 'm0' where 'm1', the outer part of the same rank, has not come down to steps of 1"),
        (["m0", "p"], {"rows": "m1"}, "tree.body[0].loops[0]",
         "Einsum 'L' loops over 'm0' where 'm1', the outer part of the same rank, is on a side of the array"),
    ],
)  # fmt: skip
def test_parts_are_walked_from_the_outside_in(loops, spatial, path, message):
    leaf = {"einsum": "L", "array": "PE", "loops": loops, "spatial": spatial}
    assert (path, message) in problems(LOCAL, leaf, sizes={"M": 6, "P": 2})


def test_parts_in_order_are_legal():
    leaf = {"einsum": "L", "array": "PE", "loops": [{"m1": 2}, "m1", "p", "m0"]}
    assert problems(LOCAL, leaf, sizes={"M": 6, "P": 2}) == []


def test_steps_of_a_recurrence_cannot_share_a_side():
    leaf = {"einsum": "R", "array": "PE", "loops": ["j", "e"], "spatial": {"rows": "i"}}
    expected = "Einsum 'R' makes each 'R' from the one before, so 'i' cannot be on a side of an array"
    assert ("tree.body[0].spatial", expected) in problems(RUNNING, leaf, LAST, sizes={"I": 3, "J": 2, "E": 2})


def test_a_step_is_reduced_before_the_next_begins():
    expected = (
        "Einsum 'R' still reduces over 'e' when it goes on to the next 'i': that loop belongs inside the one over 'i'"
    )
    sizes = {"I": 3, "J": 2, "E": 2}
    wrong = {"einsum": "R", "array": "PE", "loops": ["e", "i", "j"]}
    assert ("tree.body[0].loops[0]", expected) in problems(RUNNING, wrong, LAST, sizes=sizes)
    assert problems(RUNNING, {"einsum": "R", "array": "PE", "loops": ["i", "e", "j"]}, LAST, sizes=sizes) == []


def test_the_root_memory_keeps_no_tiles():
    tree = {"keep": {"DRAM": ["A"]}, "body": [{"einsum": "Z", "array": "PE", "loops": ["m", "n", "k"]}]}
    found = experiment_of(PRODUCT, tree, {"K": 2, "M": 2, "N": 2}).problems
    expected = "'DRAM' is the root memory, where every tensor lives unless it is kept further in: it keeps no tiles"
    assert [problem.message for problem in found] == [expected]
