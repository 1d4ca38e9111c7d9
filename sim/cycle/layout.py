"""Transfers where the mapping says how tensors lie in memory: their bursts, and what rows and banks make of their time.

Every transfer with the root memory gets the runs of addresses that its tile has (`addresses`); stretches of transfers
from all parts of a program (`sampling`) are replayed (`replays`), and the times in the tables of the program follow.
Words of a stream are taken in the order of addresses; what lies behind the end of a device begins again at its start.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property

import numpy as np

from arch.dram import DramTiming
from mappings.layouts import BYTE_BITS
from sim.cycle.addresses import Runs, StoredTensor, bursts_of, stored_tensors
from sim.cycle.choice import CycleDesign
from sim.cycle.joint import Joint
from sim.cycle.replays import Cost, Replays, Transfer
from sim.cycle.sampling import Kind, Mover, Visit, Visits, some
from sim.cycle.state import EngineProgram
from sim.cycle.tiles import server_of
from sim.cycle.variants import Variants
from sim.engine.cycle import columns as col
from sim.lower.demands import Way
from sim.lower.walk import Extents

MOST_BURSTS = 1 << 12  # of one transfer that are replayed; the others go on alike
STRETCH_BURSTS = 1 << 15
MOST_VISITS = 96
# By job, the columns of cycles and words.
COLUMNS = {
    col.FILL_JOB: ((col.FILL_CYCLES, col.FILL_WORDS), (col.AGAIN_CYCLES, col.AGAIN_WORDS)),
    col.DRAIN_JOB: ((col.DRAIN_CYCLES, col.DRAIN_WORDS),),
    col.READ_JOB: ((col.READ_CYCLES, col.READ_WORDS),),
    col.WRITE_JOB: ((col.WRITE_CYCLES, col.WRITE_WORDS),),
}


@dataclass(frozen=True)
class Layouts:
    """The transfers of one program with the root memory, and the tensors that have addresses there."""

    design: CycleDesign
    joint: Joint
    variants: Variants
    timing: DramTiming
    stored: dict[str, StoredTensor]
    slot_of_op: dict[int, int]
    tables: dict[str, np.ndarray]

    @property
    def root(self) -> str:
        return self.design.chains.machine.root

    @cached_property
    def word_bits(self) -> int:
        return round(self.design.machine.word_bytes * BYTE_BITS)

    def tensors_of(self, kind: Kind) -> list[str]:
        """The tensors whose words such a transfer brings or takes."""
        mover, row = kind
        if mover.is_tile:
            keep = self.joint.tiles[mover.which].keep
            return [keep.keep.tensor] if keep.other_side == self.root else []
        here = (way for way in self._ways_at(mover, row) if any(memory == self.root for memory, _ in way.served))
        return list(dict.fromkeys(way.touch.access.tensor for way in here))

    def _ways_at(self, mover: Mover, row: int) -> Iterator[Way]:
        """What a stream of an op moves where the op has this row of amounts."""
        bits, variant = divmod(row, len(self.variants.points))
        first = int(self.tables["OP_TABLE"][mover.which, col.WAY_FIRST])
        ways = [way for way, _ in self.joint.sizers[self.slot_of_op[mover.which]].ways if not way.by_itself]
        for number, way in enumerate(ways, first):
            _, stay, back = self.tables["WAYS"][number].tolist()
            stays, comes_back = stay >= 0 and bits >> stay & 1, back >= 0 and bits >> back & 1
            words, begun = self.tables["WAY_WORDS"][variant, number].tolist()
            returns = way.writes and (comes_back or words > begun)
            if (not stays and way.writes == mover.writes) or (returns and not mover.writes):
                yield way

    def places_of(self, mover: Mover) -> int:
        """How many of its tiles may be under way together; streams run one repetition ahead."""
        return self.joint.tiles[mover.which].keep.copies if mover.is_tile else 2

    def tile_of(self, visit: Visit) -> tuple[Extents, Extents]:
        """(first elements, extents) of what a transfer moves, by root rank."""
        walk, extents = self.design.walk, self.variants.extents[visit.variant]
        start, inside = [0] * len(extents), tuple[int, ...]()
        if visit.mover.is_tile:
            around = self.joint.tiles[visit.mover.which].loops
        else:
            slot = self.slot_of_op[visit.mover.which]
            around, inside = self.joint.loops_around(slot), self.joint.nest.slots[slot].group_loops
        for level, loop in around:
            start[walk.loops[loop].root] += int(visit.index[level]) * walk.loops[loop].tile
        trips = [walk.trips(tile, loop) for tile, loop in zip(walk.full_chain(extents, inside), inside, strict=False)]
        for loop, place in zip(inside, np.unravel_index(visit.repeat, trips) if trips else (), strict=True):
            start[walk.loops[loop].root] += int(place) * walk.loops[loop].tile
        return tuple(start), walk.full_tile(extents, inside)

    def runs_of(self, visit: Visit) -> list[Runs]:
        """How the tensors with addresses lie in what a transfer moves."""
        start, extents = self.tile_of(visit)
        names = [name for name in self.tensors_of((visit.mover, visit.row)) if name in self.stored]
        return [self.stored[name].runs(start, extents, MOST_BURSTS) for name in names]

    def transfers(self, visits: list[Visit]) -> list[Transfer]:
        """A stretch as bursts. What has no addresses lies in one piece, behind all tensors and what came before."""
        burst_bits = self.timing.burst_bytes * BYTE_BITS
        free = -(-max(tensor.end_bytes for tensor in self.stored.values()) // self.timing.burst_bytes)
        found = []
        for visit in visits:
            runs = self.runs_of(visit)
            laid = [bursts_of(one, self.timing.burst_bytes, MOST_BURSTS) for one in runs]
            own_bits, all_bits = sum(bits for _, bits in laid), sum(one.count * one.run_bits for one in runs)
            rest_bits = max(0, visit.words * self.word_bits - all_bits)
            rest_bits = min(rest_bits * own_bits // all_bits if laid else rest_bits, MOST_BURSTS * burst_bits)
            whole = free + np.arange(-(-(own_bits + rest_bits) // burst_bits), dtype=np.int64)
            free += whole.size
            rest = whole[whole.size - rest_bits // burst_bits :] if laid else whole
            lying = np.concatenate([*(numbers for numbers, _ in laid), rest])
            kind, places = (visit.mover, visit.row), self.places_of(visit.mover)
            found.append(Transfer(kind, visit.mover.writes, bool(laid), places, lying, whole))
        return found


def laid_out(
    design: CycleDesign, joint: Joint, variants: Variants, program: EngineProgram, slot_of_op: dict[int, int]
) -> tuple[EngineProgram, tuple[str, ...]]:
    """The program with the time of transfers whose addresses the mapping gives, and what there is to say about them."""
    root, timing = design.chains.machine.root, design.experiment.architecture.root.timing
    layout = next((one for one in design.experiment.mapping.layout if one.memory == root), None)
    if layout is None or not layout.tensors:
        return program, ()
    if timing is None:
        return program, (f"'{root}' has no DRAM timing: the layout of its tensors changes nothing",)
    word_bits = round(design.machine.word_bytes * BYTE_BITS)
    row_bytes = timing.columns * timing.burst_bytes
    stored = stored_tensors(layout, design.chains.cascade, design.walk, word_bits, row_bytes)
    layouts = Layouts(design, joint, variants, timing, stored, slot_of_op, program.tables)
    visits = Visits(program, joint, (server_of(design, root, False), server_of(design, root, True)))
    replays, runs = _measured(layouts, visits)
    tables = dict(program.tables)
    tables["MOVES"], tables["AMOUNTS"] = tables["MOVES"].copy(), tables["AMOUNTS"].copy()
    for mover in visits.movers:
        _retime(layouts, mover, replays, tables)
    return replace(program, tables=tables), (*_notes(layouts, replays, runs), *_of_cores(design))


def _of_cores(design: CycleDesign) -> tuple[str, ...]:
    """What replays leave out where several cores share the memory."""
    if design.cores == 1:
        return ()
    root = design.chains.machine.root
    return (f"{design.cores} cores share '{root}': its layout is replayed as one of them would ask for the tiles",)


def _measured(layouts: Layouts, visits: Visits) -> tuple[Replays, dict[Kind, list[Runs]]]:
    """What the transfers of a program cost, and how the first tile of every kind lies."""
    replays, runs = Replays(layouts.timing), dict[Kind, list[Runs]]()
    bursts = max(STRETCH_BURSTS, 8 * replays.in_flight)
    words = bursts * layouts.timing.burst_bytes * BYTE_BITS // layouts.word_bits
    for home, begin in visits.beginnings():
        stretch = some(visits.following(home, begin), words, MOST_VISITS)
        for visit in stretch:
            kind = (visit.mover, visit.row)
            if kind not in runs:
                runs[kind] = layouts.runs_of(visit)
        replays.measure(layouts.transfers(stretch))
    return replays, runs


def _retime(layouts: Layouts, mover: Mover, replays: Replays, tables: dict[str, np.ndarray]) -> None:
    """Put the cost of a mover's transfers in the tables; kinds that were not seen cost what the others do."""
    machine, memory = layouts.design.machine, layouts.root
    found = {row: cost for (which, row), cost in replays.costs.items() if which == mover}
    if not any(replays.times(cost) > 1 for cost in found.values()):
        return
    usual = replays.times(sum(found.values(), Cost()))
    # What a tile has too much for its memory comes with the slots that use it.
    inside = layouts.joint.tiles[mover.which].keep.keep.memory if mover.is_tile else None
    resident = 1 - machine.spilled.get(inside, Fraction(0)) if inside is not None else Fraction(1)
    for row in range(len(tables["MOVES" if mover.is_tile else "AMOUNTS"])):
        times = replays.times(found[row]) if row in found else usual
        entry = tables["MOVES" if mover.is_tile else "AMOUNTS"][row, mover.which]
        for cycles, words in COLUMNS[mover.job]:
            took = machine.transfer_cycles(memory, times * int(entry[words]) * resident, mover.writes)
            entry[cycles] = max(int(entry[cycles]), took)


def _notes(layouts: Layouts, replays: Replays, runs: dict[Kind, list[Runs]]) -> Iterator[str]:
    """A sentence for every tensor whose tiles take longer than a stream, about the largest kind of tile that does."""
    largest: dict[tuple[tuple[str, ...], bool], tuple[int, Fraction, list[Runs]]] = {}
    for (mover, row), cost in replays.costs.items():
        key = tuple(name for name in layouts.tensors_of((mover, row)) if name in layouts.stored), mover.writes
        bits = sum(one.count * one.run_bits for one in runs[mover, row])
        if replays.times(cost) > 1 and bits > largest.get(key, (0,))[0]:
            largest[key] = bits, replays.times(cost), runs[mover, row]
    order = list(layouts.stored)
    for names, writes in sorted(largest, key=lambda key: (order.index(key[0][0]), key)):
        _, times, lie = largest[names, writes]
        what, pieces = " and ".join(f"'{name}'" for name in names), " and ".join(_pieces(one) for one in lie)
        does = f"written to '{layouts.root}'" if writes else f"read from '{layouts.root}'"
        yield f"{what}, {does} in {pieces} a tile: rows and banks take {float(times):.3g} times a stream"


def _pieces(runs: Runs) -> str:
    size = f"{runs.run_bits / BYTE_BITS:g} B"
    return f"one piece of {size}" if runs.count == 1 else f"{runs.count} pieces of {size}"
