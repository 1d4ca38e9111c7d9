"""Mappings of the literature's kind, counted by hand: words, room, energy and sequential time on a small machine.

Every access costs 1 pJ a word and every operation 1 pJ, so that energy is a count too. The machine has a buffer and
2 x 2 elements (`by_hand`), or beside them a vector unit of 3 lanes.
"""

from typing import Any

from arch.types import Architecture
from sim import SimulationResult
from tests.by_hand import PRODUCT, experiment_of, small_machine
from tests.counted import WORD_BYTES, counted, words

CHAIN = {
    "name": "chain", "ranks": dict.fromkeys("KMNL", ""), "outputs": ["Z"],
    "inputs": {"A": ["K", "M"], "B": ["K", "N"], "C": ["N", "L"]},
    "einsums": "T[m,n] = A[k,m] * B[k,n]\nZ[m,l] = T[m,n] * C[n,l]",
}  # fmt: skip
ATTENTION = {
    "name": "attention", "ranks": dict.fromkeys("EFMP", ""), "outputs": ["AV"],
    "inputs": {"Q": ["E", "P"], "K": ["E", "M"], "V": ["F", "M"]},
    "einsums": (
        "QK[m,p] = Q[e,p] * K[e,m]\nGM[p] = QK[m,p] :: max(m)\nSN[m,p] = exp(QK[m,p] - GM[p])\nSD[p] = SN[m,p]\n"
        "A[m,p] = SN[m,p] / SD[p]\nAV[f,p] = A[m,p] * V[f,m]"
    ),
}  # fmt: skip


def room(result: SimulationResult, memory: str) -> float:
    return result.footprint_bytes[memory] / WORD_BYTES


def leaf(einsum: str, spatial: dict[str, str], *loops: Any, on: str = "PE") -> dict[str, Any]:
    return {"einsum": einsum, "array": on, "loops": list(loops), "spatial": spatial}


def with_vector_unit() -> Architecture:
    """The small machine and a row of 3 lanes that does everything but products, an exponential in 4 cycles."""
    data = small_machine().model_dump(by_alias=True, exclude_none=True)
    components = {part["name"]: {k: v for k, v in part.items() if k != "name"} for part in data["components"]}
    own = {"energy": "1 pJ", "source": "made up"}
    components["VEC"] = components["PE"] | {
        "rows": 1, "columns": 3, "registers": "RFV",
        "operations": {
            "exp": {"operators": ["sub", "exp"], "also": [["exp"]], "cycles": 4} | own,
            "plain": {"operators": ["max"], "also": [["add"], ["div"], ["mul"]], "cycles": 1} | own,
        },
    }  # fmt: skip
    components["RFV"] = components["RF"] | {"per_pe_of": "VEC"}
    return Architecture.model_validate(data | {"components": components})


def test_a_product_in_tiles() -> None:
    """M, N, K = 8, 6, 4; tiles of 4 x 2 results, A's tile kept while n goes by: A comes once, B for each of 2 tiles of m."""
    tree = {
        "loops": [{"m": 4}], "keep": {"GLB": ["A"]},
        "body": [{"loops": [{"n": 2}], "keep": {"GLB": ["B", "Z"]},
                  "body": [leaf("Z", {"rows": "m", "columns": "n"}, {"m": 2}, "k")]}],
    }  # fmt: skip
    result = counted(experiment_of(PRODUCT, tree, {"K": 4, "M": 8, "N": 6}))
    assert words(result, "A", "DRAM") == (4 * 8, 0)
    assert words(result, "B", "DRAM") == (2 * 4 * 6, 0)
    assert words(result, "Z", "DRAM") == (0, 8 * 6)
    assert words(result, "A", "GLB") == (3 * 4 * 8, 4 * 8)  # for each of 3 tiles of n, two columns at once
    assert words(result, "B", "GLB") == (2 * 2 * 4 * 6, 2 * 4 * 6)  # for each pair of rows
    assert room(result, "GLB") == 4 * 4 + 4 * 2 + 4 * 2
    assert result.cycles == 8 * 6 * 4 / 4
    assert result.energy_by_component_pj["PE"] == 8 * 6 * 4


def test_partial_sums_that_spill() -> None:
    """K = 6 in 3 pieces outside everything: 12 sums leave 3 times and come back twice, A and B come once."""
    tree = {"loops": [{"k": 2}], "body": [leaf("Z", {"rows": "m", "columns": "n"}, {"m": 2}, {"n": 2}, "k")]}
    result = counted(experiment_of(PRODUCT, tree, {"K": 6, "M": 4, "N": 3}))
    assert words(result, "Z", "DRAM") == (2 * 12, 3 * 12)
    assert words(result, "A", "DRAM") == (2 * 24, 0)  # again for the second, ragged tile of n
    assert words(result, "B", "DRAM") == (2 * 18, 0)
    # Of each of the 6 tiles of results: 2 steps a piece; 4, or half of them at the ragged end.
    assert result.cycles == 3 * 2 * 2 * 2


def test_a_chain_fused_and_unfused() -> None:
    """T of M x N = 4 x 3: unfused out and in again for both halves of L; fused on m it never leaves the buffer."""
    sizes = {"K": 5, "M": 4, "N": 3, "L": 4}
    one = leaf("T", {"rows": "m"}, "n", {"m": 2}, "k")
    other = leaf("Z", {"rows": "m", "columns": "l"}, {"m": 2}, {"l": 2}, "n")
    unfused = counted(experiment_of(CHAIN, {"body": [one, other]}, sizes))
    assert words(unfused, "T", "DRAM") == (2 * 12, 12)
    assert words(unfused, "C", "DRAM") == (2 * 12, 0)
    tree = {
        "keep": {"GLB": ["B", "C"]},
        "body": [{"loops": [{"m": 2}], "keep": {"GLB": ["T"]},
                  "body": [leaf("T", {"rows": "m"}, "n", "k"), leaf("Z", {"rows": "m", "columns": "l"}, {"l": 2}, "n")]}],
    }  # fmt: skip
    fused = counted(experiment_of(CHAIN, tree, sizes))
    assert words(fused, "T", "DRAM") == (0, 0)
    assert words(fused, "T", "GLB") == (2 * 12, 12)  # read for both halves of L
    assert words(fused, "B", "DRAM") == (15, 0) and words(fused, "C", "DRAM") == (12, 0)
    assert words(fused, "A", "DRAM") == (3 * 20, 0)  # for each n
    assert room(fused, "GLB") == 15 + 12 + 2 * 3
    assert fused.cycles == unfused.cycles == 3 * 2 * 5 + 2 * 2 * 3


def attention_leaves(p: list[Any]) -> list[dict[str, Any]]:
    """Products on the square array, everything else on the vector unit, three queries side by side at most."""
    return [
        leaf("QK", {"rows": "m", "columns": "p"}, *p, {"m": 2}, "e"),
        leaf("GM", {"columns": "p"}, *p, "m", on="VEC"),
        leaf("SN", {"columns": "p"}, *p, "m", on="VEC"),
        leaf("SD", {"columns": "p"}, *p, "m", on="VEC"),
        leaf("A", {"columns": "p"}, *p, "m", on="VEC"),
        leaf("AV", {"rows": "f", "columns": "p"}, *p, {"f": 2}, "m"),
    ]


def test_attention_of_six_einsums_unfused_and_fused() -> None:
    """E, F, M, P = 3, 4, 6, 4, two queries at a time: 24 scores, made, and read 2, 3, 1 times as the passes ask."""
    sizes, machine = {"E": 3, "F": 4, "M": 6, "P": 4}, with_vector_unit()
    unfused = counted(experiment_of(ATTENTION, {"body": attention_leaves([{"p": 2}])}, sizes, machine))
    assert words(unfused, "QK", "DRAM") == (2 * 24, 24)  # for the maximum and for the exponential
    assert words(unfused, "SN", "DRAM") == (2 * 24, 24)  # for the sum and for the division
    assert words(unfused, "A", "DRAM") == (2 * 24, 24)  # for both halves of F
    assert words(unfused, "GM", "DRAM") == (4, 4) and words(unfused, "SD", "DRAM") == (4, 4)
    assert words(unfused, "K", "DRAM") == (2 * 18, 0) and words(unfused, "V", "DRAM") == (2 * 24, 0)

    kept = ["QK", "GM", "SN", "SD", "A"]
    tree = {"loops": [{"p": 2}], "keep": {"GLB": kept}, "body": attention_leaves([])}
    fused = counted(experiment_of(ATTENTION, tree, sizes, machine))
    for tensor in kept:
        assert words(fused, tensor, "DRAM") == (0, 0)
        assert words(fused, tensor, "GLB") == words(unfused, tensor, "DRAM")
    assert words(fused, "Q", "DRAM") == (3 * 3 * 4, 0)  # for each pair of keys
    assert words(fused, "AV", "DRAM") == (0, 16)
    # A tile of scores (12 words) lives from its maker to its last reader: QK and SN with GM, then SN and A with SD.
    assert room(fused, "GLB") == 12 + 12 + 2
    products = 2 * (3 * 3 + 2 * 6)
    vector = 2 * (6 + 6 * 4 + 6 + 6)
    assert fused.cycles == unfused.cycles == products + vector
    assert fused.busy_cycles_by_einsum["SN"] == 2 * 6 * 4
    assert fused.energy_by_component_pj["PE"] == 24 * 3 + 24 * 4
    assert fused.energy_by_component_pj["VEC"] == 4 * 24
