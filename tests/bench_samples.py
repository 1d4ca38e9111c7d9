"""Measurements made up for tests: a machine that takes the time one tells it to, and a file that breaks no rule."""

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

from kernels.bench.cases import CASES, CaseSpec
from kernels.bench.harness import Surroundings, ceilings_of, run_cases
from kernels.bench.schema import (
    SCHEMA,
    Absence,
    Case,
    LaunchRecord,
    Machine,
    Measurement,
    NumericError,
    Reading,
    Run,
)
from kernels.plans import TARGETS, plan

H100 = Machine(
    "gpu", "NVIDIA H100 80GB HBM3", "sm90", 132, 50 << 20, 80 << 30, 232_448, 233_472, "580.82", "13.0", "2.11.0", "3.6.0",
    "3.12.3", 1.98e9, 2.619e9, 700.0,
)  # fmt: skip
COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Contender(NamedTuple):
    implementation: str
    is_own: bool
    method: str
    estimate_s: float
    time: Callable[[], Callable[[], float]]
    launches: tuple[LaunchRecord, ...] = ()
    errors: tuple[NumericError, ...] = ()


class FakeDevice:
    """Takes `seconds(case, implementation)` for every call, on a clock of its own; notes the order of calls."""

    least_repetitions = 5

    def __init__(self, seconds: Callable[[CaseSpec, str], float]) -> None:
        self.seconds = seconds
        self.now_s = 0.0
        self.order: list[str] = []
        self.prepared: list[str] = []
        self.is_settled = True

    def problem_of(self, spec: CaseSpec):
        return spec.problem

    def settle(self) -> None:
        self.is_settled = True

    def prepare(self, spec: CaseSpec):
        self.now_s += 3.0  # compilation
        self.prepared.append(spec.id)
        launches = tuple(LaunchRecord.of(p) for p in plan(spec.problem, TARGETS["h100"]))
        passed = (NumericError("fp64", "reduced", 1e-3, 8e-3),)
        ready = (
            Contender("einfuse", True, "events", 0.0, lambda: lambda: 0.0, launches, passed),
            Contender("sdpa-flash", False, "events", 0.0, lambda: lambda: 0.0),
        )
        timed = tuple(
            one._replace(estimate_s=self.seconds(spec, one.implementation), time=self.timer(spec, one.implementation))
            for one in ready
        )
        return timed, (Absence("flash-attn", "flash_attn is not installed"),)

    def timer(self, spec: CaseSpec, implementation: str):
        def time():
            seconds = self.seconds(spec, implementation)
            self.now_s += seconds
            self.order.append(implementation)
            self.is_settled = False

            def later() -> float:
                assert self.is_settled, "a time was read before the device had settled"
                return seconds

            return later

        return time


def roofline_seconds(spec: CaseSpec, implementation: str) -> float:
    """Half of an H100's peaks, and 3 us for the launch; ours a quarter faster."""
    seconds = max(spec.flops / 500e12, spec.bytes / 1.6e12) + 3e-6
    return seconds * (0.8 if implementation == "einfuse" else 1.0)


def surroundings(device: FakeDevice, kept: list[Case] | None = None, begun: list[str] | None = None) -> Surroundings:
    reading = Reading(5, 1.7e9, 2.6e9, 600.0, 60.0)
    return Surroundings(
        lambda: device.now_s,
        lambda start, end: reading,
        lambda sentence: None,
        (kept if kept is not None else []).append,
        (begun if begun is not None else []).append,
    )


def sample_measurement(pattern: str = "attention_fwd-d128", budget_s: float = 1e9) -> Measurement:
    """The cases whose names hold the pattern, run on the fake device."""
    return measurement_of(tuple(spec for spec in CASES if pattern in spec.id), budget_s)


def measurement_of(specs: tuple[CaseSpec, ...], budget_s: float = 1e9) -> Measurement:
    """These cases, run on the fake device."""
    device = FakeDevice(roofline_seconds)
    outcome = run_cases(specs, (), device, budget_s, surroundings(device))
    run = Run(
        "2026-11-26T10:00:00Z", COMMIT, True, ("python", "-m", "kernels.bench"), 540.0, device.now_s, None, None,
        outcome.drift, outcome.not_run,
    )  # fmt: skip
    return Measurement(SCHEMA, run, H100, ceilings_of(outcome.cases), outcome.cases)


def with_case(measurement: Measurement, at: int, **changes) -> Measurement:
    """Case `at` changed."""
    cases = list(measurement.cases)
    cases[at] = replace(cases[at], **changes)
    return replace(measurement, cases=tuple(cases))


def with_result(measurement: Measurement, at: int, **changes) -> Measurement:
    """The first result of case `at` changed."""
    first, *others = measurement.cases[at].results
    return with_case(measurement, at, results=(replace(first, **changes), *others))
