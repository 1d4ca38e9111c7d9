"""How fast a sweep is: points a second and memory, from a thousand points to a million.

One mapping over array rows and columns, buffer, bandwidth, length and model; legal and illegal points. From the sweep's
file to the finished store and its CSV, with one process a core; each with all points of the cascade and with its causal
twin, of which points above the diagonal do not exist. Run by hand; `--quick` is the smoke run of the tests.
"""

import multiprocessing
import os
import resource
import sys
import tempfile
import time
from itertools import product
from pathlib import Path

from sim import SweepOptions, sweep

TEXT = """
name: speed
experiment: fusemax-binding
fixed: {{cascade: {cascade}}}
axes:
  model: {{path: model, values: [BERT, XLM]}}
  seq_len: {{path: seq_len, values: [1024, 16384, 65536, 1000000]}}
  rows: {{path: architecture.components.PE2D.rows, range: {{from: 16, to: 400, step: {rows}}}}}
  columns: {{path: architecture.components.PE2D.columns, range: {{from: 16, to: 320, step: {columns}}}}}
  buffer:
    path: architecture.components.GLB.size
    log_range: {{from: 64, to: 65536, points: {buffers}, whole: true}}
    unit: KiB
  bandwidth:
    path: architecture.components.DRAM.bandwidth
    range: {{from: 50, to: 500, step: {bandwidth}}}
    unit: GiB/s
derive: {{architecture.components.PE1D.columns: columns}}
objectives: [{{minimize: latency_s}}, {{minimize: energy_pj}}]
"""
# Steps of rows, columns and bandwidth, and values of the buffer: 10^3, 10^4, 10^5 and 10^6 points.
CASCADES = ("attention-1pass", "causal-attention-1pass")
SIZES = ((128, 128, 5, 300), (64, 64, 13, 112), (32, 32, 20, 100), (16, 16, 25, 50))


def measure(steps: tuple[int, int, int, int], workers: int, cascade: str) -> tuple[int, int, float]:
    """Points, legal ones, seconds."""
    rows, columns, buffers, bandwidth = steps
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "speed.yaml"
        text = TEXT.format(cascade=cascade, rows=rows, columns=columns, buffers=buffers, bandwidth=bandwidth)
        path.write_text(text, encoding="utf-8")
        start = time.perf_counter()
        result = sweep(str(path), Path(folder) / "out", SweepOptions(workers=workers))
        return result.total, result.legal, time.perf_counter() - start


def main(sizes: tuple[tuple[int, int, int, int], ...]) -> None:
    workers = os.cpu_count() or 1
    for cascade in CASCADES:
        measure(SIZES[0], 1, cascade)  # compiles
    print(
        f"{'cascade':24s}{'points':>9s}{'legal':>9s}{'seconds':>9s}{'points/s':>10s}{'MB':>7s}{'MB each worker':>16s}"
    )
    for steps, cascade in product(sizes, CASCADES):
        total, legal, seconds = measure(steps, workers, cascade)
        own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
        others = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1000
        print(f"{cascade:24s}{total:9d}{legal:9d}{seconds:9.2f}{total / seconds:10.0f}{own:7.0f}{others:16.0f}")
    print(f"{workers} processes; seconds from the file of the sweep to its store and CSV")


if __name__ == "__main__":
    multiprocessing.freeze_support()
    main(SIZES[:1] if "--quick" in sys.argv else SIZES)
