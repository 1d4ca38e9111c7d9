"""The input of an engine: tables of integers that a batch of designs shares, and columns of numbers that differ.

Names have become numbers. By convention all arrays are read-only: engines never write to their input.
"""

from typing import NamedTuple

import numpy as np


class MachineColumns(NamedTuple):
    """Numbers of the machines of a batch, f8[design, memory | array | einsum]."""

    capacity_bytes: np.ndarray  # of one instance; inf when unbounded
    bandwidth_bytes_per_s: np.ndarray  # of both directions together; inf when not a limit
    read_bytes_per_s: np.ndarray  # of one direction
    write_bytes_per_s: np.ndarray
    read_pj_per_byte: np.ndarray  # charged instances only
    write_pj_per_byte: np.ndarray
    drain_pj_per_byte: np.ndarray  # of reading a finished tile on its way out
    row_bytes: np.ndarray  # of words, moved by one access
    row_words: np.ndarray  # whole words of one access, at least 1
    word_rows: np.ndarray  # accesses for one word, at least 1
    row_accesses: np.ndarray  # at once, of ports or of one where the file gives none
    stated_accesses: np.ndarray  # the same; inf where the file gives no ports
    first_word_cycles: np.ndarray  # from the request of a read to its first word, as the machine file states it
    rows: np.ndarray
    columns: np.ndarray
    lanes: np.ndarray
    elements: np.ndarray  # of an array, in all cores
    along_rows: np.ndarray  # cycles in which a reduction along a side leaves the array
    along_columns: np.ndarray
    links_down: np.ndarray  # of arrays whose machine file states links; no columns if none of a machine's does
    links_along: np.ndarray
    has_shadow: np.ndarray  # 1: elements have a second register for what is shifted in or out
    folds_overlap: np.ndarray  # 1: a fold enters while the one before is leaving
    cycles_per_point: np.ndarray
    pj_per_point: np.ndarray
    area_um2: np.ndarray  # f8[design, memory, then array], of all cores
    leakage_w: np.ndarray  # f8[design, memory, then array, then the rest of the machine], of all cores
    clock_hz: np.ndarray  # f8[design]
    word_bytes: np.ndarray  # f8[design]
    cores: np.ndarray  # f8[design]


class RowTables(NamedTuple):
    """paths, relevant: i8[row, position]; runs: i8[row, run, (rank, span, unit)]; loop_rank: i8[loop]; -1 ends a list.

    relevant: what an iteration of the loop does to the tile, see `engine/counting.py`; region: i8[row], that of
    `BandTables` outside which tiles are skipped; -1: none is.
    """

    paths: np.ndarray
    relevant: np.ndarray
    runs: np.ndarray
    loop_rank: np.ndarray
    region: np.ndarray


class BandTables(NamedTuple):
    """Regions between two root ranks, as `engine/bands.py` has them; their lines differ by design."""

    regions: np.ndarray  # i8[region, (first root, second root or -1, its pieces from, to)]
    pieces: np.ndarray  # i8[piece, (its lines from, to, how they are decided together)]
    units: np.ndarray  # i8[line, (column of sizes for the first root, for the second)]


class LinkTables(NamedTuple):
    """The Einsums on arrays whose links are stated, and their trains: tiles that take links for themselves."""

    leaves: np.ndarray  # i8[einsum], its leaf
    paths: np.ndarray  # i8[einsum, position, (loop, its rank)], outermost first, -1 ends
    rides: np.ndarray  # i8[einsum, (down, along)], words that ride along with each slot
    columns: np.ndarray  # i8[einsum, run, (rank, span, unit)], what its columns carry, -1 ends
    ways_out: np.ndarray  # i8[einsum, the marks of `Latency`], what its result passes
    trains: np.ndarray  # i8[train, (einsum, 1: it leaves, 1: and comes back while its sums are not complete)]
    marks: np.ndarray  # i8[train, position, (1: brings another tile, 1: passes the columns inside of one)]
    words: np.ndarray  # i8[train, run, (rank, span, unit)], its words in one column, -1 ends
    starts: np.ndarray  # i8[einsum], row that counts how often it begins anew and others wait for it; -1: once


class Shape(NamedTuple):
    """The tables that all designs of a batch share."""

    rows: RowTables  # questions about words fetched, steps and points
    tiles: RowTables  # questions about the first tile of a kept tensor, and about how long it stays
    left: RowTables  # questions about what the loops of an Einsum leave of one of its variables
    flows: np.ndarray  # i8[flow, FlowColumn]
    keeps: np.ndarray  # i8[keep, KeepColumn]
    spans: np.ndarray  # i8[span, SpanColumn]
    stays: np.ndarray  # i8[keep, position, (loop of a step, whether it brings another tile)]; -1 ends
    leaves: np.ndarray  # i8[leaf, LeafColumn]
    drains: np.ndarray  # i8[phase, DrainColumn], what drains in this phase
    parents: np.ndarray  # i8[memory], -1 for the root
    spills: np.ndarray  # bool[memory]
    per_phase: bool  # whether memory time hides behind its own phase only
    stages: int  # of a pipelined schedule; 0: not pipelined
    trips_row: int  # row that counts the iterations of the pipelined loops
    dealt_row: int  # row that counts the iterations that are dealt to cores
    in_core: np.ndarray  # bool[memory], whether every core has its own
    links: LinkTables | None = None  # None: no array states any
    bands: BandTables | None = None  # None: no tile is skipped
    first_word: int = -1  # the memory whose first word comes before any slot of any array; -1: not known


class Tables(NamedTuple):
    """One batch of designs of one shape."""

    shape: Shape
    extents: np.ndarray  # i8[design, root rank], elements
    loop_tiles: np.ndarray  # i8[design, loop], elements
    sizes: np.ndarray  # i8[design, column], elements
    side_counts: np.ndarray  # i8[design, count], what mappings state of ranks on sides of arrays
    reserved_bytes: np.ndarray  # f8[design, memory]
    machine: MachineColumns
    lines: np.ndarray | None = None  # i8[design, line, (a, b, c)] of the regions; None: no tile is skipped
