"""How many points of an Einsum exist at given sizes, and how many elements of a tensor: exactly, without visiting them.

The region of existence becomes constraints with numbers (`constraints`); pieces of a union are counted by inclusion and
exclusion. Lengths come as values, or as how often each occurs. What depends on other data is exact only when it is
executed (`interpreter.execute`); a declared `density` gives an estimate, which is marked as one.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations, product
from typing import Any, NamedTuple

from einsums.conditions import EVERYWHERE, Atom, HalfSpace, Length, Region, Some, is_static
from einsums.conditions import variables_in as free_variables
from einsums.constraints import Constraints
from einsums.integer_points import Constraint, count_points, fixed
from einsums.nodes import Access
from einsums.workload import Workload

# By tensor: its values, nested as its ranks; or how often each value occurs.
Lengths = Mapping[str, Sequence[Any] | Mapping[int, int] | int]
_MOST_PIECES = 12


class PointCount(NamedTuple):
    """A number of points, all batch elements together; `is_estimate` if a density stands for data."""

    points: int
    is_estimate: bool


def existing_points(workload: Workload, einsum: str, lengths: Lengths | None = None) -> PointCount:
    """Existing points of an Einsum, batch included.

    ValueError where lengths are missing, or where other data decide and no density is declared.
    """
    cascade = workload.cascade
    counted = _Counted(workload, cascade.einsum(einsum).variables, lengths or {}, einsum)
    return counted.count(cascade.existence.points[einsum])


def existing_elements(workload: Workload, tensor: str, lengths: Lengths | None = None) -> PointCount:
    """Existing elements of a tensor, batch included; of a running tensor those that its steps write.

    ValueError as for points.
    """
    cascade = workload.cascade
    written = next((einsum for einsum in cascade.einsums if einsum.name == tensor), None)
    if written is None:
        roots = [cascade.partition_of(rank) or rank for rank in cascade.tensor(tensor).ranks]
        leaves = [leaf for root in roots for leaf in ((root,) if isinstance(root, str) else root.parts)]
        variables = tuple(leaf.lower() for leaf in leaves)
        return _Counted(workload, variables, {}, tensor).count(EVERYWHERE)
    return _Counted(workload, written.output.variables, lengths or {}, tensor).count(cascade.existence.elements[tensor])


class _Measured(NamedTuple):
    """Lengths, and the coordinates at which they are read."""

    coordinates: dict[str, int]
    lengths: dict[Access, int]


class _Counted:
    """The points of one Einsum, or the elements of one tensor."""

    def __init__(self, workload: Workload, variables: tuple[str, ...], lengths: Lengths, name: str) -> None:
        self.workload = workload
        self.cascade = workload.cascade
        self.variables = variables
        self.lengths = lengths
        self.name = name

    def count(self, region: Region) -> PointCount:
        """Points in the region, in all batch elements."""
        known = tuple(tuple(atom for atom in piece if _is_counted(atom)) for piece in region)
        share = 1.0 if known == region else self.density()
        constraints = Constraints(self.workload, self.variables, known)
        total = sum(
            often * self.union(constraints, tuple(constraints.of(piece, place.lengths) for piece in known), place)
            for place, often in self.places(known)
        )
        batch = () if self.cascade.is_unbatched(self.name) else self.cascade.batch
        total *= self.workload.times(batch)
        return PointCount(total if known == region else round(total * share), known != region)

    def union(self, constraints: Constraints, pieces: tuple[tuple[Constraint, ...], ...], place: _Measured) -> int:
        """Points in any of the pieces, by inclusion and exclusion."""
        pieces = tuple(dict.fromkeys(pieces))
        if len(pieces) > _MOST_PIECES:
            raise ValueError(f"{self.name}: a condition of more than {_MOST_PIECES} alternatives")
        sizes = {name: size for name, size in constraints.sizes.items() if name not in place.coordinates}
        total = 0
        for many in range(1, len(pieces) + 1):
            for chosen in combinations(pieces, many):
                every = dict.fromkeys((*constraints.ragged, *(one for piece in chosen for one in piece)))
                total += (-1) ** (many + 1) * count_points((fixed(one, place.coordinates) for one in every), sizes)
        return total

    def density(self) -> float:
        """The share that the declared densities of this Einsum and of what it depends on leave."""
        declared = {item.einsum: item.share for item in self.cascade.densities}
        share, todo, seen = 1.0, [self.name], set[str]()
        while todo:
            name = todo.pop()
            found = next((einsum for einsum in self.cascade.einsums if einsum.name == name), None)
            if found is None or name in seen:
                continue
            seen.add(name)
            todo += [access.tensor for access in found.reads]
            if all(_is_counted(atom) for piece in self.cascade.existence.own(found) for atom in piece):
                continue
            if name not in declared:
                message = f"which points of {self.name} exist depends on data; execute the cascade, or declare"
                raise ValueError(f"{message} density: {{{name}: a share from 0 to 1}}")
            share *= declared[name]
        return share

    # --- lengths ---------------------------------------------------------------------------------------------
    def places(self, region: Region) -> Iterator[tuple[_Measured, int]]:
        """Values of lengths, and how often they occur together."""
        atoms = [atom for piece in region for atom in piece]
        accesses = tuple(dict.fromkeys(one.access for atom in atoms for one in _lengths_of(atom)))
        if not accesses:
            yield _Measured({}, {}), 1
            return
        for access in accesses:
            if access.tensor not in self.lengths:
                raise ValueError(f"the points of {self.name} depend on the lengths {access}; give their values")
            if not self.cascade.is_unbatched(access.tensor) and self.cascade.batch:
                message = f"{access.tensor} differs by batch element; list it as unbatched, or give it a rank for them"
                raise ValueError(f"the points of {self.name} depend on the lengths {access}: {message}")
        names = tuple(dict.fromkeys(name for access in accesses for name in access.variables))
        needed = any(set(_coordinates_of(atom)) & set(names) for atom in atoms)
        values = self.lengths[accesses[0].tensor]
        if isinstance(values, Mapping) and len(accesses) == 1 and not needed:
            yield from self.occurring(accesses[0], values)
        else:
            yield from self.joint(accesses, names, needed)

    def occurring(self, access: Access, values: Mapping[int, int]) -> Iterator[tuple[_Measured, int]]:
        """Lengths of which is known how often each occurs."""
        here = [name for name in access.variables if name in self.variables]
        elements = self.workload.times(self.cascade.rank_of_variable(name) for name in access.variables)
        if sum(values.values()) != elements:
            message = f"{sum(values.values())} lengths {access.tensor} are given, but {access} has {elements} elements"
            raise ValueError(f"the points of {self.name}: {message}")
        for length, often in values.items():
            yield _Measured(dict.fromkeys(here, 0), {access: length}), often

    def joint(
        self, accesses: tuple[Access, ...], names: tuple[str, ...], needed: bool
    ) -> Iterator[tuple[_Measured, int]]:
        """Each combination of lengths that occurs; with its coordinates if these matter otherwise."""
        found: Counter[tuple[tuple[int, ...], tuple[int, ...]]] = Counter()
        for place in product(*(range(self.workload.size(self.cascade.rank_of_variable(name))) for name in names)):
            point = dict(zip(names, place, strict=True))
            values = tuple(self.length(access, point) for access in accesses)
            found[(values, place if needed else (0,) * len(place))] += 1
        for (values, place), often in found.items():
            yield _Measured(dict(zip(names, place, strict=True)), dict(zip(accesses, values, strict=True))), often

    def length(self, access: Access, point: Mapping[str, int]) -> int:
        """One length."""
        value: Any = self.lengths[access.tensor]
        if isinstance(value, Mapping):
            raise ValueError(f"the points of {self.name} depend on where lengths occur; give the values of {access}")
        constraints = Constraints(self.workload, (), ())
        for index in access.indices:
            value = value[constraints.line(index).value(point)]
        if float(value) != int(value):
            raise ValueError(
                f"{access.tensor} is compared with a coordinate and must hold whole numbers, found {value}"
            )
        return int(value)


def _coordinates_of(atom: Atom) -> tuple[str, ...]:
    """Variables of an atom but for those at which lengths are read."""
    match atom:
        case HalfSpace():
            return atom.form.variables
        case Some():
            return tuple(name for inner in atom.atoms for name in _coordinates_of(inner))
    return free_variables(atom)


def _lengths_of(atom: Atom) -> tuple[Length, ...]:
    match atom:
        case HalfSpace():
            return atom.lengths
        case Some():
            return tuple(length for inner in atom.atoms for length in _lengths_of(inner))
    return ()


def _is_counted(atom: Atom) -> bool:
    """Whether an atom depends on coordinates and lengths alone."""
    match atom:
        case HalfSpace():
            return True
        case Some():
            return all(map(_is_counted, atom.atoms))
    return is_static(atom)
