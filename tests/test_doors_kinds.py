"""What is no input, or another input than was asked for, says what it is; words, numbers and help that all know."""

import json
import os
from pathlib import Path

import pytest

from einsums.names import nearest_name
from sim import InputError
from sim.commands.options import expect_writable
from sim.load.document import parse_document
from sim.load.foreign import foreign_kind
from tests.mutations import measurement_text
from tests.small_design import run, shipped_names_hidden, write_design

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["simulate", "machine.yaml"], "machine.yaml: is an architecture, expected an experiment"),
        (["trace", "mapping.yaml", "-o", "x.json"], "mapping.yaml: is a mapping, expected an experiment"),
        (["passes", "model.yaml"], "model.yaml: is a model, expected a cascade"),
        (["sweep", "experiment.yaml", "--out", "out"], "experiment.yaml: is an experiment, expected a sweep"),
        (["simulate", "attention-1pass"], "einfuse: 'attention-1pass' is a cascade, expected an experiment"),
        (
            ["verify", "fusemax-cloud"],
            "einfuse: 'fusemax-cloud' is an architecture, expected an experiment or a cascade",
        ),
        (["compare", "machine.yaml"], "machine.yaml: is an architecture, expected a measurement or a table of cases"),
        (
            ["simulate", "flat-cloud"],
            "einfuse: 'flat-cloud' is an architecture, expected an experiment",
        ),
        (["rewrite", "experiment.yaml", "--passes", "1"], "experiment.yaml: is an experiment, expected a cascade"),
        (["bind", "machine.yaml"], "machine.yaml: is an architecture, expected an experiment"),
        (["verify", "mapping.yaml"], "mapping.yaml: is a mapping, expected an experiment or a cascade"),
        (["verify", "softmax", "--against", "machine.yaml"], "machine.yaml: is an architecture, expected a cascade"),
        (["reproduce", "machine.yaml", "--out", "out"], "machine.yaml: is an architecture, expected a reproduction"),
        (
            ["reproduce", "flat", "--out", "out"],
            "einfuse: 'flat' is a mapping and an experiment, expected a reproduction",
        ),
        (["map", "machine.yaml", "--default"], "machine.yaml: is an architecture, expected a cascade or an experiment"),
        (
            ["map", "cascade.yaml", "--on", "mapping.yaml", "--default"],
            "mapping.yaml: is a mapping, expected an architecture",
        ),
        (["check", "mapping.yaml", "--architecture", "model.yaml"], "model.yaml: is a model, expected an architecture"),
        (["compare", "--machine", "model.yaml"], "model.yaml: is a model, expected an architecture"),
        (["compare", "h100-sxm"], "einfuse: 'h100-sxm' is an architecture, expected a measurement or a table of cases"),
        (["list", "machines"], "einfuse: nothing that ships is called 'machines' (did you mean 'architectures'?)"),
    ],
)
def test_a_document_of_another_kind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    write_design(tmp_path)
    status, out, err = run(arguments)
    assert (status, out, shipped_names_hidden(err)) == (2, "", message + "\n")


# A file of another program, and what it is. Each begins like one that its project ships.
FOREIGN: list[tuple[str, str, str]] = [
    ("config.json", '{\n  "architectures": ["BertModel"],\n  "model_type": "bert"\n}', "a configuration of a Hugging Face model"),
    ("config.json", '{"hidden_size": 768, "num_attention_heads": 12}', "a configuration of a Hugging Face model"),
    ("scale.cfg", "[general]\nrun_name = x\n[architecture_presets]\nArrayHeight: 32\n", "a configuration of SCALE-Sim"),
    ("topology.csv", "Layer name, IFMAP Height, IFMAP Width,\nConv1, 224, 224,\n", "a topology of SCALE-Sim"),
    ("topology.csv", "Layer\tIFMAP Width\tIFMAP Width\n", "a topology of SCALE-Sim"),
    ("gemm.csv", "Layer, M, N, K,\nGEMM1, 2, 3, 4,\n", "a topology of SCALE-Sim"),
    ("layout.csv", "Layer name, IFMAP Height Intraline Factor, IFMAP Width Intraline Factor,\n", "a layout of SCALE-Sim"),
    ("BANDWIDTH_REPORT.csv", "LayerID, Avg IFMAP SRAM BW,\n0, 29.3,\n", "a report of SCALE-Sim"),
    ("arch.yaml", "architecture:\n  version: 0.4\n  nodes:\n  - !Container\n    name: chip\n", "an input of Timeloop"),
    ("arch.yaml", "arch:\n  # of the chip\n  arithmetic:\n    instances: 256\n", "an input of Timeloop"),
    ("components.yaml", "components:\n  version: 0.4\n  classes: []\n", "an input of Timeloop"),
    ("problem.yaml", "problem:\n  shape:\n    name: CNN\n", "an input of Timeloop"),
    ("shape.yaml", "# a licence\n\nshape:\n\n  name: CNN\n", "an input of Timeloop"),
    ("limits.yaml", "mapspace_constraints:\n\n  - target: MainMemory\n", "an input of Timeloop"),
    ("map.yaml", "mapping:\n- target: DRAM\n  type: temporal\n", "an input of Timeloop"),
    ("sample.cfg", "mapper =\n{\n  algorithm = \"exhaustive\";\n};\n", "an input of Timeloop"),
    ("accel.yaml", "arch:\n  nodes:\n  - !Memory\n    name: DRAM\n", "an input of AccelForge"),
    ("work.yaml", "workload:\n  # of each rank\n  rank_sizes: {M: 1}\n  einsums: []\n", "an input of AccelForge"),
    ("names.yaml", "renames:\n  einsums:\n  - name: default\n", "an input of AccelForge"),
    ("gpt.yaml", "{{include_text('_renames.yaml')}}\nworkload:\n", "an input of AccelForge"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "text", "program"), FOREIGN, ids=range(len(FOREIGN)))
def test_files_of_other_programs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, text: str, program: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_text(text)
    assert run(["simulate", name]) == (2, "", f"{name}: is {program}, expected an input of einfuse\n")
    assert run(["check", name]) == (1, f"{name}: is {program}, expected an input of einfuse\n", "")
    assert run(["compare", name]) == (2, "", f"{name}: is {program}, expected a measurement or a table of cases\n")


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [
        (["simulate", "./experiment.yaml", "--json"], "a result of 'einfuse simulate'"),
        (["passes", "cascade.yaml", "--json"], "a result of 'einfuse passes'"),
        (["rewrite", "cascade.yaml", "--passes", "2", "--json"], "a result of 'einfuse rewrite'"),
        (["verify", "cascade.yaml", "--json", "--set", "M=3"], "a result of 'einfuse verify'"),
        (["map", "./experiment.yaml", "--default", "--json"], "a result of 'einfuse map'"),
        (["bind", "./experiment.yaml", "--json"], "a result of 'einfuse bind'"),
    ],
    ids=lambda given: given[0] if isinstance(given, list) else "",
)
def test_results_are_no_inputs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], kind: str
) -> None:
    """Their schemas are named alike, too: after the command, but for those of the first two that there were."""
    monkeypatch.chdir(tmp_path)
    write_design(tmp_path)
    _, out, _ = run(arguments)
    word = {"simulate": "result", "bind": "binding"}.get(arguments[0], arguments[0])
    assert json.loads(out)["schema"] == f"einfuse-{word}-1"
    (tmp_path / "found.json").write_text(out)
    assert run(["simulate", "found.json"]) == (2, "", f"found.json: is {kind}, expected an input of einfuse\n")
    said = f"found.json: is {kind}, expected a measurement or a table of cases\n"
    assert run(["compare", "found.json"]) == (2, "", said)


def test_a_measurement_is_no_experiment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run.json").write_text(measurement_text())
    assert run(["simulate", "run.json"]) == (2, "", "run.json: is a measurement, expected an input of einfuse\n")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("points.csv", b"a,b\n1,2\n", "is a table, expected a YAML file"),
        ("sweep.sqlite", b"SQLite format 3\0\x10\xdf", "is a database (SQLite), such as the points of a sweep, expected text"),
        ("own.npz", b"PK\x03\x04", "is an archive (ZIP), such as arrays in an npz file, expected text"),
        ("one.npy", b"\x93NUMPY\1\0", "is an array (npy), expected text"),
        ("points.parquet", b"PAR1\x15", "is a table (Parquet), expected text"),
        ("chart.png", b"\x89PNG\r\n", "is a picture (PNG), expected text"),
        ("paper.pdf", b"%PDF-1.7", "is a document (PDF), expected text"),
        ("machine.yaml.gz", b"\x1f\x8b\x08", "is compressed (gzip), expected text"),
        ("notes.txt", b"some words\nand more", None),
        ("broken.json", b'{"name": "x",\n "seq_len": [}', "2: not valid JSON: Expecting value (column 14)"),
        ("list.json", b"[1, 2]", "1: $: expected keys and values at the top level, got a list"),
    ],
)  # fmt: skip
def test_what_is_no_document(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, content: bytes, said: str | None
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_bytes(content)
    said = said or "1: $: expected keys and values at the top level, got 'some words and more'"
    whole = f"{name}:{'' if said[0].isdigit() else ' '}{said}\n"
    assert run(["simulate", name]) == (2, "", whole)
    assert run(["check", name]) == (1, whole, "")


# --------------------------------------------------------------------------------------------- devices and pipes
@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["simulate", "{}"], "a YAML file"), (["sweep", "{}", "--out", "out"], "a YAML file"), (["passes", "{}"], "a YAML file"),
        (["verify", "{}"], "a YAML file"), (["map", "flat", "--on", "{}", "--default"], "a YAML file"), (["trace", "{}", "-o", "t.json"], "a YAML file"),
        (["verify", "softmax", "--inputs", "{}"], "arrays (npz)"), (["compare", "{}"], "a measurement (JSON)"),
        (["plot", "{}"], "the folder of a sweep (with 'sweep.sqlite') or of a reproduction (with 'results.csv')"),
    ],
    ids=lambda given: " ".join(given) if isinstance(given, list) else "",
)  # fmt: skip
def test_what_never_ends_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], expected: str
) -> None:
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe.yaml")
    for name, found in (("/dev/zero", "a device"), ("pipe.yaml", "a pipe")):
        found = "a file" if arguments[0] == "plot" else found
        whole = f"{name}: expected {expected}, got {found}\n"
        assert run([argument.format(name) for argument in arguments]) == (2, "", whole)


# ---------------------------------------------------------------------------------------------------- outputs
@pytest.mark.parametrize(
    ("arguments", "option"),
    [
        (["trace", "./experiment.yaml", "-o", "{}"], "--output"),
        (["trace", "./experiment.yaml", "-o", "t.json", "--plot", "{}"], "--plot"),
        (["rewrite", "softmax", "--passes", "2", "-o", "{}"], "--output"),
        (["bind", "./experiment.yaml", "-o", "{}"], "--output"),
        (["compare", "--fit", "{}"], "--fit"),
        (["compare", "--plot", "{}"], "--plot"),
    ],
    ids=lambda given: " ".join(given) if isinstance(given, list) else "",
)
def test_an_output_that_cannot_be_written_is_said_before_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], option: str
) -> None:
    monkeypatch.chdir(tmp_path)
    write_design(tmp_path)
    for work in ("trace.record_timeline", "rewrite.rewrite_cascade", "bind.load_experiment", "compare.compare_source"):
        monkeypatch.setattr(f"sim.commands.{work}", lambda *_: pytest.fail("the run began"))
    before = sorted(path.name for path in tmp_path.iterdir())
    for name, reason in (
        ("nowhere/x.svg", "No such file or directory"),
        ("machine.yaml/x.svg", "Not a directory"),
        ("x" * 300 + ".svg", "File name too long"),
    ):
        shown = f"'{name}'" if len(name) < 100 else f"'{name[:159]}..."
        said = f"{option}: cannot write {shown} ({reason})\n"
        assert run([argument.format(name) for argument in arguments]) == (2, "", said)
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_what_is_there_stays_until_something_is_written(tmp_path: Path) -> None:
    (tmp_path / "there.yaml").write_text("kept")
    expect_writable(output=tmp_path / "there.yaml", plot=tmp_path / "new.svg", fit=None)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"there.yaml": "kept"}


# ------------------------------------------------------------------------------------------------------ words
def test_no_file_of_ours_is_taken_for_another() -> None:
    for path in ROOT.glob("*/catalog/**/*.yaml"):
        assert foreign_kind(path.read_text("utf-8")) == "", path


def test_numbers_of_json() -> None:
    assert parse_document('{"a": 1e-05, "b": [2E6, "1e9"]}', "x.json").data == {"a": 1e-05, "b": [2e6, "1e9"]}
    with pytest.raises(InputError, match="YAML reads 1e-05 as text"):
        parse_document("a: 1e-05", "x.yaml")


def test_other_words_for_the_same() -> None:
    assert nearest_name("swish", ["silu", "exp"]) == "silu"
    assert nearest_name("machines", ["cascades", "architectures"]) == "architectures"
    assert nearest_name("swish", ["exp"]) is None


def test_short_help() -> None:
    for arguments in (["-h"], ["simulate", "-h"], ["sweep", "-h"]):
        status, out, err = run(arguments)
        assert (status, err, out.startswith("Usage: einfuse")) == (0, "", True)
