"""The nouns of the binding search: tasks with their demands, what ties them together, and the schedule that is found.

One *iteration* of a pipelined nest works on one tile. Its *tasks* are the Einsums (and the trains of words that must be
shifted into or out of an array for them); each issues its `slots` at a constant stride. Times are cycles in the skewed
coordinates of an array: element (i, j) does in cycle t + i + j what the task issues in cycle t.
"""

from dataclasses import dataclass
from functools import cached_property

COMPUTE, LOAD, UNLOAD, WAIT = "compute", "load", "unload", "wait"


@dataclass(frozen=True, slots=True)
class Resource:
    """Something of which so many units are free each cycle.

    `background`: units x cycles that each iteration takes at any time (transfers of kept tiles), `is_placed`: whether
    tasks hold it cycle by cycle; a memory with a bandwidth only bounds the interval.
    """

    name: str
    capacity: int
    background: float = 0.0
    is_placed: bool = True


@dataclass(frozen=True, slots=True)
class Use:
    """A task holds `amount` units of a resource in the first `cycles` cycles of each of its slots."""

    resource: int
    amount: int
    cycles: int


@dataclass(frozen=True, slots=True)
class Task:
    """What one array, or its links, does for one tile. `cycles`: of one slot; `latency`: until the result has left."""

    name: str
    einsum: str
    array: str
    kind: str
    slots: int
    cycles: int
    latency: int
    uses: tuple[Use, ...]

    @property
    def busy_cycles(self) -> int:
        return self.slots * self.cycles


@dataclass(frozen=True, slots=True)
class Dependency:
    """`consumer` needs what `producer` made `distance` iterations earlier.

    Both run through the same `elements` pieces of an iteration: piece k + `shift` of the consumer waits for piece k.
    `latency` is counted from the end of the producer's last slot of a piece.
    """

    producer: int
    consumer: int
    tensor: str
    distance: int = 0
    latency: int = 0
    elements: int = 1
    shift: int = 0


@dataclass(frozen=True, slots=True)
class Reader:
    """A task that still needs a value, `distance` iterations after it was made."""

    task: int
    distance: int


@dataclass(frozen=True, slots=True)
class Value:
    """What a memory holds from a task until its last reader.

    `words` for each of `elements` pieces, made one after the other. `from_start`: an accumulator, held from the
    producer's first slot; else each piece is held from its arrival, `latency` after its last slot.
    """

    tensor: str
    memory: str
    producer: int
    readers: tuple[Reader, ...]
    words: int
    elements: int
    from_start: bool
    latency: int


@dataclass(frozen=True)
class TaskGraph:
    """Everything that repeats once a tile in one pipelined part of a mapped cascade."""

    name: str
    loops: tuple[str, ...]  # the pipelined loops, outermost first
    iterations: int  # of the whole run
    tasks: tuple[Task, ...]
    dependencies: tuple[Dependency, ...]
    values: tuple[Value, ...]
    resources: tuple[Resource, ...]
    room_words: tuple[tuple[str, int], ...]  # of memories that hold values, where bounded
    chunks: int = 1  # of equal passes that are worked on together
    chunk_of: tuple[int, ...] = ()  # pass of each task
    around: int | None = None  # the outermost of those loops, by number
    has_places: bool = False  # whether what it reads of other parts has a second place each, or room for one

    @cached_property
    def total_uses(self) -> tuple[float, ...]:
        """Units x cycles of every resource that one iteration takes."""
        totals = [resource.background for resource in self.resources]
        for task in self.tasks:
            for use in task.uses:
                totals[use.resource] += task.slots * use.amount * use.cycles
        return tuple(totals)


@dataclass(frozen=True, slots=True)
class Bound:
    """No interval can be shorter than `cycles`, because of `reason`."""

    cycles: int
    reason: str


@dataclass(frozen=True, slots=True)
class Placement:
    """When a task's first slot is issued, counted from the start of its iteration, and the cycles from slot to slot."""

    start: int
    stride: int

    def stage(self, interval: int) -> int:
        return self.start // interval

    def offset(self, interval: int) -> int:
        return self.start % interval


@dataclass(frozen=True)
class ModuloSchedule:
    """A schedule that repeats every `interval` cycles.

    `is_shortest`: no shorter interval exists among schedules with constant strides; `proof` says why, or what the gap
    is. `words_by_memory`: what each memory holds for the values in flight; `is_least`: no schedule of this interval
    holds less.
    """

    graph: TaskGraph
    interval: int
    placements: tuple[Placement, ...]
    bounds: tuple[Bound, ...]
    is_shortest: bool
    proof: str
    words_by_memory: tuple[tuple[str, int], ...]
    copies: tuple[tuple[str, str, int], ...]  # memory, tensor, pieces in flight
    least_words: int
    nodes: int  # visited by the search

    @property
    def lower_bound(self) -> Bound:
        return self.bounds[0]

    @property
    def stages(self) -> int:
        return 1 + max(placement.stage(self.interval) for placement in self.placements)

    @property
    def words(self) -> int:
        return sum(words for _, words in self.words_by_memory)

    @property
    def is_least(self) -> bool:
        return self.words == self.least_words

    @property
    def span_cycles(self) -> int:
        """From the first slot of an iteration to the last result of it."""
        ends = [
            p.start + (t.slots - 1) * p.stride + t.cycles + t.latency
            for t, p in zip(self.graph.tasks, self.placements, strict=True)
        ]
        return max(ends) - min(p.start for p in self.placements)

    @property
    def total_cycles(self) -> int:
        """Of the whole run of this part, prologue and epilogue included."""
        return (self.graph.iterations - 1) * self.interval + self.span_cycles

    def free_units(self) -> dict[str, float]:
        """Units x cycles of every resource that an interval leaves, by name."""
        pairs = zip(self.graph.resources, self.graph.total_uses, strict=True)
        return {resource.name: resource.capacity * self.interval - used for resource, used in pairs}

    def utilization(self, resource: int) -> float:
        """Share of a resource's units that an interval uses."""
        return self.graph.total_uses[resource] / (self.graph.resources[resource].capacity * self.interval)
