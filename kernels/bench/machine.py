"""Facts about the machine and the checkout that a measurement is made on."""

import platform
import subprocess
from pathlib import Path
from typing import NamedTuple

from kernels.bench.nvml import open_driver
from kernels.bench.schema import Machine
from kernels.plans.types import TARGETS

ROOT = Path(__file__).resolve().parents[2]
GIT_S = 10  # time limit of a git command


def has_gpu() -> bool:
    import torch

    return bool(torch.cuda.is_available())


def read_gpu() -> Machine:
    """The first visible GPU."""
    import torch
    import triton

    from kernels.launching import target_of_device

    properties = torch.cuda.get_device_properties(0)
    target = target_of_device(0)
    driver = open_driver()
    return Machine(
        kind="gpu",
        name=properties.name,
        architecture=target.architecture,
        sm_count=target.sm_count,
        l2_bytes=target.l2_bytes,
        memory_bytes=properties.total_memory,
        shared_bytes_per_cta=target.shared_bytes_per_cta,
        shared_bytes_per_sm=target.shared_bytes_per_sm,
        driver=driver.version() if driver is not None else "unknown",
        cuda=str(torch.version.cuda),
        torch=str(torch.__version__),
        triton=str(triton.__version__),
        python=platform.python_version(),
        max_sm_clock_hz=driver.max_sm_clock_hz() if driver is not None else None,
        max_memory_clock_hz=driver.max_memory_clock_hz() if driver is not None else None,
        power_limit_w=driver.power_limit_w() if driver is not None else None,
    )


def read_interpreter() -> Machine:
    """Triton's interpreter on a CPU: for trying out the harness, never for measuring."""
    import torch
    import triton

    target = TARGETS["interpreter"]
    return Machine(
        "cpu interpreter", platform.processor() or platform.machine(), "interpreter", target.sm_count,
        target.l2_bytes, 4 << 30, target.shared_bytes_per_cta, target.shared_bytes_per_sm, "none", "none",
        str(torch.__version__), str(triton.__version__), platform.python_version(),
    )  # fmt: skip


class Checkout(NamedTuple):
    commit: str
    is_clean: bool


def read_checkout(stated: str | None) -> Checkout:
    """Commit, and whether anything differs from it. `stated`: commit given by the maker of a copy without history."""
    if stated is not None:
        return Checkout(stated, True)
    try:
        commit = _git("rev-parse", "HEAD")
        return Checkout(commit, _git("status", "--porcelain", "--untracked-files=no") == "")
    except (OSError, subprocess.SubprocessError):
        return Checkout("unknown", False)


def _git(*arguments: str) -> str:
    return subprocess.run(
        ["git", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=GIT_S, check=True
    ).stdout.strip()
