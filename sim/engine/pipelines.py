"""The time of a pipeline whose stages work on neighbouring tiles, from what each stage takes of each array for a tile.

In step n stage s works on tile n - s, if there is one. A step lasts as long as the array with the most to do in it:

time = sum over steps of max over arrays of what the stages that have a tile take of it

In the middle all stages have one; at both ends only some have. Where one array runs all stages it is never idle, and
the time is its work. With t tiles and S stages the steps at each end are min(t, S) - 1.

What has no stage, such as a final division, runs in some of the steps, in what they leave of its array. What it takes
more makes those steps longer. Its last run comes when the pipeline is over.
"""

import numpy as np

from sim.engine.jit import compiled


@compiled
def step_cycles(work, design, first, last):
    """What the array with the most to do takes for a tile of each of the stages [first, last)."""
    longest = 0.0
    for array in range(work.shape[2]):
        cycles = 0.0
        for stage in range(first, last):
            cycles += work[design, stage, array]
        longest = max(longest, cycles)
    return longest


@compiled
def add_steps(work, tiles, out):
    """Fill `out: f8[design], cycles`. work: f8[design, stage, array], cycles of one tile; tiles: f8[design]."""
    stages = work.shape[1]
    for d in range(work.shape[0]):
        together = int(min(tiles[d], stages))  # stages at work at once, at the most
        total = 0.0
        for n in range(1, together):
            total += step_cycles(work, d, 0, n) + step_cycles(work, d, stages - n, stages)
        if tiles[d] >= stages:
            total += (tiles[d] - stages + 1) * step_cycles(work, d, 0, stages)
        else:
            for first in range(stages - together + 1):
                total += step_cycles(work, d, first, first + together)
        out[d] = total


def pipeline_cycles(work: np.ndarray, tiles: np.ndarray) -> np.ndarray:
    """f8[design], cycles of all steps. work: f8[design, stage, array], cycles of one tile; tiles: f8[design]."""
    out = np.empty(work.shape[0])
    add_steps(work, tiles, out)
    return out


def added_cycles(step: np.ndarray, array: int, busy: np.ndarray, runs: np.ndarray) -> np.ndarray:
    """f8[design], cycles that an Einsum without a stage adds. step: f8[design, array], cycles that each array has to do
    in a step, to which its own are added; busy: f8[design], its cycles; runs: f8[design], steps in which it runs.
    """
    own, longest = busy / runs, step.max(axis=1)
    step[:, array] += own
    return np.minimum(busy, runs * np.maximum(0.0, step[:, array] - longest) + own)
