"""From a mapped cascade to task graphs: what waits for what, how many tiles apart, and what is held meanwhile.

- A value of the same tile is needed 0 iterations after it was made; a running value as many iterations later as a
step of its loop takes; a value that a pass reduces over a loop of the nest only when the pass is over, so that in
joined passes its first reader follows a negative number of iterations later (it belongs to tiles ahead). - Where
producer and reader walk the same inner loops they stream: piece k waits for piece k. - A place that outlives an
iteration is written again only after its last reader; a place inside the iteration may be kept several times, for the
tiles in flight, and is a `Value`.
"""

from dataclasses import dataclass, field
from math import prod

from mappings.tree import PlacedKeep, PlacedLeaf
from sim.binding.demands import TaskDemands, own_pieces, pieces_of, whole_pieces
from sim.binding.nest import Pipeline, UnscheduledDesign, design_of, groups_of
from sim.binding.types import Dependency, Reader, TaskGraph, Value
from sim.design.experiment import Experiment
from sim.lower.chains import Touch


@dataclass
class GraphBuilder:
    """Collects dependencies and values of one group of nests."""

    demands: TaskDemands
    dependencies: list[Dependency] = field(default_factory=list)
    values: list[Value] = field(default_factory=list)
    held: set[int] = field(default_factory=set)  # keeps that a value stands for

    @property
    def design(self) -> UnscheduledDesign:
        return self.demands.design

    @property
    def group(self) -> Pipeline:
        return self.demands.group

    def build(self) -> TaskGraph:
        self._add_trains()
        for leaf in self.group.leaves:
            self._add_accumulation(leaf)
            self._add_readers(leaf)
        for leaf in self.group.leaves:
            self._add_values(leaf)
            self._add_old_values(leaf)
        nests = self.group.nests
        chunk = [self.group.nest_of(self._leaf(task.einsum)) for task in self.demands.tasks]
        return TaskGraph(
            name=", ".join(leaf.einsum for leaf in self.group.leaves),
            loops=self.design.name_loops(nests[0].path),
            iterations=self.demands.iterations(),
            around=nests[0].path[0],
            has_places=self._has_places(),
            tasks=tuple(self.demands.tasks),
            dependencies=tuple(dict.fromkeys(self.dependencies)),
            values=tuple(self.values),
            resources=tuple(self.demands.resources),
            room_words=tuple(self._room()),
            chunks=len(nests),
            chunk_of=tuple(chunk),
        )

    def _leaf(self, einsum: str) -> PlacedLeaf:
        return next(leaf for leaf in self.group.leaves if leaf.einsum == einsum)

    # What waits for what

    def _add_trains(self) -> None:
        """Words shifted in come before the slots that use them, words shifted out after those that make them."""
        tasks = self.demands.tasks
        for load in dict.fromkeys(self.demands.loads.values()):
            users = [(leaf, name) for (leaf, name), number in self.demands.loads.items() if number == load]
            self._add_load(load, [self.demands.compute[leaf] for leaf, _ in users], users[0][1])
        for leaf, unload in self.demands.unloads.items():
            compute, placed = self.demands.compute[leaf], self.design.chains.tree.leaves[leaf]
            pieces = own_pieces(self.demands, placed)
            if pieces != self.demands.pieces[unload]:
                pieces = 1
            pieces = whole_pieces(pieces, tasks[compute], tasks[unload])
            self.dependencies.append(Dependency(compute, unload, placed.einsum, elements=pieces))
            if self._kept_in_registers(placed) is None:
                readers = (Reader(unload, 0), *self._forwarded_readers(placed))
                words = whole_words(self._tile_words(placed, placed.einsum), pieces)
                pieces = whole_pieces(pieces, *(tasks[reader.task] for reader in readers))
                held = Value(placed.einsum, self._registers(placed), compute, readers, words, pieces, True, 0)
                self.values.append(held)

    def _add_load(self, load: int, users: list[int], tensor: str) -> None:
        """A tile that was shifted in stays in the registers while it is used."""
        tasks = self.demands.tasks
        pieces = whole_pieces(self.demands.pieces[load], tasks[load], *(tasks[user] for user in users))
        self.dependencies += [Dependency(load, user, tensor, elements=pieces) for user in users]
        leaf = self._leaf(tasks[load].einsum)
        words = whole_words(self._tile_words(leaf, tensor), pieces)
        readers = tuple(Reader(user, 0) for user in users)
        self.values.append(Value(f"{tensor} shifted in", self._registers(leaf), load, readers, words, pieces, True, 0))

    def _registers(self, leaf: PlacedLeaf) -> str:
        return self.design.chains.machine.registers_of(leaf.array)

    def _kept_in_registers(self, leaf: PlacedLeaf) -> PlacedKeep | None:
        """The keep, inside the iteration, by which an Einsum's result stays in the registers of its array."""
        keeps = self.design.chains.tree.keeps_above(leaf, leaf.einsum)
        path, anyway = self.demands.path(leaf), self.design.held_anyway
        stays = [k for k in keeps if k.memory == self._registers(leaf) and len(k.loops) >= len(path)]
        return next((keep for keep in reversed(stays) if keep.index not in anyway), None)

    def _forwarded_readers(self, producer: PlacedLeaf) -> list[Reader]:
        """Einsums of the same array that take a result as it is made, before it leaves."""
        return [
            Reader(self.demands.compute[leaf.index], 0)
            for leaf in self.group.leaves
            if self._takes_in_passing(producer, leaf) and producer.einsum in leaf.forwarded
        ]

    def _takes_in_passing(self, producer: PlacedLeaf, reader: PlacedLeaf) -> bool:
        """Whether a reader finds a result in its own array's registers."""
        if reader.array != producer.array or self.group.nest_of(reader) != self.group.nest_of(producer):
            return False
        keep = self._kept_in_registers(producer)
        return producer.einsum in reader.forwarded or (keep is not None and keep.covers(reader.index))

    def _tile_words(self, leaf: PlacedLeaf, tensor: str) -> int:
        """Words of a tensor that an element of an Einsum's array holds of one iteration."""
        parts = self.design.chains.space.parts_of_tensor(tensor)
        return self.design.register_words(leaf, self.demands.path(leaf), parts)

    def _add_accumulation(self, leaf: PlacedLeaf) -> None:
        """A sum over a loop of the nest goes on where the iteration before it in that loop left it."""
        einsum, path = self.demands.cascade.einsum(leaf.einsum), self.demands.path(leaf)
        over = [i for i, loop in enumerate(path) if self.design.kind(loop)[0] in einsum.reduced_variables]
        if not over:
            return
        compute = self.demands.compute[leaf.index]
        source = self.demands.unloads.get(leaf.index, compute)
        tasks = self.demands.tasks
        pieces = whole_pieces(own_pieces(self.demands, leaf), tasks[compute], tasks[source])
        distance, latency = self.design.after(path, over[-1]), tasks[source].latency
        self.dependencies.append(Dependency(source, compute, leaf.einsum, distance, latency, pieces))

    def _add_readers(self, leaf: PlacedLeaf) -> None:
        """Everything that this Einsum reads and another one of the group makes."""
        for load in self.demands.cascade.einsum(leaf.einsum).loads:
            producer = next((other for other in self.group.leaves if other.einsum == load.tensor), None)
            if producer is None:
                continue
            for touch in self.design.chains.touches_of(load.tensor):
                if touch.leaf == leaf and touch.access == load:
                    self._add_reader(producer, touch)

    def _add_reader(self, producer: PlacedLeaf, touch: Touch) -> None:
        source, target = self._source(producer, touch.leaf), self._target(touch)
        tasks, latency = self.demands.tasks, self.demands.tasks[source].latency
        trips = pieces_of(self.demands, producer, touch.leaf)
        pieces = whole_pieces(prod(trips), tasks[source], tasks[target])
        shift, distance = 0, self._distance(producer, touch)
        if touch.version == "old" and not distance:
            # The loop that steps lies inside the iteration: the next piece of it reads what this one made.
            shift = self._inner_step(producer, touch.leaf, trips)
            if pieces == 1:
                raise ValueError(
                    f"Einsum '{touch.leaf.einsum}' steps inside an iteration that cannot be cut into steps"
                )
        tensor = touch.access.tensor
        self.dependencies.append(Dependency(source, target, tensor, distance, latency, pieces, shift))
        again = self._rewritten_after(producer, touch)
        if again is not None and not shift:
            back = Dependency(target, self.demands.compute[producer.index], tensor, again, 0, pieces)
            self.dependencies.append(back)

    def _source(self, producer: PlacedLeaf, reader: PlacedLeaf) -> int:
        """The task after which a reader finds the result: its making, or its way out of the array."""
        compute = self.demands.compute[producer.index]
        if self._takes_in_passing(producer, reader):
            return compute
        return self.demands.unloads.get(producer.index, compute)

    def _target(self, touch: Touch) -> int:
        loaded = self.demands.loads.get((touch.leaf.index, touch.access.tensor))
        return self.demands.compute[touch.leaf.index] if loaded is None else loaded

    def _distance(self, producer: PlacedLeaf, touch: Touch) -> int:
        """Iterations from the making of a value to the reading of it."""
        if touch.version == "old":
            position = self._stepping(touch.access.tensor, self.demands.path(producer))
            return 0 if position is None else self.design.after(self.demands.path(producer), position)
        if self.group.nest_of(producer) == self.group.nest_of(touch.leaf):
            return 0
        return -self._reuse(touch)

    def _stepping(self, tensor: str, path: tuple[int, ...]) -> int | None:
        """The position in a path of the loop in whose steps a running value advances."""
        rank = self.demands.cascade.scope.iterative_rank[tensor]
        at = [i for i, loop in enumerate(path) if self.design.kind(loop)[0] == rank.lower()]
        return at[-1] if at else None

    def _inner_step(self, producer: PlacedLeaf, reader: PlacedLeaf, trips: tuple[int, ...]) -> int:
        rank = self.demands.cascade.scope.iterative_rank[producer.einsum]
        inner = self.demands.inner(reader)[: len(trips)]
        at = next((i for i, loop in enumerate(inner) if self.design.kind(loop)[0] == rank.lower()), len(trips))
        return prod(trips[at + 1 :])

    def _reuse(self, touch: Touch) -> int:
        """Iterations between the first and the last touch of one element, in loops that its tensor does not have."""
        path, first = self.group.nests[self.group.nest_of(touch.leaf)].path, self.group.common
        parts = self.design.chains.parts_of(touch)
        total = 0
        for position in range(first, len(path)):
            if self.design.chains.space.part_of_variable(self.design.kind(path[position])[0]) not in parts:
                trips = self.design.trips(path, position)[0]
                total += (trips - 1) * self.design.after(path, position)
        return total

    def _common_keep(self, producer: PlacedLeaf, reader: PlacedLeaf, tensor: str) -> PlacedKeep | None:
        keeps = self.design.chains.tree.keeps_above(producer, tensor)
        covering = [keep for keep in keeps if keep.covers(reader.index)]
        return covering[-1] if covering else None

    def _rewritten_after(self, producer: PlacedLeaf, touch: Touch) -> int | None:
        """Iterations after a reading in which the place of what was read is written again; None: never, or other
        copies.
        """
        tensor, path = touch.access.tensor, self.demands.path(producer)
        keep = self._common_keep(producer, touch.leaf, tensor)
        if keep is None:
            return None
        if touch.version == "old":
            return None if producer == touch.leaf or self._needs_new(producer, touch.leaf) else 0
        if len(keep.loops) >= len(path):
            return None
        if self.demands.cascade.is_iterative(tensor):
            position = self._stepping(tensor, path)
            return None if position is None else self.design.after(path, position)
        again = keep.copies * prod(self.design.trips(path, len(keep.loops)))
        crosses = self.group.nest_of(producer) != self.group.nest_of(touch.leaf)
        return again - (self._reuse(touch) if crosses else 0)

    def _needs_new(self, producer: PlacedLeaf, reader: PlacedLeaf) -> bool:
        """Whether a reader of an old value also waits, directly or not, for the new one."""
        first, goal = self.demands.compute[producer.index], self.demands.compute[reader.index]
        reached, waiting = {first}, [first]
        while waiting:
            task = waiting.pop()
            onward = {d.consumer for d in self._same_tile() if d.producer == task} - reached
            reached |= onward
            waiting += onward
        return goal in reached

    def _same_tile(self) -> list[Dependency]:
        """Dependencies inside one tile, also of Einsums whose readers are not collected yet."""
        found = []
        for leaf in self.group.leaves:
            for load in self.demands.cascade.einsum(leaf.einsum).loads:
                for touch in self.design.chains.touches_of(load.tensor):
                    makes = next((x for x in self.group.leaves if x.einsum == load.tensor), None)
                    if makes is not None and touch.leaf == leaf and not touch.writes and touch.version != "old":
                        ends = self.demands.compute[makes.index], self.demands.compute[leaf.index]
                        found.append(Dependency(*ends, load.tensor))
        return found

    # What is held meanwhile

    def _add_values(self, leaf: PlacedLeaf) -> None:
        """Tiles kept inside the iteration: one copy for each tile in flight."""
        tensor, path = leaf.einsum, self.demands.path(leaf)
        readers = [
            touch
            for touch in self.design.chains.touches_of(tensor)
            if not touch.writes and touch.version != "old" and touch.leaf in self.group.leaves
        ]
        for keep in self.design.chains.tree.keeps_above(leaf, tensor):
            inside = [touch for touch in readers if keep.covers(touch.leaf.index)]
            drained = leaf.index in self.demands.unloads and keep == self._kept_in_registers(leaf)
            if len(keep.loops) < len(path) or not (inside or drained) or keep.index in self.design.held_anyway:
                continue
            self.held.add(keep.index)
            in_place = keep.memory == self.design.chains.machine.registers_of(leaf.array)
            out = self.demands.unloads.get(leaf.index)
            compute = self.demands.compute[leaf.index]
            source = compute if in_place or out is None else out
            targets = tuple(dict.fromkeys(Reader(self._target(touch), 0) for touch in inside))
            if in_place and out is not None:
                targets = (*targets, Reader(out, 0))
            tasks = self.demands.tasks
            pieces = prod(self.design.trips(keep.loops, len(path)))
            pieces = whole_pieces(pieces, tasks[source], *(tasks[reader.task] for reader in targets))
            words = self.design.keep_words[keep.index]
            if pieces == 1:
                words *= prod(self.design.trips(keep.loops, len(path)))
            latency = tasks[source].latency
            self.values.append(Value(tensor, keep.memory, source, targets, words, pieces, in_place, latency))

    def _add_old_values(self, leaf: PlacedLeaf) -> None:
        """The old running value, where it is needed after the new one has taken its place: held from that moment."""
        for load in self.demands.cascade.einsum(leaf.einsum).loads:
            producer = next((other for other in self.group.leaves if other.einsum == load.tensor), None)
            for touch in self.design.chains.touches_of(load.tensor):
                if producer is None or producer == leaf or touch.leaf != leaf or touch.access != load:
                    continue
                if touch.version == "old" and self._needs_new(producer, leaf):
                    source, target = self.demands.compute[producer.index], self.demands.compute[leaf.index]
                    registers = self.design.chains.machine.registers_of(leaf.array)
                    parts = self.design.chains.parts_of(touch)
                    words = self.design.register_words(leaf, self.demands.path(leaf), parts)
                    old = f"old {load.tensor}"
                    self.values.append(Value(old, registers, source, (Reader(target, 0),), words, 1, True, 0))

    def _has_places(self) -> bool:
        """Whether tiles that this group reads of others have two places, or their memories have room for the second."""
        tree, machine, tables = self.design.chains.tree, self.design.chains.machine, self.design.tables
        single: dict[int, PlacedKeep] = {}
        for leaf in self.group.leaves:
            for load in self.demands.cascade.einsum(leaf.einsum).loads:
                producer = tree.leaf_of(load.tensor)
                outside = producer is not None and producer not in self.group.leaves
                keep = self._common_keep(producer, leaf, load.tensor) if producer is not None and outside else None
                if keep is not None and keep.copies == 1:
                    single[keep.index] = keep
        free = tables.machine.capacity_bytes[0] - self.design.evaluation.footprint_bytes[0]
        for keep in single.values():
            free[machine.memory(keep.memory)] -= self.design.keep_words[keep.index] * tables.machine.word_bytes[0]
        return bool((free >= 0).all())

    def _room(self) -> list[tuple[str, int]]:
        """Words that bounded memories have for values in flight, other tiles taken off."""
        tables, machine, found = self.design.tables, self.design.chains.machine, []
        for memory in dict.fromkeys(value.memory for value in self.values):
            capacity = float(tables.machine.capacity_bytes[0, machine.memory(memory)])
            if capacity == float("inf"):
                continue
            words = capacity / float(tables.machine.word_bytes[0])
            others: dict[object, int] = {}
            for keep in self.design.chains.tree.keeps:
                serves = any(keep.covers(leaf.index) for leaf in self.group.leaves)
                if keep.memory == memory and keep.index not in self.held | self.design.held_anyway and serves:
                    place = keep.share_group if keep.share_group >= 0 else ("alone", keep.index)
                    size = keep.copies * self.design.keep_words[keep.index]
                    others[place] = max(others.get(place, 0), size)
            found.append((memory, int(words) - sum(others.values())))
        return found


def whole_words(words: int, pieces: int) -> int:
    """Words of the largest of so many pieces of a tile."""
    return -(-words // pieces)


def task_graphs(experiment: Experiment, join: bool = True) -> tuple[TaskGraph, ...]:
    """The task graphs of an experiment's pipelined parts, in the order of its tree; its schedule is not looked at.

    `join`: passes with the same loops share one pipeline. IllegalMapping for a tree that cannot run, ValueError for
    Einsums that no loop repeats.
    """
    design = design_of(experiment)
    return tuple(GraphBuilder(TaskDemands(design, group).collect()).build() for group in groups_of(design, join))
