"""What only numbers tell about legality: tiles a memory cannot hold, ranks a side cannot carry, ranks left uncovered,
stages further apart than a recurrence allows.

Asked for a whole batch at once; sentences are made only for the designs that fail.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from mappings.check import Problem
from mappings.stages import iter_stage_findings, one_tile, stage_edges
from mappings.tree import PlacedKeep
from sim.engine.analytical import Evaluation, first_tiles
from sim.engine.room import Room, iter_trips, room_of
from sim.engine.tables import Tables
from sim.lower.lowering import LeftOver, Structure


def size_problems(structure: Structure, tables: Tables, evaluation: Evaluation) -> dict[int, list[Problem]]:
    """Problems of each design (row of the batch) that has any, designs in order."""
    found: dict[int, list[Problem]] = {}
    left = first_tiles(tables, tables.shape.left)
    for over in structure.lowered.left:
        _find_coverage(structure, tables, over, left[:, over.row], found)
    _find_stages(structure, tables, found)
    capacity, needed = tables.machine.capacity_bytes, evaluation.footprint_bytes
    too_small = (needed > capacity) & ~tables.shape.spills
    if too_small.any():
        room = room_of(tables)
        for m in np.flatnonzero(too_small.any(axis=0)).tolist():
            for d in np.flatnonzero(too_small[:, m]).tolist():
                overfull = _Overfull(structure, tables, room, d, m)
                found.setdefault(d, []).append(overfull.problem(capacity[d, m], needed[d, m]))
    return dict(sorted(found.items()))


@dataclass(frozen=True)
class _Overfull:
    """What lies in a memory of a design when it is fullest."""

    structure: Structure
    tables: Tables
    room: Room
    design: int
    memory: int

    def problem(self, capacity_bytes: float, needed_bytes: float) -> Problem:
        """One sentence with every tile, the largest first, at the node that asks for the most."""
        machine = self.structure.machine
        name = machine.memories[self.memory]
        what = f"'{name}'" if machine.array_of(name) is None else f"an element of '{name}'"
        items = sorted(self.items(), key=lambda item: -item.size_bytes)
        listed = ", ".join(f"{item.text} {size_text(item.size_bytes)}" for item in items)
        by_path: dict[str, float] = {}
        for item in items:
            by_path[item.path] = by_path.get(item.path, 0.0) + item.size_bytes
        tiles = f"the tiles it keeps need {size_text(needed_bytes)}: {listed}"
        path = max(by_path, key=by_path.__getitem__)
        return Problem(path, f"{what} holds {size_text(capacity_bytes)} but {tiles}")

    def items(self) -> Iterator["_Item"]:
        """Tiles, those that take turns as one, and what is reserved."""
        moment = int(np.argmax(self.room.held_bytes[self.design, :, self.memory]))
        places: dict[tuple[int, int], list[PlacedKeep]] = {}
        for keep in self.structure.tree.keeps:
            if self.is_here(keep.memory) and self.room.present[self.design, moment, keep.index]:
                alone = keep.index if keep.share_group < 0 else -1
                places.setdefault((alone, keep.share_group), []).append(keep)
        sizes = self.room.kept_bytes[self.design]
        for turns in places.values():
            text = " or ".join(self.text(keep) for keep in turns)
            yield _Item(turns[0].path.rpartition("[")[0], text, max(float(sizes[keep.index]) for keep in turns))
        reserved = float(self.tables.reserved_bytes[self.design, self.memory])
        if reserved:
            labels = [r.label for r in self.structure.tree.reservations if self.is_here(r.memory)]
            yield _Item("reserve", " and ".join(labels), reserved)

    def text(self, keep: PlacedKeep) -> str:
        """A tensor, and how many of its tiles are there."""
        kept, tile = (float(b[self.design, keep.index]) for b in (self.room.kept_bytes, self.room.tile_bytes))
        return keep.tensor if kept == tile else f"{kept / tile:g} tiles of {keep.tensor}"

    def is_here(self, memory: str) -> bool:
        return self.structure.machine.memory(memory) == self.memory


class _Item(NamedTuple):
    path: str
    text: str
    size_bytes: float


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


def _find_stages(structure: Structure, tables: Tables, found: dict[int, list[Problem]]) -> None:
    """Stages that a recurrence cannot have, where it comes back after a number of tiles that numbers tell."""
    schedule, tree, cascade = structure.mapping.schedule, structure.tree, structure.cascade
    if schedule.kind != "pipelined":
        return
    edges = stage_edges(schedule, tree, cascade)
    carried = dict.fromkeys(edge.inside for edge in edges if edge.inside is not None)
    unknown = [inside for inside in carried if one_tile(inside) is None]
    if not unknown:
        return
    loops = tree.step_loops(frozenset(stage.einsum for stage in schedule.stages))
    least = np.array([least for least, _ in iter_trips(tables, loops)])
    counts = np.stack([least[len(loops) - len(inside) :].prod(axis=0) for inside in unknown], axis=1)
    kinds, kind_of = np.unique(counts, axis=0, return_inverse=True)
    for number, kind in enumerate(kinds.tolist()):
        tiles = dict(zip(unknown, kind, strict=True)) | {(): 1}
        problems = [Problem(*finding) for finding in iter_stage_findings(schedule, tree, cascade, tiles.get)]
        for d in np.flatnonzero(kind_of.ravel() == number) if problems else ():
            found.setdefault(int(d), []).extend(problems)


def size_text(size_bytes: float) -> str:
    """Bytes in the largest binary unit that they fill."""
    for unit, factor in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if size_bytes >= factor:
            return f"{size_bytes / factor:.6g} {unit}"
    return f"{size_bytes:.6g} B"
