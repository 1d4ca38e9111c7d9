"""A mapped cascade on numbers, point by point in Python scalars: the slow twin of the functional engine.

All loops run, one iteration after another; an accumulator is rounded to a word after each step, so that the last rounding is
that of the finished sum. At the bottom the points of a step go down the rows of a column, then to the next
column. Nothing is imported from `sim`: tensors are dictionaries from coordinates to numpy scalars, and every operation is one
scalar operation.
"""

from dataclasses import dataclass, field
from itertools import product
from typing import Any

import numpy as np

from einsums.graph import iteration_groups
from einsums.operators import OPERATOR_BY_NAME, Rounding
from einsums.types import Access, Call, Cascade, Const, Einsum, Expr, Load
from mappings.tree import PlacedLeaf, ResolvedTree

SMALLEST = {"add": 0.0, "mean": 0.0, "mul": 1.0, "max": -np.inf, "min": np.inf}
FOLD = {"add": np.add, "mean": np.add, "mul": np.multiply, "max": np.maximum, "min": np.minimum}
Point = dict[str, int]


@dataclass
class ScalarRun:
    """One execution. `sizes` holds whole ranks and all parts; `tiles` those of the tree's loops; `word` rounds."""

    cascade: Cascade
    tree: ResolvedTree
    sizes: dict[str, int]
    tiles: tuple[int, ...]
    side_counts: dict[str, int]  # what the mapping states of ranks on sides, by its text
    scalar: Any  # np.float32 or np.float64
    word: Any
    values: dict[str, dict[tuple[int, ...], Any]] = field(default_factory=dict)
    sums: dict[tuple[str, tuple[int, ...]], Any] = field(default_factory=dict)

    def run(self, inputs: dict[str, np.ndarray]) -> None:
        groups = [g for g in iteration_groups(self.cascade) if any(map(self.cascade.is_iterative, g))]
        self.running = {name for group in groups for name in group}
        for name, array in inputs.items():
            self.values[name] = {at: self.scalar(array[at]) for at in np.ndindex(array.shape)}
        for einsum in self.cascade.einsums:
            self.values[einsum.name] = {}
            if self.cascade.is_iterative(einsum.name):
                self.start(einsum)
        whole = {rank.lower(): (0, self.sizes[rank]) for rank in self.cascade.leaf_ranks()}
        self.walk(list(self.tree.leaves), 0, whole)

    def start(self, einsum: Einsum) -> None:
        ranks = self.cascade.ranks_of(einsum.name)
        step = self.cascade.scope.iterative_rank[einsum.name]
        initial = self.scalar(self.cascade.initial_value(einsum.name))
        for at in product(*(range(1 if rank == step else self.sizes[rank]) for rank in ranks)):
            self.values[einsum.name][at] = initial

    def walk(self, leaves: list[PlacedLeaf], depth: int, box: dict[str, tuple[int, int]]) -> None:
        while leaves:
            first = leaves[0]
            if len(first.loops) == depth:
                self.step(first, box)
                leaves = leaves[1:]
                continue
            number = first.loops[depth]
            together = [leaf for leaf in leaves if leaf.loops[depth : depth + 1] == (number,)]
            variable, tile = self.tree.loops[number].variable, self.tiles[number]
            low, high = box[variable]
            for start in range(low, high, tile):
                self.walk(together, depth + 1, {**box, variable: (start, min(high, start + tile))})
            leaves = leaves[len(together) :]

    def exists(self, point: Point) -> bool:
        for partition in self.cascade.partitions:
            reached = sum(point.get(part.lower(), 0) * self.stride(part) for part in partition.parts)
            if reached >= self.sizes[partition.rank]:
                return False
        return True

    def stride(self, part: str) -> int:
        partition = self.cascade.partition_of(self.cascade.root_of(part))
        assert partition is not None
        return int(np.prod([self.sizes[p] for p in partition.parts[partition.parts.index(part) + 1 :]], dtype=int))

    def place(self, access: Access, point: Point) -> tuple[int, ...]:
        batch = () if self.cascade.is_unbatched(access.tensor) else self.cascade.batch
        found = [point[rank.lower()] for rank in batch]
        for rank, index in zip(self.cascade.tensor(access.tensor).ranks, access.indices, strict=True):
            if index.last_of:
                found.append(self.sizes[rank])
                continue
            at = index.offset
            for term in index.terms:
                at += (
                    term.scale
                    * point[term.variable]
                    * int(np.prod([self.sizes[r] for r in term.scale_ranks], dtype=int))
                )
            found.append(at)
        return tuple(found)

    def value(self, expr: Expr, point: Point) -> Any:
        match expr:
            case Const():
                return self.scalar(expr.value)
            case Load():
                return self.values[expr.access.tensor][self.place(expr.access, point)]
            case Call():
                arguments = [self.value(argument, point) for argument in expr.arguments]
                operator = OPERATOR_BY_NAME[expr.operator]
                if operator.rounding is Rounding.IN_FP64:
                    arguments = [np.float64(argument) for argument in arguments]
                return self.scalar(operator.meaning(*arguments))

    def place_in_chain(self, leaf: PlacedLeaf, point: Point, box: dict[str, tuple[int, int]]) -> list[int]:
        """Slowest first: what is on no side, then the lane, the column and the row, each from its outermost rank inward."""
        left = {v: point[v] - box[v][0] for v in point}
        places = []
        for side in reversed(leaf.spatial):  # the last entry of a rank is the innermost
            here = self.side_counts[side.count] if side.count else left[side.variable] + 1
            places.insert(0, (side.side, left[side.variable] % here))
            left[side.variable] //= here
        return [
            *left.values(),
            *(at for wanted in ("lanes", "columns", "rows") for side, at in places if side == wanted),
        ]

    def step(self, leaf: PlacedLeaf, box: dict[str, tuple[int, int]]) -> None:
        """All points of the sides: results side by side, reduced points as a chain that is then added."""
        einsum = self.cascade.einsum(leaf.einsum)
        own = self.cascade.variables_of(leaf.einsum)
        chains: dict[tuple[int, ...], Any] = {}
        points = [dict(zip(own, at, strict=True)) for at in product(*(range(*box[v]) for v in own))]
        for point in sorted(points, key=lambda point: self.place_in_chain(leaf, point, box)):
            if not self.exists(point):
                continue
            target = self.place(einsum.output, point)
            value = self.value(einsum.expr, point)
            if einsum.reduction is None:
                self.values[einsum.name][target] = self.stored(einsum.name, value)
            else:
                fold = FOLD[einsum.reduction.operator]
                before = chains.get(target, self.scalar(SMALLEST[einsum.reduction.operator]))
                chains[target] = fold(before, value)
        for target, chain in chains.items():
            assert einsum.reduction is not None
            before = self.sums.get((einsum.name, target), self.scalar(SMALLEST[einsum.reduction.operator]))
            total = FOLD[einsum.reduction.operator](before, chain)
            self.sums[einsum.name, target] = total
            self.values[einsum.name][target] = self.stored(einsum.name, total)

    def stored(self, name: str, value: Any) -> Any:
        return value if name in self.running else self.scalar(self.word(value))

    def array(self, name: str, shape: tuple[int, ...]) -> np.ndarray:
        found = np.full(shape, np.nan)
        for at, value in self.values[name].items():
            found[at] = value
        return found
