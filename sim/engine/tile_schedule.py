"""When the last tile of a launch ends: tiles go in order to the first free place on a core, which its tiles share.

A tile first takes a fixed time, which costs its core nothing, and then its steps. While k tiles of a core are in their
steps, each advances at 1 / (k S_k) steps per cycle, where S_k is the core's time for one step with k tiles in it.
"""

import numpy as np

from sim.engine.jit import compiled


@compiled
def next_event_cycles(tiles, left, kinds, steps):
    """Cycles to the next change on a core: a fixed time ends or a tile ends. Negative: the core is empty.

    tiles: i8[place], -1 free; left: f8[place, 2], fixed cycles and steps to go; kinds: i8[tile]; steps: f8[kind, k].
    """
    inside = 0
    for place in range(tiles.shape[0]):
        if tiles[place] >= 0 and left[place, 0] <= 0.0:
            inside += 1
    soonest = -1.0
    for place in range(tiles.shape[0]):
        if tiles[place] < 0:
            continue
        if left[place, 0] > 0.0:
            wanted = left[place, 0]
        else:
            wanted = left[place, 1] * inside * steps[kinds[tiles[place]], inside - 1]
        if soonest < 0.0 or wanted < soonest:
            soonest = wanted
    return soonest


@compiled
def pass_time(tiles, left, kinds, steps, cycles):
    """Advance a core by `cycles`; places whose tile has ended become free. Returns the number that ended."""
    inside = 0
    for place in range(tiles.shape[0]):
        if tiles[place] >= 0 and left[place, 0] <= 0.0:
            inside += 1
    ended = 0
    for place in range(tiles.shape[0]):
        if tiles[place] < 0:
            continue
        if left[place, 0] > 0.0:
            left[place, 0] -= cycles
            if left[place, 0] < 1e-9:
                left[place, 0] = 0.0
            # A tile without steps ends with its fixed time.
            if left[place, 0] > 0.0 or left[place, 1] > 0.0:
                continue
        else:
            left[place, 1] -= cycles / (inside * steps[kinds[tiles[place]], inside - 1])
            if left[place, 1] > 1e-9:
                continue
        tiles[place] = -1
        ended += 1
    return ended


@compiled
def list_schedule(kinds, fixed, steps, cores, is_dealt):
    """Cycles until the last tile ends.

    kinds: i8[tile], in launch order; fixed: f8[kind, 3], fixed cycles, more of them for a place's first tile, number of
    steps; steps: f8[kind, k], a core's cycles for a step with k + 1 tiles inside. is_dealt: tile i goes to place i
    modulo the places, else to the first that is free. Places are numbered across cores first.
    """
    places = steps.shape[1]
    total = kinds.shape[0]
    tiles = np.full((cores, places), -1, np.int64)
    left = np.zeros((cores, places, 2))
    dealt = np.full((cores, places), -1, np.int64)  # last tile dealt to a place
    waits = np.zeros(
        cores
    )  # cycles from a core's last change to its next; stored because differences of sums are inexact
    due = np.full(cores, np.inf)
    following = 0
    for first in range(min(total, places * cores)):
        place, core = first // cores, first % cores
        tiles[core, place] = first
        dealt[core, place] = first
        left[core, place, 0] = fixed[kinds[first], 0] + fixed[kinds[first], 1]
        left[core, place, 1] = fixed[kinds[first], 2]
        following += 1
    for core in range(cores):
        waits[core] = next_event_cycles(tiles[core], left[core], kinds, steps)
        if waits[core] >= 0.0:
            due[core] = waits[core]
    last = 0.0
    while True:
        core = int(np.argmin(due))
        if not due[core] < np.inf:
            return last
        if pass_time(tiles[core], left[core], kinds, steps, waits[core]) > 0:
            last = max(last, due[core])
        for place in range(places):
            if tiles[core, place] >= 0 or dealt[core, place] < 0:
                continue
            chosen = dealt[core, place] + cores * places if is_dealt else following
            if chosen >= total:
                continue
            if not is_dealt:
                following += 1
            kind = kinds[chosen]
            tiles[core, place] = chosen
            dealt[core, place] = chosen
            left[core, place, 0] = fixed[kind, 0]
            left[core, place, 1] = fixed[kind, 2]
        waits[core] = next_event_cycles(tiles[core], left[core], kinds, steps)
        due[core] = due[core] + waits[core] if waits[core] >= 0.0 else np.inf
