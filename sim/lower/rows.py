"""The tables that the counting loops read, filled one row at a time.

A row is a question about the loop nest: "inside these loops, how many words of this tensor are fetched?". Equal
questions share a row. Names have already become numbers here.
"""

from dataclasses import dataclass, field, replace

import numpy as np

from einsums.conditions import EVERYWHERE, Region
from mappings.tree import ResolvedTree
from sim.engine.counting import ADVANCES, FIRST_ONLY, MAX_DEPTH, STAYS
from sim.engine.tables import RowTables
from sim.lower.ranks import RankSpace
from sim.lower.regions import Regions

NOTHING = frozenset[int]()


Path = tuple[tuple[int, int], ...]  # (loop, what it does to the tile), outermost first


@dataclass
class RowTable:
    """Rows under construction, each known by what it asks. Those of `region` skip tiles that have no point of it."""

    space: RankSpace
    tree: ResolvedTree
    regions: Regions
    region: Region = EVERYWHERE
    numbers: dict[tuple[Path, frozenset[int], Region], int] = field(default_factory=dict)

    def where(self, region: Region) -> "RowTable":
        """The same rows under construction; those that it is asked for skip tiles without a point of the region."""
        return self if region == self.region else replace(self, region=region)

    def row(self, loops: tuple[int, ...], relevant: frozenset[int], dims: frozenset[int]) -> int:
        """The row that sums tiles over parts `dims`, fetched whenever a loop over a part in `relevant` advances."""
        return self.along(self.path(loops, relevant), dims)

    def first_visits(self, loops: tuple[int, ...], relevant: frozenset[int], dims: frozenset[int]) -> int:
        """As `row`, but each tile is counted once, however often it is fetched."""
        return self.along(self.path(loops, relevant, FIRST_ONLY), dims)

    def total(self, dims: frozenset[int]) -> int:
        """The row that holds the whole size over parts `dims`."""
        return self.along((), dims)

    def path(self, loops: tuple[int, ...], relevant: frozenset[int], otherwise: int = STAYS) -> Path:
        """Loops that bring another tile where they run over a part in `relevant`."""
        return tuple((loop, ADVANCES if self.part(loop) in relevant else otherwise) for loop in loops)

    def along(self, path: Path, dims: frozenset[int]) -> int:
        """The row that sums tiles over parts `dims` along a path of loops."""
        return self.numbers.setdefault((path, dims, self.region), len(self.numbers))

    def part(self, loop: int) -> int:
        """The part that a loop runs over."""
        return self.space.part_of_variable(self.tree.loops[loop].variable)

    def tables(self) -> RowTables:
        depth = max((len(path) for path, _, _ in self.numbers), default=0)
        if depth > MAX_DEPTH:
            raise ValueError(f"the fusion tree is {depth} loops deep, at most {MAX_DEPTH} are counted")
        widest = max((len(self.space.runs(dims)) for _, dims, _ in self.numbers), default=0)
        rows = len(self.numbers)
        paths = np.full((rows, depth + 1), -1, np.int64)
        relevant = np.zeros((rows, depth + 1), np.int64)
        runs = np.full((rows, widest + 1, 3), -1, np.int64)
        region_of = np.full(rows, -1, np.int64)
        for (path, dims, region), n in self.numbers.items():
            region_of[n] = self.regions.number(region)
            paths[n, : len(path)] = [loop for loop, _ in path]
            relevant[n, : len(path)] = [mode for _, mode in path]
            for j, run in enumerate(self.space.runs(dims)):
                runs[n, j] = run
        loop_rank = np.array([self.space.parts[self.part(loop.index)].root for loop in self.tree.loops], np.int64)
        return _read_only(RowTables(paths, relevant, runs, loop_rank, region_of))


def _read_only(tables: RowTables) -> RowTables:
    for table in tables:
        table.flags.writeable = False
    return tables
