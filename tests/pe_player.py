"""Plays a run of the tile-level engine on the PE level: its log becomes a systolic program with real values.

The log says in which cycle every op of every tile starts. Each fold of it becomes the tasks that an array is built for,
recognised by what the mapping and the Einsum say (spatial sides, innermost loop, where operands live), for any design.
Nothing waits on the PE level: a word that is not there yet, or a link, operator or register that is taken, is a hazard.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from einsums.nodes import Access, Call, Einsum, Load
from sim.cycle.amounts import Sizer
from sim.cycle.choice import CycleDesign, sizer_of
from sim.cycle.latency import latency_of_ways
from sim.cycle.nest import Nest, Slot
from sim.cycle.program import NamedProgram
from sim.cycle.state import NestTiming, Window, lay_out
from sim.cycle.staying import combinations_of, staying_tiles
from sim.cycle.variants import number_variants
from sim.engine.cycle import columns as col
from sim.engine.cycle.records import amounts_row, generate
from sim.engine.cycle.tables import row
from sim.lower.walk import Extents
from sim.systolic.program import (
    NOTHING,
    WEST,
    ZERO,
    ArrayTask,
    ArrayTile,
    Issue,
    OperatorSlots,
    SystolicArray,
    WordPlace,
)
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
    using_up,
    with_broadcast,
)
from tests.pe_layout import Layout

OPERATORS = {"mul": "multiply", "add": "add", "sub": "subtract", "div": "divide", "max": "max"}


@dataclass(frozen=True)
class Fold:
    """One pass over an array: where, how many lanes and steps, and from which cycle on."""

    at: dict[str, int]  # rank variables, first lane and step
    rows: int
    cols: int
    last_cols: int  # of its last step
    steps: int
    start: int
    points: int  # cycle of its first slot
    stride: int  # cycles of a slot
    end: int  # after its last slot
    after: int  # after what is shifted out
    chain: int  # cycle in which what was folded is reduced over the lanes, -1: not at all


@dataclass(frozen=True)
class Op:
    """What an Einsum does on its array, in the terms of `sim.systolic.tasks`."""

    slot: Slot
    sizer: Sizer
    index: int
    sides: dict[str, str]  # side -> rank variable
    inner: str | None  # rank variable of the innermost loop
    advance: int  # coordinates by which it advances
    reduced: tuple[str, ...]


def with_chains(folds: list[Fold]) -> list[Fold]:
    """Every fold's chain in the first slot of the next, the last one's in a slot of its own."""
    following = [fold.start for fold in folds[1:]] + [folds[-1].end]
    return [replace(fold, chain=start) for fold, start in zip(folds, following, strict=True)]


class Player:
    """Turns the log of one nest into tasks, and runs them."""

    def __init__(self, design: CycleDesign, nest: Nest, layout: Layout) -> None:
        self.design, self.nest, self.layout = design, nest, layout
        self.cascade, self.walk = design.chains.cascade, design.walk
        self.registers: dict[tuple[str, ...], int] = {}
        self.tasks: list[ArrayTask] = []
        self.offset = 0  # cycles before the log begins, in which initial values go to their registers

    # Where and when

    def tiles(self, extents: Extents, origin: Extents, loops: tuple[int, ...]) -> Iterator[tuple[Extents, Extents]]:
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

    def op_of(self, named: NamedProgram, n: int) -> Op:
        slot = self.nest.slots[n]
        row = named.ops.index(slot.leaf.einsum)
        loops = self.design.chains.tree.loops
        return Op(
            slot,
            sizer_of(self.design, self.nest, n),
            row,
            {side.side: side.variable for side in slot.leaf.spatial},
            loops[slot.loops[-1]].variable if slot.loops else None,
            self.walk.loops[slot.loops[-1]].step if slot.loops else 0,
            self.cascade.einsum(slot.leaf.einsum).reduced_variables,
        )

    def folds(self, named: NamedProgram, done: NestTiming, op: Op) -> list[Fold]:
        """Every fold of an op of this nest, in order."""
        slot, tables = op.slot, named.program.tables
        log = [row for row in done.log.tolist() if row[col.LOG_KIND] == col.OP_ROW and row[col.WHAT] == op.index]
        starts = [row[col.START] + self.offset for row in log]
        staying = self._staying(named, op, [row[col.LOG_RECORD] for row in log])
        zero, around = tuple([0] * len(self.design.walk.whole)), self.nest.loops[: slot.depth]
        guarded = {self.nest.loops[position] for position in slot.guard}
        start = self.walk.full_chain(self.design.walk.whole, self.nest.outer)[-1]
        chains = bool(tables["AMOUNTS"][0, op.index, col.CHAIN])
        shares = int(tables["OP_TABLE"][op.index, col.SHARES])
        found: list[Fold] = []
        for extents, origin in self.tiles(start, zero, tuple(i for i in around if i not in guarded)):
            record: list[Fold] = []
            for _, group_origin in self.tiles(extents, origin, slot.group_loops):
                record += self._repetition(op, starts.pop(0), (extents, staying.pop(0)), group_origin)
            found += with_chains(record) if chains and shares == col.IN_RECORD else record
        assert not starts, f"{slot.leaf.einsum}: repetitions that nobody expects"
        if chains and shares == col.NEXT_RECORD:
            return with_chains(found)
        return [replace(fold, chain=fold.end) for fold in found] if chains and shares == col.ALONE else found

    def _staying(self, named: NamedProgram, op: Op, records: list[int]) -> list[frozenset[int]]:
        """Of every repetition of an op, by its record, the ways whose tiles stay, and those whose sums come back."""
        n = next(n for n, slot in enumerate(named.nest.slots) if slot.leaf == op.slot.leaf)
        start = self.walk.full_chain(self.walk.whole, self.nest.outer)[-1]
        variants = number_variants(self.walk, start, named.joint.frame)
        sets = combinations_of(staying_tiles(self.walk, named.joint.loops_around(n), named.joint.sizers[n], variants))
        m, _ = lay_out(named.program, Window())
        found, repeat = list[frozenset[int]](), 0
        for before, record in zip([-1, *records], records, strict=False):
            generate(m, record)
            place = record % m[col.WINDOW]
            repeat = repeat + 1 if record == before else 0
            index, variant = row(m, col.RECORD_INDEX, place), row(m, col.RECORD_VARIANT, place)
            found.append(sets[amounts_row(m, op.index, index, variant, repeat) // m[col.VARIANTS]])
        return found

    def _repetition(self, op: Op, start: int, tile: tuple[Extents, frozenset[int]], origin: Extents) -> list[Fold]:
        extents, staying = tile
        found, inner, amount = [], op.slot.loops[-1:], op.sizer.amount(extents, staying)
        extents = self.walk.full_tile(extents, op.slot.group_loops)
        for fold, at in self.tiles(extents, origin, op.slot.loops[:-1]):
            steps = self.walk.trips(fold, inner[0]) if inner else 1
            ends = [self.walk.inside(fold, inner[0], last) if inner else fold for last in (steps == 1, True)]
            rows, cols = (self.extent(ends[0], op.sides.get(side)) for side in ("rows", "columns"))
            last_cols = self.extent(ends[1], op.sides.get("columns"))
            points = start + amount.link_in
            end = points + steps * amount.cycles
            after = end + amount.link_out
            place = self.variables(at)
            whole = Fold(place, rows, cols, last_cols, steps, start, points, amount.cycles, end, after, -1)
            found += self._by_steps(op, whole) if self.keeps_every_step(op) else [whole]
            start = after
        return found

    def keeps_every_step(self, op: Op) -> bool:
        """Whether the array keeps a value of its own for every step: then every step is a fold."""
        einsum = self.cascade.einsum(op.slot.leaf.einsum)
        accesses = [a for a in (*einsum.loads, einsum.output) if op.inner in a.variables]
        return any(self.is_kept(access, op) for access in accesses)

    def _by_steps(self, op: Op, fold: Fold) -> list[Fold]:
        found = []
        for step in range(fold.steps):
            start = fold.points + step * fold.stride
            at = fold.at | {str(op.inner): fold.at[str(op.inner)] + step * op.advance}
            end = start + fold.stride
            found.append(replace(fold, at=at, steps=1, start=start, points=start, end=end, after=end))
        return found

    # Where values live

    def register(self, access: Access, fold: Fold, op: Op, kind: str = "") -> int:
        """Number of the register that holds a tensor's value in every PE of a fold; each value has its own."""
        key = self._key(access, fold, op, kind)
        return self.registers.setdefault(key, sum(1 for known in self.registers if known[0] == key[0]))

    def is_known(self, access: Access, fold: Fold, op: Op) -> bool:
        """Whether an Einsum of the same array has left the value in a register."""
        return self._key(access, fold, op, "") in self.registers

    def _key(self, access: Access, fold: Fold, op: Op, kind: str) -> tuple[str, ...]:
        sides = set(op.sides.values())
        at = {variable: (0 if variable in sides else value) for variable, value in fold.at.items()}
        tiles = tuple(str(fold.at[v]) for v in sorted(sides) if v in access.variables)
        return (op.slot.leaf.array, kind or access.tensor, str(self.layout.word(access, at)), *tiles)

    def is_kept(self, access: Access, op: Op) -> bool:
        """Whether an operand is found in the registers of the array, or waits there for others."""
        leaf, chains = op.slot.leaf, self.design.chains
        memory = chains.chain(leaf, access.tensor)[-1].memory
        return memory == chains.machine.registers_of(leaf.array)

    def place(self, access: Access, fold: Fold, lane: str | None, step: "str | Op | None") -> WordPlace:
        """Words by step, of a rank variable or of an op's innermost loop, and by lane."""
        words = self.layout.stride(access, step.inner) * step.advance if isinstance(step, Op) else 0
        if isinstance(step, str):
            words = self.layout.stride(access, step)
        return WordPlace(self.layout.word(access, fold.at), words, self.layout.stride(access, lane))

    # What happens

    def add_fold(self, op: Op, fold: Fold, number: int) -> None:
        array = self.design.machine.architecture.array(op.slot.leaf.array)
        issue = Issue(f"{op.slot.leaf.einsum} {number}", fold.points, fold.stride)
        if array.rows > 1:
            self.tasks += self.on_2d(op, fold, issue)
        elif op.reduced:
            self.tasks += self.reduction(op, fold, issue)
        else:
            for part in self.parts_of_equal_width(op, fold):
                named = issue._replace(name=f"{issue.name} from {part.points}", start=part.points)
                self.tasks += self.on_1d(op, part, named)

    def parts_of_equal_width(self, op: Op, fold: Fold) -> list[Fold]:
        """A fold, its last step apart where that has fewer lanes."""
        if fold.last_cols == fold.cols:
            return [fold]
        before, last = fold.steps - 1, fold.points + (fold.steps - 1) * fold.stride
        at = fold.at | {str(op.inner): fold.at[str(op.inner)] + before * op.advance}
        return [
            replace(fold, steps=before, end=last, last_cols=fold.cols),
            replace(fold, at=at, steps=1, points=last, start=last, cols=fold.last_cols),
        ]

    def on_2d(self, op: Op, fold: Fold, issue: Issue) -> list[ArrayTask]:
        einsum, rows, columns = self.cascade.einsum(op.slot.leaf.einsum), op.sides["rows"], op.sides["columns"]
        both = {rows, columns}
        whole, one = ArrayTile(fold.rows, fold.cols, fold.steps), ArrayTile(fold.rows, fold.cols)
        loads = {access.tensor: access for access in einsum.loads}
        fixed = [a for a in loads.values() if both <= set(a.variables)]
        moving = [a for a in loads.values() if not both <= set(a.variables)]
        out, tasks = einsum.output, []
        if fold.points > fold.start:  # an operand that differs in every PE is shifted in
            words = self.place(fixed[0], fold, columns, rows)
            held = self.register(fixed[0], fold, op)
            tasks.append(
                load(ArrayTile(fold.rows, fold.cols, fold.rows), replace_name(issue, "load", fold.start), words, held)
            )
        if op.inner in op.reduced and not fixed:
            left = next(a for a in moving if rows in a.variables)
            top = next(a for a in moving if columns in a.variables)
            held = self.register(out, fold, op)
            places = self.place(left, fold, rows, op), self.place(top, fold, columns, op)
            tasks.append(product_in_place(whole, issue, *places, held))
        elif rows in op.reduced and moving:
            held = self.register(fixed[0], fold, op)
            start = self.place(out, fold, columns, op) if self.returns(op, fold) else ZERO
            through = product_through(whole, issue, self.place(moving[0], fold, rows, op), held, start)
            tasks.append(to_memory(through, self.place(out, fold, columns, op)))
        elif rows in op.reduced:
            operator, start = reduction_of(einsum)
            down = reduce_down(one, issue, operator, self.register(fixed[0], fold, op), self.constant(start))
            tasks.append(to_memory(down, self.place(out, fold, columns, op)))
        else:
            registers = self.register(fixed[0], fold, op), self.register(out, fold, op)
            words = self.place(moving[0], fold, columns, None)
            tasks.append(broadcast_down(one, issue, operator_of(einsum), words, registers))
        if fold.after > fold.end and both <= set(out.variables):  # a result that stays in the PEs is shifted out
            held, words = self.register(out, fold, op), self.place(out, fold, columns, rows)
            tasks.append(
                drain(ArrayTile(fold.rows, fold.cols, fold.rows), replace_name(issue, "drain", fold.end), held, words)
            )
        return tasks

    def returns(self, op: Op, fold: Fold) -> bool:
        """Whether partial sums of this result have been made before: a reduced loop has advanced."""
        return any(fold.at[v] > 0 for v in op.reduced)

    def constant(self, value: float) -> WordPlace:
        return WordPlace(self.layout.words + (value != 0.0), 0, 0)

    def on_1d(self, op: Op, fold: Fold, issue: Issue) -> list[ArrayTask]:
        einsum, lane = self.cascade.einsum(op.slot.leaf.einsum), op.sides.get("columns")
        operands: list[tuple[int, Access | None]] = []
        for access in einsum.loads:
            kept = lane in access.variables and (self.is_kept(access, op) or self.is_known(access, fold, op))
            operands.append((self.register(access, fold, op), None) if kept else (WEST, access))
        tile = ArrayTile(1, fold.cols, fold.steps)
        name = operator_of(einsum)
        (a, first), (b, second) = operands[0], operands[1]
        if second is not None and lane in second.variables and first is None and name in ("add", "max", "multiply"):
            (a, first), (b, second) = (b, second), (a, first)
        words = ZERO if first is None else self.place(first, fold, lane, op)
        results = []
        if name == "subtract-exp" and fold.stride == 2 and not self.stays(op):
            # A result of two cycles cannot be sent on by one operation: the difference waits a cycle in a register.
            held = self.register(einsum.output, fold, op, "difference")
            less = to_register(issue_below(tile, issue, "subtract", (a, b), words), held)
            exp = issue_below(tile, replace_name(issue, "exp", issue.start + 1), "exp", (held, NOTHING))
            results = [less, using_up(exp, "a")]
        else:
            results = [issue_below(tile, issue, name, (a, b), words)]
        if second is not None:
            results[0] = with_broadcast(results[0], self.place(second, fold, None, op))
        results[-1] = self.put(results[-1], op, fold)
        return results

    def stays(self, op: Op) -> bool:
        """Whether a result is read in the 1D array alone, and so only kept in its registers."""
        out = self.cascade.einsum(op.slot.leaf.einsum).output
        touches = self.design.chains.touches_of(out.tensor)
        return self.is_kept(out, op) and all(t.leaf.array == op.slot.leaf.array for t in touches)

    def put(self, task: ArrayTask, op: Op, fold: Fold) -> ArrayTask:
        """A result goes to a register where the array keeps it, and to memory where others read it."""
        out, lane = self.cascade.einsum(op.slot.leaf.einsum).output, op.sides.get("columns")
        if self.stays(op):
            return to_register(task, self.register(out, fold, op))
        sent = to_memory(task, self.place(out, fold, lane, op))
        return replace(sent, to=self.register(out, fold, op)) if self.is_kept(out, op) else sent

    def reduction(self, op: Op, fold: Fold, issue: Issue) -> list[ArrayTask]:
        """A maximum or sum: over the steps of a lane, over the lanes, or over both."""
        einsum, lane = self.cascade.einsum(op.slot.leaf.einsum), op.sides["columns"]
        (access,), out = einsum.loads, einsum.output
        operator, start = reduction_of(einsum)
        words = self.place(access, fold, lane, op)
        if lane in op.reduced and fold.chain < 0:
            tile = ArrayTile(1, fold.cols, fold.steps)
            return [
                to_memory(
                    reduce_words_along(tile, issue, operator, words, self.constant(start)),
                    self.place(out, fold, None, None),
                )
            ]
        held = self.register(out, fold, op)
        first = issue_below(ArrayTile(1, fold.cols), issue, "move", (WEST, NOTHING), words)
        tasks = [to_register(first, held)]
        for step in range(1, fold.steps):
            lanes = fold.last_cols if step == fold.steps - 1 else fold.cols
            later = WordPlace(words.base + step * words.step_words, 0, words.lane_words)
            more = replace_name(issue, f"step {step}", issue.start + step * issue.stride)
            tasks.append(to_register(issue_below(ArrayTile(1, lanes), more, operator, (WEST, held), later), held))
        if fold.chain >= 0:
            along = reduce_along(
                ArrayTile(1, fold.cols), replace_name(issue, "chain", fold.chain), operator, held, self.constant(start)
            )
            tasks.append(to_memory(along, self.place(out, fold, None, None)))
        return tasks

    def initial(self, memory: np.ndarray, rows: int) -> None:
        """Initial values that an array keeps in its registers are there from the first cycles on."""
        starts = 0
        for slot in self.nest.slots:
            op = next(o for o in self.ops if o.slot is slot)
            for access in self.cascade.einsum(slot.leaf.einsum).loads:
                initial = next((i for i in self.cascade.initial if i.tensor == access.tensor), None)
                if initial is None or not self.is_kept(access, op):
                    continue
                for fold in self.found[op.index]:
                    number = self.register(access, fold, op)
                    word = self.layout.word(access, fold.at)
                    name = f"initial {access.tensor} {number}"
                    if np.isnan(memory[word]) or any(task.issue.name == name for task in self.tasks):
                        continue
                    place = self.place(access, fold, op.sides.get("columns"), None)
                    move = issue_below(ArrayTile(1, fold.cols), Issue(name, starts), "move", (WEST, NOTHING), place)
                    self.tasks.append(to_register(move, number))
                    starts += 1

    def play(self, named: NamedProgram, done: NestTiming, memory: np.ndarray) -> ArrayRun:
        """Run the nest from `memory: f8[word]`; its hazards tell what the schedule got wrong."""
        self.nest = named.nest
        self.ops = [self.op_of(named, n) for n in range(len(self.nest.slots))]
        initial = {initial.tensor for initial in self.cascade.initial}
        reads = [load for slot in self.nest.slots for load in self.cascade.einsum(slot.leaf.einsum).loads]
        # No more than a register for every repetition of everything that reads one.
        self.offset = sum(load.tensor in initial for load in reads) * max(done.runs.tolist())
        self.found = {op.index: self.folds(named, done, op) for op in self.ops}
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
            self.found[op.index][0].stride
            for op in self.ops
            if operator_of(self.cascade.einsum(op.slot.leaf.einsum)) == "subtract-exp"
        ]
        both = taken[0] if taken else 1
        return OperatorSlots(exp=max(both - 1, 1), subtract_exp=both)

    def last_cycle(self, named: NamedProgram, done: NestTiming) -> int:
        """Cycle in which, by the tile-level engine, the last result has left its array."""
        last = 0
        for op in self.ops:
            latency = latency_of_ways(self.design.chains, op.sizer, op.sizer.array.columns)
            ends = [row[col.END] for row in done.log.tolist() if row[0] == col.OP_ROW and row[2] == op.index]
            last = max(last, max(ends) + latency)
        return last - 1 + self.offset


def replace_name(issue: Issue, suffix: str, start: int) -> Issue:
    """A part of a task, with a name and a start of its own."""
    trains = suffix in ("load", "drain")
    return issue._replace(name=f"{issue.name} {suffix}", start=start, stride=1 if trains else issue.stride)


def operator_of(einsum: Einsum) -> str:
    """The array's operation for an Einsum's expression."""
    match einsum.expr:
        case Call(operator="exp", arguments=(Call(operator="sub"),)):
            return "subtract-exp"
        case Call(operator=operator) if operator in OPERATORS:
            return OPERATORS[operator]
        case Load():
            return "move"
    raise AssertionError(f"no task for {einsum}")


def reduction_of(einsum: Einsum) -> tuple[str, float]:
    """Operator and neutral element of a reduction."""
    operator = einsum.reduction.operator if einsum.reduction else "add"
    return (operator, -np.inf) if operator == "max" else ("add", 0.0)
