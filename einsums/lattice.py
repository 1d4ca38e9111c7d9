"""Points of a plane with whole coordinates between straight lines, counted in closed form.

The functions take and give integers only and use nothing that a compiler of loops lacks, so that engines can compile
them for columns of designs. The sum over one coordinate of the extent of the other is split where the binding lines
change; each part is a sum of floors, which Euclid's algorithm takes in O(log) steps (as in Graham, Knuth and Patashnik,
Concrete Mathematics, section 3.5).
"""

from typing import Any


def floor_sum(count: int, divisor: int, slope: int, start: int) -> int:
    """The sum over 0 <= i < count of floor((slope*i + start) / divisor), divisor > 0."""
    if count <= 0:
        return 0
    total = 0
    if slope < 0:
        wrapped = slope % divisor
        total -= count * (count - 1) // 2 * ((wrapped - slope) // divisor)
        slope = wrapped
    if start < 0:
        wrapped = start % divisor
        total -= count * ((wrapped - start) // divisor)
        start = wrapped
    while True:
        if slope >= divisor:
            total += count * (count - 1) // 2 * (slope // divisor)
            slope %= divisor
        if start >= divisor:
            total += count * (start // divisor)
            start %= divisor
        end = slope * count + start
        if end < divisor:
            return total
        count, start = end // divisor, end % divisor
        divisor, slope = slope, divisor


def lattice_points(rows: Any, first: int, second: int) -> int:
    """Pairs 0 <= i < first, 0 <= j < second with rows[h][0]*i + rows[h][1]*j + rows[h][2] >= 0 for every row h.

    `rows`: a list or an integer array of three columns.
    """
    low, high = limits(rows, first)
    if low > high or second <= 0:
        return 0
    lower, upper = [(0, 0, 1)], [(0, second - 1, 1)]  # bounds of j as (slope, start, divisor)
    for h in range(len(rows)):
        a, b, c = rows[h][0], rows[h][1], rows[h][2]
        if b > 0:
            lower.append((-a, -c, b))
        elif b < 0:
            upper.append((a, c, -b))
    cuts = cuts_between(lower + upper, low, high)
    total, start = 0, low
    for k in range(len(cuts)):
        if cuts[k] >= start:
            total += strip(lower, upper, start, cuts[k])
            start = cuts[k] + 1
    return total


def limits(rows: Any, first: int) -> tuple[int, int]:
    """The first and last i that rows without j allow; last < first if there is none."""
    low, high = 0, first - 1
    for h in range(len(rows)):
        a, b, c = rows[h][0], rows[h][1], rows[h][2]
        if b == 0:
            if a > 0:
                low = max(low, -(c // a))
            elif a < 0:
                high = min(high, c // -a)
            elif c < 0:
                high = low - 1
    return low, high


def cuts_between(bounds: Any, low: int, high: int) -> Any:
    """The last i of each stretch in which no two bounds cross, in order; a crossing at a whole i stands alone."""
    cuts = [high]
    for k in range(len(bounds)):
        for n in range(k):
            last = crossing(bounds[k], bounds[n], low - 2)
            for cut in (last - 1, last):
                if low <= cut < high:
                    cuts.append(cut)
    cuts.sort()
    return cuts


def crossing(one: Any, other: Any, otherwise: int) -> int:
    """The last whole i before two lines cross; `otherwise` where they do not."""
    steeper = one[0] * other[2] - other[0] * one[2]
    if steeper == 0:
        return otherwise
    return int((other[1] * one[2] - one[1] * other[2]) // steeper)


def strip(lower: Any, upper: Any, start: int, stop: int) -> int:
    """Points for i from `start` to `stop`, between which no two bounds cross."""
    most, least = upper[0], lower[0]
    for k in range(1, len(upper)):
        if is_below(upper[k], most, start, stop):
            most = upper[k]
    for k in range(1, len(lower)):
        if is_below(least, lower[k], start, stop):
            least = lower[k]
    for i in (start, stop):
        if (most[0] * i + most[1]) * least[2] < (least[0] * i + least[1]) * most[2]:
            return 0
    count = stop - start + 1
    ends = floor_sum(count, most[2], most[0], most[0] * start + most[1])
    begins = floor_sum(count, least[2], least[0], least[0] * start + least[1] + least[2] - 1)
    return ends - begins + count


def is_below(one: Any, other: Any, start: int, stop: int) -> bool:
    """Whether a line is below another one at `start`, or, where they meet there, at `stop`."""
    for i in (start, stop):
        left, right = (one[0] * i + one[1]) * other[2], (other[0] * i + other[1]) * one[2]
        if left != right:
            return bool(left < right)
    return False
