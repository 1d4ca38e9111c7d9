"""How many words cross each edge of a mapped loop nest, exactly, for many designs at once.

An edge is a place that holds one tile of a tensor, inside some temporal loops. The tile is fetched when its identity
changes: whenever a loop over one of the tensor's ranks advances, so that it is fetched again for every iteration of loops
outside its innermost relevant loop that passes more than one tile, and stays across loops inside that one (the counting
convention of Timeloop; a loop of one iteration does not exist). Ragged last tiles are followed as cases of their own, so
that the sum of words is exact for sizes that no tile divides. With f_r full tiles and one ragged tile in a loop, the sum
over a nest of k loops visits at most 2^k cases, and one if everything divides.
"""

import numpy as np

from sim.engine.jit import compiled

MAX_DEPTH = 32  # loops above one edge; a tree deeper than this is refused when tables are made


@compiled
def tile_words(runs, sizes, extent):
    """Words of the tile spanned by `extent: i8[rank], elements` over `runs: i8[run, (rank, span, unit)]`, -1 ends."""
    words = 1.0
    for j in range(runs.shape[0]):
        rank = runs[j, 0]
        if rank < 0:
            break
        reach = min(extent[rank], sizes[runs[j, 1]])
        unit = sizes[runs[j, 2]]
        words *= (reach + unit - 1) // unit
    return words


@compiled
def passes_several(path, relevant, tiles, loop_rank, first, extent, scratch):
    """Whether the loops from position `first` inward visit more than one tile of the tensor, starting from `extent`."""
    for r in range(extent.shape[0]):
        scratch[r] = extent[r]
    for k in range(first, path.shape[0]):
        loop = path[k]
        if loop < 0:
            break
        rank = loop_rank[loop]
        if relevant[k] == 1 and scratch[rank] > tiles[loop]:
            return True
        scratch[rank] = min(scratch[rank], tiles[loop])
    return False


@compiled
def fetched_words(path, relevant, runs, tiles, sizes, loop_rank, extent, work):
    """Words fetched into one edge over the whole run.

    path: i8[position], loop ids outermost first, -1 ends; relevant: i8[position]; tiles: i8[loop], elements;
    extent: i8[rank], elements, returned as it came; work: f8[3, MAX_DEPTH + 1 + ranks].
    """
    depth = 0
    while depth < path.shape[0] and path[depth] >= 0:
        depth += 1
    ragged = np.zeros(depth + 1, np.int64)
    saved = np.zeros(depth + 1, np.int64)
    state = np.zeros(depth + 1, np.int64)
    scratch = np.zeros(extent.shape[0], np.int64)
    weight, ragged_weight = work[0], work[1]
    total = 0.0
    weight[0] = 1.0
    level = 0
    while level >= 0:
        if level == depth:
            total += weight[level] * tile_words(runs, sizes, extent)
            level -= 1
            continue
        rank = loop_rank[path[level]]
        if state[level] == 0:
            tile = tiles[path[level]]
            saved[level] = extent[rank]
            full = extent[rank] // tile
            ragged[level] = extent[rank] - full * tile
            has_ragged = 1.0 if ragged[level] > 0 else 0.0
            state[level] = 1
            if full > 0:
                extent[rank] = tile
                repeats = float(full)
                if relevant[level] == 0 and full + has_ragged > 1:
                    # A tensor that the inner loops leave in place is fetched by the first iteration only.
                    if not passes_several(path, relevant, tiles, loop_rank, level + 1, extent, scratch):
                        repeats = 1.0
                        has_ragged = 0.0
                ragged_weight[level] = has_ragged
                weight[level + 1] = weight[level] * repeats
                state[level + 1] = 0
                level += 1
                continue
            ragged_weight[level] = has_ragged
        if state[level] == 1:
            state[level] = 2
            if ragged_weight[level] > 0:
                extent[rank] = ragged[level]
                weight[level + 1] = weight[level]
                state[level + 1] = 0
                level += 1
                continue
        extent[rank] = saved[level]
        level -= 1
    return total


@compiled
def count_words(extents, tiles, sizes, paths, relevant, runs, loop_rank, out):
    """Fill `out: f8[design, row], words` with the words fetched into every row's edge.

    extents: i8[design, rank], elements; tiles: i8[design, loop], elements; sizes: i8[design, column], elements (spans and
    units of ranks); paths, relevant: i8[row, position]; runs: i8[row, run, 3]; loop_rank: i8[loop].
    """
    work = np.empty((2, MAX_DEPTH + 1))
    extent = np.empty(extents.shape[1], np.int64)
    for d in range(extents.shape[0]):
        for n in range(paths.shape[0]):
            for r in range(extents.shape[1]):
                extent[r] = extents[d, r]
            out[d, n] = fetched_words(paths[n], relevant[n], runs[n], tiles[d], sizes[d], loop_rank, extent, work)


@compiled
def first_tile_words(extents, tiles, sizes, paths, runs, loop_rank, out):
    """Fill `out: f8[design, row], words` with the words of the first, and largest, tile at every row's place."""
    extent = np.empty(extents.shape[1], np.int64)
    for d in range(extents.shape[0]):
        for n in range(paths.shape[0]):
            for r in range(extents.shape[1]):
                extent[r] = extents[d, r]
            for k in range(paths.shape[1]):
                loop = paths[n, k]
                if loop < 0:
                    break
                extent[loop_rank[loop]] = min(extent[loop_rank[loop]], tiles[d, loop])
            out[d, n] = tile_words(runs[n], sizes[d], extent)


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
