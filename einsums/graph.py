"""Who makes and who reads what: the graph of a cascade, an order to run it in, live ranges.

An edge from producer to consumer is *carried* if the consumer, at step i of an iteration, only reads the
value that the producer left at step i-1: it reads the iterative tensor at [i], not at [i+1], and still has i
on its left. Carried edges may close a cycle (that is an iteration: its Einsums advance together, one step at
a time); any other cycle is an error.
"""

from collections.abc import Iterator
from typing import Protocol

import networkx as nx

from einsums.nodes import Access, Einsum
from einsums.problems import Problem
from einsums.scope import Scope


class Scoped(Protocol):
    """A cascade: anything with Einsums and look-ups by name."""

    @property
    def scope(self) -> Scope: ...


def build_graph(cascade: Scoped) -> nx.DiGraph:
    """Einsum names as nodes; edges hold `tensor` and `carried`."""
    return _graph(cascade.scope)


def _graph(scope: Scope) -> nx.DiGraph:
    graph = nx.DiGraph()
    graph.add_nodes_from(einsum.name for einsum in scope.einsums)
    written = {einsum.name for einsum in scope.einsums}
    for einsum in scope.einsums:
        for tensor in dict.fromkeys(access.tensor for access in einsum.loads if access.tensor in written):
            accesses = [access for access in einsum.loads if access.tensor == tensor]
            carried = all(_is_carried(scope, einsum, access) for access in accesses)
            graph.add_edge(tensor, einsum.name, tensor=tensor, carried=carried)
    return graph


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
    return tuple(e.name for e in cascade.scope.einsums if any(access.tensor == tensor for access in e.loads))


def iteration_groups(cascade: Scoped) -> tuple[tuple[str, ...], ...]:
    """Einsums in an order to run them, grouped: those of a group of several step together."""
    return _groups(cascade.scope)


def _groups(scope: Scope) -> tuple[tuple[str, ...], ...]:
    graph = _graph(scope)
    place = {einsum.name: position for position, einsum in enumerate(scope.einsums)}
    condensed = nx.condensation(graph)
    members: dict[int, frozenset[str]] = {node: frozenset(condensed.nodes[node]["members"]) for node in condensed}
    order = nx.lexicographical_topological_sort(condensed, key=lambda node: min(place[name] for name in members[node]))
    return tuple(_inner_order(graph, members[node], place) for node in order)


def _inner_order(graph: nx.DiGraph, members: frozenset[str], place: dict[str, int]) -> tuple[str, ...]:
    """Order within one step: producers of this step's values first."""
    if len(members) == 1:
        return tuple(members)
    within = nx.DiGraph()
    within.add_nodes_from(members)
    within.add_edges_from((a, b) for a, b, data in graph.edges(data=True) if {a, b} <= members and not data["carried"])
    return tuple(nx.lexicographical_topological_sort(within, key=place.__getitem__))


def topological_order(cascade: Scoped) -> tuple[str, ...]:
    """Einsum names, producers first; file order decides where the graph does not."""
    return tuple(name for group in iteration_groups(cascade) for name in group)


def live_ranges(cascade: Scoped, order: tuple[str, ...]) -> tuple[tuple[str, int, int], ...]:
    """(tensor, first, last) positions in `order` between which a tensor must be held.

    An input is held from its first reader, an output to the end; a carried value is held from its reader to
    its writer.
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
def cycle_problems(scope: Scope) -> Iterator[Problem]:
    """Cycles that are no iteration, each named once."""
    graph = _graph(scope)
    now = nx.DiGraph()
    now.add_nodes_from(graph)
    now.add_edges_from((a, b) for a, b, data in graph.edges(data=True) if not data["carried"])
    line = {einsum.name: einsum.line for einsum in scope.einsums}
    place = {name: position for position, name in enumerate(line)}
    for members in nx.strongly_connected_components(graph):
        inside = now.subgraph(members)
        if not nx.is_directed_acyclic_graph(inside):
            cycle = _first_cycle(inside, place)
            path = " -> ".join((*cycle, cycle[0]))
            yield Problem(f"the Einsums depend on each other in a cycle: {path}", line[cycle[0]])
        elif len(members) > 1 or graph.has_edge(*list(members) * 2):
            yield from _iteration_problems(scope, frozenset(members))


def _first_cycle(graph: nx.DiGraph, place: dict[str, int]) -> tuple[str, ...]:
    """A cycle, starting at its first Einsum in file order, so that the message does not depend on hashing."""
    ordered = nx.DiGraph()
    ordered.add_nodes_from(sorted(graph, key=place.__getitem__))
    ordered.add_edges_from(sorted(graph.edges, key=lambda edge: (place[edge[0]], place[edge[1]])))
    cycle = [edge[0] for edge in nx.find_cycle(ordered)]
    start = cycle.index(min(cycle, key=place.__getitem__))
    return tuple(cycle[start:] + cycle[:start])


def _iteration_problems(scope: Scope, members: frozenset[str]) -> Iterator[Problem]:
    """Einsums that step together need one iterative rank for all, and read each other at the same step."""
    einsums = [einsum for einsum in scope.einsums if einsum.name in members]
    ranks = list(dict.fromkeys(scope.iterative_rank[e.name] for e in einsums if e.name in scope.iterative_rank))
    names = ", ".join(einsum.name for einsum in einsums)
    if len(ranks) > 1:
        yield Problem(
            f"{names} depend on each other and iterate over several ranks ({', '.join(ranks)})",
            einsums[0].line,
        )
        return
    for einsum in einsums:
        if ranks[0].lower() not in einsum.output.variables:
            message = f"{einsum.name} is part of the iteration of {names} over {ranks[0]}"
            missing = f"has no {ranks[0].lower()} on its left"
            yield Problem(f"{message} but {missing}: it would need values of later steps", einsum.line)
        for access in einsum.loads:
            if access.tensor in members and _leaves_step(scope, access, ranks[0]):
                message = f"{einsum.name} is part of the iteration of {names} over {ranks[0]} and reads {access}"
                yield Problem(f"{message}, which may be of a later step", einsum.line)


def _leaves_step(scope: Scope, access: Access, rank: str) -> bool:
    """True if the index over the iterative rank is an affine one other than i or i+1."""
    ranks = scope.tensor_by_name[access.tensor].ranks
    return rank in ranks and access.indices[ranks.index(rank)].plain_variable != rank.lower()
