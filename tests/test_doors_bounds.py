"""Doors that hold: numbers and work have bounds, faults become sentences, files of another kind say what they are."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import sim
from arch.expression import SCALAR_FUNCTIONS, evaluate, parse_expression
from arch.functions import largest_divisor
from sim import InputError
from sim.commands import answering
from sim.commands import simulate as simulate_module
from sim.ending import Ended, what_was_asked
from sim.gpu.cases import COLUMNS, load_table
from sim.load.cells import plain_cells
from sim.load.nouns import load_technology
from sim.lower.functions import VECTOR_FUNCTIONS
from tests.mutations import LONGEST_S, try_mutation, try_word, warm_up
from tests.small_design import HANGS_S, run, write_design
from tests.small_sweep import write_sweep

ROOT = Path(__file__).resolve().parents[1]
DIGITS = "1" + "0" * 400
PE = "architecture.components.PE2D"


# ------------------------------------------------------------------------------------------------------- numbers
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("architecture.components.DRAM.read_energy=1.0e+308 pJ",
         "architecture.components.DRAM.read_energy: expected an energy such as '249.6 pJ', got '1.0e+308 pJ', which is too large"),
        ("architecture.clock=1.0e-300 Hz",
         "architecture.clock: expected a frequency such as '940 MHz', got '1.0e-300 Hz', which is too small"),
        (f"seq_len={DIGITS}", "seq_len: expected a number of at most 60 characters, got 401"),
        (f"{PE}.rows={DIGITS}0", f"{PE}.rows: expected a number of at most 60 characters, got 402"),
        (f"architecture.clock={DIGITS} Hz",
         f"architecture.clock: expected a frequency such as '940 MHz', got '{DIGITS[:60]}...', which has too many digits"),
        (f"{PE}.operations.macc.cycles=1.0e+31",
         f"{PE}.operations.macc.cycles: expected a number of cycles at most 1e+30, got 1e+31"),
        ("mapping.tiles.M0=9**9**9**9", "mapping.tiles.M0: a number too large in '9**9**9**9'"),
        ("mapping.tiles.M0=largest_divisor(2**61-1, 5)",
         "mapping.tiles.M0: 'largest_divisor' searches numbers of at most 4398046511104, got 2305843009213693951"),
        ("architecture.components.DRAM.bandwidth=1 GBps",
         "architecture.components.DRAM.bandwidth: expected a bandwidth such as '400 GiB/s', got '1 GBps' (did you mean '1 GB/s'?)"),
        ("architecture.components.DRAM.bandwidth=1 Gb/s",
         "architecture.components.DRAM.bandwidth: expected a bandwidth such as '400 GiB/s', got '1 Gb/s' (did you mean '1 Gbit/s'?)"),
        ('mapping="./a\\0b.yaml"', "mapping: './a\\x00b.yaml': cannot be read (embedded null byte)"),
    ],
)  # fmt: skip
def test_number_of_a_setting(change: str, message: str) -> None:
    assert run(["simulate", "fusemax-binding", "--set", change]) == (2, "", f"--set: $.{message}\n")


def test_names_that_the_system_refuses() -> None:
    name = "a" * 256
    for command in ("simulate", "check", "verify"):
        status, out, err = run([command, f"{name}.yaml"])
        said = f"{name[:160]}...: cannot be read (File name too long)\n"
        assert (status, (out + err).replace(f"{name}.yaml", f"{name[:160]}...")) == (2, said)


def test_numbers_beyond_floats() -> None:
    for formula in ("10**300*10**300", "1e300*1e300", "2**1001", "9**9**9**9", "1e9999 MiB", "-1e308*10"):
        with pytest.raises(ValueError, match="too large"):
            parse_expression(formula)
    with pytest.raises(ValueError, match="a number too large in 'x\\*1e300'"):
        evaluate(parse_expression("x*1e300"), {"x": 1e300}.__getitem__)


def test_searches_for_divisors_end() -> None:
    assert largest_divisor(2**42 - 11, 2**42 - 12) == 1  # a prime, the longest search
    assert largest_divisor(2**61 - 1, 2**61) == 2**61 - 1
    vector: Callable[[float, float], Any] = VECTOR_FUNCTIONS["largest_divisor"]
    for number, limit in ((12, 5), (97, 96), (2**40, 3), (5, 7), (2**50, 2**50)):
        assert vector(number, limit) == SCALAR_FUNCTIONS["largest_divisor"](number, limit)
    assert str(vector(2.0**61, 5)) == "nan"


def test_words_in_logic_of_arrays() -> None:
    with pytest.raises(ValueError, match="'and' needs numbers, got 'x'"):
        evaluate(parse_expression("a and 'x'"), {"a": 1.0}.__getitem__, VECTOR_FUNCTIONS)


# ---------------------------------------------------------------------------------------------------------- work
@pytest.mark.parametrize(
    ("axis", "message"),
    [
        ({"range": {"from": 1, "to": 1e11, "step": 1}}, "rows.range: the range has 100,000,000,000 values, at most 100,000 are possible"),
        ({"range": {"from": 0, "to": 1e9, "step": 1}}, "rows.range: the range has 1,000,000,001 values, at most 100,000 are possible"),
        ({"log_range": {"from": 1, "to": 10, "points": 10**9}}, "rows.log_range.points: expected a number of at most 100000, got 1000000000"),
        ({"values": [1, 10**31]}, "rows: axis 'rows': expected numbers of at most 1e+30, got 10000000000000000000000000000000"),
    ],
)  # fmt: skip
def test_values_of_an_axis_are_counted_first(tmp_path: Path, axis: dict[str, Any], message: str) -> None:
    path = write_sweep(tmp_path, axes={"rows": {"path": f"{PE}.rows", **axis}}, derive=None, constraints=None)
    began = time.process_time()
    status, out, _ = run(["check", str(path)])
    assert time.process_time() - began < LONGEST_S
    assert status == 1
    assert out.partition(": $.axes.")[2] in (f"{message}\n", f"{message.replace('rows: axis', 'rows.values: axis')}\n")


def test_objectives_are_finite(tmp_path: Path) -> None:
    def written(formula: str) -> list[str]:
        return [
            "sweep",
            str(write_sweep(tmp_path, objectives=[{"minimize": formula}])),
            "--out",
            str(tmp_path / "out"),
            "--fresh",
        ]

    status, out, err = run(written("9**9**9**9"))
    assert (status, out, err.partition(": $.")[2]) == (
        2,
        "",
        "objectives[0].minimize: a number too large in '9**9**9**9'\n",
    )
    status, out, err = run(written("latency_s * 1e300 * 1e300"))
    said = "einfuse: none of the 288 points of 'small' is left: 'objective latency_s * 1e300 * 1e300' refuses 192, 'constraint area' refuses 64, 'capacity' refuses 32\n"
    assert (status, sorted(err.split())) == (1, sorted(said.split()))
    assert "inf" not in (tmp_path / "out" / "points.csv").read_text("utf-8").replace("infinite", "")


def test_large_files_are_refused_for_their_size(tmp_path: Path) -> None:
    path = tmp_path / "large.yaml"
    path.write_text("name: large\nvalues: |\n" + "  text\n" * 1_500_000)
    size = f"{path.stat().st_size:,}"
    assert run(["check", str(path)]) == (
        1,
        f"{path}: has {size} bytes: expected a YAML file of at most 2,097,152\n",
        "",
    )


def test_runs_beyond_the_engines() -> None:
    large = ["--set", f"seq_len={2**40}"]
    status, out, err = run(["simulate", "fusemax-binding", "--engine", "cycle", *large])
    assert (status, out) == (1, "")
    assert err.endswith("$.schedule: a run of about 1.96e+24 cycles: the cycle engine counts to 9.01e+15\n")
    status, out, err = run(["verify", "attention-1pass", "--set", "M=1000000"])
    said = "einfuse: 'attention-1pass' has 5,208,002,304 points at these sizes, at most 2,000,000,000 are run on numbers: make ranks shorter\n"
    assert (status, out, err) == (2, "", said)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"queries": "1000000000"}, "about 15,625,000 blocks of a sequence, at most 65,536 can be planned"),
        ({"queries": "9" * 5000}, f"expected a whole number of at most 1099511627776, got '{'9' * 60}...'"),
        (
            {"operator": "attention_decode", "batch": "1000000000"},
            "expected a batch of at most 262144, got 1000000000",
        ),
        ({"value": "inf"}, "expected a positive number, got 'inf'"),
    ],
)
def test_cases_that_cannot_be_planned(tmp_path: Path, changes: dict[str, str], message: str) -> None:
    case = {
        "case": "one", "source": "a test", "kind": "published", "machine": "h100-sxm", "implementation": "fa3",
        "operator": "attention_fwd", "dtype": "bf16", "batch": "1", "heads": "16", "kv_heads": "16", "queries": "1024",
        "keys": "1024", "head_size": "128", "mask": "full", "metric": "tflops", "value": "500",
    } | changes  # fmt: skip
    path = tmp_path / "cases.csv"
    path.write_text(f"{','.join(COLUMNS)}\n{','.join(case[name] for name in COLUMNS)}\n")
    with pytest.raises(InputError) as refused:
        load_table(path)
    assert str(refused.value) == f"{path}:2: {message}"


@pytest.mark.parametrize(
    ("text", "message"),
    [("[" * 10**5, "the values are nested too deeply"), ('{"a": 1' + "0" * 5000 + "}", "a number has too many digits")],
)
def test_measurements_that_cannot_be_read(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "measured.json"
    path.write_text(text)
    assert run(["compare", str(path)]) == (2, "", f"{path}: $: {message}\n")


# ------------------------------------------------------------------------------------------------- from Python
@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda: sim.simulate({"name": "x"}), TypeError, "expected an Experiment, as load_experiment gives it, got dict"),  # type: ignore[arg-type]
        (lambda: sim.simulate_all([None]), TypeError, "expected an Experiment, as load_experiment gives it, got NoneType"),  # type: ignore[list-item]
        (lambda: sim.verify({}), TypeError, "expected an Experiment or a Cascade, got dict"),  # type: ignore[arg-type]
        (lambda: sim.load_experiment({"a": 1}), InputError, "einfuse: expected the name or path of an experiment, got {'a': 1}"),  # type: ignore[arg-type]
        (lambda: sim.load_cascade(None), InputError, "einfuse: expected the name or path of a cascade, got None"),  # type: ignore[arg-type]
        (lambda: sim.load_architecture(3), InputError, "einfuse: expected the name or path of an architecture, got 3"),  # type: ignore[arg-type]
        (lambda: sim.load_experiment("flat", {1: 2}), InputError, "--set: expected paths and values such as {'seq_len': 4096}, got {1: 2}"),  # type: ignore[dict-item]
        (lambda: sim.load_experiment("flat", seq_len=10**5000), InputError,
         "--set: $.seq_len: expected a number of at most 1099511627776, got a whole number of too many digits"),
    ],
)  # fmt: skip
def test_python_gives_sentences_too(call: Callable[[], Any], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind) as refused:
        call()
    assert str(refused.value) == message


def test_the_last_door(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise ZeroDivisionError("of a kind\nthat nobody foresaw")

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(simulate_module, "load_experiment", fail)
    status, out, err = run(["simulate", "flat"])
    (report,) = tmp_path.iterdir()
    said = f"einfuse: a fault of its own (ZeroDivisionError: of a kind...); please report it with {report}\n"
    assert (status, out, err) == (3, "", said)
    assert "that nobody foresaw" in report.read_text("utf-8")


def test_an_interrupt_that_a_library_turns_into_an_error_is_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """numpy does so in the middle of a comparison: `Cannot compare structured arrays`."""
    assert what_was_asked() is None
    monkeypatch.setattr(answering, "what_was_asked", lambda: Ended(signal.SIGTERM))
    assert answering.own_fault(TypeError("Cannot compare")) == 143
    assert capsys.readouterr().err == "einfuse: ended by SIGTERM\n"


# ------------------------------------------------------------------------------------------------------- tables
def test_no_cell_is_a_formula(tmp_path: Path) -> None:
    assert plain_cells(["=1+1", " @x", "-a", "+", "\tx", -1.5, 3, None, "a=1", ""]) == [
        "'=1+1", "' @x", "'-a", "'+", "'\tx", -1.5, 3, None, "a=1", "",
    ]  # fmt: skip
    path = write_sweep(tmp_path, objectives=[{"maximize": "-latency_s"}, {"minimize": "energy_pj", "name": "=1+1"}])
    sim.sweep(str(path), tmp_path / "out")
    for name in ("points.csv", "front.csv"):
        header = (tmp_path / "out" / name).read_text("utf-8").splitlines()[0].split(",")
        assert header[-2:] == ["'-latency_s", "'=1+1"]


def test_tables_are_read_again_when_they_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a long process, such as a notebook."""
    monkeypatch.chdir(tmp_path)
    write_design(tmp_path)
    assert load_technology("./technology.yaml").rows[0].read_pj == 3
    text = (tmp_path / "technology.yaml").read_text("utf-8")
    (tmp_path / "technology.yaml").write_text(text.replace("read_energy: 3 pJ", "read_energy: 30 pJ"))
    assert load_technology("./technology.yaml").rows[0].read_pj == 30


# ----------------------------------------------------------------------------------------------------- mutations
BATCHES, OF_EACH = 6, 500


@pytest.mark.parametrize("batch", range(BATCHES))
def test_mutated_inputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch: int) -> None:
    """`tests/mutations.py` tries a hundred thousand."""
    monkeypatch.chdir(tmp_path)
    warm_up(tmp_path)
    kinds: dict[str, int] = {}
    for number in range(batch * OF_EACH, (batch + 1) * OF_EACH):
        name, outcome = try_mutation(number, tmp_path)
        assert outcome.kind in ("accepted", "refused"), (number, name, outcome)
        kinds[outcome.kind] = kinds.get(outcome.kind, 0) + 1
    assert min(kinds["accepted"], kinds["refused"]) > OF_EACH // 20


def test_misspelt_words_are_not_accepted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    tried = [try_word(number, tmp_path) for number in range(400)]
    assert [word for word in tried if word] == []


def test_a_command_reports_what_goes_wrong_before_it(tmp_path: Path) -> None:
    """Where a command's module cannot be loaded."""
    code = (
        "import sys; import sim.commands.late as late; from sim.__main__ import main;"
        "late.load_command = lambda name: 1 / 0; sys.argv = ['einfuse', 'list']; main()"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)}
    ended = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=HANGS_S
    )
    (report,) = tmp_path.iterdir()
    said = f"einfuse: a fault of its own (ZeroDivisionError: division by zero); please report it with {report}\n"
    assert (ended.returncode, ended.stdout, ended.stderr) == (3, "", said)
