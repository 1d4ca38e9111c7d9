"""The graph of a cascade: who writes and who reads each tensor, an order to run the Einsums in, live ranges.

An edge from producer to consumer is *carried* if the consumer, at step i of an iteration, only reads the value that
the producer left at step i-1: it reads the iterative tensor at [i], not at [i+1], and still has i on its left. Carried
edges may close a cycle, which makes an iteration: its Einsums advance together, one step at a time. Iterations nest:
what is carried over the outer rank aside, the Einsums of an iteration may hold another one, run in full in each step
(tiles of keys inside layers). Any other cycle is an error.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol, TypeVar

from einsums.nodes import Access, Einsum
from einsums.problems import CascadeProblem
from einsums.scope import Scope

Told = TypeVar("Told")


class Scoped(Protocol):
    """Anything with Einsums and look-ups by name, such as a cascade."""

    @property
    def scope(self) -> Scope: ...


class GraphEdge(NamedTuple):
    """An Einsum reads what another, or itself, writes."""

    source: str
    reader: str
    is_carried: bool


class Iteration(NamedTuple):
    """Einsums that step over a rank together, and iterations inside that run in full in each step."""

    rank: str
    body: tuple["Step", ...]

    @property
    def einsums(self) -> tuple[str, ...]:
        """Names of all Einsums inside, in an order in which they run."""
        return tuple(name for step in self.body for name in names_in(step))


Step = str | Iteration
Pair = tuple[str, str]


def names_in(step: Step) -> tuple[str, ...]:
    """Names of the Einsums of a step."""
    return (step,) if isinstance(step, str) else step.einsums


def edges_of(cascade: Scoped) -> tuple[GraphEdge, ...]:
    """Who reads whom, readers in file order; each pair once."""
    return _edges(cascade.scope)


def _edges(scope: Scope) -> tuple[GraphEdge, ...]:
    written = {einsum.name for einsum in scope.einsums}
    edges = []
    for einsum in scope.einsums:
        reads = scope.reads_of(einsum)
        for tensor in dict.fromkeys(access.tensor for access in reads if access.tensor in written):
            accesses = [access for access in reads if access.tensor == tensor]
            carried = all(_is_carried(scope, einsum, access) for access in accesses)
            edges.append(GraphEdge(tensor, einsum.name, carried))
    return tuple(edges)


def _is_carried(scope: Scope, einsum: Einsum, access: Access) -> bool:
    """True if the access reads an iterative tensor at [i] while the reader itself still has i."""
    rank = scope.iterative_rank.get(access.tensor)
    if rank is None:
        return False
    index = access.indices[scope.tensor_by_name[access.tensor].ranks.index(rank)]
    at_old_value = index.plain_variable == rank.lower() and index.offset == 0
    return at_old_value and rank.lower() in einsum.output.variables


def producer_of(cascade: Scoped, tensor: str) -> str | None:
    """The Einsum that writes a tensor, None for an input."""
    return next((einsum.name for einsum in cascade.scope.einsums if einsum.name == tensor), None)


def consumers_of(cascade: Scoped, tensor: str) -> tuple[str, ...]:
    """Einsums that read a tensor, in file order."""
    return tuple(
        e.name for e in cascade.scope.einsums if any(access.tensor == tensor for access in cascade.scope.reads_of(e))
    )


def iteration_groups(cascade: Scoped) -> tuple[tuple[str, ...], ...]:
    """Einsums in groups, in an order in which they can run; the Einsums of a group step together."""
    return _groups(cascade.scope)


def nest_of(cascade: Scoped) -> tuple[Step, ...]:
    """Einsums and iterations, in an order in which they can run."""
    return _nest(cascade.scope, [einsum.name for einsum in cascade.scope.einsums], _edges(cascade.scope))


def _groups(scope: Scope) -> tuple[tuple[str, ...], ...]:
    steps = _nest(scope, [einsum.name for einsum in scope.einsums], _edges(scope))
    return tuple(names_in(step) for step in steps)


def _nest(
    scope: Scope, names: Collection[str], edges: Collection[GraphEdge], around: frozenset[str] = frozenset()
) -> tuple[Step, ...]:
    """Some Einsums and the edges that hold among them, as steps; producers of this step's values first.

    `around`: the ranks that already step.
    """
    inside = [edge for edge in edges if edge.source in names and edge.reader in names]
    members = {group[0]: group for group in _components(names, inside)}
    first = {name: group[0] for group in members.values() for name in group}
    order = _in_order(members, [(first[edge.source], first[edge.reader]) for edge in inside])
    return tuple(_step(scope, members[name], inside, around) for name in order)


def _step(scope: Scope, members: tuple[str, ...], edges: Collection[GraphEdge], around: frozenset[str]) -> Step:
    inside = [edge for edge in edges if edge.source in members and edge.reader in members]
    rank = stepped_rank(scope, members, around) if inside else scope.iterative_rank.get(members[0])
    if rank is None or rank in around:
        return members[0]
    rest = [edge for edge in inside if _carried_over(scope, edge) != rank]
    return Iteration(rank, _nest(scope, members, rest, around | {rank}))


def _carried_over(scope: Scope, edge: GraphEdge) -> str | None:
    return scope.iterative_rank[edge.source] if edge.is_carried else None


def stepped_rank(scope: Scope, members: Collection[str], around: Collection[str] = ()) -> str | None:
    """The outermost rank, of those not `around`, over which Einsums that depend on each other step; None if none is."""
    einsums = [einsum for einsum in scope.einsums if einsum.name in members]
    every = dict.fromkeys(scope.iterative_rank[e.name] for e in einsums if e.name in scope.iterative_rank)
    ranks = [rank for rank in every if rank not in around]
    common = [rank for rank in ranks if all(rank.lower() in e.output.variables for e in einsums)]
    # Where the ranks are several, an inner one does not appear in what only the outer steps make.
    return next(iter(common or ranks), None)


def _components(every: Collection[str], edges: Iterable[GraphEdge]) -> tuple[tuple[str, ...], ...]:
    """Einsums that each depend on all others of their group; groups, and Einsums in them, in the order given."""
    reached = _reached([(edge.source, edge.reader) for edge in edges])
    names = list(every)
    groups: dict[str, tuple[str, ...]] = {}
    for name in names:
        mutual = [other for other in names if other in reached.get(name, ()) and name in reached.get(other, ())]
        groups.setdefault(min([name, *mutual], key=names.index), tuple(mutual) or (name,))
    return tuple(groups.values())


def _reached(edges: Collection[Pair]) -> dict[str, set[str]]:
    """For each source, the names that its value reaches through any number of edges."""
    reached: dict[str, set[str]] = {}
    for source, reader in edges:
        reached.setdefault(source, set()).add(reader)
    for middle in list(reached):
        for ends in reached.values():
            if middle in ends:
                ends |= reached[middle]
    return reached


def _in_order(names: Collection[str], edges: Iterable[Pair]) -> list[str]:
    """Topological order, ties broken by the order given. Edges from or to names that are not given do not count."""
    waits_for: dict[str, set[str]] = {name: set() for name in names}
    for source, reader in edges:
        if source != reader and source in waits_for and reader in waits_for:
            waits_for[reader].add(source)
    order: list[str] = []
    while waits_for:
        ready = next(name for name, sources in waits_for.items() if sources.isdisjoint(waits_for))
        order.append(ready)
        del waits_for[ready]
    return order


def topological_order(cascade: Scoped) -> tuple[str, ...]:
    """Einsum names, producers first, in file order where the graph leaves a choice."""
    return tuple(name for group in iteration_groups(cascade) for name in group)


def settle(order: Sequence[Einsum], told: Callable[[Einsum], Told], of_output: dict[str, Told]) -> None:
    """Fill `of_output` with what is told of each Einsum, which may depend on what is there of others, until it stays.
    order: producers first.
    """
    changed = True
    while changed:  # takes more than one round only where Einsums iterate
        changed = False
        for einsum in order:
            found = told(einsum)
            changed = changed or found != of_output.get(einsum.name)
            of_output[einsum.name] = found


def live_ranges(cascade: Scoped, order: tuple[str, ...]) -> tuple[tuple[str, int, int], ...]:
    """(tensor, first, last) positions in `order` between which a tensor must be held.

    An input is held from its first reader, an output to the end; a carried value is held from its reader to its writer.
    """
    position = {name: place for place, name in enumerate(order)}
    scope = cascade.scope
    ranges = []
    for tensor in scope.tensor_by_name:
        places = [position[name] for name in consumers_of(cascade, tensor)]
        places += [position[tensor]] if tensor in position else []
        last = len(order) - 1 if tensor in scope.declared.outputs else max(places)
        ranges.append((tensor, min(places), last))
    return tuple(ranges)


# --- cycles -------------------------------------------------------------------------------------------------
def cycle_problems(scope: Scope) -> Iterator[CascadeProblem]:
    """Cycles that are not iterations, each named once."""
    edges = _edges(scope)
    line = {einsum.name: einsum.line for einsum in scope.einsums}
    for members in _components([einsum.name for einsum in scope.einsums], edges):
        inside = [edge for edge in edges if {edge.source, edge.reader} <= set(members)]
        cycle = _first_cycle(members, [(edge.source, edge.reader) for edge in inside if not edge.is_carried])
        if cycle:
            path = " -> ".join((*cycle, cycle[0]))
            message = f"the Einsums depend on each other in a cycle: {path}"
            yield CascadeProblem(message + _unmade(scope, cycle), line[cycle[0]])
        elif inside:
            yield from _iteration_problems(scope, members, inside)


def _unmade(scope: Scope, cycle: tuple[str, ...]) -> str:
    """Why a cycle through a running tensor is no iteration: where it is read at another position than its step."""
    for einsum in scope.einsums:
        for access in scope.reads_of(einsum) if einsum.name in cycle else ():
            rank = scope.iterative_rank.get(access.tensor)
            if access.tensor in cycle and rank is not None and _leaves_step(scope, access, rank):
                return (
                    f"; {einsum.name} reads {access} inside the iteration over {rank} that still makes {access.tensor}"
                )
    return ""


def _first_cycle(names: Iterable[str], edges: Collection[Pair]) -> tuple[str, ...]:
    """A shortest cycle through the first name that lies on one; empty if there is no cycle."""
    reached = _reached(edges)
    start = next((name for name in names if name in reached.get(name, ())), None)
    if start is None:
        return ()
    ways: list[tuple[str, ...]] = [(start,)]
    while True:
        if any((way[-1], start) in edges for way in ways):
            return next(way for way in ways if (way[-1], start) in edges)
        ways = [(*way, reader) for way in ways for source, reader in edges if source == way[-1] and reader not in way]


def _iteration_problems(
    scope: Scope, members: Collection[str], edges: Collection[GraphEdge], around: frozenset[str] = frozenset()
) -> Iterator[CascadeProblem]:
    """Einsums that step together must share one iterative rank and read each other at the same step; so inside it."""
    einsums = [einsum for einsum in scope.einsums if einsum.name in members]
    every = dict.fromkeys(scope.iterative_rank[e.name] for e in einsums if e.name in scope.iterative_rank)
    ranks = [rank for rank in every if rank not in around]
    names = ", ".join(einsum.name for einsum in einsums)
    rank = str(stepped_rank(scope, members, around))
    if len(ranks) > 1 and any(rank.lower() not in einsum.output.variables for einsum in einsums):
        message = f"{names} depend on each other and iterate over several ranks ({', '.join(ranks)})"
        yield CascadeProblem(message, einsums[0].line)
        return
    for einsum in einsums:
        if rank.lower() not in einsum.output.variables:
            message = f"{einsum.name} is part of the iteration of {names} over {rank}"
            missing = f"has no {rank.lower()} on its left"
            yield CascadeProblem(f"{message} but {missing}: it would need values of later steps", einsum.line)
        for access in scope.reads_of(einsum):
            if access.tensor in members and _leaves_step(scope, access, rank):
                message = f"{einsum.name} is part of the iteration of {names} over {rank} and reads {access}"
                yield CascadeProblem(f"{message}, which may be of a later step", einsum.line)
    rest = [edge for edge in edges if _carried_over(scope, edge) != rank]
    for inner in _components(members, rest):
        inside = [edge for edge in rest if {edge.source, edge.reader} <= set(inner)]
        if inside:
            yield from _iteration_problems(scope, inner, inside, around | {rank})


def _leaves_step(scope: Scope, access: Access, rank: str) -> bool:
    """True if the index over the iterative rank is an affine one other than i or i+1."""
    ranks = scope.tensor_by_name[access.tensor].ranks
    return rank in ranks and access.indices[ranks.index(rank)].plain_variable != rank.lower()
