"""Plays a run of the tile-level engine on the PE level: its log becomes a systolic program with real values.

The log says in which cycle every op of every tile starts. Each fold of it becomes the tasks that an array is built for,
recognised by what the mapping and the Einsum say (spatial sides, innermost loop, where operands live), for any design.
Nothing waits on the PE level: a word that is not there yet, or a link, operator or register that is taken, is a hazard.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from einsums.nodes import Access, Call, Index, Load
from einsums.types import Cascade
from sim.cycle.amounts import latency_of_ways, ways_of
from sim.cycle.choice import Design, full_chain, sizer_of
from sim.cycle.extents import Extents
from sim.cycle.nest import Nest, Slot
from sim.cycle.program import Lowered
from sim.cycle.state import Run
from sim.engine import cycle_columns as col
from sim.systolic.program import NOTHING, WEST, ZERO, Issue, OperatorSlots, Place, SystolicArray, Task, Tile
from sim.systolic.runner import ArrayRun, run_program
from sim.systolic.tasks import (
    broadcast_down,
    drain,
    issue_below,
    load,
    product_in_place,
    product_through,
    reduce_along,
    reduce_down,
    reduce_words_along,
    to_memory,
    to_register,
    with_broadcast,
)

OPERATORS = {"mul": "multiply", "add": "add", "sub": "subtract", "div": "divide", "max": "max"}


@dataclass
class Layout:
    """Every tensor of one head in one memory: word 0 is zero, iterative ranks have a coordinate more."""

    cascade: Cascade
    sizes: dict[str, int]
    base: dict[str, int] = field(default_factory=dict)
    shape: dict[str, tuple[int, ...]] = field(default_factory=dict)
    words: int = 1

    def __post_init__(self) -> None:
        iterative = set(self.cascade.iterative)
        for tensor in self.cascade.tensors:
            shape = tuple(self.sizes[rank] + ((tensor.name, rank) in iterative) for rank in tensor.ranks)
            self.base[tensor.name], self.shape[tensor.name] = self.words, shape
            self.words += int(np.prod(shape))

    def memory(self, inputs: dict[str, np.ndarray]) -> np.ndarray:
        """f8[word]: inputs and initial values; NaN elsewhere."""
        memory = np.full(self.words, np.nan)
        memory[0] = 0.0
        for name, values in inputs.items():
            memory[self.base[name] : self.base[name] + values.size] = values.ravel()
        iterative = dict(self.cascade.iterative)
        for initial in self.cascade.init:
            view = self.view(memory, initial.tensor)
            axis = self.cascade.tensor(initial.tensor).ranks.index(iterative[initial.tensor])
            np.moveaxis(view, axis, 0)[0] = initial.value
        return memory

    def view(self, memory: np.ndarray, tensor: str) -> np.ndarray:
        """The tensor's values in a memory, without a copy."""
        first, shape = self.base[tensor], self.shape[tensor]
        return memory[first : first + int(np.prod(shape))].reshape(shape)

    def strides(self, tensor: str) -> list[int]:
        shape = self.shape[tensor]
        return [int(np.prod(shape[axis + 1 :])) for axis in range(len(shape))]

    def coordinate(self, index: Index, rank: str, at: dict[str, int]) -> int:
        if index.last_of is not None:
            return self.sizes[rank]
        return sum(at[term.variable] * self._scale(term) for term in index.terms) + index.offset

    def _scale(self, term: object) -> int:
        return int(np.prod([term.scale, *(self.sizes[rank] for rank in term.scale_ranks)]))  # type: ignore[attr-defined]

    def word(self, access: Access, at: dict[str, int]) -> int:
        ranks = self.cascade.tensor(access.tensor).ranks
        steps = zip(access.indices, ranks, self.strides(access.tensor), strict=True)
        return self.base[access.tensor] + sum(self.coordinate(i, rank, at) * stride for i, rank, stride in steps)

    def stride(self, access: Access, variable: str | None) -> int:
        """Words from one coordinate of a rank variable to the next."""
        if variable is None:
            return 0
        return sum(
            self._scale(term) * stride
            for index, stride in zip(access.indices, self.strides(access.tensor), strict=True)
            for term in index.terms
            if term.variable == variable
        )


@dataclass(frozen=True)
class Fold:
    """One pass over an array: where, how many lanes and steps, and from which cycle on."""

    at: dict[str, int]  # rank variables, first lane and step
    rows: int
    cols: int
    steps: int
    start: int
    points: int  # cycle of its first slot
    end: int  # after its last slot
    chain: int  # cycle in which what was folded is reduced over the lanes, -1: not at all


@dataclass(frozen=True)
class Op:
    """What an Einsum does on its array, in the terms of `sim.systolic.tasks`."""

    slot: Slot
    index: int
    stride: int  # cycles of an iteration point
    link_in: int
    link_out: int
    sides: dict[str, str]  # side -> rank variable
    inner: str | None  # rank variable of the innermost loop
    reduced: tuple[str, ...]


class Player:
    """Turns the log of one nest into tasks, and runs them."""

    def __init__(self, design: Design, nest: Nest, layout: Layout) -> None:
        self.design, self.nest, self.layout = design, nest, layout
        self.cascade, self.walk = design.builder.cascade, design.walk
        self.registers: dict[tuple[str, ...], int] = {}
        self.tasks: list[Task] = []

    # Where and when

    def tiles(
        self, extents: Extents, origin: Extents, loops: tuple[int, ...]
    ) -> Iterator[tuple[Extents, Extents]]:
        """(extents, origin) of all tiles of these loops, in order."""
        if not loops:
            yield extents, origin
            return
        tile, trips = self.walk.loops[loops[0]], self.walk.trips(extents, loops[0])
        for n in range(trips):
            inside = self.walk.inside(extents, loops[0], n == trips - 1)
            moved = (*origin[: tile.root], origin[tile.root] + n * tile.tile, *origin[tile.root + 1 :])
            yield from self.tiles(inside, moved, loops[1:])

    def variables(self, origin: Extents) -> dict[str, int]:
        """Value of every rank variable at an origin (elements of root ranks)."""
        space, found = self.walk.space, {}
        for part in space.parts:
            span, unit = self.walk.sizes[part.span], self.walk.sizes[part.unit]
            found[part.rank.lower()] = origin[part.root] % span // unit
        return found

    def extent(self, extents: Extents, variable: str | None) -> int:
        if variable is None:
            return 1
        return self.walk.words(extents, frozenset([self.walk.space.part_of_variable(variable)]))

    def op_of(self, lowered: Lowered, n: int) -> Op:
        slot = self.nest.slots[n]
        row = lowered.ops.index(slot.leaf.einsum)
        amount = lowered.program.tables["AMOUNTS"][:, row]
        loops = self.design.builder.tree.loops
        return Op(
            slot,
            row,
            int(amount[:, col.CYCLES].max()),
            int(amount[:, col.LINK_IN].max()),
            int(amount[:, col.LINK_OUT].max()),
            {side.side: side.variable for side in slot.leaf.spatial},
            loops[slot.loops[-1]].variable if slot.loops else None,
            self.cascade.einsum(slot.leaf.einsum).reduced_variables,
        )

    def folds(self, lowered: Lowered, done: Run, op: Op) -> list[Fold]:
        """Every fold of an op of this nest, in order."""
        slot, tables = op.slot, lowered.program.tables
        starts = [row[col.START] for row in done.log.tolist() if row[0] == col.OP_ROW and row[2] == op.index]
        zero, around = tuple([0] * len(self.design.whole)), self.nest.loops[: slot.depth]
        guarded = {self.nest.loops[position] for position in slot.guard}
        start = full_chain(self.walk, self.design.whole, self.nest.outer)[-1]
        found: list[Fold] = []
        for extents, origin in self.tiles(start, zero, tuple(i for i in around if i not in guarded)):
            for group_extents, group_origin in self.tiles(extents, origin, slot.group_loops):
                found += self._repetition(op, starts.pop(0), group_extents, group_origin)
        assert not starts, f"{slot.leaf.einsum}: repetitions that nobody expects"
        if tables["AMOUNTS"][0, op.index, col.CHAIN]:
            alone = tables["OP_TABLE"][op.index, col.SHARES] == col.ALONE
            following = [fold.start for fold in found[1:]] + [found[-1].end]
            found = [replace(f, chain=f.end if alone else n) for f, n in zip(found, following, strict=True)]
        return found

    def _repetition(self, op: Op, start: int, extents: Extents, origin: Extents) -> list[Fold]:
        found, inner = [], op.slot.loops[-1:]
        for fold, at in self.tiles(extents, origin, op.slot.loops[:-1]):
            steps = self.walk.trips(fold, inner[0]) if inner else 1
            if inner:
                fold = self.walk.inside(fold, inner[0], steps == 1)
            rows, cols = (self.extent(fold, op.sides.get(side)) for side in ("rows", "columns"))
            points = start + op.link_in
            end = points + steps * op.stride
            found.append(Fold(self.variables(at), rows, cols, steps, start, points, end, -1))
            start = end + op.link_out
        return found

    # Where values live

    def register(self, access: Access, fold: Fold, op: Op, kind: str = "") -> int:
        """Number of the register that holds a tensor's value in every PE of a fold; each value has its own."""
        sides = set(op.sides.values())
        at = {variable: (0 if variable in sides else value) for variable, value in fold.at.items()}
        tiles = tuple(str(fold.at[v]) for v in sorted(sides) if v in access.variables)
        key = (op.slot.leaf.array, kind or access.tensor, str(self.layout.word(access, at)), *tiles)
        return self.registers.setdefault(key, sum(1 for known in self.registers if known[0] == key[0]))

    def is_kept(self, access: Access, op: Op) -> bool:
        """Whether an operand is found in the registers of the array, or waits there for others."""
        leaf, builder = op.slot.leaf, self.design.builder
        memory = builder.chain(leaf, access.tensor, builder.touches_of(access.tensor))[-1].memory
        return memory == builder.machine.registers_of(leaf.array)

    def place(self, access: Access, fold: Fold, lane: str | None, step: str | None) -> Place:
        return Place(self.layout.word(access, fold.at), self.layout.stride(access, step), self.layout.stride(access, lane))

    # What happens

    def add_fold(self, op: Op, fold: Fold, number: int) -> None:
        array = self.design.machine.architecture.array(op.slot.leaf.array)
        issue = Issue(f"{op.slot.leaf.einsum} {number}", fold.points, op.stride)
        self.tasks += self.on_2d(op, fold, issue) if array.rows > 1 else self.on_1d(op, fold, issue)

    def on_2d(self, op: Op, fold: Fold, issue: Issue) -> list[Task]:
        einsum, rows, columns = self.cascade.einsum(op.slot.leaf.einsum), op.sides["rows"], op.sides["columns"]
        both = {rows, columns}
        whole, one = Tile(fold.rows, fold.cols, fold.steps), Tile(fold.rows, fold.cols)
        loads = {access.tensor: access for access in einsum.loads}
        fixed = [a for a in loads.values() if both <= set(a.variables)]
        moving = [a for a in loads.values() if not both <= set(a.variables)]
        out, tasks = einsum.output, []
        if op.link_in:  # an operand that differs in every PE is shifted in
            words = self.place(fixed[0], fold, columns, rows)
            held = self.register(fixed[0], fold, op)
            tasks.append(load(Tile(fold.rows, fold.cols, fold.rows), replace_name(issue, "load", fold.start), words, held))
        if op.inner in op.reduced and not fixed:
            left = next(a for a in moving if rows in a.variables)
            top = next(a for a in moving if columns in a.variables)
            held = self.register(out, fold, op)
            places = self.place(left, fold, rows, op.inner), self.place(top, fold, columns, op.inner)
            tasks.append(product_in_place(whole, issue, *places, held))
        elif rows in op.reduced and moving:
            held = self.register(fixed[0], fold, op)
            start = self.place(out, fold, columns, op.inner) if self.returns(op, fold) else ZERO
            through = product_through(whole, issue, self.place(moving[0], fold, rows, op.inner), held, start)
            tasks.append(to_memory(through, self.place(out, fold, columns, op.inner)))
        elif rows in op.reduced:
            operator, start = reduction_of(einsum)
            down = reduce_down(one, issue, operator, self.register(fixed[0], fold, op), self.constant(start))
            tasks.append(to_memory(down, self.place(out, fold, columns, op.inner)))
        else:
            registers = self.register(fixed[0], fold, op), self.register(out, fold, op)
            words = self.place(moving[0], fold, columns, None)
            tasks.append(broadcast_down(one, issue, operator_of(einsum), words, registers))
        if op.link_out and both <= set(out.variables):  # a result that stays in the PEs is shifted out
            held, words = self.register(out, fold, op), self.place(out, fold, columns, rows)
            tasks.append(drain(Tile(fold.rows, fold.cols, fold.rows), replace_name(issue, "drain", fold.end), held, words))
        return tasks

    def returns(self, op: Op, fold: Fold) -> bool:
        """Whether partial sums of this result have been made before: a reduced loop has advanced."""
        return any(fold.at[v] > 0 for v in op.reduced)

    def constant(self, value: float) -> Place:
        return Place(self.layout.words + (value != 0.0), 0, 0)

    def on_1d(self, op: Op, fold: Fold, issue: Issue) -> list[Task]:
        einsum, lane = self.cascade.einsum(op.slot.leaf.einsum), op.sides.get("columns")
        if einsum.reduced_variables:
            return self.reduction(op, fold, issue)
        operands: list[tuple[int, Access | None]] = []
        for access in einsum.loads:
            kept = self.is_kept(access, op) and lane in access.variables
            operands.append((self.register(access, fold, op), None) if kept else (WEST, access))
        tile = Tile(1, fold.cols, fold.steps)
        name = operator_of(einsum)
        (a, first), (b, second) = operands[0], operands[1]
        if second is not None and lane in second.variables and first is None and name in ("add", "max", "multiply"):
            (a, first), (b, second) = (b, second), (a, first)
        words = ZERO if first is None else self.place(first, fold, lane, op.inner)
        results = []
        if name == "subtract-exp" and op.stride == 2 and not self.stays(op):
            # A result of two cycles cannot be sent on by one operation: the difference waits a cycle in a register.
            held = self.register(einsum.output, fold, op, "difference")
            less = to_register(issue_below(tile, issue, "subtract", (a, b), words), held)
            results = [less, issue_below(tile, replace_name(issue, "exp", issue.start + 1), "exp", (held, NOTHING))]
        else:
            results = [issue_below(tile, issue, name, (a, b), words)]
        if second is not None:
            results[0] = with_broadcast(results[0], self.place(second, fold, None, op.inner))
        results[-1] = self.put(results[-1], op, fold)
        return results

    def stays(self, op: Op) -> bool:
        """Whether a result is read in the 1D array alone, and so only kept in its registers."""
        out = self.cascade.einsum(op.slot.leaf.einsum).output
        touches = self.design.builder.touches_of(out.tensor)
        return self.is_kept(out, op) and all(t.leaf.array == op.slot.leaf.array for t in touches)

    def put(self, task: Task, op: Op, fold: Fold) -> Task:
        """A result goes to a register where the array keeps it, and to memory where others read it."""
        out, lane = self.cascade.einsum(op.slot.leaf.einsum).output, op.sides.get("columns")
        if self.stays(op):
            return to_register(task, self.register(out, fold, op))
        sent = to_memory(task, self.place(out, fold, lane, op.inner))
        return replace(sent, to=self.register(out, fold, op)) if self.is_kept(out, op) else sent

    def reduction(self, op: Op, fold: Fold, issue: Issue) -> list[Task]:
        """A maximum or sum: over the steps of a lane, over the lanes, or over both."""
        einsum, lane = self.cascade.einsum(op.slot.leaf.einsum), op.sides["columns"]
        (access,), out = einsum.loads, einsum.output
        operator, start = reduction_of(einsum)
        words = self.place(access, fold, lane, op.inner)
        if lane in op.reduced and fold.chain < 0:
            tile = Tile(1, fold.cols, fold.steps)
            return [to_memory(reduce_words_along(tile, issue, operator, words, self.constant(start)), self.place(out, fold, None, None))]
        held = self.register(out, fold, op)
        later = Place(words.base + words.step_words, words.step_words, words.lane_words)
        first = issue_below(Tile(1, fold.cols), issue, "move", (WEST, NOTHING), words)
        tasks = [to_register(first, held)]
        if fold.steps > 1:
            rest = replace_name(issue, "rest", issue.start + issue.stride)
            more = issue_below(Tile(1, fold.cols, fold.steps - 1), rest, operator, (WEST, held), later)
            tasks.append(to_register(more, held))
        if fold.chain >= 0:
            along = reduce_along(Tile(1, fold.cols), replace_name(issue, "chain", fold.chain), operator, held, self.constant(start))
            tasks.append(to_memory(along, self.place(out, fold, None, None)))
        return tasks

    def initial(self, memory: np.ndarray, rows: int) -> None:
        """Initial values that an array keeps in its registers are there from the first cycles on."""
        starts = 0
        for slot in self.nest.slots:
            op = next(o for o in self.ops if o.slot is slot)
            for access in self.cascade.einsum(slot.leaf.einsum).loads:
                initial = next((i for i in self.cascade.init if i.tensor == access.tensor), None)
                if initial is None or not self.is_kept(access, op):
                    continue
                for fold in self.found[op.index]:
                    number = self.register(access, fold, op)
                    word = self.layout.word(access, fold.at)
                    name = f"initial {access.tensor} {number}"
                    if np.isnan(memory[word]) or any(task.issue.name == name for task in self.tasks):
                        continue
                    place = self.place(access, fold, op.sides.get("columns"), None)
                    move = issue_below(Tile(1, fold.cols), Issue(name, starts), "move", (WEST, NOTHING), place)
                    self.tasks.append(to_register(move, number))
                    starts += 1

    def play(self, lowered: Lowered, done: Run, memory: np.ndarray) -> ArrayRun:
        """Run the nest from `memory: f8[word]`; its hazards tell what the schedule got wrong."""
        self.nest = lowered.nest
        self.ops = [self.op_of(lowered, n) for n in range(len(self.nest.slots))]
        self.found = {op.index: self.folds(lowered, done, op) for op in self.ops}
        for op in self.ops:
            for number, fold in enumerate(self.found[op.index]):
                self.add_fold(op, fold, number)
        arrays = self.design.machine.architecture.arrays
        wide = next((a for a in arrays if a.rows > 1), arrays[0])
        self.initial(memory, wide.rows)
        array = SystolicArray(wide.rows, wide.columns, max(len(self.registers), 1), slots=self.operator_slots())
        with_constants = np.append(memory, [0.0, -np.inf])
        return run_program(array, self.tasks, with_constants)

    def operator_slots(self) -> OperatorSlots:
        """Cycles of an exponential of a difference as the machine has them: split as the tasks are."""
        taken = [
            op.stride for op in self.ops if operator_of(self.cascade.einsum(op.slot.leaf.einsum)) == "subtract-exp"
        ]
        both = taken[0] if taken else 1
        return OperatorSlots(exp=max(both - 1, 1), subtract_exp=both)

    def last_cycle(self, lowered: Lowered, done: Run) -> int:
        """Cycle in which, by the tile-level engine, the last result has left its array."""
        last = 0
        for n, op in enumerate(self.ops):
            latency = latency_of_ways(self.design.builder, sizer_of(self.design, self.nest, n))
            ends = [row[col.END] for row in done.log.tolist() if row[0] == col.OP_ROW and row[2] == op.index]
            last = max(last, max(ends) + latency)
        return last - 1


def replace_name(issue: Issue, suffix: str, start: int) -> Issue:
    """A part of a task, with a name and a start of its own."""
    trains = suffix in ("load", "drain")
    return issue._replace(name=f"{issue.name} {suffix}", start=start, stride=1 if trains else issue.stride)


def operator_of(einsum: object) -> str:
    """The array's operation for an Einsum's expression."""
    match einsum.expr:  # type: ignore[attr-defined]
        case Call(operator="exp", arguments=(Call(operator="sub"),)):
            return "subtract-exp"
        case Call(operator=operator) if operator in OPERATORS:
            return OPERATORS[operator]
        case Load():
            return "move"
    raise AssertionError(f"no task for {einsum}")


def reduction_of(einsum: object) -> tuple[str, float]:
    """Operator and neutral element of a reduction."""
    operator = einsum.reduction.operator  # type: ignore[attr-defined]
    return (operator, -np.inf) if operator == "max" else ("add", 0.0)


__all__ = ["Layout", "Player", "ways_of"]
