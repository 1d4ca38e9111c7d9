"""Every name in a file resolves against a closed set when the file is read, by `check` too: whole messages."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from arch.expression import parse_expression
from arch.words import iter_word_problems
from einsums.names import nearest_name
from sim.load.nouns import CATALOGS
from tests.small_design import run, shipped_names_hidden, write_design
from tests.small_sweep import write_sweep

MACHINE, MAPPING, CASCADE, EXPERIMENT = "machine.yaml", "mapping.yaml", "cascade.yaml", "experiment.yaml"
Changes = Mapping[str, Sequence[tuple[str, str]]]

# What is wrong, the texts replaced in the small design, the file that `check` is asked about, and all it says.
# fmt: off
CASES: list[tuple[str, Changes, str, str]] = [
    ("operator of a machine", {MACHINE: [("[mul, add]", "[mul, adx]")]}, MACHINE,
     "machine.yaml:23: $.components.SQUARE.operations.macc.operators[1]: unknown operator 'adx' (did you mean 'add'?)"),
    ("operator of another coverage", {MACHINE: [("[[mul]]", "[[mull]]")]}, MACHINE,
     "machine.yaml:23: $.components.SQUARE.operations.macc.also[0][0]: unknown operator 'mull' (did you mean 'mul'?)"),
    ("operator by the name of its operation", {MACHINE: [("div: {", "divide: {")]}, MACHINE,
     "machine.yaml:43: $.components.ROW.operations.divide.operators[0]: unknown operator 'divide' (did you mean 'div'?)"),
    ("word in the condition of a tile", {MAPPING: [("copies: 2, when: place == 'onchip'", "when: place == 'onchpi'")]}, MAPPING,
     "mapping.yaml:19: $.tree.keep.GLB[0].when: 'place' is never 'onchpi' (did you mean 'onchip'?)"),
    ("word in the condition of a reservation", {MAPPING: [("'offchip'}", "'of'}")]}, MAPPING,
     "mapping.yaml:14: $.reserve[0].when: 'place' is never 'of' (known: onchip, offchip)"),
    ("word that is ruled out", {MAPPING: [("place == 'offchip'", "place != 'elsewhere'")]}, MAPPING,
     "mapping.yaml:14: $.reserve[0].when: 'place' is never 'elsewhere' (known: onchip, offchip)"),
    ("word in a tile", {MAPPING: [("min(M, SQUARE.rows)", "choose(place == 'chip', 4, 8)")]}, MAPPING,
     "mapping.yaml:11: $.tiles.block: 'place' is never 'chip' (did you mean 'onchip'?)"),
    ("word that stands alone", {MAPPING: [("min(M, SQUARE.rows)", "choose('place', 4, 8)")]}, MAPPING,
     "mapping.yaml:11: $.tiles.block: 'place' is compared with nothing: expected a name that has words for values, then == or !="),
    ("word for a tile", {MAPPING: [("place == 'offchip'", "block == '8'")]}, MAPPING,
     "mapping.yaml:14: $.reserve[0].when: 'block' is a number, and is never '8'"),
    ("word for a number of the machine", {MAPPING: [("place == 'offchip'", "word_bytes == '2'")]}, MAPPING,
     "mapping.yaml:14: $.reserve[0].when: 'word_bytes' is a number, and is never '2'"),
    ("name in a condition, where no machine fits", {MAPPING: [("place == 'offchip'", "plase == 'offchip'")]}, MAPPING,
     "mapping.yaml:14: $.reserve[0].when: unknown name 'plase' (did you mean 'place'?)"),
    ("condition that is no formula", {MAPPING: [("place == 'offchip'", "place == ")]}, MAPPING,
     "mapping.yaml:14: $.reserve[0].when: expected a number, a name or '(', got the end at column 9 of 'place =='"),
    ("case of a choice", {MAPPING: [("loops: [{m: block}, k]", "loops: {select: place, cases: {onchip: [{m: block}, k], ofchip: [m, k]}}")]}, MAPPING,
     "mapping.yaml:22: $.tree.body[0].loops.cases.ofchip: 'place' is never 'ofchip' (did you mean 'offchip'?)"),
    ("word in a table", {"choices.csv": [("offchip", "offchp")]}, MAPPING,
     "choices.csv:2: 'place' is never 'offchp' (did you mean 'offchip'?)"),
    ("dimension in sizes", {CASCADE: [("K: head_size", "K: head_sise")]}, CASCADE,
     "cascade.yaml:6: $.sizes.K: unknown name 'head_sise' (did you mean 'head_size'?)"),
    ("no formula in sizes", {CASCADE: [("K: head_size", "K: head_size*")]}, CASCADE,
     "cascade.yaml:6: $.sizes.K: expected a number, a name or '(', got the end at column 11 of 'head_size*'"),
    ("word in sizes", {CASCADE: [("K: head_size", "K: \"choose(heads == 'two', 1, 2)\"")]}, CASCADE,
     "cascade.yaml:6: $.sizes.K: 'heads' is a number, and is never 'two'"),
    ("word in a parameter of an experiment",
     {EXPERIMENT: [("batch: 2", "batch: 2\nparameters: {rows_at_once: \"choose(place == 'chip', 4, 8)\"}")]}, EXPERIMENT,
     "experiment.yaml:5: $.parameters.rows_at_once: parameter 'rows_at_once': 'place' is never 'chip' (did you mean 'onchip'?)"),
]
# fmt: on


@pytest.mark.parametrize(("changes", "file", "message"), [case[1:] for case in CASES], ids=[c[0] for c in CASES])
def test_name_is_refused_by_check(
    changes: Changes, file: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_design(tmp_path, changes)
    assert run(["check", file]) == (1, message + "\n", "")


def test_simulation_refuses_what_check_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_design(tmp_path, CASES[0][1])
    assert run(["simulate", "./experiment.yaml"]) == (2, "", CASES[0][3] + "\n")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("component: DRAM", "component: DRUM", "22: $.metrics.traffic_bytes.component: 'flat-cloud' has no component 'DRUM' (did you mean 'DRAM'?)"),
        ("traffic, component: DRAM", "traffic, component: PE2D", "22: $.metrics.traffic_bytes.component: expected a memory of 'flat-cloud', got the array 'PE2D'"),
        ("utilization, component: PE1D", "utilization, component: GLB", "26: $.metrics.util_1d.component: expected an array of 'flat-cloud', got the memory 'GLB'"),
        ("area, component: PE2D", "area, component: RF2D", "28: $.metrics.area_2d_um2.component: the area of 'RF2D' counts with that of its array, 'PE2D'"),
        ("operation: macc", "operation: mac", "29: $.metrics.macc_2d_pj.operation: array 'PE2D' has no operation 'mac' (did you mean 'macc'?)"),
    ],
)  # fmt: skip
def test_metrics_of_a_reproduction(tmp_path: Path, old: str, new: str, message: str) -> None:
    shipped = CATALOGS["reproduction"].find("fusemax")
    text = shipped.read_text("utf-8").replace("file: ", f"file: {shipped.parent}/")
    assert text.count(old) == 1
    path = tmp_path / "paper.yaml"
    path.write_text(text.replace(old, new), "utf-8")
    assert run(["check", str(path)]) == (1, f"{path}:{message}\n", "")


def test_taxonomy_is_checked(tmp_path: Path) -> None:
    path = tmp_path / "kinds.yaml"
    head = "name: kinds\ndescription: by passes\nsource: a test\nrank: M\nsystems:\n"
    path.write_text(head + "  - {name: one, cascade: attention-1pas, source: a test}\n", "utf-8")
    status, out, err = run(["check", str(path)])
    said = "no cascade called 'attention-1pas' (did you mean 'attention-1pass'?); shipped: <cascades>"
    assert (status, shipped_names_hidden(out), err) == (1, f"{path}:6: $.systems[0].cascade: {said}\n", "")
    path.write_text(
        head.replace("rank: M", "rank: P") + "  - {name: one, cascade: attention-1pass, source: a test}\n", "utf-8"
    )
    assert run(["check", str(path)]) == (0, f"{path}: taxonomy 'kinds' is fine\n", "")
    path.write_text(
        head.replace("rank: M", "rank: W") + "  - {name: one, cascade: attention-1pass, source: a test}\n", "utf-8"
    )
    assert run(["check", str(path)]) == (
        1, f"{path}:6: $.systems[0].cascade: 'attention-1pass' has no rank 'W' (known: B, H, E, F, M, P)\n", "",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"constraints": {"one": "model == 'BERTT' or area_um2 < 1"}}, "$.constraints.one: 'model' is never 'BERTT' (did you mean 'BERT'?)"),
        ({"constraints": {"one": "seq_len == '1024'"}}, "$.constraints.one: 'seq_len' is a number, and is never '1024'"),
        ({"objectives": [{"minimize": "choose('x', latency_s, 1)"}]},
         "$.objectives[0]: 'x' is compared with nothing: expected a name that has words for values, then == or !="),
    ],
)  # fmt: skip
def test_words_in_formulas_of_a_sweep(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    path = write_sweep(tmp_path, **changes)
    status, out, err = run(["check", str(path)])
    assert (status, err) == (1, "")
    assert out.partition(" ")[2] == message + "\n"


def test_words_that_may_stand() -> None:
    words = {"place": ("on", "off"), "size": ()}
    for formula in ("place == 'on'", "'off' != place", "choose(place == 'on' and size > 2, 1, 2)", "other == 'x'"):
        assert list(iter_word_problems(parse_expression(formula), words)) == []


def test_of_equally_near_names_the_one_that_begins_alike() -> None:
    assert nearest_name("adx", ["max", "add"]) == "add"
    assert nearest_name("max1", ["min", "max"]) == "max"
