"""Sweeps that are ended before their time, many times over: Ctrl-C twice, SIGTERM, kill -9, with 1 and 2 workers and dask.

`python tests/endings.py [COUNT] [WORD]` runs COUNT of each kind by hand, of those whose name holds WORD, and prints how
long each took to end at most; the suite runs a few. A run that ends leaves whole points behind, and all of them together give the bytes of an undisturbed
run.
"""

import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from sim import SweepOptions, sweep
from sim.explore.database import FILE
from tests.small_design import HANGS_S, heed_interrupts
from tests.small_sweep import MACHINE, SWEEP, write_sweep

ROOT = Path(__file__).resolve().parents[1]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}
# Seconds of work for two processes, in several chunks.
LONG = SWEEP["axes"] | {
    "seq_len": {"path": "seq_len", "values": [1024, 65536]},
    "rows": {"path": f"{MACHINE}.PE2D.rows", "range": {"from": 16, "to": 320, "step": 16}},
    "columns": {"path": f"{MACHINE}.PE2D.columns", "range": {"from": 16, "to": 320, "step": 16}},
    "bandwidth": {"path": f"{MACHINE}.DRAM.bandwidth", "range": {"from": 50, "to": 500, "step": 50}, "unit": "GiB/s"},
}
POINTS = 48_000
BETWEEN_S = 0.15  # the second Ctrl-C comes this long after the first, or sooner


@dataclass(frozen=True)
class Ending:
    """How a run ended: exit status, what it said, seconds from the first signal, processes left behind."""

    status: int
    said: str
    seconds: float
    leaves_processes: bool


def start(*arguments: str) -> subprocess.Popen[str]:
    """The command line in a process of its own, and of its own group."""
    command = [sys.executable, "-m", "sim", "sweep", *arguments]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, env=ENVIRONMENT, start_new_session=True, preexec_fn=heed_interrupts, **pipes)


def size_of(path: Path) -> int:
    """Bytes of a file that may come and go between any two questions; -1 if it is not there."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return -1


def wait_for_bytes(path: Path, size: int, process: subprocess.Popen[str]) -> None:
    """Until a file has grown to that size, or the process has ended."""
    end = time.monotonic() + HANGS_S
    while process.poll() is None and time.monotonic() < end and size_of(path) < size:
        time.sleep(0.002)


def wait_until_heeding(process: subprocess.Popen[str]) -> None:
    """Until a process handles SIGTERM, as it does once our code is loaded; before that, Python itself ends it."""
    end = time.monotonic() + HANGS_S
    while process.poll() is None and time.monotonic() < end:
        with suppress(OSError):
            status = Path(f"/proc/{process.pid}/status").read_text("ascii")
            caught = next(line for line in status.splitlines() if line.startswith("SigCgt:"))
            if int(caught.split()[1], 16) >> (signal.SIGTERM - 1) & 1:
                return
        time.sleep(0.001)


def wait_until_gone(group: int, longest_s: float = HANGS_S) -> bool:
    """Whether every process of a group ends soon after its leader."""
    end = time.monotonic() + longest_s
    while time.monotonic() < end:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.02)
    return False


def points_in(folder: Path) -> int:
    """Finished points; 0 where there is no file, or none that has been begun."""
    path = folder / FILE
    if size_of(path) < 0:
        return 0
    with closing(sqlite3.connect(path)) as connection:
        if connection.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,):
            return 0
        return int(connection.execute("SELECT count(*) FROM points").fetchone()[0])


def end_run(process: subprocess.Popen[str], signals: tuple[int, ...], chance: random.Random) -> Ending:
    """Send the signals to all processes of a run, as a terminal does, and wait for its end."""
    began = time.monotonic()
    for i, number in enumerate(signals):
        if i:
            time.sleep(chance.uniform(0, BETWEEN_S))
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            break
    try:
        _, err = process.communicate(timeout=HANGS_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        _, err = process.communicate()
        err += "\n(it hung)"
    seconds = time.monotonic() - began
    return Ending(process.returncode, err, seconds, not wait_until_gone(process.pid))


KINDS: dict[str, tuple[int, ...]] = {
    "Ctrl-C twice": (signal.SIGINT, signal.SIGINT),
    "Ctrl-C five times": (signal.SIGINT,) * 5,
    "SIGTERM": (signal.SIGTERM,),
    "kill -9": (signal.SIGKILL,),
}


def try_often(path: Path, folder: Path, kind: str, workers: int, count: int, executor: str = "local") -> list[Ending]:
    """`count` runs of one sweep, each going on with what the last has left and ended at another moment."""
    chance, found = random.Random(f"{kind} {workers} {executor}"), []
    kept = 0
    for _ in range(count):
        own = ("--workers", str(workers), "--executor", executor)
        process = start(str(path), "--out", str(folder), "--resume", *own)
        if chance.random() < 0.7:  # while points are being written; else while it starts
            wait_for_bytes(folder / f"{FILE}-wal", chance.choice((1, 100_000)), process)
        wait_until_heeding(process)
        time.sleep(chance.uniform(0.0, 0.3))
        found.append(end_run(process, KINDS[kind], chance))
        now = points_in(folder)
        assert now >= kept, f"{kept} points had been finished, {now} are left"
        kept = now
        if kept == POINTS:
            for name in (FILE, f"{FILE}-wal", f"{FILE}-shm"):
                (folder / name).unlink(missing_ok=True)
            kept = 0
    return found


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 40
    word = sys.argv[2] if len(sys.argv) > 2 else ""
    with tempfile.TemporaryDirectory() as place:
        path = write_sweep(Path(place), axes=LONG)
        sweep(str(path), Path(place) / "whole", SweepOptions(workers=1))
        expected = (Path(place) / "whole" / "points.csv").read_bytes()
        for kind in KINDS:
            for workers, executor in ((1, "local"), (2, "local"), (2, "dask")):
                if word not in f"{kind}, {workers} workers, {executor}":
                    continue
                folder = Path(place) / f"{kind}-{workers}-{executor}"
                endings = try_often(path, folder, kind, workers, count, executor)
                result = sweep(str(path), folder, SweepOptions(resume=True))
                same = (folder / "points.csv").read_bytes() == expected
                statuses = sorted({ending.status for ending in endings})
                slowest = max(ending.seconds for ending in endings)
                left = sum(ending.leaves_processes for ending in endings)
                print(
                    f"{kind}, {workers} workers, {executor}: {count} runs, statuses {statuses}, slowest end {slowest:.2f} s, "
                    f"{left} left processes; {result.total} points, the same bytes: {same}",
                    flush=True,
                )
                for text in sorted({"".join(c for c in ending.said if not c.isdigit()) for ending in endings}):
                    print(f"    {text.strip() or '(nothing)'}", flush=True)


if __name__ == "__main__":
    main()
