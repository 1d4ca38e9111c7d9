"""PE-cycles a second of the PE-level engine, next to the same source uncompiled and to a plain-Python systolic loop.

A PE-cycle is one PE in one cycle of the run, busy or not. Run by hand; `--quick` is the smoke run of the tests.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from sim.systolic.product import DATAFLOWS, Dataflow, ProductShape, multiply
from sim.systolic.program import ArrayTile, Issue, SystolicArray, Words
from sim.systolic.runner import run_program
from sim.systolic.tasks import product_in_place, product_through, to_memory

ROOT = Path(__file__).resolve().parents[1]


def rate(run: Callable[[], int], repeats: int = 3) -> float:
    """PE-cycles a second of the fastest of some runs, by the clock of this process; the first also compiles."""
    best = 0.0
    for _ in range(repeats):
        start = time.process_time()
        pe_cycles = run()
        best = max(best, pe_cycles / max(time.process_time() - start, 1e-9))
    return best


def product(size: int, steps: int, dataflow: Dataflow) -> Callable[[], int]:
    """A product that fills a square array, with `steps` steps."""
    random = np.random.default_rng(0)
    shapes = {
        "output": ProductShape(size, steps, size),
        "weight": ProductShape(steps, size, size),
        "input": ProductShape(size, size, steps),
    }
    shape = shapes[dataflow]
    left, right = random.normal(size=(shape.M, shape.K)), random.normal(size=(shape.K, shape.N))
    array = SystolicArray(size, size)
    return lambda: multiply(array, left, right, dataflow).run.cycles * size * size


def interleaved(size: int, steps: int) -> Callable[[], int]:
    """Two products that take alternate cycles of every PE and link."""
    words, random = Words(), np.random.default_rng(0)
    left, top = (words.hold(random.normal(size=(steps, size))) for _ in range(2))
    tile = ArrayTile(size, size, steps)
    first = product_in_place(tile, Issue("stays", 0, 2), left, top, 0)
    fixed = product_in_place(ArrayTile(size, size, 1), Issue("held", 2 * steps + 2), left, top, 1)
    second = product_through(tile, Issue("passes", 2 * steps + 5, 2), left, 1)
    again = product_in_place(tile, Issue("stays again", 2 * steps + 4, 2), left, top, 2)
    tasks = [first, fixed, again, to_memory(second, words.reserve(steps, size))]
    array, memory = SystolicArray(size, size, registers=3), words.memory()
    return lambda: run_program(array, tasks, memory).checked().cycles * size * size


def plain_loop(size: int, steps: int) -> int:
    """An output-stationary array in plain Python: values only, no links to conflict, no operators to be taken."""
    random = np.random.default_rng(0)
    left, top = random.normal(size=(steps, size)).tolist(), random.normal(size=(steps, size)).tolist()
    west = [[0.0] * size for _ in range(size)]
    north = [[0.0] * size for _ in range(size)]
    sums = [[0.0] * size for _ in range(size)]
    cycles = steps + 2 * size - 2
    for cycle in range(cycles):
        for i in range(size - 1, -1, -1):
            for j in range(size - 1, -1, -1):
                step = cycle - i if j == 0 else cycle - j
                enters = 0 <= step < steps
                west[i][j] = west[i][j - 1] if j else (left[step][i] if enters else 0.0)
                step = cycle - j
                north[i][j] = north[i - 1][j] if i else (top[step][j] if 0 <= step < steps else 0.0)
                sums[i][j] += west[i][j] * north[i][j]
    return cycles * size * size


def uncompiled(size: int, steps: int) -> float:
    """PE-cycles a second of the same source without compiling, in a process of its own."""
    program = f"from benchmarks.pe_engine import product, rate\nprint(rate(product({size}, {steps}, 'output'), 1))"
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", program]
    return float(subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=True).stdout)


def main(sizes: tuple[int, ...], steps: int) -> None:
    print(f"million PE-cycles a second, one thread, {steps} steps")
    print(f"{'array':>9s}{'output':>9s}{'weight':>9s}{'input':>9s}{'interleaved':>13s}")
    for size in sizes:
        spans = [rate(product(size, steps, dataflow)) for dataflow in DATAFLOWS]
        spans.append(rate(interleaved(size, steps)))
        cells = "".join(f"{span / 1e6:9.1f}" for span in spans[:-1])
        print(f"{size:>4d}x{size:<4d}{cells}{spans[-1] / 1e6:13.1f}")
    print(f"the same source, uncompiled, 16x16: {uncompiled(16, 32) / 1e6:.3f}")
    print(f"plain Python, output-stationary values only, 16x16: {rate(lambda: plain_loop(16, 64)) / 1e6:.2f}")


if __name__ == "__main__":
    quick = "--quick" in sys.argv
    main((8,) if quick else (16, 64, 128, 256), 16 if quick else 512)
