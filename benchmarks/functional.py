"""How long the functional engine takes for one attention head, beside the interpreter in fp64 and the bounds.

Run by hand; `--quick` is the smoke run of the tests.
"""

import sys
import time
from dataclasses import replace
from itertools import pairwise

from einsums.interpreter import interpret
from sim import load_experiment
from sim.functional.bounds import error_bounds
from sim.functional.inputs import input_sets
from sim.functional.machine import Arithmetic, execute
from sim.functional.precision import PRECISIONS
from sim.functional.program import program_of_experiment

NAMES = ("unfused", "flat", "fusemax-cascade", "fusemax-binding", "attention-2pass-fused", "attention-3pass-fused")


def measure(name: str, length: int, precision: str) -> tuple[float, float, float]:
    """Seconds of the engine, of the interpreter, of the bounds; batch and heads are 1."""
    experiment = load_experiment(name, {"seq_len": length, "batch": 1})
    experiment = replace(experiment, sizes=tuple((r, 1 if r == "H" else n) for r, n in experiment.sizes))
    program, chosen = program_of_experiment(experiment), PRECISIONS[precision]
    arrays = input_sets(program.workload, 0)[0].arrays
    words = {name: chosen.word(value.astype(chosen.wide)) for name, value in arrays.items()}
    sizes = {item.rank: item.size for item in program.workload.sizes}
    moments = [time.perf_counter()]
    execute(program, words, Arithmetic(chosen))
    moments.append(time.perf_counter())
    values = interpret(program.cascade, words, sizes)
    moments.append(time.perf_counter())
    error_bounds(program, {**words, **values}, chosen)
    moments.append(time.perf_counter())
    first, second, third = (later - earlier for earlier, later in pairwise(moments))
    return first, second, third


def main(length: int) -> None:
    print(f"one head, {length} x {length}, 64 channels, tiles of 256 x 256; seconds")
    print(f"{'mapping':24s}{'precision':>10s}{'engine':>9s}{'interpreter':>13s}{'bounds':>9s}")
    for name in NAMES:
        for precision in ("fp64", "fp32", "bf16"):
            engine, interpreter, bounds = measure(name, length, precision)
            print(f"{name:24s}{precision:>10s}{engine:9.3f}{interpreter:13.3f}{bounds:9.3f}")


if __name__ == "__main__":
    main(300 if "--quick" in sys.argv else 1024)
