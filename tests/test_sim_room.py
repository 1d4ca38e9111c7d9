"""How much a memory must hold at once: tiles that come and go, tiles in flight in a pipeline, and what is said of a full one."""

from typing import Any

import pytest

from arch.types import Architecture
from einsums.types import Cascade
from mappings.types import Mapping
from sim import Experiment, IllegalMapping, load_experiment, simulate
from sim.binding.answer import bind
from tests.by_hand import experiment_of, small_machine
from tests.cycle_designs import ONE_PASS_STAGES
from tests.test_sim_oracle import differences

WORD_BYTES = 2
SIZES = {"M": 4, "P": 6}


def cascade(text: str, outputs: list[str], **more: Any) -> dict[str, Any]:
    inputs = {"A": ["M", "P"], "B": ["M"], "D": ["P"]}
    used = {name: ranks for name, ranks in inputs.items() if f"{name}[" in text}
    return {"name": "chain", "ranks": {"M": "", "P": ""}, "inputs": used, "outputs": outputs, "einsums": text} | more


CHAIN = cascade(
    "X[m,p] = A[m,p] * A[m,p]\nW[m,p] = X[m,p] * X[m,p]\nY[m,p] = W[m,p] * W[m,p]\nZ[m,p] = Y[m,p] * A[m,p]", ["Z"]
)


def leaf(einsum: str, *loops: Any, **more: Any) -> dict[str, Any]:
    return {"einsum": einsum, "array": "PE", "loops": list(loops)} | more


def held_words(text: dict[str, Any], tree: dict[str, Any], sizes: dict[str, int], memory: str = "GLB") -> float:
    """Words that a memory holds; an execution of the loops finds the same."""
    experiment = experiment_of(text, tree, sizes)
    assert experiment.problems == ()
    result = simulate(experiment)
    assert not differences(experiment, result)
    return result.footprint_bytes[memory] / WORD_BYTES


# --- one Einsum after the other -----------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("kept", "words"),
    [
        (["X", "W", "Y"], 12),  # at any time a tile is read and the next one made
        (["A", "X", "W", "Y"], 18),  # filled for the first Einsum, needed by the last
        (["W", "Z"], 6),  # Z comes when W has gone; it leaves when it is made
        (["W", "Y", "Z"], 12),
    ],
)
def test_a_tile_takes_room_from_its_first_use_to_its_last(kept: list[str], words: int) -> None:
    tree = {"loops": ["m"], "keep": {"GLB": kept}, "body": [leaf(name, "p") for name in "XWYZ"]}
    assert held_words(CHAIN, tree, SIZES) == words


@pytest.mark.parametrize(("tile", "words"), [(2, 18), (5, 18), (6, 12)])
def test_a_loop_that_runs_again_needs_its_tiles_all_along(tile: int, words: int) -> None:
    """Three tiles of a row are there together where the Einsums take turns in pieces of it; a loop of one iteration does
    not count.
    """
    inner = {"loops": [{"p": tile}], "body": [leaf(name, "p") for name in "XWYZ"]}
    assert held_words(CHAIN, {"loops": ["m"], "keep": {"GLB": ["X", "W", "Y"]}, "body": [inner]}, SIZES) == words


def test_only_loops_around_several_einsums_run_again() -> None:
    """X and W take turns, Y and Z come after them: Y takes room when X has gone."""
    inner = {"loops": [{"p": 2}], "body": [leaf("X", "p"), leaf("W", "p")]}
    tree = {"loops": ["m"], "keep": {"GLB": ["X", "W", "Y"]}, "body": [inner, leaf("Y", "p"), leaf("Z", "p")]}
    assert held_words(CHAIN, tree, SIZES) == 12


SCALED = cascade("U[m,p] = A[m,p] * B[m]\nZ[m,p] = U[m,p] * U[m,p]", ["Z"])


@pytest.mark.parametrize(("tile", "words"), [(2, 2 + 2 + 1), (6, 6 + 6)])
def test_a_tile_that_outlasts_an_iteration_is_there_all_the_time(tile: int, words: int) -> None:
    """The word of B serves every tile of p, so that it waits while Z runs, unless there is only one tile."""
    tree = {"loops": ["m", {"p": tile}], "keep": {"GLB": ["B", "U", "Z"]}, "body": [leaf("U", "p"), leaf("Z", "p")]}
    assert held_words(SCALED, tree, SIZES) == words


def test_a_tile_outlasts_loops_of_the_nodes_around_its_own() -> None:
    """B is kept for U alone, and still it waits for the next tile of p while Z runs beside it."""
    alone = {"keep": {"GLB": ["B"]}, "body": [leaf("U", "p")]}
    tree = {"loops": ["m", {"p": 2}], "keep": {"GLB": ["U", "Z"]}, "body": [alone, leaf("Z", "p")]}
    assert held_words(SCALED, tree, SIZES) == 2 + 2 + 1


RUNNING = cascade(
    "R[m+1,p] = R[m,p] + A[m,p]\nZ[m,p] = R[m+1,p] * D[p]\nU[m,p] = A[m,p] * A[m,p]\nV[m,p] = U[m,p] * U[m,p]",
    ["Z", "V"],
    init={"R": 0},
)


@pytest.mark.parametrize(("steps", "words"), [(4, 6 + 6), (1, 6)])
def test_a_running_value_waits_for_the_next_step(steps: int, words: int) -> None:
    """After R and Z it is needed again, as the old one, while U and V use a tile of their own; not after a single step."""
    body = [leaf(name, "p") for name in ("R", "Z", "U", "V")]
    assert (
        held_words(RUNNING, {"loops": ["m"], "keep": {"GLB": ["R", "U"]}, "body": body}, SIZES | {"M": steps}) == words
    )


def test_a_running_value_that_lies_further_out_need_not_wait() -> None:
    """Filled and drained in every step, its tile takes room while R and Z run."""
    body = [leaf(name, "p") for name in ("R", "Z", "U", "V")]
    outputs = RUNNING | {"outputs": ["Z", "V", "R"]}
    assert held_words(outputs, {"loops": ["m"], "keep": {"GLB": ["R", "U"]}, "body": body}, SIZES) == 6


def test_several_copies_take_turns_all_the_time() -> None:
    """While one tile of X is used the next one comes."""
    kept = [{"tensor": "X", "copies": 2}, "Y"]
    tree = {"loops": ["m"], "keep": {"GLB": kept}, "body": [leaf(name, "p") for name in "XWYZ"]}
    assert held_words(CHAIN, tree, SIZES) == 2 * 6 + 6


def test_tiles_beside_elements_come_and_go_too() -> None:
    """Four elements, two of them along p in use: of a row of 6 words an element holds 3, of two tensors at a time."""
    sides = {"spatial": {"columns": "p"}}
    tree = {"loops": ["m"], "keep": {"RF": ["X", "W", "Y"]}, "body": [leaf(name, {"p": 2}, **sides) for name in "XWYZ"]}
    assert held_words(CHAIN, tree, SIZES, "RF") == 6


# --- what is said of a memory that is too full ---------------------------------------------------------------
def refusal(tree: dict[str, Any], machine: Architecture, **mapping: Any) -> list[str]:
    experiment = mapped(CHAIN, tree, {"kind": "sequential"}, machine, **mapping)
    assert experiment.problems == ()
    with pytest.raises(IllegalMapping) as caught:
        simulate(experiment)
    return [f"{problem.path}: {problem.message}" for problem in caught.value.problems]


def mapped(
    text: dict[str, Any], tree: dict[str, Any], schedule: dict[str, Any], machine: Architecture, **more: Any
) -> Experiment:
    mapping = {"name": "by-hand", "cascade": text["name"], "tree": tree, "schedule": schedule} | more
    nouns = Cascade.model_validate(text), machine, Mapping.model_validate(mapping)
    return Experiment("by-hand", *nouns, tuple(SIZES.items()), ())


def apart(*kept: tuple[str, list[str]]) -> dict[str, Any]:
    """A node for each Einsum of the chain, in turn, with what it keeps."""
    tensors = dict(kept)
    return {
        "keep": {"GLB": ["X"]},
        "body": [
            {"loops": [{"m": 2}], "keep": {"GLB": tensors[name]}, "body": [leaf(name, "m", "p")]}
            if name in tensors
            else leaf(name, "m", "p")
            for name in "XWYZ"
        ],
    }


def test_the_node_that_is_too_large_is_named_with_its_tiles() -> None:
    """X is there for the first two Einsums: 24 words. The third is alone with 12 of W and 12 of Y, the last with Y and A."""
    tree = apart(("Y", ["W", "Y"]), ("Z", ["A", "Y", "Z"]))
    assert refusal(tree, small_machine(size="60 B")) == [
        "tree.body[3].keep.GLB: 'GLB' holds 60 B but the tiles it keeps need 72 B: A 24 B, Y 24 B, Z 24 B"
    ]


def test_tiles_of_several_nodes_copies_turns_and_reserved_room() -> None:
    inner = {
        "loops": [{"p": 3}],
        "keep": {"GLB": [{"tensor": "A", "copies": 3}]},
        "body": [leaf(name, "m", "p") for name in "XWYZ"],
    }
    tree = {"loops": [{"m": 2}], "keep": {"GLB": ["X", "W", "Y"]}, "share": {"GLB": [["X", "Y"]]}, "body": [inner]}
    reserve = [{"memory": "GLB", "label": "a stream", "words": "5"}]
    assert refusal(tree, small_machine(size="90 B"), reserve=reserve) == [
        "tree.keep.GLB: 'GLB' holds 90 B but the tiles it keeps need 94 B: 3 tiles of A 36 B, X or Y 24 B, W 24 B, a stream 10 B"
    ]


def test_an_element_is_too_small_for_its_tiles() -> None:
    sides = {"spatial": {"columns": "p"}}
    tree = {"loops": ["m"], "keep": {"RF": ["X", "W", "Y"]}, "body": [leaf(name, {"p": 2}, **sides) for name in "XWYZ"]}
    machine = small_machine()
    registers = machine.memory("RF").model_copy(update={"declared_size_bits": 5 * 16.0})
    smaller = machine.model_copy(
        update={"components": tuple(registers if c.name == "RF" else c for c in machine.components)}
    )
    assert refusal(tree, smaller) == [
        "tree.keep.RF: an element of 'RF' holds 10 B but the tiles it keeps need 12 B: X 6 B, W 6 B"
    ]


# --- tiles in flight ----------------------------------------------------------------------------------------
STAGED = cascade("X[m,p] = A[m,p] * A[m,p]\nW[m,p] = X[m,p] * X[m,p]\nZ[m,p] = X[m,p] * W[m,p]", ["Z"])
PORTS = {"ports": 4, "banks": 4}  # as many as anything asks for
STEPS = {"loops": ["m"], "keep": {"GLB": ["X", "W"]}, "body": [leaf(name, "p") for name in "XWZ"]}


def pipelined(
    text: dict[str, Any], tree: dict[str, Any], stages: dict[str, int], size: str | None = None
) -> Experiment:
    machine = small_machine(**({} if size is None else {"size": size}), **PORTS)
    experiment = mapped(text, tree, {"kind": "pipelined", "stages": stages}, machine)
    assert experiment.problems == ()
    return experiment


@pytest.mark.parametrize(
    ("stages", "tiles"),
    [((0, 0, 0), 1 + 1), ((0, 1, 1), 2 + 1), ((0, 1, 2), 3 + 2), ((0, 1, 3), 4 + 3), ((0, 0, 1), 2 + 2)],
)
def test_a_pipeline_holds_every_tile_that_is_made_and_not_yet_read(stages: tuple[int, int, int], tiles: int) -> None:
    """A tile made in stage s and last read in stage t is one of t - s + 1, as the cycle engine has them."""
    named = dict(zip("XWZ", stages, strict=True))
    needed = tiles * 6 * WORD_BYTES
    assert simulate(pipelined(STAGED, STEPS, named)).footprint_bytes["GLB"] == needed
    fits = pipelined(STAGED, STEPS, named, f"{needed} B")
    assert simulate(fits, "cycle").warnings == ()
    with pytest.raises(IllegalMapping):
        simulate(pipelined(STAGED, STEPS, named, f"{needed - WORD_BYTES} B"))


def test_tiles_in_flight_are_told() -> None:
    experiment = pipelined(STAGED, STEPS, {"X": 0, "W": 1, "Z": 3}, "80 B")
    with pytest.raises(IllegalMapping) as caught:
        simulate(experiment)
    assert [f"{problem.path}: {problem.message}" for problem in caught.value.problems] == [
        "tree.keep.GLB: 'GLB' holds 80 B but the tiles it keeps need 84 B: 4 tiles of X 48 B, 3 tiles of W 36 B"
    ]


@pytest.mark.parametrize(("rows", "tiles"), [(1, 4), (2, 3), (4, 1)])
def test_a_tile_of_several_steps_is_needed_less_often(rows: int, tiles: int) -> None:
    """X of `rows` rows stays for as many steps, and is read 3 steps after it is made: ceil((rows - 1 + 4) / rows) tiles; of
    all 4 rows there is only one.
    """
    inner = {"loops": ["m"], "body": [leaf(name, "p") for name in "XWZ"]}
    tree = {"loops": [{"m": rows}], "keep": {"GLB": ["X"]}, "body": [inner]}
    stages = {"X": 0, "W": 0, "Z": 3}
    found = simulate(pipelined(STAGED, tree, stages)).footprint_bytes["GLB"] / (rows * 6 * WORD_BYTES)
    assert found == tiles


SPREAD = {
    "name": "spread", "ranks": {"M": "", "P": "", "N": ""}, "inputs": {"A": ["M", "P"], "C": ["N"]}, "outputs": ["Z"],
    "einsums": "X[m,p] = A[m,p] * A[m,p]\nZ[m,p,n] = X[m,p] * C[n]",
}  # fmt: skip


@pytest.mark.parametrize(
    ("reading", "tiles"),
    [
        ([{"p": 2}], 1),  # both go through a row in pieces of 2: each takes the place of one that was just read
        ([{"p": 3}], 2),  # in other pieces
        (["n"], 2),  # the row is read again for every n
    ],
)
def test_passes_over_a_tile_in_one_order_need_a_tile_less(reading: list[Any], tiles: int) -> None:
    rest = [*(["n"] if "n" not in reading else []), "p"]
    body = [
        {"loops": [{"p": 2}], "body": [leaf("X", "p")]},
        {"loops": reading, "body": [leaf("Z", *rest)]},
    ]
    tree = {"loops": ["m"], "keep": {"GLB": ["X"]}, "body": body}
    mapping = {
        "name": "by-hand", "cascade": "spread", "tree": tree, "schedule": {"kind": "pipelined", "stages": {"X": 0, "Z": 1}},
    }  # fmt: skip
    nouns = Cascade.model_validate(SPREAD), small_machine(), Mapping.model_validate(mapping)
    experiment = Experiment("by-hand", *nouns, (("M", 4), ("P", 6), ("N", 3)), ())
    assert simulate(experiment).footprint_bytes["GLB"] == tiles * 6 * WORD_BYTES


def test_all_pieces_of_the_steps_between_are_held() -> None:
    """X lies word by word inside a step of 6: one step between making and reading leaves 6 and the one in work."""
    inner = {"loops": ["p"], "keep": {"GLB": ["X"]}, "body": [leaf("X"), leaf("Z")]}
    text = cascade("X[m,p] = A[m,p] * A[m,p]\nZ[m,p] = X[m,p] * X[m,p]\nV[m,p] = A[m,p] * A[m,p]", ["Z", "V"])
    tree = {"loops": ["m"], "body": [inner, leaf("V", "p")]}
    for late, words in ((0, 1), (1, 6 + 1), (2, 12 + 1)):
        experiment = pipelined(text, tree, {"X": 0, "Z": late, "V": 0})
        assert simulate(experiment).footprint_bytes["GLB"] == words * WORD_BYTES


def test_tiles_in_flight_of_a_published_design_are_those_that_bind_finds() -> None:
    """Scores are made two steps before their exponentials: three of them in an element and one exponential, as the binding
    search has them, of the 12 words that the published element holds.
    """
    experiment = load_experiment(
        "fusemax-binding", {"mapping.schedule": {"kind": "pipelined", "stages": ONE_PASS_STAGES}}
    )
    assert simulate(experiment).footprint_bytes["RF2D"] == (3 + 1) * WORD_BYTES
    in_flight = {(memory, tensor): pieces for memory, tensor, pieces in bind(experiment).main.copies}
    assert in_flight["RF2D", "QK"] == 3 and in_flight["RF2D", "SLN"] == 1


def test_the_cycle_engine_says_where_tiles_fit_one_after_the_other_only() -> None:
    """Two tiles of 12 B fit; with three places, as the cycle engine fills them ahead, they would not."""
    tree = {"loops": ["m"], "keep": {"GLB": ["X", "W", "Y"]}, "body": [leaf(name, "p") for name in "XWYZ"]}
    small, large = (
        mapped(CHAIN, tree, {"kind": "sequential"}, small_machine(size=size, **PORTS)) for size in ("24 B", "36 B")
    )
    assert simulate(large, "cycle").warnings == ()
    assert simulate(small, "cycle").warnings == (
        "'GLB' has 24 B for tiles that are there one after the other; the cycle engine fills them ahead, as if each had a "
        "place of its own: 36 B",
    )
