"""The fusion tree with its choices made: every leaf, with the loops and kept tiles above it.

A `Mapping` may leave choices open (parameters, conditions, whether a tile is of one coordinate: loops in steps of 1
may carry running values and have further parts of a rank inside). `resolve_tree` makes them and lays the tree out flat:
loops and keeps are numbered once, a leaf refers to the loops it runs in (shared ones first), a keep to the loops
outside it.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from arch.components import SIDES, Side
from einsums.types import Cascade
from mappings.types import (
    Leaf,
    Loop,
    LoopCase,
    Loops,
    Mapping,
    Node,
    Reservation,
    Select,
    Spatial,
    SpatialCase,
    SpatialLoop,
    SpatialSelect,
)


@dataclass(frozen=True, slots=True)
class PlacedLoop:
    """A temporal loop of the tree; `path` is its location in the file."""

    index: int
    variable: str
    tile: str  # "1" for whatever is 1
    path: str


@dataclass(frozen=True, slots=True)
class PlacedKeep:
    """A tile kept in a memory inside the loops `loops` (indices), for the leaves `first_leaf` to `last_leaf`."""

    index: int
    memory: str
    tensor: str
    copies: int
    loops: tuple[int, ...]
    first_leaf: int
    last_leaf: int
    share_group: int  # keeps of one group take turns in one place; -1: has its own place
    path: str

    def covers(self, leaf: int) -> bool:
        return self.first_leaf <= leaf <= self.last_leaf


@dataclass(frozen=True, slots=True)
class PlacedLeaf:
    """An Einsum with all temporal loops around it, outermost first; the first `shared` of them are the tree's."""

    index: int
    einsum: str
    array: str
    loops: tuple[int, ...]
    shared: int
    spatial: tuple[SpatialLoop, ...]
    forwarded: tuple[str, ...]
    path: str
    bypass: tuple[str, ...] = ()  # operands, or the result, that no register of the array holds
    recompute: bool = False  # runs again in every iteration of a loop over a rank that its Einsum lacks

    @property
    def sides(self) -> tuple[str, ...]:
        """The variables that the sides of the array carry, rows before columns before lanes, neighbours first."""
        found = (loop.variable for side in SIDES for loop in reversed(self.spatial) if loop.side == side)
        return tuple(dict.fromkeys(found))

    def along(self, sides: Collection[Side]) -> frozenset[str]:
        """The variables on these sides of the array."""
        return frozenset(loop.variable for loop in self.spatial if loop.side in sides)


class CountedSide(NamedTuple):
    """A rank on a side of an Einsum's array; `text`: the expression of how many of its coordinates lie there."""

    leaf: PlacedLeaf
    side: SpatialLoop
    text: str


@dataclass(frozen=True, slots=True)
class ResolvedTree:
    """A fusion tree without open choices. Leaves and keeps are in file order."""

    loops: tuple[PlacedLoop, ...]
    keeps: tuple[PlacedKeep, ...]
    leaves: tuple[PlacedLeaf, ...]
    reservations: tuple[Reservation, ...]

    def leaf_of(self, einsum: str) -> PlacedLeaf | None:
        return next((leaf for leaf in self.leaves if leaf.einsum == einsum), None)

    @property
    def counted_sides(self) -> tuple[CountedSide, ...]:
        """Ranks on sides of arrays with a stated count."""
        found = ((leaf, side, side.count) for leaf in self.leaves for side in leaf.spatial)
        return tuple(CountedSide(leaf, side, count) for leaf, side, count in found if count is not None)

    def keeps_above(self, leaf: PlacedLeaf, tensor: str) -> tuple[PlacedKeep, ...]:
        """The keeps of the tensor on the path from the root to a leaf, outermost first."""
        return tuple(k for k in self.keeps if k.tensor == tensor and k.covers(leaf.index))

    def tiles_by_variable(self, loops: tuple[int, ...]) -> dict[str, list[str]]:
        """Tiles of the loops over every variable, outermost first; equal if the loops visit the same tiles."""
        found: dict[str, list[str]] = {}
        for loop in loops:
            found.setdefault(self.loops[loop].variable, []).append(self.loops[loop].tile)
        return found

    def step_loops(self, einsums: frozenset[str]) -> tuple[int, ...]:
        """The loops whose iterations are the steps of a pipeline of these Einsums: the deepest around all of them.

        An Einsum that only finishes the work of others (a final division) may come after the loops, if it visits the
        same tiles in those loops that it does not lack.
        """
        leaves = [leaf for leaf in self.leaves if leaf.einsum in einsums]
        best: tuple[int, ...] = ()
        for leaf in leaves:
            for depth in range(len(best) + 1, leaf.shared + 1):
                loops = leaf.loops[:depth]
                inside = [x.index for x in leaves if x.shared >= depth and x.loops[:depth] == loops]
                if all(x.index in inside or (x.index > max(inside) and self._finishes(x, loops)) for x in leaves):
                    best = loops
        return best

    def _finishes(self, leaf: PlacedLeaf, loops: tuple[int, ...]) -> bool:
        replaced = self.replaced_loops(leaf, loops)
        return replaced is not None and len(replaced) < len(loops) - self._common(leaf, loops)

    def replaced_loops(self, leaf: PlacedLeaf, loops: tuple[int, ...]) -> tuple[int, ...] | None:
        """The loops of which a leaf outside visits the same tiles in loops of its own; None where it does not."""
        shared = self._common(leaf, loops)
        names = {self.loops[i].variable for i in leaf.loops[shared:]} | {side.variable for side in leaf.spatial}
        same = tuple(i for i in loops[shared:] if self.loops[i].variable in names)
        own = leaf.loops[shared : leaf.shared]
        return same if self.tiles_by_variable(own) == self.tiles_by_variable(same) else None

    def _common(self, leaf: PlacedLeaf, loops: tuple[int, ...]) -> int:
        pairs = list(zip(leaf.loops[: leaf.shared], loops, strict=False))
        return next((n for n, (own, other) in enumerate(pairs) if own != other), len(pairs))

    def run_loops(self, leaf: PlacedLeaf, loops: tuple[int, ...]) -> tuple[int, ...]:
        """The loops each iteration of which is a run of a leaf, where a schedule goes through `loops` step by step and
        what lies inside is one run: those that it shares, and its own in place of the others.
        """
        shared = self._common(leaf, loops)
        outside = shared < len(loops) and self.replaced_loops(leaf, loops) is not None
        return leaf.loops[: leaf.shared] if outside else leaf.loops[:shared]

    def phase_loops(self, lanes: Iterable[Sequence[str]]) -> tuple[int, ...]:
        """The loops that a schedule of phases goes through step by step: the deepest inside which every lane has an
        Einsum, and before which there is none.
        """
        lanes = list(lanes)
        best: tuple[int, ...] = ()
        for leaf in self.leaves:
            for depth in range(len(best) + 1, leaf.shared + 1):
                loops = leaf.loops[:depth]
                inside = [x for x in self.leaves if x.shared >= depth and x.loops[:depth] == loops]
                names = {x.einsum for x in inside}
                if inside[0].index == 0 and all(names & set(lane) for lane in lanes):
                    best = loops
        return best

    def shared_loops(self, one: PlacedLeaf, other: PlacedLeaf) -> tuple[PlacedLoop, ...]:
        common = [a for a, b in zip(one.loops[: one.shared], other.loops[: other.shared], strict=False) if a == b]
        return tuple(self.loops[index] for index in common)


class _Builder:
    """Collects the flat tables in one traversal of the tree."""

    def __init__(
        self, choice: Callable[[str], str], holds: Callable[[str | None], bool], units: frozenset[str]
    ) -> None:
        self.choice, self.holds, self.units = choice, holds, units
        self.loops: list[PlacedLoop] = []
        self.keeps: list[PlacedKeep] = []
        self.leaves: list[PlacedLeaf] = []
        self.groups = 0

    def add_loops(self, loops: Loops, path: str) -> tuple[int, ...]:
        first = len(self.loops)
        for place, loop in self.iter_loops(loops, path):
            tile = "1" if loop.tile in self.units else loop.tile
            self.loops.append(PlacedLoop(len(self.loops), loop.variable, tile, place))
        return tuple(range(first, len(self.loops)))

    def iter_loops(self, loops: Loops, path: str) -> Iterator[tuple[str, Loop]]:
        if isinstance(loops, tuple):
            yield from ((f"{path}[{i}]", loop) for i, loop in enumerate(loops))
            return
        case = self.chosen_case(loops, path)
        assert isinstance(case, LoopCase)
        yield from ((f"{path}.cases.{case.value}[{i}]", loop) for i, loop in enumerate(case.loops))

    def chosen_case(self, select: Select | SpatialSelect, path: str) -> LoopCase | SpatialCase:
        try:
            value = self.choice(select.parameter)
        except ValueError as error:
            raise ValueError(f"$.{path}.select: {error}") from None
        for case in select.cases:
            if case.value == value:
                return case
        raise ValueError(
            f"$.{path}.cases: no case for the value '{value}' of '{select.parameter}'; there are: "
            f"{', '.join(case.value for case in select.cases)}"
        )

    def spatial_loops(self, spatial: Spatial, path: str) -> tuple[SpatialLoop, ...]:
        if isinstance(spatial, tuple):
            return spatial
        case = self.chosen_case(spatial, path)
        assert isinstance(case, SpatialCase)
        return case.spatial

    def add_node(self, node: Node, outer: tuple[int, ...], path: str) -> None:
        inside = outer + self.add_loops(node.loops, f"{path}.loops")
        first_keep, first_leaf = len(self.keeps), len(self.leaves)
        groups = self.number_groups(node)
        for keep in node.keep:
            for i, kept in enumerate(keep.tensors):
                if self.holds(kept.when):
                    place = f"{path}.keep.{keep.memory}[{i}]"
                    group = groups.get((keep.memory, kept.tensor), -1)
                    index = len(self.keeps)
                    # Which leaves it serves is known once the body has been traversed.
                    unspanned = PlacedKeep(index, keep.memory, kept.tensor, kept.copies, inside, 0, -1, group, place)
                    self.keeps.append(unspanned)
        last_keep = len(self.keeps)
        for i, item in enumerate(node.body):
            if isinstance(item, Leaf):
                self.add_leaf(item, inside, f"{path}.body[{i}]")
            else:
                self.add_node(item, inside, f"{path}.body[{i}]")
        for index in range(first_keep, last_keep):
            self.keeps[index] = replace(self.keeps[index], first_leaf=first_leaf, last_leaf=len(self.leaves) - 1)

    def number_groups(self, node: Node) -> dict[tuple[str, str], int]:
        numbered: dict[tuple[str, str], int] = {}
        for share in node.share:
            numbered.update({(share.memory, tensor): self.groups for tensor in share.tensors})
            self.groups += 1
        return numbered

    def add_leaf(self, leaf: Leaf, outer: tuple[int, ...], path: str) -> None:
        own = self.add_loops(leaf.loops, f"{path}.loops")
        spatial = self.spatial_loops(leaf.spatial, f"{path}.spatial")
        self.leaves.append(
            PlacedLeaf(
                len(self.leaves),
                leaf.einsum,
                leaf.array,
                outer + own,
                len(outer),
                spatial,
                leaf.forwarded,
                path,
                leaf.bypass,
                leaf.recompute,
            )
        )


def resolve_tree(
    mapping: Mapping,
    choice: Callable[[str], str],
    holds: Callable[[str | None], bool],
    units: frozenset[str] = frozenset(),
) -> ResolvedTree:
    """Make the mapping's choices: `choice` gives a parameter's value, `holds` decides a condition (None: always).

    `units`: of `undecided_tiles`, those whose value is 1.
    """
    builder = _Builder(choice, holds, units)
    builder.add_node(mapping.tree, (), "tree")
    reservations = tuple(r for r in mapping.reserve if holds(r.when))
    return ResolvedTree(tuple(builder.loops), tuple(builder.keeps), tuple(builder.leaves), reservations)


def undecided_tiles(mapping: Mapping, cascade: Cascade) -> tuple[str, ...]:
    """Tiles of which legality asks whether they are 1, and only numbers tell: of loops that step a running value, walk
    a part of a rank, or stand beside loops over the same variable in steps of 1.
    """
    loops = list(iter_loops(mapping.tree))
    stepping = {rank.lower() for _, rank in cascade.iterative}
    stepping |= {part.lower() for partition in cascade.partitions for part in partition.parts}
    stepping |= {loop.variable for loop in loops if loop.tile == "1"}
    asked = (loop.tile for loop in loops if loop.variable in stepping)
    return tuple(dict.fromkeys(tile for tile in asked if not tile.isdecimal()))


def iter_loops(item: Node | Leaf) -> Iterator[Loop]:
    """Every loop of a tree, whatever is chosen."""
    loops = item.loops
    yield from loops if isinstance(loops, tuple) else (loop for case in loops.cases for loop in case.loops)
    for inner in item.body if isinstance(item, Node) else ():
        yield from iter_loops(inner)
