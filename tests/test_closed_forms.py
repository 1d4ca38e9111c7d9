"""Edges under conditions: closed forms, walks along an edge and plain Python that visits every tile agree."""

from collections.abc import Iterator
from itertools import product
from random import Random
from typing import NamedTuple

import numpy as np
import pytest

from sim.engine.bands import CORNER, GENERAL, PARALLEL
from sim.engine.counting import ADVANCES, STAYS
from sim.engine.skipping import count_region
from sim.engine.tables import BandTables, RowTables

RANKS, FIRST, SECOND = 3, 1, 2  # one rank besides the two of the region
ONE, UNBOUNDED = 0, 1  # columns of sizes
Lines = tuple[tuple[int, int, int], ...]  # a*i + b*j + c >= 0
Box = tuple[tuple[int, int], ...]  # (first, one past the last) by rank


class Case(NamedTuple):
    extents: tuple[int, ...]
    nest: tuple[tuple[int, int], ...]  # (rank, tile), outermost first
    dims: frozenset[int]  # of the tile: loops over them bring another one
    pieces: tuple[tuple[Lines, int], ...]  # and how lines are decided together


def random_case(seed: int) -> Case:
    """Most tiles divide what is outside them; some do not."""
    draw = Random(seed)
    extents = (draw.choice((1, 2, 3)), draw.randint(1, 26), draw.randint(1, 26))
    left, nest = list(extents), []
    for _ in range(draw.randint(1, 6)):
        rank = draw.choice((0, FIRST, FIRST, SECOND, SECOND))
        fitting = [n for n in range(1, left[rank] + 1) if left[rank] == extents[rank] or left[rank] % n == 0]
        left[rank] = draw.choice(fitting) if draw.random() < 0.95 else draw.randint(1, left[rank])
        nest.append((rank, left[rank]))
    dims = frozenset(rank for rank in range(RANKS) if draw.random() < 0.5)
    start, width = draw.randint(-6, 6), draw.randint(1, 12)
    causal, window = (-1, 1, start), (1, -1, width - start)
    prefix, suffix = (-1, 0, draw.randint(0, 9)), (1, 0, -draw.randint(0, 9))
    regions: tuple[tuple[tuple[Lines, int], ...], ...] = (
        (((causal,), CORNER),), (((causal, window), PARALLEL),), (((causal, suffix), CORNER),),
        (((causal, window, prefix), PARALLEL),), ((((1, 1, -width),), CORNER),), ((((-3, 2, start),), CORNER),),
        ((((-2, 1, start), (2, -1, width)), GENERAL),), (((causal,), CORNER), ((prefix,), CORNER)),
        (((causal, window), PARALLEL), ((causal, prefix), CORNER)), ((((2, -1, 0), (-1, 1, 0)), GENERAL),),
        ((((-1, 0, width), (0, 1, -2)), CORNER),),
    )  # fmt: skip
    return Case(extents, tuple(nest), dims, draw.choice(regions))


def counted(case: Case, closed_forms: bool) -> float:
    """What the engine says."""
    depth = len(case.nest)
    ends = np.cumsum([0, *(len(lines) for lines, _ in case.pieces)])
    lines = np.array([line for lines, _ in case.pieces for line in lines], np.int64)
    pieces = [(ends[n], ends[n + 1], kind) for n, (_, kind) in enumerate(case.pieces)]
    bands = BandTables(
        np.array([[FIRST, SECOND, 0, len(pieces)]]), np.array(pieces), np.full((len(lines), 2), ONE, np.int64)
    )
    rows = RowTables(
        np.array([[*range(depth), -1]]),
        np.array([[*(ADVANCES if rank in case.dims else STAYS for rank, _ in case.nest), 0]]),
        np.array([[*([rank, UNBOUNDED, ONE] for rank in sorted(case.dims)), [-1, -1, -1]]]),
        np.array([rank for rank, _ in case.nest], np.int64),
        np.zeros(1, np.int64),
    )
    out = np.empty((1, 1))
    tiles, sizes = np.array([[tile for _, tile in case.nest]]), np.array([[1, 1 << 60]])
    count_region(np.array([case.extents]), tiles, sizes, lines[None], bands, rows, closed_forms, out)
    return float(out[0, 0])


def boxes(case: Case) -> Iterator[tuple[tuple[int, ...], Box]]:
    """The tile in each innermost iteration, as iterations of the loops that bring it, and where that iteration is."""

    def walk(level: int, at: tuple[int, ...], box: Box) -> Iterator[tuple[tuple[int, ...], Box]]:
        if level == len(case.nest):
            yield at, box
            return
        rank, tile = case.nest[level]
        low, high = box[rank]
        for n, start in enumerate(range(low, high, tile)):
            inner = (*box[:rank], (start, min(high, start + tile)), *box[rank + 1 :])
            yield from walk(level + 1, (*at, n) if rank in case.dims else at, inner)

    yield from walk(0, (), tuple((0, extent) for extent in case.extents))


def visited(case: Case) -> int:
    """Words fetched into a buffer of one tile, where iterations without a point do not happen."""

    def exists(i: int, j: int) -> bool:
        return any(all(a * i + b * j + c >= 0 for a, b, c in lines) for lines, _ in case.pieces)

    held, words = None, 0
    for tile, box in boxes(case):
        if any(exists(i, j) for i, j in product(range(*box[FIRST]), range(*box[SECOND]))) and tile != held:
            held, size = tile, 1
            for rank in case.dims:
                size *= box[rank][1] - box[rank][0]
            words += size
    return words


@pytest.mark.parametrize("block", range(8))
def test_closed_forms_are_what_a_visit_of_every_tile_finds(block: int) -> None:
    for seed in range(500 * block, 500 * block + 500):
        case = random_case(seed)
        expected = visited(case)
        assert counted(case, True) == expected, (seed, case)
        assert counted(case, False) == expected, (seed, case)


def test_rows_of_a_million_hand_their_tile_on() -> None:
    """Keys of a causal square in tiles of 2^8, for tiles of as many queries: row n has n + 1 tiles, and begins with the
    first, which the row before has ended with only if it had no other: that is the second row.
    """
    rows = 1 << 12
    case = Case((1, 1 << 20, 1 << 20), ((SECOND, 256), (FIRST, 256)), frozenset({FIRST}), ((((-1, 1, 0),), CORNER),))
    assert counted(case, True) == 256 * (rows * (rows + 1) // 2 - 1)


def test_a_window_of_a_million_brings_every_tile_once() -> None:
    """Rows of tiles as wide as a window end with the tile with which the next one begins."""
    lines = (-1, 1, 0), (1, -1, 1 << 8)
    case = Case((1, 1 << 20, 1 << 20), ((SECOND, 256), (FIRST, 256)), frozenset({FIRST}), ((lines, PARALLEL),))
    assert counted(case, True) == 1 << 20
