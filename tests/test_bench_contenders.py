"""Does the benchmark catch wrong kernels, and time the right calls? In the interpreter, and with a GPU's calls made up."""

# ruff: noqa: E402 - the interpreter must be chosen before triton is imported, and files without torch are skipped

from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace

import pytest

torch = pytest.importorskip("torch")
from tests.kernel_device import DEVICE  # isort: skip  # chooses the interpreter before triton is imported

pytest.importorskip("triton")

from kernels import launching
from kernels.bench import __main__ as program
from kernels.bench import grid, machine, trials, workbench
from kernels.bench.cases import CASES, CaseSpec
from kernels.bench.contenders import NotMeantError, relative_error, scratch_of
from kernels.bench.machine import read_gpu, read_interpreter
from kernels.bench.schema import parse_measurement
from kernels.bench.stopwatch import CudaStopwatch, WallClock
from kernels.bench.workbench import FAMILIES, Bench, reason_of
from kernels.plans import (
    TARGETS,
    Configuration,
    problems,
)
from kernels.plans.configurations import TABLE

ATTENTION = problems.AttentionProblem(2, 4, 2, 64, 64, 32, 32, "bf16", right=0)
SMALL = (
    CaseSpec("fwd", "attention_fwd", ATTENTION),
    CaseSpec("ragged", "attention_fwd", problems.AttentionProblem(1, 2, 2, 2048, 2048, 32, 32, "bf16", right=0, lengths=((1024, 1024), (1000, 1000), (24, 24)))),
    CaseSpec("bwd", "attention_bwd", ATTENTION, True),
    CaseSpec("unfused", "unfused", problems.UnfusedAttentionProblem(problems.AttentionProblem(1, 1, 1, 24, 24, 16, 16, "bf16", right=0))),
    CaseSpec("decode", "decode", problems.DecodeProblem((60, 60), 8, 1, 1, 32, 32, "bf16")),
    CaseSpec("sparse", "sparse", problems.BlockSparseProblem(1, 2, 2, 256, 256, 32, "bf16", 64, False, (2,) * 8)),
    CaseSpec("gemm", "gemm", problems.GemmProblem(70, 64, 48, "bf16")),
    CaseSpec("copy", "ceilings", problems.StreamProblem("stream_copy", 3000, "bf16")),
    CaseSpec("exp2", "ceilings", problems.StreamProblem("exp2_throughput", 3000, "fp32", 4)),
    CaseSpec("product", "ceilings", problems.GemmProblem(64, 64, 64, "bf16")),
    *(CaseSpec(name, "rows", problems.RowProblem(name, 3, 100, "bf16")) for name in ("softmax", "layernorm", "rmsnorm")),
    CaseSpec("rational", "rational", problems.RationalProblem(20, 64, 4, "bf16")),
    CaseSpec("rational-backward", "rational", problems.RationalProblem(20, 64, 4, "bf16", True), True),
    CaseSpec("gla", "linear", problems.LinearAttentionProblem(1, 1, 20, 16, 16, "bf16", True)),
    *(CaseSpec(f"step-{has_delta}", "linear", problems.RecurrentAttentionProblem(1, 2, 3, 16, 16, "bf16", not has_delta, has_delta)) for has_delta in (False, True)),
    CaseSpec("delta", "linear", problems.DeltaRuleProblem(1, 1, 20, 16, 16, "bf16")),
    CaseSpec("simple", "linear", problems.LinearAttentionProblem(1, 1, 20, 16, 16, "bf16", False)),
)  # fmt: skip


@pytest.fixture(scope="module")
def bench():
    if DEVICE == "cuda":
        return Bench(read_gpu(), CudaStopwatch())
    return Bench(read_interpreter(), WallClock())


@pytest.mark.parametrize("spec", SMALL, ids=lambda spec: spec.id)
def test_our_kernels_pass_the_gate(spec, bench):
    """Each of ours is timed, with errors below their limits, and launches of a plan; whoever computes the same agrees."""
    ready, absent = bench.prepare(spec)
    own = [one for one in ready if one.is_own]
    assert own and own[0].implementation == "einfuse", absent
    for one in own:
        assert one.launches and one.errors
    for one in ready:
        assert one.estimate_s > 0
        assert all(error.relative <= error.limit for error in one.errors), (one.implementation, one.errors)
    assert not any(absence.implementation.startswith("einfuse") for absence in absent)
    later = own[0].time()
    bench.settle()
    assert later() > 0


def test_every_family_is_tried():
    assert {spec.family for spec in SMALL} == set(FAMILIES) == {spec.family for spec in CASES}


@pytest.mark.parametrize("spec", SMALL, ids=lambda spec: spec.id)
def test_a_sample_stands_for_the_whole(spec):
    """The reference on the part equals that part of the reference on everything."""
    family = FAMILIES[spec.family]
    inputs = tuple(
        x.double() if x.is_floating_point() else x for x in family.inputs(spec.problem, torch.device(DEVICE), 3)
    )
    part = family.sample(spec.problem, inputs)
    whole = tuple(part.cut(x) for x in family.reference(spec.problem, inputs))
    assert relative_error(family.reference(part.problem, part.inputs), whole) < 1e-12


def test_inputs_are_random_and_repeatable():
    family = FAMILIES["attention_fwd"]
    first, again, other = (family.inputs(ATTENTION, torch.device(DEVICE), seed) for seed in (0, 0, 1))
    assert all(torch.equal(x, y) for x, y in zip(first, again, strict=True))
    assert not torch.equal(first[0], other[0]) and not torch.equal(first[1], first[2])
    assert 0.9 < float(first[0].float().std()) < 1.1


# -------------------------------------------------------------------------------------------- wrong kernels


def spoiled(name: str, spoil):
    """The forward family with our kernel's result spoiled."""
    family = FAMILIES["attention_fwd"]

    def contender(problem, inputs):
        prepared = family.own["einfuse"](problem, inputs)
        return prepared._replace(call=lambda: spoil(prepared, inputs))

    return family._replace(own={name: contender}, baselines={})


def scaled(prepared, inputs):
    (out,) = prepared.call()
    return (out * 1.02,)


def silent(prepared, inputs):
    return (prepared.launches[0].arguments["tensors"].out.base,)  # the output as it was before the launch


@pytest.mark.parametrize(("spoil", "error"), [(scaled, "0.02"), (silent, "inf")])
def test_wrong_kernel_is_not_timed(spoil, error, bench, monkeypatch):
    """An error of two percent, and an output that was never written: the buffer holds NaN, whatever lay there before."""
    monkeypatch.setitem(workbench.FAMILIES, "attention_fwd", spoiled("einfuse", spoil))
    ready, (absence,) = bench.prepare(SMALL[0])
    assert ready == ()
    assert absence.reason.startswith(f"wrong: relative error {error}") and absence.reason.endswith(
        "against fp64 on the reduced shape, at most 0.008"
    )


def test_what_a_forward_left_is_not_poisoned(bench):
    family = FAMILIES["attention_bwd"]
    inputs = family.inputs(ATTENTION, torch.device(DEVICE), 0)
    prepared = family.own["einfuse"](ATTENTION, inputs)
    scratch = {x.data_ptr() for x in scratch_of(prepared, inputs)}
    assert len(scratch) == 4, "dQ, dK, dV and delta"
    assert not scratch & {x.data_ptr() for x in (*inputs, *prepared.kept)}


def test_absence_has_a_reason(bench, monkeypatch):
    def missing(problem, inputs):
        import no_such_library  # noqa: F401

    def unmeant(problem, inputs):
        raise NotMeantError("for others")

    def failing(problem, inputs):
        raise RuntimeError("no kernel\nfor this " + "x" * 500)

    family = FAMILIES["gemm"]._replace(baselines={"a": missing, "b": unmeant, "c": failing, "d": missing})
    monkeypatch.setitem(workbench.FAMILIES, "gemm", family)
    asked = Bench(bench.machine, bench.stopwatch, without=("d",))
    ready, absent = asked.prepare(SMALL[6])
    assert [one.implementation for one in ready] == ["einfuse"]
    reasons = {absence.implementation: absence.reason for absence in absent}
    assert list(reasons) == ["a", "c", "d"], "what is not meant for a case is not missing from it"
    assert reasons["a"] == "no_such_library is not installed" and reasons["d"] == "left out on request"
    assert reasons["c"].startswith("RuntimeError: no kernel for this xxx") and len(reasons["c"]) == 160
    assert reason_of(ValueError("said well")) == "said well"


def test_relative_error():
    x = torch.tensor([3.0, 4.0], dtype=torch.float64)
    assert relative_error((x * 1.5,), (x,)) == pytest.approx(0.5)
    assert relative_error((x, x * 1.5), (x, x)) == pytest.approx(0.5)
    assert relative_error((x[:1],), (x,)) == relative_error((x / 0,), (x,)) == float("inf")
    assert relative_error((torch.zeros(2),), (torch.zeros(2),)) == 0


TUNED = (
    ("attention_fwd", ATTENTION),
    ("attention_bwd_dkv", ATTENTION),
    ("attention_bwd_dq", ATTENTION),
    ("attention_decode", SMALL[4].problem),
    ("gemm", SMALL[6].problem),
)


@pytest.mark.parametrize(("operator", "problem"), TUNED, ids=lambda value: value if isinstance(value, str) else "")
def test_what_the_tuner_tries_computes_the_operator(operator, problem, bench):
    """With a configuration that is not the table's; the launches that are timed are those that have it."""
    row = next(row for row in TABLE if row.operator == operator)
    cut = Configuration(32, 16, 16)
    family = trials.FAMILY_BY_OPERATOR[operator]
    inputs = family.inputs(problem, torch.device(DEVICE), 0)
    plans = grid.plan_with(row, problem, bench.machine.target, cut)
    prepared, timed = trials.prepare(row, problem, inputs, plans)
    expected = family.reference(problem, workbench.cast(inputs, torch.float64))
    assert relative_error(workbench.computed(prepared, inputs), expected) < 8e-3
    assert tuple(launch.plan for launch in prepared.launches[timed]) == plans


# -------------------------------------------------------------------------------------------------- timing


class FakeCuda:
    """torch.cuda in so far as a stopwatch calls it: notes what goes on the stream; each thing takes a unit of time."""

    def __init__(self, can_capture: bool = True) -> None:
        self.stream: list[str] = []
        self.can_capture = can_capture
        self.captured: list[str] | None = None

    def put(self, what: str) -> None:
        (self.stream if self.captured is None else self.captured).append(what)

    def Event(self, enable_timing):  # noqa: N802
        cuda = self

        class Event:
            def record(self):
                self.at = len(cuda.stream)
                cuda.put("event")

            def elapsed_time(self, end):
                assert cuda.stream[-1] == "settled", "read before the stream was done"
                return float(end.at - self.at - 1)

        assert enable_timing
        return Event()

    def CUDAGraph(self):  # noqa: N802
        cuda = self

        class Graph:
            def replay(self):
                for what in cuda.graphed:
                    cuda.put(what)

        return Graph()

    @contextmanager
    def graph(self, graph):
        self.captured = []
        try:
            yield
            if not self.can_capture:
                raise RuntimeError("operation not permitted when stream is capturing")
            self.graphed = self.captured
        finally:
            self.captured = None

    def current_stream(self):
        return "default"

    def set_stream(self, stream):
        self.put(f"back to {stream}")

    def synchronize(self):
        self.stream.append("settled")


@pytest.fixture
def cuda(monkeypatch):
    fake = FakeCuda()
    for name in ("Event", "CUDAGraph", "graph", "current_stream", "set_stream", "synchronize"):
        monkeypatch.setattr(torch.cuda, name, getattr(fake, name))
    watch = CudaStopwatch.__new__(CudaStopwatch)
    watch.flushed = type("Buffer", (), {"zero_": lambda self: fake.put("flush")})()
    return fake, watch


def test_a_call_is_timed_between_events_after_a_flush(cuda):
    fake, watch = cuda
    laters = [watch.time(lambda: fake.put("call"), True) for _ in range(2)]
    assert fake.stream == ["flush", "event", "call", "event"] * 2, "nothing waits in between"
    watch.settle()
    assert [later() for later in laters] == [1e-3, 1e-3], "the call alone, without its flush"
    watch.time(lambda: fake.put("call"), False)
    assert fake.stream[-3:] == ["event", "call", "event"], "a warm case is not flushed"


def test_short_calls_go_into_a_graph_in_rotation(cuda):
    fake, watch = cuda
    calls = [lambda name=name: fake.put(name) for name in "abc"]
    replay, count = watch.graph(calls, 0.1e-3)
    assert fake.graphed == list("abc") * 4 and count == 12, "a millisecond of calls, whole rotations"
    later = watch.time(replay, True)
    watch.settle()
    assert later() / count == pytest.approx(1e-3), "one of them"
    assert watch.graph(calls, 1e-9)[1] == 201


def test_what_cannot_be_captured_is_timed_by_events(cuda):
    fake, watch = cuda
    fake.can_capture = False
    assert watch.graph([lambda: fake.put("call")], 1e-4) is None
    assert fake.stream == ["settled", "back to default", "settled"]
    assert watch.method_of(False) == "events" and watch.method_of(True) == "graph"


def test_contender_of_a_graph_gives_the_time_of_one_call(bench):
    asked = Bench(bench.machine, WallClock())
    asked.stopwatch.time = lambda call, is_cold: lambda: 1.2
    spec = SMALL[0]
    assert asked.timer_of([], (lambda: None, 12), spec)()() == pytest.approx(0.1)
    assert asked.timer_of([lambda: None], None, spec)()() == 1.2


def test_rotation_exceeds_l2_within_memory(bench, monkeypatch):
    """Copies of the inputs: together above twice L2, never above their share of memory, one for a warm case."""
    fake = Bench(bench.machine, WallClock())
    fake.is_gpu = True
    monkeypatch.setattr(fake, "machine", type("Machine", (), {"l2_bytes": 50_000, "memory_bytes": 1 << 30})())
    size = sum(x.numel() * x.element_size() for x in FAMILIES["attention_fwd"].inputs(ATTENTION, fake.device, 0))
    made = fake.make_inputs(FAMILIES["attention_fwd"], ATTENTION, False)
    assert len(made) == -(-100_000 // size) > 1
    assert len({x.data_ptr() for inputs in made for x in inputs}) == 3 * len(made)
    assert len(fake.make_inputs(FAMILIES["attention_fwd"], ATTENTION, True)) == 1
    fake.machine.memory_bytes = 0
    assert len(fake.make_inputs(FAMILIES["attention_fwd"], ATTENTION, False)) == 1


def test_gpu_is_described_as_torch_and_driver_report_it(monkeypatch):
    properties = SimpleNamespace(
        name="NVIDIA H100 80GB HBM3", major=9, minor=0, multi_processor_count=132, total_memory=85 << 30,
        shared_memory_per_block_optin=232_448, shared_memory_per_multiprocessor=233_472, L2_cache_size=50 << 20,
    )  # fmt: skip
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: properties)
    monkeypatch.setattr(machine, "open_driver", lambda: None)
    launching.target_of_device.cache_clear()
    try:
        found = machine.read_gpu()
    finally:
        launching.target_of_device.cache_clear()
    assert (found.kind, found.architecture, found.driver) == ("gpu", "sm90", "unknown")
    assert found.target == replace(TARGETS["h100"], name="NVIDIA H100 80GB HBM3")
    assert found.memory_bytes == 85 << 30 and found.max_sm_clock_hz is None
    assert found.torch == str(torch.__version__)


@pytest.mark.skipif(DEVICE == "cuda", reason="in the interpreter")
def test_whole_program_in_the_interpreter(monkeypatch, tmp_path, capsys):
    """From the command line to a file that can be read, and that is refused as a measurement."""
    monkeypatch.chdir(tmp_path)
    assert program.main(["--interpreter", "--cases", "ceilings-copy*", "--out", "trial.json"]) == 0
    measurement = parse_measurement((tmp_path / "trial.json").read_text("utf-8"), "trial.json")
    assert measurement.machine.kind == "cpu interpreter"
    assert [case.id for case in measurement.cases] == ["ceilings-copy", "ceilings-copy-l2"]
    assert all(result.method == "wall" for case in measurement.cases for result in case.results)
    out, err = capsys.readouterr()
    assert "ceilings-copy-l2  einfuse" in out
    assert (
        "not fit for committing: $.machine.kind: measured on a 'cpu interpreter', expected 'gpu': a trial is no measurement"
        in err
    )
