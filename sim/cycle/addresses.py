"""Where a tile lies in a memory: the runs of neighbouring words that an order of ranks makes of it, and their bursts.

Coordinates of a rank are `unit` elements of a root apart, inside `span` of them (`sim.lower.ranks`). A tensor's strides
follow from the sizes of its ranks, innermost first; ranks of which a tile has everything join those outside them, so
that a tile is a run, or several at equal distances.
"""

from dataclasses import dataclass
from math import prod

import numpy as np

from einsums.types import Cascade
from mappings.layouts import BYTE_BITS, MemoryLayout, ranks_in_order
from sim.engine.extents import coordinates
from sim.lower.ranks import UNBOUNDED
from sim.lower.walk import Extents, Walk


@dataclass(frozen=True, slots=True)
class StoredRank:
    """One rank of an order; `bounded`: its coordinates begin again behind `size` of them."""

    root: int
    span: int
    unit: int
    bounded: bool
    size: int
    stride_bits: int


@dataclass(frozen=True, slots=True)
class Runs:
    """A tile as runs of equal length: `first_bits: i8[run]`, the addresses of the first of them; how many there are."""

    first_bits: np.ndarray
    run_bits: int
    count: int


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """A tensor with an address for every word; ranks from the outermost to the innermost."""

    base_bytes: int
    ranks: tuple[StoredRank, ...]
    word_bits: int

    @property
    def end_bytes(self) -> int:
        """The address behind it."""
        outer = self.ranks[0] if self.ranks else None
        size_bits = outer.size * outer.stride_bits if outer else self.word_bits
        return self.base_bytes - -size_bits // BYTE_BITS

    def runs(self, start: Extents, extents: Extents, most: int) -> Runs:
        """The tile that begins at these elements of every root, in the order of addresses; `most` addresses at most."""
        places = [self._place(rank, start, extents) for rank in self.ranks]
        first = 8 * self.base_bytes + sum(
            at * rank.stride_bits for rank, (at, _) in zip(self.ranks, places, strict=True)
        )
        run_bits, around = self.word_bits, list[tuple[int, int]]()
        for rank, (_, count) in zip(reversed(self.ranks), reversed(places), strict=True):
            if count == 1:
                continue
            if not around and rank.stride_bits == run_bits:
                run_bits = count * rank.stride_bits
            else:
                around.append((count, rank.stride_bits))
        found = np.array([first], np.int64)
        for count, stride in around:
            some = min(count, -(-most // found.size))
            found = (np.arange(some, dtype=np.int64)[:, None] * stride + found).ravel()
        return Runs(found[:most], run_bits, prod(count for count, _ in around))

    def _place(self, rank: StoredRank, start: Extents, extents: Extents) -> tuple[int, int]:
        """(first coordinate, coordinates) of a tile along a rank."""
        count = min(rank.size, coordinates(extents[rank.root], rank.span, rank.unit))
        at = start[rank.root] // rank.unit
        return min(at % rank.size if rank.bounded else at, rank.size - count), count


def bursts_of(runs: Runs, burst_bytes: int, most: int) -> tuple[np.ndarray, int]:
    """(numbers of the bursts that contain the runs, in their order and at most about so many; bits of the words there).

    Runs that meet in a burst bring it once.
    """
    burst_bits = burst_bytes * BYTE_BITS
    run_bits = min(runs.run_bits, most * burst_bits)
    firsts = runs.first_bits[: max(1, most * burst_bits // run_bits)]
    begin = firsts // burst_bits
    lengths = (firsts + run_bits - 1) // burst_bits - begin + 1
    within = np.arange(int(lengths.sum())) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    numbers = np.repeat(begin, lengths) + within
    is_new = np.ones(numbers.size, np.bool_)
    is_new[1:] = numbers[1:] != numbers[:-1]
    return numbers[is_new], firsts.size * run_bits


def stored_tensors(
    layout: MemoryLayout, cascade: Cascade, walk: Walk, word_bits: int, align_bytes: int
) -> dict[str, StoredTensor]:
    """Every tensor of a layout by its name; one without a base begins at the next multiple behind those before it."""
    found: dict[str, StoredTensor] = {}
    end = 0
    for tensor in layout.tensors:
        base = -(-end // align_bytes) * align_bytes if tensor.base_bytes is None else tensor.base_bytes
        ranks, stride = list[StoredRank](), word_bits
        for place, variable in enumerate(reversed(ranks_in_order(cascade, tensor))):
            root, span, unit, bounded = _rank_of(walk, variable)
            size = coordinates(walk.whole[root], span, unit)
            ranks.append(StoredRank(root, span, unit, bounded, size, stride))
            stride = stride * size + (tensor.pad_bytes * BYTE_BITS if place == 0 else 0)
        found[tensor.tensor] = StoredTensor(base, tuple(reversed(ranks)), word_bits)
        end = max(end, found[tensor.tensor].end_bytes)
    return found


def _rank_of(walk: Walk, variable: str) -> tuple[int, int, int, bool]:
    """(root, span, unit, whether other parts lie outside it) of a rank, or of a part of one, by its variable."""
    space = walk.space
    ((root, span, unit),) = space.runs(frozenset(space.parts_of_rank(variable.upper())))
    return root, walk.sizes[span], walk.sizes[unit], span != UNBOUNDED
