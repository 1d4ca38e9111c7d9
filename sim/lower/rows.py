"""The tables that the counting loops read, filled one row at a time.

A row is a question about the loop nest: "inside these loops, how many words of this tensor are fetched?". Equal
questions share a row. Names have already become numbers here.
"""

from dataclasses import dataclass, field

import numpy as np

from mappings.tree import ResolvedTree
from sim.engine.counting import ADVANCES, FIRST_ONLY, MAX_DEPTH, STAYS
from sim.engine.tables import RowTables
from sim.lower.ranks import RankSpace

NOTHING = frozenset[int]()


@dataclass
class RowTable:
    """Rows under construction, each known by what it asks."""

    space: RankSpace
    tree: ResolvedTree
    numbers: dict[tuple[tuple[int, ...], frozenset[int], frozenset[int], int], int] = field(default_factory=dict)

    def row(self, loops: tuple[int, ...], relevant: frozenset[int], dims: frozenset[int]) -> int:
        """The row that sums tiles over parts `dims`, fetched whenever a loop over a part in `relevant` advances."""
        return self.numbers.setdefault((loops, relevant, dims, STAYS), len(self.numbers))

    def first_visits(self, loops: tuple[int, ...], relevant: frozenset[int], dims: frozenset[int]) -> int:
        """As `row`, but each tile is counted once, however often it is fetched."""
        return self.numbers.setdefault((loops, relevant, dims, FIRST_ONLY), len(self.numbers))

    def total(self, dims: frozenset[int]) -> int:
        """The row that holds the whole size over parts `dims`."""
        return self.row((), NOTHING, dims)

    def tables(self) -> RowTables:
        depth = max((len(loops) for loops, *_ in self.numbers), default=0)
        if depth > MAX_DEPTH:
            raise ValueError(f"the fusion tree is {depth} loops deep, at most {MAX_DEPTH} are counted")
        widest = max((len(self.space.runs(dims)) for _, _, dims, _ in self.numbers), default=0)
        rows = len(self.numbers)
        paths = np.full((rows, depth + 1), -1, np.int64)
        relevant = np.zeros((rows, depth + 1), np.int64)
        runs = np.full((rows, widest + 1, 3), -1, np.int64)
        loop_part = [self.space.part_of_variable(loop.variable) for loop in self.tree.loops]
        for (loops, parts, dims, otherwise), n in self.numbers.items():
            paths[n, : len(loops)] = loops
            relevant[n, : len(loops)] = [ADVANCES if loop_part[loop] in parts else otherwise for loop in loops]
            for j, run in enumerate(self.space.runs(dims)):
                runs[n, j] = run
        loop_rank = np.array([self.space.parts[part].root for part in loop_part], np.int64)
        return _read_only(RowTables(paths, relevant, runs, loop_rank))


def _read_only(tables: RowTables) -> RowTables:
    for table in tables:
        table.flags.writeable = False
    return tables
