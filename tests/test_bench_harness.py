"""Does a benchmark run keep its order: turns, passes, budget, journal, drift? On a device that is made up; no torch."""

import json
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from typer.testing import CliRunner

from kernels.bench import __main__ as program
from kernels.bench.cases import CASES, select_cases
from kernels.bench.harness import case_line, ceilings_of, quantile, run_cases, take_pass, timing_of
from kernels.bench.journal import Journal
from kernels.bench.machine import read_checkout
from kernels.bench.nvml import Driver, Sample, Telemetry, open_driver, reading_of
from kernels.bench.report import AIMS, aim_lines, measurement_lines
from kernels.bench.schema import Ceilings, measurement_text, parse_measurement
from kernels.bench.work import count_bytes, count_flops, reduce_problem
from kernels.plans import AttentionProblem, DecodeProblem, LinearAttentionProblem
from sim.__main__ import app
from tests.bench_samples import COMMIT, H100, FakeDevice, roofline_seconds, sample_measurement, surroundings

ROOT = Path(__file__).resolve().parents[1]
DECODE = select_cases(("decode",))


# --------------------------------------------------------------------------------------------------- cases


def test_case_set():
    assert len({spec.id for spec in CASES}) == len(CASES)
    sweep = {
        spec.id for spec in CASES if spec.family == "attention_fwd" and "gqa" not in spec.id and "ragged" not in spec.id
    }
    assert sweep == {
        f"attention_fwd-d{d}-{mask}-n{n}"
        for d in (64, 128, 256)
        for mask in ("full", "causal")
        for n in (512, 1024, 2048, 4096, 8192, 16384)
    }
    for spec in CASES:
        if spec.id in sweep:
            assert spec.problem.batch * spec.problem.queries == 16384
            assert spec.problem.heads * spec.problem.head_size == 2048


def test_flops_follow_the_published_convention():
    """4 B H N^2 d full, half of it causal (to one diagonal), 2.5 times that backward."""
    problem = AttentionProblem(2, 16, 16, 4096, 4096, 128, 128, "bf16")
    full = 4 * 2 * 16 * 4096**2 * 128
    assert count_flops(problem) == full
    assert count_flops(problem, True) == 2.5 * full
    assert count_flops(replace(problem, right=0)) == pytest.approx(full / 2, rel=1 / 4096)


def test_bytes_are_those_of_the_tensors():
    q, kv = 2 * 16 * 4096 * 128 * 2, 2 * 2 * 4096 * 128 * 2
    problem = AttentionProblem(2, 16, 2, 4096, 4096, 128, 128, "bf16", right=0)
    assert count_bytes(problem) == 2 * q + 2 * kv + 2 * 16 * 4096 * 4
    cache = DecodeProblem((1000, 24), 16, 2, 1, 128, 128, "bf16")
    assert count_bytes(cache) == 2 * (1024 * 2 * 128 * 2) + 2 * 2 * (16 * 128 * 2)
    linear = LinearAttentionProblem(2, 4, 1024, 64, 128, "bf16", True)
    assert count_bytes(linear) == 2 * 4 * 1024 * (2 * (64 + 128) * 2 + 64 * 4)
    assert count_flops(linear) == 2 * 4 * 1024 * (64 * (64 + 128) + 4 * 64 * 128)


def test_reduced_problems_keep_what_chooses_the_kernel():
    for spec in CASES:
        small = spec.reduced
        assert type(small) is type(spec.problem)
        assert count_flops(small, spec.is_backward) <= 2e9, spec.id
        for name in ("head_size", "value_size", "dtype", "right", "block_size", "columns", "is_gate_per_channel"):
            if name != "columns" or spec.family in ("rows", "rational"):
                assert getattr(small, name, None) == getattr(spec.problem, name, None), (spec.id, name)
        if hasattr(small, "kv_heads"):
            assert small.heads // small.kv_heads == spec.problem.heads // spec.problem.kv_heads
    assert reduce_problem(CASES[5].problem).keys % 128 == 0, "the specialised kernel takes whole blocks of keys only"


def test_cases_are_chosen_by_family_or_pattern():
    assert {spec.family for spec in select_cases(("rows", "rational"))} == {"rows", "rational"}
    assert [spec.id for spec in select_cases(("decode-b1-gqa8-*",))] == [
        f"decode-b1-gqa8-n{n}" for n in (131072, 32768, 4096)
    ]
    assert select_cases(()) == CASES


# ------------------------------------------------------------------------------------------------- timing


def test_quantiles_are_those_of_numpy():
    numpy = pytest.importorskip("numpy")
    samples = [3.0, 1.0, 2.5, 8.0, 0.5, 4.0, 4.5]
    for share in (0.2, 0.5, 0.8, 1.0):
        assert quantile(sorted(samples), share) == pytest.approx(numpy.quantile(samples, share))
    timing = timing_of(samples)
    assert (timing.p20_s, timing.median_s, timing.p80_s, timing.repetitions) == pytest.approx((1.3, 3.0, 4.4, 7))


def test_contenders_take_turns():
    """Equal ones strictly alternate, and rounds start with another one each; a slow one has fewer turns, evenly spread."""
    spec = DECODE[0]
    device = FakeDevice(lambda spec, name: 1e-3)
    ready, _ = device.prepare(spec)
    first, second = take_pass(ready, device)
    assert len(first) == len(second) == 91  # 0.1 s over 1.1 ms
    rounds = [tuple(device.order[i : i + 2]) for i in range(0, len(device.order), 2)]
    assert all(set(pair) == {"einfuse", "sdpa-flash"} for pair in rounds)
    assert rounds[0] != rounds[1] == rounds[3]
    device = FakeDevice(lambda spec, name: 10e-3 if name == "sdpa-flash" else 1e-3)
    fast, slow = take_pass(device.prepare(spec)[0], device)
    assert (len(fast), len(slow)) == (91, 10)
    turns = [i for i, name in enumerate(device.order) if name == "sdpa-flash"]
    gaps = {b - a for a, b in pairwise(turns)}
    assert max(gaps) - min(gaps) <= 2


def test_case_holds_times_rates_and_ratios():
    kept, begun = [], []
    device = FakeDevice(roofline_seconds)
    outcome = run_cases(DECODE[:2], (), device, 1e9, surroundings(device, kept, begun))
    case = outcome.cases[0]
    ours, theirs = case.results
    expected_s = case.bytes / 1.6e12 + 3e-6
    assert theirs.timing.median_s == pytest.approx(expected_s)
    assert ours.timing.median_s == pytest.approx(0.8 * expected_s)
    assert [timing.repetitions for timing in ours.passes] == [ours.timing.repetitions / 2] * 2
    assert ours.spread == 0
    assert ours.gb_per_s == pytest.approx(case.bytes / ours.timing.median_s / 1e9)
    assert ours.tflop_per_s == pytest.approx(case.flops / ours.timing.median_s / 1e12)
    assert [(r.baseline, r.value) for r in ours.ratios] == [("sdpa-flash", pytest.approx(1.25))]
    assert theirs.ratios == theirs.launches == ()
    assert [launch.operator for launch in ours.launches] == ["attention_decode_split", "attention_decode_merge"]
    assert case.reading.sm_clock_hz == 1.7e9
    assert kept == list(outcome.cases) and begun == [spec.id for spec in DECODE[:2]]


def test_drift_is_that_of_the_first_case_repeated_last():
    device = FakeDevice(lambda spec, name: 1e-3 if len(device.prepared) < 4 else 1.07e-3)
    outcome = run_cases(DECODE[:3], (), device, 1e9, surroundings(device))
    assert device.prepared == [spec.id for spec in (*DECODE[:3], DECODE[0])]
    assert outcome.drift == pytest.approx(0.07)


def test_budget_ends_a_run_and_names_what_is_left():
    """Cases take 3.4 s: none begins where one and a half of the longest so far would not fit."""
    device = FakeDevice(lambda spec, name: 1e-3)
    outcome = run_cases(DECODE, (), device, 15.0, surroundings(device))
    assert 0 < len(outcome.cases) < len(DECODE)
    assert outcome.not_run == tuple(spec.id for spec in DECODE[len(outcome.cases) :])
    assert device.now_s <= 15.0 + 3.5
    nothing = run_cases(DECODE, (), FakeDevice(roofline_seconds), 0.0, surroundings(device))
    assert nothing.cases == () and len(nothing.not_run) == len(DECODE) and nothing.drift is None


def test_ceilings_are_summed_up():
    ceilings = ceilings_of(sample_measurement("ceilings").cases)
    assert ceilings.gemm_flops_per_s == pytest.approx(625e12, rel=0.01)
    assert ceilings.copy_bytes_per_s == pytest.approx(2e12, rel=0.01)
    assert ceilings.launch_s == pytest.approx(2.4e-6, rel=0.01)
    assert ceilings.torch_copy_bytes_per_s is None
    assert ceilings_of(()) == Ceilings()


# ------------------------------------------------------------------------------------------------ journal


def test_killed_run_is_resumed(tmp_path):
    """A kill in the middle of a line loses that line; finished cases are not measured again."""
    path = tmp_path / "run.partial.jsonl"
    journal = Journal(path, H100, COMMIT)
    journal.start()
    device = FakeDevice(roofline_seconds)
    around = surroundings(device)._replace(keep=journal.keep, begin=journal.begin)
    whole = run_cases(DECODE[:3], (), device, 1e9, around)
    text = path.read_text("utf-8")
    path.write_text(text[: text.rindex("\n", 0, -1) + 200], "utf-8")
    kept = Journal(path, H100, COMMIT).resume()
    assert kept.cases == whole.cases[:2]
    assert kept.unfinished == (DECODE[2].id,)
    again = FakeDevice(roofline_seconds)
    resumed = run_cases(
        DECODE[:3], kept.cases, again, 1e9, surroundings(again)._replace(keep=journal.keep, begin=journal.begin)
    )
    assert again.prepared == [DECODE[2].id] * 2, "measured, and repeated for the drift"
    assert resumed.cases == whole.cases
    assert Journal(path, H100, COMMIT).resume().cases == whole.cases


def test_journal_of_another_run_is_refused(tmp_path):
    path = tmp_path / "run.partial.jsonl"
    Journal(path, H100, COMMIT).start()
    with pytest.raises(ValueError) as caught:
        Journal(path, replace(H100, driver="581"), "f" * 40).resume()
    assert str(caught.value) == (
        f"{path}: was begun on another machine or commit (differs in $.commit, $.machine.driver); "
        "run without --resume to start over"
    )


def test_resuming_nothing_starts(tmp_path):
    path = tmp_path / "deep" / "run.partial.jsonl"
    assert Journal(path, H100, COMMIT).resume() == ((), ())
    assert path.exists()


# ------------------------------------------------------------------------------------------------- driver


class FakeLibrary:
    """nvml.h in so far as it is called: every function gives 0 and fills its last argument. Setters do not exist."""

    def __init__(self, fails: str = "") -> None:
        self.fails = fails
        self.called: list[str] = []

    def __getattr__(self, name: str):
        numbers = {
            "nvmlInit_v2": None, "nvmlDeviceGetHandleByIndex_v2": None, "nvmlDeviceGetMaxClockInfo": 1980,
            "nvmlDeviceGetClockInfo": 1755, "nvmlDeviceGetPowerUsage": 650_500, "nvmlDeviceGetTemperature": 61,
            "nvmlDeviceGetEnforcedPowerLimit": 700_000,
        }  # fmt: skip

        def call(*arguments):
            self.called.append(name)
            if name == self.fails:
                return 3  # NVML_ERROR_NOT_SUPPORTED
            if name == "nvmlSystemGetDriverVersion":
                arguments[0].value = b"580.82"
            elif numbers[name] is not None:
                arguments[-1]._obj.value = numbers[name]
            return 0

        return call


def test_driver_is_read():
    driver = Driver(FakeLibrary())
    assert driver.version() == "580.82"
    assert (driver.max_sm_clock_hz(), driver.power_limit_w()) == (1.98e9, 700.0)
    assert driver.sample(5.0) == Sample(5.0, 1.755e9, 1.755e9, 650.5, 61.0)
    assert Driver(FakeLibrary("nvmlDeviceGetPowerUsage")).sample(5.0) is None
    assert Driver(FakeLibrary("nvmlDeviceGetMaxClockInfo")).max_memory_clock_hz() is None


def test_driver_is_only_read():
    source = (ROOT / "kernels/bench/nvml.py").read_text("utf-8")
    assert "nvmlDeviceSet" not in source and "nvmlDeviceReset" not in source and "nvidia-smi" not in source


def test_no_driver_no_readings():
    def absent(name):
        raise OSError(f"{name}: cannot open shared object file")

    assert open_driver(absent) is None
    assert open_driver(lambda name: FakeLibrary("nvmlInit_v2")) is None
    telemetry = Telemetry(None)
    telemetry.start()
    telemetry.stop()
    assert telemetry.between(0, 1e12) is None


def test_readings_are_medians_of_the_stretch():
    telemetry = Telemetry(None)
    telemetry.samples = [Sample(t, 1e9 + t, 2e9, 100.0 * t, 50.0) for t in (1.0, 2.0, 3.0, 10.0)]
    reading = telemetry.between(1.5, 10.0)
    assert (reading.samples, reading.sm_clock_hz, reading.power_w) == (3, 1e9 + 3, 300.0)
    assert telemetry.between(4.0, 5.0) is None and reading_of([]) is None


def test_telemetry_samples_until_it_is_stopped():
    library = FakeLibrary()
    telemetry = Telemetry(Driver(library))
    telemetry.start()
    while not telemetry.samples:
        pass
    telemetry.stop()
    assert telemetry.thread is not None and not telemetry.thread.is_alive()
    assert telemetry.samples[0].power_w == 650.5


# ---------------------------------------------------------------------------------------------- in words


def test_table_of_a_run():
    measurement = sample_measurement("attention_fwd-d128-full", 40.0)
    lines = measurement_lines(measurement)
    assert lines[0] == (
        "NVIDIA H100 80GB HBM3 (gpu), driver 580.82, CUDA 13.0, torch 2.11.0, triton 3.6.0; commit 0123456"
    )
    assert lines[2].split() == ["case", "ours", "us", "TFLOP/s", "GB/s", "spread", "faster", "than"]
    assert lines[3].split() == [
        "attention_fwd-d128-full-n16384",
        "einfuse",
        "3520.8",
        "624.6",
        "77",
        "0.0%",
        "sdpa-flash",
        "1.25x",
    ]
    assert (
        "reached  forward, full, over FlashAttention-2: 1.25 at worst (attention_fwd-d128-full-n16384), aim 1.2, 3 cases"
        in lines
    )
    assert lines[-1].startswith("6 cases in ") and lines[-1].endswith("drift +0.00%")


def test_every_aim_has_its_cases():
    """On the made-up machine each aim is judged on the cases that it names."""
    everything = tuple(
        case
        for pattern in ("ceilings", "attention_fwd-d128", "attention_bwd-d128", "decode", "gemm-")
        for case in sample_measurement(pattern).cases
    )
    said = list(aim_lines(everything))
    assert len(said) == len(AIMS) - 3, "no cuBLAS, no fla and no torch copy on the made-up machine"
    assert [line.split()[0] for line in said if "decode" in line] == ["missed"], "2.0 of 2.7 TB/s"
    missing = replace(everything[0], results=())
    assert case_line(missing) == "nothing of ours was timed (flash-attn: flash_attn is not installed)"


# ------------------------------------------------------------------------------------------- command line


@pytest.fixture
def measured(monkeypatch, tmp_path):
    """The program on the made-up machine, in a folder of its own."""
    device = FakeDevice(roofline_seconds)
    device.machine = H100
    monkeypatch.setattr(program, "open_device", lambda wishes: device)
    monkeypatch.setattr(program, "open_driver", lambda: None)
    monkeypatch.chdir(tmp_path)
    return device


def test_program_writes_what_it_measured(measured, tmp_path, capsys):
    assert program.main(["--cases", "attention_bwd", "--commit", COMMIT]) == 0
    (path,) = (tmp_path / "out/bench").glob("*.json")
    measurement = parse_measurement(path.read_text("utf-8"), path.name)
    assert {case.family for case in measurement.cases} == {"attention_bwd"}
    assert measurement.run.command == ("python", "-m", "kernels.bench", "--cases", "attention_bwd", "--commit", COMMIT)
    assert (measurement.run.commit, measurement.run.is_clean, measurement.run.drift) == (COMMIT, True, 0.0)
    out, err = capsys.readouterr()
    assert out.splitlines()[-1].startswith("12 cases in ")
    assert f"written: {path.relative_to(tmp_path)}" in err and "not fit for committing" not in err


def test_program_prints_json_and_nothing_else(measured, capsys):
    assert program.main(["--cases", "rows", "--json", "--commit", COMMIT, "--out", "x.json"]) == 0
    out, _ = capsys.readouterr()
    assert out.strip() == Path("x.json").read_text("utf-8").strip()
    assert json.loads(out)["schema"] == "einfuse-measurement-1"


def test_program_resumes(measured, capsys):
    assert program.main(["--cases", "rows", "--commit", COMMIT, "--out", "x.json"]) == 0
    first = parse_measurement(Path("x.json").read_text("utf-8"), "x.json")
    before = len(measured.prepared)
    assert (
        program.main(["--cases", "rows", "--cases", "rational", "--commit", COMMIT, "--out", "x.json", "--resume"]) == 0
    )
    assert measured.prepared[before:] == ["rational-65536x768", "rational-backward-65536x768", "rational-65536x768"]
    assert parse_measurement(Path("x.json").read_text("utf-8"), "x.json").cases[:4] == first.cases
    assert "x.partial.jsonl: 4 cases are done, 0 began without an end" in capsys.readouterr().err
    assert program.main(["--commit", "f" * 40, "--out", "x.json", "--resume"]) == 2


def test_program_says_that_numbers_are_wrong(measured, monkeypatch):
    prepare = measured.prepare

    def prepare_wrong(spec):
        ready, absent = prepare(spec)
        return ready[1:], (replace(absent[0], implementation="einfuse", reason="wrong: relative error 0.5"),)

    monkeypatch.setattr(measured, "prepare", prepare_wrong)
    assert program.main(["--cases", "rows", "--commit", COMMIT, "--out", "x.json"]) == 1


def test_program_survives_a_failed_device(measured, monkeypatch, capsys):
    def fail(spec):
        raise RuntimeError("CUDA error: an illegal memory access was encountered\nmore")

    monkeypatch.setattr(measured, "prepare", fail)
    assert program.main(["--cases", "rows", "--commit", COMMIT, "--out", "x.json"]) == 2
    assert capsys.readouterr().err == (
        "the run broke off (CUDA error: an illegal memory access was encountered more); "
        "--resume goes on from x.partial.jsonl\n"
    )


def test_program_shows_a_file(measured, capsys):
    """The same table again; what speaks against the file makes it fail; what is no measurement is refused."""
    name = "h100-80gb-hbm3-2026-11-26-0123456.json"
    measurement = sample_measurement("gemm-")
    Path(name).write_text(measurement_text(measurement), "utf-8")
    assert program.main(["--show", name]) == 0
    assert capsys.readouterr() == ("\n".join(measurement_lines(measurement)) + "\n", "")
    Path("mine.json").write_text(measurement_text(measurement), "utf-8")
    assert program.main(["--show", "mine.json", "--json"]) == 1
    out, err = capsys.readouterr()
    assert parse_measurement(out, "out") == measurement
    assert err == f"not fit for committing: $: expected the name '{name}'\n"
    Path("other.json").write_text("{}", "utf-8")
    assert program.main(["--show", "other.json"]) == 2
    assert capsys.readouterr().err.splitlines()[0] == "other.json: $.schema: missing"
    assert program.main(["--show", "none.json"]) == 2
    assert capsys.readouterr().err == "none.json: cannot be read (No such file or directory)\n"


REFUSED = [
    (["--cases", "attn"], "--cases: no case is called 'attn': expected a family (attention_fwd, attention_bwd, decode, "
     "gemm, linear, sparse, rows, rational, unfused, ceilings) or a pattern over the names that --list shows"),
    (["--budget", "-1"], "--budget: expected seconds from 0, got -1"),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "sentence"), REFUSED)
def test_command_refuses(arguments, sentence):
    done = CliRunner().invoke(app, ["bench", *arguments])
    assert (done.exit_code, done.stdout, done.stderr) == (2, "", sentence + "\n")


def test_command_without_a_gpu_says_so():
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    done = CliRunner().invoke(app, ["bench"])
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr == (
        "this machine has no GPU that torch can use, so there is nothing to measure; --dry-run shows what would be "
        "measured, --interpreter tries the run without one\n"
    )


def test_dry_run_needs_neither_torch_nor_numpy():
    """On the GPU machine nothing of the simulator is installed, and on a plain one no torch."""
    code = (
        "import sys\n"
        "for name in ('torch', 'triton', 'numpy', 'pydantic', 'typer', 'yaml'): sys.modules[name] = None\n"
        "from kernels.bench.__main__ import main\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "--dry-run", "--cases", "unfused"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == (
        "3 cases, at most 0.3 GiB of inputs and outputs, within 540 s; what does not fit in time is named in the result"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "measuring needs torch, which is not installed; --dry-run shows what would be measured\n"


def test_checkout_is_that_of_git():
    assert read_checkout(COMMIT) == (COMMIT, True)
    found = read_checkout(None)
    assert len(found.commit) == 40 or found == ("unknown", False)


def test_measurement_text_is_short():
    text = measurement_text(sample_measurement("sparse-"))
    assert max(map(len, text.splitlines())) < 12_000, "lists of numbers stand on one line"
    assert len(text.splitlines()) < 1000
