"""Prepares the contenders of a case on a device: inputs, correctness gate, warm-up, and a way to time each.

Gate: our kernel runs on a small problem with the same options against fp64, and on the problem itself against fp32 (on
a representative part), with every buffer that it writes prefilled with NaN. A kernel over the limit is not timed.
"""

import gc
import time
from collections.abc import Callable, Iterator
from itertools import cycle
from typing import Literal, NamedTuple

import torch

from kernels.bench import attention_cases, other_cases
from kernels.bench.cases import CaseSpec
from kernels.bench.contenders import (
    Contender,
    FamilyOfCases,
    Inputs,
    NotMeantError,
    Prepared,
    poison,
    relative_error,
    scratch_of,
)
from kernels.bench.schema import WRONG, Absence, LaunchRecord, Machine, Method, NumericError
from kernels.bench.stopwatch import GRAPH_BELOW_S, Call, Later, Stopwatch
from kernels.plans.problems import Problem, UnfusedAttentionProblem

FAMILIES: dict[str, FamilyOfCases] = {
    "attention_fwd": attention_cases.FORWARD,
    "attention_bwd": attention_cases.BACKWARD,
    "unfused": attention_cases.UNFUSED,
    "decode": attention_cases.DECODE,
    "sparse": attention_cases.SPARSE,
    "gemm": other_cases.GEMM,
    "ceilings": other_cases.CEILINGS,
    "linear": other_cases.LINEAR,
    "rows": other_cases.ROWS,
    "rational": other_cases.RATIONAL,
}
# Relative error (Frobenius norm) over the same rounded inputs.
LIMITS = {"fp32": 1e-6, "fp16": 1e-3, "bf16": 8e-3}
WARM_UP_S = 0.025
MOST_ROTATION = 64
MOST_INPUT_SHARE = 0.3  # of the memory, for all copies of the inputs
REASON_LENGTH = 160
Role = Literal["own", "baseline", "yardstick"]


class Timed(NamedTuple):
    """A contender that is ready: `time()` enqueues one timed call; the result is for `calls` calls together."""

    implementation: str
    is_own: bool
    method: Method
    estimate_s: float
    time: Callable[[], Later]
    launches: tuple[LaunchRecord, ...] = ()
    errors: tuple[NumericError, ...] = ()


class Bench:
    """This machine's device: a GPU, or Triton's interpreter with every problem reduced."""

    def __init__(self, machine: Machine, stopwatch: Stopwatch, without: tuple[str, ...] = ()) -> None:
        self.machine = machine
        self.stopwatch = stopwatch
        self.without = without
        self.is_gpu = machine.kind == "gpu"
        self.device = torch.device("cuda" if self.is_gpu else "cpu")
        self.least_repetitions = 5 if self.is_gpu else 1

    def problem_of(self, spec: CaseSpec) -> Problem:
        """The problem to time: in the interpreter, the small one."""
        return spec.problem if self.is_gpu else spec.reduced

    def settle(self) -> None:
        self.stopwatch.settle()

    def prepare(self, spec: CaseSpec) -> tuple[tuple[Timed, ...], tuple[Absence, ...]]:
        """Every contender that is ready, and those that are not, with the reason."""
        self.release()
        family = FAMILIES[spec.family]
        try:
            rotation = self.make_inputs(family, self.problem_of(spec), spec.is_warm)
        except RuntimeError as error:  # out of memory
            return (), (Absence("einfuse", f"no inputs: {reason_of(error)}"),)
        ready: list[Timed] = []
        absent: list[Absence] = []
        for name, contender, role in iter_contenders(family):
            if name in self.without:
                absent.append(Absence(name, "left out on request"))
                continue
            try:
                ready.append(self.make_ready((name, contender, role), spec, rotation))
            except NotMeantError:
                continue
            except Exception as error:  # one implementation's failure is a finding, not the end of the run
                absent.append(Absence(name, reason_of(error)))
                self.recover()
        return tuple(ready), tuple(absent)

    def release(self) -> None:
        """Free what the previous case left."""
        if self.is_gpu:
            gc.collect()
            torch.cuda.empty_cache()

    def recover(self) -> None:
        if self.is_gpu:
            torch.cuda.synchronize()  # raises where the device itself has failed: then the run ends
            torch.cuda.empty_cache()

    def make_inputs(self, family: FamilyOfCases, problem: Problem, is_warm: bool) -> tuple[Inputs, ...]:
        """Copies in rotation, together more than twice the L2; a single one if the case is meant to stay in L2."""
        first = family.inputs(problem, self.device, 0)
        size = sum(x.numel() * x.element_size() for x in first)
        wanted = 1 if is_warm or not self.is_gpu else -(-2 * self.machine.l2_bytes // size)
        most = max(1, int(self.machine.memory_bytes * MOST_INPUT_SHARE // size))
        count = max(1, min(wanted, most, MOST_ROTATION))
        return (first, *(family.inputs(problem, self.device, 1 + 16 * i) for i in range(1, count)))

    def check_small(self, family: FamilyOfCases, contender: Contender, problem: Problem) -> NumericError:
        """Check against fp64 on a small problem."""
        inputs = family.inputs(problem, self.device, 99)
        found = computed(contender(problem, inputs), inputs)
        expected = family.reference(problem, cast(inputs, torch.float64))
        return NumericError("fp64", "reduced", relative_error(found, expected), limit_of(problem))

    def check_full(self, family: FamilyOfCases, prepared: Prepared, problem: Problem, inputs: Inputs) -> NumericError:
        """Check against fp32 on the problem itself, or a representative part of it."""
        part = family.sample(problem, inputs)
        found = tuple(part.cut(x) for x in computed(prepared, inputs))
        expected = family.reference(part.problem, cast(part.inputs, torch.float32))
        return NumericError("fp32", "full", relative_error(found, expected), limit_of(problem))

    def make_ready(self, named: tuple[str, Contender, Role], spec: CaseSpec, rotation: tuple[Inputs, ...]) -> Timed:
        """A checked and warm contender, in a graph if the call is short; ValueError if one of our own is wrong."""
        name, contender, role = named
        family, problem = FAMILIES[spec.family], self.problem_of(spec)
        errors: list[NumericError] = []
        if role == "own" or (role == "baseline" and not self.is_gpu):
            errors.append(self.check_small(family, contender, spec.reduced))
            refuse_wrong(role, errors)
        prepared = [contender(problem, inputs) for inputs in rotation]
        if role != "yardstick" and self.is_gpu:
            errors.append(self.check_full(family, prepared[0], problem, rotation[0]))
            refuse_wrong(role, errors)
        calls: list[Call] = [one.call for one in prepared]
        estimate = self.warm_up(calls)
        is_own = role == "own"
        records = tuple(LaunchRecord.of(launch.plan) for launch in prepared[0].launches) if is_own else ()
        made = self.stopwatch.graph(calls, estimate) if estimate < GRAPH_BELOW_S else None
        method = self.stopwatch.method_of(made is not None)
        return Timed(name, is_own, method, estimate, self.timer_of(calls, made, spec), records, tuple(errors))

    def timer_of(self, calls: list[Call], made: tuple[Call, int] | None, spec: CaseSpec) -> Callable[[], Later]:
        is_cold = not spec.is_warm
        if made is None:
            turn = cycle(calls)
            return lambda: self.stopwatch.time(next(turn), is_cold)
        replay, count = made

        def time_graph() -> Later:
            later = self.stopwatch.time(replay, is_cold)
            return lambda: later() / count

        return time_graph

    def warm_up(self, calls: list[Call]) -> float:
        """Seconds of a call, the minimum of a few after at least WARM_UP_S of calls; each set of inputs used once."""
        for call in calls:
            call()
        self.settle()
        start = time.perf_counter()
        samples: list[float] = []
        turn = cycle(calls)
        while not samples or (time.perf_counter() - start < WARM_UP_S and len(samples) < 1000):
            laters = [self.stopwatch.time(next(turn), True) for _ in range(1 if not self.is_gpu else 3)]
            self.settle()
            samples += [later() for later in laters]
        return max(min(samples), 1e-9)


def iter_contenders(family: FamilyOfCases) -> Iterator[tuple[str, Contender, Role]]:
    parts: tuple[tuple[Role, dict[str, Contender]], ...] = (
        ("own", family.own),
        ("baseline", family.baselines),
        ("yardstick", family.yardsticks),
    )
    for role, contenders in parts:
        for name, contender in contenders.items():
            yield name, contender, role


def refuse_wrong(role: Role, errors: list[NumericError]) -> None:
    last = errors[-1]
    if role == "own" and not last.relative <= last.limit:
        raise ValueError(
            f"{WRONG}: relative error {last.relative:.3g} against {last.reference} on the {last.shape} shape, "
            f"at most {last.limit:.3g}"
        )


def limit_of(problem: Problem) -> float:
    return LIMITS[problem.attention.dtype if isinstance(problem, UnfusedAttentionProblem) else problem.dtype]


def computed(prepared: Prepared, inputs: Inputs) -> tuple[torch.Tensor, ...]:
    """The outputs of one call, with every buffer of our kernels prefilled with NaN."""
    if prepared.launches:
        poison(scratch_of(prepared, inputs))
    return prepared.call()


def cast(inputs: Inputs, dtype: torch.dtype) -> Inputs:
    return tuple(x.to(dtype) if x.is_floating_point() else x for x in inputs)


def reason_of(error: Exception) -> str:
    """The reason in one line."""
    if isinstance(error, ModuleNotFoundError):
        return f"{error.name} is not installed"
    text = " ".join(str(error).split()) or type(error).__name__
    return (text if isinstance(error, ValueError) else f"{type(error).__name__}: {text}")[:REASON_LENGTH]
