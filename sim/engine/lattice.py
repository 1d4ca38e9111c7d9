"""Lattice points between lines for columns of designs: the closed form of `einsums.lattice`, compiled.

Compiled code is kept by a hash of the sources of this package (`jit`), which the closed form is not part of. Its digest
stands here, so that a change of it changes this file; a test compares the two.
"""

import numpy as np
from numpy.typing import NDArray

from einsums import lattice
from sim.engine.jit import compiled, shared

for _part in (
    lattice.floor_sum,
    lattice.limits,
    lattice.crossing,
    lattice.cuts_between,
    lattice.is_below,
    lattice.strip,
    lattice.lattice_points,
):
    shared(_part)

lattice_points = lattice.lattice_points
SOURCE = "66b662dcc9d36ec8"  # sha256 of einsums/lattice.py, its first 16 digits

Integers = NDArray[np.int64]


@compiled
def lattice_columns(rows: Integers, firsts: Integers, seconds: Integers, points: Integers) -> None:
    """For each design d, into points[d]: pairs 0 <= i < firsts[d], 0 <= j < seconds[d] that satisfy rows[d].

    `rows`: [designs, half-planes, 3], each a*i + b*j + c >= 0. Counts and products of coefficients must fit 63 bits.
    """
    for d in range(len(firsts)):
        points[d] = lattice.lattice_points(rows[d], firsts[d], seconds[d])
