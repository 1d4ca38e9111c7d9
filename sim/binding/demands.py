"""What each Einsum asks of the machine for one tile: issue slots, links of its array, row accesses of memories.

Operands of one side of an array ride along its links, one word a slot, as does a reduction along a side; what differs
in every element must be shifted through the columns as a *train* of a slot for each row, which is a task of its own
because it can run beside other work. The rules are those of lowering (`sim.lower.demands`), as in the cycle engine.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from math import ceil, isfinite, prod
from typing import NamedTuple

from arch.types import Array
from einsums.nodes import Load
from einsums.types import Cascade
from mappings.tree import PlacedLeaf
from sim.binding.nest import Pipeline, UnscheduledDesign
from sim.binding.types import COMPUTE, LOAD, UNLOAD, WAIT, Resource, Task, Use
from sim.engine.columns import FlowColumn
from sim.engine.ports import of_a_slot, served_cycles
from sim.lower.demands import LinkDemands, Way, chain_slots, served_by, tensors_of, ways_of, words_per_element
from sim.lower.register_tiles import Rides
from sim.lower.walk import Extents

COLUMN_LINKS, ROW_LINKS, SHADOW = "links down the columns", "links along the rows", "shadow registers"


@dataclass
class TaskDemands:
    """The tasks of a group and what they use, collected leaf by leaf."""

    design: UnscheduledDesign
    group: Pipeline
    resources: list[Resource] = field(default_factory=list)
    tasks: list[Task] = field(default_factory=list)
    compute: dict[int, int] = field(default_factory=dict)  # leaf -> task
    loads: dict[tuple[int, str], int] = field(default_factory=dict)  # leaf, tensor -> task
    unloads: dict[int, int] = field(default_factory=dict)  # leaf -> task
    pieces: dict[int, int] = field(default_factory=dict)  # train -> tiles it moves in an iteration

    def collect(self) -> "TaskDemands":
        machine = self.design.experiment.architecture
        self.resources += [Resource(array.name, 1) for array in machine.arrays]
        for array in machine.arrays:
            if array.rows > 1 and array.is_linked:
                self.resources.append(Resource(f"{array.name} {COLUMN_LINKS}", array.wiring.down))
            if array.columns > 1 and array.is_linked:
                self.resources.append(Resource(f"{array.name} {ROW_LINKS}", array.wiring.along))
            if array.wiring.shadow:
                self.resources.append(Resource(f"{array.name} {SHADOW}", 1))
        for name in self.design.machine.ported:
            self.resources.append(Resource(f"{name} ports", self.design.machine.ports(name)))
        streamed: dict[str, float] = {}
        for leaf in self.group.leaves:
            self._add_leaf(leaf, streamed)
        self._add_transfers(streamed)
        return self

    @property
    def cascade(self) -> Cascade:
        return self.design.chains.cascade

    def path(self, leaf: PlacedLeaf) -> tuple[int, ...]:
        return self.group.nests[self.group.nest_of(leaf)].path

    def inner(self, leaf: PlacedLeaf) -> tuple[int, ...]:
        """The loops of a leaf inside one iteration."""
        return leaf.loops[len(self.path(leaf)) :]

    def array(self, leaf: PlacedLeaf) -> Array:
        return self.design.experiment.architecture.array(leaf.array)

    def resource(self, name: str) -> int | None:
        return next((i for i, resource in enumerate(self.resources) if resource.name == name), None)

    def iterations(self) -> int:
        """Tiles of the whole run of one nest of the group, full or not."""
        return self.design.walk.iterations(self.design.walk.whole, self.group.nests[0].path)

    # One Einsum

    def _add_leaf(self, leaf: PlacedLeaf, streamed: dict[str, float]) -> None:
        extents, inner = self.design.inside(self.path(leaf)), self.inner(leaf)
        array, slots = self.array(leaf), self.design.walk.iterations(extents, inner)
        links, rows, trains = self._links(leaf), dict[str, int](), []
        ways = [way for way in self._ways(leaf) if way.passes or not self._stays(leaf, way)]
        for way in (way for way in ways if not way.by_itself):
            around = tuple(loop for loop in way.loops if loop in inner)
            fetches, words = self.design.walk.fetched(extents, around, way.moving, way.parts)
            streamed[way.memory] = streamed.get(way.memory, 0.0) + words
            if links.is_train(way):
                trains.append((way, fetches, words))
                continue
            accesses = self._accesses(way, fetches, words)
            if accesses:
                rows[way.memory] = rows.get(way.memory, 0) + of_a_slot(accesses, slots)
        self._add_compute(leaf, slots, links.rides(ways), rows)
        self._add_chains(leaf, extents, inner)
        for way, fetches, words in trains:
            self._add_train(leaf, way, fetches, words)
        self._add_register_trains(leaf)
        folds = [self.pieces[n] for n, task in enumerate(self.tasks) if task.einsum == leaf.einsum and n in self.pieces]
        if folds and not array.wiring.overlap:
            # The next fold waits until the last one has left: nothing else is issued meanwhile.
            skew = array.rows + self._used(leaf, links.sides.columns) - 2
            self._add_waiting(leaf, f"{leaf.einsum} leaving", max(folds) * skew)

    def _ways(self, leaf: PlacedLeaf) -> list[Way]:
        return ways_of(self.design.chains, self.design.walk, leaf, {})

    def _links(self, leaf: PlacedLeaf) -> LinkDemands:
        reduced = self.cascade.einsum(leaf.einsum).reduced_variables
        return LinkDemands.of(self.design.chains.space, leaf, self.array(leaf), reduced)

    def _stays(self, leaf: PlacedLeaf, way: Way) -> bool:
        """Whether an iteration mostly finds a tile of the registers in place: the innermost loop of the nest that has
        several iterations, and all inside it, leave it there.
        """
        walk, loops = self.design.walk, leaf.loops
        tiles = walk.full_chain(walk.whole, loops)
        several = [n for n, loop in enumerate(loops) if walk.trips(tiles[n], loop) > 1]
        bring = [n for n in several if loops[n] in way.loops and walk.loops[loops[n]].part in way.parts]
        innermost = max((n for n in several if n < len(self.path(leaf))), default=-1)
        return max(bring, default=-1) < innermost

    def _used(self, leaf: PlacedLeaf, parts: frozenset[int]) -> int:
        """Rows, or columns, of the array that a tile takes: what it has of the parts on that side."""
        return self.design.walk.words(self.design.inside(leaf.loops), parts)

    def _add_chains(self, leaf: PlacedLeaf, extents: Extents, inner: tuple[int, ...]) -> None:
        """Slots in which words that every element has folded for itself are reduced over the elements."""
        einsum, walk = self.cascade.einsum(leaf.einsum), self.design.walk
        chains = chain_slots(walk, leaf, frozenset(einsum.reduced_variables), inner, extents)
        if chains and not isinstance(einsum.expr, Load):
            self._add_waiting(leaf, f"{leaf.einsum} over the elements", chains)

    def _add_waiting(self, leaf: PlacedLeaf, name: str, slots: int) -> None:
        """Cycles of an array in which it issues nothing else."""
        if slots:
            self.tasks.append(
                Task(name, leaf.einsum, leaf.array, WAIT, slots, 1, 0, (Use(self._known(leaf.array), 1, 1),))
            )

    def _trains_run_beside(self, leaf: PlacedLeaf) -> bool:
        """Whether trains of an Einsum run beside its slots; with nothing known of an array's links, they do."""
        return self.array(leaf).links is None or self._links(leaf).run_beside(self._ways(leaf))

    def _accesses(self, way: Way, fetches: int, words: int) -> Fraction:
        """Rows read or written, 0 where no port is counted."""
        read, written = (0, words) if way.writes else (words, 0)
        asked = self.design.machine.asked_of(way.memory, fetches, Fraction(read), Fraction(written))
        return asked.get(way.memory, Fraction(0))

    def _add_compute(self, leaf: PlacedLeaf, slots: int, rides: Rides, rows: dict[str, int]) -> None:
        array = self.array(leaf)
        index = next(i for i, placed in enumerate(self.design.chains.tree.leaves) if placed == leaf)
        cycles = ceil(float(self.design.tables.machine.cycles_per_point[0, index]))
        links = {COLUMN_LINKS: rides.down, ROW_LINKS: rides.along}
        held = [self._link_use(f"{leaf.array} {side}", words) for side, words in links.items() if words]
        held += [self._port_use(memory, accesses) for memory, accesses in rows.items()]
        uses = self._uses(held)
        cycles = max([cycles, *(use.cycles for use in uses)])
        own = Use(self._known(leaf.array), 1, cycles)
        drained = self._links(leaf).reduces_a_side and array.drain is not None
        latency = int(array.drain_cycles) if drained else 0
        self.compute[leaf.index] = len(self.tasks)
        self.tasks.append(Task(leaf.einsum, leaf.einsum, leaf.array, COMPUTE, slots, cycles, latency, (own, *uses)))

    def _known(self, name: str) -> int:
        found = self.resource(name)
        assert found is not None, name
        return found

    def _port_use(self, memory: str, accesses: int) -> tuple[str, int, int]:
        """So many rows at once, or over so many cycles where the ports are fewer."""
        ports = self.resources[self._known(f"{memory} ports")].capacity
        return f"{memory} ports", min(accesses, ports), int(served_cycles(1, Fraction(accesses), ports))

    def _link_use(self, name: str, words: int) -> tuple[str, int, int]:
        """Words of a slot on all links of one direction at once, or over several cycles where the links are fewer."""
        number = self.resource(name)
        links = 1 if number is None else self.resources[number].capacity
        return name, min(words, links), ceil(words / links)

    def _uses(self, held: list[tuple[str, int, int]]) -> tuple[Use, ...]:
        found = [(self.resource(name), amount, cycles) for name, amount, cycles in held]
        return tuple(Use(index, amount, cycles) for index, amount, cycles in found if index is not None)

    def _add_train(self, leaf: PlacedLeaf, way: Way, fetches: int, words: int) -> None:
        """Words of every element, shifted down the columns: in before they are used, or out when they are made."""
        array, tensor = self.array(leaf), way.touch.access.tensor
        rows = self._used(leaf, self._links(leaf).sides.rows & way.parts)
        slots = fetches * rows * words_per_element(self.design.walk, leaf, way.loops, way.parts)
        held = [(f"{leaf.array} {COLUMN_LINKS}", 1, 1)]
        if not self._trains_run_beside(leaf):
            held.append((leaf.array, 1, 1))
        elif array.links is not None:
            held.append((f"{leaf.array} {SHADOW}", 1, 1))
        accesses = self._accesses(way, fetches, words)
        if accesses:
            held.append(self._port_use(way.memory, of_a_slot(accesses, slots)))
        uses = self._uses(held)
        kind, latency = (UNLOAD, int(array.drain_cycles)) if way.touch.writes else (LOAD, 0)
        name = f"{tensor} {'out' if way.touch.writes else f'in for {leaf.einsum}'}"
        number = len(self.tasks)
        if way.touch.writes:
            self.unloads[leaf.index] = number
        else:
            self.loads[leaf.index, tensor] = number
        self.pieces[number] = fetches
        cycles = max(use.cycles for use in uses)
        self.tasks.append(Task(name, leaf.einsum, leaf.array, kind, slots, cycles, latency, uses))

    def _add_register_trains(self, leaf: PlacedLeaf) -> None:
        """Trains of tiles that this array's registers keep in the iteration, but that come from or go further out."""
        chains, path = self.design.chains, self.path(leaf)
        for tensor in tensors_of(self.cascade, leaf):
            touches = chains.touches_of(tensor)
            chain = chains.chain(leaf, tensor)
            keep = chain[-1].keep
            in_registers = chain[-1].memory == chains.machine.registers_of(leaf.array)
            if keep is None or not in_registers or len(keep.loops) < len(path) or tensor in leaf.forwarded:
                continue
            if keep.index in self.design.held_anyway:
                continue
            extents, rows = self.design.inside(path), chains.demands_of_keep(keep)
            for touch in (t for t in touches if t.leaf == leaf):
                # Where several Einsums read the tile, the first of them has it filled.
                same = (row for row in rows if (row.touch.writes, row.touch.version) == (touch.writes, touch.version))
                row = next(same, None)
                if row is None:
                    continue
                served = served_by(row.place.memory, None, {})
                way = Way(touch, served, row.parts, row.moving, row.beginning, row.loops)
                if not self._links(leaf).is_train(way):
                    continue
                fetches, words = self.design.walk.fetched(extents, way.loops[len(path) :], way.moving, way.parts)
                beside = [(t.leaf.index, tensor) for t in touches if keep.covers(t.leaf.index)]
                earlier = [pair for pair in beside if pair in self.loads]
                if touch.writes or not earlier:
                    self._add_train(leaf, way, fetches, words)
                else:
                    self.loads[leaf.index, tensor] = self.loads[earlier[0]]

    # Transfers of kept tiles: at any time of an iteration

    def _add_transfers(self, streamed: dict[str, float]) -> None:
        """Rows that tiles move through ports besides what the tasks stream, and memories whose bandwidth bounds."""
        machine, iterations = self.design.machine, self.iterations()
        for name, moved in self._moved_bytes():
            words = moved.both / machine.word_bytes / iterations
            port = self.resource(f"{name} ports")
            if port is not None:
                rows = max(0.0, words - streamed.get(name, 0.0)) * machine.word_bytes / machine.row_bytes(name)
                found = self.resources[port]
                self.resources[port] = Resource(found.name, found.capacity, rows)
            links = {"bandwidth": (words * machine.word_bytes, machine.bytes_per_s(name))}
            links["read bandwidth"] = (moved.read / iterations, machine.bytes_per_s_of(name, False))
            links["write bandwidth"] = (moved.written / iterations, machine.bytes_per_s_of(name, True))
            for link, (moved_bytes, bytes_per_s) in links.items():
                if isfinite(bytes_per_s):
                    cycles = moved_bytes / bytes_per_s * machine.clock_hz
                    self.resources.append(Resource(f"{name} {link}", 1, cycles, is_placed=False))

    def _moved_bytes(self) -> Iterator[tuple[str, "MovedBytes"]]:
        """What each memory moves for the Einsums of the group, over the whole run."""
        flows, moved = self.design.tables.shape.flows, self.design.evaluation.flow_bytes[0]
        leaves = [leaf.index for leaf in self.group.leaves]
        for m, memory in enumerate(self.design.experiment.architecture.memories):
            mine = [
                (float(moved[n]), flow[FlowColumn.WRITE] == 1)
                for n, flow in enumerate(flows)
                if flow[FlowColumn.MEMORY] == m and flow[FlowColumn.EINSUM] in leaves
            ]
            both, read, written = (
                sum(size for size, writes in mine if writes in kinds) for kinds in ((False, True), (False,), (True,))
            )
            yield memory.name, MovedBytes(both, read, written)


class MovedBytes(NamedTuple):
    both: float
    read: float
    written: float


def pieces_of(demands: TaskDemands, one: PlacedLeaf, other: PlacedLeaf) -> tuple[int, ...]:
    """Trips of the loops that both walk inside an iteration, alike and in order, until one that the first reduces."""
    design, trips = demands.design, []
    reduced = demands.cascade.einsum(one.einsum).reduced_variables
    mine, yours = demands.inner(one), demands.inner(other)
    all_trips = design.trips(one.loops, len(demands.path(one)))
    for a, b, count in zip(mine, yours, all_trips, strict=False):
        if design.kind(a) != design.kind(b) or design.kind(a)[0] in reduced:
            break
        trips.append(count)
    return tuple(trips)


def whole_pieces(pieces: int, *tasks: Task) -> int:
    """That many pieces if the slots of every task divide into them, else one."""
    return pieces if all(task.slots % pieces == 0 for task in tasks) else 1


def own_pieces(demands: TaskDemands, leaf: PlacedLeaf) -> int:
    """Results that a leaf completes one after the other in an iteration."""
    return prod(pieces_of(demands, leaf, leaf))
