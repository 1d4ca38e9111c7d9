"""What only numbers tell about legality: tiles a memory cannot hold, ranks a side cannot carry, ranks left uncovered,
stages further apart than a recurrence allows.

Asked for a whole batch at once; sentences are made only for the designs that fail.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from arch.components import SIDES
from mappings.check import Problem
from mappings.sides import SideNeed, side_needs
from mappings.stages import iter_stage_findings, one_tile, stage_edges
from mappings.tree import PlacedKeep, PlacedLeaf
from sim.engine.analytical import Evaluation, first_tiles
from sim.engine.room import Room, iter_trips, room_of
from sim.engine.tables import Tables
from sim.lower.lowering import LeftOver, Structure


def size_problems(structure: Structure, tables: Tables, evaluation: Evaluation) -> dict[int, list[Problem]]:
    """Problems of each design (row of the batch) that has any, designs in order."""
    found: dict[int, list[Problem]] = {}
    left = first_tiles(tables, tables.shape.left)
    for leaf in structure.tree.leaves:
        _find_coverage(structure, tables, _LeftOfLeaf(leaf, structure.lowered.left, left), found)
    _find_rounds(structure, tables, found)
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


class _LeftOfLeaf(NamedTuple):
    """What the loops of a leaf leave of its variables: `words: f8[design, row]`."""

    leaf: PlacedLeaf
    rows: tuple[LeftOver, ...]
    words: np.ndarray

    def of_variables(self) -> dict[str, np.ndarray]:
        """f8[design], coordinates."""
        return {over.variable: self.words[:, over.row] for over in self.rows if over.leaf == self.leaf}


def _find_coverage(structure: Structure, tables: Tables, of_leaf: _LeftOfLeaf, found: dict[int, list[Problem]]) -> None:
    """Coordinates that the loops of a leaf leave, against what the sides of its array can carry."""
    leaf, left = of_leaf.leaf, of_leaf.of_variables()
    number = structure.lowered.side_counts.index
    needs = side_needs(leaf, left.__getitem__, lambda text: tables.side_counts[:, number(text)], np.minimum)
    uncovered = {variable: here for variable, here in left.items() if variable not in leaf.sides}
    for variable, here in uncovered.items():
        for d in np.flatnonzero(here > 1):
            message = f"Einsum '{leaf.einsum}': its loops leave {here[d]:.0f} coordinates of '{variable}' uncovered"
            found.setdefault(int(d), []).append(Problem(leaf.path, message))
    for need in {need.loop.variable: need for need in needs}.values():
        for d in np.flatnonzero(need.missing > 1):
            found.setdefault(int(d), []).append(_beyond_counts(leaf, need.loop.variable, left, needs, int(d)))
    array = structure.machine.array(leaf.array)
    for side in SIDES:
        own = [need for need in needs if need.loop.side == side]
        length = getattr(tables.machine, side)[:, array]
        places = np.prod([need.places for need in own], axis=0)
        for d in np.flatnonzero(places > length) if own else ():
            what = " x ".join(f"{need.places[d]:.0f} coordinates of '{need.loop.variable}'" for need in own)
            message = f"Einsum '{leaf.einsum}' does not fit: {what} on {length[d]:g} {side} of '{leaf.array}'"
            found.setdefault(int(d), []).append(Problem(leaf.path, message))


def _find_rounds(structure: Structure, tables: Tables, found: dict[int, list[Problem]]) -> None:
    """Sums over cores that would be split between two rounds of them."""
    loop, space = structure.lowered.combined, structure.lowered.space
    if loop is None or not any(structure.machine.in_core):
        return
    variable = structure.tree.loops[loop].variable
    root = space.parts[space.part_of_variable(variable)].root
    iterations, cores = -(-tables.extents[:, root] // tables.loop_tiles[:, loop]), tables.machine.cores
    for d in np.flatnonzero((iterations % cores > 0) & (cores % iterations > 0)):
        message = (
            f"the {iterations[d]} iterations of '{variable}' are added up over {cores[d]:g} cores, and neither number "
            "divides the other: a sum would be split between two rounds"
        )
        found.setdefault(int(d), []).append(Problem("cores", message))


def _beyond_counts(
    leaf: PlacedLeaf, variable: str, left: dict[str, np.ndarray], needs: tuple[SideNeed, ...], design: int
) -> Problem:
    """A rank of which the loops leave more than the counts on sides take."""
    taken = " x ".join(f"{need.places[design]:.0f}" for need in needs if need.loop.variable == variable)
    what = f"its loops leave {left[variable][design]:.0f} coordinates of '{variable}', its sides take {taken}"
    return Problem(f"{leaf.path}.spatial", f"Einsum '{leaf.einsum}' does not fit: {what}")


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
