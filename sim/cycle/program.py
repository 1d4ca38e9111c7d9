"""From a nest of one design to the integer tables of the tile-level engine: names end here.

A `Program` combines what depends on the mapping alone (order, lags, dependencies) with what depends on extents
(amounts, transfers); the Python side keeps the names of its ops, keeps and servers.
"""

from dataclasses import dataclass
from fractions import Fraction
from math import ceil

import numpy as np

from sim.cycle.amounts import Amount, Sizer
from sim.cycle.choice import Chosen, CycleDesign, choose, sizer_of, with_folds_apart
from sim.cycle.keeps import NestKeep, TileTraffic
from sim.cycle.latency import latency_of
from sim.cycle.nest import Nest, Slot
from sim.cycle.order import Need, Order, needs_of, with_equal_repetitions
from sim.cycle.state import EngineProgram
from sim.cycle.staying import StayingTile, combinations_of, fixed_loops, staying_tiles
from sim.cycle.variants import Variants, number_variants
from sim.engine.cycle import columns as col
from sim.lower.walk import Extents

SKEW_STEPS = 8  # steps by which arrays without barriers may drift apart


@dataclass(frozen=True)
class NamedProgram:
    """A program and the names of its rows."""

    program: EngineProgram
    nest: Nest
    order: Order
    ops: tuple[str, ...]
    keeps: tuple[NestKeep, ...]
    warnings: tuple[str, ...]


def lower_nest(design: CycleDesign, nest: Nest, start: Extents) -> NamedProgram:
    """Tables of a nest whose loops begin with tiles of extents `start`. ValueError if its schedule cannot run."""
    variants = number_variants(design.walk, start, nest.loops)

    def even(slot: Slot) -> bool:
        return all(design.walk.is_even(extents, slot.group_loops) for extents in variants.extents)

    nest = with_equal_repetitions(design.chains, nest, even)
    if (apart := with_folds_apart(design, nest, start)) is not nest:
        nest, variants = apart, number_variants(design.walk, start, apart.loops)
    sizers = [sizer_of(design, nest, n) for n in range(len(nest.slots))]
    needs = needs_of(design.chains, nest)
    chosen = choose(design, nest, (variants, sizers, needs))
    rows = _Rows(design, nest, variants, needs, chosen)
    program = rows.program(sizers)
    return NamedProgram(program, nest, chosen.order, rows.names, tuple(chosen.keeps), chosen.warnings)


class _Rows:
    """Fills the tables of one nest."""

    staying: list[tuple[StayingTile, ...]]  # of each slot

    def __init__(self, design: CycleDesign, nest: Nest, variants: Variants, needs: list[Need], chosen: Chosen) -> None:
        self.design, self.nest, self.variants, self.needs, self.chosen = design, nest, variants, needs, chosen
        self.machine = design.chains.machine
        self.ported = design.machine.ported
        self.place = self._place_ops()
        self.names = tuple(name for name, _, _ in self.place)
        self.op_of_slot = {n: i for i, (_, n, waits) in enumerate(self.place) if not waits}

    def _place_ops(self) -> list[tuple[str, int, bool]]:
        """(name, slot, whether it only waits) in the order of phases; a drain waits in the lane of what drains."""
        slots = self.nest.slots
        entries = [(slot.phase, n, False) for n, slot in enumerate(slots)]
        for phase, name in self.nest.drains:
            entries += [(phase, n, True) for n, slot in enumerate(slots) if slot.leaf.einsum == name]
        entries.sort(key=lambda entry: entry[0])
        return [
            (f"drain {slots[n].leaf.einsum}" if waits else slots[n].leaf.einsum, n, waits) for _, n, waits in entries
        ]

    def program(self, sizers: list[Sizer]) -> EngineProgram:
        self.staying = [staying_tiles(self.design.walk, self.nest, sizer, self.variants) for sizer in sizers]
        amounts = {(n, e): sizers[n].amount(e) for n in range(len(sizers)) for e in self.variants.extents}
        users = sum(len(k.users) for k in self.chosen.keeps)
        lanes, groups = self._lanes()
        ops, deps, uses = self._ops(amounts)
        table = self._amounts(sizers)
        depth, max_lag = len(self.nest.loops), max(self.chosen.order.lags)
        sizes = {
            col.ARRAYS: lanes.shape[0],
            col.OPS: len(ops),
            col.KEEPS: len(self.chosen.keeps),
            col.USERS: users,
            col.SERVERS: len(self.machine.memories),
            col.DEPTH: depth,
            col.RECORDS: int(self.variants.inside[0, 0]),
            col.MAX_LAG: max_lag,
            col.BARRIER: int(self.nest.barrier),
            col.WINDOW: max_lag + 2 * SKEW_STEPS + 4,
            col.SKEW: SKEW_STEPS,
            col.PORTED: len(self.ported),
            col.VARIANTS: len(self.variants.extents),
        }
        tables = {
            "TRIPS": self.variants.trips,
            "CHILD": self.variants.child,
            "RECORDS_BELOW": self.variants.inside,
            "OP_TABLE": ops,
            "AMOUNTS": table[0],
            "ROW_ACCESSES": table[1],
            "STAYING": np.array([[tile.how] for tiles in self.staying for tile in tiles], np.int64).reshape(-1, 1),
            "GUARD": self._guards(),
            "DEPS": deps,
            "USES": uses,
            "KEEP_TABLE": self._keeps(),
            "FIXED": self._fixed(),
            "MOVES": self._moves(),
            "LANES": lanes,
            "GROUPS": groups,
            "PORTS": np.array([self.design.machine.ports(m) for m in self.ported], np.int64),
        }
        return EngineProgram(sizes, tables)

    def _lanes(self) -> tuple[np.ndarray, np.ndarray]:
        """Groups of every array that runs anything, in order, -1 at the end; and the ops of each group."""
        arrays = list(dict.fromkeys(slot.leaf.array for slot in self.nest.slots))
        groups: list[tuple[int, int]] = []
        lanes: dict[str, list[int]] = {array: [] for array in arrays}
        last: tuple[int, bool] | None = None
        for op, (_, n, waits) in enumerate(self.place):
            key = (self.nest.slots[n].group, waits)
            if key == last and not waits:
                groups[-1] = (groups[-1][0], op + 1)
                continue
            last = key
            lanes[self.nest.slots[n].leaf.array].append(len(groups))
            groups.append((op, op + 1))
        longest = max(len(lane) for lane in lanes.values())
        table = np.full((len(arrays), longest + 1), -1, np.int64)
        for row, lane in enumerate(lanes.values()):
            table[row, : len(lane)] = lane
        return table, np.array(groups, np.int64)

    def _ops(self, amounts: dict[tuple[int, Extents], Amount]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        arrays = list(dict.fromkeys(slot.leaf.array for slot in self.nest.slots))
        root = self.machine.memories.index(self.machine.root)
        ops = np.zeros((len(self.place), col.OP_COLUMNS), np.int64)
        deps: list[tuple[int, ...]] = []
        uses: list[tuple[int, ...]] = []
        users = self._users()
        for op, (_, n, waits) in enumerate(self.place):
            slot, first = self.nest.slots[n], (len(deps), len(uses))
            stay = sum(len(tiles) for tiles in self.staying[:n])
            own = [amounts[n, e] for e in self.variants.extents]
            if waits:
                deps.append((self.op_of_slot[n], col.SAME, -1, 0))
            else:
                for need in (x for x in self.needs if x.reader == n):
                    kind = col.INSIDE if need.inside else col.CARRIED if need.loop >= 0 else col.SAME
                    deps.append((self.op_of_slot[need.producer], kind, need.loop, int(need.in_place)))
                uses += users[n]
            values = {
                col.ARRAY: arrays.index(slot.leaf.array),
                col.PHASE: self._phase(op),
                col.LAG: self.chosen.order.lags[n],
                col.INNER_LAG: 0 if waits else self.chosen.order.inner_lags[n],
                col.DEPTH_OF: slot.depth,
                col.KIND: col.WAIT if waits else col.RUN,
                col.LATENCY: self.chosen.latencies[n],
                col.SHARES: 0 if waits else self._shares(n),
                col.READ_SERVER: root if not waits and any(a.read_words for a in own) else -1,
                col.WRITE_SERVER: root if not waits and any(a.write_words for a in own) else -1,
                col.DEP_FIRST: first[0],
                col.DEP_LAST: len(deps),
                col.USE_FIRST: first[1],
                col.USE_LAST: len(uses),
                col.STAY_FIRST: stay,
                col.STAY_LAST: stay + (0 if waits else len(self.staying[n])),
            }
            for place, value in values.items():
                ops[op, place] = value
        shaped = np.array(deps, np.int64).reshape(-1, 4), np.array(uses, np.int64).reshape(-1, 4)
        return ops, *shaped

    def _phase(self, op: int) -> int:
        name, n, waits = self.place[op]
        if not waits:
            return self.nest.slots[n].phase
        return next(phase for phase, drained in self.nest.drains if f"drain {drained}" == name)

    def _shares(self, n: int) -> int:
        """Which repetition begins with the chain of another one: none, the next in its record, or simply the next."""
        if n not in self.chosen.order.shared:
            return col.ALONE
        return col.IN_RECORD if self.nest.slots[n].group_loops else col.NEXT_RECORD

    def _users(self) -> list[list[tuple[int, ...]]]:
        """For every slot its (keep, needs it filled, needs room for it, number of the user)."""
        found: list[list[tuple[int, ...]]] = [[] for _ in self.nest.slots]
        number = 0
        for k, keep in enumerate(self.chosen.keeps):
            for n in keep.users:
                makes_room = int(n == keep.writer and not keep.fills)
                found[n].append((k, int(keep.fills), makes_room, number))
                number += 1
        return found

    def _amounts(self, sizers: list[Sizer]) -> tuple[np.ndarray, np.ndarray]:
        extents, most = self.variants.extents, max(len(tiles) for tiles in self.staying)
        shape = ((1 << most) * len(extents), len(self.place))
        table = np.zeros((*shape, col.AMOUNT_COLUMNS), np.int64)
        rows = np.zeros((*shape, 4, len(self.ported)), np.int64)
        for op, (_, n, waits) in enumerate(self.place):
            if waits:
                table[:, op, [col.REPEATS, col.FOLDS, col.POINTS, col.CYCLES]] = 1
                continue
            for number, staying in enumerate(combinations_of(self.staying[n])):
                for v, inside in enumerate(extents):
                    at = number * len(extents) + v
                    table[at, op], rows[at, op, :3] = self._amount(sizers[n], n, inside, staying)
        return table, rows

    def _amount(
        self, sizer: Sizer, n: int, inside: Extents, staying: frozenset[int]
    ) -> tuple[tuple[int, ...], np.ndarray]:
        machine, root = self.design.machine, self.machine.root
        a = sizer.amount(inside, staying)
        early = 0
        if sizer.array.links is not None:
            columns = sizer.columns_used(inside)
            late = latency_of(self.design.chains, sizer, a, columns, self.chosen.amounts[n])
            early = self.chosen.latencies[n] - late
        streams = (
            machine.transfer_cycles(root, a.read_words, False),
            machine.transfer_cycles(root, a.write_words, True),
        )
        numbers = (a.repeats, a.folds, a.points, a.cycles, a.link_in, a.link_out, *streams, a.stretch, a.chain, early)
        return numbers, np.array(a.rows, np.int64).reshape(3, len(self.ported))

    def _guards(self) -> np.ndarray:
        guard = np.zeros((len(self.place), max(len(self.nest.loops), 1)), np.int64)
        for op, (_, n, _) in enumerate(self.place):
            guard[op, list(self.nest.slots[n].guard)] = 1
        return guard

    def _keeps(self) -> np.ndarray:
        rows, user = np.zeros((len(self.chosen.keeps), col.KEEP_COLUMNS), np.int64), 0
        root = self.machine.root
        for k, keep in enumerate(self.chosen.keeps):
            other = keep.other_side
            values = {
                col.SERVER: -1 if other is None else self.machine.memory(root if self._spills(other) else other),
                col.KEEP_DEPTH: keep.depth,
                col.COPIES: keep.copies,
                col.FILLS: int(keep.fills),
                col.DRAINS: int(keep.drains),
                col.GROUP: keep.keep.share_group,
                col.FIRST_USER: user,
                col.LAST_USER: user + len(keep.users),
                col.FILL_CAUSE: col.OFF_CHIP if other == root and not self._waits_for_room(keep) else col.OPERAND,
                col.WRITER: -1 if keep.writer is None else self.op_of_slot[keep.writer],
                col.OLD_LOOP: self._old_loop(keep),
                col.PORT_A: self._port(keep.keep.memory),
                col.PORT_B: -1 if other is None else self._port(other),
                col.SOURCE: self._source(keep),
            }
            for place, value in values.items():
                rows[k, place] = value
            user += len(keep.users)
        return rows

    def _waits_for_room(self, keep: NestKeep) -> bool:
        """Whether a memory takes longer to write what comes from the root than the root to read it."""
        machine, one = self.design.machine, Fraction(1 << 20)
        taken, given = machine.transfer_cycles(keep.keep.memory, one, True), self.machine.root
        return taken > machine.transfer_cycles(given, one, False)

    def _spills(self, memory: str) -> bool:
        """Whether part of the data read from a memory lies further out; the root then serves it."""
        return self.design.machine.spilled.get(memory, Fraction(0)) > 0

    def _port(self, memory: str) -> int:
        return self.ported.index(memory) if memory in self.ported else -1

    def _old_loop(self, keep: NestKeep) -> int:
        """The loop between whose iterations a tile comes back changed; -1: it does not."""
        tree = self.design.chains.tree
        old = any(t.touch.version == "old" for t in keep.traffic if not t.writes)
        is_made_here = any(slot.leaf.einsum == keep.keep.tensor for slot in self.nest.slots)
        if not keep.fills or not is_made_here or not (keep.drains or old):
            return -1
        inside = self.nest.loops[: keep.depth]
        if any(t.only_again for t in keep.traffic):
            parts = next(t.parts for t in keep.traffic if t.only_again)
            return max((n for n, i in enumerate(inside) if self.design.walk.loops[i].part not in parts), default=-1)
        variables = {
            rank.lower() for tensor, rank in self.design.chains.cascade.iterative if tensor == keep.keep.tensor
        }
        return next((n for n, i in enumerate(inside) if tree.loops[i].variable in variables), -1)

    def _source(self, keep: NestKeep) -> int:
        """The op of this nest whose result a tile brings back from further out; -1: none."""
        makers = [n for n, s in enumerate(self.nest.slots) if s.leaf.einsum == keep.keep.tensor and n not in keep.users]
        return self.op_of_slot[makers[0]] if keep.fills and makers else -1

    def _fixed(self) -> np.ndarray:
        """Loops that leave a tile in place: a kept one, or one that may stay in registers."""
        walk, loops, variants, space = self.design.walk, self.nest.loops, self.variants, self.design.chains.space
        parts = [(keep.depth, space.parts_of_tensor(keep.keep.tensor)) for keep in self.chosen.keeps]
        found = [fixed_loops(walk, loops, depth, of_tensor, variants) for depth, of_tensor in parts]
        found += [tile.fixed for tiles in self.staying for tile in tiles]
        shape = (len(variants.extents), 0, max(len(loops), 1))
        return np.stack(found, axis=1) if found else np.ones(shape, np.int64)

    def _moves(self) -> np.ndarray:
        moves = np.zeros((len(self.variants.extents), len(self.chosen.keeps), 2), np.int64)
        for k, keep in enumerate(self.chosen.keeps):
            for v, extents in enumerate(self.variants.extents):
                for traffic in keep.traffic:
                    words = self.design.walk.words(extents, traffic.parts)
                    moves[v, k, int(traffic.writes)] += self._transfer_cycles(keep, traffic, words)
        return moves

    def _transfer_cycles(self, keep: NestKeep, traffic: TileTraffic, words: int) -> int:
        """The slowest of both memories' bandwidths and row rates; the part of a tile that does not fit never moves."""
        machine, inner, other = self.design.machine, keep.keep.memory, traffic.memory
        resident = words * (1 - machine.spilled.get(inner, Fraction(0)))
        cycles = [
            machine.transfer_cycles(other, resident, traffic.writes),
            machine.transfer_cycles(inner, resident, not traffic.writes),
        ]
        if self._spills(other):
            cycles.append(machine.transfer_cycles(self.machine.root, words * machine.spilled[other], traffic.writes))
        cycles += [ceil(resident / machine.row_words(m)) for m in (other, inner) if m in self.ported]
        return max(cycles)
