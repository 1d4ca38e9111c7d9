"""From counted words to bytes moved, energy and time at each memory, for many designs at once.

One loop over the flows of every design, in a fixed order, so that a design's sums do not depend on its batch.
"""

from sim.engine.columns import FlowColumn
from sim.engine.jit import compiled

# Plain integers, because compiled loops cannot use enumerations.
ROW, LESS = int(FlowColumn.ROW), int(FlowColumn.LESS)
RESIDENT, SPILLED = int(FlowColumn.RESIDENT), int(FlowColumn.SPILLED)
MEMORY, WRITE, DRAINS = int(FlowColumn.MEMORY), int(FlowColumn.WRITE), int(FlowColumn.DRAINS)


@compiled
def move_bytes(counts, spilled, word_bytes, flows, out):
    """Fill `out: f8[design, flow], bytes` from `counts: f8[design, row], words`.

    spilled: f8[design, memory], the fraction of a memory's tiles that does not fit; word_bytes: f8[design]; flows:
    i8[flow, column].
    """
    for d in range(counts.shape[0]):
        for f in range(flows.shape[0]):
            words = counts[d, flows[f, ROW]]
            if flows[f, LESS] >= 0:
                words -= counts[d, flows[f, LESS]]
            if flows[f, RESIDENT] >= 0:
                words *= 1.0 - spilled[d, flows[f, RESIDENT]]
            if flows[f, SPILLED] >= 0:
                words *= spilled[d, flows[f, SPILLED]]
            out[d, f] = words * word_bytes[d]


@compiled
def price_bytes(moved, flows, read, write, drain, out):
    """Fill `out: f8[design, flow], pJ` from `moved: f8[design, flow], bytes` and prices f8[design, memory], pJ/byte."""
    for f in range(flows.shape[0]):
        memory = flows[f, MEMORY]
        price = write if flows[f, WRITE] == 1 else drain if flows[f, DRAINS] == 1 else read
        for d in range(moved.shape[0]):
            out[d, f] = moved[d, f] * price[d, memory]


@compiled
def longest_of_phases(cycles, out):
    """Add the longest of `cycles: f8[design, phase, resource]` of every phase to `out: f8[design, resource]`."""
    for d in range(cycles.shape[0]):
        for phase in range(cycles.shape[1]):
            slowest = 0
            for resource in range(1, cycles.shape[2]):
                if cycles[d, phase, resource] > cycles[d, phase, slowest]:
                    slowest = resource
            out[d, slowest] += cycles[d, phase, slowest]


@compiled
def add_by_group(values, group, out):
    """Add columns of `values: f8[design, n]` into `out: f8[design, group]`, column n under `group[n]` (-1: nowhere)."""
    for d in range(values.shape[0]):
        for n in range(values.shape[1]):
            if group[n] >= 0:
                out[d, group[n]] += values[d, n]
