"""How much of each tensor must be live at once while a rank is traversed, at least, as a product of rank sizes.

Along the traversed rank R:
    all of R     if the tensor is touched in different passes, or before and after a pass is complete;
    a part (M0)  if only the elements of one tile are needed together;
    1            if an element is used up when it is visited.
Along any other rank J: 1 if every Einsum that runs together with those touching the tensor carries J to its output,
so that the traversal of R can run inside a loop over J; otherwise all of J. Batch ranks are left out: they are always
such loops.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from einsums.dependence import Dependence, leaves_of, with_wholes
from einsums.graph import consumers_of, topological_order
from einsums.narrowing import window_words
from einsums.nouns import Noun
from einsums.reaches import Kind
from einsums.types import Cascade


class LiveFootprint(Noun):
    """Words of one tensor that must be live at once, such as 'M', 'M0', 'E*M' or '1'."""

    tensor: str
    words: str


class PassView(NamedTuple):
    """The passes of a cascade over one rank, as footprints need them."""

    cascade: Cascade
    rank: str
    leaves: tuple[str, ...]
    visiting: frozenset[str]
    number: Mapping[str, int]
    touched_in: Mapping[str, tuple[int, ...]]
    dependence: Dependence


def live_footprints(view: PassView) -> tuple[LiveFootprint, ...]:
    """Footprint of every tensor that the Einsums of the analysis touch, in the order of the cascade."""
    stages = _stages(view)
    groups = _groups(view, stages)
    return tuple(
        LiveFootprint(tensor=tensor.name, words=_words(view, tensor.name, stages, groups))
        for tensor in view.cascade.tensors
    )


def _words(view: PassView, tensor: str, stages: Mapping[str, int], groups: Mapping[str, frozenset[str]]) -> str:
    touching = _touching(view.cascade, tensor)
    spans = len({stages[name] for name in touching}) > 1
    inside = frozenset(view.leaves) if spans else _tile(view, tensor, touching)
    outer = _outer(view, touching, groups, spans)
    factors: list[str] = []
    for place, own in enumerate(view.cascade.tensor(tensor).ranks):
        names = _names_at(view.cascade, touching, tensor, place)
        if len(names) > 1:
            factors.append(_window(view, touching, tensor, place) or own)
            continue
        rank = next(iter(names), own)
        leaves = leaves_of(view.cascade, rank)
        mine = [leaf for leaf in leaves if leaf in view.leaves]
        rest = [leaf for leaf in leaves if leaf not in view.leaves]
        live = [leaf for leaf in mine if leaf in inside] + [leaf for leaf in rest if leaf not in outer]
        whole = len(leaves) > 1 and set(live) == set(leaves)
        factors += [rank] if whole else [leaf for leaf in leaves if leaf in live]
    return _product_text(view.cascade, factors)


def _names_at(cascade: Cascade, touching: Iterable[str], tensor: str, place: int) -> set[str]:
    """The names of a rank under which Einsums make and read a tensor there."""
    return {
        axis.over if axis.over is not None and cascade.scope.is_same(axis.over, axis.rank) else axis.rank
        for einsum in map(cascade.einsum, touching)
        for access in (*cascade.reads_of(einsum), einsum.output)
        if access.tensor == tensor
        for axis in cascade.axes_of(access)[place : place + 1]
    }


def _window(view: PassView, touching: Iterable[str], tensor: str, place: int) -> str:
    """What is live of a tensor under two names if every reader needs a window of one length; else empty."""
    cascade, found = view.cascade, set[str]()
    rank = cascade.tensor(tensor).ranks[place]
    if rank not in view.dependence.joint:
        return ""
    for einsum in map(cascade.einsum, touching):
        for access in (one for one in cascade.reads_of(einsum) if one.tensor == tensor):
            over = cascade.axes_of(access)[place].over
            if over is None or over == rank:
                continue
            here = with_wholes(cascade, access.indices[place].variables)
            others = with_wholes(cascade, set(einsum.variables) - here)
            for piece in cascade.existence.points[einsum.name]:
                words = window_words(piece, here, others, cascade.scope)
                found.add("" if words is None else str(words))
    window = found.pop() if len(found) == 1 else ""
    return window if window.isalnum() or not window else f"({window})"


def _product_text(cascade: Cascade, factors: list[str]) -> str:
    """Factors joined by '*', with all parts of a rank written as the rank."""
    for partition in cascade.partitions:
        if set(partition.parts) <= set(factors):
            place = factors.index(partition.parts[0])
            factors = [factor for factor in factors if factor not in partition.parts]
            factors.insert(place, partition.rank)
    return "*".join(factors) or "1"


def _touching(cascade: Cascade, tensor: str) -> tuple[str, ...]:
    """The Einsum that makes a tensor and those that read it; reading the last step of an iteration does not count."""
    made = tuple(einsum.name for einsum in cascade.einsums if einsum.name == tensor)
    return tuple(dict.fromkeys((*made, *_readers(cascade, tensor))))


def _readers(cascade: Cascade, tensor: str) -> tuple[str, ...]:
    def reads_steps(name: str) -> bool:
        accesses = [access for access in cascade.reads_of(cascade.einsum(name)) if access.tensor == tensor]
        return not all(any(index.last_of for index in access.indices) for access in accesses)

    if tensor not in cascade.scope.iterative_rank:
        return consumers_of(cascade, tensor)
    return tuple(name for name in consumers_of(cascade, tensor) if reads_steps(name))


# --- along the traversed rank -------------------------------------------------------------------------------
def _stages(view: PassView) -> dict[str, int]:
    """When each Einsum runs: 2k in pass k, 2k+1 after pass k is complete and before the next.

    An Einsum that visits nothing may wait for its first reader, which shortens the life of its value.
    """
    stage = {name: _earliest_stage(view, name) for name in view.number}
    for name in reversed(topological_order(view.cascade)):
        readers = [stage[reader] for reader in consumers_of(view.cascade, name) if reader != name]
        if name not in view.visiting and stage[name] % 2 and readers:
            stage[name] = max(stage[name], min(readers))
    return stage


def _earliest_stage(view: PassView, name: str) -> int:
    if name in view.visiting:
        return 2 * view.number[name]
    stage = 2
    for visit, reaches in view.dependence.at_point(view.cascade.einsum(name)).items():
        if visit in view.visiting:
            extents = [reach[: len(view.leaves)] for reach in reaches]
            complete = any(all(extent.kind is Kind.ALL for extent in reach) for reach in extents)
            stage = max(stage, 2 * view.number[visit] + complete)
    return stage


def _tile(view: PassView, tensor: str, touching: tuple[str, ...]) -> frozenset[str]:
    """Leaf ranks along which elements must wait for each other although no pass ends: the ranks of a tile."""
    waiting: set[str] = set()
    for reader in _readers(view.cascade, tensor):
        needed = view.dependence.at_point(view.cascade.einsum(reader))
        for toucher in touching:
            for reach in needed.get(toucher, ()) if toucher != reader else ():
                extents = zip(view.leaves, reach, strict=False)
                waiting |= {leaf for leaf, extent in extents if extent.kind is Kind.ALL and _has(view, toucher, leaf)}
    return frozenset(waiting)


def _has(view: PassView, einsum: str, leaf: str) -> bool:
    return leaf.lower() in view.cascade.variables_of(einsum)


# --- along the other ranks ----------------------------------------------------------------------------------
def _groups(view: PassView, stages: Mapping[str, int]) -> dict[str, frozenset[str]]:
    """Einsums that run together: those of one pass that share a tensor with the rank, or with a part of it."""
    group = {name: frozenset((name,)) for name in stages}
    for tensor in view.cascade.tensors:
        leaves = {leaf for rank in tensor.ranks for leaf in leaves_of(view.cascade, rank)}
        if leaves & set(view.leaves):
            for number in range(1, max(view.number.values()) + 1):
                touching = _touching(view.cascade, tensor.name)
                together = [name for name in touching if stages[name] == 2 * number]
                joined = frozenset(member for name in together for member in group[name])
                group.update(dict.fromkeys(joined, joined))
    return group


def _outer(
    view: PassView, touching: tuple[str, ...], groups: Mapping[str, frozenset[str]], spans: bool
) -> frozenset[str]:
    """Ranks that every Einsum running together with the touching ones carries to its output."""
    members = {member for name in touching for member in groups[name]}
    if spans:
        members |= _between(view.cascade, touching)
    carried = [_carried(view.cascade, name) for name in sorted(members)]
    return frozenset.intersection(*carried) if carried else frozenset()


def _carried(cascade: Cascade, einsum: str) -> frozenset[str]:
    return frozenset(cascade.rank_of_variable(name) for name in cascade.einsum(einsum).output.variables)


def _between(cascade: Cascade, ends: Iterable[str]) -> frozenset[str]:
    """Einsums on a path along the data flow from one of `ends` to another."""
    readers = {einsum.name: set(consumers_of(cascade, einsum.name)) for einsum in cascade.einsums}
    made = {einsum.name: {a.tensor for a in cascade.reads_of(einsum)} & readers.keys() for einsum in cascade.einsums}
    return frozenset(_reachable(readers, ends) & _reachable(made, ends))


def _reachable(next_of: Mapping[str, set[str]], starts: Iterable[str]) -> set[str]:
    found = set(starts)
    waiting = list(found)
    while waiting:
        new = next_of[waiting.pop()] - found
        found |= new
        waiting += new
    return found
