"""Naming what the registers hold anyway changes nothing: not the time, not the words, in either engine nor in the binding.

The products, machines and loop nests are made up at random; the expected cycles of the first test are worked out by hand.
"""

from random import Random
from typing import Any, NamedTuple

import pytest

from arch.types import Architecture
from sim.binding.answer import bind
from sim.design.experiment import Experiment
from sim.simulation.flow import simulate
from tests.by_hand import PRODUCT, experiment_of, small_machine

ON_SIDES = {"output": "mnk", "weight": "knm", "input": "kmn"}  # rows, columns, steps
RANKS = {"A": "km", "B": "kn", "Z": "mn"}


def array_of(rows: int, columns: int, changes: dict[str, dict[str, Any]] | None = None) -> Architecture:
    """The machine of hand counts with an array of that size; `changes`: more keys of its components."""
    data = small_machine().model_dump(mode="json", by_alias=True)
    components = {one["name"]: one for one in data["components"]}
    components["PE"] |= {"rows": rows, "columns": columns}
    for name, keys in (changes or {}).items():
        components[name] |= keys
    return Architecture.model_validate(data | {"components": list(components.values())})


def nodes(loops: list[dict[str, str]], leaf: dict[str, Any], *keeps: tuple[str, str, int]) -> dict[str, Any]:
    """A node for every loop, outermost first; keeps: (memory, tensor, number of the node)."""
    body: list[dict[str, Any]] = [leaf]
    for number in reversed(range(len(loops))):
        here: dict[str, list[str]] = {}
        for memory, tensor, place in keeps:
            if place == number:
                here.setdefault(memory, []).append(tensor)
        body = [{"loops": [loops[number]], "keep": here, "body": body}]
    return body[0]


def product_leaf(dataflow: str) -> dict[str, Any]:
    rows, columns, steps = ON_SIDES[dataflow]
    return {"einsum": "Z", "array": "PE", "loops": [steps], "spatial": {"rows": rows, "columns": columns}}


@pytest.mark.parametrize("named", [False, True], ids=["implied", "named"])
def test_an_accumulator_by_name_leaves_through_the_links(named: bool) -> None:
    # 16 x 16 folds of 512 slots on 32 x 32 elements; each shifts 32 rows out, the last one also leaves: 62 of skew.
    keeps = [("RF", "Z", 1)] if named else []
    tree = nodes([{"m": "32"}, {"n": "32"}], product_leaf("output"), *keeps)
    experiment = experiment_of(PRODUCT, tree, dict.fromkeys("MNK", 512), array_of(32, 32))
    assert simulate(experiment).cycles == 256 * 512
    result = simulate(experiment, "cycle")
    assert result.cycles == 256 * (512 + 32) + 62 == 139_326
    assert result.stall_cycles["PE"]["link"] == 256 * 32


@pytest.mark.parametrize("named", [False, True], ids=["implied", "named"])
def test_an_accumulator_stays_while_the_reduction_goes_on_outside(named: bool) -> None:
    # 3 x 2 folds over M = 15, N = 6 on 5 x 3 elements; K = 28 in tiles of 7 outside of the fold's own loop. Z leaves once
    # a fold, not once a tile: 28 slots and 5 rows each.
    keeps = [("GLB", "A", 2), ("GLB", "B", 2), *([("RF", "Z", 1)] if named else [])]
    tree = nodes([{"m": "5"}, {"n": "3"}, {"k": "7"}], product_leaf("output"), *keeps)
    experiment = experiment_of(PRODUCT, tree, {"M": 15, "N": 6, "K": 28}, array_of(5, 3))
    result = simulate(experiment, "cycle")
    assert result.cycles == 6 * (28 + 5) + 5 + 3 - 2
    assert result.traffic_bytes["DRAM"]["write"] == 2 * 15 * 6


class Case(NamedTuple):
    tree: Any  # from keeps to a tree
    kept: list[tuple[str, str, int]]
    named: list[tuple[str, str, int]]
    sizes: dict[str, int]
    machine: Architecture


def random_case(seed: int) -> Case:
    """A product on a small array in any dataflow, tiles kept in the buffer at any depth, memories fast and slow."""
    random = Random(seed)
    rows, columns = random.randint(2, 5), random.randint(2, 5)
    dataflow = random.choice(tuple(ON_SIDES))
    on_rows, on_columns, steps = ON_SIDES[dataflow]
    loops = [{on_rows: str(rows)}, {on_columns: str(columns)}]
    random.shuffle(loops)
    if random.random() < 0.7:
        loops.insert(random.randint(0, 2), {steps: str(random.choice([2, 4, 7]))})
    if random.random() < 0.5:
        variable = random.choice(loops)
        loops.insert(0, {name: str(2 * int(tile)) for name, tile in variable.items()})
    kept = [("GLB", tensor, random.randrange(len(loops))) for tensor in RANKS if random.random() < 0.6]
    depth = {tensor: place for _, tensor, place in kept}
    named = []
    for tensor, ranks in RANKS.items():
        if steps in ranks:
            continue
        last = max(n for n, loop in enumerate(loops) if set(loop) & set(ranks))
        if random.random() < 0.9:
            named.append(("RF", tensor, random.randint(max(last, depth.get(tensor, 0)), len(loops) - 1)))
    changes: dict[str, dict[str, Any]] = {"DRAM": {}, "GLB": {}}
    if random.random() < 0.7:
        changes["DRAM"]["bandwidth"] = random.choice(["2 GB/s", "7 GB/s", "64 GB/s"])
    if random.random() < 0.7:
        row = random.choice(["16 bit", "32 bit", "64 bit"])
        changes["GLB"] = {"size": "1 MiB", "ports": random.randint(1, 4), "banks": 4, "row": row}
    machine = array_of(rows, columns, changes)
    sizes = {rank: random.randint(1, 17) for rank in "MNK"}
    return Case(lambda keeps: nodes(loops, product_leaf(dataflow), *keeps), kept, named, sizes, machine)


def outcome(experiment: Experiment) -> tuple[Any, ...]:
    counted, timed = simulate(experiment), simulate(experiment, "cycle")
    return counted.cycles, counted.energy_pj, counted.traffic_bytes, timed.cycles, timed.stall_cycles


@pytest.mark.parametrize("first", range(0, 200, 50))
def test_naming_a_residency_changes_nothing(first: int) -> None:
    ran = 0
    for seed in range(first, first + 50):
        case = random_case(seed)
        plain = experiment_of(PRODUCT, case.tree(case.kept), case.sizes, case.machine)
        named = experiment_of(PRODUCT, case.tree([*case.kept, *case.named]), case.sizes, case.machine)
        if plain.problems or not case.named:
            continue
        assert named.problems == ()
        assert outcome(plain) == outcome(named), f"seed {seed}"
        ran += 1
    assert ran >= 25


@pytest.mark.parametrize("dataflow", ON_SIDES)
def test_naming_a_residency_changes_no_interval(dataflow: str) -> None:
    on_rows, on_columns, _ = ON_SIDES[dataflow]
    (tensor,) = (name for name, ranks in RANKS.items() if set(ranks) == {on_rows, on_columns})
    loops = [{on_rows: "4"}, {on_columns: "3"}]
    intervals = []
    for keeps in ([], [("RF", tensor, 1)]):
        tree = nodes(loops, product_leaf(dataflow), *keeps)
        experiment = experiment_of(PRODUCT, tree, dict.fromkeys("MNK", 12), array_of(4, 3))
        (part,) = bind(experiment).parts
        intervals.append((part.interval, [(bound.reason, bound.cycles) for bound in part.bounds]))
    assert intervals[0] == intervals[1]
    # 12 slots, and a train of 4 rows on the links down the columns.
    assert intervals[0][0] == 16
