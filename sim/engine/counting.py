"""How many words cross each edge of a mapped loop nest, exactly, for many designs at once.

An edge is a place that holds one tile of a tensor, inside some temporal loops. The tile is fetched when its identity
changes: whenever a loop over one of the tensor's ranks advances, so that it is fetched again for every iteration of
loops outside its innermost relevant loop that passes more than one tile, and stays across loops inside that one (the
counting convention of Timeloop; a loop of one iteration does not exist). Ragged last tiles are followed as cases of
their own, so that the sum of words is exact for sizes that no tile divides. With f_r full tiles and one ragged tile
in a loop, the sum over a nest of k loops visits at most 2^k cases, and one if everything divides.
"""

import numpy as np

from sim.engine.extents import coordinates, cut, is_cut, tile_extent, trips
from sim.engine.jit import compiled

MAX_DEPTH = 32  # loops above one edge; a tree deeper than this is refused when tables are made

# What an iteration of a loop does to the tile of an edge (`relevant`): leaves it in place, brings another one, leaves
# it in place with only the first iteration of interest, or passes over a piece of a tile that is there as a whole: its
# pieces add up, but nothing is fetched again for them.
STAYS, ADVANCES, FIRST_ONLY, WALKS = 0, 1, 2, 3
# The same of outermost loops whose iterations are dealt to cores, seen from a memory that each core has; and of one
# whose sums, made by a round of all cores, come to a memory that they share as one.
DEALT_STAYS, DEALT_ADVANCES, DEALT_FIRST_ONLY, ROUNDS = 4, 5, 6, 7
# The same as WALKS, where pieces in which nothing exists are skipped (`banded`).
PIECES = 8
CORES = 2  # the column of `sizes` with the number of cores

# Fields of a trail of loops, and the states in which the walk meets a loop again.
RANK, TILE, RELEVANT, STATE, SAVED, RAGGED, TRIPS, DIGIT, FIELDS = 0, 1, 2, 3, 4, 5, 6, 7, 8
ENTER, FULL, LAST = 0, 1, 2


@compiled
def tile_words(runs, sizes, extent):
    """Words of the tile spanned by `extent: i8[rank], elements` over `runs: i8[run, (rank, span, unit)]`, -1 ends."""
    words = 1.0
    for j in range(runs.shape[0]):
        rank = runs[j, 0]
        if rank < 0:
            break
        words *= coordinates(extent[rank], sizes[runs[j, 1]], sizes[runs[j, 2]])
    return words


@compiled
def passes_several(trail, first, depth, extent, scratch):
    """Whether the loops from position `first` inward visit more than one tile of the tensor, starting from `extent`."""
    for r in range(extent.shape[0]):
        scratch[r] = extent[r]
    for k in range(first, depth):
        rank, tile = trail[RANK, k], trail[TILE, k]
        if trail[RELEVANT, k] == ADVANCES and is_cut(scratch[rank], tile):
            return True
        scratch[rank] = tile_extent(scratch[rank], tile, 0)
    return False


@compiled
def is_dealt(mode):
    """Whether a loop's iterations go to cores."""
    return DEALT_STAYS <= mode <= DEALT_FIRST_ONLY


@compiled
def deal(trail, depth, cores, extent, scratch):
    """(the number of outermost loops that are dealt to cores, whether of any only first iterations are of interest);
    fills their iterations and, in the mixed radix of these, the digits of the number of cores, by which the iterations
    of a core are apart.
    """
    dealt = 0
    first_only = False
    for r in range(extent.shape[0]):
        scratch[r] = extent[r]
    while dealt < depth and is_dealt(trail[RELEVANT, dealt]):
        rank, tile = trail[RANK, dealt], trail[TILE, dealt]
        trail[TRIPS, dealt] = trips(scratch[rank], tile)
        scratch[rank] = tile_extent(scratch[rank], tile, 0)
        first_only = first_only or trail[RELEVANT, dealt] == DEALT_FIRST_ONLY
        dealt += 1
    rest = cores
    for level in range(dealt - 1, -1, -1):
        trail[DIGIT, level] = rest % trail[TRIPS, level] if level > 0 else rest
        rest = rest // trail[TRIPS, level]
    return dealt, first_only


@compiled
def carried_on(trail, level, first, end, there):
    """Of iterations whose core has the tile already, those that iterations `first` to `end` of a dealt loop leave so.

    A core goes on C iterations further: to each digit of an iteration's number the digit of C is added, and the carry
    of the loops inside. A loop that brings other tiles must come back to the same digit. there: how many there are if
    the loop gives no carry, and if it gives one; likewise returned, for the next loop inward.
    """
    found = (0.0, 0.0)
    for carry in range(2):
        step = trail[DIGIT, level] + carry
        if trail[RELEVANT, level] == DEALT_ADVANCES:
            plain, wrapped = (end - first) * (step == 0), (end - first) * (step == trail[TRIPS, level])
        else:
            plain, wrapped = max(0, end - max(first, step)), max(0, min(end, step) - first)
        ways = there[0] * plain + there[1] * wrapped
        found = (ways, found[1]) if carry == 0 else (found[0], ways)
    return found


@compiled
def fetched_words(trail, depth, runs, sizes, extent, scratch, weight, words):
    """Add to `words: f8[item]` those that an edge is fetched over the whole run, of items that it is fetched alike.

    trail: i8[field, position], outermost loop first, RANK to RAGGED are its fields; runs: i8[item, run, 3]; sizes:
    i8[column]; extent: i8[rank], elements, returned as it came; scratch: i8[rank]; weight: f8[2, position], how often
    the tile at a position is fetched (given for the outermost), and how often its ragged successor.
    """
    trail[STATE, 0] = ENTER
    level = 0
    while level >= 0:
        if level == depth:
            for item in range(words.size):
                words[item] += weight[0, level] * tile_words(runs[item], sizes, extent)
            level -= 1
            continue
        rank = trail[RANK, level]
        state = trail[STATE, level]
        descend = False
        if state == ENTER:
            tile = trail[TILE, level]
            full, ragged = cut(extent[rank], tile)
            trail[SAVED, level] = extent[rank]
            trail[RAGGED, level] = ragged
            weight[1, level] = 1.0 if ragged > 0 else 0.0
            trail[STATE, level] = LAST
            if full > 0:
                trail[STATE, level] = FULL
                extent[rank] = tile
                weight[0, level + 1] = weight[0, level] * full
                mode = trail[RELEVANT, level]
                if mode != ADVANCES and mode != WALKS and mode != PIECES and (full > 1 or ragged > 0):
                    # A tensor that the inner loops leave in place is fetched by the first iteration only.
                    if mode == FIRST_ONLY or not passes_several(trail, level + 1, depth, extent, scratch):
                        weight[0, level + 1] = weight[0, level]
                        weight[1, level] = 0.0
                    elif mode == ROUNDS and sizes[CORES] > 1:  # of which a round has a full tile, ragged ones or not
                        rounds = trips(trail[SAVED, level], tile * sizes[CORES])
                        weight[0, level + 1] = weight[0, level] * rounds
                        weight[1, level] = 0.0
                descend = True
            state = trail[STATE, level]
        elif state == FULL:
            trail[STATE, level] = LAST
            state = LAST
        if not descend and state == LAST and weight[1, level] > 0.0:
            extent[rank] = trail[RAGGED, level]
            weight[0, level + 1] = weight[0, level]
            weight[1, level] = 0.0
            descend = True
        if descend:
            level += 1
            trail[STATE, level] = ENTER
        else:
            extent[rank] = trail[SAVED, level]
            level -= 1


@compiled
def is_regular(trail, dealt, extent, scratch):
    """Whether dealt loops have the same iterations in every iteration of those outside, as mixed radix takes it."""
    for r in range(extent.shape[0]):
        scratch[r] = extent[r]
    for level in range(dealt):
        rank, tile = trail[RANK, level], trail[TILE, level]
        full, ragged = cut(scratch[rank], tile)
        for inner in range(level + 1, dealt):
            if trail[RANK, inner] == rank and full > 0 and ragged > 0:
                return False
        scratch[rank] = tile_extent(scratch[rank], tile, 0)
    return True


@compiled
def held_in_turn(trail, dealt, cores, extent):
    """f8[case] for dealt loops that are not regular: how many iterations find the tile that their core had before.

    Goes through all iterations; bit k of a case: the tile of loop k is ragged.
    """
    held = np.zeros(1 << dealt)
    at, left = np.zeros(dealt + 1, np.int64), np.empty((dealt + 1, extent.shape[0]), np.int64)
    last = np.full((cores, dealt), -1, np.int64)
    left[0] = extent
    iteration = level = 0
    while level >= 0:
        if level == dealt:
            case, stays, core = 0, True, iteration % cores
            for k in range(dealt):
                rank, tile = trail[RANK, k], trail[TILE, k]
                case |= int(left[k + 1, rank] < tile) << k
                stays = stays and (trail[RELEVANT, k] != DEALT_ADVANCES or last[core, k] == at[k])
            if stays and last[core, 0] >= 0:
                held[case] += 1.0
            last[core] = at[:dealt]
            iteration += 1
            level -= 1
            at[level] += 1
            continue
        rank, tile = trail[RANK, level], trail[TILE, level]
        if at[level] < trips(left[level, rank], tile):
            left[level + 1] = left[level]
            left[level + 1, rank] = tile_extent(left[level, rank], tile, at[level])
            level += 1
            at[level] = 0
        else:
            level -= 1
            if level >= 0:
                at[level] += 1
    return held


@compiled
def fetched_by_cores(trail, depth, runs, sizes, extent, scratch, weight, words):
    """As `fetched_words`, into an edge that every core has of its own: the outermost loops are dealt to cores.

    The ragged and the full tiles of dealt loops are cases of their own, at most 2^k for k of them.
    """
    dealt, first_only = deal(trail, depth, sizes[CORES], extent, scratch)
    regular = is_regular(trail, dealt, extent, scratch)
    held = np.zeros(1) if regular else held_in_turn(trail, dealt, sizes[CORES], extent)
    whole = extent.copy()
    for case in range(1 << dealt):
        times, there = 1.0, (1.0, 0.0)
        for level in range(dealt):
            rank, last = trail[RANK, level], trail[TRIPS, level]
            full, ragged = cut(extent[rank], trail[TILE, level])
            is_ragged = case >> level & 1
            first, end = (last - (ragged > 0), last) if is_ragged else (0, full)
            extent[rank] = ragged if is_ragged else trail[TILE, level]
            times *= end - first
            there = carried_on(trail, level, first, end, there)
        if times > 0.0:
            if first_only or not passes_several(trail, dealt, depth, extent, scratch):
                times -= there[0] if regular else held[case]
            weight[0, 0] = times
            fetched_words(trail[:, dealt:], depth - dealt, runs, sizes, extent, scratch, weight, words)
        extent[:] = whole


@compiled
def alike(paths, relevant):
    """(order, starts) of rows: i8[row], rows that walk alike next to each other; i8[group + 1], where each begins."""
    rows = paths.shape[0]
    order, starts = np.empty(rows, np.int64), np.zeros(rows + 1, np.int64)
    taken = np.zeros(rows, np.bool_)
    placed = groups = 0
    for n in range(rows):
        if taken[n]:
            continue
        for other in range(n, rows):
            if not taken[other] and (paths[n] == paths[other]).all() and (relevant[n] == relevant[other]).all():
                taken[other] = True
                order[placed] = other
                placed += 1
        groups += 1
        starts[groups] = placed
    return order, starts[: groups + 1]


@compiled
def count_words(extents, tiles, sizes, paths, relevant, runs, loop_rank, out):
    """Fill `out: f8[design, row], words` with the words fetched into every edge. Rows that walk alike share a walk.

    extents: i8[design, rank], elements; tiles: i8[design, loop], elements; sizes: i8[design, column], elements (spans
    and units of ranks); paths: i8[row, position], loops outermost first, -1 ends; relevant: i8[row, position],
    what the loop does to the tile, such as ADVANCES where the tensor has its rank; runs: i8[row, run, 3]; loop_rank:
    i8[loop].
    """
    order, starts = alike(paths, relevant)
    runs_in_order, words = runs[order], np.empty(order.size)
    trail = np.zeros((FIELDS, MAX_DEPTH + 1), np.int64)
    weight = np.zeros((2, MAX_DEPTH + 1))
    extent = np.empty(extents.shape[1], np.int64)
    scratch = np.empty(extents.shape[1], np.int64)
    for d in range(extents.shape[0]):
        for r in range(extents.shape[1]):
            extent[r] = extents[d, r]
        words[:] = 0.0
        for group in range(starts.size - 1):
            n, first, end = order[starts[group]], starts[group], starts[group + 1]
            depth = 0
            while depth < paths.shape[1] and paths[n, depth] >= 0:
                loop = paths[n, depth]
                trail[RANK, depth] = loop_rank[loop]
                trail[TILE, depth] = tiles[d, loop]
                trail[RELEVANT, depth] = relevant[n, depth]
                depth += 1
            weight[0, 0] = 1.0
            items, found = runs_in_order[first:end], words[first:end]
            if depth > 0 and is_dealt(relevant[n, 0]):
                fetched_by_cores(trail, depth, items, sizes[d], extent, scratch, weight, found)
            else:
                fetched_words(trail, depth, items, sizes[d], extent, scratch, weight, found)
        for row in range(order.size):
            out[d, order[row]] = words[row]


@compiled
def first_tile_words(extents, tiles, sizes, paths, runs, loop_rank, out):
    """Fill `out: f8[design, row], words` with the words of the first, and largest, tile at every row's place."""
    for d in range(extents.shape[0]):
        for n in range(paths.shape[0]):
            words = 1.0
            for j in range(runs.shape[1]):
                rank = runs[n, j, 0]
                if rank < 0:
                    break
                extent = extents[d, rank]
                for k in range(paths.shape[1]):
                    loop = paths[n, k]
                    if loop < 0:
                        break
                    if loop_rank[loop] == rank:
                        extent = tile_extent(extent, tiles[d, loop], 0)
                words *= coordinates(extent, sizes[d, runs[n, j, 1]], sizes[d, runs[n, j, 2]])
            out[d, n] = words


@compiled
def largest_divisors(number, limit, out):
    """Fill `out: i8[n]` with the largest divisor of `number: i8[n]` that is at most `limit: i8[n]`, at least 1."""
    for i in range(number.shape[0]):
        best = 1
        n = number[i]
        low = 1
        while low * low <= n:
            if n % low == 0:
                if low <= limit[i] and low > best:
                    best = low
                if n // low <= limit[i] and n // low > best:
                    best = n // low
            low += 1
        out[i] = best
