"""What several cores have in common: tiles in a memory that they share, and sums that they add up.

The hub goes through the dealt iterations of all cores in the order in which one core would, and runs nothing. A common
tile is brought when all cores are done with the one whose place it takes, and is then there for all of them; a result
leaves when the last core is done with it. Sums that a group of cores makes of one result leave in one transfer, that of
its first core, when all of them have theirs.
"""

from sim.engine.cycle.board import SETTLED
from sim.engine.cycle.columns import (
    ASKED,
    ASKED_SLOTS,
    COMMON,
    COMMON_TILES,
    CORE_TURNS,
    CORES,
    DRAIN_CYCLES,
    DRAIN_TAIL,
    DRAIN_WORDS,
    DRAINED,
    DRAINS,
    DRAINS_ASKED,
    DRAINS_BEGUN,
    FILLED,
    FIRST_USER,
    KEEP,
    KEEP_DEPTH,
    KEEP_TABLE,
    KEEPS,
    LAST_USER,
    LATENCY,
    MOVED,
    MOVES,
    NEVER,
    NOW,
    OP_TABLE,
    PER_KEEP,
    PIECES,
    PLACING,
    RELEASED,
    RELEASES,
    USE_FIRST,
    USE_LAST,
    USES,
    WRITER,
)
from sim.engine.cycle.fills import begin_sums, first_fill
from sim.engine.cycle.records import next_site, site_record, start
from sim.engine.cycle.tables import at, at1, at3, row, row3
from sim.engine.cycle.turns import common_tile, iteration_of
from sim.engine.jit import compiled, inlined

HOLD = NEVER >> 1  # added to the cycle in which sums of one core may leave, while other cores lack theirs


@compiled
def hold():
    """Cycles from here on mean never."""
    return HOLD


@inlined
def age_of(every, place, record):
    """The age of a row's record among those of all cores: that of the core which needs what the hub brings for it."""
    hub = every[every.shape[0] - 1]
    if place < every.shape[0] - 1 or record == NEVER:
        return record
    cores, inside = hub[CORES], hub[CORE_TURNS]
    return (record - record // inside % cores * inside) // cores


@compiled
def begin_hub(every, board):
    """The first common tiles, and what each core does not need of them."""
    cores = every.shape[0] - 1
    hub = every[cores]
    for keep in range(hub[KEEPS]):
        if hub[at(hub, PLACING, keep, 0)] != COMMON:
            continue
        first_fill(hub, keep)
        start(hub, board.leaving[keep], board.leaving_variant[keep])
        for core in range(cores):
            begin_with(every[core], keep)


@compiled
def begin_with(m, keep):
    """A core is done with the common tiles before its first one; one without turns with all."""
    first = NEVER if m[CORE_TURNS] == 0 else common_tile(m, keep, iteration_of(m, 0))
    for user in range(m[at(m, KEEP_TABLE, keep, FIRST_USER)], m[at(m, KEEP_TABLE, keep, LAST_USER)]):
        m[at1(m, RELEASED, user)] = first


@inlined
def note_releases(every, board):
    """Common tiles that all cores are done with, and results among them that leave; of rows that are being settled."""
    hub = every[every.shape[0] - 1]
    for keep in range(hub[KEEPS]):
        if hub[at(hub, PLACING, keep, 0)] != COMMON:
            continue
        for user in range(hub[at(hub, KEEP_TABLE, keep, FIRST_USER)], hub[at(hub, KEEP_TABLE, keep, LAST_USER)]):
            if has_released(every, board, user):
                hub[at1(hub, RELEASED, user)] = least_released(board, user)
        if hub[at(hub, KEEP_TABLE, keep, DRAINS)] == 1:
            ask_to_leave(hub, board, keep)


@inlined
def has_released(every, board, user):
    """Note how many common tiles a user is done with in the rows that are being settled; whether that is news."""
    changed, released = False, board.released[user]
    for n in range(board.marks[SETTLED] - 1):
        core = board.settled[n]
        done = every[core, at1(every[core], RELEASED, user)]
        if done != released[core]:
            released[core], changed = done, True
    return changed


@inlined
def begin_common(every):
    """Common results have their places; whether any has that had none."""
    hub, changed = every[every.shape[0] - 1], False
    for keep in range(hub[KEEPS]):
        while hub[at(hub, PLACING, keep, 0)] == COMMON and begin_sums(hub, keep):
            changed = True
    return changed


@inlined
def least_released(board, user):
    """Common tiles that this user of every core is done with."""
    found, released = NEVER, board.released[user]
    for core in range(released.size):
        found = min(found, released[core])
    return found


@inlined
def ask_to_leave(hub, board, keep):
    """Results that every core has made its part of leave, in the order of the tiles."""
    index, variant = board.leaving[keep], board.leaving_variant[keep]
    op = hub[at(hub, KEEP_TABLE, keep, WRITER)]
    made = min(released_by(hub, op, keep), hub[at3(hub, COMMON_TILES, 0, 0, keep)])
    while hub[at(hub, PER_KEEP, keep, DRAINS_ASKED)] < made:
        move = row3(hub, MOVES, variant[hub[at(hub, KEEP_TABLE, keep, KEEP_DEPTH)]], keep)
        entry = row3(hub, ASKED, keep, hub[at(hub, PER_KEEP, keep, DRAINS_ASKED)] % ASKED_SLOTS)
        entry[0], entry[1] = move[DRAIN_CYCLES], site_record(hub, index, variant)
        entry[2], entry[3] = hub[NOW] + hub[at(hub, OP_TABLE, op, LATENCY)], move[DRAIN_WORDS]
        entry[4] = move[DRAIN_TAIL]
        hub[at(hub, PER_KEEP, keep, DRAINS_ASKED)] += 1
        next_site(hub, keep, index, variant)


@compiled
def released_by(hub, op, keep):
    """Tiles of a keep that an op is done with."""
    for use in range(hub[at(hub, OP_TABLE, op, USE_FIRST)], hub[at(hub, OP_TABLE, op, USE_LAST)]):
        if hub[at(hub, USES, use, KEEP)] == keep:
            return hub[at1(hub, RELEASED, hub[at(hub, USES, use, RELEASES)])]
    return 0


@inlined
def hand_out(every):
    """Tell all cores which common tiles, and pieces of them, are there."""
    hub = every[every.shape[0] - 1]
    for core in range(every.shape[0] - 1):
        m = every[core]
        for keep in range(hub[KEEPS]):
            if hub[at(hub, PLACING, keep, 0)] == COMMON:
                m[at(m, PER_KEEP, keep, FILLED)] = hub[at(hub, PER_KEEP, keep, FILLED)]
                row(m, PIECES, keep)[:] = row(hub, PIECES, keep)


@inlined
def gather_sums(every, board, core):
    """Sums that the first core of a group has made leave when those of the others may: not before they are made."""
    for keep in range(board.groups.size):
        group = board.groups[keep]
        first = core - core % group
        if group == 1:
            continue
        m = every[first]
        for number in range(m[at(m, PER_KEEP, keep, DRAINS_BEGUN)], m[at(m, PER_KEEP, keep, DRAINS_ASKED)]):
            entry = row3(m, ASKED, keep, number % ASKED_SLOTS)
            time = entry[2] - HOLD if entry[2] >= HOLD else entry[2]
            for other in range(first + 1, min(first + group, every.shape[0] - 1)):
                its = every[other]
                made = its[at(its, PER_KEEP, keep, DRAINS_ASKED)] > number
                time = max(time, its[at3(its, ASKED, keep, number % ASKED_SLOTS, 2)]) if made else NEVER
            if time >= NEVER:  # some core lacks its part
                time = entry[2] if entry[2] >= HOLD else entry[2] + HOLD
            if time != entry[2]:
                entry[2] = time
                board.stale[first] = 1


@inlined
def pass_sums(every, board, first, keep):
    """The sums of a group have left with those of its first core, and have been read in every one."""
    for other in range(first + 1, min(first + board.groups[keep], every.shape[0] - 1)):
        m = every[other]
        m[at(m, MOVED, keep, 1)] += m[at3(m, ASKED, keep, m[at(m, PER_KEEP, keep, DRAINS_BEGUN)] % ASKED_SLOTS, 3)]
        m[at(m, PER_KEEP, keep, DRAINS_BEGUN)] += 1
        m[at(m, PER_KEEP, keep, DRAINED)] += 1
        board.stale[other] = 1
