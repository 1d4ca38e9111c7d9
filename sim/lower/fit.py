"""What only numbers tell about legality: tiles a memory cannot hold, ranks a side cannot carry, ranks left uncovered.

Asked for a whole batch at once; sentences are made only for the designs that fail.
"""

import numpy as np

from mappings.check import Problem
from sim.engine.analytical import Evaluation, first_tiles
from sim.engine.tables import Tables
from sim.lower.lowering import LeftOver, Structure


def size_problems(structure: Structure, tables: Tables, evaluation: Evaluation) -> dict[int, list[Problem]]:
    """Problems of each design (row of the batch) that has any, designs in order."""
    found: dict[int, list[Problem]] = {}
    left = first_tiles(tables, tables.shape.left)
    for over in structure.lowered.left:
        _find_coverage(structure, tables, over, left[:, over.row], found)
    for m, memory in enumerate(structure.machine.memories):
        capacity, needed = tables.machine.capacity_bytes[:, m], evaluation.footprint_bytes[:, m]
        too_small = (needed > capacity) & (not tables.shape.spills[m])
        for d in np.flatnonzero(too_small):
            message = f"'{memory}' holds {size_text(capacity[d])} but the tiles it keeps need {size_text(needed[d])}"
            path = next((keep.path for keep in structure.tree.keeps if keep.memory == memory), "reserve")
            found.setdefault(int(d), []).append(Problem(path, message))
    return dict(sorted(found.items()))


def _find_coverage(
    structure: Structure, tables: Tables, over: LeftOver, left: np.ndarray, found: dict[int, list[Problem]]
) -> None:
    """Coordinates that the loops of a leaf leave to the sides of its array, f8[design], against what those can
    carry.
    """
    leaf, variable = over.leaf, over.variable
    array = structure.machine.array(leaf.array)
    side = next((loop.side for loop in leaf.spatial if loop.variable == variable), None)
    sides_of_arrays = tables.machine.rows if side == "rows" else tables.machine.columns
    room = np.ones(left.size) if side is None else sides_of_arrays[:, array]
    for d in np.flatnonzero(left > room):
        if side is None:
            message = f"Einsum '{leaf.einsum}': its loops leave {left[d]:.0f} coordinates of '{variable}' uncovered"
        else:
            what = f"{left[d]:.0f} coordinates of '{variable}' on {room[d]:g} {side} of '{leaf.array}'"
            message = f"Einsum '{leaf.einsum}' does not fit: {what}"
        found.setdefault(int(d), []).append(Problem(leaf.path, message))


def size_text(size_bytes: float) -> str:
    """Bytes in the largest binary unit that they fill."""
    for unit, factor in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if size_bytes >= factor:
            return f"{size_bytes / factor:.6g} {unit}"
    return f"{np.ceil(size_bytes):g} B"
