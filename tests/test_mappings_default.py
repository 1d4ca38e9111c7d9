"""The default mapping: legal and right for every cascade that ships, on machines of every kind, with tiles that fill
what they may fill.
"""

import json

import pytest
import yaml

from arch.types import Architecture
from einsums.extensions import beyond
from einsums.types import Cascade
from mappings import Mapping
from mappings.default import default_mapping
from mappings.default_tiles import GrowingRank, KeptTile, grown
from mappings.existence import FOLLOWED
from sim import Experiment, load_architecture, load_cascade, load_experiment, simulate
from sim.functional.verification import verify
from sim.load.document import plain_document
from sim.load.nouns import CATALOGS, build, load_operators
from tests.by_hand import PRODUCT, small_machine
from tests.small_design import run

CASCADES = tuple(name for name in CATALOGS["cascade"].names() if not beyond(load_cascade(name), FOLLOWED))


def with_table(machine: Architecture, array: str) -> Architecture:
    data = machine.model_dump()
    for component in data["components"]:
        if component["name"] == array:
            component["operators"] = load_operators("vector-unit").model_dump()
    return Architecture.model_validate(data)


MACHINES = {
    "fusemax-cloud-vector": load_architecture("fusemax-cloud-vector"),
    "flat-cloud": with_table(load_architecture("flat-cloud"), "PE1D"),
    "flat-edge": with_table(load_architecture("flat-edge"), "PE1D"),
    "h100-sxm": load_architecture("h100-sxm"),
    "two levels": with_table(small_machine(size="2 KiB"), "PE"),
    "no size": with_table(small_machine(), "PE"),
}


def design(cascade: Cascade, machine: Architecture, sizes: dict[str, int]) -> Experiment:
    document = plain_document(default_mapping(cascade, machine, cascade.name, sizes), "default")
    return Experiment("default", cascade, machine, build(document, Mapping), tuple(sizes.items()), ())


def sizes_of(cascade: Cascade, length: int, width: int) -> dict[str, int]:
    roots = dict.fromkeys(cascade.root_of(rank) for rank in cascade.leaf_ranks())
    first = cascade.scope.first_name
    return {root: {"B": 2, "H": 3}.get(root, length if first.get(root, root) in "MPTN" else width) for root in roots}


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("name", CASCADES)
def test_every_cascade_runs_on_every_machine(name: str, machine: str) -> None:
    cascade = load_cascade(name)
    for length, width in ((1, 1), (37, 17), (3000, 700)):
        result = simulate(design(cascade, MACHINES[machine], sizes_of(cascade, length, width)))
        assert result.cycles > 0


@pytest.mark.parametrize("machine", ["fusemax-cloud-vector", "two levels"])
@pytest.mark.parametrize("name", CASCADES)
def test_it_computes_what_the_cascade_means(name: str, machine: str) -> None:
    cascade = load_cascade(name)
    own = design(cascade, MACHINES[machine], sizes_of(cascade, 19, 5))
    assert verify(own).passes
    if not beyond(cascade):  # the cycle engine follows no conditions
        assert simulate(own, "cycle").cycles >= simulate(own).cycles * (1 - 1e-9)


def test_one_mapping_serves_every_size() -> None:
    cascade, machine = load_cascade("attention-1pass"), MACHINES["two levels"]
    mapping = design(cascade, machine, sizes_of(cascade, 3000, 700)).mapping
    for length in (1, 2, 5, 33, 1000):
        sizes = sizes_of(cascade, length, 3 * length)
        assert simulate(Experiment("default", cascade, machine, mapping, tuple(sizes.items()), ())).cycles > 0


def test_tiles_fill_their_share_and_no_more() -> None:
    """Words of a product's tiles k m + k n + m n against shares of 1/3, 2/3 and all, and one step more against them."""
    ranks = tuple(
        GrowingRank(name, f"T{name}", least, name.upper()) for name, least in (("k", "1"), ("m", "4"), ("n", "2"))
    )
    tiles = (KeptTile("A", frozenset("km")), KeptTile("B", frozenset("kn")), KeptTile("Z", frozenset("mn")))
    rules = dict(grown(ranks, tiles, "W"))
    from arch import SCALAR_FUNCTIONS, evaluate, parse_expression

    for words in (60, 100, 999, 12345):
        known = {"K": 10**6, "M": 10**6, "N": 10**6, "W": words}
        for symbol, text in rules.items():
            known[symbol] = evaluate(parse_expression(text), known.__getitem__, SCALAR_FUNCTIONS)

        def filled(k: float, m: float, n: float) -> float:
            return k * m + k * n + m * n

        k, m, n = (known[f"T{name}"] for name in "kmn")
        assert filled(k, 4, 2) <= words / 3 < filled(k + 1, 4, 2)
        assert filled(k, m, 2) <= words * 2 / 3 < filled(k, m + 4, 2)
        assert filled(k, m, n) <= words < filled(k, m, n + 2)


def test_a_product_by_hand() -> None:
    """2 x 2 elements and a buffer of 48 words: m and n lie along the sides, k may fill 16 words beside one word of Z
    in each element: 4 + 4 k <= 16, so k = 3; m with 2 n: 3 m + 6 + 2 m <= 32, so m = 4 in steps of 2 (26 words);
    n: 12 + 7 n <= 48, so n = 4 in steps of 2 (40 words).
    """
    cascade = Cascade.model_validate(PRODUCT)
    own = design(cascade, small_machine(size="96 B"), {"K": 100, "M": 100, "N": 100})
    assert (own.symbols["Z_k_GLB"], own.symbols["Z_m_GLB"], own.symbols["Z_n_GLB"]) == (3, 4, 4)
    assert simulate(own).footprint_bytes["GLB"] == 2 * (3 * 4 + 3 * 4 + 4 * 4)


def test_an_experiment_may_leave_its_mapping_open(tmp_path) -> None:
    (tmp_path / "own.yaml").write_text(
        "name: own\ncascade: attention-3pass\narchitecture: fusemax-cloud\nmapping: default\nmodel: BERT\n"
        "seq_len: 1024\nbatch: 1\n"
    )
    own = load_experiment(str(tmp_path / "own.yaml"))
    assert simulate(own).cycles == simulate(load_experiment("unfused", batch=1, mapping="default")).cycles
    status, _, error = run(
        ["simulate", str(tmp_path / "own.yaml"), "--set", "architecture=flat-edge", "--set", "cascade=logsumexp"]
    )
    assert (status, error.replace(f"{tmp_path}/", "").strip()) == (
        2,
        "own.yaml:4: $.mapping: 'flat-edge' has nothing for log (for LSE); give an array these operations, or a table that"
        " has them: components.PE1D.operators: vector-unit",
    )


def test_its_name_is_suggested() -> None:
    status, _, error = run(["simulate", "fusemax-binding", "--set", "mapping=defualt"])
    assert status == 2
    assert error.startswith(
        "--set: $.mapping: no mapping called 'defualt' (did you mean 'default'?); shipped: attention-1pass-wide,"
    )


def test_it_is_written_as_a_file_to_edit(tmp_path) -> None:
    path = tmp_path / "mapping.yaml"
    assert run(["map", "attention-1pass", "--on", "h100-sxm", "--default", "-o", str(path)]) == (0, "", "")
    written = load_experiment("attention-h100", mapping=str(path))
    assert written.mapping.cores == ("b", "h", "p") and simulate(written).cycles > 0
    status, out, _ = run(["map", "fusemax-binding", "--default", "--json"])
    assert status == 0 and json.loads(out)["mapping"]["cascade"] == "attention-1pass"
    status, out, _ = run(["map", "fusemax-binding", "--default", "--on", "flat-cloud"])
    assert status == 0 and yaml.safe_load(out)["description"].startswith("attention-1pass on flat-cloud")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["fusemax-binding"], "einfuse: expected --default: the mapping in which every Einsum runs by itself"),
        (["product", "--default"], "--on: 'product' is a cascade: say on which machine, as in --on h100-sxm"),
        (["product", "--default", "--on", "fusemax-cloud", "--set", "K=3"],
         "--set: 'product' is a cascade, which has no values to set: name an experiment"),
        (["fusemax-cloud", "--default"], "einfuse: 'fusemax-cloud' is an architecture, expected a cascade or an experiment"),
    ],
)  # fmt: skip
def test_what_cannot_be_derived_is_said(arguments: list[str], sentence: str) -> None:
    assert run(["map", *arguments]) == (2, "", f"{sentence}\n")


def test_idle_cores_are_asked_for() -> None:
    own = design(load_cascade("pedagogical-1"), MACHINES["h100-sxm"], {"K": 500})
    assert own.mapping.one_core and not own.mapping.cores
    both = own.mapping.model_copy(update={"cores": ("k",)})
    problems = Experiment("both", own.cascade, own.architecture, both, own.sizes, ()).problems
    assert "one core cannot do everything where [k] is dealt to the cores: leave out one of both" in [
        problem.message for problem in problems
    ]
