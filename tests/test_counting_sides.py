"""Sides of an array and cores of a machine, counted by hand: several ranks on a side, a rank on several sides, lanes,
memories that elements share, networks that add up, and what each core fetches for itself.
"""

from typing import Any

import pytest

from arch.types import Architecture
from mappings.types import Mapping
from sim import Experiment, IllegalMapping, simulate
from tests.by_hand import PRODUCT, experiment_of
from tests.core_designs import machine as line
from tests.counted import WORD_BYTES, counted, words

PRICE: dict[str, Any] = {"read_energy": "1 pJ", "write_energy": "1 pJ", "row": "16 bit", "source": "made up"}


def machine(
    array: dict[str, Any], local: dict[str, Any] | None = None, cores: dict[str, Any] | None = None
) -> Architecture:
    """DRAM, a buffer, an array and its registers; between them, if asked, a memory beside the elements."""
    macc = {"operators": ["mul", "add"], "also": [["mul"], ["add"]], "cycles": 1, "energy": "0 pJ", "source": "made up"}
    components = {
        "DRAM": {"kind": "memory", **PRICE},
        "GLB": {"kind": "memory", "parent": "DRAM", **PRICE},
        "PE": {"kind": "array", "parent": "GLB", "registers": "RF", "operations": {"macc": macc}, "source": "made up"} | array,
        "RF": {"kind": "memory", "parent": "LB" if local is not None else "GLB", "per_pe_of": "PE", **PRICE},
    }  # fmt: skip
    if local is not None:
        components["LB"] = {"kind": "memory", "parent": "GLB", "per_pe_of": "PE", **PRICE} | local
    data: dict[str, Any] = {"name": "grid", "clock": "1 GHz", "word": "16 bit", "node": "45 nm", "source": "made up"}
    data |= {"cores": {"memory": "GLB", "source": "made up"} | cores} if cores else {}
    return Architecture.model_validate(data | {"components": components})


def leaf(spatial: dict[str, Any], *loops: Any) -> dict[str, Any]:
    return {"einsum": "Z", "array": "PE", "loops": list(loops), "spatial": spatial}


def dealt(tree: dict[str, Any], sizes: dict[str, int], on: Architecture, cores: list[str]) -> Experiment:
    """A product whose outermost loops are dealt to cores."""
    experiment = experiment_of(PRODUCT, tree, sizes, on)
    data = experiment.mapping.model_dump() | {"cores": cores}
    return Experiment("by-hand", experiment.cascade, on, Mapping.model_validate(data), tuple(sizes.items()), ())


def refusals(experiment: Experiment) -> list[str]:
    with pytest.raises(IllegalMapping) as refused:
        simulate(experiment)
    return [f"{problem.path}: {problem.message}" for problem in refused.value.problems]


def test_a_side_carries_several_ranks() -> None:
    """2 x 3 results on 6 rows: a word of A is needed by the 3 rows of its m, a word of B by 2."""
    sizes = {"K": 4, "M": 2, "N": 3}
    result = counted(
        experiment_of(PRODUCT, {"body": [leaf({"rows": ["m", "n"]}, "k")]}, sizes, machine({"rows": 6, "columns": 1}))
    )
    assert result.cycles == 4
    assert words(result, "A", "DRAM") == (8, 0)
    assert words(result, "A", "RF") == (24, 3 * 8)
    assert words(result, "B", "RF") == (24, 2 * 12)
    small = experiment_of(
        PRODUCT, {"body": [leaf({"rows": ["m", "n"]}, "k")]}, sizes, machine({"rows": 5, "columns": 1})
    )
    assert refusals(small) == [
        "tree.body[0]: Einsum 'Z' does not fit: 2 coordinates of 'm' x 3 coordinates of 'n' on 5 rows of 'PE'"
    ]


def test_a_rank_lies_on_several_sides() -> None:
    """M = 10 in rows of 4, as 3 rows of which the last is half full; 13 need a fourth row."""
    tree = {"body": [leaf({"rows": "m", "columns": {"m": 4}}, "n", "k")]}
    on = machine({"rows": 3, "columns": 4})
    result = counted(experiment_of(PRODUCT, tree, {"K": 2, "M": 10, "N": 3}, on))
    assert result.cycles == 6
    assert words(result, "B", "RF") == (60, 60)  # each word of B in all 10 elements
    assert refusals(experiment_of(PRODUCT, tree, {"K": 2, "M": 13, "N": 3}, on)) == [
        "tree.body[0]: Einsum 'Z' does not fit: 4 coordinates of 'm' on 3 rows of 'PE'"
    ]
    both = {"body": [leaf({"rows": {"m": 2}, "columns": {"m": 4}}, "n", "k")]}
    assert refusals(experiment_of(PRODUCT, both, {"K": 2, "M": 10, "N": 3}, on)) == [
        "tree.body[0].spatial: Einsum 'Z' does not fit: its loops leave 10 coordinates of 'm', its sides take 2 x 4"
    ]


def test_it_must_be_known_how_a_rank_is_divided() -> None:
    on, sizes = machine({"rows": 3, "columns": 4}), {"K": 2, "M": 4, "N": 3}
    unknown = {"body": [leaf({"rows": "m", "columns": "m"}, "n", "k")]}
    assert refusals(experiment_of(PRODUCT, unknown, sizes, on)) == [
        "tree.body[0].spatial: 'm' is on several sides: say how many of its coordinates lie along one, as in {columns: {m: 4}}"
    ]
    twice = {"body": [leaf({"rows": ["m", {"m": 2}]}, "n", "k")]}
    assert refusals(experiment_of(PRODUCT, twice, sizes, on)) == [
        "tree.body[0].spatial: 'm' is twice on one side of the array"
    ]


def test_lanes_add_up_products_in_one_place() -> None:
    """K = 16 over 4 lanes at each of 2 x 2 places: 4 steps; 4 sums a result leave the lanes and arrive as one."""
    tree = {"body": [leaf({"rows": "m", "columns": "n", "lanes": "k"}, {"k": 4})]}
    sizes = {"K": 16, "M": 2, "N": 2}
    on = machine({"rows": 2, "columns": 2, "lanes": 4})
    result = counted(experiment_of(PRODUCT, tree, sizes, on))
    assert result.cycles == 4
    assert result.utilization == {"PE": 1.0}
    assert words(result, "Z", "DRAM") == (0, 4)
    assert words(result, "Z", "RF") == (16 * 4 - 16 + 16, 64)  # 16 sums begin, go on 3 times and leave
    rigid = machine({"rows": 2, "columns": 2, "lanes": 4, "reduces": ["rows"]})
    assert refusals(experiment_of(PRODUCT, tree, sizes, rigid)) == [
        "tree.body[0].spatial: Einsum 'Z' reduces over 'k' on the lanes of 'PE', which has a network for that along rows"
    ]


def test_elements_share_a_memory_along_a_side() -> None:
    """B of k on the rows and n on the columns lies in one memory a row: 2 x 3 words each; A needs one copy, not three."""
    tree = {"keep": {"LB": ["A", "B"]}, "body": [leaf({"rows": "k", "columns": "n"}, "m", {"k": 2})]}
    sizes = {"K": 4, "M": 5, "N": 3}
    alone = machine({"rows": 2, "columns": 3}, {})
    apart = counted(experiment_of(PRODUCT, tree, sizes, alone))
    assert words(apart, "A", "LB") == (3 * 20, 3 * 20)
    assert apart.footprint_bytes["LB"] == (2 * 5 + 2) * WORD_BYTES
    rows = machine({"rows": 2, "columns": 3}, {"shared_along": ["columns"]})
    assert rows.instances(rows.memory("LB")) == 2
    shared = counted(experiment_of(PRODUCT, tree, sizes, rows))
    assert words(shared, "A", "LB") == (20, 20)
    assert words(shared, "A", "RF") == (60, 60)
    assert words(shared, "B", "LB")[1] == words(apart, "B", "LB")[1] == 12
    assert shared.footprint_bytes["LB"] == (2 * 5 + 2 * 3) * WORD_BYTES
    assert shared.cycles == 5 * (2 + 1)  # 2 words of k each, then a slot in which the rows add up


def test_sums_of_elements_that_share_a_memory_arrive_there_as_one() -> None:
    """k on the rows: 2 sums a result. A memory of the column gets 15 words for each half of K, memories of elements 30."""
    tree = {"loops": [{"k": 2}], "keep": {"LB": ["Z"]}, "body": [leaf({"rows": "k", "columns": "n"}, "m")]}
    sizes = {"K": 4, "M": 5, "N": 3}
    shared = counted(
        experiment_of(PRODUCT, tree, sizes, machine({"rows": 2, "columns": 3}, {"shared_along": ["rows"]}))
    )
    assert words(shared, "Z", "LB") == (15 + 15, 2 * 15)  # back for the second half, and out
    apart = counted(experiment_of(PRODUCT, tree, sizes, machine({"rows": 2, "columns": 3}, {})))
    assert words(apart, "Z", "LB") == (30 + 30, 2 * 30)
    assert words(apart, "Z", "DRAM") == words(shared, "Z", "DRAM") == (0, 15)


def test_a_rank_beside_and_along_a_shared_side_is_refused() -> None:
    tree = {"keep": {"LB": ["A"]}, "body": [leaf({"rows": "m", "columns": {"m": 2}}, "n", "k")]}
    on = machine({"rows": 2, "columns": 2}, {"shared_along": ["columns"]})
    assert refusals(experiment_of(PRODUCT, tree, {"K": 2, "M": 4, "N": 3}, on)) == [
        "tree.keep.LB[0]: 'LB' is shared along the columns of 'PE', and Einsum 'Z' has 'm' on the columns and on another "
        "side: put it on one side to keep 'A' there"
    ]


@pytest.mark.parametrize(("cores", "m", "copies"), [(1, 6, 1), (2, 6, 2), (4, 6, 4), (4, 3, 3), (5, 6, 5)])
def test_every_core_fetches_what_it_needs(cores: int, m: int, copies: int) -> None:
    """All cores need all of B for their rows of A: each that has one reads it once."""
    tree = {"loops": ["m"], "keep": {"GLB": ["B"]}, "body": [leaf({"columns": "n"}, "k")]}
    on = machine({"rows": 1, "columns": 2}, cores={"count": cores})
    result = counted(dealt(tree, {"K": 4, "M": m, "N": 2}, on, ["m"]))
    assert words(result, "B", "DRAM") == (8 * copies, 0)
    assert words(result, "B", "GLB")[1] == 8 * copies
    assert words(result, "A", "DRAM") == (4 * m, 0)
    assert result.cycles == 4 * -(-m // cores)


def test_cores_share_out_two_loops() -> None:
    """6 x 4 tiles on 3 cores: A of one m is needed by 3 cores, for 4 tiles of n each m."""
    tree = {"loops": ["m", "n"], "keep": {"GLB": ["A"]}, "body": [leaf({}, "k")]}
    result = counted(
        dealt(tree, {"K": 5, "M": 6, "N": 4}, machine({"rows": 1, "columns": 1}, cores={"count": 3}), ["m", "n"])
    )
    assert words(result, "A", "DRAM") == (6 * 5 * 3, 0)
    assert words(result, "B", "DRAM")[0] == 6 * 4 * 5


@pytest.mark.parametrize(("cores", "fetched"), [(2, 6 * 2), (3, 6 * 3), (4, 6 * 4), (8, 6 * 4)])
def test_a_core_keeps_a_tile_outside_a_dealt_loop(cores: int, fetched: int) -> None:
    """6 x 4 tiles: A of one m is in every core that has one of its 4 tiles, once, however many of them it has."""
    inside = {"loops": ["n"], "keep": {"GLB": ["Z"]}, "body": [leaf({}, "k")]}
    tree = {"loops": ["m"], "keep": {"GLB": ["A"]}, "body": [inside]}
    result = counted(
        dealt(tree, {"K": 5, "M": 6, "N": 4}, machine({"rows": 1, "columns": 1}, cores={"count": cores}), ["m", "n"])
    )
    assert words(result, "A", "DRAM") == (5 * fetched, 0)
    assert words(result, "A", "GLB")[1] == 5 * fetched


def test_cores_share_out_two_loops_over_one_rank() -> None:
    """m in tiles of 2 (3: one is short), n, and m: the 6 tiles are n0 n0 n1 n1, then n0 n1, and the last core has n1."""
    tree = {"loops": [{"m": 2}, "n", "m"], "keep": {"GLB": ["B"]}, "body": [leaf({}, "k")]}
    on = machine({"rows": 1, "columns": 1}, cores={"count": 2})
    result = counted(dealt(tree, {"K": 4, "M": 3, "N": 2}, on, ["m", "n", "m"]))
    assert words(result, "B", "DRAM") == (5 * 4, 0)


@pytest.mark.parametrize(("cores", "written", "returned"), [(1, 24, 18), (2, 12, 6), (4, 6, 0), (8, 6, 0)])
def test_sums_of_cores_arrive_as_one(cores: int, written: int, returned: int) -> None:
    """K = 8 in 4 pieces, 6 results: every round of cores writes them once, and reads them back from the second on."""
    tree = {"loops": [{"k": 2}], "body": [leaf({}, "m", "n", "k")]}
    on = machine({"rows": 1, "columns": 1}, cores={"count": cores, "reduces": True})
    result = counted(dealt(tree, {"K": 8, "M": 2, "N": 3}, on, ["k"]))
    assert words(result, "Z", "DRAM") == (returned, written)
    assert result.cycles == 12 * -(-4 // cores)


def test_a_sum_that_stays_in_its_core_leaves_once() -> None:
    """2 cores of 2 pieces each: both keep their 6 sums to the end, and send them once."""
    tree = {"loops": [{"k": 2}], "keep": {"GLB": ["Z"]}, "body": [leaf({}, "m", "n", "k")]}
    on = machine({"rows": 1, "columns": 1}, cores={"count": 2, "reduces": True})
    result = counted(dealt(tree, {"K": 8, "M": 2, "N": 3}, on, ["k"]))
    assert words(result, "Z", "DRAM") == (0, 6)
    assert words(result, "Z", "GLB") == (
        2 * 6 + 2 * 6,
        2 * 12,
    )  # back for the second piece, and out; in with each piece


@pytest.mark.parametrize(("cores", "returned", "left"), [(1, 6, 8), (2, 2, 4), (4, 0, 2), (8, 0, 2)])
def test_cores_go_through_the_tiles_of_a_shared_result_at_once(cores: int, returned: int, left: int) -> None:
    """K = 8 in 4 pieces, 2 results, of which L2 has one at a time: all cores of a round come to it together. It leaves and
    comes back with every round, and what the cores give and take in L2 is as much.
    """
    on = line(cores, "GLB", {"DRAM": {}, "L2": {}, "GLB": {}}, {"PE": (1, 1)})
    tree = {"loops": [{"k": 2}, "m"], "keep": {"L2": ["Z"]}, "body": [leaf({}, "n", "k")]}
    result = counted(dealt(tree, {"K": 8, "M": 2, "N": 1}, on, ["k"]))
    assert words(result, "Z", "DRAM") == (returned, left)
    assert words(result, "Z", "L2") == (left + returned, left + returned)


@pytest.mark.parametrize(("cores", "returned", "left"), [(1, 4, 6), (2, 2, 4)])
def test_a_short_piece_of_one_core_is_no_round_of_a_whole_one(cores: int, returned: int, left: int) -> None:
    """k in 2 and 1, each k through both m: one core gives 2 results three times. Two cores do so at once, the first twice."""
    on = machine({"rows": 1, "columns": 1}, cores={"count": cores, "reduces": True})
    tree = {"loops": [{"k": 2}, {"k": 1}, "m"], "body": [leaf({}, "n")]}
    assert words(counted(dealt(tree, {"K": 3, "M": 2, "N": 1}, on, ["k"])), "Z", "DRAM") == (returned, left)


def test_what_cores_cannot_add_up_is_refused() -> None:
    tree = {"loops": [{"k": 2}], "body": [leaf({}, "m", "n", "k")]}
    sizes = {"K": 8, "M": 2, "N": 3}
    plain = machine({"rows": 1, "columns": 1}, cores={"count": 2})
    assert refusals(dealt(tree, sizes, plain, ["k"])) == [
        "cores: the iterations of 'k' depend on each other: Einsum 'Z' reduces over it"
    ]
    three = machine({"rows": 1, "columns": 1}, cores={"count": 3, "reduces": True})
    assert refusals(dealt(tree, sizes, three, ["k"])) == [
        "cores: the 4 iterations of 'k' are added up over 3 cores, and neither number divides the other: a sum would be "
        "split between two rounds"
    ]
    passing = {"loops": [{"k": 2}], "body": [leaf({}, "m", "n", "k") | {"bypass": ["Z"]}]}
    two = machine({"rows": 1, "columns": 1}, cores={"count": 2, "reduces": True})
    assert refusals(dealt(passing, sizes, two, ["k"])) == [
        "tree.body[0].bypass: Einsum 'Z' is added up over the cores that share 'k': nothing bypasses that"
    ]
