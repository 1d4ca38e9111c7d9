"""The oracle where points may not exist: a step without a point is not taken, and tiles come and go as a whole.

A step that is taken is taken in full. A tile that one of its steps needs is brought as a whole, from tiles further out
that are there as a whole; a result's tile leaves as a whole, and comes back so. Kept registers are cleared whenever a tile
comes, in all elements to which no sum comes back. What no step has made is not waited for.
"""

from collections.abc import Collection

from einsums.conditions import EVERYWHERE
from einsums.types import Access
from mappings.tree import PlacedLeaf
from tests.oracle import Buffer, Case, Key, Known, Pair, Run, Wanted
from tests.oracle_points import ExistingPoints
from tests.oracle_space import Element, Extents, View


class SkippingRun(Run):
    """An execution of the steps that have a point."""

    def __init__(self, case: Case, spilled: dict[str, float], known: Known | None) -> None:
        super().__init__(case, spilled, None if known is None else Known(known.looked_back, {}, {}))
        self.existing = ExistingPoints(case.cascade, case.sizes)
        self.begun: dict[object, set[Element]] = {}  # by keep, or by leaf for its registers
        self.tiles: dict[object, Wanted] = {}
        self.taken: dict[object, bool] = {}
        self.resumed: set[tuple[Key, int]] = set()
        self.combined: set[tuple[Key, int]] = set()
        self.leaving: dict[Key, set[Pair]] = {}  # what leaves a tile with a result

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
            tile = self.needed(leaf, view.access, stack, buffer)
            if buffer.beside is not None:
                self.note_needs(buffer, view, stack)
            if self.is_handed_over(buffer, view):  # by the step before the first one inside
                first = min(map(view.step_of, tile))
                tile = {element: pes for element, pes in tile.items() if view.step_of(element) == first}
            if not buffer.makes or self.is_handed_over(buffer, view):
                self.fetch(buffer, view, tile, leaf.array)
        if not any(buffer.makes for buffer in self.places(leaf, view.access.tensor)):
            super().bring(leaf, view, wanted, stack)

    def readers(self, buffer: Buffer, version: str, array: str | None) -> list[tuple[PlacedLeaf, Access]]:
        """The Einsums on an array that read a version of a value from a tile, or from inside it."""
        return [
            (leaf, load)
            for leaf, load, writes in self.touches(buffer.keep.tensor)
            if not writes and leaf.array == array and buffer.keep.covers(leaf.index)
            and self.view(load).version == version and load.tensor not in leaf.forwarded
        ]  # fmt: skip

    def note_needs(self, buffer: Buffer, view: View, stack: list[Extents]) -> None:
        """Which elements of its array read the words of the whole of a tile beside them."""
        for reader, load in self.readers(buffer, view.version, buffer.beside):
            for element, pes in self.whole(reader, load, stack, len(buffer.keep.loops)).items():
                self.needs.setdefault((buffer.key, buffer.visit, view.version, element), set()).update(pes)

    def is_handed_over(self, buffer: Buffer, view: View) -> bool:
        """Whether each step finds the value of the one before outside the tile in which it makes its own."""
        return buffer.makes and buffer.in_step and view.version == "old"

    def fetch(self, buffer: Buffer | None, view: View, wanted: Wanted, array: str) -> None:
        """A tile that steps go through has a running value from the start: those that are not taken pass it on."""
        if buffer is None or view.iterative is None or not buffer.makes or self.is_handed_over(buffer, view):
            super().fetch(buffer, view, wanted, array)

    def needed(self, leaf: PlacedLeaf, access: Access, stack: list[Extents], buffer: Buffer) -> Wanted:
        """The whole of a tile, wherever any reader inside needs it."""
        depth = len(buffer.keep.loops)
        found = dict(self.whole(leaf, access, stack, depth))
        if buffer.beside == leaf.array:
            for reader, load in self.readers(buffer, self.view(access).version, leaf.array):
                for element, pes in self.whole(reader, load, stack, depth).items():
                    found[element] = found.get(element, frozenset()) | pes
        return found

    def is_held(self, pairs: frozenset[Pair], held: frozenset[Pair]) -> bool:
        """A tile stays where it is, also if its first step needed it in fewer elements than a later one."""
        return {element for _, element in pairs} <= {element for _, element in held}

    def check_made(self, leaf: PlacedLeaf, view: View, needed: frozenset[Element]) -> None:
        """The order of steps is that of an execution of all of them, which has been checked."""

    def may_skip(self, leaf: PlacedLeaf) -> bool:
        """Whether an Einsum is under a condition, whatever the sizes make of it."""
        return self.case.cascade.existence.points[leaf.einsum] != EVERYWHERE

    def resume(self, leaf: PlacedLeaf, view: View, stack: list[Extents]) -> None:
        if not self.may_skip(leaf):
            return
        for buffer in self.places(leaf, view.access.tensor):
            if (buffer.key, buffer.visit) in self.resumed:
                continue
            self.resumed.add((buffer.key, buffer.visit))
            tile = self.whole(leaf, view.access, stack, len(buffer.keep.loops))
            begun = self.begun.setdefault(buffer.keep.index, set())
            old = {e: pes for e, pes in tile.items() if e in begun and self.is_elsewhere(view.access.tensor, e)}
            self.bring_back(buffer, view, old, leaf)
            begun.update(tile)
            pairs = {(buffer.at(pe, leaf.array), e) for e, pes in tile.items() for pe in pes}
            is_cleared = buffer.memory == self.case.architecture.array(leaf.array).registers
            buffer.made |= {pair for pair in pairs if is_cleared or pair[1] not in old}
            self.leaving[buffer.key] = pairs

    def drain(self, buffer: Buffer) -> None:
        if buffer.made:
            pairs = self.leaving.get(buffer.key, set())
            if (buffer.key, buffer.visit) in self.combined:  # each element has become one sum
                one_each = {element: (pe, element) for pe, element in (*sorted(pairs), *sorted(buffer.made))}
                buffer.made = pairs = set(one_each.values())
            buffer.made |= pairs
        super().drain(buffer)

    def combine(self, buffer: Buffer, view: View, wanted: Wanted, leaf: PlacedLeaf) -> None:
        """Of what no step has made there is nothing to combine."""
        self.combined.add((buffer.key, buffer.visit))
        for element in set(wanted) - self.written[view.access.tensor]:
            there = sorted(pair for pair in buffer.made if pair[1] == element)
            buffer.made -= set(there[1:])
        passed_on: set[Pair] = set()  # from the initial value or some step: there in one element, and nothing made
        for element in wanted if view.version in ("old", "last") and not buffer.in_step else ():
            if not any(there == element for _, there in buffer.made):
                known = self.needs.get((buffer.key, buffer.visit, view.version, element), set())
                pes = {buffer.at(pe, leaf.array) for pe in wanted[element] | known}
                passed_on.add((min(pes), element))
        buffer.made |= passed_on
        super().combine(buffer, view, wanted, leaf)
        buffer.made -= passed_on

    def add_up(self, leaf: PlacedLeaf, tensor: str, wanted: Wanted, held: Collection[Pair]) -> None:
        """The registers of a sum are cleared together when it begins, also in elements that add to it later."""
        output = self.case.cascade.einsum(leaf.einsum).output
        if held is self.registers.get((leaf.index, self.core, output)):  # nothing came in this step
            begun = {element for _, element in held}
            held = {(pe, e) for e, pes in wanted.items() if e in begun for pe in pes}
        super().add_up(leaf, tensor, wanted, held)

    def is_begun(self, leaf: PlacedLeaf, tensor: str, element: Element) -> bool:
        if not self.may_skip(leaf):
            return super().is_begun(leaf, tensor, element)
        begun = self.begun.setdefault(("registers", leaf.index), set())
        was_there = element in begun
        begun.add(element)
        return was_there
