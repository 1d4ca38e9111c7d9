"""Totals taken apart by Einsum, and what the rows of a memory cost."""

from fractions import Fraction
from typing import Any

import pytest

from arch.types import Architecture
from sim import SimulationResult, load_experiment, simulate
from sim.cycle.answer import design_of
from sim.load.nouns import CATALOGS
from sim.lower.machine import Machines
from sim.simulation.flow import count
from tests.by_hand import PRODUCT, experiment_of, small_machine

SIZES = {"K": 5, "M": 4, "N": 6}
LEAF = {"einsum": "Z", "array": "PE", "loops": [{"m": 2}, {"n": 2}, "k"], "spatial": {"rows": "m", "columns": "n"}}
CLOSE = {"rel": 1e-12}


# --- by Einsum ----------------------------------------------------------------------------------------------
def assert_parts_add_up(result: SimulationResult) -> None:
    machine = result.experiment.architecture
    for memory, total in result.traffic_bytes.items():
        own = [by.get(memory, {"read": 0.0, "write": 0.0}) for by in result.traffic_by_einsum_bytes.values()]
        for direction in ("read", "write"):
            assert sum(moved[direction] for moved in own) == pytest.approx(total[direction], **CLOSE)
        bandwidth = machine.memory(memory).bandwidth_bits_per_s
        cycles = 0.0 if bandwidth is None else sum(total.values()) * 8 / bandwidth * machine.clock_hz
        if not machine.is_in_core(memory):
            assert sum(result.memory_cycles_by_einsum[memory].values()) == pytest.approx(cycles, **CLOSE)
    for einsum, by_memory in result.traffic_by_einsum_bytes.items():
        assert set(by_memory) == {m for m, cycles in result.memory_cycles_by_einsum.items() if einsum in cycles}


@pytest.mark.parametrize("name", CATALOGS["experiment"].names())
def test_einsums_of_shipped_designs_add_up(name: str) -> None:
    assert_parts_add_up(simulate(load_experiment(name)))


def test_time_of_a_memory_that_sets_the_latency_is_its_einsums_together() -> None:
    result = simulate(load_experiment("decode-h100"))
    assert result.bound_by == "HBM"
    assert sum(result.memory_cycles_by_einsum["HBM"].values()) == pytest.approx(result.cycles, **CLOSE)


def test_traffic_and_time_of_two_einsums_by_hand() -> None:
    """X = A B is kept; Y = X C takes it from there. 2 bytes a word, 4 bytes a cycle from the buffer."""
    cascade = {
        "name": "two", "ranks": dict.fromkeys("MPK", ""), "inputs": {"A": ["M", "K"], "B": ["K", "P"], "C": ["P"]},
        "outputs": ["Y"], "einsums": "X[m,p] = A[m,k] * B[k,p]\nY[m,p] = X[m,p] * C[p]",
    }  # fmt: skip
    leaves: list[dict[str, Any]] = [
        {"einsum": "X", "array": "PE", "loops": ["m", "p", "k"]},
        {"einsum": "Y", "array": "PE", "loops": ["m", "p"]},
    ]
    machine = small_machine(bandwidth="32 Gbit/s")
    experiment = experiment_of(cascade, {"keep": {"GLB": ["X"]}, "body": leaves}, {"M": 3, "P": 4, "K": 5}, machine)
    result = simulate(experiment)
    assert result.traffic_by_einsum_bytes["X"]["DRAM"] == {"read": 2 * (60 + 60), "write": 0}
    assert result.traffic_by_einsum_bytes["X"]["GLB"] == {"read": 0, "write": 2 * 12}
    assert result.traffic_by_einsum_bytes["Y"]["GLB"] == {"read": 2 * 12, "write": 0}
    assert result.traffic_by_einsum_bytes["Y"]["DRAM"] == {"read": 2 * 12, "write": 2 * 12}
    assert result.memory_cycles_by_einsum["GLB"] == {"X": 24 / 4, "Y": 24 / 4}
    assert result.memory_cycles_by_einsum["DRAM"] == {"X": 0, "Y": 0}  # nothing limits it
    assert_parts_add_up(result)
    document = list(result.to_json())
    assert document.index("traffic_by_einsum_bytes") == document.index("traffic_by_tensor_bytes") + 1
    assert document.index("memory_cycles_by_einsum") == document.index("busy_cycles_by_einsum") + 1


# --- rows ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("row", "word", "words", "rows"),
    [(64, 16, 4, 1), (64, 24, 2, 1), (64, 20, 3, 1), (64, 64, 1, 1), (16, 32, 1, 2), (16, 24, 1, 2), (10, 24, 1, 3)],
)
def test_words_lie_whole_in_rows_or_take_whole_rows(row: int, word: int, words: int, rows: int) -> None:
    columns = Machines.of([machine_of(float(word), float(row))]).columns((("PE", ("mul", "add")),))
    assert columns.row_words.tolist() == [[words] * 3] and columns.word_rows.tolist() == [[rows] * 3]
    assert columns.row_bytes.tolist() == [[words * word / 8 / rows] * 3]


def machine_of(word_bits: float, row_bits: float) -> Architecture:
    machine = small_machine()
    memories = {m.name: m.model_copy(update={"declared_row_bits": row_bits}) for m in machine.memories}
    components = tuple(memories.get(c.name, c) for c in machine.components)
    return machine.model_copy(update={"word_bits": word_bits, "components": components})


@pytest.mark.parametrize(
    ("row", "word", "rows_a_word"),
    [(64, 16, 1 / 4), (64, 24, 1 / 2), (64, 20, 1 / 3), (64, 33, 1), (16, 24, 2), (16, 32, 2), (16, 33, 3)],
)
def test_energy_counts_whole_words_of_a_row(row: int, word: int, rows_a_word: float) -> None:
    """Every row costs 1 pJ; the words of a product are the same whatever their width."""
    tree = {"keep": {"GLB": ["A"]}, "body": [LEAF]}
    found = simulate(experiment_of(PRODUCT, tree, SIZES, machine_of(float(word), float(row))))
    for memory, moved in found.traffic_bytes.items():
        words = sum(moved.values()) * 8 / word
        assert found.energy_by_component_pj[memory] == pytest.approx(words * rows_a_word, **CLOSE)
    assert sum(found.traffic_bytes["DRAM"].values()) * 8 / word == 20 + 60 + 24  # A once, B for two tiles of m, and Z


@pytest.mark.parametrize(("word", "cycles"), [(16, 5), (24, 10), (40, 20), (72, 40)])
def test_the_cycle_engine_moves_rows_of_whole_words(word: int, cycles: int) -> None:
    """A row of 64 bit a cycle: four words of 16, two of 24, one of 40, half of one of 72. That is how many
    cycles the 20 words of A take.
    """
    experiment = experiment_of(PRODUCT, {"keep": {"GLB": ["A"]}, "body": [LEAF]}, SIZES, machine_of(float(word), 64.0))
    counted = count(experiment)
    design = design_of(experiment, counted.tables, counted.evaluation)
    assert design.machine.row_words("GLB") == Fraction(20, cycles)
