"""Passes by brute force: every element of a small cascade, what it depends on, and how often a fiber must be walked.

Nothing here looks at names of levels or kinds of reductions. Values are evaluated element by element; each point that
touches an element of rank R remembers the points it came from. The turn of such a visit is

    turn(v) = 1 + the largest k such that some Einsum has, for every element of the fiber, a visit of turn >= k among
              those v needs

and the passes are the largest k such that some Einsum visits every element at a turn >= k. "Every" allows for two steps
of an iteration: a running value that is read one step late still needs the whole fiber, and the last steps of one need
nearly all of it without any other step doing so.
"""

import itertools
from functools import cached_property

from einsums import Access, Cascade, Einsum, topological_order

ITERATED, PLAIN, SLACK = 6, 2, 2


def brute_force_passes(cascade: Cascade, rank: str) -> int:
    """Traversals of `rank` that any order needs, from element-level dependencies."""
    return _Elements(cascade, rank).passes()


class _Elements:
    def __init__(self, cascade: Cascade, rank: str) -> None:
        self.cascade, self.rank = cascade, rank
        partition = cascade.partition_of(rank)
        self.leaves = partition.parts if partition else (rank,)
        iterated = {r for _, r in cascade.iterative}
        self.size = {leaf: ITERATED if leaf in iterated else PLAIN for leaf in cascade.leaf_ranks()}
        self.slack = {leaf: SLACK if leaf in iterated else 0 for leaf in self.leaves}
        self.value_mask: dict[tuple, int] = {}
        self.turn_of: list[int] = []  # by visit number
        self.visits: dict[str, list[tuple[tuple, int, dict]]] = {}  # by Einsum: (element, number, point)

    def passes(self) -> int:
        for einsum in self.cascade.einsums:
            for point in self._points(einsum):
                self._value(einsum.name, self._written(einsum, point))
        passes = 0
        while any(
            self._nearly_all({element for element, number, _ in found if self.turn_of[number] > passes})
            for found in self.visits.values()
        ):
            passes += 1
        return passes

    # --- elements -----------------------------------------------------------------------------------------
    @cached_property
    def elements(self) -> list[tuple]:
        return list(itertools.product(*(range(self.size[leaf]) for leaf in self.leaves)))

    def _nearly_all(self, covered: set[tuple]) -> bool:
        """All elements, but for at most `slack` coordinates of an iterated leaf."""
        missing = [element for element in self.elements if element not in covered]
        for axis, leaf in enumerate(self.leaves):
            if self.slack[leaf] and len({element[axis] for element in missing}) <= self.slack[leaf]:
                return True
        return not missing

    # --- evaluation ---------------------------------------------------------------------------------------
    def _points(self, einsum: Einsum, fixed: dict | None = None) -> list[dict]:
        fixed = fixed or {}
        free = [v for v in einsum.variables if v not in fixed]
        sizes = [range(self.size[self.cascade.rank_of_variable(v)]) for v in free]
        return [fixed | dict(zip(free, place, strict=True)) for place in itertools.product(*sizes)]

    def _coordinates(self, access: Access, point: dict) -> tuple:
        """Coordinates by leaf rank: ((leaf, coordinate), ...)."""
        found = []
        for index, rank in zip(access.indices, self.cascade.tensor(access.tensor).ranks, strict=True):
            partition = self.cascade.partition_of(rank)
            if index.last_of:
                found.append((rank, self.size[rank]))
            elif partition:
                found += [(part, point[part.lower()]) for part in partition.parts]
            else:
                found.append((rank, index.offset + sum(point[term.variable] for term in index.terms)))
        return tuple(found)

    def _written(self, einsum: Einsum, point: dict) -> tuple:
        return self._coordinates(einsum.output, point)

    def _value(self, tensor: str, coordinates: tuple) -> int:
        """Bits of all visits that a value needs."""
        key = (tensor, coordinates)
        if key not in self.value_mask:
            self.value_mask[key] = self._evaluate(tensor, coordinates)
        return self.value_mask[key]

    def _evaluate(self, tensor: str, coordinates: tuple) -> int:
        if tensor not in {einsum.name for einsum in self.cascade.einsums}:
            return 0
        iterated = self.cascade.scope.iterative_rank.get(tensor)
        if any(rank == iterated and place == 0 for rank, place in coordinates):
            return 0  # the initial value
        einsum = self.cascade.einsum(tensor)
        fixed = {rank.lower(): place - (rank == iterated) for rank, place in coordinates}
        mask = 0
        for point in self._points(einsum, fixed):
            mask |= self._run(einsum, point)
        return mask

    def _run(self, einsum: Einsum, point: dict) -> int:
        key = (einsum.name, "at", tuple(sorted(point.items())))
        if key in self.value_mask:
            return self.value_mask[key]
        mask = 0
        for access in einsum.loads:
            mask |= self._value(access.tensor, self._coordinates(access, point))
        element = self._visited(einsum, point)
        if element is not None:
            number = len(self.turn_of)
            self.turn_of.append(self._turn(mask, point))
            self.visits.setdefault(einsum.name, []).append((element, number, point))
            mask |= 1 << number
        self.value_mask[key] = mask
        return mask

    def _turn(self, mask: int, point: dict) -> int:
        turn = 1
        while any(
            self._nearly_all({e for e, *visit in found if self._counts(visit, mask, point, turn)})
            for found in self.visits.values()
        ):
            turn += 1
        return turn

    def _counts(self, visit: list, mask: int, point: dict, turn: int) -> bool:
        """A needed visit of at least this turn, in the same fiber: where both have a rank, at the same coordinate."""
        number, other = visit
        if not mask >> number & 1 or self.turn_of[number] < turn:
            return False
        own = {leaf.lower() for leaf in self.leaves}
        return all(point[name] == other[name] for name in point.keys() & other.keys() - own)

    # --- what visits --------------------------------------------------------------------------------------
    def _visited(self, einsum: Einsum, point: dict) -> tuple | None:
        """The element of R at a point, if the points of the Einsum touch every element of a tensor that has R."""
        for access in (*einsum.loads, einsum.output):
            if self._is_walked(einsum, access):
                return self._element(access, point)
        return None

    def _element(self, access: Access, point: dict) -> tuple | None:
        by_leaf = dict(self._coordinates(access, point))
        iterated = self.cascade.scope.iterative_rank.get(access.tensor)
        if not set(self.leaves) <= by_leaf.keys():
            return None
        # coordinate i+1 and i of a running value both belong to step i
        return tuple(
            point.get(leaf.lower(), by_leaf[leaf]) if leaf == iterated else by_leaf[leaf] for leaf in self.leaves
        )

    def _is_walked(self, einsum: Einsum, access: Access) -> bool:
        key = (einsum.name, access)
        if key not in self._walked:
            reached = {self._element(access, point) for point in self._points(einsum)}
            self._walked[key] = reached >= set(self.elements)
        return self._walked[key]

    @cached_property
    def _walked(self) -> dict[tuple, bool]:
        return {}


def rule_by_level(cascade: Cascade, rank: str) -> int:
    """The simpler rule that looks at tensors only: a level for each, one more behind a barrier. Right in most cases."""
    partition = cascade.partition_of(rank)
    leaves = set(partition.parts if partition else (rank,))
    level = {tensor.name: 1 for tensor in cascade.inputs}
    barrier: dict[str, bool] = dict.fromkeys(level, False)
    used = set()
    for name in topological_order(cascade):
        einsum = cascade.einsum(name)
        loads = [a for a in einsum.loads if a.tensor in level]  # an old value of the same iteration has no level yet
        has_rank = leaves <= {cascade.rank_of_variable(v) for v in einsum.variables}
        walks = has_rank and any(_is_full(cascade, a.tensor, leaves) for a in (*loads, einsum.output))
        marks = {a: barrier[a.tensor] or any(i.last_of in leaves for i in a.indices) for a in loads}
        level[name] = max((level[a.tensor] + (walks and marks[a]) for a in loads), default=1)
        left = {cascade.rank_of_variable(v) for v in einsum.output.variables}
        gone = {cascade.rank_of_variable(v) for v in einsum.reduced_variables} & leaves
        full = _is_full(cascade, name, leaves)
        barrier[name] = not full and ((bool(gone) and not left & leaves) or any(marks.values()))
        used |= {level[name]} if walks else set()
    return len(used)


def _is_full(cascade: Cascade, tensor: str, leaves: set[str]) -> bool:
    ranks = cascade.tensor(tensor).ranks
    return leaves <= {
        leaf for rank in ranks for leaf in (cascade.partition_of(rank).parts if cascade.partition_of(rank) else (rank,))
    }
