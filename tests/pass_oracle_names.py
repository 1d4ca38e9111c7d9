"""Passes by brute force where ranks have several names and points are chosen by conditions.

As `pass_oracle`, element by element, with these differences. All names of a rank are coordinates of one set of elements;
an Einsum over several of them visits an element under each. The fiber of a visit is what its Einsum visits with the other
coordinates (those under other names included) fixed, and a visit needs *every* element if it needs all of that fiber but
for the last few. A fiber too short to tell counts for nothing. The condition of an Einsum, and whatever does not exist of
its operands, takes points away; conditions are evaluated as they are written.
"""

import itertools
import operator
from functools import cached_property

from einsums import Access, Call, Cascade, Const, Einsum, Expr, Position

WHOLE, OUTER, INNER, OTHER, WINDOW, SLACK = 14, 7, 2, 2, 11, 2
SHORTEST = 2 * SLACK + 2
_OPERATORS = {"le": operator.le, "lt": operator.lt, "add": operator.add, "sub": operator.sub, "mul": operator.mul}


def brute_force_named_passes(cascade: Cascade, rank: str) -> int:
    """Traversals of `rank` that any order needs; of the first name of several, under all of them together."""
    return _Elements(cascade, rank).passes()


class _Elements:
    def __init__(self, cascade: Cascade, rank: str) -> None:
        self.cascade = cascade
        names = cascade.scope.names_of(rank)
        self.names = names if rank == names[0] else (rank,)
        self.leaves = {name: cascade.scope.parts_of(name) or (name,) for name in self.names}
        parts = {part: size for p in cascade.partitions for part, size in zip(p.parts, (OUTER, INNER), strict=True)}
        self.size = {leaf: parts.get(leaf, OTHER) for leaf in cascade.leaf_ranks()}
        self.size |= dict.fromkeys(("P", "M"), WHOLE)
        self.size |= {"W": WINDOW} if "W" in self.size else {}
        self.known: dict[tuple, int | None] = {}  # bits of all visits that a value needs; None: it does not exist
        self.turn_of: list[int] = []
        self.visits: dict[
            tuple[str, str], list[tuple[int, int, tuple]]
        ] = {}  # by Einsum and name: element, number, fiber
        self.visit_of: list[tuple[tuple[str, str], int, dict]] = []  # by number: Einsum and name, element, point

    def passes(self) -> int:
        for einsum in self.cascade.einsums:
            for point in self._points(einsum):
                self._value(einsum.name, self._coordinates(einsum.output, point))
            self._cap(einsum)
        passes = 0
        while any(self._is_walked_after(key, passes) for key in self.visits):
            passes += 1
        return passes

    def _cap(self, einsum: Einsum) -> None:
        """No visit is in a later pass than its Einsum: few fibers that are late, such as that of the last step, make no pass."""
        for key in [key for key in self.visits if key[0] == einsum.name]:
            passes = 0
            while self._is_walked_after(key, passes):
                passes += 1
            for _, number, _ in self.visits[key]:
                self.turn_of[number] = min(self.turn_of[number], max(passes, 1))

    def _is_walked_after(self, key: tuple[str, str], passes: int) -> bool:
        """Whether, in nearly every fiber that is long enough to tell, nearly all elements are visited in a later pass."""
        late: dict[tuple, set[int]] = {}
        for element, number, where in self.visits[key]:
            if self.turn_of[number] > passes:
                late.setdefault(where, set()).add(element)
        fibers = self._fibers[key]
        long = [where for where, fiber in fibers.items() if len(fiber) >= self.shortest]
        walked = [where for where in long if len(fibers[where] - late.get(where, set())) <= self.slack]
        return bool(long) and len(walked) >= len(long) - (self.slack if len(long) > SHORTEST else 0)

    @property
    def is_short(self) -> bool:
        return self.names == ("L",)

    @property
    def slack(self) -> int:
        return 0 if self.is_short else SLACK

    @property
    def shortest(self) -> int:
        return OTHER if self.is_short else SHORTEST

    # --- evaluation ---------------------------------------------------------------------------------------
    def _points(self, einsum: Einsum, fixed: dict | None = None) -> list[dict]:
        fixed = fixed or {}
        free = [v for v in einsum.variables if v not in fixed]
        sizes = [range(self.size[self.cascade.rank_of_variable(v)]) for v in free]
        every = (fixed | dict(zip(free, place, strict=True)) for place in itertools.product(*sizes))
        return [point for point in every if einsum.condition is None or self._number(einsum.condition, point)]

    def _number(self, expr: Expr, point: dict) -> int:
        match expr:
            case Const():
                return int(expr.value)
            case Position():
                return self._place(expr.form, point)
            case Call(operator="and", arguments=(left, right)):
                return int(bool(self._number(left, point)) and bool(self._number(right, point)))
            case Call():
                return int(_OPERATORS[expr.operator](*(self._number(a, point) for a in expr.arguments)))
        raise AssertionError(expr)

    def _place(self, index: object, point: dict) -> int:
        total = index.offset
        for term in (*index.terms, *index.sizes):
            value = term.scale * (point[term.variable] if term.variable else 1)
            for rank in term.scale_ranks:
                value *= self.size[rank]
            total += value
        return total

    def _coordinates(self, access: Access, point: dict) -> tuple[int, ...]:
        ranks = self.cascade.tensor(access.tensor).ranks
        pairs = zip(access.indices, ranks, strict=True)
        return tuple(self.size[rank] if index.last_of else self._place(index, point) for index, rank in pairs)

    def _value(self, tensor: str, coordinates: tuple[int, ...]) -> int | None:
        key = (tensor, coordinates)
        if key not in self.known:
            self.known[key] = self._evaluate(tensor, coordinates)
        return self.known[key]

    def _evaluate(self, tensor: str, coordinates: tuple[int, ...]) -> int | None:
        if tensor not in {einsum.name for einsum in self.cascade.einsums}:
            return 0
        einsum = self.cascade.einsum(tensor)
        iterated = self.cascade.scope.iterative_rank.get(tensor)
        fixed = {}
        for index, rank, place in zip(
            einsum.output.indices, self.cascade.tensor(tensor).ranks, coordinates, strict=True
        ):
            if rank == iterated and place == 0:
                return 0  # the initial value
            fixed[index.plain_variable] = place - index.offset
        masks = [mask for point in self._points(einsum, fixed) if (mask := self._run(einsum, point)) is not None]
        if iterated and not masks:  # a step without a point passes the old value on
            place = self.cascade.tensor(tensor).ranks.index(iterated)
            return self._value(tensor, (*coordinates[:place], coordinates[place] - 1, *coordinates[place + 1 :]))
        if not masks:
            return None
        total = 0
        for mask in masks:
            total |= mask
        return total

    def _run(self, einsum: Einsum, point: dict) -> int | None:
        """What a point needs, itself included; None if an operand does not exist."""
        key = (einsum.name, "at", tuple(sorted(point.items())))
        if key not in self.known:
            mask: int | None = 0
            for access in einsum.loads:
                found = self._value(access.tensor, self._coordinates(access, point))
                mask = None if mask is None or found is None else mask | found
            self.known[key] = None if mask is None else mask | self._visit(einsum, point, mask)
        return self.known[key]

    def _visit(self, einsum: Einsum, point: dict, mask: int) -> int:
        bits = 0
        for name in self._names_walked(einsum):
            number = len(self.turn_of)
            self.turn_of.append(self._turn(einsum, name, point, mask))
            self.visits.setdefault((einsum.name, name), []).append(
                (self._element(name, point), number, self._rest(name, point))
            )
            self.visit_of.append(((einsum.name, name), self._element(name, point), point))
            bits |= 1 << number
        return bits

    def _turn(self, einsum: Einsum, name: str, point: dict, mask: int) -> int:
        fiber = self._fiber(einsum, name, point)
        if len(fiber) < self.shortest:
            return 1
        counted = {leaf.lower() for leaves in self.leaves.values() for leaf in leaves}
        needed: dict[tuple[str, str], list[tuple[int, int]]] = {}
        while mask:
            number = mask.bit_length() - 1
            mask ^= 1 << number
            key, element, other = self.visit_of[number]
            if all(place == point.get(v, place) for v, place in other.items() if v not in counted):
                needed.setdefault(key, []).append((element, self.turn_of[number]))
        turn = 1
        while any(len(fiber - {e for e, t in found if t >= turn}) <= self.slack for found in needed.values()):
            turn += 1
        return turn

    # --- what visits --------------------------------------------------------------------------------------
    def _element(self, name: str, point: dict) -> int:
        total = 0
        for leaf in self.leaves[name]:
            total = total * self.size[leaf] + point[leaf.lower()]
        return total

    def _names_walked(self, einsum: Einsum) -> tuple[str, ...]:
        if einsum.name not in self._walked:
            self._walked[einsum.name] = tuple(name for name in self.names if self._is_walked(einsum, name))
        return self._walked[einsum.name]

    def _is_walked(self, einsum: Einsum, name: str) -> bool:
        """Whether a tensor that it reads or writes runs over all of the rank with the variables of the name."""
        own = {leaf.lower() for leaf in self.leaves[name]}
        return any(own <= set(access.variables) for access in (*einsum.loads, einsum.output))

    def _fiber(self, einsum: Einsum, name: str, point: dict) -> set[int]:
        key = (einsum.name, name)
        if key not in self._fibers:
            fibers = self._fibers[key] = {}
            for other in self._points(einsum):
                if self._exists(einsum, other):
                    fibers.setdefault(self._rest(name, other), set()).add(self._element(name, other))
        return self._fibers[key][self._rest(name, point)]

    def _rest(self, name: str, point: dict) -> tuple:
        """The coordinates that a fiber fixes."""
        own = {leaf.lower() for leaf in self.leaves[name]}
        return tuple(sorted((v, place) for v, place in point.items() if v not in own))

    def _exists(self, einsum: Einsum, point: dict) -> bool:
        """Whether all operands exist, by what their makers choose; running values always do."""
        for access in einsum.loads:
            made = next((e for e in self.cascade.einsums if e.name == access.tensor), None)
            if made is None or made.name in self.cascade.scope.iterative_rank:
                continue
            places = self._coordinates(access, point)
            fixed = {i.plain_variable: place for i, place in zip(made.output.indices, places, strict=True)}
            if not self._any(made, fixed):
                return False
        return True

    def _any(self, made: Einsum, fixed: dict) -> bool:
        key = (made.name, tuple(sorted(fixed.items())))
        if key not in self._made:
            self._made[key] = any(self._exists(made, point) for point in self._points(made, fixed))
        return self._made[key]

    @cached_property
    def _walked(self) -> dict:
        return {}

    @cached_property
    def _fibers(self) -> dict:
        return {}

    @cached_property
    def _made(self) -> dict:
        return {}
