"""Arrays that are fed directly, and memories that only a bandwidth limits: counted on paper, in every engine."""

from math import ceil
from typing import Any

import pytest
from pydantic import ValidationError

from arch.types import Architecture
from sim import Experiment, simulate
from sim.binding.answer import bind
from sim.systolic.mapped import product_of
from tests.by_hand import PRODUCT
from tests.core_designs import design, machine

Memories = dict[str, dict[str, Any]]
BUFFERED: Memories = {"DRAM": {}, "GLB": {}}


def fed(on: Architecture, **arrays: dict[str, Any]) -> Architecture:
    """The same machine with other keys of its arrays."""
    data = on.model_dump(mode="json", by_alias=True)
    for component in data["components"]:
        component.update(arrays.get(component["name"], {}))
    return Architecture.model_validate(data)


def product(feed: str, memories: Memories = BUFFERED, **keys: Any) -> Experiment:
    """4 x 4 results of 4 products each, in a grid of 4 x 4 elements; two tiles of rows."""
    on = fed(machine(None, "GLB", memories, {"PE": (4, 4)}), PE={"feed": feed, **keys})
    leaf = {"einsum": "Z", "array": "PE", "loops": ["k"], "spatial": {"rows": "m", "columns": "n"}}
    tree = {"loops": [{"m": "4"}], "keep": {"GLB": ["A", "B", "Z"]}, "body": [leaf]}
    return design(PRODUCT, tree, {"K": 4, "M": 8, "N": 4}, on, [])


def test_nothing_is_shifted_through_an_array_that_is_fed_directly() -> None:
    # Two folds of 4 slots. Shifted out, a result takes 4 cycles more, and the last one 3 + 3 of skew.
    assert simulate(product("neighbours"), "cycle").cycles == 2 * (4 + 4) + 6
    direct = product("direct")
    assert simulate(direct, "cycle").cycles == simulate(direct).cycles == 2 * 4
    assert [part.interval for part in bind(direct).parts] == [4]


def summed(feed: str, **keys: Any) -> Experiment:
    """4 results, each of 4 products that the rows add up."""
    on = fed(machine(None, "GLB", BUFFERED, {"PE": (4, 4)}), PE={"feed": feed, **keys})
    leaf = {"einsum": "Z", "array": "PE", "loops": ["m"], "spatial": {"rows": "k", "columns": "n"}}
    return design(PRODUCT, {"keep": {"GLB": ["A", "B", "Z"]}, "body": [leaf]}, {"K": 4, "M": 5, "N": 4}, on, [])


def test_sums_over_a_side_take_what_is_stated() -> None:
    # B, a word for each element, is shifted in 4 cycles; 5 slots; 3 down the rows and 3 along the columns.
    assert simulate(summed("neighbours"), "cycle").cycles == 4 + 5 + 3 + 3
    assert simulate(summed("direct"), "cycle").cycles == 5
    assert simulate(summed("direct", drain={"along": "rows", "cycles": "2"}), "cycle").cycles == 5 + 2


def test_an_array_that_is_fed_directly_has_no_links() -> None:
    with pytest.raises(ValidationError, match="array 'PE' is fed directly, so its elements have no links between them"):
        product("direct", links={"down": 2})


def test_the_pe_level_runs_no_array_that_is_fed_directly() -> None:
    reason = "array 'PE' is fed directly; on the PE level words pass from element to element"
    with pytest.raises(ValueError, match=reason):
        product_of(product("direct"))


@pytest.mark.parametrize(("ports", "slot_cycles"), [(None, 1), (16, 1), (6, 2), (4, 3), (1, 12)])
def test_a_bandwidth_is_all_that_limits_a_memory_without_ports(ports: int | None, slot_cycles: int) -> None:
    # A slot reads 4 words of A and 4 of B, and of 16 results 4 leave with it: 12 rows of a word. A tile also takes 16 rows for its part
    # of A, half of the 16 of B, and 16 for its results on their way on: 88 with those of its 4 slots.
    glb = {"size": "1 KiB", "read_bandwidth": "32 GB/s"} | ({} if ports is None else {"ports": ports, "banks": 16})
    experiment = product("direct", {"DRAM": {}, "GLB": glb})
    assert simulate(experiment, "cycle").stall_cycles["PE"]["port"] == 2 * 4 * (slot_cycles - 1)
    interval = 4 if ports is None else max(4 * slot_cycles, ceil(88 / ports))
    assert [part.interval for part in bind(experiment).parts] == [interval]
    if ports is None:  # 96 words that are read, 16 a cycle, are no limit; the last results need a cycle more
        assert simulate(experiment).cycles == 2 * 4
        assert simulate(experiment, "cycle").cycles == 2 * 4 + 1
