"""Requests a second of the DRAM engine on streams and scattered requests, next to the same source uncompiled.

One channel of each preset, everything there from the start, refresh on; from byte addresses to finish cycles. Run by
hand; `--quick` is the smoke run of the tests.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from arch.dram import DramController, DramTiming
from sim.dram.requests import DramResult, simulate_requests
from sim.load.nouns import CATALOGS, load_dram

ROOT = Path(__file__).resolve().parents[1]
WINDOWS = (1, 32, 64)


def one_channel(name: str) -> DramTiming:
    """The preset with one data bus."""
    return DramTiming.model_validate(load_dram(name).model_dump() | {"channels": 1, "pseudo_channels": 1})


def trace(timing: DramTiming, kind: str, number: int) -> tuple[np.ndarray, np.ndarray]:
    """Addresses and writes: a stream, two streams in the same banks, scattered reads, or scattered reads and writes."""
    random, burst = np.random.default_rng(0), timing.burst_bytes
    bursts = timing.capacity_bytes // burst
    numbers = {
        "stream": np.arange(number) % bursts,
        "two streams": (np.arange(number) // 2 + np.arange(number) % 2 * (bursts // 2)) % bursts,
        "scattered": random.integers(0, bursts, number),
        "mixed": random.integers(0, bursts, number),
    }
    return numbers[kind] * burst, random.random(number) < (0.5 if kind == "mixed" else 0.0)


def rate(name: str, kind: str, window: int, number: int) -> tuple[float, DramResult]:
    """Requests a second of the faster of two runs, by the clock of this process; the first also compiles."""
    timing, controller = one_channel(name), DramController(window=window)
    addresses, writes = trace(timing, kind, number)
    best = 0.0
    for _ in range(2):
        start = time.process_time()
        result = simulate_requests(timing, addresses, writes, controller=controller)
        best = max(best, number / max(time.process_time() - start, 1e-9))
    return best, result


def uncompiled(kind: str, number: int) -> float:
    """Requests a second of the same source without compiling, window 32, in a process of its own."""
    program = f"from benchmarks.dram import rate\nprint(rate('hbm2-2000', {kind!r}, 32, {number})[0])"
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", program]
    return float(subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=True).stdout)


def main(number: int) -> None:
    print(f"million requests a second, one channel, {number} requests; bandwidth at window 32")
    print(f"{'':26s}" + "".join(f"{f'W={window}':>8s}" for window in WINDOWS) + f"{'GB/s':>8s}{'of peak':>9s}")
    for name in CATALOGS["timing"].names():
        for kind in ("stream", "two streams", "scattered", "mixed"):
            runs = {window: rate(name, kind, window, number) for window in WINDOWS}
            rates = "".join(f"{speed / 1e6:8.2f}" for speed, _ in runs.values())
            result = runs[32][1]
            print(f"{name:14s}{kind:12s}{rates}{result.bandwidth_bytes_per_s / 1e9:8.2f}{result.utilization:9.1%}")
    for kind in ("stream", "scattered"):
        slow = uncompiled(kind, max(100, number // 500))
        print(f"the same source, uncompiled, hbm2-2000 {kind}, W=32: {slow / 1e6:.4f}")


if __name__ == "__main__":
    main(500 if "--quick" in sys.argv else 1_000_000)
