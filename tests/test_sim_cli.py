"""The command line: exit status, what goes to stdout and what to stderr, and each command's answer."""

import json
import os
import re
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from sim import load_experiment, simulate
from sim.commands.kinds import NOUNS, kind_of
from sim.load.document import parse_document
from sim.load.nouns import CATALOGS
from tests.small_design import FILES, HANGS_S, heed_interrupts, run, write_design

ROOT = Path(__file__).resolve().parents[1]
WARNING = "warning: energy or area of 'GLB' is interpolated in its technology table\n"
KEYS = {
    *("schema", "engine", "experiment", "latency_s", "cycles", "energy_pj", "energy_by_component_pj"),
    *("energy_by_einsum_pj", "area_um2", "area_by_component_um2", "traffic_bytes", "traffic_by_tensor_bytes"),
    *("traffic_by_einsum_bytes", "memory_cycles_by_einsum"),
    *("utilization", "busy_cycles_by_einsum", "bound_by", "footprint_bytes", "warnings"),
}


@pytest.fixture
def design(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_design(tmp_path)
    return tmp_path


def einfuse(*arguments: str, code: str = "", cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """The command line in a process of its own."""
    start = ["-c", code] if code else ["-m", "sim"]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, *start, *arguments], cwd=cwd, env=env, capture_output=True, text=True, timeout=HANGS_S
    )


# --------------------------------------------------------------------------------------------------- simulate


def test_json_is_one_document_and_nothing_else(design: Path) -> None:
    status, out, err = run(["simulate", "./experiment.yaml", "--json"])
    assert (status, err) == (0, "")
    document = json.loads(out)
    assert document.keys() >= KEYS
    assert document == json.loads(json.dumps(simulate(load_experiment("./experiment.yaml")).to_json()))
    assert document["experiment"]["seq_len"] == 64
    assert document["warnings"] == ["energy or area of 'GLB' is interpolated in its technology table"]


def test_json_has_no_number_that_json_lacks(design: Path) -> None:
    """The running maximum starts at minus infinity, which standard JSON cannot say as a number."""
    status, out, _ = run(["simulate", "./experiment.yaml", "--set", "mapping=./running-mapping.yaml", "--json"])
    assert status == 0

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    document = json.loads(out, parse_constant=refuse)
    assert document["experiment"]["cascade"]["initial"] == [{"tensor": "R", "value": "-inf"}]


def test_set_replaces_values_and_whole_parts(design: Path) -> None:
    sets = ["--set", "seq_len=128", "--set", "architecture.components.GLB.size=128 KiB", "--set", "model=BERT"]
    status, out, _ = run(["simulate", "./experiment.yaml", *sets, "--json"])
    assert status == 0
    changes = {"seq_len": 128, "model": "BERT", "architecture.components.GLB.size": "128 KiB"}
    expected = simulate(load_experiment("./experiment.yaml", changes))
    assert json.loads(out)["experiment"]["hash"] == expected.experiment.hash
    assert dict(expected.experiment.sizes) == {"B": 2, "K": 64, "M": 128, "P": 128}


@pytest.mark.parametrize(
    ("change", "path", "value"),
    [
        ("parameters.place=offchip", ("parameters", "place"), "offchip"),
        ("parameters.rows_at_once=2*2", ("parameters", "rows_at_once"), "2*2"),
        ("ranks.M=48", ("ranks", "M"), 48),
        ("mapping.capacity.GLB=spill", ("mapping", "capacity"), [{"memory": "GLB", "policy": "spill"}]),
        ("seq_len=32", ("parameters", "place"), "offchip"),  # as the table stores it
    ],
)
def test_set_reaches_what_the_file_leaves_out(design: Path, change: str, path: tuple[str, str], value: object) -> None:
    status, out, err = run(["simulate", "./experiment.yaml", "--set", change, "--json"])
    assert (status, err) == (0, "")
    assert json.loads(out)["experiment"][path[0]][path[1]] == value


def test_another_mapping_brings_its_cascade(design: Path) -> None:
    changed = load_experiment("./experiment.yaml", {"mapping": "./running-mapping.yaml"})
    assert changed.cascade.name == "running"
    kept = load_experiment("./experiment.yaml", {"mapping": "./running-mapping.yaml", "cascade": "./cascade.yaml"})
    assert kept.cascade.name == "scaled"
    renamed = load_experiment("./experiment.yaml", {"mapping.cascade": "./running.yaml"})
    assert renamed.cascade.name == "running"


def test_a_base_with_changes(design: Path) -> None:
    (design / "longer.yaml").write_text(
        "base: ./experiment.yaml\nname: longer\nset: {seq_len: 96, mapping.tiles.block: 4}\n"
    )
    (design / "longest.yaml").write_text("base: ./longer.yaml\nseq_len: 128\n")
    experiment = load_experiment("longest.yaml")
    assert (experiment.name, dict(experiment.labels)["seq_len"], experiment.symbols["block"]) == ("longer", 128, 4)


def test_tables_say_what_the_result_says(design: Path) -> None:
    status, out, err = run(["simulate", "./experiment.yaml"])
    assert (status, err) == (0, WARNING)
    lines = [re.split(r"\s{2,}", line.strip()) for line in out.splitlines()]
    result = simulate(load_experiment("./experiment.yaml"))
    assert lines[0] == ["small: scaled (model tiny, seq_len 64, batch 2) on small, mapped as rows; analytical engine"]
    by_einsum = lines.index(["Traffic by Einsum"])
    rows = {line[0]: line[1:] for line in lines[:by_einsum] if len(line) > 1}
    assert rows["time"] == ["3.072 us", "3,072 cycles at 1 GHz"]
    assert result.cycles == 3072
    assert rows["bound by"] == ["ROW", "for 66.7% of the time"]
    assert rows["energy"][0] == f"{result.energy_pj / 1e6:.4g} uJ"
    for array, fraction in result.utilization.items():
        assert rows[array][1] == f"{fraction:.2%}"
    for memory, moved in result.traffic_bytes.items():
        assert [as_bytes(rows[memory][i]) for i in (0, 1)] == pytest.approx([moved["read"], moved["write"]], rel=1e-3)
    for einsum, cycles in result.busy_cycles_by_einsum.items():
        assert rows[einsum][1] == f"{cycles:,.0f}"
    parts = {(line[0], line[1]): line[2:] for line in lines[by_einsum:] if len(line) == 5}
    for einsum, by_memory in result.traffic_by_einsum_bytes.items():
        for memory, moved in by_memory.items():
            read, written, cycles_text = parts[memory, einsum]
            assert [as_bytes(read), as_bytes(written)] == pytest.approx([moved["read"], moved["write"]], rel=1e-3)
            limited = result.experiment.architecture.memory(memory).bandwidth_bits_per_s is not None
            assert cycles_text == (f"{result.memory_cycles_by_einsum[memory][einsum]:,.0f}" if limited else "-")


def as_bytes(text: str) -> float:
    number, unit = text.split()
    return float(number) * {"B": 1, "KiB": 2**10, "MiB": 2**20}[unit]


# ------------------------------------------------------------------------------------------------------ check


def test_check_of_right_files(design: Path) -> None:
    files = sorted(file for file in FILES if file.endswith(".yaml"))
    status, out, err = run(["check", *files])
    assert (status, err) == (0, "")
    assert out == (
        "cascade.yaml: cascade 'scaled' is fine\n"
        "experiment.yaml: experiment 'small' is fine\n"
        "machine.yaml: architecture 'small' is fine\n"
        "mapping.yaml: mapping 'rows' is fine\n"
        "model.yaml: model 'tiny' is fine\n"
        "running-mapping.yaml: mapping 'steps' is fine\n"
        "running.yaml: cascade 'running' is fine\n"
        "technology.yaml: technology 'tech' is fine\n"
    )


def test_check_says_all_problems_of_all_files(design: Path) -> None:
    write_design(design, {"cascade.yaml": [("/ T[p]", "/ TT[p]")], "model.yaml": [("hidden: 16\n", "hiden: 16\n")]})
    status, out, err = run(["check", "cascade.yaml", "model.yaml", "machine.yaml", "experiment.yaml"])
    assert (status, err) == (1, "")
    assert out == (
        "cascade.yaml:10: $.einsums: Z: unknown tensor 'TT' (did you mean 'T'?); it is neither an input nor written\n"
        "model.yaml:2: $.hiden: unknown key 'hiden' (did you mean 'hidden'?)\n"
        "machine.yaml: architecture 'small' is fine\n"
        "experiment.yaml: experiment 'small' has problems that are said above\n"
    )


def test_check_of_an_experiment_asks_for_capacity(design: Path) -> None:
    write_design(design, {"machine.yaml": [("size: 64 KiB", "size: 1 KiB")]})
    status, out, _ = run(["check", "machine.yaml", "mapping.yaml", "experiment.yaml"])
    assert status == 1
    assert out == (
        "machine.yaml: architecture 'small' is fine\n"
        "mapping.yaml: mapping 'rows' is fine\n"
        "mapping.yaml:18: $.tree.keep.GLB: 'GLB' holds 1 KiB but the tiles it keeps need 2 KiB: 2 tiles of S 2 KiB\n"
    )


def test_check_of_a_mapping_on_a_machine(design: Path) -> None:
    write_design(design, {"machine.yaml": [("div: {cycles", "sub: {cycles")]})
    assert run(["check", "mapping.yaml"])[:2] == (0, "mapping.yaml: mapping 'rows' is fine\n")
    assert run(["check", "mapping.yaml", "--architecture", "./machine.yaml"])[:2] == (
        1,
        "mapping.yaml:27: $.tree.body[1].body[1]: Einsum 'Z': array 'ROW' has nothing for 'div'; it has max (max), sub (sub)\n",
    )


def test_check_of_a_mapping_tries_every_choice(design: Path) -> None:
    cases = "{select: place, cases: {onchip: [{m: 8}], offchip: []}}"
    leaf = "T, array: ROW, loops: [{m: 8}], spatial: {columns: m}"
    write_design(design, {"mapping.yaml": [(leaf, f"T, array: ROW, loops: {cases}")]})
    status, out, _ = run(["check", "mapping.yaml", "--architecture", "./machine.yaml"])
    assert (status, out) == (
        1,
        "mapping.yaml:26: $.tree.body[1].body[0]: Einsum 'T': no loop and no side of the array covers rank variable 'm' "
        "(where place is 'offchip')\n",
    )


def test_check_of_an_unknown_machine(design: Path) -> None:
    status, out, err = run(["check", "mapping.yaml", "--architecture", "./machin.yaml"])
    assert (status, out, err) == (2, "", "machin.yaml: no such file (did you mean 'machine.yaml'?)\n")


def test_check_of_files_that_are_not_there(design: Path) -> None:
    status, out, err = run(["check", "cascad.yaml", "model.yaml", "."])
    assert (status, err) == (2, "")
    assert out == (
        "cascad.yaml: no such file (did you mean 'cascade.yaml'?)\n"
        "model.yaml: model 'tiny' is fine\n"
        ".: expected a YAML file, got a folder\n"
    )


def test_check_of_something_else(design: Path) -> None:
    (design / "other.yaml").write_text("name: other\ncolour: red\n")
    kinds = "cascade, architecture, mapping, model, technology, timing, operator table, taxonomy, experiment, reproduction, sweep"
    assert run(["check", "other.yaml"])[:2] == (
        1,
        f"other.yaml: cannot tell what this describes: expected the keys of one of {kinds}, got colour\n",
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (  # `cores` is a key of machines too, and the base is a mapping
            "base: attention-tiled\nset: {cores: [b, hh]}\n",
            "$.cores: expected the first of the loops around every Einsum, [b, h, p], got [b, hh]",
        ),
        (  # an experiment and a mapping are called so
            "base: fusemax-binding\nset: {seq_lenn: 4}\n",
            "$.seq_lenn: unknown key 'seq_lenn' (did you mean 'seq_len'?)",
        ),
        (
            "base: fusemax-architecture\nset: {tiles.M0: PE2D.rowz}\n",
            "$.tiles.M0: unknown name 'PE2D.rowz' (did you mean 'PE2D.rows'?)",
        ),
        (
            "base: h100-sxm\nset: {calibration.tensor_ratee: 0.5}\n",
            "$.calibration.tensor_ratee: unknown key 'tensor_ratee' (did you mean 'tensor_rate'?)",
        ),
        (
            "base: hbm2-2000\nset: {timings.tRCDD: {cycles: 3, source: none}}\n",
            "$.timings.tRCDD: unknown timing 'tRCDD' (did you mean 'tRCDRD'?)",
        ),
    ],
)
def test_a_file_with_a_base_is_of_a_kind_of_its_base(design: Path, text: str, message: str) -> None:
    (design / "mine.yaml").write_text(text)
    assert run(["check", "mine.yaml"])[:2] == (1, f"mine.yaml:2: {message}\n")


SHIPPED = [(kind, name) for kind, catalog in CATALOGS.items() for name in catalog.names()]


@pytest.mark.parametrize(("kind", "name"), SHIPPED, ids=["-".join(pair) for pair in SHIPPED])
def test_the_kind_shows(kind: str, name: str) -> None:
    path = CATALOGS[kind].find(name)
    assert kind_of(parse_document(path.read_text("utf-8"), str(path))) == kind


def test_everything_that_ships_is_fine() -> None:
    quick = [(kind, name) for kind, name in SHIPPED if kind != "reproduction"]  # runs for seconds; has tests of its own
    status, out, err = run(["check", *(str(CATALOGS[kind].find(name)) for kind, name in quick)])
    assert (status, err, out.count(" is fine\n")) == (0, "", len(quick)), out


def test_every_catalogue_can_be_checked() -> None:
    assert NOUNS.keys() == CATALOGS.keys()


# ------------------------------------------------------------------------------------------- list and the rest


@pytest.mark.parametrize("kind", list(CATALOGS))
def test_list_of_one_kind(kind: str) -> None:
    plural = {"technology": "technologies", "taxonomy": "taxonomies"}.get(kind, f"{kind}s")
    status, out, err = run(["list", plural])
    lines = [re.split(r"\s{2,}", line, maxsplit=1) for line in out.splitlines()]
    assert (status, err) == (0, "")
    assert [line[0] for line in lines] == list(CATALOGS[kind].names())
    assert all(len(line) == 2 and line[1] for line in lines), "a description each"


def test_list_of_all_kinds() -> None:
    status, out, _ = run(["list"])
    assert status == 0
    headings = [line for line in out.splitlines() if not line.startswith(" ")]
    assert headings == [
        "cascades:",
        "taxonomies:",
        "models:",
        "architectures:",
        "technologies:",
        "timings:",
        "operator tables:",
        "mappings:",
        "experiments:",
        "reproductions:",
        "sweeps:",
    ]
    assert sum(line.startswith("  ") for line in out.splitlines()) == len(SHIPPED)


def test_version() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    assert run(["--version"]) == (0, f"einfuse {version}\n", "")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["simulate"], "Missing argument"),
        (["simulate", "x", "--stop"], "No such option: --stop"),
        (["simulat"], "No such command 'simulat'"),
        (["check"], "Missing argument"),
    ],
)
def test_usage_errors(arguments: list[str], says: str) -> None:
    status, out, err = run(arguments)
    assert (status, out) == (2, "")
    assert says in err
    assert "Traceback" not in err


def test_interrupted(design: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("sim.commands.simulate.simulate", interrupt)
    assert run(["simulate", "./experiment.yaml"]) == (130, "", "einfuse: interrupted\n")


INTERRUPTED_AT = """
import sys, time
from sim.commands import check
from sim.__main__ import main

def read_for_ever(path, machine=None):
    print("reading", flush=True)
    time.sleep(6000)

check.check_file = read_for_ever
sys.argv = ["einfuse", "check", "slow.yaml"]
main()
"""


@pytest.mark.parametrize(("name", "status"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_interrupted_while_it_reads(name: str, status: int) -> None:
    """The program says when it is at a known place."""
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED_AT], env=env, preexec_fn=heed_interrupts, **pipes
    ) as process:
        assert process.stdout is not None and process.stdout.readline() == "reading\n"
        process.send_signal(getattr(signal, name))
        out, err = process.communicate(timeout=HANGS_S)
    said = {"SIGINT": "einfuse: interrupted\n", "SIGTERM": "einfuse: ended by SIGTERM\n"}[name]
    assert (process.returncode, out, err) == (status, "", said)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
@pytest.mark.parametrize("command", ["check", "simulate", "sweep", "compare"])
def test_what_never_ends_is_refused_at_once(tmp_path: Path, command: str) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    options = ["--out", str(tmp_path / "out")] if command == "sweep" else []
    expected = "a measurement (JSON)" if command == "compare" else "a YAML file"
    for path, kind in ((tmp_path / "pipe.yaml", "a pipe"), (Path("/dev/zero"), "a device")):
        status, out, err = run([command, str(path), *options])
        assert (status, out + err) == (2, f"{path}: expected {expected}, got {kind}\n")


def test_reader_that_leaves() -> None:
    code = "import sys; sys.argv = ['einfuse', 'list']; from sim.__main__ import main; main()"
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    read, write = os.pipe()
    os.close(read)
    process = subprocess.run(
        [sys.executable, "-c", code], stdout=write, stderr=subprocess.PIPE, env=env, timeout=HANGS_S
    )
    os.close(write)
    assert (process.returncode, process.stderr) == (141, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_full_disk() -> None:
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "sim", "list", "models"]
        process = subprocess.run(
            command, cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True, env=env, timeout=HANGS_S
        )
    message = "einfuse: cannot go on ([Errno 28] No space left on device)\n"
    assert (process.returncode, process.stderr) == (2, message)


def test_terminal_without_the_characters(design: Path) -> None:
    env = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "ascii"}
    command = [sys.executable, "-m", "sim", "simulate", "./experiment.yaml"]
    process = subprocess.run(command, cwd=design, capture_output=True, text=True, env=env, timeout=HANGS_S)
    assert (process.returncode, process.stderr) == (0, WARNING)
    assert "3,072 cycles" in process.stdout


def test_process_of_its_own(design: Path) -> None:
    done = einfuse("simulate", "./experiment.yaml", "--json", cwd=design)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["cycles"] == 3072
    wrong = einfuse("simulate", "./experimen.yaml", cwd=design)
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert wrong.stderr == "experimen.yaml: no such file (did you mean 'experiment.yaml'?)\n"


def test_a_simulation_loads_nothing_that_draws(design: Path) -> None:
    code = (
        "import sys; sys.argv = ['einfuse', 'simulate', './experiment.yaml', '--json']\n"
        "from sim.__main__ import main\n"
        "try:\n    main()\nfinally:\n"
        "    found = {'matplotlib', 'rich', 'torch', 'triton', 'pandas', 'scipy'} & sys.modules.keys()\n"
        "    print(sorted(found), file=sys.stderr)\n"
    )
    assert einfuse(code=code, cwd=design).stderr == "[]\n"


@pytest.mark.parametrize("room", ["kernels", "arch", "einsums", "mappings"])
@pytest.mark.parametrize("how", ["einfuse", "python -m sim"])
def test_packages_of_strangers_are_named(tmp_path: Path, room: str, how: str) -> None:
    """These are much-installed names: another one in front of ours is refused, not used."""
    (tmp_path / room).mkdir()
    (tmp_path / room / "__init__.py").write_text("def arch_model(): ...\n")
    script = tmp_path / "einfuse"  # as an installation writes it
    script.write_text("import sys\nfrom sim.__main__ import main\nsys.exit(main())\n")
    command = ["-m", "sim", "list"] if how == "python -m sim" else [str(script), "list"]
    env = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
    done = subprocess.run(
        [sys.executable, *command], cwd=tmp_path, capture_output=True, text=True, env=env, timeout=HANGS_S
    )
    stranger = tmp_path.resolve() / room / "__init__.py"
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"einfuse: expected the packages of {ROOT}, got '{room}' from {stranger}\n"


def test_a_library_among_strangers_says_so(tmp_path: Path) -> None:
    (tmp_path / "arch.py").write_text("")
    env = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
    command = [sys.executable, "-c", "from sim import simulate"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=env, timeout=HANGS_S)
    said = f"ImportError: einfuse: expected the packages of {ROOT}, got 'arch' from {tmp_path.resolve() / 'arch.py'}"
    assert done.stderr.splitlines()[-1] == said
