"""Oracle: the compiled Pareto filter and the hypervolume equal brute force."""

import itertools

import numpy as np
import pytest

from sim.explore.pareto import front_of, fronts_of, hypervolume


def brute_front(values: np.ndarray) -> list[int]:
    rows = values.tolist()
    return [
        i
        for i, one in enumerate(rows)
        if not any(all(a <= b for a, b in zip(other, one, strict=True)) and other != one for other in rows)
    ]


def brute_volume(values: np.ndarray, reference: tuple[int, ...]) -> int:
    """Unit cells of an integer grid that some point dominates."""
    cells = itertools.product(*(range(edge) for edge in reference))
    return sum(any(all(v <= c for v, c in zip(row, cell, strict=True)) for row in values.tolist()) for cell in cells)


@pytest.mark.parametrize("objectives", [1, 2, 3, 4])
@pytest.mark.parametrize("seed", range(6))
def test_front_equals_brute_force(objectives: int, seed: int) -> None:
    generator = np.random.default_rng([objectives, seed])
    # Few different values, so that ties and equal rows are frequent.
    values = generator.integers(0, (3, 30, 1000)[seed % 3], (200, objectives)).astype(float)
    assert front_of(values).tolist() == brute_front(values)


def test_front_of_infinite_and_of_no_points() -> None:
    assert front_of(np.array([[np.inf, 1.0], [2.0, 2.0], [1.0, np.inf]])).tolist() == [0, 1, 2]
    assert front_of(np.empty((0, 2))).tolist() == []


def test_fronts_are_those_of_each_kind() -> None:
    generator = np.random.default_rng(3)
    values, kinds = generator.integers(0, 9, (300, 2)).astype(float), generator.integers(0, 4, 300)
    found = fronts_of(values, kinds)
    assert len(found) == 4
    for kind, front in enumerate(found):
        own = np.flatnonzero(kinds == kind)
        assert front.tolist() == own[brute_front(values[own])].tolist()


@pytest.mark.parametrize("objectives", [1, 2, 3, 4])
@pytest.mark.parametrize("seed", range(4))
def test_hypervolume_equals_counted_cells(objectives: int, seed: int) -> None:
    generator = np.random.default_rng([objectives, seed])
    values = generator.integers(0, 9, (12, objectives))
    reference = (7,) * objectives
    inside = values[(values < 7).all(axis=1)]
    assert hypervolume(values.astype(float), np.array(reference, float)) == brute_volume(inside, reference)


def test_hypervolume_of_a_large_front_is_its_closed_form() -> None:
    """Points on x + y = 1 in n steps: a staircase of area 1/2 - 1/(2n) below (1, 1)."""
    n = 1000
    x = np.arange(n + 1) / n
    assert hypervolume(np.stack([x, 1 - x], axis=1), np.ones(2)) == pytest.approx(0.5 - 0.5 / n, rel=1e-12)
