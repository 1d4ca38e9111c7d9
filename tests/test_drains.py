"""A result that is waited for leaves its array once for each run of its Einsum, in both engines."""

from pathlib import Path

import pytest

from sim import load_experiment, simulate
from tests.small_design import write_design

# S is reduced over the rows, for 24 columns of Y after one another; T and Z take its lanes as they come.
MAPPING = """\
name: drained
cascade: cascade.yaml
tree:
  loops: [b, {p: 8}]
  keep: {GLB: [X, S, T]}
  body:
    - {einsum: S, array: SQUARE, loops: [m], spatial: {rows: k, columns: p}}
    - {einsum: T, array: ROW, loops: [m], spatial: {columns: p}}
    - {einsum: Z, array: ROW, loops: [m], spatial: {columns: p}}
schedule:
  kind: phases
  phases:
    - {SQUARE: [S]}
    - {drain: S}
    - {ROW: [T, Z]}
"""
DRAIN = {"architecture.components.SQUARE.drain": {"along": "rows", "cycles": "2*rows + 3"}}
PORTS = "row: 128 bit\n    banks: 8\n    ports: 8"
TILES = 2 * 3  # B = 2; 24 rows of P in tiles of 8


@pytest.fixture
def design(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_design(
        tmp_path,
        {"machine.yaml": [(", bandwidth: 16 GiB/s", ""), ("row: 128 bit", PORTS)], "experiment.yaml": [("64", "24")]},
    )
    (tmp_path / "mapping.yaml").write_text(MAPPING)
    return tmp_path


def cycles(engine: str, changes: dict[str, object]) -> float:
    return simulate(load_experiment("./experiment.yaml", changes), engine).cycles


@pytest.mark.parametrize(
    ("changes", "drain"),
    [
        (DRAIN, 2 * 8 + 3),
        ({}, 8 - 1),  # no drain given: a cycle for every element passed
        # A drain of columns says nothing of rows.
        ({"architecture.components.SQUARE.drain": {"along": "columns", "cycles": 99}}, 8 - 1),
    ],
)
def test_a_tile_of_many_rows_leaves_once(changes: dict[str, object], drain: int, design: Path) -> None:
    """24 slots, the last of which has to leave while the others have left already; then 24 + 24 on the other array."""
    assert cycles("analytical", changes) == TILES * (24 + drain + 24 + 24)
    timed = simulate(load_experiment("./experiment.yaml", changes), "cycle")
    # Beside that X, which differs in every element, is shifted in, 8 rows a tile; the first one takes 8 rows to fetch,
    # and the last result 7 cycles to leave.
    assert timed.cycles == TILES * (8 + 24 + drain + 24 + 24) + 8 + 7
    assert timed.stall_cycles["SQUARE"]["drain"] == timed.stall_cycles["ROW"]["drain"] == TILES * drain


def test_readers_of_other_lanes_wait_for_the_skew(design: Path) -> None:
    """T reads S with the keys on its columns: all eight lanes of S must have left, the last one 7 cycles late."""
    text = MAPPING.replace(
        "T, array: ROW, loops: [m], spatial: {columns: p}", "T, array: ROW, loops: [p, {m: 8}], spatial: {columns: m}"
    )
    (design / "mapping.yaml").write_text(text)
    expected = TILES * (24 + (2 * 8 + 3) + 7 + 8 * 3 + 24)
    assert cycles("analytical", DRAIN) == expected


def test_a_result_that_no_side_reduces_waits_for_the_skew(design: Path) -> None:
    """K passes in time, keys and queries lie on the sides: 7 + 7 cycles of skew, whatever the drain of the array."""
    text = MAPPING.replace("[m], spatial: {rows: k", "[{m: 8}, k], spatial: {rows: m")
    (design / "mapping.yaml").write_text(text)
    assert cycles("analytical", DRAIN) == TILES * (3 * 8 + 7 + 7 + 24 + 24)
