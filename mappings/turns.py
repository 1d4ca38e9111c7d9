"""May tensors take turns in one place? The part of legality about `share`.

Of two tensors in one place one is done with before the other begins, in each iteration of the loops around the place.
Where both are touched inside a further loop over a rank that both have, its iterations pass over pieces that lie apart:
then it is enough that each piece is done with before the same piece of the other begins. An Einsum may write over what
it reads element by element. Inputs are in their place from the first Einsum that reads them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple

from einsums.types import Cascade, Einsum
from mappings.lifetime import home_of
from mappings.naming import accesses_inside, variables_accessed
from mappings.tree import PlacedKeep, PlacedLeaf, PlacedLoop, ResolvedTree


class TurnFinding(NamedTuple):
    """Where in the mapping two tensors are needed at once, and a sentence about it."""

    path: str
    message: str


def iter_turn_findings(cascade: Cascade, tree: ResolvedTree) -> Iterator[TurnFinding]:
    """Tensors that share a place although both are needed at once."""
    for pair in iter_turn_pairs(cascade, tree):
        yield from pair.findings()


def iter_turn_pairs(cascade: Cascade, tree: ResolvedTree) -> Iterator["TurnPair"]:
    """All pairs of kept tiles that take turns in one place."""
    for one, other in combinations(tree.keeps, 2):
        if one.share_group == other.share_group >= 0:
            yield TurnPair.of(cascade, tree, one, other)


@dataclass(frozen=True)
class TurnPair:
    """Two kept tiles in one place; `first` is touched first."""

    cascade: Cascade
    tree: ResolvedTree
    first: PlacedKeep
    second: PlacedKeep

    @classmethod
    def of(cls, cascade: Cascade, tree: ResolvedTree, one: PlacedKeep, other: PlacedKeep) -> "TurnPair":
        pair = cls(cascade, tree, one, other)
        began = [min((leaf.index for leaf in pair.touching(keep)), default=-1) for keep in (one, other)]
        # Where one Einsum begins with both, what it writes comes after what it reads.
        is_turned = began[1] < began[0] or (began[0] == began[1] and tree.leaves[began[0]].einsum == one.tensor)
        return cls(cascade, tree, other, one) if is_turned else pair

    def touching(self, keep: PlacedKeep) -> list[PlacedLeaf]:
        """Einsums that need a tile in its place."""
        leaves = [leaf for leaf in self.tree.leaves if keep.covers(leaf.index)]
        return [leaf for leaf in leaves if leaf.einsum == keep.tensor or self.reads(leaf, keep.tensor)]

    def reads(self, leaf: PlacedLeaf, tensor: str) -> bool:
        return tensor not in leaf.forwarded and any(
            load.tensor == tensor for load in self.cascade.einsum(leaf.einsum).reads
        )

    def findings(self) -> Iterator[TurnFinding]:
        before, after = self.touching(self.first), self.touching(self.second)
        if not before or not after:
            return
        for keep, other in ((self.first, self.second), (self.second, self.first)):
            loop = self.staying_loop(keep)
            if loop is not None:
                stays = f"'{keep.tensor}' stays there from one iteration of the loop over '{loop.variable}' to the next"
                share = f"'{other.tensor}' cannot share the place of '{keep.tensor}' in '{keep.memory}'"
                yield TurnFinding(self.second.path, f"{share}: {stays}")
                return
        inside = [leaf for leaf in self.tree.leaves if self.first.covers(leaf.index)]
        loop, is_done = self.gives_way(inside, len(self.first.loops))
        if not is_done:
            yield TurnFinding(self.second.path, self.sentence(before[-1], after[0], loop))

    def sentence(self, last: PlacedLeaf, begin: PlacedLeaf, loop: PlacedLoop | None) -> str:
        old, new, memory = self.first.tensor, self.second.tensor, self.first.memory
        if last == begin and begin.einsum != new:
            return f"'{old}' and '{new}' share a place in '{memory}', but Einsum '{begin.einsum}' needs both at once"
        takes = f"'{new}' takes the place of '{old}' in '{memory}' when Einsum '{begin.einsum}' runs"
        if last.index > begin.index:
            does = "reads" if self.reads(last, old) else "writes"
            return f"{takes}, but Einsum '{last.einsum}' {does} '{old}' after that"
        if loop is not None:
            return f"{takes}, but the next iteration of the loop over '{loop.variable}' needs '{old}' again"
        return f"{takes}, which still needs other elements of '{old}'"

    def staying_loop(self, keep: PlacedKeep) -> PlacedLoop | None:
        """A loop outside the place whose iterations leave a tile in it: it runs over a rank that the tensor lacks, or
        from step to step of a running value.
        """
        own = self.variables(keep)
        rank = self.cascade.scope.iterative_rank.get(keep.tensor)
        lives_here = home_of(self.cascade, self.tree, keep.tensor) == keep
        if rank is not None and lives_here and any(self.reads_old(leaf, keep.tensor) for leaf in self.touching(keep)):
            own -= {rank.lower()}
        loops = [self.tree.loops[loop] for loop in keep.loops]
        return loops[-1] if loops and loops[-1].variable not in own else None

    def variables(self, keep: PlacedKeep) -> set[str]:
        """Those that run over a kept tensor."""
        return variables_accessed(self.cascade, accesses_inside(self.cascade, self.tree, keep))

    def reads_old(self, leaf: PlacedLeaf, tensor: str) -> bool:
        """Whether an Einsum reads a running value of the step before."""
        loads = [load for load in self.cascade.einsum(leaf.einsum).reads if load.tensor == tensor]
        return any(all(i.offset != 1 and i.last_of is None for i in load.indices) for load in loads)

    def gives_way(self, leaves: Sequence[PlacedLeaf], depth: int) -> tuple[PlacedLoop | None, bool]:
        """Whether the first tensor is done with before the second begins, among leaves that share `depth` loops; a loop
        that makes the difference.
        """
        groups = list(_grouped(leaves, depth))
        last = max(n for n, group in enumerate(groups) if self.any_touches(group, self.first))
        begin = min(n for n, group in enumerate(groups) if self.any_touches(group, self.second))
        if last != begin:
            return None, last < begin
        group = groups[last]
        if len(group[0].loops[: group[0].shared]) == depth:
            return None, self.writes_over(group[0])
        loop = self.tree.loops[group[0].loops[depth]]
        if not all(loop.variable in self.variables(keep) for keep in (self.first, self.second)):
            return loop, False
        return self.gives_way(group, depth + 1)

    def any_touches(self, leaves: Sequence[PlacedLeaf], keep: PlacedKeep) -> bool:
        return any(leaf in leaves for leaf in self.touching(keep))

    def writes_over(self, leaf: PlacedLeaf) -> bool:
        """Whether an Einsum writes each element of the second tensor over the only one of the first that it reads for
        it.
        """
        einsum = self.cascade.einsum(leaf.einsum)
        old, new = self.first.tensor, self.second.tensor
        ranks = {name: set(self.cascade.ranks_of(name)) for name in (old, new)}
        is_alone = leaf.einsum == new and not leaf.recompute and not self.reads(leaf, new)
        return is_alone and ranks[old] == ranks[new] and _is_elementwise(einsum, old)


def _is_elementwise(einsum: Einsum, tensor: str) -> bool:
    """Whether a point of the result reads the element of a tensor that has its own coordinates, and no other."""
    indices = [index for load in einsum.reads if load.tensor == tensor for index in load.indices]
    plain = all(index.terms and not index.offset and index.last_of is None for index in indices)
    return plain and set(einsum.variables) <= set(einsum.output.variables)


def _grouped(leaves: Sequence[PlacedLeaf], depth: int) -> Iterator[list[PlacedLeaf]]:
    """Leaves in order, those together that share the loop at this depth."""
    group: list[PlacedLeaf] = []
    for leaf in leaves:
        loop = leaf.loops[: leaf.shared][depth : depth + 1]
        if group and not (loop and group[-1].loops[: group[-1].shared][depth : depth + 1] == loop):
            yield group
            group = []
        group.append(leaf)
    if group:
        yield group
