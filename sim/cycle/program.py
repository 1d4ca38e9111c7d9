"""From a nest of one design to the integer tables of the tile-level engine: names end here.

A `Program` combines what depends on the mapping alone (order, lags, dependencies) with what depends on extents
(amounts, transfers); the Python side keeps the names of its ops, keeps and servers.
"""

from dataclasses import dataclass
from math import ceil

import numpy as np

from sim.cycle.choice import CycleDesign
from sim.cycle.frames import Frame
from sim.cycle.joint import Joint, PlacedTile, joint_of
from sim.cycle.latency import latency_of
from sim.cycle.layout import laid_out
from sim.cycle.nest import Nest
from sim.cycle.order import Order
from sim.cycle.state import EngineProgram
from sim.cycle.staying import combinations_of, staying_tables, staying_tiles
from sim.cycle.tiles import TileRows, server_of, servers_of
from sim.cycle.variants import Variants, number_variants
from sim.engine.cycle import columns as col
from sim.lower.demands import Way
from sim.lower.walk import Extents

SKEW_STEPS = 8  # steps by which arrays without barriers may drift apart


@dataclass(frozen=True)
class NamedProgram:
    """A program and the names of its rows. `nest`: its nests as one."""

    program: EngineProgram
    joint: Joint
    nest: Nest
    order: Order
    ops: tuple[str, ...]
    tiles: tuple[PlacedTile, ...]
    ways: tuple[Way, ...]  # between arrays and memories, of words that no tile moves
    warnings: tuple[str, ...]


def lower_nest(design: CycleDesign, nest: Nest, start: Extents) -> NamedProgram:
    """Tables of one nest whose loops begin with tiles of extents `start`. ValueError if its schedule cannot run."""
    return lower_nests(design, (nest,), start)


def lower_nests(design: CycleDesign, nests: tuple[Nest, ...], start: Extents) -> NamedProgram:
    """The same of nests that run one after the other, with the loops that they share."""
    joint = joint_of(design, nests, start)
    rows = _Rows(design, joint, number_variants(design.walk, start, joint.frame))
    slot_of_op = {op: n for n, op in rows.op_of_slot.items()}
    program, notes = laid_out(design, joint, rows.variants, rows.program(), slot_of_op)
    ways = tuple(sizer.ways[n][0] for sizer, own in zip(joint.sizers, rows.ways, strict=True) for n in own)
    warnings = (*joint.warnings, *_spilling(design, joint.tiles), *notes)
    return NamedProgram(program, joint, joint.nest, joint.order, rows.names, joint.tiles, ways, warnings)


def _spilling(design: CycleDesign, tiles: tuple[PlacedTile, ...]) -> list[str]:
    """What there is to say about memories that have no room for all of their tiles."""
    moved = dict.fromkeys(tile.keep.keep.memory for tile in tiles if tile.keep.traffic)
    return [
        f"'{memory}' has no room for part of its tiles: what fits comes before its first use, the rest with the slots "
        "that use it; with more room the run may take longer"
        for memory in moved
        if design.machine.spilled.get(memory, 0)
    ]


def _contains(frame: Frame, nest: int) -> bool:
    return frame.nest == nest or any(_contains(item, nest) for item in frame.items)


class _Rows:
    """Fills the tables of one program."""

    def __init__(self, design: CycleDesign, joint: Joint, variants: Variants) -> None:
        self.design, self.joint, self.nest, self.variants = design, joint, joint.nest, variants
        self.tiles, self.order = joint.tiles, joint.order
        self.machine = design.chains.machine
        self.ported = design.machine.ported
        self.place = self._place_ops()
        self.staying = [
            staying_tiles(design.walk, joint.loops_around(n), sizer, variants) for n, sizer in enumerate(joint.sizers)
        ]
        # Of every slot the ways whose words no tile moves.
        self.ways = [
            tuple(number for number, (way, _) in enumerate(sizer.ways) if not way.by_itself) for sizer in joint.sizers
        ]
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

    def program(self) -> EngineProgram:
        users = sum(len(tile.keep.users) for tile in self.tiles)
        lanes, groups = self._lanes()
        table = self._amounts()
        ops, deps, uses = self._ops(table[0])
        tiles = TileRows(self.design, self.joint, self.variants, self.op_of_slot)
        max_lag = max(self.order.lags)
        sizes = {
            col.ARRAYS: lanes.shape[0],
            col.OPS: len(ops),
            col.KEEPS: len(self.tiles),
            col.USERS: users,
            col.SERVERS: len(servers_of(self.design)),
            col.DEPTH: self.joint.frame.depth,
            col.RECORDS: int(self.variants.inside[0, 0]),
            col.MAX_LAG: max_lag,
            col.BARRIER: int(self.nest.barrier),
            col.WINDOW: 2 * max_lag + 2 * SKEW_STEPS + 4,
            col.SKEW: SKEW_STEPS,
            col.PORTED: len(self.ported),
            col.VARIANTS: len(self.variants.points),
            col.NESTS: len(self.joint.nests),
            col.PER_PHASE: int(self.design.per_phase),
            col.SUMS: sum(any(traffic.only_again for traffic in tile.keep.traffic) for tile in self.tiles),
        }
        tables = {
            "TRIPS": self.variants.trips,
            "CHILD": self.variants.child,
            "BEFORE": self.variants.before,
            "RECORDS_BELOW": self.variants.inside,
            "OP_TABLE": ops,
            "AMOUNTS": table[0],
            "ROW_ACCESSES": table[1],
            "WAYS": self._ways(),
            "WAY_WORDS": self._way_words(),
            **staying_tables(self.joint.sizers, self.staying, self.variants),
            "GUARD": self._guards(),
            "HOME": self._homes(),
            "RETURNS": tiles.returns(),
            "DEPS": deps,
            "USES": uses,
            "STAGES": self._stages(table[0], uses),
            "KEEP_TABLE": tiles.keeps(),
            "FIXED": tiles.fixed(self.staying),
            "MOVES": tiles.moves(),
            "LANES": lanes,
            "GROUPS": groups,
            "FIRST_WORD": tiles.first_words(len(ops)),
            "PORTS": np.array([self.design.machine.ports(m) for m in self.ported], np.int64),
        }
        return EngineProgram(sizes, tables)

    @property
    def _levels(self) -> int:
        return max(self.joint.frame.depth, 1)

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

    def _ops(self, amounts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        arrays = list(dict.fromkeys(slot.leaf.array for slot in self.nest.slots))
        root = self.machine.root
        ops = np.zeros((len(self.place), col.OP_COLUMNS), np.int64)
        deps: list[tuple[int, ...]] = []
        uses: list[tuple[int, ...]] = []
        users = self._users()
        for op, (_, n, waits) in enumerate(self.place):
            slot, first = self.nest.slots[n], (len(deps), len(uses))
            stay = sum(len(tiles) for tiles in self.staying[:n])
            ways = sum(len(numbers) for numbers in self.ways[:n])
            # In any of its repetitions, also those in which sums come back.
            reads = bool(amounts[:, op, col.READ_WORDS].any())
            writes = bool(amounts[:, op, col.WRITE_WORDS].any())
            if waits:
                deps.append((self.op_of_slot[n], col.SAME, -1, 0))
            else:
                for need in (x for x in self.joint.needs if x.reader == n):
                    kind = col.INSIDE if need.inside else col.CARRIED if need.loop >= 0 else col.SAME
                    deps.append((self.op_of_slot[need.producer], kind, need.loop, int(need.in_place)))
                for far in (x for x in self.joint.across if x.reader == n):
                    deps.append((self.op_of_slot[far.producer], col.ACROSS, far.level, int(far.comes_first)))
                uses += users[n]
            values = {
                col.ARRAY: arrays.index(slot.leaf.array),
                col.PHASE: self._phase(op),
                col.LAG: self.order.lags[n],
                col.INNER_LAG: 0 if waits else self.order.inner_lags[n],
                col.DEPTH_OF: self.joint.level(n, slot.depth),
                col.KIND: col.WAIT if waits else col.RUN,
                col.LATENCY: self.joint.latencies[n],
                col.SHARES: 0 if waits else self._shares(n),
                col.READ_SERVER: server_of(self.design, root, False) if reads else -1,
                col.WRITE_SERVER: server_of(self.design, root, True) if writes else -1,
                col.DEP_FIRST: first[0],
                col.DEP_LAST: len(deps),
                col.USE_FIRST: first[1],
                col.USE_LAST: len(uses),
                col.STAY_FIRST: stay,
                col.STAY_LAST: stay + (0 if waits else len(self.staying[n])),
                col.WAY_FIRST: ways,
                col.WAY_LAST: ways + (0 if waits else len(self.ways[n])),
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
        if n not in self.order.shared:
            return col.ALONE
        return col.IN_RECORD if self.nest.slots[n].group_loops else col.NEXT_RECORD

    def _users(self) -> list[list[tuple[int, ...]]]:
        """For every slot its (keep, needs it filled, needs room for it, number of the user)."""
        found: list[list[tuple[int, ...]]] = [[] for _ in self.nest.slots]
        number = 0
        for k, keep in enumerate(tile.keep for tile in self.tiles):
            for n in keep.users:
                makes_room = int(n == keep.writer and not keep.fills)
                found[n].append((k, int(keep.fills), makes_room, number))
                number += 1
        return found

    def _amounts(self) -> tuple[np.ndarray, np.ndarray]:
        points, most = self.variants.points, max(len(tiles) for tiles in self.staying)
        shape = ((1 << most) * len(points), len(self.place))
        table = np.zeros((*shape, col.AMOUNT_COLUMNS), np.int64)
        rows = np.zeros((*shape, 4, len(self.ported)), np.int64)
        for op, (_, n, waits) in enumerate(self.place):
            for number, staying in enumerate(combinations_of(self.staying[n])):
                for v, (frame, _, inside) in enumerate(points):
                    at = number * len(points) + v
                    if waits:
                        table[at, op, [col.REPEATS, col.FOLDS, col.POINTS, col.CYCLES]] = 1
                    elif _contains(frame, self.joint.nest_of[n]):
                        table[at, op], rows[at, op, :3] = self._amount(n, inside, staying)
        return table, rows

    def _amount(self, n: int, inside: Extents, staying: frozenset[int]) -> tuple[tuple[int, ...], np.ndarray]:
        machine, root, sizer = self.design.machine, self.machine.root, self.joint.sizers[n]
        a = sizer.amount(inside, staying)
        early = 0
        if sizer.array.links is not None:
            columns = sizer.columns_used(inside)
            early = self.joint.latencies[n] - latency_of(
                self.design.chains, sizer, a, columns, self.joint.full_amounts[n]
            )
        streams = (
            machine.transfer_cycles(root, a.read_words, False),
            machine.transfer_cycles(root, a.write_words, True),
        )
        numbers = (a.repeats, a.folds, a.points, a.cycles, a.link_in, a.link_out, *streams, a.stretch, a.chain, early)
        words = (ceil(a.read_words), ceil(a.write_words))
        return (*numbers, *words), np.array(a.rows, np.int64).reshape(3, len(self.ported))

    def _ways(self) -> np.ndarray:
        """What passes between arrays and memories, and which bits of its op's amounts say whether it does."""
        rows = []
        for sizer, tiles, numbers in zip(self.joint.sizers, self.staying, self.ways, strict=True):
            bits = {tile.way: bit for bit, tile in enumerate(tiles)}
            rows += [(int(sizer.ways[n][0].writes), bits.get(n, -1), bits.get(~n, -1)) for n in numbers]
        return np.array(rows, np.int64).reshape(-1, 3)

    def _way_words(self) -> np.ndarray:
        words = np.zeros((len(self.variants.points), sum(map(len, self.ways)), 2), np.int64)
        for v, (frame, _, extents) in enumerate(self.variants.points):
            column = 0
            for n, (sizer, numbers) in enumerate(zip(self.joint.sizers, self.ways, strict=True)):
                for way in numbers if _contains(frame, self.joint.nest_of[n]) else ():
                    if way not in sizer.elsewhere:
                        words[v, column + numbers.index(way)] = sizer.words(way, extents)[1:]
                column += len(numbers)
        return words

    def _stages(self, amounts: np.ndarray, uses: np.ndarray) -> np.ndarray:
        """How ops go through the tiles that come in pieces."""
        stages = np.zeros((len(amounts), len(uses), 3), np.int64)
        slot_of_user = {user: n for n, own in enumerate(self._users()) for _, _, _, user in own}
        for row, (k, needs_fill, _, user) in enumerate(uses.tolist()):
            keep, n = self.tiles[k].keep, slot_of_user[user]
            piece = self.design.machine.piece(keep.keep.memory)
            if not piece or not needs_fill or self.tiles[k].level != self.joint.level(n, self.nest.slots[n].depth):
                continue
            parts = self.design.chains.space.parts_of_tensor(keep.keep.tensor)
            for at in range(len(amounts)):
                folds, repeats = amounts[at, self.op_of_slot[n], [col.FOLDS, col.REPEATS]].tolist()
                extents = self.variants.extents[at % len(self.variants.extents)]
                count, times, step = self.joint.sizers[n].stage(extents, parts) if repeats == 1 else (1, 1, 0)
                if step and folds % (count * times) == 0:
                    stages[at, row] = folds // (count * times), step, piece
        return stages

    def _guards(self) -> np.ndarray:
        guard = np.zeros((len(self.place), self._levels), np.int64)
        for op, (_, n, _) in enumerate(self.place):
            guard[op, [self.joint.level(n, position) for position in self.nest.slots[n].guard]] = 1
        return guard

    def _homes(self) -> np.ndarray:
        home = np.full((len(self.tiles) + len(self.place), self._levels), -1, np.int64)
        for k, tile in enumerate(self.tiles):
            for level, item in tile.home:
                home[k, level] = item
        for op, (_, n, _) in enumerate(self.place):
            for level, item in self.joint.places[self.joint.nest_of[n]].home:
                home[len(self.tiles) + op, level] = item
        return home
