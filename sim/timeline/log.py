"""One run of a nest with its log: the rows that it wrote in a window, and the cycles in which it took up tiles.

A log has room for a limited number of rows. If they do not suffice, the window is shortened to the cycle up to which
they do, so that everything that happened in it is shown. On a machine of several cores every core has a log of its own,
and so has what they have in common.
"""

from collections.abc import Callable

import numpy as np

from sim.cycle.answer import NestRun
from sim.cycle.choice import CycleDesign
from sim.cycle.core_runs import RunWishes, run_cores
from sim.cycle.program import NamedProgram
from sim.cycle.state import Window, run
from sim.engine.cycle import columns as col

PROBE_ROWS = 4096
PROBE_STEPS = 4  # steps of the schedule that a probe examines

Logs = tuple[np.ndarray, ...]  # of a nest's run, or of each core and of what they have in common
Recorded = Callable[[Window], Logs]


def recorded(design: CycleDesign, item: NestRun) -> Recorded:
    """A run that can be repeated with another window."""
    of_cores = item.cores
    if of_cores is None:
        return lambda window: (run(item.named.program, True, window).log,)

    def again(window: Window) -> Logs:
        found = run_cores(design, item.named, of_cores.start, RunWishes(window=window))
        return (*(core.log for core in found.cores), found.hub.log)

    return again


def log_of(repeat: Recorded, named: NamedProgram, first: int, last: int, rows: int) -> tuple[Logs, int]:
    """(rows of every log, i8[row, column], from cycle `first` on; the cycle up to which they are complete)."""
    logs = repeat(Window(first, last, rows))
    full = [log for log in logs if len(log) >= rows]
    if not full:
        return logs, last
    # Rows are in the order in which they end: all that ended by then are included, those in progress are not.
    last = min(int(log[-1, col.END]) for log in full)
    sizes = named.program.sizes
    under_way = 4 * (sizes[col.ARRAYS] + sizes[col.SERVERS])
    logs = repeat(Window(first, last, rows + under_way))
    assert all(len(log) < rows + under_way for log in logs), "more under way at once than there are arrays and memories"
    return logs, last


def lead_of(named: NamedProgram) -> int:
    """The op that begins a tile: the first of those that work on the newest one, and on every one."""
    table, guard = named.program.tables["OP_TABLE"], named.program.tables["GUARD"]
    ops = [n for n in range(len(table)) if table[n, col.KIND] == col.RUN and not guard[n].any()]
    return min(ops, key=lambda n: int(table[n, col.LAG]))


def start_of_tile(repeat: Recorded, named: NamedProgram, cycles: int, of_core: tuple[int, int, int]) -> int:
    """Cycle in which the first op takes up a tile, in a run of that many cycles; 0 for the first, the end past the
    last. of_core: the core, its number of the tile, and how many it has.

    A steady state advances evenly, so the search alternates between linear interpolation between two known tiles and
    bisection.
    """
    core, tile, tiles = of_core
    if tile <= 0:
        return 0
    if tile >= tiles:
        return cycles
    below, above = (0, 0), (tiles, cycles)  # (tile, cycle)
    reach, grown = PROBE_STEPS * (cycles // tiles + 1), 1
    for attempt in range(4 * max(cycles, 2).bit_length()):
        distance = (tile - below[0]) / (above[0] - below[0]) if attempt % 2 == 0 else 0.5
        guess = max(below[1], int(below[1] + distance * (above[1] - below[1])) - grown * reach // 2)
        logs, _ = log_of(repeat, named, guess, guess + grown * reach, grown * PROBE_ROWS)
        starts = _starts(lead_of(named), logs[core], guess)
        if tile in starts:
            return starts[tile]
        earlier = [(n, cycle) for n, cycle in starts.items() if n < tile]
        later = [(n, cycle) for n, cycle in starts.items() if n > tile]
        below, above = max([below, *earlier]), min([above, *later])
        grown *= 1 if starts else 2
    raise AssertionError("a tile that no op takes up")


def _starts(lead: int, log: np.ndarray, first: int) -> dict[int, int]:
    """Tiles that are taken up in a window, with the cycle. A tile whose first repetition is not in it is left out."""
    rows = log[(log[:, col.LOG_KIND] == col.OP_ROW) & (log[:, col.WHAT] == lead)]
    found: dict[int, int] = {}
    for record, start in rows[:, [col.LOG_RECORD, col.START]].tolist():
        found.setdefault(record, start)
    # An op in progress at the start of the window may have begun before its row does (repetitions, skipped stretches).
    if first > 0 and found:
        del found[min(found)]
    return found
