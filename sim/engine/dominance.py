"""Non-dominated points: the loops of the Pareto filter and of the hypervolume.

A point dominates another if it is at most as large in every objective and smaller in one. Rows come sorted by their
first objective (then the second, ...), so that only earlier rows can dominate a later one: each is tried against the
front so far, O(n x front).
"""

from sim.engine.jit import compiled


@compiled
def keep_undominated(values, front, kept):
    """Fill `kept: bool[point]` for rows of `values: f8[point, objective]` in ascending order; returns their number.

    front: i8[point], scratch. Equal rows are all kept.
    """
    size = 0
    for i in range(values.shape[0]):
        dominated = False
        for k in range(size):
            j = front[k]
            no_worse = True
            better = False
            for m in range(values.shape[1]):
                if values[j, m] > values[i, m]:
                    no_worse = False
                    break
                if values[j, m] < values[i, m]:
                    better = True
            if no_worse and better:
                dominated = True
                # The point that beat this row is likely to beat the next, so try it first.
                front[k] = front[0]
                front[0] = j
                break
        kept[i] = not dominated
        if not dominated:
            front[size] = i
            size += 1
    return size


@compiled
def area_below(values, reference):
    """Area that `values: f8[point, 2]`, ascending in the first column, dominate below `reference: f8[2]`."""
    total = 0.0
    lowest = reference[1]
    for i in range(values.shape[0]):
        if values[i, 0] < reference[0] and values[i, 1] < lowest:
            total += (reference[0] - values[i, 0]) * (lowest - values[i, 1])
            lowest = values[i, 1]
    return total
