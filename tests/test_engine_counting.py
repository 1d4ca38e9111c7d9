"""The counting loops against plain Python that visits every iteration."""

from collections.abc import Iterator

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.engine.counting import (
    ADVANCES,
    FIRST_ONLY,
    STAYS,
    WALKS,
    count_words,
    largest_divisors,
)

RANKS = 3
ONE, UNBOUNDED, INNER = 0, 1, 2  # columns of sizes
fixed = settings(derandomize=True, deadline=None, max_examples=150)

Nest = tuple[tuple[int, int], ...]  # (rank, tile), outermost first
Problem = tuple[Nest, tuple[int, ...], tuple[bool, ...], int]  # extents, which ranks the tensor has, unit of rank 0


def visits(nest: Nest, extents: tuple[int, ...]) -> Iterator[tuple[tuple[int, int], ...]]:
    """The interval of every rank in each innermost iteration, in order."""

    def walk(level: int, spans: tuple[tuple[int, int], ...]) -> Iterator[tuple[tuple[int, int], ...]]:
        if level == len(nest):
            yield spans
            return
        rank, tile = nest[level]
        low, high = spans[rank]
        for start in range(low, high, tile):
            yield from walk(level + 1, (*spans[:rank], (start, min(high, start + tile)), *spans[rank + 1 :]))

    yield from walk(0, tuple((0, extent) for extent in extents))


def words_by_walking(nest: Nest, extents: tuple[int, ...], relevant: tuple[bool, ...], unit: int) -> int:
    """Words fetched into a one-entry buffer. The tensor has the relevant ranks; rank 0 in steps of `unit` elements."""
    held, words = None, 0
    for spans in visits(nest, extents):
        tile = tuple(span for rank, span in enumerate(spans) if relevant[rank])
        if tile != held:
            held, words = tile, words + words_of(spans, relevant, unit)
    return words


def words_of(spans: tuple[tuple[int, int], ...], relevant: tuple[bool, ...], unit: int) -> int:
    words = 1
    for rank, (low, high) in enumerate(spans):
        if relevant[rank]:
            words *= len({x // unit for x in range(low, high)}) if rank == 0 else high - low
    return words


def counted(
    nest: Nest, extents: tuple[int, ...], relevant: tuple[bool, ...], unit: int, otherwise: int = STAYS
) -> float:
    """The same from the compiled loops."""
    depth = len(nest)
    paths = np.full((1, depth + 1), -1, np.int64)
    paths[0, :depth] = range(depth)
    flags = np.zeros((1, depth + 1), np.int64)
    flags[0, :depth] = [ADVANCES if relevant[rank] else otherwise for rank, _ in nest]
    tiles = np.array([[tile for _, tile in nest]], np.int64).reshape(1, depth)
    loop_rank = np.array([rank for rank, _ in nest], np.int64)
    out = np.empty((1, 1))
    columns = np.array([[1, 2**62, unit]], np.int64)
    count_words(np.array([extents], np.int64), tiles, columns, paths, flags, runs_of(relevant), loop_rank, out)
    return float(out[0, 0])


def runs_of(relevant: tuple[bool, ...]) -> np.ndarray:
    runs = np.full((1, RANKS + 1, 3), -1, np.int64)
    for j, rank in enumerate(r for r in range(RANKS) if relevant[r]):
        runs[0, j] = (rank, UNBOUNDED, INNER if rank == 0 else ONE)
    return runs


@st.composite
def nests(draw: st.DrawFn) -> Problem:
    """A nest whose loops over rank 0 go in whole units, as loops over the outer part of a partitioned rank do."""
    unit = draw(st.integers(1, 3))
    extents = tuple(draw(st.integers(1, 11)) for _ in range(RANKS))
    loops = draw(st.lists(st.tuples(st.integers(0, RANKS - 1), st.integers(1, 6)), max_size=5))
    nest = tuple((rank, tile * unit if rank == 0 else tile) for rank, tile in loops)
    return nest, extents, tuple(draw(st.booleans()) for _ in range(RANKS)), unit


@fixed
@given(nests())
def test_words_equal_a_walk(case: Problem) -> None:
    assert counted(*case) == words_by_walking(*case)


@fixed
@given(nests())
def test_first_visits_count_every_tile_once(case: Problem) -> None:
    nest, extents, relevant, unit = case
    tiles = {
        tuple(span for rank, span in enumerate(spans) if relevant[rank]): words_of(spans, relevant, unit)
        for spans in visits(nest, extents)
    }
    assert counted(nest, extents, relevant, unit, FIRST_ONLY) == sum(tiles.values())


@fixed
@given(nests())
def test_iterations_are_words_of_a_scalar_of_every_rank(case: Problem) -> None:
    nest, extents, _, _ = case
    depth = len(nest)
    paths = np.array([[*range(depth), -1]], np.int64)
    tiles = np.array([[tile for _, tile in nest]], np.int64).reshape(1, depth)
    flags, no_runs = np.full((1, depth + 1), ADVANCES, np.int64), np.full((1, 1, 3), -1, np.int64)
    out = np.empty((1, 1))
    loop_rank = np.array([rank for rank, _ in nest], np.int64)
    columns = np.array([[1, 2**62]], np.int64)
    count_words(np.array([extents], np.int64), tiles, columns, paths, flags, no_runs, loop_rank, out)
    assert out[0, 0] == sum(1 for _ in visits(nest, extents))


@fixed
@given(nests())
def test_the_first_tile_is_the_largest(case: Problem) -> None:
    nest, extents, relevant, unit = case
    depth = len(nest)
    tiles = np.array([[tile for _, tile in nest]], np.int64).reshape(1, depth)
    paths = np.array([[*range(depth), -1]], np.int64)
    flags = np.array([[FIRST_ONLY] * depth + [0]], np.int64)
    out = np.empty((1, 1))
    loop_rank = np.array([rank for rank, _ in nest], np.int64)
    columns = np.array([[1, 2**62, unit]], np.int64)
    count_words(np.array([extents], np.int64), tiles, columns, paths, flags, runs_of(relevant), loop_rank, out)
    assert out[0, 0] == max(words_of(spans, relevant, unit) for spans in visits(nest, extents))


def test_pieces_of_a_tile_add_up_but_bring_nothing_again() -> None:
    """A tile of 10 stays while an outer loop turns 3 times; its pieces of 4 are 3, over which another rank has 2 words."""
    paths, runs = np.array([[0, 1, -1]], np.int64), np.array([[[1, 1, 0], [-1, -1, -1]]], np.int64)
    tiles, loop_rank, out = np.array([[1, 4]], np.int64), np.array([2, 0], np.int64), np.empty((1, 1))
    for outer, expected in ((STAYS, 3 * 2), (ADVANCES, 3 * 3 * 2)):
        flags = np.array([[outer, WALKS, 0]], np.int64)
        sizes = np.array([[1, 2**62]], np.int64)
        count_words(np.array([[10, 2, 3]], np.int64), tiles, sizes, paths, flags, runs, loop_rank, out)
        assert out[0, 0] == expected


@fixed
@given(nests(), nests())
def test_designs_of_a_batch_do_not_meet(one: Problem, another: Problem) -> None:
    """Two designs of one nest give in one call what they give alone."""
    nest, extents, relevant, unit = one
    other = another[1]
    together = np.empty((2, 1))
    depth = len(nest)
    paths = np.array([[*range(depth), -1]], np.int64)
    flags = np.array([[*(ADVANCES if relevant[rank] else STAYS for rank, _ in nest), 0]], np.int64)
    tiles = np.array([[tile for _, tile in nest]] * 2, np.int64).reshape(2, depth)
    loop_rank = np.array([rank for rank, _ in nest], np.int64)
    columns = np.array([[1, 2**62, unit]] * 2, np.int64)
    count_words(
        np.array([extents, other], np.int64), tiles, columns, paths, flags, runs_of(relevant), loop_rank, together
    )
    assert together[:, 0].tolist() == [counted(nest, e, relevant, unit) for e in (extents, other)]


@fixed
@given(st.lists(st.tuples(st.integers(1, 400), st.integers(1, 500)), min_size=1, max_size=20))
def test_largest_divisors(pairs: list[tuple[int, int]]) -> None:
    numbers, limits = (np.array(column, np.int64) for column in zip(*pairs, strict=True))
    out = np.empty(len(pairs), np.int64)
    largest_divisors(numbers, limits, out)
    expected = [max(d for d in range(1, limit + 1) if number % d == 0) for number, limit in pairs]
    assert out.tolist() == expected


def test_largest_divisors_of_large_numbers() -> None:
    numbers, limits = (
        np.array([2**40, 10**12 + 39, 999_999_000_001], np.int64),
        np.array([2**20 + 1, 10**6, 10**9], np.int64),
    )
    out = np.empty(3, np.int64)
    largest_divisors(numbers, limits, out)
    divisors = [d for n in range(1, 10**6) if 999_999_000_001 % n == 0 for d in (n, 999_999_000_001 // n)]
    assert out.tolist() == [2**20, 1, max(d for d in divisors if d <= 10**9)]  # 10^12 + 39 is prime
