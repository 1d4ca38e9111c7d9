"""What memories on chip make of the time, for many designs: slots that wait for rows or words, ports that move rows.

Rows and words of every flow come from `Shape.flows`; what one slot, tile or row takes says `engine/ports.py`.
"""

from typing import NamedTuple

import numpy as np

from sim.engine.columns import FlowColumn, LeafColumn
from sim.engine.jit import compiled
from sim.engine.moving import add_by_group
from sim.engine.ports import of_a_slot, row_accesses, served_cycles
from sim.engine.tables import Tables

# Plain integers, because compiled loops cannot use enumerations.
ROW, LESS, MEMORY, WRITE = (int(c) for c in (FlowColumn.ROW, FlowColumn.LESS, FlowColumn.MEMORY, FlowColumn.WRITE))
EINSUM, FETCHES, WITH_SLOTS = int(FlowColumn.EINSUM), int(FlowColumn.FETCHES), int(FlowColumn.WITH_SLOTS)
PORTS, BOTH, READS, WRITES, LIMITS = 0, 1, 2, 3, 4  # limits of a memory: rows a cycle, bytes a cycle


class Served(NamedTuple):
    """What memories on chip make of Einsums."""

    slot_cycles: np.ndarray  # f8[design, leaf], of one slot
    accesses: np.ndarray  # f8[design, flow], rows; 0 where rows of its memory are not counted


def serve(tables: Tables, counts: np.ndarray, flow_bytes: np.ndarray) -> Served:
    """counts: f8[design, row]; flow_bytes: f8[design, flow]."""
    machine, flows = tables.machine, tables.shape.flows
    accesses = np.zeros_like(flow_bytes)
    slot_cycles = machine.cycles_per_point.copy()
    limits = _limits(tables)
    if np.isfinite(limits).any():
        row_bytes = np.ascontiguousarray(machine.row_bytes)
        count_accesses(counts, flow_bytes, machine.word_bytes, row_bytes, flows, accesses)
        steps = counts[:, tables.shape.leaves[:, LeafColumn.STEPS]]
        wait_in_slots(flow_bytes, accesses, flows, steps, limits, slot_cycles)
    return Served(slot_cycles, accesses)


def port_cycles(tables: Tables, served: Served, busiest: np.ndarray) -> np.ndarray:
    """f8[design, phase, memory]: time in which the ports of each memory serve the rows of the Einsums of each phase.

    Of a memory in every core that of the busiest one.
    """
    shape, memories = tables.shape, tables.shape.parents.size
    phases = shape.drains.shape[0]
    phase_of_flow = shape.leaves[:, LeafColumn.PHASE][shape.flows[:, FlowColumn.EINSUM]]
    group = np.ascontiguousarray(phase_of_flow * memories + shape.flows[:, FlowColumn.MEMORY])
    rows = np.zeros((served.accesses.shape[0], phases * memories))
    add_by_group(served.accesses, group, rows)
    cycles = rows.reshape(-1, phases, memories) / tables.machine.stated_accesses[:, None, :]
    return cycles * np.where(shape.in_core, busiest[:, None], 1.0)[:, None, :]


def _limits(tables: Tables) -> np.ndarray:
    """f8[design, memory, limit], what each memory serves in a cycle; inf where it is no limit of slots."""
    machine = tables.machine
    rates = (machine.bandwidth_bytes_per_s, machine.read_bytes_per_s, machine.write_bytes_per_s)
    limits = [machine.stated_accesses, *(rate / machine.clock_hz[:, None] for rate in rates)]
    counted = np.zeros(tables.shape.parents.size, bool)
    counted[tables.shape.flows[tables.shape.flows[:, FETCHES] >= 0, MEMORY]] = True
    return np.where(counted[None, :, None], np.stack(limits, axis=2), np.inf)


@compiled
def count_accesses(counts, flow_bytes, word_bytes, row_bytes, flows, out):
    """Fill `out: f8[design, flow]` with rows, from `counts: f8[design, row]`, words and tiles.

    flow_bytes: f8[design, flow]; word_bytes: f8[design]; row_bytes: f8[design, memory]; flows: i8[flow, column]. Of
    words that are moved in part (sums that come back, tiles that spill) so is their part of the tiles.
    """
    for d in range(counts.shape[0]):
        for f in range(flows.shape[0]):
            if flows[f, FETCHES] < 0 or flow_bytes[d, f] <= 0.0:
                continue
            words = flow_bytes[d, f] / word_bytes[d]
            fetches = counts[d, flows[f, FETCHES]] * words / counts[d, flows[f, ROW]]
            out[d, f] = row_accesses(fetches, words, row_bytes[d, flows[f, MEMORY]] / word_bytes[d])


@compiled
def wait_in_slots(flow_bytes, accesses, flows, steps, limits, out):
    """Lengthen `out: f8[design, leaf]`, cycles of a slot, to what the memories take that an array asks slot by slot.

    accesses: f8[design, flow], rows; steps: f8[design, leaf], slots; limits: f8[design, memory, LIMITS].
    """
    asked = np.zeros((steps.shape[1], limits.shape[1], LIMITS))
    for d in range(steps.shape[0]):
        asked[:] = 0.0
        for f in range(flows.shape[0]):
            if flows[f, WITH_SLOTS] == 0:
                continue
            leaf, memory = flows[f, EINSUM], flows[f, MEMORY]
            asked[leaf, memory, PORTS] += of_a_slot(accesses[d, f], steps[d, leaf])
            one_way = WRITES if flows[f, WRITE] == 1 else READS
            asked[leaf, memory, one_way] += flow_bytes[d, f] / steps[d, leaf]
            asked[leaf, memory, BOTH] += flow_bytes[d, f] / steps[d, leaf]
        for leaf in range(steps.shape[1]):
            for memory in range(limits.shape[1]):
                for limit in range(LIMITS):
                    if asked[leaf, memory, limit] > 0.0 and np.isfinite(limits[d, memory, limit]):
                        out[d, leaf] = served_cycles(out[d, leaf], asked[leaf, memory, limit], limits[d, memory, limit])
