"""Which points of one Einsum a point of a later one needs, as zones over the coordinates of both.

Needed where a rank has several names: what is read at m and at p is then one element, and a condition such as
`m <= p` says how far a reduction goes. The coordinates of the earlier Einsum are marked, `^m`; those of the later one
are plain.

    m    a rank variable, or the whole of a partitioned rank where all of its parts are there
    m1   the first part of a partitioned rank, as the place where its tile begins: m - m1 < M0
    m0   another part, which is only the same or not; m0% the coordinates at m0 of all tiles
    ~t   t counted from the end, as of a tensor that is read at T-1-t

Needs are composed along the data flow to a fixed point. A running value needs what any step up to its own needs.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from einsums.conditions import Atom, Block, HalfSpace
from einsums.graph import settle, topological_order
from einsums.nodes import Access, Einsum, Index
from einsums.types import Cascade
from einsums.zones import (
    COLUMN,
    END,
    FAR,
    NOTHING,
    START,
    Difference,
    Distance,
    Zone,
    bound_of,
    equal,
    renamed,
    simplified,
    size_bound,
    without,
    zone_of,
)

Needs = dict[str, frozenset[Zone]]  # by name of the earlier Einsum

OLD, BACK = "@", "~"


class Relations:
    """What each point and each output of the Einsums of a cascade needs."""

    def __init__(self, cascade: Cascade) -> None:
        self.cascade = cascade
        self.regions = {einsum.name: self._regions(einsum) for einsum in cascade.einsums}
        self.of_output: dict[str, Needs] = {}
        self._readings: dict[Access, _Renaming] = {}
        order = [cascade.einsum(name) for name in topological_order(cascade)]
        settle(order, self._output, self.of_output)

    # --- coordinates ------------------------------------------------------------------------------------------
    def coordinates(self, variables: Iterable[str]) -> tuple[str, ...]:
        """Rank variables, and the wholes of partitioned ranks of which all parts are among them."""
        own = tuple(variables)
        wholes = (p.rank.lower() for p in self.cascade.partitions if {part.lower() for part in p.parts} <= set(own))
        inner = (part.lower() for p in self.cascade.partitions for part in p.parts[1:] if part.lower() in own)
        return (*own, *wholes, *(name + COLUMN for name in inner))

    def tile(self, variable: str) -> Distance:
        """How many coordinates of its rank one step of a variable is: 1, or the length of a tile."""
        for partition in self.cascade.partitions:
            if variable == partition.parts[0].lower():
                return size_bound(partition.parts[1:])
        return Distance(1)

    def _links(self, variables: Iterable[str]) -> Iterator[Difference]:
        """That a coordinate lies in its tile."""
        own = set(variables)
        for partition in self.cascade.partitions:
            whole, first = partition.rank.lower(), partition.parts[0].lower()
            if {whole, first} <= own:
                yield Difference(first, whole, NOTHING)
                yield Difference(whole, first, size_bound(partition.parts[1:], -1))
            for part in partition.parts[1:]:
                if {whole, part.lower()} <= own:
                    yield from equal(whole, part.lower() + COLUMN)

    def _regions(self, einsum: Einsum) -> tuple[Zone, ...]:
        """The points of an Einsum that exist, each alternative as a zone; what no zone can say is left out."""
        links = tuple(self._links(self.coordinates(einsum.variables)))
        region = self.cascade.existence.points[einsum.name]
        found = (zone_of((*links, *(line for atom in piece for line in self._lines_of(atom)))) for piece in region)
        return tuple(zone for zone in found if zone is not None)

    # --- composition ------------------------------------------------------------------------------------------
    def at_point(self, einsum: Einsum) -> Needs:
        """What one point of the Einsum needs through what it reads."""
        found: dict[str, set[Zone]] = {}
        for access in self.cascade.reads_of(einsum):
            for name, zones in self.through(access, einsum).items():
                found.setdefault(name, set()).update(zones)
        return {name: simplified(zones) for name, zones in found.items()}

    def through(self, access: Access, einsum: Einsum) -> Needs:
        """What one point of the Einsum needs through one of its accesses."""
        return {
            name: self._existing(einsum, (self._seen(zone, access) for zone in zones))
            for name, zones in self.of_output.get(access.tensor, {}).items()
        }

    def own(self, einsum: Einsum) -> frozenset[Zone]:
        """A point needs itself."""
        names = [name for name in self.coordinates(einsum.variables) if not name.endswith(COLUMN)]
        same = zone_of(line for name in names for line in equal(FAR + name, name))
        return self._existing(einsum, (same,))

    def _existing(self, einsum: Einsum, zones: Iterable[Zone | None]) -> frozenset[Zone]:
        """Zones at points of the Einsum that exist."""
        both = (zone_of((*zone, *region)) for zone in zones if zone is not None for region in self.regions[einsum.name])
        return simplified(zone for zone in both if zone is not None)

    def _output(self, einsum: Einsum) -> Needs:
        found = {name: set(zones) for name, zones in self.at_point(einsum).items()}
        found.setdefault(einsum.name, set()).update(self.own(einsum))
        left = set(self.coordinates(einsum.output.variables))
        gone = [name for name in self.coordinates(einsum.variables) if name not in left]
        gone += [BACK + name for name in gone]
        needs = {}
        for name, zones in found.items():
            kept = (without(zone, gone) for zone in zones)
            steps = (self._up_to(einsum, zone) for zone in kept if zone is not None)
            needs[name] = simplified(zone for zone in steps if zone is not None)
        return needs

    def _up_to(self, einsum: Einsum, zone: Zone) -> Zone | None:
        """What any step of a running tensor up to this one needs; of any other tensor the zone itself."""
        rank = self.cascade.scope.iterative_rank.get(einsum.name)
        if rank is None:
            return zone
        both = dict.fromkeys((rank.lower(), self.cascade.root_of(rank).lower()))
        moving = [name for name in both if name in self.coordinates(einsum.output.variables)]
        old = {name: name + OLD for name in moving} | {BACK + name: BACK + name + OLD for name in moving}
        lines = [Difference(name + OLD, name, NOTHING) for name in moving]
        lines += [Difference(BACK + name, BACK + name + OLD, NOTHING) for name in moving]
        found = zone_of((*renamed(zone, old), *lines, *self._links(self.coordinates(einsum.output.variables))))
        return without(found, old.values())

    def _seen(self, zone: Zone, access: Access) -> Zone | None:
        """A need of a tensor's element, of the point that reads the element."""
        reading = self._reading_of(access)
        return without(zone_of((*renamed(zone, reading.names), *reading.lines)), reading.gone)

    def _reading_of(self, access: Access) -> "_Renaming":
        if access not in self._readings:
            self._readings[access] = self._read(self.cascade.einsum(access.tensor).output, access)
        return self._readings[access]

    def _read(self, written: Access, access: Access) -> "_Renaming":
        found = _Renaming({}, [], [])
        unmoved: dict[str, int] = {}  # variables that are read as they are written, and by how many steps off
        for made, read in zip(written.indices, access.indices, strict=True):
            whole = made.plain_variable is None
            offset = read.offset - made.offset
            if str(made) == str(read) or (
                read.plain_variable == made.plain_variable and not whole and not read.last_of
            ):
                unmoved |= dict.fromkeys(made.variables, offset)
            else:
                name = str(self.cascade.scope.rank_of_index(made)).lower() if whole else str(made.plain_variable)
                self._place(name, read.model_copy(update={"offset": offset}), found)
        for name in self.coordinates(written.variables):
            parts = [part.lower() for part in self.cascade.scope.parts_of(name.upper())] or [name.removesuffix(COLUMN)]
            if set(parts) <= unmoved.keys():
                if not name.endswith(COLUMN):
                    found.move(name, name, _sum(self.tile(part).times(unmoved[part]) for part in parts))
            elif name not in found.names:
                found.gone.extend((name, BACK + name))
        return found

    def _place(self, name: str, read: Index, found: "_Renaming") -> None:
        """Where a coordinate is that is read at an index."""
        rank = self.cascade.scope.rank_of_index(read.model_copy(update={"offset": 0}))
        constant = bound_of(read.offset, read.sizes)
        if read.last_of:
            found.names[name] = END
            found.gone.append(BACK + name)
        elif not read.terms:
            found.names[name] = name + OLD
            found.lines.extend(equal(name + OLD, START, constant))
            found.gone.extend((name + OLD, BACK + name))
        elif rank is not None or read.plain_variable is not None:
            found.move(name, rank.lower() if rank is not None else str(read.plain_variable), constant)
        elif len(read.terms) == 1 and read.terms[0].scale == -1:
            variable = read.terms[0].variable
            found.names.update({name: BACK + variable, BACK + name: variable})
        elif all(term.scale == 1 and not term.scale_ranks for term in read.terms):  # h+r: h, and at most R beyond
            found.names[name] = name + OLD
            found.gone.extend((name + OLD, BACK + name))
            for term in read.terms:
                others = [
                    t.model_copy(update={"scale_ranks": (t.variable.upper(),)}) for t in read.terms if t is not term
                ]
                found.lines.append(Difference(term.variable, name + OLD, NOTHING))
                found.lines.append(Difference(name + OLD, term.variable, constant.plus(bound_of(0, others))))

    # --- conditions -------------------------------------------------------------------------------------------
    def _lines_of(self, atom: Atom) -> Iterator[Difference]:
        """An atom as bounds of differences; none if it is of another kind."""
        if isinstance(atom, Block) and atom.equal:
            sides = [side.plain_variable for side in (atom.left, atom.right) if not side.offset]
            if len(sides) == 2 and None not in sides:
                one, other = (str(side) for side in sides)
                width = bound_of(atom.divisor.offset - 1, atom.divisor.sizes)
                yield Difference(one, other, width)
                yield Difference(other, one, width)
        if not isinstance(atom, HalfSpace) or atom.lengths:
            return
        ups = [term for term in atom.form.terms if term.scale == 1]
        downs = [term for term in atom.form.terms if term.scale == -1]
        if len(ups) > 1 or len(downs) > 1 or len(ups) + len(downs) != len(atom.form.terms):
            return
        if all(term.scale_ranks == self._unit(term.variable) for term in (*ups, *downs)):
            left = downs[0].variable if downs else START
            right = ups[0].variable if ups else START
            yield Difference(left, right, bound_of(atom.form.offset, atom.form.sizes))

    def _unit(self, variable: str) -> tuple[str, ...]:
        """The sizes of which a coordinate is a multiple: those inside a tile, for the first part of a rank."""
        firsts = {p.parts[0].lower(): p.parts[1:] for p in self.cascade.partitions}
        return firsts.get(variable, ())


class _Renaming(NamedTuple):
    """What the coordinates of a tensor, under its maker's names, become for a reader: renamed, tied by lines, gone."""

    names: dict[str, str]
    lines: list[Difference]
    gone: list[str]

    def move(self, name: str, other: str, more: Distance) -> None:
        """The coordinate is another one and some more."""
        if more == NOTHING:
            self.names.update({name: other, BACK + name: BACK + other})
            return
        for own, there, way in ((name, other, more), (BACK + name, BACK + other, more.times(-1))):
            self.names[own] = own + OLD
            self.lines.extend(equal(own + OLD, there, way))
            self.gone.append(own + OLD)


def _sum(bounds: Iterable[Distance]) -> Distance:
    total = NOTHING
    for bound in bounds:
        total = total.plus(bound)
    return total
