"""A mapped cascade executed loop by loop with one-entry buffers: the slow twin of the analytical engine.

Nothing here is a formula over loop counts. The loops run; every tensor element is a tuple of coordinates; every kept tile
and every operand in an array's registers is a set of such tuples. Words are counted when an element has to move:

- A buffer is replaced when what it should hold is not all in it. An element that is not there is fetched from the next
  place outward on its first use; what was made under a tile is there without a fetch.
- A tile is drained when it is replaced, and at the end, if its tensor is an output, is touched outside the tile, or is a
  running value of which the next step is made in another tile.
- A result that arrives again after it was partly written comes back first; its first arrival brings nothing.
- Registers hold the spatial tile of a step: unique words leave the place outside, one copy reaches each element of the array.
- A running value has one element for each step, and its initial value is there in any tile of its Einsum that is not inside
  the loop over the steps.
- Of a spilled memory, the part that does not fit is accessed in the next place outward (the parent, if the tensor lives in
  the spilled memory), and is not filled or drained.

Counted for each Einsum alone, as Timeloop does (Parashar et al., ISPASS 2019). Reading a value before it is made, or changing
it after it was read, is an error of the mapping and stops the run.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

from arch.types import Architecture
from einsums.types import Access, Cascade
from mappings.tree import PlacedKeep, PlacedLeaf, ResolvedTree
from mappings.types import Mapping
from tests.oracle_space import Element, Extents, Space, View

NONE: frozenset[Element] = frozenset()


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


@dataclass
class Buffer:
    """A kept tile: which steps' coordinates it spans, and the elements in it."""

    keep: PlacedKeep
    makes: bool  # the Einsum that writes the tensor is inside
    in_step: bool  # inside the loop over the tensor's iterative rank
    leaves: bool  # what is made in it is needed outside
    outer: "Buffer | None"  # None: the root, or nothing
    is_home: bool
    spans: frozenset[Element] = NONE
    made: set[Element] = field(default_factory=set)
    fetched: dict[str, set[Element]] = field(default_factory=dict)

    @property
    def memory(self) -> str:
        return self.keep.memory


@dataclass
class Counts:
    """What a run adds up to. Words of the spilled part are fractions."""

    words: Counter[tuple[str, str, str]] = field(default_factory=Counter)  # (tensor, memory, read | write)
    drained_words: Counter[str] = field(default_factory=Counter)  # of the reads: of finished tiles, by memory
    steps: Counter[str] = field(default_factory=Counter)
    points: Counter[str] = field(default_factory=Counter)
    tile_words: dict[int, int] = field(default_factory=dict)  # largest tile of each keep


class Run:
    """One execution. `spilled`: the part of each memory's tiles that does not fit; `looked_back`: see `held_words`."""

    def __init__(self, case: Case, spilled: dict[str, float], looked_back: frozenset[str]) -> None:
        self.case, self.spilled, self.known_look_backs = case, spilled, looked_back
        self.space = Space(case.cascade, case.sizes)
        self.counts = Counts()
        self.registers: dict[tuple[int, Access], frozenset[Element]] = {}
        self.written: dict[str, set[Element]] = {tensor.name: set() for tensor in case.cascade.tensors}
        self.seen: dict[str, set[Element]] = {tensor.name: set() for tensor in case.cascade.tensors}
        self.views: dict[tuple[Access, bool], View] = {}
        self.newest: dict[tuple[str, Element], int] = {}  # the latest step of a running value that anything touched
        self.looked_back: set[str] = set()  # running values of which an earlier step was touched after a later one
        self.made_inside = {einsum.name for einsum in case.cascade.einsums}
        self.buffers: dict[int, Buffer] = {}
        for keep in case.tree.keeps:
            self.buffers[keep.index] = self.make_buffer(keep)

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
            found += [(leaf, load, False) for load in einsum.loads if load.tensor == tensor]
            found += [(leaf, einsum.output, True)] if einsum.output.tensor == tensor else []
        return found

    def make_buffer(self, keep: PlacedKeep) -> Buffer:
        cascade, tree = self.case.cascade, self.case.tree
        touches = self.touches(keep.tensor)
        outside = any(not keep.covers(leaf.index) for leaf, _, _ in touches)
        external = keep.tensor not in self.made_inside or keep.tensor in cascade.outputs
        iterative = dict(cascade.iterative).get(keep.tensor, "").lower()
        in_step = any(tree.loops[loop].variable == iterative for loop in keep.loops)
        carried = in_step and any(not writes and self.view(a).version == "old" for _, a, writes in touches)
        above = [
            self.buffers[other.index]
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
        )

    def places(self, leaf: PlacedLeaf, tensor: str) -> list[Buffer]:
        """Buffers on the way to a leaf, outermost first."""
        return [self.buffers[k.index] for k in self.case.tree.keeps if k.tensor == tensor and k.covers(leaf.index)]

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

    def fetch(self, buffer: Buffer | None, view: View, wanted: frozenset[Element], partial: bool = False) -> None:
        """See to it that the elements are in the buffer."""
        if buffer is None or buffer.is_home:
            return
        fetched = buffer.fetched.setdefault(view.version, set())
        missing = frozenset(e for e in wanted if e not in buffer.made and e not in fetched)
        if buffer.makes and not buffer.in_step and view.version == "old":
            missing = frozenset(e for e in missing if view.step_of(e) > 0)
        if not missing:
            return
        self.fetch(buffer.outer, view, missing, partial)
        self.access(buffer.keep.tensor, buffer.outer, "read", len(missing) * self.resident(buffer))
        self.count(buffer.keep.tensor, buffer.memory, "write", len(missing))
        (buffer.made if partial else fetched).update(missing)

    def drain(self, buffer: Buffer) -> None:
        if buffer.leaves and not buffer.is_home and buffer.made:
            words = len(buffer.made)
            self.count(buffer.keep.tensor, buffer.memory, "read", words)
            self.counts.drained_words[buffer.memory] += words
            self.access(buffer.keep.tensor, buffer.outer, "write", words * self.resident(buffer))
        buffer.made, buffer.fetched = set(), {}

    def enter(self, leaf: PlacedLeaf, access: Access, stack: list[Extents]) -> Buffer | None:
        """Bring every tile on the way to where the loops stand; the innermost place, None for the root."""
        places = self.places(leaf, access.tensor)
        for buffer in places:
            spans = self.view(access, shifted=False).elements(stack[len(buffer.keep.loops)])
            if not spans <= buffer.spans:
                self.drain(buffer)
                buffer.spans = spans
                largest = self.counts.tile_words.get(buffer.keep.index, 0)
                self.counts.tile_words[buffer.keep.index] = max(largest, self.held_words(buffer, spans))
        return places[-1] if places else None

    def held_words(self, buffer: Buffer, spans: frozenset[Element]) -> int:
        """Words of a tile; of a running value that nobody looks back on (as an earlier run found), one for all steps."""
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

    def step(self, leaf: PlacedLeaf, stack: list[Extents]) -> None:
        cascade = self.case.cascade
        einsum = cascade.einsum(leaf.einsum)
        own = tuple(cascade.rank_of_variable(v) for v in cascade.variables_of(leaf.einsum))
        points = self.space.count(own, stack[-1])
        self.counts.steps[leaf.einsum] += 1
        self.counts.points[leaf.einsum] += points
        registers = self.case.architecture.array(leaf.array).registers
        for load in einsum.loads:
            self.count(load.tensor, registers, "read", points)
            self.read(leaf, load, stack)
        self.count(leaf.einsum, registers, "write", points)
        self.write(leaf, einsum.output, points, stack)
        for access in (*einsum.loads, einsum.output):
            self.note_step(access, own, stack[-1])

    def note_step(self, access: Access, own: tuple[str, ...], extents: Extents) -> None:
        view = self.view(access, shifted=False)
        if view.iterative is None or view.iterative not in own:
            return
        for element in view.elements(extents):
            key, step = (access.tensor, view.without_step(element)), view.step_of(element)
            if step < self.newest.get(key, step):
                self.looked_back.add(access.tensor)
            self.newest[key] = max(step, self.newest.get(key, step))

    def copies(self, leaf: PlacedLeaf, tensor: str, extents: Extents) -> int:
        """One for every element of the array that needs the word."""
        cascade = self.case.cascade
        sides = tuple(cascade.rank_of_variable(loop.variable) for loop in leaf.spatial)
        groups: dict[str, None] = {}
        for _, ranks in self.space.by_root(cascade.ranks_of(tensor)):
            groups.update(dict.fromkeys(ranks))
        walked = {cascade.rank_of_variable(v) for v in cascade.variables_of(leaf.einsum)}
        moving = tuple(rank for rank in (*groups, *sides) if rank in walked)
        return self.space.count(tuple(dict.fromkeys(moving)), extents)

    def read(self, leaf: PlacedLeaf, load: Access, stack: list[Extents]) -> None:
        view = self.view(load)
        needed = view.elements(stack[-1])
        self.check_made(leaf, view, needed)
        if load.tensor in leaf.forwarded:
            return
        place = self.enter(leaf, load, stack)
        registers = self.case.architecture.array(leaf.array).registers
        memory = self.memory_of(place)
        held = self.registers.get((leaf.index, load), NONE)
        self.fetch(place, view, needed)
        if memory == registers or needed <= held:
            return
        self.registers[leaf.index, load] = needed
        self.access(load.tensor, place, "read", len(needed))
        self.count(load.tensor, registers, "write", self.copies(leaf, load.tensor, stack[-1]))

    def check_made(self, leaf: PlacedLeaf, view: View, needed: frozenset[Element]) -> None:
        tensor = view.access.tensor
        if tensor not in self.made_inside:
            return
        for element in needed - self.written[tensor]:
            if view.iterative is None or view.step_of(element) > 0:
                raise WrongOrderError(f"{leaf.einsum} reads {tensor}{element}, which is not made yet")
        self.seen[tensor] |= needed

    def write(self, leaf: PlacedLeaf, output: Access, points: int, stack: list[Extents]) -> None:
        tensor = output.tensor
        needed = self.view(output).elements(stack[-1])
        if needed & self.seen[tensor]:
            raise WrongOrderError(f"{leaf.einsum} adds to {min(needed & self.seen[tensor])} after it was read")
        place = self.enter(leaf, output, stack)
        registers = self.case.architecture.array(leaf.array).registers
        memory = self.memory_of(place)
        stays = needed <= self.registers.get((leaf.index, output), NONE)
        returning = NONE if stays else needed & self.written[tensor]
        self.fetch(place, self.view(output), returning, partial=True)
        if not stays:
            self.registers[leaf.index, output] = needed
            if memory != registers:
                self.access(tensor, place, "write", len(needed))
                self.access(tensor, place, "read", len(returning))
        if self.case.cascade.einsum(leaf.einsum).reduction is not None:
            again = needed if stays else (returning if memory == registers else NONE)
            assert len(again) in (0, len(needed)), "the results of a step are all new or all old"
            self.count(tensor, registers, "read", points if again else 0)  # read to be added to
        self.written[tensor] |= needed
        for buffer in self.places(leaf, tensor):
            buffer.made |= needed


def run_loops(case: Case) -> tuple[Counts, dict[str, float]]:
    """Counts of an execution, and the words each memory must hold at once (which a first execution finds out)."""
    trial = Run(case, {}, frozenset())
    trial.execute()
    looked_back = frozenset(trial.looked_back)
    counts = Run(case, {}, looked_back).execute() if looked_back else trial.counts
    footprint = footprint_words(case, counts)
    spilled = spilled_parts(case, footprint)
    if any(spilled.values()):
        counts = Run(case, spilled, looked_back).execute()
    return counts, footprint


def spilled_parts(case: Case, footprint: dict[str, float]) -> dict[str, float]:
    """The part of its tiles that each spilled memory cannot hold."""
    parts = {}
    for memory in case.architecture.memories:
        if case.mapping.policy_of(memory.name) == "spill" and memory.size_bits is not None:
            capacity = memory.size_bits * case.architecture.instances(memory) / case.architecture.word_bits
            parts[memory.name] = max(0.0, 1.0 - capacity / max(footprint[memory.name], 1e-9))
    return parts


def footprint_words(case: Case, counts: Counts) -> dict[str, float]:
    """The largest sum of tiles over the moments of the schedule."""
    phases = phase_of_leaf(case)
    schedule = case.mapping.schedule
    apart = schedule.transfers == "per-phase" or schedule.kind == "sequential"
    held: dict[str, list[float]] = {}
    for moment in sorted(set(phases)):
        groups: dict[tuple[str, int], float] = {}
        for keep in case.tree.keeps:
            inside = [phases[leaf.index] for leaf in case.tree.leaves if keep.covers(leaf.index)]
            if apart and not min(inside) <= moment <= max(inside):
                continue
            words = counts.tile_words.get(keep.index, 0) * keep.copies
            group = keep.share_group if keep.share_group >= 0 else -1 - keep.index
            groups[keep.memory, group] = max(words, groups.get((keep.memory, group), 0))
        for memory in case.architecture.memories:
            sizes = [size for (name, _), size in groups.items() if name == memory.name]
            held.setdefault(memory.name, []).append(sum(sizes))
    return {name: max(moments) + case.reserved_words.get(name, 0.0) for name, moments in held.items()}


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
