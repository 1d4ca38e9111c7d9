"""The one array in which the tile-level engine keeps a program and its state, and how tables lie in it.

`m: i8[number]` begins with single numbers (sizes, marks) and a directory: for every table where it begins
and how far apart its rows (and their rows) lie. After the directory come the counters that only grow, then
everything else. One flat array costs a compiled call what one table costs (a tuple of forty arrays costs
forty times that, and minutes of compilation), and a moment of the run can be written down by copying a part
of it.
"""

from sim.engine.jit import compiled


@compiled
def at1(m, table, i):
    """Place of entry i of a table with one axis."""
    return m[table] + i


@compiled
def at(m, table, i, j):
    """Place of entry (i, j)."""
    return m[table] + i * m[table + 1] + j


@compiled
def at3(m, table, i, j, k):
    """Place of entry (i, j, k)."""
    return m[table] + i * m[table + 1] + j * m[table + 2] + k


@compiled
def at4(m, table, i, j, k, n):
    """Place of entry (i, j, k, n)."""
    return m[table] + i * m[table + 1] + j * m[table + 2] + k * m[table + 3] + n


@compiled
def row(m, table, i):
    """Row i of a table with two axes, as a view."""
    first = m[table] + i * m[table + 1]
    return m[first : first + m[table + 1]]


@compiled
def row3(m, table, i, j):
    """Row (i, j) of a table with three axes, as a view."""
    first = m[table] + i * m[table + 1] + j * m[table + 2]
    return m[first : first + m[table + 2]]


@compiled
def block(m, table, i):
    """All that belongs to i in a table with three axes, as a view of one axis."""
    first = m[table] + i * m[table + 1]
    return m[first : first + m[table + 1]]


@compiled
def table(m, of, rows):
    """All rows of a table with two axes, as a view of one axis."""
    return m[m[of] : m[of] + rows * m[of + 1]]
