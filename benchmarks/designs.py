"""How many designs a second: from experiments to named results, and from columns to numbers.

Answers which of lowering and the engine dominates. Run by hand; `--quick` is the smoke run of the tests.
"""

import sys
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from sim import Experiment, load_experiment, simulate_all
from sim.design.experiment import stack
from sim.engine.analytical import count_rows, evaluate
from sim.engine.tables import MachineColumns
from sim.lower.lowering import Columns, lower

# With every point, and where a mapping allows it as a twin of which points above the diagonal do not exist.
PAIRS = (
    ("unfused", ("attention-3pass",)),
    ("flat", ("attention-3pass",)),
    ("fusemax-binding", ("attention-1pass", "causal-attention-1pass")),
)


def timed(work: Callable[[], object]) -> float:
    """Seconds of the faster of two runs; the first also compiles."""
    spans = []
    for _ in range(2):
        start = time.perf_counter()
        work()
        spans.append(time.perf_counter() - start)
    return min(spans)


def columns_of(experiment: Experiment, designs: int) -> Columns:
    """The experiment at `designs` sequence lengths, most of them dividing nothing."""
    one = stack([experiment])
    symbols = {name: np.broadcast_to(value, (designs,)) for name, value in one.symbols.items()}
    symbols["M"] = symbols["P"] = np.random.default_rng(0).integers(256, 65536, designs).astype(float)
    return Columns(symbols, MachineColumns(*(np.repeat(column, designs, axis=0) for column in one.machine)))


def measure(name: str, cascade: str, designs: int) -> list[float]:
    """Seconds a design: lowering, counting, the whole engine, and the same from experiments to results."""
    experiment = load_experiment(name, cascade=cascade)
    columns = columns_of(experiment, designs)
    tables = lower(experiment.structure, columns)
    several = [
        replace(experiment, sizes=tuple((r, n if r in ("M", "P") else s) for r, s in experiment.sizes))
        for n in columns.symbols["M"].astype(int).tolist()[: designs // 10]
    ]
    return [
        timed(lambda: lower(experiment.structure, columns)) / designs,
        timed(lambda: count_rows(tables, tables.shape.rows)) / designs,
        timed(lambda: evaluate(tables)) / designs,
        timed(lambda: simulate_all(several)) / len(several),
    ]


def main(designs: int) -> None:
    print(f"{designs} designs of one structure, ragged lengths; microseconds a design")
    print(f"{'mapping':18s}{'cascade':24s}{'lower':>8s}{'count':>8s}{'engine':>8s}{'objects':>9s}{'designs/s':>11s}")
    for name, cascades in PAIRS:
        for cascade in cascades:
            spans = measure(name, cascade, designs)
            cells = "".join(f"{span * 1e6:8.1f}" for span in spans)
            print(f"{name:18s}{cascade:24s}{cells}{1 / (spans[0] + spans[2]):12.0f}")
    print("lower + engine is the bulk path; objects: the same from Experiment to SimulationResult")


if __name__ == "__main__":
    main(100 if "--quick" in sys.argv else 10_000)
