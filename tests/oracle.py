"""A mapped cascade executed loop by loop with one-entry buffers: the slow twin of the analytical engine.

Nothing here is a formula over loop counts. The loops run; every tensor element is a tuple of coordinates; every kept tile
and every operand in an array's registers is a set of such tuples. Words are counted when an element has to move:

- A buffer is replaced when what it should hold is not all in it. An element that is not there is fetched from the next
  place outward on its first use; what was made under a tile is there without a fetch.
- A tile is drained when it is replaced, and at the end, if its tensor is an output, is touched outside the tile, or is a
  running value of which the next step is made in another tile.
- A result that arrives again after it was partly written comes back first; its first arrival brings nothing.
- A memory beside the elements of an array is one store for each of them. A word comes once from a shared place outside and is
  written into every element that needs it while the tile lasts (which a first execution finds out).
- Registers hold the spatial tile of a step, whether a mapping says so or not. Elements that add up different terms of one
  result have a sum each; all of them are read when it leaves, and one goes on when it comes back. If it is read where it is,
  it becomes one sum first: the others are read, and every further element that needs it is written.
- Dealt iterations go to the cores in turn; each has memories and registers of its own for its iterations. What leaves several
  cores in one round of them for a memory that they share arrives as one word, and comes back to one of them. A round runs
  core by core here, but is one moment: what a shared tile holds for several cores of it comes and leaves as one, too.
- What bypasses the registers comes from the place outside in every step, and goes back in every step.
- A running value has one element for each step, and its initial value is there in any tile of its Einsum that is not inside
  the loop over the steps.
- Of a spilled memory, the part that does not fit is accessed in the next place outward (the parent, if the tensor lives in
  the spilled memory), and is not filled or drained.
- A tile takes room from its first touch to its last while it is in place; a running value that lives there, from its making
  to the step that reads it as the old one. Several copies take turns, so that one or another is there all the time.

Counted for each Einsum alone, as Timeloop does (Parashar et al., ISPASS 2019). Reading a value before it is made, or changing
it after it was read, is an error of the mapping and stops the run.
"""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from itertools import accumulate, product
from typing import NamedTuple

from arch.components import SIDES
from arch.types import Architecture
from einsums.nodes import Load
from einsums.types import Access, Cascade, Einsum
from mappings.tree import PlacedKeep, PlacedLeaf, ResolvedTree
from mappings.types import Mapping
from tests.oracle_space import Element, Extents, Space, View

NONE: frozenset[Element] = frozenset()
Pe = tuple[tuple[int, ...], ...]  # along rows, columns and lanes: the place of each rank on that side, outermost first
ANY: Pe = ()  # of a shared memory, or of a word that another array has put beside the elements
Wanted = dict[Element, frozenset[Pe]]  # which elements of the array need which words
Pair = tuple[Pe, Element]
Key = tuple[int, int]  # a kept tile, and the core that has it


class WrongOrderError(Exception):
    """A value is read before it is complete."""


class Case(NamedTuple):
    """What is executed: nouns, and the numbers behind their names."""

    cascade: Cascade
    architecture: Architecture
    mapping: Mapping
    tree: ResolvedTree
    sizes: dict[str, int]  # of whole ranks and of inner parts
    tiles: tuple[int, ...]  # of the tree's loops, coordinates of their variable
    reserved_words: dict[str, float]
    side_counts: dict[str, int]  # what the mapping states of ranks on sides, by its text
    cores: int = 1
    dealt: int = 0  # outermost loops whose iterations go to the cores in turn


@dataclass
class Buffer:
    """A kept tile: which steps' coordinates it spans, and the elements in it."""

    keep: PlacedKeep
    makes: bool  # the Einsum that writes the tensor is inside
    in_step: bool  # inside the loop over the tensor's iterative rank
    leaves: bool  # what is made in it is needed outside
    outer: "Buffer | None"  # None: the root, or nothing
    is_home: bool
    beside: str | None  # the array of whose elements each has one
    shared: frozenset[str]  # sides of that array along which one serves all elements
    core: int  # that has it; -1: shared
    turn: tuple[int, int] = (-1, 0)  # the core and the round that made something in it last
    spans: frozenset[Element] = NONE
    visit: int = 0  # how often another tile has come
    made: set[Pair] = field(default_factory=set)  # where a sum lies
    copied: set[Pair] = field(default_factory=set)  # further elements that were given a result
    fetched: dict[str, set[Pair]] = field(default_factory=dict)

    @property
    def memory(self) -> str:
        return self.keep.memory

    @property
    def key(self) -> Key:
        return self.keep.index, self.core

    def at(self, pe: Pe, array: str) -> Pe:
        """Which of these memories an element of an array uses."""
        if self.beside != array:
            return ANY
        return tuple(() if side in self.shared else place for side, place in zip(SIDES, pe, strict=True))


@dataclass
class Counts:
    """What a run adds up to. Words of the spilled part are fractions."""

    words: Counter[tuple[str, str, str]] = field(default_factory=Counter)  # (tensor, memory, read | write)
    drained_words: Counter[str] = field(default_factory=Counter)  # of the reads: of finished tiles, by memory
    steps: Counter[str] = field(default_factory=Counter)
    points: Counter[str] = field(default_factory=Counter)
    runs: Counter[str] = field(default_factory=Counter)  # of steps in which elements add to sums of their own
    chained: set[str] = field(default_factory=set)  # Einsums of which several linked elements have such sums
    tile_words: dict[int, int] = field(default_factory=dict)  # largest tile of each keep
    leaves: list[int] = field(default_factory=list)  # which leaf ran, step by step
    dealt: int = 0  # iterations that went to cores
    lives: dict[int, list[list[int]]] = field(
        default_factory=dict
    )  # of each keep: from which step to which it took room


class Known(NamedTuple):
    """What a first execution has found out: `looked_back`: see `held_words`; who reads a word of a tile, and who has it."""

    looked_back: frozenset[str]
    needs: dict[tuple[Key, int, str, Element], set[Pe]]
    has: dict[tuple[Key, int, Element], set[Pe]]


class Run:
    """One execution. `spilled`: the part of each memory's tiles that does not fit; without `known` it finds that out."""

    def __init__(self, case: Case, spilled: dict[str, float], known: Known | None) -> None:
        self.case, self.spilled = case, spilled
        self.known_look_backs = known.looked_back if known else frozenset()
        self.is_first = known is None
        self.needs: dict[tuple[Key, int, str, Element], set[Pe]] = known.needs if known else {}
        self.has: dict[tuple[Key, int, Element], set[Pe]] = known.has if known else {}
        self.space = Space(case.cascade, case.sizes)
        self.counts = Counts()
        self.running: dict[int, Extents] = {}  # of each leaf: the tile over which its elements are adding up
        self.registers: dict[tuple[int, int, Access], frozenset[Pair]] = {}
        self.core = 0 if case.cores > 1 else -1
        self.round = 0
        self.written_since: dict[tuple[str, Element], int] = {}  # the round in which a result began
        self.written_by: set[tuple[str, Element, int]] = set()  # with the core
        # Of a tensor, direction, element and round: how often each core has exchanged it.
        self.left_cores: dict[tuple[str, str, Element, int], Counter[int]] = {}
        self.written: dict[str, set[Element]] = {tensor.name: set() for tensor in case.cascade.tensors}
        self.seen: dict[str, set[Element]] = {tensor.name: set() for tensor in case.cascade.tensors}
        self.views: dict[tuple[Access, bool], View] = {}
        self.newest: dict[tuple[str, Element], int] = {}  # the latest step of a running value that anything touched
        self.looked_back: set[str] = set()  # running values of which an earlier step was touched after a later one
        self.made_inside = {einsum.name for einsum in case.cascade.einsums}
        self.buffers: dict[Key, Buffer] = {}
        self.made_at: dict[tuple[int, Element], int] = {}  # step in which a tile's element was made

    def view(self, access: Access, shifted: bool = True) -> View:
        key = (access, shifted)
        if key not in self.views:
            self.views[key] = View(self.space, access, shifted)
        return self.views[key]

    # --- places ---------------------------------------------------------------------------------------------
    def touches(self, tensor: str) -> list[tuple[PlacedLeaf, Access, bool]]:
        found = []
        for leaf in self.case.tree.leaves:
            einsum = self.case.cascade.einsum(leaf.einsum)
            found += [(leaf, load, False) for load in einsum.reads if load.tensor == tensor]
            found += [(leaf, einsum.output, True)] if einsum.output.tensor == tensor else []
        return found

    def buffer(self, keep: PlacedKeep) -> Buffer:
        """Where the running core keeps a tile."""
        key = keep.index, self.core if self.case.architecture.is_in_core(keep.memory) else -1
        if key not in self.buffers:
            self.buffers[key] = self.make_buffer(keep)
        return self.buffers[key]

    def make_buffer(self, keep: PlacedKeep) -> Buffer:
        cascade, tree = self.case.cascade, self.case.tree
        touches = self.touches(keep.tensor)
        outside = any(not keep.covers(leaf.index) for leaf, _, _ in touches)
        external = keep.tensor not in self.made_inside or keep.tensor in cascade.outputs
        iterative = dict(cascade.iterative).get(keep.tensor, "").lower()
        in_step = any(tree.loops[loop].variable == iterative for loop in keep.loops)
        carried = in_step and any(not writes and self.view(a).version == "old" for _, a, writes in touches)
        above = [
            self.buffer(other)
            for other in tree.keeps[: keep.index]
            if other.tensor == keep.tensor and other.first_leaf <= keep.first_leaf and keep.last_leaf <= other.last_leaf
        ]
        return Buffer(
            keep=keep,
            makes=any(writes and keep.covers(leaf.index) for leaf, _, writes in touches),
            in_step=in_step,
            leaves=keep.tensor in cascade.outputs or outside or carried,
            outer=above[-1] if above else None,
            is_home=not above and not external and not outside,
            beside=self.case.architecture.memory(keep.memory).per_pe_of,
            shared=frozenset(self.case.architecture.memory(keep.memory).shared_along),
            core=self.core if self.case.architecture.is_in_core(keep.memory) else -1,
        )

    def places(self, leaf: PlacedLeaf, tensor: str) -> list[Buffer]:
        """Buffers on the way to a leaf, outermost first."""
        return [self.buffer(k) for k in self.case.tree.keeps if k.tensor == tensor and k.covers(leaf.index)]

    # --- words ----------------------------------------------------------------------------------------------
    def count(self, tensor: str, memory: str, direction: str, words: float) -> None:
        if words:
            self.counts.words[tensor, memory, direction] += words  # type: ignore[assignment]

    def access(self, tensor: str, buffer: Buffer | None, direction: str, words: float) -> None:
        """Words that something further in reads or writes."""
        self.count(tensor, self.memory_of(buffer), direction, words)
        if buffer is not None:
            parent = self.case.architecture.memory(buffer.memory).parent
            behind = parent if buffer.is_home and parent else self.memory_of(buffer.outer)
            self.count(tensor, behind, direction, words * self.spilled.get(buffer.memory, 0.0))

    def memory_of(self, buffer: Buffer | None) -> str:
        return buffer.memory if buffer else self.case.architecture.root.name

    def resident(self, buffer: Buffer) -> float:
        return 1.0 - self.spilled.get(buffer.memory, 0.0)

    def held(self, buffer: Buffer, version: str) -> set[Pair]:
        return buffer.made | buffer.copied | buffer.fetched.setdefault(version, set())

    def fetch(self, buffer: Buffer | None, view: View, wanted: Wanted, array: str) -> None:
        """See to it that words are where the elements of an array, or a shared memory, need them. What another array
        brings beside elements goes to all of these that need it.
        """
        if buffer is None or buffer.is_home:
            return
        held = self.held(buffer, view.version)
        there = {element for _, element in held}
        missing: Wanted = {}
        for element, pes in wanted.items():
            if element not in there:
                key = (buffer.key, buffer.visit, view.version, element)
                needs = frozenset(self.needs.get(key, ()))
                missing[element] = needs | pes if buffer.beside in (array, None) else needs or pes
        if buffer.makes and not buffer.in_step and view.version == "old":
            missing = {e: pes for e, pes in missing.items() if view.step_of(e) > 0}
        if not missing:
            return
        if buffer.beside is not None and any(
            self.needs.get((buffer.key, buffer.visit, view.version, e)) for e in missing
        ):
            array = buffer.beside
        self.fetch(buffer.outer, view, missing, array)
        self.access(
            buffer.keep.tensor, buffer.outer, "read", self.moved(buffer.outer, missing, array) * self.resident(buffer)
        )
        self.count(buffer.keep.tensor, buffer.memory, "write", self.moved(buffer, missing, array))
        kept = buffer.fetched[view.version]
        for element, pes in missing.items():
            kept.update((buffer.at(pe, array), element) for pe in pes)

    def bring(self, leaf: PlacedLeaf, view: View, wanted: Wanted, stack: list[Extents]) -> None:
        """See to it that the operands of a step are where they are read."""
        places = self.places(leaf, view.access.tensor)
        self.fetch(places[-1] if places else None, view, wanted, leaf.array)

    def moved(self, buffer: Buffer | None, wanted: Wanted, array: str) -> int:
        """Words that a place handles: one in each memory that lies beside elements of the array, else each once."""
        if buffer is None:
            return len(wanted)
        return sum(len({buffer.at(pe, array) for pe in pes}) for pes in wanted.values())

    def first_of_round(
        self, buffer: Buffer | None, key: tuple[str, str], wanted: Wanted, turn: tuple[int, int] | None = None
    ) -> Wanted:
        """Of a tensor's sums (and a direction) that cores exchange with a memory that they share, those that no other
        core exchanges at the same time: what each does for the nth time in a round goes together. `turn`: the core and
        the round; those that run if not given.
        """
        core, round_ = turn or (self.core, self.round)
        if core < 0 or (buffer is not None and buffer.core >= 0):
            return wanted
        new: Wanted = {}
        for element, pes in wanted.items():
            times = self.left_cores.setdefault((*key, element, round_), Counter())
            most = max(times.values(), default=0)
            times[core] += 1
            if times[core] > most:
                new[element] = pes
        return new

    def edge(self, buffer: Buffer, direction: str) -> str:
        """Where sums go: out of cores, or from one memory that they share to another."""
        return direction if buffer.core >= 0 else f"{direction} behind {buffer.memory} in {buffer.keep.loops}"

    def one_each(self, buffer: Buffer | None, wanted: Wanted, leaf: PlacedLeaf) -> Wanted:
        """Of the elements that share a memory, the one in which a sum from there goes on."""
        found: Wanted = {}
        for element, pes in wanted.items():
            first: dict[Pe, Pe] = {}
            for pe in sorted(pes):
                first.setdefault(ANY if buffer is None else buffer.at(pe, leaf.array), pe)
            found[element] = frozenset(first.values())
        return found

    def bring_back(self, buffer: Buffer | None, view: View, wanted: Wanted, leaf: PlacedLeaf) -> Wanted:
        """Unfinished sums of a result that return into a place; from a shared memory each goes on in one element."""
        if buffer is None or buffer.is_home:
            return wanted
        there = {element for _, element in buffer.made}
        missing = {e: pes for e, pes in wanted.items() if e not in there}
        if missing:
            missing = self.bring_back(buffer.outer, view, self.one_each(buffer.outer, missing, leaf), leaf)
            missing = self.first_of_round(buffer.outer, (buffer.keep.tensor, self.edge(buffer, "read")), missing)
            outer = self.moved(buffer.outer, missing, leaf.array) * self.resident(buffer)
            self.access(buffer.keep.tensor, buffer.outer, "read", outer)
            self.count(buffer.keep.tensor, buffer.memory, "write", self.moved(buffer, missing, leaf.array))
            buffer.made.update((buffer.at(pe, leaf.array), e) for e, pes in missing.items() for pe in pes)
        return {
            e: frozenset(pe for pe in pes if (buffer.at(pe, leaf.array), e) in buffer.made) or pes
            for e, pes in wanted.items()
            if e in there or e in missing
        }

    def combine(self, buffer: Buffer, view: View, wanted: Wanted, leaf: PlacedLeaf) -> None:
        """Sums that lie apart beside an array become one result, which goes to every element that needs it.

        An initial value is there in one element, without a write.
        """
        for element, users in wanted.items():
            pes = {buffer.at(pe, leaf.array) for pe in users}
            holders = sorted(pe for pe, e in buffer.made if e == element)
            if view.version == "old" and view.step_of(element) == 0 and not holders and not buffer.in_step:
                holders = [min(pes)]
            if not holders:
                continue
            self.count(buffer.keep.tensor, buffer.memory, "read", len(holders) - 1)
            buffer.made -= {(pe, element) for pe in holders[1:]}
            if buffer.beside == leaf.array:
                known = self.needs.get((buffer.key, buffer.visit, view.version, element), set())
                needing = pes | {buffer.at(pe, leaf.array) for pe in known}
                new = {(pe, element) for pe in needing if pe != holders[0]} - buffer.copied
                there = holders[0] in needing or any(e == element for _, e in buffer.copied)
                self.count(buffer.keep.tensor, buffer.memory, "write", max(0, len(new) - (0 if there else 1)))
                buffer.copied |= new

    def drain(self, buffer: Buffer) -> None:
        if buffer.leaves and not buffer.is_home and buffer.made:
            leaving: Collection[Element] = {element for _, element in buffer.made}
            if buffer.core >= 0:
                self.core = buffer.core
            turn = (self.core, self.round) if buffer.core >= 0 else buffer.turn
            key = buffer.keep.tensor, self.edge(buffer, "write")
            leaving = self.first_of_round(buffer.outer, key, dict.fromkeys(leaving, frozenset([ANY])), turn)
            if buffer.core < 0:  # what cores made in it at the same time was there as one
                buffer.made = {pair for pair in buffer.made if pair[1] in leaving}
            self.count(buffer.keep.tensor, buffer.memory, "read", len(buffer.made))
            self.counts.drained_words[buffer.memory] += len(buffer.made)
            out = len(leaving)
            if buffer.outer is not None and buffer.outer.beside is not None and buffer.outer.beside == buffer.beside:
                writer = self.case.tree.leaf_of(buffer.keep.tensor)
                assert writer is not None
                out = len({(buffer.outer.at(pe, writer.array), e) for pe, e in buffer.made})
            self.access(buffer.keep.tensor, buffer.outer, "write", out * self.resident(buffer))
        buffer.made, buffer.copied, buffer.fetched = set(), set(), {}

    def enter(self, leaf: PlacedLeaf, access: Access, stack: list[Extents]) -> Buffer | None:
        """Bring every tile on the way to where the loops stand; the innermost place, None for the root."""
        places = self.places(leaf, access.tensor)
        for buffer in places:
            spans = self.view(access, shifted=False).elements(stack[len(buffer.keep.loops)])
            if not spans <= buffer.spans:
                self.drain(buffer)
                buffer.spans = spans
                buffer.visit += 1
                largest = self.counts.tile_words.get(buffer.keep.index, 0)
                self.counts.tile_words[buffer.keep.index] = max(largest, self.held_words(buffer, spans))
                self.counts.lives.setdefault(buffer.keep.index, []).append([self.now, self.now])
            self.counts.lives[buffer.keep.index][-1][1] = self.now
        return places[-1] if places else None

    @property
    def now(self) -> int:
        return len(self.counts.leaves) - 1

    def look_back(self, tensor: str, leaf: PlacedLeaf, old: Collection[Element]) -> None:
        """Old values that were made where they are now read have been there all the time."""
        for buffer in self.places(leaf, tensor):
            made = [self.made_at[buffer.keep.index, e] for e in old if (buffer.keep.index, e) in self.made_at]
            if buffer.is_home and made:
                self.counts.lives[buffer.keep.index].insert(0, [min(made), self.now])

    def held_words(self, buffer: Buffer, spans: frozenset[Element]) -> int:
        """Words of a tile, or of the element with the most of them; of a running value that nobody looks back on (as a
        first execution found), one for all steps.
        """
        if buffer.beside is not None:
            by_pe: dict[Pe, set[Element]] = {}
            for (index, visit, element), pes in self.has.items():
                if (index, visit) == (buffer.key, buffer.visit):
                    for pe in pes:
                        here = tuple(() if side in buffer.shared else p for side, p in zip(SIDES, pe, strict=True))
                        by_pe.setdefault(here, set()).add(element)
            return max((self.words_of(buffer, frozenset(elements)) for elements in by_pe.values()), default=0)
        return self.words_of(buffer, spans)

    def words_of(self, buffer: Buffer, spans: frozenset[Element]) -> int:
        tensor = buffer.keep.tensor
        if tensor not in dict(self.case.cascade.iterative) or tensor in self.known_look_backs:
            return len(spans)
        view = self.view(self.case.cascade.einsum(tensor).output, shifted=False)
        return len({view.without_step(e) for e in spans})

    # --- execution ------------------------------------------------------------------------------------------
    def execute(self) -> Counts:
        self.walk(list(self.case.tree.leaves), [self.space.whole()])
        for buffer in reversed(self.buffers.values()):
            self.drain(buffer)
        return self.counts

    def walk(self, leaves: list[PlacedLeaf], stack: list[Extents]) -> None:
        depth = len(stack) - 1
        if depth == self.case.dealt > 0 and self.case.cores > 1:
            self.round, self.core = divmod(self.counts.dealt, self.case.cores)
            self.counts.dealt += 1
        while leaves:
            first = leaves[0]
            if len(first.loops) == depth:
                self.step(first, stack)
                leaves = leaves[1:]
                continue
            loop = self.case.tree.loops[first.loops[depth]]
            together = 0
            while together < len(leaves) and leaves[together].loops[depth : depth + 1] == (loop.index,):
                together += 1
            rank = self.case.cascade.rank_of_variable(loop.variable)
            for extents in self.space.split(rank, self.case.tiles[loop.index], stack[-1]):
                self.walk(leaves[:together], [*stack, extents])
            leaves = leaves[together:]

    def happens(self, leaf: PlacedLeaf, stack: list[Extents]) -> bool:
        """Whether a step is taken at all."""
        return True

    def step(self, leaf: PlacedLeaf, stack: list[Extents]) -> None:
        if not self.happens(leaf, stack):
            return
        cascade = self.case.cascade
        einsum = cascade.einsum(leaf.einsum)
        own = tuple(cascade.rank_of_variable(v) for v in cascade.variables_of(leaf.einsum))
        points = self.space.count(own, stack[-1])
        self.counts.steps[leaf.einsum] += 1
        self.counts.leaves.append(leaf.index)
        self.counts.points[leaf.einsum] += points
        self.note_run(leaf, einsum, stack)
        registers = self.case.architecture.array(leaf.array).registers
        for load in einsum.reads:
            if load.tensor not in leaf.bypass:
                self.count(load.tensor, registers, "read", points)
            self.read(leaf, load, stack)
        if leaf.einsum not in leaf.bypass:
            self.count(leaf.einsum, registers, "write", points)
        self.write(leaf, einsum.output, stack)
        for access in (*einsum.reads, einsum.output):
            self.note_step(access, own, stack[-1])

    def note_run(self, leaf: PlacedLeaf, einsum: Einsum, stack: list[Extents]) -> None:
        """Sums of elements along rows or columns are added up over the elements once its own loops have gone over them,
        in a slot more. Where the first term is only moved to its place, the next run begins in that slot.
        """
        depth = len(leaf.loops)
        while depth > leaf.shared and self.case.tree.loops[leaf.loops[depth - 1]].variable in einsum.reduced_variables:
            depth -= 1
        if depth == len(leaf.loops) or isinstance(einsum.expr, Load):
            return
        if self.running.get(leaf.index) is not stack[depth]:
            self.running[leaf.index] = stack[depth]
            self.counts.runs[einsum.name] += 1
        linked = {side.variable for side in leaf.spatial if side.side != "lanes"} & set(einsum.reduced_variables)
        if self.space.count(tuple(map(self.case.cascade.rank_of_variable, linked)), stack[-1]) > 1:
            self.counts.chained.add(einsum.name)

    def note_step(self, access: Access, own: tuple[str, ...], extents: Extents) -> None:
        view = self.view(access, shifted=False)
        if view.iterative is None or view.iterative not in own:
            return
        for element in view.elements(extents):
            key, step = (access.tensor, view.without_step(element)), view.step_of(element)
            if step < self.newest.get(key, step):
                self.looked_back.add(access.tensor)
            self.newest[key] = max(step, self.newest.get(key, step))

    def wanted(self, leaf: PlacedLeaf, view: View, extents: Extents) -> Wanted:
        """Which elements of the array need which words in a step: an element has one coordinate of each side's rank."""
        cascade = self.case.cascade
        sides = [(v, cascade.rank_of_variable(v)) for v in dict.fromkeys(side.variable for side in leaf.spatial)]
        lists = [self.space.coordinates(cascade.root_of(rank), (rank,), extents) for _, rank in sides]
        roots = {
            cascade.root_of(rank): tuple(r for _, r in sides if cascade.root_of(r) == cascade.root_of(rank))
            for _, rank in sides
        }
        exist = {root: set(self.space.coordinates(root, ranks, extents)) for root, ranks in roots.items()}
        found: dict[Element, set[Pe]] = {}
        for places in product(*(range(len(numbers)) for numbers in lists)):
            fixed = {rank: lists[n][place][0] for n, ((_, rank), place) in enumerate(zip(sides, places, strict=True))}
            if any(tuple(fixed[rank] for rank in ranks) not in exist[root] for root, ranks in roots.items()):
                continue
            pe = self.element_of(leaf, {variable: place for (variable, _), place in zip(sides, places, strict=True)})
            for element in view.elements(extents):
                if view.matches(element, fixed):
                    found.setdefault(element, set()).add(pe)
        return {element: frozenset(pes) for element, pes in found.items()}

    def element_of(self, leaf: PlacedLeaf, places: dict[str, int]) -> Pe:
        """The element that has these coordinates, counted from the first of the step: the last rank of a side changes
        fastest, and of a rank on several sides the last of those; zeros in front of a place change nothing.
        """
        left = dict(places)
        along: dict[str, list[int]] = {side: [] for side in SIDES}
        for side in reversed(leaf.spatial):
            count = self.case.side_counts[side.count] if side.count else left[side.variable] + 1
            along[side.side].insert(0, left[side.variable] % count)
            left[side.variable] //= count
        for place in along.values():
            while place and place[0] == 0:
                place.pop(0)
        return tuple(tuple(along[side]) for side in SIDES)

    def read(self, leaf: PlacedLeaf, load: Access, stack: list[Extents]) -> None:
        view = self.view(load)
        wanted = self.wanted(leaf, view, stack[-1])
        self.check_made(leaf, view, frozenset(wanted))
        if load.tensor in leaf.forwarded:
            return
        place = self.enter(leaf, load, stack)
        if view.version == "old":
            self.look_back(load.tensor, leaf, wanted)
        self.note(leaf, load, stack[-1], wanted)
        registers = self.case.architecture.array(leaf.array).registers
        pairs = frozenset((pe, e) for e, pes in wanted.items() for pe in pes)
        held = self.registers.get((leaf.index, self.core, load), frozenset())
        self.bring(leaf, view, wanted, stack)
        for buffer in self.places(leaf, load.tensor):
            if buffer.makes and buffer.beside is not None:
                self.combine(buffer, view, wanted, leaf)
        if load.tensor in leaf.bypass:
            self.access(load.tensor, place, "read", self.moved(place, wanted, leaf.array))
        elif self.memory_of(place) != registers and not self.is_held(pairs, held):
            self.registers[leaf.index, self.core, load] = pairs
            self.access(load.tensor, place, "read", self.moved(place, wanted, leaf.array))
            self.count(load.tensor, registers, "write", len(pairs))

    def note(self, leaf: PlacedLeaf, access: Access, extents: Extents, reading: Wanted) -> None:
        """Which elements of the array have, and read, words of the tiles beside them."""
        local = [b for b in self.places(leaf, access.tensor) if b.beside == leaf.array]
        if not local or not self.is_first:
            return
        having = self.wanted(leaf, self.view(access, shifted=False), extents)
        for buffer in local:
            key, version = (buffer.key, buffer.visit), self.view(access).version
            for element, pes in reading.items():
                self.needs.setdefault((*key, version, element), set()).update(pes)
            for element, pes in having.items():
                self.has.setdefault((*key, element), set()).update(pes)

    def check_made(self, leaf: PlacedLeaf, view: View, needed: frozenset[Element]) -> None:
        tensor = view.access.tensor
        if tensor not in self.made_inside:
            return
        for element in needed - self.written[tensor]:
            if view.iterative is None or view.step_of(element) > 0:
                raise WrongOrderError(f"{leaf.einsum} reads {tensor}{element}, which is not made yet")
        self.seen[tensor] |= needed

    def write(self, leaf: PlacedLeaf, output: Access, stack: list[Extents]) -> None:
        tensor, view = output.tensor, self.view(output)
        wanted = self.wanted(leaf, view, stack[-1])
        needed = frozenset(wanted)
        if needed & self.seen[tensor]:
            raise WrongOrderError(f"{leaf.einsum} adds to {min(needed & self.seen[tensor])} after it was read")
        place = self.enter(leaf, output, stack)
        self.note(leaf, output, stack[-1], {})
        registers = self.case.architecture.array(leaf.array).registers
        self.resume(leaf, view, stack)
        old = {e: pes for e, pes in wanted.items() if self.is_begun(leaf, tensor, e) and self.is_elsewhere(tensor, e)}
        if tensor in leaf.bypass:
            self.bring_back(place, view, old, leaf)
            self.access(tensor, place, "write", self.moved(place, wanted, leaf.array))
            self.access(tensor, place, "read", self.moved(place, old, leaf.array))
        elif self.memory_of(place) == registers:
            self.bring_back(place, view, old, leaf)
            assert place is not None
            self.add_up(leaf, tensor, wanted, place.made)
        else:
            self.write_through(leaf, output, wanted, old, place)
        self.written[tensor] |= needed
        for element in needed:
            self.written_since.setdefault((tensor, element), self.round)
            self.written_by.add((tensor, element, self.core))
        for buffer in self.places(leaf, tensor):
            self.made_at.update(((buffer.keep.index, element), self.now) for element in wanted)
            buffer.made |= {(buffer.at(pe, leaf.array), e) for e, pes in wanted.items() for pe in pes}
            buffer.turn = self.core, self.round

    def resume(self, leaf: PlacedLeaf, view: View, stack: list[Extents]) -> None:
        """See to it that unfinished sums of a tile are where they go on, if tiles come as a whole."""

    def is_begun(self, leaf: PlacedLeaf, tensor: str, element: Element) -> bool:
        """Whether the registers of a leaf's array have given away a sum before."""
        return element in self.written[tensor]

    def is_elsewhere(self, tensor: str, element: Element) -> bool:
        """Whether a sum can come back: of one that other cores began in the same round there is nothing yet."""
        earlier = self.written_since.setdefault((tensor, element), self.round) < self.round
        return earlier or self.core < 0 or (tensor, element, self.core) in self.written_by

    def is_held(self, pairs: frozenset[Pair], held: frozenset[Pair]) -> bool:
        """Whether the registers have what a step needs."""
        return pairs <= held

    def add_up(self, leaf: PlacedLeaf, tensor: str, wanted: Wanted, held: Collection[Pair]) -> None:
        """A term is added to the sum that its element has; an element without one begins with its term."""
        if self.case.cascade.einsum(leaf.einsum).reduction is not None:
            registers = self.case.architecture.array(leaf.array).registers
            again = sum((pe, e) in held for e, pes in wanted.items() for pe in pes)
            self.count(tensor, registers, "read", again)

    def write_through(
        self, leaf: PlacedLeaf, output: Access, wanted: Wanted, old: Wanted, place: Buffer | None
    ) -> None:
        """Results that no tile of the registers keeps stay there as long as steps go on with them."""
        registers = self.case.architecture.array(leaf.array).registers
        pairs = frozenset((pe, e) for e, pes in wanted.items() for pe in pes)
        held = self.registers.get((leaf.index, self.core, output), frozenset())
        if not self.is_held(pairs, held):
            back = self.bring_back(place, self.view(output), self.one_each(place, old, leaf), leaf)
            back = self.first_of_round(place, (output.tensor, "read"), self.one_each(place, back, leaf))
            self.registers[leaf.index, self.core, output] = pairs
            held = frozenset((pe, e) for e, pes in back.items() for pe in pes)
            self.count(output.tensor, registers, "read", len(pairs))
            self.counts.drained_words[registers] += len(pairs)
            new = self.first_of_round(place, (output.tensor, "write"), wanted)
            self.access(output.tensor, place, "write", self.moved(place, new, leaf.array))
            self.access(output.tensor, place, "read", self.moved(place, back, leaf.array))
            self.count(output.tensor, registers, "write", len(held))
        self.add_up(leaf, output.tensor, wanted, held)


def run_loops(case: Case, kind: type[Run] = Run) -> tuple[Counts, dict[str, float]]:
    """Counts of an execution of some kind, and the words each memory must hold at once (which a first execution of all
    steps finds out).
    """
    trial = Run(case, {}, None)
    trial.execute()
    known = Known(frozenset(trial.looked_back), trial.needs, trial.has)
    counts = Run(case, {}, known).execute()
    footprint = footprint_words(case, counts)
    spilled = spilled_parts(case, footprint)
    if any(spilled.values()) or kind is not Run:
        counts = kind(case, spilled, known).execute()
    return counts, footprint


def spilled_parts(case: Case, footprint: dict[str, float]) -> dict[str, float]:
    """The part of its tiles that each spilled memory cannot hold."""
    parts = {}
    for memory in case.architecture.memories:
        if case.mapping.policy_of(memory.name) == "spill" and memory.size_bits is not None:
            capacity = memory.size_bits / case.architecture.word_bits
            parts[memory.name] = max(0.0, 1.0 - capacity / max(footprint[memory.name], 1e-9))
    return parts


def footprint_words(case: Case, counts: Counts) -> dict[str, float]:
    """The largest sum of tiles over the moments of the schedule."""
    phases = phase_of_leaf(case)
    schedule = case.mapping.schedule
    alive = {keep.index: leaves_alive(counts, keep) for keep in case.tree.keeps}
    held: dict[str, list[float]] = {}
    for moment in sorted(set(phases)):
        groups: dict[tuple[str, int], float] = {}
        for keep in case.tree.keeps:
            inside = [phases[leaf.index] for leaf in case.tree.leaves if keep.covers(leaf.index)]
            there = alive[keep.index] if schedule.kind == "sequential" else range(min(inside), max(inside) + 1)
            if moment not in there and (schedule.kind == "sequential" or schedule.transfers == "per-phase"):
                continue
            words = counts.tile_words.get(keep.index, 0) * keep.copies
            group = keep.share_group if keep.share_group >= 0 else -1 - keep.index
            groups[keep.memory, group] = max(words, groups.get((keep.memory, group), 0))
        for memory in case.architecture.memories:
            sizes = [size for (name, _), size in groups.items() if name == memory.name]
            held.setdefault(memory.name, []).append(sum(sizes))
    return {name: max(moments) + case.reserved_words.get(name, 0.0) for name, moments in held.items()}


def leaves_alive(counts: Counts, keep: PlacedKeep) -> set[int]:
    """The leaves that ran while a tile took room; of one with several copies all that it is kept for."""
    lives = counts.lives.get(keep.index, [])
    if lives and keep.copies > 1:
        return set(range(keep.first_leaf, keep.last_leaf + 1))
    changes = [0] * (len(counts.leaves) + 1)
    for first, last in lives:
        changes[first] += 1
        changes[last + 1] -= 1
    return {leaf for leaf, depth in zip(counts.leaves, accumulate(changes), strict=False) if depth}


def phase_of_leaf(case: Case) -> list[int]:
    schedule = case.mapping.schedule
    if schedule.kind == "sequential":
        return [leaf.index for leaf in case.tree.leaves]
    if schedule.kind == "pipelined":
        return [0 for _ in case.tree.leaves]
    return [
        next(i for i, p in enumerate(schedule.phases) if any(leaf.einsum in lane.einsums for lane in p.lanes))
        for leaf in case.tree.leaves
    ]
