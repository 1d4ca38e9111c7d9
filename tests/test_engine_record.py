"""Tables of rows with named fields (sim.engine.record)."""

from typing import NamedTuple

import numpy as np
import pytest

from sim.engine.jit import compiled
from sim.engine.record import record, table


class PointRow(NamedTuple):
    across: int
    down: int


class BaseRow(NamedTuple):
    first: int
    base: int


@compiled
def move(points, by):
    for i in range(points.shape[0]):
        point = points[i]
        point.down += by * point.across


@pytest.mark.parametrize("loop", [move, getattr(move, "py_func", move)])
def test_fields_are_read_and_written_by_name(loop) -> None:
    points = table(PointRow, [PointRow(across=2, down=5), PointRow(3, 7)])
    loop(points, 10)
    assert points.tolist() == [(2, 25), (3, 37)]
    assert points["down"].tolist() == [25, 37]
    assert points[1].across == 3


def test_no_rows_are_a_table() -> None:
    assert table(PointRow, []).shape == (0,)
    assert np.zeros(2, record(PointRow))[1].down == 0


def test_a_name_that_every_record_has_is_refused() -> None:
    message = "^BaseRow: 'base' is an attribute of every numpy record, expected another name$"
    with pytest.raises(ValueError, match=message):
        record(BaseRow)
