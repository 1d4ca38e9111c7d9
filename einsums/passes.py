"""Passes: how many times a cascade must traverse a rank, whatever the mapping (Nayak et al., MICRO 2024).

A pass over a rank is one traversal of all its elements. If a point of one Einsum can run only after another Einsum has
visited *every* element of the same fiber, and itself visits an element, it does so in a later pass:

    pass(V) = 1 + the largest pass(U) over the visiting Einsums U that every point of V needs in full

where an Einsum *visits* the rank if it reads or writes a tensor that has all of it. What a point needs comes from
`dependence.py` or, where the rank has several names, from `relations.py`, so that a reduction of one tile, a running
value and a summary do not start a pass by themselves (`order.py`). An Einsum that visits nothing belongs to the last
pass that it waits for.
"""

from functools import cached_property

from einsums.dependence import Dependence, leaves_of
from einsums.footprint import LiveFootprint, PassView, live_footprints
from einsums.graph import topological_order
from einsums.names import near_or_all
from einsums.nouns import Noun
from einsums.order import AxisOrder, Link, NamedOrder, PassOrder
from einsums.types import Cascade
from einsums.walk import RankWalk


class EinsumPass(Noun):
    """The pass in which an Einsum runs, and whether it visits the rank or only values derived from it."""

    einsum: str
    number: int
    visits: bool


class ForcedPass(Noun):
    """Why one more pass is needed: `chain` leads from a visit in the pass before to a visit in this one.

    `barrier` is the Einsum of the chain whose value needs every element, `revisits` the tensors that are
    traversed again.
    """

    number: int
    chain: tuple[str, ...]
    barrier: str
    revisits: tuple[str, ...]
    reason: str


class PassAnalysis(Noun):
    """The passes of a cascade over one rank. Footprints leave out batch ranks."""

    cascade: str
    rank: str
    passes: int
    pass_of_einsum: tuple[EinsumPass, ...]
    forced_by: tuple[ForcedPass, ...]
    revisited: tuple[str, ...]
    live_footprint: tuple[LiveFootprint, ...]

    def pass_of(self, einsum: str) -> int:
        """The pass of one Einsum."""
        return next(item.number for item in self.pass_of_einsum if item.einsum == einsum)

    def footprint_of(self, tensor: str) -> str:
        """The minimum live footprint of one tensor as a product of rank sizes."""
        return next(item.words for item in self.live_footprint if item.tensor == tensor)


def count_passes(cascade: Cascade, rank: str) -> int:
    """How many passes over a rank any mapping needs; 0 if no tensor has the rank. ValueError for an unknown rank."""
    return _Passes(cascade, _known(cascade, rank)).count


def analyse_passes(cascade: Cascade, rank: str) -> PassAnalysis:
    """Passes over a rank, with the pass of each Einsum, what forces each, and live footprints."""
    passes = _Passes(cascade, _known(cascade, rank))
    return PassAnalysis(
        cascade=cascade.name,
        rank=rank,
        passes=passes.count,
        pass_of_einsum=tuple(
            EinsumPass(einsum=e.name, number=passes.number[e.name], visits=e.name in passes.visiting)
            for e in cascade.einsums
        ),
        forced_by=tuple(_forced(passes, number) for number in range(2, passes.count + 1)),
        revisited=passes.revisited,
        live_footprint=live_footprints(passes.view),
    )


def _known(cascade: Cascade, rank: str) -> str:
    parts = [part for partition in cascade.partitions for part in partition.parts]
    known = [*(item.name for item in cascade.ranks), *cascade.batch, *parts]
    if rank not in known:
        raise ValueError(f"no rank in {cascade.name} is called '{rank}'{near_or_all(rank, known)}")
    return rank


class _Passes:
    """The pass of every Einsum of a cascade over one rank (a whole rank, one part of it, or a batch rank)."""

    def __init__(self, cascade: Cascade, rank: str) -> None:
        self.cascade, self.rank = cascade, rank
        self.walk = RankWalk(cascade, rank)
        self.visiting = self.walk.visiting
        self.order: PassOrder = NamedOrder(self.walk) if self.walk.is_joint else AxisOrder(self.walk, self.dependence)
        order = topological_order(cascade)
        self.number = {name: self.order.number_of(cascade.einsum(name)) for name in order}

    @cached_property
    def dependence(self) -> Dependence:
        """Reaches along the rank, its names together."""
        walk = self.walk
        inside = {leaf for name in walk.every_name for leaf in leaves_of(self.cascade, name)}
        others = tuple(r for r in dict.fromkeys(r for _, r in self.cascade.iterative) if r not in inside)
        # a value of an earlier step of another iteration belongs to another fiber, so those ranks are axes too
        joint = {walk.every_name[0]: tuple(walk.names)} if walk.is_joint else {}
        return Dependence(self.cascade, (*walk.leaves, *others), joint)

    @property
    def count(self) -> int:
        """Passes over the rank."""
        return max((self.number[name] for name in self.visiting), default=0)

    @cached_property
    def touched_in(self) -> dict[str, tuple[int, ...]]:
        """The passes in which each tensor with all of the rank is traversed."""
        found: dict[str, set[int]] = {}
        for einsum in self.cascade.einsums:
            for tensor in self.walk.tensors_of(einsum):
                found.setdefault(tensor, set()).add(self.number[einsum.name])
        return {tensor: tuple(sorted(numbers)) for tensor, numbers in found.items()}

    @property
    def revisited(self) -> tuple[str, ...]:
        """Tensors traversed in more than one pass, in the order of the cascade."""
        return tuple(t.name for t in self.cascade.tensors if len(self.touched_in.get(t.name, ())) > 1)

    @property
    def view(self) -> PassView:
        """The input of the live footprint computation."""
        return PassView(
            self.cascade, self.rank, self.walk.leaves, self.visiting, self.number, self.touched_in, self.dependence
        )


# --- what forces a pass -------------------------------------------------------------------------------------
def _forced(passes: _Passes, number: int) -> ForcedPass:
    """The dependency that starts pass `number`, at the first Einsum of it."""
    link = _first_link(passes, number)
    tail, barrier = _tail(passes, link)
    chain = (*_path(passes.cascade, link.visit, barrier), *tail)
    before = {t for t, numbers in passes.touched_in.items() if numbers[0] < number}
    readers = [passes.cascade.einsum(name) for name in passes.visiting if passes.number[name] == number]
    again = {tensor for einsum in readers for tensor in passes.walk.tensors_of(einsum)} & before
    revisits = tuple(tensor.name for tensor in passes.cascade.tensors if tensor.name in again)
    return ForcedPass(
        number=number,
        chain=chain,
        barrier=barrier,
        revisits=revisits,
        reason=_reason(passes, link, barrier),
    )


def _first_link(passes: _Passes, number: int) -> Link:
    for name in topological_order(passes.cascade):
        if name in passes.visiting and passes.number[name] == number:
            needed = passes.order.at_point(passes.cascade.einsum(name))
            for visit in topological_order(passes.cascade):
                link = Link(visit, name)
                if visit in passes.visiting and passes.order.is_later(needed.get(visit, ()), link, number - 1):
                    return link
    raise AssertionError(f"nothing forces pass {number} over {passes.rank} of {passes.cascade.name}")


def _tail(passes: _Passes, link: Link) -> tuple[tuple[str, ...], str]:
    """Einsums after the barrier up to the reader, and the barrier; walks back while every point needs all elements."""
    tail: list[str] = []
    name = link.reader
    while name not in tail:
        tail.insert(0, name)
        einsum = passes.cascade.einsum(name)
        through = ((a, passes.order.through(a, einsum)) for a in passes.cascade.reads_of(einsum))
        all_by = (a for a, needs in through if passes.order.is_later(needs.get(link.visit, ()), link))
        access = next(all_by, None)
        if access is None:  # its own reduction makes it need everything
            return tuple(tail[1:]), name
        name = access.tensor
        if not passes.order.is_later(passes.order.of_output(name).get(link.visit, ()), link):
            return tuple(tail), name  # an iteration, complete where its last step is read
    return tuple(tail[1:]), tail[0]


def _path(cascade: Cascade, start: str, end: str) -> tuple[str, ...]:
    """A shortest path along the data flow, both ends included."""
    ways: list[tuple[str, ...]] = [(end,)]
    seen = {end}
    for way in ways:  # grows while it is walked: breadth first, backwards
        if way[0] == start:
            return way
        for access in cascade.reads_of(cascade.einsum(way[0])):
            if access.tensor in cascade.scope.iterative_rank or access.tensor not in seen:
                written = any(einsum.name == access.tensor for einsum in cascade.einsums)
                if written and access.tensor not in seen:
                    seen.add(access.tensor)
                    ways.append((access.tensor, *way))
    raise AssertionError(f"{end} does not depend on {start}")


def _reason(passes: _Passes, link: Link, barrier: str) -> str:
    rank, einsum = passes.rank, passes.cascade.einsum(barrier)
    if passes.cascade.is_iterative(barrier):
        complete = f"the last step of {barrier} exists only after the iteration has gone through all of {rank}"
    else:
        reduced = ", ".join(einsum.reduced_variables)
        complete = f"{barrier} reduces over {reduced} and is complete only after all of {rank} has been visited"
    tensors = ", ".join(passes.walk.tensors_of(passes.cascade.einsum(link.reader)))
    return f"{complete}; {link.reader} needs it at every element when it traverses {tensors}"
