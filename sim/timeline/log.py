"""One run of a nest with its log: the rows that it wrote in a window, and the cycles in which it took up tiles.

A log has room for a limited number of rows. If they do not suffice, the window is shortened to the cycle up to which
they do, so that everything that happened in it is shown.
"""

import numpy as np

from sim.cycle.program import NamedProgram
from sim.cycle.state import Window, run
from sim.engine.cycle import columns as col

PROBE_ROWS = 4096
PROBE_STEPS = 4  # steps of the schedule that a probe examines


def log_of(named: NamedProgram, first: int, last: int, rows: int) -> tuple[np.ndarray, int]:
    """(rows of the log, i8[row, column], from cycle `first` on; the cycle up to which they are complete)."""
    log = run(named.program, True, Window(first, last, rows)).log
    if len(log) < rows:
        return log, last
    # Rows are in the order in which they end: all that ended by then are included, those in progress are not.
    last = int(log[-1, col.END])
    sizes = named.program.sizes
    under_way = 4 * (sizes[col.ARRAYS] + sizes[col.SERVERS])
    log = run(named.program, True, Window(first, last, rows + under_way)).log
    assert len(log) < rows + under_way, "more under way at once than there are arrays and memories"
    return log, last


def lead_of(named: NamedProgram) -> int:
    """The op that begins a tile: the first of those that work on the newest one, and on every one."""
    table, guard = named.program.tables["OP_TABLE"], named.program.tables["GUARD"]
    ops = [n for n in range(len(table)) if table[n, col.KIND] == col.RUN and not guard[n].any()]
    return min(ops, key=lambda n: int(table[n, col.LAG]))


def start_of_tile(named: NamedProgram, cycles: int, tile: int) -> int:
    """Cycle in which the first op takes up a tile, in a run of that many cycles; 0 for the first, the end past the
    last.

    A steady state advances evenly, so the search alternates between linear interpolation between two known tiles and
    bisection.
    """
    tiles = named.program.sizes[col.RECORDS]
    if tile <= 0:
        return 0
    if tile >= tiles:
        return cycles
    below, above = (0, 0), (tiles, cycles)  # (tile, cycle)
    reach, grown = PROBE_STEPS * (cycles // tiles + 1), 1
    for attempt in range(4 * max(cycles, 2).bit_length()):
        distance = (tile - below[0]) / (above[0] - below[0]) if attempt % 2 == 0 else 0.5
        guess = max(below[1], int(below[1] + distance * (above[1] - below[1])) - grown * reach // 2)
        starts = _starts(named, (guess, guess + grown * reach), grown * PROBE_ROWS)
        if tile in starts:
            return starts[tile]
        earlier = [(n, cycle) for n, cycle in starts.items() if n < tile]
        later = [(n, cycle) for n, cycle in starts.items() if n > tile]
        below, above = max([below, *earlier]), min([above, *later])
        grown *= 1 if starts else 2
    raise AssertionError("a tile that no op takes up")


def _starts(named: NamedProgram, window: tuple[int, int], most: int) -> dict[int, int]:
    """Tiles that are taken up in a window, with the cycle. A tile whose first repetition is not in it is left out."""
    lead = lead_of(named)
    log, _ = log_of(named, *window, most)
    rows = log[(log[:, col.LOG_KIND] == col.OP_ROW) & (log[:, col.WHAT] == lead)]
    found: dict[int, int] = {}
    for record, start in rows[:, [col.LOG_RECORD, col.START]].tolist():
        found.setdefault(record, start)
    # An op in progress at the start of the window may have begun before its row does (repetitions, skipped stretches).
    if window[0] > 0 and found:
        del found[min(found)]
    return found
