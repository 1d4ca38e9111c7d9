"""What a cascade says that needs to be taught to whoever maps or runs it: names, conditions, edges, starts, nests.

A consumer that has not been taught must refuse such a cascade rather than count it wrong. `beyond` names the first such
thing; a consumer passes the kinds that it follows.
"""

from collections.abc import Collection, Iterator
from typing import NamedTuple

from einsums.domains import is_of_numbers
from einsums.graph import Iteration
from einsums.nodes import Einsum, Position, iter_leaves, text_of
from einsums.types import Cascade

KINDS = ("names", "parts", "conditions", "boundary", "positions", "backward", "start", "nest", "whole numbers")


class Extension(NamedTuple):
    """One use of an extension: its kind, and the words that say what it is and where."""

    kind: str
    what: str


def iter_extensions(cascade: Cascade) -> Iterator[Extension]:
    """Every extension that a cascade uses."""
    yield from _of_declarations(cascade)
    for einsum in cascade.einsums:
        yield from _of_einsum(einsum)
    for step in cascade.nest:
        if isinstance(step, Iteration) and any(isinstance(inner, Iteration) for inner in step.body):
            yield Extension("nest", f"the iteration over {step.rank} holds another one")


def _of_declarations(cascade: Cascade) -> Iterator[Extension]:
    scope = cascade.scope
    for name, first in scope.first_name.items():
        yield Extension("names", f"rank {name} is another name of {first}")
    for tensor in cascade.inputs:
        for rank in tensor.ranks:
            if rank in scope.root_by_part:
                yield Extension("parts", f"input {tensor.name} has rank {rank}, part of {scope.root_by_part[rank]}")
    for name in scope.edge_by_tensor:
        yield Extension("boundary", f"{name} may be read outside")
    for name, start in scope.start_by_tensor.items():
        yield Extension("start", f"{name} starts from a tensor, {start}")
    for item in cascade.domains:
        if not is_of_numbers(item.values):
            yield Extension("whole numbers", f"input {item.tensor} is of whole numbers ({item.values})")


def _of_einsum(einsum: Einsum) -> Iterator[Extension]:
    if einsum.condition is not None:
        yield Extension("conditions", f"{einsum.name} has a condition ({text_of(einsum.condition, bare=True)})")
    if any(isinstance(leaf, Position) and leaf.variables for leaf in iter_leaves(einsum.expr)):
        yield Extension("positions", f"{einsum.name} takes the position of a coordinate as a value")
    if any(index.sizes for access in einsum.loads for index in access.indices):
        yield Extension("backward", f"{einsum.name} has the size of a rank in an index")


def beyond(cascade: Cascade, follows: Collection[str] = ()) -> str:
    """The first extension of a kind that is not followed, as a clause; empty if there is none."""
    return next((found.what for found in iter_extensions(cascade) if found.kind not in follows), "")
