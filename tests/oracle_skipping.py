"""The oracle where points may not exist: a step without a point is not taken, and tiles come and go as a whole.

A step that is taken is taken in full. A tile that one of its steps needs is brought as a whole, from tiles further out
that are there as a whole; a result's tile leaves as a whole, and comes back so. What no step has made is not waited for.
"""

from einsums.types import Access
from mappings.tree import PlacedLeaf
from tests.oracle import Case, Known, Run, Wanted
from tests.oracle_points import ExistingPoints
from tests.oracle_space import Element, Extents, View


class SkippingRun(Run):
    """An execution of the steps that have a point."""

    def __init__(self, case: Case, spilled: dict[str, float], known: Known | None) -> None:
        super().__init__(case, spilled, known)
        self.existing = ExistingPoints(case.cascade, case.sizes)
        self.begun: dict[object, set[Element]] = {}  # by keep, or by leaf for its registers
        self.tiles: dict[object, Wanted] = {}
        self.taken: dict[object, bool] = {}

    def happens(self, leaf: PlacedLeaf, stack: list[Extents]) -> bool:
        key = leaf.einsum, *stack[-1].items()
        if key not in self.taken:
            self.taken[key] = self.existing.of_box(self.case.cascade.einsum(leaf.einsum), stack[-1]) > 0
        return self.taken[key]

    def whole(self, leaf: PlacedLeaf, access: Access, stack: list[Extents], depth: int) -> Wanted:
        """What all steps of a leaf inside its outer `depth` loops touch, and in which elements of the array."""
        key = leaf.index, access, depth, *stack[depth].items()
        if key not in self.tiles:
            found: dict[Element, frozenset[object]] = {}
            view = self.view(access)
            for extents in self.steps_below(leaf, depth, stack[depth]):
                for element, pes in self.wanted(leaf, view, extents).items():
                    found[element] = found.get(element, frozenset()) | pes
            self.tiles[key] = found  # type: ignore[assignment]
        return self.tiles[key]

    def steps_below(self, leaf: PlacedLeaf, depth: int, extents: Extents) -> list[Extents]:
        found = [extents]
        for loop in (self.case.tree.loops[index] for index in leaf.loops[depth:]):
            rank = self.case.cascade.rank_of_variable(loop.variable)
            found = [inner for outer in found for inner in self.space.split(rank, self.case.tiles[loop.index], outer)]
        return found

    def bring(self, leaf: PlacedLeaf, view: View, wanted: Wanted, stack: list[Extents]) -> None:
        for buffer in self.places(leaf, view.access.tensor):
            if not buffer.makes:
                self.fetch(buffer, view, self.whole(leaf, view.access, stack, len(buffer.keep.loops)), leaf.array)
        if not any(buffer.makes for buffer in self.places(leaf, view.access.tensor)):
            super().bring(leaf, view, wanted, stack)

    def check_made(self, leaf: PlacedLeaf, view: View, needed: frozenset[Element]) -> None:
        """The order of steps is that of an execution of all of them, which has been checked."""

    def resume(self, leaf: PlacedLeaf, view: View, stack: list[Extents]) -> None:
        for buffer in self.places(leaf, view.access.tensor):
            tile = self.whole(leaf, view.access, stack, len(buffer.keep.loops))
            begun = self.begun.setdefault(buffer.keep.index, set())
            old = {e: pes for e, pes in tile.items() if e in begun and self.is_elsewhere(view.access.tensor, e)}
            self.bring_back(buffer, view, old, leaf)
            begun.update(tile)
            buffer.made |= {(buffer.at(pe, leaf.array), e) for e, pes in tile.items() for pe in pes}

    def is_begun(self, leaf: PlacedLeaf, tensor: str, element: Element) -> bool:
        begun = self.begun.setdefault(("registers", leaf.index), set())
        was_there = element in begun
        begun.add(element)
        return was_there

