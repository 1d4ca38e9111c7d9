"""Facts of the machine and of the checkout, and what the driver says of clocks and power during a run. Reads only.

Clocks, power limits, MIG and persistence are never touched: `nvidia-smi` is asked for numbers, nothing else.
"""

import platform
import shutil
import subprocess
import threading
import time
from pathlib import Path
from statistics import median
from typing import NamedTuple

from kernels.bench.schema import Machine, Reading
from kernels.plans.types import TARGETS

ROOT = Path(__file__).resolve().parents[2]
QUERY_S = 10  # how long an answer may take
PERIOD_MS = 200
FACTS = ("driver_version", "clocks.max.sm", "clocks.max.mem", "power.limit")
READINGS = ("clocks.sm", "clocks.mem", "power.draw", "temperature.gpu")


class Sample(NamedTuple):
    """One line of the driver's report, and when it came on the harness' clock."""

    at_s: float
    sm_clock_hz: float
    memory_clock_hz: float
    power_w: float
    temperature_c: float


def has_gpu() -> bool:
    import torch

    return bool(torch.cuda.is_available())


def read_gpu() -> Machine:
    """The first visible GPU."""
    import torch
    import triton

    properties = torch.cuda.get_device_properties(0)
    from kernels.launching import target_of_device

    target = target_of_device(0)
    driver, sm_clock, memory_clock, power = ask_driver(FACTS) or ("unknown", None, None, None)
    return Machine(
        kind="gpu",
        name=properties.name,
        architecture=target.architecture,
        sm_count=target.sm_count,
        l2_bytes=target.l2_bytes,
        memory_bytes=properties.total_memory,
        shared_bytes_per_cta=target.shared_bytes_per_cta,
        shared_bytes_per_sm=target.shared_bytes_per_sm,
        driver=driver,
        cuda=str(torch.version.cuda),
        torch=str(torch.__version__),
        triton=str(triton.__version__),
        python=platform.python_version(),
        max_sm_clock_hz=scaled(sm_clock, 1e6),
        max_memory_clock_hz=scaled(memory_clock, 1e6),
        power_limit_w=scaled(power, 1.0),
    )


def read_interpreter() -> Machine:
    """Triton's interpreter on a CPU: a machine to try the harness on, never one to measure."""
    import torch
    import triton

    target = TARGETS["interpreter"]
    return Machine(
        "cpu interpreter", platform.processor() or platform.machine(), "interpreter", target.sm_count,
        target.l2_bytes, 4 << 30, target.shared_bytes_per_cta, target.shared_bytes_per_sm, "none", "none",
        str(torch.__version__), str(triton.__version__), platform.python_version(),
    )  # fmt: skip


def scaled(text: str | None, factor: float) -> float | None:
    """A number of the driver's report in our unit; none where it has none ('[N/A]')."""
    try:
        return float(text) * factor if text is not None else None
    except ValueError:
        return None


def query_command(fields: tuple[str, ...]) -> list[str] | None:
    program = shutil.which("nvidia-smi")
    if program is None:
        return None
    return [program, "--id=0", f"--query-gpu={','.join(fields)}", "--format=csv,noheader,nounits"]


def ask_driver(fields: tuple[str, ...]) -> tuple[str, ...] | None:
    """One report; none without nvidia-smi or where it does not know the fields."""
    command = query_command(fields)
    if command is None:
        return None
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=QUERY_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    parts = tuple(part.strip() for part in done.stdout.strip().split(","))
    return parts if done.returncode == 0 and len(parts) == len(fields) else None


class Telemetry:
    """Reports of the driver during a run, from a process that prints one every PERIOD_MS."""

    def __init__(self) -> None:
        self.samples: list[Sample] = []
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        command = query_command(READINGS)
        if command is None:
            return
        self.process = subprocess.Popen(
            [*command, f"--loop-ms={PERIOD_MS}"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        threading.Thread(target=self._listen, args=(self.process,), daemon=True).start()

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(QUERY_S)
            self.process = None

    def between(self, start_s: float, end_s: float) -> Reading | None:
        return reading_of([sample for sample in list(self.samples) if start_s <= sample.at_s <= end_s])

    def _listen(self, process: "subprocess.Popen[str]") -> None:
        assert process.stdout is not None
        for line in process.stdout:
            sample = parse_sample(line, time.monotonic())
            if sample is not None:
                self.samples.append(sample)


def parse_sample(line: str, at_s: float) -> Sample | None:
    """MHz, MHz, W, degrees; none for a line with something else."""
    values = [scaled(part.strip(), 1.0) for part in line.split(",")]
    if len(values) != len(READINGS) or None in values:
        return None
    sm_mhz, memory_mhz, power_w, temperature_c = (value for value in values if value is not None)
    return Sample(at_s, sm_mhz * 1e6, memory_mhz * 1e6, power_w, temperature_c)


def reading_of(samples: list[Sample]) -> Reading | None:
    """Medians."""
    if not samples:
        return None
    columns = list(zip(*samples, strict=True))[1:]
    return Reading(len(samples), *(median(column) for column in columns))


class Checkout(NamedTuple):
    commit: str
    is_clean: bool


def read_checkout(stated: str | None) -> Checkout:
    """Commit and whether anything differs from it. `stated`: of a copy without its history, by whoever made it."""
    if stated is not None:
        return Checkout(stated, True)
    try:
        commit = _git("rev-parse", "HEAD")
        return Checkout(commit, _git("status", "--porcelain", "--untracked-files=no") == "")
    except (OSError, subprocess.SubprocessError):
        return Checkout("unknown", False)


def _git(*arguments: str) -> str:
    return subprocess.run(
        ["git", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=QUERY_S, check=True
    ).stdout.strip()
