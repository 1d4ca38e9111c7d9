"""Memories beside each element of an array, counted by hand: room, copies, sums of their own, and operands that pass by."""

from typing import Any

import pytest

from arch.types import Architecture
from sim import IllegalMapping, simulate
from tests.by_hand import PRODUCT, experiment_of
from tests.counted import WORD_BYTES, counted, words


def machine(rows: int, columns: int, **of_registers: Any) -> Architecture:
    """One buffer and an array; every access costs 1 pJ a word, an operation nothing."""
    price: dict[str, Any] = {"read_energy": "1 pJ", "write_energy": "1 pJ", "row": "16 bit", "source": "made up"}
    names = {"operators": ["mul", "add"], "also": [["mul"], ["max"], ["sub", "exp"], ["add"], ["div"]]}
    components = {
        "DRAM": {"kind": "memory", **price},
        "GLB": {"kind": "memory", "parent": "DRAM", **price},
        "PE": {
            "kind": "array", "parent": "GLB", "rows": rows, "columns": columns, "registers": "RF", "source": "made up",
            "operations": {"macc": {**names, "cycles": 1, "energy": "0 pJ", "source": "made up"}},
        },
        "RF": {"kind": "memory", "parent": "GLB", "per_pe_of": "PE", **price, **of_registers},
    }  # fmt: skip
    data = {"name": "grid", "clock": "1 GHz", "word": "16 bit", "node": "45 nm", "source": "made up"}
    return Architecture.model_validate(data | {"components": components})


def test_every_element_is_written_its_own_copy() -> None:
    """4 x 4 elements, M = N = 4, K = 16: an element needs one row of A and one sum, and 4 rows need the same row of A."""
    leaf = {"einsum": "Z", "array": "PE", "loops": ["k"], "spatial": {"columns": "m", "rows": "n"}}
    tree = {"keep": {"RF": ["A", "Z"]}, "body": [leaf]}
    sizes = {"K": 16, "M": 4, "N": 4}
    result = counted(experiment_of(PRODUCT, tree, sizes, machine(4, 4)))
    assert words(result, "A", "DRAM") == (64, 0)  # a multicast is one read
    assert words(result, "A", "RF") == (256, 4 * 64)  # 4 * 4 * 16 points read it
    assert result.footprint_bytes["RF"] == (16 + 1) * WORD_BYTES  # of one element
    fits = experiment_of(PRODUCT, tree, sizes, machine(4, 4, size="272 bit"))
    assert simulate(fits).cycles == 16
    with pytest.raises(IllegalMapping, match=r"'RF' holds 32 B but .* 34 B"):
        simulate(experiment_of(PRODUCT, tree, sizes, machine(4, 4, size="256 bit")))


def test_room_of_idle_elements_is_no_room() -> None:
    """N = 32 over 4 columns of a 4 x 4 array: 8 sums an element; the 12 elements of other rows have none to lend."""
    leaf = {"einsum": "Z", "array": "PE", "loops": ["m", "k", {"n": 4}], "spatial": {"columns": "n"}}
    tree = {
        "loops": [],
        "keep": {"RF": ["Z"]},
        "body": [{"loops": ["m"], "body": [{**leaf, "loops": ["k", {"n": 4}]}]}],
    }
    keep_inside = {"loops": ["m"], "keep": {"RF": ["Z"]}, "body": [{**leaf, "loops": ["k", {"n": 4}]}]}
    sizes = {"K": 3, "M": 2, "N": 32}
    assert counted(experiment_of(PRODUCT, keep_inside, sizes, machine(4, 4))).footprint_bytes["RF"] == 8 * WORD_BYTES
    with pytest.raises(IllegalMapping, match=r"'RF' holds 8 B but .* 16 B"):
        simulate(experiment_of(PRODUCT, keep_inside, sizes, machine(4, 4, size="64 bit")))
    assert simulate(experiment_of(PRODUCT, tree, sizes, machine(4, 4))).footprint_bytes["RF"] == 2 * 8 * WORD_BYTES


def test_sums_are_counted_alike_whether_their_place_is_named_or_not() -> None:
    """K = 6 in tiles of 3: 16 sums leave twice, come back once, and begin once."""
    sizes = {"K": 6, "M": 4, "N": 4}
    loops = [{"k": 3}, {"m": 2}, {"n": 2}]
    leaf = {"einsum": "Z", "array": "PE", "spatial": {"rows": "m", "columns": "n"}}
    implied = {"body": [{**leaf, "loops": [*loops, "k"]}]}
    named = {"loops": loops, "keep": {"RF": ["Z"]}, "body": [{**leaf, "loops": ["k"]}]}
    for tree in (implied, named):
        result = counted(experiment_of(PRODUCT, tree, sizes, machine(2, 2)))
        assert words(result, "Z", "RF") == ((96 - 16) + 32, 96 + 16)
        assert words(result, "Z", "DRAM") == (16, 32)
    energies = [
        simulate(experiment_of(PRODUCT, t, sizes, machine(2, 2))).energy_by_component_pj for t in (implied, named)
    ]
    assert energies[0] == energies[1]


def test_elements_that_share_a_reduction_have_a_sum_each() -> None:
    """K = 6 on 3 rows: 3 sums of 2 terms for each of 4 results; all leave through the array, which adds them up."""
    leaf = {"einsum": "Z", "array": "PE", "loops": ["m", {"k": 3}], "spatial": {"rows": "k", "columns": "n"}}
    result = counted(experiment_of(PRODUCT, {"body": [leaf]}, {"K": 6, "M": 2, "N": 2}, machine(3, 2)))
    assert words(result, "Z", "RF") == ((24 - 12) + 12, 24)  # points but the first of each sum; each sum on its way out
    assert words(result, "Z", "DRAM") == (0, 4)


def test_a_result_that_stays_is_combined_and_given_to_all_who_need_it() -> None:
    """A maximum over 4 columns, read by all 4: 3 sums are read to make it one, 3 further elements are written."""
    cascade = {
        "name": "shifted", "ranks": {"M": "", "P": ""}, "inputs": {"S": ["M", "P"]}, "outputs": ["X"],
        "einsums": "G[p] = S[m,p] :: max(m)\nX[m,p] = exp(S[m,p] - G[p])",
    }  # fmt: skip
    body = [{"einsum": name, "array": "PE", "loops": [{"m": 4}], "spatial": {"columns": "m"}} for name in ("G", "X")]
    tree = {"loops": ["p"], "keep": {"RF": ["G"]}, "body": body}
    result = counted(experiment_of(cascade, tree, {"M": 8, "P": 5}, machine(1, 4)))
    assert words(result, "G", "RF") == (5 * ((8 - 4) + 3 + 8), 5 * (8 + 3))
    assert words(result, "G", "DRAM") == (0, 0)
    assert result.footprint_bytes["RF"] == WORD_BYTES


def test_words_may_not_pass_from_element_to_element() -> None:
    cascade = {
        "name": "two", "ranks": {"M": "", "P": ""}, "inputs": {"S": ["M", "P"]}, "outputs": ["Y"],
        "einsums": "X[m,p] = S[m,p] + S[m,p]\nY[m,p] = X[m,p] + X[m,p]",
    }  # fmt: skip
    body = [
        {"einsum": "X", "array": "PE", "loops": ["p"], "spatial": {"columns": "m"}},
        {"einsum": "Y", "array": "PE", "loops": ["p"], "spatial": {"rows": "m"}},
    ]
    experiment = experiment_of(cascade, {"keep": {"RF": ["X"]}, "body": body}, {"M": 2, "P": 2}, machine(2, 2))
    assert [problem.message for problem in experiment.problems] == [
        "'RF' keeps 'X' beside the elements of 'PE', where Einsum 'X' has 'm' on the columns and Einsum 'Y' 'm' on the "
        "rows: words would have to pass from element to element; keep it in a shared memory, or lay both out alike"
    ]


def test_no_element_of_an_array_that_runs_nothing_keeps_a_tile() -> None:
    leaf = {"einsum": "Z", "array": "PE", "loops": ["m", "n", "k"]}
    two = machine(2, 2).model_dump(mode="json", by_alias=True, exclude_none=True)
    components = {c["name"]: c for c in two["components"]}
    components |= {"PE2": {**components["PE"], "name": "PE2", "registers": "RF2"}}
    components |= {"RF2": {**components["RF"], "name": "RF2", "per_pe_of": "PE2"}}
    other = Architecture.model_validate(two | {"components": components})
    tree = {"keep": {"RF2": ["A"]}, "body": [leaf]}
    experiment = experiment_of(PRODUCT, tree, {"K": 2, "M": 2, "N": 2}, other)
    assert [problem.message for problem in experiment.problems] == [
        "'RF2' lies beside the elements of 'PE2', but 'A' is touched by 'Z' on 'PE'"
    ]


def test_what_bypasses_the_registers_comes_and_goes_in_every_step() -> None:
    """2 x 2 elements, M = N = 4, K = 3: 12 steps, in each of which 2 words of B and 4 sums pass the buffer's edge."""
    leaf = {"einsum": "Z", "array": "PE", "loops": [{"m": 2}, {"n": 2}, "k"], "spatial": {"rows": "m", "columns": "n"}}
    tree = {"keep": {"GLB": ["A", "B", "Z"]}, "body": [{**leaf, "bypass": ["B", "Z"]}]}
    result = counted(experiment_of(PRODUCT, tree, {"K": 3, "M": 4, "N": 4}, machine(2, 2)))
    assert words(result, "B", "RF") == words(result, "Z", "RF") == (0, 0)
    assert words(result, "B", "GLB") == (12 * 2, 12)
    assert words(result, "Z", "GLB") == ((48 - 16) + 16, 48)  # sums come back but the first time; then all leave
    assert words(result, "A", "RF") == (48, 12 * 4)


def test_what_bypasses_is_an_operand_and_not_kept_in_the_registers() -> None:
    leaf = {"einsum": "Z", "array": "PE", "loops": ["m", "n", "k"], "bypass": ["A", "C"]}
    experiment = experiment_of(
        PRODUCT, {"keep": {"RF": ["A"]}, "body": [leaf]}, {"K": 2, "M": 2, "N": 2}, machine(1, 1)
    )
    assert [(problem.path, problem.message) for problem in experiment.problems] == [
        ("tree.body[0].bypass", "'RF' keeps 'A' around Einsum 'Z', so it does not bypass it"),
        ("tree.body[0].bypass", "Einsum 'Z' neither reads nor writes 'C'"),
    ]
