"""Every kind of mistake in a file or an argument, with the whole message and the exit status, through the command line."""

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.small_design import FILES, run, shipped_names_hidden, write_design

EXPERIMENT, MODEL, MACHINE, MAPPING = "experiment.yaml", "model.yaml", "machine.yaml", "mapping.yaml"
CASCADE, CHOICES, RUNNING, STEPS = "cascade.yaml", "choices.csv", "running.yaml", "running-mapping.yaml"
DESIGN = ["simulate", "./experiment.yaml"]
STEPS_DESIGN = [*DESIGN, "--set", "mapping=./running-mapping.yaml"]
Case = tuple[str, dict[str, list[tuple[str, str]]], list[str], int, str]

# What is wrong, the texts replaced in the small design, the command, its exit status and all it says.
# fmt: off
CASES: list[Case] = [
    ("unknown experiment", {}, ["simulate", "fusemax-bindin"], 2,
     "einfuse: no experiment called 'fusemax-bindin' (did you mean 'fusemax-binding'?); shipped: <experiments>"),
    ("missing file with a near name", {}, ["simulate", "./experimen.yaml"], 2,
     "experimen.yaml: no such file (did you mean 'experiment.yaml'?)"),
    ("missing folder", {}, ["simulate", "nowhere/experiment.yaml"], 2,
     "nowhere/experiment.yaml: no such file (there is no folder 'nowhere')"),
    ("unknown model", {EXPERIMENT: [("model.yaml", "BERTT")]}, DESIGN, 2,
     "experiment.yaml:2: $.model: no model called 'BERTT' (did you mean 'BERT'?); shipped: <models>"),
    ("unknown architecture", {EXPERIMENT: [("machine.yaml", "flat-clod")]}, DESIGN, 2,
     "experiment.yaml:5: $.architecture: no architecture called 'flat-clod' (did you mean 'flat-cloud'?); shipped: <architectures>"),
    ("unknown mapping", {EXPERIMENT: [("mapping.yaml", "unfusd")]}, DESIGN, 2,
     "experiment.yaml:6: $.mapping: no mapping called 'unfusd' (did you mean 'unfused'?); shipped: <mappings>"),
    ("unknown cascade", {MAPPING: [("cascade.yaml", "attention-3pas")]}, DESIGN, 2,
     "mapping.yaml:2: $.cascade: no cascade called 'attention-3pas' (did you mean 'attention-3pass'?); shipped: <cascades>"),
    ("missing file of a part", {EXPERIMENT: [("model.yaml", "modle.yaml")]}, DESIGN, 2,
     "experiment.yaml:2: $.model: 'modle.yaml': no such file (did you mean 'model.yaml'?)"),
    ("unknown engine", {}, ["simulate", "./experiment.yaml", "--engine", "cycel"], 2,
     "--engine: no engine is called 'cycel' (did you mean 'cycle'?); there is: analytical, cycle"),
    ("unknown kind to list", {}, ["list", "mapping"], 2,
     "einfuse: nothing that ships is called 'mapping' (did you mean 'mappings'?)"),
    ("unknown operator", {CASCADE: [("S[m,p] / T[p]", "expp(S[m,p])")]}, DESIGN, 2,
     "cascade.yaml:10: $.einsums: column 10: unknown operator 'expp' (did you mean 'exp'?)"),
    ("unknown reducer", {CASCADE: [("max", "maxx")]}, DESIGN, 2,
     "cascade.yaml:9: $.einsums: column 20: unknown reducer 'maxx' (did you mean 'max'?)"),
    ("unknown tensor", {CASCADE: [("S[m,p] /", "SS[m,p] /")]}, DESIGN, 2,
     "cascade.yaml:10: $.einsums: Z: unknown tensor 'SS' (did you mean 'S'?); it is neither an input nor written"),
    ("unknown rank variable in a cascade", {CASCADE: [("Y[k", "Y[q")]}, DESIGN, 2,
     "cascade.yaml:8: $.einsums: S: unknown rank variable 'q' (known: k, m, p)"),
    ("variable on the left alone", {CASCADE: [("k,m", "k,k")]}, DESIGN, 2,
     "cascade.yaml:8: $.einsums: S: rank variable 'm' is on the left but not on the right"),
    ("rank mismatch", {CASCADE: [("k,m", "m,k")]}, DESIGN, 2,
     "cascade.yaml:8: $.einsums: S: Y[m,k]: index 'm' runs over M, but Y has rank K there, expected 'k'\n"
     "cascade.yaml:8: $.einsums: S: Y[m,k]: index 'k' runs over K, but Y has rank M there, expected 'm'"),
    ("wrong number of indices", {CASCADE: [("/ T[p", "/ T[m,p")]}, DESIGN, 2,
     "cascade.yaml:10: $.einsums: Z: T has 1 rank (P) but is used with 2 indices"),
    ("cyclic tensors", {CASCADE: [("S[m,p] :", "Z[m,p] :")]}, DESIGN, 2,
     "cascade.yaml:9: $.einsums: the Einsums depend on each other in a cycle: T -> Z -> T"),
    ("tensor written twice", {CASCADE: [("  T", "  S[m,p] = X[k,p] * Y[k,m]\n  T")]}, DESIGN, 2,
     "cascade.yaml:9: $.einsums: tensor S is written twice"),
    ("syntax of an Einsum", {CASCADE: [("* Y", "* * Y")]}, DESIGN, 2,
     "cascade.yaml:8: $.einsums: column 19: expected a tensor, a number, a function or '(', found '*'"),
    ("missing init", {RUNNING: [("init: {R: -inf}\n", "")]}, STEPS_DESIGN, 2,
     "running.yaml:8: $.einsums: R iterates over M1 but has no initial value; add init: {R: value}"),
    ("missing size rule", {CASCADE: [(", P: seq_len", "")]}, DESIGN, 2,
     "experiment.yaml:1: $.ranks: no size for rank 'P' of 'scaled': give it under 'ranks'"),
    ("size rule with an unknown name", {CASCADE: [("P: seq_len", "P: seqlen")]}, DESIGN, 2,
     "cascade.yaml:6: $.sizes.P: unknown name 'seqlen' (did you mean 'seq_len'?)"),
    ("size rule that is no whole number", {CASCADE: [("P: seq_len", "P: seq_len/3")]}, DESIGN, 2,
     "cascade.yaml:6: $.sizes.P: the size of rank 'P' is 21.3333, expected a whole number from 1 to 1099511627776"),
    ("several problems in several files", {CASCADE: [("S[m,p] /", "SS[m,p] /")], MACHINE: [("depth: 4\n    width: 16 bit\n    read_energy: 1 pJ\n    write_energy: 1 pJ\n    area: 5 um2\n    source: a test\n ", "depht: 4\n    width: 16 bit\n    read_energy: 1 pJ\n    write_energy: 1 pJ\n    area: 5 um2\n    source: a test\n ")], EXPERIMENT: [("2", "0")]}, DESIGN, 2,
     "cascade.yaml:10: $.einsums: Z: unknown tensor 'SS' (did you mean 'S'?); it is neither an input nor written\n"
     "machine.yaml:28: $.components.RFS.depht: unknown key 'depht' (did you mean 'depth'?)\n"
     "experiment.yaml:4: $.batch: expected a number of at least 1, got 0"),
    ("unknown key", {EXPERIMENT: [("batch", "bacth")]}, DESIGN, 2,
     "experiment.yaml:4: $.bacth: unknown key 'bacth' (did you mean 'batch'?)"),
    ("missing key", {EXPERIMENT: [("model: model.yaml\n", "")]}, DESIGN, 2,
     "experiment.yaml:1: $: missing key 'model'"),
    ("unknown key of a component", {MACHINE: [("size", "sise")]}, DESIGN, 2,
     "machine.yaml:11: $.components.GLB.sise: unknown key 'sise' (did you mean 'size'?)"),
    ("unknown kind of component", {MACHINE: [("GLB:\n    kind: memory", "GLB:\n    kind: memry")]}, DESIGN, 2,
     "machine.yaml:9: $.components.GLB.kind: expected 'memory' or 'array', got 'memry' (did you mean 'memory'?)"),
    ("unknown parent", {MACHINE: [("ROW:\n    kind: array\n    parent: GLB", "ROW:\n    kind: array\n    parent: GLBB")]}, DESIGN, 2,
     "machine.yaml:36: $.components.ROW.parent: unknown memory 'GLBB' (did you mean 'GLB'?)"),
    ("cyclic parents", {MACHINE: [("parent: DRAM", "parent: RFR")]}, DESIGN, 2,
     "machine.yaml:10: $.components.GLB.parent: expected a tree, got the cycle GLB -> RFR -> GLB"),
    ("wrong unit", {MACHINE: [("KiB", "KB/s")]}, DESIGN, 2,
     "machine.yaml:11: $.components.GLB.size: expected a size such as '16 MiB', got '64 KB/s' (did you mean '64 kB'?)"),
    ("misspelt unit", {MACHINE: [("KiB", "kiB")]}, DESIGN, 2,
     "machine.yaml:11: $.components.GLB.size: expected a size such as '16 MiB', got '64 kiB' (did you mean '64 kB'?)"),
    ("wrong dimension of a unit", {MACHINE: [("GHz", "ns")]}, DESIGN, 2,
     "machine.yaml:2: $.clock: expected a frequency such as '940 MHz', got '1 ns', which is a time"),
    ("missing unit", {MACHINE: [("1 GHz", "1000000000")]}, DESIGN, 2,
     "machine.yaml:2: $.clock: expected a frequency such as '940 MHz', got 1000000000, which has no unit"),
    ("negative quantity", {MACHINE: [("64 K", "-64 K")]}, DESIGN, 2,
     "machine.yaml:11: $.components.GLB.size: expected a size such as '16 MiB', got '-64 KiB', which is negative"),
    ("zero quantity", {MACHINE: [("64 K", "0 K")]}, DESIGN, 2,
     "machine.yaml:11: $.components.GLB.size: expected a size above zero such as '16 MiB', got '0 KiB'"),
    ("not a number quantity", {MACHINE: [("64 K", ".nan K")]}, DESIGN, 2,
     "machine.yaml:11: $.components.GLB.size: expected a size such as '16 MiB', got '.nan KiB'"),
    ("huge quantity", {MACHINE: [("16 G", "1.0e999 G")]}, DESIGN, 2,
     "machine.yaml:7: $.components.DRAM.bandwidth: expected a bandwidth such as '400 GiB/s', got '1.0e999 GiB/s', which is too large"),
    ("no rows", {MACHINE: [("rows: 8", "rows: 0")]}, DESIGN, 2,
     "machine.yaml:18: $.components.SQUARE.rows: expected a whole number of at least 1, got 0"),
    ("rows that are no integer", {MACHINE: [("rows: 8", "rows: 8.5")]}, DESIGN, 2,
     "machine.yaml:18: $.components.SQUARE.rows: expected a whole number of at least 1, got 8.5"),
    ("unknown technology", {MACHINE: [("45nm", "45mn")]}, DESIGN, 2,
     "machine.yaml:13: $.components.GLB.technology: memory 'GLB': unknown technology 'sram-45mn' (did you mean 'sram-45nm'?)"),
    ("technology of another node", {MACHINE: [(" 45", " 7")]}, DESIGN, 2,
     "machine.yaml:13: $.components.GLB.technology: memory 'GLB': technology 'sram-45nm' is at 45 nm, the machine at 7 nm"),
    ("zero length", {EXPERIMENT: [("64", "0")]}, DESIGN, 2,
     "experiment.yaml:3: $.seq_len: expected a number of at least 1, got 0"),
    ("negative length", {EXPERIMENT: [("64", "-64")]}, DESIGN, 2,
     "experiment.yaml:3: $.seq_len: expected a number of at least 1, got -64"),
    ("length that is no integer", {EXPERIMENT: [("64", "64.5")]}, DESIGN, 2,
     "experiment.yaml:3: $.seq_len: expected an integer, got 64.5"),
    ("length in words", {EXPERIMENT: [("64", "many")]}, DESIGN, 2,
     "experiment.yaml:3: $.seq_len: expected an integer, got 'many'"),
    ("length that is not a number", {EXPERIMENT: [("64", ".nan")]}, DESIGN, 2,
     "experiment.yaml:3: $.seq_len: expected an integer, got nan"),
    ("huge length", {EXPERIMENT: [("64", "1000000000000000000000000000000")]}, DESIGN, 2,
     "experiment.yaml:3: $.seq_len: expected a number of at most 1099511627776, got 1000000000000000000000000000000"),
    ("truth as a number", {EXPERIMENT: [("2", "true")]}, DESIGN, 2,
     "experiment.yaml:4: $.batch: expected an integer, got true"),
    ("model without a head", {MODEL: [(" 2", " 0")]}, DESIGN, 2,
     "model.yaml:3: $.heads: heads must be an integer of at least 1, found 0"),
    ("huge array", {MACHINE: [("rows: 8", "rows: 100000000000000000000")]}, DESIGN, 2,
     "machine.yaml:18: $.components.SQUARE.rows: expected a whole number of at most 1099511627776, got 100000000000000000000"),
    ("huge tile", {MAPPING: [("min(M, SQUARE.rows)", "10**400")]}, DESIGN, 2,
     "mapping.yaml:11: $.tiles.block: a number too large in '10**400'"),
    ("large tile", {MAPPING: [("min(M, SQUARE.rows)", "10**40")]}, DESIGN, 1,
     "mapping.yaml:22: $.tree.body[0].loops[0]: the tile of the loop over 'm' is 2^62 or more ('block'), expected a whole number below 2^62"),
    ("huge model", {MODEL: [("8", "1000000000000000000000000000000")]}, DESIGN, 2,
     "cascade.yaml:6: $.sizes.K: the size of rank 'K' is 1000000000000000000000000000000, expected a whole number from 1 to 1099511627776"),
    ("broken YAML", {EXPERIMENT: [("2", "[2")]}, DESIGN, 2,
     "experiment.yaml:5: not valid YAML: while parsing a flow sequence, did not find expected ',' or ']' (column 13)"),
    ("tabs", {EXPERIMENT: [("batch", "\tbatch")]}, DESIGN, 2,
     "experiment.yaml:4: not valid YAML: indent with spaces, not tabs (column 1)"),
    ("duplicate keys", {EXPERIMENT: [("2", "2\nbatch: 3")]}, DESIGN, 2,
     "experiment.yaml:5: $.batch: the key 'batch' stands already on line 4"),
    ("exponent without a point", {EXPERIMENT: [("64", "1e3")]}, DESIGN, 2,
     "experiment.yaml:3: $.seq_len: YAML reads 1e3 as text: write 1.0e+3"),
    ("octal", {EXPERIMENT: [("64", "0100")]}, DESIGN, 2,
     "experiment.yaml:3: $.seq_len: YAML reads 0100 as the octal number 64: write 100"),
    ("a tag", {EXPERIMENT: [("2", "!!python/object:os.system 2")]}, DESIGN, 2,
     "experiment.yaml:4: $.batch: the tag !!python/object:os.system is not allowed: files are plain data"),
    ("unknown base", {EXPERIMENT: [("name", "base: flta\nname")]}, DESIGN, 2,
     "experiment.yaml:1: $.base: no experiment called 'flta' (did you mean 'flat'?); shipped: <experiments>"),
    ("base that is not there", {EXPERIMENT: [("name", "base: ./nowhere.yaml\nname")]}, DESIGN, 2,
     "experiment.yaml:1: $.base: './nowhere.yaml': no such file"),
    ("itself as base", {EXPERIMENT: [("name", "base: experiment.yaml\nname")]}, DESIGN, 2,
     "experiment.yaml:1: $.base: the bases lead back to where they began: experiment.yaml -> experiment.yaml"),
    ("set without base", {EXPERIMENT: [("name", "set: {seq_len: 3}\nname")]}, DESIGN, 2,
     "experiment.yaml:1: $.set: 'set' changes a base, but there is no key 'base'"),
    ("part that is a list", {EXPERIMENT: [("model.yaml", "[model.yaml]")]}, DESIGN, 2,
     "experiment.yaml:2: $.model: expected the name of a model, or its keys and values, got a list"),
    ("mapping that leads back to itself", {MAPPING: [("name", "base: ./mapping.yaml\nname")]}, DESIGN, 2,
     "mapping.yaml:1: $.base: the bases lead back to where they began: mapping.yaml -> mapping.yaml"),
    ("set without value", {}, [*DESIGN, "--set", "seq_len"], 2,
     "--set: expected key=value, got 'seq_len'"),
    ("set of nothing", {}, [*DESIGN, "--set", "seq_len="], 2,
     "--set: expected a value after 'seq_len=' (write null for none)"),
    ("set of an unknown key", {}, [*DESIGN, "--set", "seqlen=3"], 2,
     "--set: $.seqlen: unknown key 'seqlen' (did you mean 'seq_len'?)"),
    ("set of an unknown component", {}, [*DESIGN, "--set", "architecture.components.GLBB.size=1 KiB"], 2,
     "--set: $.architecture.components.GLBB.size: unknown key 'GLBB' (did you mean 'GLB'?)"),
    ("set of an unknown value of a component", {}, [*DESIGN, "--set", "architecture.components.GLB.siz=1 KiB"], 2,
     "--set: $.architecture.components.GLB.siz: unknown key 'siz' (did you mean 'size'?)"),
    ("set below a value", {}, [*DESIGN, "--set", "seq_len.a=3"], 2,
     "--set: $.seq_len.a: 'seq_len' is a single value and has no key 'a'"),
    ("set of an item that is not there", {}, [*DESIGN, "--set", "mapping.tree.body.7.array=ROW"], 2,
     "--set: $.mapping.tree.body.7.array: 'mapping.tree.body' has no item 7: it has 2, counted from 0"),
    ("set of a wrong value", {}, [*DESIGN, "--set", "architecture.components.GLB.size=1 GHz"], 2,
     "--set: $.architecture.components.GLB.size: expected a size such as '16 MiB', got '1 GHz', which is a frequency"),
    ("set of broken YAML", {}, [*DESIGN, "--set", "seq_len=["], 2,
     "--set: $.seq_len: not valid YAML: while parsing a flow node, did not find expected node content (column 1)"),
    ("set of an unknown parameter", {}, [*DESIGN, "--set", "parameters.plase=onchip"], 2,
     "--set: $.parameters.plase: mapping 'rows' has no parameter 'plase' (did you mean 'place'?)"),
    ("set of an unknown rank", {}, [*DESIGN, "--set", "ranks.Q=3"], 2,
     "--set: $.ranks.Q: 'scaled' has no rank 'Q' (known: B, K, M, P)"),
    ("set of a rank to nothing", {}, [*DESIGN, "--set", "ranks.M=0"], 2,
     "--set: $.ranks.M: expected a whole number from 1 to 1099511627776, got 0"),
    ("several wrong sets", {}, [*DESIGN, "--set", "seq_len", "--set", "batch="], 2,
     "--set: expected key=value, got 'seq_len'\n"
     "--set: expected a value after 'batch=' (write null for none)"),
    ("unknown value of a parameter", {EXPERIMENT: [("2", "2\nparameters: {place: onchp}")]}, DESIGN, 2,
     "experiment.yaml:5: $.parameters.place: parameter 'place' is 'onchp' (did you mean 'onchip'?), expected one of onchip, offchip"),
    ("parameter with an unknown name", {EXPERIMENT: [("2", "2\nparameters: {rows_at_once: SQUARE.colums}")]}, DESIGN, 2,
     "experiment.yaml:5: $.parameters.rows_at_once: parameter 'rows_at_once': unknown name 'SQUARE.colums' (did you mean 'SQUARE.columns'?)"),
    ("parameter that is no expression", {EXPERIMENT: [("2", "2\nparameters: {rows_at_once: '2 *'}")]}, DESIGN, 2,
     "experiment.yaml:5: $.parameters.rows_at_once: parameter 'rows_at_once': expected a number, a name or '(', got the end at column 4 of '2 *'"),
    ("default that is no value", {MAPPING: [(" onchip", " inchip")]}, DESIGN, 2,
     "mapping.yaml:4: $.parameters.place: default 'inchip' of parameter 'place' is none of onchip, offchip"),
    ("missing table", {MAPPING: [("choices.csv", "choises.csv")]}, DESIGN, 2,
     "mapping.yaml:7: $.table.file: no such file 'choises.csv' (did you mean 'choices.csv'?)"),
    ("table without the column", {CHOICES: [("seq_len", "length")]}, DESIGN, 2,
     "mapping.yaml:8: $.table.key[1]: 'choices.csv' has no column 'seq_len' (known: model, length, place, rows_at_once)"),
    ("table with an unknown key", {MAPPING: [("seq_len", "length")]}, DESIGN, 2,
     "mapping.yaml:8: $.table.key[1]: expected a label of the workload, got 'length' (known: model, seq_len, batch)"),
    ("short row in a table", {CHOICES: [("offchip,4", "offchip")]}, DESIGN, 2,
     "choices.csv:2: the row has not as many values as the header"),
    ("wrong value in a table", {CHOICES: [("32,offchip", "64,offchp")]}, DESIGN, 2,
     "choices.csv:2: 'place' is never 'offchp' (did you mean 'offchip'?)"),
    ("wrong value in a row for another workload", {CHOICES: [("offchip", "offchp")]}, DESIGN, 2,
     "choices.csv:2: 'place' is never 'offchp' (did you mean 'offchip'?)"),
    ("misspelt column in a table", {CHOICES: [("rows_at_once", "rows_at_one")]}, DESIGN, 2,
     "choices.csv:1: the column 'rows_at_one' is neither a key nor a parameter (did you mean 'rows_at_once'?)"),
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
    assert_says(arguments, status, message)


def assert_says(arguments: Sequence[str], status: int, message: str) -> None:
    found, out, err = run(list(arguments))
    assert (found, out, shipped_names_hidden(err)) == (status, "", message + "\n")


def test_small_design_is_right(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that each case above fails for its own reason."""
    monkeypatch.chdir(tmp_path)
    write_design(tmp_path)
    for arguments in (DESIGN, STEPS_DESIGN):
        status, out, err = run(arguments)
        assert status == 0
        assert out
        assert err == "warning: energy or area of 'GLB' is interpolated in its technology table\n"


@pytest.fixture
def design(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_design(tmp_path)
    return tmp_path


def test_folder_for_a_file(design: Path) -> None:
    (design / MODEL).unlink()
    (design / MODEL).mkdir()
    assert_says(DESIGN, 2, "model.yaml: expected a YAML file, got a folder")


def test_broken_link(design: Path) -> None:
    (design / MODEL).unlink()
    (design / MODEL).symlink_to(design / "gone.yaml")
    assert_says(DESIGN, 2, "experiment.yaml:2: $.model: 'model.yaml': no such file")


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="the superuser may read everything")
def test_unreadable_file(design: Path) -> None:
    (design / MODEL).chmod(0)
    assert_says(DESIGN, 2, "model.yaml: cannot be read (Permission denied)")


def test_link_to_itself(design: Path) -> None:
    (design / EXPERIMENT).unlink()
    (design / EXPERIMENT).symlink_to(design / EXPERIMENT)
    assert_says(DESIGN, 2, "experiment.yaml: cannot be read (Too many levels of symbolic links)")


@pytest.mark.parametrize("text", ["", "# nothing but a remark\n", "---\n"])
def test_empty_file(design: Path, text: str) -> None:
    (design / EXPERIMENT).write_text(text)
    assert_says(DESIGN, 2, "experiment.yaml: the file is empty")


def test_not_utf8(design: Path) -> None:
    (design / EXPERIMENT).write_bytes(FILES[EXPERIMENT].encode() + b"description: caf\xe9\n")
    assert_says(DESIGN, 2, "experiment.yaml:7: expected UTF-8 text, got the byte 0xe9")


def test_list_at_the_top(design: Path) -> None:
    (design / EXPERIMENT).write_text("- name: small\n- model: BERT\n")
    assert_says(DESIGN, 2, "experiment.yaml:1: $: expected keys and values at the top level, got a list")


@pytest.mark.parametrize("text", ["[" * 100_000, "- " * 100_000, "a: " + "{a: " * 3_000 + "}" * 3_000])
def test_nested_without_end(design: Path, text: str) -> None:
    (design / EXPERIMENT).write_text(text)
    assert_says(DESIGN, 2, "experiment.yaml: the values are nested too deeply")


def test_two_bases_in_a_circle(design: Path) -> None:
    (design / "a.yaml").write_text("base: ./b.yaml\nset: {seq_len: 3}\n")
    (design / "b.yaml").write_text("base: ./a.yaml\n")
    message = "b.yaml:1: $.base: the bases lead back to where they began: a.yaml -> b.yaml -> a.yaml"
    assert_says(["simulate", "a.yaml"], 2, message)


def test_a_change_of_a_base_is_said_where_it_is_written(design: Path) -> None:
    changes = "set:\n  batch: 3\n  architecture.components.GLB.size: 3 GHz\n  mapping.tree.body.0.array: PE\n"
    (design / "a.yaml").write_text(f"base: ./experiment.yaml\n{changes}")
    message = "a.yaml:4: $.architecture.components.GLB.size: expected a size such as '16 MiB', got '3 GHz', which is a frequency"
    assert_says(["simulate", "a.yaml"], 2, message)
    (design / "a.yaml").write_text(f"base: ./experiment.yaml\n{changes.replace('GHz', 'MiB')}")
    message = "a.yaml:5: $.mapping.tree.body[0].array: unknown array 'PE' (there are: SQUARE, ROW)"
    assert_says(["simulate", "a.yaml"], 1, message)


def test_a_base_of_a_base_keeps_its_place(design: Path) -> None:
    (design / "half.yaml").write_text("base: ./machine.yaml\nname: half\nset:\n  components.ROW.columns: 0\n")
    assert_says(
        [*DESIGN, "--set", "architecture=./half.yaml"],
        2,
        "half.yaml:4: $.components.ROW.columns: expected a whole number of at least 1, got 0",
    )


def test_a_part_written_in_the_experiment(design: Path) -> None:
    text = FILES[EXPERIMENT].replace(
        "model: model.yaml", "model:\n  name: own\n  hidden: 4\n  heads: 0\n  head_size: 4\n  ffn_size: 4"
    )
    (design / EXPERIMENT).write_text(text)
    assert_says(DESIGN, 2, "experiment.yaml:5: $.model.heads: heads must be an integer of at least 1, found 0")


def test_there_are_many_kinds() -> None:
    assert len({case[0] for case in CASES}) >= 60
