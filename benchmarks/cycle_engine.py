"""Speed of the tile-level cycle engine, and the table of docs/cycle-validation.md.

`python benchmarks/cycle_engine.py` prints events a second, compiled and not, and simulated cycles a second
with fast-forward; `--table` prints the comparison with the analytical engine in Markdown. Run by hand;
`--quick` is the smoke run of the tests.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

from sim.cycle.answer import DesignTiming, design_of, time_design
from sim.design.assemble import load_experiment
from sim.design.experiment import stack
from sim.engine.analytical import evaluate
from sim.lower.lowering import lower

ROOT = Path(__file__).resolve().parents[1]
DESIGNS = ("unfused", "flat", "fusemax-cascade", "fusemax-architecture", "fusemax-binding")
LENGTHS = (1024, 4096, 16384, 65536, 262144, 1048576)


def timed(name: str, length: int, fast: bool, batch: int = 64) -> tuple[DesignTiming, float, float]:
    """(where the cycles went, the analytical engine's cycles, seconds of this process)."""
    experiment = load_experiment(name, {"seq_len": length, "batch": batch})
    tables = lower(experiment.structure, stack([experiment]))
    evaluation = evaluate(tables)
    start = time.process_time()
    timing = time_design(design_of(experiment, tables, evaluation), fast)
    return timing, float(evaluation.latency_cycles[0]), time.process_time() - start


def events(timing: DesignTiming) -> int:
    return sum(item.run.events for item in timing.runs)


def every_cycle(batch: int) -> str:
    """Events a second where nothing is skipped."""
    timing, _, seconds = min((timed("fusemax-binding", 1024, False, batch) for _ in range(2)), key=lambda x: x[2])
    rate = events(timing) / seconds
    cycles = f"{timing.cycles / seconds:,.0f} cycles/s"
    return f"{rate:,.0f} events/s, {cycles} ({events(timing):,} events in {seconds:.2f} s)"


def uncompiled() -> str:
    """The same source as plain Python."""
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(Path(__file__)), "--every-cycle"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def table(lengths: tuple[int, ...]) -> list[str]:
    """Rows of Markdown: cycles of a tile under both engines, and what the busiest array waits for."""
    rows = ["| design | length | analytical, cycles a tile | cycle engine | difference | busiest array: busy, waits |"]
    rows.append("| --- | --- | --- | --- | --- | --- |")
    for name in DESIGNS:
        for length in lengths:
            timing, counted, _ = timed(name, length, True)
            tiles = 64 * 12 * (length // 256) ** 2  # of 256 x 256 scores
            busy = {array: timing.cycles - sum(lost.values()) for array, lost in timing.stalls.items()}
            array = max(busy, key=busy.__getitem__)
            waits = [(lost / timing.cycles, cause) for cause, lost in timing.stalls[array].items()]
            causes = ", ".join(f"{cause} {share:.2%}" for share, cause in sorted(waits, reverse=True) if share >= 5e-5)
            label = "1M" if length == 1 << 20 else f"{length >> 10}K"
            rows.append(
                f"| {name} | {label} | {counted / tiles:,.2f} | {timing.cycles / tiles:,.2f} "
                f"| {timing.cycles / counted - 1:+.4%} | {array}: busy {busy[array] / timing.cycles:.2%}"
                f"{', ' if causes else ''}{causes} |"
            )
    return rows


def main(arguments: list[str]) -> None:
    if "--every-cycle" in arguments:
        print(every_cycle(batch=1))
        return
    if "--table" in arguments:
        print("\n".join(table(LENGTHS[:1] if "--quick" in arguments else LENGTHS)))
        return
    timed("fusemax-binding", 1024, True)  # compiles
    print(f"every cycle, compiled    {every_cycle(batch=4 if '--quick' in arguments else 64)}")
    if "--quick" not in arguments:
        print(f"every cycle, uncompiled  {uncompiled()}")
    for name in DESIGNS:
        length = LENGTHS[0 if "--quick" in arguments else -1]
        timing, _, seconds = timed(name, length, True)
        print(f"{name:22s} {timing.cycles:,} cycles in {seconds:.2f} s: {timing.cycles / seconds:,.0f} cycles/s")


if __name__ == "__main__":
    main(sys.argv[1:])
