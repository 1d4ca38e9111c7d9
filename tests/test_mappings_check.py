"""What makes a mapping illegal: every reason with its whole message, and what the checks say without files."""

from pathlib import Path

import pytest

from mappings import Mapping, Problem, check_mapping, resolve_tree
from sim import IllegalMapping, load_architecture, load_cascade, load_experiment, load_mapping, simulate
from sim.load.nouns import CATALOGS
from tests.small_design import run, shipped_names_hidden, write_design

EXPERIMENT, MODEL, MACHINE, MAPPING = "experiment.yaml", "model.yaml", "machine.yaml", "mapping.yaml"
CASCADE, CHOICES, RUNNING, STEPS = "cascade.yaml", "choices.csv", "running.yaml", "running-mapping.yaml"
DESIGN = ["simulate", "./experiment.yaml"]
STEPS_DESIGN = [*DESIGN, "--set", "mapping=./running-mapping.yaml"]
Case = tuple[str, dict[str, list[tuple[str, str]]], list[str], int, str]

# What is wrong, the texts replaced in the small design, the command, its exit status and all it says.
# fmt: off
CASES: list[Case] = [
    ("tile with an unknown name", {MAPPING: [("SQUARE.rows", "SQUARE.row")]}, DESIGN, 1,
     "mapping.yaml:11: $.tiles.block: unknown name 'SQUARE.row' (did you mean 'SQUARE.rows'?)"),
    ("tile that divides by zero", {MAPPING: [("min(M, SQUARE.rows", "M/(B-2")]}, DESIGN, 1,
     "mapping.yaml:11: $.tiles.block: division by zero in 'M/(B-2)'"),
    ("tile that is no whole number", {MAPPING: [("min(M, SQUARE.rows)", "M/3")]}, DESIGN, 1,
     "mapping.yaml:22: $.tree.body[0].loops[0]: the tile of the loop over 'm' is 21.3333 ('block'), expected a whole number of at least 1"),
    ("tile of nothing", {MAPPING: [("min(M, SQUARE.rows)", "0")]}, DESIGN, 1,
     "mapping.yaml:22: $.tree.body[0].loops[0]: the tile of the loop over 'm' is 0 ('block'), expected a whole number of at least 1"),
    ("tile that depends on itself", {MAPPING: [("min(M, SQUARE.rows)", "P1"), ("P1: rows_at_once", "P1: block")]}, DESIGN, 1,
     "mapping.yaml:11: $.tiles.block: 'P1' depends on itself (block -> P1 -> block)"),
    ("tile with the name of a rank", {MAPPING: [("block: min(M, SQUARE.rows)", "M: 8\n  block: 8")]}, DESIGN, 1,
     "mapping.yaml:11: $.tiles.M: 'M' is the name of a rank of the cascade already"),
    ("tile that is no expression", {MAPPING: [("SQUARE.rows)", "")]}, DESIGN, 2,
     "mapping.yaml:11: $.tiles.block: expected a number, a name or '(', got the end at column 7 of 'min(M,'"),
    ("unknown function", {MAPPING: [("min(M, SQUARE.rows", "minn(M, 8")]}, DESIGN, 2,
     "mapping.yaml:11: $.tiles.block: unknown function 'minn' (did you mean 'min'?) at column 1 of 'minn(M, 8)'"),
    ("loop with an unknown name", {MAPPING: [("p: P1", "p: P2")]}, DESIGN, 1,
     "mapping.yaml:16: $.tree.loops[1]: unknown name 'P2' (did you mean 'P'?)"),
    ("reserved words with an unknown name", {MAPPING: [("block, when: place == 'offchip'", "blok")]}, DESIGN, 1,
     "mapping.yaml:14: $.reserve[0].words: unknown name 'blok' (did you mean 'block'?)"),
    ("negative reserved words", {MAPPING: [("2*block, when: place == 'offchip'", "-2*block")]}, DESIGN, 1,
     "mapping.yaml:14: $.reserve[0].words: the room for a streaming tile is -16 words ('-2*block'), expected a number of at least 0"),
    ("condition with an unknown name", {MAPPING: [("2, when: place", "2, when: plase")]}, DESIGN, 2,
     "mapping.yaml:19: $.tree.keep.GLB[0].when: unknown name 'plase' (did you mean 'place'?)"),
    ("choice by an unknown parameter", {MAPPING: [("T, array: ROW, loops: [{m: 8}]", "T, array: ROW, loops: {select: plase, cases: {onchip: [{m: 8}]}}")]}, DESIGN, 2,
     "mapping.yaml:26: $.tree.body[1].body[0].loops.select: no parameter with values is called 'plase' (did you mean 'place'?)"),
    ("choice without a case", {MAPPING: [("T, array: ROW, loops: [{m: 8}]", "T, array: ROW, loops: {select: place, cases: {offchip: [{m: 8}]}}")]}, DESIGN, 2,
     "mapping.yaml:26: $.tree.body[1].body[0].loops.cases: no case for the value 'onchip' of 'place'; there are: offchip"),
    ("no size for a part", {STEPS: [("tiles: {M0: 8}\n", "")]}, STEPS_DESIGN, 1,
     "running-mapping.yaml:1: $.tiles: no size for rank 'M0' of 'running': give it under 'tiles'"),
    ("unknown Einsum", {MAPPING: [(" T", " TT")]}, DESIGN, 1,
     "mapping.yaml:26: $.tree.body[1].body[0].einsum: unknown Einsum 'TT' (did you mean 'T'?)"),
    ("unknown array", {MAPPING: [("T, array: ROW", "T, array: ROWS")]}, DESIGN, 1,
     "mapping.yaml:26: $.tree.body[1].body[0].array: unknown array 'ROWS' (did you mean 'ROW'?)"),
    ("unknown memory", {MAPPING: [("RFR", "RFQ")]}, DESIGN, 1,
     "mapping.yaml:24: $.tree.body[1].keep.RFQ: unknown memory 'RFQ' (did you mean 'RFS'?)"),
    ("unknown tensor kept", {MAPPING: [("RFR: [T", "RFR: [U")]}, DESIGN, 1,
     "mapping.yaml:24: $.tree.body[1].keep.RFR[0]: unknown tensor 'U' (there are: X, Y, S, T, Z)"),
    ("unknown rank variable of a loop", {MAPPING: [("{p", "{q")]}, DESIGN, 1,
     "mapping.yaml:16: $.tree.loops[1]: unknown rank variable 'q' (there are: b, k, m, p)"),
    ("unknown rank variable of a side", {MAPPING: [("T, array: ROW, loops: [{m: 8}], spatial: {columns: m", "T, array: ROW, loops: [{m: 8}], spatial: {columns: n")]}, DESIGN, 1,
     "mapping.yaml:26: $.tree.body[1].body[0].spatial.columns: unknown rank variable 'n' (there are: b, k, m, p)"),
    ("unknown side", {MAPPING: [("T, array: ROW, loops: [{m: 8}], spatial: {columns", "T, array: ROW, loops: [{m: 8}], spatial: {column")]}, DESIGN, 2,
     "mapping.yaml:26: $.tree.body[1].body[0].spatial.column: expected 'rows', 'columns' or 'lanes', got 'column' (did you mean 'columns'?)"),
    ("unknown memory in capacity", {MAPPING: [("schedule", "capacity: {GLBB: spill}\nschedule")]}, DESIGN, 1,
     "mapping.yaml:28: $.capacity.GLBB: unknown memory 'GLBB' (did you mean 'GLB'?)"),
    ("unknown policy", {MAPPING: [("schedule", "capacity: {GLB: spil}\nschedule")]}, DESIGN, 2,
     "mapping.yaml:28: $.capacity.GLB: expected 'strict' or 'spill', got 'spil' (did you mean 'spill'?)"),
    ("unbound Einsum", {MAPPING: [("        - {einsum: Z, array: ROW, loops: [{m: 8}], spatial: {columns: m}}\n", ""), ("[T, Z]", "[T]")]}, DESIGN, 1,
     "mapping.yaml:15: $.tree: Einsum 'Z' of 'scaled' is not bound to any array"),
    ("Einsum bound twice", {MAPPING: [("Z, array: ROW, loops: [{m: 8}], spatial: {columns: m}}", "Z, array: ROW, loops: [{m: 8}], spatial: {columns: m}}\n        - {einsum: Z, array: ROW, loops: [{m: 8}], spatial: {columns: m}}")]}, DESIGN, 1,
     "mapping.yaml:15: $.tree: Einsum 'Z' is bound 2 times, expected once"),
    ("array without the operator", {MAPPING: [("{einsum: T, array: ROW, loops: [{m: 8}], spatial: {columns: m}}", "{einsum: T, array: SQUARE, loops: [{m: 8}], spatial: {columns: m}}"), ("{ROW: [T, Z]}", "{SQUARE: [T], ROW: [Z]}")]}, DESIGN, 1,
     "mapping.yaml:26: $.tree.body[1].body[0]: Einsum 'T': array 'SQUARE' has nothing for 'max'; it has macc (mul add)"),
    ("rank not covered", {MAPPING: [(", k", "")]}, DESIGN, 1,
     "mapping.yaml:22: $.tree.body[0]: Einsum 'S': no loop and no side of the array covers rank variable 'k'"),
    ("coordinates left over", {MAPPING: [("T, array: ROW, loops: [{m: 8}], spatial: {columns: m}", "T, array: ROW, loops: [{m: 8}]")]}, DESIGN, 1,
     "mapping.yaml:26: $.tree.body[1].body[0]: Einsum 'T': its loops leave 8 coordinates of 'm' uncovered"),
    ("loop around an Einsum without its rank", {MAPPING: [("loops: [b, {p: P1}]", "loops: [b, {p: P1}, k]"), ("{einsum: S, array: SQUARE, loops: [{m: block}, k], spatial: {rows: m, columns: p}}", "{einsum: S, array: SQUARE, loops: [{m: block}], spatial: {rows: m, columns: p}}")]}, DESIGN, 1,
     "mapping.yaml:16: $.tree.loops[2]: the loop over 'k' is around Einsum 'T', which has no such rank: it would be computed again in every iteration\n"
     "mapping.yaml:16: $.tree.loops[2]: the loop over 'k' is around Einsum 'Z', which has no such rank: it would be computed again in every iteration\n"
     "mapping.yaml:16: $.tree.loops[2]: Einsum 'T' reads 'S' inside the loop over 'k' (rank K), over which Einsum 'S' still reduces it: the value is not complete there\n"
     "mapping.yaml:16: $.tree.loops[2]: Einsum 'Z' reads 'S' inside the loop over 'k' (rank K), over which Einsum 'S' still reduces it: the value is not complete there"),
    ("consumer before producer", {MAPPING: [("T, array: ROW, loops: [{m: 8}], spatial: {columns: m}}\n        - {einsum: Z", "Z, array: ROW, loops: [{m: 8}], spatial: {columns: m}}\n        - {einsum: T")]}, DESIGN, 1,
     "mapping.yaml:26: $.tree.body[1].body[0]: Einsum 'Z' reads 'T' before Einsum 'T' makes it"),
    ("reduced value inside its loop", {MAPPING: [("    - loops: [p]\n", "    - loops: [p, {m: 8}]\n"), ("{einsum: T, array: ROW, loops: [{m: 8}], spatial: {columns: m}}", "{einsum: T, array: ROW, spatial: {columns: m}}"), ("{einsum: Z, array: ROW, loops: [{m: 8}], spatial: {columns: m}}", "{einsum: Z, array: ROW, spatial: {columns: m}}")]}, DESIGN, 1,
     "mapping.yaml:23: $.tree.body[1].loops[1]: Einsum 'Z' reads 'T' inside the loop over 'm' (rank M), over which Einsum 'T' still reduces it: the value is not complete there"),
    ("last value inside its loop", {STEPS: [("    - {einsum: Z, array: ROW, spatial: {columns: p}}\n", ""), ("        - {einsum: R, array: ROW, spatial: {columns: p}}\n", "        - {einsum: R, array: ROW, spatial: {columns: p}}\n        - {einsum: Z, array: ROW, spatial: {columns: p}}\n")]}, STEPS_DESIGN, 1,
     "running-mapping.yaml:7: $.tree.body[0].loops[0]: the loop over 'm1' is around Einsum 'Z', which has no such rank: it would be computed again in every iteration\n"
     "running-mapping.yaml:12: $.tree.body[0].body[2]: Einsum 'Z' reads the last 'R' inside the loop over 'm1' that makes it"),
    ("memory in the wrong nesting", {MAPPING: [("RFR", "GLB: [S], RFR")]}, DESIGN, 1,
     "mapping.yaml:24: $.tree.body[1].keep.GLB[0]: 'GLB' keeps 'S' inside the tile that 'GLB' keeps, but is no deeper in the machine"),
    ("kept for nobody", {MAPPING: [("RFR: [T", "RFR: [T, X")]}, DESIGN, 1,
     "mapping.yaml:24: $.tree.body[1].keep.RFR[1]: 'RFR' keeps 'X', which no Einsum inside reads or writes"),
    ("share of what is not kept", {MAPPING: [("[[S", "[[S, T")]}, DESIGN, 1,
     "mapping.yaml:20: $.tree.share.GLB: 'T' shares a place in 'GLB' that is not kept for it here"),
    ("forwarded by nobody", {MAPPING: [("Z, array: ROW, loops: [{m: 8}], spatial: {columns: m}", "Z, array: ROW, loops: [{m: 8}], spatial: {columns: m}, forwarded: [X]")]}, DESIGN, 1,
     "mapping.yaml:27: $.tree.body[1].body[1].forwarded: Einsum 'Z' does not read 'X'"),
    ("schedule with an unknown Einsum", {MAPPING: [("T, Z", "T, Y")]}, DESIGN, 1,
     "mapping.yaml:33: $.schedule.phases[1].ROW[1]: unknown Einsum 'Y' (there are: S, T, Z)"),
    ("schedule without an Einsum", {MAPPING: [("T, Z", "T")]}, DESIGN, 1,
     "mapping.yaml:31: $.schedule.phases: Einsum 'Z' is in no phases, expected one"),
    ("schedule with an Einsum twice", {MAPPING: [("T, Z", "T, Z, T")]}, DESIGN, 1,
     "mapping.yaml:31: $.schedule.phases: Einsum 'T' is in 2 phases, expected one"),
    ("schedule on the wrong array", {MAPPING: [("{SQUARE: [S]}", "{SQUARE: [S, Z]}"), ("[T, Z]", "[T]")]}, DESIGN, 1,
     "mapping.yaml:32: $.schedule.phases[0].SQUARE[1]: Einsum 'Z' runs on 'SQUARE' here but is bound to 'ROW'"),
    ("old value out of step", {RUNNING: [("  Z[p]      = R[M1,p]", "  D[m1,p]   = L[m1,p] / R[m1,p]\n  Z[p]      = R[M1,p]"), ("outputs: [Z]", "outputs: [Z, D]")], STEPS: [("    - {einsum: R, array: ROW", "- {einsum: D, array: ROW, loops: [m1], spatial: {columns: p}}\n    - {einsum: R, array: ROW, loops: [m1]")]}, STEPS_DESIGN, 1,
     "running-mapping.yaml:8: $.tree.body[0].keep.GLB[1]: 'GLB' keeps 'R', which no Einsum inside reads or writes\n"
     "running-mapping.yaml:11: $.tree.body[1]: Einsum 'D' reads the old 'R', which Einsum 'R' makes later: both must share a loop over 'm1' in steps of 1"),
    ("unknown kind of schedule", {MAPPING: [("kind: phases", "kind: phased")]}, DESIGN, 2,
     "mapping.yaml:29: $.schedule.kind: expected 'sequential', 'phases' or 'pipelined', got 'phased' (did you mean 'phases'?)"),
    ("phases of a sequential schedule", {MAPPING: [("kind: phases", "kind: sequential")]}, DESIGN, 2,
     "mapping.yaml:28: $.schedule: a 'sequential' schedule takes no 'phases'"),
    ("stage before what it reads", {MAPPING: [("phases\n  transfers: overlapped\n  phases:\n    - {SQUARE: [S]}\n    - {ROW: [T, Z]", "pipelined\n  stages: {S: 1, T: 0, Z: 1")]}, DESIGN, 1,
     "mapping.yaml:30: $.schedule.stages.T: Einsum 'T' in stage 0 reads 'S', which stage 1 makes later"),
    ("negative stage", {MAPPING: [("phases\n  transfers: overlapped\n  phases:\n    - {SQUARE: [S]}\n    - {ROW: [T, Z]", "pipelined\n  stages: {S: -1")]}, DESIGN, 2,
     "mapping.yaml:30: $.schedule.stages.S: expected a number of at least 0, got -1"),
    ("buffer too small", {MACHINE: [("size: 64", "size: 1")]}, DESIGN, 1,
     "mapping.yaml:18: $.tree.keep.GLB: 'GLB' holds 1 KiB but the tiles it keeps need 2 KiB: 2 tiles of S 2 KiB"),
    ("array too small", {MAPPING: [("    - loops: [p]\n", "    - loops: [p]\n"), ("{einsum: T, array: ROW, loops: [{m: 8}], spatial: {columns: m}}", "{einsum: T, array: ROW, loops: [{m: 9}], spatial: {columns: m}}")]}, DESIGN, 1,
     "mapping.yaml:26: $.tree.body[1].body[0]: Einsum 'T' does not fit: 9 coordinates of 'm' on 8 columns of 'ROW'"),
    ("no copies", {MAPPING: [("copies: 2", "copies: 0")]}, DESIGN, 2,
     "mapping.yaml:19: $.tree.keep.GLB[0].copies: expected a number of at least 1, got 0"),
    ("text where a list is expected", {MAPPING: [("\n        - {einsum: T, array: ROW, loops: [{m: 8}], spatial: {columns: m}}\n        - {einsum: Z, array: ROW, loops: [{m: 8}], spatial: {columns: m}}", " T")]}, DESIGN, 2,
     "mapping.yaml:25: $.tree.body[1].body: expected a list, got 'T'"),
    ("key of a leaf misspelt", {MAPPING: [("T, array", "T, aray")]}, DESIGN, 2,
     "mapping.yaml:26: $.tree.body[1].body[0].aray: unknown key 'aray' (did you mean 'array'?)"),
]
# fmt: on


@pytest.mark.parametrize(
    ("changes", "arguments", "status", "message"), [case[1:] for case in CASES], ids=[c[0] for c in CASES]
)
def test_whole_message(
    changes: dict[str, list[tuple[str, str]]],
    arguments: list[str],
    status: int,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    write_design(tmp_path, changes)
    found, out, err = run(arguments)
    assert (found, out, shipped_names_hidden(err)) == (status, "", message + "\n")


# --------------------------------------------------------------------------------------- without files or numbers


@pytest.fixture
def design(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_design(tmp_path)
    return tmp_path


def problems_of(mapping: Mapping, has_machine: bool) -> tuple[Problem, ...]:
    tree = resolve_tree(mapping, lambda parameter: "onchip", lambda condition: True)
    machine = load_architecture("machine.yaml") if has_machine else None
    return check_mapping(mapping, tree, load_cascade("cascade.yaml"), machine)


@pytest.mark.parametrize("has_machine", [True, False])
def test_a_legal_mapping_has_no_problems(design: Path, has_machine: bool) -> None:
    assert problems_of(load_mapping("mapping.yaml"), has_machine) == ()


def test_without_a_machine_its_names_are_taken_to_exist(design: Path) -> None:
    text = Path("mapping.yaml").read_text().replace("array: ROW", "array: NOWHERE").replace("RFR", "NOTHING")
    Path("mapping.yaml").write_text(text.replace("{ROW: [T, Z]}", "{NOWHERE: [T, Z]}"))
    assert problems_of(load_mapping("mapping.yaml"), has_machine=False) == ()
    assert [problem.path for problem in problems_of(load_mapping("mapping.yaml"), has_machine=True)] == [
        "tree.body[1].body[0].array",
        "tree.body[1].body[1].array",
        "schedule.phases[1].NOWHERE",
        "tree.body[1].keep.NOTHING",
    ]


def test_without_a_machine_the_cascade_is_still_checked(design: Path) -> None:
    text = Path("mapping.yaml").read_text().replace("[{m: block}, k]", "[{m: block}]")
    Path("mapping.yaml").write_text(text)
    message = "Einsum 'S': no loop and no side of the array covers rank variable 'k'"
    assert problems_of(load_mapping("mapping.yaml"), has_machine=False) == (Problem("tree.body[0]", message),)


def test_all_problems_come_at_once(design: Path) -> None:
    text = Path("mapping.yaml").read_text().replace("[{m: block}, k]", "[{m: block}]").replace("[T, Z]", "[T]")
    Path("mapping.yaml").write_text(text)
    with pytest.raises(IllegalMapping) as caught:
        simulate(load_experiment("./experiment.yaml"))
    assert str(caught.value) == (
        "mapping.yaml:22: $.tree.body[0]: Einsum 'S': no loop and no side of the array covers rank variable 'k'\n"
        "mapping.yaml:31: $.schedule.phases: Einsum 'Z' is in no phases, expected one"
    )
    assert [problem.path for problem in caught.value.problems] == ["tree.body[0]", "schedule.phases"]


def test_a_mapping_made_in_python_has_a_name_and_no_file(design: Path) -> None:
    from dataclasses import replace

    experiment = replace(
        load_experiment("./experiment.yaml", {"architecture.components.GLB.size": "1 KiB"}), origin=None
    )
    with pytest.raises(IllegalMapping) as caught:
        simulate(experiment)
    assert str(caught.value) == (
        "mapping 'rows': $.tree.keep.GLB: 'GLB' holds 1 KiB but the tiles it keeps need 2 KiB: 2 tiles of S 2 KiB"
    )


def test_origin_is_no_part_of_a_design(design: Path) -> None:
    """The same design from another file is equal, and has the same hash."""
    experiment = load_experiment("./experiment.yaml")
    Path("copy.yaml").write_text("# a remark\n\n" + Path("mapping.yaml").read_text())
    other = load_experiment("./experiment.yaml", {"mapping": "./copy.yaml"})
    assert other == experiment
    assert other.hash == experiment.hash
    assert other.origin != experiment.origin


def test_a_buffer_that_just_fits(design: Path) -> None:
    """Two copies of 8 rows x 64 columns of 2 bytes: 2,048 bytes are enough, one 128-bit row less is not."""
    size = "architecture.components.GLB.size"
    simulate(load_experiment("./experiment.yaml", {size: "2048 B"}))
    with pytest.raises(IllegalMapping, match=r"'GLB' holds 1\.98438 KiB but the tiles it keeps need 2 KiB"):
        simulate(load_experiment("./experiment.yaml", {size: "2032 B"}))


def test_a_spilling_buffer_may_be_too_small(design: Path) -> None:
    changes = {"architecture.components.GLB.size": "1 KiB", "mapping.capacity.GLB": "spill"}
    result = simulate(load_experiment("./experiment.yaml", changes))
    assert "'GLB' is overbooked: 50.00% of its tiles do not fit and go further out" in result.warnings


STAGED = """
name: staged
cascade: cascade.yaml
tree:
  loops: [b, {p: 8}]
  keep: {GLB: [S], RFR: [T]}
  body:
    - {einsum: S, array: SQUARE, loops: [{m: 8}, k], spatial: {rows: m, columns: p}}
    - {einsum: T, array: ROW, loops: [m], spatial: {columns: p}}
    - {einsum: Z, array: ROW, loops: [m], spatial: {columns: p}}
schedule:
  kind: pipelined
  stages: {S: 0, T: 1, Z: 1}
"""


@pytest.mark.parametrize(
    ("stages", "wrong"),
    [
        ("S: 0, T: 0, Z: 0", []),
        ("S: 0, T: 1, Z: 2", []),
        ("S: 0, T: 1", []),
        ("S: 1, T: 1, Z: 0", ["schedule.stages.Z", "schedule.stages.Z"]),
        ("S: 2, T: 1, Z: 2", ["schedule.stages.T"]),
    ],
)
def test_stages_follow_what_they_read(design: Path, stages: str, wrong: list[str]) -> None:
    Path("staged.yaml").write_text(STAGED.replace("S: 0, T: 1, Z: 1", stages))
    assert [problem.path for problem in problems_of(load_mapping("staged.yaml"), has_machine=True)] == wrong


SHIPPED = [(name, CATALOGS["experiment"].find(name)) for name in CATALOGS["experiment"].names()]


@pytest.mark.parametrize("name", [name for name, _ in SHIPPED])
def test_shipped_experiments_are_legal(name: str) -> None:
    assert load_experiment(name).problems == ()


def test_a_softmax_that_reads_its_maximum_too_early(tmp_path: Path) -> None:
    """The published three-pass cascade cannot be fused on key positions: its maximum is not there yet."""
    path = tmp_path / "fused.yaml"
    path.write_text(
        "name: fused\ncascade: attention-3pass\ntree:\n  loops: [b, h, p, m]\n  body:\n"
        "    - {einsum: QK, array: PE2D, loops: [e]}\n"
        "    - {einsum: GM, array: PE1D}\n"
        "    - {einsum: SN, array: PE1D}\n"
        "    - {einsum: SD, array: PE1D}\n"
        "    - {einsum: A, array: PE1D}\n"
        "    - {einsum: AV, array: PE2D, loops: [f]}\n"
        "schedule: {kind: sequential}\n"
    )
    status, out, _ = run(["check", str(path)])
    reads = "inside the loop over 'm' (rank M), over which Einsum"
    late = "still reduces it: the value is not complete there"
    assert (status, out.replace(str(path), "F")) == (
        1,
        f"F:4: $.tree.loops[3]: Einsum 'SN' reads 'GM' {reads} 'GM' {late}\n"
        f"F:4: $.tree.loops[3]: Einsum 'A' reads 'SD' {reads} 'SD' {late}\n",
    )
