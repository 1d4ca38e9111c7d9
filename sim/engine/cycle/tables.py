"""The single array in which the tile-level engine keeps a program and its state, and the layout of its tables.

`m: i8[number]` begins with scalars (sizes, flags) and a directory: the start and the strides of every table. After the
directory come the counters that only grow, then everything else. Passing one flat array to a compiled call costs as
much as passing one table (a tuple of forty arrays costs forty times that, and minutes of compilation), and a moment of
the run can be recorded by copying part of it.
"""

from sim.engine.jit import compiled


@compiled
def at1(m, table, i):
    """Position of entry i of a table with one axis."""
    return m[table] + i


@compiled
def at(m, table, i, j):
    """Position of entry (i, j)."""
    return m[table] + i * m[table + 1] + j


@compiled
def at3(m, table, i, j, k):
    """Position of entry (i, j, k)."""
    return m[table] + i * m[table + 1] + j * m[table + 2] + k


@compiled
def at4(m, table, i, j, k, n):
    """Position of entry (i, j, k, n)."""
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
    """All entries of i in a table with three axes, as a view of one axis."""
    first = m[table] + i * m[table + 1]
    return m[first : first + m[table + 1]]


@compiled
def table(m, of, rows):
    """All rows of a table with two axes, as a view of one axis."""
    return m[m[of] : m[of] + rows * m[of + 1]]
