"""How many points with whole coordinates satisfy a set of constraints, exactly.

Constraints fall into groups that share no variable, whose counts multiply. A group of one or two variables between
straight lines is counted in closed form (`lattice`). A residue is solved for a variable, equal quotients become one new
variable between lines, an equality removes one. What is left with more variables is added up over the coordinates of
the shortest of them, once for each *different* rest, so that tiles that are alike cost once.
"""

from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from einsums.lattice import lattice_points

MOST_STEPS = 1 << 22  # coordinates that are added up one by one before a count is refused

Point = Mapping[str, int]


class Linear(NamedTuple):
    """sum of coefficient * variable + constant, at least 0 where it is a constraint. Variables stand in order."""

    terms: tuple[tuple[str, int], ...]
    constant: int

    def plus(self, other: "Linear", factor: int = 1) -> "Linear":
        """self + factor * other."""
        total = dict(self.terms)
        for name, scale in other.terms:
            total[name] = total.get(name, 0) + factor * scale
        return line(total, self.constant + factor * other.constant)

    def at(self, name: str, value: "Linear") -> "Linear":
        """With a variable replaced."""
        scale = dict(self.terms).get(name, 0)
        if not scale:
            return self
        rest = Linear(tuple(term for term in self.terms if term[0] != name), self.constant)
        return rest.plus(value, scale)

    def value(self, point: Point) -> int:
        """At a point."""
        return self.constant + sum(scale * point[name] for name, scale in self.terms)


def line(coefficients: Mapping[str, int], constant: int) -> Linear:
    """A line in normal form."""
    return Linear(tuple(sorted((name, scale) for name, scale in coefficients.items() if scale)), constant)


def number(value: int) -> Linear:
    """A constant."""
    return Linear((), value)


class Multiple(NamedTuple):
    """A line is a multiple of the modulus."""

    line: Linear
    modulus: int


class Quotients(NamedTuple):
    """Two lines have the same quotient by the divisor, or different ones."""

    left: Linear
    right: Linear
    divisor: int
    equal: bool


@dataclass(frozen=True)
class Opaque:
    """Anything that can be decided at a point."""

    variables: tuple[str, ...]
    holds: Callable[[Point], bool] = field(compare=False)
    meaning: Hashable  # equal where `holds` is the same function
    values: tuple[tuple[str, int], ...] = ()  # coordinates that are fixed

    def at(self, name: str, value: int) -> "Opaque":
        """With a variable fixed."""
        rest = tuple(other for other in self.variables if other != name)
        if name not in self.variables:
            return self
        return Opaque(rest, self.holds, self.meaning, (*self.values, (name, value)))


Constraint = Linear | Multiple | Quotients | Opaque
Ranges = Mapping[str, tuple[int, int]]  # by variable: first and last coordinate


def count_points(constraints: Iterable[Constraint], sizes: Mapping[str, int]) -> int:
    """Points of the box 0 <= v < size of every variable that satisfy all constraints.

    ValueError where more coordinates would have to be added up than MOST_STEPS.
    """
    return _Counter().count(tuple(dict.fromkeys(constraints)), {name: (0, size - 1) for name, size in sizes.items()})


def names_of(constraint: Constraint) -> tuple[str, ...]:
    """Variables of a constraint."""
    match constraint:
        case Linear():
            return tuple(name for name, _ in constraint.terms)
        case Multiple():
            return names_of(constraint.line)
        case Quotients():
            return tuple(dict.fromkeys((*names_of(constraint.left), *names_of(constraint.right))))
        case Opaque():
            return constraint.variables


def fixed(one: Constraint, point: Point) -> Constraint:
    """The constraint with some coordinates fixed."""
    return _moved(one, {name: number(value) for name, value in point.items()})


class _Counter:
    """Counts, and what has been counted."""

    def __init__(self) -> None:
        self.known: dict[tuple[frozenset[Constraint], tuple[tuple[str, int], ...]], int] = {}
        self.steps = 0
        self.fresh = 0

    def count(self, constraints: tuple[Constraint, ...], ranges: Ranges) -> int:
        """Points inside the ranges that satisfy all constraints."""
        narrowed = _narrowed(constraints, ranges)
        if narrowed is None:
            return 0
        rest, own = narrowed
        total = 1
        for names in _groups(rest, own):
            group = tuple(one for one in rest if set(names_of(one)) <= set(names))
            total *= self.group(group, {name: own[name] for name in names})
            if not total:
                return 0
        return total

    def group(self, constraints: tuple[Constraint, ...], ranges: Ranges) -> int:
        """The same for constraints that hang together, with every range moved to 0."""
        if not constraints:
            total = 1
            for low, high in ranges.values():
                total *= high - low + 1
            return total
        moved = {name: Linear(((name, 1),), low) for name, (low, _) in ranges.items()}
        shifted = tuple(_moved(one, moved) for one in constraints)
        sizes = tuple(sorted((name, high - low + 1) for name, (low, high) in ranges.items()))
        if any(isinstance(one, Opaque) for one in shifted):
            return self.joined(constraints, dict(ranges))
        key = (frozenset(shifted), sizes)
        if key not in self.known:
            self.known[key] = self.joined(shifted, {name: (0, size - 1) for name, size in sizes})
        return self.known[key]

    def joined(self, constraints: tuple[Constraint, ...], ranges: dict[str, tuple[int, int]]) -> int:
        lines = tuple(one for one in constraints if isinstance(one, Linear))
        other = next((one for one in constraints if not isinstance(one, Linear)), None)
        if any(isinstance(one, Opaque) for one in constraints):  # they take numbers only
            return self.one_by_one(constraints, ranges)
        if other is None and len(ranges) <= 2:
            return _between(lines, ranges)
        if isinstance(other, Quotients):
            return self.quotients(other, constraints, ranges)
        if isinstance(other, Multiple) and any(abs(scale) == 1 for _, scale in other.line.terms):
            return self.multiple(other, constraints, ranges)
        if other is None:
            equal = _equality(lines)
            if equal is not None:
                return self.replaced(constraints, ranges, *equal)
        return self.one_by_one(constraints, ranges)

    def quotients(self, one: Quotients, constraints: tuple[Constraint, ...], ranges: Ranges) -> int:
        """A quotient becomes a variable; unequal ones are all points without the equal ones."""
        rest = tuple(other for other in constraints if other != one)
        if not one.equal:
            equal = one._replace(equal=True)
            return self.count(rest, ranges) - self.count((*rest, equal), ranges)
        self.fresh += 1
        name = f"{self.fresh} quotient"
        low, high = _extremes(one.left, ranges)
        made = []
        for side in (one.left, one.right):
            above = side.plus(line({name: -one.divisor}, 0))
            made += [above, number(one.divisor - 1).plus(above, -1)]
        return self.count((*rest, *made), {**ranges, name: (low // one.divisor, high // one.divisor)})

    def multiple(self, one: Multiple, constraints: tuple[Constraint, ...], ranges: Ranges) -> int:
        """A variable v of coefficient 1 or -1 becomes rest + modulus * k."""
        rest = tuple(other for other in constraints if other != one)
        solved, scale = next(term for term in one.line.terms if abs(term[1]) == 1)
        others = Linear(tuple(term for term in one.line.terms if term[0] != solved), one.line.constant)
        base = number(0).plus(others, -scale)
        self.fresh += 1
        name = f"{self.fresh} multiple"
        low, high = ranges[solved]
        least, most = _extremes(base, ranges)
        own = {key: ends for key, ends in ranges.items() if key != solved}
        own[name] = ((low - most) // one.modulus, (high - least) // one.modulus + 1)
        return self.replaced((*rest,), {**own, solved: (low, high)}, solved, base.plus(line({name: one.modulus}, 0)))

    def replaced(self, constraints: tuple[Constraint, ...], ranges: Ranges, name: str, value: Linear) -> int:
        """With a variable replaced by a line, which must lie in its range."""
        low, high = ranges[name]
        made = tuple(_moved(one, {name: value}) for one in constraints)
        ends = (value.plus(number(-low)), number(high).plus(value, -1))
        return self.count((*made, *ends), {key: own for key, own in ranges.items() if key != name})

    def one_by_one(self, constraints: tuple[Constraint, ...], ranges: Ranges) -> int:
        """The sum over the coordinates of the shortest variable, of those that an undecided constraint needs."""
        undecided: tuple[Constraint, ...] = tuple(one for one in constraints if isinstance(one, Opaque))
        undecided = undecided or tuple(one for one in constraints if not isinstance(one, Linear))
        needed = {name for one in undecided for name in names_of(one)}
        candidates = sorted(needed or ranges, key=lambda name: (ranges[name][1] - ranges[name][0], name))
        name = candidates[0]
        low, high = ranges[name]
        self.steps += high - low + 1
        if self.steps > MOST_STEPS:
            raise ValueError(f"more than {MOST_STEPS} coordinates would have to be tried one by one")
        rest = {key: own for key, own in ranges.items() if key != name}
        return sum(
            self.count(tuple(_moved(one, {name: number(value)}) for one in constraints), rest)
            for value in range(low, high + 1)
        )


def _moved(one: Constraint, by: Mapping[str, Linear]) -> Constraint:
    """The constraint with variables replaced; an opaque one takes numbers only."""
    match one:
        case Linear():
            for name, value in by.items():
                one = one.at(name, value)
            return one
        case Multiple():
            moved = _moved(one.line, by)
            assert isinstance(moved, Linear)
            return Multiple(moved, one.modulus)
        case Quotients():
            left, right = _moved(one.left, by), _moved(one.right, by)
            assert isinstance(left, Linear) and isinstance(right, Linear)
            return Quotients(left, right, one.divisor, one.equal)
        case Opaque():
            for name, value in by.items():
                one = one.at(name, value.constant) if not value.terms else one
            return one


def _narrowed(constraints: Iterable[Constraint], ranges: Ranges) -> tuple[list[Constraint], Ranges] | None:
    """Without what always holds, lines of one variable taken into its range; None if something never holds."""
    own = dict(ranges)
    waiting = list(dict.fromkeys(constraints))
    while True:
        kept: list[Constraint] = []
        changed = False
        for one in waiting:
            decided = _decided(one, own)
            if decided is False:
                return None
            if decided is None and isinstance(one, Linear) and len(one.terms) == 1:
                (name, scale), *_ = one.terms
                low, high = own[name]
                end = -(one.constant // scale) if scale > 0 else one.constant // -scale
                own[name] = (max(low, end), high) if scale > 0 else (low, min(high, end))
                changed = True
            elif decided is None:
                kept.append(one)
        if any(low > high for low, high in own.values()):
            return None
        waiting = kept
        if not changed:
            return kept, own


def _decided(one: Constraint, ranges: Ranges) -> bool | None:
    """Whether a constraint holds at every point of the ranges, or at none; None if that cannot be told."""
    match one:
        case Linear():
            low, high = _extremes(one, ranges)
            return True if low >= 0 else False if high < 0 else None
        case Multiple() if not one.line.terms:
            return one.line.constant % one.modulus == 0
        case Quotients() if not one.left.terms and not one.right.terms:
            return (one.left.constant // one.divisor == one.right.constant // one.divisor) == one.equal
        case Opaque() if not one.variables:
            return one.holds(dict(one.values))
    return None


def _extremes(one: Linear, ranges: Ranges) -> tuple[int, int]:
    low = high = one.constant
    for name, scale in one.terms:
        ends = (scale * ranges[name][0], scale * ranges[name][1])
        low, high = low + min(ends), high + max(ends)
    return low, high


def _groups(constraints: Iterable[Constraint], ranges: Ranges) -> list[tuple[str, ...]]:
    """Variables that constraints tie together."""
    group: dict[str, tuple[str, ...]] = {name: (name,) for name in ranges}
    for one in constraints:
        joined = tuple(dict.fromkeys(member for name in names_of(one) for member in group[name]))
        group.update(dict.fromkeys(joined, joined))
    return list(dict.fromkeys(group.values()))


def _between(lines: tuple[Linear, ...], ranges: Ranges) -> int:
    """Points of at most two variables, whose ranges begin at 0, between lines."""
    names = [*ranges, *([""] * (2 - len(ranges)))]
    rows = [[dict(one.terms).get(name, 0) for name in names] + [one.constant] for one in lines]
    first, second = (ranges[name][1] + 1 if name else 1 for name in names)
    return lattice_points(rows, first, second)


def _equality(lines: tuple[Linear, ...]) -> tuple[str, Linear] | None:
    """A variable that two opposite lines fix, and its value."""
    for one in lines:
        if number(0).plus(one, -1) not in lines:
            continue
        for name, scale in one.terms:
            if abs(scale) == 1:
                rest = Linear(tuple(term for term in one.terms if term[0] != name), one.constant)
                return name, number(0).plus(rest, -scale)
    return None
