"""The position of a run in its loops: records of iterations, and the points at which kept tiles change.

A *record* is one iteration of all loops of a program together. The extents of a tile depend only on which of the loops
outside it are in their last iteration, so extents are numbered once, as *variants*, and the loops are traversed through
tables. A kept tile changes at a record whose *fixed* loops are all at their first iteration: loops inside the tile, and
loops that neither change the tile nor have a loop inside that does (the counting convention of `counting`).

Of levels that are dealt to cores a core has iterations of its own, its *turns* (`turns`); the levels inside are gone
through as on one core.
"""

from sim.engine.cycle.columns import (
    BEFORE,
    CHILD,
    COMES_BACK,
    COMMON,
    DEALT,
    DEPTH,
    DEPTH_OF,
    FIXED,
    GENERATED,
    GROUP_LOOPS,
    GUARD,
    HOLDS,
    HOME,
    HOW,
    INNER,
    KEEPS,
    LEAVES,
    NESTS,
    NEVER,
    OP_TABLE,
    PLACING,
    RECORD_INDEX,
    RECORD_ORDINAL,
    RECORD_VARIANT,
    RECORDS,
    RECORDS_BELOW,
    REVISITS,
    STAY_FIRST,
    STAY_LAST,
    STAYING,
    TRIPS,
    TURN,
    TURN_FIRST,
    VARIANTS,
    WINDOW,
)
from sim.engine.cycle.tables import at, at3, at4, row
from sim.engine.cycle.turns import (
    came_earlier,
    comes_with_turn,
    common_tile,
    ends_with_turn,
    enter_turn,
    iteration_of,
    next_turn,
)
from sim.engine.jit import compiled


@compiled
def start(m, index, variant):
    """The first record: iterations of the dealt levels are those of the core's first turn, of the others as given."""
    if m[DEALT] > 0:
        index[m[DEPTH] + TURN_FIRST] = 0
        enter_turn(m, 0, index, variant)
    else:
        variant[0] = 0
    descend(m, index, variant, m[DEALT])


@compiled
def descend(m, index, variant, first):
    """Variants of the tiles inside level `first` and further in, from the iterations in `index: i8[level]`."""
    for level in range(first, m[DEPTH]):
        variant[level + 1] = variant_inside(m, index, variant, level)


@compiled
def variant_inside(m, index, variant, level):
    """Variant inside one level: of the item, or of a full or the last tile."""
    outer = variant[level]
    if has_items(m, outer, level):
        return m[at3(m, CHILD, outer, level, index[level])]
    return m[at3(m, CHILD, outer, level, 1 if index[level] == m[at(m, TRIPS, outer, level)] - 1 else 0)]


@compiled
def has_items(m, variant, level):
    """Whether a level chooses an item; else it is a loop."""
    return m[NESTS] > 1 and m[at3(m, BEFORE, variant, level, 0)] >= 0


@compiled
def home_at(m, owner, level):
    """The item of a level in which a keep (or op, numbered after the keeps) is; -1: in all, or the level is a loop."""
    return -1 if m[NESTS] == 1 else m[at(m, HOME, owner, level)]


@compiled
def is_home(m, owner, index):
    """Whether a record belongs to an item in which a keep (or op, numbered after the keeps) has anything to do."""
    if m[NESTS] == 1:
        return True
    for level in range(m[DEPTH]):
        home = m[at(m, HOME, owner, level)]
        if home >= 0 and index[level] != home:
            return False
    return True


@compiled
def next_record(m, index, variant):
    """Advance to the next iteration, which exists."""
    loop = m[DEPTH] - 1
    while loop >= m[DEALT] and index[loop] == m[at(m, TRIPS, variant[loop], loop)] - 1:
        loop -= 1
    for inner in range(loop + 1, m[DEPTH]):
        index[inner] = 0
    if loop >= m[DEALT]:
        index[loop] += 1
        descend(m, index, variant, loop)
    elif next_turn(m, index, variant):
        descend(m, index, variant, m[DEALT])


@compiled
def begins_tile(m, keep, owner, index, variant):
    """Whether a kept tile changes at this record; `owner` has the items in which it is."""
    for level in range(m[DEALT], m[DEPTH]):
        home = home_at(m, owner, level)
        if home >= 0:
            if index[level] != home:
                return False
        elif index[level] != 0 and m[at3(m, FIXED, variant[level], keep, level)] == HOLDS:
            return False
    return m[DEALT] == 0 or comes_with_turn(m, keep, index, variant)


@compiled
def ends_tile(m, keep, owner, index, variant):
    """Whether the next record in the tile's items, if there is one, begins another tile; of a record in one of them."""
    loop, dealt = m[DEPTH] - 1, m[DEALT]
    while loop >= dealt and (home_at(m, owner, loop) >= 0 or index[loop] == m[at(m, TRIPS, variant[loop], loop)] - 1):
        loop -= 1
    if loop < dealt:
        return dealt == 0 or ends_with_turn(m, keep, index, variant)
    if m[at3(m, FIXED, variant[loop], keep, loop)] == HOLDS:
        return False
    ends = True
    for outer in range(dealt, loop):
        ends = ends and (
            home_at(m, owner, outer) >= 0 or index[outer] == 0 or m[at3(m, FIXED, variant[outer], keep, outer)] != HOLDS
        )
    return ends


@compiled
def amounts_row(m, op, index, variant, repeat):
    """The row of AMOUNTS of an op at a repetition of a record: that of its tile's extents, of the words that stay, and
    of the sums that come back.
    """
    inside = variant[m[at(m, OP_TABLE, op, DEPTH_OF)]]
    found, bit = inside, m[VARIANTS]
    for tile in range(m[at(m, OP_TABLE, op, STAY_FIRST)], m[at(m, OP_TABLE, op, STAY_LAST)]):
        how, place, owner = m[at(m, STAYING, tile, HOW)], m[KEEPS] + tile, m[KEEPS] + op
        if how == LEAVES:
            stays = not leaves_now(m, tile, owner, inside, repeat, index, variant)
        else:
            begins = begins_tile(m, place, owner, index, variant) and begins_inside(m, tile, inside, repeat)
            stays = not begins
            if how == COMES_BACK:
                stays = begins and (was_there(m, place, owner, index, variant) or was_inside(m, tile, inside, repeat))
        if stays:
            found += bit
        bit *= 2
    return found


@compiled
def was_there(m, place, owner, index, variant):
    """Whether a tile of sums was there in an earlier record."""
    for level in range(m[DEALT], m[DEPTH]):
        revisits = m[at3(m, FIXED, variant[level], place, level)] == REVISITS
        if revisits and index[level] != 0 and home_at(m, owner, level) < 0:
            return True
    return m[DEALT] > 0 and came_earlier(m, place, index)


@compiled
def begins_inside(m, tile, inside, repeat):
    """Whether a tile, seen from the loops of its op's group alone, begins in a repetition of a record."""
    for loop in range(m[at(m, STAYING, tile, GROUP_LOOPS)] - 1, -1, -1):
        trips = m[at4(m, INNER, inside, tile, loop, 1)]
        if m[at4(m, INNER, inside, tile, loop, 0)] == HOLDS and repeat % trips != 0:
            return False
        repeat //= trips
    return True


@compiled
def was_inside(m, tile, inside, repeat):
    """Whether a tile of sums was there in an earlier repetition of its record."""
    for loop in range(m[at(m, STAYING, tile, GROUP_LOOPS)] - 1, -1, -1):
        trips = m[at4(m, INNER, inside, tile, loop, 1)]
        if m[at4(m, INNER, inside, tile, loop, 0)] == REVISITS and repeat % trips != 0:
            return True
        repeat //= trips
    return False


@compiled
def leaves_now(m, tile, owner, inside, repeat, index, variant):
    """Whether a tile ends with a repetition: the next one in its record, or the first of the next, brings another."""
    for loop in range(m[at(m, STAYING, tile, GROUP_LOOPS)] - 1, -1, -1):
        trips = m[at4(m, INNER, inside, tile, loop, 1)]
        if repeat % trips != trips - 1:
            return m[at4(m, INNER, inside, tile, loop, 0)] != HOLDS
        repeat //= trips
    return ends_tile(m, m[KEEPS] + tile, owner, index, variant)


@compiled
def generate(m, record):
    """Make the records up to `record` known (the window holds the newest ones)."""
    window, depth = m[WINDOW], m[DEPTH]
    while m[GENERATED] <= record and m[GENERATED] < m[RECORDS]:
        slot, before = m[GENERATED] % window, (m[GENERATED] - 1) % window
        index, variant = row(m, RECORD_INDEX, slot), row(m, RECORD_VARIANT, slot)
        if m[GENERATED] == 0:
            index[:] = 0
            start(m, index, variant)
            for keep in range(m[KEEPS]):
                m[at(m, RECORD_ORDINAL, slot, keep)] = 0 if begins_tile(m, keep, keep, index, variant) else -1
        else:
            for place in range(index.size):
                index[place] = m[at(m, RECORD_INDEX, before, place)]
            for place in range(depth + 1):
                variant[place] = m[at(m, RECORD_VARIANT, before, place)]
            next_record(m, index, variant)
            for keep in range(m[KEEPS]):
                changed = 1 if begins_tile(m, keep, keep, index, variant) else 0
                m[at(m, RECORD_ORDINAL, slot, keep)] = m[at(m, RECORD_ORDINAL, before, keep)] + changed
        if m[DEALT] > 0:
            number_common(m, slot, index)
        m[GENERATED] += 1


@compiled
def number_common(m, slot, index):
    """Tiles that cores have in common are numbered through all cores."""
    for keep in range(m[KEEPS]):
        if m[at(m, PLACING, keep, 0)] == COMMON:
            m[at(m, RECORD_ORDINAL, slot, keep)] = common_tile(m, keep, iteration_of(m, index[m[DEPTH] + TURN]))


@compiled
def site_record(m, index, variant):
    """The number of the record at a position: all iterations before it are of full tiles."""
    return record_of(m, index, variant, m[DEPTH])


@compiled
def record_of(m, index, variant, levels):
    """The number of the first record inside the outermost levels of a position; of those that are dealt all or none."""
    record = index[m[DEPTH] + TURN_FIRST] if levels > 0 else 0
    for level in range(m[DEALT], levels):
        if has_items(m, variant[level], level):
            record += m[at3(m, BEFORE, variant[level], level, index[level])]
        else:
            record += index[level] * m[at(m, RECORDS_BELOW, m[at3(m, CHILD, variant[level], level, 0)], level + 1)]
    return record


@compiled
def next_site(m, keep, index, variant):
    """Advance to the next record at which a kept tile changes; its number, NEVER past the last one."""
    loop = m[DEPTH] - 1
    while loop >= m[DEALT]:
        room = index[loop] < m[at(m, TRIPS, variant[loop], loop)] - 1 and home_at(m, keep, loop) < 0
        if room and m[at3(m, FIXED, variant[loop], keep, loop)] == 0:
            break
        loop -= 1
    if loop < m[DEALT]:
        comes = False
        while not comes and next_turn(m, index, variant):
            comes = comes_with_turn(m, keep, index, variant)
        if not comes:
            return NEVER
    else:
        index[loop] += 1
    for inner in range(loop + 1, m[DEPTH]):
        index[inner] = max(0, home_at(m, keep, inner))
    descend(m, index, variant, max(loop, m[DEALT]))
    return site_record(m, index, variant)


@compiled
def next_run(m, op, index, variant):
    """Advance to the next record in which an op runs; its number, NEVER past the last one."""
    loop = m[DEPTH] - 1
    while loop >= m[DEALT]:
        stays = home_at(m, m[KEEPS] + op, loop) >= 0 or m[at(m, GUARD, op, loop)] == 1
        if not stays and index[loop] < m[at(m, TRIPS, variant[loop], loop)] - 1:
            break
        loop -= 1
    if loop >= m[DEALT]:
        index[loop] += 1
    elif not next_turn(m, index, variant):
        return NEVER
    return enter_run(m, op, index, variant, loop)


@compiled
def enter_run(m, op, index, variant, loop):
    """The first record in which an op runs, inside this iteration of a loop; inside this turn (without cores, of all)
    for a loop before the first that is not dealt.
    """
    if loop >= m[DEALT]:
        variant[loop + 1] = variant_inside(m, index, variant, loop)
    for inner in range(loop + 1, m[DEPTH]):
        index[inner] = max(0, home_at(m, m[KEEPS] + op, inner))
        if m[at(m, GUARD, op, inner)] == 1:
            index[inner] = m[at(m, TRIPS, variant[inner], inner)] - 1
        variant[inner + 1] = variant_inside(m, index, variant, inner)
    return site_record(m, index, variant)
