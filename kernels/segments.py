"""Where the programs of a batch work: which sequence, where it starts and ends, and which of its blocks.

The sequences of a regular batch all start at 0, each at its own batch index; those of a packed batch follow one another
along the length.
"""

# Kernel parameters are device tensors and scalars, which have no Python type.
# mypy: allow-untyped-defs

from typing import Any, NamedTuple

import torch
import triton
import triton.language as tl

from kernels.launching import starts_of
from kernels.numerics import wide
from kernels.plans.problems import AttentionProblem


class Segments(NamedTuple):
    """int32. tiles: (sequence, block) of each program; of each sequence its first query, first key, batch index, and
    (queries, keys)."""

    tiles: Any
    query_starts: Any
    key_starts: Any
    batches: Any
    lengths: Any


class Place(NamedTuple):
    """Where a program works: the sequence's batch index, starts and lengths, and the program's block of it."""

    batch: Any
    query_start: Any
    key_start: Any
    queries: Any
    keys: Any
    block: Any


@triton.jit
def place_of(segments):
    sequence = tl.load(segments.tiles + 2 * tl.program_id(0))
    return Place(
        wide(tl.load(segments.batches + sequence)),
        wide(tl.load(segments.query_starts + sequence)),
        wide(tl.load(segments.key_starts + sequence)),
        tl.load(segments.lengths + 2 * sequence),
        tl.load(segments.lengths + 2 * sequence + 1),
        tl.load(segments.tiles + 2 * tl.program_id(0) + 1),
    )


def segment_tables(problem: AttentionProblem, device: torch.device) -> Segments:
    """Without the tiles, which are those of a launch."""
    segments = torch.tensor(problem.segments, dtype=torch.int32).reshape(-1, 2).to(device)
    count = len(problem.segments)
    zeros = torch.zeros(count, dtype=torch.int32, device=device)
    if problem.lengths:
        starts = starts_of(problem.lengths, device)
        return Segments(None, starts[0], starts[1], zeros, segments)
    return Segments(None, zeros, zeros, torch.arange(count, dtype=torch.int32, device=device), segments)
