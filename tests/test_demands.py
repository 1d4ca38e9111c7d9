"""What Einsums ask of ports, links of memories and arrays, worked out by hand, in the analytical engine and in `bind`."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from random import Random
from typing import Any

import numpy as np
import pytest

from arch.types import Architecture
from einsums.types import Cascade
from mappings.types import Mapping
from sim import Experiment
from sim.binding.answer import bind
from sim.design.experiment import structure_of
from sim.engine.pipelines import added_cycles, pipeline_cycles
from sim.lower.chains import Chains, Demand, demand_rows
from sim.simulation.flow import simulate, simulate_all
from tests.by_hand import PRODUCT, experiment_of, small_machine

K = 8
SLOTS = K  # one fold of 2 x 2 sums
OF_A_SLOT = 4  # rows of one word: two words of A, two of B
# Filled once, read once; sums of Z go to the buffer and from there to DRAM.
ROWS = 2 * (2 * K + 2 * K) + 2 * 4
TREE: dict[str, Any] = {
    "loops": [],
    "keep": {"GLB": ["A", "B", "Z"]},
    "body": [{"einsum": "Z", "array": "PE", "loops": ["k"], "spatial": {"rows": "m", "columns": "n"}}],
}


def product_on(**of_buffer: Any) -> Experiment:
    return experiment_of(PRODUCT, TREE, {"K": K, "M": 2, "N": 2}, small_machine(**of_buffer))


def cycles(**of_buffer: Any) -> float:
    return simulate(product_on(**of_buffer)).cycles


@pytest.mark.parametrize("ports", [1, 2, 3, 4, 8, 64])
def test_slots_wait_for_rows_and_ports_move_them_all(ports: int) -> None:
    waiting = SLOTS * -(-OF_A_SLOT // ports)
    assert cycles(ports=ports, banks=64) == max(waiting, ROWS / ports)
    assert simulate(product_on(ports=ports, banks=64)).bound_by == ("GLB ports" if ROWS / ports > waiting else "PE")


def test_banks_limit_ports_and_nothing_does_where_no_ports_are_given() -> None:
    assert cycles(ports=8, banks=2) == cycles(ports=2, banks=8) == ROWS / 2
    assert cycles() == cycles(banks=2) == SLOTS


def test_a_tile_takes_a_row_however_few_its_words_are() -> None:
    """With rows of 16 words a slot still takes one for A and one for B; A and B fill a row each, Z takes part of one."""
    assert cycles(ports=1, row="256 bit") == 2 * SLOTS + 2 + 2


def test_slots_wait_for_words_of_a_buffer() -> None:
    """8 bytes of a slot at 2 bytes a cycle; 64 read by the array and 8 on the way out, in all."""
    assert cycles(read_bandwidth="2 GB/s") == max(SLOTS * 4, (64 + 8) / 2)
    assert cycles(read_bandwidth="8 GB/s") == max(SLOTS, (64 + 8) / 8)


def test_designs_of_a_batch_wait_each_for_its_own_ports() -> None:
    designs = [product_on(ports=ports, banks=64) for ports in (1, 2, 4)] + [product_on()]
    assert [result.cycles for result in simulate_all(designs)] == [simulate(design).cycles for design in designs]


def test_a_given_port_is_part_of_a_design_and_survives_its_dump() -> None:
    given, absent = (product_on(**ports) for ports in ({"ports": 1}, {}))
    assert given.hash != absent.hash
    for design in (given, absent):
        again = Architecture.model_validate_json(design.architecture.model_dump_json())
        assert again == design.architecture


# --- pipelines -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(40))
def test_a_pipeline_takes_the_sum_of_its_steps(seed: int) -> None:
    random = Random(seed)
    stages, arrays, tiles = random.randint(1, 6), random.randint(1, 3), random.randint(1, 9)
    work = [[random.choice([0, 1, 2, 5]) for _ in range(arrays)] for _ in range(stages)]
    total = 0
    for step in range(tiles + stages - 1):
        at_work = [stage for stage in range(stages) if 0 <= step - stage < tiles]
        total += max(sum(work[stage][array] for stage in at_work) for array in range(arrays))
    assert pipeline_cycles(np.array([work], float), np.array([float(tiles)])) == [total]


def test_stages_on_one_array_gain_and_lose_nothing() -> None:
    """A copy of a copy, on one array: however the stages are chosen, the array never waits."""
    ranks = {"I": ""}
    cascade = {"name": "copies", "ranks": ranks, "inputs": {"A": ["I"]}, "outputs": ["C"],
               "einsums": "B[i] = A[i] * A[i]\nC[i] = B[i] * A[i]"}  # fmt: skip
    leaves = [{"einsum": name, "array": "PE"} for name in "BC"]
    tree = {"loops": ["i"], "keep": {"GLB": ["B"]}, "body": leaves}

    def with_schedule(schedule: dict[str, Any]) -> float:
        mapping = {"name": "m", "cascade": "copies", "tree": tree, "schedule": schedule}
        nouns = Cascade.model_validate(cascade), small_machine(), Mapping.model_validate(mapping)
        return simulate(Experiment("copies", *nouns, (("I", 10),), ())).cycles

    one_by_one = with_schedule({"kind": "sequential"})
    assert one_by_one == 20
    assert all(
        with_schedule({"kind": "pipelined", "stages": {"B": 0, "C": stage}}) == one_by_one for stage in (0, 1, 3)
    )


@pytest.mark.parametrize(("own", "added"), [(3.0, 3.0), (5.0, 5.0), (7.0, 2 * 4 + 7.0), (20.0, 20.0 * 4)])
def test_what_has_no_stage_fills_what_steps_leave(own: float, added: float) -> None:
    """Steps of 10 and 5 cycles of two arrays; four runs on the second. The last one comes when the steps are over."""
    step = np.array([[10.0, 5.0]])
    assert added_cycles(step, 1, np.array([4 * own]), np.array([4.0])) == [min(added, 4 * own)]
    assert step[0].tolist() == [10.0, 5.0 + own]


# --- one table -----------------------------------------------------------------------------------------------------


def all_engines() -> tuple[float, int, int]:
    """Cycles of the analytical engine, of the cycle engine and of `bind`: for each k, B waits in the registers while
    pieces of A pass; one port serves a word a cycle.
    """
    structure_of.cache_clear()
    leaf = {"einsum": "Z", "array": "PE", "loops": ["k", {"m": "2"}], "spatial": {"rows": "m", "columns": "n"}}
    tree = {"loops": [{"m": "8"}], "keep": {"GLB": ["A", "B"]}, "body": [leaf]}
    design = experiment_of(PRODUCT, tree, {"K": K, "M": 32, "N": 2}, small_machine(ports=1, size="64 KiB"))
    assert not design.problems, design.problems
    return simulate(design).cycles, simulate(design, "cycle").cycles, bind(design).total_cycles


@pytest.mark.parametrize(
    ("change", "slower"),
    [
        (lambda row: replace(row, moving=row.moving | {1}), True),  # B again with every piece of A
        (lambda row: replace(row, place=replace(row.place, memory="DRAM", behind=None)), False),  # B around the buffer
    ],
)
def test_all_engines_read_one_table(
    change: Callable[[Demand], Demand], slower: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = all_engines()

    def changed(chains: Chains) -> Iterator[Demand]:
        for row in demand_rows(chains):
            yield change(row) if row.touch.access.tensor == "B" and row.keep is None else row

    monkeypatch.setattr("sim.lower.chains.demand_rows", changed)
    after = all_engines()
    structure_of.cache_clear()
    assert all((b > a) if slower else (b < a) for a, b in zip(before, after, strict=True)), (before, after)
