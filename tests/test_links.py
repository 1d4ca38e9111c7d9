"""Links of an array as the machine file states them: one physics for both engines, the binding and the PE level, from YAML nouns.

The closed forms are written out here from trains and streams that take turns on a column's link (docs/cycle-pe.md), not taken from
the code: with R x C elements, a fold of r rows, c columns and T steps alone takes r + R + c + T - 2 cycles.
"""

import itertools
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import numpy as np
import pytest

from arch.types import Architecture
from sim.binding.answer import bind
from sim.design.assemble import load_experiment
from sim.design.experiment import Experiment
from sim.simulation.flow import IllegalMapping, simulate, simulate_all
from sim.systolic.mapped import product_of
from tests.by_hand import PRODUCT, experiment_of
from tests.cycle_designs import small_design, timed_experiment
from tests.small_design import run, write_design
from tests.test_engine_cycle import both_ways, check_against_bounds, outcome
from tests.test_links_naming import ON_SIDES, RANKS, array_of, nodes, product_leaf


class Wires(NamedTuple):
    """What a machine file says of an array's links."""

    down: int = 1
    shadow: bool = False
    overlap: bool = True

    @property
    def is_double(self) -> bool:
        """Slots of a product use one link down; trains may run on a second one, into a second register."""
        return self.down > 1 and self.shadow


ALL_WIRES = [Wires(*wires) for wires in itertools.product((1, 2), (False, True), (True, False))]


class Folded(NamedTuple):
    """A product in folds on R x C elements; sizes by rank."""

    rows: int
    columns: int
    sizes: dict[str, int]
    dataflow: str

    def experiment(self, wires: Wires | None, form: str) -> Experiment:
        """Loops over the columns' rank around those over the rows'; as loops of the leaf, of nodes, or with the tile named
        that stays in the elements.
        """
        on_rows, on_columns, _ = ON_SIDES[self.dataflow]
        loops, leaf = [{on_columns: str(self.columns)}, {on_rows: str(self.rows)}], product_leaf(self.dataflow)
        stated = {} if wires is None else {"PE": {"links": wires._asdict()}}
        machine = array_of(self.rows, self.columns, stated)
        if form == "leaf":
            tree: dict[str, Any] = {"body": [leaf | {"loops": [*loops, *leaf["loops"]]}]}
        else:
            tree = nodes(loops, leaf, *([("RF", self.staying, 1)] if form == "named" else []))
        return experiment_of(PRODUCT, tree, self.sizes, machine)

    @property
    def staying(self) -> str:
        on_rows, on_columns, _ = ON_SIDES[self.dataflow]
        return next(name for name, ranks in RANKS.items() if set(ranks) == {on_rows, on_columns})

    def folds(self) -> list[tuple[int, int, int]]:
        on_rows, on_columns, steps = (self.sizes[name.upper()] for name in ON_SIDES[self.dataflow])
        columns = [min(self.columns, on_columns - n) for n in range(0, on_columns, self.columns)]
        return [(min(self.rows, on_rows - n), c, steps) for c in columns for n in range(0, on_rows, self.rows)]

    def cycles(self, wires: Wires) -> int:
        """When the last result of any fold has left."""
        starts, ends = list[int](), list[int]()  # of the product proper: its first word, and when the next may begin
        load_starts = [0]
        left, folds = 0, self.folds()
        for n, (r, c, steps) in enumerate(folds):
            before = folds[n - 1] if n else (0, 0, 0)
            if self.dataflow == "output":
                if n == 0:
                    start = 0
                elif wires.is_double:  # the drain of the fold before runs beside
                    start = max(ends[-1], starts[-1] + before[0])
                else:
                    start = ends[-1] + before[0]
                last_word = start + steps + r
            else:
                if n == 0:
                    start = r
                elif wires.is_double:  # the load runs beside the fold before, into the register of the one before that
                    free = starts[n - 2] + folds[n - 2][2] if n > 1 else 0
                    load_starts.append(max(load_starts[-1] + before[0], free))
                    start = max(load_starts[-1] + r, ends[-1])
                else:
                    start = ends[-1] + r
                last_word = start + steps
            starts.append(start)
            ends.append(start + steps + (0 if wires.overlap else self.rows + c - 2))
            left = max(left, last_word + self.rows + c - 2)
        return left


SIZES = [dict(zip("MKN", sizes, strict=True)) for sizes in itertools.product((1, 3, 8, 13), (2, 5, 7), (1, 4, 9))]


@pytest.mark.parametrize("wires", ALL_WIRES, ids=str)
@pytest.mark.parametrize("dataflow", ON_SIDES)
def test_engines_and_pe_level_take_the_closed_form(dataflow: str, wires: Wires) -> None:
    random, forms = Random(7), itertools.cycle(("leaf", "node", "named"))
    for rows, columns in ((5, 3), (2, 3), (4, 4)):
        for sizes in random.sample(SIZES, 6):
            folded = Folded(rows, columns, sizes, dataflow)
            experiment, expected = folded.experiment(wires, next(forms)), folded.cycles(wires)
            assert simulate(experiment).cycles == expected, folded
            assert simulate(experiment, "cycle").cycles == expected, folded
            product = product_of(experiment)
            left = np.random.default_rng(1).normal(size=(product.shape.M, product.shape.K))
            right = np.random.default_rng(2).normal(size=(product.shape.K, product.shape.N))
            played = product.multiply(left, right)
            assert product.cycles == played.run.cycles == expected, folded
            np.testing.assert_allclose(played.values, left @ right, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("steps", [1, 3, 5, 40])
@pytest.mark.parametrize("dataflow", ON_SIDES)
def test_full_folds_take_the_published_forms(dataflow: str, steps: int) -> None:
    # Six full folds on 5 x 3 elements, R = 5 and C = 3.
    on_rows, on_columns, over = ON_SIDES[dataflow]
    sizes = {on_rows.upper(): 10, on_columns.upper(): 9, over.upper(): steps}
    folded, alone = Folded(5, 3, sizes, dataflow), 2 * 5 + 3 + steps - 2
    expected = {
        Wires(1, False, False): 6 * alone,
        Wires(1, False, True): 5 * (steps + 5) + alone,
        Wires(1, True, True): 5 * (steps + 5) + alone,  # no link is free for the train
        Wires(2, False, True): 5 * (steps + 5) + alone,  # no register is free for it
        Wires(2, True, True): 5 * max(steps, 5) + alone,
        Wires(2, True, False): 5 * max(steps + 5 + 3 - 2, 5) + alone,
    }
    for wires, cycles in expected.items():
        experiment = folded.experiment(wires, "leaf")
        assert simulate(experiment).cycles == cycles, wires
        assert simulate(experiment, "cycle").cycles == cycles, wires
        assert product_of(experiment).cycles == cycles, wires


@pytest.mark.parametrize("wires", ALL_WIRES, ids=str)
@pytest.mark.parametrize("dataflow", ON_SIDES)
def test_binding_finds_the_interval_of_folds(dataflow: str, wires: Wires) -> None:
    on_rows, on_columns, over = ON_SIDES[dataflow]
    for steps in (1, 3, 12):
        sizes = {on_rows.upper(): 12, on_columns.upper(): 9, over.upper(): steps}
        own = steps + (0 if wires.overlap else 4 + 3 - 2)
        expected = max(own, 4) if wires.is_double else own + 4
        for form in ("node", "named"):
            (part,) = bind(Folded(4, 3, sizes, dataflow).experiment(wires, form)).parts
            assert part.interval == expected


@pytest.mark.parametrize(
    ("wires", "cycles", "interval"),
    [(Wires(), 2 * (8 + 10) + 6, 18), (Wires(2, True), 2 * 10 + 8 + 6, 10), (Wires(1, False, False), 2 * (18 + 6), 24)],
)
def test_elements_may_hold_several_weights(wires: Wires, cycles: int, interval: int) -> None:
    # B in tiles of 10 x 3 on 5 x 3 elements, two words in each: a train of 10 for 2 x 4 slots, twice; 6 cycles of skew.
    leaf = product_leaf("weight") | {"loops": [{"k": "5"}, "m"]}
    tree = nodes([{"n": "3"}], leaf, ("RF", "B", 0))
    machine = array_of(5, 3, {"PE": {"links": wires._asdict()}})
    experiment = experiment_of(PRODUCT, tree, {"M": 4, "N": 6, "K": 10}, machine)
    assert simulate(experiment).cycles == cycles
    assert simulate(experiment, "cycle").cycles == cycles
    (part,) = bind(experiment).parts
    assert part.interval == interval


def test_a_machine_that_states_no_links_keeps_its_time() -> None:
    # 6 folds of 7 slots; the tile-level engine has one link a column and no shadow, as it always had.
    folded = Folded(5, 3, {"M": 10, "N": 9, "K": 7}, "output")
    assert simulate(folded.experiment(None, "leaf")).cycles == 6 * 7
    assert simulate(folded.experiment(None, "leaf"), "cycle").cycles == 6 * (7 + 5) + 5 + 3 - 2


@pytest.mark.parametrize("named", [False, True], ids=["implied", "named"])
def test_sums_that_come_back_are_shifted_in(named: bool) -> None:
    # 5 x 3 elements, M = 10 and K = 12 in pieces of 4, K outermost: 3 x 2 folds of 4 slots, each shifts 5 rows out; after the
    # first piece of K their sums are shifted in before.
    keeps = [("RF", "Z", 1)] if named else []
    tree = nodes([{"k": "4"}, {"m": "5"}], product_leaf("output"), *keeps)
    experiment = experiment_of(
        PRODUCT, tree, {"M": 10, "N": 3, "K": 12}, array_of(5, 3, {"PE": {"links": Wires()._asdict()}})
    )
    assert simulate(experiment).cycles == 6 * (4 + 5) + 4 * 5 + 5 + 3 - 2
    assert simulate(experiment, "cycle").cycles == 6 * (4 + 5) + 4 * 5 + 5 + 3 - 2


def test_engines_agree_on_random_products() -> None:
    """Loops in any order, the steps in pieces anywhere, ragged everywhere; trains take turns with slots."""
    for seed in range(80):
        random = Random(seed)
        rows, columns, dataflow = random.randint(2, 5), random.randint(2, 5), random.choice(tuple(ON_SIDES))
        on_rows, on_columns, steps = ON_SIDES[dataflow]
        loops = [{on_rows: str(rows)}, {on_columns: str(columns)}]
        if random.random() < 0.7:
            loops.append({steps: str(random.choice([2, 4, 7]))})
        random.shuffle(loops)
        wires = Wires(random.choice([1, 2]), False, random.random() < 0.7)
        machine = array_of(rows, columns, {"PE": {"links": wires._asdict()}})
        sizes = {rank: random.randint(1, 17) for rank in "MNK"}
        experiment = experiment_of(PRODUCT, nodes(loops, product_leaf(dataflow)), sizes, machine)
        assert simulate(experiment).cycles == simulate(experiment, "cycle").cycles, seed


def test_the_example_is_one_product_on_every_level() -> None:
    # Nine folds of 8 slots, weights of the next behind each; the first 5 rows are loaded before, the last column leaves after.
    example = Path(__file__).parents[1] / "docs" / "examples" / "systolic" / "experiment.yaml"
    experiment = load_experiment(str(example))
    assert 5 + 9 * 8 + 5 + 1 - 2 == 81
    assert simulate(experiment).cycles == simulate(experiment, "cycle").cycles == product_of(experiment).cycles == 81
    (part,) = bind(experiment).parts
    assert part.interval == 8


@pytest.mark.parametrize(
    ("tree", "reason"),
    [
        (
            nodes([{"k": "4"}, {"m": "5"}], product_leaf("output")),
            "on the PE level a fold on 'PE' takes all steps of 'k' in its innermost loop",
        ),
        (
            {"body": [product_leaf("output") | {"loops": ["k"], "spatial": {"rows": "m"}}]},
            "Einsum 'Z' is no product of two matrices with a rank on each side of its array",
        ),
        (
            nodes([{"n": "5"}, {"k": "3"}], product_leaf("weight") | {"spatial": {"rows": "n", "columns": "k"}}),
            "'k' is summed along the rows; on the PE level sums go down the columns",
        ),
        (
            nodes([{"m": "4"}], product_leaf("output")),
            "'m' is cut into tiles of 4 on a side of 5; on the PE level a fold fills its side",
        ),
    ],
)
def test_what_the_pe_level_cannot_run_is_refused(tree: dict[str, Any], reason: str) -> None:
    experiment = experiment_of(PRODUCT, tree, {"M": 9, "N": 3, "K": 8}, array_of(5, 3))
    with pytest.raises(ValueError) as error:
        product_of(experiment)
    assert str(error.value) == reason


def with_links(experiment: Experiment, seed: int) -> Experiment:
    """The same design on arrays with links of any kind."""
    random, data = Random(seed), experiment.architecture.model_dump(mode="json", by_alias=True)
    for component in data["components"]:
        if component["kind"] == "array" and random.random() < 0.8:
            wires = Wires(random.choice([1, 2, 3]), random.random() < 0.5, random.random() < 0.7)
            component["links"] = wires._asdict() | {"along": random.choice([1, 2])}
    return replace(experiment, architecture=Architecture.model_validate(data))


@pytest.mark.parametrize("first", range(0, 42, 14))
def test_skipping_changes_nothing_with_links(first: int) -> None:
    ran = 0
    for seed, make in itertools.product(range(first, first + 14), (small_design, timed_experiment)):
        plain = make(seed)
        if plain is None:
            continue
        experiment = with_links(plain, seed)
        try:
            simulate_all([experiment])
            fast, slow = both_ways(experiment)
        except (IllegalMapping, ValueError):
            continue
        assert outcome(fast) == outcome(slow), f"seed {seed}"
        check_against_bounds(experiment, fast)
        ran += 1
    assert ran >= 14


ROW_SUMS = {
    "name": "row-sums", "ranks": dict.fromkeys("KM", ""), "inputs": {"A": ["K", "M"], "B": ["K", "M"]}, "outputs": ["Z"],
    "einsums": "Z[m] = A[k,m] * B[k,m]",
}  # fmt: skip


def test_sums_within_elements_take_a_slot_over_the_elements() -> None:
    # K = 10 on 5 rows: an element adds up 2 words, then the column does. M = 6 on 3 columns: 2 tiles. The products' first slot
    # computes, so nothing can share the slot of the column.
    leaf = {"einsum": "Z", "array": "PE", "spatial": {"rows": "k", "columns": "m"}}
    inside = {"loops": [{"m": "3"}], "body": [leaf | {"loops": [{"k": "5"}]}]}
    outside = {"loops": [{"k": "5"}], "body": [leaf | {"loops": [{"m": "3"}]}]}
    sizes = {"K": 10, "M": 6}
    assert simulate(experiment_of(ROW_SUMS, inside, sizes, array_of(5, 3))).cycles == 2 * (2 + 1)
    assert simulate(experiment_of(ROW_SUMS, outside, sizes, array_of(5, 3))).cycles == 2 * 2
    (part,) = bind(experiment_of(ROW_SUMS, inside, sizes, array_of(5, 3))).parts
    assert {bound.reason: bound.cycles for bound in part.bounds}["PE"] == 3


@pytest.mark.parametrize(
    ("links", "sentence"),
    [
        ("{dwn: 2}", "$.components.SQUARE.links.dwn: unknown key 'dwn' (did you mean 'down'?)"),
        ("{down: 0}", "$.components.SQUARE.links.down: expected a whole number of at least 1, got 0"),
        ("{shadow: maybe}", "$.components.SQUARE.links.shadow: expected true or false, got 'maybe'"),
    ],
)
def test_what_a_file_says_of_links_is_checked(tmp_path: Path, links: str, sentence: str) -> None:
    write_design(tmp_path, {"machine.yaml": [("    registers: RFS\n", f"    registers: RFS\n    links: {links}\n")]})
    status, out, err = run(["check", str(tmp_path / "machine.yaml")])
    assert status == 1
    assert (out + err).strip() == f"{tmp_path / 'machine.yaml'}:21: {sentence}"
