"""Rows with named fields: a loop reads `tasks[i].cycles`, compiled or not."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np


def record(row: type[NamedTuple]) -> np.dtype:
    """The type of one row of a table, with an i8 for every field of `row`.

    ValueError for a field that is an attribute of every `np.record`: plain Python would read that one instead.
    """
    taken = [field for field in row._fields if hasattr(np.record, field)]
    if taken:
        raise ValueError(f"{row.__name__}: '{taken[0]}' is an attribute of every numpy record, expected another name")
    # An element of an array of this type is an `np.record`, whose fields are attributes in plain Python too.
    return np.dtype((np.record, np.dtype([(field, np.int64) for field in row._fields], align=True)))


def table(row: type[NamedTuple], rows: Iterable[NamedTuple]) -> np.ndarray:
    """Rows of one kind as an array of records."""
    return np.array(list(rows), record(row))
