"""The order of a run: cases within a budget, contenders in turns, two passes, and the first case repeated at the end.

Independent of torch and GPUs: a `Bench` prepares and times contenders, so that tests can run all of this on a fake one.
Every finished case goes to the journal at once.
"""

from collections.abc import Callable, Iterable
from statistics import median
from typing import NamedTuple, Protocol

from kernels.bench.cases import CaseSpec
from kernels.bench.schema import (
    Absence,
    Case,
    CaseTiming,
    Ceilings,
    LaunchRecord,
    Method,
    NumericError,
    Ratio,
    Reading,
    Result,
)
from kernels.plans.problems import Problem

PASSES = 2
PASS_S = 0.1  # of each contender in each pass
MOST_REPETITIONS = 200
FLUSH_S = 100e-6  # cost of a repetition in addition to the call
RESERVE = 1.5  # of the longest case so far: time kept free before another case begins
MOST_RESERVE_S = 60.0


class Ready(Protocol):
    """A warmed-up contender. `time` requests one timing, which is read after `settle`."""

    @property
    def implementation(self) -> str: ...
    @property
    def is_own(self) -> bool: ...
    @property
    def method(self) -> Method: ...
    @property
    def estimate_s(self) -> float: ...
    @property
    def time(self) -> Callable[[], Callable[[], float]]: ...
    @property
    def launches(self) -> tuple[LaunchRecord, ...]: ...
    @property
    def errors(self) -> tuple[NumericError, ...]: ...


class Device(Protocol):
    """Where cases run."""

    @property
    def least_repetitions(self) -> int: ...
    def problem_of(self, spec: CaseSpec) -> Problem: ...
    def prepare(self, spec: CaseSpec) -> tuple[tuple[Ready, ...], tuple[Absence, ...]]: ...
    def settle(self) -> None: ...


class Surroundings(NamedTuple):
    """The inputs and outputs of a run: a clock, the driver's readings between two times, callbacks for progress."""

    now: Callable[[], float]
    reading: Callable[[float, float], Reading | None]
    tell: Callable[[str], None]
    keep: Callable[[Case], None]  # a finished case, into the journal
    begin: Callable[[str], None]  # the id of a case that begins


class Outcome(NamedTuple):
    cases: tuple[Case, ...]
    not_run: tuple[str, ...]
    drift: float | None


def quantile(ordered: list[float], share: float) -> float:
    """Linear interpolation between neighbours."""
    place = share * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def timing_of(samples: Iterable[float]) -> CaseTiming:
    ordered = sorted(samples)
    return CaseTiming(quantile(ordered, 0.5), quantile(ordered, 0.2), quantile(ordered, 0.8), len(ordered))


def count_repetitions(estimate_s: float, least: int) -> int:
    return max(least, min(MOST_REPETITIONS, round(PASS_S / (estimate_s + FLUSH_S))))


def take_pass(ready: tuple[Ready, ...], device: Device) -> list[list[float]]:
    """Samples of each contender. Each takes at most one turn per round, slower ones in fewer, evenly spread rounds;
    each round starts with a different contender."""
    counts = [count_repetitions(one.estimate_s, device.least_repetitions) for one in ready]
    rounds = max(counts, default=0)
    laters: list[list[Callable[[], float]]] = [[] for _ in ready]
    for i in range(rounds):
        for j in range(len(ready)):
            turn = (i + j) % len(ready)
            if (i + 1) * counts[turn] // rounds > i * counts[turn] // rounds:
                laters[turn].append(ready[turn].time())
    device.settle()
    return [[later() for later in of_one] for of_one in laters]


def measure_case(spec: CaseSpec, device: Device, around: Surroundings) -> Case:
    problem = device.problem_of(spec)
    ready, absent = device.prepare(spec)
    start = around.now()
    passes = [take_pass(ready, device) for _ in range(PASSES)]
    reading = around.reading(start, around.now())
    flops, size = amounts_of(spec, problem)
    timed = [
        (one, timing_of([s for of_pass in passes for s in of_pass[i]]), tuple(timing_of(p[i]) for p in passes))
        for i, one in enumerate(ready)
    ]
    others = [(one.implementation, timing.median_s) for one, timing, _ in timed if not one.is_own]
    results = tuple(
        Result(
            implementation=one.implementation,
            is_own=one.is_own,
            method=one.method,
            timing=timing,
            passes=by_pass,
            tflop_per_s=flops / timing.median_s / 1e12,
            gb_per_s=size / timing.median_s / 1e9,
            launches=one.launches,
            ratios=tuple(Ratio(name, other / timing.median_s) for name, other in others) if one.is_own else (),
            errors=one.errors,
        )
        for one, timing, by_pass in timed
    )
    return Case(
        spec.id, spec.family, problem, flops, size, spec.is_backward, spec.is_warm, results, absent, reading
    )  # fmt: skip


def amounts_of(spec: CaseSpec, problem: Problem) -> tuple[int, int]:
    """Operations and bytes of the timed problem, which may be the reduced one."""
    timed = spec if problem == spec.problem else CaseSpec(spec.id, spec.family, problem, spec.is_backward)
    return timed.flops, timed.bytes


def run_cases(
    specs: tuple[CaseSpec, ...], done: tuple[Case, ...], device: Device, budget_s: float, around: Surroundings
) -> Outcome:
    """Cases in order until the budget ends; `done`: cases of an earlier run, not measured again."""
    started, longest = around.now(), 0.0
    known = {case.id: case for case in done}
    not_run: list[str] = []
    first_here: tuple[CaseSpec, Case] | None = None
    left = [spec for spec in specs if spec.id not in known]
    for number, spec in enumerate(left, 1):
        begun = around.now()
        reserve = min(MOST_RESERVE_S, RESERVE * longest)
        if not_run or begun - started + reserve >= budget_s:
            not_run.append(spec.id)
            continue
        around.begin(spec.id)
        case = measure_case(spec, device, around)
        around.keep(case)
        known[case.id] = case
        first_here = first_here or (spec, case)
        seconds = around.now() - begun
        longest = max(longest, seconds)
        around.tell(f"[{number}/{len(left)}] {spec.id}: {case_line(case)}, took {seconds:.1f} s")
    drift = None
    if first_here is not None and around.now() - started < budget_s:
        drift = drift_of(first_here[1], measure_case(first_here[0], device, around))
        around.tell(f"drift of {first_here[0].id}: {drift:+.2%}" if drift is not None else "no drift was measured")
    order = [spec.id for spec in specs if spec.id in known]
    return Outcome(tuple(known[identifier] for identifier in order), tuple(not_run), drift)


def drift_of(first: Case, last: Case) -> float | None:
    """Time of the last case over that of the first, minus one: the median over implementations."""
    ratios = []
    for result in first.results:
        again = last.result_of(result.implementation)
        if again is not None:
            ratios.append(again.timing.median_s / result.timing.median_s - 1)
    return median(ratios) if ratios else None


def case_line(case: Case) -> str:
    """Our best result in a few words."""
    best = case.best_own
    if best is None:
        return "nothing of ours was timed (" + "; ".join(f"{a.implementation}: {a.reason}" for a in case.absent) + ")"
    text = f"{best.timing.median_s * 1e6:.1f} us, {best.tflop_per_s:.0f} TFLOP/s, {best.gb_per_s:.0f} GB/s"
    if not best.ratios:
        return text
    closest = min(best.ratios, key=lambda ratio: ratio.value)
    return f"{text}, {closest.value:.2f}x {closest.baseline}"


def ceilings_of(cases: tuple[Case, ...]) -> Ceilings:
    """The summary of the cases of family `ceilings`."""
    by_id = {case.id: case for case in cases}

    def seconds(identifier: str, implementation: str = "einfuse") -> float | None:
        case = by_id.get(identifier)
        result = case.result_of(implementation) if case is not None else None
        return result.timing.median_s if result is not None else None

    def rate(amount: str, identifier: str, implementation: str = "einfuse") -> float | None:
        taken = seconds(identifier, implementation)
        return getattr(by_id[identifier], amount) / taken if taken is not None else None

    return Ceilings(
        copy_bytes_per_s=rate("bytes", "ceilings-copy"),
        torch_copy_bytes_per_s=rate("bytes", "ceilings-copy", "torch-copy"),
        l2_copy_bytes_per_s=rate("bytes", "ceilings-copy-l2"),
        exp2_per_s=rate("flops", "ceilings-exp2"),
        gemm_flops_per_s=rate("flops", "ceilings-gemm"),
        cublas_flops_per_s=rate("flops", "ceilings-gemm", "cublas"),
        launch_s=seconds("ceilings-launch"),
    )
