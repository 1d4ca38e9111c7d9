"""Tiles on their way in: when the next one of a keep may be brought, and in which pieces it comes.

A tile is brought as soon as it has a place and its words exist, and so ahead of its use. Those of items that follow one
another are brought in the order in which they are needed; before an array has come to an item, one place of its tiles
stays free, as it does later for the tile in use. Sums that begin are there without a transfer.
"""

from sim.engine.cycle.columns import (
    AGAIN_CYCLES,
    AGAIN_TAIL,
    AGAIN_WORDS,
    ARRAYS,
    AVAILABLE,
    BEFORE,
    COMMON,
    CORES,
    DEALT,
    DEPTH,
    DRAINED,
    DRAINS_ASKED,
    FILL_CYCLES,
    FILL_PIECES,
    FILL_SITE,
    FILL_TAIL,
    FILL_WORDS,
    FILLED,
    FILLS,
    FILLS_BEGUN,
    FIXED,
    HOME,
    IN_TURN,
    KEEP_DEPTH,
    KEEP_TABLE,
    KEEPS,
    MOVES,
    NEVER,
    OLD_LOOP,
    OUTER,
    OUTER_TILE,
    PER_KEEP,
    PER_OP,
    PER_PHASE,
    PIECES,
    PIECES_BEGUN,
    PIECES_OF,
    PLACING,
    RECORDS,
    RECORDS_BELOW,
    RETURNS,
    SITE_INDEX,
    SITE_VARIANT,
    SOURCE,
    SOURCE_FIRST,
    SOURCE_LEVEL,
    STEPS,
    TRIPS,
    TURN,
    WAITS_AT,
    WRITER,
)
from sim.engine.cycle.phases import has_begun
from sim.engine.cycle.ready import has_room
from sim.engine.cycle.records import begins_tile, is_home, next_site, record_of, site_record, start
from sim.engine.cycle.tables import at, at1, at3, row, row3
from sim.engine.cycle.turns import common_tile, iteration_of
from sim.engine.jit import compiled


@compiled
def may_fill(m, keep):
    """Whether the next tile of a keep may be brought: it has a place, and its words exist.

    What a memory further out has to bring first exists once it is there as a whole. Words that an op of the nest makes
    exist once it has made them; old words, and words that return to their previous place, once they have been made and
    drained in the previous iteration; those of another item once that is over.
    """
    if not has_place(m, keep):
        return False
    site = m[at(m, PER_KEEP, keep, FILL_SITE)]
    begun = m[at(m, PER_KEEP, keep, FILLS_BEGUN)]
    outer = m[at(m, KEEP_TABLE, keep, OUTER)]
    if outer >= 0 and m[at(m, PER_KEEP, outer, FILLED)] <= m[at(m, PER_KEEP, keep, OUTER_TILE)]:
        return False
    source, loop = m[at(m, KEEP_TABLE, keep, SOURCE)], m[at(m, KEEP_TABLE, keep, OLD_LOOP)]
    if source >= 0 and m[at(m, KEEP_TABLE, keep, SOURCE_LEVEL)] >= 0:
        level = m[at(m, KEEP_TABLE, keep, SOURCE_LEVEL)]
        return has_made(m, source, keep, level, m[at(m, KEEP_TABLE, keep, SOURCE_FIRST)])
    if loop >= 0 and is_first(m, keep, loop):
        return True
    records, tiles = 0, 0
    if loop >= 0:
        records, tiles = m[at(m, RECORDS_BELOW, m[at(m, SITE_VARIANT, keep, loop + 1)], loop + 1)], 1
        for inner in range(loop + 1, m[DEPTH]):
            variant = m[at(m, SITE_VARIANT, keep, inner)]
            if m[at(m, HOME, keep, inner)] < 0 and m[at3(m, FIXED, variant, keep, inner)] == 0:
                tiles *= m[at(m, TRIPS, variant, inner)]
    if source >= 0:  # all records of the tile make it: a reader that is there in the first one alone shares their loops
        depth = m[at(m, KEEP_TABLE, keep, KEEP_DEPTH)]
        made = m[at(m, RECORDS_BELOW, m[at(m, SITE_VARIANT, keep, depth)], depth)]
        return m[at(m, PER_OP, source, AVAILABLE)] > site - records + made - 1
    return loop < 0 or m[at(m, PER_KEEP, keep, DRAINED)] > begun - tiles


@compiled
def has_place(m, keep):
    """Whether the next tile of a keep has a place, and it is its turn."""
    begun = m[at(m, PER_KEEP, keep, FILLS_BEGUN)]
    if m[at(m, KEEP_TABLE, keep, IN_TURN)] == 0:
        return has_room(m, keep, begun, 0)
    if m[PER_PHASE] == 1:
        return has_room(m, keep, begun, 0) and has_begun(m, row(m, SITE_INDEX, keep), row(m, SITE_VARIANT, keep))
    return has_room(m, keep, begun, is_ahead(m, keep)) and is_in_turn(m, keep) and items_are_over(m, keep)


@compiled
def is_first(m, keep, level):
    """Whether the next tile of a keep is of the first iteration of a level, or of the first of its core."""
    return m[at(m, SITE_INDEX, keep, level)] < (m[CORES] if level < m[DEALT] else 1)


@compiled
def is_ahead(m, keep):
    """1: no array has come to the item of the next tile of a keep, so that its place is the one beside those in use."""
    level = -1
    for home in range(m[DEPTH]):
        if m[at(m, HOME, keep, home)] >= 0:
            level = home
    begin = record_of(m, row(m, SITE_INDEX, keep), row(m, SITE_VARIANT, keep), level + 1)
    for array in range(m[ARRAYS]):
        if m[at1(m, STEPS, array)] >= begin:
            return 0
    return 1


@compiled
def is_in_turn(m, keep):
    """Whether all tiles of other items that are needed before the next one of a keep are there or on their way."""
    site = m[at(m, PER_KEEP, keep, FILL_SITE)]
    for other in range(m[KEEPS]):
        if m[at(m, KEEP_TABLE, other, FILLS)] == 1 and m[at(m, PER_KEEP, other, FILL_SITE)] < site:
            for level in range(m[DEPTH]):
                if m[at(m, HOME, other, level)] != m[at(m, HOME, keep, level)]:
                    return False
    return True


@compiled
def has_made(m, producer, site, level, comes_first):
    """Whether an op of another item has made, and its memories have passed on, what the next transfer of a site brings.

    level: the one that parts the two; comes_first: 1 where the op's item comes before that of the site, whose end then
    counts; else all iterations before.
    """
    index, variant = row(m, SITE_INDEX, site), row(m, SITE_VARIANT, site)
    end, item = record_of(m, index, variant, level), m[at(m, HOME, m[KEEPS] + producer, level)]
    if comes_first == 1:
        end += m[at3(m, BEFORE, variant[level], level, item + 1)]
    if m[at(m, PER_OP, producer, AVAILABLE)] < end:
        return False
    for keep in range(m[KEEPS]):
        if keep != site and m[at(m, KEEP_TABLE, keep, WRITER)] == producer and is_draining(m, keep):
            return False
    return True


@compiled
def is_draining(m, keep):
    """Whether finished tiles of a keep have not arrived further out."""
    return m[at(m, PER_KEEP, keep, DRAINED)] < m[at(m, PER_KEEP, keep, DRAINS_ASKED)]


@compiled
def items_are_over(m, keep):
    """Whether a tile that is not filled ahead may come: all before its item is over, and what was there has left."""
    level = m[at(m, KEEP_TABLE, keep, WAITS_AT)]
    if level < 0:
        return True
    begin = record_of(m, row(m, SITE_INDEX, keep), row(m, SITE_VARIANT, keep), level + 1)
    for array in range(m[ARRAYS]):
        if m[at1(m, STEPS, array)] < begin:
            return False
    for other in range(m[KEEPS]):
        if not is_home(m, other, row(m, SITE_INDEX, keep)) and is_draining(m, other):
            return False
    return True


@compiled
def first_fill(m, keep):
    """Go to the first tile of a keep."""
    index, variant = row(m, SITE_INDEX, keep), row(m, SITE_VARIANT, keep)
    for level in range(m[DEPTH]):
        index[level] = max(0, m[at(m, HOME, keep, level)])
    start(m, index, variant)
    m[at(m, PER_KEEP, keep, FILL_SITE)] = site_record(m, index, variant) if m[RECORDS] > 0 else NEVER
    outer = m[at(m, KEEP_TABLE, keep, OUTER)]
    if outer >= 0 and m[DEALT] > 0 and m[at(m, PLACING, outer, 0)] == COMMON:
        m[at(m, PER_KEEP, keep, OUTER_TILE)] = common_tile(m, outer, iteration_of(m, 0))


@compiled
def advance_fill(m, keep):
    """The next tile's place in the loops."""
    m[at(m, PER_KEEP, keep, FILLS_BEGUN)] += 1
    index, variant, outer = row(m, SITE_INDEX, keep), row(m, SITE_VARIANT, keep), m[at(m, KEEP_TABLE, keep, OUTER)]
    m[at(m, PER_KEEP, keep, FILL_SITE)] = next_site(m, keep, index, variant)
    if outer < 0:
        return
    if m[DEALT] > 0 and m[at(m, PLACING, outer, 0)] == COMMON:
        m[at(m, PER_KEEP, keep, OUTER_TILE)] = common_tile(m, outer, iteration_of(m, index[m[DEPTH] + TURN]))
    else:
        m[at(m, PER_KEEP, keep, OUTER_TILE)] += 1 if begins_tile(m, outer, outer, index, variant) else 0


@compiled
def sums_return(m, keep):
    """Whether the next tile was there before and was left incomplete."""
    times = 0
    for loop in range(m[DEPTH]):
        times += m[at(m, RETURNS, keep, loop)] == 1 and not is_first(m, keep, loop)
    return times > 0


@compiled
def begin_sums(m, keep):
    """A tile whose sums begin is there as soon as it has a place, if nothing else comes into it. Whether it was so."""
    if m[at(m, PER_KEEP, keep, FILLS_BEGUN)] > m[at(m, PER_KEEP, keep, FILLED)]:
        return False
    if m[at(m, PER_KEEP, keep, FILL_SITE)] == NEVER or sums_return(m, keep) or not may_fill(m, keep):
        return False
    variant = m[at(m, SITE_VARIANT, keep, m[at(m, KEEP_TABLE, keep, KEEP_DEPTH)])]
    if m[at3(m, MOVES, variant, keep, FILL_WORDS)] > 0:
        return False
    advance_fill(m, keep)
    m[at(m, PER_KEEP, keep, FILLED)] += 1
    return True


@compiled
def begin_fill(m, keep):
    """Count a tile, or its next piece, as begun; returns its cycles, words and tail."""
    variant = m[at(m, SITE_VARIANT, keep, m[at(m, KEEP_TABLE, keep, KEEP_DEPTH)])]
    move, piece = row3(m, MOVES, variant, keep), row(m, PIECES, keep)
    cycles, words, tail = move[FILL_CYCLES], move[FILL_WORDS], move[FILL_TAIL]
    if sums_return(m, keep):
        cycles, words, tail = cycles + move[AGAIN_CYCLES], words + move[AGAIN_WORDS], tail + move[AGAIN_TAIL]
    pieces, number = move[FILL_PIECES], piece[PIECES_BEGUN]
    piece[PIECES_OF] = pieces
    piece[PIECES_BEGUN] = (number + 1) % pieces
    if number + 1 == pieces:
        advance_fill(m, keep)
    return part_of(cycles, number, pieces), part_of(words, number, pieces), part_of(tail, number, pieces)


@compiled
def part_of(amount, number, parts):
    """The part with this number of an amount in nearly equal parts."""
    return amount * (number + 1) // parts - amount * number // parts
