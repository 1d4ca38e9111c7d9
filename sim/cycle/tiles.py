"""The tables of a program about its kept tiles: where they are, what moves them, and with what they arrive.

A transfer occupies the server of the memory that it comes from or goes to for as long as the slower of both memories
takes.
"""

from dataclasses import dataclass
from fractions import Fraction
from math import isfinite

import numpy as np

from mappings.tree import ResolvedTree
from sim.cycle.choice import CycleDesign
from sim.cycle.joint import Joint, PlacedTile
from sim.cycle.keeps import NestKeep, TileTraffic
from sim.cycle.staying import StayingTile, fixed_levels
from sim.cycle.variants import Variants
from sim.engine.cycle import columns as col
from sim.engine.ports import served_cycles
from sim.lower.machine import MachineShape
from sim.lower.walk import Extents


def servers_of(design: CycleDesign) -> list[str]:
    """The memory of each server: one for every memory, then one more for the writes of those whose links are apart."""
    rates, memories = design.machine, list(design.chains.machine.memories)
    apart = [
        memory
        for memory in memories
        if not isfinite(rates.bytes_per_s(memory))
        and any(isfinite(rates.bytes_per_s_of(memory, writes)) for writes in (False, True))
    ]
    return memories + apart


def server_of(design: CycleDesign, memory: str, writes: bool) -> int:
    """The server of a memory's reads or writes."""
    servers = servers_of(design)
    own = [n for n, name in enumerate(servers) if name == memory]
    return own[-1] if writes else own[0]


@dataclass(frozen=True)
class TileRows:
    """Fills the tables of the tiles of one program. op_of_slot: the op that runs a slot's Einsum."""

    design: CycleDesign
    joint: Joint
    variants: Variants
    op_of_slot: dict[int, int]

    @property
    def tiles(self) -> tuple[PlacedTile, ...]:
        return self.joint.tiles

    @property
    def machine(self) -> MachineShape:
        return self.design.chains.machine

    @property
    def _levels(self) -> int:
        return max(self.joint.frame.depth, 1)

    def first_words(self, streams: int) -> np.ndarray:
        """Cycles to the first word of what fills and drains every keep, then of what each op streams in and out."""
        rates, root = self.design.machine, self.machine.root
        each = [(self._far_side(tile.keep) or root, rates.latency_cycles(tile.keep.keep.memory)) for tile in self.tiles]
        each += [(root, 0)] * streams
        found = [(rates.first_word_cycles(far, False), rates.first_word_cycles(far, True) + own) for far, own in each]
        return np.array(found, np.int64).reshape(-1, 2)

    def _far_side(self, keep: NestKeep) -> str | None:
        """The memory that has what a keep exchanges with the next place outward; None if it exchanges nothing."""
        other = keep.other_side
        return keep.traffic[0].behind if other is not None and self._spills(other) else other

    def returns(self) -> np.ndarray:
        found = np.zeros((len(self.tiles), self._levels), np.int64)
        for k, tile in enumerate(self.tiles):
            for traffic in tile.keep.traffic:
                for level, loop in tile.loops if traffic.only_again else ():
                    found[k, level] = self.design.walk.loops[loop].part not in traffic.moving
        return found

    def keeps(self) -> np.ndarray:
        rows, user = np.zeros((len(self.tiles), col.KEEP_COLUMNS), np.int64), 0
        root = self.machine.root
        for k, tile in enumerate(self.tiles):
            keep, other = tile.keep, tile.keep.other_side
            source, level, comes_first = self._source(keep)
            far = self._far_side(keep)
            values = {
                col.FILL_SERVER: -1 if far is None or not keep.fills else server_of(self.design, far, False),
                col.DRAIN_SERVER: -1 if far is None or not keep.drains else server_of(self.design, far, True),
                col.KEEP_DEPTH: tile.level,
                col.COPIES: keep.copies,
                col.FILLS: int(keep.fills),
                col.DRAINS: int(keep.drains),
                col.GROUP: keep.keep.share_group,
                col.FIRST_USER: user,
                col.LAST_USER: user + len(keep.users),
                col.FILL_CAUSE: col.OFF_CHIP if other == root and not self._waits_for_room(keep) else col.OPERAND,
                col.WRITER: -1 if keep.writer is None else self.op_of_slot[keep.writer],
                col.OLD_LOOP: self._old_loop(tile),
                col.PORT_A: self._port(keep.keep.memory),
                col.PORT_B: -1 if other is None else self._port(other),
                col.SOURCE: source,
                col.SOURCE_LEVEL: level,
                col.SOURCE_FIRST: int(comes_first),
                col.WAITS_AT: tile.waits_at,
                col.IN_TURN: int(len(self.joint.nests) > 1),
                col.OUTER: self._outer(tile),
                col.PARTIAL_SUMS: int(any(traffic.only_again for traffic in keep.traffic)),
            }
            for place, value in values.items():
                rows[k, place] = value
            user += len(keep.users)
        return rows

    def _outer(self, tile: PlacedTile) -> int:
        """The keep that brings what fills a tile: the innermost around it that is filled itself; -1: none."""
        keep, found = tile.keep, -1
        for n, other in enumerate(self.tiles):
            around = other.keep.keep
            if other is tile or around.tensor != keep.keep.tensor or not keep.fills or not other.keep.fills:
                continue
            is_source = around.memory == keep.other_side and around.loops == keep.keep.loops[: len(around.loops)]
            if is_source and all(around.covers(leaf) for leaf in self._leaves(keep)):
                found = n
        return found

    def _leaves(self, keep: NestKeep) -> list[int]:
        return [self.joint.nest.slots[n].leaf.index for n in keep.users]

    def _waits_for_room(self, keep: NestKeep) -> bool:
        """Whether a memory takes longer to write what comes from the root than the root to read it."""
        machine, one = self.design.machine, Fraction(1 << 20)
        taken, given = machine.transfer_cycles(keep.keep.memory, one, True), self.machine.root
        return taken > machine.transfer_cycles(given, one, False)

    def _spills(self, memory: str) -> bool:
        """Whether part of the data read from a memory lies behind it; the memory there then serves the transfer."""
        return self.design.machine.spilled.get(memory, Fraction(0)) > 0

    def _port(self, memory: str) -> int:
        return self.design.machine.ported.index(memory) if memory in self.design.machine.ported else -1

    def _old_loop(self, tile: PlacedTile) -> int:
        """The level between whose iterations a tile comes back changed; -1: it does not."""
        tree: ResolvedTree = self.design.chains.tree
        keep = tile.keep
        old = any(t.touch.version == "old" for t in keep.traffic if not t.writes)
        of = {self.joint.nest_of[n] for n in keep.users}
        makers = [n for n, slot in enumerate(self.joint.nest.slots) if slot.leaf.einsum == keep.keep.tensor]
        is_made_here = any(self.joint.nest_of[n] in of for n in makers)
        if not keep.fills or not is_made_here or not (keep.drains or old):
            return -1
        if any(t.only_again for t in keep.traffic):
            moving = next(t.moving for t in keep.traffic if t.only_again)
            levels = (level for level, loop in tile.loops if self.design.walk.loops[loop].part not in moving)
            return max(levels, default=-1)
        variables = {
            rank.lower() for tensor, rank in self.design.chains.cascade.iterative if tensor == keep.keep.tensor
        }
        return next((level for level, loop in tile.loops if tree.loops[loop].variable in variables), -1)

    def _source(self, keep: NestKeep) -> tuple[int, int, bool]:
        """The op whose result a tile brings back from further out, -1: none; with the level that parts it from the
        tile, -1: none does, and whether that op comes first.
        """
        makers = [
            n for n, s in enumerate(self.joint.nest.slots) if s.leaf.einsum == keep.keep.tensor and n not in keep.users
        ]
        if not keep.fills or not makers:
            return -1, -1, False
        maker = makers[0]
        far = [x for x in self.joint.across if x.producer == maker and x.reader in keep.users]
        return (
            (self.op_of_slot[maker], far[0].level, far[0].comes_first) if far else (self.op_of_slot[maker], -1, False)
        )

    def fixed(self, staying: list[tuple[StayingTile, ...]]) -> np.ndarray:
        """Levels that leave a tile in place: a kept one, or one that may stay in registers."""
        walk, found = self.design.walk, []
        for tile in self.tiles:
            parts = self.design.chains.space.parts_of_tensor(tile.keep.keep.tensor) | tile.keep.moving
            found.append(fixed_levels(walk, tile.loops, parts, self.variants))
        found += [tile.fixed for tiles in staying for tile in tiles]
        shape = (len(self.variants.points), 0, self._levels)
        return np.stack(found, axis=1) if found else np.ones(shape, np.int64)

    def moves(self) -> np.ndarray:
        points = self.variants.points
        moves = np.zeros((len(points), len(self.tiles), col.MOVE_COLUMNS), np.int64)
        for k, tile in enumerate(self.tiles):
            for v, (_, _, extents) in enumerate(points):
                moves[v, k, col.FILL_PIECES] = self._pieces(tile, extents)
                for traffic in tile.keep.traffic:
                    words = self.design.walk.words(extents, traffic.parts)
                    kind = col.DRAIN_CYCLES if traffic.writes else col.FILL_CYCLES
                    kind = col.AGAIN_CYCLES if traffic.only_again else kind
                    cycles = self._transfer_cycles(tile.keep, traffic, words)
                    moves[v, k, kind] += cycles
                    moves[v, k, kind + col.FILL_WORDS] += words
                    moves[v, k, kind + col.FILL_TAIL] += self._tail_cycles(tile.keep, traffic, words, cycles)
        return moves

    def _transfer_cycles(self, keep: NestKeep, traffic: TileTraffic, words: int) -> int:
        """The slowest of both memories' bandwidths and row rates; the part of a tile that does not fit never moves."""
        machine, inner, other = self.design.machine, keep.keep.memory, traffic.memory
        resident = words * (1 - machine.spilled.get(inner, Fraction(0)))
        cycles = [
            machine.transfer_cycles(other, resident, traffic.writes),
            machine.transfer_cycles(inner, resident, not traffic.writes),
        ]
        if traffic.behind is not None and self._spills(other):
            cycles.append(machine.transfer_cycles(traffic.behind, words * machine.spilled[other], traffic.writes))
        cycles += [machine.rows_of(m, int(resident > 0), resident) for m in (other, inner) if m in machine.ported]
        return max(cycles)

    def _tail_cycles(self, keep: NestKeep, traffic: TileTraffic, words: int, cycles: int) -> int:
        """Cycles of a transfer that a memory of one core goes on with when the one that cores share has done its part:
        moved the words at its bandwidth, and their rows through all its ports.
        """
        machine, inner, other = self.design.machine, keep.keep.memory, traffic.memory
        if not self.machine.is_in_core(inner) or self.machine.is_in_core(other) or self._spills(other):
            return 0
        resident = words * (1 - machine.spilled.get(inner, Fraction(0)))
        held = machine.transfer_cycles(other, resident, traffic.writes)
        if other in machine.ported:
            held = served_cycles(held, machine.rows_of(other, int(resident > 0), resident), machine.ports(other))
        return max(0, cycles - held)

    def _pieces(self, tile: PlacedTile, extents: Extents) -> int:
        """Pieces in which a tile of these extents comes: as its readers go through it, if all do so alike."""
        piece = self.design.machine.piece(tile.keep.keep.memory)
        parts = self.design.chains.space.parts_of_tensor(tile.keep.keep.tensor)
        if not piece:
            return 1
        found = {self.joint.sizers[n].stage(extents, parts) for n in tile.keep.users}
        count, _, step = found.pop()
        return max(1, -(-count * step // piece)) if not found else 1
