"""The contents of a measurement file, as frozen records, read by `read_measurement(path)`.

One file is one run on one machine. A case is one problem; its results are the implementations that were timed on it, in
the same process and in turns, so that a ratio between them does not depend on the clock. Times are in seconds. `flops`
and `bytes` of a case are what the mathematics needs (visible pairs only; each element moved once), the same for every
implementation. Standard library only.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from kernels.bench.structure import Complaint, DocumentError, from_document, parse_json, to_document
from kernels.plans.problems import Problem, UnfusedAttentionProblem
from kernels.plans.types import Architecture, Configuration, Dtype, LaunchPlan, Target

SCHEMA: Literal["einfuse-measurement-1"] = "einfuse-measurement-1"
SCHEMA_BEFORE = "einfuse.measurement/1"  # the same form, as files were marked before all documents were named alike
SUFFIX = ".json"
WRONG = "wrong"  # start of the reason if one of our kernels failed the correctness gate
LIST_OF_SCALARS = re.compile(r"\[\n([^][{}\"]*?)\n *\]")

Family = Literal[
    "attention_fwd",
    "attention_bwd",
    "decode",
    "gemm",
    "linear",
    "sparse",
    "rows",
    "rational",
    "unfused",
    "ceilings",
]
MachineKind = Literal["gpu", "cpu interpreter"]
# How a time was taken: events around one call with L2 flushed before it, a CUDA graph of calls on inputs that together
# exceed L2, or the wall clock on a machine that has neither.
Method = Literal["events", "graph", "wall"]


@dataclass(frozen=True, slots=True)
class Machine:
    """The machine of a run, as driver and libraries report it."""

    kind: MachineKind
    name: str
    architecture: Architecture
    sm_count: int
    l2_bytes: int
    memory_bytes: int
    shared_bytes_per_cta: int
    shared_bytes_per_sm: int
    driver: str
    cuda: str
    torch: str
    triton: str
    python: str
    max_sm_clock_hz: float | None = None
    max_memory_clock_hz: float | None = None
    power_limit_w: float | None = None

    @property
    def target(self) -> Target:
        """The machine as launch plans know it."""
        return Target(
            self.name,
            self.architecture,
            self.sm_count,
            self.shared_bytes_per_cta,
            self.shared_bytes_per_sm,
            self.l2_bytes,
        )


@dataclass(frozen=True, slots=True)
class Reading:
    """Clocks, power and temperature: medians of what the driver reported over a stretch of the run."""

    samples: int
    sm_clock_hz: float
    memory_clock_hz: float
    power_w: float
    temperature_c: float


@dataclass(frozen=True, slots=True)
class Run:
    """How the file came about."""

    date: str  # UTC, ISO 8601
    commit: str
    is_clean: bool  # whether the checkout was exactly that commit
    command: tuple[str, ...]
    budget_s: float
    duration_s: float
    before: Reading | None  # clocks and power before the first case
    during: Reading | None  # and over all cases
    drift: float | None  # time of the first case repeated at the end, over its first time, less one
    not_run: tuple[str, ...] = ()  # cases that the budget did not reach


@dataclass(frozen=True, slots=True)
class Ceilings:
    """This machine's rates on the simplest work, from the cases of family `ceilings`; None if not measured."""

    copy_bytes_per_s: float | None = None  # read and written bytes of a large copy
    torch_copy_bytes_per_s: float | None = None
    l2_copy_bytes_per_s: float | None = None  # a copy that stays in L2
    exp2_per_s: float | None = None
    gemm_flops_per_s: float | None = None
    cublas_flops_per_s: float | None = None
    launch_s: float | None = None  # an almost empty kernel, in a graph of many


@dataclass(frozen=True, slots=True)
class CaseTiming:
    median_s: float
    p20_s: float
    p80_s: float
    repetitions: int

    def __post_init__(self) -> None:
        if not 0 < self.p20_s <= self.median_s <= self.p80_s:
            raise ValueError(f"expected 0 < p20 <= median <= p80, got {self.p20_s}, {self.median_s} and {self.p80_s}")
        if self.repetitions < 1:
            raise ValueError(f"expected at least one repetition, got {self.repetitions}")


@dataclass(frozen=True, slots=True)
class LaunchRecord:
    """The recorded part of a launch plan; the same problem and target give the same plan again."""

    operator: str
    grid: tuple[int, int, int]
    configuration: Configuration
    shared_bytes: int
    is_persistent: bool

    @classmethod
    def of(cls, plan: LaunchPlan) -> "LaunchRecord":
        return cls(plan.operator, plan.grid, plan.configuration, plan.shared_bytes, plan.is_persistent)


@dataclass(frozen=True, slots=True)
class Ratio:
    """Time of a baseline over the time of this result, in the same run: above one, this result is faster."""

    baseline: str
    value: float


@dataclass(frozen=True, slots=True)
class NumericError:
    """Relative error (Frobenius norm of the difference over that of the reference) and its limit."""

    reference: Literal["fp64", "fp32"]
    shape: Literal["reduced", "full"]
    relative: float
    limit: float


@dataclass(frozen=True, slots=True)
class Result:
    """One implementation on one case."""

    implementation: str
    is_own: bool
    method: Method
    timing: CaseTiming  # over all repetitions
    passes: tuple[CaseTiming, ...]  # each of the passes, minutes or seconds apart
    tflop_per_s: float
    gb_per_s: float
    launches: tuple[LaunchRecord, ...] = ()  # of own kernels
    ratios: tuple[Ratio, ...] = ()  # of own kernels, over every baseline of the case
    errors: tuple[NumericError, ...] = ()

    @property
    def spread(self) -> float:
        """Spread of the passes' medians: the slowest over the fastest, minus one."""
        medians = [timing.median_s for timing in self.passes]
        return max(medians) / min(medians) - 1


@dataclass(frozen=True, slots=True)
class Absence:
    """An implementation that could not be timed, with the reason."""

    implementation: str
    reason: str


@dataclass(frozen=True, slots=True)
class Case:
    """One problem on which implementations were compared."""

    id: str
    family: Family
    problem: Problem
    flops: int
    bytes: int
    is_backward: bool = False
    is_warm: bool = False  # inputs were left in L2 on purpose
    results: tuple[Result, ...] = ()
    absent: tuple[Absence, ...] = ()
    reading: Reading | None = None  # while the case was timed

    @property
    def dtype(self) -> Dtype:
        problem = self.problem
        return problem.attention.dtype if isinstance(problem, UnfusedAttentionProblem) else problem.dtype

    def result_of(self, implementation: str) -> Result | None:
        return next((result for result in self.results if result.implementation == implementation), None)

    @property
    def best_own(self) -> Result | None:
        """The fastest of our own variants."""
        own = [result for result in self.results if result.is_own]
        return min(own, key=lambda result: result.timing.median_s) if own else None


@dataclass(frozen=True, slots=True)
class Measurement:
    """One file."""

    schema: Literal["einfuse-measurement-1"]
    run: Run
    machine: Machine
    ceilings: Ceilings
    cases: tuple[Case, ...]

    def case_of(self, identifier: str) -> Case | None:
        return next((case for case in self.cases if case.id == identifier), None)


def parse_measurement(text: str, file: str) -> Measurement:
    """The measurement in a file's text.

    DocumentError (a ValueError) names every place that differs from the schema, with file and `$.path`.
    """
    document = parse_json(text, file)
    found = document.get("schema") if isinstance(document, dict) else None
    if found == SCHEMA_BEFORE:
        document = document | {"schema": SCHEMA}
    elif isinstance(found, str) and found != SCHEMA:
        message = f"this version reads '{SCHEMA}', got '{found}'"
        raise DocumentError((Complaint(file, "$.schema", message),))
    return from_document(Measurement, document, file)


def read_measurement(path: Path) -> Measurement:
    """The measurement in a file; DocumentError if it is not one, OSError if it cannot be read."""
    return parse_measurement(path.read_text("utf-8"), str(path))


def measurement_text(measurement: Measurement) -> str:
    """The file's text: JSON with lists of numbers on one line, for readable diffs."""
    text = json.dumps(to_document(measurement), indent=1, allow_nan=False)
    return LIST_OF_SCALARS.sub(lambda found: f"[{' '.join(found[1].split())}]", text) + "\n"


def list_measurements(folder: Path) -> tuple[Path, ...]:
    """The measurement files of a folder, by name."""
    return tuple(sorted(folder.glob(f"*{SUFFIX}")))


def name_of(measurement: Measurement) -> str:
    """<gpu>-<date>-<short commit>.json"""
    words = measurement.machine.name.lower().replace("nvidia", "").split()
    return f"{'-'.join(words)}-{measurement.run.date[:10]}-{measurement.run.commit[:7]}{SUFFIX}"
